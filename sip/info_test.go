package sip

import (
	"strings"
	"testing"
	"time"

	msg "github.com/emiago/sipgo/sip"
)

// An INFO of a package that neither end named goes nowhere, and its sender hears which packages the other end takes.
//
// Conforms: RFC 6086 section 4.2.2; an INFO of a package that was not indicated is 469 with Recv-Info.
func TestInfoOfAnUnknownPackage(t *testing.T) {
	for offered, want := range map[string]string{"": "", "Recv-Info: trace": "trace"} {
		run(t, nil, func(w *world) {
			w.carrier.invite("p", w.carrier.sdp)
			in := w.fra.request(msg.INVITE)
			var more []string
			if offered != "" {
				more = []string{offered}
			}
			w.fra.reply(in, 200, w.fra.sdp, more...)
			w.fra.request(msg.ACK)
			ok := w.carrier.status(200)
			w.carrier.within(ok, "ACK", 1, "")
			w.carrier.within(ok, "INFO", 2, "", "Info-Package: nobodys;x=y")
			res := w.carrier.status(469)
			if got := res.GetHeader("Recv-Info"); got == nil || strings.TrimSpace(got.Value()) != want {
				t.Errorf("want Recv-Info %q:\n%s", want, res)
			}
			w.fra.silent(time.Second)
			if want != "" {
				w.carrier.within(ok, "INFO", 3, "", "Info-Package: Trace;x=y")
				w.fra.reply(w.fra.request(msg.INFO), 200, "")
				w.carrier.status(200)
			}
			w.end(ok, 4)
		})
	}
}

// The old kinds of INFO name no package. They go on whatever was offered, in the order in which they came, and their answers find their way.
//
// Conforms: RFC 6086 section 3; an INFO without Info-Package is of the old kind and goes on.
func TestOldKindsOfInfoKeepTheirOrder(t *testing.T) {
	run(t, nil, func(w *world) {
		ok, in := w.up("legacy", "Recv-Info: trace")
		bodies := []struct{ kind, text string }{
			{"application/dtmf-relay", "Signal=1\r\nDuration=160\r\n"},
			{"application/broadsoft", "event talk\r\n"},
			{"application/media_control+xml", "<media_control><vc_primitive><to_encoder><picture_fast_update/></to_encoder></vc_primitive></media_control>"},
			{"application/dtmf-relay", "Signal=#\r\nDuration=160\r\n"},
		}
		for i, b := range bodies {
			raw := w.carrier.compose("INFO", "sip:10.0.0.1", "legacy", 2+i, ok.To().Params.GetOr("tag", ""), b.text)
			w.carrier.write(strings.Replace(raw, "application/sdp", b.kind, 1))
		}
		var got []*msg.Request
		last := uint32(0)
		for _, b := range bodies {
			req := w.fra.request(msg.INFO)
			if value(req, "content-type") != b.kind || string(req.Body()) != b.text || req.CSeq().SeqNo <= last {
				t.Errorf("want %s after %d:\n%s", b.kind, last, req)
			}
			last = req.CSeq().SeqNo
			got = append(got, req)
		}
		for i := len(got) - 1; i >= 0; i-- { // answered in another order
			w.fra.reply(got[i], 200+i, "")
			if res := w.carrier.status(200 + i); res.CSeq().SeqNo != uint32(2+i) {
				t.Errorf("%d answers INFO %d", 200+i, res.CSeq().SeqNo)
			}
		}
		w.fra.inside(in, "INFO", 1, "", "Info-Package: trace")
		w.carrier.reply(w.carrier.request(msg.INFO), 200, "")
		w.fra.status(200)
		w.end(ok, 9)
	})
}

// Before the answer an INFO goes into the early dialog of the other side, where there is one.
//
// Conforms: RFC 6086 section 4.2.1; INFO is sent within an INVITE dialog usage, which may be early.
func TestInfoBeforeTheAnswer(t *testing.T) {
	run(t, nil, func(w *world) {
		w.carrier.invite("early", w.carrier.sdp)
		in := w.fra.request(msg.INVITE)
		w.fra.reply(in, 180, "")
		ring := w.carrier.status(180)
		w.carrier.within(ring, "INFO", 2, "")
		info := w.fra.request(msg.INFO)
		if info.To().Params.GetOr("tag", "") != "fratag" || info.CallID().Value() != in.CallID().Value() {
			t.Errorf("\n%s", info)
		}
		w.fra.reply(info, 200, "")
		w.carrier.status(200)
		w.fra.inside(in, "INFO", 1, "")
		back := w.carrier.request(msg.INFO)
		w.carrier.reply(back, 481, "") // says nothing of the call, which nobody has answered yet
		w.fra.status(481)
		w.fra.replyAs(in, 183, "fork", "")
		w.carrier.status(183)
		w.carrier.within(ring, "INFO", 3, "") // which of the two?
		w.carrier.status(481)
		w.fra.reply(in, 200, w.fra.sdp)
		w.fra.request(msg.ACK)
		ok := w.carrier.status(200)
		w.carrier.within(ok, "ACK", 1, "")
		w.end(ok, 4)
	})
	run(t, nil, func(w *world) { // the second hop has no dialog yet; the first one's is over
		w.hops = w.hops[:2]
		w.carrier.invite("between", w.carrier.sdp)
		first := w.fra.request(msg.INVITE)
		w.fra.reply(first, 180, "")
		ring := w.carrier.status(180)
		w.fra.reply(first, 503, "")
		w.fra.request(msg.ACK)
		next := w.zrh.request(msg.INVITE)
		w.carrier.within(ring, "INFO", 2, "")
		w.carrier.status(481)
		w.zrh.reply(next, 486, "")
		w.zrh.request(msg.ACK)
		w.carrier.ack(w.carrier.status(486))
		time.Sleep(time.Minute)
		w.receipt()
	})
}
