package plane

import (
	"encoding/binary"
	"time"
)

// A digit that is pressed takes the place of the speech that passes to the far end, packet for packet: SSRC, sequence number and so the index of SRTP stay those of the
// packet that came. Where nothing passes it goes out in a stream of its own.

const (
	maxPresses = 32                    // that wait
	lastOnes   = 3                     // end packets, RFC 4733 section 2.5.1.4
	still      = 60 * time.Millisecond // when nothing passed for so long, a digit does not wait for speech any more
	stopped    = time.Second           // speech that stopped within a digit is waited for so long
	volume     = 10                    // -10 dBm0, RFC 4733 section 2.3.4
	eventSize  = 4                     // bytes of an event, RFC 4733 section 2.3
)

// keypad is the digits that the far end of a leg is to hear. The first of the queue is under way while on.
type keypad struct {
	queue  []Press
	on     bool
	alone  bool  // in the stream of our own
	ended  uint8 // end packets that left
	tone   Tone
	ssrc   uint32 // of the stream
	began  uint32 // time stamp of the segment
	past   uint32 // units of the segments before
	length uint32 // of this one, as it was said last
	newest uint32 // time stamp of the packet that made room last
	passed int64  // when something passed to the far end last, unix ns
	free   int64  // before it the next one does not begin
	at     int64  // when the next packet of our own stream leaves
	own    ownStream
}

// ownStream is where digits go that find no speech. It lives as long as the keypad.
type ownStream struct {
	ssrc  uint32 // 0: it has not begun
	ext   uint32 // of the next packet
	base  uint32 // time stamp at
	since int64  // unix ns
	rate  uint32
}

func (k *keypad) busy() bool { return k.on || len(k.queue) > 0 }

// Press implements Commands.
func (p *Plane) Press(n Press) {
	w := p.worker(n.Slot)
	w.lock()
	defer w.mu.Unlock()
	l, ok := w.of(n.Ref)
	if !ok {
		return
	}
	if len(l.tones) == 0 || n.Event > lastDigit || l.keypad != nil && len(l.keypad.queue) == maxPresses {
		l.ignored++
		return
	}
	if l.keypad == nil {
		l.keypad = &keypad{}
	}
	k := l.keypad
	if !k.busy() {
		l.flags |= flagPresses
		k.passed = w.now // perhaps: nobody looked until now
		w.call(&l, w.now+int64(still))
	}
	k.queue = append(k.queue, n)
}

// overlay gives what leaves to the far end of o in place of b, a packet of speech of that clock: a part of a digit, or b itself.
func (w *worker) overlay(o *leg, b []byte, h Header, rate uint32) []byte {
	k := o.keypad
	k.passed = w.now
	switch {
	case !k.on && (len(k.queue) == 0 || w.now < k.free):
		return b
	case !k.on:
		k.begin(h.SSRC, h.TS, o.tone(rate))
	case k.alone || k.ssrc != h.SSRC || int32(h.TS-k.began) < 0:
		return b
	}
	first := k.length == 0 && k.past == 0
	b = k.event(b[:h.Base+eventSize], h.Base, h.TS, first)
	if w.released(o); !k.on && k.busy() {
		w.call(o, max(k.free, w.now+int64(still)))
	}
	return b
}

// tone is how the far end takes events beside speech of that clock.
func (l *leg) tone(rate uint32) Tone {
	for _, t := range l.tones {
		if t.Rate == rate {
			return t
		}
	}
	return l.tones[0]
}

// begin puts the first of the queue under way, in a stream and from a time stamp on.
func (k *keypad) begin(ssrc, ts uint32, t Tone) {
	k.on, k.alone, k.ended, k.tone = true, false, 0, t
	k.ssrc, k.began, k.newest, k.past, k.length = ssrc, ts, ts, 0, 0
}

// event writes the digit under way, as it stands at time stamp ts, behind a header.
func (k *keypad) event(b []byte, base int, ts uint32, first bool) []byte {
	began := k.began
	if k.ended == 0 {
		k.grow(ts)
	}
	want := uint64(k.queue[0].Duration) * uint64(k.tone.Rate) / uint64(time.Second)
	marked, flags := byte(0), byte(volume)
	if first {
		marked = 0x80 // RFC 4733 section 2.2.2
	}
	if k.ended > 0 || uint64(k.past)+uint64(k.length) >= want {
		k.ended++
		flags |= 0x80
	}
	b[0] &^= 0x20 // there is no padding any more
	b[1] = marked | k.tone.PT&0x7f
	binary.BigEndian.PutUint32(b[4:], began)
	b[base], b[base+1] = k.queue[0].Event, flags
	binary.BigEndian.PutUint16(b[base+2:], uint16(k.length))
	if k.length == segment && k.ended == 0 { // RFC 4733 section 2.5.1.3
		k.past, k.began, k.length = k.past+segment, k.began+segment, 0
	}
	return b
}

// grow has the digit last until the end of the packet with time stamp ts. It never becomes shorter: packets may come out of order.
func (k *keypad) grow(ts uint32) {
	step := uint32(uint64(frameTime) * uint64(k.tone.Rate) / uint64(time.Second))
	if d := ts - k.newest; d > 0 && d < step {
		step = d
	}
	if int32(ts-k.newest) > 0 {
		k.newest = ts
	}
	k.length = min(max(k.length, ts-k.began+step), segment)
}

// released lets go of a digit all of whose end packets have left. The pause runs from its first one.
func (w *worker) released(o *leg) {
	k := o.keypad
	if k.ended == 1 {
		k.free = w.now + int64(frameTime+k.queue[0].Pause)
	}
	if k.ended >= lastOnes {
		o.done()
	}
}

// done takes the first one out of the queue.
func (o *leg) done() {
	k := o.keypad
	o.dialledOut++
	k.queue = append(k.queue[:0], k.queue[1:]...)
	k.on, k.ended = false, 0
	if len(k.queue) == 0 {
		o.flags &^= flagPresses
	}
}

// play does what is to be done for the digits of a leg without a packet of somebody else. It gives when it wants to be asked again; 0 never.
func (w *worker) play(o *leg) int64 {
	k := o.keypad
	switch {
	case k == nil || !k.busy():
		return 0
	case k.on && !k.alone:
		if over := k.passed + int64(stopped); w.now < over {
			return over
		}
		// Its beginning was heard: who heard it ends it (RFC 4733 section 2.5.2.2), and would take another beginning for another digit.
		o.done()
		return k.again(w.now)
	case !k.on:
		if from := max(k.free, k.passed+int64(still)); w.now < from {
			return from
		}
		w.beginAlone(o)
	case w.now < k.at:
		return k.at
	}
	w.playOwn(o)
	return k.again(w.now)
}

// again is when a keypad wants to be asked next.
func (k *keypad) again(now int64) int64 {
	switch {
	case !k.busy():
		return 0
	case k.on:
		return max(k.at, now+1)
	}
	return max(k.free, now+1)
}

// beginAlone puts the first of the queue under way in the stream of our own.
func (w *worker) beginAlone(o *leg) {
	k, t := o.keypad, o.tones[0]
	s := &k.own
	if s.ssrc == 0 || s.rate != t.Rate {
		// Below 2^15, so that the first rollover cannot be mistaken: RFC 3711 section 3.3.1.
		*s = ownStream{ssrc: random32() | 1, ext: random32() >> 17, base: random32(), since: w.now, rate: t.Rate}
	}
	k.begin(s.ssrc, s.base+uint32(uint64(w.now-s.since)*uint64(t.Rate)/uint64(time.Second)), t)
	k.alone, k.at = true, w.now
}

// playOwn sends the next packet of a digit that stands alone.
func (w *worker) playOwn(o *leg) {
	k := o.keypad
	s := &k.own
	var room [12 + eventSize]byte
	b := room[:]
	b[0] = 0x80
	binary.BigEndian.PutUint16(b[2:], uint16(s.ext))
	binary.BigEndian.PutUint32(b[8:], s.ssrc)
	first := k.length == 0 && k.past == 0
	ts := k.newest
	if !first {
		ts += uint32(uint64(frameTime) * uint64(k.tone.Rate) / uint64(time.Second))
	}
	b = k.event(b, 12, ts, first)
	fresh := s.since == k.at && first
	w.emit(o, b, s.ext, fresh)
	s.ext++
	k.at += int64(frameTime)
	w.released(o)
}
