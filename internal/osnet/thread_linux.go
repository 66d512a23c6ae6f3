package osnet

import (
	"fmt"
	"os"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// start is a moment by both clocks: that of Go, which is read without a system call, and the kernel's.
var start = newMoment()

type moment struct {
	at        time.Time
	monotonic int64
}

// newMoment asks several times and keeps the one that took least.
func newMoment() (best moment) {
	least := time.Duration(1<<63 - 1)
	for range 8 {
		var ts unix.Timespec
		before := time.Now()
		if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &ts); err != nil {
			continue
		}
		if took := time.Since(before); took < least {
			least, best = took, moment{before.Add(took / 2), ts.Nano()}
		}
	}
	return best
}

// Monotonic is CLOCK_MONOTONIC in nanoseconds, the same for all processes of this host, to within a microsecond. It makes no system call.
func Monotonic() int64 { return start.monotonic + int64(time.Since(start.at)) }

// SleepUntil holds up its thread until Monotonic is that much. It never returns early.
func SleepUntil(monotonic int64) {
	ts := unix.NsecToTimespec(max(0, monotonic))
	for unix.ClockNanosleep(unix.CLOCK_MONOTONIC, unix.TIMER_ABSTIME, &ts, nil) == unix.EINTR { // a signal for this process
	}
}

// NapUntil is SleepUntil without telling the scheduler of Go, for a sleep of a millisecond in a process that does little else: the goroutine keeps its processor,
// so that nobody has to take it away, which costs more than the sleep, nor to give it back. Who wants to stop the world waits until the sleep is over.
func NapUntil(monotonic int64) {
	ts := unix.NsecToTimespec(max(0, monotonic))
	for {
		_, _, errno := unix.RawSyscall6(unix.SYS_CLOCK_NANOSLEEP, unix.CLOCK_MONOTONIC, unix.TIMER_ABSTIME, uintptr(unsafe.Pointer(&ts)), 0, 0, 0)
		if errno != unix.EINTR { // a signal for this process
			return
		}
	}
}

// The following are about the thread that calls: its goroutine has called runtime.LockOSThread, and never unlocks.

// Sharpen lets the sleeps of this thread end when they should, instead of up to 50 us later. It needs no privilege.
func Sharpen() error {
	return os.NewSyscallError("prctl", unix.Prctl(unix.PR_SET_TIMERSLACK, 1, 0, 0, 0))
}

// Pin keeps this thread on one processor. An error is for the log: the processor may not be this process's to use.
func Pin(cpu int) error {
	var set unix.CPUSet
	set.Set(cpu)
	if err := unix.SchedSetaffinity(0, &set); err != nil {
		return fmt.Errorf("osnet: pin a thread to processor %d: %w", cpu, os.NewSyscallError("sched_setaffinity", err))
	}
	return nil
}

// niceness of a media thread: before all that is ordinary, after what the system itself needs.
const niceness = -11

// Raise puts this thread before the ordinary ones. It needs CAP_SYS_NICE or a limit (RLIMIT_NICE) that allows it; an error is for the log. Never real-time
// scheduling: a thread that never yields holds up the collector of Go, and with it the process.
func Raise() error {
	if err := unix.Setpriority(unix.PRIO_PROCESS, unix.Gettid(), niceness); err != nil {
		return fmt.Errorf("osnet: raise a thread: %w", os.NewSyscallError("setpriority", err))
	}
	return nil
}
