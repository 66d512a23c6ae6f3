package sip

import (
	"encoding/json"
	"fmt"
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

// page sends a MESSAGE outside a dialog.
func (p *peer) page(id, kind, body string, more ...string) {
	p.w.t.Helper()
	raw := p.compose("MESSAGE", "sip:+4930123@edge.example", id, 1, "", body, more...)
	p.write(strings.Replace(raw, "Content-Type: application/sdp", "Content-Type: "+kind, 1))
}

// message gives the only record of a message, and checks that nothing of its content or of its people is in the log.
func (w *world) message() audit.MessageRelayed {
	w.t.Helper()
	time.Sleep(time.Second)
	synctest.Wait()
	all, err := w.log.Entries(w.t.Context(), 0, 1000)
	if err != nil {
		w.t.Fatal(err)
	}
	for _, e := range all {
		for _, secret := range []string{"hunter2", "4917012", "4930123", "Secret"} {
			if strings.Contains(string(e.Body), secret) {
				w.t.Errorf("%q is in the log: %s", secret, e.Body)
			}
		}
	}
	ms := entries[audit.MessageRelayed](w, audit.KindMessageRelayed)
	if len(ms) != 1 {
		w.t.Fatalf("%d records, want 1", len(ms))
	}
	return ms[0]
}

// A message goes the way that routing plans, its body untouched, and the record says where it went and on which ground.
//
// Conforms: RFC 3428 section 7; the request is sent on and its final response comes back.
// Conforms: RFC 3862 section 2; a CPIM body passes untouched where its type may go.
func TestMessage(t *testing.T) {
	run(t, func(c *Config) { c.Parties[1].Messages = []string{"message/cpim"} }, func(w *world) {
		asked := false
		inner := w.plan
		w.plan = func(r routing.Request) routing.Plan { asked = r.Message; return inner(r) }
		body := "From: <im:a@x>\r\nTo: <im:b@y>\r\n\r\nContent-Type: text/plain\r\n\r\nhunter2"
		w.carrier.page("page-of-a-caller", "message/cpim", body)
		req := w.fra.request(msg.MESSAGE)
		if string(req.Body()) != body || value(req, "content-type") != "message/cpim" || req.Contact() != nil || !asked {
			t.Errorf("MESSAGE:\n%s", req)
		}
		for _, leak := range []string{"10.1.0.1", "page-of-a-caller", "carriertag"} {
			if strings.Contains(strings.ReplaceAll(string(w.fra.last), body, ""), leak) {
				t.Errorf("%q crosses:\n%s", leak, req)
			}
		}
		w.fra.reply(req, 202, "")
		w.carrier.status(202)
		m := w.message()
		if m.From != "carrier" || m.To != "fra" || m.Bytes != len(body) || m.ContentType != "message/cpim" || m.SIPFinal != 202 || m.Overall != "compliant" ||
			len(m.Attempts) != 1 || m.Attempts[0].Verdict != "permit" || m.Hop == nil || m.Hop.DeclaredRegion != "aws:eu-central-1" {
			b, _ := json.Marshal(m)
			t.Errorf("%s", b)
		}
	})
}

// Hops that are silent or unwilling are passed over; a user's answer ends the walk.
func TestMessageFailsOver(t *testing.T) {
	for name, c := range map[string]struct{ first, second, want int }{"silent": {0, 200, 200}, "unwilling": {503, 200, 200}, "user": {404, 0, 404}, "none": {503, 500, 500}} {
		t.Run(name, func(t *testing.T) {
			run(t, nil, func(w *world) {
				w.carrier.page("m", "text/plain", "hunter2")
				first := w.fra.request(msg.MESSAGE)
				if c.first > 0 {
					w.fra.reply(first, c.first, "")
				}
				if c.second > 0 {
					w.zrh.reply(w.zrh.request(msg.MESSAGE), c.second, "")
				}
				if c.first == 0 {
					w.carrier.status(200)
				} else {
					w.carrier.status(c.want)
				}
				if m := w.message(); m.SIPFinal != c.want || (c.second > 0) != (len(m.Attempts) == 2) {
					t.Errorf("%+v", m)
				}
			})
		})
	}
}

// What came of a hop that took nothing is said as for a call, and health hears of it: a connection that is refused is no silence.
func TestMessageThatIsNotTaken(t *testing.T) {
	for name, c := range map[string]struct {
		play  func(w *world)
		word  string
		final int // 0: none
	}{
		"silence":              {func(*world) {}, "silent", 0}, // RFC 4320 section 4.2: no 408
		"a refused datagram":   {func(w *world) { w.net.Refuse(netip.MustParsePrefix("10.2.0.0/16")) }, "icmp", 480},
		"a refused connection": {func(w *world) { w.hops[0].Target.Transport = "tcp" }, "refused", 480},
	} {
		t.Run(name, func(t *testing.T) {
			run(t, nil, func(w *world) {
				c.play(w)
				w.hops = w.hops[:1]
				w.carrier.page("m", "text/plain", "hunter2")
				if c.final == 0 {
					w.carrier.status(100)
					w.carrier.silent(time.Minute)
				} else {
					w.carrier.status(c.final)
				}
				if m := w.message(); len(m.Attempts) != 1 || m.Attempts[0].Result != c.word || m.Overall != "compliant" {
					t.Errorf("%+v", m)
				}
				if o := w.outcomes; len(o) != 1 || o[0].Alive || o[0].Busy || !strings.HasPrefix(o[0].Cause, c.word+": ") {
					t.Errorf("health heard %+v", o)
				}
			})
		})
	}
}

// A message that the fence stops on its way says nothing of the target, and its sender hears that it was refused.
func TestMessageThatTheFenceStops(t *testing.T) {
	run(t, nil, func(w *world) {
		iad := w.granted()
		defer iad.conn.Close()
		w.carrier.page("m", "text/plain", "hunter2")
		iad.request(msg.MESSAGE)
		w.fence.Swap(testSnapshot(t)) // its copies are not let out any more
		w.carrier.status(403)
		if m := w.message(); m.Overall != "refused_by_policy" || m.Attempts[0].Result != "fenced" {
			t.Errorf("%+v", m)
		}
		if len(w.outcomes) != 0 {
			t.Errorf("health heard %+v", w.outcomes)
		}
	})
}

// A message whose only place is held is refused as a call is, and nothing leaves for there: neither by the plan, nor past the fence.
func TestMessageToAHeldPlaceIsRefused(t *testing.T) {
	for _, byFence := range []bool{false, true} {
		t.Run(fmt.Sprint(byFence), func(t *testing.T) {
			run(t, nil, func(w *world) {
				held := w.hop("iad", iadAddr)
				w.plan = func(r routing.Request) routing.Plan {
					p := routing.Plan{Route: "r", Direction: routing.Inbound, Held: true, Digest: "d", OnHold: routing.OnHold{Status: 603}}
					if byFence {
						p.Held, p.Hops = false, []routing.Hop{held}
						return p
					}
					p.Refused = []routing.Refused{{Party: "iad", Target: held.Target.ID(), Ruling: held.Ruling, Ground: held.Ruling.Ground}}
					return p
				}
				w.carrier.page("m", "text/plain", "hunter2")
				if res := w.carrier.status(603); value(res, "reason") == "" || value(res, "x-cordon-receipt") == "" {
					t.Errorf("\n%s", res)
				}
				if m := w.message(); m.Overall != "refused_by_policy" || m.Hop != nil || m.Attempts[0].Result != "refused_by_policy" {
					t.Errorf("%+v", m)
				}
				w.nothingLeftFor("10.66.0.1")
			})
		})
	}
}

// What is no message for us is refused before anybody is asked.
//
// Conforms: RFC 3428 section 8; a message that is too large for UDP is refused with 513.
func TestMessagesThatAreRefused(t *testing.T) {
	for name, c := range map[string]struct {
		kind, body, more string
		status           int
	}{
		"too large":      {"text/plain", strings.Repeat("x", 1301), "Y: z", 513},
		"a type":         {"message/cpim", "x", "Y: z", 415},
		"no type":        {"", "x", "Y: z", 415},
		"an encoding":    {"text/plain", "x", "Content-Encoding: gzip", 415},
		"an extension":   {"text/plain", "x", "Require: foo", 420},
		"no more hops":   {"text/plain", "x", "", 483},
		"large once out": {"text/plain", strings.Repeat("x", 1250), "Y: z", 513},
		"for help":       {"text/plain", "x", "Y: help", 603},
	} {
		t.Run(name, func(t *testing.T) {
			run(t, nil, func(w *world) {
				if name == "for help" {
					w.plan = func(r routing.Request) routing.Plan { return routing.Plan{Purpose: sovereign.EmergencyCall} }
				}
				raw := w.carrier.compose("MESSAGE", "sip:+4930123@edge.example", "m", 1, "", c.body, "Y: z", c.more)
				raw = strings.Replace(strings.Replace(raw, "Content-Type: application/sdp", "Content-Type: "+c.kind, 1), "Y: z\r\n\r\n", "Y: z\r\n", 1)
				if c.kind == "" {
					raw = strings.Replace(raw, "Content-Type: \r\n", "", 1)
				}
				if c.more == "" {
					raw = strings.Replace(strings.Replace(raw, "Max-Forwards: 70", "Max-Forwards: 0", 1), "Y: z\r\n\r\n", "Y: z\r\n", 1)
				}
				w.carrier.write(raw)
				w.carrier.status(c.status)
				w.fra.silent(10 * time.Second)
			})
		})
	}
}

// A stranger's place sends nothing, and what cannot be recorded is not relayed.
func TestMessageOfAnotherPlace(t *testing.T) {
	run(t, func(c *Config) {
		c.Parties[0].Sources = append(c.Parties[0].Sources, netip.MustParsePrefix("10.77.0.0/16"))
	}, func(w *world) {
		p := w.peer("carrier", netip.MustParseAddrPort("10.77.0.1:5060"))
		defer p.conn.Close()
		p.page("m", "text/plain", "hunter2")
		p.silent(time.Second)
		w.fra.silent(time.Second)
	})
}

// Inside a dialog a message goes to the other side, like INFO, where that side takes messages, and the log tells of it.
// Conforms: RFC 3428 section 4
func TestMessageInADialog(t *testing.T) {
	run(t, func(c *Config) { c.Parties[1].Messages = []string{"text/plain"} }, func(w *world) {
		ok, in := w.up("chat")
		tag := ok.To().Params.GetOr("tag", "")
		w.carrier.write(strings.Replace(w.carrier.compose("MESSAGE", "sip:10.0.0.1", "chat", 2, tag, "hunter2"), "application/sdp", "text/plain", 1))
		req := w.fra.request(msg.MESSAGE)
		if string(req.Body()) != "hunter2" || req.CallID().Value() != in.CallID().Value() {
			t.Errorf("\n%s", req)
		}
		w.fra.reply(req, 404, "") // would end the dialog: RFC 5057
		w.carrier.status(603)
		w.carrier.write(strings.Replace(w.carrier.compose("MESSAGE", "sip:10.0.0.1", "chat", 3, tag, "<x/>"), "application/sdp", "application/xml", 1))
		if res := w.carrier.status(415); value(res, "accept") != "text/plain" {
			t.Errorf("\n%s", res)
		}
		w.end(ok, 4)
		list := entries[audit.MessageRelayed](w, audit.KindMessageRelayed)
		if len(list) != 1 || list[0].From != "carrier" || list[0].To != "fra" || list[0].Bytes != 7 || list[0].SIPFinal != 404 || list[0].Hop == nil || list[0].Overall != "compliant" {
			t.Errorf("the log: %+v", list)
		}
	})
}

// Nobody sends messages to a party that says nothing of them, inside a call or outside.
func TestMessagesAreOffUntilSomebodyWantsThem(t *testing.T) {
	run(t, nil, func(w *world) {
		ok, _ := w.up("chat")
		tag := ok.To().Params.GetOr("tag", "")
		w.carrier.write(strings.Replace(w.carrier.compose("MESSAGE", "sip:10.0.0.1", "chat", 2, tag, "hunter2"), "application/sdp", "text/plain", 1))
		w.carrier.status(405)
		w.fra.silent(time.Second)
		w.plan = func(r routing.Request) routing.Plan { return routing.Plan{Purpose: r.Purpose} } // no route carries messages
		w.carrier.page("m", "text/plain", "hunter2")
		w.carrier.status(405)
		w.fra.silent(time.Second)
		w.end(ok, 3)
	})
}

// Which INFO packages a side takes is told to the other one, and 469 says it again; what could name a host is left out.
//
// Conforms: RFC 6086 section 5.2; Recv-Info crosses with the INVITE and with its 2xx.
// Conforms: RFC 6086 section 4.2.2; 469 crosses with Recv-Info.
func TestInfoPackagesCross(t *testing.T) {
	run(t, nil, func(w *world) {
		w.carrier.invite("packages", w.carrier.sdp, "Recv-Info: conf;at=10.1.0.1, trace")
		in := w.fra.request(msg.INVITE)
		if got := strings.Join(tokens(in, "recv-info"), " "); got != "conf trace" {
			t.Errorf("INVITE says %q", got)
		}
		w.fra.reply(in, 200, w.fra.sdp, "Recv-Info: trace")
		w.fra.request(msg.ACK)
		ok := w.carrier.status(200)
		if got := strings.Join(tokens(ok, "recv-info"), " "); got != "trace" {
			t.Errorf("200 says %q", got)
		}
		w.carrier.within(ok, "ACK", 1, "")
		w.carrier.within(ok, "INFO", 2, "", "Info-Package: conf")
		info := w.fra.request(msg.INFO)
		if value(info, "info-package") != "conf" {
			t.Errorf("\n%s", info)
		}
		w.fra.reply(info, 469, "", "Recv-Info: trace")
		if res := w.carrier.status(469); value(res, "recv-info") != "trace" {
			t.Errorf("\n%s", res)
		}
		w.end(ok, 3)
	})
}
