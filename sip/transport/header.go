package transport

import (
	"net/netip"
	"strings"

	"github.com/emiago/sipgo/sip"
)

func bad(header string) *Fault { return &Fault{Status: 400, Reason: "Bad " + header} }

// read reads one value of a header by the grammar of this file, which covers the headers on which routing, matching and dialogs rest: sipgo's own readers take
// a port that is none for an empty host, keep white space in names and lose what follows a quoted parameter. Any other header is taken as it is.
func (m *slab) read(k kind, name, s string) (h sip.Header, ok bool) {
	switch k {
	case kindVia:
		return m.readVia(s)
	case kindFrom:
		f := &m.from
		f.DisplayName, f.Params, ok = m.readAddress(s, &f.Address, false)
		return f, ok && tagged(f.Params)
	case kindTo:
		t := &m.to
		t.DisplayName, t.Params, ok = m.readAddress(s, &t.Address, false)
		return t, ok && tagged(t.Params)
	case kindContact:
		return m.readContact(s)
	case kindRoute:
		r := &sip.RouteHeader{}
		_, _, ok = m.readAddress(s, &r.Address, true)
		return r, ok && strings.IndexByte(s, '<') >= 0
	case kindRecordRoute:
		r := &sip.RecordRouteHeader{}
		_, _, ok = m.readAddress(s, &r.Address, true)
		return r, ok && strings.IndexByte(s, '<') >= 0
	case kindCallID:
		m.callID = sip.CallIDHeader(s)
		return &m.callID, s != "" && len(s) <= 1024 && blank(s) == len(s)
	case kindCSeq:
		return &m.cseq, readCSeq(s, &m.cseq)
	case kindMaxForwards:
		n, ok := number(s, 255) // RFC 3261 section 20.22: 0 to 255
		h := &m.hops
		if !m.take(kindMaxForwards) {
			h = new(sip.MaxForwardsHeader)
		}
		*h = sip.MaxForwardsHeader(n)
		return h, ok
	case kindContentType:
		return m.readContentType(s)
	}
	return sip.NewHeader(name, s), true
}

// readVia reads one Via value: sent-protocol LWS sent-by *(SEMI via-params). RFC 3261 section 25.1.
func (m *slab) readVia(s string) (sip.Header, bool) {
	name, rest, ok1 := strings.Cut(s, "/")
	version, rest, ok2 := strings.Cut(rest, "/")
	rest = leadLWS(rest)
	end := blank(rest)
	if !ok1 || !ok2 || end < 1 || end == len(rest) {
		return nil, false
	}
	v := &m.via
	if !m.take(kindVia) {
		v = &sip.ViaHeader{}
	}
	v.ProtocolName, v.ProtocolVersion, v.Transport = trimLWS(name), trimLWS(version), rest[:end]
	if v.ProtocolName != "SIP" {
		v.ProtocolName = strings.ToUpper(v.ProtocolName)
	}
	sentBy, params := rest[end:], ""
	if i := strings.IndexByte(sentBy, ';'); i >= 0 {
		sentBy, params = sentBy[:i], sentBy[i:]
	}
	// sent-by = host [ COLON port ], and COLON may have white space on both sides.
	if sentBy = trimLWS(sentBy); blank(sentBy) < len(sentBy) {
		sentBy = strings.NewReplacer(" ", "", "\t", "").Replace(sentBy)
	}
	var ok bool
	if v.Host, v.Port, ok = splitHostPort(sentBy); !ok || v.ProtocolName != "SIP" || v.ProtocolVersion != "2.0" || !isToken(v.Transport) {
		return nil, false
	}
	if strings.IndexByte(v.Host, ':') >= 0 {
		if a, err := netip.ParseAddr(v.Host); err == nil && a.Is4In6() {
			v.Host = "[" + v.Host + "]" // sipgo's writer puts brackets around the other kinds of IPv6 only
		}
	}
	v.Params, ok = m.readParams(params, true, m.spare)
	m.spare = 0
	return v, ok && !repeated(v.Params, "branch") && !repeated(v.Params, "received") && !repeated(v.Params, "rport")
}

// blank is where the first blank or tab stands, or the length.
func blank(s string) int {
	for i := range len(s) {
		if s[i] == ' ' || s[i] == '\t' {
			return i
		}
	}
	return len(s)
}

// readParams reads *( SEMI name [ EQUAL value ] ). A quoted value keeps its quotes, unless it holds white space: sipgo's writer puts those back. lower
// lower-cases the names, which are case-insensitive while sipgo's look-up is not. room is left behind the last.
func (m *slab) readParams(s string, lower bool, room int) (sip.HeaderParams, bool) {
	out := m.free()
	for s = trimLWS(s); s != ""; s = leadLWS(s) {
		if s[0] != ';' {
			return nil, false
		}
		s = leadLWS(s[1:])
		end := 0
		for end < len(s) && tokenByte[s[end]] {
			end++
		}
		kv := sip.HeaderKV{K: s[:end]}
		if end == 0 || end < len(s) && strings.IndexByte(";= \t\"", s[end]) < 0 {
			return nil, false
		}
		if lower || same(kv.K, "tag") {
			kv.K = strings.ToLower(kv.K)
		}
		if s = leadLWS(s[end:]); strings.HasPrefix(s, "=") {
			var ok bool
			if kv.V, s, ok = readValue(leadLWS(s[1:])); !ok {
				return nil, false
			}
		}
		out = append(m.more(out), kv)
	}
	return m.keep(out, room), true
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
	end := 0
	for end < len(s) && !valueEnd[s[end]] {
		end++
	}
	if end < len(s) && s[end] != ';' && s[end] != ' ' && s[end] != '\t' {
		return "", "", false
	}
	return s[:end], s[end:], end > 0
}

// valueEnd holds what ends a value without quotes, and what can't stand in one.
var valueEnd = func() (t [256]bool) {
	for _, c := range []byte("; \t\"<>\\,") {
		t[c] = true
	}
	return t
}()

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
func (m *slab) readAddress(s string, uri *sip.Uri, lower bool) (display string, params sip.HeaderParams, ok bool) {
	switch open := strings.IndexByte(s, '<'); {
	case strings.HasPrefix(s, "\""):
		end := quotedEnd(s)
		if end < 0 {
			return "", nil, false
		}
		display = s[1 : end-1]
		s = leadLWS(s[end:])
	case open >= 0 && open < semicolon(s):
		display = trimLWS(s[:open])
		s = s[open:]
		// Wider than *(token LWS), for the names that carriers send, yet without what lists, parameters and quoting are made of.
		if strings.ContainsAny(display, ",;\\\"") {
			return "", nil, false
		}
	default:
		// RFC 3261 section 20.10: without brackets what follows ";" belongs to the header, and "," and "?" can't stand in the URI.
		spec, rest := s[:semicolon(s)], s[semicolon(s):]
		spec = trimLWS(spec)
		if strings.ContainsAny(spec, ",?") || !m.parseURI(spec, uri) {
			return "", nil, false
		}
		params, ok = m.readParams(rest, lower, 0)
		return "", params, ok
	}
	end := strings.IndexByte(s, '>')
	if !strings.HasPrefix(s, "<") || end < 0 || !m.parseURI(s[1:end], uri) {
		return "", nil, false
	}
	params, ok = m.readParams(s[end+1:], lower, 0)
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

func (m *slab) readContact(s string) (sip.Header, bool) {
	h := m.contact
	if m.contact = nil; h == nil {
		h = &sip.ContactHeader{}
	}
	if s == "*" {
		h.Address = sip.Uri{Wildcard: true, Host: "*"}
		return h, true
	}
	var ok bool
	h.DisplayName, h.Params, ok = m.readAddress(s, &h.Address, true)
	return h, ok
}

// readCSeq reads 1*DIGIT LWS Method. RFC 3261 section 8.1.1.5: the number is below 2**31.
func readCSeq(s string, h *sip.CSeqHeader) bool {
	i := blank(s)
	n, ok := number(s[:i], 1<<31-1)
	method := leadLWS(s[i:])
	if !ok || !isToken(method) {
		return false
	}
	h.SeqNo, h.MethodName = uint32(n), methodOf(method)
	return true
}

func (m *slab) readContentType(s string) (sip.Header, bool) {
	main, sub, ok := strings.Cut(s[:semicolon(s)], "/")
	h := m.content
	if m.content = nil; h == nil {
		h = new(sip.ContentTypeHeader)
	}
	*h = sip.ContentTypeHeader(s)
	return h, ok && isToken(trimLWS(main)) && isToken(trimLWS(sub))
}
