package plane

import (
	"sync/atomic"
	"time"
)

// due is a leg that wants to be asked at a time, and not for a packet.
type due struct {
	ref Ref
	at  int64 // unix ns
}

// dues are few: only legs that have digits just now are among them.
type dues struct {
	list []due
	soon atomic.Int64 // when the first one wants to be asked; 0: there is none
}

// call has a leg asked at a time.
func (w *worker) call(l *leg, at int64) {
	ref, d := l.ref(), &w.dues
	found := false
	for i := range d.list {
		if one := &d.list[i]; one.ref == ref {
			one.at, found = min(one.at, at), true // who is asked too early says when
		}
	}
	if !found {
		d.list = append(d.list, due{ref, at})
	}
	if soon := d.soon.Load(); soon != 0 && soon <= at {
		return
	}
	d.soon.Store(at)
	if w.set != nil {
		w.set.Wake()
	}
	select {
	case w.stirred <- struct{}{}:
	default:
	}
}

// ask asks those whose time has come, and says how long it is until the next one; below 0: there is none.
func (w *worker) ask() time.Duration {
	d := &w.dues
	soon := d.soon.Load()
	if soon == 0 { // nearly always: then this is all that it costs
		return -1
	}
	if left := soon - time.Now().UnixNano(); left > 0 {
		return time.Duration(left)
	}
	w.lock()
	defer w.mu.Unlock()
	kept := d.list[:0]
	soon = 0
	for _, one := range d.list {
		if one.at <= w.now {
			one.at = w.asked(one.ref)
		}
		if one.at == 0 {
			continue
		}
		kept = append(kept, one)
		if soon == 0 || one.at < soon {
			soon = one.at
		}
	}
	d.list = kept
	d.soon.Store(soon)
	if soon == 0 {
		return -1
	}
	return time.Duration(max(0, soon-w.now))
}

// asked does what a leg wanted to do, and says when it wants to be asked again; 0 never.
func (w *worker) asked(r Ref) int64 {
	l, ok := w.of(r)
	if !ok {
		return 0
	}
	in, out := w.lapsed(&l), w.play(&l)
	if in == 0 || out != 0 && out < in {
		return out
	}
	return in
}
