package media

import (
	"net/netip"
	"time"

	"github.com/cordonsip/cordon/sovereign"
)

const (
	maxMoves   = 64 // bounds the moves that a report holds; Config.Moved is told of all
	usualMoves = 2  // a stranger at each side
)

// course are the moves that the report of a session holds. There is room for the first ones from the beginning: who forges packets makes no memory grow.
type course struct {
	n     uint8
	first [usualMoves]step
	more  []step
}

// step is a Move, in less memory.
type step struct {
	at       int64 // unix ns
	ruling   *sovereign.Ruling
	cause    string
	from, to place
	side     Side
	allowed  bool
}

// place is an address with its port, without a zone; an invalid one has no port and family 0.
type place struct {
	addr   [16]byte
	port   uint16
	family uint8 // 4 or 6
}

func placeOf(a netip.AddrPort) (p place) {
	switch {
	case a.Addr().Is4():
		p.family = 4
	case a.Addr().Is6():
		p.family = 6
	default:
		return p
	}
	p.addr, p.port = a.Addr().As16(), a.Port()
	return p
}

func (p place) addrPort() netip.AddrPort {
	a := netip.AddrFrom16(p.addr)
	switch p.family {
	case 0:
		return netip.AddrPort{}
	case 4:
		a = a.Unmap()
	}
	return netip.AddrPortFrom(a, p.port)
}

// add keeps a move, if there is room.
func (m *course) add(v Move) {
	if int(m.n) == maxMoves {
		return
	}
	k := step{at: v.At.UnixNano(), ruling: v.Ruling, from: placeOf(v.From), to: placeOf(v.To), cause: v.Cause, side: v.Side, allowed: v.Allowed}
	if int(m.n) < len(m.first) {
		m.first[m.n] = k
	} else {
		m.more = append(m.more, k)
	}
	m.n++
}

// list gives them; nil for none.
func (m *course) list() []Move {
	if m.n == 0 {
		return nil
	}
	out := make([]Move, m.n)
	for i := range out {
		k := &m.first[min(i, len(m.first)-1)]
		if i >= len(m.first) {
			k = &m.more[i-len(m.first)]
		}
		out[i] = Move{
			Side: k.side, At: time.Unix(0, k.at), From: k.from.addrPort(), To: k.to.addrPort(), Cause: k.cause, Allowed: k.allowed, Ruling: k.ruling,
		}
	}
	return out
}
