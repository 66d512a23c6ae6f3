package sip

import (
	"testing"
	"testing/synctest"
	"time"

	msg "github.com/emiago/sipgo/sip"
)

// What is left of an ended call answers its peers until nothing of it can come any more.
// Conforms: RFC 3261 section 13.2.2.4; RFC 3261 section 15.1.2
func TestAnEndedCallStillAnswersItsPeers(t *testing.T) {
	run(t, nil, func(w *world) {
		ok, in := w.up("over")
		w.carrier.within(ok, "BYE", 2, "")
		w.carrier.status(200)
		w.fra.reply(w.fra.request(msg.BYE), 200, "")
		w.receipt()
		synctest.Wait()
		legs, graves := 0, 0
		for _, s := range w.edge.shards {
			for _, at := range s.ends {
				if at.leg != nil {
					legs++
				}
				if at.grave != nil {
					graves++
				}
			}
		}
		if legs != 0 || graves != 2 {
			t.Errorf("%d legs and %d graves, want 0 and 2", legs, graves)
		}
		// Its 2xx comes again: the ACK was lost.
		w.fra.reply(in, 200, w.fra.sdp)
		if ack := w.fra.request(msg.ACK); ack.CSeq().SeqNo != in.CSeq().SeqNo || ack.CallID().Value() != in.CallID().Value() {
			t.Errorf("ACK:\n%s", ack)
		}
		// Another fork answers after the end: its call is taken and ended.
		w.fra.replyAs(in, 200, "late", w.fra.sdp)
		if ack := w.fra.request(msg.ACK); ack.To().Params.GetOr("tag", "") != "late" {
			t.Errorf("ACK of the other fork:\n%s", ack)
		}
		bye := w.fra.request(msg.BYE)
		if bye.To().Params.GetOr("tag", "") != "late" || bye.CSeq().SeqNo != in.CSeq().SeqNo+1 {
			t.Errorf("BYE of the other fork:\n%s", bye)
		}
		w.fra.reply(bye, 200, "")
		// A BYE that crossed ours is right, too; anything else finds no dialog.
		w.fra.inside(in, "BYE", 5, "")
		w.fra.status(200)
		w.fra.inside(in, "INFO", 6, "")
		w.fra.status(481)
		w.carrier.within(ok, "INFO", 3, "")
		w.carrier.status(481)
		time.Sleep(70 * time.Second)
		synctest.Wait()
		w.fra.inside(in, "BYE", 7, "")
		w.fra.status(481)
	})
}
