package plane

import (
	"hash/maphash"
	"net/netip"
	"time"

	"github.com/cordonsip/cordon/internal/osnet"
	"github.com/cordonsip/cordon/sovereign"
)

const (
	rebindIdle = time.Second
	strangers  = 20 // packets of unknown sources that are looked at, per second and socket
	newSources = 1  // sources of a leg without SRTP, per second, after the first ones
	maxTold    = 8  // refused sources that are told apart per lane and negotiation; the others are only counted
)

// watchtower is what is known of one lane beside its slot.
type watchtower struct {
	pass   *sovereign.Pass
	tokens float64
	filled int64           // unix ns
	told   [maxTold]uint32 // marks of refused sources that were told of; 0 none
}

// Why sources are refused that nobody asks the fence about. They are shared: nobody changes them.
var (
	elsewhere  = &sovereign.Ruling{Why: "the source is neither the address in the session description nor in a declared prefix"}
	movedTwice = &sovereign.Ruling{Why: "the far end moved already since the last offer and answer"}
)

// admissible is the cheap half of taking a source that is not the latched one: how often strangers are looked at, and whether a plain
// leg may ever take this one. An SRTP leg decides by authentication afterwards.
func (w *worker) admissible(l *leg, ln *lane, from *osnet.Name) bool {
	if l.web != nil && l.web.checks != (Checks{}) {
		return false // it moves by nomination alone
	}
	t := l.tower(ln)
	now := w.now
	t.tokens = min(t.tokens+float64(now-t.filled)/1e9*strangers, strangers)
	t.filled = now
	if t.tokens < 1 {
		return false
	}
	t.tokens--
	if l.flags&flagOpens != 0 {
		return true
	}
	if !l.announced(ln, from) {
		w.turnAway(l, ln, from, elsewhere)
		return false
	}
	// Two sources at once on a plain leg are an injection: only a far end that fell silent can have moved.
	return !ln.heard || now-ln.last >= int64(rebindIdle)
}

// announced says whether a source is at the address of the session description, whatever its port, or in a declared prefix.
func (l *leg) announced(ln *lane, from *osnet.Name) bool {
	addr := from.AddrPort().Addr()
	ok := addr == ln.said.AddrPort().Addr()
	for _, n := range l.open.Prefixes {
		ok = ok || n.Contains(addr)
	}
	return ok
}

// newcomer says whether a leg without SRTP takes a source that is not the one in use. Anybody can write the far end's address into a packet, and each new source
// makes its stream begin anew over there: few of them come in a call, so no more than a few are taken.
func (w *worker) newcomer(l *leg, ssrc uint32) bool {
	for i := range l.sources {
		if l.sources[i].ssrc == ssrc {
			return true
		}
	}
	l.ration = min(l.ration+float64(w.now-l.rationed)/1e9*newSources, plainSources)
	l.rationed = w.now
	if l.ration < 1 {
		return false
	}
	l.ration--
	return true
}

// far takes an admitted packet from `from` for the lane. A source that is not the latched one is judged and latched first; false refuses the packet.
func (w *worker) far(l *leg, ln *lane, from *osnet.Name) bool {
	if *from != ln.peer && !w.move(l, ln, from) {
		return false
	}
	if !w.clear(l, ln) {
		return false
	}
	ln.heard, ln.last = true, w.now
	return true
}

// clear says whether the fence lets packets go to the far end of the lane, and, with ICE, whether that wants them. A pass that died is told once, and once more when
// it lives again.
func (w *worker) clear(l *leg, ln *lane) bool {
	if ln.clear.Good(w.p.cfg.Fence.Epoch(), w.now) {
		return true
	}
	t, ok := l.tower(ln), false
	ln.clear, ok = t.pass.Clear(time.Unix(0, w.now))
	m := Move{Cause: "law", Ruling: t.pass.Ruled()}
	if ok && l.web != nil && ln == &l.slot.rtp {
		ok = w.consented(l, ln, &m)
	}
	if ok == !ln.fenced {
		return ok
	}
	ln.fenced = !ok
	m.From, m.To, m.Allowed = ln.peer.AddrPort(), ln.peer.AddrPort(), ok
	w.tell(l, ln, m)
	return ok
}

// move latches to a new source, if the lane may still move and the fence permits it.
func (w *worker) move(l *leg, ln *lane, from *osnet.Name) bool {
	left := ln.left
	if ln.heard {
		left--
	}
	if left < 0 {
		w.turnAway(l, ln, from, movedTwice)
		return false
	}
	to, was := from.AddrPort(), ln.peer.AddrPort()
	pass, ruling := w.judge(l, to, w.now)
	if pass == nil {
		kept := ruling
		w.turnAway(l, ln, from, &kept)
		return false
	}
	t := l.tower(ln)
	t.pass = pass
	ln.peer, ln.left, ln.heard, ln.fenced = *from, left, true, false
	ln.clear, _ = pass.Clear(time.Unix(0, w.now))
	ln.home = l.place(home(pass.Ruled()))
	w.tell(l, ln, Move{From: was, To: to, Cause: "rebind", Allowed: true, Ruling: pass.Ruled(), Pass: pass})
	return true
}

// turnAway tells of a refused source, once each, but for two of them in some hundred millions that share a mark.
func (w *worker) turnAway(l *leg, ln *lane, from *osnet.Name, r *sovereign.Ruling) {
	t, mark := l.tower(ln), max(uint32(maphash.Bytes(w.seed, from[:])), 1)
	i := 0
	for i < len(t.told) && t.told[i] != 0 && t.told[i] != mark {
		i++
	}
	if i == len(t.told) || t.told[i] == mark {
		return
	}
	t.told[i] = mark
	w.tell(l, ln, Move{From: ln.peer.AddrPort(), To: from.AddrPort(), Cause: "rebind", Ruling: r})
}

func (w *worker) tell(l *leg, ln *lane, m Move) {
	m.Leg, m.RTCP, m.At = Ref{l.number, l.serial}, ln == &l.rtcp, time.Unix(0, w.now)
	w.p.cfg.Events.Moved(m)
}

// judge asks the fence for an address of a leg's far end, to which packets have gone since began.
func (w *worker) judge(l *leg, to netip.AddrPort, began int64) (*sovereign.Pass, sovereign.Ruling) {
	if began == 0 {
		began = w.now
	}
	return w.p.cfg.Fence.Pass(sovereign.Ask{Party: l.open.Party, Plane: sovereign.Media, Purpose: l.open.Purpose, Addr: to, Began: began})
}

// home is the country that packets under a ruling are counted for.
func home(r *sovereign.Ruling) sovereign.Country {
	if r.Country == "" && len(r.Place.Countries) > 0 {
		return r.Place.Countries[0]
	}
	return r.Country
}

// aim points the lane at what a session description said. Where the same was said before, what is latched stays, and may move once more.
func (w *worker) aim(l *leg, ln *lane, a Aim) {
	t := l.tower(ln)
	t.told = [maxTold]uint32{}
	said, fits := osnet.NameOf(a.To, l.six)
	// Where it was aimed already its own pass is the one that counts: it may be there for no more than the rest of this session.
	same := fits && ln.aimed && ln.said == said && t.pass.Live(time.Unix(0, w.now))
	if a.To.IsValid() && fits && a.Pass == nil && !same {
		a.Pass, _ = w.judge(l, a.To, a.Began)
	}
	if !a.To.IsValid() || !fits || a.Pass == nil && !same {
		*ln = lane{}
		t.pass = nil
		return
	}
	if same || ln.aimed && ln.said == said && w.resumed(l, ln, a.Began) {
		ln.left = 1
		return
	}
	m := Move{To: a.To, Cause: a.Cause, Allowed: true, Ruling: a.Pass.Ruled(), Pass: a.Pass}
	if ln.aimed {
		m.From = ln.peer.AddrPort()
	}
	*ln = lane{peer: said, said: said, home: l.place(home(a.Pass.Ruled())), left: 1, aimed: true}
	t.pass = a.Pass
	ln.clear, _ = a.Pass.Clear(time.Unix(0, w.now))
	w.tell(l, ln, m)
}

// resumed gives a lane that another plane latched its pass, for a session that has been sending since began; false when the fence has none for it.
func (w *worker) resumed(l *leg, ln *lane, began int64) bool {
	t := l.tower(ln)
	if t.pass == nil {
		t.pass, _ = w.judge(l, ln.peer.AddrPort(), began)
	}
	return t.pass != nil
}
