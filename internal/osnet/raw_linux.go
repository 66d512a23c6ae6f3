package osnet

import (
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// The system calls of this file never wait: their sockets are non-blocking, and the epoll set is asked with a time of 0. So they are made without telling the
// scheduler of Go (RawSyscall). An announced call costs its bookkeeping twice, and one that takes longer than 20 us, as a sendto(2) that delivers over loopback
// or meets a full interrupt does, has its processor taken away by the runtime's monitor thread, which is kept awake for that alone; coming back, the goroutine
// must find another one. For a relay that does little but such calls this was a tenth of all it did.

// receive is recvfrom(2) into b. name gets the sender.
func receive(fd int, b []byte, name *unix.RawSockaddrInet6) (int, syscall.Errno) {
	size := uint32(unsafe.Sizeof(*name))
	n, _, errno := unix.RawSyscall6(unix.SYS_RECVFROM, uintptr(fd), uintptr(unsafe.Pointer(unsafe.SliceData(b))), uintptr(len(b)), unix.MSG_DONTWAIT,
		uintptr(unsafe.Pointer(name)), uintptr(unsafe.Pointer(&size)))
	return int(n), errno
}

// send is sendto(2) to the socket address of that size.
func send(fd int, b []byte, name unsafe.Pointer, size uintptr) (int, syscall.Errno) {
	n, _, errno := unix.RawSyscall6(unix.SYS_SENDTO, uintptr(fd), uintptr(unsafe.Pointer(unsafe.SliceData(b))), uintptr(len(b)), unix.MSG_DONTWAIT|unix.MSG_NOSIGNAL,
		uintptr(name), size)
	return int(n), errno
}

// ask is epoll_pwait(2) without a mask and without waiting: how many events there are. On an error there are none.
func ask(set uintptr, events []unix.EpollEvent) int {
	n, _, errno := unix.RawSyscall6(unix.SYS_EPOLL_PWAIT, set, uintptr(unsafe.Pointer(unsafe.SliceData(events))), uintptr(len(events)), 0, 0, 0)
	if errno != 0 {
		return 0
	}
	return int(n)
}

// watch puts a socket into the set.
func watch(set uintptr, fd int) error {
	ev := unix.EpollEvent{Events: unix.EPOLLIN, Fd: int32(fd)}
	if _, _, errno := unix.RawSyscall6(unix.SYS_EPOLL_CTL, set, unix.EPOLL_CTL_ADD, uintptr(fd), uintptr(unsafe.Pointer(&ev)), 0, 0); errno != 0 {
		return errno
	}
	return nil
}
