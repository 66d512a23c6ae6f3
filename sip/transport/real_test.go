package transport

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/netip"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/cordonsip/cordon/internal/osnet"
	"github.com/cordonsip/cordon/sovereign"
)

// realWorld is a layer on sockets of the system.
type realWorld struct {
	t     *testing.T
	l     *Layer
	fence *sovereign.Fence
	in    chan Incoming
	lost  chan lossEvent
}

func (w *realWorld) Receive(in Incoming)    { w.in <- in }
func (w *realWorld) Lost(f Flow, err error) { w.lost <- lossEvent{f.Key(), err, time.Now()} }
func (w *realWorld) Source(Proto, netip.AddrPort, netip.AddrPort, *PeerIdentity) Admission {
	return Admission{Party: "carrier", Look: Admitted}
}

func onRealSockets(t *testing.T, f func(w *realWorld)) {
	t.Helper()
	w := &realWorld{t: t, in: make(chan Incoming, 1000), lost: make(chan lossEvent, 1000)}
	w.fence = sovereign.NewFence(snapshot(t, "127.0.0.0/8"), nil)
	ca := newAuthority(t)
	loop := netip.MustParseAddrPort("127.0.0.1:0")
	udp, err := osnet.Net{}.ListenUDP(loop)
	if err != nil {
		t.Fatal(err)
	}
	defer udp.Close()
	cfg := Config{Fence: w.fence, Screen: w, Handler: w, Dial: osnet.Net{}.DialTCP, Connect: 5 * time.Second}
	cfg.Listeners = append(cfg.Listeners, Listener{Proto: UDP, UDP: w.fence.UDP(udp)})
	for _, p := range []Proto{TCP, TLS} {
		ln, err := osnet.Net{}.ListenTCP(loop)
		if err != nil {
			t.Fatal(err)
		}
		defer ln.Close()
		cfg.Listeners = append(cfg.Listeners, Listener{Proto: p, Stream: ln, TLS: &TLSProfile{Cert: use(ca.issue(t, nil, "edge.example"))}})
	}
	if w.l, err = New(cfg); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	wg.Go(func() {
		if err := w.l.Run(ctx); err != nil {
			t.Errorf("Run: %v", err)
		}
	})
	defer wg.Wait()
	defer cancel()
	deadline := time.Now().Add(10 * time.Second)
	for running := false; !running && time.Now().Before(deadline); runtime.Gosched() {
		w.l.mu.Lock()
		running = w.l.ctx != nil
		w.l.mu.Unlock()
	}
	f(w)
}

func (w *realWorld) flow(p Proto, to net.Addr, profile *TLSProfile) Flow {
	w.t.Helper()
	at := netip.MustParseAddrPort(to.String())
	pass, r := w.fence.Pass(sovereign.Ask{Party: "carrier", Plane: sovereign.Signalling, Addr: at})
	if pass == nil {
		w.t.Fatal(r.Why)
	}
	f, err := w.l.Flow(Dest{Proto: p, Addr: at, Party: "carrier", Profile: profile, Pass: pass})
	if err != nil {
		w.t.Fatal(err)
	}
	return f
}

// next waits for one of what the layer hands on.
func next[T any](t *testing.T, c <-chan T) (v T) {
	t.Helper()
	select {
	case v = <-c:
	case <-time.After(10 * time.Second):
		t.Fatal("nothing came")
	}
	return v
}

// All three protocols over the system's sockets, request out, response back.
func TestRealSockets(t *testing.T) {
	onRealSockets(t, func(w *realWorld) {
		u, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
		if err != nil {
			t.Fatal(err)
		}
		defer u.Close()
		big := "SIP/2.0 200 OK\r\n" + strings.Repeat("x", 20000)
		for i, c := range []net.Conn{nil, w.dial(w.l.accept[0].bound, nil), w.dial(w.l.accept[1].bound, &tls.Config{InsecureSkipVerify: true})} {
			read := func() string {
				b := make([]byte, 30000)
				n := 0
				for n < len(big) {
					var k int
					var err error
					if c == nil {
						u.SetReadDeadline(time.Now().Add(10 * time.Second))
						k, _, err = u.ReadFrom(b[n:])
					} else {
						c.SetReadDeadline(time.Now().Add(10 * time.Second))
						k, err = c.Read(b[n:])
					}
					if err != nil {
						t.Fatal(err)
					}
					n += k
				}
				return string(b[:n])
			}
			msg := []byte(message("OPTIONS", i+1, "", "body"))
			if c == nil {
				u.WriteToUDPAddrPort(msg, w.l.socks[0].bound)
			} else {
				c.Write(msg)
				defer c.Close()
			}
			in := next(t, w.in)
			if in.Msg.CSeq().SeqNo != uint32(i+1) || string(in.Msg.Body()) != "body" {
				t.Fatalf("got\n%s", in.Msg)
			}
			if err := w.l.Send(in.Flow, []byte(big)); err != nil {
				t.Fatal(err)
			}
			if got := read(); got != big {
				t.Errorf("%s: the peer got %d bytes, want %d", in.Flow.Proto(), len(got), len(big))
			}
		}
	})
}

func (w *realWorld) dial(to netip.AddrPort, c *tls.Config) net.Conn {
	w.t.Helper()
	nc, err := net.Dial("tcp", to.String())
	if err != nil {
		w.t.Fatal(err)
	}
	if c == nil {
		return nc
	}
	return tls.Client(nc, c)
}

// T5 on the system's sockets: each datagram to a closed port is told, and the pending error of one eats no datagram to another.
// Conforms: RFC 3261 section 18.4
func TestRealICMP(t *testing.T) {
	if runtime.GOOS != "linux" {
		return
	}
	onRealSockets(t, func(w *realWorld) {
		dead, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
		if err != nil {
			t.Fatal(err)
		}
		to := w.flow(UDP, dead.LocalAddr(), nil)
		dead.Close()
		live, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
		if err != nil {
			t.Fatal(err)
		}
		defer live.Close()
		fine := w.flow(UDP, live.LocalAddr(), nil)
		const n = 200
		for range n {
			if err := w.l.Send(to, []byte("x")); err != nil {
				t.Fatal(err)
			}
			if err := w.l.Send(fine, []byte("y")); err != nil {
				t.Fatal(err)
			}
		}
		ev := next(t, w.lost)
		if ev.key != to.Key() || !errors.Is(ev.err, ErrRefused) {
			t.Errorf("lost %v %v", ev.key, ev.err)
		}
		live.SetReadDeadline(time.Now().Add(10 * time.Second))
		for i := range n {
			if _, _, err := live.ReadFrom(make([]byte, 10)); err != nil {
				t.Fatalf("datagram %d: %v", i, err)
			}
		}
		live.WriteToUDPAddrPort([]byte(message("OPTIONS", 1, "", "")), w.l.socks[0].bound)
		next(t, w.in) // the read loop lives
	})
}

func TestRealRefusals(t *testing.T) {
	onRealSockets(t, func(w *realWorld) {
		ln, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		at := ln.Addr()
		ln.Close()
		f := w.flow(TCP, at, nil)
		if err := w.l.Warm(t.Context(), f); !errors.Is(err, ErrRefused) {
			t.Errorf("Warm: %v", err)
		}
		// A reset tells at once, too.
		ln, err = net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer ln.Close()
		next(t, w.lost)
		f = w.flow(TCP, ln.Addr(), nil)
		if err := w.l.Warm(t.Context(), f); err != nil {
			t.Fatal(err)
		}
		c, err := ln.Accept()
		if err != nil {
			t.Fatal(err)
		}
		c.(*net.TCPConn).SetLinger(0)
		c.Close()
		if ev := next(t, w.lost); ev.key != f.Key() || !errors.Is(ev.err, ErrGone) {
			t.Errorf("lost %v %v", ev.key, ev.err)
		}
	})
}
