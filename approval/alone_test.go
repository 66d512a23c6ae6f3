package approval

import (
	"testing"
	"time"
)

// Nobody opens a grant alone: whatever roles one person has, whomever that person deputises for and whoever is absent, words of every kind in every role leave the ticket
// waiting, the break-glass with one confirmation at most, and nobody can activate it. The officer has no objection, so it is not the opinion that is missing.
func TestNobodyOpensAGrantAlone(t *testing.T) {
	now := time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)
	roles := append(DefaultRules().Roles, "dpo")
	some := func(mask int) (out []string) {
		for i, role := range roles {
			if mask&(1<<i) != 0 {
				out = append(out, role)
			}
		}
		return out
	}
	plan := aPlan()
	plan.Basis = &Basis{ID: "scc-1", Kind: "Art46(2)(c)_SCC", Document: "d", SignedOn: now.AddDate(-1, 0, 0), TIA: &TIA{Document: "t", Date: now, Outcome: "ok"}}
	plan.LegalBasis, plan.GrantFor = plan.Basis.Word(), time.Hour
	hash, counted := plan.Hash(), 0
	for held := range 1 << len(roles) {
		for deputy := range 1 << len(roles) {
			for _, mode := range []string{ModeOpinion, ModeApprove} {
				r := &Record{Rules: DefaultRules(), Ticket: Ticket{
					ID: "t", State: Pending, Plan: plan, PlanHash: hash, RequestedBy: "rule:x", RequestedAt: now, NotifiedAt: now, ApproveBy: now.Add(time.Hour),
				}}
				r.Rules.Mode = mode
				away := []Absence{{now.Add(-time.Hour), now.Add(time.Hour)}}
				r.People = []Holder{{Person: "p-one", Roles: some(held), DeputyFor: some(deputy)}, {Person: "p-all", Roles: roles[:5], Absent: away}, {Person: "p-dpo", Roles: []string{"dpo"}}}
				if err := r.Opine(now, Opinion{Person: "p-dpo", Word: NoObjection, At: now}); err != nil {
					t.Fatal(err)
				}
				if deputy%2 == 1 { // and then is away as well
					r.People[2].Absent = away
				}
				for range 2 {
					for _, role := range roles {
						d := Decision{Person: "p-one", Role: role, Approve: true, Reason: "r", PlanHash: hash, At: now}
						for _, err := range []error{r.BreakGlass(now, d), r.Decide(now, d), r.Opine(now, Opinion{Person: "p-one", Word: NoObjection, At: now}), r.Activate(now, "p-one")} {
							if err == nil {
								counted++
							}
						}
					}
				}
				if r.Ticket.State != Pending || len(r.Ticket.Decisions) > 1 || len(r.Ticket.Glass) > 1 {
					t.Fatalf("%s, roles %v, deputy for %v: %s with %d decisions and %d confirmations", mode, some(held), some(deputy), r.Ticket.State, len(r.Ticket.Decisions), len(r.Ticket.Glass))
				}
			}
		}
	}
	if counted == 0 {
		t.Error("no word counted at all")
	}
}
