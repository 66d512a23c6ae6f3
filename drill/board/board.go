// Package board is what a drill has taken away at this moment: the one place that a node's rooms ask before they meet the world.
//
// It is a lease. What was set is gone until a moment and back from then on, whether anybody remembers it or not. While nothing is gone a question costs one atomic
// load. A board takes away and nothing else: it opens no way, and the fence knows nothing of it. It imports drill/scenario and internal/impair.
package board

import (
	"slices"
	"sync/atomic"
	"time"

	"github.com/cordonsip/cordon/drill/scenario"
	"github.com/cordonsip/cordon/internal/impair"
)

// Scope is who meets what is gone.
type Scope uint8

// The scopes. Calls for help are in none: the rooms that carry them do not ask.
const (
	All Scope = iota // everybody: simulation, sandbox, full
	Own              // the calls and probes of the drill and nobody else: canary
)

// Board is safe for use by many. The zero Board has everything in its place, and so has a nil one.
type Board struct{ now atomic.Pointer[view] }

// view is what is gone, by what is asked. It is not changed once it is set.
type view struct {
	until    time.Time
	scope    Scope
	taken    []scenario.Taken
	targets  map[string]impair.Effect // party, or party/member
	silent   map[string]time.Time     // of these, since when nothing crosses at all
	names    map[string]naming        // party, or everyName
	channels map[string]impair.Effect
	away     []scenario.Taken
	struck   []string
	log      bool
}

type naming struct {
	effect impair.Effect
	moved  string
}

const everyName = "all"

// Set makes exactly these things gone until a moment; what was gone before and is not among them is back. Nothing is gone without any, or with a moment that has
// passed. gone is what scenario.Play.Gone gives, with the names of a node in it, and is the board's from here on.
func (b *Board) Set(gone []scenario.Taken, until time.Time, s Scope) {
	if len(gone) == 0 || !time.Now().Before(until) {
		b.now.Store(nil)
		return
	}
	v := &view{until: until, scope: s, taken: gone, targets: map[string]impair.Effect{}, silent: map[string]time.Time{}, names: map[string]naming{}, channels: map[string]impair.Effect{}}
	for _, t := range gone {
		v.take(t)
	}
	v.renews(b.live())
	b.now.Store(v)
}

// renews begins the silences that the lease before did not have.
func (v *view) renews(was *view) {
	for name, e := range v.targets {
		if !e.Silences() {
			continue
		}
		v.silent[name] = time.Now()
		if was == nil {
			continue
		}
		if since, so := was.silent[name]; so {
			v.silent[name] = since
		}
	}
}

func (v *view) take(t scenario.Taken) {
	e := effect(t)
	switch t.Kind {
	case scenario.Target, scenario.Group, scenario.Trunk, scenario.Region:
		for _, name := range t.Names {
			v.targets[name] = v.targets[name].And(e)
		}
	case scenario.DNS:
		for _, name := range t.Names {
			n := v.names[name]
			n.effect = n.effect.And(e)
			if t.How == scenario.Moved {
				n.moved = t.To
			}
			v.names[name] = n
		}
	case scenario.Channel:
		for _, name := range t.Names {
			v.channels[name] = v.channels[name].And(e)
		}
	case scenario.Approver:
		v.away = append(v.away, t)
	case scenario.Instrument:
		v.struck = append(v.struck, t.Names...)
	case scenario.Log:
		v.log = true
	case scenario.Node, scenario.Recorder: // no room of this node meets them: Bind refuses such a scenario
	}
}

// effect is what a way of taking does to a message. Ways that are no effect on messages have none.
func effect(t scenario.Taken) impair.Effect {
	switch t.How {
	case scenario.Refuse:
		return impair.Effect{Kind: impair.Refuse}
	case scenario.Blackhole, scenario.Flapping: // what flaps is among the gone while it is
		return impair.Effect{Kind: impair.Blackhole}
	case scenario.Slow:
		return impair.Effect{Delay: time.Duration(t.By)}
	case scenario.Lossy:
		return impair.Effect{Loss: t.Share.Of()}
	case scenario.WrongCertificate:
		return impair.Effect{Kind: impair.WrongCertificate}
	case scenario.Unavailable:
		return impair.Effect{Kind: impair.Unavailable}
	case scenario.Fail:
		return impair.Effect{Kind: impair.Fail}
	case scenario.Moved, scenario.Away, scenario.Struck, scenario.Isolated:
	}
	return impair.Effect{}
}

// live is what is gone now; nil while nothing is. A lease that has ended is forgotten, so that the next question is cheap again.
func (b *Board) live() *view {
	v := b.now.Load()
	if v == nil {
		return nil
	}
	if !time.Now().Before(v.until) {
		b.now.CompareAndSwap(v, nil)
		return nil
	}
	return v
}

// Any says whether anything may be gone: one atomic load. A lease that has just ended counts until somebody asks for more.
func (b *Board) Any() bool { return b != nil && b.now.Load() != nil }

// all is what is gone for everybody.
func (b *Board) all() *view {
	if !b.Any() {
		return nil
	}
	if v := b.live(); v != nil && v.scope == All {
		return v
	}
	return nil
}

// Target is what is met on the way to a target, and from it. member "" asks for the whole party: what one member of it meets is not in that. own says that who asks
// belongs to the drill: a call that it placed or chose, a probe of its own.
func (b *Board) Target(party, member string, own bool) impair.Effect {
	if !b.Any() {
		return impair.Effect{}
	}
	return b.target(party, member, own)
}

func (b *Board) target(party, member string, own bool) impair.Effect {
	v := b.live()
	if v == nil || v.scope == Own && !own {
		return impair.Effect{}
	}
	e := v.targets[party]
	if member != "" {
		e = e.And(v.targets[party+"/"+member])
	}
	return e
}

// Silent says since when nothing crosses to a target or from it; the zero time: something does. The rest is as with Target.
func (b *Board) Silent(party, member string, own bool) (since time.Time) {
	if !b.Any() || !b.target(party, member, own).Silences() {
		return time.Time{}
	}
	v := b.live()
	if v == nil {
		return time.Time{}
	}
	since = v.silent[party]
	if at, so := v.silent[party+"/"+member]; so && (since.IsZero() || at.Before(since)) {
		since = at
	}
	return since
}

// Names is what a question for the names of a party meets. moved is the party whose addresses come back instead; "": its own.
func (b *Board) Names(party string) (e impair.Effect, moved string) {
	v := b.all()
	if v == nil {
		return impair.Effect{}, ""
	}
	every, one := v.names[everyName], v.names[party]
	if moved = one.moved; moved == "" {
		moved = every.moved
	}
	return every.effect.And(one.effect), moved
}

// Channel is what a delivery to a channel meets.
func (b *Board) Channel(name string) impair.Effect {
	if v := b.all(); v != nil {
		return v.channels[name]
	}
	return impair.Effect{}
}

// Away says whether a person with these roles does not answer, by name or as one of a role.
func (b *Board) Away(person string, roles []string) bool {
	v := b.all()
	return v != nil && slices.ContainsFunc(v.away, func(t scenario.Taken) bool {
		return slices.Contains(t.Names, person) || slices.Contains(roles, t.What.Approver)
	})
}

// Log says whether the log takes nothing.
func (b *Board) Log() bool {
	v := b.all()
	return v != nil && v.log
}

// Struck are the instruments that are suspended, as the law table names them.
func (b *Board) Struck() []string {
	if v := b.all(); v != nil {
		return slices.Clone(v.struck)
	}
	return nil
}

// Gone is all that is taken away now, in whatever scope.
func (b *Board) Gone() []scenario.Taken {
	if !b.Any() {
		return nil
	}
	if v := b.live(); v != nil {
		return slices.Clone(v.taken)
	}
	return nil
}
