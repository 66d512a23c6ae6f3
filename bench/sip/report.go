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

// line is one row of the results as JSON. Ratios decide; milliseconds and what is computed of them belong to this machine.
type line struct {
	Name         string      `json:"name"`
	Says         string      `json:"what"`
	CPS          float64     `json:"cps"` // computed: 0.9 s of CPU over the CPU of a call
	CPU          float64     `json:"cpu_ms_per_call"`
	Ratio        float64     `json:"ratio_to_kamailio"`
	Ratios       []float64   `json:"ratios_by_round"`
	Calls        int         `json:"calls"`
	Failed       int         `json:"failed"`
	FailedAtZero int         `json:"failed_at_0ms_hold"`
	Again        int         `json:"retransmissions"`
	Added        float64     `json:"p99_added_ms"`
	Reordered    int         `json:"reordered_info"`
	Infos        int         `json:"info"`
	Mallocs      float64     `json:"mallocs_per_call,omitempty"`
	UpPSS        float64     `json:"pss_bytes_per_established_call"`
	PastPSS      float64     `json:"pss_bytes_per_finished_call"`
	UpLive       float64     `json:"live_bytes_per_established_call,omitempty"`
	PastLive     float64     `json:"live_bytes_per_finished_call,omitempty"`
	Storm        *stormLines `json:"storm,omitempty"`
}

type stormLines struct {
	Calls int     `json:"calls"`
	Rate  int     `json:"moves_per_second"`
	Moved int     `json:"moved"`
	Lost  int     `json:"lost"`
	P99   float64 `json:"p99_ms"`
}

func (r *report) lines() []line {
	var out []line
	kamailio, direct := r.row(nameKamailio), r.row(nameDirect)
	for _, w := range r.rows {
		if w.s.proc == nil {
			continue
		}
		cpu, ratios := median(w.cpu), w.ratios(kamailio)
		l := line{
			Name: w.s.name, Says: w.s.says, CPU: cpu, Ratio: median(ratios), Ratios: ratios, Calls: w.calls, Failed: w.failed, Again: w.again,
			FailedAtZero: r.p.calls - w.zero.successful, Added: median(w.added(direct)), Reordered: w.order.orders, Infos: w.order.infos,
			Mallocs: median(w.allocs), UpPSS: w.up.pss, PastPSS: w.past.pss, UpLive: w.up.live, PastLive: w.past.live,
		}
		if cpu > 0 {
			l.CPS = 0.9 * 1000 / cpu
		}
		if c := w.storm; c != nil {
			l.Storm = &stormLines{r.p.storm, r.p.moves, len(c.rtt[2]), r.p.storm - c.successful, quantile(c.rtt[2], 0.99)}
		}
		out = append(out, l)
	}
	return out
}

func (r *report) print(to io.Writer) {
	p := r.p
	fmt.Fprintf(to, "%d rounds of %d calls at %d/s (INVITE with SDP, 180, 200, ACK, 200 ms, BYE), UDP on loopback, one core each for the system and for SIPp; %v in all.\n",
		p.rounds, p.calls, p.rate, r.took.Round(time.Second))
	fmt.Fprintln(to, "Ratios are of one round each, the median counts. calls/s is computed: 0.9 s over the CPU of a call.")
	t := tabwriter.NewWriter(to, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(t, "\tCPU ms/call\tto kamailio\tcalls/s\tfailed\tat 0 ms hold\tretrans\tp99 added ms\tINFO reordered\tallocs/call\tPSS/established\tPSS/finished\tlive/established\tlive/finished\t")
	lines := r.lines()
	for _, l := range lines {
		allocs, up, past := "-", "-", "-"
		if l.Mallocs > 0 {
			allocs = fmt.Sprintf("%.0f", l.Mallocs)
		}
		if l.UpLive != 0 {
			up, past = fmt.Sprintf("%.1f KB", l.UpLive/1024), fmt.Sprintf("%.1f KB", l.PastLive/1024)
		}
		fmt.Fprintf(t, "%s\t%.3f\t%.2f\t%.0f\t%d of %d\t%d of %d\t%d\t%.2f\t%d of %d\t%s\t%.1f KB\t%.1f KB\t%s\t%s\t\n", l.Name, l.CPU, l.Ratio, l.CPS, l.Failed, l.Calls,
			l.FailedAtZero, p.calls, l.Again, l.Added, l.Reordered, l.Infos, allocs, l.UpPSS/1024, l.PastPSS/1024, up, past)
	}
	_ = t.Flush() // the terminal's matter
	for _, l := range lines {
		fmt.Fprintf(to, "%s: ratios by round %.2f\n", l.Name, l.Ratios)
		if s := l.Storm; s != nil {
			fmt.Fprintf(to, "%s: storm of %d calls, %d re-INVITE/s: %d moved, %d lost, p99 %.1f ms\n", l.Name, s.Calls, s.Rate, s.Moved, s.Lost, s.P99)
		}
	}
	r.compare(to)
}

// compare says what cordon costs beside the other binary of it.
func (r *report) compare(to io.Writer) {
	if now := r.row(nameCordon); now != nil {
		if v := now.ratios(r.row(nameBefore)); len(v) > 0 {
			slices.Sort(v)
			fmt.Fprintf(to, "cordon costs %.3f of what the other binary does (quarters of the rounds: %.3f to %.3f)\n", median(v), v[len(v)/4], v[len(v)*3/4])
		}
	}
}

func (r *report) write() error {
	if err := os.MkdirAll(r.p.out, 0o755); err != nil {
		return err
	}
	b, err := json.MarshalIndent(map[string]any{
		"rows": r.lines(), "rounds": r.p.rounds, "rate": r.p.rate, "held": r.p.held, "cores": runtime.NumCPU(), "go": runtime.Version(),
		"at":   time.Now().UTC().Format(time.RFC3339),
		"note": "ratios decide, each taken within one round; cps is computed as 0.9/(CPU per call); PSS is of the whole process, media sockets and garbage included; live is what the collector found in use in a collection at that moment, with all stacks, for who tells it",
	}, "", "  ")
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(r.p.out, "sip.json"), append(b, '\n'), 0o644); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(r.p.out, "sip.svg"), []byte(r.plot()), 0o644)
}

// plot draws the ratios: a bar for the median of each system, a dot for each round, a line at Kamailio.
func (r *report) plot() string {
	const width, left, top, high, gap = 720, 150, 60, 34, 18
	lines := r.lines()
	most := 1.0
	for _, l := range lines {
		for _, v := range l.Ratios {
			most = max(most, v)
		}
	}
	x := func(v float64) float64 { return left + v/most*(width-left-80) }
	var b strings.Builder
	height := top + len(lines)*(high+gap) + 40
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" width="%d" height="%d" viewBox="0 0 %d %d" font-family="sans-serif" font-size="13">`+"\n", width, height, width, height)
	fmt.Fprintf(&b, `<rect width="100%%" height="100%%" fill="white"/><text x="16" y="26" font-size="16">CPU per call, relative to Kamailio in the same round</text>`+"\n")
	for i, l := range lines {
		y := top + i*(high+gap)
		fmt.Fprintf(&b, `<text x="%d" y="%d" text-anchor="end">%s</text><rect x="%d" y="%d" width="%.1f" height="%d" fill="#7a9cc6"/>`+"\n",
			left-10, y+22, l.Name, left, y, x(l.Ratio)-left, high)
		for _, v := range l.Ratios {
			fmt.Fprintf(&b, `<circle cx="%.1f" cy="%d" r="3" fill="#1f3a5f"/>`, x(v), y+high/2)
		}
		fmt.Fprintf(&b, `<text x="%.1f" y="%d">%.2f</text>`+"\n", x(max(l.Ratio, highest(l.Ratios)))+8, y+22, l.Ratio)
	}
	fmt.Fprintf(&b, `<line x1="%.1f" x2="%.1f" y1="%d" y2="%d" stroke="#b03030" stroke-dasharray="4 3"/>`+"\n", x(1), x(1), top-12, height-34)
	fmt.Fprintf(&b, `<text x="16" y="%d" fill="#555">bars: median; dots: %d rounds of %d calls at %d/s, one core, UDP on loopback</text>`+"\n</svg>\n", height-12, r.p.rounds, r.p.calls, r.p.rate)
	return b.String()
}

func highest(v []float64) float64 {
	out := 0.0
	for _, f := range v {
		out = max(out, f)
	}
	return out
}
