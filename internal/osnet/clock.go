package osnet

import (
	"sync"
	"sync/atomic"
	"time"
)

// The sources of a reading.
const (
	SourceSynced   = "kernel (NTP disciplined)"
	SourceUnsynced = "system, not synchronised"
	SourceUnknown  = "system"
)

// ClockReading is what the kernel knows of the clock of this host. A nil number is one that nobody gave.
type ClockReading struct {
	Source string // one of the three
	Known  bool   // the kernel was asked and answered
	Synced bool   // somebody disciplines the clock and has not given up; only then are there numbers

	OffsetMS   *float64 // that the kernel has still to correct; a daemon that steers the clock by itself (chrony) leaves it out
	EstErrorMS *float64 // as the daemon estimates it
	MaxErrorMS *float64 // the bound that grows from one correction to the next
}

// Clock asks the kernel. It takes about a microsecond, never blocks, and needs no privilege.
func Clock() ClockReading { return readClock() }

// ClockCache is a reading that is taken anew when it is older than every. It may be used by many at once; none of them waits.
type ClockCache struct {
	every time.Duration
	read  func() ClockReading

	last atomic.Pointer[clockSample]
	busy sync.Mutex // held by the one who reads
}

type clockSample struct {
	at time.Time // by the monotonic clock
	ClockReading
}

// NewClock gives a cache over Clock. Not more than one reading is taken within every; at most 0 means one second.
func NewClock(every time.Duration) *ClockCache { return newClock(every, Clock) }

func newClock(every time.Duration, read func() ClockReading) *ClockCache {
	if every <= 0 {
		every = time.Second
	}
	return &ClockCache{every: every, read: read}
}

// Reading gives the newest reading.
func (c *ClockCache) Reading() ClockReading {
	s := c.last.Load()
	switch {
	case s == nil:
		c.busy.Lock() // there is nothing older to give
	case time.Since(s.at) < c.every, !c.busy.TryLock():
		return s.ClockReading
	}
	defer c.busy.Unlock()
	if s = c.last.Load(); s != nil && time.Since(s.at) < c.every {
		return s.ClockReading
	}
	s = &clockSample{at: time.Now(), ClockReading: c.read()}
	c.last.Store(s)
	return s.ClockReading
}
