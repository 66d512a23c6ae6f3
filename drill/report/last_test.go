package report

import (
	"crypto/ed25519"
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"github.com/cordonsip/cordon/approval/keyring"
	"github.com/cordonsip/cordon/approval/sign"
	"github.com/cordonsip/cordon/audit"
)

func privateOf(person string) ed25519.PrivateKey {
	seed := make([]byte, ed25519.SeedSize)
	copy(seed, person)
	return ed25519.NewKeyFromSeed(seed)
}

// enrolled are keys of people until a year after the drill.
func enrolled(people ...string) keyring.KeysEnrolled {
	ev := keyring.KeysEnrolled{How: keyring.HowBootstrap}
	for _, p := range people {
		pub := privateOf(p).Public().(ed25519.PublicKey)
		ev.Keys = append(ev.Keys, keyring.EnrolledKey{ID: sign.KeyID(pub), Public: sign.PublicText(pub), Person: "p-" + p, Expires: start.AddDate(1, 0, 0)})
	}
	return ev
}

// signs is what a person signed of the drill of the story, as its end stands there.
func signs(t *testing.T, events []audit.Event, person, word string, change func(*sign.DrillStatement)) (out json.RawMessage) {
	t.Helper()
	entries, _ := logged(t, events)
	i := slices.IndexFunc(entries, func(e audit.Entry) bool { return e.Kind == audit.KindDrillEnded })
	_, end, err := keyring.EndOf(entries[i])
	if err != nil {
		t.Fatal(err)
	}
	st := sign.DrillStatement{Drill: drill, Plan: end.Plan, Outcome: end.Outcome, End: end.Sum, Word: word, Role: "ciso", Reason: "read", At: end.At, Nonce: strings.Repeat("0e", 16)}
	switch change(&st); word {
	case sign.DrillSignedOff:
		st.Verdict = sign.DrillAccept
	case sign.DrillReported:
		st.Date, st.Minutes, st.Nonce = "2026-12-01", "MB 4", strings.Repeat("0d", 16)
	}
	s, err := sign.SignDrill(privateOf(person), st)
	if err == nil {
		out, err = json.Marshal(s)
	}
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// What people signed of a drill is checked again by the keys that the log enrolled, and the report says in words how each word was given.
func TestLastWordsInAReport(t *testing.T) {
	same := func(*sign.DrillStatement) {}
	digest := strings.Repeat("5a", 32)
	for name, c := range map[string]struct {
		events func(events []audit.Event) []audit.Event
		says   []string
		bad    string // what does not hold; "": everything does
	}{
		"by session alone": {func(all []audit.Event) []audit.Event {
			return append(all, audit.DrillSignedOff{Drill: drill, Verdict: "accept", By: "p-dina", Role: "ciso", Reason: "read", Auth: "bearer"})
		}, []string{"signed off: accept, as ciso", "by session alone, without a key"}, ""},
		"signed": {func(all []audit.Event) []audit.Event {
			return append(all, enrolled("dina"), audit.DrillSignedOff{Drill: drill, Verdict: "accept", By: "p-dina", Role: "ciso", Reason: "read", Signature: signs(t, all, "dina", sign.DrillSignedOff, same)},
				audit.DrillReported{Drill: drill, Date: "2026-12-01", Minutes: "MB 4", By: "p-dina", Role: "ciso", Reason: "read", Signature: signs(t, all, "dina", sign.DrillReported, same)})
		}, []string{"which holds", "2026-12-01, minutes MB 4; recorded by p-dina, signed with k-", "Reported on 2026-12-01"}, ""},
		"by a key that nobody enrolled": {func(all []audit.Event) []audit.Event {
			return append(all, audit.DrillSignedOff{Drill: drill, Verdict: "accept", By: "p-dina", Role: "ciso", Reason: "read", Signature: signs(t, all, "dina", sign.DrillSignedOff, same)})
		}, []string{"THE SIGNATURE DOES NOT HOLD"}, "what p-dina signed (signed off) does not hold: signed by k-"},
		"by somebody else": {func(all []audit.Event) []audit.Event {
			return append(all, enrolled("dina", "eve"), audit.DrillSignedOff{Drill: drill, Verdict: "accept", By: "p-dina", Role: "ciso", Reason: "read", Signature: signs(t, all, "eve", sign.DrillSignedOff, same)})
		}, nil, "the key of p-eve"},
		"over another plan": {func(all []audit.Event) []audit.Event {
			return append(all, enrolled("dina"), audit.DrillReported{Drill: drill, Date: "2026-12-01", Minutes: "MB 4", By: "p-dina", Role: "ciso", Reason: "read", Signature: signs(t, all, "dina", sign.DrillReported, func(s *sign.DrillStatement) { s.Plan = strings.Repeat("5b", 32) })})
		}, nil, "what p-dina signed (reported) does not hold: what was signed is about another plan"},
		"twice": {func(all []audit.Event) []audit.Event {
			ev := audit.DrillReported{Drill: drill, Date: "2026-12-01", Minutes: "MB 4", By: "p-dina", Role: "ciso", Reason: "read", Signature: signs(t, all, "dina", sign.DrillReported, same)}
			return append(all, enrolled("dina"), ev, ev)
		}, nil, "stands in the log before"},
	} {
		all := with(t, story(t), func(e *audit.DrillEnded) { e.Digest = digest })
		all = append(all, audit.DrillAcked{Drill: drill, When: "after", By: "p-carol"})
		r, err := told(t, c.events(all), Input{})
		if err != nil {
			t.Fatal(err)
		}
		var page strings.Builder
		if err := r.Page().Text(&page); err != nil {
			t.Fatal(err)
		}
		text := strings.Join(strings.Fields(page.String()), " ")
		for _, w := range c.says {
			if !strings.Contains(text, w) {
				t.Errorf("%s: no word of %q in\n%s", name, w, page.String())
			}
		}
		if got := strings.Join(r.Unsound(), "; "); (got == "") != (c.bad == "") || !strings.Contains(got, c.bad) || c.bad != "" && !strings.Contains(text, "What p-dina signed") {
			t.Errorf("%s: %q does not hold, want %q", name, got, c.bad)
		}
		lacks := func(field string) bool {
			return slices.ContainsFunc(r.Missing, func(m Missing) bool { return m.Field == field })
		}
		if *r.Governance.Acked != 1 || lacks("governance_exercised.notifications_acked") || lacks("sign_off") == r.judged() || lacks("reported_to_management_body") != r.Reported.Date.IsZero() || r.Cleanup.How != bySession {
			t.Errorf("%s: missing %+v, %+v", name, r.Missing, r.Cleanup)
		}
	}
}
