package sovereign

import (
	"net/netip"
	"sync/atomic"
	"time"
)

// memory is what one snapshot permitted a moment ago: each call is judged a dozen times, by the same few questions. It changes no answer. A permit holds from
// the time of its question until its Until, and is asked for again after a second anyway; what is held or denied is always judged anew. A question that finds
// another one's answer in its place pushes it out, so that nobody makes us remember more.
type memory [256]atomic.Pointer[remembered]

// remembered is one permit. Immutable.
type remembered struct {
	verdictOf
	ask      Ask // without times and port, which decide nothing within that second
	from, to time.Time
}

const rememberFor = time.Second

// alike is a with what its answer does not depend on taken out; ok is false for a question that is not remembered.
func (a Ask) alike() (same Ask, ok bool) {
	ok = a.KnownAt.IsZero() && a.Region.IsZero() && a.Addr.IsValid()
	a.Addr, a.At, a.Began = netip.AddrPortFrom(a.Addr.Addr(), 0), time.Time{}, 0 // a permit by a leave is not remembered
	return a, ok
}

// slot is where a question is remembered.
func (m *memory) slot(a *Ask) *atomic.Pointer[remembered] {
	h := uint32(2166136261) // FNV-1a
	b := a.Addr.Addr().As16()
	for i := range b {
		h = (h ^ uint32(b[i])) * 16777619
	}
	for i := range len(a.Party) {
		h = (h ^ uint32(a.Party[i])) * 16777619
	}
	h = (h ^ uint32(a.Plane)<<8 ^ uint32(a.Purpose)) * 16777619
	return &m[(h^h>>16)%uint32(len(m))]
}

// standing is Judge as a Pass keeps it. who is what was asked, but for address and times, where others share it; nil else.
func (s *Snapshot) standing(a Ask) (v *verdictOf, who *Ask) {
	if s == nil {
		return &verdictOf{ruling: s.Judge(a)}, nil
	}
	if a.At.IsZero() {
		a.At = time.Now()
	}
	same, ok := a.alike()
	if !ok {
		return &verdictOf{snap: s, ruling: s.judge(a)}, nil
	}
	slot := s.memory.slot(&same)
	known := slot.Load()
	if known != nil && known.ask == same && !a.At.Before(known.from) && a.At.Before(known.to) {
		return &known.verdictOf, &known.ask
	}
	fresh := &remembered{verdictOf: verdictOf{snap: s, ruling: s.judge(a)}, ask: same, from: a.At, to: a.At.Add(rememberFor)}
	if until := fresh.ruling.Until; !until.IsZero() && until.Before(fresh.to) {
		fresh.to = until
	}
	if p := s.parties[a.Party]; p != nil {
		for i := range p.Attributes { // from the day of an attestation on, the words are others even where the permit stays
			if begins := p.Attributes[i].At; begins.After(a.At) && begins.Before(fresh.to) {
				fresh.to = begins
			}
		}
	}
	if fresh.ruling.Permitted() && fresh.ruling.Ground != GroundRunning && (known == nil || !a.At.Before(known.from)) { // a question about the past does not push out the present
		slot.Store(fresh)
	}
	return &fresh.verdictOf, &fresh.ask
}
