package configs

import (
	"strings"
	"testing"
	"time"

	"github.com/cordonsip/cordon/sovereign"
)

func TestRulesForRunningCalls(t *testing.T) {
	for name, c := range map[string]struct {
		law   string
		lon   Running
		other Running
	}{
		"none":               {"{}", Running{How: RunningEnd}, Running{How: RunningEnd}},
		"end":                {"{running_calls: end}", Running{How: RunningEnd}, Running{How: RunningEnd}},
		"end after":          {"{end_after: 10s}", Running{RunningEnd, 10 * time.Second}, Running{RunningEnd, 10 * time.Second}},
		"finish":             {"{running_calls: finish}", Running{RunningFinish, 4 * time.Hour}, Running{RunningFinish, 4 * time.Hour}},
		"reroute":            {"{running_calls: reroute}", Running{How: RunningReroute}, Running{How: RunningReroute}},
		"a party of its own": {"{running_calls: reroute, parties: [{party: fra, running_calls: finish, finish_within: 1m}]}", Running{RunningFinish, time.Minute}, Running{How: RunningReroute}},
	} {
		cfg, err := Parse("law.yaml", []byte(base+"law: "+c.law+"\n"))
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if got := cfg.Law.Of("fra"); got != c.lon {
			t.Errorf("%s: fra %+v", name, got)
		}
		if got := cfg.Law.Of("carrier"); got != c.other {
			t.Errorf("%s: carrier %+v", name, got)
		}
		for _, p := range cfg.Profiles {
			if p.Reroute != (cfg.Law.Of(p.Name).How == RunningReroute) {
				t.Errorf("%s: %s reroutes: %t", name, p.Name, p.Reroute)
			}
		}
	}
}

func TestLeavesAreBounded(t *testing.T) {
	from := time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)
	for name, c := range map[string]struct {
		rule  Running
		lasts time.Duration
		media bool
	}{
		"end":       {Running{How: RunningEnd}, 750 * time.Millisecond, false},
		"reroute":   {Running{How: RunningReroute}, 750 * time.Millisecond, false},
		"end after": {Running{RunningEnd, time.Minute}, time.Minute + 1500*time.Millisecond, true},
		"finish":    {Running{RunningFinish, time.Hour}, time.Hour + 1500*time.Millisecond, true},
	} {
		if l := c.rule.Leave("x", "p", from); l.Until.Sub(from) != c.lasts || l.Media != c.media || !l.From.Equal(from) || l.Cause != "x" || l.Party != "p" {
			t.Errorf("%s: %+v", name, l)
		}
	}
}

func TestWrongRulesForRunningCalls(t *testing.T) {
	for law, want := range map[string]string{
		"{running_calls: stop}":                       "law.running_calls",
		"{running_calls: finish, finish_within: 25h}": "law.finish_within",
		"{running_calls: finish, finish_within: 1s}":  "law.finish_within",
		"{running_calls: finish, end_after: 1m}":      "law.end_after",
		"{running_calls: reroute, end_after: 1m}":     "law.end_after",
		"{finish_within: 1h}":                         "law.finish_within",
		"{end_after: 25h}":                            "law.end_after",
		"{parties: [{party: nobody}]}":                "law.parties[0].party",
		"{parties: [{party: fra}, {party: fra}]}":     "law.parties[1].party",
		"{routes: [{route: nowhere}]}":                "law.routes[0].route",
		"{routes: [{route: in}, {route: in}]}":        "law.routes[1].route",
		"{routes: [{route: in, running_calls: go}]}":  "law.routes[0].running_calls",
	} {
		_, probs := Examine("law.yaml", []byte(base+"law: "+law+"\n"))
		found := false
		for _, p := range probs {
			found = found || p.Path == want && p.Hint != ""
		}
		if !found {
			t.Errorf("%s: %v, want one at %s", law, probs, want)
		}
	}
}

// A route's rule counts before the party's and the common one. The fence keeps the longest.
func TestRulesOfRoutes(t *testing.T) {
	const two = `routes:
  - {name: in, direction: inbound, to: [{party: fra}]}
  - {name: help, direction: inbound, prefix: ["+49"], to: [{party: fra}]}
`
	text := strings.Replace(base, "routes:\n  - {name: in, direction: inbound, to: [{party: fra}]}\n", two, 1)
	if text == base {
		t.Fatal("the base has another route")
	}
	from := time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)
	finish, end := Running{RunningFinish, 2 * time.Hour}, Running{How: RunningEnd}
	for law, c := range map[string]struct {
		in, help, kept Running
		rows           int
	}{
		"{routes: [{route: help, running_calls: finish, finish_within: 2h}]}":                                                {end, finish, finish, 2},
		"{running_calls: finish, finish_within: 2h, routes: [{route: in, running_calls: end}]}":                              {end, finish, finish, 2},
		"{parties: [{party: fra, running_calls: end}], routes: [{route: help, running_calls: finish, finish_within: 2h}]}":   {end, finish, finish, 2},
		"{parties: [{party: fra, running_calls: finish, finish_within: 2h}], routes: [{route: in, running_calls: reroute}]}": {Running{How: RunningReroute}, finish, finish, 2},
		"{running_calls: finish, finish_within: 2h, parties: [{party: carrier, running_calls: end}]}":                        {finish, finish, finish, 0},
	} {
		cfg, err := Parse("law.yaml", []byte(text+"law: "+law+"\n"))
		if err != nil {
			t.Errorf("%s: %v", law, err)
			continue
		}
		l := &cfg.Law
		if l.For("fra", "in") != c.in || l.For("fra", "help") != c.help || len(l.RoutesOf("fra")) != c.rows {
			t.Errorf("%s: in %+v, help %+v, %v", law, l.For("fra", "in"), l.For("fra", "help"), l.RoutesOf("fra"))
		}
		var kept sovereign.Leave
		for _, x := range l.Leaves("x", from) {
			if (x.Party == "fra" || x.Party == "" && kept.Party == "") && x.Route == "" {
				kept = x
			}
			if x.Route != "" && (x.Until != l.For(x.Party, x.Route).Leave("x", "", from).Until || x.Until.After(l.longest(x.Party).Leave("x", "", from).Until)) {
				t.Errorf("%s: %+v", law, x)
			}
		}
		if want := c.kept.Leave("x", "", from); kept.Until != want.Until || kept.Media != want.Media {
			t.Errorf("%s: the fence keeps %+v, not %+v", law, kept, want)
		}
		for _, p := range cfg.Profiles {
			for route, yes := range p.RerouteOn {
				if yes != (l.For(p.Name, route).How == RunningReroute) {
					t.Errorf("%s: %s by %s: %t", law, p.Name, route, yes)
				}
			}
		}
	}
}
