package incident

import (
	"fmt"
	"math"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cordonsip/cordon/audit"
)

// took is a call as its receipt says, that began at a moment.
type took struct {
	at      time.Duration // after the incident began
	final   int
	from    string // calling code of the caller
	purpose string
	result  string // of its one attempt
	endedBy string
	long    time.Duration
}

func (c took) receipt(start time.Time) audit.Receipt {
	r := audit.Receipt{
		Direction: "inbound", Purpose: c.purpose, TInvite: start.Add(c.at), TEnd: start.Add(c.at + c.long), PartyA: audit.PartyRef{Country: c.from}, PartyB: audit.PartyRef{Country: "+49"},
		Overall: "compliant", Attempts: []audit.Attempt{{Result: c.result}}, Outcome: audit.Outcome{SIPFinal: c.final, EndedBy: c.endedBy},
	}
	if r.Purpose == "" {
		r.Purpose = "production"
	}
	if c.final == 200 {
		r.TAnswer = r.TInvite.Add(time.Second)
	}
	if c.final == 603 {
		r.Overall = "refused_by_policy"
	}
	return r
}

// An outage of two hours and a half with calls before, in and behind it, and the same hours a week before.
func TestMeasure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStage(t, Rulebook{Services: []Service{{Name: "hotline", Critical: true, Parties: []string{"fra"}}, {Name: "letters", Parties: []string{"zrh"}}}})
		defer s.stop()
		s.append(audit.NodeStarted{})
		pass(time.Hour)
		base := time.Now().Add(week)
		for k := range 40 { // a week before: 40 calls, and drills that do not count
			at := time.Duration(k) * 3 * time.Minute
			pass(time.Until(base.Add(at - week)))
			s.append(took{at: at - week, final: 200}.receipt(base), took{at: at - week, final: 200, purpose: "drill"}.receipt(base))
		}
		pass(time.Until(base.Add(-time.Minute)))
		s.append(up("fra/a", "fra"), up("fra/b", "fra"))
		pass(time.Until(base))
		s.append(down("fra/a", "fra"), down("fra/b", "fra"))
		for _, c := range []took{
			{at: 1 * time.Minute, final: 503, from: "+49", result: "503"},
			{at: 2 * time.Minute, final: 408, from: "+49", result: "silent"},
			{at: 3 * time.Minute, final: 487, from: "+43", result: "silent"}, // hung up, and we had not been heard
			{at: 4 * time.Minute, final: 487, from: "+33", result: "487"},    // hung up while it rang
			{at: 5 * time.Minute, final: 486, from: "+33", result: "486"},    // busy
			{at: 6 * time.Minute, final: 603, from: "+41"},                   // the policy left no way
			{at: 7 * time.Minute, final: 503, from: "+33", purpose: "synthetic_probe"},
			{at: 30 * time.Minute, final: 200, from: "+49", endedBy: "a", long: time.Minute},
			{at: 40 * time.Minute, final: 200, from: "+49", endedBy: "edge", long: time.Minute}, // dropped
			{at: 60 * time.Minute, final: 503, from: "+49", result: "503"},
			{at: 125 * time.Minute, final: 200, from: "+49", endedBy: "a", long: time.Minute},
			{at: 140 * time.Minute, final: 200, from: "+49", endedBy: "a", long: time.Minute},
		} {
			pass(time.Until(base.Add(c.at + c.long)))
			s.append(c.receipt(base))
			if c.at == 30*time.Minute {
				s.append(audit.Failover{What: audit.KindFailoverApplied, Route: "line", From: "fra", To: "zrh", Region: "aws:eu-central-2", Country: "CH", Ground: "adequate"})
			}
		}
		pass(time.Until(base.Add(150 * time.Minute)))
		s.append(up("fra/a", "fra"))
		pass(time.Hour)
		s.append(took{at: 200 * time.Minute, final: 503, from: "+32"}.receipt(base)) // behind it
		i := s.f.List()[0]
		m, err := s.f.Measure(t.Context(), &i, time.Now())
		if err != nil {
			t.Fatal(err)
		}
		if m.Attempts != 11 || m.Answered != 4 || m.Failed != 5 || m.Dropped != 1 || m.Clients != 6 || !m.Ended || m.Duration != 150*time.Minute {
			t.Errorf("%+v", m)
		}
		if m.Downtime != 125*time.Minute || m.Available != "partial" || m.Estimated || len(m.Outages) != 1 || !m.Outages[0].Partial { // until a call is answered and none fails any more
			t.Errorf("downtime %s, %s, %+v", m.Downtime, m.Available, m.Outages)
		}
		if m.Reference.Basis != "same_hours_a_week_before" || m.Reference.Attempts != 40 || m.Percent == nil || math.Abs(*m.Percent-15) > 0.01 {
			t.Errorf("%+v, %v", m.Reference, m.Percent)
		}
		if fmt.Sprint(m.States, m.Outside) != "[AT DE] map[+41:1]" || m.ByPlace || m.Critical != "yes" || len(m.Services) != 1 || fmt.Sprint(m.Operators) != "[Genesys Telecommunications]" {
			t.Errorf("%+v", m)
		}
		if len(m.Steps) != 1 || m.Steps[0].What != "route line failed over to zrh in aws:eu-central-2 (CH): adequate" {
			t.Errorf("%+v", m.Steps)
		}
		a := Assess(&i, &m)
		if a.Indication != "major" || fmt.Sprint(a.Criteria) != "[critical_services_affected clients_financial_counterparts_and_transactions_affected duration_and_service_downtime geographical_spread]" {
			t.Errorf("%+v", a)
		}
	})
}

// A log that is younger than a week, and no call: nothing is made up.
func TestMeasureKnowsWhatItDoesNot(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStage(t, Rulebook{})
		defer s.stop()
		s.append(down("fra/a", "fra"), down("fra/b", "fra"))
		pass(3 * time.Hour)
		i := s.f.List()[0]
		m, err := s.f.Measure(t.Context(), &i, time.Now())
		if err != nil {
			t.Fatal(err)
		}
		if m.Ended || m.Percent != nil || m.Reference.Basis != "none" || m.Available != "unknown" || !m.Estimated || m.Downtime != 3*time.Hour || m.Critical != "unknown" || !m.ByPlace {
			t.Errorf("%+v", m)
		}
		a := Assess(&i, &m)
		if a.Indication != "open" || len(a.Criteria) != 0 {
			t.Errorf("%+v", a)
		}
		for _, x := range a.Thresholds {
			if x.State != "unknown" && x.What != "Duration" {
				t.Errorf("%+v", x)
			}
		}
	})
}

// Each threshold at its limit and just behind it.
func TestThresholds(t *testing.T) {
	pct := func(v float64) *float64 { return &v }
	some := []Service{{Name: "hotline", Critical: true}}
	for name, c := range map[string]struct {
		m    Measures
		what string
		want string
	}{
		"10 %":                            {Measures{Percent: pct(10)}, "Clients affected, share", "not_met"},
		"more than 10 %":                  {Measures{Percent: pct(10.1)}, "Clients affected, share", "met"},
		"no reference":                    {Measures{}, "Clients affected, share", "unknown"},
		"100 000 clients":                 {Measures{Clients: 100000}, "Clients affected, number", "not_met"},
		"one more":                        {Measures{Clients: 100001}, "Clients affected, number", "met"},
		"no call came":                    {Measures{Available: "unknown"}, "Clients affected, number", "unknown"},
		"24 hours":                        {Measures{Duration: 24 * time.Hour}, "Duration", "not_met"},
		"a second more":                   {Measures{Duration: 24*time.Hour + time.Second}, "Duration", "met"},
		"2 hours down":                    {Measures{Downtime: 2 * time.Hour, Critical: "yes"}, "Downtime of critical services", "not_met"},
		"a second more down":              {Measures{Downtime: 2*time.Hour + time.Second, Critical: "yes", Services: some}, "Downtime of critical services", "met"},
		"of a service that nobody judged": {Measures{Downtime: 3 * time.Hour, Critical: "unknown"}, "Downtime of critical services", "unknown"},
		"of one that is not critical":     {Measures{Downtime: 3 * time.Hour, Critical: "no"}, "Downtime of critical services", "not_met"},
		"one state":                       {Measures{States: []string{"DE"}}, "Member States with impact", "not_met"},
		"two states":                      {Measures{States: []string{"AT", "DE"}}, "Member States with impact", "met"},
		"the place alone":                 {Measures{States: []string{"DE"}, ByPlace: true}, "Member States with impact", "unknown"},
		"no state":                        {Measures{}, "Member States with impact", "unknown"},
		"lost records":                    {Measures{Lost: 7}, "Data losses", "unknown"},
		"a critical service":              {Measures{Critical: "yes", Services: some}, "Critical services affected", "met"},
		"no critical service":             {Measures{Critical: "no"}, "Critical services affected", "not_met"},
	} {
		a := Assess(&Incident{}, &c.m)
		n := 0
		for _, x := range a.Thresholds {
			if x.What == c.what {
				n++
				if x.State != c.want || x.Found == "" || x.Limit == "" || !strings.HasPrefix(x.Law, "RTS (EU) 2024/1772 Art.") {
					t.Errorf("%s: %+v", name, x)
				}
			}
		}
		if n != 1 || len(a.Thresholds) != 13 {
			t.Errorf("%s: %d of %d thresholds are called %q", name, n, len(a.Thresholds), c.what)
		}
	}
}

func TestTheIndication(t *testing.T) {
	over := Measures{Duration: 25 * time.Hour, States: []string{"AT", "DE"}}
	for critical, want := range map[string]string{"yes": "major", "no": "not_major", "unknown": "open"} {
		m := over
		if m.Critical = critical; critical == "yes" {
			m.Services = []Service{{Name: "hotline", Critical: true}}
		}
		if a := Assess(&Incident{}, &m); a.Indication != want || a.Why == "" {
			t.Errorf("%s: %+v", critical, a)
		}
	}
	m := Measures{Duration: 25 * time.Hour, Critical: "yes"} // two rows of one criterion are one criterion
	m.Downtime = 25 * time.Hour
	if a := Assess(&Incident{}, &m); a.Indication != "open" {
		t.Errorf("%+v", a)
	}
}

func TestSpan(t *testing.T) {
	for d, want := range map[time.Duration]string{
		0: "00:00:00", time.Second: "00:00:01", time.Minute: "00:00:01", 2*time.Hour + time.Second: "00:02:01", 25*time.Hour + 30*time.Minute: "01:01:30", 100 * 24 * time.Hour: "100:00:00",
	} {
		if got := Span(d); got != want {
			t.Errorf("%s: %s, want %s", d, got, want)
		}
	}
}
