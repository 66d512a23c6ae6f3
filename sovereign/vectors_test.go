package sovereign

import (
	"os"
	"strings"
	"testing"
	"time"

	"go.yaml.in/yaml/v3"
)

type vectors struct {
	Presets      map[Preset][]string `yaml:"presets"`
	Jurisdiction []struct {
		ID        string         `yaml:"id"`
		Country   string         `yaml:"country"`
		At        time.Time      `yaml:"at"`
		KnownAt   time.Time      `yaml:"known_at"`
		Preset    string         `yaml:"preset"`
		Attrs     map[string]any `yaml:"attrs"`
		Suspended []string       `yaml:"override_suspended"`
		Expect    string         `yaml:"expect"`
		Why       string         `yaml:"why"`
	} `yaml:"jurisdiction"`
	Regions []struct {
		ID      string   `yaml:"id"`
		Key     string   `yaml:"key"`
		Country *Country `yaml:"country"`
		Expect  string   `yaml:"expect"`
	} `yaml:"regions"`
}

func readVectors(t testing.TB) vectors {
	t.Helper()
	raw, err := os.ReadFile("testdata/vectors.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var v vectors
	if err := yaml.Unmarshal(raw, &v); err != nil {
		t.Fatal(err)
	}
	return v
}

var expected = map[string]Verdict{"allow": Permit, "gate": Hold, "deny": Deny}

func TestJurisdictionVectors(t *testing.T) {
	v := readVectors(t)
	if len(v.Jurisdiction) != 37 {
		t.Fatalf("%d jurisdiction vectors, want 37", len(v.Jurisdiction))
	}
	for _, c := range v.Jurisdiction {
		t.Run(c.ID, func(t *testing.T) {
			want, ok := expected[c.Expect]
			if !ok {
				t.Fatalf("expectation %q", c.Expect)
			}
			preset, err := ParsePreset(c.Preset)
			if err != nil {
				t.Fatal(err)
			}
			q := Question{At: c.At, KnownAt: c.KnownAt}
			for name, value := range c.Attrs {
				q.Attributes = append(q.Attributes, Attribute{Name: name, Value: value, Evidence: "vector " + c.ID, At: c.At})
			}
			for _, id := range c.Suspended {
				q.Suspended = append(q.Suspended, Suspension{Instrument: id, Since: c.At})
			}
			country, _ := Shipped().ParseCountry(c.Country)
			f := Shipped().Standing(country, q)
			if got, ground := preset.Rule(f); got != want {
				t.Errorf("%s under %s: %v (%s: %s), want %v: %s", c.Country, c.Preset, got, ground, f.Why, want, c.Why)
			}
			if got, _ := preset.Rule(Shipped().Standing(Country(c.Country), q)); got != want {
				t.Errorf("unparsed code %q gives %v", c.Country, got)
			}
		})
	}
}

func TestRegionVectors(t *testing.T) {
	v := readVectors(t)
	if len(v.Regions) != 12 {
		t.Fatalf("%d region vectors, want 12", len(v.Regions))
	}
	for _, c := range v.Regions {
		t.Run(c.ID, func(t *testing.T) {
			r, err := ParseRegion(c.Key)
			if err != nil {
				t.Fatal(err)
			}
			f, ok := ShippedRegions().Lookup(r)
			if c.Country == nil {
				if ok || f.Country != "" {
					t.Errorf("%s is in %q, want unknown", r, f.Country)
				}
				s, err := NewSnapshot(SnapshotConfig{Policy: Policy{Home: r}})
				if err != nil {
					t.Fatal(err)
				}
				if got := s.JudgeRegion(r, ShippedRegions().AsOf()); got.Verdict != expected[c.Expect] || got.Ground != GroundUnknownRegion {
					t.Errorf("%s: %v (%s), want deny", r, got.Verdict, got.Ground)
				}
				return
			}
			if !ok || f.Country != *c.Country {
				t.Errorf("%s is in %q, want %q", r, f.Country, *c.Country)
			}
		})
	}
}

// The vectors' own table of presets says which standings pass; Rule must be that table.
func TestPresetTable(t *testing.T) {
	findings := map[string]Finding{
		"in_eea_eu":                {Standing: StandingInEEA, Member: true},
		"in_eea_efta":              {Standing: StandingInEEA},
		"adequate":                 {Standing: StandingAdequate},
		"adequate_conditional_met": {Standing: StandingAdequateConditional},
		"no_adequacy":              {Standing: StandingNoAdequacy},
		"gate":                     {Standing: StandingGate},
	}
	table := readVectors(t).Presets
	if len(table) != len(Presets()) {
		t.Fatalf("%d presets in the table, %d in the code", len(table), len(Presets()))
	}
	for preset, pass := range table {
		for name, f := range findings {
			want := Hold
			if strings.Contains(" "+strings.Join(pass, " ")+" ", " "+name+" ") {
				want = Permit
			}
			if got, _ := preset.Rule(f); got != want {
				t.Errorf("%s: %s is %v, want %v", preset, name, got, want)
			}
		}
		for _, s := range []Standing{StandingDeny, StandingUnknown, "", "other"} {
			if got, _ := preset.Rule(Finding{Standing: s}); got != Deny {
				t.Errorf("%s: %q is %v, want deny", preset, s, got)
			}
		}
	}
}
