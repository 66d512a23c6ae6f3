package link

import (
	"cmp"
	"maps"
	"slices"

	"github.com/cordonsip/cordon/media/plane"
)

// Bounds of what is remembered.
const (
	maxPairs = 1 << 17
	maxLegs  = 1 << 17
)

// ledger remembers what was commanded last of each leg, as frames: what must be told to whoever begins in the middle. It copies the frames of Open and Set, others are its
// own: keys lie in few places, and are wiped there. Not safe for concurrent use.
type ledger struct {
	pairs map[uint32]held
	legs  map[uint32]*record // by slot
	turn  uint64             // counts joins
	shelf
}

// held are the sockets of a pair.
type held struct{ rtp, rtcp socket }

// socket is an open one that goes to another process by its descriptor.
type socket interface {
	FD() int
	Close() error
}

// record is one leg.
type record struct {
	ref     plane.Ref
	pair    uint32
	rest    kind // kindMute or kindSilence when one of them came after set; else 0
	watched bool
	open    []byte
	set     []byte
	join    []byte
	turn    uint64 // of join
	play    []byte
}

func newLedger() *ledger {
	return &ledger{pairs: map[uint32]held{}, legs: map[uint32]*record{}}
}

// at gives the leg; nil when it is gone.
func (l *ledger) at(r plane.Ref) *record {
	if c := l.legs[r.Slot]; c != nil && c.ref == r {
		return c
	}
	return nil
}

func (l *ledger) give(id uint32, h held) bool {
	if _, there := l.pairs[id]; there || len(l.pairs) >= maxPairs {
		return false
	}
	l.pairs[id] = h
	return true
}

// withdraw gives the sockets back to be closed.
func (l *ledger) withdraw(id uint32) (held, bool) {
	h, ok := l.pairs[id]
	delete(l.pairs, id)
	return h, ok
}

func (l *ledger) open(o plane.Open, frame []byte) bool {
	if old := l.legs[o.Slot]; old != nil {
		l.close(old.ref)
	} else if len(l.legs) >= maxLegs {
		return false
	}
	l.legs[o.Slot] = &record{ref: o.Ref, pair: o.Pair, open: append(make([]byte, 0, len(frame)), frame...)} // it grew, and has room that nobody needs
	return true
}

// set keeps n. Where it leaves a lane where it was, what is kept says where that is: who begins with it has no lane yet.
func (l *ledger) set(n plane.Set, frame []byte) {
	c := l.at(n.Ref)
	if c == nil {
		return
	}
	if was, ok := c.aims(); ok && (n.RTP.Stay || n.RTCP.Stay) {
		if n.RTP.Stay && n.Checks == (plane.Checks{}) { // else the far end said where, and the slot has it
			n.RTP = was[0]
		}
		if n.RTCP.Stay {
			n.RTCP = was[1]
		}
		if whole, err := putSet(nil, n); err == nil {
			frame = whole
		}
	}
	if n.Opaque {
		c.play = nil
	}
	next := append(make([]byte, 0, len(frame)), frame...)
	clear(c.set)
	c.set, c.rest = next, 0
}

// aims are where the lanes were pointed last; false before the first Set.
func (c *record) aims() (was [2]plane.Aim, ok bool) {
	if c.set == nil {
		return was, false
	}
	if c.rest == kindSilence {
		return was, true // nowhere
	}
	s := setIn(c.set)
	clear(s.In.Master)
	clear(s.Out.Master)
	return [2]plane.Aim{s.RTP, s.RTCP}, true
}

// still keeps a Mute or a Silence. A Mute leaves the lanes that a Silence pointed nowhere there.
func (l *ledger) still(r plane.Ref, k kind) {
	if c := l.at(r); c != nil && c.rest != kindSilence {
		c.rest, c.play = k, nil
	}
}

func (l *ledger) join(x, y plane.Ref, frame []byte) {
	l.turn++
	for _, r := range [2]plane.Ref{x, y} {
		if c := l.at(r); c != nil {
			c.join, c.turn, c.play = frame, l.turn, nil
		}
	}
}

func (l *ledger) watch(r plane.Ref, on bool) {
	if c := l.at(r); c != nil {
		c.watched = on
	}
}

// close forgets a leg.
func (l *ledger) close(r plane.Ref) {
	c := l.at(r)
	if c == nil {
		return
	}
	clear(c.set)
	delete(l.legs, r.Slot)
}

// tell appends all that is remembered, in an order in which each frame finds what it needs. files are called for each pair, with the place of its frame.
func (l *ledger) tell(b []byte, files func(at int, h held)) []byte {
	for _, id := range slices.Sorted(maps.Keys(l.pairs)) {
		files(len(b), l.pairs[id])
		b = putGive(b, id)
	}
	b = l.shelf.tell(b)
	var joined []*record
	var plays [][]byte
	for _, slot := range slices.Sorted(maps.Keys(l.legs)) {
		c := l.legs[slot]
		b = append(append(b, c.open...), c.set...)
		if c.rest != 0 {
			b = one(b, c.rest, c.ref)
		}
		if c.watched {
			b = putWatch(b, c.ref, true)
		}
		if c.join != nil {
			joined = append(joined, c)
		}
		if c.play != nil {
			plays = append(plays, c.play)
		}
	}
	slices.SortFunc(joined, func(x, y *record) int { return cmp.Compare(x.turn, y.turn) })
	for i, c := range joined {
		if i == 0 || joined[i-1].turn != c.turn { // both sides have the same one
			b = append(b, c.join...)
		}
	}
	for _, frame := range plays { // a join would end them
		b = append(b, frame...)
	}
	return b
}

// free gives the pairs that no leg has.
func (l *ledger) free() []uint32 {
	used := map[uint32]bool{}
	for _, c := range l.legs {
		used[c.pair] = true
	}
	var out []uint32
	for id := range l.pairs {
		if !used[id] {
			out = append(out, id)
		}
	}
	slices.Sort(out)
	return out
}
