package configs

import (
	"strings"
	"testing"
	"time"

	"github.com/cordonsip/cordon/approval"
)

// unstaffed is base up to its people.
var unstaffed, _, _ = strings.Cut(base, "people:\n")

func TestAbsenceDeputiesAndEscalation(t *testing.T) {
	text := unstaffed + `gate: {dpo_mode: approve, auto_revoke: [primary_recovered_for_10m], approve_in: 20m, escalate: [{after: 5m, role: crisis_manager}, {after: 10m, role: management_body_delegate}], break_glass: false, break_glass_for: 30m, review_in: 48h}
people:
  - {id: a, roles: [ciso], absent: [{from: 2026-12-01, until: 2026-12-14}], token: {env: A}}
  - {id: b, roles: [business_owner], deputy_for: [ciso, crisis_manager], token: {env: B}}
  - {id: c, deputy_for: [dpo], token: {env: C}}
`
	c, err := Parse("x.yaml", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	g := c.Gate
	if g.Mode != approval.ModeApprove || g.RecoveredFor != 10*time.Minute || len(g.Escalate) != 2 || g.Escalate[1].After != 10*time.Minute || g.Escalate[1].Role != "management_body_delegate" || !g.NoGlass || g.GlassFor != 30*time.Minute || g.ReviewIn != 48*time.Hour {
		t.Errorf("%+v", g)
	}
	a, b := c.People[0], c.People[1]
	if len(a.Absent) != 1 || a.Absent[0].From.Day() != 1 || a.Absent[0].Until.Format(time.DateOnly) != "2026-12-15" || strings.Join(b.DeputyFor, " ") != "ciso crisis_manager" {
		t.Errorf("%+v %+v", a, b)
	}
	warned := ""
	for _, w := range c.Warnings {
		warned += w.Error() + "\n"
	}
	if !strings.Contains(warned, "gate.dpo_mode") || !strings.Contains(warned, "Art. 38(6)") || !strings.Contains(warned, "C-453/21") {
		t.Errorf("warnings: %s", warned)
	}
}

func TestMistakesInTheGatesConduct(t *testing.T) {
	const person = "people:\n  - {id: anna.secret, token: {env: A}, roles: [ciso], "
	for name, c := range map[string]struct{ text, path, hint string }{
		"a mode":                {"gate: {dpo_mode: vote}", "gate.dpo_mode", "opinion or approve"},
		"a step too late":       {"gate: {escalate: [{after: 30m, role: ciso}]}", "gate.escalate[0].after", "within approve_in (30m0s)"},
		"a step at once":        {"gate: {escalate: [{after: 0s, role: ciso}]}", "gate.escalate[0].after", "later"},
		"steps out of order":    {"gate: {escalate: [{after: 9m, role: ciso}, {after: 5m, role: ciso}]}", "gate.escalate[1].after", "later"},
		"a step to nobody":      {"gate: {escalate: [{after: 5m, role: cisso}]}", "gate.escalate[0].role", `did you mean "ciso"?`},
		"a revocation":          {"gate: {auto_revoke: [expires_at]}", "gate.auto_revoke[0]", "primary_recovered_for_10m"},
		"a short revocation":    {"gate: {auto_revoke: [primary_recovered_for_0s]}", "gate.auto_revoke[0]", "up to 72h"},
		"two revocations":       {"gate: {auto_revoke: [primary_recovered_for_1m, primary_recovered_for_2m]}", "gate.auto_revoke[1]", "shorter"},
		"a long break-glass":    {"gate: {break_glass_for: 61m}", "gate.break_glass_for", "at most 60m"},
		"a late review":         {"gate: {review_in: 721h}", "gate", "bounds"},
		"no day":                {person + "absent: [{from: soon, until: 2026-12-14}]}", "people[0].absent[0]", "YYYY-MM-DD"},
		"no last day":           {person + "absent: [{from: 2026-12-14, until: ''}]}", "people[0].absent[0]", "YYYY-MM-DD"},
		"the other way round":   {person + "absent: [{from: 2026-12-14, until: 2026-12-01}]}", "people[0].absent[0]", "both days count"},
		"a deputy for nothing":  {person + "deputy_for: [cisso]}", "people[0].deputy_for[0]", "did you mean"},
		"a deputy for oneself":  {person + "deputy_for: [ciso]}", "people[0].deputy_for[0]", "does not deputise"},
		"a deciding deputy dpo": {person + "deputy_for: [dpo]}", "people[0].deputy_for[0]", "Art. 38(6)"},
		"a dpo as a deputy":     {"people:\n  - {id: anna.secret, token: {env: A}, roles: [dpo], deputy_for: [ciso]}", "people[0].deputy_for", "Art. 38(6)"},
	} {
		_, err := Parse("x.yaml", []byte(unstaffed+c.text+"\n"))
		if err == nil || !strings.Contains(err.Error(), c.path) || !strings.Contains(err.Error(), c.hint) {
			t.Errorf("%s: %v, want %q and %q", name, err, c.path, c.hint)
		} else if strings.Contains(err.Error(), "anna") {
			t.Errorf("%s: the problem names somebody: %v", name, err)
		}
	}
}
