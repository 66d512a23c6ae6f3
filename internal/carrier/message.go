package carrier

import (
	"bytes"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
)

// message is a SIP request (method set) or response (status set). Parsing and writing are this package's own.
type message struct {
	method, uri string
	status      int
	reason      string
	fields      []field
	body        []byte
}

type field struct{ name, value string }

var errShort = errors.New("carrier: message is incomplete")

const maxMessage = 256 << 10

// compact forms of RFC 3261 section 7.3.3.
var compact = map[string]string{
	"i": "Call-ID", "m": "Contact", "l": "Content-Length", "c": "Content-Type", "f": "From", "s": "Subject", "k": "Supported", "t": "To", "v": "Via",
}

// parse reads one message from the start of b and says how long it was; errShort means that more bytes are needed. On a stream Content-Length
// must be there, in a datagram the body ends with the datagram (RFC 3261 section 18.3).
func parse(b []byte, stream bool) (*message, int, error) {
	head, _, ok := bytes.Cut(b, []byte("\r\n\r\n"))
	if !ok {
		return nil, 0, errShort
	}
	lines := strings.Split(string(head), "\r\n")
	m, err := parseStart(lines[0])
	if err != nil {
		return nil, 0, err
	}
	for _, l := range lines[1:] {
		if l != "" && (l[0] == ' ' || l[0] == '\t') && len(m.fields) > 0 {
			m.fields[len(m.fields)-1].value += " " + strings.TrimSpace(l)
			continue
		}
		name, value, ok := strings.Cut(l, ":")
		name = strings.TrimRight(name, " \t")
		if !ok || name == "" || strings.ContainsAny(name, " \t<>@;") {
			return nil, 0, fmt.Errorf("carrier: header line %q", l)
		}
		if long := compact[strings.ToLower(name)]; long != "" {
			name = long
		}
		m.fields = append(m.fields, field{name, strings.TrimSpace(value)})
	}
	size, rest := len(head)+4, b[len(head)+4:]
	length := len(rest)
	if v := m.all("Content-Length"); len(v) > 0 {
		n, err := strconv.ParseUint(v[0], 10, 31)
		if err != nil || len(v) > 1 {
			return nil, 0, fmt.Errorf("carrier: Content-Length %q", v)
		}
		length = int(n)
	} else if stream {
		return nil, 0, errors.New("carrier: no Content-Length on a stream")
	}
	if length > len(rest) {
		if !stream || length > maxMessage {
			return nil, 0, fmt.Errorf("carrier: Content-Length %d, but %d bytes", length, len(rest))
		}
		return nil, 0, errShort
	}
	m.body = slices.Clone(rest[:length])
	return m, size + length, nil
}

func parseStart(l string) (*message, error) {
	p := strings.SplitN(l, " ", 3)
	if len(p) != 3 {
		return nil, fmt.Errorf("carrier: start line %q", l)
	}
	if p[0] == "SIP/2.0" {
		n, err := strconv.Atoi(p[1])
		if err != nil || n < 100 || n > 699 {
			return nil, fmt.Errorf("carrier: status line %q", l)
		}
		return &message{status: n, reason: p[2]}, nil
	}
	if p[2] != "SIP/2.0" || p[0] != strings.ToUpper(p[0]) {
		return nil, fmt.Errorf("carrier: request line %q", l)
	}
	return &message{method: p[0], uri: p[1]}, nil
}

// all gives the values of a header, comma lists taken apart where the grammar has lists.
func (m *message) all(name string) (out []string) {
	for _, f := range m.fields {
		if !strings.EqualFold(f.name, name) {
			continue
		}
		switch f.name {
		case "Via", "Route", "Record-Route", "Contact", "Require":
			out = append(out, splitList(f.value)...)
		default:
			out = append(out, f.value)
		}
	}
	return out
}

// get is the first value or "".
func (m *message) get(name string) string {
	if v := m.all(name); len(v) > 0 {
		return v[0]
	}
	return ""
}

func (m *message) add(name, value string) { m.fields = append(m.fields, field{name, value}) }

func (m *message) copyFrom(from *message, names ...string) {
	for _, n := range names {
		for _, v := range from.all(n) {
			m.add(n, v)
		}
	}
}

func (m *message) setBody(contentType string, body []byte) {
	if len(body) > 0 {
		m.add("Content-Type", contentType)
		m.body = body
	}
}

func (m *message) bytes() []byte {
	var b bytes.Buffer
	if m.method != "" {
		fmt.Fprintf(&b, "%s %s SIP/2.0\r\n", m.method, m.uri)
	} else {
		fmt.Fprintf(&b, "SIP/2.0 %d %s\r\n", m.status, m.reason)
	}
	for _, f := range m.fields {
		fmt.Fprintf(&b, "%s: %s\r\n", f.name, f.value)
	}
	fmt.Fprintf(&b, "Content-Length: %d\r\n\r\n", len(m.body))
	b.Write(m.body)
	return b.Bytes()
}

// cseq gives the number and the method of CSeq.
func (m *message) cseq() (uint32, string, bool) {
	p := strings.Fields(m.get("CSeq"))
	if len(p) != 2 {
		return 0, "", false
	}
	n, err := strconv.ParseUint(p[0], 10, 31) // RFC 3261 section 8.1.1.5: less than 2**31
	return uint32(n), p[1], err == nil
}

// splitList cuts at commas outside <> and quotes.
func splitList(s string) (out []string) {
	depth, quoted, start := 0, false, 0
	for i, r := range s {
		switch {
		case r == '"':
			quoted = !quoted
		case quoted:
		case r == '<':
			depth++
		case r == '>':
			depth--
		case r == ',' && depth == 0:
			out = append(out, strings.TrimSpace(s[start:i]))
			start = i + 1
		}
	}
	return append(out, strings.TrimSpace(s[start:]))
}

// param is a parameter of a header value: what follows the URI in <>, or the first semicolon.
func param(v, name string) string {
	if i := strings.LastIndexByte(v, '>'); i >= 0 {
		v = v[i+1:]
	}
	for _, p := range strings.Split(v, ";")[1:] {
		k, x, _ := strings.Cut(p, "=")
		if strings.EqualFold(strings.TrimSpace(k), name) {
			return strings.TrimSpace(x)
		}
	}
	return ""
}

// uriOf is the URI of a name-addr or addr-spec.
func uriOf(v string) string {
	if _, x, ok := strings.Cut(v, "<"); ok {
		x, _, _ = strings.Cut(x, ">")
		return x
	}
	x, _, _ := strings.Cut(v, ";")
	return strings.TrimSpace(x)
}

// hostPort is the literal address of a SIP URI; ok is false for a name. Names are never looked up.
func hostPort(uri, proto string) (netip.AddrPort, bool) {
	scheme, x, ok := strings.Cut(uri, ":")
	if !ok || scheme != "sip" && scheme != "sips" {
		return netip.AddrPort{}, false
	}
	if _, after, ok := strings.Cut(x, "@"); ok {
		x = after
	}
	x, _, _ = strings.Cut(x, ";")
	x, _, _ = strings.Cut(x, "?")
	if a, err := netip.ParseAddrPort(x); err == nil {
		return a, true
	}
	a, err := netip.ParseAddr(strings.Trim(x, "[]"))
	port := uint16(5060)
	if proto == "tls" {
		port = 5061
	}
	return netip.AddrPortFrom(a, port), err == nil
}

var reasons = map[int]string{
	100: "Trying", 180: "Ringing", 183: "Session Progress", 200: "OK", 400: "Bad Request", 401: "Unauthorized", 403: "Forbidden", 404: "Not Found", 405: "Method Not Allowed",
	408: "Request Timeout", 420: "Bad Extension", 480: "Temporarily Unavailable", 481: "Call/Transaction Does Not Exist", 486: "Busy Here",
	487: "Request Terminated", 488: "Not Acceptable Here", 491: "Request Pending", 500: "Server Internal Error", 503: "Service Unavailable", 603: "Decline",
}

func reasonOf(status int) string {
	if r := reasons[status]; r != "" {
		return r
	}
	return "Status " + strconv.Itoa(status)
}
