package register

import (
	"fmt"
	"slices"
	"time"

	"github.com/cordonsip/cordon/audit"
)

// Months is how often switching over is to be tested at least: DORA Art. 11(6)(a), 24(6).
const Months = 12

// Duty is a drill that comes round: a line of the calendar.
type Duty struct {
	Scenario string
	Mode     string // in the register's words
	Months   int    // between two; 0: Months
	Warn     []int  // days before it is due; nil: DefaultWarnings
}

// DefaultWarnings are days before a drill is due.
func DefaultWarnings() []int { return []int{60, 30, 7} }

// Standing is where a line of the calendar stands.
type Standing struct {
	Scenario string    `json:"scenario"`
	Mode     string    `json:"mode"`
	Months   int       `json:"every_months"`
	Last     time.Time `json:"last,omitzero"` // end of the last one that counted
	Outcome  string    `json:"outcome,omitempty"`
	Due      time.Time `json:"due,omitzero"` // zero: the node never started
	Late     bool      `json:"late"`
}

// Standings are those of a calendar as of now. Only drills that ran to their end count.
func (b *Book) Standings(calendar []Duty, now time.Time) []Standing {
	out := make([]Standing, 0, len(calendar))
	for _, duty := range calendar {
		s := Standing{Scenario: duty.Scenario, Mode: duty.Mode, Months: duty.months()}
		from := b.Since
		if t, ok := b.newest(duty.Mode, duty.Scenario); ok {
			s.Last, s.Outcome, from = t.End, t.Outcome, t.End
		}
		if !from.IsZero() {
			s.Due = from.AddDate(0, s.Months, 0)
			s.Late = !now.Before(s.Due)
		}
		out = append(out, s)
	}
	return out
}

func (d Duty) months() int {
	if d.Months > 0 {
		return d.Months
	}
	return Months
}

// Reminders are those that are to be told now and that the log does not have: of several thresholds that passed while nobody looked, the nearest alone.
func (b *Book) Reminders(calendar []Duty, now time.Time) (out []audit.DrillReminder) {
	for i, s := range b.Standings(calendar, now) {
		if s.Due.IsZero() {
			continue
		}
		r := audit.DrillReminder{Scenario: s.Scenario, Mode: s.Mode, What: "late", Due: s.Due.UTC(), Last: s.Last}
		if !s.Late {
			r.What, r.Days = "warning", calendar[i].threshold(s.Due, now)
			if r.Days == 0 {
				continue
			}
		}
		if !b.Told[mark(r.Scenario, r.Mode, r.Due, r.Days)] {
			out = append(out, r)
		}
	}
	return out
}

// threshold is the nearest one that has passed; 0: none has.
func (d Duty) threshold(due, now time.Time) int {
	warn := slices.Clone(d.Warn)
	if d.Warn == nil {
		warn = DefaultWarnings()
	}
	slices.Sort(warn)
	for _, days := range warn {
		if !now.Before(due.AddDate(0, 0, -days)) {
			return days
		}
	}
	return 0
}

func mark(scenario, mode string, due time.Time, days int) string {
	return fmt.Sprintf("%s %s %s %d", scenario, mode, due.UTC().Format(time.RFC3339), days)
}
