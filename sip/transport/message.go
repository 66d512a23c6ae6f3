package transport

import (
	"bytes"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/emiago/sipgo/sip"
)

// StatusTooLarge is what a message over the limits is answered, RFC 3261 section 21.5.7.
const StatusTooLarge = 513

// Fault says why a message was refused.
type Fault struct {
	Status int    // what a request of this kind is answered
	Reason string // reason phrase; it names the fault
}

func (f *Fault) Error() string { return "transport: " + strconv.Itoa(f.Status) + " " + f.Reason }

// reader turns bytes into messages. It is for one goroutine: its buffers are used again.
type reader struct {
	p    *sip.Parser
	head head
	uri  sip.Uri // Request-URI
	buf  []byte
}

func newReader() *reader { return &reader{p: newParser()} }

// Parse reads one datagram as the layer does, without a socket: framing of UDP, sipgo's parser, then the checks of this package. The error is a *Fault.
func Parse(datagram []byte) (sip.Message, error) {
	msg, fault := newReader().datagram(datagram)
	if fault != nil {
		return nil, fault
	}
	return msg, nil
}

// datagram reads a message that came by UDP. RFC 3261 section 18.3: what is behind the body is cut, a body that is too short is 400.
func (r *reader) datagram(b []byte) (sip.Message, *Fault) {
	section, body, ok := splitHead(b)
	scan(section, &r.head)
	if !ok {
		r.head.fail(400, "Missing Empty Line")
	}
	if v, has := r.head.first("Content-Length"); has {
		n, ok := number(v, 1<<31-1)
		switch {
		case !ok:
			r.head.fail(400, "Bad Content-Length")
		case int(n) > len(body):
			r.head.fail(400, "Body Shorter Than Content-Length")
		default:
			body = body[:n]
		}
	}
	return r.message(body)
}

// message builds the message from r.head and its body, or tells what is wrong with it. The message shares no memory with the input.
func (r *reader) message(body []byte) (sip.Message, *Fault) {
	h := &r.head
	r.presence()
	if h.fault != nil {
		return nil, h.fault
	}
	r.canonical(len(body))
	msg, err := r.parse()
	if err != nil {
		var fault *Fault
		if !errors.As(err, &fault) {
			fault = &Fault{Status: 400, Reason: "Bad Header"}
		}
		return nil, fault
	}
	if len(body) > 0 {
		msg.SetBody(bytes.Clone(body))
	}
	switch m := msg.(type) {
	case *sip.Request:
		m.Method, m.Recipient = sip.RequestMethod(h.method), r.uri
		if m.Method != m.CSeq().MethodName {
			return nil, &Fault{Status: 400, Reason: "CSeq Method Mismatch"}
		}
		for _, c := range m.GetHeaders("contact") {
			if c, ok := c.(*sip.ContactHeader); ok && c.Address.Wildcard && m.Method != sip.REGISTER {
				return nil, bad("Contact")
			}
		}
	case *sip.Response:
		m.Reason = h.reason
	}
	return msg, nil
}

// presence checks that every header without which nothing can be matched is there, and that what may stand once stands once.
func (r *reader) presence() {
	h := &r.head
	for _, name := range [...]string{"Via", "From", "To", "Call-ID", "CSeq"} {
		if v, ok := h.first(name); !ok {
			h.fail(400, "Missing "+name)
		} else if len(v) == 0 {
			h.fail(400, "Empty "+name)
		}
	}
	once := vital
	if h.request {
		once = single
	}
	for i := range h.fields {
		name := h.fields[i].name
		if !once[name] {
			continue
		}
		for j := range i {
			if h.fields[j].name == name {
				h.fail(400, "Repeated "+name)
			}
		}
	}
	if !h.request {
		return
	}
	if strings.HasPrefix(h.uri, "<") {
		h.fail(400, "Request-URI In Brackets")
	}
	r.uri = sip.Uri{}
	if h.fault == nil && !parseURI(h.uri, &r.uri) || len(r.uri.Headers) > 0 { // RFC 3261 section 19.1.1: no headers there
		h.fail(400, "Bad Request-URI")
	}
	if v, ok := h.first("Date"); ok && !bytes.HasSuffix(v, []byte(" GMT")) { // RFC 3261 section 20.17
		h.fail(400, "Bad Date")
	}
}

// canonical writes the header section as sipgo's parser reads it without guessing: long names, unfolded, one list member a line, one Content-Length. The
// start line says only which kind it is, and message fills in the rest: sipgo upper-cases methods although they are case-sensitive, refuses schemes with a dot,
// and takes a response whose reason phrase begins with "SIP" for a request.
func (r *reader) canonical(body int) {
	b := r.buf[:0]
	if r.head.request {
		b = append(b, "X sip:x SIP/2.0\r\n"...)
	} else {
		b = append(strconv.AppendInt(append(b, "SIP/2.0 "...), int64(r.head.status), 10), " -\r\n"...)
	}
	for i := range r.head.fields {
		f := &r.head.fields[i]
		switch f.name {
		case "Content-Length":
		case "Via", "Contact", "Route", "Record-Route":
			splitList(f.value, func(item []byte) { b = appendField(b, f.name, item) })
		default:
			b = appendField(b, f.name, f.value)
		}
	}
	b = appendField(b, "Content-Length", strconv.AppendInt(nil, int64(body), 10))
	r.buf = append(b, "\r\n"...)
}

func appendField(b []byte, name string, value []byte) []byte {
	return append(append(append(append(b, name...), ": "...), value...), "\r\n"...)
}

// parse runs sipgo's parser. A panic there, on bytes from outside, must not end the node: it counts as a malformed message.
func (r *reader) parse() (msg sip.Message, err error) {
	defer func() {
		if p := recover(); p != nil {
			msg, err = nil, fmt.Errorf("transport: the parser failed: %v", p)
		}
	}()
	msg, _, err = r.p.ParseHeaders(r.buf, false)
	return msg, err
}
