package report

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/cordonsip/cordon/audit"
	"github.com/cordonsip/cordon/internal/page"
)

// Summary says where calls were terminated, and what was refused, gated or wrong. GDPR Art. 5(2), 30(1)(e), 44; DORA Art. 30(2)(b).
type Summary struct {
	From          time.Time         `json:"from,omitzero"` // of the first and the last entry that was looked at
	To            time.Time         `json:"to,omitzero"`
	FirstSeq      uint64            `json:"first_seq"`
	LastSeq       uint64            `json:"last_seq"`
	Receipts      uint64            `json:"receipts"`
	Answered      uint64            `json:"answered"`
	Compliant     uint64            `json:"compliant"`
	Gated         uint64            `json:"compliant_by_gate"`
	Refused       uint64            `json:"refused_by_policy"`
	Indeterminate uint64            `json:"indeterminate"`
	Purposes      map[string]uint64 `json:"purposes"`
	Countries     []Country         `json:"countries"`
	Gates         []Gate            `json:"gates"`
	Violations    []Violation       `json:"violations"`
	Gaps          uint64            `json:"log_gaps"`     // times in which the log could not be written
	Lost          uint64            `json:"entries_lost"` // in those times: receipts may be among them
}

// Country is what happened in one country. A call counts once in each country where it has a hop.
type Country struct {
	Country    string `json:"country"` // alpha-2 as declared, or "unknown"
	Calls      uint64 `json:"calls"`
	Signalling uint64 `json:"signalling"`
	Media      uint64 `json:"media"`
	Recording  uint64 `json:"recording"`
	Packets    uint64 `json:"media_packets"`
	Refused    uint64 `json:"attempts_refused"` // targets that were never contacted because the policy held or denied them
}

// Gate is one decision and the calls that went by it.
type Gate struct {
	Decision string `json:"gate_decision_id"`
	Calls    uint64 `json:"calls"`
}

// Violation names one call.
type Violation struct {
	Seq     uint64    `json:"seq"`
	CallRef string    `json:"call_ref"`
	At      time.Time `json:"t_invite"`
	What    string    `json:"what"`
}

// Residency sums up the receipts among entries, which may be a whole log or any part of it in order.
func Residency(entries []audit.Entry) (Summary, error) {
	b := NewResidency(Period{})
	for _, e := range entries {
		if err := b.Add(e); err != nil {
			return Summary{}, err
		}
	}
	return b.Summary(), nil
}

// ResidencyBuilder takes entries one by one, for logs that do not fit into memory.
type ResidencyBuilder struct {
	period    Period
	sum       Summary
	countries map[string]*Country
	gates     map[string]uint64
	seen      bool
}

// NewResidency gives an empty one, for what lies in p.
func NewResidency(p Period) *ResidencyBuilder {
	return &ResidencyBuilder{
		period:    p,
		sum:       Summary{Purposes: map[string]uint64{}, Violations: []Violation{}},
		countries: map[string]*Country{}, gates: map[string]uint64{},
	}
}

// Add takes one entry. A receipt that does not read is an error: left out, it would make the summary a lie.
func (b *ResidencyBuilder) Add(e audit.Entry) error {
	if !b.period.Has(e.Time) {
		return nil
	}
	if !b.seen {
		b.sum.From, b.sum.FirstSeq, b.seen = e.Time, e.Seq, true
	}
	b.sum.To, b.sum.LastSeq = e.Time, e.Seq
	if e.Kind != audit.KindReceipt && e.Kind != audit.KindGap {
		return nil
	}
	ev, err := audit.Decode(e)
	if err != nil {
		return fmt.Errorf("report: entry %d: %w", e.Seq, err)
	}
	switch ev := ev.(type) {
	case audit.Receipt:
		b.receipt(e.Seq, ev)
	case audit.Gap:
		b.sum.Gaps++
		b.sum.Lost += ev.Lost
	}
	return nil
}

func (b *ResidencyBuilder) receipt(seq uint64, r audit.Receipt) {
	b.sum.Receipts++
	b.sum.Purposes[r.Purpose]++
	if !r.TAnswer.IsZero() {
		b.sum.Answered++
	}
	switch r.Overall {
	case "compliant":
		b.sum.Compliant++
	case "compliant_by_gate":
		b.sum.Gated++
	case "refused_by_policy":
		b.sum.Refused++
	case "violation":
		b.sum.Violations = append(b.sum.Violations, Violation{seq, r.CallRef, r.TInvite, whatOf(r)})
	default: // a word that this version does not know proves nothing
		b.sum.Indeterminate++
	}
	if r.GateDecision != "" {
		b.gates[r.GateDecision]++
	}
	planes := map[string]map[string]bool{}
	for _, h := range r.Hops {
		c := named(h.DeclaredCountry)
		if planes[c] == nil {
			planes[c] = map[string]bool{}
		}
		planes[c][h.Plane] = true
	}
	for name, p := range planes {
		c := b.country(name)
		c.Calls++
		c.Signalling += one(p["signalling"])
		c.Media += one(p["media"])
		c.Recording += one(p["recording"])
	}
	for name, n := range r.Packets {
		b.country(named(name)).Packets += n
	}
	for _, a := range r.Attempts {
		if a.At.IsZero() && (a.Verdict == "hold" || a.Verdict == "deny") {
			b.country(named(a.Country)).Refused++
		}
	}
}

func (b *ResidencyBuilder) country(name string) *Country {
	c := b.countries[name]
	if c == nil {
		c = &Country{Country: name}
		b.countries[name] = c
	}
	return c
}

// Summary is what the entries so far amount to.
func (b *ResidencyBuilder) Summary() Summary {
	s := b.sum
	s.Purposes, s.Violations = maps.Clone(s.Purposes), slices.Clone(s.Violations)
	s.Countries, s.Gates = make([]Country, 0, len(b.countries)), make([]Gate, 0, len(b.gates))
	for _, c := range b.countries {
		s.Countries = append(s.Countries, *c)
	}
	slices.SortFunc(s.Countries, func(a, b Country) int { return strings.Compare(a.Country, b.Country) })
	for id, n := range b.gates {
		s.Gates = append(s.Gates, Gate{id, n})
	}
	slices.SortFunc(s.Gates, func(a, b Gate) int { return strings.Compare(a.Decision, b.Decision) })
	return s
}

// JSON is the summary as a document.
func (s Summary) JSON() ([]byte, error) {
	raw, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("report: summary: %w", err)
	}
	return append(raw, '\n'), nil
}

// ResidencyReport is a summary with what it covers.
type ResidencyReport struct {
	Report  string    `json:"report"` // "residency"
	MadeAt  time.Time `json:"made_at"`
	Period  Period    `json:"period"`
	Cover   Cover     `json:"log"`
	Summary Summary   `json:"summary"`
}

// Report gives the summary so far as a report.
func (b *ResidencyBuilder) Report(c Cover, at time.Time) ResidencyReport {
	return ResidencyReport{Report: "residency", MadeAt: at.UTC(), Period: b.period, Cover: c, Summary: b.Summary()}
}

// Page is the report for people.
func (r ResidencyReport) Page() page.Document {
	s := r.Summary
	lead := page.Callout{Tone: page.Good, Text: counted(len(s.Violations), "call was", "calls were") + " terminated where the policy does not permit it."}
	if len(s.Violations) > 0 {
		lead.Tone = page.Bad
	}
	d := paper("Residency of calls", "GDPR Art. 5(2), 30(1)(e), 44; DORA Art. 30(2)(b)", r.Period, r.Cover, r.MadeAt, lead)
	if s.Gaps > 0 {
		d.Blocks = append(d.Blocks, page.Callout{Tone: page.Warn, Word: "Gaps.", Text: fmt.Sprintf("The log could not be written %d times, and %d entries of those times are lost: receipts may be among them.", s.Gaps, s.Lost)})
	}
	d.Blocks = append(d.Blocks, s.tiles(), append(page.Facts{{"entries", fmt.Sprintf("%d to %d", s.FirstSeq, s.LastSeq)}}, r.Cover.facts()...))
	violations := page.Table{Columns: page.Columns("entry", "call", "at", "what"), None: "None."}
	violations.Columns[0].Right, violations.Columns[2].Whole = true, true
	for _, v := range s.Violations {
		violations.Rows = append(violations.Rows, page.Row(number(v.Seq), v.CallRef, moment(v.At), v.What))
	}
	countries := page.Table{Columns: figures(1, "country", "calls", "signalling", "media", "recording", "media packets", "attempts refused"), None: "No call."}
	for _, c := range s.Countries {
		countries.Rows = append(countries.Rows, page.Row(c.Country, number(c.Calls), number(c.Signalling), number(c.Media), number(c.Recording), number(c.Packets), number(c.Refused)))
	}
	purposes := page.Table{Columns: figures(1, "purpose", "calls"), None: "None."}
	for _, name := range slices.Sorted(maps.Keys(s.Purposes)) {
		purposes.Rows = append(purposes.Rows, page.Row(strings.ReplaceAll(name, "_", " "), number(s.Purposes[name])))
	}
	gates := page.Table{Columns: figures(1, "decision", "calls"), None: "No call went by a decision of the gate."}
	for _, g := range s.Gates {
		gates.Rows = append(gates.Rows, page.Row(g.Decision, number(g.Calls)))
	}
	d.Blocks = append(d.Blocks, slices.Concat(table("Violations", violations), table("Countries", countries), table("Purposes", purposes), table("Decisions of the gate", gates),
		r.Cover.end("A call counts once in each country where it has a hop; an attempt refused is a target that was never contacted."))...)
	return d
}

// tiles are the counts of calls by what the receipts say.
func (s Summary) tiles() page.Tiles {
	tone := func(n uint64, t page.Tone) page.Tone {
		if n == 0 {
			return page.Plain
		}
		return t
	}
	wrong := uint64(len(s.Violations))
	return page.Tiles{
		{Name: "calls", Value: number(s.Receipts)},
		{Name: "answered", Value: number(s.Answered)},
		{Name: "compliant", Value: number(s.Compliant)},
		{Name: "compliant by the gate", Value: number(s.Gated)},
		{Name: "refused by the policy", Value: number(s.Refused)},
		{Name: "indeterminate", Value: number(s.Indeterminate), Tone: tone(s.Indeterminate, page.Warn)},
		{Name: "violations", Value: number(wrong), Tone: tone(wrong, page.Bad)},
	}
}

// whatOf names the hops of a call with their places and grounds.
func whatOf(r audit.Receipt) string {
	parts := make([]string, 0, len(r.Hops))
	for _, h := range r.Hops {
		parts = append(parts, fmt.Sprintf("%s of leg %s in %s (%s): %s, %s", h.Plane, h.Leg, named(h.DeclaredCountry), h.DeclaredRegion, h.Verdict, h.Ground))
	}
	if len(parts) == 0 {
		return "the receipt names no hop"
	}
	return strings.Join(parts, "; ")
}

func named(country string) string {
	if country == "" {
		return "unknown"
	}
	return country
}

func one(b bool) uint64 {
	if b {
		return 1
	}
	return 0
}
