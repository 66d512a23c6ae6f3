package transport

import (
	"net/netip"
	"time"

	"github.com/cordonsip/cordon/sovereign"
)

// Flow is a vetted next hop, or the way back of a request. The zero Flow sends nothing. Comparable; two flows of one path may differ, their Key does not.
type Flow struct{ f *flow }

// Key names the path of a flow: for UDP the listener and the remote address, for an outbound stream what its connection is pooled by, for an inbound one
// the connection. It is a key of maps.
type Key struct {
	Proto   Proto
	Local   netip.AddrPort // advertised
	Remote  netip.AddrPort
	Party   string // streams
	Profile string // TLS, outbound
	Conn    uint64 // inbound streams; 0: outbound
	// Emergency tells outbound streams of emergency calls from others: they have connections of their own, which live as long as an emergency pass does.
	Emergency bool
}

type flow struct {
	l       *Layer
	key     Key
	pass    *sovereign.Pass
	sock    *udpSocket  // UDP
	conn    *conn       // inbound streams
	profile *TLSProfile // outbound TLS
	bind    netip.Addr  // outbound streams
	source  source      // the remote address in words; may be missing
}

// Proto, Remote, Local describe the flow. Local is the address that Via and Contact must carry (the advertised one).
func (f Flow) Proto() Proto           { return f.path().Proto }
func (f Flow) Remote() netip.AddrPort { return f.path().Remote }
func (f Flow) Local() netip.AddrPort  { return f.path().Local }

// Key names the path.
func (f Flow) Key() Key { return *f.path() }

// path is the key where it stands: a copy of all of it is for those who need all.
func (f Flow) path() *Key {
	if f.f == nil {
		return &Key{}
	}
	return &f.f.key
}

// Valid says whether the flow could send at all.
func (f Flow) Valid() bool { return f.f != nil && f.f.pass != nil }

// Pass is what the flow rests on.
func (f Flow) Pass() *sovereign.Pass {
	if f.f == nil {
		return nil
	}
	return f.f.pass
}

// Peer is the TLS identity seen on the flow; nil without TLS or before the handshake.
func (f Flow) Peer() *PeerIdentity {
	if f.f == nil {
		return nil
	}
	if c := f.f.conn; c != nil {
		return c.peer.Load()
	}
	if f.f.l == nil || f.f.key.Proto != TLS {
		return nil
	}
	f.f.l.mu.Lock()
	c := f.f.l.pool[f.f.key]
	if c == nil && f.f.profile != nil {
		c = f.f.l.reusable(f.f)
	}
	f.f.l.mu.Unlock()
	if c == nil {
		return nil
	}
	return c.peer.Load()
}

// Path describes a path that nothing can be sent on: for Lost, for logs and for tests of what is above.
func Path(p Proto, local, remote netip.AddrPort) Flow {
	return Flow{&flow{key: Key{Proto: p, Local: local, Remote: plain(remote)}}}
}

// own is the same path for a connection: whoever opens it, a probe perhaps, it carries calls, and lives as long as a call on it may.
func (f *flow) own() *flow {
	ask := f.pass.Ask()
	if ask.Began != 0 {
		return f
	}
	ask.Began, ask.At = time.Now().UnixNano(), time.Time{}
	pass, _ := f.l.c.Fence.Pass(ask)
	if pass == nil {
		return f // it opens nothing now
	}
	n := *f
	n.pass = pass
	return &n
}

// mute is the same path without the pass.
func (f *flow) mute() *flow {
	m := *f
	m.pass = nil
	return &m
}

// plain gives an address its one form: IPv4 in IPv6 is IPv4.
func plain(a netip.AddrPort) netip.AddrPort { return netip.AddrPortFrom(a.Addr().Unmap(), a.Port()) }

// With gives the same way resting on p: who registered on it is judged anew for each call and probe. The zero Flow comes back when p is for another address.
func (f Flow) With(p *sovereign.Pass) Flow {
	if f.f == nil || p == nil || p.Addr() != f.f.key.Remote {
		return Flow{}
	}
	n := *f.f
	n.pass = p
	return Flow{&n}
}
