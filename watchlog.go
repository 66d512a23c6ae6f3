package cordon

import (
	"context"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

const (
	logLookEvery = time.Second
	reserveAlarm = 0.2 // share of the reserve in use at which people must hear of it
)

// logWatch looks at the log once a second and tells of what the log cannot tell itself: that it cannot be written, and that its reserve is being eaten.
type logWatch struct {
	node    *Node
	down    bool
	alarmed bool
	unkept  bool
	up      prometheus.Gauge
	used    prometheus.Gauge
	entries prometheus.Gauge
	bare    prometheus.Gauge
}

func newLogWatch(n *Node) (*logWatch, error) {
	w := &logWatch{
		node:    n,
		up:      prometheus.NewGauge(prometheus.GaugeOpts{Name: "cordon_audit_log_up", Help: "1 while the log can be written."}),
		used:    prometheus.NewGauge(prometheus.GaugeOpts{Name: "cordon_audit_reserve_used_ratio", Help: "Share of the log's disk reserve that is in use; alarm at 0.2."}),
		entries: prometheus.NewGauge(prometheus.GaugeOpts{Name: "cordon_audit_log_entries", Help: "Durable entries of the log."}),
		bare:    prometheus.NewGauge(prometheus.GaugeOpts{Name: "cordon_audit_uncovered_seconds", Help: "Age of the oldest entry that stands under no checkpoint."}),
	}
	for _, c := range []prometheus.Collector{w.up, w.used, w.entries, w.bare} {
		if err := n.opts.Metrics.Register(c); err != nil {
			return nil, err
		}
	}
	return w, nil
}

// Run looks until ctx ends.
func (w *logWatch) Run(ctx context.Context) error {
	tick := time.NewTicker(logLookEvery)
	defer tick.Stop()
	for {
		w.look()
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

func (w *logWatch) look() {
	h := w.node.log.Health()
	if err := w.node.logKeys().retire(w.node.log.Keys(), time.Now()); err != nil {
		w.node.logger.Error("the former key of the log cannot be destroyed", "error", err)
	}
	w.entries.Set(float64(w.node.log.Size()))
	w.bare.Set(h.Uncovered.Seconds())
	w.up.Set(0)
	if h.OK {
		w.up.Set(1)
	}
	if h.OK == w.down {
		w.down = !h.OK
		if w.down {
			w.node.logger.Error("the log cannot be written; gated calls are refused", "why", h.Why, "on_log_failure", w.node.cfg.Load().Log.OnLogFailure)
		} else {
			w.node.logger.Info("the log can be written again; what is missing, if anything, stands in a gap record")
		}
	}
	if p := w.node.names.Health(); p.OK == w.unkept {
		w.unkept = !p.OK
		if w.unkept {
			w.node.logger.Error("what the log's references stand for cannot be kept; calls and decisions go on", "why", p.Why, "salts_lost", p.Lost, "people_unsaved", p.Unsaved)
		} else {
			w.node.logger.Info("what the log's references stand for is kept again", "salts_lost", p.Lost)
		}
	}
	if h.ReserveBytes == 0 {
		return
	}
	share := float64(h.ReserveUsed) / float64(h.ReserveBytes)
	w.used.Set(share)
	if over := share >= reserveAlarm; over != w.alarmed {
		w.alarmed = over
		if over {
			w.node.logger.Error("the disk is full and the log lives on its reserve: make room now", "used", share)
		}
	}
}
