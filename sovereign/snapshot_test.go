package sovereign

import (
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestNewSnapshotRefuses(t *testing.T) {
	for want, change := range map[string]func(*SnapshotConfig){
		`"eea" is no preset`:      func(c *SnapshotConfig) { c.Policy.Preset = "eea" },
		"party 15 has no name":    func(c *SnapshotConfig) { c.Parties = append(c.Parties, Party{Region: zurich}) },
		`"fra" is declared twice`: func(c *SnapshotConfig) { c.Parties = append(c.Parties, Party{Name: "fra", Kind: KindTrunk}) },
		"value must be true": func(c *SnapshotConfig) {
			c.Parties[0].Attributes = []Attribute{{Name: "recipient.dpf_listed", Value: 1, Evidence: "x"}}
		},
		"a list may hold texts only": func(c *SnapshotConfig) {
			c.Parties[0].Attributes = []Attribute{{Name: "recipient.dpf_covered_data", Value: []any{"hr", 1}, Evidence: "x"}}
		},
		"policy digest": func(c *SnapshotConfig) {
			c.Parties[0].Attributes = []Attribute{{Name: "a", Value: true, At: time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC)}}
		},
	} {
		base := world(t, nil)
		cfg := base.cfg
		cfg.Parties = base.Parties()
		change(&cfg)
		if _, err := NewSnapshot(cfg); err == nil || !strings.Contains(err.Error(), want) || !strings.HasPrefix(err.Error(), "sovereign: ") {
			t.Errorf("%v; want %q", err, want)
		}
	}
}

func TestSnapshotGivesBack(t *testing.T) {
	s := world(t, func(c *SnapshotConfig) { c.Suspended = []Suspension{{Instrument: "2000/518/EC", Since: now}} })
	if p, ok := s.Party("us-homed"); !ok || p.OrgHomeRegion != virginia {
		t.Errorf("%+v, %t", p, ok)
	}
	if _, ok := s.Party("who"); ok {
		t.Error("an unknown party was found")
	}
	if s.Policy().Preset != EEAPlusAdequacy || s.Generation() != 7 || s.Atlas() == nil || s.Law() != Shipped() || s.Catalogue() != ShippedRegions() {
		t.Errorf("%+v", s.Policy())
	}
	if len(s.Parties()) != 14 || len(s.Suspended()) != 1 || len(s.Grants()) != 0 {
		t.Errorf("%d parties", len(s.Parties()))
	}
	next := s.WithGrants([]Grant{{ID: "g"}}).WithSuspensions(nil)
	if next.Generation() != 9 || len(next.Grants()) != 1 || len(next.Suspended()) != 0 || s.Generation() != 7 || len(s.Grants()) != 0 || len(s.Suspended()) != 1 {
		t.Error("copies share what they must not")
	}
}

// What was given may be reused by the giver; what is given back may be kept.
func TestSnapshotIsImmutable(t *testing.T) {
	allow := []Region{frankfurt}
	parties := []Party{{Name: "a", Region: frankfurt}}
	grants := []Grant{{ID: "g", Groups: []string{"a"}, Regions: []Region{frankfurt}, Until: now.Add(time.Hour)}}
	s, err := NewSnapshot(SnapshotConfig{Policy: Policy{Allow: allow}, Parties: parties, Grants: grants})
	if err != nil {
		t.Fatal(err)
	}
	allow[0], parties[0].Region, grants[0].Until = virginia, virginia, time.Time{}
	s.Parties()[0].Region = virginia
	s.Grants()[0].Until = time.Time{}
	if r := s.JudgeParty("a", Media, Production, now); r.Verdict != Permit || r.Region != frankfurt || r.Grant != "" {
		t.Errorf("%+v", r)
	}
	if !s.Grants()[0].Until.Equal(now.Add(time.Hour)) {
		t.Error("a grant was changed from outside")
	}
}

func TestDigests(t *testing.T) {
	base := world(t, nil)
	hex := regexp.MustCompile("^[0-9a-f]{64}$")
	if !hex.MatchString(base.PolicyDigest()) || !hex.MatchString(base.FactsDigest()) || base.PolicyDigest() == base.FactsDigest() {
		t.Fatalf("%s %s", base.PolicyDigest(), base.FactsDigest())
	}
	overlay := []Suspension{
		{Instrument: "2000/518/EC", Since: now, Reason: "a", KeyID: "k"},
		{Instrument: "2002/2/EC", Since: now, Reason: "b", KeyID: "k"},
	}
	for name, c := range map[string]struct {
		s             *Snapshot
		policy, facts bool // must differ from base
	}{
		"same again":     {world(t, nil), false, false},
		"generation":     {world(t, func(c *SnapshotConfig) { c.Generation = 99 }), false, false},
		"grants":         {base.WithGrants([]Grant{{ID: "g", Until: now}}), false, false},
		"order":          {world(t, func(c *SnapshotConfig) { slices.Reverse(c.Parties); slices.Reverse(c.Policy.Allow) }), false, false},
		"default preset": {world(t, func(c *SnapshotConfig) { c.Policy.Preset = EEAPlusAdequacy }), false, false},
		"preset":         {world(t, func(c *SnapshotConfig) { c.Policy.Preset = EEAOnly }), true, false},
		"allow-list":     {world(t, func(c *SnapshotConfig) { c.Policy.Allow = c.Policy.Allow[1:] }), true, false},
		"home":           {world(t, func(c *SnapshotConfig) { c.Policy.Home = zurich }), true, false},
		"party":          {world(t, func(c *SnapshotConfig) { c.Parties[0].Contract = "C-2" }), true, false},
		"attestation": {world(t, func(c *SnapshotConfig) {
			c.Parties[0].Attributes = []Attribute{{Name: "a", Value: true, Evidence: "e"}}
		}), true, false},
		"prefixes":         {world(t, func(c *SnapshotConfig) { c.Atlas = nil }), true, false},
		"overlay":          {base.WithSuspensions(overlay), false, true},
		"overlay's reason": {base.WithSuspensions(overlay[:1]), false, true},
	} {
		if got := c.s.PolicyDigest() != base.PolicyDigest(); got != c.policy {
			t.Errorf("%s: policy digest differs: %t", name, got)
		}
		if got := c.s.FactsDigest() != base.FactsDigest(); got != c.facts {
			t.Errorf("%s: facts digest differs: %t", name, got)
		}
	}
	// The overlay's order and time zone mean nothing, and taking it away gives the old digest back.
	a := base.WithSuspensions(overlay)
	turned := slices.Clone(overlay)
	slices.Reverse(turned)
	for i := range turned {
		turned[i].Since = turned[i].Since.In(time.FixedZone("x", 3600))
	}
	if a.FactsDigest() != base.WithSuspensions(turned).FactsDigest() || a.WithSuspensions(nil).FactsDigest() != base.FactsDigest() {
		t.Error("the same overlay has two digests")
	}
	own, err := ShippedRegions().With(nil, RegionFact{Region: region("carrier:x"), Country: "DE"})
	if err != nil {
		t.Fatal(err)
	}
	if world(t, func(c *SnapshotConfig) { c.Catalogue = own }).FactsDigest() == base.FactsDigest() {
		t.Error("another catalogue has the same digest")
	}
}
