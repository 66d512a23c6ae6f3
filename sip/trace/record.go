package trace

import (
	"bytes"
	"net/netip"
	"slices"
	"time"
)

// record is what a book keeps of one call: the texts of all its messages and notes one behind the other, and for each a mark.
type record struct {
	// What each message changes stands together: it is cold by the time the next one comes.
	marks      []mark
	text       []byte
	paths      []path
	ref        string
	seen, told int // seq of the newest event, and of the newest that Export was given
	began      time.Time

	over        time.Time
	id          string
	session     string
	number      uint64 // of the order in which calls began
	lost        int
	caller      string // column of the caller
	left, right []string
	legs        []dialog

	prev, next *record // in its chain
}

// dialog is one leg.
type dialog struct {
	key   callKey
	side  string
	party string
}

// seat is a leg of a call.
type seat struct {
	r   *record
	leg uint8
}

// seating is a leg under its key.
type seating struct {
	key callKey
	seat
}

// path is a way that messages took.
type path struct {
	proto         string
	local, remote netip.AddrPort
}

// mark is one event; its text ends at end, and begins where the one before it ends.
type mark struct {
	at   time.Time
	seq  int
	end  int
	path uint16
	leg  uint8
	out,
	note,
	masked bool // it is masked already
}

// blank empties a record for the next call, and keeps its memory.
func (r *record) blank() *record {
	clear(r.legs)
	clear(r.left)
	clear(r.right)
	*r = record{left: r.left[:0], right: r.right[:0], legs: r.legs[:0], paths: r.paths[:0], marks: r.marks[:0], text: r.text[:0]}
	return r
}

// start is where the text of the i-th event begins.
func (r *record) start(i int) int {
	if i == 0 {
		return 0
	}
	return r.marks[i-1].end
}

// drop takes the i-th event out and says how many bytes that were.
func (r *record) drop(i int) int {
	from, to := r.start(i), r.marks[i].end
	r.text = slices.Delete(r.text, from, to)
	r.marks = slices.Delete(r.marks, i, i+1)
	for k := i; k < len(r.marks); k++ {
		r.marks[k].end -= to - from
	}
	return to - from
}

// place finds the column of a leg: trunks stand left and groups right, but whoever is called stands across from the caller.
func (r *record) place(l Leg, k callKey) dialog {
	side := Left
	if l.Group {
		side = Right
	}
	switch {
	case l.Caller && r.caller == "":
		r.caller = side
	case r.caller == Left:
		side = Right
	case r.caller == Right:
		side = Left
	}
	list := &r.left
	if side == Right {
		list = &r.right
	}
	if !slices.Contains(*list, l.Party) {
		*list = append(*list, l.Party)
	}
	return dialog{k, side, l.Party}
}

// pathOf numbers the path of a message. Of more than a mark can name the last stands for the others.
func (r *record) pathOf(p *Packet) uint16 {
	for i := range r.paths {
		if x := &r.paths[i]; x.remote == p.Remote && x.local == p.Local && x.proto == p.Proto {
			return uint16(i)
		}
	}
	if len(r.paths) == maxPaths {
		return maxPaths - 1
	}
	r.paths = append(r.paths, path{p.Proto, p.Local, p.Remote})
	return uint16(len(r.paths) - 1)
}

const maxPaths = 1 << 10

// behind is the first event behind the one numbered seq.
func (r *record) behind(seq int) int {
	at, _ := slices.BinarySearchFunc(r.marks, seq+1, func(m mark, n int) int { return m.seq - n })
	return at
}

// event copies the i-th event.
func (r *record) event(i int) Event {
	m := &r.marks[i]
	text := r.text[r.start(i):m.end]
	if m.note {
		return Event{Seq: m.seq, At: m.at, Kind: "note", Line: string(text)}
	}
	l, p := &r.legs[m.leg], &r.paths[m.path]
	return Event{
		Seq: m.seq, At: m.at, Kind: "message", Side: l.side, Party: l.party, Out: m.out, Proto: p.proto, Local: p.local, Remote: p.remote,
		raw: bytes.Clone(text), masked: m.masked,
	}
}

// trace copies the call.
func (r *record) trace(since int, masked bool) Trace {
	t := Trace{
		ID: r.id, Ref: r.ref, Session: r.session, Began: r.began, Ended: r.over, Left: append([]string{}, r.left...), Right: append([]string{}, r.right...),
		Masked: masked, Lost: r.lost, Seen: r.seen,
	}
	at := r.behind(since)
	t.Events = make([]Event, 0, len(r.marks)-at)
	for i := at; i < len(r.marks); i++ {
		t.Events = append(t.Events, r.event(i))
	}
	return t
}

// chain is a list of records; each is in one.
type chain struct{ first, last *record }

func (c *chain) add(r *record) {
	r.prev, r.next = c.last, nil
	if c.last == nil {
		c.first = r
	} else {
		c.last.next = r
	}
	c.last = r
}

func (c *chain) remove(r *record) {
	if r.prev == nil {
		c.first = r.next
	} else {
		r.prev.next = r.next
	}
	if r.next == nil {
		c.last = r.prev
	} else {
		r.next.prev = r.prev
	}
	r.prev, r.next = nil, nil
}
