package header

import (
	"bytes"
	"io"
	"mime"
	"mime/multipart"
	"strconv"
	"strings"
)

// TypeSDP is the type of a session description, TypePIDF that of a location.
const (
	TypeSDP  = "application/sdp"
	TypePIDF = "application/pidf+xml"
)

// Part is one part of a body.
type Part struct {
	Type        string // with parameters
	Disposition string
	Encoding    string // Content-Transfer-Encoding
	ID          string // Content-ID without brackets
	Body        []byte
}

// What of a multipart body is read.
const (
	maxParts = 8
	maxPart  = 64 << 10
)

// Parts reads a body: its parts, or itself as the only one. ok is false for what cannot be read. RFC 5621.
func Parts(contentType string, body []byte) (out []Part, ok bool) {
	if len(body) == 0 {
		return nil, true
	}
	kind, params, err := mime.ParseMediaType(contentType)
	if err != nil {
		return nil, false
	}
	if !strings.HasPrefix(kind, "multipart/") {
		return []Part{{Type: typeOf(kind, params), Body: body}}, true
	}
	r := multipart.NewReader(bytes.NewReader(body), params["boundary"])
	for len(out) < maxParts {
		p, err := r.NextRawPart()
		if err != nil {
			break
		}
		kind, params, err := mime.ParseMediaType(p.Header.Get("Content-Type"))
		if err != nil {
			continue
		}
		b, err := io.ReadAll(io.LimitReader(p, maxPart+1))
		if err != nil || len(b) > maxPart {
			return out, false
		}
		out = append(out, Part{
			Type: typeOf(kind, params), Disposition: disposition(p.Header.Get("Content-Disposition")), Encoding: encoding(p.Header.Get("Content-Transfer-Encoding")),
			ID: strings.Trim(p.Header.Get("Content-ID"), "<> "), Body: b,
		})
	}
	return out, len(out) > 0
}

// typeOf writes a type again with those parameters that are words, e.g. version and base of application/isup (RFC 3204 section 3.1).
func typeOf(kind string, params map[string]string) string {
	for _, name := range []string{"version", "base", "charset"} {
		if v := params[name]; IsToken(v) && !namesAddress(v) {
			kind += ";" + name + "=" + v
		}
	}
	return kind
}

func disposition(s string) string {
	kind, params, err := mime.ParseMediaType(s)
	if err != nil || !IsToken(kind) {
		return ""
	}
	if h := params["handling"]; h == "optional" || h == "required" {
		kind += ";handling=" + h
	}
	return kind
}

func encoding(s string) string {
	switch s = strings.ToLower(strings.TrimSpace(s)); s {
	case "7bit", "8bit", "binary", "base64", "quoted-printable":
		return s
	}
	return ""
}

// Kind is the type without parameters.
func (p Part) Kind() string {
	kind, _, _ := strings.Cut(p.Type, ";")
	return kind
}

// SDP finds the session description of a body. It is nil for an empty body; ok is false for a body without one.
func SDP(contentType string, body []byte) (sdp []byte, ok bool) {
	if len(body) == 0 {
		return nil, true
	}
	if contentType == TypeSDP { // nearly every body
		return body, true
	}
	parts, _ := Parts(contentType, body)
	for _, p := range parts {
		if p.Kind() == TypeSDP {
			return p.Body, true
		}
	}
	return nil, false
}

// Beside gives the parts of a multipart body beside its session description that a list of types lets cross.
func Beside(contentType string, body []byte, types []string) []Part {
	if len(types) == 0 || len(body) == 0 || !strings.HasPrefix(strings.ToLower(strings.TrimSpace(contentType)), "multipart/") {
		return nil
	}
	parts, _ := Parts(contentType, body)
	var out []Part
	for _, p := range parts {
		if p.Kind() != TypeSDP && names(types, p.Kind()) {
			out = append(out, p)
		}
	}
	return out
}

// Join writes parts as one multipart/mixed body. RFC 2046 section 5.1: the boundary occurs in no part.
func Join(parts []Part) (contentType string, body []byte) {
	boundary := "part"
	for n := 0; ; n++ {
		boundary = "part" + strconv.Itoa(n)
		if !occurs(parts, "--"+boundary) {
			break
		}
	}
	var b bytes.Buffer
	for _, p := range parts {
		b.WriteString("--" + boundary + "\r\nContent-Type: " + p.Type + "\r\n")
		for _, f := range []Field{{"Content-Disposition", p.Disposition}, {"Content-Transfer-Encoding", p.Encoding}} {
			if f.Value != "" {
				b.WriteString(f.Name + ": " + f.Value + "\r\n")
			}
		}
		if p.ID != "" {
			b.WriteString("Content-ID: <" + p.ID + ">\r\n")
		}
		b.WriteString("\r\n")
		b.Write(p.Body)
		b.WriteString("\r\n")
	}
	b.WriteString("--" + boundary + "--\r\n")
	return "multipart/mixed;boundary=" + boundary, b.Bytes()
}

func occurs(parts []Part, s string) bool {
	for _, p := range parts {
		if bytes.Contains(p.Body, []byte(s)) {
			return true
		}
	}
	return false
}

// Locations writes Geolocation headers again for a call for help: by value with the names that the parts have on our side, by reference as they are, because who
// answers must be able to ask there. RFC 6442 section 4.1. Parameters are left out: inserted-by would name a host.
func Locations(values []string, ids map[string]string) []string {
	var out []string
	for _, one := range list(values) {
		uri, ok := strings.CutPrefix(one, "<")
		uri, _, closed := strings.Cut(uri, ">")
		scheme, rest, _ := strings.Cut(uri, ":")
		if !ok || !closed || rest == "" {
			continue
		}
		switch strings.ToLower(scheme) {
		case "cid":
			if id := ids[rest]; id != "" {
				out = append(out, "<cid:"+id+">")
			}
		case "https", "http", "sips", "sip", "pres":
			out = append(out, "<"+uri+">")
		}
	}
	return out
}
