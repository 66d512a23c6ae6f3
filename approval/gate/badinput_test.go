package gate

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cordonsip/cordon/approval"
	"github.com/cordonsip/cordon/approval/sign"
)

// What somebody may try at the gate, on a ticket for calls and on one that changes the policy: each is refused with its message, changes nothing, and the ticket can still be
// decided.
func TestBadInputAtTheGate(t *testing.T) {
	for kind, p := range map[string]approval.Plan{"calls": plan(), "policy": policyPlan()} {
		t.Run(kind, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newSigning(t, "ic", "bo", "dpo")
				w.people[0].Keys[0].Expires = time.Now().Add(10 * time.Minute) // of ic
				g := w.gate()
				defer w.run(g)()
				stale := w.propose(g, other(p))
				ticket := w.propose(g, p)
				approve := w.statement(ticket, "business_owner", sign.Approve)
				if _, err := w.submit(g, "bo", approve); err != nil {
					t.Fatal(err)
				}
				refused := func(name, rule, message string, s sign.Statement, person string) {
					t.Helper()
					before, size := w.stored(ticket.ID), w.log.Log.Size()
					_, err := w.submit(g, person, s)
					wantRefusal(t, err, rule)
					if !strings.Contains(err.Error(), message) {
						t.Errorf("%s: %v, want %q", name, err, message)
					}
					if !w.stored(ticket.ID).Equal(before) || w.log.Log.Size() != size {
						t.Errorf("%s: it changed something", name)
					}
				}
				refused("a replayed decision", approval.RuleReplayed, "this very statement was handed in before", approve, "bo")
				hash := w.statement(ticket, "incident_commander", sign.Approve)
				hash.PlanHash = stale.PlanHash
				refused("a decision for another hash", approval.RulePlanChanged, "what was signed is over another plan, policy or law table than the ticket's", hash, "ic")
				back := w.statement(ticket, "incident_commander", sign.Approve)
				back.At = back.At.Add(-time.Hour)
				refused("a clock that is set back", approval.RuleSignedAt, "before the ticket or a later word of the same person", back, "ic")
				time.Sleep(10 * time.Minute)
				refused("an expired key", approval.RuleKeyExpired, "the key ended at 2000-01-01T00:10:00Z", w.statement(ticket, "incident_commander", sign.Approve), "ic")
				_, err := g.Decide(t.Context(), ticket.ID, "bo", "business_owner", true, "again", ticket.PlanHash, "bearer")
				wantRefusal(t, err, approval.RulePersonDecided)

				twoNames(t, w, g)
				refused("one key under two names", approval.RuleKeyShared, "the same key stands under two names", w.statement(ticket, "ciso", sign.Approve), "bo")
				if got, _ := g.Ticket(ticket.ID); len(got.Decisions) != 1 || got.State != approval.Pending {
					t.Errorf("%s with %d decisions", got.State, len(got.Decisions))
				}
			})
		})
	}
}

// other is p with something else in it.
func other(p approval.Plan) approval.Plan {
	p.Reason += ", or another one"
	if p.Change != nil {
		c := *p.Change
		c.To = "another"
		p.Change = &c
		return p
	}
	p.Scope.Groups = []string{"sin"}
	return p
}

// twoNames puts the key of bo under the name of ciso, past the configuration and the list of keys, which refuse it.
func twoNames(t *testing.T, w *signing, g *Gate) {
	t.Helper()
	g.keys.Lock()
	k := g.keys.ring[keyID("bo", 0)]
	k.Person = "p-ciso-x"
	g.keys.ring[k.ID] = k
	g.keys.Unlock()
	same := keyed("dpo")
	for i := range same {
		if same[i].ID == "ciso" {
			same[i].Keys = []approval.PersonKey{{Public: publicText("bo", 0), Expires: time.Now().AddDate(1, 0, 0)}}
		}
	}
	if err := g.Reload(w.rules, same, nil); err != nil {
		t.Fatal(err)
	}
}
