package gate

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cordonsip/cordon/approval"
	"github.com/cordonsip/cordon/approval/keyring"
	"github.com/cordonsip/cordon/approval/sign"
	"github.com/cordonsip/cordon/audit"
)

// check lets an auditor read the log of w.
func (w *signing) check(change func(*audit.Entry)) *keyring.Checker {
	w.t.Helper()
	entries, err := w.log.Log.Entries(w.t.Context(), 0, 10000)
	if err != nil {
		w.t.Fatal(err)
	}
	c := keyring.NewChecker()
	for i, e := range entries {
		e.Seq = uint64(i)
		if change != nil {
			change(&e)
		}
		c.Take(e)
	}
	return c
}

// Two people and the officer sign; nobody of them signs in. The log alone proves it afterwards.
func TestSignedLife(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newSigning(t, "ic", "bo", "dpo")
		w.rules.Signed = true
		g := w.gate()
		defer w.run(g)()
		ticket := w.propose(g, plan())
		_, err := g.Decide(t.Context(), ticket.ID, "ic", "incident_commander", true, "by session", ticket.PlanHash, "bearer")
		wantRefusal(t, err, approval.RuleUnsigned)
		_, err = g.Opine(t.Context(), ticket.ID, "dpo", approval.NoObjection, "by session", false)
		wantRefusal(t, err, approval.RuleUnsigned)
		if _, err = g.Opine(t.Context(), ticket.ID, "op", approval.NotReached, "nobody answers", false); err != nil {
			t.Fatalf("not_reached is no opinion and needs no signature: %v", err)
		}
		got, err := w.submit(g, "ic", w.statement(ticket, "incident_commander", sign.Approve))
		if err != nil || len(got.Decisions) != 1 {
			t.Fatalf("%+v, %v", got, err)
		}
		if d := got.Decisions[0]; d.Person != "p-ic-x" || d.Auth != approval.AuthSignature || d.HandedIn != "p-op-x" || d.Signature == nil || d.Signature.Statement.PlanHash != ticket.PlanHash {
			t.Errorf("%+v", d)
		}
		own, err := g.Submit(t.Context(), w.file("bo", w.statement(ticket, "business_owner", sign.Approve)), "bo")
		if err != nil || own.Ticket.Decisions[1].Auth != approval.AuthBoth || own.Ticket.Decisions[1].HandedIn != "" {
			t.Fatalf("%+v, %v", own, err)
		}
		if got, err = w.submit(g, "dpo", w.statement(ticket, "dpo", sign.NoObjection)); err != nil || got.State != approval.Active {
			t.Fatalf("%s, %v: %v", got.State, got.Missing, err)
		}
		c := w.check(nil)
		if tally := c.Tally(); len(c.Bad) > 0 || tally != (keyring.Tally{Signed: 3, BySession: 1, Keys: 3, Bootstrap: 3}) {
			t.Errorf("%+v, %v", tally, c.Bad)
		}
	})
}

// A break-glass is signed like any decision, and the opinion that is owed afterwards, too.
func TestSignedBreakGlass(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newSigning(t, "ic", "bo", "dpo")
		w.rules.Signed = true
		g := w.gate()
		defer w.run(g)()
		ticket := w.urgent(g)
		_, err := w.confirm(g, ticket, "ic")
		wantRefusal(t, err, approval.RuleUnsigned)
		first := w.statement(ticket, "incident_commander", sign.BreakGlass)
		if got, err := w.submit(g, "ic", first); err != nil || got.State != approval.Pending || len(got.Glass) != 1 || got.Glass[0].HandedIn != "p-op-x" {
			t.Fatalf("%+v, %v", got, err)
		}
		_, err = w.submit(g, "ic", first)
		wantRefusal(t, err, approval.RuleReplayed)
		got, err := w.submit(g, "bo", w.statement(ticket, "business_owner", sign.BreakGlass))
		if err != nil || got.State != approval.BreakGlassActive || !g.Spend(ticket.ID) {
			t.Fatalf("%s, %v", got.State, err)
		}
		if got, err = w.submit(g, "dpo", w.statement(ticket, "dpo", sign.NoObjection)); err != nil || len(got.Opinions) != 1 {
			t.Fatalf("%s, %v", got.State, err)
		}
		if c := w.check(nil); len(c.Bad) > 0 || c.Tally().Signed != 3 {
			t.Errorf("%+v, %v", c.Tally(), c.Bad)
		}
		forged := w.check(func(e *audit.Entry) {
			e.Body = bytes.ReplaceAll(e.Body, []byte(`"word":"break_glass"`), []byte(`"word":"approve"`))
		})
		if len(forged.Bad) == 0 {
			t.Error("an approval passes for the confirmation of a break-glass")
		}
	})
}

// Every signed word that must not count is refused by the rule that it breaks, and changes nothing.
func TestSignedWordsThatDoNotCount(t *testing.T) {
	type made struct {
		w *signing
		g *Gate
		t approval.Ticket
	}
	for _, c := range []struct {
		name, rule string
		file       func(m made) []byte
	}{
		{"tampered reason", approval.RuleSignature, func(m made) []byte {
			raw := m.w.file("ic", m.w.statement(m.t, "incident_commander", sign.Approve))
			return bytes.Replace(raw, []byte("because incident"), []byte("in spite of incident"), 1)
		}},
		{"another word", approval.RuleSignature, func(m made) []byte {
			raw := m.w.file("ic", m.w.statement(m.t, "incident_commander", sign.Deny))
			return bytes.Replace(raw, []byte(`"deny"`), []byte(`"approve"`), 1)
		}},
		{"replayed", approval.RuleReplayed, func(m made) []byte {
			s := m.w.statement(m.t, "business_owner", sign.Approve)
			if _, err := m.w.submit(m.g, "bo", s); err != nil {
				m.w.t.Fatal(err)
			}
			return m.w.file("bo", s)
		}},
		{"an opinion that was taken back, replayed", approval.RuleReplayed, func(m made) []byte {
			first, then := m.w.statement(m.t, "dpo", sign.NoObjection), m.w.statement(m.t, "dpo", sign.Objection)
			for _, s := range []sign.Statement{first, then} {
				if _, err := m.w.submit(m.g, "dpo", s); err != nil {
					m.w.t.Fatal(err)
				}
			}
			return m.w.file("dpo", first)
		}},
		{"an opinion that was signed before the last one", approval.RuleSignedAt, func(m made) []byte {
			early := m.w.statement(m.t, "dpo", sign.NoObjection)
			time.Sleep(10 * time.Second)
			if _, err := m.w.submit(m.g, "dpo", m.w.statement(m.t, "dpo", sign.Objection)); err != nil {
				m.w.t.Fatal(err)
			}
			return m.w.file("dpo", early)
		}},
		{"the ticket is closed", approval.RuleClosed, func(m made) []byte {
			m.w.decide(m.g, m.t, "md", false)
			return m.w.file("ic", m.w.statement(m.t, "incident_commander", sign.Approve))
		}},
		{"over another hash", approval.RulePlanChanged, func(m made) []byte {
			s := m.w.statement(m.t, "incident_commander", sign.Approve)
			s.PlanHash = strings.Repeat("ab", 32)
			return m.w.file("ic", s)
		}},
		{"an opinion over another hash", approval.RulePlanChanged, func(m made) []byte {
			s := m.w.statement(m.t, "dpo", sign.NoObjection)
			s.PlanHash = strings.Repeat("ab", 32)
			return m.w.file("dpo", s)
		}},
		{"over another policy", approval.RulePlanChanged, func(m made) []byte {
			s := m.w.statement(m.t, "incident_commander", sign.Approve)
			s.PolicyDigest = "p2"
			return m.w.file("ic", s)
		}},
		{"over another law table", approval.RulePlanChanged, func(m made) []byte {
			s := m.w.statement(m.t, "dpo", sign.NoObjection)
			s.FactsDigest = "f2"
			return m.w.file("dpo", s)
		}},
		{"signed in the future", approval.RuleSignedAt, func(m made) []byte {
			s := m.w.statement(m.t, "incident_commander", sign.Approve)
			s.At = s.At.Add(3 * time.Minute)
			return m.w.file("ic", s)
		}},
		{"a clock that was set back", approval.RuleSignedAt, func(m made) []byte {
			s := m.w.statement(m.t, "incident_commander", sign.Approve)
			s.At = s.At.Add(-3 * time.Minute)
			return m.w.file("ic", s)
		}},
		{"a role that is not held", approval.RuleRoleNotHeld, func(m made) []byte {
			return m.w.file("ic", m.w.statement(m.t, "ciso", sign.Approve))
		}},
		{"an opinion in a role that advises nobody", approval.RuleRoleNotHeld, func(m made) []byte {
			return m.w.file("dpo", m.w.statement(m.t, "ciso", sign.NoObjection))
		}},
		{"an opinion of somebody else", approval.RuleRoleNotHeld, func(m made) []byte {
			return m.w.file("ic", m.w.statement(m.t, "dpo", sign.NoObjection))
		}},
		{"the officer decides", approval.RuleOpinionRole, func(m made) []byte {
			return m.w.file("dpo", m.w.statement(m.t, "dpo", sign.Approve))
		}},
		{"decided twice", approval.RulePersonDecided, func(m made) []byte {
			m.w.decide(m.g, m.t, "ic", true)
			return m.w.file("ic", m.w.statement(m.t, "incident_commander", sign.Approve))
		}},
		{"a key that nobody enrolled", approval.RuleKeyUnknown, func(m made) []byte {
			return m.w.file("ciso", m.w.statement(m.t, "ciso", sign.Approve))
		}},
		{"a key that has ended", approval.RuleKeyExpired, func(m made) []byte {
			late := keyed("ic", "bo", "dpo")
			late[0].Keys[0].Expires = time.Now()
			if err := m.g.Reload(m.w.rules, late, nil); err != nil {
				m.w.t.Fatal(err)
			}
			return m.w.file("ic", m.w.statement(m.t, "incident_commander", sign.Approve))
		}},
		{"an unknown ticket", approval.RuleUnknownTicket, func(m made) []byte {
			s := m.w.statement(m.t, "incident_commander", sign.Approve)
			s.Ticket = "01M7ZSEJ4ACV91CT8BG84W5FYY"
			return m.w.file("ic", s)
		}},
		{"a file that was cut", approval.RuleSignedFile, func(m made) []byte {
			raw := m.w.file("ic", m.w.statement(m.t, "incident_commander", sign.Approve))
			return raw[:len(raw)/2]
		}},
		{"a file that is too large", approval.RuleSignedFile, func(m made) []byte {
			return append(m.w.file("ic", m.w.statement(m.t, "incident_commander", sign.Approve)), bytes.Repeat([]byte("\n"), sign.MaxFile)...)
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newSigning(t, "ic", "bo", "dpo")
				g := w.gate()
				defer w.run(g)()
				ticket := w.propose(g, plan())
				raw := c.file(made{w, g, ticket})
				before, size := w.stored(ticket.ID), w.log.Log.Size()
				_, err := g.Submit(t.Context(), raw, "op")
				if err == nil {
					t.Fatal("it counts")
				}
				t.Log(err)
				wantRefusal(t, err, c.rule)
				if !w.stored(ticket.ID).Equal(before) || w.log.Log.Size() != size {
					t.Error("it changed something")
				}
			})
		})
	}
}

// One key under two names: what neither the configuration nor the list of keys lets happen is refused at the ticket, too.
func TestOneKeyDoesNotCountAsTwoPeople(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newSigning(t, "ic", "bo", "dpo")
		g := w.gate()
		defer w.run(g)()
		ticket := w.propose(g, plan())
		if _, err := w.submit(g, "ic", w.statement(ticket, "incident_commander", sign.Approve)); err != nil {
			t.Fatal(err)
		}
		g.keys.Lock()
		k := g.keys.ring[keyID("ic", 0)]
		k.Person = "p-bo-x"
		g.keys.ring[k.ID] = k
		g.keys.Unlock()
		same := keyed("bo", "dpo")
		same[1].Keys = []approval.PersonKey{{Public: publicText("ic", 0), Expires: time.Now().AddDate(1, 0, 0)}}
		if err := g.Reload(w.rules, same, nil); err != nil {
			t.Fatal(err)
		}
		_, err := w.submit(g, "ic", w.statement(ticket, "business_owner", sign.Approve))
		wantRefusal(t, err, approval.RuleKeyShared)
		if !strings.Contains(err.Error(), "the same key stands under two names") {
			t.Error(err)
		}
	})
}

// A courier must be known, and a word that the log cannot take does not count.
func TestHandingIn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newSigning(t, "ic", "bo", "dpo")
		g := w.gate()
		defer w.run(g)()
		ticket := w.propose(g, plan())
		raw := w.file("ic", w.statement(ticket, "incident_commander", sign.Approve))
		_, err := g.Submit(t.Context(), raw, "stranger")
		wantRefusal(t, err, approval.RuleUnknownPerson)
		w.log.down.Store(true)
		if _, err := g.Submit(t.Context(), raw, "op"); !errors.Is(err, audit.ErrLogDown) {
			t.Fatal(err)
		}
		if _, err := w.enrol(g, w.enrolment("bo", 1, "ic", "bo")); err == nil {
			t.Fatal("an enrolment counts without the log")
		}
		w.log.down.Store(false)
		if out, err := g.Submit(t.Context(), raw, "op"); err != nil || len(out.Ticket.Decisions) != 1 {
			t.Fatalf("%+v, %v", out, err)
		}
	})
}

// An auditor names every entry in which keys or signatures do not hold.
func TestTheCheckerFindsWhatDoesNotHold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newSigning(t, "ic", "bo", "ciso", "dpo")
		g := w.gate()
		stop := w.run(g)
		ticket := w.propose(g, plan())
		if _, err := w.enrol(g, w.enrolment("md", 0, "ic", "ciso")); err != nil {
			t.Fatal(err)
		}
		for _, x := range []struct {
			person, role string
			word         sign.Word
		}{{"ic", "incident_commander", sign.Approve}, {"md", approval.RoleDelegate, sign.Approve}, {"dpo", "dpo", sign.NoObjection}} {
			if _, err := w.submit(g, x.person, w.statement(ticket, x.role, x.word)); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := g.RevokeKey(t.Context(), keyID("bo", 0), "bo", "lost"); err != nil {
			t.Fatal(err)
		}
		stop()
		if c := w.check(nil); len(c.Bad) > 0 || c.Tally() != (keyring.Tally{Signed: 3, Keys: 5, Bootstrap: 4, Revoked: 1}) {
			t.Fatalf("%+v, %v", c.Tally(), c.Bad)
		}
		replace := func(from, to string) func(*audit.Entry) {
			return func(e *audit.Entry) { e.Body = bytes.ReplaceAll(e.Body, []byte(from), []byte(to)) }
		}
		drop := func(kind audit.Kind) func(*audit.Entry) {
			return func(e *audit.Entry) {
				if e.Kind == kind {
					e.Kind = audit.KindNodeStopped
				}
			}
		}
		ic, md := keyID("ic", 0), keyID("md", 0)
		for _, c := range []struct {
			name   string
			change func(*audit.Entry)
			want   string
		}{
			{"a reason", replace("because incident_commander", "because I say so"), "the signature does not fit"},
			{"a reason beside the statement", func(e *audit.Entry) {
				e.Body = bytes.Replace(e.Body, []byte(`"reason":"because incident_commander"`), []byte(`"reason":"because"`), -1)
			}, "the signature does not fit"},
			{"the plan", replace(`"max_calls_total":1000`, `"max_calls_total":9000`), "does not have the hash that was signed"},
			{"the hash", replace(ticket.PlanHash, strings.Repeat("ab", 32)), "does not have the hash that was signed"},
			{"who", replace(`"person":"p-ic-x","role"`, `"person":"p-ciso-x","role"`), "the key of p-ic-x"},
			{"the role", replace(`"roles":["incident_commander"]`, `"roles":["auditor"]`), "which was not held"},
			{"no enrolment", drop(audit.KindKeyEnrolled), "not enrolled before"},
			{"another key", replace(publicText("ic", 0), publicText("bo2", 0)), "the id of another key"},
			{"who vouched", replace(`"person":"p-ciso-x","key_id"`, `"person":"p-bo-x","key_id"`), "is not enrolled"},
			{"nobody vouched", func(e *audit.Entry) {
				if bytes.Contains(e.Body, []byte(`"how":"vouched"`)) {
					e.Body = []byte(`{"how":"bootstrap","keys":[{"key_id":"` + md + `","public":"` + publicText("md", 0) + `","person":"p-md-x","expires":"2030-01-01T00:00:00Z"}],"by":"rule:configuration"}`)
				}
			}, "the first keys were taken already"},
			{"a key that vouched had ended", func(e *audit.Entry) {
				if bytes.Contains(e.Body, []byte(`"how":"vouched"`)) {
					e.Time = e.Time.AddDate(1, 0, 1)
				}
			}, "ended at 2001"},
			{"ended", func(e *audit.Entry) { e.Time = e.Time.AddDate(2, 0, 0) }, "had ended at"},
			{"revoked before", func(e *audit.Entry) {
				if bytes.Contains(e.Body, []byte(`"how":"vouched"`)) {
					e.Kind, e.Body = audit.KindKeyRevoked, []byte(`{"key_id":"`+ic+`","person":"p-ic-x","by":"p-ic-x","reason":"lost"}`)
				}
			}, "revoked before"},
			{"a key that never was", func(e *audit.Entry) {
				if e.Kind == audit.KindKeyRevoked {
					e.Body = []byte(`{"key_id":"k-x","person":"p-ic-x","by":"p-ic-x","reason":"lost"}`)
				}
			}, "never enrolled"},
			{"no signature where one was required", func(e *audit.Entry) {
				var ev approval.GateChanged
				if e.Kind == audit.KindGateChanged && json.Unmarshal(e.Body, &ev) == nil && ev.Decision != nil {
					ev.Decision.Signature, ev.Record.Rules.Signed = nil, true
					e.Body, _ = json.Marshal(ev)
				}
			}, "a word without a signature"},
			{"a decision that the ticket lacks", func(e *audit.Entry) {
				var ev approval.GateChanged
				if e.Kind == audit.KindGateChanged && json.Unmarshal(e.Body, &ev) == nil && ev.Decision != nil {
					ev.Record.Ticket.Decisions = nil
					e.Body, _ = json.Marshal(ev)
				}
			}, "does not have the decision"},
		} {
			found := w.check(c.change)
			if !slices.ContainsFunc(found.Bad, func(b keyring.BadWord) bool { return strings.Contains(b.What, c.want) }) {
				t.Errorf("%s: want %q, found %v", c.name, c.want, found.Bad)
			}
		}
	})
}

// A word of a change that did not take effect is no word.
func TestTheCheckerLeavesOutWhatDidNotTakeEffect(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newSigning(t, "ic", "bo")
		g := w.gate()
		defer w.run(g)()
		ticket := w.propose(g, plan())
		s := w.statement(ticket, "incident_commander", sign.Approve)
		w.log.lies.Store(true)
		if _, err := g.Submit(context.WithoutCancel(t.Context()), w.file("ic", s), "op"); err == nil {
			t.Fatal("the log did not fail")
		}
		w.log.lies.Store(false)
		if _, err := w.submit(g, "ic", s); err != nil {
			t.Fatalf("again: %v", err)
		}
		if c := w.check(nil); len(c.Bad) > 0 || c.Tally().Signed != 1 {
			t.Errorf("%+v, %v", c.Tally(), c.Bad)
		}
	})
}

func TestTicketFiles(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newSigning(t, "ic")
		g := w.gate()
		ticket := w.propose(g, plan())
		raw, err := ticket.Export("the checkpoint\n")
		if err != nil {
			t.Fatal(err)
		}
		f, err := approval.ReadTicketFile(raw)
		if err != nil || f.Plan.Hash() != ticket.PlanHash || f.Checkpoint != "the checkpoint\n" {
			t.Fatalf("%+v, %v", f, err)
		}
		swap := func(from, to string) []byte { return bytes.Replace(raw, []byte(from), []byte(to), 1) }
		for want, file := range map[string][]byte{
			"the plan was changed":         swap(`"max_calls_total": 1000`, `"max_calls_total": 9000`),
			"the plan was changed: its":    swap(ticket.PlanHash, strings.Repeat("ab", 32)),
			"cut, or is no JSON":           raw[:len(raw)/2],
			"unknown field":                swap(`"reason"`, `"raison"`),
			"a member is missing, or":      swap(`"reason": "every permitted region is down",`, ``),
			"in one way alone":             swap(`"grant_ns"`, `"grant_ns": 1, "grant_ns"`),
			"the ticket has no id":         swap(ticket.ID, "x"),
			"is no \"gate ticket v1\"":     swap(approval.TicketForm, sign.DecisionForm),
			"too large":                    append(slices.Clone(raw), bytes.Repeat([]byte(" "), approval.MaxTicketFile)...),
			"does not stand in its one fo": swap(`"target_country"`, `"Target_Country"`),
		} {
			if _, err := approval.ReadTicketFile(file); err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("want %q, got %v", want, err)
			}
		}
	})
}
