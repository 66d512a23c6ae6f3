package gate

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cordonsip/cordon/approval"
	"github.com/cordonsip/cordon/state"
)

func (w *world) quota(id string) quota {
	w.t.Helper()
	item, err := w.kv.KV.Get(w.t.Context(), quotaPrefix+id)
	if err != nil {
		w.t.Fatal(err)
	}
	q, err := decodeQuota(item.Data)
	if err != nil {
		w.t.Fatal(err)
	}
	return q
}

func small(max int) approval.Plan {
	p := plan()
	p.Scope.MaxCalls = max
	return p
}

// One node spends to the last call; then the grant lets nothing more through and says why, and lives on for the calls that are up.
func TestQuotaIsUsedUp(t *testing.T) {
	for _, n := range []int{1, 9, 10, 11, 25} {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t)
			g := w.gate("n1")
			defer w.run(g)()
			ticket := w.live(g, small(n))
			if left := g.Left(ticket.ID); left != min(n, 10) {
				t.Errorf("%d calls are there at once", left)
			}
			if got := spendAll(g, ticket.ID); got != n {
				t.Errorf("%d of %d calls left", got, n)
			}
			got, _ := g.Ticket(ticket.ID)
			if got.State != approval.Active || got.ExhaustedAt.IsZero() || got.Spent != n || got.Why != fmt.Sprintf("the quota of %d calls is used up; calls that are up may finish", n) || len(g.Grants()) != 1 || g.Left(ticket.ID) != 0 {
				t.Errorf("%s, spent %d: %s", got.State, got.Spent, got.Why)
			}
			again, err := g.Propose(t.Context(), "rule:test", ticket.Plan)
			if err != nil || again.ID == ticket.ID || again.State != approval.Pending {
				t.Errorf("the same plan cannot be asked for again: %+v, %v", again, err)
			}
			if last := w.changes(); last[len(last)-2].What != approval.QuotaSpent || last[len(last)-2].Record.Ticket.Spent != n {
				t.Errorf("the entry is %+v", last[len(last)-2])
			}
		})
	}
}

// exhausted says whether a gate sees an active grant whose calls are used up.
func exhausted(g *Gate, id string) bool {
	t, ok := g.Ticket(id)
	return ok && t.State == approval.Active && !t.ExhaustedAt.IsZero()
}

// Three gates, many callers: never more than the plan says, and no call is lost while all nodes live.
func TestQuotaOverThreeGates(t *testing.T) {
	for _, n := range []int{7, 30, 100, 1000} {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t)
			var gates []*Gate
			for i := range 3 {
				g := w.gate(fmt.Sprint("n", i))
				defer w.run(g)()
				gates = append(gates, g)
			}
			synctest.Wait()
			ticket := w.live(gates[0], small(n))
			time.Sleep(time.Second)
			var spent, refunded atomic.Int64
			var wg sync.WaitGroup
			for i, g := range gates {
				for c := range 4 {
					wg.Go(func() {
						for k := range 2000 {
							if g.Spend(ticket.ID) {
								spent.Add(1)
								if (k+c)%7 == 0 {
									g.Refund(ticket.ID)
									refunded.Add(1)
								}
							} else {
								time.Sleep(time.Duration(1+i+c) * time.Millisecond)
							}
						}
					})
				}
			}
			wg.Wait()
			if got := spent.Load() - refunded.Load(); got != int64(n) {
				t.Errorf("%d of %d calls left (%d taken, %d given back)", got, n, spent.Load(), refunded.Load())
			}
			time.Sleep(time.Minute)
			for _, g := range gates {
				if !exhausted(g, ticket.ID) {
					t.Errorf("%s does not see that the calls are used up", g.c.Node)
				}
			}
			if q := w.quota(ticket.ID); q.reserved() > n || q.used() != n {
				t.Errorf("the count is %+v", q)
			}
		})
	}
}

// A node that dies takes its block with it: fewer calls, never more.
func TestQuotaOfADeadNode(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		dead := w.gate("n1") // it reserves its first block when it activates, and never runs
		ticket := w.live(dead, small(25))
		for range 3 {
			dead.Spend(ticket.ID)
		}
		g := w.gate("n2")
		stop := w.run(g)
		time.Sleep(time.Second)
		if got := spendAll(g, ticket.ID); got != 15 {
			t.Errorf("%d calls left on the other node", got)
		}
		if exhausted(g, ticket.ID) {
			t.Error("used up, although 7 calls may still be out")
		}
		stop()
		// It comes back: what it had reserved counts as spent, and that makes the count full.
		again := w.gate("n1")
		defer w.run(again)()
		time.Sleep(time.Second)
		if again.Spend(ticket.ID) || !exhausted(again, ticket.ID) {
			t.Errorf("not used up after the return, the count is %+v", w.quota(ticket.ID))
		}
	})
}

// An orderly stop gives back what was not spent.
func TestQuotaIsGivenBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		a, b := w.gate("n1"), w.gate("n2")
		stop := w.run(a)
		ticket := w.live(a, small(20))
		for range 3 {
			a.Spend(ticket.ID)
		}
		defer w.run(b)()
		time.Sleep(time.Second)
		if b.Left(ticket.ID) != 10 {
			t.Errorf("%d calls on the other node", b.Left(ticket.ID))
		}
		stop()
		if a.Spend(ticket.ID) {
			t.Error("a stopped node spends")
		}
		if got := spendAll(b, ticket.ID); got != 17 {
			t.Errorf("%d calls left after 3 of 20", got)
		}
		if !exhausted(b, ticket.ID) {
			t.Error("not used up")
		}
	})
}

func TestSpendRefundLeft(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		g := w.gate("n1") // nobody renews
		if g.Spend("nothing") || g.Left("nothing") != 0 {
			t.Error("no grant, and a call")
		}
		g.Refund("nothing")
		ticket := w.live(g, small(100))
		g.Refund(ticket.ID) // nothing was spent
		if g.Left(ticket.ID) != 10 {
			t.Errorf("%d left", g.Left(ticket.ID))
		}
		for range 10 {
			if !g.Spend(ticket.ID) {
				t.Fatal("no call")
			}
		}
		if g.Spend(ticket.ID) || g.Left(ticket.ID) != 0 {
			t.Error("an empty block gives calls")
		}
		g.Refund(ticket.ID)
		if g.Left(ticket.ID) != 1 || !g.Spend(ticket.ID) || g.Spend(ticket.ID) {
			t.Error("one was given back")
		}
		if got, _ := g.Ticket(ticket.ID); got.Spent != 10 {
			t.Errorf("spent %d", got.Spent)
		}
		if n := testing.AllocsPerRun(100, func() {
			g.Refund(ticket.ID)
			g.Spend(ticket.ID)
			g.Left(ticket.ID)
		}); n != 0 {
			t.Errorf("%v allocations per call", n)
		}
	})
}

// A store that cannot be written means hold, and calls again when it is back.
func TestQuotaWithoutStore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		g := w.gate("n1")
		defer w.run(g)()
		ticket := w.live(g, small(100))
		time.Sleep(time.Second)
		w.kv.down.Store(true)
		if got := spendAll(g, ticket.ID); got != 10 {
			t.Errorf("%d calls without a store", got)
		}
		time.Sleep(time.Minute)
		if g.Spend(ticket.ID) {
			t.Error("a call without a store")
		}
		w.kv.down.Store(false)
		time.Sleep(retryQuota)
		if got := spendAll(g, ticket.ID); got < 10 {
			t.Errorf("%d calls after its return", got)
		}
	})
}

// The approved plan bounds the count: a store that says more is not believed, and one whose count is gone gives nothing.
func TestQuotaIsBoundByThePlan(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		g := w.gate("n1")
		defer w.run(g)()
		ticket := w.live(g, small(15))
		item, _ := w.kv.KV.Get(t.Context(), quotaPrefix+ticket.ID)
		if _, err := w.kv.KV.Swap(t.Context(), item.Key, item.Rev, []byte(`{"max_calls_total":1000,"nodes":{"n1":{"reserved":10,"used":0}}}`)); err != nil {
			t.Fatal(err)
		}
		if got := spendAll(g, ticket.ID); got != 15 {
			t.Errorf("%d calls of 15", got)
		}
	})
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		g := w.gate("n1")
		defer w.run(g)()
		ticket := w.live(g, small(100))
		synctest.Wait()
		w.remove(quotaPrefix + ticket.ID)
		if got := spendAll(g, ticket.ID); got > 20 {
			t.Errorf("%d calls without a count", got)
		}
		if _, err := w.kv.KV.Get(t.Context(), quotaPrefix+ticket.ID); !errors.Is(err, state.ErrNotFound) {
			t.Errorf("a count came back: %v", err)
		}
	})
}
