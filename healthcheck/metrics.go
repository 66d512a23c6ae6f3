package healthcheck

import (
	"errors"

	"github.com/prometheus/client_golang/prometheus"
)

// metrics name parties and targets, never people.
type metrics struct {
	state       *prometheus.GaugeVec
	rtt         *prometheus.HistogramVec
	transitions *prometheus.CounterVec
	dropped     prometheus.Counter
	doubting    prometheus.Gauge
}

func newMetrics(r prometheus.Registerer) (*metrics, error) {
	m := &metrics{
		state: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "cordon_healthcheck_target_state",
			Help: "State of a target: 0 unknown, 1 up, 2 degraded, 3 down.",
		}, []string{"party", "target"}),
		rtt: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name:                        "cordon_healthcheck_rtt_seconds",
			Help:                        "Round-trip time of answered OPTIONS probes.",
			Buckets:                     []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5},
			NativeHistogramBucketFactor: 1.1,
		}, []string{"party"}),
		transitions: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "cordon_healthcheck_transitions_total",
			Help: "Changes of state of targets, by the state entered.",
		}, []string{"party", "to"}),
		dropped: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "cordon_healthcheck_outcomes_dropped_total",
			Help: "Outcomes of calls that were not taken in because too many waited.",
		}),
		doubting: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "cordon_healthcheck_self_doubt",
			Help: "1 while this node takes the silence of most targets for its own fault.",
		}),
	}
	if r == nil {
		return m, nil
	}
	var failed error
	for _, c := range []prometheus.Collector{m.state, m.rtt, m.transitions, m.dropped, m.doubting} {
		failed = errors.Join(failed, r.Register(c))
	}
	return m, failed
}
