package resolve

import (
	"context"
	"sync"
	"time"
)

// maxEntries bounds the cache; past it the entry that ends first goes.
const maxEntries = 4096

// entry is one remembered step.
type entry struct {
	step
	expires time.Time
	retry   time.Time // stale: servers are not asked before
}

type cache struct {
	mu      sync.Mutex
	entries map[question]entry
}

func (c *cache) get(q question) (entry, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	e, ok := c.entries[q]
	return e, ok
}

func (c *cache) put(q question, e entry, now time.Time, stale time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if _, ok := c.entries[q]; !ok && len(c.entries) >= maxEntries {
		c.evict(now, max(stale, 0))
	}
	c.entries[q] = e
}

// evict drops what is too old to serve, and if that is nothing, the entry that ends first.
func (c *cache) evict(now time.Time, stale time.Duration) {
	var first question
	var at time.Time
	dropped := false
	for q, e := range c.entries {
		if !now.Before(e.expires.Add(stale)) {
			delete(c.entries, q)
			dropped = true
		} else if at.IsZero() || e.expires.Before(at) {
			first, at = q, e.expires
		}
	}
	if !dropped {
		delete(c.entries, first)
	}
}

// flights joins identical questions that are under way.
type flights struct {
	mu      sync.Mutex
	running map[question]*flight
}

type flight struct {
	done    chan struct{}
	waiting int
	cancel  context.CancelFunc
	step    step
	err     error
}

// do runs ask once for all who wait for q. The flight ends with its own deadlines or when nobody waits any more; a waiter leaves with its ctx.
func (f *flights) do(ctx context.Context, q question, ask func(context.Context) (step, error)) (step, error) {
	f.mu.Lock()
	fl, ok := f.running[q]
	if !ok {
		own, cancel := context.WithCancel(context.WithoutCancel(ctx))
		fl = &flight{done: make(chan struct{}), cancel: cancel}
		f.running[q] = fl
		go func() {
			fl.step, fl.err = ask(own)
			f.mu.Lock()
			f.forget(q, fl)
			f.mu.Unlock()
			cancel()
			close(fl.done)
		}()
	}
	fl.waiting++
	f.mu.Unlock()

	select {
	case <-fl.done:
		return fl.step, fl.err
	case <-ctx.Done():
		f.mu.Lock()
		if fl.waiting--; fl.waiting == 0 {
			f.forget(q, fl) // a newcomer must not join a flight that is being cancelled
			fl.cancel()
		}
		f.mu.Unlock()
		return step{}, ctx.Err()
	}
}

func (f *flights) forget(q question, fl *flight) {
	if f.running[q] == fl {
		delete(f.running, q)
	}
}
