package gate

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cordonsip/cordon/approval"
)

// chance is one run of random words by random people.
type chance struct {
	w    *world
	g    *Gate
	rng  *rand.Rand
	said []string // the words, for a report
}

func pick[T any](r *rand.Rand, list ...T) T { return list[r.IntN(len(list))] }

// word says or does something at random; a refusal is part of the play.
func (c *chance) word() {
	ctx, r := c.w.t.Context(), c.rng
	id, hash, by := ghost, "none", "rule:routing"
	list := c.g.Tickets()
	if over := func(t approval.Ticket) bool { return !t.State.Open() }; r.IntN(8) > 0 && !slices.ContainsFunc(list, func(t approval.Ticket) bool { return over(t) && r.IntN(20) == 0 }) {
		list = slices.DeleteFunc(list, over)
	}
	if len(list) > 0 {
		t := pick(r, list...)
		id, hash = t.ID, t.PlanHash
	}
	if r.IntN(12) == 0 {
		hash = "another"
	}
	who := pick(r, people...).ID
	role := pick(r, "incident_commander", "business_owner", "ciso", "crisis_manager", approval.RoleDelegate, "dpo", approval.RoleOperator, approval.RoleAuditor)
	if p := people[slices.IndexFunc(people, func(p approval.Person) bool { return p.ID == who })]; r.IntN(4) > 0 && len(p.Roles) > 0 {
		role = pick(r, p.Roles...)
	}
	var err error
	what := pick(r, "propose", "tell", "tell", "decide", "decide", "decide", "decide", "decide", "decide", "decide", "decide", "opine", "opine", "opine", "glass", "activate", "activate", "withdraw", "revoke", "void", "review", "spend", "wait", "refuse")
	switch what {
	case "propose":
		p := plan()
		p.Scope.Country = pick(r, "US", "CA")
		p.LegalBasis = pick(r, "", "scc-1", "scc-1", "scc-1", "scc-1", "scc-1", "consent-1", "bare")
		if r.IntN(8) > 0 && len(list) > 1 {
			return // let what waits be decided
		}
		if r.IntN(2) == 0 {
			by = who
		}
		_, err = c.g.Propose(ctx, by, p)
	case "refuse":
		if r.IntN(6) == 0 {
			_, err = c.g.Refuse(ctx, who, plan(), "denied")
		}
	case "tell":
		err = c.g.Notified(ctx, id, "duty", pick(r, "", "gone"))
	case "decide":
		_, err = c.g.Decide(ctx, id, who, role, r.IntN(40) > 0, "because", hash, "bearer")
	case "opine":
		_, err = c.g.Opine(ctx, id, who, pick(r, approval.NoObjection, approval.NoObjection, approval.NoObjection, approval.NoObjection, approval.NoObjection, approval.NoObjection, approval.Objection, approval.Conditions, approval.NotReached), "advice", r.IntN(2) == 0)
	case "glass":
		_, err = c.g.BreakGlass(ctx, id, who, role, "now", hash, "bearer")
	case "activate":
		_, err = c.g.Activate(ctx, id, who)
	case "withdraw":
		if r.IntN(4) == 0 {
			_, err = c.g.Withdraw(ctx, id, pick(r, by, who), "enough")
		}
	case "revoke":
		if r.IntN(2) == 0 {
			_, err = c.g.Revoke(ctx, id, who, "enough")
		}
	case "void":
		if r.IntN(10) == 0 {
			err = c.g.Invalidate(ctx, "struck", func(t approval.Ticket) bool { return t.ID == id })
		}
	case "review":
		_, err = c.g.Review(ctx, id, who, approval.PostReview{Role: role, Lessons: "some"})
	case "spend":
		c.g.Spend(id)
	case "wait":
		time.Sleep(pick(r, time.Second, time.Minute, time.Minute, 10*time.Minute, 16*time.Minute, 5*time.Hour))
	}
	c.said = append(c.said, fmt.Sprintf("%s %s as %s on %s: %v", what, who, role, id, err))
}

// hold checks one ticket against the rules in words of its own.
func (c *chance) hold(t approval.Ticket, r approval.Rules) error {
	roles, persons := map[string]bool{}, map[string]bool{}
	count := func(list []approval.Decision, floor time.Time) error {
		for _, d := range list {
			id := strings.TrimSuffix(strings.TrimPrefix(d.Person, "p-"), "-x")
			p := people[slices.IndexFunc(people, func(p approval.Person) bool { return p.ID == id })]
			switch {
			case !d.Approve:
				continue
			case d.Person == t.RequestedBy:
				return fmt.Errorf("the requester %s decided", d.Person)
			case slices.Contains(p.Roles, "dpo"):
				return fmt.Errorf("the adviser %s decided", d.Person)
			case !slices.Contains(p.Roles, d.Role):
				return fmt.Errorf("%s decided as %s", d.Person, d.Role)
			case persons[d.Person] || roles[d.Role]:
				return fmt.Errorf("%s or %s counts twice", d.Person, d.Role)
			case d.PlanHash != t.PlanHash || d.PlanHash != t.Plan.Hash():
				return fmt.Errorf("%s decided over another plan", d.Person)
			case floor.IsZero() || d.At.Before(floor):
				return fmt.Errorf("%s decided before people were told", d.Person)
			}
			persons[d.Person], roles[d.Role] = true, true
		}
		return nil
	}
	advice := func() (given, objects bool) {
		last := map[string]approval.OpinionWord{}
		for _, o := range t.Opinions {
			if o.Word != approval.NotReached {
				last[o.Person] = o.Word
			}
		}
		for _, word := range last {
			given, objects = true, objects || word == approval.Objection
		}
		return given, objects
	}
	given, objects := advice()
	switch t.State {
	case approval.Active, approval.Approved:
		if err := count(t.Decisions, t.NotifiedAt); err != nil {
			return err
		}
		need := r.Quorum
		if objects {
			need++
		}
		switch {
		case len(persons) < need || len(roles) < need:
			return fmt.Errorf("%d people in %d roles approved, %d are needed", len(persons), len(roles), need)
		case objects && !roles[approval.RoleDelegate]:
			return fmt.Errorf("against an objection, and without the delegate")
		case !given:
			return fmt.Errorf("nobody advised")
		case t.Plan.Basis == nil || t.Plan.Basis.ID == "bare":
			return fmt.Errorf("on no complete basis")
		case t.State == approval.Active && t.GrantUntil.Sub(t.ActivatedAt) > r.GrantFor:
			return fmt.Errorf("for %s", t.GrantUntil.Sub(t.ActivatedAt))
		}
	case approval.BreakGlassActive:
		if err := count(t.Glass, t.NotifiedAt); err != nil {
			return err
		}
		if len(persons) != 2 || len(roles) != 2 || t.Plan.Basis == nil || t.Plan.Basis.ID == "bare" || t.GrantUntil.Sub(t.ActivatedAt) > time.Hour || objects || t.ReviewBy.IsZero() {
			return fmt.Errorf("the glass was broken by %d people in %d roles on %v for %s", len(persons), len(roles), t.Plan.Basis, t.GrantUntil.Sub(t.ActivatedAt))
		}
	}
	return nil
}

// Whatever people say, in whatever order: nothing is live without its quorum, nothing leaves the table, and what is over stays over.
func TestChance(t *testing.T) {
	lives := map[approval.State]int{}
	for seed := range uint64(60) {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t)
			w.rules.NeedBasis, w.rules.AutoActivate = true, seed%3 > 0
			g := w.gate("n1")
			set := setWall(g)
			defer w.run(g)()
			c := &chance{w: w, g: g, rng: rand.New(rand.NewPCG(seed, 7))}
			over := map[string]approval.State{}
			for step := range 200 {
				if c.rng.IntN(20) == 0 {
					set(time.Duration(c.rng.IntN(7200)-7200) * time.Second)
				}
				c.word()
				synctest.Wait()
				live := map[string]bool{}
				for _, ticket := range g.Tickets() {
					if err := c.hold(ticket, w.rules); err != nil {
						t.Fatalf("seed %d, step %d: ticket %s is %s: %v\n%s", seed, step, ticket.ID, ticket.State, err, strings.Join(c.said, "\n"))
					}
					if was, ended := over[ticket.ID]; ended && was != ticket.State {
						t.Fatalf("seed %d, step %d: a ticket that was %s is %s", seed, step, was, ticket.State)
					}
					if ticket.State.Terminal() {
						over[ticket.ID] = ticket.State
					}
					live[ticket.ID] = ticket.State.Live() && g.clock.now().Before(ticket.GrantUntil)
					lives[ticket.State]++
				}
				for _, grant := range g.Grants() {
					if !live[grant.ID] {
						t.Fatalf("seed %d, step %d: a grant of a ticket that is not live", seed, step)
					}
				}
			}
			at := map[string]approval.State{}
			for _, ev := range w.changes() {
				if ev.What == approval.NotApplied {
					continue
				}
				if was := at[ev.Ticket]; was == "" && ev.From != approval.Requested || was != "" && was != ev.From || !slices.ContainsFunc(approval.Transitions(), func(row approval.Transition) bool {
					return row.From == ev.From && row.To == ev.State && row.What == ev.What
				}) {
					t.Fatalf("seed %d: %s went from %s (%s) to %s because of %s", seed, ev.Ticket, was, ev.From, ev.State, ev.What)
				}
				at[ev.Ticket] = ev.State
			}
		})
	}
	for _, s := range approval.States() {
		if s != approval.Requested && s != approval.Escalated && s != approval.Reviewed && s != approval.Applied && lives[s] == 0 { // changes of the policy have a test of their own
			t.Errorf("no ticket was ever %s: the play shows too little", s)
		}
	}
	t.Log(lives)
}
