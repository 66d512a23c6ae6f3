package transaction

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/emiago/sipgo/sip"

	"github.com/cordonsip/cordon/sip/transport"
)

// ask lets a request come in and gives its transaction.
func (w *world) ask(method string, p transport.Proto) *Server {
	w.t.Helper()
	n := len(w.servers)
	w.arrive(incoming(method, "z9hG4bKin", ""), flowOf(p))
	if len(w.servers) != n+1 {
		w.t.Fatalf("%d new transactions, want 1", len(w.servers)-n)
	}
	return w.servers[n]
}

func (w *world) answer(s *Server, status int) (err error) {
	w.do(func() { err = s.Respond(s.Response(status, "")) })
	return err
}

// last is the last response on the wire.
func (w *world) last() *sip.Response {
	w.t.Helper()
	for i := len(w.wire) - 1; i >= 0; i-- {
		if res, ok := w.wire[i].msg.(*sip.Response); ok {
			return res
		}
	}
	w.t.Fatal("no response on the wire")
	return nil
}

// RFC 3261 section 17.2.1: 100 after 200 ms, unless the user was faster.
// Conforms: RFC 3261 section 17.2.1
func TestTrying(t *testing.T) {
	inWorld(t, Timers{}, func(w *world) {
		s := w.ask("INVITE", transport.UDP)
		w.pass(time.Second)
		w.wantTimes("SIP/2.0 100 Trying", ms(200)...)
		if w.last().To().Params.Has("tag") {
			t.Error("the 100 has a To-tag")
		}
		w.arrive(incoming("INVITE", "z9hG4bKin", ""), flowOf(transport.UDP))
		w.wantTimes("SIP/2.0 100 Trying", ms(200, 1000)...)
		w.answer(s, 180)
		w.arrive(incoming("INVITE", "z9hG4bKin", ""), flowOf(transport.UDP))
		w.wantTimes("SIP/2.0 180 Ringing", ms(1000, 1000)...)
		if len(w.servers) != 1 {
			t.Errorf("%d transactions", len(w.servers))
		}
	})
	inWorld(t, Timers{}, func(w *world) {
		s := w.ask("INVITE", transport.UDP)
		w.answer(s, 183)
		w.pass(time.Second)
		w.wantTimes("SIP/2.0 100")
		s2 := s.Response(100, "")
		if s2.To().Params.Has("tag") {
			t.Error("a 100 has a To-tag")
		}
	})
}

// Timer G repeats a refusal, the ACK stops it, Timer I ends it.
// Conforms: RFC 3261 section 17.2.1
func TestInviteRefused(t *testing.T) {
	inWorld(t, Timers{}, func(w *world) {
		s := w.ask("INVITE", transport.UDP)
		w.answer(s, 486)
		w.pass(8 * time.Second)
		w.wantTimes("SIP/2.0 486", ms(0, 500, 1500, 3500, 7500)...)
		w.arrive(incoming("ACK", "z9hG4bKin", ""), flowOf(transport.UDP))
		w.arrive(incoming("ACK", "z9hG4bKin", ""), flowOf(transport.UDP))
		w.arrive(incoming("INVITE", "z9hG4bKin", ""), flowOf(transport.UDP)) // reordered
		w.pass(4900 * time.Millisecond)
		w.wantTimes("SIP/2.0 486", ms(0, 500, 1500, 3500, 7500)...)
		w.wantLen(0, 1)
		w.pass(200 * time.Millisecond)
		w.wantLen(0, 0)
		if len(w.acks) != 0 {
			t.Errorf("%d ACKs reached the user", len(w.acks))
		}
	})
	inWorld(t, Timers{}, func(w *world) {
		s := w.ask("INVITE", transport.TCP)
		w.answer(s, 603)
		w.pass(10 * time.Second)
		w.wantTimes("SIP/2.0 603", 0)
		w.arrive(incoming("ACK", "z9hG4bKin", ""), flowOf(transport.TCP))
		w.wantLen(0, 0)
	})
}

// Timer H: no ACK came.
// Conforms: RFC 3261 section 17.2.1
func TestInviteWithoutAck(t *testing.T) {
	for _, p := range []transport.Proto{transport.UDP, transport.TLS} {
		inWorld(t, Timers{}, func(w *world) {
			s := w.ask("INVITE", p)
			w.answer(s, 500)
			w.pass(32*time.Second - time.Millisecond)
			w.wantLen(0, 1)
			w.pass(2 * time.Millisecond)
			w.wantLen(0, 0)
			if n := len(w.times("SIP/2.0 500")); p == transport.UDP && n != 11 {
				t.Errorf("the refusal was sent %d times, want 11 (Timer G up to T2)", n)
			}
		})
	}
}

// RFC 6026: in Accepted retransmitted INVITEs are absorbed, the user repeats its 2xx, ACKs are the user's, Timer L ends it. T16: an ACK makes nothing.
// Conforms: RFC 6026 section 7.1
func TestInviteAccepted(t *testing.T) {
	inWorld(t, Timers{}, func(w *world) {
		s := w.ask("INVITE", transport.UDP)
		w.answer(s, 200)
		w.arrive(incoming("INVITE", "z9hG4bKin", ""), flowOf(transport.UDP))
		w.wantTimes("SIP/2.0 200", 0)
		w.pass(500 * time.Millisecond)
		w.do(func() {
			if err := s.Respond(w.last()); err != nil { // the user has kept it: of a 2xx the transaction holds nothing
				t.Errorf("the 2xx again: %v", err)
			}
		})
		w.wantTimes("SIP/2.0 200", ms(0, 500)...)
		if err := w.answer(s, 486); !errors.Is(err, ErrAnswered) {
			t.Errorf("a refusal after the 2xx: %v", err)
		}
		w.arrive(incoming("ACK", "z9hG4bKother", ""), flowOf(transport.UDP))
		w.arrive(incoming("ACK", "z9hG4bKin", ""), flowOf(transport.UDP))
		if len(w.acks) != 2 {
			t.Errorf("%d ACKs reached the user, want both", len(w.acks))
		}
		w.pass(31 * time.Second)
		w.wantLen(0, 1)
		w.pass(time.Second)
		w.wantLen(0, 0)
	})
}

// T1: a 2xx that could not be sent starts Timer L all the same, so nothing is left behind.
func TestSendErrorLeavesNothing(t *testing.T) {
	for _, status := range []int{200, 486} {
		inWorld(t, Timers{}, func(w *world) {
			s := w.ask("INVITE", transport.UDP)
			w.do(func() { w.fail = transport.ErrGone })
			if err := w.answer(s, status); err != nil {
				t.Errorf("%d: %v", status, err)
			}
			w.wantTimes("SIP/2.0")
			w.pass(33 * time.Second)
			w.wantLen(0, 0)
		})
	}
}

// T7: one To-tag in every response of a transaction, also in the answer to CANCEL; the 487 is the user's.
// Conforms: RFC 3261 section 9.2
func TestCancel(t *testing.T) {
	inWorld(t, Timers{}, func(w *world) {
		var cancels int
		w.onServer = func(s *Server) { s.OnCancel(func(*sip.Request) { cancels++ }) }
		s := w.ask("INVITE", transport.UDP)
		w.answer(s, 180)
		w.arrive(incoming("CANCEL", "z9hG4bKin", ""), flowOf(transport.UDP))
		w.arrive(incoming("CANCEL", "z9hG4bKin", ""), flowOf(transport.UDP))
		w.wantTimes("SIP/2.0 200", 0, 0)
		w.wantTimes("SIP/2.0 487")
		if cancels != 1 {
			t.Errorf("the user was told %d times, want once", cancels)
		}
		w.pass(time.Second)
		w.do(func() { s.Respond(s.Response(487, "", sip.NewHeader("Reason", "SIP;cause=200"))) })
		tags := map[string]int{}
		for _, m := range w.wire {
			tag, _ := m.msg.To().Params.Get("tag")
			tags[tag]++
		}
		if len(tags) != 1 || tags[s.Tag()] != 4 {
			t.Errorf("To-tags %v, want %q in four responses", tags, s.Tag())
		}
		w.arrive(incoming("ACK", "z9hG4bKin", ""), flowOf(transport.UDP))
		w.pass(40 * time.Second)
		w.wantLen(0, 0)
	})
}

// Conforms: RFC 3261 section 9.2
func TestCancelOfNothing(t *testing.T) {
	inWorld(t, Timers{}, func(w *world) {
		w.arrive(incoming("CANCEL", "z9hG4bKin", ""), flowOf(transport.UDP))
		w.wantTimes("SIP/2.0 481 Call/Transaction Does Not Exist", 0)
		if len(w.servers) != 0 {
			t.Error("the user saw a CANCEL")
		}
		w.pass(33 * time.Second)
		w.wantLen(0, 0)
	})
	// After the final response it is answered and changes nothing.
	inWorld(t, Timers{}, func(w *world) {
		s := w.ask("INVITE", transport.UDP)
		called := false
		w.do(func() { s.OnCancel(func(*sip.Request) { called = true }) })
		w.answer(s, 200)
		w.arrive(incoming("CANCEL", "z9hG4bKin", ""), flowOf(transport.UDP))
		w.wantTimes("SIP/2.0 200", 0, 0)
		if called {
			t.Error("the user was told of a CANCEL after its 2xx")
		}
	})
	// A CANCEL that came before the user asked for it is not lost.
	inWorld(t, Timers{}, func(w *world) {
		s := w.ask("INVITE", transport.UDP)
		w.arrive(incoming("CANCEL", "z9hG4bKin", ""), flowOf(transport.UDP))
		var got *sip.Request
		w.do(func() { s.OnCancel(func(r *sip.Request) { got = r }) })
		if got == nil || got.Method != sip.CANCEL {
			t.Error("the CANCEL was lost")
		}
	})
}

// What one party sends touches nothing of another, even with a branch that it learned.
func TestPartiesAreApart(t *testing.T) {
	inWorld(t, Timers{}, func(w *world) {
		s := w.ask("INVITE", transport.UDP)
		called := false
		w.do(func() { s.OnCancel(func(*sip.Request) { called = true }) })
		msg, _ := transport.Parse([]byte(incoming("CANCEL", "z9hG4bKin", "")))
		w.do(func() { w.l.Receive(transport.Incoming{Msg: msg, Flow: flowOf(transport.UDP), Party: "other"}) })
		if called {
			t.Error("another party cancelled the call")
		}
		w.wantTimes("SIP/2.0 481", 0)
	})
}

// Timer J keeps the answer for retransmissions; over a stream nothing is kept.
// Conforms: RFC 3261 section 17.2.2
func TestNonInvite(t *testing.T) {
	inWorld(t, Timers{}, func(w *world) {
		s := w.ask("OPTIONS", transport.UDP)
		w.answer(s, 200)
		w.pass(time.Second)
		w.arrive(incoming("OPTIONS", "z9hG4bKin", ""), flowOf(transport.UDP))
		w.wantTimes("SIP/2.0 200", ms(0, 1000)...)
		if err := w.answer(s, 200); !errors.Is(err, ErrAnswered) {
			t.Errorf("a second answer: %v", err)
		}
		w.pass(30 * time.Second)
		w.wantLen(0, 1)
		w.pass(2 * time.Second)
		w.wantLen(0, 0)
	})
	inWorld(t, Timers{}, func(w *world) {
		s := w.ask("OPTIONS", transport.TLS)
		w.answer(s, 200)
		w.wantLen(0, 0)
	})
}

// RFC 4320: 100 no sooner than Timer E reaches T2, no other 1xx, no 408, and the end when no answer can arrive any more.
// Conforms: RFC 4320 section 4.1; RFC 4320 section 4.2
func TestNonInviteRFC4320(t *testing.T) {
	inWorld(t, Timers{}, func(w *world) {
		s := w.ask("INFO", transport.UDP)
		if err := w.answer(s, 183); !errors.Is(err, ErrForbidden) {
			t.Errorf("183: %v", err)
		}
		w.pass(33 * time.Second)
		w.wantTimes("SIP/2.0 ", ms(3500)...)
		w.wantLen(0, 0)
	})
	inWorld(t, Timers{}, func(w *world) {
		s := w.ask("INFO", transport.UDP)
		if err := w.answer(s, 408); !errors.Is(err, ErrForbidden) {
			t.Errorf("408: %v", err)
		}
		w.wantTimes("SIP/2.0 ")
		w.wantLen(0, 0)
	})
}

// RFC 3261 section 8.2.2.2: the same request over another path.
// Conforms: RFC 3261 section 8.2.2.2
func TestMerged(t *testing.T) {
	inWorld(t, Timers{}, func(w *world) {
		w.arrive(incoming("INVITE", "z9hG4bKone", ""), flowOf(transport.UDP))
		w.arrive(incoming("INVITE", "z9hG4bKtwo", ""), flowOf(transport.UDP))
		w.arrive(strings.Replace(incoming("INVITE", "z9hG4bKthree", ""), "To: <sip:me@x.example>", "To: <sip:me@x.example>;tag=t", 1), flowOf(transport.UDP))
		var got []bool
		for _, s := range w.servers {
			got = append(got, s.Merged())
			w.answer(s, 486)
		}
		if fmt.Sprint(got) != "[false true false]" {
			t.Errorf("merged %v", got)
		}
		w.pass(time.Minute)
		w.wantLen(0, 0)
		w.arrive(incoming("INVITE", "z9hG4bKfour", ""), flowOf(transport.UDP))
		if w.servers[3].Merged() || len(w.l.merges) != 1 {
			t.Error("what ended long ago still counts")
		}
	})
}

// Requests of RFC 2543, without the magic cookie, are told apart by what else they have. RFC 3261 section 17.2.3.
// Conforms: RFC 3261 section 17.2.3
func TestOldBranches(t *testing.T) {
	inWorld(t, Timers{}, func(w *world) {
		for _, branch := range []string{"1", "z9hG4bK"} {
			n := len(w.servers)
			one := incoming("INVITE", branch, "")
			w.arrive(one, flowOf(transport.UDP))
			w.arrive(one, flowOf(transport.UDP))
			w.arrive(strings.Replace(one, "CSeq: 1", "CSeq: 2", 1), flowOf(transport.UDP))
			w.arrive(strings.Replace(one, "Call-ID: in", "Call-ID: other", 1), flowOf(transport.UDP))
			if len(w.servers) != n+3 {
				t.Fatalf("branch %q: %d transactions, want 3", branch, len(w.servers)-n)
			}
			w.answer(w.servers[n], 486)
			ack := strings.Replace(incoming("ACK", branch, ""), "To: <sip:me@x.example>", "To: <sip:me@x.example>;tag="+w.servers[n].Tag(), 1)
			w.arrive(ack, flowOf(transport.UDP))
			if len(w.acks) != 0 {
				t.Errorf("branch %q: the ACK did not match", branch)
			}
		}
	})
}

// Conforms: RFC 3261 section 8.2.6
func TestResponseIsBuiltFromTheRequest(t *testing.T) {
	inWorld(t, Timers{}, func(w *world) {
		raw := incoming("INVITE", "z9hG4bKin", "Record-Route: <sip:p1.example;lr>, <sip:p2.example;lr>\r\nVia: SIP/2.0/UDP far.example;branch=z9hG4bKfar\r\nTimestamp: 54\r\n")
		w.arrive(raw, flowOf(transport.UDP))
		s := w.servers[0]
		req := s.Req()
		w.do(func() {
			res := s.Response(200, "Fine", sip.NewHeader("Contact", "<sip:edge@192.0.2.1>"))
			res.SetBody([]byte("v=0\r\n"))
			if err := s.Respond(res); err != nil {
				t.Error(err)
			}
		})
		res := w.last()
		if res.Reason != "Fine" || len(res.GetHeaders("via")) != 2 || len(res.GetHeaders("record-route")) != 2 || string(res.Body()) != "v=0\r\n" || res.Contact() == nil {
			t.Errorf("response\n%s", res)
		}
		if tag, _ := res.To().Params.Get("tag"); tag != s.Tag() || len(tag) != 32 {
			t.Errorf("To-tag %q", tag)
		}
		if req.To().Params.Has("tag") {
			t.Error("the request was touched")
		}
		if s.req != nil || s.Req().CSeq().Value() != req.CSeq().Value() || s.Seq() != 1 {
			t.Errorf("after the final response the transaction holds\n%s\nand gives\n%s", s.req, s.Req())
		}
		w.do(func() {
			if err := s.Respond(s.Response(500, "")); !errors.Is(err, ErrAnswered) {
				t.Errorf("a second final response: %v", err)
			}
		})
	})
	inWorld(t, Timers{}, func(w *world) {
		w.arrive(strings.Replace(incoming("BYE", "z9hG4bKin", ""), "To: <sip:me@x.example>", "To: <sip:me@x.example>;tag=t", 1), flowOf(transport.UDP))
		s := w.servers[0]
		if tag, _ := s.Response(200, "").To().Params.Get("tag"); tag != "t" || s.Tag() != "t" || len(s.Response(200, "").To().Params) != 1 {
			t.Errorf("To-tag %q inside a dialog", tag)
		}
	})
	for status, want := range map[int]string{199: "Early Dialog Terminated", 299: "OK", 399: "Redirection", 499: "Request Failure", 599: "Server Failure", 699: "Global Failure", 150: "Session Progress"} {
		if got := Reason(status); got != want {
			t.Errorf("%d: %q, want %q", status, got, want)
		}
	}
}

// Requests that only look like messages of a transaction must not be trusted to have what the parser demands.
func TestNilHeaders(t *testing.T) {
	inWorld(t, Timers{}, func(w *world) {
		w.do(func() {
			w.l.Receive(transport.Incoming{Msg: sip.NewRequest(sip.INVITE, sip.Uri{Scheme: "sip", Host: "x"})})
			w.l.Receive(transport.Incoming{Msg: sip.NewResponse(200, "OK")})
		})
		w.wantLen(0, 0)
	})
}
