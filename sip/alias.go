package sip

import (
	"sync"
	"sync/atomic"
)

// A REFER that is sent on may name another call of its sender. The other side must see neither the Call-ID nor a tag of that call, so it gets a name that was made
// for it: an INVITE with Replaces of that party finds the dialog by it, and may replace it, because who has the dialog asked for that. RFC 3891 section 4.

// maxAliases bounds what REFERs can make us remember.
const maxAliases = 1024

type aliases struct {
	n  atomic.Int64
	at sync.Map // the made-up Call-ID -> alias
}

type alias struct {
	names, real replaces
	party       string // who may use it
}

// make gives a name for a dialog that one party may use for as long as a REFER lasts; nil when there is no room.
func (a *aliases) make(s *shard, real replaces, party string) *replaces {
	if a.n.Add(1) > maxAliases {
		a.n.Add(-1)
		return nil
	}
	x := alias{names: replaces{callID: token(24), to: token(12), from: token(12), early: real.early}, real: real, party: party}
	a.at.Store(x.names.callID, x)
	s.loop.After(referLasts, func() {
		a.at.Delete(x.names.callID)
		a.n.Add(-1)
	})
	return &x.names
}

// real is the dialog that a party names, and whether it was asked to replace it.
func (a *aliases) real(r replaces, party string) (replaces, bool) {
	if a.n.Load() == 0 {
		return r, false
	}
	v, ok := a.at.Load(r.callID)
	if !ok {
		return r, false
	}
	if x := v.(alias); x.names.to == r.to && x.names.from == r.from && x.party == party {
		x.real.early = r.early
		return x.real, true
	}
	return r, false
}
