package plane

import (
	"encoding/binary"
	"math/bits"
	"sync/atomic"
	"time"
)

// What is played to a far end: clips, which the plane has before anybody needs them, and the legs that send one. A worker sends the frames itself, in moments of a
// grid of absolute times: no goroutine, no timer and no memory per call, and nothing that a relayed packet would have to pass by.

// Clip is sound in frames of 20 ms, under a number that says what it is: the same number is the same sound, in every process.
type Clip struct {
	ID    uint64
	Size  int // bytes of one frame
	Bytes []byte
}

func (c *Clip) valid() bool {
	return c.Size > 0 && c.Size <= maxFrame && len(c.Bytes) > 0 && len(c.Bytes)%c.Size == 0
}

// Play has a leg send a clip to its far end, from the beginning, over and over, under an SSRC of its own: until so many frames have gone, or until it is stopped by
// Stop, or by what makes the leg's way another one: Mute, Silence, Join, Close, a Set that is Opaque. A Play takes the place of the one before. What comes in meanwhile is taken as ever.
type Play struct {
	Ref
	Clip   uint64
	PT     uint8
	Step   uint32 // of the time stamps, from one frame to the next
	Frames uint32 // 0: until it is stopped
}

// Played tells that a leg sends a clip no more, unless it was closed.
type Played struct {
	Leg    Ref
	Frames uint32 // that were due
	End    Ending
}

// Ending is why.
type Ending uint8

// The endings.
const (
	Whole    Ending = iota // all frames have gone
	Stopped                // by a command
	Forbade                // the fence lets nothing go to the far end any more
	Unplayed               // the plane has no such clip, or the leg takes nothing
)

const (
	frameTime = 20 * time.Millisecond
	moments   = 20   // of the grid, a millisecond each: a leg has its own in each 20 ms
	together  = 32   // legs that have the same moment before another one is begun: one wake-up serves them all
	maxLate   = 5    // frames that a worker makes up for, which was late: more at once would not fit into a far end's buffer
	maxFrame  = 1280 // bytes
)

// playing is one leg that sends a clip.
type playing struct {
	Play
	clip          Clip
	at            int // of the next frame, in the clip
	gone          uint32
	ssrc, seq, ts uint32
}

// stage is what one worker plays.
type stage struct {
	clips map[uint64]Clip
	rows  [moments][]playing
	full  atomic.Uint32 // a bit for each row in which somebody is; written under the worker's lock
	base  time.Time     // of the grid
	past  int64         // moments that are over
}

// Stock implements Commands.
func (p *Plane) Stock(clips []Clip) {
	all := make(map[uint64]Clip, len(clips))
	for _, c := range clips {
		if c.valid() {
			all[c.ID] = c
		}
	}
	for _, w := range p.workers {
		w.mu.Lock()
		w.stage.clips = all
		w.mu.Unlock()
	}
}

// Play implements Commands.
func (p *Plane) Play(n Play) {
	w := p.worker(n.Slot)
	w.lock()
	defer w.mu.Unlock()
	l, ok := w.of(n.Ref)
	if !ok {
		return
	}
	w.hush(&l)
	c, there := w.stage.clips[n.Clip]
	if !there || l.flags&(flagLive|flagOpaque) != flagLive || l.other != 0 {
		p.cfg.Events.Played(Played{Leg: n.Ref, End: Unplayed})
		return
	}
	w.stage.begin(&l, playing{
		Play: n, clip: c, ssrc: random32(), ts: random32(),
		seq: random32() >> 17, // below 2^15, so that the first rollover can't be mistaken: RFC 3711 section 3.3.1
	})
	w.stir()
}

// Stop implements Commands.
func (p *Plane) Stop(r Ref) {
	w := p.worker(r.Slot)
	w.lock()
	defer w.mu.Unlock()
	if l, ok := w.of(r); ok {
		w.stop(&l)
	}
}

// stop ends what a leg plays, and tells it.
func (w *worker) stop(l *leg) {
	if n, ok := w.hush(l); ok {
		w.p.cfg.Events.Played(Played{Leg: l.ref(), Frames: n, End: Stopped})
	}
}

// hush ends what a leg plays; false when it plays nothing.
func (w *worker) hush(l *leg) (gone uint32, ok bool) {
	if l.moment == 0 {
		return 0, false
	}
	row := l.moment - 1
	l.moment = 0
	for i := range w.stage.rows[row] {
		if n := &w.stage.rows[row][i]; n.Slot == l.number {
			gone, ok = n.gone, true
			w.stage.remove(int(row), i)
			return gone, ok
		}
	}
	return 0, false
}

// begin gives a leg a moment: one that others have as well, as long as they are few, so that the worker wakes up seldom.
func (s *stage) begin(l *leg, n playing) {
	best := 0
	for i := range s.rows {
		now, was := len(s.rows[i]), len(s.rows[best])
		if now < together && (was >= together || now > was) || now >= together && now < was {
			best = i
		}
	}
	if s.full.Load() == 0 {
		s.past = s.moment()
	}
	s.rows[best] = append(s.rows[best], n)
	s.full.Or(1 << best)
	l.moment = uint8(best + 1)
}

func (s *stage) remove(row, i int) {
	last := len(s.rows[row]) - 1
	s.rows[row][i] = s.rows[row][last]
	s.rows[row][last] = playing{}
	if s.rows[row] = s.rows[row][:last]; last == 0 {
		s.full.And(^uint32(1 << row))
	}
}

// moment is the number of the one that has begun last.
func (s *stage) moment() int64 { return int64(time.Since(s.base) / time.Millisecond) }

// due is how long it is until somebody's next moment; below 0: nobody plays.
func (s *stage) due(now time.Time) time.Duration {
	full := uint64(s.full.Load())
	if full == 0 {
		return -1
	}
	first := int((s.past + 1) % moments)
	next := s.past + 1 + int64(bits.TrailingZeros64((full<<moments|full)>>first))
	return max(0, time.Duration(next)*time.Millisecond-now.Sub(s.base))
}

// perform sends the frames whose moment has come, and says how long it is until the next one; below 0: nobody plays.
func (w *worker) perform() time.Duration {
	s := &w.stage
	if s.full.Load() == 0 { // nearly always: then this is all that it costs
		return -1
	}
	w.lock()
	defer w.mu.Unlock()
	now := s.moment()
	for s.past = max(s.past, now-maxLate*moments); s.past < now; {
		s.past++
		row := int(s.past % moments)
		for i := len(s.rows[row]) - 1; i >= 0; i-- { // backwards: whoever is at the end leaves the row
			w.frame(row, i)
		}
	}
	return s.due(time.Now())
}

// frame sends the next one of a leg.
func (w *worker) frame(row, i int) {
	n := &w.stage.rows[row][i]
	l, ok := w.leg(n.Slot)
	if !ok || l.serial != n.Serial {
		w.stage.remove(row, i)
		return
	}
	b := w.made[:12+n.clip.Size]
	b[0], b[1] = 0x80, n.PT&0x7f // RFC 3550 section 5.1
	if n.gone == 0 {
		b[1] |= 0x80 // RFC 3551 section 4.1: the first packet of a talkspurt
	}
	binary.BigEndian.PutUint16(b[2:], uint16(n.seq))
	binary.BigEndian.PutUint32(b[4:], n.ts)
	binary.BigEndian.PutUint32(b[8:], n.ssrc)
	copy(b[12:], n.clip.Bytes[n.at:n.at+n.clip.Size])
	w.send(&l, b, Header{Base: 12, Full: 12, SSRC: n.ssrc}, verdict{ext: n.seq, fresh: n.gone == 0})
	n.seq, n.ts, n.gone = n.seq+1, n.ts+n.Step, n.gone+1
	if n.at += n.clip.Size; n.at == len(n.clip.Bytes) {
		n.at = 0
	}
	end := Played{Leg: n.Ref, Frames: n.gone}
	switch {
	case l.rtp.fenced:
		end.End = Forbade
	case n.Frames == 0 || n.gone < n.Frames:
		return
	}
	l.moment = 0
	w.stage.remove(row, i)
	w.p.cfg.Events.Played(end)
}
