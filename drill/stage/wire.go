package stage

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"sync"

	"github.com/cordonsip/cordon/sovereign"
)

// Net is the network that a sandbox stands in: real sockets or a virtual network. It is that of the node and of the stand-ins alike.
type Net interface {
	ListenUDP(addr netip.AddrPort) (sovereign.UDPConn, error)
	ListenTCP(addr netip.AddrPort) (net.Listener, error)
	DialTCP(ctx context.Context, local netip.Addr, to netip.AddrPort) (net.Conn, error)
}

// ErrOutside is what a sandbox gets that reaches for an address which is none of its own.
var ErrOutside = errors.New("no address of the sandbox")

// Wire is the network of one side of a sandbox, with a wall: what is not on the ground of the sandbox is neither bound nor sent to, whatever the configuration, a name
// server or a peer says. It counts what leaves, by party. Safe for concurrent use.
type Wire struct {
	under  Net
	ground netip.Prefix
	own    netip.Addr // of the machine: what is bound to every address, or to none, is bound to it

	mu      sync.Mutex
	owner   map[netip.Addr]string // party of a stand-in
	sent    map[string]uint64     // by party
	outside int
	last    netip.AddrPort // refused
}

func newWire(under Net, ground netip.Prefix, own netip.Addr, owner map[netip.Addr]string) *Wire {
	return &Wire{under: under, ground: ground, own: own, owner: owner, sent: map[string]uint64{}}
}

// Outside is how often something reached for an address outside, and for which one last. None of it left.
func (w *Wire) Outside() (times int, last netip.AddrPort) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.outside, w.last
}

// Count is how many datagrams, and writes into streams, left for a party. What is nobody's stand-in gets none, whatever its name.
func (w *Wire) Count(party string) uint64 {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.sent[party]
}

// Party names whose stand-in an address is; "" for one of nobody's.
func (w *Wire) Party(a netip.Addr) string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.owner[a.Unmap()]
}

// Parties are those that have a stand-in, sorted.
func (w *Wire) Parties() (out []string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, p := range w.owner {
		if !slices.Contains(out, p) {
			out = append(out, p)
		}
	}
	slices.SortFunc(out, cmp.Compare[string])
	return out
}

// may says whether something may leave for an address, and counts it.
func (w *Wire) may(to netip.AddrPort) error {
	a := to.Addr().Unmap()
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.ground.Contains(a) {
		w.outside, w.last = w.outside+1, to
		return fmt.Errorf("stage: %s is %w, %s", to, ErrOutside, w.ground)
	}
	if party := w.owner[a]; party != "" {
		w.sent[party]++
	}
	return nil
}

// local gives the address to bind for the one that was asked for.
func (w *Wire) local(at netip.AddrPort) (netip.AddrPort, error) {
	a := at.Addr().Unmap()
	if !a.IsValid() || a.IsUnspecified() {
		a = w.own
	}
	if !w.ground.Contains(a) {
		return at, fmt.Errorf("stage: bind %s: %w, %s", at, ErrOutside, w.ground)
	}
	return netip.AddrPortFrom(a, at.Port()), nil
}

// ListenUDP binds a socket on the ground. Every address, or none, is that of the machine.
func (w *Wire) ListenUDP(at netip.AddrPort) (sovereign.UDPConn, error) {
	at, err := w.local(at)
	if err != nil {
		return nil, err
	}
	c, err := w.under.ListenUDP(at)
	if err != nil {
		return nil, err
	}
	s := &socket{c, w}
	if r, ok := c.(sovereign.Receiver); ok {
		return &received{s, r}, nil
	}
	return s, nil
}

// ListenTCP binds a listener on the ground.
func (w *Wire) ListenTCP(at netip.AddrPort) (net.Listener, error) {
	at, err := w.local(at)
	if err != nil {
		return nil, err
	}
	l, err := w.under.ListenTCP(at)
	if err != nil {
		return nil, err
	}
	return &listener{l, w}, nil
}

// DialTCP opens a stream to an address on the ground.
func (w *Wire) DialTCP(ctx context.Context, local netip.Addr, to netip.AddrPort) (net.Conn, error) {
	if err := w.may(to); err != nil {
		return nil, err
	}
	at, err := w.local(netip.AddrPortFrom(local, 0))
	if err != nil {
		return nil, err
	}
	c, err := w.under.DialTCP(ctx, at.Addr(), to)
	if err != nil {
		return nil, err
	}
	return &conn{c, w, to}, nil
}

// socket is a UDP socket with the wall around it.
type socket struct {
	sovereign.UDPConn
	w *Wire
}

func (s *socket) WriteToUDPAddrPort(b []byte, to netip.AddrPort) (int, error) {
	if err := s.w.may(to); err != nil {
		return 0, err
	}
	return s.UDPConn.WriteToUDPAddrPort(b, to)
}

// ReadError hands on what the socket below learnt of earlier datagrams.
func (s *socket) ReadError() (netip.AddrPort, error, bool) {
	if q, ok := s.UDPConn.(sovereign.ErrQueue); ok {
		return q.ReadError()
	}
	return netip.AddrPort{}, nil, false
}

// received is a socket that its network reads.
type received struct {
	*socket
	sovereign.Receiver
}

type listener struct {
	net.Listener
	w *Wire
}

// Accept takes a stream, if it comes from the ground.
func (l *listener) Accept() (net.Conn, error) {
	for {
		c, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		from, err := netip.ParseAddrPort(c.RemoteAddr().String())
		if err == nil && l.w.ground.Contains(from.Addr().Unmap()) {
			return &conn{c, l.w, from}, nil
		}
		c.Close()
	}
}

// conn is a stream whose writes are counted.
type conn struct {
	net.Conn
	w  *Wire
	to netip.AddrPort
}

func (c *conn) Write(b []byte) (int, error) {
	if err := c.w.may(c.to); err != nil {
		return 0, err
	}
	return c.Conn.Write(b)
}
