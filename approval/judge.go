package approval

import (
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode/utf8"
)

// maxOpinions bounds the opinions of a ticket.
const maxOpinions = 64

// awaiting refuses a word on a ticket that does not wait for one.
func (r *Record) awaiting(now time.Time) error {
	t := &r.Ticket
	switch {
	case t.State == TimedOut, t.State == ExecutionExpired, t.State == Expired:
		return &Refusal{RuleExpired, fmt.Sprintf("the ticket is %s since %s: %s", t.State, When(t.EndedAt), t.Why), "a new ticket asks anew"}
	case t.State == Approved, t.State == Active:
		return &Refusal{RuleClosed, fmt.Sprintf("the ticket is %s already", t.State), "revoke ends it"}
	case t.State != Pending:
		return &Refusal{RuleClosed, fmt.Sprintf("the ticket is %s: %s", t.State, t.Why), "a new ticket asks anew"}
	case !now.Before(t.ApproveBy):
		return &Refusal{RuleExpired, fmt.Sprintf("the approval clock ran out at %s", When(t.ApproveBy)), "a new ticket asks anew"}
	case t.NotifiedAt.IsZero():
		return &Refusal{RuleNotTold, "people have not been told of the ticket yet", "a word counts once a channel delivered, or its failure is on record"}
	}
	return nil
}

// Decide judges one decision and, when it counts, adds it and moves the ticket.
func (r *Record) Decide(now time.Time, d Decision) error {
	if err := r.mayDecide(now, d); err != nil {
		return err
	}
	t := &r.Ticket
	t.Decisions = append(t.Decisions, d)
	if !d.Approve {
		r.End(now, DeniedByPeople, "denied by "+d.Role+": "+d.Reason)
		return nil
	}
	r.complete(now)
	return nil
}

func (r *Record) mayDecide(now time.Time, d Decision) error {
	if err := r.awaiting(now); err != nil {
		return err
	}
	if err := r.signedWell(d.Person, d.Signature); err != nil {
		return err
	}
	t := &r.Ticket
	decided := slices.IndexFunc(t.Decisions, func(o Decision) bool { return o.Person == d.Person })
	used := slices.ContainsFunc(t.Decisions, func(o Decision) bool { return o.Approve && o.Role == d.Role })
	switch {
	// GDPR Art. 38(6), CJEU C-453/21: the data protection officer advises and does not decide, in whatever role.
	// Where the policy has him approve (dpo_mode), he does as that officer alone.
	case (d.Role == r.Rules.OpinionRole || r.advises(d.Person)) && (r.Rules.Mode != ModeApprove || d.Role != r.Rules.OpinionRole):
		return &Refusal{RuleOpinionRole, r.Rules.OpinionRole + " gives an opinion and never decides", "record an opinion instead"}
	case !slices.Contains(r.Rules.deciding(), d.Role):
		return &Refusal{RuleRoleNotApproving, fmt.Sprintf("the role %q does not decide on this ticket", d.Role), "roles that do: " + strings.Join(r.Rules.deciding(), ", ")}
	// RTS (EU) 2024/1774 Art. 17(1)(b), 21(b): duties are apart.
	case d.Person == t.RequestedBy:
		return &Refusal{RuleRequester, "who asks does not decide", "the requester may withdraw the ticket"}
	case decided >= 0:
		return &Refusal{RulePersonDecided, "the person decided at " + When(t.Decisions[decided].At), "a decision is never edited"}
	case d.Approve && used:
		return &Refusal{RuleRoleUsed, "somebody approved as " + d.Role + " already", "the quorum needs distinct people in distinct roles: " + strings.Join(r.rolesLeft(), ", ")}
	case d.PlanHash != t.PlanHash:
		return &Refusal{RulePlanChanged, "the decision is over another plan than the ticket's", "read the ticket again and decide over " + t.PlanHash}
	}
	if err := r.acts(d.Person, d.Role, now); err != nil {
		return err
	}
	return CheckText(d.Reason, true)
}

// CheckText refuses texts that say nothing or too much.
func CheckText(text string, needed bool) error {
	switch {
	case needed && strings.TrimSpace(text) == "":
		return &Refusal{RuleReason, "a reason is needed", "say why, in a sentence an auditor understands"}
	case len(text) > maxText || !utf8.ValidString(text):
		return &Refusal{RuleTooLong, "the text is too long or is not valid UTF-8", fmt.Sprintf("at most %d bytes", maxText)}
	}
	return nil
}

// Opine judges one opinion and, when it counts, adds it and moves the ticket.
func (r *Record) Opine(now time.Time, o Opinion) error {
	t := &r.Ticket
	// What was opened by break-glass is advised on afterwards.
	if err := r.awaiting(now); err != nil && t.State != BreakGlassActive && t.State != ReviewDue && t.State != Escalated {
		return err
	}
	if err := r.signedWell(o.Person, o.Signature); err != nil && o.Word != NotReached {
		return err
	}
	switch o.Word {
	case NoObjection, Objection, Conditions:
		if err := r.acts(o.Person, r.Rules.OpinionRole, now); err != nil {
			return err
		}
	case NotReached:
		// Anybody may put on record that the officer could not be reached: it is no opinion, and the ticket goes on waiting.
	default:
		return &Refusal{RuleUnknownOpinion, fmt.Sprintf("%q is no opinion", o.Word), "one of no_objection, objection, conditions, not_reached"}
	}
	if o.Person == t.RequestedBy && o.Word != NotReached {
		return &Refusal{RuleRequester, "who asks does not advise on it", "another person in the role " + r.Rules.OpinionRole + " must"}
	}
	if err := CheckText(o.Text, o.Word == Objection || o.Word == Conditions); err != nil {
		return err
	}
	if len(t.Opinions) >= maxOpinions {
		return &Refusal{RuleTooMany, fmt.Sprintf("the ticket has %d opinions", len(t.Opinions)), "withdraw it and ask anew"}
	}
	o.Met, o.Before = o.Met && o.Word == Conditions, len(t.Decisions)
	t.Opinions = append(t.Opinions, o)
	if t.State == BreakGlassActive && o.Word == Objection {
		r.End(now, ReviewDue, r.Rules.OpinionRole+" objects to the break-glass")
	}
	r.complete(now)
	return nil
}

// opinion is the advice in force: of each adviser the last word, and of several advisers the strictest. The zero Opinion is none.
func (r *Record) opinion() Opinion {
	last := map[string]Opinion{}
	for _, o := range r.Ticket.Opinions {
		if o.Word != NotReached {
			last[o.Person] = o
		}
	}
	var strictest Opinion
	for _, o := range last {
		if a, b := severity(o), severity(strictest); a > b || a == b && o.At.After(strictest.At) {
			strictest = o
		}
	}
	return strictest
}

func severity(o Opinion) int {
	switch {
	case o.Word == Objection:
		return 4
	case o.Word == Conditions && !o.Met:
		return 3
	case o.Word == Conditions:
		return 2
	case o.Word == NoObjection:
		return 1
	}
	return 0
}

// wantsOpinion says whether the ticket waits for advice that would let it through. An objection is advice: it asks for people, not for words.
func (r *Record) wantsOpinion() bool {
	switch s := severity(r.opinion()); s {
	case 0:
		return r.Rules.NeedOpinion && !approvedAs(r.approvals(), r.Rules.OpinionRole)
	default:
		return s == 3
	}
}

func (r *Record) approvals() []Decision {
	return slices.DeleteFunc(filled(r.Ticket.Decisions), func(d Decision) bool { return !d.Approve })
}

func approvedAs(approvals []Decision, role string) bool {
	return slices.ContainsFunc(approvals, func(d Decision) bool { return d.Role == role })
}

// rolesLeft are the roles that have not approved yet.
func (r *Record) rolesLeft() []string {
	return slices.DeleteFunc(r.Rules.deciding(), func(role string) bool {
		return slices.ContainsFunc(r.Ticket.Decisions, func(d Decision) bool { return d.Approve && d.Role == role })
	})
}

// Missing says in words what still stands between the ticket and its next good state; nothing for one that is live or over.
func (r *Record) Missing() []string {
	t := &r.Ticket
	switch t.State {
	case Pending:
		out := []string{}
		if t.NotifiedAt.IsZero() {
			out = append(out, "people must have been told")
		}
		return slices.Concat(out, r.missingBasis(), r.missingApprovals(), r.missingOpinion())
	case Approved:
		if !t.Grants() {
			return []string{"that the node puts it in force, by " + When(t.ExecuteBy)}
		}
		if r.Rules.AutoActivate {
			return []string{"the activation, by " + When(t.ExecuteBy)}
		}
		return []string{"the activation by somebody who did not approve, by " + When(t.ExecuteBy)}
	}
	return r.missingReview()
}

func (r *Record) missingApprovals() []string {
	approvals, need := r.approvals(), r.Rules.Quorum
	advice := r.opinion()
	if advice.Word != Objection {
		var out []string
		if len(approvals) < need {
			out = append(out, fmt.Sprintf("%s by other people, each in a role of its own: %s", count(need-len(approvals), "approval"), strings.Join(r.rolesLeft(), ", ")))
		}
		if r.repeated() && !approvedAs(approvals, RoleDelegate) {
			out = append(out, "the approval of "+RoleDelegate+", because the derogation is not occasional any more")
		}
		return out
	}
	// An objection is no veto, but it takes a third approver, the management body's delegate among them, and a reason given in its knowledge.
	need++
	var out []string
	if len(approvals) < need {
		out = append(out, fmt.Sprintf("%s by other people, because of the objection: %s", count(need-len(approvals), "approval"), strings.Join(r.rolesLeft(), ", ")))
	}
	if (r.repeated() || slices.Contains(r.Rules.Roles, RoleDelegate)) && !approvedAs(approvals, RoleDelegate) {
		out = append(out, "the approval of "+RoleDelegate+", because of the objection")
	}
	if len(approvals) <= advice.Before {
		out = append(out, "an approval given in knowledge of the objection, with the reason for deviating from it")
	}
	return out
}

func (r *Record) missingOpinion() []string {
	role := r.Rules.OpinionRole
	switch {
	case !r.wantsOpinion():
		return nil
	case r.opinion().Word == Conditions:
		return []string{"the confirmation by " + role + " that the conditions are met"}
	case len(r.Ticket.Opinions) > 0:
		return []string{"the opinion of " + role + ", who could not be reached so far"}
	}
	return []string{"the opinion of " + role}
}

func count(n int, what string) string {
	if n == 1 {
		return "1 more " + what
	}
	return fmt.Sprintf("%d more %ss", n, what)
}

// complete moves a pending ticket to APPROVED when nothing is missing.
func (r *Record) complete(now time.Time) {
	if r.Ticket.State != Pending || len(r.Missing()) > 0 {
		return
	}
	t := &r.Ticket
	t.State, t.ExecuteBy = Approved, now.Add(r.Rules.ExecuteIn)
	t.Why = fmt.Sprintf("%d approvals in distinct roles", len(r.approvals()))
	if o := r.opinion(); o.Word != "" {
		t.Why += fmt.Sprintf(", %s: %s", r.Rules.OpinionRole, o.Word)
	}
}

// End closes the ticket. What was opened by break-glass owes its review, however it ends; so does a grant that carried calls, in its state.
func (r *Record) End(now time.Time, s State, why string) {
	t := &r.Ticket
	switch t.State {
	case BreakGlassActive:
		s = ReviewDue
	case Active:
		if t.Spent > 0 {
			t.ReviewBy = now.Add(or(r.Rules.ReviewIn, reviewIn))
		}
	}
	t.State, t.EndedAt, t.Why = s, now, why
}

// Ring ends the ticket whose clock ran out, and says what that is.
func (r *Record) Ring(now time.Time) What {
	t := &r.Ticket
	if b := t.Plan.Basis; b != nil && b.over(now) && t.State.Open() {
		r.End(now, Invalidated, "the legal basis "+b.ID+" ended at "+When(b.Until))
		return Invalidation
	}
	switch t.State {
	case Pending:
		r.End(now, TimedOut, "the approval clock ran out and silence denies: "+strings.Join(r.Missing(), "; "))
	case Approved:
		r.End(now, ExecutionExpired, "the execution clock ran out")
	case Active, BreakGlassActive:
		r.End(now, Expired, "the grant's time is over")
	case ReviewDue:
		t.State, t.Why = Escalated, "the review was due by "+When(t.ReviewBy)+": "+strings.Join(r.Missing(), "; ")
		return Escalation
	}
	return Clock
}

// Activate makes the grant. by is a pseudonym or a rule.
func (r *Record) Activate(now time.Time, by string) error {
	t := &r.Ticket
	switch {
	case t.State != Approved:
		return &Refusal{RuleNotApproved, fmt.Sprintf("the ticket is %s", t.State), "only an approved ticket goes live"}
	case !t.Grants():
		return &Refusal{RuleNotApproved, "the ticket is a change of the policy, which nobody activates", "the node puts it in force once it is approved"}
	case r.IsDue(now):
		return &Refusal{RuleExpired, "the execution clock ran out at " + When(t.ExecuteBy), "a new ticket asks anew"}
	case strings.HasPrefix(by, ByRule):
	// RTS (EU) 2024/1774 Art. 17(1)(b): who approves does not implement.
	case slices.ContainsFunc(t.Decisions, func(d Decision) bool { return d.Person == by }):
		return &Refusal{RuleImplementer, "who approved does not activate", "somebody else must"}
	case by != t.RequestedBy && !r.HoldsAny(by, append(filled(r.Rules.Roles), RoleOperator)...):
		return &Refusal{RuleRoleNotHeld, "the person may not activate", "the requester, an " + RoleOperator + " or an approving role may"}
	case r.advises(by):
		return &Refusal{RuleOpinionRole, r.Rules.OpinionRole + " advises and does not carry out", "somebody else must"}
	}
	if h := r.holder(by); h != nil {
		if a, away := h.Away(now); away {
			return &Refusal{RuleAbsent, "the person is entered as absent until " + When(a.Until), "somebody who is present must"}
		}
	}
	t.State, t.ActivatedAt, t.GrantUntil = Active, now, now.Add(min(t.Plan.GrantFor, r.Rules.GrantMax, grantCap))
	if end := r.basisEnd(); !end.IsZero() && end.Before(t.GrantUntil) {
		t.GrantUntil = end
	}
	t.Why = "activated"
	return nil
}

// When writes a time for people.
func When(t time.Time) string { return t.UTC().Format(time.RFC3339) }
