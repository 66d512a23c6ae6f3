package sovereign

import (
	_ "embed" // the fact tables ship inside the binary
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/cordonsip/cordon/internal/jcs"
)

//go:generate go run github.com/cordonsip/cordon/internal/gen/facts -dir facts

//go:embed facts/jurisdictions.json
var lawJSON []byte

// shippedLaw parses the embedded table once; it never changes afterwards. A table that does not parse cannot leave the tests.
var shippedLaw = sync.OnceValue(func() *Law {
	l, err := ParseLaw(lawJSON)
	if err != nil {
		panic(err)
	}
	return l
})

// Law is the dated table of instruments and jurisdictions. Immutable.
type Law struct {
	asOf          time.Time
	digest        string
	packed        func() []byte // the canonical text, for a snapshot that travels
	instruments   []instrument  // in the order of the table
	jurisdictions map[Country]jurisdiction
	aliases       map[string]Country
}

// Shipped is the law table inside the binary.
func Shipped() *Law { return shippedLaw() }

// ShippedLawJSON is the text that Shipped was parsed from, for those who derive a table of their own with ParseLaw.
func ShippedLawJSON() []byte { return slices.Clone(lawJSON) }

// InstrumentFact is one legal instrument as the table holds it.
type InstrumentFact struct {
	ID              string    `json:"id"` // "(EU) 2023/1795"
	CELEX           string    `json:"celex"`
	Jurisdiction    string    `json:"jurisdiction"` // a country, or "INT:EPO"
	Kind            string    `json:"kind"`
	Adopted         time.Time `json:"adopted"`
	ValidFrom       time.Time `json:"valid_from"`
	ValidUntil      time.Time `json:"valid_until,omitzero"` // first instant at which it no longer applies, 00:00 UTC; zero means open
	Status          string    `json:"status"`               // in_force, invalidated or expired
	EndedBy         string    `json:"ended_by,omitempty"`   // the judgment or event that ended it
	Conditional     bool      `json:"conditional"`
	AppliesOnlyTo   string    `json:"applies_only_to,omitempty"` // the condition in words
	Conditions      []string  `json:"conditions,omitempty"`      // "recipient.dpf_listed = true", to be attested with evidence
	Exclusions      []string  `json:"exclusions,omitempty"`
	OfficialJournal string    `json:"official_journal"`
	Source          []string  `json:"source"`
	Confidence      string    `json:"confidence"`
	AsOf            time.Time `json:"as_of"`
}

// Instruments lists every instrument of the table, those that ended too.
func (l *Law) Instruments() []InstrumentFact {
	out := make([]InstrumentFact, 0, len(l.instruments))
	for _, in := range l.instruments {
		f := in.fact
		f.Conditions, f.Exclusions, f.Source = slices.Clone(f.Conditions), slices.Clone(f.Exclusions), slices.Clone(f.Source)
		out = append(out, f)
	}
	return out
}

// AsOf is the day up to which the table was checked.
func (l *Law) AsOf() time.Time { return l.asOf }

// Country is the name of a country, "" for what names none.
func (l *Law) Country(c Country) string { return l.jurisdictions[c].name }

// ParseCountry resolves aliases (UK, EL) and refuses what names no country (EU, ZZ, "").
func (l *Law) ParseCountry(s string) (Country, bool) {
	s = strings.ToUpper(strings.TrimSpace(s))
	if c, ok := l.aliases[s]; ok {
		return c, c != ""
	}
	_, ok := l.jurisdictions[Country(s)]
	if !ok {
		return "", false
	}
	return Country(s), true
}

// NearInstruments lists the known ids that look like id, nearest first, for the hint of an error.
func (l *Law) NearInstruments(id string) []string {
	ids := make([]string, 0, len(l.instruments))
	for _, in := range l.instruments {
		ids = append(ids, in.fact.ID)
	}
	return nearest(id, ids)
}

// instrument adds to the fact what judging needs.
type instrument struct {
	fact       InstrumentFact
	ended      time.Time // day of the judgment that struck it with effect ex tunc; zero if none did
	until      []span    // what its end was believed to be, by day of adoption; empty means open
	conditions []condition
}

// span says that from the day known on, the end was believed to be until (exclusive; zero is open).
type span struct{ known, until time.Time }

// condition of an instrument, e.g. recipient.dpf_listed = true with evidence that is at most 7 days old.
type condition struct {
	attr   string
	op     string // eq or contains
	want   any    // bool or string
	maxAge time.Duration
}

func (c condition) String() string {
	if c.op == "contains" {
		return fmt.Sprintf("%s contains %v", c.attr, c.want)
	}
	return fmt.Sprintf("%s = %v", c.attr, c.want)
}

// jurisdiction is one country of the table. Times are 00:00 UTC; until is exclusive and zero means open.
type jurisdiction struct {
	name                    string
	verdict                 Standing
	parent                  Country // of a territory that shares its parent's membership
	territory               bool    // the Treaties apply because they apply to parent
	territoryFrom           time.Time
	memberFrom, memberUntil time.Time
	lawUntil                time.Time // Union law applied until then although membership had ended
	eeaFrom                 time.Time
	instruments             []int // indexes into Law.instruments
}

// lawFile mirrors the JSON of the table as far as it is needed.
type lawFile struct {
	Schema        string             `json:"schema"`
	AsOf          day                `json:"as_of"`
	Aliases       map[string]string  `json:"aliases"`
	Instruments   []instrumentFile   `json:"instruments"`
	Jurisdictions []jurisdictionFile `json:"jurisdictions"`
}

type instrumentFile struct {
	ID                  string   `json:"id"`
	CELEX               string   `json:"celex"`
	Jurisdiction        string   `json:"jurisdiction"`
	Kind                string   `json:"kind"`
	Adopted             day      `json:"adopted"`
	OfficialJournal     string   `json:"official_journal"`
	ValidFrom           day      `json:"valid_from"`
	ValidUntil          day      `json:"valid_until"`
	ValidUntilAsAdopted day      `json:"valid_until_as_adopted"`
	Status              string   `json:"status"`
	AppliesOnlyTo       string   `json:"applies_only_to"`
	Exclusions          []string `json:"exclusions"`
	Source              []string `json:"source"`
	Confidence          string   `json:"confidence"`
	AsOf                day      `json:"as_of"`
	Conditions          []struct {
		Attr       string `json:"attr"`
		Op         string `json:"op"`
		Value      any    `json:"value"`
		MaxAgeDays int    `json:"max_age_days"`
	} `json:"conditions"`
	Amendments []struct {
		Adopted      day `json:"adopted"`
		ExtendsUntil day `json:"extends_until"`
	} `json:"amendments"`
	EndedBy *struct {
		Event string `json:"event"`
		Date  day    `json:"date"`
	} `json:"ended_by"`
}

type jurisdictionFile struct {
	Code              string   `json:"code"`
	Name              string   `json:"name"`
	Class             string   `json:"class"`
	Verdict           Standing `json:"verdict"`
	Parent            Country  `json:"parent"`
	Instruments       []string `json:"instruments"`
	EUMemberFrom      day      `json:"eu_member_from"`
	EUMemberUntil     day      `json:"eu_member_until"`
	EULawAppliedUntil day      `json:"eu_law_applied_until"`
	EUTerritoryFrom   day      `json:"eu_territory_from"`
	EEAFrom           day      `json:"eea_from"`
}

// day is a calendar day, UTC, written 2026-11-21; the zero day is none.
type day struct{ time.Time }

// UnmarshalJSON replaces that of the embedded Time, which wants a clock too.
func (d *day) UnmarshalJSON(b []byte) error {
	if string(b) == "null" {
		*d = day{}
		return nil
	}
	t, err := time.Parse(`"`+time.DateOnly+`"`, string(b))
	if err != nil {
		return fmt.Errorf("day %s: write it as \"2026-11-21\"", b)
	}
	d.Time = t
	return nil
}

// after is the first instant after the day, because the last day of validity counts whole.
func (d day) after() time.Time {
	if d.IsZero() {
		return time.Time{}
	}
	return d.AddDate(0, 0, 1)
}

// ParseLaw reads a table in the JSON of the shipped one and checks that it is whole: references resolve, dates are in order, words are known.
func ParseLaw(data []byte) (*Law, error) {
	var f lawFile
	if err := json.Unmarshal(data, &f); err != nil {
		return nil, fmt.Errorf("sovereign: law table: %w", err)
	}
	if f.Schema != "sovereign.jurisdictions/v1" {
		return nil, fmt.Errorf("sovereign: law table: schema %q is not sovereign.jurisdictions/v1", f.Schema)
	}
	canonical, err := jcs.Canonical(data)
	if err != nil {
		return nil, fmt.Errorf("sovereign: law table: %w", err)
	}
	l := &Law{asOf: f.AsOf.Time, digest: digest(canonical), packed: pack(canonical), jurisdictions: map[Country]jurisdiction{}, aliases: map[string]Country{}}
	index := map[string]int{}
	for _, e := range f.Instruments {
		in, err := e.instrument()
		if err != nil {
			return nil, fmt.Errorf("sovereign: law table: instrument %q: %w", e.ID, err)
		}
		if _, twice := index[e.ID]; twice {
			return nil, fmt.Errorf("sovereign: law table: instrument %q stands twice", e.ID)
		}
		index[e.ID] = len(l.instruments)
		l.instruments = append(l.instruments, in)
	}
	for _, e := range f.Jurisdictions {
		if err := l.add(e, index); err != nil {
			return nil, fmt.Errorf("sovereign: law table: jurisdiction %q: %w", e.Code, err)
		}
	}
	for c, j := range l.jurisdictions {
		parent, ok := l.jurisdictions[j.parent]
		switch {
		case j.parent != "" && !ok:
			return nil, fmt.Errorf("sovereign: law table: jurisdiction %q: parent %q is unknown", c, j.parent)
		case j.territory && parent.territory: // a ring of them would be asked for ever
			return nil, fmt.Errorf("sovereign: law table: jurisdiction %q: parent %q is a territory too", c, j.parent)
		}
	}
	for from, to := range f.Aliases {
		_, ok := l.jurisdictions[Country(to)]
		switch {
		case ok:
			l.aliases[from] = Country(to)
		case to == "AMBIGUOUS" || to == "DEPRECATED":
			l.aliases[from] = "" // names no country
		default:
			return nil, fmt.Errorf("sovereign: law table: alias %q: %q is unknown", from, to)
		}
	}
	return l, nil
}

func (l *Law) add(e jurisdictionFile, index map[string]int) error {
	j := jurisdiction{
		name: e.Name, verdict: e.Verdict, parent: e.Parent, territory: e.Class == "eu_territory", territoryFrom: e.EUTerritoryFrom.Time,
		memberFrom: e.EUMemberFrom.Time, memberUntil: e.EUMemberUntil.after(), lawUntil: e.EULawAppliedUntil.after(), eeaFrom: e.EEAFrom.Time,
	}
	organisation := e.Class == "international_organisation"
	if !organisation && (len(e.Code) != 2 || strings.ToUpper(e.Code) != e.Code) {
		return fmt.Errorf("code is not ISO 3166-1 alpha-2")
	}
	switch e.Verdict {
	case StandingInEEA, StandingAdequate, StandingAdequateConditional, StandingNoAdequacy, StandingGate, StandingDeny:
	default:
		return fmt.Errorf("verdict %q is unknown", e.Verdict)
	}
	if j.territory && j.parent == "" {
		return fmt.Errorf("a territory needs a parent")
	}
	for _, id := range e.Instruments {
		i, ok := index[id]
		if !ok {
			return fmt.Errorf("instrument %q is unknown", id)
		}
		if l.instruments[i].fact.Jurisdiction != e.Code {
			return fmt.Errorf("instrument %q belongs to %s", id, l.instruments[i].fact.Jurisdiction)
		}
		j.instruments = append(j.instruments, i)
	}
	if organisation {
		return nil // has instruments but is no place that an address or region could be in
	}
	if _, twice := l.jurisdictions[Country(e.Code)]; twice {
		return fmt.Errorf("stands twice")
	}
	l.jurisdictions[Country(e.Code)] = j
	return nil
}

func (e instrumentFile) instrument() (instrument, error) {
	in := instrument{fact: InstrumentFact{
		ID: e.ID, CELEX: e.CELEX, Jurisdiction: e.Jurisdiction, Kind: e.Kind, Adopted: e.Adopted.Time, ValidFrom: e.ValidFrom.Time,
		ValidUntil: e.ValidUntil.after(), Status: e.Status, Conditional: len(e.Conditions) > 0, AppliesOnlyTo: e.AppliesOnlyTo,
		Exclusions: e.Exclusions, OfficialJournal: e.OfficialJournal, Source: e.Source, Confidence: e.Confidence, AsOf: e.AsOf.Time,
	}}
	if e.ID == "" || e.Adopted.IsZero() || e.ValidFrom.IsZero() || len(e.Source) == 0 || e.AsOf.IsZero() {
		return in, fmt.Errorf("needs id, adopted, valid_from, source and as_of")
	}
	if !e.ValidUntil.IsZero() && e.ValidUntil.Before(e.ValidFrom.Time) {
		return in, fmt.Errorf("valid_until lies before valid_from")
	}
	if e.EndedBy != nil {
		in.fact.EndedBy = e.EndedBy.Event
	}
	switch e.Status {
	case "in_force", "expired":
		in.until = e.beliefs()
	case "invalidated":
		if e.EndedBy == nil || e.EndedBy.Date.IsZero() {
			return in, fmt.Errorf("status invalidated needs ended_by with a date")
		}
		// Before the judgment nobody knew of an end, so until stays open; after it the instrument never was (ex tunc).
		in.ended = e.EndedBy.Date.Time
	default:
		return in, fmt.Errorf("status %q is unknown", e.Status)
	}
	for _, c := range e.Conditions {
		switch c.Value.(type) {
		case bool, string:
		default:
			return in, fmt.Errorf("condition %s: value must be true, false or a text", c.Attr)
		}
		if c.Attr == "" || c.Op != "eq" && c.Op != "contains" || c.MaxAgeDays < 0 {
			return in, fmt.Errorf("condition %q: needs attr, op eq or contains, max_age_days not negative", c.Attr)
		}
		k := condition{attr: c.Attr, op: c.Op, want: c.Value, maxAge: time.Duration(c.MaxAgeDays) * 24 * time.Hour}
		in.conditions = append(in.conditions, k)
		in.fact.Conditions = append(in.fact.Conditions, k.String())
	}
	return in, nil
}

// beliefs gives the ends of validity in the order in which they became known: as adopted, then by each extension.
func (e instrumentFile) beliefs() []span {
	first := e.ValidUntilAsAdopted
	if first.IsZero() {
		first = e.ValidUntil
	}
	if first.IsZero() {
		return nil
	}
	spans := []span{{known: e.Adopted.Time, until: first.after()}}
	for _, a := range e.Amendments {
		if !a.ExtendsUntil.IsZero() {
			spans = append(spans, span{known: a.Adopted.Time, until: a.ExtendsUntil.after()})
		}
	}
	slices.SortStableFunc(spans, func(a, b span) int { return a.known.Compare(b.known) })
	return spans
}
