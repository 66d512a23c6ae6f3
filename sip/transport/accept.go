package transport

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"time"
)

// acceptor takes the connections of one stream listener.
type acceptor struct {
	l     *Layer
	ln    Listener
	bound netip.AddrPort
	local netip.AddrPort // advertised
}

// run accepts until ctx ends. Errors that pass (no more descriptors, a connection that died in the queue) do not end it.
func (a *acceptor) run(ctx context.Context) error {
	stop := context.AfterFunc(ctx, func() {
		// The hall closes its sockets; where a deadline can't wake Accept, closing is the only way.
		if d, ok := a.ln.Stream.(interface{ SetDeadline(time.Time) error }); !ok || d.SetDeadline(time.Unix(1, 0)) != nil {
			a.ln.Stream.Close()
		}
	})
	defer stop()
	for pause := time.Duration(0); ; {
		nc, err := a.ln.Stream.Accept()
		switch {
		case err == nil:
			pause = 0
			a.take(nc)
			continue
		case ctx.Err() != nil:
			return nil
		case errors.Is(err, net.ErrClosed):
			return fmt.Errorf("transport: accept on %s: %w", a.bound, err)
		}
		pause = min(max(2*pause, time.Millisecond), time.Second)
		a.l.log.Warn("accept failed", "local", a.bound, "err", err)
		select {
		case <-ctx.Done():
		case <-time.After(pause):
		}
	}
}

// take admits or closes one connection. Nothing is sent before the source was admitted and judged.
func (a *acceptor) take(nc net.Conn) {
	l, p := a.l, a.ln.Proto
	from, err := addrPort(nc.RemoteAddr())
	reason := "source"
	if err == nil {
		if who := l.c.Screen.Source(p, from, a.local, nil); who.Look != Refused {
			if reason = a.start(nc, who, from); reason == "" {
				return
			}
		}
	}
	l.m.dropped.WithLabelValues(string(p), reason).Inc()
	nc.Close()
}

// start begins the connection's goroutine, or says why not. Who is looked at for emergency calls only is read in silence: the connection gets its pass from
// the call, if one comes.
func (a *acceptor) start(nc net.Conn, who Admission, from netip.AddrPort) string {
	l, p := a.l, a.ln.Proto
	f := &flow{l: l, key: Key{Proto: p, Local: a.local, Remote: from, Party: who.Party}}
	if who.Look != ForEmergency {
		f = l.judged(who, from, *f)
	}
	if f.pass == nil && p == TLS {
		return "fenced" // a handshake would send
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.runs() {
		return "closing"
	}
	share, ok := l.enter(from.Addr(), who.Party)
	if !ok {
		return "limit"
	}
	l.next++
	f.key.Conn = l.next
	c := newConn(l, p, f)
	f.conn, c.acceptor, c.budget = c, a, share
	l.open(func(ctx context.Context) { c.runInbound(ctx, nc) })
	return ""
}
