package registration

import (
	"fmt"
	"time"
)

// State of a registration that we keep.
type State uint8

// The states. Only Registered carries calls.
const (
	Waiting State = iota // nothing was answered yet
	Registered
	Failed  // no answer, or one that may be better soon
	Refused // the registrar does not want us: somebody must look
)

// String gives the state in the words of status and metrics.
func (s State) String() string {
	return [...]string{"waiting", "registered", "failed", "refused"}[s]
}

// The times of a registrant.
const (
	baseWait   = 30 * time.Second // RFC 5626 section 4.5, doubled with each failure in a row
	maxWait    = 30 * time.Minute
	refuseWait = 30 * time.Minute // after a refusal, which time alone does not mend
	shortLife  = 10 * time.Minute // below it a refresh may need its whole deadline
	answerTime = 40 * time.Second // of one REGISTER that is asked for credentials over a lossy way
	maxPause   = time.Hour        // the longest Retry-After that is believed
	minLife    = 10 * time.Second // a registrar that grants less is refreshed as if it had granted that
)

// Registrant is the state of one registration: one address of record at one target.
type Registrant struct {
	Expires time.Duration  // that is asked for
	Chance  func() float64 // 0 to 1

	state State
	since time.Time // of the state
	why   string
	fails int
	until time.Time // the binding ends then
	next  time.Time // the next REGISTER
}

// State, Since, Why and Until tell people. Until is zero unless a binding lives.
func (r *Registrant) State() State     { return r.state }
func (r *Registrant) Since() time.Time { return r.since }
func (r *Registrant) Why() string      { return r.why }
func (r *Registrant) Until() time.Time { return r.until }

// Due says whether the next REGISTER is due.
func (r *Registrant) Due(now time.Time) bool { return !r.next.After(now) }

// Bound says whether the binding lives.
func (r *Registrant) Bound(now time.Time) bool { return r.until.After(now) }

// Hasten asks for the next REGISTER soon, spread over that time: its connection broke, or somebody mended the configuration.
func (r *Registrant) Hasten(now time.Time, within time.Duration) {
	if at := now.Add(time.Duration(r.Chance() * float64(within))); at.Before(r.next) {
		r.next = at
	}
}

// Sent notes that a REGISTER is on its way: the next one waits for its end.
func (r *Registrant) Sent(now time.Time) { r.next = now.Add(time.Hour) }

// Accepted is a 2xx that grants that long. The refresh comes after 50 to 90 percent of it, at random so that many trunks do not march in step, and early enough
// to be repeated before the end.
func (r *Registrant) Accepted(now time.Time, granted time.Duration) {
	r.fails = 0
	r.until = now.Add(granted)
	granted = max(granted, minLife)
	share := 0.5 + 0.4*r.Chance()
	if granted < shortLife {
		share = 0.5 + (share-0.5)/2
	}
	wait := time.Duration(share * float64(granted))
	r.next = now.Add(max(min(wait, granted-answerTime), granted/2))
	r.enter(Registered, now, fmt.Sprintf("registered until %s", r.until.UTC().Format("15:04:05Z")))
}

// Answered takes a final response that is no 2xx. pause is its Retry-After and least its Min-Expires, 0 without. again asks for another REGISTER at once.
func (r *Registrant) Answered(now time.Time, status int, pause, least time.Duration) (again bool) {
	if status == 423 && least > r.Expires && least <= 24*time.Hour { // RFC 3261 section 10.2.8
		r.Expires = least
		return true
	}
	why := fmt.Sprintf("registration failed: %d", status)
	switch {
	case status == 401, status == 407, status >= 400 && status < 500 && status != 408 && status != 480 && status != 423, status >= 600, status < 400:
		r.until = time.Time{} // it said no: what it keeps of us counts for nothing
		r.next = now.Add(max(r.spread(refuseWait), min(pause, maxPause)))
		r.fails++
		r.enter(Refused, now, why)
	case pause > 0:
		r.fails++
		pause = min(pause, maxPause)
		r.next = now.Add(pause + time.Duration(r.Chance()*float64(pause)/10)) // never earlier than asked, and not all at once
		r.enter(Failed, now, fmt.Sprintf("%s, left alone for %v", why, pause))
	default:
		r.Lost(now, why)
	}
	return false
}

// Lost is a REGISTER that nothing final came for. RFC 5626 section 4.5: the wait doubles with each failure in a row.
func (r *Registrant) Lost(now time.Time, why string) {
	r.fails++
	r.next = now.Add(r.spread(min(baseWait<<min(r.fails, 10), maxWait)))
	r.enter(Failed, now, why)
}

// Stopped is a target that the policy does not let us send to: it is looked at again soon, and nothing is sent meanwhile.
func (r *Registrant) Stopped(now time.Time, why string) {
	r.until = time.Time{}
	r.next = now.Add(5 * time.Second)
	r.enter(Failed, now, why)
}

// spread is between half of d and d. RFC 5626 section 4.5.
func (r *Registrant) spread(d time.Duration) time.Duration {
	return d/2 + time.Duration(r.Chance()*float64(d/2))
}

func (r *Registrant) enter(s State, now time.Time, why string) {
	if r.state != s || r.since.IsZero() {
		r.state, r.since = s, now
	}
	r.why = why
}
