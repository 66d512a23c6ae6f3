package transport

import (
	"bytes"
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"

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
	head           head
	there, several kinds        // of its fields; those of which there is more than one
	slab           slab         // of the message that is being built
	list           []sip.Header // and its headers
}

func newReader() *reader { return &reader{} }

// Parse reads one datagram as the layer does, without a socket: framing of UDP, then the grammar of this package. The error is a *Fault.
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
	if v, has := r.head.value(kindContentLength); has {
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
	msg, fault := r.build(len(body))
	if fault != nil {
		return nil, fault
	}
	if len(body) > 0 {
		msg.SetBody(bytes.Clone(body))
	}
	return msg, nil
}

// presence checks that every header without which nothing can be matched is there, and that what may stand once stands once.
func (r *reader) presence() {
	h := &r.head
	once := vital
	if h.request {
		once = single
	}
	var there, filled, twice kinds
	for i := range h.fields {
		f := &h.fields[i]
		if there.has(f.kind) {
			twice |= 1 << f.kind
		} else if f.value != "" {
			filled |= 1 << f.kind // the first of a name counts
		}
		there |= 1 << f.kind
	}
	r.there, r.several = there, twice
	if filled&mandatory != mandatory {
		for _, m := range [...]string{"Via", "From", "To", "Call-ID", "CSeq"} {
			if v, ok := h.first(m); !ok {
				h.fail(400, "Missing "+m)
			} else if v == "" {
				h.fail(400, "Empty "+m)
			}
		}
	}
	if twice&once != 0 {
		h.repeated(once)
	}
	if h.request && strings.HasPrefix(h.uri, "<") {
		h.fail(400, "Request-URI In Brackets")
	}
}

// repeated notes the first field that stands a second time although it may not.
func (h *head) repeated(once kinds) {
	var there kinds
	for i := range h.fields {
		f := &h.fields[i]
		if once.has(f.kind) && there.has(f.kind) {
			h.fail(400, "Repeated "+f.name)
		}
		there |= 1 << f.kind
	}
}

// build makes the message without its body. A panic there, on bytes from outside, must not end the node: it counts as a malformed message.
func (r *reader) build(body int) (msg sip.Message, fault *Fault) {
	defer func() {
		clear(r.list)
		r.list, r.slab = r.list[:0], slab{}
		if p := recover(); p != nil {
			msg, fault = nil, &Fault{Status: 400, Reason: "Bad Header"}
		}
	}()
	if r.head.request {
		return r.request(body)
	}
	return r.response(body)
}

func (r *reader) request(body int) (sip.Message, *Fault) {
	h := &r.head
	req := carve[sip.Request](&r.slab, r.there.has(kindContact))
	r.slab.spare = spare
	req.SipVersion, req.Method = "SIP/2.0", methodOf(h.method)
	if !r.slab.parseURI(h.uri, &req.Recipient) || len(req.Recipient.Headers) > 0 { // RFC 3261 section 19.1.1: no headers there
		return nil, &Fault{Status: 400, Reason: "Bad Request-URI"}
	}
	if r.there.has(kindDate) {
		if v, _ := h.value(kindDate); !strings.HasSuffix(v, " GMT") { // RFC 3261 section 20.17
			return nil, &Fault{Status: 400, Reason: "Bad Date"}
		}
	}
	if fault := r.headers(req, body); fault != nil {
		return nil, fault
	}
	if req.Method != req.CSeq().MethodName {
		return nil, &Fault{Status: 400, Reason: "CSeq Method Mismatch"}
	}
	for _, c := range r.list {
		if c, ok := c.(*sip.ContactHeader); ok && c.Address.Wildcard && req.Method != sip.REGISTER {
			return nil, bad("Contact")
		}
	}
	return req, nil
}

func (r *reader) response(body int) (sip.Message, *Fault) {
	res := carve[sip.Response](&r.slab, r.there.has(kindContact))
	res.SipVersion, res.StatusCode, res.Reason = "SIP/2.0", r.head.status, r.head.reason
	if fault := r.headers(res, body); fault != nil {
		return nil, fault
	}
	return res, nil
}

// headers reads every field, one list member a header, and hangs them onto msg in one piece, with one Content-Length at the end.
func (r *reader) headers(msg sip.Message, body int) *Fault {
	for i := range r.head.fields {
		f := &r.head.fields[i]
		var fault *Fault
		switch f.kind {
		case kindContentLength:
		case kindVia, kindContact, kindRoute, kindRecordRoute:
			for item, rest, more := nextItem(f.value); ; item, rest, more = nextItem(rest) {
				if fault = r.add(f, item); fault != nil || !more {
					break
				}
				r.several |= 1 << f.kind
			}
		case kindReferTo, kindReferredBy:
			fault = r.refer(f)
		default:
			fault = r.add(f, f.value)
		}
		if fault != nil {
			return fault
		}
	}
	length := &r.slab.length
	*length = sip.ContentLengthHeader(body)
	r.list = append(r.list, length)
	msg.PrependHeader(r.list...)
	if r.several&stacked != 0 {
		r.tops(msg)
	}
	return nil
}

// add reads one value of a field.
func (r *reader) add(f *field, value string) *Fault {
	if n := len(value); n > 0 && value[0]|value[n-1] >= utf8.RuneSelf { // blanks and tabs are cut off already
		value = strings.TrimSpace(value)
	}
	h, ok := r.slab.read(f.kind, f.name, value)
	if !ok {
		return bad(f.name)
	}
	r.list = append(r.list, h)
	return nil
}

// refer reads the fields that are rare enough to leave them to sipgo's readers.
func (r *reader) refer(f *field) *Fault {
	list, err := sip.HeadersParser(sip.DefaultHeadersParser()).ParseHeader(r.list, fmt.Appendf(nil, "%s: %s", f.name, f.value))
	if err != nil {
		return &Fault{Status: 400, Reason: "Bad Header"}
	}
	r.list = list
	return nil
}

// tops makes the first of several the one that the message gives when it is asked for one: what is prepended leaves the last.
func (r *reader) tops(msg sip.Message) {
	m, ok := msg.(interface{ ReplaceHeader(sip.Header) })
	if !ok {
		return
	}
	seen := setOf(kindOther)
	for _, h := range r.list {
		if k := listed(h); !seen.has(k) {
			m.ReplaceHeader(h)
			seen |= 1 << k
		}
	}
}

// listed is the kind of a header that sipgo gives by its top one; kindOther for the rest.
func listed(h sip.Header) kind {
	switch h.(type) {
	case *sip.ViaHeader:
		return kindVia
	case *sip.RouteHeader:
		return kindRoute
	case *sip.RecordRouteHeader:
		return kindRecordRoute
	}
	return kindOther
}

// methodOf is the method as a string that keeps no message alive.
func methodOf(s string) sip.RequestMethod {
	for _, m := range [...]sip.RequestMethod{
		sip.INVITE, sip.ACK, sip.BYE, sip.OPTIONS, sip.CANCEL, sip.PRACK, sip.UPDATE, sip.INFO, sip.REGISTER, sip.SUBSCRIBE, sip.NOTIFY, sip.REFER, sip.MESSAGE,
		sip.PUBLISH,
	} {
		if string(m) == s {
			return m
		}
	}
	return sip.RequestMethod(strings.Clone(s))
}
