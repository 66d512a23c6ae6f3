package transaction

import (
	"context"
	"sync"
	"time"

	"github.com/cordonsip/cordon/sip/transport"
)

// Actor is the Loop of real time: one goroutine runs what was posted, in order, and the alarms that are due.
type Actor struct {
	mu    sync.Mutex
	queue []task
	idle  bool // Run sleeps, or is about to
	over  bool
	wake  chan struct{}

	// Of the loop alone.
	clock clock
	bell  *time.Timer   // rouses Run
	rings time.Duration // when the bell does, by the clock; 0: it is not set
}

// task is a function, or a message and who takes it.
type task struct {
	f  func()
	to func(transport.Incoming)
	in transport.Incoming
}

// NewLoop makes a loop. What is posted waits until Run.
func NewLoop() *Actor {
	return &Actor{wake: make(chan struct{}, 1), clock: clock{start: time.Now()}}
}

// Post queues f; it never blocks and may be called from anywhere. The queue has no bound: who admits messages bounds it. After Run ended f is dropped.
func (a *Actor) Post(f func()) { a.post(task{f: f}) }

// Deliver queues in for to, as Post does, without a closure.
func (a *Actor) Deliver(to func(transport.Incoming), in transport.Incoming) {
	a.post(task{to: to, in: in})
}

func (a *Actor) post(t task) {
	a.mu.Lock()
	if !a.over {
		a.queue = append(a.queue, t)
	}
	a.rouse()
}

// rouse wakes Run when it is idle; it lets go of a.mu, which is held.
func (a *Actor) rouse() {
	wake := a.idle
	a.idle = false
	a.mu.Unlock()
	if wake {
		a.wake <- struct{}{} // there is room: one for each time that Run went idle
	}
}

// alert wakes Run because time passed or ctx ended.
func (a *Actor) alert() {
	a.mu.Lock()
	a.rouse()
}

// keep bounds the queues that are used again: a burst must not hold its memory for ever.
const keep = 4096

// take gives what was posted, and notes that Run goes idle when nothing was.
func (a *Actor) take(used []task) []task {
	if cap(used) > keep {
		used = nil
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	batch := a.queue
	a.queue = used[:0]
	a.idle = len(batch) == 0
	return batch
}

// Run runs what is posted until ctx ends. It runs once.
func (a *Actor) Run(ctx context.Context) error {
	a.bell = time.AfterFunc(time.Hour, a.alert)
	a.bell.Stop()
	defer a.bell.Stop()
	defer context.AfterFunc(ctx, a.alert)()
	over := func() bool { return ctx.Err() != nil }
	var batch []task
	for {
		a.clock.ring(over)
		batch = a.take(batch)
		for i := range batch {
			if over() {
				break
			}
			t := batch[i]
			batch[i] = task{}
			if t.f != nil {
				t.f()
			} else {
				t.to(t.in)
			}
		}
		if over() {
			a.mu.Lock()
			a.over, a.queue = true, nil
			a.mu.Unlock()
			return nil
		}
		if len(batch) == 0 {
			a.sleep()
		}
	}
}

// sleep waits for the next post or alarm; Run is idle. The bell is set anew only when it would ring too late: most alarms are stopped long before their time, and
// to be woken for nothing now and then costs less than to follow them.
func (a *Actor) sleep() {
	now := a.clock.now()
	if a.rings <= now {
		a.rings = 0 // it rang, and was not heard if Run was busy
	}
	if at, ok := a.clock.next(); ok && (a.rings == 0 || at < a.rings) {
		a.rings = at
		a.bell.Reset(at - now)
	}
	<-a.wake
}

// Arm sets t to wake to after d. An alarm that is set is set anew.
func (a *Actor) Arm(t *Alarm, d time.Duration, to Due) { a.clock.set(t, d, to) }

// After runs f on the loop after d unless it is stopped before.
func (a *Actor) After(d time.Duration, f func()) Timer {
	t := &function{f: f}
	a.clock.set(&t.Alarm, d, t)
	return t
}
