package osnet

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"github.com/cordonsip/cordon/sovereign"
)

// Socket is a UDP socket for media that the runtime of Go does not read: who has it asks a Set when something waits in it, and calls Receive and Send
// with its descriptor. Its other methods may be called by many at once; reading by them is not supported. ICMP errors are not reported to it.
type Socket struct {
	bound netip.AddrPort
	six   bool

	mu sync.RWMutex // held for reading by writes, so that none reaches a descriptor that was closed and is somebody else's now
	fd atomic.Int32 // -1 when closed; written with mu held
}

var _ sovereign.UDPConn = (*Socket)(nil)

// Socket binds a socket. Port 0 picks one. The unspecified address of IPv6 is for both families; else a socket speaks that of at.
func (Net) Socket(at netip.AddrPort, o SocketOptions) (*Socket, error) {
	fd, bound, err := bindUDP(at)
	if err != nil {
		return nil, fmt.Errorf("osnet: media socket %s: %w", at, err)
	}
	s := &Socket{bound: bound, six: !at.Addr().Unmap().Is4()}
	s.fd.Store(int32(fd))
	if err := s.set(o); err != nil {
		unix.Close(fd)
		return nil, fmt.Errorf("osnet: media socket %s: %w", at, err)
	}
	return s, nil
}

// AdoptSocket takes a bound UDP socket that came from another process. The descriptor is the Socket's from the call on: on an error it is closed.
// What the other process does to its own descriptor does not matter, but that both read the one queue.
func AdoptSocket(fd int) (*Socket, error) {
	s := &Socket{}
	s.fd.Store(int32(fd))
	if err := s.adopt(fd); err != nil {
		closeFD(fd)
		return nil, fmt.Errorf("osnet: adopt socket: %w", err)
	}
	return s, nil
}

func (s *Socket) adopt(fd int) error {
	protocol, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_PROTOCOL)
	if err != nil {
		return os.NewSyscallError("getsockopt", err)
	}
	if protocol != unix.IPPROTO_UDP {
		return fmt.Errorf("it speaks protocol %d, not UDP", protocol)
	}
	name, err := unix.Getsockname(fd)
	if err != nil {
		return os.NewSyscallError("getsockname", err)
	}
	switch n := name.(type) {
	case *unix.SockaddrInet4:
		s.bound = netip.AddrPortFrom(netip.AddrFrom4(n.Addr), uint16(n.Port))
	case *unix.SockaddrInet6:
		a := netip.AddrFrom16(n.Addr)
		if n.ZoneId != 0 {
			a = a.WithZone(strconv.Itoa(int(n.ZoneId)))
		}
		s.bound, s.six = netip.AddrPortFrom(a, uint16(n.Port)), true
	default:
		return unix.EAFNOSUPPORT
	}
	if s.bound.Port() == 0 {
		return errors.New("it is not bound")
	}
	unix.CloseOnExec(fd)
	return os.NewSyscallError("fcntl", unix.SetNonblock(fd, true))
}

// set carries out the options.
func (s *Socket) set(o SocketOptions) error {
	if o.DSCP != -1 {
		if err := mark(s.FD(), s.six, o.DSCP); err != nil {
			return err
		}
	}
	if o.Buffer > 0 { // beyond net.core.rmem_max with CAP_NET_ADMIN only
		if unix.SetsockoptInt(s.FD(), unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, o.Buffer) != nil {
			_ = unix.SetsockoptInt(s.FD(), unix.SOL_SOCKET, unix.SO_RCVBUF, o.Buffer)
		}
	}
	return nil
}

// Mark gives all that is sent from now on a code point, 0 to 63. It stands in the socket itself: another process that has it sends with it, too.
func (s *Socket) Mark(dscp int) error {
	s.mu.RLock()
	defer s.mu.RUnlock()
	err := net.ErrClosed
	if s.FD() >= 0 {
		err = mark(s.FD(), s.six, dscp)
	}
	if err != nil {
		return fmt.Errorf("osnet: mark what %s sends: %w", s.bound, err)
	}
	return nil
}

// mark obeys RFC 2474 section 3: the code point is the upper six bits; the lower two are of RFC 3168, and none of ours.
func mark(fd int, six bool, dscp int) error {
	if dscp < 0 || dscp > 63 {
		return fmt.Errorf("a code point of %d: %w", dscp, unix.EINVAL)
	}
	err := unix.SetsockoptInt(fd, unix.IPPROTO_IP, unix.IP_TOS, dscp<<2) // also for IPv4 in IPv6
	if six && err == nil {
		err = unix.SetsockoptInt(fd, unix.IPPROTO_IPV6, unix.IPV6_TCLASS, dscp<<2)
	}
	return os.NewSyscallError("setsockopt", err)
}

// bindUDP makes a non-blocking UDP socket and binds it. The address that it says is at with the port that was picked.
func bindUDP(at netip.AddrPort) (fd int, _ netip.AddrPort, err error) {
	six := !at.Addr().Unmap().Is4()
	family := unix.AF_INET
	if six {
		family = unix.AF_INET6
	}
	if fd, err = unix.Socket(family, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, unix.IPPROTO_UDP); err != nil {
		return -1, at, os.NewSyscallError("socket", err)
	}
	port, err := bind(fd, six, at)
	if err != nil {
		unix.Close(fd)
		return -1, at, err
	}
	return fd, netip.AddrPortFrom(at.Addr(), port), nil
}

func bind(fd int, six bool, at netip.AddrPort) (port uint16, err error) {
	var name unix.Sockaddr
	if a := at.Addr().Unmap(); six {
		zone, err := zoneID(a.Zone())
		if err != nil {
			return 0, err
		}
		name = &unix.SockaddrInet6{Port: int(at.Port()), ZoneId: zone, Addr: a.As16()}
		only := 1
		if a.IsUnspecified() {
			only = 0
		}
		if err := unix.SetsockoptInt(fd, unix.IPPROTO_IPV6, unix.IPV6_V6ONLY, only); err != nil {
			return 0, os.NewSyscallError("setsockopt", err)
		}
	} else {
		name = &unix.SockaddrInet4{Port: int(at.Port()), Addr: a.As4()}
	}
	if err := unix.Bind(fd, name); err != nil {
		return 0, os.NewSyscallError("bind", err)
	}
	if at.Port() != 0 {
		return at.Port(), nil
	}
	if name, err = unix.Getsockname(fd); err != nil {
		return 0, os.NewSyscallError("getsockname", err)
	}
	switch n := name.(type) {
	case *unix.SockaddrInet4:
		port = uint16(n.Port)
	case *unix.SockaddrInet6:
		port = uint16(n.Port)
	}
	return port, nil
}

// zoneID is the number of the interface that a zone names; 0 for no zone.
func zoneID(zone string) (uint32, error) {
	if zone == "" {
		return 0, nil
	}
	if n, err := strconv.ParseUint(zone, 10, 32); err == nil {
		return uint32(n), nil
	}
	i, err := net.InterfaceByName(zone)
	if err != nil {
		return 0, fmt.Errorf("zone %q: %w", zone, err)
	}
	return uint32(i.Index), nil
}

// FD is the descriptor; -1 when closed. It is good until Close: who reads by it closes the socket, or is told before.
func (s *Socket) FD() int { return int(s.fd.Load()) }

// Bound is the local address. One that Net made says the address as it was asked for.
func (s *Socket) Bound() netip.AddrPort { return s.bound }

// Six says that the socket is one of IPv6: the names for it are, too, for an IPv4 address as well.
func (s *Socket) Six() bool { return s.six }

// LocalAddr implements sovereign.UDPConn.
func (s *Socket) LocalAddr() net.Addr { return net.UDPAddrFromAddrPort(s.bound) }

// WriteToUDPAddrPort implements sovereign.UDPConn. It never waits: what finds no room is lost (EAGAIN), as it would be on the way.
func (s *Socket) WriteToUDPAddrPort(b []byte, to netip.AddrPort) (int, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	fd := s.FD()
	if fd < 0 {
		return 0, net.ErrClosed
	}
	if errno := send(uintptr(fd), s.six, b, to); errno != 0 {
		return 0, failed("sendto", errno)
	}
	return len(b), nil
}

// ReadFromUDPAddrPort implements sovereign.UDPConn: only Receive reads.
func (s *Socket) ReadFromUDPAddrPort([]byte) (int, netip.AddrPort, error) {
	return 0, netip.AddrPort{}, errors.ErrUnsupported
}

// SetReadDeadline implements sovereign.UDPConn: there is no read that could wait.
func (s *Socket) SetReadDeadline(time.Time) error { return os.ErrNoDeadline }

// Close implements sovereign.UDPConn. A Set that has the socket must have lost it before (see Set.Remove). What waits in it stays for another process that has it.
func (s *Socket) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	fd := int(s.fd.Swap(-1))
	if fd < 0 {
		return net.ErrClosed
	}
	return os.NewSyscallError("close", unix.Close(fd))
}

// closeFD closes what may be no descriptor.
func closeFD(fd int) {
	if fd >= 0 {
		unix.Close(fd)
	}
}
