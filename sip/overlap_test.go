package sip

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cordonsip/cordon/audit"
	"github.com/cordonsip/cordon/routing"
	msg "github.com/emiago/sipgo/sip"
)

// overlapping runs a world whose route lets attempts overlap.
func overlapping(t *testing.T, tune func(*Config), f func(w *world)) {
	t.Helper()
	run(t, tune, func(w *world) {
		inner := w.plan
		w.plan = func(r routing.Request) routing.Plan {
			p := inner(r)
			p.Overlap = true
			return p
		}
		f(w)
	})
}

// invited gives the next new INVITE, past repetitions of another one.
func (p *peer) invited(but *msg.Request) *msg.Request {
	p.w.t.Helper()
	for {
		in := p.request(msg.INVITE)
		if but == nil || in.CallID().Value() != but.CallID().Value() {
			return in
		}
	}
}

// drained throws away what waits for a peer, which must be INVITEs that came again.
func (p *peer) drained() {
	p.w.t.Helper()
	synctest.Wait()
	for m := p.read(time.Millisecond); m != nil; m = p.read(time.Millisecond) {
		if r, ok := m.(*msg.Request); !ok || r.Method != msg.INVITE {
			p.w.t.Fatalf("%s got:\n%s", p.name, text(m))
		}
	}
}

// beside begins a call that fra is silent on, so that zrh is asked beside it two seconds later.
func (w *world) beside(id string) (first, second *msg.Request) {
	w.t.Helper()
	start := time.Now()
	if h := &w.hops[len(w.hops)-1]; h.Party == "zrh" {
		h.Reason = routing.ReasonAutoFailover
	}
	w.carrier.invite(id, w.carrier.sdp)
	first = w.fra.request(msg.INVITE)
	second = w.zrh.request(msg.INVITE)
	if took := time.Since(start); took < 2*time.Second || took > 2100*time.Millisecond {
		w.t.Errorf("the next hop was asked after %v", took)
	}
	if first.CallID().Value() == second.CallID().Value() || string(first.Body()) == string(second.Body()) {
		w.t.Error("the attempts share a dialog or media")
	}
	if a, b := w.edge.partyLoad("fra").Load(), w.edge.partyLoad("zrh").Load(); a != 1 || b != 1 {
		w.t.Errorf("%d and %d calls are counted", a, b)
	}
	w.fra.drained()
	return first, second
}

// won ends a call that p answered and checks what the receipt says of both attempts; results are those of fra and zrh.
func (w *world) won(ok *msg.Response, p *peer, results ...string) {
	w.t.Helper()
	w.carrier.within(ok, "ACK", 1, "")
	w.carrier.within(ok, "INFO", 2, "")
	p.reply(p.request(msg.INFO), 200, "")
	w.carrier.status(200)
	w.carrier.within(ok, "BYE", 3, "")
	w.carrier.status(200)
	p.reply(p.request(msg.BYE), 200, "")
	r := w.receipt()
	w.attempted(r, results...)
	far := ""
	for _, h := range r.Hops {
		if h.Plane == "media" && h.Leg == "b" {
			far += h.RemoteAddr
		}
	}
	if want := "fra"; p == w.fra && (r.EdgeGroup != want || r.RouteReason != string(routing.ReasonPrimary)) {
		w.t.Errorf("answered by %s, %s", r.EdgeGroup, r.RouteReason)
	}
	if want := p.at.Addr().String() + ":30000"; far != want || r.Outcome.SIPFinal != 200 {
		w.t.Errorf("media of b at %s, want %s; final %d", far, want, r.Outcome.SIPFinal)
	}
}

func (w *world) attempted(r audit.Receipt, results ...string) {
	w.t.Helper()
	got := []string{}
	for _, a := range r.Attempts {
		got = append(got, a.Result)
	}
	if strings.Join(got, " ") != strings.Join(results, " ") {
		w.t.Errorf("attempts %v, want %v", got, results)
	}
	time.Sleep(time.Minute)
	if n := w.edge.partyLoad("fra").Load() + w.edge.partyLoad("zrh").Load() + w.edge.partyLoad("carrier").Load(); n != 0 {
		w.t.Errorf("%d calls are counted", n)
	}
}

func (w *world) tagOf(res *msg.Response) string { return res.To().Params.GetOr("tag", "") }

// The first hop is silent: the next one is asked beside it, answers, and has the call. What the silent one says later ends it.
//
// Conforms: RFC 3263 section 4.3; the next target is tried beside one that is silent, where a route says so.
// Conforms: RFC 3261 section 9.1; the attempt that lost is cancelled once a provisional response allows it.
func TestTheNextHopAnswersBesideASilentOne(t *testing.T) {
	overlapping(t, nil, func(w *world) {
		in, at := w.beside("beside")
		w.zrh.reply(at, 180, "")
		tag := w.tagOf(w.carrier.status(180))
		w.zrh.reply(at, 200, w.zrh.sdp)
		w.zrh.request(msg.ACK)
		ok := w.carrier.status(200)
		if w.tagOf(ok) != tag {
			t.Error("the caller was shown another dialog")
		}
		w.fra.drained()
		w.fra.silent(5 * time.Second) // nor does the INVITE come again
		w.fra.reply(in, 180, "")
		cancel := w.fra.request(msg.CANCEL)
		if !strings.Contains(value(cancel, "reason"), "cause=200") {
			t.Errorf("Reason %s", value(cancel, "reason"))
		}
		w.fra.reply(cancel, 200, "")
		w.fra.reply(in, 487, "")
		w.fra.request(msg.ACK)
		w.won(ok, w.zrh, "overtaken", "200")
		if o := w.outcomes; len(o) != 2 || o[0].Alive || o[0].Cause != "silent" || !o[1].Alive {
			t.Errorf("outcomes %+v", o)
		}
	})
}

// The first hop wakes up late and answers before the next one does: it has the call, and the next one is cancelled.
//
// Conforms: RFC 3261 section 16.7; the first 2xx wins and the other attempt gets CANCEL.
func TestTheFirstHopAnswersLate(t *testing.T) {
	overlapping(t, nil, func(w *world) {
		in, at := w.beside("late")
		w.zrh.reply(at, 180, "")
		tag := w.tagOf(w.carrier.status(180))
		w.fra.reply(in, 180, "")
		w.carrier.status(180)
		w.fra.reply(in, 200, w.fra.sdp)
		w.fra.request(msg.ACK)
		ok := w.carrier.status(200)
		w.zrh.reply(w.zrh.request(msg.CANCEL), 200, "")
		w.zrh.reply(at, 487, "")
		w.zrh.request(msg.ACK)
		if w.tagOf(ok) != tag {
			t.Error("the caller was shown another dialog")
		}
		w.won(ok, w.fra, "200", "overtaken")
	})
}

// Both answer in the same breath: one has the call, the other one gets ACK and BYE, and the caller sees one dialog and one 200.
//
// Conforms: RFC 3261 section 13.2.2.4; a 2xx that comes too late is acknowledged and ended with BYE.
func TestBothHopsAnswer(t *testing.T) {
	overlapping(t, nil, func(w *world) {
		in, at := w.beside("both")
		w.fra.reply(in, 180, "")
		w.carrier.status(180)
		w.zrh.reply(at, 200, w.zrh.sdp)
		synctest.Wait()
		w.fra.reply(in, 200, w.fra.sdp)
		w.zrh.request(msg.ACK)
		ok := w.carrier.status(200)
		w.fra.request(msg.CANCEL)
		w.fra.request(msg.ACK)
		w.fra.reply(w.fra.request(msg.BYE), 200, "")
		w.won(ok, w.zrh, "overtaken", "200")
	})
}

// Both fail: the caller hears what a user said, also when it was said first, and nobody else is asked then.
//
// Conforms: RFC 3261 section 16.7; a 6xx ends all attempts at once, any other answer of a user waits for those that gave a sign of life.
func TestBothHopsFail(t *testing.T) {
	for name, c := range map[string]struct {
		play    func(w *world, in, at *msg.Request)
		status  int
		results []string
	}{
		"busy, then unavailable": {func(w *world, in, at *msg.Request) {
			w.fra.reply(in, 180, "")
			w.carrier.status(180)
			w.zrh.reply(at, 486, "")
			w.zrh.request(msg.ACK)
			w.carrier.silent(time.Second)
			w.fra.reply(in, 503, "")
			w.fra.request(msg.ACK)
		}, 486, []string{"503", "486"}},
		"busy beside a silent one": {func(w *world, in, at *msg.Request) {
			w.zrh.reply(at, 486, "")
			w.zrh.request(msg.ACK)
		}, 486, []string{"cancelled", "486"}},
		"declined beside one that rings": {func(w *world, in, at *msg.Request) {
			w.fra.reply(in, 180, "")
			w.carrier.status(180)
			w.zrh.reply(at, 603, "")
			w.zrh.request(msg.ACK)
			said := time.Now()
			w.fra.reply(w.fra.request(msg.CANCEL), 200, "")
			if took := time.Since(said); took > time.Second {
				w.t.Errorf("CANCEL after %v", took)
			}
			w.fra.reply(in, 487, "")
			w.fra.request(msg.ACK)
		}, 603, []string{"cancelled", "603"}},
		"both unavailable": {func(w *world, in, at *msg.Request) {
			w.zrh.reply(at, 503, "")
			w.zrh.request(msg.ACK)
			w.fra.reply(in, 500, "")
			w.fra.request(msg.ACK)
		}, 500, []string{"500", "503"}},
		"both silent": {func(w *world, _, _ *msg.Request) {}, 408, []string{"silent", "silent"}},
	} {
		t.Run(name, func(t *testing.T) {
			overlapping(t, nil, func(w *world) {
				if strings.HasPrefix(name, "busy") {
					w.hops = append(w.hops, w.hop("fra", fraAddr)) // and nobody is asked there
				}
				in, at := w.beside("fails")
				c.play(w, in, at)
				w.carrier.ack(w.carrier.status(c.status))
				w.attempted(w.receipt(), c.results...)
			})
		})
	}
}

// While one hop is at work, the failure of the other starts nobody else; when the one that is left is overdue, it does.
func TestAFailureBesideAnotherAttempt(t *testing.T) {
	overlapping(t, nil, func(w *world) {
		w.hops = append(w.hops, w.hop("fra", fraAddr))
		in, at := w.beside("third")
		w.zrh.reply(at, 503, "") // fra is overdue: the third hop is asked beside it
		w.zrh.request(msg.ACK)
		third := w.fra.invited(in)
		w.fra.reply(in, 500, "") // the third one is at work
		w.fra.request(msg.ACK)
		w.fra.reply(third, 200, w.fra.sdp)
		w.fra.request(msg.ACK)
		w.won(w.carrier.status(200), w.fra, "500", "503", "200")
	})
}

// Two attempts at once are all there are: a third one takes the place of the first, which stays silent.
func TestOverlapIsBounded(t *testing.T) {
	overlapping(t, nil, func(w *world) {
		w.hops = append(w.hops, w.hop("fra", fraAddr))
		in, _ := w.beside("bound")
		asked := time.Now()
		third := w.fra.invited(in)
		if took := time.Since(asked); took > 2100*time.Millisecond {
			t.Errorf("the third hop was asked %v after the second", took)
		}
		synctest.Wait()
		if n := w.edge.partyLoad("fra").Load() + w.edge.partyLoad("zrh").Load(); n != 2 {
			t.Errorf("%d attempts at once", n)
		}
		w.fra.reply(in, 200, w.fra.sdp) // given up: ACK and BYE
		w.fra.request(msg.ACK)
		w.fra.reply(w.fra.request(msg.BYE), 200, "")
		w.fra.reply(third, 200, w.fra.sdp)
		w.fra.request(msg.ACK)
		ok := w.carrier.status(200)
		w.zrh.drained()
		w.won(ok, w.fra, "silent", "overtaken", "200")
	})
}

// The caller hangs up: both are cancelled.
//
// Conforms: RFC 3261 section 9.2; CANCEL of the caller ends every attempt.
func TestTheCallerCancelsBothAttempts(t *testing.T) {
	overlapping(t, nil, func(w *world) {
		in, at := w.beside("cancel")
		w.fra.reply(in, 180, "")
		w.carrier.status(180)
		w.zrh.reply(at, 180, "")
		w.carrier.status(180)
		w.carrier.write(strings.Replace(w.carrier.compose("CANCEL", "sip:+4930123@edge.example", "cancel", 1, "", ""), "cancelCANCEL1", "cancelINVITE1", 1))
		w.carrier.status(200)
		w.carrier.ack(w.carrier.status(487))
		for _, p := range []*peer{w.fra, w.zrh} {
			req := map[*peer]*msg.Request{w.fra: in, w.zrh: at}[p]
			p.reply(p.request(msg.CANCEL), 200, "")
			p.reply(req, 487, "")
			p.request(msg.ACK)
		}
		w.attempted(w.receipt(), "cancelled", "cancelled")
	})
}

// The next hop stands in a place that the policy holds: it is left out, and the one behind it is asked. With nobody else the silent one is waited for.
func TestADeniedHopBetweenAttempts(t *testing.T) {
	overlapping(t, nil, func(w *world) {
		denied := w.hop("zrh", zrhAddr)
		denied.Party, denied.Target.Party, denied.Target.Addr = "iad", "iad", iadAddr
		w.hops = []routing.Hop{w.hop("fra", fraAddr), denied, w.hop("zrh", zrhAddr)}
		_, at := w.beside("denied")
		w.zrh.reply(at, 200, w.zrh.sdp)
		w.zrh.request(msg.ACK)
		ok := w.carrier.status(200)
		w.won(ok, w.zrh, "overtaken", "refused_by_policy", "200")
		w.nothingLeftFor("10.66.0.1")
	})
	overlapping(t, nil, func(w *world) {
		denied := w.hop("zrh", zrhAddr)
		denied.Party, denied.Target.Party, denied.Target.Addr = "iad", "iad", iadAddr
		w.hops = []routing.Hop{w.hop("fra", fraAddr), denied}
		w.carrier.invite("alone", w.carrier.sdp)
		in := w.fra.request(msg.INVITE)
		time.Sleep(5 * time.Second)
		w.fra.drained()
		w.fra.reply(in, 200, w.fra.sdp)
		w.fra.request(msg.ACK)
		w.won(w.carrier.status(200), w.fra, "200", "refused_by_policy")
		w.nothingLeftFor("10.66.0.1")
	})
}

// Early media of one hop is heard, the first that speaks; the other one's is for its own answer. An answer that cannot be used leaves the other hop its chance.
//
// Conforms: RFC 3264 section 8; the caller has one session whose origin stays, whichever attempt is heard.
func TestEarlyMediaOfOneAttempt(t *testing.T) {
	overlapping(t, nil, func(w *world) {
		in, at := w.beside("early")
		w.zrh.reply(at, 183, w.zrh.sdp)
		first := w.carrier.status(183)
		w.fra.reply(in, 183, strings.Replace(w.fra.sdp, "30000", "30002", 1))
		if res := w.carrier.status(183); len(res.Body()) != 0 {
			t.Errorf("media of a second hop:\n%s", res)
		}
		w.fra.reply(in, 200, testSDP("10.66.0.9", 30000)) // in a held place
		w.fra.request(msg.ACK)
		w.fra.reply(w.fra.request(msg.BYE), 200, "")
		w.zrh.reply(at, 200, w.zrh.sdp)
		w.zrh.request(msg.ACK)
		ok := w.carrier.status(200)
		if string(ok.Body()) != string(first.Body()) {
			t.Errorf("another session:\n%s\n%s", first.Body(), ok.Body())
		}
		w.won(ok, w.zrh, "media_403", "200")
		w.nothingLeftFor("10.66.0.9")
	})
	overlapping(t, nil, func(w *world) { // an answer without a word on its media has none of another one's
		in, at := w.beside("early3")
		w.zrh.reply(at, 183, w.zrh.sdp)
		w.carrier.status(183)
		w.fra.reply(in, 200, "")
		w.fra.request(msg.ACK)
		w.fra.reply(w.fra.request(msg.BYE), 200, "")
		w.zrh.reply(at, 200, w.zrh.sdp)
		w.zrh.request(msg.ACK)
		w.won(w.carrier.status(200), w.zrh, "no_session", "200")
	})
	overlapping(t, nil, func(w *world) { // the one that was heard fails, the other one answers without another word on its media
		in, at := w.beside("early2")
		w.zrh.reply(at, 183, w.zrh.sdp)
		first := w.carrier.status(183)
		w.fra.reply(in, 183, w.fra.sdp)
		w.carrier.status(183)
		w.zrh.reply(at, 503, "")
		w.zrh.request(msg.ACK)
		w.fra.reply(in, 200, "")
		w.fra.request(msg.ACK)
		ok := w.carrier.status(200)
		origin := func(r *msg.Response) string { return strings.Fields(string(r.Body()))[2] }
		if origin(ok) != origin(first) {
			t.Errorf("another session:\n%s\n%s", first.Body(), ok.Body())
		}
		w.won(ok, w.fra, "200", "503")
	})
}

// A caller without an offer, a party that is full, and a route that does not say so: nothing overlaps.
func TestWhatDoesNotOverlap(t *testing.T) {
	play := func(t *testing.T, body func(w *world) string) func(w *world) {
		return func(w *world) {
			w.carrier.invite("plain", body(w))
			w.fra.request(msg.INVITE)
			w.zrh.reply(w.zrh.request(msg.INVITE), 503, "")
			w.zrh.request(msg.ACK)
			w.carrier.ack(w.carrier.status(480))
			w.attempted(w.receipt(), "silent", "503")
		}
	}
	t.Run("by default", func(t *testing.T) { run(t, nil, play(t, func(w *world) string { return w.carrier.sdp })) })
	t.Run("without an offer", func(t *testing.T) { overlapping(t, nil, play(t, func(*world) string { return "" })) })
	t.Run("full", func(t *testing.T) {
		overlapping(t, func(c *Config) { c.Parties[1].MaxCalls = 1 }, func(w *world) {
			w.hops = []routing.Hop{w.hop("fra", fraAddr), w.hop("fra", fraAddr)}
			w.carrier.invite("full", w.carrier.sdp)
			in := w.fra.request(msg.INVITE)
			time.Sleep(4 * time.Second)
			w.fra.drained()
			w.fra.reply(in, 200, w.fra.sdp)
			w.fra.request(msg.ACK)
			w.won(w.carrier.status(200), w.fra, "200", "full")
		})
	})
}

// A hop beside a silent one that refuses the first offer is made the second one, and still has the silent one beside it.
func TestASecondOfferBesideASilentHop(t *testing.T) {
	fallback := func(c *Config) { c.Parties[2].Fallback = Fallback{On488: fallbackCodecs, Codecs: []string{"PCMA"}} }
	overlapping(t, fallback, func(w *world) {
		w.carrier.sdp = strings.Replace(w.carrier.sdp, "AVP 8 101", "AVP 8 0 101", 1)
		in, at := w.beside("again")
		w.zrh.reply(at, 488, "")
		w.zrh.request(msg.ACK)
		again := w.zrh.invited(at)
		if !strings.Contains(string(at.Body()), "AVP 8 0 101") || !strings.Contains(string(again.Body()), "AVP 8 101") {
			t.Errorf("second offer:\n%s", again.Body())
		}
		w.fra.drained()
		w.fra.reply(in, 180, "")
		w.carrier.status(180)
		w.zrh.reply(again, 200, w.zrh.sdp)
		w.zrh.request(msg.ACK)
		ok := w.carrier.status(200)
		w.fra.cancelled(in)
		w.won(ok, w.zrh, "overtaken", "488", "200")
	})
}
