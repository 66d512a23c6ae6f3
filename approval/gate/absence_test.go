package gate

import (
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cordonsip/cordon/approval"
)

// staffed gives people of which some are away, and deputies.
func staffed(edit func(byID map[string]*approval.Person)) []approval.Person {
	list := slices.Clone(people)
	list = append(list, approval.Person{ID: "dep", Roles: []string{"crisis_manager"}, DeputyFor: []string{"ciso"}}, approval.Person{ID: "depdpo", DeputyFor: []string{"dpo"}})
	byID := map[string]*approval.Person{}
	for i := range list {
		byID[list[i].ID] = &list[i]
	}
	edit(byID)
	return list
}

func TestAbsenceAndDeputies(t *testing.T) {
	now := time.Now()
	away := []approval.Absence{{From: now.Add(-time.Hour), Until: now.Add(20 * time.Minute)}}
	for _, c := range []struct {
		name  string
		edit  func(byID map[string]*approval.Person)
		after time.Duration
		word  func(w *world, g *Gate, t approval.Ticket) error
		rule  string
	}{
		{"somebody present", func(map[string]*approval.Person) {}, 0, approve("ciso", "ciso"), ""},
		{"somebody absent", func(p map[string]*approval.Person) { p["ciso"].Absent = away }, 0, approve("ciso", "ciso"), approval.RuleAbsent},
		{"back again", func(p map[string]*approval.Person) { p["ciso"].Absent = away }, 20 * time.Minute, approve("ciso", "ciso"), ""},
		{"a deputy beside the holder", func(map[string]*approval.Person) {}, 0, approve("dep", "ciso"), approval.RuleDeputy},
		{"a deputy, one of two holders away", func(p map[string]*approval.Person) { p["ciso"].Absent = away }, 0, approve("dep", "ciso"), approval.RuleDeputy},
		{"a deputy, both away", func(p map[string]*approval.Person) { p["ciso"].Absent, p["two"].Absent = away, away }, 0, approve("dep", "ciso"), ""},
		{"a deputy, one of them back", func(p map[string]*approval.Person) { p["ciso"].Absent, p["two"].Absent = away, away }, 20 * time.Minute, approve("dep", "ciso"), approval.RuleDeputy},
		{"a deputy who is away", func(p map[string]*approval.Person) {
			p["ciso"].Absent, p["two"].Absent, p["dep"].Absent = away, away, away
		}, 0, approve("dep", "ciso"), approval.RuleAbsent},
		{"no deputy of that role", func(p map[string]*approval.Person) { p["bo"].Absent, p["bo2"].Absent = away, away }, 0, approve("dep", "business_owner"), approval.RuleRoleNotHeld},
		{"the adviser away", func(p map[string]*approval.Person) { p["dpo"].Absent = away }, 0, advise("dpo"), approval.RuleAbsent},
		{"the adviser's deputy", func(p map[string]*approval.Person) {
			p["dpo"].Absent, p["dpo2"].Absent, p["both"].Absent = away, away, away
		}, 0, advise("depdpo"), ""},
		{"the adviser's deputy beside him", func(map[string]*approval.Person) {}, 0, advise("depdpo"), approval.RuleDeputy},
		{"the adviser's deputy decides", func(p map[string]*approval.Person) { p["depdpo"].Roles = []string{"ciso"} }, 0, approve("depdpo", "ciso"), approval.RuleOpinionRole},
		{"an absent one breaks the glass", func(p map[string]*approval.Person) { p["ic"].Absent = away }, 0, func(w *world, g *Gate, t approval.Ticket) error { _, err := w.confirm(g, t, "ic"); return err }, approval.RuleAbsent},
		{"an absent one takes a grant away", func(p map[string]*approval.Person) { p["ic"].Absent = away }, 0, func(w *world, g *Gate, t approval.Ticket) error {
			w.decide(g, t, "bo", true)
			w.decide(g, t, "md", true)
			w.opine(g, t, "dpo", approval.NoObjection, false)
			_, err := g.Revoke(w.t.Context(), t.ID, "ic", "no")
			return err
		}, ""},
	} {
		synctest.Test(t, func(t *testing.T) {
			shift := time.Since(now) // the bubble has a time of its own
			w := newWorld(t)
			staff := staffed(c.edit)
			for i := range staff {
				for j := range staff[i].Absent {
					staff[i].Absent = slices.Clone(staff[i].Absent)
					staff[i].Absent[j].From, staff[i].Absent[j].Until = staff[i].Absent[j].From.Add(shift), staff[i].Absent[j].Until.Add(shift)
				}
			}
			cfg := w.config("n1")
			cfg.People = staff
			g, err := New(cfg)
			if err != nil {
				t.Fatal(err)
			}
			ticket := w.urgent(g)
			time.Sleep(c.after)
			err = c.word(w, g, ticket)
			if c.rule == "" && err != nil || c.rule != "" && (err == nil || !strings.Contains(err.Error(), c.rule)) {
				t.Errorf("%s: %v, want %q", c.name, err, c.rule)
			}
		})
	}
}

func approve(person, role string) func(*world, *Gate, approval.Ticket) error {
	return func(w *world, g *Gate, t approval.Ticket) error {
		_, err := g.Decide(w.t.Context(), t.ID, person, role, true, "because", t.PlanHash, "bearer")
		return err
	}
}

func advise(person string) func(*world, *Gate, approval.Ticket) error {
	return func(w *world, g *Gate, t approval.Ticket) error {
		_, err := g.Opine(w.t.Context(), t.ID, person, approval.NoObjection, "advice", false)
		return err
	}
}

// An absent person starts nothing.
func TestAnAbsentPersonStartsNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.rules.AutoActivate = false
		cfg := w.config("n1")
		cfg.People = staffed(func(p map[string]*approval.Person) {
			p["op"].Absent = []approval.Absence{{Until: time.Now().Add(time.Hour)}}
		})
		g, err := New(cfg)
		if err != nil {
			t.Fatal(err)
		}
		ticket := w.propose(g, plan())
		w.decide(g, ticket, "ic", true)
		w.decide(g, ticket, "bo", true)
		w.opine(g, ticket, "dpo", approval.NoObjection, false)
		_, err = g.Activate(t.Context(), ticket.ID, "op")
		wantRefusal(t, err, approval.RuleAbsent)
		if got, err := g.Activate(t.Context(), ticket.ID, "ciso"); err != nil || got.State != approval.Active {
			t.Errorf("%s, %v", got.State, err)
		}
	})
}

// Time tells the next role, and allows nothing.
func TestEscalation(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.rules.Escalate = []approval.EscalationStep{{After: 5 * time.Minute, Role: "crisis_manager"}, {After: 12 * time.Minute, Role: approval.RoleDelegate}}
		g := w.gate("n1")
		defer w.run(g)()
		ticket := w.propose(g, plan())
		other := plan()
		other.Scope.Country = "CA"
		decided := w.live(g, other)
		told := func() (roles []string) {
			for _, ev := range w.changes() {
				if ev.What == approval.Escalation && ev.Ticket == ticket.ID {
					roles = append(roles, ev.Role)
				}
				if ev.What == approval.Escalation && ev.Ticket == decided.ID {
					t.Error("a ticket that was decided is escalated")
				}
			}
			return roles
		}
		for _, step := range []struct {
			at   time.Duration
			want string
		}{
			{5*time.Minute - time.Second, ""},
			{5*time.Minute + time.Second, "crisis_manager"},
			{11 * time.Minute, "crisis_manager"},
			{12*time.Minute + time.Second, "crisis_manager " + approval.RoleDelegate},
			{29 * time.Minute, "crisis_manager " + approval.RoleDelegate},
		} {
			time.Sleep(time.Until(ticket.RequestedAt.Add(step.at)))
			synctest.Wait()
			if got := strings.Join(told(), " "); got != step.want || w.state(g, ticket.ID) != approval.Pending {
				t.Errorf("after %s: told %q, want %q; %s", step.at, got, step.want, w.state(g, ticket.ID))
			}
		}
		time.Sleep(2 * time.Minute)
		synctest.Wait()
		if got := w.state(g, ticket.ID); got != approval.TimedOut {
			t.Errorf("at its end it is %s", got)
		}
	})
	for name, steps := range map[string][]approval.EscalationStep{
		"nobody":           {{After: time.Minute}},
		"at once":          {{After: 0, Role: "ciso"}},
		"too late":         {{After: 30 * time.Minute, Role: "ciso"}},
		"in another order": {{After: 2 * time.Minute, Role: "ciso"}, {After: time.Minute, Role: "ciso"}},
	} {
		r := approval.DefaultRules()
		if r.Escalate = steps; r.Validate() == nil {
			t.Errorf("%s: taken", name)
		}
	}
}

// Where the policy has the officer approve, the word is one of the approvals, and everybody is warned.
func TestModeApprove(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.rules.Mode = approval.ModeApprove
		g := w.gate("n1")
		ticket := w.propose(g, plan())
		if !strings.Contains(strings.Join(ticket.Warnings, ";"), "C-453/21") || !strings.Contains(strings.Join(ticket.Missing, ";"), "dpo") {
			t.Errorf("warnings %q, missing %q", ticket.Warnings, ticket.Missing)
		}
		_, err := g.Decide(t.Context(), ticket.ID, "both", "crisis_manager", true, "in another role", ticket.PlanHash, "bearer")
		wantRefusal(t, err, approval.RuleOpinionRole)
		_, err = g.Decide(t.Context(), ticket.ID, "ciso", "dpo", true, "not mine", ticket.PlanHash, "bearer")
		wantRefusal(t, err, approval.RuleRoleNotHeld)
		got, err := g.Decide(t.Context(), ticket.ID, "dpo", "dpo", true, "lawful", ticket.PlanHash, "bearer")
		if err != nil || got.State != approval.Pending {
			t.Fatalf("%s, %v", got.State, err)
		}
		_, err = g.Decide(t.Context(), ticket.ID, "dpo2", "dpo", true, "lawful", ticket.PlanHash, "bearer")
		wantRefusal(t, err, approval.RuleRoleUsed)
		if got = w.decide(g, ticket, "ic", true); got.State != approval.Active {
			t.Errorf("with the incident commander: %s, missing %q", got.State, got.Missing)
		}
		_, err = w.confirm(g, w.urgent(g, func(p *approval.Plan) { p.Scope.Country = "CA" }), "both")
		wantRefusal(t, err, approval.RuleOpinionRole)
	})
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.rules.Mode = approval.ModeApprove
		g := w.gate("n1")
		ticket := w.propose(g, plan())
		got, err := g.Decide(t.Context(), ticket.ID, "dpo", "dpo", false, "not lawful", ticket.PlanHash, "bearer")
		if err != nil || got.State != approval.DeniedByPeople {
			t.Errorf("%s, %v", got.State, err)
		}
	})
	r := approval.DefaultRules()
	if r.Mode = "vote"; r.Validate() == nil {
		t.Error("an unknown mode is taken")
	}
}
