package media

import (
	"bytes"
	"errors"
	"strconv"
	"strings"
	"testing"
)

// branched is a call that nobody answered yet, with two attempts side by side: bob and bob2.
func branched(t *testing.T, aLeg, bLeg Leg) (c *talking, one, two *Branch, b2 *peer) {
	t.Helper()
	n := newNetwork()
	c = &talking{bed: newBed(t, n.door), n: n, legs: [2]Leg{aLeg, bLeg}}
	suite := Suite("")
	if aLeg.Security != Plain {
		suite = AES_CM_128_HMAC_SHA1_80
	}
	c.a, c.b, b2 = newPeer(t, n, aliceAddr, 4000, suite), newPeer(t, n, bobAddr, 5000, ""), newPeer(t, n, bob2Addr, 6000, "")
	c.s = c.open(aLeg)
	one, first, err := c.s.Branch(c.a.sdp(), bLeg)
	if err != nil {
		t.Fatal(err)
	}
	two, second, err := c.s.Branch(c.a.sdp(), bLeg)
	if err != nil {
		t.Fatal(err)
	}
	c.b.picks(first, 0)
	b2.picks(second, 0)
	return c, one, two, b2
}

// Two attempts side by side have sockets and keys of their own; the one that is taken is in force, the other one's sockets go, and A keeps its own.
// Conforms: RFC 4568 section 6.1; each attempt has keys of its own.
func TestBranchesShareNothing(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c, one, two, b2 := branched(t, srtpLeg("carrier"), srtpLeg("fra"))
		if c.b.to == b2.to || c.b.key.same(*b2.key) {
			t.Errorf("ports or keys are shared: %v", b2.to)
		}
		one.Take()
		toA := ok(c.s.Answer(B, c.b.sdp()))(t)
		c.a.reads(toA)
		id, _ := origin(t, toA)
		if c.hears(c.a, c.b, 3) != 3 || c.hears(c.b, c.a, 3) != 3 || c.hears(b2, c.a, 2) != 0 {
			t.Error("the first branch is not alone in force")
		}
		two.Take() // the second one speaks after the early answer of the first, which stays and may yet be the one
		ok(c.s.Answer(B, b2.sdp()))(t)
		if c.hears(c.a, b2, 3) != 3 || c.hears(b2, c.a, 3) != 3 || c.hears(c.b, c.a, 2) != 0 {
			t.Error("the second branch is not alone in force")
		}
		one.Take()
		ok(c.s.Answer(B, c.b.sdp()))(t)
		if c.hears(c.a, c.b, 3) != 3 || c.hears(c.b, c.a, 3) != 3 || c.hears(b2, c.a, 2) != 0 {
			t.Error("the first branch is not in force again")
		}
		two.Take()
		one.Drop()
		toA = ok(c.s.Answer(B, b2.sdp()))(t)
		if again, _ := origin(t, toA); again != id || !strings.Contains(string(toA), strconv.Itoa(int(c.a.to.Port()))) {
			t.Errorf("A is told of another session: %s", toA)
		}
		if c.hears(c.a, b2, 3) != 3 || c.hears(b2, c.a, 3) != 3 || c.hears(c.b, c.a, 2) != 0 {
			t.Error("the second branch is not alone in force")
		}
		one.Take()
		if c.hears(c.a, b2, 1) != 1 {
			t.Error("what was dropped is in force")
		}
		c.s.Close()
		two.Drop()
		if open := c.n.sockets(); open != 6 {
			t.Errorf("%d sockets are open, want those of the peers", open)
		}
	})
}

// A branch that loses leaves nothing behind, also when its call ended before.
func TestABranchIsDropped(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c, one, two, b2 := branched(t, plainLeg("carrier"), plainLeg("fra"))
		two.Take()
		ok(c.s.Answer(B, b2.sdp()))(t)
		two.Drop()
		if c.hears(c.a, b2, 1) != 0 {
			t.Error("what was dropped in force is heard")
		}
		one.Take()
		c.a.reads(ok(c.s.Answer(B, c.b.sdp()))(t))
		if c.hears(c.a, c.b, 1) != 1 {
			t.Error("the winner is not heard")
		}
		late, _, err := c.s.Branch(c.a.sdp(), plainLeg("fra"))
		if err != nil {
			t.Fatal(err)
		}
		c.s.Close()
		late.Take()
		late.Drop()
		if open := c.n.sockets(); open != 6 {
			t.Errorf("%d sockets are open", open)
		}
		if _, _, err := c.s.Branch(c.a.sdp(), plainLeg("fra")); err == nil {
			t.Error("a branch of a closed session")
		}
	})
}

// What A offers is judged for a branch as for any attempt.
func TestABranchIsJudged(t *testing.T) {
	bubble(t, func(t *testing.T) {
		n := newNetwork()
		b := newBed(t, n.door)
		a := newPeer(t, n, aliceAddr, 4000, "")
		s := b.open(plainLeg("carrier"))
		var ref *Refusal
		if _, _, err := s.Branch(bytes.ReplaceAll(a.sdp(), []byte(aliceAddr.String()), []byte(heldAddr.String())), plainLeg("fra")); !errors.As(err, &ref) || ref.Status != 403 {
			t.Errorf("%v", err)
		}
		if _, _, err := s.Branch([]byte("v=0\r\n"), plainLeg("fra")); err == nil {
			t.Error("no session description was taken")
		}
		x, _, err := s.Branch(a.sdp(), srtpLeg("fra"))
		if err != nil {
			t.Fatal(err)
		}
		x.Drop()
	})
}

// Two offers answer each other: each side hears what both take, in the directions that both wish.
// Conforms: RFC 3264 section 6; each answer has the formats and the direction that its offer allows.
func TestTwoOffersMeet(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c, one, two, _ := branched(t, srtpLeg("carrier"), srtpLeg("fra"))
		pick := newPeer(t, c.n, bob2Addr, 7000, AES_CM_128_HMAC_SHA1_80)
		if _, _, _, err := two.Meet(bytes.ReplaceAll(pick.sdp(), []byte(bob2Addr.String()), []byte(heldAddr.String()))); err == nil || err.(*Refusal).Status != 403 {
			t.Errorf("media in a held place: %v", err)
		}
		if _, _, _, err := two.Meet(bytes.Replace(pick.sdp(), []byte("SAVP 8 101"), []byte("SAVP 0"), 1)); err == nil || err.(*Refusal).Status != 488 {
			t.Errorf("nothing in common: %v", err)
		}
		one.Take()
		ok(c.s.Answer(B, c.b.sdp()))(t) // early
		toB, toA, _, err := two.Meet(bytes.Replace(pick.sdp("a=sendonly"), []byte("SAVP 8 101"), []byte("SAVP 0 8"), 1))
		if err != nil {
			t.Fatal(err)
		}
		one.Drop()
		if !c.s.Stale() {
			t.Error("A was told of more formats before, and nobody says so")
		}
		if !strings.HasSuffix(mediaLine(t, toB), "RTP/SAVP 8") || !strings.HasSuffix(mediaLine(t, toA), "RTP/SAVP 8") {
			t.Errorf("formats:\n%s%s", toB, toA)
		}
		if !strings.Contains(string(toB), "a=recvonly") || !strings.Contains(string(toA), "a=sendonly") {
			t.Errorf("directions:\n%s%s", toB, toA)
		}
		pick.reads(toB)
		c.a.reads(toA)
		if c.hears(pick, c.a, 3) != 3 || c.hears(c.a, pick, 3) != 0 || c.hears(c.b, c.a, 1) != 0 {
			t.Error("the far end that made the offer is not in the call as it wished")
		}
		// From here it is a session like any other.
		again := ok(c.s.Offer(A, c.a.sdp(), srtpLeg("fra")))(t)
		if !strings.Contains(string(again), strconv.Itoa(int(pick.to.Port()))) {
			t.Errorf("another port in a re-offer:\n%s", again)
		}
	})
}

// A far end that comes in place of an attempt that stood alone: what that one had goes, and only once its successor can be used.
func TestABranchInPlaceOfALoneAttempt(t *testing.T) {
	bubble(t, func(t *testing.T) {
		n := newNetwork()
		b := newBed(t, n.door)
		a, first := newPeer(t, n, aliceAddr, 4000, ""), newPeer(t, n, bobAddr, 5000, "")
		s := b.open(plainLeg("carrier"))
		first.reads(ok(s.Offer(A, a.sdp(), plainLeg("fra")))(t))
		a.reads(ok(s.Answer(B, first.sdp()))(t)) // early
		c := &talking{bed: b, n: n, s: s, a: a, b: first}
		x, offer, err := s.Branch(a.sdp(), plainLeg("zrh"))
		if err != nil {
			t.Fatal(err)
		}
		second := newPeer(t, n, bob2Addr, 6000, "").reads(offer)
		if _, _, err := x.Hear(bytes.ReplaceAll(second.sdp(), []byte(bob2Addr.String()), []byte(heldAddr.String()))); err == nil || err.(*Refusal).Status != 403 {
			t.Errorf("media in a held place: %v", err)
		}
		if c.hears(first, a, 2) != 2 || c.hears(a, first, 2) != 2 {
			t.Error("the first one is not in force any more")
		}
		toA, alone, err := x.Hear(second.sdp())
		if err != nil || alone == nil {
			t.Fatal(err)
		}
		alone.Drop()
		a.reads(toA)
		if c.hears(second, a, 2) != 2 || c.hears(a, second, 2) != 2 || c.hears(first, a, 1) != 0 {
			t.Error("the second one is not in force")
		}
		s.Close()
		if open := n.sockets(); open != 6 {
			t.Errorf("%d sockets are open", open)
		}
	})
}
