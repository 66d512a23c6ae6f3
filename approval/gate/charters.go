package gate

import (
	"context"
	"fmt"
	"time"

	"github.com/cordonsip/cordon/approval"
)

// approvedChange tells the node of a change that waits for nobody any more.
func (g *Gate) approvedChange(t approval.Ticket) {
	if t.State == approval.Approved && !t.Grants() && g.c.Adopt != nil {
		g.c.Adopt(t)
	}
}

// Adopted ends an approved change of the policy: it is in force, and the entry of the log says so. from and to are what the node put in force; a ticket that says
// otherwise is not ended by it.
func (g *Gate) Adopted(ctx context.Context, ticket, from, to string, entry uint64) (approval.Ticket, error) {
	return g.change(ctx, ticket, func(now time.Time, r *approval.Record) (approval.GateChanged, error) {
		t := &r.Ticket
		switch {
		case t.State != approval.Approved || t.Grants():
			return approval.GateChanged{}, approval.Refuse(approval.RuleNotApproved, fmt.Sprintf("the ticket is %s", t.State), "only an approved change of the policy is put in force")
		case t.Plan.Change.From != from || t.Plan.Change.To != to:
			return approval.GateChanged{}, approval.Refuse(approval.RulePlanChanged, "what is in force is not what was approved", "a new ticket asks anew")
		}
		r.End(now, approval.Applied, fmt.Sprintf("the policy is in force since entry %d of the log", entry))
		return approval.GateChanged{What: approval.PutInForce, By: ruleGate, Why: r.Ticket.Why}, nil
	})
}
