package routing

import (
	"cmp"
	"slices"

	"github.com/cordonsip/cordon/healthcheck"
	"github.com/cordonsip/cordon/routing/desk"
	"github.com/cordonsip/cordon/sovereign"
)

// book is what people decided; nil when nobody ever decides.
func (r *Router) book() *desk.Book {
	if r.cfg.Desk == nil {
		return nil
	}
	return r.cfg.Desk.Book()
}

// groundOf names an administrative state as plans do.
func groundOf(s desk.State) sovereign.Ground {
	switch s {
	case desk.Draining:
		return GroundDraining
	case desk.Out:
		return GroundOut
	case desk.TestOnly:
		return GroundTestOnly
	}
	return ""
}

// byHand says whether a ground is an administrative state: never a failure.
func byHand(g sovereign.Ground) bool {
	return g == GroundDraining || g == GroundOut || g == GroundTestOnly
}

// synthetic says whether the call is one of ours.
func (p *planner) synthetic() bool {
	return p.plan.Purpose == sovereign.SyntheticProbe || p.plan.Purpose == sovereign.Drill
}

// service gives the administrative state of a party.
func (p *planner) service(party string) desk.Service {
	if p.book == nil || len(p.book.Services) == 0 {
		return desk.Service{}
	}
	return p.book.Party(p.req.At, party, p.rules.region(party).String())
}

// targetService gives the administrative state of one target, by itself.
func (p *planner) targetService(t *healthcheck.Target) desk.Service {
	if p.book == nil || len(p.book.Services) == 0 {
		return desk.Service{}
	}
	region := ""
	if !t.Ruling.Region.IsZero() {
		region = t.Ruling.Region.String()
	}
	return p.book.Target(p.req.At, t.ID(), t.Party, t.Member, region)
}

// region of a party, as declared.
func (c *rules) region(party string) sovereign.Region {
	if t, ok := c.Trunks[party]; ok {
		return t.Region
	}
	return c.Groups[party].Region
}

// closed ends a plan whose caller's own party takes no new calls.
func (p *planner) closed() bool {
	s := p.service(p.req.From)
	if s.In(p.synthetic()) {
		return false
	}
	p.plan.Closed = true
	p.refuse(p.req.From, "", &sovereign.Ruling{Verdict: sovereign.Permit, Ground: groundOf(s.State)}, groundOf(s.State), s.Words())
	p.plan.Why = "no way: no new calls are taken from " + p.req.From + ": " + s.Words()
	return true
}

// preferred is the party that people want this call to go to first, and why; "" when nobody said so.
func (p *planner) preferred() (string, RouteReason) {
	if p.route == nil || p.book == nil {
		return "", ""
	}
	if m, ok := p.book.Migration(p.route.Name); ok && m.Takes(p.number()) {
		return m.Party, ReasonMigration
	}
	if pin, ok := p.book.Pin(p.route.Name); ok {
		return pin.Party, ReasonManual
	}
	return "", ""
}

// number is the one on our side of the carrier: the called one inbound, the caller's outbound. A migration keeps it where it is.
func (p *planner) number() string {
	if p.dir == Outbound {
		return cmp.Or(p.req.Caller, p.req.Called)
	}
	return p.req.Called
}

// dutiful orders emergency targets: what people took out of service is tried last, but it is tried.
func (p *planner) dutiful(c *candidate) int {
	if !p.targetService(&c.status.Target).In(false) || !p.service(c.status.Target.Party).In(false) {
		return 1
	}
	return 0
}

// planned says whether nothing but people's own decisions keeps the permitted parties of a route from being used: no failure, and no matter for the gate.
func (s *survey) planned() bool {
	hand := false
	for i := range s.refused {
		f := &s.refused[i]
		switch {
		case byHand(f.Ground):
			hand = true
		case f.Ruling.Permitted():
			return false
		}
	}
	return hand && len(s.views) == 0
}

// taken says in words that people took a party out of service, or "".
func (s *survey) taken(party string) string {
	i := slices.IndexFunc(s.refused, func(f Refused) bool { return f.Party == party && byHand(f.Ground) })
	if i < 0 {
		return ""
	}
	return s.refused[i].Why
}
