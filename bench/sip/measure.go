package main

import (
	"context"
	"fmt"
	"slices"
	"time"
)

// row is what was found of one system.
type row struct {
	s      *system
	cpu    []float64 // ms per call, by round
	p99    []float64 // ms from the INVITE to the 200, by round
	allocs []float64
	calls  int
	failed int
	again  int // retransmissions of SIPp, both sides
	zero   counts
	order  counts
	storm  *counts
	up     weight // of an established call
	past   weight // of a finished one
}

// weight is memory in bytes: of the process, and what its collector found in use; 0 where nobody tells.
type weight struct{ pss, live float64 }

// each is how much more memory than before each of n calls takes.
func (w weight) each(before weight, n float64) weight {
	return weight{(w.pss - before.pss) / n, (w.live - before.live) / n}
}

// weigh measures a system. PSS comes first: what brings the collection about takes room.
func (s *system) weigh(ctx context.Context) (w weight, err error) {
	pss, err := s.proc.pss()
	if err != nil {
		return w, err
	}
	w.pss = float64(pss)
	w.live, err = s.live(ctx)
	return w, err
}

// report is one run.
type report struct {
	p    *plan
	rows []*row
	took time.Duration
}

func newReport(p *plan, list []*system) *report {
	r := &report{p: p}
	for _, s := range list {
		r.rows = append(r.rows, &row{s: s})
	}
	return r
}

// settled is how long a system may finish its work after the last call, so that what it puts off counts.
const settled = 700 * time.Millisecond

func (r *report) measure(ctx context.Context) error {
	p := r.p
	for _, w := range r.rows { // the first calls make pools and pages; they count nowhere
		if err := w.round(ctx, p, load{name: "warm", script: hold(200), calls: 2 * p.rate / 5, rate: p.rate / 2}, false); err != nil {
			return err
		}
	}
	for _, w := range r.rows { // before the load, which leaves room behind that held calls would fill unseen
		if err := w.memory(ctx, p); err != nil {
			return fmt.Errorf("%s: %w", w.s.name, err)
		}
	}
	for i := range p.rounds {
		for j := range r.rows { // each round begins with another system, so that none has always the same neighbour
			w := r.rows[(i+j)%len(r.rows)]
			if err := w.round(ctx, p, load{name: fmt.Sprint("round", i), script: hold(200), calls: p.calls, rate: p.rate}, true); err != nil {
				return err
			}
		}
	}
	for _, w := range r.rows {
		if err := w.rest(ctx, p); err != nil {
			return fmt.Errorf("%s: %w", w.s.name, err)
		}
	}
	return nil
}

// round plays the load of one round and notes what it cost. What asking for metrics costs is not in it.
func (w *row) round(ctx context.Context, p *plan, l load, counted bool) error {
	mallocs, err := w.mallocs()
	if err != nil {
		return fmt.Errorf("%s: %w", w.s.name, err)
	}
	before, err := w.cpuTime()
	if err != nil {
		return fmt.Errorf("%s: %w", w.s.name, err)
	}
	c, err := p.play(ctx, w.s, l)
	if err != nil {
		return fmt.Errorf("%s: %w", w.s.name, err)
	}
	if err := pause(ctx, settled); err != nil {
		return err
	}
	after, err := w.cpuTime()
	if err != nil || !counted {
		return err
	}
	more, err := w.mallocs()
	n := float64(max(1, c.successful))
	w.cpu = append(w.cpu, (after-before).Seconds()*1000/n)
	w.p99 = append(w.p99, quantile(c.rtt[1], 0.99))
	w.allocs = append(w.allocs, (more-mallocs)/n)
	w.calls, w.failed, w.again = w.calls+l.calls, w.failed+l.calls-c.successful, w.again+c.retransmissions
	return err
}

// cpuTime is what the system has used so far; 0 for the direct way.
func (w *row) cpuTime() (time.Duration, error) {
	if w.s.proc == nil {
		return 0, nil
	}
	return w.s.proc.cpu()
}

// mallocs is the number of allocations so far, of a system that tells it.
func (w *row) mallocs() (float64, error) {
	if w.s.api == "" {
		return 0, nil
	}
	v, err := w.s.metrics("go_memstats_mallocs_total")
	return sum(v), err
}

// rest measures what is no matter of rounds: calls without hold, the order of INFO, and for cordon the storm.
func (w *row) rest(ctx context.Context, p *plan) (err error) {
	if w.s.proc == nil {
		return nil
	}
	if w.zero, err = p.play(ctx, w.s, load{name: "zero", script: hold(0), calls: p.calls, rate: p.rate}); err != nil {
		return err
	}
	if w.order, err = p.play(ctx, w.s, load{name: "order", script: infos(), callee: patient(w.s.vias), calls: 300, rate: 100, trace: true}); err != nil {
		return err
	}
	if w.s.name != nameCordon || p.storm == 0 {
		return nil
	}
	every, moved := 1000/float64(p.rate), 1000/float64(p.moves)
	up := int(float64(p.storm)*every) + 2000
	over := int(float64(p.storm)*moved) + 2000
	c, err := p.play(ctx, w.s, load{
		name: "storm", script: storm(up, over, every, moved), calls: p.storm, rate: p.rate, lasts: time.Duration(up+over) * time.Millisecond,
	})
	w.storm = &c
	return err
}

// memory holds calls and compares the memory before, while they are up and when they have ended.
func (w *row) memory(ctx context.Context, p *plan) error {
	if w.s.proc == nil {
		return nil
	}
	before, err := w.s.weigh(ctx)
	if err != nil {
		return err
	}
	var up weight
	setup := time.Duration(p.held) * time.Second / time.Duration(p.rate)
	c, err := p.play(ctx, w.s, load{
		name: "held", script: hold(int((setup + collects).Milliseconds()) + 2000), calls: p.held, rate: p.rate,
		during: func(ctx context.Context) error {
			if err := pause(ctx, setup+time.Second); err != nil {
				return err
			}
			var err error
			up, err = w.s.weigh(ctx)
			return err
		},
	})
	if err != nil {
		return err
	}
	after, err := w.s.weigh(ctx)
	n := float64(max(1, c.successful))
	w.up, w.past = up.each(before, n), after.each(before, n)
	return err
}

func sum(v []float64) (s float64) {
	for _, x := range v {
		s += x
	}
	return s
}

func pause(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d):
		return nil
	}
}

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

// ratios of this row to another one, round by round.
func (w *row) ratios(to *row) []float64 {
	var out []float64
	if to == nil {
		return nil
	}
	for i := range min(len(w.cpu), len(to.cpu)) {
		if to.cpu[i] > 0 {
			out = append(out, w.cpu[i]/to.cpu[i])
		}
	}
	return out
}

// added is the time that this row adds to the direct way, round by round.
func (w *row) added(direct *row) []float64 {
	var out []float64
	if direct == nil {
		return nil
	}
	for i := range min(len(w.p99), len(direct.p99)) {
		out = append(out, w.p99[i]-direct.p99[i])
	}
	return out
}

func (r *report) row(name string) *row {
	for _, w := range r.rows {
		if w.s.name == name {
			return w
		}
	}
	return nil
}
