package sip

import (
	"bytes"

	"github.com/cordonsip/cordon/media"
	"github.com/cordonsip/cordon/sip/header"
	"github.com/cordonsip/cordon/sip/transaction"
	msg "github.com/emiago/sipgo/sip"
)

// clash answers a request that came while another exchange is open. RFC 3261 section 14.2, RFC 3311 section 5.2.
func (l *leg) clash(tx *transaction.Server) bool {
	o := l.other()
	switch {
	case l.in != nil: // the peer has an INVITE of its own open
		l.c.sh.answer(tx, 500, msg.NewHeader("Retry-After", itoa(1+int(token(1)[0])%9)))
	case l.out != nil, l.waiting != nil, o != nil && (o.in != nil || o.out != nil || o.waiting != nil):
		l.c.sh.answer(tx, 491)
	default:
		return false
	}
	return true
}

// short says whether the peer asks for a session interval that is too small, and answers it.
func (l *leg) short(tx *transaction.Server, req *msg.Request) bool {
	if n, ok := number(req, "session-expires"); ok && n < minSE {
		l.c.sh.answer(tx, 422, msg.NewHeader("Min-SE", minSEText))
		return true
	}
	return false
}

// reinvited is a re-INVITE of the peer. A mere refresh is answered here; everything else goes to the other side through media, which judges every address.
func (l *leg) reinvited(tx *transaction.Server, req *msg.Request) {
	c := l.c
	sdp, ok := bodySDP(req)
	switch {
	case !c.answered || l.dlg == nil:
		c.sh.answer(tx, 500, msg.NewHeader("Retry-After", "1"))
		return
	case !ok:
		c.sh.answer(tx, 415, msg.NewHeader("Accept", typeSDP))
		return
	case l.short(tx, req), l.clash(tx):
		return
	}
	_ = l.dlg.Refresh(req)
	if sdp != nil && bytes.Equal(sdp, l.taken) && len(l.sent) > 0 {
		l.in = tx
		l.agreeTo(tx, req, l.sent, nil)
		return
	}
	if c.synth != nil {
		c.sh.answer(tx, 488)
		return
	}
	_ = tx.Respond(tx.Response(100, ""))
	l.in = tx
	r := &renegotiation{c: c, from: l, to: l.other(), tx: tx, req: req, sdp: sdp, method: msg.INVITE}
	tx.OnCancel(r.cancelled)
	r.start()
}

// updated is an UPDATE of the peer: without a body it is a refresh. RFC 3311, RFC 4028.
func (l *leg) updated(tx *transaction.Server, req *msg.Request) {
	c := l.c
	sdp, ok := bodySDP(req)
	switch {
	case !ok:
		c.sh.answer(tx, 415, msg.NewHeader("Accept", typeSDP))
		return
	case l.short(tx, req):
		return
	}
	if l.dlg != nil {
		_ = l.dlg.Refresh(req)
	}
	if sdp == nil || (bytes.Equal(sdp, l.taken) && len(l.sent) > 0 && c.answered) {
		l.confirmUpdate(tx, req, sdp != nil)
		return
	}
	if !c.answered || l.dlg == nil {
		c.sh.answer(tx, 500, msg.NewHeader("Retry-After", "1")) // RFC 3311 section 5.2: the first offer has no answer yet
		return
	}
	if l.clash(tx) {
		return
	}
	if c.synth != nil {
		c.sh.answer(tx, 488)
		return
	}
	l.in = tx
	r := &renegotiation{c: c, from: l, to: l.other(), tx: tx, req: req, sdp: sdp, method: msg.UPDATE}
	r.start()
}

func (l *leg) confirmUpdate(tx *transaction.Server, req *msg.Request, withSDP bool) {
	a := &ask{timer: lists(req, "supported", "timer") || lists(req, "require", "timer")}
	a.expires, _ = number(req, "session-expires")
	a.refresh = refresherOf(req)
	hs := []msg.Header{l.contact(), msg.NewHeader("Allow", allowed), msg.NewHeader("Supported", supported), l.c.sessionHeader(l)}
	if a.expires > 0 {
		hs = append(hs, l.timing.agree(l, a)...)
	}
	res := tx.Response(200, "", hs...)
	l.c.sh.brand(res)
	if withSDP {
		setSDP(res, l.sent)
	} else {
		setSDP(res, nil)
	}
	_ = tx.Respond(res)
	if a.expires > 0 && l.c.answered {
		l.timing.start(l)
	}
}

// agreeTo sends the 2xx of a re-INVITE and waits for its ACK.
func (l *leg) agreeTo(tx *transaction.Server, req *msg.Request, sdp []byte, onAck func([]byte)) {
	a := &ask{timer: lists(req, "supported", "timer") || lists(req, "require", "timer")}
	a.expires, _ = number(req, "session-expires")
	a.refresh = refresherOf(req)
	hs := []msg.Header{l.contact(), msg.NewHeader("Allow", allowed), msg.NewHeader("Supported", supported), l.c.sessionHeader(l)}
	if a.expires > 0 {
		hs = append(hs, l.timing.agree(l, a)...)
	}
	res := tx.Response(200, "", hs...)
	l.c.sh.brand(res)
	setSDP(res, sdp)
	l.sent = sdp
	l.accept(tx, res, onAck)
	l.timing.start(l)
}

// renegotiation is one offer on its way from one side of a call to the other.
type renegotiation struct {
	c        *call
	from, to *leg
	tx       *transaction.Server
	req      *msg.Request
	sdp      []byte
	method   msg.RequestMethod
	offered  bool // media holds an offer that must be rolled back on failure
	done     bool
}

// start asks media for the offer toward the other side. Without one (a delayed offer) the other side is asked for its own.
func (r *renegotiation) start() {
	if r.to == nil || r.to.dlg == nil || r.to.ended {
		r.fail(481)
		return
	}
	if r.sdp == nil {
		r.ask(nil)
		return
	}
	s, from, sdp, leg := r.c.media.Load(), r.from.side, r.sdp, r.to.media()
	r.offered = true
	r.c.sh.e.off(func() {
		out, err := s.Offer(from, sdp, leg)
		r.c.sh.loop.Post(func() {
			switch {
			case r.c.ended || r.done:
			case err != nil:
				r.refused(asRefusal(err))
			default:
				r.ask(out)
			}
		})
	})
}

// ask sends the offer on. An UPDATE becomes a re-INVITE where the other side knows no UPDATE.
func (r *renegotiation) ask(sdp []byte) {
	method := r.method
	if method == msg.UPDATE && !r.to.update {
		method = msg.INVITE
	}
	req := r.to.build(method)
	onward(req, r.req)
	said := hear(r.req, r.from.party, r.c.sh.e.profiles.Load())
	said.carry(req, r.from, r.to, r.to.host())
	setSDP(req, sdp)
	r.to.out = r.to.send(req, func(res *msg.Response, err error) { r.answered(method, sdp, res, err) })
}

// answered takes the other side's final response.
func (r *renegotiation) answered(method msg.RequestMethod, sent []byte, res *msg.Response, err error) {
	c := r.c
	seq := uint32(0)
	if err == nil && res.IsSuccess() && method == msg.INVITE {
		seq = res.CSeq().SeqNo
		if r.sdp != nil || c.ended || r.done { // the ACK of a delayed offer waits for its answer
			r.to.settle(seq, nil)
		}
	}
	switch {
	case c.ended:
		return
	case r.done:
		if err == nil && res.IsSuccess() { // it had accepted before the CANCEL came: both ends now mean another session
			c.hangup(byEdge, reason{"SIP", 487, "cancelled too late"})
		}
		return
	case err != nil:
		r.fail(408)
		c.gone(r.to, 408)
		return
	case !res.IsSuccess():
		r.fail(res.StatusCode)
		if res.StatusCode == 481 || res.StatusCode == 408 {
			c.gone(r.to, res.StatusCode)
		}
		return
	}
	_ = r.to.dlg.Refresh(res)
	sdp, _ := bodySDP(res)
	if r.sdp == nil {
		r.delayed(sdp, seq)
		return
	}
	if sent != nil {
		r.to.sent = sent
	}
	out, merr := c.media.Load().Answer(r.to.side, sdp)
	if merr != nil {
		// The other side has taken the offer and moved; what it moved to cannot be honoured, and there is no way back.
		m := asRefusal(merr)
		r.refused(m)
		c.hangup(byEdge, reason{"SIP", m.Status, header.Harmless(m.Text)})
		return
	}
	r.to.taken, r.from.taken = sdp, r.sdp
	r.done = true
	if r.method == msg.UPDATE {
		r.from.sent, r.from.in = out, nil
		r.from.confirmUpdate(r.tx, r.req, true)
		return
	}
	r.from.agreeTo(r.tx, r.req, out, nil)
}

// delayed carries the other side's offer back to who asked for it, and the answer of its ACK on.
func (r *renegotiation) delayed(offer []byte, seq uint32) {
	c := r.c
	s, side, leg := c.media.Load(), r.to.side, r.from.media()
	abort := func(status int) {
		r.to.settle(seq, nil)
		r.fail(status)
		c.hangup(byEdge, reason{"SIP", status, "no usable offer"})
	}
	r.to.owed, r.to.owes = seq, offer
	if offer == nil {
		abort(488)
		return
	}
	r.offered = true
	c.sh.e.off(func() {
		out, err := s.Offer(side, offer, leg)
		c.sh.loop.Post(func() {
			switch {
			case c.ended || r.done:
			case err != nil:
				abort(asRefusal(err).Status)
			default:
				r.done = true
				r.to.taken = offer
				r.from.agreeTo(r.tx, r.req, out, func(answer []byte) { r.acked(answer, seq) })
			}
		})
	})
}

func (r *renegotiation) acked(answer []byte, seq uint32) {
	var out []byte
	var err error
	if answer != nil {
		out, err = r.c.media.Load().Answer(r.from.side, answer)
	}
	r.to.settle(seq, out)
	if answer == nil || err != nil {
		r.c.hangup(byEdge, reason{"SIP", 488, "no usable answer"})
		return
	}
	r.from.taken, r.to.sent = answer, out
}

// refused is media's no: the session stays as it was. RFC 6141.
func (r *renegotiation) refused(m *media.Refusal) {
	status := m.Status
	if status == 403 {
		status = 488 // inside a dialog 403 would end nothing and say too much; the reason tells it
	}
	r.fail(status, reason{"SIP", m.Status, header.Harmless(m.Text)})
}

// fail answers the peer and leaves the session as it was.
func (r *renegotiation) fail(status int, rs ...reason) {
	if r.done {
		return
	}
	r.done = true
	if r.offered {
		r.c.media.Load().Rollback()
	}
	if status == 401 || status == 407 || status < 400 {
		status = 488
	}
	if r.from.in == r.tx {
		r.from.in = nil
	}
	r.c.sh.answer(r.tx, status, reasonHeaders(rs)...)
}

// cancelled is the CANCEL of a re-INVITE: the one on the other side is cancelled too, the session stays as it was.
func (r *renegotiation) cancelled(*msg.Request) {
	if r.done {
		return
	}
	if x := r.to.out; x != nil && x.client != nil {
		x.client.Cancel()
	}
	r.fail(487)
}
