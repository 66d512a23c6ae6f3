package healthcheck

import (
	"fmt"
	"slices"
	"time"
)

// Bounds of the window.
const (
	ringSize     = 128              // samples behind the percentiles
	maxFalls     = 128              // that are remembered
	maxCool      = 5 * time.Minute  // a peer cannot put itself out for longer by Retry-After
	flapWindow   = 10 * time.Minute // falls inside it lengthen the hold-down
	maxFlapShift = 3                // to at most 8 times HoldDown
)

// evidence is what one probe or one call says about a target.
type evidence uint8

const (
	hit  evidence = iota // it answered and is willing
	miss                 // silence, a refused connection, 408
	busy                 // 503 or another 5xx: reachable, unwilling
)

// window is the memory of one target. It is a pure state machine over (evidence, time); the Checker's lock guards it.
//
// Up or Degraded fall to Down after Fall misses in a row, where an unwilling answer counts as a miss; one unwilling answer alone makes Degraded.
// Down rises after Rise hits in a row, and not before the hold-down is over. From Unknown one hit is enough for Up, but Down still needs Fall misses.
type window struct {
	state    State
	since    time.Time
	why      string
	hits     int // in a row
	misses   int // in a row
	unwilled int // unwilling answers among the misses
	missFrom time.Time
	last     evidence
	lastAt   time.Time // of the last evidence of any kind
	lastSeen time.Time // of the last answer of any kind

	falls    []time.Time // inside the flap window, oldest first
	flapping bool        // too many of them: held down until it is quiet
	holdTill time.Time
	coolTill time.Time // Retry-After
	cooled   bool      // nothing but hits since it asked for the pause

	circuit Circuit
	halfAt  time.Time // when the circuit opened by half
	trialAt time.Time // when the one call left
	quality quality

	rtt, rttMin time.Duration
	said        time.Duration // the average that fine tells of
	fine        string        // says that it answers; each call that gets through does
	ring        [ringSize]time.Duration
	ringLen     int
	ringNext    int
}

// measured takes one round-trip time.
func (w *window) measured(d time.Duration) {
	if d <= 0 {
		return
	}
	if w.rtt == 0 {
		w.rtt = d
	} else {
		w.rtt += (d - w.rtt) / 8 // RFC 6298 section 2: alpha 1/8
	}
	if w.rttMin == 0 || d < w.rttMin {
		w.rttMin = d
	}
	w.ring[w.ringNext] = d
	w.ringNext = (w.ringNext + 1) % ringSize
	w.ringLen = min(w.ringLen+1, ringSize)
}

// percentiles of the ring: p50, p95 and p99, by the nearest-rank method.
func (w *window) percentiles() (p [3]time.Duration) {
	if w.ringLen == 0 {
		return p
	}
	var sorted [ringSize]time.Duration
	s := sorted[:copy(sorted[:], w.ring[:w.ringLen])]
	slices.Sort(s)
	for i, share := range [...]int{50, 95, 99} {
		p[i] = s[(len(s)*share+99)/100-1]
	}
	return p
}

// observe takes evidence. what names it in words ("OPTIONS unanswered"). doubt keeps a target that would fall where it is.
func (w *window) observe(e evidence, now time.Time, what string, s Settings, doubt func() string) {
	w.last, w.lastAt = e, now
	if e == hit {
		w.hits++
		w.misses, w.unwilled = 0, 0
		w.lastSeen = now
		w.onHit(now, s)
		return
	}
	w.hits, w.cooled = 0, false
	if w.misses++; w.misses == 1 {
		w.missFrom = now
	}
	if e == busy {
		w.unwilled++
		w.lastSeen = now
	}
	w.onMiss(e, now, what, s, doubt)
}

func (w *window) onHit(now time.Time, s Settings) {
	limps := w.limps(s)
	switch w.state {
	case Unknown:
		if limps != "" {
			w.enter(Degraded, now, limps)
		} else {
			w.enter(Up, now, "first answer"+w.took())
		}
	case Up:
		if limps != "" {
			w.enter(Degraded, now, limps)
		} else {
			w.why = w.answering()
		}
	case Degraded:
		switch {
		case limps != "":
			w.why = limps
		case w.hits >= s.Rise:
			w.enter(Up, now, fmt.Sprintf("%d good answers in a row%s", w.hits, w.took()))
		default:
			w.why = fmt.Sprintf("recovering: %d of %d good answers", w.hits, s.Rise)
		}
	case Down:
		w.rise(now, s)
	}
}

func (w *window) rise(now time.Time, s Settings) {
	switch {
	case w.circuit != Open:
		w.half(now, s)
	case now.Before(w.coolTill):
		w.why = "asked to be left alone until " + clock(w.coolTill)
	case w.cooled: // it kept answering meanwhile, and the time that it asked for is over
		w.enter(w.risen(s), now, "the time asked for by Retry-After is over and it answers")
	case w.hits < s.Rise:
		w.why = fmt.Sprintf("%d of %d good answers since it fell at %s", w.hits, s.Rise, clock(w.since))
	case now.Before(w.holdTill) && w.flapping:
		w.why = "answers again; " + w.flapWhy(s)
	case now.Before(w.holdTill):
		w.why = fmt.Sprintf("answers again, held down until %s after %s", clock(w.holdTill), times(len(w.falls)))
	default:
		w.halve(now, fmt.Sprintf("%d good answers in a row%s", w.hits, w.took()), s)
	}
}

// answering says that a target that is up answers.
func (w *window) answering() string {
	if w.fine == "" || w.rtt != w.said {
		w.said, w.fine = w.rtt, "answers"+w.took()
	}
	return w.fine
}

// answers says whether a target that is down is alive all the same, and did not ask to be left alone.
func (w *window) answers(now time.Time) bool {
	return w.state == Down && w.last == hit && w.hits > 0 && !now.Before(w.coolTill)
}

// limps says in words why a target that answers is degraded, or "".
func (w *window) limps(s Settings) string {
	if w.slow(s) {
		return w.slowWhy(s)
	}
	return w.quality.poor
}

func (w *window) risen(s Settings) State {
	if w.limps(s) != "" {
		return Degraded
	}
	return Up
}

func (w *window) onMiss(e evidence, now time.Time, what string, s Settings, doubt func() string) {
	if w.state == Down {
		w.reopened()
		w.restless(now, s)
		w.why = fmt.Sprintf("still %s, down since %s", what, clock(w.since))
		return
	}
	if w.misses >= s.Fall {
		if self := doubt(); self != "" {
			w.why = fmt.Sprintf("%d of %d %s since %s; %s", min(w.misses, s.Fall), s.Fall, what, clock(w.missFrom), self)
			return
		}
		w.fall(now, fmt.Sprintf("%d of %d %s since %s", s.Fall, s.Fall, what, clock(w.missFrom)), s)
		return
	}
	why := fmt.Sprintf("%d of %d %s since %s", w.misses, s.Fall, what, clock(w.missFrom))
	if e == busy && w.state != Degraded {
		w.enter(Degraded, now, why)
		return
	}
	w.why = why
}

// cool puts a target out for as long as it asked (RFC 3261 section 20.33), whatever it answers meanwhile.
func (w *window) cool(d time.Duration, now time.Time) {
	d = min(d, maxCool)
	till := now.Add(d)
	if till.Before(w.coolTill) {
		return
	}
	why := fmt.Sprintf("answered 503 with Retry-After %v, left alone until %s", d, clock(till))
	w.hits, w.last, w.lastAt, w.lastSeen = 0, busy, now, now
	if w.state == Down {
		w.why, w.circuit = why, Open
	} else {
		w.enter(Down, now, why)
		w.cooled = true
	}
	w.coolTill = till
}

// forget returns to Unknown: the target may not be probed.
func (w *window) forget(now time.Time, why string) {
	w.hits, w.misses, w.unwilled, w.lastAt = 0, 0, 0, time.Time{}
	if w.state == Unknown {
		w.why = why
		return
	}
	w.enter(Unknown, now, why)
}

func (w *window) enter(s State, now time.Time, why string) {
	w.state, w.since, w.why = s, now, why
	w.circuit = Open
	if s != Down {
		w.circuit = Closed
		w.coolTill, w.holdTill, w.cooled, w.flapping = time.Time{}, time.Time{}, false, false
	}
}

// slow has hysteresis: it begins above SlowRTT and ends below nine tenths of it.
func (w *window) slow(s Settings) bool {
	if s.SlowRTT <= 0 {
		return false
	}
	if w.state == Degraded {
		return w.rtt > s.SlowRTT-s.SlowRTT/10
	}
	return w.rtt > s.SlowRTT
}

func (w *window) slowWhy(s Settings) string {
	return fmt.Sprintf("slow: %v on average, more than %v", round(w.rtt), s.SlowRTT)
}

func (w *window) took() string {
	if w.rtt == 0 {
		return ""
	}
	return ", " + round(w.rtt).String() + " on average"
}

func round(d time.Duration) time.Duration {
	if d > time.Millisecond {
		return d.Round(100 * time.Microsecond)
	}
	return d.Round(time.Microsecond)
}

func clock(t time.Time) string { return t.UTC().Format("15:04:05") + "Z" }

func times(n int) string {
	if n == 1 {
		return "1 fall"
	}
	return fmt.Sprintf("%d falls in %v", n, flapWindow)
}
