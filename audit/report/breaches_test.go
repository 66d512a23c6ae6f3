package report

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cordonsip/cordon/audit"
)

// breached adds events, an hour apart from 20 November 2026 08:00 UTC on, to a register.
func breached(t *testing.T, p Period, list ...audit.Event) *BreachBuilder {
	t.Helper()
	b := NewBreaches(p)
	for i, ev := range list {
		body, err := json.Marshal(ev)
		if err != nil {
			t.Fatal(err)
		}
		if err := b.Add(audit.Entry{Seq: uint64(i), Kind: ev.Kind(), Time: at("2026-11-20T08:00:00Z").Add(time.Duration(i) * time.Hour), Body: body}); err != nil {
			t.Fatal(err)
		}
	}
	return b
}

func opened(id string) audit.Event {
	return audit.IncidentOpened{Incident: id, Rule: "by_hand", Title: "Calls were heard elsewhere", Since: at("2026-11-20T07:00:00Z")}
}

func breachKnown(id, when string) audit.Event {
	return audit.IncidentUpdated{Incident: id, What: "breach_known", At: at(when)}
}

func notified(id, when string) audit.Event {
	return audit.IncidentReported{Incident: id, Clock: "gdpr_33", At: at(when), Reference: "DPA 4711", Digest: "00ff"}
}

// TestBreaches: where a breach stands, and what the register lacks, by what people wrote down. GDPR Art. 33(1), (4), (5), 34(1).
func TestBreaches(t *testing.T) {
	whole := audit.BreachNoted{Incident: "A", Facts: "f", Effects: "e", Remedy: "r", Risk: "likely"}
	with := func(change func(*audit.BreachNoted)) audit.BreachNoted { n := whole; change(&n); return n }
	const known = "2026-11-20T09:00:00Z"
	for name, c := range map[string]struct {
		list     []audit.Event
		now      string
		standing string
		open     string
	}{
		"just known":       {nil, "2026-11-20T12:00:00Z", BreachRunning, "facts effects remedial risk notification"},
		"documented":       {[]audit.Event{whole}, "2026-11-20T12:00:00Z", BreachRunning, "notification"},
		"at the limit":     {[]audit.Event{whole}, "2026-11-23T09:00:00Z", BreachRunning, "notification"},
		"past it":          {[]audit.Event{whole}, "2026-11-23T09:00:01Z", BreachLate, "notification delay"},
		"in time":          {[]audit.Event{whole, notified("A", "2026-11-23T09:00:00Z")}, "2026-12-01T00:00:00Z", BreachNotified, ""},
		"late":             {[]audit.Event{whole, notified("A", "2026-11-23T09:00:01Z")}, "2026-12-01T00:00:00Z", BreachNotifiedLate, "delay"},
		"late, reasoned":   {[]audit.Event{whole, notified("A", "2026-11-24T09:00:00Z"), audit.BreachNoted{Incident: "A", Delay: "d"}}, "2026-12-01T00:00:00Z", BreachNotifiedLate, ""},
		"in phases":        {[]audit.Event{whole, notified("A", "2026-11-25T09:00:00Z"), notified("A", "2026-11-21T09:00:00Z")}, "2026-12-01T00:00:00Z", BreachNotified, ""},
		"unlikely":         {[]audit.Event{with(func(n *audit.BreachNoted) { n.Risk, n.RiskReason = "unlikely", "it was encrypted" })}, "2026-12-01T00:00:00Z", BreachNotNotified, ""},
		"likely after all": {[]audit.Event{with(func(n *audit.BreachNoted) { n.Risk, n.RiskReason = "unlikely", "x" }), whole}, "2026-12-01T00:00:00Z", BreachLate, "notification delay"},
		"high":             {[]audit.Event{with(func(n *audit.BreachNoted) { n.Risk = "high" }), notified("A", "2026-11-21T09:00:00Z")}, "2026-12-01T00:00:00Z", BreachNotified, "communication"},
		"high, told":       {[]audit.Event{with(func(n *audit.BreachNoted) { n.Risk, n.Told = "high", at(known) }), notified("A", "2026-11-21T09:00:00Z")}, "2026-12-01T00:00:00Z", BreachNotified, ""},
		"another clock":    {[]audit.Event{whole, audit.IncidentReported{Incident: "A", Clock: "initial", At: at(known)}}, "2026-11-20T12:00:00Z", BreachRunning, "notification"},
		"another incident": {[]audit.Event{opened("B"), notified("B", known), audit.BreachNoted{Incident: "B", Facts: "f"}, audit.BreachNoted{Incident: "gone", Facts: "f"}}, "2026-11-20T12:00:00Z", BreachRunning, "facts effects remedial risk notification"},
	} {
		r := breached(t, Period{}, append([]audit.Event{opened("A"), breachKnown("A", known)}, c.list...)...).Report(cover(), at(c.now))
		if len(r.Breaches) != 1 {
			t.Fatalf("%s: %+v", name, r.Breaches)
		}
		b := r.Breaches[0]
		var open []string
		for _, o := range b.Open {
			open = append(open, slices.DeleteFunc(strings.Fields(strings.TrimSuffix(o, ",")), func(w string) bool { return w == "the" || w == "reasons" || w == "for" })[0])
		}
		if got := strings.Join(open, " "); b.Standing != c.standing || strings.ReplaceAll(got, ",", "") != c.open || r.Late() != (c.standing == BreachLate) {
			t.Errorf("%s: %s, open %q; want %s, %q", name, b.Standing, got, c.standing, c.open)
		}
	}
	before := breached(t, Period{To: at(known)}, opened("A"), breachKnown("A", known)).Report(cover(), at(known))
	if len(before.Breaches) != 0 || !strings.Contains(before.Page().Lead.Text, "No breach") {
		t.Errorf("a breach that was known later: %+v", before)
	}
	if err := NewBreaches(Period{}).Add(audit.Entry{Kind: audit.KindBreachNoted, Body: []byte("[]")}); err == nil {
		t.Error("an entry that does not read is left out silently")
	}
}

// TestBreachesPage holds the register as people read it.
func TestBreachesPage(t *testing.T) {
	r := breached(t, Period{},
		opened("INC-1"), breachKnown("INC-1", "2026-11-20T09:00:00Z"),
		audit.BreachNoted{Incident: "INC-1", Facts: "40 calls were routed past the recorder", Subjects: 40, Records: 80, Categories: []string{"customers", "voice"}},
		audit.BreachNoted{Incident: "INC-1", Effects: "account numbers may be known", Remedy: "the route was cut", Risk: "high", RiskReason: "bank data"},
		notified("INC-1", "2026-11-24T09:00:00Z"), audit.BreachNoted{Incident: "INC-1", Delay: "the carrier told late", Told: at("2026-11-24T10:00:00Z")},
		notified("INC-1", "2026-11-25T09:00:00Z"), audit.IncidentClosed{Incident: "INC-1", Reason: "over"},
		opened("INC-2"), breachKnown("INC-2", "2026-11-20T17:00:00Z"),
	).Report(cover(), at("2026-11-26T00:00:00Z"))
	golden(t, "breaches.txt", r.Page().Text)
	golden(t, "breaches.html", r.Page().HTML)
}
