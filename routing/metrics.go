package routing

import (
	"errors"

	"github.com/prometheus/client_golang/prometheus"
)

// metrics name routes and parties, never numbers.
type metrics struct {
	hops, held, none prometheus.Counter // of plans, resolved once: Plan is on the call path
	changes          *prometheus.CounterVec
	active           *prometheus.GaugeVec
}

func newMetrics(r prometheus.Registerer) (*metrics, error) {
	plans := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "cordon_routing_plans_total",
		Help: "Plans made, by what came of them: a way, nothing but held or denied ways, or no way at all.",
	}, []string{"result"})
	m := &metrics{
		hops: plans.WithLabelValues("way"), held: plans.WithLabelValues("held"), none: plans.WithLabelValues("none"),
		changes: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "cordon_routing_failovers_total",
			Help: "Changes of the active party of a route, by kind: applied, failback, held, refused.",
		}, []string{"route", "kind"}),
		active: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "cordon_routing_active",
			Help: "1 for the party that a route uses now.",
		}, []string{"route", "party"}),
	}
	if r == nil {
		return m, nil
	}
	return m, errors.Join(r.Register(plans), r.Register(m.changes), r.Register(m.active))
}

func (m *metrics) planned(p *Plan) {
	switch {
	case len(p.Hops) > 0:
		m.hops.Inc()
	case p.Held:
		m.held.Inc()
	default:
		m.none.Inc()
	}
}

func (m *metrics) uses(a Active) {
	if a.Party != "" {
		m.active.WithLabelValues(a.Route, a.Party).Set(1)
	}
}
