package approval

import (
	"fmt"
	"slices"
	"time"
)

// Absence is a time in which a person does not count: From up to, but not including, Until.
type Absence struct {
	From  time.Time `json:"from"`
	Until time.Time `json:"until"`
}

func (a Absence) covers(at time.Time) bool { return !at.Before(a.From) && at.Before(a.Until) }

// away gives the absence that covers at.
func (h *Holder) away(at time.Time) (Absence, bool) {
	i := slices.IndexFunc(h.Absent, func(a Absence) bool { return a.covers(at) })
	if i < 0 {
		return Absence{}, false
	}
	return h.Absent[i], true
}

// holder is a person of r, or nil.
func (r *Record) holder(person string) *Holder { return holderOf(r.People, person) }

func holderOf(people []Holder, person string) *Holder {
	if i := slices.IndexFunc(people, func(h Holder) bool { return h.Person == person }); i >= 0 {
		return &people[i]
	}
	return nil
}

// holds says whether person has role in the people of r, or deputises for it, present or not.
func (r *Record) holds(person, role string) bool {
	h := r.holder(person)
	return h != nil && (slices.Contains(h.Roles, role) || slices.Contains(h.DeputyFor, role))
}

func (r *Record) holdsAny(person string, roles ...string) bool {
	return slices.ContainsFunc(roles, func(role string) bool { return r.holds(person, role) })
}

// acts says why person may not act in role at a time: who is absent does not count, and a deputy counts while nobody who holds the role is present.
func (r *Record) acts(person, role string, at time.Time) error {
	if !r.holds(person, role) {
		return &Refusal{RuleRoleNotHeld, "the person did not hold the role " + role + " when the ticket was opened", "act in a role that was held then"}
	}
	if a, away := r.holder(person).away(at); away {
		return &Refusal{RuleAbsent, "the person is entered as absent until " + clock(a.Until), "a deputy acts, or the entry is changed and a new ticket asks anew"}
	}
	if !mayAct(r.People, person, role, at) {
		return &Refusal{RuleDeputy, fmt.Sprintf("the person deputises for %s, and somebody who holds the role is not absent", role), "the holder acts; a deputy does while every holder is absent"}
	}
	return nil
}

// mayAct says whether person is present and has role, or deputises for holders who are all absent.
func mayAct(people []Holder, person, role string, at time.Time) bool {
	h := holderOf(people, person)
	if h == nil {
		return false
	}
	if _, away := h.away(at); away {
		return false
	}
	if slices.Contains(h.Roles, role) {
		return true
	}
	present := func(o Holder) bool {
		_, away := o.away(at)
		return !away && slices.Contains(o.Roles, role)
	}
	return slices.Contains(h.DeputyFor, role) && !slices.ContainsFunc(people, present)
}
