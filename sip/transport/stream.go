package transport

import (
	"bytes"
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/cordonsip/cordon/sovereign"
)

// maxQueue bounds the bytes that wait for a peer that reads slowly.
const maxQueue = 1 << 20

// conn is one stream connection: one goroutine reads, one writes, and nobody else waits for either.
type conn struct {
	l        *Layer
	proto    Proto
	flow     *flow                   // as it was opened
	acceptor *acceptor               // inbound; nil: we dialled
	guard    atomic.Pointer[guarded] // inbound: the socket and its fence
	ready    chan struct{}
	peer     atomic.Pointer[PeerIdentity]
	pings    pings
	budget   *budget     // inbound
	spoke    atomic.Bool // a whole message came

	chain   []*x509.Certificate // inbound, verified: what the peer showed
	aliases []alias             // guarded by Layer.mu, as the next
	carries map[Key]*flow       // flows of our own that go over this inbound connection
	last    atomic.Int64        // Unix nanoseconds of the last byte in either direction

	mu    sync.Mutex
	nc    net.Conn // once established
	queue [][]byte
	bytes int
	wake  chan struct{}
	over  error // set: end with it as soon as the queue is empty
	err   error // why it ended; nil while it lives
}

func newConn(l *Layer, p Proto, f *flow) *conn {
	return &conn{l: l, proto: p, flow: f, ready: make(chan struct{}), wake: make(chan struct{}, 1)}
}

// enqueue takes a copy of msg; it never blocks.
func (c *conn) enqueue(msg []byte) error {
	c.mu.Lock()
	if c.err != nil || c.over != nil {
		err := cmp.Or(c.err, c.over)
		c.mu.Unlock()
		return wrap(ErrGone, err)
	}
	if c.bytes+len(msg) > maxQueue || !c.budget.spend(len(msg)) {
		c.mu.Unlock()
		c.end(wrap(ErrStalled, nil))
		return wrap(ErrStalled, nil)
	}
	c.queue = append(c.queue, bytes.Clone(msg))
	c.bytes += len(msg)
	c.mu.Unlock()
	c.poke()
	return nil
}

func (c *conn) poke() {
	select {
	case c.wake <- struct{}{}:
	default:
	}
}

func (c *conn) ended() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.err
}

// finish takes nothing more to send; the writer ends when what is queued was written.
func (c *conn) finish(err error) {
	c.mu.Lock()
	c.over = err
	c.mu.Unlock()
	c.poke()
}

// end closes the connection once and tells why.
func (c *conn) end(err error) {
	c.mu.Lock()
	if c.err != nil {
		c.mu.Unlock()
		return
	}
	c.err = err
	c.budget.spend(-c.bytes)
	c.queue, c.bytes = nil, 0
	nc := c.nc
	c.mu.Unlock()
	c.l.mu.Lock()
	if c.l.pool[c.flow.key] == c {
		delete(c.l.pool, c.flow.key)
	}
	carried := c.l.unalias(c)
	stopping := c.l.ctx.Err() != nil
	c.l.mu.Unlock()
	if t, ok := nc.(*tls.Conn); ok && errors.Is(err, ErrStalled) {
		nc = t.NetConn() // a farewell would wait for a peer that does not read
	}
	if nc != nil {
		nc.Close()
	}
	c.poke()
	if !stopping {
		c.l.lost(c.flow, err)
		for _, f := range carried {
			c.l.lost(f, err)
		}
	}
}

// established makes nc the connection. false: it ended meanwhile.
func (c *conn) established(nc net.Conn) bool {
	c.touch()
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err != nil {
		return false
	}
	c.nc = nc
	return true
}

func (c *conn) touch() { c.last.Store(time.Now().UnixNano()) }

// runOutbound dials, shakes hands and serves.
func (c *conn) runOutbound(ctx context.Context) {
	nc, err := c.dial(ctx)
	if err == nil && !c.established(nc) {
		nc.Close()
		err = wrap(ErrGone, nil)
	}
	if err != nil {
		c.end(err)
		close(c.ready)
		return
	}
	close(c.ready)
	c.serve(ctx, nc, "out")
}

// parting is how long before the end of a leave no connection is opened any more: a session that is to end at once has a shorter one from the start.
const parting = time.Second

// opens says whether a connection may be opened on a pass. The last words of a session go to a place that was struck over what stands; nothing is opened for them.
func opens(p *sovereign.Pass) bool {
	if !p.Live(time.Time{}) {
		return false
	}
	r := p.Ruled()
	return r.Ground != sovereign.GroundRunning || time.Until(r.Until) >= parting
}

// dial connects to the pinned address within Connect. The fence is asked right before, so that not even a SYN goes where nothing may go.
func (c *conn) dial(ctx context.Context) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, c.l.c.Connect)
	defer cancel()
	pass := c.flow.pass
	stop := c.l.c.Fence.OnSwap(func(*sovereign.Snapshot) {
		if !opens(pass) {
			cancel()
		}
	})
	defer stop()
	if !opens(pass) { // behind OnSwap: no swap falls between the two
		return nil, fmt.Errorf("transport: dial %s: %w", c.flow.key.Remote, sovereign.ErrFenced)
	}
	// A SYN is repeated by the system for as long as the dial lasts: that must not be longer than the pass.
	if until := pass.Ruling().Until; !until.IsZero() {
		var over context.CancelFunc
		ctx, over = context.WithDeadline(ctx, until)
		defer over()
	}
	raw, err := c.l.c.Dial(ctx, c.flow.bind, c.flow.key.Remote)
	if err != nil {
		if !opens(pass) {
			return nil, fmt.Errorf("transport: dial %s: %w", c.flow.key.Remote, sovereign.ErrFenced)
		}
		if isTimeout(err) || ctx.Err() != nil {
			return nil, wrap(ErrConnectTimeout, err)
		}
		return nil, classify(err, ErrUnreachable)
	}
	nc := c.l.c.Fence.Conn(raw, c.flow.pass)
	if c.proto != TLS {
		return nc, nil
	}
	tc := tls.Client(nc, c.flow.profile.client())
	if err := tc.HandshakeContext(ctx); err != nil {
		nc.Close()
		return nil, handshakeError(ctx, err)
	}
	c.peer.Store(identify(tc.ConnectionState(), true))
	c.saw(tc.ConnectionState().PeerCertificates)
	return tc, nil
}

// saw tells whoever keeps the register of certificates.
func (c *conn) saw(chain []*x509.Certificate) {
	if c.l.c.Seen != nil {
		c.l.c.Seen(c.flow.key.Party, c.flow.key.Remote.Addr(), chain)
	}
}

func handshakeError(ctx context.Context, err error) error {
	switch {
	case errors.Is(err, sovereign.ErrFenced):
		return fmt.Errorf("transport: %w", err)
	case ctx.Err() != nil || isTimeout(err):
		return wrap(ErrConnectTimeout, err)
	}
	return wrap(ErrTLS, err)
}

// runInbound shakes hands where that is due, and serves.
func (c *conn) runInbound(ctx context.Context, raw net.Conn) {
	defer c.l.leave(c.flow.key.Remote.Addr(), c.flow.key.Party)
	g := guard(raw, c.l.c.Fence, c.flow.pass)
	c.guard.Store(g)
	var nc net.Conn = g
	if c.proto == TLS {
		hctx, cancel := context.WithTimeout(ctx, c.l.c.Within)
		tc := tls.Server(nc, c.acceptor.ln.server())
		err := tc.HandshakeContext(hctx)
		if err != nil {
			err = handshakeError(hctx, err)
			cancel()
			nc.Close()
			c.end(err)
			return
		}
		cancel()
		s := tc.ConnectionState()
		verified := c.acceptor.ln.ClientCAs != nil && len(s.PeerCertificates) > 0
		c.peer.Store(identify(s, verified))
		if verified {
			c.chain = s.PeerCertificates
			c.saw(c.chain)
		}
		nc = tc
	}
	if !c.established(nc) {
		nc.Close()
		return
	}
	close(c.ready)
	c.serve(ctx, nc, "in")
}

// serve reads and writes until the connection ends or ctx does.
func (c *conn) serve(ctx context.Context, nc net.Conn, direction string) {
	gauge := c.l.m.conns.WithLabelValues(string(c.proto), direction)
	gauge.Inc()
	defer gauge.Dec()
	stop := context.AfterFunc(ctx, func() { c.end(wrap(ErrClosed, nil)) })
	defer stop()
	written := make(chan struct{})
	go func() {
		defer close(written)
		if err := c.write(nc); !errors.Is(err, errFraming) {
			c.end(err)
		}
	}()
	err := c.read(nc)
	if errors.Is(err, errFraming) {
		// Closing with unread bytes would reset the connection and take the answer with it.
		<-written
		nc.SetReadDeadline(time.Now().Add(linger))
		io.Copy(io.Discard, nc)
	}
	c.end(err)
	<-written
}

// readError names what ended a read. With TLS 1.3 a server refuses our certificate after the handshake: its alert is then the first thing that is read.
func readError(err error) error {
	var op *net.OpError
	switch {
	case errors.As(err, &op) && op.Op == "remote error":
		return wrap(ErrTLS, err)
	case errors.Is(err, syscall.ECONNREFUSED):
		return wrap(ErrRefused, err)
	}
	return wrap(ErrGone, err)
}

// linger is how long a connection whose framing was lost is still read, so that its last answer arrives.
const linger = 500 * time.Millisecond

// write sends what is queued, in order, until the connection ends. A peer that takes nothing for the write deadline is given up.
func (c *conn) write(nc net.Conn) error {
	ping, pong := newStopped(), newStopped()
	defer ping.Stop()
	defer pong.Stop()
	every := c.every()
	if c.l.c.Keep != nil && c.acceptor == nil {
		ping.Reset(pause(every))
	}
	for {
		var batch [][]byte
		c.mu.Lock()
		batch, c.queue = c.queue, nil
		err := c.err
		if len(batch) == 0 {
			err = cmp.Or(err, c.over)
		}
		c.mu.Unlock()
		if err != nil {
			return err
		}
		for _, msg := range batch {
			if err := c.writeOne(nc, msg); err != nil {
				return err
			}
			c.mu.Lock()
			if c.err == nil { // else end gave it back
				c.bytes -= len(msg)
				c.budget.spend(-len(msg))
			}
			c.mu.Unlock()
		}
		if len(batch) > 0 {
			continue
		}
		select {
		case <-c.wake:
			if now := c.every(); now != every { // the peer asked for more pings
				every = now
				ping.Reset(max(pause(every), pongWithin))
			}
		case <-ping.C:
			if c.l.c.Keep(Flow{c.flow}) != KeepOff {
				c.ping()
				pong.Reset(pongWithin)
			}
			ping.Reset(max(pause(every), pongWithin))
		case <-pong.C:
			if err := c.ponged(c.l.c.Keep(Flow{c.flow})); err != nil {
				return err
			}
		}
	}
}

func newStopped() *time.Timer {
	t := time.NewTimer(time.Hour)
	t.Stop()
	return t
}

func (c *conn) writeOne(nc net.Conn, msg []byte) error {
	nc.SetWriteDeadline(time.Now().Add(c.l.c.Write))
	if _, err := nc.Write(msg); err != nil {
		if isTimeout(err) {
			return wrap(ErrStalled, err)
		}
		return classify(err, ErrGone)
	}
	c.touch()
	if len(msg) > 4 { // not a keepalive
		c.l.tap(true, c.flow, time.Now(), "", msg)
	}
	return nil
}

// read frames what comes in. Between messages the idle time counts; a message that began must be complete within its time, however slowly it drips.
func (c *conn) read(nc net.Conn) error {
	s := &inStream{c: c, r: newReader()}
	defer s.release()
	opened := time.Now()
	for {
		until := time.Unix(0, c.last.Load()).Add(c.l.c.Idle)
		if !s.began.IsZero() {
			until = s.began.Add(c.l.c.Within)
		}
		mute := c.acceptor != nil && !c.spoke.Load() // pings alone hold no connection
		if first := opened.Add(c.l.c.First); mute && first.Before(until) {
			until = first
		}
		nc.SetReadDeadline(until)
		into, err := s.space()
		if err != nil {
			return err
		}
		n, err := nc.Read(into)
		if n > 0 {
			c.touch()
			c.pings.heard.Store(time.Now().UnixNano())
			if err := s.took(n); err != nil {
				return err
			}
		}
		switch {
		case err == nil:
		case isTimeout(err) && mute && !time.Now().Before(opened.Add(c.l.c.First)):
			return fmt.Errorf("transport: no message: %w", ErrGone)
		case isTimeout(err) && s.began.IsZero():
			if time.Since(time.Unix(0, c.last.Load())) >= c.l.c.Idle {
				return fmt.Errorf("transport: idle: %w", ErrGone)
			}
		case isTimeout(err):
			return fmt.Errorf("transport: message not complete in time: %w", ErrGone)
		case errors.Is(err, net.ErrClosed) && c.flow.pass != nil && !c.flow.pass.Live(time.Time{}):
			return fmt.Errorf("transport: closed: %s: %w", c.flow.pass.Ruling().Why, sovereign.ErrFenced)
		default:
			return readError(err)
		}
	}
}
