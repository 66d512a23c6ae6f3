package osnet

import (
	"errors"
	"net/netip"
	"os"
	"strconv"
	"unsafe"

	"golang.org/x/sys/unix"
)

// The system calls of this file never wait: their sockets are non-blocking, and the epoll set is asked with a time of 0. So they are made without telling the
// scheduler of Go (RawSyscall). An announced call costs its bookkeeping twice, and one that takes longer than 20 us, as a sendto(2) that delivers over loopback
// or meets a full interrupt does, has its processor taken away by the runtime's monitor thread, which is kept awake for that alone; coming back, the goroutine
// must find another one. For a relay that does little but such calls this was a tenth of all it did.

// receive is one recvfrom(2) without an allocation; unix.EAGAIN where nothing is there. IPv4 in IPv6 is given as IPv4.
func receive(fd uintptr, b []byte) (int, netip.AddrPort, unix.Errno) {
	var name unix.RawSockaddrInet6 // the larger of the two
	size := uint32(unsafe.Sizeof(name))
	n, _, errno := unix.RawSyscall6(unix.SYS_RECVFROM, fd, uintptr(unsafe.Pointer(unsafe.SliceData(b))), uintptr(len(b)), unix.MSG_DONTWAIT,
		uintptr(unsafe.Pointer(&name)), uintptr(unsafe.Pointer(&size)))
	if errno != 0 {
		return 0, netip.AddrPort{}, errno
	}
	if name.Family == unix.AF_INET {
		four := (*unix.RawSockaddrInet4)(unsafe.Pointer(&name))
		return int(n), netip.AddrPortFrom(netip.AddrFrom4(four.Addr), swapped(four.Port)), 0
	}
	a := netip.AddrFrom16(name.Addr)
	if name.Scope_id != 0 && !a.Is4In6() {
		a = a.WithZone(strconv.Itoa(int(name.Scope_id)))
	}
	return int(n), netip.AddrPortFrom(a.Unmap(), swapped(name.Port)), 0
}

// send is one sendto(2) without an allocation, from a socket of IPv6 or of IPv4 only, to an address without a zone; unix.EAGAIN where no room is.
func send(fd uintptr, six bool, b []byte, to netip.AddrPort) unix.Errno {
	a := to.Addr()
	switch {
	case !a.IsValid() || a.Zone() != "" || !six && !a.Unmap().Is4():
		return unix.EAFNOSUPPORT
	case six:
		name := unix.RawSockaddrInet6{Family: unix.AF_INET6, Port: swapped(to.Port()), Addr: a.As16()}
		return sendName(fd, b, unsafe.Pointer(&name), unsafe.Sizeof(name))
	default:
		name := unix.RawSockaddrInet4{Family: unix.AF_INET, Port: swapped(to.Port()), Addr: a.Unmap().As4()}
		return sendName(fd, b, unsafe.Pointer(&name), unsafe.Sizeof(name))
	}
}

func sendName(fd uintptr, b []byte, name unsafe.Pointer, size uintptr) unix.Errno {
	_, _, errno := unix.RawSyscall6(unix.SYS_SENDTO, fd, uintptr(unsafe.Pointer(unsafe.SliceData(b))), uintptr(len(b)), unix.MSG_DONTWAIT|unix.MSG_NOSIGNAL,
		uintptr(name), size)
	return errno
}

// swapped turns a port between the order of the network and that of this machine.
func swapped(port uint16) uint16 {
	b := (*[2]byte)(unsafe.Pointer(&port))
	return uint16(b[0])<<8 | uint16(b[1])
}

// failed names a call that went wrong; nil for none.
func failed(call string, errno unix.Errno) error {
	if errno == 0 {
		return nil
	}
	return os.NewSyscallError(call, error(errno))
}

// six says whether a socket speaks IPv6, and perhaps IPv4 within it.
func six(fd uintptr) (bool, error) {
	domain, err := unix.GetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_DOMAIN)
	if err != nil {
		return false, errors.Join(errors.New("ask for the family"), err)
	}
	return domain == unix.AF_INET6, nil
}
