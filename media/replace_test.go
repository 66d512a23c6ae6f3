package media

import (
	"bytes"
	"errors"
	"strconv"
	"strings"
	"testing"
)

// begin starts to replace B by bob2, who answers the offer.
func (c *talking) begin(t *testing.T, to Leg) (*Replacement, *peer, []byte) {
	t.Helper()
	r, offer, err := c.s.Replace(B, to)
	if err != nil {
		t.Fatal(err)
	}
	suite := Suite("")
	b2 := newPeer(t, c.n, bob2Addr, 6000, suite)
	if to.Security == Plain {
		b2.reads(offer)
	} else {
		b2.picks(offer, 0)
	}
	return r, b2, offer
}

// Another far end takes the place of B: it has ports and keys of its own, A's ports, keys and rollover counter stay, and A is told nothing.
// Conforms: RFC 3711 section 3.3.1; the rollover counter of the side that stays goes on.
func TestReplaceLeavesTheOtherSideAlone(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c := newTalking(t, srtpLeg("carrier"), srtpLeg("fra"))
		inA := c.a.opener()
		c.a.ext, c.b.ext = 65530, 65530
		if c.hears(c.a, c.b, 10) != 10 {
			t.Fatal("B is not heard")
		}
		c.b.talk(10)
		c.a.heard(inA)
		first := c.s.legs[B].Load().pair.port
		r, b2, offer := c.begin(t, srtpLeg("zrh"))
		if strings.Contains(mediaLine(t, offer), " "+strconv.Itoa(int(first))+" ") || b2.key.same(*c.b.key) {
			t.Errorf("ports or keys of the old far end are used again: %s", offer)
		}
		if c.hears(c.a, c.b, 2) != 2 || c.hears(c.a, b2, 2) != 0 {
			t.Error("the old far end must stay until the new one is in force")
		}
		if err := r.Hear(b2.sdp()); err != nil {
			t.Fatal(err)
		}
		patch, err := r.Commit()
		if err != nil || patch.Offer != nil || patch.Answer != nil {
			t.Fatalf("%v, patch %+v", err, patch)
		}
		in2 := b2.opener()
		c.a.talk(3)
		if got := len(b2.heard(in2)); got != 3 {
			t.Errorf("the new far end hears %d of 3", got)
		}
		b2.ssrc = c.b.ssrc // even a far end that chose the same source
		b2.talk(3)
		if got := len(c.a.heard(inA)); got != 3 {
			t.Errorf("A hears %d of 3", got)
		}
		rep := c.s.Report()
		if len(rep.Former) != 1 || rep.Former[0].Side != B || rep.Former[0].Report.Remote != c.b.rtp.at || rep.Former[0].Report.RxPackets != 10 {
			t.Errorf("former %+v", rep.Former)
		}
		if rep.Sides[B].Remote != b2.rtp.at || rep.Sides[B].RxPackets != 3 {
			t.Errorf("side %+v", rep.Sides[B])
		}
		if _, err := r.Commit(); err == nil {
			t.Error("committed twice")
		}
	})
}

// A far end that stands where the policy holds media is refused, nothing is sent there, and the call goes on as it was.
func TestReplaceIsJudged(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c := newTalking(t, srtpLeg("carrier"), plainLeg("fra"))
		r, b2, _ := c.begin(t, plainLeg("zrh"))
		abroad := bytes.ReplaceAll(b2.sdp(), []byte(bob2Addr.String()), []byte(heldAddr.String()))
		var ref *Refusal
		if err := r.Hear(abroad); !errors.As(err, &ref) || ref.Status != 403 {
			t.Fatalf("%v", err)
		}
		if _, err := r.Commit(); err == nil {
			t.Error("committed what was refused")
		}
		r.Drop()
		if c.hears(c.a, c.b, 2) != 2 || c.hears(c.b, c.a, 2) != 2 {
			t.Error("the call did not go on")
		}
		c.s.Close()
		if open := len(c.n.socks); open != 6 {
			t.Errorf("%d sockets are open, want those of the peers", open)
		}
	})
}

// The one who transfers holds the call first: who comes in its place is offered both directions, and the held side is told once.
func TestReplaceEndsAHold(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c := newTalking(t, srtpLeg("carrier"), srtpLeg("fra"))
		c.reinvite(c.b, c.a, sendonly, recvonly)
		r, b2, offer := c.begin(t, srtpLeg("zrh"))
		if !strings.Contains(string(offer), "a=sendrecv") {
			t.Errorf("%s", offer)
		}
		if err := r.Hear(b2.sdp()); err != nil {
			t.Fatal(err)
		}
		patch, err := r.Commit()
		if err != nil || !strings.Contains(string(patch.Offer), "a=sendrecv") {
			t.Fatalf("%v: %s", err, patch.Offer)
		}
		if _, err := c.s.Offer(A, c.a.sdp(), c.legs[B]); err == nil || err.(*Refusal).Status != 491 {
			t.Errorf("an offer of the other side meanwhile: %v", err)
		}
		if err := r.Settle(c.a.sdp()); err != nil {
			t.Fatal(err)
		}
		if c.hears(b2, c.a, 2) != 2 || c.hears(c.a, b2, 2) != 2 {
			t.Error("nothing flows after the hold")
		}
	})
}

// A format that the new far end does not take is a change for the side that stays.
func TestReplaceWithFewerFormats(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c := newTalking(t, plainLeg("carrier"), plainLeg("fra"))
		r, b2, _ := c.begin(t, plainLeg("zrh"))
		if err := r.Hear(bytes.Replace(b2.sdp(), []byte("AVP 8 101"), []byte("AVP 8"), 1)); err != nil {
			t.Fatal(err)
		}
		patch, err := r.Commit()
		if err != nil || !strings.HasSuffix(mediaLine(t, patch.Offer), "RTP/AVP 8") {
			t.Fatalf("%v: %s", err, patch.Offer)
		}
		c.s.Rollback() // A refused: the session stays as it is
		if c.hears(b2, c.a, 2) != 2 || c.hears(c.a, b2, 2) != 2 {
			t.Error("nothing flows after a refused change")
		}
		if err := r.Settle(c.a.sdp()); err == nil {
			t.Error("an answer to nothing was taken")
		}
		// And the new far end may re-offer like any other.
		if _, err := c.s.Offer(B, b2.sdp(), plainLeg("carrier")); err != nil {
			t.Error(err)
		}
	})
}

// A new far end may make the offer itself: its answer holds what the side that stays agreed to.
func TestReceiveAnswersFromWhatWasAgreed(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c := newTalking(t, srtpLeg("carrier"), plainLeg("fra"))
		b2 := newPeer(t, c.n, bob2Addr, 6000, AES_CM_128_HMAC_SHA1_80)
		offer := bytes.Replace(b2.sdp(), []byte("SAVP 8 101"), []byte("SAVP 0 101 8"), 1)
		if _, err := c.s.Receive(B, srtpLeg("zrh"), bytes.Replace(b2.sdp(), []byte("SAVP 8 101"), []byte("SAVP 0"), 1)); err == nil {
			t.Error("no format in common was taken")
		}
		r, err := c.s.Receive(B, srtpLeg("zrh"), offer)
		if err != nil {
			t.Fatal(err)
		}
		patch, err := r.Commit()
		if err != nil || patch.Offer != nil || !strings.HasSuffix(mediaLine(t, patch.Answer), "RTP/SAVP 8 101") {
			t.Fatalf("%v: offer %s, answer %s", err, patch.Offer, patch.Answer)
		}
		b2.reads(patch.Answer)
		if c.hears(b2, c.a, 2) != 2 || c.hears(c.a, b2, 2) != 2 || c.hears(c.b, c.a, 1) != 0 {
			t.Error("the new far end is not in the call")
		}
	})
}

func TestReplaceNeedsASession(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c := newTalking(t, plainLeg("carrier"), plainLeg("fra"))
		fresh := c.open(plainLeg("carrier"))
		if _, _, err := fresh.Replace(B, plainLeg("zrh")); err == nil {
			t.Error("nothing was replaced")
		}
		r, b2, _ := c.begin(t, plainLeg("zrh"))
		if err := r.Hear(b2.sdp()); err != nil {
			t.Fatal(err)
		}
		if _, err := c.s.Offer(A, c.a.sdp(), plainLeg("fra")); err != nil {
			t.Fatal(err)
		}
		if _, err := r.Commit(); err == nil || err.(*Refusal).Status != 491 {
			t.Errorf("against an open offer: %v", err)
		}
		c.s.Rollback()
		if c.hears(c.a, c.b, 2) != 2 {
			t.Error("the call did not go on")
		}
		c.s.Close()
		if _, _, err := c.s.Replace(B, plainLeg("zrh")); err == nil {
			t.Error("a closed session was changed")
		}
	})
}
