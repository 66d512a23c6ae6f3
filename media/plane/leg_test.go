package plane

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/cordonsip/cordon/media/srtp"
)

// TestMuteAndSilence: a muted leg takes and sends nothing until it is set again; a silenced one points nowhere as well.
func TestMuteAndSilence(t *testing.T) {
	for _, suite := range []srtp.Suite{0, srtp.AES128CM80} {
		b := newBed(t, Config{})
		alice, bob := b.call(suite, suite)
		both := func() [2]int { return [2]int{alice.crosses(bob, 2), bob.crosses(alice, 2)} }
		for i, step := range []struct {
			do   func(Ref)
			want [2]int
			peer netip.AddrPort
		}{
			{func(Ref) {}, [2]int{2, 2}, alice.at},
			{b.Mute, [2]int{}, alice.at},
			{func(Ref) { b.Set(alice.set()) }, [2]int{2, 2}, alice.at},
			{b.Silence, [2]int{}, netip.AddrPort{}},
			{func(Ref) { n := alice.set(); n.RTP, n.RTCP = Aim{Stay: true}, Aim{Stay: true}; b.Set(n) }, [2]int{}, netip.AddrPort{}},
			{func(Ref) { n := alice.set(); n.Wants = false; b.Set(n) }, [2]int{2, 0}, alice.at},
			{func(Ref) { b.Set(alice.set()) }, [2]int{2, 2}, alice.at},
			{func(Ref) { n := alice.set(); n.RTP = Aim{To: heldAddr}; b.Set(n) }, [2]int{}, netip.AddrPort{}},
			{func(Ref) { n := alice.set(); n.RTP = Aim{To: netip.MustParseAddrPort("[::1]:9")}; b.Set(n) }, [2]int{}, netip.AddrPort{}},
			{func(Ref) { b.Set(alice.set()) }, [2]int{2, 2}, alice.at},
		} {
			step.do(alice.Ref)
			reports := alice.rtcp.sent
			bob.rtcp.take(control(t, bob, uint32(i+1)), port(bob.at, bob.at.Port()+1))
			if l, _ := b.worker(1).of(alice.Ref); alice.rtcp.sent > reports != (l.flags&flagLive != 0 && l.slot.rtcp.aimed) {
				t.Errorf("step %d: %d reports leave", i, alice.rtcp.sent-reports)
			}
			if got := both(); got != step.want || b.read(alice.Ref).Peer != step.peer {
				t.Errorf("step %d: %v cross, and it points to %v", i, got, b.read(alice.Ref).Peer)
			}
		}
	}
}

// control is a report of a far end, as it goes over the wire.
func control(t *testing.T, e *end, index uint32) []byte {
	if e.seal == nil {
		return report(e.ssrc, 0)
	}
	return sealedRTCP(t, e.in, report(e.ssrc, 0), index)
}

// TestJoin: who is joined to whom, and that nobody hears a former other half.
func TestJoin(t *testing.T) {
	b := newBed(t, Config{})
	alice, bob := b.call(0, 0)
	carol := b.leg(Ref{3, 9}, netip.MustParseAddrPort("127.0.2.20:6000"), srtp.AES256GCM)
	b.Join(alice.Ref, carol.Ref)
	if alice.crosses(bob, 1)+bob.crosses(alice, 1)+bob.crosses(carol, 1) != 0 || alice.crosses(carol, 1) != 1 || carol.crosses(alice, 1) != 1 {
		t.Error("packets do not follow who is joined")
	}
	b.Join(bob.Ref, Ref{4, 1}) // which never was
	b.Join(alice.Ref, Ref{3, 8})
	if alice.crosses(carol, 1) != 0 || carol.crosses(alice, 1) != 0 {
		t.Error("a leg stays joined that was to be joined to one that is gone")
	}
	b.Join(carol.Ref, bob.Ref)
	b.Close(carol.Ref)
	if bob.crosses(carol, 1) != 0 || carol.crosses(bob, 1) != 0 {
		t.Error("a closed leg is heard, or hears")
	}
	b.Join(alice.Ref, bob.Ref)
	if alice.crosses(bob, 1) != 1 {
		t.Error("a leg is not free after its other half closed")
	}
}

// TestASlotIsUsedAgain: nothing of the former leg reaches the next one, and nothing that is meant for it.
func TestASlotIsUsedAgain(t *testing.T) {
	for _, closed := range []bool{true, false} { // whether its giver closed it before
		b := newBed(t, Config{})
		alice, bob := b.call(srtp.AES128CM80, 0)
		b.Watch(alice.Ref, true)
		alice.crosses(bob, 3)
		old := alice.Ref
		if closed {
			b.Close(old)
			if c, ok := b.Read(old); !ok || c.Packets != 3 {
				t.Errorf("a closed leg counts %v, %v", c.Packets, ok)
			}
		}
		next := &end{Open: Open{Ref: Ref{1, 70}, Pair: 11, Party: "carrier"}, at: netip.MustParseAddrPort("127.0.1.30:7000"), ssrc: 77, ext: 5}
		next.rtp, next.rtcp = b.pair(11)
		b.Open(next.Open)
		b.events.of(next.Ref, "offer")
		told, passed := len(b.events.moves), b.events.passed[old]
		// The next leg takes nothing before it is set, and none of the former one's packets, keys, joints and commands.
		if next.crosses(bob, 2)+alice.crosses(bob, 2)+bob.crosses(alice, 2)+bob.crosses(next, 2) != 0 {
			t.Error("something crosses before the leg is set")
		}
		b.Set(next.set())
		bob.crosses(next, 2)
		set := alice.set()
		b.Set(set)
		b.Mute(old)
		b.Silence(old)
		b.Join(old, bob.Ref)
		b.Watch(old, true)
		b.Close(old)
		b.Emit(old, packet(1, 1, 1, []byte("x")), 1, true)
		b.Report(old, 1, 1, 1, 1)
		alice.rtp.take(alice.next(), alice.at)
		if _, ok := b.Read(old); ok {
			t.Error("the former leg can be read")
		}
		if c := b.read(next.Ref); c.Packets != 0 || c.Refused != 2 || c.Peer != next.at {
			t.Errorf("closed %v: the next leg: %+v", closed, c)
		}
		if next.rtp.sent+next.rtcp.sent+alice.rtp.sent != 0 {
			t.Error("something was sent")
		}
		b.Join(next.Ref, bob.Ref)
		if next.crosses(bob, 2) != 2 || bob.crosses(next, 2) != 2 {
			t.Error("the next leg is not carried")
		}
		for _, m := range b.events.moves[told:] {
			if m.Leg != next.Ref {
				t.Errorf("told of %v: %+v", m.Leg, m)
			}
		}
		if b.events.passed[old] != passed || b.events.passed[next.Ref] != 0 {
			t.Error("headers are shown that nobody watches")
		}
	}
}

// TestALegThatIsGone: no command for it does anything, whoever is left.
func TestALegThatIsGone(t *testing.T) {
	b := newBed(t, Config{})
	alice, bob := b.call(srtp.AES128CM80, srtp.AES128GCM)
	b.Close(alice.Ref)
	b.events.moves = nil
	for _, r := range []Ref{alice.Ref, {1, 8}, {99, 1}, {1 << 31, 1}, {}} {
		set := alice.set()
		set.Ref = r
		b.Set(set)
		b.Mute(r)
		b.Silence(r)
		b.Join(r, bob.Ref)
		b.Join(bob.Ref, r)
		b.Watch(r, true)
		b.Emit(r, packet(1, 1, 1, []byte("x")), 1, true)
		b.Report(r, 1, 1, 1, 1)
		b.Close(r)
		b.Read(r)
	}
	b.Open(Open{Ref: Ref{0, 1}, Pair: 1})
	b.Open(Open{Ref: Ref{5, 0}, Pair: 1})
	b.Withdraw(77)
	if len(b.events.moves) != 0 || alice.rtp.sent+alice.rtcp.sent != 0 || b.log.Len() != 0 {
		t.Errorf("told %v, sent %d, logged %s", b.events.moves, alice.rtp.sent, b.log)
	}
	if bob.crosses(alice, 1) != 0 || b.read(bob.Ref).Packets != 1 {
		t.Error("the other leg does not go on by itself")
	}
	if held := b.Held(); len(held) != 1 || held[0].Open.Ref != bob.Ref || !held[0].In.Same(bob.in) || !held[0].Out.Same(bob.out) || held[0].Joined != (Ref{}) {
		t.Errorf("held: %+v", held)
	}
}

// TestWithdraw: sockets that are taken away under a leg end it; nothing is written to what they were.
func TestWithdraw(t *testing.T) {
	b := newBed(t, Config{})
	alice, bob := b.call(0, 0)
	alice.crosses(bob, 2)
	b.Withdraw(bob.Pair)
	b.Set(bob.set())
	if !bob.rtp.closed || !bob.rtcp.closed || alice.crosses(bob, 2) != 0 || b.Totals().Dropped != 0 {
		t.Error("something was written to sockets that are gone")
	}
	if c, ok := b.Read(bob.Ref); !ok || c.Sent != 2 {
		t.Errorf("%+v, %v", c, ok)
	}
	b.Close(bob.Ref)
	// Who comes under the number of a pair that is there takes its place.
	rtp, _ := b.pair(alice.Pair)
	if !alice.rtp.closed || rtp.closed || alice.crosses(bob, 1) != 0 {
		t.Error("two pairs have one number")
	}
	b.Open(Open{Ref: Ref{6, 1}, Pair: bob.Pair})
	if !strings.Contains(b.log.String(), "no sockets") {
		t.Errorf("logged %s", b.log)
	}
}

// TestPairsOfOthers: what comes on a pair that no leg has is nobody's, and a pair has one leg, and a leg one pair, of one worker.
func TestPairsOfOthers(t *testing.T) {
	for _, workers := range []int{1, 2, 3} {
		b := newBed(t, Config{Workers: workers})
		alice := b.leg(Ref{1, 7}, aliceAddr, 0)
		other := uint32(1 + workers)
		rtp, _ := b.pair(other)
		rtp.take(alice.next(), alice.at)
		if c := b.read(alice.Ref); c.Packets != 0 || c.Refused != 0 {
			t.Errorf("%d workers: a leg heard what came on a pair of nobody", workers)
		}
		next := alice.Open
		next.Ref = Ref{other, 9}
		b.Open(next) // on the same pair
		alice.rtp.take(alice.next(), alice.at)
		b.Emit(alice.Ref, packet(1, 1, 1, []byte("x")), 1, true)
		if alice.rtp.sent != 0 {
			t.Errorf("%d workers: a leg sends on a pair that another one has", workers)
		}
		if a, n := b.read(alice.Ref), b.read(next.Ref); a.Packets+a.Refused != 0 || n.Refused != 1 {
			t.Errorf("%d workers: two legs have one pair", workers)
		}
		if workers > 1 {
			b.Open(Open{Ref: Ref{2, 9}, Pair: other, Party: "carrier"})
			if _, ok := b.Read(Ref{2, 9}); ok || !strings.Contains(b.log.String(), "no sockets") {
				t.Errorf("%d workers: a leg has a pair of another worker", workers)
			}
		}
	}
}

// TestMux: RTCP comes on the lane of RTP only where that was agreed, and the other way round.
// Conforms: RFC 5761 section 4
func TestMux(t *testing.T) {
	b := newBed(t, Config{})
	alice, bob := b.call(0, 0)
	cross := func(s *wire, at netip.AddrPort) [2]int {
		rtp, rtcp := bob.rtp.sent, bob.rtcp.sent
		s.take(report(alice.ssrc, 8), at)
		return [2]int{bob.rtp.sent - rtp, bob.rtcp.sent - rtcp}
	}
	if got := cross(alice.rtcp, port(alice.at, alice.at.Port()+1)); got != [2]int{0, 1} {
		t.Errorf("on a port of its own: %v", got)
	}
	if got := cross(alice.rtp, alice.at); got != [2]int{1, 0} {
		t.Errorf("muxed without being asked: %v", got)
	}
	set := alice.set()
	set.Mux, set.RTCP = true, Aim{}
	b.Set(set)
	if got := cross(alice.rtp, alice.at); got != [2]int{0, 1} {
		t.Errorf("muxed: %v", got)
	}
	if got := cross(alice.rtcp, port(alice.at, alice.at.Port()+1)); got != [2]int{} {
		t.Errorf("on a port that is not used: %v", got)
	}
	set = bob.set()
	set.Mux, set.RTCP = true, Aim{}
	b.Set(set)
	if got := cross(alice.rtp, alice.at); got != [2]int{1, 0} || bob.rtp.to != bob.at || alice.crosses(bob, 1) != 1 {
		t.Errorf("muxed on both sides: %v", got)
	}
}
