package routing

import (
	"fmt"
	"slices"

	"github.com/cordonsip/cordon/routing/numbers"
)

// party is what is known of a trunk's or a group's numbers.
func (c *rules) party(name string) (*numbers.Plan, numbers.Callers) {
	if t, ok := c.Trunks[name]; ok {
		return t.Numbers, t.Callers
	}
	g := c.Groups[name]
	return g.Numbers, g.Callers
}

// read puts the numbers of the request into E.164, from how the party that it came from writes them. Routes, tables and rules see them so.
func (p *planner) read() {
	p.caller = p.req.Caller
	if n, _ := p.rules.party(p.req.From); n != nil {
		p.req.Called, p.req.Caller = n.Read(p.req.Called), n.Read(p.req.Caller)
	}
}

// write gives the called number as a party wants it, and the caller's where it must be another than the one that came. ok is false when the party takes no call
// of this caller.
func (p *planner) write(party string) (uri, caller string, ok bool) {
	n, callers := p.rules.party(party)
	uri, caller = p.req.Called, p.req.Caller
	if caller != "" {
		if caller, ok = callers.Take(caller); !ok {
			return "", "", false
		}
	}
	if n != nil {
		uri, caller = n.Write(uri), n.Write(caller)
	}
	if caller == p.caller {
		caller = ""
	}
	return uri, caller, true
}

// owned finds the party that the number belongs to by the route's table.
func (p *planner) owned() {
	if e, ok := p.route.Table.Find(p.req.Called, p.req.At); ok {
		p.own = e.Party
	}
}

// prefers says whether the party that owns the number goes first: not while the route has left it for another one and is not back yet.
func (p *planner) prefers(level int) bool {
	i, ok := p.route.index[p.own]
	return ok && (level == p.route.first || p.route.ordered[i].Priority >= level)
}

// numbers checks what the rules say of numbers.
func (p *problems) numbers(where string, n *numbers.Plan, c numbers.Callers) {
	if n != nil {
		if err := n.Check(); err != nil {
			p.add(where+" numbers", err.Error(), "see the reference of the configuration")
		}
	}
	if err := c.Check(); err != nil {
		p.add(where+" callers", err.Error(), "list what the contract with it permits")
	}
}

// table checks that a number table names only parties of its route.
func (p *problems) table(where string, one Route) {
	if one.Table == nil {
		return
	}
	for _, name := range one.Table.Parties() {
		if !slices.ContainsFunc(one.To, func(ch Choice) bool { return ch.Party == name }) {
			p.add(where+" table", fmt.Sprintf("%q is not among the parties of the route", name), "add it under to: what a table names must be judged and watched like the rest")
		}
	}
}

// Rules are those in force, tables included. They are not to be changed.
func (r *Router) Rules() Rules { return r.rules.Load().Rules }
