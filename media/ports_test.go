package media

import (
	"context"
	"errors"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cordonsip/cordon/sovereign"
)

func TestTheLastPairsAreKeptForCallsForHelp(t *testing.T) {
	p := newBed(t, newNetwork().listen, func(c *Config) { c.Ports = [2]uint16{20000, 20031} }).relay.ports // 16 pairs, 2 of them kept
	a := home{addr: netip.MustParseAddr("192.0.2.1")}
	n := 0
	for ; ; n++ {
		if _, err := p.get(a, false); err != nil {
			break
		}
	}
	if n != 14 {
		t.Errorf("%d pairs for everybody, want 14", n)
	}
	for range 2 {
		if _, err := p.get(a, true); err != nil {
			t.Errorf("a call for help: %v", err)
		}
	}
	if _, err := p.get(a, true); err == nil {
		t.Error("a seventeenth pair of sixteen")
	}
}

// parking is a bed whose relay runs on a network that reads.
func parking(t *testing.T, lo, hi uint16, tune ...func(*Config)) (*bed, *network) {
	t.Helper()
	n := newNetwork()
	n.reads = true
	c := newBed(t, n.door).cfg
	c.Ports = [2]uint16{lo, hi}
	for _, f := range tune {
		f(&c)
	}
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
		all[i] = ok(p.get(home{addr: relayAddr}, false))(b.t)
	}
	for _, pr := range all {
		p.free(pr)
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
			early := ok(p.get(home{addr: relayAddr}, false))(t)
			if slices.Contains(first, early) || slices.ContainsFunc(first, func(pr *pair) bool { return pr.port == early.port }) {
				t.Error("a pair was given away before its rest was over")
			}
			time.Sleep(time.Nanosecond)
			again := ok(p.get(home{addr: relayAddr}, false))(t)
			if !slices.Contains(first, again) || n.sockets() != 2*leastChoice+2 {
				t.Errorf("a new pair though %d rested; %d sockets", leastChoice, n.sockets())
			}
			other := ok(p.get(home{addr: relayAddr}, false))(t)
			if slices.Contains(first, other) {
				t.Errorf("a pair out of only %d", leastChoice-1)
			}
			if o, r := p.opened.Load(), p.reused.Load(); o != leastChoice+2 || r != 1 {
				t.Errorf("%d opened, %d reused", o, r)
			}
			for _, pr := range []*pair{early, again, other} {
				p.free(pr)
			}
			time.Sleep(lookBack * sweepEvery)
			if p.idle() != leastChoice+2 {
				t.Errorf("%d pairs idle within a minute", p.idle())
			}
			time.Sleep((leastChoice/giveBack + 2) * sweepEvery)
			if n.sockets() != 0 || p.idle() != 0 {
				t.Errorf("%d sockets, %d pairs idle when no call came for minutes", n.sockets(), p.idle())
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
			drawn := ok(b.relay.ports.get(home{addr: relayAddr}, false))(t)
			seen[slices.Index(rested, drawn)] = true
			b.relay.ports.shut(drawn)
		})
	}
	if len(seen) < 10 || seen[-1] {
		t.Errorf("20 draws out of %d gave %d different ones: %v", 2*leastChoice, len(seen), seen)
	}
}

// TestParkedPairsAreBounded, and every one of a small range is used before a call is refused; the reserve is not kept open for everybody.
func TestParkedPairsAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const calls = 10 // 160 pairs
		b, n := parking(t, 20000, 29999, func(c *Config) { c.Calls = calls })
		b.pairs(keptPerCall*calls + 20)
		if p := b.relay.ports; p.idle() != keptPerCall*calls || n.sockets() != 2*keptPerCall*calls {
			t.Errorf("%d pairs idle, %d sockets", p.idle(), n.sockets())
		}
		small, _ := parking(t, 20000, 20031)
		p := small.relay.ports
		for range 3 {
			small.pairs(14)
			if _, err := p.get(home{addr: relayAddr}, false); err == nil {
				t.Error("a pair that still rests, or one of the reserve")
			}
			time.Sleep(5 * time.Second)
		}
		var urgent []*pair
		for range 16 {
			urgent = append(urgent, ok(p.get(home{addr: relayAddr}, true))(t))
		}
		for _, pr := range urgent {
			p.free(pr)
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
			if r := t2.Report(); r.Sides[A].RxPackets != 3 || r.Sides[A].Refused != 0 {
				t.Errorf("an ended call was handed packets: %+v", r.Sides[A])
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

// TestASteadyStateOpensNoSocket: once the calls of a while are there, the next ones get along with the sockets of the earlier ones.
func TestASteadyStateOpensNoSocket(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		time.Sleep(time.Until(time.Date(2026, 5, 1, 0, 0, 0, 0, time.UTC)))
		var listens atomic.Int64
		b, n := parking(t, 20000, 29999, func(c *Config) {
			door := c.Listen
			c.Listen = func(at netip.AddrPort) (sovereign.UDPConn, error) {
				listens.Add(1)
				return door(at)
			}
		})
		a, z := newPeer(t, n, aliceAddr, 4000, ""), newPeer(t, n, bobAddr, 5000, "")
		// Ten calls a second, half a second each: with the five seconds of their rest, that is 110 pairs that cannot be drawn.
		var wg sync.WaitGroup
		run := func(calls int) (waited int) {
			for range calls {
				s := ok(b.relay.Open("call", plainLeg("carrier")))(t)
				offer, done, err := s.TryOffer(A, a.sdp(), plainLeg("fra"))
				if !done {
					waited++
					offer, err = s.Offer(A, a.sdp(), plainLeg("fra"))
				}
				if err != nil || offer == nil {
					t.Fatal(err)
				}
				ok(s.Answer(B, z.sdp()))(t)
				wg.Go(func() {
					time.Sleep(500 * time.Millisecond)
					if _, done := s.TryClose(); !done {
						t.Error("it would have waited for the end of a call")
					}
				})
				time.Sleep(100 * time.Millisecond)
			}
			wg.Wait()
			return waited
		}
		if waited := run(200); waited == 0 || listens.Load() == 0 {
			t.Error("the first calls had sockets before anybody opened them")
		}
		before, open := listens.Load(), n.sockets()
		if waited := run(1800); waited != 0 || listens.Load() != before || n.sockets() != open {
			t.Errorf("three minutes of calls opened %d sockets, left %d of %d open, and %d waited for one", listens.Load()-before, n.sockets(), open, waited)
		}
		if most := int64(2 * 2 * (5 + 55 + leastChoice)); before > most {
			t.Errorf("%d sockets for them, want %d at most", before, most)
		}
		// A peak is given back, slowly, and what the calls need is not.
		all := make([]*pair, 500)
		for i := range all {
			all[i] = ok(b.relay.ports.get(home{addr: relayAddr}, false))(t)
		}
		for _, pr := range all {
			b.relay.ports.free(pr)
		}
		run(600) // a minute
		if n.sockets() < 2*500 {
			t.Errorf("%d sockets are left of a peak of 500 pairs after a minute", n.sockets())
		}
		run(6000)
		before = listens.Load()
		if waited := run(600); waited != 0 || listens.Load() != before || n.sockets() > open+2*leastChoice {
			t.Errorf("%d sockets are open long after a peak, %d before it; %d opened, %d calls waited", n.sockets(), open, listens.Load()-before, waited)
		}
	})
}

// TestOpenSocketsAreBounded: at the bound a pair that rests is closed for the one that is opened, its ports rest on, and a call for help is not refused.
func TestOpenSocketsAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, n := parking(t, 20000, 29999, func(c *Config) { c.Sockets = 40 })
		p := b.relay.ports
		first := b.pairs(20)
		if n.sockets() != 40 {
			t.Fatalf("%d sockets", n.sockets())
		}
		var live []*pair
		for range 20 {
			pr := ok(p.get(home{addr: relayAddr}, false))(t)
			if slices.ContainsFunc(first, func(old *pair) bool { return old.port == pr.port }) {
				t.Error("ports of a pair that was closed before its rest was over")
			}
			if live = append(live, pr); n.sockets() != 40 {
				t.Errorf("%d sockets", n.sockets())
			}
		}
		if _, err := p.get(home{addr: relayAddr}, false); !errors.Is(err, errNoSocket) {
			t.Errorf("a twenty-first pair: %v", err)
		}
		help := ok(p.get(home{addr: relayAddr}, true))(t)
		for _, pr := range append(live, help) {
			p.free(pr)
		}
		time.Sleep(6 * time.Second)
		// Where few rested, none of them is drawn while another can be opened.
		pr := ok(p.get(home{addr: relayAddr}, false))(t)
		if slices.Contains(live, pr) || n.sockets() > 42 {
			t.Errorf("%d sockets", n.sockets())
		}
		p.free(pr)
	})
}
