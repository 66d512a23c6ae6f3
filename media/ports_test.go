package media

import (
	"context"
	"net/netip"
	"slices"
	"testing"
	"testing/synctest"
	"time"
)

func TestTheLastPairsAreKeptForCallsForHelp(t *testing.T) {
	c := Config{Listen: newNetwork().door, Ports: [2]uint16{20000, 20031}} // 16 pairs, 2 of them kept
	p, err := newPorts(&c)
	if err != nil {
		t.Fatal(err)
	}
	a := netip.MustParseAddr("192.0.2.1")
	n := 0
	for ; ; n++ {
		if _, err := p.open(a, false); err != nil {
			break
		}
	}
	if n != 14 {
		t.Errorf("%d pairs for everybody, want 14", n)
	}
	for range 2 {
		if _, err := p.open(a, true); err != nil {
			t.Errorf("a call for help: %v", err)
		}
	}
	if _, err := p.open(a, true); err == nil {
		t.Error("a seventeenth pair of sixteen")
	}
}

// parking is a bed whose relay runs on a network that reads.
func parking(t *testing.T, lo, hi uint16) (*bed, *network) {
	t.Helper()
	n := newNetwork()
	n.reads = true
	c := newBed(t, n.door).cfg
	c.Ports = [2]uint16{lo, hi}
	r, err := New(c)
	if err != nil {
		t.Fatal(err)
	}
	runs(t, r.Run)
	synctest.Wait()
	return &bed{t: t, fence: c.Fence, relay: r, cfg: c}, n
}

// pairs opens n pairs and gives them all back.
func (b *bed) pairs(n int) []*pair {
	b.t.Helper()
	p := b.relay.ports
	all := make([]*pair, n)
	for i := range all {
		all[i] = ok(p.open(relayAddr, false))(b.t)
	}
	for _, pr := range all {
		p.free(pr, true)
	}
	return all
}

// TestPairsStayOpenForTheNextCall: after their rest, where there are enough to choose from, and not for ever.
func TestPairsStayOpenForTheNextCall(t *testing.T) {
	for _, ports := range [][2]uint16{{20000, 29999}, {0, 0}} {
		synctest.Test(t, func(t *testing.T) {
			b, n := parking(t, ports[0], ports[1])
			p := b.relay.ports
			first := b.pairs(leastChoice)
			if n.sockets() != 2*leastChoice || p.idle() != leastChoice {
				t.Fatalf("%d sockets, %d pairs idle", n.sockets(), p.idle())
			}
			time.Sleep(5*time.Second - time.Nanosecond)
			early := ok(p.open(relayAddr, false))(t)
			if slices.Contains(first, early) || slices.ContainsFunc(first, func(pr *pair) bool { return pr.port == early.port }) {
				t.Error("a pair was given away before its rest was over")
			}
			time.Sleep(time.Nanosecond)
			again := ok(p.open(relayAddr, false))(t)
			if !slices.Contains(first, again) || n.sockets() != 2*leastChoice+2 {
				t.Errorf("a new pair though %d rested; %d sockets", leastChoice, n.sockets())
			}
			other := ok(p.open(relayAddr, false))(t)
			if slices.Contains(first, other) {
				t.Errorf("a pair out of only %d", leastChoice-1)
			}
			if o, r := p.opened.Load(), p.reused.Load(); o != leastChoice+2 || r != 1 {
				t.Errorf("%d opened, %d reused", o, r)
			}
			for _, pr := range []*pair{early, again, other} {
				p.free(pr, true)
			}
			time.Sleep(maxIdle + 2*sweepEvery)
			if n.sockets() != 0 || p.idle() != 0 {
				t.Errorf("%d sockets, %d pairs idle after more than a minute", n.sockets(), p.idle())
			}
			b.pairs(1) // closed ports are free again
		})
	}
}

// TestTheNextPairCannotBeGuessed: which of the rested pairs comes next is chance.
func TestTheNextPairCannotBeGuessed(t *testing.T) {
	seen := map[int]bool{}
	for range 20 {
		synctest.Test(t, func(t *testing.T) {
			b, _ := parking(t, 20000, 29999)
			rested := b.pairs(2 * leastChoice)
			time.Sleep(6 * time.Second)
			drawn := ok(b.relay.ports.open(relayAddr, false))(t)
			seen[slices.Index(rested, drawn)] = true
			drawn.close()
		})
	}
	if len(seen) < 10 || seen[-1] {
		t.Errorf("20 draws out of %d gave %d different ones: %v", 2*leastChoice, len(seen), seen)
	}
}

// TestParkedPairsAreBounded, and every one of a small range is used before a call is refused; the reserve is not kept open for everybody.
func TestParkedPairsAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, n := parking(t, 20000, 29999)
		b.pairs(maxParked + 20)
		if p := b.relay.ports; p.idle() != maxParked || n.sockets() != 2*maxParked {
			t.Errorf("%d pairs idle, %d sockets", p.idle(), n.sockets())
		}
		small, _ := parking(t, 20000, 20031)
		p := small.relay.ports
		for range 3 {
			small.pairs(14)
			if _, err := p.open(relayAddr, false); err == nil {
				t.Error("a pair that still rests, or one of the reserve")
			}
			time.Sleep(5 * time.Second)
		}
		var urgent []*pair
		for range 16 {
			urgent = append(urgent, ok(p.open(relayAddr, true))(t))
		}
		for _, pr := range urgent {
			p.free(pr, true)
		}
		if p.idle() != 14 {
			t.Errorf("%d pairs idle, want all but the two of the reserve", p.idle())
		}
	})
}

// TestLatePacketsDoNotReachTheNextCall: a far end that goes on after its call is heard by nobody, whoever has the sockets by then.
func TestLatePacketsDoNotReachTheNextCall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		time.Sleep(time.Until(time.Date(2026, 5, 1, 0, 0, 0, 0, time.UTC)))
		b, n := parking(t, 20000, 20007) // four pairs: the next call gets the same sockets
		a, z := newPeer(t, n, aliceAddr, 4000, ""), newPeer(t, n, bobAddr, 5000, "")
		up := func() *Session {
			s := ok(b.relay.Open("call", plainLeg("carrier")))(t)
			z.reads(ok(s.Offer(A, a.sdp(), plainLeg("fra")))(t))
			a.reads(ok(s.Answer(B, z.sdp()))(t))
			return s
		}
		for range 2 {
			s, t2 := up(), up()
			a.talk(3)
			gone := t2.legs[A].Load()
			if r := t2.Close(); r.Sides[A].RxPackets != 3 || r.Sides[A].Refused != 0 {
				t.Errorf("the call itself: %+v", r.Sides[A])
			}
			if r := s.Close(); r.Sides[A].RxPackets != 0 || r.Sides[A].Refused != 0 {
				t.Errorf("the call beside it: %+v", r.Sides[A])
			}
			for range 10 {
				a.talk(1) // while the pair rests, and after
				time.Sleep(time.Second)
			}
			if gone.packets.Load() != 3 || gone.refused.Load() != 0 {
				t.Error("the leg of an ended call was handed packets")
			}
		}
		if n.sockets() != 4+8 || b.relay.ports.reused.Load() == 0 {
			t.Errorf("%d sockets, %d pairs reused", n.sockets(), b.relay.ports.reused.Load())
		}
	})
}

// TestRunClosesParkedPairs: what is open when the relay ends belongs to nobody.
func TestRunClosesParkedPairs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork()
		n.reads = true
		r := ok(New(newBed(t, n.door).cfg))(t)
		b := &bed{t: t, relay: r}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- r.Run(ctx) }()
		synctest.Wait()
		b.pairs(5)
		if n.sockets() != 10 {
			t.Errorf("%d sockets are kept", n.sockets())
		}
		cancel()
		<-done
		if b.pairs(1); n.sockets() != 0 || r.ports.idle() != 0 {
			t.Errorf("%d sockets", n.sockets())
		}
	})
}
