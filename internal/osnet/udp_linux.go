package osnet

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/cordonsip/cordon/sovereign"
)

// udpConn is a UDP socket with its error queue. A read or a write that meets a pending ICMP error returns it without ending the socket; ReadError then
// tells whose it was.
type udpConn struct {
	*net.UDPConn
	raw syscall.RawConn
	six bool

	in   sync.Mutex // held by the one read
	buf  []byte     // what it reads into,
	n    int        // and what it found
	from netip.AddrPort
	err  unix.Errno
	try  func(fd uintptr) (done bool) // made once: a read allocates nothing

	out sync.RWMutex // held for reading by writes, so that none reaches a descriptor that was closed and is somebody else's now
	fd  uintptr
	end bool // closed; guarded by out
}

var _ interface {
	sovereign.UDPConn
	sovereign.ErrQueue
	sovereign.Backlog
} = (*udpConn)(nil)

func wrap(c *net.UDPConn) (sovereign.UDPConn, error) {
	raw, err := c.SyscallConn()
	if err != nil {
		return nil, fmt.Errorf("reach the socket: %w", err)
	}
	u := &udpConn{UDPConn: c, raw: raw}
	u.try = u.read
	var v4, v6, family error
	err = raw.Control(func(fd uintptr) {
		u.fd = fd
		u.six, family = six(fd)
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
	if family != nil {
		return nil, family
	}
	return u, nil
}

// ReadFromUDPAddrPort implements sovereign.UDPConn. It waits as the Go runtime does; reading itself never waits.
func (c *udpConn) ReadFromUDPAddrPort(b []byte) (int, netip.AddrPort, error) {
	c.in.Lock()
	defer c.in.Unlock()
	c.buf = b
	err := c.raw.Read(c.try)
	c.buf = nil
	if err == nil {
		err = failed("recvfrom", c.err)
	}
	if err != nil {
		return 0, netip.AddrPort{}, err
	}
	return c.n, c.from, nil
}

// read is one try of a read.
func (c *udpConn) read(fd uintptr) bool {
	for {
		if c.n, c.from, c.err = receive(fd, c.buf); c.err != unix.EINTR {
			return c.err != unix.EAGAIN
		}
	}
}

// WriteToUDPAddrPort implements sovereign.UDPConn. It waits only where the socket's queue is full.
func (c *udpConn) WriteToUDPAddrPort(b []byte, to netip.AddrPort) (int, error) {
	if to.Addr().Zone() != "" {
		return c.UDPConn.WriteToUDPAddrPort(b, to)
	}
	switch errno := c.write(b, to); errno {
	case 0:
		return len(b), nil
	case unix.EAGAIN, unix.EINTR:
		return c.UDPConn.WriteToUDPAddrPort(b, to)
	case unix.EBADF:
		return 0, fmt.Errorf("osnet: write: %w", net.ErrClosed)
	default:
		return 0, failed("sendto", errno)
	}
}

func (c *udpConn) write(b []byte, to netip.AddrPort) unix.Errno {
	c.out.RLock()
	defer c.out.RUnlock()
	if c.end {
		return unix.EBADF
	}
	return send(c.fd, c.six, b, to)
}

// Close implements sovereign.UDPConn.
func (c *udpConn) Close() error {
	c.out.Lock()
	defer c.out.Unlock()
	c.end = true
	return c.UDPConn.Close()
}

// Widen implements sovereign.Backlog. With CAP_NET_ADMIN the kernel gives what is asked for, else what net.core.rmem_max allows.
func (c *udpConn) Widen(bytes int) error {
	var err error
	ctl := c.raw.Control(func(fd uintptr) {
		if err = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, bytes); err != nil {
			err = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_RCVBUF, bytes)
		}
	})
	if err = errors.Join(ctl, err); err != nil {
		return fmt.Errorf("osnet: widen the queue of %s: %w", c.LocalAddr(), err)
	}
	return nil
}

// Mark gives all that is sent from now on a code point, 0 to 63.
func (c *udpConn) Mark(dscp int) error {
	var err error
	ctl := c.raw.Control(func(fd uintptr) { err = mark(int(fd), c.six, dscp) })
	if err = errors.Join(ctl, err); err != nil {
		return fmt.Errorf("osnet: mark what %s sends: %w", c.LocalAddr(), err)
	}
	return nil
}

// Overflowed implements sovereign.Backlog. SO_MEMINFO gives nine numbers of a socket (linux/sock_diag.h); the last are the drops, modulo 2**32.
func (c *udpConn) Overflowed() (n uint64, ok bool) {
	var info [9]uint32
	size := uint32(unsafe.Sizeof(info))
	var errno syscall.Errno
	ctl := c.raw.Control(func(fd uintptr) {
		_, _, errno = unix.Syscall6(unix.SYS_GETSOCKOPT, fd, unix.SOL_SOCKET, unix.SO_MEMINFO, uintptr(unsafe.Pointer(&info)), uintptr(unsafe.Pointer(&size)), 0)
	})
	return uint64(info[len(info)-1]), ctl == nil && errno == 0 && int(size) == len(info)*4
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
