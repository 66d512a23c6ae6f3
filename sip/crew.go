package sip

import (
	"sync"
	"sync/atomic"
)

// crew runs tasks that may block, each in a goroutine of its own, as many at once as there are tasks. A few goroutines wait for the next task when theirs is
// done: a new one would grow its stack again for each.
type crew struct {
	mu   sync.Mutex
	idle []chan func() // of the goroutines that wait; who waited last works first
	over bool
	busy *atomic.Int64 // tasks that were given and are not done
	all  sync.WaitGroup
}

// maxIdle is how many goroutines of a crew wait.
const maxIdle = 8

// do runs f and does not wait for it.
func (c *crew) do(f func()) {
	c.busy.Add(1)
	c.mu.Lock()
	if n := len(c.idle); n > 0 {
		next := c.idle[n-1]
		c.idle = c.idle[:n-1]
		c.mu.Unlock()
		next <- f // there is room: who waits takes one
		return
	}
	c.mu.Unlock()
	c.all.Go(func() { c.work(f) })
}

// work runs one task after another until too many wait, or the crew is dismissed.
func (c *crew) work(f func()) {
	next := make(chan func(), 1)
	for f != nil {
		f()
		c.busy.Add(-1)
		c.mu.Lock()
		if c.over || len(c.idle) >= maxIdle {
			c.mu.Unlock()
			return
		}
		c.idle = append(c.idle, next)
		c.mu.Unlock()
		f = <-next
	}
}

// dismiss ends those who wait, and waits for those who work.
func (c *crew) dismiss() {
	c.mu.Lock()
	c.over = true
	for _, next := range c.idle {
		close(next)
	}
	c.idle = nil
	c.mu.Unlock()
	c.all.Wait()
}
