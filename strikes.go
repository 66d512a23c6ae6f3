package cordon

import (
	"context"
	"encoding/json"
	"errors"
	"maps"
	"slices"
	"time"

	"github.com/cordonsip/cordon/approval"
	"github.com/cordonsip/cordon/audit"
	"github.com/cordonsip/cordon/configs"
	"github.com/cordonsip/cordon/sovereign"
	"github.com/cordonsip/cordon/state"
)

// effect is when a suspension takes effect on this node: its own moment, or that at which the node read of it. Told: the log has it.
type effect struct {
	From time.Time `json:"from"`
	Told bool      `json:"told"`
}

// effects are those of the overlay, by instrument. Immutable.
type effects map[string]effect

// effectsKey is where they lie in the state: what was running when the law changed may go on after a restart for no longer than before it.
const effectsKey = "law.effects"

// with adds what an overlay brings. What is in force already stays so since when it was; what lies ahead may come sooner.
func (e effects) with(overlay []sovereign.Suspension, now time.Time) effects {
	next := maps.Clone(e)
	if next == nil {
		next = effects{}
	}
	for _, s := range overlay {
		from := s.Since
		if from.Before(now) {
			from = now
		}
		if known, ok := next[s.Instrument]; !ok || from.Before(known.From) {
			next[s.Instrument] = effect{From: from}
		}
	}
	return next
}

// and adds what was made of e meanwhile: what is known stays, unless it is to come sooner.
func (e effects) and(more effects) effects {
	next := maps.Clone(more)
	for id, x := range e {
		if y, ok := next[id]; !ok || !y.From.Before(x.From) {
			next[id] = x
		}
	}
	return next
}

// leaves are what the rules give to what was running, for each suspension and each cut.
func (e effects) leaves(law *configs.LawPart, overlay []sovereign.Suspension, cuts []sovereign.Sever) []sovereign.Leave {
	var out []sovereign.Leave
	done := map[string]bool{}
	for _, s := range overlay {
		if x, ok := e[s.Instrument]; ok && !done[s.Instrument] {
			done[s.Instrument] = true
			out = append(out, law.Leaves(s.Instrument, x.From)...)
		}
	}
	for _, c := range cuts { // a cut knows no rule: a last word, and that is all
		out = append(out, configs.Running{}.Leave(c.Cause(), "", c.From))
	}
	return out
}

// recall reads what an earlier run wrote down, if one did; without it everything in the overlay takes effect now.
func (k *policyKeeper) recall(ctx context.Context) (known bool, err error) {
	item, err := k.node.kv.Get(ctx, effectsKey)
	if errors.Is(err, state.ErrNotFound) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	return true, json.Unmarshal(item.Data, &k.effects)
}

// remember writes it down for the next run.
func (k *policyKeeper) remember(ctx context.Context) {
	k.mu.Lock()
	data, err := json.Marshal(k.effects)
	k.mu.Unlock()
	if err == nil {
		item, gerr := k.node.kv.Get(ctx, effectsKey)
		if err = gerr; err == nil || errors.Is(err, state.ErrNotFound) {
			_, err = k.node.kv.Swap(ctx, effectsKey, item.Rev, data)
		}
	}
	if err != nil {
		k.node.logger.Warn("when suspensions took effect could not be stored; after a restart they take effect anew", "error", err)
	}
}

// build is the snapshot of a configuration and an overlay, of the next generation. The caller holds mu.
func (k *policyKeeper) build(cfg *configs.Config, overlay []sovereign.Suspension) (*sovereign.Snapshot, effects, error) {
	snap, err := cfg.Snapshot(k.generation, k.grants, overlay)
	if err != nil {
		return nil, nil, err
	}
	e := k.effects.with(overlay, time.Now())
	return k.drilled.strike(snap, &cfg.Law, overlay, e, k.cuts), e, nil
}

// restruck is the snapshot in force with another overlay or other cuts, of the next generation: it cannot fail. The caller holds mu.
func (k *policyKeeper) restruck() *sovereign.Snapshot {
	k.effects = k.effects.with(k.overlay, time.Now())
	return k.drilled.strike(k.node.fence.Snapshot(), &k.cfg.Law, k.overlay, k.effects, k.cuts)
}

// comeIntoForce does what follows when a suspension takes effect, at the moment that it names or at once. The fence needed nobody for it.
func (k *policyKeeper) comeIntoForce(ctx context.Context) {
	now := time.Now()
	k.mu.Lock()
	var due []string
	late := false
	for id, e := range k.effects {
		if !e.Told && !now.Before(e.From) && slices.ContainsFunc(k.overlay, func(s sovereign.Suspension) bool { return s.Instrument == id }) {
			due = append(due, id)
			late = late || e.From.After(k.swapped)
		}
	}
	if late { // the calls look at their passes when a snapshot is put in force
		k.up = k.node.callsOf()
		k.put(k.restruck())
	}
	up := k.up
	k.up = nil
	k.mu.Unlock()
	if len(due) == 0 {
		return
	}
	if up == nil {
		up = k.node.callsOf()
	}
	slices.Sort(due)
	k.node.checker.Poke()
	k.node.router.Poke()
	for _, id := range due {
		k.enforce(ctx, id, up)
	}
	k.remember(ctx)
	if late {
		k.after(ctx, "suspension")
	}
}

// enforce writes down that one suspension takes effect, and ends the tickets and grants for places that it closed.
func (k *policyKeeper) enforce(ctx context.Context, id string, up callCount) {
	k.mu.Lock()
	e := k.effects[id]
	ev := audit.LawInForce{Instrument: id, From: e.From}
	var others []sovereign.Suspension
	for _, s := range k.overlay {
		switch {
		case s.Instrument != id:
			others = append(others, s)
		case ev.Since.IsZero() || s.Since.Before(ev.Since):
			ev.Since = s.Since
		}
	}
	law := &k.cfg.Law
	k.mu.Unlock()
	s := k.node.fence.Snapshot()
	ev.Parties = running(law, id, e.From, newlyHeld(s.WithSuspensions(others), s, e.From), up)
	if _, err := k.node.log.Append(context.WithoutCancel(ctx), ev); err != nil {
		k.node.logger.Error("a suspension took effect and could not be logged", "instrument", id, "error", err)
		return // said again at the next look
	}
	k.mu.Lock()
	k.effects = maps.Clone(k.effects)
	k.effects[id] = effect{From: e.From, Told: true}
	k.mu.Unlock()
	k.invalidate(ctx, "an instrument was suspended", struckBy(s, e.From))
}

// struckBy matches the tickets from before a moment that name a region which a suspension closed then.
func struckBy(s *sovereign.Snapshot, from time.Time) func(approval.Ticket) bool {
	return func(t approval.Ticket) bool {
		return t.RequestedAt.Before(from) && slices.ContainsFunc(t.Plan.Scope.Regions, func(name string) bool {
			r, err := sovereign.ParseRegion(name)
			return err == nil && s.JudgeRegion(r, from).Ground == sovereign.GroundSuspended
		})
	}
}

// otherFacts matches the tickets that people decide under another law table than that of s.
func otherFacts(s *sovereign.Snapshot) func(approval.Ticket) bool {
	facts := s.FactsDigest()
	return func(t approval.Ticket) bool { return t.Plan.FactsDigest != facts }
}

// newlyHeld are the parties that one snapshot permitted by itself, on each plane, and another does not.
func newlyHeld(before, after *sovereign.Snapshot, at time.Time) []string {
	permits := func(s *sovereign.Snapshot, name string) bool {
		bare := s.WithGrants(nil)
		return bare.JudgeParty(name, sovereign.Signalling, sovereign.Production, at).Permitted() && bare.JudgeParty(name, sovereign.Media, sovereign.Production, at).Permitted()
	}
	var out []string
	for _, p := range after.Parties() {
		if p.Kind != sovereign.KindInfrastructure && permits(before, p.Name) && !permits(after, p.Name) {
			out = append(out, p.Name)
		}
	}
	slices.Sort(out)
	return out
}

// running says what the rule makes of the calls of each of these parties.
func running(law *configs.LawPart, cause string, from time.Time, parties []string, calls callCount) []audit.RunningCalls {
	var out []audit.RunningCalls
	for _, p := range parties {
		routes := law.RoutesOf(p)
		if len(routes) == 0 {
			routes = []string{""}
		}
		for _, route := range routes {
			rule := law.For(p, route)
			out = append(out, audit.RunningCalls{Party: p, Route: route, Rule: rule.How, Until: rule.Leave(cause, p, from).Until, Calls: calls[share{p, route}]})
		}
	}
	return out
}

// share are the calls of a party, or those of them that came by one route.
type share struct{ party, route string }

type callCount map[share]int

// callsOf counts the calls that are up, by trunk and by edge group, and by route. Calls for help are not among them.
func (n *Node) callsOf() callCount {
	out := callCount{}
	if n.edge == nil {
		return out
	}
	n.edge.Up(func(trunk, group, route string) {
		for _, party := range [...]string{trunk, group} {
			out[share{party, ""}]++
			if route != "" {
				out[share{party, route}]++
			}
		}
	})
	return out
}
