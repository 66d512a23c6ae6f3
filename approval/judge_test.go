package approval

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// say is one word: "ic+" approves as ic, "ic-" denies, "dpo:objection" and "dpo:conditions!" (met) advise, "wait" lets a minute pass.
func (w *world) say(g *Gate, t Ticket, word string) (Ticket, error) {
	switch person, advice, isAdvice := strings.Cut(word, ":"); {
	case isAdvice:
		met := strings.HasSuffix(advice, "!")
		return g.Opine(w.t.Context(), t.ID, person, OpinionWord(strings.TrimSuffix(advice, "!")), "advice", met)
	case word == "wait":
		time.Sleep(time.Minute)
		return t, nil
	default:
		person = strings.TrimRight(word, "+-")
		return g.Decide(w.t.Context(), t.ID, person, roleOf[person], strings.HasSuffix(word, "+"), "because", t.PlanHash, "bearer")
	}
}

// rulesWith are the default rules with one thing changed.
func rulesWith(edit func(r *Rules)) Rules {
	r := DefaultRules()
	edit(&r)
	return r
}

var (
	noOpinion  = rulesWith(func(r *Rules) { r.NeedOpinion = false })
	three      = rulesWith(func(r *Rules) { r.Quorum = 3 })
	tight      = rulesWith(func(r *Rules) { r.Roles = []string{"incident_commander", "business_owner"} })
	noDelegate = rulesWith(func(r *Rules) { r.Roles = []string{"incident_commander", "business_owner", "ciso"} })
)

// quorums: the quorum and the opinion, word by word. The last word's refusal, if any, is the rule.
var quorums = []struct {
	rules   Rules
	words   string
	state   State
	rule    string
	missing string // is a part of what is missing
}{
	{Rules{}, "", Pending, "", "2 more approvals by other people, each in a role of its own: incident_commander, business_owner, ciso, crisis_manager, management_body_delegate; the opinion of dpo"},
	{Rules{}, "ic+", Pending, "", "1 more approval by other people, each in a role of its own: business_owner, ciso, crisis_manager, management_body_delegate; the opinion of dpo"},
	{Rules{}, "ic+ bo+", Pending, "", "the opinion of dpo"},
	{Rules{}, "ic+ bo+ dpo:no_objection", Active, "", ""},
	{Rules{}, "dpo:no_objection ic+ bo+", Active, "", ""},
	{Rules{}, "ic+ dpo:no_objection bo+", Active, "", ""},
	{Rules{}, "dpo:no_objection", Pending, "", "2 more approvals"},
	{Rules{}, "bo+ bo2+", Pending, RuleRoleUsed, "1 more approval"},
	{Rules{}, "ic+ ic+", Pending, RulePersonDecided, "1 more approval"},
	{Rules{}, "ic+ ic-", Pending, RulePersonDecided, "1 more approval"},
	{Rules{}, "ic-", DeniedByPeople, "", ""},
	{Rules{}, "ic+ bo-", DeniedByPeople, "", ""},
	{Rules{}, "bo+ bo2-", DeniedByPeople, "", ""}, // a denial needs no role of its own
	{Rules{}, "ic- bo+", DeniedByPeople, RuleClosed, ""},
	{Rules{}, "ic+ bo+ dpo:no_objection ciso+", Active, RuleClosed, ""},
	{Rules{}, "ic+ bo+ ciso+", Pending, "", "the opinion of dpo"},
	// not_reached is no opinion and holds.
	{Rules{}, "ic+ bo+ dpo:not_reached", Pending, "", "the opinion of dpo, who could not be reached so far"},
	{Rules{}, "ic+ bo+ op:not_reached", Pending, "", "could not be reached"},
	{Rules{}, "op:not_reached dpo:no_objection ic+ bo+", Active, "", ""},
	{Rules{}, "dpo:no_objection op:not_reached ic+ bo+", Active, "", ""},
	// conditions hold until confirmed met.
	{Rules{}, "ic+ bo+ dpo:conditions", Pending, "", "the confirmation by dpo that the conditions are met"},
	{Rules{}, "ic+ bo+ dpo:conditions dpo:conditions!", Active, "", ""},
	{Rules{}, "ic+ bo+ dpo:conditions!", Active, "", ""},
	{Rules{}, "ic+ bo+ dpo:conditions dpo:not_reached", Pending, "", "conditions are met"},
	{Rules{}, "dpo:conditions! dpo:conditions ic+ bo+", Pending, "", "conditions are met"},
	{Rules{}, "ic+ bo+ dpo:conditions dpo2:no_objection", Pending, "", "conditions are met"}, // the strictest of two advisers
	{Rules{}, "dpo:no_objection dpo2:conditions! ic+ bo+", Active, "", ""},
	{Rules{}, "ic+ bo+ dpo:no_objection! ", Active, "", ""},
	// An objection forces a third approver, the delegate among them, in its knowledge.
	{Rules{}, "ic+ bo+ dpo:objection", Pending, "", "1 more approval by other people, because of the objection: ciso, crisis_manager, management_body_delegate; the approval of management_body_delegate, because of the objection; an approval given in knowledge of the objection"},
	{Rules{}, "ic+ bo+ dpo:objection ciso+", Pending, "", "the approval of management_body_delegate"},
	{Rules{}, "ic+ bo+ dpo:objection md+", Active, "", ""},
	{Rules{}, "ic+ md+ dpo:objection bo+", Active, "", ""},
	{Rules{}, "dpo:objection ic+ bo+", Pending, "", "1 more approval"},
	{Rules{}, "dpo:objection ic+ bo+ md+", Active, "", ""},
	{Rules{}, "ic+ bo+ md+ dpo:objection", Pending, "", "an approval given in knowledge of the objection, with the reason for deviating from it"},
	{Rules{}, "ic+ bo+ md+ dpo:objection wait ciso+", Active, "", ""},
	{Rules{}, "ic+ bo+ dpo:objection dpo:no_objection", Active, "", ""},                // taken back
	{Rules{}, "ic+ bo+ dpo:objection dpo2:no_objection", Pending, "", "the objection"}, // not by another
	{Rules{}, "ic+ bo+ dpo:objection md-", DeniedByPeople, "", ""},
	{tight, "ic+ bo+ dpo:objection", Pending, "", "because of the objection"}, // nobody is left who could: it holds
	{noDelegate, "ic+ bo+ dpo:objection ciso+", Active, "", ""},
	{three, "ic+ bo+ dpo:no_objection", Pending, "", "1 more approval"},
	{three, "ic+ bo+ ciso+ dpo:objection md+", Active, "", ""},
	{noOpinion, "ic+ bo+", Active, "", ""},
	{noOpinion, "dpo:objection ic+ bo+", Pending, "", "because of the objection"},
	{noOpinion, "dpo:conditions ic+ bo+", Pending, "", "conditions are met"},
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
				if (len(g.Grants()) == 1) != (c.state == Active) {
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
		wantRefusal(t, err, RuleNotTold)
		_, err = g.Opine(ctx, byPerson.ID, "dpo", NoObjection, "", false)
		wantRefusal(t, err, RuleNotTold)
		if err := g.Notified(ctx, byPerson.ID, "siem", "receiver is down"); err != nil {
			t.Fatal(err) // a failure on record is enough
		}
		before := w.log.Size()
		for _, c := range []struct {
			name, ticket, person, role, reason, hash, rule string
		}{
			{"no such ticket", "01JD0000000000000000000000", "bo", "business_owner", "why", byPerson.PlanHash, RuleUnknownTicket},
			{"no ticket at all", "gate.ticket.x", "bo", "business_owner", "why", byPerson.PlanHash, RuleUnknownTicket},
			{"a stranger", byPerson.ID, "eve", "business_owner", "why", byPerson.PlanHash, RuleUnknownPerson},
			{"a rule", byPerson.ID, "rule:routing", "business_owner", "why", byPerson.PlanHash, RuleUnknownPerson},
			{"the requester", byPerson.ID, "ic", "incident_commander", "why", byPerson.PlanHash, RuleRequester},
			{"the officer", byPerson.ID, "dpo", "dpo", "why", byPerson.PlanHash, RuleOpinionRole},
			{"the officer in another role", byPerson.ID, "both", "crisis_manager", "why", byPerson.PlanHash, RuleOpinionRole},
			{"somebody as the officer", byPerson.ID, "bo", "dpo", "why", byPerson.PlanHash, RuleOpinionRole},
			{"no approving role", byPerson.ID, "aud", "auditor", "why", byPerson.PlanHash, RuleRoleNotApproving},
			{"an operator", byPerson.ID, "op", RoleOperator, "why", byPerson.PlanHash, RuleRoleNotApproving},
			{"no role", byPerson.ID, "bo", "", "why", byPerson.PlanHash, RuleRoleNotApproving},
			{"a role of others", byPerson.ID, "bo", "ciso", "why", byPerson.PlanHash, RuleRoleNotHeld},
			{"no reason", byPerson.ID, "bo", "business_owner", " \t", byPerson.PlanHash, RuleReason},
			{"a book", byPerson.ID, "bo", "business_owner", strings.Repeat("x", maxText+1), byPerson.PlanHash, RuleTooLong},
			{"no text", byPerson.ID, "bo", "business_owner", "\xff\xfe", byPerson.PlanHash, RuleTooLong},
			{"another plan", byPerson.ID, "bo", "business_owner", "why", other.Hash(), RulePlanChanged},
			{"no plan", byPerson.ID, "bo", "business_owner", "why", "", RulePlanChanged},
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
		wantRefusal(t, err, RuleExpired)
		_, err = g.Opine(ctx, byPerson.ID, "dpo", NoObjection, "", false)
		wantRefusal(t, err, RuleExpired)
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
			word         OpinionWord
			text, rule   string
		}{
			{"a stranger", "eve", NoObjection, "", RuleUnknownPerson},
			{"not the officer", "bo", NoObjection, "", RuleRoleNotHeld},
			{"no such word", "dpo", "maybe", "x", RuleUnknownOpinion},
			{"an objection without words", "dpo", Objection, "", RuleReason},
			{"conditions without words", "dpo", Conditions, " ", RuleReason},
			{"a book", "dpo", NoObjection, strings.Repeat("x", maxText+1), RuleTooLong},
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
		_, err = g.Opine(t.Context(), ticket.ID, "dpo", NoObjection, "", false)
		wantRefusal(t, err, RuleRequester)
		w.opine(g, ticket, "dpo2", NoObjection, false)
	})
}

func TestOpinionsAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		g := w.gate("n1")
		ticket := w.propose(g, plan())
		for range maxOpinions {
			w.opine(g, ticket, "op", NotReached, false)
		}
		_, err := g.Opine(t.Context(), ticket.ID, "op", NotReached, "", false)
		wantRefusal(t, err, RuleTooMany)
	})
}
