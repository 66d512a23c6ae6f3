package routing

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/cordonsip/cordon/approval"
	"github.com/cordonsip/cordon/audit"
	"github.com/cordonsip/cordon/healthcheck"
	"github.com/cordonsip/cordon/sovereign"
)

// look is what one pass found about one route, before anything is written.
type look struct {
	was     Active
	fine    bool // the active party may stay
	failed  bool // it may not, and nothing can be done
	lawless bool // the law, not its health, took the active party away
	grant   string
	why     string
	move    *move
	hold    *held
	refused []Refused
}

// move is a change of the active party that may be made.
type move struct {
	kind   audit.Kind
	view   view
	ruling sovereign.Ruling
	trunk  string
	why    string
}

// held is a party that people may open.
type held struct {
	party  string
	trunk  string
	ruling sovereign.Ruling
	plan   approval.Plan
}

// look decides one route by the very rules of Plan, asked for every origin that a grant may name. Nil means that there is nothing to do.
func (r *Router) look(c *rules, rt *route, now, started time.Time) *look {
	s := r.survey(c, rt, now)
	l := &look{was: r.active.Load().routes[rt.Name]}
	current := s.view(l.was.Party)
	best := s.best()
	if current != nil {
		l.grant = current.grant
		l.why = "in use: " + s.health(l.was.Party)
		if m := s.better(rt, current, now); m != nil {
			l.move = m
		} else if l.was.Held || l.was.Ticket != l.grant || r.episode(rt).open() || l.was.Why != l.why {
			l.fine = true
		} else {
			return nil
		}
		return l
	}
	gone, lawless, why := s.gone(l.was.Party, now, started)
	if !gone {
		return nil
	}
	l.lawless, l.why = lawless, why
	l.refused = s.denied(rt, best)
	switch {
	case best != nil:
		kind := audit.KindFailoverApplied
		if i, ok := rt.index[l.was.Party]; ok && s.wish(best.choice) < s.wish(rt.ordered[i]) || (!ok && best.choice.Priority == rt.first) {
			kind = audit.KindFailback
		}
		l.move = s.to(best, kind, why)
	case s.waiting():
		return nil // a permitted party is about to be probed
	case s.planned():
		l.failed = true // people took everything out that is permitted: no failure, and no matter for the gate
	default:
		l.hold = s.held(rt)
		l.failed = l.hold == nil
	}
	return l
}

func (e *episode) open() bool { return len(e.refused)+len(e.asked) > 0 || e.failing != "" }

// survey is every choice of a route as it stands now.
type survey struct {
	r       *Router
	c       *rules
	rt      *route
	table   *healthcheck.Table
	at      time.Time
	origins []string
	views   []view
	rulings map[string]sovereign.Ruling // of the views, by party
	trunks  map[string]string           // origin by which a party under a grant is reached
	refused []Refused
}

func (r *Router) survey(c *rules, rt *route, now time.Time) *survey {
	s := &survey{r: r, c: c, rt: rt, at: now, rulings: make(map[string]sovereign.Ruling), trunks: make(map[string]string)}
	s.origins = c.origins(rt)
	for i, from := range s.origins {
		p := r.planner(Request{From: from, At: now})
		p.rules, p.route, p.dir, p.capacity, p.active = c, rt, rt.Direction, nil, &actives{nearest: r.active.Load().nearest}
		p.plan.Recording = rt.Recording
		s.table = p.table
		for _, ch := range rt.ordered {
			p.consider(ch, true)
		}
		p.forgo()
		p.order()
		for _, v := range p.views {
			if _, known := s.rulings[v.choice.Party]; !known {
				s.rulings[v.choice.Party] = *p.cands[v.from].ruling
				s.views = append(s.views, v)
				if v.grant != "" {
					s.trunks[v.choice.Party] = from
				}
			}
		}
		if i == 0 {
			s.refused = p.plan.Refused
		}
		if len(p.grants) == 0 {
			break // without grants every origin sees the same
		}
	}
	return s
}

// origins are the parties whose calls a route carries.
func (c *rules) origins(rt *route) []string {
	switch {
	case len(rt.From) > 0:
		return rt.From
	case rt.Direction == Inbound:
		return slices.Sorted(maps.Keys(c.Trunks))
	}
	return slices.Sorted(maps.Keys(c.Groups))
}

func (s *survey) view(party string) *view {
	for i := range s.views {
		if s.views[i].choice.Party == party {
			return &s.views[i]
		}
	}
	return nil
}

// best is the first party that is permitted and known to be reachable; the views are in the order of Plan.
func (s *survey) best() *view {
	for _, gated := range [...]bool{false, true} {
		for i := range s.views {
			if v := &s.views[i]; v.best.Usable() && (v.grant != "") == gated {
				return v
			}
		}
	}
	return nil
}

func (s *survey) waiting() bool {
	return slices.ContainsFunc(s.views, func(v view) bool { return !v.best.Usable() })
}

func (s *survey) to(v *view, kind audit.Kind, why string) *move {
	m := &move{kind: kind, view: *v, ruling: s.rulings[v.choice.Party], trunk: s.trunks[v.choice.Party], why: why}
	if m.trunk == "" && len(s.origins) == 1 {
		m.trunk = s.origins[0]
	}
	if s.rt.Direction == Outbound {
		m.trunk = v.choice.Party
	}
	return m
}

// better finds a reason to leave an active party that could stay: a grant is left as soon as anything is permitted by itself, and the route goes back to a
// better choice once that was up long enough.
func (s *survey) better(rt *route, current *view, now time.Time) *move {
	for i := range s.views {
		v := &s.views[i]
		if v.grant != "" || !v.best.Usable() {
			continue
		}
		earlier := s.wish(v.choice) < s.wish(current.choice)
		if current.grant != "" {
			kind := audit.KindFailoverApplied
			if earlier {
				kind = audit.KindFailback
			}
			return s.to(v, kind, v.choice.Party+" is permitted without a grant and reachable again")
		}
		if earlier && !rt.Switch.Manual && rt.Switch.Window.Open(now) && v.best == healthcheck.Up {
			if since := s.upSince(v.choice.Party); now.Sub(since) >= rt.Switch.FailbackAfter {
				return s.to(v, audit.KindFailback, fmt.Sprintf("%s is up since %s", v.choice.Party, since.UTC().Format(time.RFC3339)))
			}
		}
	}
	return nil
}

// wish is the place of a choice in the order: what people switched to comes before everything.
func (s *survey) wish(c Choice) int {
	if pin, ok := s.r.book().Pin(s.rt.Name); ok && pin.Party == c.Party {
		return -1
	}
	return c.Priority
}

func (s *survey) upSince(party string) time.Time {
	since := s.at
	for _, st := range s.table.ByParty[party] {
		if st.State == healthcheck.Up && st.Since.Before(since) {
			since = st.Since
		}
	}
	return since
}

func (s *survey) health(party string) string {
	state, _, why := s.table.Party(party)
	return state.String() + ", " + why
}

// gone says whether the active party is lost, and whether by law. A party of which no address is known yet gets a moment.
func (s *survey) gone(party string, now, started time.Time) (gone, lawless bool, why string) {
	if party == "" {
		return true, true, "no party was active"
	}
	if hand := s.taken(party); hand != "" {
		return true, false, hand
	}
	down := false
	for _, f := range s.refused {
		if f.Party != party {
			continue
		}
		switch {
		case !f.Ruling.Permitted():
			lawless, why = true, party+" is not permitted: "+f.Why
		case f.Ground == GroundDown:
			down = true
		}
	}
	if lawless && !down {
		return true, true, why
	}
	if down {
		return true, false, party + " is down: " + s.downWhy(party)
	}
	for _, st := range s.table.ByParty[party] {
		if st.Since.After(started) {
			started = st.Since
		}
	}
	return now.Sub(started) >= unlocated, false, "no address of " + party + " is known"
}

func (s *survey) downWhy(party string) string {
	for _, st := range s.table.ByParty[party] {
		if st.State == healthcheck.Down {
			return st.Why
		}
	}
	return "all its targets are down"
}

// denied lists the parties that the law, or NEVER, passes over on the way to best.
func (s *survey) denied(rt *route, best *view) []Refused {
	var list []Refused
	for _, f := range s.refused {
		never := f.Ruling.Verdict == sovereign.Hold && rt.Fallback == FallbackNever
		if (f.Ruling.Verdict != sovereign.Deny && !never) || s.view(f.Party) != nil {
			continue
		}
		if best != nil && rt.ordered[rt.index[f.Party]].Priority > best.choice.Priority {
			continue
		}
		if !slices.ContainsFunc(list, func(o Refused) bool { return o.Party == f.Party && o.Ground == f.Ground }) {
			list = append(list, f)
		}
	}
	return list
}

// held makes the proposal for the first party that only people can open.
func (s *survey) held(rt *route) *held {
	if rt.Fallback == FallbackNever {
		return nil
	}
	for _, ch := range rt.ordered {
		for _, f := range s.refused {
			if f.Party != ch.Party || f.Ruling.Verdict != sovereign.Hold {
				continue
			}
			regions, country, ok := s.needed(ch.Party)
			if !ok {
				break // no grant could open it: another place of it is denied, or has no region that a grant could name
			}
			return &held{party: ch.Party, trunk: s.trunk(), ruling: f.Ruling, plan: s.propose(ch.Party, f, regions, country)}
		}
	}
	return nil
}

func (s *survey) trunk() string {
	if s.rt.Direction == Inbound && len(s.origins) == 1 {
		return s.origins[0]
	}
	return ""
}

// propose writes the plan that people decide on. It holds nothing that changes while the situation stays: no times, no counts, no name of the route. So
// every node and every route in the same situation proposes the very same plan, and a restart does not void what was already approved.
func (s *survey) propose(party string, f Refused, regions []string, country string) approval.Plan {
	snap := s.r.cfg.Snapshot()
	scope := approval.Scope{Trunks: s.origins, Groups: []string{party}, Regions: regions, Country: country}
	if s.rt.Direction == Outbound {
		scope.Trunks, scope.Groups = []string{party}, s.origins
	}
	p := approval.Plan{
		Scope: scope, Grounds: []string{string(f.Ground) + ": " + s.ruledWhy(party, f)},
		PolicyDigest: snap.PolicyDigest(), FactsDigest: snap.FactsDigest(),
	}
	if b := s.c.Basis[party]; b.Until.IsZero() || s.at.Before(b.Until) {
		p.LegalBasis = b.Word
	}
	for _, ch := range s.rt.ordered {
		if ch.Party == party {
			continue
		}
		if state, _, _ := s.table.Party(ch.Party); state == healthcheck.Down && s.taken(ch.Party) == "" {
			p.Failed = append(p.Failed, ch.Party)
		}
		if why := s.whyNot(ch.Party); why != "" && len(p.Alternatives) < maxAlternatives {
			p.Alternatives = append(p.Alternatives, approval.Alternative{Option: ch.Party, WhyNot: why})
		}
	}
	slices.Sort(p.Failed)
	p.Reason = "no party that is permitted by itself is reachable"
	if len(p.Failed) > 0 {
		p.Reason += "; down: " + strings.Join(p.Failed, ", ")
	}
	return p
}

// maxAlternatives keeps a plan readable.
const maxAlternatives = 32

// whyNot says in lasting words why a party is no way out.
func (s *survey) whyNot(party string) string {
	for _, f := range s.refused {
		if f.Party != party {
			continue
		}
		switch f.Ground {
		case GroundDown:
			return "down"
		case GroundNoTarget, GroundUnprobed, GroundCapacity:
			return "not reachable (" + string(f.Ground) + ")"
		}
		return string(f.Ground) + ": " + s.ruledWhy(party, f)
	}
	return ""
}

// ruledWhy is the reason of a ruling without the address that it was asked for.
func (s *survey) ruledWhy(party string, f Refused) string {
	if f.Target == "" {
		return f.Why
	}
	r := f.Ruling
	return party + " in " + r.Region.String() + " (" + string(r.Country) + ") is " + string(r.Standing)
}

// needed finds the smallest set of regions that a grant must name so that the party, its media and at least one of its addresses are permitted; ok is false when no
// set would do.
func (s *survey) needed(party string) (regions []string, country string, ok bool) {
	snap := s.r.cfg.Snapshot()
	if snap == nil {
		return nil, "", false
	}
	t := newTrial(snap, s.table, s.c, s.at, party)
	ok = t.party(party)
	return t.regions(), t.country, ok
}
