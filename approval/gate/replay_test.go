package gate

import (
	"crypto/ed25519"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cordonsip/cordon/approval"
	"github.com/cordonsip/cordon/audit"
)

// tamper writes r over what the store has.
func (w *world) tamper(id string, edit func(r *approval.Record)) {
	w.t.Helper()
	item, err := w.kv.KV.Get(w.t.Context(), ticketPrefix+id)
	if err != nil {
		w.t.Fatal(err)
	}
	r, err := approval.DecodeRecord(id, item.Data)
	if err != nil {
		w.t.Fatal(err)
	}
	edit(r)
	data, _ := r.Encode()
	if _, err := w.kv.KV.Swap(w.t.Context(), item.Key, item.Rev, data); err != nil {
		w.t.Fatal(err)
	}
}

// remove takes a key out of the store.
func (w *world) remove(key string) {
	w.t.Helper()
	item, err := w.kv.KV.Get(w.t.Context(), key)
	if err == nil {
		err = w.kv.KV.Delete(w.t.Context(), key, item.Rev)
	}
	if err != nil {
		w.t.Fatal(err)
	}
}

const ghost = "01JD0000000000000000000000"

// damages of the store, how many of them are found, and what they do not change: the live ticket and the pending one come back as they were.
var damages = []struct {
	name     string
	damage   func(w *world, live, pending approval.Ticket)
	repaired int
}{
	{"nothing happened", func(*world, approval.Ticket, approval.Ticket) {}, 0},
	{"a ticket was lost", func(w *world, _, p approval.Ticket) { w.remove(ticketPrefix + p.ID) }, 1},
	{"a live ticket was lost", func(w *world, l, _ approval.Ticket) { w.remove(ticketPrefix + l.ID) }, 1},
	{"everything was lost", func(w *world, l, p approval.Ticket) {
		w.remove(ticketPrefix + l.ID)
		w.remove(ticketPrefix + p.ID)
		w.remove(quotaPrefix + l.ID)
	}, 3},
	{"the count was lost", func(w *world, l, _ approval.Ticket) { w.remove(quotaPrefix + l.ID) }, 1},
	{"a ticket was made live", func(w *world, _, p approval.Ticket) {
		w.tamper(p.ID, func(r *approval.Record) {
			r.Ticket.State, r.Ticket.ActivatedAt, r.Ticket.GrantUntil = approval.Active, time.Now(), time.Now().Add(time.Hour)
			r.Version++
		})
	}, 1},
	{"a grant was made longer", func(w *world, l, _ approval.Ticket) {
		w.tamper(l.ID, func(r *approval.Record) { r.Ticket.GrantUntil = r.Ticket.GrantUntil.Add(time.Hour) })
	}, 1},
	{"a decision was made up", func(w *world, _, p approval.Ticket) {
		w.tamper(p.ID, func(r *approval.Record) {
			r.Ticket.Decisions = append(r.Ticket.Decisions, approval.Decision{Person: "p", Role: "ciso", Approve: true})
		})
	}, 1},
	{"a node was made up", func(w *world, _, p approval.Ticket) {
		w.tamper(p.ID, func(r *approval.Record) { r.Node, r.Version, r.Ticket.State = "ghost", 99, approval.Active })
	}, 1},
	{"another entry was claimed", func(w *world, _, p approval.Ticket) { w.tamper(p.ID, func(r *approval.Record) { r.Ticket.Entry = 0 }) }, 1},
	{"an item cannot be read", func(w *world, _, p approval.Ticket) {
		item, _ := w.kv.KV.Get(w.t.Context(), ticketPrefix+p.ID)
		if _, err := w.kv.KV.Swap(w.t.Context(), item.Key, item.Rev, []byte("{")); err != nil {
			w.t.Fatal(err)
		}
	}, 1},
	{"a ticket was made up", func(w *world, l, _ approval.Ticket) {
		r := w.stored(l.ID)
		r.Ticket.ID = ghost
		data, _ := r.Encode()
		if _, err := w.kv.KV.Swap(w.t.Context(), ticketPrefix+ghost, 0, data); err != nil {
			w.t.Fatal(err)
		}
	}, 1},
	{"a ticket that ended was made up", func(w *world, l, _ approval.Ticket) {
		r := w.stored(l.ID)
		r.Ticket.ID, r.Ticket.State = ghost, approval.Revoked
		data, _ := r.Encode()
		if _, err := w.kv.KV.Swap(w.t.Context(), ticketPrefix+ghost, 0, data); err != nil {
			w.t.Fatal(err)
		}
	}, 1},
	{"an old version came back", func(w *world, l, _ approval.Ticket) {
		var old *approval.Record
		for _, ev := range w.changes() {
			if ev.Ticket == l.ID && ev.What == approval.Opined {
				old = ev.Record
			}
		}
		w.tamper(l.ID, func(r *approval.Record) { *r = *old })
	}, 1},
}

// On a start the store is compared with the log, and the log wins.
func TestRestore(t *testing.T) {
	for _, c := range damages {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				g := w.gate("n1")
				for range replayBatch {
					if _, err := w.log.Append(t.Context(), audit.CallEnded{CallRef: "x"}); err != nil {
						t.Fatal(err)
					}
				}
				live := w.live(g, plan())
				p := plan()
				p.Scope.Groups = []string{"sin"}
				pending := w.propose(g, p)
				for range replayBatch {
					if _, err := w.log.Append(t.Context(), audit.CallEnded{CallRef: "x"}); err != nil {
						t.Fatal(err)
					}
				}
				live, _ = g.Ticket(live.ID)
				c.damage(w, live, pending)

				fresh := w.gate("n1")
				n, err := fresh.Restore(t.Context())
				if err != nil || n != c.repaired || fresh.Repairs() != n {
					t.Errorf("repaired %d, want %d, %v", n, c.repaired, err)
				}
				if again, err := fresh.Restore(t.Context()); again != 0 || err != nil {
					t.Errorf("a second restoring repaired %d, %v", again, err)
				}
				for _, want := range []approval.Ticket{live, pending} {
					got, _ := fresh.Ticket(want.ID)
					got.Spent, want.Spent = 0, 0
					a, _ := json.Marshal(got)
					b, _ := json.Marshal(want)
					if string(a) != string(b) || !w.stored(want.ID).Equal(fresh.known(want.ID).Record) {
						t.Errorf("restored\n%s\nwas\n%s", a, b)
					}
				}
				if _, there := fresh.Ticket(ghost); there || len(fresh.Tickets()) != 2 || len(fresh.Grants()) != 1 {
					t.Errorf("%d tickets, %d grants", len(fresh.Tickets()), len(fresh.Grants()))
				}
				w.agree(fresh)
			})
		})
	}
}

// The same damage while the gate runs: a watch does not take what the log does not hold.
func TestTamperingWhileRunning(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		g := w.gate("n1")
		defer w.run(g)()
		ticket := w.propose(g, plan())
		before := w.stored(ticket.ID)
		w.tamper(ticket.ID, func(r *approval.Record) {
			r.Ticket.State, r.Ticket.ActivatedAt, r.Ticket.GrantUntil = approval.Active, time.Now(), time.Now().Add(time.Hour)
			r.Version++
		})
		synctest.Wait()
		if len(g.Grants()) != 0 || w.state(g, ticket.ID) != approval.Pending || g.Repairs() != 1 || !w.stored(ticket.ID).Equal(before) {
			t.Errorf("%d grants, %s, %d repairs", len(g.Grants()), w.state(g, ticket.ID), g.Repairs())
		}
		made := w.stored(ticket.ID)
		made.Ticket.ID = "01JD0000000000000000000000"
		data, _ := made.Encode()
		if _, err := w.kv.KV.Swap(t.Context(), ticketPrefix+made.Ticket.ID, 0, data); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if _, err := w.kv.KV.Get(t.Context(), ticketPrefix+made.Ticket.ID); err == nil || g.Repairs() != 2 || len(g.Tickets()) != 1 {
			t.Errorf("a ticket that was made up stands, %d repairs", g.Repairs())
		}
		// Without Run, at the next word.
		still := w.gate("n1")
		if _, err := still.Restore(t.Context()); err != nil {
			t.Fatal(err)
		}
		w.decide(still, ticket, "ic", true)
	})
}

// What the log says did not take effect cannot be put into the store either, neither while the gate runs nor before a start.
func TestVoidedChangesStayVoid(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		g := w.gate("n1")
		stop := w.run(g)
		ticket := w.propose(g, plan())
		w.log.lies.Store(true)
		if _, err := w.say(g, ticket, "ic+"); err == nil {
			t.Fatal("the log lied and nobody noticed")
		}
		w.log.lies.Store(false)
		all := w.changes()
		voided := all[len(all)-2]
		put := func(r *approval.Record) {
			*r = *voided.Record
			r.Ticket.Entry = w.log.Size() - 2
		}
		w.tamper(ticket.ID, put)
		synctest.Wait()
		if got, _ := g.Ticket(ticket.ID); len(got.Decisions) != 0 || g.Repairs() != 1 || len(w.stored(ticket.ID).Ticket.Decisions) != 0 {
			t.Errorf("%d decisions, %d repairs", len(got.Decisions), g.Repairs())
		}
		stop()
		w.tamper(ticket.ID, put)
		fresh := w.gate("n1")
		if n, err := fresh.Restore(t.Context()); n != 1 || err != nil {
			t.Errorf("repaired %d, %v", n, err)
		}
		if got, _ := fresh.Ticket(ticket.ID); len(got.Decisions) != 0 {
			t.Errorf("%d decisions after a start", len(got.Decisions))
		}
	})
}

// The names in the body of an entry are read by others and by auditors, years later.
func TestEntryNames(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		g := w.gate("n1")
		ticket := w.live(g, plan())
		entries, err := w.log.Entries(t.Context(), ticket.Entry-1, 1) // the opinion that completed it
		if err != nil {
			t.Fatal(err)
		}
		var body map[string]any
		if err := json.Unmarshal(entries[0].Body, &body); err != nil {
			t.Fatal(err)
		}
		want := map[string]any{
			"ticket": ticket.ID, "what": "opined", "from": "PENDING", "state": "APPROVED", "evidence_state_before": "opinion_pending",
			"evidence_state": "decided_approved", "by": pseudonym("dpo"), "plan_hash": ticket.PlanHash, "reason": "advice",
		}
		for name, v := range want {
			if body[name] != v {
				t.Errorf("%s is %v, want %v", name, body[name], v)
			}
		}
		names := slices.Sorted(maps.Keys(body))
		if got := strings.Join(names, " "); got != "by change_id dpo_opinion evidence_state evidence_state_before from missing plan_hash reason record state ticket what" {
			t.Errorf("names: %s", got)
		}
		record, _ := body["record"].(map[string]any)
		if got := strings.Join(slices.Sorted(maps.Keys(record)), " "); got != "changes node people rules ticket version" {
			t.Errorf("names of the record: %s", got)
		}
	})
}

// A crash between the entry and the store: the start carries the change through.
func TestCrashBetweenLogAndStore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		g := w.gate("n1")
		ticket := w.propose(g, plan())
		w.kv.down.Store(true)
		_, err := w.say(g, ticket, "ic-")
		if err == nil {
			t.Fatal("the store is down")
		}
		w.kv.down.Store(false) // g is gone, with what it remembered
		fresh := w.gate("n1")
		if n, err := fresh.Restore(t.Context()); n != 1 || err != nil || w.state(fresh, ticket.ID) != approval.DeniedByPeople {
			t.Errorf("repaired %d, %v, the ticket is %s", n, err, w.state(fresh, ticket.ID))
		}
		w.agree(fresh)
	})
}

// What ended long ago is history: it is checked against its own entry. What claims to be open for longer than clocks allow is not real.
func TestOldTickets(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		g := w.gate("n1")
		old := w.propose(g, plan())
		w.decide(g, old, "ic", false)
		p := plan()
		p.Scope.Groups = []string{"sin"}
		forgotten := w.live(g, p)
		for range 2 * replayBatch { // as old, and read no more
			if _, err := w.log.Append(t.Context(), audit.CallEnded{}); err != nil {
				t.Fatal(err)
			}
		}
		time.Sleep(horizon + time.Hour)
		if _, err := w.log.Append(t.Context(), audit.CallEnded{}); err != nil {
			t.Fatal(err)
		}
		fresh := w.gate("n1")
		n, err := fresh.Restore(t.Context())
		if err != nil || n != 1 || w.state(fresh, old.ID) != approval.DeniedByPeople || len(fresh.Grants()) != 0 {
			t.Errorf("repaired %d, %v, the old ticket is %s", n, err, w.state(fresh, old.ID))
		}
		if _, there := fresh.Ticket(forgotten.ID); there {
			t.Error("a grant of last week is known")
		}
	})
}

// The store keeps the newest ended tickets and the log all; a start does not bring pruned ones back.
func TestPruning(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		g := w.gate("n1")
		defer w.run(g)()
		p := plan()
		for i := range maxClosed + 20 {
			p.Reason = fmt.Sprint(i)
			if _, err := g.Propose(t.Context(), "ic", p); err != nil { // each supersedes the one before
				t.Fatal(err)
			}
		}
		time.Sleep(time.Hour) // the last one times out, and the clock prunes
		if n := len(g.Tickets()); n != maxClosed {
			t.Errorf("%d tickets are known", n)
		}
		items, _ := w.kv.List(t.Context(), prefix+"ticket.")
		if len(items) != maxClosed {
			t.Errorf("%d tickets are stored", len(items))
		}
		w.agree(g)
	})
}

// Two logs, one store: the word of a peer counts although its entries are elsewhere, and of nobody else.
func TestPeers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		log, err := audit.Memory(audit.Config{Signer: ed25519.NewKeyFromSeed(make([]byte, ed25519.SeedSize)), Origin: "test/other", Node: "n2"})
		if err != nil {
			t.Fatal(err)
		}
		defer log.Close(t.Context())
		make := func(node string, log audit.Log, peers ...string) *Gate {
			c := w.config(node)
			c.Log, c.Peers = log, peers
			g, err := New(c)
			if err != nil {
				t.Fatal(err)
			}
			return g
		}
		a, b, lonely := make("n1", w.log, "n2"), make("n2", log, "n1"), make("n3", log)
		defer w.run(a)()
		defer w.run(b)()
		ticket := w.propose(a, plan())
		synctest.Wait()
		w.decide(b, ticket, "ic", true)
		synctest.Wait()
		w.decide(a, ticket, "bo", true)
		w.opine(b, ticket, "dpo", approval.NoObjection, false)
		synctest.Wait()
		if len(a.Grants()) != 1 || len(b.Grants()) != 1 || a.Repairs()+b.Repairs() != 0 {
			t.Errorf("grants %d, %d; repairs %d, %d", len(a.Grants()), len(b.Grants()), a.Repairs(), b.Repairs())
		}
		for _, g := range []*Gate{make("n1", w.log, "n2"), make("n2", log, "n1")} {
			if n, err := g.Restore(t.Context()); n != 0 || err != nil || len(g.Grants()) != 1 {
				t.Errorf("a new start of %s repaired %d, %v", g.c.Node, n, err)
			}
		}
		// n3 takes nobody's word; its log (that of n2 here) holds the last version, so that one counts.
		if n, err := lonely.Restore(t.Context()); err != nil || n != 0 || len(lonely.Grants()) != 1 {
			t.Errorf("repaired %d, %v", n, err)
		}
		w.agreeOn(ticket.ID, a, b)
	})
}

func (w *world) agreeOn(id string, gates ...*Gate) {
	w.t.Helper()
	for _, g := range gates {
		got, _ := g.Ticket(id)
		if want := w.stored(id).Ticket; got.State != want.State || got.Entry != want.Entry || len(got.Decisions) != len(want.Decisions) {
			w.t.Errorf("%s sees %s at entry %d, the store has %s at %d", g.c.Node, got.State, got.Entry, want.State, want.Entry)
		}
	}
}

// A log whose bodies cannot be read stops the gate instead of being guessed at.
func TestUnreadableLog(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		if _, err := w.log.Append(t.Context(), broken{}); err != nil {
			t.Fatal(err)
		}
		if _, err := w.gate("n1").Restore(t.Context()); err == nil {
			t.Error("an entry that cannot be read was passed over")
		}
		if _, err := w.gate("n1").Propose(t.Context(), "ic", plan()); err == nil {
			t.Error("the gate works on a log that it cannot read")
		}
	})
}

type broken struct {
	Record string `json:"record"`
}

func (broken) Kind() audit.Kind { return audit.KindGateChanged }
