package link

import (
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"strconv"
	"syscall"

	"github.com/cordonsip/cordon/internal/osnet"
)

// program is the one that runs, whatever lies under its name by now.
const program = "/proc/self/exe"

// Supported says that this system can have media processes.
const Supported = true

// detach gives a process that is to be started a session of its own: what ends or stops the group of this one does not reach it. What this process itself was
// started with, and never looked at, is not handed on.
func detach(c *exec.Cmd) {
	c.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	open, _ := os.ReadDir("/proc/self/fd") // without /proc there is no program to start either
	for _, f := range open {
		if fd, err := strconv.Atoi(f.Name()); err == nil && fd > 2 {
			syscall.CloseOnExec(fd)
		}
	}
}

// looking maps the same memory once more, to be read only, and gives the first mapping back.
func looking(s *osnet.Shared) (*osnet.Shared, error) {
	fd, err := syscall.Dup(s.FD())
	if err != nil {
		return nil, fmt.Errorf("link: memory: %w", os.NewSyscallError("dup", err))
	}
	s.Close()
	return osnet.OpenShared(fd, false)
}

// own waits until no other process is the owner of the memory, and becomes it. The lock ends with the process, after the last of its threads: two planes never write
// to one memory. The file that is given holds the lock.
func own(s *osnet.Shared) (*os.File, error) {
	f, err := os.OpenFile(fmt.Sprintf("/proc/self/fd/%d", s.FD()), os.O_RDWR, 0) // an open file of its own, or the lock would be that of all who have the descriptor
	if err != nil {
		return nil, fmt.Errorf("link: memory: %w", err)
	}
	for {
		err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX)
		if err == nil {
			return f, nil
		}
		if err != syscall.EINTR {
			f.Close()
			return nil, fmt.Errorf("link: memory: %w", os.NewSyscallError("flock", err))
		}
	}
}

// Prepare makes this process one that may outlive the one that started it: an error stream whose reader is gone does not end it, and no core file has its keys.
func Prepare() {
	signal.Ignore(syscall.SIGPIPE, syscall.SIGHUP)
	_ = syscall.Setrlimit(syscall.RLIMIT_CORE, &syscall.Rlimit{}) // lowering a limit is allowed to everybody
}
