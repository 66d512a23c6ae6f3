package healthcheck

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/cordonsip/cordon/sovereign"
)

// Call says how a party is tried by synthetic calls, beside its probes. What each brings feeds the window of the target like any other call.
type Call struct {
	From  string        // trunk or group in whose name it is placed; a route must lead from it to the party
	To    string        // a number that answers calls
	Every time.Duration // one call of the party, target after target; at least 10 s
	Hold  time.Duration // how long it stays up
	Echo  bool          // the far end must send the tone back
}

// Caller places one synthetic call to one target, through the same plan and the same fence as every call. It tells Outcome itself what the call met; the error
// says what else was wrong: nothing came back, or the plan leaves the target out.
type Caller interface {
	Call(ctx context.Context, t Target, c Call) error
}

// leastEvery bounds how often a party is called, and callIn how long one call may take beyond its hold.
const (
	leastEvery = 10 * time.Second
	callIn     = 40 * time.Second
)

func (c Call) check(where string) error {
	switch {
	case c == (Call{}):
		return nil
	case c.From == "" || c.To == "":
		return fmt.Errorf("healthcheck: %s: a synthetic call needs whom it comes from and a number", where)
	case c.Every < leastEvery || c.Every > 24*time.Hour:
		return fmt.Errorf("healthcheck: %s: synthetic calls every %v: between %v and 24h", where, c.Every, leastEvery)
	case c.Hold < 0 || c.Hold > time.Minute:
		return fmt.Errorf("healthcheck: %s: synthetic calls of %v: at most a minute", where, c.Hold)
	}
	return nil
}

// call places the next synthetic call of a party if it is time, and says when the one after it is due. Its targets take turns; what is held or denied is never
// called, and what is down is left to its probes until they answer. The lock is held.
func (c *Checker) call(ctx context.Context, wg *sync.WaitGroup, p *party, now time.Time) time.Time {
	if p.call == (Call{}) || c.cfg.Caller == nil || p.calling {
		return now.Add(time.Minute)
	}
	if p.callAt.IsZero() {
		p.callAt = now.Add(p.call.Every) // the first call waits: nothing is known yet
	}
	if p.callAt.After(now) {
		return p.callAt
	}
	p.callAt = now.Add(p.call.Every)
	t := p.turn()
	if t == nil {
		return p.callAt
	}
	if !c.cfg.Judge(sovereign.Ask{Party: p.name, Plane: sovereign.Signalling, Purpose: sovereign.SyntheticProbe, Addr: t.Addr, At: now}).Permitted() {
		return p.callAt
	}
	p.calling = true
	what, how := t.Target, p.call
	wg.Go(func() {
		one, cancel := context.WithTimeout(ctx, how.Hold+callIn)
		err := c.cfg.Caller.Call(one, what, how)
		cancel()
		c.called(ctx, p, what.ID(), err)
	})
	return p.callAt
}

// turn gives the target that was not called for the longest time, of those that may get a call.
func (p *party) turn() (next *target) {
	var list []*target
	for _, m := range p.members {
		for _, t := range m.targets {
			if t.state.Usable() || t.circuit == HalfOpen {
				list = append(list, t)
			}
		}
	}
	if len(list) == 0 {
		return nil
	}
	next = slices.MinFunc(list, func(a, b *target) int { return cmp.Or(a.calledAt.Compare(b.calledAt), cmp.Compare(a.ID(), b.ID())) })
	next.calledAt = time.Now()
	return next
}

// called takes in what a synthetic call could not say by itself.
func (c *Checker) called(ctx context.Context, p *party, id string, err error) {
	now := time.Now()
	c.mu.Lock()
	p.calling = false
	c.mu.Unlock()
	c.stir()
	if err == nil || ctx.Err() != nil {
		return
	}
	c.log.Warn("a synthetic call found something wrong", "target", id, "error", err)
	if fenced(err) {
		return // nothing was sent, so nothing was learned
	}
	c.Outcome(Outcome{Target: id, Cause: "synthetic call: " + root(err).Error(), At: now})
}
