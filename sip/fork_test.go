package sip

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cordonsip/cordon/media"
	msg "github.com/emiago/sipgo/sip"
)

// farEnd is where media says that B is.
func (w *world) farEnd() string {
	w.t.Helper()
	synctest.Wait()
	v := w.edge.Calls()
	if len(v) != 1 {
		w.t.Fatalf("%d calls", len(v))
	}
	return v[0].Report.Sides[media.B].Remote.String()
}

// Conforms: RFC 3261 section 13.2.2.4; RFC 3261 section 12.1; RFC 3960 section 3.1
func TestTheLastForkThatDescribesItselfIsHeardAndTheCallerSeesOneDialog(t *testing.T) {
	run(t, nil, func(w *world) {
		w.carrier.invite("forks", w.carrier.sdp)
		in := w.fra.request(msg.INVITE)
		tags := map[string]bool{}
		for i, f := range []struct {
			status    int
			tag, from string
			want      string
		}{
			{183, "one", "10.2.0.11", "10.2.0.11:30000"},
			{183, "two", "10.2.0.12", "10.2.0.12:30000"},
			{180, "three", "", "10.2.0.12:30000"}, // a fork without a description changes nothing
			{180, "two", "", "10.2.0.12:30000"},
			{183, "one", "10.2.0.11", "10.2.0.11:30000"},
		} {
			sdp := ""
			if f.from != "" {
				sdp = testSDP(f.from, 30000)
			}
			w.fra.replyAs(in, f.status, f.tag, sdp)
			res := w.carrier.status(f.status)
			tags[res.To().Params.GetOr("tag", "")] = true
			if got := w.farEnd(); got != f.want {
				t.Errorf("%d: media goes to %s, want %s", i, got, f.want)
			}
		}
		// The second one answers without a description: its own early one holds.
		w.fra.replyAs(in, 200, "two", "")
		if ack := w.fra.request(msg.ACK); ack.To().Params.GetOr("tag", "") != "two" {
			t.Errorf("ACK:\n%s", ack)
		}
		ok := w.carrier.status(200)
		if tags[ok.To().Params.GetOr("tag", "")] = true; len(tags) != 1 {
			t.Errorf("the caller saw the tags %v", tags)
		}
		if got := w.farEnd(); got != "10.2.0.12:30000" {
			t.Errorf("media goes to %s", got)
		}
		w.carrier.within(ok, "ACK", 1, "")
		synctest.Wait()
		w.end(ok, 2)
	})
}

// Conforms: RFC 6228 section 4
func TestA199EndsOneForkAndTheOneBeforeIsHeardAgain(t *testing.T) {
	run(t, nil, func(w *world) {
		w.carrier.invite("gone", w.carrier.sdp)
		in := w.fra.request(msg.INVITE)
		w.fra.replyAs(in, 183, "one", testSDP("10.2.0.11", 30000))
		w.carrier.status(183)
		w.fra.replyAs(in, 183, "two", testSDP("10.2.0.12", 30000))
		w.carrier.status(183)
		w.fra.replyAs(in, 199, "unknown", "")
		w.fra.replyAs(in, 199, "two", "", "Reason: SIP;cause=486")
		w.carrier.silent(100 * time.Millisecond)
		if got := w.farEnd(); got != "10.2.0.11:30000" {
			t.Errorf("media goes to %s", got)
		}
		w.fra.replyAs(in, 199, "one", "")
		w.carrier.silent(100 * time.Millisecond)
		w.fra.replyAs(in, 200, "three", w.fra.sdp)
		w.fra.request(msg.ACK)
		ok := w.carrier.status(200)
		w.carrier.within(ok, "ACK", 1, "")
		synctest.Wait()
		w.end(ok, 2)
	})
}

// Both forks answer reliably: each has a dialog, a count and a description of its own. The caller's answer stands with its first PRACK.
// Conforms: RFC 3262 section 4; RFC 6337 section 3.1.1
func TestForksThatAnswerReliablyAreKeptApart(t *testing.T) {
	run(t, nil, func(w *world) {
		w.carrier.invite("relforks", w.carrier.sdp, "Require: 100rel", withAllow)
		in := w.fra.request(msg.INVITE)
		for i, tag := range []string{"one", "two"} {
			w.fra.replyAs(in, 183, tag, testSDP("10.2.0.1"+itoa(i+1), 30000), "Require: 100rel", "RSeq: 5")
			prack := w.fra.request(msg.PRACK)
			if prack.To().Params.GetOr("tag", "") != tag || value(prack, "rack") != "5 1 INVITE" {
				t.Errorf("PRACK:\n%s", prack)
			}
			w.fra.reply(prack, 200, "")
			res := w.carrier.status(183)
			if (len(res.Body()) > 0) != (i == 0) {
				t.Errorf("the answer was given and is given again:\n%s", res)
			}
			w.carrier.within(res, "PRACK", 2+i, "", "RAck: "+itoa(i+1)+" 1 INVITE")
			w.carrier.status(200)
		}
		w.fra.replyAs(in, 200, "one", testSDP("10.2.0.99", 30000)) // RFC 6337: its answer was given, this one does not count
		w.fra.request(msg.ACK)
		ok := w.carrier.status(200)
		if got := w.farEnd(); got != "10.2.0.11:30000" {
			t.Errorf("media goes to %s", got)
		}
		w.carrier.within(ok, "ACK", 1, "")
		synctest.Wait()
		w.end(ok, 4)
	})
}

// Conforms: RFC 5009 section 8
func TestEarlyMediaIsLetThroughAsItsPartyMay(t *testing.T) {
	for name, c := range map[string]struct {
		word, header string
		through      bool
	}{
		"by default":                         {"", "X-Any: 1", true},
		"blocked":                            {"block", "P-Early-Media: sendrecv", false},
		"authorised and said so":             {"authorised", "P-Early-Media: sendonly", true},
		"authorised by the last of several":  {"authorised", "P-Early-Media: inactive, sendrecv", true},
		"not authorised":                     {"authorised", "P-Early-Media: inactive", false},
		"nothing said where it must be said": {"authorised", "X-Any: 1", false},
	} {
		t.Run(name, func(t *testing.T) {
			run(t, func(cfg *Config) { cfg.Parties[1].Early = c.word }, func(w *world) {
				w.carrier.invite("gate", w.carrier.sdp)
				in := w.fra.request(msg.INVITE)
				if got := value(in, "p-early-media"); (got == "supported") != (c.word == "authorised") {
					t.Errorf("P-Early-Media %q", got)
				}
				w.fra.reply(in, 183, w.fra.sdp, c.header, "Require: 100rel", "RSeq: 1")
				w.fra.reply(w.fra.request(msg.PRACK), 200, "")
				res := w.carrier.status(183)
				if got := len(res.Body()) > 0; got != c.through || value(res, "p-early-media") != "" {
					t.Errorf("183:\n%s", res)
				}
				w.fra.reply(in, 200, "") // the answer was in the 183
				w.fra.request(msg.ACK)
				ok := w.carrier.status(200)
				if len(ok.Body()) == 0 {
					t.Error("no answer in the 200")
				}
				w.carrier.within(ok, "ACK", 1, "")
				synctest.Wait()
				w.end(ok, 2)
			})
		})
	}
}

// Conforms: RFC 3264 section 5; RFC 3261 section 13.2.1
func TestTheNextHopIsOfferedTheCodecThatTheCallerWasTold(t *testing.T) {
	run(t, nil, func(w *world) {
		offer := strings.NewReplacer("AVP 8 101", "AVP 0 8 101", "a=rtpmap:8", "a=rtpmap:0 PCMU/8000\r\na=rtpmap:8").Replace(w.carrier.sdp)
		w.carrier.invite("told", offer, "Require: 100rel", withAllow)
		in := w.fra.request(msg.INVITE)
		w.fra.reply(in, 183, w.fra.sdp)
		ring := w.carrier.status(183)
		w.carrier.within(ring, "PRACK", 2, "", "RAck: 1 1 INVITE")
		w.carrier.status(200)
		w.fra.reply(in, 503, "")
		w.fra.request(msg.ACK)
		next := w.zrh.request(msg.INVITE)
		if !strings.Contains(string(next.Body()), "AVP 8 101\r\n") || next.CallID().Value() == in.CallID().Value() {
			t.Errorf("INVITE:\n%s", next)
		}
		w.zrh.reply(next, 180, "")
		again := w.carrier.status(180)
		if again.To().Params.GetOr("tag", "a") != ring.To().Params.GetOr("tag", "b") {
			t.Error("the caller sees another dialog")
		}
		w.carrier.within(again, "PRACK", 3, "", "RAck: 2 1 INVITE")
		w.carrier.status(200)
		w.zrh.reply(next, 200, w.zrh.sdp)
		w.zrh.request(msg.ACK)
		ok := w.carrier.status(200)
		if string(ok.Body()) != string(ring.Body()) { // the same answer in every response
			t.Errorf("200:\n%s\n183:\n%s", ok.Body(), ring.Body())
		}
		w.over(ok, 4)
	})
}

// over acknowledges and ends a call that zrh answered.
func (w *world) over(ok *msg.Response, seq int) {
	w.t.Helper()
	w.carrier.within(ok, "ACK", 1, "")
	synctest.Wait()
	w.carrier.within(ok, "BYE", seq, "")
	w.carrier.status(200)
	w.zrh.reply(w.zrh.request(msg.BYE), 200, "")
	w.receipt()
}

// The next hop takes less than the caller was told, or nothing of it: the caller gets an offer of its own, by UPDATE before its 200.
// Conforms: RFC 3311 section 5.1; RFC 3264 section 8
func TestACallerWhoseAnswerMustChangeIsSentAnUpdate(t *testing.T) {
	for name, none := range map[string]bool{"fewer formats": false, "another codec": true} {
		t.Run(name, func(t *testing.T) {
			run(t, nil, func(w *world) {
				offer := strings.NewReplacer("AVP 8 101", "AVP 8 0 101", "a=rtpmap:8", "a=rtpmap:0 PCMU/8000\r\na=rtpmap:8").Replace(w.carrier.sdp)
				w.carrier.invite("must", offer, "Require: 100rel", withAllow)
				in := w.fra.request(msg.INVITE)
				w.fra.reply(in, 183, w.fra.sdp)
				ring := w.carrier.status(183)
				w.carrier.within(ring, "PRACK", 2, "", "RAck: 1 1 INVITE")
				w.carrier.status(200)
				w.fra.reply(in, 503, "")
				w.fra.request(msg.ACK)
				next, answer, want := w.zrh.request(msg.INVITE), body(w.zrh.sdp, "AVP 8 101", "AVP 8"), "AVP 8\r\n"
				if none {
					w.zrh.reply(next, 488, "")
					w.zrh.request(msg.ACK)
					again := w.zrh.request(msg.INVITE)
					if !strings.Contains(string(again.Body()), "AVP 8 0 101") || again.CallID().Value() == next.CallID().Value() {
						t.Errorf("INVITE:\n%s", again)
					}
					next, answer, want = again, strings.NewReplacer("AVP 8 101", "AVP 0 101", "8 PCMA", "0 PCMU").Replace(w.zrh.sdp), "AVP 0 101\r\n"
				}
				w.zrh.reply(next, 200, answer)
				w.zrh.request(msg.ACK)
				up := w.carrier.request(msg.UPDATE)
				if !strings.Contains(string(up.Body()), want) {
					t.Errorf("UPDATE:\n%s", up)
				}
				w.carrier.silent(100 * time.Millisecond) // its 200 waits
				w.carrier.reply(up, 200, strings.NewReplacer("AVP 8 101", strings.TrimSpace(want), "8 PCMA", "0 PCMU/8000\r\na=rtpmap:8 PCMA").Replace(w.carrier.sdp))
				ok := w.carrier.status(200)
				if ok.CSeq().MethodName != msg.INVITE || len(ok.Body()) != 0 {
					t.Errorf("200:\n%s", ok)
				}
				w.over(ok, 3)
			})
		})
	}
}

// A caller that takes no UPDATE is told behind its ACK, by re-INVITE.
// Conforms: RFC 3264 section 8; RFC 6337 section 3.1.1
func TestACallerWithoutUpdateIsToldBehindItsAck(t *testing.T) {
	run(t, nil, func(w *world) {
		w.carrier.invite("behind", w.carrier.sdp, "Require: 100rel")
		in := w.fra.request(msg.INVITE)
		w.fra.reply(in, 183, w.fra.sdp)
		ring := w.carrier.status(183)
		w.carrier.within(ring, "PRACK", 2, "", "RAck: 1 1 INVITE")
		w.carrier.status(200)
		w.fra.reply(in, 503, "")
		w.fra.request(msg.ACK)
		w.zrh.reply(w.zrh.request(msg.INVITE), 200, body(w.zrh.sdp, "AVP 8 101", "AVP 8"))
		w.zrh.request(msg.ACK)
		ok := w.carrier.status(200)
		if string(ok.Body()) != string(ring.Body()) {
			t.Errorf("200:\n%s", ok)
		}
		w.carrier.within(ok, "ACK", 1, "")
		re := w.carrier.request(msg.INVITE)
		if !strings.Contains(string(re.Body()), "AVP 8\r\n") {
			t.Errorf("re-INVITE:\n%s", re)
		}
		w.carrier.reply(re, 491, "")
		w.carrier.request(msg.ACK)
		re = w.carrier.request(msg.INVITE)
		w.carrier.reply(re, 200, body(w.carrier.sdp, "AVP 8 101", "AVP 8"))
		w.carrier.request(msg.ACK)
		synctest.Wait()
		w.carrier.within(ok, "BYE", 3, "")
		w.carrier.status(200)
		w.zrh.reply(w.zrh.request(msg.BYE), 200, "")
		w.receipt()
	})
}
