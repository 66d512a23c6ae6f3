package audit

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
)

// ErrInUse says that a folder is held by a running node or by another command.
var ErrInUse = errors.New("open elsewhere")

// holdDir takes a folder for its opener alone, until the file is closed or the process ends. flock excludes the same process too; the
// log driver's own locks are POSIX locks, which do not, and would make a second process wait for ever.
func holdDir(dir, what string) (*os.File, error) {
	f, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("audit: lock of the %s: %w", what, err)
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		if errors.Is(err, syscall.EWOULDBLOCK) {
			err = ErrInUse
		}
		return nil, errors.Join(fmt.Errorf("audit: the %s in %s: %w", what, dir, err), f.Close())
	}
	return f, nil
}

// makeDir makes a folder that only its owner may enter, and its place in the parent durable.
func makeDir(dir string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	return syncDir(filepath.Dir(dir))
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// replaceFile puts raw in the place of path at once or not at all, and returns when that is on the disk.
func replaceFile(path string, raw []byte) error {
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+"-*")
	if err != nil {
		return err
	}
	_, err = f.Write(raw)
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		return errors.Join(err, os.Remove(f.Name()))
	}
	return syncDir(filepath.Dir(path))
}

// sweepReplaced removes what a crash left of a replaceFile of path. Nobody else may be replacing it.
func sweepReplaced(path string) {
	dir := filepath.Dir(path)
	files, _ := os.ReadDir(dir) // whoever opens path next tells of a folder that does not read
	for _, f := range files {
		if strings.HasPrefix(f.Name(), "."+filepath.Base(path)+"-") {
			_ = os.Remove(filepath.Join(dir, f.Name())) // what stays costs space and nothing else
		}
	}
}

// shred overwrites a small file with zeros before it removes it.
func shred(path string) error {
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	st, err := f.Stat()
	if err == nil {
		_, err = f.WriteAt(make([]byte, st.Size()), 0)
	}
	if err == nil {
		err = f.Sync()
	}
	if err := errors.Join(err, f.Close()); err != nil {
		return err
	}
	if err := os.Remove(path); err != nil {
		return err
	}
	return syncDir(filepath.Dir(path))
}
