package approval

import (
	"fmt"
	"slices"
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

// Grants says whether an approved ticket goes live as a grant.
func (t *Ticket) Grants() bool { return t.Plan.Change == nil }
