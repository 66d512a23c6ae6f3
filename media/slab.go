package media

import (
	"sync"

	"github.com/cordonsip/cordon/media/plane"
)

// slab is the memory of the media of one call: what nearly every call needs, in one piece. It goes from a call that ended to the next one, so that setting up a
// call costs neither an allocation for each part nor memory that is in no cache. A call that needs more (another attempt, a further description) takes it from
// the heap.
type slab struct {
	legs [2]leg    // the first one of each side
	says [2]saying // the first description that each side gave
	open exchange  // the last one that is none of a branch or of a replacement
	took [2]bool   // the legs are, or were, in use
	kept [2]bool   // the descriptions count, or did
}

// usual sizes of a description; what is larger is on the heap.
const (
	usualLines   = 1
	usualFormats = 6
	crossing     = 7 // attributes
	usualPaces   = 8
)

// saying is the memory of one description.
type saying struct {
	rem     remote
	lines   [usualLines]line
	formats [usualFormats]string
	attrs   [crossing]attr
}

// maxSpare is how many slabs wait for a call: calls begin and end in turn, so few are enough.
const maxSpare = 128

// spares are the slabs that no call has; the last one that was given back, which the caches know best, is the first to go.
type spares struct {
	sync.Mutex
	list []*slab
	ends []*plane.Counters // what legs counted that are closed: a call that is up needs none
}

func (p *spares) get() *slab {
	p.Lock()
	defer p.Unlock()
	last := len(p.list) - 1
	if last < 0 {
		return &slab{}
	}
	m := p.list[last]
	p.list[last], p.list = nil, p.list[:last]
	return m
}

// put takes a slab that was wiped, and what its legs counted in the end.
func (p *spares) put(m *slab, ends [2]*plane.Counters) {
	p.Lock()
	defer p.Unlock()
	if len(p.list) < maxSpare {
		p.list = append(p.list, m)
	}
	for _, c := range ends {
		if c != nil && len(p.ends) < 2*maxSpare {
			p.ends = append(p.ends, c)
		}
	}
}

// counters gives the memory for those of a leg that is closed.
func (p *spares) counters() *plane.Counters {
	p.Lock()
	defer p.Unlock()
	last := len(p.ends) - 1
	if last < 0 {
		return &plane.Counters{}
	}
	c := p.ends[last]
	p.ends[last], p.ends = nil, p.ends[:last]
	return c
}

// leg gives the memory of a leg, which is zero.
func (m *slab) leg(side Side) *leg {
	if m.took[side] {
		return &leg{}
	}
	m.took[side] = true
	return &m.legs[side]
}

// wipe leaves nothing of the call: neither a reference nor a byte of a key.
func (m *slab) wipe() {
	for side := range m.legs {
		if m.took[side] {
			m.legs[side].forget()
		}
	}
	*m = slab{}
}

// forget overwrites the keys of a leg that is closed.
func (l *leg) forget() {
	for _, c := range l.keys {
		clear(c.key)
	}
	for _, rem := range [...]*remote{l.remote, l.voice} {
		if rem != nil && rem.key != nil {
			clear(rem.key.key)
		}
	}
	if a := l.assoc.Load(); a != nil {
		a.forget()
	}
}

// shed gives the memory of a closed session back, unless somebody else may still look at it: an attempt beside the one that won, or a far end that was replaced,
// is ended by who holds it, and the goroutine of an Endpoint may send until it hears of the end. Of all others nothing runs when their legs are closed: what
// comes from a side is passed on by its own reader, and a close waits for that.
func (s *Session) shed() {
	m := s.slab
	s.slab, s.cfg = nil, [2]*Leg{}
	if s.beside || s.sink != nil {
		return
	}
	ends := [2]*plane.Counters{m.legs[A].end.Load(), m.legs[B].end.Load()}
	m.wipe()
	s.r.spare.put(m, ends)
}

// read reads a description of a side. It lies in the memory of the session until one of that side counts.
func (s *Session) read(side Side, sdp []byte) (description, *Refusal) {
	if s.slab.kept[side] {
		return parseSDP(sdp)
	}
	return parseInto(&s.slab.says[side], sdp)
}

// sheet is room for the m-lines of a description that the far end of l is told.
func (l *leg) sheet(n int) []line {
	if l.layout == nil && n <= len(l.told) {
		return l.told[:0]
	}
	return make([]line, 0, n)
}

// paces are the memory of clocks while what was negotiated is put in force.
type paces struct{ pool sync.Pool }

func (p *paces) get() *[usualPaces]plane.Clock {
	if room, ok := p.pool.Get().(*[usualPaces]plane.Clock); ok {
		return room
	}
	return new([usualPaces]plane.Clock)
}

func (p *paces) put(room *[usualPaces]plane.Clock) { p.pool.Put(room) }
