package transport

import (
	"bytes"
	"strings"
)

// Limits of one message. The largest valid message of RFC 4475 has 3.5 kB of header fields and 45 of them.
const (
	maxHead   = 32 << 10 // start line and header fields
	maxFields = 256
	maxLine   = 8 << 10 // one header field, unfolded
)

// field is one header field: its long name (as written when it is none that we know) and its unfolded value.
type field struct {
	name  string
	value string
	kind  kind
}

// title is the name for a reason phrase: nobody gets a long one echoed.
func (f *field) title() string {
	if len(f.name) > 40 {
		return "Header"
	}
	return f.name
}

// head is the start line and the header fields of one message before any of them was understood. Its strings are parts of one copy of the section.
type head struct {
	request bool
	method  string
	uri     string
	version string
	status  int
	reason  string
	fields  []field
	fault   *Fault // the first that was found
}

func (h *head) fail(status int, reason string) {
	if h.fault == nil {
		h.fault = &Fault{Status: status, Reason: reason}
	}
}

// first gives the value of the first field of that long name.
func (h *head) first(name string) (string, bool) {
	for i := range h.fields {
		if h.fields[i].name == name {
			return h.fields[i].value, true
		}
	}
	return "", false
}

// value gives the value of the first field of that kind.
func (h *head) value(k kind) (string, bool) {
	for i := range h.fields {
		if h.fields[i].kind == k {
			return h.fields[i].value, true
		}
	}
	return "", false
}

// callID gives the value of the first Call-ID, or nothing.
func (h *head) callID() string {
	v, _ := h.value(kindCallID)
	return v
}

// splitHead finds the empty line that ends the header section. rest is what follows it; ok is false when there is none. A bare LF ends a line here too, so
// that a message with wrong line ends can still be told so.
func splitHead(b []byte) (section, rest []byte, ok bool) {
	for at := 0; at < len(b); {
		nl := bytes.IndexByte(b[at:], '\n')
		if nl < 0 {
			break
		}
		line := b[at : at+nl]
		if len(line) == 0 || (len(line) == 1 && line[0] == '\r') {
			return b[:at], b[at+nl+1:], true
		}
		at += nl + 1
	}
	return b, nil, false
}

// scan reads the header section (without its empty line) into h, from a copy that it makes of it. What it can't read is noted as a fault, and it reads on, so
// that the sender may be answered.
func scan(b []byte, h *head) {
	clear(h.fields) // they would keep the section before
	*h = head{fields: h.fields[:0]}
	if len(b) > maxHead {
		h.fail(StatusTooLarge, "Header Section Too Large")
		b = b[:maxHead]
	}
	line, s := nextLine(string(b), h)
	h.startLine(line)
	for s != "" {
		line, s = nextLine(s, h)
		if line != "" && (line[0] == ' ' || line[0] == '\t') {
			h.fold(line)
			continue
		}
		h.addField(line)
	}
	for i := range h.fields {
		f := &h.fields[i]
		f.value = trimLWS(f.value)
		if len(f.value) > maxLine {
			h.fail(400, f.title()+" Too Long")
		}
		if !clean(f.value) {
			h.fail(400, "Control Character In "+f.title())
			f.value = "" // it can't be echoed
		}
	}
}

func nextLine(s string, h *head) (line, rest string) {
	nl := strings.IndexByte(s, '\n')
	if nl < 0 {
		h.fail(400, "Missing Line End")
		return s, ""
	}
	line, rest = s[:nl], s[nl+1:]
	if line == "" || line[len(line)-1] != '\r' {
		h.fail(400, "Bare LF") // RFC 3261 section 7: CRLF, even after the start line
		return line, rest
	}
	return line[:len(line)-1], rest
}

// fold joins a continuation line to the field before it. RFC 3261 section 7.3.1. A header of many lines is copied for each of them: maxHead bounds that.
func (h *head) fold(line string) {
	if len(h.fields) == 0 {
		h.fail(400, "Continuation Without Header")
		return
	}
	f := &h.fields[len(h.fields)-1]
	if f.value = trimLWS(f.value); f.value != "" {
		f.value += " "
	}
	f.value += trimLWS(line)
}

func (h *head) addField(line string) {
	colon := strings.IndexByte(line, ':')
	if colon < 0 {
		h.fail(400, "Header Without Colon")
		return
	}
	name := line[:colon]
	for name != "" && (name[len(name)-1] == ' ' || name[len(name)-1] == '\t') { // HCOLON allows white space before the colon
		name = name[:len(name)-1]
	}
	n := nameOf(name)
	if n.kind == kindOther && !isToken(name) {
		h.fail(400, "Bad Header Name")
		return
	}
	if len(h.fields) >= maxFields {
		h.fail(400, "Too Many Headers")
		return
	}
	h.fields = append(h.fields, field{name: n.long, kind: n.kind, value: line[colon+1:]})
}

// startLine tells a request from a response and takes its parts. RFC 3261 sections 7.1 and 7.2.
func (h *head) startLine(s string) {
	if len(s) >= 4 && same(s[:4], "SIP/") {
		h.statusLine(s)
		return
	}
	h.request = true
	method, rest, two := strings.Cut(s, " ")
	uri, version, three := strings.Cut(rest, " ")
	h.method = method
	if two {
		h.uri, h.version = uri, s[strings.LastIndexByte(s, ' ')+1:]
	}
	switch {
	case !three || strings.IndexByte(version, ' ') >= 0 || !clean(s) || strings.IndexByte(s, '\t') >= 0:
		h.fail(400, "Bad Request Line")
	case !isToken(h.method):
		h.fail(400, "Bad Method")
	case !same(h.version, "SIP/2.0"):
		if len(h.version) > 4 && same(h.version[:4], "SIP/") {
			h.fail(505, "Version Not Supported")
			return
		}
		h.fail(400, "Bad Request Line")
	}
}

func (h *head) statusLine(s string) {
	version, rest, _ := strings.Cut(s, " ")
	code, reason, _ := strings.Cut(rest, " ")
	h.version, h.reason = version, reason
	if !same(version, "SIP/2.0") || len(code) != 3 || !clean(reason) {
		h.fail(400, "Bad Status Line")
		return
	}
	n, ok := number(code, 699)
	if !ok || n < 100 {
		h.fail(400, "Bad Status Code")
		return
	}
	h.status = int(n)
}
