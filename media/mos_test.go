package media

import (
	"testing"
	"time"
)

func TestMOS(t *testing.T) {
	ms := time.Millisecond
	for _, c := range []struct {
		codec        string
		packets      uint64
		lost         int64
		gaps         uint32
		jitter, rtt  time.Duration
		least, below float64
	}{
		{"PCMA", 49, 0, 0, 0, 0, 0, 0.01}, // too few
		{"AMR", 500, 0, 0, 0, 0, 0, 0.01}, // no figures
		{"PCMA", 500, 0, 0, 0, 0, 4.39, 4.41},
		{"PCMA", 500, -5, 0, 0, 0, 4.39, 4.41},
		{"G729", 500, 0, 0, 0, 0, 4.05, 4.15},
		{"PCMU", 990, 10, 10, 0, 0, 4.25, 4.36}, // 1 %
		{"PCMU", 900, 100, 100, 0, 0, 2.9, 3.6}, // 10 %
		{"PCMU", 900, 100, 5, 0, 0, 1.5, 2.9},   // the same in bursts
		{"PCMA", 500, 0, 0, 0, 300 * ms, 4.2, 4.4},
		{"PCMA", 500, 0, 0, 0, 1500 * ms, 1, 2.3},
		{"PCMA", 500, 0, 0, 100 * ms, 0, 4.0, 4.35},
		{"PCMA", 50, 100000, 1, 0, 0, 0.99, 1.01},
	} {
		if got := mos(c.codec, c.packets, c.lost, c.gaps, c.jitter, c.rtt); got < c.least || got > c.below {
			t.Errorf("%+v: %.3f", c, got)
		}
	}
}
