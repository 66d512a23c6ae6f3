package osnet

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"runtime"
	"syscall"
	"testing"
	"time"

	"github.com/cordonsip/cordon/sovereign"
)

var loopbacks = []string{"127.0.0.1:0", "[::1]:0"}

func listen(t *testing.T, addr string) sovereign.UDPConn {
	t.Helper()
	c, err := Net{}.ListenUDP(netip.MustParseAddrPort(addr))
	if err != nil {
		if netip.MustParseAddrPort(addr).Addr().Is6() {
			t.Logf("no IPv6 here: %v", err)
			return nil
		}
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// closedPort gives a loopback port on which nobody listens.
func closedPort(t *testing.T, addr string) netip.AddrPort {
	t.Helper()
	c := listen(t, addr)
	p := c.LocalAddr().(*net.UDPAddr).AddrPort()
	c.Close()
	return p
}

func TestClosedPortIsReported(t *testing.T) {
	if runtime.GOOS != "linux" {
		return
	}
	for _, addr := range loopbacks {
		c := listen(t, addr)
		if c == nil {
			continue
		}
		dead := closedPort(t, addr)
		if _, err := c.WriteToUDPAddrPort([]byte("x"), dead); err != nil {
			t.Fatalf("%s: first write: %v", addr, err)
		}
		// The pending error wakes the read; nothing else would within the deadline.
		c.SetReadDeadline(time.Now().Add(5 * time.Second))
		_, _, err := c.ReadFromUDPAddrPort(make([]byte, 10))
		if !errors.Is(err, syscall.ECONNREFUSED) {
			t.Fatalf("%s: read gave %v, want ECONNREFUSED", addr, err)
		}
		q := c.(sovereign.ErrQueue)
		to, err, ok := q.ReadError()
		if !ok || to != dead || !errors.Is(err, syscall.ECONNREFUSED) {
			t.Fatalf("%s: queue gave %v %v %v, want %v ECONNREFUSED", addr, to, err, ok, dead)
		}
		if _, _, ok := q.ReadError(); ok {
			t.Errorf("%s: the queue gave the same error twice", addr)
		}
	}
}

// A socket on which an error was pending goes on reading and writing.
func TestSocketOutlivesError(t *testing.T) {
	a, b := listen(t, loopbacks[0]), listen(t, loopbacks[0])
	dead := closedPort(t, loopbacks[0])
	at := b.LocalAddr().(*net.UDPAddr).AddrPort()
	a.WriteToUDPAddrPort([]byte("x"), dead)
	a.SetReadDeadline(time.Now().Add(5 * time.Second))
	if runtime.GOOS == "linux" {
		a.ReadFromUDPAddrPort(make([]byte, 10))
	}
	if _, err := a.WriteToUDPAddrPort([]byte("hello"), at); err != nil {
		t.Fatal(err)
	}
	buf := make([]byte, 10)
	b.SetReadDeadline(time.Now().Add(5 * time.Second))
	n, from, err := b.ReadFromUDPAddrPort(buf)
	if err != nil || string(buf[:n]) != "hello" || from != a.LocalAddr().(*net.UDPAddr).AddrPort() {
		t.Fatalf("got %q from %v: %v", buf[:n], from, err)
	}
}

func TestTCP(t *testing.T) {
	l, err := Net{}.ListenTCP(netip.MustParseAddrPort("127.0.0.1:0"))
	if err != nil {
		t.Fatal(err)
	}
	at := l.Addr().(*net.TCPAddr).AddrPort()
	local := netip.MustParseAddr("127.0.0.9")
	c, err := Net{}.DialTCP(context.Background(), local, at)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if got := c.LocalAddr().(*net.TCPAddr).AddrPort().Addr(); got != local {
		t.Errorf("dialled from %v, want %v", got, local)
	}
	l.Close()
	if _, err := (Net{}).DialTCP(context.Background(), netip.Addr{}, at); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("dial of a closed port: %v, want ECONNREFUSED", err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := (Net{}).DialTCP(ctx, netip.Addr{}, at); !errors.Is(err, context.Canceled) {
		t.Errorf("dial with a cancelled context: %v", err)
	}
}

func TestListenOnTakenPortFails(t *testing.T) {
	c := listen(t, loopbacks[0])
	if _, err := (Net{}).ListenUDP(c.LocalAddr().(*net.UDPAddr).AddrPort()); !errors.Is(err, syscall.EADDRINUSE) {
		t.Errorf("udp: %v, want EADDRINUSE", err)
	}
	l, err := Net{}.ListenTCP(netip.MustParseAddrPort("127.0.0.1:0"))
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if _, err := (Net{}).ListenTCP(l.Addr().(*net.TCPAddr).AddrPort()); !errors.Is(err, syscall.EADDRINUSE) {
		t.Errorf("tcp: %v, want EADDRINUSE", err)
	}
}

// What finds no room is counted, and a wider queue has room for it.
func TestOverflow(t *testing.T) {
	if runtime.GOOS != "linux" {
		return
	}
	for _, addr := range loopbacks {
		from := listen(t, addr)
		if from == nil {
			continue
		}
		count := func(room int) uint64 {
			c := listen(t, addr)
			b := c.(sovereign.Backlog)
			if n, ok := b.Overflowed(); !ok || n != 0 {
				t.Errorf("%s: a new socket lost %d datagrams: %v", addr, n, ok)
			}
			if err := b.Widen(room); err != nil {
				t.Fatal(err)
			}
			to := c.LocalAddr().(*net.UDPAddr).AddrPort()
			for range 100 {
				if _, err := from.WriteToUDPAddrPort(make([]byte, 900), to); err != nil {
					t.Fatal(err)
				}
			}
			n, _ := b.Overflowed()
			return n
		}
		if n := count(8 << 10); n == 0 || n > 99 {
			t.Errorf("%s: %d of 100 datagrams were counted that found no room in 8 KiB", addr, n)
		}
		if n := count(1 << 20); n != 0 {
			t.Errorf("%s: %d of 100 datagrams found no room in 1 MiB", addr, n)
		}
	}
	c := listen(t, loopbacks[0])
	c.Close()
	b := c.(sovereign.Backlog)
	if _, ok := b.Overflowed(); ok || b.Widen(1<<20) == nil {
		t.Error("a closed socket has a queue")
	}
}

// A socket of both families gives IPv4 as IPv4, and takes it.
func TestBothFamilies(t *testing.T) {
	a, b := listen(t, "[::]:0"), listen(t, loopbacks[0])
	if a == nil {
		return
	}
	both := netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), a.LocalAddr().(*net.UDPAddr).AddrPort().Port())
	four := b.LocalAddr().(*net.UDPAddr).AddrPort()
	for _, step := range []struct {
		from, to sovereign.UDPConn
		at, seen netip.AddrPort
	}{{b, a, both, four}, {a, b, four, both}} {
		if n, err := step.from.WriteToUDPAddrPort([]byte("hello"), step.at); n != 5 || err != nil {
			t.Fatalf("wrote %d: %v", n, err)
		}
		buf := make([]byte, 10)
		step.to.SetReadDeadline(time.Now().Add(5 * time.Second))
		n, from, err := step.to.ReadFromUDPAddrPort(buf)
		if err != nil || string(buf[:n]) != "hello" || from != step.seen {
			t.Errorf("got %q from %v: %v, want it from %v", buf[:n], from, err, step.seen)
		}
	}
	if _, err := b.WriteToUDPAddrPort([]byte("x"), netip.MustParseAddrPort("[2001:db8::1]:5060")); !errors.Is(err, syscall.EAFNOSUPPORT) && runtime.GOOS == "linux" {
		t.Errorf("IPv6 from a socket of IPv4: %v", err)
	}
}

// Close ends the read that waits, and nothing is written any more: its descriptor may be somebody else's.
func TestCloseEndsReadsAndWrites(t *testing.T) {
	c := listen(t, loopbacks[0])
	read := make(chan error)
	go func() {
		_, _, err := c.ReadFromUDPAddrPort(make([]byte, 10))
		read <- err
	}()
	runtime.Gosched()
	c.Close()
	if err := <-read; !errors.Is(err, net.ErrClosed) {
		t.Errorf("the read ended with %v", err)
	}
	if _, err := c.WriteToUDPAddrPort([]byte("x"), netip.MustParseAddrPort("127.0.0.1:9")); !errors.Is(err, net.ErrClosed) {
		t.Errorf("a write after Close: %v", err)
	}
}

func TestDatagramsAllocateNothing(t *testing.T) {
	a, b := listen(t, loopbacks[0]), listen(t, loopbacks[0])
	to, text, buf := b.LocalAddr().(*net.UDPAddr).AddrPort(), []byte("hello"), make([]byte, 10)
	b.SetReadDeadline(time.Now().Add(time.Minute))
	if n := testing.AllocsPerRun(100, func() {
		a.WriteToUDPAddrPort(text, to)
		if _, _, err := b.ReadFromUDPAddrPort(buf); err != nil {
			t.Fatal(err)
		}
	}); n != 0 {
		t.Errorf("%v allocations per datagram", n)
	}
}
