package media

import (
	"net/url"
	"strconv"
	"strings"
	"unicode/utf8"
	"unsafe"
)

// parseSDP reads b. The error is a *Refusal with 488.
//
// It is strict about the order of lines and about every value that has a form, RFC 8866 section 9, and takes no more than the relay needs. A media section that is
// neither RTP audio nor T.38 is not looked into: one line of a picture or of a data channel must not cost the audio.
func parseSDP(b []byte) (description, *Refusal) { return parseInto(nil, b) }

// parseInto is parseSDP into memory of the caller's, which the description has from then on, as far as it suffices: it is for the first media section. nil for none.
func parseInto(mem *saying, b []byte) (description, *Refusal) {
	if len(b) > maxSDP {
		return description{}, refuse(399, "session description is too long")
	}
	r := reader{d: description{lines: []line{}, mem: mem}}
	if mem != nil {
		r.d.lines = mem.lines[:0]
	}
	// What is read is not copied: b stays what it is meanwhile, and of what is kept detach makes texts of our own.
	for rest := unsafe.String(unsafe.SliceData(b), len(b)); rest != ""; {
		raw := rest
		if i := strings.IndexByte(rest, '\n'); i >= 0 {
			raw, rest = rest[:i], rest[i+1:]
		} else {
			rest = ""
		}
		if raw = strings.TrimSuffix(raw, "\r"); raw == "" {
			continue
		}
		if ref := r.take(raw); ref != nil {
			return description{}, ref
		}
	}
	r.end()
	r.d.detach()
	return r.d, nil
}

// usualAttrs is how many attributes of a line that cross there is room for without an allocation of their own.
const usualAttrs = 16

// reader is a session description that is being read.
type reader struct {
	d      description
	last   byte // kind of the last line, 'm' for all of a media section; 0 before the first
	count  int
	dir    direction // of the session; "" when it does not say
	allows allowance // of the session
	conn   connection
	media  section
	web    *web             // of the session
	room   [usualAttrs]attr // attributes of the section that cross: the first n, and
	n      int
	more   []attr // those behind
}

// section is the media section at hand.
type section struct {
	on     bool // it is looked into
	fax    bool // it is T.38, of which what can be read is
	conn   connection
	rtcp   string // value of an rtcp attribute
	said   bool   // there was one
	over   bool   // it has a fault: its further attributes don't matter
	allows allowance
}

// connection is the last c-line.
type connection struct {
	said bool
	addr string
}

func unreadable() *Refusal { return refuse(399, "session description cannot be read") }

// take reads one line, without its end.
func (r *reader) take(raw string) *Refusal {
	for i := range len(raw) {
		if c := raw[i]; c < 0x20 && c != '\t' || c == 0x7f {
			return refuse(399, "session description has control characters")
		}
	}
	if r.count++; r.count > maxAttrs {
		return refuse(399, "session description has too many lines")
	}
	media := strings.HasPrefix(raw, "m=")
	switch {
	case !media && r.last == 'm' && r.media.fax:
		r.inFax(raw)
		return nil
	case !media && r.last == 'm' && !r.media.on:
		if mid, ok := strings.CutPrefix(raw, "a=mid:"); ok {
			r.d.lines[len(r.d.lines)-1].web = (*web)(nil).take("mid", mid)
		}
		return nil
	case len(raw) < 2 || raw[1] != '=' || strings.IndexByte(follows(r.last), raw[0]) < 0:
		return unreadable()
	case media:
		r.last = 'm'
		return r.begin(raw[2:])
	case r.last == 'm':
		return r.inMedia(raw[0], raw[2:])
	}
	r.last = raw[0]
	return r.inSession(raw[0], raw[2:])
}

// follows are the kinds of lines that may come after one of that kind, RFC 8866 section 9. In a media section their order is not asked for: peers have it as they like.
func follows(last byte) string {
	switch last {
	case 0:
		return "v"
	case 'v':
		return "o"
	case 'o':
		return "s"
	case 's':
		return "iuepcbt"
	case 'i':
		return "uepcbt"
	case 'u':
		return "epcbt"
	case 'e':
		return "pcbt"
	case 'p':
		return "cbt"
	case 'c', 'b':
		return "bt"
	case 't', 'r':
		return "trzkam"
	case 'z':
		return "kam"
	case 'k', 'a':
		return "am"
	}
	return "akcbim"
}

// begin starts a media section.
func (r *reader) begin(value string) *Refusal {
	r.end()
	l, ref := readMLine(value, r.formats())
	if ref != nil {
		return ref
	}
	if len(r.d.lines) == maxMLines {
		return refuse(399, "session description has too many media lines")
	}
	if r.media.on = l.audio(); r.media.on {
		if !plainMLine(value, &l) {
			return unreadable()
		}
		l.web = r.web.section()
	}
	if r.media.fax = l.fax(); (r.media.on || r.media.fax) && r.dir != "" {
		l.dir = r.dir
	}
	r.d.lines = append(r.d.lines, l)
	return nil
}

// end puts together what the section at hand said.
func (r *reader) end() {
	if r.media.on || r.media.fax {
		l := &r.d.lines[len(r.d.lines)-1]
		if r.n > 0 {
			l.attrs = append(append(r.attrs(r.n+len(r.more)), r.room[:r.n]...), r.more...)
		}
		if l.port != 0 && l.fault == nil {
			c := r.media.conn
			if !c.said {
				c = r.conn
			}
			l.place(c.addr, r.media.rtcp, r.media.said)
		}
		l.control = r.media.allows.or(r.allows).octets()
	}
	r.media, r.n, r.more = section{}, 0, nil
}

// formats is room for the formats of the section that begins, if it is the first one; nil: none but the heap.
func (r *reader) formats() []string {
	if r.d.mem == nil || len(r.d.lines) > 0 {
		return nil
	}
	return r.d.mem.formats[:0]
}

// attrs is room for n attributes of the section at hand.
func (r *reader) attrs(n int) []attr {
	if r.d.mem == nil || len(r.d.lines) > 1 || n > len(r.d.mem.attrs) {
		return make([]attr, 0, n)
	}
	return r.d.mem.attrs[:0:n]
}

// inSession reads a line before the first media section.
func (r *reader) inSession(kind byte, value string) *Refusal {
	ok := true
	switch kind {
	case 'v':
		n, rest, digits := readNumber(value)
		ok = digits && n == 0 && rest == ""
	case 'o':
		ok = isOrigin(value)
	case 'u':
		_, err := url.Parse(value)
		ok = err == nil
	case 'c':
		r.conn, ok = readConnection(value)
	case 'b':
		ok = r.allows.read(value)
	case 't':
		_, rest, first := readNumber(value)
		_, rest, second := readNumber(rest)
		ok = first && second && rest == ""
	case 'r':
		ok = isRepeat(value)
	case 'z':
		ok = isZones(value)
	case 'a':
		name := nameOf(value)
		if d, is := directionOf(name); is {
			r.dir = d
		} else if webby(name) {
			r.web = r.web.take(name, strings.TrimPrefix(value[len(name):], ":"))
		}
	}
	if !ok {
		return unreadable()
	}
	return nil
}

// inMedia reads a line of a section that is looked into.
func (r *reader) inMedia(kind byte, value string) *Refusal {
	ok := true
	switch kind {
	case 'c':
		r.media.conn, ok = readConnection(value)
	case 'b':
		ok = r.media.allows.read(value)
	case 'a':
		if !r.media.over {
			r.attribute(nameOf(value), value)
		}
	}
	if !ok {
		return unreadable()
	}
	return nil
}

// nameOf is the name of an attribute; its value follows behind a colon.
func nameOf(a string) string {
	if i := strings.IndexByte(a, ':'); i > 0 {
		return a[:i]
	}
	return a
}

// attribute takes what the relay understands of an attribute of a media section.
func (r *reader) attribute(name, a string) {
	l := &r.d.lines[len(r.d.lines)-1]
	value := strings.TrimPrefix(a[len(name):], ":")
	if d, is := directionOf(name); is {
		l.dir = d
		return
	}
	switch name {
	case "rtcp-mux", "rtcp-mux-only": // RFC 8858 section 4.2: who takes nothing else says both
		l.mux = true
	case "rtcp":
		r.media.rtcp, r.media.said = value, true
	case "crypto":
		if r.media.over = len(l.crypto) == maxCrypto; r.media.over {
			l.fault = refuse(399, "too many crypto lines")
			return
		}
		l.crypto = append(l.crypto, parseCrypto(value))
	default:
		if webby(name) {
			l.web = l.web.take(name, value)
			return
		}
		key := crosses(name)
		switch {
		case key == "" || !visible(value, ' '):
		case r.n < len(r.room):
			r.room[r.n] = attr{key, value}
			r.n++
		default:
			r.more = append(r.more, attr{key, value})
		}
	}
}

// directionOf reads the name of a direction attribute.
func directionOf(name string) (direction, bool) {
	switch direction(name) {
	case sendrecv:
		return sendrecv, true
	case sendonly:
		return sendonly, true
	case recvonly:
		return recvonly, true
	case inactive:
		return inactive, true
	}
	return "", false
}

// crosses gives the name of an attribute that is taken over to the other side; "" of any other.
func crosses(name string) string {
	switch name {
	case "rtpmap":
		return "rtpmap"
	case "fmtp":
		return "fmtp"
	case "ptime":
		return "ptime"
	case "maxptime":
		return "maxptime"
	}
	return ""
}

// field cuts the first word of s off, with the white space behind it.
func field(s string) (word, rest string) {
	n := 0
	for n < len(s) && s[n] != ' ' && s[n] != '\t' {
		n++
	}
	word, rest = s[:n], s[n:]
	for rest != "" && (rest[0] == ' ' || rest[0] == '\t') {
		rest = rest[1:]
	}
	return word, rest
}

// readNumber cuts a number off; none at all is zero. What does not fit into 64 bits wraps: no number that is read so is used for anything.
func readNumber(s string) (n uint64, rest string, ok bool) {
	word, rest := field(s)
	for i := range len(word) {
		if word[i] < '0' || word[i] > '9' {
			return 0, rest, false
		}
		n = n*10 + uint64(word[i]-'0')
	}
	return n, rest, true
}

// isOrigin checks "username id version IN IP4 address", of which some peers leave out the end. RFC 8866 section 5.2.
func isOrigin(s string) bool {
	_, s = field(s)
	_, s, id := readNumber(s)
	_, s, version := readNumber(s)
	network, s := field(s)
	family, s := field(s)
	_, s = field(s)
	return id && version && network == "IN" && (family == "" || family == "IP4" || family == "IP6") && s == ""
}

// readConnection reads "IN IP4 address", RFC 8866 section 5.7.
func readConnection(s string) (connection, bool) {
	network, s := field(s)
	family, s := field(s)
	addr, s := field(s)
	return connection{true, addr}, network == "IN" && (family == "IP4" || family == "IP6") && s == ""
}

// isRepeat checks "interval duration offset ...", RFC 8866 section 5.10.
func isRepeat(s string) bool {
	for n := 0; n < 2 || s != ""; n++ {
		var word string
		if word, s = field(s); !isSpan(word) {
			return false
		}
	}
	return true
}

// isZones checks pairs of a time and an offset, RFC 8866 section 5.11.
func isZones(s string) bool {
	for {
		_, rest, ok := readNumber(s)
		word, rest := field(rest)
		if !ok || word == "" {
			return ok
		}
		if !isSpan(word) {
			return false
		}
		s = rest
	}
}

// isSpan checks a time with or without its unit.
func isSpan(s string) bool {
	if s != "" && strings.IndexByte("dhms", s[len(s)-1]) >= 0 {
		s = s[:len(s)-1]
	}
	_, err := strconv.ParseInt(s, 10, 64)
	return err == nil
}

// readMLine reads media, port, proto and formats, RFC 8866 section 5.14. The formats lie in room, if they fit in.
func readMLine(s string, room []string) (line, *Refusal) {
	var all [3 + usualFormats]string
	f := words(all[:0], s)
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
	if len(f)-3 > cap(room) {
		room = make([]string, 0, len(f)-3)
	}
	l := line{kind: f[0], port: uint16(n), proto: f[2], formats: append(room[:0:len(f)-3], f[3:]...), dir: sendrecv}
	if count != "" && count != "1" {
		l.fault = refuse(302, "several ports in one media line")
	}
	return l, nil
}

// words appends the words of s to out, as strings.Fields cuts them.
func words(out []string, s string) []string {
	for i := range len(s) {
		if s[i] >= utf8.RuneSelf {
			return append(out, strings.Fields(s)...)
		}
	}
	for s != "" {
		n := 0
		for n < len(s) && !blank(s[n]) {
			n++
		}
		if n > 0 {
			out = append(out, s[:n])
		}
		s = s[min(n+1, len(s)):]
	}
	return out
}

func blank(c byte) bool { return c == ' ' || c >= '\t' && c <= '\r' }

// plainMLine says whether an m-line of audio is written as RFC 8866 section 9 has it, where readMLine lets white space of any kind pass.
func plainMLine(s string, l *line) bool {
	kind, s := field(s)
	port, s := field(s)
	proto, _ := field(s)
	if kind != l.kind || proto != l.proto {
		return false
	}
	_, count, several := strings.Cut(port, "/")
	if !several {
		return true
	}
	count, _, _ = strings.Cut(count, "/")
	_, err := strconv.Atoi(count)
	return err == nil
}

// detach lets go of the text that was read: what nearly all descriptions say is the program's own, and the rest is copied, in one piece.
func (d *description) detach() {
	n := 0
	d.texts(func(s string) string {
		if own := wellKnown(s); own != "" {
			return own
		}
		n += len(s)
		return s
	})
	if n == 0 {
		return
	}
	var kept strings.Builder
	kept.Grow(n)
	d.texts(func(s string) string {
		if s == "" || wellKnown(s) != "" {
			return s
		}
		at := kept.Len()
		kept.WriteString(s)
		return kept.String()[at:]
	})
}

// texts lets f replace each text that was cut out of the description.
func (d *description) texts(f func(string) string) {
	for i := range d.lines {
		l := &d.lines[i]
		l.kind, l.proto = f(l.kind), f(l.proto)
		for j := range l.formats {
			l.formats[j] = f(l.formats[j])
		}
		for j := range l.attrs {
			l.attrs[j].value = f(l.attrs[j].value)
		}
		for j := range l.crypto {
			l.crypto[j].tag = f(l.crypto[j].tag)
			l.crypto[j].suite = Suite(f(string(l.crypto[j].suite)))
		}
	}
}
