package media

import (
	"crypto/rand"
	"encoding/binary"
	"fmt"
	"net/netip"
	"time"

	"github.com/pion/rtcp"
)

// control takes one RTCP packet and passes it on. RTCP is rare, so both directions of a session share one lock.
func (p *port) control(w *work, st *state, la *latch, b []byte, from netip.AddrPort, now time.Time) {
	l := p.leg
	if len(b) < 8 || b[0]>>6 != 2 || from != la.addr && !p.admissible(st, la, from, now) {
		l.refused.Add(1)
		return
	}
	l.s.ctl.Lock()
	defer l.s.ctl.Unlock()
	if st.in != nil {
		var err error
		if b, err = st.in.openRTCP(w.plain[:0], b); err != nil {
			l.refused.Add(1)
			return
		}
	}
	if la = p.far(la, from, now); la == nil {
		l.refused.Add(1)
		return
	}
	packets, err := rtcp.Unmarshal(b)
	if err != nil {
		l.refused.Add(1)
		return
	}
	l.s.r.control.Add(1)
	if other := l.s.legs[1-l.side].Load(); other != nil {
		other.relay(l, st, packets, now)
	} else {
		l.listen(packets, now)
	}
}

// relay sends to the far end of l what the far end of `by` reported. Only sender and receiver reports and goodbyes cross: source
// descriptions name people and hosts, and nothing else was negotiated. It runs under s.ctl.
func (l *leg) relay(by *leg, bySt *state, packets []rtcp.Packet, now time.Time) {
	st := l.state.Load()
	if st == nil {
		return
	}
	if out := l.rewrite(by, st, bySt, packets, now); len(out) > 0 {
		l.post(st, out)
	}
}

// post sends a compound packet to the far end of l.
func (l *leg) post(st *state, packets []rtcp.Packet) {
	p := &l.rtcp
	if st.mux {
		p = &l.rtp
	}
	la := p.latch.Load()
	if la == nil {
		return
	}
	b, err := rtcp.Marshal(packets)
	if err == nil && st.out != nil {
		b, err = st.out.sealRTCP(b)
	}
	if err != nil {
		l.s.r.dropped.Add(1)
		return
	}
	p.write(b, la)
}

// rewrite turns reports of `by`'s far end into ours for l's: SSRCs as they leave, a canonical name of ours, no extensions. It reads
// round trip and loss on the way.
func (l *leg) rewrite(by *leg, st, bySt *state, packets []rtcp.Packet, now time.Time) []rtcp.Packet {
	var out []rtcp.Packet
	var sender uint32
	for _, p := range packets {
		switch r := p.(type) {
		case *rtcp.SenderReport:
			sender = st.out.outgoing(r.SSRC)
			l.noted(uint32(r.NTPTime>>16), now)
			by.heardOf(r.Reports, now)
			out = append(out, &rtcp.SenderReport{
				SSRC: sender, NTPTime: r.NTPTime, RTPTime: r.RTPTime,
				PacketCount: r.PacketCount, OctetCount: r.OctetCount, Reports: blocks(r.Reports, bySt),
			})
		case *rtcp.ReceiverReport:
			sender = st.out.outgoing(r.SSRC)
			by.heardOf(r.Reports, now)
			out = append(out, &rtcp.ReceiverReport{SSRC: sender, Reports: blocks(r.Reports, bySt)})
		case *rtcp.Goodbye:
			bye := &rtcp.Goodbye{}
			for _, s := range r.Sources {
				bye.Sources = append(bye.Sources, st.out.outgoing(s))
			}
			out = append(out, bye)
		}
	}
	if len(out) == 0 {
		return nil
	}
	if _, ok := out[0].(*rtcp.Goodbye); ok {
		// RFC 3550 section 6.1: a compound packet begins with a report.
		if b := out[0].(*rtcp.Goodbye); len(b.Sources) > 0 {
			sender = b.Sources[0]
		}
		out = append([]rtcp.Packet{&rtcp.ReceiverReport{SSRC: sender}}, out...)
	}
	name := rtcp.NewCNAMESourceDescription(sender, l.s.canonical(l.side))
	return append(out[:1:1], append([]rtcp.Packet{name}, out[1:]...)...)
}

// blocks maps the SSRCs that a far end reports on back to those that the other side sent.
func blocks(in []rtcp.ReceptionReport, st *state) []rtcp.ReceptionReport {
	out := make([]rtcp.ReceptionReport, len(in))
	for i, b := range in {
		b.SSRC = st.out.incoming(b.SSRC)
		out[i] = b
	}
	return out
}

// heardOf reads what the far end of l says of the stream that we send it. RFC 3550 section 6.4.1: round trip = A - LSR - DLSR, with the
// moment at which we passed that sender report on in place of its own clock, so only this leg is measured.
func (l *leg) heardOf(in []rtcp.ReceptionReport, now time.Time) {
	for _, b := range in {
		l.txLost.Store(int64(int32(b.TotalLost<<8) >> 8))
		if b.LastSenderReport == 0 {
			continue
		}
		if at, ok := l.sent.when(b.LastSenderReport); ok {
			rtt := now.Sub(at) - time.Duration(b.Delay)*time.Second/65536
			l.rtt.Store(int64(max(rtt, 0)))
		}
	}
}

// listen reads reports when there is nobody to pass them on to.
func (l *leg) listen(packets []rtcp.Packet, now time.Time) {
	for _, p := range packets {
		switch r := p.(type) {
		case *rtcp.SenderReport:
			l.got = gotReport{ssrc: r.SSRC, ntp: uint32(r.NTPTime >> 16), at: now}
			l.heardOf(r.Reports, now)
		case *rtcp.ReceiverReport:
			l.heardOf(r.Reports, now)
		}
	}
}

// originate sends a sender report of our own about what we send as ssrc and what we got. It runs under s.ctl.
func (l *leg) originate(ssrc, ts, packets, octets uint32, now time.Time) {
	st := l.state.Load()
	if st == nil {
		return
	}
	// NTP time, RFC 3550 section 4: seconds since 1900 and a binary fraction.
	ntp := uint64(now.Unix()+2208988800)<<32 | uint64(now.Nanosecond())<<32/1e9
	l.noted(uint32(ntp>>16), now)
	sr := &rtcp.SenderReport{SSRC: ssrc, NTPTime: ntp, RTPTime: ts, PacketCount: packets, OctetCount: octets}
	if g := l.got; !g.at.IsZero() {
		sr.Reports = []rtcp.ReceptionReport{{
			SSRC: g.ssrc, TotalLost: uint32(max(l.lost.Load(), 0)) & 0xffffff, LastSenderReport: g.ntp,
			Delay: uint32(now.Sub(g.at) * 65536 / time.Second),
		}}
	}
	l.post(st, []rtcp.Packet{sr, rtcp.NewCNAMESourceDescription(ssrc, l.s.canonical(l.side))})
}

// gotReport is the last sender report of the far end.
type gotReport struct {
	ssrc, ntp uint32
	at        time.Time
}

// sentReports remembers when the last sender reports were passed on, by the middle 32 bits of their NTP time.
type sentReports struct {
	at   [8]time.Time
	ntp  [8]uint32
	next int
}

func (s *sentReports) note(ntp uint32, at time.Time) {
	s.at[s.next], s.ntp[s.next] = at, ntp
	s.next = (s.next + 1) % len(s.at)
}

// noted remembers that a sender report leaves to the far end of l.
func (l *leg) noted(ntp uint32, at time.Time) {
	if l.sent == nil {
		l.sent = &sentReports{}
	}
	l.sent.note(ntp, at)
}

func (s *sentReports) when(ntp uint32) (time.Time, bool) {
	if s == nil {
		return time.Time{}, false
	}
	for i := range s.at {
		if s.ntp[i] == ntp && !s.at[i].IsZero() {
			return s.at[i], true
		}
	}
	return time.Time{}, false
}

// canonical is the name under which a side's reports leave. It runs under s.ctl.
func (s *Session) canonical(side Side) string {
	if s.cname[side] == "" {
		s.cname[side] = fmt.Sprintf("%08x", random32())
	}
	return s.cname[side]
}

func random32() uint32 {
	var b [4]byte
	rand.Read(b[:])
	return binary.BigEndian.Uint32(b[:])
}
