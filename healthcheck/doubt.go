package healthcheck

import (
	"fmt"
	"time"
)

// A node whose own network broke sees everybody fail at once. Before it calls them dead it doubts itself: for one further window the old states
// stay. If the silence lasts, it believes what it sees.
const (
	doubtShare   = 0.8 // of the targets that were alive
	doubtTargets = 3
	doubtParties = 2
)

type doubt struct {
	until time.Time // zero: no doubt
	spent bool      // it was tried in this episode: believe
}

// doubts says, for a target that is about to fall, why it may not fall yet; "" lets it fall. The lock is held.
func (c *Checker) doubts(now time.Time, s Settings) string {
	if !c.doubt.until.IsZero() {
		return c.doubtWords()
	}
	if c.sure || c.doubt.spent || !c.mostSilent(now) {
		return ""
	}
	c.doubt.until = now.Add(time.Duration(s.Fall) * s.Interval)
	c.doubt.spent = true
	c.metrics.doubting.Set(1)
	c.log.Warn("most targets are silent at once: this node doubts itself and keeps the old states", "until", clock(c.doubt.until))
	c.stir()
	return c.doubtWords()
}

func (c *Checker) doubtWords() string {
	return fmt.Sprintf("most targets are silent at once, so this node doubts itself until %s", clock(c.doubt.until))
}

// mostSilent counts the targets that are alive by their state: how many of them said nothing in their last round.
func (c *Checker) mostSilent(now time.Time) bool {
	probed, silent := 0, 0
	parties := make(map[string]bool)
	for _, p := range c.parties {
		horizon := p.settings.Interval + p.settings.Interval/2 + p.settings.Timeout
		for _, m := range p.members {
			for _, t := range m.targets {
				if !t.state.Usable() || t.lastAt.IsZero() {
					continue
				}
				probed++
				if t.last == miss && now.Sub(t.lastAt) <= horizon {
					silent++
					parties[p.name] = true
				}
			}
		}
	}
	return silent >= doubtTargets && len(parties) >= doubtParties && float64(silent) >= doubtShare*float64(probed)
}

// believe ends a doubt whose time is over: every target that is still silent falls now. Nothing ends it earlier: when the first target answers
// again, the others get the rest of the time to do the same. The lock is held.
func (c *Checker) believe(now time.Time) {
	if c.doubt.until.IsZero() || now.Before(c.doubt.until) {
		return
	}
	c.doubt.until = time.Time{}
	c.metrics.doubting.Set(0)
	c.log.Warn("this node's doubt about itself is over: targets that are still silent are believed to be down")
	c.settle(now)
	c.trust()
}

// trust makes the Checker ready to doubt again once the last silence is over: fewer than half of all targets are silent. The lock is held.
func (c *Checker) trust() {
	if !c.doubt.spent || !c.doubt.until.IsZero() {
		return
	}
	probed, silent := 0, 0
	for _, p := range c.parties {
		for _, m := range p.members {
			for _, t := range m.targets {
				if t.state != Unknown {
					probed++
				}
				if t.state == Down && t.last == miss {
					silent++
				}
			}
		}
	}
	c.doubt.spent = silent*2 >= probed
}

// settle lets fall what only doubt kept.
func (c *Checker) settle(now time.Time) {
	for _, p := range c.parties {
		for _, m := range p.members {
			for _, t := range m.targets {
				if t.state != Down && t.misses >= p.settings.Fall {
					c.dirty[p.name] = true
					c.change(t, now, func() {
						t.fall(now, fmt.Sprintf("%d misses in a row since %s", t.misses, clock(t.missFrom)), p.settings)
					})
				}
			}
		}
	}
}
