//go:build interop

package interop

import (
	"regexp"
	"strconv"
	"sync"
	"testing"
)

// Synthetic calls to a phone over TLS and SRTP, several at once, say how they sounded.
func TestSyntheticCallsToAPhoneAreRated(t *testing.T) {
	net := connect(t, 1, 5, 10)
	w := &world{at: net.in[5], edge: lan(5, 10), dir: t.TempDir()}
	w.pki(t, "edge.lab.example,"+lan(5, 10), "fra.lab.example")
	fra := newPhone(t, phoneOptions{at: net.in[10], addr: lan(10, 10), user: "+4969123456", secure: true, source: "echoes", pki: w, name: "fra"})
	trunk := answer(t, lan(1, 10), quiet, options{at: net.in[1]})
	w.trunks, w.groups = []party{trunk.as("carrier", "udp")}, []party{fra.as("fra", "tls")}
	l := boot(t, w, "fra")
	said := regexp.MustCompile(`^200 over fra.* MOS ([0-9.]+);`)
	var all sync.WaitGroup
	for range 3 {
		all.Go(func() {
			out, err := l.cli("ops", "call", "carrier", "+4969123456", "--hold", "5s")
			m := said.FindStringSubmatch(out)
			if err != nil || m == nil {
				t.Errorf("%v: %s", err, out)
				return
			}
			if mos, err := strconv.ParseFloat(m[1], 64); err != nil || mos < 4 {
				t.Errorf("%v: %s", err, out)
			}
		})
	}
	all.Wait()
	l.stop()
}
