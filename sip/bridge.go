package sip

import (
	"time"

	"github.com/cordonsip/cordon/audit"
	"github.com/cordonsip/cordon/media"
	"github.com/cordonsip/cordon/sip/dialog"
	"github.com/cordonsip/cordon/sip/header"
	"github.com/cordonsip/cordon/sip/transaction"
	"github.com/cordonsip/cordon/sip/transport"
	"github.com/cordonsip/cordon/sovereign"
	msg "github.com/emiago/sipgo/sip"
)

// request takes one in-dialog request of the peer of this leg; tag is the peer's.
func (l *leg) request(tx *transaction.Server, req *msg.Request, in transport.Incoming, tag string) {
	seen := l.heard(req)
	if req.Method == msg.ACK {
		l.acked(req)
		return
	}
	if tx == nil {
		return
	}
	if l.ended || l.c.ended || l.zombie() {
		if l.parted && l.last(tx, req) {
			return
		}
		if req.Method == msg.BYE { // both hung up at once: theirs is right, too
			l.c.sh.answer(tx, 200)
			return
		}
		l.c.sh.answer(tx, 481)
		return
	}
	if d := l.dialogOf(tag); d != nil && !d.InOrder(req.CSeq().SeqNo) {
		l.c.sh.answer(tx, 500) // RFC 3261 section 12.2.2
		return
	}
	if !l.adopt(in) {
		l.c.sh.answer(tx, 403, reason{"SIP", 403, "source refused by policy"}.header())
		return
	}
	l.dispatch(tx, req, tag, seen)
}

// zombie says that this leg is of an attempt that was given up, left the call by a transfer, or is not in it yet: nothing that it says concerns the call.
func (l *leg) zombie() bool {
	return l.parted || l != l.c.a && l != l.c.b && (l.c.cur == nil || l != l.c.cur.leg) && (l.c.beside == nil || l != l.c.beside.leg)
}

// adopt follows a peer that came back over another connection of its own, if its new place is permitted too: the leg rests on that ruling from then on, and the
// receipt tells of the move. Datagrams and our own connections stay where they were pinned. False means that the move is refused and nothing changed.
func (l *leg) adopt(in transport.Incoming) bool {
	if !l.moves(in) {
		return true
	}
	c := l.c
	r := c.sh.e.screen.judge(l.party, in.Flow.Remote(), c.plan.Purpose)
	l.moved(in, r)
	if !r.Permitted() {
		c.sh.e.screen.refused(l.party.Name, in.Flow.Remote(), r.Ground, "a call moved to where its party may not call from: "+r.Why)
		return false
	}
	l.ruling = r
	if !c.emergency() {
		l.flow = in.Flow
		c.save()
		return true
	}
	old := l.release
	l.flow, l.release = c.sh.e.excuse(in.Flow, l.party)
	if old != nil {
		old()
	}
	c.save()
	return true
}

// moves says whether a request came over a connection that this leg would follow.
func (l *leg) moves(in transport.Incoming) bool {
	return (l.target == "" || l.accepts) && !l.c.ended && l.flow.Proto().Reliable() && in.Flow.Key() != l.flow.Key() && in.Party == l.party.Name &&
		in.Flow.Proto() == l.flow.Proto()
}

// moved notes a move of signalling for the receipt, whatever was ruled.
func (l *leg) moved(in transport.Incoming, r *sovereign.Ruling) {
	if len(l.c.moves) >= maxMoves {
		return
	}
	l.c.moves = append(l.c.moves, audit.Move{
		T: time.Now(), Plane: "signalling", From: l.flow.Remote().String(), To: in.Flow.Remote().String(), Cause: "rebind", Allowed: r.Permitted(), Ground: string(r.Ground),
	})
}

// maxMoves bounds what a peer that changes its connection all the time can write into a receipt.
const maxMoves = 64

func (l *leg) dispatch(tx *transaction.Server, req *msg.Request, tag string, seen mentions) {
	if seen.any(mentionsRequire) {
		if r := unsupported(req); r != nil {
			l.c.sh.answer(tx, r.status, r.headers...)
			return
		}
	}
	if seen.any(mentionsReplaces) { // RFC 3891 section 3: it stands in an INVITE that begins a dialog, and nowhere else
		l.c.sh.answer(tx, 400)
		return
	}
	if l.meanwhile(tx, req) || l.listens(tx, req, tag) {
		return
	}
	switch req.Method {
	case msg.BYE:
		l.hungUp(tx, req, seen)
	case msg.INVITE:
		l.reinvited(tx, req)
	case msg.UPDATE:
		l.updated(tx, req, tag)
	case msg.PRACK:
		l.pracked(tx, req, tag)
	case msg.INFO:
		l.relay(tx, req)
	case msg.OPTIONS:
		l.c.sh.answer(tx, 200, allows, msg.NewHeader("Accept", typeSDP), supports)
	case msg.REFER:
		l.referred(tx, req)
	case msg.MESSAGE:
		l.paged(tx, req)
	case msg.SUBSCRIBE:
		l.subscribed(tx, req)
	case msg.NOTIFY:
		l.notified(tx, req)
	default:
		l.c.sh.answer(tx, 405, allows)
	}
}

// normally is why a call ends whose peer gives no reason: normal clearing.
var normally = []reason{{header.Q850, 16, ""}}

// hungUp is the peer's BYE: it is answered at once, and the other side hears of it with the same reason.
func (l *leg) hungUp(tx *transaction.Server, req *msg.Request, seen mentions) {
	l.c.sh.answer(tx, 200)
	if seen.any(mentionsCrossing) {
		l.c.parting = values(req, "user-to-user")
	}
	rs := normally
	if seen.any(mentionsReason) {
		if given := l.reasons(req); len(given) > 0 {
			rs = given
		}
	}
	by := byA
	if l.side == media.B {
		by = byB
	}
	l.ended = true // no BYE back to who said it
	if w := l.waiting; w != nil {
		w.over()
	}
	if l.leaves() {
		return // who stays goes on to where it is being transferred
	}
	l.c.hangup(by, rs...)
}

// relay carries an INFO to the other side and its answer back. Both dialogs count upward in the order of arrival, so the order stays.
func (l *leg) relay(tx *transaction.Server, req *msg.Request) {
	if l.c.synth != nil {
		l.c.sh.answer(tx, 200)
		return
	}
	o := l.other()
	d := o.reached()
	switch {
	case d == nil:
		l.c.sh.answer(tx, 481)
		return
	case spent(req):
		l.c.sh.answer(tx, 483)
		return
	case !offered(req, l, o):
		l.c.sh.answer(tx, 469, recvInfo(o.takes)...)
		return
	case o.deaf():
		l.c.sh.answer(tx, 500, later)
		return
	case l.dials(tx, req, o):
		return
	}
	out := d.Request(msg.INFO)
	o.dress(out, msg.INFO, nil)
	onward(out, req)
	if !l.inform(out, req, o) {
		l.c.sh.answer(tx, 415, msg.NewHeader("Accept", "application/dtmf-relay, application/dtmf"))
		return
	}
	said := hear(req, l.party, l.c.sh.e.profiles.Load())
	said.carry(out, l, o, o.host())
	o.sendIn(d, out, func(res *msg.Response, err error) {
		status := 408
		switch {
		case err == nil:
			status = res.StatusCode
		case l.c.ended:
			status = 481
		}
		if status == 401 || status == 407 {
			status = 403
		}
		var more []msg.Header
		if err == nil && status == 469 {
			more = recvInfo(tokens(res, "recv-info"))
		}
		l.c.sh.answer(tx, status, more...)
		if (status == 481 || status == 408) && o.dlg != nil && l.c.confirmed { // one early dialog of several may end without the call
			l.c.gone(o, status)
		}
	})
}

// reached is the dialog that a request of the other side goes on in: the confirmed one, or before the answer the early one whose media is in force, or the only
// one. nil while there is none. RFC 6086 section 4.2.1: INFO may be sent in early dialogs.
func (l *leg) reached() *dialog.Dialog {
	switch {
	case l == nil || l.ended:
		return nil
	case l.current() != nil:
		return l.current()
	case len(l.early) == 1:
		for _, d := range l.early {
			return d
		}
	}
	return nil
}

// gone ends a call whose one side does not know it any more. RFC 5057 section 5.1.
func (c *call) gone(l *leg, status int) {
	by := byA
	if l.side == media.B {
		by = byB
	}
	c.hangup(by, reason{"SIP", status, "dialog lost"})
}

// progress shows the caller a provisional response. There is one To-tag toward it, however the other side forks.
func (c *call) progress(from *msg.Response, sdp []byte, reliable bool) {
	if c.via != nil {
		c.via.progress(from.StatusCode)
		return
	}
	if c.synth != nil || c.a.in == nil || c.answered {
		return
	}
	l := c.a
	// RFC 3262 section 3: reliably when the caller requires it; "pass" keeps what the other side chose, where the caller can take it.
	reliable = c.ask.require || (l.party.Rel100 == "pass" && reliable && c.ask.rel)
	res, parts := c.provisional(from, reliable)
	if sdp != nil && (l.first != nil || l.settled != "") {
		sdp = nil // RFC 6337 section 3.1.1: the answer was given, and no response changes it
	}
	setBodies(res, sdp, parts)
	if sdp != nil {
		l.sent = sdp
	}
	if reliable {
		if sdp != nil {
			l.first = sdp
		}
		l.provide(l.in, assured{res: res, answers: sdp != nil})
		return
	}
	_ = l.in.Respond(res)
}

// provisional builds the response that shows the caller one of B's, with the parts that go beside a description. kept: it is sent again until its PRACK comes.
func (c *call) provisional(from *msg.Response, kept bool) (*msg.Response, []header.Part) {
	l := c.a
	hs := [...]msg.Header{l.contact(), allows, c.sessionHeader(l)}
	var res *msg.Response
	if kept {
		res = l.in.Response(from.StatusCode, "", hs[:]...)
	} else {
		res = l.in.Draft(from.StatusCode, "", hs[:]...)
	}
	c.sh.brand(res)
	t := c.cur
	if t == nil {
		return res, nil
	}
	said := hear(from, t.leg.party, c.sh.e.profiles.Load())
	said.carry(res, t.leg, l, l.host())
	return res, said.beside(t.leg, l.party)
}

// delayed is the answer of B to an INVITE without an offer: B's 200 carries the offer, A's ACK the answer, and B's ACK waits for it. RFC 3261 section 13.2.1.
func (c *call) delayed(res *msg.Response, offer []byte, seq uint32) {
	c.b.taken, c.b.owed, c.b.owes = offer, seq, offer
	if err := c.media.Load().Expect(c.b.media()); err != nil {
		c.noOffer(seq, err)
		return
	}
	c.offerTo(media.B, offer, c.a.media(), func(out []byte, err error) {
		switch {
		case c.ended:
		case err != nil:
			c.noOffer(seq, err)
		default:
			c.connected(res, out, func(answer []byte) { c.delayedAnswer(answer, seq) })
		}
	})
}

// noOffer ends a call whose delayed offer cannot be honoured.
func (c *call) noOffer(seq uint32, err error) {
	c.b.settle(seq, nil)
	r := asRefusal(err)
	c.b.bye([]reason{{"SIP", r.Status, "offer refused"}})
	c.refuseMedia(r)
}

// delayedAnswer is what A's ACK carried.
func (c *call) delayedAnswer(answer []byte, seq uint32) {
	if c.ended {
		return
	}
	var out []byte
	var err error
	if answer != nil {
		out, err = c.media.Load().Answer(media.A, answer)
	}
	c.b.settle(seq, out)
	if answer == nil || err != nil {
		c.hangup(byEdge, reason{"SIP", 488, "no usable answer"})
		return
	}
	c.a.taken, c.b.sent = answer, out
}
