#!/usr/bin/env bash
# Installs the real peers that a bench runs: SIPp and Kamailio for signalling (or without a word), rtpengine for media. Does nothing when they are there.
set -euo pipefail

case ${1:-sip} in
# Kamailio comes with its TLS modules, as for the tests: whoever finds the program looks no further.
sip) peers=(sipp=sip-tester kamailio=kamailio,kamailio-tls-modules) ;;
media) peers=(rtpengine=rtpengine-daemon) ;;
*)
	echo "install.sh: $1: want sip or media" >&2
	exit 2
	;;
esac
exec "$(dirname "$0")/../internal/interop/need.sh" bench "${peers[@]}" taskset=util-linux
