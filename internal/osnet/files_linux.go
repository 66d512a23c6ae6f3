package osnet

import (
	"errors"
	"fmt"
	"net"
	"os"

	"golang.org/x/sys/unix"
)

// MaxFiles is how many descriptors go with one message (SCM_MAX_FD of unix(7)).
const MaxFiles = 253

// SendFiles writes b, with descriptors that the other side gets as its own. The caller's stay open. It waits as a Write does, and like one may have written a part
// when it fails: the connection is of no use then. There is no descriptor without a byte.
func SendFiles(c *net.UnixConn, b []byte, fds []int) error {
	if len(fds) > MaxFiles || len(b) == 0 {
		return fmt.Errorf("osnet: %d bytes with %d descriptors: %w", len(b), len(fds), unix.EINVAL)
	}
	var rights []byte
	if len(fds) > 0 {
		rights = unix.UnixRights(fds...)
	}
	n, _, err := c.WriteMsgUnix(b, rights, nil)
	if err == nil && n < len(b) { // of a stream; the descriptors went with the first part
		_, err = c.Write(b[n:])
	}
	if err != nil {
		return fmt.Errorf("osnet: send %d descriptors: %w", len(fds), err)
	}
	return nil
}

// ReceiveFiles reads into b as Read does, and gives the descriptors that came with what it read: those of one SendFiles at most. On a stream they come with the
// first byte that they were sent with, which may stand behind bytes that were sent before, without any. They are closed on exec. On an error there are none:
// what did not fit into fds, or into this process, was closed with all others, and of a message that did not fit into b (unixpacket) the rest is lost.
func ReceiveFiles(c *net.UnixConn, b []byte, fds []int) (n, nfds int, err error) {
	rights := make([]byte, unix.CmsgLen(4*len(fds)))
	n, oob, flags, _, err := c.ReadMsgUnix(b, rights)
	got, ferr := files(rights[:oob])
	switch {
	case err != nil:
	case ferr != nil:
		err = ferr
	case flags&unix.MSG_CTRUNC != 0:
		err = errors.New("more than there is room for")
	case flags&unix.MSG_TRUNC != 0:
		err = errors.New("a message longer than expected")
	}
	if err == nil {
		return n, copy(fds, got), nil
	}
	for _, fd := range got {
		unix.Close(fd)
	}
	return n, 0, fmt.Errorf("osnet: receive descriptors: %w", err)
}

// files gives the descriptors of all control messages.
func files(control []byte) (fds []int, err error) {
	msgs, err := unix.ParseSocketControlMessage(control)
	if err != nil {
		return nil, os.NewSyscallError("recvmsg", err)
	}
	for i := range msgs {
		if msgs[i].Header.Level != unix.SOL_SOCKET || msgs[i].Header.Type != unix.SCM_RIGHTS {
			continue
		}
		more, err := unix.ParseUnixRights(&msgs[i])
		if err != nil {
			return fds, os.NewSyscallError("recvmsg", err)
		}
		fds = append(fds, more...)
	}
	return fds, nil
}

// PeerUser says which process is at the other end, and whose it is, as it was when the connection was made. The number may be another process's by now.
func PeerUser(c *net.UnixConn) (pid int, uid uint32, err error) {
	raw, err := c.SyscallConn()
	if err != nil {
		return 0, 0, fmt.Errorf("osnet: ask for the peer: %w", err)
	}
	var who *unix.Ucred
	var errno error
	err = raw.Control(func(fd uintptr) { who, errno = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED) })
	if err = errors.Join(err, os.NewSyscallError("getsockopt", errno)); err != nil {
		return 0, 0, fmt.Errorf("osnet: ask for the peer: %w", err)
	}
	return int(who.Pid), who.Uid, nil
}
