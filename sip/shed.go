package sip

import (
	"bytes"
	"strings"

	"github.com/cordonsip/cordon/sip/header"
	"github.com/cordonsip/cordon/sip/transaction"
	msg "github.com/emiago/sipgo/sip"
)

// A call that is up lasts for minutes and is one of thousands. What its set-up needed goes once both ends have said that it is up: the messages, the hops that were
// not asked, the attempt. What stays has memory of its own, so that it holds no message that it was read from.

// shed lets go what only the set-up of the call needs. The ACK of the caller calls it, each one of it; the first counts.
func (c *call) shed() {
	t := c.cur
	if t == nil || !t.done || c.a == nil || c.b != t.leg || c.ended || !c.confirmed || c.via != nil {
		return
	}
	c.cur, c.beside, c.inForce, c.plan.Hops, c.bestWhy, c.early = nil, nil, nil, nil, nil, nil
	c.ask.shed()
	c.a.shed()
	c.b.shed()
	t.client.Tell((*echo)(c.b))
}

// shed keeps what a transfer says of the caller.
func (a *ask) shed() {
	if a.sdp != nil {
		a.sdp = []byte{} // there was one
	}
	a.said = a.said.lasting()
}

// nothing is what most callers say of themselves beside their address, trusted the same from inside the trust domain. Nobody changes them.
var (
	nothing carried
	trusted = carried{trusted: true}
)

// lasting is the part that is said again when the call is transferred, in memory of its own.
func (h *carried) lasting() *carried {
	if len(h.ids) == 0 && len(h.fields) == 0 && len(h.data) == 0 && h.early == "" && h.privacy == (header.Privacy{}) {
		return &nothing
	}
	n := &carried{trusted: h.trusted, privacy: h.privacy, early: strings.Clone(h.early)}
	for _, id := range h.ids {
		n.ids = append(n.ids, header.Identity{Display: strings.Clone(id.Display), User: strings.Clone(id.User), Tel: id.Tel})
	}
	for _, f := range h.fields {
		n.fields = append(n.fields, header.Field{Name: strings.Clone(f.Name), Value: strings.Clone(f.Value)})
	}
	n.data = cloned(h.data)
	return n
}

// cloned is a list of strings in memory of their own: one piece for all.
func cloned(list []string) []string {
	if len(list) == 0 {
		return nil
	}
	out, text := make([]string, len(list)), strings.Join(list, "")
	for i, s := range list {
		out[i], text = text[:len(s)], text[len(s):]
	}
	return out
}

// shed lets the messages of the set-up go.
func (l *leg) shed() {
	if l.invite != nil {
		var room [8]string
		l.ways, l.bare = strings.Join(waysOf(room[:0], l.invite), " "), l.target != "" && len(l.invite.Body()) == 0
		if l.dlg != nil { // its transaction has the 2xx and holds it no longer
			l.c.sh.tx.Release(l.draft)
		}
		l.draft, l.invite = nil, nil
	}
	l.racks, l.takes, l.taken = nil, cloned(l.takes), places(l.taken)
	if l.rel.idle() {
		l.rel = nil
	}
	if l.settled != "" {
		l.settled = strings.Clone(l.settled)
	}
}

// waysOf lists the host and the branch of each Via of a request behind out.
func waysOf(out []string, req *msg.Request) []string {
	for _, h := range req.Headers() {
		if via, ok := h.(*msg.ViaHeader); ok {
			out = append(out, via.Host, via.Params.GetOr("branch", ""))
		}
	}
	return out
}

// branch is that of the INVITE that was ours; "" of another leg's.
func (l *leg) branch() string {
	if l.target == "" {
		return ""
	}
	return l.ways[strings.LastIndexByte(l.ways, ' ')+1:]
}

// places leaves of a session description where its owner is: media has read the rest, and this must not show on the other side.
func places(sdp []byte) []byte {
	var room [128]byte
	out := room[:0]
	for line := range bytes.Lines(sdp) {
		a, ok := placeOf(line)
		if !ok {
			continue
		}
		n := len(out)
		if out = append(append(append(out, "c= IP"...), a...), '\n'); bytes.Contains(out[:n], out[n:]) {
			out = out[:n]
		}
	}
	return bytes.Clone(out)
}

// placeOf is the kind of address and the address in a line of a session description: "4 192.0.2.1".
func placeOf(line []byte) (a []byte, ok bool) {
	_, a, ok = bytes.Cut(line, []byte(" IP"))
	return bytes.TrimSpace(a), ok && len(a) > 2 && (line[0] == 'o' || line[0] == 'c')
}

// echo hears what still comes to the INVITE of a leg whose call is up: its 2xx again, or that of another fork.
type echo leg

// Response implements transaction.ClientUser.
func (e *echo) Response(_ *transaction.Client, res *msg.Response) {
	l := (*leg)(e)
	l.heard(res)
	if res.IsSuccess() {
		l.again(res)
	}
}

// Failed implements transaction.ClientUser. The INVITE was answered.
func (*echo) Failed(*transaction.Client, error) {}
