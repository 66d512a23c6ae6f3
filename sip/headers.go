package sip

import (
	"bytes"
	"io"
	"mime"
	"mime/multipart"
	"net/textproto"
	"strconv"
	"strings"
	"time"

	msg "github.com/emiago/sipgo/sip"
)

// What this edge understands, in the words of its responses.
const (
	allowed   = "INVITE, ACK, CANCEL, BYE, OPTIONS, UPDATE, INFO, PRACK"
	supported = "100rel, timer"
	typeSDP   = "application/sdp"
	// receiptHeader carries the reference of the residency receipt in a refusal, so that the peer's operator can ask for the ground.
	receiptHeader = "X-Cordon-Receipt"
	sessionHeader = "Session-ID"
)

// structural names the headers that are ours to write: they never cross by configuration.
var structural = map[string]bool{
	"via": true, "v": true, "route": true, "record-route": true, "contact": true, "m": true, "from": true, "f": true, "to": true, "t": true,
	"call-id": true, "i": true, "cseq": true, "max-forwards": true, "content-length": true, "l": true, "content-type": true, "c": true,
	"content-encoding": true, "e": true, "require": true, "proxy-require": true, "supported": true, "k": true, "unsupported": true,
	"allow": true, "authorization": true, "proxy-authorization": true, "www-authenticate": true, "proxy-authenticate": true,
	"p-asserted-identity": true, "p-preferred-identity": true, "privacy": true, "session-expires": true, "x": true, "min-se": true,
	"rseq": true, "rack": true, "reason": true, "warning": true, "server": true, "user-agent": true, "path": true, "service-route": true,
	"session-id": true, "identity": true, "replaces": true, "refer-to": true, "r": true, "history-info": true, "p-charging-vector": true,
}

// compact gives the short form of the list headers that are read here; the parser maps only its own.
func compact(name string) string {
	switch name {
	case "supported":
		return "k"
	case "session-expires":
		return "x"
	case "content-encoding":
		return "e"
	}
	return ""
}

// values gives every value of a header, its short form included, in order. name is in lower case.
func values(m msg.Message, name string) []string {
	var out []string
	for _, h := range m.GetHeaders(name) {
		out = append(out, h.Value())
	}
	if short := compact(name); short != "" {
		for _, h := range m.GetHeaders(short) {
			out = append(out, h.Value())
		}
	}
	return out
}

func value(m msg.Message, name string) string {
	if v := values(m, name); len(v) > 0 {
		return v[0]
	}
	return ""
}

// tokens splits the comma lists of a header into its options.
func tokens(m msg.Message, name string) []string {
	var out []string
	for _, v := range values(m, name) {
		for t := range strings.SplitSeq(v, ",") {
			if t = strings.TrimSpace(t); t != "" {
				out = append(out, t)
			}
		}
	}
	return out
}

func lists(m msg.Message, name, option string) bool {
	for _, t := range tokens(m, name) {
		if strings.EqualFold(t, option) {
			return true
		}
	}
	return false
}

// number is the leading decimal number of a header; ok is false without one.
func number(m msg.Message, name string) (n uint32, ok bool) {
	v := strings.TrimSpace(value(m, name))
	end := 0
	for end < len(v) && v[end] >= '0' && v[end] <= '9' {
		end++
	}
	u, err := strconv.ParseUint(v[:end], 10, 32)
	return uint32(u), err == nil
}

// retryAfter is the pause that a response asks for, bounded to an hour.
func retryAfter(m msg.Message) time.Duration {
	n, _ := number(m, "retry-after")
	return min(time.Duration(n)*time.Second, time.Hour)
}

// reason is one value of the Reason header, RFC 3326.
type reason struct {
	protocol string // SIP | Q.850
	cause    int
	text     string
}

func (r reason) header() msg.Header {
	v := r.protocol + ";cause=" + strconv.Itoa(r.cause)
	if r.text != "" {
		v += `;text="` + r.text + `"`
	}
	return msg.NewHeader("Reason", v)
}

// reasons reads the Reason headers and leaves out what could carry an address of the other side.
func reasons(m msg.Message) []reason {
	var out []reason
	for _, v := range values(m, "reason") {
		for _, part := range splitQuoted(v, ',') {
			fields := splitQuoted(part, ';')
			r := reason{}
			switch strings.ToUpper(strings.TrimSpace(fields[0])) {
			case "SIP":
				r.protocol = "SIP"
			case "Q.850":
				r.protocol = "Q.850"
			default:
				continue
			}
			for _, f := range fields[1:] {
				k, val, _ := strings.Cut(strings.TrimSpace(f), "=")
				switch strings.ToLower(strings.TrimSpace(k)) {
				case "cause":
					r.cause, _ = strconv.Atoi(strings.TrimSpace(val))
				case "text":
					r.text = harmless(strings.Trim(strings.TrimSpace(val), `"`))
				}
			}
			if r.cause > 0 && r.cause < 1000 && len(out) < 4 {
				out = append(out, r)
			}
		}
	}
	return out
}

func reasonHeaders(rs []reason) []msg.Header {
	out := make([]msg.Header, 0, len(rs))
	for _, r := range rs {
		out = append(out, r.header())
	}
	return out
}

// harmless keeps a short text that can name no host: letters, digits, blanks and a little punctuation.
func harmless(s string) string {
	if len(s) > 64 {
		return ""
	}
	for _, c := range s {
		switch {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9', c == ' ', c == '-', c == '_', c == '/', c == '(', c == ')':
		default:
			return ""
		}
	}
	return s
}

// splitQuoted splits at sep outside quoted strings and angle brackets.
func splitQuoted(s string, sep byte) []string {
	var out []string
	quoted, angled, start := false, false, 0
	for i := 0; i < len(s); i++ {
		switch {
		case quoted && s[i] == '\\':
			i++
		case s[i] == '"':
			quoted = !quoted
		case quoted:
		case s[i] == '<':
			angled = true
		case s[i] == '>':
			angled = false
		case s[i] == sep && !angled:
			out, start = append(out, s[start:i]), i+1
		}
	}
	return append(out, s[start:])
}

// Session-ID, RFC 7989: two UUIDs of 32 hex digits, ours first.

func sessionID(m msg.Message) (local string) {
	v, _, _ := strings.Cut(value(m, "session-id"), ";")
	v = strings.ToLower(strings.TrimSpace(v))
	if len(v) != 32 || strings.Trim(v, "0123456789abcdef") != "" || strings.Trim(v, "0") == "" {
		return ""
	}
	return v
}

func sessionHeaderOf(local, remote string) msg.Header {
	if remote == "" {
		remote = strings.Repeat("0", 32)
	}
	return msg.NewHeader(sessionHeader, local+";remote="+remote)
}

// bodySDP finds the session description of a message: the body, or the SDP part of a multipart body. ok is false for a body of another kind.
func bodySDP(m msg.Message) (sdp []byte, ok bool) {
	body := m.Body()
	if len(body) == 0 {
		return nil, true
	}
	kind, params, err := mime.ParseMediaType(value(m, "content-type"))
	if err != nil {
		return nil, false
	}
	if kind == typeSDP {
		return body, true
	}
	if !strings.HasPrefix(kind, "multipart/") {
		return nil, false
	}
	r := multipart.NewReader(bytes.NewReader(body), params["boundary"])
	for range 8 {
		p, err := r.NextPart()
		if err != nil {
			return nil, false
		}
		if k, _, err := mime.ParseMediaType(textproto.MIMEHeader(p.Header).Get("Content-Type")); err != nil || k != typeSDP {
			continue
		}
		sdp, err := io.ReadAll(io.LimitReader(p, 64<<10))
		return sdp, err == nil
	}
	return nil, false
}

// setSDP puts a session description into m; nil leaves the message without a body.
func setSDP(m msg.Message, sdp []byte) {
	if len(sdp) > 0 {
		m.AppendHeader(msg.NewHeader("Content-Type", typeSDP))
		m.SetBody(sdp)
		return
	}
	m.SetBody(nil)
}
