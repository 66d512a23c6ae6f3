package media

import (
	"context"
	"time"

	"github.com/cordonsip/cordon/media/plane"
	"github.com/cordonsip/cordon/media/quality"
	"github.com/prometheus/client_golang/prometheus"
)

// Limits say when a side is silent, unheard or dead. Zero fields mean the defaults: 5 s, 3 reports, 30 s.
type Limits = quality.Limits

// Liveness is a change in how the media of one side of an answered call flows.
type Liveness struct {
	Side Side
	At   time.Time
	// State is silent (no RTP comes from it, although it may), unheard (its reports say that what we send does not arrive), dead (both at once, or neither RTP nor RTCP
	// for long) or alive (again).
	State string
	Was   string
	For   time.Duration // how long it is so already; of a side that is alive again, how long it was in trouble
	Held  bool          // alive because nothing is expected of it any more: the call is on hold, or carries a fax
}

// The words of Liveness.State that somebody acts on.
const (
	StateAlive   = "alive"
	StateDead    = "dead"
	StateUnheard = "unheard"
)

// Quality is how one side sounded, in windows of five seconds, and whether it flowed.
type Quality struct {
	Windows   int     // that could be rated
	Poor      int     // of them, with a MOS below 3.6
	MOSMin    float64 // ITU-T G.107 estimates of what came from this side; 0 unknown
	MOSMean   float64
	MOSLast   float64
	Loss      float64 // share of what came from it that was lost on the way, 0 to 1
	Burst     float64 // G.107's BurstR: 1 for losses one by one
	FarLoss   float64 // share of what we sent that it lost, by its own reports
	FarMOS    float64 // of what we sent, by its own extended reports (RFC 3611); 0 unknown
	JitterMax time.Duration
	Delay     time.Duration // estimate of one way on this leg, with play-out buffer and codec
	Silence   time.Duration // in sum, while it might send; gaps shorter than Limits.Silent do not count
	State     string        // alive | silent | unheard | dead: as it stands, or stood at the end
}

// pulse is what is followed of one leg. Guarded by s.look.
type pulse struct {
	window quality.Window
	life   quality.Liveness
	told   uint8 // how often it was told of trouble
}

// maxTroubles bounds how often one leg tells of trouble, but for being dead: comfort noise every six seconds would tell for ever.
const maxTroubles = 50

// counted is what was counted of a leg, for who follows it.
type counted struct {
	quality.Counts
	rtp, rtcp int64  // when the last packet of either came, unix ns; 0 never
	reports   uint32 // SR and RR of the far end
	highest   uint32 // in their blocks, together: whether it changes is what counts
	scored    uint8  // by the far end, in tenths
	codec     string
}

// follower looks at all sessions of a relay, once a second.
type follower struct {
	round      []*Session // room
	scores     [2]prometheus.Histogram
	troubles   [2][4]prometheus.Counter // by quality.State
	handshakes *prometheus.CounterVec
}

// followEvery is how often a session is looked at.
const followEvery = time.Second

// followed looks at the sessions until ctx ends. The function that it gives waits for that.
func (r *Relay) followed(ctx context.Context) (wait func()) {
	over := make(chan struct{})
	go func() {
		defer close(over)
		tick := time.NewTicker(followEvery)
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case now := <-tick.C:
				r.follow(now)
			}
		}
	}()
	return func() { <-over }
}

// follow takes one look at every session.
func (r *Relay) follow(now time.Time) {
	f := &r.follower
	r.mu.Lock()
	for s := range r.sessions {
		f.round = append(f.round, s)
	}
	r.mu.Unlock()
	for _, s := range f.round {
		s.follow(now)
	}
	clear(f.round)
	f.round = f.round[:0]
}

// Answered says that the call is up: from now on it is told of sides that fall silent.
func (s *Session) Answered() {
	s.up.CompareAndSwap(0, time.Now().UnixNano())
	s.answered.Store(true)
}

// follow takes one look at both sides. It waits for no negotiation, and none for it: a session that ended has no legs, and those of a look stay until it is over.
func (s *Session) follow(now time.Time) {
	var room [2]Liveness
	heard := room[:0]
	s.look.Lock()
	if a, b := s.legs[A].Load(), s.legs[B].Load(); a != nil && b != nil {
		// With a hold, or another direction than both, a silence is nobody's fault.
		// Nor is that of a fax, which has no RTCP either.
		flows := s.answered.Load() && a.hears.Load() && b.hears.Load() && !a.fax.Load() && !b.fax.Load() && !a.unkeyed() && !b.unkeyed()
		heard = a.follow(now, flows, heard)
		heard = b.follow(now, flows, heard)
	}
	s.look.Unlock()
	if s.r.cfg.Heard == nil {
		return
	}
	for i := range heard {
		s.r.cfg.Heard(s.id, heard[i])
	}
}

// follow takes one look at a leg, and adds to heard what has changed.
func (l *leg) follow(now time.Time, flows bool, heard []Liveness) []Liveness {
	all := l.counters()
	l.lags(now, all.Packets)
	c, p, f := l.counted(&all), &l.pulse, &l.s.r.follower
	at := now.UnixNano()
	k, _ := quality.CodecOf(c.codec)
	if !l.fax.Load() { // a fax has no score
		if score, ok := p.window.Sample(at, c.Counts, k); ok {
			f.scores[l.side].Observe(float64(score.MOS))
		}
	}
	e, ok := p.life.Step(l.s.r.cfg.Limits, quality.Look{
		Now: at, RTP: c.rtp, RTCP: c.rtcp, Sent: c.Sent, Reports: c.reports, Highest: c.highest, Sends: flows, Hears: flows,
	})
	if !ok {
		return heard
	}
	if e.State != quality.Alive {
		f.troubles[l.side][e.State].Inc()
		p.told = min(p.told, 254) + 1
	}
	if p.told > maxTroubles && e.State != quality.Dead {
		return heard
	}
	return append(heard, Liveness{Side: l.side, At: now, State: e.State.String(), Was: e.Was.String(), For: e.For, Held: e.Held})
}

// quality sums a leg up as it stands now, with what has begun since the last window. c is what was counted until now.
func (l *leg) quality(now time.Time, c counted) (q Quality, mos float64) {
	k, _ := quality.CodecOf(c.codec)
	l.s.look.Lock()
	w, life := l.pulse.window, l.pulse.life // copies: the next look goes on with the window that has begun
	l.s.look.Unlock()
	w.Close(now.UnixNano(), c.Counts, k)
	s := w.Summary()
	all := k.Rate(quality.Path{Received: c.Received, Lost: c.Lost, Gaps: c.Gaps, Jitter: c.Jitter, RTT: c.RTT})
	return Quality{
		Windows: int(s.Windows), Poor: int(s.Poor), MOSMin: float64(s.Worst.MOS), MOSMean: float64(s.Mean.MOS), MOSLast: float64(s.Last.MOS),
		Loss: float64(s.Loss), Burst: float64(s.Burst), FarLoss: float64(s.FarLoss), FarMOS: float64(c.scored) / 10, JitterMax: s.Jitter, Delay: s.Delay,
		Silence: life.Silence(now.UnixNano()), State: life.State().String(),
	}, float64(all.MOS)
}

// counted takes what is followed out of what was counted.
func (l *leg) counted(c *plane.Counters) counted {
	out := counted{
		Counts: quality.Counts{Received: c.Packets, Lost: c.Lost, Gaps: c.Gaps, Jitter: c.Jitter, RTT: c.RTT, Sent: c.Sent, FarLost: c.LostThere},
		rtp:    c.Last, rtcp: c.LastReport, reports: c.Reports, highest: c.Highest, scored: c.Scored,
	}
	if said := l.spoken.Load(); said != nil {
		out.codec = said.codec
	}
	return out
}

// metrics of what is followed.
func (f *follower) metrics() []prometheus.Collector {
	f.handshakes = prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "cordon_media_handshakes_total", Help: "Handshakes of DTLS-SRTP that ended, by how: done, or the reason that there are no keys.",
	}, []string{"result"})
	all := []prometheus.Collector{f.handshakes}
	for side, name := range []string{"a", "b"} {
		f.scores[side] = prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "cordon_media_mos", Help: "MOS of each window of five seconds of what came from a side (ITU-T G.107 estimate).",
			ConstLabels: prometheus.Labels{"side": name},
			// The classes of ITU-T G.109, and what is between them.
			Buckets: []float64{1.5, 2, 2.58, 3.1, 3.6, 3.8, 4.03, 4.2, 4.34, 4.5}, NativeHistogramBucketFactor: 1.05,
		})
		all = append(all, f.scores[side])
		for _, state := range []quality.State{quality.Silent, quality.Unheard, quality.Dead} {
			f.troubles[side][state] = prometheus.NewCounter(prometheus.CounterOpts{
				Name: "cordon_media_silent_total", Help: "Sides of answered calls that fell silent, went unheard or died.",
				ConstLabels: prometheus.Labels{"side": name, "state": state.String()},
			})
			all = append(all, f.troubles[side][state])
		}
	}
	return all
}
