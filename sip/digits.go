package sip

import (
	"github.com/cordonsip/cordon/media"
	"github.com/cordonsip/cordon/sip/header"
	"github.com/cordonsip/cordon/sip/transaction"
	msg "github.com/emiago/sipgo/sip"
)

// Digits are what people type who are asked for a PIN: no log line, trace, metric or record has one.

// maxDigits bounds the digits that wait for the far end of one leg to answer the INFO before.
const maxDigits = 32

// informing is the digits that go to the far end of a leg by INFO: one at a time, so that they come in order.
type informing struct {
	queue   []header.Digit
	busy    bool
	alone   bool // it takes the digit alone, application/dtmf, and not the usual body
	refused bool // it takes none
}

// knows notes whether the far end of a leg takes INFO, as a message says that has an Allow.
func (l *leg) knows(m msg.Message) {
	l.informs = lists(m, "allow", "INFO")
	if s := l.c.media.Load(); s != nil {
		s.Informs(l.side, l.informs)
	}
}

// dials has the far end of o hear a digit that came by INFO as a telephone event, where that is how it has them. False: the INFO goes on as it is.
func (l *leg) dials(tx *transaction.Server, req *msg.Request, o *leg) bool {
	kind := value(req, "content-type")
	s := l.c.media.Load()
	if s == nil || !header.IsDigits(kind) || value(req, "info-package") != "" {
		return false
	}
	if !s.Dials(o.side) {
		if o.party.Leg.Digits != media.DigitsEvents {
			return false
		}
		l.c.sh.answer(tx, 415) // it gets no digit by INFO, and has no telephone events
		return true
	}
	status := 400
	if d, ok := header.ReadDigit(kind, req.Body()); ok {
		if status = 480; s.Press(o.side, d.Event, d.Duration) {
			status = 200
		}
	}
	l.c.sh.answer(tx, status)
	return true
}

// MediaPressed sends a digit on by INFO that came as telephone events. It is media.Config.Pressed; it does not block.
func (e *Edge) MediaPressed(session string, d media.Digit) {
	if c := e.live.of(session); c != nil {
		c.sh.loop.Post(func() { c.pressed(d) })
	}
}

// pressed runs on the loop.
func (c *call) pressed(d media.Digit) {
	from := c.a
	if d.Side == media.B {
		if from = c.b; from == nil && c.cur != nil {
			from = c.cur.leg
		}
	}
	if c.ended || c.synth != nil || from == nil {
		return
	}
	o := from.other()
	if o == nil {
		return
	}
	if n := o.informing(); !n.refused && len(n.queue) < maxDigits {
		n.queue = append(n.queue, header.Digit{Event: d.Event, Duration: d.Duration})
		o.tells()
	}
}

// informing gives those of a leg. Few legs have any, so they lie beside.
func (l *leg) informing() *informing {
	sh := l.c.sh
	n := sh.digits[l]
	if n == nil {
		if sh.digits == nil {
			sh.digits = map[*leg]*informing{}
		}
		n = &informing{}
		sh.digits[l] = n
	}
	return n
}

// tells sends the first of the digits that wait, if no other one is under way. One that finds no dialog is lost, as it would be on a line that is not up.
func (l *leg) tells() {
	n := l.informing()
	if n.busy || len(n.queue) == 0 {
		return
	}
	d := l.reached()
	if l.c.ended || d == nil || l.deaf() {
		n.queue = nil
		return
	}
	kind := header.TypeDTMFRelay
	if n.alone {
		kind = header.TypeDTMF
	}
	n.busy = true
	req := d.Request(msg.INFO)
	l.dress(req, msg.INFO, nil)
	req.AppendHeader(msg.NewHeader("Content-Type", kind))
	req.SetBody([]byte(n.queue[0].Body(kind)))
	l.sendIn(d, req, l.told)
}

// told is what the far end says to a digit.
func (l *leg) told(res *msg.Response, err error) {
	if l.zombie() || l.c.ended { // another far end has its place, or nobody
		delete(l.c.sh.digits, l)
		return
	}
	n := l.informing()
	n.busy = false
	status := 408
	if err == nil {
		status = res.StatusCode
	}
	switch {
	case status == 415 && !n.alone && lists(res, "accept", header.TypeDTMF):
		n.alone = true // and the same digit again
	case status == 405, status == 415, status == 501:
		n.queue, n.refused = nil, true
		l.informs = false
		if s := l.c.media.Load(); s != nil {
			s.Informs(l.side, false)
		}
		l.c.sh.e.log.Warn("the far end takes no digits by INFO: none is sent any more", "call", l.c.reference(), "session", l.c.session(), "party", l.party.Name, "status", status)
	case status == 481, status == 408:
		n.queue = nil
		if l.dlg != nil && l.c.confirmed { // one early dialog of several may end without the call
			l.c.gone(l, status)
		}
		return
	default: // heard, or not: the next one
		if len(n.queue) > 0 {
			n.queue = append(n.queue[:0], n.queue[1:]...)
		}
	}
	l.tells()
}
