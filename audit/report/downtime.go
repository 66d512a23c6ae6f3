package report

import (
	"slices"
	"time"
)

// DowntimeThreshold is the service downtime beyond which an incident of services that support critical or important functions meets
// the materiality threshold of duration: longer than two hours. RTS (EU) 2024/1772 Art. 9(3)(b).
const DowntimeThreshold = 2 * time.Hour

// Outage is a time in which a service was not fully there for clients.
type Outage struct {
	From      time.Time `json:"from"`
	To        time.Time `json:"to,omitzero"` // zero while it lasts
	Partial   bool      `json:"partial"`     // some of it worked
	Direction string    `json:"direction,omitempty"`
}

// Downtime is how long the service was fully or partially unavailable in one incident, as of now. Partial unavailability counts in
// full: when inbound calls are blocked while outbound ones work, the clock runs. Time in which several outages lasted at once counts
// once. RTS (EU) 2024/1772 Art. 3(2).
func Downtime(outages []Outage, now time.Time) time.Duration {
	os := slices.Clone(outages)
	slices.SortFunc(os, func(a, b Outage) int { return a.From.Compare(b.From) })
	var sum time.Duration
	var covered time.Time // everything before it is counted
	for _, o := range os {
		from, to := o.From, o.To
		if to.IsZero() {
			to = now
		}
		if from.Before(covered) {
			from = covered
		}
		if to.After(from) {
			sum += to.Sub(from)
			covered = to
		}
	}
	return sum
}

// OverThreshold says whether a downtime is longer than the threshold; one of exactly two hours is not.
func OverThreshold(downtime time.Duration) bool { return downtime > DowntimeThreshold }
