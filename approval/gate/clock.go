package gate

import (
	"sync/atomic"
	"time"
)

// steady is the gate's clock: the wall's, which never goes back. Where the wall clock is set back, the gate's goes on from where it was, at the pace of the monotonic
// clock, so that no grant and no approval lasts longer for it; where it is set ahead, what is due then is due.
type steady struct {
	wall  func() time.Time // time.Now, but in tests
	start time.Time        // with its monotonic reading
	lead  atomic.Int64     // how far the clock is ahead of start and what passed since, ns
}

func newSteady(wall func() time.Time) *steady { return &steady{wall: wall, start: time.Now()} }

// now is the time without a monotonic reading, so that what was written reads back equal.
func (s *steady) now() time.Time {
	base := s.start.Round(0).Add(time.Since(s.start)).UTC()
	lead := int64(s.wall().Round(0).Sub(base))
	for {
		old := s.lead.Load()
		if lead <= old {
			return base.Add(time.Duration(old))
		}
		if s.lead.CompareAndSwap(old, lead) {
			return base.Add(time.Duration(lead))
		}
	}
}

// atLeast moves the clock on to t if it is behind, and says by how much it was.
func (s *steady) atLeast(t time.Time) time.Duration {
	behind := t.Sub(s.now())
	if behind <= 0 {
		return 0
	}
	s.lead.Add(int64(behind))
	return behind
}

// ahead is by how much the wall clock is behind the gate's, in whole seconds: what others are to compare with the wall clock is written that much earlier.
func (s *steady) ahead() time.Duration {
	return s.now().Sub(s.wall().Round(0)).Truncate(time.Second)
}
