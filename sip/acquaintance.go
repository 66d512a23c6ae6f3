package sip

import (
	"encoding/binary"
	"hash/maphash"
	"strings"
	"time"

	"github.com/cordonsip/cordon/sip/transport"
	msg "github.com/emiago/sipgo/sip"
)

// An INVITE that comes again is the same call: it is neither charged nor refused, because its first copy may ring already. Whether a transaction is there is known
// on its loop alone, so the door remembers which INVITEs it let in and asks the loop about those.

// The bounds of that memory: two halves, of which the older is dropped. A client sends its INVITE again for 64*T1 at most (RFC 3261 section 17.1.1.2, Timer B).
const (
	maxMet   = 16384
	halfLife = 32 * time.Second
)

// acquaintances are the INVITEs that were let in lately, by their keys. The lobby's lock guards them.
type acquaintances struct {
	now, before map[uint64]struct{}
	since       time.Time
}

// acquaintance is what the door knows of a new INVITE.
type acquaintance uint8

const (
	stranger     acquaintance = iota // remembered from now on
	metBefore                        // a copy of it went to the loop
	waitsAlready                     // a copy of it waits in the lobby
)

var keySeed = maphash.MakeSeed()

// keyOf is what an INVITE and its CANCEL have in common and no other call has. RFC 3261 section 17.2.3, and what stands for a branch of RFC 2543. 0: it has no Via.
func keyOf(req *msg.Request, party string) uint64 {
	via, from, seq, id := req.Via(), req.From(), req.CSeq(), req.CallID()
	if via == nil || from == nil || seq == nil || id == nil {
		return 0
	}
	branch, _ := via.Params.Get("branch")
	tag, _ := from.Params.Get("tag")
	var h maphash.Hash
	h.SetSeed(keySeed)
	for _, s := range [...]string{party, strings.ToLower(via.Host), branch, tag, id.Value()} {
		_, _ = h.WriteString(s)
		_ = h.WriteByte(0)
	}
	var n [8]byte
	binary.LittleEndian.PutUint32(n[:], uint32(via.Port))
	binary.LittleEndian.PutUint32(n[4:], seq.SeqNo)
	_, _ = h.Write(n[:])
	return max(h.Sum64(), 1)
}

// meet says what is known of a new INVITE, and remembers it.
func (b *lobby) meet(key uint64, callID string) acquaintance {
	b.mu.Lock()
	defer b.mu.Unlock()
	m := &b.met
	switch {
	case key == 0:
		return stranger
	case !m.has(key):
	case b.ids[callID] > 0:
		return waitsAlready
	default:
		return metBefore
	}
	if now := time.Now(); m.now == nil || len(m.now) >= maxMet || now.Sub(m.since) >= halfLife {
		m.now, m.before, m.since = map[uint64]struct{}{}, m.now, now
	}
	m.now[key] = struct{}{}
	return stranger
}

func (m *acquaintances) has(key uint64) bool {
	if _, ok := m.now[key]; ok {
		return true
	}
	_, ok := m.before[key]
	return ok
}

// knows says whether an INVITE with that key was let in lately.
func (b *lobby) knows(key uint64) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.met.has(key)
}

// forget is for what was not let in after all.
func (b *lobby) forget(key uint64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.met.now, key)
	delete(b.met.before, key)
}

// repeated takes an INVITE that came before, on the loop. Where its transaction is over it is a new call, which goes through the door like any other.
func (s *shard) repeated(in transport.Incoming, key uint64) {
	home := s.homeOf(in)
	if home != s {
		home.loop.Post(func() { home.repeatedAtHome(in, s, key) })
		return
	}
	s.repeatedAtHome(in, s, key)
}

func (s *shard) repeatedAtHome(in transport.Incoming, door *shard, key uint64) {
	if req, ok := in.Msg.(*msg.Request); ok && s.tx.Serves(req, in) {
		s.tx.Receive(in)
		return
	}
	door.lobby.forget(key)
	s.e.Receive(in)
}
