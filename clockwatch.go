package cordon

import (
	"context"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/cordonsip/cordon/audit"
	"github.com/cordonsip/cordon/configs"
	"github.com/cordonsip/cordon/internal/osnet"
)

const (
	clockLookEvery = time.Second
	clockPatience  = 5 * time.Minute // that a clock may be unsynchronised before people hear of it: hosts that boot are
	clockAppend    = 5 * time.Second
)

// clockWatch records how good the clock is, each hour and when that changes, and raises an alarm when it cannot be trusted.
type clockWatch struct {
	node   *Node
	synced prometheus.Gauge

	begun   time.Time // of the process: what the monotonic clock counts from
	seen    bool
	was     osnet.ClockReading
	wall    time.Time     // at the last look
	mono    time.Duration // at the last look
	written time.Time     // when the last ClockQuality was, by the monotonic clock
	bad     time.Time     // since when it is unsynchronised, by the wall clock; zero: it is not
	badAt   time.Duration // by the monotonic one
	told    *alarms       // people know
}

func newClockWatch(n *Node) (*clockWatch, error) {
	w := &clockWatch{node: n, begun: time.Now(), synced: prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "cordon_clock_synchronised", Help: "1 while the system says that something disciplines its clock, 0 while nothing does; -1 where it does not say.",
	})}
	w.synced.Set(-1)
	return w, n.opts.Metrics.Register(w.synced)
}

// Run looks until ctx ends. A node in memory measures nothing.
func (w *clockWatch) Run(ctx context.Context) error {
	if w.node.opts.Memory {
		<-ctx.Done()
		return nil
	}
	tick := time.NewTicker(clockLookEvery)
	defer tick.Stop()
	w.recall(ctx)
	for {
		now := time.Now()
		w.look(ctx, w.node.cfg.Load().Clock, osnet.Clock(), now.Round(0), now.Sub(w.begun))
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// unsynced is the alarm that lasts.
const unsynced = "unsynchronised"

// recall takes up an alarm of an earlier run, with its time.
func (w *clockWatch) recall(ctx context.Context) {
	w.told = recall(ctx, w.node.kv, w.node.logger, "told.clock")
	w.bad = w.told.told[unsynced]
}

// look judges one reading, taken at wall by the clock that it is about, and at mono by one that never jumps.
func (w *clockWatch) look(ctx context.Context, c configs.ClockPart, r osnet.ClockReading, wall time.Time, mono time.Duration) {
	step := time.Duration(0)
	if w.seen {
		step = wall.Sub(w.wall) - (mono - w.mono)
	}
	w.gauge(r)
	cause := w.cause(c, r, step, mono)
	if step < -c.Step {
		if !w.append(ctx, audit.ClockAlarm{What: "stepped_back", Since: wall, Reference: c.Source, StepMS: milliseconds(step)}) {
			return // the next look sees the same step
		}
		w.node.logger.Error("the clock went back", "ms", milliseconds(step))
	}
	w.wall, w.mono = wall, mono
	if cause != "" {
		q := audit.ClockQuality{
			Cause: cause, Known: r.Known, Synchronised: r.Synced, Source: r.Source, Reference: c.Source, OffsetMS: r.OffsetMS, EstErrorMS: r.EstErrorMS, MaxErrorMS: r.MaxErrorMS,
		}
		if cause == "stepped" {
			q.StepMS = milliseconds(step)
		}
		if w.append(ctx, q) {
			w.seen, w.was, w.written = true, r, w.begun.Add(mono)
		}
	}
	w.alarm(ctx, c, r, wall, mono)
}

// cause says why a reading is recorded, "" where it is not.
func (w *clockWatch) cause(c configs.ClockPart, r osnet.ClockReading, step time.Duration, mono time.Duration) string {
	switch {
	case !w.seen:
		return "start"
	case step > c.Step, step < -c.Step:
		return "stepped"
	case r.Known != w.was.Known, r.Synced != w.was.Synced, r.Source != w.was.Source:
		return "changed"
	case w.begun.Add(mono).Sub(w.written) >= audit.Heartbeat:
		return "hourly"
	}
	return ""
}

// alarm tells people of a clock that stays unsynchronised, and when it is right again.
func (w *clockWatch) alarm(ctx context.Context, c configs.ClockPart, r osnet.ClockReading, wall time.Time, mono time.Duration) {
	switch {
	case r.Synced || !r.Known:
		if w.told.is(unsynced) && r.Synced && w.append(ctx, audit.ClockAlarm{What: "synchronised", Since: w.bad, Reference: c.Source}) {
			w.told.end(ctx, unsynced)
			w.node.logger.Info("the clock is synchronised again")
		}
		if !w.told.is(unsynced) {
			w.bad = time.Time{}
		}
	case w.bad.IsZero():
		w.bad, w.badAt = wall, mono
	case !w.told.is(unsynced) && mono-w.badAt >= clockPatience:
		if w.append(ctx, audit.ClockAlarm{What: unsynced, Since: w.bad, Reference: c.Source}) {
			w.told.raise(ctx, unsynced, w.bad)
			w.node.logger.Error("nothing synchronises the clock: times of the log may be wrong", "since", w.bad)
		}
	}
}

func (w *clockWatch) gauge(r osnet.ClockReading) {
	switch {
	case !r.Known:
		w.synced.Set(-1)
	case r.Synced:
		w.synced.Set(1)
	default:
		w.synced.Set(0)
	}
}

// append says whether the log took an event. What it did not take is due again at the next look.
func (w *clockWatch) append(ctx context.Context, e audit.Event) bool {
	ctx, cancel := context.WithTimeout(ctx, clockAppend)
	defer cancel()
	_, err := w.node.log.Append(ctx, e)
	return err == nil
}
