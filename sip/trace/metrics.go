package trace

import (
	"fmt"

	"github.com/prometheus/client_golang/prometheus"
)

// Metrics of traces and of the copies for a collector. A nil Metrics counts nothing.
type Metrics struct {
	calls   prometheus.Gauge
	losses  *prometheus.CounterVec
	copies  prometheus.Counter
	dropped *prometheus.CounterVec
}

// NewMetrics registers the metrics with r.
func NewMetrics(r prometheus.Registerer) (*Metrics, error) {
	m := &Metrics{
		calls: prometheus.NewGauge(prometheus.GaugeOpts{Name: "cordon_trace_calls", Help: "Calls that are remembered for traces."}),
		losses: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "cordon_trace_lost_total", Help: "Messages and notes that no trace has, by reason: full.",
		}, []string{"reason"}),
		copies: prometheus.NewCounter(prometheus.CounterOpts{Name: "cordon_trace_hep_sent_total", Help: "Messages that were sent to the HEP collector."}),
		dropped: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "cordon_trace_hep_dropped_total", Help: "Messages that the HEP collector was not sent, by reason: queue, fenced, failed.",
		}, []string{"reason"}),
	}
	for _, c := range []prometheus.Collector{m.calls, m.losses, m.copies, m.dropped} {
		if err := r.Register(c); err != nil {
			return nil, fmt.Errorf("trace: metrics: %w", err)
		}
	}
	return m, nil
}

func (m *Metrics) remembered(n int) {
	if m != nil {
		m.calls.Set(float64(n))
	}
}

func (m *Metrics) lost(reason string) {
	if m != nil {
		m.losses.WithLabelValues(reason).Inc()
	}
}

func (m *Metrics) sent() {
	if m != nil {
		m.copies.Inc()
	}
}

func (m *Metrics) drop(reason string) {
	if m != nil {
		m.dropped.WithLabelValues(reason).Inc()
	}
}
