package transaction

import (
	"context"
	"sync"
	"time"
)

// Actor is the Loop of real time: one goroutine runs what was posted, in order.
type Actor struct {
	mu    sync.Mutex
	queue []func()
	over  bool
	wake  chan struct{}
}

// NewLoop makes a loop. What is posted waits until Run.
func NewLoop() *Actor { return &Actor{wake: make(chan struct{}, 1)} }

// Post queues f; it never blocks and may be called from anywhere. The queue has no bound: who admits messages bounds it. After Run ended f is dropped.
func (a *Actor) Post(f func()) {
	a.mu.Lock()
	if !a.over {
		a.queue = append(a.queue, f)
	}
	a.mu.Unlock()
	select {
	case a.wake <- struct{}{}:
	default:
	}
}

// Run runs what is posted until ctx ends. It runs once.
func (a *Actor) Run(ctx context.Context) error {
	var batch []func()
	for {
		a.mu.Lock()
		batch, a.queue = a.queue, batch[:0]
		a.mu.Unlock()
		for i, f := range batch {
			if ctx.Err() != nil {
				break
			}
			batch[i] = nil
			f()
		}
		if ctx.Err() != nil {
			a.mu.Lock()
			a.over, a.queue = true, nil
			a.mu.Unlock()
			return nil
		}
		if len(batch) > 0 {
			continue
		}
		select {
		case <-a.wake:
		case <-ctx.Done():
		}
	}
}

// After runs f on the loop after d unless it is stopped before.
func (a *Actor) After(d time.Duration, f func()) Timer {
	t := &timer{f: f}
	t.t = time.AfterFunc(d, func() { a.Post(t.fire) })
	return t
}

// timer belongs to the loop: f is only touched there, so that one which was posted already can still be stopped.
type timer struct {
	t *time.Timer
	f func()
}

// Stop keeps f from running.
func (t *timer) Stop() {
	t.t.Stop()
	t.f = nil
}

func (t *timer) fire() {
	if f := t.f; f != nil {
		t.f = nil
		f()
	}
}
