package notify

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/cordonsip/cordon/audit"
	"github.com/cordonsip/cordon/state"
)

// Channel carries notices to one place. Send reports whether another attempt makes sense; the caller owns it. An error may wrap a *RetryAfter.
// The text of an error must hold no secret: it is logged and recorded.
type Channel interface {
	Name() string
	Send(ctx context.Context, n Notice) (retry bool, err error)
}

// RetryAfter is an error of a receiver that says when it wants to be asked again.
type RetryAfter struct {
	After time.Duration
	Err   error
}

func (r *RetryAfter) Error() string { return r.Err.Error() }
func (r *RetryAfter) Unwrap() error { return r.Err }

// Routed is a channel and the kinds of entries that it carries ("failover.*" for all that begin so); none means DefaultKinds.
type Routed struct {
	Channel Channel
	Kinds   []string
}

// Config of a Follower.
type Config struct {
	Log      audit.Log
	KV       state.KV // keeps the cursors
	Channels []Routed
	// Told is called when a channel delivered a notice that asks people to decide on a ticket, or gave up: failure is then the reason.
	Told    func(ctx context.Context, ticket, channel, failure string) error
	Logger  *slog.Logger
	Metrics prometheus.Registerer

	Attempts    int           // per notice, default 6
	SendTimeout time.Duration // per attempt, default 10 s
	Backoff     time.Duration // before the second attempt, doubled for each further one, default 500 ms
	BackoffMax  time.Duration // default 30 s; a Retry-After is honoured up to it as well
	MaxAge      time.Duration // how old an entry a channel without a cursor still carries, default 1 h
}

const (
	cursorPrefix = "notify.cursor."
	batch        = 256
)

// Follower follows the log.
type Follower struct {
	c      Config
	logger *slog.Logger

	mu     sync.Mutex // guards routes
	routes []route
	reload chan struct{}

	deliveries *prometheus.CounterVec
	attempts   *prometheus.CounterVec
	behind     *prometheus.GaugeVec
}

type route struct {
	channel Channel
	kinds   map[audit.Kind]bool
}

// New checks c and starts nothing.
func New(c Config) (*Follower, error) {
	if c.Log == nil || c.KV == nil {
		return nil, errors.New("notify: a log and a store are needed")
	}
	c.Attempts = positive(c.Attempts, 6)
	c.SendTimeout = positive(c.SendTimeout, 10*time.Second)
	c.Backoff = positive(c.Backoff, 500*time.Millisecond)
	c.BackoffMax = positive(c.BackoffMax, 30*time.Second)
	c.MaxAge = positive(c.MaxAge, time.Hour)
	f := &Follower{c: c, logger: c.Logger, reload: make(chan struct{}, 1)}
	if f.logger == nil {
		f.logger = slog.New(slog.DiscardHandler)
	}
	f.deliveries = prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "cordon_notify_deliveries_total", Help: "Notices by channel and result (delivered, failed).",
	}, []string{"channel", "result"})
	f.attempts = prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "cordon_notify_attempts_total", Help: "Attempts to deliver a notice.",
	}, []string{"channel"})
	f.behind = prometheus.NewGaugeVec(prometheus.GaugeOpts{
		Name: "cordon_notify_behind_entries", Help: "Entries of the log that a channel has not passed yet.",
	}, []string{"channel"})
	if c.Metrics != nil {
		for _, m := range []prometheus.Collector{f.deliveries, f.attempts, f.behind} {
			if err := c.Metrics.Register(m); err != nil {
				return nil, fmt.Errorf("notify: registering metrics: %w", err)
			}
		}
	}
	return f, f.set(c.Channels)
}

func positive[T int | time.Duration](v, d T) T {
	if v <= 0 {
		return d
	}
	return v
}

// Reload replaces the channels. A channel that keeps its name keeps its place in the log.
func (f *Follower) Reload(channels []Routed) error {
	if err := f.set(channels); err != nil {
		return err
	}
	select {
	case f.reload <- struct{}{}:
	default:
	}
	return nil
}

func (f *Follower) set(channels []Routed) error {
	var routes []route
	names, asked := map[string]bool{}, false
	for _, r := range channels {
		kinds, err := kindSet(r.Kinds)
		if err != nil {
			return err
		}
		name := r.Channel.Name()
		if name == "" || len(name) > 64 || names[name] {
			return fmt.Errorf("notify: the channel name %q is empty, too long or there twice", name)
		}
		names[name] = true
		asked = asked || kinds[audit.KindGateChanged] || kinds[audit.KindFailoverHeld]
		routes = append(routes, route{r.Channel, kinds})
	}
	if !asked {
		// A ticket that nobody can be told of must say so, or it would wait for a word that never comes.
		routes = append(routes, route{nowhere{}, map[audit.Kind]bool{audit.KindGateChanged: true}})
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.routes = routes
	return nil
}

// nowhere is the channel of a configuration in which no channel carries tickets: it fails, and the failure goes on record.
type nowhere struct{}

func (nowhere) Name() string { return "none" }

func (nowhere) Send(context.Context, Notice) (bool, error) {
	return false, errors.New("no channel is configured to carry tickets")
}

// Run follows the log with every channel until ctx ends.
func (f *Follower) Run(ctx context.Context) error {
	for ctx.Err() == nil {
		f.mu.Lock()
		routes := f.routes
		f.mu.Unlock()
		inner, cancel := context.WithCancel(ctx)
		var wg sync.WaitGroup
		for _, r := range routes {
			wg.Go(func() { f.follow(inner, r) })
		}
		select {
		case <-ctx.Done():
		case <-f.reload:
		}
		cancel()
		wg.Wait()
	}
	return nil
}

// follow carries one channel along the log. One channel never waits for another.
func (f *Follower) follow(ctx context.Context, r route) {
	key := cursorPrefix + LogID(f.c.Log) + "." + base64.RawURLEncoding.EncodeToString([]byte(r.channel.Name()))
	p := &place{f: f, r: r, Cursor: &Cursor{Log: f.c.Log, KV: f.c.KV, Key: key, MaxAge: f.c.MaxAge, Logger: f.logger.With("channel", r.channel.Name())}}
	wait := f.c.Backoff
	for ctx.Err() == nil {
		err := p.advance(ctx)
		if err == nil {
			wait = f.c.Backoff
			continue
		}
		if ctx.Err() != nil {
			break
		}
		f.logger.Error("following the log", "channel", r.channel.Name(), "error", err)
		Pause(ctx, wait)
		wait = min(2*wait, f.c.BackoffMax)
	}
	last, cancel := context.WithTimeout(context.WithoutCancel(ctx), stateTimeout)
	defer cancel()
	if err := p.Save(last); err != nil {
		f.logger.Warn("a cursor was not kept; what it passed is read again", "channel", r.channel.Name(), "error", err)
	}
}

// Pause waits for d or the end of ctx.
func Pause(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}

// place is where a channel stands in the log. One goroutine owns it.
type place struct {
	*Cursor
	f *Follower
	r route
}

// advance waits for entries and passes some of them.
func (p *place) advance(ctx context.Context) error {
	if err := p.Load(ctx); err != nil {
		return err
	}
	log := p.f.c.Log
	behind := p.f.behind.WithLabelValues(p.r.channel.Name())
	if size := log.Size(); p.Next >= size {
		behind.Set(0)
		select {
		case <-log.Grown(p.Next):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	picked, next, err := audit.Pick(ctx, log, p.Next, batch, func(k audit.Kind) bool { return p.r.kinds[k] })
	if err != nil {
		return fmt.Errorf("notify: reading the log from %d: %w", p.Next, err)
	}
	for _, e := range picked {
		p.Next = e.Seq
		behind.Set(float64(log.Size() - e.Seq))
		n, ok := noticeOf(e)
		if !ok {
			continue
		}
		if err := p.f.tell(ctx, p.r, n); err != nil {
			return err
		}
		p.Next++
		if err := p.Save(ctx); err != nil {
			return err
		}
	}
	p.Next = next
	behind.Set(float64(log.Size() - next))
	return p.Keep(ctx)
}

// tell delivers one notice or gives it up, and then says so to whoever waits for the telling. An error means that it must be told again.
func (f *Follower) tell(ctx context.Context, r route, n Notice) error {
	name := r.channel.Name()
	failure := f.deliver(ctx, r.channel, n)
	if ctx.Err() != nil {
		return ctx.Err()
	}
	result := "delivered"
	if failure != "" {
		result = "failed"
		f.logger.Error("a notice was not delivered", "channel", name, "kind", n.Kind, "entry", n.Seq, "failure", failure)
	}
	f.deliveries.WithLabelValues(name, result).Inc()
	if !n.asks() || f.c.Told == nil {
		return nil
	}
	wait := f.c.Backoff
	for attempt := 1; ; attempt++ {
		err := f.c.Told(ctx, n.Ticket, name, failure)
		if err == nil || ctx.Err() != nil {
			return ctx.Err()
		}
		// While the log is down nothing else can be told either, so waiting costs nothing; any other error is given up like a delivery.
		if attempt >= f.c.Attempts && !errors.Is(err, audit.ErrLogDown) {
			f.logger.Error("that people were told could not be recorded", "channel", name, "ticket", n.Ticket, "error", err)
			return nil
		}
		Pause(ctx, f.jitter(wait))
		wait = min(2*wait, f.c.BackoffMax)
	}
}

// deliver tries until it works, makes no sense any more, or was tried often enough. It gives the reason of the failure.
func (f *Follower) deliver(ctx context.Context, c Channel, n Notice) (failure string) {
	wait := f.c.Backoff
	for attempt := 1; ; attempt++ {
		f.attempts.WithLabelValues(c.Name()).Inc()
		once, cancel := context.WithTimeout(ctx, f.c.SendTimeout)
		retry, err := c.Send(once, n)
		cancel()
		if err == nil {
			return ""
		}
		if !retry || attempt >= f.c.Attempts || ctx.Err() != nil {
			return fmt.Sprintf("attempt %d: %v", attempt, err)
		}
		f.logger.Warn("a notice is tried again", "channel", c.Name(), "entry", n.Seq, "attempt", attempt, "error", err)
		next := f.jitter(wait)
		if after := new(RetryAfter); errors.As(err, &after) {
			next = min(max(next, after.After), f.c.BackoffMax)
		}
		Pause(ctx, next)
		wait = min(2*wait, f.c.BackoffMax)
	}
}

// jitter gives between half of d and d, so that many nodes do not knock together.
func (f *Follower) jitter(d time.Duration) time.Duration {
	return d/2 + rand.N(d/2+1)
}
