package media

import (
	"math/rand/v2"
	"time"
)

// Bounds of the pairs that stay open between two calls. Opening two sockets and closing them costs more than everything else that a leg needs.
const (
	// leastChoice is how many rested pairs there must be before one of them is drawn: what a stranger learned of earlier calls must not tell the next call's ports.
	leastChoice = 64
	maxKept     = 16384 // no more stay open; nothing is opened in advance, so these are pairs that calls had at one time
	keptPerCall = 16    // nor more than that many for each call that may be up
	sweepEvery  = 10 * time.Second
	lookBack    = 6 // sweeps: pairs that stayed idle through all of them are too many
	giveBack    = 8 // a sweep closes that part of them, and no fewer than so many: after a peak the next one is near
)

// shelf is where pairs stay open that no call has: first they rest, then they wait for the next call, by where they belong. It has the lock
// of its ports.
type shelf struct {
	keeps      bool // somebody sweeps
	kept, room int  // pairs, resting and rested, that there are and that there may be
	resting    []resting
	over       int // the rests of the first ones are, and they are gone
	rested     map[home]*rested
}

// resting is a pair that rests. It is looked at when it is put here and when it is drawn, not in between: it is in no cache by then.
type resting struct {
	pr    *pair
	until time.Time
	then  *rested // where it belongs
}

// rested are the pairs of one home that may be drawn.
type rested struct {
	pairs []*pair
	was   [lookBack]mark // since the last sweep, and before it
}

// mark is what was seen of the pairs in the time between two sweeps.
type mark struct {
	fewest int // that were there at one time
	drawn  bool
}

// put takes a pair that begins its rest, if there is room for it.
func (s *shelf) put(pr *pair) bool {
	if !s.keeps || s.kept >= s.room {
		return false
	}
	r := s.rested[pr.bound()]
	if r == nil {
		r = &rested{}
		s.rested[pr.bound()] = r
	}
	s.kept++
	s.resting = append(s.resting, resting{pr, pr.until, r})
	return true
}

// shift takes the pair that rests longest.
func (s *shelf) shift() resting {
	first := s.resting[s.over]
	s.resting[s.over] = resting{}
	if s.over++; 2*s.over >= len(s.resting) {
		n := copy(s.resting, s.resting[s.over:])
		clear(s.resting[n:])
		s.resting, s.over = s.resting[:n], 0
	}
	return first
}

// rests says whether a pair does.
func (s *shelf) rests() bool { return s.over < len(s.resting) }

// promote moves the pairs whose rest is over.
func (s *shelf) promote(now time.Time) {
	for s.rests() && !now.Before(s.resting[s.over].until) {
		first := s.shift()
		first.then.pairs = append(first.then.pairs, first.pr)
	}
}

// draw takes one of the rested pairs on a by chance, if there are at least that many.
func (s *shelf) draw(a home, least int) *pair {
	r := s.rested[a]
	if r == nil || len(r.pairs) < least || len(r.pairs) == 0 {
		return nil
	}
	i, last := rand.IntN(len(r.pairs)), len(r.pairs)-1
	pr := r.pairs[i]
	r.pairs[i] = r.pairs[last]
	r.shrink(last)
	r.was[0] = mark{min(r.was[0].fewest, last), true}
	s.kept--
	return pr
}

// shrink forgets the pairs from n on.
func (r *rested) shrink(n int) {
	clear(r.pairs[n:])
	r.pairs = r.pairs[:n]
}

// oldest takes a pair off so that another one can be opened: the one that rests longest, or any that rested. nil when there is none.
func (s *shelf) oldest() *pair {
	if s.rests() {
		s.kept--
		return s.shift().pr
	}
	for a := range s.rested {
		if pr := s.draw(a, 1); pr != nil {
			return pr
		}
	}
	return nil
}

// surplus takes off what nobody needed for a while, a part at a time; all there is when pairs are not kept. Where calls come, enough to choose from stay.
func (s *shelf) surplus() []*pair {
	var out []*pair
	for _, r := range s.rested {
		n := len(r.pairs)
		if s.keeps {
			n = min(n, r.spare())
		}
		out = append(out, r.pairs[len(r.pairs)-n:]...)
		r.shrink(len(r.pairs) - n)
		copy(r.was[1:], r.was[:])
		r.was[0] = mark{fewest: len(r.pairs)}
	}
	for !s.keeps && s.rests() {
		out = append(out, s.shift().pr)
	}
	s.kept -= len(out)
	return out
}

// spare is how many of the pairs a sweep closes.
func (r *rested) spare() int {
	n, drawn := r.was[0].fewest, false
	for _, m := range r.was {
		n, drawn = min(n, m.fewest), drawn || m.drawn
	}
	if drawn {
		n -= leastChoice
	}
	return max(0, min(n, max(giveBack, n/giveBack)))
}
