package healthcheck

import (
	"fmt"
	"time"
)

// Recall takes back what a drill made of targets: each that was usable in a table from before the drill, and fell or limps since, is probed at once, and is what it was
// with its first good answer, without rise and hold-down. A target that does not answer is what everybody sees: it stays as it is, and rises as always.
//
// Its falls since then are forgotten with what calls met there: the drill made them.
func (c *Checker) Recall(before *Table) {
	now := time.Now()
	c.mu.Lock()
	for party, list := range before.ByParty {
		for _, was := range list {
			if _, t := c.find(was.Target.ID()); t != nil && was.State.Usable() && t.state != was.State {
				t.recall = &recall{state: was.State, since: was.Since, at: before.At, rtt: was.RTT, until: now.Add(recallFor)}
				t.probeAt = now
				c.dirty[party] = true
			}
		}
	}
	c.mu.Unlock()
	c.stir()
}

// recall is what a target was before a drill.
type recall struct {
	state     State
	since, at time.Time
	rtt       time.Duration
	until     time.Time // of the asking
}

// How long a target is asked for the one good answer, and how soon again: a probe that left in front of the end may still find nobody.
const (
	recallFor   = 10 * time.Second
	recallEvery = 250 * time.Millisecond
)

// recalled is asked with each probe: a good answer gives the target its state back. The lock is held.
func (c *Checker) recalled(t *target, e evidence, now time.Time) {
	r := t.recall
	switch {
	case r == nil:
		return
	case e == hit:
		t.recall = nil
	case now.Before(r.until):
		t.probeAt = now.Add(recallEvery)
		return
	default:
		t.recall = nil
		return
	}
	c.change(t, now, func() {
		t.falls, t.quality, t.rtt = t.fallsUntil(r.at), quality{}, r.rtt
		if t.state != r.state {
			t.enter(r.state, now, "answers, as before the drill that took it away")
			t.since = r.since
		}
	})
}

// fallsUntil are the falls up to a moment.
func (w *window) fallsUntil(at time.Time) []time.Time {
	for i, f := range w.falls {
		if f.After(at) {
			return w.falls[:i]
		}
	}
	return w.falls
}

// Recalling says which targets are still waited for: none when Recall is over.
func (c *Checker) Recalling() (out []string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, p := range c.parties {
		for _, m := range p.members {
			for id, t := range m.targets {
				if t.recall != nil {
					out = append(out, fmt.Sprintf("%s is %s", id, t.state))
				}
			}
		}
	}
	return out
}
