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
		l.later(tx)
	case l.out != nil, l.waiting != nil, l.owed != 0, o != nil && (o.in != nil || o.out != nil || o.waiting != nil || o.owed != 0):
		l.c.sh.answer(tx, 491)
	default:
		return false
	}
	return true
}

// patient keeps a re-INVITE waiting that came while nothing but the other side's ACK is missing: our own ACK is fast, and a phone may speak again at once. The same
// goes for our ACK to a far end that comes out of another call: no INVITE may leave before it (RFC 3261 section 14.1), and its media is not in force yet.
func (l *leg) patient(tx *transaction.Server, req *msg.Request) bool {
	o := l.other()
	if o == nil || o.waiting == nil && o.owed == 0 || l.in != nil || l.out != nil || l.waiting != nil || o.in != nil || o.out != nil {
		return false
	}
	_ = tx.Respond(tx.Draft(100, ""))
	l.in = tx
	tx.OnCancel(func(*msg.Request) {
		if l.in == tx {
			l.in = nil
			l.c.sh.answer(tx, 487)
		}
	})
	again := func() {
		if l.in == tx && !l.c.ended {
			l.in = nil
			l.reinvited(tx, req)
		}
	}
	if o.waiting != nil {
		o.waiting.next = again
	} else {
		o.idle = append(o.idle, again)
	}
	return true
}

// hasty says that a request asks for a session interval that is too small. RFC 4028 section 9: only who knows the word is told.
func hasty(req *msg.Request) bool {
	n, ok := number(req, "session-expires")
	return ok && n < minSE && lists(req, "supported", "timer")
}

// short says whether the peer asks for a session interval that is too small, and answers it.
func (l *leg) short(tx *transaction.Server, req *msg.Request) bool {
	if hasty(req) {
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
	case l.wasTorn():
		c.sh.answer(tx, 491)
		return
	case l.short(tx, req), l.patient(tx, req), l.clash(tx):
		return
	}
	_ = l.dlg.Refresh(req)
	if answer, ok := l.alone(sdp); ok {
		l.in = tx
		l.agreeTo(tx, req, answer, nil)
		return
	}
	if c.synth != nil {
		c.sh.answer(tx, 488)
		return
	}
	_ = tx.Respond(tx.Draft(100, ""))
	l.in = tx
	r := &renegotiation{c: c, from: l, to: l.other(), tx: tx, req: req, sdp: sdp, method: msg.INVITE}
	tx.OnCancel(r.cancelled)
	r.start()
}

// updated is an UPDATE of the peer: without a body it is a refresh. RFC 3311, RFC 4028.
func (l *leg) updated(tx *transaction.Server, req *msg.Request, tag string) {
	c := l.c
	sdp, ok := bodySDP(req)
	switch {
	case !ok:
		c.sh.answer(tx, 415, msg.NewHeader("Accept", typeSDP))
		return
	case l.short(tx, req):
		return
	}
	if d := l.dialogOf(tag); d != nil {
		_ = d.Refresh(req)
	}
	if sdp == nil {
		l.confirmUpdate(tx, req, false)
		return
	}
	if !c.answered || l.dlg == nil {
		l.offer(tx, req, sdp, tag)
		return
	}
	if l.clash(tx) {
		return
	}
	if answer, ok := l.alone(sdp); ok {
		l.sent = answer
		l.confirmUpdate(tx, req, true)
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

// alone answers what needs nothing of the other side: a refresh, and where its party is not told of holds a change of direction. RFC 3264 section 8.
func (l *leg) alone(sdp []byte) (answer []byte, ok bool) {
	s := l.c.media.Load()
	switch {
	case sdp == nil:
		return nil, false
	case s == nil: // a synthetic call
		return l.sent, len(l.sent) > 0 && bytes.Equal(sdp, l.taken)
	}
	change, o := s.Compare(l.side, sdp), l.other()
	if change > media.Direction || change == media.Direction && (o == nil || o.party.Hold != holdLocal) {
		return nil, false
	}
	answer, err := s.Reoffer(l.side, sdp)
	if err != nil {
		return nil, false
	}
	l.taken = sdp
	return answer, true
}

// agreement begins the 2xx to a request that changes or refreshes the session. timed says that it agrees on a session interval.
func (l *leg) agreement(tx *transaction.Server, req *msg.Request) (res *msg.Response, timed bool) {
	a := &ask{timer: lists(req, "supported", "timer") || lists(req, "require", "timer")}
	a.expires, _ = number(req, "session-expires")
	a.refresh = refresherOf(req)
	a.least, _ = number(req, "min-se")
	hs := []msg.Header{l.contact(), allows, supports, l.c.sessionHeader(l)}
	if a.expires > 0 {
		hs = append(hs, l.timing.agree(l, a)...)
	}
	res = tx.Response(200, "", hs...)
	l.c.sh.brand(res)
	return res, a.expires > 0
}

func (l *leg) confirmUpdate(tx *transaction.Server, req *msg.Request, withSDP bool) {
	res, timed := l.agreement(tx, req)
	if withSDP {
		setSDP(res, l.sent)
	} else {
		setSDP(res, nil)
	}
	_ = tx.Respond(res)
	if timed && l.c.answered {
		l.timing.start(l)
	}
	l.c.save()
}

// agreeTo sends the 2xx of a re-INVITE and waits for its ACK.
func (l *leg) agreeTo(tx *transaction.Server, req *msg.Request, sdp []byte, onAck func([]byte)) {
	res, _ := l.agreement(tx, req)
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
	early    bool // before the call was answered: it goes on by UPDATE, and a failure ends nothing
	offered  bool // media holds an offer that must be rolled back on failure
	done     bool
	tries    int // how often the other side said 491
	wait     transaction.Timer
}

// start asks media for the offer toward the other side. Without one (a delayed offer) the other side is asked for its own.
func (r *renegotiation) start() {
	if r.to == nil || r.to.current() == nil || r.to.ended {
		r.fail(481)
		return
	}
	if r.to.deaf() {
		r.failWith(500, []msg.Header{later})
		return
	}
	if r.sdp == nil {
		r.ask(nil)
		return
	}
	r.offered = true
	r.c.offerTo(r.from.side, r.sdp, r.to.media(), func(out []byte, err error) {
		switch {
		case r.c.ended || r.done:
		case err != nil:
			r.refused(asRefusal(err))
		default:
			r.ask(out)
		}
	})
}

// ask sends the offer on. An UPDATE becomes a re-INVITE where the other side knows no UPDATE.
func (r *renegotiation) ask(sdp []byte) {
	method := r.method
	switch {
	case r.early:
		method = msg.UPDATE
	case method == msg.UPDATE && !r.to.update:
		method = msg.INVITE
	}
	req := r.to.build(method)
	onward(req, r.req)
	said := hear(r.req, r.from.party, r.c.sh.e.profiles.Load())
	said.carry(req, r.from, r.to, r.to.host())
	setSDP(req, sdp)
	r.to.out = r.to.send(req, func(res *msg.Response, err error) { r.answered(method, sdp, res, err) })
	r.c.save() // whoever comes after us must know what is under way
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
		if err == nil && res.IsSuccess() && !r.early { // it had accepted before the CANCEL came: both ends now mean another session
			c.hangup(byEdge, reason{"SIP", 487, "cancelled too late"})
		}
		return
	case err != nil:
		r.fail(408)
		r.gone(408)
		return
	case res.StatusCode == 491 && r.again(sent):
		return
	case !res.IsSuccess():
		r.passOn(res)
		return
	}
	if d := r.to.current(); d != nil {
		_ = d.Refresh(res)
	}
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
	r.conclude(sdp, out)
}

// conclude gives the peer the answer of the other side.
func (r *renegotiation) conclude(theirs, out []byte) {
	from := r.from
	switch {
	case r.early:
		if r.to.side == media.A {
			r.to.first, r.c.ask.sdp = nil, theirs
		}
		from.concluded(r.tx, r.req, r.sdp, out)
		r.turned()
	case r.method == msg.UPDATE:
		from.sent, from.in = out, nil
		from.confirmUpdate(r.tx, r.req, true)
	default:
		from.agreeTo(r.tx, r.req, out, nil)
		r.c.save()
	}
}

// turned ends an early offer of the peer: what waited behind its PRACK goes on.
func (r *renegotiation) turned() {
	from := r.from
	if from.turn == r.tx {
		from.turn, r.c.turn = nil, nil
	}
	if r.method == msg.PRACK {
		from.rel.advance(from)
	}
	r.c.restated()
}

// Glare is solved by whoever waits longer; a peer that never stops saying 491 is not asked for ever. An UPDATE must be answered sooner than an INVITE, which
// the peer was told to wait for.
const (
	maxGlare      = 5
	maxGlareEarly = 2
)

// again repeats the offer after a 491, while the peer's own request waits. RFC 3261 section 14.1, RFC 3311 section 5.2.
func (r *renegotiation) again(sdp []byte) bool {
	limit := maxGlare
	if r.method != msg.INVITE {
		limit = maxGlareEarly
	}
	if r.tries++; r.tries > limit {
		return false
	}
	var ask func()
	ask = func() {
		switch {
		case r.c.ended || r.done:
		case r.to.ended || r.to.current() == nil:
			r.fail(480)
		case r.to.out != nil || r.to.waiting != nil:
			r.wait = r.c.sh.loop.After(r.to.glare(), ask)
		default:
			r.ask(sdp)
		}
	}
	r.wait = r.c.sh.loop.After(r.to.glare(), ask)
	return true
}

// passOn gives the peer the other side's refusal; the session stays as it was.
func (r *renegotiation) passOn(res *msg.Response) {
	var more []msg.Header
	if after := value(res, "retry-after"); after != "" && (res.StatusCode == 500 || res.StatusCode == 503) {
		more = append(more, msg.NewHeader("Retry-After", itoa(int(retryAfter(res).Seconds()))))
	}
	r.failWith(res.StatusCode, more)
	if res.StatusCode == 481 || res.StatusCode == 408 {
		r.gone(res.StatusCode)
	}
}

// gone ends the call whose other side does not know it any more. An early dialog may be gone and the call be on its way to another hop.
func (r *renegotiation) gone(status int) {
	if !r.early {
		r.c.gone(r.to, status)
	}
}

// delayed carries the other side's offer back to who asked for it, and the answer of its ACK on.
func (r *renegotiation) delayed(offer []byte, seq uint32) {
	c := r.c
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
	c.offerTo(r.to.side, offer, r.from.media(), func(out []byte, err error) {
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
func (r *renegotiation) fail(status int, rs ...reason) { r.failWith(status, reasonHeaders(rs)) }

func (r *renegotiation) failWith(status int, more []msg.Header) {
	if r.done {
		return
	}
	r.done = true
	stopTimer(&r.wait)
	if r.offered {
		r.c.media.Load().Rollback()
	}
	switch {
	case r.early && (status == 481 || status == 408 || status == 480):
		status, more = 500, []msg.Header{msg.NewHeader("Retry-After", "2")} // a hop was lost, not the caller's dialog
	case status == 401, status == 407, status < 400:
		status = 488
	}
	if r.from.in == r.tx {
		r.from.in = nil
	}
	r.c.sh.answer(r.tx, status, more...)
	if r.early {
		r.turned()
	}
	r.c.save()
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
