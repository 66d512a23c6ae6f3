package sip

import (
	"fmt"

	"github.com/prometheus/client_golang/prometheus"
)

// registrationMetrics count challenges and registrations in both directions.
type registrationMetrics struct {
	challenges    *prometheus.CounterVec
	registrations *prometheus.CounterVec
	bindings      *prometheus.GaugeVec
	registers     *prometheus.CounterVec
	registered    *prometheus.GaugeVec
}

func newRegistrationMetrics(r prometheus.Registerer) (registrationMetrics, error) {
	m := registrationMetrics{
		challenges: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "cordon_sip_challenges_total", Help: "Requests of parties that must prove who they are, by what they showed: asked, good, stale, wrong, silent.",
		}, []string{"party", "result"}),
		registrations: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "cordon_sip_registrations_total", Help: "REGISTER requests of parties that were answered, by status.",
		}, []string{"party", "status"}),
		bindings: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "cordon_sip_bindings", Help: "Contacts that a party has registered with us.",
		}, []string{"party"}),
		registers: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "cordon_sip_registers_total", Help: "Registrations of ours that came to an end, by party and result: a status, silent, lost, fenced.",
		}, []string{"party", "result"}),
		registered: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "cordon_sip_registered", Help: "1 while a target has our registration.",
		}, []string{"party", "target"}),
	}
	if r == nil {
		return m, nil
	}
	for _, c := range []prometheus.Collector{m.challenges, m.registrations, m.bindings, m.registers, m.registered} {
		if err := r.Register(c); err != nil {
			return m, fmt.Errorf("sip: metrics: %w", err)
		}
	}
	return m, nil
}
