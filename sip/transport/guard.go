package transport

import (
	"fmt"
	"net"
	"sync"
	"sync/atomic"

	"github.com/cordonsip/cordon/sovereign"
)

// guarded is the socket of an inbound stream behind a fence that can be changed. A stream rests on the pass that its source got when it came, and is closed
// with it; while it carries an emergency call it rests on that call's pass, which outlives a suspension or a grant.
type guarded struct {
	net.Conn // the socket itself: reading is free
	fence    *sovereign.Fence

	mu      sync.Mutex
	resting *sovereign.Pass // what it rests on without an emergency call; nil: nothing may be written
	exempt  []*sovereign.Pass
	fenced  net.Conn // the socket behind the fence in force; nil: none
	bar     *bar     // and what keeps a fence that was replaced from closing it
}

// bar stands between a fence and the socket. Loose, it lets nobody close the socket any more.
type bar struct {
	net.Conn
	loose atomic.Bool
}

func (b *bar) Close() error {
	if b.loose.Load() {
		return nil
	}
	return b.Conn.Close()
}

func guard(nc net.Conn, f *sovereign.Fence, p *sovereign.Pass) *guarded {
	g := &guarded{Conn: nc, fence: f, resting: p}
	g.under(p)
	return g
}

// under puts the socket behind a fence with p. One that p does not cover is closed; without a pass it stays open and silent. The caller holds mu, or is alone.
func (g *guarded) under(p *sovereign.Pass) {
	old, oldBar := g.fenced, g.bar
	g.fenced, g.bar = nil, nil
	if p != nil {
		g.bar = &bar{Conn: g.Conn}
		g.fenced = g.fence.Conn(g.bar, p)
	}
	if old != nil {
		oldBar.loose.Store(true)
		old.Close()
	}
}

// excuse lets the stream rest on p until the returned function is called.
func (g *guarded) excuse(p *sovereign.Pass) (release func()) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if len(g.exempt) == 0 {
		g.under(p)
	}
	g.exempt = append(g.exempt, p)
	return sync.OnceFunc(func() {
		g.mu.Lock()
		defer g.mu.Unlock()
		if g.exempt = g.exempt[1:]; len(g.exempt) == 0 {
			g.under(g.resting)
		}
	})
}

// rest gives a stream that rests on nothing a pass.
func (g *guarded) rest(p *sovereign.Pass) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.resting != nil {
		return
	}
	g.resting = p
	if len(g.exempt) == 0 {
		g.under(p)
	}
}

// excused says whether an emergency call keeps the stream open.
func (g *guarded) excused() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return len(g.exempt) > 0
}

// Write goes through the fence in force.
func (g *guarded) Write(b []byte) (int, error) {
	g.mu.Lock()
	to := g.fenced
	g.mu.Unlock()
	if to == nil {
		return 0, fmt.Errorf("transport: write to %s: no pass: %w", g.RemoteAddr(), sovereign.ErrFenced)
	}
	return to.Write(b)
}

// Close closes the socket, whatever it rests on.
func (g *guarded) Close() error {
	g.mu.Lock()
	to := g.fenced
	g.mu.Unlock()
	if to == nil {
		return g.Conn.Close()
	}
	return to.Close()
}

// Under gives the same way resting on p, which must be for the flow's own address: an emergency call goes on when the pass that its source came with dies. An
// inbound stream is kept open for it until release is called; for anything else release does nothing.
func (l *Layer) Under(f Flow, p *sovereign.Pass) (_ Flow, release func()) {
	if f.f == nil || p == nil || p.Addr() != f.f.key.Remote {
		return f, func() {}
	}
	n := *f.f
	n.pass = p
	release = func() {}
	if n.conn != nil {
		if g := n.conn.guard.Load(); g != nil {
			release = g.excuse(p)
		}
	}
	return Flow{&n}, release
}
