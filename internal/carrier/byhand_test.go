package carrier

import (
	"bytes"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cordonsip/cordon/internal/vnet"
)

// TestSealAndOpen: who plays a call himself speaks with the keys that were negotiated, and a copy is refused.
func TestSealAndOpen(t *testing.T) {
	for _, secure := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t, vnet.Quality{Delay: time.Millisecond}, func(c, e *Config) { c.SRTP, e.SRTP = secure, secure })
			defer w.stop()
			c := w.call(CallOptions{To: "4969123456", NoMedia: true})
			<-c.Answered()
			other := w.edge.Calls()[0]
			plain := packet(&media{}, 7, nil)
			wire, err := c.Seal(bytes.Clone(plain))
			if err != nil || bytes.Equal(wire, plain) == secure {
				t.Fatalf("SRTP %t: % x, %v", secure, wire, err)
			}
			got, err := other.Open(bytes.Clone(wire))
			if err != nil || !bytes.Equal(got, plain) {
				t.Errorf("SRTP %t: % x, %v", secure, got, err)
			}
			if _, err := other.Open(wire); (err != nil) != secure {
				t.Errorf("SRTP %t: a copy: %v", secure, err)
			}
			if to := c.Media().Remote; to == (netip.AddrPort{}) || to != other.Media().Local {
				t.Errorf("%v is not where %+v is", to, other.Media())
			}
		})
	}
}
