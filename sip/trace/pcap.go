package trace

import (
	"bufio"
	"encoding/binary"
	"io"
	"net/netip"
	"slices"
	"time"
)

// RTP is the header of one packet of media: what follows it was never copied.
type RTP struct {
	At       time.Time
	From, To netip.AddrPort
	Header   []byte // fixed part, contributing sources and extension
	Size     int    // bytes of the whole packet
}

// The classic capture format: nanoseconds, raw IP (LINKTYPE_RAW).
const (
	pcapMagic   = 0xA1B23C4D
	pcapRaw     = 101
	pcapSnap    = 262144
	segment     = 32 << 10 // of a message over TCP
	udpProtocol = 17
	tcpProtocol = 6
)

// WritePCAP writes a call as a capture file. Messages become datagrams or TCP segments that were never sent like that; those that crossed over TLS stand in clear, on
// port 5060 in place of 5061. Of media there are headers: each frame says how long its packet was and ends behind the header.
func WritePCAP(w io.Writer, t Trace, media []RTP) error {
	out := bufio.NewWriter(w)
	head := binary.LittleEndian.AppendUint32(nil, pcapMagic)
	head = binary.LittleEndian.AppendUint16(head, 2)
	head = binary.LittleEndian.AppendUint16(head, 4)
	head = append(head, make([]byte, 8)...)
	head = binary.LittleEndian.AppendUint32(head, pcapSnap)
	head = binary.LittleEndian.AppendUint32(head, pcapRaw)
	if _, err := out.Write(head); err != nil {
		return err
	}
	for _, f := range frames(t, media) {
		rec := binary.LittleEndian.AppendUint32(nil, uint32(f.at.Unix()))
		rec = binary.LittleEndian.AppendUint32(rec, uint32(f.at.Nanosecond()))
		rec = binary.LittleEndian.AppendUint32(rec, uint32(len(f.ip)))
		rec = binary.LittleEndian.AppendUint32(rec, uint32(len(f.ip)+f.cut))
		if _, err := out.Write(append(rec, f.ip...)); err != nil {
			return err
		}
	}
	return out.Flush()
}

type frame struct {
	at  time.Time
	ip  []byte
	cut int // bytes that the packet had beyond ip
}

func frames(t Trace, media []RTP) []frame {
	var out []frame
	next := map[[2]netip.AddrPort]uint32{} // TCP sequence numbers by direction
	for _, e := range t.Events {
		if e.Kind != "message" {
			continue
		}
		from, to := clear5061(e, e.Remote), clear5061(e, e.Local)
		if e.Out {
			from, to = to, from
		}
		if e.Proto == "udp" {
			out = append(out, frame{at: e.At, ip: datagram(from, to, []byte(e.Text), 0)})
			continue
		}
		way, back := [2]netip.AddrPort{from, to}, [2]netip.AddrPort{to, from}
		for part := range slices.Chunk([]byte(e.Text), segment) {
			out = append(out, frame{at: e.At, ip: stream(from, to, 1+next[way], 1+next[back], part)})
			next[way] += uint32(len(part))
		}
	}
	for _, r := range media {
		cut := max(r.Size-len(r.Header), 0)
		out = append(out, frame{at: r.At, ip: datagram(plain(r.From), plain(r.To), r.Header, cut), cut: cut})
	}
	slices.SortStableFunc(out, func(a, b frame) int { return a.at.Compare(b.at) })
	return out
}

// clear5061 takes the port of SIP over TLS for that of SIP: readers would look for TLS there and find none.
func clear5061(e Event, a netip.AddrPort) netip.AddrPort {
	a = plain(a)
	if e.Proto == "tls" && a.Port() == 5061 {
		return netip.AddrPortFrom(a.Addr(), 5060)
	}
	return a
}

// datagram is a UDP packet whose lengths count cut bytes that do not follow. A checksum over what is not there cannot be made, so 0 stands for none where bytes were cut.
func datagram(from, to netip.AddrPort, payload []byte, cut int) []byte {
	u := binary.BigEndian.AppendUint16(nil, from.Port())
	u = binary.BigEndian.AppendUint16(u, to.Port())
	u = binary.BigEndian.AppendUint16(u, uint16(8+len(payload)+cut))
	u = append(append(u, 0, 0), payload...)
	if cut == 0 {
		binary.BigEndian.PutUint16(u[6:], nonzero(checksum(from, to, udpProtocol, u)))
	}
	return packet(from, to, udpProtocol, u, cut)
}

func nonzero(n uint16) uint16 {
	if n == 0 { // RFC 768: 0 says that there is none
		return 0xFFFF
	}
	return n
}

// stream is a TCP segment with PSH and ACK, RFC 9293 section 3.1.
func stream(from, to netip.AddrPort, seq, ack uint32, payload []byte) []byte {
	s := binary.BigEndian.AppendUint16(nil, from.Port())
	s = binary.BigEndian.AppendUint16(s, to.Port())
	s = binary.BigEndian.AppendUint32(s, seq)
	s = binary.BigEndian.AppendUint32(s, ack)
	s = append(s, 5<<4, 0x18, 0xFF, 0xFF, 0, 0, 0, 0)
	s = append(s, payload...)
	binary.BigEndian.PutUint16(s[16:], checksum(from, to, tcpProtocol, s))
	return packet(from, to, tcpProtocol, s, 0)
}

// packet puts IP before it: version 4 when both ends are, else version 6.
func packet(from, to netip.AddrPort, protocol byte, payload []byte, cut int) []byte {
	if from.Addr().Is4() && to.Addr().Is4() {
		h := []byte{0x45, 0}
		h = binary.BigEndian.AppendUint16(h, uint16(20+len(payload)+cut))
		h = append(h, 0, 0, 0x40, 0, 64, protocol, 0, 0)
		h = append(append(h, from.Addr().AsSlice()...), to.Addr().AsSlice()...)
		binary.BigEndian.PutUint16(h[10:], ^fold(sum(0, h)))
		return append(h, payload...)
	}
	a, z := from.Addr().As16(), to.Addr().As16()
	h := []byte{0x60, 0, 0, 0}
	h = binary.BigEndian.AppendUint16(h, uint16(len(payload)+cut))
	h = append(h, protocol, 64)
	h = append(append(h, a[:]...), z[:]...)
	return append(h, payload...)
}

// checksum is that of UDP and TCP, with the pseudo header: RFC 768, RFC 9293 section 3.1, RFC 8200 section 8.1.
func checksum(from, to netip.AddrPort, protocol byte, b []byte) uint16 {
	n := uint32(protocol) + uint32(len(b))
	if from.Addr().Is4() && to.Addr().Is4() {
		n = sum(sum(n, from.Addr().AsSlice()), to.Addr().AsSlice())
	} else {
		a, z := from.Addr().As16(), to.Addr().As16()
		n = sum(sum(n, a[:]), z[:])
	}
	return ^fold(sum(n, b))
}

func sum(n uint32, b []byte) uint32 {
	for i := 0; i+1 < len(b); i += 2 {
		n += uint32(b[i])<<8 | uint32(b[i+1])
	}
	if len(b)%2 == 1 {
		n += uint32(b[len(b)-1]) << 8
	}
	return n
}

func fold(n uint32) uint16 {
	for n > 0xFFFF {
		n = n>>16 + n&0xFFFF
	}
	return uint16(n)
}
