package routing

import (
	"net/netip"
	"sync"
	"time"

	"github.com/cordonsip/cordon/sovereign"
)

// memo remembers what one snapshot ruled, because the same few parties and addresses are judged for every call. It changes no answer: a ruling holds from
// when it was asked for until its Until, and it is asked again after a second anyway.
type memo struct {
	*sovereign.Snapshot
	mu    sync.RWMutex // held for one look or one store
	known map[memoKey]*memoRuling

	bare func() *memo
}

type memoKey struct {
	party   string
	plane   sovereign.Plane
	purpose sovereign.Purpose
	addr    netip.AddrPort
	keys    bool
}

type memoRuling struct {
	sovereign.Ruling
	from, to time.Time
}

// Bounds of a memo.
const (
	memoFor = time.Second
	maxMemo = 4096
)

func newMemo(s *sovereign.Snapshot) *memo {
	return &memo{
		Snapshot: s, known: make(map[memoKey]*memoRuling),
		bare: sync.OnceValue(func() *memo { return newMemo(s.WithGrants(nil)) }),
	}
}

// Bare is the memory of the same snapshot without any grant.
func (m *memo) Bare() law { return m.bare() }

// Judge answers from memory if it can. Questions with a region or another day's knowledge are not remembered. The same question has the same answer until the
// time that comes back.
func (m *memo) Judge(a sovereign.Ask) (*sovereign.Ruling, time.Time) {
	if !a.Region.IsZero() || !a.KnownAt.IsZero() || a.At.IsZero() {
		r := m.Snapshot.Judge(a)
		return &r, a.At
	}
	k := memoKey{a.Party, a.Plane, a.Purpose, a.Addr, a.Keys}
	m.mu.RLock()
	known := m.known[k]
	m.mu.RUnlock()
	if known != nil && !a.At.Before(known.from) && a.At.Before(known.to) {
		return &known.Ruling, known.to
	}
	fresh := &memoRuling{Ruling: m.Snapshot.Judge(a), from: a.At, to: a.At.Add(memoFor)}
	if known != nil && a.At.Before(known.from) {
		return &fresh.Ruling, a.At // a question about the past does not push out the present
	}
	if until := fresh.Until; !until.IsZero() && until.Before(fresh.to) {
		fresh.to = until
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(m.known) >= maxMemo {
		clear(m.known)
	}
	m.known[k] = fresh
	return &fresh.Ruling, fresh.to
}

// JudgeParty is Judge without an address, as the snapshot itself has it.
func (m *memo) JudgeParty(name string, plane sovereign.Plane, purpose sovereign.Purpose, at time.Time) (*sovereign.Ruling, time.Time) {
	if name == "" {
		r := m.Snapshot.JudgeParty(name, plane, purpose, at)
		return &r, at
	}
	return m.Judge(sovereign.Ask{Party: name, Plane: plane, Purpose: purpose, At: at})
}

// Country is the catalogue's.
func (m *memo) Country(r sovereign.Region) string {
	f, ok := m.Catalogue().Lookup(r)
	if !ok {
		return ""
	}
	return string(f.Country)
}
