package transport

import (
	"net/netip"
	"strings"

	"github.com/emiago/sipgo/sip"
)

// parseURI reads a URI with strictness: sipgo's own reader splits at the last colon before the first "@" and believes what it finds. Schemes other than sip
// and sips are checked for their characters alone; who can't use them answers 416.
func parseURI(s string, uri *sip.Uri) bool { return new(slab).parseURI(s, uri) }

// ParseURI reads a URI as it stands between angle brackets, as the layer does, into one that is zero. It shares the memory of s.
func ParseURI(s string, uri *sip.Uri) bool { return parseURI(s, uri) }

// parseURI writes into a uri that is zero.
func (m *slab) parseURI(s string, uri *sip.Uri) bool {
	colon := strings.IndexByte(s, ':')
	if colon < 1 || !isScheme(s[:colon]) {
		return false
	}
	marks, ok := uriMarks(s)
	if !ok {
		return false
	}
	switch rest := s[colon+1:]; {
	case same(s[:colon], "sip"):
		uri.Scheme = "sip"
		return m.parseSIP(rest, marks, uri)
	case same(s[:colon], "sips"):
		uri.Scheme = "sips"
		return m.parseSIP(rest, marks, uri)
	case rest == "" || sip.ParseUri("other:"+rest, uri) != nil: // sipgo knows no digits, dots or signs in a scheme: it gets one of its kind
		return false
	}
	uri.Scheme = strings.ToLower(s[:colon])
	return true
}

func isScheme(s string) bool {
	for i := range len(s) {
		c := lowerByte(s[i])
		alpha := c >= 'a' && c <= 'z'
		if !alpha && (i == 0 || !(c >= '0' && c <= '9' || c == '+' || c == '-' || c == '.')) {
			return false
		}
	}
	return true
}

// What the characters of a URI tell: all of them together say what need not be looked for.
const (
	markNone    = 1 << iota // no URI holds it: white space, controls, brackets of the header around it, raw UTF-8
	markEscape              // %
	markAt                  // @
	markBracket             // [ ]
	markHeaders             // ?
)

// uriByte holds these marks.
var uriByte = func() (t [256]uint8) {
	for c := range t {
		if c <= ' ' || c >= 0x7F || strings.IndexByte("<>\"\\^{|}", byte(c)) >= 0 {
			t[c] = markNone
		}
	}
	t['%'], t['@'], t['['], t[']'], t['?'] = markEscape, markAt, markBracket, markBracket, markHeaders
	return t
}()

// uriMarks gives the marks of s. It is not ok with a character that no URI holds, nor with an escape that is none.
func uriMarks(s string) (marks uint8, ok bool) {
	for i := range len(s) {
		marks |= uriByte[s[i]]
	}
	if marks&markEscape != 0 {
		for i := range len(s) {
			if s[i] == '%' && (i+2 >= len(s) || !isHex(s[i+1]) || !isHex(s[i+2])) {
				return marks, false
			}
		}
	}
	return marks, marks&markNone == 0
}

func isHex(c byte) bool {
	c = lowerByte(c)
	return c >= '0' && c <= '9' || c >= 'a' && c <= 'f'
}

// parseSIP reads userinfo, host, port, parameters and headers of a SIP or SIPS URI. RFC 3261 section 25.1.
func (m *slab) parseSIP(s string, marks uint8, uri *sip.Uri) bool {
	if marks&markAt != 0 {
		at := strings.IndexByte(s, '@')
		// An "@" can stand once: elsewhere it must be escaped, else two readers find two hosts.
		if at == 0 || s[0] == ':' || strings.IndexByte(s[at+1:], '@') >= 0 || marks&markBracket != 0 && strings.ContainsAny(s[:at], "[]") {
			return false
		}
		uri.User, uri.HierarhicalSlashes = strings.CutPrefix(s[:at], "//")
		if colon := strings.LastIndexByte(uri.User, ':'); colon > 0 {
			uri.User, uri.Password = uri.User[:colon], uri.User[colon+1:]
		}
		s = s[at+1:]
	}
	headers, hasHeaders := "", false
	if marks&markHeaders != 0 {
		s, headers, hasHeaders = strings.Cut(s, "?")
	}
	if hasHeaders {
		if headers == "" || strings.IndexByte(headers, ';') >= 0 {
			return false
		}
		if _, err := sip.UnmarshalHeaderParams(headers, '&', 0, &uri.Headers); err != nil {
			return false
		}
	}
	hostport, params, hasParams := strings.Cut(s, ";")
	var ok bool
	if uri.Host, uri.Port, ok = splitHostPort(hostport); !ok {
		return false
	}
	if hostport[0] == '[' {
		uri.Host = hostport[:len(uri.Host)+2]
	}
	if hasParams {
		uri.UriParams, ok = m.uriParams(params)
	}
	return ok
}

// uriParams reads uri-parameters. Of one that is repeated the last value counts.
func (m *slab) uriParams(s string) (sip.HeaderParams, bool) {
	out := m.free()
	for more := true; more; {
		var p string
		if p, s, more = strings.Cut(s, ";"); strings.ContainsAny(p, ",@#") {
			return nil, false
		}
		k, v, _ := strings.Cut(p, "=")
		if k == "" {
			return nil, false
		}
		out = m.more(out)
		out.Add(k, v)
	}
	return m.keep(out, 0), true
}

// splitHostPort reads host [":" port]. An IPv6 reference comes back without its brackets.
func splitHostPort(s string) (host string, port int, ok bool) {
	var rest string
	if strings.HasPrefix(s, "[") {
		end := strings.IndexByte(s, ']')
		if end < 0 {
			return "", 0, false
		}
		host, rest = s[1:end], s[end+1:]
		// RFC 5954 corrects the grammar that let three colons stand before an IPv4 tail.
		if a, err := netip.ParseAddr(host); err != nil || !a.Is6() || a.Zone() != "" {
			return "", 0, false
		}
	} else {
		host = s
		if i := strings.IndexByte(s, ':'); i >= 0 {
			host, rest = s[:i], s[i:]
		}
		if !isHostname(host) {
			return "", 0, false
		}
	}
	if rest == "" {
		return host, 0, true
	}
	n, ok := number(rest[1:], 65535)
	return host, int(n), ok && rest[0] == ':' && n > 0
}

// isHostname accepts host names and IPv4 addresses. Underscores are no host name, but carriers' DNS has them.
func isHostname(s string) bool {
	if s == "" || len(s) > 255 || s[0] == '.' || s[0] == '-' {
		return false
	}
	for i := range len(s) {
		if !hostByte[s[i]] || s[i] == '.' && s[i-1] == '.' { // the first is no dot
			return false
		}
	}
	return true
}

// hostByte holds the characters of host names.
var hostByte = func() (t [256]bool) {
	for c := range t {
		t[c] = c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '-' || c == '.' || c == '_'
	}
	return t
}()
