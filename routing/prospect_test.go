package routing

import (
	"context"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cordonsip/cordon/approval"
	"github.com/cordonsip/cordon/healthcheck"
	"github.com/cordonsip/cordon/sovereign"
)

// settled is a router that has taken its first parties.
func (w *world) settled() *Router {
	w.t.Helper()
	r := w.router()
	r.pass(context.Background(), time.Now())
	return r
}

func TestProspects(t *testing.T) {
	for name, c := range map[string]struct {
		routes   []Route
		change   func(w *world)
		next     string
		verdict  sovereign.Verdict
		basis    string
		why      string
		alone    bool
		nobodies bool
	}{
		"a permitted one":        {nil, func(*world) {}, "zrh", sovereign.Permit, "", "", false, false},
		"the next but one":       {nil, func(w *world) { w.health("zrh", healthcheck.Down) }, "sto", sovereign.Permit, "", "", false, false},
		"through the gate":       {nil, func(w *world) { w.health("zrh", healthcheck.Down); w.health("sto", healthcheck.Down) }, "iad", sovereign.Hold, "Art46(2)(c)_SCC:scc-1", "", false, false},
		"where nobody may ask":   {[]Route{{Name: "main", Direction: Inbound, To: choicesOf("fra 1", "iad 2"), Fallback: FallbackNever}}, func(*world) {}, "", 0, "", "iad:", false, true},
		"one that is down":       {[]Route{{Name: "main", Direction: Inbound, To: choicesOf("fra 1", "zrh 2")}}, func(w *world) { w.health("zrh", healthcheck.Down) }, "", 0, "", "zrh: down", false, true},
		"no other":               {[]Route{{Name: "main", Direction: Inbound, To: choicesOf("fra 1")}}, func(*world) {}, "", 0, "", "leads to no other", true, true},
		"one that nothing opens": {[]Route{{Name: "main", Direction: Inbound, To: choicesOf("fra 1", "bad 2")}}, func(*world) {}, "", 0, "", "bad:", false, true},
	} {
		synctest.Test(t, func(t *testing.T) {
			time.Sleep(time.Until(start))
			w := newWorld(t)
			w.rules.Basis = map[string]Basis{"iad": {Word: "Art46(2)(c)_SCC:scc-1"}}
			if c.routes != nil {
				w.rules.Routes = c.routes
			}
			r := w.settled()
			c.change(w)
			p := r.Prospects()[0]
			if p.Route != "main" || p.Active != "fra" || p.Next != c.next || p.Verdict != c.verdict || p.Basis != c.basis || p.Alone != c.alone || !strings.Contains(p.Why, c.why) || (p.Next == "") != c.nobodies {
				t.Errorf("%s: %+v", name, p)
			}
			if w.gate.count() != 0 || len(w.entries()) != 0 {
				t.Errorf("%s: looking ahead did something: %v", name, w.entries())
			}
		})
	}
}

func TestRecoveredSince(t *testing.T) {
	inbound := approval.Scope{Trunks: []string{"carrier-de"}, Groups: []string{"iad"}}
	for name, c := range map[string]struct {
		scope  approval.Scope
		down   string
		back   time.Duration // after which the party that was down is up again; 0: never
		ok     bool
		for4m  time.Duration // how long ago that was, four minutes after
		routes []Route
	}{
		"never down":           {scope: inbound, ok: true, for4m: 4 * time.Minute},
		"down":                 {scope: inbound, down: "fra"},
		"back after a minute":  {scope: inbound, down: "fra", back: time.Minute, ok: true, for4m: 3 * time.Minute},
		"a later choice":       {scope: inbound, down: "zrh", ok: true, for4m: 4 * time.Minute},
		"outbound":             {scope: approval.Scope{Trunks: []string{"carrier-us"}, Groups: []string{"fra"}}, down: "carrier-de", back: 2 * time.Minute, ok: true, for4m: 2 * time.Minute},
		"no route":             {scope: approval.Scope{Trunks: []string{"carrier-de"}, Groups: []string{"pdx"}}},
		"it stands for itself": {scope: inbound, routes: []Route{{Name: "main", Direction: Inbound, To: choicesOf("iad 1", "fra 2")}}},
	} {
		synctest.Test(t, func(t *testing.T) {
			time.Sleep(time.Until(start))
			w := newWorld(t)
			if c.routes != nil {
				w.rules.Routes = c.routes
			}
			begin := time.Now()
			for party, list := range w.table.ByParty {
				for i := range list {
					w.table.ByParty[party][i].Since = begin
				}
			}
			r := w.settled()
			if c.down != "" {
				w.health(c.down, healthcheck.Down)
			}
			time.Sleep(c.back)
			if c.back > 0 {
				w.health(c.down, healthcheck.Up)
			}
			time.Sleep(time.Until(begin.Add(4 * time.Minute)))
			since, ok := r.RecoveredSince(c.scope)
			if ok != c.ok || ok && time.Since(since) != c.for4m {
				t.Errorf("%s: %v since %s, want %v for %s", name, ok, time.Since(since), c.ok, c.for4m)
			}
		})
	}
}
