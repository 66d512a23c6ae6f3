package gate

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/cordonsip/cordon/approval"
	"github.com/cordonsip/cordon/audit"
	"github.com/cordonsip/cordon/state"
)

// who gives the pseudonym of a person, or a rule as it is.
func (s *settings) who(by string) (string, error) {
	if strings.HasPrefix(by, approval.ByRule) && len(by) <= 128 {
		return by, nil
	}
	return s.person(by)
}

func (s *settings) person(id string) (string, error) {
	if name, ok := s.names[id]; ok {
		return name, nil
	}
	return "", approval.Refuse(approval.RuleUnknownPerson, "the gate does not know that person", "people and roles stand in the configuration")
}

// Propose opens a ticket for p, or gives the open one for the same plan. An open ticket for the same scope with another plan is superseded; a
// live grant goes on until the new plan goes live. by is a person id or "rule:...".
func (g *Gate) Propose(ctx context.Context, by string, p approval.Plan) (approval.Ticket, error) {
	s := g.settings.Load()
	who, err := s.who(by)
	if err != nil {
		return approval.Ticket{}, err
	}
	plan, err := s.plan(who, p)
	if err != nil {
		return approval.Ticket{}, err
	}
	hash := plan.Hash()
	if t, ok := g.openWith(hash); ok {
		return t, nil
	}
	if err := g.begin(ctx); err != nil {
		return approval.Ticket{}, err
	}
	defer g.leave()
	giveBack, err := g.lease(ctx, proposeLease)
	if err != nil {
		return approval.Ticket{}, err
	}
	defer giveBack()
	if err := g.refresh(ctx); err != nil {
		return approval.Ticket{}, err
	}
	if t, ok := g.openWith(hash); ok {
		return t, nil
	}
	if t, ok := g.askedByPeople(who, plan.Scope); ok && plan.Change == nil {
		return t, nil
	}
	return g.propose(ctx, s, who, plan)
}

// plan is p as people will sign it. Who asks as a person says why, and what else was thought of.
func (s *settings) plan(who string, p approval.Plan) (approval.Plan, error) {
	p, err := s.rest(p)
	if err != nil {
		return p, err
	}
	p, err = s.rules.Proposal(p)
	if err != nil || strings.HasPrefix(who, approval.ByRule) || p.Change != nil {
		return p, err
	}
	wordless := func(a approval.Alternative) bool {
		return strings.TrimSpace(a.Option) == "" || strings.TrimSpace(a.WhyNot) == ""
	}
	if len(p.Alternatives) == 0 || slices.ContainsFunc(p.Alternatives, wordless) {
		return p, approval.Refuse(approval.RuleReason, "no alternative was considered", "name at least one other way and why it was not taken: a transfer is for what is necessary")
	}
	return p, approval.CheckText(p.Reason, true)
}

// askedByPeople gives the ticket that a person opened for the scope of a rule's plan: what people asked for is not replaced by what a route thinks of it.
func (g *Gate) askedByPeople(who string, scope approval.Scope) (approval.Ticket, bool) {
	if !strings.HasPrefix(who, approval.ByRule) {
		return approval.Ticket{}, false
	}
	for _, t := range g.openTickets() {
		if !t.State.Live() && t.Plan.Scope.Same(scope) && !strings.HasPrefix(t.RequestedBy, approval.ByRule) {
			return t, true
		}
	}
	return approval.Ticket{}, false
}

// propose opens the ticket for the holder of the turn and of the lease.
func (g *Gate) propose(ctx context.Context, s *settings, who string, plan approval.Plan) (approval.Ticket, error) {
	now := g.clock.now()
	id := g.own.ids.next(now)
	var err error
	open := 0
	for _, t := range g.openTickets() {
		switch {
		case !t.State.Live() && t.Plan.Scope.Same(plan.Scope):
			if err := g.supersede(ctx, t.ID, id); err != nil {
				return approval.Ticket{}, err
			}
		default:
			open++
		}
	}
	if open >= maxOpen {
		return approval.Ticket{}, approval.Refuse(approval.RuleTooMany, fmt.Sprintf("%d tickets are open", open), "decide or withdraw some")
	}
	r := s.request(id, who, plan, now)
	if r.Ticket.Repetitions, err = g.repetitions(ctx, plan.LegalBasis, now); err != nil {
		return approval.Ticket{}, err
	}
	if err := g.first(ctx, r, approval.Pending, approval.GateChanged{What: approval.Proposed, Why: plan.Reason}); err != nil {
		return approval.Ticket{}, err
	}
	return r.Ticket.Clone(), nil
}

// request is a ticket before its first entry.
func (s *settings) request(id, who string, plan approval.Plan, now time.Time) *approval.Record {
	r := &approval.Record{Rules: s.rules, People: s.people, Ticket: approval.Ticket{
		ID: id, State: approval.Requested, Plan: plan, PlanHash: plan.Hash(), RequestedBy: who, RequestedAt: now, ApproveBy: now.Add(s.rules.ApproveIn),
	}}
	return r.Clone()
}

// first takes a request into its first state.
func (g *Gate) first(ctx context.Context, r *approval.Record, to approval.State, ev approval.GateChanged) error {
	if err := r.Step(to, ev.What); err != nil {
		return err
	}
	r.Ticket.State = to
	ev.From, ev.FromWord, ev.By = approval.Requested, approval.Requested.Evidence(), r.Ticket.RequestedBy
	return g.commit(ctx, r, 0, ev)
}

// Refuse records that somebody asked for what the policy denies: the ticket is in POLICY_DENIED from its first entry, and no person can open that. It gives the
// ticket and the Refusal to tell.
func (g *Gate) Refuse(ctx context.Context, by string, p approval.Plan, why string) (approval.Ticket, error) {
	s := g.settings.Load()
	who, err := s.who(by)
	if err != nil {
		return approval.Ticket{}, err
	}
	plan, err := s.plan(who, p)
	if err != nil {
		return approval.Ticket{}, err
	}
	if err := g.begin(ctx); err != nil {
		return approval.Ticket{}, err
	}
	defer g.leave()
	now := g.clock.now()
	r := s.request(g.own.ids.next(now), who, plan, now)
	r.Ticket.ApproveBy = time.Time{}
	r.End(now, approval.Requested, "the policy denies it: "+cut(why))
	if err := g.first(ctx, r, approval.PolicyDenied, approval.GateChanged{What: approval.RefusedByRule, Why: r.Ticket.Why}); err != nil {
		return approval.Ticket{}, err
	}
	t := r.Ticket.Clone()
	return t, approval.Refuse(approval.RulePolicyDenied, fmt.Sprintf("%s; it is on record as ticket %s", t.Why, t.ID), "no person can open that at the gate: the policy or the place must change")
}

func (g *Gate) supersede(ctx context.Context, id, by string) error {
	_, err := g.apply(ctx, id, func(now time.Time, r *approval.Record) (approval.GateChanged, error) {
		if !r.Ticket.State.Open() {
			return approval.GateChanged{}, errUnchanged
		}
		r.End(now, approval.Superseded, "ticket "+by+" has another plan for the same scope")
		return approval.GateChanged{What: approval.Replaced, By: ruleGate, Why: r.Ticket.Why}, nil
	})
	return err
}

// openWith finds the open ticket with a plan.
func (g *Gate) openWith(hash string) (approval.Ticket, bool) {
	g.view.Lock()
	defer g.view.Unlock()
	now := g.clock.now()
	for id, w := range g.view.tickets {
		if w.Ticket.PlanHash == hash && w.Ticket.State.Open() && w.Ticket.ExhaustedAt.IsZero() && !w.IsDue(now) {
			return g.ticketLocked(id), true
		}
	}
	return approval.Ticket{}, false
}

// lease waits until this node has the lease.
func (g *Gate) lease(ctx context.Context, key string) (giveBack func(), err error) {
	for {
		ok, err := g.c.KV.Lease(ctx, key, g.c.Node, leaseFor)
		if err != nil {
			return nil, fmt.Errorf("approval: taking %s: %w", key, err)
		}
		if ok {
			break
		}
		if err := pause(ctx, 50*time.Millisecond); err != nil {
			return nil, fmt.Errorf("approval: waiting for %s: %w", key, err)
		}
	}
	return func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), stateTimeout)
		defer cancel()
		if _, err := g.c.KV.Lease(ctx, key, g.c.Node, 0); err != nil {
			g.logger.Warn("a lease could not be given back and ends by itself", "key", key, "error", err)
		}
	}, nil
}

// pause waits for d or the end of ctx.
func pause(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// refresh takes in what other nodes wrote.
func (g *Gate) refresh(ctx context.Context) error {
	items, err := g.c.KV.List(ctx, ticketPrefix)
	if err != nil {
		return fmt.Errorf("approval: listing tickets: %w", err)
	}
	for _, item := range items {
		if _, err := g.accept(ctx, strings.TrimPrefix(item.Key, ticketPrefix), item); err != nil && !errors.Is(err, state.ErrConflict) {
			return err
		}
	}
	g.publish()
	return nil
}

// Notified records that people were told (failure is the reason why not, or empty). No decision counts before. Telling the same twice is one notice.
func (g *Gate) Notified(ctx context.Context, ticket, channel, failure string) error {
	if channel == "" || len(channel) > 128 {
		return approval.Refuse(approval.RulePlan, "the channel has no name or a very long one", "name the channel")
	}
	failure = cut(failure)
	if err := g.begin(ctx); err != nil {
		return err
	}
	defer g.leave()
	w, err := g.load(ctx, ticket)
	if err != nil {
		return err
	}
	said := func(n approval.Notice) bool { return n.Channel == channel && n.Failure == failure }
	if slices.ContainsFunc(w.Ticket.Notices, said) || len(w.Ticket.Notices) >= maxNotices {
		return nil
	}
	actx, cancel := context.WithTimeout(context.WithoutCancel(ctx), logTimeout)
	defer cancel()
	if _, err := g.c.Log.Append(actx, audit.ApprovalNotified{Ticket: ticket, Channel: channel, Failure: failure}); err != nil {
		return fmt.Errorf("approval: the notice does not count, because the log could not be written: %w", err)
	}
	_, err = g.apply(ctx, ticket, func(now time.Time, r *approval.Record) (approval.GateChanged, error) {
		if r.Ticket.State != approval.Pending || slices.ContainsFunc(r.Ticket.Notices, said) {
			return approval.GateChanged{}, errUnchanged // the entry above is all that a late notice leaves
		}
		r.Ticket.Notices = append(r.Ticket.Notices, approval.Notice{Channel: channel, At: now, Failure: failure})
		if r.Ticket.NotifiedAt.IsZero() {
			r.Ticket.NotifiedAt = now
		}
		return approval.GateChanged{What: approval.Told, By: approval.ByRule + "notify", Why: failure}, nil
	})
	return err
}

// cut bounds a text that a machine wrote.
func cut(text string) string {
	if len(text) > 500 {
		text = text[:500]
	}
	return strings.ToValidUTF8(text, "")
}

// Decide records person's word over planHash. The error says which rule refused it (a *Refusal).
func (g *Gate) Decide(ctx context.Context, ticket, person, role string, approve bool, reason, planHash, auth string) (approval.Ticket, error) {
	who, err := g.settings.Load().person(person)
	if err != nil {
		return approval.Ticket{}, err
	}
	return g.word(ctx, ticket, func(now time.Time, r *approval.Record) (approval.GateChanged, error) {
		d := approval.Decision{Person: who, Role: role, Approve: approve, Reason: reason, PlanHash: planHash, Auth: cut(auth), At: now}
		return approval.GateChanged{What: approval.Decided, By: who, Decision: &d, Why: reason}, r.Decide(now, d)
	})
}

// Opine records the DPO's opinion. Anybody known may record that the DPO was not reached.
func (g *Gate) Opine(ctx context.Context, ticket, person string, w approval.OpinionWord, text string, met bool) (approval.Ticket, error) {
	who, err := g.settings.Load().person(person)
	if err != nil {
		return approval.Ticket{}, err
	}
	return g.word(ctx, ticket, func(now time.Time, r *approval.Record) (approval.GateChanged, error) {
		if err := r.Opine(now, approval.Opinion{Person: who, Word: w, Text: text, Met: met, At: now}); err != nil {
			return approval.GateChanged{}, err
		}
		o := r.Ticket.Opinions[len(r.Ticket.Opinions)-1]
		return approval.GateChanged{What: approval.Opined, By: who, Opinion: &o, Why: text}, nil
	})
}

// word is a change that may complete the ticket, which then goes live at once if its rules say so.
func (g *Gate) word(ctx context.Context, ticket string, e edit) (approval.Ticket, error) {
	if err := g.begin(ctx); err != nil {
		return approval.Ticket{}, err
	}
	defer g.leave()
	t, err := g.apply(ctx, ticket, e)
	w := g.known(ticket)
	if err == nil {
		g.approvedChange(t)
	}
	if err != nil || t.State != approval.Approved || w == nil || !w.Rules.AutoActivate || !t.Grants() {
		return t, err
	}
	live, err := g.activate(ctx, ticket, ruleActivation)
	if err != nil {
		// The word itself counted. The clock tries the activation again until its time is over.
		g.logger.Warn("an approved ticket is not live yet", "ticket", ticket, "error", err)
		return t, nil
	}
	return live, nil
}

// Activate turns APPROVED into ACTIVE.
func (g *Gate) Activate(ctx context.Context, ticket, person string) (approval.Ticket, error) {
	who, err := g.settings.Load().person(person)
	if err != nil {
		return approval.Ticket{}, err
	}
	if err := g.begin(ctx); err != nil {
		return approval.Ticket{}, err
	}
	defer g.leave()
	return g.activate(ctx, ticket, who)
}

// activate is Activate for the holder of the turn. The count of calls is laid out first: a live grant without a count is one whose count was
// lost.
func (g *Gate) activate(ctx context.Context, ticket, who string) (approval.Ticket, error) {
	t, err := g.apply(ctx, ticket, func(now time.Time, r *approval.Record) (approval.GateChanged, error) {
		if err := r.Activate(now, who); err != nil {
			return approval.GateChanged{}, err
		}
		if err := g.openQuota(ctx, r); err != nil {
			return approval.GateChanged{}, err
		}
		return approval.GateChanged{What: approval.Activated, By: who, Why: r.Ticket.Why}, nil
	})
	if err != nil {
		return t, err
	}
	g.opened(ctx, t)
	return t, nil
}

// opened does what follows a grant's going live: its first calls are reserved, and it takes the place of an older grant for the same scope.
func (g *Gate) opened(ctx context.Context, t approval.Ticket) {
	if err := g.renew(ctx, t.ID); err != nil {
		g.logger.Warn("no calls could be reserved yet", "ticket", t.ID, "error", err)
	}
	for _, old := range g.openTickets() {
		if old.ID == t.ID || old.State != approval.Active || !old.Plan.Scope.Same(t.Plan.Scope) {
			continue
		}
		if err := g.supersede(ctx, old.ID, t.ID); err != nil {
			g.logger.Warn("the older grant for the same scope goes on until its end", "ticket", old.ID, "error", err)
		}
	}
}

// Withdraw ends a ticket that is not live, by who asked for it.
func (g *Gate) Withdraw(ctx context.Context, ticket, person, why string) (approval.Ticket, error) {
	who, err := g.settings.Load().who(person)
	if err != nil {
		return approval.Ticket{}, err
	}
	return g.change(ctx, ticket, func(now time.Time, r *approval.Record) (approval.GateChanged, error) {
		switch t := &r.Ticket; {
		case t.State != approval.Pending && t.State != approval.Approved:
			return approval.GateChanged{}, approval.Refuse(approval.RuleClosed, fmt.Sprintf("the ticket is %s", t.State), "a live grant is revoked")
		case t.RequestedBy != who:
			return approval.GateChanged{}, approval.Refuse(approval.RuleNotRequester, "only who asked may withdraw", "an approver may deny")
		}
		if err := approval.CheckText(why, true); err != nil {
			return approval.GateChanged{}, err
		}
		r.End(now, approval.Withdrawn, "withdrawn: "+why)
		return approval.GateChanged{What: approval.Withdrew, By: who, Why: why}, nil
	})
}

// Revoke ends an approved or live ticket. Approving roles, the DPO, operators, the requester and rules may.
func (g *Gate) Revoke(ctx context.Context, ticket, person, why string) (approval.Ticket, error) {
	who, err := g.settings.Load().who(person)
	if err != nil {
		return approval.Ticket{}, err
	}
	return g.change(ctx, ticket, func(now time.Time, r *approval.Record) (approval.GateChanged, error) {
		t := &r.Ticket
		may := strings.HasPrefix(who, approval.ByRule) || who == t.RequestedBy || r.HoldsAny(who, append(slices.Clone(r.Rules.Roles), r.Rules.OpinionRole, approval.RoleOperator)...)
		switch {
		case t.State != approval.Approved && !t.State.Live():
			return approval.GateChanged{}, approval.Refuse(approval.RuleClosed, fmt.Sprintf("the ticket is %s", t.State), "only an approved or live ticket is revoked; a waiting one is denied or withdrawn")
		case !may:
			return approval.GateChanged{}, approval.Refuse(approval.RuleRoleNotHeld, "the person may not revoke", "an approving role, the opinion role, an "+approval.RoleOperator+" or the requester may")
		}
		if err := approval.CheckText(why, true); err != nil {
			return approval.GateChanged{}, err
		}
		r.End(now, approval.Revoked, "revoked: "+why)
		if who == approval.ByRecovery {
			t.EndedBy = who
		}
		return approval.GateChanged{What: approval.Revocation, By: who, Why: why}, nil
	})
}

// Invalid gives the tickets that Invalidate would end, in the order of their ids.
func (g *Gate) Invalid(match func(approval.Ticket) bool) []approval.Ticket {
	return slices.DeleteFunc(g.openTickets(), func(t approval.Ticket) bool { return !match(t) })
}

// Invalidate ends every open ticket that match says is void (instrument struck, policy changed). It goes on past a failure and gives all of them.
func (g *Gate) Invalidate(ctx context.Context, why string, match func(approval.Ticket) bool) error {
	if err := g.begin(ctx); err != nil {
		return err
	}
	defer g.leave()
	errs := []error{g.refresh(ctx)}
	for _, t := range g.Invalid(match) {
		_, err := g.apply(ctx, t.ID, func(now time.Time, r *approval.Record) (approval.GateChanged, error) {
			if !r.Ticket.State.Open() || !match(r.Ticket.Clone()) {
				return approval.GateChanged{}, errUnchanged
			}
			r.End(now, approval.Invalidated, cut(why))
			return approval.GateChanged{What: approval.Invalidation, By: ruleGate, Why: r.Ticket.Why}, nil
		})
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}
