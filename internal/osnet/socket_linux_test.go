package osnet

import (
	"net"
	"net/netip"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

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

// arrive waits until something is there to read, and reads it.
func arrive(t testing.TB, s *Socket) (string, Name) {
	t.Helper()
	b := make([]byte, 2048)
	for {
		var from Name
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
		me, ok := NameOf(a.Bound(), a.Six())
		to, ok2 := NameOf(b.Bound(), a.Six())
		if !ok || !ok2 || me.AddrPort() != a.Bound() || me == to {
			t.Fatal(me, to)
		}
		var from Name
		if n, errno := Receive(b.FD(), make([]byte, 10), &from); n != 0 || errno != syscall.EAGAIN || from != (Name{}) {
			t.Fatalf("%d %v from an empty socket", n, errno)
		}
		if errno := Send(a.FD(), []byte("raw"), &to); errno != 0 {
			t.Fatal(errno)
		}
		if _, err := a.WriteToUDPAddrPort([]byte("conn"), b.LocalAddr().(*net.UDPAddr).AddrPort()); err != nil {
			t.Fatal(err)
		}
		for _, want := range []string{"raw", "conn"} {
			if got, from := arrive(t, b); got != want || from != me {
				t.Errorf("%q from %v, want %q from %v", got, from.AddrPort(), want, a.Bound())
			}
		}
	}
}
