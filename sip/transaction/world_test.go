package transaction

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/emiago/sipgo/sip"

	"github.com/cordonsip/cordon/sip/transport"
)

var (
	here  = netip.MustParseAddrPort("192.0.2.1:5060")
	there = netip.MustParseAddrPort("192.0.2.9:5060")
)

// sent is one message that the layer wrote.
type sent struct {
	at   time.Duration
	flow transport.Flow
	msg  sip.Message
	raw  string
}

func (s sent) String() string { return fmt.Sprintf("%v %s", s.at, firstLine(s.raw)) }

func firstLine(s string) string {
	l, _, _ := strings.Cut(s, "\r\n")
	return l
}

// world is one layer on its loop, with a wire that only records.
type world struct {
	t     *testing.T
	loop  *Actor
	l     *Layer
	start time.Time
	wire  []sent
	fail  error // what the wire answers
	end   context.CancelFunc

	// The layer's user.
	servers  []*Server
	acks     []*sip.Request
	strays   []*sip.Response
	onServer func(*Server)

	// The clients' user.
	responses []*sip.Response
	failures  []error
	at        []time.Duration // of each call back of the clients' user
	onRes     func(*Client, *sip.Response)
}

// inWorld runs f inside a bubble with a world whose loop ends with it.
func inWorld(t *testing.T, tm Timers, f func(*world)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		w := &world{t: t, loop: NewLoop(), start: time.Now()}
		w.l = New(w.loop, w.send, w, tm)
		ctx, cancel := context.WithCancel(t.Context())
		w.end = cancel
		done := make(chan struct{})
		go func() { w.loop.Run(ctx); close(done) }()
		f(w)
		cancel()
		<-done
	})
}

func (w *world) send(f transport.Flow, b []byte) error {
	if w.fail != nil {
		return w.fail
	}
	msg, err := transport.Parse(b)
	if err != nil {
		w.t.Errorf("the layer sent what its own parser refuses: %v\n%s", err, b)
		return nil
	}
	w.wire = append(w.wire, sent{time.Since(w.start), f, msg, string(b)})
	return nil
}

func (w *world) Request(tx *Server, req *sip.Request, in transport.Incoming) {
	if tx == nil {
		w.acks = append(w.acks, req)
		return
	}
	w.servers = append(w.servers, tx)
	if w.onServer != nil {
		w.onServer(tx)
	}
}

func (w *world) Stray(res *sip.Response, in transport.Incoming) { w.strays = append(w.strays, res) }

func (w *world) Response(c *Client, res *sip.Response) {
	w.responses = append(w.responses, res)
	w.at = append(w.at, time.Since(w.start))
	if w.onRes != nil {
		w.onRes(c, res)
	}
}

func (w *world) Failed(c *Client, err error) {
	w.failures = append(w.failures, err)
	w.at = append(w.at, time.Since(w.start))
}

// do runs f on the loop and waits until everything that follows at this moment is done.
func (w *world) do(f func()) {
	w.loop.Post(f)
	synctest.Wait()
}

// pass lets d go by.
func (w *world) pass(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

func flowOf(p transport.Proto) transport.Flow { return transport.Path(p, here, there) }

// request is a request of ours, complete but for its Via.
func request(method sip.RequestMethod) *sip.Request {
	req := sip.NewRequest(method, sip.Uri{Scheme: "sip", User: "bob", Host: "example.com"})
	req.AppendHeader(&sip.RouteHeader{Address: sip.Uri{Scheme: "sip", Host: "proxy.example.com", UriParams: sip.HeaderParams{{K: "lr"}}}})
	req.AppendHeader(&sip.FromHeader{Address: sip.Uri{Scheme: "sip", User: "alice", Host: "example.net"}, Params: sip.HeaderParams{{K: "tag", V: "a"}}})
	req.AppendHeader(&sip.ToHeader{Address: sip.Uri{Scheme: "sip", User: "bob", Host: "example.com"}})
	id := sip.CallIDHeader("call@example.net")
	req.AppendHeader(&id)
	req.AppendHeader(&sip.CSeqHeader{SeqNo: 7, MethodName: method})
	hops := sip.MaxForwardsHeader(70)
	req.AppendHeader(&hops)
	return req
}

// client starts a client transaction.
func (w *world) client(p transport.Proto, method sip.RequestMethod, opts ...Option) (c *Client) {
	w.do(func() { c = w.l.Request(flowOf(p), request(method), w, opts...) })
	return c
}

// respond lets a response to the client's request come in, with a To-tag unless it is empty.
func (w *world) respond(c *Client, status int, tag string) {
	w.t.Helper()
	w.respondTo(w.wireOf(c.key.branch, c.key.method), c.flow, status, tag)
}

// wireOf finds the first request with that branch and method on the wire.
func (w *world) wireOf(branch string, method sip.RequestMethod) *sip.Request {
	w.t.Helper()
	for _, s := range w.wire {
		if req, ok := s.msg.(*sip.Request); ok && req.Method == method {
			if b, _ := req.Via().Params.Get("branch"); b == branch {
				return req
			}
		}
	}
	w.t.Fatalf("no %s with branch %s on the wire", method, branch)
	return nil
}

func (w *world) respondTo(req *sip.Request, f transport.Flow, status int, tag string) {
	w.t.Helper()
	var b strings.Builder
	fmt.Fprintf(&b, "SIP/2.0 %d X\r\nVia: %s\r\nFrom: %s\r\nTo: %s", status, req.Via().Value(), req.From().Value(), req.To().Value())
	if tag != "" {
		fmt.Fprintf(&b, ";tag=%s", tag)
	}
	fmt.Fprintf(&b, "\r\nCall-ID: %s\r\nCSeq: %s\r\n\r\n", req.CallID().Value(), req.CSeq().Value())
	w.arrive(b.String(), f)
}

// arrive lets raw bytes come in.
func (w *world) arrive(raw string, f transport.Flow) {
	w.t.Helper()
	msg, err := transport.Parse([]byte(raw))
	if err != nil {
		w.t.Fatalf("%v\n%s", err, raw)
	}
	w.do(func() { w.l.Receive(transport.Incoming{Msg: msg, Flow: f, Party: "carrier", At: time.Now()}) })
}

// incoming is a request from outside.
func incoming(method, branch, extra string) string {
	return fmt.Sprintf("%s sip:me@192.0.2.1 SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.9:5060;branch=%s\r\nFrom: <sip:a@x.example>;tag=f\r\n"+
		"To: <sip:me@x.example>\r\nCall-ID: in@x.example\r\nCSeq: 1 %s\r\nMax-Forwards: 70\r\n%s\r\n", method, branch, method, extra)
}

// times lists when messages whose first line begins with prefix were sent.
func (w *world) times(prefix string) (out []time.Duration) {
	for _, s := range w.wire {
		if strings.HasPrefix(s.raw, prefix) {
			out = append(out, s.at)
		}
	}
	return out
}

func (w *world) wantTimes(prefix string, want ...time.Duration) {
	w.t.Helper()
	if got := w.times(prefix); fmt.Sprint(got) != fmt.Sprint(want) {
		w.t.Errorf("%s sent at %v, want %v", prefix, got, want)
	}
}

func (w *world) wantLen(clients, servers int) {
	w.t.Helper()
	var c, s int
	w.do(func() { c, s = w.l.Len() })
	if c != clients || s != servers {
		w.t.Errorf("at %v: %d client and %d server transactions, want %d and %d", time.Since(w.start), c, s, clients, servers)
	}
}

func (w *world) wantFailure(err error, at time.Duration) {
	w.t.Helper()
	if len(w.failures) != 1 || !errors.Is(w.failures[0], err) {
		w.t.Fatalf("failures %v, want one: %v", w.failures, err)
	}
	if got := w.at[len(w.at)-1]; got != at {
		w.t.Errorf("failed at %v, want %v", got, at)
	}
}

func ms(n ...int) (out []time.Duration) {
	for _, n := range n {
		out = append(out, time.Duration(n)*time.Millisecond)
	}
	return out
}
