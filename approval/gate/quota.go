package gate

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/cordonsip/cordon/approval"
	"github.com/cordonsip/cordon/state"
)

// quota is the count of a grant's calls, shared by all nodes: one key, changed by compare-and-swap. What a node reserved counts as gone, so
// however nodes fail, never more than Max calls leave.
type quota struct {
	Max   int              `json:"max_calls_total"`
	Nodes map[string]share `json:"nodes"`
}

// share is one node's part: calls reserved, and those of them spent as far as it reported.
type share struct {
	Reserved int `json:"reserved"`
	Used     int `json:"used"`
}

func (q quota) reserved() (n int) {
	for _, s := range q.Nodes {
		n += s.Reserved
	}
	return n
}

func (q quota) used() (n int) {
	for _, s := range q.Nodes {
		n += s.Used
	}
	return n
}

// block is what this node may spend of a grant without asking anybody. Every field is atomic or never changed.
type block struct {
	until time.Time
	low   int64 // at or below this the block is renewed
	left  atomic.Int64
	spent atomic.Int64
	told  atomic.Int64 // of spent, what the quota says already
	dry   atomic.Bool  // nothing was left to reserve

	renewing atomic.Bool // one goroutine at a time reserves
}

func newBlock(w *written, calls int) *block {
	b := &block{until: w.Ticket.GrantUntil, low: int64(w.Rules.QuotaBlock) / 2}
	b.left.Store(int64(calls))
	return b
}

func (b *block) unreported() int64 { return b.spent.Load() - b.told.Load() }

// take gives one call if there is one.
func (b *block) take() (left int64, ok bool) {
	for {
		n := b.left.Load()
		if n <= 0 {
			return 0, false
		}
		if b.left.CompareAndSwap(n, n-1) {
			b.spent.Add(1)
			return n - 1, true
		}
	}
}

// Spend takes one call out of the local block of a grant. False means hold. It takes no lock that anybody waits under.
func (g *Gate) Spend(grant string) bool {
	b := g.snap.Load().blocks[grant]
	if b == nil || !g.clock.now().Before(b.until) {
		return false
	}
	left, ok := b.take()
	if left == 0 && ok || left <= b.low && !b.dry.Load() {
		nudge(g.wakeQuota)
	}
	return ok
}

// Left is what Spend could still give without renewing.
func (g *Gate) Left(grant string) int {
	b := g.snap.Load().blocks[grant]
	if b == nil || !g.clock.now().Before(b.until) {
		return 0
	}
	return int(max(b.left.Load(), 0))
}

// Refund gives one call back that never left. It gives no more back than was spent.
func (g *Gate) Refund(grant string) {
	b := g.snap.Load().blocks[grant]
	if b == nil {
		return
	}
	for {
		n := b.spent.Load()
		if n <= 0 {
			return
		}
		if b.spent.CompareAndSwap(n, n-1) {
			b.left.Add(1)
			return
		}
	}
}

// spent is the newest count that this node knows.
func (g *Gate) spent(id string) int {
	g.view.Lock()
	defer g.view.Unlock()
	if g.view.tickets[id] == nil {
		return 0
	}
	return g.ticketLocked(id).Spent
}

// openQuota lays out the count of a grant that is about to go live, and reserves this node's first block, so that the first call after the
// activation finds one.
func (g *Gate) openQuota(ctx context.Context, r *approval.Record) error {
	t := &r.Ticket
	first := min(r.Rules.QuotaBlock, t.Plan.Scope.MaxCalls)
	data, err := json.Marshal(quota{Max: t.Plan.Scope.MaxCalls, Nodes: map[string]share{g.c.Node: {Reserved: first}}})
	if err != nil {
		return fmt.Errorf("approval: writing the quota of %s: %w", t.ID, err)
	}
	_, err = g.swap(ctx, quotaPrefix+t.ID, 0, data)
	if errors.Is(err, state.ErrConflict) {
		return nil // an earlier attempt, or another node's
	}
	if err != nil {
		return fmt.Errorf("approval: writing the quota of %s: %w", t.ID, err)
	}
	g.view.Lock()
	g.view.first[t.ID] = first
	g.view.Unlock()
	return nil
}

// editQuota changes the count of a grant by compare-and-swap. do gives false when there is nothing to change.
func (g *Gate) editQuota(ctx context.Context, id string, do func(q *quota) bool) (quota, error) {
	// A reservation that was written and not taken over would be lost.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), stateTimeout)
	defer cancel()
	for range maxTries {
		item, err := g.c.KV.Get(ctx, quotaPrefix+id)
		if err != nil {
			return quota{}, fmt.Errorf("approval: reading the quota of %s: %w", id, err)
		}
		q, err := decodeQuota(item.Data)
		if err != nil {
			return quota{}, fmt.Errorf("approval: reading the quota of %s: %w", id, err)
		}
		if q.Nodes == nil {
			q.Nodes = map[string]share{}
		}
		if !do(&q) {
			g.seeQuota(id, q)
			return q, nil
		}
		data, err := json.Marshal(q)
		if err != nil {
			return quota{}, fmt.Errorf("approval: writing the quota of %s: %w", id, err)
		}
		_, err = g.c.KV.Swap(ctx, item.Key, item.Rev, data)
		if err == nil {
			g.seeQuota(id, q)
			return q, nil
		}
		if !errors.Is(err, state.ErrConflict) {
			return quota{}, fmt.Errorf("approval: writing the quota of %s: %w", id, err)
		}
	}
	return quota{}, fmt.Errorf("approval: the quota of %s: %w", id, state.ErrConflict)
}

func (g *Gate) seeQuota(id string, q quota) {
	g.view.Lock()
	defer g.view.Unlock()
	if g.view.tickets[id] != nil {
		g.view.quotas[id] = q
	}
}

// renew reserves the next calls of one grant when the block runs low, and reports what was spent.
func (g *Gate) renew(ctx context.Context, id string) error {
	b, w := g.snap.Load().blocks[id], g.known(id)
	if b == nil || w == nil || !b.renewing.CompareAndSwap(false, true) {
		return nil // it ended, or somebody is at it
	}
	defer b.renewing.Store(false)
	if left := b.left.Load(); left > b.low || left > 0 && b.dry.Load() {
		return nil
	}
	var got, delta int
	q, err := g.editQuota(ctx, id, func(q *quota) bool {
		got, delta = 0, int(b.unreported())
		if free := q.ceiling(w.Record) - q.reserved(); b.left.Load() <= b.low && free > 0 {
			got = min(free, w.Rules.QuotaBlock)
		}
		if got == 0 && (delta == 0 || b.left.Load() > 0) {
			delta = 0 // reported with the next block, or when the last call is gone
			return false
		}
		q.add(g.c.Node, got, delta)
		return true
	})
	if errors.Is(err, state.ErrNotFound) {
		b.dry.Store(true)
	}
	if err != nil {
		return err
	}
	b.told.Add(int64(delta))
	b.left.Add(int64(got))
	b.dry.Store(got == 0 && q.reserved() >= q.ceiling(w.Record))
	return nil
}

// ceiling is how many calls there are at all: the approved plan bounds the count, whatever the store says.
func (q *quota) ceiling(r *approval.Record) int { return min(q.Max, r.Ticket.Plan.Scope.MaxCalls) }

func (q *quota) add(node string, reserved, used int) {
	s := q.Nodes[node]
	q.Nodes[node] = share{Reserved: s.Reserved + reserved, Used: s.Used + used}
}

// renewAll renews every live grant and marks those whose calls are used up.
func (g *Gate) renewAll(ctx context.Context) error {
	var errs []error
	for id, b := range g.snap.Load().blocks {
		if err := g.renew(ctx, id); err != nil {
			errs = append(errs, err)
			continue
		}
		if b.dry.Load() && b.left.Load() <= 0 {
			errs = append(errs, g.exhaust(ctx, id))
		}
	}
	return errors.Join(errs...)
}

// exhaust marks a grant when all nodes together have spent its calls. It stays ACTIVE to the end of its time, so that the calls that left may finish; no
// further call leaves, and the same plan may be proposed again.
func (g *Gate) exhaust(ctx context.Context, id string) error {
	used := func(r *approval.Record) bool {
		g.view.Lock()
		defer g.view.Unlock()
		q, ok := g.view.quotas[id]
		return ok && q.used() >= q.ceiling(r)
	}
	due := func(r *approval.Record) bool {
		return r.Ticket.State.Live() && r.Ticket.ExhaustedAt.IsZero() && used(r)
	}
	if w := g.known(id); w == nil || !due(w.Record) {
		return nil
	}
	_, err := g.change(ctx, id, func(now time.Time, r *approval.Record) (approval.GateChanged, error) {
		if !due(r) {
			return approval.GateChanged{}, errUnchanged
		}
		r.Ticket.ExhaustedAt = now
		r.Ticket.Why = fmt.Sprintf("the quota of %d calls is used up; calls that are up may finish", r.Ticket.Plan.Scope.MaxCalls)
		return approval.GateChanged{What: approval.QuotaSpent, By: ruleQuota, Why: r.Ticket.Why}, nil
	})
	return err
}

// giveBack returns what this node reserved and did not spend.
func (g *Gate) giveBack(ctx context.Context) {
	for id, b := range g.snap.Load().blocks {
		rest := int(max(b.left.Swap(0), 0))
		var delta int
		_, err := g.editQuota(ctx, id, func(q *quota) bool {
			delta = int(b.unreported())
			q.add(g.c.Node, -rest, delta)
			return rest != 0 || delta != 0
		})
		if err != nil {
			g.logger.Warn("calls that were reserved and not spent stay reserved", "ticket", id, "calls", rest, "error", err)
			continue
		}
		b.told.Add(int64(delta))
	}
}

// recount puts the quota of a live grant right after a start: what this node had reserved in an earlier run counts as spent, and a count that is
// lost counts as used up. lost says that it was.
func (g *Gate) recount(ctx context.Context, r *approval.Record) (lost bool, err error) {
	id, node := r.Ticket.ID, g.c.Node
	_, err = g.editQuota(ctx, id, func(q *quota) bool {
		s := q.Nodes[node]
		q.Nodes[node] = share{Reserved: s.Reserved, Used: s.Reserved}
		return s.Used != s.Reserved
	})
	if !errors.Is(err, state.ErrNotFound) {
		return false, err
	}
	n := r.Ticket.Plan.Scope.MaxCalls
	q := quota{Max: n, Nodes: map[string]share{node: {Reserved: n, Used: n}}}
	data, err := json.Marshal(q)
	if err != nil {
		return true, fmt.Errorf("approval: writing the quota of %s: %w", id, err)
	}
	if _, err := g.swap(ctx, quotaPrefix+id, 0, data); err != nil {
		return true, fmt.Errorf("approval: writing the quota of %s: %w", id, err)
	}
	g.seeQuota(id, q)
	return true, nil
}
