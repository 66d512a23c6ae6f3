package sip

import (
	"errors"
	"net/netip"
	"sync"
	"time"

	"github.com/cordonsip/cordon/sip/transport"
)

// Requests that are too large for UDP. A party that asks for it gets them by TCP at the address that was judged (RFC 3261 section 18.1.1): a flow of its own with
// a pass of its own. Where no connection can be opened they go by UDP after all, and the address is left alone for a while.

// narrowFor is how long an address that took no connection is not asked for one again; maxNarrow bounds how many are remembered.
const (
	narrowFor = 5 * time.Minute
	maxNarrow = 4096
)

// narrows are the addresses that took no connection, and until when that is believed.
type narrows struct {
	sync.Mutex
	by map[netip.AddrPort]time.Time
}

// lost notes an address that a connection for large requests could not be opened to.
func (n *narrows) lost(e *Edge, f transport.Flow, err error) {
	k := f.Key()
	if k.Proto != transport.TCP || k.Conn != 0 || !errors.Is(err, transport.ErrRefused) && !errors.Is(err, transport.ErrUnreachable) && !errors.Is(err, transport.ErrConnectTimeout) {
		return
	}
	if p := e.profiles.Load().byName[k.Party]; p == nil || !p.LargeByTCP {
		return
	}
	n.Lock()
	defer n.Unlock()
	if n.by == nil || len(n.by) >= maxNarrow {
		n.by = map[netip.AddrPort]time.Time{}
	}
	n.by[k.Remote] = time.Now().Add(narrowFor)
}

// has says whether an address took no connection lately.
func (n *narrows) has(a netip.AddrPort) bool {
	n.Lock()
	defer n.Unlock()
	until, known := n.by[a]
	if known && !time.Now().Before(until) {
		delete(n.by, a)
		known = false
	}
	return known
}

// wide gives the TCP flow that a request too large for f goes by; false: it stays on f.
func (e *Edge) wide(f transport.Flow) (transport.Flow, bool) {
	old := f.Pass()
	if old == nil || f.Proto() != transport.UDP {
		return f, false
	}
	ask := old.Ask()
	p := e.profiles.Load().byName[ask.Party]
	if p == nil || !p.LargeByTCP || e.narrows.has(f.Remote()) {
		return f, false
	}
	ask.At = time.Now()
	ask.Began = ask.At.UnixNano()
	pass, _ := e.c.Fence.Pass(ask)
	wide, err := e.tl.Flow(transport.Dest{Proto: transport.TCP, Addr: f.Remote(), Party: ask.Party, Pass: pass})
	if err != nil {
		return f, false // without a pass f sends nothing either
	}
	e.know(transport.TCP, f.Remote(), ask.Party)
	return wide, true
}
