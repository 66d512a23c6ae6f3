package media

import (
	"bytes"
	"strconv"
	"strings"
	"testing"
)

// A far end of one call comes into another one: it is told the next version of its own session, with the media lines that it has, and the other call's far end
// nothing.
// Conforms: RFC 3264 section 8; the session id stays, the version goes up, and no media line changes its place.
func TestAFarEndIsAdoptedFromAnotherSession(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c := newTalking(t, plainLeg("carrier"), plainLeg("fra"))
		other := c.open(plainLeg("carrier"))
		s2 := newPeer(t, c.n, aliceAddr, 8000, "")
		video := func(p *peer) []byte { // with a media line before the audio
			return bytes.Replace(p.sdp(), []byte("t=0 0\r\n"), []byte("t=0 0\r\nm=video 9000 RTP/AVP 96\r\n"), 1)
		}
		l2 := newPeer(t, c.n, bob2Addr, 6000, "")
		toL2 := ok(other.Offer(A, video(s2), plainLeg("zrh")))(t)
		l2.reads(toL2)
		told := ok(other.Answer(B, bytes.Replace(l2.sdp(), []byte("t=0 0\r\n"), []byte("t=0 0\r\nm=video 0 RTP/AVP 96\r\n"), 1)))(t)
		s2.reads(told)
		o, up := other.Origin(A)
		if !up {
			t.Fatal("nothing was agreed")
		}
		r, offer, err := c.s.Adopt(B, plainLeg("carrier"), o)
		if err != nil {
			t.Fatal(err)
		}
		id, version := origin(t, told)
		again, next := origin(t, offer)
		was, _ := strconv.ParseUint(version, 10, 64)
		if want := strconv.FormatUint(was+1, 10); again != id || next != want {
			t.Errorf("told %s %s before and %s %s now", id, version, again, next)
		}
		if m := strings.Count(string(offer), "m="); m != 2 || !strings.Contains(string(offer), "m=video 0 ") || strings.Index(string(offer), "m=video") > strings.Index(string(offer), "m=audio") {
			t.Errorf("media lines:\n%s", offer)
		}
		if err := r.Hear(bytes.ReplaceAll(s2.sdp(), []byte("m=audio"), []byte("m=video 0 RTP/AVP 96\r\nm=audio"))); err != nil {
			t.Fatal(err)
		}
		patch, err := r.Commit()
		if err != nil || patch.Offer != nil {
			t.Fatalf("%v: %s", err, patch.Offer)
		}
		s2.reads(offer)
		if c.hears(s2, c.a, 2) != 2 || c.hears(c.a, s2, 2) != 2 || c.hears(c.b, c.a, 1) != 0 {
			t.Error("the two that stay do not hear each other")
		}
		if _, up := c.open(plainLeg("carrier")).Origin(A); up {
			t.Error("an origin of nothing")
		}
	})
}
