package sip

import (
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cordonsip/cordon/audit"
	"github.com/cordonsip/cordon/internal/vnet"
	"github.com/cordonsip/cordon/media"
	"github.com/cordonsip/cordon/routing"
	"github.com/cordonsip/cordon/sovereign"
	msg "github.com/emiago/sipgo/sip"
)

// consulted is one call between a caller of the carrier, or of zrh, and the agent at fra: who the far end is, and how each end names the dialog.
type consulted struct {
	far, agent *msg.Response // of whoever called
	farIn, in  *msg.Request  // of whoever was called
	id         string
}

// calls sets a call up between the agent at fra and a far end, in either direction. tag is the far end's, agent the agent's.
func (w *world) callsUp(p *peer, id, tag, agent string, inbound bool, more ...string) consulted {
	w.t.Helper()
	c := consulted{id: id}
	farTag, agentTag := p.tag, w.fra.tag
	p.tag, w.fra.tag = tag, agent
	from, to := p, w.fra
	if !inbound {
		from, to = w.fra, p
	}
	from.invite(id, from.sdp)
	in := to.request(msg.INVITE)
	to.reply(in, 200, to.sdp, more...)
	to.request(msg.ACK)
	ok := from.status(200)
	from.within(ok, "ACK", 1, "")
	if inbound {
		c.far, c.in = ok, in
	} else {
		c.agent, c.farIn = ok, in
	}
	p.tag, w.fra.tag = farTag, agentTag
	synctest.Wait()
	return c
}

// named is the agent's dialog of this call as a URI header, tag being the agent's.
func (c consulted) named(tag string) string {
	own := ""
	switch {
	case c.in != nil:
		own = c.in.CallID().Value() + "%3Bto-tag%3D" + c.in.From().Params.GetOr("tag", "")
	default:
		own = c.id + "%3Bto-tag%3D" + c.agent.To().Params.GetOr("tag", "")
	}
	return "<sip:x@10.0.0.1?Replaces=" + own + "%3Bfrom-tag%3D" + tag + ">"
}

// asks sends a request of the agent in this call.
func (c consulted) asks(w *world, method string, seq int, lines ...string) {
	if c.in != nil {
		w.fra.inside(c.in, method, seq, "", lines...)
	} else {
		w.fra.within(c.agent, method, seq+1, "", lines...)
	}
}

// says sends a request of the far end in this call.
func (c consulted) says(p *peer, method string, seq int, body string) {
	if c.farIn != nil {
		p.inside(c.farIn, method, seq, body)
	} else {
		p.within(c.far, method, seq+1, body)
	}
}

// bothWays plans calls of the carrier and of zrh to fra, and calls of fra to whom its number says.
func (w *world) bothWays(out string) {
	inner := w.plan
	w.plan = func(r routing.Request) routing.Plan {
		p := inner(r)
		p.Trunk = ""
		p.Hops = []routing.Hop{w.hop("fra", fraAddr)}
		if r.From == "fra" {
			p.Direction, p.Route = routing.Outbound, "out"
			p.Hops = []routing.Hop{w.hop("zrh", zrhAddr)}
			if out == "carrier" {
				p.Hops = []routing.Hop{w.hop("carrier", carrierAddr)}
			}
		}
		return p
	}
}

// An agent has two calls and joins them by a REFER whose Refer-To names the second one. Whoever called whom, and whether the far ends know Replaces or not, the two
// of them talk in the end: one is asked by a re-INVITE in its own dialog to go over, the other one hears nothing, and the agent is told and let go from both calls.
//
// Conforms: RFC 5589 section 7; an attended transfer joins the two far ends.
// Conforms: RFC 3891 section 6.1; Replaces in Refer-To is found by the dialog that the transferor has with us.
// Conforms: RFC 3264 section 8; who goes over is told the next version of its own session.
func TestTwoCallsAreJoined(t *testing.T) {
	for name, c := range map[string]struct{ first, second bool }{ // whether the far end called
		"both called us":             {true, true},
		"the first one called us":    {true, false},
		"the second one called us":   {false, true},
		"both were called, no words": {false, false},
	} {
		for _, id := range []string{"second", "second2", "second3", "second4"} { // on either loop
			t.Run(name, func(t *testing.T) {
				run(t, nil, func(w *world) {
					w.bothWays("carrier")
					one := w.callsUp(w.carrier, "first", "onetag", "agent1", c.first)
					w.bothWays("zrh")
					two := w.callsUp(w.zrh, id, "twotag", "agent2", c.second)
					w.carrier.tag, w.zrh.tag, w.fra.tag = "onetag", "twotag", "agent1"
					one.asks(w, "REFER", 1, "Refer-To: "+two.named("agent2"))
					w.fra.status(202)
					w.fra.notify("100 ", "active")
					re := w.zrh.request(msg.INVITE)
					if !strings.Contains(string(re.Body()), "a=sendrecv") || re.To().Params.GetOr("tag", "") != "twotag" {
						t.Errorf("re-INVITE:\n%s", re)
					}
					for _, leak := range []string{"10.1.0.1", "10.2.0.1", "carrier", "first", "agent1"} {
						if strings.Contains(string(w.zrh.last), leak) {
							t.Errorf("the re-INVITE shows %q:\n%s", leak, re)
						}
					}
					old := two.far
					if old != nil {
						was, now := strings.Fields(string(old.Body()))[2:4], strings.Fields(string(re.Body()))[2:4]
						if was[0] != now[0] || was[1] == now[1] {
							t.Errorf("origin %v became %v", was, now)
						}
					}
					w.zrh.reply(re, 200, w.zrh.sdp)
					w.zrh.request(msg.ACK)
					w.agentLeaves(one, two)
					w.carrier.silent(time.Second)
					// They talk, and what they say finds the other one.
					one.says(w.carrier, "INFO", 1, "")
					w.zrh.reply(w.zrh.request(msg.INFO), 200, "")
					w.carrier.status(200)
					two.says(w.zrh, "INFO", 1, "")
					w.carrier.reply(w.carrier.request(msg.INFO), 200, "")
					w.zrh.status(200)
					time.Sleep(3 * time.Minute)
					two.says(w.zrh, "BYE", 2, "")
					w.zrh.status(200)
					w.carrier.reply(w.carrier.request(msg.BYE), 200, "")
					w.joined()
				})
			})
		}
	}
}

// The one who goes over speaks as soon as it has our ACK, so its media is in force by then.
func TestWhoGoesOverIsHeardFromOurACKOn(t *testing.T) {
	for _, id := range []string{"second", "second2", "second3", "second4"} { // on either loop
		run(t, nil, func(w *world) {
			w.bothWays("zrh")
			one := w.callsUp(w.carrier, "first", "onetag", "agent1", true)
			two := w.callsUp(w.zrh, id, "twotag", "agent2", true)
			w.carrier.tag, w.zrh.tag, w.fra.tag = "onetag", "twotag", "agent1"
			var s *media.Session
			for _, sh := range w.edge.shards {
				sh.loop.Post(func() {
					for c := range sh.calls {
						if c.ask.callID == one.id {
							s = c.media.Load()
						}
					}
				})
			}
			one.asks(w, "REFER", 1, "Refer-To: "+two.named("agent2"))
			w.fra.status(202)
			w.fra.notify("100 ", "active")
			re := w.zrh.request(msg.INVITE)
			acks := 0
			w.net.Tap(func(p vnet.Packet) {
				if p.To != zrhAddr || !strings.HasPrefix(string(p.Data), "ACK ") {
					return
				}
				if acks++; len(s.Report().Former) != 1 {
					t.Error("our ACK left before the media was in force")
				}
			})
			w.zrh.reply(re, 200, w.zrh.sdp)
			w.zrh.request(msg.ACK)
			w.agentLeaves(one, two)
			w.zrh.reply(re, 200, w.zrh.sdp) // it comes again, and so does its ACK
			w.zrh.request(msg.ACK)
			w.zrh.silent(time.Second)
			if acks != 2 {
				t.Errorf("%d ACK", acks)
			}
			two.says(w.zrh, "BYE", 1, "")
			w.zrh.status(200)
			w.carrier.reply(w.carrier.request(msg.BYE), 200, "")
			time.Sleep(time.Minute)
		})
	}
}

// A session description is on its way in the call that stays, so who comes waits for our ACK, and gets it whatever becomes of the joining.
func TestWhoGoesOverGetsItsACK(t *testing.T) {
	for name, play := range map[string]func(w *world, one, two consulted){
		"the far end hangs up": func(w *world, one, two consulted) {
			two.says(w.zrh, "BYE", 1, "")
			w.zrh.status(200)
			w.zrh.request(msg.ACK)
			w.fra.leave(msg.BYE, msg.NOTIFY)
			one.says(w.carrier, "BYE", 2, "")
		},
		"the one who stays hangs up": func(w *world, one, _ consulted) {
			one.says(w.carrier, "BYE", 2, "")
			w.zrh.request(msg.ACK)
			w.zrh.reply(w.zrh.request(msg.BYE), 200, "")
		},
	} {
		t.Run(name, func(t *testing.T) {
			run(t, nil, func(w *world) {
				one, two, re := w.joining()
				one.says(w.carrier, "INVITE", 1, strings.Replace(w.carrier.sdp, "a=sendrecv", "a=sendonly", 1))
				w.fra.reply(w.fra.request(msg.INVITE), 100, "")
				w.zrh.reply(re, 200, w.zrh.sdp)
				w.zrh.silent(time.Second)
				play(w, one, two)
				time.Sleep(2 * time.Minute)
				synctest.Wait()
				if n := len(entries[audit.Receipt](w, audit.KindReceipt)); n != 2 {
					t.Errorf("%d receipts", n)
				}
				if n := w.edge.guests.n.Load(); n != 0 {
					t.Errorf("%d guests are left", n)
				}
			})
		})
	}
}

// leave takes requests of these methods in any order.
func (p *peer) leave(methods ...msg.RequestMethod) {
	p.w.t.Helper()
	for range methods {
		m, ok := p.read(10 * time.Second).(*msg.Request)
		if !ok || !slices.Contains(methods, m.Method) {
			p.w.t.Fatalf("%s got %s", p.name, text(m))
		}
		p.reply(m, 200, "")
	}
}

// agentLeaves lets the agent hear of the success and hang up in both calls.
func (w *world) agentLeaves(one, two consulted) {
	w.t.Helper()
	byes, told := 0, false
	for byes < 2 || !told {
		m, ok := w.fra.read(10 * time.Second).(*msg.Request)
		switch {
		case !ok:
			w.t.Fatalf("the agent waits: %d BYE, told %v", byes, told)
		case m.Method == msg.BYE:
			byes++
		case m.Method == msg.NOTIFY && strings.HasPrefix(string(m.Body()), "SIP/2.0 200 ") && strings.HasPrefix(value(m, "subscription-state"), "terminated"):
			told = true
		default:
			w.t.Fatalf("the agent got:\n%s", m)
		}
		w.fra.reply(m, 200, "")
	}
}

// joined checks the records of two calls that were joined.
func (w *world) joined() {
	w.t.Helper()
	time.Sleep(time.Second)
	rs := entries[audit.Receipt](w, audit.KindReceipt)
	if len(rs) != 2 {
		w.t.Fatalf("%d receipts", len(rs))
	}
	left, kept := rs[0], rs[1] // the second call ended when it was joined
	if len(left.Transfers) > 0 {
		left, kept = kept, left
	}
	if len(kept.Transfers) != 1 || kept.Transfers[0].How != "refer_replaces" || kept.Transfers[0].Result != "answered" || kept.Transfers[0].Attempts[0].Party != "zrh" ||
		kept.Transfers[0].Attempts[0].Verdict != "permit" {
		w.t.Errorf("%+v", kept.Transfers)
	}
	places := map[string]int{}
	for _, h := range kept.Hops {
		places[h.Plane+" "+h.RemoteAddr]++
	}
	for _, want := range []string{"signalling " + carrierAddr.String(), "signalling " + zrhAddr.String(), "media 10.1.0.1:30000", "media 10.3.0.1:30000"} {
		if places[want] == 0 {
			w.t.Errorf("no hop %s: %v", want, places)
		}
	}
	seen := false
	for _, h := range left.Hops {
		seen = seen || h.Plane == "signalling" && h.RemoteAddr == zrhAddr.String() && !h.Until.IsZero()
	}
	if !seen || left.Overall != "compliant" || kept.Overall != "compliant" || left.Outcome.SIPFinal != 200 {
		w.t.Errorf("%+v", left)
	}
	time.Sleep(2 * time.Minute)
	for _, p := range []string{"carrier", "fra", "zrh"} {
		if n := w.edge.partyLoad(p).Load(); n != 0 {
			w.t.Errorf("%d calls of %s are counted", n, p)
		}
	}
	if n := w.edge.guests.n.Load(); n != 0 {
		w.t.Errorf("%d guests are left", n)
	}
}

// pairUp sets two calls up that were both made to the agent, and gives them with the REFER that joins them still to be sent.
func (w *world) pairUp() (one, two consulted) {
	w.t.Helper()
	w.bothWays("zrh")
	one = w.callsUp(w.carrier, "first", "onetag", "agent1", true)
	two = w.callsUp(w.zrh, "second2", "twotag", "agent2", true)
	w.carrier.tag, w.zrh.tag, w.fra.tag = "onetag", "twotag", "agent1"
	return one, two
}

// joining is pairUp, and the far end of the second call was asked to come over.
func (w *world) joining() (one, two consulted, re *msg.Request) {
	w.t.Helper()
	one, two = w.pairUp()
	one.asks(w, "REFER", 1, "Refer-To: "+two.named("agent2"))
	w.fra.status(202)
	w.fra.notify("100 ", "active")
	return one, two, w.zrh.request(msg.INVITE)
}

// ends ends one of the two calls from its far end.
func (w *world) ends(c consulted, p *peer, seq int) {
	w.t.Helper()
	c.says(p, "BYE", seq, "")
	p.status(200)
	bye := w.fra.request(msg.BYE)
	if bye.CallID().Value() != c.in.CallID().Value() {
		w.t.Errorf("BYE of %s", bye.CallID().Value())
	}
	w.fra.reply(bye, 200, "")
}

// What fails leaves both calls as they were, or ends what cannot go on: nobody is left alone without a word.
//
// Conforms: RFC 3515 section 2.4.4; the transferor hears why its calls were not joined.
// Conforms: RFC 6141 section 3.1; a refused re-INVITE leaves the session of the far end as it was.
func TestTwoCallsThatAreNotJoined(t *testing.T) {
	for name, play := range map[string]func(w *world){
		"the far end refuses": func(w *world) {
			one, two, re := w.joining()
			w.zrh.reply(re, 488, "")
			w.zrh.request(msg.ACK)
			w.fra.notify("488 ", "terminated")
			two.says(w.zrh, "INFO", 1, "")
			w.fra.reply(w.fra.request(msg.INFO), 200, "")
			w.zrh.status(200)
			w.ends(two, w.zrh, 2)
			w.ends(one, w.carrier, 1)
		},
		"its media would be in a held place": func(w *world) {
			one, _, re := w.joining()
			w.zrh.reply(re, 200, testSDP("10.66.0.9", 30000))
			w.zrh.request(msg.ACK)
			w.zrh.reply(w.zrh.request(msg.BYE), 200, "")
			for range 2 { // BYE of that call and NOTIFY of this one
				m := w.fra.read(time.Second).(*msg.Request)
				if m.Method == msg.NOTIFY && !strings.HasPrefix(string(m.Body()), "SIP/2.0 403 ") {
					w.t.Errorf("%s", m.Body())
				}
				w.fra.reply(m, 200, "")
			}
			w.ends(one, w.carrier, 1)
			w.nothingLeftFor("10.66.0.9")
		},
		"the one who stays hangs up": func(w *world) {
			one, _, re := w.joining()
			one.says(w.carrier, "BYE", 1, "")
			w.carrier.status(200)
			w.fra.reply(w.fra.request(msg.BYE), 200, "")
			w.zrh.reply(re, 200, w.zrh.sdp)
			w.zrh.request(msg.ACK)
			w.zrh.reply(w.zrh.request(msg.BYE), 200, "")
			w.fra.reply(w.fra.request(msg.BYE), 200, "")
		},
		"the far end hangs up": func(w *world) {
			one, two, _ := w.joining()
			two.says(w.zrh, "BYE", 1, "")
			w.zrh.status(200)
			for range 2 {
				m := w.fra.read(time.Second).(*msg.Request)
				if m.Method == msg.NOTIFY && !strings.HasPrefix(string(m.Body()), "SIP/2.0 487 ") {
					w.t.Errorf("%s", m.Body())
				}
				w.fra.reply(m, 200, "")
			}
			w.ends(one, w.carrier, 1)
		},
		"it is the same call": func(w *world) {
			one, two := w.pairUp()
			one.asks(w, "REFER", 1, "Refer-To: "+one.named("agent1"))
			w.fra.status(603)
			w.ends(two, w.zrh, 1)
			w.ends(one, w.carrier, 1)
		},
		"it is another party's call": func(w *world) {
			one, two := w.pairUp()
			w.carrier.within(one.far, "REFER", 2, "", "Refer-To: "+two.named("agent2"))
			w.carrier.status(603)
			w.ends(two, w.zrh, 1)
			w.ends(one, w.carrier, 2)
		},
		"its place is permitted no more": func(w *world) {
			one, two := w.pairUp()
			w.fence.Swap(noZurich(w.t))
			w.fra.reply(w.fra.request(msg.BYE), 200, "") // the policy ends the second call at once
			one.asks(w, "REFER", 1, "Refer-To: "+two.named("agent2"))
			w.fra.status(603)
			w.ends(one, w.carrier, 1)
		},
	} {
		t.Run(name, func(t *testing.T) {
			run(t, nil, func(w *world) {
				play(w)
				time.Sleep(time.Second)
				synctest.Wait()
				rs := entries[audit.Receipt](w, audit.KindReceipt)
				xs := []audit.Transfer{}
				for _, r := range rs {
					xs = append(xs, r.Transfers...)
				}
				if len(rs) != 2 || len(xs) != 1 || xs[0].Result == "answered" {
					t.Errorf("%d receipts, transfers %+v", len(rs), xs)
				}
				time.Sleep(2 * time.Minute)
				for _, p := range []string{"carrier", "fra", "zrh"} {
					if n := w.edge.partyLoad(p).Load(); n != 0 {
						t.Errorf("%d calls of %s are counted", n, p)
					}
				}
				if n := w.edge.guests.n.Load(); n != 0 {
					t.Errorf("%d guests are left", n)
				}
			})
		})
	}
}

// noZurich is the policy without Zurich.
func noZurich(t *testing.T) *sovereign.Snapshot {
	t.Helper()
	fra, zrh := region(t, "aws:eu-central-1"), region(t, "aws:eu-central-2")
	atlas, err := sovereign.NewAtlas(nil, []sovereign.Declaration{
		{Prefix: "10.0.0.0/14", Region: fra, Contract: "us"}, {Prefix: "10.3.0.0/16", Region: zrh, Contract: "c3"},
	})
	if err != nil {
		t.Fatal(err)
	}
	s, err := sovereign.NewSnapshot(sovereign.SnapshotConfig{
		Policy: sovereign.Policy{Home: fra, Allow: []sovereign.Region{fra}}, Atlas: atlas,
		Parties: []sovereign.Party{
			{Name: "carrier", Kind: sovereign.KindTrunk, Region: fra},
			{Name: "fra", Kind: sovereign.KindGroup, Region: fra},
			{Name: "zrh", Kind: sovereign.KindGroup, Region: zrh},
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// The agent does not wait: it hangs up in both calls as soon as the REFER is accepted. The far ends are joined all the same.
//
// Conforms: RFC 5589 section 6.1; a transferor need not wait for the outcome.
func TestAnAgentThatDoesNotWaitForTheJoining(t *testing.T) {
	run(t, nil, func(w *world) {
		one, two, re := w.joining()
		w.fra.tag = "agent2"
		two.asks(w, "BYE", 1)
		w.fra.status(200)
		w.fra.tag = "agent1"
		one.asks(w, "BYE", 2)
		w.fra.status(200)
		two.says(w.zrh, "INVITE", 1, w.zrh.sdp) // its own change has to wait
		res := w.zrh.status(491)
		w.zrh.write(reAck(w.zrh, two.far, res, 2))
		w.zrh.reply(re, 200, w.zrh.sdp)
		w.zrh.request(msg.ACK)
		w.fra.silent(time.Second)
		one.says(w.carrier, "INFO", 1, "")
		w.zrh.reply(w.zrh.request(msg.INFO), 200, "")
		w.carrier.status(200)
		two.says(w.zrh, "BYE", 2, "")
		w.zrh.status(200)
		w.carrier.reply(w.carrier.request(msg.BYE), 200, "")
		w.joined()
	})
}

// The one who stays was on hold, and has formats that the other one does not: it is told once, by a re-INVITE.
func TestAJoiningEndsAHold(t *testing.T) {
	run(t, nil, func(w *world) {
		one, two := w.pairUp()
		w.fra.inside(one.in, "INVITE", 1, strings.Replace(w.fra.sdp, "a=sendrecv", "a=sendonly", 1))
		if re := w.holdAnswer(); re != nil {
			w.carrier.reply(re, 200, strings.Replace(w.carrier.sdp, "a=sendrecv", "a=recvonly", 1))
			w.carrier.request(msg.ACK)
		}
		w.fra.status(200)
		w.fra.inside(one.in, "ACK", 1, "")
		one.asks(w, "REFER", 2, "Refer-To: "+two.named("agent2"))
		w.fra.status(202)
		w.fra.notify("100 ", "active")
		re := w.zrh.request(msg.INVITE)
		w.zrh.reply(re, 200, w.zrh.sdp)
		w.zrh.request(msg.ACK)
		w.agentLeaves(one, two)
		again := w.carrier.request(msg.INVITE)
		if !strings.Contains(string(again.Body()), "a=sendrecv") {
			t.Errorf("re-INVITE:\n%s", again.Body())
		}
		w.carrier.reply(again, 200, w.carrier.sdp)
		w.carrier.request(msg.ACK)
		two.says(w.zrh, "BYE", 1, "")
		w.zrh.status(200)
		w.carrier.reply(w.carrier.request(msg.BYE), 200, "")
		w.joined()
	})
}
