package sip

import (
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cordonsip/cordon/audit"
	"github.com/cordonsip/cordon/routing"
	"github.com/cordonsip/cordon/sovereign"
	msg "github.com/emiago/sipgo/sip"
)

// numbers plans by the called number: zrh's, one that the policy holds, one that nobody answers, and the first call's.
func (w *world) numbers() {
	first := w.plan
	w.plan = func(r routing.Request) routing.Plan {
		p := first(r)
		p.Trunk = ""
		if r.From != "carrier" {
			return routing.Plan{Purpose: r.Purpose, Digest: "d"}
		}
		switch r.Called {
		case "+41200":
			p.Hops = []routing.Hop{w.hop("zrh", zrhAddr)}
		case "+41300":
			p.Hops = []routing.Hop{w.hop("zrh", netip.MustParseAddrPort("10.3.0.77:5060")), w.hop("zrh", zrhAddr)}
		case "+1202":
			held := w.hop("iad", iadAddr)
			p.Hops, p.Held = nil, true
			p.Refused = []routing.Refused{{Party: "iad", Target: held.Target.ID(), Ruling: held.Ruling, Ground: held.Ruling.Ground}}
			p.Refused[0].Ruling.Verdict = sovereign.Hold
		case "112":
			p.Purpose = sovereign.EmergencyCall
		case "nobody":
			return routing.Plan{Purpose: r.Purpose, Digest: "d"}
		}
		return p
	}
}

// notify waits for a NOTIFY with that fragment and state, and answers it.
func (p *peer) notify(line, state string) *msg.Request {
	p.w.t.Helper()
	n := p.request(msg.NOTIFY)
	if !strings.HasPrefix(string(n.Body()), "SIP/2.0 "+line) || !strings.HasPrefix(value(n, "subscription-state"), state) {
		p.w.t.Fatalf("want %q and %s:\n%s", line, state, n)
	}
	if value(n, "content-type") != typeSIPFrag || !strings.HasPrefix(value(n, "event"), "refer") || n.Contact() == nil {
		p.w.t.Errorf("NOTIFY:\n%s", n)
	}
	p.reply(n, 200, "")
	return n
}

func (w *world) nothingLeftFor(place string) {
	w.t.Helper()
	for _, p := range w.packets {
		if p.To.Addr().String() == place {
			w.t.Fatalf("a packet left for %s", place)
		}
	}
}

// A blind transfer: the agent refers the caller to another group. The target gets an INVITE of its own, the caller hears nothing of it, the agent is told and
// let go, and the receipt shows who asked and that the second leg was judged.
//
// Conforms: RFC 3515 section 2.4.2; a REFER inside a dialog is accepted with 202.
// Conforms: RFC 3515 section 2.4.4; 100, 180 and the final status come by NOTIFY in the dialog of the REFER.
// Conforms: RFC 6665 section 4.2.2; the last NOTIFY says terminated.
// Conforms: RFC 3892 section 2.1; Referred-By crosses between trusted parties, with our host.
func TestBlindTransfer(t *testing.T) {
	trusting := func(c *Config) { c.Parties[1].Trusted, c.Parties[2].Trusted = true, true }
	run(t, trusting, func(w *world) {
		w.numbers()
		ok, in := w.up("blind")
		w.fra.inside(in, "REFER", 1, "", "Refer-To: <sip:+41200@10.0.0.1>", "Referred-By: <sip:agent7@10.2.0.1>", "Contact: <sip:fra@10.2.0.1>")
		acc := w.fra.status(202)
		if acc.Contact() == nil {
			t.Error("202 without Contact")
		}
		w.fra.notify("100 ", "active;expires=")
		inv := w.zrh.request(msg.INVITE)
		if inv.Recipient.User != "+41200" || inv.From().Address.User != "+4917012" || value(inv, "referred-by") != "<sip:agent7@zrh.example>" {
			t.Errorf("INVITE:\n%s", inv)
		}
		for _, leak := range []string{"10.1.0.1", "10.2.0.1", "carrier", "fratag", in.CallID().Value(), "secretuser"} {
			if strings.Contains(string(w.zrh.last), leak) {
				t.Errorf("the INVITE of the transfer shows %q:\n%s", leak, inv)
			}
		}
		w.zrh.reply(inv, 180, "")
		w.fra.notify("180 ", "active")
		w.zrh.reply(inv, 200, w.zrh.sdp)
		w.zrh.request(msg.ACK)
		w.fra.notify("200 ", "terminated;reason=noresource")
		w.fra.reply(w.fra.request(msg.BYE), 200, "")
		w.carrier.silent(time.Second)
		// The call is now between the caller and the new group.
		w.carrier.within(ok, "INFO", 2, "")
		info := w.zrh.request(msg.INFO)
		w.zrh.reply(info, 200, "")
		w.carrier.status(200)
		w.fra.inside(in, "INFO", 2, "")
		w.fra.status(481)
		w.zrh.inside(inv, "BYE", 1, "")
		w.zrh.status(200)
		w.carrier.reply(w.carrier.request(msg.BYE), 200, "")
		r := w.receipt()
		if len(r.Transfers) != 1 {
			t.Fatalf("%d transfers", len(r.Transfers))
		}
		x := r.Transfers[0]
		if x.By != "b" || x.Party != "fra" || x.How != "refer" || x.Result != "answered" || x.SIPFinal != 200 || len(x.Attempts) != 1 || x.Attempts[0].Verdict != "permit" ||
			x.Attempts[0].Party != "zrh" || x.Attempts[0].Region != "aws:eu-central-2" {
			t.Errorf("transfer %+v", x)
		}
		legs := ""
		for _, h := range r.Hops {
			if h.Plane == "signalling" {
				legs += h.Leg + h.RemoteAddr
				if left := !h.Until.IsZero(); left != (h.RemoteAddr == fraAddr.String()) {
					t.Errorf("until %v of %s", h.Until, h.RemoteAddr)
				}
			}
		}
		if legs != "b10.2.0.1:5060a10.1.0.1:5060b10.3.0.1:5060" || r.Overall != "compliant" || r.Outcome.EndedBy != "b" {
			t.Errorf("legs %s, overall %s, ended by %s", legs, r.Overall, r.Outcome.EndedBy)
		}
		if m := r.Moves; len(m) == 0 || m[0].Cause != "refer" || m[0].To != zrhAddr.String() {
			t.Errorf("moves %+v", m)
		}
		if e := entries[audit.CallTransferred](w, audit.KindCallTransferred); len(e) != 1 || e[0].CallRef != r.CallRef || e[0].Result != "answered" {
			t.Errorf("entries %+v", e)
		}
	})
}

// A target in a place that the policy holds is refused before anybody is called: on_hold's status, a Reason, the receipt's reference. The call goes on.
//
// Conforms: RFC 3515 section 2.4.2; a REFER that is not done is refused with a final status.
func TestTransferToAHeldPlaceIsRefused(t *testing.T) {
	run(t, nil, func(w *world) {
		w.numbers()
		ok, in := w.up("held")
		w.fra.inside(in, "REFER", 1, "", "Refer-To: <sip:+1202@10.66.0.1>")
		res := w.fra.status(403)
		if !strings.Contains(value(res, "reason"), "held for approval") || value(res, "x-cordon-receipt") == "" {
			t.Errorf("refusal:\n%s", res)
		}
		w.carrier.within(ok, "INFO", 2, "")
		w.fra.reply(w.fra.request(msg.INFO), 200, "")
		w.carrier.status(200)
		w.end(ok, 3)
		w.nothingLeftFor("10.66.0.1")
		r := entries[audit.Receipt](w, audit.KindReceipt)[0]
		if len(r.Transfers) != 1 || r.Transfers[0].Result != "held" || r.Transfers[0].Attempts[0].Verdict != "hold" || r.Transfers[0].Attempts[0].Result != "refused_by_policy" {
			t.Errorf("%+v", r.Transfers)
		}
	})
}

// The law changes between the plan and the dial: the fence refuses, and the transferor hears 403 by NOTIFY.
func TestTransferThatTheFenceRefuses(t *testing.T) {
	run(t, nil, func(w *world) {
		w.numbers()
		ok, in := w.up("fence")
		inner := w.plan
		w.plan = func(r routing.Request) routing.Plan {
			p := inner(r)
			if r.Called == "+1999" {
				h := w.hop("zrh", zrhAddr)
				h.Party, h.Target.Party, h.Target.Addr = "iad", "iad", iadAddr
				p.Hops = []routing.Hop{h}
			}
			return p
		}
		w.fra.inside(in, "REFER", 1, "", "Refer-To: <sip:+1999@10.66.0.1>")
		w.fra.status(202)
		w.fra.notify("100 ", "active")
		n := w.fra.notify("403 ", "terminated")
		if !strings.Contains(string(n.Body()), "Reason: ") || !strings.Contains(string(n.Body()), receiptHeader) {
			t.Errorf("fragment %s", n.Body())
		}
		w.end(ok, 2)
		w.nothingLeftFor("10.66.0.1")
		if r := entries[audit.Receipt](w, audit.KindReceipt)[0]; len(r.Transfers) != 1 || r.Transfers[0].Attempts[0].Result != "refused_by_policy" || r.Overall != "compliant" {
			t.Errorf("%+v", r.Transfers)
		}
	})
}

// A target whose media would stand in a held place is no target: nothing is sent there, and the first call goes on.
func TestTransferToMediaInAHeldPlace(t *testing.T) {
	run(t, nil, func(w *world) {
		w.numbers()
		ok, in := w.up("media")
		w.fra.inside(in, "REFER", 1, "", "Refer-To: <sip:+41200@x>")
		w.fra.status(202)
		w.fra.notify("100 ", "active")
		inv := w.zrh.request(msg.INVITE)
		w.zrh.reply(inv, 200, testSDP("10.66.0.9", 30000))
		w.zrh.request(msg.ACK)
		w.zrh.reply(w.zrh.request(msg.BYE), 200, "")
		w.fra.notify("403 ", "terminated")
		w.end(ok, 2)
		w.nothingLeftFor("10.66.0.9")
	})
}

// A target that is busy: the transferor hears it and stays in the call. The second REFER of a dialog is named by its CSeq.
//
// Conforms: RFC 3515 section 2.4.6; the second subscription of a dialog carries the CSeq of its REFER as id.
func TestFailedTransferKeepsTheCall(t *testing.T) {
	run(t, nil, func(w *world) {
		w.numbers()
		ok, in := w.up("busy")
		for i := range 2 {
			w.fra.inside(in, "REFER", 1+i, "", "Refer-To: <sip:+41200@x>")
			w.fra.status(202)
			n := w.fra.notify("100 ", "active")
			if want := []string{"refer", "refer;id=2"}[i]; value(n, "event") != want {
				t.Errorf("event %q, want %q", value(n, "event"), want)
			}
			inv := w.zrh.request(msg.INVITE)
			w.zrh.reply(inv, 486, "")
			w.zrh.request(msg.ACK)
			w.fra.notify("486 ", "terminated")
			time.Sleep(time.Second)
		}
		w.end(ok, 2)
	})
}

// A silent member is passed over as in any call.
func TestTransferFailsOver(t *testing.T) {
	run(t, nil, func(w *world) {
		w.numbers()
		_, in := w.up("over")
		w.fra.inside(in, "REFER", 1, "", "Refer-To: <sip:+41300@x>")
		w.fra.status(202)
		w.fra.notify("100 ", "active")
		inv := w.zrh.request(msg.INVITE)
		w.zrh.reply(inv, 200, w.zrh.sdp)
		w.zrh.request(msg.ACK)
		w.fra.notify("200 ", "terminated")
		w.fra.reply(w.fra.request(msg.BYE), 200, "")
		w.zrh.inside(inv, "BYE", 1, "")
		w.zrh.status(200)
		w.carrier.reply(w.carrier.request(msg.BYE), 200, "")
		if r := w.receipt(); len(r.Transfers[0].Attempts) != 2 || r.Transfers[0].Attempts[1].Result != "200" {
			t.Errorf("%+v", r.Transfers)
		}
	})
}

// The transferor need not wait: its BYE after the 202 ends its leg alone.
func TestTransferorThatHangsUpFirst(t *testing.T) {
	for name, status := range map[string]int{"reached": 200, "busy": 486} {
		t.Run(name, func(t *testing.T) {
			run(t, nil, func(w *world) {
				w.numbers()
				ok, in := w.up("gone")
				w.fra.inside(in, "REFER", 1, "", "Refer-To: <sip:+41200@x>")
				w.fra.status(202)
				w.fra.notify("100 ", "active")
				inv := w.zrh.request(msg.INVITE)
				w.fra.inside(in, "BYE", 2, "")
				w.fra.status(200)
				w.carrier.within(ok, "INVITE", 2, strings.Replace(w.carrier.sdp, "30000", "31000", 1))
				res := w.carrier.status(491)
				w.carrier.write(reAck(w.carrier, ok, res, 2))
				if status == 200 {
					w.zrh.reply(inv, 200, w.zrh.sdp)
					w.zrh.request(msg.ACK)
					synctest.Wait()
					w.carrier.within(ok, "BYE", 3, "")
					w.carrier.status(200)
					w.zrh.reply(w.zrh.request(msg.BYE), 200, "")
				} else {
					w.zrh.reply(inv, status, "")
					w.zrh.request(msg.ACK)
					w.carrier.reply(w.carrier.request(msg.BYE), 200, "")
				}
				w.fra.silent(time.Second)
				if r := w.receipt(); len(r.Transfers) != 1 || r.Transfers[0].SIPFinal != status {
					t.Errorf("%+v", r.Transfers)
				}
			})
		})
	}
}

// The call ends while the target rings: the target is cancelled.
func TestCallerHangsUpDuringATransfer(t *testing.T) {
	run(t, nil, func(w *world) {
		w.numbers()
		ok, in := w.up("cancel")
		w.fra.inside(in, "REFER", 1, "", "Refer-To: <sip:+41200@x>", "Refer-Sub: false")
		w.fra.status(200)
		inv := w.zrh.request(msg.INVITE)
		w.zrh.reply(inv, 180, "")
		synctest.Wait()
		w.carrier.within(ok, "BYE", 2, "")
		w.carrier.status(200)
		w.fra.reply(w.fra.request(msg.BYE), 200, "")
		w.zrh.reply(w.zrh.request(msg.CANCEL), 200, "")
		w.zrh.reply(inv, 487, "")
		w.zrh.request(msg.ACK)
		if r := w.receipt(); len(r.Transfers) != 1 || r.Transfers[0].Result != "cancelled" {
			t.Errorf("%+v", r.Transfers)
		}
	})
}

// Without a subscription nobody is told.
//
// Conforms: RFC 4488 section 4; Refer-Sub false is answered with 200 and Refer-Sub false, and no NOTIFY follows.
// Conforms: RFC 7614 section 4; nosub is understood where it is required.
func TestTransferWithoutSubscription(t *testing.T) {
	for _, h := range []string{"Refer-Sub: false\r\nRequire: norefersub", "Require: nosub"} {
		run(t, nil, func(w *world) {
			w.numbers()
			_, in := w.up("nosub")
			w.fra.inside(in, "REFER", 1, "", "Refer-To: <sip:+41200@x>", h)
			if res := w.fra.status(200); value(res, "refer-sub") != "false" {
				t.Errorf("\n%s", res)
			}
			inv := w.zrh.request(msg.INVITE)
			w.zrh.reply(inv, 200, w.zrh.sdp)
			w.zrh.request(msg.ACK)
			w.fra.reply(w.fra.request(msg.BYE), 200, "")
			w.zrh.inside(inv, "BYE", 1, "")
			w.zrh.status(200)
			w.carrier.reply(w.carrier.request(msg.BYE), 200, "")
			w.receipt()
		})
	}
}

// The caller may transfer too, to where its own calls may go; its leg is replaced then.
func TestTransferByTheCaller(t *testing.T) {
	run(t, nil, func(w *world) {
		w.numbers()
		ok, in := w.up("caller")
		w.carrier.within(ok, "REFER", 2, "", "Refer-To: <sip:+41200@x>")
		w.carrier.status(202)
		w.carrier.notify("100 ", "active")
		inv := w.zrh.request(msg.INVITE)
		if inv.From().Address.User != "+4930123" { // who stays is known by the number that was called
			t.Errorf("From %s", inv.From().Value())
		}
		w.zrh.reply(inv, 200, w.zrh.sdp)
		w.zrh.request(msg.ACK)
		w.carrier.notify("200 ", "terminated")
		w.carrier.reply(w.carrier.request(msg.BYE), 200, "")
		w.fra.inside(in, "INFO", 1, "")
		w.zrh.reply(w.zrh.request(msg.INFO), 200, "")
		w.fra.status(200)
		w.fra.inside(in, "BYE", 2, "")
		w.fra.status(200)
		w.zrh.reply(w.zrh.request(msg.BYE), 200, "")
		if r := w.receipt(); r.Transfers[0].By != "a" || r.Outcome.EndedBy != "b" {
			t.Errorf("%+v", r)
		}
	})
}

// The transferor holds first, as agents do: the held side is told once, by a re-INVITE, when its new far end is there.
func TestTransferFromHold(t *testing.T) {
	run(t, nil, func(w *world) {
		w.numbers()
		ok, in := w.up("holding")
		w.fra.inside(in, "INVITE", 1, strings.Replace(w.fra.sdp, "a=sendrecv", "a=sendonly", 1))
		if re := w.holdAnswer(); re != nil {
			w.carrier.reply(re, 200, strings.Replace(w.carrier.sdp, "a=sendrecv", "a=recvonly", 1))
			w.carrier.request(msg.ACK)
		}
		w.fra.status(200)
		w.fra.inside(in, "ACK", 1, "")
		w.fra.inside(in, "REFER", 2, "", "Refer-To: <sip:+41200@x>")
		w.fra.status(202)
		w.fra.notify("100 ", "active")
		inv := w.zrh.request(msg.INVITE)
		if !strings.Contains(string(inv.Body()), "a=sendrecv") {
			t.Errorf("offer:\n%s", inv.Body())
		}
		w.zrh.reply(inv, 200, w.zrh.sdp)
		w.zrh.request(msg.ACK)
		re := w.carrier.request(msg.INVITE)
		if !strings.Contains(string(re.Body()), "a=sendrecv") {
			t.Errorf("re-INVITE:\n%s", re.Body())
		}
		w.carrier.reply(re, 200, w.carrier.sdp)
		w.carrier.request(msg.ACK)
		w.fra.notify("200 ", "terminated")
		w.fra.reply(w.fra.request(msg.BYE), 200, "")
		w.carrier.within(ok, "BYE", 2, "")
		w.carrier.status(200)
		w.zrh.reply(w.zrh.request(msg.BYE), 200, "")
		w.receipt()
	})
}

// holdAnswer is the re-INVITE that a hold sends on to the caller; nil where the edge answers holds by itself.
func (w *world) holdAnswer() *msg.Request {
	w.t.Helper()
	re, _ := w.carrier.read(time.Second).(*msg.Request)
	return re
}

// What is no transfer is refused, and the call goes on.
//
// Conforms: RFC 3515 section 2.4.1; a REFER without exactly one Refer-To is 400.
func TestRefersThatAreRefused(t *testing.T) {
	for name, c := range map[string]struct {
		lines  string
		status int
	}{
		"no Refer-To":       {"X: y", 400},
		"two Refer-To":      {"Refer-To: <sip:+41200@x>\r\nRefer-To: <sip:+41200@x>", 400},
		"another method":    {"Refer-To: <sip:+41200@x;method=BYE>", 501},
		"another scheme":    {"Refer-To: <https://example.com/>", 416},
		"no user":           {"Refer-To: <sip:10.66.0.1>", 400},
		"no route":          {"Refer-To: <sip:nobody@x>", 603},
		"emergency":         {"Refer-To: <sip:112@x>", 603},
		"unknown extension": {"Refer-To: <sip:+41200@x>\r\nRequire: multiple-refer", 420},
		"unknown dialog":    {"Refer-To: <sip:x@x?Replaces=a%3Bto-tag%3Db%3Bfrom-tag%3Dc>", 603},
		"broken Replaces":   {"Refer-To: <sip:x@x?Replaces=a%3Bto-tag%3Db>", 400},
	} {
		t.Run(name, func(t *testing.T) {
			run(t, nil, func(w *world) {
				w.numbers()
				ok, in := w.up("no")
				w.fra.inside(in, "REFER", 1, "", c.lines)
				w.fra.status(c.status)
				w.zrh.silent(time.Second)
				w.end(ok, 2)
			})
		})
	}
}

// A party whose calls are not transferred, and a REFER of nobody's call.
//
// Conforms: RFC 3515 section 2.4.2; a REFER outside a dialog is declined.
// Conforms: RFC 6665 section 4.2.1.1; a SUBSCRIBE for an unknown event is 489.
func TestTransfersCanBeTurnedOff(t *testing.T) {
	run(t, func(c *Config) { c.Parties[1].Transfer = "refuse" }, func(w *world) {
		w.numbers()
		ok, in := w.up("off")
		w.fra.inside(in, "REFER", 1, "", "Refer-To: <sip:+41200@x>")
		w.fra.status(603)
		w.fra.inside(in, "SUBSCRIBE", 2, "", "Event: presence")
		if res := w.fra.status(489); value(res, "allow-events") != "refer" {
			t.Error("489 without Allow-Events")
		}
		w.fra.inside(in, "SUBSCRIBE", 3, "", "Event: refer")
		w.fra.status(481)
		w.carrier.write(w.carrier.compose("REFER", "sip:+4930123@edge.example", "nodialog", 1, "", "", "Refer-To: <sip:+41200@x>"))
		w.carrier.status(603)
		w.carrier.write(w.carrier.compose("SUBSCRIBE", "sip:+4930123@edge.example", "nodialog2", 1, "", "", "Event: dialog"))
		w.carrier.status(489)
		w.end(ok, 2)
	})
}

// The subscription ends by its clock, by the subscriber, or by a NOTIFY that nobody knows; the transfer goes on.
//
// Conforms: RFC 6665 section 4.2.1.4; a subscriber renews and ends its subscription by SUBSCRIBE.
// Conforms: RFC 6665 section 4.2.2; after 481 to a NOTIFY no other is sent.
func TestSubscriptionOfATransfer(t *testing.T) {
	run(t, nil, func(w *world) {
		w.numbers()
		ok, in := w.up("sub")
		w.fra.inside(in, "REFER", 1, "", "Refer-To: <sip:+41200@x>")
		w.fra.status(202)
		w.fra.notify("100 ", "active;expires=180")
		inv := w.zrh.request(msg.INVITE)
		w.zrh.reply(inv, 180, "")
		w.fra.notify("180 ", "active")
		w.fra.inside(in, "SUBSCRIBE", 2, "", "Event: refer", "Expires: 20")
		if res := w.fra.status(200); value(res, "expires") != "20" {
			t.Errorf("Expires %s", value(res, "expires"))
		}
		w.fra.notify("180 ", "active;expires=20")
		w.fra.notify("180 ", "terminated;reason=timeout") // 20 s later
		w.fra.inside(in, "SUBSCRIBE", 3, "", "Event: refer")
		w.fra.status(481)
		w.zrh.reply(inv, 200, w.zrh.sdp)
		w.zrh.request(msg.ACK)
		w.fra.reply(w.fra.request(msg.BYE), 200, "")
		w.carrier.within(ok, "BYE", 2, "")
		w.carrier.status(200)
		w.zrh.reply(w.zrh.request(msg.BYE), 200, "")
		w.receipt()
	})
	run(t, nil, func(w *world) {
		w.numbers()
		ok, in := w.up("sub2")
		w.fra.inside(in, "REFER", 1, "", "Refer-To: <sip:+41200@x>")
		w.fra.status(202)
		w.fra.reply(w.fra.request(msg.NOTIFY), 481, "")
		inv := w.zrh.request(msg.INVITE)
		w.zrh.reply(inv, 486, "")
		w.zrh.request(msg.ACK)
		w.fra.silent(time.Second)
		w.end(ok, 2)
	})
}

// A party whose REFERs are sent on: the other side gets one that names no host of it, and what it tells comes back.
//
// Conforms: RFC 3515 section 2.4.4; the NOTIFYs of a REFER that was sent on are mapped to the dialog that it came in.
// Conforms: RFC 6665 section 4.1.3; a NOTIFY after the subscription ended is 481.
func TestTransferThatIsSentOn(t *testing.T) {
	run(t, func(c *Config) { c.Parties[1].Transfer = "relay" }, func(w *world) {
		w.numbers()
		ok, in := w.up("relay")
		w.fra.inside(in, "REFER", 1, "", "Refer-To: <sip:+41200@10.2.0.9;x=y>", "Referred-By: <sip:agent@10.2.0.1>")
		ref := w.carrier.request(msg.REFER)
		if got := value(ref, "refer-to"); got != "<sip:+41200@carrier.example>" {
			t.Errorf("Refer-To %s", got)
		}
		for _, leak := range []string{"10.2.0", "fra", "agent"} {
			if strings.Contains(string(w.carrier.last), leak) {
				t.Errorf("%q crosses:\n%s", leak, ref)
			}
		}
		w.carrier.reply(ref, 202, "")
		w.fra.status(202)
		w.fra.notify("100 ", "active")
		tell := func(seq int, state, frag string) {
			t.Helper()
			raw := w.carrier.compose("NOTIFY", "sip:10.0.0.1", ok.CallID().Value(), seq, ok.To().Params.GetOr("tag", ""), frag, "Event: refer", "Subscription-State: "+state)
			w.carrier.write(strings.Replace(raw, "application/sdp", "message/sipfrag", 1))
		}
		tell(2, "active;expires=60", "SIP/2.0 180 Ringing\r\nContact: <sip:secret@10.1.0.1>\r\n")
		w.carrier.status(200)
		if n := w.fra.notify("180 ", "active"); strings.Contains(string(n.Body()), "secret") {
			t.Errorf("%s", n.Body())
		}
		tell(3, "terminated;reason=noresource", "SIP/2.0 200 OK\r\n")
		w.carrier.status(200)
		w.fra.notify("200 ", "terminated")
		tell(4, "active", "SIP/2.0 200 OK\r\n")
		w.carrier.status(481)
		w.fra.inside(in, "REFER", 2, "", "Refer-To: <sip:+41200@x>")
		w.carrier.reply(w.carrier.request(msg.REFER), 404, "")
		w.fra.status(603)
		w.end(ok, 5)
		if r := entries[audit.Receipt](w, audit.KindReceipt)[0]; len(r.Transfers) != 2 || r.Transfers[0].Result != "relayed" || r.Transfers[1].Result != "failed" {
			t.Errorf("%+v", r.Transfers)
		}
	})
}

// An attended transfer: the agent has called zrh to ask, and then joins the two by a REFER whose Refer-To names that other call. zrh gets an INVITE that
// replaces the dialog that it has with us; which loop each call lives on does not matter.
//
// Conforms: RFC 3891 section 6.1; Replaces is mapped to the dialog at the other end of the call that it names.
func TestAttendedTransfer(t *testing.T) {
	for _, id := range []string{"consult", "consult2", "consult3", "consult4"} { // they hash to different loops
		run(t, nil, func(w *world) {
			w.numbers()
			ok, in := w.up("attended")
			inner := w.plan
			w.plan = func(r routing.Request) routing.Plan {
				if r.From == "fra" && r.Called == "+4930123" {
					p := inner(routing.Request{From: "carrier", Called: "+41200"})
					p.Direction, p.Route = routing.Outbound, "ask"
					return p
				}
				return inner(r)
			}
			// The consultation: fra calls zrh.
			w.fra.invite(id, w.fra.sdp)
			ask := w.zrh.request(msg.INVITE)
			w.zrh.reply(ask, 200, w.zrh.sdp, "Supported: replaces, timer")
			w.zrh.request(msg.ACK)
			second := w.fra.status(200)
			w.fra.within(second, "ACK", 1, "")
			synctest.Wait()
			to := "<sip:10.0.0.1:5060?Replaces=" + id + "%3Bto-tag%3D" + second.To().Params.GetOr("tag", "") + "%3Bfrom-tag%3D" + w.fra.tag + ">"
			w.fra.inside(in, "REFER", 1, "", "Refer-To: "+to)
			w.fra.status(202)
			w.fra.notify("100 ", "active")
			inv := w.zrh.request(msg.INVITE)
			want := ask.CallID().Value() + ";to-tag=zrhtag;from-tag=" + ask.From().Params.GetOr("tag", "")
			if value(inv, "replaces") != want || value(inv, "require") != "replaces" || strings.Contains(string(w.zrh.last), id) {
				t.Errorf("want Replaces %s:\n%s", want, inv)
			}
			w.zrh.tag = "zrhnew"
			w.zrh.reply(inv, 200, w.zrh.sdp)
			w.zrh.request(msg.ACK)
			w.fra.notify("200 ", "terminated")
			w.fra.reply(w.fra.request(msg.BYE), 200, "")
			// zrh ends what was replaced, and fra hears it.
			w.zrh.tag = "zrhtag"
			w.zrh.inside(ask, "BYE", 1, "")
			w.zrh.status(200)
			w.fra.reply(w.fra.request(msg.BYE), 200, "")
			w.zrh.tag = "zrhnew"
			w.carrier.within(ok, "BYE", 2, "")
			w.carrier.status(200)
			w.zrh.reply(w.zrh.request(msg.BYE), 200, "")
			time.Sleep(time.Second)
			synctest.Wait()
			rs := entries[audit.Receipt](w, audit.KindReceipt)
			var xs []audit.Transfer
			for _, r := range rs {
				xs = append(xs, r.Transfers...)
			}
			if len(rs) != 2 || len(xs) != 1 || xs[0].How != "refer_replaces" || xs[0].Attempts[0].Verdict != "permit" {
				t.Errorf("%d receipts, transfers %+v", len(rs), xs)
			}
		})
	}
}

// One NOTIFY waits for the answer to the one before: a lost first one must not arrive after the last.
//
// Conforms: RFC 3261 section 12.2.2; what we send in one dialog arrives in order.
func TestNotifiesKeepTheirOrder(t *testing.T) {
	run(t, nil, func(w *world) {
		w.numbers()
		_, in := w.up("order")
		w.fra.inside(in, "REFER", 1, "", "Refer-To: <sip:+41200@x>")
		w.fra.status(202)
		first := w.fra.request(msg.NOTIFY) // and it is not answered yet
		inv := w.zrh.request(msg.INVITE)
		w.zrh.reply(inv, 180, "")
		w.zrh.reply(inv, 200, w.zrh.sdp)
		w.zrh.request(msg.ACK)
		w.fra.silent(200 * time.Millisecond)
		w.fra.reply(first, 200, "")
		last := w.fra.notify("200 ", "terminated")
		if last.CSeq().SeqNo != first.CSeq().SeqNo+1 {
			t.Errorf("CSeq %d after %d", last.CSeq().SeqNo, first.CSeq().SeqNo)
		}
		w.fra.reply(w.fra.request(msg.BYE), 200, "")
		w.zrh.inside(inv, "BYE", 1, "")
		w.zrh.status(200)
		w.carrier.reply(w.carrier.request(msg.BYE), 200, "")
		w.receipt()
	})
}

// The transferor says BYE before it answers the last NOTIFY: that ends its leg and not the call, whichever side it was.
func TestTransferorsByeCrosses(t *testing.T) {
	run(t, nil, func(w *world) {
		w.numbers()
		ok, in := w.up("crossing")
		w.carrier.within(ok, "REFER", 2, "", "Refer-To: <sip:+41200@x>")
		w.carrier.status(202)
		w.carrier.notify("100 ", "active")
		inv := w.zrh.request(msg.INVITE)
		w.zrh.reply(inv, 200, w.zrh.sdp)
		w.zrh.request(msg.ACK)
		last := w.carrier.request(msg.NOTIFY)
		w.carrier.within(ok, "BYE", 3, "")
		w.carrier.status(200)
		w.carrier.reply(last, 200, "")
		w.carrier.silent(time.Second)
		w.fra.inside(in, "INFO", 1, "")
		w.zrh.reply(w.zrh.request(msg.INFO), 200, "")
		w.fra.status(200)
		w.fra.inside(in, "BYE", 2, "")
		w.fra.status(200)
		w.zrh.reply(w.zrh.request(msg.BYE), 200, "")
		w.receipt()
	})
}

// A REFER inside a dialog is bounded by its own call and never by how many calls its source begins; what is too much is told so, and not with the 503 of a server.
// Conforms: RFC 3261 section 21.5.1
func TestAReferIsBoundedByItsCallAndNotByItsSource(t *testing.T) {
	run(t, func(c *Config) { c.RatePerSource = 1 }, func(w *world) {
		w.numbers()
		ok, in := w.up("bound")
		for i := range referBurst {
			w.fra.inside(in, "REFER", 1+i, "", "Refer-To: <sip:nobody@x>")
			w.fra.status(603)
		}
		w.fra.inside(in, "REFER", 1+referBurst, "", "Refer-To: <sip:nobody@x>")
		if res := w.fra.status(500); value(res, "retry-after") != "2" {
			t.Errorf("\n%s", res)
		}
		time.Sleep(2 * time.Second)
		w.fra.inside(in, "REFER", 2+referBurst, "", "Refer-To: <sip:nobody@x>")
		w.fra.status(603)
		w.end(ok, 2)
	})
}

// A target that answers and hangs up in the same breath ends the call: nobody is left in it without a far end.
// Conforms: RFC 3261 section 15.1.2
func TestATargetThatHangsUpAtOnceEndsTheCall(t *testing.T) {
	for range 20 { // the media of the new far end is put in force off the loop
		run(t, nil, func(w *world) {
			w.numbers()
			_, in := w.up("brief")
			w.fra.inside(in, "REFER", 1, "", "Refer-To: <sip:+41200@10.0.0.1>", "Contact: <sip:fra@10.2.0.1>")
			w.fra.status(202)
			w.fra.notify("100 ", "active;expires=")
			inv := w.zrh.request(msg.INVITE)
			w.zrh.reply(inv, 200, w.zrh.sdp)
			w.zrh.inside(inv, "BYE", 1, "")
			w.zrh.request(msg.ACK)
			w.zrh.status(200)
			w.fra.notify("200 ", "terminated")
			w.fra.reply(w.fra.request(msg.BYE), 200, "")
			w.carrier.reply(w.carrier.request(msg.BYE), 200, "")
			if r := w.receipt(); len(r.Transfers) != 1 || r.Transfers[0].Result != "answered" || r.Outcome.EndedBy != "b" {
				t.Errorf("receipt: %+v %+v", r.Transfers, r.Outcome)
			}
		})
	}
}

// The edge stops while a transferor has not yet acknowledged the last NOTIFY: its leg is ended like all others.
func TestAStopEndsTheLegOfATransferorToo(t *testing.T) {
	run(t, nil, func(w *world) {
		w.numbers()
		_, in := w.up("stop")
		w.fra.inside(in, "REFER", 1, "", "Refer-To: <sip:+41200@10.0.0.1>", "Contact: <sip:fra@10.2.0.1>")
		w.fra.status(202)
		w.fra.notify("100 ", "active;expires=")
		inv := w.zrh.request(msg.INVITE)
		w.zrh.reply(inv, 200, w.zrh.sdp)
		w.zrh.request(msg.ACK)
		w.fra.request(msg.NOTIFY) // and no answer
		for _, s := range w.edge.shards {
			s.loop.Post(s.endAll)
		}
		synctest.Wait()
		for {
			if req := w.fra.read(2 * time.Second); req == nil {
				t.Fatal("no BYE")
			} else if r, ok := req.(*msg.Request); ok && r.Method == msg.BYE {
				w.fra.reply(r, 200, "")
				break
			}
		}
		w.zrh.reply(w.zrh.request(msg.BYE), 200, "")
		w.carrier.reply(w.carrier.request(msg.BYE), 200, "")
		w.receipt()
	})
}
