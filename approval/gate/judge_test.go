package gate

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cordonsip/cordon/approval"
)

// say is one word: "ic+" approves as ic, "ic-" denies, "dpo:objection" and "dpo:conditions!" (met) advise, "wait" lets a minute pass.
func (w *world) say(g *Gate, t approval.Ticket, word string) (approval.Ticket, error) {
	switch person, advice, isAdvice := strings.Cut(word, ":"); {
	case isAdvice:
		met := strings.HasSuffix(advice, "!")
		return g.Opine(w.t.Context(), t.ID, person, approval.OpinionWord(strings.TrimSuffix(advice, "!")), "advice", met)
	case word == "wait":
		time.Sleep(time.Minute)
		return t, nil
	default:
		person = strings.TrimRight(word, "+-")
		return g.Decide(w.t.Context(), t.ID, person, roleOf[person], strings.HasSuffix(word, "+"), "because", t.PlanHash, "bearer")
	}
}

// rulesWith are the default rules with one thing changed.
func rulesWith(edit func(r *approval.Rules)) approval.Rules {
	r := approval.DefaultRules()
	edit(&r)
	return r
}

var (
	noOpinion  = rulesWith(func(r *approval.Rules) { r.NeedOpinion = false })
	three      = rulesWith(func(r *approval.Rules) { r.Quorum = 3 })
	tight      = rulesWith(func(r *approval.Rules) { r.Roles = []string{"incident_commander", "business_owner"} })
	noDelegate = rulesWith(func(r *approval.Rules) { r.Roles = []string{"incident_commander", "business_owner", "ciso"} })
)

// quorums: the quorum and the opinion, word by word. The last word's refusal, if any, is the rule.
var quorums = []struct {
	rules   approval.Rules
	words   string
	state   approval.State
	rule    string
	missing string // is a part of what is missing
}{
	{approval.Rules{}, "", approval.Pending, "", "2 more approvals by other people, each in a role of its own: incident_commander, business_owner, ciso, crisis_manager, management_body_delegate; the opinion of dpo"},
	{approval.Rules{}, "ic+", approval.Pending, "", "1 more approval by other people, each in a role of its own: business_owner, ciso, crisis_manager, management_body_delegate; the opinion of dpo"},
	{approval.Rules{}, "ic+ bo+", approval.Pending, "", "the opinion of dpo"},
	{approval.Rules{}, "ic+ bo+ dpo:no_objection", approval.Active, "", ""},
	{approval.Rules{}, "dpo:no_objection ic+ bo+", approval.Active, "", ""},
	{approval.Rules{}, "ic+ dpo:no_objection bo+", approval.Active, "", ""},
	{approval.Rules{}, "dpo:no_objection", approval.Pending, "", "2 more approvals"},
	{approval.Rules{}, "bo+ bo2+", approval.Pending, approval.RuleRoleUsed, "1 more approval"},
	{approval.Rules{}, "ic+ ic+", approval.Pending, approval.RulePersonDecided, "1 more approval"},
	{approval.Rules{}, "ic+ ic-", approval.Pending, approval.RulePersonDecided, "1 more approval"},
	{approval.Rules{}, "ic-", approval.DeniedByPeople, "", ""},
	{approval.Rules{}, "ic+ bo-", approval.DeniedByPeople, "", ""},
	{approval.Rules{}, "bo+ bo2-", approval.DeniedByPeople, "", ""}, // a denial needs no role of its own
	{approval.Rules{}, "ic- bo+", approval.DeniedByPeople, approval.RuleClosed, ""},
	{approval.Rules{}, "ic+ bo+ dpo:no_objection ciso+", approval.Active, approval.RuleClosed, ""},
	{approval.Rules{}, "ic+ bo+ ciso+", approval.Pending, "", "the opinion of dpo"},
	// not_reached is no opinion and holds.
	{approval.Rules{}, "ic+ bo+ dpo:not_reached", approval.Pending, "", "the opinion of dpo, who could not be reached so far"},
	{approval.Rules{}, "ic+ bo+ op:not_reached", approval.Pending, "", "could not be reached"},
	{approval.Rules{}, "op:not_reached dpo:no_objection ic+ bo+", approval.Active, "", ""},
	{approval.Rules{}, "dpo:no_objection op:not_reached ic+ bo+", approval.Active, "", ""},
	// conditions hold until confirmed met.
	{approval.Rules{}, "ic+ bo+ dpo:conditions", approval.Pending, "", "the confirmation by dpo that the conditions are met"},
	{approval.Rules{}, "ic+ bo+ dpo:conditions dpo:conditions!", approval.Active, "", ""},
	{approval.Rules{}, "ic+ bo+ dpo:conditions!", approval.Active, "", ""},
	{approval.Rules{}, "ic+ bo+ dpo:conditions dpo:not_reached", approval.Pending, "", "conditions are met"},
	{approval.Rules{}, "dpo:conditions! dpo:conditions ic+ bo+", approval.Pending, "", "conditions are met"},
	{approval.Rules{}, "ic+ bo+ dpo:conditions dpo2:no_objection", approval.Pending, "", "conditions are met"}, // the strictest of two advisers
	{approval.Rules{}, "dpo:no_objection dpo2:conditions! ic+ bo+", approval.Active, "", ""},
	{approval.Rules{}, "ic+ bo+ dpo:no_objection! ", approval.Active, "", ""},
	// An objection forces a third approver, the delegate among them, in its knowledge.
	{approval.Rules{}, "ic+ bo+ dpo:objection", approval.Pending, "", "1 more approval by other people, because of the objection: ciso, crisis_manager, management_body_delegate; the approval of management_body_delegate, because of the objection; an approval given in knowledge of the objection"},
	{approval.Rules{}, "ic+ bo+ dpo:objection ciso+", approval.Pending, "", "the approval of management_body_delegate"},
	{approval.Rules{}, "ic+ bo+ dpo:objection md+", approval.Active, "", ""},
	{approval.Rules{}, "ic+ md+ dpo:objection bo+", approval.Active, "", ""},
	{approval.Rules{}, "dpo:objection ic+ bo+", approval.Pending, "", "1 more approval"},
	{approval.Rules{}, "dpo:objection ic+ bo+ md+", approval.Active, "", ""},
	{approval.Rules{}, "ic+ bo+ md+ dpo:objection", approval.Pending, "", "an approval given in knowledge of the objection, with the reason for deviating from it"},
	{approval.Rules{}, "ic+ bo+ md+ dpo:objection wait ciso+", approval.Active, "", ""},
	{approval.Rules{}, "ic+ bo+ dpo:objection dpo:no_objection", approval.Active, "", ""},                // taken back
	{approval.Rules{}, "ic+ bo+ dpo:objection dpo2:no_objection", approval.Pending, "", "the objection"}, // not by another
	{approval.Rules{}, "ic+ bo+ dpo:objection md-", approval.DeniedByPeople, "", ""},
	{tight, "ic+ bo+ dpo:objection", approval.Pending, "", "because of the objection"}, // nobody is left who could: it holds
	{noDelegate, "ic+ bo+ dpo:objection ciso+", approval.Active, "", ""},
	{three, "ic+ bo+ dpo:no_objection", approval.Pending, "", "1 more approval"},
	{three, "ic+ bo+ ciso+ dpo:objection md+", approval.Active, "", ""},
	{noOpinion, "ic+ bo+", approval.Active, "", ""},
	{noOpinion, "dpo:objection ic+ bo+", approval.Pending, "", "because of the objection"},
	{noOpinion, "dpo:conditions ic+ bo+", approval.Pending, "", "conditions are met"},
}

func TestQuorumAndOpinion(t *testing.T) {
	for _, c := range quorums {
		t.Run(fmt.Sprintf("%d %s", c.rules.Quorum, c.words), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				w.rules = c.rules
				g := w.gate("n1")
				ticket := w.propose(g, plan())
				words := strings.Fields(c.words)
				for i, word := range words {
					_, err := w.say(g, ticket, word)
					if i == len(words)-1 && c.rule != "" {
						wantRefusal(t, err, c.rule)
					} else if err != nil {
						t.Fatalf("%s: %v", word, err)
					}
				}
				got, _ := g.Ticket(ticket.ID)
				missing := strings.Join(got.Missing, "; ")
				if got.State != c.state || !strings.Contains(missing, c.missing) || c.missing == "" && missing != "" {
					t.Errorf("%s, missing %q; want %s, %q", got.State, missing, c.state, c.missing)
				}
				if (len(g.Grants()) == 1) != (c.state == approval.Active) {
					t.Errorf("%d grants", len(g.Grants()))
				}
			})
		})
	}
}

// Each rule refuses by itself: everything else about the word is right.
func TestRefusals(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		g := w.gate("n1")
		ctx := t.Context()
		byPerson, err := g.Propose(ctx, "ic", plan())
		if err != nil {
			t.Fatal(err)
		}
		other := plan()
		other.Scope.Groups = []string{"sin"}
		_, err = g.Decide(ctx, byPerson.ID, "bo", "business_owner", true, "why", byPerson.PlanHash, "bearer")
		wantRefusal(t, err, approval.RuleNotTold)
		_, err = g.Opine(ctx, byPerson.ID, "dpo", approval.NoObjection, "", false)
		wantRefusal(t, err, approval.RuleNotTold)
		if err := g.Notified(ctx, byPerson.ID, "siem", "receiver is down"); err != nil {
			t.Fatal(err) // a failure on record is enough
		}
		before := w.log.Size()
		for _, c := range []struct {
			name, ticket, person, role, reason, hash, rule string
		}{
			{"no such ticket", "01JD0000000000000000000000", "bo", "business_owner", "why", byPerson.PlanHash, approval.RuleUnknownTicket},
			{"no ticket at all", "gate.ticket.x", "bo", "business_owner", "why", byPerson.PlanHash, approval.RuleUnknownTicket},
			{"a stranger", byPerson.ID, "eve", "business_owner", "why", byPerson.PlanHash, approval.RuleUnknownPerson},
			{"a rule", byPerson.ID, "rule:routing", "business_owner", "why", byPerson.PlanHash, approval.RuleUnknownPerson},
			{"the requester", byPerson.ID, "ic", "incident_commander", "why", byPerson.PlanHash, approval.RuleRequester},
			{"the officer", byPerson.ID, "dpo", "dpo", "why", byPerson.PlanHash, approval.RuleOpinionRole},
			{"the officer in another role", byPerson.ID, "both", "crisis_manager", "why", byPerson.PlanHash, approval.RuleOpinionRole},
			{"somebody as the officer", byPerson.ID, "bo", "dpo", "why", byPerson.PlanHash, approval.RuleOpinionRole},
			{"no approving role", byPerson.ID, "aud", "auditor", "why", byPerson.PlanHash, approval.RuleRoleNotApproving},
			{"an operator", byPerson.ID, "op", approval.RoleOperator, "why", byPerson.PlanHash, approval.RuleRoleNotApproving},
			{"no role", byPerson.ID, "bo", "", "why", byPerson.PlanHash, approval.RuleRoleNotApproving},
			{"a role of others", byPerson.ID, "bo", "ciso", "why", byPerson.PlanHash, approval.RuleRoleNotHeld},
			{"no reason", byPerson.ID, "bo", "business_owner", " \t", byPerson.PlanHash, approval.RuleReason},
			{"a book", byPerson.ID, "bo", "business_owner", strings.Repeat("x", 4001), byPerson.PlanHash, approval.RuleTooLong},
			{"no text", byPerson.ID, "bo", "business_owner", "\xff\xfe", byPerson.PlanHash, approval.RuleTooLong},
			{"another plan", byPerson.ID, "bo", "business_owner", "why", other.Hash(), approval.RulePlanChanged},
			{"no plan", byPerson.ID, "bo", "business_owner", "why", "", approval.RulePlanChanged},
		} {
			for _, approve := range []bool{true, false} {
				_, err := g.Decide(ctx, c.ticket, c.person, c.role, approve, c.reason, c.hash, "bearer")
				t.Logf("%s: %v", c.name, err)
				wantRefusal(t, err, c.rule)
			}
		}
		if w.log.Size() != before {
			t.Errorf("refused words left %d entries", w.log.Size()-before)
		}
		// The clock, without anybody who rings it.
		time.Sleep(30 * time.Minute)
		_, err = g.Decide(ctx, byPerson.ID, "bo", "business_owner", true, "why", byPerson.PlanHash, "bearer")
		wantRefusal(t, err, approval.RuleExpired)
		_, err = g.Opine(ctx, byPerson.ID, "dpo", approval.NoObjection, "", false)
		wantRefusal(t, err, approval.RuleExpired)
	})
}

func TestRefusedOpinions(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		g := w.gate("n1")
		ctx, byPerson := t.Context(), w.propose(g, plan())
		before := w.log.Size()
		for _, c := range []struct {
			name, person string
			word         approval.OpinionWord
			text, rule   string
		}{
			{"a stranger", "eve", approval.NoObjection, "", approval.RuleUnknownPerson},
			{"not the officer", "bo", approval.NoObjection, "", approval.RuleRoleNotHeld},
			{"no such word", "dpo", "maybe", "x", approval.RuleUnknownOpinion},
			{"an objection without words", "dpo", approval.Objection, "", approval.RuleReason},
			{"conditions without words", "dpo", approval.Conditions, " ", approval.RuleReason},
			{"a book", "dpo", approval.NoObjection, strings.Repeat("x", 4001), approval.RuleTooLong},
		} {
			_, err := g.Opine(ctx, byPerson.ID, c.person, c.word, c.text, false)
			t.Logf("%s: %v", c.name, err)
			wantRefusal(t, err, c.rule)
		}
		if w.log.Size() != before {
			t.Errorf("refused words left %d entries", w.log.Size()-before)
		}
	})
}

func TestTheOfficerDoesNotAdviseOnAnOwnRequest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		g := w.gate("n1")
		ticket, err := g.Propose(t.Context(), "dpo", plan())
		if err != nil {
			t.Fatal(err)
		}
		if err := g.Notified(t.Context(), ticket.ID, "console", ""); err != nil {
			t.Fatal(err)
		}
		_, err = g.Opine(t.Context(), ticket.ID, "dpo", approval.NoObjection, "", false)
		wantRefusal(t, err, approval.RuleRequester)
		w.opine(g, ticket, "dpo2", approval.NoObjection, false)
	})
}

func TestOpinionsAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		g := w.gate("n1")
		ticket := w.propose(g, plan())
		for range 64 {
			w.opine(g, ticket, "op", approval.NotReached, false)
		}
		_, err := g.Opine(t.Context(), ticket.ID, "op", approval.NotReached, "", false)
		wantRefusal(t, err, approval.RuleTooMany)
	})
}
