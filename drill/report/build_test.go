package report

import (
	"crypto/ed25519"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cordonsip/cordon/audit"
	logreport "github.com/cordonsip/cordon/audit/report"
	"github.com/cordonsip/cordon/configs/drills"
	"github.com/cordonsip/cordon/drill/measure"
	"github.com/cordonsip/cordon/drill/scenario"
)

const drill = "01KAK8Q4T0000000000000DR01"

func raw(t *testing.T, v any) json.RawMessage {
	t.Helper()
	out, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// call is a receipt of a call that was terminated in a country.
func call(country, purpose, overall string) audit.Receipt {
	return audit.Receipt{
		CallRef: "ref-" + country, Purpose: purpose, Overall: overall, TInvite: at(70), TAnswer: at(71),
		Hops:     []audit.ReceiptHop{{Plane: "signalling", DeclaredCountry: country}, {Plane: "media", DeclaredCountry: country}},
		Attempts: []audit.Attempt{{Country: "US", Verdict: "hold", Ground: "no_adequacy"}},
	}
}

// story is what a log says of a region loss in production, and of what happened around it.
func story(t *testing.T) []audit.Event {
	t.Helper()
	text, _ := drills.Text("region-loss")
	s, probs := scenario.Read("region-loss", text)
	if len(probs) > 0 {
		t.Fatal(probs)
	}
	plan := audit.DrillPlan{
		Drill: drill, Scenario: s.Name, Version: s.Version, Digest: s.Digest, Title: s.Title, Class: string(s.Class), Authors: s.Authors, Mode: scenario.Full.Evidence(), Route: "line",
		Cast:     map[string]string{"carrier": "carrier-1", "primary": "edge-fra", "secondary": "edge-zrh", "forbidden": "edge-iad"},
		Function: &audit.DrillFunction{ID: "F-17", Name: "Telephone service line", Critical: true, RTO: 4},
	}
	other := plan
	other.Drill = "01KAK8Q4T0000000000000DR00"
	guards := []audit.DrillGuard{
		{Name: "window", Holds: true, Why: "saturday is open until 23:00"},
		{Name: "independent_of_scenario", Holds: true, Why: "the tester wrote no part of the scenario"},
		{Name: "independent_of_configuration", Holds: true, Why: "the tester did not make the configuration"},
	}
	whole := region()
	return []audit.Event{
		audit.NodeStarted{Name: "Bank One AG", LEI: "529900T8BM49AURSDO55"},
		call("FR", "production", "compliant"), // before: no part of it
		audit.DrillScenario{Digest: s.Digest, Piece: 1, Of: 2, Text: string(text[:100])},
		audit.DrillScenario{Digest: s.Digest, Piece: 2, Of: 2, Text: string(text[100:])},
		audit.DrillRequested{DrillPlan: other, Tester: "p-eve"},
		audit.DrillRefused{Drill: other.Drill, What: "withdrawn", Why: "not tonight"},
		audit.DrillRequested{DrillPlan: plan, Tester: "p-bob", Reason: "yearly", Wanted: 1},
		audit.DrillApproved{Drill: drill, Digest: s.Digest, By: "p-carol"},
		audit.DrillAnnounced{Drill: drill, Channels: []string{"siem", "ops-mail"}},
		audit.NoticeUndelivered{Channel: "siem", About: audit.KindDrillAnnounced, Entry: 8, Count: 1, Failure: "503"},
		audit.DrillStarted{
			DrillPlan: plan, Tester: "p-bob", Window: &audit.DrillWindow{Name: "saturday", Volume: "3 calls now, 4 usual"}, Guards: guards,
			Bounds:  audit.DrillBounds{Throttle: 2, Canary: 1, Aborts: []string{"production fails 5% more than before"}},
			Parties: []audit.DrillParty{{Party: "carrier-1", Name: "Carrier GmbH", LEI: "5299009QN2QPJPZU2Q32", Role: "carrier"}},
		},
		audit.DrillStep{Drill: drill, At: at(60), Word: "taken", What: "region [edge-fra]: blackhole"},
		call("CH", "drill", "compliant"),
		call("DE", "production", "compliant"),
		audit.DrillStep{Drill: drill, At: at(240), Word: "given_back", What: "region [edge-fra]: blackhole"},
		audit.DrillEnded{
			Drill: drill, Outcome: "passed", Start: start, End: at(480), Restored: at(480.2), Judgements: raw(t, whole.Criteria), Timeline: raw(t, measure.Timeline{Injected: at(60), FirstCall: at(62.5), FailbackDone: at(270)}),
			Measured: raw(t, measure.Figures{RTO: ptr(2.5), Placed: 1, Refused: 7, RecordsLost: ptr(uint64(0))}), Records: audit.DrillRecords{Acknowledged: 15, Found: 15, Verified: true},
			First: 11, Last: 14, Datagrams: map[string]uint64{"edge-iad": 0, "edge-zrh": 40},
		},
		call("FR", "production", "violation"), // after it
		audit.DrillDeficiency{Drill: drill, ID: "D-1", What: "found", Title: "A slow mail", Severity: "low", Owner: "p-dave", Due: at(86_400)},
		audit.DrillDeficiency{Drill: drill, ID: "D-1", What: "fixed", Title: "A slow mail", Severity: "low", Owner: "p-dave", Due: at(86_400), Fixed: at(3600), Retest: "01KAK8Q4T0000000000000DR02"},
		audit.DrillCleaned{Drill: drill, Removed: []string{"nothing is gone"}, Checks: []audit.DrillGuard{{Name: "board", Holds: true, Why: "it is empty"}}, By: "p-bob"},
	}
}

// logged gives the entries and the cover of a log with these events.
func logged(t *testing.T, events []audit.Event) ([]audit.Entry, logreport.Cover) {
	t.Helper()
	now := start.Add(-time.Hour)
	l, err := audit.Memory(audit.Config{
		Signer: ed25519.NewKeyFromSeed(make([]byte, 32)), Origin: "cordon/bank-1/edge-1", Tenant: "bank-1", Node: "edge-1", Software: "cordon test",
		Now: func() time.Time { now = now.Add(time.Minute); return now },
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, ev := range events {
		if _, err := l.Commit(t.Context(), ev); err != nil {
			t.Fatal(err)
		}
	}
	entries, err := l.Entries(t.Context(), 0, 100)
	if err != nil {
		t.Fatal(err)
	}
	note, err := l.Checkpoint(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return entries, logreport.Cover{Origin: "cordon/bank-1/edge-1", Size: l.Size(), Checkpoint: string(note)}
}

// told makes the report of the drill from these events.
func told(t *testing.T, events []audit.Event, in Input) (*Report, error) {
	t.Helper()
	entries, cover := logged(t, events)
	b := New(drill)
	for _, e := range entries {
		if err := b.Add(e); err != nil {
			return nil, err
		}
	}
	in.Cover, in.Made = cover, at(90_000)
	return b.Report(in)
}

func TestAReportIsMadeOfTheLog(t *testing.T) {
	r, err := told(t, story(t), Input{Name: func(p string) string { return map[string]string{"p-bob": "bob"}[p] }})
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]any{
		"entity": r.Entity, "tester": r.Testers[0].Name, "independent": words(r.Testers[0].Independent), "approved": words(r.Plan.ApprovedBy), "about": strings.HasPrefix(string(r.About), "Everything in the region"),
		"receipts": len(r.Receipts), "total": r.Residency.Total, "CH": r.Residency.ByCountry["CH"], "FR": r.Residency.ByCountry["FR"], "violations": r.Residency.Violations,
		"siem": r.Window.Alerts[0].Failure, "mail": r.Window.Alerts[1].Failure, "rto": *r.Measured.RTO, "carried": *r.Sufficient.Carried, "checks": len(r.Integrity), "steps": len(r.Steps),
		"deficiencies": len(r.Deficiencies), "fixed": day(r.Deficiencies[0].Fixed), "clean": words(r.Cleanup.Done), "signed": len(r.SignOff), "entries": len(r.Records), "first": r.Log.First, "last": r.Log.Last,
		"covered": r.covered(), "outcome": r.Outcome, "restored": r.Restored.Said(), "secondary": r.played("secondary"), "third": r.ThirdParties[0].LEI, "volume": r.Window.Basis, "sent": r.sent(), "parts": len(r.Parts),
	}
	want := map[string]any{
		"entity": Text("Bank One AG"), "tester": Text("bob"), "independent": "design, operation", "approved": "p-carol", "about": true,
		"receipts": 2, "total": uint64(2), "CH": uint64(1), "FR": uint64(0), "violations": uint64(0),
		"siem": Text("503"), "mail": Text(""), "rto": 2.5, "carried": 208.0, "checks": 3, "steps": 2,
		"deficiencies": 1, "fixed": "2026-11-21", "clean": "nothing is gone, checked: board holds, it is empty", "signed": 3, "entries": 10, "first": uint64(10), "last": uint64(15),
		"covered": true, "outcome": Passed, "restored": "2026-11-21 21:08:00", "secondary": "edge-zrh", "third": Text("5299009QN2QPJPZU2Q32"), "volume": Text("3 calls now, 4 usual"), "sent": "edge-iad 0, edge-zrh 40", "parts": 4,
	}
	for name, w := range want {
		if got[name] != w {
			t.Errorf("%s: %v, want %v", name, got[name], w)
		}
	}
}

// What channels took and what did not arrive of this drill is counted, and nothing of another one.
func TestNoticesAreCounted(t *testing.T) {
	alerted := audit.DrillStep{Drill: drill, At: at(481), Word: "alerted", What: "ops-mail took drill.ended"}
	another := alerted
	another.Drill = "01KAK8Q4T0000000000000DR09"
	r, err := told(t, append(story(t), alerted, another, audit.NoticeUndelivered{Channel: "siem", About: audit.KindDrillRequested, Entry: 4, Count: 1, Failure: "503"}), Input{})
	if err != nil {
		t.Fatal(err)
	}
	if g := r.Governance; g.Delivered != 1 || g.Failed != 1 || g.notices() != "1 taken by their channels, 1 not delivered" {
		t.Errorf("%+v: %s", g, g.notices())
	}
	if none := (&Governance{}).notices(); none != notRecorded {
		t.Error(none)
	}
}

// with replaces the event of a type by what change makes of it.
func with[E audit.Event](t *testing.T, events []audit.Event, change func(*E)) []audit.Event {
	t.Helper()
	for k, ev := range events {
		if ev, ok := ev.(E); ok && k > 5 {
			change(&ev)
			events[k] = ev
			return events
		}
	}
	t.Fatal("there is no such event")
	return nil
}

func TestWhatIsNotThereIsNotClaimed(t *testing.T) {
	for name, c := range map[string]struct {
		events  []audit.Event
		missing []string
		not     []string
	}{
		"the node ended in the middle": {
			with(t, story(t), func(e *audit.DrillEnded) {
				e.Judgements, e.Timeline, e.Measured, e.Records, e.Crash, e.Outcome = nil, nil, nil, audit.DrillRecords{}, true, "aborted"
			}),
			[]string{"measured", "timeline", "hypothesis_and_pass_criteria", "sufficient_period"},
			[]string{"plan.version", "residency_result"},
		},
		"nobody verified the log":        {with(t, story(t), func(e *audit.DrillEnded) { e.Records.Verified = false }), []string{"measured.rpo_records_lost"}, nil},
		"the file says no function":      {with(t, story(t), func(e *audit.DrillStarted) { e.Function = &audit.DrillFunction{ID: "F-17"} }), []string{"function.rto_hours", "function.name"}, []string{"function.roi_function_id"}},
		"no guard is about independence": {with(t, story(t), func(e *audit.DrillStarted) { e.Guards = e.Guards[:1] }), []string{"testers.independent_of"}, []string{"guards"}},
		"a sandbox without its log":      {with(t, story(t), func(e *audit.DrillEnded) { e.Log = "sandbox" }), []string{"residency_result", "log.checkpoint"}, nil},
	} {
		r, err := told(t, c.events, Input{})
		if err != nil {
			t.Fatal(err)
		}
		var fields []string
		for _, m := range r.Missing {
			fields = append(fields, m.Field)
		}
		for _, f := range c.missing {
			if !slices.Contains(fields, f) {
				t.Errorf("%s: %s is not among the missing: %v", name, f, fields)
			}
		}
		for _, f := range c.not {
			if slices.Contains(fields, f) {
				t.Errorf("%s: %s is among the missing", name, f)
			}
		}
	}
}

// A sandbox that never came to a log of its own, or in whose middle the node ended, says nothing of calls: those in the node's log are production's.
func TestProductionsCallsAreNoneOfASandbox(t *testing.T) {
	events := story(t)
	for k, ev := range events {
		switch ev := ev.(type) {
		case audit.DrillStarted:
			ev.Mode = scenario.Sandbox.Evidence()
			events[k] = ev
		case audit.DrillEnded:
			ev.Mode, ev.Judgements, ev.Timeline, ev.Measured, ev.Crash, ev.Outcome = scenario.Sandbox.Evidence(), nil, nil, nil, true, "aborted"
			events[k] = ev
		}
	}
	r, err := told(t, events, Input{})
	if err != nil {
		t.Fatal(err)
	}
	if r.Residency != nil || len(r.Receipts) > 0 || r.Played != nil || len(r.Integrity) > 0 {
		t.Errorf("%+v, %d receipts, %+v, %+v", r.Residency, len(r.Receipts), r.Played, r.Integrity)
	}
}

// What a report says of a cut log of a sandbox holds for the rest of it alone, and says so.
func TestACutLogOfASandboxIsTold(t *testing.T) {
	entries, cover := logged(t, with(t, story(t), func(e *audit.DrillEnded) { e.Log, e.First, e.Last = "sandbox", 1, 3 }))
	b := New(drill)
	for _, e := range entries {
		if err := b.Add(e); err != nil {
			t.Fatal(err)
		}
	}
	own, ownCover := logged(t, []audit.Event{call("AT", "drill", "compliant"), call("NL", "drill", "compliant"), call("NL", "drill", "compliant")})
	for _, e := range own {
		if err := b.Play(e); err != nil {
			t.Fatal(err)
		}
	}
	r, err := b.Report(Input{Cover: cover, Played: &ownCover, Made: at(90_000)})
	if err != nil {
		t.Fatal(err)
	}
	i := slices.IndexFunc(r.Integrity, func(c Check) bool { return c.Found == "2 of 3 entries" })
	if i < 0 || r.Integrity[i].Holds || r.covered() || r.Played.First != 1 || r.Played.Last != 3 {
		t.Errorf("%+v, %+v, covered %v", r.Integrity, r.Played, r.covered())
	}
}

func TestASandboxHasALogOfItsOwn(t *testing.T) {
	entries, cover := logged(t, with(t, story(t), func(e *audit.DrillEnded) { e.Log, e.First, e.Last = "sandbox", 1, 2 }))
	b := New(drill)
	for _, e := range entries {
		if err := b.Add(e); err != nil {
			t.Fatal(err)
		}
	}
	own, ownCover := logged(t, []audit.Event{call("AT", "drill", "compliant"), call("NL", "drill", "compliant"), call("NL", "drill", "violation"), call("BE", "drill", "compliant")})
	for _, e := range own {
		if err := b.Play(e); err != nil {
			t.Fatal(err)
		}
	}
	r, err := b.Report(Input{Cover: cover, Played: &ownCover, Made: at(90_000)})
	if err != nil {
		t.Fatal(err)
	}
	if r.Residency.Total != 2 || r.Residency.ByCountry["NL"] != 2 || r.Residency.Violations != 1 || len(r.Receipts) != 2 || r.Played.Where != "sandbox" || !r.covered() {
		t.Errorf("of the sandbox's own log: %+v, receipts %v, %+v", r.Residency, r.Receipts, r.Played)
	}
}

func TestNoReportOfWhatNeverRan(t *testing.T) {
	for name, c := range map[string]struct {
		events func([]audit.Event) []audit.Event
		want   string
	}{
		"an empty log":   {func([]audit.Event) []audit.Event { return []audit.Event{audit.NodeStarted{}} }, "this log has no drill"},
		"another drill":  {func(all []audit.Event) []audit.Event { return all[:6] }, "its newest is 01KAK8Q4T0000000000000DR00"},
		"only asked for": {func(all []audit.Event) []audit.Event { return all[:8] }, "has not begun"},
		"refused": {func(all []audit.Event) []audit.Event {
			return append(all[:8:8], audit.DrillRefused{Drill: drill, What: "start", Why: "no window is open"})
		}, "never began (start: no window is open)"},
		"still in the middle": {func(all []audit.Event) []audit.Event { return all[:14] }, "has not ended"},
	} {
		if _, err := told(t, c.events(story(t)), Input{}); !errors.Is(err, ErrNone) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
	}
	broken := with(t, story(t), func(e *audit.DrillEnded) { e.Measured = json.RawMessage(`"none"`) })
	if _, err := told(t, broken, Input{}); err == nil || errors.Is(err, ErrNone) || !strings.Contains(err.Error(), "entry 15") {
		t.Errorf("an entry that does not read: %v", err)
	}
}

// What the text of the scenario alone says is taken from it, if it is the text that was played.
func TestTheTextIsRead(t *testing.T) {
	text, _ := drills.Text("region-loss")
	text = append(text, []byte("function: {name: Service line, critical: true, rto: 4h, bia: BIA-7}\n")...)
	s, probs := scenario.Read("ours", text)
	if len(probs) > 0 {
		t.Fatal(probs)
	}
	for name, c := range map[string]struct {
		digest string
		want   Text
	}{"the text that was played": {s.Digest, "BIA-7"}, "another one": {strings.Repeat("ab", 32), ""}} {
		r, err := told(t, with(t, story(t), func(e *audit.DrillStarted) { e.Digest = c.digest }), Input{Scenarios: [][]byte{[]byte("drill: no\n"), text}})
		if err != nil || r.Plan.BIA != c.want || (r.About == "") != (c.want == "") {
			t.Errorf("%s: %q, %q, %v", name, r.Plan.BIA, r.About, err)
		}
	}
}
