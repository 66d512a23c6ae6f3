package routing

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/cordonsip/cordon/audit"
	"github.com/cordonsip/cordon/healthcheck"
	"github.com/cordonsip/cordon/routing/desk"
	"github.com/cordonsip/cordon/sovereign"
)

// withDesk gives a world a desk over its log.
func (w *world) withDesk() {
	d, err := desk.New(desk.Config{Log: w.log})
	if err == nil {
		err = d.Restore(context.Background())
	}
	if err != nil {
		w.t.Fatal(err)
	}
	w.desk = d
}

func (w *world) decide(events ...audit.Event) {
	w.t.Helper()
	for _, ev := range events {
		if _, err := w.desk.Decide(context.Background(), ev); err != nil {
			w.t.Fatal(err)
		}
	}
}

func service(kind, name string, s desk.State) audit.ServiceChanged {
	return audit.ServiceChanged{What: kind, Name: name, To: string(s), Reason: "change 4711", By: "p-1"}
}

func TestAdministrativeStatesInPlans(t *testing.T) {
	for name, c := range map[string]struct {
		set  []audit.Event
		live string // parties of a production call
		test string // of a synthetic one
		why  sovereign.Ground
	}{
		"a group drains":          {[]audit.Event{service("group", "fra", desk.Draining)}, "zrh sto", "zrh sto", GroundDraining},
		"a group is out":          {[]audit.Event{service("group", "zrh", desk.Out)}, "fra fra sto", "fra fra sto", GroundOut},
		"for tests alone":         {[]audit.Event{service("group", "fra", desk.TestOnly)}, "zrh sto", "fra fra zrh sto", GroundTestOnly},
		"a member":                {[]audit.Event{service("target", "fra/m1", desk.Out)}, "fra zrh sto", "fra zrh sto", GroundOut},
		"a target":                {[]audit.Event{service("target", "fra/m2/tls/203.0.113.3:5061", desk.Draining)}, "fra zrh sto", "fra zrh sto", GroundDraining},
		"a region":                {[]audit.Event{service("region", "aws:eu-central-2", desk.Out)}, "fra fra sto", "fra fra sto", GroundOut},
		"in service again":        {[]audit.Event{service("group", "fra", desk.Out), service("group", "fra", desk.InService)}, "fra fra zrh sto", "fra fra zrh sto", ""},
		"an hour ago, for a half": {[]audit.Event{audit.ServiceChanged{What: "group", Name: "fra", To: "out", Reason: "r", Until: start.Add(time.Second)}}, "fra fra zrh sto", "fra fra zrh sto", ""},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.withDesk()
			w.decide(c.set...)
			r := w.router()
			for purpose, want := range map[sovereign.Purpose]string{sovereign.Production: c.live, sovereign.SyntheticProbe: c.test, sovereign.Drill: c.test} {
				q := call("carrier-de")
				q.Purpose = purpose
				p := r.Plan(q)
				var got []string
				for _, h := range p.Hops {
					got = append(got, h.Party)
				}
				if strings.Join(got, " ") != want {
					t.Errorf("%s: %v, want %s", purpose, got, want)
				}
				for _, f := range p.Refused {
					if byHand(f.Ground) && (f.Ground != c.why || !strings.Contains(f.Why, "by hand since") || !f.Ruling.Permitted()) {
						t.Errorf("%+v", f)
					}
				}
			}
		})
	}
}

func TestAPartyOutOfServiceSendsNoCalls(t *testing.T) {
	w := newWorld(t)
	w.withDesk()
	w.decide(service("trunk", "carrier-de", desk.Draining))
	r := w.router()
	if p := r.Plan(call("carrier-de")); !p.Closed || len(p.Hops) != 0 || !strings.Contains(p.Why, "no new calls are taken from carrier-de") || p.Refused[0].Ground != GroundDraining {
		t.Errorf("%+v", p)
	}
	if p := r.Plan(call("carrier-ch")); p.Closed || len(p.Hops) == 0 {
		t.Errorf("%+v", p)
	}
	help := call("carrier-de")
	help.Called = "112"
	if p := r.Plan(help); p.Closed || len(p.Hops) == 0 || p.Purpose != sovereign.EmergencyCall {
		t.Errorf("help is held up by an administrative state: %+v", p)
	}
}

func TestWhatPeopleTookOutIsNoFailure(t *testing.T) {
	running(t, func(w *world) {
		w.withDesk()
		w.rules = rulesOf("fra 1", "zrh 2", "lon 3")
		w.rules.Routes = w.rules.Routes[:1]
		w.rules.Routes[0].Switch.FailbackAfter = time.Minute
	}, func(t *testing.T, w *world, r *Router) {
		set := func(name string, s desk.State) {
			if err := r.SetService(t.Context(), desk.Service{Kind: "group", Name: name, State: s, Reason: "change 4711", By: "p-1"}); err != nil {
				t.Fatal(err)
			}
			wait(2 * time.Second)
		}
		set("fra", desk.Out)
		active(t, r, "zrh", ReasonAutoFailover)
		w.want(t, "service.changed in_service>out", "applied fra>zrh")
		set("zrh", desk.Draining)
		wait(time.Minute)
		if n := w.gate.count(); n != 0 {
			t.Fatalf("people's own doing opened %d tickets", n)
		}
		if a := r.Active()["main"]; a.Held {
			t.Errorf("%+v", a)
		}
		set("fra", desk.InService)
		wait(2 * time.Minute)
		active(t, r, "fra", ReasonPrimary)
		w.turn(r, "fra", healthcheck.Down) // now something did fail, and nothing permitted is left
		wait(2 * time.Second)
		if n := w.gate.count(); n != 1 {
			t.Fatalf("%d tickets", n)
		}
		if p := w.gate.proposed[0]; len(p.Failed) != 1 || p.Failed[0] != "fra" {
			t.Errorf("failed: %v", p.Failed)
		}
	})
}

func notDone(t *testing.T, err error, ground sovereign.Ground, words ...string) {
	t.Helper()
	var n *NotDone
	if !errors.As(err, &n) || n.Ground != ground || n.Hint == "" {
		t.Fatalf("%v (%+v), want a refusal with ground %q", err, n, ground)
	}
	for _, w := range words {
		if !strings.Contains(n.What+"; "+n.Hint, w) {
			t.Errorf("%q does not say %q", n.What+"; "+n.Hint, w)
		}
	}
}

func TestSwitchAndFailbackByHand(t *testing.T) {
	running(t, func(w *world) {
		w.withDesk()
		w.rules.Routes = w.rules.Routes[:1]
		w.rules.Routes[0].Switch.FailbackAfter = time.Minute
	}, func(t *testing.T, w *world, r *Router) {
		ctx := t.Context()
		done, err := r.Switch(ctx, "fra", region("aws:eu-central-2"), "change 4711", "p-1")
		if err != nil || fmt.Sprint(done) != "[{main fra zrh change 4711}]" {
			t.Fatal(done, err)
		}
		active(t, r, "zrh", ReasonManual)
		if got := way(r.Plan(call("carrier-de"))); got != "zrh m1 manual_switch, fra m1 auto_failover, fra m2 auto_failover, sto m1 auto_failover" {
			t.Error(got)
		}
		wait(time.Hour) // nothing goes back by itself
		active(t, r, "zrh", ReasonManual)
		w.turn(r, "zrh", healthcheck.Down) // a switched route fails over as always, and comes back to where people put it
		wait(2 * time.Second)
		active(t, r, "fra", ReasonPrimary)
		w.turn(r, "zrh", healthcheck.Up)
		wait(2 * time.Minute)
		active(t, r, "zrh", ReasonManual)
		done, err = r.Failback(ctx, "", "done", "p-1")
		if err != nil || fmt.Sprint(done) != "[{main zrh fra done}]" {
			t.Fatal(done, err)
		}
		active(t, r, "fra", ReasonPrimary)
		if got := way(r.Plan(call("carrier-de"))); !strings.HasPrefix(got, "fra m1 primary") {
			t.Error(got)
		}
		if done, err = r.Failback(ctx, "", "again", "p-1"); err != nil || len(done) != 0 {
			t.Error(done, err)
		}
		w.want(t, "route.switched fra>zrh", "applied zrh>fra", "failback fra>zrh", "route.switched zrh>fra")
	})
}

func TestWhatASwitchMayNotDo(t *testing.T) {
	running(t, func(w *world) {
		w.withDesk()
		w.rules = rulesOf("fra 1", "zrh 2", "lon 3", "iad 4")
	}, func(t *testing.T, w *world, r *Router) {
		ctx := t.Context()
		_, err := r.Switch(ctx, "fra", region("aws:eu-west-2"), "r", "p-1")
		notDone(t, err, sovereign.GroundNotAllowListed, "lon is not permitted", "at the gate alone")
		_, err = r.Switch(ctx, "fra", region("aws:eu-north-1"), "r", "p-1")
		notDone(t, err, "", "no choice in aws:eu-north-1")
		_, err = r.Switch(ctx, "nobody", region("aws:eu-central-2"), "r", "p-1")
		notDone(t, err, "", "no route leads to")
		_, err = r.Switch(ctx, "fra", region("aws:eu-central-2"), " ", "p-1")
		notDone(t, err, "", "a reason is needed")
		w.turn(r, "zrh", healthcheck.Down)
		_, err = r.Switch(ctx, "fra", region("aws:eu-central-2"), "r", "p-1")
		notDone(t, err, "", "zrh cannot be used")
		_, err = r.Failback(ctx, "nothing", "r", "p-1")
		notDone(t, err, "", "is no route")
		w.log.set(true)
		w.turn(r, "zrh", healthcheck.Up)
		if _, err = r.Switch(ctx, "fra", region("aws:eu-central-2"), "r", "p-1"); !errors.Is(err, audit.ErrLogDown) {
			t.Error(err)
		}
		active(t, r, "fra", ReasonPrimary)
		w.log.set(false)
		w.want(t)
	})
}

// twoRoutes lets two routes use fra, with a log that takes a second for each entry.
func twoRoutes(w *world) {
	w.withDesk()
	w.log.slow = time.Second
	night := w.rules.Routes[0]
	night.Name, night.Prefix = "night", []string{"+4930"}
	w.rules.Routes = []Route{night, w.rules.Routes[0]}
}

// The log fails between two routes: the answer says what was changed and what was not, and both are as it says.
func TestAnOrderThatIsCarriedOutInPart(t *testing.T) {
	running(t, twoRoutes, func(t *testing.T, w *world, r *Router) {
		ctx := t.Context()
		failing := func(order func() ([]Switched, error)) *Halfway {
			t.Helper()
			time.AfterFunc(500*time.Millisecond, func() { w.log.set(true) })
			done, err := order()
			w.log.set(false)
			var h *Halfway
			if !errors.As(err, &h) || !errors.Is(err, audit.ErrLogDown) || done != nil {
				t.Fatalf("%v %v", done, err)
			}
			return h
		}
		to := func() ([]Switched, error) { return r.Switch(ctx, "fra", region("aws:eu-central-2"), "r", "p-1") }
		if h := failing(to); fmt.Sprint(h.Done, h.Left) != "[{night fra zrh r}] [main]" || !strings.Contains(h.Error(), "changed: night to zrh; not changed: main: ") {
			t.Errorf("%+v: %v", h, h)
		}
		if a := r.Active(); a["night"].Party != "zrh" || a["main"].Party != "fra" {
			t.Errorf("%+v", a)
		}
		if done, err := to(); err != nil || len(done) != 2 { // asked again
			t.Fatal(done, err)
		}
		if h := failing(func() ([]Switched, error) { return r.Failback(ctx, "", "done", "p-1") }); fmt.Sprint(h.Done, h.Left) != "[{night zrh fra done}] [main]" {
			t.Errorf("%+v", h)
		}
		if a := r.Active(); a["night"].Party != "fra" || a["main"].Party != "zrh" {
			t.Errorf("%+v", a)
		}
		if done, err := r.Failback(ctx, "", "done", "p-1"); err != nil || fmt.Sprint(done) != "[{main zrh fra done}]" {
			t.Error(done, err)
		}
		w.log.set(true) // and where the first one fails, nothing was changed
		var h *Halfway
		if _, err := to(); !errors.Is(err, audit.ErrLogDown) || errors.As(err, &h) {
			t.Error(err)
		}
		w.log.set(false)
	})
}

// Who asks may leave while Run carries the order out: it is carried out whole, and what it changed is nobody's who left.
func TestWhoAsksMayLeave(t *testing.T) {
	running(t, twoRoutes, func(t *testing.T, w *world, r *Router) {
		for _, order := range []func(ctx context.Context) ([]Switched, error){
			func(ctx context.Context) ([]Switched, error) {
				return r.Switch(ctx, "fra", region("aws:eu-central-2"), "r", "p-1")
			},
			func(ctx context.Context) ([]Switched, error) { return r.Failback(ctx, "", "r", "p-1") },
		} {
			before := r.Active()["main"].Party
			ctx, leave := context.WithTimeout(t.Context(), 1500*time.Millisecond) // the first of two entries is written
			done, err := order(ctx)
			leave()
			if done != nil || !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "under way") {
				t.Errorf("%v %v", done, err)
			}
			wait(time.Second)
			if a := r.Active(); a["main"].Party == before || a["night"].Party != a["main"].Party {
				t.Errorf("%+v", a)
			}
		}
	})
}

func TestMigrationAndRollback(t *testing.T) {
	running(t, func(w *world) { w.withDesk() }, func(t *testing.T, w *world, r *Router) {
		ctx := t.Context()
		m := desk.Migration{Route: "main", Party: "sto", Share: 0.25, Ranges: []string{"+4930*"}, Reason: "wave 1", By: "p-1"}
		if err := r.Migrate(ctx, m); err != nil {
			t.Fatal(err)
		}
		moved := 0
		for i := range 2000 {
			q := call("carrier-de")
			q.Called = fmt.Sprintf("+4969%06d", i)
			p := r.Plan(q)
			q.At, q.Caller = q.At.Add(time.Hour), "anonymous" // another call to the same number
			if again := r.Plan(q); p.Hops[0].Party != again.Hops[0].Party {
				t.Fatalf("%s changed sides", q.Called)
			}
			if p.Hops[0].Party == "sto" {
				moved++
				if p.Hops[0].Reason != ReasonMigration || p.Hops[1].Party != "fra" || p.Hops[1].Reason != ReasonAutoFailover {
					t.Fatal(way(p))
				}
			}
		}
		if moved < 420 || moved > 580 {
			t.Errorf("%d of 2000 moved, want a quarter", moved)
		}
		q := call("carrier-de")
		q.Called = "+4930555"
		if p := r.Plan(q); p.Hops[0].Party != "sto" {
			t.Error(way(p))
		}
		active(t, r, "fra", ReasonPrimary) // the route itself stays where it is
		if err := r.Rollback(ctx, "main", "echo", "p-1"); err != nil {
			t.Fatal(err)
		}
		if p := r.Plan(q); p.Hops[0].Party != "fra" || p.Hops[0].Reason != ReasonPrimary {
			t.Error(way(p))
		}
		notDone(t, r.Rollback(ctx, "main", "r", "p-1"), "", "nothing of route")
		notDone(t, r.Migrate(ctx, desk.Migration{Route: "main", Party: "iad", Share: 0.1, Reason: "r"}), sovereign.GroundConditionsNotMet, "not permitted", "at the gate alone")
		notDone(t, r.Migrate(ctx, desk.Migration{Route: "main", Party: "lon", Share: 0.1, Reason: "r"}), "", "is no choice of route")
		for _, bad := range []desk.Migration{{}, {Share: 2}, {Ranges: []string{"*"}}, {Ranges: []string{"+4969123456"}}, {Ranges: []string{"+49x*"}}, {Ranges: []string{"+491234567890123*"}}} {
			bad.Route, bad.Party, bad.Reason = "main", "sto", "r"
			if err := r.Migrate(ctx, bad); err == nil {
				t.Errorf("%+v was taken", bad)
			}
		}
	})
}

func TestWhatPeopleSwitchedIsThereAfterARestart(t *testing.T) {
	w := newWorld(t)
	w.withDesk()
	w.decide(audit.RouteSwitched{Route: "main", To: "sto", Reason: "change 4711"})
	w.withDesk() // reads the log again
	r := w.router()
	r.settle(r.rules.Load(), time.Now())
	active(t, r, "sto", ReasonManual)
}

func TestMistakesInAdministrativeStates(t *testing.T) {
	running(t, func(w *world) { w.withDesk() }, func(t *testing.T, w *world, r *Router) {
		for _, c := range []struct {
			s    desk.Service
			want string
		}{
			{desk.Service{Kind: "planet", Name: "fra", State: desk.Out, Reason: "r"}, "is no kind"},
			{desk.Service{Kind: "group", Name: "fra", State: "gone", Reason: "r"}, "is no state"},
			{desk.Service{Kind: "group", Name: "fra", State: desk.Out}, "a reason is needed"},
			{desk.Service{Kind: "group", Name: "carrier-de", State: desk.Out, Reason: "r"}, "is no group"},
			{desk.Service{Kind: "trunk", Name: "fra", State: desk.Out, Reason: "r"}, "is no trunk"},
			{desk.Service{Kind: "region", Name: "aws:eu-west-9", State: desk.Out, Reason: "r"}, "is no region"},
			{desk.Service{Kind: "target", Name: "fra/m9", State: desk.Out, Reason: "r"}, "is no target"},
			{desk.Service{Kind: "group", Name: "fra", State: desk.Out, Reason: "r", Until: start.Add(-time.Hour)}, "lies in the past"},
		} {
			notDone(t, r.SetService(t.Context(), c.s), "", c.want)
		}
		var released string
		r.cfg.Released = func(name string) { released = name }
		if err := r.SetService(t.Context(), desk.Service{Kind: "target", Name: "fra/m1", State: desk.InService, Reason: "r"}); err != nil || released != "fra/m1" {
			t.Errorf("%v, released %q", err, released)
		}
	})
}
