package cordon

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/cordonsip/cordon/admin"
	"github.com/cordonsip/cordon/approval"
	"github.com/cordonsip/cordon/audit"
	"github.com/cordonsip/cordon/configs"
	"github.com/cordonsip/cordon/healthcheck"
	"github.com/cordonsip/cordon/notify"
	"github.com/cordonsip/cordon/routing"
	"github.com/cordonsip/cordon/sip"
	"github.com/cordonsip/cordon/sovereign"
)

// What a suspension would do, before it is done: the snapshot with the suspension in it is made as look makes it, and every room that would act on it is asked what it
// would do. Nothing is put in force and nothing is written. A node asks its own name servers for the names of destinations, as it does before it dials them.

// lookupPatience bounds those questions.
const lookupPatience = 3 * time.Second

// foresight is what the answer is made of.
type foresight struct {
	s         sovereign.Suspension
	now, then *sovereign.Snapshot // then: with the suspension, and without the grants that end with it
	from      time.Time           // when it takes effect
	at        time.Time           // of the judgement: from, or later
	already   bool
	law       *configs.LawPart
	calls     callCount
	table     *healthcheck.Table
	keys      func(party string) bool
	routes    []routing.Rehearsal
	tickets   []approval.Ticket
	live      map[string]bool // those of them that a live grant is of
	fates     []sip.Fate
	places    []admin.WhatIfDestination
	unknown   []string
	node      bool
}

// asker answers at the door.
type asker struct{ n *Node }

var _ admin.LawAsker = asker{}

// Law answers what a suspension would do.
func (n *Node) Law() admin.LawAsker { return asker{n} }

// WhatIf implements admin.LawAsker. What was asked amiss is a *routing.NotDone.
func (a asker) WhatIf(ctx context.Context, q admin.WhatIfQuestion) (admin.WhatIf, error) {
	n, k := a.n, a.n.policy
	f, err := askedOf(q)
	if err != nil {
		return admin.WhatIf{}, err
	}
	k.mu.Lock()
	f.now = n.fence.Snapshot()
	f.strike(k.cfg, k.overlay, k.effects, k.cuts)
	k.mu.Unlock()
	if !f.already {
		read, struck := otherFacts(f.then), struckBy(f.then, f.from)
		f.tickets = n.gate.Invalid(func(t approval.Ticket) bool { return read(t) || struck(t) })
	}
	var grants []approval.Grant // that stay
	var stay []sovereign.Grant
	f.live = map[string]bool{}
	for _, g := range n.gate.Grants() {
		if slices.ContainsFunc(f.tickets, func(t approval.Ticket) bool { return t.ID == g.ID }) {
			f.live[g.ID] = true
			continue
		}
		grants, stay = append(grants, g), append(stay, sovereignGrant(g))
	}
	f.then = f.then.WithGrants(stay)
	f.node, f.table, f.calls = true, n.checker.Table(), n.callsOf()
	f.keys = keysOf(n.cfg.Load())
	f.routes = n.router.Rehearse(f.then, grants, f.at)
	if f.fates, err = n.edge.Foresee(ctx, f.then, f.at); err != nil {
		return admin.WhatIf{}, err
	}
	f.destinations(ctx, n.cfg.Load(), n.resolver.Host)
	return f.view(), nil
}

// WhatIf is the same without a node: by a configuration and its suspensions, with every target that has an address taken to be up, and without calls and tickets.
func WhatIf(ctx context.Context, cfg *configs.Config, q admin.WhatIfQuestion) (admin.WhatIf, error) {
	f, err := askedOf(q)
	if err != nil {
		return admin.WhatIf{}, err
	}
	overlay, err := cfg.Overlay()
	if err != nil {
		f.unknown = append(f.unknown, "some suspensions are refused: "+err.Error())
	}
	if f.now, err = cfg.Snapshot(1, nil, overlay); err != nil {
		return admin.WhatIf{}, err
	}
	known := effects{}.with(overlay, time.Time{})
	f.now = f.now.WithStrikes(overlay, known.leaves(&cfg.Law, overlay, nil), nil)
	f.strike(cfg, overlay, known, nil)
	f.table = f.standIns(cfg)
	f.keys = keysOf(cfg)
	if f.routes, err = routing.Rehearse(cfg.Rules, f.table, f.now, f.then, f.at); err != nil {
		return admin.WhatIf{}, err
	}
	f.destinations(ctx, cfg, nil)
	f.unknown = append(f.unknown, "no node was asked: calls, tickets and grants are not known, and every target that has an address is taken to be up")
	return f.view(), nil
}

// askedOf reads a question.
func askedOf(q admin.WhatIfQuestion) (*foresight, error) {
	f := &foresight{at: q.At.UTC()}
	if q.At.IsZero() {
		f.at = time.Now().UTC()
	}
	f.s = sovereign.Suspension{Instrument: q.Instrument, Since: q.Since.UTC(), Reason: "what if"}
	if q.Since.IsZero() {
		f.s.Since = f.at
	}
	if err := f.s.Check(); err != nil {
		return nil, &routing.NotDone{What: strings.TrimPrefix(err.Error(), "sovereign: "), Hint: "cordon law list shows the instruments"}
	}
	return f, nil
}

// strike makes the snapshot as it would be once the suspension has been read.
func (f *foresight) strike(cfg *configs.Config, overlay []sovereign.Suspension, known effects, cuts []sovereign.Sever) {
	overlay = mergeSuspensions(overlay, []sovereign.Suspension{f.s})
	e := known.with(overlay, f.at)
	f.from, f.law = e[f.s.Instrument].From, &cfg.Law
	if x, ok := known[f.s.Instrument]; ok && !f.from.Before(x.From) {
		f.already = true
	}
	if f.at.Before(f.from) {
		f.at = f.from
	}
	f.then = f.now.WithStrikes(overlay, e.leaves(f.law, overlay, cuts), cuts)
}

// standIns is a table in which every member that has an address is up. One with a name stands at an address that its configuration places where the party is.
func (f *foresight) standIns(cfg *configs.Config) *healthcheck.Table {
	t := &healthcheck.Table{At: f.at, ByParty: map[string][]healthcheck.Status{}}
	for _, w := range cfg.Watched {
		party, _ := f.now.Party(w.Party)
		for _, m := range w.Members {
			addr, err := netip.ParseAddr(m.Host)
			if err != nil {
				if addr = placedIn(cfg, party.Region); !addr.IsValid() {
					f.unknown = append(f.unknown, fmt.Sprintf("%s is a name, and no declared prefix lies in %s: it is judged by no address", m.Host, party.Region))
				}
			}
			st := healthcheck.Status{State: healthcheck.Up, Why: "taken to be up", Since: f.at}
			st.Target = healthcheck.Target{Party: w.Party, Member: m.Name, Name: m.Host, Transport: m.Transport, Addr: netip.AddrPortFrom(addr, m.Port)}
			t.ByParty[w.Party] = append(t.ByParty[w.Party], st)
		}
	}
	return t
}

// placedIn is an address in a region, by what the configuration declares.
func placedIn(cfg *configs.Config, r sovereign.Region) netip.Addr {
	for _, d := range cfg.Declarations {
		if p, err := netip.ParsePrefix(d.Prefix); err == nil && d.Region == r {
			return p.Addr()
		}
	}
	return netip.Addr{}
}

func keysOf(cfg *configs.Config) func(party string) bool {
	return func(party string) bool {
		i := slices.IndexFunc(cfg.Profiles, func(p sip.Party) bool { return p.Name == party })
		return i >= 0 && cfg.Profiles[i].Keys
	}
}

// destinations finds those that the fence would shut. lookup asks for the addresses of a name; nil: nobody may be asked.
func (f *foresight) destinations(ctx context.Context, cfg *configs.Config, lookup func(context.Context, string) ([]netip.Addr, error)) {
	ctx, cancel := context.WithTimeout(ctx, lookupPatience)
	defer cancel()
	list := cfg.Destinations()
	found := make([][]netip.Addr, len(list))
	failed := make([]error, len(list))
	var wg sync.WaitGroup
	for i, d := range list {
		if a, err := netip.ParseAddr(d.Host); err == nil {
			found[i] = []netip.Addr{a}
		} else if lookup != nil {
			wg.Go(func() { found[i], failed[i] = lookup(ctx, d.Host) })
		}
	}
	wg.Wait()
	for i, d := range list {
		if len(found[i]) == 0 {
			why := "its address is not known here"
			if failed[i] != nil {
				why = "its name was not resolved"
			}
			f.unknown = append(f.unknown, d.Kind+" "+d.Name+": "+why)
		}
		for _, a := range found[i] {
			f.destination(d, netip.AddrPortFrom(a, d.Port))
		}
	}
}

func (f *foresight) destination(d configs.Destination, to netip.AddrPort) {
	ask := sovereign.Ask{Plane: sovereign.Infrastructure, Addr: to, Region: d.Region, At: f.at}
	if r := f.then.Judge(ask); f.now.Judge(ask).Permitted() && !r.Permitted() {
		f.places = append(f.places, admin.WhatIfDestination{Kind: d.Kind, Name: d.Name, Address: to.String(), Country: string(r.Country), Ground: string(r.Ground)})
	}
}

// view is the answer.
func (f *foresight) view() admin.WhatIf {
	v := admin.WhatIf{
		Instrument: f.s.Instrument, Since: f.s.Since, From: f.from.UTC(), Already: f.already, Node: f.node, PolicyDigest: f.now.PolicyDigest(), FactsDigest: f.now.FactsDigest(),
		Parties: []admin.WhatIfParty{}, Targets: f.targets(), Routes: []admin.WhatIfRoute{}, Tickets: []admin.WhatIfTicket{},
		Destinations: append([]admin.WhatIfDestination{}, f.places...), Alarms: []admin.WhatIfAlarm{}, Unknown: append([]string{}, f.unknown...),
	}
	held := newlyHeld(f.now, f.then, f.at)
	for _, r := range running(f.law, f.s.Instrument, f.from, held, f.calls) {
		v.Parties = append(v.Parties, f.party(r))
	}
	for _, h := range f.routes {
		if r, touched := f.route(h, held); touched {
			v.Routes = append(v.Routes, r)
		}
	}
	for _, t := range f.tickets {
		v.Tickets = append(v.Tickets, admin.WhatIfTicket{ID: t.ID, State: string(t.State), Grant: f.live[t.ID], Scope: t.Plan.Scope})
	}
	f.alarms(&v)
	return v
}

func (f *foresight) party(r audit.RunningCalls) admin.WhatIfParty {
	p, _ := f.then.Party(r.Party)
	ru := f.then.JudgeParty(r.Party, sovereign.Signalling, sovereign.Production, f.at)
	if m := f.then.JudgeParty(r.Party, sovereign.Media, sovereign.Production, f.at); ru.Permitted() {
		ru = m
	}
	return admin.WhatIfParty{
		Party: r.Party, Kind: p.Kind.String(), Region: ru.Region.String(), Country: string(ru.Country), Verdict: ru.Verdict.String(), Ground: string(ru.Ground), Why: ru.Why,
		Route: r.Route, Rule: r.Rule, Until: r.Until.UTC(), Calls: r.Calls,
	}
}

// targets are those that would be neither called nor probed any more.
func (f *foresight) targets() []admin.WhatIfTarget {
	out := []admin.WhatIfTarget{}
	for _, party := range f.then.Parties() {
		for _, st := range f.table.ByParty[party.Name] {
			if !st.Target.Addr.IsValid() || !f.open(f.now, &st.Target).Permitted() {
				continue
			}
			if r := f.open(f.then, &st.Target); !r.Permitted() {
				out = append(out, admin.WhatIfTarget{Target: st.Target.ID(), Region: r.Region.String(), Country: string(r.Country), Ground: string(r.Ground)})
			}
		}
	}
	return out
}

// open is the first answer about a target that does not permit it, or the last.
func (f *foresight) open(s *sovereign.Snapshot, t *healthcheck.Target) (r sovereign.Ruling) {
	for _, a := range []sovereign.Ask{
		{Party: t.Party, Plane: sovereign.Signalling},
		{Party: t.Party, Plane: sovereign.Media},
		{Party: t.Party, Plane: sovereign.Signalling, Addr: t.Addr, Keys: f.keys(t.Party)},
	} {
		a.At = f.at
		if r = s.Judge(a); !r.Permitted() {
			break
		}
	}
	return r
}

func (f *foresight) route(h routing.Rehearsal, held []string) (r admin.WhatIfRoute, touched bool) {
	r = admin.WhatIfRoute{
		Route: h.Route, Active: h.Active, Lost: append([]string{}, h.Lost...), Origins: []string{}, Kind: string(h.Kind), Next: h.Next,
		Verdict: h.Verdict.String(), NoHop: h.NoHop, Why: h.Why,
	}
	for _, o := range h.Origins {
		if slices.Contains(held, o) {
			r.Origins = append(r.Origins, o)
		}
	}
	for _, x := range f.fates {
		if x.Route != h.Route {
			continue
		}
		switch x.How {
		case sip.FateEnded:
			r.Calls.Ended++
		case sip.FateRerouted:
			r.Calls.Rerouted++
		case sip.FateGivenUp:
			r.Calls.GivenUp++
		case sip.FateLeave:
			if f.law.For(x.Party, x.Route).How == configs.RunningFinish {
				r.Calls.Finished++
			} else {
				r.Calls.Later++
			}
		}
	}
	return r, len(h.Lost)+len(r.Origins) > 0 || r.Calls != admin.WhatIfCalls{}
}

// alarms are the entries that would be written, with the urgency of their notices.
func (f *foresight) alarms(v *admin.WhatIf) {
	add := func(k audit.Kind, about string) {
		v.Alarms = append(v.Alarms, admin.WhatIfAlarm{Kind: string(k), Severity: string(notify.SeverityOf(notify.Notice{Kind: k})), About: about})
	}
	if f.already {
		return
	}
	add(audit.KindLawSuspended, f.s.Instrument)
	add(audit.KindLawInForce, f.s.Instrument)
	for _, t := range v.Tickets {
		add(audit.KindGateChanged, t.ID)
	}
	for _, h := range f.routes {
		if len(h.Lost) == 0 {
			continue
		}
		for _, x := range h.Refused {
			add(audit.KindFailoverRefused, h.Route+": "+x.Party)
		}
		if h.Kind != "" {
			add(h.Kind, h.Route+": "+h.Next)
		}
	}
}
