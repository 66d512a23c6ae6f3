// The bench of signalling: SIPp calls through cordon, through Kamailio as a relay, through a proxy on sipgo's server API, and directly, in turns.
//
// One run pins the system under test to one core and the generator to another, so only the ratios within a run say something. It may import everything.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"
)

// plan is what a run does. The defaults keep it under four minutes.
type plan struct {
	cordon  string // the binary
	against string // another one; empty for none
	out     string // folder of the results
	rounds  int
	rate    int // calls/s
	calls   int // per round and system
	held    int // calls that are held for the measure of memory
	storm   int // calls that are moved
	moves   int // re-INVITEs per second
	only    string
	dir     string // of this run, thrown away
	keep    bool
}

func main() {
	if len(os.Args) > 1 && os.Args[1] == "relay" { // this very program, started again as one of the systems under test
		if err := relay(os.Args[2], os.Args[3]); err != nil {
			fmt.Fprintln(os.Stderr, "bench:", err)
			os.Exit(1)
		}
		return
	}
	var p plan
	flag.StringVar(&p.cordon, "cordon", "bin/cordon", "binary of cordon")
	flag.StringVar(&p.against, "against", "", "another binary of cordon, measured beside the first, as \"before\"")
	flag.StringVar(&p.out, "out", "bench/results", "folder of the results")
	flag.IntVar(&p.rounds, "rounds", 5, "rounds; in each one every system has its turn")
	flag.IntVar(&p.rate, "rate", 500, "calls per second")
	flag.IntVar(&p.calls, "calls", 1500, "calls of one system in one round")
	flag.IntVar(&p.held, "held", 1000, "calls that are held at once for the measure of memory")
	flag.IntVar(&p.storm, "storm", 2000, "calls whose media is moved by re-INVITE")
	flag.IntVar(&p.moves, "moves", 1000, "re-INVITEs per second of the storm")
	flag.StringVar(&p.only, "only", "", "run this system alone: cordon, kamailio or sipgo")
	flag.BoolVar(&p.keep, "keep", false, "keep the folder of the run, with SIPp's traces")
	flag.Parse()
	ctx, cancel := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer cancel()
	if err := p.run(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		cancel()
		os.Exit(1)
	}
}

// run starts the systems, measures them, ends them and writes what was found.
func (p *plan) run(ctx context.Context) (err error) {
	if p.dir, err = os.MkdirTemp("", "bench-sip"); err != nil {
		return err
	}
	if p.keep {
		fmt.Println("traces in", p.dir)
	} else {
		defer os.RemoveAll(p.dir)
	}
	if p.cordon, err = filepath.Abs(p.cordon); err != nil {
		return err
	}
	if p.against != "" {
		if p.against, err = filepath.Abs(p.against); err != nil {
			return err
		}
	}
	begun := time.Now()
	list, err := p.systems()
	if err != nil {
		return err
	}
	defer func() {
		for _, s := range list {
			err = errors.Join(err, s.stop())
		}
	}()
	for _, s := range list {
		if err := s.start(ctx, p); err != nil {
			return fmt.Errorf("%s: %w", s.name, err)
		}
	}
	r := newReport(p, list)
	if err := r.measure(ctx); err != nil {
		return err
	}
	r.took = time.Since(begun)
	r.print(os.Stdout)
	return r.write()
}
