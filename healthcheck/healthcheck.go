// Package healthcheck is the senses of the house: it knows each target's health, why, and since when, and nothing about calls or law.
//
// A Checker asks resolve for located targets, probes the permitted ones through a Prober, feeds a rise/fall window together with
// what real calls met (Outcome), and swaps in a new immutable Table. It imports healthcheck/resolve and sovereign.
package healthcheck

import (
	"context"
	"net/netip"
	"strings"
	"time"

	"github.com/cordonsip/cordon/sovereign"
)

// Transport is a SIP transport in lower case: "udp", "tcp" or "tls".
type Transport string

// Target is one vetted address of a party: what is probed is exactly what is dialled.
type Target struct {
	Party     string // trunk or edge group
	Member    string // name of the member inside the party, as declared
	Name      string // host name as declared: TLS server name and host part of the request URI
	Transport Transport
	Addr      netip.AddrPort
	Priority  uint16 // SRV, or the member's own
	Weight    uint16
	Ruling    sovereign.Ruling // on the signalling plane, when it was located
}

// ID is stable for the same party, member, transport and address: "party/member/tls/203.0.113.7:5061".
func (t Target) ID() string {
	return t.Party + "/" + t.Member + "/" + string(t.Transport) + "/" + t.Addr.String()
}

// is says whether id is that of the target, without making its own: it is asked for each call.
func (t *Target) is(id string) bool {
	var room [64]byte
	for _, part := range [...]string{t.Party, t.Member, string(t.Transport)} {
		if len(id) <= len(part) || id[:len(part)] != part || id[len(part)] != '/' {
			return false
		}
		id = id[len(part)+1:]
	}
	if !t.Addr.IsValid() {
		return id == t.Addr.String()
	}
	return id == string(t.Addr.AppendTo(room[:0]))
}

// State of a target or a party.
type State uint8

// The states. The zero State is Unknown.
const (
	Unknown State = iota
	Up
	Degraded
	Down
)

// String gives the state in the words of the log.
func (s State) String() string {
	switch s {
	case Up:
		return "up"
	case Degraded:
		return "degraded"
	case Down:
		return "down"
	}
	return "unknown"
}

// Usable says whether calls may go to a target in this state without further thought.
func (s State) Usable() bool { return s == Up || s == Degraded }

// better orders states for a party as a whole: up, degraded, unknown, down.
func (s State) better(o State) bool {
	rank := [...]int{Up: 0, Degraded: 1, Unknown: 2, Down: 3}
	return rank[s] < rank[o]
}

// Status is the health of one target in one Table.
type Status struct {
	Target   Target
	State    State
	Since    time.Time
	Why      string        // in words, always set: "3 of 3 OPTIONS unanswered since 14:02:11"
	RTT      time.Duration // EWMA; 0 when never measured
	RTTMin   time.Duration // smallest ever seen; bounds the distance
	RTTP50   time.Duration // percentiles of the last probes
	RTTP95   time.Duration
	RTTP99   time.Duration
	LastSeen time.Time // last answer of any kind
	Circuit  Circuit
	// Answers says that a target that is down is alive all the same: a circuit, a hold-down or a flap cap keeps it shut. It is the last resort.
	Answers bool
	Calls   Measured // what calls of the last minutes met
}

// Table is one immutable view of all targets. Lookups give nil for an unknown party.
type Table struct {
	At         time.Time
	Generation uint64
	ByParty    map[string][]Status // sorted by priority, then member, then address
}

// Party is the health of a party as a whole: its best target's state, with the reason and since when. A nil Table knows nothing.
func (t *Table) Party(name string) (State, time.Time, string) {
	if t == nil || len(t.ByParty[name]) == 0 {
		return Unknown, time.Time{}, "no target is known"
	}
	list := t.ByParty[name]
	best := list[0]
	for _, s := range list[1:] {
		if s.State.better(best.State) || (s.State == best.State && s.Since.Before(best.Since)) {
			best = s
		}
	}
	if len(list) == 1 {
		return best.State, best.Since, best.Why
	}
	return best.State, best.Since, best.Target.Addr.String() + ": " + best.Why
}

// Status finds one target.
func (t *Table) Status(id string) (Status, bool) {
	if t == nil {
		return Status{}, false
	}
	party, _, _ := strings.Cut(id, "/")
	list := t.ByParty[party]
	for i := range list {
		if list[i].Target.is(id) {
			return list[i], true
		}
	}
	return Status{}, false
}

// Transition is one change of state of one target.
type Transition struct {
	Target   Target
	From, To State
	At       time.Time
	Why      string
}

// Sample is what one probe brought back.
type Sample struct {
	RTT    time.Duration
	Status int    // SIP status of the final answer
	Via    string // how it was reached, in words, for the log
}

// Prober asks one target whether it is alive; the caller bounds it by ctx. It must use the address, transport and TLS identity of calls.
// Any answer but 408, 503 and 5xx is life; 503 is reachable but not willing.
type Prober interface {
	Probe(ctx context.Context, t Target) (Sample, error)
}

// Outcome is what a real call met at a target.
type Outcome struct {
	Target     string // ID
	Drill      string // the canary drill in whose view the call was planned: it says nothing of the target beyond that view; "": of production
	Alive      bool   // any answer that shows a working peer
	Busy       bool   // 503: reachable, unwilling
	RetryAfter time.Duration
	Cause      string
	Took       time.Duration
	At         time.Time
	Final      int           // final response; 0: none came
	PDD        time.Duration // INVITE to the first 18x or to the final response; 0: neither came
	// Ended is the report at the end of an answered call: it carries the score and says nothing of life.
	Ended bool
	MOS   float64 // of what the target sent, 1 to 4.5; 0 unknown
	// Own says that what was met is gone for a drill's own calls alone: it is no word on the target, and is not taken.
	Own bool
}

// Settings of the window, per party or as default.
type Settings struct {
	Interval time.Duration // default 5 s
	Timeout  time.Duration // default 2 s; must be smaller than Interval
	Jitter   float64       // share of Interval, default 0.1
	Fall     int           // default 3
	Rise     int           // default 5
	HoldDown time.Duration // a target that fell stays down at least that long, default 10 s
	SlowRTT  time.Duration // EWMA above it means Degraded; 0 disables
	HalfOpen time.Duration // a fallen target waits that long for the one call that tries it before its probes close the circuit; below 0: no trial
	// FlapMax falls inside FlapWithin (default 10 min) hold a target down until it was quiet for FlapQuiet (default 10 min); below 0: no cap.
	FlapMax               int
	FlapWithin, FlapQuiet time.Duration
	Quality               Quality
}

// Watched is one party that the Checker looks after.
type Watched struct {
	Party    string
	Members  []Member
	Settings Settings
	Call     Call // zero: no synthetic calls
	Enrol    bool // its targets take calls only while we are registered with them: see Checker.Enrolled
}

// Member is one declared way to reach a party.
type Member struct {
	Name      string    // unique inside the party
	Host      string    // domain name or literal address
	Port      uint16    // 0: by NAPTR/SRV for names, 5060/5061 for literals
	Transport Transport // "" : by NAPTR for names; required for literals
	Priority  uint16
	Weight    uint16
}
