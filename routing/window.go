package routing

import (
	"fmt"
	"slices"
	"time"
)

// Window is a time of the day, on some days of the week, in the wall clock of one zone.
type Window struct {
	Days     []time.Weekday // empty: every day. A window over midnight belongs to the day on which it begins
	From, To int            // minutes since midnight; From is inside, To is not; To before From: on the next day
	Zone     *time.Location // nil: UTC
}

// Open says whether t lies inside. A nil Window is always open.
func (w *Window) Open(t time.Time) bool {
	if w == nil {
		return true
	}
	t = t.In(w.zone())
	minute, day := t.Hour()*60+t.Minute(), t.Weekday()
	if w.From <= w.To {
		return w.on(day) && minute >= w.From && minute < w.To
	}
	return w.on(day) && minute >= w.From || w.on((day+6)%7) && minute < w.To
}

func (w *Window) on(d time.Weekday) bool { return len(w.Days) == 0 || slices.Contains(w.Days, d) }

func (w *Window) zone() *time.Location {
	if w.Zone == nil {
		return time.UTC
	}
	return w.Zone
}

// String gives the window in words: "02:00-04:00 Europe/Berlin on Mon, Tue".
func (w *Window) String() string {
	s := fmt.Sprintf("%02d:%02d-%02d:%02d %s", w.From/60, w.From%60, w.To/60, w.To%60, w.zone())
	for i, d := range w.Days {
		sep := ", "
		if i == 0 {
			sep = " on "
		}
		s += sep + d.String()[:3]
	}
	return s
}
