package healthcheck

import (
	"context"
	"fmt"
	"reflect"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// same are the statuses of a table, as they are compared.
func same(a, b *Table, party string) bool {
	return reflect.DeepEqual(a.ByParty[party], b.ByParty[party])
}

// A second view begins with what is known and goes its own way: what falls there is up beside it, and the other way round.
func TestAShadowKnowsWhatIsKnownAndGoesItsOwnWay(t *testing.T) {
	w, theirs := newWorld(), newWorld()
	w.set(a2, "silent")
	live(t, w, watch(a1, a2, a3), Settings{Jitter: 1e-9}, func(c *Checker) {
		wait(time.Minute)
		k := shadowed(t, c, theirs)
		if !same(k.Table(), c.Table(), "p1") || !same(k.Table(), c.Table(), "p2") || len(k.Table().ByParty) != 2 {
			t.Fatalf("it begins with %+v", k.Table())
		}
		ctx, cancel := context.WithCancel(context.Background())
		defer cancel()
		done := make(chan error, 1)
		go func() { done <- k.Run(ctx) }()
		first := w.probed(a1)
		theirs.set(a1, "refused") // both of them, which would be enough for doubt
		wait(2 * time.Second)
		if theirs.probed(a1) != 0 {
			t.Error("a target hears both at once")
		}
		wait(15 * time.Second)
		state(t, k, id(1, a1), Down, "3 of 3 OPTIONS failed")
		state(t, c, id(1, a1), Up, "answers")
		state(t, c, id(2, a2), Down, "unanswered")
		k.Outcome(Outcome{Target: id(1, a1), Alive: true})
		wait(time.Minute)
		state(t, k, id(2, a2), Up, "answers") // it answers over there
		state(t, c, id(2, a2), Down, "unanswered")
		if extra, own := theirs.probed(a1), w.probed(a1)-first; extra > own+2 {
			t.Errorf("%d probes beside %d", extra, own)
		}
		if theirs.probed(a3) != 0 {
			t.Error("a party that the drill is not about is probed")
		}
		cancel()
		if err := <-done; err != nil {
			t.Fatal(err)
		}
		after := theirs.probed(a1)
		wait(time.Minute)
		if theirs.probed(a1) != after {
			t.Error("it probes on")
		}
		if got := fmt.Sprint(theirs.steps(a1), theirs.steps(a2), w.steps(a1), w.steps(a2)); got != "[up>down] [down>up] [unknown>up] [unknown>down]" {
			t.Error(got)
		}
	})
}

// shadowed makes a view of c on p1 and p2 that senses another world. Metrics of its own would clash.
func shadowed(t *testing.T, c *Checker, w *world) *Checker {
	t.Helper()
	k, err := c.Shadow([]string{"p1", "p2", "nobody"}, Config{Prober: w, Caller: refusing{}, Locate: w.locate, Judge: w.judge, Changed: w.changed})
	if err != nil {
		t.Fatal(err)
	}
	return k
}

type refusing struct{}

func (refusing) Call(context.Context, Target, Call) error { panic("a second view places no calls") }

// The silence of most targets is no reason for a second view to doubt itself: it was made for it.
func TestAShadowDoesNotDoubtItself(t *testing.T) {
	w, theirs := newWorld(), newWorld()
	for _, a := range []string{a1, a2, a3, a4} {
		theirs.set(a, "silent")
	}
	list := watch(a1, a2)
	list[0].Members = append(list[0].Members, Member{Name: "n", Host: a3, Transport: "udp"}, Member{Name: "o", Host: a4, Transport: "udp"})
	list[0].Call = Call{From: "t", To: "+49", Every: 10 * time.Second}
	synctest.Test(t, func(t *testing.T) {
		c, err := New(Config{Watched: list, Defaults: Settings{Jitter: 1e-9}, Prober: w, Locate: w.locate, Judge: w.judge, Metrics: prometheus.NewPedanticRegistry()})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		go func() { _ = c.Run(ctx) }()
		wait(6 * time.Second)
		k := shadowed(t, c, theirs)
		go func() { _ = k.Run(ctx) }()
		wait(17 * time.Second)
		state(t, k, id(1, a1), Down, "unanswered")
		state(t, k, id(2, a2), Down, "unanswered")
	})
}
