package sip

import (
	"slices"
	"strings"

	"github.com/cordonsip/cordon/media"
	"github.com/cordonsip/cordon/sip/dialog"
	"github.com/cordonsip/cordon/sip/header"
	"github.com/cordonsip/cordon/sip/transaction"
	msg "github.com/emiago/sipgo/sip"
)

// What happens between the first provisional response and the answer: forks, descriptions in reliable responses and their PRACK, UPDATE. Each side's first
// offer and answer are complete on their own (leg.settled); only then may an offer of ours go to it. RFC 3262 section 5, RFC 3311 section 5.1.

// saying is the last description of one fork.
type saying struct {
	tag  string
	sdp  []byte
	sure bool // said reliably, and acknowledged: nothing that it says later in a response counts
}

// saidBy is what the fork with that tag said last; nil without anything.
func (l *leg) saidBy(tag string) (sdp []byte, sure bool) {
	for _, s := range l.said {
		if s.tag == tag {
			return s.sdp, s.sure
		}
	}
	return nil, false
}

// assure says that the first offer and answer with a fork are complete by its reliable response and our PRACK.
func (l *leg) assure(tag string) {
	for i := range l.said {
		if l.said[i].tag == tag {
			l.said[i].sure = true
		}
	}
	if l.fork != nil && l.fork.Remote.Tag == tag {
		l.settled = tag
	}
}

// gated says whether the description of a provisional response is kept from the caller until the answer: its party's early media is blocked, or it did not say that
// it is authorised. RFC 5009 section 8: sendrecv and sendonly let it through, the last of several values counts.
func (t *attempt) gated(res *msg.Response) bool {
	switch t.leg.party.Early {
	case earlyBlock:
		return true
	case earlyAuthorised:
		for _, v := range slices.Backward(tokens(res, "p-early-media")) {
			switch strings.ToLower(v) {
			case "sendrecv", "sendonly":
				return false
			case "recvonly", "inactive":
				return true
			}
		}
		return true
	}
	return false
}

// note keeps the last description of a fork.
func (l *leg) note(tag string, sdp []byte) {
	_, sure := l.saidBy(tag)
	l.said = append(slices.DeleteFunc(l.said, func(s saying) bool { return s.tag == tag }), saying{tag, sdp, sure})
	if l.settled = ""; sure {
		l.settled = tag
	}
}

// hear takes a description of one fork as the answer that is in force now: the last one wins, and media follows it. A caller whose answer stands already is
// offered what it takes away.
func (t *attempt) hear(d *dialog.Dialog, sdp []byte) ([]byte, error) {
	c, l := t.c, t.leg
	t.sit()
	out, err := c.accept(sdp)
	if err != nil {
		return nil, err
	}
	c.spoken = true
	l.taken = sdp
	if l.dlg == nil && d != nil { // a response without Contact or tag makes no dialog
		l.fork = d
		l.note(d.Remote.Tag, sdp)
	}
	if a := c.a; a != nil && (a.first != nil || a.settled != "") && c.media.Load().Stale() {
		c.restate = out
		c.restated()
	}
	return out, nil
}

// terminated is 199: one fork has ended, the call goes on with the others. The caller has one dialog whatever forks, so it hears nothing. RFC 6228 section 4.
func (t *attempt) terminated(res *msg.Response) {
	l := t.leg
	d, tag := (*dialog.Dialog)(nil), ""
	if to := res.To(); to != nil {
		tag = to.Params.GetOr("tag", "")
		d = l.early.of(tag)
	}
	if d == nil {
		return
	}
	l.early = slices.DeleteFunc(l.early, func(e *dialog.Dialog) bool { return e == d })
	l.said = slices.DeleteFunc(l.said, func(s saying) bool { return s.tag == tag })
	if l.fork != d {
		return
	}
	l.fork, l.settled = nil, ""
	for _, s := range slices.Backward(l.said) { // who spoke before it is heard again
		if e := l.early.of(s.tag); e != nil && t.c.ask.sdp != nil {
			if out, err := t.hear(e, s.sdp); err == nil {
				t.c.early = out
				return
			}
		}
	}
}

// offers carries the offer that B made in a reliable provisional response to the caller in one of ours; the answer comes in its PRACK and goes on in ours.
func (t *attempt) offers(d *dialog.Dialog, res *msg.Response, offer []byte) {
	c := t.c
	if t.asking {
		return
	}
	t.asking = true
	refused := func(err error) {
		c.refusal = asRefusal(err)
		c.held = c.held || c.refusal.Status == 403
		t.give("media_"+itoa(c.refusal.Status), reason{"SIP", 488, "offer refused"})
	}
	if err := c.media.Load().Expect(t.leg.media()); err != nil {
		refused(err)
		return
	}
	c.offerTo(media.B, offer, c.a.media(), func(out []byte, err error) {
		switch {
		case t.dead || t.done || c.ended || c.a.in == nil:
		case err != nil:
			refused(err)
		default:
			c.spoken = true
			t.leg.fork, t.leg.taken = d, offer
			t.leg.note(d.Remote.Tag, offer)
			c.offered(res, out, func(answer []byte) int { return t.decided(d, res, answer) })
		}
	})
}

// offered sends the caller an offer in a reliable provisional response.
func (c *call) offered(from *msg.Response, sdp []byte, then func([]byte) int) {
	l := c.a
	c.setState("ringing")
	res, parts := c.provisional(from, true)
	setBodies(res, sdp, parts)
	l.sent = sdp
	l.provide(l.in, assured{res: res, decide: then})
}

// decided is the caller's answer to B's early offer. From here on it is what further hops are offered. The status is that of the caller's PRACK.
func (t *attempt) decided(d *dialog.Dialog, res *msg.Response, answer []byte) int {
	c := t.c
	out, err := []byte(nil), error(nil)
	if answer != nil {
		out, err = c.media.Load().Answer(media.A, answer)
	}
	if answer == nil || err != nil {
		c.sh.loop.Post(func() { c.hangup(byEdge, reason{"SIP", 488, "no usable answer"}) })
		return 488
	}
	c.ask.sdp, c.a.taken = answer, answer
	if !t.dead && !t.done {
		t.leg.sent = out
		t.prack(d, res, out, true)
	}
	return 200
}

// offer is an offer of the peer that came before the call was answered, in an UPDATE or a PRACK. What needs nothing of the other side is answered here; the
// rest goes into the other side's early dialog, if that takes it. RFC 3311 section 5.2.
func (l *leg) offer(tx *transaction.Server, req *msg.Request, sdp []byte, tag string) {
	c, o := l.c, l.other()
	switch {
	case c.media.Load() == nil || l.settled != tag || l.side == media.B && (l.fork == nil || l.fork.Remote.Tag != tag):
		l.premature(tx, req)
	case l.turn != nil:
		l.later(tx)
	case l.out != nil, o != nil && (o.turn != nil || o.out != nil):
		c.sh.answer(tx, 491)
	default:
		l.weigh(tx, req, sdp, o)
	}
}

// premature answers an offer that may not be made yet: 500 while an offer of the peer has no answer, 491 while one of ours has none. RFC 3311 section 5.2.
func (l *leg) premature(tx *transaction.Server, req *msg.Request) {
	switch {
	case req.Method == msg.PRACK:
		l.c.sh.answer(tx, 488)
	case l.c.bare == (l.side == media.B):
		l.later(tx)
	default:
		l.c.sh.answer(tx, 491)
	}
}

// later asks for patience. RFC 3261 section 14.2, RFC 3311 section 5.2: Retry-After between 0 and 10 seconds.
func (l *leg) later(tx *transaction.Server) {
	l.c.sh.answer(tx, 500, msg.NewHeader("Retry-After", itoa(int(token(1)[0])%11)))
}

// weigh relays an early offer or answers it here.
func (l *leg) weigh(tx *transaction.Server, req *msg.Request, sdp []byte, o *leg) {
	s := l.c.media.Load()
	change := s.Compare(l.side, sdp)
	if change > media.Direction && o.takesOffers() {
		l.turn = tx
		r := &renegotiation{c: l.c, from: l, to: o, tx: tx, req: req, sdp: sdp, method: req.Method, early: true}
		l.c.turn = r
		r.start()
		return
	}
	if change == media.Formats && req.Method != msg.PRACK { // a PRACK can hardly wait: it gets what is in use, if that is offered
		l.later(tx)
		return
	}
	answer, err := s.Reoffer(l.side, sdp)
	if err != nil {
		m := asRefusal(err)
		l.c.sh.answer(tx, 488, reason{"SIP", m.Status, header.Harmless(m.Text)}.header())
		return
	}
	l.concluded(tx, req, sdp, answer)
}

// takesOffers says whether an UPDATE with an offer may go to the peer before the call is answered. RFC 3311 section 5.1.
func (l *leg) takesOffers() bool {
	return l != nil && l.update && l.settled != "" && (l.side == media.A || l.fork != nil && l.fork.Remote.Tag == l.settled)
}

// concluded answers an early offer with 2xx. What a caller says in it is what further hops are offered.
func (l *leg) concluded(tx *transaction.Server, req *msg.Request, sdp, answer []byte) {
	l.taken, l.sent, l.first = sdp, answer, nil
	if l.side == media.A {
		l.c.ask.sdp = sdp
	}
	if req.Method == msg.UPDATE {
		l.confirmUpdate(tx, req, true)
		return
	}
	res := tx.Response(200, "", l.contact(), l.c.sessionHeader(l))
	l.c.sh.brand(res)
	setSDP(res, answer)
	_ = tx.Respond(res)
}

// restated offers the caller what a later answer made of the session, as soon as it may be told: in its early dialog by UPDATE, or behind the ACK of its 200. RFC
// 3311 section 5.1, RFC 3264 section 8. The provisional responses and the 200 keep saying what the first answer said.
func (c *call) restated() {
	l := c.a
	out := c.restate
	if out == nil || c.ended || l.out != nil || l.turn != nil || l.waiting != nil || c.confirmed && l.in != nil {
		return
	}
	method := msg.UPDATE
	switch {
	case !c.confirmed && (l.settled == "" || !l.update):
		return
	case !l.update:
		method = msg.INVITE
	}
	c.restate = nil
	req := l.build(method)
	setSDP(req, out)
	l.out = l.send(req, func(res *msg.Response, err error) { c.heard(method, out, res, err) })
}

// heard takes the caller's word on that offer. A refusal leaves the session as it was.
func (c *call) heard(method msg.RequestMethod, out []byte, res *msg.Response, err error) {
	l := c.a
	success := err == nil && res.IsSuccess()
	if success && method == msg.INVITE {
		l.settle(res.CSeq().SeqNo, nil)
	}
	switch {
	case c.ended:
	case success:
		_ = l.dlg.Refresh(res)
		l.sent, l.first = out, nil
		if sdp, _ := bodySDP(res); sdp != nil {
			if _, err := c.media.Load().Reoffer(media.A, sdp); err == nil {
				l.taken, c.ask.sdp = sdp, sdp
			}
		}
		c.restated()
	case err == nil && res.StatusCode == 491:
		if c.restate == nil {
			c.restate = out
		}
		c.sh.loop.After(l.glare(), c.restated)
	}
}
