package routing

import (
	"slices"
	"time"

	"github.com/cordonsip/cordon/healthcheck"
)

// measure keeps, for each set of equals without weights, the one that is first by nearness. It changes only when another is faster by the margin, so the
// order does not flap with the measurements.
func (r *Router) measure(c *rules) {
	old := r.active.Load()
	table := r.table()
	next := make(map[nearKey]string)
	for party := range c.byParty {
		var run []timed
		for _, s := range table.ByParty[party] {
			if s.State.Usable() && s.Target.Weight == 0 {
				run = append(run, timed{s.Target.ID(), s.RTT})
			}
		}
		first(next, old.nearest, nearKey{party, targets}, run, c.Margin)
	}
	for _, rt := range c.routes {
		for i := 0; i < len(rt.ordered); {
			priority := rt.ordered[i].Priority
			var run []timed
			weighted := false
			for ; i < len(rt.ordered) && rt.ordered[i].Priority == priority; i++ {
				weighted = weighted || rt.ordered[i].Weight > 0
				run = append(run, timed{rt.ordered[i].Party, fastest(table.ByParty[rt.ordered[i].Party])})
			}
			if !weighted {
				first(next, old.nearest, nearKey{rt.Name, priority}, run, c.Margin)
			}
		}
	}
	r.active.Store(&actives{routes: old.routes, nearest: next})
}

type timed struct {
	id  string
	rtt time.Duration
}

func first(next, old map[nearKey]string, k nearKey, run []timed, margin float64) {
	run = slices.DeleteFunc(run, func(t timed) bool { return t.rtt == 0 })
	if len(run) < 2 {
		return
	}
	best := slices.MinFunc(run, func(a, b timed) int { return nearer(a.rtt, b.rtt) })
	next[k] = best.id
	for _, t := range run {
		if t.id == old[k] && keeps(t.rtt, best.rtt, margin) {
			next[k] = t.id
		}
	}
}

func fastest(list []healthcheck.Status) time.Duration {
	var best time.Duration
	for _, s := range list {
		if s.State.Usable() && s.RTT > 0 && (best == 0 || s.RTT < best) {
			best = s.RTT
		}
	}
	return best
}
