package transport

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/emiago/sipgo/sip"

	"github.com/cordonsip/cordon/sovereign"
)

// Layer is the transport. Safe for concurrent use.
type Layer struct {
	c      Config
	log    *slog.Logger
	m      *metrics
	secret [32]byte // keys the To-tags of stateless answers
	socks  []*udpSocket
	accept []*acceptor
	ours   map[netip.AddrPort]bool // what a response's top Via must name

	mu      sync.Mutex
	ctx     context.Context // of Run; nil before it
	over    bool
	wg      sync.WaitGroup
	pool    map[Key]*conn // outbound streams
	inbound map[netip.Addr]*budget
	byParty map[string]int // inbound streams
	aliases map[alias]*conn
	total   int
	next    uint64 // number of the last inbound stream
}

// New checks c and starts nothing.
func New(c Config) (*Layer, error) {
	if c.Fence == nil || c.Screen == nil || c.Handler == nil {
		return nil, errors.New("transport: a fence, a screen and a handler are needed")
	}
	c.defaults()
	l := &Layer{c: c, log: c.Logger, ours: map[netip.AddrPort]bool{}, pool: map[Key]*conn{}, inbound: map[netip.Addr]*budget{}, byParty: map[string]int{}, aliases: map[alias]*conn{}}
	if l.log == nil {
		l.log = slog.New(slog.DiscardHandler)
	}
	rand.Read(l.secret[:])
	for i, ln := range c.Listeners {
		if err := l.listener(ln); err != nil {
			return nil, fmt.Errorf("transport: listener %d: %w", i+1, err)
		}
	}
	var err error
	l.m, err = newMetrics(c.Metrics)
	return l, err
}

func (c *Config) defaults() {
	durations := []struct {
		d   *time.Duration
		def time.Duration
	}{
		{&c.Connect, time.Second},
		{&c.Idle, 5 * time.Minute},
		{&c.Within, 10 * time.Second},
		{&c.Write, 5 * time.Second},
		{&c.Every, 25 * time.Second},
		{&c.First, time.Minute},
	}
	for _, d := range durations {
		if *d.d <= 0 {
			*d.d = d.def
		}
	}
	numbers := []struct {
		n   *int
		def int
	}{{&c.MaxBody, 64 << 10}, {&c.MaxConns, 64}, {&c.MaxTotal, 4096}, {&c.MaxBuffered, 8 << 20}}
	for _, n := range numbers {
		if *n.n <= 0 {
			*n.n = n.def
		}
	}
}

func (l *Layer) listener(ln Listener) error {
	var bound netip.AddrPort
	switch {
	case ln.Proto == UDP && ln.UDP != nil:
		bound = plain(ln.UDP.LocalAddr())
	case (ln.Proto == TCP || ln.Proto == TLS) && ln.Stream != nil:
		var err error
		if bound, err = addrPort(ln.Stream.Addr()); err != nil {
			return err
		}
	default:
		return fmt.Errorf("protocol %q without its socket", ln.Proto)
	}
	local := ln.Advertise
	if !local.IsValid() {
		local = bound
	}
	if local.Addr().IsUnspecified() || local.Port() == 0 {
		return fmt.Errorf("%s is bound to every address: bind a concrete one or say what to advertise", bound)
	}
	if ln.Proto == TLS && (ln.TLS == nil || ln.TLS.Cert == nil) {
		return errors.New("TLS without a certificate")
	}
	l.ours[local] = true
	if ln.Proto == UDP {
		if err := ln.UDP.Widen(backlog); err != nil {
			l.log.Warn("the queue of a socket could not be widened: a burst of calls may be lost", "local", bound, "err", err)
		}
		l.socks = append(l.socks, &udpSocket{l: l, pc: ln.UDP, bound: bound, local: local, replies: newReplies()})
		return nil
	}
	l.accept = append(l.accept, &acceptor{l: l, ln: ln, bound: bound, local: local})
	return nil
}

func addrPort(a net.Addr) (netip.AddrPort, error) {
	if t, ok := a.(*net.TCPAddr); ok {
		return plain(t.AddrPort()), nil
	}
	p, err := netip.ParseAddrPort(a.String())
	if err != nil {
		return p, fmt.Errorf("no address and port in %q: %w", a, err)
	}
	return plain(p), nil
}

// Run serves until ctx ends, then closes every connection. It runs once.
func (l *Layer) Run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	l.mu.Lock()
	if l.ctx != nil {
		l.mu.Unlock()
		return errors.New("transport: already ran")
	}
	l.ctx = ctx
	l.mu.Unlock()
	failed := make(chan error, len(l.socks)+len(l.accept))
	for _, s := range l.socks {
		l.wg.Go(func() { failed <- s.run(ctx) })
		if _, ok := s.pc.Overflowed(); ok {
			l.wg.Go(func() { s.overflows(ctx) })
		}
	}
	for _, a := range l.accept {
		l.wg.Go(func() { failed <- a.run(ctx) })
	}
	var err error
	select {
	case <-ctx.Done():
	case err = <-failed: // a socket that was closed under us ends the layer
		cancel()
	}
	l.mu.Lock()
	l.over = true // no goroutine starts any more: see open
	l.mu.Unlock()
	l.wg.Wait()
	return err
}

// Flow gives the flow to d, without I/O. A stream is dialled by the first Send, or by Warm.
func (l *Layer) Flow(d Dest) (Flow, error) {
	to := plain(d.Addr)
	if d.Pass == nil || !to.IsValid() || to.Port() == 0 || d.Pass.Addr() != to {
		return Flow{}, fmt.Errorf("transport: flow to %s: the pass is for %s: %w", to, d.Pass.Addr(), sovereign.ErrFenced)
	}
	f := &flow{l: l, key: Key{Proto: d.Proto, Remote: to}, pass: d.Pass}
	switch d.Proto {
	case UDP:
		if f.sock = l.sockFor(d.Local, to); f.sock == nil {
			return Flow{}, fmt.Errorf("transport: flow to %s: no UDP listener of its family", to)
		}
		f.key.Local = f.sock.local
		return Flow{f}, nil
	case TLS:
		if d.Profile == nil || d.Profile.ServerName == "" && len(d.Profile.Peers) == 0 {
			return Flow{}, fmt.Errorf("transport: flow to %s: TLS needs a profile with a name to verify", to)
		}
		f.profile, f.key.Profile = d.Profile, d.Profile.Name
	case TCP:
	default:
		return Flow{}, fmt.Errorf("transport: flow to %s: unknown protocol %q", to, d.Proto)
	}
	if l.c.Dial == nil {
		return Flow{}, fmt.Errorf("transport: flow to %s: no way to dial", to)
	}
	f.key.Party, f.key.Emergency = d.Party, d.Pass.Ask().Purpose == sovereign.EmergencyCall
	if a := l.acceptorFor(d.Proto, d.Local, to); a != nil {
		f.key.Local, f.bind = a.local, a.bound.Addr()
	} else if s := l.sockFor(d.Local, to); s != nil {
		f.key.Local, f.bind = s.local, s.bound.Addr() // no listener of this protocol: Via names a port that at least is ours
	} else {
		return Flow{}, fmt.Errorf("transport: flow to %s: no listener of its family", to)
	}
	return Flow{f}, nil
}

// fits grades a listener for a destination: 0 does not fit, more is better.
func fits(bound, local, want, to netip.AddrPort) int {
	switch {
	case want.IsValid() && want != bound && want != local:
		return 0
	case bound.Addr().Is4() != to.Addr().Is4() && !bound.Addr().IsUnspecified():
		return 0
	case bound.Addr().IsLoopback() == to.Addr().IsLoopback():
		return 2
	}
	return 1
}

func (l *Layer) sockFor(want, to netip.AddrPort) (best *udpSocket) {
	grade := 0
	for _, s := range l.socks {
		if g := fits(s.bound, s.local, want, to); g > grade {
			best, grade = s, g
		}
	}
	return best
}

func (l *Layer) acceptorFor(p Proto, want, to netip.AddrPort) (best *acceptor) {
	grade := 0
	for _, a := range l.accept {
		if g := fits(a.bound, a.local, want, to); a.ln.Proto == p && g > grade {
			best, grade = a, g
		}
	}
	return best
}

// Send writes one message. Over UDP it is one datagram and returns at once. Over a stream it queues in order and returns at once; what goes wrong later
// (dial, handshake, reset) comes by Handler.Lost. ErrFenced, wrapped, when the pass died. msg may be used again after the return.
func (l *Layer) Send(f Flow, msg []byte) error {
	if !f.Valid() {
		return fmt.Errorf("transport: send to %s: no pass: %w", f.Remote(), sovereign.ErrFenced)
	}
	if !f.f.pass.Live(time.Time{}) {
		return fmt.Errorf("transport: send to %s: %s: %w", f.Remote(), f.f.pass.Ruling().Why, sovereign.ErrFenced)
	}
	if f.f.sock != nil {
		return f.f.sock.send(f, msg)
	}
	for again := true; ; again = false {
		c, err := l.stream(f)
		if err != nil {
			return err
		}
		err = c.enqueue(msg)
		// A pooled connection may end between the look and the queueing: the next one is dialled then, unless this one was never opened.
		if !errors.Is(err, ErrGone) || errors.Is(err, ErrRefused) || c.acceptor != nil || !again {
			return err
		}
	}
}

// Warm dials the stream of f if there is none and waits for it; probes use it to tell a refused port from silence. Over UDP there is nothing to do.
func (l *Layer) Warm(ctx context.Context, f Flow) error {
	if !f.Valid() || !f.f.pass.Live(time.Time{}) {
		return fmt.Errorf("transport: warm %s: no live pass: %w", f.Remote(), sovereign.ErrFenced)
	}
	if f.f.sock != nil {
		return nil
	}
	c, err := l.stream(f)
	if err != nil {
		return err
	}
	select {
	case <-c.ready:
		return c.ended()
	case <-ctx.Done():
		return wrap(ErrConnectTimeout, ctx.Err())
	}
}

// stream gives the connection of f, and opens it if it is an outbound one that is not there.
func (l *Layer) stream(f Flow) (*conn, error) {
	if f.f.conn != nil {
		// RFC 3261 section 18.2.2 would open a new connection to the Via of a request whose own is gone. That address was judged by nobody.
		return f.f.conn, nil
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if c := l.pool[f.f.key]; c != nil && c.ended() == nil {
		return c, nil
	}
	if c := l.reusable(f.f); c != nil {
		return c, nil
	}
	c := newConn(l, f.f.key.Proto, f.f.own())
	if !l.open(c.runOutbound) {
		return nil, wrap(ErrClosed, nil)
	}
	l.pool[f.f.key] = c
	return c, nil
}

// open starts a goroutine of the layer while it runs; l.mu is held.
func (l *Layer) open(f func(context.Context)) bool {
	if !l.runs() {
		return false
	}
	ctx := l.ctx
	l.wg.Go(func() { f(ctx) })
	return true
}

// runs says whether goroutines may start; l.mu is held.
func (l *Layer) runs() bool { return l.ctx != nil && !l.over && l.ctx.Err() == nil }

// judged gives the way back to a received source, with a pass if the fence permits one.
func (l *Layer) judged(a Admission, from netip.AddrPort, f flow) *flow {
	ask := sovereign.Ask{Party: a.Party, Plane: sovereign.Signalling, Addr: from, Keys: a.Keys, Began: time.Now().UnixNano()}
	if a.Look == ForEmergency {
		ask.Purpose = sovereign.EmergencyCall
	}
	f.pass, _ = l.c.Fence.Pass(ask)
	f.source = sourceOf(from)
	return &f
}

func (l *Layer) generation() uint64 {
	if s := l.c.Fence.Snapshot(); s != nil {
		return s.Generation()
	}
	return 0
}

// deliver hands a message that came at this time to the handler.
func (l *Layer) deliver(msg sip.Message, f *flow, a Admission, from netip.AddrPort, at time.Time) {
	switch m := msg.(type) {
	case *sip.Request:
		source := f.source
		if source.host == "" {
			source = sourceOf(from)
		}
		received(m.Via(), from, source)
	case *sip.Response:
		// RFC 3261 section 18.1.2: a response whose top Via is not one that we insert is discarded.
		if !l.isOurs(m.Via(), f.key.Proto) {
			l.m.dropped.WithLabelValues(string(f.key.Proto), "sent_by").Inc()
			return
		}
	}
	l.c.Handler.Receive(Incoming{Msg: msg, Flow: Flow{f}, Party: a.Party, OnlyEmergency: a.Look == ForEmergency, At: at})
}

func (l *Layer) isOurs(v *sip.ViaHeader, p Proto) bool {
	a, ok := literal(v.Host)
	if !ok {
		return false
	}
	port := v.Port
	if port == 0 {
		port = 5060
		if p == TLS {
			port = 5061
		}
	}
	return l.ours[netip.AddrPortFrom(a, uint16(port))]
}

// literal reads a host that is an address.
func literal(host string) (netip.Addr, bool) {
	if host == "" || !(host[0] == '[' || host[0] >= '0' && host[0] <= '9' || strings.IndexByte(host, ':') >= 0) {
		return netip.Addr{}, false // a name; to find that out by an error costs memory
	}
	a, err := netip.ParseAddr(strings.Trim(host, "[]"))
	return a.Unmap(), err == nil
}

// source is a remote address as a Via names it.
type source struct{ host, port string }

func sourceOf(a netip.AddrPort) source {
	return source{a.Addr().String(), strconv.Itoa(int(a.Port()))}
}

// received notes where a request really came from. RFC 3261 section 18.2.1, RFC 3581 section 4. What the sender wrote there itself is not believed.
func received(v *sip.ViaHeader, from netip.AddrPort, text source) {
	_, rport := v.Params.Get("rport")
	v.Params.Remove("received")
	host, ok := literal(v.Host)
	if rport {
		v.Params.Add("rport", text.port)
	}
	if rport || !ok || host != from.Addr() {
		v.Params.Add("received", text.host)
	}
}

// tap counts a message that crossed the wire at this time, and shows it.
func (l *Layer) tap(out bool, f *flow, at time.Time, callID string, b []byte) {
	l.m.crossing(f.key.Proto, out).Inc()
	if l.c.Tap != nil {
		l.c.Tap(out, Flow{f}, at, callID, b)
	}
}

func (l *Layer) lost(f *flow, err error) {
	l.m.lost.WithLabelValues(string(f.key.Proto), cause(err)).Inc()
	l.log.Debug("flow lost", "proto", string(f.key.Proto), "remote", f.key.Remote, "err", err)
	l.c.Handler.Lost(Flow{f}, err)
}

// refuse answers a malformed request through send when it can be answered and its source may be.
func (l *Layer) refuse(h *head, fault *Fault, f *flow, a Admission, send func([]byte) error) {
	proto := string(f.key.Proto)
	if f.pass == nil || a.Look != Admitted || !h.answerable() || send(h.reject(fault, f.key.Remote, l.secret[:])) != nil {
		l.m.dropped.WithLabelValues(proto, "malformed").Inc()
		return
	}
	l.m.rejected.WithLabelValues(proto, fmt.Sprint(fault.Status)).Inc()
}
