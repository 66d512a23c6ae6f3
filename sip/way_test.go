package sip

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/cordonsip/cordon/audit"
	"github.com/cordonsip/cordon/routing"
	"github.com/cordonsip/cordon/sovereign"
	msg "github.com/emiago/sipgo/sip"
)

// Calls to one target share its way, but each is judged: a grant that was revoked or has run out lets no other call out on the pass that it had given.
func TestASharedWayIsJudgedForEachCall(t *testing.T) {
	for name, end := range map[string]func(w *world){
		"revoked": func(w *world) { w.fence.Swap(testSnapshot(t)) },
		"ran out": func(*world) { time.Sleep(time.Minute) },
	} {
		t.Run(name, func(t *testing.T) {
			run(t, nil, func(w *world) {
				w.fence.Swap(testSnapshot(t, sovereign.Grant{
					ID: "live", Trunks: []string{"carrier"}, Groups: []string{"iad"}, Regions: []sovereign.Region{region(t, "aws:us-east-1")},
					NotBefore: time.Now().Add(-time.Minute), Until: time.Now().Add(30 * time.Second),
				}))
				w.hops = []routing.Hop{w.hop("iad", iadAddr)}
				iad := w.peer("iad", iadAddr)
				for _, id := range []string{"first", "second"} {
					w.carrier.invite(id, w.carrier.sdp)
					in := iad.request(msg.INVITE)
					iad.reply(in, 486, "")
					iad.request(msg.ACK)
					res := w.carrier.status(486)
					w.carrier.write(ackFor(w.carrier, res, id))
					synctest.Wait()
				}
				ways := 0
				for _, s := range w.edge.shards {
					ways += len(s.ways)
				}
				if ways == 0 || ways > len(w.edge.shards) {
					t.Errorf("two calls have %d ways", ways)
				}
				end(w)
				w.carrier.invite("third", w.carrier.sdp)
				res := w.carrier.status(403)
				w.carrier.write(ackFor(w.carrier, res, "third"))
				iad.silent(time.Second)
				rs := entries[audit.Receipt](w, audit.KindReceipt)
				if last := rs[len(rs)-1]; len(rs) != 3 || last.Attempts[0].Result != "refused_by_policy" || last.Attempts[0].Verdict != "hold" {
					t.Errorf("%d receipts, the last one tells of %+v", len(rs), last.Attempts)
				}
			})
		})
	}
}

// The ways that are remembered are bounded.
func TestWaysAreBounded(t *testing.T) {
	run(t, nil, func(w *world) {
		s := w.edge.shards[0]
		done := make(chan int)
		s.loop.Post(func() {
			for i := range maxWays {
				s.ways[wayKey{party: itoa(i)}] = way{}
			}
			_, r, err := s.wayTo(&w.hops[0], w.edge.profiles.Load().byName["fra"], sovereign.Production)
			if err != nil || !r.Permitted() {
				t.Errorf("%v %v", r, err)
			}
			done <- len(s.ways)
		})
		if n := <-done; n != 1 {
			t.Errorf("%d ways are remembered", n)
		}
	})
}
