package audit

import (
	"errors"
	"math"
	"os"
	"path/filepath"
	"syscall"
)

// allocate takes real blocks for n bytes from offset on, by writing them where the file system cannot preallocate.
func allocate(f *os.File, offset, n int64) error {
	for {
		err := syscall.Fallocate(int(f.Fd()), 0, offset, n)
		switch {
		case errors.Is(err, syscall.EINTR):
			continue
		case errors.Is(err, syscall.EOPNOTSUPP), errors.Is(err, syscall.ENOSYS):
			return fill(f, offset, n)
		}
		return err
	}
}

// free gives the bytes that are free for us where path stands; unknown counts as plenty.
func free(path string) int64 {
	var st syscall.Statfs_t
	if err := syscall.Statfs(filepath.Dir(path), &st); err != nil {
		return math.MaxInt64
	}
	return int64(st.Bavail) * st.Bsize
}

// dataSync opens a file of which a write returns when it is on the disk, and of the metadata what it takes to read that (open(2)).
const dataSync = syscall.O_DSYNC

// direct opens a file past the page cache (open(2)).
const direct = syscall.O_DIRECT

// uncache asks the kernel to keep nothing of f in memory. What it does with that is its own affair.
func uncache(f *os.File) {
	const dontNeed = 4 // POSIX_FADV_DONTNEED
	raw, err := f.SyscallConn()
	if err != nil {
		return
	}
	_ = raw.Control(func(fd uintptr) { _, _, _ = syscall.Syscall6(syscall.SYS_FADVISE64, fd, 0, 0, dontNeed, 0, 0) })
}
