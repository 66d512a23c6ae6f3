package gate

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cordonsip/cordon/approval"
)

func policyPlan() approval.Plan {
	return approval.Plan{Reason: "the file is wider", PolicyDigest: "p", FactsDigest: "f", Change: &approval.Change{From: "a", To: "b", Widenings: []string{"policy.allow: aws:us-east-1 is allowed"}}}
}

// A change of the policy is approved like everything else, lets no call through, and ends when it is in force. Nobody activates it, and no clock does.
func TestAChangeOfThePolicyIsATicket(t *testing.T) {
	for _, auto := range []bool{true, false} {
		t.Run(fmt.Sprintf("auto_activate %v", auto), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w, ctx := newWorld(t), context.Background()
				w.rules.AutoActivate = auto
				var told []approval.Ticket
				c := w.config("n1")
				c.Adopt = func(t approval.Ticket) { told = append(told, t) }
				g, err := New(c)
				if err != nil {
					t.Fatal(err)
				}
				stop := w.run(g)
				defer stop()
				first, err := g.Propose(ctx, "bo", policyPlan())
				if err != nil {
					t.Fatal(err)
				}
				next := policyPlan()
				next.Change.To = "c"
				ticket, err := g.Propose(ctx, "bo", next)
				if err != nil || ticket.ID == first.ID {
					t.Fatalf("%+v, %v", ticket, err)
				}
				if old, _ := g.Ticket(first.ID); old.State != approval.Superseded {
					t.Errorf("the ticket of an older file is %s", old.State)
				}
				if err := g.Notified(ctx, ticket.ID, "console", ""); err != nil {
					t.Fatal(err)
				}
				decide := func(person, role, hash string) error {
					_, err := g.Decide(ctx, ticket.ID, person, role, true, "read", hash, "bearer")
					return err
				}
				wantRefusal(t, decide("bo", "business_owner", ticket.PlanHash), approval.RuleRequester)
				wantRefusal(t, decide("ciso", "ciso", first.PlanHash), approval.RulePlanChanged)
				_, err = g.BreakGlass(ctx, ticket.ID, "ciso", "ciso", "now", ticket.PlanHash, "bearer")
				wantRefusal(t, err, approval.RuleGlass)
				for _, err := range []error{decide("ciso", "ciso", ticket.PlanHash), decide("md", approval.RoleDelegate, ticket.PlanHash)} {
					if err != nil {
						t.Fatal(err)
					}
				}
				if len(told) != 0 {
					t.Fatal("told before the opinion")
				}
				if _, err := g.Opine(ctx, ticket.ID, "dpo", approval.NoObjection, "", false); err != nil {
					t.Fatal(err)
				}
				if len(told) != 1 || told[0].ID != ticket.ID || told[0].State != approval.Approved || len(g.Grants()) != 0 {
					t.Fatalf("%+v, grants %v", told, g.Grants())
				}
				_, err = g.BreakGlass(ctx, first.ID, "ciso", "ciso", "now", first.PlanHash, "bearer")
				wantRefusal(t, err, approval.RuleClosed)
				_, err = g.Activate(ctx, ticket.ID, "op")
				wantRefusal(t, err, approval.RuleNotApproved)
				time.Sleep(10 * time.Second) // the clock activates grants that are stuck
				if got, _ := g.Ticket(ticket.ID); got.State != approval.Approved || len(g.Grants()) != 0 {
					t.Fatalf("%s, grants %v", got.State, g.Grants())
				}
				_, err = g.Adopted(ctx, ticket.ID, "a", "b", 7)
				wantRefusal(t, err, approval.RulePlanChanged)
				done, err := g.Adopted(ctx, ticket.ID, "a", "c", 7)
				if err != nil || done.State != approval.Applied || !strings.Contains(done.Why, "entry 7") || !done.State.Terminal() {
					t.Fatalf("%+v, %v", done, err)
				}
				_, err = g.Adopted(ctx, ticket.ID, "a", "c", 7)
				wantRefusal(t, err, approval.RuleNotApproved)

				// What was approved and could not be put in force ends with its clock.
				again, err := g.Propose(ctx, "bo", policyPlan())
				if err != nil {
					t.Fatal(err)
				}
				approveAll(t, g, again)
				time.Sleep(w.rules.ExecuteIn + time.Minute)
				if got, _ := g.Ticket(again.ID); got.State != approval.ExecutionExpired {
					t.Errorf("it is %s", got.State)
				}
			})
		})
	}
}

// approveAll gives a ticket all that it needs.
func approveAll(t *testing.T, g *Gate, ticket approval.Ticket) {
	t.Helper()
	ctx := context.Background()
	if err := g.Notified(ctx, ticket.ID, "console", ""); err != nil {
		t.Fatal(err)
	}
	for person, role := range map[string]string{"ciso": "ciso", "md": approval.RoleDelegate} {
		if _, err := g.Decide(ctx, ticket.ID, person, role, true, "read", ticket.PlanHash, "bearer"); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := g.Opine(ctx, ticket.ID, "dpo", approval.NoObjection, "", false); err != nil {
		t.Fatal(err)
	}
}
