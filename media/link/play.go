package link

import (
	"encoding/binary"
	"fmt"
	"maps"
	"slices"

	"github.com/cordonsip/cordon/media/plane"
)

// What is played: clips go over in parts, once, and stay in both ledgers for whoever begins in the middle.

const (
	maxClip  = 4 << 20 // bytes of one
	maxClips = 64 << 20
	clipPart = 32 << 10
)

// clipped is a part of a clip.
type clipped struct {
	id           uint64
	size         int
	total, begin uint32
	bytes        []byte
}

// putClip cuts a clip into frames.
func putClip(b []byte, c plane.Clip) []byte {
	from := uint32(0)
	for part := range slices.Chunk(c.Bytes, clipPart) {
		at := len(b)
		b = binary.LittleEndian.AppendUint64(begin(b, kindClip, 0), c.ID)
		b = binary.LittleEndian.AppendUint16(b, uint16(c.Size))
		b = binary.LittleEndian.AppendUint32(binary.LittleEndian.AppendUint32(b, uint32(len(c.Bytes))), from)
		b, _ = end(putBytes(b, part), at)
		from += uint32(len(part))
	}
	return b
}

func (r *body) clip() (p clipped) {
	p.id, p.size, p.total, p.begin, p.bytes = r.u64(), int(r.u16()), r.u32(), r.u32(), r.bytes(clipPart)
	if p.total > maxClip || uint64(p.begin)+uint64(len(p.bytes)) > uint64(p.total) || len(p.bytes) == 0 || p.size == 0 || int(p.total)%p.size != 0 {
		r.bad = true
	}
	return p
}

// putDrop says that a clip is not needed any more.
func putDrop(b []byte, id uint64) []byte {
	at := len(b)
	b, _ = end(binary.LittleEndian.AppendUint64(begin(b, kindDrop, 0), id), at)
	return b
}

func putPlay(b []byte, p plane.Play) []byte {
	at := len(b)
	b = binary.LittleEndian.AppendUint64(putRef(begin(b, kindPlay, 0), p.Ref), p.Clip)
	b = binary.LittleEndian.AppendUint32(append(b, p.PT), p.Step)
	b, _ = end(binary.LittleEndian.AppendUint32(b, p.Frames), at)
	return b
}

func (r *body) play() plane.Play {
	return plane.Play{Ref: r.ref(), Clip: r.u64(), PT: r.u8(), Step: r.u32(), Frames: r.u32()}
}

func putPlayed(b []byte, p plane.Played) []byte {
	at := len(b)
	b = binary.LittleEndian.AppendUint32(putRef(begin(b, kindPlayed, 0), p.Leg), p.Frames)
	b, _ = end(append(b, byte(p.End)), at)
	return b
}

func (r *body) played() plane.Played {
	return plane.Played{Leg: r.ref(), Frames: r.u32(), End: plane.Ending(r.u8())}
}

// shelf are the clips that a ledger knows.
type shelf struct {
	clips map[uint64]plane.Clip
	bytes int        // of them
	part  plane.Clip // of which parts came
}

// place keeps a clip; false: there is no room. One whose number is taken is there already.
func (s *shelf) place(c plane.Clip) bool {
	if _, there := s.clips[c.ID]; there {
		return true
	}
	if len(c.Bytes) > maxClip || s.bytes+len(c.Bytes) > maxClips {
		return false
	}
	if s.clips == nil {
		s.clips = map[uint64]plane.Clip{}
	}
	s.clips[c.ID] = c
	s.bytes += len(c.Bytes)
	return true
}

func (s *shelf) drop(id uint64) {
	s.bytes -= len(s.clips[id].Bytes)
	delete(s.clips, id)
}

// add takes a part: they come in order, and a new clip takes the place of one that is not whole. whole: that was the last one.
func (s *shelf) add(p clipped) (whole, ok bool) {
	if p.begin == 0 {
		s.part = plane.Clip{ID: p.id, Size: p.size, Bytes: make([]byte, 0, p.total)}
	}
	if p.id != s.part.ID || p.size != s.part.Size || int(p.total) != cap(s.part.Bytes) || int(p.begin) != len(s.part.Bytes) {
		return false, false
	}
	if s.part.Bytes = append(s.part.Bytes, p.bytes...); len(s.part.Bytes) < int(p.total) {
		return false, true
	}
	c := s.part
	s.part = plane.Clip{}
	return true, s.place(c)
}

// all are the clips, for a plane.
func (s *shelf) all() []plane.Clip { return slices.Collect(maps.Values(s.clips)) }

// tell appends all of them.
func (s *shelf) tell(b []byte) []byte {
	for _, id := range slices.Sorted(maps.Keys(s.clips)) {
		b = putClip(b, s.clips[id])
	}
	return b
}

// play keeps what a leg plays, until something ends it; nil: nothing.
func (l *ledger) play(r plane.Ref, frame []byte) {
	if c := l.at(r); c != nil {
		c.play = frame
	}
}

// Stock implements plane.Commands. A clip that the media process has already is not sent again.
func (c *Client) Stock(clips []plane.Clip) {
	c.mu.Lock()
	defer c.mu.Unlock()
	wanted := map[uint64]bool{}
	for _, n := range clips {
		wanted[n.ID] = true
		if _, there := c.book.clips[n.ID]; there {
			continue
		}
		if n.Size <= 0 || n.Size > maxText || len(n.Bytes) == 0 || len(n.Bytes)%n.Size != 0 || !c.book.place(n) {
			c.cfg.Logger.Error("media: a clip that no other process can be given", "bytes", len(n.Bytes), "frame", n.Size)
			continue
		}
		c.send(func(q *batch) { q.b = putClip(q.b, n) })
	}
	for _, n := range c.book.all() {
		if !wanted[n.ID] {
			c.book.drop(n.ID)
			c.send(func(q *batch) { q.b = putDrop(q.b, n.ID) })
		}
	}
}

// Play implements plane.Commands. A media process that takes over from one that died begins the clip anew.
func (c *Client) Play(p plane.Play) {
	frame := putPlay(nil, p)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.book.play(p.Ref, frame)
	c.pass(frame)
}

// Stop implements plane.Commands.
func (c *Client) Stop(r plane.Ref) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.book.play(r, nil)
	c.send(func(q *batch) { q.b = one(q.b, kindHush, r) })
}

// over hears that a leg plays nothing any more.
func (c *Client) over(p plane.Played) {
	c.mu.Lock()
	c.book.play(p.Leg, nil)
	c.mu.Unlock()
	c.cfg.Events.Played(p)
}

// Played implements plane.Events. It is not kept for who is not there: the calls of such legs are over with the process that set them up.
func (e *ears) Played(p plane.Played) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.line == nil || !e.line.put(func(q *batch) { q.b = putPlayed(q.b, p) }) {
		e.unheard.Add(1)
	}
}

// playing reads a command about what is played.
func playing(k kind, r *body) (o order, err error) {
	switch k {
	case kindClip:
		return stocked(r)
	case kindDrop:
		id := r.u64()
		return changed(r, func(s *shelf) (whole, ok bool) { s.drop(id); return true, true })
	case kindPlay:
		p := r.play()
		o = order{func(l *ledger) bool { l.play(p.Ref, putPlay(nil, p)); return true }, func(to plane.Commands) { to.Play(p) }}
	default:
		ref := r.ref()
		o = order{func(l *ledger) bool { l.play(ref, nil); return true }, func(to plane.Commands) { to.Stop(ref) }}
	}
	return o, ended(r)
}

func stocked(r *body) (order, error) {
	p := r.clip()
	return changed(r, func(s *shelf) (whole, ok bool) { return s.add(p) })
}

// changed is an order that changes which clips there are.
func changed(r *body, change func(*shelf) (whole, ok bool)) (order, error) {
	var all []plane.Clip
	whole := false
	book := func(l *ledger) (ok bool) {
		if whole, ok = change(&l.shelf); whole {
			all = l.all()
		}
		return ok
	}
	return order{book, func(to plane.Commands) {
		if whole {
			to.Stock(all)
		}
	}}, ended(r)
}

// ended says whether a command was read whole.
func ended(r *body) error {
	if err := r.end(); err != nil {
		return fmt.Errorf("%w: what is played", err)
	}
	return nil
}
