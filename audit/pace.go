package audit

import (
	"sync"
	"time"
)

// paceEvery is how often batches of patient entries begin under load. A batch costs the disk and the CPU the same whether it carries one entry or a hundred.
const paceEvery = 200 * time.Millisecond

// patient says which entries may wait that long: those of calls that have ended. Their caller is gone, and their intent stays open until they are durable.
func patient(k Kind) bool { return k == KindCallEnded || k == KindReceipt }

// pace lets entries through in groups. The first one after a quiet time goes at once; whoever comes within paceEvery of the last group waits for the next.
type pace struct {
	mu    sync.Mutex
	next  time.Time     // before it no group begins
	group chan struct{} // of those who wait; closed when they may go
}

func (p *pace) wait(closing <-chan struct{}) {
	p.mu.Lock()
	g := p.group
	if g == nil {
		left := time.Until(p.next)
		if left <= 0 {
			p.next = time.Now().Add(paceEvery)
			p.mu.Unlock()
			return
		}
		g = make(chan struct{})
		p.group = g
		time.AfterFunc(left, p.release)
	}
	p.mu.Unlock()
	select {
	case <-g:
	case <-closing: // the log is being closed: nobody else is coming
	}
}

func (p *pace) release() {
	p.mu.Lock()
	defer p.mu.Unlock()
	close(p.group)
	p.group, p.next = nil, time.Now().Add(paceEvery)
}
