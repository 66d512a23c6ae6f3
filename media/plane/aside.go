package plane

import (
	"net/netip"
	"time"

	"github.com/cordonsip/cordon/internal/osnet"
	"github.com/cordonsip/cordon/media/ice"
	"github.com/cordonsip/cordon/sovereign"
)

// Checks are what the connectivity checks of a far end are made with, RFC 8445. The zero Checks are none.
type Checks struct {
	Own  ice.Credentials
	Peer string // its ufrag; "" while no description of it has come
}

// Bounds of what is looked at per second and at once, beside media. A check of the far end's comes every few seconds, before its nomination every 50 ms for each pair;
// a handshake is some 20 datagrams. Strangers have a bound of their own, so that none of them takes from the far end's.
const (
	checksRate, checksBurst   = 50, 100
	shakesRate, shakesBurst   = 50, 100
	movesRate, movesBurst     = 0.5, 10 // nominations that point a leg elsewhere, each of which is told
	givenRate, givenBurst     = 2000, 4000
	maxSaid                   = 1500 // of a datagram of DTLS
	consentEvery              = int64(time.Second)
	consentRefused            = "the far end has stopped asking for packets (RFC 7675)"
	causeConsent, causeNamed  = "consent", "nominate"
	knownSource, otherSources = 0, 1
)

// web is what is known of a leg on whose RTP socket more comes than RTP and RTCP.
type web struct {
	checks Checks
	agent  ice.Agent
	dtls   bool
	lapsed bool   // that the far end wants packets no more was told
	epoch  uint64 // of the fence, under which addresses were refused
	check  [2]ration
	shake  [2]ration
	moves  ration
}

// ration is how much of something is taken: a bucket that fills with time.
type ration struct {
	spent  float64
	filled int64 // unix ns
}

// take takes one. rate is by second.
func (r *ration) take(now int64, rate, burst float64) bool {
	r.spent = max(r.spent-float64(max(now-r.filled, 0))/1e9*rate, 0)
	r.filled = now
	if r.spent+1 > burst {
		return false
	}
	r.spent++
	return true
}

// attend gives a leg what it needs for checks and handshakes, or takes it away. It gives the flag of that.
func (w *worker) attend(l *leg, n Set) uint32 {
	if !n.Aside && n.Checks == (Checks{}) || n.Opaque { // what is opaque may begin with any byte
		l.web = nil
		l.flags &^= flagAside
		return 0
	}
	if l.web == nil {
		l.web = &web{}
	}
	g := l.web
	g.dtls = n.Aside
	var err error
	switch was := g.checks; {
	case n.Checks == was:
	case n.Checks == (Checks{}):
		g.agent = ice.Agent{}
	case was == (Checks{}):
		g.agent, err = ice.New(n.Checks.Own, n.Checks.Peer)
	case was.Own == n.Checks.Own:
		err = g.agent.Meet(n.Checks.Peer)
	default:
		err = g.agent.Restart(n.Checks.Own, n.Checks.Peer)
	}
	if err != nil {
		w.p.cfg.Logger.Error("plane: checks that cannot be made", "session", l.open.Session, "err", err)
		return flagAside
	}
	g.checks = n.Checks
	return flagAside
}

// goOn takes up where a leg with checks was pointed by another plane, which nobody but the far end knows.
func (w *worker) goOn(l *leg, began int64) {
	ln := &l.slot.rtp
	if !ln.aimed || l.tower(ln).pass != nil {
		return
	}
	if !w.resumed(l, ln, began) {
		*ln = lane{}
		return
	}
	if l.web.checks != (Checks{}) {
		l.web.agent.Agree(time.Duration(w.now), ice.Event{From: ln.peer.AddrPort()})
	}
}

// aside takes a datagram that is neither RTP nor RTCP, by its first byte: RFC 7983 section 7. False: it may be one of them.
func (w *worker) aside(l *leg, ln *lane, b []byte, from *osnet.Name) bool {
	if len(b) == 0 || b[0] >= 64 || ln != &l.slot.rtp {
		return false
	}
	who := otherSources
	if ln.aimed && *from == ln.peer {
		who = knownSource
	}
	taken := false
	switch ice.KindOf(b) {
	case ice.STUN:
		taken = l.web.checks != (Checks{}) && l.web.check[who].take(w.now, checksRate, checksBurst) && w.checked(l, ln, b, from)
	case ice.DTLS:
		taken = l.web.dtls && w.shaken(l, ln, b, from, who)
	}
	if !taken {
		l.refused++
	}
	return true
}

// checked answers a check, and points the lane at a far end that nominates its address: the fence is asked before anything leaves.
func (w *worker) checked(l *leg, ln *lane, b []byte, from *osnet.Name) bool {
	g, at, now := l.web, from.AddrPort(), time.Duration(w.now)
	if e := w.p.cfg.Fence.Epoch(); e != g.epoch {
		g.epoch = e
		g.agent.Forgive()
	}
	out, event := g.agent.Handle(now, b, at, w.spare[:ice.ReplyLen])
	if len(out) == 0 {
		return false
	}
	pass := l.tower(ln).pass
	if !ln.aimed || *from != ln.peer {
		var ruling sovereign.Ruling
		if pass, ruling = w.judge(l, at, w.now); pass == nil {
			g.agent.Refuse(at)
			kept := ruling
			w.turnAway(l, ln, from, &kept)
			return false
		}
	}
	if event.What == ice.Nominated && g.moves.take(w.now, movesRate, movesBurst) {
		g.agent.Agree(now, event)
		w.nominate(l, ln, from, pass)
	}
	if g.lapsed && !g.agent.Lapsed(now) {
		w.clear(l, ln)
	}
	return w.utter(l, out, from, pass)
}

// nominate points the lane where the far end wants it. That it was asked from there, with our password, is what ICE proves.
func (w *worker) nominate(l *leg, ln *lane, at *osnet.Name, pass *sovereign.Pass) {
	if ln.aimed && *at == ln.peer {
		return
	}
	m := Move{To: at.AddrPort(), Cause: causeNamed, Allowed: true, Ruling: pass.Ruled(), Pass: pass}
	if ln.aimed {
		m.From = ln.peer.AddrPort()
	}
	*ln = lane{peer: *at, said: *at, home: l.place(home(pass.Ruled())), aimed: true}
	l.tower(ln).pass = pass
	l.web.lapsed = false
	w.tell(l, ln, m)
}

// consented says whether the far end wants what is sent there, RFC 7675: one that has shown that it goes on with its checks must not stop. It writes into m what
// must be told of that.
func (w *worker) consented(l *leg, ln *lane, m *Move) bool {
	g, now := l.web, time.Duration(w.now)
	if g.checks == (Checks{}) {
		return true
	}
	if g.lapsed {
		m.Cause = causeConsent
	}
	if g.agent.Renews() && g.agent.Lapsed(now) {
		g.lapsed, ln.clear = true, sovereign.Clearance{}
		m.Cause, m.Ruling = causeConsent, &sovereign.Ruling{Why: consentRefused}
		return false
	}
	g.lapsed = false
	ln.clear = ln.clear.Until(w.now + consentEvery)
	return true
}

// shaken gives a datagram of a handshake to who hears of events. With ICE it must come from where the far end nominated, else from where the session description
// said, as any packet that nothing authenticates.
func (w *worker) shaken(l *leg, ln *lane, b []byte, from *osnet.Name, who int) bool {
	if who != knownSource && (l.web.checks != (Checks{}) || !ln.aimed || !l.announced(ln, from)) || len(b) > maxSaid {
		return false
	}
	if !l.web.shake[who].take(w.now, shakesRate, shakesBurst) || !w.given.take(w.now, givenRate, givenBurst) {
		return false
	}
	w.p.cfg.Events.Aside(l.ref(), from.AddrPort(), b)
	return true
}

// Say implements Commands.
func (p *Plane) Say(r Ref, to netip.AddrPort, datagram []byte) {
	w := p.worker(r.Slot)
	w.lock()
	defer w.mu.Unlock()
	l, ok := w.of(r)
	if !ok || l.flags&flagAside == 0 || len(datagram) > maxSaid {
		return
	}
	ln := &l.slot.rtp
	name, fits := osnet.NameOf(to, l.six)
	switch {
	case !fits:
	case ln.aimed && name == ln.peer:
		if w.clear(&l, ln) {
			w.utter(&l, datagram, &name, l.tower(ln).pass)
		}
	case l.web.checks == (Checks{}): // else nobody there asked for it, RFC 7675 section 5.1
		pass, ruling := w.judge(&l, to, w.now)
		if pass == nil {
			w.turnAway(&l, ln, &name, &ruling)
			return
		}
		w.utter(&l, datagram, &name, pass)
	}
}

// utter sends what is no media, on a pass for the address that it goes to.
func (w *worker) utter(l *leg, b []byte, to *osnet.Name, pass *sovereign.Pass) bool {
	if _, ok := pass.Clear(time.Unix(0, w.now)); !ok || l.flags&flagImpaired != 0 && w.loses(l) {
		return false
	}
	if fd := l.fds[0]; fd >= 0 {
		return osnet.Send(int(fd), b, to) == 0
	}
	_, err := l.pair.conns[0].Write(b, pass)
	return err == nil
}
