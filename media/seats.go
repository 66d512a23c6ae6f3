package media

import (
	"math/rand/v2"
	"net/netip"
	"sync"
	"time"

	"github.com/cordonsip/cordon/media/plane"
)

// seats gives the legs of a relay their slots in the plane, and knows who has which.
type seats struct {
	workers uint32

	mu     sync.Mutex
	rows   []seat     // by slot
	free   [][]uint32 // slots that no leg has, by worker; the last one that was given back is the next to go
	serial uint32
}

type seat struct {
	leg    *leg
	serial uint32
}

func newSeats(workers int) *seats {
	// A slot may have been another process's: a leg of the same serial would go on where that one was.
	return &seats{workers: uint32(workers), free: make([][]uint32, workers), rows: make([]seat, 1), serial: rand.Uint32()}
}

// take gives a leg a slot of a worker.
func (s *seats) take(l *leg, worker uint32) plane.Ref {
	s.mu.Lock()
	defer s.mu.Unlock()
	free := s.free[worker]
	for len(free) == 0 {
		n := uint32(len(s.rows))
		s.rows = append(s.rows, seat{})
		s.free[n%s.workers] = append(s.free[n%s.workers], n)
		free = s.free[worker]
	}
	n := free[len(free)-1]
	s.free[worker] = free[:len(free)-1]
	if s.serial++; s.serial == 0 {
		s.serial++
	}
	s.rows[n] = seat{l, s.serial}
	return plane.Ref{Slot: n, Serial: s.serial}
}

// leave gives a slot back.
func (s *seats) leave(r plane.Ref) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.rows[r.Slot].serial == r.Serial {
		s.rows[r.Slot] = seat{}
		s.free[r.Slot%s.workers] = append(s.free[r.Slot%s.workers], r.Slot)
	}
}

// with lets f do something with the leg that an event is of, unless it is gone. No leg comes or goes meanwhile.
func (s *seats) with(r plane.Ref, f func(*leg)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if int(r.Slot) < len(s.rows) && s.rows[r.Slot].serial == r.Serial {
		f(s.rows[r.Slot].leg)
	}
}

// heard is how a relay hears of what its plane did.
type heard struct{ r *Relay }

// Moved implements plane.Events.
func (h heard) Moved(m plane.Move) { h.r.seats.with(m.Leg, func(l *leg) { l.moved(m) }) }

// Aside implements plane.Events.
func (h heard) Aside(ref plane.Ref, from netip.AddrPort, b []byte) {
	h.r.seats.with(ref, func(l *leg) { l.aside(from, b) })
}

// Passed implements plane.Events.
func (h heard) Passed(ref plane.Ref, in bool, at time.Time, peer netip.AddrPort, header []byte, size int) {
	h.r.seats.with(ref, func(l *leg) {
		f := l.s.watch.Load()
		switch {
		case f == nil:
		case in:
			(*f)(Header{At: at, From: peer, To: l.shown(), Bytes: header, Size: size})
		default:
			(*f)(Header{At: at, From: l.shown(), To: peer, Bytes: header, Size: size})
		}
	})
}

// Played implements plane.Events.
func (h heard) Played(p plane.Played) {
	h.r.seats.with(p.Leg, func(l *leg) { l.played(p) })
}

// Pressed implements plane.Events.
func (h heard) Pressed(d plane.Digit) {
	h.r.seats.with(d.Leg, func(l *leg) { l.pressed(d) })
}
