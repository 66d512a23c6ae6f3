package media

import (
	"fmt"
	"net/netip"
	"testing"
	"time"

	"github.com/cordonsip/cordon/sovereign"
)

// text is one line per move.
func (m *moves) text() (s string) {
	for _, m := range m.list() {
		s += fmt.Sprintf("%d %s %v>%v %v\n", m.Side, m.Cause, m.From, m.To, m.Allowed)
	}
	return s
}

// Conforms: RFC 4961 section 3
func TestPlainLatch(t *testing.T) {
	bubble(t, func(t *testing.T) {
		leg := plainLeg("carrier")
		leg.Prefixes = []netip.Prefix{netip.MustParsePrefix("127.0.1.128/25"), netip.MustParsePrefix("127.0.66.0/24")}
		c := newTalking(t, leg, plainLeg("fra"))
		other := c.a.bind(netip.AddrPortFrom(aliceAddr, 4444))
		prefix := c.a.bind(netip.MustParseAddrPort("127.0.1.200:4000"))
		stranger := c.a.bind(netip.MustParseAddrPort("127.0.1.11:4000"))
		abroad := c.a.bind(netip.MustParseAddrPort("127.0.66.1:4000"))
		if n := c.hears(c.b, c.a, 3); n != 3 {
			t.Fatalf("A gets %d of 3 before it spoke", n)
		}
		try := func(s *socket) bool {
			c.a.from(s, c.a.next())
			return len(c.b.got(c.b.rtp)) == 1
		}
		if try(stranger) {
			t.Error("another address of nobody was latched")
		}
		if try(abroad) {
			t.Error("a held place was latched")
		}
		// NAT: the same address from another port, before anything came from the port that was announced.
		if !try(other) {
			t.Error("the announced address was not taken from another port")
		}
		c.b.talk(1)
		if len(c.a.got(other)) != 1 || len(c.a.got(c.a.rtp)) != 0 {
			t.Error("packets do not follow the latch")
		}
		// An injection: the announced port speaks as well while the latched one does.
		if try(c.a.rtp) {
			t.Error("a second source was taken while the first one speaks")
		}
		wait(time.Second)
		if !try(prefix) {
			t.Error("after silence the declared prefix was not taken")
		}
		wait(time.Second)
		if try(other) {
			t.Error("it moved twice within one offer and answer")
		}
		// A new offer and answer gives one more.
		offer := ok(c.s.Offer(A, c.a.sdp(), c.legs[B]))(t)
		c.b.reads(offer)
		ok(c.s.Answer(B, c.b.sdp()))(t)
		wait(time.Second)
		if !try(other) {
			t.Error("after a re-INVITE it may not move")
		}
		r := c.s.Report()
		if r.Sides[A].Refused != 4 || r.Sides[A].RxPackets != 3 || r.Sides[A].Remote != other.at {
			t.Errorf("%+v", r.Sides[A])
		}
		want := `1 answer invalid AddrPort>127.0.2.10:5000 true
1 answer invalid AddrPort>127.0.2.10:5001 true
0 offer invalid AddrPort>127.0.1.10:4000 true
0 offer invalid AddrPort>127.0.1.10:4001 true
0 rebind 127.0.1.10:4000>127.0.1.11:4000 false
0 rebind 127.0.1.10:4000>127.0.66.1:4000 false
0 rebind 127.0.1.10:4000>127.0.1.10:4444 true
0 rebind 127.0.1.10:4444>127.0.1.200:4000 true
0 rebind 127.0.1.200:4000>127.0.1.10:4444 false
0 rebind 127.0.1.200:4000>127.0.1.10:4444 true
`
		if got := c.moves.text(); got != want {
			t.Errorf("moves\n%swant\n%s", got, want)
		}
	})
}

func TestSRTPLatchNeedsAuthentication(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c := newTalking(t, srtpLeg("carrier"), srtpLeg("fra"))
		far := c.a.bind(netip.MustParseAddrPort("127.0.2.99:4000"))
		abroad := c.a.bind(netip.MustParseAddrPort("127.0.66.1:4000"))
		c.a.from(far, packet(1, 1, 1, []byte("forged, long enough to be a packet with its tag")))
		c.a.from(far, sealed(t, newCrypto("1", AES_CM_128_HMAC_SHA1_80), c.a.ssrc, 1001))
		if n := len(c.b.got(c.b.rtp)); n != 0 {
			t.Errorf("%d forged packets were passed on", n)
		}
		c.a.from(abroad, c.a.next())
		if n := len(c.b.got(c.b.rtp)); n != 0 {
			t.Errorf("%d authentic packets from a held place were passed on", n)
		}
		c.a.from(far, c.a.next())
		c.b.talk(1)
		if len(c.b.got(c.b.rtp)) != 1 || len(c.a.got(far)) != 1 {
			t.Error("an authentic packet from a permitted place was not latched")
		}
		if c.hears(c.b, c.a, 1) != 0 {
			t.Error("the announced address still gets packets")
		}
		r := c.s.Report()
		if r.Sides[A].Refused != 3 || r.Sides[A].PerCountry["CH"] != 1 || r.Sides[A].Remote != far.at {
			t.Errorf("%+v", r.Sides[A])
		}
		refused := 0
		for _, m := range r.Moves {
			if !m.Allowed {
				refused++
				if m.To != abroad.at || m.Ruling.Verdict != sovereign.Hold && m.Ruling.Verdict != sovereign.Deny || m.Ruling.Country != "US" {
					t.Errorf("refused move %+v", m)
				}
			}
		}
		if refused != 1 {
			t.Errorf("%d refused moves are told, want the held one alone", refused)
		}
	})
}

// TestFloodOfStrangers: the slow path is bounded, the call goes on, and no stranger is told of twice.
func TestFloodOfStrangers(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c := newTalking(t, srtpLeg("carrier"), plainLeg("fra"))
		if n := c.hears(c.a, c.b, 5); n != 5 {
			t.Fatalf("%d of 5", n)
		}
		abroad := netip.MustParseAddr("127.0.66.1")
		for i := range 300 {
			s := &socket{n: c.n, at: netip.AddrPortFrom(abroad, uint16(10000+i))}
			c.a.from(s, c.a.next())
			if i%100 == 50 {
				if n := c.hears(c.a, c.b, 5); n != 5 {
					t.Errorf("%d of 5 while 20 shout", n)
				}
			}
		}
		if n := len(c.s.Report().Moves); n != 8 {
			t.Errorf("%d moves", n)
		}
		// While they shout, a far end that really moved waits for its turn like any stranger.
		moved := c.a.bind(netip.MustParseAddrPort("127.0.2.99:4000"))
		if c.a.from(moved, c.a.next()); len(c.b.got(c.b.rtp)) != 0 {
			t.Error("20 are looked at without a limit")
		}
		wait(time.Second)
		if c.a.from(moved, c.a.next()); len(c.b.got(c.b.rtp)) != 1 {
			t.Error("a moved far end is not taken a second later")
		}
		if r := c.s.Report().Sides[A]; r.Refused != 301 || r.RxPackets != 21 || r.Lost < 0 {
			t.Errorf("%+v", r)
		}
	})
}

func TestLawChangesUnderACall(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c := newTalking(t, plainLeg("carrier"), srtpLeg("fra"))
		both := func() [2]int { return [2]int{c.hears(c.a, c.b, 3), c.hears(c.b, c.a, 3)} }
		if got := both(); got != [2]int{3, 3} {
			t.Fatalf("before: %v", got)
		}
		var out int
		c.n.tap = func(from, to netip.AddrPort, b []byte) {
			if from.Addr() == relayAddr && to.Addr() == bobAddr {
				out++
			}
		}
		c.fence.Swap(snapshot(t, "aws:eu-central-1"))
		if got := both(); got != [2]int{0, 0} || out != 0 {
			t.Errorf("after Zurich left the law: %v, %d datagrams to it", got, out)
		}
		if got := both(); got != [2]int{0, 0} {
			t.Errorf("still: %v", got)
		}
		c.fence.Swap(europe(t))
		if got := both(); got != [2]int{3, 3} {
			t.Errorf("after it came back: %v", got)
		}
		var law []Move
		for _, m := range c.moves.list() {
			if m.Cause == "law" {
				law = append(law, m)
			}
		}
		if len(law) != 2 || law[0].Allowed || law[0].Side != B || law[0].To != c.b.rtp.at || law[0].Ruling.Permitted() || !law[1].Allowed || !law[1].Ruling.Permitted() {
			t.Errorf("told: %+v", law)
		}
		if r := c.s.Report(); r.Sides[B].Refused != 6 {
			t.Errorf("refused %d", r.Sides[B].Refused)
		}
	})
}
