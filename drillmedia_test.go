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

// The media of a drill's own calls counts toward the party that it went to, also of one that nobody could look at while it was up, and to no other.
func TestTheMediaOfADrillsOwnCallsIsCounted(t *testing.T) {
	onStage(t, drillConfig, func(s *stageAt) {
		d := newDepartures(s.node.edge.Calls)
		s.node.departures.Store(d)
		r, err := s.node.edge.Place(s.t.Context(), sip.Synthetic{From: "carrier", Called: "+4930", Purpose: sovereign.Drill, Hold: 500 * time.Millisecond})
		if err != nil || r.Status != 200 || r.Party != "fra" {
			s.t.Fatalf("%+v, %v", r, err)
		}
		packets := r.Report.Sides[media.B].TxPackets
		messages := d.of["fra"] - packets
		if n := d.count("fra"); packets < 20 || messages < 3 || messages > 20 || n != packets+messages {
			s.t.Errorf("%d datagrams, of which %d of media and %d of signalling", n, packets, messages)
		}
		for _, other := range []string{"zrh", "carrier"} {
			if m := len(d.media[other]); d.count(other) > 3 || m != 0 { // a probe, perhaps
				s.t.Errorf("%d datagrams to %s, %d calls", d.count(other), other, m)
			}
		}
	})
}

// What a call had when somebody looked is part of what it has at its end, and no look makes the sum smaller.
func TestACallIsCountedOnce(t *testing.T) {
	up := []sip.CallView{{Ref: "r1", Report: media.Report{Sides: [2]media.SideReport{{Party: "carrier", TxPackets: 7}, {Party: "fra", TxPackets: 5}}}}}
	d := newDepartures(func() []sip.CallView { return up })
	if d.count("fra") != 5 || d.count("carrier") != 7 || d.count("zrh") != 0 {
		t.Error("while it is up", d.of, d.media)
	}
	up[0].Report.Sides[media.B].TxPackets = 9
	last := up[0].Report
	last.Former = []media.Former{{Side: media.B, Report: media.SideReport{Party: "zrh", TxPackets: 2}}}
	up = nil
	d.ended("r1", &last)
	if d.count("fra") != 9 || d.count("carrier") != 7 || d.count("zrh") != 2 {
		t.Error("at its end", d.of, d.media)
	}
}
