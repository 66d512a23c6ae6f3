package sovereign

import (
	"errors"
	"fmt"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"
)

// ErrFenced is what a refused write, dial or latch returns, wrapped with the ruling's reason.
var ErrFenced = errors.New("sovereign: fenced")

// Refusal is ErrFenced with the ruling that refused. errors.As gives it back, errors.Is finds ErrFenced.
type Refusal struct{ Ruling Ruling }

func (r *Refusal) Error() string {
	return fmt.Sprintf("%v: %v (%s): %s", ErrFenced, r.Ruling.Verdict, r.Ruling.Ground, r.Ruling.Why)
}

// Unwrap is ErrFenced.
func (r *Refusal) Unwrap() error { return ErrFenced }

// Fence holds the snapshot in force and refuses every datagram and every connection that no Pass covers.
type Fence struct {
	snap    atomic.Pointer[Snapshot]
	epoch   atomic.Uint64 // raised after each change of snap
	refused func(Ask, Ruling)

	streams struct {
		sync.Mutex
		open map[*conn]struct{}
	}
	swapped struct {
		sync.Mutex
		next  int
		calls map[int]func(*Snapshot)
	}
}

// NewFence starts with s, which may be nil: then everything is denied. refused (may be nil) is told of each refusal, must not
// block, and may be called from any goroutine.
func NewFence(s *Snapshot, refused func(Ask, Ruling)) *Fence {
	f := &Fence{refused: refused}
	f.streams.open = map[*conn]struct{}{}
	f.swapped.calls = map[int]func(*Snapshot){}
	f.snap.Store(s)
	f.epoch.Store(uint64(max(1, time.Now().UnixNano())))
	return f
}

// Swap puts s in force for every Pass at once. Passes that s does not cover die with it: their streams are closed before Swap returns, datagrams are
// refused from the moment of the swap, and no Clearance from before is good. The functions given to OnSwap are called last.
func (f *Fence) Swap(s *Snapshot) {
	f.snap.Store(s)
	f.epoch.Add(1) // after the snapshot: see Clearance
	now := time.Now()
	for _, c := range f.openStreams() {
		c.check(now)
	}
	f.swapped.Lock()
	calls := make([]func(*Snapshot), 0, len(f.swapped.calls))
	for _, fn := range f.swapped.calls {
		calls = append(calls, fn)
	}
	f.swapped.Unlock()
	for _, fn := range calls {
		fn(s)
	}
}

// OnSwap calls fn after each Swap, in the goroutine that swaps; fn must not block and must not swap. stop ends that.
func (f *Fence) OnSwap(fn func(*Snapshot)) (stop func()) {
	f.swapped.Lock()
	defer f.swapped.Unlock()
	id := f.swapped.next
	f.swapped.next++
	f.swapped.calls[id] = fn
	return func() {
		f.swapped.Lock()
		defer f.swapped.Unlock()
		delete(f.swapped.calls, id)
	}
}

func (f *Fence) openStreams() []*conn {
	f.streams.Lock()
	defer f.streams.Unlock()
	open := make([]*conn, 0, len(f.streams.open))
	for c := range f.streams.open {
		open = append(open, c)
	}
	return open
}

// Snapshot is the one in force; nil only before the first.
func (f *Fence) Snapshot() *Snapshot { return f.snap.Load() }

// Judge asks the snapshot in force. It mints nothing and tells nobody.
func (f *Fence) Judge(a Ask) Ruling { return f.snap.Load().Judge(a) }

// Pass judges a and mints a Pass when the ruling permits; otherwise the Pass is nil. a must name an address: a region alone opens no socket.
func (f *Fence) Pass(a Ask) (*Pass, Ruling) {
	s := f.snap.Load()
	if !a.Addr.Addr().IsValid() {
		r := Ruling{Ground: GroundUndeclaredAddress, Standing: StandingUnknown, Why: "a pass needs a literal address", Generation: generation(s)}
		f.tell(a, r)
		return nil, r
	}
	a.Addr = plain(a.Addr)
	v, who := s.standing(a)
	if !v.ruling.Permitted() {
		f.tell(a, v.ruling)
		return nil, v.ruling
	}
	if who == nil {
		who = a.timeless()
	}
	p := &Pass{fence: f, who: who, addr: a.Addr, began: a.Began}
	p.standing.Store(v)
	return p, v.ruling
}

func generation(s *Snapshot) uint64 {
	if s == nil {
		return 0
	}
	return s.Generation()
}

func (f *Fence) tell(a Ask, r Ruling) {
	if f.refused != nil {
		f.refused(a, r)
	}
}

// plain gives an address its one form: IPv4 in IPv6 is IPv4.
func plain(a netip.AddrPort) netip.AddrPort { return netip.AddrPortFrom(a.Addr().Unmap(), a.Port()) }

// Pass is the permission to send to exactly one address. It re-judges itself when the snapshot changed or its ruling ran out, so
// holding one never outlives the law. The nil Pass opens nothing. Safe for concurrent use.
type Pass struct {
	fence    *Fence
	who      *Ask           // whose Addr and times say nothing: passes of many addresses share one. Nobody changes it
	addr     netip.AddrPort // the one that it opens
	began    int64          // as Ask.Began
	standing atomic.Pointer[verdictOf]
}

// verdictOf is the last judgement of a Pass and the snapshot that gave it. Immutable.
type verdictOf struct {
	snap    *Snapshot
	ruling  Ruling
	refusal *Refusal // made once, so that refusing a stream of packets costs nothing each
}

// Ask is the question that the Pass answers, again and again: it names no time.
func (p *Pass) Ask() Ask {
	if p == nil || p.who == nil {
		return Ask{}
	}
	a := *p.who.timeless()
	a.Addr, a.Began = p.addr, p.began
	return a
}

// timeless is a copy of a without its times.
func (a Ask) timeless() *Ask {
	a.At, a.KnownAt, a.Began = time.Time{}, time.Time{}, 0
	return &a
}

// Ruling is the last judgement; the zero Ruling for a Pass that never was.
func (p *Pass) Ruling() Ruling {
	if v := p.last(); v != nil {
		return v.ruling
	}
	return Ruling{}
}

// Ruled is Ruling for whoever keeps it: it is shared, so nobody changes it. A later judgement is another one.
func (p *Pass) Ruled() *Ruling {
	if v := p.last(); v != nil {
		return &v.ruling
	}
	return &Ruling{}
}

// Addr is the only address that the Pass opens, IPv4 in IPv6 written as IPv4.
func (p *Pass) Addr() netip.AddrPort {
	if p == nil {
		return netip.AddrPort{}
	}
	return p.addr
}

func (p *Pass) last() *verdictOf {
	if p == nil {
		return nil
	}
	return p.standing.Load()
}

// Live says whether the pass still opens. It takes no lock and does not allocate, except once when the snapshot changed or the ruling ran out: then it
// judges again. A pass that died may live again under a later snapshot. The zero time means now.
func (p *Pass) Live(now time.Time) bool {
	v := p.current(now)
	return v != nil && v.ruling.Verdict == Permit
}

// current gives the judgement that counts at now.
func (p *Pass) current(now time.Time) *verdictOf {
	v := p.last()
	if v == nil {
		return nil
	}
	if v.snap == p.fence.snap.Load() {
		if v.ruling.Until.IsZero() {
			return v
		}
		if now.IsZero() {
			now = time.Now()
		}
		if now.Before(v.ruling.Until) {
			return v
		}
	}
	return p.renew(now)
}

// renew judges again. Two goroutines may do it at once; the one that stores an older snapshot's answer is corrected by the next call.
func (p *Pass) renew(now time.Time) *verdictOf {
	if now.IsZero() {
		now = time.Now()
	}
	a := p.Ask()
	a.At = now
	v := &verdictOf{snap: p.fence.snap.Load()}
	v.ruling = v.snap.Judge(a)
	if v.ruling.Verdict != Permit {
		v.refusal = &Refusal{v.ruling}
	}
	p.standing.Store(v)
	return v
}
