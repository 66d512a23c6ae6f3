package cordon

import (
	"context"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cordonsip/cordon/admin"
	"github.com/cordonsip/cordon/audit"
	"github.com/cordonsip/cordon/drill"
	"github.com/cordonsip/cordon/drill/register"
	"github.com/cordonsip/cordon/drill/scenario"
	"github.com/cordonsip/cordon/internal/carrier"
)

const quitScenario = `drill: quit
version: 1
title: The first choice goes and does not come back
class: primary_region_loss
authors: [cordon]
modes: [full]
calls:
  - {called: "+4969900100", each: 5s, hold: 10s}
take:
  - {what: {group: primary}, how: HOW, at: 5s}
expect:
  - {carries: {on: secondary, for: 1m}}
  - {refused: {party: forbidden}}
end: {after: 10m, restore: 10m}
`

// A node that stops in the middle of a drill gives everything back first, and then drains and ends its calls: the party that was gone gets the BYE of the call that its caller ended
// meanwhile, and that of the call that the stop ends. The end of the drill is in the log, and the stop takes seconds.
func TestAStopGivesBackBeforeItDrains(t *testing.T) {
	for how, drain := range map[string]time.Duration{"refuse": 0, "blackhole": 5 * time.Second, "unavailable": 0} {
		t.Run(how, func(t *testing.T) {
			dir := t.TempDir()
			if err := os.WriteFile(filepath.Join(dir, "quit.yaml"), []byte(strings.Replace(quitScenario, "HOW", how, 1)), 0o600); err != nil {
				t.Fatal(err)
			}
			onStage(t, strings.Replace(deskConfig, "drills:\n", "drills:\n  scenarios: "+dir+"\n", 1), func(s *stageAt) {
				t := s.t
				k := s.node.drills
				ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), time.Hour)
				defer cancel()
				d, err := k.Request(ctx, admin.DrillOrder{Scenario: "quit", Mode: "full", Reason: "r"}, "anna")
				if err == nil {
					_, err = k.Approve(ctx, d.ID(), "r", "ben")
				}
				if err != nil {
					t.Fatal(err)
				}
				time.Sleep(15*time.Minute - time.Second)
				early, stays := s.calls(ctx), s.calls(ctx)
				time.Sleep(20 * time.Second)
				if d, _ = k.Drill(d.ID()); d.State != register.Running || !s.node.board.Any() {
					t.Fatalf("it does not run: %+v", d)
				}
				if err := early[0].Hangup(ctx); err != nil {
					t.Fatal(err)
				}
				time.Sleep(5 * time.Second)
				if early[1].Ended() != "" {
					t.Fatal("a BYE went where nothing goes")
				}
				began, stopped := time.Now(), make(chan error)
				go func() { stopped <- s.node.Stop(ctx, drain) }()
				if drain > 0 {
					time.Sleep(4 * time.Second)
					if early[1].Ended() == "" || stays[1].Ended() != "" || s.node.board.Any() || !endedByStop(t, s.node, d.Last) {
						t.Errorf("while it drains: %q, %q, and whether its end is in the log: %t", early[1].Ended(), stays[1].Ended(), endedByStop(t, s.node, d.Last))
					}
				}
				if err := <-stopped; err != nil {
					t.Error(err)
				}
				if took := time.Since(began); took > 10*time.Second {
					t.Errorf("the stop took %s", took)
				}
				for name, c := range map[string]*carrier.Call{"that its caller ended": early[1], "that was up": stays[1], "of the caller": stays[0]} {
					if c.Ended() == "" {
						t.Errorf("no BYE for the call %s", name)
					}
				}
			})
		})
	}
}

// endedByStop says whether the log has, from an entry on, the end of a drill that a stop of its node aborted.
func endedByStop(t *testing.T, n *Node, from uint64) bool {
	list, err := n.log.Entries(t.Context(), from, 1000)
	if err != nil {
		t.Error(err)
	}
	return slices.ContainsFunc(list, func(e audit.Entry) bool {
		return e.Kind == audit.KindDrillEnded && strings.Contains(string(e.Body), `"aborted"`) && strings.Contains(string(e.Body), "the node stops")
	})
}

// calls is one call from the carrier to Frankfurt: its end there, and the one here.
func (s *stageAt) calls(ctx context.Context) (out [2]*carrier.Call) {
	s.t.Helper()
	c, err := s.peers["carrier"].Call(ctx, carrier.CallOptions{From: "+4930123", To: "+4969123456", Dest: netip.MustParseAddrPort("10.5.0.10:5060"), Talk: time.Hour})
	if err != nil {
		s.t.Fatal(err)
	}
	if status, err := c.WaitFinal(ctx); err != nil || status != 200 {
		s.t.Fatal(status, err)
	}
	in := s.peers["fra"].Calls()
	return [2]*carrier.Call{c, in[len(in)-1]}
}

// What is not as before when the node stops has no end in the log, so that the next start puts it back; and nothing begins any more.
func TestAStopLeavesWhatIsNotBackToTheNextStart(t *testing.T) {
	drillsOn(t, drillConfig, func(s *stageAt, k *drillKeeper, _ *fakePlay) {
		t := s.t
		k.mu.Lock()
		k.plays[scenario.Sandbox] = func(ctx context.Context, _ drillAsk, _ <-chan string, _ func(drill.Step)) (drillPlayed, error) {
			<-ctx.Done()
			return drillPlayed{Result: drill.Result{Outcome: drill.NotRestored, Cause: "line uses zrh"}}, nil
		}
		k.mu.Unlock()
		order := admin.DrillOrder{Scenario: "carrier-loss", Mode: "sandbox", Reason: "r"}
		d, err := k.Request(t.Context(), order, "anna")
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute)
		k.quit(t.Context())
		if _, err := k.Request(t.Context(), order, "anna"); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute)
		if kinds := strings.Join(drillKinds(t, s.node), " "); kinds != "requested scenario started requested" {
			t.Errorf("%s: %s", d.ID(), kinds)
		}
	})
}
