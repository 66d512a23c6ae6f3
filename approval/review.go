package approval

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// PostReview is what somebody who decided nothing found afterwards: RTS (EU) 2024/1774 Art. 17(1)(g), DORA Art. 13(2).
type PostReview struct {
	Person  string    `json:"by"` // pseudonym
	Role    string    `json:"role"`
	At      time.Time `json:"at"`
	Lawful  bool      `json:"lawful"`
	Updated bool      `json:"record_of_processing_updated"` // GDPR Art. 30, 49(6)
	Lessons string    `json:"lessons"`
}

// RoleAuditor may review and decides nothing.
const RoleAuditor = "auditor"

// Review judges a review and, when it counts, adds it.
func (r *Record) Review(v PostReview) error {
	t := &r.Ticket
	switch {
	case t.State.Open():
		return &Refusal{RuleNotEnded, fmt.Sprintf("the ticket is %s", t.State), "a grant is reviewed when it is over"}
	case t.Review != nil:
		return &Refusal{RuleReviewed, "it was reviewed at " + When(t.Review.At), "a review is never edited"}
	case !r.OwesReview():
		return &Refusal{RuleNothingPassed, "no call passed under the ticket", "only a grant that carried calls is reviewed, and every break-glass"}
	case r.advises(v.Person):
		return &Refusal{RuleOpinionRole, r.Rules.OpinionRole + " advises and reviews no advice", "record an opinion instead"}
	// RTS (EU) 2024/1774 Art. 17(1)(b), (g): who decided does not say whether it was right.
	case v.Person == t.RequestedBy || slices.ContainsFunc(slices.Concat(t.Decisions, t.Glass), func(d Decision) bool { return d.Person == v.Person }):
		return &Refusal{RuleReviewer, "who asked for it or decided on it does not review it", "an approving role or an " + RoleAuditor + " that had no part in it must"}
	case !slices.Contains(append(filled(r.Rules.Roles), RoleAuditor), v.Role) || !r.Holds(v.Person, v.Role):
		return &Refusal{RuleRoleNotHeld, fmt.Sprintf("the person does not review as %q", v.Role), "an approving role or an " + RoleAuditor + " held when the ticket was opened"}
	case len(t.Glass) >= glassPeople && severity(r.opinion()) == 0:
		return &Refusal{RuleOpinionOwed, r.Rules.OpinionRole + " has not given the opinion that is owed", "record it first: cordon gate opine"}
	}
	if err := CheckText(v.Lessons, true); err != nil {
		return err
	}
	t.Review = &v
	if t.State == ReviewDue || t.State == Escalated {
		t.State = Reviewed
		t.Why = "reviewed as " + v.Role
	}
	return nil
}

// OwesReview says whether somebody must look at the ticket afterwards and nobody did.
func (r *Record) OwesReview() bool {
	t := &r.Ticket
	switch t.State {
	case ReviewDue, Escalated:
		return t.Review == nil
	case Expired, Revoked, Invalidated, Superseded:
		return t.Review == nil && !t.ActivatedAt.IsZero() && t.Spent > 0
	}
	return false
}

// missingReview says in words what a ticket that is over still owes.
func (r *Record) missingReview() []string {
	if !r.OwesReview() {
		return []string{}
	}
	out := []string{}
	if len(r.Ticket.Glass) >= glassPeople && severity(r.opinion()) == 0 {
		out = append(out, "the opinion of "+r.Rules.OpinionRole+", owed since the glass was broken")
	}
	review := "the review by somebody who did not decide"
	if !r.Ticket.ReviewBy.IsZero() {
		review += ", by " + When(r.Ticket.ReviewBy)
	}
	return append(out, review)
}

// advises says whether a person has the adviser's office, or deputises in it.
func (r *Record) advises(person string) bool { return r.Holds(person, r.Rules.OpinionRole) }

// Warnings says what a person should know before a word on the ticket.
func (r *Record) Warnings() []string {
	var out []string
	t := &r.Ticket
	if r.Rules.Mode == ModeApprove && t.State.Open() {
		out = append(out, fmt.Sprintf("%s approves here: GDPR Art. 38(6) wants no conflict of interests in that office, and the Court of Justice found one where the officer "+
			"determines objectives and methods of processing (C-453/21)", r.Rules.OpinionRole))
	}
	if r.repeated() {
		out = append(out, fmt.Sprintf("not occasional any more: %d grants rested on this derogation within 12 months before", t.Repetitions))
	}
	if t.State == Pending && len(t.Glass) == 1 {
		out = append(out, "one of two has confirmed a break-glass, as "+t.Glass[0].Role+": another person in another role opens the grant at once")
	}
	if t.State == BreakGlassActive && severity(r.opinion()) == 0 {
		out = append(out, strings.ToLower(r.Rules.OpinionRole)+" owes an opinion, and somebody who decided nothing a review, by "+When(t.ReviewBy))
	}
	return out
}
