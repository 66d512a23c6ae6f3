package routing

import (
	"cmp"
	"slices"

	"github.com/cordonsip/cordon/sovereign"
)

// emergency plans a call for help. It leaves by the trunk of the caller's own country or not at all: no route, no gate, no limit, no drill and no
// failover touches it. Every target is tried, also those that are believed to be down; places that are permitted by themselves come before those that
// only the emergency row permits; what is denied stays denied. A drill or a probe may not disturb the people who answer.
func (p *planner) emergency(rule *emergency, country string) {
	if p.req.Purpose == sovereign.Drill || p.req.Purpose == sovereign.SyntheticProbe {
		p.plan.Held = true
		p.refuse("", "", &sovereign.Ruling{Ground: GroundSynthetic}, GroundSynthetic, "a synthetic call may not dial an emergency number")
		p.plan.Why = "no way: a synthetic call may not dial an emergency number"
		return
	}
	p.plan.Purpose = sovereign.EmergencyCall
	if rule == nil {
		why := "no emergency trunk is configured for country " + country
		if country == "" {
			why = "the country of " + p.req.From + " is unknown, so no emergency trunk can be chosen"
		}
		p.refuse("", "", &sovereign.Ruling{Ground: GroundNoTrunk}, GroundNoTrunk, why)
		p.plan.Why = "emergency call without a way: " + why
		return
	}
	p.plan.Route = "emergency:" + rule.Country
	p.plan.Trunk = rule.Trunk
	p.emergencyTargets(rule.Trunk)
	slices.SortStableFunc(p.cands, func(a, b candidate) int {
		return cmp.Or(cmp.Compare(exempted(a.ruling), exempted(b.ruling)), cmp.Compare(p.dutiful(&a), p.dutiful(&b)), cmp.Compare(stateRank(a.status.State), stateRank(b.status.State)),
			cmp.Compare(a.status.Target.Priority, b.status.Target.Priority), nearer(a.status.RTT, b.status.RTT), cmp.Compare(a.id, b.id))
	})
	uri := p.req.Called
	if uri == "" || isSOS(uri) {
		uri = rule.dial
	}
	caller := ""
	if n := p.rules.Trunks[rule.Trunk].Numbers; n != nil { // nobody who asks for help is left out for a number, and it stays their own
		if caller = n.Write(p.req.Caller); caller == p.caller {
			caller = ""
		}
	}
	for i := range p.cands {
		c := &p.cands[i]
		p.plan.Hops = append(p.plan.Hops, Hop{
			Target: c.status.Target, Party: rule.Trunk, Ruling: *c.ruling, Reason: ReasonEmergency, Within: p.rules.Trunks[rule.Trunk].Within, URI: uri, Caller: caller,
		})
	}
	p.plan.Why = "emergency call from " + p.req.From + ": only by trunk " + rule.Trunk + " of " + rule.Country
	if len(p.plan.Hops) == 0 {
		p.plan.Why += ", which has no target that may be contacted"
	}
}

func (p *planner) emergencyTargets(trunk string) {
	signalling, _ := p.law.JudgeParty(trunk, sovereign.Signalling, sovereign.EmergencyCall, p.req.At)
	media, _ := p.law.JudgeParty(trunk, sovereign.Media, sovereign.EmergencyCall, p.req.At)
	party := stricter(signalling, media)
	if !party.Permitted() {
		p.plan.Held = true
		p.refuse(trunk, "", party, party.Ground, party.Why)
		return
	}
	list := p.table.ByParty[trunk]
	for i := range list {
		s := &list[i]
		if !s.Target.Addr.IsValid() {
			p.refuse(trunk, s.Target.ID(), party, GroundNoTarget, s.Why)
			continue
		}
		r, _ := p.law.Judge(p.ask(trunk, s.Target.Addr))
		if !r.Permitted() {
			p.plan.Held = true
			p.refuse(trunk, s.Target.ID(), r, r.Ground, r.Why)
			continue
		}
		p.cands = append(p.cands, candidate{status: s, id: s.Target.ID(), ruling: stricter(party, r)})
	}
	if len(list) == 0 {
		p.refuse(trunk, "", party, GroundNoTarget, "no target of it is known")
	}
}

// exempted is 1 for what the emergency row alone permits. A grant counts like it: it is an exception too.
func exempted(r *sovereign.Ruling) int {
	if r.Ground == sovereign.GroundEmergency || r.Ground == sovereign.GroundGrant {
		return 1
	}
	return 0
}
