package healthcheck

import (
	"context"
	"maps"
	"slices"
	"time"
)

// Shadow makes a Checker for a drill that begins with what c knows of some parties: the same targets, settings and health, so that nothing is to be found out first.
// From then on its memory is its own. It probes by o.Prober, half an interval beside c, so that no target hears both at once; it places no synthetic calls, and it
// does not doubt itself: the silence that it meets was made for it. Of o, what is watched and the defaults come from c; with Metrics nil it registers none.
func (c *Checker) Shadow(parties []string, o Config) (*Checker, error) {
	o.Watched, o.Caller = nil, nil
	k, err := New(o)
	if err != nil {
		return nil, err
	}
	k.sure = true
	now := time.Now()
	c.mu.Lock()
	defer c.mu.Unlock()
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, name := range parties {
		if p := c.parties[name]; p != nil {
			k.parties[name] = p.twin(now)
			k.dirty[name] = true
		}
	}
	k.publish(now)
	return k, nil
}

// twin is a party with memory of its own.
func (p *party) twin(now time.Time) *party {
	half := p.settings.Interval / 2
	q := &party{name: p.name, settings: p.settings, enrol: p.enrol, members: make(map[string]*member, len(p.members))}
	for key, m := range p.members {
		n := &member{
			Member: m.Member, located: m.located, targets: maps.Clone(m.targets), locateAt: m.locateAt, problem: m.problem, since: m.since, bound: m.bound,
		}
		n.life, n.leave = context.WithCancel(context.Background())
		for id, t := range n.targets {
			own := *t
			own.falls, own.gauge, own.probing = slices.Clone(t.falls), nil, false
			if own.probeAt = t.probeAt.Add(-half); own.probeAt.Before(now) {
				own.probeAt = t.probeAt.Add(half)
			}
			n.targets[id] = &own
		}
		q.members[key] = n
	}
	return q
}
