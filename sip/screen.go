package sip

import (
	"context"
	"net/netip"
	"sync"
	"time"

	"github.com/cordonsip/cordon/audit"
	"github.com/cordonsip/cordon/sip/transport"
	"github.com/cordonsip/cordon/sovereign"
)

// screen decides who is listened to. It is asked by the transport's readers and takes only short locks of its own.
type screen struct {
	e *Edge

	rate struct {
		sync.Mutex
		buckets map[netip.Addr]*bucket
	}
	refusals struct {
		sync.Mutex
		seen      map[refusedKey]*refusedCount
		strangers int // of them
		kick      chan struct{}
	}
}

type bucket struct {
	left float64
	at   time.Time
}

type refusedKey struct {
	party  string
	source netip.Addr
	ground sovereign.Ground
}

type refusedCount struct {
	why   string
	count uint64
}

// The bounds of what strangers can make us remember.
const (
	maxBuckets  = 16384
	maxRefusals = 1024             // in one group
	maxSamples  = 16               // of strangers in one group: each entry of the log costs, and forged sources cost nothing
	quietFor    = 10 * time.Second // refusals of one kind are grouped for so long
)

func newScreen(e *Edge) *screen {
	s := &screen{e: e}
	s.rate.buckets = make(map[netip.Addr]*bucket)
	s.refusals.seen = make(map[refusedKey]*refusedCount)
	s.refusals.kick = make(chan struct{}, 1)
	return s
}

// Source implements transport.Screen: the party by longest prefix and TLS identity, judged as an ingress. Addresses that we contact ourselves are known by that:
// their answers must come in, whatever prefixes their party sends requests from. A known party in a held place (after a suspension, say) is still listened to
// for emergency calls, in silence; what is denied never.
func (s *screen) Source(p transport.Proto, from, _ netip.AddrPort, peer *transport.PeerIdentity) transport.Admission {
	all := s.e.profiles.Load()
	dialed := ""
	if v, ok := s.e.dialed.Load(dialKey{p, from}); ok {
		dialed = v.(string)
	}
	var party *Party
	switch known := all.byName[dialed]; {
	case known != nil && known.sendsFrom(from.Addr(), peer):
		party = known
	case dialed != "":
		return s.answering(all.byName[dialed], dialed, from)
	case p == transport.TLS && peer == nil: // before the handshake: who could it be? The identity is asked for with each message
		party = all.match(from.Addr(), nil, true)
	default:
		party = all.match(from.Addr(), peer, false)
	}
	if party == nil {
		s.refused("", from, sovereign.GroundUnknownParty, "no party sends from this address with this identity")
		if s.e.c.Stranger == "403" {
			return transport.Admission{Look: transport.Admitted}
		}
		return transport.Admission{}
	}
	if dialed != "" {
		return s.answering(party, dialed, from)
	}
	a := transport.Admission{Party: party.Name, Keys: party.Keys, Look: transport.Admitted}
	switch r := s.judge(party, from, sovereign.Production); {
	case r.Permitted():
	case r.Verdict == sovereign.Hold && (p != transport.TLS || peer != nil):
		a.Look = transport.ForEmergency
	default:
		s.refused(party.Name, from, r.Ground, r.Why)
		a.Look = transport.Refused
	}
	return a
}

// answering admits an address that we contact ourselves. While it is held, only emergency calls and answers are taken from it.
func (s *screen) answering(party *Party, name string, from netip.AddrPort) transport.Admission {
	a := transport.Admission{Party: name, Look: transport.Admitted}
	if party == nil {
		return a
	}
	a.Keys = party.Keys
	if s.judge(party, from, sovereign.Production).Verdict == sovereign.Hold {
		a.Look = transport.ForEmergency
	}
	return a
}

type dialKey struct {
	proto transport.Proto
	addr  netip.AddrPort
}

// judge rules on a source as an ingress. An EU trunk whose requests suddenly come from elsewhere is not that trunk any more.
func (s *screen) judge(p *Party, from netip.AddrPort, purpose sovereign.Purpose) *sovereign.Ruling {
	return s.e.c.Fence.Snapshot().Ruled(sovereign.Ask{
		Party: p.Name, Plane: sovereign.Signalling, Purpose: purpose, Addr: from, Keys: p.Keys, At: time.Now(),
	})
}

// take spends one new call of a source's rate.
func (s *screen) take(from netip.Addr) bool {
	now, limit := time.Now(), s.e.c.RatePerSource
	if limit < 0 {
		return true
	}
	s.rate.Lock()
	defer s.rate.Unlock()
	b := s.rate.buckets[from]
	if b == nil {
		if len(s.rate.buckets) >= maxBuckets {
			s.forget(now)
		}
		b = &bucket{left: max(limit, 1), at: now}
		s.rate.buckets[from] = b
	}
	b.left = min(max(limit, 1), b.left+now.Sub(b.at).Seconds()*limit)
	b.at = now
	if b.left < 1 {
		return false
	}
	b.left--
	return true
}

// forget drops the buckets that would be full again; when none is, all of them.
func (s *screen) forget(now time.Time) {
	for a, b := range s.rate.buckets {
		if now.Sub(b.at) > time.Second {
			delete(s.rate.buckets, a)
		}
	}
	if len(s.rate.buckets) >= maxBuckets {
		clear(s.rate.buckets)
	}
}

// refused counts one packet that was not admitted; the log hears of it in groups.
func (s *screen) refused(party string, from netip.AddrPort, g sovereign.Ground, why string) {
	s.e.metrics.refused.WithLabelValues(string(g)).Inc()
	k := refusedKey{party, from.Addr(), g}
	s.refusals.Lock()
	if s.refusals.seen[k] == nil && party == "" {
		if s.refusals.strangers++; s.refusals.strangers > maxSamples {
			k.source = netip.Addr{} // the rest is counted without its address
		}
	}
	if c := s.refusals.seen[k]; c != nil {
		c.count++
	} else if len(s.refusals.seen) < maxRefusals {
		s.refusals.seen[k] = &refusedCount{why: why, count: 1}
	}
	s.refusals.Unlock()
	select {
	case s.refusals.kick <- struct{}{}:
	default:
	}
}

// report writes the grouped refusals to the log until ctx ends, and the last ones then: the first of a burst at once, the rest in a group.
func (s *screen) report(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			s.tell(ctx)
			return
		case <-s.refusals.kick:
		}
		s.tell(ctx)
		select {
		case <-ctx.Done():
			s.tell(ctx)
			return
		case <-time.After(quietFor):
		}
	}
}

// tell writes down what was refused since it was last called.
func (s *screen) tell(ctx context.Context) {
	s.refusals.Lock()
	seen := s.refusals.seen
	s.refusals.seen, s.refusals.strangers = make(map[refusedKey]*refusedCount), 0
	s.refusals.Unlock()
	for k, c := range seen {
		source := "(more addresses than are kept)"
		if k.source.IsValid() {
			source = k.source.String()
		}
		ev := audit.IngressRefused{Trunk: k.party, Source: source, Ground: string(k.ground), Why: c.why, Count: c.count}
		if _, err := s.e.c.Log.Append(context.WithoutCancel(ctx), ev); err != nil {
			s.e.log.Warn("a refused ingress could not be logged", "ground", k.ground, "count", c.count, "error", err)
		}
	}
}
