package audit

import (
	"encoding/json"
	"fmt"
	"time"
)

// The kinds of entries.
const (
	KindNodeStarted       Kind = "node.started"
	KindNodeStopped       Kind = "node.stopped"
	KindNodeResumed       Kind = "node.resumed"
	KindPolicyApplied     Kind = "policy.applied" // start, reload, suspension, grant: the stamp changed
	KindReloadRefused     Kind = "policy.reload_refused"
	KindPolicyAccepted    Kind = "policy.accepted"      // which policy counts from here on, and who said so
	KindPolicyCharter     Kind = "policy.charter"       // a piece of its text
	KindWideningHeld      Kind = "policy.widening_held" // a configuration is wider than the policy that counts
	KindTableChanged      Kind = "routing.table_changed"
	KindLawSuspended      Kind = "law.suspended"
	KindSuspensionRefused Kind = "law.suspension_refused"
	KindLawInForce        Kind = "law.in_force" // a suspension takes effect
	KindLawEnding         Kind = "law.ending"   // an instrument ends by its own clock, and parties rest on it
	KindSevered           Kind = "service.severed"
	KindHealthChanged     Kind = "health.changed"
	KindAnswersMoved      Kind = "dns.answers_moved"
	KindFailoverApplied   Kind = "failover.applied"
	KindFailoverHeld      Kind = "failover.held"
	KindFailoverRefused   Kind = "failover.refused"
	KindFailback          Kind = "failover.failback"
	KindServiceChanged    Kind = "service.changed"
	KindRouteSwitched     Kind = "route.switched"
	KindRouteMigrated     Kind = "route.migrated"
	KindApprovalNotified  Kind = "approval.notified"
	KindNoticeUndelivered Kind = "notice.undelivered"
	KindNoticeResent      Kind = "notice.resent"
	KindGateReadiness     Kind = "gate.readiness"
	KindGateChanged       Kind = "gate.changed"          // a ticket changed: requested, decided, opined, activated, ended
	KindKeyEnrolled       Kind = "approval.key_enrolled" // people's keys count from here on
	KindKeyRevoked        Kind = "approval.key_revoked"
	KindIngressRefused    Kind = "ingress.refused"
	KindFenceRefused      Kind = "fence.refused"
	KindMediaMoved        Kind = "media.moved"
	KindMediaRestarted    Kind = "media.restarted"
	KindMediaSilent       Kind = "media.silent"
	KindMediaUnkeyed      Kind = "media.unkeyed"
	KindCallEnded         Kind = "call.ended"
	KindCallTransferred   Kind = "call.transferred"
	KindMessageRelayed    Kind = "message.relayed"
	KindForgotten         Kind = "privacy.forgotten"
	KindTraceRead         Kind = "privacy.trace_read"
	KindCertExpiring      Kind = "certificate.expiring"
	KindCertReplaced      Kind = "certificate.replaced"
	KindCertRefused       Kind = "certificate.refused"
	KindReceipt           Kind = "residency_receipt"
	KindGap               Kind = "log.gap"
	KindQuorumMissing     Kind = "witness.quorum_missing"
	KindQuorumBack        Kind = "witness.quorum_back"
	KindCopyBehind        Kind = "log.copy_behind"
	KindCopyLevel         Kind = "log.copy_level"
	KindCopyDiffers       Kind = "log.copy_differs"
	KindCopyRefused       Kind = "log.copy_refused"
	KindRestored          Kind = "log.restored"

	KindIncidentOpened     Kind = "incident.opened"
	KindIncidentUpdated    Kind = "incident.updated"
	KindIncidentClassified Kind = "incident.classified"
	KindIncidentReported   Kind = "incident.reported"
	KindBreachNoted        Kind = "incident.breach_noted"
	KindIncidentClosed     Kind = "incident.closed"

	KindPlaceContradicted Kind = "place.contradicted"
	KindPlaceCleared      Kind = "place.cleared"
	KindPlaceDrifted      Kind = "place.drifted"

	KindPlaceEvidenceStale Kind = "place.evidence_stale"
)

// NodeStarted is the first entry of each run.
type NodeStarted struct {
	Addrs []string `json:"listeners"`
	Crash bool     `json:"after_crash"`
	Name  string   `json:"tenant_name,omitempty"` // the entity that the records are about
	LEI   string   `json:"lei,omitempty"`         // its legal entity identifier, ISO 17442
}

// NodeStopped is the last entry of an orderly run.
type NodeStopped struct {
	Reason string `json:"reason"`
	Calls  int    `json:"calls_open"`
}

// NodeResumed says what became of the calls that were up when the last run ended and whose media went on.
type NodeResumed struct {
	Calls   int   `json:"calls"`         // that are up again
	Ended   int   `json:"ended"`         // that could not go on: each has its own records
	Records int   `json:"records"`       // that had ended before; what the log did not have of them is written
	Unread  int   `json:"unread"`        // records of calls that were not understood: a gap names them
	Damage  int64 `json:"damaged_bytes"` // at the end of the book of calls
}

// PolicyApplied says that another snapshot is in force.
type PolicyApplied struct {
	Cause        string   `json:"cause"` // start | reload | suspension | grant | grant_ended | evidence | signed | daily | drill
	PolicyDigest string   `json:"policy_digest"`
	FactsDigest  string   `json:"facts_digest"`
	Generation   uint64   `json:"generation"`
	By           string   `json:"by,omitempty"`
	Allow        []string `json:"allow,omitempty"`
	Preset       string   `json:"preset,omitempty"`
	Charter      string   `json:"charter,omitempty"`       // digest of the accepted policy; absent in earlier versions
	Accepted     uint64   `json:"charter_entry,omitempty"` // index of the policy.accepted that it rests on
}

// TableChanged says that the number table of a route was read again, and which one is in force from here.
type TableChanged struct {
	Route  string `json:"route"`
	Rows   int    `json:"rows"`
	Digest string `json:"digest"` // SHA-256 of the file, hex
}

// ReloadRefused says that a new configuration was not taken and the old one stays.
type ReloadRefused struct {
	By     string   `json:"by,omitempty"`
	Errors []string `json:"errors"`
}

// LawSuspended is one verified line of the overlay taking effect.
type LawSuspended struct {
	Instrument string    `json:"instrument"`
	Since      time.Time `json:"since"`
	Reason     string    `json:"reason"`
	KeyID      string    `json:"key_id"`
}

// SuspensionRefused says that lines of the overlay do not count. The verified ones that stand beside them do.
type SuspensionRefused struct {
	Errors []string `json:"errors"` // line numbers and reasons
}

// HealthChanged is one transition of one target.
type HealthChanged struct {
	Target string `json:"target"`
	Party  string `json:"party"`
	From   string `json:"from"`
	To     string `json:"to"`
	Why    string `json:"why"`
	Drill  string `json:"drill,omitempty"` // the canary drill in whose view it is so; production's health is what it was
}

// AnswersMoved says that the DNS answers of a party changed their place.
type AnswersMoved struct {
	Party  string   `json:"party"`
	Host   string   `json:"host"`
	Before []string `json:"before"` // "203.0.113.7 DE permit"
	After  []string `json:"after"`
}

// Failover is the body of failover.applied, .held, .refused and .failback.
type Failover struct {
	What    Kind     `json:"-"`
	Trunk   string   `json:"trunk,omitempty"`
	Route   string   `json:"route"`
	From    string   `json:"from"` // edge group or trunk that was active; may be empty
	To      string   `json:"to"`   // that is active now, or would be
	Region  string   `json:"region"`
	Country string   `json:"country"`
	Verdict string   `json:"verdict"`
	Ground  string   `json:"ground"`
	Why     string   `json:"why"`
	Ticket  string   `json:"ticket,omitempty"`
	Health  []string `json:"health,omitempty"` // the transitions that caused it
	Drill   string   `json:"drill,omitempty"`  // the canary drill in whose view it was done; production's route is what it was
}

// ApprovalNotified says that people were told of a ticket, or why not.
type ApprovalNotified struct {
	Ticket  string `json:"ticket"`
	Channel string `json:"channel"`
	Failure string `json:"failure,omitempty"`
}

// IngressRefused says that a known trunk's or a stranger's request was not admitted. Strangers are counted, and sampled here.
type IngressRefused struct {
	Trunk  string `json:"trunk,omitempty"`
	Source string `json:"source"`
	Ground string `json:"ground"`
	Why    string `json:"why"`
	Count  uint64 `json:"count"`
}

// FenceRefused says that the last wall refused a send: a rule above it should have. Grouped per address and ground.
type FenceRefused struct {
	Party  string `json:"party,omitempty"`
	Plane  string `json:"plane"`
	Addr   string `json:"addr"`
	Ground string `json:"ground"`
	Count  uint64 `json:"count"`
	Drill  string `json:"drill,omitempty"` // the drill that asked, on purpose, so that it is shown refused; production asked for nothing
}

// MediaMoved says that a far end of a call's media changed.
type MediaMoved struct {
	CallRef string `json:"call_ref"`
	Move
}

// MediaSilent says that one side of an answered call fell silent, went unheard, died or is alive again.
type MediaSilent struct {
	CallRef string    `json:"call_ref"`
	T       time.Time `json:"t"`
	Leg     string    `json:"leg"` // a | b
	Party   string    `json:"party"`
	State   string    `json:"state"` // silent | unheard | dead | alive
	Was     string    `json:"was"`
	ForMS   float64   `json:"for_ms"`         // it is so already; of a side that is alive again, it was in trouble
	Held    bool      `json:"held,omitempty"` // alive because the call is on hold, and nothing is expected of it
	Ends    bool      `json:"ends,omitempty"` // the call is ended for it
	// Drill is what a drill did to the leg when it fell silent, such as "blackhole": it did not fall silent by itself. Absent where the silence is older, or the drill leaves the
	// leg alone; of a side that is alive again, what it was.
	Drill  string `json:"drill,omitempty"`
	Member string `json:"member,omitempty"` // of the party, where Drill is there
}

// MediaUnkeyed says that no keys could be made with one side of a call (DTLS-SRTP).
type MediaUnkeyed struct {
	CallRef string    `json:"call_ref"`
	T       time.Time `json:"t"`
	Leg     string    `json:"leg"` // a | b
	Party   string    `json:"party"`
	Reason  string    `json:"reason"`         // fingerprint | profile | alert | timeout | unreachable | protocol
	Bare    bool      `json:"bare,omitempty"` // there are none from before either
	Ends    bool      `json:"ends,omitempty"` // the call is ended for it
}

// CallEnded is the short record of every call, answered or not.
type CallEnded struct {
	CallRef  string  `json:"call_ref"`
	Trunk    string  `json:"trunk_id"`
	Group    string  `json:"edge_group_id"`
	Route    string  `json:"route"`
	SIPFinal int     `json:"sip_final"`
	EndedBy  string  `json:"ended_by"`
	Cause    string  `json:"cause,omitempty"`
	Q850     int     `json:"q850,omitempty"`       // cause of the end, given by a peer or mapped from its status; 0: none
	Session  string  `json:"session_id,omitempty"` // Session-ID, RFC 7989: "caller's UUID;remote=callee's UUID"
	Attempts int     `json:"attempts"`
	SetupMS  float64 `json:"setup_ms"`
	TalkMS   float64 `json:"talk_ms"`
	// Quality is what was received from each side, as in the receipt; absent without media, and in records of older versions.
	Quality []LegQuality `json:"quality,omitempty"`
	// Announced is what the caller was played in the place of a call; absent when it was nothing.
	Announced *Announced `json:"announced,omitempty"`
}

// CallTransferred says what became of one transfer that a leg asked for. The receipt of the call holds it, too.
type CallTransferred struct {
	CallRef string `json:"call_ref"`
	Transfer
}

// MessageRelayed is the receipt of one message in pager mode (RFC 3428): where it went and on which ground, or why it went nowhere. Never its content, and no
// number.
type MessageRelayed struct {
	MessageRef   string      `json:"message_ref"` // salted per message
	Direction    string      `json:"direction"`   // inbound | outbound
	PartyA       PartyRef    `json:"party_a_ref"`
	PartyB       PartyRef    `json:"party_b_ref"`
	From         string      `json:"from"`         // the party that sent it
	To           string      `json:"to,omitempty"` // the party that took it
	Route        string      `json:"route"`
	Bytes        int         `json:"bytes"` // of its body
	ContentType  string      `json:"content_type,omitempty"`
	Attempts     []Attempt   `json:"attempts"`      // every target in order, the refused ones with their ground
	Hop          *ReceiptHop `json:"hop,omitempty"` // that took it
	GateDecision string      `json:"gate_decision_id,omitempty"`
	SIPFinal     int         `json:"sip_final"`
	Overall      string      `json:"overall"` // compliant | compliant_by_gate | refused_by_policy
	PolicyDigest string      `json:"policy_digest"`
	Generation   uint64      `json:"generation"`
}

// Forgotten says that a salt or a person was destroyed: the entries stay, and what they name by it names nobody any more. GDPR Art. 17.
type Forgotten struct {
	What string `json:"what"` // call | person
	Ref  string `json:"ref"`  // the reference of the call, or the pseudonym; never what was behind it
	By   string `json:"by"`
	Why  string `json:"reason"`
}

// TraceRead says that somebody looked at the signalling of a call, or took the headers of its media.
type TraceRead struct {
	CallRef string `json:"call_ref"`
	By      string `json:"by"`
	Form    string `json:"form"` // ladder | capture
	Masked  bool   `json:"masked"`
	Media   int    `json:"media_seconds"` // how long headers of media were taken; 0: none
}

// CertExpiring says that a certificate came to a threshold before its end, or to its end. Once per certificate and threshold.
type CertExpiring struct {
	Fingerprint string    `json:"fingerprint"` // lower-case hex SHA-256
	Role        string    `json:"role"`        // own | peer | root
	Uses        []string  `json:"uses"`
	Subject     string    `json:"subject"`
	Issuer      string    `json:"issuer"`
	Names       []string  `json:"names,omitempty"`
	NotAfter    time.Time `json:"not_after"`
	Threshold   int       `json:"threshold_days"` // 60 | 30 | 14 | 3 | 0
	Left        int       `json:"days_left"`
}

// CertReplaced says that another certificate of ours, or other roots, are in force. Connections and calls that are up keep what they were made with.
type CertReplaced struct {
	Use      string    `json:"use"`
	Cause    string    `json:"cause"` // file | reload
	Before   string    `json:"before"`
	After    string    `json:"after"`
	NotAfter time.Time `json:"not_after"`
}

// CertRefused says that what stands in a certificate's file may not take the place of the one in force, which stays.
type CertRefused struct {
	Use string `json:"use"`
	Why string `json:"why"`
}

// MediaRestarted says that the process that carries packets ended, and that another one went on with all calls.
// From is the build of the former one where that did not die, but was replaced by a newer one.
type MediaRestarted struct {
	At    time.Time `json:"ended_at"`
	GapMS float64   `json:"gap_ms"` // in which no packet was carried; what came meanwhile waited
	Legs  int       `json:"legs"`   // that were carried on
	From  string    `json:"from_build,omitempty"`
}

// Gap says that records are missing and why: never a silent hole. RTS (EU) 2024/1774 Art. 12(2)(e).
type Gap struct {
	From  time.Time `json:"from"`
	To    time.Time `json:"to"`
	Cause string    `json:"cause"` // crash | restart | log_unwritable | reserve_spent | restore
	Lost  uint64    `json:"lost"`  // entries known to be missing
	Calls []string  `json:"calls"` // references of calls that were up or waiting for their receipt
}

func (NodeStarted) Kind() Kind       { return KindNodeStarted }
func (NodeStopped) Kind() Kind       { return KindNodeStopped }
func (MediaRestarted) Kind() Kind    { return KindMediaRestarted }
func (NodeResumed) Kind() Kind       { return KindNodeResumed }
func (PolicyApplied) Kind() Kind     { return KindPolicyApplied }
func (ReloadRefused) Kind() Kind     { return KindReloadRefused }
func (TableChanged) Kind() Kind      { return KindTableChanged }
func (LawSuspended) Kind() Kind      { return KindLawSuspended }
func (SuspensionRefused) Kind() Kind { return KindSuspensionRefused }
func (HealthChanged) Kind() Kind     { return KindHealthChanged }
func (AnswersMoved) Kind() Kind      { return KindAnswersMoved }
func (f Failover) Kind() Kind        { return f.What }
func (ApprovalNotified) Kind() Kind  { return KindApprovalNotified }
func (IngressRefused) Kind() Kind    { return KindIngressRefused }
func (FenceRefused) Kind() Kind      { return KindFenceRefused }
func (MediaMoved) Kind() Kind        { return KindMediaMoved }
func (MediaSilent) Kind() Kind       { return KindMediaSilent }
func (MediaUnkeyed) Kind() Kind      { return KindMediaUnkeyed }
func (CallEnded) Kind() Kind         { return KindCallEnded }
func (CallTransferred) Kind() Kind   { return KindCallTransferred }
func (MessageRelayed) Kind() Kind    { return KindMessageRelayed }
func (Forgotten) Kind() Kind         { return KindForgotten }
func (TraceRead) Kind() Kind         { return KindTraceRead }
func (CertExpiring) Kind() Kind      { return KindCertExpiring }
func (CertReplaced) Kind() Kind      { return KindCertReplaced }
func (CertRefused) Kind() Kind       { return KindCertRefused }
func (Gap) Kind() Kind               { return KindGap }

// Raw is an event whose struct stands in another room, or in a later version: the kind and the body as it is in the log.
type Raw struct {
	What Kind
	Body json.RawMessage
}

func (r Raw) Kind() Kind                   { return r.What }
func (r Raw) MarshalJSON() ([]byte, error) { return r.Body.MarshalJSON() }

// Decode gives the typed event of an entry, as a value and not a pointer, and a Raw for kinds without a struct here.
func Decode(e Entry) (Event, error) {
	switch e.Kind {
	case KindNodeStarted:
		return decodeAs[NodeStarted](e)
	case KindNodeStopped:
		return decodeAs[NodeStopped](e)
	case KindMediaRestarted:
		return decodeAs[MediaRestarted](e)
	case KindNodeResumed:
		return decodeAs[NodeResumed](e)
	case KindPolicyApplied, KindReloadRefused, KindPolicyAccepted, KindPolicyCharter, KindWideningHeld:
		return decodePolicy(e)
	case KindTableChanged:
		return decodeAs[TableChanged](e)
	case KindLawSuspended:
		return decodeAs[LawSuspended](e)
	case KindSuspensionRefused:
		return decodeAs[SuspensionRefused](e)
	case KindHealthChanged:
		return decodeAs[HealthChanged](e)
	case KindAnswersMoved:
		return decodeAs[AnswersMoved](e)
	case KindFailoverApplied, KindFailoverHeld, KindFailoverRefused, KindFailback:
		var f Failover
		err := decodeBody(e, &f)
		f.What = e.Kind
		return f, err
	case KindServiceChanged:
		return decodeAs[ServiceChanged](e)
	case KindRouteSwitched:
		return decodeAs[RouteSwitched](e)
	case KindRouteMigrated:
		return decodeAs[RouteMigrated](e)
	case KindApprovalNotified:
		return decodeAs[ApprovalNotified](e)
	case KindIngressRefused:
		return decodeAs[IngressRefused](e)
	case KindFenceRefused:
		return decodeAs[FenceRefused](e)
	case KindMediaMoved:
		return decodeAs[MediaMoved](e)
	case KindMediaSilent:
		return decodeAs[MediaSilent](e)
	case KindMediaUnkeyed:
		return decodeAs[MediaUnkeyed](e)
	case KindCallEnded:
		return decodeAs[CallEnded](e)
	case KindCallTransferred:
		return decodeAs[CallTransferred](e)
	case KindMessageRelayed:
		return decodeAs[MessageRelayed](e)
	case KindForgotten:
		return decodeAs[Forgotten](e)
	case KindTraceRead:
		return decodeAs[TraceRead](e)
	case KindCertExpiring:
		return decodeAs[CertExpiring](e)
	case KindCertReplaced:
		return decodeAs[CertReplaced](e)
	case KindCertRefused:
		return decodeAs[CertRefused](e)
	case KindReceipt:
		return decodeAs[Receipt](e)
	case KindGap:
		return decodeAs[Gap](e)
	}
	return decodeNotice(e)
}

func decodeAs[T Event](e Entry) (Event, error) {
	var t T
	err := decodeBody(e, &t)
	return t, err
}

func decodeBody(e Entry, into any) error {
	if err := json.Unmarshal(e.Body, into); err != nil {
		return fmt.Errorf("audit: body of %s: %w", e.Kind, err)
	}
	return nil
}

// Known says whether this version has a word for the kind.
func (k Kind) Known() bool {
	switch k {
	case KindNodeStarted, KindNodeStopped, KindNodeResumed, KindPolicyApplied, KindReloadRefused, KindPolicyAccepted, KindPolicyCharter, KindWideningHeld, KindTableChanged, KindLawSuspended, KindSuspensionRefused,
		KindPlaceContradicted, KindPlaceCleared, KindPlaceDrifted, KindPlaceEvidenceStale, KindInventoryJudged,
		KindHealthChanged, KindAnswersMoved, KindFailoverApplied, KindFailoverHeld, KindFailoverRefused, KindFailback, KindServiceChanged, KindRouteSwitched, KindRouteMigrated,
		KindApprovalNotified, KindNoticeUndelivered, KindNoticeResent, KindGateChanged, KindGateReadiness, KindKeyEnrolled, KindKeyRevoked,
		KindIngressRefused, KindFenceRefused, KindMediaMoved, KindMediaRestarted, KindMediaSilent, KindMediaUnkeyed, KindCallEnded, KindCallTransferred, KindMessageRelayed, KindForgotten, KindTraceRead, KindReceipt, KindGap,
		KindCertExpiring, KindCertReplaced, KindCertRefused, KindQuorumMissing, KindQuorumBack,
		KindCopyBehind, KindCopyLevel, KindCopyDiffers, KindCopyRefused, KindRestored,
		KindIncidentOpened, KindIncidentUpdated, KindIncidentClassified, KindIncidentReported, KindBreachNoted, KindIncidentClosed:
		return true
	}
	return k.ofKeeping() || k.ofLaw() || k.ofReviews() || k.OfDrills()
}
