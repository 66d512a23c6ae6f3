package routing

import (
	"fmt"
	"slices"
	"time"

	"github.com/cordonsip/cordon/approval"
	"github.com/cordonsip/cordon/sovereign"
)

// Prospect is what a route would do if the party in use were gone now.
type Prospect struct {
	Route   string
	Active  string
	Alone   bool   // it leads to one party alone: there is nothing to fail over to
	Next    string // that would take the calls, or would be asked for at the gate; "": nobody
	Verdict sovereign.Verdict
	Basis   string // of Next, where people must open it
	Why     string // when there is nobody, or only people can open it
}

// Prospects looks ahead for every route, in the order of the rules. It changes nothing.
func (r *Router) Prospects() []Prospect {
	c, active, now := r.rules.Load(), r.Active(), time.Now()
	out := make([]Prospect, 0, len(c.routes))
	for _, rt := range c.routes {
		p := Prospect{Route: rt.Name, Active: active[rt.Name].Party, Alone: len(rt.To) < 2}
		s := r.survey(c, rt, now)
		i := slices.IndexFunc(s.views, func(v view) bool { return v.choice.Party != p.Active && v.best.Usable() && v.grant == "" })
		if i >= 0 {
			p.Next, p.Verdict = s.views[i].choice.Party, sovereign.Permit
		} else if h := s.held(rt); h != nil {
			p.Next, p.Verdict, p.Basis, p.Why = h.party, sovereign.Hold, h.plan.LegalBasis, h.ruling.Why
		} else {
			p.Why = "no other party may be used: " + s.others(p.Active)
		}
		out = append(out, p)
	}
	return out
}

// others says of each other choice why it would not do.
func (s *survey) others(active string) string {
	text := ""
	for _, ch := range s.rt.ordered {
		if ch.Party == active {
			continue
		}
		why := s.whyNot(ch.Party)
		if why == "" {
			why = s.health(ch.Party)
		}
		if text != "" {
			text += "; "
		}
		text += fmt.Sprintf("%s: %s", ch.Party, why)
	}
	if text == "" {
		return "the route leads to no other"
	}
	return text
}

// RecoveredSince says from when on the first choices of all routes that a grant stands in for have been up again, without the parties that the grant opens; ok is false
// while one of them is not, and when no route has such a choice.
func (r *Router) RecoveredSince(scope approval.Scope) (since time.Time, ok bool) {
	c, now := r.rules.Load(), time.Now()
	held := map[string]bool{} // parties that only a grant opens: a route that reaches the others stands in for nothing
	for _, party := range slices.Concat(scope.Trunks, scope.Groups) {
		t := newTrial(r.cfg.Snapshot(), r.cfg.Table(), c, now, party)
		t.party(party)
		held[party] = t.held != nil
	}
	for _, rt := range c.routes {
		from, to := scope.Trunks, scope.Groups
		if rt.Direction == Outbound {
			from, to = to, from
		}
		opens := func(ch Choice) bool { return held[ch.Party] && slices.Contains(to, ch.Party) }
		if !slices.ContainsFunc(rt.To, opens) || !slices.ContainsFunc(c.origins(rt), func(o string) bool { return slices.Contains(from, o) }) {
			continue
		}
		at, back := r.survey(c, rt, now).firstUp(opens)
		if !back {
			return time.Time{}, false
		}
		if at.After(since) {
			since = at
		}
		ok = true
	}
	return since, ok
}

// firstUp is since when a first choice of the route is up that is permitted by itself and not one of those that a grant opens.
func (s *survey) firstUp(opened func(Choice) bool) (since time.Time, ok bool) {
	for _, v := range s.views {
		if v.choice.Priority != s.rt.first || v.grant != "" || opened(v.choice) || !v.best.Usable() {
			continue
		}
		if at := s.upSince(v.choice.Party); at.Before(s.at) && (!ok || at.Before(since)) {
			since, ok = at, true
		}
	}
	return since, ok
}
