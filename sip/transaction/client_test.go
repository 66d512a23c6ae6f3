package transaction

import (
	"errors"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/emiago/sipgo/sip"

	"github.com/cordonsip/cordon/sip/transport"
)

// RFC 3261 section 17.1.1.2: Timer A doubles without bound, Timer B ends it after 64*T1.
// Conforms: RFC 3261 section 17.1.1.2
func TestInviteTimersAB(t *testing.T) {
	inWorld(t, Timers{}, func(w *world) {
		w.client(transport.UDP, sip.INVITE)
		w.pass(40 * time.Second)
		w.wantTimes("INVITE", ms(0, 500, 1500, 3500, 7500, 15500, 31500)...)
		w.wantFailure(ErrTimeout, 32*time.Second)
		w.pass(30 * time.Second)
		w.wantLen(0, 0)
	})
}

// Conforms: RFC 3261 section 17.1.1.2
func TestInviteOverStreamIsNotRepeated(t *testing.T) {
	for _, p := range []transport.Proto{transport.TCP, transport.TLS} {
		inWorld(t, Timers{}, func(w *world) {
			w.client(p, sip.INVITE)
			w.pass(33 * time.Second)
			w.wantTimes("INVITE", 0)
			w.wantFailure(ErrTimeout, 32*time.Second)
		})
	}
}

func TestTimersAreOfTheLayerAndOfTheTransaction(t *testing.T) {
	inWorld(t, Timers{T1: 100 * time.Millisecond, B: time.Second}, func(w *world) {
		w.client(transport.UDP, sip.INVITE)
		w.pass(2 * time.Second)
		w.wantTimes("INVITE", ms(0, 100, 300, 700)...)
		w.wantFailure(ErrTimeout, time.Second)
	})
	inWorld(t, Timers{}, func(w *world) {
		w.client(transport.UDP, sip.INVITE, WithTimeout(2*time.Second))
		w.pass(3 * time.Second)
		w.wantTimes("INVITE", ms(0, 500, 1500)...)
		w.wantFailure(ErrTimeout, 2*time.Second)
	})
}

// An INVITE that nobody waits for is not repeated, and what comes late is still seen to: a provisional response is cancelled, the refusal acknowledged.
func TestQuiet(t *testing.T) {
	inWorld(t, Timers{}, func(w *world) {
		c := w.client(transport.UDP, sip.INVITE)
		w.pass(2 * time.Second)
		w.do(func() { c.Quiet(); c.Cancel() })
		w.pass(20 * time.Second)
		w.wantTimes("INVITE", ms(0, 500, 1500)...)
		w.wantTimes("CANCEL")
		w.wantLen(1, 0)
		w.respond(c, 180, "b")
		w.wantTimes("CANCEL", 22*time.Second)
		w.respond(c, 487, "b")
		w.wantTimes("ACK", 22*time.Second)
		w.wantLen(2, 0) // the INVITE's, and the CANCEL's
		w.pass(40 * time.Second)
		w.wantLen(0, 0)
	})
	inWorld(t, Timers{}, func(w *world) {
		c := w.client(transport.UDP, sip.INVITE)
		w.do(c.Quiet)
		w.pass(40 * time.Second)
		w.wantTimes("INVITE", 0)
		w.wantFailure(ErrTimeout, 32*time.Second)
		w.pass(40 * time.Second)
		w.wantLen(0, 0)
	})
	inWorld(t, Timers{}, func(w *world) {
		c := w.client(transport.UDP, sip.BYE)
		w.do(c.Quiet)
		w.pass(time.Second)
		w.wantTimes("BYE", ms(0, 500)...)
		w.wantLen(1, 0)
	})
}

// A provisional response stops Timers A and B; the user waits as long as it wants.
// Conforms: RFC 3261 section 17.1.1.2
func TestInviteProceeding(t *testing.T) {
	inWorld(t, Timers{}, func(w *world) {
		c := w.client(transport.UDP, sip.INVITE)
		w.pass(200 * time.Millisecond)
		w.respond(c, 100, "")
		w.pass(time.Minute)
		w.wantTimes("INVITE", 0)
		w.respond(c, 180, "b")
		w.respond(c, 183, "b")
		if len(w.responses) != 3 || len(w.failures) != 0 {
			t.Errorf("%d responses and %d failures, want 3 and 0", len(w.responses), len(w.failures))
		}
		w.wantLen(1, 0)
	})
}

// T6: the ACK for a repeated refusal goes out at once, with the branch, Route and Request-URI of the INVITE and the To of the response.
// Conforms: RFC 3261 section 17.1.1.2; RFC 3261 section 17.1.1.3
func TestAckForRefusalAtOnce(t *testing.T) {
	inWorld(t, Timers{}, func(w *world) {
		c := w.client(transport.UDP, sip.INVITE)
		w.pass(100 * time.Millisecond)
		w.respond(c, 486, "b")
		w.wantTimes("ACK", ms(100)...)
		w.pass(500 * time.Millisecond)
		w.respond(c, 486, "b")
		w.wantTimes("ACK", ms(100, 600)...)
		if len(w.responses) != 1 {
			t.Errorf("the user saw the refusal %d times, want once", len(w.responses))
		}
		ack := w.wire[len(w.wire)-1].msg.(*sip.Request)
		inv := w.wire[0].msg.(*sip.Request)
		if ack.Via().Value() != inv.Via().Value() || ack.Recipient.String() != inv.Recipient.String() || ack.Route() == nil {
			t.Errorf("ACK %s does not repeat the INVITE's Via, Request-URI and Route", ack)
		}
		if tag, _ := ack.To().Params.Get("tag"); tag != "b" || ack.CSeq().Value() != "7 ACK" || ack.From().Value() != inv.From().Value() {
			t.Errorf("ACK has To %q and CSeq %q", ack.To().Value(), ack.CSeq().Value())
		}
		if n := len(ack.GetHeaders("via")); n != 1 {
			t.Errorf("ACK has %d Via", n)
		}
		w.pass(31 * time.Second)
		w.wantLen(1, 0) // Timer D began with the first refusal
		w.pass(2 * time.Second)
		w.wantLen(0, 0)
	})
}

// Conforms: RFC 3261 section 17.1.1.2
func TestRefusalOverStreamEndsAtOnce(t *testing.T) {
	inWorld(t, Timers{}, func(w *world) {
		c := w.client(transport.TCP, sip.INVITE)
		w.respond(c, 503, "b")
		w.wantTimes("ACK", 0)
		w.wantLen(0, 0)
	})
}

// RFC 6026: Accepted lasts Timer M, every 2xx of it reaches the user. T13: forked ones too.
// Conforms: RFC 6026 section 7.2
func TestAcceptedAndForks(t *testing.T) {
	for _, p := range []transport.Proto{transport.UDP, transport.TCP} {
		inWorld(t, Timers{}, func(w *world) {
			c := w.client(p, sip.INVITE)
			w.respond(c, 200, "b")
			w.pass(time.Second)
			w.respond(c, 200, "b")
			w.respond(c, 200, "c")
			w.respond(c, 180, "d")
			w.respond(c, 486, "d")
			var tags []string
			for _, r := range w.responses {
				tag, _ := r.To().Params.Get("tag")
				tags = append(tags, tag)
			}
			if got := strings.Join(tags, ""); got != "bbc" {
				t.Errorf("%s: 2xx with tags %q reached the user, want bbc", p, got)
			}
			w.wantTimes("ACK")
			w.pass(30 * time.Second)
			w.wantLen(1, 0)
			w.pass(2 * time.Second)
			w.wantLen(0, 0)
			w.respond(c, 200, "e")
			if len(w.strays) != 1 {
				t.Errorf("%s: %d strays, want the 2xx that came after Timer M", p, len(w.strays))
			}
		})
	}
}

// T13: one branch of a fork refused, another one answers: the user must end that call.
func TestAnswerAfterRefusal(t *testing.T) {
	inWorld(t, Timers{}, func(w *world) {
		c := w.client(transport.UDP, sip.INVITE)
		w.respond(c, 486, "b")
		w.respond(c, 200, "c")
		if len(w.responses) != 2 || w.responses[1].StatusCode != 200 || len(w.times("ACK")) != 1 {
			t.Errorf("%d responses and %d ACKs", len(w.responses), len(w.times("ACK")))
		}
	})
}

// RFC 3261 section 9.1: a CANCEL waits for the first provisional response, goes out once, and repeats the INVITE's branch.
// Conforms: RFC 3261 section 9.1
func TestCancelWaitsForProvisional(t *testing.T) {
	inWorld(t, Timers{}, func(w *world) {
		c := w.client(transport.UDP, sip.INVITE)
		w.do(func() { c.Cancel(sip.NewHeader("Reason", "SIP;cause=200")); c.Cancel() })
		w.wantTimes("CANCEL")
		w.pass(300 * time.Millisecond)
		w.respond(c, 180, "b")
		w.wantTimes("CANCEL", ms(300)...)
		w.do(func() { c.Cancel() })
		w.wantTimes("CANCEL", ms(300)...)
		x := w.wireOf(c.key.branch, sip.CANCEL)
		if x.CSeq().Value() != "7 CANCEL" || x.GetHeader("Reason") == nil || x.Route() == nil || len(x.GetHeaders("via")) != 1 {
			t.Errorf("CANCEL is wrong:\n%s", x)
		}
		w.respondTo(x, c.flow, 200, "b")
		w.respond(c, 487, "b")
		if n := len(w.responses); n != 2 || w.responses[1].StatusCode != 487 {
			t.Errorf("the user saw %d responses, want 180 and 487; the 200 is the CANCEL's", n)
		}
		w.pass(40 * time.Second)
		w.wantLen(0, 0)
	})
}

// A CANCEL that nobody follows up ends the INVITE after 64*T1.
// Conforms: RFC 3261 section 9.1
func TestCancelWithoutFinalResponse(t *testing.T) {
	inWorld(t, Timers{}, func(w *world) {
		c := w.client(transport.UDP, sip.INVITE)
		w.respond(c, 180, "b")
		w.pass(time.Second)
		w.do(func() { c.Cancel() })
		w.pass(33 * time.Second)
		w.wantFailure(ErrTimeout, 33*time.Second)
		w.pass(40 * time.Second)
		w.wantLen(0, 0)
	})
}

func TestCancelAfterFinalDoesNothing(t *testing.T) {
	inWorld(t, Timers{}, func(w *world) {
		c := w.client(transport.UDP, sip.INVITE)
		w.respond(c, 200, "b")
		w.do(func() { c.Cancel() })
		o := w.client(transport.UDP, sip.OPTIONS)
		w.do(func() { o.Cancel() })
		w.wantTimes("CANCEL")
	})
}

// What comes after an INVITE failed for its user is cleaned up: 1xx is cancelled, a refusal acknowledged, a 2xx shown to the user, who ends that call.
func TestLateResponses(t *testing.T) {
	inWorld(t, Timers{}, func(w *world) {
		c := w.client(transport.UDP, sip.INVITE, WithTimeout(2*time.Second))
		w.pass(3 * time.Second)
		w.wantFailure(ErrTimeout, 2*time.Second)
		w.respond(c, 180, "b")
		w.respond(c, 180, "b")
		w.wantTimes("CANCEL", ms(3000)...)
		w.respondTo(w.wireOf(c.key.branch, sip.CANCEL), c.flow, 200, "b")
		w.pass(time.Second)
		w.respond(c, 487, "b")
		w.wantTimes("ACK", ms(4000)...)
		w.respond(c, 200, "z")
		if len(w.strays) != 0 || len(w.responses) != 1 || w.responses[0].StatusCode != 200 {
			t.Errorf("%d strays and %d responses, want the late 2xx alone", len(w.strays), len(w.responses))
		}
		w.pass(70 * time.Second)
		w.wantLen(0, 0)
	})
}

// RFC 3261 section 17.1.2.2: Timer E doubles to T2, Timer F ends it; K keeps an answered one for T4, not for 32 s (T8).
// Conforms: RFC 3261 section 17.1.2.2
func TestNonInviteTimersEF(t *testing.T) {
	inWorld(t, Timers{}, func(w *world) {
		w.client(transport.UDP, sip.OPTIONS)
		w.pass(33 * time.Second)
		w.wantTimes("OPTIONS", ms(0, 500, 1500, 3500, 7500, 11500, 15500, 19500, 23500, 27500, 31500)...)
		w.wantFailure(ErrTimeout, 32*time.Second)
		w.wantLen(0, 0)
	})
}

// Conforms: RFC 3261 section 17.1.2.2
func TestNonInviteProceedingRepeatsAtT2(t *testing.T) {
	inWorld(t, Timers{}, func(w *world) {
		c := w.client(transport.UDP, sip.OPTIONS)
		w.pass(100 * time.Millisecond)
		w.respond(c, 100, "")
		w.pass(10 * time.Second)
		w.wantTimes("OPTIONS", ms(0, 500, 4500, 8500)...)
		w.respond(c, 200, "b")
		w.respond(c, 200, "b")
		if len(w.responses) != 2 {
			t.Errorf("%d responses, want 100 and one 200", len(w.responses))
		}
		w.pass(4900 * time.Millisecond)
		w.wantLen(1, 0)
		w.pass(200 * time.Millisecond)
		w.wantLen(0, 0)
	})
	inWorld(t, Timers{}, func(w *world) {
		c := w.client(transport.TLS, sip.BYE)
		w.respond(c, 200, "b")
		w.wantLen(0, 0)
	})
}

// A send that fails is told through the loop, never from within Request, and leaves nothing.
func TestSendFailure(t *testing.T) {
	inWorld(t, Timers{}, func(w *world) {
		w.do(func() { w.fail = transport.ErrUnreachable })
		var during int
		w.do(func() {
			w.l.Request(flowOf(transport.UDP), request(sip.INVITE), w)
			during = len(w.failures)
		})
		if during != 0 {
			t.Error("the user was called from within Request")
		}
		w.wantFailure(transport.ErrUnreachable, 0)
		w.wantLen(0, 0)
	})
}

// Conforms: RFC 3261 section 18.4
func TestLost(t *testing.T) {
	gone := transport.ErrGone
	for _, tt := range []struct {
		name   string
		p      transport.Proto
		method sip.RequestMethod
		status int // that came before, or 0
		fails  bool
	}{
		{"invite, nothing yet, icmp", transport.UDP, sip.INVITE, 0, true},
		{"invite rings, icmp of another datagram", transport.UDP, sip.INVITE, 180, false},
		{"invite rings, stream dies", transport.TLS, sip.INVITE, 180, true},
		{"invite answered", transport.TLS, sip.INVITE, 200, false},
		{"options, icmp", transport.UDP, sip.OPTIONS, 0, true},
		{"options proceeding, icmp", transport.UDP, sip.OPTIONS, 100, true},
		{"options answered", transport.UDP, sip.OPTIONS, 200, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			inWorld(t, Timers{}, func(w *world) {
				c := w.client(tt.p, tt.method)
				if tt.status != 0 {
					w.respond(c, tt.status, "b")
				}
				w.pass(10 * time.Millisecond)
				other := transport.Path(tt.p, here, netip.MustParseAddrPort("192.0.2.77:5060"))
				w.do(func() { w.l.Lost(other, gone) })
				if len(w.failures) != 0 {
					t.Fatal("a transaction of another flow failed")
				}
				// Another Flow value of the same path.
				w.do(func() { w.l.Lost(flowOf(tt.p), gone) })
				if fails := len(w.failures) == 1 && errors.Is(w.failures[0], gone); fails != tt.fails {
					t.Errorf("failures %v, want one: %v", w.failures, tt.fails)
				}
				w.do(func() { w.l.Lost(flowOf(tt.p), gone) })
				if len(w.failures) > 1 {
					t.Error("told twice")
				}
			})
		})
	}
}

// What fails is told in the order in which it was begun, so that a run is a function of its inputs.
func TestLostInOrder(t *testing.T) {
	inWorld(t, Timers{}, func(w *world) {
		var order []*Client
		var begun []*Client
		u := &order
		w.do(func() {
			for range 50 {
				begun = append(begun, w.l.Request(flowOf(transport.TCP), request(sip.OPTIONS), recorder{u}))
			}
			w.l.Lost(flowOf(transport.TCP), transport.ErrGone)
		})
		for i := range begun {
			if order[i] != begun[i] {
				t.Fatalf("failure %d is not of request %d", i, i)
			}
		}
		w.wantLen(0, 0)
	})
}

type recorder struct{ order *[]*Client }

func (r recorder) Response(*Client, *sip.Response) {}
func (r recorder) Failed(c *Client, _ error)       { *r.order = append(*r.order, c) }

// After the final response the request is not held, and of what was sent only what may be asked for again.
func TestMemoryAfterFinal(t *testing.T) {
	inWorld(t, Timers{}, func(w *world) {
		req := request(sip.INVITE)
		req.AppendHeader(sip.NewHeader("X-Large", strings.Repeat("x", 1000)))
		req.SetBody([]byte("v=0\r\n"))
		var c *Client
		w.do(func() { c = w.l.Request(flowOf(transport.UDP), req, w) })
		w.respond(c, 200, "b")
		if c.req != nil || c.wire != nil {
			t.Errorf("after the final response the transaction holds:\n%s\n%s", c.req, c.wire)
		}
		if len(req.Body()) == 0 {
			t.Error("the user's own request was touched")
		}
	})
}

// Send puts a fresh Via on top and makes no transaction.
// Conforms: RFC 3261 section 13.2.2.4
func TestAckFor2xxMakesNoTransaction(t *testing.T) {
	inWorld(t, Timers{}, func(w *world) {
		c := w.client(transport.UDP, sip.INVITE)
		w.respond(c, 200, "b")
		w.do(func() {
			if err := w.l.Send(c.Flow(), request(sip.ACK)); err != nil {
				t.Error(err)
			}
		})
		ack := w.wire[len(w.wire)-1].msg.(*sip.Request)
		a, _ := ack.Via().Params.Get("branch")
		if ack.Method != sip.ACK || a == c.key.branch || !strings.HasPrefix(a, cookie) {
			t.Errorf("ACK has branch %q", a)
		}
		w.wantLen(1, 0)
	})
}

// Conforms: RFC 3261 section 8.1.1.7
func TestBranches(t *testing.T) {
	inWorld(t, Timers{}, func(w *world) {
		seen := map[string]bool{}
		for range 200 {
			c := w.client(transport.UDP, sip.OPTIONS)
			if seen[c.key.branch] || len(c.key.branch) != len(cookie)+32 || !strings.HasPrefix(c.key.branch, "z9hG4bK") {
				t.Fatalf("branch %q", c.key.branch)
			}
			seen[c.key.branch] = true
		}
		via := w.wire[0].msg.Via()
		if via.Host != "192.0.2.1" || via.Port != 5060 || via.Transport != "UDP" || !via.Params.Has("rport") {
			t.Errorf("Via %q", via.Value())
		}
		c := w.client(transport.UDP, sip.BYE)
		w.respond(c, 200, "b")
		if len(w.responses) != 1 {
			t.Fatal("no response")
		}
	})
}

// A guessed or foreign branch, and the branch with another method, match nothing.
// Conforms: RFC 3261 section 17.1.3
func TestResponseMatching(t *testing.T) {
	inWorld(t, Timers{}, func(w *world) {
		c := w.client(transport.UDP, sip.INVITE)
		req := w.wire[0].msg.(*sip.Request)
		wrong := req.Clone()
		wrong.Via().Params.Add("branch", c.key.branch+"x")
		w.respondTo(wrong, c.flow, 200, "b")
		other := req.Clone()
		other.CSeq().MethodName = sip.BYE
		w.respondTo(other, c.flow, 200, "b")
		if len(w.strays) != 2 || len(w.responses) != 0 {
			t.Errorf("%d strays, %d responses, want 2 and 0", len(w.strays), len(w.responses))
		}
	})
}
