//go:build linux

package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"text/tabwriter"
	"time"
)

// report is what was found in one run.
type report struct {
	plan     *plan
	rows     []*row
	itself   []alone
	weights  []weight
	garbage  *garbled
	capacity *capacity
	floods   []flood
	took     time.Duration
	stolen   time.Duration // of all cores, by the machine below
}

// row is one mode at one rate.
type row struct {
	mode     string
	pps      int
	cells    map[string]*cell // by system
	repeated int              // turns
}

// cell is one system in a row; slices are by round.
type cell struct {
	cpu, beside        []float64 // us per packet that came through
	p50, p99           []float64 // us
	allocs             []float64 // per packet
	late               []float64 // us, p99
	sent, lost, worst  int
	stale              int
	twice, strange     int
	checked, bad, none int
	doubts             []string
}

// alone is the generator with no relay between its sockets.
type alone struct {
	PPS    int     `json:"pps"`
	Lost   int     `json:"lost"`
	P50    float64 `json:"p50_us"`
	P99    float64 `json:"p99_us"`
	Late99 float64 `json:"late_p99_us"`
	Doubt  string  `json:"doubt,omitempty"`
}

// weight is the memory of one call, both legs, in bytes.
type weight struct {
	Mode   string  `json:"mode"`
	System string  `json:"system"`
	PSS    float64 `json:"pss_bytes_per_call"`
	Live   float64 `json:"live_bytes_per_call,omitempty"`
}

type garbled struct {
	MB          int     `json:"mb_per_s"`
	Made        float64 `json:"made_mb_per_s"`
	PPS         int     `json:"pps"`
	P99         float64 `json:"p99_us"`
	Collections int     `json:"collections"`
	Lost        int     `json:"lost"`
	Sent        int     `json:"sent"`
	Doubt       string  `json:"doubt,omitempty"`
}

type capacity struct {
	Calls int     `json:"calls"`
	Share float64 `json:"core"`
	Lost  int     `json:"lost"`
	Sent  int     `json:"sent"`
	Worst int     `json:"worst_call_lost"`
	P99   float64 `json:"p99_us"`
	Bad   int     `json:"bad"`
	Doubt string  `json:"doubt,omitempty"`
}

type flood struct {
	Mode    string  `json:"mode"`
	Forged  int     `json:"forged"`
	Relayed int     `json:"relayed"`
	Refused uint64  `json:"refused"`
	Lost    int     `json:"lost"`
	Sent    int     `json:"sent"`
	Worst   int     `json:"worst_call_lost"`
	Bad     int     `json:"bad"`
	Live    int64   `json:"live_bytes_grown"`
	RSS     int64   `json:"pss_bytes_grown"`
	P99     float64 `json:"p99_us"`
	Doubt   string  `json:"doubt,omitempty"`
}

func newReport(p *plan) *report { return &report{plan: p} }

func (r *report) row(mode string, pps int) *row {
	w := &row{mode: mode, pps: pps, cells: map[string]*cell{}}
	r.rows = append(r.rows, w)
	return w
}

func (w *row) cell(system string) *cell {
	if w.cells[system] == nil {
		w.cells[system] = &cell{}
	}
	return w.cells[system]
}

func (r *report) weight(mode, system string, pss, live float64) {
	r.weights = append(r.weights, weight{mode, system, pss, live})
}

// add notes one turn.
func (c *cell) add(w *window, allocs float64) {
	if w.Passed == 0 {
		c.none++
	}
	n := float64(max(1, w.Passed)) * 1000
	c.cpu, c.beside = append(c.cpu, float64(w.CPU+w.Beside)/n), append(c.beside, float64(w.Beside)/n)
	c.p50, c.p99 = append(c.p50, micros(quantile(w.Delay, 0.5))), append(c.p99, micros(quantile(w.Delay, 0.99)))
	c.allocs, c.late = append(c.allocs, allocs), append(c.late, micros(quantile(w.Late, 0.99)))
	c.sent, c.lost, c.worst = c.sent+w.Sent, c.lost+w.Lost, max(c.worst, w.Worst)
	c.stale += w.Stale
	c.twice, c.strange, c.checked, c.bad = c.twice+w.Twice, c.strange+w.Strange, c.checked+w.Checked, c.bad+w.Bad
	if why := w.doubt(); why != "" {
		c.doubts = append(c.doubts, why)
	}
}

// loss is the part that was lost.
func (c *cell) loss() float64 { return float64(c.lost) / float64(max(1, c.sent)) }

// faults are what must not be seen of a system that relays.
func (c *cell) faults() (out []string) {
	for what, n := range map[string]int{"came twice": c.twice, "strange": c.strange, "of the sample wrong": c.bad, "turns without a packet": c.none} {
		if n > 0 {
			out = append(out, fmt.Sprintf("%d %s", n, what))
		}
	}
	slices.Sort(out)
	return out
}

// ratios are those of one round each; none where a system was alone.
func (w *row) ratios() (out []float64) {
	a, b := w.cells[nameCordon], w.cells[namePeer]
	if a == nil || b == nil {
		return nil
	}
	for i := range min(len(a.cpu), len(b.cpu)) {
		if b.cpu[i] > 0 {
			out = append(out, a.cpu[i]/b.cpu[i])
		}
	}
	return out
}

// line is one row of the results as JSON. Ratios decide; times belong to this machine.
type line struct {
	Mode      string    `json:"mode"`
	PPS       int       `json:"pps"`
	Cordon    float64   `json:"cordon_us"`
	Peer      float64   `json:"peer_us"`
	Bare      float64   `json:"bare_us,omitempty"` // of a relay that does nothing but read and send
	Ratio     float64   `json:"ratio"`
	Ratios    []float64 `json:"ratios_by_round"`
	Loss      float64   `json:"loss"`
	PeerLoss  float64   `json:"peer_loss"`
	Stale     float64   `json:"stale"` // the part that came more than 200 ms after it was sent
	PeerStale float64   `json:"peer_stale"`
	P50       float64   `json:"p50_us"`
	P99       float64   `json:"p99_us"`
	PeerP50   float64   `json:"peer_p50_us"`
	PeerP99   float64   `json:"peer_p99_us"`
	Worst     int       `json:"worst_call_lost"`
	Allocs    float64   `json:"allocs_per_packet"`
	Late      float64   `json:"generator_late_p99_us"`
	Again     int       `json:"turns_repeated"`
	Counts    bool      `json:"counts"`
	Why       []string  `json:"why,omitempty"`
}

func (w *row) line() line {
	l := line{Mode: w.mode, PPS: w.pps, Ratios: w.ratios(), Ratio: median(w.ratios()), Again: w.repeated, Counts: true}
	for name, c := range w.cells {
		l.Late = max(l.Late, median(c.late))
		for _, why := range append(slices.Clone(c.doubts), c.faults()...) {
			l.Why, l.Counts = append(l.Why, name+": "+why), false
		}
		stale := part(c.stale, c.sent)
		switch name {
		case nameBare:
			l.Bare = median(c.cpu)
		case nameCordon:
			l.Stale = stale
			l.Cordon, l.Loss, l.P50, l.P99, l.Worst, l.Allocs = median(c.cpu), c.loss(), median(c.p50), median(c.p99), c.worst, median(c.allocs)
		default:
			l.PeerStale = stale
			l.Peer, l.PeerLoss, l.PeerP50, l.PeerP99 = median(c.cpu), c.loss(), median(c.p50), median(c.p99)
		}
	}
	slices.Sort(l.Why)
	return l
}

func (r *report) lines() (out []line) {
	for _, w := range r.rows {
		out = append(out, w.line())
	}
	return out
}

// progress says at once what a row found.
func (r *report) progress(to io.Writer, w *row) {
	l := w.line()
	fmt.Fprintf(to, "%s %d pps: cordon %.2f us, rtpengine %.2f us, ratio %.2f\n", l.Mode, l.PPS, l.Cordon, l.Peer, l.Ratio)
}

func (r *report) print(to io.Writer) {
	p := r.plan
	fmt.Fprintf(to, "\n%d rounds of %v for each mode and rate, G.711 in 20 ms, UDP on loopback, one core for the relay and one for the generator; %v in all, %v stolen by the machine below.\n",
		p.rounds, p.window, r.took.Round(time.Second), r.stolen)
	fmt.Fprintln(to, "CPU is us per packet that came through, the median over the rounds; ratios are of one round each, the median counts. Times are from sending to receiving, the generator's own included; what took over 200 ms is stale. Bare is a relay that reads and sends and does nothing else: what the kernel takes.")
	t := tabwriter.NewWriter(to, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(t, "mode\tpps\tcordon us\trtpengine us\tbare us\tratio\t(rounds)\tloss\trtpengine loss\tstale\trtpengine stale\tp50 us\tp99 us\trtpengine p50\tp99\tallocs/packet\tcounts\t")
	for _, l := range r.lines() {
		if l.Again > 0 {
			fmt.Fprintf(to, "%s %d pps: %d turns repeated\n", l.Mode, l.PPS, l.Again)
		}
		fmt.Fprintf(t, "%s\t%d\t%.2f\t%.2f\t%s\t%.2f\t%.2f\t%s\t%s\t%s\t%s\t%.0f\t%.0f\t%.0f\t%.0f\t%.2f\t%s\t\n", l.Mode, l.PPS, l.Cordon, l.Peer, shown(l.Bare), l.Ratio, l.Ratios,
			percent(l.Loss), percent(l.PeerLoss), percent(l.Stale), percent(l.PeerStale), l.P50, l.P99, l.PeerP50, l.PeerP99, l.Allocs, yes(l.Counts))
	}
	_ = t.Flush() // the terminal's matter
	for _, l := range r.lines() {
		if len(l.Why) > 0 {
			fmt.Fprintf(to, "%s %d pps does not count: %s\n", l.Mode, l.PPS, strings.Join(l.Why, "; "))
		}
	}
	r.printRest(to)
	r.printTargets(to)
}

func (r *report) printRest(to io.Writer) {
	for _, a := range r.itself {
		fmt.Fprintf(to, "generator alone, %d pps: %d lost, p50 %.0f us, p99 %.0f us, behind its time %.0f us at p99 %s\n", a.PPS, a.Lost, a.P50, a.P99, a.Late99, a.Doubt)
	}
	for _, w := range r.weights {
		fmt.Fprintf(to, "memory, %s, %s: %.1f KB per call", w.Mode, w.System, w.PSS/1024)
		if w.System == nameCordon {
			fmt.Fprintf(to, ", of it %.1f KB live in the heap and on stacks", w.Live/1024)
		}
		fmt.Fprintln(to)
	}
	if g := r.garbage; g != nil {
		fmt.Fprintf(to, "garbage, %d MB/s by signalling, %.0f MB/s in all, %d collections, srtp-srtp %d pps: p99 %.0f us, loss %s %s\n", g.MB, g.Made, g.Collections, g.PPS, g.P99, percent(part(g.Lost, g.Sent)), g.Doubt)
	}
	if c := r.capacity; c != nil {
		fmt.Fprintf(to, "capacity, %d srtp-srtp calls: %.0f %% of the core, loss %s (worst call %d packets), p99 %.0f us, %d of the sample wrong %s\n",
			c.Calls, 100*c.Share, percent(part(c.Lost, c.Sent)), c.Worst, c.P99, c.Bad, c.Doubt)
	}
	for _, f := range r.floods {
		fmt.Fprintf(to, "flood, %s, %d forged packets: %d came to a far end, %d refused by count; live calls lost %d of %d (worst call %d), %d wrong, p99 %.0f us; live memory %+d B, PSS %+d B %s\n",
			f.Mode, f.Forged, f.Relayed, f.Refused, f.Lost, f.Sent, f.Worst, f.Bad, f.P99, f.Live, f.RSS, f.Doubt)
	}
}

// shown shows a time, or that there was none.
func shown(us float64) string {
	if us == 0 {
		return "-"
	}
	return fmt.Sprintf("%.2f", us)
}

func part(n, of int) float64 { return float64(n) / float64(max(1, of)) }

// percent shows a part of one; what is not zero never looks like it.
func percent(v float64) string {
	if v > 0 && v < 0.0001 {
		return fmt.Sprintf("%.4f %%", 100*v)
	}
	return fmt.Sprintf("%.2f %%", 100*v)
}

func yes(b bool) string {
	if b {
		return "yes"
	}
	return "no"
}

func (r *report) write() error {
	if err := os.MkdirAll(r.plan.out, 0o755); err != nil {
		return err
	}
	b, err := json.MarshalIndent(map[string]any{
		"rows": r.lines(), "targets": r.targets(), "generator": r.itself, "memory": r.weights, "garbage": r.garbage, "capacity": r.capacity, "floods": r.floods,
		"machine": describeMachine(), "stolen_s": r.stolen.Seconds(), "rounds": r.plan.rounds, "window_s": r.plan.window.Seconds(), "at": time.Now().UTC().Format(time.RFC3339),
		"note": "ratios decide, each taken within one round; us are of one core per packet that came through, all threads and what the kernel did in their name (delivery to the generator's socket included), with the softirq thread of that core; p50 and p99 run from the generator's send to its receive",
	}, "", "  ")
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(r.plan.out, "media.json"), append(b, '\n'), 0o644); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(r.plan.out, "media.svg"), []byte(plot(r.lines(), r.plan)), 0o644)
}

// describeMachine says what a reader must know of the machine.
func describeMachine() map[string]any {
	m := map[string]any{"cores": runtime.NumCPU(), "go": runtime.Version(), "arch": runtime.GOARCH}
	for line := range strings.Lines(fileText("/proc/cpuinfo")) {
		if k, v, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(k) == "model name" {
			m["cpu"] = strings.TrimSpace(v)
		} else if ok && strings.TrimSpace(k) == "flags" {
			m["virtual"] = slices.Contains(strings.Fields(v), "hypervisor")
		}
	}
	m["kernel"] = strings.TrimSpace(fileText("/proc/sys/kernel/osrelease"))
	return m
}

func fileText(name string) string {
	b, _ := os.ReadFile(name) // what is not there says nothing
	return string(b)
}
