package osnet

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func dup(fd int) (int, error) { return unix.FcntlInt(uintptr(fd), unix.F_DUPFD, 0) }

// socket binds one for as long as the test; nil where there is no IPv6.
func socket(t testing.TB, addr string, o SocketOptions) *Socket {
	t.Helper()
	s, err := Net{}.Socket(netip.MustParseAddrPort(addr), o)
	if err != nil {
		if strings.HasPrefix(addr, "[") {
			t.Logf("no IPv6 here: %v", err)
			return nil
		}
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

// named is the name of to for s.
func named(t testing.TB, s *Socket, to netip.AddrPort) Name {
	t.Helper()
	n, ok := NameOf(to, s.Six())
	if !ok {
		t.Fatalf("%v is nothing that %v can send to", to, s.Bound())
	}
	return n
}

// arrive waits until something is there to read, and reads it.
func arrive(t testing.TB, s *Socket) (string, Name) {
	t.Helper()
	b := make([]byte, 2048)
	for {
		from := Name([]byte("twenty-eight bytes of before")) // which must not show through
		n, errno := Receive(s.FD(), b, &from)
		switch errno {
		case 0:
			return string(b[:n]), from
		case unix.EAGAIN:
			if n, err := unix.Poll([]unix.PollFd{{Fd: int32(s.FD()), Events: unix.POLLIN}}, 10_000); n == 0 && err == nil {
				t.Fatal("nothing came")
			}
		default:
			t.Fatal(errno)
		}
	}
}

// TestSocket: what one socket sends by a name, another one receives from that of the first.
func TestSocket(t *testing.T) {
	for _, addr := range loopbacks {
		a, b := socket(t, addr, SocketOptions{DSCP: 46, Buffer: 1 << 20}), socket(t, addr, SocketOptions{DSCP: -1})
		if a == nil || b == nil {
			continue
		}
		me, to := named(t, a, a.Bound()), named(t, a, b.Bound())
		if me.AddrPort() != a.Bound() || me == to || a.Bound().Port() == 0 {
			t.Fatal(me, to)
		}
		var from Name
		if n, errno := Receive(b.FD(), make([]byte, 10), &from); n != 0 || errno != syscall.EAGAIN || from != (Name{}) {
			t.Fatalf("%d %v from an empty socket", n, errno)
		}
		if errno := Send(a.FD(), []byte("raw"), &to); errno != 0 {
			t.Fatal(errno)
		}
		if n, err := a.WriteToUDPAddrPort([]byte("conn"), b.Bound()); n != 4 || err != nil {
			t.Fatal(n, err)
		}
		for _, want := range []string{"raw", "conn"} {
			if got, from := arrive(t, b); got != want || from != me {
				t.Errorf("%q from %v, want %q from %v", got, from.AddrPort(), want, a.Bound())
			}
		}
		if errno := Send(a.FD(), []byte("cut off"), &to); errno != 0 {
			t.Fatal(errno)
		}
		_, _ = unix.Poll([]unix.PollFd{{Fd: int32(b.FD()), Events: unix.POLLIN}}, 10_000)
		buf := []byte("......")
		if n, errno := Receive(b.FD(), buf[:3], &from); n != 3 || errno != 0 || string(buf) != "cut..." {
			t.Errorf("%d %v: %q", n, errno, buf)
		}
		if errno := Send(a.FD(), []byte("x"), &Name{}); errno != unix.EDESTADDRREQ && errno != unix.EINVAL {
			t.Errorf("sent to no address: %v", errno)
		}
	}
}

// TestSocketOfBothFamilies: IPv4 has one name in a socket of IPv6, whether it was written or came.
func TestSocketOfBothFamilies(t *testing.T) {
	both, four := socket(t, "[::]:0", SocketOptions{DSCP: -1}), socket(t, loopbacks[0], SocketOptions{})
	if both == nil {
		return
	}
	at := netip.AddrPortFrom(four.Bound().Addr(), both.Bound().Port())
	if _, err := four.WriteToUDPAddrPort([]byte("four"), at); err != nil {
		t.Fatal(err)
	}
	got, from := arrive(t, both)
	if got != "four" || from != named(t, both, four.Bound()) || from.AddrPort() != four.Bound() {
		t.Errorf("%q from %v", got, from.AddrPort())
	}
	if errno := Send(both.FD(), []byte("back"), &from); errno != 0 {
		t.Fatal(errno)
	}
	if got, from := arrive(t, four); got != "back" || from != named(t, four, at) {
		t.Errorf("%q from %v", got, from.AddrPort())
	}
	// The address of one family alone takes nothing of the other.
	six := socket(t, "[::1]:0", SocketOptions{})
	if _, err := (Net{}).Socket(netip.AddrPortFrom(netip.IPv4Unspecified(), six.Bound().Port()), SocketOptions{}); err != nil && !errors.Is(err, syscall.EADDRINUSE) {
		t.Error(err)
	}
	if _, err := four.WriteToUDPAddrPort([]byte("x"), six.Bound()); !errors.Is(err, syscall.EAFNOSUPPORT) {
		t.Errorf("IPv4 wrote to IPv6: %v", err)
	}
}

// codePoint says with which one a datagram from a arrives at b.
func codePoint(t *testing.T, a, b *Socket) int {
	t.Helper()
	level, ask, kind := unix.IPPROTO_IP, unix.IP_RECVTOS, unix.IP_TOS
	if b.Six() {
		level, ask, kind = unix.IPPROTO_IPV6, unix.IPV6_RECVTCLASS, unix.IPV6_TCLASS
	}
	if err := unix.SetsockoptInt(b.FD(), level, ask, 1); err != nil {
		t.Fatal(err)
	}
	if _, err := a.WriteToUDPAddrPort([]byte("x"), b.Bound()); err != nil {
		t.Fatal(err)
	}
	_, _ = unix.Poll([]unix.PollFd{{Fd: int32(b.FD()), Events: unix.POLLIN}}, 10_000)
	oob := make([]byte, 64)
	_, n, _, _, err := unix.Recvmsg(b.FD(), make([]byte, 1), oob, unix.MSG_DONTWAIT)
	msgs, err2 := unix.ParseSocketControlMessage(oob[:n])
	if err != nil || err2 != nil || len(msgs) != 1 || int(msgs[0].Header.Type) != kind || msgs[0].Data[0]&3 != 0 {
		t.Fatal(msgs, err, err2)
	}
	return int(msgs[0].Data[0]) >> 2
}

// TestSocketOptions asks the wire for the code point, of both families, and the kernel for the queue.
func TestSocketOptions(t *testing.T) {
	for from, to := range map[string]string{"127.0.0.1:0": "127.0.0.1:0", "[::1]:0": "[::1]:0", "[::]:0": "127.0.0.1:0"} {
		for _, dscp := range []int{-1, 0, 10, 46, 63} {
			a, b := socket(t, from, SocketOptions{DSCP: dscp}), socket(t, to, SocketOptions{DSCP: -1})
			if a == nil || b == nil {
				continue
			}
			if got := codePoint(t, a, b); got != max(0, dscp) {
				t.Errorf("%s to %s: %d on the wire for the code point %d", from, to, got, dscp)
			}
			for _, later := range []int{34, 0} {
				if err := a.Mark(later); err != nil {
					t.Fatal(err)
				}
				if got := codePoint(t, a, b); got != later {
					t.Errorf("%s to %s: %d on the wire after %d", from, to, got, later)
				}
			}
		}
	}
	s := socket(t, loopbacks[0], SocketOptions{})
	if err := s.Mark(-1); !errors.Is(err, syscall.EINVAL) {
		t.Errorf("marked with -1: %v", err)
	}
	s.Close()
	if err := s.Mark(1); !errors.Is(err, net.ErrClosed) {
		t.Errorf("a closed socket: %v", err)
	}
	queue := func(s *Socket) int {
		n, err := unix.GetsockoptInt(s.FD(), unix.SOL_SOCKET, unix.SO_RCVBUF)
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	was, now := queue(socket(t, loopbacks[0], SocketOptions{})), queue(socket(t, loopbacks[0], SocketOptions{Buffer: 20_000}))
	if now != 40_000 || was == now { // the kernel counts what it needs itself as much again
		t.Errorf("a queue of %d, %d bytes when 20000 were asked for", was, now)
	}
}

// TestSocketErrors: whatever goes wrong, no descriptor stays.
func TestSocketErrors(t *testing.T) {
	taken := socket(t, loopbacks[0], SocketOptions{})
	keepsNone(t, func() {
		for at, want := range map[string]error{
			taken.Bound().String(): syscall.EADDRINUSE,
			"192.0.2.1:0":          syscall.EADDRNOTAVAIL,
			"[fe80::1%nowhere]:0":  nil, // in the words of net
		} {
			if _, err := (Net{}).Socket(netip.MustParseAddrPort(at), SocketOptions{}); err == nil || want != nil && !errors.Is(err, want) {
				t.Errorf("%s: %v, want %v", at, err, want)
			}
		}
		for _, dscp := range []int{-2, 64, 184} {
			if _, err := (Net{}).Socket(netip.MustParseAddrPort(loopbacks[0]), SocketOptions{DSCP: dscp}); !errors.Is(err, syscall.EINVAL) {
				t.Errorf("a code point of %d: %v", dscp, err)
			}
		}
	})
	if n, err := zoneID("7"); n != 7 || err != nil {
		t.Error(n, err)
	}
	if i, err := net.InterfaceByName("lo"); err == nil {
		if n, err := zoneID("lo"); int(n) != i.Index || err != nil {
			t.Error(n, err)
		}
	}
}

// TestAdoptSocket: what waits in a socket is there for whoever has it, also when who had it first is gone.
func TestAdoptSocket(t *testing.T) {
	for _, addr := range append([]string{"[::]:0"}, loopbacks...) {
		from, first := socket(t, "127.0.0.1:0", SocketOptions{}), socket(t, addr, SocketOptions{})
		if strings.HasPrefix(addr, "[::1]") {
			from = socket(t, addr, SocketOptions{})
		}
		if first == nil || from == nil {
			continue
		}
		to := netip.AddrPortFrom(from.Bound().Addr(), first.Bound().Port())
		for i := range 5 {
			if _, err := from.WriteToUDPAddrPort(fmt.Append(nil, i), to); err != nil {
				t.Fatal(err)
			}
		}
		fd := copied(t, first.FD())
		if err := unix.SetNonblock(fd, false); err != nil {
			t.Fatal(err)
		}
		second, err := AdoptSocket(fd)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { second.Close() })
		if second.Bound() != first.Bound() || second.Six() != first.Six() {
			t.Errorf("%v %v, want %v %v", second.Bound(), second.Six(), first.Bound(), first.Six())
		}
		status, err := unix.FcntlInt(uintptr(second.FD()), unix.F_GETFL, 0)
		flags, err2 := unix.FcntlInt(uintptr(second.FD()), unix.F_GETFD, 0)
		if err != nil || err2 != nil || status&unix.O_NONBLOCK == 0 || flags&unix.FD_CLOEXEC == 0 {
			t.Errorf("flags %#x %#x", status, flags)
		}
		if got, _ := arrive(t, first); got != "0" {
			t.Errorf("%q is first", got)
		}
		if err := first.Close(); err != nil {
			t.Fatal(err)
		}
		if _, err := from.WriteToUDPAddrPort([]byte("5"), to); err != nil { // into a socket that one process has left
			t.Fatal(err)
		}
		for i := 1; i <= 5; i++ {
			if got, name := arrive(t, second); got != fmt.Sprint(i) || name != named(t, second, from.Bound()) {
				t.Errorf("%q from %v, want %d from %v", got, name.AddrPort(), i, from.Bound())
			}
		}
		if _, err := second.WriteToUDPAddrPort([]byte("back"), from.Bound()); err != nil {
			t.Fatal(err)
		}
		if got, name := arrive(t, from); got != "back" || name != named(t, from, to) {
			t.Errorf("%q from %v, want it from %v", got, name.AddrPort(), to)
		}
	}
}

// TestAdoptSocketRefuses what is no bound UDP socket, and closes it.
func TestAdoptSocketRefuses(t *testing.T) {
	made := func(family, kind, protocol int) int {
		fd, err := unix.Socket(family, kind, protocol)
		if err != nil {
			t.Fatal(err)
		}
		return fd
	}
	keepsNone(t, func() {
		var pipe [2]int
		if err := unix.Pipe2(pipe[:], unix.O_CLOEXEC); err != nil {
			t.Fatal(err)
		}
		defer unix.Close(pipe[1])
		tcp := made(unix.AF_INET, unix.SOCK_STREAM, 0)
		if err := unix.Bind(tcp, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}); err != nil {
			t.Fatal(err)
		}
		for name, fd := range map[string]int{
			"tcp": tcp, "unix": made(unix.AF_UNIX, unix.SOCK_DGRAM, 0),
			"not bound": made(unix.AF_INET, unix.SOCK_DGRAM, 0), "no socket": pipe[0], "none": -1,
		} {
			if s, err := AdoptSocket(fd); err == nil {
				t.Errorf("%s: adopted as %v", name, s.Bound())
			} else if fd >= 0 && !errors.Is(unix.Close(fd), unix.EBADF) {
				t.Errorf("%s: still open after %v", name, err)
			}
		}
	})
}

// TestSocketClosesWhileItWrites: no write reaches a descriptor that is somebody else's by then.
func TestSocketClosesWhileItWrites(t *testing.T) {
	a := socket(t, loopbacks[0], SocketOptions{})
	for range 50 {
		c := socket(t, loopbacks[0], SocketOptions{})
		var wg sync.WaitGroup
		for range 4 {
			wg.Go(func() {
				var err error
				for err == nil || errors.Is(err, syscall.EAGAIN) {
					_, err = c.WriteToUDPAddrPort([]byte("out"), a.Bound())
				}
				if !errors.Is(err, net.ErrClosed) || c.FD() != -1 {
					t.Errorf("%v, descriptor %d", err, c.FD())
				}
			})
		}
		if err := c.Close(); err != nil {
			t.Fatal(err)
		}
		wg.Wait()
		if err := c.Close(); !errors.Is(err, net.ErrClosed) {
			t.Errorf("second close: %v", err)
		}
	}
	if _, _, err := a.ReadFromUDPAddrPort(nil); !errors.Is(err, errors.ErrUnsupported) {
		t.Errorf("a read: %v", err)
	}
	if err := a.SetReadDeadline(time.Now()); !errors.Is(err, os.ErrNoDeadline) {
		t.Error(err)
	}
}
