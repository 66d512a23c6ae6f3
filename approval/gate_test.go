package approval

import (
	"testing"
	"testing/synctest"
	"time"
)

// The whole way: proposed, told, two approvals, an opinion, live at once, over by the clock.
func TestLife(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		g := w.gate("n1")
		defer w.run(g)()
		ticket := w.propose(g, plan())
		if w.state(g, ticket.ID) != Pending || len(g.Grants()) != 0 {
			t.Fatalf("after the proposal: %s, %v", w.state(g, ticket.ID), g.Grants())
		}
		w.decide(g, ticket, "ic", true)
		got := w.decide(g, ticket, "bo", true)
		if got.State != Pending || len(got.Missing) != 1 || got.Missing[0] != "the opinion of dpo" {
			t.Fatalf("after the quorum: %s, %q", got.State, got.Missing)
		}
		got = w.opine(g, ticket, "dpo", NoObjection, false)
		if got.State != Active || !got.GrantUntil.Equal(got.ActivatedAt.Add(4*time.Hour)) || got.Entry == 0 {
			t.Fatalf("after the opinion: %+v", got)
		}
		if gs := g.Grants(); len(gs) != 1 || gs[0].ID != ticket.ID || gs[0].Entry != got.Entry || !gs[0].Until.Equal(got.GrantUntil) {
			t.Fatalf("grants: %+v", gs)
		}
		if !g.Spend(ticket.ID) {
			t.Fatal("no call")
		}
		time.Sleep(time.Until(got.GrantUntil) - time.Nanosecond)
		if len(g.Grants()) != 1 || !g.Spend(ticket.ID) {
			t.Fatal("the grant ended early")
		}
		time.Sleep(time.Nanosecond)
		if g.Spend(ticket.ID) {
			t.Fatal("the grant outlived its end")
		}
		synctest.Wait()
		if len(g.Grants()) != 0 {
			t.Fatal("the snapshot keeps a grant that is over")
		}
		time.Sleep(time.Second)
		got, _ = g.Ticket(ticket.ID)
		if got.State != Expired || got.Spent != 2 || got.Why != "the grant's time is over" {
			t.Fatalf("after the end: %s, spent %d, %s", got.State, got.Spent, got.Why)
		}
	})
}
