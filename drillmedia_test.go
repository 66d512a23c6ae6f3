package cordon

import (
	"context"
	"net/netip"
	"testing"
	"time"

	"github.com/cordonsip/cordon/drill/board"
	"github.com/cordonsip/cordon/drill/scenario"
	"github.com/cordonsip/cordon/internal/carrier"
	"github.com/cordonsip/cordon/media"
	"github.com/cordonsip/cordon/sip"
	"github.com/cordonsip/cordon/sovereign"
)

// A call that is up loses its sound while a drill has its far end, whatever its party or its member, and has it again when the lease ends, by itself. What a drill takes away from
// its own calls alone the calls of people never notice.
func TestADrillTakesMediaAway(t *testing.T) {
	for name, c := range map[string]struct {
		kind          scenario.Kind
		what          string
		scope         board.Scope
		people, drill bool // who of them has sound
	}{
		"a group, from everybody":       {scenario.Group, "fra", board.All, false, false},
		"a target, from everybody":      {scenario.Target, "fra/10.10.0.10", board.All, false, false},
		"a trunk, whose calls they are": {scenario.Trunk, "carrier", board.All, false, true},
		"a group, from its own":         {scenario.Group, "fra", board.Own, true, false},
		"another group":                 {scenario.Group, "zrh", board.All, true, true},
	} {
		t.Run(name, func(t *testing.T) {
			probing(t, "call", "degraded", func(p *probed) {
				time.Sleep(30 * time.Second)
				ctx, stop := context.WithTimeout(context.Background(), time.Minute)
				defer stop()
				call, err := p.peers["carrier"].Call(ctx, carrier.CallOptions{From: "+4930123", To: "+4969123456", Dest: netip.MustParseAddrPort("10.5.0.10:5060"), Talk: time.Minute})
				if err != nil {
					t.Error(err)
					return
				}
				if status, err := call.WaitFinal(ctx); err != nil || status != 200 {
					t.Errorf("%d, %v", status, err)
					return
				}
				placed := make(chan sip.SyntheticResult, 1)
				go func() {
					r, err := p.node.edge.Place(ctx, sip.Synthetic{From: "carrier", Called: "+4969123457", Purpose: sovereign.Drill, Hold: 8 * time.Second})
					if err != nil {
						t.Error(err)
					}
					placed <- r
				}()
				hears := func(d time.Duration) bool {
					was := call.Media().Received
					time.Sleep(d)
					return call.Media().Received > was+10
				}
				if !hears(3 * time.Second) {
					t.Error("no sound before")
				}
				until := time.Now().Add(3 * time.Second)
				p.node.board.Set([]scenario.Taken{{Taking: scenario.Taking{How: scenario.Blackhole}, Kind: c.kind, Names: []string{c.what}}}, until, c.scope)
				if err := p.node.met(until); err != nil {
					t.Error(err)
				}
				time.Sleep(500 * time.Millisecond) // what is under way
				if got := hears(2 * time.Second); got != c.people {
					t.Errorf("people hear: %t", got)
				}
				time.Sleep(time.Second)
				if !hears(time.Second) {
					t.Error("no sound when the lease is over")
				}
				r := <-placed
				if far := r.Report.Sides[media.B]; r.Status != 200 || (r.Tone.Heard > 350) != c.drill || far.LastRx.Before(until) {
					t.Errorf("the drill's call: %d, %d frames heard, the last one at %v", r.Status, r.Tone.Heard, far.LastRx)
				}
				if call.Status() != 200 || call.Ended() != "" {
					t.Errorf("the call of people: %d, %q", call.Status(), call.Ended())
				}
				_ = call.Hangup(ctx)
			})
		})
	}
}
