package routing

import (
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/cordonsip/cordon/approval"
	"github.com/cordonsip/cordon/sovereign"
)

// stricter gives the ruling that binds: the lower verdict, and among permits the one that stands on the weaker ground, so that receipts name the
// exception and not the rule. Until is the earlier of both.
func stricter(a, b *sovereign.Ruling) *sovereign.Ruling {
	until := a.Until
	if until.IsZero() || (!b.Until.IsZero() && b.Until.Before(until)) {
		until = b.Until
	}
	if b.Verdict < a.Verdict || (b.Verdict == a.Verdict && groundRank(b.Ground) < groundRank(a.Ground)) {
		a = b
	}
	if a.Until.Equal(until) {
		return a
	}
	c := *a
	c.Until = until
	return &c
}

// groundRank orders permits, the most exceptional first.
func groundRank(g sovereign.Ground) int {
	switch g {
	case sovereign.GroundGrant:
		return 0
	case sovereign.GroundEmergency:
		return 1
	case sovereign.GroundAdequateConditional:
		return 2
	case sovereign.GroundAdequate:
		return 3
	}
	return 4
}

// lawful says whether the rulings on one party (and one of its addresses) let this call through, and under which grant. Permits by themselves do. Where
// the policy permits only because of a grant, one live grant must cover this very trunk and group and every region, and have calls left. strictest is the
// one of them that binds; what comes back is what counts in the end. A hold stays a hold, even when the gate knows a grant that the policy snapshot does
// not know yet: the fence would refuse it.
func (p *planner) lawful(party string, addr netip.AddrPort, gate bool, strictest *sovereign.Ruling, all ...*sovereign.Ruling) (r *sovereign.Ruling, grant string, ok bool) {
	if !strictest.Permitted() {
		return strictest, "", false
	}
	if !slices.ContainsFunc(all, func(r *sovereign.Ruling) bool { return r.Ground == sovereign.GroundGrant }) {
		return strictest, "", true
	}
	p.once = true // how many calls a grant has left is another answer each time
	trunk, group := p.req.From, party
	if p.dir == Outbound {
		trunk, group = party, p.req.From
	}
	why := "held: no grant reaches the on-hold queue: "
	if gate {
		g, used := cover(p.grants, p.left, trunk, group, p.req.At, all)
		if g != nil {
			c := *strictest
			c.Grant = g.ID
			if c.Until.IsZero() || g.Until.Before(c.Until) {
				c.Until = g.Until
			}
			return &c, g.ID, true
		}
		why = "held: no live grant covers this trunk, group and region: "
		if used {
			why = "held: the calls of its grant are used up: "
		}
	}
	c := *p.ungranted(party, addr)
	c.Verdict, c.Why, c.Generation = sovereign.Hold, why+c.Why, p.law.Generation()
	return &c, "", false
}

// ungranted is the ruling as it would be if no grant were live: it names the ground on which the place is held.
func (p *planner) ungranted(party string, addr netip.AddrPort) *sovereign.Ruling {
	bare := p.law.Bare()
	signalling, _ := bare.JudgeParty(party, sovereign.Signalling, p.plan.Purpose, p.req.At)
	media, _ := bare.JudgeParty(party, sovereign.Media, p.plan.Purpose, p.req.At)
	r := stricter(signalling, media)
	if addr.IsValid() {
		address, _ := bare.Judge(p.ask(party, addr))
		r = stricter(r, address)
	}
	return r
}

// ask is the question about one address of a party.
func (p *planner) ask(party string, addr netip.AddrPort) sovereign.Ask {
	return sovereign.Ask{
		Party: party, Plane: sovereign.Signalling, Purpose: p.plan.Purpose, Addr: addr,
		Keys: p.req.Keys || p.rules.Trunks[party].Keys, At: p.req.At,
	}
}

// cover finds the live grant for a trunk, a group and the regions of all rulings that rest on a grant: the one that ends first, then the smallest id, so
// that the choice is the same for the same snapshots. used says that one would cover but has no call left.
func cover(grants []approval.Grant, left func(string) int, trunk, group string, at time.Time, all []*sovereign.Ruling) (best *approval.Grant, used bool) {
	for i := range grants {
		g := &grants[i]
		if at.Before(g.From) || !at.Before(g.Until) || !slices.Contains(g.Scope.Groups, group) || !slices.Contains(g.Scope.Trunks, trunk) || !coversRegions(g, all) {
			continue
		}
		if left(g.ID) <= 0 {
			used = true
			continue
		}
		if best == nil || g.Until.Before(best.Until) || (g.Until.Equal(best.Until) && g.ID < best.ID) {
			best = g
		}
	}
	return best, used && best == nil
}

// coversRegions compares in the text form "provider:code". An address in a prefix that several regions share has no region of its own: then the policy
// itself ruled under which grant it opens.
func coversRegions(g *approval.Grant, all []*sovereign.Ruling) bool {
	for _, r := range all {
		if r.Ground != sovereign.GroundGrant {
			continue
		}
		if r.Region.IsZero() {
			if r.Grant != g.ID {
				return false
			}
			continue
		}
		named := func(s string) bool {
			provider, code, ok := strings.Cut(s, ":")
			return ok && provider == r.Region.Provider && code == r.Region.Code
		}
		if !slices.ContainsFunc(g.Scope.Regions, named) {
			return false
		}
	}
	return true
}
