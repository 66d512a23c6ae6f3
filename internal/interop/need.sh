#!/usr/bin/env bash
# Gets the packages of programs that are missing, from Debian: need.sh WHO PROGRAM=PACKAGE[,PACKAGE...] ...
# Does nothing when all programs are there, and starts no daemon.
set -euo pipefail

who=$1
shift
missing=()
for pair in "$@"; do
	program=${pair%%=*}
	if ! command -v "$program" >/dev/null 2>&1 && [ ! -x "/usr/sbin/$program" ]; then
		IFS=, read -ra packages <<<"${pair#*=}"
		missing+=("${packages[@]}")
	fi
done
if [ ${#missing[@]} = 0 ]; then
	exit 0
fi
if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null 2>&1; then
	echo "$who: ${missing[*]} are needed: run it once as root where there is apt-get, or install them by hand (Debian's package names)" >&2
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
if command -v debconf-set-selections >/dev/null 2>&1; then
	echo 'wireshark-common wireshark-common/install-setuid boolean false' | debconf-set-selections
fi
install=(apt-get install -y -q --no-install-recommends)
echo "$who: installing ${missing[*]}"
if ! "${install[@]}" "${missing[@]}" </dev/null >/dev/null 2>&1; then
	apt-get update -q </dev/null
	"${install[@]}" "${missing[@]}" </dev/null
fi
