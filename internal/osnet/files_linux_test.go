package osnet

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// pair gives both ends of a connection over a unix socket.
func pair(t *testing.T, network string) (a, b *net.UnixConn) {
	t.Helper()
	l, err := net.ListenUnix(network, &net.UnixAddr{Net: network, Name: filepath.Join(t.TempDir(), "s")})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if a, err = net.DialUnix(network, nil, l.Addr().(*net.UnixAddr)); err != nil {
		t.Fatal(err)
	}
	if b, err = l.AcceptUnix(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		a.Close()
		b.Close()
	})
	return a, b
}

var networks = []string{"unix", "unixpacket"}

// TestFiles: descriptors come with the bytes that they were sent with, as the receiver's own.
func TestFiles(t *testing.T) {
	for _, network := range networks {
		a, b := pair(t, network)
		buf, fds := make([]byte, 100), make([]int, MaxFiles)
		keepsNone(t, func() {
			for _, count := range []int{0, 1, 3, MaxFiles} {
				mems, own := make([]*Shared, count), make([]int, count)
				for i := range mems {
					mems[i] = shared(t, 1)
					own[i] = mems[i].FD()
				}
				text := fmt.Sprintf("%d files", count)
				if err := SendFiles(a, []byte(text), own); err != nil {
					t.Fatal(err)
				}
				n, nfds, err := ReceiveFiles(b, buf, fds)
				if err != nil || string(buf[:n]) != text || nfds != count {
					t.Fatalf("%s: %q and %d files, %v; want %d", network, buf[:n], nfds, err, count)
				}
				for i, fd := range fds[:nfds] {
					if flags, err := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0); err != nil || flags&unix.FD_CLOEXEC == 0 {
						t.Fatal(flags, err)
					}
					s, err := OpenShared(fd, true)
					if err != nil {
						t.Fatal(err)
					}
					s.Bytes()[0] = byte(i) + 1
					s.Close()
					if got := mems[i].Bytes()[0]; got != byte(i)+1 {
						t.Errorf("file %d of %d is another one: %d", i, count, got)
					}
					mems[i].Close()
				}
			}
		})
		a.Close()
		if n, nfds, err := ReceiveFiles(b, buf, fds); n+nfds != 0 || !errors.Is(err, io.EOF) {
			t.Errorf("%s: at the end %d, %d, %v", network, n, nfds, err)
		}
	}
}

// TestFilesOfAStream: a read ends behind what came with descriptors, and a message longer than the socket's queue comes whole.
func TestFilesOfAStream(t *testing.T) {
	a, b := pair(t, "unix")
	mem := shared(t, 1)
	for _, s := range []struct {
		text string
		fds  []int
	}{{"plain ", nil}, {"one ", []int{mem.FD()}}, {"two ", []int{mem.FD(), mem.FD()}}, {"plain", nil}} {
		if err := SendFiles(a, []byte(s.text), s.fds); err != nil {
			t.Fatal(err)
		}
	}
	var got string
	var marks []string
	buf, fds := make([]byte, 100), make([]int, 4)
	for len(got) < len("plain one two plain") {
		n, nfds, err := ReceiveFiles(b, buf, fds)
		if err != nil {
			t.Fatal(err)
		}
		if got += string(buf[:n]); nfds > 0 {
			marks = append(marks, fmt.Sprintf("%d by %q", nfds, got))
		}
		for _, fd := range fds[:nfds] {
			unix.Close(fd)
		}
	}
	if want := fmt.Sprint([]string{`1 by "plain one "`, `2 by "plain one two "`}); fmt.Sprint(marks) != want {
		t.Errorf("%v, want %v", marks, want)
	}
	long := bytes.Repeat([]byte("0123456789"), 50_000)
	sent := make(chan error)
	go func() { sent <- SendFiles(a, long, []int{mem.FD()}) }()
	var all []byte
	files := 0
	for len(all) < len(long) {
		n, nfds, err := ReceiveFiles(b, buf, fds)
		if err != nil {
			t.Fatal(err)
		}
		if nfds > 0 && len(all) != 0 {
			t.Errorf("a file after %d bytes", len(all))
		}
		for _, fd := range fds[:nfds] {
			files++
			unix.Close(fd)
		}
		all = append(all, buf[:n]...)
	}
	if err := <-sent; err != nil || !bytes.Equal(all, long) || files != 1 {
		t.Errorf("%v: %d bytes, %d files", err, len(all), files)
	}
}

// TestFilesThatDoNotFit are closed, with those that do.
func TestFilesThatDoNotFit(t *testing.T) {
	for _, network := range networks {
		a, b := pair(t, network)
		mem, buf := shared(t, 1), make([]byte, 10)
		fd := mem.FD()
		keepsNone(t, func() {
			for sent := 1; sent <= 5; sent++ {
				for fits := range sent {
					if err := SendFiles(a, []byte("x"), []int{fd, fd, fd, fd, fd}[:sent]); err != nil {
						t.Fatal(err)
					}
					if n, nfds, err := ReceiveFiles(b, buf, make([]int, fits)); n != 1 || nfds != 0 || err == nil {
						t.Errorf("%s: %d bytes, %d files, %v when %d of %d fit", network, n, nfds, err, fits, sent)
					}
				}
			}
			if network == "unixpacket" {
				if err := SendFiles(a, make([]byte, 11), []int{fd}); err != nil {
					t.Fatal(err)
				}
				if n, nfds, err := ReceiveFiles(b, buf, make([]int, 1)); n != 10 || nfds != 0 || err == nil {
					t.Errorf("%d bytes of 11, %d files, %v", n, nfds, err)
				}
			}
			if err := SendFiles(a, []byte("x"), make([]int, MaxFiles+1)); !errors.Is(err, syscall.EINVAL) {
				t.Errorf("%s: more than go with one message: %v", network, err)
			}
			if err := SendFiles(a, nil, []int{fd}); !errors.Is(err, syscall.EINVAL) {
				t.Errorf("%s: files without a byte: %v", network, err)
			}
			if err := SendFiles(a, []byte("x"), []int{-1}); !errors.Is(err, syscall.EBADF) {
				t.Errorf("%s: no file: %v", network, err)
			}
		})
		keepsNone(t, func() { fewDescriptors(t, a, b, fd) })
	}
}

// fewDescriptors receives three files in a process that has room for one more.
func fewDescriptors(t *testing.T, a, b *net.UnixConn, fd int) {
	t.Helper()
	var was unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &was); err != nil {
		t.Fatal(err)
	}
	next := copied(t, fd) // the lowest number that is free
	unix.Close(next)
	few := was
	few.Cur = uint64(next) + 1
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &few); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = unix.Setrlimit(unix.RLIMIT_NOFILE, &was) }()
	if err := SendFiles(a, []byte("x"), []int{fd, fd, fd}); err != nil {
		t.Fatal(err)
	}
	if n, nfds, err := ReceiveFiles(b, make([]byte, 1), make([]int, 3)); n != 1 || nfds != 0 || err == nil {
		t.Errorf("%d bytes, %d files, %v without room in the process", n, nfds, err)
	}
}

func TestPeerUser(t *testing.T) {
	a, b := pair(t, "unix")
	for _, c := range []*net.UnixConn{a, b} {
		if pid, uid, err := PeerUser(c); err != nil || pid != os.Getpid() || int(uid) != os.Getuid() {
			t.Errorf("process %d of %d: %v", pid, uid, err)
		}
	}
	a.Close()
	if _, _, err := PeerUser(a); err == nil {
		t.Error("a closed connection has a peer")
	}
}
