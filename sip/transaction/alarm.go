package transaction

import (
	"math"
	"slices"
	"time"
)

// Alarm is a timer that needs no memory of its own: it lies in what it wakes. The zero Alarm is not set. It belongs to the loop.
type Alarm struct {
	clock *clock
	seq   uint64 // of its entry in the clock; 0: not set
	to    Due
}

// Due is woken by an Alarm, on the loop.
type Due interface{ Due(*Alarm) }

// Stop keeps the alarm from firing; nothing is held by it any more. It takes the same time however many alarms are set.
func (a *Alarm) Stop() {
	if a.seq == 0 {
		return
	}
	a.seq, a.to = 0, nil
	c := a.clock
	if c.stale++; c.stale > 64 && 2*c.stale > len(c.heap) {
		c.sweep()
	}
}

// Set says whether it will fire.
func (a *Alarm) Set() bool { return a.seq != 0 }

// function is an alarm that runs a function.
type function struct {
	Alarm
	f func()
}

func (t *function) Due(*Alarm) {
	f := t.f
	t.f = nil
	f()
}

// Stop lets the function go, too.
func (t *function) Stop() {
	t.Alarm.Stop()
	t.f = nil
}

// clock holds the alarms of one loop in a heap of four branches: nearly every alarm is set behind all others (most wait 32 seconds) and stays where it is
// put. An entry whose alarm was stopped or set anew stays until its time, or until half of the heap is such entries.
type clock struct {
	start time.Time
	heap  []entry
	last  uint64 // seq of the newest entry
	stale int    // entries that wake nobody
}

// Alarms that wait long end up to grid later than they were set to, those of one grid together: most calls leave several behind that wait for 5 or 32 seconds, and
// to wake up for each by itself costs more than what it does.
const (
	patient = 4 * time.Second
	grid    = 50 * time.Millisecond
)

// entry is due at the same time as another in the order in which they were made.
type entry struct {
	at    time.Duration // since start
	seq   uint64
	alarm *Alarm
}

func (e *entry) live() bool { return e.alarm.seq == e.seq }

func (e *entry) before(o *entry) bool { return e.at < o.at || e.at == o.at && e.seq < o.seq }

func (c *clock) now() time.Duration { return time.Since(c.start) }

// set sets a, which may be set already.
func (c *clock) set(a *Alarm, d time.Duration, to Due) {
	a.Stop()
	at := c.now()
	d = min(max(d, 0), math.MaxInt64-grid-at)
	if at += d; d >= patient {
		at += (grid - at%grid) % grid
	}
	c.last++
	a.clock, a.seq, a.to = c, c.last, to
	c.heap = append(c.heap, entry{at, c.last, a})
	c.up(len(c.heap) - 1)
}

// next is when the next alarm is due; ok is false when none is set.
func (c *clock) next() (at time.Duration, ok bool) {
	for len(c.heap) > 0 && !c.heap[0].live() {
		c.pop()
		c.stale--
	}
	if len(c.heap) == 0 {
		return 0, false
	}
	return c.heap[0].at, true
}

// ring fires what is due now, but not what that sets in turn, until over says that it is enough.
func (c *clock) ring(over func() bool) {
	if len(c.heap) == 0 {
		return
	}
	now, last := c.now(), c.last
	for len(c.heap) > 0 && c.heap[0].at <= now && c.heap[0].seq <= last && !over() {
		e := c.pop()
		if !e.live() {
			c.stale--
			continue
		}
		to := e.alarm.to
		e.alarm.seq, e.alarm.to = 0, nil
		to.Due(e.alarm)
	}
}

func (c *clock) pop() entry {
	e := c.heap[0]
	n := len(c.heap) - 1
	c.heap[0], c.heap[n] = c.heap[n], entry{}
	c.heap = c.heap[:n]
	c.down(0)
	return e
}

// sweep drops the entries that wake nobody.
func (c *clock) sweep() {
	c.heap = slices.DeleteFunc(c.heap, func(e entry) bool { return !e.live() })
	if cap(c.heap) > 1024 && len(c.heap) < cap(c.heap)/4 {
		c.heap = slices.Clone(c.heap)
	}
	for i := len(c.heap)/4 + 1; i >= 0; i-- {
		c.down(i)
	}
	c.stale = 0
}

func (c *clock) up(i int) {
	e := c.heap[i]
	for i > 0 {
		p := (i - 1) / 4
		if !e.before(&c.heap[p]) {
			break
		}
		c.heap[i] = c.heap[p]
		i = p
	}
	c.heap[i] = e
}

func (c *clock) down(i int) {
	if i >= len(c.heap) {
		return
	}
	e := c.heap[i]
	for {
		first := 4*i + 1
		if first >= len(c.heap) {
			break
		}
		least := first
		for k := first + 1; k < min(first+4, len(c.heap)); k++ {
			if c.heap[k].before(&c.heap[least]) {
				least = k
			}
		}
		if !c.heap[least].before(&e) {
			break
		}
		c.heap[i] = c.heap[least]
		i = least
	}
	c.heap[i] = e
}
