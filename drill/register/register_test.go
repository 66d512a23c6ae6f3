package register

import (
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/cordonsip/cordon/audit"
)

var day = time.Date(2026, 3, 1, 9, 0, 0, 0, time.UTC)

// log makes entries of events, a minute apart.
type log struct {
	t *testing.T
	b *Book
	n uint64
}

func newLog(t *testing.T) *log {
	l := &log{t: t, b: NewBook()}
	l.put(audit.NodeStarted{}, "")
	return l
}

// put takes an event; wrong is what the error must say, "": there is none.
func (l *log) put(ev audit.Event, wrong string) {
	l.t.Helper()
	body, err := json.Marshal(ev)
	if err != nil {
		l.t.Fatal(err)
	}
	err = l.b.Take(audit.Entry{Kind: ev.Kind(), Seq: l.n, Time: day.Add(time.Duration(l.n) * time.Minute), Body: body})
	if (err == nil) != (wrong == "") || err != nil && !strings.Contains(err.Error(), wrong) {
		l.t.Errorf("entry %d, %s: %v, want %q", l.n, ev.Kind(), err, wrong)
	}
	l.n++
}

func request(id, scenario, mode string, wanted int) audit.DrillRequested {
	return audit.DrillRequested{DrillPlan: audit.DrillPlan{Drill: id, Scenario: scenario, Digest: "d1", Mode: mode}, Tester: "p-a", Wanted: wanted}
}

func (l *log) state(id string, want State) {
	l.t.Helper()
	if d := l.b.Get(id); d == nil || d.State != want {
		l.t.Errorf("%s: %+v, want %s", id, d, want)
	}
}

func TestADrillFromRequestToCleanUp(t *testing.T) {
	l := newLog(t)
	l.put(request("A", "s", "production_window", 1), "")
	l.state("A", Waiting)
	l.put(audit.DrillStarted{DrillPlan: audit.DrillPlan{Drill: "A"}}, "does not follow") // nobody agreed
	l.put(audit.DrillApproved{Drill: "A", Digest: "d1", By: "p-a"}, "")                  // its own tester
	l.put(audit.DrillApproved{Drill: "A", Digest: "d2", By: "p-b"}, "")                  // to another text
	l.state("A", Waiting)
	l.put(audit.DrillApproved{Drill: "A", Digest: "d1", By: "p-b"}, "")
	l.state("A", Ready)
	if p := l.b.Pending(); len(p) != 1 || l.b.Open() != nil {
		t.Errorf("%+v", p)
	}
	l.put(audit.DrillRefused{Drill: "A", What: "start", Why: "not now"}, "") // it may be tried again
	l.put(audit.DrillAnnounced{Drill: "A"}, "")
	l.put(audit.DrillSignedOff{Drill: "A"}, "does not follow")
	l.put(audit.DrillReported{Drill: "A"}, "does not follow")
	l.put(audit.DrillEnded{Drill: "A"}, "does not follow")
	l.put(audit.DrillStarted{DrillPlan: audit.DrillPlan{Drill: "A"}}, "")
	l.state("A", Running)
	if l.b.Open() == nil || l.b.Open().ID() != "A" || len(l.b.Pending()) != 0 {
		t.Error("nothing is running")
	}
	for range keptSteps + 1 {
		l.put(audit.DrillStep{Drill: "A", Word: "taken"}, "")
	}
	l.put(audit.DrillCleaned{Drill: "A"}, "does not follow")
	l.put(audit.DrillEnded{Drill: "A", Outcome: "passed", End: day.Add(time.Hour)}, "")
	l.put(audit.DrillRefused{Drill: "A", What: "expired"}, "") // too late to void anything
	l.state("A", Ended)
	l.put(audit.DrillSignedOff{Drill: "A", Verdict: "accept", By: "p-c", Signature: json.RawMessage(`{"statement":{"nonce":"n1"}}`)}, "")
	l.put(audit.DrillSignedOff{Drill: "A", Verdict: "reject", By: "p-c"}, "does not follow")
	l.put(audit.DrillSignedOff{Drill: "A", Verdict: "reject", By: "p-d"}, "")
	for range keptReports + 1 {
		l.put(audit.DrillReported{Drill: "A", Minutes: fmt.Sprint(l.n), Signature: json.RawMessage(`{"statement":{"nonce":"n2"}}`)}, "")
	}
	for range keptAcks + 1 {
		l.put(audit.DrillAcked{Drill: "A", When: "after", By: "p-d"}, "")
	}
	l.put(audit.DrillCleaned{Drill: "A", By: "p-a"}, "")
	l.state("A", Cleaned)
	if d := l.b.Get("A"); len(d.SignedOff) != 2 || len(d.Reported) != keptReports || len(d.Nonces) != keptReports+2 || len(d.Acked) != keptAcks || !d.HasAcked("p-d", "after") || d.HasAcked("p-d", "before") || len(d.Sum) != 64 || d.Over.IsZero() {
		t.Errorf("what people said of it: %+v", d)
	}
	if d := l.b.Get("A"); len(d.Steps) != keptSteps || d.Last != l.n-1 || d.Refused == nil || d.Announced == nil || d.Begun.IsZero() || !d.State.Over() || l.b.Open() != nil {
		t.Errorf("%+v", d)
	}
	back, err := json.Marshal(l.b)
	if err != nil {
		t.Fatal(err)
	}
	again := NewBook()
	if err := json.Unmarshal(back, again); err != nil || !again.Whole() || !reflect.DeepEqual(again, l.b) {
		t.Errorf("the book is another one after it was kept: %v", err)
	}
	again.Form--
	if again.Whole() {
		t.Error("a book of an earlier version can be used")
	}
	if new(Book).Whole() {
		t.Error("a book without its maps can be used")
	}
}

func TestWhatNeverBegins(t *testing.T) {
	l := newLog(t)
	for i, what := range []string{"request", "expired", "withdrawn"} {
		id := fmt.Sprint(i)
		l.put(request(id, "s", "sandbox", 0), "")
		l.state(id, Ready) // a sandbox waits for nobody
		l.put(audit.DrillRefused{Drill: id, What: what}, "")
		l.state(id, Void)
		l.put(audit.DrillApproved{Drill: id, Digest: "d1", By: "p-b"}, "is void")
		l.put(audit.DrillAnnounced{Drill: id}, "is void")
	}
	l.put(request("0", "s", "sandbox", 0), "twice")
	l.put(request("", "s", "sandbox", 0), "no name")
	l.put(audit.DrillApproved{Drill: "X"}, "never asked for")
	l.put(audit.DrillRefused{What: "request", Why: "no scenario"}, "") // there was nothing to name
	l.put(audit.Raw{What: audit.KindDrillEnded, Body: []byte(`[]`)}, "body of drill.ended")
	l.put(audit.CallEnded{}, "")
	for i := range keptDrills {
		l.put(request(fmt.Sprintf("k%d", i), "s", "sandbox", 0), "")
	}
	if len(l.b.Drills) != keptDrills || l.b.Get("0") != nil || l.b.Get("k0") == nil {
		t.Errorf("%d drills are kept", len(l.b.Drills))
	}
}

func TestTheLeverAndTheTexts(t *testing.T) {
	l := newLog(t)
	if _, is := l.b.Forbidden(); is {
		t.Error("nobody forbade anything")
	}
	l.put(audit.DrillLever{Reason: "an audit", By: "p-a"}, "")
	if why, is := l.b.Forbidden(); !is || why != "an audit" {
		t.Errorf("%q, %v", why, is)
	}
	l.put(audit.DrillLever{Allowed: true, By: "p-a"}, "")
	if _, is := l.b.Forbidden(); is {
		t.Error("it is allowed again")
	}
	l.put(audit.PolicyApplied{Cause: "reload", By: "p-a"}, "")
	l.put(audit.PolicyAccepted{By: "p-b"}, "")
	l.put(audit.PolicyApplied{Cause: "grant", By: "p-c"}, "") // opens a way, and changes no file
	if got := strings.Join(l.b.Configurers(), " "); got != "p-a p-b" {
		t.Errorf("made by %q", got)
	}
	l.put(audit.DrillScenario{Digest: "d1", Piece: 1, Of: 2}, "")
	if l.b.Texts["d1"] {
		t.Error("half of a text is none")
	}
	l.put(audit.DrillScenario{Digest: "d1", Piece: 2, Of: 2}, "")
	if !l.b.Texts["d1"] {
		t.Error("the text is there")
	}
}

func TestDeficiencies(t *testing.T) {
	l := newLog(t)
	l.put(request("A", "s", "sandbox", 0), "")
	l.put(audit.DrillDeficiency{Drill: "B", ID: "D1", What: "found"}, "of no drill")
	l.put(audit.DrillDeficiency{Drill: "A", What: "found"}, "of no drill")
	l.put(audit.DrillDeficiency{Drill: "A", ID: "D1", What: "found", Due: day.AddDate(0, 2, 0)}, "")
	l.put(audit.DrillDeficiency{Drill: "A", ID: "D2", What: "found", Due: day.AddDate(0, 1, 0)}, "")
	l.put(audit.DrillDeficiency{Drill: "A", ID: "D1", What: "fixed", Due: day.AddDate(0, 2, 0), Fixed: day}, "")
	if got := l.b.Defective("A"); len(got) != 2 || got[0].ID != "D2" || got[1].What != "fixed" || !got[1].Found.Before(day.Add(5*time.Minute)) || len(l.b.Defective("B")) != 0 {
		t.Errorf("%+v", got)
	}
}

// play puts a whole drill into the log.
func (l *log) play(id, scenario, mode, outcome string, end time.Time) {
	l.t.Helper()
	l.put(request(id, scenario, mode, 0), "")
	l.put(audit.DrillStarted{DrillPlan: audit.DrillPlan{Drill: id}}, "")
	l.put(audit.DrillEnded{Drill: id, Outcome: outcome, End: end}, "")
}

func TestOnlyWhatRanToItsEndIsATest(t *testing.T) {
	l := newLog(t)
	if _, ok := l.b.Newest("production_window"); ok {
		t.Error("nothing was ever tested")
	}
	for i, c := range []struct{ mode, outcome string }{
		{"production_window", "passed"},
		{"production_window", "failed"},
		{"production_window", "aborted"},
		{"production_window", "not_restored"},
		{"sandbox", "passed"},
		{"canary_percent", "passed"},
	} {
		l.play(fmt.Sprint(i), "s", c.mode, c.outcome, day.AddDate(0, 0, i))
	}
	for mode, want := range map[string]string{"production_window": "1", "sandbox": "4", "canary_percent": "5"} {
		if got, ok := l.b.Newest(mode); !ok || got.Drill != want {
			t.Errorf("%s: %+v", mode, got)
		}
	}
	if got, _ := l.b.Newest("production_window"); got.Outcome != "failed" || !got.End.Equal(day.AddDate(0, 0, 1)) {
		t.Errorf("%+v", got)
	}
}

// What is due is told once for each threshold, and a drill of that scenario and mode starts the clock anew.
func TestTheCalendar(t *testing.T) {
	l := newLog(t)
	calendar := []Duty{{Scenario: "s", Mode: "production_window"}, {Scenario: "s", Mode: "sandbox", Months: 3, Warn: []int{10}}}
	words := func(now time.Time) (out []string) {
		for _, r := range l.b.Reminders(calendar, now) {
			out = append(out, fmt.Sprintf("%s %s %d", r.Mode, r.What, r.Days))
			l.put(r, "")
		}
		return out
	}
	for _, c := range []struct {
		now  time.Time
		want string
	}{
		{day.AddDate(0, 2, 0), ""},
		{day.AddDate(0, 3, -10), "sandbox warning 10"},
		{day.AddDate(0, 3, -9), ""},
		{day.AddDate(0, 3, 0), "sandbox late 0"},
		{day.AddDate(0, 4, 0), ""},
		{day.AddDate(1, 0, -20), "production_window warning 30"}, // 60 passed while nobody looked
		{day.AddDate(1, 0, -7), "production_window warning 7"},
		{day.AddDate(1, 0, 0), "production_window late 0"},
	} {
		if got := strings.Join(words(c.now), ", "); got != c.want {
			t.Errorf("%s: %q, want %q", c.now, got, c.want)
		}
	}
	l.play("A", "other", "production_window", "passed", day.AddDate(1, 0, 1))
	l.play("B", "s", "production_window", "aborted", day.AddDate(1, 0, 1))
	if s := l.b.Standings(calendar, day.AddDate(1, 0, 2)); !s[0].Late || !s[0].Last.IsZero() {
		t.Errorf("%+v", s)
	}
	l.play("C", "s", "production_window", "failed", day.AddDate(1, 0, 1))
	if s := l.b.Standings(calendar, day.AddDate(1, 0, 2)); s[0].Late || s[0].Outcome != "failed" || !s[0].Due.Equal(day.AddDate(2, 0, 1)) {
		t.Errorf("%+v", s)
	}
	if got := NewBook().Reminders(calendar, day); got != nil {
		t.Errorf("a node that never started: %+v", got)
	}
}
