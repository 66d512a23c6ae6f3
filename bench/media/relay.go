//go:build linux

package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net/netip"
	"os"
	"runtime"
	"runtime/debug"
	"runtime/pprof"
	"sync"
	"time"

	"github.com/cordonsip/cordon/internal/osnet"
	"github.com/cordonsip/cordon/media"
	"github.com/cordonsip/cordon/media/plane"
	"github.com/cordonsip/cordon/sovereign"
)

// question is what the bench asks the relay's process, a line of JSON on its input; reply is what comes back, a line on its output.
type question struct {
	Op   string // offer | answer | end | figures | garbage | profile
	ID   string
	Mode int // index into modes
	SDP  []byte
	On   bool // figures: collect garbage first. garbage: begin, else end
	MB   int  // garbage: MB/s
}

type reply struct {
	Err     string
	SDP     []byte
	Figures figures
}

// figures are what the process knows of itself.
type figures struct {
	Mallocs, Bytes uint64 // since it started
	Live           uint64 // heap and stacks in use
	Collections    uint32
	Sessions       int
	Rx, Tx         uint64
	Refused        uint64
}

// relayed is the process under test: media by its own door, and nothing else of cordon.
type relayed struct {
	relay    *media.Relay
	sessions map[string]*media.Session
	legs     [][2]media.Leg // by mode
	garbage  func()         // ends the one that is being made
	profile  string
	profiled bool
}

// patientGC is what cmd/cordon sets for an edge.
const patientGC = 400

// relay is the subcommand: it serves questions until its input ends.
func relay(args []string, in io.Reader, out io.Writer) error {
	f := flag.NewFlagSet("relay", flag.ContinueOnError)
	at := f.String("at", "127.20.0.1", "address of the media sockets")
	profile := f.String("cpuprofile", "", "write a CPU profile here, of all that is relayed after the question for it")
	split := f.Bool("split", false, "have media in a process of its own")
	if err := f.Parse(args); err != nil {
		return err
	}
	bind, err := netip.ParseAddr(*at)
	if err != nil {
		return err
	}
	debug.SetGCPercent(patientGC)
	fence, err := permits()
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	defer wg.Wait()
	defer cancel()
	r := &relayed{sessions: map[string]*media.Session{}, legs: legs(), profile: *profile}
	c := media.Config{Listen: listen, Fence: fence, Bind: bind, Ports: [2]uint16{10000, 59999}, Quarantine: time.Second, Logger: slog.New(slog.DiscardHandler)}
	var other *apart
	if *split {
		other = &apart{}
		c.Plane = func(e plane.Events) (plane.Commands, error) { return other.connect(ctx, fence, e) }
	}
	if r.relay, err = media.New(c); err != nil {
		return err
	}
	if other != nil {
		wg.Go(func() { _ = other.client.Run(ctx) }) // both end with ctx alone, without an error
	}
	wg.Go(func() { _ = r.relay.Run(ctx) })
	return r.serve(in, out)
}

// listen binds a socket that the data plane reads by itself.
func listen(at netip.AddrPort) (sovereign.UDPConn, error) {
	return osnet.Net{}.Socket(at, osnet.SocketOptions{DSCP: -1})
}

// permits is a fence that permits the addresses of the bench.
func permits() (*sovereign.Fence, error) {
	home, err := sovereign.ParseRegion("aws:eu-central-1")
	if err != nil {
		return nil, err
	}
	atlas, err := sovereign.NewAtlas(sovereign.ShippedRegions(), []sovereign.Declaration{{Prefix: "127.20.0.0/16", Region: home, Contract: "bench"}})
	if err != nil {
		return nil, err
	}
	s, err := sovereign.NewSnapshot(sovereign.SnapshotConfig{
		Policy: sovereign.Policy{Home: home, Allow: []sovereign.Region{home}}, Atlas: atlas,
		Parties: []sovereign.Party{{Name: "carrier", Kind: sovereign.KindTrunk}, {Name: "fra", Kind: sovereign.KindGroup}},
	})
	if err != nil {
		return nil, err
	}
	return sovereign.NewFence(s, nil), nil
}

// legs are the two sides of each mode.
func legs() (out [][2]media.Leg) {
	for _, m := range modes() {
		var pair [2]media.Leg
		for side, suite := range m.suites {
			pair[side] = media.Leg{Party: [2]string{"carrier", "fra"}[side], Security: media.Plain, Secure: true}
			if suite != "" {
				pair[side].Security, pair[side].Suites = media.SRTPRequired, []media.Suite{media.Suite(suite)}
			}
		}
		out = append(out, pair)
	}
	return out
}

func (r *relayed) serve(in io.Reader, out io.Writer) error {
	questions, replies := json.NewDecoder(in), json.NewEncoder(out)
	defer r.stop()
	for {
		var q question
		if err := questions.Decode(&q); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
		var a reply
		if err := r.answer(q, &a); err != nil {
			a.Err = err.Error()
		}
		if err := replies.Encode(a); err != nil {
			return err
		}
	}
}

func (r *relayed) answer(q question, a *reply) (err error) {
	s := r.sessions[q.ID]
	if s == nil && (q.Op == "answer" || q.Op == "end") {
		return fmt.Errorf("%s: no session %s", q.Op, q.ID)
	}
	switch q.Op {
	case "offer":
		if s, err = r.relay.Open(q.ID, r.legs[q.Mode][media.A]); err != nil {
			return err
		}
		r.sessions[q.ID] = s
		a.SDP, err = s.Offer(media.A, q.SDP, r.legs[q.Mode][media.B])
	case "answer":
		a.SDP, err = s.Answer(media.B, q.SDP)
	case "end":
		s.Close()
		delete(r.sessions, q.ID)
	case "figures":
		a.Figures = r.figures(q.On)
	case "garbage":
		if r.garbage != nil {
			r.garbage()
			r.garbage = nil
		}
		if q.On {
			r.garbage = litter(q.MB)
		}
	case "profile":
		err = r.record()
	default:
		err = fmt.Errorf("no such question: %q", q.Op)
	}
	return err
}

// figures gives what this process knows of itself. Collected: after garbage was, with what the sessions count, which takes memory to ask for.
func (r *relayed) figures(collected bool) (f figures) {
	if collected {
		for _, s := range r.sessions {
			for _, side := range s.Report().Sides {
				f.Rx, f.Tx, f.Refused = f.Rx+side.RxPackets, f.Tx+side.TxPackets, f.Refused+side.Refused
			}
		}
		runtime.GC()
		debug.FreeOSMemory()
	}
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	f.Mallocs, f.Bytes, f.Live, f.Collections, f.Sessions = m.Mallocs, m.TotalAlloc, m.HeapAlloc+m.StackInuse, m.NumGC, r.relay.Sessions()
	return f
}

// record begins the profile that was asked for.
func (r *relayed) record() error {
	if r.profile == "" || r.profiled {
		return nil
	}
	f, err := os.Create(r.profile)
	if err != nil {
		return err
	}
	r.profiled = true
	return pprof.StartCPUProfile(f)
}

func (r *relayed) stop() {
	if r.profiled {
		pprof.StopCPUProfile()
	}
	if r.garbage != nil {
		r.garbage()
	}
	for _, s := range r.sessions {
		s.Close()
	}
}
