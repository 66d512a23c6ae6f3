package osnet

import (
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/cordonsip/cordon/sovereign"
)

// udpConn is a UDP socket with its error queue. A read or a write that meets a pending ICMP error returns it without ending the socket; ReadError then
// tells whose it was.
type udpConn struct {
	*net.UDPConn
	raw syscall.RawConn
}

var _ interface {
	sovereign.UDPConn
	sovereign.ErrQueue
} = (*udpConn)(nil)

func wrap(c *net.UDPConn) (sovereign.UDPConn, error) {
	raw, err := c.SyscallConn()
	if err != nil {
		return nil, fmt.Errorf("reach the socket: %w", err)
	}
	var v4, v6 error
	err = raw.Control(func(fd uintptr) {
		// A dual-stack socket needs both, an IPv4 socket knows only the first and refuses the second.
		v4 = unix.SetsockoptInt(int(fd), unix.IPPROTO_IP, unix.IP_RECVERR, 1)
		v6 = unix.SetsockoptInt(int(fd), unix.IPPROTO_IPV6, unix.IPV6_RECVERR, 1)
	})
	if err == nil && v4 != nil && v6 != nil {
		err = v4
	}
	if err != nil {
		return nil, fmt.Errorf("ask for ICMP errors: %w", err)
	}
	return &udpConn{UDPConn: c, raw: raw}, nil
}

// ReadError implements sovereign.ErrQueue. It never blocks.
func (c *udpConn) ReadError() (to netip.AddrPort, err error, ok bool) { //nolint:staticcheck // the interface puts the error second
	var data [1]byte
	var oob [256]byte
	for {
		var n int
		var from unix.Sockaddr
		var errno error
		ctl := c.raw.Control(func(fd uintptr) {
			_, n, _, from, errno = unix.Recvmsg(int(fd), data[:], oob[:], unix.MSG_ERRQUEUE|unix.MSG_DONTWAIT)
		})
		if ctl != nil || (errno != nil && errno != unix.EINTR) {
			return netip.AddrPort{}, nil, false
		}
		if errno == unix.EINTR {
			continue
		}
		// What has no destination or no code tells nothing; the next entry may.
		if to, err, ok = extended(oob[:n], from); ok {
			return to, err, true
		}
	}
}

// extended reads one entry of the error queue: struct sock_extended_err in the control message, the original destination in the message's name.
func extended(oob []byte, name unix.Sockaddr) (to netip.AddrPort, err error, ok bool) { //nolint:staticcheck // as ReadError
	switch a := name.(type) {
	case *unix.SockaddrInet4:
		to = netip.AddrPortFrom(netip.AddrFrom4(a.Addr), uint16(a.Port))
	case *unix.SockaddrInet6:
		to = netip.AddrPortFrom(netip.AddrFrom16(a.Addr).Unmap(), uint16(a.Port))
	default:
		return to, nil, false
	}
	msgs, perr := unix.ParseSocketControlMessage(oob)
	if perr != nil {
		return to, nil, false
	}
	for _, m := range msgs {
		v4 := m.Header.Level == unix.IPPROTO_IP && m.Header.Type == unix.IP_RECVERR
		v6 := m.Header.Level == unix.IPPROTO_IPV6 && m.Header.Type == unix.IPV6_RECVERR
		if (v4 || v6) && len(m.Data) >= 16 {
			return to, syscall.Errno(binary.NativeEndian.Uint32(m.Data)), true
		}
	}
	return to, nil, false
}
