package sip

import (
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"
	"weak"

	msg "github.com/emiago/sipgo/sip"
)

// callsNow points at the calls that are up without holding them.
func (w *world) callsNow() (out []weak.Pointer[call]) {
	for _, sh := range w.edge.shards {
		sh.loop.Post(func() {
			for c := range sh.calls {
				out = append(out, weak.Make(c))
			}
		})
		synctest.Wait()
	}
	return out
}

// A REFER was sent on, and its call ends: before the other side has answered it the sender hears 487 at once and nothing after that, and a late answer of the other
// side begins no subscription. In any case the call is forgotten once its peers cannot repeat themselves any more, and not when the subscription would have ended.
//
// Conforms: RFC 3261 section 15.1.2; what is open in a dialog when BYE comes is answered with 487.
// Conforms: RFC 6665 section 4.1.3; a NOTIFY of a subscription that went with its call is 481.
func TestARelayedReferEndsWithItsCall(t *testing.T) {
	for name, c := range map[string]struct{ early, byCarrier bool }{
		"the sender hangs up before the answer":     {true, false},
		"the other side hangs up before the answer": {true, true},
		"the sender hangs up after the answer":      {false, false},
		"the other side hangs up after the answer":  {false, true},
	} {
		t.Run(name, func(t *testing.T) {
			run(t, func(c *Config) { c.Parties[1].Transfer = "relay" }, func(w *world) {
				w.numbers()
				ok, in := w.up("relay")
				alive := w.callsNow()
				w.fra.inside(in, "REFER", 1, "", "Refer-To: <sip:+41200@x>")
				ref := w.carrier.request(msg.REFER)
				if !c.early {
					w.carrier.reply(ref, 202, "")
					w.fra.status(202)
					w.fra.notify("100 ", "active")
				}
				if c.byCarrier {
					w.carrier.within(ok, "BYE", 2, "")
					w.carrier.status(200)
				} else {
					w.fra.inside(in, "BYE", 2, "")
					w.fra.status(200)
				}
				if c.early {
					for m := w.fra.read(time.Second); ; m = w.fra.read(time.Second) {
						if bye, is := m.(*msg.Request); is && bye.Method == msg.BYE {
							w.fra.reply(bye, 200, "")
							continue
						}
						if res, is := m.(*msg.Response); !is || res.StatusCode != 487 || res.CSeq().MethodName != msg.REFER {
							w.t.Fatalf("the REFER got %s", text(m))
						}
						break
					}
				} else if c.byCarrier {
					w.fra.reply(w.fra.request(msg.BYE), 200, "")
				}
				if !c.byCarrier {
					w.carrier.reply(w.carrier.request(msg.BYE), 200, "")
				}
				if c.early {
					w.carrier.reply(ref, 202, "")
				}
				raw := w.carrier.compose("NOTIFY", "sip:10.0.0.1", ok.CallID().Value(), 3, ok.To().Params.GetOr("tag", ""), "SIP/2.0 200 OK\r\n", "Event: refer", "Subscription-State: terminated")
				w.carrier.write(strings.Replace(raw, "application/sdp", "message/sipfrag", 1))
				w.carrier.status(481)
				if m := w.fra.read(time.Second); m != nil && !strings.HasPrefix(text(m), "BYE ") {
					t.Errorf("after the end the sender of the REFER got\n%s", text(m))
				} else if m != nil {
					w.fra.reply(m.(*msg.Request), 200, "")
				}
				w.receipt()
				time.Sleep(70 * time.Second) // 64*T1 of what was open at the end, and again of what stays of it; far less than referLasts
				synctest.Wait()
				runtime.GC()
				for _, p := range alive {
					if p.Value() != nil {
						t.Error("the call is still held")
					}
				}
				if len(alive) != 1 {
					t.Errorf("%d calls were up", len(alive))
				}
			})
		})
	}
}
