package sip

import (
	"iter"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/cordonsip/cordon/sip/header"
	"github.com/cordonsip/cordon/sip/transaction"
	msg "github.com/emiago/sipgo/sip"
)

// What this edge understands, in the words of its responses.
const (
	allowed   = "INVITE, ACK, CANCEL, BYE, OPTIONS, UPDATE, INFO, PRACK, REFER, NOTIFY, SUBSCRIBE, MESSAGE"
	supported = "100rel, timer, norefersub, replaces"
	typeSDP   = header.TypeSDP
	// receiptHeader carries the reference of the residency receipt in a refusal, so that the peer's operator can ask for the ground.
	receiptHeader = "X-Cordon-Receipt"
	sessionHeader = "Session-ID"
)

// Headers that are the same in every message. Nobody changes a header that is in a message, so all messages share them.
var (
	allows       = msg.NewHeader("Allow", allowed)
	supports     = msg.NewHeader("Supported", supported)
	supportsLess = msg.NewHeader("Supported", "timer, replaces") // of an INVITE whose reliable provisional responses could not be answered
	describes    = msg.NewHeader("Content-Type", header.TypeSDP)
	minSEs       = msg.NewHeader("Min-SE", minSEText)
	needsTimer   = msg.NewHeader("Require", "timer")
)

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

// called says whether a header has this name, which is in lower case. It costs no memory, unlike the message's own search. Most names differ in their length or
// their first letter.
func called(h msg.Header, name string) bool {
	n := h.Name()
	return len(n) == len(name) && n != "" && n[0]|0x20 == name[0] && strings.EqualFold(n, name)
}

func headersOf(m msg.Message) []msg.Header {
	switch m := m.(type) {
	case *msg.Request:
		return m.Headers()
	case *msg.Response:
		return m.Headers()
	}
	return nil
}

// values gives every value of a header, its short form included, in order. name is in lower case.
func values(m msg.Message, name string) []string {
	var out []string
	list := headersOf(m)
	for _, n := range [2]string{name, compact(name)} {
		if n == "" {
			break
		}
		for _, h := range list {
			if called(h, n) {
				out = append(out, h.Value())
			}
		}
	}
	return out
}

// has says whether a header is there, with or without a value.
func has(m msg.Message, name string) bool {
	for _, h := range headersOf(m) {
		if called(h, name) {
			return true
		}
	}
	return false
}

func value(m msg.Message, name string) string {
	list := headersOf(m)
	for _, n := range [2]string{name, compact(name)} {
		if n == "" {
			break
		}
		for _, h := range list {
			if called(h, n) {
				return h.Value()
			}
		}
	}
	return ""
}

// options walks over the comma lists of a header.
func options(m msg.Message, name string) iter.Seq[string] {
	return func(yield func(string) bool) {
		list := headersOf(m)
		for _, n := range [2]string{name, compact(name)} {
			if n == "" {
				return
			}
			for _, h := range list {
				if !called(h, n) {
					continue
				}
				for t := range strings.SplitSeq(h.Value(), ",") {
					if t = strings.TrimSpace(t); t != "" && !yield(t) {
						return
					}
				}
			}
		}
	}
}

// tokens splits the comma lists of a header into its options.
func tokens(m msg.Message, name string) []string { return slices.Collect(options(m, name)) }

func lists(m msg.Message, name, option string) bool {
	for t := range options(m, name) {
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
	if end == 0 { // most messages have none, and the error would be made for nobody
		return 0, false
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
	return msg.NewHeader("Reason", header.Reason{Protocol: r.protocol, Cause: r.cause, Text: r.text}.String())
}

// reasons reads the Reason headers. Where a cause was raised is kept by leg.heard.
func reasons(m msg.Message) []reason {
	var out []reason
	for _, r := range header.Reasons(values(m, "reason")) {
		out = append(out, reason{r.Protocol, r.Cause, r.Text})
	}
	return out
}

// asHeaders gives reasons as values of the header, behind out.
func asHeaders(out []header.Reason, rs []reason) []header.Reason {
	for _, r := range rs {
		out = append(out, header.Reason{Protocol: r.protocol, Cause: r.cause, Text: r.text})
	}
	return out
}

// reasons reads the reasons that the far end gives. A text that names the leg or its dialog is left out, like one that could name a host.
func (l *leg) reasons(m msg.Message) []reason {
	rs := reasons(m)
	for i := range rs {
		if rs[i].text == "" {
			continue
		}
		v := l.veil()
		if from, to := m.From(), m.To(); from != nil && to != nil {
			v.Hide(from.Params.GetOr("tag", ""), to.Params.GetOr("tag", "")) // a refusal makes no dialog
		}
		if v.Shows(rs[i].text) {
			rs[i].text = ""
		}
	}
	return rs
}

func reasonHeaders(rs []reason) []msg.Header {
	out := make([]msg.Header, 0, len(rs))
	for _, r := range rs {
		out = append(out, r.header())
	}
	return out
}

// bodySDP finds the session description of a message: the body, or the SDP part of a multipart body. ok is false for a body of another kind.
func bodySDP(m msg.Message) (sdp []byte, ok bool) {
	if len(m.Body()) == 0 {
		return nil, true
	}
	return header.SDP(value(m, "content-type"), m.Body())
}

// setSDP puts a session description into m; nil leaves the message without a body.
func setSDP(m msg.Message, sdp []byte) { setBodies(m, sdp, nil) }

// setBodies puts a session description and further parts into m. RFC 5621 section 8.2: one part stands alone, several make a multipart body.
func setBodies(m msg.Message, sdp []byte, more []header.Part) {
	if len(more) > 0 {
		if len(sdp) > 0 {
			more = append([]header.Part{{Type: header.TypeSDP, Body: sdp}}, more...)
		}
		kind, body := header.Join(more)
		m.AppendHeader(msg.NewHeader("MIME-Version", "1.0"))
		m.AppendHeader(msg.NewHeader("Content-Type", kind))
		fill(m, body)
		return
	}
	if len(sdp) > 0 {
		m.AppendHeader(describes)
	}
	fill(m, sdp)
}

// fill sets the body of a message with its length.
func fill(m msg.Message, body []byte) { transaction.SetBody(m, body) }
