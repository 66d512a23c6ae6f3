package form

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cordonsip/cordon/audit"
	"github.com/cordonsip/cordon/incident"
	"github.com/cordonsip/cordon/state"
)

var update = flag.Bool("update", false, "write the golden files anew")

// world is a bank with two groups and a trunk.
type world struct{}

func (world) Targets() []incident.Target {
	return []incident.Target{{ID: "fra/a", Party: "fra"}, {ID: "fra/b", Party: "fra"}, {ID: "zrh/a", Party: "zrh"}, {ID: "carrier/a", Party: "carrier"}}
}

func (world) Party(name string) (incident.Party, bool) {
	p, ok := map[string]incident.Party{
		"fra": {Region: "aws:eu-central-1", Country: "DE", Operator: "Example CCaaS GmbH"}, "zrh": {Region: "aws:eu-central-2", Country: "CH"},
		"carrier": {Trunk: true, Region: "carrier:fra", Country: "DE"},
	}[name]
	return p, ok
}

func (world) Live() []string { return nil }

func (world) Silenced(string, string) bool { return false }

func entity() Entity {
	return Entity{
		Name: "Example Bank AG", LEI: "529900EXAMPLEBANK046", Types: []string{"credit_institution"}, Currency: "EUR",
		Contacts: []Contact{{"Erika Mustermann", "erika@bank.example", "+49691234567"}},
	}
}

// outage is a Friday on which Frankfurt is down for 2 hours and 20 minutes, with calls of German and Austrian clients, and a week of calls before. It gives what
// a report is made of.
func outage(t *testing.T, stage string) Input {
	t.Helper()
	start := time.Date(2026, 11, 20, 8, 0, 0, 0, time.UTC)
	time.Sleep(time.Until(start.Add(-8 * 24 * time.Hour)))
	l, err := audit.Memory(audit.Config{Signer: ed25519.NewKeyFromSeed(make([]byte, 32)), Origin: "cordon/bank/edge-fra-1", Tenant: "bank", Node: "edge-fra-1"})
	if err != nil {
		t.Fatal(err)
	}
	put := func(at time.Duration, events ...audit.Event) {
		time.Sleep(time.Until(start.Add(at)))
		for _, ev := range events {
			if _, err := l.Commit(t.Context(), ev); err != nil {
				t.Fatal(err)
			}
		}
	}
	call := func(at time.Duration, final int, from string) {
		r := audit.Receipt{
			Direction: "inbound", Purpose: "production", TInvite: start.Add(at), TEnd: start.Add(at), PartyA: audit.PartyRef{Ref: "00ff", Country: from}, Overall: "compliant",
			Outcome: audit.Outcome{SIPFinal: final, EndedBy: "a"},
		}
		if final == 200 {
			r.TAnswer = r.TInvite
		}
		put(at, r)
	}
	put(-8*24*time.Hour, audit.NodeStarted{})
	for k := range 140 {
		call(time.Duration(k)*time.Minute-7*24*time.Hour, 200, "+49")
	}
	put(-time.Minute, audit.HealthChanged{Target: "fra/a", Party: "fra", To: "up"}, audit.HealthChanged{Target: "fra/b", Party: "fra", To: "up"})
	f, err := incident.New(incident.Config{Log: l, KV: state.Memory(), World: world{}, Node: "edge-fra-1", Rules: incident.Rulebook{
		Services: []incident.Service{{Name: "telephone banking", Critical: true, Area: "retail banking", Parties: []string{"fra", "zrh"}}},
	}})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := f.Run(ctx); err != nil {
			t.Error(err)
		}
	}()
	defer func() {
		cancel()
		<-done
		l.Close(context.Background())
	}()
	put(0, audit.HealthChanged{Target: "fra/a", Party: "fra", From: "up", To: "down"}, audit.HealthChanged{Target: "fra/b", Party: "fra", From: "up", To: "down"})
	put(5*time.Second, audit.Failover{What: audit.KindFailoverHeld, Route: "inbound", From: "fra", To: "zrh", Region: "aws:eu-central-2", Country: "CH", Ground: "not_allowed", Ticket: "t1"})
	for k := range 30 {
		call(time.Duration(k+1)*time.Minute, 503, []string{"+49", "+43"}[k%2])
	}
	call(40*time.Minute, 486, "+49")
	put(time.Hour, audit.Failover{What: audit.KindFailoverApplied, Route: "inbound", From: "fra", To: "zrh", Region: "aws:eu-central-2", Country: "CH", Ground: "adequate"})
	id := f.List()[0].ID
	if _, err := f.Classify(t.Context(), id, incident.Classification{Major: true, Reason: "three criteria"}, "p-a"); err != nil {
		t.Fatal(err)
	}
	for k := range 10 {
		call(130*time.Minute+time.Duration(k)*time.Minute, 200, "+49")
	}
	if stage != Initial {
		if _, err := f.Submitted(t.Context(), id, incident.Submission{Clock: incident.Initial, Reference: "BaFin-4711"}, "p-a"); err != nil {
			t.Fatal(err)
		}
	}
	put(140*time.Minute, audit.HealthChanged{Target: "fra/a", Party: "fra", From: "down", To: "up"})
	time.Sleep(10 * time.Minute)
	synctest.Wait()
	if stage == Final {
		if _, err := f.Close(t.Context(), id, "the region is back", "p-a"); err != nil {
			t.Fatal(err)
		}
	}
	i, _ := f.Incident(id)
	now := time.Now()
	m, err := f.Measure(t.Context(), &i, now)
	if err != nil {
		t.Fatal(err)
	}
	return Input{
		Stage: stage, Incident: i, Measures: m, Assessment: incident.Assess(&i, &m), Clocks: f.Clocks(&i, now), Entity: entity(), Made: now, Node: "edge-fra-1", Software: "cordon test",
	}
}

// rest hides what is not the same in two runs: records have random ids, and so the tree has another root and another signature.
func rest(doc []byte, in *Input) []byte {
	text := string(doc)
	text = regexp.MustCompile(`(— |\\u2014 )?cordon/bank/edge-fra-1 [A-Za-z0-9+/=&#;]{60,}`).ReplaceAllString(text, "SIGNATURE")
	text = regexp.MustCompile(`'sha256-[^']+'`).ReplaceAllString(text, "'sha256-STYLE'") // of a sheet with the root in it
	text = regexp.MustCompile(`@bottom-left \{ content: "[^"]*"`).ReplaceAllString(text, `@bottom-left { content: "FOOT"`)
	for _, root := range []string{in.Measures.Log.Root, strings.ReplaceAll(in.Measures.Log.Root, "+", "&#43;")} {
		text = strings.ReplaceAll(text, root, "ROOT")
	}
	return []byte(text)
}

func golden(t *testing.T, file string, got []byte) {
	t.Helper()
	path := "testdata/" + file
	if *update {
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != string(want) {
		t.Errorf("%s differs: got\n%s", file, got)
	}
}

// The drafted reports of the outage of Frankfurt, as files.
func TestFrankfurt(t *testing.T) {
	for _, stage := range []string{Initial, Intermediate, Final} {
		t.Run(stage, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				in := outage(t, stage)
				d, err := New(in)
				if err != nil {
					t.Fatal(err)
				}
				doc, err := d.JSON()
				if err != nil {
					t.Fatal(err)
				}
				golden(t, "frankfurt-"+stage+".json", rest(doc, &in))
				doc, err = d.HTML()
				if err != nil {
					t.Fatal(err)
				}
				golden(t, "frankfurt-"+stage+".html", rest(doc, &in))
				people(t, d, doc)
				typed(t, d)
				once, err := d.PDF()
				if again, errs := d.PDF(); err != nil || errs != nil || !bytes.Equal(once, again) {
					t.Errorf("the same draft gives other bytes, %v, %v", err, errs)
				}
			})
		})
	}
}

// typed holds every value against the type that the schema IR-1.2.1 gives its field.
func typed(t *testing.T, d *Draft) {
	t.Helper()
	list, err := rows()
	if err != nil {
		t.Fatal(err)
	}
	types := map[string]string{}
	for _, r := range list {
		types[r.ID] = r.Type
	}
	span := regexp.MustCompile(`^\d{1,3}:([01]\d|2[0-3]):[0-5]\d$`)
	for _, f := range d.Fields {
		is := "nothing"
		switch v := f.Value.(type) {
		case nil:
			continue
		case string:
			if is = "text word"; span.MatchString(v) {
				is = "span"
			} else if _, err := time.Parse(time.RFC3339, v); err == nil {
				is = "time"
			}
			if len(v) > 32767 {
				t.Errorf("%s is longer than the schema lets it", f.ID)
			}
		case []string:
			if is = "words"; f.ID == "2.5" { // an element each
				is = "word"
			}
		case bool:
			is = "bool"
		case int, uint64:
			is = "integer"
		case float64:
			is = "number"
		}
		if !slices.Contains(strings.Fields(is), types[f.ID]) {
			t.Errorf("%s is %s, and the schema wants %s: %#v", f.ID, is, types[f.ID], f.Value)
		}
	}
}

// people looks for anything about a person in a report that was asked for without contacts, and for anything that a page would fetch.
func people(t *testing.T, d *Draft, page []byte) {
	t.Helper()
	doc, err := d.JSON()
	if err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{string(doc), string(page)} {
		for _, word := range []string{"Mustermann", "erika@", "+49691234567", "p-a", "00ff"} {
			if strings.Contains(text, word) {
				t.Errorf("the report holds %q", word)
			}
		}
	}
	for _, word := range []string{"<script", "http://", "https://", "url(", "@import", "src="} {
		if strings.Contains(string(page), word) {
			t.Errorf("the page holds %q", word)
		}
	}
}

func TestContactsOnlyWhenAskedFor(t *testing.T) {
	in := Input{Stage: Initial, Entity: entity(), Contacts: true}
	d, err := New(in)
	if err != nil {
		t.Fatal(err)
	}
	doc, err := d.IR()
	if err != nil || !strings.Contains(string(doc), "Erika Mustermann") {
		t.Errorf("%s, %v", doc, err)
	}
}

// The table is the form: 76 fields in four chapters, and who fills them.
func TestTheTableHasEveryField(t *testing.T) {
	list, err := rows()
	if err != nil {
		t.Fatal(err)
	}
	chapters, fills, paths := map[string]int{}, map[string]int{}, map[string]bool{}
	for _, r := range list {
		chapter, _, _ := strings.Cut(r.ID, ".")
		chapters[chapter]++
		fills[r.Fill]++
		if r.Need == "" && r.Fill != "auto" {
			t.Errorf("%s says nothing of what people must write", r.ID)
		}
		if r.JSON == "" && r.ID != "3.36" || paths[r.JSON] {
			t.Errorf("%s has no name of its own: %q", r.ID, r.JSON)
		}
		paths[r.JSON] = true
	}
	if fmt.Sprint(chapters) != "map[1:15 2:10 3:35 4:16]" || fmt.Sprint(fills) != "map[auto:14 config:14 draft:20 human:28]" {
		t.Errorf("%v %v", chapters, fills)
	}
	for stage, want := range map[string]int{Initial: 25, Intermediate: 60, Final: 76} {
		d, err := New(Input{Stage: stage})
		if err != nil || len(d.Fields) != want {
			t.Errorf("%s has %d fields, %v", stage, len(d.Fields), err)
		}
	}
	if _, err := New(Input{Stage: "monthly"}); err == nil {
		t.Error("a stage that is none was taken")
	}
}

// Nothing is known, and nothing is made up: every field that only people or the configuration know is missing.
func TestWhatIsNotKnownIsMarked(t *testing.T) {
	d, err := New(Input{Stage: Final})
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range d.Fields {
		switch {
		case f.State == missing && (f.Value != nil || f.Need == ""):
			t.Errorf("%+v", f)
		case (f.Fill == "human" || f.Fill == "config") && f.State != missing:
			t.Errorf("%s is %s: %v", f.ID, f.State, f.Value)
		}
	}
	if len(d.About.Missing) < 50 {
		t.Errorf("%d fields are missing", len(d.About.Missing))
	}
}

// The report has the names of the schema, nested, with lists where it has lists.
func TestNamesOfTheReport(t *testing.T) {
	in := Input{Stage: Final, Entity: entity(), Incident: incident.Incident{
		ID: "INC-1", Rule: incident.LogGap, Class: &incident.Class{Major: true, Criteria: []string{"data_losses", "economic_impact"}},
	}, Measures: incident.Measures{Lost: 3, States: []string{"AT", "DE"}}}
	d, err := New(in)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := d.IR()
	if err != nil {
		t.Fatal(err)
	}
	var got struct {
		Incident struct {
			Code  string           `json:"financialEntityCode"`
			Types []map[string]any `json:"classificationTypes"`
		} `json:"incident"`
		Affected []map[string]any `json:"affectedEntity"`
		Top      map[string]any   `json:"-"`
	}
	if err := json.Unmarshal(raw, &got); err != nil {
		t.Fatal(err)
	}
	if got.Incident.Code != "INC-1" || len(got.Affected) != 1 || got.Affected[0]["name"] != "Example Bank AG" || len(got.Incident.Types) != 2 {
		t.Fatalf("%s", raw)
	}
	if one := got.Incident.Types[0]; fmt.Sprint(one["dataLosseMaterialityThresholds"]) != "[availability]" || one["countryCodeMaterialityThresholds"] != nil {
		t.Errorf("%v", one)
	}
	top := map[string]any{}
	if err := json.Unmarshal(raw, &top); err != nil {
		t.Fatal(err)
	}
	for name := range top {
		if !slices.Contains([]string{
			"incidentSubmission", "submittingEntity", "affectedEntity", "primaryContact", "secondaryContact", "ultimateParentUndertaking", "reportCurrency", "incident", "impactAssessment",
			"reportingToOtherAuthorities", "reportingToOtherAuthoritiesOther", "informationDurationServiceDowntimeActualOrEstimate",
		}, name) {
			t.Errorf("%s is no name of the schema", name)
		}
	}
}

// What was reported as major and is none any more is taken back by a submission of its own kind.
func TestTakenBack(t *testing.T) {
	in := Input{Stage: Final, Incident: incident.Incident{Class: &incident.Class{}, Reports: []incident.Report{{Clock: "initial"}}}}
	if got := in.submission(); got != "major_incident_reclassified_as_non-major" {
		t.Error(got)
	}
	in.Incident.Class.Major = true
	if got := in.submission(); got != "final_report" {
		t.Error(got)
	}
}
