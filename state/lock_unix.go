//go:build linux || darwin || freebsd || netbsd || openbsd

package state

import (
	"os"
	"syscall"
)

// lockFile takes the lock of f or fails at once. The kernel gives it back when the file is closed or the process dies.
func lockFile(f *os.File) error {
	return syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
}
