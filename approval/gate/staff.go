package gate

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/cordonsip/cordon/approval"
)

// Staffing judges the people of the configuration as they are there now.
func (g *Gate) Staffing() approval.Staffing {
	s, now := g.settings.Load(), g.clock.now()
	people := g.present(s, now)
	out := approval.Staffing{Needed: s.rules.Quorum, Present: approval.Together(people, s.rules, now), Missing: []string{}}
	out.Advised = slices.ContainsFunc(people, func(h approval.Holder) bool { return approval.MayAct(s.people, h.Person, s.rules.OpinionRole, now) })
	if out.Present < out.Needed {
		out.Missing = append(out.Missing, fmt.Sprintf("%d people could approve together, each in a role of its own, and %d are needed", out.Present, out.Needed))
	}
	if s.rules.NeedOpinion && !out.Advised {
		out.Missing = append(out.Missing, "nobody is there to give the opinion of "+s.rules.OpinionRole)
	}
	return out
}

// present are the people who could say a word that counts: not absent, still enrolled, and with a key that counts where the rules want signatures.
func (g *Gate) present(s *settings, now time.Time) []approval.Holder {
	signs := map[string]bool{}
	if s.rules.Signed {
		for _, k := range g.Keys() {
			signs[k.Person] = signs[k.Person] || k.Counts
		}
	}
	return slices.DeleteFunc(slices.Clone(s.people), func(h approval.Holder) bool {
		_, away := h.Away(now)
		until := s.until[h.Person]
		return away || !until.IsZero() && !now.Before(until) || s.rules.Signed && !signs[h.Person]
	})
}

// RevokeRecovered ends every live grant whose rules say so, once what it stands in for has been back for as long as they say. since says from when on that was, if it is.
func (g *Gate) RevokeRecovered(ctx context.Context, since func(approval.Scope) (time.Time, bool)) error {
	var errs []string
	for _, t := range g.openTickets() {
		w := g.known(t.ID)
		if w == nil || !t.State.Live() || w.Rules.RecoveredFor <= 0 {
			continue
		}
		at, back := since(t.Plan.Scope)
		if at.Before(t.ActivatedAt) {
			at = t.ActivatedAt
		}
		if now := g.clock.now(); !back || now.Sub(at) < w.Rules.RecoveredFor {
			continue
		}
		why := fmt.Sprintf("the primary is back since %s", approval.When(at))
		if _, err := g.Revoke(ctx, t.ID, approval.ByRecovery, why); err != nil {
			errs = append(errs, err.Error())
		}
	}
	if len(errs) > 0 {
		return fmt.Errorf("approval: grants whose primary is back: %s", strings.Join(errs, "; "))
	}
	return nil
}
