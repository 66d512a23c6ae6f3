package sip

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	msg "github.com/emiago/sipgo/sip"
)

// end hangs up from the carrier and checks that the other side hears it.
func (w *world) end(ok *msg.Response, seq int) {
	w.t.Helper()
	w.carrier.within(ok, "BYE", seq, "")
	w.carrier.status(200)
	w.fra.reply(w.fra.request(msg.BYE), 200, "")
	w.receipt()
}

// Conforms: RFC 3264 section 8.4; RFC 6337 section 5.3
func TestHoldAndResume(t *testing.T) {
	run(t, nil, func(w *world) {
		ok, in := w.up("hold")
		hold := strings.Replace(w.carrier.sdp, "a=sendrecv", "a=sendonly", 1)
		w.carrier.within(ok, "INVITE", 2, hold)
		re := w.fra.request(msg.INVITE)
		if re.CallID().Value() != in.CallID().Value() || re.CSeq().SeqNo != 2 || !strings.Contains(string(re.Body()), "a=sendonly") {
			t.Errorf("re-INVITE:\n%s", re)
		}
		w.fra.reply(re, 200, strings.Replace(w.fra.sdp, "a=sendrecv", "a=recvonly", 1))
		w.fra.request(msg.ACK)
		held := w.carrier.status(200)
		if !strings.Contains(string(held.Body()), "a=recvonly") {
			t.Errorf("answer to hold:\n%s", held.Body())
		}
		w.carrier.within(ok, "ACK", 2, "")
		synctest.Wait()
		// And the other side resumes nothing but asks for its own hold: it works both ways.
		w.fra.inside(in, "INVITE", 1, w.fra.sdp+"a=x-new:1\r\n")
		back := w.carrier.request(msg.INVITE)
		w.carrier.reply(back, 200, w.carrier.sdp+"a=x-new:2\r\n")
		w.carrier.request(msg.ACK)
		w.fra.status(200)
		w.fra.inside(in, "ACK", 1, "")
		synctest.Wait()
		w.end(ok, 3)
	})
}

// RFC 6141: a refused re-INVITE leaves the session as it was, and the next one works.
// Conforms: RFC 6141 section 3.1; RFC 3261 section 14.1
func TestRefusedReinvite(t *testing.T) {
	run(t, nil, func(w *world) {
		ok, in := w.up("refused")
		for i, status := range []int{488, 606} {
			w.carrier.within(ok, "INVITE", 2+i, strings.Replace(w.carrier.sdp, "30000", "31000", 1))
			re := w.fra.request(msg.INVITE)
			w.fra.reply(re, status, "")
			w.fra.request(msg.ACK)
			res := w.carrier.status(status)
			w.carrier.write(reAck(w.carrier, ok, res, 2+i))
		}
		// Nothing of it is left in the way of the other side's own.
		w.fra.inside(in, "INVITE", 1, strings.Replace(w.fra.sdp, "30000", "33000", 1))
		back := w.carrier.request(msg.INVITE)
		w.carrier.reply(back, 200, w.carrier.sdp)
		w.carrier.request(msg.ACK)
		w.fra.status(200)
		w.fra.inside(in, "ACK", 1, "")
		synctest.Wait()
		w.carrier.within(ok, "INVITE", 4, strings.Replace(w.carrier.sdp, "30000", "32000", 1))
		re := w.fra.request(msg.INVITE)
		w.fra.reply(re, 200, w.fra.sdp)
		w.fra.request(msg.ACK)
		w.carrier.status(200)
		w.carrier.within(ok, "ACK", 4, "")
		synctest.Wait()
		w.end(ok, 5)
	})
}

func reAck(p *peer, ok, res *msg.Response, seq int) string {
	uri := ok.Contact().Address
	id := ok.CallID().Value()
	raw := p.compose("ACK", uri.String(), id, seq, res.To().Params.GetOr("tag", ""), "")
	return strings.Replace(raw, "branch=z9hG4bK"+id+"ACK", "branch=z9hG4bK"+id+"INVITE", 1)
}

// A re-INVITE may not carry media to a place that the policy holds: it is refused, and nothing leaves for there.
// Conforms: RFC 6141 section 3.1
func TestReinviteAbroadIsRefused(t *testing.T) {
	run(t, nil, func(w *world) {
		ok, _ := w.up("abroad")
		w.carrier.within(ok, "INVITE", 2, testSDP("10.66.0.9", 30000))
		res := w.carrier.status(488)
		w.carrier.write(reAck(w.carrier, ok, res, 2))
		w.fra.silent(time.Second)
		w.end(ok, 3)
		for _, p := range w.packets {
			if p.To.Addr() == iadAddr.Addr() || p.To.Addr().String() == "10.66.0.9" {
				t.Fatal("a packet left for a held place")
			}
		}
	})
}

// Conforms: RFC 3261 section 14.2; RFC 3311 section 5.2
func TestGlare(t *testing.T) {
	run(t, nil, func(w *world) {
		ok, in := w.up("glare")
		w.carrier.within(ok, "INVITE", 2, strings.Replace(w.carrier.sdp, "30000", "31000", 1))
		re := w.fra.request(msg.INVITE)
		// B's own re-INVITE crosses: ours is pending there.
		w.fra.inside(in, "INVITE", 1, strings.Replace(w.fra.sdp, "30000", "31000", 1))
		if r := w.fra.status(491); r.CSeq().SeqNo != 1 {
			t.Error("491 to the wrong request")
		}
		w.fra.inside(in, "UPDATE", 2, strings.Replace(w.fra.sdp, "30000", "31000", 1))
		w.fra.status(491)
		// A's second one while its first is open: 500 with Retry-After.
		w.carrier.within(ok, "UPDATE", 3, w.carrier.sdp+"a=x:1\r\n")
		if r := w.carrier.status(500); value(r, "retry-after") == "" {
			t.Error("500 without Retry-After")
		}
		w.fra.reply(re, 200, w.fra.sdp)
		w.fra.request(msg.ACK)
		w.carrier.status(200)
		w.carrier.within(ok, "ACK", 2, "")
		synctest.Wait()
		w.end(ok, 4)
	})
}

// Conforms: RFC 3311 section 5.2
func TestUpdate(t *testing.T) {
	run(t, nil, func(w *world) {
		ok, _ := w.up("update")
		w.carrier.within(ok, "UPDATE", 2, "")
		if r := w.carrier.status(200); len(r.Body()) != 0 {
			t.Error("a refresh was answered with a body")
		}
		w.carrier.within(ok, "UPDATE", 3, strings.Replace(w.carrier.sdp, "30000", "31000", 1))
		up := w.fra.request(msg.UPDATE)
		w.fra.reply(up, 200, w.fra.sdp)
		if r := w.carrier.status(200); len(r.Body()) == 0 {
			t.Error("no answer")
		}
		// The same description again is a refresh: it is answered here.
		w.carrier.within(ok, "INVITE", 4, strings.Replace(w.carrier.sdp, "30000", "31000", 1))
		w.carrier.status(200)
		w.carrier.within(ok, "ACK", 4, "")
		w.fra.silent(time.Second)
		w.end(ok, 5)
	})
}

// An INVITE without an offer: B's 200 carries it, A's ACK the answer, and B's ACK waits for that.
// Conforms: RFC 3261 section 13.2.1; RFC 6337 section 2.2
func TestDelayedOffer(t *testing.T) {
	run(t, nil, func(w *world) {
		w.carrier.invite("delayed", "")
		in := w.fra.request(msg.INVITE)
		if len(in.Body()) != 0 || lists(in, "supported", "100rel") {
			t.Errorf("INVITE:\n%s", in)
		}
		w.fra.reply(in, 180, "")
		w.carrier.status(180)
		w.fra.reply(in, 200, w.fra.sdp)
		ok := w.carrier.status(200)
		if !strings.Contains(string(ok.Body()), "10.0.0.1") {
			t.Errorf("offer:\n%s", ok.Body())
		}
		w.fra.silent(300 * time.Millisecond)
		w.fra.reply(in, 200, w.fra.sdp) // its repetition is absorbed
		w.fra.silent(100 * time.Millisecond)
		w.carrier.within(ok, "ACK", 1, w.carrier.sdp)
		ack := w.fra.request(msg.ACK)
		if !strings.Contains(string(ack.Body()), "10.0.0.1") {
			t.Errorf("answer:\n%s", ack.Body())
		}
		synctest.Wait()
		// And a delayed re-offer.
		w.carrier.within(ok, "INVITE", 2, "")
		re := w.fra.request(msg.INVITE)
		if len(re.Body()) != 0 {
			t.Error("an offer was made up")
		}
		w.fra.reply(re, 200, w.fra.sdp)
		w.carrier.status(200)
		w.carrier.within(ok, "ACK", 2, w.carrier.sdp)
		if ack := w.fra.request(msg.ACK); len(ack.Body()) == 0 {
			t.Error("no answer in the second ACK")
		}
		synctest.Wait()
		w.end(ok, 3)
	})
}

// Conforms: RFC 3261 section 13.2.2.4
func TestDelayedOfferWithoutAnswer(t *testing.T) {
	run(t, nil, func(w *world) {
		w.carrier.invite("noanswer", "")
		in := w.fra.request(msg.INVITE)
		w.fra.reply(in, 200, w.fra.sdp)
		ok := w.carrier.status(200)
		w.carrier.within(ok, "ACK", 1, "")
		w.fra.request(msg.ACK)
		w.fra.reply(w.fra.request(msg.BYE), 200, "")
		w.carrier.reply(w.carrier.request(msg.BYE), 200, "")
		w.receipt()
	})
}

// A never sends its answer: B's 200 gets its ACK and then its BYE.
// Conforms: RFC 3261 section 13.3.1.4; RFC 3261 section 15
func TestDelayedOfferNeverAcknowledged(t *testing.T) {
	run(t, nil, func(w *world) {
		w.carrier.invite("never", "")
		in := w.fra.request(msg.INVITE)
		w.fra.reply(in, 200, w.fra.sdp)
		for range 11 {
			w.carrier.status(200)
		}
		w.fra.request(msg.ACK)
		w.fra.reply(w.fra.request(msg.BYE), 200, "")
		w.carrier.reply(w.carrier.request(msg.BYE), 200, "")
		if r := w.receipt(); r.Outcome.EndedBy != "edge" || r.Outcome.Cause != "no ACK" {
			t.Errorf("%+v", r.Outcome)
		}
	})
}

// Conforms: RFC 3960 section 3.1; RFC 6337 section 3.1
func TestEarlyMedia(t *testing.T) {
	run(t, nil, func(w *world) {
		w.carrier.invite("early", w.carrier.sdp)
		in := w.fra.request(msg.INVITE)
		w.fra.reply(in, 183, w.fra.sdp)
		early := w.carrier.status(183)
		if len(early.Body()) == 0 {
			t.Fatal("no early answer")
		}
		w.fra.reply(in, 180, "")
		if r := w.carrier.status(180); len(r.Body()) != 0 {
			t.Error("180 carries a body")
		}
		// Failover works after early media, too.
		w.fra.reply(in, 503, "")
		w.fra.request(msg.ACK)
		in = w.zrh.request(msg.INVITE)
		w.zrh.reply(in, 200, w.zrh.sdp)
		w.zrh.request(msg.ACK)
		ok := w.carrier.status(200)
		if len(ok.Body()) == 0 || ok.To().Params.GetOr("tag", "a") != early.To().Params.GetOr("tag", "b") {
			t.Errorf("200:\n%s", ok)
		}
		w.carrier.within(ok, "ACK", 1, "")
		w.carrier.within(ok, "BYE", 2, "")
		w.carrier.status(200)
		w.zrh.reply(w.zrh.request(msg.BYE), 200, "")
		w.receipt()
	})
}

// B may insist on them: they are acknowledged here. RFC 3262.
// Conforms: RFC 3262 section 4
func TestReliableFromB(t *testing.T) {
	run(t, nil, func(w *world) {
		w.carrier.invite("rel", w.carrier.sdp)
		in := w.fra.request(msg.INVITE)
		w.fra.reply(in, 183, w.fra.sdp, "Require: 100rel", "RSeq: 7")
		prack := w.fra.request(msg.PRACK)
		if got := value(prack, "rack"); got != "7 1 INVITE" || prack.CSeq().SeqNo != 2 {
			t.Errorf("RAck %q, CSeq %d", got, prack.CSeq().SeqNo)
		}
		w.fra.reply(prack, 200, "")
		if r := w.carrier.status(183); value(r, "rseq") != "" {
			t.Error("the caller was sent a reliable response that it did not ask for")
		}
		w.fra.reply(in, 183, w.fra.sdp, "Require: 100rel", "RSeq: 7") // again: dropped
		w.fra.reply(in, 180, "", "Require: 100rel", "RSeq: 9")        // one is missing: dropped
		w.fra.silent(100 * time.Millisecond)
		w.carrier.silent(100 * time.Millisecond)
		w.fra.reply(in, 200, "") // the answer was in the 183
		w.fra.request(msg.ACK)
		ok := w.carrier.status(200)
		if len(ok.Body()) == 0 {
			t.Error("no answer in the 200")
		}
		w.carrier.within(ok, "ACK", 1, "")
		w.end(ok, 2)
	})
}

// A may require them: they are repeated until its PRACK. RFC 3262 section 3.
// Conforms: RFC 3262 section 3
func TestReliableTowardA(t *testing.T) {
	run(t, nil, func(w *world) {
		w.carrier.invite("rel", w.carrier.sdp, "Require: 100rel")
		in := w.fra.request(msg.INVITE)
		if value(in, "require") != "" {
			t.Error("the requirement crossed")
		}
		w.fra.reply(in, 180, "")
		first := w.carrier.status(180)
		if value(first, "rseq") != "1" || !lists(first, "require", "100rel") {
			t.Errorf("180:\n%s", first)
		}
		start := time.Now()
		w.carrier.status(180)
		if took := time.Since(start); took != 500*time.Millisecond {
			t.Errorf("repeated after %v", took)
		}
		w.fra.reply(in, 200, w.fra.sdp) // waits for the PRACK
		w.fra.request(msg.ACK)
		w.carrier.within(first, "PRACK", 2, "", "RAck: 5 1 INVITE")
		w.carrier.status(481)
		w.carrier.within(first, "PRACK", 3, "", "RAck: 1 1 INVITE")
		w.carrier.status(200)
		ok := w.carrier.status(200)
		if ok.CSeq().MethodName != msg.INVITE {
			t.Error("no answer after PRACK")
		}
		w.carrier.within(ok, "ACK", 1, "")
		w.end(ok, 4)
	})
}

// Without a PRACK the call fails after 64*T1.
// Conforms: RFC 3262 section 3
func TestReliableNeverAcknowledged(t *testing.T) {
	run(t, nil, func(w *world) {
		w.carrier.invite("rel", w.carrier.sdp, "Require: 100rel")
		in := w.fra.request(msg.INVITE)
		w.fra.reply(in, 180, "")
		for range 7 {
			w.carrier.status(180)
		}
		w.carrier.status(408)
		w.fra.reply(w.fra.request(msg.CANCEL), 200, "")
		w.fra.reply(in, 487, "")
		w.receipt()
	})
}

// Conforms: RFC 4028 section 7; RFC 4028 section 8; RFC 4028 section 10
func TestSessionTimer(t *testing.T) {
	party := func(c *Config) { c.Parties[1].Refresh = 100 * time.Second }
	t.Run("we refresh by UPDATE", func(t *testing.T) {
		run(t, party, func(w *world) {
			w.carrier.invite("se", w.carrier.sdp)
			in := w.fra.request(msg.INVITE)
			if got := value(in, "session-expires"); got != "100" {
				t.Errorf("Session-Expires %q", got)
			}
			w.fra.reply(in, 422, "", "Min-SE: 200")
			w.fra.request(msg.ACK)
			in = w.fra.request(msg.INVITE)
			if got := value(in, "session-expires"); got != "200" || in.CSeq().SeqNo != 2 {
				t.Errorf("after 422: Session-Expires %q, CSeq %d", got, in.CSeq().SeqNo)
			}
			w.fra.reply(in, 200, w.fra.sdp, "Session-Expires: 200;refresher=uac", "Require: timer")
			w.fra.request(msg.ACK)
			ok := w.carrier.status(200)
			w.carrier.within(ok, "ACK", 1, "")
			start := time.Now()
			for range 2 {
				up := w.fra.request(msg.UPDATE)
				if took := time.Since(start).Round(time.Second); took != 100*time.Second {
					t.Errorf("refresh after %v", took)
				}
				start = time.Now()
				w.fra.reply(up, 200, "", "Session-Expires: 200;refresher=uac")
			}
			w.end(ok, 2)
		})
	})
	t.Run("the caller does not refresh", func(t *testing.T) {
		run(t, nil, func(w *world) {
			w.carrier.invite("se", w.carrier.sdp, "Supported: timer", "Session-Expires: 90")
			in := w.fra.request(msg.INVITE)
			w.fra.reply(in, 200, w.fra.sdp)
			w.fra.request(msg.ACK)
			ok := w.carrier.status(200)
			if got := value(ok, "session-expires"); got != "90;refresher=uac" || !lists(ok, "require", "timer") {
				t.Errorf("Session-Expires %q", got)
			}
			w.carrier.within(ok, "ACK", 1, "")
			start := time.Now()
			time.Sleep(30 * time.Second)
			w.carrier.within(ok, "UPDATE", 2, "", "Supported: timer", "Session-Expires: 90;refresher=uac")
			w.carrier.status(200)
			w.carrier.reply(w.carrier.request(msg.BYE), 200, "")
			if took := time.Since(start).Round(time.Second); took != 90*time.Second {
				t.Errorf("ended after %v", took)
			}
			w.fra.reply(w.fra.request(msg.BYE), 200, "")
			w.receipt()
		})
	})
	t.Run("too small", func(t *testing.T) {
		run(t, nil, func(w *world) {
			w.carrier.invite("se", w.carrier.sdp, "Supported: timer", "Session-Expires: 30")
			if r := w.carrier.status(422); value(r, "min-se") != "90" {
				t.Error("no Min-SE")
			}
		})
	})
}

// What is not done inside a dialog says so.
// Conforms: RFC 3261 section 12.2.2; RFC 3261 section 8.2
func TestInDialogRefusals(t *testing.T) {
	run(t, nil, func(w *world) {
		ok, in := w.up("misc")
		for i, c := range []struct {
			method string
			want   int
			more   string
		}{
			{"REFER", 400, "Refer-To: <sip:10.66.0.1>"},
			{"SUBSCRIBE", 489, "Event: presence"},
			{"NOTIFY", 489, "Event: presence"},
			{"MESSAGE", 405, "X: y"},
			{"OPTIONS", 200, "X: y"},
			{"PRACK", 481, "RAck: 1 1 INVITE"},
			{"INFO", 420, "Require: foo"},
		} {
			w.carrier.within(ok, c.method, 2+i, "", c.more)
			w.carrier.status(c.want)
		}
		w.carrier.within(ok, "INFO", 3, "") // a lower CSeq: RFC 3261 section 12.2.2
		w.carrier.status(500)
		w.fra.silent(time.Second)
		// A request of another source, or with another tag, is not in this dialog.
		w.zrh.tag = w.carrier.tag
		w.zrh.within(ok, "BYE", 20, "")
		w.zrh.status(481)
		w.carrier.tag = "another"
		w.carrier.within(ok, "BYE", 20, "")
		w.carrier.status(481)
		w.carrier.tag = "carriertag"
		// A Contact elsewhere changes the Request-URI and not the way.
		w.carrier.write(strings.Replace(w.carrier.compose("UPDATE", "sip:x@10.0.0.1", "misc", 21, ok.To().Params.GetOr("tag", ""), ""), "Contact: <sip:carrier@10.1.0.1:5060>", "Contact: <sip:new@10.66.0.1:5070;x=y>", 1))
		w.carrier.status(200)
		w.fra.inside(in, "BYE", 1, "")
		w.fra.status(200)
		bye := w.carrier.request(msg.BYE)
		if got := bye.Recipient.String(); got != "sip:new@10.66.0.1:5070;x=y" {
			t.Errorf("Request-URI %s", got)
		}
		w.carrier.reply(bye, 200, "")
		w.receipt()
	})
}

// Both hang up at once: each gets its 200.
// Conforms: RFC 3261 section 15.1.2
func TestCrossingByes(t *testing.T) {
	run(t, nil, func(w *world) {
		ok, in := w.up("byes")
		w.carrier.within(ok, "BYE", 2, "")
		w.fra.inside(in, "BYE", 1, "")
		w.carrier.status(200)
		got := map[string]bool{}
		for range 2 {
			switch m := w.fra.read(time.Second).(type) {
			case *msg.Request:
				got["BYE"] = true
				w.fra.reply(m, 200, "")
			case *msg.Response:
				got[m.StartLine()] = true
			}
		}
		if !got["BYE"] || !got["SIP/2.0 200 OK"] {
			t.Errorf("%v", got)
		}
		w.receipt()
	})
}

// The law may end a call that is up: a suspension, a revoked grant. No packet follows to the place that lost its permit.
func TestFencedCallEnds(t *testing.T) {
	run(t, nil, func(w *world) {
		ok, _ := w.up("fenced")
		_ = ok
		s := testSnapshot(t)
		w.fence.Swap(nil)
		n := len(w.packets)
		time.Sleep(3 * time.Second)
		for _, p := range w.packets[n:] {
			t.Errorf("a packet left under no policy:\n%s", p.Data)
		}
		w.fence.Swap(s)
		if v := w.edge.Calls(); len(v) != 0 {
			t.Errorf("%+v", v)
		}
		if r := w.receipt(); r.Outcome.EndedBy != "edge" {
			t.Errorf("%+v", r.Outcome)
		}
	})
}

func TestRunEndsCalls(t *testing.T) {
	run(t, nil, func(w *world) {
		w.up("shutdown")
		go func() {
			for range 2 {
				for _, p := range []*peer{w.carrier, w.fra} {
					if r, ok := p.read(5 * time.Second).(*msg.Request); ok && r.Method == msg.BYE {
						p.reply(r, 200, "")
					}
				}
			}
		}()
	})
}
