package audit

import "time"

// Receipt is the residency receipt of one call: where signalling and media were terminated, under which key handling, on which
// legal ground. It holds no content and no number. GDPR Art. 5(2), 30(1)(d)(e), 44; DORA Art. 11(8), 30(2)(b).
//
// Who fills what: the call's own goroutine makes it, once, when the call has ended. Pseudonyms.Call gives CallRef and the parties;
// the plan gives Trunk, EdgeGroup, RouteReason, GateDecision, the policy fields and, for each hop, place, operator, contract and
// ruling; the walk over the hops gives Attempts, the refused ones from the plan included; transport gives TLSSeen; the media session
// gives SRTPSeen, Packets, the moves of media and Quality. Times are those of the edge's own clock.
type Receipt struct {
	CallRef      string            `json:"call_ref"`             // salted per call
	Session      string            `json:"session_id,omitempty"` // Session-ID, RFC 7989: "caller's UUID;remote=callee's UUID", random per call
	Direction    string            `json:"direction"`            // inbound (carrier to contact centre) | outbound
	Purpose      string            `json:"purpose"`              // production | drill | synthetic_probe | emergency_call
	TInvite      time.Time         `json:"t_invite"`
	TAnswer      time.Time         `json:"t_answer,omitzero"`
	TEnd         time.Time         `json:"t_end"`
	PartyA       PartyRef          `json:"party_a_ref"`
	PartyB       PartyRef          `json:"party_b_ref"`
	Trunk        string            `json:"trunk_id"`
	EdgeGroup    string            `json:"edge_group_id"`
	RouteReason  string            `json:"route_reason"` // primary | auto_failover | gated_failover | drill | failback | emergency
	GateDecision string            `json:"gate_decision_id,omitempty"`
	Incident     string            `json:"incident_id,omitempty"`
	Drill        string            `json:"drill,omitempty"` // the canary drill whose view the call was planned in
	Hops         []ReceiptHop      `json:"hops"`
	Attempts     []Attempt         `json:"attempts"` // every target tried, in order, the refused ones with their ground
	Packets      map[string]uint64 `json:"packets_per_country"`
	Moves        []Move            `json:"mid_call_moves"`
	Transfers    []Transfer        `json:"transfers,omitempty"`
	Struck       []Struck          `json:"struck,omitempty"` // legs whose place was closed by law or by hand while the call was up
	Recording    RecordingState    `json:"recording"`
	Outcome      Outcome           `json:"outcome"`
	Overall      string            `json:"overall"` // compliant | compliant_by_gate | refused_by_policy | violation | indeterminate
	PolicyDigest string            `json:"policy_digest"`
	Generation   uint64            `json:"generation"`
	Announced    *Announced        `json:"announced,omitempty"` // what the caller was played in the place of a call
}

// Struck is one leg whose place was closed while the call was up, and what the declared rule for running calls made of it.
type Struck struct {
	T     time.Time `json:"t"`              // when it was seen
	Leg   string    `json:"leg"`            // a | b
	Party string    `json:"party"`          // trunk or edge group
	Cause string    `json:"cause"`          // the suspended instrument, what was severed ("trunk carrier"), or the ground that closed the place
	How   string    `json:"how"`            // ended | finished (within its leave) | rerouted (the transfers tell where)
	Until time.Time `json:"until,omitzero"` // end of the leave; zero: there was none
}

// Announced is an announcement that a caller was played by the edge itself, over its own leg.
type Announced struct {
	Sound    string  `json:"sound"` // tone | file
	Codec    string  `json:"codec"`
	Answered bool    `json:"answered"` // the call was answered for it; else it was early media
	ForMS    float64 `json:"for_ms"`
	Whole    bool    `json:"whole"` // until its end
}

// Kind of the entry that a receipt makes.
func (Receipt) Kind() Kind { return KindReceipt }

// PartyRef stands for a number: a salted hash and, in clear, the country code of the number.
type PartyRef struct {
	Ref     string `json:"ref"`
	Country string `json:"country,omitempty"` // E.164 country calling code with plus, e.g. "+49"
}

// ReceiptHop is one terminated leg on one plane.
type ReceiptHop struct {
	Plane           string     `json:"plane"` // signalling | media | recording
	Leg             string     `json:"leg"`   // a | b
	Role            string     `json:"role"`  // terminates_plaintext | terminates_encrypted_relay | transit_only
	RemoteAddr      string     `json:"remote_addr"`
	RemoteName      string     `json:"remote_name"`
	DeclaredRegion  string     `json:"declared_region"`
	DeclaredCountry string     `json:"declared_country"`
	Operator        *Operator  `json:"operator,omitempty"`
	Contract        string     `json:"contract_ref,omitempty"`
	Verdict         string     `json:"verdict"` // in_eea | adequate | ... : the standing
	Ground          string     `json:"ground"`
	Instrument      string     `json:"instrument,omitempty"`
	Proof           string     `json:"proof"` // declared | declared, not proven
	RTTMinMS        float64    `json:"rtt_min_ms,omitempty"`
	MaxDistanceKM   float64    `json:"max_distance_km,omitempty"`
	TLS             *TLSSeen   `json:"tls,omitempty"`
	SRTP            *SRTPSeen  `json:"srtp,omitempty"`
	Evidence        []Evidence `json:"evidence"`
	Until           time.Time  `json:"until,omitzero"` // when it left the call by a transfer
}

// Transfer is one transfer that was asked for in a call: who asked, and what its own plan let through.
type Transfer struct {
	T            time.Time `json:"t"`
	By           string    `json:"by"`             // a | b: the leg that asked; edge: nobody did, its place was closed
	Party        string    `json:"party"`          // and its party
	How          string    `json:"how"`            // refer | refer_replaces | refer_relayed | invite_replaces | reroute
	From         string    `json:"from,omitempty"` // the party in whose name the new leg was planned
	Route        string    `json:"route,omitempty"`
	Attempts     []Attempt `json:"attempts"` // every target in order, the refused ones with their ground
	GateDecision string    `json:"gate_decision_id,omitempty"`
	Result       string    `json:"result"` // answered | refused | held | failed | cancelled | relayed
	SIPFinal     int       `json:"sip_final"`
	TookMS       float64   `json:"took_ms"`
	PolicyDigest string    `json:"policy_digest,omitempty"`
	Generation   uint64    `json:"generation,omitempty"`
}

// Operator runs the place of a hop, in the words of the register of information (B_05.01).
type Operator struct {
	Name string `json:"name,omitempty"`
	LEI  string `json:"lei_or_euid,omitempty"`
	HQ   string `json:"hq_country,omitempty"` // seat of the region's ultimate operator, as the catalogue knows it
}

// Evidence is one thing that speaks for or against the place of a hop.
type Evidence struct {
	Kind         string    `json:"kind"` // declared | provider_feed | tls_identity | rtt_bound | geofeed | rir
	Value        string    `json:"value"`
	SourceDigest string    `json:"source_digest,omitempty"` // SHA-256 of the file that it is from
	ObservedAt   time.Time `json:"observed_at,omitzero"`
	Result       string    `json:"result"` // supports | contradicts | silent
}

// TLSSeen is what was negotiated on a signalling hop.
type TLSSeen struct {
	Version  string `json:"version"`
	Suite    string `json:"suite"`
	PeerSPKI string `json:"peer_spki_sha256"`
}

// SRTPSeen is how media was protected on a leg. Keys are never stored.
type SRTPSeen struct {
	Suite     string `json:"suite"`
	Keying    string `json:"keying"` // SDES | none
	Cleartext bool   `json:"cleartext_leg"`
}

// Attempt is one target of the plan as it went.
type Attempt struct {
	Party   string    `json:"party"`
	Target  string    `json:"target"`
	Region  string    `json:"region"`
	Country string    `json:"country"`
	Verdict string    `json:"verdict"` // permit | hold | deny
	Ground  string    `json:"ground"`
	At      time.Time `json:"at,omitzero"` // when the INVITE left; zero for one that was never contacted
	TookMS  float64   `json:"took_ms,omitempty"`
	Result  string    `json:"result"` // "200", "503", "silent", "icmp", "refused_by_policy", ...
	// Fallback says that this was the second offer to a target that refused the first: plain (without SRTP) | codecs (fewer of them).
	Fallback string `json:"fallback,omitempty"`
	// Drill is what a drill did to it, such as "blackhole" or "400ms later, 5% lost": what failed there did not fail by itself.
	Drill string `json:"drill,omitempty"`
}

// Move is media or signalling that changed its far end during the call.
type Move struct {
	T       time.Time `json:"t"`
	Plane   string    `json:"plane"`
	From    string    `json:"from"`
	To      string    `json:"to"`
	Cause   string    `json:"cause"` // reinvite | refer | ice | rebind
	Allowed bool      `json:"allowed"`
	Ground  string    `json:"ground"`
}

// RecordingState of a call, MiFID II Art. 16(7).
type RecordingState struct {
	Required bool   `json:"required"`
	Started  bool   `json:"started"`
	Country  string `json:"recorder_country,omitempty"`
	Session  string `json:"siprec_session,omitempty"`
}

// Outcome of a call.
type Outcome struct {
	SIPFinal int          `json:"sip_final"`
	EndedBy  string       `json:"ended_by"` // a | b | edge
	Cause    string       `json:"cause,omitempty"`
	Q850     int          `json:"q850,omitempty"` // cause of the end, given by a peer or mapped from its status (RFC 3398); 0: none
	Quality  []LegQuality `json:"quality"`
}

// LegQuality is what was received from one side.
type LegQuality struct {
	Leg      string  `json:"leg"`
	Packets  uint64  `json:"packets"`
	Lost     int64   `json:"lost"`
	JitterMS float64 `json:"jitter_ms"`
	MOS      float64 `json:"mos"` // ITU-T G.107 estimate; 0 when it cannot be computed
	// What follows is of windows of five seconds, and absent in records of older versions and where nothing is to be said.
	MOSMin      float64 `json:"mos_min,omitempty"`       // of the worst window
	MOSMean     float64 `json:"mos_mean,omitempty"`      // of all of them
	Windows     int     `json:"windows,omitempty"`       // that could be rated
	Poor        int     `json:"windows_poor,omitempty"`  // of them, with a MOS below 3.6
	LossPct     float64 `json:"loss_pct,omitempty"`      // of what came from it
	FarLossPct  float64 `json:"far_loss_pct,omitempty"`  // of what went to it, by its own reports
	FarMOS      float64 `json:"far_mos,omitempty"`       // of what went to it, by its own extended reports (RFC 3611)
	JitterMaxMS float64 `json:"jitter_max_ms,omitempty"` // JitterMS is the last one
	RTTMS       float64 `json:"rtt_ms,omitempty"`        // the last one, from RTCP
	SilenceS    float64 `json:"silence_s,omitempty"`     // nothing came although it might send
	FaxPackets  uint64  `json:"fax_packets,omitempty"`   // of T.38 over UDPTL that came from it; Packets counts RTP alone
	FaxBytes    uint64  `json:"fax_bytes,omitempty"`
	FaxSent     uint64  `json:"fax_sent,omitempty"`   // packets to it
	DigitsIn    uint64  `json:"digits_in,omitempty"`  // that came as telephone events and went on by INFO; their number, never the digits
	DigitsOut   uint64  `json:"digits_out,omitempty"` // that came by INFO from the other side and went on as telephone events
	Liveness    string  `json:"liveness,omitempty"`   // silent | unheard | dead: as it stood at the end; absent when it was alive
}
