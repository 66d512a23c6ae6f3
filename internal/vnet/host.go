package vnet

import (
	"cmp"
	"maps"
	"net"
	"net/netip"
	"os"
	"slices"
	"sync"
	"syscall"
	"time"

	"github.com/cordonsip/cordon/sovereign"
)

// Host is one machine. It has the methods of the network that cordon runs on: ListenUDP, ListenTCP, DialTCP.
type Host struct {
	n     *Network
	addrs []netip.Addr

	// Under n.mu.
	down    bool
	udp     map[netip.AddrPort]*udpConn
	tcp     map[netip.AddrPort]*listener
	streams map[*tcpConn]bool
	ports   map[netip.AddrPort]int // ephemeral TCP ports in use by streams
	next    uint16
}

// Addr is the first address.
func (h *Host) Addr() netip.Addr { return h.addrs[0] }

// Down takes the machine off the network (true) or puts it back; its sockets stay. Packets to it vanish, as they do for a dead machine.
func (h *Host) Down(down bool) {
	h.n.mu.Lock()
	defer h.n.mu.Unlock()
	h.down = down
}

// Crash closes every socket at once, as the kernel does for a killed process: peers of streams get RST, later packets are refused.
func (h *Host) Crash() {
	h.n.mu.Lock()
	var all []interface{ Close() error }
	for _, c := range h.udp {
		all = append(all, c)
	}
	for _, l := range h.tcp {
		all = append(all, l)
	}
	for _, c := range slices.SortedFunc(maps.Keys(h.streams), func(a, b *tcpConn) int {
		return cmp.Or(a.local.Compare(b.local), a.remote.Compare(b.remote))
	}) {
		all = append(all, c)
		c.reset(syscall.ECONNABORTED)
		h.n.rst(c)
	}
	h.n.mu.Unlock()
	for _, c := range all {
		_ = c.Close()
	}
}

// Sockets is the number of sockets that are open on this machine.
func (h *Host) Sockets() int {
	h.n.mu.Lock()
	defer h.n.mu.Unlock()
	return len(h.udp) + len(h.tcp) + len(h.streams)
}

// owns is asked under mu. The unspecified address stands for all.
func (h *Host) owns(a netip.Addr) bool {
	if a.IsUnspecified() {
		return true
	}
	o := h.n.hosts[a]
	return o == h || o == nil && a.IsLoopback()
}

// bind checks a local address and picks a port when it has none; used says whether a port is taken. Under mu.
func (h *Host) bind(op, network string, a netip.AddrPort, used func(netip.AddrPort) bool) (netip.AddrPort, error) {
	ip := a.Addr().Unmap()
	if !ip.IsValid() {
		ip = netip.IPv4Unspecified()
	}
	a = netip.AddrPortFrom(ip, a.Port())
	if !h.owns(ip) {
		return a, opError(op, network, netip.AddrPort{}, a, os.NewSyscallError("bind", syscall.EADDRNOTAVAIL))
	}
	if a.Port() != 0 {
		if used(a) {
			return a, opError(op, network, netip.AddrPort{}, a, os.NewSyscallError("bind", syscall.EADDRINUSE))
		}
		return a, nil
	}
	for range 65536 - firstPort {
		p := h.next
		h.next++
		if h.next < firstPort {
			h.next = firstPort
		}
		if a = netip.AddrPortFrom(ip, p); !used(a) {
			return a, nil
		}
	}
	return a, opError(op, network, netip.AddrPort{}, a, os.NewSyscallError("bind", syscall.EADDRINUSE))
}

// source is the address that a packet to `to` carries when the socket is bound to all of them.
func (h *Host) source(bound netip.Addr, to netip.Addr) netip.Addr {
	if bound.IsValid() && !bound.IsUnspecified() {
		return bound
	}
	if to.IsLoopback() && h.n.hosts[to] == nil || len(h.addrs) == 0 {
		return netip.AddrFrom4([4]byte{127, 0, 0, 1})
	}
	for _, a := range h.addrs {
		if a.Is4() == to.Is4() {
			return a
		}
	}
	return h.addrs[0]
}

func find[T any](m map[netip.AddrPort]T, a netip.AddrPort) (T, bool) {
	if s, ok := m[a]; ok {
		return s, true
	}
	any4 := netip.IPv4Unspecified()
	if a.Addr().Is6() {
		any4 = netip.IPv6Unspecified()
	}
	s, ok := m[netip.AddrPortFrom(any4, a.Port())]
	return s, ok
}

func opError(op, network string, from, to netip.AddrPort, err error) error {
	e := &net.OpError{Op: op, Net: network, Err: err}
	if from.IsValid() {
		e.Source = addr(network, from)
	}
	if to.IsValid() {
		e.Addr = addr(network, to)
	}
	return e
}

func addr(network string, a netip.AddrPort) net.Addr {
	if network == "udp" {
		return net.UDPAddrFromAddrPort(a)
	}
	return net.TCPAddrFromAddrPort(a)
}

// deadline is a point in time that wakes the waiters of a condition. All methods are called with the condition's lock held.
type deadline struct {
	at    time.Time
	timer *time.Timer
}

func (d *deadline) set(t time.Time, c *sync.Cond) {
	d.stop()
	d.at = t
	if !t.IsZero() {
		d.timer = time.AfterFunc(time.Until(t), func() {
			c.L.Lock()
			defer c.L.Unlock()
			c.Broadcast()
		})
	}
	c.Broadcast()
}

func (d *deadline) passed() bool { return !d.at.IsZero() && !time.Now().Before(d.at) }

func (d *deadline) stop() {
	if d.timer != nil {
		d.timer.Stop()
	}
}

var _ interface {
	ListenUDP(netip.AddrPort) (sovereign.UDPConn, error)
	ListenTCP(netip.AddrPort) (net.Listener, error)
} = (*Host)(nil)
