package routing

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cordonsip/cordon/healthcheck"
	"github.com/cordonsip/cordon/sovereign"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
)

// running plays f beside a running Router in virtual time, which begins at start: the law of the year 2000 is another one.
func running(t *testing.T, set func(*world), f func(*testing.T, *world, *Router)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		time.Sleep(time.Until(start))
		w := newWorld(t)
		w.gate.approve = 30 * time.Minute
		if set != nil {
			set(w)
		}
		r := w.router()
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		done := make(chan error, 1)
		go func() { done <- r.Run(ctx) }()
		synctest.Wait()
		f(t, w, r)
		cancel()
		if err := <-done; err != nil {
			t.Fatal(err)
		}
	})
}

// turn changes the health of a party and tells the Router, as the Checker does.
func (w *world) turn(r *Router, party string, to healthcheck.State) {
	w.mu.Lock()
	before := slices.Clone(w.table.ByParty[party])
	w.mu.Unlock()
	w.health(party, to)
	for _, s := range before {
		if s.State != to {
			r.Transition(healthcheck.Transition{Target: s.Target, From: s.State, To: to, At: time.Now(), Why: to.String() + " by the test"})
		}
	}
	synctest.Wait()
}

func wait(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

func (w *world) want(t *testing.T, entries ...string) {
	t.Helper()
	if got := w.entries(); !slices.Equal(got, entries) {
		t.Fatalf("log:\n  %s\nwant:\n  %s", strings.Join(got, "\n  "), strings.Join(entries, "\n  "))
	}
}

func active(t *testing.T, r *Router, party string, reason RouteReason) Active {
	t.Helper()
	a := r.Active()["main"]
	if a.Party != party || a.Reason != reason || a.Why == "" {
		t.Fatalf("active is %+v, want %s by %s", a, party, reason)
	}
	return a
}

func TestFailoverAndFailback(t *testing.T) {
	running(t, func(w *world) { w.rules.Routes[0].Switch.FailbackAfter = 5 * time.Minute }, func(t *testing.T, w *world, r *Router) {
		active(t, r, "fra", ReasonPrimary)
		w.want(t)
		w.turn(r, "fra", down)
		active(t, r, "zrh", ReasonAutoFailover)
		w.want(t, "applied fra>zrh")
		w.turn(r, "fra", up)
		wait(4 * time.Minute)
		active(t, r, "zrh", ReasonAutoFailover)
		if p := r.Plan(call("carrier-de")); !strings.HasPrefix(way(p), "zrh m1 auto_failover, fra m1 failback") {
			t.Fatal(way(p))
		}
		wait(2 * time.Minute)
		active(t, r, "fra", ReasonPrimary)
		w.want(t, "applied fra>zrh", "failback zrh>fra")
		list, err := w.log.Entries(t.Context(), 0, 2)
		if err != nil {
			t.Fatal(err)
		}
		for i, cause := range []string{"fra/m1/tls/203.0.113.2:5061 up to down: ", "fra/m1/tls/203.0.113.2:5061 down to up: "} {
			if body := string(list[i].Body); !strings.Contains(body, cause) {
				t.Errorf("entry %d does not name its cause %q: %s", i, cause, body)
			}
		}
		if n := w.gate.count(); n != 0 {
			t.Fatalf("%d proposals", n)
		}
	})
}

func TestFailbackWaitsForStability(t *testing.T) {
	running(t, func(w *world) { w.rules.Routes[0].Switch.FailbackAfter = time.Minute }, func(t *testing.T, w *world, r *Router) {
		w.turn(r, "fra", down)
		for range 4 { // never up for a whole minute
			w.turn(r, "fra", up)
			wait(50 * time.Second)
			w.turn(r, "fra", down)
			wait(10 * time.Second)
		}
		w.want(t, "applied fra>zrh")
		w.turn(r, "fra", degraded) // degraded is no reason to come back
		wait(2 * time.Minute)
		w.want(t, "applied fra>zrh")
	})
}

func TestManualFailbackStays(t *testing.T) {
	running(t, func(w *world) { w.rules.Routes[0].Switch.Manual = true }, func(t *testing.T, w *world, r *Router) {
		w.turn(r, "fra", down)
		w.turn(r, "fra", up)
		wait(time.Hour)
		active(t, r, "zrh", ReasonAutoFailover)
		w.turn(r, "zrh", down) // until it has to leave
		active(t, r, "fra", ReasonPrimary)
		w.want(t, "applied fra>zrh", "failback zrh>fra")
	})
}

func TestHeldOnceGrantedAndBack(t *testing.T) {
	running(t, func(w *world) { w.rules.Routes[0].From = []string{"carrier-de"} }, func(t *testing.T, w *world, r *Router) {
		for _, p := range []string{"fra", "zrh", "sto"} {
			w.turn(r, p, down)
		}
		wait(5 * time.Minute)
		w.want(t, "applied fra>zrh", "applied zrh>sto", "held sto>iad T1")
		if a := active(t, r, "sto", ReasonAutoFailover); !a.Held || a.Ticket != "T1" {
			t.Fatalf("%+v", a)
		}
		if w.gate.count() != 1 || w.gate.by[0] != "rule:main" {
			t.Fatal(w.gate.proposed, w.gate.by)
		}
		p := w.gate.proposed[0]
		if fmt.Sprintf("%v %v %v %s %v", p.Scope.Trunks, p.Scope.Groups, p.Scope.Regions, p.Scope.Country, p.Failed) != "[carrier-de] [iad] [aws:us-east-1] US [fra sto zrh]" ||
			p.PolicyDigest != w.snapshot.PolicyDigest() || len(p.Alternatives) != 3 || !strings.HasPrefix(p.Grounds[0], "conditions_not_attested: ") {
			t.Fatalf("%+v", p)
		}
		if got := r.Plan(at(call("carrier-de"))); len(got.Hops) != 0 || !got.Held {
			t.Fatal(way(got))
		}

		w.grant("T1", 5, p.Scope.Trunks, p.Scope.Groups, p.Scope.Regions, time.Now(), time.Now().Add(time.Hour))
		r.Poke()
		synctest.Wait()
		if got := way(r.Plan(at(call("carrier-de")))); got != "iad m1 gated_failover T1" {
			t.Fatal(got) // health is still unknown: Plan may try it, Run waits for the first answer
		}
		w.want(t, "applied fra>zrh", "applied zrh>sto", "held sto>iad T1")
		w.turn(r, "iad", up)
		if a := active(t, r, "iad", ReasonGatedFailover); a.Held || a.Ticket != "T1" {
			t.Fatalf("%+v", a)
		}
		w.want(t, "applied fra>zrh", "applied zrh>sto", "held sto>iad T1", "applied sto>iad T1")

		w.turn(r, "zrh", up) // anything permitted by itself ends the exception at once
		active(t, r, "zrh", ReasonAutoFailover)
		w.want(t, "applied fra>zrh", "applied zrh>sto", "held sto>iad T1", "applied sto>iad T1", "failback iad>zrh")
	})
}

// at is a request of this moment.
func at(r Request) Request {
	r.At = time.Now()
	return r
}

func TestAGrantThatEndsIsHeldAgain(t *testing.T) {
	running(t, func(w *world) { w.rules = rulesOf("fra 1", "iad 2"); w.rules.Routes[0].From = []string{"carrier-de"} }, func(t *testing.T, w *world, r *Router) {
		w.turn(r, "fra", down)
		w.want(t, "held fra>iad T1")
		w.grant("T1", 5, []string{"carrier-de"}, []string{"iad"}, []string{"aws:us-east-1"}, time.Now(), time.Now().Add(10*time.Minute))
		w.turn(r, "iad", up)
		active(t, r, "iad", ReasonGatedFailover)
		wait(11 * time.Minute)
		w.want(t, "held fra>iad T1", "applied fra>iad T1", "held iad>iad T2")
		if a := r.Active()["main"]; a.Party != "" || !a.Held || a.Ticket != "T2" {
			t.Fatalf("%+v", a)
		}
		w.turn(r, "fra", up)
		active(t, r, "fra", ReasonPrimary)
		w.want(t, "held fra>iad T1", "applied fra>iad T1", "held iad>iad T2", "failback >fra")
	})
}

func TestNobodyIsAskedTwiceInOneEpisode(t *testing.T) {
	running(t, func(w *world) { w.rules = rulesOf("fra 1", "iad 2") }, func(t *testing.T, w *world, r *Router) {
		w.turn(r, "fra", down)
		for range 20 { // flapping between down and nearly up changes nothing
			w.turn(r, "fra", unknown)
			w.turn(r, "fra", down)
			wait(time.Minute)
		}
		if n := w.gate.count(); n > 21 {
			t.Fatalf("%d proposals", n)
		}
		held := 0
		for _, e := range w.entries() {
			if strings.HasPrefix(e, "held") {
				held++
			}
		}
		if held != w.gate.count() {
			t.Fatalf("%d entries for %d tickets", held, w.gate.count())
		}
	})
	running(t, func(w *world) { w.rules = rulesOf("fra 1", "iad 2") }, func(t *testing.T, w *world, r *Router) {
		w.turn(r, "fra", down)
		wait(29 * time.Minute)
		w.want(t, "held fra>iad T1")
		wait(2 * time.Minute) // the ticket's own clock ran out, and the outage goes on
		w.want(t, "held fra>iad T1", "held fra>iad T2")
		if w.gate.proposed[0].Hash() != w.gate.proposed[1].Hash() {
			t.Fatal("the same situation must be the same plan")
		}
	})
}

func TestNeverAndDeniedAreRefusedOnce(t *testing.T) {
	running(t, func(w *world) {
		w.rules = rulesOf("fra 1", "bad 2", "iad 3")
		w.rules.Routes[0].Fallback = FallbackNever
		w.health("bad", up)
	}, func(t *testing.T, w *world, r *Router) {
		w.turn(r, "fra", down)
		wait(10 * time.Minute)
		w.want(t, "refused fra>bad", "refused fra>iad")
		if w.gate.count() != 0 {
			t.Fatal("NEVER asked people")
		}
		if a := r.Active()["main"]; a.Held || a.Party != "fra" || a.Why == "" {
			t.Fatalf("%+v", a)
		}
		w.turn(r, "fra", up)
		wait(time.Second)
		w.turn(r, "fra", down)
		w.want(t, "refused fra>bad", "refused fra>iad", "refused fra>bad", "refused fra>iad")
	})
}

func TestNothingIsSwappedBeforeTheLogHasIt(t *testing.T) {
	running(t, nil, func(t *testing.T, w *world, r *Router) {
		w.log.set(true)
		w.turn(r, "fra", down)
		wait(10 * time.Second)
		active(t, r, "fra", ReasonPrimary)
		// Calls walk on meanwhile: that needs no entry.
		if got := way(r.Plan(at(call("carrier-de")))); !strings.HasPrefix(got, "zrh m1 auto_failover") {
			t.Fatal(got)
		}
		w.log.set(false)
		wait(2 * time.Second)
		active(t, r, "zrh", ReasonAutoFailover)
		w.want(t, "applied fra>zrh")
	})
}

func TestAStopWaitsForTheFailoverThatIsBeingWritten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		time.Sleep(time.Until(start))
		w := newWorld(t)
		w.log.slow = time.Second
		r := w.router()
		ctx, stop := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- r.Run(ctx) }()
		synctest.Wait()
		w.turn(r, "fra", down)
		active(t, r, "fra", ReasonPrimary)
		stop()
		if err := <-done; err != nil {
			t.Fatal(err)
		}
		active(t, r, "zrh", ReasonAutoFailover)
		w.want(t, "applied fra>zrh")
	})
}

func TestHeldSurvivesAFailingGateAndLog(t *testing.T) {
	running(t, func(w *world) { w.rules = rulesOf("fra 1", "iad 2"); w.gate.fail = errTest }, func(t *testing.T, w *world, r *Router) {
		w.turn(r, "fra", down)
		wait(10 * time.Second)
		w.want(t)
		w.gate.mu.Lock()
		w.gate.fail = nil
		w.gate.mu.Unlock()
		w.log.set(true)
		wait(10 * time.Second)
		w.log.set(false)
		wait(2 * time.Second)
		w.want(t, "held fra>iad T1")
		if w.gate.count() != 1 {
			t.Fatalf("%d proposals", w.gate.count())
		}
	})
}

func TestAPolicySwapMovesTheActiveParty(t *testing.T) {
	running(t, func(w *world) { w.rules.Routes = w.rules.Routes[:1] }, func(t *testing.T, w *world, r *Router) {
		s := policy(t, w, "aws:eu-central-2") // Frankfurt and Stockholm leave the allow-list
		w.mu.Lock()
		w.snapshot = s
		w.mu.Unlock()
		r.Poke()
		synctest.Wait()
		active(t, r, "zrh", ReasonAutoFailover)
		w.want(t, "applied fra>zrh")
	})
}

func TestScopeOfAProposalIsTheSmallest(t *testing.T) {
	running(t, func(w *world) {
		w.rules = rulesOf("split 1")
		parties := w.snapshot.Parties()
		for i := range parties {
			if parties[i].Name == "split" {
				parties[i].MediaRegions, parties[i].MediaEvidence = []sovereign.Region{region("aws:us-east-1"), region("aws:eu-north-1")}, "annex 3"
			}
		}
		s, err := sovereign.NewSnapshot(sovereign.SnapshotConfig{Policy: w.snapshot.Policy(), Atlas: w.snapshot.Atlas(), Parties: parties, Generation: 2})
		if err != nil {
			t.Fatal(err)
		}
		w.snapshot = s
	}, func(t *testing.T, w *world, r *Router) {
		wait(time.Second)
		if n := w.gate.count(); n != 1 {
			t.Fatalf("%d proposals", n)
		}
		// The home of the organisation and one media region are held; Frankfurt and Stockholm are permitted and need no exception.
		if got := fmt.Sprint(w.gate.proposed[0].Scope.Regions); got != "[aws:us-east-1 aws:us-west-2]" {
			t.Fatal(got)
		}
		scope := w.gate.proposed[0].Scope
		w.grant("T1", 1, scope.Trunks, scope.Groups, scope.Regions, time.Now(), time.Now().Add(time.Hour))
		if got := way(r.Plan(at(call("carrier-ch")))); got != "split m1 gated_failover T1" {
			t.Fatal(got, "the proposed scope does not open the way")
		}
	})
}

func TestOutboundProposal(t *testing.T) {
	running(t, func(w *world) { w.rules.Routes[1].From = []string{"fra", "zrh"} }, func(t *testing.T, w *world, r *Router) {
		w.turn(r, "carrier-de", down)
		w.turn(r, "carrier-ch", down)
		w.want(t, "applied carrier-de>carrier-ch", "held carrier-ch>carrier-us T1")
		s := w.gate.proposed[0].Scope
		if fmt.Sprint(s.Trunks, s.Groups, s.Regions) != "[carrier-us] [fra zrh] [aws:us-east-1]" {
			t.Fatalf("%+v", s)
		}
	})
}

func TestAPartyThatIsNotResolvedYetIsNoFailover(t *testing.T) {
	running(t, func(w *world) {
		w.table.ByParty["fra"] = []healthcheck.Status{{Target: healthcheck.Target{Party: "fra", Member: "m1"}, Since: time.Now(), Why: "not resolved yet"}}
	}, func(t *testing.T, w *world, r *Router) {
		wait(5 * time.Second)
		w.want(t)
		wait(10 * time.Second)
		w.want(t, "applied fra>zrh")
	})
}

func TestUnknownAtStartIsNoFailover(t *testing.T) {
	running(t, func(w *world) { w.health("fra", unknown) }, func(t *testing.T, w *world, r *Router) {
		wait(time.Minute)
		w.want(t)
		active(t, r, "fra", ReasonPrimary)
	})
}

func TestTransitionsOfOneTargetBecomeOne(t *testing.T) {
	w := newWorld(t)
	r := w.router()
	target := w.table.ByParty["fra"][0].Target
	for i := range 1000 {
		r.Transition(healthcheck.Transition{Target: target, From: up, To: healthcheck.State(1 + i%3), Why: fmt.Sprint(i)})
	}
	r.Transition(healthcheck.Transition{Target: w.table.ByParty["zrh"][0].Target, From: up, To: down})
	got := r.drain()
	if len(got) != 2 || got[0].From != up || got[0].Why != "999" || got[1].Target.Party != "zrh" {
		t.Fatalf("%+v", got)
	}
	if len(r.drain()) != 0 {
		t.Fatal("drained twice")
	}
}

func TestReloadKeepsTheActiveParty(t *testing.T) {
	running(t, nil, func(t *testing.T, w *world, r *Router) {
		w.turn(r, "fra", down)
		active(t, r, "zrh", ReasonAutoFailover)
		if err := r.Reload(rulesOf("fra 1", "zrh 2", "lon 3")); err != nil {
			t.Fatal(err)
		}
		wait(time.Second)
		active(t, r, "zrh", ReasonAutoFailover)
		if err := r.Reload(rulesOf("nobody 1")); err == nil {
			t.Fatal("a wrong rule was taken")
		}
		wait(time.Second)
		active(t, r, "zrh", ReasonAutoFailover)
		if err := r.Reload(rulesOf("sto 1", "lon 2")); err != nil {
			t.Fatal(err)
		}
		wait(time.Second)
		active(t, r, "sto", ReasonPrimary)
		w.want(t, "applied fra>zrh")
	})
}

func TestManyRoutesFailOverTogether(t *testing.T) {
	running(t, func(w *world) {
		w.rules.Routes = nil
		for i := range 60 {
			w.rules.Routes = append(w.rules.Routes, Route{Name: fmt.Sprint("r", i), Direction: Inbound, To: choicesOf("fra 1", "zrh 2")})
		}
	}, func(t *testing.T, w *world, r *Router) {
		w.turn(r, "fra", down)
		wait(time.Second)
		for name, a := range r.Active() {
			if a.Party != "zrh" {
				t.Fatalf("%s stayed with %s", name, a.Party)
			}
		}
		if n := len(w.entries()); n != 60 {
			t.Fatalf("%d entries", n)
		}
	})
}

func TestRulesMistakes(t *testing.T) {
	for want, change := range map[string]func(*Rules){
		`routing: route "main": to: "nobody" is no edge group; name one of: bad, fra, iad`: func(r *Rules) { r.Routes[0].To = choicesOf("nobody 1") },
		`routing: route "out": to: "fra" is no trunk`:                                      func(r *Rules) { r.Routes[1].To = choicesOf("fra 1") },
		`route "main": from: "fra" is no trunk`:                                            func(r *Rules) { r.Routes[0].From = []string{"fra"} },
		`it leads nowhere`:                                                                 func(r *Rules) { r.Routes[0].To = nil },
		`stands there twice`:                                                               func(r *Rules) { r.Routes[0].To = choicesOf("fra 1", "fra 2") },
		`negative priority or weight`:                                                      func(r *Rules) { r.Routes[0].To = choicesOf("fra -1") },
		`direction "sideways"`:                                                             func(r *Rules) { r.Routes[0].Direction = "sideways" },
		`the name is used twice`:                                                           func(r *Rules) { r.Routes[1].Name = "main" },
		`routes[0]: it has no name`:                                                        func(r *Rules) { r.Routes[0].Name = "" },
		`fallback_policy "PERHAPS"; use MANUAL_APPROVAL_REQUIRED or NEVER`:                 func(r *Rules) { r.Routes[0].Fallback = "PERHAPS" },
		`failback_after is negative`:                                                       func(r *Rules) { r.Routes[0].Switch.FailbackAfter = -1 },
		`margin: 1 is no share`:                                                            func(r *Rules) { r.Margin = 1 },
		`margin: -0.1`:                                                                     func(r *Rules) { r.Margin = -0.1 },
		`on_hold: status 503; use 403 or 603`:                                              func(r *Rules) { r.OnHold.Status = 503 },
		`route "main" on_hold: queue "Queue" is no edge group; name a declared edge group; did you mean "queue"?`: func(r *Rules) { r.Routes[0].OnHold.Queue = "Queue" },
		`group "fra": it has no region`:                                                     func(r *Rules) { r.Groups["fra"] = GroupRule{} },
		`a trunk has the same name`:                                                         func(r *Rules) { r.Groups["carrier-de"] = GroupRule{Region: region("aws:eu-central-1")} },
		`emergency[0] (DE): emergency trunk "none" does not exist`:                          func(r *Rules) { r.Emergency[0].Trunk = "none" },
		`trunk "carrier-ch" serves country "CH"; emergency calls never leave their country`: func(r *Rules) { r.Emergency[0].Trunk = "carrier-ch" },
		`the country has two rules`:                                                         func(r *Rules) { r.Emergency = append(r.Emergency, r.Emergency[0]) },
		`it names no country`:                                                               func(r *Rules) { r.Emergency[0].Country = "" },
		`trunk "carrier-de": country DE has no emergency trunk`:                             func(r *Rules) { r.Emergency = r.Emergency[1:] },
		`group "zrh": country AT has no emergency trunk`:                                    func(r *Rules) { r.Groups["zrh"] = GroupRule{Region: region("aws:eu-central-2"), Country: "AT"} },
	} {
		r := rulesOf("fra 1", "zrh 2")
		change(&r)
		err := Check(r)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v\nwant %s", err, want)
		}
	}
	if err := Check(rulesOf("fra 1")); err != nil {
		t.Error(err)
	}
	if _, err := New(Config{}); err == nil {
		t.Error("a Config without anything was taken")
	}
}

func TestMetricsRegisterOnce(t *testing.T) {
	w := newWorld(t)
	reg := prometheus.NewPedanticRegistry()
	c := Config{
		Rules: w.rules, Log: w.log, Metrics: reg,
		Table: func() *healthcheck.Table { return w.table }, Snapshot: func() *sovereign.Snapshot { return w.snapshot },
	}
	r, err := New(c)
	if err != nil {
		t.Fatal(err)
	}
	r.Plan(call("carrier-de"))
	if _, err := reg.Gather(); err != nil {
		t.Fatal(err)
	}
	if _, err := New(c); err == nil {
		t.Fatal("two routers on one registry")
	}
}

func TestStatusNamesTheNextParty(t *testing.T) {
	running(t, func(w *world) { w.rules.Routes = w.rules.Routes[:1] }, func(t *testing.T, w *world, r *Router) {
		row := func(active, next, held string) {
			t.Helper()
			s := r.Status()
			if len(s) != 1 || s[0].Route != "main" || s[0].Active != active || s[0].Next != next || s[0].Held != held || s[0].Why == "" {
				t.Fatalf("%+v, want %s then %s, held %q", s, active, next, held)
			}
		}
		row("fra", "zrh", "")
		w.turn(r, "zrh", down)
		row("fra", "sto", "")
		w.turn(r, "fra", down)
		row("sto", "", "")
		w.turn(r, "sto", down)
		row("sto", "", "T1")
	})
}

func TestReloadRanksTheActivePartyAnew(t *testing.T) {
	running(t, nil, func(t *testing.T, w *world, r *Router) {
		w.turn(r, "fra", down)
		active(t, r, "zrh", ReasonAutoFailover)
		if err := r.Reload(rulesOf("zrh 1", "fra 2")); err != nil {
			t.Fatal(err)
		}
		wait(time.Second)
		active(t, r, "zrh", ReasonPrimary)
		if err := r.Reload(rulesOf("fra 1", "zrh 2")); err != nil {
			t.Fatal(err)
		}
		wait(time.Second)
		active(t, r, "zrh", ReasonAutoFailover)
	})
}

func TestExplainCountsAsNoPlan(t *testing.T) {
	w := newWorld(t)
	r := w.router()
	plans := func() float64 { return testutil.ToFloat64(r.metrics.hops) }
	asked := r.Explain(call("carrier-de"))
	if plans() != 0 {
		t.Error("a question was counted")
	}
	if p := r.Plan(call("carrier-de")); way(p) != way(asked) || way(p) == "" || plans() != 1 {
		t.Errorf("asked %q, planned %q, counted %v", way(asked), way(p), plans())
	}
}
