package worm

import (
	"fmt"

	"github.com/prometheus/client_golang/prometheus"
)

// Metrics of the copy. They exist without one, too.
type Metrics struct {
	copied  prometheus.Gauge
	behind  prometheus.Gauge
	lag     prometheus.Gauge
	locked  prometheus.Gauge
	objects *prometheus.CounterVec
}

// NewMetrics registers them; reg may be nil.
func NewMetrics(reg prometheus.Registerer) (*Metrics, error) {
	m := &Metrics{
		copied:  prometheus.NewGauge(prometheus.GaugeOpts{Name: "cordon_log_copy_entries", Help: "Entries under the newest checkpoint in the copy that nobody can delete from."}),
		behind:  prometheus.NewGauge(prometheus.GaugeOpts{Name: "cordon_log_copy_behind_entries", Help: "Entries of the log that are not in that copy."}),
		lag:     prometheus.NewGauge(prometheus.GaugeOpts{Name: "cordon_log_copy_behind_seconds", Help: "Time since that copy was level with the log; 0 while it is."}),
		locked:  prometheus.NewGauge(prometheus.GaugeOpts{Name: "cordon_log_copy_locked", Help: "1 while the bucket is proved to refuse deletions; 0 without a copy."}),
		objects: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "cordon_log_copy_objects_total", Help: "Objects of that copy, by result."}, []string{"result"}),
	}
	if reg != nil {
		for _, c := range []prometheus.Collector{m.copied, m.behind, m.lag, m.locked, m.objects} {
			if err := reg.Register(c); err != nil {
				return nil, fmt.Errorf("worm: registering metrics: %w", err)
			}
		}
	}
	return m, nil
}
