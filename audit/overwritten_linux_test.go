package audit

import (
	"os"
	"path/filepath"
	"syscall"
	"testing"
)

// TestOverwrittenFlags holds that both ways to write return when the bytes are on the disk, and that a name that stands for another file is not written by.
func TestOverwrittenFlags(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(path, make([]byte, slotBlock), 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := openOverwritten(path)
	if err != nil {
		t.Fatal(err)
	}
	files := map[*os.File]int{f.File: syscall.O_DSYNC}
	if past, ok := f.past.(*os.File); ok { // a file system may refuse it
		files[past] = syscall.O_DSYNC | syscall.O_DIRECT
	}
	for file, want := range files {
		flags, _, errno := syscall.Syscall(syscall.SYS_FCNTL, file.Fd(), syscall.F_GETFL, 0)
		if errno != 0 || int(flags)&(syscall.O_DSYNC|syscall.O_DIRECT) != want {
			t.Errorf("flags %o, want %o: %v", flags, want, errno)
		}
	}
	if err := os.Rename(path, path+"-old"); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, make([]byte, slotBlock), 0o600); err != nil {
		t.Fatal(err)
	}
	if past, err := openPast(f.File, path); err == nil {
		t.Errorf("opened %s as the file that had the name before", past.Name())
	}
	if err := f.Close(); err != nil {
		t.Error(err)
	}
}
