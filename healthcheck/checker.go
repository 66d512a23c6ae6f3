package healthcheck

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cordonsip/cordon/healthcheck/resolve"
	"github.com/cordonsip/cordon/sovereign"
	"github.com/prometheus/client_golang/prometheus"
)

// Bounds of a Checker.
const (
	maxProbes   = 256  // probes under way at once
	maxTargets  = 4096 // of one party: resolve gives fewer per member, so this bounds the members
	maxOutcomes = 1024 // outcomes of calls that wait to be taken in
)

// Config of a Checker.
type Config struct {
	Watched  []Watched
	Defaults Settings
	Prober   Prober
	Caller   Caller // places synthetic calls; nil: none are placed
	Locate   func(ctx context.Context, q resolve.Query) (resolve.Answer, error)
	// Judge re-judges a located target; the Checker asks it before every probe, so that a held target is probed as soon as a grant is live.
	Judge func(sovereign.Ask) sovereign.Ruling
	// Moved is told when the answers of a name changed their jurisdiction or verdict; may be nil, must not block.
	Moved func(party, host string, before, after []resolve.Located)
	// Measured is told of the round trip of each answered probe; may be nil, must not block.
	Measured func(t Target, rtt time.Duration)
	// Changed is told of each transition, in order, from one goroutine; may be nil. It may block for a log write.
	Changed func(Transition)
	Logger  *slog.Logger
	Metrics prometheus.Registerer
}

// Checker keeps the Table. One lock guards all memory of targets; nobody waits under it: probes, resolutions and callbacks run outside.
type Checker struct {
	cfg     Config
	log     *slog.Logger
	metrics *metrics
	table   atomic.Pointer[Table]

	wake     chan struct{} // something is due earlier than planned
	outcomes chan Outcome
	slots    chan struct{} // probes under way

	mu      sync.Mutex
	parties map[string]*party
	doubt   doubt
	sure    bool            // never in doubt of itself: see Shadow
	dirty   map[string]bool // parties whose part of the table is old

	told struct {
		sync.Mutex
		queue []Transition
		wake  chan struct{}
	}
}

// party, member and target are the Checker's memory.
type party struct {
	name     string
	settings Settings
	members  map[string]*member
	enrol    bool // its targets need a registration of ours
	call     Call
	callAt   time.Time
	calling  bool
	rtt      prometheus.Observer // of its probes; nil before the first
}

type member struct {
	Member
	located  []resolve.Located
	targets  map[string]*target // by Target.ID
	locateAt time.Time
	again    bool // it is to be resolved once more when it has been
	locating bool
	problem  string // why there is no answer, in words
	since    time.Time
	life     context.Context // ends when the member leaves
	leave    context.CancelFunc
	bound    bool // of the party's own registrations: see Bind
}

type target struct {
	Target
	window
	host     string // SRV target, for the log
	probeAt  time.Time
	probing  bool
	recall   *recall   // what it was before a drill took it away; nil: nothing is to be given back
	calledAt time.Time // by a synthetic call
	gone     bool
	enrol    enrolment
	srv      uint16           // priority that SRV gave
	gauge    prometheus.Gauge // its state; nil before the first table
}

// New checks the configuration and starts nothing. Before the first probe every target is Unknown.
func New(c Config) (*Checker, error) {
	if c.Prober == nil || c.Locate == nil || c.Judge == nil {
		return nil, errors.New("healthcheck: Prober, Locate and Judge are required")
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	m, err := newMetrics(c.Metrics)
	if err != nil {
		return nil, fmt.Errorf("healthcheck: register metrics: %w", err)
	}
	k := &Checker{
		cfg: c, log: c.Logger, metrics: m,
		wake:     make(chan struct{}, 1),
		outcomes: make(chan Outcome, maxOutcomes),
		slots:    make(chan struct{}, maxProbes),
		parties:  make(map[string]*party),
		dirty:    make(map[string]bool),
	}
	k.told.wake = make(chan struct{}, 1)
	k.table.Store(&Table{ByParty: map[string][]Status{}})
	if err := k.Reload(c.Watched, c.Defaults); err != nil {
		return nil, err
	}
	return k, nil
}

// defaults of the window.
var builtin = Settings{Interval: 5 * time.Second, Timeout: 2 * time.Second, Jitter: 0.1, Fall: 3, Rise: 5, HoldDown: 10 * time.Second}

// over fills the zero fields of s from d.
func (s Settings) over(d Settings) Settings {
	pick(&s.Interval, d.Interval)
	pick(&s.Timeout, d.Timeout)
	pick(&s.Jitter, d.Jitter)
	pick(&s.Fall, d.Fall)
	pick(&s.Rise, d.Rise)
	pick(&s.HoldDown, d.HoldDown)
	pick(&s.SlowRTT, d.SlowRTT)
	pick(&s.HalfOpen, d.HalfOpen)
	pick(&s.FlapMax, d.FlapMax)
	pick(&s.FlapWithin, d.FlapWithin)
	pick(&s.FlapQuiet, d.FlapQuiet)
	pick(&s.Quality, d.Quality)
	return s
}

func pick[T comparable](v *T, d T) {
	var zero T
	if *v == zero {
		*v = d
	}
}

// check names what is wrong with s, and what to do.
func (s Settings) check(where string) error {
	switch {
	case s.Interval < 10*time.Millisecond || s.Interval > time.Hour:
		return fmt.Errorf("healthcheck: %s: interval %v is not between 10ms and 1h", where, s.Interval)
	case s.Timeout <= 0 || s.Timeout >= s.Interval:
		return fmt.Errorf("healthcheck: %s: timeout %v must be smaller than interval %v: raise the interval or lower the timeout", where, s.Timeout, s.Interval)
	case s.Jitter < 0 || s.Jitter > 0.5:
		return fmt.Errorf("healthcheck: %s: jitter %v is not a share between 0 and 0.5", where, s.Jitter)
	case s.Fall < 1 || s.Fall > 100 || s.Rise < 1 || s.Rise > 100:
		return fmt.Errorf("healthcheck: %s: fall %d and rise %d must be between 1 and 100", where, s.Fall, s.Rise)
	case s.HoldDown < 0 || s.SlowRTT < 0 || s.FlapWithin < 0 || s.FlapQuiet < 0:
		return fmt.Errorf("healthcheck: %s: a negative duration", where)
	case s.FlapMax > maxFalls:
		return fmt.Errorf("healthcheck: %s: %d falls are no cap: at most %d are counted", where, s.FlapMax, maxFalls)
	}
	return s.Quality.check(where)
}

// Reload replaces the watched parties; targets that stay keep their history. The old set stays on error.
func (c *Checker) Reload(w []Watched, d Settings) error {
	next := make(map[string]Watched, len(w))
	for _, p := range w {
		p.Settings = p.Settings.over(d.over(builtin))
		if _, twice := next[p.Party]; twice {
			return fmt.Errorf("healthcheck: party %q is watched twice", p.Party)
		}
		if err := p.check(); err != nil {
			return err
		}
		next[p.Party] = p
	}
	now := time.Now()
	c.mu.Lock()
	for name, p := range c.parties {
		if _, stays := next[name]; !stays {
			for _, m := range p.members {
				c.drop(p, m, now, "no longer configured")
			}
			delete(c.parties, name)
			c.dirty[name] = true
		}
	}
	for name, n := range next {
		c.renew(name, n, now)
	}
	c.publish(now)
	c.mu.Unlock()
	c.stir()
	return nil
}

func (w Watched) check() error {
	where := fmt.Sprintf("party %q", w.Party)
	if w.Party == "" || strings.Contains(w.Party, "/") {
		return fmt.Errorf("healthcheck: %s: a name is needed and cannot contain a slash", where)
	}
	if err := w.Settings.check(where); err != nil {
		return err
	}
	if err := w.Call.check(where); err != nil {
		return err
	}
	if len(w.Members) > maxTargets {
		return fmt.Errorf("healthcheck: %s: more than %d members", where, maxTargets)
	}
	seen := make(map[string]bool)
	for _, m := range w.Members {
		switch {
		case m.Name == "" || strings.Contains(m.Name, "/"):
			return fmt.Errorf("healthcheck: %s: member %q: a name is needed and cannot contain a slash", where, m.Name)
		case seen[m.Name]:
			return fmt.Errorf("healthcheck: %s: member %q is listed twice", where, m.Name)
		case m.Host == "":
			return fmt.Errorf("healthcheck: %s: member %q has no host", where, m.Name)
		case m.Transport != "" && m.Transport != "udp" && m.Transport != "tcp" && m.Transport != "tls":
			return fmt.Errorf("healthcheck: %s: member %q: transport %q is none of udp, tcp, tls", where, m.Name, m.Transport)
		case m.Transport == "" && isLiteral(m.Host):
			return fmt.Errorf("healthcheck: %s: member %q: a literal address needs a transport: set udp, tcp or tls", where, m.Name)
		}
		seen[m.Name] = true
	}
	return nil
}

// renew takes over what stays of one party. The lock is held.
func (c *Checker) renew(name string, n Watched, now time.Time) {
	p := c.parties[name]
	if p == nil {
		p = &party{name: name, members: make(map[string]*member)}
		c.parties[name] = p
	}
	p.settings, p.enrol = n.Settings, n.Enrol
	if p.call != n.Call {
		p.call, p.callAt = n.Call, time.Time{}
	}
	c.dirty[name] = true
	keep := make(map[string]bool, len(n.Members))
	for _, decl := range n.Members {
		keep[decl.Name] = true
		m := p.members[decl.Name]
		if m == nil {
			m = &member{targets: make(map[string]*target), since: now, problem: "not resolved yet"}
			m.life, m.leave = context.WithCancel(context.Background())
			p.members[decl.Name] = m
		}
		if m.Member != decl {
			m.Member, m.locateAt = decl, time.Time{} // resolved anew at once; the same addresses keep their history
			for _, t := range m.targets {
				t.Name = decl.Host
			}
		}
		for _, t := range m.targets {
			c.change(t, now, func() { t.enrol.needed = p.enrol })
		}
	}
	for key, m := range p.members {
		if !keep[key] && !m.bound {
			c.drop(p, m, now, "no longer configured")
			delete(p.members, key)
		}
	}
	p.rank()
}

func (c *Checker) drop(p *party, m *member, now time.Time, why string) {
	m.leave()
	for id, t := range m.targets {
		c.remove(p, m, id, t, now, why)
	}
}

// Table is the newest view; never nil.
func (c *Checker) Table() *Table { return c.table.Load() }

// Outcome tells what a real call met. It never blocks; when calls tell more than the Checker can take in, the surplus is counted and dropped.
func (c *Checker) Outcome(o Outcome) {
	if o.Own {
		return
	}
	select {
	case c.outcomes <- o:
	default:
		c.metrics.dropped.Inc()
	}
}

// Poke asks for a probe of all targets now (after a grant, a swap of the policy, a reload). It never blocks.
func (c *Checker) Poke() {
	c.mu.Lock()
	for _, p := range c.parties {
		for _, m := range p.members {
			for _, t := range m.targets {
				t.probeAt = time.Time{}
			}
		}
	}
	c.mu.Unlock()
	c.stir()
}

// Relocate has the names of a party looked up now, as if their answers had expired. It never blocks.
func (c *Checker) Relocate(party string) {
	c.mu.Lock()
	if p := c.parties[party]; p != nil {
		for _, m := range p.members {
			if !m.bound { // nobody resolves those
				m.locateAt, m.again = time.Time{}, m.locating
			}
		}
	}
	c.mu.Unlock()
	c.stir()
}

// stir wakes Run.
func (c *Checker) stir() {
	select {
	case c.wake <- struct{}{}:
	default:
	}
}

// Run probes until ctx ends and returns when all its goroutines did.
func (c *Checker) Run(ctx context.Context) error {
	var wg sync.WaitGroup
	defer wg.Wait()
	wg.Go(func() { c.tell(ctx) })
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case o := <-c.outcomes:
			c.takeOutcome(o)
			continue
		case <-c.wake:
		case <-timer.C:
		}
		timer.Reset(c.round(ctx, &wg))
	}
}

// round starts everything that is due and says how long until the next is.
func (c *Checker) round(ctx context.Context, wg *sync.WaitGroup) time.Duration {
	now := time.Now()
	c.mu.Lock()
	defer c.mu.Unlock()
	c.believe(now)
	next := now.Add(time.Minute)
	for _, p := range c.parties {
		next = earlier(next, c.call(ctx, wg, p, now))
		for _, m := range p.members {
			if !m.locating {
				if !m.locateAt.After(now) {
					m.locating = true
					wg.Go(func() { c.locate(ctx, p, m) })
				} else {
					next = earlier(next, m.locateAt)
				}
			}
			for _, t := range m.targets {
				c.due(ctx, wg, p, t, now)
				if !t.probing {
					next = earlier(next, t.probeAt)
				}
			}
		}
	}
	if !c.doubt.until.IsZero() {
		next = earlier(next, c.doubt.until)
	}
	c.publish(now)
	return max(next.Sub(now), time.Millisecond)
}

func earlier(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}

// due probes t if it is time and the policy permits it now. The lock is held.
func (c *Checker) due(ctx context.Context, wg *sync.WaitGroup, p *party, t *target, now time.Time) {
	if t.probing || t.probeAt.After(now) {
		return
	}
	select {
	case c.slots <- struct{}{}:
	default:
		t.probeAt = now.Add(5 * time.Millisecond) // all probes are under way; the next free one is this one's
		return
	}
	c.dirty[p.name] = true
	t.probeAt = now.Add(p.settings.next())
	if t.coolTill.After(now) {
		t.probeAt = earlier(t.probeAt, t.coolTill)
	}
	t.Ruling = c.cfg.Judge(sovereign.Ask{Party: p.name, Plane: sovereign.Signalling, Addr: t.Addr, At: now})
	if !t.Ruling.Permitted() {
		<-c.slots
		c.change(t, now, func() { t.forget(now, notProbed(t.Ruling)) })
		return
	}
	t.probing = true
	timeout, what := p.settings.Timeout, t.Target
	wg.Go(func() {
		one, cancel := context.WithTimeout(ctx, timeout)
		s, err := c.cfg.Prober.Probe(one, what)
		cancel()
		<-c.slots
		c.takeProbe(ctx, p, t, s, err)
	})
}

// next is when to probe again: the interval, spread by jitter so that targets and nodes do not march in step.
func (s Settings) next() time.Duration {
	return s.Interval + time.Duration(s.Jitter*(2*rand.Float64()-1)*float64(s.Interval))
}

func notProbed(r sovereign.Ruling) string {
	word := "denied"
	if r.Verdict == sovereign.Hold {
		word = "held"
	}
	return "not probed: " + word + " (" + string(r.Ground) + "): " + r.Why
}

// tell hands transitions to Changed, in order, from this one goroutine.
func (c *Checker) tell(ctx context.Context) {
	for {
		c.told.Lock()
		queue := c.told.queue
		c.told.queue = nil
		c.told.Unlock()
		for _, t := range queue {
			if ctx.Err() != nil {
				return
			}
			c.cfg.Changed(t)
		}
		if len(queue) > 0 {
			continue
		}
		select {
		case <-ctx.Done():
			return
		case <-c.told.wake:
		}
	}
}
