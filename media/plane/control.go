package plane

import (
	"crypto/rand"
	"encoding/base64"
	"math"
	"time"

	"github.com/pion/rtcp"

	"github.com/cordonsip/cordon/internal/osnet"
	"github.com/cordonsip/cordon/media/quality"
)

// report takes one RTCP packet and passes it on.
func (w *worker) report(l *leg, ln *lane, b []byte, from *osnet.Name) {
	if len(b) < 8 || b[0]>>6 != 2 || *from != ln.peer && !w.admissible(l, ln, from) {
		l.refused++
		return
	}
	if l.flags&flagOpens != 0 {
		var ok bool
		if b, ok = l.theirs.openRTCP(l.slot, b, w.spare[:]); !ok {
			l.refused++
			return
		}
	}
	if !w.far(l, ln, from) {
		l.refused++
		return
	}
	packets, err := rtcp.Unmarshal(b)
	if err != nil {
		l.refused++
		return
	}
	w.p.control.Add(1)
	l.extended(b)
	if l.other == 0 {
		w.listenTo(l, packets)
	} else if o, ok := w.leg(l.other); ok {
		w.relay(&o, l, packets)
	}
}

// extended reads what the far end itself thinks of what it hears: the VoIP metrics of extended reports, RFC 3611 section 4.7. They stay here.
func (l *leg) extended(b []byte) {
	for {
		kind, _, p, rest, ok := quality.Next(b)
		if !ok {
			return
		}
		var x quality.XR
		if kind == quality.TypeXR && quality.ParseXR(p, &x) == nil && x.Has&quality.HasVoIP != 0 {
			if s := x.VoIP.Score(); s.MOS > 0 {
				l.scored = uint8(math.Round(10 * float64(s.MOS)))
			}
		}
		b = rest
	}
}

// relay sends to the far end of l what the far end of `by` reported. Only sender and receiver reports and goodbyes cross: source
// descriptions name people and hosts, and nothing else was negotiated.
func (w *worker) relay(l, by *leg, packets []rtcp.Packet) {
	if l.flags&flagLive == 0 {
		return
	}
	if out := w.rewrite(l, by, packets); len(out) > 0 {
		w.post(l, out)
	}
}

// post sends a compound packet to the far end of l.
func (w *worker) post(l *leg, packets []rtcp.Packet) {
	if !l.control().aimed {
		return
	}
	b, err := rtcp.Marshal(packets)
	if err != nil || len(b) > maxPacket {
		w.p.dropped.Add(1)
		return
	}
	w.mail(l, b)
}

// control is the lane on which RTCP goes to the far end.
func (l *leg) control() *lane {
	if l.flags&flagMux != 0 {
		return &l.slot.rtp
	}
	return &l.slot.rtcp
}

// mail sends a compound packet, which does not lie in w.made, to the far end of l.
func (w *worker) mail(l *leg, b []byte) {
	if l.flags&flagSeals != 0 {
		b = l.ours.sealRTCP(l.slot, w.made[:], b)
	}
	w.write(l, l.control(), b)
}

// rewrite turns reports of `by`'s far end into ours for l's: SSRCs as they leave, a canonical name of ours, no extensions. It reads
// round trip and loss on the way.
func (w *worker) rewrite(l, by *leg, packets []rtcp.Packet) []rtcp.Packet {
	var out []rtcp.Packet
	var sender uint32
	for _, p := range packets {
		switch r := p.(type) {
		case *rtcp.SenderReport:
			sender = l.sealer().outgoing(r.SSRC)
			l.noted(uint32(r.NTPTime>>16), w.now, false)
			by.got = gotReport{ssrc: r.SSRC, ntp: uint32(r.NTPTime >> 16), at: w.now}
			by.heardOf(r.Reports, w.now)
			out = append(out, &rtcp.SenderReport{
				SSRC: sender, NTPTime: r.NTPTime, RTPTime: r.RTPTime,
				PacketCount: r.PacketCount, OctetCount: r.OctetCount, Reports: by.blocks(r.Reports),
			})
		case *rtcp.ReceiverReport:
			sender = l.sealer().outgoing(r.SSRC)
			by.heardOf(r.Reports, w.now)
			out = append(out, &rtcp.ReceiverReport{SSRC: sender, Reports: by.blocks(r.Reports)})
		case *rtcp.Goodbye:
			bye := &rtcp.Goodbye{}
			for _, s := range r.Sources {
				bye.Sources = append(bye.Sources, l.sealer().outgoing(s))
			}
			out = append(out, bye)
		}
	}
	if len(out) == 0 {
		return nil
	}
	if b, ok := out[0].(*rtcp.Goodbye); ok {
		// RFC 3550 section 6.1: a compound packet begins with a report.
		if len(b.Sources) > 0 {
			sender = b.Sources[0]
		}
		out = append([]rtcp.Packet{&rtcp.ReceiverReport{SSRC: sender}}, out...)
	}
	name := rtcp.NewCNAMESourceDescription(sender, l.canonical())
	return append(out[:1:1], append([]rtcp.Packet{name}, out[1:]...)...)
}

// sealer is the key in use for what is sent; nil without SRTP.
func (l *leg) sealer() *outbound {
	if l.flags&flagSeals == 0 {
		return nil
	}
	return l.ours
}

// blocks maps the SSRCs that the far end of l reports on back to those that the other side sent. What answers a sender report of our own tells that side nothing.
func (l *leg) blocks(in []rtcp.ReceptionReport) []rtcp.ReceptionReport {
	out := make([]rtcp.ReceptionReport, len(in))
	for i, b := range in {
		b.SSRC = l.sealer().incoming(b.SSRC)
		if l.passed.made(b.LastSenderReport) {
			b.LastSenderReport, b.Delay = 0, 0
		}
		out[i] = b
	}
	return out
}

// heardOf reads what the far end of l says of the stream that we send it. RFC 3550 section 6.4.1: round trip = A - LSR - DLSR, with the
// moment at which we passed that sender report on in place of its own clock, so only this leg is measured.
func (l *leg) heardOf(in []rtcp.ReceptionReport, now int64) {
	l.reports++
	l.lastReport = now
	highest := uint32(0)
	for _, b := range in {
		highest += b.LastSequenceNumber
		l.lostThere = int64(int32(b.TotalLost<<8) >> 8)
		if b.LastSenderReport == 0 {
			continue
		}
		if at, ok := l.passed.when(b.LastSenderReport); ok {
			l.rtt = max(now-at-int64(b.Delay)*int64(time.Second)/65536, 0)
		}
	}
	if len(in) > 0 { // else it heard nothing, or nothing more
		l.highest = highest
	}
}

// listenTo reads reports when there is nobody to pass them on to.
func (w *worker) listenTo(l *leg, packets []rtcp.Packet) {
	for _, p := range packets {
		switch r := p.(type) {
		case *rtcp.SenderReport:
			l.got = gotReport{ssrc: r.SSRC, ntp: uint32(r.NTPTime >> 16), at: w.now}
			l.heardOf(r.Reports, w.now)
		case *rtcp.ReceiverReport:
			l.heardOf(r.Reports, w.now)
		}
	}
}

// originate sends a sender report of our own about what we send as ssrc and what we got.
func (w *worker) originate(l *leg, ssrc, ts, packets, octets uint32) {
	if l.flags&flagLive == 0 {
		return
	}
	ntp := quality.NTP(w.now)
	l.noted(quality.Middle(ntp), w.now, true)
	sr := &rtcp.SenderReport{SSRC: ssrc, NTPTime: ntp, RTPTime: ts, PacketCount: packets, OctetCount: octets}
	if g := l.got; g.at != 0 {
		sr.Reports = []rtcp.ReceptionReport{{
			SSRC: g.ssrc, TotalLost: uint32(max(l.counters().Lost, 0)) & 0xffffff, LastSenderReport: g.ntp,
			Delay: uint32((w.now - g.at) * 65536 / int64(time.Second)),
		}}
	}
	w.post(l, []rtcp.Packet{sr, rtcp.NewCNAMESourceDescription(ssrc, l.canonical())})
}

// gotReport is the last sender report of the far end.
type gotReport struct {
	ssrc, ntp uint32
	at        int64 // unix ns; 0 none
}

// sentReports remembers when the last sender reports left, by the middle 32 bits of their NTP time.
type sentReports struct {
	at   [8]int64
	ntp  [8]uint32
	own  [8]bool // we made it
	next int
}

// noted remembers that a sender report leaves to the far end of l.
func (l *leg) noted(ntp uint32, at int64, own bool) {
	if l.passed == nil {
		l.passed = &sentReports{}
	}
	s := l.passed
	s.at[s.next], s.ntp[s.next], s.own[s.next] = at, ntp, own
	s.next = (s.next + 1) % len(s.at)
}

// find gives the place of a report; below 0 when it is not remembered.
func (s *sentReports) find(ntp uint32) int {
	if s == nil {
		return -1
	}
	for i := range s.at {
		if s.ntp[i] == ntp && s.at[i] != 0 {
			return i
		}
	}
	return -1
}

func (s *sentReports) when(ntp uint32) (int64, bool) {
	if i := s.find(ntp); i >= 0 {
		return s.at[i], true
	}
	return 0, false
}

// made says whether a report was ours.
func (s *sentReports) made(ntp uint32) bool {
	i := s.find(ntp)
	return i >= 0 && s.own[i]
}

// canonical is the name under which reports to the far end of l leave, RFC 3550 section 6.5.1.
func (l *leg) canonical() string {
	if l.cname == "" {
		var b [12]byte // RFC 7022 section 4.2
		rand.Read(b[:])
		l.cname = base64.StdEncoding.EncodeToString(b[:])
	}
	return l.cname
}
