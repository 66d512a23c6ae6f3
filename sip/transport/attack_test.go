package transport

import (
	"crypto/tls"
	"fmt"
	"net"
	"net/netip"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/cordonsip/cordon/sovereign"
)

// forgedUDP gives datagrams of ever new sources and then ends.
type forgedUDP struct {
	sovereign.UDPConn
	n, max int
	text   []byte
	grown  func()
	done   chan struct{}
}

func (f *forgedUDP) LocalAddr() net.Addr { return net.UDPAddrFromAddrPort(edgeUDP) }

func (f *forgedUDP) ReadFromUDPAddrPort(b []byte) (int, netip.AddrPort, error) {
	if f.n == f.max {
		close(f.done)
		return 0, netip.AddrPort{}, net.ErrClosed
	}
	f.n++
	if f.n%10000 == 1 {
		f.grown()
	}
	a := netip.AddrFrom4([4]byte{203, byte(f.n >> 16), byte(f.n >> 8), byte(f.n)})
	return copy(b, f.text), netip.AddrPortFrom(a, uint16(f.n)), nil
}

func (f *forgedUDP) SetReadDeadline(time.Time) error { return nil }
func (f *forgedUDP) Close() error                    { return nil }

func (f *forgedUDP) ReadError() (netip.AddrPort, error, bool) { return netip.AddrPort{}, nil, false }

// heap is what is in use after a collection.
func heap() int64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// A hundred thousand forged sources leave nothing: not a byte for each of them.
func TestForgedSourcesCostNothing(t *testing.T) {
	const sources = 100000
	w := &world{t: t, fence: sovereign.NewFence(snapshot(t, "192.0.2.0/24"), nil)}
	var first, last int64
	f := &forgedUDP{max: sources, text: []byte(message("INVITE", 1, "", "")), done: make(chan struct{})}
	f.grown = func() {
		last = heap()
		if first == 0 {
			first = last
		}
	}
	l, err := New(Config{Listeners: []Listener{{Proto: UDP, UDP: w.fence.UDP(f)}}, Fence: w.fence, Screen: silentScreen{}, Handler: w})
	if err != nil {
		t.Fatal(err)
	}
	go l.Run(t.Context())
	<-f.done
	if grown := last - first; grown > sources/4 {
		t.Errorf("%d sources made the heap grow by %d bytes", sources, grown)
	}
	if len(w.in) != 0 || len(l.socks[0].replies.byFrom) != 0 {
		t.Errorf("%d messages, %d sources kept", len(w.in), len(l.socks[0].replies.byFrom))
	}
}

type silentScreen struct{}

func (silentScreen) Source(Proto, netip.AddrPort, netip.AddrPort, *PeerIdentity) Admission {
	return Admission{}
}

// forgedTCP gives connections of ever new sources.
type forgedTCP struct {
	n, max int
	closed int
	grown  func()
	over   chan struct{}
}

type forgedConn struct {
	net.Conn
	from *net.TCPAddr
	l    *forgedTCP
}

func (c forgedConn) RemoteAddr() net.Addr { return c.from }
func (c forgedConn) Close() error         { c.l.closed++; return nil }
func (c forgedConn) Write([]byte) (int, error) {
	panic("a stranger got a byte")
}

func (f *forgedTCP) Accept() (net.Conn, error) {
	if f.n == f.max {
		<-f.over
		return nil, net.ErrClosed
	}
	f.n++
	if f.n%10000 == 1 {
		f.grown()
	}
	return forgedConn{from: &net.TCPAddr{IP: net.IPv4(203, byte(f.n>>16), byte(f.n>>8), byte(f.n)), Port: f.n%65535 + 1}, l: f}, nil
}
func (f *forgedTCP) Close() error   { return nil }
func (f *forgedTCP) Addr() net.Addr { return net.TCPAddrFromAddrPort(edgeTCP) }

// A connection of a source that nobody knows is closed where it was accepted: no goroutine, no entry, no byte.
func TestStrangersConnectionsCostNothing(t *testing.T) {
	const sources = 100000
	w := &world{t: t, fence: sovereign.NewFence(snapshot(t, "192.0.2.0/24"), nil)}
	var first, last int64
	f := &forgedTCP{max: sources, over: make(chan struct{})}
	goroutines := 0
	f.grown = func() {
		last, goroutines = heap(), max(goroutines, runtime.NumGoroutine())
		if first == 0 {
			first = last
		}
		if f.n == 90001 {
			close(f.over)
		}
	}
	l, err := New(Config{Listeners: []Listener{{Proto: TCP, Stream: f}}, Fence: w.fence, Screen: silentScreen{}, Handler: w})
	if err != nil {
		t.Fatal(err)
	}
	before := runtime.NumGoroutine()
	if err := l.Run(t.Context()); err == nil {
		t.Error("the listener ended and nobody said so")
	}
	if grown := last - first; grown > sources/4 {
		t.Errorf("%d sources made the heap grow by %d bytes", sources, grown)
	}
	if f.closed != sources || len(l.inbound) != 0 || l.total != 0 || goroutines > before+3 {
		t.Errorf("%d closed, %d counted, %d goroutines where %d were", f.closed, l.total, goroutines, before)
	}
}

// Conforms: RFC 3261 section 18.3
// A stream that says nothing whole for its first minute is closed, whatever it drips or pings; the same goes for TLS.
func TestSlowLoris(t *testing.T) {
	ca := newAuthority(t)
	cert := ca.issue(t, nil, "edge.example")
	for name, c := range map[string]struct {
		tls  bool
		drip string
		each time.Duration
		dies time.Duration
	}{
		"silence":                  {false, "", time.Second, time.Minute},
		"pings alone":              {false, "\r\n\r\n", 5 * time.Second, time.Minute},
		"a header that drips":      {false, "X", 2 * time.Second, 12 * time.Second},
		"silence over TLS":         {true, "", time.Second, time.Minute},
		"pings over TLS":           {true, "\r\n\r\n", 5 * time.Second, time.Minute},
		"a dripping header in TLS": {true, "X", 2 * time.Second, 12 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, withTLS(ca, use(cert)), func(w *world) {
				var p net.Conn = w.dialEdge(map[bool]netip.AddrPort{false: edgeTCP, true: edgeTLS}[c.tls])
				if c.tls {
					tc := tls.Client(p, &tls.Config{ServerName: "edge.example", RootCAs: ca.pool})
					if err := tc.Handshake(); err != nil {
						t.Fatal(err)
					}
					p = tc
				}
				defer p.Close()
				begin := time.Now()
				for time.Since(begin) < 3*time.Minute {
					if _, err := p.Write([]byte(c.drip)); err != nil {
						break
					}
					p.SetReadDeadline(time.Now().Add(c.each))
					if _, err := p.Read(make([]byte, 100)); err != nil && !isTimeout(err) {
						break
					}
				}
				if d := time.Since(begin); d < c.dies-3*time.Second || d > c.dies+6*time.Second {
					t.Errorf("it lived for %s, want about %s", d, c.dies)
				}
				w.settle()
				if w.l.total != 0 {
					t.Errorf("%d connections are counted", w.l.total)
				}
			})
		})
	}
}

// One source holds a bounded share of our memory, however many connections it may open and however it fills them.
func TestBuffersOfASourceAreBounded(t *testing.T) {
	const most = 64 << 10
	inWorld(t, func(w *world) { w.config.MaxConns, w.config.MaxBuffered = 50, most }, func(w *world) {
		open := 0
		for range 20 {
			p := w.dialEdge(edgeTCP)
			defer p.Close()
			p.Write([]byte("INVITE sip:a@b SIP/2.0\r\n" + strings.Repeat("X: "+strings.Repeat("y", 1000)+"\r\n", 15)))
			w.settle()
			if _, closed := p.recv(); !closed {
				open++
			}
			w.l.mu.Lock()
			b := w.l.inbound[peerAddr]
			w.l.mu.Unlock()
			if b != nil && b.bytes.Load() > most {
				t.Fatalf("the source holds %d bytes, %d are allowed", b.bytes.Load(), most)
			}
		}
		if open == 0 || open > 4 {
			t.Errorf("%d connections filled their buffers, want those that fit", open)
		}
		time.Sleep(11 * time.Second) // they drip no more and are closed
		p := w.dialEdge(edgeTCP)
		p.send(message("OPTIONS", 1, "", ""))
		if n := len(w.got()); n != 1 {
			t.Errorf("%d messages after the buffers were given back", n)
		}
		p.Close()
		w.settle()
		if len(w.l.inbound) != 0 || len(w.l.byParty) != 0 {
			t.Errorf("what is counted after all ended: %v %v", w.l.inbound, w.l.byParty)
		}
	})
}

// A party has a limit of connections of its own over all its addresses.
func TestConnectionsOfAParty(t *testing.T) {
	inWorld(t, func(w *world) {
		w.config.PartyConns = func(p string) int { return map[string]int{"carrier": 2}[p] }
	}, func(w *world) {
		var all []*streamPeer
		for range 4 {
			all = append(all, w.dialEdge(edgeTCP))
			w.settle()
		}
		open := 0
		for _, p := range all {
			if _, closed := p.recv(); !closed {
				open++
			}
			p.Close()
		}
		w.settle()
		if open != 2 || w.l.byParty["carrier"] != 0 {
			t.Errorf("%d are open, %d counted after the end", open, w.l.byParty["carrier"])
		}
	})
}

// Header bombs and lies about lengths: each is refused by its bound, and what comes behind intact framing is still read.
func TestBombs(t *testing.T) {
	many := strings.Repeat("X-A: b\r\n", maxFields+1)
	long := "X-A: " + strings.Repeat("b", maxLine+1) + "\r\n"
	for name, c := range map[string]struct {
		raw    string
		answer string
		lives  bool
	}{
		"too many fields":      {message("OPTIONS", 1, many, ""), "SIP/2.0 4", false}, // its Content-Length stood behind the bound
		"a field too long":     {message("OPTIONS", 1, long, ""), "SIP/2.0 4", true},
		"a head without end":   {"OPTIONS sip:a@b SIP/2.0\r\n" + strings.Repeat("X-A: "+strings.Repeat("b", 4000)+"\r\n", 9), "", false},
		"a body that is a lie": {strings.Replace(message("OPTIONS", 1, "", ""), "Content-Length: 0", "Content-Length: 99999999999", 1), "SIP/2.0 400", false},
		"a negative length":    {strings.Replace(message("OPTIONS", 1, "", ""), "Content-Length: 0", "Content-Length: -1", 1), "SIP/2.0 400", false},
		"two lengths":          {strings.Replace(message("OPTIONS", 1, "", "abc"), "Content-Length: 3", "Content-Length: 3\r\nContent-Length: 0", 1), "SIP/2.0 400", false},
	} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, nil, func(w *world) {
				p := w.dialEdge(edgeTCP)
				defer p.Close()
				p.Write([]byte(c.raw))
				time.Sleep(time.Second)
				got, closed := p.recv()
				if !strings.HasPrefix(got, c.answer) || closed == c.lives {
					t.Errorf("got %.60q, closed %v", got, closed)
				}
				if closed {
					return
				}
				p.send(message("OPTIONS", 2, "", ""))
				if s := seqs(w.got()); s != "2" {
					t.Errorf("messages %q came through", s)
				}
			})
		})
	}
	if b := fmt.Sprint(maxHead, maxFields, maxLine); b != "32768 256 8192" {
		t.Errorf("the bounds of the reference are others: %s", b)
	}
}
