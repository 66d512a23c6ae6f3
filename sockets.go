package cordon

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"time"

	"github.com/cordonsip/cordon/configs"
	"github.com/cordonsip/cordon/internal/osnet"
	"github.com/cordonsip/cordon/sip/transport"
	"github.com/cordonsip/cordon/sovereign"
)

// boundListener is one SIP socket, bound in New so that its address is known before Start.
type boundListener struct {
	part   configs.ListenerPart
	addr   netip.AddrPort
	udp    *sovereign.PacketConn
	stream net.Listener
}

func (b boundListener) close() {
	if b.udp != nil {
		b.udp.Close()
	}
	if b.stream != nil {
		b.stream.Close()
	}
}

// bind opens every SIP socket behind the fence.
func (n *Node) bind(context.Context) error {
	parts := n.opts.Config.Listeners
	var err error
	if n.certs, err = newCertKeeper(n); err != nil {
		return err
	}
	for _, p := range parts {
		b := boundListener{part: p}
		switch p.Transport {
		case "udp":
			c, err := n.opts.Net.ListenUDP(p.Address)
			if err != nil {
				return fmt.Errorf("listen udp %s: %w", p.Address, err)
			}
			b.udp = n.fence.UDP(c)
			b.addr = b.udp.LocalAddr()
		default:
			l, err := n.opts.Net.ListenTCP(p.Address)
			if err != nil {
				return fmt.Errorf("listen %s %s: %w", p.Transport, p.Address, err)
			}
			b.stream = l
			b.addr = addrOf(l.Addr())
		}
		n.listeners = append(n.listeners, b)
	}
	return nil
}

// listenMedia binds a socket for media, and marks what it sends.
func (n *Node) listenMedia(at netip.AddrPort) (sovereign.UDPConn, error) {
	c, err := n.mediaSocket(at)
	if err == nil {
		n.mark(c)
	}
	return c, err
}

// listenTone is listenMedia for an endpoint of our own, whose sockets nobody but the runtime reads.
func (n *Node) listenTone(at netip.AddrPort) (sovereign.UDPConn, error) {
	c, err := n.opts.Net.ListenUDP(at)
	if err == nil {
		n.mark(c)
	}
	return c, err
}

// mark gives what a media socket sends its code point. A system that refuses costs no call: unmarked packets arrive, too.
func (n *Node) mark(c sovereign.UDPConn) {
	m, ok := c.(interface{ Mark(dscp int) error })
	dscp := n.opts.Config.Media.DSCP
	if !ok || dscp < 0 {
		return
	}
	if err := m.Mark(dscp); err != nil && n.unmarked.CompareAndSwap(false, true) {
		n.logger.Warn("media leaves without its code point", "dscp", dscp, "error", err)
	}
}

// mediaSocket is one that the data plane reads by itself, where the network has such.
func (n *Node) mediaSocket(at netip.AddrPort) (sovereign.UDPConn, error) {
	type raw interface {
		Socket(at netip.AddrPort, o osnet.SocketOptions) (*osnet.Socket, error)
	}
	if net, ok := n.opts.Net.(raw); ok {
		if s, err := net.Socket(at, osnet.SocketOptions{DSCP: -1}); !errors.Is(err, errors.ErrUnsupported) {
			return s, err
		}
	}
	return n.opts.Net.ListenUDP(at)
}

// mediaSockets is how many sockets media may have open, of the files that the process may have: connections, at their bound, come first, and an eighth is for
// everything else, first of all for the log, which must never find that there is none left. Media gets half in any case.
func (n *Node) mediaSockets() int {
	limited, ok := n.opts.Net.(interface{ Descriptors() int })
	if !ok {
		return 0
	}
	files := limited.Descriptors()
	return max(files-files/8-maxConns(n.opts.Config), files/2)
}

// maxConns bounds the connections that others may have to us.
func maxConns(c *configs.Config) int { return cmp.Or(c.Guard.Conns, 4096) }

// sipListeners is what the SIP transport gets.
func (n *Node) sipListeners() []transport.Listener {
	out := make([]transport.Listener, len(n.listeners))
	for i, b := range n.listeners {
		l := transport.Listener{Proto: transport.Proto(b.part.Transport), UDP: b.udp, Stream: b.stream, Advertise: b.part.Advertise}
		if b.part.Transport == "tls" {
			l.TLS = &transport.TLSProfile{Name: "listener", MinVersion: tls.VersionTLS12, Cert: n.certs.of(fmt.Sprintf("listeners[%d]", i))}
			if b.part.ClientCAs != nil {
				l.ClientCAs = n.certs.trusted(fmt.Sprintf("listeners[%d].client_ca_file", i))
			}
		}
		out[i] = l
	}
	return out
}

func addrOf(a net.Addr) netip.AddrPort {
	ap, err := netip.ParseAddrPort(a.String())
	if err != nil {
		return netip.AddrPort{}
	}
	return netip.AddrPortFrom(ap.Addr().Unmap(), ap.Port())
}

// dialInfrastructure dials a literal address that is no call: a webhook, DNS over TCP. It is the dial function under Fence.Dialer.
func (n *Node) dialInfrastructure(ctx context.Context, network, addr string) (net.Conn, error) {
	to, err := netip.ParseAddrPort(addr)
	if err != nil {
		return nil, fmt.Errorf("cordon: dial: %w", err)
	}
	if network == "udp" {
		return nil, errors.New("cordon: dial: udp goes through dialDNS")
	}
	return n.opts.Net.DialTCP(ctx, netip.Addr{}, to)
}

// dialDNS gives a connection to a name server: a fenced socket of its own for each query, from a port that the system chooses.
func (n *Node) dialDNS(ctx context.Context, network string, server netip.AddrPort) (net.Conn, error) {
	if network != "tcp" {
		return n.dialDatagram(ctx, server, "name server")
	}
	return n.dialStream(ctx, server, "name server")
}

// dialStream opens a fenced connection to one address that is no call's.
func (n *Node) dialStream(ctx context.Context, server netip.AddrPort, what string) (net.Conn, error) {
	c, err := n.fence.Dialer("", sovereign.Infrastructure, n.dialInfrastructure)(ctx, "tcp", server.String())
	if err != nil {
		return nil, fmt.Errorf("cordon: %s: %w", what, err)
	}
	return c, nil
}

// infrastructure asks the fence for an address that is no call's.
func (n *Node) infrastructure(to netip.AddrPort, what string) (*sovereign.Pass, error) {
	pass, ruling := n.fence.Pass(sovereign.Ask{Plane: sovereign.Infrastructure, Addr: to})
	if pass == nil {
		return nil, fmt.Errorf("cordon: %s %s: %w: %s", what, to, sovereign.ErrFenced, ruling.Why)
	}
	return pass, nil
}

// dialDatagram opens a fenced socket of its own to one address that is no call's.
func (n *Node) dialDatagram(_ context.Context, server netip.AddrPort, what string) (net.Conn, error) {
	pass, err := n.infrastructure(server, what)
	if err != nil {
		return nil, err
	}
	local := netip.IPv4Unspecified()
	if server.Addr().Is6() {
		local = netip.IPv6Unspecified()
	}
	c, err := n.opts.Net.ListenUDP(netip.AddrPortFrom(local, 0))
	if err != nil {
		return nil, err
	}
	return &udpPeer{conn: n.fence.UDP(c), pass: pass, peer: server}, nil
}

// udpPeer is a fenced UDP socket that talks to one peer, as a net.Conn. Datagrams of others are dropped.
type udpPeer struct {
	conn *sovereign.PacketConn
	pass *sovereign.Pass
	peer netip.AddrPort
	once sync.Once
}

func (u *udpPeer) Read(b []byte) (int, error) {
	for {
		n, from, err := u.conn.Read(b)
		if err != nil {
			return 0, err
		}
		if netip.AddrPortFrom(from.Addr().Unmap(), from.Port()) == u.peer {
			return n, nil
		}
	}
}

func (u *udpPeer) Write(b []byte) (int, error) { return u.conn.Write(b, u.pass) }

func (u *udpPeer) Close() error {
	var err error
	u.once.Do(func() { err = u.conn.Close() })
	return err
}

func (u *udpPeer) LocalAddr() net.Addr                { return net.UDPAddrFromAddrPort(u.conn.LocalAddr()) }
func (u *udpPeer) RemoteAddr() net.Addr               { return net.UDPAddrFromAddrPort(u.peer) }
func (u *udpPeer) SetDeadline(t time.Time) error      { return u.conn.SetReadDeadline(t) }
func (u *udpPeer) SetReadDeadline(t time.Time) error  { return u.conn.SetReadDeadline(t) }
func (u *udpPeer) SetWriteDeadline(t time.Time) error { return nil }
