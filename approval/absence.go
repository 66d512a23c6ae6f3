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

// Away gives the absence that covers at.
func (h *Holder) Away(at time.Time) (Absence, bool) {
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

// Holds says whether person has role in the people of r, or deputises for it, present or not.
func (r *Record) Holds(person, role string) bool {
	h := r.holder(person)
	return h != nil && (slices.Contains(h.Roles, role) || slices.Contains(h.DeputyFor, role))
}

// HoldsAny is Holds for any of roles.
func (r *Record) HoldsAny(person string, roles ...string) bool {
	return slices.ContainsFunc(roles, func(role string) bool { return r.Holds(person, role) })
}

// acts says why person may not act in role at a time: who is absent does not count, and a deputy counts while nobody who holds the role is present.
func (r *Record) acts(person, role string, at time.Time) error {
	if !r.Holds(person, role) {
		return &Refusal{RuleRoleNotHeld, "the person did not hold the role " + role + " when the ticket was opened", "act in a role that was held then"}
	}
	if a, away := r.holder(person).Away(at); away {
		return &Refusal{RuleAbsent, "the person is entered as absent until " + When(a.Until), "a deputy acts, or the entry is changed and a new ticket asks anew"}
	}
	if !MayAct(r.People, person, role, at) {
		return &Refusal{RuleDeputy, fmt.Sprintf("the person deputises for %s, and somebody who holds the role is not absent", role), "the holder acts; a deputy does while every holder is absent"}
	}
	return nil
}

// MayAct says whether person is present and has role, or deputises for holders who are all absent.
func MayAct(people []Holder, person, role string, at time.Time) bool {
	h := holderOf(people, person)
	if h == nil {
		return false
	}
	if _, away := h.Away(at); away {
		return false
	}
	if slices.Contains(h.Roles, role) {
		return true
	}
	present := func(o Holder) bool {
		_, away := o.Away(at)
		return !away && slices.Contains(o.Roles, role)
	}
	return slices.Contains(h.DeputyFor, role) && !slices.ContainsFunc(people, present)
}

// Together is the most people that can approve, each in a role of its own: a matching of people and roles, grown along augmenting paths.
func Together(people []Holder, r Rules, now time.Time) int {
	by := map[string]string{} // role to person
	var give func(h Holder, seen map[string]bool) bool
	find := func(person string) Holder { return *holderOf(people, person) }
	give = func(h Holder, seen map[string]bool) bool {
		adviser := slices.Contains(h.Roles, r.OpinionRole) || slices.Contains(h.DeputyFor, r.OpinionRole)
		for _, role := range r.deciding() {
			if seen[role] || adviser != (role == r.OpinionRole) || !MayAct(people, h.Person, role, now) {
				continue
			}
			seen[role] = true
			if other, taken := by[role]; !taken || give(find(other), seen) {
				by[role] = h.Person
				return true
			}
		}
		return false
	}
	n := 0
	for _, h := range people {
		if give(h, map[string]bool{}) {
			n++
		}
	}
	return n
}

// Holder is a person as the log knows one: a pseudonym and the roles.
type Holder struct {
	Person    string    `json:"person"`
	Roles     []string  `json:"roles"`
	DeputyFor []string  `json:"deputy_for,omitempty"`
	Absent    []Absence `json:"absent,omitempty"`
}

// Staffing says whether enough people are there to decide on a ticket that opened now.
type Staffing struct {
	Needed  int      `json:"approvers_needed"`
	Present int      `json:"approvers_present"` // the most people that can approve together, each in a role of its own
	Advised bool     `json:"opinion_possible"`
	Missing []string `json:"missing"` // in words; nobody is named
}
