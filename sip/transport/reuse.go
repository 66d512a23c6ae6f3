package transport

import (
	"crypto/x509"
	"net/netip"
	"slices"
	"time"

	"github.com/emiago/sipgo/sip"
)

// Connection reuse, RFC 5923: requests to a party may go over a connection that it opened itself, when it said so (alias in its Via), when it proved by
// certificate the very identity that we would have asked of it had we dialled, and when the address that it calls from is the one that we would have dialled.

// alias is what an inbound connection stands for: the party that was recognised by its identity, and where requests to it would go.
type alias struct {
	party string
	to    netip.AddrPort
}

// offers takes the alias of a request. RFC 5923 sections 8.2 and 9.2: only over TLS, only with an identity that was verified; the port is that of the sent-by.
func (c *conn) offers(req *sip.Request, a Admission) {
	l, peer := c.l, c.peer.Load()
	if c.acceptor == nil || c.proto != TLS || a.Look != Admitted || peer == nil || !peer.Verified || l.c.Reuse == nil || req.Via() == nil {
		return
	}
	if !req.Via().Params.Has("alias") || !l.c.Reuse(a.Party) {
		return
	}
	port := req.Via().Port
	if port == 0 {
		port = 5061
	}
	k := alias{a.Party, netip.AddrPortFrom(c.flow.key.Remote.Addr(), uint16(port))}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.aliases[k] == c || len(c.aliases) >= maxAliases || c.ended() != nil {
		return
	}
	l.aliases[k] = c // the newest connection counts
	c.aliases = append(c.aliases, k)
}

// maxAliases bounds the ports that one connection may stand for.
const maxAliases = 4

// reusable gives the inbound connection that may carry a flow, or nil. l.mu is held.
func (l *Layer) reusable(f *flow) *conn {
	if f.key.Proto != TLS || f.key.Emergency || l.c.Reuse == nil {
		return nil
	}
	c := l.aliases[alias{f.key.Party, f.key.Remote}]
	if c == nil || c.ended() != nil || c.flow.pass == nil || !c.flow.pass.Live(time.Time{}) || !l.c.Reuse(f.key.Party) {
		return nil
	}
	if _, known := c.carries[f.key]; known {
		return c
	}
	if verifyChain(c.chain, f.profile.roots(), x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth) != nil || f.profile.verifyName(c.chain[0]) != nil {
		return nil // it is the party, but not the one that this flow was to reach
	}
	if c.carries == nil {
		c.carries = map[Key]*flow{}
	}
	c.carries[f.key] = f
	return c
}

// unalias forgets what a connection stood for and gives the flows that it carried. l.mu is held.
func (l *Layer) unalias(c *conn) []*flow {
	for _, k := range c.aliases {
		if l.aliases[k] == c {
			delete(l.aliases, k)
		}
	}
	carried := make([]*flow, 0, len(c.carries))
	for _, f := range c.carries {
		carried = append(carried, f)
	}
	slices.SortFunc(carried, func(a, b *flow) int { return a.key.Remote.Compare(b.key.Remote) })
	c.aliases, c.carries = nil, nil
	return carried
}
