package routing

import (
	"cmp"
	"slices"

	"github.com/cordonsip/cordon/healthcheck"
	"github.com/cordonsip/cordon/sovereign"
)

// spare is a target that answers while its health keeps it shut: a hold-down, a flap cap, an open circuit.
type spare struct {
	choice Choice
	candidate
}

// Notes of hops.
const (
	noteTrial = "half-open: one call tries it"
	noteLast  = "last resort: nothing else that is permitted is left, and it answers"
)

// rank orders the targets of a party: one whose circuit is half-open stands where it would stand if it were up, so that calls get to it.
func (c *candidate) rank() int {
	if c.trial {
		return stateRank(healthcheck.Up)
	}
	return stateRank(c.status.State)
}

func (c *candidate) note() string {
	if c.trial {
		return noteTrial
	}
	return ""
}

// leads says whether one call of a party that fell goes first: it is the better choice, the route goes back to it by itself, and nothing of it is up yet.
func (p *planner) leads(v *view, level int) bool {
	s := &p.route.Switch
	if p.first != "" || v.grant != "" || v.best.Usable() || v.choice.Priority >= level || s.Manual || !s.Window.Open(p.req.At) || p.plan.Purpose != sovereign.Production {
		return false
	}
	return slices.ContainsFunc(p.cands[v.from:v.to], func(c candidate) bool { return c.trial })
}

// lastResort keeps health from refusing what the law permits. Where nothing but half-open targets is left, no call waits for another's trial; where not even
// those are, what answers is tried although its health keeps it shut. Never is anything taken that the law keeps out.
func (p *planner) lastResort() {
	if slices.ContainsFunc(p.plan.Hops, func(h Hop) bool { return !h.Trial }) {
		p.forgo()
		return
	}
	for i := range p.plan.Hops {
		p.plan.Hops[i].Trial, p.plan.Hops[i].Note = false, noteLast
	}
	slices.SortStableFunc(p.spare, func(a, b spare) int {
		return cmp.Or(cmp.Compare(a.choice.Priority, b.choice.Priority), cmp.Compare(a.status.Target.Priority, b.status.Target.Priority))
	})
	for i := range p.spare {
		s := &p.spare[i]
		uri, caller, _ := p.write(s.choice.Party)
		p.plan.Hops = append(p.plan.Hops, Hop{
			Target: s.status.Target, Party: s.choice.Party, Ruling: *s.ruling, Reason: p.reason(&view{choice: s.choice}), Within: p.within(s.choice.Party),
			URI: uri, Caller: caller, Note: noteLast + ": " + s.status.Why,
		})
	}
	p.spare = nil
}

// forgo leaves the spare targets out, with the ground of any target that is down.
func (p *planner) forgo() {
	for i := range p.spare {
		s := &p.spare[i]
		p.refuse(s.choice.Party, s.status.Target.ID(), s.ruling, GroundDown, s.status.Why)
	}
	p.spare = nil
}
