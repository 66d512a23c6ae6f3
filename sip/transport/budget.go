package transport

import (
	"net/netip"
	"sync/atomic"
)

// budget is what one source address holds of us by its inbound streams. It exists while one of them does.
type budget struct {
	conns int // guarded by Layer.mu
	bytes atomic.Int64
	max   int64
}

// spend takes n bytes of buffers; n may be negative. false: the source has its share already.
func (b *budget) spend(n int) bool {
	if b == nil {
		return true
	}
	if now := b.bytes.Add(int64(n)); n > 0 && now > b.max {
		b.bytes.Add(-int64(n))
		return false
	}
	return true
}

// enter counts one more inbound stream, or says that there is no room for it. l.mu is held.
func (l *Layer) enter(from netip.Addr, party string) (*budget, bool) {
	b := l.inbound[from]
	if l.total >= l.c.MaxTotal || b != nil && b.conns >= l.c.MaxConns {
		return nil, false
	}
	if l.c.PartyConns != nil && party != "" {
		if most := l.c.PartyConns(party); most > 0 && l.byParty[party] >= most {
			return nil, false
		}
	}
	if b == nil {
		b = &budget{max: int64(l.c.MaxBuffered)}
		l.inbound[from] = b
	}
	b.conns++
	l.total++
	l.byParty[party]++
	return b, true
}

// leave gives back what enter took.
func (l *Layer) leave(from netip.Addr, party string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.total--
	if b := l.inbound[from]; b != nil {
		if b.conns--; b.conns <= 0 {
			delete(l.inbound, from)
		}
	}
	if l.byParty[party]--; l.byParty[party] <= 0 {
		delete(l.byParty, party)
	}
}
