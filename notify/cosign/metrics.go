package cosign

import (
	"fmt"

	"github.com/prometheus/client_golang/prometheus"
)

// Metrics of witnesses. They exist without witnesses, too.
type Metrics struct {
	requests *prometheus.CounterVec
	entries  prometheus.Gauge
	missing  prometheus.Gauge
}

// NewMetrics registers them; reg may be nil.
func NewMetrics(reg prometheus.Registerer) (*Metrics, error) {
	m := &Metrics{
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "cordon_witness_requests_total", Help: "Checkpoints that witnesses were asked to sign, by result.",
		}, []string{"witness", "result"}),
		entries: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "cordon_witness_cosigned_entries", Help: "Entries under the newest checkpoint that enough witnesses signed.",
		}),
		missing: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "cordon_witness_quorum_missing", Help: "1 while too few witnesses sign, as the log has it.",
		}),
	}
	if reg != nil {
		for _, c := range []prometheus.Collector{m.requests, m.entries, m.missing} {
			if err := reg.Register(c); err != nil {
				return nil, fmt.Errorf("cosign: registering metrics: %w", err)
			}
		}
	}
	return m, nil
}
