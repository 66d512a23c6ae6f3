package cordon

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/cordonsip/cordon/admin"
	"github.com/cordonsip/cordon/audit"
	"github.com/cordonsip/cordon/drill/guard"
	"github.com/cordonsip/cordon/drill/register"
	"github.com/cordonsip/cordon/drill/scenario"
	"github.com/cordonsip/cordon/healthcheck"
	"github.com/cordonsip/cordon/internal/strict"
	"github.com/cordonsip/cordon/notify"
	"github.com/cordonsip/cordon/sovereign"
)

// prepared is a scenario with the names of this node in it.
type prepared struct {
	play  *scenario.Play
	mode  scenario.Mode
	share drillShare
	cap   int
	text  []byte
}

// drillShare is a share of calls as people write it.
type drillShare strict.Percent

// read takes "2.5%"; nothing is none.
func (s *drillShare) read(text string) *admin.DrillRefusal {
	if text == "" {
		return nil
	}
	number, sign := strings.CutSuffix(text, "%")
	f, err := strconv.ParseFloat(number, 64)
	if !sign || err != nil || !(f >= 0 && f <= 100) {
		return refuse("write it like 5% or 0.5%", "%.20q is no share of calls", text)
	}
	*s = drillShare(f*100 + 0.5)
	return nil
}

// Of gives it as a share of 1.
func (s drillShare) Of() float64 { return strict.Percent(s).Of() }

// length is how long it takes at most.
func (p *prepared) length() time.Duration {
	return time.Duration(p.play.End.After) + time.Duration(p.play.End.Restore)
}

// rate is how many calls it places each second at most.
func (p *prepared) rate() (cps float64) {
	for _, l := range p.play.Placed {
		cps += 1 / time.Duration(l.Each).Seconds()
	}
	return cps
}

// wanted is how many people beside its tester must agree.
func (p *prepared) wanted() int {
	if p.mode.Live() {
		return 1
	}
	return 0
}

// prepare finds what was ordered, and puts the names of this node in.
func (k *drillKeeper) prepare(o admin.DrillOrder, now time.Time) (*prepared, *admin.DrillRefusal) {
	cfg := k.node.cfg.Load()
	s, text, ok := cfg.Drills.Scenario(o.Scenario)
	if !ok {
		names := cfg.Drills.Names()
		hint := "known: " + strict.Words(names)
		if near := strict.Nearest(o.Scenario, names); near != "" {
			hint = fmt.Sprintf("did you mean %q?", near)
		}
		return nil, refuse(hint, "there is no scenario %.80q", o.Scenario)
	}
	p := &prepared{mode: scenario.Mode(o.Mode), cap: o.Cap, text: text}
	if no := p.share.read(o.Share); no != nil {
		return nil, no
	}
	switch {
	case p.mode == scenario.Simulation:
		return nil, refuse("sandbox, canary or full", "a simulation runs in tests: a node that is up has a real clock")
	case !slices.Contains(scenario.Modes(), p.mode):
		return nil, refuse("sandbox, canary or full", "%.20q is no mode", o.Mode)
	case p.mode != scenario.Canary && (p.share != 0 || o.Cap != 0):
		return nil, refuse("leave share and calls_cap out, or choose canary", "only a canary takes a share of the calls")
	case p.mode == scenario.Canary && o.Cap < 1:
		return nil, refuse("such as share 1% and calls_cap 5; without a share it takes calls of the drill alone", "a canary without a cap on its calls could take all of them")
	}
	if k.plays[p.mode] == nil {
		return nil, refuse("play it in a sandbox", "this node plays nothing as %s", p.mode)
	}
	world, err := DrillWorld(cfg, now)
	if err != nil {
		return nil, refuse("cordon check shows what is wrong with the configuration", "this node cannot be described: %v", err)
	}
	play, probs := s.Bind(world, o.Route)
	if len(probs) > 0 {
		var what, hint []string
		for _, x := range probs {
			what, hint = append(what, x.Path+": "+x.What), append(hint, x.Hint)
		}
		return nil, refuse(strings.Join(slices.Compact(hint), "; "), "the scenario does not fit this node: %s", strings.Join(what, "; "))
	}
	if err := play.Allows(p.mode); err != nil {
		return nil, refuse("play it in a sandbox", "%v", err)
	}
	p.play = play
	return p, nil
}

// prepared finds what was asked for again: the very text that people agreed to, or none.
func (k *drillKeeper) prepared(d *register.Drill, now time.Time) (*prepared, *admin.DrillRefusal) {
	r := &d.Request
	mode := scenario.Mode(r.Mode)
	for _, m := range scenario.Modes() {
		if m.Evidence() == r.Mode {
			mode = m
		}
	}
	p, no := k.prepare(admin.DrillOrder{Scenario: r.Scenario, Mode: string(mode), Route: r.Route, Share: fmt.Sprintf("%g%%", r.Share), Cap: r.Cap}, now)
	if no == nil && p.play.Digest != r.Digest {
		no = refuse("ask for it again", "the text of %s changed since it was asked for", r.Scenario)
	}
	return p, no
}

// begins is when a drill that everybody agreed to begins, and until when it may: as people asked, or as soon as they were told and a window is open for long enough. One in
// a sandbox begins at once. ok is false when no window ever is.
func (k *drillKeeper) begins(d *register.Drill, p *prepared) (at, last time.Time, ok bool) {
	cfg := &k.node.cfg.Load().Drills
	if !p.mode.Live() {
		return d.Asked, d.Asked.Add(cfg.ApproveIn), true
	}
	from := d.Asked
	for _, w := range d.Words {
		if w.At.After(from) {
			from = w.At
		}
	}
	if from = from.Add(cfg.Lead); d.Request.Begins.After(from) {
		from = d.Request.Begins
	}
	w, ok := cfg.Next(from, p.length())
	if w.From.After(from) {
		from = w.From
	}
	return from, w.To.Add(-p.length()), ok
}

// planOf is what the log says of what is to be played.
func (k *drillKeeper) planOf(id string, p *prepared, o admin.DrillOrder) audit.DrillPlan {
	s := p.play.Scenario
	out := audit.DrillPlan{
		Drill: id, Scenario: s.Name, Version: s.Version, Digest: s.Digest, Title: s.Title, Class: string(s.Class), Mode: p.mode.Evidence(), Route: p.play.On.Name, Share: 100 * p.share.Of(), Cap: o.Cap, Cast: p.play.Cast,
	}
	for _, a := range s.Authors {
		out.Authors = append(out.Authors, k.node.pseudonym(a))
	}
	if f := s.Function; f != (scenario.Function{}) {
		out.Function = &audit.DrillFunction{ID: f.ID, Name: f.Name, Critical: f.Critical, RTO: time.Duration(f.RTO).Hours(), RPO: time.Duration(f.RPO).Hours()}
	}
	return out
}

// judge asks every guard, for a drill that was asked for or, with none, for one that would be. tester is a pseudonym; k.mu is held.
func (k *drillKeeper) judge(tester string, d *register.Drill, p *prepared, now time.Time) []audit.DrillGuard {
	n := k.node
	rules := n.cfg.Load().Drills.Rules
	rules.Starters, rules.Approvers, rules.Authors = k.pseudonyms(rules.Starters), k.pseudonyms(rules.Approvers), k.pseudonyms(rules.Authors)
	f := guard.Facts{
		Now: now, Mode: p.mode, Modes: p.play.Modes, Length: p.length(), Share: strict.Percent(p.share), Cap: p.cap, Tester: tester, Authors: k.pseudonyms(p.play.Authors),
		Configurers: k.kept.Book.Configurers(), Wanted: p.wanted(), Calls: k.callsUp(), Learnt: k.kept.Learnt,
	}
	f.Rate, f.Kept = p.rate(), n.sandboxesTake()
	for _, e := range p.play.Expect {
		if e.Carries != nil && (e.Carries.On == scenario.Secondary || e.Carries.On == p.play.Cast[scenario.Secondary]) {
			f.Carries = max(f.Carries, time.Duration(e.Carries.For))
		}
	}
	if d != nil && d.Agreed() {
		f.Approvals = d.Request.Wanted
	}
	if why, is := k.kept.Book.Forbidden(); is {
		f.Forbidden = why
	}
	if run := k.run.Load(); run != nil {
		f.Running = run.id
	}
	k.around(&f, p.play)
	var out []audit.DrillGuard
	for _, g := range rules.Judge(&f) {
		out = append(out, audit.DrillGuard{Name: g.Name, Holds: g.Holds, Why: g.Why})
	}
	return out
}

// around is what else is going on.
func (k *drillKeeper) around(f *guard.Facts, p *scenario.Play) {
	n := k.node
	for _, i := range n.incidents.List() {
		if i.Open() {
			f.Incidents = append(f.Incidents, i.ID)
		}
	}
	for _, g := range n.gate.Grants() {
		f.Grants = append(f.Grants, g.ID)
	}
	table := n.checker.Table()
	for _, party := range p.Parties {
		if party.Standing != scenario.Permitted || !slices.Contains(p.On.From, party.Name) && !slices.Contains(p.On.To, party.Name) {
			continue
		}
		if st, _, _ := table.Party(party.Name); st != healthcheck.Up {
			f.Unwell = append(f.Unwell, party.Name+" is "+st.String())
		}
	}
	if h := n.log.Health(); !h.OK {
		f.Log = h.Why
	}
}

func (k *drillKeeper) pseudonyms(people []string) (out []string) {
	for _, p := range people {
		out = append(out, k.node.pseudonym(p))
	}
	return out
}

func failing(list []audit.DrillGuard) (out []audit.DrillGuard) {
	for _, g := range list {
		if !g.Holds {
			out = append(out, g)
		}
	}
	return out
}

// aborts are the conditions that stop a play, in words.
func aborts(s *scenario.Scenario) []string {
	after := time.Duration(s.Stop.After)
	return []string{
		fmt.Sprintf("more than %s of the calls of production fail beyond what failed before, for %s", s.Stop.Failures, after),
		fmt.Sprintf("calls of production sound worse than %.2f, for %s", s.Stop.MOS, after),
		fmt.Sprintf("the node is more than %s busy, for %s", s.Stop.CPU, after),
		"something real happens", "a person stops it, or the lever forbids all drills",
	}
}

// moments are when something is taken away or given back. One that flaps is shown for its first rounds.
func moments(p *scenario.Play) (out []admin.DrillMoment) {
	const most = 50
	var was []string
	for at, ok := time.Duration(0), true; ok && len(out) < most; at, ok = p.Next(at) {
		gone := []string{}
		for _, t := range p.Gone(at) {
			gone = append(gone, fmt.Sprintf("%s %s: %s", t.Kind, strings.Join(t.Names, ", "), t.How))
		}
		if at == 0 || !slices.Equal(gone, was) {
			out = append(out, admin.DrillMoment{At: at.Seconds(), Gone: gone})
		}
		was = gone
	}
	return append(out, admin.DrillMoment{At: time.Duration(p.End.After).Seconds(), Gone: []string{}})
}

// would is what routing has to do with it, in words: what is in use, what is asked next, and what must stay closed.
func (k *drillKeeper) would(p *prepared) (out []string) {
	route := p.play.On.Name
	out = append(out, fmt.Sprintf("route %s uses %s now", route, orNobody(k.node.router.Active()[route].Party)))
	for _, x := range k.node.router.Prospects() {
		if x.Route == route {
			out = append(out, fmt.Sprintf("without it, %s is next: %s", orNobody(x.Next), x.Verdict))
		}
	}
	return append(out, fmt.Sprintf("%s is asked for, and must be refused", p.play.Cast[scenario.Forbidden]))
}

// outside are the providers that a route concerns.
func (k *drillKeeper) outside(p *prepared) (out []audit.DrillParty) {
	snap := k.node.fence.Snapshot()
	for _, name := range slices.Concat(p.play.On.From, p.play.On.To) {
		party, ok := snap.Party(name)
		if !ok {
			continue
		}
		role := "contact_centre"
		if party.Kind == sovereign.KindTrunk {
			role = "carrier"
		}
		x, _ := field{k.node}.Party(name)
		who := audit.DrillParty{Party: name, Name: x.Operator, Role: role}
		if p := k.node.cfg.Load().Provider(name); p != nil { // whom the contract is with
			who.Name, who.LEI = cmp.Or(p.Name, who.Name), p.Identifier
		}
		out = append(out, who)
	}
	return out
}

// routesNow are the parties that routes use.
func (k *drillKeeper) routesNow() map[string]string {
	out := map[string]string{}
	for route, a := range k.node.router.Active() {
		out[route] = a.Party
	}
	return out
}

// leftOf looks for what is left of a drill.
func (k *drillKeeper) leftOf(_ context.Context, d *register.Drill) []audit.DrillGuard {
	n := k.node
	gone := n.board.Gone()
	calls := 0
	for _, c := range n.edge.Calls() {
		if c.Purpose == sovereign.Drill.String() {
			calls++
		}
	}
	out := []audit.DrillGuard{
		{Name: "nothing_taken", Holds: len(gone) == 0 && !n.policy.struckByDrill(), Why: fmt.Sprintf("%d things are taken away", len(gone))},
		{Name: "no_calls", Holds: calls == 0, Why: fmt.Sprintf("%d calls of drills are up", calls)},
	}
	if d.Request.Mode == scenario.Full.Evidence() {
		moved := k.moved(d)
		out = append(out, audit.DrillGuard{Name: "routes", Holds: len(moved) == 0, Why: "used differently than before: " + strings.Join(moved, ", ")})
		if len(moved) == 0 {
			out[2].Why = "every route is where it was"
		}
	}
	return out
}

// moved are the routes that a full drill found elsewhere than they are.
func (k *drillKeeper) moved(d *register.Drill) (out []string) {
	if d.Started == nil {
		return nil
	}
	for route, is := range k.routesNow() {
		if was := d.Started.Before[route]; was != "" && is != was {
			out = append(out, fmt.Sprintf("%s uses %s, and used %s", route, orNobody(is), was))
		}
	}
	slices.Sort(out)
	return out
}

// giveBack implements putBack. What was taken away was a lease in the memory of the run that is gone; a route may still be where a full drill sent it.
func (k *drillKeeper) giveBack(ctx context.Context, d *register.Drill) (bool, string) {
	const patience = 2 * time.Minute // probes must have found the party up, too
	if d.Request.Mode != scenario.Full.Evidence() || d.Started == nil {
		return true, ""
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for {
		for route, was := range d.Started.Before {
			if is := k.node.router.Active()[route].Party; was != "" && is != was {
				_ = k.node.router.Restore(ctx, route, was, "the end of the drill "+d.ID()) // whether it came about is looked at below
			}
		}
		moved := k.moved(d)
		if len(moved) == 0 {
			return true, ""
		}
		if notify.Pause(ctx, time.Second); ctx.Err() != nil {
			return false, strings.Join(moved, "; ")
		}
	}
}

// veiled is what happened without the names of people, who stand in the log as pseudonyms.
func (k *drillKeeper) veiled(p *scenario.Play, what string) string {
	if !strings.HasPrefix(what, string(scenario.Approver)) {
		return what
	}
	var pairs []string
	for person := range p.People {
		pairs = append(pairs, person)
	}
	words := strings.FieldsFunc(what[len(scenario.Approver):], func(r rune) bool { return strings.ContainsRune(" []:", r) })
	for i, w := range words {
		if slices.Contains(pairs, w) {
			words[i] = k.node.pseudonym(w)
		}
	}
	return string(scenario.Approver) + " " + strings.Join(words, " ")
}

// drillPieces cuts a text so that each piece fits into an entry.
func drillPieces(text []byte) (out []string) {
	const most = 24 << 10 // as a JSON string it may double
	for len(text) > most {
		n := most
		for n > 0 && !utf8.RuneStart(text[n]) {
			n--
		}
		out, text = append(out, string(text[:n])), text[n:]
	}
	return append(out, string(text))
}
