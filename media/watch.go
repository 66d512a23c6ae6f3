package media

import (
	"net/netip"
	"time"
)

// Header is the header of one RTP packet as it came or went: fixed part, contributing sources and, of what came, the extension. The payload is not part of it.
type Header struct {
	At       time.Time
	From, To netip.AddrPort
	Bytes    []byte // valid during the call alone
	Size     int    // bytes of the whole packet
}

// Watch lets f see the headers of a session's packets until stop is called. f runs where the packets are carried, and must not block. False when there is no such session,
// or when somebody watches it already.
func (r *Relay) Watch(id string, f func(Header)) (stop func(), ok bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for s := range r.sessions {
		if s.id == id && s.watch.CompareAndSwap(nil, &f) {
			s.watched(true)
			return func() {
				if s.watch.CompareAndSwap(&f, nil) {
					s.watched(false)
				}
			}, true
		}
	}
	return nil, false
}

// watched tells the plane whether somebody sees the headers.
func (s *Session) watched(on bool) {
	for side := range s.legs {
		if l := s.legs[side].Load(); l != nil {
			s.r.plane.Watch(l.ref, on)
		}
	}
}

// shown is our address of a leg as its session description says it.
func (l *leg) shown() netip.AddrPort { return netip.AddrPortFrom(l.host, l.bind.Port()) }
