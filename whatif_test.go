package cordon_test

import (
	"context"
	"encoding/json"
	"maps"
	"slices"
	"testing"
	"time"

	cordon "github.com/cordonsip/cordon"
	"github.com/cordonsip/cordon/admin"
	"github.com/cordonsip/cordon/audit"
	"github.com/cordonsip/cordon/healthcheck"
	"github.com/cordonsip/cordon/sovereign"
)

// happened is what the log says of a suspension, in the words of the question.
type happened struct {
	alarms map[string]bool
	how    map[string]int // calls by what became of them
}

// since reads the log from an entry on.
func (x *fall) since(from uint64) (h happened) {
	x.t.Helper()
	h = happened{map[string]bool{}, map[string]int{}}
	list, err := x.node.Log().Entries(x.t.Context(), from, 100000)
	if err != nil {
		x.t.Fatal(err)
	}
	for _, e := range list {
		body := map[string]any{}
		if err := json.Unmarshal(e.Body, &body); err != nil {
			x.t.Fatal(err)
		}
		word := func(k string) string { s, _ := body[k].(string); return s }
		switch e.Kind {
		case audit.KindLawSuspended, audit.KindLawInForce:
			h.alarms[string(e.Kind)+" "+word("instrument")] = true
		case audit.KindFailoverApplied, audit.KindFailoverHeld, audit.KindFailoverRefused, audit.KindFailback:
			h.alarms[string(e.Kind)+" "+word("route")+": "+word("to")] = true
		case audit.KindGateChanged:
			if word("state") == "INVALIDATED" {
				h.alarms[string(e.Kind)+" "+word("ticket")] = true
			}
		case audit.KindReceipt:
			var r audit.Receipt
			if err := json.Unmarshal(e.Body, &r); err != nil {
				x.t.Fatal(err)
			}
			for _, s := range r.Struck {
				h.how[s.How]++
			}
		}
	}
	return h
}

// What is foretold is what then happens on the node: the parties and their calls, the targets, the routes, the tickets, the destinations and the entries.
func TestWhatIfIsWhatHappens(t *testing.T) {
	for name, c := range map[string]struct {
		law   string
		count func(admin.WhatIfCalls) int
		how   string
	}{
		"end":     {"", func(c admin.WhatIfCalls) int { return c.Ended }, "ended"},
		"later":   {"law: {end_after: 5s}", func(c admin.WhatIfCalls) int { return c.Later }, "ended"},
		"reroute": {"law: {running_calls: reroute}", func(c admin.WhatIfCalls) int { return c.Rerouted }, "rerouted"},
		"route":   {"law: {routes: [{route: in, running_calls: finish, finish_within: 1m}]}", func(c admin.WhatIfCalls) int { return c.Finished }, "finished"},
		"strict":  {"law: {running_calls: finish, routes: [{route: in, running_calls: end}]}", func(c admin.WhatIfCalls) int { return c.Ended }, "ended"},
		"finish":  {"law: {parties: [{party: zrh, running_calls: finish, finish_within: 1m}]}", func(c admin.WhatIfCalls) int { return c.Finished }, "finished"},
	} {
		t.Run(name, func(t *testing.T) {
			falling(t, "udp", c.law, func(x *fall) {
				t := x.t
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				x.ring(ctx, 5*time.Second)
				time.Sleep(2 * time.Second) // all of them are answered, and none is over
				size, generation := x.node.Log().Size(), x.node.Fence().Snapshot().Generation()
				v, err := x.node.Law().WhatIf(ctx, admin.WhatIfQuestion{Instrument: swissLaw})
				if err != nil {
					t.Fatal(err)
				}
				if x.node.Log().Size() != size || x.node.Fence().Snapshot().Generation() != generation {
					t.Fatal("a question changed something")
				}
				x.suspend(time.Now())
				time.Sleep(40 * time.Second)
				was := x.since(size)
				in := logged[audit.LawInForce](x, audit.KindLawInForce)
				if len(in) != 1 || len(v.Parties) == 0 || len(in[0].Parties) != len(v.Parties) { // with rules of routes a party has a row for each of them
					t.Fatalf("%+v, %+v", v.Parties, in)
				}
				p, q := v.Parties[0], in[0].Parties[0]
				if p.Party != q.Party || p.Route != q.Route || p.Rule != q.Rule || p.Calls != q.Calls || p.Calls < 35 || p.Until.Sub(v.From) != q.Until.Sub(in[0].From) || p.Ground != "instrument_suspended" {
					t.Errorf("foretold %+v, and it was %+v", p, q)
				}
				foretold := map[string]bool{}
				for _, a := range v.Alarms {
					foretold[a.Kind+" "+a.About] = true
				}
				if !maps.Equal(foretold, was.alarms) || len(foretold) != 5 { // suspended, in force, one ticket, two routes
					t.Errorf("foretold %v, and it was %v", foretold, was.alarms)
				}
				routes := map[string]admin.WhatIfRoute{}
				for _, r := range v.Routes {
					routes[r.Route] = r
				}
				for route, active := range x.node.Router().Active() {
					r, touched := routes[route]
					if touched != (route != "us") || touched && (r.Next != active.Party || r.NoHop != (active.Party == "")) {
						t.Errorf("%s: foretold %+v, and it was %+v", route, r, active)
					}
				}
				if n := c.count(routes["in"].Calls); n != p.Calls || was.how[c.how] != n || len(was.how) != 1 {
					t.Errorf("foretold %+v, and it was %v", routes["in"].Calls, was.how)
				}
				x.alikeNow(v)
			})
		})
	}
}

// alikeNow holds the targets and destinations of a forecast against what the node now says of them.
func (x *fall) alikeNow(v admin.WhatIf) {
	x.t.Helper()
	s, closed := x.node.Fence().Snapshot(), []string{}
	for _, list := range x.node.Checker().Table().ByParty {
		for _, st := range list {
			if st.Target.Ruling.Ground == sovereign.GroundSuspended && st.State == healthcheck.Unknown {
				closed = append(closed, st.Target.ID())
			}
		}
	}
	if len(v.Targets) != 1 || !slices.Equal(closed, []string{v.Targets[0].Target}) {
		x.t.Errorf("foretold %+v, and it was %v", v.Targets, closed)
	}
	dns := x.node.Config().DNS.Servers[0]
	if r := s.Judge(sovereign.Ask{Plane: sovereign.Infrastructure, Addr: dns}); len(v.Destinations) != 1 || v.Destinations[0].Address != dns.String() || r.Permitted() || v.Destinations[0].Ground != string(r.Ground) {
		x.t.Errorf("foretold %+v, and it was %+v", v.Destinations, r)
	}
	if len(v.Tickets) != 1 || v.Tickets[0].Grant || !slices.Equal(v.Tickets[0].Scope.Groups, []string{"iad"}) || len(v.Unknown) > 0 || !v.Node || v.Already {
		x.t.Errorf("%+v", v)
	}
}

// A configuration alone tells what it can, and says what it cannot.
func TestWhatIfOfAConfiguration(t *testing.T) {
	falling(t, "udp", "", func(x *fall) {
		t := x.t
		ask := func(q admin.WhatIfQuestion) admin.WhatIf {
			t.Helper()
			v, err := cordon.WhatIf(t.Context(), x.node.Config(), q)
			if err != nil {
				t.Fatal(err)
			}
			return v
		}
		live, err := x.node.Law().WhatIf(t.Context(), admin.WhatIfQuestion{Instrument: swissLaw})
		if err != nil {
			t.Fatal(err)
		}
		v := ask(admin.WhatIfQuestion{Instrument: swissLaw})
		if len(v.Parties) != 1 || v.Parties[0] != live.Parties[0] || len(v.Routes) != 2 || v.Node || len(v.Unknown) != 1 || len(v.Targets) != 1 || len(v.Destinations) != 1 || v.Already {
			t.Errorf("%+v", v)
		}
		for i, r := range v.Routes {
			if o := live.Routes[i]; r.Route != o.Route || r.Next != o.Next || r.Kind != o.Kind || r.NoHop != o.NoHop {
				t.Errorf("%+v, a node says %+v", r, o)
			}
		}
		if v := ask(admin.WhatIfQuestion{Instrument: "(EU) 2019/419"}); len(v.Parties)+len(v.Routes)+len(v.Targets)+len(v.Destinations) > 0 {
			t.Errorf("nothing rests on it: %+v", v)
		}
		ahead := time.Now().Add(72 * time.Hour)
		if v := ask(admin.WhatIfQuestion{Instrument: swissLaw, Since: ahead}); !v.From.Equal(ahead) || len(v.Parties) != 1 || !v.Parties[0].Until.After(ahead) {
			t.Errorf("%+v", v)
		}
		x.suspend(time.Now())
		if v := ask(admin.WhatIfQuestion{Instrument: swissLaw, At: time.Now().Add(time.Second)}); !v.Already || len(v.Parties)+len(v.Alarms) > 0 {
			t.Errorf("it is in force: %+v", v)
		}
		if _, err := cordon.WhatIf(t.Context(), x.node.Config(), admin.WhatIfQuestion{Instrument: "2000/518"}); err == nil {
			t.Error("an unknown instrument was taken")
		}
	})
}
