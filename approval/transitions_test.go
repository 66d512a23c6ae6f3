package approval

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
)

// life is the table once more, as people read it; the two must agree, pair by pair.
const life = `
REQUESTED: PENDING(proposed) POLICY_DENIED(refused_by_policy)
PENDING: PENDING(notified) PENDING(decided) PENDING(opined) APPROVED(decided) APPROVED(opined) DENIED(decided) TIMED_OUT(clock) WITHDRAWN(withdrawn) INVALIDATED(invalidated) SUPERSEDED(superseded) PENDING(escalated) PENDING(break_glass) BREAK_GLASS_ACTIVE(break_glass)
APPROVED: ACTIVE(activated) APPLIED(put_in_force) EXECUTION_EXPIRED(clock) WITHDRAWN(withdrawn) REVOKED(revoked) INVALIDATED(invalidated) SUPERSEDED(superseded)
ACTIVE: EXPIRED(clock) ACTIVE(quota_spent) REVOKED(revoked) INVALIDATED(invalidated) SUPERSEDED(superseded)
BREAK_GLASS_ACTIVE: BREAK_GLASS_ACTIVE(quota_spent) BREAK_GLASS_ACTIVE(opined) REVIEW_DUE(opined) REVIEW_DUE(clock) REVIEW_DUE(revoked) REVIEW_DUE(invalidated)
REVIEW_DUE: REVIEW_DUE(opined) REVIEWED(reviewed) ESCALATED(escalated)
ESCALATED: ESCALATED(opined) REVIEWED(reviewed)
EXPIRED: EXPIRED(reviewed)
REVOKED: REVOKED(reviewed)
INVALIDATED: INVALIDATED(reviewed)
SUPERSEDED: SUPERSEDED(reviewed)
`

var everything = []What{
	Proposed, RefusedByRule, Told, Decided, Opined, Activated, Withdrew, Revocation, Invalidation, Replaced, Clock, QuotaSpent, BrokenGlass, Review,
	Escalation, PutInForce, NotApplied, "", "nonsense",
}

func TestTransitionsExhaustively(t *testing.T) {
	want := map[string]bool{}
	for line := range strings.Lines(strings.TrimSpace(life)) {
		from, rest, _ := strings.Cut(line, ":")
		for _, word := range strings.Fields(rest) {
			want[from+" "+word] = true
		}
	}
	if len(want) != len(Transitions()) {
		t.Errorf("the table has %d rows, %d are expected", len(Transitions()), len(want))
	}
	states := append(States(), "", "NONSENSE")
	n := 0
	for _, from := range states {
		for _, to := range states {
			for _, what := range everything {
				key := fmt.Sprintf("%s %s(%s)", from, to, what)
				r := &Record{Ticket: Ticket{State: from}}
				if got := r.Step(to, what) == nil; got != want[key] || got != allowed(from, to, what) {
					t.Errorf("%s: allowed %v, want %v", key, got, want[key])
				}
				n++
			}
		}
	}
	if n != 20*20*19 {
		t.Errorf("%d combinations tried", n)
	}
	for _, row := range Transitions() {
		if row.When == "" {
			t.Errorf("%s to %s has no words", row.From, row.To)
		}
	}
	Transitions()[0].To = "NONSENSE"
	if transitions[0].To == "NONSENSE" {
		t.Error("the table can be changed from outside")
	}
}

func TestStates(t *testing.T) {
	over := []State{PolicyDenied, Expired, DeniedByPeople, TimedOut, Withdrawn, ExecutionExpired, Revoked, Invalidated, Superseded, Reviewed, Applied}
	words := []string{
		"requested", "opinion_pending", "decided_approved", "decided_rejected", "armed", "active", "expired", "revoked", "auto_revoked", "reviewed",
	}
	used := map[string]bool{}
	reached := map[State]bool{Requested: true}
	for range transitions {
		for _, row := range transitions {
			reached[row.To] = reached[row.To] || reached[row.From]
		}
	}
	for _, s := range States() {
		if s.Terminal() != slices.Contains(over, s) {
			t.Errorf("%s: terminal %v", s, s.Terminal())
		}
		if s.Terminal() && s.Open() {
			t.Errorf("%s is over and open", s)
		}
		if !reached[s] {
			t.Errorf("%s cannot be reached", s)
		}
		for _, r := range []*Record{
			{Ticket: Ticket{State: s}},
			{Ticket: Ticket{State: s, NotifiedAt: time.Unix(1, 0)}, Rules: DefaultRules()},
		} {
			word := r.EvidenceWord()
			used[word] = true
			if !slices.Contains(words, word) {
				t.Errorf("%s has the evidence word %q", s, word)
			}
		}
	}
	if len(used) != len(words) {
		t.Errorf("evidence words in use: %v", used)
	}
}
