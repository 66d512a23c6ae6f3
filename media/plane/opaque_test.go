package plane

import (
	"bytes"
	"encoding/binary"
	"net/netip"
	"testing"
	"time"

	"github.com/cordonsip/cordon/media/srtp"
	"github.com/cordonsip/cordon/sovereign"
)

// udptl is a packet of UDPTL: a sequence number, a primary of n octets, and no redundancy. ITU-T T.38 section 9.1.
func udptl(seq uint16, n int) []byte {
	b := binary.BigEndian.AppendUint16(nil, seq)
	if n < 128 {
		b = append(b, byte(n))
	} else {
		b = binary.BigEndian.AppendUint16(b, 0x8000|uint16(n))
	}
	for i := range n {
		b = append(b, byte(i)+byte(seq))
	}
	return append(b, 0, 0)
}

// fax is what was negotiated for a leg that carries a fax.
func (e *end) fax() Set {
	return Set{Ref: e.Ref, Opaque: true, Wants: true, RTP: Aim{To: e.at, Cause: "reinvite"}, RTCP: Aim{Cause: "reinvite"}}
}

// faxes switches both sides over.
func (b *bed) faxes(alice, bob *end) {
	b.Set(alice.fax())
	b.Set(bob.fax())
}

// sends has the far end send a datagram from somewhere and says whether just that leaves to the other side.
func (e *end) sends(p []byte, at netip.AddrPort, to *end) bool {
	was := to.rtp.sent
	e.rtp.take(p, at)
	return to.rtp.sent == was+1 && bytes.Equal(to.rtp.last, p)
}

// TestOpaqueCrossesByteForByte: whatever the far end sends, and in both directions; what looks like RTP of a source that nobody heard, too.
func TestOpaqueCrossesByteForByte(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b := newBed(t, Config{})
		alice, bob := b.call(0, 0)
		b.faxes(alice, bob)
		all := [][]byte{
			udptl(0, 1), udptl(1, 200), udptl(0xffff, 127),
			{0, 1, 2, 3},
			bytes.Repeat([]byte{0xff}, MaxDatagram),
			packet(0x1234, 9, 9, make([]byte, 20)), // a long fax, past 32,768
			report(alice.ssrc, 8),
		}
		var octets uint64
		for i, p := range all {
			if !alice.sends(p, alice.at, bob) || !bob.sends(p, bob.at, alice) || bob.rtp.to != bob.at {
				t.Errorf("datagram %d of %d octets does not cross as it is", i, len(p))
			}
			octets += uint64(len(p))
		}
		n := uint64(len(all))
		for _, e := range []*end{alice, bob} {
			c := b.read(e.Ref)
			if c.Crossed.Packets != n || c.Crossed.Bytes != octets || c.Crossed.Sent != n || c.Crossed.Last != time.Now().UnixNano() || c.Packets != 0 || c.Sent != 0 || c.Refused != 0 ||
				c.Places[0].Packets != n || c.Lost != 0 {
				t.Errorf("%+v", c)
			}
		}
		for _, p := range [][]byte{{}, {1, 2, 3}, make([]byte, MaxDatagram+1)} {
			if alice.sends(p, alice.at, bob) {
				t.Errorf("%d octets cross", len(p))
			}
		}
		alice.rtcp.take(udptl(5, 5), port(alice.at, alice.at.Port()+1))
		if bob.rtp.sent+bob.rtcp.sent != len(all) {
			t.Error("something came of the socket of RTCP")
		}
		if c := b.read(alice.Ref); c.Refused != 3 { // two that are too short, and the one of RTCP; what is too long was never read
			t.Errorf("%d were refused", c.Refused)
		}
	})
}

// TestOpaqueComesFromTheFarEndAlone: the latch of plain RTP, and the fence.
func TestOpaqueComesFromTheFarEndAlone(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b := newBed(t, Config{})
		alice, bob := b.call(0, 0)
		alice.Serial++
		alice.Prefixes = []netip.Prefix{netip.MustParsePrefix("127.0.1.128/25"), netip.MustParsePrefix("127.0.66.0/24")}
		b.Close(Ref{1, 7})
		b.Open(alice.Open)
		b.Join(alice.Ref, bob.Ref)
		b.faxes(alice, bob)
		other, inside := port(alice.at, 4444), netip.MustParseAddrPort("127.0.1.200:4000")
		for i, step := range []struct {
			at   netip.AddrPort
			wait time.Duration
			want bool
		}{
			{netip.MustParseAddrPort("127.0.1.11:4000"), 0, false}, // neither announced nor declared
			{heldAddr, 0, false},                // declared, and not permitted
			{other, 0, true},                    // NAT: the announced address, another port, before anything else was heard
			{alice.at, 0, false},                // two at once are an injection
			{inside, rebindIdle, true},          // it fell silent, and this one is declared
			{other, rebindIdle, false},          // a second move
			{inside, 30 * time.Second, true},    // a fax may be silent for long
			{alice.at, 30 * time.Second, false}, // and nobody else may come in between
			{port(alice.at, 1), 30 * time.Second, false},
		} {
			time.Sleep(step.wait)
			if got := alice.sends(udptl(uint16(i), 20), step.at, bob); got != step.want {
				t.Errorf("step %d: a datagram of %v crosses: %v", i, step.at, got)
			}
		}
		if !bob.sends(udptl(1, 4), bob.at, alice) || alice.rtp.to != inside {
			t.Errorf("what is sent goes to %v", alice.rtp.to)
		}
		// The law changes: not a byte leaves for a place that is held, from either side.
		b.fence.Swap(snapshot(t, "aws:eu-central-1"))
		for range 5 {
			if alice.sends(udptl(9, 9), inside, bob) || bob.sends(udptl(9, 9), bob.at, alice) {
				t.Fatal("a datagram crosses although the place of B is held")
			}
		}
		if all := b.events.of(bob.Ref, "law"); len(all) != 1 || all[0].Allowed {
			t.Errorf("%d moves are told of", len(all))
		}
	})
}

// TestOpaqueFlood: forged datagrams against a live fax leave nothing behind, and none of them reaches the other side.
func TestOpaqueFlood(t *testing.T) {
	const bound, rounds, each = 32 << 10, 50, 2000
	bubble(t, func(t *testing.T) {
		b := newBed(t, Config{})
		alice, bob := b.call(0, 0)
		b.faxes(alice, bob)
		forged, live := udptl(7, 300), 0
		shout := func() {
			for i := range each {
				at := netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, byte(1 + i%2), byte(i)}), uint16(i>>3)) // permitted places
				switch {
				case i%3 == 0:
					at = netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 66, byte(i)}), uint16(i))
				case i%3 == 1:
					at = port(alice.at, uint16(i)) // the far end's address, from ports that it has not
				}
				if at != alice.at {
					alice.rtp.take(forged, at)
				}
			}
			if alice.sends(udptl(uint16(live), 40), alice.at, bob) {
				live++
			}
		}
		alice.rtp.take(udptl(0, 40), alice.at)
		shout()
		before := onHeap()
		for range rounds {
			shout()
			time.Sleep(50 * time.Millisecond) // so that some strangers are looked at
		}
		if grown := onHeap() - before; grown > bound {
			t.Errorf("%d datagrams make the heap grow by %d B", rounds*each, grown)
		}
		c := b.read(alice.Ref)
		if live != rounds+1 || bob.rtp.sent != live+1 || c.Crossed.Packets != uint64(live+1) || c.Peer != alice.at || c.Refused < rounds*each*9/10 {
			t.Errorf("%d of the fax cross, %d leave: %+v", live, bob.rtp.sent, c)
		}
		if n := len(b.events.of(alice.Ref, "rebind")); n > maxTold {
			t.Errorf("%d strangers are told of", n)
		}
	})
}

// TestAudioThatIsLate does not reach who waits for UDPTL, nor does it latch: its far end may fax from another port.
func TestAudioThatIsLate(t *testing.T) {
	bubble(t, func(t *testing.T) {
		for _, suite := range []srtp.Suite{0, srtp.AES128CM80} {
			b := newBed(t, Config{})
			alice, bob := b.call(suite, 0)
			alice.crosses(bob, 3)
			second := packet(0x77, 1, 1, make([]byte, 160))
			if suite == 0 {
				alice.rtp.take(second, alice.at) // another source
				alice.crosses(bob, 1)
			}
			was := bob.rtp.sent
			audio := alice.at
			alice.at = port(alice.at, 4100)
			b.faxes(alice, bob)
			for range 5 {
				alice.rtp.take(alice.next(), audio)
			}
			if suite == 0 {
				alice.rtp.take(second, audio)
			}
			if bob.rtp.sent != was {
				t.Errorf("suite %d: %d packets of audio cross", suite, bob.rtp.sent-was)
			}
			if !alice.sends(udptl(0, 10), alice.at, bob) {
				t.Errorf("suite %d: the fax does not cross", suite)
			}
		}
	})
}

// TestFaxAndBack: the streams of SRTP go on after the fax with the rollover counters that they had, in both directions.
func TestFaxAndBack(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b := newBed(t, Config{})
		alice, bob := b.call(srtp.AES128CM80, srtp.AES256GCM)
		alice.ext, bob.ext = 65530, 65530
		if alice.crosses(bob, 12)+bob.crosses(alice, 12) != 24 { // past the rollover
			t.Fatal("no audio")
		}
		b.faxes(alice, bob)
		for i := range 40 {
			if !alice.sends(udptl(uint16(i), 30), alice.at, bob) {
				t.Fatal("no fax")
			}
		}
		b.Set(alice.set())
		b.Set(bob.set())
		if alice.sends(udptl(41, 30), alice.at, bob) {
			t.Error("a datagram of a fax that is over crosses")
		}
		if alice.crosses(bob, 12)+bob.crosses(alice, 12) != 24 {
			t.Error("no audio after the fax")
		}
		ctx := pion(t, bob.out)
		ctx.SetROC(alice.ssrc, 1)
		if _, err := ctx.DecryptRTP(nil, bob.rtp.last, nil); err != nil {
			t.Errorf("what leaves is not under the rollover counter of before: %v", err)
		}
		if c := b.read(alice.Ref); c.Packets != 24 || c.Crossed.Packets != 40 || c.Lost != 0 {
			t.Errorf("%+v", c)
		}
	})
}

// TestOpaqueIsForBothOrNobody: no datagram leaves to a side that speaks RTP, no RTP to one that does not, and no key goes with it.
func TestOpaqueIsForBothOrNobody(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b := newBed(t, Config{})
		alice, bob := b.call(0, 0)
		b.Set(alice.fax())
		if alice.sends(udptl(0, 9), alice.at, bob) || bob.crosses(alice, 3) != 0 {
			t.Error("something crosses between a fax and a voice")
		}
		bob.rtcp.take(report(bob.ssrc, 0), port(bob.at, bob.at.Port()+1))
		b.Report(alice.Ref, 1, 2, 3, 4)
		b.Emit(alice.Ref, packet(1, 2, 3, make([]byte, 20)), 2, true)
		if n := alice.rtp.sent + alice.rtcp.sent; n != 0 {
			t.Errorf("%d packets of RTP and RTCP leave to who faxes", n)
		}
		held := alice.fax()
		held.Wants = false
		b.Set(held)
		b.Set(bob.fax())
		if bob.sends(udptl(0, 9), bob.at, alice) || !alice.sends(udptl(0, 9), alice.at, bob) {
			t.Error("a hold does not count")
		}
		n := alice.fax()
		n.In, n.Out = newKey(srtp.AES128CM80), newKey(srtp.AES128CM80)
		b.Set(n)
		if alice.sends(udptl(1, 9), alice.at, bob) {
			t.Error("UDPTL on a leg with keys")
		}
	})
}

// TestOpaqueIsNotShown: what a watcher sees are headers, and a fax has none.
func TestOpaqueIsNotShown(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b := newBed(t, Config{})
		alice, bob := b.call(0, 0)
		b.Watch(alice.Ref, true)
		b.Watch(bob.Ref, true)
		b.faxes(alice, bob)
		if alice.sends(udptl(0, 9), alice.at, bob); len(b.events.passed) != 0 {
			t.Error("a datagram is shown")
		}
	})
}

// TestOpaqueAllocatesNothing of what the plane does itself.
func TestOpaqueAllocatesNothing(t *testing.T) {
	b := newBed(t, Config{Fence: sovereign.NewFence(europe(t), nil)})
	alice, bob := b.call(0, 0)
	b.faxes(alice, bob)
	p := udptl(3, 200)
	alice.rtp.take(p, alice.at)
	if n := testing.AllocsPerRun(1000, func() { alice.rtp.take(p, alice.at) }); n != 0 {
		t.Errorf("%v allocations for a datagram", n)
	}
}
