package sovereign

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"

	"github.com/cordonsip/cordon/internal/jcs"
)

// SnapshotConfig is everything that one Snapshot rests on.
type SnapshotConfig struct {
	Law        *Law       // nil means Shipped()
	Catalogue  *Catalogue // nil means the shipped one
	Policy     Policy
	Atlas      *Atlas
	Parties    []Party
	Suspended  []Suspension // verified overlay
	Grants     []Grant
	Generation uint64
}

// Snapshot is one immutable, whole state of the policy: facts, rules, declarations, overlay and grants. All judgement is a method of it.
type Snapshot struct {
	cfg          SnapshotConfig
	parties      map[string]*Party
	policyDigest string
	factsDigest  string
}

// NewSnapshot checks cfg and builds the indexes. Errors name the entry and what to do.
func NewSnapshot(cfg SnapshotConfig) (*Snapshot, error) {
	if cfg.Law == nil {
		cfg.Law = Shipped()
	}
	if cfg.Catalogue == nil {
		cfg.Catalogue = ShippedRegions()
	}
	preset, err := ParsePreset(string(cfg.Policy.Preset))
	if err != nil {
		return nil, err
	}
	cfg.Policy.Preset = preset
	cfg.Policy.Allow = slices.Clone(cfg.Policy.Allow)
	cfg.Parties = slices.Clone(cfg.Parties)
	cfg.Suspended = slices.Clone(cfg.Suspended)
	cfg.Grants = slices.Clone(cfg.Grants)
	s := &Snapshot{cfg: cfg, parties: make(map[string]*Party, len(cfg.Parties))}
	for i := range cfg.Parties {
		p := &cfg.Parties[i]
		if p.Name == "" {
			return nil, fmt.Errorf("sovereign: party %d has no name: every trunk, edge group and infrastructure entry needs one", i+1)
		}
		if s.parties[p.Name] != nil {
			return nil, fmt.Errorf("sovereign: party %q is declared twice: names are shared by trunks, edge groups and infrastructure", p.Name)
		}
		for _, a := range p.Attributes {
			if err := a.check(); err != nil {
				return nil, fmt.Errorf("sovereign: party %q: %w", p.Name, err)
			}
		}
		s.parties[p.Name] = p
	}
	if s.policyDigest, err = cfg.policyDigest(); err != nil {
		return nil, fmt.Errorf("sovereign: policy digest: %w", err)
	}
	if s.factsDigest, err = cfg.factsDigest(); err != nil {
		return nil, fmt.Errorf("sovereign: facts digest: %w", err)
	}
	return s, nil
}

// check refuses values that no condition could ever be compared with.
func (a Attribute) check() error {
	switch v := a.Value.(type) {
	case bool, string, []string:
		return nil
	case []any:
		for _, e := range v {
			if _, ok := e.(string); !ok {
				return fmt.Errorf("attribute %s: a list may hold texts only", a.Name)
			}
		}
		return nil
	default:
		return fmt.Errorf("attribute %s: value must be true, false, a text or a list of texts", a.Name)
	}
}

// WithGrants returns a copy with other grants and the next generation; facts and policy are shared.
func (s *Snapshot) WithGrants(g []Grant) *Snapshot {
	next := *s
	next.cfg.Grants = slices.Clone(g)
	next.cfg.Generation++
	return &next
}

// WithSuspensions returns a copy with another overlay and the next generation; facts and policy are shared.
func (s *Snapshot) WithSuspensions(o []Suspension) *Snapshot {
	next := *s
	next.cfg.Suspended = slices.Clone(o)
	next.cfg.Generation++
	// An overlay is texts, a time and bytes: it always has a canonical form unless a time lies beyond year 9999, which no verified line can hold.
	if d, err := next.cfg.factsDigest(); err == nil {
		next.factsDigest = d
	}
	return &next
}

// Generation counts the snapshots of this process; it stands in log entries, receipts and plans.
func (s *Snapshot) Generation() uint64 { return s.cfg.Generation }

// PolicyDigest is the SHA-256 (lower-case hex) of the canonical form of the effective policy: rules, allow-list, prefixes, parties.
func (s *Snapshot) PolicyDigest() string { return s.policyDigest }

// FactsDigest is the SHA-256 (lower-case hex) of law, catalogue and overlay.
func (s *Snapshot) FactsDigest() string { return s.factsDigest }

// Atlas gives back the declared prefixes; it may be nil.
func (s *Snapshot) Atlas() *Atlas { return s.cfg.Atlas }

// Party gives back one declared party.
func (s *Snapshot) Party(name string) (Party, bool) {
	p, ok := s.parties[name]
	if !ok {
		return Party{}, false
	}
	return *p, true
}

// Parties gives back every declared party, in the order of declaration.
func (s *Snapshot) Parties() []Party { return slices.Clone(s.cfg.Parties) }

// Policy gives back the operator's rule.
func (s *Snapshot) Policy() Policy { return s.cfg.Policy }

// Grants gives back the grants, live or not.
func (s *Snapshot) Grants() []Grant { return slices.Clone(s.cfg.Grants) }

// Suspended gives back the overlay.
func (s *Snapshot) Suspended() []Suspension { return slices.Clone(s.cfg.Suspended) }

// Law gives back the law table.
func (s *Snapshot) Law() *Law { return s.cfg.Law }

// Catalogue gives back the region table.
func (s *Snapshot) Catalogue() *Catalogue { return s.cfg.Catalogue }

// policyDigest hashes what the operator declared. Order in the file means nothing, so lists are sorted; grants are no policy.
func (c *SnapshotConfig) policyDigest() (string, error) {
	doc := struct {
		Policy       Policy        `json:"policy"`
		Parties      []Party       `json:"parties"`
		Declarations []Declaration `json:"prefixes"`
	}{Policy: c.Policy, Parties: slices.Clone(c.Parties), Declarations: c.Atlas.Declarations()}
	doc.Policy.Allow = slices.Clone(doc.Policy.Allow)
	slices.SortFunc(doc.Policy.Allow, compareRegions)
	doc.Policy.Allow = slices.Compact(doc.Policy.Allow)
	slices.SortFunc(doc.Parties, func(a, b Party) int { return strings.Compare(a.Name, b.Name) })
	slices.SortStableFunc(doc.Declarations, func(a, b Declaration) int {
		if d := strings.Compare(a.Prefix, b.Prefix); d != 0 {
			return d
		}
		return a.ValidFrom.Compare(b.ValidFrom)
	})
	for i := range doc.Declarations {
		d := &doc.Declarations[i]
		d.ValidFrom, d.ValidUntil = d.ValidFrom.UTC(), d.ValidUntil.UTC()
	}
	canonical, err := jcs.Marshal(doc)
	return digest(canonical), err
}

func (c *SnapshotConfig) factsDigest() (string, error) {
	overlay := slices.Clone(c.Suspended)
	slices.SortStableFunc(overlay, func(a, b Suspension) int {
		if d := strings.Compare(a.Instrument, b.Instrument); d != 0 {
			return d
		}
		return a.Since.Compare(b.Since)
	})
	for i := range overlay {
		overlay[i].Since = overlay[i].Since.UTC()
	}
	canonical, err := jcs.Marshal(struct {
		Law     string       `json:"law"`
		Regions string       `json:"regions"`
		Overlay []Suspension `json:"overlay"`
	}{c.Law.digest, c.Catalogue.digest, overlay})
	return digest(canonical), err
}

func digest(canonical []byte) string {
	sum := sha256.Sum256(canonical)
	return hex.EncodeToString(sum[:])
}
