package sovereign

import (
	"math"
	"time"
)

// Clearance is what a Pass said, in a form that a table without pointers can hold and that costs about a nanosecond to ask: Good under the epoch of the fence
// that the Pass is of. It names no address: whoever keeps it keeps the address of its Pass beside it. The zero Clearance is never good, and neither is one with
// half of its fields written.
//
// No Clearance outlives a Swap. Swap stores the snapshot and then raises the epoch, both before it returns; Clear loads the epoch and then asks the snapshot;
// Go's atomic operations have one order that everybody sees. So a Clearance that rests on an older snapshot was given an older epoch, and a writer that loads the
// epoch after Swap returned finds it not good. One that loaded the epoch before may send what it is about to send, as with Pass.Live; who sends many datagrams
// under one load widens that moment to all of them.
type Clearance struct {
	epoch uint64
	until int64 // exclusive, nanoseconds since 1970; math.MaxInt64 is open
}

// Epoch changes with every Swap, after the snapshot and before anything else that Swap does. It grows by one each time and is never 0. It begins with the time
// at which the fence was made, so that a Clearance that was kept in memory which outlived its fence is not good under the next one.
func (f *Fence) Epoch() uint64 { return f.epoch.Load() }

// Clear judges as Live does and gives a Clearance for as long as the answer holds. False when the pass does not open at now; the zero time means now.
// It may be asked for each packet that finds its Clearance not good: it allocates only where Live does.
func (p *Pass) Clear(now time.Time) (Clearance, bool) {
	if p.last() == nil {
		return Clearance{}, false
	}
	epoch := p.fence.Epoch() // before the judgement: a swap in between makes it an old one
	v := p.current(now)
	if v.ruling.Verdict != Permit {
		return Clearance{}, false
	}
	return Clearance{epoch: epoch, until: nanos(v.ruling.Until)}, true
}

// Good says whether c still opens what its Pass opened, under the epoch of that Pass' fence, at now in nanoseconds since 1970 by the wall clock. Whoever finds it
// not good asks the Pass again.
func (c Clearance) Good(epoch uint64, now int64) bool {
	return c.epoch == epoch && now < c.until && epoch != 0
}

// Until is c for no longer than until at, in nanoseconds since 1970: something besides the law must be looked at again by then.
func (c Clearance) Until(at int64) Clearance {
	c.until = min(c.until, at)
	return c
}

// nanos is an end, where zero means open, as nanoseconds since 1970. What lies outside of what they can say is clamped.
func nanos(until time.Time) int64 {
	switch s := until.Unix(); {
	case until.IsZero() || s >= math.MaxInt64/int64(time.Second):
		return math.MaxInt64
	case s <= math.MinInt64/int64(time.Second):
		return math.MinInt64
	default:
		return until.UnixNano()
	}
}
