package sip

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	msg "github.com/emiago/sipgo/sip"
)

// reoffer sends a re-INVITE from the carrier and plays the other side's answer; it gives what each side got.
func (w *world) reoffer(ok *msg.Response, seq int, offer, answer string) (re *msg.Request, res *msg.Response) {
	w.t.Helper()
	w.carrier.within(ok, "INVITE", seq, offer)
	re = w.fra.request(msg.INVITE)
	w.fra.reply(re, 200, answer)
	w.fra.request(msg.ACK)
	res = w.carrier.status(200)
	w.carrier.within(ok, "ACK", seq, "")
	synctest.Wait()
	return re, res
}

// insideAck acknowledges a refusal of the INVITE with that number, sent by inside.
func (p *peer) insideAck(req *msg.Request, seq int) {
	p.w.t.Helper()
	rec := &recorder{UDPConn: p.conn}
	p.conn = rec
	p.inside(req, "ACK", seq, "")
	p.conn = rec.UDPConn
	p.write(strings.Replace(rec.last, "branch=z9hG4bKinACK", "branch=z9hG4bKinINVITE", 1))
}

// Conforms: RFC 3264 section 6.1; RFC 3264 section 8.4; RFC 6337 section 5.3
func TestAHoldIsAnsweredAtOnceForAPartyThatIsNotToldOfHolds(t *testing.T) {
	run(t, func(c *Config) { c.Parties[1].Hold = "local" }, func(w *world) {
		ok, _ := w.up("localhold")
		zero := strings.Replace(w.carrier.sdp, "c=IN IP4 10.1.0.1", "c=IN IP4 0.0.0.0", 1)
		for i, c := range []struct{ method, offer, want string }{
			{"INVITE", body(w.carrier.sdp, "a=sendrecv", "a=sendonly"), "a=recvonly"},
			{"INVITE", w.carrier.sdp, "a=sendrecv"},
			{"UPDATE", body(w.carrier.sdp, "a=sendrecv", "a=inactive"), "a=inactive"},
			{"UPDATE", w.carrier.sdp, "a=sendrecv"},
			{"INVITE", zero, "a=recvonly"},
			{"INVITE", w.carrier.sdp, "a=sendrecv"},
			{"INVITE", body(w.carrier.sdp, "a=sendrecv", "a=recvonly"), "a=sendonly"},
		} {
			start := time.Now()
			w.carrier.within(ok, c.method, 2+i, c.offer)
			res := w.carrier.status(200)
			if !strings.Contains(string(res.Body()), c.want) || time.Since(start) > 0 {
				t.Errorf("%d: want %s at once, got after %v\n%s", i, c.want, time.Since(start), res.Body())
			}
			if c.method == "INVITE" {
				w.carrier.within(ok, "ACK", 2+i, "")
			}
		}
		w.fra.silent(100 * time.Millisecond)
		// A codec is another matter: it is passed on.
		re, _ := w.reoffer(ok, 9, body(w.carrier.sdp, "AVP 8 101", "AVP 8"), body(w.fra.sdp, "AVP 8 101", "AVP 8"))
		if !strings.Contains(string(re.Body()), "AVP 8\r\n") {
			t.Errorf("re-INVITE:\n%s", re)
		}
		w.end(ok, 10)
	})
}

// Conforms: RFC 3264 section 6.1; RFC 3264 section 8.4
func TestAHoldThatIsRelayedHasTheDirectionOfTheOtherSide(t *testing.T) {
	run(t, nil, func(w *world) {
		ok, in := w.up("relayhold")
		for i, c := range []struct{ offer, told, answer, want string }{
			{"a=sendonly", "a=sendonly", "a=recvonly", "a=recvonly"},
			{"a=inactive", "a=inactive", "a=inactive", "a=inactive"},
			{"a=recvonly", "a=recvonly", "a=sendonly", "a=sendonly"},
			{"a=sendrecv", "a=sendrecv", "a=sendrecv", "a=sendrecv"},
		} {
			re, res := w.reoffer(ok, 2+i, body(w.carrier.sdp, "a=sendrecv", c.offer), body(w.fra.sdp, "a=sendrecv", c.answer))
			if !strings.Contains(string(re.Body()), c.told) || !strings.Contains(string(res.Body()), c.want) {
				t.Errorf("%s: told\n%s\nanswered\n%s", c.offer, re.Body(), res.Body())
			}
		}
		// The old way to hold is told as sendonly, and the address 0.0.0.0 crosses to nobody.
		re, _ := w.reoffer(ok, 6, strings.Replace(w.carrier.sdp, "c=IN IP4 10.1.0.1", "c=IN IP4 0.0.0.0", 1), body(w.fra.sdp, "a=sendrecv", "a=recvonly"))
		if !strings.Contains(string(re.Body()), "a=sendonly") || strings.Contains(string(re.Body()), "0.0.0.0") {
			t.Errorf("re-INVITE:\n%s", re.Body())
		}
		// The callee may hold, too.
		w.reoffer(ok, 7, w.carrier.sdp, w.fra.sdp)
		w.fra.inside(in, "INVITE", 1, body(w.fra.sdp, "a=sendrecv", "a=sendonly"))
		back := w.carrier.request(msg.INVITE)
		if !strings.Contains(string(back.Body()), "a=sendonly") {
			t.Errorf("re-INVITE:\n%s", back.Body())
		}
		w.carrier.reply(back, 200, body(w.carrier.sdp, "a=sendrecv", "a=recvonly"))
		w.carrier.request(msg.ACK)
		if res := w.fra.status(200); !strings.Contains(string(res.Body()), "a=recvonly") {
			t.Errorf("answer:\n%s", res.Body())
		}
		w.fra.inside(in, "ACK", 1, "")
		synctest.Wait()
		w.end(ok, 8)
	})
}

// Conforms: RFC 3264 section 8; RFC 4028 section 7.4
func TestARefreshWithTheSameDescriptionIsAnsweredHere(t *testing.T) {
	run(t, nil, func(w *world) {
		ok, in := w.up("refresh")
		w.carrier.within(ok, "INVITE", 2, w.carrier.sdp)
		first := w.carrier.status(200)
		w.carrier.within(ok, "ACK", 2, "")
		w.carrier.within(ok, "UPDATE", 3, body(w.carrier.sdp, "secretuser 42 1", "secretuser 42 2")) // a new version of the same
		if again := w.carrier.status(200); string(again.Body()) != string(first.Body()) {
			t.Errorf("the answer to a refresh changed:\n%s", again.Body())
		}
		// The callee's own refresh is answered as what it is: an offer of its own, for which our offer of the INVITE is no answer.
		w.fra.inside(in, "INVITE", 1, w.fra.sdp)
		if res := w.fra.status(200); !strings.Contains(string(res.Body()), "AVP 8 101") {
			t.Errorf("answer:\n%s", res.Body())
		}
		w.fra.inside(in, "ACK", 1, "")
		w.carrier.silent(100 * time.Millisecond)
		w.end(ok, 4)
	})
}

// Conforms: RFC 3264 section 8.3.1; RFC 3264 section 8.3.2; RFC 3261 section 14.2
func TestChangesOfAddressAndCodecArePassedOnUnderOurOwnAddress(t *testing.T) {
	run(t, nil, func(w *world) {
		ok, _ := w.up("change")
		re, res := w.reoffer(ok, 2, strings.NewReplacer("10.1.0.1", "10.1.0.77", "30000", "31000").Replace(w.carrier.sdp), w.fra.sdp)
		for _, b := range []string{string(re.Body()), string(res.Body())} {
			if strings.Contains(b, "10.1.0.77") || strings.Contains(b, "31000") || !strings.Contains(b, "10.0.0.1") {
				t.Errorf("description:\n%s", b)
			}
		}
		re, res = w.reoffer(ok, 3, strings.NewReplacer("AVP 8 101", "AVP 0 101", "8 PCMA", "0 PCMU").Replace(w.carrier.sdp),
			strings.NewReplacer("AVP 8 101", "AVP 0 101", "8 PCMA", "0 PCMU").Replace(w.fra.sdp))
		for _, b := range []string{string(re.Body()), string(res.Body())} {
			if !strings.Contains(b, "AVP 0 101") || !strings.Contains(b, "PCMU") {
				t.Errorf("description:\n%s", b)
			}
		}
		w.end(ok, 4)
	})
}

// Conforms: RFC 3261 section 14.1; RFC 3261 section 14.2; RFC 6337 section 3.1.1
func TestAReinviteWithoutAnOfferAsksTheOtherSideForOne(t *testing.T) {
	run(t, nil, func(w *world) {
		ok, in := w.up("askoffer")
		w.fra.inside(in, "INVITE", 1, "")
		re := w.carrier.request(msg.INVITE)
		if len(re.Body()) != 0 {
			t.Errorf("an offer was made up:\n%s", re)
		}
		w.carrier.reply(re, 200, w.carrier.sdp)
		offer := w.fra.status(200)
		if !strings.Contains(string(offer.Body()), "10.0.0.1") {
			t.Errorf("200:\n%s", offer)
		}
		w.carrier.silent(100 * time.Millisecond) // its ACK waits for the answer
		w.fra.inside(in, "ACK", 1, w.fra.sdp)
		if ack := w.carrier.request(msg.ACK); !strings.Contains(string(ack.Body()), "10.0.0.1") {
			t.Errorf("ACK:\n%s", ack)
		}
		synctest.Wait()
		w.end(ok, 2)
	})
}

// Conforms: RFC 3261 section 14.1; RFC 6141 section 3.1
func TestARefusedOrForbiddenReinviteLeavesTheSessionAsItWas(t *testing.T) {
	run(t, nil, func(w *world) {
		ok, _ := w.up("leaves")
		for i, c := range []struct {
			offer  string
			status int
		}{
			{testSDP("10.66.0.9", 30000), 0},                     // media at a held place: refused here
			{"v=0\r\nnonsense\r\n", 0},                           // cannot be read: refused here
			{body(w.carrier.sdp, "AVP 8 101", "AVP 8"), 488},     // refused by the other side
			{body(w.carrier.sdp, "AVP 8 101", "AVP 8"), 415},     // so is this
			{body(w.carrier.sdp, "AVP 8 101", "AVP 101 8"), 603}, // and this
		} {
			w.carrier.within(ok, "INVITE", 2+i, c.offer)
			want := 488
			if c.status != 0 {
				w.fra.reply(w.fra.request(msg.INVITE), c.status, "")
				w.fra.request(msg.ACK)
				want = c.status
			}
			res := w.carrier.status(want)
			w.carrier.write(reAck(w.carrier, ok, res, 2+i))
		}
		// What was agreed before still is: the same description is a mere refresh.
		w.carrier.within(ok, "INVITE", 7, w.carrier.sdp)
		if res := w.carrier.status(200); !strings.Contains(string(res.Body()), "AVP 8 101") {
			t.Errorf("200:\n%s", res.Body())
		}
		w.carrier.within(ok, "ACK", 7, "")
		w.fra.silent(100 * time.Millisecond)
		for _, p := range w.packets {
			if p.To.Addr().String() == "10.66.0.9" {
				t.Fatal("a packet left for a held place")
			}
		}
		w.end(ok, 8)
	})
}

// The other side's re-INVITE crosses: it says 491 and so do we. We own the Call-ID there and wait longer; the caller's INVITE waits with its 100.
// Conforms: RFC 3261 section 14.1; RFC 3261 section 14.2
func TestGlareIsSolvedWhileTheCallersInviteWaits(t *testing.T) {
	run(t, nil, func(w *world) {
		ok, in := w.up("crossing")
		w.carrier.within(ok, "INVITE", 2, body(w.carrier.sdp, "30000", "31000"))
		w.carrier.status(100)
		re := w.fra.request(msg.INVITE)
		w.fra.inside(in, "INVITE", 1, body(w.fra.sdp, "30000", "33000"))
		w.fra.reply(re, 491, "")
		start := time.Now()
		w.fra.status(491)
		w.fra.insideAck(in, 1)
		w.fra.request(msg.ACK)
		time.Sleep(time.Second) // it owns no Call-ID: it tries again first, and finds the caller's still waiting
		w.fra.inside(in, "INVITE", 2, body(w.fra.sdp, "30000", "33000"))
		w.fra.status(491)
		w.fra.insideAck(in, 2)
		again := w.fra.request(msg.INVITE)
		if took := time.Since(start); took < 2100*time.Millisecond || took > 4*time.Second || string(again.Body()) != string(re.Body()) || again.CSeq().SeqNo <= re.CSeq().SeqNo {
			t.Errorf("again after %v:\n%s", took, again)
		}
		w.fra.reply(again, 200, w.fra.sdp)
		w.fra.request(msg.ACK)
		w.carrier.status(200)
		w.carrier.within(ok, "ACK", 2, "")
		synctest.Wait()
		// Now the other side's goes through, and its glare at the caller is solved the same way: there the caller owns the Call-ID, we wait less.
		w.fra.inside(in, "INVITE", 3, body(w.fra.sdp, "30000", "33000"))
		back := w.carrier.request(msg.INVITE)
		start = time.Now()
		w.carrier.reply(back, 491, "")
		w.carrier.request(msg.ACK)
		back = w.carrier.request(msg.INVITE)
		if took := time.Since(start); took > 2*time.Second {
			t.Errorf("again after %v", took)
		}
		w.carrier.reply(back, 200, w.carrier.sdp)
		w.carrier.request(msg.ACK)
		w.fra.status(200)
		w.fra.inside(in, "ACK", 3, "")
		synctest.Wait()
		w.end(ok, 3)
	})
}

// Conforms: RFC 3261 section 14.1
func TestAPeerThatAlwaysSays491IsNotAskedForEver(t *testing.T) {
	run(t, nil, func(w *world) {
		ok, _ := w.up("stubborn")
		w.carrier.within(ok, "INVITE", 2, body(w.carrier.sdp, "30000", "31000"))
		for range 1 + maxGlare {
			w.fra.reply(w.fra.request(msg.INVITE), 491, "")
			w.fra.request(msg.ACK)
		}
		res := w.carrier.status(491)
		w.carrier.write(reAck(w.carrier, ok, res, 2))
		w.end(ok, 3)
	})
}

// Conforms: RFC 3261 section 14.1; RFC 3261 section 9.1
func TestACancelWhileTheGlareWaitsEndsIt(t *testing.T) {
	run(t, nil, func(w *world) {
		ok, _ := w.up("calm")
		uri := ok.Contact().Address
		raw := w.carrier.compose("INVITE", uri.String(), "calm", 2, ok.To().Params.GetOr("tag", ""), body(w.carrier.sdp, "30000", "31000"))
		w.carrier.write(raw)
		w.fra.reply(w.fra.request(msg.INVITE), 491, "")
		w.fra.request(msg.ACK)
		cancel, _, _ := strings.Cut(strings.NewReplacer("INVITE "+uri.String(), "CANCEL "+uri.String(), "CSeq: 2 INVITE", "CSeq: 2 CANCEL").Replace(raw), "Contact:")
		w.carrier.write(cancel + "Content-Length: 0\r\n\r\n")
		w.carrier.status(200)
		res := w.carrier.status(487)
		w.carrier.write(reAck(w.carrier, ok, res, 2))
		w.fra.silent(5 * time.Second)
		w.end(ok, 3)
	})
}

// Conforms: RFC 3261 section 14.2; RFC 3311 section 5.2
func TestASecondOfferBeforeTheFirstIsAnsweredIsToldToWait(t *testing.T) {
	run(t, nil, func(w *world) {
		w.carrier.invite("second", w.carrier.sdp)
		in := w.fra.request(msg.INVITE)
		w.fra.reply(in, 180, "")
		ring := w.carrier.status(180)
		w.carrier.within(ring, "INVITE", 2, body(w.carrier.sdp, "30000", "31000"))
		early := w.carrier.status(500)
		w.carrier.write(reAck(w.carrier, ring, early, 2))
		if _, ok := number(early, "retry-after"); !ok {
			t.Error("no Retry-After")
		}
		w.fra.reply(in, 200, w.fra.sdp)
		w.fra.request(msg.ACK)
		ok := w.carrier.status(200)
		w.carrier.within(ok, "ACK", 1, "")
		w.carrier.within(ok, "INVITE", 3, body(w.carrier.sdp, "30000", "31000"))
		re := w.fra.request(msg.INVITE)
		w.carrier.within(ok, "INVITE", 4, body(w.carrier.sdp, "30000", "32000"))
		res := w.carrier.status(500)
		if n, ok := number(res, "retry-after"); !ok || n > 10 {
			t.Errorf("Retry-After %q", value(res, "retry-after"))
		}
		w.carrier.write(reAck(w.carrier, ok, res, 4))
		w.fra.reply(re, 200, w.fra.sdp)
		w.fra.request(msg.ACK)
		w.carrier.status(200)
		w.carrier.within(ok, "ACK", 3, "")
		synctest.Wait()
		w.end(ok, 5)
	})
}

// Conforms: RFC 3311 section 5.2
func TestARetryAfterOfTheOtherSideIsPassedOn(t *testing.T) {
	run(t, nil, func(w *world) {
		ok, _ := w.up("patience")
		w.carrier.within(ok, "UPDATE", 2, body(w.carrier.sdp, "30000", "31000"))
		w.fra.reply(w.fra.request(msg.UPDATE), 500, "", "Retry-After: 7")
		if got := value(w.carrier.status(500), "retry-after"); got != "7" {
			t.Errorf("Retry-After %q", got)
		}
		w.end(ok, 3)
	})
}

// Conforms: RFC 3261 section 11.2; RFC 3261 section 12.2.2
func TestOptionsInsideADialogAreAnsweredAndChangeNothing(t *testing.T) {
	run(t, nil, func(w *world) {
		w.carrier.invite("options", w.carrier.sdp)
		in := w.fra.request(msg.INVITE)
		w.fra.reply(in, 180, "")
		ring := w.carrier.status(180)
		w.carrier.within(ring, "OPTIONS", 2, "")
		if res := w.carrier.status(200); !lists(res, "allow", "UPDATE") || !lists(res, "supported", "100rel") {
			t.Errorf("200:\n%s", res)
		}
		w.fra.inside(in, "OPTIONS", 1, "")
		w.fra.status(200)
		w.fra.reply(in, 200, w.fra.sdp)
		w.fra.request(msg.ACK)
		ok := w.carrier.status(200)
		w.carrier.within(ok, "ACK", 1, "")
		w.fra.inside(in, "OPTIONS", 2, "")
		w.fra.status(200)
		w.end(ok, 3)
	})
}

// A callee that speaks again at once is heard as soon as the caller's ACK is here, and may take it back until then.
// Conforms: RFC 3261 section 14.2
func TestAReinviteBehindTheAnswerWaitsForTheCallersAck(t *testing.T) {
	for name, cancelled := range map[string]bool{"heard": false, "taken back": true} {
		t.Run(name, func(t *testing.T) {
			run(t, nil, func(w *world) {
				w.carrier.invite("eager", w.carrier.sdp)
				in := w.fra.request(msg.INVITE)
				w.fra.reply(in, 200, w.fra.sdp)
				w.fra.request(msg.ACK)
				ok := w.carrier.status(200)
				raw := w.fra.inside(in, "INVITE", 1, strings.Replace(w.fra.sdp, "a=sendrecv", "a=sendonly", 1))
				w.fra.status(100)
				w.carrier.silent(300 * time.Millisecond)
				if cancelled {
					w.fra.write(cancelOf(raw))
				}
				w.carrier.within(ok, "ACK", 1, "")
				if !cancelled {
					re := w.carrier.request(msg.INVITE)
					w.carrier.reply(re, 200, strings.Replace(w.carrier.sdp, "a=sendrecv", "a=recvonly", 1))
					w.carrier.request(msg.ACK)
					w.fra.status(200)
					w.fra.inside(in, "ACK", 1, "")
				} else {
					w.fra.status(200)
					w.fra.status(487)
					w.carrier.silent(300 * time.Millisecond)
				}
				synctest.Wait()
				w.end(ok, 2)
			})
		})
	}
}
