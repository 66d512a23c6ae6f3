package media

import "net/netip"

// Reaches gives every address that packets of open sessions go to now, with the party that it is judged for; often more than once. It waits for no negotiation: an
// RTCP address of its own is left out while its session negotiates.
func (r *Relay) Reaches(yield func(party string, addr netip.Addr)) {
	r.mu.Lock()
	open := make([]*Session, 0, len(r.sessions))
	for s := range r.sessions {
		open = append(open, s)
	}
	r.mu.Unlock()
	for _, s := range open {
		for side := range s.legs {
			if l := s.legs[side].Load(); l != nil {
				if to := l.reach(); to.IsValid() {
					yield(l.cfg.Party, to)
				}
			}
		}
		if !s.mu.TryLock() {
			continue
		}
		for side := range s.legs {
			l := s.legs[side].Load()
			if l != nil && l.remote != nil && l.remote.rtcp != nil {
				yield(l.cfg.Party, l.remote.rtcp.Addr().Addr())
			}
		}
		s.mu.Unlock()
	}
}

// reach is where the packets of a leg go; the zero Addr while they go nowhere.
func (l *leg) reach() netip.Addr {
	if f := l.far.Load(); f != nil {
		return f.addr.Addr()
	}
	return l.counters().Peer.Addr()
}
