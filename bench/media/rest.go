//go:build linux

package main

import (
	"context"
	"fmt"
	"time"
)

// recrypted is the mode of what is measured beside the rounds: srtp-srtp.
const recrypted = 2

const (
	garbageRate  = 50_000
	capacityTime = 8 * time.Second
	liveRate     = 20_000 // of the calls that are up during a flood
	floodRate    = 50_000
)

// rest measures what is no matter of rounds: garbage, capacity, the flood.
func (b *bench) rest(ctx context.Context) error {
	if err := b.loaded(ctx); err != nil {
		return err
	}
	if b.plan.flood == 0 {
		return nil
	}
	for _, m := range []int{0, recrypted} {
		if err := b.flooded(ctx, m); err != nil {
			return fmt.Errorf("flood: %w", err)
		}
	}
	return nil
}

// loaded measures garbage and capacity, which share a process.
func (b *bench) loaded(ctx context.Context) error {
	p := b.plan
	if p.garbage == 0 && p.capacity == 0 {
		return nil
	}
	t, err := b.start(ctx, nameCordon, recrypted, max(p.capacity, calls(garbageRate)))
	if err != nil {
		return err
	}
	defer t.system.stop()
	if p.garbage > 0 {
		if err := b.littered(ctx, t); err != nil {
			return fmt.Errorf("garbage: %w", err)
		}
	}
	if p.capacity > 0 {
		if err := b.full(ctx, t); err != nil {
			return fmt.Errorf("capacity: %w", err)
		}
	}
	return nil
}

// littered measures with garbage made in the process that signals.
func (b *bench) littered(ctx context.Context, t *turn) error {
	c := t.system.(*cordon)
	if _, err := c.ask(question{Op: "garbage", On: true, MB: b.plan.garbage}); err != nil {
		return err
	}
	if err := pause(ctx, 2*time.Second); err != nil { // until there is as much of it as there will be
		return err
	}
	var p99 []float64
	g := &garbled{MB: b.plan.garbage, PPS: garbageRate}
	for range b.plan.rounds {
		before, err := c.figures(false)
		if err != nil {
			return err
		}
		begun := time.Now()
		w, _, err := b.window(ctx, t, 2*calls(garbageRate), b.plan.window, nil)
		if err != nil {
			return err
		}
		after, err := c.figures(false)
		if err != nil {
			return err
		}
		p99 = append(p99, micros(quantile(w.Delay, 0.99)))
		g.Collections += int(after.Collections - before.Collections)
		g.Made = max(g.Made, float64(after.Bytes-before.Bytes)/1e6/time.Since(begun).Seconds())
		g.Lost, g.Sent = g.Lost+w.Lost, g.Sent+w.Sent
		if why := w.doubt(); why != "" {
			g.Doubt = why
		}
	}
	g.P99 = median(p99)
	b.report.garbage = g
	_, err := c.ask(question{Op: "garbage"})
	return err
}

// full measures the calls that one core shall carry.
func (b *bench) full(ctx context.Context, t *turn) error {
	w, _, err := b.window(ctx, t, 2*b.plan.capacity, capacityTime, nil)
	if err != nil {
		return err
	}
	b.report.capacity = &capacity{
		Calls: b.plan.capacity, Share: (w.CPU + w.Beside).Seconds() / w.Took.Seconds(), Lost: w.Lost, Sent: w.Sent, Worst: w.Worst,
		P99: micros(quantile(w.Delay, 0.99)), Bad: w.Bad, Doubt: w.doubt(),
	}
	return nil
}

// flooded sends forged packets to live calls, in a process of its own, whose memory no other measure grew.
func (b *bench) flooded(ctx context.Context, m int) error {
	t, err := b.start(ctx, nameCordon, m, calls(liveRate))
	if err != nil {
		return err
	}
	defer t.system.stop()
	c := t.system.(*cordon)
	if _, _, err := b.window(ctx, t, len(t.streams), time.Second, nil); err != nil { // so that every call is known
		return err
	}
	before, err := c.figures(true)
	if err != nil {
		return err
	}
	rss, err := resident(c.proc.family())
	if err != nil {
		return err
	}
	lasts := time.Duration(b.plan.flood) * time.Second / floodRate
	n := &noise{rate: floodRate / 1e9, left: b.plan.flood, strange: 1 << 31}
	w, _, err := b.window(ctx, t, len(t.streams), max(lasts+time.Second, time.Second), n)
	if err != nil {
		return err
	}
	after, err := c.figures(true)
	if err != nil {
		return err
	}
	grown, err := resident(c.proc.family())
	if err != nil {
		return err
	}
	b.report.floods = append(b.report.floods, flood{
		Mode: modes()[m].name, Forged: w.Noise, Relayed: w.Echoes, Refused: after.Refused - before.Refused, Lost: w.Lost, Sent: w.Sent, Worst: w.Worst, Bad: w.Bad + w.Twice,
		Live: int64(after.Live) - int64(before.Live), RSS: grown - rss, P99: micros(quantile(w.Delay, 0.99)), Doubt: w.doubt(),
	})
	return nil
}
