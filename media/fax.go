package media

import (
	"slices"
	"strconv"
	"strings"

	"github.com/cordonsip/cordon/media/plane"
)

// Fax by T.38 over UDPTL: RFC 3362, ITU-T T.38 Annex D. A call switches to it by an offer whose audio line is closed or has become an image, and switches back the same
// way. The image crosses on the sockets of the audio, as it is. There is no SRTP for UDPTL: whoever allows it on a leg lets faxes go in the clear.

const (
	kindImage  = "image"
	protoUDPTL = "udptl"
	formatT38  = "t38"
	codecT38   = "T.38" // in reports
)

// Fax is what crossed as T.38. Rx is what came from the side.
type Fax struct{ RxPackets, RxBytes, TxPackets uint64 }

// fax says whether the line is T.38 over UDPTL. Peers write these words small and large.
func (l *line) fax() bool {
	return l.kind == kindImage && strings.EqualFold(l.proto, protoUDPTL) && slices.ContainsFunc(l.formats, isT38)
}

func isT38(format string) bool { return strings.EqualFold(format, formatT38) }

// inFax reads a line of a section of T.38. A section that cannot be read is a fault of that section: it must not cost the audio beside it.
func (r *reader) inFax(raw string) {
	if len(raw) < 2 || raw[1] != '=' {
		return
	}
	l, value := &r.d.lines[len(r.d.lines)-1], raw[2:]
	switch raw[0] {
	case 'c':
		c, ok := readConnection(value)
		if !ok {
			l.fault = unreadable()
		}
		r.media.conn = c
	case 'a':
		name := nameOf(value)
		if d, is := directionOf(name); is {
			l.dir = d
			return
		}
		a, ok := faxAttribute(name, strings.Trim(strings.TrimPrefix(value[len(name):], ":"), " \t"))
		if ok && !slices.ContainsFunc(r.room[:r.n], func(had attr) bool { return had.key == a.key }) { // so there is room
			r.room[r.n] = a
			r.n++
		}
	}
}

// Attributes of T.38 that cross, by how their values look. The vendor's name (T38VendorInfo) stays on its side.
var (
	faxNumbers = [...]string{"T38FaxVersion", "T38MaxBitRate", "T38FaxMaxBuffer", "T38FaxMaxDatagram", "T38FaxMaxIFP", "T38FaxUdpFECMaxSpan"}
	faxFlags   = [...]string{"T38FaxFillBitRemoval", "T38FaxTranscodingMMR", "T38FaxTranscodingJBIG"}
	faxWords   = [...]struct {
		key    string
		values []string
	}{
		{"T38FaxRateManagement", []string{"transferredTCF", "localTCF"}},
		{"T38FaxUdpEC", []string{"t38UDPRedundancy", "t38UDPFEC", "t38UDPNoEC"}},
	}
)

const faxDepth = "T38FaxUdpECDepth" // "minimum" or "minimum maximum"

// faxAttribute gives an attribute of T.38 in the one form in which it crosses; false for what does not cross, or says nothing.
func faxAttribute(name, value string) (attr, bool) {
	if len(name) < len("T38") || !strings.EqualFold(name[:len("T38")], "T38") {
		return attr{}, false
	}
	for _, key := range faxNumbers {
		if strings.EqualFold(key, name) {
			n, ok := faxNumber(value)
			if ok && key == "T38FaxMaxDatagram" && tooLong(n) {
				n = strconv.Itoa(plane.MaxDatagram)
			}
			return attr{key, n}, ok
		}
	}
	for _, key := range faxFlags {
		if strings.EqualFold(key, name) { // some write :0 for what others leave out
			return attr{key, ""}, value == "" || value == "1"
		}
	}
	for i := range faxWords {
		if w := &faxWords[i]; strings.EqualFold(w.key, name) {
			at := slices.IndexFunc(w.values, func(known string) bool { return strings.EqualFold(known, value) })
			if at < 0 {
				return attr{}, false
			}
			return attr{w.key, w.values[at]}, true
		}
	}
	if strings.EqualFold(faxDepth, name) {
		least, most := field(value)
		a, ok := faxNumber(least)
		if b, both := faxNumber(most); both {
			return attr{faxDepth, a + " " + b}, ok
		}
		return attr{faxDepth, a}, ok && most == ""
	}
	return attr{}, false
}

// faxNumber takes a number of 32 bits, without zeros before it.
func faxNumber(s string) (string, bool) {
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return "", false
		}
	}
	if _, err := strconv.ParseUint(s, 10, 32); err != nil {
		return "", false
	}
	if s = strings.TrimLeft(s, "0"); s == "" {
		s = "0"
	}
	return s, true
}

// tooLong says that a datagram of n octets does not cross.
func tooLong(n string) bool {
	v, err := strconv.Atoi(n)
	return err != nil || v > plane.MaxDatagram
}

// refax is pick for a further offer: the line in use, or the one that takes its place. A fax takes the place of an audio that is closed, and audio that of a fax.
// What is offered beside the line in use is not taken.
func (l *Leg) refax(d *description, now *remote) (int, *Refusal) {
	open := func(want func(*line) bool) int {
		return slices.IndexFunc(d.lines, func(p line) bool { return p.port != 0 && want(&p) })
	}
	if at := now.audio; at < len(d.lines) && d.lines[at].port != 0 && (d.lines[at].audio() || l.T38 && d.lines[at].fax()) {
		return at, nil
	}
	if now.line.fax() {
		if at := open((*line).audio); at >= 0 {
			return at, nil
		}
	}
	switch at := open((*line).fax); {
	case at >= 0 && l.T38:
		return at, nil
	case at >= 0:
		return 0, refuse(304, "this side takes no fax by T.38")
	}
	if at := now.audio; at < len(d.lines) && (d.lines[at].audio() || now.line.fax() && d.lines[at].fax()) {
		return at, nil // it is closed
	}
	return 0, d.noAudio()
}

// pickFax is pick for an offer without audio that is open.
func (l *Leg) pickFax(d *description) (int, *Refusal) {
	at := slices.IndexFunc(d.lines, func(p line) bool { return p.port != 0 && p.fax() })
	switch ref := d.noAudio(); {
	case at < 0, ref.Warning != 304:
		return 0, ref
	case !l.T38:
		return 0, refuse(304, "this side takes no fax by T.38")
	}
	return at, nil
}

// noAudio is why no line of an offer can be taken.
func (d *description) noAudio() *Refusal {
	for i := range d.lines {
		if d.lines[i].kind == "audio" && d.lines[i].port != 0 {
			return refuse(302, "no audio over a transport that the relay carries")
		}
	}
	return refuse(304, "no audio")
}

// faxed checks a line of T.38 that was picked, or what answers one.
func (e end) faxed(rem *remote, answer bool) *Refusal {
	switch p := &rem.line; {
	case !p.fax(), answer && !e.l.layout[rem.audio].fax():
		return refuse(302, "the answer has another medium than the offer")
	case p.fault != nil:
		return p.fault
	}
	if answer {
		rem.told = e.l.layout[rem.audio].dir
	}
	return nil
}

// faxOffer is the line that l is offered for a fax.
func (l *leg) faxOffer(rem *remote) (line, *Refusal) {
	if !l.cfg.T38 {
		return line{}, &Refusal{Status: 488, Warning: 304, Text: "the other side takes no fax by T.38", NoCodec: true}
	}
	return line{kind: kindImage, proto: protoUDPTL, port: l.pair.port, formats: []string{formatT38}, attrs: rem.line.attrs, dir: rem.toward()}, nil
}

// faxReply is the line of an answer: its words as they were offered (RFC 3264 section 6), everything else as the other side answered.
func (l *leg) faxReply(offer, answer *remote) line {
	at := slices.IndexFunc(offer.line.formats, isT38)
	return line{
		kind: kindImage, proto: offer.line.proto, port: l.pair.port, formats: offer.line.formats[at : at+1], attrs: answer.line.attrs, dir: answer.toward(),
	}
}

// facsimile puts rem, a fax, in force. Keys, numbers and profile of the audio before it are kept for the audio behind it.
func (l *leg) facsimile(rem *remote, cause string) {
	l.remember()
	if l.remote != nil && !l.remote.off && !l.remote.line.fax() {
		l.voice = l.remote
	}
	next := plane.Set{
		Ref: l.ref, Opaque: true, Wants: !rem.line.hold && rem.line.dir.receives(), RTP: plane.Aim{Stay: true}, RTCP: plane.Aim{Cause: cause},
	}
	if !rem.line.hold {
		next.RTP = plane.Aim{To: rem.line.addr, Pass: rem.pass, Cause: cause}
	}
	codec := ""
	if said := l.spoken.Load(); said != nil {
		codec = said.codec
	}
	l.spoken.Store(&spoken{codec: codec})
	l.fax.Store(true)
	d := &l.dialling
	d.taken, d.heard, d.put = false, nil, false // there are no digits in a fax
	d.opens.Store(false)
	l.s.r.plane.Set(next)
	l.hears.Store(next.Wants)
	l.remote, l.renames = rem, false
}

// audible is what was agreed of audio last; nil when nothing was.
func (l *leg) audible() *remote {
	if l.remote != nil && l.remote.line.fax() {
		return l.voice
	}
	return l.remote
}

// reofferFax answers a further offer of a side within a fax: with what it was told before, and the direction that the other side's wish allows.
func (s *Session) reofferFax(l, o *leg, rem *remote, lines []line) ([]byte, error) {
	if rem.off || !rem.line.fax() || !l.remote.line.fax() || !o.remote.line.fax() {
		return nil, refuse(305, "the medium in use is not offered")
	}
	out := l.layout[l.remote.audio]
	l.facsimile(rem, "reinvite")
	if s.open != nil && s.open.from == l.side {
		s.open.rem = rem
	}
	want := rem.toward()
	out.dir = directed(o.remote.wantsToSend() && want.receives(), o.remote.wantsToReceive() && want.sends())
	lines[rem.audio] = l.faxReply(rem, &remote{line: out})
	return l.write(lines), nil
}
