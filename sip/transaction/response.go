package transaction

import (
	"strings"

	"github.com/emiago/sipgo/sip"

	"github.com/cordonsip/cordon/sip/header"
)

// reply is a response of ours with what none shares with its request, in one piece.
type reply struct {
	sip.Response
	to     sip.ToHeader
	length sip.ContentLengthHeader
	params [2]sip.HeaderKV
}

// Response builds a response to the request with the To-tag of this transaction (the same in every response, also in the answer to CANCEL).
// An empty reason is filled in from the registry. It shares headers with the request: append to it, and change none. RFC 3261 section 8.2.6.
func (s *Server) Response(status int, reason string, headers ...sip.Header) *sip.Response {
	m := &reply{}
	var room [24]sip.Header
	m.Response.PrependHeader(s.compose(m, room[:0], status, reason, headers)...)
	s.top(&m.Response)
	return &m.Response
}

// Draft is Response in memory that is used again. Respond takes it back, so the caller keeps nothing of it; only a 2xx to INVITE, which is sent again, stays until
// its Release.
func (s *Server) Draft(status int, reason string, headers ...sip.Header) *sip.Response {
	d := s.l.replies.draw()
	var room [24]sip.Header
	for _, h := range s.compose(&d.reply, room[:0], status, reason, headers) {
		d.Response.AppendHeader(h)
	}
	s.top(&d.Response)
	return &d.Response
}

// top has several Via give the first when the response is asked for its own, and answers a Session-ID.
func (s *Server) top(res *sip.Response) {
	if v := s.Req().Via(); v != nil {
		res.ReplaceHeader(v)
	}
	s.sessionID(res)
}

// compose fills a response in and lists its headers behind list.
func (s *Server) compose(m *reply, list []sip.Header, status int, reason string, headers []sip.Header) []sip.Header {
	if reason == "" {
		reason = Reason(status)
	}
	m.SipVersion, m.StatusCode, m.Reason = "SIP/2.0", status, reason
	req := s.Req()
	for _, h := range req.Headers() {
		if v, ok := h.(*sip.ViaHeader); ok {
			list = append(list, v)
		}
	}
	if status > 100 && status < 300 && s.method != sip.REGISTER { // RFC 3261 section 12.1.1
		for _, h := range req.Headers() {
			if r, ok := h.(*sip.RecordRouteHeader); ok {
				list = append(list, r)
			}
		}
	}
	if from := req.From(); from != nil {
		list = append(list, from)
	}
	if to := req.To(); to != nil {
		m.to = *to
		if tag, ok := to.Params.Get("tag"); status > 100 && (!ok || tag == "") {
			m.to.Params = append(m.params[:0], to.Params...)
			m.to.Params.Add("tag", s.tag)
		}
		list = append(list, &m.to)
	}
	if id := req.CallID(); id != nil {
		list = append(list, id)
	}
	if cseq := req.CSeq(); cseq != nil {
		list = append(list, cseq)
	}
	if status == 100 { // RFC 3261 section 8.2.6.1
		list = appendNamed(list, req, "Timestamp")
	}
	if s.req == nil { // of the final response, as it is
		list = appendNamed(list, req, "Session-ID")
	}
	return append(append(list, headers...), &m.length)
}

// sessionID answers a Session-ID by what the request itself tells of both ends, unless the user knew better. RFC 7989 section 7: an end that is not known is nil.
func (s *Server) sessionID(res *sip.Response) {
	if s.req == nil || named(res, "Session-ID") != nil {
		return
	}
	h := named(s.req, "Session-ID")
	if h == nil {
		return
	}
	if local, remote := header.Session(h.Value()); local != "" {
		res.AppendHeader(sip.NewHeader("Session-ID", header.SessionValue(remote, local)))
	}
}

// named gives the first header of that name; sipgo's own look-up makes a string of each name that it does not know.
func named(m interface{ Headers() []sip.Header }, name string) sip.Header {
	for _, h := range m.Headers() {
		if is(h, name) {
			return h
		}
	}
	return nil
}

// appendNamed adds every header of that name to list.
func appendNamed(list []sip.Header, m interface{ Headers() []sip.Header }, name string) []sip.Header {
	for _, h := range m.Headers() {
		if is(h, name) {
			list = append(list, h)
		}
	}
	return list
}

// is says whether a header has this name. Most names differ in their length or their first letter.
func is(h sip.Header, name string) bool {
	n := h.Name()
	return len(n) == len(name) && n[0]|0x20 == name[0]|0x20 && strings.EqualFold(n, name)
}

// Reason is the registered reason phrase of a status, or one for its class.
func Reason(status int) string {
	if status >= 0 && status < len(reasons) && reasons[status] != "" {
		return reasons[status]
	}
	switch status / 100 {
	case 1:
		return "Session Progress"
	case 2:
		return "OK"
	case 3:
		return "Redirection"
	case 4:
		return "Request Failure"
	case 5:
		return "Server Failure"
	}
	return "Global Failure"
}

// reasons is the IANA registry of SIP response codes, by status. Read only.
var reasons = [...]string{
	100: "Trying", 180: "Ringing", 181: "Call Is Being Forwarded", 182: "Queued", 183: "Session Progress", 199: "Early Dialog Terminated",
	200: "OK", 202: "Accepted", 204: "No Notification",
	300: "Multiple Choices", 301: "Moved Permanently", 302: "Moved Temporarily", 305: "Use Proxy", 380: "Alternative Service",
	400: "Bad Request", 401: "Unauthorized", 402: "Payment Required", 403: "Forbidden", 404: "Not Found", 405: "Method Not Allowed",
	406: "Not Acceptable", 407: "Proxy Authentication Required", 408: "Request Timeout", 410: "Gone", 412: "Conditional Request Failed",
	413: "Request Entity Too Large", 414: "Request-URI Too Long", 415: "Unsupported Media Type", 416: "Unsupported URI Scheme",
	417: "Unknown Resource-Priority", 420: "Bad Extension", 421: "Extension Required", 422: "Session Interval Too Small", 423: "Interval Too Brief",
	424: "Bad Location Information", 425: "Bad Alert Message", 428: "Use Identity Header", 429: "Provide Referrer Identity", 430: "Flow Failed",
	433: "Anonymity Disallowed", 436: "Bad Identity-Info", 437: "Unsupported Certificate", 438: "Invalid Identity Header",
	439: "First Hop Lacks Outbound Support", 440: "Max-Breadth Exceeded", 469: "Bad Info Package", 470: "Consent Needed",
	480: "Temporarily Unavailable", 481: "Call/Transaction Does Not Exist", 482: "Loop Detected", 483: "Too Many Hops", 484: "Address Incomplete",
	485: "Ambiguous", 486: "Busy Here", 487: "Request Terminated", 488: "Not Acceptable Here", 489: "Bad Event", 491: "Request Pending",
	493: "Undecipherable", 494: "Security Agreement Required",
	500: "Server Internal Error", 501: "Not Implemented", 502: "Bad Gateway", 503: "Service Unavailable", 504: "Server Time-out",
	505: "Version Not Supported", 513: "Message Too Large", 555: "Push Notification Service Not Supported", 580: "Precondition Failure",
	600: "Busy Everywhere", 603: "Decline", 604: "Does Not Exist Anywhere", 606: "Not Acceptable", 607: "Unwanted", 608: "Rejected",
}
