#!/usr/bin/env bash
# Installs the real peers that the benches run: SIPp and Kamailio. Does nothing when they are there.
set -euo pipefail

# Kamailio comes with its TLS modules, as for the tests: whoever finds the program looks no further.
exec "$(dirname "$0")/../internal/interop/need.sh" bench sipp=sip-tester kamailio=kamailio,kamailio-tls-modules taskset=util-linux
