package plane

import "github.com/cordonsip/cordon/internal/osnet"

// MaxDatagram is how many bytes a datagram may have that crosses: what is larger is no packet of a call.
const MaxDatagram = maxPacket - 1

// leastDatagram is what the shortest packet of UDPTL has: a sequence number, the length of what it carries, and that. ITU-T T.38 section 9.1.
const leastDatagram = 4

// Crossed is what was counted of datagrams that are no RTP.
type Crossed struct {
	Packets, Bytes uint64 // that came
	Sent           uint64 // packets that left
	Last           int64  // when one came last, unix ns; 0 never
}

// opaque takes one datagram of a leg that speaks no RTP at present (Set.Opaque): it leaves to the other leg byte for byte. Nothing authenticates it, so it comes from the
// far end that a leg without SRTP may have (admissible), where the fence lets packets go, or it does not come. Nothing is read of it but whether it is audio that
// is late, and nothing of it is shown to a watcher: it has no header that is not content.
func (w *worker) opaque(l *leg, ln *lane, b []byte, from *osnet.Name) {
	switch {
	case ln != &l.slot.rtp, len(b) < leastDatagram, *from != ln.peer && !w.admissible(l, ln, from):
		l.refused++
		return
	case l.late(b): // before it can be latched: its far end may send what is expected from another port
		w.p.dropped.Add(1)
		return
	case !w.far(l, ln, from):
		l.refused++
		return
	}
	l.from[ln.home]++
	l.crossed.Packets++
	l.crossed.Bytes += uint64(len(b))
	l.crossed.Last = w.now
	if l.other == 0 {
		return
	}
	const takes = flagLive | flagWants | flagOpaque
	if o, ok := w.leg(l.other); ok && o.flags&takes == takes && o.rtp.aimed && w.write(&o, &o.rtp, b) {
		o.crossed.Sent++
	}
}

// late says that a datagram is RTP of a source that was heard before: it was under way when the far end left off speaking RTP. Who takes it for UDPTL believes its first octets, which
// are 32,768 and more, to be a sequence number, and what follows to be old.
func (l *leg) late(b []byte) bool {
	h, ok := ParseHeader(b)
	if !ok {
		return false
	}
	if l.current.on && l.current.ssrc == h.SSRC {
		return true
	}
	for i := range l.sources {
		if l.sources[i].ssrc == h.SSRC {
			return true
		}
	}
	return false
}
