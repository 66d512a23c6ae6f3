package main

import (
	"os"
	"runtime"
	"slices"
	"syscall"
)

const (
	// slack is how late the system may wake a thread of an edge, in nanoseconds; 50,000 unless somebody sets it. The Go runtime has a thread that looks after
	// system calls each 20 us while there are any: at hundreds of calls a second its waking up alone was a tenth of what a call costs, and it took the core
	// from who worked. No timer of SIP or of media minds one millisecond.
	slack = 1_000_000
	// restarted marks the environment of a program that was started again, so that it does not try a second time where the system keeps the slack as it was.
	restarted = "CORDON_SLACK=1"
)

// What prctl(2) calls them.
const (
	setTimerSlack = 29
	getTimerSlack = 30
)

// loosen starts this program again, as the same process, with a slack that the threads of the runtime inherit: they are made before main, and a thread can set
// only its own. Where the system refuses, and where the slack is that large already (a unit's TimerSlackNSec=), nothing changes.
func loosen(env []string) {
	if slices.Contains(env, restarted) {
		return
	}
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	if now, err := prctl(getTimerSlack, 0); err != nil || now >= slack {
		return
	}
	if _, err := prctl(setTimerSlack, slack); err != nil {
		return
	}
	_ = syscall.Exec("/proc/self/exe", os.Args, append(env, restarted)) // it returns only where it failed, and then the edge runs as it is
}

func prctl(option, value uintptr) (int, error) {
	n, _, errno := syscall.RawSyscall(syscall.SYS_PRCTL, option, value, 0)
	if errno != 0 {
		return 0, errno
	}
	return int(n), nil
}
