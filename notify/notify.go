package notify

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/cordonsip/cordon/audit"
	"github.com/cordonsip/cordon/internal/impair"
	"github.com/cordonsip/cordon/sovereign"
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

// Routed is a channel, the kinds of entries that it carries ("failover.*" for all that begin so; none means DefaultKinds), and how many messages it gets.
type Routed struct {
	Channel Channel
	Kinds   []string
	Rate    Rate
}

// Config of a Follower.
type Config struct {
	Log      audit.Log
	KV       state.KV // keeps the cursors
	Channels []Routed
	Tenant   string // as entries name them, for messages that no entry stands behind
	Node     string
	// Told is called when a channel delivered a notice that asks people to decide on a ticket, or gave up: failure is then the reason.
	Told func(ctx context.Context, ticket, channel, failure string) error
	// Delivered is told of each notice that a channel took; may be nil, must not block.
	Delivered func(channel string, n Notice)
	// Impaired is what a drill has deliveries to a channel meet; nil: nothing ever. Notices wait for its end, and are not lost by it.
	Impaired func(channel string) impair.Effect
	Logger   *slog.Logger
	Metrics  prometheus.Registerer

	Attempts    int           // per notice, default 6
	SendTimeout time.Duration // per attempt, default 10 s
	Backoff     time.Duration // before the second attempt, doubled for each further one, default 500 ms
	BackoffMax  time.Duration // default 30 s; a Retry-After is honoured up to it as well
	MaxAge      time.Duration // how old an entry a channel without a cursor still carries, default 1 h
}

const (
	cursorPrefix = "notify.cursor."
	batch        = 256
	maxWindow    = 16384 // entries that a group is made of at most

	resultDelivered = "delivered"
	resultFailed    = "failed"
)

// Follower follows the log.
type Follower struct {
	c      Config
	logger *slog.Logger

	mu     sync.Mutex // guards routes and boxes
	routes []route
	boxes  map[string]*box // by the names of channels; one that is gone keeps its letters for the time it comes back
	reload chan struct{}

	deliveries *prometheus.CounterVec
	attempts   *prometheus.CounterVec
	behind     *prometheus.GaugeVec
	dead       *prometheus.GaugeVec
	together   *prometheus.CounterVec
}

type route struct {
	channel Channel
	kinds   map[audit.Kind]bool
	rate    Rate
	box     *box
	next    *atomic.Uint64 // the first entry that it did not pass, for those who ask
}

func (r route) carries(k audit.Kind) bool { return r.kinds[k] }

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
	f := &Follower{c: c, logger: c.Logger, reload: make(chan struct{}, 1), boxes: map[string]*box{}}
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
	f.dead = prometheus.NewGaugeVec(prometheus.GaugeOpts{
		Name: "cordon_notify_dead_letters", Help: "Notices that a channel did not take and that wait for somebody to send them again.",
	}, []string{"channel"})
	f.together = prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "cordon_notify_grouped_total", Help: "Entries that were told of together with others, in one message.",
	}, []string{"channel"})
	if c.Metrics != nil {
		for _, m := range []prometheus.Collector{f.deliveries, f.attempts, f.behind, f.dead, f.together} {
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
	f.mu.Lock()
	defer f.mu.Unlock()
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
		routes = append(routes, route{r.Channel, kinds, r.Rate, f.boxOf(name), new(atomic.Uint64)})
	}
	if !asked {
		// A ticket that nobody can be told of must say so, or it would wait for a word that never comes.
		n := nowhere{names}
		routes = append(routes, route{n, map[audit.Kind]bool{audit.KindGateChanged: true}, Rate{}, f.boxOf(n.Name()), new(atomic.Uint64)})
	}
	f.routes = routes
	return nil
}

// boxOf gives the box of a name. The caller holds f.mu.
func (f *Follower) boxOf(name string) *box {
	b := f.boxes[name]
	if b == nil {
		b = newBox()
		f.boxes[name] = b
	}
	return b
}

// nowhere is the channel of a configuration in which no channel carries tickets: it fails, and the failure goes on record.
type nowhere struct{ taken map[string]bool } // names of channels

// Name is "none", where no channel is called that: two under one name would share a place in the log.
func (n nowhere) Name() string {
	name := "none"
	for n.taken[name] {
		name += " at all"
	}
	return name
}

func isNowhere(c Channel) bool { _, ok := c.(nowhere); return ok }

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
	p := &place{f: f, r: r, bucket: bucket{rate: r.rate}, Cursor: &Cursor{Log: f.c.Log, KV: f.c.KV, Key: key, MaxAge: f.c.MaxAge, Logger: f.logger.With("channel", r.channel.Name())}}
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

// tell delivers one notice or gives it up, and then says so to whoever waits for the telling. The letter is nil when it was delivered. An error means that
// it must be told again.
func (f *Follower) tell(ctx context.Context, r route, n Notice) (*Letter, error) {
	name := r.channel.Name()
	failure, fenced := f.deliver(ctx, r.channel, n)
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	r.box.heard(failure)
	result := resultDelivered
	if failure != "" {
		result = resultFailed
		f.logger.Error("a notice was not delivered", "channel", name, "kind", n.Kind, "entry", n.Seq, "failure", failure)
	}
	f.deliveries.WithLabelValues(name, result).Inc()
	if failure == "" && f.c.Delivered != nil {
		f.c.Delivered(name, n)
	}
	if n.Count > 1 {
		f.together.WithLabelValues(name).Add(float64(n.Count))
	}
	var dead *Letter
	if failure != "" && !isNowhere(r.channel) {
		dead = &Letter{Entry: n.Seq, Last: n.Last, Kind: n.Kind, Count: max(n.Count, 1), At: time.Now().UTC(), Fenced: fenced, Failure: failure}
		// What was to be told of an outlet that failed is not told of again: two that fail would tell of each other without end.
		if n.Kind != audit.KindNoticeUndelivered {
			ev := audit.NoticeUndelivered{Channel: name, About: n.Kind, Entry: n.Seq, Last: n.Last, Count: dead.Count, Fenced: fenced, Failure: failure}
			if err := f.record(ctx, name, func() error { _, err := f.c.Log.Append(ctx, ev); return err }); err != nil {
				return nil, err
			}
		}
	}
	if !n.asks() || f.c.Told == nil {
		return dead, nil
	}
	return dead, f.record(ctx, name, func() error { return f.c.Told(ctx, n.Ticket, name, failure) })
}

// record writes something down, and tries again where it cannot. While the log is down nothing else can be told either, so waiting costs nothing; any other
// error is given up like a delivery.
func (f *Follower) record(ctx context.Context, name string, write func() error) error {
	wait := f.c.Backoff
	for attempt := 1; ; attempt++ {
		err := write()
		if err == nil || ctx.Err() != nil {
			return ctx.Err()
		}
		if attempt >= f.c.Attempts && !errors.Is(err, audit.ErrLogDown) {
			f.logger.Error("what became of a notice could not be recorded", "channel", name, "error", err)
			return nil
		}
		Pause(ctx, f.jitter(wait))
		wait = min(2*wait, f.c.BackoffMax)
	}
}

// deliver tries until it works, makes no sense any more, or was tried often enough. It gives the reason of the failure, and whether the wall was it.
func (f *Follower) deliver(ctx context.Context, c Channel, n Notice) (failure string, fenced bool) {
	wait := f.c.Backoff
	for attempt := 1; ; attempt++ {
		f.attempts.WithLabelValues(c.Name()).Inc()
		retry, err := false, f.meets(ctx, c.Name())
		if err == nil {
			once, cancel := context.WithTimeout(ctx, f.c.SendTimeout)
			retry, err = c.Send(once, n)
			cancel()
		}
		if err == nil {
			return "", false
		}
		if errors.Is(err, errDrill) && ctx.Err() == nil { // it counts for nothing
			attempt--
			Pause(ctx, f.jitter(f.c.Backoff))
			continue
		}
		if !retry || attempt >= f.c.Attempts || ctx.Err() != nil {
			return fmt.Sprintf("attempt %d: %v", attempt, err), errors.Is(err, sovereign.ErrFenced)
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
