// The bench of SRTP: what one packet costs to seal and to open in media/srtp and in pion, for one session whose keys are hot and in turn over many.
//
// Rounds of both alternate, and the medians are compared, because a machine is seldom alone: only the ratios say something. It may import everything.
package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"time"
)

// row is what was found for one suite in one direction.
type row struct {
	Suite     string  `json:"suite"`
	Does      string  `json:"does"`     // seal or open
	Sessions  int     `json:"sessions"` // 1: hot
	OursNS    float64 `json:"ours_ns"`  // per packet
	PionNS    float64 `json:"pion_ns"`
	Ratio     float64 `json:"ratio"` // median over the rounds of ours / pion
	OursBytes float64 `json:"ours_bytes"`
	PionBytes float64 `json:"pion_bytes"`
	OursAlloc float64 `json:"ours_allocs"`
	PionAlloc float64 `json:"pion_allocs"`
}

// cost of one packet.
type cost struct{ ns, bytes, allocs float64 }

func main() {
	out := flag.String("out", "bench/results", "folder of the results")
	sessions := flag.Int("sessions", 2000, "sessions that have their turn")
	payload := flag.Int("payload", 160, "bytes of payload")
	rounds := flag.Int("rounds", 15, "rounds of each measure")
	turn := flag.Duration("turn", 12*time.Millisecond, "length of one side's turn in a round, about")
	limit := flag.Duration("limit", 50*time.Second, "time for the whole run, on a busy machine with fewer rounds")
	flag.Parse()
	if *sessions < 1 || *payload < 0 {
		fmt.Fprintln(os.Stderr, "bench: there is at least one session, and no payload is shorter than nothing")
		os.Exit(1)
	}
	if err := run(*out, *sessions, *payload, *rounds, *turn, *limit); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func run(out string, sessions, payload, rounds int, turn, limit time.Duration) error {
	runtime.LockOSThread()
	fmt.Printf("SRTP of packets with %d bytes of payload, ns per packet (B and allocations per packet), medians of up to %d rounds; %s\n\n", payload, rounds, clock)
	fmt.Printf("%-24s %-5s %9s %26s %26s %7s\n", "suite", "does", "sessions", "pion v2", "ours", "ratio")
	var rows []row
	begin, all := time.Now(), 4*len(suites)
	for _, s := range suites {
		for _, n := range []int{1, sessions} {
			for _, does := range []string{"seal", "open"} {
				a, b, err := sides(s, n, payload, does)
				if err != nil {
					return err
				}
				until := begin.Add(limit * time.Duration(len(rows)+1) / time.Duration(all))
				r := compare(a, b, n, rounds, turn, until)
				r.Suite, r.Does, r.Sessions = s.ours.String(), does, n
				rows = append(rows, r)
				fmt.Printf("%-24s %-5s %9d %26s %26s %7.2f\n", r.Suite, r.Does, n,
					fmt.Sprintf("%.0f (%.0f B, %.1f)", r.PionNS, r.PionBytes, r.PionAlloc), fmt.Sprintf("%.0f (%.0f B, %.1f)", r.OursNS, r.OursBytes, r.OursAlloc), r.Ratio)
			}
		}
	}
	b, err := json.MarshalIndent(map[string]any{"payload": payload, "rows": rows}, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(out, "srtp.json"), append(b, '\n'), 0o644)
}

// fewest is the fewest rounds of which a median is taken.
const fewest = 3

// compare lets both have their turns, for so many rounds or until that time. A side does one packet of session i.
func compare(ours, pions func(i int), sessions, rounds int, turn time.Duration, until time.Time) row {
	packets := max(1000, sessions)
	for packets < 1<<20 {
		if d := measure(pions, sessions, packets); d.ns*float64(packets) > float64(turn) {
			break
		}
		packets *= 2
	}
	measure(ours, sessions, packets)
	var a, b []cost
	var ratios []float64
	for n := 0; n < max(rounds, fewest) && (n < fewest || time.Now().Before(until)); n++ {
		x, y := measure(ours, sessions, packets), measure(pions, sessions, packets)
		a, b, ratios = append(a, x), append(b, y), append(ratios, x.ns/y.ns)
	}
	x, y := middle(a), middle(b)
	slices.Sort(ratios)
	return row{
		OursNS: x.ns, PionNS: y.ns, Ratio: ratios[len(ratios)/2],
		OursBytes: x.bytes, PionBytes: y.bytes, OursAlloc: x.allocs, PionAlloc: y.allocs,
	}
}

func measure(do func(i int), sessions, packets int) cost {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	begin := now()
	for n, i := 0, 0; n < packets; n++ {
		do(i)
		if i++; i == sessions {
			i = 0
		}
	}
	took := now() - begin
	runtime.ReadMemStats(&after)
	n := float64(packets)
	return cost{float64(took) / n, float64(after.TotalAlloc-before.TotalAlloc) / n, float64(after.Mallocs-before.Mallocs) / n}
}

// middle is the median by time.
func middle(c []cost) cost {
	slices.SortFunc(c, func(a, b cost) int { return int(a.ns*1000) - int(b.ns*1000) })
	return c[len(c)/2]
}
