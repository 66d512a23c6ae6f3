// Package observe reads what a node's log says while a drill runs: what was noticed, decided, held, refused and told, how the calls of production fare, and whether
// something happened that is no part of the play.
//
// It is pure: entries, deliveries and counts are given to it, in the order in which they happened. What the log does not hold was not seen. It imports approval, audit,
// drill/measure and drill/scenario.
package observe

import (
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/cordonsip/cordon/audit"
	"github.com/cordonsip/cordon/drill/measure"
	"github.com/cordonsip/cordon/drill/scenario"
)

// Window is how much of the past a Pulse speaks of.
const Window = time.Minute

// minCalls is how many calls of production a Window must have before their failures say anything: one of two is no half of a day's calls.
const minCalls = 10

// Start is how the node was when the play began.
type Start struct {
	ID      string // of the drill
	At      time.Time
	First   uint64            // entry of the play: what stands in front of it is the time before, whatever a clock said that somebody set
	Targets map[string]string // health by target, as party/member/transport/address, in the words of the log
	View    string            // id of the drill if it is a canary, and the play what happens in its view; "": what happens on the node
}

// Observer remembers one play. It is safe for use by many.
type Observer struct {
	p     *scenario.Play
	start Start

	mu      sync.Mutex
	seen    measure.Seen
	targets parties         // where the play is
	around  parties         // of production, beside a canary
	tickets map[string]int  // id -> place in seen.Tickets
	traces  map[string]bool // calls that the log has a receipt of, or names as missing
	event   string          // the first one
	before  tally           // of production, in front of the start
	calls   []call          // of production, in the last Window
}

// parties are the targets of each: party -> target -> health.
type parties map[string]map[string]string

// New begins with the node as it was.
func New(p *scenario.Play, s Start) *Observer {
	o := &Observer{p: p, start: s, targets: parties{}, around: parties{}, tickets: map[string]int{}, traces: map[string]bool{}}
	for id, state := range s.Targets {
		o.targets.state(id, state)
		o.around.state(id, state)
	}
	return o
}

// state notes the health of a target, and gives its party with what it had been: whether calls may go there, and whether a part of it is worse than up.
func (ps parties) state(id, state string) (party string, up, limps bool) {
	party, _, _ = strings.Cut(id, "/")
	if ps[party] == nil {
		ps[party] = map[string]string{}
	}
	ps[party][id] = state
	up, limps = ps.health(party)
	return party, up, limps
}

// health is that of a party: up while calls may go to one of its targets, and limping while one of them is worse than up.
func (ps parties) health(party string) (up, limps bool) {
	for _, s := range ps[party] {
		switch s {
		case "up":
			up = true
		case "degraded":
			up, limps = true, true
		default:
			limps = true
		}
	}
	return up, limps
}

// Entry takes the next entry of the log; one in front of the start counts as the time before.
func (o *Observer) Entry(e audit.Entry) {
	o.mu.Lock()
	defer o.mu.Unlock()
	ev, err := audit.Decode(e)
	if err != nil {
		return // a body of another version: it says nothing that this one could read
	}
	if r, ok := ev.(audit.Receipt); ok {
		o.receipt(e, &r)
	}
	if o.earlier(e) {
		return
	}
	switch drill := ofDrill(ev); {
	case drill != "" && drill != o.start.View:
		return // of a canary that is not this play
	case o.start.View != "" && drill == "" && o.beside(ev):
		return
	}
	o.note(e, ev)
	if o.event == "" {
		o.event = o.real(e, ev)
	}
}

// earlier says whether an entry stands in front of the play.
func (o *Observer) earlier(e audit.Entry) bool { return e.Seq < o.start.First }

// note keeps what expectations are judged by.
func (o *Observer) note(e audit.Entry, ev audit.Event) {
	switch ev := ev.(type) {
	case audit.HealthChanged:
		o.changed(e, ev)
	case audit.Failover:
		o.failover(e, ev)
	case audit.RouteSwitched:
		if ev.Route == o.p.On.Name {
			o.seen.Moves = append(o.seen.Moves, measure.Move{At: e.Time, What: map[bool]string{true: "failback", false: "applied"}[ev.Back], Party: ev.To})
		}
	case audit.FenceRefused:
		if ev.Party != "" && ev.Drill == o.start.ID { // what production asked for shows nothing of the play
			o.refused(e.Time, e, ev.Party)
		}
	case audit.Gap:
		for _, ref := range ev.Calls {
			o.traces[ref] = true
		}
	}
	if e.Kind == audit.KindGateChanged {
		o.ticket(e)
	}
}

func (o *Observer) changed(e audit.Entry, ev audit.HealthChanged) {
	party, _, _ := strings.Cut(ev.Target, "/")
	wasUp, wasLimping := o.targets.health(party)
	_, up, limps := o.targets.state(ev.Target, ev.To)
	if up != wasUp || limps != wasLimping {
		o.seen.Health = append(o.seen.Health, measure.Health{At: e.Time, Party: party, Up: up, Limps: limps})
	}
	if wasUp && !up && ev.To == "down" && !o.takes(party, e.Time) && o.event == "" {
		o.event = "all targets of " + party + " are down, and nothing of the play touches them"
	}
}

// settle is how long after it was given back a party may still go down by the play: probes that were on their way then fail.
const settle = time.Minute

// takes says whether a party that goes down at a moment does so by the play. One that is back and was up since goes down by itself.
func (o *Observer) takes(party string, at time.Time) bool {
	return o.reached(party, at, func(t *scenario.Taken) bool {
		return t.For == 0 || at.Before(o.start.At.Add(time.Duration(t.At+t.For)+settle))
	})
}

// Touches says whether the play has reached for a party by a moment: what is missing of it since then is no incident.
func (o *Observer) Touches(party string, at time.Time) bool { return o.touched(party, at) }

// touched says whether the play has reached for a party by a moment. What it once took may be missing something for a while after it was given back.
func (o *Observer) touched(party string, at time.Time) bool {
	return o.reached(party, at, func(*scenario.Taken) bool { return true })
}

// reached says whether the play has reached for a party by a moment, with a taking that counts.
func (o *Observer) reached(party string, at time.Time, counts func(*scenario.Taken) bool) bool {
	for i := range o.p.Taken {
		t := &o.p.Taken[i]
		if at.Before(o.start.At.Add(time.Duration(t.At))) || !counts(t) {
			continue
		}
		switch t.Kind {
		case scenario.Target, scenario.Group, scenario.Trunk, scenario.Region, scenario.DNS:
		default:
			continue // a person or a channel may bear the name of a party
		}
		for _, name := range t.Names {
			if of, _, _ := strings.Cut(name, "/"); of == party || t.Kind == scenario.DNS && name == "all" {
				return true
			}
		}
	}
	return false
}

func (o *Observer) failover(e audit.Entry, ev audit.Failover) {
	what, ok := map[audit.Kind]string{
		audit.KindFailoverApplied: "applied", audit.KindFailoverHeld: "held", audit.KindFailoverRefused: "refused", audit.KindFailback: "failback",
	}[ev.What]
	if !ok || ev.Route != o.p.On.Name {
		return
	}
	o.seen.Moves = append(o.seen.Moves, measure.Move{At: e.Time, What: what, Party: ev.To})
	if what == "held" || what == "refused" {
		o.refused(e.Time, e, ev.To)
	}
}

// refused notes what was refused at a moment, which the entry may tell of later.
func (o *Observer) refused(at time.Time, e audit.Entry, party string) {
	o.seen.Refused = append(o.seen.Refused, measure.Attempt{At: at, Party: party, Entry: e.Seq})
}

// real says what happened that is no part of the play; "": nothing. Parties that go down are judged with their health.
func (o *Observer) real(e audit.Entry, ev audit.Event) string {
	switch ev := ev.(type) {
	case audit.IncidentOpened:
		if !o.ours(ev, e.Time) {
			return "an incident was opened: " + ev.Title
		}
	case audit.Severed:
		if !ev.Back {
			return "a " + ev.What + " was cut by hand: " + ev.Name
		}
	case audit.LawSuspended:
		return "an instrument was suspended: " + ev.Instrument
	case audit.RouteSwitched:
		return "somebody switched the route " + ev.Route // a play never does: it lets routes go back, which is another entry
	case audit.PolicyApplied:
		if ev.Cause == "reload" || ev.Cause == "signed" {
			return "another configuration is in force than the play was bound to"
		}
	}
	return ""
}

// ours says whether an incident is of what the play does: a rule opened it, and all that it is about is touched. A canary keeps no call of production from anything.
func (o *Observer) ours(ev audit.IncidentOpened, at time.Time) bool {
	if ev.By != "" || o.start.View != "" {
		return false
	}
	if ev.Rule == "log_gap" {
		return slices.ContainsFunc(o.p.Taken, func(t scenario.Taken) bool { return t.Kind == scenario.Log })
	}
	if ev.Rule == "media_dead" { // it is about calls, and names no party: those of what is gone are silent
		return slices.ContainsFunc(o.p.Parties, func(p scenario.Party) bool { return o.touched(p.Name, at) })
	}
	return len(ev.Parties) > 0 && !slices.ContainsFunc(ev.Parties, func(name string) bool { return !o.touched(name, at) })
}

// Noticed takes a notice that a channel delivered.
func (o *Observer) Noticed(n measure.Notice) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.seen.Notices = append(o.seen.Notices, n)
}

// Sent takes a count of datagrams. What goes on without a gap and without a datagram is one.
func (o *Observer) Sent(s measure.Sent) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for i := len(o.seen.Sent) - 1; i >= 0; i-- {
		if last := &o.seen.Sent[i]; last.Party == s.Party {
			if last.To.Equal(s.From) && last.Datagrams == 0 && s.Datagrams == 0 {
				last.To = s.To
				return
			}
			break
		}
	}
	o.seen.Sent = append(o.seen.Sent, s)
}

// Seen is what was seen so far, but for calls, takings and records.
func (o *Observer) Seen() measure.Seen {
	o.mu.Lock()
	defer o.mu.Unlock()
	s := o.seen
	s.Health, s.Moves, s.Tickets = slices.Clone(s.Health), slices.Clone(s.Moves), slices.Clone(s.Tickets)
	s.Refused, s.Sent, s.Notices = slices.Clone(s.Refused), slices.Clone(s.Sent), slices.Clone(s.Notices)
	return s
}

// Event is the first thing that happened and is no part of the play; "": nothing did.
func (o *Observer) Event() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.event
}

// Traced says whether the log has a receipt of a call, or names it as missing.
func (o *Observer) Traced(ref string) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.traces[ref]
}
