package sip

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cordonsip/cordon/audit"
	msg "github.com/emiago/sipgo/sip"
)

// ringing begins a call that fra's first phone rings for.
func (w *world) ringing(id, offer string) *msg.Request {
	w.t.Helper()
	w.carrier.invite(id, offer)
	in := w.fra.request(msg.INVITE)
	w.fra.reply(in, 180, "")
	w.carrier.status(180)
	return in
}

// answered has fra's first phone answer and the call end, with nothing sent to the held place.
func (w *world) answered(in *msg.Request) {
	w.t.Helper()
	w.fra.reply(in, 200, w.fra.sdp)
	w.fra.request(msg.ACK)
	ok := w.carrier.status(200)
	w.carrier.within(ok, "ACK", 1, "")
	w.end(ok, 2)
	w.nothingLeftFor("10.66.0.9")
}

// cancelled lets a phone stop ringing.
func (p *peer) cancelled(in *msg.Request) {
	p.w.t.Helper()
	cancel := p.request(msg.CANCEL)
	if cancel.CallID().Value() != in.CallID().Value() {
		p.w.t.Errorf("CANCEL of %s", cancel.CallID().Value())
	}
	p.reply(cancel, 200, "")
	p.reply(in, 487, "")
	p.request(msg.ACK)
}

// A second phone of the group picks up what the first one rings for: it gets 200, the caller its 200 in the dialog that it has, and who rings CANCEL. With an offer
// of its own, which the caller's answers, and without one.
//
// Conforms: RFC 3891 section 3; an early dialog that was initiated here is replaced: 200 for the new INVITE, CANCEL for who rings, early-only or not.
// Conforms: RFC 3264 section 6; two offers that meet answer each other with what both have.
func TestARingingCallIsPickedUp(t *testing.T) {
	for name, c := range map[string]struct {
		offers bool
		flag   string
	}{"with an offer": {true, ""}, "early-only": {true, ";early-only"}, "without an offer": {false, ""}} {
		for _, id := range []string{"pickup", "pickup2", "pickup3"} { // on either loop
			t.Run(name, func(t *testing.T) {
				run(t, nil, func(w *world) {
					in := w.ringing("rings", w.carrier.sdp)
					sdp, body := strings.Replace(w.fra.sdp, "30000", "30500", 1), ""
					if c.offers {
						body = strings.Replace(sdp, "AVP 8 101", "AVP 0 8", 1)
					}
					w.fra.tag = id
					w.fra.invite(id, body, ofCallee(in, "fratag")+c.flag)
					res := w.fra.status(200)
					if !c.offers {
						w.carrier.silent(200 * time.Millisecond) // nothing changes before the answer
						w.fra.within(res, "ACK", 1, sdp)
					}
					w.fra.tag = "fratag"
					w.fra.cancelled(in)
					w.fra.tag = id
					if c.offers {
						w.fra.within(res, "ACK", 1, "")
						if !strings.Contains(string(res.Body()), "RTP/AVP 8\r\n") {
							t.Errorf("answer:\n%s", res.Body())
						}
					}
					ok := w.carrier.status(200)
					if !strings.Contains(string(ok.Body()), "m=audio") || c.offers && !strings.Contains(string(ok.Body()), "RTP/AVP 8\r\n") {
						t.Errorf("200:\n%s", ok)
					}
					for _, leak := range []string{"10.2.0.1", " 30500 ", id, "fratag"} {
						if strings.Contains(string(w.carrier.last), leak) {
							t.Errorf("the 200 shows %q:\n%s", leak, w.carrier.last)
						}
					}
					w.carrier.within(ok, "ACK", 1, "")
					w.carrier.within(ok, "INFO", 2, "")
					w.fra.reply(w.fra.request(msg.INFO), 200, "")
					w.carrier.status(200)
					w.fra.within(res, "BYE", 2, "")
					w.fra.status(200)
					w.carrier.reply(w.carrier.request(msg.BYE), 200, "")
					r := w.receipt()
					if len(r.Transfers) != 1 || r.Transfers[0].How != "invite_replaces" || r.Transfers[0].Result != "answered" || r.Attempts[0].Result != "picked_up" {
						t.Errorf("transfers %+v, attempts %+v", r.Transfers, r.Attempts)
					}
					legs := ""
					for _, h := range r.Hops {
						legs += h.Plane + " " + h.Leg + h.RemoteAddr + " "
					}
					if legs != "signalling a10.1.0.1:5060 signalling b10.2.0.1:5060 media a10.1.0.1:30000 media b10.2.0.1:30500 " || r.Overall != "compliant" || r.Outcome.SIPFinal != 200 {
						t.Errorf("legs %s, %s, %+v", legs, r.Overall, r.Outcome)
					}
					time.Sleep(2 * time.Minute)
					if n := w.edge.partyLoad("fra").Load() + w.edge.guests.n.Load(); n != 0 {
						t.Errorf("%d calls or guests are left", n)
					}
				})
			})
		}
	}
}

// What rings and may not be picked up goes on ringing.
//
// Conforms: RFC 3891 section 3; 481 for an early dialog that was not initiated here, and for one that is none.
// Conforms: RFC 3891 section 4; who is not authorised to replace a dialog is refused.
func TestPickUpsThatAreRefused(t *testing.T) {
	for name, c := range map[string]struct {
		by     string
		body   func(w *world) string
		named  func(w *world, in *msg.Request, ring *msg.Response) string
		status int
	}{
		"of the caller":   {"carrier", nil, func(_ *world, _ *msg.Request, ring *msg.Response) string { return ofCaller(ring, "carriertag") }, 481},
		"unknown fork":    {"fra", nil, func(_ *world, in *msg.Request, _ *msg.Response) string { return ofCallee(in, "nobody") }, 481},
		"another party":   {"zrh", nil, nil, 403},
		"the other side":  {"carrier", nil, nil, 403},
		"a held place":    {"fra", func(*world) string { return testSDP("10.66.0.9", 30000) }, nil, 403},
		"no common codec": {"fra", func(w *world) string { return strings.Replace(w.fra.sdp, "AVP 8 101", "AVP 0", 1) }, nil, 488},
	} {
		t.Run(name, func(t *testing.T) {
			run(t, nil, func(w *world) {
				w.carrier.invite("rings", w.carrier.sdp)
				in := w.fra.request(msg.INVITE)
				w.fra.reply(in, 180, "")
				ring := w.carrier.status(180)
				named := ofCallee(in, "fratag")
				if c.named != nil {
					named = c.named(w, in, ring)
				}
				p := map[string]*peer{"fra": w.fra, "zrh": w.zrh, "carrier": w.carrier}[c.by]
				body, tag := p.sdp, p.tag
				if c.body != nil {
					body = c.body(w)
				}
				p.tag = "picker"
				p.invite("picker", body, named)
				p.ack(p.status(c.status))
				p.tag = tag
				w.answered(in)
			})
		})
	}
	t.Run("a caller without an offer", func(t *testing.T) {
		run(t, nil, func(w *world) {
			in := w.ringing("bare", "")
			w.fra.tag = "picker"
			w.fra.invite("picker", w.fra.sdp, ofCallee(in, "fratag"))
			w.fra.ack(w.fra.status(488))
			w.fra.tag = "fratag"
			w.fra.reply(in, 486, "")
			w.fra.request(msg.ACK)
			w.carrier.ack(w.carrier.status(486))
		})
	})
	t.Run("the target of a transfer", func(t *testing.T) {
		run(t, nil, func(w *world) {
			w.numbers()
			ok, in := w.up("moving")
			w.fra.inside(in, "REFER", 1, "", "Refer-To: <sip:+41200@x>", "Refer-Sub: false")
			w.fra.status(200)
			inv := w.zrh.request(msg.INVITE)
			w.zrh.reply(inv, 180, "")
			synctest.Wait()
			w.zrh.tag = "picker"
			w.zrh.invite("picker", w.zrh.sdp, ofCallee(inv, "zrhtag"))
			w.zrh.ack(w.zrh.status(603))
			w.zrh.tag = "zrhtag"
			w.zrh.reply(inv, 486, "")
			w.zrh.request(msg.ACK)
			w.end(ok, 2)
		})
	})
}

// One of several forks is named: all that ring stop. And one of two attempts that overlap: both do.
func TestAPickUpEndsAllThatRings(t *testing.T) {
	run(t, nil, func(w *world) {
		in := w.ringing("forks", w.carrier.sdp)
		w.fra.replyAs(in, 183, "other", strings.Replace(w.fra.sdp, "30000", "30200", 1))
		w.carrier.status(183)
		w.fra.tag = "picker"
		w.fra.invite("picker", w.fra.sdp, ofCallee(in, "other"))
		res := w.fra.status(200)
		w.fra.tag = "fratag"
		w.fra.cancelled(in)
		w.fra.tag = "picker"
		w.fra.within(res, "ACK", 1, "")
		ok := w.carrier.status(200)
		w.carrier.within(ok, "ACK", 1, "")
		w.carrier.within(ok, "BYE", 2, "")
		w.carrier.status(200)
		w.fra.reply(w.fra.request(msg.BYE), 200, "")
		w.receipt()
	})
	overlapping(t, nil, func(w *world) {
		in, at := w.beside("two")
		w.fra.reply(in, 180, "")
		w.carrier.status(180)
		w.zrh.reply(at, 180, "")
		w.carrier.status(180)
		w.fra.tag = "picker"
		w.fra.invite("picker", w.fra.sdp, ofCallee(in, "fratag"))
		res := w.fra.status(200)
		w.fra.tag = "fratag"
		w.fra.cancelled(in)
		w.zrh.cancelled(at)
		w.fra.tag = "picker"
		w.fra.within(res, "ACK", 1, "")
		w.won(w.carrier.status(200), w.fra, "picked_up", "picked_up")
	})
}

// Until its answer is here a phone that picks up without an offer has nothing: who rings may be faster, the caller may give up, and so may the phone itself.
func TestAPickUpThatComesTooLate(t *testing.T) {
	for name, play := range map[string]func(w *world, in *msg.Request, res *msg.Response){
		"who rings answers": func(w *world, in *msg.Request, res *msg.Response) {
			w.fra.tag = "fratag"
			w.fra.reply(in, 200, w.fra.sdp)
			w.fra.request(msg.ACK)
			w.fra.tag = "picker"
			w.fra.within(res, "ACK", 1, w.fra.sdp)
			w.fra.reply(w.fra.request(msg.BYE), 200, "")
			ok := w.carrier.status(200)
			w.carrier.within(ok, "ACK", 1, "")
			w.fra.tag = "fratag"
			w.end(ok, 2)
		},
		"the caller gives up": func(w *world, in *msg.Request, res *msg.Response) {
			w.carrier.write(strings.Replace(w.carrier.compose("CANCEL", "sip:+4930123@edge.example", "rings", 1, "", ""), "ringsCANCEL1", "ringsINVITE1", 1))
			w.carrier.status(200)
			w.carrier.ack(w.carrier.status(487))
			w.fra.tag = "fratag"
			w.fra.cancelled(in)
			w.fra.tag = "picker"
			w.fra.within(res, "ACK", 1, w.fra.sdp)
			w.fra.reply(w.fra.request(msg.BYE), 200, "")
		},
		"media in a held place": func(w *world, in *msg.Request, res *msg.Response) {
			w.fra.within(res, "ACK", 1, testSDP("10.66.0.9", 30000))
			w.fra.reply(w.fra.request(msg.BYE), 200, "")
			w.fra.tag = "fratag"
			w.answered(in)
		},
	} {
		t.Run(name, func(t *testing.T) {
			run(t, nil, func(w *world) {
				in := w.ringing("rings", w.carrier.sdp)
				w.fra.tag = "picker"
				w.fra.invite("picker", "", ofCallee(in, "fratag"))
				play(w, in, w.fra.status(200))
				time.Sleep(time.Second)
				if rs := entries[audit.Receipt](w, audit.KindReceipt); len(rs) != 1 || len(rs[0].Transfers) != 1 || rs[0].Transfers[0].Result == "answered" {
					t.Errorf("%+v", rs)
				}
			})
		})
	}
}
