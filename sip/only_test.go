package sip

import (
	"strings"
	"testing"
	"time"

	"github.com/cordonsip/cordon/routing"
	"github.com/cordonsip/cordon/sovereign"
	msg "github.com/emiago/sipgo/sip"
)

func TestASyntheticCallToOneTarget(t *testing.T) {
	run(t, nil, func(w *world) {
		only := Synthetic{From: "carrier", Called: "+4930", Purpose: sovereign.SyntheticProbe, Hold: time.Second, Only: "zrh/m1/udp/10.3.0.1:5060"}
		out := make(chan SyntheticResult, 1)
		go func() {
			r, err := w.edge.Place(w.t.Context(), only)
			if err != nil {
				t.Error(err)
			}
			out <- r
		}()
		in := w.zrh.request(msg.INVITE)
		w.zrh.reply(in, 200, w.zrh.sdp)
		w.zrh.request(msg.ACK)
		w.zrh.reply(w.zrh.request(msg.BYE), 200, "")
		if r := <-out; r.Status != 200 || len(r.Hops) != 1 {
			t.Errorf("%+v", r)
		}
		w.fra.silent(time.Second)
		w.receipt()
		if got := w.toldOf(); len(got) == 0 || got[0].Target != only.Only || got[0].Final != 200 {
			t.Errorf("%+v", got)
		}
		w.plan = func(routing.Request) routing.Plan {
			return routing.Plan{Route: "r", Hops: w.hops[:1], Refused: []routing.Refused{{Party: "zrh", Ground: "service_out", Why: "taken out"}}}
		}
		if _, err := w.edge.Place(w.t.Context(), only); err == nil || !strings.Contains(err.Error(), "service_out") {
			t.Error(err)
		}
		w.fra.silent(time.Second)
		w.zrh.silent(time.Second)
	})
}
