package transaction

import (
	"github.com/emiago/sipgo/sip"

	"github.com/cordonsip/cordon/sip/transport"
)

// End is From or To of a request.
type End struct {
	Display string
	URI     sip.Uri
	Tag     string // "": none yet
}

// fields are the headers that each request of ours has, in one piece.
type fields struct {
	via      sip.ViaHeader
	hops     sip.MaxForwardsHeader
	from     sip.FromHeader
	to       sip.ToHeader
	id       sip.CallIDHeader
	cseq     sip.CSeqHeader
	length   sip.ContentLengthHeader
	params   [2]sip.HeaderKV
	our, its [1]sip.HeaderKV
}

// NewRequest makes a request of ours with the headers that each one has, in few pieces of memory: a blank Via, which the layer fills in when it sends the
// request, the routes, Max-Forwards, From, To, Call-ID, CSeq and an empty body. RFC 3261 section 8.1.1. The URIs are not copied.
func NewRequest(method sip.RequestMethod, target sip.Uri, routes []*sip.RouteHeader, from, to End, callID string, seq, hops uint32) *sip.Request {
	req, h := sip.NewRequest(method, target), &fields{}
	h.hops, h.id = sip.MaxForwardsHeader(hops), sip.CallIDHeader(callID)
	h.dress(req, routes, from, to, seq)
	return req
}

// dress puts the headers on.
func (h *fields) dress(req *sip.Request, routes []*sip.RouteHeader, from, to End, seq uint32) {
	h.cseq = sip.CSeqHeader{SeqNo: seq, MethodName: req.Method}
	h.from.DisplayName, h.from.Address, h.from.Params = from.Display, from.URI, tagged(&h.our, from.Tag)
	h.to.DisplayName, h.to.Address, h.to.Params = to.Display, to.URI, tagged(&h.its, to.Tag)
	h.via.Params = h.params[:0]
	req.AppendHeader(&h.via)
	for _, r := range routes {
		req.AppendHeader(r)
	}
	req.AppendHeader(&h.hops)
	req.AppendHeader(&h.from)
	req.AppendHeader(&h.to)
	req.AppendHeader(&h.id)
	req.AppendHeader(&h.cseq)
	req.AppendHeader(&h.length)
}

// tagged gives the parameters of an end with that tag, in room.
func tagged(room *[1]sip.HeaderKV, tag string) sip.HeaderParams {
	if tag == "" {
		return nil
	}
	room[0] = sip.HeaderKV{K: "tag", V: tag}
	return room[:]
}

// addVia puts our Via on top, or fills the blank one in. rport asks for the answer where the request came from (RFC 3581).
func (l *Layer) addVia(f transport.Flow, req *sip.Request, branch string) {
	v := req.Via()
	if v == nil || v.Host != "" {
		h := &struct {
			sip.ViaHeader
			params [2]sip.HeaderKV
		}{}
		v = &h.ViaHeader
		v.Params = h.params[:0]
		req.PrependHeader(v)
	}
	*v = sip.ViaHeader{
		ProtocolName: "SIP", ProtocolVersion: "2.0", Transport: f.Proto().Name(), Host: l.hostOf(f), Port: int(f.Local().Port()),
		Params: l.viaParams(v.Params[:0], f, req, branch),
	}
	SetBody(req, req.Body())
}

// SetBody gives a message its body, and the length of that: a stream is framed by it. A message that has no Content-Length gets one.
func SetBody(m sip.Message, body []byte) {
	var list []sip.Header // sipgo's look-up needs memory to find nothing
	switch m := m.(type) {
	case *sip.Request:
		list = m.Headers()
	case *sip.Response:
		list = m.Headers()
	}
	for _, h := range list {
		if l, ok := h.(*sip.ContentLengthHeader); ok {
			*l = sip.ContentLengthHeader(len(body))
			if len(body) > 0 || len(m.Body()) > 0 {
				m.SetBody(body)
			}
			return
		}
	}
	l := sip.ContentLengthHeader(len(body))
	m.AppendHeader(&l)
	if len(body) > 0 || len(m.Body()) > 0 {
		m.SetBody(body)
	}
}
