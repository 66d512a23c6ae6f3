package osnet

import (
	"fmt"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// maxReady is how many tags a Set gives at once.
const maxReady = 512

// Set is an epoll set for one worker: it says in which sockets something waits. It is level-triggered: a socket that has more is reported again, in turn with the
// others. Its worker alone calls Ready, Wait and Close; the rest may be called by anybody at any time.
type Set struct {
	mu      sync.RWMutex              // held for reading while the descriptors are used from elsewhere
	fd      int                       // -1 when closed
	event   int                       // the eventfd behind Wake; not in the set, so that it has no tag and takes no room. -1 when closed
	woken   atomic.Bool               // Wake wrote, Wait did not yet read
	waiting [maxReady]unix.EpollEvent // the worker's
}

// NewSet gives an empty set.
func NewSet() (*Set, error) {
	fd, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("osnet: set: %w", os.NewSyscallError("epoll_create1", err))
	}
	event, err := unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK)
	if err != nil {
		unix.Close(fd)
		return nil, fmt.Errorf("osnet: set: %w", os.NewSyscallError("eventfd2", err))
	}
	return &Set{fd: fd, event: event}, nil
}

// Add has the set report tag while something waits in the socket (or in whatever else can be polled). A descriptor can be in a set once: EEXIST.
func (s *Set) Add(fd int, tag uint64) error {
	if errno := s.control(unix.EPOLL_CTL_ADD, fd, tag); errno != 0 {
		return fmt.Errorf("osnet: add to the set: %w", failed("epoll_ctl", errno))
	}
	return nil
}

// Remove ends that. It comes before the descriptor is closed: closing takes a socket out of a set only when no other process has it too. Else the set reports
// it for ever, and nobody can take it out any more. What Ready or Wait gave already stays given.
func (s *Set) Remove(fd int) error {
	if errno := s.control(unix.EPOLL_CTL_DEL, fd, 0); errno != 0 {
		return fmt.Errorf("osnet: remove from the set: %w", failed("epoll_ctl", errno))
	}
	return nil
}

func (s *Set) control(op, fd int, tag uint64) syscall.Errno {
	s.mu.RLock()
	defer s.mu.RUnlock()
	ev := unix.EpollEvent{Events: unix.EPOLLIN, Fd: int32(tag), Pad: int32(tag >> 32)}
	_, _, errno := unix.RawSyscall6(unix.SYS_EPOLL_CTL, uintptr(s.fd), uintptr(op), uintptr(fd), uintptr(unsafe.Pointer(&ev)), 0, 0)
	return errno
}

// Ready asks without waiting, and writes the tags of what is ready: at most len(tags) and 512 of them. That many mean that there may be more, which come next time.
// It does not use up a Wake.
func (s *Set) Ready(tags []uint64) int {
	n, _, errno := unix.RawSyscall6(unix.SYS_EPOLL_PWAIT, uintptr(s.fd), uintptr(unsafe.Pointer(&s.waiting)), uintptr(min(len(tags), maxReady)), 0, 0, 0)
	if errno != 0 {
		return 0
	}
	for i := range s.waiting[:n] {
		ev := &s.waiting[i]
		tags[i] = uint64(uint32(ev.Fd)) | uint64(uint32(ev.Pad))<<32
	}
	return int(n)
}

// Wait is Ready that waits until something is ready, until Wake, or until timeout is over (below 0: never). It gives 0 after a Wake alone and after the time-out,
// and may where a datagram turned out to be damaged. It holds up its thread. It costs half a microsecond more than an epoll_wait(2) with the eventfd in the set,
// which is little beside the waking up; and a round of Ready never meets the Wake.
func (s *Set) Wait(tags []uint64, timeout time.Duration) int {
	until := Monotonic() + int64(timeout)
	if s.fd < 0 {
		return 0 // or nothing would ever end it
	}
	for {
		woken, errno := s.wait(timeout)
		switch {
		case errno == unix.EINTR: // a signal for this process, which may come at any time
			if timeout > 0 {
				timeout = time.Duration(max(0, until-Monotonic()))
			}
			continue
		case errno != 0:
			return 0
		case woken:
			s.calm()
		}
		return s.Ready(tags)
	}
}

// wait is one ppoll(2) of the set and of the eventfd: it counts in nanoseconds, and on every kernel.
func (s *Set) wait(timeout time.Duration) (woken bool, errno syscall.Errno) {
	fds := [2]unix.PollFd{{Fd: int32(s.fd), Events: unix.POLLIN}, {Fd: int32(s.event), Events: unix.POLLIN}}
	var limit *unix.Timespec
	if timeout >= 0 {
		ts := unix.NsecToTimespec(int64(timeout))
		limit = &ts
	}
	_, _, errno = unix.Syscall6(unix.SYS_PPOLL, uintptr(unsafe.Pointer(&fds)), uintptr(len(fds)), uintptr(unsafe.Pointer(limit)), 0, 0, 0)
	return fds[1].Revents != 0, errno
}

// Wake ends the Wait that is going on, else the next one. It may be called by anybody, and costs a system call only when nobody woke since the last Wait.
// What was written before it is seen after that Wait.
func (s *Set) Wake() {
	if s.woken.Swap(true) {
		return
	}
	s.mu.RLock()
	defer s.mu.RUnlock()
	one := uint64(1)
	// It cannot be full; and when it is closed this is a write to no descriptor at all.
	_, _, _ = unix.RawSyscall(unix.SYS_WRITE, uintptr(s.event), uintptr(unsafe.Pointer(&one)), unsafe.Sizeof(one))
}

// calm makes the next Wake write again.
func (s *Set) calm() {
	var count uint64
	_, _, _ = unix.RawSyscall(unix.SYS_READ, uintptr(s.event), uintptr(unsafe.Pointer(&count)), unsafe.Sizeof(count))
	s.woken.Store(false)
}

// Close gives the set back; the sockets in it stay open. It is called once its worker no longer waits.
func (s *Set) Close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.fd < 0 {
		return
	}
	unix.Close(s.event)
	unix.Close(s.fd)
	s.fd, s.event = -1, -1
}
