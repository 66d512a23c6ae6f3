package approval

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/cordonsip/cordon/audit"
)

// Record is a ticket with everything that judging it needs: the rules and people that were in force when it was opened. It is the value in the
// store, and, without the entry's index, part of the entry in the log, so the log alone can give every ticket back.
type Record struct {
	Ticket  Ticket   `json:"ticket"`
	Rules   Rules    `json:"rules"`
	People  []Holder `json:"people"`
	Changes []string `json:"changes"` // ids of all changes that led here, in order
	Version uint64   `json:"version"` // counts them
	Node    string   `json:"node"`    // that made the last one
}

// GateChanged is the body of gate.changed: one change of a ticket, before it took effect.
type GateChanged struct {
	Change   string      `json:"change_id"` // ULID
	Ticket   string      `json:"ticket"`
	What     What        `json:"what"`
	From     State       `json:"from,omitempty"`
	State    State       `json:"state,omitempty"`
	FromWord string      `json:"evidence_state_before,omitempty"` // the words of gate decision records
	Word     string      `json:"evidence_state,omitempty"`
	By       string      `json:"by"` // pseudonym, or "rule:<name>"
	PlanHash string      `json:"plan_hash,omitempty"`
	Decision *Decision   `json:"decision,omitempty"`
	Opinion  *Opinion    `json:"dpo_opinion,omitempty"`
	Review   *PostReview `json:"post_review,omitempty"`
	Role     string      `json:"role_asked,omitempty"` // of an escalation
	Why      string      `json:"reason,omitempty"`
	Missing  []string    `json:"missing,omitempty"`
	Voids    string      `json:"voids,omitempty"` // change that did not take effect, of NotApplied
	Record   *Record     `json:"record,omitempty"`
}

// Kind of the entry.
func (GateChanged) Kind() audit.Kind { return audit.KindGateChanged }

// Clone is a deep copy: records that are shared are never changed.
func (r *Record) Clone() *Record {
	c := *r
	c.Ticket = r.Ticket.Clone()
	c.Rules.Roles = filled(r.Rules.Roles)
	c.People = filled(r.People)
	c.Changes = filled(r.Changes)
	return &c
}

// Clone is a deep copy, in which every list is there.
func (t Ticket) Clone() Ticket {
	t.Plan = t.Plan.filled()
	t.Decisions = filled(t.Decisions)
	t.Opinions = filled(t.Opinions)
	t.Missing = filled(t.Missing)
	t.Notices = filled(t.Notices)
	t.Glass, t.Warnings = slices.Clone(t.Glass), slices.Clone(t.Warnings)
	return t
}

// Logged is r as it stands in the log.
func (r *Record) Logged() *Record {
	c := r.Clone()
	c.Ticket.Entry = 0
	return c
}

// Equal compares what the log says of two records.
func (r *Record) Equal(o *Record) bool {
	a, errA := json.Marshal(r.Logged())
	b, errB := json.Marshal(o.Logged())
	return errA == nil && errB == nil && bytes.Equal(a, b)
}

// Encode writes the value of the store.
func (r *Record) Encode() ([]byte, error) {
	data, err := json.Marshal(r)
	if err != nil {
		return nil, fmt.Errorf("approval: writing ticket %s: %w", r.Ticket.ID, err)
	}
	return data, nil
}

// DecodeRecord reads the value of the store under the ticket id.
func DecodeRecord(id string, data []byte) (*Record, error) {
	var r Record
	if err := json.Unmarshal(data, &r); err != nil {
		return nil, fmt.Errorf("approval: reading ticket %s: %w", id, err)
	}
	if r.Ticket.ID != id {
		return nil, fmt.Errorf("approval: reading ticket %s: it says that it is %q", id, r.Ticket.ID)
	}
	return &r, nil
}

// Due is when the clock of r's state runs out; zero when it has none. No open ticket outlives the legal basis that it rests on.
func (r *Record) Due() time.Time {
	due := time.Time{}
	switch r.Ticket.State {
	case Pending:
		due = r.Ticket.ApproveBy
	case Approved:
		due = r.Ticket.ExecuteBy
	case Active, BreakGlassActive:
		due = r.Ticket.GrantUntil
	case ReviewDue:
		due = r.Ticket.ReviewBy
	}
	if end := r.basisEnd(); r.Ticket.State.Open() && !end.IsZero() && end.Before(due) {
		due = end
	}
	return due
}

// IsDue says whether that time has come.
func (r *Record) IsDue(now time.Time) bool {
	due := r.Due()
	return !due.IsZero() && !now.Before(due)
}

// Grant is r as others see it, who compare it with the wall clock: ahead is by how much that is behind the gate's.
func (r *Record) Grant(ahead time.Duration) Grant {
	t := &r.Ticket
	return Grant{ID: t.ID, Scope: t.Plan.Scope.clone(), From: t.ActivatedAt.Add(-ahead), Until: t.GrantUntil.Add(-ahead), PlanHash: t.PlanHash, Entry: t.Entry}
}
