package approval

import (
	"context"
	"fmt"
	"slices"
	"time"
)

// Change is a change of the policy itself, which people approve like any other plan: the digests of the charter in force and of the one that is to follow, and in words
// what gets wider. It lets no call through; once approved, the node puts it in force.
type Change struct {
	From      string   `json:"from"`
	To        string   `json:"to"`
	Widenings []string `json:"widenings"`
}

const (
	maxWidenings    = 100  // of a plan; the digest covers all of them
	maxWideningText = 8000 // bytes of all of them: the log carries the plan in each entry of the ticket
)

// Listed is the plan's list of widenings: what does not fit is counted.
func Listed(widenings []string) []string {
	total := 0
	for i, w := range widenings {
		if total += len(w); i >= maxWidenings || total > maxWideningText {
			return append(slices.Clone(widenings[:i]), fmt.Sprintf("and %d more", len(widenings)-i))
		}
	}
	return filled(widenings)
}

// clone is a copy; nil stays nil.
func (c *Change) clone() *Change {
	if c == nil {
		return nil
	}
	return &Change{c.From, c.To, filled(c.Widenings)}
}

// charterProposal is the plan of a change as people will sign it: it has no scope and no grant.
func charterProposal(p Plan) (Plan, error) {
	c := p.Change
	switch {
	case len(p.Scope.Trunks)+len(p.Scope.Groups)+len(p.Scope.Regions)+len(p.Scope.Country)+p.Scope.MaxCalls > 0 || p.GrantFor != 0:
		return p, &Refusal{RuleScope, "a change of the policy lets no calls through", "propose the change without a scope"}
	case c.From == "" || c.To == "" || c.From == c.To || len(c.Widenings) == 0:
		return p, &Refusal{RulePlan, "the change does not say from what to what, or what gets wider", "name both digests and the widenings"}
	}
	if err := p.bounded(); err != nil {
		return p, err
	}
	return p, nil
}

// grants says whether an approved ticket goes live as a grant.
func (t *Ticket) grants() bool { return t.Plan.Change == nil }

// approvedChange tells the node of a change that waits for nobody any more.
func (g *Gate) approvedChange(t Ticket) {
	if t.State == Approved && !t.grants() && g.c.Adopt != nil {
		g.c.Adopt(t)
	}
}

// Adopted ends an approved change of the policy: it is in force, and the entry of the log says so. from and to are what the node put in force; a ticket that says
// otherwise is not ended by it.
func (g *Gate) Adopted(ctx context.Context, ticket, from, to string, entry uint64) (Ticket, error) {
	return g.change(ctx, ticket, func(now time.Time, r *Record) (GateChanged, error) {
		t := &r.Ticket
		switch {
		case t.State != Approved || t.grants():
			return GateChanged{}, &Refusal{RuleNotApproved, fmt.Sprintf("the ticket is %s", t.State), "only an approved change of the policy is put in force"}
		case t.Plan.Change.From != from || t.Plan.Change.To != to:
			return GateChanged{}, &Refusal{RulePlanChanged, "what is in force is not what was approved", "a new ticket asks anew"}
		}
		r.end(now, Applied, fmt.Sprintf("the policy is in force since entry %d of the log", entry))
		return GateChanged{What: PutInForce, By: ruleGate, Why: r.Ticket.Why}, nil
	})
}
