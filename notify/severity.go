package notify

import (
	"github.com/cordonsip/cordon/audit"
)

// Severity is how urgent a notice is, in the words of PagerDuty's Events API.
type Severity string

// The severities, the worst first.
const (
	Critical Severity = "critical"
	Failing  Severity = "error"
	Warning  Severity = "warning"
	Plain    Severity = "info"
)

// severities of kinds that always have the same one. The others are Plain, but for what SeverityOf looks into.
var severities = map[audit.Kind]Severity{
	audit.KindLawInForce: Failing, audit.KindLawEnding: Warning, audit.KindSevered: Critical,
	audit.KindFailoverHeld: Critical, audit.KindFailoverRefused: Critical, audit.KindFailoverApplied: Failing, audit.KindGap: Failing, audit.KindFenceRefused: Failing,
	audit.KindLawSuspended: Failing, audit.KindNoticeUndelivered: Failing, audit.KindCertRefused: Failing, audit.KindSuspensionRefused: Warning,
	audit.KindPlaceContradicted: Failing, audit.KindPlaceDrifted: Warning, audit.KindPlaceEvidenceStale: Warning,
	audit.KindKeyEnrolled: Warning, audit.KindKeyRevoked: Warning,
	audit.KindReloadRefused: Warning, audit.KindWideningHeld: Warning, audit.KindAnswersMoved: Warning, audit.KindIngressRefused: Warning, audit.KindMediaRestarted: Warning,
	audit.KindCopyBehind: Failing, audit.KindCopyDiffers: Critical, audit.KindCopyRefused: Critical, audit.KindRestored: Failing,
	audit.KindKeyRotated: Warning, audit.KindQuorumMissing: Failing, audit.KindRouteSwitched: Warning, audit.KindServiceChanged: Warning, audit.KindCertExpiring: Warning,
}

// nearEnd is how many days before its end a certificate's end is no warning any more.
const nearEnd = 3

// SeverityOf says how urgent n is. What is so in the view of a canary drill alone is plain, whatever it would be otherwise.
func SeverityOf(n Notice) Severity {
	if n.drilled() {
		return Plain
	}
	switch n.Kind {
	case audit.KindHealthChanged:
		switch n.Data["to"] {
		case "down":
			return Failing
		case "degraded":
			return Warning
		}
	case audit.KindGateChanged:
		if n.asks() || n.Data["state"] == "BREAK_GLASS_ACTIVE" || n.Data["what"] == "escalated" {
			return Critical
		}
	case audit.KindGateReadiness:
		if n.Data["ready"] == false {
			return Warning
		}
	case audit.KindNodeStarted:
		if n.Data["after_crash"] == true {
			return Failing
		}
	case audit.KindReviewDue:
		if n.Data["what"] == "late" {
			return Failing
		}
		return Warning
	case audit.KindIncidentOpened, audit.KindIncidentUpdated, audit.KindIncidentClassified:
		return incidentSeverity(n)
	case audit.KindDrillRefused, audit.KindDrillEnded, audit.KindDrillDeficiency, audit.KindDrillLever, audit.KindDrillReminder:
		return drillSeverity(n)
	case audit.KindDrillSignedOff:
		if n.Data["verdict"] == "reject" {
			return Warning
		}
	case audit.KindClockAlarm:
		if n.Data["what"] != "synchronised" {
			return Warning
		}
	case audit.KindInventoryJudged:
		verdict, _ := n.Data["verdict"].(string)
		if before, _ := n.Data["before"].(string); verdict != "permit" && verdict != before && n.Data["ground"] != "anycast" { // declared so: nobody is surprised
			return Failing
		}
	case audit.KindCertExpiring:
		if left, ok := n.Data["days_left"].(float64); ok && left <= nearEnd {
			return Failing
		}
	}
	if s, ok := severities[n.Kind]; ok {
		return s
	}
	return Plain
}

// incidentSeverity: calls fail or left their places, or a limit of reporting passed; everything else that somebody has to look at is less.
func incidentSeverity(n Notice) Severity {
	switch n.Data["rule"] {
	case "region_down", "trunk_loss", "residency_violation":
		return Critical
	}
	switch n.Data["what"] {
	case "recovered":
		return Plain
	case "clock_late":
		return Critical
	}
	if n.Data["major"] == false {
		return Plain
	}
	return Failing
}

// drillSeverity: a drill that could not give everything back is an outage that we made ourselves.
func drillSeverity(n Notice) Severity {
	switch {
	case n.Data["outcome"] == "not_restored":
		return Critical
	case n.Kind == audit.KindDrillEnded && n.Data["outcome"] == "passed", n.Data["drills_allowed"] == true, n.Data["what"] == "fixed", n.Data["what"] == "withdrawn":
		return Plain
	case n.Kind == audit.KindDrillReminder && n.Data["what"] == "late", n.Data["severity"] == "critical":
		return Failing
	}
	return Warning
}

// Action is what a notice does to the thing that it is about, where an outlet keeps such things open.
type Action string

// The actions; Tell is for what is not worth opening anything.
const (
	Trigger     Action = "trigger"
	Acknowledge Action = "acknowledge"
	Resolve     Action = "resolve"
	Tell        Action = ""
)

// Lifecycle says what n opens, takes up or ends. The key is the same for all that belongs together: a ticket, a route, a target.
func Lifecycle(n Notice) (key string, action Action) {
	if n.Count > 1 {
		return "group/" + n.ID, opens(n)
	}
	switch {
	case n.Kind == KindTest:
		return "test/" + n.ID, Trigger
	case n.drilled(): // it neither opens nor ends what production's has open
		return "entry/" + n.ID, Tell
	case n.Kind == audit.KindFailoverHeld && n.Ticket != "":
		return "ticket/" + n.Ticket, Trigger
	case n.Kind == audit.KindGateChanged && n.Ticket != "":
		return "ticket/" + n.Ticket, gateAction(n)
	case n.Kind == audit.KindFailoverApplied, n.Kind == audit.KindFailoverRefused, n.Kind == audit.KindFailoverHeld:
		return "route/" + n.Subject, Trigger
	case n.Kind == audit.KindFailback:
		return "route/" + n.Subject, Resolve
	case n.Kind == audit.KindClockAlarm && n.Data["what"] == "unsynchronised":
		return "clock", Trigger
	case n.Kind == audit.KindClockAlarm && n.Data["what"] == "synchronised":
		return "clock", Resolve
	case n.Kind == audit.KindQuorumMissing:
		return "witnesses", Trigger
	case n.Kind == audit.KindGateReadiness && n.Data["ready"] == true:
		return "readiness/" + n.Subject, Resolve
	case n.Kind == audit.KindGateReadiness:
		return "readiness/" + n.Subject, Trigger
	case n.Kind == audit.KindQuorumBack:
		return "witnesses", Resolve
	case n.Kind == audit.KindIncidentOpened, n.Kind == audit.KindIncidentUpdated:
		return "incident/" + n.Subject, opens(n)
	case n.Kind == audit.KindIncidentClassified, n.Kind == audit.KindIncidentReported, n.Kind == audit.KindBreachNoted:
		return "incident/" + n.Subject, Acknowledge
	case n.Kind == audit.KindIncidentClosed:
		return "incident/" + n.Subject, Resolve
	case n.Kind == audit.KindReviewDue:
		return "review/" + n.Subject, Trigger
	case n.Kind == audit.KindReviewSigned:
		return "review/" + n.Subject, Resolve
	case n.Kind.OfDrills():
		return drillCycle(n)
	case n.Kind == audit.KindInventoryJudged && n.Data["verdict"] == "permit":
		return "inventory/" + n.Subject, Resolve
	case n.Kind == audit.KindInventoryJudged:
		return "inventory/" + n.Subject, opens(n)
	case n.Kind == audit.KindCopyBehind:
		return "copy", Trigger
	case n.Kind == audit.KindCopyLevel:
		return "copy", Resolve
	case n.Kind == audit.KindHealthChanged && n.Data["to"] == "up":
		return "target/" + n.Subject, Resolve
	case n.Kind == audit.KindHealthChanged:
		return "target/" + n.Subject, opens(n)
	}
	return "entry/" + n.ID, opens(n)
}

// drillCycle: what is due is open until a drill of that scenario ran to its end, what was not restored until people cleaned up, and a deficiency until it is fixed.
func drillCycle(n Notice) (key string, action Action) {
	scenario, _ := n.Data["scenario"].(string)
	outcome := n.Data["outcome"]
	switch {
	case n.Kind == audit.KindDrillReminder:
		return "drill-due/" + scenario, Trigger
	case n.Kind == audit.KindDrillEnded && (outcome == "passed" || outcome == "failed"):
		return "drill-due/" + scenario, Resolve
	case n.Kind == audit.KindDrillCleaned:
		return "drill/" + n.Subject, Resolve
	case n.Kind == audit.KindDrillAcked:
		return "drill/" + n.Subject, Acknowledge
	case n.Kind == audit.KindDrillSignedOff: // nothing would end what a rejection opened: its deficiencies do
		return "drill/" + n.Subject, Tell
	case n.Kind == audit.KindDrillDeficiency && n.Data["what"] == "fixed":
		return "deficiency/" + n.Subject, Resolve
	case n.Kind == audit.KindDrillDeficiency:
		return "deficiency/" + n.Subject, Trigger
	case n.Kind == audit.KindDrillLever && n.Data["drills_allowed"] == true:
		return "drills", Resolve
	case n.Kind == audit.KindDrillLever:
		return "drills", Trigger
	}
	return "drill/" + n.Subject, opens(n)
}

// opens says whether something that nothing ends is worth opening.
func opens(n Notice) Action {
	if SeverityOf(n) == Plain {
		return Tell
	}
	return Trigger
}

// gateAction: people are asked while a ticket is open, have taken it up with the first word, and have nothing more to do when it was decided.
func gateAction(n Notice) Action {
	if n.asks() {
		return Trigger
	}
	switch n.Data["state"] {
	case "REQUESTED", "PENDING":
		return Acknowledge
	case "ESCALATED", "BREAK_GLASS_ACTIVE", "REVIEW_DUE":
		return Trigger
	}
	return Resolve
}
