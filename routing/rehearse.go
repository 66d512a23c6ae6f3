package routing

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"time"

	"github.com/cordonsip/cordon/approval"
	"github.com/cordonsip/cordon/audit"
	"github.com/cordonsip/cordon/healthcheck"
	"github.com/cordonsip/cordon/sovereign"
)

// Rehearsal is what Run would do with one route under another policy.
type Rehearsal struct {
	Route   string
	Origins []string   // parties whose calls it carries
	Active  string     // the party in use
	Lost    []string   // parties that the route may use now and may not then
	Kind    audit.Kind // what would be written: failover.applied, failover.held, failback; "": nothing
	Next    string     // the party that would be used, or asked for at the gate; "": nobody
	Verdict sovereign.Verdict
	NoHop   bool      // no party is left that the route may use
	Refused []Refused // parties whose refusal would be written
	Why     string
}

// Rehearse decides every route as Run would if snap and grants were in force at a moment, in the order of the rules, and does nothing. A route that nobody decided
// yet begins with its first choice.
func (r *Router) Rehearse(snap *sovereign.Snapshot, grants []approval.Grant, at time.Time) []Rehearsal {
	c := r.rules.Load()
	now := &Router{cfg: r.cfg, log: r.log, metrics: r.metrics, episodes: map[string]*episode{}}
	now.cfg.Gate = rehearsed{r, r.grants()}
	then := &Router{cfg: r.cfg, log: r.log, metrics: r.metrics, episodes: map[string]*episode{}}
	then.cfg.Gate, then.cfg.Snapshot = rehearsed{r, grants}, func() *sovereign.Snapshot { return snap }
	active := r.begun(c, at)
	now.active.Store(active)
	then.active.Store(active)
	out := make([]Rehearsal, 0, len(c.routes))
	for _, rt := range c.routes {
		out = append(out, then.rehearse(now, c, rt, at))
	}
	return out
}

// Rehearse is the same for rules that no Router runs: the policies are now and then, and table says what is reachable.
func Rehearse(n Rules, table *healthcheck.Table, now, then *sovereign.Snapshot, at time.Time) ([]Rehearsal, error) {
	c, err := compile(n)
	if err != nil {
		return nil, err
	}
	m, err := newMetrics(nil)
	if err != nil {
		return nil, err
	}
	r := &Router{log: slog.New(slog.DiscardHandler), metrics: m}
	r.cfg.Table, r.cfg.Snapshot = func() *healthcheck.Table { return table }, func() *sovereign.Snapshot { return now }
	r.rules.Store(c)
	r.active.Store(&actives{})
	return r.Rehearse(then, nil, at), nil
}

// begun is what is active, and what would be where nothing is yet.
func (r *Router) begun(c *rules, at time.Time) *actives {
	known := r.active.Load()
	a := &actives{routes: make(map[string]Active, len(c.routes)), nearest: known.nearest}
	for _, rt := range c.routes {
		one, ok := known.routes[rt.Name]
		if !ok {
			one = r.opening(rt, at)
		}
		a.routes[rt.Name] = one
	}
	return a
}

// rehearse is one route under the policy of r, against that of now.
func (r *Router) rehearse(now *Router, c *rules, rt *route, at time.Time) Rehearsal {
	was := r.active.Load().routes[rt.Name].Party
	h := Rehearsal{Route: rt.Name, Origins: c.origins(rt), Active: was, Next: was, Verdict: sovereign.Permit}
	before, after := now.survey(c, rt, at), r.survey(c, rt, at)
	for _, ch := range rt.ordered {
		if before.view(ch.Party) != nil && after.view(ch.Party) == nil {
			h.Lost = append(h.Lost, ch.Party)
		}
	}
	h.NoHop = len(after.views) == 0
	l := r.look(c, rt, at, time.Time{})
	if l == nil {
		return h
	}
	h.Why, h.Refused = l.why, l.refused
	switch {
	case l.move != nil:
		h.Kind, h.Next, h.Verdict, h.Why = l.move.kind, l.move.view.choice.Party, l.move.ruling.Verdict, l.move.why
	case l.hold != nil:
		h.Kind, h.Next, h.Verdict, h.Why = audit.KindFailoverHeld, l.hold.party, sovereign.Hold, l.hold.ruling.Why
	case l.failed:
		h.Next, h.Verdict = "", sovereign.Deny
	}
	return h
}

// rehearsed is a gate at which nobody asks.
type rehearsed struct {
	r    *Router
	live []approval.Grant
}

var errRehearsed = errors.New("routing: nobody is asked in a rehearsal")

func (g rehearsed) Propose(context.Context, string, approval.Plan) (approval.Ticket, error) {
	return approval.Ticket{}, errRehearsed
}

func (g rehearsed) Grants() []approval.Grant { return slices.Clone(g.live) }
func (g rehearsed) Left(grant string) int    { return g.r.left(grant) }
