package sip

import (
	"bytes"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cordonsip/cordon/audit"
	"github.com/cordonsip/cordon/routing"
	"github.com/cordonsip/cordon/sovereign"
	msg "github.com/emiago/sipgo/sip"
)

// Conforms: RFC 3261 section 13; RFC 7092 section 3.2
func TestPlainCall(t *testing.T) {
	run(t, nil, func(w *world) {
		w.carrier.invite("plain@10.1.0.1", w.carrier.sdp)
		w.carrier.status(100)
		in := w.fra.request(msg.INVITE)
		if got := in.MaxForwards().Val(); got != 69 {
			t.Errorf("Max-Forwards %d, want 69", got)
		}
		if got := in.Recipient.String(); got != "sip:+4930123@fra.example" {
			t.Errorf("Request-URI %s", got)
		}
		w.fra.reply(in, 180, "")
		w.carrier.status(180)
		w.fra.reply(in, 200, w.fra.sdp)
		ack := w.fra.request(msg.ACK)
		if got := ack.Recipient.String(); got != "sip:fra@10.2.0.1:5060" {
			t.Errorf("ACK goes to %s", got)
		}
		ok := w.carrier.status(200)
		if !strings.Contains(string(ok.Body()), "c=IN IP4 10.0.0.1") {
			t.Errorf("the answer is not ours:\n%s", ok.Body())
		}
		w.carrier.within(ok, "ACK", 1, "")
		synctest.Wait()
		if v := w.edge.Calls(); len(v) != 1 || v[0].State != "up" || v[0].Trunk != "carrier" || v[0].Group != "fra" || v[0].Ref == "" {
			t.Errorf("calls: %+v", v)
		}
		time.Sleep(10 * time.Second)
		w.carrier.within(ok, "BYE", 2, "", `Reason: Q.850;cause=16;text="Normal call clearing"`)
		w.carrier.status(200)
		bye := w.fra.request(msg.BYE)
		if got := value(bye, "reason"); got != `Q.850;cause=16;text="Normal call clearing"` {
			t.Errorf("Reason %q", got)
		}
		w.fra.reply(bye, 200, "")
		r := w.receipt()
		if r.Overall != "compliant" || r.Outcome.SIPFinal != 200 || r.Outcome.EndedBy != "a" || r.Trunk != "carrier" || r.EdgeGroup != "fra" || r.TAnswer.IsZero() {
			t.Errorf("receipt: %+v", r)
		}
		var planes []string
		for _, h := range r.Hops {
			planes = append(planes, h.Plane+"/"+h.Leg+"/"+h.DeclaredCountry)
		}
		if want := []string{"signalling/a/DE", "signalling/b/DE", "media/a/DE", "media/b/DE"}; !slices.Equal(planes, want) {
			t.Errorf("hops %v, want %v", planes, want)
		}
		if len(r.Attempts) != 1 || r.Attempts[0].Result != "200" || r.PartyA.Ref == "" || r.PartyB.Country != "+49" {
			t.Errorf("attempts %+v, parties %+v %+v", r.Attempts, r.PartyA, r.PartyB)
		}
		e := entries[audit.CallEnded](w, audit.KindCallEnded)
		if len(e) != 1 || e[0].TalkMS < 9990 || e[0].TalkMS > 10100 || e[0].Attempts != 1 {
			t.Errorf("call.ended: %+v", e)
		}
		if len(w.outcomes) != 1 || !w.outcomes[0].Alive {
			t.Errorf("outcomes: %+v", w.outcomes)
		}
	})
}

// Conforms: RFC 3261 section 15
func TestByeFromB(t *testing.T) {
	run(t, nil, func(w *world) {
		_, in := w.up("byeb")
		w.fra.inside(in, "BYE", 1, "")
		w.fra.status(200)
		bye := w.carrier.request(msg.BYE)
		if got := bye.Recipient.String(); got != "sip:carrier@10.1.0.1:5060" {
			t.Errorf("BYE to %s", got)
		}
		w.carrier.reply(bye, 200, "")
		w.fra.silent(time.Second) // who said BYE gets none back
		if r := w.receipt(); r.Outcome.EndedBy != "b" {
			t.Errorf("ended by %s", r.Outcome.EndedBy)
		}
	})
}

// No byte of one side's identifiers may show on the other: addresses, tags, Call-IDs, branches, Contact, SDP origin, product.
// Conforms: RFC 5853 section 3.1
func TestTopologyIsHidden(t *testing.T) {
	run(t, func(c *Config) { c.Parties[0].Trusted = true }, func(w *world) {
		ok, in := w.up("secret-callid@10.1.0.1", "User-Agent: SecretPhone 1.0", "Record-Route: <sip:proxy.carrier.secret;lr>", "P-Asserted-Identity: <sip:+49170@10.1.0.1>",
			"Diversion: <sip:1@10.1.0.1>", "X-Internal: 10.1.0.1", "Call-Info: <http://10.1.0.1/x>", `Warning: 399 10.1.0.1 "x"`, "Server: Secret", "Subject: secret")
		w.carrier.within(ok, "INFO", 2, "")
		info := w.fra.request(msg.INFO)
		w.fra.reply(info, 200, "", "Server: FraSecret", "X-Fra: 10.2.0.1")
		w.carrier.status(200)
		w.fra.inside(in, "BYE", 1, "", `Reason: SIP;cause=200;text="done at 10.2.0.1"`, "User-Agent: FraSecret")
		w.fra.status(200)
		w.carrier.reply(w.carrier.request(msg.BYE), 200, "")
		w.receipt()
		branch := in.Via().Params.GetOr("branch", "?")
		toA := []string{"10.2.0.1", "fratag", "FraSecret", "fra.example", in.CallID().Value(), in.From().Params.GetOr("tag", "?"), branch, "secretuser 42"}
		toB := []string{"10.1.0.1", "carriertag", "secret-callid", "SecretPhone", "proxy.carrier.secret", "Diversion", "X-Internal", "Call-Info", "Warning", "Subject", "secretuser", "P-Asserted", "edge.example"}
		n := 0
		for _, p := range w.packets {
			if p.From != edgeAddr || p.Proto != "udp" {
				continue
			}
			n++
			secrets := toA
			if p.To == fraAddr {
				secrets = toB
			}
			for _, s := range secrets {
				if bytes.Contains(p.Data, []byte(s)) {
					t.Errorf("%q shows toward %s:\n%s", s, p.To, p.Data)
				}
			}
		}
		if n < 8 {
			t.Errorf("only %d packets were looked at", n)
		}
	})
}

// Conforms: RFC 3263 section 4.3
func TestFailover(t *testing.T) {
	type want struct {
		result string
		alive  bool
		busy   bool
		within time.Duration
	}
	for name, c := range map[string]struct {
		play func(w *world)
		want want
	}{
		"silence":                                {func(*world) {}, want{"silent", false, false, 2 * time.Second}},
		"silence of a hop with its own deadline": {func(w *world) { w.hops[0].Within = 4 * time.Second }, want{"silent", false, false, 4300 * time.Millisecond}},
		"icmp":                                   {func(w *world) { w.net.Refuse(netip.MustParsePrefix("10.2.0.0/16")) }, want{"icmp", false, false, 5 * time.Millisecond}},
		"503":                                    {func(w *world) { w.fra.reply(w.fra.request(msg.INVITE), 503, "", "Retry-After: 17") }, want{"503", true, true, 5 * time.Millisecond}},
		"500":                                    {func(w *world) { w.fra.reply(w.fra.request(msg.INVITE), 500, "") }, want{"500", false, false, 5 * time.Millisecond}},
		"480 with Q.850 34":                      {func(w *world) { w.fra.reply(w.fra.request(msg.INVITE), 480, "", "Reason: Q.850;cause=34") }, want{"480", true, false, 5 * time.Millisecond}},
		"unwanted challenge": {func(w *world) {
			w.fra.reply(w.fra.request(msg.INVITE), 401, "", `WWW-Authenticate: Digest realm="x", nonce="n"`)
		}, want{"401", true, false, 5 * time.Millisecond}},
		"no progress after 100": {func(w *world) {
			w.fra.reply(w.fra.request(msg.INVITE), 100, "")
		}, want{"no_progress", true, false, 12 * time.Second}},
	} {
		t.Run(name, func(t *testing.T) {
			run(t, nil, func(w *world) {
				if strings.HasPrefix(name, "silence of") || name == "icmp" {
					c.play(w)
				}
				start := time.Now()
				w.carrier.invite("failover", w.carrier.sdp)
				if !strings.HasPrefix(name, "silence") && name != "icmp" {
					c.play(w)
				}
				in := w.zrh.request(msg.INVITE)
				if took := time.Since(start); took > c.want.within {
					t.Errorf("the next hop was tried after %v, want at most %v", took, c.want.within)
				}
				w.zrh.reply(in, 200, w.zrh.sdp)
				w.zrh.request(msg.ACK)
				ok := w.carrier.status(200)
				w.carrier.within(ok, "ACK", 1, "")
				w.carrier.within(ok, "BYE", 2, "")
				w.carrier.status(200)
				w.zrh.reply(w.zrh.request(msg.BYE), 200, "")
				r := w.receipt()
				if len(r.Attempts) != 2 || r.Attempts[0].Result != c.want.result || r.Attempts[1].Result != "200" || r.EdgeGroup != "zrh" {
					t.Errorf("attempts: %+v, group %s", r.Attempts, r.EdgeGroup)
				}
				if len(w.outcomes) != 2 || w.outcomes[0].Alive != c.want.alive || w.outcomes[0].Busy != c.want.busy {
					t.Errorf("outcomes: %+v", w.outcomes)
				}
				if name == "503" && w.outcomes[0].RetryAfter != 17*time.Second {
					t.Errorf("Retry-After %v", w.outcomes[0].RetryAfter)
				}
			})
		})
	}
}

// User answers end the walk, and come back as they are.
// Conforms: RFC 3261 section 16.7
func TestUserAnswersStop(t *testing.T) {
	for status, want := range map[int]int{486: 486, 404: 404, 603: 603, 302: 480, 403: 403, 600: 600, 488: 488} {
		run(t, nil, func(w *world) {
			w.carrier.invite("stop", w.carrier.sdp)
			in := w.fra.request(msg.INVITE)
			w.fra.reply(in, status, "", "Reason: Q.850;cause=17", "Contact: <sip:elsewhere@10.66.0.1>")
			w.fra.request(msg.ACK)
			res := w.carrier.status(want)
			if got := value(res, "reason"); got != "Q.850;cause=17" {
				t.Errorf("%d: Reason %q", status, got)
			}
			if res.Contact() != nil && status == 302 {
				t.Error("a redirection's Contact crossed")
			}
			w.carrier.write(ackFor(w.carrier, res, "stop"))
			w.zrh.silent(time.Second)
			w.receipt()
		})
	}
}

func ackFor(p *peer, res *msg.Response, callID string) string {
	raw := p.compose("ACK", "sip:+4930123@edge.example", callID, 1, res.To().Params.GetOr("tag", ""), "")
	return strings.Replace(raw, "branch=z9hG4bK"+callID+"ACK1", "branch=z9hG4bK"+callID+"INVITE1", 1)
}

// When all hops fail the caller hears the best answer, a 503 of another as 480.
// Conforms: RFC 3261 section 16.7
func TestAllFail(t *testing.T) {
	run(t, nil, func(w *world) {
		w.carrier.invite("all", w.carrier.sdp)
		w.fra.reply(w.fra.request(msg.INVITE), 503, "")
		w.fra.request(msg.ACK)
		w.zrh.reply(w.zrh.request(msg.INVITE), 503, "")
		w.carrier.status(480)
		if r := w.receipt(); r.Overall != "compliant" || r.Outcome.SIPFinal != 480 {
			t.Errorf("%+v", r)
		}
	})
}

// A policy refusal is 403 or 603 with its ground and the receipt, never a 5xx, also when a permitted hop failed first.
func TestHeld(t *testing.T) {
	for name, c := range map[string]struct {
		verdict sovereign.Verdict
		hops    bool
		status  int
		reason  string
		overall string
	}{
		"held":             {sovereign.Hold, false, 0, `SIP;cause=403;text="route held for approval"`, "refused_by_policy"},
		"held, by 603":     {sovereign.Hold, false, 603, `SIP;cause=403;text="route held for approval"`, "refused_by_policy"},
		"denied":           {sovereign.Deny, false, 403, `SIP;cause=403;text="refused by policy"`, "refused_by_policy"},
		"held behind 503s": {sovereign.Hold, true, 403, `SIP;cause=403;text="route held for approval"`, "refused_by_policy"},
	} {
		t.Run(name, func(t *testing.T) {
			run(t, nil, func(w *world) {
				w.plan = func(routing.Request) routing.Plan {
					p := routing.Plan{Route: "r", Held: true, OnHold: routing.OnHold{Status: c.status}, Refused: []routing.Refused{
						{Party: "iad", Ruling: sovereign.Ruling{Verdict: c.verdict, Ground: sovereign.GroundNoAdequacy}, Ground: sovereign.GroundNoAdequacy},
					}}
					if c.hops {
						p.Hops = w.hops[:1]
					}
					return p
				}
				w.carrier.invite("held", w.carrier.sdp)
				if c.hops {
					w.fra.reply(w.fra.request(msg.INVITE), 503, "")
				}
				res := w.carrier.status(max(c.status, 403))
				if got := value(res, "reason"); got != c.reason {
					t.Errorf("Reason %q", got)
				}
				r := w.receipt()
				if value(res, strings.ToLower(receiptHeader)) != r.CallRef || r.CallRef == "" {
					t.Errorf("receipt %q, header %q", r.CallRef, value(res, "x-cordon-receipt"))
				}
				if r.Overall != c.overall || r.Attempts[len(r.Attempts)-1].Verdict != c.verdict.String() {
					t.Errorf("%+v", r)
				}
			})
		})
	}
}

// What the policy left out of a plan does not make a refusal of the policy's of what a lawful far end, or the caller, decided: the receipt has both.
func TestALawfulAnswerIsNoRefusalByPolicy(t *testing.T) {
	for name, status := range map[string]int{"nobody has that number": 404, "busy": 486, "the caller hangs up": 487} {
		t.Run(name, func(t *testing.T) {
			run(t, nil, func(w *world) {
				w.plan = func(routing.Request) routing.Plan {
					return routing.Plan{Route: "r", Held: true, Hops: w.hops[:1], Refused: []routing.Refused{{Party: "iad", Ruling: sovereign.Ruling{Verdict: sovereign.Hold}, Ground: sovereign.GroundNoAdequacy}}}
				}
				w.carrier.invite("lawful", w.carrier.sdp)
				in := w.fra.request(msg.INVITE)
				if status == 487 {
					w.fra.reply(in, 180, "")
					w.carrier.status(180)
					w.carrier.write(strings.Replace(w.carrier.compose("CANCEL", "sip:+4969900100@edge.example", "lawful", 1, "", ""), "lawfulCANCEL1", "lawfulINVITE1", 1))
					w.carrier.status(200)
					w.fra.reply(w.fra.request(msg.CANCEL), 200, "")
				}
				w.fra.reply(in, status, "")
				w.carrier.status(status)
				r := w.receipt()
				if last := r.Attempts[len(r.Attempts)-1]; r.Overall != "compliant" || len(r.Attempts) != 2 || last.Party != "iad" || last.Verdict != "hold" || last.Result != "refused_by_policy" {
					t.Errorf("%s, %+v", r.Overall, r.Attempts)
				}
			})
		})
	}
}

// The edge asks the fence itself: a plan that is wrong, or older than a suspension, gets no datagram out.
func TestFenceHasTheLastWord(t *testing.T) {
	run(t, nil, func(w *world) {
		w.hops = []routing.Hop{w.hop("iad", iadAddr)}
		w.hops[0].Ruling.Verdict = sovereign.Permit
		w.carrier.invite("fence", w.carrier.sdp)
		res := w.carrier.status(403)
		if got := value(res, "reason"); !strings.Contains(got, "held for approval") {
			t.Errorf("Reason %q", got)
		}
		w.receipt()
		for _, p := range w.packets {
			if p.To.Addr() == iadAddr.Addr() {
				t.Fatalf("a packet left for a held place:\n%s", p.Data)
			}
		}
	})
}

func TestGrantIsSpentBeforeTheDial(t *testing.T) {
	for grant, want := range map[string]int{"live": 200, "empty": 403} {
		run(t, nil, func(w *world) {
			h := w.hop("fra", fraAddr)
			h.Grant, h.Reason = grant, routing.ReasonGatedFailover
			w.hops = []routing.Hop{h}
			w.carrier.invite("grant", w.carrier.sdp)
			if want == 200 {
				in := w.fra.request(msg.INVITE)
				w.fra.reply(in, 200, w.fra.sdp)
				w.fra.request(msg.ACK)
				ok := w.carrier.status(200)
				w.carrier.within(ok, "ACK", 1, "")
				w.carrier.within(ok, "BYE", 2, "")
				w.carrier.status(200)
				w.fra.reply(w.fra.request(msg.BYE), 200, "")
			} else {
				w.carrier.status(403)
				w.fra.silent(time.Second)
			}
			r := w.receipt()
			if len(w.spent) != 1 || (want == 200 && (r.GateDecision != "live" || r.RouteReason != "gated_failover")) {
				t.Errorf("%s: spent %v, receipt %+v", grant, w.spent, r)
			}
		})
	}
}

// Conforms: RFC 3261 section 9.1; RFC 3261 section 9.2; RFC 3326 section 2
func TestCancel(t *testing.T) {
	t.Run("while ringing", func(t *testing.T) {
		run(t, nil, func(w *world) {
			raw := w.carrier.invite("cancel", w.carrier.sdp)
			in := w.fra.request(msg.INVITE)
			w.fra.reply(in, 180, "")
			ringing := w.carrier.status(180)
			w.carrier.write(cancelOf(raw))
			a := w.carrier.status(200)
			b := w.carrier.status(487)
			// RFC 3261 section 8.2.6.2: one tag in every response.
			for _, res := range []*msg.Response{a, b} {
				if got, want := res.To().Params.GetOr("tag", "?"), ringing.To().Params.GetOr("tag", "!"); got != want {
					t.Errorf("%d has To-tag %s, want %s", res.StatusCode, got, want)
				}
			}
			c := w.fra.request(msg.CANCEL)
			w.fra.reply(c, 200, "")
			w.fra.reply(in, 487, "")
			w.fra.request(msg.ACK)
			if r := w.receipt(); r.Outcome.SIPFinal != 487 || r.Outcome.EndedBy != "a" {
				t.Errorf("%+v", r.Outcome)
			}
			w.zrh.silent(time.Second)
		})
	})
	t.Run("before any provisional", func(t *testing.T) {
		run(t, nil, func(w *world) {
			raw := w.carrier.invite("early", w.carrier.sdp)
			in := w.fra.request(msg.INVITE)
			w.carrier.write(cancelOf(raw))
			w.carrier.status(200)
			w.carrier.status(487)
			w.fra.reply(in, 180, "") // RFC 3261 section 9.1: now the CANCEL may go
			w.fra.reply(w.fra.request(msg.CANCEL), 200, "")
			w.fra.reply(in, 487, "")
			w.fra.request(msg.ACK)
			w.receipt()
		})
	})
	t.Run("crossing the answer", func(t *testing.T) {
		run(t, nil, func(w *world) {
			raw := w.carrier.invite("cross", w.carrier.sdp)
			in := w.fra.request(msg.INVITE)
			w.fra.reply(in, 180, "")
			w.carrier.status(180)
			w.carrier.write(cancelOf(raw))
			w.carrier.status(200)
			w.carrier.status(487)
			w.fra.request(msg.CANCEL)
			w.fra.reply(in, 200, w.fra.sdp) // it picked up before the CANCEL came
			w.fra.request(msg.ACK)
			w.fra.reply(w.fra.request(msg.BYE), 200, "")
			w.receipt()
		})
	})
}

func cancelOf(invite string) string {
	raw := strings.Replace(invite, "INVITE sip:", "CANCEL sip:", 1)
	raw = strings.Replace(raw, "CSeq: 1 INVITE", "CSeq: 1 CANCEL", 1)
	head, _, _ := strings.Cut(raw, "Contact:")
	return head + "Content-Length: 0\r\n\r\n"
}

// An attempt that was given up stays a zombie: a late 180 is cancelled, a late 200 is acknowledged and ended.
// Conforms: RFC 3261 section 9.1; RFC 3261 section 13.2.2.4
func TestZombies(t *testing.T) {
	run(t, nil, func(w *world) {
		w.carrier.invite("zombie", w.carrier.sdp)
		old := w.fra.request(msg.INVITE)
		in := w.zrh.request(msg.INVITE)
		if old.CallID().Value() == in.CallID().Value() || old.From().Params.GetOr("tag", "") == in.From().Params.GetOr("tag", "") {
			t.Error("attempts share their Call-ID or tag")
		}
		w.zrh.reply(in, 200, w.zrh.sdp)
		w.zrh.request(msg.ACK)
		ok := w.carrier.status(200)
		w.carrier.within(ok, "ACK", 1, "")
		for w.fra.read(100*time.Millisecond) != nil { // retransmissions
		}
		w.fra.reply(old, 180, "")
		w.fra.reply(w.fra.request(msg.CANCEL), 200, "")
		w.fra.reply(old, 200, w.fra.sdp)
		ack := w.fra.request(msg.ACK)
		if ack.CallID().Value() != old.CallID().Value() {
			t.Error("the ACK is of another call")
		}
		w.fra.reply(w.fra.request(msg.BYE), 200, "")
		w.carrier.silent(time.Second)
		w.carrier.within(ok, "BYE", 2, "")
		w.carrier.status(200)
		w.zrh.reply(w.zrh.request(msg.BYE), 200, "")
		w.receipt()
	})
}

// RFC 3261 section 13.2.2.4: the first 2xx wins, the other fork is acknowledged and ended; a repeated one is acknowledged again.
// Conforms: RFC 3261 section 13.2.2.4; RFC 6026 section 7.2
func TestForkedAnswers(t *testing.T) {
	run(t, nil, func(w *world) {
		w.carrier.invite("fork", w.carrier.sdp)
		in := w.fra.request(msg.INVITE)
		w.fra.replyAs(in, 180, "one", "")
		w.fra.replyAs(in, 180, "two", "")
		r1, r2 := w.carrier.status(180), w.carrier.status(180)
		if r1.To().Params.GetOr("tag", "a") != r2.To().Params.GetOr("tag", "b") {
			t.Error("the caller sees the forks")
		}
		w.fra.replyAs(in, 200, "two", w.fra.sdp)
		ack := w.fra.request(msg.ACK)
		ok := w.carrier.status(200)
		w.carrier.within(ok, "ACK", 1, "")
		w.fra.replyAs(in, 200, "one", w.fra.sdp)
		other := w.fra.request(msg.ACK)
		if a, b := ack.To().Params.GetOr("tag", ""), other.To().Params.GetOr("tag", ""); a != "two" || b != "one" {
			t.Errorf("ACKs to %s and %s", a, b)
		}
		bye := w.fra.request(msg.BYE)
		if bye.To().Params.GetOr("tag", "") != "one" {
			t.Error("the wrong fork was ended")
		}
		w.fra.reply(bye, 200, "")
		start := time.Now()
		w.fra.replyAs(in, 200, "two", w.fra.sdp)
		if again := w.fra.request(msg.ACK); again.To().Params.GetOr("tag", "") != "two" || time.Since(start) > 50*time.Millisecond {
			t.Errorf("re-ACK to %s after %v", again.To().Params.GetOr("tag", ""), time.Since(start))
		}
		w.carrier.silent(time.Second)
		w.carrier.within(ok, "BYE", 2, "")
		w.carrier.status(200)
		w.fra.reply(w.fra.request(msg.BYE), 200, "")
		w.receipt()
	})
}

// Queues of contact centres send many provisional responses; each comes through, and an answer larger than a datagram's usual size, too.
// Conforms: RFC 3261 section 13.2.2.1
func TestThirteenQueuedAndALargeAnswer(t *testing.T) {
	run(t, func(c *Config) { c.Parties[0].Headers = []string{"X-Large"} }, func(w *world) {
		w.carrier.invite("queued", w.carrier.sdp)
		in := w.fra.request(msg.INVITE)
		for range 13 {
			w.fra.reply(in, 182, "")
			w.carrier.status(182)
			time.Sleep(20 * time.Second)
		}
		w.fra.reply(in, 200, w.fra.sdp+strings.Repeat("a=x-padding:"+strings.Repeat("y", 80)+"\r\n", 30), "X-Large: "+strings.Repeat("z", 1500))
		w.fra.request(msg.ACK)
		ok := w.carrier.status(200)
		if len(w.carrier.last) < 1800 {
			t.Errorf("the answer has only %d bytes", len(w.carrier.last))
		}
		w.carrier.within(ok, "ACK", 1, "")
		w.carrier.within(ok, "BYE", 2, "")
		w.carrier.status(200)
		w.fra.reply(w.fra.request(msg.BYE), 200, "")
		w.receipt()
	})
}

// With no time between ACK and BYE the order stays: the other side gets its ACK before its BYE.
// Conforms: RFC 3261 section 12.2.1.1; RFC 3261 section 15
func TestNoHold(t *testing.T) {
	run(t, nil, func(w *world) {
		for i := range 50 {
			id := "nohold" + itoa(i)
			w.carrier.invite(id, w.carrier.sdp)
			in := w.fra.request(msg.INVITE)
			w.fra.reply(in, 180, "")
			w.fra.reply(in, 183, w.fra.sdp)
			w.fra.reply(in, 200, w.fra.sdp)
			w.carrier.status(180)
			w.carrier.status(183)
			ok := w.carrier.status(200)
			w.carrier.within(ok, "ACK", 1, "")
			for n := 2; n < 6; n++ {
				w.carrier.within(ok, "INFO", n, "")
			}
			w.carrier.within(ok, "BYE", 6, "")
			w.fra.request(msg.ACK)
			last := uint32(0)
			for range 4 {
				info := w.fra.request(msg.INFO)
				if info.CSeq().SeqNo <= last {
					t.Fatalf("INFO %d after %d", info.CSeq().SeqNo, last)
				}
				last = info.CSeq().SeqNo
			}
			bye := w.fra.request(msg.BYE)
			w.fra.reply(bye, 200, "")
			for w.carrier.read(10*time.Millisecond) != nil {
			}
		}
		time.Sleep(time.Minute)
	})
}

// Conforms: RFC 3261 section 16.8
func TestRingTimer(t *testing.T) {
	run(t, nil, func(w *world) {
		w.carrier.invite("ring", w.carrier.sdp)
		in := w.fra.request(msg.INVITE)
		w.fra.reply(in, 180, "")
		w.carrier.status(180)
		start := time.Now()
		res := w.carrier.status(480)
		if took := time.Since(start); took < 59*time.Second || took > 61*time.Second {
			t.Errorf("after %v", took)
		}
		if got := value(res, "reason"); !strings.HasPrefix(got, "Q.850;cause=19") {
			t.Errorf("Reason %q", got)
		}
		w.fra.reply(w.fra.request(msg.CANCEL), 200, "")
		w.fra.reply(in, 487, "")
		w.receipt()
	})
}

// The 200 is repeated until its ACK comes; without one both sides are ended. RFC 3261 section 13.3.1.4.
// Conforms: RFC 3261 section 13.3.1.4
func TestNoAck(t *testing.T) {
	run(t, nil, func(w *world) {
		w.carrier.invite("noack", w.carrier.sdp)
		in := w.fra.request(msg.INVITE)
		w.fra.reply(in, 200, w.fra.sdp)
		w.fra.request(msg.ACK)
		start := time.Now()
		n := 0
		var last msg.Message
		for {
			last = w.carrier.read(10 * time.Second)
			if r, ok := last.(*msg.Response); ok && r.StatusCode == 200 {
				n++
				continue
			}
			if r, ok := last.(*msg.Response); ok && r.StatusCode == 100 {
				continue
			}
			break
		}
		bye, ok := last.(*msg.Request)
		if !ok || bye.Method != msg.BYE {
			t.Fatalf("want BYE, got\n%s", text(last))
		}
		if took := time.Since(start); n != 11 || took < 31*time.Second || took > 33*time.Second {
			t.Errorf("%d 200s, BYE after %v", n, took)
		}
		w.carrier.reply(bye, 200, "")
		w.fra.reply(w.fra.request(msg.BYE), 200, "")
		w.receipt()
	})
}
