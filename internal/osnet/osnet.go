// Package osnet is the network of the operating system: the real sockets behind the network parameter of the hall, what a media worker needs from the kernel
// besides them, and what the kernel knows of the clock.
//
// There are two kinds of UDP sockets. Both are a sovereign.UDPConn, so whoever has one can write; they differ in who reads:
//
//   - Net.ListenUDP is for signalling: few sockets, each with a goroutine of its own that waits in ReadFromUDPAddrPort, with deadlines. On Linux they keep the
//     ICMP errors of earlier datagrams with their destinations (IP_RECVERR), so that a dead next hop is known after one round trip instead of after a timer, and
//     their queues can be widened and asked for what they lost; elsewhere they are plain.
//   - Net.Socket is for a media worker, a thread that does nothing else: nobody reads the socket but who has it, by Receive and Send with its descriptor, when a
//     Set says that something waits in it. The worker decides when it looks, so that it can look at all its sockets once in a tick. The descriptor can be given to
//     another process, and what waits in the socket with it. Linux only: elsewhere it gives errors.ErrUnsupported, and the caller takes another kind.
//
// Around a Socket stand Name, an address as the kernel has it, which a packet's sender is compared with at no cost; Set (epoll); Monotonic and SleepUntil, the
// tick; Sharpen, Pin and Raise for the worker's thread; Shared, memory that two processes map; SendFiles and ReceiveFiles, which carry its descriptor and those of
// sockets between them. The worker of two processes is the same as that of one.
//
// It imports sovereign, for the interfaces that it implements.
package osnet

import (
	"context"
	"fmt"
	"net"
	"net/netip"

	"github.com/cordonsip/cordon/sovereign"
)

// buffer is the size asked for each UDP socket, best effort. The kernel's default of 208 KiB lost hundreds of calls in a storm of 1,600 calls a second.
const buffer = 4 << 20

// Net is the network of this host. The zero Net is ready.
type Net struct{}

// ListenUDP binds a UDP socket. Port 0 picks one.
func (Net) ListenUDP(addr netip.AddrPort) (sovereign.UDPConn, error) {
	c, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(addr))
	if err != nil {
		return nil, fmt.Errorf("osnet: listen on udp %s: %w", addr, err)
	}
	// Best effort: the limits of the host (net.core.rmem_max) may cut both.
	_ = c.SetReadBuffer(buffer)
	_ = c.SetWriteBuffer(buffer)
	u, err := wrap(c)
	if err != nil {
		c.Close()
		return nil, fmt.Errorf("osnet: listen on udp %s: %w", addr, err)
	}
	return u, nil
}

// ListenTCP binds a TCP listener. Port 0 picks one.
func (Net) ListenTCP(addr netip.AddrPort) (net.Listener, error) {
	l, err := net.ListenTCP("tcp", net.TCPAddrFromAddrPort(addr))
	if err != nil {
		return nil, fmt.Errorf("osnet: listen on tcp %s: %w", addr, err)
	}
	return l, nil
}

// DialTCP connects from local (the zero Addr leaves the choice to the system) to a literal address. There is no name to resolve and no second address to
// fall back to: exactly to is dialled. The dial ends with ctx.
func (Net) DialTCP(ctx context.Context, local netip.Addr, to netip.AddrPort) (net.Conn, error) {
	var d net.Dialer
	if local.IsValid() && !local.IsUnspecified() {
		d.LocalAddr = net.TCPAddrFromAddrPort(netip.AddrPortFrom(local, 0))
	}
	c, err := d.DialContext(ctx, "tcp", to.String())
	if err != nil {
		return nil, fmt.Errorf("osnet: %w", err)
	}
	return c, nil
}
