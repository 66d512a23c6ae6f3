package healthcheck

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"time"

	"github.com/cordonsip/cordon/sovereign"
)

// root is the innermost error: people at a screen want "connection refused", not who told whom of it.
func root(err error) error {
	for {
		inner := errors.Unwrap(err)
		if inner == nil {
			return err
		}
		err = inner
	}
}

// reading says what a probe means: an answer other than 408, 503 and 5xx is life.
func reading(s Sample, err error) (evidence, string) {
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		return miss, "OPTIONS unanswered"
	case err != nil:
		return miss, "OPTIONS failed (" + root(err).Error() + ")"
	case s.Status == 408:
		return miss, "OPTIONS answered 408"
	case s.Status >= 500 && s.Status < 600:
		return busy, fmt.Sprintf("OPTIONS answered %d", s.Status)
	}
	return hit, ""
}

// takeProbe feeds one probe into the window of its target.
func (c *Checker) takeProbe(ctx context.Context, p *party, t *target, s Sample, err error) {
	now := time.Now()
	c.mu.Lock()
	defer c.mu.Unlock()
	defer c.stir()
	t.probing = false
	if t.gone || ctx.Err() != nil {
		return // a probe that was cut off says nothing about the target
	}
	c.dirty[p.name] = true
	if fenced(err) {
		// The last wall knew better than the ruling of a moment ago: nothing was sent, so nothing was learned.
		t.why = "not probed: " + err.Error()
		return
	}
	e, what := reading(s, err)
	if err == nil {
		t.measured(s.RTT)
		if p.rtt == nil {
			p.rtt = c.metrics.rtt.WithLabelValues(p.name)
		}
		p.rtt.Observe(s.RTT.Seconds())
		if c.cfg.Measured != nil && s.RTT > 0 {
			c.cfg.Measured(t.Target, s.RTT)
		}
	}
	c.feed(p, t, e, now, what)
	c.recalled(t, e, now)
	c.publish(now)
}

func fenced(err error) bool {
	return err != nil && sovereign.ErrFenced != nil && errors.Is(err, sovereign.ErrFenced)
}

// takeOutcome feeds what a real call met into the same window.
func (c *Checker) takeOutcome(o Outcome) {
	now := time.Now()
	c.mu.Lock()
	defer c.mu.Unlock()
	p, t := c.find(o.Target)
	if t == nil {
		return // it left meanwhile
	}
	c.dirty[p.name] = true
	before := t.state
	if !o.Ended {
		c.takeLife(p, t, o, now)
	}
	t.quality.add(o, now, p.settings.Quality)
	c.change(t, now, func() { t.rate(now, p.settings) })
	if t.state == before && (o.Alive || o.Ended) {
		return // nothing new: the next probe publishes it, so that busy hours cost no table per call
	}
	c.publish(now)
	c.stir()
}

// takeLife feeds what a call says of a target's life.
func (c *Checker) takeLife(p *party, t *target, o Outcome, now time.Time) {
	e, what := miss, "calls or probes failed ("+o.Cause+")"
	switch {
	case o.RetryAfter > 0:
		c.change(t, now, func() { t.cool(o.RetryAfter, now) })
		t.probeAt = earlier(t.probeAt, t.coolTill)
		return
	case o.Busy:
		e, what = busy, "calls or probes refused ("+o.Cause+")"
	case o.Alive:
		e, what = hit, ""
	default:
		t.probeAt = time.Time{} // ask at once instead of waiting for the next call to fail
	}
	if t.circuit == HalfOpen || t.circuit == Trying {
		c.change(t, now, func() { t.called(e, now, o.Cause, p.settings) })
		return
	}
	c.feed(p, t, e, now, what)
}

func (c *Checker) find(id string) (*party, *target) {
	name, rest, _ := strings.Cut(id, "/")
	key, _, _ := strings.Cut(rest, "/")
	p := c.parties[name]
	if p == nil || p.members[key] == nil {
		return nil, nil
	}
	return p, p.members[key].targets[id]
}

// feed gives evidence to a target, with the doubt of the whole Checker. The lock is held.
func (c *Checker) feed(p *party, t *target, e evidence, now time.Time, what string) {
	c.change(t, now, func() {
		t.observe(e, now, what, p.settings, func() string { return c.doubts(now, p.settings) })
		t.rate(now, p.settings)
	})
	if e == hit {
		c.trust()
	}
}

// change runs f and reports the transition if there was one. The lock is held.
func (c *Checker) change(t *target, now time.Time, f func()) {
	from, _ := t.shown()
	f()
	if to, why := t.shown(); to != from {
		c.report(Transition{Target: t.Target, From: from, To: to, At: now, Why: why})
	}
}

func (c *Checker) report(tr Transition) {
	c.metrics.transitions.WithLabelValues(tr.Target.Party, tr.To.String()).Inc()
	c.log.Info("target changed", "target", tr.Target.ID(), "from", tr.From.String(), "to", tr.To.String(), "why", tr.Why)
	if c.cfg.Changed == nil {
		return
	}
	c.told.Lock()
	c.told.queue = append(c.told.queue, tr)
	c.told.Unlock()
	select {
	case c.told.wake <- struct{}{}:
	default:
	}
}

func isLiteral(host string) bool {
	_, err := netip.ParseAddr(strings.Trim(host, "[]"))
	return err == nil
}
