package report

import (
	"crypto/ed25519"
	"strings"
	"testing"
	"time"

	"github.com/cordonsip/cordon/audit"
)

// looks is a log of looks at a CRM that moved from Germany to nowhere that is declared, at a CDN that is anycast, and at a bucket that stays.
func looks(t *testing.T, p Period) *Observer {
	t.Helper()
	now := at("2026-11-20T08:00:00Z")
	l, err := audit.Memory(audit.Config{
		Signer: ed25519.NewKeyFromSeed(make([]byte, 32)), Origin: "test", Now: func() time.Time { now = now.Add(time.Hour); return now },
	})
	if err != nil {
		t.Fatal(err)
	}
	look := func(entry, verdict, country, legal, instrument string) audit.InventoryJudged {
		a := audit.InventoryAnswer{Verdict: verdict, Legal: legal, Instrument: instrument, Countries: []string{}}
		if country != "" {
			a.Countries = []string{country}
		}
		return audit.InventoryJudged{Entry: entry, Verdict: verdict, Answers: []audit.InventoryAnswer{a}}
	}
	for _, ev := range []audit.Event{
		audit.NodeStarted{},
		look("bucket", "permit", "DE", "in_eea", ""), look("crm", "permit", "DE", "in_eea", ""), look("cdn", "unprovable", "DE", "in_eea", ""),
		look("crm", "hold", "CH", "adequate", "2000/518/EC"), look("crm", "deny", "", "unknown", ""),
	} {
		if _, err := l.Append(t.Context(), ev); err != nil {
			t.Fatal(err)
		}
	}
	o := NewObserver(p)
	entries, err := l.Entries(t.Context(), 0, 100)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if err := o.Add(e); err != nil {
			t.Fatal(err)
		}
	}
	return o
}

func endpointArrangements() []Arrangement {
	legal := map[string]Legal{"DE": {Standing: "in_eea"}, "FR": {Standing: "in_eea"}, "IN": {Standing: "no_adequacy"}, "US": {Standing: "no_adequacy"}, "CH": {Standing: "adequate", Instrument: "2000/518/EC"}}
	return []Arrangement{
		{Party: "carrier", Kind: "trunk", Signalling: []string{"DE"}, Media: []string{"DE"}, Support: []string{"CH"}, Legal: legal},
		{Party: "crm", Kind: KindEndpoint, Purpose: "crm", Contract: "MSA 12", Provider: "CRM Ltd", Places: []string{"DE"}, ParentCountry: "US", Support: []string{"DE", "IN"}, Critical: "Yes", Legal: legal},
		{Party: "cdn", Kind: KindEndpoint, Purpose: "cdn", Places: []string{"DE", "FR"}, Legal: legal},
		{Party: "bucket", Kind: KindEndpoint, Purpose: "bucket", Places: []string{"DE", "US"}, Legal: legal},
		{Party: "siem", Kind: KindEndpoint, Purpose: "siem", Places: []string{"DE"}, Unwatched: true, Legal: legal},
	}
}

func TestEndpointsAreInTheRegister(t *testing.T) {
	o := looks(t, Period{})
	r := NewRegister(endpointArrangements(), o.Seen(), Period{}, Cover{}, at("2026-11-21T00:00:00Z"))
	var drift []string
	for _, d := range r.Drift {
		if d.Party != "carrier" {
			drift = append(drift, d.Party+" "+d.Plane+" "+d.Country+" "+d.What)
		}
	}
	want := "crm endpoint CH observed_not_declared, crm endpoint unknown observed_not_declared, cdn endpoint unprovable unprovable, bucket endpoint US declared_not_observed"
	if got := strings.Join(drift, ", "); got != want {
		t.Errorf("drift %s\nwant  %s", got, want)
	}
	cells := map[string]string{}
	rows := 0
	for _, row := range r.Rows {
		if row.Party == "bucket" {
			rows++
		}
		if row.Party == "crm" {
			for _, c := range row.Cells {
				cells[c.Name] = c.Value
			}
		}
	}
	if cells["Country of provision of the ICT services"] != "DE" || cells["Country of the ultimate parent"] != "US no adequacy" || cells["Countries of support"] != "DE in eea, IN no adequacy" ||
		cells["Criticality or importance assessment"] != "Yes" || rows != 2 {
		t.Errorf("%d rows of the bucket, cells of the CRM: %v", rows, cells)
	}
}

// What was found before a period stands until something else is found.
func TestWhatWasFoundBeforeThePeriodCounts(t *testing.T) {
	first := map[string]time.Time{}
	for _, s := range looks(t, Period{}).Seen() {
		first[s.Party+" "+s.Country] = s.First
	}
	p := Period{From: first["crm CH"].Add(time.Nanosecond)}
	o := looks(t, p)
	found := map[string]bool{}
	for range 2 { // asked twice, it says the same
		for _, s := range o.Seen() {
			found[s.Party+" "+s.Country] = true
			if s.First.Before(p.From) {
				t.Errorf("%+v is from before the period", s)
			}
		}
	}
	for _, want := range []string{"bucket DE", "cdn unprovable", "crm CH", "crm unknown"} {
		if !found[want] {
			t.Errorf("%s is missing: %v", want, found)
		}
	}
	if found["crm DE"] {
		t.Error("it had left before the period")
	}
	if early := looks(t, Period{To: first["bucket DE"].Add(time.Nanosecond)}).Seen(); len(early) != 1 || early[0].Party != "bucket" {
		t.Errorf("what came after the period is in it: %+v", early)
	}
}

func TestTransfersOutsideTheCallPath(t *testing.T) {
	safeguards := map[string]Safeguard{"bucket": {Kind: "Art46(2)(c)_SCC", Document: "SCC 9", SignedOn: "2026-01-01"}}
	tr := NewTransfers(looks(t, Period{}), endpointArrangements(), safeguards, Cover{}, at("2026-11-21T00:00:00Z"))
	if len(tr.Transfers) != 0 {
		t.Errorf("looks at endpoints are no calls: %+v", tr.Transfers)
	}
	var got []string
	for _, r := range tr.Outside {
		got = append(got, strings.Join([]string{r.Entry, r.How, r.Country, r.ParentCountry, r.Basis, r.Open}, "|"))
	}
	want := []string{
		"carrier|support|CH||GDPR Art. 45: 2000/518/EC|",
		"crm|support|IN|US||no legal basis is registered for the party: legal_bases",
		"crm|found|CH|US|GDPR Art. 45: 2000/518/EC|",
		"crm|found|unknown|US||the place is not known",
		"cdn|found|unprovable|||no place of it can be proven",
		"bucket|declared|US||Art46(2)(c)_SCC: SCC 9, signed 2026-01-01|no transfer impact assessment is registered",
	}
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	var b strings.Builder
	if err := tr.Page().Text(&b); err != nil || !strings.Contains(b.String(), "no place of it can be proven") {
		t.Errorf("%v: %s", err, b.String())
	}
}
