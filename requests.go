package cordon

import (
	"context"

	"github.com/cordonsip/cordon/admin"
	"github.com/cordonsip/cordon/approval"
	"github.com/cordonsip/cordon/routing"
	"github.com/cordonsip/cordon/sovereign"
)

// request asks the gate for a grant in a person's name. The policy is asked first: what it denies is put on record and refused, what it permits needs nobody, and
// only what it holds waits for people.
func (n *Node) request(ctx context.Context, q admin.GrantRequest, by string) (approval.Ticket, error) {
	length, err := q.For()
	if err != nil {
		return approval.Ticket{}, err
	}
	a, err := n.router.Asked(routing.Want{
		Trunks: q.Trunks, Groups: q.Groups, Regions: q.Regions, Reason: q.Reason, Alternatives: q.Alternatives, Basis: q.LegalBasis,
		MaxCalls: q.MaxCalls, GrantFor: length,
	})
	if err != nil {
		return approval.Ticket{}, err
	}
	if a.Ruling.Verdict == sovereign.Deny {
		return n.gate.Refuse(ctx, by, a.Plan, a.Ruling.Why)
	}
	return n.gate.Propose(ctx, by, a.Plan)
}
