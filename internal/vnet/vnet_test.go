package vnet

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/netip"
	"os"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cordonsip/cordon/sovereign"
)

var (
	ipA = netip.MustParseAddr("10.1.0.1")
	ipB = netip.MustParseAddr("10.2.0.1")
	pfA = netip.MustParsePrefix("10.1.0.0/16")
	pfB = netip.MustParsePrefix("10.2.0.0/16")
)

func two(seed uint64) (*Network, *Host, *Host) {
	n := New(seed)
	return n, n.Host(ipA), n.Host(ipB)
}

func ap(a netip.Addr, port uint16) netip.AddrPort { return netip.AddrPortFrom(a, port) }

func udp(t *testing.T, h *Host, a netip.AddrPort) sovereign.UDPConn {
	t.Helper()
	c, err := h.ListenUDP(a)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func noLeak(t *testing.T, n *Network) {
	t.Helper()
	if s := n.Stats(); s.Open != 0 || len(n.Open()) != 0 {
		t.Errorf("open sockets: %d %v", s.Open, n.Open())
	}
}

// receive reads numbered datagrams until nothing comes for 5 s.
func receive(c sovereign.UDPConn) (got []uint32) {
	b := make([]byte, 2048)
	for {
		_ = c.SetReadDeadline(time.Now().Add(5 * time.Second))
		k, _, err := c.ReadFromUDPAddrPort(b)
		if err != nil {
			return got
		}
		if k == 4 {
			got = append(got, binary.BigEndian.Uint32(b))
		}
	}
}

func sendMany(t *testing.T, c sovereign.UDPConn, to netip.AddrPort, count int) {
	t.Helper()
	for i := range count {
		if _, err := c.WriteToUDPAddrPort(binary.BigEndian.AppendUint32(nil, uint32(i)), to); err != nil {
			t.Fatal(err)
		}
		time.Sleep(20 * time.Millisecond)
	}
}

func TestDatagramDelayAndOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n, a, b := two(1)
		n.Link(pfA, pfB, Quality{Delay: 40 * time.Millisecond, Jitter: 100 * time.Millisecond})
		ca, cb := udp(t, a, ap(ipA, 0)), udp(t, b, ap(ipB, 5060))
		start := time.Now()
		for i := range 100 {
			_, _ = ca.WriteToUDPAddrPort(binary.BigEndian.AppendUint32(nil, uint32(i)), ap(ipB, 5060))
		}
		buf := make([]byte, 100)
		_, from, err := cb.ReadFromUDPAddrPort(buf)
		if took := time.Since(start); err != nil || took < 40*time.Millisecond || took >= 140*time.Millisecond {
			t.Errorf("first datagram after %v, %v", took, err)
		}
		if from != ca.LocalAddr().(*net.UDPAddr).AddrPort() {
			t.Errorf("from %v", from)
		}
		if got := receive(cb); len(got) != 99 || !slices.IsSorted(got) {
			t.Errorf("jitter alone must keep the order: %v", got)
		}
		ca.Close()
		cb.Close()
		noLeak(t, n)
	})
}

func TestLossDupReorder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n, a, b := two(7)
		n.Link(pfA, pfB, Quality{Delay: time.Millisecond, Loss: 0.2, Dup: 0.1, Reorder: 0.1})
		ca, cb := udp(t, a, ap(ipA, 0)), udp(t, b, ap(ipB, 5060))
		defer ca.Close()
		defer cb.Close()
		done := make(chan []uint32)
		go func() { done <- receive(cb) }()
		sendMany(t, ca, ap(ipB, 5060), 2000)
		got := <-done
		s := n.Stats()
		if s.Sent != 2000 || s.Lost < 320 || s.Lost > 480 || s.Duplicated < 110 || s.Duplicated > 210 || s.Reordered < 110 || s.Reordered > 210 {
			t.Errorf("%+v", s)
		}
		if len(got) != s.Sent-s.Lost+s.Duplicated || s.Delivered != len(got) {
			t.Errorf("got %d of %+v", len(got), s)
		}
		if slices.IsSorted(got) {
			t.Error("nothing was reordered")
		}
	})
}

// run plays one single-goroutine scenario and writes down what happened.
func run(seed uint64) string {
	var out strings.Builder
	n, a, b := two(seed)
	n.Default(Quality{Delay: 10 * time.Millisecond, Jitter: 30 * time.Millisecond, Loss: 0.3, Dup: 0.2, Reorder: 0.2})
	ca, _ := a.ListenUDP(ap(ipA, 0))
	cb, _ := b.ListenUDP(ap(ipB, 5060))
	start := time.Now()
	for i := range 100 {
		_, _ = ca.WriteToUDPAddrPort(binary.BigEndian.AppendUint32(nil, uint32(i)), ap(ipB, 5060))
	}
	buf := make([]byte, 10)
	for {
		_ = cb.SetReadDeadline(start.Add(time.Second))
		k, from, err := cb.ReadFromUDPAddrPort(buf)
		if err != nil {
			break
		}
		fmt.Fprintln(&out, time.Since(start), from, buf[:k])
	}
	fmt.Fprintf(&out, "%+v", n.Stats())
	ca.Close()
	cb.Close()
	return out.String()
}

func TestSeed(t *testing.T) {
	play := func(seed uint64) (s string) {
		synctest.Test(t, func(*testing.T) { s = run(seed) })
		return s
	}
	first, again, other := play(1), play(1), play(2)
	if first != again {
		t.Error("the same seed gave two histories")
	}
	if first == other {
		t.Error("two seeds gave one history")
	}
}

func TestFatesOfFlowsAreIndependent(t *testing.T) {
	play := func(others int) (got []uint32) {
		synctest.Test(t, func(t *testing.T) {
			n, a, b := two(3)
			n.Default(Quality{Loss: 0.5})
			ca, cb := udp(t, a, ap(ipA, 4000)), udp(t, b, ap(ipB, 5060))
			noise := udp(t, a, ap(ipA, 4001))
			for range others {
				_, _ = noise.WriteToUDPAddrPort([]byte("x"), ap(ipB, 5060))
			}
			for i := range 100 {
				_, _ = ca.WriteToUDPAddrPort(binary.BigEndian.AppendUint32(nil, uint32(i)), ap(ipB, 5060))
			}
			got = receive(cb)
			a.Crash()
			b.Crash()
			noLeak(t, n)
		})
		return got
	}
	if x, y := play(0), play(57); !slices.Equal(x, y) {
		t.Errorf("another flow changed this one:\n%v\n%v", x, y)
	}
}

func TestFlowsDiffer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n, a, b := two(3)
		n.Default(Quality{Loss: 0.5})
		var got [2][]uint32
		for i := range got {
			ca, cb := udp(t, a, ap(ipA, 4000)), udp(t, b, ap(ipB, uint16(5060+i)))
			for k := range 64 {
				_, _ = ca.WriteToUDPAddrPort(binary.BigEndian.AppendUint32(nil, uint32(k)), ap(ipB, uint16(5060+i)))
			}
			got[i] = receive(cb)
			ca.Close()
			cb.Close()
		}
		if slices.Equal(got[0], got[1]) {
			t.Errorf("two flows, one fate: %v", got[0])
		}
	})
}

func TestManyDialsHavePortsOfTheirOwn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n, a, b := two(1)
		l, _ := b.ListenTCP(ap(ipB, 1))
		seen := map[string]bool{}
		// The port of a live stream is not used again when the counter comes round.
		first, err := a.DialTCP(t.Context(), ipA, ap(ipB, 1))
		if err != nil {
			t.Fatal(err)
		}
		seen[first.LocalAddr().String()] = true
		for range 70000 - firstPort {
			c, err := a.ListenUDP(ap(ipA, 0))
			if err != nil {
				t.Fatal(err)
			}
			c.Close()
			if a.next == firstPort {
				c, err := a.DialTCP(t.Context(), ipA, ap(ipB, 1))
				if err != nil || seen[c.LocalAddr().String()] {
					t.Fatal("used twice", err)
				}
				c.Close()
			}
		}
		first.Close()
		b.Crash()
		l.Close()
		noLeak(t, n)
	})
}

func TestCutAndHeal(t *testing.T) {
	tests := []struct {
		name     string
		cut      func(*Network)
		ab, ba   bool // does a datagram pass
		healable netip.Prefix
	}{
		{"both ways", func(n *Network) { n.Cut(pfB) }, false, false, pfB},
		{"one way", func(n *Network) { n.CutOneWay(pfA, pfB) }, false, true, pfB},
		{"other way", func(n *Network) { n.CutOneWay(pfB, pfA) }, true, false, pfA},
		{"elsewhere", func(n *Network) { n.Cut(netip.MustParsePrefix("10.3.0.0/16")) }, true, true, pfA},
		{"narrower", func(n *Network) { n.Cut(netip.PrefixFrom(ipB, 32)) }, false, false, netip.MustParsePrefix("10.0.0.0/8")},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				n, a, b := two(1)
				ca, cb := udp(t, a, ap(ipA, 1)), udp(t, b, ap(ipB, 1))
				defer ca.Close()
				defer cb.Close()
				pass := func(from, to sovereign.UDPConn) bool {
					_, _ = from.WriteToUDPAddrPort([]byte("ping"), to.LocalAddr().(*net.UDPAddr).AddrPort())
					_ = to.SetReadDeadline(time.Now().Add(time.Second))
					_, _, err := to.ReadFromUDPAddrPort(make([]byte, 9))
					return err == nil
				}
				tt.cut(n)
				if ab, ba := pass(ca, cb), pass(cb, ca); ab != tt.ab || ba != tt.ba {
					t.Errorf("passes a>b %v, b>a %v", ab, ba)
				}
				n.Heal(tt.healable)
				if !pass(ca, cb) || !pass(cb, ca) {
					t.Error("not healed")
				}
			})
		})
	}
}

func TestCutTakesWhatIsInFlight(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n, a, b := two(1)
		n.Default(Quality{Delay: time.Second})
		ca, cb := udp(t, a, ap(ipA, 1)), udp(t, b, ap(ipB, 1))
		defer ca.Close()
		defer cb.Close()
		_, _ = ca.WriteToUDPAddrPort([]byte("0123"), ap(ipB, 1))
		time.Sleep(500 * time.Millisecond)
		n.Cut(pfB)
		if got := receive(cb); len(got) != 0 {
			t.Error("passed a cut")
		}
	})
}

func TestICMP(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n, a, b := two(1)
		n.Default(Quality{Delay: 20 * time.Millisecond})
		c := udp(t, a, ap(ipA, 5060))
		defer c.Close()
		q := c.(sovereign.ErrQueue)
		start := time.Now()
		try := func(to netip.AddrPort) error {
			_, _ = c.WriteToUDPAddrPort([]byte("x"), to)
			_ = c.SetReadDeadline(time.Now().Add(time.Second))
			_, _, err := c.ReadFromUDPAddrPort(make([]byte, 9))
			return err
		}
		if err := try(ap(ipB, 9)); !errors.Is(err, syscall.ECONNREFUSED) || time.Since(start) != 40*time.Millisecond {
			t.Errorf("closed port: %v after %v", err, time.Since(start))
		}
		to, err, ok := q.ReadError()
		if !ok || to != ap(ipB, 9) || !errors.Is(err, syscall.ECONNREFUSED) {
			t.Errorf("error queue: %v %v %v", to, err, ok)
		}
		if _, _, ok := q.ReadError(); ok {
			t.Error("queue not empty")
		}
		if err := try(ap(netip.MustParseAddr("10.9.9.9"), 9)); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("nobody lives there: %v", err)
		}
		b.Down(true)
		if err := try(ap(ipB, 9)); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("dead host: %v", err)
		}
		b.Down(false)
		cb := udp(t, b, ap(ipB, 9))
		defer cb.Close()
		n.Refuse(pfB)
		if err := try(ap(ipB, 9)); !errors.Is(err, syscall.ECONNREFUSED) {
			t.Errorf("refused prefix: %v", err)
		}
		n.CutOneWay(pfB, pfA)
		if err := try(ap(ipB, 9)); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("the ICMP error came through a cut: %v", err)
		}
		n.Heal(pfB)
		if err := try(ap(ipB, 9)); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("healed: %v", err)
		}
		// A pending error fails one write, as on Linux, and draining the queue clears it.
		for _, drain := range []bool{false, true} {
			for range 2 {
				_, _ = c.WriteToUDPAddrPort([]byte("x"), ap(ipB, 99))
			}
			time.Sleep(time.Second)
			for drain {
				if _, _, drain = q.ReadError(); !drain {
					break
				}
			}
			_, err := c.WriteToUDPAddrPort([]byte("x"), ap(ipB, 9))
			if _, _, left := q.ReadError(); left == (err == nil) {
				t.Errorf("write with an error pending: %v, queue not empty: %v", err, left)
			}
			_, _, _ = q.ReadError()
		}
	})
}

func TestBind(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n, a, _ := two(1)
		c := udp(t, a, ap(ipA, 5060))
		if _, err := a.ListenUDP(ap(ipA, 5060)); !errors.Is(err, syscall.EADDRINUSE) {
			t.Errorf("twice: %v", err)
		}
		if _, err := a.ListenUDP(ap(netip.IPv4Unspecified(), 5060)); !errors.Is(err, syscall.EADDRINUSE) {
			t.Errorf("all addresses: %v", err)
		}
		if _, err := a.ListenUDP(ap(ipB, 5060)); !errors.Is(err, syscall.EADDRNOTAVAIL) {
			t.Errorf("foreign address: %v", err)
		}
		l, err := a.ListenTCP(ap(ipA, 5060))
		if err != nil {
			t.Errorf("TCP has ports of its own: %v", err)
		}
		if _, err := a.ListenTCP(ap(ipA, 5060)); !errors.Is(err, syscall.EADDRINUSE) {
			t.Errorf("twice: %v", err)
		}
		if got := n.Open(); !slices.Equal(got, []string{"tcp listen 10.1.0.1:5060", "udp 10.1.0.1:5060"}) {
			t.Errorf("open: %v", got)
		}
		c.Close()
		l.Close()
		if err := c.Close(); !errors.Is(err, net.ErrClosed) {
			t.Errorf("second close: %v", err)
		}
		if _, err := c.WriteToUDPAddrPort(nil, ap(ipB, 1)); !errors.Is(err, net.ErrClosed) {
			t.Errorf("write after close: %v", err)
		}
		if _, err := l.Accept(); !errors.Is(err, net.ErrClosed) {
			t.Errorf("accept after close: %v", err)
		}
		udp(t, a, ap(ipA, 5060)).Close()
		// Every port comes back: more sockets than there are ports.
		for range 20000 {
			udp(t, a, ap(ipA, 0)).Close()
		}
		noLeak(t, n)
	})
}

func TestLoopbackIsTheHostsOwn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n, a, b := two(1)
		n.Default(Quality{Delay: time.Hour})
		lo := ap(netip.MustParseAddr("127.0.0.1"), 8080)
		for _, h := range []*Host{a, b} {
			l, err := h.ListenTCP(lo)
			if err != nil {
				t.Fatal(err)
			}
			start := time.Now()
			c, err := h.DialTCP(t.Context(), netip.Addr{}, lo)
			if err != nil || time.Since(start) != 0 {
				t.Fatal(err, time.Since(start))
			}
			defer c.Close()
			defer l.Close()
		}
	})
}

// pair opens one stream from a to b.
func streamPair(t *testing.T, a, b *Host) (client, server net.Conn) {
	t.Helper()
	l, err := b.ListenTCP(ap(b.Addr(), 0))
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	client, err = a.DialTCP(t.Context(), netip.Addr{}, l.Addr().(*net.TCPAddr).AddrPort())
	if err != nil {
		t.Fatal(err)
	}
	if server, err = l.Accept(); err != nil {
		t.Fatal(err)
	}
	return client, server
}

func TestStream(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n, a, b := two(5)
		n.Default(Quality{Delay: 10 * time.Millisecond, Jitter: 20 * time.Millisecond, Loss: 0.05, Reorder: 0.1, Dup: 0.1})
		c, s := streamPair(t, a, b)
		want := make([]byte, 5<<20) // five times the buffer
		_, _ = rand.Read(want)
		var got []byte
		var wg sync.WaitGroup
		wg.Go(func() {
			got, _ = io.ReadAll(s)
			_, _ = s.Write([]byte("thanks")) // the other half is still open
			s.Close()
		})
		if k, err := c.Write(want); k != len(want) || err != nil {
			t.Fatal(k, err)
		}
		if err := c.(interface{ CloseWrite() error }).CloseWrite(); err != nil {
			t.Fatal(err)
		}
		if _, err := c.Write([]byte("x")); !errors.Is(err, syscall.EPIPE) {
			t.Errorf("write after half-close: %v", err)
		}
		answer, err := io.ReadAll(c)
		wg.Wait()
		if !bytes.Equal(got, want) || string(answer) != "thanks" || err != nil {
			t.Errorf("%d bytes of %d, %q, %v", len(got), len(want), answer, err)
		}
		c.Close()
		noLeak(t, n)
	})
}

func TestDialOutcomes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n, a, b := two(1)
		n.Default(Quality{Delay: 25 * time.Millisecond})
		l, _ := b.ListenTCP(ap(ipB, 5061))
		defer l.Close()
		dial := func(ctx context.Context, to netip.AddrPort) (time.Duration, error) {
			start := time.Now()
			c, err := a.DialTCP(ctx, ipA, to)
			if err == nil {
				c.Close()
			}
			return time.Since(start), err
		}
		if took, err := dial(t.Context(), ap(ipB, 5061)); err != nil || took != 50*time.Millisecond {
			t.Errorf("open port: %v after %v", err, took)
		}
		if took, err := dial(t.Context(), ap(ipB, 9)); !errors.Is(err, syscall.ECONNREFUSED) || took != 50*time.Millisecond {
			t.Errorf("closed port: %v after %v", err, took)
		}
		n.Refuse(pfB)
		if took, err := dial(t.Context(), ap(ipB, 5061)); !errors.Is(err, syscall.ECONNREFUSED) || took != 50*time.Millisecond {
			t.Errorf("refused prefix: %v after %v", err, took)
		}
		n.Heal(pfB)
		n.Cut(pfB)
		if took, err := dial(t.Context(), ap(ipB, 5061)); !errors.Is(err, syscall.ETIMEDOUT) || took != 15*time.Second {
			t.Errorf("cut: %v after %v", err, took)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 1500*time.Millisecond)
		defer cancel()
		took, err := dial(ctx, ap(ipB, 5061))
		var ne net.Error
		if !errors.As(err, &ne) || !ne.Timeout() || took != 1500*time.Millisecond {
			t.Errorf("ctx: %v after %v", err, took)
		}
		go func() {
			time.Sleep(2 * time.Second)
			n.Heal(pfB)
		}()
		if took, err := dial(t.Context(), ap(ipB, 5061)); err != nil || took < 3*time.Second {
			t.Errorf("healed while dialling: %v after %v", err, took)
		}
		if _, err := a.DialTCP(t.Context(), ipB, ap(ipB, 5061)); !errors.Is(err, syscall.EADDRNOTAVAIL) {
			t.Errorf("foreign source: %v", err)
		}
	})
}

func TestStreamAcrossACut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n, a, b := two(1)
		c, s := streamPair(t, a, b)
		n.Cut(pfB)
		_, _ = c.Write([]byte("late"))
		time.Sleep(3 * time.Second)
		n.Heal(pfB)
		buf := make([]byte, 10)
		if k, err := s.Read(buf); err != nil || string(buf[:k]) != "late" {
			t.Errorf("%q %v", buf[:k], err)
		}
		n.Cut(pfB)
		start := time.Now()
		_, _ = c.Write([]byte("lost"))
		if _, err := c.Read(buf); !errors.Is(err, syscall.ETIMEDOUT) || time.Since(start) < 15*time.Second {
			t.Errorf("%v after %v", err, time.Since(start))
		}
		if _, err := c.Write([]byte("x")); !errors.Is(err, syscall.ETIMEDOUT) {
			t.Error(err)
		}
		n.Heal(pfB)
		_, _ = s.Write([]byte("are you there?"))
		if _, err := s.Read(buf); !errors.Is(err, syscall.ECONNRESET) {
			t.Errorf("the other end learns by RST: %v", err)
		}
		c.Close()
		s.Close()
		noLeak(t, n)
	})
}

func TestResets(t *testing.T) {
	buf := make([]byte, 10)
	tests := []struct {
		name string
		do   func(n *Network, c, s net.Conn, b *Host) error
	}{
		{"refused prefix", func(n *Network, c, s net.Conn, b *Host) error {
			n.Refuse(pfB)
			_, _ = c.Write([]byte("x"))
			_, err := c.Read(buf)
			return err
		}},
		{"crash", func(n *Network, c, s net.Conn, b *Host) error {
			b.Crash()
			_, err := c.Read(buf)
			return err
		}},
		{"write to a closed one", func(n *Network, c, s net.Conn, b *Host) error {
			s.Close()
			if _, err := c.Read(buf); !errors.Is(err, io.EOF) {
				return err
			}
			_, _ = c.Write([]byte("x"))
			time.Sleep(time.Second)
			_, err := c.Write([]byte("x"))
			return err
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				n, a, b := two(1)
				c, s := streamPair(t, a, b)
				if err := tt.do(n, c, s, b); !errors.Is(err, syscall.ECONNRESET) {
					t.Errorf("got %v", err)
				}
				c.Close()
				s.Close()
				noLeak(t, n)
			})
		})
	}
}

func TestDeadlines(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, a, b := two(1)
		c, s := streamPair(t, a, b)
		defer c.Close()
		defer s.Close()
		buf := make([]byte, 1<<20)
		start := time.Now()
		_ = c.SetReadDeadline(start.Add(time.Second))
		if _, err := c.Read(buf); !errors.Is(err, os.ErrDeadlineExceeded) || time.Since(start) != time.Second {
			t.Errorf("%v after %v", err, time.Since(start))
		}
		_ = c.SetWriteDeadline(time.Now().Add(time.Second))
		if k, err := c.Write(make([]byte, 3<<20)); k != 1<<20 || !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("%d bytes fit, %v", k, err)
		}
		_ = c.SetDeadline(time.Time{})
		if k, err := s.Read(buf); k == 0 || err != nil {
			t.Error(k, err)
		}
		// A deadline in the past frees a reader that already waits.
		go func() {
			time.Sleep(time.Minute)
			_ = c.SetReadDeadline(time.Unix(1, 0))
		}()
		if _, err := c.Read(buf); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Error(err)
		}
		c.Close()
		if _, err := c.Read(buf); !errors.Is(err, net.ErrClosed) {
			t.Error(err)
		}
		if err := c.SetDeadline(time.Now()); !errors.Is(err, net.ErrClosed) {
			t.Error(err)
		}
	})
}

func TestTap(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n, a, b := two(1)
		var mu sync.Mutex
		var seen []string
		for range 2 {
			n.Tap(func(p Packet) {
				mu.Lock()
				defer mu.Unlock()
				seen = append(seen, fmt.Sprintf("%v %s %s %v %q", p.At.Sub(time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)), p.Proto, p.Kind, p.To, p.Data))
			})
		}
		u := udp(t, a, ap(ipA, 1))
		_, _ = u.WriteToUDPAddrPort([]byte("hi"), ap(netip.MustParseAddr("10.9.9.9"), 2))
		u.Close()
		n.Cut(pfB)
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
		_, _ = a.DialTCP(ctx, ipA, ap(ipB, 9))
		cancel()
		n.Heal(pfB)
		c, s := streamPair(t, a, b)
		_, _ = c.Write([]byte("yo"))
		c.Close()
		s.Close()
		var want []string
		for _, l := range []string{
			`0s udp datagram 10.9.9.9:2 "hi"`, `0s tcp syn 10.2.0.1:9 ""`, `1s tcp syn 10.2.0.1:9 ""`, `2s tcp syn 10.2.0.1:49152 ""`,
			`2s tcp data 10.2.0.1:49152 "yo"`, `2s tcp fin 10.2.0.1:49152 ""`, `2s tcp fin 10.1.0.1:49153 ""`,
		} {
			want = append(want, l, l)
		}
		slices.Sort(seen)
		slices.Sort(want)
		if !slices.Equal(seen, want) {
			t.Errorf("saw\n%s\nwant\n%s", strings.Join(seen, "\n"), strings.Join(want, "\n"))
		}
	})
}

func selfSigned(t *testing.T) (tls.Certificate, *x509.CertPool) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	tmpl := &x509.Certificate{
		SerialNumber: big.NewInt(1), DNSNames: []string{"b.example"}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Date(1999, 1, 1, 0, 0, 0, 0, time.UTC), NotAfter: time.Date(2100, 1, 1, 0, 0, 0, 0, time.UTC),
	}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	leaf, _ := x509.ParseCertificate(der)
	pool := x509.NewCertPool()
	pool.AddCert(leaf)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, pool
}

func testTLS(t *testing.T) {
	cert, roots := selfSigned(t)
	n, a, b := two(1)
	n.Default(Quality{Delay: 5 * time.Millisecond, Loss: 0.1})
	c, s := streamPair(t, a, b)
	server := tls.Server(s, &tls.Config{Certificates: []tls.Certificate{cert}})
	var wg sync.WaitGroup
	wg.Go(func() {
		_, _ = io.Copy(server, server)
		server.Close()
	})
	client := tls.Client(c, &tls.Config{RootCAs: roots, ServerName: "b.example"})
	if err := client.HandshakeContext(t.Context()); err != nil {
		t.Fatal(err)
	}
	want := bytes.Repeat([]byte("cordon "), 50000)
	var got []byte
	wg.Go(func() { got, _ = io.ReadAll(client) })
	if _, err := client.Write(want); err != nil {
		t.Fatal(err)
	}
	_ = client.CloseWrite()
	wg.Wait()
	client.Close()
	if !bytes.Equal(got, want) {
		t.Errorf("%d bytes of %d came back", len(got), len(want))
	}
	noLeak(t, n)
}

func TestTLS(t *testing.T)         { synctest.Test(t, testTLS) }
func TestTLSRealTime(t *testing.T) { testTLS(t) }

func TestHostTwicePanics(t *testing.T) {
	defer func() {
		if recover() == nil {
			t.Error("no panic")
		}
	}()
	n, _, _ := two(1)
	n.Host(ipA)
}
