package sip

import (
	"net/netip"
	"time"

	"github.com/cordonsip/cordon/healthcheck"
	"github.com/cordonsip/cordon/routing"
	"github.com/cordonsip/cordon/sip/transport"
	"github.com/cordonsip/cordon/sovereign"
)

// way is how a target is reached: the pass that a call to it needs, and the flow that rests on the pass. Calls that ask the same share it for as long as the pass
// lives; it judges itself anew for all of them when the policy changes or its ruling runs out.
type way struct {
	pass *sovereign.Pass
	flow transport.Flow
}

// wayKey is the question that a way answers.
type wayKey struct {
	party   string
	purpose sovereign.Purpose
	keys    bool
	addr    netip.AddrPort
}

// maxWays bounds the ways that a loop remembers.
const maxWays = 1024

// wayTo judges the hop's literal address once more and gives the way to it. A ruling that does not permit comes without a pass. Only datagrams share a way: a
// connection belongs to the profile of its party.
func (s *shard) wayTo(h *routing.Hop, p *Party, purpose sovereign.Purpose) (w way, r sovereign.Ruling, err error) {
	now := time.Now()
	k := wayKey{p.Name, purpose, p.Keys, h.Target.Addr}
	shared := transport.Proto(h.Target.Transport) == transport.UDP && h.Target.Member != healthcheck.Registered
	if shared {
		if w, ok := s.ways[k]; ok && w.pass.Live(now) && !leaves(w.pass.Ruled()) {
			s.e.know(transport.UDP, h.Target.Addr, h.Target.Party)
			return w, w.pass.Ruling(), nil
		}
	}
	w.pass, r = s.e.c.Fence.Pass(sovereign.Ask{Party: p.Name, Plane: sovereign.Signalling, Purpose: purpose, Addr: h.Target.Addr, Keys: p.Keys, At: now, Began: now.UnixNano()})
	if w.pass == nil {
		return w, r, nil
	}
	if w.flow, err = s.e.flowTo(h.Target, p, w.pass); err != nil || !shared {
		return w, r, err
	}
	if len(s.ways) >= maxWays {
		clear(s.ways)
	}
	s.ways[k] = w
	return w, r, nil
}
