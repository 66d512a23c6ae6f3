package plane

import (
	"time"

	"github.com/cordonsip/cordon/internal/osnet"
)

const (
	maxPacket = 2048 // a UDP payload that is larger is no voice packet
	slack     = 1024 // more than what sealing adds, or a report of ours
)

// packet takes one datagram that came on a lane of a leg. b has slack behind it.
func (w *worker) packet(l *leg, ln *lane, b []byte, from *osnet.Name) {
	if l.flags&(flagAside|flagImpaired) != 0 && w.diverted(l, ln, b, from) {
		return
	}
	switch {
	case l.flags&flagLive == 0 || !ln.aimed:
		l.refused++
	case l.flags&flagOpaque != 0:
		w.opaque(l, ln, b, from)
	case ln == &l.rtcp || l.flags&flagMux != 0 && isRTCP(b):
		w.report(l, ln, b, from)
	default:
		w.media(l, ln, b, from)
	}
}

// media takes one RTP packet. The order is: source, authentication, law, counting.
func (w *worker) media(l *leg, ln *lane, b []byte, from *osnet.Name) {
	h, ok := ParseHeader(b)
	if !ok || *from != ln.peer && !w.admissible(l, ln, from) {
		l.refused++
		return
	}
	n := len(b)
	shown := 0
	if l.flags&flagWatched != 0 {
		shown = copy(w.shown[:], b[:h.Full])
	}
	if l.flags&flagOpens != 0 {
		if b, ok = l.theirs.open(l.slot, b, h, w.spare[:]); !ok {
			l.refused++
			return
		}
	} else if l.current.ssrc != h.SSRC && !w.newcomer(l, h.SSRC) {
		l.refused++
		return
	}
	if !w.far(l, ln, from) {
		l.refused++
		return
	}
	l.from[ln.home]++
	if shown > 0 {
		w.p.cfg.Events.Passed(l.ref(), true, time.Unix(0, w.now), from.AddrPort(), w.shown[:shown], n)
	}
	v := l.tally(l.beside, h, n, w.now)
	if l.other != 0 {
		if o, ok := w.leg(l.other); ok {
			b = bare(b, h)
			if l.flags&flagRenames != 0 {
				l.rename(b)
			}
			if (l.flags|o.flags)&flagDigits != 0 {
				if b, ok = w.digits(l, &o, b, h, v); !ok {
					return
				}
			}
			if w.send(&o, b, h, v) {
				l.current.passed++
				l.current.octets += uint32(len(b) - h.Base)
			}
		}
	} else if l.open.Sink != nil {
		l.open.Sink(Turn{w, l.number}, b[h.Full:], h)
	}
}

// maxShown is how much of a header a watcher sees.
const maxShown = 128

// send passes one plain RTP packet on to the far end of l, and says whether it left. It may change b, which has slack behind it.
func (w *worker) send(l *leg, b []byte, h Header, v verdict) bool {
	if l.flags&(flagLive|flagWants|flagOpaque) != flagLive|flagWants || !l.rtp.aimed {
		return false
	}
	if l.flags&flagSeals != 0 {
		if v.stray {
			return false // its index can't be told yet
		}
		var ok bool
		if b, ok = l.ours.seal(l.slot, b, h.Base, h.SSRC, v.ext, v.fresh); !ok {
			w.p.dropped.Add(1)
			return false
		}
	}
	if !w.write(l, &l.rtp, b) {
		return false
	}
	l.sent++
	if l.flags&flagWatched != 0 {
		w.p.cfg.Events.Passed(l.ref(), false, time.Unix(0, w.now), l.rtp.peer.AddrPort(), b[:min(h.Base, len(b))], len(b))
	}
	return true
}

// write sends b to the far end of a lane. It is the only place where media leaves.
func (w *worker) write(l *leg, ln *lane, b []byte) bool {
	if !w.clear(l, ln) || l.flags&flagImpaired != 0 && w.loses(l) {
		return false
	}
	i := 0
	if ln == &l.rtcp {
		i = 1
	}
	if fd := l.fds[i]; fd >= 0 {
		if osnet.Send(int(fd), b, &ln.peer) == 0 {
			return true
		}
	} else if _, err := l.pair.conns[i].Write(b, l.tower(ln).pass); err == nil {
		return true
	}
	w.p.dropped.Add(1)
	return false
}

// Turn is the moment at which a Sink runs.
type Turn struct {
	w   *worker
	leg uint32
}

// Now is when the packet came.
func (t Turn) Now() time.Time { return time.Unix(0, t.w.now) }

// Back sends an RTP packet to where the one that is listened to came from. b is plain; ext is its extended sequence number, and fresh says that its numbers begin anew.
func (t Turn) Back(b []byte, ext uint32, fresh bool) {
	if l, ok := t.w.leg(t.leg); ok {
		t.w.emit(&l, b, ext, fresh)
	}
}

// emit sends an RTP packet of our own.
func (w *worker) emit(l *leg, b []byte, ext uint32, fresh bool) {
	if h, ok := ParseHeader(b); ok && len(b) <= maxPacket {
		n := copy(w.made[:], b)
		w.send(l, w.made[:n], h, verdict{ext: ext, fresh: fresh})
	}
}
