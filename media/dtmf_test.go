package media

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/cordonsip/cordon/media/plane"
)

// informs is a leg whose far end takes INFO.
func informs(l Leg) Leg {
	l.Informs = true
	return l
}

// with is a leg with its digits otherwise.
func with(d Digits, l Leg) Leg {
	l.Digits = d
	return l
}

// fmts are the formats of the audio line of a description, with the clock of those that are telephone events.
func fmts(t testing.TB, b []byte) string {
	t.Helper()
	d, ref := parseSDP(b)
	if ref != nil {
		t.Fatal(ref)
	}
	l := &d.lines[0]
	c := l.clocks(nil)
	var out []string
	for _, f := range l.formats {
		if k := c.named(f); k.event {
			if !slices.Contains(l.attrs, attr{"fmtp", f + " 0-16"}) && !slices.Contains(l.attrs, attr{"fmtp", f + " 0-15"}) {
				f += "?"
			}
			f = fmt.Sprintf("%s=%d", f, k.rate)
		}
		out = append(out, f)
	}
	return strings.Join(out, " ")
}

const (
	bare8  = "8"
	dtmf8  = "8 101|101 telephone-event/8000"
	dtmf96 = "8 96|96 telephone-event/8000"
	wide   = "111 9 8|111 opus/48000/2"
)

// says is what a peer says with formats and maps as above; telephone events have their fmtp.
func (p *peer) says(what string) []byte {
	formats, maps, _ := strings.Cut(what, "|")
	var list []string
	if maps != "" {
		list = strings.Split(maps, "|")
	}
	out := string(p.numbered(formats, list...))
	for _, m := range list {
		if pt, name, _ := strings.Cut(m, " "); strings.HasPrefix(name, telephoneEvent) {
			out += "a=fmtp:" + pt + " 0-15\r\n"
		}
	}
	return []byte(out)
}

// Who has telephone events is answered with them where the other side has digits in its signalling, and offered them where the other side says so; calls whose two sides have
// them, or neither does, stay as they were.
func TestWhoIsToldOfTelephoneEvents(t *testing.T) {
	carrier, fra := plainLeg("carrier"), plainLeg("fra")
	for name, c := range map[string]struct {
		a      Leg
		offer  string
		b      Leg
		toB    string
		answer string
		toA    string
		taken  [2]bool
		heard  [2][]plane.Tone
	}{
		"both have them":                       {carrier, dtmf8, fra, "8 101=8000", dtmf8, "8 101=8000", [2]bool{}, [2][]plane.Tone{}},
		"both have them, and INFO":             {informs(carrier), dtmf8, informs(fra), "8 101=8000", dtmf96, "8 101=8000", [2]bool{}, [2][]plane.Tone{}},
		"neither has them":                     {carrier, bare8, fra, "8", bare8, "8", [2]bool{}, [2][]plane.Tone{}},
		"neither has them, and B INFO":         {carrier, bare8, informs(fra), "8", bare8, "8", [2]bool{}, [2][]plane.Tone{}},
		"B has none, and takes INFO":           {carrier, dtmf8, informs(fra), "8 101=8000", bare8, "8 101=8000", [2]bool{true, false}, [2][]plane.Tone{{{PT: 101, Rate: 8000}}, nil}},
		"B has none, and says nothing of INFO": {carrier, dtmf8, fra, "8 101=8000", bare8, "8", [2]bool{}, [2][]plane.Tone{}},
		"B is one of INFO":                     {carrier, dtmf8, with(DigitsInfo, fra), "8", bare8, "8 101=8000", [2]bool{true, false}, [2][]plane.Tone{{{PT: 101, Rate: 8000}}, nil}},
		"B is one of INFO, and has them":       {carrier, dtmf8, with(DigitsInfo, fra), "8", dtmf8, "8 101=8000", [2]bool{true, false}, [2][]plane.Tone{{{PT: 101, Rate: 8000}}, nil}},
		"B is none of INFO":                    {carrier, dtmf8, with(DigitsEvents, informs(fra)), "8 101=8000", bare8, "8", [2]bool{}, [2][]plane.Tone{}},
		"A has none, and takes INFO":           {informs(carrier), bare8, fra, "8 101=8000", dtmf96, "8", [2]bool{false, true}, [2][]plane.Tone{nil, {{PT: 96, Rate: 8000}}}},
		"A has none, takes INFO, and B is one of INFO": {
			informs(carrier), bare8, with(DigitsInfo, fra), "8", bare8, "8", [2]bool{}, [2][]plane.Tone{},
		},
		"A has none, and so has B":       {informs(carrier), bare8, fra, "8 101=8000", bare8, "8", [2]bool{}, [2][]plane.Tone{}},
		"A is one of INFO, and has them": {with(DigitsInfo, carrier), dtmf8, fra, "8 101=8000", dtmf8, "8", [2]bool{false, true}, [2][]plane.Tone{nil, {{PT: 101, Rate: 8000}}}},
		"A is one of INFO, 101 is taken": {with(DigitsInfo, carrier), "8 101|101 speex/8000", fra, "8 101 127=8000", "8 127|127 telephone-event/8000", "8", [2]bool{false, true}, [2][]plane.Tone{nil, {{PT: 127, Rate: 8000}}}},
		"events for each clock":          {informs(carrier), wide, fra, "111 9 8 101=48000 127=8000", "111 101|111 opus/48000/2|101 telephone-event/48000", "111", [2]bool{false, true}, [2][]plane.Tone{nil, {{PT: 101, Rate: 48000}}}},
		"answered with the clock of speech": {
			carrier, wide + "|101 telephone-event/8000|100 telephone-event/48000", informs(fra), "111 9 8", "111|111 opus/48000/2", "111", [2]bool{}, [2][]plane.Tone{},
		},
		"B may not have them by its codecs": {
			informs(carrier), bare8, Leg{Party: "fra", Security: Plain, Codecs: Codecs{Deny: []string{telephoneEvent}}}, "8", bare8, "8", [2]bool{}, [2][]plane.Tone{},
		},
		"B is none of INFO, and both have them": {
			carrier, dtmf8, with(DigitsEvents, fra), "8 101=8000", dtmf8, "8 101=8000", [2]bool{}, [2][]plane.Tone{nil, {{PT: 101, Rate: 8000}}},
		},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				n := newNetwork()
				bed := newBed(t, n.door)
				a, b := newPeer(t, n, aliceAddr, 4000, ""), newPeer(t, n, bobAddr, 5000, "")
				s := bed.open(c.a)
				toB := ok(s.Offer(A, a.says(c.offer), c.b))(t)
				toA := ok(s.Answer(B, b.says(c.answer)))(t)
				if got := [2]string{fmts(t, toB), fmts(t, toA)}; got != [2]string{c.toB, c.toA} {
					t.Errorf("told %q", got)
				}
				for side := range s.legs {
					d := &s.legs[side].Load().dialling
					if d.taken != c.taken[side] || !reflect.DeepEqual(d.heard, c.heard[side]) || d.opens.Load() != (len(d.heard) > 0) {
						t.Errorf("side %d: taken %v, heard %v", side, d.taken, d.heard)
					}
				}
			})
		})
	}
}

// keys hears digits.
type keys struct {
	mu   sync.Mutex
	list []Digit
}

func (k *keys) hear(session string, d Digit) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if session == "call" {
		k.list = append(k.list, d)
	}
}

func (k *keys) got() []Digit {
	k.mu.Lock()
	defer k.mu.Unlock()
	out := k.list
	k.list = nil
	return out
}

// dialTalk is a call between A, who has telephone events, and B, who takes INFO; d hears the digits.
func dialTalk(t *testing.T, b Leg) (c *talking, d *keys) {
	t.Helper()
	n := newNetwork()
	d = &keys{}
	c = &talking{bed: newBed(t, n.door, func(c *Config) { c.Pressed = d.hear }), n: n, legs: [2]Leg{plainLeg("carrier"), b}}
	c.a, c.b = newPeer(t, n, aliceAddr, 4000, ""), newPeer(t, n, bobAddr, 5000, "")
	c.s = c.open(c.legs[A])
	c.b.reads(ok(c.s.Offer(A, c.a.says(dtmf8), b))(t))
	c.a.reads(ok(c.s.Answer(B, c.b.says(bare8)))(t))
	return c, d
}

// dials has A say a digit, and checks what becomes of it: told is whether it is told of, else it passes to `to`, or goes nowhere.
func dials(t *testing.T, what string, from, to *peer, d *keys, told bool) {
	t.Helper()
	to.got(to.rtp)
	_, wire := from.as(101)
	wire[1] = 101 // as the far end's ends come: the marker is its first packet's
	from.from(from.rtp, wire)
	got, passed := d.got(), len(to.got(to.rtp))
	if told != (len(got) == 1 && got[0].Event == 5 && got[0].Duration == 100*time.Millisecond) || !told && len(got) > 0 {
		t.Errorf("%s: told of %v", what, got)
	}
	if told == (passed == 1) {
		t.Errorf("%s: %d packets passed", what, passed)
	}
}

// presses checks what a press does, while speech passes: pt is the number of the event that comes; 0 none.
func presses(t *testing.T, what string, c *talking, from, to *peer, side Side, converts bool, pt byte) {
	t.Helper()
	to.got(to.rtp)
	if did, heard := c.s.Dials(side), c.s.Press(side, 7, 80*time.Millisecond); did != converts || heard != (pt > 0) {
		t.Errorf("%s: converts %v, heard %v", what, did, heard)
	}
	from.talk(8)
	events := 0
	for _, b := range to.got(to.rtp) {
		if len(b) == 16 && b[1]&0x7f == pt && b[12] == 7 {
			events++
		}
	}
	if want := 6; pt > 0 && events != want || pt == 0 && events != 0 { // 4 of 20 ms, of which the last one is an end, and two more ends
		t.Errorf("%s: %d packets of the digit", what, events)
	}
	time.Sleep(time.Second)
}

// Digits cross both ways, through holds, further offers and another far end; where both have telephone events they pass as ever.
func TestDigitsCross(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c, d := dialTalk(t, informs(plainLeg("fra")))
		dials(t, "at first", c.a, c.b, d, true)
		presses(t, "at first", c, c.b, c.a, A, true, 101)
		presses(t, "toward B", c, c.a, c.b, B, false, 0)

		hold := ok(c.s.Reoffer(A, append(c.a.says(dtmf8), "a=sendonly\r\n"...)))(t)
		if got := fmts(t, hold); got != "8 101=8000" {
			t.Errorf("the answer to a hold has %q", got)
		}
		if did, heard := c.s.Dials(A), c.s.Press(A, 7, 0); !did || heard {
			t.Errorf("A, who does not listen, is pressed %v, hears %v", did, heard)
		}
		if got := fmts(t, ok(c.s.Reoffer(A, c.a.says(dtmf8)))(t)); got != "8 101=8000" {
			t.Errorf("the answer to a resume has %q", got)
		}
		dials(t, "after a hold", c.a, c.b, d, true)
		presses(t, "after a hold", c, c.b, c.a, A, true, 101)

		toA := ok(c.s.Offer(B, c.b.says(bare8), c.legs[A]))(t)
		if got := fmts(t, toA); got != "8 101=8000" {
			t.Errorf("B's further offer comes as %q", got)
		}
		if got := fmts(t, ok(c.s.Answer(A, c.a.says(dtmf8)))(t)); got != "8" {
			t.Errorf("B is answered %q", got)
		}
		dials(t, "after B's further offer", c.a, c.b, d, true)
		presses(t, "after B's further offer", c, c.b, c.a, A, true, 101)
		if c.s.Stale() {
			t.Error("A is to be told of a change, and there is none")
		}
		r := c.s.Report()
		if s := r.Sides[A]; s.DigitsIn != 3 || s.DigitsOut != 3 || s.Ignored != 0 {
			t.Errorf("%d digits came, %d went, %d ignored", s.DigitsIn, s.DigitsOut, s.Ignored)
		}
	})
}

// A far end that takes B's place has digits in its own way: by INFO as B had, or by telephone events as A has; and back.
func TestDigitsCrossAfterATransfer(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c, d := dialTalk(t, informs(plainLeg("fra")))
		swap := func(leg Leg, port uint16, says string) *peer {
			r, offer, err := c.s.Replace(B, leg)
			if err != nil {
				t.Fatal(err)
			}
			p := newPeer(t, c.n, bob2Addr, port, "").reads(offer)
			if got := fmts(t, offer); got != "8 101=8000" {
				t.Errorf("the new far end is offered %q", got)
			}
			if err := r.Hear(p.says(says)); err != nil {
				t.Fatal(err)
			}
			patch := ok(r.Commit())(t)
			if patch.Offer != nil {
				t.Errorf("A is offered %q", fmts(t, patch.Offer))
			}
			return p
		}
		same := swap(informs(plainLeg("zrh")), 6000, bare8)
		dials(t, "INFO as before", c.a, same, d, true)
		presses(t, "INFO as before", c, same, c.a, A, true, 101)
		events := swap(plainLeg("fra"), 6100, dtmf8)
		dials(t, "telephone events", c.a, events, d, false)
		presses(t, "telephone events", c, events, c.a, A, false, 0)
		again := swap(informs(plainLeg("zrh")), 6200, bare8)
		dials(t, "INFO again", c.a, again, d, true)
		presses(t, "INFO again", c, again, c.a, A, true, 101)

		// One that makes the offer itself.
		r := ok(c.s.Receive(B, plainLeg("fra"), events.says(dtmf8)))(t)
		patch := ok(r.Commit())(t)
		events.reads(patch.Answer)
		if got := fmts(t, patch.Answer); got != "8 101=8000" || patch.Offer != nil {
			t.Errorf("the one that called is answered %q", got)
		}
		dials(t, "telephone events again", c.a, events, d, false)
	})
}

// An early answer without telephone events and a later one with them, of another branch: A is told of no change, and digits go as the one in force has them.
func TestDigitsOfForks(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c, d := dialTalk(t, informs(plainLeg("fra")))
		br, offer, err := c.s.Branch(c.a.says(dtmf8), plainLeg("zrh"))
		if err != nil {
			t.Fatal(err)
		}
		b2 := newPeer(t, c.n, bob2Addr, 6000, "").reads(offer)
		dials(t, "the first one in force", c.a, c.b, d, true)
		toA, alone, err := br.Hear(b2.says(dtmf8))
		if err != nil || fmts(t, toA) != "8 101=8000" || c.s.Stale() {
			t.Errorf("%v, A is told %q, stale %v", err, fmts(t, toA), c.s.Stale())
		}
		dials(t, "the second one in force", c.a, b2, d, false)
		alone.Drop()
		back, offer, err := c.s.Branch(c.a.says(dtmf8), informs(plainLeg("fra")))
		if err != nil {
			t.Fatal(err)
		}
		b3 := newPeer(t, c.n, bob2Addr, 6100, "").reads(offer)
		if toA, _, err = back.Hear(b3.says(bare8)); err != nil || fmts(t, toA) != "8 101=8000" || c.s.Stale() {
			t.Errorf("%v, A is told %q, stale %v", err, fmts(t, toA), c.s.Stale())
		}
		dials(t, "the third one in force", c.a, b3, d, true)
		br.Drop()
	})
}

// Digits are converted on where another process takes the session up, also after a further offer there.
func TestDigitsCrossAfterARestart(t *testing.T) {
	bubble(t, func(t *testing.T) {
		d := &keys{}
		n := newNetwork()
		first := newBed(t, n.door, func(c *Config) { c.Pressed = d.hear })
		first.surviving()
		first.restart()
		c := &talking{bed: first, n: n, legs: [2]Leg{plainLeg("carrier"), informs(plainLeg("fra"))}}
		c.a, c.b = newPeer(t, n, aliceAddr, 4000, ""), newPeer(t, n, bobAddr, 5000, "")
		c.s = ok(c.relay.Open("call", c.legs[A]))(t)
		c.b.reads(ok(c.s.Offer(A, c.a.says(dtmf8), c.legs[B]))(t))
		c.a.reads(ok(c.s.Answer(B, c.b.says(bare8)))(t))
		note := c.s.Save()
		c.restart()
		c.s = ok(c.relay.Readopt("call", note))(t)
		dials(t, "after", c.a, c.b, d, true)
		presses(t, "after", c, c.b, c.a, A, true, 101)
		if got := fmts(t, ok(c.s.Reoffer(A, c.a.says(dtmf8)))(t)); got != "8 101=8000" {
			t.Errorf("a further offer is answered %q", got)
		}
		dials(t, "after a further offer", c.a, c.b, d, true)
		c.s.Close()
	})
}

func TestDigitLimits(t *testing.T) {
	ms := time.Millisecond
	for _, c := range []struct {
		l          DigitLimits
		want, have time.Duration
	}{
		{DigitLimits{}, 0, 100 * ms},
		{DigitLimits{}, -time.Second, 100 * ms},
		{DigitLimits{}, ms, 40 * ms},
		{DigitLimits{}, 160 * ms, 160 * ms},
		{DigitLimits{}, time.Hour, 6 * time.Second},
		{DigitLimits{Least: 70 * ms, Most: 200 * ms}, 40 * ms, 70 * ms},
		{DigitLimits{Least: 150 * ms, Most: 200 * ms}, 0, 150 * ms},
		{DigitLimits{Least: 70 * ms, Most: 200 * ms}, time.Second, 200 * ms},
	} {
		if got := c.l.bound(c.want); got != c.have {
			t.Errorf("%v: %v becomes %v", c.l, c.want, got)
		}
	}
}
