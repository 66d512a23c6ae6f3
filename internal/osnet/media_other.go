//go:build !linux

package osnet

import (
	"errors"
	"net"
	"net/netip"
	"os"
	"syscall"
	"time"
)

// Socket exists on Linux only.
type Socket struct{}

// Socket is not supported here.
func (Net) Socket(netip.AddrPort, SocketOptions) (*Socket, error) { return nil, errors.ErrUnsupported }

// AdoptSocket is not supported here.
func AdoptSocket(int) (*Socket, error) { return nil, errors.ErrUnsupported }

// FD is none.
func (*Socket) FD() int { return -1 }

// Bound is nowhere.
func (*Socket) Bound() netip.AddrPort { return netip.AddrPort{} }

// Six is never so.
func (*Socket) Six() bool { return false }

// Mark is not supported here.
func (*Socket) Mark(int) error { return errors.ErrUnsupported }

// LocalAddr is nowhere.
func (*Socket) LocalAddr() net.Addr { return &net.UDPAddr{} }

// WriteToUDPAddrPort is not supported here.
func (*Socket) WriteToUDPAddrPort([]byte, netip.AddrPort) (int, error) {
	return 0, errors.ErrUnsupported
}

// ReadFromUDPAddrPort is not supported here.
func (*Socket) ReadFromUDPAddrPort([]byte) (int, netip.AddrPort, error) {
	return 0, netip.AddrPort{}, errors.ErrUnsupported
}

// SetReadDeadline is not supported here.
func (*Socket) SetReadDeadline(time.Time) error { return os.ErrNoDeadline }

// Close has nothing to close.
func (*Socket) Close() error { return net.ErrClosed }

// Receive is not supported here.
func Receive(int, []byte, *Name) (int, syscall.Errno) { return 0, syscall.ENOSYS }

// Send is not supported here.
func Send(int, []byte, *Name) syscall.Errno { return syscall.ENOSYS }

// Set exists on Linux only.
type Set struct{}

// NewSet is not supported here.
func NewSet() (*Set, error) { return nil, errors.ErrUnsupported }

// Add is not supported here.
func (*Set) Add(int, uint64) error { return errors.ErrUnsupported }

// Remove is not supported here.
func (*Set) Remove(int) error { return errors.ErrUnsupported }

// Ready has nothing.
func (*Set) Ready([]uint64) int { return 0 }

// Wait has nothing to wait for.
func (*Set) Wait([]uint64, time.Duration) int { return 0 }

// Wake has nobody to wake.
func (*Set) Wake() {}

// Close has nothing to give back.
func (*Set) Close() {}

var start = time.Now()

// Monotonic is in nanoseconds, of this process only.
func Monotonic() int64 { return int64(time.Since(start)) }

// NapUntil is SleepUntil.
func NapUntil(monotonic int64) { SleepUntil(monotonic) }

// SleepUntil waits until Monotonic is that much.
func SleepUntil(monotonic int64) { time.Sleep(time.Duration(monotonic - Monotonic())) }

// Sharpen is not supported here.
func Sharpen() error { return errors.ErrUnsupported }

// Pin is not supported here.
func Pin(int) error { return errors.ErrUnsupported }

// Raise is not supported here.
func Raise() error { return errors.ErrUnsupported }

// Shared exists on Linux only.
type Shared struct{}

// NewShared is not supported here.
func NewShared(string, int) (*Shared, error) { return nil, errors.ErrUnsupported }

// OpenShared is not supported here.
func OpenShared(int, bool) (*Shared, error) { return nil, errors.ErrUnsupported }

// Bytes are none.
func (*Shared) Bytes() []byte { return nil }

// FD is none.
func (*Shared) FD() int { return -1 }

// Close has nothing to give back.
func (*Shared) Close() error { return os.ErrClosed }

// MaxFiles is how many descriptors go with one message.
const MaxFiles = 253

// SendFiles is not supported here.
func SendFiles(*net.UnixConn, []byte, []int) error { return errors.ErrUnsupported }

// ReceiveFiles is not supported here.
func ReceiveFiles(*net.UnixConn, []byte, []int) (n, nfds int, err error) {
	return 0, 0, errors.ErrUnsupported
}

// PeerUser is not supported here.
func PeerUser(*net.UnixConn) (pid int, uid uint32, err error) { return 0, 0, errors.ErrUnsupported }
