// Package scenario is the language of drills: what is taken away, how and when, what must still hold, and how it ends.
//
// A scenario is one text file for every use: the same file runs in virtual time as a test, in the demo, in a sandbox beside production and live. It names things by
// their part in a route (primary, secondary, forbidden, carrier), so that one file serves many nodes; Bind puts the names of one node in. The room is pure: it is
// given bytes and a description of a node, and it opens, dials and waits for nothing. It imports internal/strict.
package scenario

import (
	"crypto/sha256"
	"encoding/hex"
	"time"

	"github.com/cordonsip/cordon/internal/strict"
)

// Scenario is one file as it is written. Times count from the start of the drill.
type Scenario struct {
	Name     string        `yaml:"drill"`              // lower-case words with hyphens
	Version  int           `yaml:"version"`            // counts up with each change: a report names it
	Title    string        `yaml:"title"`              // one line, for people
	About    string        `yaml:"about,omitempty"`    // what it exercises and why, for the report
	Class    Class         `yaml:"class"`              // the kind of disruption, in the words of the register of drills
	Authors  []string      `yaml:"authors"`            // who wrote it; whoever tests is none of them: DORA Art. 24(4)
	Function Function      `yaml:"function,omitempty"` // what of the register of information it exercises
	Modes    []Mode        `yaml:"modes"`              // where it may run
	Route    string        `yaml:"route,omitempty"`    // the route that it exercises; "" needs one at the start, unless the node has a single one
	Calls    []Load        `yaml:"calls,omitempty"`
	Take     []Taking      `yaml:"take"`
	Expect   []Expectation `yaml:"expect"`
	Stop     Stop          `yaml:"stop,omitempty"`
	End      End           `yaml:"end"`

	Digest string `yaml:"-"` // SHA-256 of the file in hex: what a report proves it ran
}

// Function is the function of ITS (EU) 2024/2956 template B_06.01 that depends on what is drilled.
type Function struct {
	ID       string          `yaml:"id,omitempty"` // B_06.01.0010
	Name     string          `yaml:"name,omitempty"`
	Critical bool            `yaml:"critical,omitempty"`
	RTO      strict.Duration `yaml:"rto,omitempty"` // B_06.01.0080
	RPO      strict.Duration `yaml:"rpo,omitempty"` // B_06.01.0090
	BIA      string          `yaml:"bia,omitempty"` // the business impact analysis that the plan rests on: RTS (EU) 2024/1774 Art. 25(1)
}

// Mode is where a scenario runs.
type Mode string

// The modes, from the one that touches nothing to the one that moves production.
const (
	Simulation Mode = "simulation" // a whole node in a virtual network and virtual time
	Sandbox    Mode = "sandbox"    // a second node beside production: real sockets, stand-ins for parties, a log of its own
	Canary     Mode = "canary"     // production, for a declared share or number of calls
	Full       Mode = "full"       // production: a real switchover
)

// Modes are all of them, in that order.
func Modes() []Mode { return []Mode{Simulation, Sandbox, Canary, Full} }

// Live says whether calls of production may meet it.
func (m Mode) Live() bool { return m == Canary || m == Full }

// Evidence is the word that the register of drills has for it.
func (m Mode) Evidence() string {
	switch m {
	case Canary:
		return "canary_percent"
	case Full:
		return "production_window"
	}
	return string(m)
}

// Class is the kind of disruption that is exercised: RTS (EU) 2024/1774 Art. 26(2).
type Class string

// Classes are the words for it.
func Classes() []Class {
	return []Class{
		"primary_region_loss", "carrier_trunk_loss", "edge_group_latency_degradation", "dns_failure", "tls_certificate_expiry", "partial_one_way_media",
		"provider_insolvency_or_political_risk", "cyber_isolation_sever", "gate_exercise_non_eea", "failback",
	}
}

// Load is synthetic calls: real ones with a known tone, whose quality is measured at their end.
type Load struct {
	From   string          `yaml:"from,omitempty"` // party in whose name they come; "" is carrier
	Called string          `yaml:"called"`         // E.164
	Each   strict.Duration `yaml:"each"`           // from one call to the next
	Hold   strict.Duration `yaml:"hold"`           // how long each stays up
	At     strict.Duration `yaml:"at,omitempty"`
	Until  strict.Duration `yaml:"until,omitempty"` // 0: to the end
}

// Taking is one thing that is taken away, inside the node's own view: nobody outside is attacked.
type Taking struct {
	What  Object          `yaml:"what"`
	How   How             `yaml:"how"`
	At    strict.Duration `yaml:"at,omitempty"`
	For   strict.Duration `yaml:"for,omitempty"`   // 0: until the drill restores
	By    strict.Duration `yaml:"by,omitempty"`    // slow: how much later each answer and packet comes
	Share strict.Percent  `yaml:"share,omitempty"` // lossy: how many packets and answers are lost
	Every strict.Duration `yaml:"every,omitempty"` // flapping: gone for so long, back for so long
	To    string          `yaml:"to,omitempty"`    // moved: the party at whose addresses the name points now
}

// Object is what is taken away: exactly one of its fields is written.
type Object struct {
	Target     string `yaml:"target,omitempty"`     // party/member, or its part: primary, secondary
	Group      string `yaml:"group,omitempty"`      // edge group
	Trunk      string `yaml:"trunk,omitempty"`      // carrier trunk
	Region     string `yaml:"region,omitempty"`     // provider:code, or that of a part
	DNS        string `yaml:"dns,omitempty"`        // the names of a party; "all": every server
	Approver   string `yaml:"approver,omitempty"`   // a person, or everybody of a role
	Channel    string `yaml:"channel,omitempty"`    // a channel of notify
	Instrument string `yaml:"instrument,omitempty"` // of a country, as the law table names it
	Log        string `yaml:"log,omitempty"`        // "decisions"
	Node       string `yaml:"node,omitempty"`       // of a cluster
	Recorder   string `yaml:"recorder,omitempty"`
}

// Kind names an object's field, and gives what is written there. ok is false unless exactly one is.
func (o Object) Kind() (kind Kind, name string, ok bool) {
	n := 0
	for _, f := range [...]struct {
		kind Kind
		name string
	}{{Target, o.Target}, {Group, o.Group}, {Trunk, o.Trunk}, {Region, o.Region}, {DNS, o.DNS}, {Approver, o.Approver}, {Channel, o.Channel}, {Instrument, o.Instrument}, {Log, o.Log}, {Node, o.Node}, {Recorder, o.Recorder}} {
		if f.name != "" {
			kind, name = f.kind, f.name
			n++
		}
	}
	return kind, name, n == 1
}

// Kind of object.
type Kind string

// The kinds.
const (
	Target     Kind = "target"
	Group      Kind = "group"
	Trunk      Kind = "trunk"
	Region     Kind = "region"
	DNS        Kind = "dns"
	Approver   Kind = "approver"
	Channel    Kind = "channel"
	Instrument Kind = "instrument"
	Log        Kind = "log"
	Node       Kind = "node"
	Recorder   Kind = "recorder"
)

// InPath says whether calls, or the questions in front of them, meet what is taken. People, channels and the log stand beside the path: that one of them is gone is no fault
// that a call is answered after.
func (k Kind) InPath() bool {
	switch k {
	case Approver, Channel, Log, Recorder:
		return false
	}
	return true
}

// How something is taken away.
type How string

// The ways.
const (
	Refuse           How = "refuse"            // a closed door: the connection is refused, at once
	Blackhole        How = "blackhole"         // silence
	Slow             How = "slow"              // everything comes later, by By
	Lossy            How = "lossy"             // Share of all is lost
	WrongCertificate How = "wrong_certificate" // TLS identity that is not the expected one
	Unavailable      How = "unavailable"       // 503 to everything
	Flapping         How = "flapping"          // a blackhole that comes and goes
	Fail             How = "fail"              // DNS: SERVFAIL; channel: every delivery fails; log: every write fails
	Moved            How = "moved"             // DNS: the names point at the addresses of To
	Away             How = "away"              // a person does not answer
	Struck           How = "struck"            // an instrument is suspended
	Isolated         How = "isolated"          // a node sees no other
)

// Stop is what aborts a drill by itself, judged each second. What is not written has a default: a drill without a stop condition is none.
type Stop struct {
	Failures strict.Percent  `yaml:"failures,omitempty"` // of the calls of production in the last minute that failed, beyond what failed before the start; 5%
	MOS      float64         `yaml:"mos,omitempty"`      // mean of calls of production below it; 3.5
	CPU      strict.Percent  `yaml:"cpu,omitempty"`      // of the node; 85%
	After    strict.Duration `yaml:"after,omitempty"`    // how long a condition must last; 3s
}

// End is how a drill ends.
type End struct {
	After   strict.Duration `yaml:"after"`             // everything is given back then at the latest
	Restore strict.Duration `yaml:"restore,omitempty"` // within it everything must be as before; 10s
}

// The defaults of what a scenario leaves out.
const (
	DefaultFailures strict.Percent = 500
	DefaultMOS                     = 3.5
	DefaultCPU      strict.Percent = 8_500
	DefaultLasting                 = 3 * time.Second
	DefaultRestore                 = 10 * time.Second
	MaxLength                      = 24 * time.Hour
	MaxSize                        = 64 << 10
)

// Read parses and checks one file. name is used in messages. What could be read is given beside the problems; the scenario is nil only when nothing could be.
func Read(name string, data []byte) (*Scenario, strict.Problems) {
	if len(data) > MaxSize {
		return nil, strict.Problems{{File: name, What: "the file is longer than 64 KiB", Hint: "a scenario is a page of text"}}
	}
	s := &Scenario{}
	doc, probs := strict.Decode(name, data, s, strict.Form{Empty: "start from one of the scenarios in configs/drills"})
	if doc == nil {
		return nil, probs
	}
	sum := sha256.Sum256(data)
	s.Digest = hex.EncodeToString(sum[:])
	l := &linter{doc: doc, s: s}
	if len(probs) == 0 { // what could not be read is not judged: it would be said twice
		l.judge()
	}
	s.complete()
	return s, append(probs, l.probs...).Sorted()
}

// complete puts the defaults in.
func (s *Scenario) complete() {
	if s.Stop.Failures == 0 {
		s.Stop.Failures = DefaultFailures
	}
	if s.Stop.MOS == 0 {
		s.Stop.MOS = DefaultMOS
	}
	if s.Stop.CPU == 0 {
		s.Stop.CPU = DefaultCPU
	}
	s.Stop.After = strict.Duration(s.Stop.After.Or(DefaultLasting))
	s.End.Restore = strict.Duration(s.End.Restore.Or(DefaultRestore))
}
