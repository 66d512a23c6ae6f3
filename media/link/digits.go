package link

import (
	"encoding/binary"
	"time"

	"github.com/cordonsip/cordon/media/plane"
)

// Digits go either way once: neither a press nor a digit that was told of is remembered for who comes later. One that was under way when a process died may be lost, and
// none comes twice.

// maxTones bounds what a Set lists: there are as many as clocks of speech.
const maxTones = 8

// Press implements plane.Commands.
func (c *Client) Press(p plane.Press) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.send(func(q *batch) { q.b = putPress(q.b, p) })
}

func putPress(b []byte, p plane.Press) []byte {
	at := len(b)
	b = append(putRef(begin(b, kindPress, 0), p.Ref), p.Event)
	b = binary.LittleEndian.AppendUint64(b, uint64(p.Duration))
	b, _ = end(binary.LittleEndian.AppendUint64(b, uint64(p.Pause)), at)
	return b
}

// press refuses times that nothing lasts for.
func (r *body) press() plane.Press {
	p := plane.Press{Ref: r.ref(), Event: r.u8(), Duration: time.Duration(r.u64()), Pause: time.Duration(r.u64())}
	r.bad = r.bad || p.Duration < 0 || p.Duration > time.Hour || p.Pause < 0 || p.Pause > time.Hour
	return p
}

func putPressed(b []byte, d plane.Digit) []byte {
	at := len(b)
	b = append(putRef(begin(b, kindPressed, 0), d.Leg), d.Event)
	b, _ = end(binary.LittleEndian.AppendUint64(b, uint64(d.Duration)), at)
	return b
}

func (r *body) pressed() plane.Digit {
	return plane.Digit{Leg: r.ref(), Event: r.u8(), Duration: time.Duration(r.u64())}
}

// putTones appends how a leg has digits.
func putTones(b []byte, s *plane.Set) []byte {
	b = append(putBool(b, s.Taken), byte(len(s.Tones)))
	for _, t := range s.Tones {
		b = binary.LittleEndian.AppendUint32(append(b, t.PT), t.Rate)
	}
	return b
}

func (r *body) tones(s *plane.Set) {
	s.Taken = r.bool()
	n := int(r.u8())
	if n > maxTones {
		r.bad = true
	}
	for i := 0; i < n && !r.bad; i++ {
		s.Tones = append(s.Tones, plane.Tone{PT: r.u8(), Rate: r.u32()})
	}
}

// Pressed implements plane.Events. Who is not connected then does not hear of it.
func (e *ears) Pressed(d plane.Digit) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.line == nil || !e.line.offer(maxShown, func(q *batch) { q.b = putPressed(q.b, d) }) {
		e.unheard.Add(1)
	}
}
