package sip

import (
	"sync"
	"sync/atomic"

	"github.com/cordonsip/cordon/sip/header"
	"github.com/cordonsip/cordon/sip/transport"
	msg "github.com/emiago/sipgo/sip"
)

// A call lives on one loop, and an INVITE with Replaces comes into a call that is up: its dialog is a guest of that call's loop when its own Call-ID belongs to
// another one. The loop of the Call-ID sees every message first and hands those of a guest over, so they keep their order and nothing else pays for it.

// maxGuests bounds what INVITEs with Replaces can make us remember.
const maxGuests = 4096

// guests are the dialogs that live on another loop than that of their Call-ID.
type guests struct {
	n  atomic.Int64
	at sync.Map // guestKey -> *guest
}

type guest struct {
	home  atomic.Pointer[shard]
	stays atomic.Bool // a call needs it; else it is forgotten once its transaction must be over
}

// guestKey names a dialog by its Call-ID and its peer's tag: who knows neither of another's call moves nothing of it.
func guestKey(callID, peerTag string) string { return callID + "\n" + peerTag }

func (g *guests) find(callID, peerTag string) *guest {
	if g.n.Load() == 0 {
		return nil
	}
	if v, ok := g.at.Load(guestKey(callID, peerTag)); ok {
		return v.(*guest)
	}
	return nil
}

// add lets a dialog in, for as long as the transaction of its INVITE can last after a refusal. False: there is no room.
func (g *guests) add(s, home *shard, callID, peerTag string) bool {
	if g.n.Add(1) > maxGuests {
		g.n.Add(-1)
		return false
	}
	x := &guest{}
	x.home.Store(home)
	if _, again := g.at.LoadOrStore(guestKey(callID, peerTag), x); again {
		g.n.Add(-1)
		return false
	}
	s.loop.After(2*64*s.e.c.Timers.T1, func() {
		if !x.stays.Load() {
			g.forget(callID, peerTag)
		}
	})
	return true
}

// hold keeps a place for a dialog of loop s that is about to move to another one, where messages go once its home is set. It gives a host that nobody reads when none
// is needed, and nil when there is no room.
func (g *guests) hold(s, to *shard, callID, peerTag string) *guest {
	if x := g.find(callID, peerTag); x != nil {
		return x
	}
	x := &guest{}
	x.home.Store(s)
	if s == to {
		return x
	}
	if g.n.Add(1) > maxGuests {
		g.n.Add(-1)
		return nil
	}
	x.stays.Store(true)
	g.at.Store(guestKey(callID, peerTag), x)
	return x
}

func (g *guests) forget(callID, peerTag string) {
	if _, was := g.at.LoadAndDelete(guestKey(callID, peerTag)); was {
		g.n.Add(-1)
	}
}

// stay keeps the dialog of a leg with its call's loop until entomb lets it go.
func (l *leg) stay() {
	if g := l.c.sh.e.guests.find(l.callID, l.dlg.Remote.Tag); g != nil {
		g.stays.Store(true)
		l.guest = true
	}
}

// peerTagOf is the tag that the sender of a message has in its dialog.
func peerTagOf(m msg.Message) string {
	switch m := m.(type) {
	case *msg.Request:
		if f := m.From(); f != nil {
			return f.Params.GetOr("tag", "")
		}
	case *msg.Response:
		if t := m.To(); t != nil {
			return t.Params.GetOr("tag", "")
		}
	}
	return ""
}

// homeOf is the loop that handles a message whose Call-ID belongs to loop s: s itself, but for guests.
func (s *shard) homeOf(in transport.Incoming) *shard {
	g := &s.e.guests
	if g.n.Load() > 0 {
		if x := g.find(in.Msg.CallID().Value(), peerTagOf(in.Msg)); x != nil {
			return x.home.Load()
		}
	}
	if !freshInvite(in.Msg) || !has(in.Msg, "replaces") {
		return s
	}
	r, status := replacesOf(in.Msg)
	if status != 0 {
		return s
	}
	r, _ = s.e.aliases.real(r, in.Party)
	home := s.e.loopOf(r)
	if home == s || !g.add(s, home, in.Msg.CallID().Value(), peerTagOf(in.Msg)) {
		return s
	}
	return home
}

// loopOf is the loop where the dialog lives that r names, if it lives at all.
func (e *Edge) loopOf(r replaces) *shard {
	if x := e.guests.find(r.callID, r.from); x != nil {
		return x.home.Load()
	}
	return e.shards[shardOf(r.callID, len(e.shards))]
}

// replacesOf reads the one Replaces of an INVITE. A status other than 0 says what is wrong with it. RFC 3891 section 3: more than one, and what contradicts it,
// is 400; RFC 3911 section 4 says that Join does.
func replacesOf(m msg.Message) (replaces, int) {
	all := values(m, "replaces")
	if len(all) != 1 || len(header.Split(all[0], ',')) != 1 || value(m, "join") != "" {
		return replaces{}, 400
	}
	r, ok := readReplaces(all[0])
	if !ok {
		return replaces{}, 400
	}
	return r, 0
}

// seat lets a dialog of a call that outlived a process live on the call's loop. There is room: its call was let in before.
func (g *guests) seat(home *shard, callID, peerTag string) {
	x := &guest{}
	x.home.Store(home)
	x.stays.Store(true)
	if _, again := g.at.Swap(guestKey(callID, peerTag), x); !again {
		g.n.Add(1)
	}
}
