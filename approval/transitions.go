package approval

import (
	"fmt"
	"slices"
)

// What happened to a ticket. The words stand in the log: never rename one.
type What string

// What can happen.
const (
	Proposed      What = "proposed"
	RefusedByRule What = "refused_by_policy"
	Told          What = "notified"
	Decided       What = "decided"
	Opined        What = "opined"
	Activated     What = "activated"
	Withdrew      What = "withdrawn"
	Revocation    What = "revoked"
	Invalidation  What = "invalidated"
	Replaced      What = "superseded"
	Clock         What = "clock"
	QuotaSpent    What = "quota_spent"
	BrokenGlass   What = "break_glass"
	Review        What = "reviewed"
	Escalation    What = "escalated"
	PutInForce    What = "put_in_force"
	NotApplied    What = "not_applied" // an earlier entry did not take effect; it is no transition
)

// ByRule begins the name of a rule where the log says who did something; a person stands there by a pseudonym.
const ByRule = "rule:"

// ByRecovery ends grants whose primary is back.
const ByRecovery = ByRule + "auto_revoke"

// Transition is one allowed change of a ticket.
type Transition struct {
	From, To State
	What     What
	When     string // in words
}

// transitions is the whole life of a ticket: what is not here cannot happen.
var transitions = []Transition{
	{Requested, Pending, Proposed, "somebody or a rule asks, and the policy holds what is asked for"},
	{Requested, PolicyDenied, RefusedByRule, "the policy denies it: no person can open that"},

	{Pending, Pending, Told, "a channel told people, or its failure is on record"},
	{Pending, Pending, Decided, "an approval that is not yet enough"},
	{Pending, Pending, Opined, "an opinion that does not complete the ticket"},
	{Pending, Approved, Decided, "the approval that completes the quorum, the opinion being there"},
	{Pending, Approved, Opined, "the opinion that was missing, the quorum being there"},
	{Pending, DeniedByPeople, Decided, "one denial by an approving role"},
	{Pending, TimedOut, Clock, "the approval clock ran out: silence denies"},
	{Pending, Withdrawn, Withdrew, "the requester takes it back"},
	{Pending, Invalidated, Invalidation, "its instrument was struck or the policy changed"},
	{Pending, Superseded, Replaced, "the same scope was proposed with another plan"},
	{Pending, Pending, Escalation, "nobody has decided in time: the next role is told"},
	{Pending, Pending, BrokenGlass, "the first of two people confirms an emergency change"},
	{Pending, BreakGlassActive, BrokenGlass, "the second person, in another role, confirms it"},

	{Approved, Active, Activated, "on quorum, or by somebody who did not approve"},
	{Approved, Applied, PutInForce, "it was a change of the policy, and the node put it in force"},
	{Approved, ExecutionExpired, Clock, "the execution clock ran out"},
	{Approved, Withdrawn, Withdrew, "the requester takes it back"},
	{Approved, Revoked, Revocation, "somebody takes the approval away"},
	{Approved, Invalidated, Invalidation, "its instrument was struck or the policy changed"},
	{Approved, Superseded, Replaced, "the same scope was proposed with another plan"},

	{Active, Expired, Clock, "the grant's time is over"},
	{Active, Active, QuotaSpent, "the grant's calls are used up: none may follow, those that are up may finish"},
	{Active, Revoked, Revocation, "somebody takes the grant away"},
	{Active, Invalidated, Invalidation, "its instrument was struck or the policy changed"},
	{Active, Superseded, Replaced, "a newer plan for the same scope went live"},

	{BreakGlassActive, BreakGlassActive, QuotaSpent, "the grant's calls are used up: none may follow, those that are up may finish"},
	{BreakGlassActive, BreakGlassActive, Opined, "the opinion that is owed"},
	{BreakGlassActive, ReviewDue, Opined, "the adviser objects: it is over and the review is owed"},
	{BreakGlassActive, ReviewDue, Clock, "its time is over and the review is owed"},
	{BreakGlassActive, ReviewDue, Revocation, "it was ended early and the review is owed"},
	{BreakGlassActive, ReviewDue, Invalidation, "its instrument was struck or the policy changed, and the review is owed"},
	{ReviewDue, ReviewDue, Opined, "the opinion that is owed"},
	{ReviewDue, Reviewed, Review, "the review is done"},
	{ReviewDue, Escalated, Escalation, "the review is late"},
	{Escalated, Escalated, Opined, "the opinion that is owed"},
	{Escalated, Reviewed, Review, "the late review is done"},

	{Expired, Expired, Review, "the review of a grant that carried calls"},
	{Revoked, Revoked, Review, "the review of a grant that carried calls"},
	{Invalidated, Invalidated, Review, "the review of a grant that carried calls"},
	{Superseded, Superseded, Review, "the review of a grant that carried calls"},
}

// Transitions gives a copy of the table, for documents.
func Transitions() []Transition { return slices.Clone(transitions) }

// States gives every state in the order of a life.
func States() []State {
	return []State{
		Requested, PolicyDenied, Pending, Approved, Active, Expired, DeniedByPeople, TimedOut, Withdrawn, ExecutionExpired, Revoked, Invalidated, Superseded,
		BreakGlassActive, ReviewDue, Reviewed, Escalated, Applied,
	}
}

func allowed(from, to State, what What) bool {
	return slices.ContainsFunc(transitions, func(t Transition) bool { return t.From == from && t.To == to && t.What == what })
}

// Terminal says whether a ticket in s stays in it. A review may still be put on record with it: the state goes on saying how the grant ended.
func (s State) Terminal() bool {
	return !slices.ContainsFunc(transitions, func(t Transition) bool { return t.From == s && t.To != s })
}

// Open says whether s waits for people or lets traffic through.
func (s State) Open() bool { return s == Pending || s == Approved || s.Live() }

// Live says whether s lets traffic through.
func (s State) Live() bool { return s == Active || s == BreakGlassActive }

// evidence gives the word of gate decision records for a state. PENDING and APPROVED have two each: evidenceWord tells them apart.
var evidence = map[State]string{
	Requested: "requested", PolicyDenied: "decided_rejected", Pending: "requested", Approved: "decided_approved", Active: "active", Expired: "expired",
	DeniedByPeople: "decided_rejected", TimedOut: "decided_rejected", Withdrawn: "revoked", ExecutionExpired: "expired", Revoked: "revoked",
	Invalidated: "auto_revoked", Superseded: "auto_revoked", BreakGlassActive: "active", ReviewDue: "expired", Reviewed: "reviewed", Escalated: "expired",
	Applied: "active",
}

// Evidence is the word of gate decision records for s; EvidenceWord of a Record tells more.
func (s State) Evidence() string { return evidence[s] }

// EvidenceWord is the state of r in the words of gate decision records.
func (r *Record) EvidenceWord() string {
	t := &r.Ticket
	switch {
	case t.State == Pending && !t.NotifiedAt.IsZero() && r.wantsOpinion():
		return "opinion_pending"
	case t.State == Approved && !r.Rules.AutoActivate && t.Grants():
		return "armed"
	case t.State == Revoked && t.EndedBy == ByRecovery:
		return "auto_revoked"
	}
	return evidence[t.State]
}

// Step refuses a change that is not in the table. It is the last check before the log, so a mistake above it changes nothing.
func (r *Record) Step(to State, what What) error {
	if !allowed(r.Ticket.State, to, what) {
		return fmt.Errorf("approval: a ticket cannot go from %s to %s because of %q", r.Ticket.State, to, what)
	}
	return nil
}
