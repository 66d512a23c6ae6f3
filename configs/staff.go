package configs

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/cordonsip/cordon/approval"
)

// conduct reads how the gate behaves while people are slow, away, or the officer decides.
func (b *builder) conduct(g *Gate, r *approval.Rules) {
	switch g.DPOMode {
	case "", approval.ModeOpinion:
	case approval.ModeApprove:
		r.Mode = approval.ModeApprove
		b.warn("gate.dpo_mode", "leave it at opinion: two approvals and the officer's opinion say the same", "the data protection officer approves: GDPR Art. 38(6) wants no conflict of interests in that office, and the Court of Justice found one where the officer determines objectives and methods of processing (C-453/21)")
	default:
		b.fail("gate.dpo_mode", "opinion or approve", "%.80q is no mode", g.DPOMode)
	}
	b.autoRevoke(g.AutoRevoke, r)
	limit := time.Duration(g.ApproveIn)
	if limit == 0 {
		limit = approval.DefaultRules().ApproveIn
	}
	var before time.Duration
	for i, e := range g.Escalate {
		at, after := fmt.Sprintf("gate.escalate[%d]", i), time.Duration(e.After)
		if after <= before || after >= limit {
			b.fail(at+".after", fmt.Sprintf("later than the step before it, and within approve_in (%s)", limit), "%s is no time to tell the next one", after)
		}
		if !slices.Contains(roles, e.Role) {
			b.fail(at+".role", b.roleHint(e.Role), "%.80q is no role", e.Role)
		}
		before = after
		r.Escalate = append(r.Escalate, approval.EscalationStep{After: after, Role: e.Role})
	}
}

const recovered = "primary_recovered_for_"

// autoRevoke reads what ends a grant before its time.
func (b *builder) autoRevoke(list []string, r *approval.Rules) {
	for i, word := range list {
		at := fmt.Sprintf("gate.auto_revoke[%d]", i)
		text, ok := strings.CutPrefix(word, recovered)
		length, err := time.ParseDuration(text)
		switch {
		case !ok || err != nil || length <= 0 || length > 72*time.Hour:
			b.fail(at, recovered+"10m, or another length up to 72h; the end of time, quota or basis, a suspended instrument and a changed policy end a grant without it", "%.80q is no such thing", word)
		case r.RecoveredFor > 0:
			b.fail(at, "keep the shorter one", "it stands twice")
		default:
			r.RecoveredFor = length
		}
	}
}

// absences reads when a person is away. Like all problems of people these name places and no values.
func (b *builder) absences(at string, list []Absence) []approval.Absence {
	var out []approval.Absence
	for i, a := range list {
		from, first := parseDay(a.From, false)
		until, last := parseDay(a.Until, true)
		if !first || !last || from.IsZero() || until.IsZero() || !from.Before(until) {
			b.fail(fmt.Sprintf("%s.absent[%d]", at, i), "give from and until as YYYY-MM-DD; both days count", "is no time away")
		}
		out = append(out, approval.Absence{From: from, Until: until})
	}
	return out
}

// deputy checks the roles in which a person stands in.
func (b *builder) deputy(c *Config, at string, p *Person) {
	decides := slices.ContainsFunc(append(slices.Clone(p.Roles), p.DeputyFor...), func(r string) bool { return slices.Contains(approving(c.Gate), r) })
	for i, r := range p.DeputyFor {
		path := fmt.Sprintf("%s.deputy_for[%d]", at, i)
		switch {
		case !slices.Contains(roles, r):
			b.fail(path, b.roleHint(r), "is no role")
		case slices.Contains(p.Roles, r):
			b.fail(path, "take one away: who holds a role does not deputise for it", "is held by the person, too")
		case r == "dpo" && decides:
			b.fail(path, "take one away: the data protection officer advises and does not decide, GDPR Art. 38(6)", "dpo and an approving role in one person")
		}
	}
	if slices.Contains(p.Roles, "dpo") && slices.ContainsFunc(p.DeputyFor, func(r string) bool { return slices.Contains(approving(c.Gate), r) }) {
		b.fail(at+".deputy_for", "take one away: the data protection officer advises and does not decide, GDPR Art. 38(6)", "dpo and an approving role in one person")
	}
}
