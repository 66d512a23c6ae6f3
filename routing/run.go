package routing

import (
	"context"
	"maps"
	"sync"
	"time"

	"github.com/cordonsip/cordon/approval"
	"github.com/cordonsip/cordon/audit"
	"github.com/cordonsip/cordon/healthcheck"
	"github.com/cordonsip/cordon/sovereign"
)

// Bounds and clocks of Run.
const (
	tick      = time.Second      // every route is looked at again at least that often: grants end, failbacks fall due, the log comes back
	patience  = 5 * time.Second  // for one entry or one proposal
	unlocated = 10 * time.Second // a party without any address fails over only after that: a name takes a moment to resolve at start
	reask     = 30 * time.Minute // between two proposals of one episode when the ticket names no end
	maxCauses = 8
	causeFor  = 10 * time.Minute
	maxActs   = 16 // routes that write at once
)

// episode is what Run remembers of one route while its active party is not as it should be.
type episode struct {
	causes  []cause              // the latest transitions of its parties, newest last
	refused map[string]bool      // party and ground whose refusal is in the log
	asked   map[string]*proposal // by party
	failing string               // the last failure to write, told once
}

type proposal struct {
	ticket string
	again  time.Time
	logged bool
}

// Run applies or proposes failovers until ctx ends. What is being written then is waited for: the log outlives us, and the entry of a failover that is
// in the log without the failover would be wrong.
func (r *Router) Run(ctx context.Context) error {
	t := time.NewTicker(tick)
	defer t.Stop()
	started := time.Now()
	for {
		r.pass(ctx, started)
		select {
		case <-ctx.Done():
			return nil
		case o := <-r.orders:
			o.done <- o.do(context.WithoutCancel(ctx))
		case <-r.wake:
		case <-t.C:
		}
	}
}

// pass takes in what happened and brings every route up to date. Routes are independent: each waits for its own entry in the log.
func (r *Router) pass(ctx context.Context, started time.Time) {
	now := time.Now()
	rules := r.rules.Load()
	r.expire(ctx, now)
	r.settle(rules, now)
	for _, tr := range r.drain() {
		for _, rt := range rules.byParty[tr.Target.Party] {
			r.episode(rt).cause(tr)
		}
	}
	r.measure(rules)
	var wg sync.WaitGroup
	slots := make(chan struct{}, maxActs)
	for _, rt := range rules.routes {
		if ctx.Err() != nil {
			break
		}
		l := r.look(rules, rt, now, started)
		if l == nil {
			continue
		}
		ep := r.episode(rt)
		slots <- struct{}{}
		wg.Go(func() {
			r.act(ctx, rt, l, ep)
			<-slots
		})
	}
	wg.Wait()
}

func (r *Router) episode(rt *route) *episode {
	ep := r.episodes[rt.Name]
	if ep == nil {
		ep = &episode{refused: make(map[string]bool), asked: make(map[string]*proposal)}
		r.episodes[rt.Name] = ep
	}
	return ep
}

// cause is one transition, for the entry that it leads to.
type cause struct {
	at   time.Time
	text string
}

func (e *episode) cause(t healthcheck.Transition) {
	e.causes = append(e.causes, cause{t.At, t.Target.ID() + " " + t.From.String() + " to " + t.To.String() + ": " + t.Why})
	if n := len(e.causes) - maxCauses; n > 0 {
		e.causes = e.causes[n:]
	}
}

// health gives the causes of the last minutes: an older one explains nothing.
func (e *episode) health() []string {
	var list []string
	for _, c := range e.causes {
		if time.Since(c.at) <= causeFor {
			list = append(list, c.text)
		}
	}
	return list
}

// over forgets the episode: the route is as it should be.
func (e *episode) over() {
	e.failing = ""
	clear(e.refused)
	clear(e.asked)
}

// settle gives new routes their first party and forgets those that left.
func (r *Router) settle(c *rules, now time.Time) {
	old := r.active.Load()
	routes := make(map[string]Active, len(c.routes))
	for _, rt := range c.routes {
		a, ok := old.routes[rt.Name]
		if _, still := rt.index[a.Party]; !ok || (a.Party != "" && !still) {
			a = r.opening(rt, now)
		} else if still && (a.Reason == ReasonPrimary || a.Reason == ReasonAutoFailover) {
			a.Reason = r.reasonOf(rt, a.Party) // new rules may rank the same party otherwise
		}
		routes[rt.Name] = a
	}
	for name, a := range old.routes {
		if routes[name].Party != a.Party {
			r.metrics.active.DeleteLabelValues(name, a.Party)
			delete(r.episodes, name)
		}
	}
	for _, a := range routes {
		r.metrics.uses(a)
	}
	r.active.Store(&actives{routes: routes, nearest: old.nearest})
}

// reason says how a party that is permitted by itself came to be used.
func (rt *route) reason(party string) RouteReason {
	if rt.ordered[rt.index[party]].Priority == rt.first {
		return ReasonPrimary
	}
	return ReasonAutoFailover
}

// set swaps in another view with a. Routes that write at once repeat until theirs is in.
func (r *Router) set(a Active) {
	for {
		old := r.active.Load()
		routes := maps.Clone(old.routes)
		was := routes[a.Route]
		routes[a.Route] = a
		if r.active.CompareAndSwap(old, &actives{routes: routes, nearest: old.nearest}) {
			if was.Party != a.Party {
				r.metrics.active.DeleteLabelValues(a.Route, was.Party)
			}
			r.metrics.uses(a)
			return
		}
	}
}

// act carries out what a look decided: entry first, effect afterwards. What is begun is finished, within patience.
func (r *Router) act(ctx context.Context, rt *route, l *look, ep *episode) {
	one, cancel := context.WithTimeout(context.WithoutCancel(ctx), patience)
	defer cancel()
	for _, f := range l.refused {
		r.refuse(one, rt, f, ep)
	}
	switch {
	case l.move != nil:
		r.move(one, rt, l, ep)
	case l.hold != nil:
		r.hold(one, rt, l, ep)
	case l.failed:
		r.stand(rt, l, "", "no party that may be used is reachable")
	case l.fine:
		ep.over()
		r.stand(rt, l, "", "")
	}
}

// move changes the active party: first the entry, durable and under a checkpoint, then the swap. When the log cannot take the entry, nothing is swapped
// and the next pass tries again; calls meanwhile walk their hops, which needs no entry.
func (r *Router) move(ctx context.Context, rt *route, l *look, ep *episode) {
	m := l.move
	entry := audit.Failover{
		What: m.kind, Trunk: m.trunk, Route: rt.Name, From: l.was.Party, To: m.view.choice.Party, Region: m.ruling.Region.String(),
		Country: string(m.ruling.Country), Verdict: m.ruling.Verdict.String(), Ground: string(m.ruling.Ground), Why: m.why,
		Ticket: m.view.grant, Health: ep.health(), Drill: r.cfg.Drill,
	}
	if _, err := r.cfg.Log.Commit(ctx, entry); err != nil {
		r.failing(rt, ep, "the failover waits for the log", err)
		return
	}
	reason := r.reasonOf(rt, m.view.choice.Party)
	if m.view.grant != "" {
		reason = ReasonGatedFailover
	}
	r.set(Active{Route: rt.Name, Party: m.view.choice.Party, Since: time.Now(), Reason: reason, Ticket: m.view.grant, Why: m.why})
	r.metrics.changes.WithLabelValues(rt.Name, string(m.kind)).Inc()
	r.log.Info("route changed", "route", rt.Name, "kind", string(m.kind), "from", l.was.Party, "to", m.view.choice.Party, "why", m.why)
	ep.causes, ep.failing = nil, ""
}

// propose asks people at the gate, again when the last ticket has ended. Nil: they could not be asked. For a drill nobody is: what they would open for it would be
// open for production.
func (r *Router) propose(ctx context.Context, rt *route, h *held, ep *episode) *proposal {
	now := time.Now()
	p := ep.asked[h.party]
	if p != nil && (!p.logged || now.Before(p.again) || r.cfg.Drill != "") {
		return p
	}
	t, again := approval.Ticket{}, time.Time{}
	if r.cfg.Drill == "" {
		if r.cfg.Gate == nil {
			return nil
		}
		var err error
		if t, err = r.cfg.Gate.Propose(ctx, "rule:"+rt.Name, h.plan); err != nil {
			r.failing(rt, ep, "the proposal to the gate failed", err)
			return nil
		}
		if again = t.ApproveBy; !again.After(now) {
			again = now.Add(reask)
		}
	}
	if p == nil || p.ticket != t.ID {
		p = &proposal{ticket: t.ID}
	}
	p.again = again
	ep.asked[h.party] = p
	return p
}

// hold asks people, once per ticket, and says so in the log.
func (r *Router) hold(ctx context.Context, rt *route, l *look, ep *episode) {
	h := l.hold
	p := r.propose(ctx, rt, h, ep)
	if p == nil {
		return
	}
	if !p.logged {
		entry := audit.Failover{
			What: audit.KindFailoverHeld, Trunk: h.trunk, Route: rt.Name, From: l.was.Party, To: h.party, Region: h.ruling.Region.String(),
			Country: string(h.ruling.Country), Verdict: sovereign.Hold.String(), Ground: string(h.ruling.Ground), Why: h.plan.Reason,
			Ticket: p.ticket, Health: ep.health(), Drill: r.cfg.Drill,
		}
		if _, err := r.cfg.Log.Append(ctx, entry); err != nil {
			r.failing(rt, ep, "failover.held waits for the log", err)
			return
		}
		p.logged = true
		r.metrics.changes.WithLabelValues(rt.Name, string(audit.KindFailoverHeld)).Inc()
		r.log.Warn("failover held", "route", rt.Name, "to", h.party, "ticket", p.ticket, "why", h.ruling.Why)
	}
	r.stand(rt, l, p.ticket, "held: "+h.party+" waits for people: "+h.ruling.Why)
}

// stand keeps the party, or none when the law left it, and says why.
func (r *Router) stand(rt *route, l *look, ticket, why string) {
	a := l.was
	a.Held, a.Ticket = ticket != "", ticket
	if l.lawless {
		a.Party = ""
	}
	if l.fine {
		a.Ticket, a.Why = l.grant, l.why
	}
	if why != "" {
		a.Why = why
	}
	if a != l.was {
		r.set(a)
	}
}

// refuse writes down, once per episode, that a party was passed over for good.
func (r *Router) refuse(ctx context.Context, rt *route, f Refused, ep *episode) {
	key := f.Party + " " + string(f.Ground)
	if ep.refused[key] {
		return
	}
	entry := audit.Failover{
		What: audit.KindFailoverRefused, Route: rt.Name, From: r.active.Load().routes[rt.Name].Party, To: f.Party, Region: f.Ruling.Region.String(),
		Country: string(f.Ruling.Country), Verdict: f.Ruling.Verdict.String(), Ground: string(f.Ground), Why: f.Why, Health: ep.health(), Drill: r.cfg.Drill,
	}
	if _, err := r.cfg.Log.Append(ctx, entry); err != nil {
		r.failing(rt, ep, "failover.refused waits for the log", err)
		return
	}
	ep.refused[key] = true
	r.metrics.changes.WithLabelValues(rt.Name, string(audit.KindFailoverRefused)).Inc()
	r.log.Warn("failover refused", "route", rt.Name, "to", f.Party, "ground", string(f.Ground), "why", f.Why)
}

// failing tells of a failure to write once, not at every pass.
func (r *Router) failing(rt *route, ep *episode, what string, err error) {
	if ep.failing != what {
		ep.failing = what
		r.log.Error(what, "route", rt.Name, "err", err)
	}
}
