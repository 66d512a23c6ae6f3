package osnet

import (
	"errors"
	"math"
	"os"
	"runtime/debug"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

func shared(t *testing.T, size int) *Shared {
	t.Helper()
	s, err := NewShared("test", size)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

// TestShared: what one writes another one reads, also when the first is gone; and the name is there for who looks.
func TestShared(t *testing.T) {
	const size = 10_000 // not a number of pages
	first := shared(t, size)
	if b := first.Bytes(); len(b) != size || cap(b) != size || b[0] != 0 || b[size-1] != 0 {
		t.Fatal(len(b), cap(b))
	}
	if name, err := os.Readlink("/proc/self/fd/" + strconv.Itoa(first.FD())); err != nil || !strings.Contains(name, "memfd:test") {
		t.Error(name, err)
	}
	reader, err := OpenShared(copied(t, first.FD()), false)
	if err != nil {
		t.Fatal(err)
	}
	writer, err := OpenShared(copied(t, first.FD()), true)
	if err != nil {
		t.Fatal(err)
	}
	first.Bytes()[0] = 'a'
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	writer.Bytes()[size-1] = 'z'
	if b := reader.Bytes(); len(b) != size || b[0] != 'a' || b[size-1] != 'z' {
		t.Errorf("%d bytes from %q to %q", len(b), b[0], b[len(b)-1])
	}
	flags, err := unix.FcntlInt(uintptr(reader.FD()), unix.F_GETFD, 0)
	if err != nil || flags&unix.FD_CLOEXEC == 0 {
		t.Error(flags, err)
	}
	for _, s := range []*Shared{reader, writer} {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}
	if err := first.Close(); !errors.Is(err, os.ErrClosed) || first.FD() != -1 || first.Bytes() != nil {
		t.Errorf("closed twice: %v %d", err, first.FD())
	}
}

// TestSharedReadOnly: a write is a fault where it happens, and the memory stays as it was.
func TestSharedReadOnly(t *testing.T) {
	first := shared(t, 100)
	reader, err := OpenShared(copied(t, first.FD()), false)
	if err != nil {
		t.Fatal(err)
	}
	defer reader.Close()
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	fault := func() (fault any) {
		defer func() { fault = recover() }()
		reader.Bytes()[7] = 1
		return nil
	}()
	if fault == nil || first.Bytes()[7] != 0 {
		t.Errorf("written to a read-only mapping: %v", fault)
	}
}

// TestSharedKeepsItsSize: nobody who has it can change that, or take the right to write from the others.
func TestSharedKeepsItsSize(t *testing.T) {
	s := shared(t, 5000)
	for _, size := range []int64{0, 4999, 5001, 1 << 20} {
		if err := unix.Ftruncate(s.FD(), size); !errors.Is(err, syscall.EPERM) {
			t.Errorf("cut to %d bytes: %v", size, err)
		}
	}
	for _, seal := range []int{unix.F_SEAL_WRITE, unix.F_SEAL_FUTURE_WRITE} {
		if _, err := unix.FcntlInt(uintptr(s.FD()), unix.F_ADD_SEALS, seal); !errors.Is(err, syscall.EPERM) {
			t.Errorf("sealed once more with %#x: %v", seal, err)
		}
	}
	if s.Bytes()[4999] = 1; len(s.Bytes()) != 5000 {
		t.Error(len(s.Bytes()))
	}
}

// TestSharedErrors: whatever goes wrong, no descriptor stays.
func TestSharedErrors(t *testing.T) {
	memory := func(size int64, seals int) int {
		fd, err := unix.MemfdCreate("test", unix.MFD_ALLOW_SEALING)
		if err != nil {
			t.Fatal(err)
		}
		_, err = unix.FcntlInt(uintptr(fd), unix.F_ADD_SEALS, seals)
		if err = errors.Join(unix.Ftruncate(fd, size), err); size > 0 && seals&unix.F_SEAL_GROW == 0 && err != nil {
			t.Fatal(err)
		}
		return fd
	}
	whole := shared(t, 100)
	readOnly := func() int {
		fd, err := unix.Open("/proc/self/fd/"+strconv.Itoa(whole.FD()), unix.O_RDONLY, 0)
		if err != nil {
			t.Fatal(err)
		}
		return fd
	}
	keepsNone(t, func() {
		for _, size := range []int{-1, 0, math.MaxInt / 2, math.MaxInt} {
			if _, err := NewShared("test", size); err == nil {
				t.Errorf("%d bytes", size)
			}
		}
		if _, err := NewShared(strings.Repeat("x", 300), 1); !errors.Is(err, syscall.EINVAL) {
			t.Errorf("a name that is too long: %v", err)
		}
		var pipe [2]int
		if err := unix.Pipe2(pipe[:], unix.O_CLOEXEC); err != nil {
			t.Fatal(err)
		}
		defer unix.Close(pipe[1])
		for name, fd := range map[string]int{
			"unsealed": memory(100, 0), "may shrink": memory(100, unix.F_SEAL_GROW), "may grow": memory(100, unix.F_SEAL_SHRINK), "empty": memory(0, sized),
			"no memory": pipe[0], "none": -1, "not to be written": readOnly(),
		} {
			if s, err := OpenShared(fd, true); err == nil {
				t.Errorf("%s: opened with %d bytes", name, len(s.Bytes()))
			}
		}
		s, err := OpenShared(readOnly(), false)
		if err != nil {
			t.Fatal(err)
		}
		s.Close()
	})
}
