package cordon

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cordonsip/cordon/admin"
	"github.com/cordonsip/cordon/audit"
	"github.com/cordonsip/cordon/drill"
	"github.com/cordonsip/cordon/drill/measure"
	"github.com/cordonsip/cordon/drill/register"
	"github.com/cordonsip/cordon/drill/scenario"
)

const deskConfig = drillConfig + `
drills:
  windows: [{name: day, from: "08:00", to: "18:00"}]
  blocked: [{from: 2026-12-24, reason: holidays}]
  starters: [anna]
  approvers: [ben, anna]
  approve_in: 1h
  low_volume: {calls: 100}
  alert: {channels: [duty], lead: 15m}
  secondary_for: 1m
  calendar: [{scenario: region-loss, every_months: 1, warn_days: [7]}]
`

// fakePlay plays for a minute, or until it is stopped.
type fakePlay struct {
	outcome drill.Outcome
	asks    []drillAsk
	stopped atomic.Bool
}

func (f *fakePlay) play(ctx context.Context, ask drillAsk, stop <-chan string, told func(drill.Step)) (drillPlayed, error) {
	f.asks = append(f.asks, ask)
	start, res := time.Now(), drill.Result{Outcome: f.outcome}
	told(drill.Step{At: start, Word: "taken", What: "approver [ben]: away"})
	select {
	case <-time.After(time.Minute):
	case why := <-stop:
		res.Outcome, res.Cause = drill.Aborted, "stopped by people: "+why
		f.stopped.Store(true)
	case <-ctx.Done():
		res.Outcome, res.Cause = drill.Aborted, "the node stops"
	}
	told(drill.Step{At: time.Now(), Word: "given_back", What: "approver [ben]: away"})
	res.Seen = measure.Seen{
		Start: start, End: time.Now(), Restored: time.Now(), Refused: []measure.Attempt{{Entry: 7}}, Sent: []measure.Sent{{Party: "fra", Datagrams: 3}, {Party: "fra", Datagrams: 4}},
		Records: measure.Records{Acknowledged: 4, Found: 4, Verified: true},
	}
	return drillPlayed{Result: res, First: ask.Start, Last: ask.Start + 3}, nil
}

// drillsOn runs f on a node whose drills are played by a fake.
func drillsOn(t *testing.T, text string, f func(s *stageAt, k *drillKeeper, fake *fakePlay)) {
	t.Helper()
	onStage(t, text, func(s *stageAt) {
		fake := &fakePlay{outcome: drill.Passed}
		k := s.node.drills
		k.mu.Lock()
		k.plays = map[scenario.Mode]drillPlayer{scenario.Sandbox: fake.play, scenario.Canary: fake.play, scenario.Full: fake.play}
		k.mu.Unlock()
		f(s, k, fake)
	})
}

// drillKinds are the entries about drills, in their order, with what a refusal is of.
func drillKinds(t *testing.T, n *Node) (out []string) {
	t.Helper()
	list, err := n.log.Entries(t.Context(), 0, 100_000)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range list {
		if e.Kind.OfDrills() && !strings.Contains(string(e.Body), `"alerted"`) {
			out = append(out, strings.TrimPrefix(string(e.Kind), "drill."))
		}
		if e.Kind.OfDrills() && strings.Contains(string(e.Body), `[ben]`) {
			t.Errorf("a person stands in the log: %s", e.Body)
		}
	}
	return out
}

// From the request to the clean-up: another person agrees, people are told, the guards are asked again, and only then something is taken away.
func TestAFullDrillOfANode(t *testing.T) {
	drillsOn(t, deskConfig, func(s *stageAt, k *drillKeeper, fake *fakePlay) {
		t := s.t
		ctx, n := t.Context(), s.node
		order := admin.DrillOrder{Scenario: "region-loss", Mode: "full", Reason: "yearly"}
		p, err := k.Plan(ctx, order, "anna")
		if err != nil || p.Allowed || p.Approves != 1 || len(failing(p.Guards)) != 1 || failing(p.Guards)[0].Name != "second_person" || len(p.Moments) != 4 || len(p.Expect) == 0 || p.Calls != 0.2 || p.Cast["primary"] != "fra" {
			t.Errorf("%+v, %v", p, err)
		}
		if kinds := drillKinds(t, n); len(kinds) != 0 {
			t.Errorf("a plan wrote %v", kinds)
		}
		d, err := k.Request(ctx, order, "anna")
		if err != nil || d.State != register.Waiting {
			t.Fatalf("%+v, %v", d, err)
		}
		for by, want := range map[string]string{"anna": "nobody approves their own drill", "clara": "approves no drills"} {
			var no *admin.DrillRefusal
			if _, err := k.Approve(ctx, d.ID(), "fine", by); !errors.As(err, &no) || !strings.Contains(no.What, want) {
				t.Errorf("%s: %v", by, err)
			}
		}
		if d, err = k.Approve(ctx, d.ID(), "change 4711", "ben"); err != nil || d.State != register.Ready {
			t.Fatalf("%+v, %v", d, err)
		}
		time.Sleep(14 * time.Minute)
		if d, _ = k.Drill(d.ID()); d.State != register.Ready || d.Announced == nil || len(fake.asks) != 0 {
			t.Errorf("before its time: %+v", d)
		}
		time.Sleep(90 * time.Second)
		if d, _ = k.Drill(d.ID()); d.State != register.Running || len(fake.asks) != 1 || k.Standing().Running != d.ID() || d.Started.Window.Name != "day" || d.Started.Before["line"] != "fra" || len(d.Started.Approvals) != 1 || len(d.Started.Guards) < 14 {
			t.Fatalf("at its time: %+v", d)
		}
		if _, ok := n.lastTest(); ok {
			t.Error("it has not ended")
		}
		time.Sleep(time.Minute)
		d, _ = k.Drill(d.ID())
		if e := d.Ended; e == nil || d.State != register.Ended || e.Outcome != "passed" || e.Datagrams["fra"] != 7 || e.Last != e.First+2 || !e.Records.Verified || e.Restored.IsZero() {
			t.Fatalf("after it: %+v", d.Ended)
		}
		if at, ok := n.lastTest(); !ok || !at.Equal(d.Ended.End) || k.Last().Full.Outcome != "passed" || k.Last().Sandbox != nil {
			t.Errorf("the last test: %v, %v", at, ok)
		}
		if f, err := k.Find(ctx, d.ID(), admin.DrillFinding{Title: "slow", Severity: "high", Owner: "ben", Due: time.Now().AddDate(0, 1, 0)}, "clara"); err != nil || f.What != "found" {
			t.Errorf("%+v, %v", f, err)
		} else if f, err = k.Find(ctx, d.ID(), admin.DrillFinding{ID: f.ID, Fixed: true, Retest: d.ID()}, "ben"); err != nil || f.What != "fixed" || f.Title != "slow" || len(k.Defects("")) != 1 {
			t.Errorf("%+v, %v", f, err)
		}
		if d, err = k.Clean(ctx, d.ID(), admin.DrillSaid{Reason: "looked at it"}, "anna"); err != nil || d.State != register.Cleaned || len(d.Cleaned.Checks) != 3 || len(d.Cleaned.Removed) != 1 {
			t.Errorf("%+v, %v", d.Cleaned, err)
		}
		want := "requested refused refused approved announced scenario started step step ended deficiency deficiency cleaned"
		if got := strings.Join(drillKinds(t, n), " "); got != want {
			t.Errorf("%s\nwant %s", got, want)
		}
		k.mu.Lock()
		err = k.remind(ctx, time.Now().AddDate(0, 0, 25))
		k.mu.Unlock()
		if kinds := drillKinds(t, n); err != nil || kinds[len(kinds)-1] != "reminder" {
			t.Errorf("nobody was reminded of the next one: %v", kinds)
		}
	})
}

func TestWhatIsAskedAmiss(t *testing.T) {
	drillsOn(t, deskConfig, func(s *stageAt, k *drillKeeper, fake *fakePlay) {
		t := s.t
		ctx := t.Context()
		now := time.Now()
		for name, c := range map[string]struct {
			order admin.DrillOrder
			by    string
			want  string
		}{
			"no reason":              {admin.DrillOrder{Scenario: "region-loss", Mode: "sandbox"}, "anna", "a reason is missing"},
			"an unknown scenario":    {admin.DrillOrder{Scenario: "region-los", Mode: "sandbox", Reason: "r"}, "anna", `there is no scenario "region-los"`},
			"no mode":                {admin.DrillOrder{Scenario: "region-loss", Mode: "life", Reason: "r"}, "anna", `"life" is no mode`},
			"a simulation":           {admin.DrillOrder{Scenario: "region-loss", Mode: "simulation", Reason: "r"}, "anna", "a simulation runs in tests"},
			"an unknown route":       {admin.DrillOrder{Scenario: "region-loss", Mode: "sandbox", Route: "lime", Reason: "r"}, "anna", `"lime" is no route of this node`},
			"a room that is missing": {admin.DrillOrder{Scenario: "split-cluster", Mode: "sandbox", Reason: "r"}, "anna", "needs a cluster, and this node has none"},
			"a mode that it has not": {admin.DrillOrder{Scenario: "peak-load", Mode: "full", Reason: "r"}, "anna", "the scenario may not run as full"},
			"somebody else":          {admin.DrillOrder{Scenario: "region-loss", Mode: "full", Reason: "r"}, "clara", "the tester is none of drills.starters"},
			"a canary without a cap": {admin.DrillOrder{Scenario: "region-loss", Mode: "canary", Share: "1%", Reason: "r"}, "anna", "without a cap"},
			"a share that is none":   {admin.DrillOrder{Scenario: "region-loss", Mode: "canary", Share: "0.5", Cap: 1, Reason: "r"}, "anna", "is no share of calls"},
			"a share of a full one":  {admin.DrillOrder{Scenario: "region-loss", Mode: "full", Share: "1%", Reason: "r"}, "anna", "only a canary takes a share"},
			"too much for a canary":  {admin.DrillOrder{Scenario: "region-loss", Mode: "canary", Share: "6%", Cap: 1, Reason: "r"}, "anna", "it would take 6% of the calls"},
			"a time that is near":    {admin.DrillOrder{Scenario: "region-loss", Mode: "full", Begins: now.Add(time.Minute), Reason: "r"}, "anna", "people are told 15m0s before it begins"},
			"a time at night":        {admin.DrillOrder{Scenario: "region-loss", Mode: "full", Begins: now.Add(12 * time.Hour), Reason: "r"}, "anna", "no window is open at"},
			"a time at the end":      {admin.DrillOrder{Scenario: "region-loss", Mode: "full", Begins: time.Date(2026, 11, 23, 17, 55, 0, 0, time.UTC), Reason: "r"}, "anna", "day closes at"},
		} {
			var no *admin.DrillRefusal
			if _, err := k.Request(ctx, c.order, c.by); !errors.As(err, &no) || !strings.Contains(no.Error(), c.want) {
				t.Errorf("%s: %v, want %s", name, err, c.want)
			}
		}
		if _, err := k.Report(ctx, "01NEVER", "json", false); !errors.Is(err, admin.ErrNoDrill) {
			t.Errorf("a report of nothing: %v", err)
		}
		var no *admin.DrillRefusal
		d, err := k.Request(ctx, admin.DrillOrder{Scenario: "region-loss", Mode: "full", Reason: "r"}, "anna")
		if err != nil {
			t.Fatal(err)
		}
		if _, err := k.Report(ctx, d.ID(), "json", false); !errors.As(err, &no) || !strings.Contains(no.What, "is waiting: it never ran to an end") {
			t.Errorf("%v", err)
		}
		if _, err := k.Request(ctx, admin.DrillOrder{Scenario: "region-loss", Mode: "full", Reason: "r"}, "anna"); !errors.As(err, &no) || !strings.Contains(no.What, "is asked for already") {
			t.Errorf("a second start: %v", err)
		}
		if _, err := k.Find(ctx, d.ID(), admin.DrillFinding{Title: "x", Severity: "high", Owner: "ben", Due: now}, "ben"); !errors.As(err, &no) || !strings.Contains(no.What, "found nothing yet") {
			t.Errorf("%v", err)
		}
		if _, err := k.Clean(ctx, d.ID(), admin.DrillSaid{Reason: "r"}, "anna"); !errors.As(err, &no) || !strings.Contains(no.What, "is waiting") {
			t.Errorf("%v", err)
		}
		time.Sleep(61 * time.Minute)
		if d, _ = k.Drill(d.ID()); d.State != register.Void || d.Refused.What != "expired" || len(fake.asks) != 0 {
			t.Errorf("nobody approved it, and it is %+v", d)
		}
	})
	drillsOn(t, drillConfig, func(s *stageAt, k *drillKeeper, _ *fakePlay) {
		t := s.t
		var no *admin.DrillRefusal
		if _, err := k.Request(t.Context(), admin.DrillOrder{Scenario: "region-loss", Mode: "full", Reason: "r"}, "anna"); !errors.As(err, &no) || !strings.Contains(no.What, "full needs the word of a second person, and nobody else may give it") {
			t.Errorf("a mode without approval: %v", err)
		}
	})
}

// A sandbox needs one person and no window. The red button, the lever and the end of the node all stop it, and it says who did.
func TestWhatStopsADrill(t *testing.T) {
	order := admin.DrillOrder{Scenario: "region-loss", Mode: "sandbox", Reason: "r"}
	for name, c := range map[string]struct {
		stop  func(ctx context.Context, k *drillKeeper, id string) error
		cause string
		by    string
	}{
		"people": {func(ctx context.Context, k *drillKeeper, id string) error {
			_, err := k.Stop(ctx, id, "enough", "ben")
			return err
		}, "stopped by people: enough", "ben"},
		"the lever": {func(ctx context.Context, k *drillKeeper, id string) error {
			return k.Lever(ctx, false, "an audit", "clara")
		}, "stopped by people: the lever: an audit", "clara"},
	} {
		drillsOn(t, drillConfig, func(s *stageAt, k *drillKeeper, _ *fakePlay) {
			t := s.t
			ctx := t.Context()
			d, err := k.Request(ctx, order, "anna")
			if err != nil {
				t.Fatal(err)
			}
			time.Sleep(10 * time.Second)
			var no *admin.DrillRefusal
			if d, _ = k.Drill(d.ID()); d.State != register.Running {
				t.Fatalf("%s: %+v", name, d)
			}
			if _, err := k.Request(ctx, order, "anna"); !errors.As(err, &no) || !strings.Contains(no.What, "is being played") {
				t.Errorf("%s: a second start: %v", name, err)
			}
			if err := c.stop(ctx, k, d.ID()); err != nil {
				t.Error(err)
			}
			time.Sleep(time.Second)
			if d, _ = k.Drill(d.ID()); d.Ended == nil || d.Ended.Outcome != "aborted" || d.Ended.Cause != c.cause || d.Ended.Stopped != s.node.pseudonym(c.by) || k.Standing().Running != "" {
				t.Errorf("%s: %+v", name, d.Ended)
			}
			if k.Last() != (admin.DrillTests{}) {
				t.Errorf("%s: what was stopped tested nothing", name)
			}
			if name == "the lever" {
				if _, err := k.Request(ctx, order, "anna"); !errors.As(err, &no) || !strings.Contains(no.Error(), "all drills are forbidden: an audit") {
					t.Errorf("%v", err)
				}
				if err := k.Lever(ctx, true, "it is over", "clara"); err != nil || !k.Standing().Allowed {
					t.Error(err)
				}
			}
			if _, err := k.Stop(ctx, d.ID(), "again", "ben"); !errors.As(err, &no) {
				t.Errorf("%s: %v", name, err)
			}
		})
	}
}

// The red button and the lever stop a drill while somebody waits for the log, also when its book cannot be read.
func TestADrillIsStoppedWithoutTheLog(t *testing.T) {
	for name, stop := range map[string]func(ctx context.Context, k *drillKeeper, id string) error{
		"people": func(ctx context.Context, k *drillKeeper, id string) error {
			d, err := k.Stop(ctx, id, strings.Repeat("ü", drillReasonMost), "ben")
			if d.ID() != id {
				t.Errorf("%q is stopped, want %q", d.ID(), id)
			}
			return err
		},
		"the lever": func(ctx context.Context, k *drillKeeper, _ string) error {
			return k.Lever(ctx, false, "an audit", "clara")
		},
	} {
		drillsOn(t, drillConfig, func(s *stageAt, k *drillKeeper, fake *fakePlay) {
			t := s.t
			d, err := k.Request(t.Context(), admin.DrillOrder{Scenario: "region-loss", Mode: "sandbox", Reason: "r"}, "anna")
			if err != nil {
				t.Fatal(err)
			}
			time.Sleep(10 * time.Second)
			k.mu.Lock() // as who writes to a log that hangs
			book := k.kept.Book
			k.kept.Book = register.NewBook()
			done := make(chan error, 1)
			go func() { done <- stop(t.Context(), k, d.ID()) }()
			for range 1_000_000 { // nobody sleeps in a bubble where somebody waits for a lock
				if fake.stopped.Load() {
					break
				}
				runtime.Gosched()
			}
			if !fake.stopped.Load() {
				t.Errorf("%s: it plays on while the log hangs", name)
			}
			k.mu.Unlock()
			if err := <-done; err != nil {
				t.Errorf("%s: %v", name, err)
			}
			k.mu.Lock()
			k.kept.Book = book
			k.mu.Unlock()
		})
	}
}

// A guard that does not hold at its time keeps a drill from beginning, is said once, and the drill begins when it holds again.
func TestAGuardAtItsTime(t *testing.T) {
	drillsOn(t, deskConfig, func(s *stageAt, k *drillKeeper, fake *fakePlay) {
		t := s.t
		ctx := t.Context()
		d, err := k.Request(ctx, admin.DrillOrder{Scenario: "region-loss", Mode: "full", Reason: "r"}, "anna")
		if err == nil {
			_, err = k.Approve(ctx, d.ID(), "r", "ben")
		}
		if err == nil {
			err = k.Lever(ctx, false, "not today", "ben")
		}
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(20 * time.Minute)
		if d, _ = k.Drill(d.ID()); d.State != register.Ready || d.Refused == nil || len(d.Refused.Guards) != 1 || d.Refused.Guards[0].Name != "lever" || len(fake.asks) != 0 {
			t.Errorf("%+v", d)
		}
		if n := len(slices.DeleteFunc(drillKinds(t, s.node), func(k string) bool { return k != "refused" })); n != 1 {
			t.Errorf("it was said %d times", n)
		}
		if err := k.Lever(ctx, true, "now", "ben"); err != nil {
			t.Fatal(err)
		}
		time.Sleep(15 * time.Second)
		if d, _ = k.Drill(d.ID()); d.State != register.Running {
			t.Errorf("%+v", d)
		}
	})
}

// A crash in the middle is found at the start: everything is put back, the end is written, and it is no test.
func TestACrashInTheMiddleOfADrill(t *testing.T) {
	for _, back := range []bool{true, false} {
		drillsOn(t, drillConfig, func(s *stageAt, k *drillKeeper, _ *fakePlay) {
			t := s.t
			ctx := t.Context()
			plan := audit.DrillPlan{Drill: "01CRASH", Scenario: "region-loss", Mode: "production_window", Route: "line"}
			k.mu.Lock() // who keeps this node's drills would say that nobody has that text
			for _, ev := range []audit.Event{audit.DrillRequested{DrillPlan: plan, Tester: "p-a"}, audit.DrillStarted{DrillPlan: plan, Before: map[string]string{"line": "fra"}}} {
				if _, err := s.node.log.Commit(ctx, ev); err != nil {
					t.Error(err)
				}
			}
			k.mu.Unlock()
			again := newDrills(s.node) // as after a restart: it has the log alone
			if !back {
				again.putBack = func(context.Context, *register.Drill) (bool, string) { return false, "line uses zrh, and used fra" }
			}
			again.recover(ctx)
			d, _ := k.Drill("01CRASH")
			if e := d.Ended; e == nil || !e.Crash || back != (e.Outcome == "aborted" && !e.Restored.IsZero()) || !back && (e.Outcome != "not_restored" || !strings.Contains(e.Cause, "line uses zrh") || !e.Restored.IsZero()) {
				t.Errorf("%+v", e)
			}
			if again.recover(ctx); len(drillKinds(t, s.node)) != 3 {
				t.Error("its end was written twice")
			}
		})
	}
}

// A node says by whom calls for help leave, and takes no order to move the names of that one in production.
func TestWhoCarriesCallsForHelpIsNotMoved(t *testing.T) {
	own := t.TempDir()
	text, err := os.ReadFile(filepath.Join("configs", "drills", "srv-moved-abroad.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	text = []byte(strings.NewReplacer("drill: srv-moved-abroad", "drill: moves", "dns: primary", "dns: carrier").Replace(string(text)))
	if err := os.WriteFile(filepath.Join(own, "moves.yaml"), text, 0o600); err != nil {
		t.Fatal(err)
	}
	config := strings.Replace(deskConfig, "drills:\n", "drills:\n  scenarios: "+own+"\n", 1)
	help := strings.Replace(config, "{name: carrier,", "{name: carrier, country: DE,", 1) + "emergency: [{country: DE, numbers: [\"112\"], trunk: carrier}]\n"
	for text, want := range map[string]string{config: "", help: "the names of carrier are not moved in mode full: calls for help leave by it"} {
		drillsOn(t, text, func(s *stageAt, k *drillKeeper, _ *fakePlay) {
			_, err := k.Plan(s.t.Context(), admin.DrillOrder{Scenario: "moves", Mode: "full", Reason: "r"}, "anna")
			if got := fmt.Sprint(err); (err != nil) != (want != "") || !strings.Contains(got, want) {
				s.t.Errorf("%s, want %s", got, want)
			}
		})
	}
}
