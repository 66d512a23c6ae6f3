package routing

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/cordonsip/cordon/audit"
	"github.com/cordonsip/cordon/routing/desk"
	"github.com/cordonsip/cordon/sovereign"
)

// NotDone says why something that a person asked for was not done, and what to do instead. Nothing was changed.
type NotDone struct {
	Ground sovereign.Ground // of the law, where it was the law
	What   string
	Hint   string
}

func (e *NotDone) Error() string { return "routing: " + e.What }

// order is something that a person asks for. Run carries it out between two looks at the routes, so that neither sees the other half-way.
type order struct {
	do   func(ctx context.Context) error
	done chan error
}

// ask hands f to Run and waits for it.
func (r *Router) ask(ctx context.Context, f func(ctx context.Context) error) error {
	if r.cfg.Desk == nil {
		return errors.New("routing: nobody can decide here: there is no desk")
	}
	o := order{do: f, done: make(chan error, 1)}
	select {
	case r.orders <- o:
	case <-ctx.Done():
		return fmt.Errorf("routing: the order was not taken: %w", ctx.Err())
	}
	select {
	case err := <-o.done:
		return err
	case <-ctx.Done():
		return fmt.Errorf("routing: the order is under way: %w", ctx.Err())
	}
}

// Halfway says that an order changed some routes and could not change the others.
type Halfway struct {
	Done []Switched
	Left []string // routes that are as they were
	Err  error    // of the first of them
}

func (e *Halfway) Error() string {
	return fmt.Sprintf("routing: changed: %s; not changed: %s: %v", e.Changed(), strings.Join(e.Left, ", "), e.Err)
}

func (e *Halfway) Unwrap() error { return e.Err }

// Changed names the routes that were changed, with the party that each uses now.
func (e *Halfway) Changed() string {
	var list []string
	for _, s := range e.Done {
		list = append(list, s.Route+" to "+s.To)
	}
	return strings.Join(list, ", ")
}

// askRoutes is ask for an order that changes routes. What it changed comes with its answer: who does not wait for that shares nothing with Run, which goes on.
func (r *Router) askRoutes(ctx context.Context, f func(ctx context.Context) ([]Switched, error)) ([]Switched, error) {
	changed := make(chan []Switched, 1)
	err := r.ask(ctx, func(ctx context.Context) error {
		done, err := f(ctx)
		changed <- done
		return err
	})
	if err != nil {
		return nil, err
	}
	return <-changed, nil
}

// Desk is the book of what people decided; never nil.
func (r *Router) Desk() *desk.Book {
	if b := r.book(); b != nil {
		return b
	}
	return &desk.Book{}
}

func (r *Router) expire(ctx context.Context, now time.Time) {
	if r.cfg.Desk == nil {
		return
	}
	one, cancel := context.WithTimeout(context.WithoutCancel(ctx), patience)
	defer cancel()
	if err := r.cfg.Desk.Expire(one, now); err != nil {
		r.log.Error("the end of an administrative state waits for the log", "err", err)
	}
}

// SetService changes the administrative state of a trunk, a group, a target or a region: the entry first, then the effect. by is a pseudonym.
func (r *Router) SetService(ctx context.Context, s desk.Service) error {
	if err := r.checkService(&s); err != nil {
		return err
	}
	return r.ask(ctx, func(ctx context.Context) error {
		was := desk.InService
		for _, o := range r.Desk().List(time.Now()) {
			if o.Kind == s.Kind && o.Name == s.Name {
				was = o.State
			}
		}
		ev := audit.ServiceChanged{What: s.Kind, Name: s.Name, From: string(was), To: string(s.State), Reason: s.Reason, By: s.By, Until: s.Until}
		if _, err := r.cfg.Desk.Decide(ctx, ev); err != nil {
			return err
		}
		r.log.Info("administrative state", "kind", s.Kind, "name", s.Name, "from", ev.From, "to", ev.To, "until", s.Until)
		if s.State == desk.InService && r.cfg.Released != nil {
			r.cfg.Released(s.Name)
		}
		return nil
	})
}

func (r *Router) checkService(s *desk.Service) error {
	if !slices.Contains(desk.Kinds(), s.Kind) {
		return &NotDone{What: fmt.Sprintf("%q is no kind", s.Kind), Hint: "one of " + strings.Join(desk.Kinds(), ", ")}
	}
	if !slices.Contains(desk.States(), s.State) {
		return &NotDone{What: fmt.Sprintf("%q is no state", s.State), Hint: "one of in_service, draining, out, test_only"}
	}
	if err := reasoned(s.Reason); err != nil {
		return err
	}
	if !s.Until.IsZero() && !s.Until.After(time.Now()) {
		return &NotDone{What: "until lies in the past", Hint: "give a later moment, or none"}
	}
	known := r.known(s.Kind)
	if !slices.Contains(known, s.Name) {
		return &NotDone{What: fmt.Sprintf("%q is no %s of this node", s.Name, s.Kind), Hint: "known: " + strings.Join(known[:min(len(known), 20)], ", ")}
	}
	return nil
}

const maxReason = 1000

func reasoned(why string) error {
	if n := len(strings.TrimSpace(why)); n == 0 || n > maxReason {
		return &NotDone{What: "a reason is needed, of at most 1000 bytes", Hint: "say why; it stands in the log, so write no name or number into it"}
	}
	return nil
}

// known lists the names of one kind.
func (r *Router) known(kind string) []string {
	c := r.rules.Load()
	names := map[string]bool{}
	switch kind {
	case desk.Trunk:
		return slices.Sorted(maps.Keys(c.Trunks))
	case desk.Group:
		return slices.Sorted(maps.Keys(c.Groups))
	case desk.Region:
		for _, t := range c.Trunks {
			names[t.Region.String()] = true
		}
		for _, g := range c.Groups {
			names[g.Region.String()] = true
		}
		for _, list := range r.table().ByParty {
			for i := range list {
				if reg := list[i].Target.Ruling.Region; !reg.IsZero() {
					names[reg.String()] = true
				}
			}
		}
	case desk.Target:
		for party, list := range r.table().ByParty {
			for i := range list {
				names[party+"/"+list[i].Target.Member] = true
				if list[i].Target.Addr.IsValid() {
					names[list[i].Target.ID()] = true
				}
			}
		}
	}
	return slices.Sorted(maps.Keys(names))
}

// Switched is one route that a person changed.
type Switched struct {
	Route string `json:"route"`
	From  string `json:"from"`
	To    string `json:"to"`
	Why   string `json:"why"`
}

// Switch sends the routes that use a party to the permitted choice in a region, and keeps them there until Failback. Every route of it must be able to follow:
// otherwise nothing is changed; a log that fails in between gives a Halfway. What the policy does not permit by itself is refused: people open it at the gate, and not here.
func (r *Router) Switch(ctx context.Context, party string, to sovereign.Region, reason, by string) ([]Switched, error) {
	if err := reasoned(reason); err != nil {
		return nil, err
	}
	return r.askRoutes(ctx, func(ctx context.Context) ([]Switched, error) {
		c := r.rules.Load()
		if len(c.byParty[party]) == 0 {
			return nil, &NotDone{What: fmt.Sprintf("no route leads to %q", party), Hint: "known: " + strings.Join(slices.Sorted(maps.Keys(c.byParty)), ", ")}
		}
		var moves []*manual
		for _, rt := range c.byParty[party] {
			m, err := r.manually(c, rt, func(ch Choice) bool { return c.region(ch.Party) == to }, "in "+to.String())
			if err != nil {
				return nil, err
			}
			moves = append(moves, m)
		}
		return r.carryAll(ctx, moves, audit.RouteSwitched{Reason: reason, By: by})
	})
}

// Failback lets a route go back to its own order now, or every route that stands elsewhere when name is "". What people switched is forgotten; a route whose first
// choice is not up goes back to the best that is. A log that fails in between gives a Halfway.
func (r *Router) Failback(ctx context.Context, name, reason, by string) ([]Switched, error) {
	if err := reasoned(reason); err != nil {
		return nil, err
	}
	return r.askRoutes(ctx, func(ctx context.Context) ([]Switched, error) {
		c := r.rules.Load()
		var moves []*manual
		found := false
		for _, rt := range c.routes {
			if name != "" && rt.Name != name {
				continue
			}
			found = true
			_, pinned := r.Desk().Pin(rt.Name)
			m, err := r.manually(c, rt, func(ch Choice) bool { return true }, "of the route")
			if err != nil {
				if name == "" {
					continue // nothing better is to be had there
				}
				return nil, err
			}
			if pinned || m.view.choice.Party != m.was.Party {
				moves = append(moves, m)
			}
		}
		if !found {
			return nil, &NotDone{What: fmt.Sprintf("%q is no route", name), Hint: "cordon status lists them"}
		}
		return r.carryAll(ctx, moves, audit.RouteSwitched{Back: true, Reason: reason, By: by})
	})
}

// manual is a change of one route that a person asked for and the law permits.
type manual struct {
	rt     *route
	was    Active
	view   view
	ruling sovereign.Ruling
}

// manually finds the best choice of a route that fits, is permitted by itself and is reachable.
func (r *Router) manually(c *rules, rt *route, fits func(Choice) bool, where string) (*manual, error) {
	s := r.survey(c, rt, time.Now())
	slices.SortStableFunc(s.views, func(a, b view) int { return cmp.Compare(a.choice.Priority, b.choice.Priority) }) // a switch in force does not count here
	for i := range s.views {
		if v := &s.views[i]; v.grant == "" && v.best.Usable() && fits(v.choice) {
			return &manual{rt: rt, was: r.active.Load().routes[rt.Name], view: *v, ruling: s.rulings[v.choice.Party]}, nil
		}
	}
	return nil, s.whyNone(fits, where)
}

// whyNone says what keeps a person from switching: the law with its ground and the way to the gate, another person, or health.
func (s *survey) whyNone(fits func(Choice) bool, where string) error {
	var other *NotDone
	for _, f := range s.refused {
		i, listed := s.rt.index[f.Party]
		if !listed || !fits(s.rt.ordered[i]) {
			continue
		}
		if f.Ruling.Permitted() {
			other = cmp.Or(other, &NotDone{What: fmt.Sprintf("route %s: %s cannot be used: %s", s.rt.Name, f.Party, f.Why), Hint: "cordon status shows its health, cordon service list what people decided"})
			continue
		}
		hint := "the policy denies it: no person can switch there"
		if f.Ruling.Verdict == sovereign.Hold {
			hint = "a held place opens at the gate alone: the node asks people by itself when nothing permitted is left; cordon gate list shows what waits"
			if t := s.r.active.Load().routes[s.rt.Name].Ticket; t != "" {
				hint = "a held place opens at the gate alone: cordon gate show " + t
			}
		}
		return &NotDone{Ground: f.Ground, What: fmt.Sprintf("route %s: %s is not permitted (%s): %s", s.rt.Name, f.Party, f.Ground, f.Why), Hint: hint}
	}
	if other != nil {
		return other
	}
	for i := range s.views {
		if v := &s.views[i]; fits(v.choice) {
			if v.grant != "" {
				return &NotDone{Ground: sovereign.GroundGrant, What: fmt.Sprintf("route %s: %s is open under grant %s alone", s.rt.Name, v.choice.Party, v.grant), Hint: "the route goes there by itself while nothing else is reachable"}
			}
			return &NotDone{What: fmt.Sprintf("route %s: %s is %s", s.rt.Name, v.choice.Party, v.best), Hint: "wait until it was probed: cordon status"}
		}
	}
	return &NotDone{What: fmt.Sprintf("route %s has no choice %s", s.rt.Name, where), Hint: "its choices stand under routes in the configuration"}
}

// carryAll carries changes out in their order, and says what became of them where one fails.
func (r *Router) carryAll(ctx context.Context, moves []*manual, ev audit.RouteSwitched) ([]Switched, error) {
	var done []Switched
	for i, m := range moves {
		err := r.carryOut(ctx, m, ev)
		if err != nil && i == 0 {
			return nil, err
		}
		if err != nil {
			h := &Halfway{Done: done, Err: err}
			for _, left := range moves[i:] {
				h.Left = append(h.Left, left.rt.Name)
			}
			return nil, h
		}
		done = append(done, Switched{m.rt.Name, m.was.Party, m.view.choice.Party, ev.Reason})
	}
	return done, nil
}

// carryOut writes the entry and changes the active party.
func (r *Router) carryOut(ctx context.Context, m *manual, ev audit.RouteSwitched) error {
	ev.Route, ev.From, ev.To = m.rt.Name, m.was.Party, m.view.choice.Party
	ev.Region, ev.Country, ev.Verdict, ev.Ground = m.ruling.Region.String(), string(m.ruling.Country), m.ruling.Verdict.String(), string(m.ruling.Ground)
	if _, err := r.cfg.Desk.Decide(ctx, ev); err != nil {
		return err
	}
	a := Active{Route: m.rt.Name, Party: m.view.choice.Party, Since: time.Now(), Reason: ReasonManual, Why: "switched by hand: " + ev.Reason}
	if ev.Back {
		a.Reason, a.Why = m.rt.reason(a.Party), "let back by hand: "+ev.Reason
	}
	r.set(a)
	r.episode(m.rt).over()
	r.metrics.changes.WithLabelValues(m.rt.Name, string(audit.KindRouteSwitched)).Inc()
	r.log.Info("route switched by hand", "route", m.rt.Name, "from", m.was.Party, "to", a.Party, "back", ev.Back)
	return nil
}

// Migrate sends a share of a route's numbers, or ranges of them, to one party first. A migration of the route that is in force is replaced: the same numbers stay
// where they are as the share grows. The law is asked now, and again for every call.
func (r *Router) Migrate(ctx context.Context, m desk.Migration) error {
	if err := errors.Join(reasoned(m.Reason), checkMigration(m)); err != nil {
		return err
	}
	return r.ask(ctx, func(ctx context.Context) error {
		c := r.rules.Load()
		i := slices.IndexFunc(c.routes, func(rt *route) bool { return rt.Name == m.Route })
		if i < 0 {
			return &NotDone{What: fmt.Sprintf("%q is no route", m.Route), Hint: "cordon status lists them"}
		}
		rt := c.routes[i]
		if _, ok := rt.index[m.Party]; !ok {
			return &NotDone{What: fmt.Sprintf("%q is no choice of route %s", m.Party, m.Route), Hint: "list it under to in the configuration, with the last priority, and reload"}
		}
		found, err := r.manually(c, rt, func(ch Choice) bool { return ch.Party == m.Party }, "called "+m.Party)
		if err != nil {
			return err
		}
		ev := audit.RouteMigrated{
			Route: m.Route, To: m.Party, Share: m.Share, Ranges: m.Ranges, Reason: m.Reason, By: m.By, Region: found.ruling.Region.String(),
			Country: string(found.ruling.Country), Verdict: found.ruling.Verdict.String(), Ground: string(found.ruling.Ground),
		}
		_, err = r.cfg.Desk.Decide(ctx, ev)
		return err
	})
}

// shortRange is the least number of digits that a range leaves open: an entry of the log names no person's number.
const shortRange = 1

func checkMigration(m desk.Migration) error {
	if !(m.Share >= 0 && m.Share <= 1) || m.Share == 0 && len(m.Ranges) == 0 { // written so that NaN is refused
		return &NotDone{What: "a share between 0 and 1, or a range of numbers, is needed", Hint: "--share 10% or --range +4969*"}
	}
	for _, s := range m.Ranges {
		digits, star := strings.CutSuffix(s, "*")
		if !star || digits == "" || strings.Trim(strings.TrimPrefix(digits, "+"), "0123456789") != "" || len(digits) > 15-shortRange {
			return &NotDone{What: fmt.Sprintf("%q is no range", s), Hint: "write the beginning of the numbers and a star, such as +4969*"}
		}
	}
	return nil
}

// Rollback ends the migration of a route at once.
func (r *Router) Rollback(ctx context.Context, route, reason, by string) error {
	if err := reasoned(reason); err != nil {
		return err
	}
	return r.ask(ctx, func(ctx context.Context) error {
		m, ok := r.Desk().Migration(route)
		if !ok {
			return &NotDone{What: fmt.Sprintf("nothing of route %q is being migrated", route), Hint: "cordon service list shows what is"}
		}
		_, err := r.cfg.Desk.Decide(ctx, audit.RouteMigrated{Route: route, To: m.Party, Back: true, Share: m.Share, Ranges: m.Ranges, Reason: reason, By: by})
		return err
	})
}

// reasonOf says how a party that is permitted by itself came to be used.
func (r *Router) reasonOf(rt *route, party string) RouteReason {
	if pin, ok := r.book().Pin(rt.Name); ok && pin.Party == party {
		return ReasonManual
	}
	return rt.reason(party)
}

// opening is what a route begins with: what people switched it to before a restart, or its first choice.
func (r *Router) opening(rt *route, now time.Time) Active {
	if pin, ok := r.book().Pin(rt.Name); ok {
		if _, listed := rt.index[pin.Party]; listed {
			return Active{Route: rt.Name, Party: pin.Party, Since: now, Reason: ReasonManual, Why: "switched by hand: " + pin.Reason}
		}
	}
	return Active{Route: rt.Name, Party: rt.ordered[0].Party, Since: now, Reason: ReasonPrimary, Why: "first choice of the route"}
}
