package link

import (
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cordonsip/cordon/media/plane"
)

const (
	maxKept  = 1 << 20 // bytes of moves that nobody said to have heard
	maxShown = 1 << 20 // bytes that may wait when a header of a watched leg comes
)

// ears hears of what happens while a worker is locked, and passes it on. A move is kept until the control process says that it heard it: moves belong into the log,
// whoever dies meanwhile. One that came twice to two control processes is better than one that came to none.
type ears struct {
	mu      sync.Mutex
	line    *line
	kept    [][]byte // frames, the oldest first
	bytes   int      // of them
	gone    uint64   // of those that line was told of and that are not kept any more
	unheard atomic.Uint64
}

// hear has l told of what happens, and of what is kept.
func (e *ears) hear(l *line) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.line, e.gone = l, 0
	l.put(func(q *batch) {
		for _, frame := range e.kept {
			q.b = append(q.b, frame...)
		}
	})
}

func (e *ears) forget(l *line) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.line == l {
		e.line = nil
	}
}

// heard drops the first n moves that l was told of.
func (e *ears) heard(l *line, n uint64) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for e.line == l && e.gone < n && len(e.kept) > 0 {
		e.bytes -= len(e.kept[0])
		e.kept[0] = nil // what is behind it keeps its place in memory
		e.kept, e.gone = e.kept[1:], e.gone+1
	}
	if len(e.kept) == 0 {
		e.kept = nil
	}
}

// Moved implements plane.Events.
func (e *ears) Moved(m plane.Move) {
	frame, err := putMoved(nil, m)
	e.mu.Lock()
	defer e.mu.Unlock()
	if err != nil || e.bytes+len(frame) > maxKept {
		e.unheard.Add(1)
		return
	}
	e.kept, e.bytes = append(e.kept, frame), e.bytes+len(frame)
	if e.line != nil {
		e.line.put(func(q *batch) { q.b = append(q.b, frame...) })
	}
}

// Passed implements plane.Events.
func (e *ears) Passed(leg plane.Ref, in bool, at time.Time, peer netip.AddrPort, header []byte, size int) {
	e.mu.Lock()
	defer e.mu.Unlock()
	p := passed{leg, in, at.UnixNano(), peer, size, header}
	if e.line == nil || !e.line.offer(maxShown, func(q *batch) { q.b = putPassed(q.b, p) }) {
		e.unheard.Add(1)
	}
}

// Aside implements plane.Events.
func (e *ears) Aside(leg plane.Ref, from netip.AddrPort, b []byte) {
	e.mu.Lock()
	defer e.mu.Unlock()
	frame, err := putSaid(nil, kindAside, said{leg, from, b})
	if err != nil || e.line == nil || !e.line.offer(maxShown, func(q *batch) { q.b = append(q.b, frame...) }) {
		e.unheard.Add(1)
	}
}
