package gate

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cordonsip/cordon/approval"
)

func TestStaffing(t *testing.T) {
	now := time.Now()
	away := []approval.Absence{{From: now.Add(-time.Hour), Until: now.Add(1000 * 24 * time.Hour)}}
	person := func(id string, roles ...string) approval.Person { return approval.Person{ID: id, Roles: roles} }
	gone := func(p approval.Person) approval.Person { p.Absent = away; return p }
	ended := func(p approval.Person) approval.Person { p.Until = now.Add(-time.Hour); return p }
	for _, c := range []struct {
		name    string
		rules   func(*approval.Rules)
		people  []approval.Person
		present int
		advised bool
		missing string // pieces, in order
	}{
		{"two and an adviser", nil, []approval.Person{person("a", "ciso"), person("b", "business_owner"), person("d", "dpo")}, 2, true, ""},
		{"two in one role", nil, []approval.Person{person("a", "ciso"), person("b", "ciso"), person("d", "dpo")}, 1, true, "1 people could approve together"},
		{"one in two roles", nil, []approval.Person{person("a", "ciso", "business_owner"), person("d", "dpo")}, 1, true, "1 people could approve together"},
		{"roles that must be shared out", nil, []approval.Person{person("a", "ciso", "business_owner"), person("b", "ciso"), person("d", "dpo")}, 2, true, ""},
		{"one is away", nil, []approval.Person{person("a", "ciso"), gone(person("b", "business_owner")), person("d", "dpo")}, 1, true, "1 people could"},
		{"and the deputy is there", nil, []approval.Person{person("a", "ciso"), gone(person("b", "business_owner")), {ID: "c", DeputyFor: []string{"business_owner"}}, person("d", "dpo")}, 2, true, ""},
		{"a deputy of somebody present", nil, []approval.Person{person("a", "ciso"), {ID: "c", DeputyFor: []string{"ciso"}}, person("d", "dpo")}, 1, true, "1 people could"},
		{"one may not sign in any more", nil, []approval.Person{person("a", "ciso"), ended(person("b", "business_owner")), person("d", "dpo")}, 1, true, "1 people could"},
		{"the adviser is away", nil, []approval.Person{person("a", "ciso"), person("b", "business_owner"), gone(person("d", "dpo"))}, 2, false, "opinion of dpo"},
		{"the adviser is not needed", func(r *approval.Rules) { r.NeedOpinion = false }, []approval.Person{person("a", "ciso"), person("b", "business_owner")}, 2, false, ""},
		{"an adviser does not approve", nil, []approval.Person{person("a", "ciso"), person("d", "dpo", "business_owner")}, 1, true, "1 people could"},
		{"but where the policy says so", func(r *approval.Rules) { r.Mode = approval.ModeApprove }, []approval.Person{person("a", "ciso"), person("d", "dpo")}, 2, true, ""},
		{"nobody has a key", func(r *approval.Rules) { r.Signed = true }, []approval.Person{person("a", "ciso"), person("b", "business_owner"), person("d", "dpo")}, 0, false, "0 people could|opinion of dpo"},
		{"nobody", nil, nil, 0, false, "0 people could|opinion of dpo"},
	} {
		w := newWorld(t)
		cfg := w.config("n1")
		if cfg.People = c.people; c.rules != nil {
			c.rules(&cfg.Rules)
		}
		g, err := New(cfg)
		if err != nil {
			t.Fatal(err)
		}
		got := g.Staffing()
		text := strings.Join(got.Missing, "|")
		if got.Needed != 2 || got.Present != c.present || got.Advised != c.advised || (c.missing == "") != (text == "") {
			t.Errorf("%s: %+v", c.name, got)
		}
		for _, piece := range strings.Split(c.missing, "|") {
			if !strings.Contains(text, piece) {
				t.Errorf("%s: missing %q, want %q", c.name, text, piece)
			}
		}
	}
}

func TestBearable(t *testing.T) {
	w := newWorld(t)
	w.rules.NeedBasis = true
	g := w.gate("n1")
	for basis, want := range map[string]string{"": "no legal basis", "Art46(2)(c)_SCC:scc-9": "not in the catalogue", "Art46(2)(c)_SCC:bare": "no transfer impact", "Art46(2)(c)_SCC:scc-1": ""} {
		if got := strings.Join(g.Bearable(basis), "; "); (got == "") != (want == "") || !strings.Contains(got, want) {
			t.Errorf("%q: %q, want %q", basis, got, want)
		}
	}
	w.rules.NeedBasis = false
	if got := w.gate("n1").Bearable(""); got != nil {
		t.Errorf("where none is needed: %q", got)
	}
}

// A grant ends when what it stands in for has been back for as long as its rules say, and no sooner.
func TestRevokedOnRecovery(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		without := w.live(w.gate("n1"), plan())
		w.rules.RecoveredFor = 10 * time.Minute
		g := w.gate("n1")
		p := plan()
		p.Scope.Country = "CA"
		up := time.Now() // longer than the grant
		time.Sleep(time.Hour)
		ticket := w.live(g, p)
		back := true
		since := func(s approval.Scope) (time.Time, bool) { return up, back }
		step := func(after time.Duration, want approval.State) {
			t.Helper()
			time.Sleep(after)
			if err := g.RevokeRecovered(t.Context(), since); err != nil {
				t.Fatal(err)
			}
			if got := w.state(g, ticket.ID); got != want {
				t.Errorf("the grant is %s, want %s", got, want)
			}
		}
		step(10*time.Minute-time.Second, approval.Active) // since the grant, not since the primary
		back = false
		step(time.Minute, approval.Active)
		back, up = true, time.Now()
		step(10*time.Minute-time.Second, approval.Active)
		step(time.Second, approval.Revoked)
		last := w.changes()[len(w.changes())-1]
		if last.By != approval.ByRecovery || last.Word != "auto_revoked" || !strings.Contains(last.Why, "back since") {
			t.Errorf("the log says %+v", last)
		}
		if got := w.state(g, without.ID); got != approval.Active {
			t.Errorf("a grant whose rules say nothing of it is %s", got)
		}
	})
}
