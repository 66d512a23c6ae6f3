package media

import (
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"log/slog"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cordonsip/cordon/media/plane"
	"github.com/prometheus/client_golang/prometheus"
)

// Relay opens sessions. Safe for concurrent use.
type Relay struct {
	cfg   Config
	ports *ports
	plane plane.Commands
	own   *plane.Plane // the plane, when it is in this process
	seats *seats
	turns atomic.Uint32 // sessions begun, which the workers get in turns
	left  atomic.Bool   // the end of Run leaves the sessions as they are

	mu        sync.Mutex
	sessions  map[*Session]struct{}
	closed    bool
	held      map[plane.Ref]plane.Held // legs that the plane has from before, and nobody took up
	past      totals                   // of sessions that are gone
	endpoints map[*Endpoint]struct{}   // that meet what is taken away here
	until     atomic.Int64             // until when packets are taken away, unix ns; 0: nothing ever was

	moves    [2]atomic.Uint64
	refusals *prometheus.CounterVec

	seed     maphash.Seed
	spare    spares
	shapes   shapes
	paces    paces
	follower follower
	errands  errands
}

// New checks c and starts nothing.
func New(c Config) (*Relay, error) {
	if c.Listen == nil || c.Fence == nil {
		return nil, errors.New("media: a relay needs Listen and Fence")
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	r := &Relay{cfg: c, sessions: map[*Session]struct{}{}, seed: maphash.MakeSeed(), errands: errands{wake: make(chan struct{}, 1)}}
	if err := r.begin(); err != nil {
		return nil, err
	}
	if err := r.register(c.Metrics); err != nil {
		return nil, err
	}
	return r, nil
}

// begin makes the plane, and what is numbered by it.
func (r *Relay) begin() error {
	var err error
	if r.cfg.Plane != nil {
		r.plane, err = r.cfg.Plane(heard{r})
	}
	if r.plane == nil && err == nil {
		r.own, err = plane.New(plane.Config{Fence: r.cfg.Fence, Workers: r.cfg.Workers, Tick: r.cfg.Tick, Events: heard{r}, Logger: r.cfg.Logger})
		r.plane = r.own
	}
	if err != nil {
		return err
	}
	r.cfg.Workers = r.plane.Workers() // a plane that has calls has the workers that it had
	if r.ports, err = newPorts(&r.cfg, r.cfg.Workers); err != nil {
		return err
	}
	r.ports.plane, r.seats = r.plane, newSeats(r.cfg.Workers)
	r.remember()
	return nil
}

// Run serves until ctx ends, then closes every session.
func (r *Relay) Run(ctx context.Context) error {
	carried := make(chan error, 1)
	carrying, stop := context.WithCancel(context.WithoutCancel(ctx))
	if r.own != nil {
		go func() { carried <- r.own.Run(carrying) }()
	} else {
		carried <- nil
	}
	defer r.runErrands()()
	defer r.followed(ctx)()
	r.ports.run(ctx)
	r.mu.Lock()
	r.closed = true
	open := make([]*Session, 0, len(r.sessions))
	for s := range r.sessions {
		open = append(open, s)
	}
	r.mu.Unlock()
	for _, s := range open {
		if !r.left.Load() {
			s.Close()
		}
	}
	r.ports.sweep(false)
	stop()
	return <-carried
}

// Open starts a session for one call whose A side is a. It opens no socket before the first Offer. id names the session to Config.Moved.
func (r *Relay) Open(id string, a Leg) (*Session, error) {
	if err := r.check(&a); err != nil {
		return nil, err
	}
	s := &Session{id: id, r: r, opened: time.Now(), slab: r.spare.get(), worker: r.turns.Add(1) % uint32(r.cfg.Workers)}
	s.cfg[A] = r.shapes.of(&a)
	s.Informs(A, a.Informs)
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return nil, errors.New("media: relay is closed")
	}
	r.sessions[s] = struct{}{}
	return s, nil
}

// Sessions is the number of open sessions.
func (r *Relay) Sessions() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.sessions)
}

// check refuses a leg that could never work.
func (r *Relay) check(l *Leg) error {
	bind, host := r.address(l)
	if !bind.IsValid() || !host.IsValid() || host.IsUnspecified() {
		return fmt.Errorf("media: leg of %s: no address to write into session descriptions; set Bind or Advertise", l.Party)
	}
	return l.check()
}

// address gives where a leg binds and what its session descriptions say.
func (r *Relay) address(l *Leg) (bind, host netip.Addr) {
	bind = l.Bind
	if !bind.IsValid() {
		bind = r.cfg.Bind
	}
	if host = l.Advertise; !host.IsValid() {
		host = bind
	}
	return bind, host
}

// leave takes a closed session out.
func (r *Relay) leave(s *Session) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if _, ok := r.sessions[s]; ok {
		delete(r.sessions, s)
		r.past.add(s)
	}
}

// totals of packets, by side.
type totals struct{ rx, bytes, tx, refused, digitsIn, digitsOut, ignored, fax [2]uint64 }

func (t *totals) add(s *Session) {
	for side := range s.legs {
		if l := s.legs[side].Load(); l != nil {
			t.leg(side, l)
		}
	}
}

func (t *totals) leg(side int, l *leg) {
	c := l.counters()
	t.rx[side] += c.Packets
	t.bytes[side] += c.Bytes
	t.tx[side] += c.Sent
	t.refused[side] += c.Refused
	t.digitsIn[side] += uint64(c.DialledIn)
	t.digitsOut[side] += uint64(c.DialledOut)
	t.ignored[side] += uint64(c.Ignored)
	t.fax[side] += c.Crossed.Packets
}

// register publishes the metrics. Packets are summed when somebody asks, so that none costs more than its own counter.
func (r *Relay) register(reg prometheus.Registerer) error {
	r.refusals = prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "cordon_media_refusals_total", Help: "Session descriptions that were refused, by SIP status.",
	}, []string{"status"})
	followed := r.follower.metrics()
	if reg == nil {
		return nil
	}
	all := []prometheus.Collector{
		r.refusals,
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "cordon_media_sessions", Help: "Open sessions."},
			func() float64 { return float64(r.Sessions()) }),
		prometheus.NewCounterFunc(prometheus.CounterOpts{Name: "cordon_media_rtcp_packets_total", Help: "RTCP packets taken."},
			func() float64 { return float64(r.plane.Totals().Control) }),
		prometheus.NewCounterFunc(prometheus.CounterOpts{Name: "cordon_media_dropped_packets_total", Help: "Packets that could not be passed on."},
			func() float64 { return float64(r.plane.Totals().Dropped) }),
		prometheus.NewCounterFunc(prometheus.CounterOpts{Name: "cordon_media_impaired_packets_total", Help: "Packets that a drill took away."},
			func() float64 { return float64(r.plane.Totals().Impaired) }),
	}
	all = append(append(all, r.ports.metrics()...), followed...)
	for i, allowed := range []string{"false", "true"} {
		all = append(all, prometheus.NewCounterFunc(prometheus.CounterOpts{
			Name: "cordon_media_moves_total", Help: "Far ends latched, moved or refused.", ConstLabels: prometheus.Labels{"allowed": allowed},
		}, func() float64 { return float64(r.moves[i].Load()) }))
	}
	for side, name := range []string{"a", "b"} {
		for _, m := range []struct {
			name, help string
			pick       func(*totals) [2]uint64
		}{
			{"cordon_media_rx_packets_total", "RTP packets taken.", func(t *totals) [2]uint64 { return t.rx }},
			{"cordon_media_rx_bytes_total", "Bytes of RTP packets taken.", func(t *totals) [2]uint64 { return t.bytes }},
			{"cordon_media_fax_packets_total", "UDPTL packets taken.", func(t *totals) [2]uint64 { return t.fax }},
			{"cordon_media_tx_packets_total", "RTP packets sent.", func(t *totals) [2]uint64 { return t.tx }},
			{
				"cordon_media_refused_packets_total", "Packets from a source that was not admitted, or that failed authentication.",
				func(t *totals) [2]uint64 { return t.refused },
			},
			{"cordon_media_digits_in_total", "Digits taken as telephone events and converted.", func(t *totals) [2]uint64 { return t.digitsIn }},
			{"cordon_media_digits_out_total", "Digits converted to telephone events.", func(t *totals) [2]uint64 { return t.digitsOut }},
			{
				"cordon_media_digits_ignored_total", "Telephone events that are no digits where digits are converted, and digits that could not be said.",
				func(t *totals) [2]uint64 { return t.ignored },
			},
		} {
			all = append(all, prometheus.NewCounterFunc(prometheus.CounterOpts{
				Name: m.name, Help: m.help, ConstLabels: prometheus.Labels{"side": name},
			}, func() float64 { return r.total(func(t *totals) uint64 { return m.pick(t)[side] }) }))
		}
	}
	for _, c := range all {
		if err := reg.Register(c); err != nil {
			return fmt.Errorf("media: metrics: %w", err)
		}
	}
	return nil
}

func (r *Relay) total(pick func(*totals) uint64) float64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	t := r.past
	for s := range r.sessions {
		t.add(s)
	}
	return float64(pick(&t))
}
