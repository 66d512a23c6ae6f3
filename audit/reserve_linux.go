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

// syncData returns when what was written to f is on the disk, and of its metadata what it takes to read that (fdatasync(2)).
func syncData(f *os.File) error {
	raw, err := f.SyscallConn()
	if err != nil {
		return err
	}
	e := raw.Control(func(fd uintptr) {
		for err = syscall.EINTR; errors.Is(err, syscall.EINTR); {
			err = syscall.Fdatasync(int(fd))
		}
	})
	return errors.Join(e, err)
}
