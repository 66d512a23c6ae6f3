package rejudge

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/cordonsip/cordon/audit"
	"github.com/cordonsip/cordon/audit/report"
	"github.com/cordonsip/cordon/sovereign"
)

const (
	swiss   = "2000/518/EC"
	shield  = "(EU) 2016/1250" // annulled ex tunc by Schrems II on 16 July 2020
	dpf     = "(EU) 2023/1795"
	policy  = "p1"
	nobody  = "p2" // a policy of which the log says nothing
	allDays = "2026-11-21T12:00:00Z"
)

func at(t testing.TB, s string) time.Time {
	t.Helper()
	v, err := time.Parse(time.RFC3339, s)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func entry(t testing.TB, seq uint64, when time.Time, ev audit.Event) audit.Entry {
	t.Helper()
	body, err := json.Marshal(ev)
	if err != nil {
		t.Fatal(err)
	}
	return audit.Entry{Seq: seq, Kind: ev.Kind(), Time: when, Body: body}
}

// call is one of ten minutes in a place.
func call(begins time.Time, h audit.ReceiptHop) audit.Receipt {
	h.Plane, h.Leg = "signalling", "b"
	return audit.Receipt{CallRef: "c", Purpose: "production", TInvite: begins, TAnswer: begins, TEnd: begins.Add(10 * time.Minute), Overall: "compliant", PolicyDigest: policy, Hops: []audit.ReceiptHop{h}}
}

func hop(country, standing, ground, instrument string) audit.ReceiptHop {
	return audit.ReceiptHop{DeclaredCountry: country, Verdict: standing, Ground: ground, Instrument: instrument}
}

func TestReceiptsUnderAnotherLaw(t *testing.T) {
	day := at(t, allDays)
	suspended := func(since time.Time) []sovereign.Suspension {
		return []sovereign.Suspension{{Instrument: swiss, Since: since}}
	}
	old := at(t, "2018-05-28T12:00:00Z")
	inZurich := call(day, hop("CH", "adequate", "adequate", swiss))
	byGrant := inZurich
	byGrant.Hops = []audit.ReceiptHop{hop("CH", "adequate", "grant", swiss)}
	for name, c := range map[string]struct {
		receipt audit.Receipt
		known   time.Time
		files   []sovereign.Suspension
		logged  *audit.LawSuspended
		now     string // of the one that changed; "": nothing did
		partly  bool
		granted bool
		lacks   string
	}{
		"nothing is known":                {receipt: inZurich, known: day},
		"suspended since before, ex tunc": {receipt: inZurich, known: day.AddDate(1, 0, 0), files: suspended(day.AddDate(0, -1, 0)), now: "not_compliant"},
		"suspended later":                 {receipt: inZurich, known: day.AddDate(1, 0, 0), files: suspended(day.AddDate(0, 0, 1))},
		"suspended during the call":       {receipt: inZurich, known: day.AddDate(1, 0, 0), files: suspended(day.Add(5 * time.Minute)), now: "not_compliant", partly: true},
		"the log knew by then":            {receipt: inZurich, known: day.AddDate(0, 2, 0), logged: &audit.LawSuspended{Instrument: swiss, Since: day.AddDate(0, -1, 0)}, now: "not_compliant"},
		"the log did not know yet":        {receipt: inZurich, known: day.Add(time.Hour), logged: &audit.LawSuspended{Instrument: swiss, Since: day.AddDate(0, -1, 0)}},
		"files count and not the log":     {receipt: inZurich, known: day.AddDate(1, 0, 0), files: []sovereign.Suspension{}, logged: &audit.LawSuspended{Instrument: swiss, Since: day.AddDate(0, -1, 0)}},
		"by a grant":                      {receipt: byGrant, known: day, files: suspended(day.AddDate(0, -1, 0)), now: "not_compliant", granted: true},
		"Privacy Shield as known then":    {receipt: call(old, hop("US", "adequate_conditional", "adequate_conditional_met", shield)), known: old},
		"Privacy Shield as known now":     {receipt: call(old, hop("US", "adequate_conditional", "adequate_conditional_met", shield)), known: day, now: "not_compliant"},
		"conditions stay met":             {receipt: call(day, hop("US", "adequate_conditional", "adequate_conditional_met", dpf)), known: day},
		"in the Union":                    {receipt: call(day, hop("DE", "in_eea", "in_eea", "")), known: day, files: suspended(day)},
		"lawful now":                      {receipt: call(day, hop("CH", "no_adequacy", "instrument_suspended", "")), known: day, now: "compliant"},
		"no hop":                          {receipt: audit.Receipt{TInvite: day, TEnd: day, PolicyDigest: policy, Overall: "refused_by_policy"}, known: day, lacks: NoHops},
		"no country":                      {receipt: call(day, hop("", "unknown", "address_undeclared", "")), known: day, lacks: NoPlace},
		"no time":                         {receipt: audit.Receipt{Hops: inZurich.Hops, PolicyDigest: policy}, known: day, lacks: NoTime},
		"another policy":                  {receipt: audit.Receipt{TInvite: day, TEnd: day, Hops: inZurich.Hops, PolicyDigest: nobody}, known: day, lacks: NoPolicy},
		"an instrument of nowhere":        {receipt: call(day, hop("US", "adequate_conditional", "adequate_conditional_met", "x")), known: day, lacks: NoInstrument},
	} {
		list := []audit.Entry{entry(t, 0, old, audit.PolicyApplied{PolicyDigest: policy, Preset: "eea_plus_adequacy"}), entry(t, 1, c.receipt.TInvite, c.receipt)}
		if c.logged != nil {
			list = append(list, entry(t, 2, day.AddDate(0, 1, 0), *c.logged))
		}
		g := NewGround(Law{Table: sovereign.Shipped(), KnownAt: c.known, Suspended: c.files})
		b := (*Builder)(nil)
		for _, pass := range []func(audit.Entry) error{g.Add, func(e audit.Entry) error { return b.Add(e) }} {
			for _, e := range list {
				if err := pass(e); err != nil {
					t.Fatal(name, err)
				}
			}
			if b == nil {
				b = g.Builder(report.Period{})
			}
		}
		r := b.Report(report.Cover{Origin: "o"}, day)
		if (c.lacks != "") != (r.Judged == 0) || r.NotJudged[c.lacks] != 1-r.Judged || r.Receipts != 1 {
			t.Errorf("%s: %+v", name, r)
		}
		if (c.now != "") != (len(r.Changed) == 1) {
			t.Errorf("%s: %+v", name, r.Changed)
			continue
		}
		if c.now == "" {
			continue
		}
		x := r.Changed[0]
		if x.Now != c.now || x.Partly != c.partly || x.Granted != c.granted || x.Seq != 1 || x.Was != c.receipt.Overall || len(x.Hops) != 1 || x.Hops[0].Was != c.receipt.Hops[0].Verdict {
			t.Errorf("%s: %+v", name, x)
		}
		if len(r.Countries) != 1 || r.Countries[0].Changed != 1 || r.Countries[0].Judged != 1 {
			t.Errorf("%s: %+v", name, r.Countries)
		}
		var text bytes.Buffer
		if err := r.Page().Text(&text); err != nil || !strings.Contains(text.String(), x.Hops[0].Country) || !strings.Contains(text.String(), "1 of 1 receipts") {
			t.Errorf("%s: %v\n%s", name, err, text.String())
		}
	}
}

// What does not read is an error: left out, it would make the report a lie.
func TestAReceiptThatDoesNotRead(t *testing.T) {
	g := NewGround(Law{Table: sovereign.Shipped(), KnownAt: at(t, allDays)})
	for _, k := range []audit.Kind{audit.KindPolicyApplied, audit.KindLawSuspended} {
		if err := g.Add(audit.Entry{Kind: k, Body: json.RawMessage("[]")}); err == nil {
			t.Errorf("%s was taken", k)
		}
	}
	if err := g.Builder(report.Period{}).Add(audit.Entry{Kind: audit.KindReceipt, Body: json.RawMessage("[]")}); err == nil {
		t.Error("a receipt was taken")
	}
}
