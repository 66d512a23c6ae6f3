package approval

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

// The roles that mean something to the gate by themselves.
const (
	// RoleDelegate must be among the approvals when the data protection officer objects, if it counts at all.
	RoleDelegate = "management_body_delegate"
	// RoleOperator may activate and revoke, and never approves unless Rules.Roles says so.
	RoleOperator = "operator"
)

// Words of Rules.Mode.
const (
	ModeOpinion = "opinion"
	ModeApprove = "approve"
)

const (
	grantCap = 72 * time.Hour
	clockCap = 24 * time.Hour

	reviewIn  = 7 * 24 * time.Hour
	reviewCap = 30 * 24 * time.Hour
)

// MaxQuota is the largest number of calls that rules may name: every number up to it is told from its neighbours in JSON (RFC 7493 section 2.2).
const MaxQuota = 1<<53 - 1

// DefaultRules are the rules of a gate that nobody configured.
func DefaultRules() Rules {
	return Rules{
		Quorum:      2,
		Roles:       []string{"incident_commander", "business_owner", "ciso", "crisis_manager", RoleDelegate},
		OpinionRole: "dpo", NeedOpinion: true,
		ApproveIn: 30 * time.Minute, ExecuteIn: 15 * time.Minute, GrantFor: 4 * time.Hour, GrantMax: grantCap,
		GlassFor: glassCap, ReviewIn: reviewIn, AutoActivate: true, MaxCalls: 1000, QuotaBlock: 10,
	}
}

// or gives v, or d when v is zero.
func or[T comparable](v, d T) T {
	var zero T
	if v == zero {
		return d
	}
	return v
}

// Effective are the rules with the default of everything that is not set.
func (r Rules) Effective() Rules {
	d := DefaultRules()
	blank := r.Quorum == 0 && len(r.Roles) == 0 && r.OpinionRole == "" && !r.NeedOpinion && !r.NeedBasis && !r.AutoActivate && r.ApproveIn == 0 && r.ExecuteIn == 0 &&
		r.GrantFor == 0 && r.GrantMax == 0 && r.Mode == "" && len(r.Escalate) == 0 && r.RecoveredFor == 0 && !r.NoGlass && r.GlassFor == 0 && r.ReviewIn == 0 && r.MaxCalls == 0 && r.QuotaBlock == 0 && !r.Signed
	if blank {
		return d
	}
	r.Quorum = or(r.Quorum, d.Quorum)
	if len(r.Roles) == 0 {
		r.Roles = d.Roles
	}
	r.Roles = slices.Clone(r.Roles)
	r.OpinionRole = or(r.OpinionRole, d.OpinionRole)
	r.ApproveIn, r.ExecuteIn = or(r.ApproveIn, d.ApproveIn), or(r.ExecuteIn, d.ExecuteIn)
	r.GrantMax = or(r.GrantMax, d.GrantMax)
	r.GrantFor = or(r.GrantFor, min(d.GrantFor, r.GrantMax))
	r.GlassFor, r.ReviewIn = or(r.GlassFor, d.GlassFor), or(r.ReviewIn, d.ReviewIn)
	r.MaxCalls, r.QuotaBlock = or(r.MaxCalls, d.MaxCalls), or(r.QuotaBlock, d.QuotaBlock)
	return r
}

// Validate says what is wrong with r after its defaults; nil when nothing is.
func (r Rules) Validate() error {
	r = r.Effective()
	var errs []error
	bad := func(wrong bool, format string, args ...any) {
		if wrong {
			errs = append(errs, fmt.Errorf("approval: rules: "+format, args...))
		}
	}
	// RTS (EU) 2024/1774 Art. 17(1)(b), 21(b): nobody alone.
	bad(r.Quorum < 2, "a quorum of %d is none: at least 2 people", r.Quorum)
	bad(r.Quorum > len(r.deciding()), "a quorum of %d needs as many roles, there are %d", r.Quorum, len(r.deciding()))
	bad(!slices.Contains([]string{"", ModeOpinion, ModeApprove}, r.Mode), "the mode %q is neither %s nor %s", r.Mode, ModeOpinion, ModeApprove)
	for i, e := range r.Escalate {
		bad(e.Role == "", "a step of the escalation names no role")
		bad(e.After <= 0 || e.After >= r.ApproveIn, "a step of the escalation after %s is not within the approval clock of %s", e.After, r.ApproveIn)
		bad(i > 0 && e.After <= r.Escalate[i-1].After, "the steps of the escalation do not follow one another")
	}
	bad(slices.Contains(r.Roles, ""), "a role has no name")
	sorted := slices.Sorted(slices.Values(r.Roles))
	bad(len(slices.Compact(sorted)) != len(r.Roles), "a role counts twice")
	// GDPR Art. 38(6): who advises does not decide.
	bad(slices.Contains(r.Roles, r.OpinionRole), "%s gives the opinion and cannot approve too", r.OpinionRole)
	bad(r.ApproveIn < 0 || r.ApproveIn > clockCap, "the approval clock of %s is not between 0 and %s", r.ApproveIn, clockCap)
	bad(r.ExecuteIn < 0 || r.ExecuteIn > clockCap, "the execution clock of %s is not between 0 and %s", r.ExecuteIn, clockCap)
	bad(r.GrantMax < 0 || r.GrantMax > grantCap, "the longest grant of %s is not between 0 and %s", r.GrantMax, grantCap)
	bad(r.GrantFor < 0 || r.GrantFor > r.GrantMax, "a grant of %s is not between 0 and %s", r.GrantFor, r.GrantMax)
	bad(r.RecoveredFor < 0 || r.RecoveredFor > grantCap, "an end %s after recovery is not between 0 and %s", r.RecoveredFor, grantCap)
	bad(r.GlassFor < 0 || r.GlassFor > glassCap, "a break-glass of %s is not between 0 and %s", r.GlassFor, glassCap)
	bad(r.ReviewIn < 0 || r.ReviewIn > reviewCap, "a review within %s is not between 0 and %s", r.ReviewIn, reviewCap)
	// RFC 8785: a larger number has no canonical form, so no plan could carry it.
	bad(r.MaxCalls < 0 || r.MaxCalls > MaxQuota, "a quota of %d calls is not between 0 and %d", r.MaxCalls, MaxQuota)
	bad(r.QuotaBlock < 0, "a quota block of %d calls", r.QuotaBlock)
	return errors.Join(errs...)
}

// deciding are the roles whose approvals count.
func (r Rules) deciding() []string {
	if r.Mode == ModeApprove {
		return append(filled(r.Roles), r.OpinionRole)
	}
	return filled(r.Roles)
}

// Reserved says that id cannot be a person's: it is empty, or it would read like a rule in the log.
func Reserved(id string) bool { return id == "" || strings.HasPrefix(id, ByRule) }
