package media

import (
	"net/netip"
	"strconv"
	"strings"
)

// Bounds on a session description: a peer can make us hold no more than this.
const (
	maxSDP     = 16 << 10
	maxMLines  = 16
	maxFormats = 64
	maxCrypto  = 24
	maxAttrs   = 512
)

// Direction of a stream as its owner sees it, RFC 3264 section 5.1.
type direction string

const (
	sendrecv direction = "sendrecv"
	sendonly direction = "sendonly"
	recvonly direction = "recvonly"
	inactive direction = "inactive"
)

// receives says whether the owner of d wants packets.
func (d direction) receives() bool { return d == sendrecv || d == recvonly }

// Profiles that the relay carries. The feedback profiles are taken as their base with every feedback attribute dropped: a peer that
// may send no feedback message behaves like one of the base profile (RFC 4585 section 5), and the answer must name the profile of the
// offer (RFC 3264 section 6).
const (
	protoAVP   = "RTP/AVP"
	protoSAVP  = "RTP/SAVP"
	protoAVPF  = "RTP/AVPF"
	protoSAVPF = "RTP/SAVPF"
)

// line is one m-line with what the relay understands of it.
type line struct {
	kind    string
	proto   string
	port    uint16
	mux     bool
	hold    bool   // c= was the unspecified address: nothing may be sent to it, RFC 3264 section 8.4
	control uint32 // octets per second that it allows for RTCP; 0: it does not say; noControl: it allows none
	formats []string
	addr    netip.AddrPort
	rtcp    netip.AddrPort // RFC 3605, or port+1; the RTP address when mux is agreed
	dir     direction
	attrs   []attr // the allowed ones, in their order
	crypto  []crypto
	web     *web     // what it says beyond that; nil: nothing
	fault   *Refusal // why this line can't be relayed; it only matters when the line is needed
}

func (l *line) secure() bool { return l.proto == protoSAVP || l.proto == protoSAVPF }

// audio says whether the line could be relayed at all.
func (l *line) audio() bool {
	return l.kind == "audio" && (l.proto == protoAVP || l.proto == protoAVPF || l.secure() || l.tls())
}

// attr is an attribute; a property has no value.
type attr struct{ key, value string }

// description is a session description: read from a peer, or to be written for one.
type description struct {
	id    uint64     // o=, ours only; a peer's is never kept
	host  netip.Addr // address in o= and c=, ours only
	lines []line
	mem   *saying // where it lies, and what is made of it; nil: on the heap
}

// remote gives the memory of the one that d becomes.
func (d *description) remote() *remote {
	if d.mem != nil {
		return &d.mem.rem
	}
	return &remote{}
}

// place reads the transport addresses of the line.
func (l *line) place(conn, rtcp string, said bool) {
	if conn == "" {
		l.fault = refuse(301, "no connection address")
		return
	}
	a, ref := readAddr(conn)
	if ref != nil {
		l.fault = ref
		return
	}
	if a.IsUnspecified() {
		l.hold = true
		return
	}
	l.addr = netip.AddrPortFrom(a, l.port)
	// RFC 3550 section 11: RTCP is one port higher, unless RFC 3605 says another one.
	l.rtcp = netip.AddrPortFrom(a, l.port+1)
	if !said {
		return
	}
	f := append(strings.Fields(rtcp), "")
	n, err := strconv.ParseUint(f[0], 10, 16)
	if err != nil || n == 0 {
		l.fault = refuse(399, "rtcp attribute cannot be read")
		return
	}
	if len(f) > 4 { // "9 IN IP4 192.0.2.1" and the empty word
		if a, ref = readAddr(f[3]); ref == nil && a.IsUnspecified() && l.mux {
			return // browsers write "9 IN IP4 0.0.0.0" where RTCP has no address of its own
		}
		if ref != nil || a.IsUnspecified() {
			l.fault = refuse(301, "rtcp address cannot be used")
			return
		}
	}
	l.rtcp = netip.AddrPortFrom(a, uint16(n))
}

// readAddr takes a literal unicast address. A name is refused: resolving it would open a gap between the address that was judged and
// the one that is used.
func readAddr(s string) (netip.Addr, *Refusal) {
	host, _, _ := strings.Cut(s, "/")
	a, err := netip.ParseAddr(host)
	if err != nil || a.Zone() != "" {
		return a, refuse(301, "connection address is not a literal address")
	}
	a = a.Unmap()
	if a.IsMulticast() || a == netip.AddrFrom4([4]byte{255, 255, 255, 255}) {
		return a, refuse(301, "connection address is not unicast")
	}
	return a, nil
}

// printable holds for a word of visible ASCII.
func printable(s string) bool { return visible(s, '!') }

// visible holds for a text of ASCII from first, which is the space or the first visible one, to the last visible one.
func visible(s string, first byte) bool {
	for i := range len(s) {
		if s[i] < first || s[i] >= 0x7f {
			return false
		}
	}
	return true
}

// head begins d, up to its version. The order of lines is that of RFC 8866 section 5.
func (d *description) head(b []byte) []byte {
	return append(strconv.AppendUint(append(b, "v=0\r\no=- "...), d.id, 10), ' ')
}

// tail is what follows the version.
func (d *description) tail(b []byte) []byte {
	family := " IN IP4 "
	if d.host.Is6() {
		family = " IN IP6 "
	}
	b = d.host.AppendTo(append(b, family...))
	b = append(append(b, "\r\ns=-\r\nc="...), family[1:]...)
	b = append(d.host.AppendTo(b), "\r\nt=0 0\r\n"...)
	b = d.session(b)
	for i := range d.lines {
		b = d.lines[i].render(b)
	}
	return b
}

// render writes d with the version given.
func (d *description) render(version uint64) []byte {
	return d.tail(strconv.AppendUint(d.head(nil), version, 10))
}

// render writes one m-line; a refused one has port 0 and no attribute, RFC 3264 section 6.
func (l *line) render(b []byte) []byte {
	b = append(append(append(b, "m="...), l.kind...), ' ')
	b = append(append(strconv.AppendUint(b, uint64(l.port), 10), ' '), l.proto...)
	for _, f := range l.formats {
		b = append(append(b, ' '), f...)
	}
	b = append(b, "\r\n"...)
	if l.web != nil && l.port == 0 {
		return l.web.render(b)
	}
	if l.port == 0 {
		return b
	}
	for _, a := range l.attrs {
		if l.keeps(a) {
			b = attribute(b, a.key, a.value)
		}
	}
	if l.dir != sendrecv || l.kind != kindImage { // who faxes knows few words beside those of T.38, and this one is understood
		b = attribute(b, string(l.dir), "")
	}
	if l.mux {
		b = attribute(b, "rtcp-mux", "")
	}
	for _, c := range l.crypto {
		b = attribute(b, "crypto", c.String())
	}
	if l.web != nil {
		b = l.web.render(b)
	}
	return b
}

// attribute writes one a-line; a property has no value.
func attribute(b []byte, key, value string) []byte {
	b = append(append(b, "a="...), key...)
	if value != "" {
		b = append(append(b, ':'), value...)
	}
	return append(b, "\r\n"...)
}

// refused is l with port 0.
func (l *line) refused() line {
	return line{kind: l.kind, proto: l.proto, formats: l.formats}
}

// Decline is the answer that refuses every stream of an offer (RFC 3264 section 6), for a peer that is owed an answer and gets no session. host is the
// address in its o= and c=. The error is a *Refusal: what cannot be read cannot be declined.
func Decline(offer []byte, host netip.Addr) ([]byte, error) {
	d, ref := parseSDP(offer)
	if ref != nil {
		return nil, ref
	}
	out := description{id: uint64(random32()), host: host}
	for i := range d.lines {
		out.lines = append(out.lines, d.lines[i].refused())
	}
	return out.render(1), nil
}

func refuse(warning int, text string) *Refusal {
	return &Refusal{Status: 488, Warning: warning, Text: text}
}
