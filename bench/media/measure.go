//go:build linux

package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"
)

// bench is one run.
type bench struct {
	plan   *plan
	g      *generator
	report *report
	slab   []byte
	base   uint32 // SSRC of the next calls
	starts int
	begun  time.Time
}

// turn is one system with its calls.
type turn struct {
	system  system
	name    string
	streams []*stream
	base    uint32
	meter   func() (time.Duration, time.Duration, error)
	before  int64 // bytes, when no call was up
	live    uint64
}

func (b *bench) all(ctx context.Context) error {
	if err := b.itself(ctx); err != nil {
		return fmt.Errorf("the generator by itself: %w", err)
	}
	for _, m := range b.plan.modes {
		if err := b.mode(ctx, m); err != nil {
			return fmt.Errorf("%s: %w", modes()[m].name, err)
		}
	}
	if b.plan.only == namePeer {
		return nil
	}
	return b.rest(ctx)
}

// start starts a system and sets its calls up.
func (b *bench) start(ctx context.Context, name string, m, calls int) (t *turn, err error) {
	b.starts++
	dir := filepath.Join(b.plan.dir, fmt.Sprint(b.starts))
	if err := os.Mkdir(dir, 0o700); err != nil {
		return nil, err
	}
	t = &turn{name: name, base: b.base + 1<<16}
	b.base = t.base
	switch name {
	case nameCordon:
		t.system, err = startCordon(b.plan, dir)
	case nameBare:
		t.system, err = startBare(b.plan, dir)
	default:
		t.system, err = startPeer(b.plan, dir)
	}
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			t.system.stop()
		}
	}()
	if name == nameCordon {
		err = pause(ctx, calm)
	}
	if err != nil {
		return nil, err
	}
	if t.before, t.live, err = t.weigh(); err != nil {
		return nil, err
	}
	for i := range calls {
		c, err := establish(t.system, b.g.far(), m, fmt.Sprintf("call-%d", i), t.base+2*uint32(i))
		if err != nil {
			return nil, fmt.Errorf("%s: call %d: %w", name, i, err)
		}
		t.streams = append(t.streams, c.streams[:]...)
		if err := ctx.Err(); err != nil {
			return nil, err
		}
	}
	switch c := t.system.(type) {
	case *cordon:
		_, err = c.ask(question{Op: "profile"})
	case barest:
		_, err = c.ask(question{Op: "relay"})
	}
	if err != nil {
		return nil, err
	}
	t.meter, err = meter(t.system.process().family())
	return t, err
}

// weigh gives what the system has in memory, and of cordon what its collector found in use.
func (t *turn) weigh() (bytes int64, live uint64, err error) {
	if c, ok := t.system.(*cordon); ok {
		f, err := c.figures(true)
		if err != nil {
			return 0, 0, err
		}
		live = f.Live
	}
	bytes, err = resident(t.system.process().family())
	return bytes, live, err
}

// memory is what each call of a turn added, in bytes.
func (t *turn) memory() (perCall, livePerCall float64, err error) {
	bytes, live, err := t.weigh()
	n := float64(len(t.streams) / 2)
	return float64(bytes-t.before) / n, (float64(live) - float64(t.live)) / n, err
}

// names are the systems that a mode is measured with.
func (p *plan) names(m int) []string {
	if p.only != "" {
		return []string{p.only}
	}
	names := []string{nameCordon, namePeer}
	if modes()[m].suites == [2]string{} {
		names = append(names, nameBare)
	}
	return names
}

// mode measures one mode: both systems with all their calls up at the same time, having their turns.
func (b *bench) mode(ctx context.Context, m int) error {
	var turns []*turn
	defer func() {
		for _, t := range turns {
			t.system.stop()
		}
	}()
	for _, name := range b.plan.names(m) {
		t, err := b.start(ctx, name, m, calls(slices.Max(b.plan.rates)))
		if err != nil {
			return err
		}
		turns = append(turns, t)
	}
	if err := pause(ctx, learned); err != nil {
		return err
	}
	for _, rate := range b.plan.rates {
		r := b.report.row(modes()[m].name, rate)
		for round := range b.plan.rounds {
			for i := range turns { // each round begins with the other one
				t := turns[(round+i)%len(turns)]
				others := slices.DeleteFunc(slices.Clone(turns), func(o *turn) bool { return o == t })
				if err := b.round(ctx, t, others, rate, r); err != nil {
					return fmt.Errorf("%s at %d: %w", t.name, rate, err)
				}
			}
		}
		b.report.progress(os.Stderr, r)
	}
	for _, t := range turns {
		if t.name == nameBare {
			continue
		}
		per, live, err := t.memory()
		if err != nil {
			return err
		}
		b.report.weight(modes()[m].name, t.name, per, live)
	}
	return nil
}

// calm is how long cordon without calls is left alone until it is weighed: its media process then gives back what its start left, which would make calls look
// smaller than they are if it did so later.
const calm = 6 * time.Second

// learned is how long rtpengine takes note of where packets come from after a call was set up. What it does then is no part of what is measured.
const learned = 3200 * time.Millisecond

// Turns whose figures do not count because the generator was late are repeated: so often in one row, and not when the run has lasted that long.
const (
	again   = 2
	hurried = 4 * time.Minute
)

// round measures one turn at a rate, while others shall have nothing to do.
func (b *bench) round(ctx context.Context, t *turn, others []*turn, rate int, r *row) error {
	for {
		begun := time.Now()
		before, err := used(others)
		if err != nil {
			return err
		}
		w, allocs, err := b.window(ctx, t, 2*calls(rate), b.plan.window, nil)
		if err != nil {
			return err
		}
		after, err := used(others)
		if err != nil {
			return err
		}
		w.Others = float64(after-before) / float64(time.Since(begun))
		if w.doubt() == "" || r.repeated == again || time.Since(b.begun) > hurried {
			r.cell(t.name).add(w, allocs)
			return nil
		}
		r.repeated++
	}
}

// used is the CPU time of some systems so far.
func used(turns []*turn) (sum time.Duration, err error) {
	for _, t := range turns {
		d, _, err := t.meter()
		if err != nil {
			return 0, err
		}
		sum += d
	}
	return sum, nil
}

// window plays the first streams of a turn for a time after the time to warm up, and says how many allocations a packet took.
func (b *bench) window(ctx context.Context, t *turn, streams int, lasts time.Duration, n *noise) (*window, float64, error) {
	if t.system.process().ended() {
		return nil, 0, fmt.Errorf("it ended: %w: %s", t.system.process().err, t.system.process().tail())
	}
	warm := int(b.plan.warm / packetTime)
	l, err := prepare(t.streams[:streams], t.base, warm+int(lasts/packetTime), b.slab)
	if err != nil {
		return nil, 0, err
	}
	b.slab = l.slab
	c, own := t.system.(*cordon)
	var before, after figures
	if own {
		if before, err = c.figures(false); err != nil {
			return nil, 0, err
		}
	}
	w, err := b.g.measure(ctx, l, warm, t.meter, n)
	if err != nil {
		return nil, 0, err
	}
	if own {
		if after, err = c.figures(false); err != nil {
			return nil, 0, err
		}
	}
	return w, float64(after.Mallocs-before.Mallocs) / float64(max(1, len(l.streams)*l.packets)), nil
}

// itself measures the generator with no relay between its sockets, at the rates of the run and at twice the highest one.
func (b *bench) itself(ctx context.Context) error {
	highest := slices.Max(b.plan.rates)
	none := func() (time.Duration, time.Duration, error) { return 0, 0, nil }
	for _, rate := range append(slices.Clone(b.plan.rates), 3*highest/2) {
		b.base += 1 << 16
		var streams []*stream
		for i := range 2 * calls(rate) {
			from := side(i % 2)
			streams = append(streams, &stream{from: from, to: name(b.g.socks[from.other()].at), ssrc: b.base + uint32(i)})
		}
		warm := int(b.plan.warm / packetTime)
		l, err := prepare(streams, b.base, warm+int(time.Second/packetTime), b.slab)
		if err != nil {
			return err
		}
		b.slab = l.slab
		w, err := b.g.measure(ctx, l, warm, none, nil)
		if err != nil {
			return err
		}
		b.report.itself = append(b.report.itself, alone{
			PPS: rate, Lost: w.Lost, P50: micros(quantile(w.Delay, 0.5)), P99: micros(quantile(w.Delay, 0.99)), Late99: micros(quantile(w.Late, 0.99)),
			Doubt: w.doubt(),
		})
	}
	return nil
}

// A turn counts when the generator kept its times within this, and lost nothing itself.
const tardy = packetTime / 10

// busy is the part of the core that a system may have out of its turn: it has a thousand calls and looks after them. One that has more keeps the core awake, and
// waking it is what costs most at low rates.
const busy = 0.03

// doubt says why a window does not count; "" when it does.
func (w *window) doubt() string {
	switch late := quantile(w.Late, 0.99); {
	case w.Failed > 0:
		return fmt.Sprintf("%d packets the generator could not send", w.Failed)
	case w.Dropped > 0:
		return fmt.Sprintf("%d packets lost at the generator", w.Dropped)
	case w.Others > busy:
		return fmt.Sprintf("the other system had %.0f %% of the core meanwhile", 100*w.Others)
	case time.Duration(late) > tardy:
		return fmt.Sprintf("the generator was %v late", time.Duration(late).Round(10*time.Microsecond))
	}
	return ""
}

func pause(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d):
		return nil
	}
}

// quantile sorts values and gives one of them; 0 of none.
func quantile(v []uint32, q float64) uint32 {
	if len(v) == 0 {
		return 0
	}
	slices.Sort(v)
	return v[min(len(v)-1, int(q*float64(len(v))))]
}

func micros(ns uint32) float64 { return float64(ns) / 1000 }

// median of values; 0 of none.
func median(v []float64) float64 {
	if len(v) == 0 {
		return 0
	}
	s := slices.Sorted(slices.Values(v))
	if n := len(s); n%2 == 0 {
		return (s[n/2-1] + s[n/2]) / 2
	}
	return s[len(s)/2]
}
