package osnet

import (
	"math"

	"golang.org/x/sys/unix"
)

// Descriptors is how many files and sockets this process may have open; 0 when there is no bound, or nobody tells. Go raises the soft limit to the hard one
// when a process begins.
func (Net) Descriptors() int {
	var l unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &l); err != nil || l.Cur > math.MaxInt32 {
		return 0
	}
	return int(l.Cur)
}
