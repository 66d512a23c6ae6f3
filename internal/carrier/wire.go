package carrier

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"time"

	"github.com/cordonsip/cordon/sovereign"
)

// path is where a message goes: a datagram to an address, or a stream.
type path struct {
	to   netip.AddrPort
	s    *stream // nil for UDP
	name string  // expected with TLS when the stream must be dialled again
}

// stream is one TCP or TLS connection. Reader and writer are goroutines of their own, so that no one waits for a socket under mu.
type stream struct {
	conn   net.Conn
	peer   netip.AddrPort
	name   string // of the server, on streams that we dialled
	dialed bool
	out    chan []byte
	gone   bool // under mu
}

// bind opens the SIP socket at p.addr. Under mu, or before the peer is shared.
func (p *Peer) bind() (err error) {
	if p.cfg.Proto == "udp" {
		if p.udp, err = p.cfg.Net.ListenUDP(p.addr); err != nil {
			return fmt.Errorf("carrier: bind SIP socket: %w", err)
		}
		p.addr = p.udp.LocalAddr().(*net.UDPAddr).AddrPort()
	} else {
		if p.listener, err = p.cfg.Net.ListenTCP(p.addr); err != nil {
			return fmt.Errorf("carrier: bind SIP listener: %w", err)
		}
		p.addr = p.listener.Addr().(*net.TCPAddr).AddrPort()
	}
	p.addr = netip.AddrPortFrom(p.addr.Addr().Unmap(), p.addr.Port())
	return nil
}

// serve starts the goroutine of the socket. Under mu.
func (p *Peer) serve() {
	if u := p.udp; u != nil {
		p.wg.Go(func() { p.readUDP(u) })
	}
	if l := p.listener; l != nil {
		p.wg.Go(func() { p.accept(l) })
	}
}

// die closes every socket and ends every call without a word. Under mu.
func (p *Peer) die() {
	if p.udp != nil {
		_ = p.udp.Close()
		p.udp = nil
	}
	if p.listener != nil {
		_ = p.listener.Close()
		p.listener = nil
	}
	for _, c := range p.calls {
		c.end("closed")
	}
	for _, t := range p.clients {
		t.fail()
	}
	for s := range p.streams {
		p.drop(s)
	}
	clear(p.clients)
	clear(p.servers)
}

func (p *Peer) readUDP(u sovereign.UDPConn) {
	b := make([]byte, 65535)
	for {
		n, from, err := u.ReadFromUDPAddrPort(b)
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			continue // an ICMP error of something we sent
		}
		p.mu.Lock()
		from = netip.AddrPortFrom(from.Addr().Unmap(), from.Port())
		if p.udp == u && len(bytes.TrimSpace(b[:n])) > 0 {
			if p.lose() {
				p.stats.Dropped++
			} else if m, _, err := parse(b[:n], false); err != nil {
				p.fault("datagram from %v: %v", from, err)
			} else {
				p.receive(path{to: from}, m, bytes.Clone(b[:n]))
			}
		}
		p.mu.Unlock()
	}
}

func (p *Peer) accept(l net.Listener) {
	for {
		c, err := l.Accept()
		if err != nil {
			return
		}
		if p.cfg.Proto == "tls" {
			c = tls.Server(c, p.cfg.TLS)
		}
		p.mu.Lock()
		if p.listener == l {
			p.adopt(c, "", false)
		} else {
			_ = c.Close()
		}
		p.mu.Unlock()
	}
}

// adopt starts the goroutines of a connection. Under mu.
func (p *Peer) adopt(c net.Conn, name string, dialed bool) *stream {
	a := c.RemoteAddr().(*net.TCPAddr).AddrPort()
	s := &stream{conn: c, peer: netip.AddrPortFrom(a.Addr().Unmap(), a.Port()), name: name, dialed: dialed, out: make(chan []byte, 512)}
	p.streams[s] = true
	p.wg.Go(func() {
		// The handshake comes first and alone: reader and writer would otherwise wait for each other inside the connection.
		if t, ok := c.(*tls.Conn); ok {
			ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
			defer cancel()
			if err := t.HandshakeContext(ctx); err != nil {
				p.lost(s)
				return
			}
		}
		p.wg.Go(func() {
			for b := range s.out {
				if _, err := c.Write(b); err != nil {
					p.lost(s)
				}
			}
		})
		p.readStream(s)
	})
	return s
}

func (p *Peer) lost(s *stream) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.drop(s)
}

// drop ends a stream. Under mu.
func (p *Peer) drop(s *stream) {
	if s.gone {
		return
	}
	s.gone = true
	delete(p.streams, s)
	close(s.out)
	for _, t := range p.clients { // RFC 3261 section 17.1.4: a transport error ends them
		if t.to.s == s {
			t.fail()
		}
	}
	if t, ok := s.conn.(*tls.Conn); ok {
		_ = t.NetConn().Close() // no close_notify: it could wait for a writer, and nobody may wait here
		return
	}
	_ = s.conn.Close()
}

func (p *Peer) readStream(s *stream) {
	defer p.lost(s)
	var buf []byte
	b := make([]byte, 16<<10)
	for {
		n, err := s.conn.Read(b)
		if err != nil {
			return
		}
		buf = append(buf, b[:n]...)
		for len(buf) > 0 {
			if bytes.HasPrefix(buf, []byte("\r\n\r\n")) { // RFC 5626 section 4.4.1: ping and pong
				buf = buf[4:]
				p.mu.Lock()
				p.send(path{s: s}, []byte("\r\n"))
				p.mu.Unlock()
				continue
			}
			if bytes.HasPrefix(buf, []byte("\r\n")) {
				buf = buf[2:]
				continue
			}
			m, size, err := parse(buf, true)
			if errors.Is(err, errShort) && len(buf) < maxMessage {
				break
			}
			p.mu.Lock()
			if err != nil {
				p.fault("stream from %v: %v", s.peer, err)
				p.mu.Unlock()
				return
			}
			if !s.gone {
				p.receive(path{to: s.peer, s: s}, m, bytes.Clone(buf[:size]))
			}
			p.mu.Unlock()
			buf = buf[size:]
		}
	}
}

// send writes one message. Under mu; never waits.
func (p *Peer) send(to path, b []byte) {
	bh := p.behaviour.Load()
	if bh.Silent || bh.Dead || p.closed {
		p.unheard++
		return
	}
	if p.cfg.Trace != nil && len(b) > 2 {
		p.cfg.Trace(Message{At: time.Now(), Out: true, Peer: to.to, Data: b})
	}
	switch {
	case to.s != nil && !to.s.gone:
		select {
		case to.s.out <- b:
		default:
			p.drop(to.s) // nobody reads there
		}
	case to.s == nil && p.udp != nil:
		if p.lose() {
			p.stats.Dropped++
		} else {
			_ = write(p.udp, b, to.to)
		}
	}
}

// write sends one datagram. A socket that reports ICMP errors may report an earlier one instead of sending, so it is done twice.
func write(c sovereign.UDPConn, b []byte, to netip.AddrPort) error {
	_, err := c.WriteToUDPAddrPort(b, to)
	if err != nil && !errors.Is(err, net.ErrClosed) {
		_, err = c.WriteToUDPAddrPort(b, to)
	}
	return err
}

// connect waits for Run to begin and finds or dials the stream to an address. Not under mu.
func (p *Peer) connect(ctx context.Context, to netip.AddrPort, name string) (path, error) {
	select {
	case <-p.ready:
	case <-ctx.Done():
		return path{}, fmt.Errorf("carrier: the peer does not run: %w", ctx.Err())
	}
	if p.cfg.Proto == "udp" {
		return path{to: to}, nil
	}
	p.mu.Lock()
	for s := range p.streams {
		if s.dialed && s.peer == to && s.name == name {
			p.mu.Unlock()
			return path{to, s, name}, nil
		}
	}
	p.mu.Unlock()
	c, err := p.cfg.Net.DialTCP(ctx, p.addr.Addr(), to)
	if err != nil {
		return path{}, fmt.Errorf("carrier: dial %v: %w", to, err)
	}
	if p.cfg.Proto == "tls" {
		cfg := p.cfg.TLS.Clone()
		if name != "" {
			cfg.ServerName = name
		}
		t := tls.Client(c, cfg)
		if err := t.HandshakeContext(ctx); err != nil {
			_ = c.Close()
			return path{}, fmt.Errorf("carrier: TLS handshake with %v: %w", to, err)
		}
		c = t
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed || !p.running || p.behaviour.Load().Dead {
		_ = c.Close()
		return path{}, errors.New("carrier: the peer does not run")
	}
	return path{to, p.adopt(c, name, true), name}, nil
}

// receive takes one message. Under mu.
func (p *Peer) receive(from path, m *message, raw []byte) {
	bh := p.behaviour.Load()
	if p.cfg.Trace != nil {
		p.cfg.Trace(Message{At: time.Now(), Peer: from.to, Data: raw})
	}
	for _, x := range p.cfg.ForbiddenBytes {
		if len(x) > 0 && bytes.Contains(raw, x) {
			p.fault("leak: %q seen in a message from %v: %q", x, from.to, firstLine(raw))
		}
	}
	if bh.Silent || bh.Dead {
		p.unheard++
		p.stats.Dropped++
		return
	}
	if m.status != 0 {
		p.onResponse(m)
		return
	}
	p.onRequest(from, m)
}

func firstLine(b []byte) string {
	l, _, _ := strings.Cut(string(b), "\r\n")
	return l
}
