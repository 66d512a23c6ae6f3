package report

import (
	"encoding/json"
	"fmt"

	logreport "github.com/cordonsip/cordon/audit/report"
	"github.com/cordonsip/cordon/drill/measure"
	"github.com/cordonsip/cordon/drill/scenario"
)

// Report is one drill. The names of its JSON are those of the register of evidence; what is beyond them stands behind them. Null is what nobody recorded, an empty list
// is what there was none of.
type Report struct {
	Record   string `json:"record_type"` // "drill_report"
	Tenant   Text   `json:"tenant"`
	Entity   Text   `json:"entity"` // the financial entity
	LEI      Text   `json:"lei"`    // ISO 17442
	Node     Text   `json:"node_id"`
	Software Text   `json:"software"`      // what ran
	Policy   Text   `json:"policy_digest"` // in force when the drill began
	Facts    Text   `json:"facts_digest"`
	Made     Moment `json:"time_utc"` // of the report

	ID           string       `json:"drill_id"` // ULID
	Plan         Plan         `json:"plan"`
	Function     Function     `json:"function"`
	Scenario     Text         `json:"scenario"` // a word of the register: primary_region_loss ...
	Mode         Text         `json:"mode"`     // simulation | sandbox | canary_percent | production_window
	Testers      []Tester     `json:"testers"`
	ThirdParties []ThirdParty `json:"third_parties_involved"`
	Window       Window       `json:"window"`
	Guardrails   Guardrails   `json:"guardrails"`
	Criteria     []Criterion  `json:"hypothesis_and_pass_criteria"`
	Timeline     Timeline     `json:"timeline"`
	Measured     Measured     `json:"measured"`
	Residency    *Residency   `json:"residency_result"`
	Governance   Governance   `json:"governance_exercised"`
	Sufficient   *Sufficient  `json:"sufficient_period"`
	Integrity    []Check      `json:"integrity_checks"`
	Deficiencies []Deficiency `json:"deficiencies"`
	Reported     Reported     `json:"reported_to_management_body"`
	SignOff      []Signature  `json:"sign_off"`
	Artefacts    []Artefact   `json:"artefacts"`

	Outcome    Outcome           `json:"outcome"`
	Cause      Text              `json:"cause"`    // of an outcome that is not passed, where there is one
	Summary    string            `json:"summary"`  // one sentence
	Restored   Moment            `json:"restored"` // since when everything is as before; null: it is not, or nobody saw
	Title      Text              `json:"title"`
	About      Text              `json:"about"`
	Parts      []Part            `json:"parts"` // who played which part of the scenario
	Steps      []Step            `json:"steps"`
	Guards     []Guard           `json:"guards"`
	Deviations []Text            `json:"deviations"` // from what was planned
	Cleanup    Cleanup           `json:"cleanup"`
	Datagrams  map[string]uint64 `json:"datagrams"` // that left while it ran, by party; null: nobody counted
	Articles   []Article         `json:"articles"`
	Missing    []Missing         `json:"missing"`
	Log        Cover             `json:"log"`
	Played     *Cover            `json:"log_of_the_play"` // of a sandbox, which has one of its own; null: the play stands in the node's log
	Receipts   []string          `json:"receipts"`        // record_id of each receipt of the play, in order
	Records    []RecordRef       `json:"entries"`         // of the log, about this drill
}

// Outcome of a drill.
type Outcome string

// The outcomes.
const (
	Passed      Outcome = "passed"
	Failed      Outcome = "failed"
	Aborted     Outcome = "aborted"
	NotRestored Outcome = "not_restored"
)

// Plan is what was to be done, in the version that ran: RTS (EU) 2024/1774 Art. 25(1).
type Plan struct {
	ID         Text   `json:"id"` // name of the scenario
	Version    *int   `json:"version"`
	SHA256     Text   `json:"sha256"` // of the scenario's file, hex
	ApprovedBy []Text `json:"approved_by"`
	ApprovedAt Moment `json:"approved_at"`
	BIA        Text   `json:"bia_ref"` // business impact analysis
}

// Function is the one of the register of information (ITS (EU) 2024/2956) that depends on what was exercised.
type Function struct {
	ID       Text     `json:"roi_function_id"` // B_06.01.0010
	Name     Text     `json:"name"`
	Critical *bool    `json:"critical_or_important"`
	RTO      *float64 `json:"rto_hours"` // B_06.01.0080
	RPO      *float64 `json:"rpo_hours"` // B_06.01.0090
}

// Tester is a person who tested, and of what they are independent: DORA Art. 24(4).
type Tester struct {
	Name        Text   `json:"name"`
	Unit        Text   `json:"unit"`
	Independent []Text `json:"independent_of"` // design | operation; null: not recorded
	Why         Text   `json:"why"`
}

// ThirdParty is a provider whose service was part of it: RTS (EU) 2024/1774 Art. 25(2)(b).
type ThirdParty struct {
	Name Text `json:"name"`
	LEI  Text `json:"lei"`
	Role Text `json:"role"`
}

// Window is when, and who was told before.
type Window struct {
	Announced Moment   `json:"announced_at"`
	Alerts    []Notice `json:"pre_alert_receipts"`
	Start     Moment   `json:"start"`
	End       Moment   `json:"end"` // everything was given back
	Basis     Text     `json:"low_volume_basis"`
}

// Notice is one that people got about the drill.
type Notice struct {
	Channel Text   `json:"channel"`
	When    Text   `json:"when"` // before | during | after
	Sent    Moment `json:"sent_at"`
	Failure Text   `json:"failure"` // null: it was delivered
}

// Guardrails are the limits under which it ran.
type Guardrails struct {
	Throttle   *float64 `json:"throttle_cps"` // calls of the drill a second
	MaxCanary  *float64 `json:"max_canary_pct"`
	Conditions []Text   `json:"abort_conditions"`
	Aborted    *bool    `json:"aborted"`
	Cause      Text     `json:"abort_cause"`
}

// Criterion is one condition of success, and what became of it: RTS (EU) 2024/1774 Art. 26(1)(f).
type Criterion = measure.Judgement

// Timeline is the moments, as measure.Timeline has them; null is what it did not come to.
type Timeline struct {
	Injected      Moment `json:"fault_injected"`
	Detected      Moment `json:"detected"`
	Decided       Moment `json:"decided"`
	Switched      Moment `json:"switched"`
	FirstCall     Moment `json:"first_call_ok"`
	Steady        Moment `json:"steady_state"`
	FailbackStart Moment `json:"failback_start"`
	FailbackDone  Moment `json:"failback_done"`
}

// Measured is the figures, from the fault on. Null is what was not measured, or what it did not come to.
type Measured struct {
	Detect      *int64   `json:"detect_ms"`
	Switch      *int64   `json:"switch_ms"`
	RTO         *float64 `json:"rto_measured_s"` // to the first call that the secondary answered
	InProgress  *int     `json:"calls_in_progress"`
	Dropped     *int     `json:"calls_dropped"`
	Preserved   *int     `json:"calls_preserved"`
	SetupFailed *float64 `json:"setup_fail_pct"`
	MOSBefore   *float64 `json:"mos_before"`
	MOSDuring   *float64 `json:"mos_during"`
	Gap         []int64  `json:"media_gap_ms_p50_p99"` // two figures
	RecordsLost *uint64  `json:"rpo_records_lost"`     // null: the log was not verified

	Decide        *int64 `json:"decide_ms"`
	Failback      *int64 `json:"failback_ms"`
	Restore       *int64 `json:"restore_ms"`
	Placed        *int   `json:"calls_placed"`
	FalseVerdicts *int   `json:"probe_false_verdicts"`
	Refused       *int   `json:"forbidden_refused"` // what was asked for and refused, on record
}

// Residency is where calls were terminated while the play ran, from their receipts.
type Residency struct {
	Total         uint64              `json:"receipts_total"`
	ByCountry     map[string]uint64   `json:"by_country"` // calls with a hop there
	Violations    uint64              `json:"violations"`
	Refused       uint64              `json:"refused_by_policy"`
	Indeterminate uint64              `json:"indeterminate"`
	Purposes      map[string]uint64   `json:"purposes"`
	Countries     []logreport.Country `json:"countries"`
	Calls         []string            `json:"violating_calls"` // call_ref
}

// Governance is what people were asked for, and how long they took: RTS (EU) 2024/1774 Art. 25(2)(d). Null where it was not exercised.
type Governance struct {
	Quorum    *float64 `json:"gate_quorum_time_s"`
	Opinion   *float64 `json:"dpo_opinion_time_s"`
	Acked     *int     `json:"notifications_acked"` // how often a person took note; null: nobody did
	Acks      []Ack    `json:"acknowledged_by"`
	Delivered int      `json:"notifications_delivered"`
	Failed    int      `json:"notifications_failed"`
}

// Ack is a person's word that they have taken note of what was told.
type Ack struct {
	Person Text   `json:"person"`
	When   Text   `json:"when"` // before | during | after
	At     Moment `json:"at"`
}

// Sufficient is how long the redundant path carried calls: RTS (EU) 2024/1774 Art. 25(2), third subparagraph.
type Sufficient struct {
	Party   Text     `json:"party"`
	Carried *float64 `json:"carried_s"`
	Wanted  Text     `json:"wanted"`
	Kept    *bool    `json:"kept"`
}

// Check is one reconciliation: DORA Art. 12(7).
type Check struct {
	What  Text `json:"check"`
	Holds bool `json:"holds"`
	Found Text `json:"found"`
}

// Deficiency is one that the drill showed: DORA Art. 24(5), RTS (EU) 2024/1774 Art. 25(5).
type Deficiency struct {
	ID       Text   `json:"id"`
	Severity Text   `json:"severity"`
	What     Text   `json:"what"`
	Owner    Text   `json:"owner"`
	Due      Moment `json:"due"`
	Fixed    Moment `json:"fixed_at"`
	Retest   Moment `json:"retest_due"`
	RetestID Text   `json:"retest_drill_id"`
}

// Reported says when the management body was told: RTS (EU) 2024/1774 Art. 25(5).
type Reported struct {
	Date    Moment `json:"date"`
	Minutes Text   `json:"minutes_ref"`
	By      Text   `json:"recorded_by"`
	At      Moment `json:"recorded_at"`
	Hand
}

// Signature is one person's word.
type Signature struct {
	Person  Text   `json:"person"`
	Role    Text   `json:"role"` // in which it was given; where none was named the word itself
	At      Moment `json:"at"`
	Word    Text   `json:"word"`    // requested | approved | stopped | cleaned_up | signed_off
	Verdict Text   `json:"verdict"` // of signed_off: accept | accept_with_deficiencies | reject
	Reason  Text   `json:"reason"`
	Hand
}

// Hand is how one of the last words about a drill was given. All null: it is none of those.
type Hand struct {
	How   Text  `json:"auth"` // session | signature
	Key   Text  `json:"key_id"`
	Holds *bool `json:"signature_holds"` // null: nothing was signed
	Why   Text  `json:"signature_fault"` // it does not hold
}

// Artefact is something that a report rests on, by its digest.
type Artefact struct {
	What   Text `json:"what"`
	Name   Text `json:"name"`
	SHA256 Text `json:"sha256"`
}

// Part is one that a party played.
type Part struct {
	Part  Text `json:"part"`
	Party Text `json:"party"`
}

// Step is one thing that happened.
type Step struct {
	At   Moment `json:"at"`
	Word Text   `json:"word"`
	What Text   `json:"what"`
}

// Guard is one condition of the start, as it was then.
type Guard struct {
	Name  Text `json:"name"`
	Holds bool `json:"holds"`
	Why   Text `json:"why"`
}

// Cleanup is the step after the drill, which a person signs.
type Cleanup struct {
	At   Moment `json:"at"`
	By   Text   `json:"by"`
	Done []Text `json:"done"` // what was removed or put back, and checked
	Hand
}

// RecordRef is an entry of the log about this drill.
type RecordRef struct {
	Seq    uint64 `json:"seq"`
	Kind   string `json:"record_type"`
	Record string `json:"record_id"`
	At     Moment `json:"time_utc"`
}

// Cover is the checkpoint that covers the entries that were read, and which of them are those of the play.
type Cover struct {
	logreport.Cover
	Where Text   `json:"where"` // folder of a log that is not the node's own
	First uint64 `json:"first_seq"`
	Last  uint64 `json:"last_seq"`
}

// From puts what was judged and measured into a report: the criteria, the moments and the figures.
func (r *Report) From(list []measure.Judgement, t measure.Timeline, f measure.Figures) {
	r.Criteria = list
	r.Timeline = Timeline{
		Injected: At(t.Injected), Detected: At(t.Detected), Decided: At(t.Decided), Switched: At(t.Switched), FirstCall: At(t.FirstCall), Steady: At(t.Steady),
		FailbackStart: At(t.FailbackStart), FailbackDone: At(t.FailbackDone),
	}
	m := Measured{
		Detect: f.Detect, Decide: f.Decide, Switch: f.Switch, RTO: f.RTO, Failback: f.Failback, Restore: f.Restore, InProgress: ptr(f.InProgress), Dropped: ptr(f.Dropped),
		Preserved: ptr(f.Preserved), Placed: ptr(f.Placed), FalseVerdicts: ptr(f.FalseVerdicts), RecordsLost: f.RecordsLost, Refused: ptr(f.Refused),
	}
	if f.Placed > 0 {
		m.SetupFailed = ptr(f.SetupFailed)
	}
	if f.Placed > 0 && f.SetupFailed < 100 {
		m.Gap = []int64{f.GapP50, f.GapP99}
	}
	if f.MOSBefore > 0 {
		m.MOSBefore = ptr(f.MOSBefore)
	}
	if f.MOSDuring > 0 {
		m.MOSDuring = ptr(f.MOSDuring)
	}
	r.Measured = m
	r.Governance.Quorum, r.Governance.Opinion = f.QuorumSeconds, f.OpinionTime
}

// measured says whether the play was measured: that of a node which crashed in the middle was not.
func (r *Report) measured() bool { return r.Measured.Placed != nil }

// JSON is the whole report as a document.
func (r *Report) JSON() ([]byte, error) {
	raw, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("drill/report: %w", err)
	}
	return append(raw, '\n'), nil
}

// live says whether production was part of it.
func (r *Report) live() bool {
	return r.Mode == Text(scenario.Canary.Evidence()) || r.Mode == Text(scenario.Full.Evidence())
}

// full says whether production was switched over.
func (r *Report) full() bool { return r.Mode == Text(scenario.Full.Evidence()) }
