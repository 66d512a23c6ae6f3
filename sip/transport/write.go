package transport

import (
	"net/netip"
	"strconv"
	"strings"

	"github.com/emiago/sipgo/sip"
)

// Append writes m behind b, byte for byte as m writes itself, without strings on the way.
func Append(b []byte, m sip.Message) []byte {
	switch m := m.(type) {
	case *sip.Request:
		b = AppendRequestLine(b, m)
		for _, h := range m.Headers() {
			b = AppendHeader(b, h)
		}
	case *sip.Response:
		b = append(append(b, m.SipVersion...), ' ')
		b = append(strconv.AppendInt(b, int64(m.StatusCode), 10), ' ')
		b = append(append(b, m.Reason...), "\r\n"...)
		for _, h := range m.Headers() {
			b = AppendHeader(b, h)
		}
	}
	return append(append(b, "\r\n"...), m.Body()...)
}

// AppendRequestLine writes the first line of a request with its line end.
func AppendRequestLine(b []byte, m *sip.Request) []byte {
	b = append(append(b, m.Method...), ' ')
	b = append(AppendURI(b, &m.Recipient), ' ')
	return append(append(b, m.SipVersion...), "\r\n"...)
}

// AppendHeader writes one header field with its line end.
func AppendHeader(b []byte, h sip.Header) []byte {
	switch h := h.(type) {
	case *sip.ViaHeader:
		b = appendVia(append(b, "Via: "...), h)
	case *sip.FromHeader:
		b = appendAddress(append(b, "From: "...), h.DisplayName, &h.Address, h.Params)
	case *sip.ToHeader:
		b = appendAddress(append(b, "To: "...), h.DisplayName, &h.Address, h.Params)
	case *sip.ContactHeader:
		if b = append(b, "Contact: "...); h.Address.Wildcard {
			b = append(b, '*')
			break
		}
		b = appendAddress(b, h.DisplayName, &h.Address, h.Params)
	case *sip.RouteHeader:
		b = appendAddress(append(b, "Route: "...), "", &h.Address, nil)
	case *sip.RecordRouteHeader:
		b = appendAddress(append(b, "Record-Route: "...), "", &h.Address, nil)
	case *sip.CallIDHeader:
		b = append(append(b, "Call-ID: "...), *h...)
	case *sip.CSeqHeader:
		b = append(strconv.AppendUint(append(b, "CSeq: "...), uint64(h.SeqNo), 10), ' ')
		b = append(b, h.MethodName...)
	case *sip.MaxForwardsHeader:
		b = strconv.AppendUint(append(b, "Max-Forwards: "...), uint64(*h), 10)
	case *sip.ContentTypeHeader:
		b = append(append(b, "Content-Type: "...), *h...)
	case *sip.ContentLengthHeader:
		b = strconv.AppendUint(append(b, "Content-Length: "...), uint64(*h), 10)
	default:
		b = append(append(append(b, h.Name()...), ": "...), h.Value()...)
	}
	return append(b, "\r\n"...)
}

func appendVia(b []byte, v *sip.ViaHeader) []byte {
	b = append(append(b, v.ProtocolName...), '/')
	b = append(append(b, v.ProtocolVersion...), '/')
	b = append(append(b, v.Transport...), ' ')
	b = appendHostPort(b, v.Host, v.Port)
	return appendParams(b, ';', ';', v.Params)
}

func appendAddress(b []byte, display string, u *sip.Uri, p sip.HeaderParams) []byte {
	if display != "" {
		b = append(append(append(b, '"'), display...), "\" "...)
	}
	b = append(AppendURI(append(b, '<'), u), '>')
	return appendParams(b, ';', ';', p)
}

// AppendURI writes a URI as it stands between angle brackets.
func AppendURI(b []byte, u *sip.Uri) []byte {
	scheme := u.Scheme
	if scheme == "" {
		scheme = "sip"
	}
	b = append(append(b, scheme...), ':')
	if raw := u.Raw(); raw != "" {
		return append(b, raw...)
	}
	if u.HierarhicalSlashes {
		b = append(b, "//"...)
	}
	if u.User != "" {
		b = append(b, u.User...)
		if u.Password != "" {
			b = append(append(b, ':'), u.Password...)
		}
		b = append(b, '@')
	}
	b = appendHostPort(b, u.Host, u.Port)
	b = appendParams(b, ';', ';', u.UriParams)
	return appendParams(b, '?', '&', u.Headers)
}

// appendHostPort puts an IPv6 address that has no brackets into them. One that holds an IPv4 address stays as it is.
func appendHostPort(b []byte, host string, port int) []byte {
	if strings.IndexByte(host, ':') >= 0 && isIPv6(host) {
		b = append(append(append(b, '['), host...), ']')
	} else {
		b = append(b, host...)
	}
	if port > 0 {
		b = strconv.AppendInt(append(b, ':'), int64(port), 10)
	}
	return b
}

func isIPv6(host string) bool {
	a, err := netip.ParseAddr(host)
	return err == nil && a.Is6() && !a.Is4In6() && a.Zone() == ""
}

func appendParams(b []byte, before, between byte, p sip.HeaderParams) []byte {
	for i := range p {
		if i > 0 {
			before = between
		}
		b = append(append(b, before), p[i].K...)
		switch v := p[i].V; {
		case v == "":
		case strings.IndexByte(v, ' ') >= 0 || strings.IndexByte(v, '\t') >= 0:
			b = append(append(append(b, `="`...), v...), '"')
		default:
			b = append(append(b, '='), v...)
		}
	}
	return b
}
