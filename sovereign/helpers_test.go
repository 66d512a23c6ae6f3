package sovereign

import (
	"net/netip"
	"testing"
	"time"
)

// now is a day on which every shipped fact was checked.
var now = time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)

func date(s string) time.Time {
	t, err := time.Parse(time.DateOnly, s)
	if err != nil {
		panic(err)
	}
	return t
}

func region(s string) Region {
	r, err := ParseRegion(s)
	if err != nil {
		panic(err)
	}
	return r
}

var (
	frankfurt = region("aws:eu-central-1")
	zurich    = region("aws:eu-central-2")
	dublin    = region("aws:eu-west-1")
	london    = region("aws:eu-west-2")
	oslo      = region("azure:norwayeast")
	virginia  = region("aws:us-east-1")
	serbia    = region("oci:eu-jovanovac-1")
)

func addr(s string) netip.AddrPort { return netip.MustParseAddrPort(s) }

// attested makes attributes that count on the day now.
func attested(values map[string]any) []Attribute {
	var out []Attribute
	for name, v := range values {
		out = append(out, Attribute{Name: name, Value: v, Evidence: "doc 1", At: now.Add(-time.Hour)})
	}
	return out
}

var dpf = map[string]any{
	"recipient.dpf_listed":              true,
	"recipient.dpf_covered_data":        []string{"non_hr"},
	"recipient.ftc_or_dot_jurisdiction": true,
}

// world is a policy with one party of each sort that matters.
func world(t testing.TB, change func(*SnapshotConfig)) *Snapshot {
	t.Helper()
	atlas, err := NewAtlas(nil, []Declaration{
		{Prefix: "192.0.2.0/25", Region: frankfurt, Contract: "annex 1"},
		{Prefix: "192.0.2.128/25", Region: zurich, Contract: "annex 1"},
		{Prefix: "198.51.100.0/24", Region: virginia, Contract: "annex 2"},
		{Prefix: "203.0.113.0/24", Region: frankfurt, ValidFrom: date("2026-01-01"), ValidUntil: date("2026-11-01")},
		{Prefix: "203.0.114.0/24", Region: Region{"aws", "eu-west-9"}},
		{Prefix: "52.129.96.0/20", Contract: "genesys annex"},
		{Prefix: "100.64.0.0/24", Countries: []Country{"DE", "RU"}},
		{Prefix: "100.64.1.0/24", Countries: []Country{"DE"}},
		{Prefix: "100.64.2.0/24", Countries: []Country{"DE", "FR"}},
		{Prefix: "2001:db8::/32", Region: dublin},
	})
	if err != nil {
		t.Fatal(err)
	}
	cfg := SnapshotConfig{
		Atlas:  atlas,
		Policy: Policy{Home: frankfurt, Allow: []Region{frankfurt, zurich, virginia, oslo, serbia}},
		Parties: []Party{
			{Name: "carrier", Kind: KindTrunk, Region: frankfurt, Contract: "C-1"},
			{Name: "fra", Kind: KindGroup, Region: frankfurt, Contract: "G-1", MediaEvidence: "pinned 2026-10"},
			{Name: "zrh", Kind: KindGroup, Region: zurich},
			{Name: "iad", Kind: KindGroup, Region: virginia},
			{Name: "us-homed", Kind: KindGroup, Region: frankfurt, OrgHomeRegion: virginia},
			{Name: "split", Kind: KindGroup, Region: frankfurt, MediaRegions: []Region{frankfurt, virginia}, MediaEvidence: "annex 3"},
			{Name: "claims", Kind: KindGroup, Region: frankfurt, MediaRegions: []Region{frankfurt}},
			{Name: "dpf", Kind: KindGroup, Region: virginia, Attributes: attested(dpf)},
			{Name: "nowhere", Kind: KindTrunk},
			{Name: "odd", Kind: KindGroup, Region: Region{"aws", "eu-west-9"}},
			{Name: "dub", Kind: KindGroup, Region: dublin},
			{Name: "jov", Kind: KindGroup, Region: serbia},
			{Name: "alps", Kind: KindGroup, Region: frankfurt, MediaRegions: []Region{zurich}, MediaEvidence: "annex 4"},
			{Name: "hook", Kind: KindInfrastructure, Region: frankfurt},
		},
		Generation: 7,
	}
	if change != nil {
		change(&cfg)
	}
	s, err := NewSnapshot(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return s
}
