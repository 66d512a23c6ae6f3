package quality

import (
	"math"
	"testing"
	"time"
)

func near(t *testing.T, what string, got, want, off float64) {
	t.Helper()
	if math.Abs(got-want) > off {
		t.Errorf("%s: %.4f, want %.4f +- %v", what, got, want, off)
	}
}

// ITU-T G.107 annex B, with the values of ITU-T G.109 table 1.
func TestMOSOfR(t *testing.T) {
	for _, c := range []struct{ r, mos, off float64 }{
		{-5, 1, 0},
		{0, 1, 0},
		{3, 1, 0}, // below 1 by the polynomial
		{50, 2.58, 0.005},
		{60, 3.10, 0.005},
		{70, 3.60, 0.005},
		{80, 4.03, 0.007},
		{90, 4.34, 0.005},
		{93.2, 4.41, 0.005},
		{100, 4.5, 0},
		{120, 4.5, 0},
	} {
		near(t, "MOS", MOS(c.r), c.mos, c.off)
	}
	for r := 6.5; r < 110; r += 0.25 {
		if MOS(r+0.25) < MOS(r) {
			t.Fatalf("not monotonic at R %v", r)
		}
	}
}

// lossy is a path with so many percent of packets lost, one by one.
func lossy(percent float64) Path {
	const all = 100000
	lost := int64(all * percent / 100)
	return Path{Received: uint64(all - lost), Lost: lost, Gaps: uint32(float64(lost) * (1 - percent/100))}
}

// ITU-T G.113 appendix I, the planning values of Ie under random packet loss; they were measured, so the formula only comes near.
func TestLossCostsWhatG113Says(t *testing.T) {
	for name, planned := range map[string][][2]float64{
		"PCMA":    {{0, 0}, {1, 5}, {2, 7}, {3, 10}, {5, 15}, {7, 20}, {10, 25}, {15, 35}, {20, 45}},
		"G729":    {{0, 11}, {0.5, 13}, {1, 15}, {1.5, 17}, {2, 19}, {3, 23}, {4, 26}, {8, 36}, {16, 49}},
		"G723":    {{0, 15}, {0.5, 17}, {1, 19}, {1.5, 22}, {2, 24}, {3, 27}, {4, 32}, {8, 41}, {16, 55}},
		"GSM-EFR": {{0, 5}, {1, 16}, {2, 21}, {3, 26}, {5, 33}},
	} {
		k, ok := CodecOf(name)
		if !ok {
			t.Fatalf("%s has no figures", name)
		}
		for _, p := range planned {
			near(t, name, 93.2-float64(k.Rate(lossy(p[0])).R), p[1], 3)
		}
	}
}

// ITU-T G.107 section 7.4 (Idd).
func TestDelayCosts(t *testing.T) {
	for _, c := range []struct {
		ms        int
		want, off float64
	}{
		{0, 0, 0},
		{100, 0, 0}, // G.107: none up to 100 ms
		{150, 0.16, 0.01},
		{200, 3.04, 0.01},
		{300, 14.76, 0.01},
		{400, 24.07, 0.05},
		{100000, 50, 6}, // it levels off: 25 (X - X + 2)
	} {
		near(t, "Idd", delayImpairment(time.Duration(c.ms)*time.Millisecond), c.want, c.off)
	}
	k, _ := CodecOf("PCMA")
	p := Path{Received: 500, Jitter: 10 * time.Millisecond, RTT: 100 * time.Millisecond}
	if d := k.OneWay(p); d != 90*time.Millisecond {
		t.Errorf("one way %v, want half of 100 ms, twice 10 ms and a frame of 20 ms", d)
	}
}

func TestRate(t *testing.T) {
	ms := time.Millisecond
	for name, c := range map[string]struct {
		codec       string
		p           Path
		least, most float64
	}{
		"nothing is wrong":      {"PCMU", Path{Received: 250}, 4.409, 4.411},
		"duplicates":            {"PCMU", Path{Received: 250, Lost: -9}, 4.409, 4.411},
		"too few":               {"PCMU", Path{Received: 49}, 0, 0},
		"no figures":            {"AMR", Path{Received: 250}, 0, 0},
		"no codec":              {"", Path{Received: 250}, 0, 0},
		"wide band":             {"G722", Path{Received: 250}, 4.409, 4.411},
		"full band":             {"OPUS", Path{Received: 250}, 4.409, 4.411},
		"1 % of 729":            {"G729", Path{Received: 990, Lost: 10, Gaps: 10}, 3.9, 4.0},
		"10 %":                  {"PCMU", Path{Received: 900, Lost: 100, Gaps: 90}, 3.3, 3.5},
		"10 % in bursts":        {"PCMU", Path{Received: 900, Lost: 100, Gaps: 5}, 2.8, 3.0},
		"nearly all":            {"PCMU", Path{Received: 50, Lost: 100000, Gaps: 1}, 1, 1},
		"a satellite":           {"PCMU", Path{Received: 250, RTT: 560 * ms}, 3.6, 4.2},
		"a play-out of a third": {"PCMU", Path{Received: 250, Jitter: 150 * ms}, 3.7, 4.1},
	} {
		k, _ := CodecOf(c.codec)
		if got := float64(k.Rate(c.p).MOS); got < c.least || got > c.most {
			t.Errorf("%s: %.3f, want %v to %v", name, got, c.least, c.most)
		}
	}
}

// ITU-T G.107 section 7.5 (BurstR is 1 for losses that are independent).
func TestBurst(t *testing.T) {
	for _, c := range []struct {
		p    Path
		want float64
	}{
		{Path{Received: 100}, 1},
		{Path{Received: 100, Lost: 5}, 1}, // no runs known
		{Path{Received: 0, Lost: 5, Gaps: 1}, 1},
		{lossy(10), 1},
		{Path{Received: 90, Lost: 10, Gaps: 1}, 9},
		{Path{Received: 90, Lost: 10, Gaps: 5}, 1.8},
		{Path{Received: 90, Lost: 10, Gaps: 10}, 1}, // less bursty than chance
	} {
		near(t, "BurstR", c.p.Burst(), c.want, 0.001)
	}
	near(t, "loss", lossy(10).Loss(), 0.1, 1e-9)
}
