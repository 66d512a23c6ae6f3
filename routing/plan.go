package routing

import (
	"cmp"
	"net/netip"
	"slices"
	"strconv"
	"time"

	"github.com/cordonsip/cordon/approval"
	"github.com/cordonsip/cordon/healthcheck"
	"github.com/cordonsip/cordon/routing/desk"
	"github.com/cordonsip/cordon/sovereign"
)

// law is what Plan asks of a policy snapshot. The rulings that it gives are shared: nobody changes them. They hold until the time that comes with them.
type law interface {
	Judge(sovereign.Ask) (*sovereign.Ruling, time.Time)
	JudgeParty(name string, plane sovereign.Plane, purpose sovereign.Purpose, at time.Time) (*sovereign.Ruling, time.Time)
	Country(r sovereign.Region) string // "" when the region is in no table
	PolicyDigest() string
	Generation() uint64
	Bare() law // the same without any grant
}

// planner is one Plan on its way. It holds the snapshots that were read at its start and changes nothing but itself.
type planner struct {
	rules    *rules
	table    *healthcheck.Table
	law      law
	grants   []approval.Grant
	left     func(string) int
	drafts   *drafts // nil: plans are made anew
	recorder func(string) (bool, string)
	capacity func(string) bool
	active   *actives
	book     *desk.Book
	first    string // the party that people prefer for this call, and why
	firstWhy RouteReason

	req    Request
	caller string // as it came
	own    string // party that the route's number table names
	dir    Direction
	route  *route
	plan   Plan
	views  []view
	cands  []candidate
	spare  []spare // answer, and are shut all the same: the last resort
	basis
}

// view is one party that may be used: its candidates are cands[from:to].
type view struct {
	choice   Choice
	grant    string
	best     healthcheck.State
	rtt      time.Duration
	from, to int
}

// candidate is one target that may be used.
type candidate struct {
	status *healthcheck.Status
	id     string // only where targets are compared by it
	ruling *sovereign.Ruling
	grant  string
	trial  bool // half-open
}

// Plan answers req for a call that wants a way. It does no I/O, waits for nobody and is the same for the same snapshots.
func (r *Router) Plan(req Request) Plan {
	p := r.Explain(req)
	r.metrics.planned(&p)
	return p
}

// Explain is Plan for somebody who only asks: it counts as no plan.
func (r *Router) Explain(req Request) Plan {
	if req.At.IsZero() {
		req.At = time.Now()
	}
	p := r.planner(req)
	p.drafts = r.draftsFor(&p)
	p.run()
	r.mark(&p.plan)
	return p.plan
}

func (r *Router) planner(req Request) planner {
	return planner{
		rules: r.rules.Load(), table: r.table(), law: r.law(), grants: r.grants(), left: r.left,
		recorder: r.cfg.Recorder, capacity: r.cfg.Capacity, active: r.active.Load(), book: r.book(), req: req,
	}
}

func (p *planner) run() {
	p.plan.Generation, p.plan.Digest = p.law.Generation(), p.law.PolicyDigest()
	p.plan.Purpose = p.req.Purpose
	if p.req.Purpose == sovereign.EmergencyCall {
		p.plan.Purpose = sovereign.Production // only the number makes an emergency call: nobody gains its exemptions by saying so
	}
	p.plan.OnHold = p.rules.OnHold
	dir, ok := p.rules.direction(p.req.From)
	if !ok {
		p.plan.Why = "no way: " + p.req.From + " is neither a trunk nor an edge group"
		return
	}
	p.dir, p.plan.Direction = dir, dir
	if dir == Inbound {
		p.plan.Trunk = p.req.From
	} else {
		p.plan.Group = p.req.From
	}
	p.read()
	country := p.country()
	if rule, yes := p.rules.emergencyOf(&p.req, country); yes {
		p.emergency(rule, country)
		return
	}
	if p.closed() {
		return
	}
	if p.route = p.rules.match(&p.req, dir); p.route == nil {
		p.plan.Why = "no way: no " + string(dir) + " route matches the called number and domain"
		return
	}
	p.plan.Route, p.plan.OnHold, p.plan.Recording, p.plan.Overlap = p.route.Name, p.route.onHold, p.route.Recording, p.route.Overlap
	p.plan.Announce = p.route.Announce
	p.plan.Matched, _ = longest(p.route.Prefix, p.req.Called)
	p.owned()
	if p.drafts.fill(p) {
		return
	}
	p.views, p.cands = make([]view, 0, len(p.route.ordered)), make([]candidate, 0, 4*len(p.route.ordered))
	for _, ch := range p.route.ordered {
		p.consider(ch, true)
	}
	p.order()
	if len(p.cands) > 0 {
		p.plan.Hops = make([]Hop, 0, len(p.cands))
	}
	for i := range p.views {
		p.hops(&p.views[i], p.reason(&p.views[i]))
	}
	p.lastResort()
	if len(p.plan.Hops) == 0 && p.plan.OnHold.Queue != "" {
		p.queue()
	}
	p.plan.Why = p.words()
	p.drafts.keep(p)
}

// country is where the caller asks for help from.
func (p *planner) country() string {
	if p.dir == Inbound {
		return p.rules.Trunks[p.req.From].Country
	}
	g := p.rules.Groups[p.req.From]
	if g.Country != "" {
		return g.Country
	}
	return p.law.Country(g.Region)
}

// queue appends the permitted hops of the on-hold queue. No grant reaches it: the queue itself must be permitted.
func (p *planner) queue() {
	p.views, p.cands = p.views[:0], p.cands[:0]
	p.consider(Choice{Party: p.plan.OnHold.Queue}, false)
	for i := range p.views {
		p.hops(&p.views[i], ReasonAutoFailover)
	}
	p.lastResort()
}

// consider judges one party and, if it may be used, its targets. Law comes before health: what the law refuses is not even looked at.
func (p *planner) consider(ch Choice, gate bool) {
	signalling, first := p.law.JudgeParty(ch.Party, sovereign.Signalling, p.plan.Purpose, p.req.At)
	media, second := p.law.JudgeParty(ch.Party, sovereign.Media, p.plan.Purpose, p.req.At)
	p.until(first)
	p.until(second)
	ruling, _, ok := p.lawful(ch.Party, netip.AddrPort{}, gate, stricter(signalling, media), signalling, media)
	if !ok {
		p.refuse(ch.Party, "", ruling, ruling.Ground, ruling.Why)
		p.plan.Held = true
		return
	}
	if p.plan.Recording && !p.recorded(ch.Party) {
		p.plan.Held = true
		unrecorded := *ruling
		unrecorded.Verdict, unrecorded.Ground, unrecorded.Why = sovereign.Deny, sovereign.GroundRecorder, "recording is required and no permitted recorder is reachable for this party"
		p.refuse(ch.Party, "", &unrecorded, unrecorded.Ground, unrecorded.Why)
		return
	}
	if s := p.service(ch.Party); !s.In(p.synthetic()) {
		p.refuse(ch.Party, "", ruling, groundOf(s.State), s.Words())
		return
	}
	if _, _, ok := p.write(ch.Party); !ok {
		p.once = true
		p.refuse(ch.Party, "", ruling, GroundCaller, "it takes no call of this caller's number, and no substitute is set")
		return
	}
	p.parties = append(p.parties, ch.Party)
	list := p.table.ByParty[ch.Party]
	if len(list) == 0 {
		p.refuse(ch.Party, "", ruling, GroundNoTarget, "no target of it is known")
		return
	}
	from := len(p.cands)
	known := slices.ContainsFunc(list, func(s healthcheck.Status) bool { return s.State.Usable() })
	for i := range list {
		p.target(ch, &list[i], gate, known, signalling, media)
	}
	// What is permitted by itself and what only a grant opens are ordered apart, even inside one party.
	slices.SortStableFunc(p.cands[from:], func(a, b candidate) int { return cmp.Compare(a.gated(), b.gated()) })
	split := from
	for split < len(p.cands) && p.cands[split].grant == "" {
		split++
	}
	p.view(ch, from, split)
	p.view(ch, split, len(p.cands))
}

// view makes cands[from:to] of one party an item of the order.
func (p *planner) view(ch Choice, from, to int) {
	if from == to {
		return
	}
	v := view{choice: ch, grant: p.cands[from].grant, from: from, to: to, best: healthcheck.Down}
	for i := from; i < to; i++ {
		s := p.cands[i].status
		if stateRank(s.State) < stateRank(v.best) {
			v.best = s.State
		}
		if s.State.Usable() && s.RTT > 0 && (v.rtt == 0 || s.RTT < v.rtt) {
			v.rtt = s.RTT
		}
	}
	p.views = append(p.views, v)
}

func (c *candidate) gated() int {
	if c.grant != "" {
		return 1
	}
	return 0
}

func (p *planner) recorded(party string) bool {
	if p.recorder == nil {
		return false
	}
	ok, _ := p.recorder(party)
	return ok
}

// target judges one address and makes it a candidate, or says why not. known is true when some target of the party is up or degraded: then the
// ones that nobody has heard of wait for their first probe.
func (p *planner) target(ch Choice, s *healthcheck.Status, gate, known bool, signalling, media *sovereign.Ruling) {
	t, party := &s.Target, ch.Party
	ruling := stricter(signalling, media)
	if !t.Addr.IsValid() {
		p.refuse(party, t.ID(), ruling, GroundNoTarget, s.Why)
		return
	}
	address, until := p.law.Judge(p.ask(party, t.Addr))
	p.until(until)
	ruling, grant, ok := p.lawful(party, t.Addr, gate, stricter(ruling, address), signalling, media, address)
	service := p.targetService(t)
	id := p.limited(t)
	switch {
	case !ok:
		p.plan.Held = true
		p.refuse(party, t.ID(), ruling, ruling.Ground, ruling.Why)
	case !service.In(p.synthetic()):
		p.refuse(party, t.ID(), ruling, groundOf(service.State), service.Words())
	case id != "" && !p.room(id):
		p.refuse(party, id, ruling, GroundCapacity, "it carries as many calls as it may")
	case s.State == healthcheck.Down && s.Circuit == healthcheck.HalfOpen:
		p.once = true
		p.cands = append(p.cands, candidate{status: s, ruling: ruling, grant: grant, trial: true})
	case s.State == healthcheck.Down && s.Answers && grant == "":
		p.once = true
		p.spare = append(p.spare, spare{ch, candidate{status: s, ruling: ruling}})
	case s.State == healthcheck.Down:
		p.refuse(party, t.ID(), ruling, GroundDown, s.Why)
	case s.State == healthcheck.Unknown && known:
		p.refuse(party, t.ID(), ruling, GroundUnprobed, s.Why)
	default:
		p.cands = append(p.cands, candidate{status: s, ruling: ruling, grant: grant})
	}
}

func (p *planner) refuse(party, target string, r *sovereign.Ruling, g sovereign.Ground, why string) {
	p.plan.Refused = append(p.plan.Refused, Refused{Party: party, Target: target, Ruling: *r, Ground: g, Why: why})
}

// order sorts the parties: permitted by itself before a grant, known before unknown health, the level of the active party first, then priority,
// health, and weight or nearness.
func (p *planner) order() {
	level := p.level()
	p.first, p.firstWhy = p.preferred()
	if p.first == "" && p.prefers(level) {
		p.first, p.firstWhy = p.own, ReasonPrimary
	}
	key := func(v *view) [7]int {
		var k [7]int
		if !p.leads(v, level) {
			k[0] = 1
		}
		if v.grant != "" {
			k[1] = 1
		}
		if !v.best.Usable() {
			k[2] = 1
		}
		if p.first != "" && v.choice.Party != p.first {
			k[3] = 1
		}
		if v.choice.Priority != level {
			k[4] = 1
		}
		k[5] = v.choice.Priority
		k[6] = stateRank(v.best)
		return k
	}
	slices.SortStableFunc(p.views, func(a, b view) int {
		ka, kb := key(&a), key(&b)
		return slices.Compare(ka[:], kb[:])
	})
	runs(p.views, func(a, b *view) bool { return key(a) == key(b) }, func(run []view) {
		favourite := p.active.nearest[nearKey{p.route.Name, run[0].choice.Priority}]
		p.once = share(run, func(v *view) int { return v.choice.Weight }, func(v *view) string { return v.choice.Party },
			func(v *view) time.Duration { return v.rtt }, favourite, p.req.seed(), p.rules.Margin) || p.once
	})
}

// level is the priority of the active party. Whatever it is, only order and reasons rest on it.
func (p *planner) level() int {
	if i, ok := p.route.index[p.active.routes[p.route.Name].Party]; ok {
		return p.route.ordered[i].Priority
	}
	return p.route.first
}

func (p *planner) reason(v *view) RouteReason {
	switch {
	case p.plan.Purpose == sovereign.Drill:
		return ReasonDrill
	case v.grant != "":
		return ReasonGatedFailover
	case p.first != "" && v.choice.Party == p.first:
		return p.firstWhy
	case p.first != "" || v.choice.Priority != p.route.first:
		return ReasonAutoFailover
	case p.level() != p.route.first:
		return ReasonFailback
	}
	return ReasonPrimary
}

// hops appends the candidates of a party in the order to try: health, priority, then weight or nearness.
func (p *planner) hops(v *view, why RouteReason) {
	list := p.cands[v.from:v.to]
	same := func(a, b *candidate) bool {
		return a.rank() == b.rank() && a.status.Target.Priority == b.status.Target.Priority
	}
	slices.SortStableFunc(list, func(a, b candidate) int {
		return cmp.Or(cmp.Compare(a.rank(), b.rank()), cmp.Compare(a.status.Target.Priority, b.status.Target.Priority))
	})
	runs(list, same, func(run []candidate) {
		for i := range run {
			run[i].id = run[i].status.Target.ID()
		}
		p.once = share(run, func(c *candidate) int { return int(c.status.Target.Weight) }, func(c *candidate) string { return c.id },
			func(c *candidate) time.Duration { return c.status.RTT }, p.active.nearest[nearKey{v.choice.Party, targets}], p.req.seed(), p.rules.Margin) || p.once
	})
	within := p.within(v.choice.Party)
	uri, caller, _ := p.write(v.choice.Party)
	for i := range list {
		c := &list[i]
		p.plan.Hops = append(p.plan.Hops, Hop{
			Target: c.status.Target, Party: v.choice.Party, Ruling: *c.ruling, Grant: c.grant, Reason: why, Within: within, URI: uri, Caller: caller,
			Trial: c.trial, Note: c.note(),
		})
	}
}

func (p *planner) within(party string) time.Duration {
	if t, ok := p.rules.Trunks[party]; ok {
		return t.Within
	}
	return p.rules.Groups[party].Within
}

// words says in one line what was decided and why.
func (p *planner) words() string {
	b := make([]byte, 0, 256)
	b = append(b, p.plan.Direction...)
	b = append(b, " call from "...)
	b = append(b, p.req.From...)
	b = append(b, " by route "...)
	b = append(b, p.route.Name...)
	b = append(b, ": "...)
	if len(p.plan.Hops) == 0 {
		b = append(b, "no hop"...)
		if p.plan.Held {
			b = append(b, ", so the final answer is "...)
			if p.plan.Announce {
				b = append(b, "behind an announcement "...)
			}
			b = strconv.AppendInt(b, int64(p.plan.OnHold.Status), 10)
		}
	}
	last := ""
	for i := range p.plan.Hops {
		h := &p.plan.Hops[i]
		if h.Party == last {
			continue
		}
		switch {
		case last != "" && p.plan.Overlap:
			b = append(b, ", then beside it "...)
		case last != "":
			b = append(b, ", then "...)
		}
		last = h.Party
		b = append(b, h.Party...)
		b = append(b, " ("...)
		b = append(b, h.Reason...)
		b = append(b, ", "...)
		b = append(b, h.Ruling.Ground...)
		if h.Note != "" {
			b = append(b, ", "...)
			b = append(b, h.Note...)
		}
		b = append(b, ')')
	}
	for i := range p.plan.Refused {
		r := &p.plan.Refused[i]
		b = append(b, "; not "...)
		if r.Target != "" {
			b = append(b, r.Target...)
		} else {
			b = append(b, r.Party...)
		}
		b = append(b, " ("...)
		b = append(b, r.Ground...)
		b = append(b, ')')
	}
	return string(b)
}
