package notify

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/cordonsip/cordon/audit"
)

// Notice is what leaves: an entry of the log without anything about a person.
type Notice struct {
	ID      string         `json:"id"` // of the entry; the same at every attempt and after a crash
	Kind    audit.Kind     `json:"kind"`
	Seq     uint64         `json:"seq"` // index in the log, so that the receiver can ask for a proof
	Time    time.Time      `json:"time"`
	Tenant  string         `json:"tenant"`
	Node    string         `json:"node"`
	Subject string         `json:"subject"` // the ticket, route, target or instrument it is about
	Ticket  string         `json:"ticket,omitempty"`
	Summary string         `json:"summary"` // one line for people
	Data    map[string]any `json:"data"`

	// Of several entries that are told of together: how many, the index and time of the last one, and what some of them are about.
	Count    int       `json:"count,omitempty"`
	Last     uint64    `json:"last_seq,omitempty"`
	Until    time.Time `json:"until,omitzero"`
	Subjects []string  `json:"subjects,omitempty"`
}

// fields says what of each kind may leave, and which field it is about. A kind that is not here is never told: calls and receipts are about people.
// Dots lead into nested objects; the last word names the field in the notice. Free text of people (reasons, advice) is not here.
var fields = map[audit.Kind]struct {
	subject string
	leave   []string
}{
	audit.KindNodeStarted:       {"", []string{"after_crash"}},
	audit.KindNodeStopped:       {"", []string{"reason", "calls_open"}},
	audit.KindNodeResumed:       {"", []string{"calls", "ended", "records", "unread", "damaged_bytes"}},
	audit.KindPolicyApplied:     {"policy_digest", []string{"cause", "policy_digest", "facts_digest", "generation", "preset"}},
	audit.KindReloadRefused:     {"", nil},
	audit.KindPolicyAccepted:    {"charter", []string{"charter", "before", "cause", "ticket"}},
	audit.KindWideningHeld:      {"proposed", []string{"cause", "charter", "proposed"}},
	audit.KindLawSuspended:      {"instrument", []string{"instrument", "since"}},
	audit.KindSuspensionRefused: {"", nil},
	audit.KindLawInForce:        {"instrument", []string{"instrument", "since", "from", "parties"}},
	audit.KindLawEnding:         {"instrument", []string{"instrument", "country", "until", "threshold_days", "days_left", "parties"}},
	audit.KindSevered:           {"name", []string{"what", "name", "force", "back", "from", "parties"}},
	audit.KindHealthChanged:     {"target", []string{"target", "party", "from", "to", "why", "drill"}},
	audit.KindAnswersMoved:      {"party", []string{"party", "host", "before", "after"}},
	audit.KindFailoverApplied:   {"route", failoverFields},
	audit.KindFailoverHeld:      {"route", failoverFields},
	audit.KindFailoverRefused:   {"route", failoverFields},
	audit.KindFailback:          {"route", failoverFields},
	audit.KindServiceChanged:    {"name", []string{"what", "name", "from", "to", "until"}},
	audit.KindRouteSwitched:     {"route", []string{"route", "from", "to", "back", "region", "country", "verdict", "ground"}},
	audit.KindRouteMigrated:     {"route", []string{"route", "to", "back", "share", "region", "country", "verdict", "ground"}},
	audit.KindGateChanged: {"ticket", []string{
		"ticket", "what", "from", "state", "role_asked", "plan_hash", "missing", "record.ticket.approve_by", "record.ticket.execute_by", "record.ticket.grant_until",
		"record.ticket.plan.scope", "record.ticket.plan.change.from", "record.ticket.plan.change.to",
	}},
	audit.KindKeyEnrolled:       {"", []string{"how"}},
	audit.KindKeyRevoked:        {"", nil}, // whose key it is stays in the log
	audit.KindApprovalNotified:  {"ticket", []string{"ticket", "channel", "failure"}},
	audit.KindNoticeUndelivered: {"channel", []string{"channel", "about", "entry", "last", "count", "fenced"}},
	audit.KindIngressRefused:    {"trunk", []string{"trunk", "ground", "count"}},
	audit.KindFenceRefused:      {"party", []string{"party", "plane", "ground", "count", "drill"}},
	audit.KindMediaRestarted:    {"", []string{"gap_ms", "legs"}},
	audit.KindCertExpiring:      {"subject", []string{"fingerprint", "role", "uses", "subject", "issuer", "names", "not_after", "threshold_days", "days_left"}},
	audit.KindCertReplaced:      {"use", []string{"use", "cause", "before", "after", "not_after"}},
	audit.KindCertRefused:       {"use", []string{"use", "why"}},
	audit.KindGap:               {"cause", []string{"from", "to", "cause", "lost"}},
	audit.KindClockAlarm:        {"", []string{"what", "since", "reference", "step_ms"}},
	audit.KindKeyRotated:        {"new_key", []string{"old_key", "new_key", "overlap_until", "compromised_since"}},
	audit.KindQuorumMissing:     {"", []string{"entries", "wanted", "signed", "since"}},
	audit.KindGateReadiness:     {"route", []string{"route", "ready", "next", "verdict", "why"}},
	audit.KindQuorumBack:        {"", []string{"entries", "wanted", "signed", "since"}},
	audit.KindCopyBehind:        {"", []string{"entries", "copied", "since", "why"}},
	audit.KindCopyLevel:         {"", []string{"copied", "since"}},
	audit.KindCopyDiffers:       {"object", []string{"object", "expected", "found"}},
	audit.KindCopyRefused:       {"what", []string{"what", "why"}},
	audit.KindRestored:          {"mode", []string{"mode", "origin", "entries", "orderly", "missing"}},

	audit.KindIncidentOpened:     {"incident", []string{"incident", "rule", "cause", "since", "until", "region", "country", "parties"}},
	audit.KindIncidentUpdated:    {"incident", []string{"incident", "what", "at", "until", "clock", "due", "before"}},
	audit.KindIncidentClassified: {"incident", []string{"incident", "major", "at", "criteria"}},
	audit.KindIncidentReported:   {"incident", []string{"incident", "clock", "at"}},
	audit.KindBreachNoted:        {"incident", []string{"incident", "risk"}},
	audit.KindIncidentClosed:     {"incident", []string{"incident"}},

	audit.KindReviewDue:    {"review", []string{"review", "what", "due", "days_before"}},
	audit.KindReviewSigned: {"review", []string{"review", "document", "items", "keep", "remove", "change", "role"}},

	audit.KindDrillRequested:  {"drill", []string{"drill", "scenario", "mode", "route", "approvals_wanted", "begins", "expires"}},
	audit.KindDrillApproved:   {"drill", []string{"drill"}},
	audit.KindDrillRefused:    {"drill", []string{"drill", "scenario", "what"}},
	audit.KindDrillAnnounced:  {"drill", []string{"drill", "scenario", "mode", "route", "begins", "ends"}},
	audit.KindDrillStarted:    {"drill", []string{"drill", "scenario", "mode", "route", "ends"}},
	audit.KindDrillEnded:      {"drill", []string{"drill", "scenario", "mode", "outcome", "after_crash", "start", "end", "restored"}},
	audit.KindDrillCleaned:    {"drill", []string{"drill"}},
	audit.KindDrillSignedOff:  {"drill", []string{"drill", "verdict"}},
	audit.KindDrillReported:   {"drill", []string{"drill", "date"}},
	audit.KindDrillAcked:      {"drill", []string{"drill", "when"}},
	audit.KindDrillDeficiency: {"deficiency", []string{"drill", "deficiency", "what", "severity", "due", "fixed_at", "retest_by"}},
	audit.KindDrillLever:      {"", []string{"drills_allowed"}},
	audit.KindDrillReminder:   {"scenario", []string{"scenario", "mode", "what", "due", "days_before", "last"}},

	audit.KindPlaceContradicted: {"party", []string{"party", "endpoint", "declared_region", "declared_countries", "standing", "effect", "why"}},
	audit.KindPlaceCleared:      {"party", []string{"party", "endpoint", "declared_region", "declared_countries", "why"}},
	audit.KindPlaceDrifted:      {"party", []string{"what", "party", "subject", "before", "after"}},

	audit.KindPlaceEvidenceStale: {"file", []string{"what", "evidence", "file", "since", "why"}},
	audit.KindInventoryJudged:    {"entry", []string{"entry", "purpose", "endpoint", "verdict", "before", "ground", "why", "declared_region", "declared_countries", "parent_country", "support_countries"}},
}

var failoverFields = []string{"trunk", "route", "from", "to", "region", "country", "verdict", "ground", "why", "ticket", "drill"}

// DefaultKinds are what a channel carries that names no kinds.
func DefaultKinds() []string {
	return []string{
		string(audit.KindSevered),
		"failover.*", string(audit.KindGateChanged), string(audit.KindGateReadiness), "approval.key_*", "law.*", "place.*", "inventory.*", string(audit.KindReloadRefused), string(audit.KindWideningHeld), string(audit.KindAnswersMoved),
		string(audit.KindIngressRefused), string(audit.KindFenceRefused), string(audit.KindGap), string(audit.KindNodeStarted), string(audit.KindNodeStopped),
		string(audit.KindMediaRestarted), string(audit.KindNoticeUndelivered), "certificate.*", "witness.*", "incident.*", "review.*", "drill.*", "log.copy_*",
		string(audit.KindRestored), string(audit.KindClockAlarm), string(audit.KindKeyRotated),
	}
}

// kindSet reads the kinds of a channel: names, or "failover.*" for all that begin with it.
func kindSet(words []string) (map[audit.Kind]bool, error) {
	if len(words) == 0 {
		words = DefaultKinds()
	}
	set := map[audit.Kind]bool{}
	for _, word := range words {
		found := false
		for kind := range fields {
			if stem, wild := strings.CutSuffix(word, "*"); string(kind) == word || wild && stem != "" && strings.HasPrefix(string(kind), stem) {
				set[kind], found = true, true
			}
		}
		if !found {
			return nil, fmt.Errorf("notify: %q is no kind of entry that may be told", word)
		}
	}
	return set, nil
}

// noticeOf makes the notice of an entry. ok is false for one that nobody is told of.
func noticeOf(e audit.Entry) (n Notice, ok bool) {
	may, ok := fields[e.Kind]
	if !ok {
		return Notice{}, false
	}
	var body map[string]any
	if err := json.Unmarshal(e.Body, &body); err != nil {
		body = nil // the envelope alone still says what happened and where to look
	}
	n = Notice{ID: e.ID, Kind: e.Kind, Seq: e.Seq, Time: e.Time, Tenant: e.Tenant, Node: e.Node, Subject: e.Node, Data: map[string]any{}}
	for _, path := range may.leave {
		if v, there := lookUp(body, path); there {
			n.Data[path[strings.LastIndexByte(path, '.')+1:]] = v
		}
	}
	if s, _ := n.Data[may.subject].(string); s != "" {
		n.Subject = s
	}
	n.Ticket, _ = n.Data["ticket"].(string)
	what, _ := n.Data["what"].(string)
	if e.Kind == audit.KindGateChanged && (what == "notified" || what == "not_applied") {
		return Notice{}, false // our own echo, and a change that never was
	}
	if e.Kind == audit.KindIncidentUpdated && what == "note" {
		return Notice{}, false // the free text of a person, and nothing else
	}
	n.Summary = summary(n)
	return n, true
}

func lookUp(body map[string]any, path string) (any, bool) {
	for {
		word, rest, nested := strings.Cut(path, ".")
		v, there := body[word]
		if !there || !nested {
			return v, there
		}
		body, _ = v.(map[string]any)
		path = rest
	}
}

// drilled says whether n tells of health or of a route as the view of a canary drill alone has it, or of what a drill asked for to see it refused: nothing in production changed.
func (n Notice) drilled() bool {
	id, _ := n.Data["drill"].(string)
	return id != "" && (n.Kind == audit.KindHealthChanged || n.Kind == audit.KindFenceRefused || strings.HasPrefix(string(n.Kind), "failover."))
}

// asks says whether n asks people to decide on a ticket.
func (n Notice) asks() bool {
	return n.Ticket != "" && (n.Kind == audit.KindFailoverHeld || n.Kind == audit.KindGateChanged && n.Data["what"] == "proposed")
}

// summary is one line: the kind, and then the fields in a fixed order.
func summary(n Notice) string {
	var b strings.Builder
	b.WriteString(string(n.Kind))
	keys := make([]string, 0, len(n.Data))
	for key := range n.Data {
		keys = append(keys, key)
	}
	slices.Sort(keys)
	for _, key := range keys {
		text := ""
		switch v := n.Data[key].(type) {
		case string:
			text = v
		case float64, bool:
			text = fmt.Sprint(v)
		case []any:
			for i, item := range v {
				if i > 0 {
					text += "; "
				}
				text += fmt.Sprint(item)
			}
		}
		if text != "" && key != "plan_hash" && key != "policy_digest" && key != "facts_digest" {
			fmt.Fprintf(&b, " %s=%q", key, text)
		}
	}
	return b.String()
}
