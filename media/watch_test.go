package media

import (
	"bytes"
	"net/netip"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

func TestWatchingSeesHeadersOfBothSidesAndNothingBehindThem(t *testing.T) {
	bubble(t, func(t *testing.T) {
		bed := newBed(t, newNetwork().listen)
		aLeg, bLeg := plainLeg("carrier"), srtpLeg("fra")
		alice := bed.endpoint(aliceAddr, aLeg, Tone{})
		bob := bed.endpoint(bobAddr, bLeg, Tone{Echo: true})
		s := bed.open(aLeg)
		call(t, s, alice, bob, bLeg)
		var mu sync.Mutex
		ways := map[[2]netip.Addr]int{}
		stop, ok := s.r.Watch(s.id, func(h Header) {
			mu.Lock()
			defer mu.Unlock()
			ways[[2]netip.Addr{h.From.Addr(), h.To.Addr()}]++
			if len(h.Bytes) != 12 || h.Size < 172 || h.Bytes[0]>>6 != 2 || cap(bytes.Clone(h.Bytes)) == 0 {
				t.Errorf("a header of %d bytes of a packet of %d", len(h.Bytes), h.Size)
			}
		})
		if !ok {
			t.Fatal("the session was not found")
		}
		if _, again := s.r.Watch(s.id, func(Header) {}); again {
			t.Error("two watch one session")
		}
		if _, none := s.r.Watch("nothing", func(Header) {}); none {
			t.Error("a session that is not there is watched")
		}
		speak(time.Second+time.Millisecond, alice)
		synctest.Wait()
		stop()
		mu.Lock()
		if len(ways) != 4 {
			t.Errorf("the ways: %v", ways)
		}
		for way, n := range ways {
			if n != 50 {
				t.Errorf("%v: %d headers", way, n)
			}
		}
		mu.Unlock()
		speak(time.Second, alice)
		synctest.Wait()
		s.Close()
		for way, n := range ways {
			if n != 50 {
				t.Errorf("%v after its end: %d headers", way, n)
			}
		}
	})
}
