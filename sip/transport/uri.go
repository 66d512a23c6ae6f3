package transport

import (
	"net/netip"
	"strings"

	"github.com/emiago/sipgo/sip"
)

// parseURI reads a URI strictly before sipgo's parser takes it apart: that one splits at the last colon before the first "@" and believes what it finds.
// Schemes other than sip and sips are checked for their characters alone; who can't use them answers 416.
func parseURI(s string, uri *sip.Uri) bool {
	colon := strings.IndexByte(s, ':')
	if colon < 1 || !isScheme(s[:colon]) || !uriChars(s) {
		return false
	}
	rest := s[colon+1:]
	if sips := strings.EqualFold(s[:colon], "sips"); sips || strings.EqualFold(s[:colon], "sip") {
		if !checkSIP(rest) {
			return false
		}
		return sip.ParseUri(s, uri) == nil
	}
	// sipgo knows no digits, dots or signs in a scheme and keeps what follows to itself: it gets one of its kind.
	if rest == "" || sip.ParseUri("other:"+rest, uri) != nil {
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

// uriChars refuses what no URI holds: white space, controls, brackets of the header around it, raw UTF-8, and an escape that is none.
func uriChars(s string) bool {
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case c <= ' ' || c >= 0x7F || strings.IndexByte("<>\"\\^{|}", c) >= 0:
			return false
		case c == '%':
			if i+2 >= len(s) || !isHex(s[i+1]) || !isHex(s[i+2]) {
				return false
			}
		}
	}
	return true
}

func isHex(c byte) bool {
	c = lowerByte(c)
	return c >= '0' && c <= '9' || c >= 'a' && c <= 'f'
}

// checkSIP checks userinfo, host, port, parameters and headers of a SIP or SIPS URI. RFC 3261 section 25.1.
func checkSIP(s string) bool {
	if at := strings.IndexByte(s, '@'); at >= 0 {
		// An "@" can stand once: elsewhere it must be escaped, else two readers find two hosts.
		if at == 0 || s[0] == ':' || strings.IndexByte(s[at+1:], '@') >= 0 || strings.ContainsAny(s[:at], "[]") {
			return false
		}
		s = s[at+1:]
	}
	s, headers, hasHeaders := strings.Cut(s, "?")
	if hasHeaders && (headers == "" || strings.ContainsAny(headers, ";")) {
		return false
	}
	hostport, params, hasParams := strings.Cut(s, ";")
	if hasParams {
		for p := range strings.SplitSeq(params, ";") {
			if name, _, _ := strings.Cut(p, "="); name == "" || strings.ContainsAny(p, ",@#") {
				return false
			}
		}
	}
	_, _, ok := splitHostPort(hostport)
	return ok
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
	n, ok := number([]byte(rest[1:]), 65535)
	return host, int(n), ok && rest[0] == ':' && n > 0
}

// isHostname accepts host names and IPv4 addresses. Underscores are no host name, but carriers' DNS has them.
func isHostname(s string) bool {
	if s == "" || len(s) > 255 || s[0] == '.' || s[0] == '-' {
		return false
	}
	for i := range len(s) {
		c := lowerByte(s[i])
		if !(c >= 'a' && c <= 'z' || c >= '0' && c <= '9' || c == '-' || c == '.' || c == '_') {
			return false
		}
	}
	return !strings.Contains(s, "..")
}
