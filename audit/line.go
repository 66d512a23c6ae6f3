package audit

import (
	"context"
	"sync"
	"time"
)

// lineKept bounds the group whose place is used again.
const lineKept = 1024

// line is where entries wait that nobody waits for. One goroutine carries them, group after group, and ends when none is left.
type line struct {
	mu      sync.Mutex
	waiting []parcel
	spare   []parcel // of the last group, to be used again
	running bool
}

// join adds p and says whether somebody must be sent to carry.
func (l *line) join(p *parcel) (first bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.waiting = append(l.waiting, *p)
	first, l.running = !l.running, true
	return first
}

// take gives all who wait.
func (l *line) take() []parcel {
	l.mu.Lock()
	defer l.mu.Unlock()
	all := l.waiting
	l.waiting, l.spare = l.spare, nil
	return all
}

// reuse takes back a group that is done with.
func (l *line) reuse(all []parcel) {
	if cap(all) > lineKept {
		return // a burst must not hold its memory for ever
	}
	clear(all)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.spare = all[:0]
}

// empty says that nobody waits, and with that ends the carrying.
func (l *line) empty() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.running = len(l.waiting) > 0
	return !l.running
}

// AppendAsync is Append without a goroutine per entry, for those that may wait for others.
func (s *spine) AppendAsync(e Event, done func(uint64, error)) {
	p, err := s.wrap(e)
	if err != nil {
		done(0, err)
		return
	}
	if !s.drv.blocks() && s.cfg.wrap == nil {
		done(s.take(context.Background(), p))
		return
	}
	if !s.enter() {
		done(0, down(p.entry.Kind, errClosed))
		return
	}
	p.done = done
	switch {
	case !p.patient:
		go s.takeAlone(p)
	case s.abandons.Load() > 0:
		s.life.running.Done()
		s.refuse([]parcel{p}, errStuck)
	case s.line.join(&p):
		go s.carryLine()
	default:
		s.life.running.Done() // of whoever carries holds Close back
	}
}

// takeAlone is take for an entry of AppendAsync that does not wait for others.
func (s *spine) takeAlone(p parcel) {
	defer s.life.running.Done()
	p.done(s.take(context.Background(), p))
}

// refuse counts parcels as lost and tells those who sent them.
func (s *spine) refuse(all []parcel, err error) {
	s.loseAll(all, err)
	s.tell(all, err)
}

func (s *spine) loseAll(all []parcel, err error) {
	for i := range all {
		s.lose(all[i], err)
	}
}

func (s *spine) tell(all []parcel, err error) {
	for i := range all {
		all[i].done(0, down(all[i].entry.Kind, err))
	}
}

// carryLine carries group after group, at the pace of those that are in no hurry.
func (s *spine) carryLine() {
	defer s.life.running.Done()
	for !s.line.empty() {
		s.pace.wait(s.life.closing)
		if all := s.line.take(); len(all) > 0 {
			if s.carryAll(all) {
				s.line.reuse(all)
			}
		}
	}
}

// carryAll appends a group and waits for it no longer than AppendTimeout, as store does for one. False says that somebody else may still look at
// the group.
func (s *spine) carryAll(all []parcel) bool {
	if err := s.healInTime(); err != nil {
		s.refuse(all, err)
		return true
	}
	if s.abandons.Load() > 0 { // the driver works in order: nobody overtakes the one that hangs
		s.refuse(all, errStuck)
		return true
	}
	var mu sync.Mutex
	left, over := false, false
	timer := time.AfterFunc(s.cfg.AppendTimeout, func() {
		mu.Lock()
		if over {
			mu.Unlock()
			return
		}
		left = true
		s.abandons.Add(1)
		s.loseAll(all, errHangs)
		mu.Unlock()
		s.tell(all, errHangs)
		s.refuse(s.line.take(), errStuck)
	})
	results := s.tryAll(all)
	timer.Stop()
	mu.Lock()
	over = true
	mu.Unlock()
	if left {
		s.turnedUp(all, results)
		s.abandons.Add(-1)
		return false
	}
	s.settleAll(all, results)
	return true
}

// healInTime writes the gap that is due, for those who bring no time limit of their own.
func (s *spine) healInTime() error {
	if s.outage() == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), s.cfg.AppendTimeout)
	defer cancel()
	return s.heal(ctx)
}

// tryAll appends, and while the disk is full gives up reserve for another try of those that found no room.
func (s *spine) tryAll(all []parcel) []result {
	leaves := make([][]byte, len(all))
	for i := range all {
		leaves[i] = all[i].leaf
	}
	_, used := s.drv.reserve()
	var out []result
	if s.cfg.wrap == nil {
		out = s.drv.appendAll(leaves)
	} else {
		out = make([]result, len(leaves))
		for i := range leaves {
			out[i].seq, out[i].err = s.put(leaves[i])
		}
	}
	for i := range out {
		if isFull(out[i].err) && s.drv.room(used) {
			out[i].seq, out[i].err = s.tryHard(leaves[i])
		}
	}
	return out
}

// settleAll takes the outcome of a group: it is kept for those who follow, they are woken once, and then the senders are told.
func (s *spine) settleAll(all []parcel, results []result) {
	size := uint64(0)
	for i := range all {
		if results[i].err != nil {
			s.lose(all[i], results[i].err)
			continue
		}
		s.recent.keep(results[i].seq, &all[i].entry, len(all[i].leaf))
		size = max(size, results[i].seq+1)
	}
	s.grow(size)
	for i := range all {
		if err := results[i].err; err != nil {
			all[i].done(0, down(all[i].entry.Kind, err))
		} else {
			all[i].done(results[i].seq, nil)
		}
	}
}

// turnedUp takes the outcome of a group whose senders were told that it hangs.
func (s *spine) turnedUp(all []parcel, results []result) {
	for i := range all {
		if results[i].err == nil {
			s.recent.keep(results[i].seq, &all[i].entry, len(all[i].leaf))
			s.found(all[i])
			s.grow(results[i].seq + 1)
		}
	}
}
