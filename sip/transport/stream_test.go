package transport

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/cordonsip/cordon/sovereign"
)

func TestTCPRequestAndReply(t *testing.T) {
	inWorld(t, nil, func(w *world) {
		p := w.dialEdge(edgeTCP)
		// In pieces, behind a CRLF, two messages in one segment.
		m := message("OPTIONS", 1, "", "hello") + message("OPTIONS", 2, "", "")
		p.send("\r\n" + m[:40])
		w.settle()
		p.send(m[40:100])
		w.settle()
		p.send(m[100:])
		in := w.got()
		if seqs(in) != "1 2" || string(in[0].Msg.Body()) != "hello" {
			t.Fatalf("messages %s", seqs(in))
		}
		if in[0].Flow != in[1].Flow || in[0].Flow.Local() != edgeTCP || in[0].Flow.Proto() != TCP || !in[0].Flow.Valid() {
			t.Errorf("flow %v", in[0].Flow.Key())
		}
		if err := w.l.Send(in[0].Flow, []byte("SIP/2.0 200 OK\r\n\r\n")); err != nil {
			t.Fatal(err)
		}
		if got, _ := p.recv(); got != "SIP/2.0 200 OK\r\n\r\n" {
			t.Errorf("the peer got %q", got)
		}
		p.Close()
		lost := w.losses()
		if len(lost) != 1 || lost[0].key != in[0].Flow.Key() || !errors.Is(lost[0].err, ErrGone) {
			t.Errorf("lost %v", lost)
		}
		// RFC 3261 section 18.2.2 would dial the Via; that address was judged by nobody.
		if err := w.l.Send(in[0].Flow, []byte("x")); !errors.Is(err, ErrGone) {
			t.Errorf("Send to a connection that is gone: %v", err)
		}
	})
}

// T3: four pipelined INFO on one connection come in their order.
func TestTCPOrder(t *testing.T) {
	inWorld(t, nil, func(w *world) {
		p := w.dialEdge(edgeTCP)
		var all strings.Builder
		var want []string
		for i := 1; i <= 100; i++ {
			all.WriteString(message("INFO", i, "", "signal=1"))
			want = append(want, fmt.Sprint(i))
		}
		p.send(all.String())
		if got := seqs(w.got()); got != strings.Join(want, " ") {
			t.Errorf("order %s", got)
		}
	})
}

// A double CRLF is answered with one, a single one with nothing.
// Conforms: RFC 5626 section 3.5.1
func TestTCPKeepalive(t *testing.T) {
	inWorld(t, nil, func(w *world) {
		p := w.dialEdge(edgeTCP)
		p.send("\r\n")
		if got, _ := p.recv(); got != "" {
			t.Errorf("a single CRLF got %q", got)
		}
		time.Sleep(2 * time.Second)
		p.send("\r\n\r\n")
		if got, _ := p.recv(); got != "\r\n" {
			t.Errorf("a ping got %q", got)
		}
		p.send("\r\n")
		w.settle()
		p.send("\r\n")
		if got, _ := p.recv(); got != "\r\n" {
			t.Errorf("a ping in two pieces got %q", got)
		}
		p.send("\r\n\r\n" + message("OPTIONS", 1, "", ""))
		w.one()
	})
}

// T18: a header that is malformed inside a good frame costs one answer, not the connection.
// Conforms: RFC 3261 section 18.3
func TestTCPMalformedHeaderKeepsConnection(t *testing.T) {
	inWorld(t, nil, func(w *world) {
		p := w.dialEdge(edgeTCP)
		p.send(message("INVITE", 1, "Contact: <sip:a@b\r\n", "") + message("OPTIONS", 2, "", ""))
		got, closed := p.recv()
		if !strings.HasPrefix(got, "SIP/2.0 400 Bad Contact\r\n") || closed {
			t.Errorf("got %q, closed %v", got, closed)
		}
		if in := w.one(); in.Msg.CSeq().SeqNo != 2 {
			t.Errorf("message %d came", in.Msg.CSeq().SeqNo)
		}
		// The same length twice is framed still.
		p.send(message("OPTIONS", 3, "Content-Length: 0\r\n", "") + message("OPTIONS", 4, "", ""))
		if got, closed = p.recv(); !strings.HasPrefix(got, "SIP/2.0 400 Repeated Content-Length") || closed {
			t.Errorf("got %q, closed %v", got, closed)
		}
		if in := w.got(); seqs(in) != "2 4" {
			t.Errorf("messages %s", seqs(in))
		}
	})
}

// Conforms: RFC 3261 section 18.3
func TestTCPFramingLost(t *testing.T) {
	good := message("OPTIONS", 1, "", "")
	for name, tt := range map[string]struct{ msg, want string }{
		"no length":          {strings.Replace(good, "Content-Length: 0\r\n", "", 1), "SIP/2.0 400 Missing Content-Length"},
		"negative length":    {strings.Replace(good, "Content-Length: 0", "Content-Length: -1", 1), "SIP/2.0 400 Bad Content-Length"},
		"absurd length":      {strings.Replace(good, "Content-Length: 0", "Content-Length: 99999999999", 1), "SIP/2.0 400 Bad Content-Length"},
		"two lengths":        {message("OPTIONS", 1, "l: 7\r\n", ""), "SIP/2.0 400 Repeated Content-Length"},
		"bare LF":            {strings.Replace(good, "Call-ID: c@example.com\r\n", "Call-ID: c@example.com\n", 1), "SIP/2.0 400 Bare LF"},
		"an end by bare LF":  {strings.Replace(good, "\r\n\r\n", "\r\n\n", 1), "SIP/2.0 400 Bare LF"},
		"an endless section": {"OPTIONS sip:a@b SIP/2.0\r\n" + strings.Repeat("X: "+strings.Repeat("y", 990)+"\r\n", 40), ""},
	} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, nil, func(w *world) {
				p := w.dialEdge(edgeTCP)
				p.send(tt.msg + message("OPTIONS", 9, "", ""))
				got, _ := p.recv()
				time.Sleep(time.Second)
				_, closed := p.recv()
				line, _, _ := strings.Cut(got, "\r\n")
				if line != tt.want || !closed {
					t.Errorf("got %q, closed %v; want %q and the end", line, closed, tt.want)
				}
				if n := len(w.got()); n != 0 {
					t.Errorf("%d messages came through", n)
				}
			})
		})
	}
}

// A body over the limit is read over: the frame is known, so the connection lives.
func TestTCPBodyTooLarge(t *testing.T) {
	inWorld(t, func(w *world) { w.config.MaxBody = 1000 }, func(w *world) {
		p := w.dialEdge(edgeTCP)
		p.send(message("OPTIONS", 1, "", strings.Repeat("x", 200000)) + message("OPTIONS", 2, "", ""))
		got, closed := p.recv()
		if !strings.HasPrefix(got, "SIP/2.0 413 ") || closed {
			t.Errorf("got %q, closed %v", got, closed)
		}
		if in := w.one(); in.Msg.CSeq().SeqNo != 2 {
			t.Error("the message behind it did not come")
		}
	})
}

func TestTCPTimes(t *testing.T) {
	inWorld(t, nil, func(w *world) {
		// A message that drips for longer than Within ends the connection, however often a byte comes.
		p := w.dialEdge(edgeTCP)
		begin := time.Now()
		for {
			if _, err := p.Write([]byte("X")); err != nil || time.Since(begin) > time.Minute {
				break
			}
			time.Sleep(500 * time.Millisecond)
		}
		if d := time.Since(begin); d < 10*time.Second || d > 11*time.Second {
			t.Errorf("a dripping message lived %v, want 10 s", d)
		}
	})
	inWorld(t, nil, func(w *world) {
		p := w.dialEdge(edgeTCP)
		p.send(message("OPTIONS", 1, "", ""))
		for range 4 { // pings keep it
			time.Sleep(4 * time.Minute)
			p.send("\r\n\r\n")
			if got, closed := p.recv(); got != "\r\n" || closed {
				t.Fatalf("got %q, closed %v", got, closed)
			}
		}
		time.Sleep(5*time.Minute + time.Second)
		if _, closed := p.recv(); !closed {
			t.Error("an idle connection was not closed")
		}
	})
}

func TestConnectionLimits(t *testing.T) {
	inWorld(t, func(w *world) { w.config.MaxConns = 3 }, func(w *world) {
		var all []*streamPeer
		for range 5 {
			all = append(all, w.dialEdge(edgeTCP))
			w.settle()
		}
		open := func() (n int) {
			for _, p := range all {
				if _, closed := p.recv(); !closed {
					n++
				}
			}
			return n
		}
		if n := open(); n != 3 {
			t.Errorf("%d connections of one source are open, want 3", n)
		}
		all[0].Close()
		w.settle()
		all = append(all[1:], w.dialEdge(edgeTCP))
		if n := open(); n != 3 {
			t.Errorf("%d are open after one was closed, want 3", n)
		}
	})
	inWorld(t, func(w *world) { w.config.MaxTotal = 1 }, func(w *world) {
		w.dialEdge(edgeTCP)
		w.settle()
		if _, closed := w.dialEdge(edgeTCP).recv(); !closed {
			t.Error("a second connection is open, 1 is allowed")
		}
	})
}

func TestTCPStrangerGetsNoByte(t *testing.T) {
	inWorld(t, nil, func(w *world) {
		w.peer = w.net.Host(strangeAddr)
		p := w.dialEdge(edgeTCP)
		p.Write([]byte(message("OPTIONS", 1, "", "")))
		if got, closed := p.recv(); got != "" || !closed {
			t.Errorf("got %q, closed %v", got, closed)
		}
		if n := len(w.got()); n != 0 {
			t.Errorf("%d messages", n)
		}
	})
}

// A source outside the fence is heard over TCP as over UDP, and gets no byte.
func TestTCPOutsideTheFence(t *testing.T) {
	inWorld(t, nil, func(w *world) {
		w.peer = w.net.Host(foreignAddr)
		p := w.dialEdge(edgeTCP)
		p.send("\r\n\r\n" + message("OPTIONS", 1, "Contact: <\r\n", "") + message("OPTIONS", 2, "", ""))
		if in := w.one(); in.Flow.Valid() {
			t.Error("the flow is valid")
		}
		if got, _ := p.recv(); got != "" {
			t.Errorf("got %q", got)
		}
	})
}

// What the screen no longer admits is closed with the next message.
func TestScreenIsAskedAgain(t *testing.T) {
	inWorld(t, nil, func(w *world) {
		p := w.dialEdge(edgeTCP)
		p.send(message("OPTIONS", 1, "", ""))
		w.one()
		w.mu.Lock()
		w.screen = func(Proto, netip.AddrPort, *PeerIdentity) Admission { return Admission{} }
		w.mu.Unlock()
		p.send(message("OPTIONS", 2, "", ""))
		if _, closed := p.recv(); !closed {
			t.Error("the connection lives")
		}
		w.one()
	})
}

// An outbound stream is dialled by the first Send; what was queued meanwhile goes in order.
func TestTCPOutbound(t *testing.T) {
	inWorld(t, nil, func(w *world) {
		ln, _ := w.peer.ListenTCP(netip.AddrPortFrom(peerAddr, 5060))
		defer ln.Close()
		f := w.flow(TCP, netip.AddrPortFrom(peerAddr, 5060))
		if f.Local() != edgeTCP {
			t.Errorf("Via would carry %v", f.Local())
		}
		for i := range 5 {
			if err := w.l.Send(f, fmt.Appendf(nil, "m%d ", i)); err != nil {
				t.Fatal(err)
			}
		}
		c, _ := ln.Accept()
		p := &streamPeer{w, c}
		if got, _ := p.recv(); got != "m0 m1 m2 m3 m4 " {
			t.Errorf("the peer got %q", got)
		}
		// Another flow of the same key is the same connection; a request that comes in on it is heard.
		if err := w.l.Send(w.flow(TCP, netip.AddrPortFrom(peerAddr, 5060)), []byte("m5")); err != nil {
			t.Fatal(err)
		}
		if got, _ := p.recv(); got != "m5" {
			t.Errorf("the peer got %q", got)
		}
		p.send(message("BYE", 1, "", ""))
		if in := w.one(); in.Flow.Key() != f.Key() || !in.Flow.Valid() {
			t.Errorf("flow %v", in.Flow.Key())
		}
		// The peer goes; the next Send dials again.
		c.Close()
		if lost := w.losses(); len(lost) != 1 || !errors.Is(lost[0].err, ErrGone) || lost[0].key != f.Key() {
			t.Fatalf("lost %v", lost)
		}
		if err := w.l.Send(f, []byte("again")); err != nil {
			t.Fatal(err)
		}
		c, _ = ln.Accept()
		if got, _ := (&streamPeer{w, c}).recv(); got != "again" {
			t.Errorf("the peer got %q", got)
		}
		c.Close()
	})
}

func TestTCPOutboundFailures(t *testing.T) {
	to := netip.AddrPortFrom(peerAddr, 5060)
	for _, tt := range []struct {
		name   string
		before func(*world)
		want   error
		within time.Duration
	}{
		{"refused", func(*world) {}, ErrRefused, 10 * time.Millisecond},
		{"silent", func(w *world) { w.net.Cut(netip.PrefixFrom(peerAddr, 32)) }, ErrConnectTimeout, 1010 * time.Millisecond},
		{"unreachable", func(w *world) {
			w.l.c.Dial = func(context.Context, netip.Addr, netip.AddrPort) (net.Conn, error) { return nil, syscall.EHOSTUNREACH }
		}, ErrUnreachable, 10 * time.Millisecond},
	} {
		t.Run(tt.name, func(t *testing.T) {
			inWorld(t, nil, func(w *world) {
				tt.before(w)
				f := w.flow(TCP, to)
				begin := time.Now()
				if err := w.l.Send(f, []byte("x")); err != nil {
					t.Fatal(err)
				}
				err := w.l.Warm(w.t.Context(), f)
				if !errors.Is(err, tt.want) || time.Since(begin) > tt.within {
					t.Errorf("Warm: %v after %v", err, time.Since(begin))
				}
				// Warm dials again when the Send's dial has failed already.
				lost := w.losses()
				for _, ev := range lost {
					if !errors.Is(ev.err, tt.want) || ev.key != f.Key() {
						t.Errorf("lost %v", ev)
					}
				}
				if len(lost) == 0 || len(lost) > 2 {
					t.Errorf("%d losses", len(lost))
				}
			})
		})
	}
}

func TestWarm(t *testing.T) {
	inWorld(t, nil, func(w *world) {
		ln, _ := w.peer.ListenTCP(netip.AddrPortFrom(peerAddr, 5060))
		defer ln.Close()
		f := w.flow(TCP, netip.AddrPortFrom(peerAddr, 5060))
		for range 2 {
			if err := w.l.Warm(w.t.Context(), f); err != nil {
				t.Error(err)
			}
		}
		if n := w.net.Stats().Dials; n != 1 {
			t.Errorf("%d dials, want 1", n)
		}
		if err := w.l.Warm(w.t.Context(), w.flow(UDP, netip.AddrPortFrom(peerAddr, 1))); err != nil {
			t.Errorf("UDP: %v", err)
		}
		w.net.Cut(netip.PrefixFrom(peerAddr, 32))
		ctx, cancel := context.WithTimeout(w.t.Context(), 100*time.Millisecond)
		defer cancel()
		if err := w.l.Warm(ctx, w.flow(TCP, netip.AddrPortFrom(peerAddr, 5099))); !errors.Is(err, ErrConnectTimeout) {
			t.Errorf("a silent peer: %v", err)
		}
		w.fence.Swap(nil)
		if err := w.l.Warm(w.t.Context(), f); !errors.Is(err, sovereign.ErrFenced) {
			t.Errorf("without a pass: %v", err)
		}
		c, _ := ln.Accept()
		c.Close()
	})
}

// No SYN goes where the pass died between the Send and the dial.
func TestNoDialWithoutPass(t *testing.T) {
	inWorld(t, nil, func(w *world) {
		f := w.flow(TCP, netip.AddrPortFrom(peerAddr, 5060))
		w.fence.Swap(nil)
		if nc, err := newConn(w.l, TCP, f.f).dial(w.t.Context()); nc != nil || !errors.Is(err, sovereign.ErrFenced) {
			t.Errorf("dial: %v", err)
		}
		if err := w.l.Send(f, []byte("x")); !errors.Is(err, sovereign.ErrFenced) {
			t.Errorf("Send: %v", err)
		}
		w.settle()
		if n := w.net.Stats().Dials; n != 0 {
			t.Errorf("%d dials without a live pass", n)
		}
	})
}

// A connection whose source belongs to another party since a reload speaks for that one, with a pass of its own.
func TestPartyOfAConnectionChanges(t *testing.T) {
	inWorld(t, nil, func(w *world) {
		p := w.dialEdge(edgeTCP)
		p.send(message("OPTIONS", 1, "", ""))
		w.settle()
		w.mu.Lock()
		w.screen = func(Proto, netip.AddrPort, *PeerIdentity) Admission { return Admission{Look: Admitted} }
		w.mu.Unlock()
		p.send(message("OPTIONS", 2, "", ""))
		in := w.got()
		if len(in) != 2 || in[0].Party != "carrier" || in[1].Party != "" {
			t.Fatalf("%d messages", len(in))
		}
		if a, b := in[0].Flow, in[1].Flow; a.Pass().Ask().Party != "carrier" || b.Key().Party != "" || b.Pass() == a.Pass() {
			t.Errorf("flows %v and %v", a.Key(), b.Key())
		}
	})
}

// A stream closes with the policy that permitted it.
func TestStreamDiesWithItsPass(t *testing.T) {
	inWorld(t, nil, func(w *world) {
		p := w.dialEdge(edgeTCP)
		p.send(message("OPTIONS", 1, "", ""))
		w.one()
		w.fence.Swap(snapshot(t, "203.0.113.0/24"))
		if lost := w.losses(); len(lost) != 1 || !errors.Is(lost[0].err, sovereign.ErrFenced) {
			t.Errorf("lost %v", lost)
		}
		if _, closed := p.recv(); !closed {
			t.Error("the connection lives")
		}
	})
}

// T17: a peer that reads nothing is given up after the write deadline, and nobody else waits for it.
func TestStalledPeer(t *testing.T) {
	inWorld(t, nil, func(w *world) {
		stuck, _ := w.peer.ListenTCP(netip.AddrPortFrom(peerAddr, 5060))
		fine, _ := w.peer.ListenTCP(netip.AddrPortFrom(peerAddr, 5061))
		defer stuck.Close()
		defer fine.Close()
		a, b := w.flow(TCP, netip.AddrPortFrom(peerAddr, 5060)), w.flow(TCP, netip.AddrPortFrom(peerAddr, 5061))
		big := []byte(strings.Repeat("x", 100<<10))
		begin := time.Now()
		for range 15 { // more than the window, less than window and queue
			if err := w.l.Send(a, big); err != nil {
				break
			}
			w.settle()
		}
		if err := w.l.Send(b, []byte("hello")); err != nil {
			t.Fatal(err)
		}
		c, _ := fine.Accept()
		if got, _ := (&streamPeer{w, c}).recv(); got != "hello" {
			t.Errorf("the other peer got %q", got)
		}
		time.Sleep(10 * time.Second)
		lost := w.losses()
		if len(lost) != 1 || !errors.Is(lost[0].err, ErrStalled) || lost[0].key != a.Key() {
			t.Fatalf("lost %v", lost)
		}
		if d := lost[0].at.Sub(begin); d > 7*time.Second {
			t.Errorf("given up after %v", d)
		}
		c.Close()
		c, _ = stuck.Accept()
		c.Close()
	})
}

func TestQueueIsBounded(t *testing.T) {
	inWorld(t, nil, func(w *world) {
		w.net.Cut(netip.PrefixFrom(peerAddr, 32))
		f := w.flow(TCP, netip.AddrPortFrom(peerAddr, 5060))
		var err error
		n := 0
		for ; err == nil && n < 100; n++ {
			err = w.l.Send(f, []byte(strings.Repeat("x", 100<<10)))
		}
		if !errors.Is(err, ErrStalled) || n > 12 {
			t.Errorf("%v after %d messages of 100 KiB", err, n)
		}
	})
}

// flaky is a listener whose Accept fails now and then, as it does without descriptors.
type flaky struct {
	net.Listener
	mu sync.Mutex
	n  int
}

func (f *flaky) Accept() (net.Conn, error) {
	f.mu.Lock()
	f.n++
	fail := f.n <= 20
	f.mu.Unlock()
	if fail {
		return nil, syscall.EMFILE
	}
	return f.Listener.Accept()
}

// T17: errors of Accept end nothing.
func TestAcceptErrorsPass(t *testing.T) {
	inWorld(t, func(w *world) {
		w.config.Listeners[1].Stream = &flaky{Listener: w.config.Listeners[1].Stream}
	}, func(w *world) {
		time.Sleep(30 * time.Second)
		p := w.dialEdge(edgeTCP)
		p.send(message("OPTIONS", 1, "", ""))
		w.one()
	})
}

// A socket that is closed under the layer ends it with an error; the hall then knows.
func TestClosedSocketEndsRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for i := range 2 {
			w := &world{t: t}
			fence := sovereign.NewFence(nil, nil)
			ours, theirs := net.Pipe()
			c := &pipeListener{conns: make(chan net.Conn), addr: edgeTCP}
			cfg := Config{Fence: fence, Screen: w, Handler: w, Listeners: []Listener{{Proto: TCP, Stream: c}}}
			l, err := New(cfg)
			if err != nil {
				t.Fatal(err)
			}
			if err := l.Send(Flow{&flow{l: l, key: Key{Proto: TCP}}}, nil); !errors.Is(err, sovereign.ErrFenced) {
				t.Errorf("Send: %v", err)
			}
			ctx, cancel := context.WithCancel(t.Context())
			done := make(chan error, 1)
			go func() { done <- l.Run(ctx) }()
			synctest.Wait()
			if i == 0 {
				c.Close()
				if err := <-done; !errors.Is(err, net.ErrClosed) {
					t.Errorf("Run: %v", err)
				}
			} else {
				cancel()
				if err := <-done; err != nil {
					t.Errorf("Run: %v", err)
				}
			}
			if err := l.Run(ctx); err == nil {
				t.Error("a second Run went on")
			}
			cancel()
			ours.Close()
			theirs.Close()
		}
	})
}

// pipeListener has no deadline, so only closing wakes it.
type pipeListener struct {
	conns chan net.Conn
	once  sync.Once
	addr  netip.AddrPort
}

func (l *pipeListener) Accept() (net.Conn, error) {
	c, ok := <-l.conns
	if !ok {
		return nil, net.ErrClosed
	}
	return c, nil
}
func (l *pipeListener) Close() error   { l.once.Do(func() { close(l.conns) }); return nil }
func (l *pipeListener) Addr() net.Addr { return net.TCPAddrFromAddrPort(l.addr) }

// Keep holds an outbound stream warm with pings; without it the stream ends when it is idle.
// Conforms: RFC 5626 section 4.4.1
func TestKeep(t *testing.T) {
	for _, keep := range []bool{true, false} {
		inWorld(t, func(w *world) {
			w.config.Keep = func(Flow) Keepalive {
				if keep {
					return KeepAuto
				}
				return KeepOff
			}
		}, func(w *world) {
			ln, _ := w.peer.ListenTCP(netip.AddrPortFrom(peerAddr, 5060))
			defer ln.Close()
			f := w.flow(TCP, netip.AddrPortFrom(peerAddr, 5060))
			if err := w.l.Warm(w.t.Context(), f); err != nil {
				t.Fatal(err)
			}
			c, _ := ln.Accept()
			defer c.Close()
			pings := 0
			go func() {
				b := make([]byte, 100)
				for {
					n, err := c.Read(b)
					if err != nil {
						return
					}
					pings += n / 4
				}
			}()
			time.Sleep(20 * time.Minute)
			synctest.Wait()
			if lost := len(w.losses()); (lost == 0) != keep {
				t.Errorf("keep %v: %d lost", keep, lost)
			}
			if keep && (pings < 48 || pings > 60) || !keep && pings != 0 {
				t.Errorf("keep %v: %d pings in 20 minutes, want one each 20 to 25 s", keep, pings)
			}
			w.end()
		})
	}
}

// When Run returns every connection is closed and nobody is told of it.
func TestRunEndsEverything(t *testing.T) {
	reg := prometheus.NewRegistry()
	inWorld(t, func(w *world) { w.config.Metrics = reg }, func(w *world) {
		ln, _ := w.peer.ListenTCP(netip.AddrPortFrom(peerAddr, 5060))
		defer ln.Close()
		f := w.flow(TCP, netip.AddrPortFrom(peerAddr, 5060))
		if err := w.l.Warm(w.t.Context(), f); err != nil {
			t.Fatal(err)
		}
		in := w.dialEdge(edgeTCP)
		out, _ := ln.Accept()
		w.settle()
		if v := total(t, reg, "cordon_sip_transport_connections"); v != 2 {
			t.Errorf("%v connections, want 2", v)
		}
		w.end()
		for _, c := range []net.Conn{in, out} {
			if b, err := io.ReadAll(c); len(b) != 0 {
				t.Errorf("%q, %v", b, err)
			}
			c.Close()
		}
		if n := len(w.losses()); n != 0 {
			t.Errorf("%d losses at the end", n)
		}
		if err := w.l.Send(f, []byte("x")); !errors.Is(err, ErrClosed) {
			t.Errorf("Send after Run: %v", err)
		}
		if v := total(t, reg, "cordon_sip_transport_connections"); v != 0 {
			t.Errorf("%v connections are left", v)
		}
	})
}

// However a stream is cut into reads, the same messages come out of it.
func FuzzStream(f *testing.F) {
	f.Add(message("OPTIONS", 1, "", "hello")+"\r\n\r\n"+message("OPTIONS", 2, "", ""), uint8(7))
	f.Add(message("OPTIONS", 1, "Contact: <\r\n", "")+message("OPTIONS", 2, "l: 5\r\n", ""), uint8(1))
	f.Add(message("OPTIONS", 1, "", strings.Repeat("x", 200))+message("OPTIONS", 2, "", ""), uint8(3))
	f.Add("\r\n\r\r\n\n", uint8(1))
	f.Fuzz(func(t *testing.T, s string, cut uint8) {
		whole := feed(t, s, len(s)+1)
		if pieces := feed(t, s, int(cut)%50+1); fmt.Sprint(whole) != fmt.Sprint(pieces) {
			t.Errorf("in one read %q, in pieces %q", whole, pieces)
		}
	})
}

// feed runs the reading side of a connection over s in reads of at most n bytes and gives what it handed on.
func feed(t *testing.T, s string, n int) []string {
	t.Helper()
	w := &world{t: t, fence: sovereign.NewFence(nil, nil)}
	l, err := New(Config{Fence: w.fence, Screen: w, Handler: w, MaxBody: 100})
	if err != nil {
		t.Fatal(err)
	}
	fl := &flow{l: l, key: Key{Proto: TCP, Remote: netip.AddrPortFrom(peerAddr, 1), Conn: 1}}
	c := newConn(l, TCP, fl)
	c.acceptor = &acceptor{l: l}
	in := &inStream{c: c, r: newReader()}
	end := ""
	for s != "" && end == "" {
		room, err := in.space()
		if err != nil {
			t.Fatal(err)
		}
		k := copy(room[:min(n, len(room))], s)
		s = s[k:]
		if err := in.took(k); err != nil {
			end = err.Error()
		}
	}
	var out []string
	for _, m := range w.in {
		checkMessage(t, m.Msg)
		out = append(out, m.Msg.String())
	}
	return append(out, end)
}
