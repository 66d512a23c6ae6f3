package routing

import (
	"context"
	"reflect"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cordonsip/cordon/audit"
	"github.com/cordonsip/cordon/healthcheck"
	"github.com/cordonsip/cordon/sovereign"
	"github.com/prometheus/client_golang/prometheus"
)

// A second view fails over and back by its own table and says in each entry that it is of a drill; the Router beside it notices nothing and asks nobody.
func TestAShadowFailsOverAlone(t *testing.T) {
	running(t, nil, func(t *testing.T, w *world, r *Router) {
		w.turn(r, "fra", healthcheck.Down)
		w.turn(r, "fra", healthcheck.Up)
		w.turn(r, "sto", healthcheck.Down) // production is as it is
		before, entries := r.Active(), len(w.entries())
		view := newWorld(t)
		view.table = w.table
		s := shadow(t, r, view)
		if a := s.Active(); !reflect.DeepEqual(a, map[string]Active{"main": before["main"]}) {
			t.Errorf("it begins with %+v", a)
		}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- s.Run(ctx) }()
		synctest.Wait()
		view.turn(s, "fra", healthcheck.Down)
		view.turn(s, "zrh", healthcheck.Down)
		wait(time.Hour) // nobody is asked, however long it lasts
		view.turn(s, "zrh", healthcheck.Up)
		wait(2 * time.Second)
		req := Request{From: "carrier-de", Called: "+496990009000", At: time.Now()}
		mine, theirs := s.Plan(req), r.Plan(req)
		if mine.Hops[0].Party != "zrh" || mine.Drill != "d1" || mine.Hops[0].Drill != "d1" || theirs.Hops[0].Party != "fra" || theirs.Drill != "" || theirs.Hops[0].Drill != "" {
			t.Errorf("%s and %s", mine.Why, theirs.Why)
		}
		if out := s.Plan(Request{From: "fra", Called: "+41441234567", At: time.Now()}); len(out.Hops) > 0 {
			t.Errorf("it knows another route: %s", out.Why)
		}
		cancel()
		if err := <-done; err != nil {
			t.Fatal(err)
		}
		if !reflect.DeepEqual(r.Active(), before) || len(w.gate.proposed) != 0 {
			t.Errorf("production noticed: %+v, %v", r.Active(), w.gate.proposed)
		}
		want := "failover.applied zrh, failover.held iad"
		if got := drilled(t, w, entries); got != want {
			t.Errorf("%s, want %s", got, want)
		}
	})
}

// shadow makes a view of r whose table is that of view.
func shadow(t *testing.T, r *Router, view *world) *Router {
	t.Helper()
	s, err := r.Shadow(Shadow{Drill: "d1", Route: "main", Table: func() *healthcheck.Table {
		view.mu.Lock()
		defer view.mu.Unlock()
		return view.table
	}})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// drilled are the entries from an index on, each of the drill.
func drilled(t *testing.T, w *world, from int) string {
	t.Helper()
	list, err := w.log.Entries(t.Context(), uint64(from), 100)
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, e := range list {
		ev, err := audit.Decode(e)
		if err != nil {
			t.Fatal(err)
		}
		f, ok := ev.(audit.Failover)
		if !ok || f.Drill != "d1" || f.Ticket != "" {
			t.Errorf("%+v", ev)
		}
		out = append(out, string(f.What)+" "+f.To)
	}
	return strings.Join(out, ", ")
}

func TestAShadowRegistersNothingAndNeedsItsRoute(t *testing.T) {
	w := newWorld(t)
	r, err := New(Config{Rules: w.rules, Log: w.log, Table: func() *healthcheck.Table { return w.table }, Snapshot: func() *sovereign.Snapshot { return w.snapshot }, Metrics: prometheus.NewRegistry()})
	if err != nil {
		t.Fatal(err)
	}
	for range 2 { // one drill after the other
		if _, err := r.Shadow(Shadow{Drill: "d1", Route: "main", Table: r.cfg.Table}); err != nil {
			t.Error(err)
		}
	}
	if _, err := r.Shadow(Shadow{Drill: "d1", Route: "nowhere", Table: r.cfg.Table}); err == nil || !strings.Contains(err.Error(), `"nowhere" is no route`) {
		t.Error(err)
	}
}
