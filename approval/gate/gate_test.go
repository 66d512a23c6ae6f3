package gate

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cordonsip/cordon/approval"
	"github.com/cordonsip/cordon/audit"
)

// The whole way: proposed, told, two approvals, an opinion, live at once, over by the clock.
func TestLife(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		g := w.gate("n1")
		defer w.run(g)()
		ticket := w.propose(g, plan())
		if w.state(g, ticket.ID) != approval.Pending || len(g.Grants()) != 0 {
			t.Fatalf("after the proposal: %s, %v", w.state(g, ticket.ID), g.Grants())
		}
		w.decide(g, ticket, "ic", true)
		got := w.decide(g, ticket, "bo", true)
		if got.State != approval.Pending || len(got.Missing) != 1 || got.Missing[0] != "the opinion of dpo" {
			t.Fatalf("after the quorum: %s, %q", got.State, got.Missing)
		}
		got = w.opine(g, ticket, "dpo", approval.NoObjection, false)
		if got.State != approval.Active || !got.GrantUntil.Equal(got.ActivatedAt.Add(4*time.Hour)) || got.Entry == 0 {
			t.Fatalf("after the opinion: %+v", got)
		}
		if gs := g.Grants(); len(gs) != 1 || gs[0].ID != ticket.ID || gs[0].Entry != got.Entry || !gs[0].Until.Equal(got.GrantUntil) {
			t.Fatalf("grants: %+v", gs)
		}
		if !g.Spend(ticket.ID) {
			t.Fatal("no call")
		}
		time.Sleep(time.Until(got.GrantUntil) - time.Nanosecond)
		if len(g.Grants()) != 1 || !g.Spend(ticket.ID) {
			t.Fatal("the grant ended early")
		}
		time.Sleep(time.Nanosecond)
		if g.Spend(ticket.ID) {
			t.Fatal("the grant outlived its end")
		}
		synctest.Wait()
		if len(g.Grants()) != 0 {
			t.Fatal("the snapshot keeps a grant that is over")
		}
		time.Sleep(time.Second)
		got, _ = g.Ticket(ticket.ID)
		if got.State != approval.Expired || got.Spent != 2 || got.Why != "the grant's time is over" {
			t.Fatalf("after the end: %s, spent %d, %s", got.State, got.Spent, got.Why)
		}
	})
}

// Every end of a ticket, from every state that it can end from.
func TestEnds(t *testing.T) {
	manual := approval.DefaultRules()
	manual.AutoActivate = false
	for _, c := range []struct {
		name  string
		rules approval.Rules
		words string
		end   func(w *world, g *Gate, t approval.Ticket) error
		want  approval.State
		why   string
	}{
		{"time-out denies", approval.Rules{}, "ic+", func(*world, *Gate, approval.Ticket) error { time.Sleep(31 * time.Minute); return nil }, approval.TimedOut, "silence denies: 1 more approval"},
		{"nobody activates", manual, "ic+ bo+ dpo:no_objection", func(*world, *Gate, approval.Ticket) error { time.Sleep(16 * time.Minute); return nil }, approval.ExecutionExpired, "the execution clock ran out"},
		{"the grant ends", approval.Rules{}, "ic+ bo+ dpo:no_objection", func(*world, *Gate, approval.Ticket) error { time.Sleep(5 * time.Hour); return nil }, approval.Expired, "the grant's time is over"},
		{"withdrawn while pending", approval.Rules{}, "bo+", func(w *world, g *Gate, t approval.Ticket) error {
			_, err := g.Withdraw(w.t.Context(), t.ID, "rule:routing", "the primary is back")
			return err
		}, approval.Withdrawn, "withdrawn: the primary is back"},
		{"withdrawn while approved", manual, "ic+ bo+ dpo:no_objection", func(w *world, g *Gate, t approval.Ticket) error {
			_, err := g.Withdraw(w.t.Context(), t.ID, "rule:routing", "the primary is back")
			return err
		}, approval.Withdrawn, "withdrawn: the primary is back"},
		{"revoked while approved", manual, "ic+ bo+ dpo:no_objection", func(w *world, g *Gate, t approval.Ticket) error {
			_, err := g.Revoke(w.t.Context(), t.ID, "dpo", "the conditions changed")
			return err
		}, approval.Revoked, "revoked: the conditions changed"},
		{"revoked while live", approval.Rules{}, "ic+ bo+ dpo:no_objection", func(w *world, g *Gate, t approval.Ticket) error {
			_, err := g.Revoke(w.t.Context(), t.ID, "op", "the primary is back")
			return err
		}, approval.Revoked, "revoked: the primary is back"},
		{"revoked by a rule", approval.Rules{}, "ic+ bo+ dpo:no_objection", func(w *world, g *Gate, t approval.Ticket) error {
			_, err := g.Revoke(w.t.Context(), t.ID, "rule:primary_recovered", "the primary was up for ten minutes")
			return err
		}, approval.Revoked, "ten minutes"},
		{"invalidated while pending", approval.Rules{}, "", invalidate, approval.Invalidated, "instrument struck"},
		{"invalidated while approved", manual, "ic+ bo+ dpo:no_objection", invalidate, approval.Invalidated, "instrument struck"},
		{"invalidated while live", approval.Rules{}, "ic+ bo+ dpo:no_objection", invalidate, approval.Invalidated, "instrument struck"},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				w.rules = c.rules
				g := w.gate("n1")
				defer w.run(g)()
				ticket := w.propose(g, plan())
				for _, word := range strings.Fields(c.words) {
					if _, err := w.say(g, ticket, word); err != nil {
						t.Fatal(err)
					}
				}
				if err := c.end(w, g, ticket); err != nil {
					t.Fatal(err)
				}
				synctest.Wait()
				got, _ := g.Ticket(ticket.ID)
				if got.State != c.want || !strings.Contains(got.Why, c.why) || got.EndedAt.IsZero() || len(got.Missing) != 0 || len(g.Grants()) != 0 {
					t.Errorf("%s, %q, ended %v, missing %q, %d grants", got.State, got.Why, got.EndedAt, got.Missing, len(g.Grants()))
				}
				all := w.changes()
				if last := all[len(all)-1]; last.State != c.want || last.Word != c.want.Evidence() || last.Why == "" || last.By == "" {
					t.Errorf("the last entry is %+v", last)
				}
				if _, err := g.Revoke(t.Context(), ticket.ID, "op", "again"); err == nil {
					t.Error("what is over was revoked")
				}
			})
		})
	}
}

func invalidate(w *world, g *Gate, t approval.Ticket) error {
	if err := g.Invalidate(w.t.Context(), "instrument struck", func(approval.Ticket) bool { return false }); err != nil {
		return err
	}
	if s := w.state(g, t.ID); !s.Open() {
		w.t.Errorf("what did not match is %s", s)
	}
	return g.Invalidate(w.t.Context(), "instrument struck", func(o approval.Ticket) bool { return o.Plan.FactsDigest == "f1" })
}

func TestActivation(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.rules.AutoActivate = false
		g := w.gate("n1")
		defer w.run(g)()
		ctx := t.Context()
		ticket := w.propose(g, plan())
		_, err := g.Activate(ctx, ticket.ID, "op")
		wantRefusal(t, err, approval.RuleNotApproved)
		w.decide(g, ticket, "ic", true)
		w.opine(g, ticket, "dpo", approval.NoObjection, false)
		got := w.decide(g, ticket, "bo", true)
		if got.State != approval.Approved || len(got.Missing) != 1 || !strings.Contains(got.Missing[0], "somebody who did not approve") || len(g.Grants()) != 0 {
			t.Fatalf("%s, missing %q, %d grants", got.State, got.Missing, len(g.Grants()))
		}
		_, err = g.Activate(ctx, ticket.ID, "ic")
		wantRefusal(t, err, approval.RuleImplementer)
		_, err = g.Activate(ctx, ticket.ID, "aud")
		wantRefusal(t, err, approval.RuleRoleNotHeld)
		_, err = g.Activate(ctx, ticket.ID, "dpo")
		wantRefusal(t, err, approval.RuleRoleNotHeld)
		_, err = g.Activate(ctx, ticket.ID, "both")
		wantRefusal(t, err, approval.RuleOpinionRole)
		_, err = g.Activate(ctx, ticket.ID, "rule:x")
		wantRefusal(t, err, approval.RuleUnknownPerson)
		_, err = g.Revoke(ctx, ticket.ID, "aud", "why")
		wantRefusal(t, err, approval.RuleRoleNotHeld)
		_, err = g.Revoke(ctx, ticket.ID, "op", "")
		wantRefusal(t, err, approval.RuleReason)
		_, err = g.Withdraw(ctx, ticket.ID, "op", "why")
		wantRefusal(t, err, approval.RuleNotRequester)
		_, err = g.Withdraw(ctx, ticket.ID, "rule:routing", "")
		wantRefusal(t, err, approval.RuleReason)
		got, err = g.Activate(ctx, ticket.ID, "op")
		if err != nil || got.State != approval.Active || len(g.Grants()) != 1 {
			t.Fatalf("%s, %v", got.State, err)
		}
		_, err = g.Activate(ctx, ticket.ID, "op")
		wantRefusal(t, err, approval.RuleNotApproved)
		_, err = g.Withdraw(ctx, ticket.ID, "rule:routing", "why")
		wantRefusal(t, err, approval.RuleClosed)
		if words := w.changes(); words[len(words)-2].Word != "armed" || words[len(words)-1].Word != "active" {
			t.Errorf("evidence words %s, %s", words[len(words)-2].Word, words[len(words)-1].Word)
		}
	})
}

func TestLateActivationIsRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.rules.AutoActivate = false
		g := w.gate("n1") // no clock rings
		ticket := w.propose(g, plan())
		w.decide(g, ticket, "ic", true)
		w.opine(g, ticket, "dpo", approval.NoObjection, false)
		w.decide(g, ticket, "bo", true)
		time.Sleep(15 * time.Minute)
		_, err := g.Activate(t.Context(), ticket.ID, "op")
		wantRefusal(t, err, approval.RuleExpired)
	})
}

func TestGrantLength(t *testing.T) {
	for _, c := range []struct {
		name        string
		plan, rules time.Duration
		basis       string
		want        time.Duration
	}{
		{"the rules'", 0, 2 * time.Hour, "", 2 * time.Hour},
		{"the plan's", time.Hour, 2 * time.Hour, "", time.Hour},
		{"longer than the rules'", 3 * time.Hour, 2 * time.Hour, "", 3 * time.Hour},
		{"never longer than the longest", 100 * time.Hour, 0, "", 72 * time.Hour},
		{"Art. 49", 100 * time.Hour, 0, "Art49(1)(a)_explicit_consent:consent-1", 24 * time.Hour},
		{"Art. 46", 48 * time.Hour, 0, "Art46(2)(c)_SCC:scc-1", 48 * time.Hour},
	} {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t)
			w.rules.GrantFor = c.rules
			g := w.gate("n1")
			p := plan()
			p.GrantFor, p.LegalBasis = c.plan, c.basis
			got := w.live(g, p)
			if got.Plan.LegalBasis != c.basis {
				t.Errorf("%s: the ticket shows the legal basis %q, want %q", c.name, got.Plan.LegalBasis, c.basis)
			}
			if d := got.GrantUntil.Sub(got.ActivatedAt); d != c.want {
				t.Errorf("%s: the grant lasts %v, want %v", c.name, d, c.want)
			}
		})
	}
}

func TestProposing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		g := w.gate("n1")
		ctx := t.Context()
		_, err := g.Propose(ctx, "eve", plan())
		wantRefusal(t, err, approval.RuleUnknownPerson)
		_, err = g.Propose(ctx, "ic", approval.Plan{})
		wantRefusal(t, err, approval.RuleScope)

		first := w.propose(g, plan())
		if first.RequestedBy != "rule:routing" || first.State != approval.Pending || first.ApproveBy.Sub(first.RequestedAt) != 30*time.Minute {
			t.Errorf("%+v", first)
		}
		size := w.log.Size()
		same := plan()
		same.Scope.Trunks = append([]string{"de-1"}, same.Scope.Trunks...)
		if again, err := g.Propose(ctx, "ic", same); err != nil || again.ID != first.ID || w.log.Size() != size {
			t.Errorf("the same plan gave %s, %v", again.ID, err)
		}
		changed := plan()
		changed.Reason = "fra is back, zrh is not"
		second := w.propose(g, changed)
		if old, _ := g.Ticket(first.ID); old.State != approval.Superseded || !strings.Contains(old.Why, second.ID) {
			t.Errorf("the older ticket is %s: %s", old.State, old.Why)
		}
		elsewhere := plan()
		elsewhere.Scope.Groups = []string{"sin"}
		third := w.propose(g, elsewhere)
		if w.state(g, second.ID) != approval.Pending || w.state(g, third.ID) != approval.Pending {
			t.Error("another scope superseded")
		}
		if got := g.Tickets(); len(got) != 3 || got[0].ID != third.ID || got[2].ID != first.ID {
			t.Errorf("tickets are not newest first")
		}
		// Over by the clock, although nobody rang it: a new proposal opens a new ticket.
		time.Sleep(31 * time.Minute)
		fourth, err := g.Propose(ctx, "ic", changed)
		if err != nil || fourth.ID == second.ID || fourth.RequestedBy != pseudonym("ic") {
			t.Errorf("%s by %s, %v", fourth.ID, fourth.RequestedBy, err)
		}
	})
}

// A live grant goes on while a changed plan waits, and ends when the new one goes live.
func TestReplacingALiveGrant(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		g := w.gate("n1")
		defer w.run(g)()
		old := w.live(g, plan())
		if again, err := g.Propose(t.Context(), "rule:routing", plan()); err != nil || again.ID != old.ID {
			t.Errorf("the same plan gave %s, %v", again.ID, err)
		}
		p := plan()
		p.Scope.MaxCalls = 5
		fresh := w.propose(g, p)
		if w.state(g, old.ID) != approval.Active || len(g.Grants()) != 1 {
			t.Fatal("a proposal ended a live grant")
		}
		w.decide(g, fresh, "ic", true)
		w.decide(g, fresh, "bo", true)
		w.opine(g, fresh, "dpo", approval.NoObjection, false)
		if gs := g.Grants(); w.state(g, old.ID) != approval.Superseded || len(gs) != 1 || gs[0].ID != fresh.ID {
			t.Errorf("the older grant is %s, grants %+v", w.state(g, old.ID), gs)
		}
	})
}

// While another node proposes, a proposal waits its turn; a node that died in the middle holds others up for the length of a lease.
func TestProposingWaitsForOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		g := w.gate("n1")
		if ok, err := w.kv.Lease(t.Context(), proposeLease, "n2", leaseFor); !ok || err != nil {
			t.Fatal(ok, err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := g.Propose(ctx, "ic", plan()); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%v", err)
		}
		start := time.Now()
		if _, err := g.Propose(t.Context(), "ic", plan()); err != nil || time.Since(start) > leaseFor {
			t.Errorf("%v after %v", err, time.Since(start))
		}
		if len(w.changes()) != 1 {
			t.Errorf("%d entries", len(w.changes()))
		}
	})
}

func TestOpenTicketsAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		g := w.gate("n1")
		p := plan()
		for i := range maxOpen {
			p.Scope.Country = fmt.Sprint("C", i)
			if _, err := g.Propose(t.Context(), "ic", p); err != nil {
				t.Fatal(err)
			}
		}
		p.Scope.Country = "one more"
		_, err := g.Propose(t.Context(), "ic", p)
		wantRefusal(t, err, approval.RuleTooMany)
	})
}

func TestNotices(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		g := w.gate("n1")
		ctx := t.Context()
		wantRefusal(t, g.Notified(ctx, "01JD0000000000000000000000", "console", ""), approval.RuleUnknownTicket)
		ticket, err := g.Propose(ctx, "ic", plan())
		if err != nil {
			t.Fatal(err)
		}
		wantRefusal(t, g.Notified(ctx, ticket.ID, "", ""), approval.RulePlan)
		if !strings.HasPrefix(ticket.Missing[0], "people must have been told") {
			t.Errorf("missing %q", ticket.Missing)
		}
		time.Sleep(time.Second)
		for range 3 {
			if err := g.Notified(ctx, ticket.ID, "console", ""); err != nil {
				t.Fatal(err)
			}
		}
		if err := g.Notified(ctx, ticket.ID, "siem", "down"); err != nil {
			t.Fatal(err)
		}
		got, _ := g.Ticket(ticket.ID)
		if len(got.Notices) != 2 || got.NotifiedAt.Sub(got.RequestedAt) < time.Second || got.Notices[1].Failure != "down" {
			t.Errorf("%+v", got.Notices)
		}
		var told []audit.ApprovalNotified
		entries, _ := w.log.Entries(ctx, 0, 100)
		for _, e := range entries {
			if e.Kind == audit.KindApprovalNotified {
				var n audit.ApprovalNotified
				if err := json.Unmarshal(e.Body, &n); err != nil {
					t.Fatal(err)
				}
				told = append(told, n)
			}
		}
		if len(told) != 2 || told[0].Ticket != ticket.ID || told[1].Failure != "down" {
			t.Errorf("entries %+v", told)
		}
		// After the end a notice is an entry, and nothing else.
		w.decide(g, ticket, "bo", false)
		if err := g.Notified(ctx, ticket.ID, "late", ""); err != nil {
			t.Fatal(err)
		}
		if got, _ := g.Ticket(ticket.ID); len(got.Notices) != 2 || got.State != approval.DeniedByPeople {
			t.Errorf("%s with %d notices", got.State, len(got.Notices))
		}
	})
}

// Open tickets keep the rules and people with which they were opened.
func TestReload(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		g := w.gate("n1")
		old := w.propose(g, plan())
		if err := g.Reload(approval.Rules{Quorum: 1}, people, nil); err == nil {
			t.Error("bad rules were taken")
		}
		fewer := slices.DeleteFunc(slices.Clone(people), func(p approval.Person) bool { return p.ID == "bo" })
		fewer = append(fewer, approval.Person{ID: "new", Roles: []string{"ciso"}})
		rules := approval.DefaultRules()
		rules.Quorum = 3
		if err := g.Reload(rules, fewer, nil); err != nil {
			t.Fatal(err)
		}
		_, err := g.Decide(t.Context(), old.ID, "new", "ciso", true, "why", old.PlanHash, "bearer")
		wantRefusal(t, err, approval.RuleRoleNotHeld)
		w.decide(g, old, "ic", true)
		w.decide(g, old, "bo", true)
		if got := w.opine(g, old, "dpo", approval.NoObjection, false); got.State != approval.Active {
			t.Errorf("the older ticket is %s: %q", got.State, got.Missing)
		}
		p := plan()
		p.Scope.Groups = []string{"sin"}
		fresh := w.propose(g, p)
		_, err = g.Decide(t.Context(), fresh.ID, "bo", "business_owner", true, "why", fresh.PlanHash, "bearer")
		wantRefusal(t, err, approval.RuleRoleNotHeld)
		w.decide(g, fresh, "ic", true)
		if got, _ := g.Ticket(fresh.ID); !strings.HasPrefix(got.Missing[0], "2 more approvals") {
			t.Errorf("missing %q", got.Missing)
		}
	})
}

// The log names nobody; the ticket that is given out does not either.
func TestPeopleArePseudonyms(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		g := w.gate("n1")
		ticket, err := g.Propose(t.Context(), "op", plan())
		if err != nil {
			t.Fatal(err)
		}
		if err := g.Notified(t.Context(), ticket.ID, "console", ""); err != nil {
			t.Fatal(err)
		}
		for _, word := range []string{"ic+", "bo+", "dpo:no_objection"} {
			if _, err := w.say(g, ticket, word); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := g.Revoke(t.Context(), ticket.ID, "ciso", "over"); err != nil {
			t.Fatal(err)
		}
		entries, _ := w.log.Entries(t.Context(), 0, 1000)
		got, _ := g.Ticket(ticket.ID)
		text, _ := json.Marshal([]any{entries, got, w.stored(ticket.ID)})
		for _, p := range people {
			if strings.Contains(string(text), p.Name) || strings.Contains(string(text), `"`+p.ID+`"`) && p.ID != "dpo" && p.ID != "ciso" { // these are roles too
				t.Errorf("%s shows", p.ID)
			}
		}
		for _, id := range []string{"op", "ic", "bo", "dpo", "ciso"} {
			if !strings.Contains(string(text), `"`+pseudonym(id)+`"`) {
				t.Errorf("the pseudonym of %s is nowhere", id)
			}
		}
	})
}

// What is given out is the caller's: changing it changes nothing here.
func TestCopies(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		g := w.gate("n1")
		ticket := w.live(g, plan())
		for _, c := range append(g.Tickets(), ticket) {
			c.Decisions[0].Person, c.Plan.Scope.Trunks[0], c.Opinions[0].Word = "eve", "evil", "x"
		}
		got, _ := g.Ticket(ticket.ID)
		if got.Decisions[0].Person != pseudonym("ic") || got.Plan.Scope.Trunks[0] != "de-1" || g.Grants()[0].Scope.Trunks[0] != "de-1" {
			t.Error("a caller changed a ticket")
		}
		if _, ok := g.Ticket("nothing"); ok {
			t.Error("nothing is a ticket")
		}
	})
}

// Changed is told after the snapshot changed, once per change, and never of anything else.
func TestChanged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		var seen []string
		c := w.config("n1")
		var g *Gate
		c.Changed = func(grants []approval.Grant) {
			if len(g.Grants()) != len(grants) {
				t.Error("told before the snapshot changed")
			}
			seen = append(seen, fmt.Sprint(len(grants)))
		}
		g, err := New(c)
		if err != nil {
			t.Fatal(err)
		}
		defer w.run(g)()
		ticket := w.live(g, plan())
		p := plan()
		p.Scope.Groups = []string{"sin"}
		w.live(g, p)
		w.propose(g, approval.Plan{Scope: approval.Scope{Trunks: []string{"x"}, Groups: []string{"y"}, Regions: []string{"z:z"}}})
		if _, err := g.Revoke(t.Context(), ticket.ID, "op", "over"); err != nil {
			t.Fatal(err)
		}
		time.Sleep(5 * time.Hour)
		synctest.Wait()
		if got := strings.Join(seen, " "); got != "1 2 1 0" {
			t.Errorf("told of %s grants", got)
		}
	})
}

// The entry is durable before anything takes effect, at every single change; what ends lets nothing through from before its entry on.
func TestTheLogComesFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		g := w.gate("n1")
		w.log.on(func(e audit.Event) {
			ev, ok := e.(approval.GateChanged)
			if !ok || ev.What == approval.Proposed {
				return
			}
			if s := w.stored(ev.Ticket); s.Version != ev.Record.Version-1 || s.Ticket.State != ev.From {
				t.Errorf("%s: the store has version %d (%s) before entry %d (%s)", ev.What, s.Version, s.Ticket.State, ev.Record.Version, ev.From)
			}
			if known, _ := g.Ticket(ev.Ticket); known.State != ev.From {
				t.Errorf("%s: %s shows before the entry", ev.What, known.State)
			}
			if want := ev.From == approval.Active && ev.State == approval.Active; (len(g.Grants()) == 1) != want {
				t.Errorf("%s: %d grants before the entry", ev.What, len(g.Grants()))
			}
		})
		ticket := w.live(g, plan())
		if _, err := g.Revoke(t.Context(), ticket.ID, "op", "over"); err != nil {
			t.Fatal(err)
		}
		var whats []string
		for i, ev := range w.changes() {
			whats = append(whats, string(ev.What))
			if ev.Record.Version != uint64(i+1) {
				t.Errorf("entry %d has version %d", i, ev.Record.Version)
			}
		}
		if got := strings.Join(whats, " "); got != "proposed notified decided decided opined activated revoked" {
			t.Errorf("the log tells: %s", got)
		}
	})
}
