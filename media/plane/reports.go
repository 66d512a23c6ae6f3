package plane

import (
	"math/rand/v2"
	"time"

	"github.com/cordonsip/cordon/media/quality"
)

// Where the far end of one leg sends no RTCP, there is nothing to pass on to the far end of the other one, which then knows neither its round trip nor what is lost, nor that
// anybody is there. The reports to that one are made here then. No packet pays for it: legs stand in an agenda, and are looked at every few seconds.

// reporting is what reports of our own to the far end of a leg need.
type reporting struct {
	own    Reports
	since  int64             // on the clock of the agenda: when the other far end was last known to report, or got the time to begin
	heard  uint32            // reports of the other far end until then
	listed bool              // in the agenda
	writes *quality.Reporter // nil before the first
}

const (
	turnLength = 250 * time.Millisecond
	turns      = 64 // what is further away is looked at before its time
)

// agenda says which legs are looked at when. Its clock does not jump.
type agenda struct {
	legs  [turns][]Ref // by the turn
	began time.Time
	done  int64 // turns that are over
	size  int   // legs in it
}

func (a *agenda) now() int64 { return int64(time.Since(a.began)) }

// left is how long it is until a turn comes in which somebody may stand; below 0: nobody is in it.
func (a *agenda) left(now int64) time.Duration {
	if a.size == 0 {
		return -1
	}
	return max(0, time.Duration(a.done+1)*turnLength-time.Duration(now))
}

// due says whether that turn has come.
func (a *agenda) due(now int64) bool { return a.left(now) == 0 }

// enter has a leg looked at after so long. True: it is the only one.
func (a *agenda) enter(r Ref, after time.Duration) (first bool) {
	now := a.now()
	if first = a.size == 0; first {
		a.done = now / int64(turnLength)
	}
	at := min(max((now+int64(after))/int64(turnLength), a.done)+1, a.done+turns-1)
	a.legs[at%turns] = append(a.legs[at%turns], r)
	a.size++
	return first
}

// leave takes out one whose turn has come; false when there is none now.
func (a *agenda) leave(now int64) (r Ref, ok bool) {
	// After a long sleep each turn is gone through once.
	for a.done = max(a.done, now/int64(turnLength)-turns); a.due(now); a.done++ {
		if at := &a.legs[(a.done+1)%turns]; len(*at) > 0 {
			last := len(*at) - 1
			r, *at = (*at)[last], (*at)[:last]
			a.size--
			return r, true
		}
	}
	return Ref{}, false
}

// reports keeps which reports may be made to the far end of l, and says whether there may be any.
func (w *worker) reports(l *leg, r Reports) bool {
	l.own = r
	if r.After <= 0 {
		return false
	}
	if !l.listed {
		l.since = w.agenda.now()
		w.list(l, r.After)
	}
	return true
}

// list has the leg looked at after so long.
func (w *worker) list(l *leg, after time.Duration) {
	l.listed = true
	if w.agenda.enter(l.ref(), after) {
		w.stir() // who waits for nothing but packets must wait for the agenda now
	}
}

// await gives the far end of o, to which l is joined now, time to begin with reports of its own.
func (w *worker) await(l, o *leg) { l.since, l.heard = w.agenda.now(), o.reports }

// unpassed forgets how much was passed on.
func (l *leg) unpassed() {
	l.current.passed, l.current.octets = 0, 0
	for i := range l.sources {
		l.sources[i].passed, l.sources[i].octets = 0, 0
	}
}

// sweep looks at legs whose turn has come. There are some at a time, and true says that more of them wait: packets go first.
func (w *worker) sweep() (more bool) {
	w.lock()
	defer w.mu.Unlock()
	now := w.agenda.now()
	for range perLock {
		r, ok := w.agenda.leave(now)
		if !ok {
			return false
		}
		l, ok := w.of(r)
		if !ok {
			continue
		}
		if l.listed = false; l.flags&(flagLive|flagReports) == flagLive|flagReports { // else it waits for the next Set
			w.list(&l, w.consider(&l, now))
		}
	}
	return w.agenda.due(now)
}

// consider makes a report to the far end of l if that is due, and says when to look again.
func (w *worker) consider(l *leg, now int64) time.Duration {
	o, ok := w.leg(l.other)
	if !ok || l.other == 0 || !l.control().aimed {
		l.since = now
		return l.own.After
	}
	if o.reports != l.heard {
		l.heard, l.since = o.reports, now
		if l.writes != nil {
			l.writes.Defer(now, rand.Uint32())
		}
	}
	if left := l.own.After - time.Duration(now-l.since); left > 0 {
		return left
	}
	if l.writes == nil {
		l.writes = &quality.Reporter{SSRC: random32(), Bandwidth: l.own.Octets}
		copy(l.writes.Name[:], l.canonical())
		l.writes.Start(now, rand.Uint32())
	}
	if l.writes.Due(now) {
		w.account(l, &o, now)
	}
	return l.writes.Next(now)
}

// account reports to the far end of l what went there from o's, under the source as it leaves, and what came. Of a stream whose clock is not known no time stamp can be
// told, so that is a receiver report.
func (w *worker) account(l, o *leg, now int64) {
	s := quality.Sending{SSRC: l.writes.SSRC}
	if c := &o.current; c.on {
		s.SSRC = l.sealer().outgoing(c.ssrc)
		if c.timed {
			s.RTPTime, s.Packets, s.Octets = stamp(w.now, c.rate)-c.transit, c.passed, c.octets
		}
	}
	var from *quality.Reception
	if c := &l.current; c.on {
		from = &quality.Reception{SSRC: c.ssrc, Base: c.first, Highest: c.ext, Received: c.received, Jitter: uint32(c.jitter)}
		if l.got.ssrc == c.ssrc {
			from.LSR, from.At = l.got.ntp, now-(w.now-l.got.at)
		}
	}
	b := l.writes.Append(w.spare[:0], now, w.now, s, from, rand.Uint32())
	if b[1] == quality.TypeSR {
		l.noted(quality.Middle(quality.NTP(w.now)), w.now, true)
	}
	w.mail(l, b)
}
