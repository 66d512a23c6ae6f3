package carrier

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/cordonsip/cordon/internal/vnet"
)

// TestFax: a call switches to a fax, whose packets come back as they were, and to audio again, with its streams as they were.
func TestFax(t *testing.T) {
	for _, secure := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t, vnet.Quality{Delay: 5 * time.Millisecond}, func(a, _ *Config) { a.SRTP = secure })
			defer w.stop()
			c := w.call(CallOptions{})
			<-c.Answered()
			time.Sleep(time.Second)
			for range 2 {
				if s, err := c.Fax(t.Context()); s != 200 || err != nil {
					t.Fatal(s, err)
				}
				before := c.Media()
				time.Sleep(time.Second)
				if m := c.Media(); m.FaxMatched-before.FaxMatched < 45 || m.Sent != before.Sent {
					t.Errorf("%+v", m)
				}
				if s, err := c.Voice(t.Context()); s != 200 || err != nil {
					t.Fatal(s, err)
				}
				before = c.Media()
				time.Sleep(time.Second)
				if m := c.Media(); m.Matched-before.Matched < 45 || m.FaxSent != before.FaxSent || m.AuthFailed > 0 {
					t.Errorf("%+v", m)
				}
			}
			if err := c.Hangup(t.Context()); err != nil {
				t.Error(err)
			}
		})
	}
}
