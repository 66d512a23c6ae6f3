package guard

import (
	"fmt"
	"time"
)

// bounds of what is learnt of the traffic.
const (
	keptHours = 28 * 24 // four weeks: each weekday four times
	leastLong = 24      // hours, before which nothing is known
)

// Learnt is how many calls were up, hour by hour: what a node that nobody told its traffic holds the moment against. Its fields are kept between runs.
type Learnt struct {
	Hours []Hour `json:"hours"` // the oldest first, at most four weeks
}

// Hour is the mean of the calls that were up in it.
type Hour struct {
	From  time.Time `json:"from"`
	Sum   int       `json:"sum"`
	Looks int       `json:"looks"`
}

func (h Hour) mean() float64 { return float64(h.Sum) / float64(max(h.Looks, 1)) }

// Look takes what is up at a moment.
func (l *Learnt) Look(now time.Time, calls int) {
	from := now.UTC().Truncate(time.Hour)
	if n := len(l.Hours); n == 0 || l.Hours[n-1].From.Before(from) {
		l.Hours = append(l.Hours, Hour{From: from})
	}
	h := &l.Hours[len(l.Hours)-1] // a clock that was set back looks into the newest hour
	h.Sum, h.Looks = h.Sum+calls, h.Looks+1
	if over := len(l.Hours) - keptHours; over > 0 {
		l.Hours = append([]Hour(nil), l.Hours[over:]...)
	}
}

// Busiest is the highest mean of an hour, and of how many hours anything is known.
func (l *Learnt) Busiest() (calls float64, hours int) {
	for _, h := range l.Hours {
		calls = max(calls, h.mean())
	}
	return calls, len(l.Hours)
}

// Volume says whether there is little to do, and what that rests on: the field low_volume_basis of a drill's report.
func (r *Rules) Volume(calls int, l Learnt) (holds bool, basis string) {
	line, source := float64(r.Baseline), "as configured"
	if r.Baseline == 0 {
		var hours int
		line, hours = l.Busiest()
		if hours < leastLong {
			return false, fmt.Sprintf("%d h of traffic are known, and %d are needed: configure drills.low_volume.calls, or wait", hours, leastLong)
		}
		source = fmt.Sprintf("the busiest of %d hours", hours)
	}
	most := r.LowVolume.Of() * line
	text := fmt.Sprintf("%d calls are up; at most %s of %.3g (%s) may be: %.3g", calls, r.LowVolume, line, source, most)
	return float64(calls) <= most, text
}
