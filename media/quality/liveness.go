package quality

import "time"

// State of one side's media.
type State uint8

// The states. The zero State is alive.
const (
	Alive   State = iota
	Silent        // no RTP comes, although it may
	Unheard       // its reports say that what we send does not arrive
	Dead          // both at once, or neither RTP nor RTCP for long
)

func (s State) String() string {
	switch s {
	case Silent:
		return "silent"
	case Unheard:
		return "unheard"
	case Dead:
		return "dead"
	}
	return "alive"
}

// Limits say when a side is in which state. Zero fields mean the defaults.
type Limits struct {
	Silent  time.Duration // without RTP; 5 s
	Unheard int           // reports in a row that do not advance; 3, at least 2
	Dead    time.Duration // without RTP and RTCP; 30 s
}

// leastSent is how many packets must have left between two reports for the second one to be expected to have advanced: a few may be under way.
const leastSent = 10

func (l Limits) filled() Limits {
	if l.Silent <= 0 {
		l.Silent = 5 * time.Second
	}
	if l.Dead <= 0 {
		l.Dead = 30 * time.Second
	}
	if l.Unheard <= 0 {
		l.Unheard = 3
	}
	l.Unheard = min(max(l.Unheard, 2), 255)
	return l
}

// Look is what is seen of one side at one moment.
type Look struct {
	Now     int64
	RTP     int64  // when the last RTP packet came from it
	RTCP    int64  // and the last RTCP packet
	Sent    uint64 // RTP packets to it
	Reports uint32 // sender and receiver reports that it sent, whether or not they speak of our stream
	Highest uint32 // extended highest sequence number in the last block about our stream; 0 while there was none
	Sends   bool   // it may send: the session lets it, and nobody holds the call
	Hears   bool   // it may be sent to, and nobody holds the call
}

// Event is a change of state.
type Event struct {
	State State
	Was   State
	// For is how long it is so already: without RTP, without a report that advanced, without anything. Of a side that is alive again: how long it was in trouble.
	For  time.Duration
	Held bool // alive again only because nothing is expected of it any more: a hold
}

// Liveness follows one side. The zero Liveness is alive; it is fed about once a second.
type Liveness struct {
	state   State
	still   uint8 // reports in a row that did not advance
	since   int64 // when the trouble began; 0 while it is alive
	sending int64 // since when it may send, without a break
	hearing int64 // since when it may be sent to, without a break
	moved   int64 // when a report advanced last, or when the counting began
	sent    uint64
	reports uint32
	highest uint32
	quiet   int64 // when the silence began that lasts; 0 for none
	silence int64 // ns of those that are over
}

// State is the present one.
func (l *Liveness) State() State { return l.state }

// Silence is how long in sum it was silent although it might send. Gaps shorter than Limits.Silent are none: comfort noise and suppressed silence.
func (l *Liveness) Silence(now int64) time.Duration {
	if l.quiet == 0 {
		return time.Duration(l.silence)
	}
	return time.Duration(l.silence + max(now-l.quiet, 0))
}

// Step takes one look. True with the event when the state changed.
func (l *Liveness) Step(lim Limits, k Look) (Event, bool) {
	lim = lim.filled()
	silent := l.silent(lim, k)
	unheard := l.unheard(lim, k)
	state, since := Alive, int64(0)
	switch {
	case l.gone(lim, k):
		state, since = Dead, l.lastLife(k)
	case silent && unheard:
		state, since = Dead, max(l.quiet, l.moved)
	case silent:
		state, since = Silent, l.quiet
	case unheard:
		state, since = Unheard, l.moved
	}
	if state == l.state {
		return Event{}, false
	}
	e := Event{State: state, Was: l.state, For: time.Duration(max(k.Now-since, 0))}
	if state == Alive {
		e.For = time.Duration(max(k.Now-l.since, 0))
		e.Held = l.state == Unheard && !k.Hears || l.state != Unheard && !k.Sends
		since = 0
	} else if l.since != 0 {
		since = min(since, l.since)
	}
	l.state, l.since = state, since
	return e, true
}

// silent follows the RTP that comes. RTCP is life, but it is no speech.
func (l *Liveness) silent(lim Limits, k Look) bool {
	if !k.Sends {
		l.over(k.Now)
		l.sending = 0
		return false
	}
	if l.sending == 0 || k.Now < l.sending {
		l.sending = k.Now
	}
	from := max(k.RTP, l.sending)
	if k.Now-from < int64(lim.Silent) {
		l.over(k.Now)
		return false
	}
	if l.quiet == 0 {
		l.quiet = from
	}
	return true
}

// over ends a silence.
func (l *Liveness) over(now int64) {
	if l.quiet != 0 {
		l.silence += max(now-l.quiet, 0)
		l.quiet = 0
	}
}

// unheard follows what the far end reports of our stream. Only a report says anything: without RTCP nothing is known. Several reports between two looks count as one, and
// one counts only when enough was sent since the one before.
func (l *Liveness) unheard(lim Limits, k Look) bool {
	if !k.Hears || k.Sent < l.sent {
		l.hearing, l.still = 0, 0
		l.sent = k.Sent
	}
	if !k.Hears {
		return false
	}
	if l.hearing == 0 {
		l.hearing, l.moved = k.Now, k.Now
		l.sent, l.reports, l.highest = k.Sent, k.Reports, k.Highest
		return false
	}
	switch {
	case k.Reports == l.reports:
	case k.Highest != l.highest:
		l.still, l.moved = 0, k.Now
		l.sent, l.reports, l.highest = k.Sent, k.Reports, k.Highest
	case k.Sent-l.sent >= leastSent:
		l.still = min(l.still, 254) + 1
		l.sent, l.reports = k.Sent, k.Reports
	default:
		l.reports = k.Reports
	}
	return int(l.still) >= lim.Unheard
}

// gone says whether nothing at all came for long.
func (l *Liveness) gone(lim Limits, k Look) bool {
	return k.Sends && k.Now-l.lastLife(k) >= int64(lim.Dead)
}

// lastLife is when anything came last, or could come first.
func (l *Liveness) lastLife(k Look) int64 { return max(k.RTP, k.RTCP, l.sending) }
