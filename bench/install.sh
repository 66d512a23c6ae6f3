#!/usr/bin/env bash
# Installs the real peers that the benches run: SIPp and Kamailio. Does nothing when they are there.
set -euo pipefail

declare -A package=([sipp]=sip-tester [kamailio]=kamailio [taskset]=util-linux)
missing=()
for program in "${!package[@]}"; do
	command -v "$program" >/dev/null 2>&1 || [ -x "/usr/sbin/$program" ] || missing+=("${package[$program]}")
done
if [ ${#missing[@]} = 0 ]; then
	exit 0
fi
if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null 2>&1; then
	echo "bench: ${missing[*]} are needed: run it once as root where there is apt-get, or install them by hand (Debian's package names)" >&2
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
echo "bench: installing ${missing[*]}"
if ! "${install[@]}" "${missing[@]}" </dev/null >/dev/null 2>&1; then
	apt-get update -q </dev/null
	"${install[@]}" "${missing[@]}" </dev/null
fi
