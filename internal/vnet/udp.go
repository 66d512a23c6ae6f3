package vnet

import (
	"net"
	"net/netip"
	"os"
	"sync"
	"syscall"
	"time"

	"github.com/cordonsip/cordon/sovereign"
)

type datagram struct {
	from netip.AddrPort
	data []byte
}

type icmp struct {
	to  netip.AddrPort
	err error
}

// udpConn is a UDP socket with an error queue, as a socket with IP_RECVERR is on Linux: an ICMP error fails the next read or the next write, which
// then did not send, and ReadError tells which destination it was.
type udpConn struct {
	h     *Host
	local netip.AddrPort

	// Under h.n.mu.
	cond    *sync.Cond
	closed  bool
	in      []datagram
	errs    []icmp
	pending error // of the next read or write
	read    deadline
	turn    int // of Receive

	receiver
}

var _ interface {
	sovereign.UDPConn
	sovereign.ErrQueue
	sovereign.Receiver
} = (*udpConn)(nil)

// ListenUDP binds a socket. Port 0 picks one, the zero or unspecified address binds them all.
func (h *Host) ListenUDP(a netip.AddrPort) (sovereign.UDPConn, error) {
	h.n.mu.Lock()
	defer h.n.mu.Unlock()
	a, err := h.bind("listen", "udp", a, func(a netip.AddrPort) bool { return taken(h.udp, a) })
	if err != nil {
		return nil, err
	}
	c := &udpConn{h: h, local: a, cond: sync.NewCond(&h.n.mu)}
	h.udp[a] = c
	h.n.stats.Opened++
	return c, nil
}

// taken says whether a is bound, by itself or through the unspecified address.
func taken[T any](m map[netip.AddrPort]T, a netip.AddrPort) bool {
	if !a.Addr().IsUnspecified() {
		_, ok := find(m, a)
		return ok
	}
	for b := range m {
		if b.Port() == a.Port() {
			return true
		}
	}
	return false
}

func (c *udpConn) ReadFromUDPAddrPort(b []byte) (int, netip.AddrPort, error) {
	n := c.h.n
	n.mu.Lock()
	defer n.mu.Unlock()
	for {
		switch {
		case c.closed:
			return 0, netip.AddrPort{}, c.fail("read", netip.AddrPort{}, net.ErrClosed)
		case c.read.passed():
			return 0, netip.AddrPort{}, c.fail("read", netip.AddrPort{}, os.ErrDeadlineExceeded)
		case c.pending != nil:
			err := c.pending
			c.pending = nil
			return 0, netip.AddrPort{}, c.fail("read", netip.AddrPort{}, os.NewSyscallError("recvmsg", err))
		case len(c.in) > 0:
			d := c.in[0]
			c.in = c.in[1:]
			return copy(b, d.data), d.from, nil
		}
		c.cond.Wait()
	}
}

func (c *udpConn) WriteToUDPAddrPort(b []byte, to netip.AddrPort) (int, error) {
	n := c.h.n
	to = netip.AddrPortFrom(to.Addr().Unmap(), to.Port())
	n.mu.Lock()
	closed, pending := c.closed, c.pending
	c.pending = nil
	from := netip.AddrPortFrom(c.h.source(c.local.Addr(), to.Addr()), c.local.Port())
	n.mu.Unlock()
	switch {
	case closed:
		return 0, c.fail("write", to, net.ErrClosed)
	case pending != nil:
		return 0, c.fail("write", to, os.NewSyscallError("sendmsg", pending))
	case !to.IsValid() || to.Port() == 0:
		return 0, c.fail("write", to, os.NewSyscallError("sendto", syscall.EINVAL))
	case len(b) > maxPayload:
		return 0, c.fail("write", to, os.NewSyscallError("sendto", syscall.EMSGSIZE))
	}
	data := append([]byte(nil), b...)
	n.tap(Packet{Proto: "udp", Kind: Datagram, From: from, To: to, Data: data})
	n.mu.Lock()
	defer n.mu.Unlock()
	n.send(c, from, to, data)
	return len(b), nil
}

// send decides what becomes of one datagram. Under mu.
func (n *Network) send(c *udpConn, from, to netip.AddrPort, data []byte) {
	n.stats.Sent++
	f := flow{"udp", from, to}
	s, d := n.fate(f), n.draw(f)
	q := n.quality(from.Addr(), to.Addr())
	if c.h.down || n.isCut(from.Addr(), to.Addr()) {
		n.stats.Cut++
		return
	}
	if d.loss < q.Loss {
		n.stats.Lost++
		return
	}
	at := time.Now().Add(q.Delay + time.Duration(d.jitter*float64(q.Jitter)))
	if d.reorder < q.Reorder {
		n.stats.Reordered++
		at = at.Add(30*time.Millisecond + time.Duration(d.back*float64(30*time.Millisecond)))
	} else {
		if at.Before(s.last) {
			at = s.last
		}
		s.last = at
	}
	n.schedule(at, func() { n.deliver(c, from, to, data) })
	if d.dup < q.Dup {
		n.stats.Duplicated++
		n.schedule(at.Add(time.Millisecond), func() { n.deliver(c, from, to, data) })
	}
}

// deliver ends the journey of one datagram. Under mu.
func (n *Network) deliver(c *udpConn, from, to netip.AddrPort, data []byte) {
	h := n.lookup(c.h, to.Addr())
	if h == nil || n.isCut(from.Addr(), to.Addr()) {
		n.stats.Cut++
		return
	}
	dst, ok := find(h.udp, to)
	if !ok || n.isRefused(to.Addr()) {
		n.stats.Refused++
		back := n.quality(to.Addr(), from.Addr()).Delay
		n.schedule(time.Now().Add(back), func() { n.unreachable(c, from, to) })
		return
	}
	if len(dst.in) >= queueLen {
		n.stats.Overflowed++
		return
	}
	n.stats.Delivered++
	dst.in = append(dst.in, datagram{from, data})
	dst.cond.Broadcast()
}

// unreachable queues an ICMP port unreachable at the socket that sent to `to`. Under mu.
func (n *Network) unreachable(c *udpConn, from, to netip.AddrPort) {
	if c.closed || c.h.down || n.isCut(to.Addr(), from.Addr()) {
		return
	}
	if len(c.errs) < 64 {
		c.errs = append(c.errs, icmp{to, syscall.ECONNREFUSED})
	}
	c.pending = syscall.ECONNREFUSED
	c.cond.Broadcast()
}

// ReadError implements sovereign.ErrQueue.
func (c *udpConn) ReadError() (netip.AddrPort, error, bool) {
	c.h.n.mu.Lock()
	defer c.h.n.mu.Unlock()
	if len(c.errs) == 0 {
		return netip.AddrPort{}, nil, false
	}
	e := c.errs[0]
	c.errs = c.errs[1:]
	c.pending = nil
	if len(c.errs) > 0 {
		c.pending = c.errs[0].err // as sock_dequeue_err_skb does
	}
	return e.to, e.err, true
}

func (c *udpConn) LocalAddr() net.Addr { return net.UDPAddrFromAddrPort(c.local) }

func (c *udpConn) SetReadDeadline(t time.Time) error {
	c.h.n.mu.Lock()
	defer c.h.n.mu.Unlock()
	if c.closed {
		return c.fail("set", netip.AddrPort{}, net.ErrClosed)
	}
	c.read.set(t, c.cond)
	return nil
}

func (c *udpConn) Close() error {
	defer c.receiver.end()
	c.h.n.mu.Lock()
	defer c.h.n.mu.Unlock()
	if c.closed {
		return c.fail("close", netip.AddrPort{}, net.ErrClosed)
	}
	c.closed = true
	c.in = nil
	c.read.stop()
	delete(c.h.udp, c.local)
	c.h.n.stats.Closed++
	c.cond.Broadcast()
	return nil
}

func (c *udpConn) fail(op string, to netip.AddrPort, err error) error {
	return opError(op, "udp", c.local, to, err)
}
