package observe

import (
	"strings"

	"github.com/cordonsip/cordon/audit"
)

// ofDrill is the canary drill in whose view something is so; "": it is so on the node.
func ofDrill(ev audit.Event) string {
	switch ev := ev.(type) {
	case audit.HealthChanged:
		return ev.Drill
	case audit.Failover:
		return ev.Drill
	case audit.Receipt:
		return ev.Drill
	}
	return ""
}

// beside takes what happens to production beside a canary, and says whether that was all of it: health and failovers there are none of the play, and since a canary takes
// nothing from production, a party that is down or a route that moves is real.
func (o *Observer) beside(ev audit.Event) bool {
	what := ""
	switch ev := ev.(type) {
	case audit.HealthChanged:
		party, _, _ := strings.Cut(ev.Target, "/")
		was, _ := o.around.health(party)
		if _, up, _ := o.around.state(ev.Target, ev.To); was && !up && ev.To == "down" {
			what = "all targets of " + party + " are down, and a canary takes none of production's"
		}
	case audit.Failover:
		if ev.What != audit.KindFailback {
			what = "production's route " + ev.Route + " moves: " + string(ev.What)
		}
	case audit.RouteSwitched:
		return ev.Back // a failback of production; anything else is real in any mode
	default:
		return ev.Kind() == audit.KindGateChanged
	}
	if o.event == "" {
		o.event = what
	}
	return true
}
