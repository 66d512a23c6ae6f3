package media

import (
	"bytes"
	"strings"
	"testing"
)

// Conforms: RFC 3264 section 8
func TestADescriptionIsComparedByWhatItMeans(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c := newTalking(t, plainLeg("carrier"), plainLeg("fra"))
		swap := func(old, now string) []byte { return bytes.Replace(c.a.sdp(), []byte(old), []byte(now), 1) }
		for name, want := range map[string]struct {
			sdp  []byte
			want Change
		}{
			"the same":                       {c.a.sdp(), Same},
			"the same, a later version":      {swap("peer 7 7", "peer 7 8"), Same},
			"an attribute nobody relays":     {c.a.sdp("a=x-any:1"), Same},
			"sendonly":                       {c.a.sdp("a=sendonly"), Direction},
			"inactive":                       {c.a.sdp("a=inactive"), Direction},
			"the unspecified address":        {bytes.ReplaceAll(c.a.sdp(), []byte("c=IN IP4 "+aliceAddr.String()), []byte("c=IN IP4 0.0.0.0")), Direction},
			"another port":                   {swap("audio 4000", "audio 4100"), Address},
			"another port and a hold":        {bytes.Replace(c.a.sdp("a=sendonly"), []byte("audio 4000"), []byte("audio 4100"), 1), Address},
			"fewer formats":                  {swap("AVP 8 101", "AVP 8"), Formats},
			"another order":                  {swap("AVP 8 101", "AVP 101 8"), Formats},
			"another clock under its number": {swap("8 PCMA/8000", "8 PCMA/16000"), Formats},
			"one more line":                  {append(c.a.sdp(), "m=video 5000 RTP/AVP 96\r\n"...), Formats},
			"the stream is taken away":       {swap("audio 4000", "audio 0"), Formats},
			"mux":                            {c.a.sdp("a=rtcp-mux"), Formats},
			"nonsense":                       {[]byte("x"), Formats},
		} {
			if got := c.s.Compare(A, want.sdp); got != want.want {
				t.Errorf("%s: %d, want %d", name, got, want.want)
			}
		}
		if c.hears(c.a, c.b, 2) != 2 || c.hears(c.b, c.a, 2) != 2 {
			t.Error("a comparison changed the session")
		}
	})
}

// Who was told of a hold must be told of its end.
func TestAHoldThatWasPassedOnIsResumedByPassingOn(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c := newTalking(t, plainLeg("carrier"), plainLeg("fra"))
		c.reinvite2(sendonly, recvonly)
		if got := c.s.Compare(A, c.a.sdp()); got != Formats {
			t.Errorf("resume: %d", got)
		}
		if got := c.s.Compare(A, c.a.sdp("a=inactive")); got != Direction {
			t.Errorf("a deeper hold: %d", got)
		}
		// The answer that could only be recvonly does not count as B's own wish.
		if got := ok(c.s.Reoffer(A, c.a.sdp()))(t); len(lines(t, got, "a=sendrecv")) != 1 {
			t.Errorf("%s", got)
		}
	})
}

// reinvite2 is a hold of A that B hears of.
func (c *talking) reinvite2(offered, answered direction) {
	c.t.Helper()
	ok(c.s.Offer(A, c.a.sdp("a="+string(offered)), c.legs[B]))(c.t)
	ok(c.s.Answer(B, c.b.sdp("a="+string(answered))))(c.t)
}

// Conforms: RFC 3264 section 6.1; RFC 3264 section 8.4; RFC 6337 section 5.3
func TestAHoldIsAnsweredWithTheRightDirection(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c := newTalking(t, srtpLeg("carrier"), srtpLeg("fra"))
		in := map[*peer]*inbound{c.a: c.a.opener(), c.b: c.b.opener()}
		heard := func(from, to *peer) int {
			to.got(to.rtp)
			from.talk(2)
			return len(to.heard(in[to]))
		}
		for _, step := range []struct {
			side       Side
			offer      string
			want       direction
			aToB, bToA int
		}{
			{A, "a=sendonly", recvonly, 2, 0},
			{B, "a=sendonly", inactive, 0, 0}, // both hold each other
			{A, "a=sendrecv", sendonly, 0, 2},
			{B, "a=sendrecv", sendrecv, 2, 2},
			{A, "a=recvonly", sendonly, 2, 2}, // it says that it will not send; what comes all the same is B's to hear
			{A, "a=inactive", inactive, 2, 0},
			{A, "a=sendrecv", sendrecv, 2, 2},
		} {
			p := c.a
			if step.side == B {
				p = c.b
			}
			key := *p.key
			got := ok(c.s.Reoffer(step.side, p.sdp(step.offer)))(t)
			if len(lines(t, got, "a="+string(step.want))) != 1 || len(lines(t, got, "a=crypto")) != 1 {
				t.Errorf("%d %s: want %s and one key in\n%s", step.side, step.offer, step.want, got)
			}
			if p.reads(got); !p.key.same(key) {
				t.Error("the key changed")
			}
			if x, y := heard(c.a, c.b), heard(c.b, c.a); x != step.aToB || y != step.bToA {
				t.Errorf("after %d %s: A to B %d, B to A %d", step.side, step.offer, x, y)
			}
		}
	})
}

// Conforms: RFC 3264 section 8.3.2; RFC 6141 section 3.4
func TestAFurtherOfferIsAnsweredFromWhatIsInUse(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c := newTalking(t, plainLeg("carrier"), plainLeg("fra"))
		wide := bytes.Replace(c.a.sdp(), []byte("AVP 8 101"), []byte("AVP 0 8 101"), 1)
		if l := mediaLine(t, ok(c.s.Reoffer(A, wide))(t)); !strings.HasSuffix(l, "RTP/AVP 8 101") {
			t.Errorf("%s", l)
		}
		narrow := bytes.Replace(c.a.sdp(), []byte("AVP 8 101"), []byte("AVP 8"), 1)
		if l := mediaLine(t, ok(c.s.Reoffer(A, narrow))(t)); !strings.HasSuffix(l, "RTP/AVP 8") {
			t.Errorf("%s", l)
		}
		for name, bad := range map[string][]byte{
			"another codec": bytes.Replace(c.a.sdp(), []byte("AVP 8 101"), []byte("AVP 0"), 1),
			"events alone":  bytes.Replace(c.a.sdp(), []byte("AVP 8 101"), []byte("AVP 101"), 1),
			"no stream":     bytes.Replace(c.a.sdp(), []byte("audio 4000"), []byte("audio 0"), 1),
			"nonsense":      []byte("x"),
		} {
			if _, err := c.s.Reoffer(A, bad); err == nil {
				t.Errorf("%s was answered", name)
			}
		}
		if c.hears(c.a, c.b, 2) != 2 || c.hears(c.b, c.a, 2) != 2 {
			t.Error("the session is not as it was")
		}
		ok(c.s.Offer(B, c.b.sdp("a=inactive"), c.legs[A]))(t)
		if _, err := c.s.Reoffer(A, c.a.sdp()); err == nil || err.(*Refusal).Status != 491 {
			t.Errorf("glare: %v", err)
		}
		c.s.Close()
		if _, err := c.s.Reoffer(A, c.a.sdp()); err == nil {
			t.Error("a closed session answers")
		}
	})
}

// After an early answer the next hop may pick less, or (once widened) something else: A must hear of it.
func TestAnAnswerThatTakesFormatsAwayMakesTheCallerStale(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c := newTalking(t, plainLeg("carrier"), plainLeg("fra"))
		offer := bytes.Replace(c.a.sdp(), []byte("AVP 8 101"), []byte("AVP 0 8 101"), 1)
		answer := func(formats string) {
			ok(c.s.Answer(B, bytes.Replace(c.b.sdp(), []byte("8 101"), []byte(formats), 1)))(t)
		}
		c.s.Abandon()
		ok(c.s.Offer(A, offer, c.legs[B]))(t)
		if answer("8 101"); c.s.Stale() {
			t.Error("the same answer makes the caller stale")
		}
		c.s.Abandon()
		ok(c.s.Offer(A, offer, c.legs[B]))(t)
		if answer("8"); !c.s.Stale() {
			t.Error("the caller may still send events")
		}
		c.s.Abandon()
		c.s.Widen()
		if l := mediaLine(t, ok(c.s.Offer(A, offer, c.legs[B]))(t)); !strings.HasSuffix(l, "RTP/AVP 0 8 101") {
			t.Errorf("%s", l)
		}
		if answer("0"); !c.s.Stale() {
			t.Error("the caller does not know of the other codec")
		}
	})
}
