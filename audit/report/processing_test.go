package report

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/cordonsip/cordon/audit"
)

// record is that of moved, as of 21 November 2026.
func record(t *testing.T, p Period, d Declared) Processing {
	t.Helper()
	b := NewProcessing(p)
	for i, ev := range moved() {
		body, err := json.Marshal(ev)
		if err != nil {
			t.Fatal(err)
		}
		if err := b.Add(audit.Entry{Seq: uint64(i), Kind: ev.Kind(), Time: at("2026-11-20T10:00:00Z").Add(time.Duration(i) * time.Hour), Body: body}); err != nil {
			t.Fatal(err)
		}
	}
	return b.Report(d, arrangements(), map[string]Safeguard{"cloud": {Kind: "Art46(2)(c)_SCC", Document: "SCC 2026/9", TIA: "TIA 7"}}, cover(), at("2026-11-21T00:00:00Z"))
}

func declared() Declared {
	return Declared{
		Entity: Office{"Example Bank AG", "5493001KJTIIGC8Y1R12", "privacy@bank.example"}, DPO: "dpo@bank.example", Purposes: []string{"telephone banking"}, Subjects: []string{"callers"},
		Terms: []Term{{"all", nil, "5y", "MiFID II Art. 16(6)"}}, Measures: []string{"SRTP"},
	}
}

// TestProcessing: recipients and transfers are what receipts prove, and what Art. 30 wants and nobody said is named.
func TestProcessing(t *testing.T) {
	r := record(t, Period{}, declared())
	if len(r.Recipients) != 2 || r.Recipients[0].Recipient != "carrier" || r.Recipients[0].Calls != 5 || strings.Join(r.Recipients[1].Countries, " ") != "CH DE IE US" ||
		len(r.Observed) != 1 || r.Observed[0] != (Purpose{"production", 5}) || len(r.Transfers) != 2 || strings.Join(r.Categories, " ") != "CLI DTMF metadata voice" {
		t.Errorf("%+v", r)
	}
	if strings.Join(r.Open, "; ") != "who cloud is: provider of the trunk or edge group" {
		t.Errorf("open: %q", r.Open)
	}
	golden(t, "processing.txt", r.Page().Text)
	golden(t, "processing.html", r.Page().HTML)
	for want, d := range map[string]Declared{
		"the name of the controller; contact details of the controller; contact details of the data protection officer, where one is designated; the purposes": {},
		"the controllers on whose behalf": {Processor: true, Entity: Office{"Carrier GmbH", "", "x"}, DPO: "y", Measures: []string{"z"}},
	} {
		if got := strings.Join(record(t, Period{}, d).Open, "; "); !strings.HasPrefix(got, want) {
			t.Errorf("open: %q; want %q first", got, want)
		}
	}
	late := record(t, Period{From: at("2026-11-20T14:00:00Z")}, declared())
	if late.Observed[0].Calls != 1 || len(late.Transfers) != 1 {
		t.Errorf("outside the period: %+v", late)
	}
	p := declared()
	p.Processor, p.Controllers = true, []Office{{Name: "Example Bank AG"}}
	var b strings.Builder
	if err := record(t, Period{}, p).Page().Text(&b); err != nil || !strings.Contains(strings.ToLower(b.String()), "transfers to third countries, art. 30(2)(c)") {
		t.Errorf("%v\n%s", err, b.String())
	}
	if NewProcessing(Period{}).Add(audit.Entry{Kind: audit.KindReceipt, Body: []byte("[]")}) == nil {
		t.Error("a receipt that does not read is left out silently")
	}
}
