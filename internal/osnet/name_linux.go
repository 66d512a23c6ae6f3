package osnet

import (
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

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
