package plane

import (
	"encoding/binary"
	"time"
)

// Telephone events of RFC 4733 between a far end that sends and takes them and one that has digits in its signalling. What comes as events is told once per
// digit (Events.Pressed) and goes nowhere; what is to be heard as events is pressed (Press).

// Tone is a payload type under which a far end takes telephone events, and their clock: RFC 4733 section 2.1, that of the speech that they stand among.
type Tone struct {
	PT   uint8
	Rate uint32
}

// Press has the far end of a leg hear a digit as a telephone event. Digits wait for each other, up to a bound. A digit that was begun is lost with its plane, and is
// not begun again.
type Press struct {
	Ref
	Event    uint8         // RFC 4733 section 3.2: 0 to 9, 10 *, 11 #, 12 to 15 A to D, 16 flash
	Duration time.Duration // at least
	Pause    time.Duration // at least, before the next one
}

// Digit is a telephone event that came from the far end of a leg, when it has ended.
type Digit struct {
	Leg      Ref
	Event    uint8
	Duration time.Duration
}

const (
	lastDigit = 16                     // flash; codes above it are tones, and not for here
	lapse     = 200 * time.Millisecond // an event of which nothing more came for so long is over: its end was lost
	backward  = 5                      // seconds, by the clock of a stream: what is older than that is no late packet, the clock began anew
	segment   = 0xffff                 // what the duration of an event can say; a longer one goes on in another segment, RFC 4733 section 2.5.1.3
	segmented = 0xf000                 // and where some begin it
)

// dialled is the event that comes from a far end.
type dialled struct {
	on     bool
	event  uint8
	rate   uint32
	ssrc   uint32
	began  uint32 // time stamp of its segment
	past   uint32 // units of segments before
	length uint32 // of this one, so far
	last   int64  // unix ns of its last packet
}

// dialledBefore names the last event of a far end that is over: what comes of it later, or again, is no other digit.
type dialledBefore struct {
	on       bool
	ssrc, ts uint32
}

// digits takes a packet of l on its way to o when one of them has digits otherwise. It gives what goes on; false: nothing does. b has the number of o's side.
func (w *worker) digits(l, o *leg, b []byte, h Header, v verdict) ([]byte, bool) {
	c := l.clock(h.PT)
	switch {
	case c.Event && l.flags&flagTaken != 0:
		if !v.stray {
			w.dialled(l, payload(b, h.Base), h, c.Rate)
		}
		return nil, false
	case !c.Event && o.flags&flagPresses != 0:
		return w.overlay(o, b, h, c.Rate), true
	}
	return b, true
}

// payload is what stands behind the header, without padding: RFC 3550 section 5.1.
func payload(b []byte, base int) []byte {
	p := b[base:]
	if b[0]&0x20 == 0 || len(p) == 0 {
		return p
	}
	return p[:max(0, len(p)-int(p[len(p)-1]))]
}

// dialled takes the events of one packet. Several in one follow each other without a gap, RFC 4733 section 2.5.1.5.
func (w *worker) dialled(l *leg, p []byte, h Header, rate uint32) {
	if l.dials == nil || rate == 0 {
		return
	}
	for ts, marker := h.TS, h.Marker; len(p) >= 4; p, marker = p[4:], false {
		length := uint32(binary.BigEndian.Uint16(p[2:]))
		if w.begins(l, h.SSRC, ts, p[0], marker, rate) {
			d := l.dials
			d.length, d.last = max(d.length, length), w.now
			if p[1]&0x80 != 0 {
				w.ends(l)
			} else {
				w.call(l, w.now+int64(lapse))
			}
		}
		ts += length
	}
}

// begins puts the event with that time stamp in progress, or leaves it there. False: it is over already.
func (w *worker) begins(l *leg, ssrc, ts uint32, event uint8, marker bool, rate uint32) bool {
	if t := l.before; t.on && t.ssrc == ssrc && t.ts-ts <= backward*rate {
		return false
	}
	d := l.dials
	if d.on && d.ssrc == ssrc {
		ahead := ts - d.began
		switch {
		case ahead == 0:
			return true
		case -ahead <= backward*rate:
			return false
		case ahead >= segmented && ahead <= segment && !marker && event == d.event:
			d.past, d.began, d.length = d.past+ahead, ts, 0
			return true
		}
	}
	w.ends(l)
	*d = dialled{on: true, event: event, rate: rate, ssrc: ssrc, began: ts}
	return true
}

// ends tells of the event in progress, if there is one.
func (w *worker) ends(l *leg) {
	d := l.dials
	if !d.on {
		return
	}
	d.on, l.before = false, dialledBefore{true, d.ssrc, d.began}
	if d.event > lastDigit {
		l.ignored++
		return
	}
	l.dialledIn++
	units := uint64(d.past) + uint64(d.length)
	w.p.cfg.Events.Pressed(Digit{Leg: l.ref(), Event: d.event, Duration: time.Duration(units * uint64(time.Second) / uint64(d.rate))})
}

// lapsed ends an event of which nothing comes any more; else it gives when to look again, 0 never.
func (w *worker) lapsed(l *leg) int64 {
	d := l.dials
	if d == nil || !d.on {
		return 0
	}
	if over := d.last + int64(lapse); w.now < over {
		return over
	}
	w.ends(l)
	return 0
}

// keyed puts in force how the far end of l has digits.
func (l *leg) keyed(n *Set) (flags uint32) {
	l.tones = append(l.tones[:0], n.Tones...)
	if len(l.tones) == 0 {
		l.keypad = nil
	}
	if l.keypad != nil && l.keypad.busy() {
		flags |= flagPresses
	}
	if !n.Taken {
		l.dials = nil
		return flags
	}
	if l.dials == nil {
		l.dials = &dialled{}
	}
	return flags | flagTaken
}
