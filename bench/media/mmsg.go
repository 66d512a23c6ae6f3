//go:build linux

package main

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Sockets of the generator. Far ends of all calls share one socket for each side, so that one system call sends or reads the packets of many calls; which call a
// packet is of, its SSRC says. A relay neither knows nor minds: its own ports are one for each leg.

const (
	most  = 32  // packets of one system call
	room  = 256 // bytes for one packet that comes
	queue = 64 << 20
)

// mmsghdr is that of sendmmsg(2).
type mmsghdr struct {
	hdr unix.Msghdr
	n   uint32
}

type socket struct {
	fd  int
	at  netip.AddrPort
	out batch
	in  inbox
}

// open binds a socket. Its queue is made so large that only a generator that stands still would lose something.
func open(at netip.AddrPort) (*socket, error) {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return nil, os.NewSyscallError("socket", err)
	}
	for _, kind := range [2][2]int{{unix.SO_RCVBUFFORCE, unix.SO_RCVBUF}, {unix.SO_SNDBUFFORCE, unix.SO_SNDBUF}} {
		if unix.SetsockoptInt(fd, unix.SOL_SOCKET, kind[0], queue) != nil { // without privilege, what the system allows
			_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, kind[1], queue)
		}
	}
	if err := unix.Bind(fd, &unix.SockaddrInet4{Port: int(at.Port()), Addr: at.Addr().As4()}); err != nil {
		unix.Close(fd)
		return nil, fmt.Errorf("%s: %w", at, os.NewSyscallError("bind", err))
	}
	bound, err := unix.Getsockname(fd)
	if err != nil {
		unix.Close(fd)
		return nil, os.NewSyscallError("getsockname", err)
	}
	s := &socket{fd: fd, at: netip.AddrPortFrom(at.Addr(), uint16(bound.(*unix.SockaddrInet4).Port))}
	s.out.init()
	s.in.init()
	return s, nil
}

func (s *socket) close() { unix.Close(s.fd) }

// name is an address as the kernel takes it.
func name(a netip.AddrPort) unix.RawSockaddrInet4 {
	p := a.Port()
	return unix.RawSockaddrInet4{Family: unix.AF_INET, Port: p<<8 | p>>8, Addr: a.Addr().As4()}
}

// dropped is how many datagrams found no room in the socket's queue, modulo 2**32: the last of the nine numbers of SO_MEMINFO (linux/sock_diag.h).
func (s *socket) dropped() uint32 {
	var info [9]uint32
	size := uint32(unsafe.Sizeof(info))
	if _, _, errno := unix.Syscall6(unix.SYS_GETSOCKOPT, uintptr(s.fd), unix.SOL_SOCKET, unix.SO_MEMINFO,
		uintptr(unsafe.Pointer(&info)), uintptr(unsafe.Pointer(&size)), 0); errno != 0 {
		return 0
	}
	return info[len(info)-1]
}

// batch is what one sendmmsg(2) sends.
type batch struct {
	n    int
	msgs [most]mmsghdr
	iovs [most]unix.Iovec
}

func (b *batch) init() {
	for i := range b.msgs {
		b.msgs[i].hdr.Iov = &b.iovs[i]
		b.msgs[i].hdr.SetIovlen(1)
		b.msgs[i].hdr.Namelen = unix.SizeofSockaddrInet4
	}
}

// add puts a packet in; both must stay as they are until it is sent.
func (b *batch) add(packet []byte, to *unix.RawSockaddrInet4) {
	b.iovs[b.n].Base = unsafe.SliceData(packet)
	b.iovs[b.n].SetLen(len(packet))
	b.msgs[b.n].hdr.Name = (*byte)(unsafe.Pointer(to))
	b.n++
}

// send sends all, and says how many it could not. The system call never waits, so Go's scheduler is not told.
func (s *socket) send() (failed int) {
	b := &s.out
	for at := 0; at < b.n; {
		n, _, errno := unix.RawSyscall6(unix.SYS_SENDMMSG, uintptr(s.fd), uintptr(unsafe.Pointer(&b.msgs[at])), uintptr(b.n-at), unix.MSG_DONTWAIT, 0, 0)
		switch {
		case errno == unix.EINTR:
		case errno != 0: // of the first that is left
			failed++
			at++
		default:
			at += int(n)
		}
	}
	b.n = 0
	return failed
}

// inbox is what one recvmmsg(2) reads.
type inbox struct {
	msgs [most]mmsghdr
	iovs [most]unix.Iovec
	bufs [most][room]byte
}

func (in *inbox) init() {
	for i := range in.msgs {
		in.iovs[i].Base = &in.bufs[i][0]
		in.iovs[i].SetLen(room)
		in.msgs[i].hdr.Iov = &in.iovs[i]
		in.msgs[i].hdr.SetIovlen(1)
	}
}

// packet is the i-th that was read.
func (in *inbox) packet(i int) []byte { return in.bufs[i][:in.msgs[i].n] }

// receive reads what is there, at most one batch.
func (s *socket) receive() (int, error) {
	n, _, errno := unix.RawSyscall6(unix.SYS_RECVMMSG, uintptr(s.fd), uintptr(unsafe.Pointer(&s.in.msgs)), most, unix.MSG_DONTWAIT, 0, 0)
	switch errno {
	case 0:
		return int(n), nil
	case unix.EAGAIN, unix.EINTR, unix.ECONNREFUSED:
		return 0, nil
	}
	return 0, errors.New("recvmmsg: " + errno.Error())
}
