package media

import (
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/pion/sdp/v3"
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
	formats []string
	addr    netip.AddrPort
	rtcp    netip.AddrPort // RFC 3605, or port+1; the RTP address when mux is agreed
	dir     direction
	hold    bool // c= was the unspecified address: nothing may be sent to it, RFC 3264 section 8.4
	mux     bool
	attrs   []sdp.Attribute // the allowed ones, in their order
	crypto  []crypto
	fault   *Refusal // why this line can't be relayed; it only matters when the line is needed
}

func (l *line) secure() bool { return l.proto == protoSAVP || l.proto == protoSAVPF }

// audio says whether the line could be relayed at all.
func (l *line) audio() bool {
	return l.kind == "audio" && (l.proto == protoAVP || l.proto == protoAVPF || l.secure())
}

// description is a session description: read from a peer, or to be written for one.
type description struct {
	id    uint64     // o=, ours only; a peer's is never kept
	host  netip.Addr // address in o= and c=, ours only
	lines []line
}

// parseSDP reads b. The error is a *Refusal with 488.
func parseSDP(b []byte) (*description, *Refusal) {
	if len(b) > maxSDP {
		return nil, refuse(399, "session description is too long")
	}
	text, mlines, ref := standIns(b)
	if ref != nil {
		return nil, ref
	}
	var s sdp.SessionDescription
	if err := s.UnmarshalString(text); err != nil {
		return nil, refuse(399, "session description cannot be read")
	}
	if len(s.MediaDescriptions) != len(mlines) {
		return nil, refuse(399, "session description cannot be read")
	}
	d := &description{lines: mlines}
	for i, m := range s.MediaDescriptions {
		if d.lines[i].audio() {
			d.lines[i].read(&s, m)
		}
	}
	return d, nil
}

// standIns returns the text with each media section that is not RTP audio replaced by an empty one, because the parser knows neither
// every media type (image, RFC 3362) nor every transport (udptl), and one such section must not cost the audio. The m-lines are
// returned as they were.
func standIns(b []byte) (string, []line, *Refusal) {
	text := string(b)
	var lines []line
	out := make([]byte, 0, len(b)+64)
	skip := false
	attrs := 0
	for raw := range strings.SplitSeq(text, "\n") {
		if raw = strings.TrimSuffix(raw, "\r"); raw == "" {
			continue
		}
		if strings.ContainsFunc(raw, func(r rune) bool { return r < 0x20 && r != '\t' || r == 0x7f }) {
			return "", nil, refuse(399, "session description has control characters")
		}
		if attrs++; attrs > maxAttrs {
			return "", nil, refuse(399, "session description has too many lines")
		}
		if rest, ok := strings.CutPrefix(raw, "m="); ok {
			l, ref := readMLine(rest)
			if ref != nil {
				return "", nil, ref
			}
			if lines = append(lines, l); len(lines) > maxMLines {
				return "", nil, refuse(399, "session description has too many media lines")
			}
			if skip = !l.audio(); skip {
				out = append(out, "m=audio 0 RTP/AVP 0\r\n"...)
			}
		}
		if !skip {
			out = append(append(out, raw...), "\r\n"...)
		}
	}
	if string(out) == text {
		return text, lines, nil
	}
	return string(out), lines, nil
}

// readMLine reads media, port, proto and formats, RFC 8866 section 5.14.
func readMLine(s string) (line, *Refusal) {
	f := strings.Fields(s)
	if len(f) < 4 || len(f) > 3+maxFormats {
		return line{}, refuse(399, "media line cannot be read")
	}
	for _, w := range f {
		if !printable(w) {
			return line{}, refuse(399, "media line cannot be read")
		}
	}
	port, count, _ := strings.Cut(f[1], "/")
	n, err := strconv.ParseUint(port, 10, 16)
	if err != nil {
		return line{}, refuse(399, "media port cannot be read")
	}
	l := line{kind: f[0], port: uint16(n), proto: f[2], formats: f[3:], dir: sendrecv}
	if count != "" && count != "1" {
		l.fault = refuse(302, "several ports in one media line")
	}
	return l, nil
}

// read fills in what the parser found for an audio line.
func (l *line) read(s *sdp.SessionDescription, m *sdp.MediaDescription) {
	for _, a := range s.Attributes {
		l.direct(a.Key)
	}
	rtcp, said := "", false
	for _, a := range m.Attributes {
		switch {
		case l.direct(a.Key):
		case a.Key == "rtcp-mux":
			l.mux = true
		case a.Key == "rtcp":
			rtcp, said = a.Value, true
		case a.Key == "crypto":
			if len(l.crypto) == maxCrypto {
				l.fault = refuse(399, "too many crypto lines")
				return
			}
			l.crypto = append(l.crypto, parseCrypto(a.Value))
		case crosses(a.Key) && visible(a.Value, ' '):
			if l.attrs == nil {
				l.attrs = make([]sdp.Attribute, 0, len(m.Attributes))
			}
			l.attrs = append(l.attrs, a)
		}
	}
	c := m.ConnectionInformation
	if c == nil {
		c = s.ConnectionInformation
	}
	if l.port == 0 || l.fault != nil {
		return
	}
	l.place(c, rtcp, said)
}

// direct takes a direction attribute.
func (l *line) direct(key string) bool {
	switch direction(key) {
	case sendrecv, sendonly, recvonly, inactive:
		l.dir = direction(key)
		return true
	}
	return false
}

// place reads the transport addresses of the line.
func (l *line) place(c *sdp.ConnectionInformation, rtcp string, said bool) {
	if c == nil || c.Address == nil {
		l.fault = refuse(301, "no connection address")
		return
	}
	a, ref := readAddr(c.Address.Address)
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
		if a, ref = readAddr(f[3]); ref != nil || a.IsUnspecified() {
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

// crosses says whether an attribute of that name is taken over to the other side.
func crosses(key string) bool {
	switch key {
	case "rtpmap", "fmtp", "ptime", "maxptime":
		return true
	}
	return false
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

// clock is what is known of one payload type.
type clock struct {
	rate  uint32
	name  string // encoding name in upper case
	event bool   // RFC 4733: its time stamps do not advance
}

// timings are the clocks of a session: few of the 128 payload types have one.
type timings []timing

type timing struct {
	pt uint8
	clock
}

func timingsOf(t *[128]clock) timings {
	n := 0
	for pt := range t {
		if t[pt] != (clock{}) {
			n++
		}
	}
	out := make(timings, 0, n)
	for pt := range t {
		if t[pt] != (clock{}) {
			out = append(out, timing{uint8(pt), t[pt]})
		}
	}
	return out
}

// of is the clock of a payload type; zero when it is not known.
func (t timings) of(pt uint8) clock {
	for i := range t {
		if t[i].pt == pt {
			return t[i].clock
		}
	}
	return clock{}
}

// clocks maps each payload type of the line to its clock: RFC 3551 table 4, then rtpmap.
func (l *line) clocks() *[128]clock {
	var t [128]clock
	l.wind(&t)
	return &t
}

// speech is the codec of the line by its own clocks, which are not kept; "" without one.
func (l *line) speech() string {
	var t [128]clock
	l.wind(&t)
	return l.codec(&t)
}

func (l *line) wind(t *[128]clock) {
	for _, f := range l.formats {
		pt, err := strconv.ParseUint(f, 10, 7)
		if err != nil {
			continue
		}
		switch pt {
		case 0:
			t[pt] = clock{8000, "PCMU", false}
		case 3:
			t[pt] = clock{8000, "GSM", false}
		case 4:
			t[pt] = clock{8000, "G723", false}
		case 8:
			t[pt] = clock{8000, "PCMA", false}
		case 9:
			t[pt] = clock{8000, "G722", false} // the clock is 8000 by an old mistake, RFC 3551 section 4.5.2
		case 13:
			t[pt] = clock{8000, "CN", false}
		case 15:
			t[pt] = clock{8000, "G728", false}
		case 18:
			t[pt] = clock{8000, "G729", false}
		}
	}
	for _, a := range l.attrs {
		if a.Key == "rtpmap" {
			readMap(a.Value, t)
		}
	}
}

// readMap takes one rtpmap, "8 PCMA/8000/1".
func readMap(s string, t *[128]clock) {
	number, coding, _ := strings.Cut(strings.Trim(s, " \t"), " ")
	coding = strings.TrimLeft(coding, " \t")
	pt, err := strconv.ParseUint(strings.TrimRight(number, "\t"), 10, 7)
	if err != nil || coding == "" || strings.ContainsAny(coding, " \t") {
		return
	}
	name, rest, _ := strings.Cut(coding, "/")
	rate, _, _ := strings.Cut(rest, "/")
	hz, err := strconv.ParseUint(rate, 10, 32)
	if err != nil || hz > 1e6 {
		return
	}
	name = strings.ToUpper(name)
	t[pt] = clock{uint32(hz), name, name == "TELEPHONE-EVENT"}
}

// codec is the name of the first format that carries speech.
func (l *line) codec(t *[128]clock) string {
	for _, f := range l.formats {
		if pt, err := strconv.ParseUint(f, 10, 7); err == nil && t[pt].name != "" && !t[pt].event && t[pt].name != "CN" {
			return t[pt].name
		}
	}
	return ""
}

// only keeps the formats in allowed, and their attributes. It reports whether any is left.
func (l *line) only(allowed []string) bool {
	l.formats = slices.DeleteFunc(slices.Clone(l.formats), func(f string) bool { return !slices.Contains(allowed, f) })
	l.attrs = l.formatAttrs()
	return len(l.formats) > 0
}

// formatAttrs are the attributes that name a format of the line, or none.
func (l *line) formatAttrs() []sdp.Attribute {
	return slices.DeleteFunc(slices.Clone(l.attrs), func(a sdp.Attribute) bool { return !l.keeps(a) })
}

// keeps says whether an attribute names a format of the line, or none.
func (l *line) keeps(a sdp.Attribute) bool {
	if a.Key != "rtpmap" && a.Key != "fmtp" {
		return true
	}
	f, _, _ := strings.Cut(a.Value, " ")
	return slices.Contains(l.formats, f)
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
	if l.port == 0 {
		return b
	}
	for _, a := range l.attrs {
		if l.keeps(a) {
			b = attribute(b, a.Key, a.Value)
		}
	}
	b = attribute(b, string(l.dir), "")
	if l.mux {
		b = attribute(b, "rtcp-mux", "")
	}
	for _, c := range l.crypto {
		b = attribute(b, "crypto", c.String())
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
