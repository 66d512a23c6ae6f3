package report

import (
	"os"
	"testing"
	"time"

	"go.yaml.in/yaml/v3"
)

// vectors is testdata/vectors.yaml.
type vectors struct {
	Clock []struct {
		ID               string
		Aware            time.Time
		Classified       time.Time `yaml:"classified_major"`
		InitialDue       time.Time `yaml:"initial_due"`
		InitialSent      time.Time `yaml:"initial_sent"`
		IntermediateDue  time.Time `yaml:"intermediate_due"`
		LastIntermediate time.Time `yaml:"last_intermediate_sent"`
		FinalDue         time.Time `yaml:"final_due"`
		Note             string
	} `yaml:"incident_clock"`
	Downtime []struct {
		ID       string
		From     time.Time `yaml:"service_unavailable_from"`
		Restored time.Time
		Over     *bool `yaml:"over_threshold"`
		Note     string
	}
}

func readVectors(t *testing.T) (v vectors) {
	t.Helper()
	raw, err := os.ReadFile("testdata/vectors.yaml")
	if err != nil {
		t.Fatal(err)
	}
	if err := yaml.Unmarshal(raw, &v); err != nil {
		t.Fatal(err)
	}
	if len(v.Clock) != 6 || len(v.Downtime) != 3 {
		t.Fatalf("%d clock and %d downtime vectors", len(v.Clock), len(v.Downtime))
	}
	return v
}

func TestClockVectors(t *testing.T) {
	checked := 0
	check := func(id string, got, want time.Time) {
		checked++
		if !got.Equal(want) {
			t.Errorf("%s: %v, want %v", id, got, want)
		}
	}
	for _, c := range readVectors(t).Clock {
		switch {
		case !c.InitialDue.IsZero():
			check(c.ID, InitialDue(c.Aware, c.Classified), c.InitialDue)
		case !c.IntermediateDue.IsZero():
			check(c.ID, IntermediateDue(c.InitialSent), c.IntermediateDue)
		case !c.FinalDue.IsZero():
			check(c.ID, FinalDue(c.LastIntermediate), c.FinalDue)
		case c.Note == "":
			t.Errorf("%s: nothing to check and no note", c.ID)
		}
	}
	if checked != 5 {
		t.Errorf("%d vectors checked", checked)
	}
}

func at(s string) time.Time {
	t, err := time.Parse(time.RFC3339, s)
	if err != nil {
		panic(err)
	}
	return t
}

func TestClockEdges(t *testing.T) {
	for _, c := range []struct{ name, aware, classified, want string }{
		{"classified at once", "2026-11-20T08:00:00Z", "2026-11-20T08:00:00Z", "2026-11-20T12:00:00Z"},
		{"classified at 20 h: both limits meet", "2026-11-20T08:00:00Z", "2026-11-21T04:00:00Z", "2026-11-21T08:00:00Z"},
		{"classified at 24 h sharp is not later", "2026-11-20T08:00:00Z", "2026-11-21T08:00:00Z", "2026-11-21T08:00:00Z"},
		{"a second after that", "2026-11-20T08:00:00Z", "2026-11-21T08:00:01Z", "2026-11-21T12:00:01Z"},
	} {
		if got := InitialDue(at(c.aware), at(c.classified)); !got.Equal(at(c.want)) {
			t.Errorf("%s: %v", c.name, got)
		}
	}
	for from, want := range map[string]string{
		"2026-11-20T10:00:00Z": "2026-12-20T10:00:00Z",
		"2026-12-31T23:59:59Z": "2027-01-31T23:59:59Z",
		"2028-01-30T10:00:00Z": "2028-02-29T10:00:00Z", // a leap year
		"2027-01-28T10:00:00Z": "2027-02-28T10:00:00Z",
		"2027-03-31T10:00:00Z": "2027-04-30T10:00:00Z",
		"2027-02-28T10:00:00Z": "2027-03-28T10:00:00Z",
	} {
		if got := FinalDue(at(from)); !got.Equal(at(want)) {
			t.Errorf("final after %s: %v", from, got)
		}
	}
}

// TestWeekendRule is vector C06.
func TestWeekendRule(t *testing.T) {
	berlin := time.FixedZone("CET", 3600)
	c := Calendar{Zone: berlin, Holidays: []time.Time{at("2026-12-25T00:00:00Z"), at("2026-12-28T23:00:00Z")}}
	other := Entity{}
	for _, v := range []struct {
		name  string
		limit string
		want  string
		moved bool
	}{
		{"Friday stays", "2026-11-20T13:00:00Z", "2026-11-20T13:00:00Z", false},
		{"Saturday to Monday noon", "2026-11-21T08:00:00Z", "2026-11-23T11:00:00Z", true},
		{"Sunday to Monday noon", "2026-11-22T14:00:00Z", "2026-11-23T11:00:00Z", true},
		{"Friday in UTC is Saturday at home", "2026-11-20T23:30:00Z", "2026-11-23T11:00:00Z", true},
		{"Sunday in UTC is Monday at home", "2026-11-22T23:30:00Z", "2026-11-22T23:30:00Z", false},
		{"holiday, weekend, holiday", "2026-12-25T09:00:00Z", "2026-12-29T11:00:00Z", true},
		{"Monday stays even before noon", "2026-11-23T08:00:00Z", "2026-11-23T08:00:00Z", false},
	} {
		for _, s := range []Submission{Initial, Intermediate, Final} {
			got, moved := other.Due(s, at(v.limit), c)
			if !got.Equal(at(v.want)) || moved != v.moved {
				t.Errorf("%s, %s: %v, %v", v.name, s, got, moved)
			}
		}
	}
	saturday, monday := at("2026-11-21T08:00:00Z"), at("2026-11-23T12:00:00Z")
	for name, e := range map[string]Entity{
		"credit institution": {CreditInstitution: true},
		"CCP":                {CCP: true},
		"trading venue":      {TradingVenue: true},
		"NIS2 entity":        {NIS2: true},
		"designated":         {Designated: true},
	} {
		for _, s := range []Submission{Initial, Intermediate} {
			if got, moved := e.Due(s, saturday, Calendar{}); moved || !got.Equal(saturday) || e.Relief(s) {
				t.Errorf("%s, %s: %v, %v", name, s, got, moved)
			}
		}
		if got, moved := e.Due(Final, saturday, Calendar{}); !moved || !got.Equal(monday) {
			t.Errorf("%s, final: %v, %v", name, got, moved)
		}
	}
	if other.Relief(0) || Submission(0).String() != "unknown" {
		t.Error("a submission that is none moves")
	}
}
