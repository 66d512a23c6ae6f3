package transaction

import "github.com/emiago/sipgo/sip"

// drafts is memory of messages of ours that are soon over, used again by the next ones of the same loop: what is written lies where the one before lay. Whoever draws
// one owns it until it is given back; one that never is belongs to its holder alone once maxDrafts others were drawn.
type drafts[T any] struct{ free, lent []*T }

// maxDrafts bounds what waits, and what is remembered of those that were drawn.
const maxDrafts = 64

// draftRoom is for how many headers a draft has room.
const draftRoom = 24

func (d *drafts[T]) draw(fresh func() *T) *T {
	var m *T
	if n := len(d.free); n > 0 {
		m, d.free[n-1] = d.free[n-1], nil
		d.free = d.free[:n-1]
	} else {
		m = fresh()
	}
	if len(d.lent) == maxDrafts {
		copy(d.lent, d.lent[1:])
		d.lent = d.lent[:maxDrafts-1]
	}
	d.lent = append(d.lent, m)
	return m
}

// back gives the lent one that is meant, which nobody has any more; nil when none is.
func (d *drafts[T]) back(meant func(*T) bool) *T {
	for i := len(d.lent) - 1; i >= 0; i-- {
		m := d.lent[i]
		if !meant(m) {
			continue
		}
		last := len(d.lent) - 1
		copy(d.lent[i:], d.lent[i+1:])
		d.lent[last] = nil
		d.lent = d.lent[:last]
		return m
	}
	return nil
}

// put takes one back that is blank.
func (d *drafts[T]) put(m *T) {
	if len(d.free) < maxDrafts {
		d.free = append(d.free, m)
	}
}

// headed is a message that takes headers.
type headed interface {
	AppendHeader(sip.Header)
	RemoveHeader(string) bool
}

// roomy gives m room for headers: sipgo lets nobody set it.
func roomy(m headed) {
	var length sip.ContentLengthHeader
	for range draftRoom {
		m.AppendHeader(&length)
	}
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

// draftRequest is a request of ours that is used again.
type draftRequest struct {
	sip.Request
	fields
	blank sip.Request
}

func newDraftRequest() *draftRequest {
	d := &draftRequest{}
	roomy(&d.blank)
	d.wipe()
	return d
}

func (d *draftRequest) wipe() {
	emptied(d.blank.Headers())
	d.Request, d.fields = d.blank, fields{}
}

// Release takes a request back that Draft made, and whose transaction told its user the end: nobody holds it or a header of it any more. Any other stays as it is.
func (l *Layer) Release(req *sip.Request) {
	if d := l.requests.back(func(d *draftRequest) bool { return &d.Request == req }); d != nil {
		d.wipe()
		l.requests.put(d)
	}
}

// Release takes a response back that Draft made: nobody holds it any more. Any other stays as it is.
func (s *Server) Release(res *sip.Response) { s.l.release(res) }

func (l *Layer) release(res *sip.Response) {
	if d := l.replies.back(func(d *draftReply) bool { return &d.Response == res }); d != nil {
		d.wipe()
		l.replies.put(d)
	}
}
