package osnet

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// Shared is memory that several processes map. Its size never changes, whoever has it: a process that touches it is never killed by a hole in it. It lives as long
// as one of them has its descriptor or maps it. That a mapping is read-only keeps its process from writing by mistake; it does not keep it from mapping once more.
type Shared struct {
	fd  int // -1 when closed
	mem []byte
}

// sized are the seals without which a mapping may lose its end.
const sized = unix.F_SEAL_SHRINK | unix.F_SEAL_GROW

// NewShared makes size bytes of zeros, to be read and written. The name is for people who look at the process.
func NewShared(name string, size int) (*Shared, error) {
	s, err := newShared(name, size)
	if err != nil {
		return nil, fmt.Errorf("osnet: %d bytes of shared memory: %w", size, err)
	}
	return s, nil
}

func newShared(name string, size int) (*Shared, error) {
	if size <= 0 {
		return nil, unix.EINVAL
	}
	fd, err := unix.MemfdCreate(name, unix.MFD_CLOEXEC|unix.MFD_ALLOW_SEALING|unix.MFD_NOEXEC_SEAL)
	if err == unix.EINVAL { // Linux before 6.3
		fd, err = unix.MemfdCreate(name, unix.MFD_CLOEXEC|unix.MFD_ALLOW_SEALING)
	}
	if err != nil {
		return nil, os.NewSyscallError("memfd_create", err)
	}
	if err := unix.Ftruncate(fd, int64(size)); err != nil {
		unix.Close(fd)
		return nil, os.NewSyscallError("ftruncate", err)
	}
	if _, err := unix.FcntlInt(uintptr(fd), unix.F_ADD_SEALS, sized|unix.F_SEAL_SEAL); err != nil {
		unix.Close(fd)
		return nil, os.NewSyscallError("fcntl", err)
	}
	return mapped(fd, size, true)
}

// OpenShared maps what came from another process. The descriptor is the Shared's from the call on: on an error it is closed.
func OpenShared(fd int, write bool) (*Shared, error) {
	s, err := openShared(fd, write)
	if err != nil {
		return nil, fmt.Errorf("osnet: open shared memory: %w", err)
	}
	return s, nil
}

func openShared(fd int, write bool) (*Shared, error) {
	seals, err := unix.FcntlInt(uintptr(fd), unix.F_GET_SEALS, 0)
	if err != nil {
		closeFD(fd)
		return nil, os.NewSyscallError("fcntl", err)
	}
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		unix.Close(fd)
		return nil, os.NewSyscallError("fstat", err)
	}
	if seals&sized != sized || st.Size <= 0 || st.Size != int64(int(st.Size)) {
		unix.Close(fd)
		return nil, fmt.Errorf("%d bytes with the seals %#x: a size that may change, or none", st.Size, seals)
	}
	unix.CloseOnExec(fd)
	return mapped(fd, int(st.Size), write)
}

// mapped maps the whole; it closes fd on an error.
func mapped(fd, size int, write bool) (*Shared, error) {
	prot := unix.PROT_READ
	if write {
		prot |= unix.PROT_WRITE
	}
	mem, err := unix.Mmap(fd, 0, size, prot, unix.MAP_SHARED)
	if err != nil {
		unix.Close(fd)
		return nil, os.NewSyscallError("mmap", err)
	}
	return &Shared{fd: fd, mem: mem}, nil
}

// Bytes is the memory, at the begin of a page; nil when closed. What another process writes meanwhile is seen by atomic reads only. To write to a read-only mapping is a fault.
func (s *Shared) Bytes() []byte { return s.mem }

// FD is the descriptor, to be given to another process; -1 when closed.
func (s *Shared) FD() int { return s.fd }

// Close gives both back. Nobody may touch Bytes any more.
func (s *Shared) Close() error {
	if s.fd < 0 {
		return os.ErrClosed
	}
	mem, fd := s.mem, s.fd
	s.mem, s.fd = nil, -1
	err := os.NewSyscallError("munmap", unix.Munmap(mem))
	if e := unix.Close(fd); err == nil {
		err = os.NewSyscallError("close", e)
	}
	return err
}
