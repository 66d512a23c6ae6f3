package cordon

import (
	"context"
	"slices"
	"time"

	"github.com/cordonsip/cordon/approval"
	"github.com/cordonsip/cordon/drill/scenario"
)

// How long a stand-in for a person takes over a word, between the bounds.
const (
	leastThought = time.Second
	mostThought  = 10 * time.Second
)

// attend lets stand-ins for people act at the gate of a sandbox, where the play wants tickets to be approved: the data protection officer answers first if that is wanted, then one
// person after the other approves, each in a role that is still missing. Whom the drill has taken away does not answer. A play that wants no approval gets none.
func (s *sandbox) attend(ctx context.Context, p *scenario.Play) {
	var want *scenario.Approved
	for _, e := range p.Expect {
		if e.Approved != nil {
			want = e.Approved
		}
	}
	if want == nil {
		return
	}
	thought := time.Duration(want.Within) / time.Duration(want.People+3)
	tick := time.NewTicker(min(mostThought, max(leastThought, thought)))
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
		for _, t := range s.node.gate.Tickets() {
			if t.State == approval.Pending && t.Plan.Change == nil && !t.NotifiedAt.IsZero() {
				s.say(ctx, t, want)
			}
		}
	}
}

// say is one word of one stand-in on a ticket. What the gate refuses is found in its log.
func (s *sandbox) say(ctx context.Context, t approval.Ticket, want *scenario.Approved) {
	c := s.node.cfg.Load()
	for _, p := range c.People {
		switch {
		case s.node.board.Away(p.ID, p.Roles):
		case want.Opinion && len(t.Opinions) == 0:
			if slices.Contains(p.Roles, c.Gate.OpinionRole) {
				_, _ = s.node.gate.Opine(ctx, t.ID, p.ID, approval.NoObjection, "a drill in a sandbox", false)
				return
			}
		case len(t.Decisions) < want.People:
			if role := missingRole(c.Gate.Roles, p.Roles, t); role != "" && !s.decided(t, p.ID) {
				_, _ = s.node.gate.Decide(ctx, t.ID, p.ID, role, true, "a drill in a sandbox", t.PlanHash, "sandbox")
				return
			}
		}
	}
}

func (s *sandbox) decided(t approval.Ticket, person string) bool {
	who := s.node.names.Person(person)
	return slices.ContainsFunc(t.Decisions, func(d approval.Decision) bool { return d.Person == who })
}

// missingRole is the first role of a person that counts and in which nobody has decided yet; "": there is none.
func missingRole(counts, has []string, t approval.Ticket) string {
	if len(counts) == 0 {
		counts = approval.DefaultRules().Roles
	}
	for _, r := range has {
		if slices.Contains(counts, r) && !slices.ContainsFunc(t.Decisions, func(d approval.Decision) bool { return d.Role == r }) {
			return r
		}
	}
	return ""
}
