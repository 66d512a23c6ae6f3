package gate

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cordonsip/cordon/approval"
)

// urgent opens a ticket on a registered basis and tells people.
func (w *world) urgent(g *Gate, edits ...func(*approval.Plan)) approval.Ticket {
	w.t.Helper()
	p := plan()
	p.LegalBasis = "scc-1"
	for _, edit := range edits {
		edit(&p)
	}
	return w.propose(g, p)
}

func (w *world) confirm(g *Gate, t approval.Ticket, person string) (approval.Ticket, error) {
	return g.BreakGlass(w.t.Context(), t.ID, person, roleOf[person], "because of "+person, t.PlanHash, "bearer")
}

// broken is a ticket whose glass two people broke.
func (w *world) broken(g *Gate) approval.Ticket {
	w.t.Helper()
	ticket := w.urgent(g)
	if got, err := w.confirm(g, ticket, "ic"); err != nil || got.State != approval.Pending {
		w.t.Fatalf("%s, %v", got.State, err)
	}
	got, err := w.confirm(g, ticket, "bo")
	if err != nil || got.State != approval.BreakGlassActive {
		w.t.Fatalf("%s, %v", got.State, err)
	}
	return got
}

func TestBreakGlass(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		g := w.gate("n1")
		ticket := w.urgent(g)
		first, err := w.confirm(g, ticket, "ic")
		if err != nil || first.State != approval.Pending || len(g.Grants()) != 0 || !strings.Contains(strings.Join(first.Warnings, ";"), "one of two has confirmed") {
			t.Fatalf("%s %q %v", first.State, first.Warnings, err)
		}
		got, err := w.confirm(g, ticket, "bo")
		if err != nil {
			t.Fatal(err)
		}
		now := time.Now()
		if got.State != approval.BreakGlassActive || got.GrantUntil.Sub(now) != time.Hour || got.ReviewBy.Sub(now) != 24*time.Hour || !strings.Contains(strings.Join(got.Warnings, ";"), "owes an opinion") {
			t.Errorf("%+v", got)
		}
		if grants := g.Grants(); len(grants) != 1 || !grants[0].Until.Equal(got.GrantUntil) || g.Left(got.ID) != w.rules.QuotaBlock || !g.Spend(got.ID) {
			t.Errorf("grants %+v, left %d", grants, g.Left(got.ID))
		}
		last := w.changes()[len(w.changes())-1]
		if last.What != approval.BrokenGlass || last.From != approval.Pending || last.State != approval.BreakGlassActive || last.Word != "active" || last.Decision == nil || last.Decision.Role != "business_owner" {
			t.Errorf("the log says %+v", last)
		}
		// The same situation, asked again: it is this ticket.
		if again := w.urgent(g); again.ID != got.ID {
			t.Error("the route opened another ticket beside the break-glass")
		}
		// A restart keeps it.
		other := w.gate("n1")
		if _, err := other.Restore(t.Context()); err != nil || w.state(other, got.ID) != approval.BreakGlassActive || len(other.Grants()) != 1 {
			t.Errorf("after a restart: %s, %v", w.state(other, got.ID), err)
		}
	})
}

// An emergency shortens procedure and never law.
func TestBreakGlassRefusals(t *testing.T) {
	type step struct {
		person, role, rule string
	}
	confirm := func(person, rule string) step { return step{person, roleOf[person], rule} }
	for _, c := range []struct {
		name    string
		rules   func(*approval.Rules)
		plan    func(*approval.Plan)
		by      string
		untold  bool
		words   string // said before
		confirm []step
		state   approval.State
	}{
		{name: "one person twice", confirm: []step{confirm("ic", ""), confirm("ic", approval.RulePersonDecided)}, state: approval.Pending},
		{name: "one person, two roles", confirm: []step{{"two", "ciso", ""}, {"two", "crisis_manager", approval.RulePersonDecided}}, state: approval.Pending},
		{name: "one role, two people", confirm: []step{confirm("bo", ""), confirm("bo2", approval.RuleRoleUsed)}, state: approval.Pending},
		{name: "a role that is not held", confirm: []step{{"ic", "ciso", approval.RuleRoleNotHeld}}, state: approval.Pending},
		{name: "the adviser", confirm: []step{{"dpo", "dpo", approval.RuleOpinionRole}}, state: approval.Pending},
		{name: "the adviser in another role", confirm: []step{{"both", "crisis_manager", approval.RuleOpinionRole}}, state: approval.Pending},
		{name: "an operator", confirm: []step{{"op", approval.RoleOperator, approval.RuleRoleNotApproving}}, state: approval.Pending},
		{name: "the requester", by: "ic", confirm: []step{confirm("ic", approval.RuleRequester), confirm("bo", "")}, state: approval.Pending},
		{name: "nobody was told", untold: true, confirm: []step{confirm("ic", approval.RuleNotTold)}, state: approval.Pending},
		{name: "without a basis", plan: func(p *approval.Plan) { p.LegalBasis = "" }, confirm: []step{confirm("ic", approval.RuleBasis)}, state: approval.Pending},
		{name: "on half a basis", plan: func(p *approval.Plan) { p.LegalBasis = "bare" }, confirm: []step{confirm("ic", approval.RuleBasis)}, state: approval.Pending},
		{name: "switched off", rules: func(r *approval.Rules) { r.NoGlass = true }, confirm: []step{confirm("ic", approval.RuleGlass)}, state: approval.Pending},
		{name: "after an objection", words: "dpo:objection", confirm: []step{confirm("ic", approval.RuleObjection)}, state: approval.Pending},
		{name: "against conditions", words: "dpo:conditions", confirm: []step{confirm("ic", approval.RuleObjection)}, state: approval.Pending},
		{name: "conditions that are met", words: "dpo:conditions dpo:conditions!", confirm: []step{confirm("ic", ""), confirm("bo", "")}, state: approval.BreakGlassActive},
		{name: "nobody could be reached", words: "dpo:not_reached", confirm: []step{confirm("ic", ""), confirm("bo", "")}, state: approval.BreakGlassActive},
		{name: "who approved", words: "ic+", confirm: []step{confirm("ic", ""), confirm("bo", "")}, state: approval.BreakGlassActive},
		{name: "a third one", confirm: []step{confirm("ic", ""), confirm("bo", ""), confirm("ciso", approval.RuleClosed)}, state: approval.BreakGlassActive},
		{name: "a ticket that was denied", words: "ciso-", confirm: []step{confirm("ic", approval.RuleClosed)}, state: approval.DeniedByPeople},
	} {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t)
			if c.rules != nil {
				c.rules(&w.rules)
			}
			g := w.gate("n1")
			p := plan()
			p.LegalBasis = "scc-1"
			if c.plan != nil {
				c.plan(&p)
			}
			by := "rule:routing"
			if c.by != "" {
				by = c.by
			}
			ticket, err := g.Propose(t.Context(), by, p)
			if err != nil {
				t.Fatal(err)
			}
			if !c.untold {
				if err := g.Notified(t.Context(), ticket.ID, "duty", "the channel is gone"); err != nil { // its failure is on record: that is told, too
					t.Fatal(err)
				}
			}
			for _, word := range strings.Fields(c.words) {
				if _, err := w.say(g, ticket, word); err != nil {
					t.Fatalf("%s: %s: %v", c.name, word, err)
				}
			}
			for i, s := range c.confirm {
				_, err := g.BreakGlass(t.Context(), ticket.ID, s.person, s.role, "now", ticket.PlanHash, "bearer")
				if s.rule != "" {
					t.Logf("%s, step %d", c.name, i)
					wantRefusal(t, err, s.rule)
				} else if err != nil {
					t.Fatalf("%s, step %d: %v", c.name, i, err)
				}
			}
			if got := w.state(g, ticket.ID); got != c.state || (len(g.Grants()) > 0) != c.state.Live() {
				t.Errorf("%s: %s, want %s; grants %v", c.name, got, c.state, g.Grants())
			}
		})
	}
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		g := w.gate("n1")
		ticket := w.urgent(g)
		_, err := g.BreakGlass(t.Context(), ticket.ID, "ic", "incident_commander", "now", "another plan", "bearer")
		wantRefusal(t, err, approval.RulePlanChanged)
		_, err = g.BreakGlass(t.Context(), ticket.ID, "ic", "incident_commander", "  ", ticket.PlanHash, "bearer")
		wantRefusal(t, err, approval.RuleReason)
		_, err = g.BreakGlass(t.Context(), ticket.ID, "eve", "incident_commander", "now", ticket.PlanHash, "bearer")
		wantRefusal(t, err, approval.RuleUnknownPerson)
		time.Sleep(31 * time.Minute)
		_, err = w.confirm(g, ticket, "ic")
		wantRefusal(t, err, approval.RuleExpired)
		denied, _ := g.Refuse(t.Context(), "ic", plan(), "denied")
		_, err = w.confirm(g, denied, "bo")
		wantRefusal(t, err, approval.RuleClosed)
	})
}

// However it ends, the review is owed; late, it is escalated.
func TestWhatABreakGlassOwes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		g := w.gate("n1")
		defer w.run(g)()
		ticket := w.broken(g)
		time.Sleep(time.Hour + time.Second)
		synctest.Wait()
		got, _ := g.Ticket(ticket.ID)
		if got.State != approval.ReviewDue || len(g.Grants()) != 0 || len(got.Missing) != 2 {
			t.Fatalf("after an hour: %s, grants %v, missing %q", got.State, g.Grants(), got.Missing)
		}
		if due, late := g.Owed(); due != 1 || late != 0 {
			t.Errorf("%d owed, %d late", due, late)
		}
		time.Sleep(23 * time.Hour)
		synctest.Wait()
		got, _ = g.Ticket(ticket.ID)
		last := w.changes()[len(w.changes())-1]
		if got.State != approval.Escalated || last.What != approval.Escalation || last.By != ruleClock || !strings.Contains(last.Why, "review was due") {
			t.Fatalf("after a day: %s, %+v", got.State, last)
		}
		if due, late := g.Owed(); due != 1 || late != 1 {
			t.Errorf("%d owed, %d late", due, late)
		}
		review := approval.PostReview{Role: "ciso", Lawful: true, Updated: true, Lessons: "call the deputy first"}
		_, err := g.Review(t.Context(), ticket.ID, "ciso", review)
		wantRefusal(t, err, approval.RuleOpinionOwed)
		w.opine(g, ticket, "dpo", approval.NoObjection, false)
		done, err := g.Review(t.Context(), ticket.ID, "ciso", review)
		if err != nil || done.State != approval.Reviewed || done.Review == nil || done.Review.Person != pseudonym("ciso") || !done.Review.Lawful || len(done.Missing) != 0 {
			t.Fatalf("%+v, %v", done, err)
		}
		if due, late := g.Owed(); due != 0 || late != 0 {
			t.Errorf("%d owed, %d late", due, late)
		}
		last = w.changes()[len(w.changes())-1]
		if last.What != approval.Review || last.State != approval.Reviewed || last.Word != "reviewed" || last.Review == nil || last.Review.Lessons != review.Lessons {
			t.Errorf("the log says %+v", last)
		}
	})
	for name, end := range map[string]func(w *world, g *Gate, t approval.Ticket) error{
		"revoked": func(w *world, g *Gate, t approval.Ticket) error {
			_, err := g.Revoke(w.t.Context(), t.ID, "op", "over")
			return err
		},
		"invalidated": func(w *world, g *Gate, _ approval.Ticket) error {
			return g.Invalidate(w.t.Context(), "struck", func(approval.Ticket) bool { return true })
		},
		"objected to": func(w *world, g *Gate, t approval.Ticket) error { _, err := w.say(g, t, "dpo:objection"); return err },
	} {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t)
			g := w.gate("n1")
			ticket := w.broken(g)
			if err := end(w, g, ticket); err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			if got, _ := g.Ticket(ticket.ID); got.State != approval.ReviewDue || got.EndedAt.IsZero() || len(g.Grants()) != 0 || !got.ReviewBy.Equal(ticket.ReviewBy) {
				t.Errorf("%s: %+v", name, got)
			}
		})
	}
	// It ends with its basis, too, and an opinion that does not object leaves it up.
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.bases[0].Until = time.Now().Add(10 * time.Minute)
		g := w.gate("n1")
		defer w.run(g)()
		ticket := w.broken(g)
		if got := w.opine(g, ticket, "dpo", approval.NoObjection, false); got.State != approval.BreakGlassActive {
			t.Errorf("with the opinion: %s", got.State)
		}
		if !ticket.GrantUntil.Equal(w.bases[0].Until) {
			t.Errorf("until %s", ticket.GrantUntil)
		}
		time.Sleep(10*time.Minute + time.Second)
		synctest.Wait()
		if got, _ := g.Ticket(ticket.ID); got.State != approval.ReviewDue || !strings.Contains(got.Why, "scc-1 ended") {
			t.Errorf("%s: %s", got.State, got.Why)
		}
	})
}

// A grant that carried calls is reviewed in the state in which it ended.
func TestReviewOfAnOrdinaryGrant(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		g := w.gate("n1")
		idle := w.live(g, plan())
		_, err := g.Review(t.Context(), idle.ID, "ciso", approval.PostReview{Role: "ciso", Lessons: "x"})
		wantRefusal(t, err, approval.RuleNotEnded)
		if _, err := g.Revoke(t.Context(), idle.ID, "op", "over"); err != nil {
			t.Fatal(err)
		}
		_, err = g.Review(t.Context(), idle.ID, "ciso", approval.PostReview{Role: "ciso", Lessons: "x"})
		wantRefusal(t, err, approval.RuleNothingPassed)

		used := w.live(g, plan())
		if !g.Spend(used.ID) {
			t.Fatal("no call")
		}
		ended, err := g.Revoke(t.Context(), used.ID, "op", "over")
		if err != nil || time.Until(ended.ReviewBy) != 7*24*time.Hour || len(ended.Missing) != 1 || !strings.Contains(ended.Missing[0], "review") {
			t.Fatalf("%+v, %v", ended, err)
		}
		for person, c := range map[string]struct{ role, rule string }{
			"ic": {"incident_commander", approval.RuleReviewer}, "bo": {"business_owner", approval.RuleReviewer}, "dpo": {"dpo", approval.RuleOpinionRole}, "both": {"crisis_manager", approval.RuleOpinionRole},
			"op": {approval.RoleOperator, approval.RuleRoleNotHeld}, "ciso": {"crisis_manager", approval.RuleRoleNotHeld},
		} {
			_, err := g.Review(t.Context(), used.ID, person, approval.PostReview{Role: c.role, Lessons: "x"})
			wantRefusal(t, err, c.rule)
		}
		_, err = g.Review(t.Context(), used.ID, "aud", approval.PostReview{Role: approval.RoleAuditor})
		wantRefusal(t, err, approval.RuleReason)
		done, err := g.Review(t.Context(), used.ID, "aud", approval.PostReview{Role: approval.RoleAuditor, Lessons: "none"})
		if err != nil || done.State != approval.Revoked || done.Review == nil || done.Review.Lawful || len(done.Missing) != 0 {
			t.Fatalf("%+v, %v", done, err)
		}
		_, err = g.Review(t.Context(), used.ID, "ciso", approval.PostReview{Role: "ciso", Lessons: "x"})
		wantRefusal(t, err, approval.RuleReviewed)
		again := w.gate("n1")
		if _, err := again.Restore(t.Context()); err != nil {
			t.Fatal(err)
		}
		if got, _ := again.Ticket(used.ID); got.Review == nil || got.State != approval.Revoked {
			t.Errorf("after a restart: %+v", got)
		}
	})
}

// The third grant on one derogation within twelve months is not occasional any more.
func TestRepetitionsOfADerogation(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.bases = append(w.bases, approval.Basis{ID: "consent-2", Kind: "Art49(1)(a)_explicit_consent", Document: "letter 8", Derogation: &approval.Derogation{Necessity: "n"}})
		g := w.gate("n1")
		p := plan()
		p.LegalBasis = "consent-1"
		for n := range 2 {
			got := w.live(g, p)
			if got.Repetitions != n || got.Warnings != nil {
				t.Errorf("grant %d: %d repetitions, %q", n, got.Repetitions, got.Warnings)
			}
			if _, err := g.Revoke(t.Context(), got.ID, "op", "over"); err != nil {
				t.Fatal(err)
			}
			time.Sleep(30 * 24 * time.Hour)
		}
		// Another gate on an empty store: the log is what counts.
		for _, ticket := range g.Tickets() {
			w.remove(ticketPrefix + ticket.ID)
		}
		g = w.gate("n1")
		third := w.propose(g, p)
		if third.Repetitions != 2 || !strings.Contains(strings.Join(third.Warnings, ";"), "not occasional any more") {
			t.Errorf("%d repetitions, %q", third.Repetitions, third.Warnings)
		}
		_, err := w.confirm(g, third, "ic")
		if err != nil {
			t.Fatal(err)
		}
		_, err = w.confirm(g, third, "bo")
		wantRefusal(t, err, approval.RuleRoleNotApproving)
		w.decide(g, third, "ic", true)
		w.decide(g, third, "bo", true)
		got := w.opine(g, third, "dpo", approval.NoObjection, false)
		if got.State != approval.Pending || !strings.Contains(strings.Join(got.Missing, ";"), approval.RoleDelegate) {
			t.Errorf("%s, missing %q", got.State, got.Missing)
		}
		if got = w.decide(g, third, "md", true); got.State != approval.Active || got.GrantUntil.Sub(got.ActivatedAt) > 24*time.Hour {
			t.Errorf("with the delegate: %+v", got)
		}
		// Another derogation and another instrument have counts of their own.
		for _, basis := range []string{"consent-2", "scc-1"} {
			p.LegalBasis = basis
			p.Scope.Country = basis
			if got := w.propose(g, p); got.Repetitions != 0 || got.Warnings != nil {
				t.Errorf("on %s: %d repetitions", basis, got.Repetitions)
			}
		}
		time.Sleep(370 * 24 * time.Hour)
		p.LegalBasis, p.Scope.Country = "consent-1", "CA"
		if got := w.propose(g, p); got.Repetitions != 0 {
			t.Errorf("after a year: %d repetitions", got.Repetitions)
		}
	})
}
