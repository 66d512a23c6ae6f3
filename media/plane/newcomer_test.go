package plane

import (
	"testing"
	"time"
)

// TestNewSourcesAreRationed: under the far end's own address, which anybody can write into a packet of plain RTP, sources that never end do not drown the one that
// speaks; a far end that starts anew now and then is heard.
func TestNewSourcesAreRationed(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b := newBed(t, Config{})
		alice, bob := b.call(0, 0)
		alice.rtp.take(alice.next(), alice.at)
		sent, refused := bob.rtp.sent, read(b, alice).Refused
		for i := range uint32(1000) {
			alice.rtp.take(packet(0x9000+i, 1, 1, make([]byte, 160)), alice.at)
		}
		if n := bob.rtp.sent - sent; n > plainSources {
			t.Errorf("%d of 1000 sources were taken in no time", n)
		}
		if n := read(b, alice).Refused - refused; n < 1000-plainSources {
			t.Errorf("%d packets of new sources were refused", n)
		}
		sent = bob.rtp.sent
		if alice.rtp.take(alice.next(), alice.at); bob.rtp.sent != sent+1 {
			t.Error("the source that spoke all the time is not heard any more")
		}
		for i := range uint32(5) { // a far end whose music, announcements and agents are sources of their own
			time.Sleep(time.Second)
			sent = bob.rtp.sent
			if alice.rtp.take(packet(0x7000+i, 1, 1, make([]byte, 160)), alice.at); bob.rtp.sent != sent+1 {
				t.Errorf("new source %d is not heard", i)
			}
		}
	})
}

func read(b *bed, e *end) Counters {
	c, _ := b.Read(e.Ref)
	return c
}
