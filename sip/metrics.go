package sip

import (
	"fmt"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

type metrics struct {
	calls    *prometheus.CounterVec
	attempts *prometheus.CounterVec
	setup    prometheus.Histogram
	active   prometheus.Gauge
	refused  *prometheus.CounterVec
	strays   prometheus.Counter

	registrationMetrics
	causeMetrics

	passports *prometheus.CounterVec
	turned    *prometheus.CounterVec
	transfers *prometheus.CounterVec
	messages  *prometheus.CounterVec
	announced *prometheus.CounterVec
}

func newMetrics(r prometheus.Registerer) (*metrics, error) {
	m := &metrics{
		calls: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "cordon_sip_calls_total", Help: "Calls that ended, by result: answered, refused, held, failed, cancelled.",
		}, []string{"result"}),
		attempts: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "cordon_sip_attempts_total", Help: "Attempts on hops, by party and result.",
		}, []string{"party", "result"}),
		setup: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "cordon_sip_setup_seconds", Help: "From the INVITE of a caller to the answer that it was sent.",
			Buckets:                     []float64{.01, .05, .1, .25, .5, 1, 2, 4, 8, 16, 32, 64},
			NativeHistogramBucketFactor: 1.1,
		}),
		active: prometheus.NewGauge(prometheus.GaugeOpts{Name: "cordon_sip_calls_active", Help: "Calls that are live now."}),
		refused: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "cordon_sip_ingress_refused_total", Help: "Packets and calls that were not admitted, by ground.",
		}, []string{"ground"}),
		turned: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "cordon_sip_turned_away_total", Help: "New calls for which there was no room, by reason: rate, lobby, lag, calls, party_calls, draining.",
		}, []string{"reason"}),
		messages: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "cordon_sip_messages_total", Help: "Messages in pager mode, by result: relayed, refused, held, failed.",
		}, []string{"result"}),
		announced: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "cordon_sip_announcements_total", Help: "Announcements to callers in the place of a call, by outcome: whole, cut, unheard, unplayable.",
		}, []string{"outcome"}),
		transfers: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "cordon_sip_transfers_total", Help: "Transfers that were asked for, by result: answered, refused, held, failed, cancelled, relayed.",
		}, []string{"result"}),
		strays: prometheus.NewCounter(prometheus.CounterOpts{Name: "cordon_sip_strays_total", Help: "Responses that belong to no transaction."}),
	}
	m.passports = prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "cordon_sip_passports_dropped_total", Help: "PASSporTs (Identity headers) that were not passed on to a party, by reason.",
	}, []string{"party", "reason"})
	if r == nil {
		return m, nil
	}
	for _, c := range []prometheus.Collector{m.calls, m.attempts, m.setup, m.active, m.refused, m.strays, m.passports, m.turned, m.transfers, m.messages, m.announced} {
		if err := r.Register(c); err != nil {
			return nil, fmt.Errorf("sip: metrics: %w", err)
		}
	}
	return m, nil
}

// well has what counts of a party that all went well, which is nearly always: looked up with the first call, and not with every one.
type well struct {
	attempts atomic.Pointer[prometheus.Counter]
	calls    atomic.Pointer[successes]
}

// successes count an answered call: of all parties, and of one.
type successes struct {
	calls, ends prometheus.Counter
	took        prometheus.Observer
}

// The words of what went well.
const (
	resultAnswered = "answered"
	wordAnswered   = "200"
)

// attempted counts an attempt on a hop of party p.
func (m *metrics) attempted(p *Party, word string) {
	if p.well == nil || word != wordAnswered {
		m.attempts.WithLabelValues(p.Name, word).Inc()
		return
	}
	n := p.well.attempts.Load()
	if n == nil {
		n = new(prometheus.Counter)
		*n = m.attempts.WithLabelValues(p.Name, word)
		p.well.attempts.Store(n)
	}
	(*n).Inc()
}

// successes are those of calls of party p, looked up by the first that is answered; nil before.
func (p *Party) successes() *successes {
	if p.well == nil {
		return nil
	}
	return p.well.calls.Load()
}

func (m *metrics) ended(c *call, result string, setup time.Duration) {
	var room [2]*Party
	parties := c.parties(room[:0])
	if result == resultAnswered {
		for _, p := range parties {
			if p.well != nil && p.successes() == nil {
				p.well.calls.Store(&successes{
					m.calls.WithLabelValues(result), m.ends.WithLabelValues(p.Name, classAnswered), m.took.WithLabelValues(p.Name),
				})
			}
		}
	}
	if s := c.party.successes(); s != nil && result == resultAnswered {
		s.calls.Inc()
	} else {
		m.calls.WithLabelValues(result).Inc()
	}
	m.causeMetrics.ended(parties, c.class(result), c.reference(), setup)
	if setup > 0 {
		m.setup.Observe(setup.Seconds())
	}
}
