#!/usr/bin/env bash
# Installs the real peers that the tests of this folder call: SIPp, baresip, linphone, Kamailio, sipvicious, tshark and tcpdump. Does nothing when they are there.
set -euo pipefail

declare -A package=([sipp]=sip-tester [baresip]=baresip-core [tshark]=tshark [tcpdump]=tcpdump [ip]=iproute2 [kamailio]="kamailio kamailio-tls-modules" [linphone-daemon]=linphone-cli [svmap]=sipvicious)
missing=()
for program in "${!package[@]}"; do
	command -v "$program" >/dev/null 2>&1 || [ -x "/usr/sbin/$program" ] || missing+=(${package[$program]})
done
if [ "$(id -u)" != 0 ]; then
	echo "interop: run it as root: the tests make network namespaces, and SIPp plays audio through a raw socket" >&2
	exit 1
fi
if [ ${#missing[@]} = 0 ]; then
	exit 0
fi
if ! command -v apt-get >/dev/null 2>&1; then
	echo "interop: ${missing[*]} are needed and there is no apt-get: install them by hand (Debian's package names)" >&2
	exit 1
fi

# No daemon may start because of an installation: exit code 101 forbids it.
guard=/usr/sbin/policy-rc.d
if [ ! -e "$guard" ]; then
	trap 'rm -f "$guard"' EXIT
	printf '#!/bin/sh\nexit 101\n' >"$guard"
	chmod 755 "$guard"
fi
export DEBIAN_FRONTEND=noninteractive
install=(apt-get install -y -q --no-install-recommends)
if command -v debconf-set-selections >/dev/null 2>&1; then
	echo 'wireshark-common wireshark-common/install-setuid boolean false' | debconf-set-selections
fi
echo "interop: installing ${missing[*]}"
if ! "${install[@]}" "${missing[@]}" </dev/null >/dev/null 2>&1; then
	apt-get update -q </dev/null
	"${install[@]}" "${missing[@]}" </dev/null
fi
