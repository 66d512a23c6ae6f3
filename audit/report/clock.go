package report

import "time"

// The limits of RTS (EU) 2025/301 Art. 5(1), in hours.
const (
	initialAfterClassified = 4 * time.Hour
	initialAfterAware      = 24 * time.Hour
	intermediateAfter      = 72 * time.Hour
)

// InitialDue is the limit of the initial notification: 4 hours after the incident was classified as major and no later than 24 hours
// after the entity became aware of it; 4 hours after the classification alone when that came later than 24 hours. RTS (EU) 2025/301
// Art. 5(1)(a), 5(2).
func InitialDue(aware, classified time.Time) time.Time {
	due, latest := classified.Add(initialAfterClassified), aware.Add(initialAfterAware)
	if !classified.After(latest) && due.After(latest) {
		return latest
	}
	return due
}

// IntermediateDue is the limit of the intermediate report: 72 hours after the submission of the initial notification, even if nothing
// has changed. When regular activities are back, an update is due without undue delay, which no clock can tell. Art. 5(1)(b).
func IntermediateDue(initialSent time.Time) time.Time { return initialSent.Add(intermediateAfter) }

// FinalDue is the limit of the final report: one month after the intermediate report or the latest update of it. A day that the next
// month does not have is its last day. Art. 5(1)(c); Regulation (EEC, Euratom) No 1182/71 Art. 3(2)(c).
func FinalDue(lastIntermediate time.Time) time.Time {
	y, m, d := lastIntermediate.Date()
	first := time.Date(y, m+1, 1, lastIntermediate.Hour(), lastIntermediate.Minute(), lastIntermediate.Second(),
		lastIntermediate.Nanosecond(), lastIntermediate.Location())
	last := first.AddDate(0, 1, -1).Day()
	return first.AddDate(0, 0, min(d, last)-1)
}

// Submission is one of the three steps of reporting, DORA Art. 19(4).
type Submission int

// The submissions.
const (
	Initial Submission = iota + 1
	Intermediate
	Final
)

func (s Submission) String() string {
	switch s {
	case Initial:
		return "initial"
	case Intermediate:
		return "intermediate"
	case Final:
		return "final"
	}
	return "unknown"
}

// Entity is what the weekend rule asks of a financial entity. RTS (EU) 2025/301 Art. 5(5), 5(6).
type Entity struct {
	CreditInstitution bool
	CCP               bool // central counterparty
	TradingVenue      bool // operator of one
	NIS2              bool // essential or important entity under Directive (EU) 2022/2555 Art. 3
	Designated        bool // by its competent authority, Art. 5(6)
}

// Relief says whether the limit of s may move over a weekend or bank holiday. The final report's always may.
func (e Entity) Relief(s Submission) bool {
	switch s {
	case Initial, Intermediate:
		return !e.CreditInstitution && !e.CCP && !e.TradingVenue && !e.NIS2 && !e.Designated
	case Final:
		return true
	}
	return false
}

// Calendar is the working week of the Member State of the reporting entity.
type Calendar struct {
	Zone     *time.Location // nil: UTC
	Holidays []time.Time    // bank holidays; only the date of each counts, as it is written
}

// Due is the limit of s after the weekend rule: one that falls on a weekend day or a bank holiday moves to noon of the next working
// day, local time, for those whom the relief reaches. RTS (EU) 2025/301 Art. 5(4)-(6).
func (e Entity) Due(s Submission, limit time.Time, c Calendar) (due time.Time, moved bool) {
	zone := c.Zone
	if zone == nil {
		zone = time.UTC
	}
	day := limit.In(zone)
	if !e.Relief(s) || c.working(day) {
		return limit, false
	}
	for !c.working(day) {
		day = day.AddDate(0, 0, 1)
	}
	return time.Date(day.Year(), day.Month(), day.Day(), 12, 0, 0, 0, zone), true
}

func (c Calendar) working(day time.Time) bool {
	if wd := day.Weekday(); wd == time.Saturday || wd == time.Sunday {
		return false
	}
	y, m, d := day.Date()
	for _, h := range c.Holidays {
		if hy, hm, hd := h.Date(); hy == y && hm == m && hd == d {
			return false
		}
	}
	return true
}
