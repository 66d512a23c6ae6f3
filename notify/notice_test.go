package notify

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/cordonsip/cordon/audit"
)

func entry(kind audit.Kind, body string) audit.Entry {
	return audit.Entry{
		ID: "01JD0000000000000000000001", Kind: kind, Tenant: "bank", Node: "edge-1", Time: time.Date(2026, 11, 21, 12, 0, 0, 5, time.UTC), Seq: 7,
		Body: json.RawMessage(body),
	}
}

const changed = `{"change_id":"c","ticket":"T1","what":"proposed","from":"REQUESTED","state":"PENDING","by":"p-ida","plan_hash":"ab",
 "decision":{"person":"p-ida","reason":"SECRET reason"},"dpo_opinion":{"person":"p-dpo","text":"SECRET advice"},"reason":"SECRET why",
 "missing":["people must have been told","the opinion of dpo"],
 "record":{"ticket":{"id":"T1","requested_by":"p-ida","approve_by":"2026-11-21T12:30:00Z","plan":{"reason":"SECRET plan",
 "scope":{"trunks":["de-1"],"edge_groups":["iad"],"regions":["aws:us-east-1"],"target_country":"US","max_calls_total":1000}}},
 "people":[{"person":"p-ida","roles":["ciso"]}]}}`

func TestNotice(t *testing.T) {
	for _, c := range []struct {
		name, body     string
		kind           audit.Kind
		ok, asks       bool
		subject, words string
	}{
		{"a new ticket", changed, audit.KindGateChanged, true, true, "T1", `what="proposed"`},
		{"a decision", strings.Replace(changed, "proposed", "decided", 1), audit.KindGateChanged, true, false, "T1", `missing="people must have been told; the opinion of dpo"`},
		{"our own echo", strings.Replace(changed, "proposed", "notified", 1), audit.KindGateChanged, false, false, "", ""},
		{"what never was", strings.Replace(changed, "proposed", "not_applied", 1), audit.KindGateChanged, false, false, "", ""},
		{
			"held", `{"route":"in","trunk":"de-1","to":"iad","region":"aws:us-east-1","country":"US","verdict":"hold","ground":"no_adequacy","ticket":"T1"}`,
			audit.KindFailoverHeld, true, true, "in", `ground="no_adequacy"`,
		},
		{"held without a ticket", `{"route":"in"}`, audit.KindFailoverHeld, true, false, "in", ""},
		{"applied", `{"route":"in","ticket":"T1"}`, audit.KindFailoverApplied, true, false, "in", ""},
		{"a struck instrument", `{"instrument":"2016/1250","since":"2026-01-01T00:00:00Z","reason":"SECRET"}`, audit.KindLawSuspended, true, false, "2016/1250", ""},
		{"a stranger", `{"source":"198.51.100.7:5060","ground":"SECRET-not","trunk":"de-1","why":"SECRET"}`, audit.KindIngressRefused, true, false, "de-1", ""},
		{"a receipt", `{"party_a_ref":{"ref":"x"}}`, audit.KindReceipt, false, false, "", ""},
		{"a call", `{"call_ref":"x"}`, audit.KindCallEnded, false, false, "", ""},
		{"media", `{"call_ref":"x"}`, audit.KindMediaMoved, false, false, "", ""},
		{"no JSON", `{`, audit.KindGap, true, false, "edge-1", "log.gap"},
		{"no object", `[1]`, audit.KindGap, true, false, "edge-1", "log.gap"},
		{"wrong types", `{"ticket":{"a":1},"record":"x","missing":7}`, audit.KindGateChanged, true, false, "edge-1", `missing="7"`},
	} {
		n, ok := noticeOf(entry(c.kind, c.body))
		if ok != c.ok {
			t.Errorf("%s: told %v, want %v", c.name, ok, c.ok)
			continue
		}
		if !ok {
			continue
		}
		if n.asks() != c.asks || n.Subject != c.subject || !strings.Contains(n.Summary, c.words) {
			t.Errorf("%s: asks %v, subject %q, summary %q", c.name, n.asks(), n.Subject, n.Summary)
		}
		text, err := encodeEvent(n)
		if err != nil {
			t.Fatal(err)
		}
		for _, secret := range []string{"SECRET ", "p-ida", "p-dpo", "198.51", `"SECRET"`} {
			if strings.Contains(string(text), secret) {
				t.Errorf("%s: %q left: %s", c.name, secret, text)
			}
		}
	}
}

// The envelope is CloudEvents 1.0, structured mode; receivers depend on each name.
func TestEnvelope(t *testing.T) {
	n, _ := noticeOf(entry(audit.KindGateChanged, changed))
	got, err := encodeEvent(n)
	if err != nil {
		t.Fatal(err)
	}
	want := `{"specversion":"1.0","id":"01JD0000000000000000000001","source":"/cordon/bank/edge-1","type":"io.github.cordonsip.gate.changed","subject":"T1",` +
		`"time":"2026-11-21T12:00:00.000000005Z","datacontenttype":"application/json","data":{"id":"01JD0000000000000000000001","kind":"gate.changed","seq":7,` +
		`"time":"2026-11-21T12:00:00.000000005Z","tenant":"bank","node":"edge-1","subject":"T1","ticket":"T1","summary":"gate.changed approve_by=\"2026-11-21T12:30:00Z\" ` +
		`from=\"REQUESTED\" missing=\"people must have been told; the opinion of dpo\" state=\"PENDING\" ticket=\"T1\" what=\"proposed\"","data":{` +
		`"approve_by":"2026-11-21T12:30:00Z","from":"REQUESTED","missing":["people must have been told","the opinion of dpo"],"plan_hash":"ab",` +
		`"scope":{"edge_groups":["iad"],"max_calls_total":1000,"regions":["aws:us-east-1"],"target_country":"US","trunks":["de-1"]},` +
		`"state":"PENDING","ticket":"T1","what":"proposed"}}}`
	if string(got) != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

func TestKinds(t *testing.T) {
	for _, c := range []struct {
		words []string
		n     int // -1: refused
	}{
		{nil, 61},
		{[]string{"incident.*"}, 6},
		{[]string{"review.*"}, 2},
		{[]string{"drill.*"}, 13},
		{[]string{"drill.step"}, -1},
		{[]string{"witness.*"}, 2},
		{[]string{"place.*"}, 4},
		{[]string{"log.copy_*"}, 4},
		{[]string{"failover.*"}, 4},
		{[]string{"gate.changed", "gate.changed"}, 1},
		{[]string{"residency_receipt"}, -1},
		{[]string{"call.ended"}, -1},
		{[]string{"*"}, -1},
		{[]string{"nothing.*"}, -1},
		{[]string{"gate.changed", "typo"}, -1},
	} {
		set, err := kindSet(c.words)
		if (err != nil) != (c.n < 0) || err == nil && len(set) != c.n {
			t.Errorf("%q: %d kinds, %v", c.words, len(set), err)
		}
	}
}

func FuzzNotice(f *testing.F) {
	f.Add(changed)
	f.Add(`{"ticket":1,"record":{"ticket":[]}}`)
	f.Add(`null`)
	f.Fuzz(func(t *testing.T, body string) {
		for kind := range fields {
			n, ok := noticeOf(audit.Entry{ID: "x", Kind: kind, Node: "n", Body: json.RawMessage(body)})
			if !ok {
				continue
			}
			if _, err := encodeEvent(n); err != nil {
				t.Errorf("%s: %v", kind, err)
			}
			if n.Subject == "" || strings.ContainsAny(n.Summary, "\n\r") {
				t.Errorf("%s: subject %q, summary %q", kind, n.Subject, n.Summary)
			}
		}
	})
}

func FuzzVerify(f *testing.F) {
	secret, body, now := []byte("s"), []byte("body"), time.Unix(1700000000, 0)
	good := Sign(secret, "", now, body)
	f.Add(good)
	f.Add("t=1700000000,v1=")
	f.Add("v1=00,t=x")
	f.Fuzz(func(t *testing.T, header string) {
		err := Verify(secret, header, body, now, time.Minute)
		if err == nil && !strings.Contains(header, good[len("t=1700000000,v1="):]) && !strings.EqualFold(header, good) {
			t.Errorf("%q holds", header)
		}
	})
}
