package observe

import (
	"fmt"
	"strings"
	"testing"

	"github.com/cordonsip/cordon/audit"
	"github.com/cordonsip/cordon/drill/measure"
)

func viewed(ev audit.HealthChanged, drill string) audit.HealthChanged {
	ev.Drill = drill
	return ev
}

// A canary is judged by what happens in its view. What happens to production, even to what the play takes from the view, is real; what is another drill's is nothing.
func TestACanaryIsItsView(t *testing.T) {
	for name, c := range map[string]struct {
		view        string
		list        []audit.Event
		event, seen string
	}{
		"its own": {"d1", []audit.Event{
			viewed(health(fraA, "down"), "d1"), viewed(health(fraB, "down"), "d1"), audit.Failover{What: audit.KindFailoverApplied, Route: "line", To: "zrh", Drill: "d1"},
		}, "", "fra limps, fra down, applied zrh"},
		"another's":               {"d1", []audit.Event{viewed(health(fraA, "down"), "d2"), viewed(health(zrhA, "down"), "d2"), audit.Failover{What: audit.KindFailoverApplied, Route: "line", To: "zrh", Drill: "d2"}}, "", ""},
		"another's, in no canary": {"", []audit.Event{viewed(health(zrhA, "down"), "d2"), audit.Failover{What: audit.KindFailoverApplied, Route: "line", To: "zrh", Drill: "d2"}}, "", ""},
		"production limps":        {"d1", []audit.Event{health(fraA, "down")}, "", ""},
		"production's is down":    {"d1", []audit.Event{health(fraA, "down"), health(fraB, "down")}, "all targets of fra are down", ""},
		"production moves":        {"d1", []audit.Event{audit.Failover{What: audit.KindFailoverHeld, Route: "line", To: "iad"}}, "production's route line moves", ""},
		"production goes back":    {"d1", []audit.Event{audit.Failover{What: audit.KindFailback, Route: "line", To: "fra"}, audit.RouteSwitched{Route: "line", To: "fra", Back: true}}, "", ""},
		"a person switches":       {"d1", []audit.Event{audit.RouteSwitched{Route: "line", By: "p1", To: "zrh"}}, "somebody switched the route line", "applied zrh"},
		"an incident":             {"d1", []audit.Event{audit.IncidentOpened{Rule: "region_down", Title: "down", Parties: []string{"fra"}}}, "an incident was opened: down", ""},
	} {
		t.Run(name, func(t *testing.T) {
			o := observerOf(t, "region-loss", c.view)
			for i, ev := range c.list {
				o.Entry(entry(t, at(70+float64(i)), ev))
			}
			if got := o.Event(); c.event == "" && got != "" || !strings.HasPrefix(got, c.event) {
				t.Errorf("the event is %q, want %q", got, c.event)
			}
			if got := words(o.Seen()); got != c.seen {
				t.Errorf("seen is %q, want %q", got, c.seen)
			}
		})
	}
}

func words(s measure.Seen) string {
	var out []string
	for _, h := range s.Health {
		out = append(out, h.Party+map[bool]string{true: " limps", false: " down"}[h.Up])
	}
	for _, m := range s.Moves {
		out = append(out, fmt.Sprint(m.What, " ", m.Party))
	}
	return strings.Join(out, ", ")
}

// Calls of the share are no sign of how production fares, and what another drill's call was refused is no refusal of this one.
func TestReceiptsOfAView(t *testing.T) {
	o := observerOf(t, "region-loss", "d1")
	held := audit.Attempt{Party: "iad", Verdict: "hold"}
	for i := range 20 {
		r := receipt("production", map[bool]int{true: 503, false: 200}[i%2 == 0], 4)
		r.Drill = map[bool]string{true: "d1"}[i%2 == 0]
		o.Entry(entry(t, at(float64(i)), r))
	}
	for _, id := range []string{"d1", "d2"} {
		r := receipt("drill", 200, 4, held)
		r.Drill, r.CallRef = id, id
		o.Entry(entry(t, at(21), r))
	}
	if f, mos := o.Pulse(at(22)); f != 0 || mos != 4 {
		t.Errorf("%.2f of production failed, %.2f", f, mos)
	}
	if n := len(o.Seen().Refused); n != 1 || !o.Traced("d2") {
		t.Errorf("%d were refused", n)
	}
}
