package transport

import (
	"net/netip"
	"strings"

	"github.com/emiago/sipgo/sip"
)

// newParser gives sipgo's parser with the header grammar of this file for the headers on which routing, matching and dialogs rest. sipgo's own readers take
// a port that is none for an empty host, keep white space in names and lose what follows a quoted parameter.
func newParser() *sip.Parser {
	own := map[string]sip.HeaderParser{
		"via":            readVia,
		"from":           readFrom,
		"to":             readTo,
		"contact":        readContact,
		"route":          readRoute,
		"record-route":   readRecordRoute,
		"call-id":        readCallID,
		"cseq":           readCSeq,
		"max-forwards":   readMaxForwards,
		"content-length": readContentLength,
		"content-type":   readContentType,
	}
	for _, name := range []string{"refer-to", "referred-by"} {
		if f, ok := sip.DefaultHeadersParser()[name]; ok {
			own[name] = f
		}
	}
	return sip.NewParser(sip.WithHeadersParsers(own))
}

func bad(header string) *Fault { return &Fault{Status: 400, Reason: "Bad " + header} }

// readVia reads one Via value: sent-protocol LWS sent-by *(SEMI via-params). RFC 3261 section 25.1.
func readVia(_ []byte, s string) (sip.Header, error) {
	name, rest, ok1 := strings.Cut(s, "/")
	version, rest, ok2 := strings.Cut(rest, "/")
	rest = strings.TrimLeft(rest, " \t")
	end := strings.IndexAny(rest, " \t")
	if !ok1 || !ok2 || end < 1 {
		return nil, bad("Via")
	}
	v := &sip.ViaHeader{ProtocolName: strings.ToUpper(strings.Trim(name, " \t")), ProtocolVersion: strings.Trim(version, " \t"), Transport: rest[:end]}
	sentBy, params := rest[end:], ""
	if i := strings.IndexByte(sentBy, ';'); i >= 0 {
		sentBy, params = sentBy[:i], sentBy[i:]
	}
	// sent-by = host [ COLON port ], and COLON may have white space on both sides.
	sentBy = strings.Join(strings.FieldsFunc(sentBy, func(r rune) bool { return r == ' ' || r == '\t' }), "")
	var ok bool
	if v.Host, v.Port, ok = splitHostPort(sentBy); !ok || v.ProtocolName != "SIP" || v.ProtocolVersion != "2.0" || !isToken(v.Transport) {
		return nil, bad("Via")
	}
	if a, err := netip.ParseAddr(v.Host); err == nil && a.Is4In6() {
		v.Host = "[" + v.Host + "]" // sipgo's writer puts brackets around the other kinds of IPv6 only
	}
	if v.Params, ok = readParams(params, true); !ok || repeated(v.Params, "branch") || repeated(v.Params, "received") || repeated(v.Params, "rport") {
		return nil, bad("Via")
	}
	return v, nil
}

// readParams reads *( SEMI name [ EQUAL value ] ). A quoted value keeps its quotes, unless it holds white space: sipgo's writer puts those back. lower
// lower-cases the names, which are case-insensitive while sipgo's look-up is not.
func readParams(s string, lower bool) (sip.HeaderParams, bool) {
	var out sip.HeaderParams
	for s = strings.Trim(s, " \t"); s != ""; s = strings.TrimLeft(s, " \t") {
		if s[0] != ';' {
			return nil, false
		}
		s = strings.TrimLeft(s[1:], " \t")
		end := strings.IndexAny(s, ";= \t\"")
		if end < 0 {
			end = len(s)
		}
		kv := sip.HeaderKV{K: s[:end]}
		if !isToken(kv.K) {
			return nil, false
		}
		if lower || strings.EqualFold(kv.K, "tag") {
			kv.K = strings.ToLower(kv.K)
		}
		if s = strings.TrimLeft(s[end:], " \t"); strings.HasPrefix(s, "=") {
			var ok bool
			if kv.V, s, ok = readValue(strings.TrimLeft(s[1:], " \t")); !ok {
				return nil, false
			}
		}
		out = append(out, kv)
	}
	return out, true
}

func readValue(s string) (value, rest string, ok bool) {
	if strings.HasPrefix(s, "\"") {
		end := quotedEnd(s)
		if end < 0 {
			return "", "", false
		}
		value, rest = s[:end], s[end:]
		if strings.ContainsAny(value, " \t") {
			value = value[1 : len(value)-1]
		}
		return value, rest, true
	}
	end := strings.IndexAny(s, "; \t")
	if end < 0 {
		end = len(s)
	}
	return s[:end], s[end:], end > 0 && !strings.ContainsAny(s[:end], "\"<>\\,")
}

func repeated(p sip.HeaderParams, name string) bool {
	n := 0
	for i := range p {
		if p[i].K == name {
			n++
		}
	}
	return n > 1
}

// readAddress reads name-addr or addr-spec with the parameters that follow.
func readAddress(s string, uri *sip.Uri, lower bool) (display string, params sip.HeaderParams, ok bool) {
	switch open := strings.IndexByte(s, '<'); {
	case strings.HasPrefix(s, "\""):
		end := quotedEnd(s)
		if end < 0 {
			return "", nil, false
		}
		display = s[1 : end-1]
		s = strings.TrimLeft(s[end:], " \t")
	case open >= 0 && open < semicolon(s):
		display = strings.Trim(s[:open], " \t")
		s = s[open:]
		// Wider than *(token LWS), for the names that carriers send, yet without what lists, parameters and quoting are made of.
		if strings.ContainsAny(display, ",;\\\"") {
			return "", nil, false
		}
	default:
		// RFC 3261 section 20.10: without brackets what follows ";" belongs to the header, and "," and "?" can't stand in the URI.
		spec, rest := s[:semicolon(s)], s[semicolon(s):]
		spec = strings.TrimRight(spec, " \t")
		if strings.ContainsAny(spec, ",?") || !parseURI(spec, uri) {
			return "", nil, false
		}
		params, ok = readParams(rest, lower)
		return "", params, ok
	}
	end := strings.IndexByte(s, '>')
	if !strings.HasPrefix(s, "<") || end < 0 || !parseURI(s[1:end], uri) {
		return "", nil, false
	}
	params, ok = readParams(s[end+1:], lower)
	return display, params, ok
}

// semicolon is where the first ";" stands, or the length.
func semicolon(s string) int {
	if i := strings.IndexByte(s, ';'); i >= 0 {
		return i
	}
	return len(s)
}

// tagged checks the tag of From and To: a token, once.
func tagged(p sip.HeaderParams) bool {
	tag, has := p.Get("tag")
	return !repeated(p, "tag") && (!has || tag != "" && tag[0] != '"')
}

func readFrom(_ []byte, s string) (sip.Header, error) {
	h := &sip.FromHeader{}
	var ok bool
	if h.DisplayName, h.Params, ok = readAddress(s, &h.Address, false); !ok || !tagged(h.Params) {
		return nil, bad("From")
	}
	return h, nil
}

func readTo(_ []byte, s string) (sip.Header, error) {
	h := &sip.ToHeader{}
	var ok bool
	if h.DisplayName, h.Params, ok = readAddress(s, &h.Address, false); !ok || !tagged(h.Params) {
		return nil, bad("To")
	}
	return h, nil
}

func readContact(_ []byte, s string) (sip.Header, error) {
	h := &sip.ContactHeader{}
	if s == "*" {
		h.Address = sip.Uri{Wildcard: true, Host: "*"}
		return h, nil
	}
	var ok bool
	if h.DisplayName, h.Params, ok = readAddress(s, &h.Address, true); !ok {
		return nil, bad("Contact")
	}
	return h, nil
}

func readRoute(_ []byte, s string) (sip.Header, error) {
	h := &sip.RouteHeader{}
	if _, _, ok := readAddress(s, &h.Address, true); !ok || !strings.Contains(s, "<") {
		return nil, bad("Route")
	}
	return h, nil
}

func readRecordRoute(_ []byte, s string) (sip.Header, error) {
	h := &sip.RecordRouteHeader{}
	if _, _, ok := readAddress(s, &h.Address, true); !ok || !strings.Contains(s, "<") {
		return nil, bad("Record-Route")
	}
	return h, nil
}

func readCallID(_ []byte, s string) (sip.Header, error) {
	if s == "" || len(s) > 1024 || strings.ContainsAny(s, " \t") {
		return nil, bad("Call-ID")
	}
	h := sip.CallIDHeader(s)
	return &h, nil
}

// readCSeq reads 1*DIGIT LWS Method. RFC 3261 section 8.1.1.5: the number is below 2**31.
func readCSeq(_ []byte, s string) (sip.Header, error) {
	i := strings.IndexAny(s, " \t")
	if i < 0 {
		return nil, bad("CSeq")
	}
	n, ok := number([]byte(s[:i]), 1<<31-1)
	method := strings.TrimLeft(s[i:], " \t")
	if !ok || !isToken(method) {
		return nil, bad("CSeq")
	}
	return &sip.CSeqHeader{SeqNo: uint32(n), MethodName: sip.RequestMethod(method)}, nil
}

// readMaxForwards reads a number of hops. RFC 3261 section 20.22: 0 to 255.
func readMaxForwards(_ []byte, s string) (sip.Header, error) {
	n, ok := number([]byte(s), 255)
	if !ok {
		return nil, bad("Max-Forwards")
	}
	h := sip.MaxForwardsHeader(n)
	return &h, nil
}

func readContentLength(_ []byte, s string) (sip.Header, error) {
	n, ok := number([]byte(s), 1<<31-1)
	if !ok {
		return nil, bad("Content-Length")
	}
	h := sip.ContentLengthHeader(n)
	return &h, nil
}

func readContentType(_ []byte, s string) (sip.Header, error) {
	kind, _, _ := strings.Cut(s, ";")
	main, sub, ok := strings.Cut(kind, "/")
	if !ok || !isToken(strings.Trim(main, " \t")) || !isToken(strings.Trim(sub, " \t")) {
		return nil, bad("Content-Type")
	}
	h := sip.ContentTypeHeader(s)
	return &h, nil
}
