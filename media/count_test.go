package media

import (
	"math"
	"testing"
	"time"
)

// Conforms: RFC 3550 section A.1
func TestSequence(t *testing.T) {
	type seqs []uint16
	for name, c := range map[string]struct {
		in       seqs
		lost     int64
		ext      uint32 // of the last packet
		gaps     uint32
		restarts int
		strays   int
	}{
		"in order":           {seqs{10, 11, 12}, 0, 12, 0, 1, 0},
		"two lost":           {seqs{10, 13}, 2, 13, 1, 1, 0},
		"late":               {seqs{10, 12, 11}, 0, 11, 1, 1, 0},
		"twice":              {seqs{10, 11, 11}, -1, 11, 0, 1, 0},
		"over the end":       {seqs{65534, 65535, 0, 1}, 0, 65537, 0, 1, 0},
		"late over the end":  {seqs{65534, 0, 65535}, 0, 65535, 1, 1, 0},
		"a stray packet":     {seqs{10, 40000, 11}, 0, 11, 0, 1, 1},
		"a new start":        {seqs{10, 40000, 40001, 40002}, 0, 40002, 0, 2, 1},
		"back to the start":  {seqs{1000, 1200, 1000, 1001}, 199, 1001, 1, 2, 1},
		"a long outage":      {seqs{10, 3009}, 2998, 3009, 1, 1, 0},
		"too long an outage": {seqs{10, 3010}, 0, 0, 0, 1, 1},
	} {
		var k counters
		var v verdict
		restarts, strays := 0, 0
		for _, s := range c.in {
			v = k.count(header{seq: s, ssrc: 1}, 100, time.Unix(1, 0), pace{})
			if v.fresh {
				restarts++
			}
			if v.stray {
				strays++
			}
		}
		if k.lost.Load() != c.lost || v.ext != c.ext || k.gaps.Load() != c.gaps || restarts != c.restarts || strays != c.strays {
			t.Errorf("%s: lost %d, at %d, %d gaps, %d starts, %d strays; want %+v", name, k.lost.Load(), v.ext, k.gaps.Load(), restarts, strays, c)
		}
	}
}

func TestSourcesAreBounded(t *testing.T) {
	var k counters
	at := time.Unix(1, 0)
	for round := range 2 {
		for ssrc := range uint32(20) {
			for seq := range uint16(3) {
				v := k.count(header{seq: seq*2 + uint16(round*6), ssrc: ssrc}, 10, at, pace{})
				if v.fresh != (seq == 0) {
					t.Fatalf("ssrc %d, packet %d: %+v", ssrc, seq, v)
				}
			}
		}
	}
	if len(k.sources) != maxSources || k.lost.Load() != 80 || k.packets.Load() != 120 {
		t.Errorf("%d sources, %d lost of %d", len(k.sources), k.lost.Load(), k.packets.Load())
	}
}

// Conforms: RFC 3550 section A.8
func TestJitter(t *testing.T) {
	// RFC 3550 appendix A.8 by hand: J += (|D| - J) / 16, D in time stamp units of 125 us.
	var k counters
	at := time.Unix(1700000000, 0)
	want, prev := 0.0, 0.0
	for i, late := range []time.Duration{0, 5, 0, 10, 3, 0, 0, 20, 0, 1} {
		late *= time.Millisecond
		k.count(header{seq: uint16(i), ssrc: 1, ts: uint32(160 * i)}, 100, at.Add(time.Duration(i)*20*time.Millisecond+late), pace{rate: 8000})
		if i > 0 {
			want += (math.Abs(late.Seconds()*8000-prev) - want) / 16
		}
		prev = late.Seconds() * 8000
	}
	if got := time.Duration(k.jitter.Load()).Seconds() * 8000; math.Abs(got-want) > 0.01 || want < 5 {
		t.Errorf("jitter %v, want %v time stamp units", got, want)
	}
	// Events keep one time stamp for many packets and say nothing of the network.
	before := k.jitter.Load()
	k.count(header{seq: 10, ssrc: 1, ts: 0}, 100, at.Add(time.Hour), pace{rate: 8000, event: true})
	if k.jitter.Load() != before {
		t.Error("an event changed the jitter")
	}
}

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

func TestParseHeader(t *testing.T) {
	plain := packet(7, 8, 9, []byte("x"))
	if h, fine := parseHeader(plain); !fine || h.base != 12 || h.full != 12 || h.ssrc != 7 || h.seq != 8 || h.ts != 9 || h.pt != 8 {
		t.Errorf("%+v", h)
	}
	for name, b := range map[string][]byte{
		"short":               plain[:11],
		"version 1":           append([]byte{0x40}, plain[1:]...),
		"sources missing":     append([]byte{0x81}, plain[1:13]...),
		"extension cut":       append([]byte{0x90}, plain[1:]...),
		"extension too short": append(append([]byte{0x90}, plain[1:12]...), 0, 0, 0, 9, 1, 2, 3, 4),
	} {
		if _, fine := parseHeader(b); fine {
			t.Error(name)
		}
	}
}
