package notify

import (
	"encoding/json"
	"strings"
	"time"
)

// ecsVersion is that of the Elastic Common Schema whose fields are written.
const ecsVersion = "8.17.0"

// encodeECS writes n in the fields of the Elastic Common Schema. docs/guides/notification.md has the table.
//
// ECS and not OCSF: OCSF wants a class of its own for each kind, with attributes that must be there and that a voice edge does not have (actors, devices, file
// hashes), so most kinds would end in the base class with everything of interest in "unmapped". In ECS the common half has names, and the rest stands under "cordon".
func encodeECS(n Notice) ([]byte, error) {
	severity := SeverityOf(n)
	ev := map[string]any{
		"kind": map[bool]string{true: "event", false: "alert"}[severity == Plain], "id": n.ID, "action": string(n.Kind), "module": "cordon", "dataset": "cordon." + family(n),
		"sequence": n.Seq, "severity": ecsSeverity(severity), "created": n.Time.UTC().Format(time.RFC3339Nano),
	}
	if s := duration(n); s > 0 {
		ev["duration"] = int64(s * 1e9) // nanoseconds
	}
	own := map[string]any{"subject": n.Subject, "data": n.Data}
	if n.Ticket != "" {
		own["ticket"] = n.Ticket
	}
	if n.Count > 1 {
		own["count"], own["last_seq"], own["subjects"] = n.Count, n.Last, n.Subjects
		ev["start"], ev["end"] = n.Time.UTC().Format(time.RFC3339Nano), n.Until.UTC().Format(time.RFC3339Nano)
	}
	doc := map[string]any{
		"@timestamp": n.Time.UTC().Format(time.RFC3339Nano), "ecs": map[string]string{"version": ecsVersion}, "message": n.Summary, "event": ev,
		"log": map[string]string{"level": string(severity)}, "observer": map[string]string{"vendor": "cordon", "product": "cordon", "type": "proxy", "name": n.Node},
		"organization": map[string]string{"id": n.Tenant}, "cordon": own,
	}
	cloud := map[string]string{}
	if region, ok := n.Data["region"].(string); ok && region != "" {
		cloud["provider"], cloud["region"], _ = strings.Cut(region, ":")
		doc["cloud"] = cloud
	}
	return json.Marshal(doc)
}

// family is the first word of a kind.
func family(n Notice) string {
	word, _, _ := strings.Cut(string(n.Kind), ".")
	return word
}

// ecsSeverity is a number that grows with urgency, by the codes of syslog upside down: 2 for critical is the most urgent there, and 7 is here.
func ecsSeverity(s Severity) int { return 9 - s.syslog() }

// syslog is the severity's code in RFC 5424 section 6.2.1.
func (s Severity) syslog() int {
	switch s {
	case Critical:
		return 2
	case Failing:
		return 3
	case Warning:
		return 4
	}
	return 6
}
