package configs

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/cordonsip/cordon/routing"
	"github.com/cordonsip/cordon/sovereign"
)

// Law is what happens when the law changes while calls are up.
type Law struct {
	// What becomes of running calls toward a place whose instrument is suspended: end (default: BYE, after end_after), reroute (the callee's leg ends at once and the caller is put through to the next permitted party; with none the call ends) or finish (they go on until they hang up, for finish_within at most, and nothing new goes there). Emergency calls always go on.
	RunningCalls string `yaml:"running_calls,omitempty"`
	// With end: after how long; default 0, at once. 24h at most.
	EndAfter Duration `yaml:"end_after,omitempty"`
	// With finish: what is up then is ended; default 4h, from 1m to 24h.
	FinishWithin Duration `yaml:"finish_within,omitempty"`
	// Parties with a rule of their own.
	Parties []LawParty `yaml:"parties,omitempty"`
	// Routes with a rule of their own, which counts for their calls in the place of the common one. Where the party of the struck place has one, too, the stricter counts.
	Routes []LawRoute `yaml:"routes,omitempty"`
}

// LawRoute is the rule of one route's calls.
type LawRoute struct {
	// Name of the route.
	Route string `yaml:"route"`
	// end, finish or reroute; default: as above.
	RunningCalls string `yaml:"running_calls,omitempty"`
	// With end: after how long.
	EndAfter Duration `yaml:"end_after,omitempty"`
	// With finish: what is up then is ended.
	FinishWithin Duration `yaml:"finish_within,omitempty"`
}

// LawParty is the rule of one trunk or edge group.
type LawParty struct {
	// Name of the trunk or edge group.
	Party string `yaml:"party"`
	// end, finish or reroute; default: as above.
	RunningCalls string `yaml:"running_calls,omitempty"`
	// With end: after how long.
	EndAfter Duration `yaml:"end_after,omitempty"`
	// With finish: what is up then is ended.
	FinishWithin Duration `yaml:"finish_within,omitempty"`
}

// Rules for running calls.
const (
	RunningEnd     = "end"
	RunningFinish  = "finish"
	RunningReroute = "reroute"
)

// Running is one such rule: how, and for how long its calls may go on.
type Running struct {
	How string
	For time.Duration
}

// LawPart is the rules of a configuration.
type LawPart struct {
	Common Running
	Own    map[string]Running // by party
	Routes map[string]Running // by route

	on map[string][]string // the routes of the parties that a route with a rule uses, all of them
}

// Of gives the rule of a party.
func (l *LawPart) Of(party string) Running {
	if r, ok := l.Own[party]; ok {
		return r
	}
	return l.Common
}

// For gives the rule of a party's calls by a route: that of the route, else that of the party, else the common one.
func (l *LawPart) For(party, route string) Running {
	if of, ruled := l.Routes[route]; ruled {
		return of
	}
	return l.Of(party)
}

// RoutesOf are the routes whose calls of a party may have other rules than its others; none where all have the same.
func (l *LawPart) RoutesOf(party string) []string { return l.on[party] }

// longest is what the fence keeps for a party: it does not know by which route a call came.
func (l *LawPart) longest(party string) Running {
	out := l.Of(party)
	for _, route := range l.on[party] {
		if r := l.For(party, route); out.shorter(r) {
			out = r
		}
	}
	return out
}

// shorter orders rules: who ends at once is shorter than who looks for another way, and that than who goes on.
func (r Running) shorter(than Running) bool {
	if r.For != than.For {
		return r.For < than.For
	}
	return r.How != RunningReroute && than.How == RunningReroute
}

// The last word to a struck place: a BYE, one repetition of it, and the end of a connection. A call that is ended after a while has its BYE in the words that it ends with.
const (
	lastWord     = 750 * time.Millisecond
	partingWords = 1500 * time.Millisecond
)

// Leave is what the rule gives the running calls of a party ("": of those without a rule of their own) for a cause that takes effect at from.
func (r Running) Leave(cause, party string, from time.Time) sovereign.Leave {
	l := sovereign.Leave{Cause: cause, Party: party, From: from, Until: from.Add(lastWord)}
	if r.For > 0 && r.How != RunningReroute {
		l.Until, l.Media = from.Add(r.For+partingWords), true
	}
	return l
}

// Leaves are those of all parties for a cause.
func (l *LawPart) Leaves(cause string, from time.Time) []sovereign.Leave {
	out := []sovereign.Leave{l.Common.Leave(cause, "", from)}
	names := slices.Concat(slices.Collect(maps.Keys(l.Own)), slices.Collect(maps.Keys(l.on)))
	slices.Sort(names)
	for _, name := range slices.Compact(names) {
		out = append(out, l.longest(name).Leave(cause, name, from))
		for _, route := range l.on[name] {
			one := l.For(name, route).Leave(cause, name, from)
			one.Route = route
			out = append(out, one)
		}
	}
	return out
}

func (b *builder) lawRules(c *Config) {
	f := b.doc.file.Law
	c.Law = LawPart{Common: b.running("law", f.RunningCalls, f.EndAfter, f.FinishWithin), Own: map[string]Running{}}
	for i, p := range f.Parties {
		at := fmt.Sprintf("law.parties[%d]", i)
		known := slices.ContainsFunc(c.Parties, func(x sovereign.Party) bool { return x.Name == p.Party && x.Kind != sovereign.KindInfrastructure })
		switch _, twice := c.Law.Own[p.Party]; {
		case !known:
			b.fail(at+".party", "the name of a trunk or an edge group", "%q is none", p.Party)
			continue
		case twice:
			b.fail(at+".party", "each party once", "%q is there twice", p.Party)
			continue
		case p.RunningCalls == "":
			p.RunningCalls = c.Law.Common.How
		}
		c.Law.Own[p.Party] = b.running(at, p.RunningCalls, p.EndAfter, p.FinishWithin)
	}
	b.lawRoutes(c)
	c.reroutes()
}

// lawRoutes reads the rules of routes.
func (b *builder) lawRoutes(c *Config) {
	c.Law.Routes = map[string]Running{}
	for i, r := range b.doc.file.Law.Routes {
		at := fmt.Sprintf("law.routes[%d]", i)
		known := slices.ContainsFunc(c.Rules.Routes, func(x routing.Route) bool { return x.Name == r.Route })
		switch _, twice := c.Law.Routes[r.Route]; {
		case !known:
			b.fail(at+".route", "the name of a route", "%q is none", r.Route)
			continue
		case twice:
			b.fail(at+".route", "each route once", "%q is there twice", r.Route)
			continue
		case r.RunningCalls == "":
			r.RunningCalls = c.Law.Common.How
		}
		c.Law.Routes[r.Route] = b.running(at, r.RunningCalls, r.EndAfter, r.FinishWithin)
	}
}

// reroutes finds the parties that rules of routes concern, and tells the profiles of parties whether their callers are put through elsewhere.
func (c *Config) reroutes() {
	uses := map[string][]string{} // routes by party
	for _, r := range c.Rules.Routes {
		for _, party := range c.carriedBy(r) {
			uses[party] = append(uses[party], r.Name)
		}
	}
	c.Law.on = map[string][]string{}
	for party, routes := range uses {
		if slices.ContainsFunc(routes, func(r string) bool { _, ruled := c.Law.Routes[r]; return ruled }) {
			slices.Sort(routes)
			c.Law.on[party] = slices.Compact(routes)
		}
	}
	for i := range c.Profiles {
		p := &c.Profiles[i]
		p.Reroute, p.RerouteOn = c.Law.Of(p.Name).How == RunningReroute, nil
		for _, route := range c.Law.on[p.Name] {
			if p.RerouteOn == nil {
				p.RerouteOn = map[string]bool{}
			}
			p.RerouteOn[route] = c.Law.For(p.Name, route).How == RunningReroute
		}
	}
}

// carriedBy are the parties whose calls a route may carry: those that it leads to, and those that it takes calls from.
func (c *Config) carriedBy(r routing.Route) (out []string) {
	for _, ch := range r.To {
		out = append(out, ch.Party)
	}
	if r.OnHold.Queue != "" {
		out = append(out, r.OnHold.Queue)
	}
	if len(r.From) > 0 {
		return append(out, r.From...)
	}
	kind := sovereign.KindTrunk
	if r.Direction == routing.Outbound {
		kind = sovereign.KindGroup
	}
	for _, p := range c.Parties {
		if p.Kind == kind {
			out = append(out, p.Name)
		}
	}
	return out
}

// running reads one rule.
func (b *builder) running(at, how string, endAfter, finishWithin Duration) Running {
	r := Running{How: how}
	switch how {
	case "", RunningEnd:
		r.How, r.For = RunningEnd, endAfter.Or(0)
		if r.For > 24*time.Hour {
			b.fail(at+".end_after", "from 0 to 24h", "%s is out of range", r.For)
		}
	case RunningFinish:
		if r.For = finishWithin.Or(4 * time.Hour); r.For < time.Minute || r.For > 24*time.Hour {
			b.fail(at+".finish_within", "from 1m to 24h: what goes on in a struck place has an end", "%s is out of range", r.For)
		}
		b.warn(at+".running_calls", "the supervisory authority's suspension (GDPR Art. 58(2)(j)) knows no such time: have a lawyer confirm it, or leave it at end", "calls go on in a struck place for up to %s", r.For)
	case RunningReroute:
	default:
		b.fail(at+".running_calls", "end, finish or reroute", "%q is no rule", how)
	}
	if endAfter != 0 && r.How != RunningEnd {
		b.fail(at+".end_after", "only with running_calls: end", "does not go with %s", r.How)
	}
	if finishWithin != 0 && r.How != RunningFinish {
		b.fail(at+".finish_within", "only with running_calls: finish", "does not go with %s", r.How)
	}
	return r
}
