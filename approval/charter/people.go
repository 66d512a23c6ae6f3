package charter

import (
	"slices"
	"strings"
	"time"

	"github.com/cordonsip/cordon/approval"
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

// CanSign says whether the people of the charter can reach its quorum, each in a role of its own, and give the opinion where one is needed: as the gate counts them, at
// some time. A deputy counts while everybody who holds the role is absent, and in no other. Whether what people sign in with has expired makes no difference, nor who is
// away now: else waiting would open the gate.
func (c Charter) CanSign() bool {
	r, err := c.GateRules()
	if err != nil {
		return true // what is not understood opens nothing
	}
	var people []approval.Holder
	advised := !r.NeedOpinion
	var deputised []string
	for _, p := range c.People {
		people = append(people, approval.Holder{Person: p.Person, Roles: p.Roles, DeputyFor: p.DeputyFor})
		advised = advised || slices.Contains(p.Roles, r.OpinionRole) || slices.Contains(p.DeputyFor, r.OpinionRole)
		deputised = append(deputised, p.DeputyFor...)
	}
	slices.Sort(deputised)
	deputised = slices.Compact(deputised)
	if len(deputised) > maxDeputised {
		return true
	}
	for which := range 1 << len(deputised) {
		if advised && approval.Together(away(people, deputised, which), r, always) >= r.Quorum {
			return true
		}
	}
	return false
}

// maxDeputised bounds the ways in which holders may be away. There are fewer roles than that.
const maxDeputised = 12

// always is a time within the absences that away makes.
var always = time.Unix(1, 0)

// away is people with everybody absent who holds one of the roles whose bit is set in which.
func away(people []approval.Holder, roles []string, which int) []approval.Holder {
	out := slices.Clone(people)
	for i := range out {
		for bit, role := range roles {
			if which&(1<<bit) != 0 && slices.Contains(out[i].Roles, role) {
				out[i].Absent = []approval.Absence{{From: time.Unix(0, 0), Until: time.Unix(2, 0)}}
			}
		}
	}
	return out
}
