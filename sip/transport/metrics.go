package transport

import (
	"errors"
	"fmt"

	"github.com/prometheus/client_golang/prometheus"
)

// metrics counts what crosses the sockets. No label holds an address or a name of a peer.
type metrics struct {
	messages *prometheus.CounterVec
	crossed  [3][2]prometheus.Counter // its counters of UDP, TCP, TLS: in, out
	dropped  *prometheus.CounterVec
	rejected *prometheus.CounterVec
	lost     *prometheus.CounterVec
	conns    *prometheus.GaugeVec
}

func newMetrics(r prometheus.Registerer) (*metrics, error) {
	counter := func(name, help string, labels ...string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Name: "cordon_sip_transport_" + name, Help: help}, labels)
	}
	m := &metrics{
		messages: counter("messages_total", "SIP messages that crossed a socket.", "proto", "direction"),
		dropped:  counter("dropped_total", "Messages and connections that were dropped without an answer.", "proto", "reason"),
		rejected: counter("rejected_total", "Malformed requests that were answered by the transport.", "proto", "status"),
		lost:     counter("lost_total", "Flows that died, datagrams that were refused.", "proto", "cause"),
		conns: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "cordon_sip_transport_connections", Help: "Open stream connections.",
		}, []string{"proto", "direction"}),
	}
	if r != nil {
		for _, v := range []**prometheus.CounterVec{&m.messages, &m.dropped, &m.rejected, &m.lost} {
			if err := register(r, v); err != nil {
				return nil, err
			}
		}
		if err := register(r, &m.conns); err != nil {
			return nil, err
		}
	}
	for i, p := range [...]Proto{UDP, TCP, TLS} {
		m.crossed[i] = [2]prometheus.Counter{m.messages.WithLabelValues(string(p), "in"), m.messages.WithLabelValues(string(p), "out")}
	}
	return m, nil
}

// crossing is the counter of messages that go this way.
func (m *metrics) crossing(p Proto, out bool) prometheus.Counter {
	ways := &m.crossed[0]
	switch p {
	case UDP:
	case TCP:
		ways = &m.crossed[1]
	case TLS:
		ways = &m.crossed[2]
	}
	if out {
		return ways[1]
	}
	return ways[0]
}

// register registers *c, or takes the one that is there already: two layers of one node count into one.
func register[C prometheus.Collector](r prometheus.Registerer, c *C) error {
	err := r.Register(*c)
	var there prometheus.AlreadyRegisteredError
	if errors.As(err, &there) {
		if old, ok := there.ExistingCollector.(C); ok {
			*c = old
			return nil
		}
	}
	if err != nil {
		return fmt.Errorf("transport: register metrics: %w", err)
	}
	return nil
}
