package configs

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/cordonsip/cordon/approval"
	"github.com/cordonsip/cordon/internal/strict"
)

var roles = []string{"incident_commander", "business_owner", "ciso", "crisis_manager", "management_body_delegate", "dpo", "operator", "auditor"}

var scopes = []string{"org.read", "logs.view", "api.healthcheck", "calls.trace"}

const longestClock = 24 * time.Hour

// longestUnit is of the name of a unit, in bytes.
const longestUnit = 100

func (b *builder) gate(c *Config) {
	g := b.doc.file.Gate
	c.Gate = approval.Rules{
		Quorum: g.Quorum, Roles: g.Roles, OpinionRole: "dpo", NeedOpinion: g.Opinion == nil || *g.Opinion,
		NeedBasis: g.Basis != nil && *g.Basis || g.Basis == nil && len(b.doc.file.LegalBases) > 0,
		ApproveIn: time.Duration(g.ApproveIn), ExecuteIn: time.Duration(g.ExecuteIn), GrantFor: time.Duration(g.GrantFor), GrantMax: 72 * time.Hour,
		AutoActivate: g.AutoActivate == nil || *g.AutoActivate, MaxCalls: g.MaxCalls,
		NoGlass: g.BreakGlass != nil && !*g.BreakGlass, GlassFor: time.Duration(g.BreakGlassFor), ReviewIn: time.Duration(g.ReviewIn),
	}
	before := len(b.probs)
	b.conduct(&g, &c.Gate)
	if g.Quorum == 1 || g.Quorum < 0 {
		b.fail("gate.quorum", "at least 2: nobody opens the gate alone", "%d is no quorum", g.Quorum)
	} else if n := len(approving(c.Gate)); c.quorum() > n {
		b.fail("gate.quorum", "lower it, or list more roles: each approval is in a role of its own", "a quorum of %d needs as many approving roles, there are %d", c.quorum(), n)
	}
	b.approvingRoles(g.Roles)
	b.signatures(c)
	for path, clock := range map[string]Duration{"gate.approve_in": g.ApproveIn, "gate.execute_in": g.ExecuteIn} {
		if time.Duration(clock) > longestClock {
			b.fail(path, "at most 24h: whoever cannot answer by then is asked anew", "%s is too long", time.Duration(clock))
		}
	}
	if c.Gate.GrantFor > c.Gate.GrantMax {
		b.fail("gate.grant_for", "at most 72h; a longer need is a change of the policy", "%s is too long", c.Gate.GrantFor)
	}
	if c.Gate.GlassFor > time.Hour {
		b.fail("gate.break_glass_for", "at most 60m: what lasts longer has time for the ordinary way", "%s is too long", c.Gate.GlassFor)
	}
	if g.MaxCalls < 0 || g.MaxCalls > approval.MaxQuota {
		b.fail("gate.max_calls", "a positive number, or leave it out for the default", "%d is out of range", g.MaxCalls)
	}
	if !c.Gate.NeedOpinion {
		b.warn("gate.opinion_required", "leave it on: GDPR Art. 38(1) wants the data protection officer involved in time", "a grant may start without the data protection officer's opinion")
	}
	// The gate has the last word: what it refuses must not pass here.
	if err := c.Gate.Validate(); err != nil && len(b.probs) == before {
		b.fail("gate", "see the bounds of its keys in docs/reference/configuration.md", "%s", strings.ReplaceAll(err.Error(), "\n", "; "))
	}
}

func (b *builder) approvingRoles(list []string) {
	seen := map[string]bool{}
	for i, r := range list {
		at := fmt.Sprintf("gate.roles[%d]", i)
		switch {
		case r == "dpo":
			b.fail(at, "the data protection officer advises and never approves, GDPR Art. 38(6)", "dpo is listed as an approving role")
		case !slices.Contains(roles, r):
			b.fail(at, b.roleHint(r), "%.80q is no role", r)
		case seen[r]:
			b.fail(at, "list each role once", "%q stands twice", r)
		}
		seen[r] = true
	}
}

func (b *builder) roleHint(word string) string {
	hint := "one of " + strict.Words(roles)
	if near := strict.Nearest(word, roles); near != "" {
		hint = fmt.Sprintf("did you mean %q? %s", near, hint)
	}
	return hint
}

// approving are the roles whose approvals count.
func approving(r approval.Rules) []string {
	if len(r.Roles) == 0 {
		return approval.DefaultRules().Roles
	}
	return r.Roles
}

func (c *Config) quorum() int {
	if c.Gate.Quorum == 0 {
		return approval.DefaultRules().Quorum
	}
	return c.Gate.Quorum
}

// people reads who may do what. Every problem here may end up in the log and on a terminal that is recorded, and what stands in this section is personal data (GDPR
// Art. 5(1)(c)): problems name file, line and path, and never a value.
func (b *builder) people(c *Config) {
	approvers, held := 0, map[string]bool{}
	ids, tokens, keys := map[string]bool{}, map[string]string{}, map[string]string{}
	for i, p := range b.doc.file.People {
		at := fmt.Sprintf("people[%d]", i)
		if approval.Reserved(p.ID) {
			b.fail(at+".id", `give everybody an identifier of their own; "rule:" is how the log names rules`, "is missing or reserved")
		} else if ids[p.ID] {
			b.fail(at+".id", "give everybody an identifier of their own", "is taken by somebody above")
		}
		ids[p.ID] = true
		may := b.personRoles(c, at, p.Roles)
		b.deputy(c, at, &p)
		for _, r := range may {
			held[r] = true
		}
		if len(may) > 0 {
			approvers++
		}
		for j, s := range p.Scopes {
			if !slices.Contains(scopes, s) {
				b.fail(fmt.Sprintf("%s.scopes[%d]", at, j), "one of "+strict.Words(scopes), "is no scope")
			}
		}
		expires, ok := parseDay(p.Expires, true)
		if len(p.Unit) > longestUnit {
			b.fail(at+".unit", fmt.Sprintf("at most %d characters", longestUnit), "is too long")
		}
		if !ok {
			b.fail(at+".expires", "write a day as YYYY-MM-DD", "is no day")
		}
		c.People = append(c.People, PersonPart{
			Person: approval.Person{ID: p.ID, Name: p.Name, Roles: p.Roles, DeputyFor: p.DeputyFor, Absent: b.absences(at, p.Absent), Keys: b.personKeys(at, p.Keys, keys), Until: expires}, Unit: p.Unit, Scopes: p.Scopes, Token: b.token(at, p.Token, tokens), Expires: expires,
			line: b.doc.Line(at + ".token"),
		})
	}
	if n := min(approvers, len(held)); n < c.quorum() {
		b.warn("people", "enrol at least that many people in different approving roles, and deputies", "%d people may approve and the gate needs %d: every held failover stays held", n, c.quorum())
	}
	b.enoughKeys(c)
}

// personRoles checks one person's roles and gives those whose approval counts.
func (b *builder) personRoles(c *Config, at string, list []string) (may []string) {
	decides := false
	for j, r := range list {
		if !slices.Contains(roles, r) {
			b.fail(fmt.Sprintf("%s.roles[%d]", at, j), b.roleHint(r), "is no role")
			continue
		}
		if slices.Contains(approving(c.Gate), r) {
			may = append(may, r)
		}
		decides = decides || r != "dpo" && r != "operator" && r != "auditor"
	}
	if slices.Contains(list, "dpo") && (decides || len(may) > 0) {
		b.fail(at+".roles", "take one away: the data protection officer advises and does not decide, GDPR Art. 38(6)", "dpo and an approving role in one person")
	}
	return may
}

const ownToken = "give everybody a token of their own: with a shared one, one person could approve as two"

// token checks a person's secret. Who shares a token can decide for the other, and the log would name the wrong person.
func (b *builder) token(at string, s Secret, taken map[string]string) func() (string, error) {
	s.File = b.path(s.File)
	if s.IsZero() {
		b.fail(at+".token", "add {env: NAME} or {file: PATH}", "is missing")
	} else if first, shared := taken[s.place()]; shared {
		b.fail(at+".token", ownToken, "is the same secret as that of %s", first)
	} else {
		taken[s.place()] = at
	}
	where := fmt.Sprintf("configs: %s:%d: %s.token", b.doc.Name, b.doc.Line(at+".token"), at)
	return func() (string, error) {
		v, err := s.Value()
		switch {
		case errors.Is(err, os.ErrNotExist):
			return "", fmt.Errorf("%s: the file is not there", where) // names of files and variables often are names of people
		case err != nil:
			return "", fmt.Errorf("%s: it is empty or cannot be read", where)
		}
		return v, nil
	}
}

// place is where the secret is read from: two references with the same place are one secret.
func (s Secret) place() string {
	if s.Env != "" {
		return "env:" + s.Env
	}
	file := s.File
	if abs, err := filepath.Abs(file); err == nil {
		file = abs
	}
	if real, err := filepath.EvalSymlinks(file); err == nil {
		file = real
	}
	return "file:" + file
}
