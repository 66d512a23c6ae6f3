package sip

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cordonsip/cordon/healthcheck"
	"github.com/cordonsip/cordon/routing"
	"github.com/cordonsip/cordon/sovereign"
	msg "github.com/emiago/sipgo/sip"
)

// exercise plans every new call in the view of a drill, and counts what it hears of that.
type exercise struct {
	asked []routing.Request
	left  []string
	tried []string
}

func (x *exercise) tune(c *Config) {
	c.Left = func(drill string) { x.left = append(x.left, drill) }
	c.Try = func(target, drill string) bool { x.tried = append(x.tried, drill); return true }
}

func (x *exercise) plan(w *world) {
	first := w.plan
	w.plan = func(r routing.Request) routing.Plan {
		x.asked = append(x.asked, r)
		p := first(r)
		if r.CallID != "" || r.Drill != "" || r.Purpose == sovereign.Drill {
			p.Drill = "d1"
			p.Hops = slices.Clone(p.Hops)
			for i := range p.Hops {
				p.Hops[i].Drill = "d1"
			}
		}
		return p
	}
}

// A call that a drill chose is asked for by its Call-ID, stays in the drill's view whatever becomes of it, tells that view alone what it met, and is counted out once.
func TestACallOfADrillStaysInItsView(t *testing.T) {
	x := &exercise{}
	run(t, x.tune, func(w *world) {
		x.plan(w)
		w.numbers()
		w.hops[0].Trial = true
		ok, in := w.up("chosen")
		if v := w.edge.Calls(); len(v) != 1 || v[0].Drill != "d1" {
			t.Errorf("%+v", v)
		}
		w.fra.inside(in, "REFER", 2, "", "Refer-To: <sip:+41200@x>")
		w.fra.status(202)
		w.fra.notify("100", "active")
		second := w.zrh.request(msg.INVITE)
		w.zrh.reply(second, 486, "")
		w.zrh.request(msg.ACK)
		w.fra.notify("486", "terminated")
		if len(x.left) != 0 {
			t.Errorf("it was counted out while it was up: %v", x.left)
		}
		w.carrier.within(ok, "BYE", 2, "")
		w.carrier.status(200)
		w.fra.reply(w.fra.request(msg.BYE), 200, "")
		r := w.receipt()
		if r.Drill != "d1" || r.Purpose != "production" || strings.Join(x.left, " ") != "d1" || strings.Join(x.tried, " ") != "d1" {
			t.Errorf("receipt of %q, counted out %v, tried in %v", r.Drill, x.left, x.tried)
		}
		if first := x.asked[0]; first.CallID != "chosen" || first.Drill != "" {
			t.Errorf("%+v", first)
		}
		for _, later := range x.asked[1:] {
			if later.CallID != "" || later.Drill != "d1" {
				t.Errorf("a part of the call is asked for as %+v", later)
			}
		}
		if slices.ContainsFunc(w.outcomes, func(o healthcheck.Outcome) bool { return o.Drill != "d1" }) || len(w.outcomes) == 0 {
			t.Errorf("%+v", w.outcomes)
		}
	})
}

// What is planned and never becomes a call is counted out at once, and what is no call is not chosen.
func TestWhatNeverBecameACallIsCountedOut(t *testing.T) {
	for name, c := range map[string]struct {
		tune   func(*Config)
		more   string
		status int
	}{
		"no room":            {func(c *Config) { c.Parties[0].MaxCalls = 1 }, "X-Nothing: 1", 503},
		"impossible privacy": {nil, "Privacy: veil;critical", 500},
	} {
		t.Run(name, func(t *testing.T) {
			x := &exercise{}
			run(t, func(cfg *Config) {
				x.tune(cfg)
				if c.tune != nil {
					c.tune(cfg)
				}
			}, func(w *world) {
				x.plan(w)
				if name == "no room" {
					w.edge.partyLoad("carrier").Add(1)
					defer w.edge.partyLoad("carrier").Add(-1)
				}
				w.carrier.invite("chosen", w.carrier.sdp, c.more)
				w.carrier.status(c.status)
				if strings.Join(x.left, " ") != "d1" {
					t.Errorf("counted out %v", x.left)
				}
			})
		})
	}
}

// A synthetic call of a drill is no call of anybody: it is not chosen, and not counted.
func TestASyntheticCallTakesNobodysPlace(t *testing.T) {
	x := &exercise{}
	run(t, x.tune, func(w *world) {
		x.plan(w)
		done := make(chan SyntheticResult, 1)
		go func() {
			r, _ := w.edge.Place(w.t.Context(), Synthetic{From: "carrier", Called: "+4930", Purpose: sovereign.Drill, Hold: time.Second})
			done <- r
		}()
		w.fra.reply(w.fra.request(msg.INVITE), 486, "")
		w.fra.request(msg.ACK)
		<-done
		if r := w.receipt(); r.Drill != "d1" || r.Purpose != "drill" || len(x.left) != 0 || x.asked[0].CallID != "" {
			t.Errorf("receipt of %q, counted out %v, asked as %+v", r.Drill, x.left, x.asked[0])
		}
	})
}
