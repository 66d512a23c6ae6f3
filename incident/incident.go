package incident

import (
	"cmp"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/cordonsip/cordon/audit"
)

// Incident is what the entries about one incident say.
type Incident struct {
	ID       string    `json:"id"`
	Rule     Rule      `json:"rule"`
	Cause    string    `json:"cause"`
	Title    string    `json:"title"`
	Region   string    `json:"region,omitempty"`
	Country  string    `json:"country,omitempty"`
	Parties  []string  `json:"parties,omitempty"`
	Since    time.Time `json:"since"` // of the occurrence
	Aware    time.Time `json:"aware"` // of the entry that opened it
	By       string    `json:"by,omitempty"`
	Windows  []Window  `json:"windows"` // in which its cause lasted, in order
	Count    int       `json:"count"`   // of what its rule counted
	Entries  []uint64  `json:"entries"` // of the log that are about it or that it rests on, as far as there is room
	Seen     time.Time `json:"seen"`    // of the newest entry about it
	Notes    []Note    `json:"notes"`
	Breach   time.Time `json:"personal_data_breach_known,omitzero"` // since when people know of a breach of personal data
	Personal *Personal `json:"personal_data_breach,omitempty"`      // what people documented of it
	Class    *Class    `json:"classified,omitempty"`
	Reports  []Report  `json:"reports"`
	Closed   time.Time `json:"closed,omitzero"`
	ClosedBy string    `json:"closed_by,omitempty"`
	Outcome  string    `json:"closed_because,omitempty"`
	Told     []string  `json:"told"` // warnings of clocks that are on record
}

// Window is a time in which the cause of an incident lasted. To is zero while it does.
type Window struct {
	From time.Time `json:"from"`
	To   time.Time `json:"to,omitzero"`
}

// Note is something that a person wrote down about an incident.
type Note struct {
	At   time.Time `json:"at"`
	Text string    `json:"text"`
	By   string    `json:"by"`
}

// Class is how people classified an incident: the newest word counts.
type Class struct {
	Major    bool      `json:"major"`
	At       time.Time `json:"at"`
	First    time.Time `json:"first_major,omitzero"` // when it was first called major; the clock of the initial notification runs from there
	Criteria []string  `json:"criteria,omitempty"`
	Reason   string    `json:"reason"`
	By       string    `json:"by"`
}

// Report is something that people submitted.
type Report struct {
	Clock     string    `json:"clock"`
	At        time.Time `json:"at"`
	Reference string    `json:"reference,omitempty"`
	Digest    string    `json:"document_sha256,omitempty"`
	By        string    `json:"by"`
}

// Personal is what people documented of a breach of personal data, as far as its clock depends on it: the newest word on each counts. The log has all of it.
type Personal struct {
	Risk       string    `json:"risk,omitempty"` // unlikely | likely | high
	RiskReason string    `json:"risk_reason,omitempty"`
	Delay      string    `json:"reasons_for_delay,omitempty"`
	Told       time.Time `json:"data_subjects_told,omitzero"`
	Facts      bool      `json:"facts"` // that there is a word on it
	Effects    bool      `json:"effects"`
	Remedy     bool      `json:"remedial_action"`
}

// The words for the risk of a breach to the rights and freedoms of people. GDPR Art. 33(1), 34(1).
const (
	RiskUnlikely = "unlikely"
	RiskLikely   = "likely"
	RiskHigh     = "high"
)

// The words of an incident.updated.
const (
	Recovered = "recovered"
	Recurred  = "recurred"
	More      = "more"
	Noted     = "note"
	BreachOf  = "breach_known"
	Warned    = "clock_warning"
	Late      = "clock_late"
)

// bounds of what is kept of one incident, and of how many that are closed.
const (
	keptEntries = 64
	keptWindows = 256
	keptNotes   = 64
	keptClosed  = 200
)

// Open says whether people are not done with it.
func (i *Incident) Open() bool { return i.Closed.IsZero() }

// Lasts says whether its cause does.
func (i *Incident) Lasts() bool {
	return i.Open() && len(i.Windows) > 0 && i.Windows[len(i.Windows)-1].To.IsZero()
}

// Restored is when the cause ended last; zero while it lasts.
func (i *Incident) Restored() time.Time {
	if len(i.Windows) == 0 {
		return time.Time{}
	}
	return i.Windows[len(i.Windows)-1].To
}

// Major says whether people classified it so.
func (i *Incident) Major() bool { return i.Class != nil && i.Class.Major }

// sent is the first and the last submission for a clock.
func (i *Incident) sent(clock string) (first, last time.Time) {
	for _, r := range i.Reports {
		if r.Clock != clock {
			continue
		}
		if first.IsZero() {
			first = r.At
		}
		last = r.At
	}
	return first, last
}

func (i *Incident) clone() Incident {
	c := *i
	c.Parties, c.Windows, c.Entries, c.Notes = slices.Clone(i.Parties), slices.Clone(i.Windows), slices.Clone(i.Entries), slices.Clone(i.Notes)
	c.Reports, c.Told = slices.Clone(i.Reports), slices.Clone(i.Told)
	if i.Class != nil {
		k := *i.Class
		k.Criteria = slices.Clone(k.Criteria)
		c.Class = &k
	}
	if i.Personal != nil {
		p := *i.Personal
		c.Personal = &p
	}
	return c
}

// book is everything that was read from the log so far. One goroutine owns it.
type book struct {
	Incidents []*Incident `json:"incidents"` // by the order of their opening
	Memory    memory      `json:"memory"`    // of the rules
}

func newBook() *book { return &book{Memory: newMemory()} }

// find gives an incident by its id.
func (b *book) find(id string) *Incident {
	for _, i := range b.Incidents {
		if i.ID == id {
			return i
		}
	}
	return nil
}

// running is the newest incident of a cause that is open and lasts, or that recovered no longer than merge before now.
func (b *book) running(cause string, now time.Time, merge time.Duration) *Incident {
	for _, i := range slices.Backward(b.Incidents) {
		if i.Cause == cause && i.Open() && (i.Lasts() || now.Sub(i.Restored()) <= merge) {
			return i
		}
	}
	return nil
}

// wanted says which entries the book reads at all.
func wanted(k audit.Kind) bool {
	switch k {
	case audit.KindIncidentOpened, audit.KindIncidentUpdated, audit.KindIncidentClassified, audit.KindIncidentReported, audit.KindBreachNoted, audit.KindIncidentClosed:
		return true
	}
	return watched(k)
}

// apply takes one entry. An entry that does not read is an error: left out, it would make the book a lie.
func (b *book) apply(e audit.Entry) error {
	switch e.Kind {
	case audit.KindIncidentOpened, audit.KindIncidentUpdated, audit.KindIncidentClassified, audit.KindIncidentReported, audit.KindBreachNoted, audit.KindIncidentClosed:
		ev, err := audit.Decode(e)
		if err != nil {
			return fmt.Errorf("incident: entry %d: %w", e.Seq, err)
		}
		b.fold(e, ev)
		return nil
	}
	if err := b.Memory.see(e); err != nil {
		return fmt.Errorf("incident: entry %d: %w", e.Seq, err)
	}
	return nil
}

// fold puts an entry of ours into the book. What is about an incident that the book does not have any more changes nothing.
func (b *book) fold(e audit.Entry, ev audit.Event) {
	if o, ok := ev.(audit.IncidentOpened); ok {
		b.opened(e, o)
		return
	}
	var id struct {
		Incident string `json:"incident"`
	}
	if json.Unmarshal(e.Body, &id) != nil {
		return
	}
	i := b.find(id.Incident)
	if i == nil {
		return
	}
	i.note(e)
	switch ev := ev.(type) {
	case audit.IncidentUpdated:
		b.updated(e, i, ev)
	case audit.IncidentClassified:
		i.classified(ev)
	case audit.IncidentReported:
		i.Reports = append(i.Reports, Report{ev.Clock, ev.At, ev.Reference, ev.Digest, ev.By})
	case audit.BreachNoted:
		i.documented(ev)
	case audit.IncidentClosed:
		i.Closed, i.ClosedBy, i.Outcome = e.Time, ev.By, ev.Reason
		if w := i.Windows; len(w) > 0 && w[len(w)-1].To.IsZero() {
			w[len(w)-1].To = e.Time
		}
		b.forgetClosed()
	}
}

func (b *book) opened(e audit.Entry, o audit.IncidentOpened) {
	i := &Incident{
		ID: o.Incident, Rule: Rule(o.Rule), Cause: o.Cause, Title: o.Title, Region: o.Region, Country: o.Country, Parties: o.Parties, Since: o.Since, Aware: e.Time, By: o.By,
		Windows: []Window{{o.Since, o.Until}}, Count: o.Found.Count, Notes: []Note{}, Reports: []Report{}, Told: []string{},
	}
	i.Entries = append(i.Entries, o.Found.Entries...)
	i.note(e)
	b.Incidents = append(b.Incidents, i)
	b.Memory.told(o.Cause, o.Found.Last)
}

func (b *book) updated(e audit.Entry, i *Incident, u audit.IncidentUpdated) {
	last := len(i.Windows) - 1
	switch u.What {
	case Recovered:
		if last >= 0 && i.Windows[last].To.IsZero() {
			i.Windows[last].To = u.At
		}
	case Recurred, More:
		if u.What == Recurred || last < 0 || !i.Windows[last].To.IsZero() {
			i.Windows = append(i.Windows, Window{u.At, u.Until})
		}
		if len(i.Windows) > keptWindows { // the oldest two become one: too long a time is better than one that is missing
			i.Windows[1].From = i.Windows[0].From
			i.Windows = i.Windows[1:]
		}
		i.Count += u.Found.Count
		for _, seq := range u.Found.Entries {
			i.about(seq)
		}
		b.Memory.told(i.Cause, u.Found.Last)
	case Noted:
		i.Notes = append(i.Notes, Note{e.Time, u.Text, u.By})
		i.Notes = i.Notes[max(0, len(i.Notes)-keptNotes):]
	case BreachOf:
		i.Breach = u.At
		i.Notes = append(i.Notes, Note{e.Time, cmp.Or(u.Text, "a breach of personal data is known"), u.By})
	case Warned, Late:
		i.Told = append(i.Told, mark(u.Clock, u.Due, u.Before))
	}
}

// documented takes what people wrote down about a breach of personal data.
func (i *Incident) documented(b audit.BreachNoted) {
	if i.Personal == nil {
		i.Personal = &Personal{}
	}
	p := i.Personal
	if b.Risk != "" {
		p.Risk, p.RiskReason = b.Risk, b.RiskReason
	}
	if b.Delay != "" {
		p.Delay = b.Delay
	}
	if !b.Told.IsZero() {
		p.Told = b.Told
	}
	p.Facts, p.Effects, p.Remedy = p.Facts || b.Facts != "", p.Effects || b.Effects != "", p.Remedy || b.Remedy != ""
}

// classified takes the newest word, and keeps when the incident was first called major in one go: an incident that was taken back has no clock.
func (i *Incident) classified(c audit.IncidentClassified) {
	k := &Class{Major: c.Major, At: c.At, Criteria: c.Criteria, Reason: c.Reason, By: c.By}
	if c.Major {
		k.First = c.At
		if i.Major() {
			k.First = i.Class.First
		}
	}
	i.Class = k
}

// note remembers that e is about i.
func (i *Incident) note(e audit.Entry) {
	i.Seen = e.Time
	i.about(e.Seq)
}

func (i *Incident) about(seq uint64) {
	if len(i.Entries) < keptEntries && !slices.Contains(i.Entries, seq) {
		i.Entries = append(i.Entries, seq)
	}
}

// forgetClosed keeps the newest closed ones: the log has the others.
func (b *book) forgetClosed() {
	closed := 0
	for _, i := range b.Incidents {
		if !i.Open() {
			closed++
		}
	}
	b.Incidents = slices.DeleteFunc(b.Incidents, func(i *Incident) bool {
		if i.Open() || closed <= keptClosed || i.owes() {
			return false
		}
		closed--
		return true
	})
}

// owes says whether a report of it is still to come.
func (i *Incident) owes() bool {
	_, final := i.sent(Final)
	return i.Major() && final.IsZero() || i.breachOwes()
}

// breachOwes says whether a breach of personal data is known, the risk is not unlikely, and nobody notified it.
func (i *Incident) breachOwes() bool {
	first, _ := i.sent(GDPR33)
	return !i.Breach.IsZero() && first.IsZero() && (i.Personal == nil || i.Personal.Risk != RiskUnlikely)
}

// mark names one warning of one clock.
func mark(clock string, due time.Time, before string) string {
	return clock + " " + due.UTC().Format(time.RFC3339) + " " + before
}
