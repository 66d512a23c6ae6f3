package healthcheck

import (
	"fmt"
	"math"
	"slices"
	"time"
)

// Circuit of a target. Only a target that is Down has another than Closed.
type Circuit uint8

// The circuits. The zero Circuit is Closed: calls flow as the state says.
const (
	Closed   Circuit = iota
	Open             // no call
	HalfOpen         // it answers again: exactly one call may try it
	Trying           // that call is under way
)

// String gives the circuit in the words of the API.
func (c Circuit) String() string {
	return [...]string{Closed: "closed", Open: "open", HalfOpen: "half-open", Trying: "trying"}[c]
}

// trialFor is how long the one call may take until another may try: a call that nobody answers tells nothing.
const trialFor = 90 * time.Second

// halve opens the circuit of a target that answers again by half, or closes it where no trial is asked for.
func (w *window) halve(now time.Time, why string, s Settings) {
	if s.HalfOpen <= 0 {
		w.enter(w.risen(s), now, why)
		return
	}
	w.circuit, w.halfAt = HalfOpen, now
	w.why = why + "; half-open: the next call tries it"
}

// half is a good probe of a target whose circuit is half-open. Where no call comes, probes alone close it: a way that nobody uses must not stay shut for ever.
func (w *window) half(now time.Time, s Settings) {
	if w.circuit == Trying {
		if now.Sub(w.trialAt) < trialFor {
			return
		}
		w.circuit, w.halfAt = HalfOpen, now
		w.why = "half-open: the call that tried it told nothing, the next one may"
		return
	}
	if since := now.Sub(w.halfAt); since >= s.HalfOpen {
		w.enter(w.risen(s), now, fmt.Sprintf("closed again: no call came to try it and its probes were good for %v", since.Round(time.Second)))
	}
}

// called is what a call brought from a target whose circuit is half-open: the first one decides.
func (w *window) called(e evidence, now time.Time, what string, s Settings) {
	w.last, w.lastAt = e, now
	if e == hit {
		w.hits++
		w.misses, w.unwilled, w.lastSeen = 0, 0, now
		w.enter(w.risen(s), now, "closed again: the call that tried it got through")
		return
	}
	w.hits, w.misses = 0, s.Fall
	since := w.since
	w.fall(now, "the call that tried it failed: "+what, s)
	w.since = since // it was down all the time
}

// reopened is a bad probe of a target whose circuit is half-open.
func (w *window) reopened() {
	if w.circuit == HalfOpen || w.circuit == Trying {
		w.circuit = Open
	}
}

// fall enters Down and lengthens the hold-down with each fall inside the flap window: flapping is damped, not followed. With too many falls the target
// stays down until it was quiet for long enough, or a person says so.
func (w *window) fall(now time.Time, why string, s Settings) {
	within := s.flapWithin()
	w.falls = slices.DeleteFunc(w.falls, func(t time.Time) bool { return now.Sub(t) > within })
	hold := s.holdDown(len(w.falls))
	if len(w.falls) < maxFalls {
		w.falls = append(w.falls, now)
	}
	w.holdTill = now.Add(hold)
	w.enter(Down, now, why)
	if w.flapping = s.FlapMax > 0 && len(w.falls) >= s.FlapMax; w.flapping {
		w.holdTill = now.Add(max(hold, s.flapQuiet()))
		w.why = why + "; " + w.flapWhy(s)
	}
}

// holdDown is how long the next fall holds a target down after so many: doubled by each of them, and never so long that it wraps round.
func (s Settings) holdDown(falls int) time.Duration {
	shift := min(falls, maxFlapShift)
	if s.HoldDown > math.MaxInt64>>shift {
		return math.MaxInt64
	}
	return s.HoldDown << shift
}

func (w *window) flapWhy(s Settings) string {
	return fmt.Sprintf("%d falls in %v are too many: held down until it was quiet for %v (%s), or a person puts it in service", len(w.falls), s.flapWithin(), s.flapQuiet(), clock(w.holdTill))
}

// restless is a bad probe of a target that is held down for flapping: the quiet time begins anew.
func (w *window) restless(now time.Time, s Settings) {
	if w.flapping {
		w.holdTill = now.Add(s.flapQuiet())
	}
}

// release forgets the falls: a person vouches for the target. It still has to answer.
func (w *window) release(now time.Time) {
	w.falls, w.flapping, w.holdTill = nil, false, time.Time{}
	if w.state == Down {
		w.why = "released by a person at " + clock(now) + ": up again after good answers"
	}
}

func (s Settings) flapWithin() time.Duration {
	if s.FlapWithin > 0 {
		return s.FlapWithin
	}
	return flapWindow
}

func (s Settings) flapQuiet() time.Duration {
	if s.FlapQuiet > 0 {
		return s.FlapQuiet
	}
	return flapWindow
}

// Try takes the one call that a half-open target may get. It says whether the caller may go there: also when the circuit closed meanwhile. It never waits.
func (c *Checker) Try(id string) bool {
	now := time.Now()
	c.mu.Lock()
	defer c.mu.Unlock()
	p, t := c.find(id)
	if t == nil {
		return false
	}
	if t.circuit != HalfOpen {
		return t.circuit == Closed
	}
	t.circuit, t.trialAt = Trying, now
	t.why = "half-open: one call tries it since " + clock(now)
	c.dirty[p.name] = true
	c.publish(now)
	return true
}

// Release forgets that a target flapped, because a person says so: id names a target, a member ("party/member") or a party. It gives how many it met.
func (c *Checker) Release(id string) int {
	now := time.Now()
	c.mu.Lock()
	defer c.mu.Unlock()
	n := 0
	for _, p := range c.parties {
		for _, m := range p.members {
			for key, t := range m.targets {
				if id != key && id != p.name && id != p.name+"/"+m.Name {
					continue
				}
				t.release(now)
				c.dirty[p.name] = true
				n++
			}
		}
	}
	c.publish(now)
	return n
}
