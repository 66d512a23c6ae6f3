package cordon

import (
	"context"
	"encoding/json"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/cordonsip/cordon/admin"
	"github.com/cordonsip/cordon/audit"
	"github.com/cordonsip/cordon/drill"
	"github.com/cordonsip/cordon/drill/register"
	"github.com/cordonsip/cordon/drill/scenario"
	"github.com/cordonsip/cordon/internal/carrier"
)

// underway calls for as long as f lasts, and holds that production's line goes where it went all the while. It gives the receipts of those calls.
func (s *stageAt) underway(f func()) (list []audit.Receipt) {
	s.t.Helper()
	ctx, cancel := context.WithCancel(s.t.Context())
	var wg sync.WaitGroup
	wg.Go(func() {
		tick := time.NewTicker(8 * time.Second)
		defer tick.Stop()
		for ctx.Err() == nil {
			wg.Go(func() {
				o := carrier.CallOptions{From: "+4930111222", To: "+4969900100", Dest: netip.MustParseAddrPort("10.5.0.10:5060"), NoMedia: true, Talk: 3 * time.Second}
				if _, err := s.peers["carrier"].Call(context.WithoutCancel(ctx), o); err != nil {
					s.t.Error(err)
				}
			})
			if p := s.node.router.Active()["line"].Party; p != "fra" {
				s.t.Errorf("production uses %q", p)
			}
			select {
			case <-tick.C:
			case <-ctx.Done():
			}
		}
	})
	first := s.node.log.Size()
	f()
	cancel()
	wg.Wait()
	time.Sleep(5 * time.Second) // the last call talks
	entries, err := s.node.log.Entries(s.t.Context(), first, 100_000)
	if err != nil {
		s.t.Fatal(err)
	}
	for _, e := range entries {
		var r audit.Receipt
		if e.Kind == r.Kind() && json.Unmarshal(e.Body, &r) == nil && r.Purpose == "production" {
			if list = append(list, r); r.Outcome.SIPFinal != 200 {
				s.t.Errorf("a caller was not served: %d", r.Outcome.SIPFinal)
			}
		}
		if word, _, _ := strings.Cut(string(e.Kind), "."); (word == "health" || word == "failover") && !strings.Contains(string(e.Body), `"drill":`) {
			s.t.Errorf("production noticed: %s %s", e.Kind, e.Body)
		}
	}
	return list
}

// The loss of a region as a canary: the drill's calls and those of the share fail over and come back, and production stays where it is.
func TestACanaryIsPlayed(t *testing.T) {
	onStage(t, drillConfig, func(s *stageAt) {
		t := s.t
		var r drillPlayed
		start := time.Now()
		real := s.underway(func() {
			var err error
			r, err = s.node.playDrill(t.Context(), drillAsk{ID: "01J", Play: s.bind("region-loss", nil), Mode: scenario.Canary, Share: 5000, Cap: 5}, nil, nil)
			if err != nil {
				t.Error(err)
			}
		})
		if r.Outcome != drill.Passed {
			t.Errorf("%s: %s\n%s", r.Outcome, r.Cause, failedWords(r.Judgements))
		}
		if s.node.views.on.Load() != nil || s.node.board.Any() {
			t.Error("something of the canary stays")
		}
		moved, others := 0, 0
		for _, c := range real {
			at := c.TInvite.Sub(start)
			gone := at > 100*time.Second && at < 4*time.Minute
			switch {
			case c.Drill == "01J" && gone && c.EdgeGroup == "zrh":
				moved++
			case c.Drill == "" && c.EdgeGroup == "fra":
				others++
			case c.Drill == "" || gone:
				t.Errorf("after %s a call went to %s, drill %q", at, c.EdgeGroup, c.Drill)
			}
		}
		if moved < 3 || others < 20 {
			t.Errorf("%d calls of the share failed over, %d others were served", moved, others)
		}
	})
}

// A change of the rules ends the view, and with it the play: no call of it is planned by production.
func TestACanaryEndsWithItsView(t *testing.T) {
	onStage(t, drillConfig, func(s *stageAt) {
		t := s.t
		time.AfterFunc(90*time.Second, s.node.views.changed)
		r, err := s.node.playDrill(t.Context(), drillAsk{ID: "01J", Play: s.bind("region-loss", nil), Mode: scenario.Canary}, nil, nil)
		if err != nil || r.Outcome != drill.Aborted || !strings.Contains(r.Cause, "the configuration changed") || s.node.board.Any() {
			t.Errorf("%s: %s, %v", r.Outcome, r.Cause, err)
		}
		other, err := s.node.newCanary(canaryWant{Drill: "02J", Route: "line"})
		if err != nil {
			t.Fatal(err)
		}
		over, err := other.beside(t.Context(), func(error) {})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := s.node.playDrill(t.Context(), drillAsk{ID: "01J", Play: s.bind("region-loss", nil), Mode: scenario.Canary}, nil, nil); err != errCanaryBusy {
			t.Errorf("beside another view: %v", err)
		}
		other.end(nil)
		over()
	})
}

// A canary that somebody orders waits for another person and its time, is played on the node, and is no full test.
func TestTheKeeperPlaysACanary(t *testing.T) {
	onStage(t, deskConfig, func(s *stageAt) {
		t := s.t
		k := s.node.drills
		d, err := k.Request(t.Context(), admin.DrillOrder{Scenario: "region-loss", Mode: "canary", Share: "5%", Cap: 5, Reason: "a small one"}, "anna")
		if err != nil || d.State != register.Waiting {
			t.Fatalf("%+v, %v", d, err)
		}
		if d, err = k.Approve(t.Context(), d.ID(), "change 4712", "ben"); err != nil || d.State != register.Ready {
			t.Fatalf("%+v, %v", d, err)
		}
		time.Sleep(17 * time.Minute)
		if d, _ = k.Drill(d.ID()); d.State != register.Running || s.node.views.of(d.ID()) == nil {
			t.Fatalf("at its time: %+v", d)
		}
		time.Sleep(18 * time.Minute)
		if d, _ = k.Drill(d.ID()); d.Ended == nil || d.Ended.Outcome != "passed" || d.Ended.Mode != "canary_percent" {
			t.Fatalf("after it: %+v", d.Ended)
		}
		if last := k.Last(); last.Canary == nil || last.Full != nil {
			t.Errorf("%+v", last)
		}
	})
}
