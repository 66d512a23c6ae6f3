package gate

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/cordonsip/cordon/approval"
)

// set gives g a wall clock that is off by what is stored, and the way to set it.
func setWall(g *Gate) (set func(off time.Duration)) {
	var off time.Duration
	g.clock = newSteady(func() time.Time { return time.Now().Add(off) })
	return func(d time.Duration) { off = d }
}

// A wall clock that is set back makes neither an approval nor a grant longer.
func TestAClockThatIsSetBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		g := w.gate("n1")
		set := setWall(g)
		defer w.run(g)()
		waiting := w.propose(g, plan())
		other := plan()
		other.Scope.Country = "CA"
		live := w.live(g, other)
		time.Sleep(10 * time.Minute)
		set(-3 * time.Hour)
		before := g.clock.now()
		time.Sleep(10 * time.Minute)
		if d := g.clock.now().Sub(before); d != 10*time.Minute {
			t.Errorf("in ten minutes the gate's clock went on by %s", d)
		}
		time.Sleep(10*time.Minute + time.Second) // half an hour since the request
		synctest.Wait()
		if got := w.state(g, waiting.ID); got != approval.TimedOut {
			t.Errorf("the approval clock was set back, too: %s", got)
		}
		_, err := w.say(g, waiting, "ic+")
		wantRefusal(t, err, approval.RuleExpired)
		time.Sleep(3*time.Hour + 30*time.Minute - 2*time.Second)
		if got := w.state(g, live.ID); got != approval.Active || len(g.Grants()) != 1 {
			t.Fatalf("before its end the grant is %s", got)
		}
		time.Sleep(2 * time.Second)
		synctest.Wait()
		if got := w.state(g, live.ID); got != approval.Expired || len(g.Grants()) != 0 || g.Spend(live.ID) {
			t.Errorf("four hours after its start the grant is %s, %v", got, g.Grants())
		}
		// What goes live now can be used by those who look at the wall clock.
		next := w.live(g, plan())
		grant := g.Grants()[0]
		wall := time.Now().Add(-3 * time.Hour)
		if grant.From.After(wall) || grant.Until.Sub(grant.From) != next.GrantUntil.Sub(next.ActivatedAt) || grant.Until.Sub(wall) > 4*time.Hour+time.Second {
			t.Errorf("by the wall clock of %s the grant goes from %s to %s", wall, grant.From, grant.Until)
		}
	})
}

// Set ahead, what is due by then is due; set right again, nothing comes back.
func TestAClockThatIsSetAhead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		g := w.gate("n1")
		set := setWall(g)
		ticket := w.live(g, plan())
		set(5 * time.Hour)
		if g.publish(); len(g.Grants()) != 0 || g.Spend(ticket.ID) {
			t.Error("the grant outlived its end on the wall clock")
		}
		set(0)
		if g.publish(); len(g.Grants()) != 0 || g.Spend(ticket.ID) {
			t.Error("the grant came back when the clock was set back")
		}
	})
}

// Set back while nobody ran: the gate goes on from the last entry of the log.
func TestAClockThatIsSetBackBetweenRuns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		g := w.gate("n1")
		ticket := w.live(g, plan())
		time.Sleep(time.Hour)
		if _, err := g.Refuse(t.Context(), "ic", plan(), "the last entry of the run"); err == nil {
			t.Fatal("not refused")
		}
		again := w.gate("n1")
		again.clock = newSteady(func() time.Time { return time.Now().Add(-30 * time.Minute) })
		again.clock.lead.Store(int64(-30 * time.Minute))
		if _, err := again.Restore(t.Context()); err != nil {
			t.Fatal(err)
		}
		if behind := time.Since(again.clock.now()); behind > time.Second {
			t.Errorf("the gate's clock is %s behind the log", behind)
		}
		if len(again.Grants()) != 1 {
			t.Fatalf("%v", again.Grants())
		}
		time.Sleep(3*time.Hour + time.Second)
		if again.publish(); len(again.Grants()) != 0 || again.Spend(ticket.ID) {
			t.Error("the grant got the time that the clock was set back by")
		}
	})
}

// The same for a review: it is late when it would have been.
func TestAReviewIsOwedByAClockThatIsSetBackBetweenRuns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		g := w.gate("n1")
		stop := w.run(g)
		ticket := w.broken(g)
		time.Sleep(2 * time.Hour)
		stop()
		if w.state(g, ticket.ID) != approval.ReviewDue {
			t.Fatal(w.state(g, ticket.ID))
		}
		if _, err := g.Refuse(t.Context(), "ic", plan(), "the last entry of the run"); err == nil {
			t.Fatal("not refused")
		}
		again := w.gate("n1")
		again.clock = newSteady(func() time.Time { return time.Now().Add(-48 * time.Hour) })
		again.clock.lead.Store(int64(-48 * time.Hour))
		defer w.run(again)()
		time.Sleep(22*time.Hour + time.Minute)
		if synctest.Wait(); w.state(again, ticket.ID) != approval.Escalated {
			t.Errorf("the review that was due a minute ago is %s", w.state(again, ticket.ID))
		}
	})
}
