package osnet

import (
	"encoding/binary"
	"net/netip"
	"strconv"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// A Name is a struct sockaddr_in, with 12 bytes after it, or a struct sockaddr_in6: family (in the order of this machine) at 0, port (in that of the network) at
// 2; then the IPv4 address at 4, or the flow label at 4, the IPv6 address at 8 and the scope (in the order of this machine) at 24.
const (
	namePort   = 2
	nameFour   = 4
	nameFlow   = 4
	nameSix    = 8
	nameScope  = 24
	fourLength = unix.SizeofSockaddrInet4
)

// NameOf gives a as a socket of IPv6, or of IPv4 only, has it; IPv4 is written as IPv4 in IPv6 for the former. It is false for what cannot be sent to by such a
// socket, and for an address with a zone.
func NameOf(a netip.AddrPort, six bool) (n Name, ok bool) {
	ip := a.Addr()
	if !ip.IsValid() || ip.Zone() != "" || !six && !ip.Unmap().Is4() {
		return Name{}, false
	}
	binary.BigEndian.PutUint16(n[namePort:], a.Port())
	if six {
		binary.NativeEndian.PutUint16(n[:], unix.AF_INET6)
		b := ip.As16()
		copy(n[nameSix:], b[:])
		return n, true
	}
	binary.NativeEndian.PutUint16(n[:], unix.AF_INET)
	b := ip.Unmap().As4()
	copy(n[nameFour:], b[:])
	return n, true
}

// AddrPort gives the address, IPv4 in IPv6 as IPv4; the zero AddrPort for what is none. It allocates only for an address with a scope.
func (n *Name) AddrPort() netip.AddrPort {
	port := binary.BigEndian.Uint16(n[namePort:])
	switch binary.NativeEndian.Uint16(n[:]) {
	case unix.AF_INET:
		return netip.AddrPortFrom(netip.AddrFrom4([4]byte(n[nameFour:])), port)
	case unix.AF_INET6:
		a := netip.AddrFrom16([16]byte(n[nameSix:])).Unmap()
		if scope := binary.NativeEndian.Uint32(n[nameScope:]); scope != 0 && a.Is6() {
			a = a.WithZone(strconv.Itoa(int(scope)))
		}
		return netip.AddrPortFrom(a, port)
	}
	return netip.AddrPort{}
}

// Receive is one recvfrom(2) of a UDP socket: the length of a datagram, and whose it was. It never waits and never allocates; EAGAIN where nothing is there. What
// is longer than b is cut off to its length: who wants to know gives one byte more than it takes. On an error neither b nor from is written.
func Receive(fd int, b []byte, from *Name) (int, syscall.Errno) {
	size := uint32(len(from))
	n, _, errno := unix.RawSyscall6(unix.SYS_RECVFROM, uintptr(fd), uintptr(unsafe.Pointer(unsafe.SliceData(b))), uintptr(len(b)), unix.MSG_DONTWAIT,
		uintptr(unsafe.Pointer(from)), uintptr(unsafe.Pointer(&size)))
	if errno != 0 {
		return 0, errno
	}
	if size == fourLength {
		clear(from[fourLength:]) // the kernel writes no more than it has
	} else {
		clear(from[nameFlow : nameFlow+4])
	}
	return int(n), 0
}

// Send is one sendto(2), to a name of the socket's family (see NameOf). It never waits and never allocates; EAGAIN where no room is, EINVAL or
// EDESTADDRREQ for the zero Name. Several may send by one socket at once.
func Send(fd int, b []byte, to *Name) syscall.Errno {
	_, _, errno := unix.RawSyscall6(unix.SYS_SENDTO, uintptr(fd), uintptr(unsafe.Pointer(unsafe.SliceData(b))), uintptr(len(b)),
		unix.MSG_DONTWAIT|unix.MSG_NOSIGNAL, uintptr(unsafe.Pointer(to)), uintptr(len(to)))
	return errno
}
