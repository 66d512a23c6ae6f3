package gate

import (
	"fmt"
	"path/filepath"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cordonsip/cordon/approval"
	"github.com/cordonsip/cordon/internal/background"
	"github.com/cordonsip/cordon/state"
)

// Two approvers at once, on two gates over one store: both words count, the ticket goes live once, and log and store agree.
func TestTwoApproversOnTwoGates(t *testing.T) {
	for round := range 20 {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t)
			a, b := w.gate("n1"), w.gate("n2")
			if round%2 == 0 { // with and without the watches
				defer w.run(a)()
				defer w.run(b)()
			}
			ticket := w.propose(a, plan())
			w.opine(a, ticket, "dpo", approval.NoObjection, false)
			var wg sync.WaitGroup
			for g, person := range map[*Gate]string{a: "ic", b: "bo"} {
				wg.Go(func() { w.decide(g, ticket, person, true) })
			}
			wg.Wait()
			synctest.Wait()
			r := w.stored(ticket.ID)
			if r.Ticket.State != approval.Active || len(r.Ticket.Decisions) != 2 || r.Ticket.Decisions[0].Person == r.Ticket.Decisions[1].Person {
				t.Fatalf("%s with %+v", r.Ticket.State, r.Ticket.Decisions)
			}
			effective, voided := map[string]approval.GateChanged{}, map[string]bool{}
			for _, ev := range w.changes() {
				effective[ev.Change] = ev
				voided[ev.Voids] = true
			}
			live, versions := 0, map[uint64]string{}
			for id, ev := range effective {
				if voided[id] || ev.What == approval.NotApplied {
					continue
				}
				if other, twice := versions[ev.Record.Version]; twice {
					t.Errorf("changes %s and %s both are version %d", other, id, ev.Record.Version)
				}
				versions[ev.Record.Version] = id
				if ev.What == approval.Activated {
					live++
				}
			}
			if live != 1 || uint64(len(versions)) != r.Version {
				t.Errorf("%d activations, %d versions of %d", live, len(versions), r.Version)
			}
			for _, g := range []*Gate{a, b} {
				if err := g.refresh(t.Context()); err != nil {
					t.Fatal(err)
				}
				w.agreeOn(ticket.ID, g)
			}
			w.agree(a)
		})
	}
}

// The same role twice at once, one ticket twice at once, an approval against a denial: one of the two wins, wherever they meet.
func TestRacesHaveOneWinner(t *testing.T) {
	for range 10 {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t)
			gates := []*Gate{w.gate("n1"), w.gate("n2"), w.gate("n3")}
			for _, g := range gates {
				defer w.run(g)()
			}
			ids := make([]string, 3)
			var wg sync.WaitGroup
			for i, g := range gates {
				wg.Go(func() {
					ticket, err := g.Propose(t.Context(), "rule:routing", plan())
					if err != nil {
						t.Error(err)
					}
					ids[i] = ticket.ID
				})
			}
			wg.Wait()
			if ids[0] != ids[1] || ids[1] != ids[2] {
				t.Fatalf("one plan has the tickets %q", ids)
			}
			ticket, _ := gates[0].Ticket(ids[0])
			if err := gates[0].Notified(t.Context(), ticket.ID, "console", ""); err != nil {
				t.Fatal(err)
			}
			errs := make([]error, 2)
			for i, person := range []string{"bo", "bo2"} {
				wg.Go(func() { _, errs[i] = w.say(gates[i], ticket, person+"+") })
			}
			wg.Wait()
			if (errs[0] == nil) == (errs[1] == nil) {
				t.Errorf("one role twice: %v, %v", errs[0], errs[1])
			}
			w.opine(gates[2], ticket, "dpo", approval.NoObjection, false)
			for i, word := range []string{"ic+", "ciso-"} {
				wg.Go(func() { _, errs[i] = w.say(gates[i], ticket, word) })
			}
			wg.Wait()
			synctest.Wait()
			s := w.stored(ticket.ID).Ticket.State
			if (errs[0] == nil) == (errs[1] == nil) || s != approval.Active && s != approval.DeniedByPeople {
				t.Errorf("an approval and a denial: %v, %v, %s", errs[0], errs[1], s)
			}
			for _, g := range gates {
				w.agreeOn(ticket.ID, g)
			}
			w.agree(gates[0])
		})
	}
}

// Every node rings the clock, and each end is logged once.
func TestOneNodeRingsTheClock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		gates := []*Gate{w.gate("n1"), w.gate("n2"), w.gate("n3")}
		for _, g := range gates {
			defer w.run(g)()
		}
		for i := range 5 {
			p := plan()
			p.Scope.Country = fmt.Sprint(i)
			w.propose(gates[i%3], p)
		}
		time.Sleep(time.Hour)
		ends := 0
		for _, ev := range w.changes() {
			if ev.What == approval.Clock {
				ends++
			}
			if ev.What == approval.NotApplied {
				t.Error("nodes raced for the clock")
			}
		}
		if ends != 5 {
			t.Errorf("5 tickets ended %d times", ends)
		}
	})
}

// A revocation on one node ends the grant on all.
func TestRevocationSpreads(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		a, b := w.gate("n1"), w.gate("n2")
		defer w.run(a)()
		defer w.run(b)()
		ticket := w.live(a, plan())
		synctest.Wait()
		if len(b.Grants()) != 1 || b.Left(ticket.ID) != 10 {
			t.Fatalf("%d grants, %d calls on the other node", len(b.Grants()), b.Left(ticket.ID))
		}
		start := time.Now()
		if _, err := b.Revoke(t.Context(), ticket.ID, "op", "over"); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if len(a.Grants()) != 0 || a.Spend(ticket.ID) || b.Spend(ticket.ID) || time.Since(start) > time.Second {
			t.Errorf("after %v %d grants on the other node", time.Since(start), len(a.Grants()))
		}
	})
}

// The whole way on the real engine, twice: the second start finds the grant of the first.
func TestOnTheEngine(t *testing.T) {
	w := newWorld(t)
	dir := filepath.Join(t.TempDir(), "state")
	open := func() *Gate {
		kv, err := state.Open(t.Context(), state.Config{Dir: dir, Node: "n1"})
		if err != nil {
			t.Fatal(err)
		}
		w.kv = &faultyKV{KV: kv}
		t.Cleanup(func() { kv.Close() })
		return w.gate("n1")
	}
	g := open()
	stop := background.Run(t, g.Run)
	ticket := w.live(g, plan())
	if !g.Spend(ticket.ID) {
		t.Error("no call")
	}
	stop()
	if err := w.kv.Close(); err != nil {
		t.Fatal(err)
	}
	g = open()
	if n, err := g.Restore(t.Context()); n != 0 || err != nil || len(g.Grants()) != 1 {
		t.Fatalf("repaired %d, %v, %d grants", n, err, len(g.Grants()))
	}
	if got, _ := g.Ticket(ticket.ID); got.Spent != 1 {
		t.Errorf("spent %d", got.Spent)
	}
	if _, err := g.Revoke(t.Context(), ticket.ID, "op", "over"); err != nil || len(g.Grants()) != 0 {
		t.Errorf("%v, %d grants", err, len(g.Grants()))
	}
}
