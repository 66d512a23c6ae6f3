package approval

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// BreakGlass judges one confirmation and, when it counts, adds it. The last one opens the grant.
func (r *Record) BreakGlass(now time.Time, d Decision) error {
	if err := r.mayBreak(now, d); err != nil {
		return err
	}
	t := &r.Ticket
	t.Glass = append(t.Glass, d)
	if len(t.Glass) < glassPeople {
		return nil
	}
	t.State, t.ActivatedAt, t.GrantUntil = BreakGlassActive, now, now.Add(min(t.Plan.GrantFor, r.Rules.GrantMax, or(r.Rules.GlassFor, glassCap), glassCap))
	if end := r.basisEnd(); !end.IsZero() && end.Before(t.GrantUntil) {
		t.GrantUntil = end
	}
	t.ReviewBy = now.Add(glassReview)
	t.Why = fmt.Sprintf("the glass was broken by %s and %s", t.Glass[0].Role, d.Role)
	return nil
}

func (r *Record) mayBreak(now time.Time, d Decision) error {
	if err := r.awaiting(now); err != nil {
		return err
	}
	if err := r.signedWell(d.Person, d.Signature); err != nil {
		return err
	}
	if !r.Ticket.Grants() {
		return &Refusal{RuleGlass, "the ticket is a change of the policy", "an emergency asks for a grant: the policy waits for its approvals"}
	}
	if r.Rules.NoGlass {
		return &Refusal{RuleGlass, "there is no break-glass here", "gate.break_glass is off: approve, deny or wait"}
	}
	if err := r.mayDeviate(d); err != nil {
		return err
	}
	t := &r.Ticket
	again := slices.ContainsFunc(t.Glass, func(o Decision) bool { return o.Person == d.Person })
	used := slices.ContainsFunc(t.Glass, func(o Decision) bool { return o.Role == d.Role })
	switch {
	case again:
		return &Refusal{RulePersonDecided, "the person confirmed it already", "it takes another person in another role"}
	case used:
		return &Refusal{RuleRoleUsed, "somebody confirmed it as " + d.Role + " already", "it takes another person in another role"}
	}
	return r.glassBearable(d)
}

// mayDeviate says whether a person may decide on the ticket at all: who breaks the glass answers to the same duties as who approves.
func (r *Record) mayDeviate(d Decision) error {
	t := &r.Ticket
	switch {
	// GDPR Art. 38(6), CJEU C-453/21: who advises does not decide, and nobody lets him in an emergency.
	case d.Role == r.Rules.OpinionRole || r.advises(d.Person):
		return &Refusal{RuleOpinionRole, r.Rules.OpinionRole + " gives an opinion and never breaks the glass", "record an opinion instead"}
	case !slices.Contains(r.Rules.Roles, d.Role):
		return &Refusal{RuleRoleNotApproving, fmt.Sprintf("the role %q does not decide on this ticket", d.Role), "roles that do: " + strings.Join(r.Rules.Roles, ", ")}
	// RTS (EU) 2024/1774 Art. 17(1)(b), 21(b): who asks carries it out, and does not confirm it.
	case d.Person == t.RequestedBy:
		return &Refusal{RuleRequester, "who asks does not break the glass", "two others must"}
	case d.PlanHash != t.PlanHash:
		return &Refusal{RulePlanChanged, "the confirmation is over another plan than the ticket's", "read the ticket again and confirm " + t.PlanHash}
	}
	if err := r.acts(d.Person, d.Role, d.At); err != nil {
		return err
	}
	return CheckText(d.Reason, true)
}

// glassBearable says whether the law bears it: a break-glass is no legal basis (GDPR Art. 44).
func (r *Record) glassBearable(d Decision) error {
	t := &r.Ticket
	if t.Plan.Basis == nil {
		return &Refusal{RuleBasis, "the ticket names no registered legal basis, and an emergency is none", "ask anew with a basis of the catalogue: cordon gate request --basis"}
	}
	if lacks := t.Plan.Basis.Lacks(d.At); len(lacks) > 0 {
		return &Refusal{RuleBasis, strings.Join(lacks, "; "), "an emergency does not complete a legal basis"}
	}
	if severity(r.opinion()) >= severity(Opinion{Word: Conditions}) {
		return &Refusal{RuleObjection, r.Rules.OpinionRole + " has answered: " + string(r.opinion().Word), "break-glass is for an answer that cannot be waited for; this one asks for more approvals"}
	}
	delegate := d.Role == RoleDelegate || slices.ContainsFunc(t.Glass, func(o Decision) bool { return o.Role == RoleDelegate })
	if r.repeated() && len(t.Glass) == glassPeople-1 && !delegate {
		return &Refusal{RuleRoleNotApproving, "the derogation is not occasional any more, so one of the two must be " + RoleDelegate, "somebody else in that role must confirm"}
	}
	return nil
}

const (
	// glassCap bounds a grant by break-glass.
	glassCap = time.Hour
	// glassReview is how long after the break the review is due.
	glassReview = 24 * time.Hour
	// glassPeople break the glass.
	glassPeople = 2
)
