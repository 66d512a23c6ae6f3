package healthcheck

import (
	"cmp"
	"maps"
	"net/netip"
	"slices"
	"time"
)

// publish swaps in a new Table if anything changed. Only the parts of dirty parties are built anew. The lock is held.
func (c *Checker) publish(now time.Time) {
	if len(c.dirty) == 0 {
		return
	}
	old := c.table.Load()
	next := &Table{At: now, Generation: old.Generation + 1, ByParty: maps.Clone(old.ByParty)}
	for name := range c.dirty {
		if p := c.parties[name]; p != nil {
			next.ByParty[name] = c.statuses(p, now)
		} else {
			delete(next.ByParty, name)
		}
	}
	clear(c.dirty)
	c.table.Store(next)
}

func (c *Checker) statuses(p *party, now time.Time) []Status {
	var list []Status
	for _, m := range p.members {
		if len(m.targets) == 0 && m.problem != "" {
			list = append(list, p.unresolved(m))
		}
		for _, t := range m.targets {
			state, _ := t.shown()
			if t.gauge == nil {
				t.gauge = c.metrics.state.WithLabelValues(p.name, t.ID())
			}
			t.gauge.Set(float64(state))
			rtt := t.percentiles()
			list = append(list, Status{
				Target: t.Target, State: t.state, Since: t.since, Why: t.why, RTT: t.rtt, RTTMin: t.rttMin, RTTP50: rtt[0], RTTP95: rtt[1], RTTP99: rtt[2],
				LastSeen: t.lastSeen, Circuit: t.circuit, Answers: t.answers(now), Calls: t.quality.sum(now, p.settings.Quality).measured(),
			})
			t.enrolled(&list[len(list)-1])
		}
	}
	slices.SortFunc(list, func(a, b Status) int {
		return cmp.Or(cmp.Compare(a.Target.Priority, b.Target.Priority), cmp.Compare(a.Target.Member, b.Target.Member),
			a.Target.Addr.Compare(b.Target.Addr), cmp.Compare(a.Target.Transport, b.Target.Transport))
	})
	return list
}

// unresolved stands in the Table for a member without an address, so that people see why. Its Target has the zero Addr: nobody can dial it.
func (p *party) unresolved(m *member) Status {
	return Status{
		Target: Target{Party: p.name, Member: m.Name, Name: m.Host, Transport: m.Transport, Addr: netip.AddrPort{}, Priority: m.Priority},
		State:  Unknown, Since: m.since, Why: m.problem,
	}
}
