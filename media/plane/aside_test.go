package plane

import (
	"bytes"
	"net/netip"
	"testing"
	"time"

	"github.com/cordonsip/cordon/internal/browser"
	"github.com/cordonsip/cordon/media/ice"
	"github.com/cordonsip/cordon/media/srtp"
	"github.com/cordonsip/cordon/sovereign"
)

// hello is a datagram that looks like DTLS: one record's header, and a body that nobody reads here.
func hello(n int) []byte { return append([]byte{22, 254, 253}, make([]byte, n)...) }

// checker is a leg with ICE: the far end's ufrag is "peer".
func (b *bed) checker(r Ref, wait bool) (*end, ice.Credentials) {
	b.t.Helper()
	own := ice.NewCredentials()
	e := &end{Open: Open{Ref: r, Pair: r.Slot, Session: "call", Party: "carrier"}, at: aliceAddr, ssrc: 0x5500 + r.Slot, ext: 1000}
	e.in, e.out = newKey(srtp.AES128GCM), newKey(srtp.AES128GCM)
	e.seal = sealer(b.t, e.in)
	e.rtp, e.rtcp = b.pair(e.Pair)
	b.Open(e.Open)
	b.Set(e.checks(own, wait))
	return e, own
}

func (e *end) checks(own ice.Credentials, wait bool) Set {
	n := e.set()
	n.Mux, n.Aside, n.Wait, n.Checks = true, true, wait, Checks{own, "peer"}
	n.RTP, n.RTCP = Aim{Stay: true}, Aim{}
	if wait {
		n.In, n.Out = Key{}, Key{}
	}
	return n
}

// TestNomination: media goes where the far end nominates, not before, and not because it comes from elsewhere.
func TestNomination(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b := newBed(t, Config{})
		alice, own := b.checker(Ref{1, 7}, false)
		bob := b.leg(Ref{2, 8}, bobAddr, 0)
		b.Join(alice.Ref, bob.Ref)
		if bob.crosses(alice, 3) != 0 || alice.crosses(bob, 3) != 0 {
			t.Fatal("media crosses before a nomination")
		}
		alice.rtp.take(browser.Check(own, "peer", false), alice.at)
		if !browser.Answered(alice.rtp.last) || alice.rtp.to != alice.at || b.read(alice.Ref).Peer.IsValid() {
			t.Fatal("a check is answered, and names nobody")
		}
		sent := alice.rtp.sent
		if b.Say(alice.Ref, alice.at, hello(40)); alice.rtp.sent != sent {
			t.Fatal("a word of ours leaves for an address that nobody nominated")
		}
		alice.rtp.take(browser.Check(own, "peer", true), alice.at)
		if bob.crosses(alice, 3) != 3 || alice.crosses(bob, 3) != 3 {
			t.Fatal("media does not cross after a nomination")
		}
		if m := b.events.of(alice.Ref, "nominate"); len(m) != 1 || m[0].To != alice.at || m[0].From.IsValid() || !m[0].Allowed || m[0].Ruling == nil || m[0].Pass == nil {
			t.Errorf("told of %+v", m)
		}
		elsewhere := port(alice.at, 4444)
		alice.rtp.take(alice.next(), elsewhere) // authentic, and of no use
		if bob.crosses(alice, 1); alice.rtp.to != alice.at {
			t.Error("a packet from elsewhere moved the leg")
		}
		time.Sleep(5 * time.Second)
		alice.rtp.take(browser.Check(own, "peer", true), elsewhere)
		if bob.crosses(alice, 1); alice.rtp.to != elsewhere {
			t.Error("a nomination did not move the leg")
		}
		if m := b.events.of(alice.Ref, "nominate"); len(m) != 1 || m[0].From != alice.at || m[0].To != elsewhere {
			t.Errorf("told of %+v", m)
		}
		n := b.read(alice.Ref).Refused
		alice.rtp.take(browser.Check(ice.NewCredentials(), "peer", true), alice.at)
		sent = alice.rtp.sent
		alice.rtp.take(browser.Check(ice.Credentials{Ufrag: own.Ufrag, Pwd: ice.NewCredentials().Pwd}, "peer", true), alice.at)
		if alice.rtp.sent != sent || b.read(alice.Ref).Refused != n+2 || len(b.events.of(alice.Ref, "nominate")) != 0 {
			t.Error("a check with another password counts")
		}
	})
}

// TestNothingGoesWhereTheLawForbids: a check that is authentic, from a place that is held, and words of ours for such a place.
func TestNothingGoesWhereTheLawForbids(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b := newBed(t, Config{})
		alice, own := b.checker(Ref{1, 7}, true)
		for range 5 {
			alice.rtp.take(browser.Check(own, "peer", true), heldAddr)
			b.Say(alice.Ref, heldAddr, hello(40))
			alice.rtp.take(hello(40), heldAddr)
		}
		if alice.rtp.sent != 0 || alice.rtcp.sent != 0 || len(b.events.asides) != 0 {
			t.Fatalf("%d datagrams left for a place that is held, %d came from there", alice.rtp.sent, len(b.events.asides))
		}
		if m := b.events.of(alice.Ref, "rebind"); len(m) != 1 || m[0].Allowed || m[0].To != heldAddr || m[0].Ruling.Verdict == sovereign.Permit {
			t.Errorf("told of %+v", m)
		}
		bob := b.leg(Ref{2, 8}, bobAddr, 0) // DTLS without ICE
		s := bob.set()
		s.Aside, s.Wait = true, true
		b.Set(s)
		b.Say(bob.Ref, heldAddr, hello(40))
		if bob.rtp.sent != 0 {
			t.Fatal("a word of ours left for a place that is held")
		}
		if b.Say(bob.Ref, bobAddr, hello(40)); bob.rtp.sent != 1 || bob.rtp.to != bobAddr {
			t.Fatal("a word of ours did not leave for a place that is permitted")
		}
		// The law changes under a leg that was nominated, and back.
		alice.at = netip.MustParseAddrPort("127.0.2.20:4000")
		alice.rtp.take(browser.Check(own, "peer", true), alice.at)
		sent := alice.rtp.sent
		b.fence.Swap(snapshot(t))
		alice.rtp.take(browser.Check(own, "peer", false), alice.at)
		if b.Say(alice.Ref, alice.at, hello(40)); sent != 1 || alice.rtp.sent != sent {
			t.Fatalf("%d and %d datagrams: something left under the new law", sent, alice.rtp.sent)
		}
		b.fence.Swap(europe(t))
		alice.rtp.take(browser.Check(own, "peer", false), alice.at)
		if b.Say(alice.Ref, alice.at, hello(40)); alice.rtp.sent != sent+2 {
			t.Error("what is permitted again is not sent")
		}
	})
}

// TestConsent: who went on with checks and stops gets nothing more after half a minute, and all of it when it checks again.
func TestConsent(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b := newBed(t, Config{})
		alice, own := b.checker(Ref{1, 7}, false)
		bob := b.leg(Ref{2, 8}, bobAddr, 0)
		b.Join(alice.Ref, bob.Ref)
		check := func() { alice.rtp.take(browser.Check(own, "peer", false), alice.at) }
		alice.rtp.take(browser.Check(own, "peer", true), alice.at)
		time.Sleep(6 * time.Second)
		check()
		time.Sleep(29 * time.Second)
		if bob.crosses(alice, 2) != 2 {
			t.Fatal("media stops before its time")
		}
		time.Sleep(2 * time.Second)
		if bob.crosses(alice, 2) != 0 {
			t.Fatal("media goes on without consent")
		}
		if b.Say(alice.Ref, alice.at, hello(40)); browser.Answered(alice.rtp.last) || alice.rtp.last[0] == 22 {
			t.Error("a word of ours left without consent")
		}
		if m := b.events.of(alice.Ref, "consent"); len(m) != 1 || m[0].Allowed || m[0].To != alice.at {
			t.Errorf("told of %+v", m)
		}
		check()
		if bob.crosses(alice, 2) != 2 {
			t.Fatal("media does not come back with consent")
		}
		if m := b.events.of(alice.Ref, "consent"); len(m) != 1 || !m[0].Allowed {
			t.Errorf("told of %+v", m)
		}
	})
}

// TestAside: a handshake is given to who hears of events and answered by Say; media waits for its keys.
func TestAside(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b := newBed(t, Config{})
		alice := b.leg(Ref{1, 7}, aliceAddr, 0)
		bob := b.leg(Ref{2, 8}, bobAddr, 0)
		b.Join(alice.Ref, bob.Ref)
		alice.rtp.take(hello(40), alice.at)
		b.Say(alice.Ref, alice.at, hello(40))
		if len(b.events.asides) != 0 || alice.rtp.sent != 0 {
			t.Fatal("a leg without DTLS speaks it")
		}
		n := alice.set()
		n.Mux, n.Aside, n.Wait, n.RTCP = true, true, true, Aim{}
		b.Set(n)
		if alice.crosses(bob, 2) != 0 || bob.crosses(alice, 2) != 0 {
			t.Fatal("media crosses without keys")
		}
		near := port(alice.at, 4444) // behind a NAT; its DTLS comes from another port than was said
		for _, from := range []netip.AddrPort{alice.at, near, netip.MustParseAddrPort("127.0.1.99:4000")} {
			alice.rtp.take(hello(40), from)
			alice.rtcp.take(hello(40), from)
		}
		if got := b.events.asides; len(got) != 2 || got[0].from != alice.at || got[1].from != near || !bytes.Equal(got[0].b, hello(40)) {
			t.Fatalf("given: %v", got)
		}
		b.Say(alice.Ref, near, hello(30))
		if alice.rtp.sent != 1 || alice.rtp.to != near || !bytes.Equal(alice.rtp.last, hello(30)) {
			t.Fatal("a word of ours does not leave")
		}
		alice.in, alice.out = newKey(srtp.AES128CM80), newKey(srtp.AES128CM80)
		alice.seal = sealer(t, alice.in)
		n.In, n.Out, n.Wait, n.RTP = alice.in, alice.out, false, Aim{Stay: true}
		b.Set(n)
		if alice.crosses(bob, 3) != 3 || bob.crosses(alice, 3) != 3 {
			t.Fatal("media does not cross with keys")
		}
		b.Silence(alice.Ref)
		if alice.rtp.take(hello(40), alice.at); len(b.events.asides) != 2 {
			t.Error("a leg that was silenced takes handshakes")
		}
	})
}

// TestAsideFlood: what anybody can throw at a leg with ICE and DTLS is bounded in events, grows nothing, and takes nothing from the far end's own.
func TestAsideFlood(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b := newBed(t, Config{})
		alice, own := b.checker(Ref{1, 7}, false)
		carol := b.leg(Ref{3, 9}, netip.MustParseAddrPort("127.0.1.30:4000"), 0)
		s := carol.set()
		s.Mux, s.Aside, s.Wait, s.RTCP = true, true, true, Aim{}
		b.Set(s)
		bob := b.leg(Ref{2, 8}, bobAddr, 0)
		b.Join(alice.Ref, bob.Ref)
		alice.rtp.take(browser.Check(own, "peer", true), alice.at)
		forged, record := browser.Check(ice.Credentials{Ufrag: own.Ufrag, Pwd: ice.NewCredentials().Pwd}, "peer", true), hello(200)
		shout := func(n int) {
			for i := range n {
				stranger := netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, byte(i >> 8), byte(i)}), uint16(i))
				alice.rtp.take(forged, stranger)
				alice.rtp.take(forged[:19], stranger)
				alice.rtp.take(record, stranger)
				carol.rtp.take(record, stranger)
				carol.rtp.take(record, port(carol.at, uint16(i)))
			}
		}
		shout(10_000)
		b.events.asides = nil
		before, sent, live := onHeap(), alice.rtp.sent+carol.rtp.sent, 0
		for range 10 {
			shout(10_000)
			live += alice.crosses(bob, 5)
			was := alice.rtp.sent
			if alice.rtp.take(browser.Check(own, "peer", false), alice.at); alice.rtp.sent != was+1 {
				t.Fatal("the far end's own check has no answer")
			}
			carol.rtp.take(hello(33), carol.at)
			time.Sleep(time.Second)
		}
		grown := onHeap() - before
		mine := 0
		for _, a := range b.events.asides {
			if a.from == carol.at && len(a.b) == len(hello(33)) {
				mine++
			}
		}
		if n := len(b.events.asides); n > 10*shakesRate+shakesBurst+10 || mine != 10 {
			t.Errorf("%d events, %d of 10 of the far end's own", n, mine)
		}
		b.events.asides = nil
		if live != 50 || alice.rtp.sent+carol.rtp.sent != sent+10 {
			t.Errorf("%d of 50 packets cross, %d datagrams were provoked", live, alice.rtp.sent+carol.rtp.sent-sent-10)
		}
		if grown > 512<<10 { // the events themselves, which this test keeps
			t.Errorf("the heap grew by %d B", grown)
		}
	})
}

// TestNominationsAreRationed: a far end that names two addresses in turns moves its leg a few times, each told, and no more.
func TestNominationsAreRationed(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b := newBed(t, Config{})
		alice, own := b.checker(Ref{1, 7}, false)
		for i := range 90 {
			alice.rtp.take(browser.Check(own, "peer", true), port(alice.at, uint16(4000+i%2)))
		}
		if n := len(b.events.of(alice.Ref, "nominate")); n != movesBurst {
			t.Errorf("%d moves at once", n)
		}
	})
}

// TestChecksAcrossPlanes: a plane that takes over goes on to where the far end nominated, and answers its checks.
func TestChecksAcrossPlanes(t *testing.T) {
	bubble(t, func(t *testing.T) {
		mem := memory(10, 1)
		fence := sovereign.NewFence(europe(t), nil)
		one := newBed(t, Config{Memory: mem, Fence: fence})
		alice, own := one.checker(Ref{1, 7}, false)
		bob := one.leg(Ref{2, 8}, aliceAddr, 0)
		one.Join(alice.Ref, bob.Ref)
		alice.at = bobAddr
		alice.rtp.take(browser.Check(own, "peer", true), port(alice.at, 4444))
		if h := one.Held(); h[0].Checks != (Checks{own, "peer"}) {
			t.Errorf("held: %+v", h[0].Checks)
		}
		alice.at = port(alice.at, 4444)
		if alice.crosses(bob, 5) != 5 {
			t.Fatal("the call is not up")
		}
		for _, c := range []struct {
			name string
			law  *sovereign.Snapshot
			sent int
		}{{"permitted", europe(t), 3}, {"not any more", snapshot(t), 0}} {
			fence.Swap(c.law)
			two := newBed(t, Config{Memory: mem, Fence: fence})
			a := *alice
			a.rtp, a.rtcp = two.pair(a.Pair)
			two.Open(a.Open)
			two.Set(a.checks(own, false))
			z := *bob
			z.rtp, z.rtcp = two.pair(z.Pair)
			two.Open(z.Open)
			two.Set(z.set())
			two.Join(a.Ref, z.Ref)
			z.ext = bob.ext + 100
			if z.crosses(&a, 3); a.rtp.sent != c.sent || c.sent > 0 && a.rtp.to != alice.at {
				t.Errorf("%s: %d packets left, for %v", c.name, a.rtp.sent, a.rtp.to)
			}
			if a.rtp.take(browser.Check(own, "peer", false), alice.at); browser.Answered(a.rtp.last) != (c.sent > 0) {
				t.Errorf("%s: answered: %v", c.name, browser.Answered(a.rtp.last))
			}
		}
	})
}

// TestAsideTakesNoMemory: checks of a far end, and media beside them.
func TestAsideTakesNoMemory(t *testing.T) {
	b := newBed(t, Config{})
	alice, own := b.checker(Ref{1, 7}, false)
	alice.rtp.take(browser.Check(own, "peer", true), alice.at)
	c, from := browser.Check(own, "peer", false), alice.at
	if n := testing.AllocsPerRun(50, func() { alice.rtp.take(c, from) }); n != 0 {
		t.Errorf("%v allocations for a check", n)
	}
}

// FuzzAside: no datagram that comes moves a leg or makes it say anything, unless it knows the password.
func FuzzAside(f *testing.F) {
	f.Add(hello(13))
	f.Add(browser.Check(ice.Credentials{Ufrag: "abcdefgh", Pwd: "0123456789012345678901"}, "peer", true))
	f.Fuzz(func(t *testing.T, d []byte) {
		if len(d) >= maxPacket {
			return
		}
		b := newBed(t, Config{})
		alice, _ := b.checker(Ref{1, 7}, false)
		alice.rtp.take(d, alice.at)
		if alice.rtp.sent != 0 || len(b.events.moves) != 0 || len(b.events.asides) != 0 {
			t.Errorf("%x had an effect", d)
		}
	})
}
