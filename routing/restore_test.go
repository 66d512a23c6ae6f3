package routing

import (
	"strings"
	"testing"
	"time"

	"github.com/cordonsip/cordon/healthcheck"
	"github.com/cordonsip/cordon/routing/desk"
)

func TestARouteGoesBackToWhereADrillFoundIt(t *testing.T) {
	running(t, func(w *world) {
		w.withDesk()
		w.rules.Routes = w.rules.Routes[:1]
		w.rules.Routes[0].Switch.FailbackAfter, w.rules.Routes[0].Switch.Manual = time.Hour, true
	}, func(t *testing.T, w *world, r *Router) {
		ctx := t.Context()
		w.turn(r, "fra", healthcheck.Down)
		wait(2 * time.Second)
		active(t, r, "zrh", ReasonAutoFailover)
		if err := r.Restore(ctx, "main", "fra", "the drill is over"); err == nil || !strings.Contains(err.Error(), "fra") {
			t.Errorf("back to a party that is down: %v", err)
		}
		w.turn(r, "fra", healthcheck.Up)
		wait(2 * time.Minute)
		active(t, r, "zrh", ReasonAutoFailover) // nothing goes back by itself
		w.log.set(true)
		if err := r.Restore(ctx, "main", "fra", "the drill is over"); err == nil {
			t.Error("without a log")
		}
		w.log.set(false)
		if err := r.Restore(ctx, "main", "fra", "the drill is over"); err != nil {
			t.Fatal(err)
		}
		if a := active(t, r, "fra", ReasonPrimary); a.Since.IsZero() {
			t.Errorf("%+v", a)
		}
		w.want(t, "applied fra>zrh", "failback zrh>fra")
		if err := r.Restore(ctx, "main", "fra", "again"); err != nil {
			t.Errorf("where it is already: %v", err)
		}
		if err := r.Restore(ctx, "nothing", "fra", "r"); err == nil {
			t.Error("a route that is not there")
		}
		if err := r.SetService(ctx, desk.Service{Kind: "group", Name: "zrh", State: desk.Out, Reason: "r", By: "p-1"}); err != nil {
			t.Fatal(err)
		}
		if err := r.Restore(ctx, "main", "zrh", "r"); err == nil || !strings.Contains(err.Error(), "zrh") {
			t.Errorf("to what people took out: %v", err)
		}
	})
}
