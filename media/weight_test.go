package media

import (
	"net/netip"
	"testing"
	"testing/synctest"
	"time"
)

// The bounds of what a call without SRTP may weigh, where its sockets are there already, with some room: it holds 4.1 KB and takes 10 allocations.
const (
	heapPerCall   = 4400 // bytes while it is up
	allocsPerCall = 10   // to set it up and to take it down
)

// TestWeightOfASession holds what a call costs in memory.
func TestWeightOfASession(t *testing.T) {
	const calls = 1000
	synctest.Test(t, func(t *testing.T) {
		time.Sleep(time.Until(time.Date(2026, 5, 1, 0, 0, 0, 0, time.UTC)))
		b, _ := parking(t, 20000, 29999, func(c *Config) { c.Moved = nil })
		offer, answer := benchOffer(netip.AddrPortFrom(aliceAddr, 40000)), benchAnswer(netip.AddrPortFrom(bobAddr, 40000))
		up := func() *Session {
			s := ok(b.relay.Open("call", plainLeg("carrier")))(t)
			if _, _, err := s.TryOffer(A, offer, plainLeg("fra")); err != nil {
				t.Fatal(err)
			}
			if s.legs[B].Load() == nil {
				ok(s.Offer(A, offer, plainLeg("fra")))(t)
			}
			ok(s.Answer(B, answer))(t)
			return s
		}
		all := make([]*Session, calls)
		for _, weigh := range []bool{false, false, true} { // the first two times open sockets, enough to choose from
			synctest.Wait()
			b.relay.spare.list = nil // what earlier calls left is no part of these
			before := memory()
			for i := range all {
				all[i] = up()
			}
			if each := (memory() - before) / calls; weigh && each > heapPerCall {
				t.Errorf("a call holds %.0f bytes, %d are allowed", each, heapPerCall)
			} else if weigh {
				t.Logf("a call holds %.0f bytes", each)
			}
			for _, s := range all {
				s.Close()
			}
			clear(all)
			time.Sleep(6 * time.Second)
		}
		if n := testing.AllocsPerRun(200, func() { up().Close() }); n > allocsPerCall {
			t.Errorf("a call takes %.0f allocations, %d are allowed", n, allocsPerCall)
		} else {
			t.Logf("a call takes %.0f allocations", n)
		}
	})
}

// TestWhoMustNotWaitIsTold: where sockets must be opened, and while somebody else negotiates, nothing is tried.
func TestWhoMustNotWaitIsTold(t *testing.T) {
	bed := newBed(t, newNetwork().listen)
	s := bed.open(plainLeg("carrier"))
	offer, answer := benchOffer(netip.AddrPortFrom(aliceAddr, 40000)), benchAnswer(netip.AddrPortFrom(bobAddr, 40000))
	try := func() bool {
		_, done, err := s.TryOffer(A, offer, plainLeg("fra"))
		if err != nil {
			t.Fatal(err)
		}
		return done
	}
	if try() {
		t.Error("an offer without sockets")
	}
	ok(s.Offer(A, offer, plainLeg("fra")))(t)
	if try() {
		t.Error("a second attempt without sockets")
	}
	ok(s.Offer(A, offer, plainLeg("fra")))(t)
	ok(s.Answer(B, answer))(t)
	if _, done := s.TryClose(); !done {
		t.Error("nothing is there to wait for")
	}
	busy := bed.open(plainLeg("carrier"))
	busy.mu.Lock()
	_, offered, _ := busy.TryOffer(A, offer, plainLeg("fra"))
	_, closed := busy.TryClose()
	busy.mu.Unlock()
	if offered || closed {
		t.Error("somebody else negotiates, and is waited for")
	}
	// What cannot be taken at all is refused at once: that needs no socket.
	if _, done, err := busy.TryOffer(A, []byte("nonsense"), plainLeg("fra")); !done || err == nil {
		t.Errorf("%v %v", done, err)
	}
}
