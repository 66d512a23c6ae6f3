package media

import (
	"bytes"
	"strings"
	"testing"
)

// numbered is what a peer says with other formats: "8 96" and their maps.
func (p *peer) numbered(formats string, maps ...string) []byte {
	out := strings.Replace(string(p.sdp()), " 8 101\r\n", " "+formats+"\r\n", 1)
	out = strings.Replace(out, "a=rtpmap:101 telephone-event/8000\r\n", "", 1)
	for _, m := range maps {
		out += "a=rtpmap:" + m + "\r\n"
	}
	return []byte(out)
}

// as is the next packet of a peer under a payload type, with the marker of an event and a payload that looks like one.
func (p *peer) as(pt byte) (b, wire []byte) {
	p.ext++
	b = packet(p.ssrc, uint16(p.ext), 160*p.ext, []byte{5, 0x8a, 0x03, 0x20})
	b[1] = 0x80 | pt
	wire = b
	if p.ours != nil {
		wire = refRTP(p.t, *p.ours, bytes.Clone(b), p.ext>>16)
	}
	return b, wire
}

// crosses checks that what one peer sends under a number arrives under another one, and is otherwise the same.
func crossesAs(t *testing.T, from, to *peer, pt, want byte) {
	t.Helper()
	to.got(to.rtp)
	b, wire := from.as(pt)
	from.from(from.rtp, wire)
	got := to.got(to.rtp)
	if len(got) != 1 {
		t.Errorf("payload type %d: %d packets came", pt, len(got))
		return
	}
	if in := to.opener(); in != nil {
		var err error
		if got[0], err = in.openRTP(got[0]); err != nil {
			t.Errorf("payload type %d: %v", pt, err)
			return
		}
	}
	b[1] = 0x80 | want
	if !bytes.Equal(got[0], b) {
		t.Errorf("payload type %d came as %x, want %x", pt, got[0], b)
	}
}

const event96 = "96 telephone-event/8000"

// Each side gets events, comfort noise and speech under the numbers that it gave them, with marker, time stamp and payload untouched.
//
// Conforms: RFC 3264 section 6.1; an answer may number formats anew, and each side is sent its own numbers. RFC 4733 section 2.3
func TestEachSideGetsItsOwnNumbers(t *testing.T) {
	for name, legs := range map[string][2]Leg{
		"plain": {plainLeg("carrier"), plainLeg("fra")}, "to SRTP": {plainLeg("carrier"), srtpLeg("fra")}, "from SRTP": {srtpLeg("carrier"), plainLeg("fra")},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				n := newNetwork()
				bed := newBed(t, n.door)
				suite := Suite("")
				if legs[A].Security != Plain {
					suite = AES_CM_128_HMAC_SHA1_80
				}
				a, b := newPeer(t, n, aliceAddr, 4000, suite), newPeer(t, n, bobAddr, 5000, "")
				s := bed.open(legs[A])
				toB := ok(s.Offer(A, a.numbered("8 13 101", "101 telephone-event/8000"), legs[B]))(t)
				b.picks(toB, 0)
				toA := ok(s.Answer(B, b.numbered("8 97 96", "97 CN/8000", event96)))(t)
				a.reads(toA)
				if !strings.HasSuffix(mediaLine(t, toB), "8 13 101") || !strings.HasSuffix(mediaLine(t, toA), "8 13 101") || strings.Contains(string(toA), ":96 ") {
					t.Errorf("told\n%s%s", toB, toA)
				}
				for _, c := range []struct {
					from, to *peer
					pt, want byte
				}{
					{a, b, 8, 8},
					{a, b, 101, 96},
					{a, b, 13, 97},
					{b, a, 101, 101},
					{b, a, 96, 101},
					{b, a, 13, 13},
					{b, a, 97, 13},
					{b, a, 8, 8},
					{a, b, 77, 77}, // nobody knows it
				} {
					crossesAs(t, c.from, c.to, c.pt, c.want)
				}
			})
		})
	}
}

// newNumbered is a call in which B answered 96 for the events that A has under 101.
func newNumbered(t *testing.T) *talking {
	t.Helper()
	c := newTalking(t, plainLeg("carrier"), plainLeg("fra"))
	c.b.reads(ok(c.s.Offer(A, c.a.sdp(), c.legs[B]))(t))
	c.a.reads(ok(c.s.Answer(B, c.b.numbered("8 96", event96)))(t))
	return c
}

// Conforms: RFC 3264 section 8.3.2; a number keeps its meaning, and a later offer is in numbers that its receiver knows.
func TestNumbersOfLaterOffers(t *testing.T) {
	const event98 = "98 telephone-event/8000"
	for name, f := range map[string]func(*testing.T, *talking){
		"B offers other numbers": func(t *testing.T, c *talking) {
			toA := ok(c.s.Offer(B, c.b.numbered("8 98", event98), c.legs[A]))(t)
			toB := ok(c.s.Answer(A, c.a.sdp()))(t)
			if !strings.HasSuffix(mediaLine(t, toA), " 8 101") || !strings.HasSuffix(mediaLine(t, toB), " 8 98") {
				t.Errorf("told\n%s%s", toA, toB)
			}
			crossesAs(t, c.a, c.b, 101, 98)
			crossesAs(t, c.b, c.a, 98, 101)
		},
		"A offers again": func(t *testing.T, c *talking) {
			toB := ok(c.s.Offer(A, c.a.sdp(), c.legs[B]))(t)
			toA := ok(c.s.Answer(B, c.b.numbered("8 96", event96)))(t)
			if !strings.HasSuffix(mediaLine(t, toB), " 8 96") || !strings.HasSuffix(mediaLine(t, toA), " 8 101") {
				t.Errorf("told\n%s%s", toB, toA)
			}
			crossesAs(t, c.a, c.b, 101, 96)
			crossesAs(t, c.b, c.a, 96, 101)
			crossesAs(t, c.b, c.a, 101, 101)
		},
		"a number with another meaning": func(t *testing.T, c *talking) {
			toA := ok(c.s.Offer(B, c.b.numbered("8 101 96", "101 opus/48000/2", event96), c.legs[A]))(t)
			if !strings.HasSuffix(mediaLine(t, toA), " 8 97 101") || !strings.Contains(string(toA), "a=rtpmap:97 opus/48000/2\r\n") {
				t.Errorf("told\n%s", toA)
			}
			toB := ok(c.s.Answer(A, c.a.numbered("97 101", "97 opus/48000/2", "101 telephone-event/8000")))(t)
			if !strings.HasSuffix(mediaLine(t, toB), " 101 96") {
				t.Errorf("told\n%s", toB)
			}
			crossesAs(t, c.a, c.b, 97, 101)
			crossesAs(t, c.a, c.b, 101, 96)
			crossesAs(t, c.b, c.a, 101, 97)
			crossesAs(t, c.b, c.a, 96, 101)
			again := ok(c.s.Offer(B, c.b.numbered("8 101 96", "101 opus/48000/2", event96), c.legs[A]))(t)
			if !strings.HasSuffix(mediaLine(t, again), " 8 97 101") {
				t.Errorf("told again\n%s", again)
			}
		},
		"a hold that is answered here": func(t *testing.T, c *talking) {
			toB := ok(c.s.Reoffer(B, c.b.numbered("8 98", event98, "8 PCMA/8000\r\na=sendonly")))(t)
			if !strings.HasSuffix(mediaLine(t, toB), " 8 98") || len(lines(t, toB, "a=recvonly")) != 1 {
				t.Errorf("told\n%s", toB)
			}
			crossesAs(t, c.b, c.a, 98, 101)
			ok(c.s.Reoffer(B, c.b.numbered("8 98", event98)))(t)
			crossesAs(t, c.a, c.b, 101, 98)
		},
		"numbers that become the same": func(t *testing.T, c *talking) {
			ok(c.s.Reoffer(B, c.b.sdp()))(t)
			crossesAs(t, c.a, c.b, 101, 101)
			crossesAs(t, c.b, c.a, 101, 101)
		},
	} {
		t.Run(name, func(t *testing.T) { bubble(t, func(t *testing.T) { f(t, newNumbered(t)) }) })
	}
}

// Conforms: RFC 3264 section 6.1; a delayed offer is answered in its own numbers, too.
func TestNumbersOfADelayedOffer(t *testing.T) {
	bubble(t, func(t *testing.T) {
		n := newNetwork()
		bed := newBed(t, n.door)
		a, b := newPeer(t, n, aliceAddr, 4000, ""), newPeer(t, n, bobAddr, 5000, "")
		s := bed.open(plainLeg("carrier"))
		if err := s.Expect(plainLeg("fra")); err != nil {
			t.Fatal(err)
		}
		a.reads(ok(s.Offer(B, b.numbered("8 96", event96), plainLeg("carrier")))(t))
		toB := ok(s.Answer(A, a.sdp()))(t)
		b.reads(toB)
		if !strings.HasSuffix(mediaLine(t, toB), " 8 96") {
			t.Errorf("told\n%s", toB)
		}
		crossesAs(t, a, b, 101, 96)
		crossesAs(t, a, b, 96, 96) // the number that A was offered
		crossesAs(t, b, a, 96, 101)
	})
}

// Who takes the place of a far end brings numbers of its own, and the side that stays hears nothing of them.
func TestNumbersAfterATransfer(t *testing.T) {
	const event110 = "110 telephone-event/8000"
	for name, offers := range map[string]bool{"it answers": false, "it offers": true} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				c := newNumbered(t)
				d := newPeer(t, c.n, bob2Addr, 6000, "")
				said := d.numbered("8 110", event110)
				var r *Replacement
				if offers {
					r = ok(c.s.Receive(B, plainLeg("zrh"), said))(t)
				} else {
					var toD []byte
					var err error
					if r, toD, err = c.s.Replace(B, plainLeg("zrh")); err != nil || !strings.HasSuffix(mediaLine(t, toD), " 8 101") {
						t.Fatalf("%v\n%s", err, toD)
					}
					d.reads(toD)
					if err := r.Hear(said); err != nil {
						t.Fatal(err)
					}
				}
				p := ok(r.Commit())(t)
				if p.Offer != nil {
					t.Errorf("the side that stays is told\n%s", p.Offer)
				}
				if offers {
					if !strings.HasSuffix(mediaLine(t, p.Answer), " 8 110") {
						t.Errorf("told\n%s", p.Answer)
					}
					d.reads(p.Answer)
				}
				crossesAs(t, c.a, d, 101, 110)
				crossesAs(t, d, c.a, 110, 101)
				crossesAs(t, d, c.a, 101, 101)
			})
		})
	}
}

// Two offers that answer each other are each answered in their own numbers.
func TestNumbersOfTwoOffers(t *testing.T) {
	bubble(t, func(t *testing.T) {
		n := newNetwork()
		bed := newBed(t, n.door)
		a, b := newPeer(t, n, aliceAddr, 4000, ""), newPeer(t, n, bobAddr, 5000, "")
		s := bed.open(plainLeg("carrier"))
		br, _, err := s.Branch(a.sdp(), plainLeg("fra"))
		if err != nil {
			t.Fatal(err)
		}
		toB, toA, _, err := br.Meet(b.numbered("101 8 96", "101 opus/48000/2", event96))
		if err != nil || !strings.HasSuffix(mediaLine(t, toB), " 8 96") || !strings.HasSuffix(mediaLine(t, toA), " 8 101") {
			t.Fatalf("%v\n%s%s", err, toB, toA)
		}
		a.reads(toA)
		b.reads(toB)
		crossesAs(t, a, b, 101, 96)
		crossesAs(t, b, a, 96, 101)
	})
}

// What a format is called by the other side: the same number first, then the same parameters, then any of that name. RFC 2198 names numbers inside and keeps its own.
func TestCounterparts(t *testing.T) {
	said := func(formats string, attrs ...string) *line {
		l := &line{kind: "audio", proto: protoAVP, port: 4000, formats: strings.Fields(formats)}
		for _, a := range attrs {
			key, value, _ := strings.Cut(a, ":")
			l.attrs = append(l.attrs, attr{key, value})
		}
		return l
	}
	for name, c := range map[string]struct{ l, like, want *line }{
		"the same": {said("8 101", "rtpmap:101 telephone-event/8000"), said("101 8", "rtpmap:101 telephone-event/8000"), said("8 101", "rtpmap:101 telephone-event/8000")},
		"by parameters": {
			said("96", "rtpmap:96 AMR/8000", "fmtp:96 octet-align=1", "ptime:20"),
			said("97 98", "rtpmap:97 AMR/8000", "rtpmap:98 AMR/8000", "fmtp:98 octet-align=1"),
			said("98", "rtpmap:98 AMR/8000", "fmtp:98 octet-align=1", "ptime:20"),
		},
		"by name":         {said("96", "rtpmap:96 iLBC/8000", "fmtp:96 mode=20"), said("97", "rtpmap:97 ilbc/8000"), said("97", "rtpmap:97 iLBC/8000", "fmtp:97 mode=20")},
		"static, dynamic": {said("97 13", "rtpmap:97 PCMA/8000"), said("8 97", "rtpmap:97 CN/8000"), said("8 97", "rtpmap:97 CN/8000", "rtpmap:8 PCMA/8000")},
		"another clock":   {said("8 96", "rtpmap:96 telephone-event/16000"), said("8 101", "rtpmap:101 telephone-event/8000"), said("8")},
		"redundant": {
			said("8 96 97", "rtpmap:96 red/8000", "fmtp:96 8/8", "rtpmap:97 telephone-event/8000"),
			said("8 96 101", "rtpmap:96 red/8000", "rtpmap:101 telephone-event/8000"), said("8 96", "rtpmap:96 red/8000", "fmtp:96 8/8"),
		},
	} {
		got := c.l.as(c.like)
		if strings.Join(got.formats, " ") != strings.Join(c.want.formats, " ") || string(got.render(nil)) != string(c.want.render(nil)) {
			t.Errorf("%s:\n%swant\n%s", name, got.render(nil), c.want.render(nil))
		}
	}
}

// Another number costs a packet no allocation.
func TestRenumberingDoesNotAllocate(t *testing.T) {
	n, socks := newNetwork(), swallows{}
	bed := newBed(t, socks.listen, func(c *Config) { c.Ports = [2]uint16{30000, 30999} })
	a, b := newPeer(t, n, aliceAddr, 4000, ""), newPeer(t, n, bobAddr, 5000, "")
	s := bed.open(plainLeg("carrier"))
	ok(s.Offer(A, a.sdp(), plainLeg("fra")))(t)
	ok(s.Answer(B, b.numbered("8 96", event96)))(t)
	at := s.legs[A].Load().bind
	seq, packet := uint16(0), make([]byte, 16)
	if got := testing.AllocsPerRun(1000, func() {
		seq++
		rtpHeader(packet, seq, 160, 7, false)
		packet[1] = 101
		socks[at].take(packet, a.rtp.at)
	}); got != 0 {
		t.Errorf("%v allocations per packet", got)
	}
	if r := s.Close(); r.Sides[B].TxPackets != 1001 {
		t.Errorf("%+v", r.Sides)
	}
}

// A session that another process takes up goes on with its numbers, and a later offer changes them.
func TestNumbersOutliveTheRelay(t *testing.T) {
	bubble(t, func(t *testing.T) {
		n := newNetwork()
		c := &talking{bed: newBed(t, n.door), n: n}
		c.surviving()
		c.restart()
		c.a, c.b = newPeer(t, n, aliceAddr, 4000, ""), newPeer(t, n, bobAddr, 5000, "")
		c.s = ok(c.relay.Open("call", plainLeg("carrier")))(t)
		c.b.reads(ok(c.s.Offer(A, c.a.sdp(), plainLeg("fra")))(t))
		c.a.reads(ok(c.s.Answer(B, c.b.numbered("8 96", event96)))(t))
		note := c.s.Save()
		c.restart()
		crossesAs(t, c.a, c.b, 101, 96)
		s := ok(c.relay.Readopt("call", note))(t)
		c.relay.Settle()
		crossesAs(t, c.a, c.b, 101, 96)
		ok(s.Reoffer(B, c.b.sdp()))(t)
		crossesAs(t, c.a, c.b, 101, 101)
		crossesAs(t, c.b, c.a, 101, 101)
		s.Close()
	})
}
