package notify

import (
	"encoding/json"
	"time"

	"github.com/cordonsip/cordon/audit"
)

// ictIncident is an event as collectors of incidents take it: these names, in this order, and no other.
type ictIncident struct {
	EventType    string        `json:"event_type"`
	Severity     string        `json:"severity"`
	Timestamp    time.Time     `json:"timestamp"`
	SourceSystem string        `json:"source_system"`
	OrgID        string        `json:"org_id"`
	Details      ictIncidentOf `json:"details"`
}

type ictIncidentOf struct {
	IncidentType    string  `json:"incident_type"`
	AffectedRegion  string  `json:"affected_region"`
	DurationSeconds float64 `json:"duration_seconds"` // 0: it goes on, or was a moment
	UserImpact      string  `json:"user_impact"`
}

func encodeIncident(n Notice) ([]byte, error) {
	region, _ := n.Data["region"].(string)
	return json.Marshal(ictIncident{
		EventType: "ICT_INCIDENT", Severity: string(SeverityOf(n)), Timestamp: n.Time.UTC(), SourceSystem: "cordon/" + n.Node, OrgID: n.Tenant,
		Details: ictIncidentOf{IncidentType: string(n.Kind), AffectedRegion: region, DurationSeconds: duration(n), UserImpact: impact(n)},
	})
}

// duration is how long the thing lasted, where its entry says so, in seconds.
func duration(n Notice) float64 {
	if ms, ok := n.Data["gap_ms"].(float64); ok {
		return ms / 1000
	}
	if n.Kind != audit.KindGap {
		return 0
	}
	from, to := moment(n.Data["from"]), moment(n.Data["to"])
	if from.IsZero() || !to.After(from) {
		return 0
	}
	return to.Sub(from).Seconds()
}

func moment(v any) time.Time {
	text, _ := v.(string)
	t, err := time.Parse(time.RFC3339Nano, text)
	if err != nil {
		return time.Time{}
	}
	return t
}

// impact says what callers notice of a kind of thing. It counts nobody: the log does.
func impact(n Notice) string {
	if n.drilled() {
		return "none: it is a drill, and production goes its own way"
	}
	switch n.Kind {
	case audit.KindFailoverHeld:
		return "new calls of the route are not put through until people decide"
	case audit.KindFailoverRefused:
		return "new calls of the route are refused: no permitted choice is left"
	case audit.KindFailoverApplied:
		return "new calls go another permitted way"
	case audit.KindFailback:
		return "none: the route has its own order again"
	case audit.KindMediaRestarted:
		return "audio of live calls was interrupted"
	case audit.KindHealthChanged:
		if n.Data["to"] == "up" {
			return "none: the target takes calls again"
		}
		return "calls avoid the target while others are permitted"
	case audit.KindIncidentOpened:
		return "clients may be affected: the incident has the figures"
	case audit.KindGap:
		return "records are missing"
	}
	return "none known"
}
