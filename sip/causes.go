package sip

import (
	"strconv"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// causeMetrics count by party. A label is a party's name or a word of this file, never a number of anybody; an exemplar names one call by its audit reference.
type causeMetrics struct {
	ends  *prometheus.CounterVec
	fails *prometheus.CounterVec
	took  *prometheus.HistogramVec
	shown *atomic.Int64 // when a call that went well was last an exemplar, in Unix nanoseconds
}

// showEvery bounds the exemplars of calls that went well: each costs more memory than everything else that is counted of a call.
const showEvery = 100 * time.Millisecond

// shows says whether a call is to be an exemplar: each one that failed or was slow, of the others one in a while.
func (m *causeMetrics) shows(class string, setup time.Duration) bool {
	if class != classAnswered || setup >= time.Second {
		return true
	}
	now, last := time.Now().UnixNano(), m.shown.Load()
	return now-last >= int64(showEvery) && m.shown.CompareAndSwap(last, now)
}

func newCauseMetrics(r prometheus.Registerer) (causeMetrics, error) {
	m := causeMetrics{
		ends: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "cordon_sip_party_calls_total", Help: "Calls that ended, by each party that had a leg in them and class of the cause.",
		}, []string{"party", "class"}),
		fails: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "cordon_sip_party_failures_total", Help: "Attempts that a party did not answer with 2xx, by class of the cause.",
		}, []string{"party", "class"}),
		took: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "cordon_sip_party_setup_seconds", Help: "From the INVITE of a caller to the answer that it was sent, by each party of the call.",
			Buckets: []float64{.05, .1, .25, .5, 1, 2, 4, 8, 16, 32, 64},
		}, []string{"party"}),
		shown: new(atomic.Int64),
	}
	if r == nil {
		return m, nil
	}
	for _, c := range []prometheus.Collector{m.ends, m.fails, m.took} {
		if err := r.Register(c); err != nil {
			return m, err
		}
	}
	return m, nil
}

// ended counts a call for each of its parties. An exemplar leads from a slow bucket, or from a failure, to a call that made it.
func (m *causeMetrics) ended(parties []*Party, class, ref string, setup time.Duration) {
	if !m.shows(class, setup) {
		ref = ""
	}
	for i, p := range parties {
		if i > 0 && p.Name == parties[0].Name {
			continue
		}
		mark(m.endsOf(p, class), ref)
		if setup <= 0 {
			continue
		}
		o := m.tookOf(p)
		if x, ok := o.(prometheus.ExemplarObserver); ok && ref != "" {
			x.ObserveWithExemplar(setup.Seconds(), prometheus.Labels{"call_ref": ref})
			continue
		}
		o.Observe(setup.Seconds())
	}
}

func (m *causeMetrics) endsOf(p *Party, class string) prometheus.Counter {
	if s := p.successes(); s != nil && class == classAnswered {
		return s.ends
	}
	return m.ends.WithLabelValues(p.Name, class)
}

func (m *causeMetrics) tookOf(p *Party) prometheus.Observer {
	if s := p.successes(); s != nil {
		return s.took
	}
	return m.took.WithLabelValues(p.Name)
}

// failed counts an attempt that did not connect.
func (m *causeMetrics) failed(party, word, ref string) {
	if class := classOf(word); class != classAnswered {
		mark(m.fails.WithLabelValues(party, class), ref)
	}
}

func mark(c prometheus.Counter, ref string) {
	if x, ok := c.(prometheus.ExemplarAdder); ok && ref != "" {
		x.AddWithExemplar(1, prometheus.Labels{"call_ref": ref})
		return
	}
	c.Inc()
}

const classAnswered = "answered"

// classOf sorts the result of an attempt, a status or a word of ours, by who has to look at it.
func classOf(word string) string {
	status, err := strconv.Atoi(word)
	if err != nil {
		switch word {
		case "silent", "lost", "icmp", "refused":
			return "unreachable"
		case "fenced", "refused_by_policy":
			return "policy"
		case "cancelled":
			return "cancelled"
		}
		return "local"
	}
	switch {
	case status >= 200 && status < 300:
		return classAnswered
	case status == 486, status == 600:
		return "busy"
	case status == 408, status == 480:
		return "no_answer"
	case status == 487:
		return "cancelled"
	case status == 404, status == 410, status == 484, status == 485, status == 604:
		return "number"
	case status == 401, status == 403, status == 407, status == 603, status == 607, status == 608:
		return "rejected"
	case status == 415, status == 488, status == 606:
		return "media"
	case status == 503:
		return "overload"
	case status >= 500 && status < 600:
		return "server"
	case status >= 300 && status < 400:
		return "redirect"
	}
	return "protocol"
}

// class is the cause class of the whole call. What the law kept from going through is the policy's, whatever status the caller was told.
func (c *call) class(result string) string {
	if result == "held" || result == "refused" {
		return "policy"
	}
	return classOf(itoa(c.final))
}

// parties are those that have a leg in the call, the caller's first, behind out.
func (c *call) parties(out []*Party) []*Party {
	out = append(out, c.party)
	if c.b != nil {
		out = append(out, c.b.party)
	}
	return out
}
