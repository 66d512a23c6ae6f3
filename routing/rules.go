package routing

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/cordonsip/cordon/sovereign"
)

// Problem is one mistake in the rules: where it stands, what is wrong, and what to do.
type Problem struct{ Where, What, Hint string }

func (p *Problem) Error() string {
	return "routing: " + p.Where + ": " + p.What + "; " + p.Hint
}

const defaultMargin = 0.2

// rules are Rules as Plan reads them: checked, indexed, immutable.
type rules struct {
	Rules
	routes    []*route
	byParty   map[string][]*route // routes that may use a party
	emergency map[string]*emergency
	numbers   map[string]bool // every emergency number of every country
}

// route is one Route with what is derived from it.
type route struct {
	Route
	onHold  OnHold
	first   int // lowest priority number of its choices
	index   map[string]int
	ordered []Choice // by priority, then as declared
}

type emergency struct {
	EmergencyRule
	numbers map[string]bool
	dial    string // what the trunk is sent when the call came by service URN alone
}

// compile checks r and indexes it. The error joins one *Problem for each mistake.
func compile(r Rules) (*rules, error) {
	c := &rules{Rules: r, byParty: make(map[string][]*route), emergency: make(map[string]*emergency), numbers: make(map[string]bool)}
	var bad problems
	if c.Margin == 0 {
		c.Margin = defaultMargin
	}
	if c.Margin < 0 || c.Margin >= 1 {
		bad.add("margin", fmt.Sprintf("%v is no share of a round-trip time", r.Margin), "give a number from 0 up to, but not including, 1, such as 0.2")
	}
	c.OnHold.Status = cmp.Or(c.OnHold.Status, 403)
	bad.onHold("on_hold", c.OnHold, r.Groups)
	bad.parties(r)
	c.addEmergency(&bad)
	names := make(map[string]bool)
	for i, one := range r.Routes {
		where := fmt.Sprintf("route %q", one.Name)
		if one.Name == "" {
			where = fmt.Sprintf("routes[%d]", i)
			bad.add(where, "it has no name", "name it; receipts and tickets call it by that")
		} else if names[one.Name] {
			bad.add(where, "the name is used twice", "rename one of them")
		}
		names[one.Name] = true
		bad.route(where, one, r)
		c.addRoute(one)
	}
	return c, errors.Join(bad...)
}

func (c *rules) addRoute(one Route) {
	rt := &route{Route: one, onHold: one.OnHold, index: make(map[string]int, len(one.To))}
	if rt.onHold == (OnHold{}) {
		rt.onHold = c.OnHold
	}
	rt.onHold.Status = cmp.Or(rt.onHold.Status, c.OnHold.Status)
	rt.Fallback = cmp.Or(rt.Fallback, FallbackApproval)
	rt.ordered = slices.Clone(one.To)
	slices.SortStableFunc(rt.ordered, func(a, b Choice) int { return cmp.Compare(a.Priority, b.Priority) })
	for i, ch := range rt.ordered {
		rt.index[ch.Party] = i
		c.byParty[ch.Party] = append(c.byParty[ch.Party], rt)
	}
	if len(rt.ordered) > 0 {
		rt.first = rt.ordered[0].Priority
	}
	c.routes = append(c.routes, rt)
}

// addEmergency checks that every country that is served has its own trunk for emergency calls.
func (c *rules) addEmergency(bad *problems) {
	for i, e := range c.Emergency {
		where := fmt.Sprintf("emergency[%d] (%s)", i, e.Country)
		t, ok := c.Trunks[e.Trunk]
		switch {
		case e.Country == "":
			bad.add(where, "it names no country", "give the ISO code of the country whose callers it serves, such as DE")
		case c.emergency[e.Country] != nil:
			bad.add(where, "the country has two rules", "keep one: emergency calls of a country leave by one trunk")
		case !ok:
			bad.add(where, fmt.Sprintf("emergency trunk %q does not exist", e.Trunk), "name a trunk that carries emergency calls of "+e.Country)
		case t.Country != e.Country:
			bad.add(where, fmt.Sprintf("trunk %q serves country %q", e.Trunk, t.Country), "emergency calls never leave their country: name a trunk of "+e.Country)
		}
		em := &emergency{EmergencyRule: e, numbers: make(map[string]bool)}
		for _, n := range e.Numbers {
			em.numbers[strings.ToLower(n)] = true
			c.numbers[strings.ToLower(n)] = true
			if !isSOS(n) && (em.dial == "" || n == universal) {
				em.dial = n
			}
		}
		em.dial = cmp.Or(em.dial, universal)
		c.emergency[e.Country] = em
	}
	for _, name := range slices.Sorted(maps.Keys(c.Trunks)) {
		c.served(bad, fmt.Sprintf("trunk %q", name), c.Trunks[name].Country)
	}
	for _, name := range slices.Sorted(maps.Keys(c.Groups)) {
		c.served(bad, fmt.Sprintf("group %q", name), c.Groups[name].Country)
	}
}

func (c *rules) served(bad *problems, where, country string) {
	if country != "" && c.emergency[country] == nil {
		bad.add(where, fmt.Sprintf("country %s has no emergency trunk", country), "add an emergency rule for "+country+" with the trunk that carries its emergency calls")
	}
}

// problems collects mistakes.
type problems []error

func (p *problems) add(where, what, hint string) { *p = append(*p, &Problem{where, what, hint}) }

func (p *problems) onHold(where string, o OnHold, groups map[string]GroupRule) {
	if o.Status != 0 && o.Status != 403 && o.Status != 603 {
		p.add(where, fmt.Sprintf("status %d", o.Status), "use 403 or 603: carriers route around a 5xx")
	}
	if _, ok := groups[o.Queue]; o.Queue != "" && !ok {
		p.add(where, fmt.Sprintf("queue %q is no edge group", o.Queue), "name a declared edge group"+near(o.Queue, groups))
	}
}

func (p *problems) parties(r Rules) {
	for _, name := range slices.Sorted(maps.Keys(r.Groups)) {
		if r.Groups[name].Region == (sovereign.Region{}) {
			p.add(fmt.Sprintf("group %q", name), "it has no region", `give provider:code, such as "aws:eu-central-1": what has no place cannot be judged`)
		}
		p.numbers(fmt.Sprintf("group %q", name), r.Groups[name].Numbers, r.Groups[name].Callers)
		if _, both := r.Trunks[name]; both {
			p.add(fmt.Sprintf("group %q", name), "a trunk has the same name", "rename one: calls are told apart by the name of the party that they come from")
		}
	}
	for _, name := range slices.Sorted(maps.Keys(r.Trunks)) {
		p.numbers(fmt.Sprintf("trunk %q", name), r.Trunks[name].Numbers, r.Trunks[name].Callers)
	}
}

func (p *problems) route(where string, one Route, r Rules) {
	if one.Direction != Inbound && one.Direction != Outbound {
		p.add(where, fmt.Sprintf("direction %q", one.Direction), "use inbound (carrier to contact centre) or outbound")
		return
	}
	trunks, groups := slices.Sorted(maps.Keys(r.Trunks)), slices.Sorted(maps.Keys(r.Groups))
	from, to, fromKind, toKind := trunks, groups, "trunk", "edge group"
	if one.Direction == Outbound {
		from, to, fromKind, toKind = groups, trunks, toKind, fromKind
	}
	for _, f := range one.From {
		if !slices.Contains(from, f) {
			p.add(where, fmt.Sprintf("from: %q is no %s", f, fromKind), "name one of: "+strings.Join(from, ", "))
		}
	}
	if len(one.To) == 0 {
		p.add(where, "it leads nowhere", "list at least one "+toKind+" under to")
	}
	seen := make(map[string]bool)
	for _, ch := range one.To {
		switch {
		case !slices.Contains(to, ch.Party):
			p.add(where, fmt.Sprintf("to: %q is no %s", ch.Party, toKind), "name one of: "+strings.Join(to, ", "))
		case seen[ch.Party]:
			p.add(where, fmt.Sprintf("to: %q stands there twice", ch.Party), "list each party once")
		case ch.Weight < 0 || ch.Priority < 0:
			p.add(where, fmt.Sprintf("to: %q has a negative priority or weight", ch.Party), "count from 0")
		}
		seen[ch.Party] = true
	}
	if one.Fallback != "" && one.Fallback != FallbackApproval && one.Fallback != FallbackNever {
		p.add(where, fmt.Sprintf("fallback_policy %q", one.Fallback), "use "+FallbackApproval+" or "+FallbackNever)
	}
	if one.Switch.FailbackAfter < 0 {
		p.add(where, "failback_after is negative", "give a duration such as 5m, or 0 for at once")
	}
	p.onHold(where+" on_hold", one.OnHold, r.Groups)
	p.table(where, one)
}

func near(name string, groups map[string]GroupRule) string {
	for _, g := range slices.Sorted(maps.Keys(groups)) {
		if strings.EqualFold(g, name) {
			return fmt.Sprintf("; did you mean %q?", g)
		}
	}
	return ""
}
