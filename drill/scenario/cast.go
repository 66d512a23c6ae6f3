package scenario

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/cordonsip/cordon/internal/strict"
)

// The parts that a scenario may name instead of a party.
const (
	Carrier   = "carrier"   // where the calls of the route come from
	Primary   = "primary"   // the first choice of the route that is permitted
	Secondary = "secondary" // the next one that is permitted, in another region
	Forbidden = "forbidden" // the first party that is held or denied, or Nowhere
)

// Nowhere is the party of a node that has none which is forbidden: an address that documentation is written with (RFC 5737), which no declaration covers. What is
// aimed at it is refused as any undeclared address is, so that each drill can show a refusal.
const Nowhere = "nowhere"

// Self is the node that runs the drill.
const Self = "self"

// Standing is what the law says of a party by itself, without a grant.
type Standing uint8

// The standings. The zero Standing is Denied.
const (
	Denied Standing = iota
	HeldBack
	Permitted
)

// Party is a trunk or an edge group of a node.
type Party struct {
	Name     string
	Trunk    bool
	Region   string // provider:code
	Members  []string
	Standing Standing
	// Instrument is what its country's standing rests on, as the law table names it; "" where the law itself covers it.
	Instrument string
	Help       bool // calls for help leave by it
	Bare       bool // no member of it is reached by TLS: it shows no certificate
}

// Route is one route of a node.
type Route struct {
	Name     string
	From, To []string
}

// World is what a scenario needs to know of a node: what there is, and how the law stands.
type World struct {
	Parties      []Party
	Routes       []Route
	People       map[string][]string // roles by person
	Channels     []string
	Instruments  []string
	Nodes        []string // others of its cluster
	Capabilities []string // rooms that the node has beyond the common ones: "cluster", "recorder"
}

// Play is a scenario with the names of one node in it.
type Play struct {
	*Scenario
	World
	On     Route
	Cast   map[string]string // part -> party
	Taken  []Taken
	Placed []Load // with From filled in
}

// Taken is a taking on one node: the things by name.
type Taken struct {
	Taking
	Index int // in Take
	Kind  Kind
	Names []string // targets as party/member, parties, people, channels ...; sorted
}

// Touched are the parties that a taking reaches: for an instrument those whose country rests on it, for all names all parties, and none for what is beside the path of calls,
// though a person may bear a party's name.
func (p *Play) Touched(t *Taken) (out []string) {
	reached := func(Party) bool { return true }
	switch {
	case t.Kind == Instrument:
		reached = func(x Party) bool { return x.Instrument != "" && slices.Contains(t.Names, x.Instrument) }
	case t.Kind == DNS && slices.Contains(t.Names, everyName):
	case !t.Kind.InPath() || t.Kind == Node:
		return nil
	default:
		for _, name := range t.Names {
			party, _, _ := strings.Cut(name, "/")
			out = append(out, party)
		}
		return out
	}
	for _, x := range p.Parties {
		if reached(x) {
			out = append(out, x.Name)
		}
	}
	return out
}

// everyName is what DNS takes of all parties.
const everyName = "all"

// Bind puts the names of a node into a scenario. route names the one that is exercised, unless the scenario does or the node has a single one. All problems are
// given at once; file and line are not known any more, so that a Problem has a path alone.
func (s *Scenario) Bind(w World, route string) (*Play, strict.Problems) {
	b := &binder{w: w, p: &Play{Scenario: s, World: w, Cast: map[string]string{}}, doc: strict.Unwritten(s.Name)}
	for _, need := range s.Needs() {
		if !slices.Contains(w.Capabilities, need) {
			b.fail("take", "run it on a node that has one", "needs a %s, and this node has none", need)
		}
	}
	b.route(cmp.Or(route, s.Route))
	for i, c := range s.Calls {
		c.From = b.party(fmt.Sprintf("calls[%d].from", i), cmp.Or(c.From, Carrier))
		b.p.Placed = append(b.p.Placed, c)
	}
	for i, t := range s.Take {
		b.taking(i, t)
	}
	for i, e := range s.Expect {
		for _, name := range e.parties() {
			got := b.party(fmt.Sprintf("expect[%d]", i), name)
			p := b.find(got)
			if e.Nothing != nil && p != nil && p.Standing == Permitted && slices.Contains(s.Modes, Canary) {
				b.fail(fmt.Sprintf("expect[%d].nothing_to", i), "leave canary out of modes, or name a party that the policy keeps out", "%s is permitted: in a canary calls of production go on to it", got)
			}
			if e.Held != nil && got != "" && (p == nil || p.Standing != HeldBack && !b.struck(p)) {
				b.fail(fmt.Sprintf("expect[%d].held", i), "name a party that is only reached through the gate", "%s never waits at the gate", got)
			}
		}
		if e.Told != nil && !slices.Contains(w.Channels, e.Told.Channel) {
			b.unknown(fmt.Sprintf("expect[%d].told.channel", i), "channel", e.Told.Channel, w.Channels)
		}
	}
	if len(b.probs) > 0 {
		return nil, b.probs
	}
	return b.p, nil
}

type binder struct {
	w     World
	p     *Play
	doc   *strict.Document
	probs strict.Problems
}

func (b *binder) fail(path, hint, format string, args ...any) {
	b.probs = append(b.probs, b.doc.Problem(path, hint, format, args...))
}

func (b *binder) unknown(path, what, name string, known []string) {
	hint := "known here: " + strict.Words(known)
	if len(known) == 0 {
		hint = "this node has none"
	} else if near := strict.Nearest(name, known); near != "" {
		hint = fmt.Sprintf("did you mean %q?", near)
	}
	b.fail(path, hint, "%q is no %s of this node", name, what)
}

// route finds the route and gives its parties their parts.
func (b *binder) route(name string) {
	var names []string
	for _, r := range b.w.Routes {
		names = append(names, r.Name)
		if r.Name == name || name == "" && len(b.w.Routes) == 1 {
			b.p.On = r
			b.cast(r)
			return
		}
	}
	if name == "" {
		b.fail("route", "name one: "+strict.Words(names), "the node has %d routes, and the scenario does not say which", len(names))
		return
	}
	b.unknown("route", "route", name, names)
}

func (b *binder) cast(r Route) {
	c := b.p.Cast
	if len(r.From) > 0 {
		c[Carrier] = r.From[0]
	}
	for _, name := range r.To {
		p := b.find(name)
		switch {
		case p == nil:
		case p.Standing != Permitted:
			if c[Forbidden] == "" {
				c[Forbidden] = name
			}
		case c[Primary] == "":
			c[Primary] = name
		case c[Secondary] == "" && p.Region != b.find(c[Primary]).Region:
			c[Secondary] = name
		}
	}
	for _, p := range b.w.Parties { // a route that only leads where it may still has neighbours that it must not reach
		if c[Forbidden] == "" && !p.Trunk && p.Standing != Permitted {
			c[Forbidden] = p.Name
		}
	}
	if c[Forbidden] == "" {
		c[Forbidden] = Nowhere
	}
}

func (b *binder) find(name string) *Party {
	i := slices.IndexFunc(b.w.Parties, func(p Party) bool { return p.Name == name })
	if i < 0 {
		return nil
	}
	return &b.w.Parties[i]
}

func part(name string) bool {
	return name == Carrier || name == Primary || name == Secondary || name == Forbidden
}

// party resolves a name or a part; "" beside a problem, here or with the route.
func (b *binder) party(path, name string) string {
	if part(name) {
		got := b.p.Cast[name]
		if got == "" && b.p.On.Name != "" {
			b.fail(path, "name a party, or choose another route", "route %s has no %s", b.p.On.Name, name)
		}
		return got
	}
	if b.find(name) == nil && name != Nowhere {
		var known []string
		for _, p := range b.w.Parties {
			known = append(known, p.Name)
		}
		b.unknown(path, "party", name, known)
		return ""
	}
	return name
}

// real resolves a party that can be taken away.
func (b *binder) real(path, name string) string {
	got := b.party(path, name)
	if got == Nowhere {
		b.fail(path, "name a party that is there", "nothing is %s", Nowhere)
		return ""
	}
	return got
}

func (b *binder) taking(i int, t Taking) {
	kind, name, _ := t.What.Kind()
	out := Taken{Taking: t, Index: i, Kind: kind}
	path := fmt.Sprintf("take[%d].what.%s", i, kind)
	switch kind {
	case Group, Trunk:
		if got := b.real(path, name); got != "" {
			if p := b.find(got); p.Trunk != (kind == Trunk) {
				b.fail(path, "name a "+string(kind), "%s is none", got)
			}
			out.Names = []string{got}
		}
	case Target:
		out.Names = b.target(path, name)
	case Region:
		out.Names = b.region(path, name)
	case DNS:
		if name == "all" {
			out.Names = []string{name}
		} else if got := b.real(path, name); got != "" {
			out.Names = []string{got}
		}
		if t.How == Moved {
			out.To = b.party(strings.TrimSuffix(path, ".what.dns")+".to", t.To)
		}
	case Approver:
		out.Names = b.people(path, name)
	case Channel:
		out.Names = b.one(path, "channel", name, b.w.Channels)
	case Instrument:
		out.Names = b.instrument(path, name)
	case Node:
		out.Names = b.one(path, "node", name, append([]string{Self}, b.w.Nodes...))
	case Log, Recorder:
		out.Names = []string{name}
	}
	if bare := func(name string) bool {
		party, _, _ := strings.Cut(name, "/")
		p := b.find(party)
		return p != nil && p.Bare
	}; t.How == WrongCertificate && len(out.Names) > 0 && !slices.ContainsFunc(out.Names, func(name string) bool { return !bare(name) }) {
		b.fail(fmt.Sprintf("take[%d].how", i), "take it away by refuse, or name a party that is reached by TLS", "%s shows no certificate: no member of it is reached by TLS", strict.Words(out.Names))
	}
	b.p.Taken = append(b.p.Taken, out)
}

func (b *binder) one(path, what, name string, known []string) []string {
	if !slices.Contains(known, name) {
		b.unknown(path, what, name, known)
		return nil
	}
	return []string{name}
}

// struck says whether the scenario suspends what a party's country rests on: then it waits at the gate like any other.
func (b *binder) struck(p *Party) bool {
	return p.Instrument != "" && slices.ContainsFunc(b.p.Taken, func(t Taken) bool { return t.Kind == Instrument && slices.Contains(t.Names, p.Instrument) })
}

// instrument resolves a name of the law table, or what a party's country rests on.
func (b *binder) instrument(path, name string) []string {
	if slices.Contains(b.w.Instruments, name) {
		return []string{name}
	}
	if !part(name) && b.find(name) == nil {
		b.unknown(path, "instrument or party", name, b.w.Instruments)
		return nil
	}
	p := b.find(b.real(path, name))
	if p == nil {
		return nil // said already
	}
	if p.Instrument == "" {
		b.fail(path, "name an instrument, or a party in a country that rests on one", "%s stands where no instrument is needed", p.Name)
		return nil
	}
	return []string{p.Instrument}
}

// target resolves party/member, where the party may be a part.
func (b *binder) target(path, name string) []string {
	party, member, found := strings.Cut(name, "/")
	got := b.real(path, party)
	if got == "" {
		return nil
	}
	members := b.find(got).Members
	if !found || !slices.Contains(members, member) {
		b.unknown(path, "target", name, each(got, members))
		return nil
	}
	return []string{got + "/" + member}
}

func each(party string, members []string) (out []string) {
	for _, m := range members {
		out = append(out, party+"/"+m)
	}
	return out
}

// region resolves a region, or that of a part, to all parties in it.
func (b *binder) region(path, name string) (out []string) {
	if !strings.Contains(name, ":") {
		got := b.real(path, name)
		if got == "" {
			return nil
		}
		name = b.find(got).Region
	}
	var known []string
	for _, p := range b.w.Parties {
		if p.Region == name {
			out = append(out, p.Name)
		}
		if !slices.Contains(known, p.Region) {
			known = append(known, p.Region)
		}
	}
	if len(out) == 0 {
		b.unknown(path, "region with a party", name, known)
	}
	slices.Sort(out)
	return out
}

// people resolves a person, or everybody of a role.
func (b *binder) people(path, name string) (out []string) {
	var known []string
	for person, roles := range b.w.People {
		known = append(known, person)
		known = append(known, roles...)
		if person == name || slices.Contains(roles, name) {
			out = append(out, person)
		}
	}
	slices.Sort(out)
	slices.Sort(known)
	if len(out) == 0 {
		b.unknown(path, "person or role", name, slices.Compact(known))
	}
	return out
}

// Gone says what is taken away at a moment of the play, in the order of the file. A thing that flaps is in it while it is gone.
func (p *Play) Gone(at time.Duration) (out []Taken) {
	for _, t := range p.Taken {
		if t.gone(at, time.Duration(p.End.After)) {
			out = append(out, t)
		}
	}
	return out
}

func (t Taken) gone(at, end time.Duration) bool {
	from, until := time.Duration(t.At), end
	if t.For != 0 {
		until = from + time.Duration(t.For)
	}
	if at < from || at >= min(until, end) {
		return false
	}
	return t.How != Flapping || (at-from)/time.Duration(t.Every)%2 == 0
}

// Next gives the first moment after at when Gone changes; ok is false when it never does again.
func (p *Play) Next(at time.Duration) (next time.Duration, ok bool) {
	end := time.Duration(p.End.After)
	for _, t := range p.Taken {
		if m, found := t.next(at, end); found && (!ok || m < next) {
			next, ok = m, true
		}
	}
	return next, ok
}

func (t Taken) next(at, end time.Duration) (time.Duration, bool) {
	from, until := time.Duration(t.At), end
	if t.For != 0 {
		until = min(end, from+time.Duration(t.For))
	}
	switch {
	case at < from:
		return from, true
	case at >= until:
		return 0, false
	case t.How == Flapping:
		every := time.Duration(t.Every)
		return min(until, from+((at-from)/every+1)*every), true
	}
	return until, true
}
