package sip

import (
	"context"
	"time"

	"github.com/cordonsip/cordon/sovereign"
)

// Fate is what another policy would make of one call that is up or under way. It names no person.
type Fate struct {
	Route, Trunk, Group string
	Party               string    // whose place would be closed
	How                 string    // see the fates below
	Until               time.Time // end of its leave, with FateLeave
}

// Fates of calls.
const (
	FateEnded    = "ended"    // BYE to both ends at once
	FateRerouted = "rerouted" // the caller is put through to another permitted party
	FateLeave    = "leave"    // goes on until its leave ends
	FateGivenUp  = "given_up" // nobody answered it yet: the INVITE is given up, and the caller goes on to the next hop
)

// Foresee says what becomes of the calls if snap were in force at a moment; calls that nothing becomes of are left out. It asks what the loops themselves ask when
// another policy is put in force, and changes nothing. The error is that of ctx.
func (e *Edge) Foresee(ctx context.Context, snap *sovereign.Snapshot, at time.Time) ([]Fate, error) {
	of := func(l *leg) *sovereign.Ruling {
		p := l.flow.Pass()
		if p == nil {
			return nil
		}
		a := p.Ask()
		a.At, a.Route = at, l.c.plan.Route
		return snap.Ruled(a)
	}
	found := make(chan []Fate, len(e.shards))
	for _, s := range e.shards {
		s.loop.Post(func() {
			var list []Fate
			for c := range s.calls {
				if f, touched := c.foresee(at, of); touched {
					list = append(list, f)
				}
			}
			found <- list
		})
	}
	var all []Fate
	for range e.shards {
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case list := <-found:
			all = append(all, list...)
		}
	}
	return all, nil
}

// foresee is look for one call, without its doings.
func (c *call) foresee(at time.Time, of says) (f Fate, touched bool) {
	f.Route = c.plan.Route
	f.Trunk, f.Group = c.sides()
	for _, l := range [...]*leg{c.a, c.b} {
		if l == nil || l.ended {
			continue
		}
		if r := of(l); closes(r) || leaves(r) {
			f.Party = l.party.Name
			f.Until = sooner(f.Until, r)
		}
	}
	switch {
	case c.ended || c.page != nil || c.via != nil:
		return f, false
	case c.escapes(of):
		f.How = FateRerouted
	case c.fenced(at, of):
		f.How = FateEnded
	case c.cur.fenced(of):
		f.How, f.Party = FateGivenUp, c.cur.leg.party.Name
	case c.beside.fenced(of):
		f.How, f.Party = FateGivenUp, c.beside.leg.party.Name
	case f.Party != "":
		f.How = FateLeave
		return f, true
	}
	f.Until = time.Time{}
	return f, f.How != ""
}

func sooner(t time.Time, r *sovereign.Ruling) time.Time {
	if !r.Permitted() || !t.IsZero() && t.Before(r.Until) {
		return t
	}
	return r.Until
}

// Up shows each call that is up, calls for help apart, to each. It asks nobody and is quick: a strike waits for it.
func (e *Edge) Up(each func(trunk, group, route string)) {
	for _, c := range e.live.all() {
		if v := c.view.get(); v.state == "up" && !c.emergency() {
			each(v.trunk, v.group, c.plan.Route)
		}
	}
}

// reroutes says what the rule of this party's calls by a route is.
func (p *Party) reroutes(route string) bool {
	if yes, own := p.RerouteOn[route]; own {
		return yes
	}
	return p.Reroute
}
