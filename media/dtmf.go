package media

import (
	"slices"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/cordonsip/cordon/media/plane"
)

// Digits are said as telephone events among the packets (RFC 4733) or by INFO in the dialog. Where the two far ends of a call differ in that they are converted: who has
// telephone events is answered with them although the other one has none, and offered them where the other one says its digits by INFO.

// Digits says how a far end sends and gets them.
type Digits uint8

// The ways of digits. The zero value is DigitsAuto.
const (
	DigitsAuto   Digits = iota // telephone events where it describes them, else INFO where it takes that
	DigitsEvents               // telephone events; by INFO it gets none
	DigitsInfo                 // INFO; it is neither offered telephone events nor taken at its word that it has them
)

// Informs notes whether the far end of a side is known to take INFO: its Allow says so, RFC 3261 section 20.5. It counts from the next offer or answer on, and does not block.
func (s *Session) Informs(side Side, takes bool) { s.informs[side].Store(takes) }

// DigitLimits bound what is made of digits that came by INFO. Zero fields mean the defaults.
type DigitLimits struct {
	Least, Most time.Duration // how long a digit lasts: 40 ms to 6 s
	Pause       time.Duration // between two of them at least: 40 ms
}

const usualDigit = 100 * time.Millisecond // of a digit whose length nobody said

// bound is a digit's length within the limits.
func (d DigitLimits) bound(want time.Duration) time.Duration {
	if want <= 0 {
		want = usualDigit
	}
	return max(or(d.Least, 40*time.Millisecond), min(want, or(d.Most, 6*time.Second)))
}

func or(d, usual time.Duration) time.Duration {
	if d > 0 {
		return d
	}
	return usual
}

// Digit is one that the far end of a side said by telephone events, of a call whose other far end has none and takes INFO.
type Digit struct {
	Side     Side
	Event    uint8 // RFC 4733 section 3.2: 0 to 9, 10 *, 11 #, 12 to 15 A to D, 16 flash
	Duration time.Duration
}

// dialling is how a leg has digits.
type dialling struct {
	heard  []plane.Tone // under which its far end hears digits that the other one said by INFO
	agreed bool         // telephone events were agreed with its far end
	taken  bool         // they are told of, and go nowhere
	put    bool         // taken or heard were put in force
	opens  atomic.Bool  // heard is not empty, for who presses
}

// informed says that digits may go to the far end by INFO, where it has no telephone events.
func (l *leg) informed() bool {
	return l.cfg.Digits == DigitsInfo || l.cfg.Digits == DigitsAuto && l.s.informs[l.side].Load()
}

// codecs are the formats that it may speak: telephone events are none of them where digits are in its signalling.
func (l *Leg) codecs() Codecs {
	c := l.Codecs
	if l.Digits == DigitsInfo {
		c.Deny = append(slices.Clip(c.Deny), telephoneEvent)
	}
	return c
}

// events says whether telephone events are among the formats of a line.
func (l *line) events() bool {
	return slices.ContainsFunc(l.attrs, func(a attr) bool {
		pt, k, ok := readEvent(a)
		return ok && k.event && l.format(pt) != ""
	})
}

// readEvent is readMap of an attribute that may be that of telephone events; others are not read.
func readEvent(a attr) (pt uint8, k clock, ok bool) {
	if a.key != "rtpmap" || len(a.value) < len(telephoneEvent) {
		return 0, clock{}, false
	}
	return readMap(a.value)
}

// tones are the telephone events of a line, those of the clock that the codec of an answer has first.
func (l *line) tones(answer *line) (out []plane.Tone) {
	var rooms [2][usualTimings]timing
	t, theirs := l.clocks(rooms[0][:0]), answer.clocks(rooms[1][:0])
	rate := uint32(0)
	for _, f := range answer.formats {
		if k := theirs.named(f); rate == 0 && Speech(k.name) {
			rate = k.rate
		}
	}
	for _, f := range l.formats {
		k := t.named(f)
		if pt, ok := payloadType(f); ok && k.event && len(out) < maxTones {
			out = append(out, plane.Tone{PT: pt, Rate: k.rate})
			if n := len(out) - 1; k.rate == rate {
				out[0], out[n] = out[n], out[0]
			}
		}
	}
	return out
}

// maxTones bounds the clocks of one line's events.
const maxTones = 8

// without is a line that has no telephone events.
func (l line) without() line {
	if l.events() {
		var room [usualTimings]timing
		t := l.clocks(room[:0])
		l.keep(func(f string) bool { return !t.named(f).event })
	}
	return l
}

// withEvents adds telephone events to a line that has none, for each clock of its speech: RFC 4733 section 2.1. like has the numbers where it has events of that clock.
func (l *line) withEvents(like *line) {
	if l.events() {
		return
	}
	var rooms [2][usualTimings]timing
	t, theirs := l.clocks(rooms[0][:0]), like.clocks(rooms[1][:0])
	formats, attrs := slices.Clone(l.formats), slices.Clone(l.attrs)
	var done []uint32
	for _, f := range l.formats {
		k := t.named(f)
		if !Speech(k.name) || k.rate == 0 || slices.Contains(done, k.rate) || len(formats) == maxFormats {
			continue
		}
		done = append(done, k.rate)
		pt := like.eventOf(theirs, k.rate)
		if pt == "" && like != l {
			continue // it was not offered
		}
		if pt == "" {
			pt = unused(formats)
		}
		if pt == "" {
			break
		}
		formats = append(formats, pt)
		attrs = append(attrs, attr{"rtpmap", mapOf(pt, k.rate)}, attr{"fmtp", pt + " 0-16"})
	}
	l.formats, l.attrs = formats, attrs
}

// mapOf is the rtpmap of telephone events.
func mapOf(pt string, rate uint32) string {
	if pt == "101" && rate == 8000 {
		return "101 telephone-event/8000"
	}
	return pt + " " + telephoneEvent + "/" + strconv.Itoa(int(rate))
}

// eventOf is the format of the events of a clock; "" without one.
func (l *line) eventOf(t timings, rate uint32) string {
	for _, f := range l.formats {
		if k := t.named(f); k.event && k.rate == rate {
			return f
		}
	}
	return ""
}

// unused is a dynamic number that no format has, RFC 3551 section 3: the usual one of telephone events if it may be. "" when there is none.
func unused(formats []string) string {
	if !slices.Contains(formats, "101") {
		return "101"
	}
	for pt := 127; pt >= 96; pt-- {
		if f := strconv.Itoa(pt); !slices.Contains(formats, f) {
			return f
		}
	}
	return ""
}

// dials adds telephone events to an offer for l whose other side has digits in its signalling.
func (l *leg) dials(out *line) {
	if o := l.s.legs[1-l.side].Load(); o != nil && o.informed() && l.cfg.Digits != DigitsInfo && l.cfg.Codecs.Permits(telephoneEvent) {
		out.withEvents(out)
	}
}

// replies adds the telephone events of an offer of l's far end to the answer, when the other side has none and has digits in its signalling.
func (l *leg) replies(out, offer *line) {
	if o := l.s.legs[1-l.side].Load(); o != nil && o.informed() && offer.events() {
		out.withEvents(offer)
	}
}

// converts decides how the two far ends of a call have digits, of which x made the offer and y the answer: both in what they said themselves.
func converts(x, y *leg, offer, answer *line) {
	y.dialling.agreed = answer.events()
	x.dialling.agreed = (y.dialling.agreed || y.informed()) && offer.events()
	x.has(y, offer, answer)
	y.has(x, answer, answer)
}

// has decides for one leg, whose far end said that; o is the other one. The clock of speech is that of the answer.
func (l *leg) has(o *leg, said, answer *line) {
	d := &l.dialling
	d.taken = d.agreed && !o.dialling.agreed && o.informed()
	d.heard = nil
	if d.agreed && (!o.dialling.agreed || l.cfg.Digits == DigitsEvents) {
		d.heard = said.tones(answer)
	}
}

// dialled puts them in what is put in force.
func (l *leg) dialled(next *plane.Set) {
	d := &l.dialling
	next.Taken, next.Tones = d.taken, d.heard
	d.put = d.taken || len(d.heard) > 0
	d.opens.Store(len(d.heard) > 0)
}

// redials says that digits are, or were, to be converted: what is in force may not be what was decided last.
func (l *leg) redials() bool { return l.dialling.put || l.dialling.taken || len(l.dialling.heard) > 0 }

// Dials says that digits that come by INFO are for Press: the far end of the side has telephone events, and the other one says its digits by INFO.
func (s *Session) Dials(side Side) bool {
	l := s.legs[side].Load()
	return l != nil && l.dialling.opens.Load()
}

// Press has the far end of a side hear a digit by telephone events. False where it has none, or does not want to be sent to now; then nothing was done. It does not block.
func (s *Session) Press(side Side, event uint8, d time.Duration) bool {
	l := s.legs[side].Load()
	if l == nil || !l.dialling.opens.Load() || !l.hears.Load() {
		return false
	}
	limits := s.r.cfg.Digits
	s.r.plane.Press(plane.Press{Ref: l.ref, Event: event, Duration: limits.bound(d), Pause: or(limits.Pause, 40*time.Millisecond)})
	return true
}

// pressed hears of a digit.
func (l *leg) pressed(d plane.Digit) {
	if f := l.s.r.cfg.Pressed; f != nil {
		f(l.s.id, Digit{Side: l.side, Event: d.Event, Duration: d.Duration})
	}
}
