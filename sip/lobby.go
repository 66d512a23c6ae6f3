package sip

import (
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cordonsip/cordon/routing"
	"github.com/cordonsip/cordon/sip/overload"
	"github.com/cordonsip/cordon/sip/transaction"
	"github.com/cordonsip/cordon/sip/transport"
	"github.com/cordonsip/cordon/sovereign"
	msg "github.com/emiago/sipgo/sip"
)

// A new call may wait; what belongs to a call that is up, to a probe or to a registration may not. So new INVITEs stand in a lobby of their loop, which takes one
// of them at a time and everything else that came meanwhile in between. A flood fills the lobby, and what finds it full costs no state at all.

// Bounds of the lobby of one loop. A new call takes a tenth or two of a millisecond, so even those behind a burst wait for less than maxLag.
const (
	maxLobby = 256  // new calls of one party that wait, where they have been waiting for longer than maxLag: a flood
	maxBurst = 2048 // in all, where a party's queue was empty a moment ago: what its network held back and lets go at once
)

// maxBehind bounds the messages of one Call-ID that wait, where the lobby is full: the INVITE, its CANCEL as often as that comes again, an ACK.
const maxBehind = 16

// lobby holds new INVITEs of one loop, and what follows them under the same Call-ID (CANCEL, above all), in the order of their coming. Parties take turns.
type lobby struct {
	mu     sync.Mutex
	queues map[string]*queue // by party
	turn   []string          // parties whose queue is not empty, the next one first
	ids    map[string]int    // Call-IDs that wait, with how many of their messages do
	lag    time.Duration     // how long the last one waited
	level  overload.Level
	told   overload.Bucket // refusals that were sent
	met    acquaintances
}

func newLobby() *lobby { return &lobby{queues: map[string]*queue{}, ids: map[string]int{}} }

// queue is the messages of one party, the next one at first. Its memory is used again.
type queue struct {
	list  []transport.Incoming
	first int
	since time.Time // when the first of those came that wait without a gap
}

func (q *queue) len() int { return len(q.list) - q.first }

func (q *queue) push(in transport.Incoming) {
	if q.first > 0 && len(q.list) == cap(q.list) {
		n := copy(q.list, q.list[q.first:])
		clear(q.list[n:])
		q.list, q.first = q.list[:n], 0
	}
	q.list = append(q.list, in)
}

func (q *queue) pop() transport.Incoming {
	in := q.list[q.first]
	q.list[q.first] = transport.Incoming{}
	if q.first++; q.first == len(q.list) {
		q.list, q.first = q.list[:0], 0
	}
	return in
}

// entry is what became of a message at the door of the lobby.
type entry uint8

const (
	passes entry = iota // nothing of its Call-ID waits, and it is no new call
	waits               // it stands in the queue
	first               // it does, and nobody stood there before: the loop must be called
	full
)

// enter lets a message in if it is a new call, or belongs to one that waits.
func (b *lobby) enter(in transport.Incoming, callID string, fresh bool) entry {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !fresh && b.ids[callID] == 0 {
		return passes
	}
	q := b.queues[in.Party]
	if q == nil { // of a party of the configuration: strangers never come here
		q = &queue{}
		b.queues[in.Party] = q
	}
	alone := q.len() == 0
	if alone {
		q.since = in.At
	}
	if q.len() >= maxLobby && (fresh && !b.holds(q, in.At) || !fresh && b.ids[callID] >= maxBehind) {
		return full
	}
	if alone {
		b.turn = append(b.turn, in.Party)
	}
	q.push(in)
	b.ids[callID]++
	if len(b.turn) == 1 && alone {
		return first
	}
	return waits
}

// holds says whether a party may have more new calls waiting than a flood would be left: those of a burst.
func (b *lobby) holds(q *queue, now time.Time) bool {
	return len(b.ids) < maxBurst && now.Sub(q.since) < maxLag
}

// next takes one message out. more says that others are left.
func (b *lobby) next(now time.Time) (in transport.Incoming, more bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	party := b.turn[0]
	q := b.queues[party]
	in = q.pop()
	b.turn = b.turn[:copy(b.turn, b.turn[1:])]
	if q.len() > 0 {
		b.turn = append(b.turn, party)
	}
	id := in.Msg.CallID().Value()
	if b.ids[id]--; b.ids[id] == 0 {
		delete(b.ids, id)
	}
	b.lag = now.Sub(in.At)
	return in, len(b.turn) > 0
}

// wait is how long a new call waits now: the age of the oldest one that stands there, or nothing.
func (b *lobby) wait(now time.Time) (w time.Duration) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, p := range b.turn {
		q := b.queues[p]
		w = max(w, now.Sub(q.list[q.first].At))
	}
	if len(b.turn) > 0 {
		w = max(w, b.lag)
	}
	return w
}

// freshInvite says whether a message asks for a call that is not there yet.
func freshInvite(m msg.Message) bool {
	req, ok := m.(*msg.Request)
	return ok && req.Method == msg.INVITE && req.To() != nil && req.To().Params.GetOr("tag", "") == ""
}

// admit decides, on the reader's goroutine and before any state, what becomes of a message. true: it was taken care of here; false: it goes to its loop at once.
func (e *Edge) admit(s *shard, in transport.Incoming, callID string) bool {
	fresh, key := freshInvite(in.Msg), uint64(0)
	if req, ok := in.Msg.(*msg.Request); ok {
		if e.scans(s, req, in) {
			return true
		}
		e.overloadTell(s, req, in)
		keepTell(req, in)
		if fresh {
			key = keyOf(req, in.Party)
			switch s.lobby.meet(key, callID) {
			case waitsAlready:
				return true // the first copy stands in the lobby and will be answered
			case metBefore:
				s.loop.Post(func() { s.repeated(in, key) })
				return true
			case stranger:
			}
		}
		if fresh && !in.OnlyEmergency && !e.mayCall(in) && !e.asksForHelp(in) {
			s.lobby.forget(key)
			e.turnAway(s, in, "rate", "1")
			return true
		}
	} else {
		e.overloadHear(in)
		e.keepHear(in)
		return false
	}
	switch s.lobby.enter(in, callID, fresh) {
	case passes:
		return false
	case first:
		s.loop.Post(s.usher)
	case full:
		if fresh && e.asksForHelp(in) {
			return false
		}
		s.lobby.forget(key)
		e.turnAway(s, in, "lobby", "5")
	case waits:
	}
	return true
}

// nextCall takes one new call out of the lobby and queues itself behind everything that came meanwhile.
func (s *shard) nextCall() {
	in, more := s.lobby.next(time.Now())
	if more {
		s.loop.Post(s.usher)
	}
	s.take(in)
}

// take handles one message on the loop of its Call-ID.
func (s *shard) take(in transport.Incoming) {
	if home := s.homeOf(in); home != s {
		home.loop.Post(func() { home.receive(in) })
		return
	}
	s.receive(in)
}

// receive handles one message on the loop of its call.
func (s *shard) receive(in transport.Incoming) {
	if in.OnlyEmergency && !s.excused(in) {
		return
	}
	if i := s.e.c.Impaired; i != nil && (i.Any() || len(s.late) > 0) && s.detains(in) {
		return
	}
	s.tx.Receive(in)
}

// mayCall spends one new call of its source's rate and of its party's.
func (e *Edge) mayCall(in transport.Incoming) bool {
	if !e.screen.take(in.Flow.Remote().Addr()) {
		return false
	}
	p := e.profiles.Load().byName[in.Party]
	return p == nil || e.spendRate(p, "in")
}

// asksForHelp says whether a message begins an emergency call: only the planner knows the numbers. It is asked when a call would be turned away.
func (e *Edge) asksForHelp(in transport.Incoming) bool {
	req, ok := in.Msg.(*msg.Request)
	p := e.profiles.Load().byName[in.Party]
	if !ok || p == nil || req.Method != msg.INVITE || req.From() == nil || req.To() == nil {
		return false
	}
	ask := routing.Request{From: p.Name, Called: calledUser(req), Domain: req.Recipient.Host, At: in.At}
	if req.Recipient.Scheme == "urn" {
		ask.Called, ask.Service = "", "urn:"+strings.ToLower(req.Recipient.Raw())
	}
	if e.c.AsksForHelp != nil {
		return e.c.AsksForHelp(ask)
	}
	return e.c.Planner.Plan(ask).Purpose == sovereign.EmergencyCall
}

// toldPerSecond bounds the refusals that one loop's lobby sends: beyond it silence is cheaper, and the sender's own timers tell it the same.
const toldPerSecond = 200

// turnAway refuses a new call without keeping anything. RFC 3261 section 8.2.7 lets a server answer so, and section 21.5.4 names 503 with Retry-After.
func (e *Edge) turnAway(s *shard, in transport.Incoming, why, after string) {
	e.noRoom(why)
	req, ok := in.Msg.(*msg.Request)
	if !ok || req.Method != msg.INVITE || in.OnlyEmergency || !in.Flow.Valid() {
		return
	}
	s.lobby.mu.Lock()
	may := s.lobby.told.Take(time.Now(), toldPerSecond, toldPerSecond)
	s.lobby.mu.Unlock()
	if may {
		_ = e.tl.Send(in.Flow, transaction.Stateless(req, 503, msg.NewHeader("Retry-After", after)))
	}
}

// away is the new calls that were turned away since the log last said so, and when that was.
type away struct{ calls, said atomic.Int64 }

// noRoom counts a new call that is turned away. The log tells the first one, and then at most one in quietFor with how many there were.
func (e *Edge) noRoom(why string) {
	e.metrics.turned.WithLabelValues(why).Inc()
	e.away.calls.Add(1)
	now, last := time.Now().UnixNano(), e.away.said.Load()
	if now-last >= int64(quietFor) && e.away.said.CompareAndSwap(last, now) {
		e.log.Warn("new calls are turned away with 503", "why", why, "calls", e.away.calls.Swap(0))
	}
}

// rates are the token buckets of parties.
type rates struct {
	sync.Mutex
	buckets map[string]*overload.Bucket
}

// spendRate takes one new call of a party's calls per second in one direction, in or out. Both directions have a bucket of their own.
func (e *Edge) spendRate(p *Party, direction string) bool {
	if p.MaxCPS <= 0 {
		return true
	}
	e.rates.Lock()
	defer e.rates.Unlock()
	if e.rates.buckets == nil {
		e.rates.buckets = map[string]*overload.Bucket{}
	}
	k := p.Name + "\n" + direction
	b := e.rates.buckets[k]
	if b == nil {
		b = new(overload.Bucket)
		e.rates.buckets[k] = b
	}
	return b.Take(time.Now(), p.MaxCPS, p.MaxCPS)
}

// forgetRates drops the buckets of parties that are gone.
func (e *Edge) forgetRates(list []Party) {
	e.rates.Lock()
	defer e.rates.Unlock()
	for k := range e.rates.buckets {
		if !slices.ContainsFunc(list, func(p Party) bool { return k == p.Name+"\nin" || k == p.Name+"\nout" }) {
			delete(e.rates.buckets, k)
		}
	}
}
