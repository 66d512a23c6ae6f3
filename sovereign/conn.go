package sovereign

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"
)

// UDPConn is the part of *net.UDPConn that cordon uses; virtual networks implement it too.
type UDPConn interface {
	ReadFromUDPAddrPort(b []byte) (n int, from netip.AddrPort, err error)
	WriteToUDPAddrPort(b []byte, to netip.AddrPort) (int, error)
	LocalAddr() net.Addr
	SetReadDeadline(t time.Time) error
	Close() error
}

// ErrQueue is implemented by a UDPConn that can report ICMP errors of earlier writes (IP_RECVERR on Linux, or a virtual network).
type ErrQueue interface {
	// ReadError returns the next queued error and the destination whose packet caused it; ok is false when the queue is empty.
	ReadError() (to netip.AddrPort, err error, ok bool)
}

// Backlog is implemented by a UDPConn whose queue of datagrams that nobody read yet can be widened, and that counts what found no room in it.
type Backlog interface {
	// Widen asks for a queue of that many bytes.
	Widen(bytes int) error
	// Overflowed counts the datagrams that the system dropped before they could be read, since the socket was made; ok is false when nobody knows.
	Overflowed() (n uint64, ok bool)
}

// Receiver is implemented by a UDPConn that its network reads: few goroutines for many sockets. ReadFromUDPAddrPort of such a socket gives nothing.
type Receiver interface {
	// Receive hands each datagram that comes from now on to take, one after the other; what came earlier is dropped. b is take's until it returns, and IPv4 in
	// IPv6 is written as IPv4. take must not block, and must not call Receive or Close of its own socket. nil drops what comes: when Receive returns, the
	// former take does not run and is not called again.
	Receive(take func(b []byte, from netip.AddrPort))
}

// Refusals that need no judgement. They are made once because they may be returned for each packet of a flood.
var (
	errNoPass = &Refusal{Ruling{Ground: GroundUndeclaredAddress, Standing: StandingUnknown, Why: "there is no pass"}}
	errAlien  = &Refusal{Ruling{Ground: GroundUndeclaredAddress, Standing: StandingUnknown, Why: "the pass was minted by another fence"}}
	errPort   = &Refusal{Ruling{Ground: GroundUndeclaredAddress, Standing: StandingUnknown, Why: "the pass names no port"}}
	errEnding = &Refusal{Ruling{Ground: GroundGrant, Standing: StandingUnknown, Why: "the grant is about to end, and its streams were closed"}}
	errRemote = &Refusal{Ruling{Ground: GroundUndeclaredAddress, Standing: StandingUnknown, Why: "the stream leads to another address than the pass"}}
)

// may answers for one write under p; the error is a *Refusal.
func (f *Fence) may(p *Pass) error {
	switch {
	case p == nil:
		f.tell(Ask{}, errNoPass.Ruling)
		return errNoPass
	case p.fence != f:
		f.tell(p.Ask(), errAlien.Ruling)
		return errAlien
	}
	v := p.current(time.Time{})
	if v.ruling.Verdict != Permit {
		f.tell(p.Ask(), v.ruling)
		return v.refusal
	}
	return nil
}

// PacketConn is a fenced UDP socket. Reading is free, writing needs a Pass, so whoever wants to answer a stranger asks Fence.Pass first.
type PacketConn struct {
	fence *Fence
	conn  UDPConn
	local netip.AddrPort
}

// UDP wraps a socket so that it can only be written with a Pass. The caller must not keep c.
func (f *Fence) UDP(c UDPConn) *PacketConn {
	local, _ := addrPort(c.LocalAddr())
	return &PacketConn{fence: f, conn: c, local: local}
}

// Read reads one datagram. from has IPv4 in IPv6 written as IPv4.
func (c *PacketConn) Read(b []byte) (n int, from netip.AddrPort, err error) {
	n, from, err = c.conn.ReadFromUDPAddrPort(b)
	return n, plain(from), err
}

// Receive has the network read the socket, as Receiver says; false when it can't, and Read must be called.
func (c *PacketConn) Receive(take func(b []byte, from netip.AddrPort)) bool {
	r, can := c.conn.(Receiver)
	if can {
		r.Receive(take)
	}
	return can
}

// Write sends b to the address of p. ErrFenced when p is not live.
func (c *PacketConn) Write(b []byte, p *Pass) (int, error) {
	if err := c.fence.may(p); err != nil {
		return 0, err
	}
	if p.addr.Port() == 0 {
		return 0, errPort
	}
	return c.conn.WriteToUDPAddrPort(b, p.addr)
}

// ReadError passes on the queued ICMP errors of the socket, if it can report any.
func (c *PacketConn) ReadError() (to netip.AddrPort, err error, ok bool) {
	q, can := c.conn.(ErrQueue)
	if !can {
		return netip.AddrPort{}, nil, false
	}
	to, err, ok = q.ReadError()
	return plain(to), err, ok
}

// Widen asks for room for that many bytes of datagrams that wait to be read; a socket that has no such room is left as it is.
func (c *PacketConn) Widen(bytes int) error {
	if b, can := c.conn.(Backlog); can {
		return b.Widen(bytes)
	}
	return nil
}

// Overflowed counts the datagrams that came and found no room; ok is false when the socket does not know.
func (c *PacketConn) Overflowed() (n uint64, ok bool) {
	if b, can := c.conn.(Backlog); can {
		return b.Overflowed()
	}
	return 0, false
}

// LocalAddr is the address of the socket.
func (c *PacketConn) LocalAddr() netip.AddrPort { return c.local }

// SetReadDeadline is that of the socket.
func (c *PacketConn) SetReadDeadline(t time.Time) error { return c.conn.SetReadDeadline(t) }

// Close closes the socket.
func (c *PacketConn) Close() error { return c.conn.Close() }

// addrPort reads the literal address of a socket.
func addrPort(a net.Addr) (netip.AddrPort, bool) {
	switch a := a.(type) {
	case nil:
		return netip.AddrPort{}, false
	case *net.UDPAddr:
		p := plain(a.AddrPort())
		return p, p.IsValid()
	case *net.TCPAddr:
		p := plain(a.AddrPort())
		return p, p.IsValid()
	default:
		p, err := netip.ParseAddrPort(a.String())
		return plain(p), err == nil
	}
}

// Conn wraps an established stream; each Write asks the Pass first. The fence closes the stream as soon as its Pass dies: at a Swap, at the moment
// at which the ruling runs out, and, under a grant, half a second before its end. A stream whose remote address is not that of p is closed at once and refuses every write.
func (f *Fence) Conn(c net.Conn, p *Pass) net.Conn {
	w := &conn{Conn: c, fence: f, pass: p}
	if p != nil && p.fence == f && !p.leadsTo(c.RemoteAddr()) {
		w.refusal = errRemote
	}
	f.streams.Lock()
	f.streams.open[w] = struct{}{}
	f.streams.Unlock()
	w.check(time.Now())
	return w
}

// leadsTo says whether a is the address of the pass; a pass without a port opens every port of its address.
func (p *Pass) leadsTo(a net.Addr) bool {
	to, ok := addrPort(a)
	return ok && to.Addr() == p.addr.Addr() && (p.addr.Port() == 0 || to.Port() == p.addr.Port())
}

// conn is a fenced stream.
type conn struct {
	net.Conn
	fence   *Fence
	pass    *Pass
	refusal *Refusal    // of a stream that never was lawful
	ending  atomic.Bool // closed for the end of its grant

	expiry struct {
		sync.Mutex
		timer  *time.Timer
		closed bool
	}
}

// Write sends b if the pass still lives; otherwise it closes the stream and returns ErrFenced.
func (c *conn) Write(b []byte) (int, error) {
	if err := c.may(); err != nil {
		c.Close()
		return 0, err
	}
	return c.Conn.Write(b)
}

func (c *conn) may() error {
	if c.refusal != nil {
		c.fence.tell(c.pass.Ask(), c.refusal.Ruling)
		return c.refusal
	}
	if c.ending.Load() {
		return errEnding
	}
	return c.fence.may(c.pass)
}

// arm looks at the pass again when its ruling runs out.
func (c *conn) arm(now, until time.Time) {
	c.expiry.Lock()
	defer c.expiry.Unlock()
	if c.expiry.timer != nil {
		c.expiry.timer.Stop()
		c.expiry.timer = nil
	}
	if !c.expiry.closed && !until.IsZero() {
		c.expiry.timer = time.AfterFunc(until.Sub(now), func() { c.check(time.Now()) })
	}
}

// farewell is how long before the end of a grant or a leave its streams are closed: the last segments of a connection (FIN, and the answer to the peer's) are
// datagrams too, and must leave while the grant is live.
const farewell = 500 * time.Millisecond

// check closes the stream if its pass is dead or its grant is about to end, and else looks again when that is so.
func (c *conn) check(now time.Time) {
	if c.refusal != nil || c.pass == nil || c.pass.fence != c.fence || !c.pass.Live(now) {
		c.Close()
		return
	}
	r := c.pass.Ruling()
	last := r.Until
	if r.Ground == GroundGrant || r.Ground == GroundRunning {
		last = last.Add(-farewell)
		if !now.Before(last) {
			c.ending.Store(true)
			c.Close()
			return
		}
	}
	c.arm(now, last)
}

// Close closes the stream and leaves the fence's list.
func (c *conn) Close() error {
	c.expiry.Lock()
	c.expiry.closed = true
	if c.expiry.timer != nil {
		c.expiry.timer.Stop()
		c.expiry.timer = nil
	}
	c.expiry.Unlock()
	c.fence.streams.Lock()
	delete(c.fence.streams.open, c)
	c.fence.streams.Unlock()
	return c.Conn.Close()
}

// While is ctx for as long as p opens: the system repeats a SYN until a dial is given up, and none may leave behind a strike. It looks again once the swaps are listened to,
// so that none falls between. end frees what it holds.
func (f *Fence) While(ctx context.Context, p *Pass) (_ context.Context, end func()) {
	ctx, cancel := context.WithCancel(ctx)
	look := func(*Snapshot) {
		if !p.Live(time.Time{}) {
			cancel()
		}
	}
	stop := f.OnSwap(look)
	look(nil)
	over := func() {}
	if until := p.Ruling().Until; !until.IsZero() {
		ctx, over = context.WithDeadline(ctx, until)
	}
	return ctx, func() { over(); stop(); cancel() }
}

// Dialer fences a dial function for infrastructure (DNS servers, webhooks, key services): it takes literal addresses only, because a name could lead
// anywhere, judges each for the party on the plane, and wraps what dial gives back.
func (f *Fence) Dialer(party string, plane Plane, dial func(ctx context.Context, network, addr string) (net.Conn, error)) func(ctx context.Context, network, addr string) (net.Conn, error) {
	return func(ctx context.Context, network, addr string) (net.Conn, error) {
		to, err := netip.ParseAddrPort(addr)
		if err != nil {
			return nil, fmt.Errorf("%w: dial %q: only literal addresses may be dialled, resolve the name first", ErrFenced, addr)
		}
		p, r := f.Pass(Ask{Party: party, Plane: plane, Addr: to})
		if p == nil {
			return nil, &Refusal{r}
		}
		ctx, end := f.While(ctx, p)
		defer end()
		c, err := dial(ctx, network, p.Addr().String())
		if err != nil && !p.Live(time.Time{}) {
			return nil, &Refusal{p.Ruling()}
		}
		if err != nil {
			return nil, fmt.Errorf("sovereign: dial %s: %w", p.Addr(), err)
		}
		return f.Conn(c, p), nil
	}
}
