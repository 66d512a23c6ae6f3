package sovereign

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

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
	Leaves     []Leave // of running sessions, for what was struck
	Severed    []Sever // cuts that people made
	Generation uint64
	// Contradicted is what evidence says against declared places.
	Contradicted []Contradiction
	Within       *Snapshot // its policy has a say, too: what it holds or denies is held or denied; nil: nothing does. It gets the grants and the overlay of the whole
}

// Snapshot is one immutable, whole state of the policy: facts, rules, declarations, overlay and grants. All judgement is a method of it.
type Snapshot struct {
	cfg          SnapshotConfig
	parties      map[string]*Party
	policyDigest string
	factsDigest  string
	ground       [sha256.Size]byte // of the form of what is neither grant nor suspension, where the snapshot travelled
	contradicted map[netip.Addr][]Contradiction

	trials *sync.Pool // of *trial: each call is judged a dozen times
	memory *memory    // of this snapshot alone
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
	cfg.Leaves, cfg.Severed = slices.Clone(cfg.Leaves), slices.Clone(cfg.Severed)
	s := &Snapshot{cfg: cfg, trials: &sync.Pool{}, memory: &memory{}, parties: make(map[string]*Party, len(cfg.Parties))}
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
	s.factsDigest = cfg.factsDigest()
	return s.Bearing(cfg.Contradicted).bounded(), nil
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
	next.memory = &memory{}
	next.cfg.Grants = slices.Clone(g)
	next.cfg.Generation++
	return next.bounded()
}

// WithSuspensions returns a copy with another overlay and the next generation; facts and policy are shared.
func (s *Snapshot) WithSuspensions(o []Suspension) *Snapshot {
	next := *s
	next.memory = &memory{}
	next.cfg.Suspended = slices.Clone(o)
	next.cfg.Generation++
	next.factsDigest = next.cfg.factsDigest()
	return next.bounded()
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
		Within       string        `json:"within,omitempty"` // the digest of the policy that has a say, too
	}{Policy: c.Policy, Parties: slices.Clone(c.Parties), Declarations: c.Atlas.Declarations(), Within: c.Within.digest()}
	doc.Policy.Allow = slices.Clone(doc.Policy.Allow)
	slices.SortFunc(doc.Policy.Allow, compareRegions)
	doc.Policy.Allow = slices.Compact(doc.Policy.Allow)
	slices.SortFunc(doc.Parties, func(a, b Party) int { return strings.Compare(a.Name, b.Name) })
	slices.SortStableFunc(doc.Declarations, func(a, b Declaration) int {
		return cmp.Or(strings.Compare(a.Prefix, b.Prefix), a.ValidFrom.Compare(b.ValidFrom))
	})
	for i := range doc.Parties {
		p := &doc.Parties[i]
		p.Attributes = slices.Clone(p.Attributes)
		for j := range p.Attributes {
			p.Attributes[j].At = p.Attributes[j].At.UTC()
		}
		slices.SortStableFunc(p.Attributes, func(a, b Attribute) int { return strings.Compare(a.Name, b.Name) })
	}
	for i := range doc.Declarations {
		d := &doc.Declarations[i]
		d.ValidFrom, d.ValidUntil = d.ValidFrom.UTC(), d.ValidUntil.UTC()
	}
	canonical, err := jcs.Marshal(doc)
	return digest(canonical), err
}

// factsDigest hashes what was taken for a fact, the operator's overlay too.
func (c *SnapshotConfig) factsDigest() string {
	overlay := slices.Clone(c.Suspended)
	slices.SortStableFunc(overlay, func(a, b Suspension) int {
		return cmp.Or(strings.Compare(a.Instrument, b.Instrument), a.Since.Compare(b.Since), bytes.Compare(a.Sig, b.Sig))
	})
	h := sha256.New()
	part := func(b []byte) { // each part with its length, so that no two lists of parts look alike
		h.Write(binary.BigEndian.AppendUint64(nil, uint64(len(b))))
		h.Write(b)
	}
	part([]byte(c.Law.digest))
	part([]byte(c.Catalogue.digest))
	for _, s := range overlay {
		part([]byte(s.Instrument))
		part([]byte(s.Since.UTC().Format(time.RFC3339Nano)))
		part([]byte(s.Reason))
		part([]byte(s.KeyID))
		part(s.Sig)
	}
	return hex.EncodeToString(h.Sum(nil))
}

func digest(canonical []byte) string {
	sum := sha256.Sum256(canonical)
	return hex.EncodeToString(sum[:])
}
