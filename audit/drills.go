package audit

import (
	"encoding/json"
	"time"
)

// The kinds of entries about drills.
const (
	KindDrillScenario   Kind = "drill.scenario"   // a piece of the text of a scenario
	KindDrillRequested  Kind = "drill.requested"  // a person asks for one
	KindDrillApproved   Kind = "drill.approved"   // a second one agrees
	KindDrillRefused    Kind = "drill.refused"    // a request, a word or a start that did not count
	KindDrillAnnounced  Kind = "drill.announced"  // one begins soon
	KindDrillStarted    Kind = "drill.started"    // written before anything is taken away
	KindDrillStep       Kind = "drill.step"       // something was taken away, given back or restored
	KindDrillEnded      Kind = "drill.ended"      // with what was judged and measured
	KindDrillCleaned    Kind = "drill.cleaned"    // a person signs that nothing of it is left
	KindDrillSignedOff  Kind = "drill.signed_off" // a person judges the result
	KindDrillReported   Kind = "drill.reported"   // the management body was told of it
	KindDrillAcked      Kind = "drill.acked"      // a person has taken note of what was told of it
	KindDrillDeficiency Kind = "drill.deficiency" // what was found wanting, and who mends it by when
	KindDrillLever      Kind = "drill.lever"      // all drills are forbidden, or allowed again
	KindDrillReminder   Kind = "drill.reminder"   // one is due by the calendar, or late
)

// DrillScenario is a piece of the text of a scenario as it was played: entries have a bound, and scenarios may be longer. Written once for each text.
type DrillScenario struct {
	Digest string `json:"scenario_sha256"` // of the whole file, lower-case hex
	Piece  int    `json:"piece"`           // from 1 on
	Of     int    `json:"of"`
	Text   string `json:"text"`
}

// DrillPlan is what is to be played: the fields plan, function, scenario and mode of a drill's report.
type DrillPlan struct {
	Drill    string            `json:"drill"` // ULID
	Scenario string            `json:"scenario"`
	Version  int               `json:"version"`
	Digest   string            `json:"scenario_sha256"`
	Title    string            `json:"title"`
	Class    string            `json:"class"` // RTS (EU) 2024/1774 Art. 26(2)
	Authors  []string          `json:"authors"`
	Mode     string            `json:"mode"` // simulation | sandbox | canary_percent | production_window
	Route    string            `json:"route"`
	Share    float64           `json:"share_pct,omitempty"` // of a canary: of the calls of the route
	Cap      int               `json:"calls_cap,omitempty"` // and how many of them at once at most
	Cast     map[string]string `json:"cast"`                // part in the scenario -> party of this node
	Function *DrillFunction    `json:"function,omitempty"`
}

// DrillFunction is what depends on it, in the register of information: ITS (EU) 2024/2956 template B_06.01.
type DrillFunction struct {
	ID       string  `json:"roi_function_id"` // B_06.01.0010
	Name     string  `json:"name"`
	Critical bool    `json:"critical_or_important"`
	RTO      float64 `json:"rto_hours"` // B_06.01.0080
	RPO      float64 `json:"rpo_hours"` // B_06.01.0090
}

// DrillGuard is a condition of a drill, as it was at a moment.
type DrillGuard struct {
	Name  string `json:"guard"`
	Holds bool   `json:"holds"`
	Why   string `json:"why"`
}

// DrillRequested says that a person wants a drill. One that meets callers waits for the word of another person until it expires.
type DrillRequested struct {
	DrillPlan
	Tester  string       `json:"tester"` // pseudonym of who runs it: DORA Art. 24(4)
	Reason  string       `json:"reason"`
	Wanted  int          `json:"approvals_wanted"` // of other people than the tester
	Begins  time.Time    `json:"begins,omitzero"`  // the moment that was asked for; absent: as soon as it may
	Expires time.Time    `json:"expires"`
	Guards  []DrillGuard `json:"guards"`
}

// DrillApproved says that a person agrees to a drill whose tester is another one.
type DrillApproved struct {
	Drill  string `json:"drill"`
	Digest string `json:"scenario_sha256"` // of what was agreed to
	By     string `json:"by"`
	Reason string `json:"reason"`
}

// DrillRefused says what did not come about, and why.
type DrillRefused struct {
	Drill    string       `json:"drill"` // empty: there is none of that name
	Scenario string       `json:"scenario,omitempty"`
	What     string       `json:"what"` // request | approval | start | expired | withdrawn
	Why      string       `json:"why"`
	Guards   []DrillGuard `json:"guards,omitempty"` // those that do not hold
	By       string       `json:"by,omitempty"`     // pseudonym; empty: the node
}

// DrillAnnounced tells people that a drill begins soon, so that nobody takes it for an incident.
type DrillAnnounced struct {
	Drill    string    `json:"drill"`
	Scenario string    `json:"scenario"`
	Title    string    `json:"title"`
	Mode     string    `json:"mode"`
	Route    string    `json:"route"`
	Begins   time.Time `json:"begins"`
	Ends     time.Time `json:"ends"` // at the latest
	Channels []string  `json:"channels"`
}

// DrillWindow is when it may run.
type DrillWindow struct {
	Name   string    `json:"name"`
	From   time.Time `json:"from"`
	Until  time.Time `json:"until"`
	Volume string    `json:"low_volume_basis"` // calls now, and what they were held against
}

// DrillBounds are what a drill must not go beyond: the field guardrails of its report.
type DrillBounds struct {
	Throttle float64  `json:"throttle_cps"` // calls of the drill each second, at most
	Canary   float64  `json:"max_canary_pct"`
	Aborts   []string `json:"abort_conditions"`
}

// DrillParty is who outside is concerned: RTS (EU) 2024/1774 Art. 25(2)(b).
type DrillParty struct {
	Party string `json:"party"`
	Name  string `json:"name"`
	LEI   string `json:"lei"`
	Role  string `json:"role"` // carrier | contact_centre
}

// DrillStarted is written, durably, before anything is taken away.
type DrillStarted struct {
	DrillPlan
	Tester    string          `json:"tester"`
	Unit      string          `json:"tester_unit,omitempty"` // of the organisation: DORA Art. 24(4)
	Approvals []DrillApproved `json:"approvals,omitempty"`
	Window    *DrillWindow    `json:"window,omitempty"` // absent in a sandbox, which needs none
	Announced time.Time       `json:"announced_at,omitzero"`
	Ends      time.Time       `json:"ends"` // at the latest
	Bounds    DrillBounds     `json:"guardrails"`
	Guards    []DrillGuard    `json:"guards"`
	Parties   []DrillParty    `json:"third_parties,omitempty"`
	// Before is the party that each route uses, so that a run after a crash can put them back.
	Before map[string]string `json:"routes_before,omitempty"`
}

// DrillStep is one thing that happened in a drill.
type DrillStep struct {
	Drill string    `json:"drill"`
	At    time.Time `json:"at"`
	Word  string    `json:"word"` // taken | given_back | stopping | restoring | restored | not_restored | alerted
	What  string    `json:"what"`
}

// DrillRecords counts what was acknowledged to whoever wrote it, and what the verified log holds of it.
type DrillRecords struct {
	Acknowledged uint64 `json:"acknowledged"`
	Found        uint64 `json:"found"`
	Verified     bool   `json:"verified"`
}

// DrillEnded says how a drill ended. What it measured is the same for every mode.
type DrillEnded struct {
	Drill      string            `json:"drill"`
	Scenario   string            `json:"scenario"`
	Version    int               `json:"version"`
	Digest     string            `json:"scenario_sha256"`
	Mode       string            `json:"mode"`
	Outcome    string            `json:"outcome"` // passed | failed | aborted | not_restored
	Cause      string            `json:"cause,omitempty"`
	Crash      bool              `json:"after_crash,omitempty"` // the node ended in the middle, and found it at its start
	Start      time.Time         `json:"start"`
	End        time.Time         `json:"end"`
	Restored   time.Time         `json:"restored,omitzero"`    // absent: not everything is as before
	Judgements json.RawMessage   `json:"judgements,omitempty"` // drill/measure.Judgement, one for each expectation
	Timeline   json.RawMessage   `json:"timeline,omitempty"`   // drill/measure.Timeline
	Measured   json.RawMessage   `json:"measured,omitempty"`   // drill/measure.Figures
	Records    DrillRecords      `json:"records"`
	Refused    []uint64          `json:"refused_entries,omitempty"`
	Datagrams  map[string]uint64 `json:"datagrams,omitempty"` // that left in the drill, by party
	First      uint64            `json:"first_entry"`         // of the play, in the log that Log names
	Last       uint64            `json:"last_entry"`
	Log        string            `json:"log,omitempty"`            // of a sandbox: the name of its own log
	Checkpoint string            `json:"log_checkpoint,omitempty"` // newest one of that log: it begins with what was played, or is another one
	Stopped    string            `json:"stopped_by,omitempty"`
}

// DrillCleaned says that a person looked, and that the node did, after a drill: nothing of it is left.
type DrillCleaned struct {
	Drill   string       `json:"drill"`
	Removed []string     `json:"removed"` // or put back, in words
	Checks  []DrillGuard `json:"checks"`  // by the node
	By      string       `json:"by"`
	Reason  string       `json:"reason"`
	Role    string       `json:"role,omitempty"` // in which it was signed
	Auth    string       `json:"auth,omitempty"` // bearer | bearer+signature; absent in logs of earlier versions: bearer
	// Signature is an approval/sign.SignedDrill; absent: the session alone stands for the person.
	Signature json.RawMessage `json:"signature,omitempty"`
}

// DrillSignedOff says what a person holds of the result of a drill, once it has ended.
type DrillSignedOff struct {
	Drill     string          `json:"drill"`
	Verdict   string          `json:"verdict"` // accept | accept_with_deficiencies | reject
	By        string          `json:"by"`
	Reason    string          `json:"reason"`
	Role      string          `json:"role"`
	Auth      string          `json:"auth"` // as in DrillCleaned
	Signature json.RawMessage `json:"signature,omitempty"`
}

// DrillReported says when the management body was told of a drill, and where that stands: RTS (EU) 2024/1774 Art. 25(5).
type DrillReported struct {
	Drill     string          `json:"drill"`
	Date      string          `json:"date"` // of the meeting, YYYY-MM-DD
	Minutes   string          `json:"minutes_ref"`
	By        string          `json:"by"`
	Reason    string          `json:"reason,omitempty"`
	Role      string          `json:"role,omitempty"`
	Auth      string          `json:"auth"` // as in DrillCleaned
	Signature json.RawMessage `json:"signature,omitempty"`
}

// DrillAcked says that a person has taken note of what was told of a drill: the field notifications_acked of its report.
type DrillAcked struct {
	Drill string `json:"drill"`
	When  string `json:"when"` // before | during | after
	By    string `json:"by"`
}

// DrillDeficiency is what a drill found wanting. DORA Art. 24(5), RTS (EU) 2024/1774 Art. 25(5).
type DrillDeficiency struct {
	Drill    string    `json:"drill"`
	ID       string    `json:"deficiency"`
	What     string    `json:"what"` // found | changed | fixed
	Title    string    `json:"title"`
	Severity string    `json:"severity"` // low | medium | high | critical
	Owner    string    `json:"owner"`    // pseudonym
	Due      time.Time `json:"due"`
	Fixed    time.Time `json:"fixed_at,omitzero"`
	RetestBy time.Time `json:"retest_by,omitzero"`
	Retest   string    `json:"retest_drill_id,omitempty"`
	By       string    `json:"by"`
}

// DrillLever forbids every drill at once, or allows them again. It ends the one that runs.
type DrillLever struct {
	Allowed bool   `json:"drills_allowed"`
	Reason  string `json:"reason"`
	By      string `json:"by"`
}

// DrillReminder says that a drill of the calendar is due soon or late: DORA Art. 11(6)(a), 24(6).
type DrillReminder struct {
	Scenario string    `json:"scenario"`
	Mode     string    `json:"mode"`
	What     string    `json:"what"` // warning | late
	Due      time.Time `json:"due"`
	Days     int       `json:"days_before,omitempty"` // of a warning: its threshold
	Last     time.Time `json:"last,omitzero"`         // end of the last one that counted
}

func (DrillScenario) Kind() Kind   { return KindDrillScenario }
func (DrillRequested) Kind() Kind  { return KindDrillRequested }
func (DrillApproved) Kind() Kind   { return KindDrillApproved }
func (DrillRefused) Kind() Kind    { return KindDrillRefused }
func (DrillAnnounced) Kind() Kind  { return KindDrillAnnounced }
func (DrillStarted) Kind() Kind    { return KindDrillStarted }
func (DrillStep) Kind() Kind       { return KindDrillStep }
func (DrillEnded) Kind() Kind      { return KindDrillEnded }
func (DrillCleaned) Kind() Kind    { return KindDrillCleaned }
func (DrillSignedOff) Kind() Kind  { return KindDrillSignedOff }
func (DrillReported) Kind() Kind   { return KindDrillReported }
func (DrillAcked) Kind() Kind      { return KindDrillAcked }
func (DrillDeficiency) Kind() Kind { return KindDrillDeficiency }
func (DrillLever) Kind() Kind      { return KindDrillLever }
func (DrillReminder) Kind() Kind   { return KindDrillReminder }

// decodeDrill is Decode for what is about drills, and the Raw of kinds that have no struct.
func decodeDrill(e Entry) (Event, error) {
	switch e.Kind {
	case KindDrillScenario:
		return decodeAs[DrillScenario](e)
	case KindDrillRequested:
		return decodeAs[DrillRequested](e)
	case KindDrillApproved:
		return decodeAs[DrillApproved](e)
	case KindDrillRefused:
		return decodeAs[DrillRefused](e)
	case KindDrillAnnounced:
		return decodeAs[DrillAnnounced](e)
	case KindDrillStarted:
		return decodeAs[DrillStarted](e)
	case KindDrillStep:
		return decodeAs[DrillStep](e)
	case KindDrillEnded:
		return decodeAs[DrillEnded](e)
	case KindDrillCleaned:
		return decodeAs[DrillCleaned](e)
	case KindDrillSignedOff:
		return decodeAs[DrillSignedOff](e)
	case KindDrillReported:
		return decodeAs[DrillReported](e)
	case KindDrillAcked:
		return decodeAs[DrillAcked](e)
	case KindDrillDeficiency:
		return decodeAs[DrillDeficiency](e)
	case KindDrillLever:
		return decodeAs[DrillLever](e)
	case KindDrillReminder:
		return decodeAs[DrillReminder](e)
	}
	return Raw{e.Kind, e.Body}, nil
}

// OfDrills says whether a kind is about a drill.
func (k Kind) OfDrills() bool {
	switch k {
	case KindDrillScenario, KindDrillRequested, KindDrillApproved, KindDrillRefused, KindDrillAnnounced, KindDrillStarted, KindDrillStep, KindDrillEnded, KindDrillCleaned,
		KindDrillSignedOff, KindDrillReported, KindDrillAcked, KindDrillDeficiency, KindDrillLever, KindDrillReminder:
		return true
	}
	return false
}
