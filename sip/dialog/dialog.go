// Package dialog is the state of one SIP dialog (RFC 3261 section 12): its identifiers, sequence numbers, route set and remote target, and the requests
// that are built from it. It decides no address: where a request goes is the pinned flow of the leg, whatever Contact and Record-Route say.
//
// It has no goroutine, no lock and no timer, and imports of foreign modules only sipgo's messages.
package dialog

import (
	"errors"
	"fmt"
	"strings"

	"github.com/cordonsip/cordon/sip/transaction"
	msg "github.com/emiago/sipgo/sip"
)

// Name is one end of a dialog as From and To show it.
type Name struct {
	Display string
	URI     URI
	Tag     string
}

// Dialog is one dialog, seen from our end. It belongs to one loop.
type Dialog struct {
	CallID    string
	Local     Name
	Remote    Name
	LocalSeq  uint32 // of the last request that we sent
	RemoteSeq uint32 // of the last request that we took; 0 while none came
	Routes    []URI
	Target    URI    // the peer's Contact, verbatim
	Invite    uint32 // CSeq of the INVITE whose 2xx an ACK answers
	calls     bool   // its first INVITE was ours, and so is the Call-ID

	own bool // its memory is its own
}

// Errors of messages from which no dialog can be made.
var (
	ErrNoContact = errors.New("dialog: no usable Contact")
	ErrNoTag     = errors.New("dialog: the peer gave no tag")
)

// UAS makes the dialog of an incoming INVITE; tag is our To-tag. RFC 3261 section 12.1.1.
func UAS(req *msg.Request, tag string) (*Dialog, error) {
	from, to, cseq, id := req.From(), req.To(), req.CSeq(), req.CallID()
	if from == nil || to == nil || cseq == nil || id == nil {
		return nil, fmt.Errorf("dialog: the request lacks a mandatory header: %w", ErrNoTag)
	}
	d := &Dialog{
		CallID:    id.Value(),
		Local:     Name{Display: to.DisplayName, URI: keep(&to.Address), Tag: tag},
		Remote:    Name{Display: from.DisplayName, URI: keep(&from.Address), Tag: from.Params.GetOr("tag", "")},
		RemoteSeq: cseq.SeqNo,
		Invite:    cseq.SeqNo,
		Routes:    recorded(req, false),
	}
	return d, d.Refresh(req)
}

// UAC makes the dialog that res opens for our request req: early for a 1xx with a tag, confirmed for a 2xx. RFC 3261 section 12.1.2.
func UAC(req *msg.Request, res *msg.Response) (*Dialog, error) {
	to := res.To()
	if to == nil || to.Params.GetOr("tag", "") == "" {
		return nil, ErrNoTag
	}
	from, sent, cseq := req.From(), req.To(), req.CSeq()
	d := &Dialog{
		CallID:   req.CallID().Value(),
		Local:    Name{Display: from.DisplayName, URI: keep(&from.Address), Tag: from.Params.GetOr("tag", "")},
		Remote:   Name{Display: sent.DisplayName, URI: keep(&sent.Address), Tag: to.Params.GetOr("tag", "")},
		LocalSeq: cseq.SeqNo,
		Invite:   cseq.SeqNo,
		calls:    true,
		Routes:   recorded(res, true),
	}
	return d, d.Refresh(res)
}

// Fork makes the dialog of another 2xx to the INVITE of this one: another fork answered, too. Its next request follows that INVITE.
func (d *Dialog) Fork(res *msg.Response) (*Dialog, error) {
	to := res.To()
	if to == nil || to.Params.GetOr("tag", "") == "" {
		return nil, ErrNoTag
	}
	n := *d
	n.own = false
	n.Remote.Tag, n.RemoteSeq, n.Routes, n.LocalSeq = to.Params.GetOr("tag", ""), 0, recorded(res, true), res.CSeq().SeqNo
	return &n, n.Refresh(res) // without a Contact the target of its sibling is the best guess
}

// Detach gives the dialog memory of its own, so that it holds no message of the peer's that it was made of. What is ours is in no message.
func (d *Dialog) Detach() {
	if d.own {
		return
	}
	d.own = true
	var room [16]*string
	all := append(room[:0], &d.Local.Display, &d.Remote.Display, &d.Remote.Tag)
	if !d.calls {
		all = append(all, &d.CallID)
	}
	all = d.Target.strings(d.Remote.URI.strings(d.Local.URI.strings(all)))
	for i := range d.Routes {
		all = d.Routes[i].strings(all)
	}
	n := 0
	for _, s := range all {
		n += len(*s)
	}
	var b strings.Builder
	b.Grow(n)
	for _, s := range all {
		b.WriteString(*s)
	}
	text := b.String()
	for _, s := range all {
		*s, text = text[:len(*s)], text[len(*s):]
	}
}

// Refresh takes the remote target of a target refresh (INVITE, UPDATE and their 2xx). A message without Contact leaves it as it was.
func (d *Dialog) Refresh(m msg.Message) error {
	var c *msg.ContactHeader
	switch m := m.(type) {
	case *msg.Request:
		c = m.Contact()
	case *msg.Response:
		c = m.Contact()
	}
	if c == nil || c.Address.Wildcard || (c.Address.Scheme != "sip" && c.Address.Scheme != "sips") || c.Address.Host == "" {
		if d.Target.Host() == "" {
			return ErrNoContact
		}
		return nil
	}
	d.Target, d.own = keep(&c.Address), false
	return nil
}

// Retarget puts another remote target in place.
func (d *Dialog) Retarget(u msg.Uri) { d.Target, d.own = keep(&u), false }

// Confirm takes the 2xx over an early dialog: the route set is computed again, the tags stay. RFC 3261 section 13.2.2.4.
func (d *Dialog) Confirm(res *msg.Response) error {
	d.Routes, d.own = recorded(res, true), false
	return d.Refresh(res)
}

// InOrder says whether a request with this CSeq may be taken, and takes it. RFC 3261 section 12.2.2: a lower number is answered with 500.
func (d *Dialog) InOrder(seq uint32) bool {
	if d.RemoteSeq != 0 && seq <= d.RemoteSeq {
		return false
	}
	d.RemoteSeq = seq
	return true
}

// Request builds the next request of the dialog, without Via, Contact and body. RFC 3261 section 12.2.1.1.
func (d *Dialog) Request(method msg.RequestMethod) *msg.Request {
	d.LocalSeq++
	if method == msg.INVITE {
		d.Invite = d.LocalSeq
	}
	target, set, our, its := d.heads()
	return transaction.NewRequest(method, target, set, our, its, d.CallID, d.LocalSeq, 70)
}

// Bye is Request for the last one of the dialog, as a draft of the layer, which may be nil. RFC 3261 section 15.1.1.
func (d *Dialog) Bye(l *transaction.Layer) *transaction.Draft {
	d.LocalSeq++
	target, set, our, its := d.heads()
	return l.Draft(msg.BYE, target, set, our, its, d.CallID, d.LocalSeq, 70)
}

// Ack builds the ACK for a 2xx to the INVITE with CSeq seq, as a draft of the layer, which may be nil; it takes no new number. RFC 3261 section 13.2.2.4.
func (d *Dialog) Ack(l *transaction.Layer, seq uint32) *transaction.Draft {
	target, set, our, its := d.heads()
	return l.Draft(msg.ACK, target, set, our, its, d.CallID, seq, 70)
}

// heads are the target, the routes and the ends of a request of the dialog.
func (d *Dialog) heads() (to msg.Uri, set []*msg.RouteHeader, our, its transaction.End) {
	target, routes := d.Target, d.Routes
	if len(routes) > 0 && !routes[0].loose() {
		// A strict router: it becomes the Request-URI and the target goes last.
		rest := append([]URI{}, routes[1:]...)
		target, routes = routes[0], append(rest, d.Target)
	}
	for i := range routes {
		u := routes[i].Uri()
		set = append(set, &msg.RouteHeader{Address: *u.Clone()})
	}
	our = transaction.End{Display: d.Local.Display, URI: d.Local.URI.Uri(), Tag: d.Local.Tag}
	its = transaction.End{Display: d.Remote.Display, URI: d.Remote.URI.Uri(), Tag: d.Remote.Tag}
	return target.Uri(), set, our, its
}

// recorded is the route set of a message: in order for a UAS, reversed for a UAC.
func recorded(m msg.Message, reverse bool) []URI {
	var out []URI
	var list []msg.Header
	switch m := m.(type) {
	case *msg.Request:
		list = m.Headers()
	case *msg.Response:
		list = m.Headers()
	}
	for _, h := range list {
		if rr, ok := h.(*msg.RecordRouteHeader); ok {
			out = append(out, keep(&rr.Address))
		}
	}
	if reverse {
		for i, j := 0, len(out)-1; i < j; i, j = i+1, j-1 {
			out[i], out[j] = out[j], out[i]
		}
	}
	return out
}
