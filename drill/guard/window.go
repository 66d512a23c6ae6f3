package guard

import (
	"fmt"
	"slices"
	"time"
)

// Window is a time of the day, on some days of the week, in the wall clock of one zone, in which drills that meet callers may run.
type Window struct {
	Name     string
	Days     []time.Weekday // empty: every day. A window over midnight belongs to the day on which it begins
	From, To int            // minutes since midnight; From is inside, To is not; To before From: on the next day
	Zone     *time.Location // nil: UTC
}

// Block is days on which no window opens: the end of a quarter, a holiday on which everybody calls.
type Block struct {
	From, To time.Time // midnight UTC of the first and of the last day, which belongs to it; meant in the zone of each window
	Why      string
}

// Opening is one time in which a window is open.
type Opening struct {
	Name     string
	From, To time.Time
}

// horizon is how far ahead an opening is looked for: a window that does not open in a year and a bit never does.
const horizon = 400

// Opening finds the window that is open at a moment. Of several the one that stays open for longest.
func (r *Rules) Opening(at time.Time) (o Opening, ok bool) {
	for i := range r.Windows {
		for _, day := range []int{-1, 0} { // begun yesterday, or today
			x, some := r.opening(&r.Windows[i], at, day)
			if some && !at.Before(x.From) && at.Before(x.To) && x.To.After(o.To) {
				o, ok = x, true
			}
		}
	}
	return o, ok
}

// Next finds the first opening that is at least so long and not over at a moment; ok is false when there is none in the next 400 days.
func (r *Rules) Next(at time.Time, length time.Duration) (o Opening, ok bool) {
	for i := range r.Windows {
		for day := -1; day < horizon; day++ {
			x, some := r.opening(&r.Windows[i], at, day)
			if from := latest(x.From, at); !some || x.To.Sub(from) < max(length, 1) {
				continue
			}
			if !ok || x.From.Before(o.From) {
				o, ok = x, true
			}
			break
		}
	}
	return o, ok
}

func latest(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// opening is that of a window on the day of a moment, or so many days later, without what is blocked of it.
func (r *Rules) opening(w *Window, at time.Time, later int) (o Opening, ok bool) {
	zone := w.zone()
	y, m, d := at.In(zone).Date()
	day := time.Date(y, m, d+later, 12, 0, 0, 0, zone) // noon: there is one on every day
	if len(w.Days) > 0 && !slices.Contains(w.Days, day.Weekday()) {
		return o, false
	}
	y, m, d = day.Date()
	o = Opening{w.Name, time.Date(y, m, d, 0, w.From, 0, 0, zone), time.Date(y, m, d, 0, w.To, 0, 0, zone)}
	if w.To < w.From {
		o.To = time.Date(y, m, d+1, 0, w.To, 0, 0, zone)
	}
	for _, b := range r.Blocked {
		from, to := b.in(zone)
		switch { // a block is of whole days and an opening shorter than one: it never splits it
		case !o.From.Before(to) || !from.Before(o.To):
		case !o.From.Before(from):
			o.From = to
		default:
			o.To = from
		}
	}
	return o, o.From.Before(o.To)
}

// in gives the block from its first moment to the first one after it.
func (b Block) in(zone *time.Location) (from, to time.Time) {
	y, m, d := b.From.Date()
	from = time.Date(y, m, d, 0, 0, 0, 0, zone)
	y, m, d = b.To.Date()
	return from, time.Date(y, m, d+1, 0, 0, 0, 0, zone)
}

// blocked gives the block that a moment lies in, in the zone of any window.
func (r *Rules) blocked(at time.Time) (b Block, ok bool) {
	for _, b := range r.Blocked {
		for i := range r.Windows {
			if from, to := b.in(r.Windows[i].zone()); !at.Before(from) && at.Before(to) {
				return b, true
			}
		}
	}
	return b, false
}

func (w *Window) zone() *time.Location {
	if w.Zone == nil {
		return time.UTC
	}
	return w.Zone
}

// String gives the window in words: "night: 22:00-04:00 Europe/Berlin on Mon, Tue".
func (w *Window) String() string {
	s := fmt.Sprintf("%s: %02d:%02d-%02d:%02d %s", w.Name, w.From/60, w.From%60, w.To/60, w.To%60, w.zone())
	for i, d := range w.Days {
		sep := ", "
		if i == 0 {
			sep = " on "
		}
		s += sep + d.String()[:3]
	}
	return s
}
