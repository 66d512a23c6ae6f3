// Package measure turns what was seen of a drill into figures and judgements: how long until it was noticed, decided and answered elsewhere, what was lost, and which of
// the scenario's expectations hold.
//
// It is pure: it is given observations with their times, and neither watches nor waits. A play in virtual time, one in a sandbox and one in production are judged by
// the same code. It imports drill/scenario.
package measure

import (
	"time"

	"github.com/cordonsip/cordon/drill/scenario"
)

// Seen is everything that was observed of one play. Its lists are in the order of time.
type Seen struct {
	Start, End time.Time // of the play; from End on nothing was taken any more, and what still was gone was given back
	Restoring  time.Time // when that began which Restored ended: the last giving back, or the order to end where the node was not as before by itself until then
	Restored   time.Time // since when everything is as before; zero: it is not
	Taken      []Taken
	Health     []Health
	Moves      []Move
	Tickets    []Ticket
	Calls      []Call
	Refused    []Attempt
	Sent       []Sent
	Notices    []Notice
	Records    Records
}

// Taken is one thing that was taken away, with its number in the play.
type Taken struct {
	Index    int
	At, Back time.Time
}

// Health is a change in the health table.
type Health struct {
	At    time.Time
	Party string
	Up    bool // calls may go there without further thought
	Limps bool // a part of it is worse than up: one target is degraded, or down beside others
}

// Move is a decision of the router on the route that is exercised.
type Move struct {
	At    time.Time
	What  string // applied | held | refused | failback
	Party string // where calls go from then on, or what was held or refused
}

// Ticket is one at the gate, for the parties that it would open.
type Ticket struct {
	Parties []string
	Opened  time.Time
	Words   []time.Time // approvals that counted, of different people
	Opinion time.Time   // of the data protection officer; zero: none yet
}

// Call is a call that the drill placed.
type Call struct {
	Placed   time.Time
	Answered time.Time // zero: never
	Ended    time.Time // zero: it was up when the drill ended
	Party    string    // that answered
	Status   int       // final SIP status
	Lost     bool      // it was answered, and ended otherwise than by its caller
	MOS      float64   // 0: not measured
	Gap      time.Duration
}

// Attempt is something that was asked for and refused, on record.
type Attempt struct {
	At    time.Time
	Party string
	Entry uint64 // of the log
}

// Sent counts datagrams that left for a party, between From and To.
type Sent struct {
	From, To  time.Time
	Party     string
	Datagrams uint64
}

// Notice is one that was delivered.
type Notice struct {
	At            time.Time
	Channel, Kind string
}

// Records are entries of the log and receipts: what was acknowledged to whoever wrote them, and what a verified log holds.
type Records struct {
	Acknowledged, Found uint64
	Verified            bool // the log was verified after the drill
}

// Lost is how many are missing.
func (r Records) Lost() uint64 {
	if r.Found >= r.Acknowledged {
		return 0
	}
	return r.Acknowledged - r.Found
}

// Judgement is one expectation of the scenario and what became of it. What was not seen does not hold: a drill shows, and assumes nothing.
type Judgement struct {
	Index    int    `json:"index"`
	Word     string `json:"word"`
	Holds    bool   `json:"holds"`
	Wanted   string `json:"wanted"`
	Measured string `json:"measured"`
}

// Judge holds every expectation of a play against what was seen.
func Judge(p *scenario.Play, s *Seen) []Judgement {
	out := make([]Judgement, len(p.Expect))
	for i, e := range p.Expect {
		word, _ := e.Word()
		j := &judge{p: p, s: s, e: e, from: s.Start.Add(time.Duration(e.From)), until: s.End}
		if e.Until != 0 {
			j.until = s.Start.Add(time.Duration(e.Until))
		}
		holds, wanted, measured := j.hold()
		out[i] = Judgement{i, word, holds, wanted, measured}
	}
	return out
}

// Passed says that all of them hold.
func Passed(list []Judgement) bool {
	for _, j := range list {
		if !j.Holds {
			return false
		}
	}
	return len(list) > 0
}
