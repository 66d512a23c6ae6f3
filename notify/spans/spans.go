package spans

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/cordonsip/cordon/audit"
	"github.com/cordonsip/cordon/notify"
	"github.com/cordonsip/cordon/sovereign"
	"github.com/cordonsip/cordon/state"
)

// Header is one header of each request. Value reads the secret at each attempt.
type Header struct {
	Name  string
	Value func() (string, error)
}

// Collector takes spans.
type Collector struct {
	Outlet  *notify.Outlet
	Headers []Header
	Timeout time.Duration // of one attempt
}

// Config of a Follower. Log, KV, Metrics and Collector are required.
type Config struct {
	Log       audit.Log
	KV        state.KV // keeps the cursor
	Collector Collector
	Origin    Origin
	Metrics   *Metrics
	Logger    *slog.Logger

	Batch    int           // traces of one request, default 64
	Every    time.Duration // how long the first of them waits for others, default 2 s
	Attempts int           // per request, default 4
	Backoff  time.Duration // before the second attempt, doubled for each further one, default 500 ms
	MaxAge   time.Duration // how old a trace is still sent, default 5 min: what bounds a collector's backlog
}

const (
	cursorPrefix = "spans.cursor."
	backoffMax   = 30 * time.Second // a Retry-After is honoured up to it as well
	lastSave     = 5 * time.Second
	maxRoutes    = 4096 // short records that wait for their receipts
)

// Metrics of spans. They exist without a collector, too.
type Metrics struct {
	sent     prometheus.Counter
	failures prometheus.Counter
	dropped  *prometheus.CounterVec
	behind   prometheus.Gauge
}

// NewMetrics registers them; reg may be nil.
func NewMetrics(reg prometheus.Registerer) (*Metrics, error) {
	m := &Metrics{
		sent:     prometheus.NewCounter(prometheus.CounterOpts{Name: "cordon_spans_sent_total", Help: "Spans that the collector took."}),
		failures: prometheus.NewCounter(prometheus.CounterOpts{Name: "cordon_spans_failures_total", Help: "Requests that the collector did not take."}),
		dropped: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "cordon_spans_dropped_total", Help: "Spans that the collector never got, by reason.",
		}, []string{"reason"}),
		behind: prometheus.NewGauge(prometheus.GaugeOpts{Name: "cordon_spans_behind_entries", Help: "Entries of the log that were not passed yet."}),
	}
	if reg != nil {
		for _, c := range []prometheus.Collector{m.sent, m.failures, m.dropped, m.behind} {
			if err := reg.Register(c); err != nil {
				return nil, fmt.Errorf("spans: registering metrics: %w", err)
			}
		}
	}
	return m, nil
}

// Follower sends the calls of a log.
type Follower struct {
	c         Config
	collector atomic.Pointer[Collector]
	cursor    notify.Cursor
	routes    map[string]string // by call, of short records whose receipts are still to come
	failing   bool              // the last batch was dropped, and that was said
}

// New checks c and starts nothing.
func New(c Config) (*Follower, error) {
	if c.Log == nil || c.KV == nil || c.Metrics == nil || c.Collector.Outlet == nil {
		return nil, errors.New("spans: a log, a store, metrics and a collector are needed")
	}
	c.Batch = positive(c.Batch, 64)
	c.Every = positive(c.Every, 2*time.Second)
	c.Attempts = positive(c.Attempts, 4)
	c.Backoff = positive(c.Backoff, 500*time.Millisecond)
	c.MaxAge = positive(c.MaxAge, 5*time.Minute)
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	f := &Follower{c: c, routes: map[string]string{}}
	f.cursor = notify.Cursor{Log: c.Log, KV: c.KV, Key: cursorPrefix + notify.LogID(c.Log), MaxAge: c.MaxAge, Logger: c.Logger}
	f.Aim(c.Collector)
	return f, nil
}

func positive[T int | time.Duration](v, d T) T {
	if v <= 0 {
		return d
	}
	return v
}

// Aim replaces the collector, from the next attempt on.
func (f *Follower) Aim(c Collector) {
	c.Timeout = positive(c.Timeout, 10*time.Second)
	f.collector.Store(&c)
}

// Run follows the log until ctx ends. What was not sent then is sent by the next run, while it is young.
func (f *Follower) Run(ctx context.Context) error {
	for wait := f.c.Backoff; ctx.Err() == nil; {
		err := f.advance(ctx)
		if err == nil || ctx.Err() != nil {
			wait = f.c.Backoff
			continue
		}
		f.c.Logger.Error("following the log", "error", err)
		notify.Pause(ctx, wait)
		wait = min(2*wait, backoffMax)
	}
	last, cancel := context.WithTimeout(context.WithoutCancel(ctx), lastSave)
	defer cancel()
	if err := f.cursor.Save(last); err != nil {
		f.c.Logger.Warn("the cursor was not kept; what it passed is sent again", "error", err)
	}
	return nil
}

// advance gathers one batch, sends it or gives it up, and passes it.
func (f *Follower) advance(ctx context.Context) error {
	if err := f.cursor.Load(ctx); err != nil {
		return err
	}
	list, next, err := f.gather(ctx)
	if err != nil {
		return err
	}
	if len(list) > 0 {
		if err := f.deliver(ctx, list); err != nil {
			return err
		}
	}
	f.cursor.Next = next
	f.c.Metrics.behind.Set(float64(f.c.Log.Size() - next))
	if len(list) > 0 {
		return f.cursor.Save(ctx)
	}
	return f.cursor.Keep(ctx)
}

// gather reads until a batch is full, or its first trace has waited long enough, or the log has ended without one. next is behind what was read.
func (f *Follower) gather(ctx context.Context) (list []span, next uint64, err error) {
	log, traces := f.c.Log, 0
	var due <-chan time.Time
	next = f.cursor.Next
	for traces < f.c.Batch {
		if log.Size() <= next {
			f.c.Metrics.behind.Set(float64(next - f.cursor.Next))
			if traces == 0 && next > f.cursor.Next {
				return nil, next, nil
			}
			select {
			case <-log.Grown(next):
			case <-due:
				return list, next, nil
			case <-ctx.Done():
				return nil, next, ctx.Err()
			}
		}
		picked, end, err := audit.Pick(ctx, log, next, f.c.Batch-traces, wanted)
		if err != nil {
			return nil, next, fmt.Errorf("spans: reading the log from %d: %w", next, err)
		}
		for _, e := range picked {
			if t := f.trace(e); t != nil {
				list, traces = append(list, t...), traces+1
			}
		}
		if next = end; traces > 0 && due == nil {
			timer := time.NewTimer(f.c.Every)
			defer timer.Stop()
			due = timer.C
		}
	}
	return list, next, nil
}

func wanted(k audit.Kind) bool { return k == audit.KindReceipt || k == audit.KindCallEnded }

// trace gives the spans of a receipt; nil for a short record, of which the route is remembered, and for what is too old.
func (f *Follower) trace(e audit.Entry) []span {
	ev, err := audit.Decode(e)
	if err != nil {
		f.c.Logger.Error("an entry cannot be read and is passed", "entry", e.Seq, "error", err)
		return nil
	}
	if r, ok := ev.(audit.Receipt); ok {
		list := traceOf(r, f.routes[r.CallRef])
		delete(f.routes, r.CallRef)
		if time.Since(e.Time) > f.c.MaxAge {
			f.c.Metrics.dropped.WithLabelValues("old").Add(float64(len(list)))
			return nil
		}
		return list
	}
	if c, ok := ev.(audit.CallEnded); ok {
		if len(f.routes) >= maxRoutes {
			clear(f.routes) // of receipts that never came
		}
		f.routes[c.CallRef] = c.Route
	}
	return nil
}

// deliver posts until it works, makes no sense any more, or was tried often enough. An error means that it must be delivered again.
func (f *Follower) deliver(ctx context.Context, list []span) error {
	body, err := encode(f.c.Origin, list)
	if err != nil {
		return fmt.Errorf("spans: writing a request: %w", err)
	}
	wait := f.c.Backoff
	for attempt := 1; ; attempt++ {
		o := f.post(ctx, body)
		if ctx.Err() != nil && o.reason != "" {
			return ctx.Err()
		}
		if o.reason == "" {
			lost := min(max(o.rejected, 0), int64(len(list)))
			f.c.Metrics.sent.Add(float64(int64(len(list)) - lost))
			f.c.Metrics.dropped.WithLabelValues("rejected").Add(float64(lost))
			f.failing = false
			return nil
		}
		f.c.Metrics.failures.Inc()
		if !o.retry || attempt >= f.c.Attempts {
			f.c.Metrics.dropped.WithLabelValues(o.reason).Add(float64(len(list)))
			if !f.failing {
				f.c.Logger.Warn("spans are dropped until the collector takes them", "reason", o.reason, "attempt", attempt, "error", o.err)
			}
			f.failing = true
			return nil
		}
		notify.Pause(ctx, min(max(wait/2+rand.N(wait/2+1), o.after), backoffMax))
		wait = min(2*wait, backoffMax)
	}
}

// outcome of one attempt: reason is empty when the collector took it, else fenced, refused or failed.
type outcome struct {
	reason   string
	err      error
	retry    bool
	after    time.Duration
	rejected int64 // spans that were not taken although the request was
}

func (f *Follower) post(ctx context.Context, body []byte) outcome {
	c := f.collector.Load()
	ctx, cancel := context.WithTimeout(ctx, c.Timeout)
	defer cancel()
	header := http.Header{}
	for _, h := range c.Headers {
		v, err := h.Value()
		if err != nil {
			return outcome{reason: "failed", err: fmt.Errorf("spans: header %s: %w", h.Name, err), retry: true}
		}
		header.Set(h.Name, v)
	}
	header.Set("Content-Type", "application/json")
	a, err := c.Outlet.Post(ctx, header, body)
	switch {
	case errors.Is(err, sovereign.ErrFenced):
		return outcome{reason: "fenced", err: err}
	case err != nil:
		return outcome{reason: "failed", err: err, retry: true}
	case a.Status >= 200 && a.Status < 300:
		return outcome{rejected: rejected(a.Body)}
	}
	err = fmt.Errorf("spans: the collector answered %d", a.Status)
	switch a.Status {
	// OTLP/HTTP, "Retryable Response Codes": these and no others.
	case http.StatusTooManyRequests, http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		return outcome{reason: "failed", err: err, retry: true, after: a.After}
	}
	return outcome{reason: "refused", err: err}
}
