package media

import (
	"errors"
	"strings"
	"testing"
)

// hoping is what a peer says that offers or answers RTP/AVP with its key.
func (p *peer) hoping(extra ...string) []byte {
	return []byte(strings.Replace(string(p.sdp(extra...)), "RTP/SAVP ", "RTP/AVP ", 1))
}

// hopes is a leg of best effort over a hop that may see keys.
func hopes(party string) Leg { return Leg{Party: party, Security: SRTPBestEffort, Secure: true} }

// An offer of best effort is plain RTP with keys, which the answer may use or leave.
//
// Conforms: RFC 8643 section 3.1; keys in RTP/AVP, with an answer that has them. RFC 8643 section 3.3; an answer without them is taken
func TestBestEffortIsOffered(t *testing.T) {
	for name, answers := range map[string]bool{"with keys": true, "without": false} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				n := newNetwork()
				bed := newBed(t, n.door)
				a, b := newPeer(t, n, aliceAddr, 4000, ""), newPeer(t, n, bobAddr, 5000, "")
				s := bed.open(plainLeg("carrier"))
				toB := ok(s.Offer(A, a.sdp(), hopes("fra")))(t)
				if !strings.Contains(mediaLine(t, toB), " RTP/AVP ") || len(lines(t, toB, "a=crypto:")) != len(defaultSuites()) {
					t.Fatalf("offered\n%s", toB)
				}
				suite := Suite("")
				answer := b.reads(toB).sdp()
				if answers {
					b.picks(toB, 1)
					answer, suite = b.hoping(), AEAD_AES_128_GCM
				} else {
					b.key = nil
				}
				a.reads(ok(s.Answer(B, answer))(t))
				crossesAs(t, a, b, 8, 8)
				crossesAs(t, b, a, 8, 8)
				if got := s.Report().Sides[B]; got.Suite != suite || got.TxPackets != 1 || got.RxPackets != 1 {
					t.Errorf("%+v", got)
				}
				again := ok(s.Offer(A, a.sdp("a=ptime:30"), hopes("fra")))(t)
				if keys := len(lines(t, again, "a=crypto:")); answers && keys != 1 || !answers && keys != 0 || !strings.Contains(mediaLine(t, again), " RTP/AVP ") {
					t.Errorf("offered again\n%s", again)
				}
				if answers {
					ok(s.Answer(B, b.hoping()))(t)
				} else {
					ok(s.Answer(B, b.sdp()))(t)
				}
				crossesAs(t, a, b, 8, 8)
				crossesAs(t, b, a, 8, 8)
			})
		})
	}
}

// An offer of RTP/AVP with keys is answered with one where the leg is of best effort and its hop may see keys.
//
// Conforms: RFC 8643 section 3.2; the answer has a key and the profile of the offer
func TestBestEffortIsTaken(t *testing.T) {
	optional, open := Leg{Party: "carrier", Security: SRTPOptional, Secure: true}, hopes("carrier")
	open.Secure = false
	for name, c := range map[string]struct {
		leg   Leg
		keyed bool
		want  string // keys in the answer; "" refused
	}{
		"best effort":                {hopes("carrier"), true, "key"},
		"best effort, none offered":  {hopes("carrier"), false, "none"},
		"keys on a hop without TLS":  {open, true, "none"},
		"optional":                   {optional, true, "none"},
		"plain":                      {plainLeg("carrier"), true, "none"},
		"SRTP is demanded":           {srtpLeg("carrier"), true, ""},
		"SRTP is demanded, no keys":  {srtpLeg("carrier"), false, ""},
		"no suite that it may speak": {Leg{Party: "carrier", Security: SRTPBestEffort, Secure: true, Suites: []Suite{AEAD_AES_256_GCM}}, true, "none"},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				n := newNetwork()
				bed := newBed(t, n.door)
				a, b := newPeer(t, n, aliceAddr, 4000, AES_CM_128_HMAC_SHA1_80), newPeer(t, n, bobAddr, 5000, "")
				offer := a.hoping()
				if !c.keyed {
					a.ours = nil
					offer = a.sdp()
				}
				s := bed.open(c.leg)
				toB, err := s.Offer(A, offer, plainLeg("fra"))
				if c.want == "" {
					var ref *Refusal
					if !errors.As(err, &ref) || ref.Status != 488 || ref.Warning != 302 {
						t.Errorf("%v %s", err, toB)
					}
					return
				}
				if err != nil {
					t.Fatal(err)
				}
				b.reads(toB)
				toA := ok(s.Answer(B, b.sdp()))(t)
				if keys := len(lines(t, toA, "a=crypto:")); (keys == 1) != (c.want == "key") || !strings.Contains(mediaLine(t, toA), " RTP/AVP ") {
					t.Errorf("answered\n%s", toA)
				}
				if c.want != "key" {
					a.ours = nil
				}
				a.reads(toA)
				crossesAs(t, a, b, 8, 8)
				crossesAs(t, b, a, 8, 8)
			})
		})
	}
}

// A key that was not offered, or none of those that were, is refused: whoever answers one means it.
//
// Conforms: RFC 8643 section 3.3; a key in the answer that cannot be used is no reason to go without
func TestBestEffortTakesNoWrongKey(t *testing.T) {
	n := newNetwork()
	bed := newBed(t, n.listen)
	a, b := newPeer(t, n, aliceAddr, 4000, ""), newPeer(t, n, bobAddr, 5000, AES_CM_128_HMAC_SHA1_80)
	s := bed.open(plainLeg("carrier"))
	ok(s.Offer(A, a.sdp(), hopes("fra")))(t)
	b.ours.tag = "77"
	for _, answer := range [][]byte{b.hoping(), b.sdp()} {
		var ref *Refusal
		if _, err := s.Answer(B, answer); !errors.As(err, &ref) || ref.Status != 488 {
			t.Errorf("%v to\n%s", err, answer)
		}
	}
	open := hopes("fra")
	open.Secure = false
	s = bed.open(plainLeg("carrier"))
	if toB := ok(s.Offer(A, a.sdp(), open))(t); len(lines(t, toB, "a=crypto:")) != 0 || !strings.Contains(mediaLine(t, toB), " RTP/AVP ") {
		t.Errorf("offered over a hop without TLS\n%s", toB)
	}
}
