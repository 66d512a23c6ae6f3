package approval

import "time"

// EscalationStep is one step up while a ticket waits: after that time without a decision the role is told. It tells and decides nothing.
type EscalationStep struct {
	After time.Duration `json:"after_ns"` // since the request
	Role  string        `json:"role"`
}

// bellAt is when the next role is to be told; zero when none is.
func (r *Record) bellAt() time.Time {
	t := &r.Ticket
	if t.State != Pending || t.Escalated >= len(r.Rules.Escalate) {
		return time.Time{}
	}
	return t.RequestedAt.Add(r.Rules.Escalate[t.Escalated].After)
}

func (r *Record) bells(now time.Time) bool {
	at := r.bellAt()
	return !at.IsZero() && !now.Before(at) && !r.isDue(now)
}

// escalate takes the next step and gives the role that is told.
func (r *Record) escalate() string {
	step := r.Rules.Escalate[r.Ticket.Escalated]
	r.Ticket.Escalated++
	return step.Role
}
