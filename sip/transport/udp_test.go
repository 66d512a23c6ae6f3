package transport

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/cordonsip/cordon/sovereign"
)

// Conforms: RFC 3261 section 18.2.2; RFC 3581 section 4
func TestUDPRequestAndReply(t *testing.T) {
	inWorld(t, nil, func(w *world) {
		var taps []bool
		w.onTap = func(out bool, _ Flow, b []byte) { taps = append(taps, out) }
		p := w.udpPeer(w.peer, 4444)
		p.send(message("OPTIONS", 1, "", ""))
		in := w.one()
		via := asRequest(t, in).Via()
		// RFC 3581: both, the host being a name.
		if via.Params.GetOr("received", "") != "192.0.2.9" || via.Params.GetOr("rport", "") != "4444" {
			t.Errorf("Via %s", via.Value())
		}
		if in.Party != "carrier" || !in.Flow.Valid() || in.Flow.Remote() != netip.MustParseAddrPort("192.0.2.9:4444") || in.Flow.Local() != edgeUDP {
			t.Errorf("flow %v", in.Flow.Key())
		}
		// Whatever Via says, the answer goes where the request came from, however large it is (T1).
		if err := w.l.Send(in.Flow, []byte("SIP/2.0 200 OK\r\n"+strings.Repeat("x", 3000))); err != nil {
			t.Fatal(err)
		}
		if got := p.recv(); len(got) != 3016 {
			t.Errorf("the peer got %d bytes, want 3016", len(got))
		}
		if fmt.Sprint(taps) != "[false true]" {
			t.Errorf("taps %v", taps)
		}
	})
}

// What a sender writes about its own address is not believed.
// Conforms: RFC 3261 section 18.2.1; RFC 3581 section 4
func TestReceivedIsOurs(t *testing.T) {
	for _, tt := range []struct{ via, received, rport string }{
		{"192.0.2.9:4444;branch=z9hG4bKa", "", ""},
		{"192.0.2.9:4444;branch=z9hG4bKa;rport", "192.0.2.9", "4444"},
		{"10.0.0.1;branch=z9hG4bKa", "192.0.2.9", ""},
		{"10.0.0.1;branch=z9hG4bKa;received=203.0.113.5;rport=99", "192.0.2.9", "4444"},
		{"192.0.2.9:4444;branch=z9hG4bKa;received=203.0.113.5", "", ""},
	} {
		inWorld(t, nil, func(w *world) {
			p := w.udpPeer(w.peer, 4444)
			p.send(strings.Replace(message("OPTIONS", 1, "", ""), "peer.example.com:5062;branch=z9hG4bK1;rport", tt.via, 1))
			via := asRequest(t, w.one()).Via()
			if via.Params.GetOr("received", "") != tt.received || via.Params.GetOr("rport", "") != tt.rport {
				t.Errorf("%s became %s", tt.via, via.Value())
			}
		})
	}
}

// T2: a flood of unknown sources leaves nothing behind and gets no byte.
func TestUnknownSourceLeavesNothing(t *testing.T) {
	inWorld(t, nil, func(w *world) {
		h := w.net.Host(strangeAddr)
		for i := range 500 {
			p := w.udpPeer(h, uint16(10000+i))
			p.send(message("INVITE", i, "", ""))
			p.send("x")
			if i == 0 {
				if got := p.recv(); got != "" {
					t.Errorf("a stranger got %q", got)
				}
			}
			p.c.Close()
		}
		if n := len(w.got()); n != 0 {
			t.Errorf("%d messages of strangers came through", n)
		}
		w.end()
		if n := len(w.l.socks[0].replies.byFrom); n != 0 {
			t.Errorf("%d sources are remembered", n)
		}
	})
}

func TestRepliesAreBounded(t *testing.T) {
	r := newReplies()
	judged := 0
	pass := func() *flow { judged++; return &flow{} }
	for i := range 3 * maxReplies {
		r.flow(Admission{Party: "p", Look: Admitted}, netip.AddrPortFrom(peerAddr, uint16(i)), 1, pass)
	}
	if len(r.byFrom) != maxReplies || r.order.Len() != maxReplies {
		t.Errorf("%d and %d entries, want %d", len(r.byFrom), r.order.Len(), maxReplies)
	}
	judged = 0
	last := netip.AddrPortFrom(peerAddr, uint16(3*maxReplies-1))
	r.flow(Admission{Party: "p", Look: Admitted}, last, 1, pass)
	if judged != 0 {
		t.Error("a refusal was judged again under the same policy")
	}
	r.flow(Admission{Party: "p", Look: Admitted}, last, 2, pass)
	if judged != 1 {
		t.Error("a refusal was not judged again under another policy")
	}
}

// T3: what comes from one source is handed on in its order.
func TestUDPOrder(t *testing.T) {
	inWorld(t, nil, func(w *world) {
		p := w.udpPeer(w.peer, 4444)
		var want []string
		for i := 1; i <= 200; i++ {
			p.send(message("INFO", i, "", ""))
			want = append(want, fmt.Sprint(i))
		}
		if got := seqs(w.got()); got != strings.Join(want, " ") {
			t.Errorf("order %s", got)
		}
	})
}

// T19: the first request to a new peer leaves from the listener's own port.
func TestUDPRequestLeavesFromListener(t *testing.T) {
	inWorld(t, nil, func(w *world) {
		c, _ := w.peer.ListenUDP(netip.AddrPortFrom(peerAddr, 5099))
		defer c.Close()
		f := w.flow(UDP, netip.AddrPortFrom(peerAddr, 5099))
		if err := w.l.Send(f, []byte("OPTIONS")); err != nil {
			t.Fatal(err)
		}
		_, from, err := c.ReadFromUDPAddrPort(make([]byte, 100))
		if err != nil || from != edgeUDP {
			t.Errorf("it came from %v: %v", from, err)
		}
		if f.Local() != edgeUDP || f.Peer() != nil || f.Proto() != UDP {
			t.Errorf("flow %v", f.Key())
		}
	})
}

// T5: a closed port is known after one round trip, with the flow that it was sent on.
// Conforms: RFC 3261 section 18.4
func TestUDPRefusalIsTold(t *testing.T) {
	inWorld(t, nil, func(w *world) {
		f := w.flow(UDP, netip.AddrPortFrom(peerAddr, 5099))
		begin := time.Now()
		if err := w.l.Send(f, []byte("OPTIONS")); err != nil {
			t.Fatal(err)
		}
		lost := w.losses()
		if len(lost) != 1 || lost[0].key != f.Key() || !errors.Is(lost[0].err, ErrRefused) || lost[0].at.Sub(begin) > 5*time.Millisecond {
			t.Fatalf("lost %v", lost)
		}
		// The listener goes on.
		w.udpPeer(w.peer, 4444).send(message("OPTIONS", 1, "", ""))
		w.one()
	})
}

// A source where nothing may be sent is shown to the handler, which logs it, and gets no byte, malformed or not.
func TestSourceOutsideTheFence(t *testing.T) {
	inWorld(t, nil, func(w *world) {
		sent := 0
		w.onTap = func(out bool, _ Flow, _ []byte) {
			if out {
				sent++
			}
		}
		h := w.net.Host(foreignAddr)
		p := w.udpPeer(h, 4444)
		p.send(message("INVITE", 1, "", ""))
		p.send("INVITE sip:x SIP/2.0\r\n" + message("INVITE", 1, "", ""))
		p.send(message("INVITE", 1, "", ""))
		in := w.got()
		if len(in) != 2 {
			t.Fatalf("%d messages, want 2", len(in))
		}
		for _, in := range in {
			if in.Flow.Valid() || in.Flow.Remote().Addr() != foreignAddr || in.Flow.Pass() != nil {
				t.Errorf("flow %v, valid %v", in.Flow.Key(), in.Flow.Valid())
			}
			if err := w.l.Send(in.Flow, []byte("x")); !errors.Is(err, sovereign.ErrFenced) {
				t.Errorf("Send: %v", err)
			}
		}
		if got := p.recv(); got != "" || sent != 0 {
			t.Errorf("it got %q, %d sent", got, sent)
		}
		if err := w.l.Send(Flow{}, nil); !errors.Is(err, sovereign.ErrFenced) {
			t.Errorf("the zero Flow: %v", err)
		}
	})
}

// A flow dies with its pass, at once, and the way back of the next request is judged again.
func TestFlowDiesWithItsPass(t *testing.T) {
	inWorld(t, nil, func(w *world) {
		p := w.udpPeer(w.peer, 4444)
		out := w.flow(UDP, netip.AddrPortFrom(peerAddr, 4444))
		p.send(message("OPTIONS", 1, "", ""))
		back := w.one().Flow
		w.fence.Swap(snapshot(t, "203.0.113.0/24"))
		for _, f := range []Flow{out, back} {
			if err := w.l.Send(f, []byte("x")); !errors.Is(err, sovereign.ErrFenced) {
				t.Errorf("Send: %v", err)
			}
		}
		p.send(message("OPTIONS", 2, "", ""))
		if in := w.got(); len(in) != 2 || in[1].Flow.Valid() {
			t.Errorf("the flow of the second request is valid: %v", in[1].Flow.Valid())
		}
		w.fence.Swap(snapshot(t, "192.0.2.0/24"))
		p.send(message("OPTIONS", 3, "", ""))
		if in := w.got(); len(in) != 3 || !in[2].Flow.Valid() {
			t.Errorf("the flow of the third request is not valid")
		}
		if got := p.recv(); got != "" {
			t.Errorf("the peer got %q", got)
		}
	})
}

// Conforms: RFC 3261 section 18.3
func TestUDPMalformed(t *testing.T) {
	good := message("OPTIONS", 1, "", "")
	for _, tt := range []struct {
		name, msg, want string
	}{
		{"repeated header", message("OPTIONS", 1, "Call-ID: other\r\n", ""), "400 Repeated Call-ID"},
		{"CSeq of another method", strings.Replace(good, "CSeq: 1 OPTIONS", "CSeq: 1 INVITE", 1), "400 CSeq Method Mismatch"},
		{"CSeq too large", strings.Replace(good, "CSeq: 1 ", "CSeq: 2147483648 ", 1), "400 Bad CSeq"},
		{"version", strings.Replace(good, " SIP/2.0\r\n", " SIP/3.0\r\n", 1), "505 Version Not Supported"},
		{"bare LF", strings.ReplaceAll(good, "\r\n", "\n"), "400 Bare LF"},
		{"body too short", strings.Replace(good, "Content-Length: 0", "Content-Length: 5", 1), "400 Body Shorter Than Content-Length"},
		{"Contact", message("OPTIONS", 1, "Contact: <sip:a@b\r\n", ""), "400 Bad Contact"},
		{"Contact star", message("OPTIONS", 1, "Contact: *\r\n", ""), "400 Bad Contact"},
		{"control character", message("OPTIONS", 1, "Subject: a\x00b\r\n", ""), "400 Control Character In Subject"},
		{"Via port", strings.Replace(good, ":5062;", ":99999;", 1), "400 Bad Via"},
		{"Max-Forwards", strings.Replace(good, "Max-Forwards: 70", "Max-Forwards: 7x", 1), "400 Bad Max-Forwards"},
		{"too many headers", message("OPTIONS", 1, strings.Repeat("X-A: 1\r\n", 300), ""), "400 Too Many Headers"},
		{"long header", message("OPTIONS", 1, "X-A: "+strings.Repeat("a", 9000)+"\r\n", ""), "400 X-A Too Long"},
		{"long header with a long name", message("OPTIONS", 1, strings.Repeat("X", 100)+": "+strings.Repeat("a", 9000)+"\r\n", ""), "400 Header Too Long"},
		{"body too large", message("OPTIONS", 1, "", strings.Repeat("a", 2001)), "413 Request Entity Too Large"},
		{"an ACK is never answered", strings.ReplaceAll(message("ACK", 1, "Call-ID: other\r\n", ""), "OPTIONS", "ACK"), ""},
		{"no From", strings.Replace(good, "From: <sip:a@example.com>;tag=f\r\n", "", 1), "400 Missing From"},
		{"a response", strings.Replace(response(200, "SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bKx"), "CSeq: 1 OPTIONS", "CSeq: x", 1), ""},
		{"rubbish", "GET / HTTP/1.1\r\n\r\n", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			inWorld(t, func(w *world) { w.config.MaxBody = 2000 }, func(w *world) {
				p := w.udpPeer(w.peer, 4444)
				p.send(tt.msg)
				got := p.recv()
				line, _, _ := strings.Cut(got, "\r\n")
				if tt.want == "" && got != "" || tt.want != "" && line != "SIP/2.0 "+tt.want {
					t.Errorf("answered %q, want %q", line, tt.want)
				}
				if n := len(w.got()); n != 0 {
					t.Errorf("%d messages came through", n)
				}
				if got == "" {
					return
				}
				if !strings.Contains(got, ";received=192.0.2.9") || !strings.Contains(got, "branch=z9hG4bK1") {
					t.Errorf("the answer's Via:\n%s", got)
				}
				p.send(tt.msg)
				if again := p.recv(); again != got {
					t.Errorf("the answer to the retransmission differs:\n%s", again)
				}
			})
		})
	}
}

// RFC 3261 section 18.1.2: a response whose top Via is not ours is discarded.
func TestResponseOfAnotherIsDropped(t *testing.T) {
	inWorld(t, nil, func(w *world) {
		p := w.udpPeer(w.peer, 4444)
		p.send(response(200, "SIP/2.0/UDP 192.0.2.1;branch=z9hG4bKx"))
		p.send(response(200, "SIP/2.0/UDP 192.0.2.1:5070;branch=z9hG4bKx"))
		p.send(response(200, "SIP/2.0/UDP 192.0.2.200:5060;branch=z9hG4bKx"))
		p.send(response(200, "SIP/2.0/UDP edge.example.com:5060;branch=z9hG4bKx"))
		if n := len(w.got()); n != 2 {
			t.Errorf("%d responses came through, want the two that name a listener", n)
		}
	})
}

// Conforms: RFC 5626 section 3.5
func TestUDPKeepaliveIsIgnored(t *testing.T) {
	reg := prometheus.NewRegistry()
	inWorld(t, func(w *world) { w.config.Metrics = reg }, func(w *world) {
		p := w.udpPeer(w.peer, 4444)
		for _, s := range []string{"\r\n\r\n", "\r\n", "\x00", ""} {
			p.send(s)
		}
		if n := len(w.got()); n != 0 || p.recv() != "" {
			t.Errorf("%d messages", n)
		}
		if v := total(t, reg, "cordon_sip_transport_dropped_total"); v != 0 {
			t.Errorf("%v dropped", v)
		}
	})
}

// total sums a metric over its labels.
func total(t *testing.T, g prometheus.Gatherer, name string) (sum float64) {
	t.Helper()
	families, err := g.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() != name {
			continue
		}
		for _, m := range f.GetMetric() {
			sum += m.GetCounter().GetValue() + m.GetGauge().GetValue()
		}
	}
	return sum
}

// The system fragments what no datagram carries whole, requests and responses alike: whether a large request goes another way is not decided here.
func TestLargeDatagrams(t *testing.T) {
	inWorld(t, nil, func(w *world) {
		p := w.udpPeer(w.peer, 4444)
		f := w.flow(UDP, netip.AddrPortFrom(peerAddr, 4444))
		for _, first := range []string{"INVITE ", "SIP/2.0 200 OK "} {
			if err := w.l.Send(f, []byte(first+strings.Repeat("x", 5000))); err != nil || len(p.recv()) != len(first)+5000 {
				t.Errorf("%s: %v", first, err)
			}
		}
	})
}

func TestFlowRefuses(t *testing.T) {
	inWorld(t, nil, func(w *world) {
		to := netip.AddrPortFrom(peerAddr, 5099)
		good := w.dest(UDP, to, nil)
		for name, d := range map[string]Dest{
			"no pass":                     {Proto: UDP, Addr: to},
			"a pass for another address":  {Proto: UDP, Addr: netip.AddrPortFrom(peerAddr, 5098), Pass: good.Pass},
			"a listener that is not ours": {Proto: UDP, Addr: to, Pass: good.Pass, Local: netip.MustParseAddrPort("192.0.2.1:1")},
			"an unknown protocol":         {Proto: "sctp", Addr: to, Pass: good.Pass},
			"TLS without a name":          {Proto: TLS, Addr: to, Pass: good.Pass, Profile: &TLSProfile{Name: "x"}},
			"TLS without a profile":       {Proto: TLS, Addr: to, Pass: good.Pass},
		} {
			if f, err := w.l.Flow(d); err == nil || f.Valid() {
				t.Errorf("%s: no error", name)
			}
		}
		good.Local = edgeUDP
		if _, err := w.l.Flow(good); err != nil {
			t.Error(err)
		}
	})
}

func TestNewRefuses(t *testing.T) {
	fence := sovereign.NewFence(nil, nil)
	w := &world{}
	base := Config{Fence: fence, Screen: w, Handler: w}
	for name, change := range map[string]func(*Config){
		"no fence":         func(c *Config) { c.Fence = nil },
		"no screen":        func(c *Config) { c.Screen = nil },
		"no handler":       func(c *Config) { c.Handler = nil },
		"no socket":        func(c *Config) { c.Listeners = []Listener{{Proto: UDP}} },
		"unknown protocol": func(c *Config) { c.Listeners = []Listener{{Proto: "sctp"}} },
	} {
		c := base
		change(&c)
		if _, err := New(c); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	if l, err := New(base); err != nil || l.c.MaxBody != 64<<10 || l.c.Connect != time.Second {
		t.Errorf("defaults: %v", err)
	}
}

// stubborn is a socket whose writes meet the pending errors of earlier ones, as they do when no read took them first.
type stubborn struct {
	sovereign.UDPConn
	errs    []error // of the next writes
	queue   []netip.AddrPort
	written int
}

func (s *stubborn) WriteToUDPAddrPort(b []byte, _ netip.AddrPort) (int, error) {
	if len(s.errs) > 0 {
		err := s.errs[0]
		s.errs = s.errs[1:]
		return 0, err
	}
	s.written++
	return len(b), nil
}

func (s *stubborn) ReadError() (to netip.AddrPort, err error, ok bool) { //nolint:staticcheck // the interface puts the error second
	if len(s.queue) == 0 {
		return to, nil, false
	}
	to, s.queue = s.queue[0], s.queue[1:]
	if to.Port() == 9 {
		return to, syscall.EMSGSIZE, true
	}
	return to, syscall.ECONNREFUSED, true
}

// A pending error of another datagram costs the one that meets it nothing, and is told.
func TestPendingErrorOnWrite(t *testing.T) {
	other := netip.AddrPortFrom(peerAddr, 7)
	for _, tt := range []struct {
		errs    []error
		written int
		want    error
	}{
		{[]error{syscall.ECONNREFUSED}, 1, nil},
		{[]error{syscall.ECONNREFUSED, syscall.EHOSTUNREACH}, 1, nil},
		{[]error{syscall.ENETUNREACH, syscall.ENETUNREACH, syscall.ENETUNREACH}, 0, ErrUnreachable},
		{[]error{syscall.EMSGSIZE}, 0, ErrGone},
	} {
		s := &stubborn{errs: tt.errs, queue: []netip.AddrPort{other, netip.AddrPortFrom(peerAddr, 9)}}
		inWorld(t, func(w *world) {
			s.UDPConn = w.udp
			w.config.Listeners[0].UDP = w.fence.UDP(s)
		}, func(w *world) {
			err := w.l.Send(w.flow(UDP, netip.AddrPortFrom(peerAddr, 8)), []byte("x"))
			if s.written != tt.written || !errors.Is(err, tt.want) {
				t.Errorf("%v: %d written, %v", tt.errs, s.written, err)
			}
			lost := w.losses()
			if pending := len(tt.errs) > 0 && tt.errs[0] != syscall.EMSGSIZE; pending != (len(lost) == 1) || pending && lost[0].key.Remote != other {
				t.Errorf("%v: lost %v", tt.errs, lost)
			}
		})
	}
}

// fullSocket is a socket that lost datagrams before anybody read them.
type fullSocket struct {
	sovereign.UDPConn
	lost atomic.Uint64
	room atomic.Int64
}

func (s *fullSocket) Widen(bytes int) error           { s.room.Store(int64(bytes)); return nil }
func (s *fullSocket) Overflowed() (n uint64, ok bool) { return s.lost.Load(), true }

// What the system drops before it was read is counted, also when its counter begins anew, and the queue is asked to be wide.
func TestOverflowIsCounted(t *testing.T) {
	full := &fullSocket{}
	inWorld(t, func(w *world) {
		full.UDPConn = w.udp
		w.config.Listeners[0].UDP = w.fence.UDP(full)
	}, func(w *world) {
		count := func() float64 { return testutil.ToFloat64(w.l.m.dropped.WithLabelValues("udp", "overflow")) }
		if full.room.Load() != backlog || count() != 0 {
			t.Errorf("room for %d bytes, %v drops", full.room.Load(), count())
		}
		full.lost.Store(7)
		time.Sleep(2 * time.Second)
		if got := count(); got != 7 {
			t.Errorf("7 datagrams lost, %v counted", got)
		}
		full.lost.Store(1<<32 - 1)
		time.Sleep(2 * time.Second)
		full.lost.Store(4)
		time.Sleep(2 * time.Second)
		if got := count(); got != 1<<32+4 {
			t.Errorf("%v counted over the end of the counter", got)
		}
	})
}
