package sip

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cordonsip/cordon/audit"
	msg "github.com/emiago/sipgo/sip"
)

// ofCallee names the dialog of an INVITE that a peer got, as it is written in a Replaces that comes to the edge: to-tag is the edge's.
func ofCallee(in *msg.Request, tag string) string {
	return "Replaces: " + in.CallID().Value() + ";to-tag=" + in.From().Params.GetOr("tag", "") + ";from-tag=" + tag
}

// ofCaller does the same for the dialog that a response to a peer's INVITE opened.
func ofCaller(ok *msg.Response, tag string) string {
	return "Replaces: " + ok.CallID().Value() + ";to-tag=" + ok.To().Params.GetOr("tag", "") + ";from-tag=" + tag
}

// ack acknowledges the refusal of an INVITE.
func (p *peer) ack(res *msg.Response) {
	p.w.t.Helper()
	id := res.CallID().Value()
	raw := p.compose("ACK", "sip:+4930123@edge.example", id, 1, res.To().Params.GetOr("tag", ""), "")
	p.write(strings.Replace(raw, "branch=z9hG4bK"+id+"ACK", "branch=z9hG4bK"+id+"INVITE", 1))
}

// A second phone of the group takes the place of the first one: it gets 200 with the answer, the first one BYE, and the caller hears nothing of it. On which loop
// the new Call-ID would live makes no difference, and what comes in its dialog later finds the call.
//
// Conforms: RFC 3891 section 3; an INVITE with Replaces that names a confirmed dialog is accepted, and the dialog that it names gets BYE.
// Conforms: RFC 3264 section 6; the answer takes what both ends know.
func TestInviteWithReplaces(t *testing.T) {
	for _, id := range []string{"pick", "pick2", "pick3", "pick4", "pick5"} {
		run(t, nil, func(w *world) {
			ok, in := w.up("replaced")
			w.fra.tag = "franew"
			w.fra.invite(id, strings.Replace(w.fra.sdp, "30000", "30500", 1), ofCallee(in, "fratag"), "Require: replaces")
			res := w.fra.status(200)
			if !lists(res, "supported", "replaces") || !strings.Contains(string(res.Body()), "m=audio") {
				t.Errorf("200:\n%s", res)
			}
			for _, leak := range []string{"10.1.0.1", "carrier", ok.CallID().Value()} {
				if strings.Contains(string(w.fra.last), leak) {
					t.Errorf("the 200 shows %q:\n%s", leak, w.fra.last)
				}
			}
			bye := w.fra.request(msg.BYE)
			if bye.CallID().Value() != in.CallID().Value() {
				t.Errorf("BYE in dialog %s", bye.CallID().Value())
			}
			w.fra.reply(bye, 200, "")
			w.fra.within(res, "ACK", 1, "")
			w.carrier.silent(time.Second)
			w.carrier.within(ok, "INFO", 2, "")
			info := w.fra.request(msg.INFO)
			if info.CallID().Value() != id {
				t.Errorf("INFO in dialog %s", info.CallID().Value())
			}
			w.fra.reply(info, 200, "")
			w.carrier.status(200)
			time.Sleep(3 * time.Minute) // longer than anything that is not needed is remembered
			w.fra.within(res, "BYE", 2, "")
			w.fra.status(200)
			w.carrier.reply(w.carrier.request(msg.BYE), 200, "")
			r := w.receipt()
			if len(r.Transfers) != 1 {
				t.Fatalf("%d transfers", len(r.Transfers))
			}
			x := r.Transfers[0]
			if x.How != "invite_replaces" || x.By != "b" || x.Party != "fra" || x.From != "fra" || x.Result != "answered" || x.Attempts[0].Verdict != "permit" {
				t.Errorf("transfer %+v", x)
			}
			if e := entries[audit.CallTransferred](w, audit.KindCallTransferred); len(e) != 1 || e[0].CallRef != r.CallRef {
				t.Errorf("entries %+v", e)
			}
			if r.Overall != "compliant" || r.Outcome.EndedBy != "b" {
				t.Errorf("overall %s, ended by %s", r.Overall, r.Outcome.EndedBy)
			}
			time.Sleep(time.Minute)
			if n := w.edge.guests.n.Load(); n != 0 {
				t.Errorf("%d guests are left", n)
			}
			if n := w.edge.partyLoad("fra").Load(); n != 0 {
				t.Errorf("%d calls of fra are counted", n)
			}
		})
	}
}

// The caller's leg is replaced by an INVITE without an offer: it gets one in the 200, and nothing changes before its answer is here.
//
// Conforms: RFC 3261 section 13.2.1; the offer is in the 2xx and the answer in the ACK.
// Conforms: RFC 3891 section 6.1; a dialog that came by Replaces can be replaced itself.
func TestReplacesWithoutAnOffer(t *testing.T) {
	run(t, nil, func(w *world) {
		ok, in := w.up("bare")
		from := ofCaller(ok, "carriertag")
		for i, id := range []string{"second", "third", "fourth"} {
			w.carrier.tag = id
			w.carrier.invite(id, "", from)
			res := w.carrier.status(200)
			if !strings.Contains(string(res.Body()), "m=audio") {
				t.Fatalf("no offer:\n%s", res)
			}
			w.carrier.silent(200 * time.Millisecond) // no BYE before the ACK
			w.carrier.within(res, "ACK", 1, strings.Replace(w.carrier.sdp, "30000", fmt.Sprint(30500+2*i), 1))
			bye := w.carrier.request(msg.BYE)
			if bye.CallID().Value() != ok.CallID().Value() {
				t.Errorf("BYE in dialog %s", bye.CallID().Value())
			}
			w.carrier.reply(bye, 200, "")
			ok, from = res, ofCaller(res, id)
		}
		w.fra.silent(time.Second)
		w.fra.inside(in, "INFO", 1, "")
		w.carrier.reply(w.carrier.request(msg.INFO), 200, "")
		w.fra.status(200)
		w.end(ok, 2)
		if r := entries[audit.Receipt](w, audit.KindReceipt)[0]; len(r.Transfers) != 3 || r.Transfers[2].By != "a" {
			t.Errorf("%+v", r.Transfers)
		}
	})
}

// An agent refers the caller to a call that it took over itself: the dialog that Refer-To names lives on the loop of that call and not on the one of its Call-ID.
//
// Conforms: RFC 5589 section 7; an attended transfer to a call whose own leg came by Replaces.
func TestAttendedTransferOfATakenCall(t *testing.T) {
	for _, id := range []string{"taken", "taken2", "taken3"} {
		run(t, nil, func(w *world) {
			w.numbers()
			ok, _ := w.up("attend")
			w.carrier.write(strings.Replace(w.carrier.compose("INVITE", "sip:+41200@edge.example", "other", 1, "", w.carrier.sdp), "carriertag", "othertag", 1))
			ask := w.zrh.request(msg.INVITE)
			w.zrh.reply(ask, 200, w.zrh.sdp, "Supported: replaces")
			w.zrh.request(msg.ACK)
			two := w.carrier.status(200)
			w.carrier.tag = "othertag"
			w.carrier.within(two, "ACK", 1, "")
			synctest.Wait()
			// The caller of the second call hands its place to another of its phones, which then joins the two calls.
			w.carrier.tag = id
			w.carrier.invite(id, w.carrier.sdp, ofCaller(two, "othertag"))
			res := w.carrier.status(200)
			w.carrier.reply(w.carrier.request(msg.BYE), 200, "")
			w.carrier.within(res, "ACK", 1, "")
			w.carrier.tag = "carriertag"
			to := "<sip:10.0.0.1?Replaces=" + id + "%3Bto-tag%3D" + res.To().Params.GetOr("tag", "") + "%3Bfrom-tag%3D" + id + ">"
			w.carrier.within(ok, "REFER", 2, "", "Refer-To: "+to)
			w.carrier.status(202)
			w.carrier.notify("100 ", "active")
			inv := w.zrh.request(msg.INVITE)
			if !strings.HasPrefix(value(inv, "replaces"), ask.CallID().Value()+";to-tag=zrhtag;") {
				t.Errorf("Replaces %s", value(inv, "replaces"))
			}
			w.zrh.reply(inv, 486, "")
			w.zrh.request(msg.ACK)
			w.carrier.notify("486 ", "terminated")
			w.carrier.within(ok, "BYE", 3, "")
			w.carrier.status(200)
			w.fra.reply(w.fra.request(msg.BYE), 200, "")
			w.zrh.inside(ask, "BYE", 1, "")
			w.zrh.status(200)
			w.carrier.reply(w.carrier.request(msg.BYE), 200, "")
			time.Sleep(time.Second)
			synctest.Wait()
		})
	}
}

// What may not be replaced, and by whom: the call goes on as it was.
//
// Conforms: RFC 3891 section 3; 481 for an unknown dialog, 486 for a confirmed one that is asked for as early, 400 for more than one Replaces or one beside Join.
// Conforms: RFC 3891 section 3; who is not authorised to replace a dialog is refused.
func TestReplacesThatIsRefused(t *testing.T) {
	for name, c := range map[string]struct {
		lines  func(own string) []string
		by     string
		status int
	}{
		"unknown Call-ID": {func(string) []string { return []string{"Replaces: nobody;to-tag=a;from-tag=b"} }, "fra", 481},
		"wrong to-tag":    {func(own string) []string { return []string{strings.Replace(own, "to-tag=", "to-tag=x", 1)} }, "fra", 481},
		"wrong from-tag":  {func(own string) []string { return []string{own + "x"} }, "fra", 481},
		"early-only":      {func(own string) []string { return []string{own + ";early-only"} }, "fra", 486},
		"two headers":     {func(own string) []string { return []string{own, own} }, "fra", 400},
		"two values":      {func(own string) []string { return []string{own + ", a;to-tag=b;from-tag=c"} }, "fra", 400},
		"broken":          {func(string) []string { return []string{"Replaces: a;to-tag=b"} }, "fra", 400},
		"empty":           {func(string) []string { return []string{"Replaces:"} }, "fra", 400},
		"with Join":       {func(own string) []string { return []string{own, "Join: a;to-tag=b;from-tag=c"} }, "fra", 400},
		"Join required":   {func(string) []string { return []string{"Require: join", "Join: a;to-tag=b;from-tag=c"} }, "fra", 420},
		"another party":   {func(own string) []string { return []string{own} }, "zrh", 403},
		"the other side":  {func(own string) []string { return []string{own} }, "carrier", 403},
	} {
		t.Run(name, func(t *testing.T) {
			run(t, nil, func(w *world) {
				ok, in := w.up("kept")
				p := map[string]*peer{"fra": w.fra, "zrh": w.zrh, "carrier": w.carrier}[c.by]
				old := p.tag
				p.tag = "intruder"
				p.invite("new", p.sdp, c.lines(ofCallee(in, "fratag"))...)
				p.ack(p.status(c.status))
				p.tag = old
				w.carrier.within(ok, "INFO", 2, "")
				w.fra.reply(w.fra.request(msg.INFO), 200, "")
				w.carrier.status(200)
				w.end(ok, 3)
				w.zrh.silent(time.Second)
				time.Sleep(2 * time.Minute)
				if n := w.edge.guests.n.Load(); n != 0 {
					t.Errorf("%d guests are left", n)
				}
			})
		})
	}
}

// A call that is over, and one that the edge was only called for, are not replaced; a REFER, an OPTIONS and a re-INVITE replace nothing.
//
// Conforms: RFC 3891 section 3; 603 for a dialog that has ended, 481 for an early one that was not initiated here, 400 in other requests than INVITE.
func TestReplacesOfCallsThatAreNotUp(t *testing.T) {
	run(t, nil, func(w *world) {
		w.carrier.invite("young", w.carrier.sdp)
		in := w.fra.request(msg.INVITE)
		w.fra.reply(in, 180, "")
		ring := w.carrier.status(180)
		w.carrier.tag = "pickup"
		w.carrier.invite("pickup", w.carrier.sdp, ofCaller(ring, "carriertag"))
		w.carrier.ack(w.carrier.status(481))
		w.carrier.tag = "carriertag"
		w.fra.reply(in, 200, w.fra.sdp)
		w.fra.request(msg.ACK)
		ok := w.carrier.status(200)
		w.carrier.within(ok, "ACK", 1, "")
		w.carrier.write(w.carrier.compose("OPTIONS", "sip:edge.example", "ask", 1, "", "", ofCaller(ok, "carriertag")))
		w.carrier.status(400)
		w.carrier.within(ok, "INVITE", 2, w.carrier.sdp, ofCaller(ok, "carriertag"))
		w.carrier.write(reAck(w.carrier, ok, w.carrier.status(400), 2))
		w.end(ok, 3)
		w.carrier.tag = "late"
		w.carrier.invite("late", w.carrier.sdp, ofCaller(ok, "carriertag"))
		w.carrier.ack(w.carrier.status(603))
	})
}

// Parties inside the trust domain may take over each other's calls: a call that moves from one group to another is judged at its new place.
func TestReplacesByATrustedParty(t *testing.T) {
	trusting := func(c *Config) { c.Parties[1].Trusted, c.Parties[2].Trusted = true, true }
	run(t, trusting, func(w *world) {
		ok, in := w.up("trusted")
		w.zrh.invite("z", w.zrh.sdp, ofCallee(in, "fratag"))
		res := w.zrh.status(200)
		w.zrh.within(res, "ACK", 1, "")
		w.fra.reply(w.fra.request(msg.BYE), 200, "")
		w.carrier.within(ok, "BYE", 2, "")
		w.carrier.status(200)
		w.zrh.reply(w.zrh.request(msg.BYE), 200, "")
		r := w.receipt()
		if x := r.Transfers[0]; x.From != "zrh" || x.Party != "fra" || x.Attempts[0].Region != "aws:eu-central-2" {
			t.Errorf("%+v", x)
		}
		if m := r.Moves; len(m) == 0 || m[0].To != zrhAddr.String() || m[0].Cause != "refer" {
			t.Errorf("moves %+v", m)
		}
		if n := w.edge.partyLoad("zrh").Load() + w.edge.partyLoad("fra").Load(); n != 0 {
			t.Errorf("%d calls are counted", n)
		}
	})
}

// Media in a place that the policy holds takes over no call, in an offer or in an answer, and nothing is sent there.
func TestReplacesFromMediaInAHeldPlace(t *testing.T) {
	run(t, nil, func(w *world) {
		ok, in := w.up("held")
		w.fra.tag = "offer"
		w.fra.invite("offer", testSDP("10.66.0.9", 30000), ofCallee(in, "fratag"))
		res := w.fra.status(403)
		if value(res, "x-cordon-receipt") == "" || !strings.Contains(value(res, "reason"), "media place") {
			t.Errorf("\n%s", res)
		}
		w.fra.ack(res)
		w.fra.tag = "answer"
		w.fra.invite("answer", "", ofCallee(in, "fratag"))
		yes := w.fra.status(200)
		w.fra.within(yes, "ACK", 1, testSDP("10.66.0.9", 30000))
		w.fra.reply(w.fra.request(msg.BYE), 200, "")
		w.fra.tag = "fratag"
		w.end(ok, 2)
		w.nothingLeftFor("10.66.0.9")
		r := entries[audit.Receipt](w, audit.KindReceipt)[0]
		if len(r.Transfers) != 2 || r.Transfers[0].Result != "refused" || r.Transfers[1].Result != "failed" || r.Overall != "compliant" {
			t.Errorf("%+v", r.Transfers)
		}
	})
}

// The source of an INVITE with Replaces is judged like that of any call.
func TestReplacesFromAHeldPlace(t *testing.T) {
	tune := func(c *Config) {
		c.Parties[1].Sources = append(c.Parties[1].Sources, netip.MustParsePrefix("10.66.0.0/16"))
		c.Parties = c.Parties[:3]
	}
	run(t, tune, func(w *world) {
		ok, in := w.up("athome")
		iad := w.peer("fra", iadAddr)
		defer iad.conn.Close()
		iad.tag = "abroad"
		iad.invite("abroad", iad.sdp, ofCallee(in, "fratag"))
		iad.silent(5 * time.Second)
		w.end(ok, 2)
		w.nothingLeftFor("10.66.0.1")
	})
}

// A caller of the second phone that gives up before it is in leaves the call as it was; so does one that never acknowledges.
//
// Conforms: RFC 3261 section 13.3.1.4; a 2xx without ACK ends its own dialog by BYE, and not the call that it was to replace a leg of.
func TestReplacesThatIsGivenUp(t *testing.T) {
	run(t, nil, func(w *world) {
		ok, in := w.up("given")
		w.fra.tag = "cancel"
		w.carrier.within(ok, "INVITE", 2, strings.Replace(w.carrier.sdp, "30000", "31000", 1)) // a change on its way keeps the new leg waiting
		re := w.fra.request(msg.INVITE)
		w.fra.invite("cancel", w.fra.sdp, ofCallee(in, "fratag"))
		w.fra.status(100)
		time.Sleep(300 * time.Millisecond)
		w.fra.write(strings.Replace(w.fra.compose("CANCEL", "sip:+4930123@edge.example", "cancel", 1, "", ""), "cancelCANCEL1", "cancelINVITE1", 1))
		w.fra.status(200)
		w.fra.ack(w.fra.status(487))
		w.fra.tag = "fratag"
		w.fra.reply(re, 200, w.fra.sdp)
		w.fra.request(msg.ACK)
		w.carrier.within(w.carrier.status(200), "ACK", 2, "")
		w.fra.tag = "silent"
		w.fra.invite("silent", "", ofCallee(in, "fratag"))
		for range 11 {
			w.fra.status(200)
		}
		w.fra.reply(w.fra.request(msg.BYE), 200, "")
		w.fra.tag = "fratag"
		w.carrier.within(ok, "INFO", 3, "")
		w.fra.reply(w.fra.request(msg.INFO), 200, "")
		w.carrier.status(200)
		w.end(ok, 4)
		if r := entries[audit.Receipt](w, audit.KindReceipt)[0]; len(r.Transfers) != 2 || r.Transfers[0].Result != "cancelled" || r.Transfers[1].SIPFinal != 408 {
			t.Errorf("%+v", r.Transfers)
		}
	})
}

// The replaced one may hang up before its successor is in: who stays goes on with that. And the call may end before.
func TestReplacedThatHangsUpFirst(t *testing.T) {
	for _, stays := range []bool{true, false} {
		run(t, nil, func(w *world) {
			ok, in := w.up("first")
			w.fra.tag = "heir"
			w.fra.invite("heir", "", ofCallee(in, "fratag"))
			res := w.fra.status(200)
			if stays {
				w.fra.tag = "fratag"
				w.fra.inside(in, "BYE", 1, "")
				w.fra.status(200)
				w.fra.tag = "heir"
				w.fra.within(res, "ACK", 1, w.fra.sdp)
				w.carrier.silent(time.Second)
				w.carrier.within(ok, "BYE", 2, "")
				w.carrier.status(200)
				w.fra.reply(w.fra.request(msg.BYE), 200, "")
			} else {
				w.carrier.within(ok, "BYE", 2, "")
				w.carrier.status(200)
				w.fra.reply(w.fra.request(msg.BYE), 200, "")
				w.fra.within(res, "ACK", 1, w.fra.sdp)
				w.fra.reply(w.fra.request(msg.BYE), 200, "")
			}
			want := map[bool]string{true: "answered", false: "cancelled"}[stays]
			if r := w.receipt(); len(r.Transfers) != 1 || r.Transfers[0].Result != want {
				t.Errorf("%+v", r.Transfers)
			}
		})
	}
}

// What INVITEs with Replaces make us remember is bounded, and so is for how long.
func TestGuestsAreBounded(t *testing.T) {
	run(t, nil, func(w *world) {
		e := w.edge
		for i := range maxGuests {
			if !e.guests.add(e.shards[0], e.shards[1], fmt.Sprint(i), "t") {
				t.Fatalf("no room for number %d", i)
			}
		}
		if e.guests.add(e.shards[0], e.shards[1], "more", "t") {
			t.Error("there is room without end")
		}
		if e.guests.add(e.shards[0], e.shards[1], "0", "t") {
			t.Error("one dialog has two homes")
		}
		ok, in := w.up("full")
		refused := false
		for i := range 8 { // half of these Call-IDs are of the other loop
			id := fmt.Sprint("x", i)
			w.fra.tag = id
			w.fra.invite(id, w.fra.sdp, ofCallee(in, "nobody"))
			res, _ := w.fra.read(time.Second).(*msg.Response)
			if res == nil || res.StatusCode != 503 && res.StatusCode != 481 {
				t.Fatalf("got %s", text(res))
			}
			refused = refused || res.StatusCode == 503 && value(res, "retry-after") != ""
			w.fra.ack(res)
		}
		if !refused {
			t.Error("nobody was told that there is no room")
		}
		w.fra.tag = "fratag"
		w.end(ok, 2)
		time.Sleep(2 * time.Minute)
		if n := e.guests.n.Load(); n != 0 {
			t.Errorf("%d guests are left", n)
		}
	})
}
