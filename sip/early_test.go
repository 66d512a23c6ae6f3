package sip

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	msg "github.com/emiago/sipgo/sip"
)

// body is a description with one thing changed.
func body(sdp, old, now string) string { return strings.Replace(sdp, old, now, 1) }

// withAllow says what a caller takes.
const withAllow = "Allow: INVITE, ACK, CANCEL, BYE, PRACK, UPDATE"

// early rings reliably on both sides: the caller has its answer by a 183 that it acknowledged, and so has the edge B's.
func (w *world) early(callID string, more ...string) (ring *msg.Response, in *msg.Request) {
	w.t.Helper()
	w.carrier.invite(callID, w.carrier.sdp, append([]string{"Require: 100rel", withAllow}, more...)...)
	in = w.fra.request(msg.INVITE)
	w.fra.reply(in, 183, w.fra.sdp, "Require: 100rel", "RSeq: 1")
	w.fra.reply(w.fra.request(msg.PRACK), 200, "")
	ring = w.carrier.status(183)
	w.carrier.within(ring, "PRACK", 2, "", "RAck: 1 1 INVITE")
	w.carrier.status(200)
	synctest.Wait()
	return ring, in
}

// finish answers what rings and hangs up again; seq is the caller's next number.
func (w *world) finish(in *msg.Request, seq int) {
	w.t.Helper()
	w.fra.reply(in, 200, "")
	w.fra.request(msg.ACK)
	ok := w.carrier.status(200)
	w.carrier.within(ok, "ACK", 1, "")
	synctest.Wait()
	w.end(ok, seq)
}

// Conforms: RFC 3311 section 5.1; RFC 3311 section 5.2
func TestAnUpdateBeforeTheAnswerReachesTheOtherSidesEarlyDialog(t *testing.T) {
	run(t, nil, func(w *world) {
		ring, in := w.early("update")
		w.carrier.within(ring, "UPDATE", 3, body(w.carrier.sdp, "AVP 8 101", "AVP 8"))
		up := w.fra.request(msg.UPDATE)
		if up.CSeq().SeqNo != 3 || up.To().Params.GetOr("tag", "") != "fratag" || !strings.Contains(string(up.Body()), "AVP 8\r\n") {
			t.Errorf("UPDATE:\n%s", up)
		}
		w.fra.reply(up, 200, body(w.fra.sdp, "AVP 8 101", "AVP 8"))
		if res := w.carrier.status(200); !strings.Contains(string(res.Body()), "AVP 8\r\n") || !strings.Contains(string(res.Body()), "10.0.0.1") {
			t.Errorf("answer:\n%s", res)
		}
		w.fra.reply(in, 200, "")
		w.fra.request(msg.ACK)
		ok := w.carrier.status(200)
		if len(ok.Body()) != 0 { // another offer and answer came since: the 200 has nothing to repeat
			t.Errorf("200:\n%s", ok)
		}
		w.carrier.within(ok, "ACK", 1, "")
		synctest.Wait()
		w.end(ok, 4)
	})
}

// Conforms: RFC 3311 section 5.1; RFC 3311 section 5.2
func TestTheCalleeMayUpdateBeforeItAnswers(t *testing.T) {
	run(t, nil, func(w *world) {
		_, in := w.early("calleeupdate")
		w.fra.inside(in, "UPDATE", 1, body(w.fra.sdp, "AVP 8 101", "AVP 8"))
		up := w.carrier.request(msg.UPDATE)
		if !strings.Contains(string(up.Body()), "AVP 8\r\n") {
			t.Errorf("UPDATE:\n%s", up)
		}
		w.carrier.reply(up, 200, body(w.carrier.sdp, "AVP 8 101", "AVP 8"))
		if res := w.fra.status(200); !strings.Contains(string(res.Body()), "AVP 8\r\n") {
			t.Errorf("answer:\n%s", res)
		}
		w.finish(in, 3)
	})
}

// Conforms: RFC 3311 section 5.2
func TestAnUpdateBeforeTheFirstAnswerIsToldToWait(t *testing.T) {
	run(t, nil, func(w *world) {
		w.carrier.invite("soon", w.carrier.sdp, withAllow)
		in := w.fra.request(msg.INVITE)
		w.fra.reply(in, 183, w.fra.sdp)
		ring := w.carrier.status(183)
		// The caller's own offer has no answer that counts yet.
		w.carrier.within(ring, "UPDATE", 2, body(w.carrier.sdp, "AVP 8 101", "AVP 8"))
		res := w.carrier.status(500)
		if n, ok := number(res, "retry-after"); !ok || n > 10 {
			t.Errorf("Retry-After %q", value(res, "retry-after"))
		}
		// Ours toward the callee has none either.
		w.fra.inside(in, "UPDATE", 1, body(w.fra.sdp, "AVP 8 101", "AVP 8"))
		w.fra.status(491)
		w.finish(in, 3)
	})
}

// Conforms: RFC 3311 section 5.2
func TestUpdatesThatCrossBeforeTheAnswerAreGlare(t *testing.T) {
	run(t, nil, func(w *world) {
		ring, in := w.early("cross")
		w.carrier.within(ring, "UPDATE", 3, body(w.carrier.sdp, "AVP 8 101", "AVP 8"))
		up := w.fra.request(msg.UPDATE)
		w.carrier.within(ring, "UPDATE", 4, body(w.carrier.sdp, "AVP 8 101", "AVP 101 8"))
		if res := w.carrier.status(500); value(res, "retry-after") == "" {
			t.Error("a second UPDATE while the first waits: no Retry-After")
		}
		w.fra.inside(in, "UPDATE", 1, body(w.fra.sdp, "AVP 8 101", "AVP 8"))
		w.fra.status(491)
		w.fra.reply(up, 200, body(w.fra.sdp, "AVP 8 101", "AVP 8"))
		w.carrier.status(200)
		w.finish(in, 5)
	})
}

// Conforms: RFC 3311 section 5.2; RFC 3264 section 8.4
func TestAHoldBeforeTheAnswerIsAnsweredHere(t *testing.T) {
	run(t, nil, func(w *world) {
		ring, in := w.early("earlyhold")
		for i, c := range []struct{ say, want string }{{"a=sendonly", "a=recvonly"}, {"a=inactive", "a=inactive"}, {"a=sendrecv", "a=sendrecv"}} {
			w.carrier.within(ring, "UPDATE", 3+i, body(w.carrier.sdp, "a=sendrecv", c.say))
			if res := w.carrier.status(200); !strings.Contains(string(res.Body()), c.want) {
				t.Errorf("%s:\n%s", c.say, res.Body())
			}
		}
		w.fra.silent(100 * time.Millisecond)
		w.finish(in, 6)
	})
}

// A callee that takes no UPDATE is not sent one: a new address is ours to follow, a new codec must wait for the answer.
// Conforms: RFC 3311 section 5.1
func TestACalleeWithoutUpdateIsNotSentOne(t *testing.T) {
	run(t, nil, func(w *world) {
		w.carrier.invite("noupdate", w.carrier.sdp, "Require: 100rel", withAllow)
		in := w.fra.request(msg.INVITE)
		w.fra.write(strings.Replace(rawReply(w.fra, in, 183, w.fra.sdp, "Require: 100rel", "RSeq: 1"), "CANCEL, UPDATE, PRACK", "CANCEL, PRACK", 1))
		w.fra.reply(w.fra.request(msg.PRACK), 200, "")
		ring := w.carrier.status(183)
		w.carrier.within(ring, "PRACK", 2, "", "RAck: 1 1 INVITE")
		w.carrier.status(200)
		w.carrier.within(ring, "UPDATE", 3, body(w.carrier.sdp, "30000", "31000"))
		if res := w.carrier.status(200); len(res.Body()) == 0 {
			t.Error("a new address was not answered")
		}
		w.carrier.within(ring, "UPDATE", 4, body(w.carrier.sdp, "AVP 8 101", "AVP 101 8"))
		if res := w.carrier.status(500); value(res, "retry-after") == "" {
			t.Error("no Retry-After")
		}
		w.carrier.within(ring, "UPDATE", 5, testSDP("10.66.0.9", 30000)) // a held place
		w.carrier.status(488)
		w.finish(in, 6)
	})
}

// The hop fails while the caller's UPDATE is on its way there: the caller hears of no lost dialog, and the next hop is offered what it said last.
// Conforms: RFC 3311 section 5.2
func TestAHopThatFailsUnderAnUpdateCostsTheUpdateAlone(t *testing.T) {
	run(t, nil, func(w *world) {
		ring, in := w.early("lost")
		w.carrier.within(ring, "UPDATE", 3, body(w.carrier.sdp, "AVP 8 101", "AVP 8"))
		up := w.fra.request(msg.UPDATE)
		w.fra.reply(in, 503, "")
		w.fra.request(msg.ACK)
		if res := w.carrier.status(500); value(res, "retry-after") == "" {
			t.Error("no Retry-After")
		}
		next := w.zrh.request(msg.INVITE)
		w.fra.reply(up, 200, w.fra.sdp)                                            // too late for anybody
		w.carrier.within(ring, "UPDATE", 4, body(w.carrier.sdp, "30000", "31000")) // nobody is there to be heard by it
		w.carrier.status(500)
		w.zrh.reply(next, 200, w.zrh.sdp)
		w.zrh.request(msg.ACK)
		ok := w.carrier.status(200)
		w.carrier.within(ok, "ACK", 1, "")
		w.carrier.within(ok, "BYE", 5, "")
		w.carrier.status(200)
		w.zrh.reply(w.zrh.request(msg.BYE), 200, "")
		w.receipt()
	})
}

// Conforms: RFC 3311 section 5.2; RFC 3261 section 14.1
func TestA491ToOurEarlyUpdateIsTriedAgain(t *testing.T) {
	run(t, nil, func(w *world) {
		ring, in := w.early("again")
		w.carrier.within(ring, "UPDATE", 3, body(w.carrier.sdp, "AVP 8 101", "AVP 8"))
		w.fra.reply(w.fra.request(msg.UPDATE), 491, "")
		start := time.Now()
		up := w.fra.request(msg.UPDATE)
		if took := time.Since(start); took < 2100*time.Millisecond || took > 4*time.Second {
			t.Errorf("again after %v", took)
		}
		w.fra.reply(up, 200, body(w.fra.sdp, "AVP 8 101", "AVP 8"))
		w.carrier.status(200)
		w.finish(in, 4)
	})
}

// Conforms: RFC 3262 section 5; RFC 6337 section 3.1.2
func TestAnOfferInAPrackIsAnsweredInItsOwn200(t *testing.T) {
	for name, c := range map[string]struct {
		offer  func(string) string
		relays bool
	}{
		"another codec list goes on as UPDATE": {func(s string) string { return body(s, "AVP 8 101", "AVP 8") }, true},
		"a hold is answered here":              {func(s string) string { return body(s, "a=sendrecv", "a=sendonly") }, false},
	} {
		t.Run(name, func(t *testing.T) {
			run(t, nil, func(w *world) {
				w.carrier.invite("prack", w.carrier.sdp, "Require: 100rel", withAllow)
				in := w.fra.request(msg.INVITE)
				w.fra.reply(in, 183, w.fra.sdp, "Require: 100rel", "RSeq: 1")
				w.fra.reply(w.fra.request(msg.PRACK), 200, "")
				ring := w.carrier.status(183)
				w.carrier.within(ring, "PRACK", 2, c.offer(w.carrier.sdp), "RAck: 1 1 INVITE")
				if c.relays {
					up := w.fra.request(msg.UPDATE)
					w.fra.reply(in, 200, "") // picked up meanwhile: the caller's 200 waits for its PRACK
					w.fra.request(msg.ACK)
					w.carrier.silent(300 * time.Millisecond)
					w.fra.reply(up, 200, c.offer(w.fra.sdp))
				}
				res := w.carrier.status(200)
				if res.CSeq().MethodName != msg.PRACK || len(res.Body()) == 0 {
					t.Errorf("200:\n%s", res)
				}
				if !c.relays {
					w.fra.reply(in, 200, "")
					w.fra.request(msg.ACK)
				}
				ok := w.carrier.status(200)
				if ok.CSeq().MethodName != msg.INVITE || len(ok.Body()) != 0 {
					t.Errorf("200:\n%s", ok)
				}
				w.carrier.within(ok, "ACK", 1, "")
				synctest.Wait()
				w.end(ok, 3)
			})
		})
	}
}

// The first offer has no answer yet, or the offer names nothing that is in use: the response is acknowledged all the same and the session stays.
// Conforms: RFC 3262 section 5
func TestAnOfferInAPrackThatCannotBeTakenLeavesTheCallAsItWas(t *testing.T) {
	for _, early := range []bool{false, true} {
		run(t, nil, func(w *world) {
			w.carrier.invite("badprack", w.carrier.sdp, "Require: 100rel")
			in := w.fra.request(msg.INVITE)
			sdp, offer := "", w.carrier.sdp
			if early {
				sdp, offer = w.fra.sdp, strings.NewReplacer("AVP 8 101", "AVP 0", "8 PCMA", "0 PCMU").Replace(w.carrier.sdp)
			}
			w.fra.reply(in, 183, sdp)
			ring := w.carrier.status(183)
			w.carrier.within(ring, "PRACK", 2, offer, "RAck: 1 1 INVITE")
			w.carrier.status(488)
			w.carrier.silent(time.Second) // it is not repeated any more
			w.fra.reply(in, 200, w.fra.sdp)
			w.fra.request(msg.ACK)
			ok := w.carrier.status(200)
			if len(ok.Body()) == 0 {
				t.Error("no answer in the 200")
			}
			w.carrier.within(ok, "ACK", 1, "")
			synctest.Wait()
			w.end(ok, 3)
		})
	}
}

// Conforms: RFC 3262 section 3
func TestAPrackThatFitsNothingIs481(t *testing.T) {
	run(t, nil, func(w *world) {
		w.carrier.invite("rack", w.carrier.sdp, "Require: 100rel")
		in := w.fra.request(msg.INVITE)
		w.fra.reply(in, 180, "")
		ring := w.carrier.status(180)
		for i, rack := range []string{"2 1 INVITE", "1 2 INVITE", "1 1 UPDATE", "1 1", "x"} {
			w.carrier.within(ring, "PRACK", 2+i, "", "RAck: "+rack)
			w.carrier.status(481)
		}
		w.carrier.within(ring, "PRACK", 7, "", "RAck: 1 1 INVITE")
		w.carrier.status(200)
		w.carrier.within(ring, "PRACK", 8, "", "RAck: 1 1 INVITE") // it was acknowledged already
		w.carrier.status(481)
		w.fra.reply(in, 200, w.fra.sdp)
		w.fra.request(msg.ACK)
		ok := w.carrier.status(200)
		w.carrier.within(ok, "ACK", 1, "")
		synctest.Wait()
		w.end(ok, 9)
	})
}

// B offers in a reliable 183, the caller answers in its PRACK, and that answer goes into ours. No 2xx and no ACK carries a description then.
// Conforms: RFC 3262 section 5; RFC 3261 section 13.2.1
func TestADelayedOfferMayComeInAReliableProvisionalResponse(t *testing.T) {
	run(t, nil, func(w *world) {
		w.carrier.invite("late", "", "Supported: 100rel", withAllow)
		in := w.fra.request(msg.INVITE)
		if !lists(in, "supported", "100rel") {
			t.Errorf("INVITE:\n%s", in)
		}
		w.fra.reply(in, 183, w.fra.sdp, "Require: 100rel", "RSeq: 4")
		ring := w.carrier.status(183)
		if !lists(ring, "require", "100rel") || !strings.Contains(string(ring.Body()), "10.0.0.1") {
			t.Errorf("183:\n%s", ring)
		}
		w.fra.silent(300 * time.Millisecond) // its PRACK waits for the answer
		w.carrier.within(ring, "PRACK", 2, w.carrier.sdp, "RAck: 1 1 INVITE")
		prack := w.fra.request(msg.PRACK)
		if value(prack, "rack") != "4 1 INVITE" || !strings.Contains(string(prack.Body()), "10.0.0.1") {
			t.Errorf("PRACK:\n%s", prack)
		}
		w.fra.reply(prack, 200, "")
		w.carrier.status(200)
		synctest.Wait()
		// Both sides' first offer and answer are complete: UPDATE works now.
		w.carrier.within(ring, "UPDATE", 3, body(w.carrier.sdp, "AVP 8 101", "AVP 8"))
		w.fra.reply(w.fra.request(msg.UPDATE), 200, body(w.fra.sdp, "AVP 8 101", "AVP 8"))
		w.carrier.status(200)
		w.fra.reply(in, 200, "")
		if ack := w.fra.request(msg.ACK); len(ack.Body()) != 0 {
			t.Errorf("ACK:\n%s", ack)
		}
		ok := w.carrier.status(200)
		if len(ok.Body()) != 0 {
			t.Errorf("200:\n%s", ok)
		}
		w.carrier.within(ok, "ACK", 1, "")
		synctest.Wait()
		w.end(ok, 4)
	})
}

// The hop fails before the caller answered its offer: the answer comes to nobody, and is what the next hop is offered.
// Conforms: RFC 3262 section 5; RFC 3264 section 4
func TestTheAnswerToAnOfferOfALostHopIsOfferedToTheNext(t *testing.T) {
	run(t, nil, func(w *world) {
		w.carrier.invite("orphan", "", "Supported: 100rel", withAllow)
		in := w.fra.request(msg.INVITE)
		w.fra.reply(in, 183, w.fra.sdp, "Require: 100rel", "RSeq: 4")
		ring := w.carrier.status(183)
		w.fra.reply(in, 503, "")
		w.fra.request(msg.ACK)
		w.zrh.silent(200 * time.Millisecond)
		w.carrier.within(ring, "PRACK", 2, w.carrier.sdp, "RAck: 1 1 INVITE")
		next := w.zrh.request(msg.INVITE)
		if !strings.Contains(string(next.Body()), "AVP 8 101") {
			t.Errorf("INVITE:\n%s", next)
		}
		w.carrier.status(200)
		w.zrh.reply(next, 200, w.zrh.sdp)
		w.zrh.request(msg.ACK)
		ok := w.carrier.status(200)
		if len(ok.Body()) != 0 {
			t.Errorf("200:\n%s", ok)
		}
		w.carrier.within(ok, "ACK", 1, "")
		w.carrier.within(ok, "BYE", 3, "")
		w.carrier.status(200)
		w.zrh.reply(w.zrh.request(msg.BYE), 200, "")
		w.receipt()
	})
}

// Conforms: RFC 3262 section 5
func TestAPrackWithoutTheAnswerThatItOwesEndsTheCall(t *testing.T) {
	run(t, nil, func(w *world) {
		w.carrier.invite("owes", "", "Supported: 100rel")
		in := w.fra.request(msg.INVITE)
		w.fra.reply(in, 183, w.fra.sdp, "Require: 100rel", "RSeq: 1")
		ring := w.carrier.status(183)
		w.carrier.within(ring, "PRACK", 2, "", "RAck: 1 1 INVITE")
		w.carrier.status(488)
		w.carrier.status(480)
		w.fra.reply(w.fra.request(msg.CANCEL), 200, "")
		w.fra.reply(in, 487, "")
		w.fra.request(msg.ACK)
		w.receipt()
	})
}

// A caller without 100rel could not answer early: the hop is not told that it may offer so.
// Conforms: RFC 3262 section 4
func TestACalleeMayNotOfferEarlyToACallerWithout100rel(t *testing.T) {
	run(t, nil, func(w *world) {
		w.carrier.invite("plain", "")
		in := w.fra.request(msg.INVITE)
		if lists(in, "supported", "100rel") {
			t.Errorf("INVITE:\n%s", in)
		}
		w.fra.reply(in, 421, "", "Require: 100rel")
		w.fra.request(msg.ACK)
		w.carrier.status(480)
		w.receipt()
	})
}

// Conforms: RFC 3261 section 21.4.16; RFC 3261 section 21.4.15
func TestACalleeThatWantsOrRefuses100relIsAskedAgain(t *testing.T) {
	for status, c := range map[int]struct{ first, more, again string }{
		421: {"", "Require: 100rel", "100rel"},
		420: {"100rel", "Unsupported: 100rel", ""},
	} {
		run(t, func(cfg *Config) { cfg.Parties[1].Rel100 = "pass" }, func(w *world) {
			more := []string{}
			if c.first != "" {
				more = append(more, "Require: 100rel")
			}
			w.carrier.invite("extension", w.carrier.sdp, more...)
			in := w.fra.request(msg.INVITE)
			if got := value(in, "require"); got != c.first {
				t.Errorf("%d: Require %q", status, got)
			}
			w.fra.reply(in, status, "", c.more)
			w.fra.request(msg.ACK)
			in = w.fra.request(msg.INVITE)
			if got := value(in, "require"); got != c.again || in.CSeq().SeqNo != 2 {
				t.Errorf("%d: Require %q, CSeq %d", status, got, in.CSeq().SeqNo)
			}
			w.fra.reply(in, status, "", c.more) // and not a third time
			w.fra.request(msg.ACK)
			w.carrier.status(480)
			w.receipt()
		})
	}
}

// Each side counts for itself.
// Conforms: RFC 3262 section 3; RFC 3262 section 4
func TestReliableResponsesAreCountedPerLeg(t *testing.T) {
	run(t, nil, func(w *world) {
		w.carrier.invite("legs", w.carrier.sdp, "Require: 100rel")
		in := w.fra.request(msg.INVITE)
		w.fra.reply(in, 180, "", "Require: 100rel", "RSeq: 900")
		w.fra.reply(w.fra.request(msg.PRACK), 200, "")
		w.fra.reply(in, 182, "") // not reliable here, reliable there
		w.fra.reply(in, 183, w.fra.sdp, "Require: 100rel", "RSeq: 901")
		if got := value(w.fra.request(msg.PRACK), "rack"); got != "901 1 INVITE" {
			t.Errorf("RAck %q", got)
		}
		for i, status := range []int{180, 182, 183} {
			res := w.carrier.status(status)
			if got := value(res, "rseq"); got != itoa(i+1) {
				t.Errorf("%d has RSeq %q", status, got)
			}
			w.carrier.within(res, "PRACK", 2+i, "", "RAck: "+itoa(i+1)+" 1 INVITE")
			w.carrier.status(200)
		}
		w.finish(in, 5)
	})
}
