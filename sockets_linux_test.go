package cordon

import (
	"bytes"
	"errors"
	"log/slog"
	"net/netip"
	"strings"
	"syscall"
	"testing"

	"github.com/cordonsip/cordon/configs"
	"github.com/cordonsip/cordon/internal/osnet"
	"github.com/cordonsip/cordon/sovereign"
)

// TestMediaIsMarked asks the kernel for the code point of sockets that the data plane reads by itself, and of those of our own endpoints, in both families.
func TestMediaIsMarked(t *testing.T) {
	for _, dscp := range []int{46, 34, 0, -1} {
		n := &Node{opts: Options{Config: &configs.Config{}, Net: osnet.Net{}}, logger: slog.New(slog.DiscardHandler)}
		n.opts.Config.Media.DSCP = dscp
		for name, listen := range map[string]func(netip.AddrPort) (sovereign.UDPConn, error){"plane": n.listenMedia, "tone": n.listenTone} {
			for _, at := range []string{"127.0.0.1:0", "[::1]:0", "[::]:0"} {
				c, err := listen(netip.MustParseAddrPort(at))
				if err != nil {
					t.Logf("%s: %v", at, err) // a machine without IPv6
					continue
				}
				if _, raw := c.(*osnet.Socket); raw != (name == "plane") {
					t.Errorf("%s on %s: a %T", name, at, c)
				}
				if four, six := marks(t, c, strings.HasPrefix(at, "[")); four != max(dscp, 0) || six != four {
					t.Errorf("%s on %s: code points %d and %d, want %d", name, at, four, six, dscp)
				}
				c.Close()
			}
		}
	}
}

// marks are the code points that a socket gives what it sends over IPv4 and IPv6.
func marks(t *testing.T, c sovereign.UDPConn, v6 bool) (four, six int) {
	t.Helper()
	ask := func(fd uintptr) {
		var err, err6 error
		four, err = syscall.GetsockoptInt(int(fd), syscall.IPPROTO_IP, syscall.IP_TOS)
		six = four
		if v6 {
			six, err6 = syscall.GetsockoptInt(int(fd), syscall.IPPROTO_IPV6, syscall.IPV6_TCLASS)
		}
		if err != nil || err6 != nil {
			t.Error(err, err6)
		}
	}
	switch c := c.(type) {
	case *osnet.Socket:
		ask(uintptr(c.FD()))
	case syscall.Conn:
		raw, err := c.SyscallConn()
		if err != nil {
			t.Fatal(err)
		}
		if err := raw.Control(ask); err != nil {
			t.Fatal(err)
		}
	default:
		t.Fatalf("a %T", c)
	}
	return four >> 2, six >> 2
}

// stubborn is a socket whose system marks nothing.
type stubborn struct{ sovereign.UDPConn }

func (stubborn) Mark(int) error { return errors.ErrUnsupported }

// TestUnmarkedMediaIsSaidOnce: a system that marks nothing costs no call and one line.
func TestUnmarkedMediaIsSaidOnce(t *testing.T) {
	var said bytes.Buffer
	n := &Node{opts: Options{Config: &configs.Config{}}, logger: slog.New(slog.NewTextHandler(&said, nil))}
	for range 3 {
		n.mark(stubborn{})
	}
	if strings.Count(said.String(), "\n") != 1 || !strings.Contains(said.String(), "code point") {
		t.Errorf("said %q", said.String())
	}
}
