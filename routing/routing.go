// Package routing decides where a call may go. Plan is a pure function of four snapshots (health table, policy, grants, active groups): compliance
// comes first, then priority, health and latency. Run follows health transitions, applies the lawful failovers and proposes the others to the gate.
//
// It imports approval, audit, healthcheck, sovereign and its own desk and numbers.
package routing

import (
	"context"
	"log/slog"
	"time"

	"github.com/cordonsip/cordon/approval"
	"github.com/cordonsip/cordon/audit"
	"github.com/cordonsip/cordon/healthcheck"
	"github.com/cordonsip/cordon/routing/desk"
	"github.com/cordonsip/cordon/routing/numbers"
	"github.com/cordonsip/cordon/sovereign"
	"github.com/prometheus/client_golang/prometheus"
)

// Direction of a call.
type Direction string

// Directions.
const (
	Inbound  Direction = "inbound"  // carrier to contact centre
	Outbound Direction = "outbound" // contact centre to carrier
)

// Request is one call that wants a way. From is the trunk or edge group whose INVITE was admitted.
type Request struct {
	From    string
	Called  string // user part of the request URI: E.164 with plus where it could be normalised, or a SIP user
	Caller  string // user part of the asserted or From identity
	Domain  string // host of the request URI
	Service string // "urn:service:sos" and below, when the request URI is one
	Purpose sovereign.Purpose
	At      time.Time // of the INVITE; zero means now, and then two equal requests may differ
	Keys    bool      // the offer carries SDES keys
	Message bool      // it is a message and no call
	CallID  string    // of a new call, which a canary drill chooses by; "" of anything else
	Drill   string    // the drill in whose view the call that this is part of was planned; "": in none
}

// RouteReason in the words of receipts.
type RouteReason string

// The reasons.
const (
	ReasonPrimary       RouteReason = "primary"
	ReasonAutoFailover  RouteReason = "auto_failover"
	ReasonGatedFailover RouteReason = "gated_failover"
	ReasonDrill         RouteReason = "drill"
	ReasonFailback      RouteReason = "failback"
	ReasonEmergency     RouteReason = "emergency"
	ReasonManual        RouteReason = "manual_switch" // a person switched the route
	ReasonMigration     RouteReason = "migration"     // the number belongs to a share of the route that a person moved
)

// Hop is one target to try. Its Ruling is Permit.
type Hop struct {
	Target healthcheck.Target
	Party  string
	Ruling sovereign.Ruling // strictest of the party, its media and the address
	Grant  string           // the sender must Spend it before it dials
	Reason RouteReason
	Within time.Duration // INVITE to any response; 0 means the default of the transport
	URI    string        // user part toward the target after number rules
	Caller string        // number of the caller toward the target; "" : as it came
	// Trial says that the target's circuit is half-open: the sender must take its one call (healthcheck.Checker.Try) before it dials, or leave it out.
	Trial bool
	Drill string // the canary drill in whose view it was planned, and whose takings it meets; "": production's
	Note  string // why it stands where it does, when that is not plain from Reason; "" otherwise
}

// Grounds of what a plan leaves out for another reason than law. Like all grounds they are words of the log.
const (
	GroundDown      sovereign.Ground = "target_down"
	GroundCapacity  sovereign.Ground = "target_at_capacity"
	GroundUnprobed  sovereign.Ground = "health_unknown"
	GroundNoTarget  sovereign.Ground = "no_target"
	GroundSynthetic sovereign.Ground = "synthetic_emergency" // a drill or probe may not dial an emergency number
	GroundNoTrunk   sovereign.Ground = "no_emergency_trunk"
	GroundDraining  sovereign.Ground = "service_draining" // by hand, as the next two
	GroundOut       sovereign.Ground = "service_out"
	GroundTestOnly  sovereign.Ground = "service_test_only"
	GroundCaller    sovereign.Ground = "caller_not_permitted" // the party rejects callers with a number that is not its customer's
)

// Words of Route.Fallback.
const (
	FallbackApproval = "MANUAL_APPROVAL_REQUIRED"
	FallbackNever    = "NEVER"
)

// Refused is one party or target that the plan leaves out, with its ground.
type Refused struct {
	Party  string
	Target string // "" for a whole party
	Ruling sovereign.Ruling
	Ground sovereign.Ground
	Why    string
}

// OnHold is what happens when nothing permitted is left: a final refusal, or the permitted hops of another target (already in Plan.Hops).
type OnHold struct {
	Status int // 403 or 603
	Queue  string
}

// Plan is the answer to one Request. Hops are in the order to try.
type Plan struct {
	Route      string
	Direction  Direction
	Trunk      string // the carrier side of this call, whichever end it is; may be "" until a hop is chosen
	Group      string
	Hops       []Hop
	Refused    []Refused
	Closed     bool // the caller's own party takes no new calls: 503, so that it asks another node
	Held       bool // something was held or denied: then the final refusal is OnHold's, never a relayed 5xx
	OnHold     OnHold
	Purpose    sovereign.Purpose
	Drill      string // the canary drill in whose view it was made; "": production's
	Recording  bool   // recording_required
	Announce   bool   // before OnHold's refusal the caller is played the announcement of the route
	Overlap    bool   // the next hop is tried beside one that is silent, and whoever answers first has the call
	Matched    int    // characters of the called number that chose the route
	Generation uint64
	Digest     string // policy digest
	Why        string // in words, for cordon plan and the log
}

// Config of a Router.
type Config struct {
	Rules    Rules
	Table    func() *healthcheck.Table
	Snapshot func() *sovereign.Snapshot
	Gate     Gate
	Log      audit.Log
	// Recorder says whether a permitted recorder is reachable for a party; nil means none ever is.
	Recorder func(party string) (ok bool, country string)
	// Desk holds what people decided about service; nil: nothing ever is.
	Desk *desk.Desk
	// Released is told when a person puts a target or a party in service: health may forget that it flapped. nil: nobody is.
	Released func(name string)
	// Capacity says whether a target may take one more call; nil means always.
	Capacity func(target string) bool
	Drill    string // of a second view beside production: see Shadow
	Logger   *slog.Logger
	Metrics  prometheus.Registerer
}

// Gate is what routing needs of approval.
type Gate interface {
	Propose(ctx context.Context, by string, p approval.Plan) (approval.Ticket, error)
	Grants() []approval.Grant
	Left(grant string) int
}

// Rules are the routes in force.
type Rules struct {
	Routes    []Route
	Groups    map[string]GroupRule // by edge group
	Trunks    map[string]TrunkRule // by trunk
	Emergency []EmergencyRule
	Margin    float64 // switch-back margin: another target must be faster by this share of RTT, default 0.2
	OnHold    OnHold  // default {403, ""}
	// Basis gives the registered legal basis of a party, which a proposal for it carries as long as it lasts.
	Basis map[string]Basis
}

// Basis is a registered legal basis: instrument and id as plans carry them, and until when (zero: open).
type Basis struct {
	Word  string
	Until time.Time
}

// Route matches calls of one direction and names the parties to try.
type Route struct {
	Name      string
	Direction Direction
	From      []string // trunks or groups; empty matches any of the direction
	Prefix    []string // called number prefixes; empty matches any; the longest match over all routes wins
	Domain    []string
	To        []Choice // groups (inbound) or trunks (outbound)
	OnHold    OnHold   // zero: Rules.OnHold
	// Fallback is "MANUAL_APPROVAL_REQUIRED" (default: held parties are proposed to the gate) or "NEVER" (held parties are refused without a ticket).
	Fallback  string
	Recording bool
	Messages  bool // it carries messages, too; where a direction has no such route, no message goes anywhere
	Switch    SwitchRule
	Overlap   bool // see Plan.Overlap
	Announce  bool // see Plan.Announce
	// Table names the party of To that a number's calls go to first; the others follow as they stand. nil: none.
	Table *numbers.Table
}

// Choice is one party of a route. Lower Priority is tried first; equal priorities share by weight, and where none of them has a weight, the nearest
// by round-trip time is first.
type Choice struct {
	Party    string
	Priority int
	Weight   int
}

// SwitchRule says when the active party changes back.
type SwitchRule struct {
	FailbackAfter time.Duration // stable that long; 0 means at once
	Manual        bool
	Window        *Window // only inside it; nil: at any time
}

// GroupRule and TrunkRule are what routing knows of a party.
type GroupRule struct {
	Region sovereign.Region
	// Country is where the people of this group place emergency calls from, ISO alpha-2; "" takes the country of Region.
	Country string
	Within  time.Duration
	Numbers *numbers.Plan // how it writes numbers; nil: they are taken and sent as they come
	Callers numbers.Callers
}

// TrunkRule of a carrier trunk.
type TrunkRule struct {
	Country string // ISO alpha-2 of the numbers it serves, for emergency calls
	Region  sovereign.Region
	Within  time.Duration
	Keys    bool // media to it is keyed by SDES
	Numbers *numbers.Plan
	Callers numbers.Callers
}

// EmergencyRule of one country: the numbers and the only trunk that carries them.
type EmergencyRule struct {
	Country string
	Numbers []string // "110", "112", "urn:service:sos"
	Trunk   string
}
