package media

import (
	"bytes"
	"net/netip"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cordonsip/cordon/media/plane"
)

// survivor is a plane that outlives the relay that gives it commands.
type survivor struct {
	*plane.Plane
	heard atomic.Pointer[plane.Events]
}

func (s *survivor) Moved(m plane.Move) { (*s.heard.Load()).Moved(m) }

func (s *survivor) Aside(leg plane.Ref, from netip.AddrPort, b []byte) {
	(*s.heard.Load()).Aside(leg, from, b)
}

func (s *survivor) Passed(leg plane.Ref, in bool, at time.Time, peer netip.AddrPort, header []byte, size int) {
	(*s.heard.Load()).Passed(leg, in, at, peer, header, size)
}

func (s *survivor) Played(p plane.Played) { (*s.heard.Load()).Played(p) }

// surviving makes relays, one after the other, over one plane.
func (b *bed) surviving() *survivor {
	s := &survivor{}
	b.cfg.Plane = func(e plane.Events) (plane.Commands, error) {
		s.heard.Store(&e)
		if s.Plane != nil {
			return s, nil
		}
		p, err := plane.New(plane.Config{Fence: b.fence, Events: s})
		s.Plane = p
		return s, err
	}
	return s
}

// restart gives the bed a relay that knows nothing of the one before.
func (b *bed) restart() {
	b.t.Helper()
	b.relay = ok(New(b.cfg))(b.t)
}

// TestASessionIsTakenUpByAnotherRelay: packets flow before, while nobody is there, and after; keys, ports and rollover counters stay, and all that a call may want later works.
func TestASessionIsTakenUpByAnotherRelay(t *testing.T) {
	for _, legs := range [][2]Leg{{plainLeg("carrier"), plainLeg("fra")}, {srtpLeg("carrier"), srtpLeg("fra")}, {plainLeg("carrier"), srtpLeg("fra", AES_CM_128_HMAC_SHA1_80)}} {
		bubble(t, func(t *testing.T) { takenUp(t, legs) })
	}
}

func takenUp(t *testing.T, legs [2]Leg) {
	n := newNetwork()
	first := newBed(t, n.door)
	first.surviving()
	first.restart()
	c := &talking{bed: first, n: n, legs: legs}
	suite := Suite("")
	if legs[A].Security != Plain {
		suite = AEAD_AES_256_GCM
	}
	c.a, c.b = newPeer(t, n, aliceAddr, 4000, suite), newPeer(t, n, bobAddr, 5000, "")
	c.s = ok(c.relay.Open("call", legs[A]))(t)
	c.b.picks(ok(c.s.Offer(A, c.a.sdp(), legs[B]))(t), 0)
	told := ok(c.s.Answer(B, c.b.sdp()))(t)
	c.a.reads(told)
	other := ok(c.relay.Open("left", plainLeg("carrier")))(t) // a call that nobody takes up
	x, y := newPeer(t, n, aliceAddr, 4100, ""), newPeer(t, n, bobAddr, 5100, "")
	y.reads(ok(other.Offer(A, x.sdp(), plainLeg("fra")))(t))
	x.reads(ok(other.Answer(B, y.sdp()))(t))
	c.a.ext, c.b.ext = 65530, 65530
	inA, inB := c.a.opener(), c.b.opener()
	hear := func(what string) {
		t.Helper()
		c.a.talk(4)
		c.b.talk(4)
		if a, b := len(c.a.heard(inA)), len(c.b.heard(inB)); a != 4 || b != 4 {
			t.Fatalf("%s: A heard %d, B %d of 4", what, a, b)
		}
	}
	hear("before")
	note := c.s.Save()
	for _, key := range [][]byte{keyText(c.a.key), keyText(c.a.ours), keyText(c.b.key)} {
		if len(key) > 0 && bytes.Contains(note, key) {
			t.Error("a key was written down")
		}
	}
	before := c.s.Report()

	c.restart() // the relay of before is gone, without a word
	hear("while nobody is there")
	s := ok(c.relay.Readopt("call", note))(t)
	if left := c.relay.Settle(); left != 2 {
		t.Errorf("%d legs are left of the call that nobody takes up, want 2", left)
	}
	if x.talk(1); len(y.got(y.rtp)) != 0 {
		t.Error("the call that nobody took up goes on")
	}
	c.s = s
	hear("after") // past the rollover
	if now := s.Report(); now.Sides[A].RxPackets != before.Sides[A].RxPackets+8 || now.Sides[A].Local != before.Sides[A].Local || now.Sides[B].Suite != before.Sides[B].Suite ||
		now.Sides[A].Codec != "PCMA" || !now.Sides[B].Ruling.Permitted() || !now.Opened.Equal(before.Opened) {
		t.Errorf("%+v\nwas\n%+v", now, before)
	}
	// Another call gets other slots and other ports.
	fresh := c.open(plainLeg("carrier"))
	ok(fresh.Offer(A, x.sdp(), plainLeg("fra")))(t)
	hear("beside a new call")
	takenUpLater(t, c, told)
	hear("after all that")
	if _, err := c.relay.Readopt("call", note); err == nil {
		t.Error("taken up twice")
	}
	r := s.Close()
	if r.Sides[A].RxPackets < 20 || r.Sides[A].Refused != 0 {
		t.Errorf("%+v", r.Sides[A])
	}
	fresh.Close()
	if n.sockets() != 8 { // those of the four peers
		t.Errorf("%d sockets are left", n.sockets())
	}
}

// takenUpLater is what a call may want after a restart: hold and resume, with the version after the last one, and the same ports and keys.
func takenUpLater(t *testing.T, c *talking, told []byte) {
	t.Helper()
	hold := ok(c.s.Offer(A, c.a.sdp("a=sendonly"), c.legs[B]))(t)
	if !strings.Contains(string(hold), "a=sendonly") {
		t.Errorf("the hold is not passed on: %s", hold)
	}
	answer := ok(c.s.Answer(B, c.b.sdp("a=recvonly")))(t)
	id, version := origin(t, told)
	id2, version2 := origin(t, answer)
	if id2 != id || version2 != after(t, version) {
		t.Errorf("o=%s %s after o=%s %s", id2, version2, id, version)
	}
	if c.a.key != nil && !strings.Contains(string(answer), string(keyText(c.a.key))) {
		t.Error("our key changed")
	}
	ok(c.s.Offer(A, c.a.sdp(), c.legs[B]))(t)
	ok(c.s.Answer(B, c.b.sdp()))(t)
	if sdp := c.s.Told(B); len(sdp) == 0 {
		t.Error("nothing is known of what B was told")
	}
}

// TestVersionsOverARestart: what was sent last is sent again as it was, the next description is one version ahead, and one that could not be made again counts when it was sent.
// Conforms: RFC 3264 section 8
func TestVersionsOverARestart(t *testing.T) {
	for name, c := range map[string]struct {
		leg   Leg
		whole bool // one key was offered, so all that was said is known
		said  bool
		next  string
	}{
		"plain":              {plainLeg("fra"), true, false, "2"},
		"plain, sent again":  {plainLeg("fra"), true, true, "2"},
		"a key":              {srtpLeg("fra", AES_CM_128_HMAC_SHA1_80), true, true, "2"},
		"several, not sent":  {srtpLeg("fra"), false, false, "2"},
		"several, sent anew": {srtpLeg("fra"), false, true, "3"},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				n := newNetwork()
				b := newBed(t, n.door)
				b.surviving()
				b.restart()
				alice, bob := newPeer(t, n, aliceAddr, 4000, ""), newPeer(t, n, bobAddr, 5000, "")
				s := ok(b.relay.Open("call", plainLeg("carrier")))(t)
				offer := ok(s.Offer(A, alice.sdp(), c.leg))(t)
				bob.picks(offer, 0)
				ok(s.Answer(B, bob.sdp()))(t)
				for range 2 { // twice, and nothing is said in between
					note := s.Save()
					b.restart()
					s = ok(b.relay.Readopt("call", note))(t)
				}
				told := s.Told(B)
				if id, version := origin(t, told); bytes.Equal(told, offer) != c.whole || id != first(origin(t, offer)) || version != map[bool]string{true: "1", false: "2"}[c.whole] {
					t.Errorf("%s\nafter\n%s", told, offer)
				}
				if c.said {
					s.Said(B)
					s.Said(B)
				}
				if again := s.Told(B); c.said && !bytes.Equal(again, told) {
					t.Errorf("%s\nafter\n%s", again, told)
				}
				hold := ok(s.Offer(A, alice.sdp("a=sendonly"), c.leg))(t)
				if _, version := origin(t, hold); version != c.next {
					t.Errorf("want version %s:\n%s", c.next, hold)
				}
				s.Close()
			})
		})
	}
}

func first[A, B any](a A, _ B) A { return a }

// after is the version after another one.
func after(t *testing.T, version string) string {
	t.Helper()
	n, err := strconv.Atoi(version)
	if err != nil {
		t.Fatal(err)
	}
	return strconv.Itoa(n + 1)
}

// keyText is a key as a session description has it, without its padding.
func keyText(c *crypto) []byte {
	if c == nil {
		return nil
	}
	_, text, _ := strings.Cut(c.String(), "inline:")
	return []byte(strings.TrimRight(text, "="))
}

// TestWhatCannotBeTakenUpIsRefused: other versions, sessions that are gone, and what is no record at all.
func TestWhatCannotBeTakenUpIsRefused(t *testing.T) {
	bubble(t, func(t *testing.T) {
		n := newNetwork()
		b := newBed(t, n.door)
		b.surviving()
		b.restart()
		s := b.open(plainLeg("carrier"))
		if s.Save() != nil {
			t.Error("something is written down of a session without an agreement")
		}
		x, y := newPeer(t, n, aliceAddr, 4100, ""), newPeer(t, n, bobAddr, 5100, "")
		ok(s.Offer(A, x.sdp(), plainLeg("fra")))(t)
		ok(s.Answer(B, y.sdp()))(t)
		note := s.Save()
		for _, bad := range [][]byte{nil, []byte("{}"), note[:len(note)-2], bytes.Replace(note, []byte(`"Version":1`), []byte(`"Version":2`), 1)} {
			if _, err := b.relay.Readopt("call", bad); err == nil {
				t.Errorf("%q was taken up", bad)
			}
		}
		if s.Close(); s.Save() != nil {
			t.Error("something is written down of a session that ended")
		}
		b.restart()
		if _, err := b.relay.Readopt("call", note); err == nil {
			t.Error("a session that ended was taken up")
		}
	})
}

// FuzzReadopt throws records at a relay whose plane has a call.
func FuzzReadopt(f *testing.F) {
	n := newNetwork()
	b := newBed(f, n.listen)
	b.surviving()
	b.restart()
	s := b.open(plainLeg("carrier"))
	x, y := newPeer(f, n, aliceAddr, 4100, ""), newPeer(f, n, bobAddr, 5100, "")
	ok(s.Offer(A, x.sdp(), plainLeg("fra")))(f)
	ok(s.Answer(B, y.sdp()))(f)
	f.Add(s.Save())
	f.Fuzz(func(t *testing.T, note []byte) {
		b.t = t
		b.restart()
		if s, err := b.relay.Readopt("call", note); err == nil {
			s.Report()
			s.Told(A)
			s.Save()
		}
	})
}

func (s *survivor) Pressed(d plane.Digit) { (*s.heard.Load()).Pressed(d) }
