// Package rejudge judges past calls anew: the receipts of a verified log under the law as it was known on another day. A judgment that annuls an adequacy decision
// does so from the beginning (ex tunc), so a call that was compliant as the law was known then may not be so as it is known now, and somebody must be able to say which.
//
// It changes the law alone. What the receipt says of places, attested conditions and grants, and what the policy of that day accepted, stays as it is written; a
// receipt that does not say enough is counted as such and never guessed at.
//
// It imports audit, audit/report (covers and periods), internal/page and sovereign, whose judgement it asks.
package rejudge

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/cordonsip/cordon/audit"
	"github.com/cordonsip/cordon/audit/report"
	"github.com/cordonsip/cordon/sovereign"
)

// Law is what is known.
type Law struct {
	Table     *sovereign.Law
	KnownAt   time.Time
	Suspended []sovereign.Suspension // that were verified; nil: those count that the log says were known by KnownAt
}

// Ground is what the log says beside the receipts, of which a first reading takes note.
type Ground struct {
	law       Law
	presets   map[string]sovereign.Preset // by policy digest
	suspended []Suspended
}

// Suspended is one suspension that counts.
type Suspended struct {
	Instrument string    `json:"instrument"`
	Since      time.Time `json:"since"`
	Source     string    `json:"source"` // "file", or the entry that tells of it
}

// NewGround begins.
func NewGround(l Law) *Ground {
	g := &Ground{law: l, presets: map[string]sovereign.Preset{}}
	for _, s := range l.Suspended {
		g.suspended = append(g.suspended, Suspended{s.Instrument, s.Since.UTC(), "file"})
	}
	return g
}

// Add takes one entry of the first reading.
func (g *Ground) Add(e audit.Entry) error {
	switch e.Kind {
	case audit.KindPolicyApplied:
		var p audit.PolicyApplied
		if err := json.Unmarshal(e.Body, &p); err != nil {
			return fmt.Errorf("rejudge: entry %d: %w", e.Seq, err)
		}
		if p.PolicyDigest != "" && p.Preset != "" {
			g.presets[p.PolicyDigest] = sovereign.Preset(p.Preset)
		}
	case audit.KindLawSuspended:
		if g.law.Suspended != nil || e.Time.After(g.law.KnownAt) {
			return nil
		}
		var s audit.LawSuspended
		if err := json.Unmarshal(e.Body, &s); err != nil {
			return fmt.Errorf("rejudge: entry %d: %w", e.Seq, err)
		}
		if !slices.ContainsFunc(g.suspended, func(x Suspended) bool { return x.Instrument == s.Instrument && x.Since.Equal(s.Since) }) {
			g.suspended = append(g.suspended, Suspended{s.Instrument, s.Since.UTC(), fmt.Sprintf("entry %d", e.Seq)})
		}
	}
	return nil
}

// Why a receipt cannot be judged anew.
const (
	NoHops       = "nothing was terminated" // refused calls: there is nothing to judge
	NoPlace      = "a hop names no country"
	NoTime       = "it has no times"
	NoPolicy     = "the log does not say what the policy of that day accepted"
	NoInstrument = "a hop names an instrument that the law table does not have"
)

// Changed is one call of which the law now says something else.
type Changed struct {
	Seq     uint64    `json:"seq"`
	CallRef string    `json:"call_ref"`
	At      time.Time `json:"t_invite"`
	Purpose string    `json:"purpose"`
	Was     string    `json:"was"`               // overall, as the receipt has it
	Now     string    `json:"now"`               // not_compliant | compliant
	Partly  bool      `json:"partly,omitempty"`  // from a moment within the call on
	Granted bool      `json:"granted,omitempty"` // people, or an emergency, had opened the place for it: look at what that rested on
	Hops    []Hop     `json:"hops"`
}

// Hop is one place of it.
type Hop struct {
	Plane      string `json:"plane"`
	Leg        string `json:"leg"`
	Country    string `json:"country"`
	Instrument string `json:"instrument,omitempty"` // that the receipt rests on, or that is suspended now
	Was        string `json:"was"`                  // standing
	Now        string `json:"now"`
	Ground     string `json:"ground"`
	Why        string `json:"why"`
}

// Count is a total.
type Count struct {
	Name    string `json:"name"`
	Judged  uint64 `json:"judged"`
	Changed uint64 `json:"changed"`
}

// Builder takes the entries of the second reading.
type Builder struct {
	g           *Ground
	period      report.Period
	list        []sovereign.Suspension
	known       map[string]bool // instruments of the table
	out         Report
	countries   map[string]*Count
	instruments map[string]*Count
}

// Builder gives one for the receipts in a period.
func (g *Ground) Builder(p report.Period) *Builder {
	b := &Builder{g: g, period: p, known: map[string]bool{}, countries: map[string]*Count{}, instruments: map[string]*Count{}}
	b.out = Report{
		KnownAt: g.law.KnownAt.UTC(), Table: g.law.Table.AsOf(), Period: p, Suspended: append([]Suspended{}, g.suspended...), Changed: []Changed{}, NotJudged: map[string]uint64{},
	}
	for _, s := range g.suspended {
		b.list = append(b.list, sovereign.Suspension{Instrument: s.Instrument, Since: s.Since})
	}
	for _, f := range g.law.Table.Instruments() {
		b.known[f.ID] = true
	}
	return b
}

// Add takes one entry. A receipt that does not read is an error.
func (b *Builder) Add(e audit.Entry) error {
	if e.Kind != audit.KindReceipt || !b.period.Has(e.Time) {
		return nil
	}
	var r audit.Receipt
	if err := json.Unmarshal(e.Body, &r); err != nil {
		return fmt.Errorf("rejudge: entry %d: %w", e.Seq, err)
	}
	b.out.Receipts++
	preset, lacks := b.lacks(&r)
	if lacks != "" {
		b.out.NotJudged[lacks]++
		return nil
	}
	b.out.Judged++
	b.judge(e.Seq, &r, preset)
	return nil
}

// lacks says what of a receipt is missing.
func (b *Builder) lacks(r *audit.Receipt) (sovereign.Preset, string) {
	if len(r.Hops) == 0 {
		return "", NoHops
	}
	if r.TInvite.IsZero() || r.TEnd.IsZero() {
		return "", NoTime
	}
	for _, h := range r.Hops {
		switch {
		case h.DeclaredCountry == "":
			return "", NoPlace
		case h.Ground == string(sovereign.GroundAdequateConditional) && !b.known[h.Instrument]:
			return "", NoInstrument
		}
	}
	preset, ok := b.g.presets[r.PolicyDigest]
	if !ok {
		return "", NoPolicy
	}
	return preset, ""
}

// judge asks the law of each hop at its beginning and at its end.
func (b *Builder) judge(seq uint64, r *audit.Receipt, preset sovereign.Preset) {
	c := Changed{Seq: seq, CallRef: r.CallRef, At: r.TInvite.UTC(), Purpose: r.Purpose, Was: r.Overall, Now: "compliant"}
	countries, instruments := map[string]bool{}, map[string]bool{}
	for _, h := range r.Hops {
		end := r.TEnd
		if !h.Until.IsZero() {
			end = h.Until
		}
		first, last := b.ask(&h, preset, r.TInvite), b.ask(&h, preset, end)
		countries[h.DeclaredCountry] = countries[h.DeclaredCountry] || first.changed || last.changed
		if h.Instrument != "" {
			instruments[h.Instrument] = instruments[h.Instrument] || first.changed || last.changed
		}
		if !first.changed && !last.changed {
			continue
		}
		worst := first
		if !first.changed || last.verdict < first.verdict {
			worst = last
		}
		if c.Partly = c.Partly || !first.changed; worst.verdict != sovereign.Permit {
			c.Now = "not_compliant"
		}
		c.Granted = c.Granted || excepted(h.Ground)
		c.Hops = append(c.Hops, Hop{
			Plane: h.Plane, Leg: h.Leg, Country: h.DeclaredCountry, Instrument: cmp.Or(worst.finding.Suspended, worst.finding.Instrument, h.Instrument), Was: h.Verdict, Now: string(worst.finding.Standing),
			Ground: string(worst.ground), Why: worst.finding.Why,
		})
	}
	tally(b.countries, countries)
	tally(b.instruments, instruments)
	if len(c.Hops) > 0 {
		b.out.Changed = append(b.out.Changed, c)
	}
}

// answer is the law's about one hop at one moment.
type answer struct {
	finding sovereign.Finding
	verdict sovereign.Verdict
	ground  sovereign.Ground
	changed bool // the preset makes something else of it than of what the receipt says
}

func (b *Builder) ask(h *audit.ReceiptHop, preset sovereign.Preset, at time.Time) (a answer) {
	q := sovereign.Question{At: at, KnownAt: b.g.law.KnownAt, Suspended: b.list}
	if sovereign.Standing(h.Verdict) == sovereign.StandingAdequateConditional {
		q.Met = h.Instrument // its conditions were attested, as the receipt says
	}
	a.finding = b.g.law.Table.Standing(sovereign.Country(h.DeclaredCountry), q)
	a.verdict, a.ground = preset.Rule(a.finding)
	was := sovereign.Finding{Standing: sovereign.Standing(h.Verdict), Member: a.finding.Member || preset != sovereign.EUOnly}
	before, _ := preset.Rule(was)
	a.changed = before != a.verdict
	return a
}

// excepted says that a place was open by an exception and not by the law.
func excepted(ground string) bool {
	switch sovereign.Ground(ground) {
	case sovereign.GroundGrant, sovereign.GroundEmergency, sovereign.GroundRunning:
		return true
	}
	return false
}

func tally(to map[string]*Count, of map[string]bool) {
	for name, changed := range of {
		c := to[name]
		if c == nil {
			c = &Count{Name: name}
			to[name] = c
		}
		c.Judged++
		if changed {
			c.Changed++
		}
	}
}

// Report is what came out. It names calls by their references alone.
type Report struct {
	KnownAt     time.Time         `json:"known_at"`
	Table       time.Time         `json:"law_table_as_of"`
	Period      report.Period     `json:"period"`
	Suspended   []Suspended       `json:"suspensions"`
	Receipts    uint64            `json:"receipts"`
	Judged      uint64            `json:"judged"`
	NotJudged   map[string]uint64 `json:"not_judged"` // by what they lack
	Countries   []Count           `json:"countries"`  // calls, by country of their hops
	Instruments []Count           `json:"instruments"`
	Changed     []Changed         `json:"changed"`
	Cover       report.Cover      `json:"checkpoint"`
	Made        time.Time         `json:"made"`
}

// Report ends the reading.
func (b *Builder) Report(cover report.Cover, made time.Time) Report {
	r := b.out
	r.Cover, r.Made = cover, made.UTC()
	r.Countries, r.Instruments = sorted(b.countries), sorted(b.instruments)
	return r
}

func sorted(m map[string]*Count) []Count {
	out := []Count{}
	for _, k := range slices.Sorted(maps.Keys(m)) {
		out = append(out, *m[k])
	}
	return out
}
