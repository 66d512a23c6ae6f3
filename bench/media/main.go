//go:build linux

// The bench of media: G.711 calls through cordon's relay and through rtpengine in turns, on the same core, from the same generator, with real SRTP.
//
// Ratios within one run say something, CPU times belong to one machine. It may import everything; golang.org/x/sys for system calls that send and read many
// packets at once, and pion for the generator's SRTP, which is not the one under test.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// plan is what a run does. The defaults keep it under eight minutes.
type plan struct {
	out      string // folder of the results
	modes    []int
	rates    []int // packets per second, of all streams
	rounds   int
	window   time.Duration
	warm     time.Duration
	only     string
	garbage  int // MB/s
	capacity int // calls
	flood    int // packets
	threads  int
	nice     int
	split    bool
	doze     bool
	profile  string
	keep     bool
	dir      string // of this run, thrown away
}

func main() {
	var err error
	switch first := append(os.Args, "")[1]; first {
	case "relay": // this very program, started again as the system under test
		err = relay(os.Args[2:], os.Stdin, os.Stdout)
	case "media": // and as its media process
		err = carry(os.Args[2:])
	case "bare": // and as the least that a relay can be
		err = bare(os.Args[2:], os.Stdin, os.Stdout)
	default:
		err = measured()
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench-media:", err)
		os.Exit(1)
	}
}

// measured is a run as the flags want it.
func measured() error {
	p, err := parse(os.Args[1:])
	if errors.Is(err, flag.ErrHelp) {
		return nil
	} else if err != nil {
		return err
	}
	ctx, cancel := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer cancel()
	return p.run(ctx)
}

func parse(args []string) (*plan, error) {
	p := &plan{}
	f := flag.NewFlagSet("bench-media", flag.ContinueOnError)
	wanted := f.String("modes", "plain,rtp-srtp,srtp-srtp", "modes, with commas between; empty for none")
	rates := f.String("rates", "20000,50000,100000,150000", "packets per second of all streams; a stream has 50, a call two streams")
	f.StringVar(&p.out, "out", "bench/results", "folder of the results")
	f.IntVar(&p.rounds, "rounds", 3, "rounds of each mode and rate; in each one both systems have their turn")
	f.DurationVar(&p.window, "window", 2*time.Second, "how long one turn is measured")
	f.DurationVar(&p.warm, "warm", 500*time.Millisecond, "how long it runs before that")
	f.StringVar(&p.only, "only", "", "run this system alone: cordon or rtpengine")
	f.IntVar(&p.garbage, "garbage", 50, "measure with so many MB/s of garbage made in the relay's process; 0 for not")
	f.IntVar(&p.capacity, "capacity", 1500, "measure so many SRTP-SRTP calls for longer; 0 for not")
	f.IntVar(&p.flood, "flood", 1e6, "send so many forged packets to live calls; 0 for not")
	f.IntVar(&p.threads, "threads", 1, "worker threads of rtpengine, which has one core; 0 leaves the number to it, which costs it more")
	f.IntVar(&p.nice, "nice", -20, "priority of relays and generator, where the system lets us")
	f.BoolVar(&p.split, "split", true, "have cordon's media in a process of its own, as cordon run has; allocations are then those of the other one")
	f.BoolVar(&p.doze, "doze", false, "have the far ends sleep while nothing is due and nothing comes, so that relays pay for waking them")
	f.StringVar(&p.profile, "cpuprofile", "", "write a CPU profile of cordon's relay here; with several modes or measures, of the last")
	f.BoolVar(&p.keep, "keep", false, "keep the folder of the run, with what the systems said")
	if err := f.Parse(args); err != nil {
		return nil, err
	}
	return p, errors.Join(p.choose(*wanted, *rates), p.check())
}

// choose reads the lists of modes and rates.
func (p *plan) choose(wanted, rates string) error {
	for name := range strings.SplitSeq(wanted, ",") {
		i := slices.IndexFunc(modes(), func(m mode) bool { return m.name == name })
		if i < 0 && wanted != "" {
			return fmt.Errorf("-modes %q: want some of plain, rtp-srtp, srtp-srtp", name)
		} else if i >= 0 {
			p.modes = append(p.modes, i)
		}
	}
	for text := range strings.SplitSeq(rates, ",") {
		n, err := strconv.Atoi(text)
		if err != nil || n < 2*perSecond || n > 400_000 || n%(2*perSecond) != 0 {
			return fmt.Errorf("-rates %q: want multiples of %d up to 400000", text, 2*perSecond)
		}
		p.rates = append(p.rates, n)
	}
	return nil
}

func (p *plan) check() error {
	switch {
	case p.only != "" && p.only != nameCordon && p.only != namePeer:
		return fmt.Errorf("-only %q: want %s or %s", p.only, nameCordon, namePeer)
	case p.rounds < 1 || p.rounds > 100:
		return fmt.Errorf("-rounds %d: want 1 to 100", p.rounds)
	case p.window < 200*time.Millisecond || p.window > time.Minute || p.warm < packetTime || p.warm > time.Minute:
		return fmt.Errorf("-window %v -warm %v: want 200ms to 1m and 20ms to 1m", p.window, p.warm)
	case p.capacity < 0 || p.capacity > 4000 || p.flood < 0 || p.flood > 2e6 || p.threads < 0 || p.garbage < 0 || p.garbage > 1000:
		return errors.New("-capacity wants 0 to 4000 calls, -flood 0 to 2000000 packets, -garbage 0 to 1000, -threads no less than 0")
	case p.split && p.profile != "":
		return errors.New("-cpuprofile: with -split=false alone; with -split the process that carries packets is told to end at once")
	case runtime.NumCPU() < 2:
		return errors.New("two cores are needed: one for the relay, one for the generator")
	}
	return nil
}

// calls is how many there are at a rate.
func calls(rate int) int { return rate / (2 * perSecond) }

// run measures and writes what was found.
func (p *plan) run(ctx context.Context) (err error) {
	if p.dir, err = os.MkdirTemp("", "bench-media"); err != nil {
		return err
	}
	if p.keep {
		fmt.Println("what the systems said is in", p.dir)
	} else {
		defer os.RemoveAll(p.dir)
	}
	if p.profile != "" {
		if p.profile, err = filepath.Abs(p.profile); err != nil {
			return err
		}
	}
	undo, err := settle(p.nice)
	defer undo()
	if err != nil {
		return err
	}
	g, err := newGenerator(farEnds, forgerAt)
	if err != nil {
		return err
	}
	defer g.close()
	g.dozes = p.doze
	b, took := &bench{plan: p, g: g, report: newReport(p), begun: time.Now()}, stolen()
	if err := b.all(ctx); err != nil {
		return err
	}
	b.report.took, b.report.stolen = time.Since(b.begun), stolen()-took
	b.report.print(os.Stdout)
	return b.report.write()
}
