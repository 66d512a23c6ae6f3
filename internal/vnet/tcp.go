package vnet

import (
	"context"
	"io"
	"net"
	"net/netip"
	"os"
	"sync"
	"syscall"
	"time"
)

// listener is a TCP listener.
type listener struct {
	h     *Host
	local netip.AddrPort

	// Under h.n.mu.
	cond   *sync.Cond
	closed bool
	queue  []*tcpConn
}

// tcpConn is one end of a stream.
type tcpConn struct {
	h             *Host
	local, remote netip.AddrPort

	// Under h.n.mu.
	cond    *sync.Cond
	peer    *tcpConn
	up      bool // the handshake is over, as seen from this end
	asked   bool // a SYN of this end was accepted
	in      []byte
	inEOF   bool
	err     error // set by a reset or a time-out
	closed  bool
	wclosed bool
	writing bool // one Write at a time, so that concurrent ones do not mix
	out     pipe
	read    deadline
	write   deadline
}

// pipe holds what one end sent and the other has not received yet. The order is that of q, whatever is due when.
type pipe struct {
	q       []segment
	size    int
	busy    bool      // a flush is scheduled
	stalled time.Time // since when the path has been cut
	rto     time.Duration
}

type segment struct {
	data []byte
	fin  bool
	due  time.Time
}

// ListenTCP binds a listener. Port 0 picks one.
func (h *Host) ListenTCP(a netip.AddrPort) (net.Listener, error) {
	h.n.mu.Lock()
	defer h.n.mu.Unlock()
	a, err := h.bind("listen", "tcp", a, h.tcpTaken)
	if err != nil {
		return nil, err
	}
	l := &listener{h: h, local: a, cond: sync.NewCond(&h.n.mu)}
	h.tcp[a] = l
	h.n.stats.Opened++
	return l, nil
}

func (h *Host) tcpTaken(a netip.AddrPort) bool { return h.ports[a] > 0 || taken(h.tcp, a) }

func (l *listener) Accept() (net.Conn, error) {
	n := l.h.n
	n.mu.Lock()
	defer n.mu.Unlock()
	for len(l.queue) == 0 && !l.closed {
		l.cond.Wait()
	}
	if l.closed {
		return nil, opError("accept", "tcp", netip.AddrPort{}, l.local, net.ErrClosed)
	}
	c := l.queue[0]
	l.queue = l.queue[1:]
	l.h.streams[c] = true
	n.stats.Opened++
	return c, nil
}

// Close also resets the connections that nobody accepted.
func (l *listener) Close() error {
	n := l.h.n
	n.mu.Lock()
	defer n.mu.Unlock()
	if l.closed {
		return opError("close", "tcp", netip.AddrPort{}, l.local, net.ErrClosed)
	}
	l.closed = true
	for _, c := range l.queue {
		c.reset(net.ErrClosed)
		n.rst(c)
	}
	l.queue = nil
	delete(l.h.tcp, l.local)
	n.stats.Closed++
	l.cond.Broadcast()
	return nil
}

func (l *listener) Addr() net.Addr { return net.TCPAddrFromAddrPort(l.local) }

// DialTCP opens a stream from local (the zero Addr: the host's own choice). A closed port or a refused prefix answers ECONNREFUSED after a round
// trip; a cut, a dead host and a full backlog answer nothing, and the dial ends with ctx or the TCP timeout.
func (h *Host) DialTCP(ctx context.Context, local netip.Addr, to netip.AddrPort) (net.Conn, error) {
	c, err := h.newDial(local.Unmap(), netip.AddrPortFrom(to.Addr().Unmap(), to.Port()))
	if err != nil {
		return nil, err
	}
	stop := context.AfterFunc(ctx, func() {
		h.n.mu.Lock()
		defer h.n.mu.Unlock()
		c.cond.Broadcast()
	})
	defer stop()
	h.n.mu.Lock()
	timeout := h.n.tcpTimeout
	h.n.mu.Unlock()
	err = c.connect(ctx, timeout)
	h.n.mu.Lock()
	defer h.n.mu.Unlock()
	c.read.set(time.Time{}, c.cond)
	if err == nil {
		h.streams[c] = true
		h.n.stats.Opened++
		return c, nil
	}
	if c.err == nil {
		c.err = err
	}
	h.n.rst(c)
	c.release()
	return nil, opError("dial", "tcp", c.local, c.remote, err)
}

func (h *Host) newDial(local netip.Addr, to netip.AddrPort) (*tcpConn, error) {
	h.n.mu.Lock()
	defer h.n.mu.Unlock()
	h.n.stats.Dials++
	if !to.IsValid() || to.Port() == 0 {
		return nil, opError("dial", "tcp", netip.AddrPort{}, to, os.NewSyscallError("connect", syscall.EINVAL))
	}
	from, err := h.bind("dial", "tcp", netip.AddrPortFrom(h.source(local, to.Addr()), 0), h.tcpTaken)
	if err != nil {
		return nil, err
	}
	h.ports[from]++
	return &tcpConn{h: h, local: from, remote: to, cond: sync.NewCond(&h.n.mu)}, nil
}

// connect sends SYNs until the other end answers, ctx ends or the time is up. The read deadline serves as the retransmission timer.
func (c *tcpConn) connect(ctx context.Context, timeout time.Duration) error {
	n := c.h.n
	end := time.Now().Add(timeout)
	for rto := synRTO; ; rto *= 2 {
		if err := ctx.Err(); err != nil {
			return err
		}
		n.tap(Packet{Proto: "tcp", Kind: SYN, From: c.local, To: c.remote})
		next := time.Now().Add(rto)
		if next.After(end) {
			next = end
		}
		n.mu.Lock()
		n.syn(c)
		c.read.set(next, c.cond)
		for !c.up && c.err == nil && ctx.Err() == nil && !c.read.passed() {
			c.cond.Wait()
		}
		up, err := c.up, c.err
		n.mu.Unlock()
		switch {
		case err != nil:
			return os.NewSyscallError("connect", err)
		case up:
			return nil
		case ctx.Err() == nil && !time.Now().Before(end):
			return os.NewSyscallError("connect", syscall.ETIMEDOUT)
		}
	}
}

// syn sends one SYN. Under mu.
func (n *Network) syn(c *tcpConn) {
	d := n.draw(flow{"tcp", c.local, c.remote})
	q := n.quality(c.local.Addr(), c.remote.Addr())
	if d.loss < q.Loss {
		return
	}
	n.schedule(time.Now().Add(q.Delay+time.Duration(d.jitter*float64(q.Jitter))), func() { n.arrive(c) })
}

// arrive is a SYN at its destination. Under mu.
func (n *Network) arrive(c *tcpConn) {
	h := n.lookup(c.h, c.remote.Addr())
	if c.asked || c.err != nil || h == nil || c.h.down || n.isCut(c.local.Addr(), c.remote.Addr()) {
		return
	}
	back := time.Now().Add(n.quality(c.remote.Addr(), c.local.Addr()).Delay)
	l, ok := find(h.tcp, c.remote)
	if !ok || n.isRefused(c.remote.Addr()) {
		n.stats.Refused++
		n.schedule(back, func() {
			if !c.up && !n.isCut(c.remote.Addr(), c.local.Addr()) {
				c.reset(syscall.ECONNREFUSED)
			}
		})
		return
	}
	if len(l.queue) >= backlog {
		return
	}
	c.asked = true
	c.peer = &tcpConn{h: h, local: c.remote, remote: c.local, cond: sync.NewCond(&n.mu), peer: c, up: true}
	l.queue = append(l.queue, c.peer)
	l.cond.Broadcast()
	n.schedule(back, func() { n.synAck(c) })
}

// synAck ends the handshake, or tries again later across a cut. Under mu.
func (n *Network) synAck(c *tcpConn) {
	if c.err != nil {
		return
	}
	if n.isCut(c.remote.Addr(), c.local.Addr()) {
		n.schedule(time.Now().Add(synRTO), func() { n.synAck(c) })
		return
	}
	c.up = true
	c.cond.Broadcast()
}

// reset ends c with err: what arrived before can still be read. Under mu.
func (c *tcpConn) reset(err error) {
	if c.err != nil {
		return
	}
	c.err = err
	c.out = pipe{}
	c.cond.Broadcast()
}

// rst tells the other end of c that c is gone. Under mu.
func (n *Network) rst(c *tcpConn) {
	p := c.peer
	if p == nil {
		return
	}
	at := time.Now().Add(n.quality(c.local.Addr(), c.remote.Addr()).Delay)
	n.schedule(at, func() {
		if !n.isCut(c.local.Addr(), c.remote.Addr()) && !c.h.down {
			p.reset(syscall.ECONNRESET)
		}
	})
}

// release gives back the local port. Under mu.
func (c *tcpConn) release() {
	if c.h.ports[c.local]--; c.h.ports[c.local] <= 0 {
		delete(c.h.ports, c.local)
	}
	c.read.stop()
	c.write.stop()
}

func (c *tcpConn) Read(b []byte) (int, error) {
	n := c.h.n
	n.mu.Lock()
	defer n.mu.Unlock()
	for {
		switch {
		case c.closed:
			return 0, c.fail("read", net.ErrClosed)
		case c.read.passed():
			return 0, c.fail("read", os.ErrDeadlineExceeded)
		case len(b) == 0:
			return 0, nil
		case len(c.in) > 0:
			k := copy(b, c.in)
			c.in = c.in[k:]
			c.peer.cond.Broadcast() // there is room again
			return k, nil
		case c.inEOF:
			return 0, io.EOF
		case c.err != nil:
			return 0, c.fail("read", os.NewSyscallError("read", c.err))
		}
		c.cond.Wait()
	}
}

func (c *tcpConn) Write(b []byte) (int, error) {
	n := c.h.n
	n.mu.Lock()
	defer n.mu.Unlock()
	for c.writing && !c.closed {
		c.cond.Wait()
	}
	c.writing = true
	defer func() {
		c.writing = false
		c.cond.Broadcast()
	}()
	done := 0
	for {
		room := streamCap - c.out.size
		if c.peer != nil {
			room -= len(c.peer.in)
		}
		switch {
		case c.closed:
			return done, c.fail("write", net.ErrClosed)
		case done == len(b):
			return done, nil
		case c.write.passed():
			return done, c.fail("write", os.ErrDeadlineExceeded)
		case c.err != nil:
			return done, c.fail("write", os.NewSyscallError("write", c.err))
		case c.wclosed:
			return done, c.fail("write", os.NewSyscallError("write", syscall.EPIPE))
		case room <= 0:
			c.cond.Wait()
			continue
		}
		k := min(len(b)-done, mss, room)
		c.push(Segment, append([]byte(nil), b[done:done+k]...))
		done += k
	}
}

// push sends one segment. Under mu, which it gives up while the taps look.
func (c *tcpConn) push(kind Kind, data []byte) {
	n := c.h.n
	if n.taps.Load() != nil {
		n.mu.Unlock()
		n.tap(Packet{Proto: "tcp", Kind: kind, From: c.local, To: c.remote, Data: data})
		n.mu.Lock()
	}
	if c.err != nil {
		return
	}
	d := n.draw(flow{"tcp", c.local, c.remote})
	q := n.quality(c.local.Addr(), c.remote.Addr())
	due := time.Now().Add(q.Delay + time.Duration(d.jitter*float64(q.Jitter)))
	rto := max(minRTO, 2*q.Delay)
	if d.loss < q.Loss {
		due = due.Add(rto)
		if d.back < q.Loss {
			due = due.Add(2 * rto)
		}
	}
	c.out.q = append(c.out.q, segment{data, kind == FIN, due})
	c.out.size += len(data)
	c.plan(due)
}

func (c *tcpConn) plan(at time.Time) {
	if !c.out.busy {
		c.out.busy = true
		c.h.n.schedule(at, func() { c.h.n.flush(c) })
	}
}

// flush moves what is due to the other end, or waits for the path to heal as TCP does. Under mu.
func (n *Network) flush(c *tcpConn) {
	o, p, now := &c.out, c.peer, time.Now()
	o.busy = false
	if c.err != nil || len(o.q) == 0 {
		return
	}
	there, back := n.isCut(c.local.Addr(), c.remote.Addr()), n.isCut(c.remote.Addr(), c.local.Addr())
	if there || back || c.h.down || n.lookup(c.h, c.remote.Addr()) == nil {
		if o.stalled.IsZero() {
			o.stalled, o.rto = now, minRTO
		}
		if now.Sub(o.stalled) >= n.tcpTimeout {
			c.reset(syscall.ETIMEDOUT)
			return
		}
		c.plan(now.Add(o.rto))
		o.rto = min(2*o.rto, maxRTO)
		return
	}
	o.stalled = time.Time{}
	if n.isRefused(c.remote.Addr()) || p.err != nil || p.closed && len(o.q[0].data) > 0 {
		n.stats.Refused++
		n.rst(&tcpConn{h: p.h, local: c.remote, remote: c.local, peer: c})
		o.q, o.size = nil, 0
		return
	}
	for len(o.q) > 0 && !o.q[0].due.After(now) {
		s := o.q[0]
		o.q = o.q[1:]
		o.size -= len(s.data)
		p.inEOF = p.inEOF || s.fin
		if !p.closed {
			p.in = append(p.in, s.data...)
		}
	}
	p.cond.Broadcast()
	if len(o.q) > 0 {
		c.plan(o.q[0].due)
	}
}

// CloseWrite sends FIN and keeps reading.
func (c *tcpConn) CloseWrite() error {
	c.h.n.mu.Lock()
	defer c.h.n.mu.Unlock()
	if c.closed {
		return c.fail("close", net.ErrClosed)
	}
	c.finish()
	return nil
}

func (c *tcpConn) finish() {
	if c.wclosed {
		return
	}
	c.wclosed = true
	c.cond.Broadcast()
	if c.err == nil {
		c.push(FIN, nil)
	}
}

// Close sends FIN after what was written; data that arrives afterwards is answered with RST.
func (c *tcpConn) Close() error {
	n := c.h.n
	n.mu.Lock()
	defer n.mu.Unlock()
	if c.closed {
		return c.fail("close", net.ErrClosed)
	}
	c.closed = true
	c.in = nil
	delete(c.h.streams, c)
	c.release()
	n.stats.Closed++
	c.cond.Broadcast()
	if c.peer != nil {
		c.peer.cond.Broadcast()
	}
	c.finish()
	return nil
}

func (c *tcpConn) LocalAddr() net.Addr  { return net.TCPAddrFromAddrPort(c.local) }
func (c *tcpConn) RemoteAddr() net.Addr { return net.TCPAddrFromAddrPort(c.remote) }

func (c *tcpConn) SetDeadline(t time.Time) error      { return c.setDeadlines(t, &c.read, &c.write) }
func (c *tcpConn) SetReadDeadline(t time.Time) error  { return c.setDeadlines(t, &c.read) }
func (c *tcpConn) SetWriteDeadline(t time.Time) error { return c.setDeadlines(t, &c.write) }

func (c *tcpConn) setDeadlines(t time.Time, ds ...*deadline) error {
	c.h.n.mu.Lock()
	defer c.h.n.mu.Unlock()
	if c.closed {
		return c.fail("set", net.ErrClosed)
	}
	for _, d := range ds {
		d.set(t, c.cond)
	}
	return nil
}

func (c *tcpConn) fail(op string, err error) error {
	return opError(op, "tcp", c.local, c.remote, err)
}
