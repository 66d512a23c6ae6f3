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
	name   string
	value  []byte
	folded bool // value is memory of its own
}

// title is the name for a reason phrase: nobody gets a long one echoed.
func (f *field) title() string {
	if len(f.name) > 40 {
		return "Header"
	}
	return f.name
}

// head is the start line and the header fields of one message before any of them was understood.
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
func (h *head) first(name string) ([]byte, bool) {
	for i := range h.fields {
		if h.fields[i].name == name {
			return h.fields[i].value, true
		}
	}
	return nil, false
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

// scan reads the header section (without its empty line) into h. It keeps slices of b. What it can't read is noted as a fault, and it reads on, so that the
// sender may be answered.
func scan(b []byte, h *head) {
	*h = head{fields: h.fields[:0]}
	if len(b) > maxHead {
		h.fail(StatusTooLarge, "Header Section Too Large")
		b = b[:maxHead]
	}
	line, b := nextLine(b, h)
	h.startLine(string(line))
	for len(b) > 0 {
		line, b = nextLine(b, h)
		if len(line) > 0 && (line[0] == ' ' || line[0] == '\t') {
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
			f.value = nil // it can't be echoed
		}
	}
}

func nextLine(b []byte, h *head) (line, rest []byte) {
	nl := bytes.IndexByte(b, '\n')
	if nl < 0 {
		h.fail(400, "Missing Line End")
		return b, nil
	}
	line, rest = b[:nl], b[nl+1:]
	if len(line) == 0 || line[len(line)-1] != '\r' {
		h.fail(400, "Bare LF") // RFC 3261 section 7: CRLF, even after the start line
		return line, rest
	}
	return line[:len(line)-1], rest
}

// fold joins a continuation line to the field before it. RFC 3261 section 7.3.1.
func (h *head) fold(line []byte) {
	if len(h.fields) == 0 {
		h.fail(400, "Continuation Without Header")
		return
	}
	f := &h.fields[len(h.fields)-1]
	if !f.folded {
		f.value = append(make([]byte, 0, 2*len(f.value)+2*len(line)), trimLWS(f.value)...)
		f.folded = true
	}
	if len(f.value) > 0 {
		f.value = append(f.value, ' ')
	}
	f.value = append(f.value, trimLWS(line)...)
}

func (h *head) addField(line []byte) {
	colon := bytes.IndexByte(line, ':')
	if colon < 0 {
		h.fail(400, "Header Without Colon")
		return
	}
	name := bytes.TrimRight(line[:colon], " \t") // HCOLON allows white space before the colon
	if !isToken(name) {
		h.fail(400, "Bad Header Name")
		return
	}
	if len(h.fields) >= maxFields {
		h.fail(400, "Too Many Headers")
		return
	}
	h.fields = append(h.fields, field{name: longName(name), value: line[colon+1:]})
}

// startLine tells a request from a response and takes its parts. RFC 3261 sections 7.1 and 7.2.
func (h *head) startLine(s string) {
	if len(s) >= 4 && strings.EqualFold(s[:4], "SIP/") {
		h.statusLine(s)
		return
	}
	h.request = true
	parts := strings.Split(s, " ")
	h.method = parts[0]
	if len(parts) >= 2 {
		h.uri, h.version = parts[1], parts[len(parts)-1]
	}
	switch {
	case len(parts) != 3 || !clean([]byte(s)) || strings.ContainsRune(s, '\t'):
		h.fail(400, "Bad Request Line")
	case !isToken([]byte(h.method)):
		h.fail(400, "Bad Method")
	case !strings.EqualFold(h.version, "SIP/2.0"):
		if len(h.version) > 4 && strings.EqualFold(h.version[:4], "SIP/") {
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
	if !strings.EqualFold(version, "SIP/2.0") || len(code) != 3 || !clean([]byte(reason)) {
		h.fail(400, "Bad Status Line")
		return
	}
	n, ok := number([]byte(code), 699)
	if !ok || n < 100 {
		h.fail(400, "Bad Status Code")
		return
	}
	h.status = int(n)
}

// longName gives the canonical long form of a header name, and the name itself when it is unknown. RFC 3261 section 7.3.3 and the IANA registry of compact
// forms.
func longName(b []byte) string {
	if len(b) <= len("content-encoding") {
		var lower [16]byte
		for i, c := range b {
			lower[i] = lowerByte(c)
		}
		if long, ok := longNames[string(lower[:len(b)])]; ok {
			return long
		}
	}
	return string(b)
}

// longNames holds the headers that this package looks at and those with a compact form. Read only.
var longNames = map[string]string{
	"v": "Via", "via": "Via", "f": "From", "from": "From", "t": "To", "to": "To", "i": "Call-ID", "call-id": "Call-ID", "cseq": "CSeq",
	"m": "Contact", "contact": "Contact", "l": "Content-Length", "content-length": "Content-Length", "max-forwards": "Max-Forwards",
	"route": "Route", "record-route": "Record-Route", "c": "Content-Type", "content-type": "Content-Type", "date": "Date",
	"e": "Content-Encoding", "content-encoding": "Content-Encoding", "expires": "Expires", "min-expires": "Min-Expires", "min-se": "Min-SE",
	"x": "Session-Expires", "session-expires": "Session-Expires", "rack": "RAck", "rseq": "RSeq", "r": "Refer-To", "refer-to": "Refer-To",
	"b": "Referred-By", "referred-by": "Referred-By", "replaces": "Replaces", "reply-to": "Reply-To", "retry-after": "Retry-After",
	"o": "Event", "event": "Event", "s": "Subject", "subject": "Subject", "k": "Supported", "supported": "Supported", "u": "Allow-Events",
	"allow-events": "Allow-Events", "a": "Accept-Contact", "d": "Request-Disposition", "j": "Reject-Contact", "n": "Identity-Info",
	"y": "Identity", "mime-version": "MIME-Version", "require": "Require", "proxy-require": "Proxy-Require", "reason": "Reason",
	"privacy": "Privacy", "target-dialog": "Target-Dialog",
}

// single names the headers of which a request may carry one alone: a second one would let two readers see two messages.
var single = map[string]bool{
	"From": true, "To": true, "Call-ID": true, "CSeq": true, "Max-Forwards": true, "Content-Length": true, "Content-Type": true, "Date": true,
	"Event": true, "Expires": true, "Min-Expires": true, "Min-SE": true, "MIME-Version": true, "RAck": true, "RSeq": true, "Refer-To": true,
	"Referred-By": true, "Replaces": true, "Reply-To": true, "Retry-After": true, "Session-Expires": true, "Target-Dialog": true,
}

// vital names those of which a response may carry one alone. Responses are read with more patience: to drop one costs a call.
var vital = map[string]bool{"From": true, "To": true, "Call-ID": true, "CSeq": true, "Content-Length": true}
