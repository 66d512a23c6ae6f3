package routing

import (
	"slices"
	"sync"
	"time"

	"github.com/cordonsip/cordon/healthcheck"
	"github.com/cordonsip/cordon/routing/desk"
	"github.com/cordonsip/cordon/sovereign"
)

// drafts are plans that were made from the same snapshots, as far as they rest on nothing of one call: the next call of the same kind gets a copy with its own
// numbers. A plan out of a draft is byte for byte the one that would have been made. Where anything else matters (a grant, a weight, a trial, a number table, a
// recorder, what people decided) there is no draft.
type drafts struct {
	rules  *rules
	table  *healthcheck.Table
	law    *memo
	active *actives
	book   *desk.Book

	mu    sync.RWMutex // held for one look or one store
	known map[draftKey]*draft
}

// draftKey is all of a request that a draft rests on. There are few: parties and routes are those of the rules.
type draftKey struct {
	route   *route
	from    string
	purpose sovereign.Purpose
	keys    bool
}

// draft is one plan, and what it rests on.
type draft struct {
	plan Plan
	from time.Time // it holds for calls from then on
	basis
}

// basis is what a plan rests on besides the snapshots.
type basis struct {
	to      time.Time // what the law said holds until then
	bounded bool      // to is set
	once    bool      // the plan is of one call alone
	parties []string  // that take the caller
	targets []string  // that take one more call
}

// draftsFor are those of the snapshots of p; nil where none may be used.
func (r *Router) draftsFor(p *planner) *drafts {
	law, ok := p.law.(*memo)
	if !ok || len(p.grants) > 0 || p.book != nil && len(p.book.Services)+len(p.book.Pins)+len(p.book.Migrations) > 0 {
		return nil
	}
	d := r.drafts.Load()
	if d == nil || d.rules != p.rules || d.table != p.table || d.law != law || d.active != p.active || d.book != p.book {
		d = &drafts{rules: p.rules, table: p.table, law: law, active: p.active, book: p.book, known: make(map[draftKey]*draft)}
		r.drafts.Store(d)
	}
	return d
}

func (p *planner) draftKey() draftKey {
	return draftKey{p.route, p.req.From, p.plan.Purpose, p.req.Keys}
}

// fill makes the plan out of a draft, if there is one that holds for this call. False leaves p as it was.
func (d *drafts) fill(p *planner) bool {
	if d == nil || p.own != "" {
		return false
	}
	d.mu.RLock()
	have := d.known[p.draftKey()]
	d.mu.RUnlock()
	if have == nil || p.req.At.Before(have.from) || !p.req.At.Before(have.to) {
		return false
	}
	for _, id := range have.targets {
		if !p.capacity(id) {
			return false
		}
	}
	for _, party := range have.parties {
		if _, _, ok := p.write(party); !ok {
			return false
		}
	}
	hops := slices.Clone(have.plan.Hops)
	for i := range hops {
		if i > 0 && hops[i].Party == hops[i-1].Party {
			hops[i].URI, hops[i].Caller = hops[i-1].URI, hops[i-1].Caller
			continue
		}
		hops[i].URI, hops[i].Caller, _ = p.write(hops[i].Party)
	}
	p.plan.Hops, p.plan.Refused, p.plan.Held, p.plan.Why = hops, have.plan.Refused, have.plan.Held, have.plan.Why
	return true
}

// keep remembers the plan that p made, where it rests on nothing of its call.
func (d *drafts) keep(p *planner) {
	n := &p.basis
	if d == nil || n.once || !n.bounded || !p.req.At.Before(n.to) || p.own != "" || p.plan.Recording || len(p.plan.Hops) == 0 {
		return
	}
	kept := &draft{plan: p.plan, from: p.req.At, basis: *n}
	// Two slices of their own: the plan is its caller's, who may append to them.
	kept.plan.Hops, kept.plan.Refused = slices.Clone(p.plan.Hops), slices.Clip(slices.Clone(p.plan.Refused))
	d.mu.Lock()
	defer d.mu.Unlock()
	d.known[p.draftKey()] = kept
}

// until bounds how long the plan holds.
func (b *basis) until(t time.Time) {
	if !b.bounded || t.Before(b.to) {
		b.to, b.bounded = t, true
	}
}

// limited is the id of a target of which somebody must say whether it takes one more call; "" when nobody says.
func (p *planner) limited(t *healthcheck.Target) string {
	if p.capacity == nil {
		return ""
	}
	return t.ID()
}

// room says whether a target takes one more call.
func (p *planner) room(id string) bool {
	if !p.capacity(id) {
		p.once = true
		return false
	}
	p.targets = append(p.targets, id)
	return true
}
