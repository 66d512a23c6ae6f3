package gate

import (
	"context"
	"encoding/json"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cordonsip/cordon/approval"
	"github.com/cordonsip/cordon/audit"
)

// While the log is down nothing takes effect, whatever is asked, and the error says so.
func TestLogDown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		g := w.gate("n1")
		ctx := t.Context()
		manual := approval.DefaultRules()
		manual.AutoActivate = false
		pending := w.propose(g, plan())
		elsewhere := plan()
		elsewhere.Scope.Groups = []string{"sin"}
		live := w.live(g, elsewhere)
		if err := g.Reload(manual, people, nil); err != nil {
			t.Fatal(err)
		}
		elsewhere.Scope.Groups = []string{"nrt"}
		approved := w.propose(g, elsewhere)
		w.decide(g, approved, "ic", true)
		w.decide(g, approved, "bo", true)
		w.opine(g, approved, "dpo", approval.NoObjection, false)
		untold, err := g.Propose(ctx, "ic", approval.Plan{
			Scope: approval.Scope{Trunks: []string{"x"}, Groups: []string{"y"}, Regions: []string{"z:z"}}, Reason: "why", Alternatives: plan().Alternatives,
		})
		if err != nil {
			t.Fatal(err)
		}
		w.log.down.Store(true)
		before := dump(t, w)
		for name, do := range map[string]func() error{
			"propose": func() error {
				_, err := g.Propose(ctx, "ic", approval.Plan{Scope: approval.Scope{Trunks: []string{"n"}, Groups: []string{"n"}, Regions: []string{"n"}, MaxCalls: 1}, Reason: "why", Alternatives: plan().Alternatives})
				return err
			},
			"supersede":  func() error { p := plan(); p.Reason = "other"; _, err := g.Propose(ctx, "ic", p); return err },
			"refuse":     func() error { _, err := g.Refuse(ctx, "ic", plan(), "denied"); return err },
			"notified":   func() error { return g.Notified(ctx, untold.ID, "console", "") },
			"decide":     func() error { _, err := w.say(g, pending, "ic+"); return err },
			"deny":       func() error { _, err := w.say(g, pending, "ic-"); return err },
			"opine":      func() error { _, err := w.say(g, pending, "dpo:no_objection"); return err },
			"activate":   func() error { _, err := g.Activate(ctx, approved.ID, "op"); return err },
			"withdraw":   func() error { _, err := g.Withdraw(ctx, pending.ID, "rule:routing", "x"); return err },
			"revoke":     func() error { _, err := g.Revoke(ctx, live.ID, "op", "x"); return err },
			"invalidate": func() error { return g.Invalidate(ctx, "x", func(approval.Ticket) bool { return true }) },
		} {
			if err := do(); !errors.Is(err, audit.ErrLogDown) {
				t.Errorf("%s: %v", name, err)
			}
		}
		if after := dump(t, w); after != before {
			t.Errorf("something took effect:\n%s\n%s", before, after)
		}
		if w.state(g, pending.ID) != approval.Pending || w.state(g, live.ID) != approval.Active || w.state(g, approved.ID) != approval.Approved {
			t.Error("the view changed")
		}
		w.log.down.Store(false)
		if _, err := g.Revoke(ctx, live.ID, "op", "x"); err != nil {
			t.Fatal(err)
		}
		w.agree(g)
	})
}

// dump gives the tickets of the store as text.
func dump(t *testing.T, w *world) string {
	t.Helper()
	items, err := w.kv.KV.List(t.Context(), ticketPrefix)
	if err != nil {
		t.Fatal(err)
	}
	text, _ := json.Marshal(items)
	return string(text)
}

// agree starts another gate on the same log and store: it must find nothing to repair and see the same tickets.
func (w *world) agree(g *Gate) {
	w.t.Helper()
	fresh := w.gate(g.c.Node)
	n, err := fresh.Restore(w.t.Context())
	if n != 0 || err != nil {
		w.t.Errorf("a new start repaired %d, %v", n, err)
	}
	for _, t := range g.Tickets() {
		if got, _ := fresh.Ticket(t.ID); got.State != t.State || got.Entry != t.Entry {
			w.t.Errorf("ticket %s was %s (entry %d) and is %s (entry %d) after a new start", t.ID, t.State, t.Entry, got.State, got.Entry)
		}
	}
}

// A log that took the entry and could not say so: the change does not count, and the log says that it did not.
func TestLogThatLies(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		g := w.gate("n1")
		ticket := w.propose(g, plan())
		w.log.lies.Store(true)
		if _, err := w.say(g, ticket, "ic-"); !errors.Is(err, audit.ErrLogDown) {
			t.Fatal(err)
		}
		w.log.lies.Store(false)
		all := w.changes()
		if last, denied := all[len(all)-1], all[len(all)-2]; last.What != approval.NotApplied || last.Voids != denied.Change || denied.State != approval.DeniedByPeople {
			t.Errorf("the log ends with %+v", last)
		}
		w.agree(g)
		// The same, with a log that cannot be written afterwards either: the voiding comes before the next change.
		w.log.lies.Store(true)
		w.log.on(func(audit.Event) { w.log.down.Store(w.log.lies.Load() && len(w.changes()) > len(all)) })
		if _, err := w.say(g, ticket, "ic-"); !errors.Is(err, audit.ErrLogDown) {
			t.Fatal(err)
		}
		w.log.on(nil)
		w.log.lies.Store(false)
		w.log.down.Store(false)
		w.decide(g, ticket, "ic", true)
		all = w.changes()
		if n := len(all); all[n-1].What != approval.Decided || all[n-2].What != approval.NotApplied || all[n-2].Voids != all[n-3].Change || all[n-3].State != approval.DeniedByPeople {
			t.Error("the entry in doubt was not voided before the next change")
		}
		if w.state(g, ticket.ID) != approval.Pending {
			t.Error("the denial counted")
		}
		w.agree(g)
	})
}

// A caller that goes away in the middle leaves no half change.
func TestCallerGoesAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		g := w.gate("n1")
		ticket := w.propose(g, plan())
		ctx, cancel := context.WithCancel(t.Context())
		w.log.on(func(audit.Event) { cancel() })
		if _, err := g.Decide(ctx, ticket.ID, "ic", "incident_commander", false, "no", ticket.PlanHash, "bearer"); err != nil {
			t.Fatal(err)
		}
		if w.state(g, ticket.ID) != approval.DeniedByPeople {
			t.Error("the denial was lost")
		}
		w.log.on(nil)
		if _, err := g.Propose(ctx, "ic", plan()); !errors.Is(err, context.Canceled) {
			t.Errorf("an ended context gave %v", err)
		}
		w.agree(g)
	})
}

// A store that fails after the entry: the log is the truth, so the change follows when the store is back.
func TestStoreDown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		g := w.gate("n1")
		defer w.run(g)()
		ticket := w.propose(g, plan())
		w.kv.down.Store(true)
		if _, err := w.say(g, ticket, "ic+"); !errors.Is(err, errFault) {
			t.Fatal(err)
		}
		if got, _ := g.Ticket(ticket.ID); len(got.Decisions) != 0 {
			t.Error("it counts already")
		}
		if _, err := w.say(g, ticket, "bo+"); !errors.Is(err, errFault) {
			t.Fatalf("another change did not wait for the first: %v", err)
		}
		w.kv.down.Store(false)
		time.Sleep(time.Minute)
		if got, _ := g.Ticket(ticket.ID); len(got.Decisions) != 1 {
			t.Error("what is in the log did not follow")
		}
		w.decide(g, ticket, "bo", true)
		if got := w.opine(g, ticket, "dpo", approval.NoObjection, false); got.State != approval.Active {
			t.Errorf("%s", got.State)
		}
		w.agree(g)
	})
}

// A store that writes and then fails, or does not even say what stands there.
func TestStoreThatForgets(t *testing.T) {
	for _, blind := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t)
			g := w.gate("n1")
			ticket := w.propose(g, plan())
			w.kv.forget.Store(true)
			if blind {
				w.log.on(func(audit.Event) { w.kv.blind.Store(true) })
			}
			_, err := w.say(g, ticket, "ic+")
			if blind != errors.Is(err, errFault) {
				t.Fatalf("blind %v: %v", blind, err)
			}
			w.kv.forget.Store(false)
			w.kv.blind.Store(false)
			w.log.on(nil)
			if got := w.decide(g, ticket, "bo", true); len(got.Decisions) != 2 {
				t.Errorf("blind %v: %d decisions", blind, len(got.Decisions))
			}
			w.agree(g)
		})
	}
}

// An end takes effect on this node at once, even if the store does not answer.
func TestRevocationWithoutStore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		g := w.gate("n1")
		ticket := w.live(g, plan())
		w.kv.down.Store(true)
		if _, err := g.Revoke(t.Context(), ticket.ID, "op", "over"); !errors.Is(err, errFault) {
			t.Fatal(err)
		}
		if len(g.Grants()) != 0 || g.Spend(ticket.ID) || w.state(g, ticket.ID) != approval.Revoked {
			t.Error("the grant goes on")
		}
		w.kv.down.Store(false)
		w.propose(g, plan())
		if w.stored(ticket.ID).Ticket.State != approval.Revoked {
			t.Error("the store was not put right")
		}
		w.agree(g)
	})
}

// When the activation fails after the last word, the word counts, and the clock activates later; or the execution clock ends it.
func TestActivationFails(t *testing.T) {
	for _, back := range []time.Duration{10 * time.Second, time.Hour} {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t)
			g := w.gate("n1")
			defer w.run(g)()
			ticket := w.propose(g, plan())
			w.decide(g, ticket, "ic", true)
			w.decide(g, ticket, "bo", true)
			w.log.on(func(e audit.Event) {
				if ev, ok := e.(approval.GateChanged); ok && ev.What == approval.Activated {
					w.log.down.Store(true)
				}
			})
			if got := w.opine(g, ticket, "dpo", approval.NoObjection, false); got.State != approval.Approved || got.Missing[0] == "" {
				t.Fatalf("%s, %q", got.State, got.Missing)
			}
			time.Sleep(back)
			w.log.on(nil)
			w.log.down.Store(false)
			time.Sleep(time.Minute)
			want := approval.Active
			if back > 15*time.Minute {
				want = approval.ExecutionExpired
			}
			if s := w.state(g, ticket.ID); s != want {
				t.Errorf("after %v: %s, want %s", back, s, want)
			}
			w.agree(g)
		})
	}
}

// The clock goes on trying while the log is down; the grant is over on time all the same.
func TestClockWithoutLog(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		g := w.gate("n1")
		defer w.run(g)()
		ticket := w.live(g, plan())
		w.log.down.Store(true)
		time.Sleep(4*time.Hour + time.Second)
		if len(g.Grants()) != 0 || g.Spend(ticket.ID) || g.Left(ticket.ID) != 0 || w.state(g, ticket.ID) != approval.Active {
			t.Errorf("%s with %d grants", w.state(g, ticket.ID), len(g.Grants()))
		}
		time.Sleep(time.Hour)
		w.log.down.Store(false)
		time.Sleep(time.Minute)
		if w.state(g, ticket.ID) != approval.Expired {
			t.Errorf("%s", w.state(g, ticket.ID))
		}
		w.agree(g)
	})
}

func TestRunTwiceAndClosedStore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		g := w.gate("n1")
		done := make(chan error)
		go func() { done <- g.Run(t.Context()) }()
		synctest.Wait()
		if err := g.Run(t.Context()); err == nil {
			t.Error("the gate ran twice")
		}
		w.kv.Close()
		if err := <-done; err == nil {
			t.Error("the store closed and the gate ended without a word")
		}
		if err := w.gate("n2").Run(t.Context()); err == nil {
			t.Error("the gate runs on a closed store")
		}
	})
}

// A mistake above the table changes nothing: neither the log nor the store.
func TestTheTableIsTheLastCheck(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		g := w.gate("n1")
		ticket := w.propose(g, plan())
		before, stored := w.log.Size(), w.stored(ticket.ID)
		_, err := g.change(t.Context(), ticket.ID, func(now time.Time, r *approval.Record) (approval.GateChanged, error) {
			r.Ticket.State, r.Ticket.GrantUntil = approval.Active, now.Add(time.Hour)
			return approval.GateChanged{What: approval.Activated}, nil
		})
		if err == nil || w.log.Size() != before || !w.stored(ticket.ID).Equal(stored) || w.state(g, ticket.ID) != approval.Pending || len(g.Grants()) != 0 {
			t.Errorf("PENDING went to ACTIVE: %v", err)
		}
	})
}
