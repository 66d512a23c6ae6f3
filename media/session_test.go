package media

import (
	"bytes"
	"context"
	"errors"
	"net/netip"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cordonsip/cordon/sovereign"
	"github.com/prometheus/client_golang/prometheus"
)

func lines(t testing.TB, b []byte, prefix string) []string {
	t.Helper()
	var out []string
	for l := range strings.Lines(string(b)) {
		if strings.HasPrefix(l, prefix) {
			out = append(out, strings.TrimSpace(l))
		}
	}
	return out
}

func mediaLine(t testing.TB, b []byte) string {
	t.Helper()
	l := lines(t, b, "m=audio")
	if len(l) != 1 {
		t.Fatalf("%d audio lines in %s", len(l), b)
	}
	return l[0]
}

func TestFailoverBeforeAnswer(t *testing.T) {
	bubble(t, func(t *testing.T) {
		bed := newBed(t, newNetwork().door)
		n := newNetwork()
		a := newPeer(t, n, aliceAddr, 4000, AEAD_AES_256_GCM)
		s := bed.open(srtpLeg("carrier"))
		first := ok(s.Offer(A, a.sdp(), srtpLeg("fra")))(t)
		second := ok(s.Offer(A, a.sdp(), srtpLeg("zrh")))(t)
		third := ok(s.Offer(A, a.sdp(), srtpLeg("zrh")))(t) // another member of the same group
		for _, pair := range [][2][]byte{{first, second}, {second, third}} {
			if mediaLine(t, pair[0]) == mediaLine(t, pair[1]) {
				t.Error("the ports of an attempt are used again")
			}
			keys := lines(t, pair[0], "a=crypto")
			for i, k := range lines(t, pair[1], "a=crypto") {
				if k == keys[i] {
					t.Error("a key of an attempt is used again")
				}
			}
			ida, _ := origin(t, pair[0])
			if idb, _ := origin(t, pair[1]); ida == idb {
				t.Error("the session id of an attempt is used again")
			}
		}
		s.Close()
		if open := len(n.socks); open != 2 {
			t.Errorf("%d sockets", open)
		}
	})
}

// TestFailoverAfterEarlyAnswer: B1 answers early, plays something and fails; B2 sends the very same stream, and A, who keeps its key, must
// not see one index twice.
func TestFailoverAfterEarlyAnswer(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c := newTalking(t, srtpLeg("carrier"), plainLeg("fra"))
		in := c.a.opener()
		c.b.talk(5)
		first := c.a.heard(in)
		if len(first) != 5 {
			t.Fatalf("%d of 5", len(first))
		}
		answerA := c.a.to
		c.s.Abandon()
		c.b.rtp.Close()
		c.b.rtcp.Close()
		b2 := newPeer(t, c.n, bob2Addr, 5000, "")
		b2.ssrc, b2.ext = c.b.ssrc, 1000
		offer := ok(c.s.Offer(A, c.a.sdp(), plainLeg("fra")))(t)
		if !strings.HasSuffix(mediaLine(t, offer), " 8 101") {
			t.Errorf("%s", offer)
		}
		b2.reads(offer)
		text := ok(c.s.Answer(B, b2.sdp()))(t)
		_, version := origin(t, text)
		if c.a.reads(text); c.a.to != answerA || version != "1" || c.a.key.same(crypto{}) {
			t.Errorf("A is told something new: %s", text)
		}
		b2.talk(5)
		second := c.a.heard(in)
		if len(second) != 5 || second[0] != first[0] {
			t.Errorf("B2 is heard as %q", second)
		}
		if len(in.live) != 2 {
			t.Errorf("the second stream came under %d SSRCs", len(in.live))
		}
		if got := c.hears(c.a, b2, 3); got != 3 {
			t.Errorf("B2 gets %d of 3", got)
		}
	})
}

func TestRetryOffersOnlyWhatWasAnswered(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c := newTalking(t, plainLeg("carrier"), plainLeg("fra"))
		offer := bytes.Replace(c.a.sdp(), []byte("AVP 8 101"), []byte("AVP 0 8 101"), 1)
		c.s.Abandon()
		if l := mediaLine(t, ok(c.s.Offer(A, offer, plainLeg("zrh")))(t)); !strings.HasSuffix(l, "RTP/AVP 8 101") {
			t.Errorf("%s", l)
		}
		offer = bytes.Replace(c.a.sdp(), []byte("AVP 8 101"), []byte("AVP 0"), 1)
		if _, err := c.s.Offer(A, offer, plainLeg("fra")); err == nil || err.(*Refusal).Warning != 305 {
			t.Errorf("no format in common: %v", err)
		}
	})
}

func TestFork(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c := newTalking(t, plainLeg("carrier"), srtpLeg("fra"))
		if c.hears(c.a, c.b, 2) != 2 {
			t.Fatal("B is not heard")
		}
		b2 := newPeer(t, c.n, bob2Addr, 5000, "")
		b2.to, b2.key = c.b.to, c.b.key
		offered := newCrypto("2", AEAD_AES_128_GCM) // it picks another suite
		b2.ours = &offered
		answer := ok(c.s.Answer(B, b2.sdp()))(t)
		if _, v := origin(t, answer); v != "1" {
			t.Errorf("A is told of the fork: %s", answer)
		}
		if c.hears(c.a, c.b, 2) != 0 || c.hears(c.a, b2, 2) != 2 || c.hears(b2, c.a, 2) != 2 || c.hears(c.b, c.a, 2) != 0 {
			t.Error("the session did not follow the fork")
		}
		// The first one answers finally: its key comes back, and with it the state of that key.
		opener := c.b.opener()
		ok(c.s.Answer(B, c.b.sdp()))(t)
		c.a.talk(2)
		if got := c.b.heard(opener); len(got) != 2 {
			t.Errorf("%q", got)
		}
		if got := c.s.Report().Moves; got[len(got)-1].Cause != "answer" {
			t.Errorf("%+v", got)
		}
	})
}

// reinvite is an offer and answer between the peers of a call with the directions given; ports and keys must stay.
func (c *talking) reinvite(from, to *peer, offered, answered direction) (versions [2]string) {
	c.t.Helper()
	toA, toB, keyA, keyB := c.a.to, c.b.to, *c.a.key, *c.b.key
	side := A
	if from == c.b {
		side = B
	}
	got := ok(c.s.Offer(side, from.sdp("a="+string(offered)), c.legs[1-side]))(c.t)
	if len(lines(c.t, got, "a="+string(offered))) != 1 || len(lines(c.t, got, "a=crypto")) != 1 {
		c.t.Errorf("want %s and one key in the offer %s", offered, got)
	}
	to.reads(got)
	_, versions[0] = origin(c.t, got)
	got = ok(c.s.Answer(1-side, to.sdp("a="+string(answered))))(c.t)
	if len(lines(c.t, got, "a="+string(answered))) != 1 {
		c.t.Errorf("want %s in the answer %s", answered, got)
	}
	from.reads(got)
	_, versions[1] = origin(c.t, got)
	if c.a.to != toA || c.b.to != toB || !c.a.key.same(keyA) || !c.b.key.same(keyB) {
		c.t.Error("ports or keys changed")
	}
	return versions
}

func TestHoldAndResume(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c := newTalking(t, srtpLeg("carrier"), srtpLeg("fra"))
		in := map[*peer]*inbound{c.a: c.a.opener(), c.b: c.b.opener()}
		heard := func(from, to *peer) int {
			to.got(to.rtp)
			from.talk(2)
			return len(to.heard(in[to]))
		}
		flow := func(aToB, bToA int) {
			t.Helper()
			if x, y := heard(c.a, c.b), heard(c.b, c.a); x != aToB || y != bToA {
				t.Errorf("A to B %d, B to A %d; want %d and %d", x, y, aToB, bToA)
			}
		}
		flow(2, 2)
		if v := c.reinvite(c.a, c.b, sendonly, recvonly); v != [2]string{"2", "2"} {
			t.Errorf("versions %v", v)
		}
		flow(2, 0)
		// A refresh without a change has the versions of before.
		if v := c.reinvite(c.a, c.b, sendonly, recvonly); v != [2]string{"2", "2"} {
			t.Errorf("versions %v", v)
		}
		if v := c.reinvite(c.a, c.b, sendrecv, sendrecv); v != [2]string{"3", "3"} {
			t.Errorf("versions %v", v)
		}
		flow(2, 2)
		c.reinvite(c.b, c.a, inactive, inactive)
		flow(0, 0)
		c.reinvite(c.b, c.a, sendrecv, sendrecv)
		flow(2, 2)
		// Both rollover counters pass 1: they live on with their keys.
		c.a.ext, c.b.ext = c.a.ext+64000, c.b.ext+64000
		for range 40 {
			c.a.ext += 50
			c.a.talk(1)
			c.b.ext += 50
			c.b.talk(1)
		}
		c.a.heard(in[c.a])
		c.b.heard(in[c.b])
		c.reinvite(c.a, c.b, sendonly, recvonly)
		c.reinvite(c.a, c.b, sendrecv, sendrecv)
		flow(2, 2)
		if c.a.ext>>16 != 1 {
			t.Fatalf("no rollover at %d", c.a.ext)
		}
	})
}

// TestSuiteInUseStays: a re-offer that lists a suite which the leg likes better does not change the one in use.
func TestSuiteInUseStays(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c := newTalking(t, srtpLeg("carrier"), plainLeg("fra"))
		better := newCrypto("2", AEAD_AES_256_GCM)
		ok(c.s.Offer(A, c.a.sdp("a=crypto:"+better.String()), c.legs[B]))(t)
		c.a.reads(ok(c.s.Answer(B, c.b.sdp()))(t))
		if c.a.key.suite != AES_CM_128_HMAC_SHA1_80 || c.hears(c.a, c.b, 2) != 2 {
			t.Errorf("%s", c.a.key.suite)
		}
	})
}

// TestNumbersOfBothSides: each side sends under the payload types of the other (RFC 3264 section 6.1), so both sets have clocks.
func TestNumbersOfBothSides(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c := newTalking(t, plainLeg("carrier"), plainLeg("fra"))
		opus := func(p *peer, pt string) []byte {
			return bytes.ReplaceAll(bytes.ReplaceAll(p.sdp(), []byte("8 101"), []byte(pt)), []byte("8 PCMA/8000"), []byte(pt+" opus/48000/2"))
		}
		ok(c.s.Offer(A, opus(c.a, "96"), c.legs[B]))(t)
		ok(c.s.Answer(B, opus(c.b, "111")))(t)
		for side := range c.s.legs {
			if said := c.s.legs[side].Load().spoken.Load(); said.codec != "OPUS" {
				t.Errorf("side %d: %+v", side, said)
			}
		}
		for _, pt := range []byte{96, 111} { // a packet early by a second: what has a clock has jitter
			for _, late := range []uint32{0, 0, 48000} {
				c.a.ext++
				b := packet(uint32(pt), uint16(c.a.ext), late, []byte("speech"))
				b[1] = pt
				c.a.from(c.a.rtp, b)
			}
			if r := c.s.Report().Sides[A]; r.Jitter < time.Second/32 {
				t.Errorf("payload type %d has no clock: %v", pt, r.Jitter)
			}
		}
	})
}

// Conforms: RFC 3264 section 8.4
func TestHoldByUnspecifiedAddress(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c := newTalking(t, plainLeg("carrier"), plainLeg("fra"))
		held := bytes.ReplaceAll(c.a.sdp(), []byte("c=IN IP4 "+aliceAddr.String()), []byte("c=IN IP4 0.0.0.0"))
		offer := ok(c.s.Offer(A, held, c.legs[B]))(t)
		if len(lines(t, offer, "a=sendonly")) != 1 || !bytes.Contains(offer, []byte("c=IN IP4 "+relayAddr.String())) {
			t.Errorf("%s", offer)
		}
		ok(c.s.Answer(B, c.b.sdp("a=recvonly")))(t)
		if n, m := c.hears(c.b, c.a, 2), c.hears(c.a, c.b, 2); n != 0 || m != 2 {
			t.Errorf("held: B to A %d, A to B %d", n, m)
		}
		ok(c.s.Offer(A, c.a.sdp(), c.legs[B]))(t)
		ok(c.s.Answer(B, c.b.sdp()))(t)
		if n := c.hears(c.b, c.a, 2); n != 2 {
			t.Errorf("resumed: %d", n)
		}
	})
}

// Conforms: RFC 4568 section 7.1
func TestRekey(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c := newTalking(t, srtpLeg("carrier"), plainLeg("fra"))
		c.a.ext = 65530
		if n := c.hears(c.a, c.b, 20); n < 10 {
			t.Fatalf("%d of 20 over a rollover", n)
		}
		fresh := newCrypto("1", AES_CM_128_HMAC_SHA1_80)
		old := c.a.ours
		c.a.ours = &fresh
		ok(c.s.Offer(A, c.a.sdp(), c.legs[B]))(t)
		ok(c.s.Answer(B, c.b.sdp()))(t)
		c.a.ext &= 0xffff // a new key starts with a rollover counter of 0
		if n := c.hears(c.a, c.b, 3); n != 3 {
			t.Errorf("with the new key %d of 3", n)
		}
		c.a.ours = old
		if n := c.hears(c.a, c.b, 3); n != 0 {
			t.Errorf("with the old key %d of 3", n)
		}
	})
}

// Conforms: RFC 3264 section 8.3.1
func TestAddressChange(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c := newTalking(t, plainLeg("carrier"), srtpLeg("fra"))
		c.hears(c.a, c.b, 2)
		moved := newPeer(t, c.n, bob2Addr, 6000, "")
		moved.to, moved.key, moved.ours, moved.ssrc, moved.ext = c.b.to, c.b.key, c.b.ours, c.b.ssrc, c.b.ext
		// B moves by a re-INVITE of its own. Until it is answered nothing changes.
		ok(c.s.Offer(B, moved.sdp(), c.legs[A]))(t)
		if c.hears(c.a, c.b, 2) != 2 {
			t.Error("an open offer took effect")
		}
		ok(c.s.Answer(A, c.a.sdp()))(t)
		if c.hears(c.a, moved, 2) != 2 || c.hears(moved, c.a, 2) != 2 || c.hears(c.a, c.b, 2) != 0 {
			t.Error("the move did not take effect")
		}
		// Abroad: refused, and the call stays where it is.
		abroad := newPeer(t, c.n, heldAddr, 6000, "")
		abroad.ours = c.b.ours
		_, err := c.s.Offer(B, abroad.sdp(), c.legs[A])
		if ref, isRef := err.(*Refusal); !isRef || ref.Status != 403 || ref.Ruling.Country != "US" {
			t.Errorf("a move abroad: %v", err)
		}
		if c.hears(c.a, moved, 2) != 2 || c.hears(moved, c.a, 2) != 2 {
			t.Error("a refused offer changed the call")
		}
		var causes []string
		for _, m := range c.moves.list()[3:] {
			causes = append(causes, m.Cause)
		}
		if got := strings.Join(causes, " "); got != "offer reinvite reinvite reinvite" {
			t.Errorf("causes %q", got)
		}
	})
}

// Conforms: RFC 6141 section 3.1
func TestRollback(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c := newTalking(t, srtpLeg("carrier"), srtpLeg("fra"))
		offer := ok(c.s.Offer(A, c.a.sdp("a=inactive"), c.legs[B]))(t)
		if _, err := c.s.Offer(B, c.b.sdp(), c.legs[A]); err == nil || err.(*Refusal).Status != 491 {
			t.Errorf("glare: %v", err)
		}
		c.s.Rollback()
		c.s.Rollback()
		if c.hears(c.a, c.b, 2) != 2 || c.hears(c.b, c.a, 2) != 2 {
			t.Error("the session is not as it was")
		}
		if _, err := c.s.Answer(B, c.b.sdp()); err == nil {
			t.Error("an answer to an offer that was rolled back")
		}
		_, before := origin(t, offer)
		_, after := origin(t, ok(c.s.Offer(A, c.a.sdp(), c.legs[B]))(t))
		if before != "2" || after != "3" {
			t.Errorf("versions %s and %s: the refused offer was a version of its own", before, after)
		}
		if c.s.Rollback(); c.hears(c.a, c.b, 2) != 2 {
			t.Error("the session is not as it was")
		}
		c.s.Close()
		if c.n.open != 4 {
			t.Errorf("%d sockets left beside the peers'", c.n.open-4)
		}
	})
}

func TestRollbackOfTheFirstOffer(t *testing.T) {
	n := newNetwork()
	bed := newBed(t, n.door)
	s := bed.open(plainLeg("carrier"))
	ok(s.Offer(A, []byte(readFile(t, "testdata/sdp/sipp.sdp")), plainLeg("fra")))(t)
	if n.open != 4 {
		t.Fatalf("%d sockets", n.open)
	}
	if s.Rollback(); n.open != 2 {
		t.Errorf("%d sockets after the rollback", n.open)
	}
}

func TestDelayedOffer(t *testing.T) {
	bubble(t, func(t *testing.T) {
		n := newNetwork()
		bed := newBed(t, n.door)
		a, b := newPeer(t, n, aliceAddr, 4000, ""), newPeer(t, n, bobAddr, 5000, AES_256_CM_SHA1_80)
		s := bed.open(srtpLeg("carrier"))
		if _, err := s.Offer(B, b.sdp(), srtpLeg("carrier")); err == nil {
			t.Error("an offer from a B that nobody expects")
		}
		if err := s.Expect(srtpLeg("fra")); err != nil {
			t.Fatal(err)
		}
		a.picks(ok(s.Offer(B, b.sdp(), srtpLeg("carrier")))(t), 1)
		b.reads(ok(s.Answer(A, a.sdp()))(t))
		c := talking{bed: bed, n: n, s: s, a: a, b: b}
		if c.hears(a, b, 3) != 3 || c.hears(b, a, 3) != 3 {
			t.Error("the call is not up")
		}
		if r := s.Report(); r.Sides[A].Suite != AEAD_AES_128_GCM || r.Sides[B].Suite != AES_256_CM_SHA1_80 {
			t.Errorf("%+v", r)
		}
	})
}

// Conforms: RFC 3264 section 6
func TestRejectedStream(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c := newTalking(t, plainLeg("carrier"), plainLeg("fra"))
		off := bytes.Replace(c.a.sdp(), []byte("audio 4000"), []byte("audio 0"), 1)
		if l := mediaLine(t, ok(c.s.Offer(A, off, c.legs[B]))(t)); !strings.HasPrefix(l, "m=audio 0 ") {
			t.Errorf("%s", l)
		}
		answer := bytes.Replace(c.b.sdp(), []byte("audio 5000"), []byte("audio 0"), 1)
		if l := mediaLine(t, ok(c.s.Answer(B, answer))(t)); !strings.HasPrefix(l, "m=audio 0 ") {
			t.Errorf("%s", l)
		}
		if c.hears(c.a, c.b, 2) != 0 || c.hears(c.b, c.a, 2) != 0 {
			t.Error("a stream that was taken away still flows")
		}
		toA, toB := c.a.to, c.b.to
		c.b.reads(ok(c.s.Offer(A, c.a.sdp(), c.legs[B]))(t))
		c.a.reads(ok(c.s.Answer(B, c.b.sdp()))(t))
		if c.hears(c.a, c.b, 2) != 2 || c.hears(c.b, c.a, 2) != 2 || c.a.to != toA || c.b.to != toB {
			t.Error("the stream does not come back")
		}
	})
}

// TestLoopingPlayer: a plain far end that plays its file again, with the same numbers, is heard each time on the SRTP side.
func TestLoopingPlayer(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c := newTalking(t, plainLeg("carrier"), srtpLeg("fra"))
		in := c.b.opener()
		total := 0
		for range 3 {
			c.a.ext = 1000
			c.a.talk(200)
			total += len(c.b.heard(in))
		}
		if total != 598 { // the first packet of a restart can't be told from a stray one
			t.Errorf("%d of 600", total)
		}
		if r := c.s.Report().Sides[A]; r.Lost != 0 || r.RxPackets != 600 {
			t.Errorf("%+v", r)
		}
	})
}

func TestHeaderExtensionsDoNotCross(t *testing.T) {
	bubble(t, func(t *testing.T) {
		for _, leg := range []Leg{plainLeg("fra"), srtpLeg("fra")} {
			c := newTalking(t, plainLeg("carrier"), leg)
			b := []byte{0x91, 8, 0, 1, 0, 0, 0, 2, 0, 0, 0, 3, 0, 0, 0, 4, 0xbe, 0xde, 0, 1, 0x10, 'l', 'e', 'k'}
			c.a.from(c.a.rtp, append(b, "speech"...))
			got := c.b.got(c.b.rtp)
			if len(got) != 1 {
				t.Fatalf("%d packets", len(got))
			}
			out := got[0]
			if in := c.b.opener(); in != nil {
				out, _ = in.openRTP(out)
			}
			if want := append([]byte{0x81, 8, 0, 1, 0, 0, 0, 2, 0, 0, 0, 3, 0, 0, 0, 4}, "speech"...); !bytes.Equal(out, want) {
				t.Errorf("%x, want %x", out, want)
			}
			c.s.Close()
		}
	})
}

func TestPorts(t *testing.T) {
	bubble(t, func(t *testing.T) {
		n := newNetwork()
		c := newBed(t, n.door).cfg
		c.Ports = [2]uint16{30000, 30006} // four pairs
		r, err := New(c)
		if err != nil {
			t.Fatal(err)
		}
		offer := []byte(readFile(t, "testdata/sdp/sipp.sdp"))
		start := func() (*Session, error) {
			s, err := r.Open("x", plainLeg("carrier"))
			if err != nil {
				t.Fatal(err)
			}
			_, err = s.Offer(A, offer, plainLeg("fra"))
			return s, err
		}
		one, err := start()
		two, err2 := start()
		if err != nil || err2 != nil {
			t.Fatal(err, err2)
		}
		three, err := start()
		if ref, isRef := err.(*Refusal); !isRef || ref.Status != 503 || ref.Text != "no media port" {
			t.Errorf("exhausted: %v", err)
		}
		three.Close()
		for at := range n.socks {
			if at.Port() < 30000 || at.Port() > 30007 {
				t.Errorf("a socket at %s", at)
			}
		}
		one.Close()
		if _, err := start(); err == nil {
			t.Error("a port was used again at once")
		}
		wait(5 * time.Second)
		if s, err := start(); err != nil {
			t.Errorf("after quarantine: %v", err)
		} else {
			s.Close()
		}
		two.Close()
		for s := range r.sessions {
			s.Close()
		}
		if n.open != 0 || r.Sessions() != 0 {
			t.Errorf("%d sockets and %d sessions left", n.open, r.Sessions())
		}
	})
}

func TestNothingIsLeftBehind(t *testing.T) {
	bubble(t, func(t *testing.T) {
		n := newNetwork()
		bed := newBed(t, n.door)
		offer := []byte(readFile(t, "testdata/sdp/genesys.sdp"))
		before := runtime.NumGoroutine()
		for range 5 {
			var all []*Session
			for i := range 100 {
				s := bed.open(srtpLeg("carrier"))
				ok(s.Offer(A, offer, srtpLeg("fra")))(t)
				if i%3 == 0 {
					ok(s.Offer(A, offer, plainLeg("zrh")))(t)
				}
				all = append(all, s)
			}
			if n.open != 400 || bed.relay.Sessions() != 100 {
				t.Errorf("%d sockets, %d sessions", n.open, bed.relay.Sessions())
			}
			for _, s := range all {
				s.Close()
			}
		}
		synctest.Wait()
		now := runtime.NumGoroutine()
		for range 100 { // the count is off while the scheduler moves what ended from one of its lists to another
			runtime.Gosched()
			now = min(now, runtime.NumGoroutine())
		}
		if n.open != 0 || bed.relay.Sessions() != 0 || now > before+50 { // a session that left one would leave 500; the count is that of the whole process
			t.Errorf("%d sockets, %d sessions, %d goroutines more", n.open, bed.relay.Sessions(), now-before)
		}
	})
}

func TestNothingIsLeftBehindOnLoopback(t *testing.T) {
	for _, many := range []bool{false, true} {
		nothingIsLeftBehind(t, newBed(t, loopback(t, many)))
	}
}

func nothingIsLeftBehind(t *testing.T, bed *bed) {
	t.Helper()
	before := runtime.NumGoroutine()
	for range 50 {
		s := bed.open(plainLeg("carrier"))
		ok(s.Offer(A, []byte(readFile(t, "testdata/sdp/sipp.sdp")), plainLeg("fra")))(t)
		s.Close()
	}
	if now := runtime.NumGoroutine(); now > before+2 {
		t.Errorf("%d goroutines more", now-before)
	}
}

func TestRunClosesEverything(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c := newTalking(t, plainLeg("carrier"), plainLeg("fra"))
		c.hears(c.a, c.b, 4)
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- c.relay.Run(ctx) }()
		synctest.Wait()
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
		first, second := c.s.Close(), c.s.Close()
		if c.relay.Sessions() != 0 || first.Closed.IsZero() || first.Closed != second.Closed || first.Sides[A].RxPackets != 4 {
			t.Errorf("%+v", first)
		}
		if _, err := c.s.Offer(A, c.a.sdp(), plainLeg("fra")); err == nil {
			t.Error("an offer in a closed session")
		}
		if _, err := c.s.Answer(B, c.b.sdp()); err == nil {
			t.Error("an answer in a closed session")
		}
		if _, err := c.relay.Open("x", plainLeg("carrier")); err == nil {
			t.Error("a session in a closed relay")
		}
	})
}

func TestMetrics(t *testing.T) {
	bubble(t, func(t *testing.T) {
		reg := prometheus.NewRegistry()
		n := newNetwork()
		cfg := newBed(t, n.door).cfg
		cfg.Metrics = reg
		r, err := New(cfg)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := New(cfg); err == nil {
			t.Error("metrics were registered twice")
		}
		a, b := newPeer(t, n, aliceAddr, 4000, ""), newPeer(t, n, bobAddr, 5000, "")
		s, _ := r.Open("x", plainLeg("carrier"))
		defer s.Close()
		s.Offer(A, []byte("no"), plainLeg("fra"))
		b.reads(ok(s.Offer(A, a.sdp(), plainLeg("fra")))(t))
		a.reads(ok(s.Answer(B, b.sdp()))(t))
		a.talk(7)
		b.talk(2)
		read := func() map[string]float64 {
			got := map[string]float64{}
			families, err := reg.Gather()
			if err != nil {
				t.Fatal(err)
			}
			for _, f := range families {
				for _, m := range f.Metric {
					name := f.GetName()
					for _, l := range m.Label {
						name += " " + l.GetValue()
					}
					got[name] = m.GetCounter().GetValue() + m.GetGauge().GetValue()
				}
			}
			return got
		}
		want := map[string]float64{
			"cordon_media_sessions": 1, "cordon_media_rx_packets_total a": 7, "cordon_media_rx_packets_total b": 2,
			"cordon_media_tx_packets_total a": 2, "cordon_media_tx_packets_total b": 7, "cordon_media_moves_total true": 4, "cordon_media_refusals_total 488": 1,
		}
		for range 2 {
			got := read()
			for k, v := range want {
				if got[k] != v {
					t.Errorf("%s = %v, want %v", k, got[k], v)
				}
			}
			s.Close() // counters do not shrink when a session goes
			want["cordon_media_sessions"] = 0
		}
	})
}

func TestConfigIsChecked(t *testing.T) {
	fence := sovereign.NewFence(nil, nil)
	fine := Config{Listen: newNetwork().door, Fence: fence, Bind: relayAddr}
	for name, change := range map[string]func(*Config){
		"no fence":       func(c *Config) { c.Fence = nil },
		"no sockets":     func(c *Config) { c.Listen = nil },
		"odd port":       func(c *Config) { c.Ports = [2]uint16{30001, 30010} },
		"reversed range": func(c *Config) { c.Ports = [2]uint16{30010, 30000} },
		"low port":       func(c *Config) { c.Ports = [2]uint16{80, 90} },
	} {
		c := fine
		if change(&c); true {
			if _, err := New(c); err == nil {
				t.Error(name)
			}
		}
	}
	r, err := New(fine)
	if err != nil {
		t.Fatal(err)
	}
	for name, l := range map[string]Leg{
		"unknown suite":    {Party: "x", Suites: []Suite{"NULL"}},
		"unknown security": {Party: "x", Security: 9},
		"no address":       {Party: "x", Bind: netip.IPv4Unspecified()},
	} {
		if _, err := r.Open("x", l); err == nil {
			t.Error(name)
		}
	}
	if s, err := r.Open("x", Leg{Party: "x", Bind: netip.IPv4Unspecified(), Advertise: relayAddr}); err != nil {
		t.Error(err)
	} else if _, err := s.Offer(A, []byte(readFile(t, "testdata/sdp/baresip.sdp")), plainLeg("y")); err == nil {
		t.Error("an offer without a law")
	}
}

// TestAnotherParty: an offer to another party in an established session is a new attempt toward it.
func TestAnotherParty(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c := newTalking(t, srtpLeg("carrier"), srtpLeg("fra"))
		before := c.b.to
		b2 := newPeer(t, c.n, bob2Addr, 5000, "")
		offer := ok(c.s.Offer(A, c.a.sdp(), srtpLeg("zrh")))(t)
		b2.picks(offer, 1)
		ok(c.s.Answer(B, b2.sdp()))(t)
		if b2.to == before || b2.key.same(*c.b.key) || len(lines(t, offer, "a=crypto")) != 5 {
			t.Errorf("the other party gets sockets or keys of the first: %s", offer)
		}
		if c.hears(c.a, b2, 2) != 2 || c.hears(b2, c.a, 2) != 2 || c.hears(c.a, c.b, 2) != 0 {
			t.Error("the call did not move")
		}
	})
}

func TestAnswerKeepsTheTag(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c := newTalking(t, srtpLeg("carrier"), plainLeg("fra"))
		ours := *c.a.key
		c.a.ours.tag = "77"
		ok(c.s.Offer(A, c.a.sdp(), c.legs[B]))(t)
		c.a.reads(ok(c.s.Answer(B, c.b.sdp()))(t))
		if c.a.key.tag != "77" || !c.a.key.same(ours) {
			t.Errorf("%+v", c.a.key)
		}
	})
}

// TestMuxMustBeOffered: an answer can't turn on what was not offered (RFC 5761 section 5.1.1).
// Conforms: RFC 5761 section 5.1.1
func TestMuxMustBeOffered(t *testing.T) {
	bubble(t, func(t *testing.T) {
		n := newNetwork()
		bed := newBed(t, n.door)
		a, b := newPeer(t, n, aliceAddr, 4000, ""), newPeer(t, n, bobAddr, 5000, "")
		s := bed.open(plainLeg("carrier"))
		b.reads(ok(s.Offer(A, a.sdp(), plainLeg("fra")))(t))
		a.reads(ok(s.Answer(B, b.sdp("a=rtcp-mux")))(t))
		to := a.to
		a.to = netipPort(to, to.Port()+1)
		a.from(a.rtcp, report(a.ssrc, 0))
		if got := len(b.got(b.rtcp)); got != 1 || len(b.got(b.rtp)) != 0 {
			t.Errorf("%d reports on the RTCP port", got)
		}
	})
}

func TestPlainPathDoesNotAllocate(t *testing.T) {
	n, socks := newNetwork(), swallows{}
	bed := newBed(t, socks.listen, func(c *Config) { c.Ports = [2]uint16{30000, 30999} })
	a, b := newPeer(t, n, aliceAddr, 4000, ""), newPeer(t, n, bobAddr, 5000, "")
	s := bed.open(plainLeg("carrier"))
	ok(s.Offer(A, a.sdp(), plainLeg("fra")))(t)
	ok(s.Answer(B, b.sdp()))(t)
	at := s.legs[A].Load().bind
	seq, packet := uint16(0), make([]byte, 172)
	if got := testing.AllocsPerRun(1000, func() {
		seq++
		rtpHeader(packet, seq, uint32(seq)*160, 7, false)
		socks[at].take(packet, a.rtp.at)
	}); got != 0 {
		t.Errorf("%v allocations per packet", got)
	}
	if r := s.Close(); r.Sides[B].TxPackets != 1001 {
		t.Errorf("%+v", r.Sides)
	}
}

// Conforms: RFC 3264 section 8.4
func TestHoldDirections(t *testing.T) {
	for dir, want := range map[direction]direction{sendrecv: sendonly, recvonly: inactive, sendonly: sendonly, inactive: inactive} {
		if got := (&remote{line: line{hold: true, dir: dir}}).toward(); got != want {
			t.Errorf("%s with no address becomes %s, want %s", dir, got, want)
		}
	}
}

// TestFewerLines: a re-offer that lacks a refused line still gives the other side all of its lines (RFC 3264 section 8).
func TestFewerLines(t *testing.T) {
	bubble(t, func(t *testing.T) {
		n := newNetwork()
		bed := newBed(t, n.door)
		a, b := newPeer(t, n, aliceAddr, 4000, ""), newPeer(t, n, bobAddr, 5000, "")
		s := bed.open(plainLeg("carrier"))
		video := "m=video 7000 RTP/AVP 99"
		b.reads(ok(s.Offer(A, a.sdp(video), plainLeg("fra")))(t))
		ok(s.Answer(B, b.sdp("m=video 0 RTP/AVP 99")))(t)
		if offer := ok(s.Offer(B, b.sdp(), plainLeg("carrier")))(t); len(lines(t, offer, "m=video 0 ")) != 1 {
			t.Errorf("%s", offer)
		}
		if answer := ok(s.Answer(A, a.sdp(video)))(t); len(lines(t, answer, "m=")) != 1 {
			t.Errorf("%s", answer)
		}
		if _, err := s.Offer(B, b.sdp()[:60], plainLeg("carrier")); err == nil {
			t.Error("an offer without lines")
		}
	})
}

// flaky is a socket whose reads fail a few times, as after an ICMP error.
type flaky struct {
	*socket
	fails int
}

func (f *flaky) ReadFromUDPAddrPort(b []byte) (int, netip.AddrPort, error) {
	if f.fails > 0 {
		f.fails--
		return 0, netip.AddrPort{}, errors.New("connection refused")
	}
	return f.socket.ReadFromUDPAddrPort(b)
}

func TestReadErrorsDoNotSilenceACall(t *testing.T) {
	bubble(t, func(t *testing.T) {
		n := newNetwork()
		bed := newBed(t, func(at netip.AddrPort) (sovereign.UDPConn, error) {
			c, err := n.listen(at)
			if err != nil {
				return nil, err
			}
			return &flaky{c.(*socket), 3}, nil
		})
		a, b := newPeer(t, n, aliceAddr, 4000, ""), newPeer(t, n, bobAddr, 5000, "")
		s := bed.open(plainLeg("carrier"))
		b.reads(ok(s.Offer(A, a.sdp(), plainLeg("fra")))(t))
		a.reads(ok(s.Answer(B, b.sdp()))(t))
		a.talk(5)
		wait(time.Second)
		if got := len(b.got(b.rtp)); got != 5 {
			t.Errorf("%d of 5", got)
		}
		// Closed in the middle of a pause.
		s2 := bed.open(plainLeg("carrier"))
		ok(s2.Offer(A, a.sdp(), plainLeg("fra")))(t)
		s2.Close()
	})
}

// Conforms: RFC 6157 section 4
func TestIPv6(t *testing.T) {
	bubble(t, func(t *testing.T) {
		n := newNetwork()
		bed := newBed(t, n.door)
		six := plainLeg("carrier")
		six.Bind, six.Advertise = netip.IPv6Unspecified(), netip.MustParseAddr("fd00:1::1")
		a, b := newPeer(t, n, netip.MustParseAddr("fd00:5::10"), 4000, ""), newPeer(t, n, bobAddr, 5000, "")
		s := bed.open(six)
		offer := bytes.ReplaceAll(a.sdp(), []byte("IP4 fd00"), []byte("IP6 fd00"))
		b.reads(ok(s.Offer(A, offer, plainLeg("fra")))(t))
		answer := ok(s.Answer(B, b.sdp()))(t)
		if !bytes.Contains(answer, []byte("c=IN IP6 fd00:1::1")) {
			t.Errorf("%s", answer)
		}
		a.reads(answer)
		a.to = netipPort(netip.AddrPortFrom(netip.IPv6Unspecified(), 0), a.to.Port())
		a.talk(2)
		if len(b.got(b.rtp)) != 2 {
			t.Error("B hears nothing over IPv6")
		}
		b.talk(2)
		if len(a.got(a.rtp)) != 2 {
			t.Error("A hears nothing over IPv6")
		}
	})
}

func TestBusyPortsAreSkipped(t *testing.T) {
	n := newNetwork()
	c := newBed(t, n.door).cfg
	c.Ports = [2]uint16{30000, 30006}
	for _, p := range []uint16{30001, 30002, 30007} { // three of four pairs are somebody else's in part
		ok(n.listen(netip.AddrPortFrom(relayAddr, p)))(t)
	}
	r := ok(New(c))(t)
	s := ok(r.Open("x", plainLeg("carrier")))(t)
	defer s.Close()
	offer := []byte(readFile(t, "testdata/sdp/sipp.sdp"))
	if _, err := s.Offer(A, offer, plainLeg("fra")); err == nil || err.(*Refusal).Status != 503 || err.Error() != "media: 503: no media port" {
		t.Errorf("one pair for two legs: %v", err)
	}
	if got := s.Report().Sides[A].Local.Port(); got != 30004 {
		t.Errorf("port %d", got)
	}
}

// TestAfterClose: signalling may still ask for things while the relay closes the session.
func TestAfterClose(t *testing.T) {
	n := newNetwork()
	bed := newBed(t, n.door)
	s := bed.open(plainLeg("carrier"))
	ok(s.Offer(A, []byte(readFile(t, "testdata/sdp/sipp.sdp")), plainLeg("fra")))(t)
	first := s.Close()
	s.Rollback()
	s.Abandon()
	if s.Expect(plainLeg("fra")) != nil || n.open != 0 || s.Close().Closed != first.Closed {
		t.Error("a closed session changed")
	}
}
