package report

import (
	"cmp"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/cordonsip/cordon/audit"
	"github.com/cordonsip/cordon/internal/page"
)

// Breach is one breach of personal data: what GDPR Art. 33(5) has the controller document, whether it was notified or not.
type Breach struct {
	Incident   string        `json:"incident"`
	Title      string        `json:"title"`
	Began      time.Time     `json:"began"`
	Known      time.Time     `json:"known"`        // from then on the 72 hours of Art. 33(1) run
	Due        time.Time     `json:"notify_until"` // 72 hours later
	Facts      string        `json:"facts,omitempty"`
	Subjects   uint64        `json:"data_subjects_approx,omitempty"`
	Records    uint64        `json:"records_approx,omitempty"`
	Categories []string      `json:"categories,omitempty"`
	Effects    string        `json:"effects,omitempty"`
	Remedy     string        `json:"remedial_action,omitempty"`
	Risk       string        `json:"risk,omitempty"`
	RiskReason string        `json:"risk_reason,omitempty"`
	Delay      string        `json:"reasons_for_delay,omitempty"`
	Told       time.Time     `json:"data_subjects_told,omitzero"`
	Standing   string        `json:"standing"` // notified | notified_late | not_notified | running | late
	Notified   []BreachSent  `json:"notified"` // the first notification, and information in phases behind it, Art. 33(4)
	Phases     []BreachPhase `json:"documented"`
	Closed     time.Time     `json:"incident_closed,omitzero"`
	Open       []string      `json:"open"` // what the register still lacks
}

// BreachSent is something that people sent to the authority.
type BreachSent struct {
	Seq       uint64    `json:"seq"`
	At        time.Time `json:"at"`
	Reference string    `json:"reference,omitempty"`
	Digest    string    `json:"document_sha256,omitempty"`
}

// BreachPhase says which entry documented what.
type BreachPhase struct {
	Seq  uint64    `json:"seq"`
	At   time.Time `json:"at"`
	What []string  `json:"what"`
}

// The standings of a breach.
const (
	BreachNotified     = "notified"
	BreachNotifiedLate = "notified_late"
	BreachNotNotified  = "not_notified" // a risk to people is unlikely, Art. 33(1)
	BreachRunning      = "running"
	BreachLate         = "late"
)

// notifyWithin is the limit of GDPR Art. 33(1).
const notifyWithin = 72 * time.Hour

// Breaches is the register of GDPR Art. 33(5) as far as the log has it.
type Breaches struct {
	Report   string    `json:"report"` // "gdpr_art33_register"
	MadeAt   time.Time `json:"made_at"`
	Period   Period    `json:"period"`
	Cover    Cover     `json:"log"`
	Breaches []Breach  `json:"breaches"`
}

// BreachBuilder takes entries one by one. Whatever the period, it needs all of them: a breach of the period may be documented before and after it.
type BreachBuilder struct {
	period Period
	all    map[string]*Breach
}

// NewBreaches gives an empty one, for breaches that were known in p.
func NewBreaches(p Period) *BreachBuilder {
	return &BreachBuilder{period: p, all: map[string]*Breach{}}
}

// Add takes one entry. One that does not read is an error: left out, it would make the register a lie.
func (b *BreachBuilder) Add(e audit.Entry) error {
	switch e.Kind {
	case audit.KindIncidentOpened, audit.KindIncidentUpdated, audit.KindIncidentReported, audit.KindBreachNoted, audit.KindIncidentClosed:
	default:
		return nil
	}
	ev, err := audit.Decode(e)
	if err != nil {
		return fmt.Errorf("report: entry %d: %w", e.Seq, err)
	}
	if o, ok := ev.(audit.IncidentOpened); ok {
		b.all[o.Incident] = &Breach{Incident: o.Incident, Title: o.Title, Began: o.Since, Notified: []BreachSent{}, Phases: []BreachPhase{}, Open: []string{}}
		return nil
	}
	var id struct {
		Incident string `json:"incident"`
	}
	if err := json.Unmarshal(e.Body, &id); err != nil {
		return fmt.Errorf("report: entry %d: %w", e.Seq, err)
	}
	x := b.all[id.Incident]
	if x == nil {
		return nil // it was opened before this log began
	}
	switch ev := ev.(type) {
	case audit.IncidentUpdated:
		if ev.What == "breach_known" && x.Known.IsZero() {
			x.Known, x.Due = ev.At, ev.At.Add(notifyWithin)
			x.Phases = append(x.Phases, BreachPhase{e.Seq, e.Time, []string{"known"}})
		}
	case audit.IncidentReported:
		if ev.Clock == "gdpr_33" {
			x.Notified = append(x.Notified, BreachSent{e.Seq, ev.At, ev.Reference, ev.Digest})
		}
	case audit.BreachNoted:
		x.documented(e, ev)
	case audit.IncidentClosed:
		x.Closed = e.Time
	}
	return nil
}

// documented takes the newest word on each.
func (x *Breach) documented(e audit.Entry, n audit.BreachNoted) {
	p := BreachPhase{Seq: e.Seq, At: e.Time}
	for _, w := range []struct {
		name, text string
		into       *string
	}{
		{"facts", n.Facts, &x.Facts}, {"effects", n.Effects, &x.Effects}, {"remedial action", n.Remedy, &x.Remedy}, {"risk", n.Risk, &x.Risk}, {"reasons for the delay", n.Delay, &x.Delay},
	} {
		if w.text != "" {
			*w.into = w.text
			p.What = append(p.What, w.name)
		}
	}
	if n.Risk != "" {
		x.RiskReason = n.RiskReason
	}
	if n.Subjects+n.Records > 0 {
		x.Subjects, x.Records = cmp.Or(n.Subjects, x.Subjects), cmp.Or(n.Records, x.Records)
		p.What = append(p.What, "numbers")
	}
	if len(n.Categories) > 0 {
		x.Categories = n.Categories
		p.What = append(p.What, "categories")
	}
	if !n.Told.IsZero() {
		x.Told = n.Told
		p.What = append(p.What, "data subjects told")
	}
	x.Phases = append(x.Phases, p)
}

// Report gives the register as of a moment.
func (b *BreachBuilder) Report(c Cover, at time.Time) Breaches {
	r := Breaches{Report: "gdpr_art33_register", MadeAt: at.UTC(), Period: b.period, Cover: c, Breaches: []Breach{}}
	for _, x := range b.all {
		if x.Known.IsZero() || !b.period.Has(x.Known) {
			continue
		}
		y := *x
		y.judge(at)
		r.Breaches = append(r.Breaches, y)
	}
	slices.SortFunc(r.Breaches, func(a, b Breach) int { return cmp.Or(a.Known.Compare(b.Known), cmp.Compare(a.Incident, b.Incident)) })
	return r
}

// judge says where a breach stands, and what its documentation lacks.
func (x *Breach) judge(now time.Time) {
	slices.SortStableFunc(x.Notified, func(a, b BreachSent) int { return a.At.Compare(b.At) })
	switch {
	case len(x.Notified) > 0 && x.Notified[0].At.After(x.Due):
		x.Standing = BreachNotifiedLate
	case len(x.Notified) > 0:
		x.Standing = BreachNotified
	case x.Risk == "unlikely":
		x.Standing = BreachNotNotified
	case now.After(x.Due):
		x.Standing = BreachLate
	default:
		x.Standing = BreachRunning
	}
	x.Open = []string{}
	for _, w := range []struct {
		lacks bool
		what  string
	}{
		{x.Facts == "", "the facts, Art. 33(5)"},
		{x.Effects == "", "the effects, Art. 33(5)"},
		{x.Remedy == "", "the remedial action, Art. 33(5)"},
		{x.Risk == "", "the risk to people, Art. 33(1)"},
		{x.Standing == BreachRunning || x.Standing == BreachLate, "the notification to the authority, Art. 33(1)"},
		{x.Delay == "" && (x.Standing == BreachLate || x.Standing == BreachNotifiedLate), "the reasons for the delay, Art. 33(1)"},
		{x.Risk == "high" && x.Told.IsZero(), "the communication to data subjects, Art. 34(1)"},
	} {
		if w.lacks {
			x.Open = append(x.Open, w.what)
		}
	}
}

// Late says whether a limit passed with nothing notified.
func (r Breaches) Late() bool {
	return slices.ContainsFunc(r.Breaches, func(b Breach) bool { return b.Standing == BreachLate })
}

// Page is the register for people.
func (r Breaches) Page() page.Document {
	open := 0
	list := page.Table{Columns: page.Columns("incident", "known", "notify until", "standing", "notified", "risk", "open"), None: "None."}
	for _, k := range []int{0, 1, 2, 4} {
		list.Columns[k].Whole = true
	}
	for i := range r.Breaches {
		b := &r.Breaches[i]
		first := ""
		if len(b.Notified) > 0 {
			first = moment(b.Notified[0].At)
		}
		if len(b.Open) > 0 {
			open++
		}
		row := page.Row(b.Incident, moment(b.Known), moment(b.Due), strings.ReplaceAll(b.Standing, "_", " "), first, b.Risk, strings.Join(b.Open, "; "))
		if b.Standing == BreachLate {
			row[3].Tone = page.Bad
		}
		list.Rows = append(list.Rows, row)
	}
	lead := page.Callout{Tone: page.Good, Text: "No breach of personal data is on record."}
	if n := len(r.Breaches); n > 0 {
		lead.Text = counted(n, "breach", "breaches") + "; for " + number(uint64(open)) + " something is still to be done or written down."
	}
	switch {
	case r.Late():
		lead.Tone = page.Bad
	case open > 0:
		lead.Tone = page.Warn
	}
	d := paper("Breaches of personal data", "GDPR Art. 33(5)", r.Period, r.Cover, r.MadeAt, lead)
	d.Blocks = append(append(d.Blocks, r.Cover.facts()), table("Breaches", list)...)
	for i := range r.Breaches {
		x := &r.Breaches[i]
		d.Blocks = append(d.Blocks, page.Heading{Text: x.Incident + ": " + x.Title, Level: 3}, x.table())
	}
	d.Blocks = append(d.Blocks, r.Cover.end(
		"The register of GDPR Art. 33(5): every breach that people said was known in the period, notified or not. It holds what people wrote down, and no name of anybody.",
		"Whoever processes for another controller tells that controller, Art. 33(2): such breaches stand here as well, and their 72 hours are the controller's.")...)
	return d
}

// table is everything about one breach.
func (x *Breach) table() page.Table {
	t := page.Table{Columns: []page.Column{{Name: "what", Share: 24}, {Name: "value", Share: 76}}}
	approx := func(n uint64) string {
		if n == 0 {
			return ""
		}
		return "about " + number(n)
	}
	for _, row := range [][2]string{
		{"began", moment(x.Began)},
		{"known", moment(x.Known)},
		{"facts", x.Facts},
		{"data subjects", approx(x.Subjects)},
		{"records", approx(x.Records)},
		{"categories", strings.Join(x.Categories, ", ")},
		{"effects", x.Effects},
		{"remedial action", x.Remedy},
		{"risk", strings.TrimSuffix(x.Risk+": "+x.RiskReason, ": ")},
		{"reasons for the delay", x.Delay},
		{"data subjects told", moment(x.Told)},
		{"incident closed", moment(x.Closed)},
	} {
		if row[1] != "" {
			t.Rows = append(t.Rows, page.Row(row[:]...))
		}
	}
	for i, s := range x.Notified {
		what := "notified"
		if i > 0 {
			what = "further information"
		}
		value := moment(s.At)
		if s.Reference != "" {
			value += ", reference " + s.Reference
		}
		if s.Digest != "" {
			value += ", document SHA-256 " + s.Digest
		}
		t.Rows = append(t.Rows, page.Row(what, value+fmt.Sprintf(" (entry %d)", s.Seq)))
	}
	for _, ph := range x.Phases {
		t.Rows = append(t.Rows, page.Row("documented", moment(ph.At)+": "+strings.Join(ph.What, ", ")+fmt.Sprintf(" (entry %d)", ph.Seq)))
	}
	return t
}
