package routing

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"reflect"
	"testing"
	"time"

	"github.com/cordonsip/cordon/healthcheck"
	"github.com/cordonsip/cordon/routing/numbers"
	"github.com/cordonsip/cordon/sovereign"
)

// TestADraftChangesNoPlan: over random worlds whose health, limits and numbers change from call to call, each plan is byte for byte the one that is made without
// any draft, by this router and by one that knows nothing of earlier calls.
func TestADraftChangesNoPlan(t *testing.T) {
	drafted, plans := 0, 0
	for seed := range uint64(80) {
		rnd := rand.New(rand.NewPCG(seed, 0xd4af7))
		w := newWorld(t)
		randomise(w, rnd)
		full := map[string]bool{}
		if seed%2 == 0 {
			w.capacity = func(id string) bool { return !full[id] }
		}
		for name, g := range w.rules.Groups { // some take few callers, some write numbers their way
			if rnd.IntN(4) == 0 {
				g.Callers = numbers.Callers{Permit: []string{"+4969*"}}
			}
			if rnd.IntN(4) == 0 {
				g.Numbers = &numbers.Plan{Country: "49", Trunk: "0", Send: numbers.National}
			}
			w.rules.Groups[name] = g
		}
		w.rules.Routes[0].Recording = rnd.IntN(8) == 0
		if rnd.IntN(4) > 0 {
			w.gate.grants = nil
		}
		r, at := w.router(), start
		for i := range 40 {
			switch rnd.IntN(12) {
			case 0:
				w.status("fra", 0, healthcheck.State(rnd.IntN(4)), time.Duration(rnd.IntN(30))*time.Millisecond)
			case 1:
				full[w.table.ByParty["zrh"][0].Target.ID()] = rnd.IntN(2) == 0
			}
			at = at.Add(time.Duration(rnd.IntN(80)-10) * time.Millisecond)
			req := Request{
				From: []string{"carrier-de", "carrier-de", "carrier-ch", "fra"}[rnd.IntN(4)], Called: fmt.Sprint("+4969", rnd.IntN(1000)), Caller: []string{"+49691234", "+41441234", ""}[rnd.IntN(3)],
				At: at, Keys: rnd.IntN(8) == 0, Purpose: sovereign.Purpose(rnd.IntN(8) / 6),
			}
			got := r.planner(req)
			got.drafts = r.draftsFor(&got)
			got.run()
			if plans++; len(got.parties) == 0 && len(got.plan.Hops) > 0 {
				drafted++
			}
			all := []planner{r.planner(req)}
			if i%8 == 7 {
				all = append(all, w.router().planner(req))
			}
			for _, p := range all {
				p.run()
				want := p.plan
				a, _ := json.Marshal(got.plan)
				b, _ := json.Marshal(want)
				if !reflect.DeepEqual(got.plan, want) || string(a) != string(b) {
					t.Fatalf("seed %d, call %d: %+v\n%s\nwithout a draft\n%s", seed, i, req, a, b)
				}
			}
		}
	}
	if drafted < plans/10 || drafted > plans*4/5 {
		t.Errorf("%d of %d plans came out of a draft: both kinds are to be compared", drafted, plans)
	} else {
		t.Logf("%d of %d plans came out of a draft", drafted, plans)
	}
}

// TestADraftIsNobodys: what a caller does to its plan is seen by no other call.
func TestADraftIsNobodys(t *testing.T) {
	r := newWorld(t).router()
	req := call("carrier-de")
	first := r.Plan(req)
	want := r.Plan(req)
	for range 3 {
		p := r.Plan(req)
		if !reflect.DeepEqual(p, want) {
			t.Fatalf("%+v, want %+v", p, want)
		}
		p.Hops[0], p.Hops[1] = p.Hops[1], Hop{}
		p.Refused = append(p.Refused, Refused{Party: "x"})
		first.Hops[0], first.Refused[0] = Hop{}, Refused{}
	}
}

// TestADraftEnds: with each of the snapshots, and with what the law said.
func TestADraftEnds(t *testing.T) {
	w := newWorld(t)
	r := w.router()
	req := call("carrier-de")
	drafted := func() bool {
		p := r.planner(req)
		p.drafts = r.draftsFor(&p)
		p.run()
		return len(p.parties) == 0
	}
	if drafted() || !drafted() {
		t.Fatal("the second call of a kind has a draft, the first has none")
	}
	for name, change := range map[string]func(){
		"health":         func() { w.health("zrh", degraded) },
		"rules":          func() { _ = r.Reload(w.rules) },
		"what is active": func() { r.active.Store(&actives{}) },
		"a second":       func() { req.At = req.At.Add(memoFor) },
		"keys":           func() { req.Keys = true },
		"the caller":     func() { req.From = "carrier-ch" },
	} {
		if change(); drafted() {
			t.Errorf("%s changed, and the draft did not", name)
		}
		if !drafted() {
			t.Errorf("%s changed: no draft again", name)
		}
	}
	grantIAD(w)
	for range 2 {
		if drafted() {
			t.Error("a draft while a grant is live")
		}
	}
}
