#!/usr/bin/env bash
# Installs the real peers that the tests of this folder call. Does nothing when they are there.
set -euo pipefail

if [ "$(id -u)" != 0 ]; then
	echo "interop: run it as root: the tests make network namespaces, and SIPp plays audio through a raw socket" >&2
	exit 1
fi
"$(dirname "$0")/need.sh" interop sipp=sip-tester baresip=baresip-core linphone-daemon=linphone-cli kamailio=kamailio,kamailio-tls-modules \
	svmap=sipvicious sngrep=sngrep tshark=tshark tcpdump=tcpdump ip=iproute2 rtpengine=rtpengine-daemon curl=curl knotd=knot knsupdate=knot-dnsutils

# A server with object lock is a Go program; building it takes some minutes the first time.
if ! command -v versitygw >/dev/null 2>&1; then
	echo "interop: building versitygw"
	GOBIN=/usr/local/bin GOFLAGS=-modcacherw go install github.com/versity/versitygw/cmd/versitygw@v1.8.0
fi
