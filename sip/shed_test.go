package sip

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cordonsip/cordon/sip/header"
	msg "github.com/emiago/sipgo/sip"
)

// A call that is up holds no message of its set-up, and yet does what needed them: a 2xx that comes again is acknowledged, another fork's call is ended, and what one
// side was called in the set-up does not show on the other.
//
// Conforms: RFC 3261 section 13.2.2.4
func TestACallThatIsUpHoldsNoMessageOfItsSetUp(t *testing.T) {
	run(t, nil, func(w *world) {
		const origin, branch = "192.0.2.77", "z9hG4bKofthefirst"
		sdp := strings.Replace(w.carrier.sdp, "IN IP4 10.1.0.1", "IN IP4 "+origin, 1)
		first := w.carrier.compose("INVITE", "sip:+4930123@edge.example", "shed", 1, "", sdp)
		w.carrier.write(strings.Replace(first, "z9hG4bKshedINVITE1", branch, 1))
		in := w.fra.request(msg.INVITE)
		w.fra.reply(in, 200, w.fra.sdp)
		w.fra.request(msg.ACK)
		ok := w.carrier.status(200)
		w.carrier.within(ok, "ACK", 1, "")
		synctest.Wait()
		calls := 0
		for _, s := range w.edge.shards {
			for c := range s.calls {
				calls++
				if c.cur != nil || c.plan.Hops != nil || c.a.invite != nil || c.b.invite != nil || len(c.ask.sdp) > 0 || len(c.a.taken) >= len(sdp) {
					t.Errorf("it holds what only its set-up needed: %+v", c)
				}
			}
		}
		if calls != 1 {
			t.Fatalf("%d calls", calls)
		}
		w.fra.reply(in, 200, w.fra.sdp)
		if ack := w.fra.request(msg.ACK); ack.To().Params.GetOr("tag", "") != w.fra.tag || ack.CSeq().SeqNo != in.CSeq().SeqNo {
			t.Errorf("ACK of the 2xx that came again:\n%s", ack)
		}
		w.fra.replyAs(in, 200, "late", w.fra.sdp)
		if ack := w.fra.request(msg.ACK); ack.To().Params.GetOr("tag", "") != "late" || len(ack.Body()) != 0 {
			t.Errorf("ACK of the other fork:\n%s", ack)
		}
		bye := w.fra.request(msg.BYE)
		if bye.To().Params.GetOr("tag", "") != "late" || bye.CSeq().SeqNo != in.CSeq().SeqNo+1 {
			t.Errorf("BYE of the other fork:\n%s", bye)
		}
		w.fra.reply(bye, 200, "")
		seq := 2
		for word, want := range map[string]int{origin: 415, branch: 415, "192.0.2.78": 200} {
			info := w.carrier.compose("INFO", "sip:x@10.0.0.1", "shed", seq, ok.To().Params.GetOr("tag", ""), "Signal=5\r\nX="+word+"\r\n")
			w.carrier.write(strings.Replace(info, "application/sdp", "application/dtmf-relay", 1))
			if want == 200 {
				w.fra.reply(w.fra.request(msg.INFO), 200, "")
			}
			w.carrier.status(want)
			seq++
		}
		w.end(ok, seq)
		// Its transactions still linger: what comes of them finds the grave, and no leg.
		w.fra.reply(in, 200, w.fra.sdp)
		if ack := w.fra.request(msg.ACK); ack.CSeq().SeqNo != in.CSeq().SeqNo {
			t.Errorf("ACK after the end:\n%s", ack)
		}
		time.Sleep(40 * time.Second)
	})
}

// Of a description its addresses stay, each once and whole.
func TestPlacesOfADescription(t *testing.T) {
	for in, want := range map[string]string{
		"": "", "v=0\r\ns= IP4 10.0.0.9\r\n": "",
		"o=x 1 1 IN IP4 10.0.0.1\r\nc=IN IP4 10.0.0.1\r\n":                          "c= IP4 10.0.0.1\n",
		"o=x 1 1 IN IP4 10.0.0.11\r\nc=IN IP4 10.0.0.1\r\nc=IN IP6 2001:db8::1\r\n": "c= IP4 10.0.0.11\nc= IP4 10.0.0.1\nc= IP6 2001:db8::1\n",
		"o=x 1 1 IN IP4 10.0.0.1\r\nc=IN IP4 host.example":                          "c= IP4 10.0.0.1\nc= IP4 host.example\n",
	} {
		got := places([]byte(in))
		if string(got) != want || string(places(got)) != want {
			t.Errorf("%q became %q and then %q, want %q", in, got, places(got), want)
		}
	}
}

// What a caller said of itself is said again when it is transferred, and nothing else of it is kept.
func TestWhatACallerSaidLasts(t *testing.T) {
	all := &carried{
		trusted: true, ids: []header.Identity{{Display: "Ann", User: "+4969", Tel: true}}, privacy: header.Privacy{ID: true}, fields: []header.Field{{Name: "X-Ref", Value: "7"}},
		data: []string{"56;encoding=hex"}, early: "supported", diverted: []string{"d"}, history: []string{"h"}, passports: []string{"p"}, date: "now", place: []string{"here"},
	}
	got := all.lasting()
	if len(got.diverted)+len(got.history)+len(got.passports)+len(got.place) > 0 || got.date != "" {
		t.Errorf("more was kept than a transfer says: %+v", got)
	}
	if !got.trusted || got.ids[0] != all.ids[0] || got.privacy != all.privacy || got.fields[0] != all.fields[0] || got.data[0] != all.data[0] || got.early != all.early {
		t.Errorf("%+v became %+v", all, got)
	}
	if (&carried{trusted: true, date: "now"}).lasting() != &nothing {
		t.Error("who said nothing takes memory of its own")
	}
}
