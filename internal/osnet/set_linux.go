package osnet

import (
	"fmt"
	"math"
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

// wakeTag is the one that no descriptor may have.
const wakeTag = math.MaxUint64

// Set is an epoll set for one worker: it says in which sockets something waits. It is level-triggered: a socket that has more is reported again, in turn with the
// others. Its worker alone calls Ready, Wait and Close; the rest may be called by anybody at any time.
type Set struct {
	mu      sync.RWMutex // held for reading while the descriptors are used from elsewhere
	fd      int          // -1 when closed
	event   int          // the eventfd behind Wake
	woken   atomic.Bool  // Wake wrote, Wait did not yet read
	coarse  bool         // this kernel waits for whole milliseconds
	closed  bool
	waiting [maxReady + 1]unix.EpollEvent // the worker's: one more than asked for, as Wake may be among them
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
	s := &Set{fd: fd, event: event}
	if errno := s.control(unix.EPOLL_CTL_ADD, event, wakeTag); errno != 0 {
		s.Close()
		return nil, fmt.Errorf("osnet: set: %w", failed("epoll_ctl", errno))
	}
	return s, nil
}

// Add has the set report tag while something waits in the socket (or in whatever else can be polled). The tag of all ones is the set's own: EINVAL. A descriptor
// can be in a set once: EEXIST.
func (s *Set) Add(fd int, tag uint64) error {
	errno := syscall.Errno(unix.EINVAL)
	if tag != wakeTag {
		errno = s.control(unix.EPOLL_CTL_ADD, fd, tag)
	}
	if errno != 0 {
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
	n, _, errno := unix.RawSyscall6(unix.SYS_EPOLL_PWAIT, uintptr(s.fd), uintptr(unsafe.Pointer(&s.waiting)), uintptr(room(tags)), 0, 0, 0)
	if errno != 0 {
		return 0
	}
	n2, _ := s.tags(tags, int(n))
	return n2
}

// Wait is Ready that waits until something is ready, until Wake, or until timeout is over (below 0: never). It gives 0 after a Wake and after the time-out.
// It holds up its thread.
func (s *Set) Wait(tags []uint64, timeout time.Duration) int {
	until := Monotonic() + int64(timeout)
	for {
		n, errno := s.wait(room(tags), timeout)
		switch errno {
		case 0:
			given, woken := s.tags(tags, n)
			if woken {
				s.calm()
			}
			return given
		case unix.EINTR: // a signal for this process, which may come at any time
			if timeout > 0 {
				timeout = time.Duration(max(0, until-Monotonic()))
			}
		case unix.ENOSYS, unix.EPERM: // Linux before 5.11, and sandboxes that do not know the call
			if s.coarse {
				return 0
			}
			s.coarse = true
		default:
			return 0
		}
	}
}

func (s *Set) wait(events int, timeout time.Duration) (int, syscall.Errno) {
	var n uintptr
	var errno syscall.Errno
	if s.coarse {
		ms := -1
		if timeout >= 0 {
			ms = int(min((timeout+time.Millisecond-1)/time.Millisecond, math.MaxInt32))
		}
		n, _, errno = unix.Syscall6(unix.SYS_EPOLL_PWAIT, uintptr(s.fd), uintptr(unsafe.Pointer(&s.waiting)), uintptr(events), uintptr(ms), 0, 0)
		return int(n), errno
	}
	var limit *unix.Timespec
	if timeout >= 0 {
		ts := unix.NsecToTimespec(int64(timeout))
		limit = &ts
	}
	n, _, errno = unix.Syscall6(unix.SYS_EPOLL_PWAIT2, uintptr(s.fd), uintptr(unsafe.Pointer(&s.waiting)), uintptr(events), uintptr(unsafe.Pointer(limit)), 0, 0)
	return int(n), errno
}

// room is how many events are asked for.
func room(tags []uint64) int { return min(len(tags), maxReady) + 1 }

// tags writes those of the first n events, and says whether Wake is among them. One that finds no room is reported again.
func (s *Set) tags(tags []uint64, n int) (given int, woken bool) {
	for i := range s.waiting[:n] {
		ev := &s.waiting[i]
		tag := uint64(uint32(ev.Fd)) | uint64(uint32(ev.Pad))<<32
		switch {
		case tag == wakeTag:
			woken = true
		case given < len(tags) && given < maxReady:
			tags[given] = tag
			given++
		}
	}
	return given, woken
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
	if !s.closed {
		_, _, _ = unix.RawSyscall(unix.SYS_WRITE, uintptr(s.event), uintptr(unsafe.Pointer(&one)), unsafe.Sizeof(one)) // it cannot be full
	}
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
	if s.closed {
		return
	}
	unix.Close(s.event)
	unix.Close(s.fd)
	s.closed, s.fd, s.event = true, -1, -1
}
