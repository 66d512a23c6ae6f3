package cordon

import (
	"context"
	"net/netip"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cordonsip/cordon/configs"
	"github.com/cordonsip/cordon/internal/carrier"
	"github.com/cordonsip/cordon/internal/vnet"
	"github.com/cordonsip/cordon/routing"
	"github.com/cordonsip/cordon/sip"
	"github.com/cordonsip/cordon/sovereign"
)

// sandboxDay is when virtual sandboxes are played: a bubble begins in the year 2000, under another law.
var sandboxDay = time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)

// furnished is one of the examples with the files that it names.
func furnished(t *testing.T, name string) *configs.Config {
	t.Helper()
	dir := t.TempDir()
	ca, err := carrier.NewCA()
	if err == nil {
		err = ca.Furnish("configs/examples", dir, "sbc.bank.example")
	}
	if err != nil {
		t.Fatal(err)
	}
	c, err := configs.Load(filepath.Join(dir, name))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// A sandbox comes out of each example and runs: everything permitted is found up, calls of each route are answered, what is held or denied gets nothing, and nothing at all
// leaves the ground.
func TestASandboxOfEachExampleRuns(t *testing.T) {
	list, err := filepath.Glob("configs/examples/*.yaml")
	if err != nil || len(list) < 8 {
		t.Fatalf("%d examples, %v", len(list), err)
	}
	for _, file := range list {
		t.Run(filepath.Base(file), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				time.Sleep(time.Until(sandboxDay))
				net := vnet.New(1)
				machine := net.Host(netip.MustParseAddr("192.0.2.1"))
				s, err := openSandbox(t.Context(), furnished(t, filepath.Base(file)), sandboxOptions{Net: machine, Dir: t.TempDir(), Memory: true, Seed: 1})
				if err != nil {
					t.Fatal(err)
				}
				net.Tap(func(p vnet.Packet) {
					if !s.stage.Ground().Contains(p.To.Addr()) {
						t.Errorf("%s %s to %s", p.Proto, p.Kind, p.To)
					}
				})
				if err := s.ready(t.Context()); err != nil {
					t.Error(err)
				}
				s.answer(t)
				s.ring(t)
				s.refused(t)
				if err := s.close(context.WithoutCancel(t.Context())); err != nil {
					t.Error(err)
				}
				if left := net.Open(); len(left) > 0 {
					t.Errorf("left open: %v", left)
				}
			})
		})
	}
}

// answer places a call of each inbound route.
func (s *sandbox) answer(t *testing.T) {
	t.Helper()
	w, err := DrillWorld(s.stage.Config, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range w.Routes {
		if len(r.From) == 0 {
			t.Errorf("%s: nobody calls", r.Name)
			continue
		}
		got, err := s.node.edge.Place(t.Context(), sip.Synthetic{From: r.From[0], Called: "+4969900100", Purpose: sovereign.Drill, Hold: 2 * time.Second})
		if err != nil || got.Status != 200 || got.Tone.Heard == 0 || len(got.Hops) != 1 {
			t.Errorf("%s: %+v, %v", r.Name, got, err)
		}
	}
}

// ring lets the stand-ins of the trunks call in: who is permitted is put through, who is not gets no answer.
func (s *sandbox) ring(t *testing.T) {
	t.Helper()
	snap := s.node.fence.Snapshot()
	for _, r := range s.stage.Config.Rules.Routes {
		if r.Direction != routing.Inbound {
			continue
		}
		for _, from := range r.From {
			status, want := s.call(t, from), 0
			if snap.JudgeParty(from, sovereign.Signalling, sovereign.Production, time.Now()).Permitted() {
				want = 200
			}
			if status != want {
				t.Errorf("%s: %s calls in and gets %d, want %d", r.Name, from, status, want)
			}
		}
	}
}

// call lets a stand-in call in, and gives the final status; 0: nobody listens to it.
func (s *sandbox) call(t *testing.T, from string) int {
	t.Helper()
	peer := s.stage.Peers(from)[0]
	c, err := peer.Call(t.Context(), carrier.CallOptions{From: "+49301234567", To: "+4969900100", Dest: s.listens(peer.Proto()), Talk: 2 * time.Second})
	if err != nil {
		return 0
	}
	status, err := c.WaitFinal(t.Context())
	if err != nil {
		t.Errorf("%s calls in: %v", from, err)
	}
	<-c.Done()
	if got := c.Media(); status == 200 && got.Matched == 0 {
		t.Errorf("%s calls in and hears nothing: %+v", from, got)
	}
	return status
}

// listens is where the sandbox takes calls by a transport.
func (s *sandbox) listens(proto string) netip.AddrPort {
	for _, a := range s.node.Addrs() {
		if rest, ok := strings.CutPrefix(a, proto+" "); ok {
			return netip.MustParseAddrPort(rest)
		}
	}
	return netip.AddrPort{}
}

// refused holds that nothing left for whoever is not permitted.
func (s *sandbox) refused(t *testing.T) {
	t.Helper()
	snap := s.node.fence.Snapshot()
	for _, p := range snap.Parties() {
		permitted := snap.JudgeParty(p.Name, sovereign.Signalling, sovereign.Drill, time.Now()).Permitted()
		if n := s.stage.Net.Count(p.Name); permitted == (n == 0) {
			t.Errorf("%d datagrams left for %s, permitted: %v", n, p.Name, permitted)
		}
	}
	for _, p := range s.stage.Net.Parties() {
		for _, peer := range s.stage.Peers(p) {
			if f := peer.Stats().Faults; len(f) > 0 {
				t.Errorf("%s saw breaches: %s", p, strings.Join(f, "; "))
			}
		}
	}
}
