//go:build linux

package main

import (
	"fmt"
	"io"
	"text/tabwriter"
)

// target is a bound that the relay shall keep, and what this run found. Bounds of time and memory are absolute, those of CPU relative to the peer.
type target struct {
	Name  string  `json:"name"`
	Bound float64 `json:"at_most"`
	Found float64 `json:"found"`
	Unit  string  `json:"unit,omitempty"`
	Met   bool    `json:"met"`
	Least float64 `json:"kernel_alone,omitempty"` // what the bare relay would have found
}

// bounds of the ratio by mode and rate.
var ratioBounds = []struct {
	mode  string
	pps   int
	bound float64
}{
	{"plain", 20_000, 0.30},
	{"plain", 50_000, 0.35},
	{"plain", 100_000, 0.50},
	{"srtp-srtp", 20_000, 0.35},
	{"srtp-srtp", 50_000, 0.45},
	{"srtp-srtp", 100_000, 0.60},
}

const (
	boundP50      = 800  // us at 50,000 packets per second
	boundP99      = 2500 // us, there
	boundGarbage  = 5000 // us
	boundShare    = 0.70
	boundLoss     = 0.0001
	boundMemory   = 16 << 10
	boundAllocs   = 0
	boundGrowth   = 16 << 10 // bytes, for a million packets: what the runtime has in use varies by some KB by itself
	tableOfRows   = 50_000
	roundingError = 0.01 // allocations per packet that questions for figures and the runtime's own make
)

// targets are those that this run measured. A row that does not count meets nothing.
func (r *report) targets() (out []target) {
	add := func(name string, bound, found float64, unit string, counts bool) {
		out = append(out, target{Name: name, Bound: bound, Found: found, Unit: unit, Met: counts && found <= bound})
	}
	lines := r.lines()
	for _, b := range ratioBounds {
		for _, l := range lines {
			if l.Mode == b.mode && l.PPS == b.pps && len(l.Ratios) > 0 {
				add(fmt.Sprintf("CPU to rtpengine, %s, %d pps", l.Mode, l.PPS), b.bound, l.Ratio, "", l.Counts)
				out[len(out)-1].Least = l.Bare / l.Peer
			}
		}
	}
	for _, l := range lines {
		if l.Cordon == 0 {
			continue
		}
		name := fmt.Sprintf("%s, %d pps", l.Mode, l.PPS)
		if l.PPS == tableOfRows {
			add("p50, "+name, boundP50, l.P50, "us", l.Counts)
			add("p99, "+name, boundP99, l.P99, "us", l.Counts)
		}
		add("loss, "+name, boundLoss, l.Loss, "", l.Counts)
		add("allocations per packet, "+name, boundAllocs+roundingError, l.Allocs, "", l.Counts)
	}
	for _, w := range r.weights {
		if w.System == nameCordon {
			add("memory per call, "+w.Mode, boundMemory, w.PSS, "B", true)
		}
	}
	if g := r.garbage; g != nil {
		add(fmt.Sprintf("p99 with %d MB/s of garbage", g.MB), boundGarbage, g.P99, "us", g.Doubt == "")
	}
	if c := r.capacity; c != nil {
		add(fmt.Sprintf("core for %d SRTP-SRTP calls", c.Calls), boundShare, c.Share, "", c.Doubt == "")
		add(fmt.Sprintf("loss of %d SRTP-SRTP calls", c.Calls), boundLoss, part(c.Lost, c.Sent), "", c.Doubt == "" && c.Bad == 0)
	}
	for _, f := range r.floods {
		add("live memory grown by a flood, "+f.Mode, boundGrowth, float64(f.Live), "B", f.Doubt == "")
		add("audio lost in a flood, "+f.Mode, 0, float64(f.Lost+f.Bad), "packets", f.Doubt == "")
	}
	return out
}

func (r *report) printTargets(to io.Writer) {
	t := tabwriter.NewWriter(to, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "\ntarget\tat most\tfound\t")
	for _, g := range r.targets() {
		met := "missed"
		if g.Met {
			met = "met"
		}
		least := ""
		if g.Least > 0 {
			least = fmt.Sprintf("the kernel alone: %.2g", g.Least)
		}
		fmt.Fprintf(t, "%s\t%.6g %s\t%.3g\t%s\t%s\n", g.Name, g.Bound, g.Unit, g.Found, met, least)
	}
	_ = t.Flush() // the terminal's matter
}
