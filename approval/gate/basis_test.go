package gate

import (
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cordonsip/cordon/approval"
)

// What is registered is in the plan that people approve; what is not is refused.
func TestFreeTextIsNoBasis(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		g := w.gate("n1")
		p := plan()
		for _, text := range []string{"our lawyer said so", "Art46(2)(c)_SCC:scc-2", "Art46(2)(b)_BCR:scc-1", "Art49(1)(a)_explicit_consent"} {
			p.LegalBasis = text
			_, err := g.Propose(t.Context(), "rule:routing", p)
			wantRefusal(t, err, approval.RuleBasis)
		}
		p.LegalBasis, p.Basis = "scc-1", &approval.Basis{ID: "made up", Document: "none"}
		got := w.propose(g, p)
		if got.Plan.LegalBasis != "Art46(2)(c)_SCC:scc-1" || got.Plan.Basis == nil || got.Plan.Basis.TIA.Document != "tia-1" {
			t.Errorf("the ticket rests on %q: %+v", got.Plan.LegalBasis, got.Plan.Basis)
		}
		p.LegalBasis, p.Basis = "", &approval.Basis{ID: "made up"}
		if w.propose(g, p).Plan.Basis != nil {
			t.Error("a basis came in past the catalogue")
		}
	})
}

func TestABasisIsNeeded(t *testing.T) {
	for _, c := range []struct {
		basis string
		state approval.State
		lacks string
	}{
		{"", approval.Pending, "a legal basis of the catalogue"},
		{"bare", approval.Pending, "no transfer impact assessment"},
		{"scc-1", approval.Active, ""},
	} {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t)
			w.rules.NeedBasis = true
			g := w.gate("n1")
			p := plan()
			p.LegalBasis = c.basis
			ticket := w.propose(g, p)
			w.decide(g, ticket, "ic", true)
			w.decide(g, ticket, "bo", true)
			got := w.opine(g, ticket, "dpo", approval.NoObjection, false)
			if got.State != c.state || !strings.Contains(strings.Join(got.Missing, "; "), c.lacks) {
				t.Errorf("on %q: %s, missing %q", c.basis, got.State, got.Missing)
			}
		})
	}
}

// No ticket outlives its basis, whatever state it is in.
func TestTheEndOfABasis(t *testing.T) {
	for _, c := range []struct {
		name  string
		words func(w *world, g *Gate, t approval.Ticket)
		state approval.State
	}{
		{"waiting", func(*world, *Gate, approval.Ticket) {}, approval.Pending},
		{"approved", func(w *world, g *Gate, t approval.Ticket) {
			w.decide(g, t, "ic", true)
			w.opine(g, t, "dpo", approval.NoObjection, false)
			w.decide(g, t, "bo", true)
		}, approval.Approved},
		{"live", func(w *world, g *Gate, t approval.Ticket) {
			w.decide(g, t, "ic", true)
			w.opine(g, t, "dpo", approval.NoObjection, false)
			w.decide(g, t, "bo", true)
			if _, err := g.Activate(w.t.Context(), t.ID, "op"); err != nil {
				w.t.Fatal(err)
			}
		}, approval.Active},
	} {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t)
			w.rules.AutoActivate = false
			end := time.Now().Add(10 * time.Minute)
			w.bases[0].Until = end
			g := w.gate("n1")
			defer w.run(g)()
			p := plan()
			p.LegalBasis = "scc-1"
			ticket := w.propose(g, p)
			c.words(w, g, ticket)
			if got := w.state(g, ticket.ID); got != c.state {
				t.Fatalf("%s: the ticket is %s", c.name, got)
			}
			for _, grant := range g.Grants() {
				if grant.Until.After(end) {
					t.Errorf("the grant goes on until %s, its basis until %s", grant.Until, end)
				}
			}
			time.Sleep(10*time.Minute - time.Second)
			if got := w.state(g, ticket.ID); got != c.state {
				t.Errorf("%s: a second early the ticket is %s", c.name, got)
			}
			time.Sleep(2 * time.Second)
			synctest.Wait()
			got, _ := g.Ticket(ticket.ID)
			if got.State != approval.Invalidated || !strings.Contains(got.Why, "scc-1 ended") || len(g.Grants()) != 0 {
				t.Errorf("%s: %s because %q, grants %v", c.name, got.State, got.Why, g.Grants())
			}
		})
	}
}

// A reload that changes the entry, or drops it, shows the tickets that rest on it.
func TestABasisThatChanges(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		g := w.gate("n1")
		p := plan()
		p.LegalBasis = "scc-1"
		ticket, bare := w.propose(g, p), plan()
		bare.Scope.Country = "CA"
		other := w.propose(g, bare)
		for name, c := range map[string]struct {
			bases []approval.Basis
			gone  bool
		}{
			"the same":      {catalogue(), false},
			"none":          {nil, true},
			"another paper": {[]approval.Basis{{ID: "scc-1", Kind: "Art46(2)(c)_SCC", Document: "another"}}, true},
		} {
			if err := g.Reload(w.rules, people, c.bases); err != nil {
				t.Fatal(err)
			}
			if g.BasisGone(ticket) != c.gone || g.BasisGone(other) {
				t.Errorf("%s: gone %v, without a basis %v", name, g.BasisGone(ticket), g.BasisGone(other))
			}
		}
		if err := g.Reload(w.rules, people, nil); err != nil {
			t.Fatal(err)
		}
		if err := g.Invalidate(t.Context(), "its basis is gone", g.BasisGone); err != nil || w.state(g, ticket.ID) != approval.Invalidated || w.state(g, other.ID) != approval.Pending {
			t.Errorf("%v; %s and %s", err, w.state(g, ticket.ID), w.state(g, other.ID))
		}
	})
}

// What a person asks for is recorded as the person's, and who asks does not decide.
func TestAPersonAsks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		g := w.gate("n1")
		for name, c := range map[string]struct {
			edit func(*approval.Plan)
			rule string
		}{
			"no reason":         {func(p *approval.Plan) { p.Reason = " " }, approval.RuleReason},
			"no alternative":    {func(p *approval.Plan) { p.Alternatives = nil }, approval.RuleReason},
			"an empty one":      {func(p *approval.Plan) { p.Alternatives = []approval.Alternative{{Option: "announcement"}} }, approval.RuleReason},
			"everything at all": {func(p *approval.Plan) { p.Scope.Groups = nil }, approval.RuleScope},
		} {
			p := plan()
			c.edit(&p)
			_, err := g.Propose(t.Context(), "ic", p)
			var refusal *approval.Refusal
			if !errors.As(err, &refusal) || refusal.Rule != c.rule {
				t.Errorf("%s: %v", name, err)
			}
		}
		route := w.propose(g, plan())
		p := plan()
		p.Reason = "the desk in Virginia can take the callers"
		asked, err := g.Propose(t.Context(), "ic", p)
		if err != nil || asked.RequestedBy != pseudonym("ic") || w.state(g, route.ID) != approval.Superseded {
			t.Fatalf("%+v, %v; the route's ticket is %s", asked, err, w.state(g, route.ID))
		}
		again, err := g.Propose(t.Context(), "rule:routing", plan())
		if err != nil || again.ID != asked.ID || w.state(g, asked.ID) != approval.Pending {
			t.Errorf("the route replaced what a person asked for: %s, %v", again.ID, err)
		}
		if err := g.Notified(t.Context(), asked.ID, "console", ""); err != nil {
			t.Fatal(err)
		}
		_, err = g.Decide(t.Context(), asked.ID, "ic", "incident_commander", true, "yes", asked.PlanHash, "bearer")
		wantRefusal(t, err, approval.RuleRequester)
	})
}

// What the policy denies is on record, and no word opens it.
func TestPolicyDenied(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		g := w.gate("n1")
		ticket, err := g.Refuse(t.Context(), "ic", plan(), "the country has no standing here")
		wantRefusal(t, err, approval.RulePolicyDenied)
		if !strings.Contains(err.Error(), ticket.ID) || !strings.Contains(err.Error(), "no standing") {
			t.Errorf("the refusal says %q", err)
		}
		if ticket.State != approval.PolicyDenied || ticket.RequestedBy != pseudonym("ic") || ticket.EndedAt.IsZero() || !ticket.State.Terminal() {
			t.Errorf("%+v", ticket)
		}
		if err := g.Notified(t.Context(), ticket.ID, "console", ""); err != nil {
			t.Fatal(err)
		}
		_, err = g.Decide(t.Context(), ticket.ID, "bo", "business_owner", true, "yes", ticket.PlanHash, "bearer")
		wantRefusal(t, err, approval.RuleClosed)
		_, err = g.Activate(t.Context(), ticket.ID, "op")
		wantRefusal(t, err, approval.RuleNotApproved)
		last := w.changes()[len(w.changes())-1]
		if last.What != approval.RefusedByRule || last.From != approval.Requested || last.State != approval.PolicyDenied || last.Word != "decided_rejected" || last.By != pseudonym("ic") {
			t.Errorf("the log says %+v", last)
		}
		_, err = g.Refuse(t.Context(), "eve", plan(), "x")
		wantRefusal(t, err, approval.RuleUnknownPerson)
		// It is no open ticket: the same plan may be asked again, should the policy change.
		if next := w.propose(g, plan()); next.ID == ticket.ID || next.State != approval.Pending {
			t.Errorf("%+v", next)
		}
		again := w.gate("n1")
		if _, err := again.Restore(t.Context()); err != nil || w.state(again, ticket.ID) != approval.PolicyDenied {
			t.Errorf("after a restart it is %q: %v", w.state(again, ticket.ID), err)
		}
	})
}
