package transaction

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/emiago/sipgo/sip"

	"github.com/cordonsip/cordon/sip/transport"
)

// serverOf is a server transaction for a request, on a layer that sends nothing.
func serverOf(t *testing.T, l *Layer, raw string) *Server {
	t.Helper()
	m, err := transport.Parse([]byte(raw))
	if err != nil {
		t.Fatal(err)
	}
	req := m.(*sip.Request)
	return &Server{l: l, req: req, method: req.Method, tag: "ours"}
}

func silent(w *world) *Layer {
	return New(NewLoop(), func(transport.Flow, []byte) error { return nil }, w, Timers{})
}

func TestADraftIsWhatAResponseIs(t *testing.T) {
	l := silent(&world{t: t})
	var many []sip.Header
	for i := range 2 * draftRoom {
		many = append(many, sip.NewHeader("X-Many", fmt.Sprint(i)))
	}
	const second = "Via: SIP/2.0/UDP 192.0.2.7;branch=z9hG4bKfirst\r\n"
	for _, raw := range []string{
		incoming("INVITE", "z9hG4bKa", ""), incoming("INVITE", "z9hG4bKa", second+"Record-Route: <sip:p.example;lr>\r\nRecord-Route: <sip:q.example;lr>\r\nTimestamp: 5\r\n"),
		strings.Replace(incoming("BYE", "z9hG4bKb", second), "To: <sip:me@x.example>", "To: <sip:me@x.example>;x=y;tag=there", 1),
		incoming("BYE", "z9hG4bKc", "Session-ID: ab30317f1a784dc48ff824d0d3715d86;remote=00000000000000000000000000000000\r\n"),
	} {
		for _, status := range []int{100, 180, 200, 486} {
			for _, more := range [][]sip.Header{nil, many[:3], many, many[:1]} {
				s := serverOf(t, l, raw)
				whole, draft := s.Response(status, "", more...), s.Draft(status, "", more...)
				for _, m := range []*sip.Response{whole, draft} {
					m.AppendHeader(sip.NewHeader("Content-Type", "text/plain"))
					SetBody(m, []byte("body"))
				}
				if got, want := draft.String(), whole.String(); got != want {
					t.Errorf("a draft is\n%s, a response\n%s", got, want)
				}
				if draft.Via() != s.req.Via() || draft.To().Value() != whole.To().Value() || draft.CSeq() != whole.CSeq() {
					t.Error("a draft gives other headers when it is asked for them")
				}
				s.Release(draft)
				if len(l.replies.free) != 1 || len(l.replies.lent) != 0 {
					t.Fatalf("%d drafts wait, %d are lent", len(l.replies.free), len(l.replies.lent))
				}
			}
		}
	}
}

func TestADraftIsWhatARequestIs(t *testing.T) {
	var wire []string
	l := New(NewLoop(), func(_ transport.Flow, b []byte) error { wire = append(wire, string(b)); return nil }, &world{t: t}, Timers{})
	target := sip.Uri{Scheme: "sip", User: "b", Host: "b.example", Port: 5070, UriParams: sip.HeaderParams{{K: "transport", V: "udp"}}}
	route := &sip.RouteHeader{Address: sip.Uri{Scheme: "sip", Host: "p.example", UriParams: sip.HeaderParams{{K: "lr"}}}}
	for i, routes := range [][]*sip.RouteHeader{nil, {route, route}, nil} {
		for _, tag := range []string{"", "there"} {
			from, to := End{"A", sip.Uri{Scheme: "sip", User: "a", Host: "a.example"}, "here"}, End{"", target, tag}
			id, seq := fmt.Sprint("call", i), uint32(i+1)
			whole, draft := NewRequest(sip.ACK, target, routes, from, to, id, seq, 70), l.Draft(sip.ACK, target, routes, from, to, id, seq, 70)
			if got, want := draft.String(), whole.String(); got != want {
				t.Errorf("a draft is\n%s, a request\n%s", got, want)
			}
			wire = nil
			for _, req := range []*sip.Request{whole, &draft.Request} {
				if err := l.Send(flowOf(transport.UDP), req); err != nil {
					t.Fatal(err)
				}
			}
			l.Flush()
			if cut := func(s string) string { a, b, _ := strings.Cut(s, "branch="); return a + b[strings.Index(b, ";"):] }; cut(wire[0]) != cut(wire[1]) {
				t.Errorf("a draft is sent as\n%s, a request as\n%s", wire[1], wire[0])
			}
			if l.Release(draft); len(l.requests) != 1 || l.requests[0] != draft {
				t.Fatalf("%d drafts wait", len(l.requests))
			}
		}
	}
}

// TestDraftsHoldNothing holds that nothing of a message is left in the memory of the next one, whatever it had.
func TestDraftsHoldNothing(t *testing.T) {
	l := silent(&world{t: t})
	for _, headers := range []int{0, 5, 2 * draftRoom} {
		s := serverOf(t, l, incoming("BYE", "z9hG4bKd", "Record-Route: <sip:p.example;lr>\r\n"))
		res := s.Draft(200, "Fine")
		req := l.Draft(sip.BYE, sip.Uri{Host: "h"}, []*sip.RouteHeader{{}}, End{"A", sip.Uri{Host: "a"}, "x"}, End{"B", sip.Uri{Host: "b"}, "y"}, "id", 3, 70)
		for _, m := range []sip.Message{res, &req.Request} {
			for range headers {
				m.AppendHeader(sip.NewHeader("Contact", "<sip:c@c.example>"))
			}
			m.AppendHeader(&sip.ContactHeader{Address: sip.Uri{Host: "c"}})
			SetBody(m, []byte("body"))
			m.SetTransport("UDP")
			m.SetSource("192.0.2.4:5060")
		}
		s.Release(res)
		l.Release(req)
		a, b := l.replies.free[0], l.requests[0]
		if &a.Response != res || b != req {
			t.Fatal("the drafts were not used again")
		}
		if !reflect.DeepEqual(a, newDraftReply()) || !reflect.DeepEqual(b, newDraft()) {
			t.Errorf("with %d headers more something is left in %+v or %+v", headers, a, b)
		}
		for _, room := range [][]sip.Header{a.Headers(), b.Headers()} {
			if room = room[:cap(room)]; len(room) < draftRoom || slices.ContainsFunc(room, func(h sip.Header) bool { return h != nil }) {
				t.Errorf("the room for headers holds %v", room)
			}
		}
	}
}

// TestDraftsHaveABound holds that a burst does not hold its memory for ever, and that a layer that is none needs none.
func TestDraftsHaveABound(t *testing.T) {
	l := silent(&world{t: t})
	for range 2 * maxDrafts {
		l.Release((*Layer)(nil).Draft(sip.BYE, sip.Uri{}, nil, End{}, End{}, "", 1, 70))
	}
	if l.Release(nil); len(l.requests) != maxDrafts {
		t.Errorf("%d requests wait", len(l.requests))
	}
	s := serverOf(t, l, incoming("BYE", "z9hG4bKe", ""))
	for range 2 * maxDrafts {
		s.Draft(200, "")
	}
	if len(l.replies.lent) != maxDrafts || len(l.replies.free) != 0 {
		t.Errorf("%d responses are remembered, %d wait", len(l.replies.lent), len(l.replies.free))
	}
}

// TestDraftsThatWait holds that a 2xx to INVITE stays what it is until its Release, whatever is drawn meanwhile, and that those which nobody gives back are not
// remembered for ever.
func TestDraftsThatWait(t *testing.T) {
	inWorld(t, Timers{}, func(w *world) {
		s := w.ask("INVITE", transport.UDP)
		w.do(func() {
			if err := s.Respond(s.Draft(180, "")); err != nil {
				t.Error(err)
			}
			ok := s.Draft(200, "", sip.NewHeader("X-Mine", "kept"))
			if err := s.Respond(ok); err != nil {
				t.Error(err)
			}
			want := ok.String()
			for range 3 * maxDrafts {
				s.Draft(200, "", sip.NewHeader("X-Other", "lost"))
			}
			if ok.String() != want || !strings.Contains(want, "X-Mine: kept") {
				t.Errorf("the 2xx became %s", ok)
			}
			if n := len(w.l.replies.lent); n != maxDrafts {
				t.Errorf("%d drafts are remembered", n)
			}
			s.Release(ok) // too late: it is its holder's
			if ok.String() != want {
				t.Errorf("the 2xx became %s", ok)
			}
			late := s.Draft(200, "")
			s.Release(late)
			s.Release(late)
			if free := w.l.replies.free; len(free) != 1 || &free[0].Response != late {
				t.Errorf("%d drafts wait", len(free))
			}
		})
	})
}
