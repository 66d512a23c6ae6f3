package audit

import "time"

// Heartbeat is how often a node that runs records how good its clock is, whether or not anything else happens. A longer silence is one that somebody must explain.
const Heartbeat = time.Hour

// heartbeatLate is how much later than that an entry may be on a busy machine.
const heartbeatLate = 10 * time.Minute

// ClockQuality says how good the clock of the node is: at the start, each hour, and when that changes. RTS (EU) 2024/1774 Art. 12(2)(f).
type ClockQuality struct {
	Cause        string   `json:"cause"`               // start | hourly | changed | stepped
	Known        bool     `json:"known"`               // the system said something
	Synchronised bool     `json:"synchronised"`        // something disciplines the clock
	Source       string   `json:"source"`              // in the system's words
	Reference    string   `json:"reference,omitempty"` // the documented reliable source of time, as configured
	OffsetMS     *float64 `json:"offset_ms,omitempty"`
	EstErrorMS   *float64 `json:"est_error_ms,omitempty"`
	MaxErrorMS   *float64 `json:"max_error_ms,omitempty"`
	StepMS       float64  `json:"step_ms,omitempty"` // the clock jumped by so much, back where negative
}

// ClockAlarm says that times of the log may be wrong from here on, or are right again.
type ClockAlarm struct {
	What      string    `json:"what"` // unsynchronised | stepped_back | synchronised
	Since     time.Time `json:"since"`
	Reference string    `json:"reference,omitempty"`
	StepMS    float64   `json:"step_ms,omitempty"`
}

func (ClockQuality) Kind() Kind { return KindClockQuality }
func (ClockAlarm) Kind() Kind   { return KindClockAlarm }

// Causes of a Silence.
const (
	SilenceStopped = "stopped" // the node was, in order
	SilenceCrash   = "crash"   // the node ended without saying so
	SilenceQuiet   = "silent"  // the node ran, and an hourly entry is missing
)

// Silence is a time of which the log has no entry, though a node that runs writes one each hour.
type Silence struct {
	Cause         string
	From, To      time.Time // of the last entry before it and the first one after
	After, Before uint64    // their indexes
}

// maxSilences bounds what a verification lists.
const maxSilences = 1000

// pulse hears a log: entry by entry, in their order.
type pulse struct {
	any, stopped, beats bool
	last                time.Time
	seq                 uint64
}

// hear takes one entry, and gives the silence in front of it.
func (p *pulse) hear(seq uint64, e *Entry) (s Silence, ok bool) {
	s = Silence{From: p.last, To: e.Time, After: p.seq, Before: seq}
	switch {
	case !p.any:
	case e.Kind == KindNodeStarted && p.stopped:
		s.Cause, ok = SilenceStopped, true
	case e.Kind == KindNodeStarted:
		s.Cause, ok = SilenceCrash, true
	case p.beats && !p.stopped && e.Time.Sub(p.last) > Heartbeat+heartbeatLate:
		s.Cause, ok = SilenceQuiet, true
	}
	switch e.Kind {
	case KindNodeStarted:
		p.stopped, p.beats = false, false
	case KindNodeStopped:
		p.stopped = true
	case KindClockQuality:
		p.beats = true
	}
	if p.any = true; !p.stopped || e.Kind == KindNodeStopped { // what is done to a log while no node runs breaks no silence
		p.last, p.seq = e.Time, seq
	}
	return s, ok
}
