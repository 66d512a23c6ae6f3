package sovereign

import (
	"slices"
	"time"

	"github.com/cordonsip/cordon/internal/octets"
)

// What was open and is closed from one moment on: an instrument is suspended, or people sever a party. Nothing new goes there from that moment. What was running
// then may be given a bounded leave: a last word, or the rest of the call, as the operator declared.

// Leave lets the running sessions of a struck party go on until a moment. It opens nothing for a session that began at From or later, nothing beyond Until, and
// never what is denied. Without Media it opens signalling alone, for a BYE.
type Leave struct {
	Cause string    `json:"cause"`           // the suspended instrument, or Sever.Cause
	Party string    `json:"party,omitempty"` // "" for every party without a leave of its own for that cause
	Route string    `json:"route,omitempty"` // of the party's calls by that route alone, for who asks by route; it does not travel
	From  time.Time `json:"from"`            // when the cause took effect here
	Until time.Time `json:"until"`           // exclusive
	Media bool      `json:"media,omitempty"`
}

// Sever is a cut that a person made. What it names is held whatever the law says, no grant opens it, and where Force is set not even an emergency call.
type Sever struct {
	Kind  string    `json:"kind"` // trunk, group or region
	Name  string    `json:"name"`
	From  time.Time `json:"from"`
	Force bool      `json:"force,omitempty"`
}

// Kinds of what can be severed.
const (
	SeverTrunk  = "trunk"
	SeverGroup  = "group"
	SeverRegion = "region"
)

// Cause is how leaves name a cut.
func (c Sever) Cause() string { return c.Kind + " " + c.Name }

// WithStrikes returns a copy with another overlay, other leaves, other cuts and the next generation; facts and policy are shared.
func (s *Snapshot) WithStrikes(o []Suspension, leaves []Leave, severed []Sever) *Snapshot {
	next := s.WithSuspensions(o)
	next.cfg.Leaves, next.cfg.Severed = slices.Clone(leaves), slices.Clone(severed)
	return next.bounded()
}

// Leaves gives back the leaves, over or not.
func (s *Snapshot) Leaves() []Leave { return slices.Clone(s.cfg.Leaves) }

// Severed gives back the cuts.
func (s *Snapshot) Severed() []Sever { return slices.Clone(s.cfg.Severed) }

// sever holds every place of the question that a cut names. What is denied stays denied.
func (t *trial) sever() {
	for i := range t.s.cfg.Severed {
		c := &t.s.cfg.Severed[i]
		whole := t.party != nil && t.party.Name == c.Name && (c.Kind == SeverTrunk || c.Kind == SeverGroup)
		for j := range t.spots {
			sp := &t.spots[j]
			if sp.verdict == Deny || !whole && (c.Kind != SeverRegion || sp.region.IsZero() || sp.region.String() != c.Name) {
				continue
			}
			sp.verdict, sp.ground, sp.cause = Hold, GroundSevered, c
			t.forced = t.forced || c.Force
		}
	}
}

// struckBy names what struck a spot; "" for one that is held for another reason.
func (sp *spot) struckBy() string {
	switch {
	case sp.ground == GroundSevered:
		return sp.cause.Cause()
	case sp.ground == GroundSuspended:
		return sp.finding.Suspended
	}
	return ""
}

// leave says whether the session that asks may go on, and until when: it was running when each held place was struck, and each has a leave that is not over.
func (t *trial) leave() (until time.Time, ok bool) {
	if t.ask.Began == 0 || t.party == nil || len(t.s.cfg.Leaves) == 0 {
		return time.Time{}, false
	}
	for i := range t.spots {
		sp := &t.spots[i]
		if sp.verdict != Hold {
			continue
		}
		l := t.s.leaveOf(sp.struckBy(), t.party.Name, t.ask.Route)
		if l == nil || t.ask.Began >= l.From.UnixNano() || t.ask.At.Before(l.From) || !t.ask.At.Before(l.Until) || t.ask.Plane != Signalling && !(l.Media && t.ask.Plane == Media) {
			return time.Time{}, false
		}
		until, ok = earlier(until, l.Until), true
	}
	return until, ok
}

// struckSince says whether what struck a spot did so after a moment.
func (t *trial) struckSince(sp *spot, at time.Time) bool {
	l := t.s.leaveOf(sp.struckBy(), t.party.Name, t.ask.Route)
	return l != nil && at.Before(l.From) && !t.ask.At.Before(l.From)
}

// leaveOf finds the leave of a party for a cause: that of its calls by a route, its own, or the common one.
func (s *Snapshot) leaveOf(cause, party, route string) (found *Leave) {
	if cause == "" {
		return nil
	}
	best := 0
	for i := range s.cfg.Leaves {
		l := &s.cfg.Leaves[i]
		if l.Cause != cause {
			continue
		}
		rank := 0
		switch {
		case l.Party == party && l.Route == route:
			rank = 3
		case l.Party == party && l.Route == "":
			rank = 2
		case l.Party == "" && l.Route == "":
			rank = 1
		}
		if rank > best || rank == best && rank > 1 {
			best, found = rank, l
		}
	}
	return found
}

// common are the leaves that are no route's: what another process keeps, which knows no routes.
func common(list []Leave) []Leave {
	return slices.DeleteFunc(slices.Clone(list), func(l Leave) bool { return l.Route != "" })
}

func writeLeave(w *octets.Writer, l Leave) {
	w.Text(l.Cause)
	w.Text(l.Party)
	w.Time(l.From)
	w.Time(l.Until)
	w.Bool(l.Media)
}

func readLeave(r *octets.Reader) Leave {
	return Leave{Cause: r.Text(), Party: r.Text(), From: r.Time(), Until: r.Time(), Media: r.Bool()}
}

func writeSever(w *octets.Writer, c Sever) {
	w.Text(c.Kind)
	w.Text(c.Name)
	w.Time(c.From)
	w.Bool(c.Force)
}

func readSever(r *octets.Reader) Sever {
	return Sever{Kind: r.Text(), Name: r.Text(), From: r.Time(), Force: r.Bool()}
}
