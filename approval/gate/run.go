package gate

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/cordonsip/cordon/approval"
	"github.com/cordonsip/cordon/state"
)

// Run follows state, keeps the clocks and renews quota blocks until ctx ends. Then it gives back the calls that it reserved and nobody spent.
func (g *Gate) Run(ctx context.Context) error {
	if !g.running.CompareAndSwap(false, true) {
		return errors.New("approval: the gate runs already")
	}
	defer g.running.Store(false)
	if _, err := g.Restore(ctx); err != nil {
		return ended(ctx, err)
	}
	inner, cancel := context.WithCancel(ctx)
	defer cancel()
	changes, err := g.c.KV.Watch(inner, prefix)
	if err != nil {
		return ended(ctx, fmt.Errorf("approval: following the store: %w", err))
	}
	var wg sync.WaitGroup
	wg.Go(func() { g.keepClocks(inner) })
	wg.Go(func() { g.keepQuotas(inner) })
	err = g.follow(inner, changes)
	cancel()
	wg.Wait()
	last, done := context.WithTimeout(context.WithoutCancel(ctx), stateTimeout)
	defer done()
	g.giveBack(last)
	g.keepRead(last)
	return ended(ctx, err)
}

// ended drops an error that only says that ctx ended.
func ended(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return nil
	}
	return err
}

// follow takes in what this and other nodes write.
func (g *Gate) follow(ctx context.Context, changes <-chan state.Item) error {
	for item := range changes {
		switch {
		case strings.HasPrefix(item.Key, ticketPrefix):
			g.followTicket(ctx, item)
		case strings.HasPrefix(item.Key, quotaPrefix):
			g.followQuota(item)
		}
	}
	return errors.New("approval: the store ended the watch")
}

func (g *Gate) followTicket(ctx context.Context, item state.Item) {
	id := strings.TrimPrefix(item.Key, ticketPrefix)
	if item.Data == nil {
		g.drop(id, item.Rev)
		g.publish()
		return
	}
	if known := g.known(id); known != nil && known.rev >= item.Rev {
		return
	}
	// Judged without the turn: what another node ended must not wait for what this one is logging.
	_, err := g.accept(ctx, id, item)
	if err != nil && !errors.Is(err, state.ErrConflict) {
		g.logger.Error("a change of the store could not be judged and does not count yet", "ticket", id, "error", err)
	}
	g.publish()
	nudge(g.wakeClock)
}

func (g *Gate) followQuota(item state.Item) {
	id := strings.TrimPrefix(item.Key, quotaPrefix)
	if item.Data == nil {
		return
	}
	q, err := decodeQuota(item.Data)
	if err != nil {
		g.logger.Error("a quota cannot be read", "ticket", id, "error", err)
		return
	}
	g.seeQuota(id, q)
	if b := g.snap.Load().blocks[id]; b != nil && b.dry.Load() {
		if q.reserved() < q.Max {
			b.dry.Store(false) // another node gave calls back
		}
		nudge(g.wakeQuota)
	}
}

// keepQuotas renews blocks when Spend asks for it, and tries again after a failure.
func (g *Gate) keepQuotas(ctx context.Context) {
	wait := retryEvery
	for {
		var again <-chan time.Time
		if err := g.renewAll(ctx); err != nil && ctx.Err() == nil {
			g.logger.Warn("calls could not be reserved", "error", err)
			again = time.After(wait)
			wait = min(2*wait, retryQuota)
		} else {
			wait = retryEvery
		}
		select {
		case <-g.wakeQuota:
		case <-again:
		case <-ctx.Done():
			return
		}
	}
}

// keepClocks ends what is over. A grant leaves the snapshot at its very end, whatever the log and the store do; the entry follows.
func (g *Gate) keepClocks(ctx context.Context) {
	retry := retryEvery
	for {
		g.publish()
		err := errors.Join(g.ring(ctx), g.catchUp(ctx))
		wait := g.untilDue()
		switch {
		case ctx.Err() != nil:
			return
		case err != nil:
			g.logger.Warn("what is over could not be ended yet", "error", err)
			wait = min(wait, retry)
			retry = min(2*retry, retryClock)
		default:
			retry = retryEvery
		}
		timer := time.NewTimer(wait)
		select {
		case <-timer.C:
		case <-g.wakeClock:
		case <-ctx.Done():
		}
		timer.Stop()
	}
}

// work is one ticket and what the clock does to it.
type work struct {
	id       string
	activate bool
}

// dueNow gives the tickets that the clock must act on.
func (g *Gate) dueNow() []work {
	g.view.Lock()
	defer g.view.Unlock()
	now := g.clock.now()
	var out []work
	for id, w := range g.view.tickets {
		switch {
		case w.IsDue(now), w.Bells(now):
			out = append(out, work{id: id})
		case w.Stuck(now):
			out = append(out, work{id, true})
		}
	}
	slices.SortFunc(out, func(a, b work) int { return strings.Compare(a.id, b.id) })
	return out
}

// untilDue is how long nothing is due. What is overdue failed or is another node's to do, and is looked at again soon.
func (g *Gate) untilDue() time.Duration {
	g.view.Lock()
	defer g.view.Unlock()
	next, now := time.Hour, g.clock.now()
	sooner := func(at time.Time) {
		if d := at.Sub(now); d > 0 {
			next = min(next, d)
		} else {
			next = min(next, retryEvery)
		}
	}
	for _, w := range g.view.tickets {
		if due := w.Due(); !due.IsZero() {
			sooner(due)
		}
		if bell := w.BellAt(); !bell.IsZero() {
			sooner(bell)
		}
		if w.Ticket.State == approval.Approved && w.Rules.AutoActivate && w.Ticket.Grants() {
			sooner(w.StuckAt())
		}
	}
	return next
}

// ring ends what is over, on one node at a time.
func (g *Gate) ring(ctx context.Context) error {
	if len(g.dueNow()) == 0 {
		return nil
	}
	mine, err := g.c.KV.Lease(ctx, clockLease, g.c.Node, leaseFor)
	if err != nil || !mine {
		return err
	}
	var errs []error
	for _, w := range g.dueNow() {
		if w.activate {
			errs = append(errs, g.activateLate(ctx, w.id))
			continue
		}
		_, err := g.change(ctx, w.id, func(now time.Time, r *approval.Record) (approval.GateChanged, error) {
			switch {
			case r.IsDue(now):
				what := r.Ring(now)
				return approval.GateChanged{What: what, By: ruleClock, Why: r.Ticket.Why}, nil
			case r.Bells(now):
				role := r.Escalate()
				return approval.GateChanged{What: approval.Escalation, By: ruleClock, Role: role, Why: "nobody has decided in time: " + role + " is told"}, nil
			}
			return approval.GateChanged{}, errUnchanged
		})
		errs = append(errs, err)
	}
	return errors.Join(append(errs, g.prune(ctx))...)
}

func (g *Gate) activateLate(ctx context.Context, id string) error {
	if err := g.begin(ctx); err != nil {
		return err
	}
	defer g.leave()
	_, err := g.activate(ctx, id, ruleActivation)
	return err
}

// catchUp carries through what the log holds and the store did not take, and voids what did not take effect.
func (g *Gate) catchUp(ctx context.Context) error {
	if err := g.take(ctx); err != nil {
		return err
	}
	defer g.leave()
	g.keepSince(ctx, keepEvery)
	return errors.Join(g.flushVoids(ctx), g.settleAll(ctx))
}

// prune takes the oldest ended tickets out of the store; the log keeps them.
func (g *Gate) prune(ctx context.Context) error {
	var errs []error
	ended := 0
	for _, t := range g.Tickets() {
		if !t.State.Terminal() {
			continue // it waits, lets traffic through or owes a review
		}
		if ended++; ended <= maxClosed {
			continue
		}
		for _, key := range []string{quotaPrefix + t.ID, ticketPrefix + t.ID} {
			item, err := g.c.KV.Get(ctx, key)
			if errors.Is(err, state.ErrNotFound) {
				continue
			}
			if err == nil {
				err = g.c.KV.Delete(ctx, key, item.Rev)
			}
			errs = append(errs, err)
		}
		g.drop(t.ID, ^uint64(0))
	}
	return errors.Join(errs...)
}
