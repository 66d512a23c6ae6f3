// Package approval is what a ticket is and which word on it counts: plans, people, decisions, opinions, grants. Nobody alone, nothing silent, nothing without an end.
//
// A ticket asks people to let held traffic through. Whatever is judged here is a function of the ticket's record, of a word and of the time, so the log alone can repeat it:
// approval/gate keeps the tickets and runs the clocks. It imports audit (its kinds), approval/sign and internal/jcs.
package approval

import (
	"time"

	"github.com/cordonsip/cordon/approval/sign"
)

// State of a ticket. The words are the canonical ones of the documentation.
type State string

// The states.
const (
	Requested        State = "REQUESTED"
	PolicyDenied     State = "POLICY_DENIED"
	Pending          State = "PENDING"
	Approved         State = "APPROVED"
	Active           State = "ACTIVE"
	Expired          State = "EXPIRED"
	DeniedByPeople   State = "DENIED"
	TimedOut         State = "TIMED_OUT"
	Withdrawn        State = "WITHDRAWN"
	ExecutionExpired State = "EXECUTION_EXPIRED"
	Revoked          State = "REVOKED"
	Invalidated      State = "INVALIDATED"
	Superseded       State = "SUPERSEDED"
	BreakGlassActive State = "BREAK_GLASS_ACTIVE"
	ReviewDue        State = "REVIEW_DUE"
	Reviewed         State = "REVIEWED"
	Escalated        State = "ESCALATED"
	Applied          State = "APPLIED" // an approved change of the policy is in force
)

// Scope is exactly what a grant lets through. Empty lists mean nothing, never everything.
type Scope struct {
	Trunks   []string `json:"trunks"`
	Groups   []string `json:"edge_groups"`
	Regions  []string `json:"regions"` // provider:code
	Country  string   `json:"target_country"`
	MaxCalls int      `json:"max_calls_total"`
}

// Plan is what people approve: its canonical hash (RFC 8785, SHA-256) is what they sign; a changed plan is another plan.
type Plan struct {
	Scope        Scope         `json:"scope"`
	Reason       string        `json:"reason"`
	Failed       []string      `json:"failed_edge_groups"`
	Alternatives []Alternative `json:"alternatives_considered"`
	Grounds      []string      `json:"grounds"` // why the policy holds it
	PolicyDigest string        `json:"policy_digest"`
	FactsDigest  string        `json:"facts_digest"`
	GrantFor     time.Duration `json:"grant_ns"`
	LegalBasis   string        `json:"legal_basis,omitempty"` // instrument and id in the pre-registered catalogue, e.g. Art46(2)(c)_SCC:scc-1; Art49... caps the grant
	Basis        *Basis        `json:"basis,omitempty"`       // the entry of the catalogue as it was when the ticket was opened; the gate fills it in
	Change       *Change       `json:"change,omitempty"`      // of the policy itself; nil in the plan of a grant
}

// Alternative is a way that was considered and why it was not taken.
type Alternative struct {
	Option string `json:"option"`
	WhyNot string `json:"why_not"`
}

// Person is somebody known to the gate by the config.
type Person struct {
	ID    string
	Name  string // kept out of the log: entries carry the pseudonym
	Roles []string
	Keys  []PersonKey // with which the person signs
	Until time.Time   // from then on the person may not sign in, and keys of theirs do not count; zero: no end
	// DeputyFor are roles in which the person acts while everybody who holds them is absent.
	DeputyFor []string
	Absent    []Absence
}

// Decision is one person's word on a ticket.
type Decision struct {
	Person   string    `json:"person"` // pseudonym in the log
	Role     string    `json:"role"`
	Approve  bool      `json:"approve"`
	Reason   string    `json:"reason"`
	PlanHash string    `json:"plan_hash"`
	Auth     string    `json:"auth"` // how the person was known: bearer, signature, bearer+signature
	At       time.Time `json:"at"`
	// Signature is the statement that the person signed; absent in a word by session alone, and HandedIn says who brought it, if somebody else did.
	Signature *sign.Signed `json:"signature,omitempty"`
	HandedIn  string       `json:"handed_in_by,omitempty"` // pseudonym
}

// OpinionWord is the DPO's answer, in the words of evidence records. not_reached is no opinion and holds; conditions holds until confirmed met.
type OpinionWord string

// The opinions.
const (
	NoObjection OpinionWord = "no_objection"
	Objection   OpinionWord = "objection"
	Conditions  OpinionWord = "conditions"
	NotReached  OpinionWord = "not_reached"
)

// Opinion is the DPO's advice, GDPR Art. 38(1), 39(1). It is never one of the approvals.
type Opinion struct {
	Person string      `json:"person"`
	Word   OpinionWord `json:"opinion"`
	Text   string      `json:"text"`
	Met    bool        `json:"conditions_met,omitempty"`
	At     time.Time   `json:"at"`
	Before int         `json:"decisions_before"` // how many decisions stood when it was given

	Signature *sign.Signed `json:"signature,omitempty"` // as in Decision
	HandedIn  string       `json:"handed_in_by,omitempty"`
}

// Ticket is one request through its life.
type Ticket struct {
	ID          string     `json:"id"` // ULID
	State       State      `json:"state"`
	Plan        Plan       `json:"plan"`
	PlanHash    string     `json:"plan_hash"`
	RequestedBy string     `json:"requested_by"` // pseudonym of the person, or "rule:<name>"
	RequestedAt time.Time  `json:"requested_at"`
	ApproveBy   time.Time  `json:"approve_by"`           // the approval clock
	ExecuteBy   time.Time  `json:"execute_by,omitzero"`  // the execution clock, set when approved
	NotifiedAt  time.Time  `json:"notified_at,omitzero"` // delivery, or the recorded failure of it; no decision counts before
	Decisions   []Decision `json:"decisions"`
	Opinions    []Opinion  `json:"opinions"`
	ActivatedAt time.Time  `json:"activated_at,omitzero"`
	GrantUntil  time.Time  `json:"grant_until,omitzero"`
	ExhaustedAt time.Time  `json:"exhausted_at,omitzero"` // when the last call of the quota left: nothing new goes, what is up may finish
	EndedAt     time.Time  `json:"ended_at,omitzero"`
	EndedBy     string     `json:"ended_by,omitempty"` // a rule that revoked it
	Why         string     `json:"why,omitempty"`      // of the last change of state
	Missing     []string   `json:"missing"`            // what still stands between the ticket and APPROVED, in words
	Entry       uint64     `json:"entry,omitempty"`    // log index of the last change; absent in the log itself
	Spent       int        `json:"spent"`
	// Repetitions is how many grants rested on the same derogation of GDPR Art. 49 within the twelve months before the request.
	Repetitions int         `json:"repetitions_12m,omitempty"`
	Glass       []Decision  `json:"break_glass,omitempty"` // who confirmed an emergency change
	ReviewBy    time.Time   `json:"review_by,omitzero"`
	Escalated   int         `json:"escalated,omitempty"` // steps of Rules.Escalate that were taken
	Review      *PostReview `json:"post_review,omitempty"`
	Warnings    []string    `json:"warnings,omitempty"` // what people should know before a word
	Notices     []Notice    `json:"notices"`            // who was told, before anything counted: DORA Art. 14, 17(3)(d)
}

// Notice says that a channel told people of the ticket, or why it could not.
type Notice struct {
	Channel string    `json:"channel"`
	At      time.Time `json:"at"`
	Failure string    `json:"failure,omitempty"`
}

// Grant is a live ticket as routing and the fence see it. The zero Grant has expired.
type Grant struct {
	ID       string // the ticket's
	Scope    Scope
	From     time.Time
	Until    time.Time
	PlanHash string
	Entry    uint64
}

// Rules of the gate. Effective fills in the default of every number, word and list that is zero; the three switches are taken as they are, except that
// wholly zero Rules are DefaultRules.
type Rules struct {
	Quorum       int              `json:"quorum"`         // distinct people in distinct roles, default 2, never less
	Roles        []string         `json:"roles"`          // roles that count; default incident_commander, business_owner, ciso, crisis_manager, management_body_delegate
	OpinionRole  string           `json:"opinion_role"`   // default dpo
	NeedOpinion  bool             `json:"opinion_needed"` // DefaultRules: true
	NeedBasis    bool             `json:"basis_needed,omitempty"`
	ApproveIn    time.Duration    `json:"approve_in_ns"`                      // default 30 min, at most 24 h
	ExecuteIn    time.Duration    `json:"execute_in_ns"`                      // default 15 min, at most 24 h
	GrantFor     time.Duration    `json:"grant_for_ns"`                       // default 4 h
	GrantMax     time.Duration    `json:"grant_max_ns"`                       // default and at most 72 h; 24 h on a legal basis of GDPR Art. 49
	AutoActivate bool             `json:"auto_activate"`                      // activate on quorum (DefaultRules: true); else somebody calls Activate
	Mode         string           `json:"dpo_mode,omitempty"`                 // "" or opinion, or approve: the word of the opinion role is one of the approvals
	Escalate     []EscalationStep `json:"escalate,omitempty"`                 // the earliest first
	RecoveredFor time.Duration    `json:"auto_revoke_recovered_ns,omitempty"` // a grant ends when what it stands in for has been back that long; 0: it does not
	NoGlass      bool             `json:"break_glass_off,omitempty"`
	GlassFor     time.Duration    `json:"break_glass_for_ns,omitempty"` // default and at most 60 min
	ReviewIn     time.Duration    `json:"review_in_ns,omitempty"`       // after the end of a grant that carried calls, default 7 days, at most 30; a break-glass has 24 h
	MaxCalls     int              `json:"max_calls_total"`              // default of Scope.MaxCalls, default 1000
	QuotaBlock   int              `json:"quota_block"`                  // calls reserved per compare-and-swap, default 10

	Signed bool `json:"signatures_required,omitempty"` // a word by session alone does not count
}

// Refusal is why a word did not count. Rule is one of the Rule constants.
type Refusal struct{ Rule, Detail, Hint string }

// Refuse makes a Refusal.
func Refuse(rule, detail, hint string) *Refusal { return &Refusal{rule, detail, hint} }

func (r *Refusal) Error() string { return "approval: " + r.Rule + ": " + r.Detail }

// The rules that refuse a word.
const (
	RuleUnknownTicket    = "unknown_ticket"
	RuleUnknownPerson    = "unknown_person"
	RuleClosed           = "closed"
	RuleExpired          = "expired"
	RuleNotTold          = "not_told"
	RuleRequester        = "requester"
	RuleNotRequester     = "not_requester"
	RulePersonDecided    = "person_decided"
	RuleRoleUsed         = "role_used"
	RuleRoleNotHeld      = "role_not_held"
	RuleRoleNotApproving = "role_not_approving"
	RuleOpinionRole      = "opinion_role"
	RuleReason           = "reason_missing"
	RuleTooLong          = "too_long"
	RulePlanChanged      = "plan_changed"
	RuleUnknownOpinion   = "unknown_opinion"
	RuleNotApproved      = "not_approved"
	RuleImplementer      = "implementer"
	RuleScope            = "scope"
	RulePlan             = "plan"
	RuleTooMany          = "too_many"
	RuleBasis            = "legal_basis"
	RulePolicyDenied     = "policy_denied"
	RuleGlass            = "break_glass_off"
	RuleObjection        = "objection"
	RuleNotEnded         = "not_ended"
	RuleReviewed         = "reviewed"
	RuleReviewer         = "reviewer"
	RuleNothingPassed    = "nothing_passed"
	RuleOpinionOwed      = "opinion_owed"
	RuleAbsent           = "absent"
	RuleDeputy           = "deputy"
)

// The rules that refuse a signed word or a key.
const (
	RuleUnsigned   = "signature_required"
	RuleSignature  = "signature"
	RuleKeyUnknown = "key_unknown"
	RuleKeyExpired = "key_expired"
	RuleKeyRevoked = "key_revoked"
	RuleKeyShared  = "key_shared"
	RuleKeyKnown   = "key_known"
	RuleKeyVouched = "key_vouched"
	RuleSignedFile = "signed_file"
	RuleReplayed   = "replayed"
	RuleSignedAt   = "signed_at"
)

// PersonKey is a key that the configuration gives to a person. It counts when it was among the first ones, or two people vouched for it.
type PersonKey struct {
	Public  string // Ed25519, base64
	Expires time.Time
}
