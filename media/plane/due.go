package plane

import "time"

// due is a leg that wants to be asked at a time, and not for a packet.
type due struct {
	ref Ref
	at  int64 // unix ns
}

// dues are few: only legs that have digits just now are among them.
type dues struct {
	list []due
	soon int64 // when the first one wants to be asked; 0: there is none
}

// due is how long it is until then; below 0: there is none.
func (d *dues) due(now int64) time.Duration {
	if d.soon == 0 {
		return -1
	}
	return time.Duration(max(0, d.soon-now))
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
	if d.soon == 0 || at < d.soon {
		d.soon = at
		w.stir()
	}
}

// ask asks those whose time has come, and says how long it is until the next one; below 0: there is none.
func (w *worker) ask() time.Duration {
	w.lock()
	defer w.mu.Unlock()
	d := &w.dues
	kept := d.list[:0]
	d.soon = 0
	for _, one := range d.list {
		if one.at <= w.now {
			one.at = w.asked(one.ref)
		}
		if one.at == 0 {
			continue
		}
		kept = append(kept, one)
		if d.soon == 0 || one.at < d.soon {
			d.soon = one.at
		}
	}
	d.list = kept
	return d.due(w.now)
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
