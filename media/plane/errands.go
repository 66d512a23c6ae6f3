package plane

import "time"

// Errands are what a worker does at its time, and for no packet. There are four kinds, for their times are of four kinds: frames of clips go out in a grid, those of
// many legs at once; a leg with digits is asked at the moment that it names; a packet that a drill has come late has a time of its own; reports are looked at now and then, some at
// a time. Each kind says how long it is until it
// is due. A worker asks that under the lock that it takes for packets anyway.

// next is how long it is until an errand is due; 0: one is, below 0: there is none. The caller holds mu.
func (w *worker) next(now time.Time) time.Duration {
	rests := sooner(sooner(w.stage.due(now), w.dues.due(now.UnixNano())), w.agenda.left(int64(now.Sub(w.agenda.began))))
	return sooner(rests, w.limbo.due(now))
}

// errands does what is due, and gives next. At 0 more is due than is done at once: packets go first.
func (w *worker) errands() time.Duration {
	more := w.sweep()
	rests := sooner(w.perform(), w.ask())
	if more {
		return 0
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	return sooner(sooner(rests, w.arrive()), w.agenda.left(w.agenda.now()))
}

// stir has a worker ask anew when an errand is due. The caller holds mu.
func (w *worker) stir() {
	if w.set != nil {
		w.set.Wake()
	}
	select {
	case w.stirred <- struct{}{}:
	default:
	}
}

// sooner is the shorter one of two times to wait; below 0 is for ever.
func sooner(a, b time.Duration) time.Duration {
	if a < 0 || b >= 0 && b < a {
		return b
	}
	return a
}
