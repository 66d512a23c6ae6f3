package observe

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/cordonsip/cordon/approval"
	"github.com/cordonsip/cordon/audit"
	"github.com/cordonsip/cordon/configs/drills"
	"github.com/cordonsip/cordon/drill/measure"
	"github.com/cordonsip/cordon/drill/scenario"
)

var start = time.Date(2026, 11, 22, 9, 0, 0, 0, time.UTC)

func at(s float64) time.Time { return start.Add(time.Duration(s * float64(time.Second))) }

// observer watches the region loss that ships: fra is touched from 60 s on.
func observer(t *testing.T, name string) *Observer { return observerOf(t, name, "") }

// observerOf watches it as a canary with that id, if there is one.
func observerOf(t *testing.T, name, view string) *Observer {
	t.Helper()
	text, _ := drills.Text(name)
	s, probs := scenario.Read(name, text)
	if len(probs) > 0 {
		t.Fatal(probs)
	}
	p, probs := s.Bind(scenario.World{
		Parties: []scenario.Party{
			{Name: "carrier", Trunk: true, Region: "own:berlin", Standing: scenario.Permitted},
			{Name: "fra", Region: "aws:eu-central-1", Standing: scenario.Permitted},
			{Name: "zrh", Region: "aws:eu-central-2", Standing: scenario.Permitted},
			{Name: "iad", Region: "aws:us-east-1", Standing: scenario.HeldBack},
		},
		Routes: []scenario.Route{{Name: "line", From: []string{"carrier"}, To: []string{"fra", "zrh", "iad"}}},
	}, "")
	if len(probs) > 0 {
		t.Fatal(probs)
	}
	return New(p, Start{ID: "d1", At: start, First: first, View: view, Targets: map[string]string{"fra/a/udp/10.10.0.10:5060": "up", "fra/b/udp/10.10.0.11:5060": "up", "zrh/a/udp/10.20.0.10:5060": "up"}})
}

// first is the entry with which the play begins.
const first = 1_000_000

var seq uint64

func entry(t *testing.T, when time.Time, ev audit.Event) audit.Entry {
	t.Helper()
	body, err := json.Marshal(ev)
	if err != nil {
		t.Fatal(err)
	}
	if seq++; when.Before(start) {
		return audit.Entry{Kind: ev.Kind(), Time: when, Body: body, Seq: seq}
	}
	return audit.Entry{Kind: ev.Kind(), Time: when, Body: body, Seq: first + seq}
}

func health(target, to string) audit.HealthChanged {
	party, _, _ := strings.Cut(target, "/")
	return audit.HealthChanged{Target: target, Party: party, To: to}
}

const (
	fraA = "fra/a/udp/10.10.0.10:5060"
	fraB = "fra/b/udp/10.10.0.11:5060"
	zrhA = "zrh/a/udp/10.20.0.10:5060"
)

// Somebody sets the clock back in the middle: what is real is still seen, and no call of the play counts as one of before.
func TestAClockThatIsSetBack(t *testing.T) {
	o := observer(t, "region-loss")
	for range minCalls {
		e := entry(t, at(-3600), audit.Receipt{Purpose: "production", Outcome: audit.Outcome{SIPFinal: 503}})
		e.Seq += first
		o.Entry(e)
	}
	if failures, _ := o.Pulse(at(-3600)); failures != 1 {
		t.Errorf("%g of the calls failed", failures)
	}
	e := entry(t, at(-3590), audit.Severed{What: "trunk", Name: "carrier"})
	e.Seq += first
	if o.Entry(e); o.Event() == "" {
		t.Error("a cut by hand is not seen")
	}
}

func TestHealthIsThatOfParties(t *testing.T) {
	o := observer(t, "region-loss")
	for _, x := range []struct {
		s  float64
		ev audit.Event
	}{
		{62, health(fraA, "degraded")}, {65, health(fraA, "down")}, {66, health(fraB, "down")}, {300, health(fraA, "up")}, {301, health(fraB, "up")},
	} {
		o.Entry(entry(t, at(x.s), x.ev))
	}
	got := fmt.Sprint(o.Seen().Health)
	want := fmt.Sprint([]measure.Health{
		{At: at(62), Party: "fra", Up: true, Limps: true}, {At: at(66), Party: "fra", Limps: true}, {At: at(300), Party: "fra", Up: true, Limps: true}, {At: at(301), Party: "fra", Up: true},
	})
	if got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	if o.Event() != "" {
		t.Error(o.Event())
	}
}

func TestWhatIsNoPartOfThePlay(t *testing.T) {
	for name, c := range map[string]struct {
		play string
		s    float64
		ev   audit.Event
		want string
	}{
		"a party that is touched":         {"region-loss", 70, health(zrhA, "up"), ""},
		"one that is not":                 {"region-loss", 70, health(zrhA, "down"), "all targets of zrh are down"},
		"in front of the play":            {"region-loss", -5, health(zrhA, "down"), ""},
		"an incident of what is touched":  {"region-loss", 130, audit.IncidentOpened{Rule: "region_down", Title: "down", Parties: []string{"fra"}}, ""},
		"one before it is touched":        {"region-loss", 30, audit.IncidentOpened{Rule: "region_down", Title: "down", Parties: []string{"fra"}}, "an incident was opened: down"},
		"one about others, too":           {"region-loss", 130, audit.IncidentOpened{Rule: "region_down", Title: "down", Parties: []string{"fra", "zrh"}}, "an incident was opened: down"},
		"one that a person opened":        {"region-loss", 130, audit.IncidentOpened{Rule: "by_hand", Title: "odd", Parties: []string{"fra"}, By: "p1"}, "an incident was opened: odd"},
		"silent calls of what is gone":    {"carrier-loss", 130, audit.IncidentOpened{Rule: "media_dead", Title: "silence"}, ""},
		"silent calls before that":        {"carrier-loss", 30, audit.IncidentOpened{Rule: "media_dead", Title: "silence"}, "an incident was opened: silence"},
		"a violation":                     {"region-loss", 130, audit.IncidentOpened{Rule: "residency_violation", Title: "abroad"}, "an incident was opened: abroad"},
		"a gap of a log that was there":   {"region-loss", 130, audit.IncidentOpened{Rule: "log_gap", Title: "gap"}, "an incident was opened: gap"},
		"a gap of one that was taken":     {"log-unwritable", 130, audit.IncidentOpened{Rule: "log_gap", Title: "gap"}, ""},
		"a cut":                           {"region-loss", 10, audit.Severed{What: "trunk", Name: "carrier"}, "a trunk was cut by hand: carrier"},
		"the end of one":                  {"region-loss", 10, audit.Severed{What: "trunk", Name: "carrier", Back: true}, ""},
		"a suspension":                    {"region-loss", 10, audit.LawSuspended{Instrument: "CH-2000"}, "an instrument was suspended: CH-2000"},
		"a switch by a person":            {"region-loss", 10, audit.RouteSwitched{Route: "line", By: "p1"}, "somebody switched the route line"},
		"another configuration":           {"region-loss", 10, audit.PolicyApplied{Cause: "reload"}, "another configuration is in force"},
		"the law of the play":             {"region-loss", 10, audit.PolicyApplied{Cause: "drill"}, ""},
		"a body that nobody can read":     {"region-loss", 10, audit.Raw{What: audit.KindHealthChanged, Body: json.RawMessage(`[]`)}, ""},
		"a name server's parties go down": {"srv-moved-abroad", 90, health(fraA, "down"), ""},
	} {
		t.Run(name, func(t *testing.T) {
			o := observer(t, c.play)
			o.Entry(entry(t, at(c.s), c.ev))
			if got := o.Event(); c.want == "" && got != "" || !strings.HasPrefix(got, c.want) {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
}

// What was given back at 240 s and was up since goes down by itself: that is real, and goes first.
func TestARealOutageAfterTheGivingBack(t *testing.T) {
	for s, want := range map[float64]string{70: "", 250: "", 299: "", 301: "all targets of fra are down"} {
		o := observer(t, "region-loss")
		for i, ev := range []audit.Event{health(fraA, "down"), health(fraB, "down")} {
			o.Entry(entry(t, at(s+float64(i)/10), ev))
		}
		if got := o.Event(); want == "" && got != "" || !strings.HasPrefix(got, want) {
			t.Errorf("at %g s: got %q, want %q", s, got, want)
		}
	}
}

func TestTouchesSpeaksOfPartiesAlone(t *testing.T) {
	o := observer(t, "region-loss")
	if o.Touches("fra", at(59)) || !o.Touches("fra", at(60)) || !o.Touches("fra", at(400)) || o.Touches("zrh", at(400)) {
		t.Error("what is taken is touched from then on, and nothing else is")
	}
	o.p.Taken = []scenario.Taken{{Kind: scenario.Approver, Names: []string{"zrh"}}}
	if o.Touches("zrh", at(10)) {
		t.Error("a person who bears the name of a party is none")
	}
	o.p.Taken = []scenario.Taken{{Kind: scenario.DNS, Names: []string{"all"}}}
	if !o.Touches("zrh", at(10)) {
		t.Error("every name touches every party")
	}
}

func receipt(purpose string, status int, mos float64, attempts ...audit.Attempt) audit.Receipt {
	return audit.Receipt{CallRef: purpose, Purpose: purpose, Attempts: attempts, Outcome: audit.Outcome{SIPFinal: status, Quality: []audit.LegQuality{{MOS: mos}, {MOS: 4.4}}}}
}

func TestWhatWasRefusedIsOnRecord(t *testing.T) {
	o := observer(t, "region-loss")
	held := audit.Attempt{Party: "iad", Verdict: "hold"}
	contacted := held
	contacted.At = at(1)
	long := receipt("drill", 200, 4.3, held, held, audit.Attempt{Party: "fra", Verdict: "permit"})
	long.TInvite = at(1)
	first := entry(t, at(2), long)
	o.Entry(first)
	o.Entry(entry(t, at(-2), receipt("drill", 200, 4.3, held)))
	o.Entry(entry(t, at(3), receipt("drill", 200, 4.3, contacted)))
	o.Entry(entry(t, at(4), receipt("production", 200, 4.3, held)))
	o.Entry(entry(t, at(5), audit.FenceRefused{Party: "nowhere", Drill: "d1"}))
	o.Entry(entry(t, at(5), audit.FenceRefused{Party: "nowhere"}))              // production asked for it
	o.Entry(entry(t, at(5), audit.FenceRefused{Party: "nowhere", Drill: "d0"})) // another drill did
	o.Entry(entry(t, at(6), audit.Failover{What: audit.KindFailoverHeld, Route: "line", To: "iad"}))
	o.Entry(entry(t, at(7), audit.Failover{What: audit.KindFailoverHeld, Route: "another", To: "iad"}))
	o.Entry(entry(t, at(8), audit.Failover{What: audit.KindFailoverApplied, Route: "line", To: "zrh"}))
	o.Entry(entry(t, at(9), audit.RouteSwitched{Route: "line", To: "fra", Back: true, By: "rule:drill"}))
	s := o.Seen()
	if len(s.Refused) != 3 || s.Refused[0] != (measure.Attempt{At: at(1), Party: "iad", Entry: first.Seq}) || s.Refused[1].Party != "nowhere" || s.Refused[2].Party != "iad" {
		t.Errorf("%+v", s.Refused)
	}
	want := fmt.Sprint([]measure.Move{{At: at(6), What: "held", Party: "iad"}, {At: at(8), What: "applied", Party: "zrh"}, {At: at(9), What: "failback", Party: "fra"}})
	if got := fmt.Sprint(s.Moves); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	o.Entry(entry(t, at(10), audit.Gap{Calls: []string{"lost"}}))
	if !o.Traced("drill") || !o.Traced("lost") || o.Traced("never") {
		t.Error("what has a receipt or is named as missing is not told from what is not")
	}
}

func TestHowProductionFares(t *testing.T) {
	o := observer(t, "region-loss")
	for i := range 20 {
		o.Entry(entry(t, at(-30), receipt("production", map[bool]int{true: 503, false: 200}[i%10 == 0], 4.2))) // a tenth failed before
	}
	for i := range 8 {
		o.Entry(entry(t, at(float64(i)), receipt("production", map[bool]int{true: 500, false: 486}[i%2 == 0], 3)))
	}
	if f, mos := o.Pulse(at(10)); f != 0 || mos != 3 {
		t.Errorf("eight calls: %.2f, %.2f: they are too few to say how many fail", f, mos)
	}
	o.Entry(entry(t, at(8), receipt("production", 200, 0)))
	o.Entry(entry(t, at(8), receipt("production", 408, 0)))
	o.Entry(entry(t, at(8), receipt("drill", 503, 1)))
	if f, mos := o.Pulse(at(10)); f < 0.39 || f > 0.41 || mos < 3.2 || mos > 3.4 {
		t.Errorf("half of ten, less the tenth of before: %.2f, %.2f", f, mos)
	}
	if f, mos := o.Pulse(at(90)); f != 0 || mos != 0 {
		t.Errorf("what is long over still counts: %.2f, %.2f", f, mos)
	}
}

func TestATicketIsWhatItsLastRecordSays(t *testing.T) {
	o := observer(t, "region-loss")
	ticket := approval.Ticket{
		ID: "t", RequestedAt: at(70), Plan: approval.Plan{Scope: approval.Scope{Trunks: []string{"carrier"}, Groups: []string{"iad"}}},
		Decisions: []approval.Decision{{Person: "a", Approve: true, At: at(80)}, {Person: "a", Approve: true, At: at(81)}, {Person: "b", At: at(82)}, {Person: "c", Approve: true, At: at(83)}},
		Opinions:  []approval.Opinion{{Word: approval.NotReached, At: at(84)}, {Word: approval.NoObjection, At: at(85)}},
	}
	change := func(when float64, x approval.Ticket) {
		o.Entry(entry(t, at(when), approval.GateChanged{Ticket: x.ID, Record: &approval.Record{Ticket: x}}))
	}
	bare := ticket
	bare.Decisions, bare.Opinions = nil, nil
	change(70, bare)
	if s := o.Seen().Tickets; len(s) != 1 || len(s[0].Words) != 0 || !s[0].Opinion.IsZero() {
		t.Errorf("%+v", s)
	}
	change(90, ticket)
	old := bare
	old.ID, old.RequestedAt = "old", at(-1)
	change(91, old)
	policy := bare
	policy.ID, policy.Plan.Change = "policy", &approval.Change{}
	change(92, policy)
	want := fmt.Sprint([]measure.Ticket{{Parties: []string{"iad"}, Opened: at(70), Words: []time.Time{at(80), at(83)}, Opinion: at(85)}})
	if got := fmt.Sprint(o.Seen().Tickets); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

func TestCountsWithoutADatagramAreOneCount(t *testing.T) {
	o := observer(t, "region-loss")
	for i, n := range []uint64{0, 0, 0, 2, 0, 0} {
		o.Sent(measure.Sent{From: at(float64(i)), To: at(float64(i + 1)), Party: "iad", Datagrams: n})
		o.Sent(measure.Sent{From: at(float64(i)), To: at(float64(i + 1)), Party: "zrh"})
	}
	o.Sent(measure.Sent{From: at(7), To: at(8), Party: "iad"}) // nobody looked for a second
	got := ""
	for _, s := range o.Seen().Sent {
		got += fmt.Sprintf("%s %v-%v %d; ", s.Party, s.From.Sub(start), s.To.Sub(start), s.Datagrams)
	}
	if want := "iad 0s-3s 0; zrh 0s-6s 0; iad 3s-4s 2; iad 4s-6s 0; iad 7s-8s 0; "; got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	o.Noticed(measure.Notice{At: at(1), Channel: "siem", Kind: "failover.applied"})
	if n := o.Seen().Notices; len(n) != 1 {
		t.Errorf("%+v", n)
	}
}
