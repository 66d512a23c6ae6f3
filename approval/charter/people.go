package charter

import (
	"slices"
	"strings"
)

// people compares who may sign in. Somebody who goes, or has less to say, makes it narrower as long as the others can still sign what widens it.
func (d *difference) people() {
	was := map[string]Person{}
	for _, p := range d.old.People {
		was[p.Person] = p
	}
	for _, p := range d.next.People {
		o, known := was[p.Person]
		at := "people " + p.Person
		if !known {
			d.add(at, "is new, with the roles %s", list(p.Roles))
			continue
		}
		if more := beyond(p.Roles, o.Roles); len(more) > 0 {
			d.add(at, "gets the roles %s", list(more))
		}
		if more := beyond(p.Scopes, o.Scopes); len(more) > 0 {
			d.add(at, "gets the scopes %s", list(more))
		}
		if later(p.Expires, o.Expires) {
			d.add(at, "may sign in for longer")
		}
		if o.Mark != p.Mark {
			d.add(at, "signs in with something else")
		}
	}
	keyed := func(p Person) bool { return len(p.Keys) > 0 }
	if slices.ContainsFunc(d.next.People, keyed) && !slices.ContainsFunc(d.old.People, keyed) {
		d.add("people", "the first keys to sign with are here, for which nobody vouches")
	}
	if d.old.CanSign() && !d.next.CanSign() {
		d.add("people", "nobody is left who could sign: the quorum of the gate, or the opinion that it needs, cannot be reached")
	}
}

// beyond are those of is that are not in was.
func beyond(is, was []string) []string {
	return slices.DeleteFunc(slices.Clone(is), func(s string) bool { return slices.Contains(was, s) })
}

func list(words []string) string {
	if len(words) == 0 {
		return "none"
	}
	return strings.Join(words, ", ")
}

// CanSign says whether the people of the charter can reach its quorum, each in a role of its own, and give the opinion where one is needed. Whether what they sign in
// with has expired makes no difference: else waiting would open the gate.
func (c Charter) CanSign() bool {
	r, err := c.GateRules()
	if err != nil {
		return true // what is not understood opens nothing
	}
	var approvers []Person
	advised := !r.NeedOpinion
	for _, p := range c.People {
		if slices.Contains(p.Roles, r.OpinionRole) {
			advised = true
			if r.Mode != "approve" {
				continue // who advises does not decide, in whatever role
			}
			p.Roles = []string{r.OpinionRole} // nor in another one, where the policy has the adviser approve
		}
		approvers = append(approvers, p)
	}
	roles := r.Roles
	if r.Mode == "approve" {
		roles = append(slices.Clone(roles), r.OpinionRole)
	}
	return advised && places(approvers, roles) >= r.Quorum
}

// places is how many roles can be filled at once, each by somebody else: a matching, one augmenting path at a time.
func places(people []Person, roles []string) int {
	holder := map[string]int{}
	var seat func(person int, tried map[string]bool) bool
	seat = func(person int, tried map[string]bool) bool {
		for _, role := range people[person].Roles {
			if tried[role] || !slices.Contains(roles, role) {
				continue
			}
			tried[role] = true
			if other, taken := holder[role]; !taken || seat(other, tried) {
				holder[role] = person
				return true
			}
		}
		return false
	}
	n := 0
	for i := range people {
		if seat(i, map[string]bool{}) {
			n++
		}
	}
	return n
}
