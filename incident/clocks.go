package incident

import (
	"cmp"
	"slices"
	"time"

	"github.com/cordonsip/cordon/audit"
	"github.com/cordonsip/cordon/audit/report"
)

// The clocks that every incident has. The words stand in the log.
const (
	Classify     = "classify"
	Initial      = "initial"
	Intermediate = "intermediate"
	Final        = "final"
	GDPR33       = "gdpr_33"
)

// Deadline is a clock of the entity's own: of another authority, of a contract.
type Deadline struct {
	Name      string
	From      string // occurrence | awareness | classification (as major) | breach (of personal data is known)
	Within    time.Duration
	Note      string
	Source    string // the norm, in words
	Authority string // whom to tell
	Always    bool   // it runs whatever DORA calls the incident
}

// Reporting is what the clocks need to know of the entity.
type Reporting struct {
	Entity   report.Entity
	Calendar report.Calendar
	Own      []Deadline
	Warn     []time.Duration // before a limit, the longest first
}

// Clock is one limit of one incident.
type Clock struct {
	Name  string    `json:"name"`
	Law   string    `json:"law"`
	To    string    `json:"authority,omitempty"` // whom to tell, where the configuration says so
	From  time.Time `json:"from,omitzero"`       // what it runs from; zero: it does not run yet
	Limit time.Time `json:"limit,omitzero"`      // as the law counts it
	Due   time.Time `json:"due,omitzero"`        // after the weekend rule
	Moved bool      `json:"moved"`               // by the weekend rule
	Met   time.Time `json:"met,omitzero"`        // when people said that it was submitted
	State string    `json:"state"`               // not_started | running | late | met | met_late | waived
	Note  string    `json:"note,omitempty"`
}

// states of a clock.
const (
	notStarted = "not_started"
	running    = "running"
	isLate     = "late"
	met        = "met"
	metLate    = "met_late"
	waived     = "waived"
)

// Runs says whether something is still to be done by its limit.
func (c Clock) Runs() bool { return c.State == running || c.State == isLate }

// Clocks are those of i as of now.
func (r Reporting) Clocks(i *Incident, now time.Time) []Clock {
	out := []Clock{r.classify(i), r.initial(i), r.intermediate(i), r.final(i), gdpr33(i)}
	for _, d := range r.Own {
		out = append(out, own(d, i))
	}
	for k := range out {
		out[k].judge(now)
	}
	return out
}

// judge fills in the state of a clock that runs or ran.
func (c *Clock) judge(now time.Time) {
	switch {
	case c.State != "":
	case c.From.IsZero():
		c.State = notStarted
	case !c.Met.IsZero() && c.Met.After(c.Due):
		c.State = metLate
	case !c.Met.IsZero():
		c.State = met
	case now.After(c.Due):
		c.State = isLate
	default:
		c.State = running
	}
}

// classify is no limit of the law: it is where the 24 hours of the initial notification end.
func (r Reporting) classify(i *Incident) Clock {
	c := Clock{
		Name: Classify, Law: "RTS (EU) 2025/301 Art. 5(1)(a)", From: i.Aware, Limit: i.Aware.Add(24 * time.Hour),
		Note: "people classify; an incident that is called major later than this leaves 4 hours alone for the initial notification, Art. 5(2)",
	}
	c.Due = c.Limit
	if i.Class != nil {
		c.Met = i.Class.At
	}
	return c
}

func (r Reporting) initial(i *Incident) Clock {
	c := Clock{Name: Initial, Law: "RTS (EU) 2025/301 Art. 5(1)(a)", Note: "4 hours from the classification as major, at the latest 24 hours from awareness"}
	c.Met, _ = i.sent(Initial)
	if i.Class != nil && !i.Class.Major {
		return c.waive("classified as not major")
	}
	if i.Class == nil {
		return c
	}
	c.From = i.Class.First
	c.Limit = report.InitialDue(i.Aware, i.Class.First)
	return r.weekend(c, report.Initial)
}

func (r Reporting) intermediate(i *Incident) Clock {
	c := Clock{
		Name: Intermediate, Law: "RTS (EU) 2025/301 Art. 5(1)(b)",
		Note: "72 hours from the submission of the initial notification, even if nothing changed; an update without undue delay once regular activities are back",
	}
	c.Met, _ = i.sent(Intermediate)
	if i.Class != nil && !i.Class.Major {
		return c.waive("classified as not major")
	}
	if c.From, _ = i.sent(Initial); c.From.IsZero() {
		return c
	}
	c.Limit = report.IntermediateDue(c.From)
	return r.weekend(c, report.Intermediate)
}

func (r Reporting) final(i *Incident) Clock {
	c := Clock{Name: Final, Law: "RTS (EU) 2025/301 Art. 5(1)(c)", Note: "one month from the last intermediate report"}
	c.Met, _ = i.sent(Final)
	if i.Class != nil && !i.Class.Major {
		return c.waive("classified as not major")
	}
	if _, c.From = i.sent(Intermediate); c.From.IsZero() {
		return c
	}
	c.Limit = report.FinalDue(c.From)
	return r.weekend(c, report.Final)
}

func gdpr33(i *Incident) Clock {
	c := Clock{Name: GDPR33, Law: "GDPR Art. 33(1)", Note: "72 hours from when a breach of personal data is known; a person says so, and a notification that is later gives its reasons"}
	c.Met, _ = i.sent(GDPR33)
	if !i.Breach.IsZero() {
		c.From, c.Limit = i.Breach, i.Breach.Add(72*time.Hour)
		c.Due = c.Limit
	}
	if p := i.Personal; p != nil && p.Risk == RiskUnlikely {
		return c.waive("a risk to people is unlikely: " + p.RiskReason)
	}
	return c
}

func own(d Deadline, i *Incident) Clock {
	c := Clock{Name: d.Name, Law: cmp.Or(d.Source, "configuration"), To: d.Authority, Note: d.Note}
	c.Met, _ = i.sent(d.Name)
	switch {
	case d.From == "occurrence":
		c.From = i.Since
	case d.From == "awareness":
		c.From = i.Aware
	case d.From == "breach":
		c.From = i.Breach
	case i.Major():
		c.From = i.Class.First
	}
	if !d.Always && d.From != "breach" && i.Class != nil && !i.Class.Major {
		return c.waive("classified as not major")
	}
	if !c.From.IsZero() {
		c.Limit = c.From.Add(d.Within)
		c.Due = c.Limit
	}
	return c
}

// waive says that nothing is owed any more. What was submitted stays on record.
func (c Clock) waive(why string) Clock {
	if c.Met.IsZero() {
		c.State, c.Note = waived, why
	} else {
		c.State = met
	}
	return c
}

// weekend moves a limit that falls on a weekend day or a bank holiday, for those whom the relief reaches. RTS (EU) 2025/301 Art. 5(4)-(6).
func (r Reporting) weekend(c Clock, s report.Submission) Clock {
	c.Due, c.Moved = r.Entity.Due(s, c.Limit, r.Calendar)
	if !c.Moved && !r.Entity.Relief(s) {
		c.Note += "; no weekend rule for this entity, Art. 5(5), 5(6)"
	}
	return c
}

// next is the clock of i whose limit comes first.
func (r Reporting) next(i *Incident, now time.Time) (first Clock, ok bool) {
	for _, c := range r.Clocks(i, now) {
		if c.Runs() && (!ok || c.Due.Before(first.Due)) {
			first, ok = c, true
		}
	}
	return first, ok
}

// due lists the warnings of i that are to be told now, and when the next one will be.
func (r Reporting) due(i *Incident, now time.Time) (events []audit.Event, next time.Time) {
	if !i.Open() && !i.owes() {
		return nil, time.Time{}
	}
	for _, c := range r.Clocks(i, now) {
		if !c.Runs() {
			continue
		}
		what, before, at := r.warning(c, now)
		if what != "" && !slices.Contains(i.Told, mark(c.Name, c.Due, before)) {
			events = append(events, audit.IncidentUpdated{Incident: i.ID, What: what, At: now.UTC(), Clock: c.Name, Due: c.Due, Before: before})
		}
		next = earlier(next, at)
	}
	return events, next
}

// warning is the newest threshold that c has crossed: that it is late, or how long before its limit; and the time of the next one. A threshold that is as long
// as the clock itself warns of nothing, and of two that were crossed while nobody looked the nearer one is told.
func (r Reporting) warning(c Clock, now time.Time) (what, before string, next time.Time) {
	if now.After(c.Due) {
		return Late, "", time.Time{}
	}
	next = c.Due.Add(time.Nanosecond)
	for _, w := range r.Warn {
		if w >= c.Due.Sub(c.From) {
			continue
		}
		if at := c.Due.Add(-w); now.Before(at) {
			next = earlier(next, at)
		} else {
			what, before = Warned, w.String()
		}
	}
	return what, before, next
}

// earlier is the first of two times that are set.
func earlier(a, b time.Time) time.Time {
	switch {
	case a.IsZero():
		return b
	case b.IsZero() || a.Before(b):
		return a
	}
	return b
}

// DefaultWarnings are before a limit.
func DefaultWarnings() []time.Duration {
	return []time.Duration{24 * time.Hour, 4 * time.Hour, time.Hour}
}

// sortWarnings puts the longest first.
func sortWarnings(w []time.Duration) []time.Duration {
	w = slices.Clone(w)
	slices.SortFunc(w, func(a, b time.Duration) int { return cmp.Compare(b, a) })
	return slices.Compact(w)
}
