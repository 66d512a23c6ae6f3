package sovereign

import (
	"cmp"
	_ "embed" // the fact tables ship inside the binary
	"encoding/json"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/cordonsip/cordon/internal/jcs"
)

//go:embed facts/regions.json
var regionsJSON []byte

// shippedRegions parses the embedded table once; it never changes afterwards. A table that does not parse cannot leave the tests.
var shippedRegions = sync.OnceValue(func() *Catalogue {
	c, err := ParseCatalogue(regionsJSON, Shipped())
	if err != nil {
		panic(err)
	}
	return c
})

// Catalogue maps provider:code to a country. Immutable.
type Catalogue struct {
	asOf   time.Time
	digest string
	rows   map[Region]RegionFact // every row, also those that Lookup refuses
	shared []SharedPrefix

	table struct { // that was parsed
		digest string
		packed func() []byte // its canonical text, for a snapshot that travels
	}
	own [][]RegionFact // what each With added to it
}

// ShippedRegions is the region table inside the binary.
func ShippedRegions() *Catalogue { return shippedRegions() }

// RegionFact is one row of the catalogue.
type RegionFact struct {
	Region     Region    `json:"region"`
	City       string    `json:"city"`
	Country    Country   `json:"country"`
	Status     string    `json:"status"`      // ga, announced, restricted, or declared for a region of the operator's own
	OperatorHQ Country   `json:"operator_hq"` // seat of the ultimate operator, which adequacy does not look at
	Source     string    `json:"source"`
	Confidence string    `json:"confidence,omitempty"`
	AsOf       time.Time `json:"as_of,omitzero"`
}

// SharedPrefix is an address block that a provider uses in many regions at once: an address in it proves no country.
type SharedPrefix struct {
	Prefix    netip.Prefix `json:"prefix"`
	Operator  string       `json:"operator"`
	Countries []Country    `json:"countries"` // sorted: every country it may be answered from
	Source    string       `json:"source"`
	AsOf      time.Time    `json:"as_of"`
}

// AsOf is the day up to which the table was checked.
func (c *Catalogue) AsOf() time.Time { return c.asOf }

// Lookup gives the fact of one region. ok is false for an unknown region and for one whose country is not public.
func (c *Catalogue) Lookup(r Region) (RegionFact, bool) {
	f, ok := c.rows[r]
	if !ok || f.Country == "" || f.Status == "restricted" {
		return RegionFact{}, false
	}
	return f, true
}

// Regions lists every row by provider and code, those without a public country too.
func (c *Catalogue) Regions() []RegionFact {
	out := make([]RegionFact, 0, len(c.rows))
	for _, f := range c.rows {
		out = append(out, f)
	}
	slices.SortFunc(out, func(a, b RegionFact) int { return compareRegions(a.Region, b.Region) })
	return out
}

func compareRegions(a, b Region) int {
	return cmp.Or(strings.Compare(a.Provider, b.Provider), strings.Compare(a.Code, b.Code))
}

// Nearest lists up to three known regions that s ("provider:code" or a bare code) may have meant, best first. It never offers the parent of a sub-zone:
// a zone may stand in another country than its region (a zone of Paris stands in Casablanca).
func (c *Catalogue) Nearest(s string) []Region {
	s = strings.ToLower(strings.TrimSpace(s))
	_, bare, qualified := strings.Cut(s, ":")
	if !qualified {
		bare = s
	}
	names := make(map[string]Region, len(c.rows))
	var same, all []string
	for r := range c.rows {
		if _, ok := c.Lookup(r); !ok {
			continue
		}
		name := strings.ToLower(r.String())
		names[name] = r
		all = append(all, name)
		if strings.EqualFold(r.Code, bare) {
			same = append(same, name)
		}
	}
	slices.Sort(same)
	if !qualified {
		for i, name := range all { // compare codes with codes
			_, code, _ := strings.Cut(name, ":")
			all[i] = code + "\x00" + name
		}
	}
	for _, near := range nearest(s, all) {
		_, name, ok := strings.Cut(near, "\x00")
		if !ok {
			name = near
		}
		same = append(same, name)
	}
	var out []Region
	for _, name := range same {
		if r := names[name]; !slices.Contains(out, r) && len(out) < 3 {
			out = append(out, r)
		}
	}
	return out
}

// Shared lists the blocks that prove no country.
func (c *Catalogue) Shared() []SharedPrefix { return slices.Clone(c.shared) }

// SharedBy gives the shared block that overlaps p.
func (c *Catalogue) SharedBy(p netip.Prefix) (SharedPrefix, bool) {
	for _, s := range c.shared {
		if s.Prefix.Overlaps(p) {
			return s, true
		}
	}
	return SharedPrefix{}, false
}

// With returns a copy that also knows regions of the operator's own, such as a carrier's data centre, with the contract as Source. Known rows cannot be
// changed that way, and each needs a country that the law knows.
func (c *Catalogue) With(l *Law, own ...RegionFact) (*Catalogue, error) {
	if l == nil {
		l = Shipped()
	}
	next := c.clone(len(own))
	if err := next.add(l, own); err != nil {
		return nil, err
	}
	return next, nil
}

// clone gives a copy with room for so many rows more.
func (c *Catalogue) clone(room int) *Catalogue {
	next := *c
	next.rows = make(map[Region]RegionFact, len(c.rows)+room)
	maps.Copy(next.rows, c.rows)
	next.own = slices.Clip(c.own)
	return &next
}

// add is With on a catalogue that nobody else has seen yet; after an error nobody may.
func (c *Catalogue) add(l *Law, own []RegionFact) error {
	var added []RegionFact
	for _, f := range own {
		if _, err := ParseRegion(f.Region.String()); err != nil {
			return err
		}
		if _, known := c.rows[f.Region]; known {
			return fmt.Errorf("sovereign: region %s is in the catalogue already: a declaration cannot change it", f.Region)
		}
		country, ok := l.ParseCountry(string(f.Country))
		if !ok {
			return fmt.Errorf("sovereign: region %s: %q names no country: use an ISO 3166-1 alpha-2 code", f.Region, string(f.Country))
		}
		f.Country, f.Status = country, cmp.Or(f.Status, "declared")
		c.rows[f.Region] = f
		added = append(added, f)
	}
	slices.SortFunc(added, func(a, b RegionFact) int { return compareRegions(a.Region, b.Region) })
	canonical, err := jcs.Marshal(struct {
		Base string       `json:"base"`
		Own  []RegionFact `json:"own"`
	}{c.digest, added})
	if err != nil {
		return fmt.Errorf("sovereign: regions: %w", err)
	}
	c.digest, c.own = digest(canonical), append(c.own, added)
	return nil
}

// regionsFile mirrors the JSON of the table as far as it is needed.
type regionsFile struct {
	Schema    string `json:"schema"`
	AsOf      day    `json:"as_of"`
	Providers map[string]struct {
		Name       string  `json:"name"`
		OperatorHQ Country `json:"operator_hq"`
	} `json:"providers"`
	Regions []struct {
		Provider   string  `json:"provider"`
		Code       string  `json:"code"`
		City       string  `json:"city"`
		Country    Country `json:"country"`
		Status     string  `json:"status"`
		Confidence string  `json:"confidence"`
		Source     string  `json:"source"`
		AsOf       day     `json:"as_of"`
	} `json:"regions"`
	Genesys struct {
		Core []struct {
			Country Country `json:"country"`
		} `json:"core_regions"`
		Satellite struct {
			List []struct {
				Country Country `json:"country"`
			} `json:"list"`
		} `json:"satellite_regions"`
		Media struct {
			List   []netip.Prefix `json:"list"`
			Source string         `json:"source"`
		} `json:"media_cidrs"`
	} `json:"genesys"`
}

// ParseCatalogue reads a table in the JSON of the shipped one; every country must be one that l knows.
func ParseCatalogue(data []byte, l *Law) (*Catalogue, error) {
	var f regionsFile
	if err := json.Unmarshal(data, &f); err != nil {
		return nil, fmt.Errorf("sovereign: region table: %w", err)
	}
	if f.Schema != "sovereign.regions/v1" {
		return nil, fmt.Errorf("sovereign: region table: schema %q is not sovereign.regions/v1", f.Schema)
	}
	canonical, err := jcs.Canonical(data)
	if err != nil {
		return nil, fmt.Errorf("sovereign: region table: %w", err)
	}
	c := &Catalogue{asOf: f.AsOf.Time, digest: digest(canonical), rows: make(map[Region]RegionFact, len(f.Regions))}
	c.table.digest, c.table.packed = c.digest, pack(canonical)
	for _, e := range f.Regions {
		r := Region{e.Provider, e.Code}
		if _, err := ParseRegion(r.String()); err != nil {
			return nil, err
		}
		p, ok := f.Providers[e.Provider]
		if !ok {
			return nil, fmt.Errorf("sovereign: region table: %s: provider is unknown", r)
		}
		if _, twice := c.rows[r]; twice {
			return nil, fmt.Errorf("sovereign: region table: %s stands twice", r)
		}
		if got, ok := l.ParseCountry(string(e.Country)); e.Country != "" && (!ok || got != e.Country) {
			return nil, fmt.Errorf("sovereign: region table: %s: country %q is unknown", r, string(e.Country))
		}
		if e.Source == "" || e.AsOf.IsZero() {
			return nil, fmt.Errorf("sovereign: region table: %s: needs source and as_of", r)
		}
		c.rows[r] = RegionFact{
			Region: r, City: e.City, Country: e.Country, Status: e.Status, OperatorHQ: p.OperatorHQ,
			Source: e.Source, Confidence: e.Confidence, AsOf: e.AsOf.Time,
		}
	}
	c.shared = f.shared()
	return c, nil
}

// shared gives the blocks of the Genesys media plane: any of them may be answered from any core or satellite region.
func (f *regionsFile) shared() []SharedPrefix {
	var countries []Country
	for _, r := range f.Genesys.Core {
		countries = append(countries, r.Country)
	}
	for _, r := range f.Genesys.Satellite.List {
		countries = append(countries, r.Country)
	}
	slices.Sort(countries)
	countries = slices.Compact(countries)
	var out []SharedPrefix
	for _, p := range f.Genesys.Media.List {
		out = append(out, SharedPrefix{
			Prefix: p.Masked(), Operator: f.Providers["genesys"].Name, Countries: countries, Source: f.Genesys.Media.Source, AsOf: f.AsOf.Time,
		})
	}
	return out
}

// nearest lists up to three of names that differ from s by few edits (for a short s fewer), best first; what follows a NUL in a name is not compared.
func nearest(s string, names []string) []string {
	type hit struct {
		name string
		d    int
	}
	var hits []hit
	limit := min(2+len(s)/8, len(s)/2)
	for _, n := range names {
		text, _, _ := strings.Cut(n, "\x00")
		if d := distance(strings.ToLower(s), strings.ToLower(text)); d <= limit && s != "" {
			hits = append(hits, hit{n, d})
		}
	}
	slices.SortFunc(hits, func(a, b hit) int { return cmp.Or(a.d-b.d, strings.Compare(a.name, b.name)) })
	var out []string
	for _, h := range hits[:min(3, len(hits))] {
		out = append(out, h.name)
	}
	return out
}

// distance is the edit distance of Levenshtein, over bytes.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := diagonal
			if a[i] != b[j] {
				cost++
			}
			diagonal = row[j+1]
			row[j+1] = min(row[j]+1, row[j+1]+1, cost)
		}
	}
	return row[len(b)]
}
