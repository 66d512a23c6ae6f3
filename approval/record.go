package approval

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/cordonsip/cordon/audit"
)

// Holder is a person as the log knows one: a pseudonym and the roles.
type Holder struct {
	Person    string    `json:"person"`
	Roles     []string  `json:"roles"`
	DeputyFor []string  `json:"deputy_for,omitempty"`
	Absent    []Absence `json:"absent,omitempty"`
}

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

// clone is a deep copy: records that are shared are never changed.
func (r *Record) clone() *Record {
	c := *r
	c.Ticket = r.Ticket.clone()
	c.Rules.Roles = filled(r.Rules.Roles)
	c.People = filled(r.People)
	c.Changes = filled(r.Changes)
	return &c
}

func (t Ticket) clone() Ticket {
	t.Plan = t.Plan.filled()
	t.Decisions = filled(t.Decisions)
	t.Opinions = filled(t.Opinions)
	t.Missing = filled(t.Missing)
	t.Notices = filled(t.Notices)
	t.Glass, t.Warnings = slices.Clone(t.Glass), slices.Clone(t.Warnings)
	return t
}

// logged is r as it stands in the log.
func (r *Record) logged() *Record {
	c := r.clone()
	c.Ticket.Entry = 0
	return c
}

// equal compares what the log says of two records.
func (r *Record) equal(o *Record) bool {
	a, errA := json.Marshal(r.logged())
	b, errB := json.Marshal(o.logged())
	return errA == nil && errB == nil && bytes.Equal(a, b)
}

func (r *Record) encode() ([]byte, error) {
	data, err := json.Marshal(r)
	if err != nil {
		return nil, fmt.Errorf("approval: writing ticket %s: %w", r.Ticket.ID, err)
	}
	return data, nil
}

func decodeRecord(id string, data []byte) (*Record, error) {
	var r Record
	if err := json.Unmarshal(data, &r); err != nil {
		return nil, fmt.Errorf("approval: reading ticket %s: %w", id, err)
	}
	if r.Ticket.ID != id {
		return nil, fmt.Errorf("approval: reading ticket %s: it says that it is %q", id, r.Ticket.ID)
	}
	return &r, nil
}

// due is when the clock of r's state runs out; zero when it has none. No open ticket outlives the legal basis that it rests on.
func (r *Record) due() time.Time {
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
	if end := r.basisEnd(); r.Ticket.State.open() && !end.IsZero() && end.Before(due) {
		due = end
	}
	return due
}

func (r *Record) isDue(now time.Time) bool {
	due := r.due()
	return !due.IsZero() && !now.Before(due)
}
