package approval

import "time"

// EscalationStep is one step up while a ticket waits: after that time without a decision the role is told. It tells and decides nothing.
type EscalationStep struct {
	After time.Duration `json:"after_ns"` // since the request
	Role  string        `json:"role"`
}

// BellAt is when the next role is to be told; zero when none is.
func (r *Record) BellAt() time.Time {
	t := &r.Ticket
	if t.State != Pending || t.Escalated >= len(r.Rules.Escalate) {
		return time.Time{}
	}
	return t.RequestedAt.Add(r.Rules.Escalate[t.Escalated].After)
}

// Bells says whether the next role is to be told now.
func (r *Record) Bells(now time.Time) bool {
	at := r.BellAt()
	return !at.IsZero() && !now.Before(at) && !r.IsDue(now)
}

// Escalate takes the next step and gives the role that is told.
func (r *Record) Escalate() string {
	step := r.Rules.Escalate[r.Ticket.Escalated]
	r.Ticket.Escalated++
	return step.Role
}

// Stuck says that r should have gone live on approval and did not. The node that took the last word gets some seconds first.
func (r *Record) Stuck(now time.Time) bool {
	return r.Ticket.State == Approved && r.Rules.AutoActivate && r.Ticket.Grants() && !now.Before(r.StuckAt())
}

// activationGrace is what the node that took the last word gets at most.
const activationGrace = 5 * time.Second

// StuckAt is from when on an approved ticket counts as stuck.
func (r *Record) StuckAt() time.Time {
	return r.Ticket.ExecuteBy.Add(-r.Rules.ExecuteIn).Add(min(activationGrace, r.Rules.ExecuteIn/2))
}
