package approval

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"
)

// Staffing says whether enough people are there to decide on a ticket that opened now.
type Staffing struct {
	Needed  int      `json:"approvers_needed"`
	Present int      `json:"approvers_present"` // the most people that can approve together, each in a role of its own
	Advised bool     `json:"opinion_possible"`
	Missing []string `json:"missing"` // in words; nobody is named
}

// Staffing judges the people of the configuration as they are there now.
func (g *Gate) Staffing() Staffing {
	s, now := g.settings.Load(), g.clock.now()
	people := g.present(s, now)
	out := Staffing{Needed: s.rules.Quorum, Present: together(people, s.rules, now), Missing: []string{}}
	out.Advised = slices.ContainsFunc(people, func(h Holder) bool { return mayAct(s.people, h.Person, s.rules.OpinionRole, now) })
	if out.Present < out.Needed {
		out.Missing = append(out.Missing, fmt.Sprintf("%d people could approve together, each in a role of its own, and %d are needed", out.Present, out.Needed))
	}
	if s.rules.NeedOpinion && !out.Advised {
		out.Missing = append(out.Missing, "nobody is there to give the opinion of "+s.rules.OpinionRole)
	}
	return out
}

// Bearable says what keeps a ticket on a basis, as plans name it, from being approved; nothing when the rules want none or it is complete.
func (g *Gate) Bearable(basis string) []string {
	s := g.settings.Load()
	if !s.rules.NeedBasis {
		return nil
	}
	if basis == "" {
		return []string{"no legal basis is registered for the party"}
	}
	b, err := s.entry(basis)
	if err != nil {
		return []string{"its legal basis is not in the catalogue"}
	}
	return b.Lacks(g.clock.now())
}

// present are the people who could say a word that counts: not absent, still enrolled, and with a key that counts where the rules want signatures.
func (g *Gate) present(s *settings, now time.Time) []Holder {
	signs := map[string]bool{}
	if s.rules.Signed {
		for _, k := range g.Keys() {
			signs[k.Person] = signs[k.Person] || k.Counts
		}
	}
	return slices.DeleteFunc(slices.Clone(s.people), func(h Holder) bool {
		_, away := h.away(now)
		until := s.until[h.Person]
		return away || !until.IsZero() && !now.Before(until) || s.rules.Signed && !signs[h.Person]
	})
}

// together is the most people that can approve, each in a role of its own: a matching of people and roles, grown along augmenting paths.
func together(people []Holder, r Rules, now time.Time) int {
	by := map[string]string{} // role to person
	var give func(h Holder, seen map[string]bool) bool
	find := func(person string) Holder { return *holderOf(people, person) }
	give = func(h Holder, seen map[string]bool) bool {
		adviser := slices.Contains(h.Roles, r.OpinionRole) || slices.Contains(h.DeputyFor, r.OpinionRole)
		for _, role := range r.deciding() {
			if seen[role] || adviser != (role == r.OpinionRole) || !mayAct(people, h.Person, role, now) {
				continue
			}
			seen[role] = true
			if other, taken := by[role]; !taken || give(find(other), seen) {
				by[role] = h.Person
				return true
			}
		}
		return false
	}
	n := 0
	for _, h := range people {
		if give(h, map[string]bool{}) {
			n++
		}
	}
	return n
}

// RevokeRecovered ends every live grant whose rules say so, once what it stands in for has been back for as long as they say. since says from when on that was, if it is.
func (g *Gate) RevokeRecovered(ctx context.Context, since func(Scope) (time.Time, bool)) error {
	var errs []string
	for _, t := range g.openTickets() {
		w := g.known(t.ID)
		if w == nil || !t.State.live() || w.Rules.RecoveredFor <= 0 {
			continue
		}
		at, back := since(t.Plan.Scope)
		if at.Before(t.ActivatedAt) {
			at = t.ActivatedAt
		}
		if now := g.clock.now(); !back || now.Sub(at) < w.Rules.RecoveredFor {
			continue
		}
		why := fmt.Sprintf("the primary is back since %s", clock(at))
		if _, err := g.Revoke(ctx, t.ID, ruleRevoke, why); err != nil {
			errs = append(errs, err.Error())
		}
	}
	if len(errs) > 0 {
		return fmt.Errorf("approval: grants whose primary is back: %s", strings.Join(errs, "; "))
	}
	return nil
}
