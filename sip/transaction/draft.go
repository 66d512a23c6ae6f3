package transaction

import (
	"slices"

	"github.com/emiago/sipgo/sip"
)

// Messages of ours that are soon over lie in memory that the next ones of the same loop use again: what is written lies where the one before lay.

// maxDrafts bounds what waits, and what is remembered of responses that were drawn.
const maxDrafts = 64

// draftRoom is for how many headers a draft has room.
const draftRoom = 24

// headed is a message that takes headers.
type headed interface {
	PrependHeader(...sip.Header)
	RemoveHeader(string) bool
}

// roomy gives m room for headers: sipgo lets nobody set it.
func roomy(m headed) {
	var length sip.ContentLengthHeader
	m.PrependHeader(slices.Repeat([]sip.Header{&length}, draftRoom)...)
	for m.RemoveHeader(length.Name()) {
	}
}

// emptied is the room of a blank message without what is left of the one that was written there.
func emptied(list []sip.Header) { clear(list[:cap(list)]) }

// draftReply is a response of ours that is used again. blank has no header, and the room for them.
type draftReply struct {
	reply
	blank sip.Response
}

func newDraftReply() *draftReply {
	d := &draftReply{}
	roomy(&d.blank)
	d.wipe()
	return d
}

func (d *draftReply) wipe() {
	emptied(d.blank.Headers())
	d.reply = reply{Response: d.blank}
}

// Draft is a request of ours that is used again, in one piece with the headers that each one has. It belongs to the loop of its layer.
type Draft struct {
	sip.Request
	fields
	blank sip.Request
}

func newDraft() *Draft {
	d := &Draft{}
	roomy(&d.blank)
	d.wipe()
	return d
}

func (d *Draft) wipe() {
	emptied(d.blank.Headers())
	d.Request, d.fields = d.blank, fields{}
}

// Draft is NewRequest in memory that is used again from its Release on; without one it is memory like any other. A nil layer has no such memory.
func (l *Layer) Draft(method sip.RequestMethod, target sip.Uri, routes []*sip.RouteHeader, from, to End, callID string, seq, hops uint32) *Draft {
	var d *Draft
	if l != nil && len(l.requests) > 0 {
		n := len(l.requests) - 1
		d, l.requests[n] = l.requests[n], nil
		l.requests = l.requests[:n]
	} else {
		d = newDraft()
	}
	d.SipVersion, d.Method, d.Recipient = "SIP/2.0", method, target
	d.hops, d.id = sip.MaxForwardsHeader(hops), sip.CallIDHeader(callID)
	d.dress(&d.Request, routes, from, to, seq)
	return d
}

// Release takes a draft back that is over: it was sent outside any transaction, or its transaction told its user the end, and nobody holds it or a header of it any
// more. nil is none.
func (l *Layer) Release(d *Draft) {
	if d == nil {
		return
	}
	d.wipe()
	if len(l.requests) < maxDrafts {
		l.requests = append(l.requests, d)
	}
}

// replies are responses that wait, and those that were drawn: one that nobody gives back belongs to its holder alone once maxDrafts others were.
type replies struct{ free, lent []*draftReply }

func (r *replies) draw() *draftReply {
	var d *draftReply
	if n := len(r.free); n > 0 {
		d, r.free[n-1] = r.free[n-1], nil
		r.free = r.free[:n-1]
	} else {
		d = newDraftReply()
	}
	if len(r.lent) == maxDrafts {
		r.lent = slices.Delete(r.lent, 0, 1)
	}
	r.lent = append(r.lent, d)
	return d
}

// back takes back the one that holds a response, if any does.
func (r *replies) back(res *sip.Response) {
	for i := len(r.lent) - 1; i >= 0; i-- {
		d := r.lent[i]
		if &d.Response != res {
			continue
		}
		r.lent = slices.Delete(r.lent, i, i+1)
		d.wipe()
		if len(r.free) < maxDrafts {
			r.free = append(r.free, d)
		}
		return
	}
}

// Release takes a response back that Draft made: nobody holds it any more. Any other stays as it is.
func (s *Server) Release(res *sip.Response) { s.l.replies.back(res) }
