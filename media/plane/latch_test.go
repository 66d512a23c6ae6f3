package plane

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	ours "github.com/cordonsip/cordon/media/srtp"
)

// bubble runs f in a time of its own, when the law of the tests is in force.
func bubble(t *testing.T, f func(t *testing.T)) {
	synctest.Test(t, func(t *testing.T) {
		time.Sleep(time.Until(time.Date(2026, 5, 1, 0, 0, 0, 0, time.UTC)))
		f(t)
	})
}

// lines is one line per move.
func lines(all []Move) string {
	var s strings.Builder
	for _, m := range all {
		fmt.Fprintf(&s, "%v>%v %v\n", m.From, m.To, m.Allowed)
	}
	return s.String()
}

// from has the far end send one packet from somewhere and says whether it crosses.
func (e *end) from(at netip.AddrPort, to *end) bool {
	was := to.rtp.sent
	e.rtp.take(e.next(), at)
	return to.rtp.sent > was
}

// Conforms: RFC 4961 section 3
func TestPlainLatch(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b := newBed(t, Config{})
		alice, bob := b.call(0, 0)
		alice.Serial++
		alice.Prefixes = []netip.Prefix{netip.MustParsePrefix("127.0.1.128/25"), netip.MustParsePrefix("127.0.66.0/24")}
		b.Close(Ref{1, 7})
		b.Open(alice.Open)
		b.Set(alice.set())
		b.Join(alice.Ref, bob.Ref)
		other, inside := port(alice.at, 4444), netip.MustParseAddrPort("127.0.1.200:4000")
		stranger := netip.MustParseAddrPort("127.0.1.11:4000")
		for i, step := range []struct {
			at   netip.AddrPort
			wait time.Duration
			want bool
		}{
			{stranger, 0, false},              // neither announced nor declared
			{stranger, 0, false},              // told once
			{heldAddr, 0, false},              // declared, and not permitted
			{other, 0, true},                  // NAT: the announced address, another port, before anything else was heard
			{alice.at, 0, false},              // two at once are an injection
			{alice.at, rebindIdle - 1, false}, // the other one is not silent for long enough
			{inside, rebindIdle, true},        // it is, and this one is declared
			{other, rebindIdle, false},        // a second move
			{inside, 0, true},                 // the latched one goes on
			{stranger, 2 * rebindIdle, false}, // silence makes no stranger welcome
			{heldAddr, 2 * rebindIdle, false}, // nor one in a place that is held
			{inside, 3 * rebindIdle, true},    // and the latched one may come back
			{alice.at, 3 * rebindIdle, false}, // but none of the others before the next offer and answer
		} {
			time.Sleep(step.wait)
			if got := alice.from(step.at, bob); got != step.want {
				t.Errorf("step %d: a packet of %v crosses: %v", i, step.at, got)
			}
		}
		was := bob.crosses(alice, 1)
		if was != 1 || alice.rtp.to != inside {
			t.Errorf("what is sent goes to %v", alice.rtp.to)
		}
		b.Set(alice.set())
		time.Sleep(rebindIdle)
		if !alice.from(other, bob) {
			t.Error("it may not move after a new offer and answer")
		}
		want := `127.0.1.10:4000>127.0.1.11:4000 false
127.0.1.10:4000>127.0.66.10:4000 false
127.0.1.10:4000>127.0.1.10:4444 true
127.0.1.10:4444>127.0.1.200:4000 true
127.0.1.200:4000>127.0.1.10:4444 false
127.0.1.200:4000>127.0.1.11:4000 false
127.0.1.200:4000>127.0.66.10:4000 false
127.0.1.200:4000>127.0.1.10:4000 false
127.0.1.200:4000>127.0.1.10:4444 true
`
		// Who was told of already is not told again: the told ones are those of one negotiation.
		want = strings.Replace(want, "127.0.1.200:4000>127.0.1.11:4000 false\n127.0.1.200:4000>127.0.66.10:4000 false\n", "", 1)
		if got := lines(b.events.of(alice.Ref, "rebind")); got != want {
			t.Errorf("moves\n%swant\n%s", got, want)
		}
		if c := b.read(alice.Ref); c.Packets != 5 || c.Refused != 9 || c.Peer != other {
			t.Errorf("%+v", c)
		}
	})
}

// TestLatchNeedsAuthentication: with SRTP what is authentic moves a leg, and only to where the fence lets it.
func TestLatchNeedsAuthentication(t *testing.T) {
	b := newBed(t, Config{})
	alice, bob := b.call(ours.AES128CM80, ours.AES128GCM)
	far := netip.MustParseAddrPort("127.0.2.99:4000")
	forged := packet(alice.ssrc, 1000, 0, make([]byte, 170))
	alice.rtp.take(forged, far)
	alice.rtp.take(forged, alice.at)
	if c := b.read(alice.Ref); c.Packets != 0 || c.Refused != 2 || c.Peer != alice.at {
		t.Errorf("forged packets: %+v", c)
	}
	if !alice.from(alice.at, bob) {
		t.Error("an authentic packet does not cross")
	}
	if alice.from(heldAddr, bob) {
		t.Error("a packet crosses from a place that is held")
	}
	if bob.crosses(alice, 1) != 1 || alice.rtp.to != alice.at {
		t.Error("a refused move changed where packets go")
	}
	if !alice.from(far, bob) || bob.crosses(alice, 1) != 1 || alice.rtp.to != far {
		t.Error("an authentic packet from a permitted place does not move the leg")
	}
	if alice.from(alice.at, bob) || alice.from(far, bob) != true {
		t.Error("it moved back within one offer and answer")
	}
	moves := b.events.of(alice.Ref, "rebind")
	if got, want := lines(moves), "127.0.1.10:4000>127.0.66.10:4000 false\n127.0.1.10:4000>127.0.2.99:4000 true\n127.0.2.99:4000>127.0.1.10:4000 false\n"; got != want {
		t.Errorf("moves\n%swant\n%s", got, want)
	}
	if m := moves[0]; m.Ruling.Permitted() || m.Ruling.Country != "US" || m.Pass != nil || m.RTCP || m.At.IsZero() {
		t.Errorf("%+v", m)
	}
	if m := moves[1]; !m.Ruling.Permitted() || m.Pass == nil {
		t.Errorf("%+v", m)
	}
	if c := b.read(alice.Ref); c.Places[0].Country != "DE" || c.Places[1].Country != "CH" || c.Places[1].Packets != 2 || c.Places[0].Packets != 1 {
		t.Errorf("places %+v", c.Places)
	}
}

// TestLatchOfReports: the lane of RTCP is strict as well, and moves by itself.
func TestLatchOfReports(t *testing.T) {
	b := newBed(t, Config{})
	alice, bob := b.call(ours.AES128CM80, 0)
	at := port(alice.at, alice.at.Port()+1)
	far := netip.MustParseAddrPort("127.0.1.99:4001")
	n := uint32(0)
	from := func(at netip.AddrPort, k Key) bool {
		was := bob.rtcp.sent
		n++
		alice.rtcp.take(sealedRTCP(t, k, report(alice.ssrc, 0), n), at)
		return bob.rtcp.sent > was
	}
	if !from(at, alice.in) || from(at, alice.out) || from(far, alice.out) || from(heldAddr, alice.in) || !from(far, alice.in) || from(at, alice.in) {
		t.Error("reports do not cross as they should")
	}
	var told []Move
	for _, m := range b.events.of(alice.Ref, "rebind") {
		if m.RTCP {
			told = append(told, m)
		}
	}
	if got, want := lines(told), "127.0.1.10:4001>127.0.66.10:4000 false\n127.0.1.10:4001>127.0.1.99:4001 true\n127.0.1.99:4001>127.0.1.10:4001 false\n"; got != want {
		t.Errorf("moves\n%swant\n%s", got, want)
	}
	if c := b.read(alice.Ref); c.Peer != alice.at || c.Reports != 2 || c.Refused != 4 || b.Totals().Control != 2 {
		t.Errorf("%+v, %+v", c, b.Totals())
	}
}

// TestPlainLatchOfReports: without SRTP the source must be one that was said or declared.
func TestPlainLatchOfReports(t *testing.T) {
	b := newBed(t, Config{})
	alice, bob := b.call(0, 0)
	for at, want := range map[netip.AddrPort]int{netip.MustParseAddrPort("127.0.1.99:4001"): 0, heldAddr: 0, port(alice.at, 4001): 1} {
		was := bob.rtcp.sent
		if alice.rtcp.take(report(alice.ssrc, 0), at); bob.rtcp.sent-was != want {
			t.Errorf("%d reports of %v cross", bob.rtcp.sent-was, at)
		}
	}
}

// TestStrangersAreBounded: how often a stranger is looked at, how many are told of, and that the latched far end waits for none of them.
func TestStrangersAreBounded(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b := newBed(t, Config{})
		alice, bob := b.call(ours.AES128CM80, 0)
		if alice.crosses(bob, 5) != 5 {
			t.Fatal("the call is not up")
		}
		for i := range 300 {
			if alice.from(port(heldAddr, uint16(10000+i)), bob) {
				t.Fatal("a stranger crosses")
			}
			if i%100 == 50 && alice.crosses(bob, 5) != 5 {
				t.Error("the far end is not heard while strangers shout")
			}
		}
		if n := len(b.events.of(alice.Ref, "rebind")); n != maxTold {
			t.Errorf("%d strangers are told of", n)
		}
		moved := netip.MustParseAddrPort("127.0.2.99:4000")
		if alice.from(moved, bob) {
			t.Error("strangers are looked at without a limit")
		}
		time.Sleep(time.Second / strangers)
		if !alice.from(moved, bob) {
			t.Error("a far end that moved is not taken when it is its turn")
		}
		if c := b.read(alice.Ref); c.Refused != 301 || c.Packets != 21 {
			t.Errorf("%+v", c)
		}
	})
}

// TestTheLawChanges under legs that run: from the moment at which Swap returned nothing leaves, and nothing is taken, where the law ended.
func TestTheLawChanges(t *testing.T) {
	b := newBed(t, Config{})
	alice, bob := b.call(0, ours.AES128GCM)
	reports := func() int {
		was := bob.rtcp.sent
		alice.rtcp.take(report(alice.ssrc, 0), port(alice.at, alice.at.Port()+1))
		return bob.rtcp.sent - was
	}
	both := func() [3]int { return [3]int{alice.crosses(bob, 3), bob.crosses(alice, 3), reports()} }
	for round := range 2 {
		if got := both(); got != [3]int{3, 3, 1} {
			t.Fatalf("round %d, before: %v", round, got)
		}
		b.fence.Swap(snapshot(t, "aws:eu-central-1"))
		if got := both(); got != [3]int{} {
			t.Errorf("round %d, held: %v", round, got)
		}
		b.Emit(bob.Ref, packet(9, 1, 1, make([]byte, 160)), 1, true)
		b.Report(bob.Ref, 9, 1, 1, 160)
		if got := both(); got != [3]int{} || bob.rtp.sent != 3*(round+1) {
			t.Errorf("round %d, still held: %v, %d left", round, got, bob.rtp.sent)
		}
		b.fence.Swap(europe(t))
	}
	if got := both(); got != [3]int{3, 3, 1} {
		t.Errorf("after it came back: %v", got)
	}
	var rtp []Move
	for _, m := range b.events.of(bob.Ref, "law") {
		if !m.RTCP {
			rtp = append(rtp, m)
		}
	}
	if len(rtp) != 4 {
		t.Fatalf("told %d times", len(rtp))
	}
	for i, m := range rtp {
		if m.Allowed != (i%2 == 1) || m.Ruling.Permitted() != m.Allowed || m.To != bob.at {
			t.Errorf("told of %+v", m)
		}
	}
	if n := len(b.events.of(alice.Ref, "law")); n != 0 {
		t.Errorf("%d moves of a leg whose law stayed", n)
	}
	if c := b.read(bob.Ref); c.Refused != 12 {
		t.Errorf("%d refused", c.Refused)
	}
}
