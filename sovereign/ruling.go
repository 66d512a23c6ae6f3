package sovereign

import (
	"net/netip"
	"time"
)

// Verdict is the answer of the policy. The zero Verdict is Deny, so that forgetting to judge refuses.
type Verdict uint8

// The three answers, strictest first.
const (
	Deny   Verdict = iota // never, not even through the gate
	Hold                  // only under a live grant
	Permit                // by itself
)

// Plane is the kind of traffic that is judged. Signalling and media are judged apart.
type Plane uint8

// The planes.
const (
	Signalling     Plane = iota + 1
	Media                // RTP, RTCP and whoever terminates SRTP
	Recording            // copies of media
	Infrastructure       // DNS, webhooks, key services: everything that is not a call
)

// Purpose is why a packet is sent; receipts carry it in these words.
type Purpose uint8

// The purposes. The zero Purpose is Production.
const (
	Production Purpose = iota
	Drill
	SyntheticProbe
	EmergencyCall
)

// Standing is what the law table says of a jurisdiction as of a day, before the operator's policy is asked.
type Standing string

// The standings, in the words of evidence records.
const (
	StandingUnknown             Standing = "unknown"
	StandingInEEA               Standing = "in_eea"
	StandingAdequate            Standing = "adequate"
	StandingAdequateConditional Standing = "adequate_conditional"
	StandingNoAdequacy          Standing = "no_adequacy"
	StandingGate                Standing = "gate"
	StandingDeny                Standing = "deny"
)

// Ground is the machine-readable reason of a ruling. Grounds are words of the log: never rename one.
type Ground string

// The grounds.
const (
	GroundInEEA               Ground = "in_eea"
	GroundAdequate            Ground = "adequate"
	GroundAdequateConditional Ground = "adequate_conditional_met"
	GroundGrant               Ground = "grant"          // held, and a live grant covers it
	GroundEmergency           Ground = "emergency_call" // held, and the emergency row permits it
	GroundNotAllowListed      Ground = "region_not_allow_listed"
	GroundPreset              Ground = "outside_preset" // e.g. Norway under eu_only, Switzerland under eea_only
	GroundConditionsNotMet    Ground = "conditions_not_attested"
	GroundNoAdequacy          Ground = "no_adequacy"
	GroundContested           Ground = "contested_territory"
	GroundSuspended           Ground = "instrument_suspended"
	GroundSevered             Ground = "severed"      // a person cut it off; no grant opens it
	GroundRunning             Ground = "running_call" // struck, and a declared rule lets the session that was running end in order
	GroundDeniedJurisdiction  Ground = "jurisdiction_denied"
	GroundUnknownCountry      Ground = "country_unknown"
	GroundUnknownRegion       Ground = "region_unknown"
	GroundUndeclaredAddress   Ground = "address_undeclared"
	GroundExpiredDeclaration  Ground = "declaration_expired"
	GroundUnknownParty        Ground = "party_unknown"
	GroundNoSnapshot          Ground = "no_policy_loaded"
	GroundRecorder            Ground = "recorder_unavailable" // used by routing: recording_required without a permitted recorder
)

// Proof says on what the place rests.
type Proof string

// Proofs of a place. A global prefix (one address block for many countries) can only ever be declared, not proven.
const (
	ProofDeclared          Proof = "declared"
	ProofDeclaredNotProven Proof = "declared, not proven"
)

// Ask is one question to the policy: may traffic of this plane, for this purpose, go to this address or region, for this party?
// Either Addr or Region must be set; with Addr the Atlas places it and, when Region is set too, both are judged and the
// stricter answer counts.
type Ask struct {
	Party   string // name of a declared Party; "" for infrastructure that is judged by address alone
	Plane   Plane
	Purpose Purpose
	// Keys is true when the far end of this signalling hop can read SDES keys (RFC 4568): it then terminates media too, and the
	// media places of the party are judged with it.
	Keys    bool
	Addr    netip.AddrPort // port 0 when it does not matter
	Region  Region
	At      time.Time // as of when; zero means now
	KnownAt time.Time // with whose knowledge; zero means At. A later KnownAt sees annulments ex tunc.
	// Began is since when the call's session has been sending there, in nanoseconds since 1970: the moment at which its Pass was asked for, or of a call that was
	// taken up after a restart an earlier one. 0 for what is no part of a call. Only a Leave reads it.
	Began int64
	// Route of the call, where the rule of its route is asked for. "" : of all that may have a leave there, the longest counts, which is what the fence keeps.
	Route string
}

// Ruling is the answer to one Ask. The zero Ruling denies.
type Ruling struct {
	Verdict    Verdict   `json:"verdict"`
	Ground     Ground    `json:"ground"`
	Why        string    `json:"why"`             // one sentence for a person
	Place      Place     `json:"place,omitzero"`  // the place that decided
	Region     Region    `json:"region,omitzero"` // the region that decided
	Country    Country   `json:"country"`         // the country that decided
	Standing   Standing  `json:"standing"`        // of that country
	Instrument string    `json:"instrument"`      // "2000/518/EC"; empty inside the EEA; with GroundRunning what struck the place: an instrument or Sever.Cause
	Proof      Proof     `json:"proof,omitempty"` // the weakest of all places that were judged
	Until      time.Time `json:"until,omitzero"`  // judge again at the latest then: end of an instrument, declaration or grant; zero means open
	Grant      string    `json:"grant,omitempty"` // id of the grant, with GroundGrant
	Generation uint64    `json:"generation"`      // of the Snapshot that ruled
}

// Permitted is the only question that the wire asks.
func (r Ruling) Permitted() bool { return r.Verdict == Permit }

// Grant is a live exception that people approved: held traffic of these parties may go to these regions until Until. The zero
// Grant covers nothing. It never turns Deny into Permit.
type Grant struct {
	ID        string    `json:"id"`
	Trunks    []string  `json:"trunks"` // names of trunks whose calls may use it; media and signalling toward them stay judged on their own
	Groups    []string  `json:"groups"` // edge groups that may be reached under it
	Regions   []Region  `json:"regions"`
	NotBefore time.Time `json:"not_before"`
	Until     time.Time `json:"until"` // exclusive; zero has expired
	Entry     uint64    `json:"entry"` // index of the log entry that activated it
}

// PartyKind tells trunks from edge groups.
type PartyKind uint8

// Kinds of parties.
const (
	KindTrunk PartyKind = iota + 1
	KindGroup
	KindInfrastructure
)

// Party is one declared counterpart: a carrier trunk, an edge group, or infrastructure such as a webhook.
type Party struct {
	Name          string      `json:"name"`
	Kind          PartyKind   `json:"kind"`
	Region        Region      `json:"region"`          // where its signalling is terminated
	OrgHomeRegion Region      `json:"org_home_region"` // where the tenant's organisation is homed; zero when it has none
	MediaRegions  []Region    `json:"media_regions"`   // where its media may be terminated; empty means Region
	MediaEvidence string      `json:"media_evidence"`  // reference that backs MediaRegions, e.g. a contract annex; empty means they are not declared
	Contract      string      `json:"contract"`
	Attributes    []Attribute `json:"attributes"` // attested conditions of conditional adequacy
}

// Attribute is one attested fact, e.g. recipient.dpf_listed = true. Value is bool, string or []string.
type Attribute struct {
	Name     string    `json:"name"`
	Value    any       `json:"value"`
	Evidence string    `json:"evidence"`    // document reference; an attribute without evidence attests nothing
	At       time.Time `json:"at,omitzero"` // when it was attested; conditions may carry a maximum age
}
