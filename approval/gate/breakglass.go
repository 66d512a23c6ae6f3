package gate

import (
	"context"
	"time"

	"github.com/cordonsip/cordon/approval"
)

// BreakGlass records that a person confirms an emergency change on a ticket that waits. The second one, another person in another role, opens the grant at once. It
// shortens procedure (waiting for the quorum, the order of the opinion) and never law: told first holds, the basis must be registered and complete, what the policy
// denies has no ticket that waits, and the opinion and a review are owed within 24 h.
func (g *Gate) BreakGlass(ctx context.Context, ticket, person, role, reason, planHash, auth string) (approval.Ticket, error) {
	who, err := g.settings.Load().person(person)
	if err != nil {
		return approval.Ticket{}, err
	}
	return g.confirm(ctx, ticket, func(now time.Time, _ *approval.Record) (approval.Decision, error) {
		return approval.Decision{Person: who, Role: role, Approve: true, Reason: reason, PlanHash: planHash, Auth: cut(auth), At: now}, nil
	})
}

// confirm records the confirmation that word makes of a ticket as it stands.
func (g *Gate) confirm(ctx context.Context, ticket string, word func(now time.Time, r *approval.Record) (approval.Decision, error)) (approval.Ticket, error) {
	if err := g.begin(ctx); err != nil {
		return approval.Ticket{}, err
	}
	defer g.leave()
	t, err := g.apply(ctx, ticket, func(now time.Time, r *approval.Record) (approval.GateChanged, error) {
		d, err := word(now, r)
		if err == nil {
			err = r.BreakGlass(now, d)
		}
		if err != nil {
			return approval.GateChanged{}, err
		}
		if r.Ticket.State == approval.BreakGlassActive {
			if err := g.openQuota(ctx, r); err != nil {
				return approval.GateChanged{}, err
			}
		}
		return approval.GateChanged{What: approval.BrokenGlass, By: d.Person, Decision: &d, Why: d.Reason}, nil
	})
	if err == nil && t.State == approval.BreakGlassActive {
		g.opened(ctx, t)
	}
	return t, err
}
