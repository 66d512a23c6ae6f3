package sip

import (
	"time"

	"github.com/cordonsip/cordon/media"
	"github.com/cordonsip/cordon/sip/transaction"
	msg "github.com/emiago/sipgo/sip"
)

// accepted is a 2xx of ours that is repeated until its ACK comes. RFC 3261 section 13.3.1.4.
type accepted struct {
	l     *leg
	res   *msg.Response
	tx    *transaction.Server
	seq   uint32
	every time.Duration
	again transaction.Alarm
	limit transaction.Alarm
	onAck func(sdp []byte)
	bye   []reason // the call ended meanwhile: say so once the ACK is here
	next  func()   // what waits for the ACK
	lost  func()   // nil, or what becomes of the leg without an ACK; else the call ends
}

// accept sends a 2xx to the INVITE tx and keeps repeating it. onAck is called once with the answer that the ACK carries, if any.
func (l *leg) accept(tx *transaction.Server, res *msg.Response, onAck func(sdp []byte)) {
	sh := l.c.sh
	w := &accepted{l: l, res: res, tx: tx, seq: tx.Seq(), every: sh.e.c.Timers.T1, onAck: onAck}
	l.waiting = w
	if l.in == tx {
		l.in = nil
	}
	_ = tx.Respond(res)
	sh.loop.Arm(&w.again, w.every, w)
	sh.loop.Arm(&w.limit, 64*sh.e.c.Timers.T1, w)
}

// Due implements transaction.Due: the 2xx goes out again, or no ACK will come.
func (w *accepted) Due(a *transaction.Alarm) {
	l := w.l
	if a == &w.again {
		if transaction.Leaves(l.Meets(), l.flow.Proto()) {
			_ = w.tx.Respond(w.res)
		}
		w.every = min(2*w.every, l.c.sh.e.c.Timers.T2)
		l.c.sh.loop.Arm(&w.again, w.every, w)
		return
	}
	bye, lost := w.bye, w.lost
	w.over()
	switch {
	case bye != nil:
		l.farewell(bye)
	case lost != nil:
		lost()
	default:
		l.c.hangup(byEdge, reason{"SIP", 408, "no ACK"})
	}
}

// over ends the waiting. A stopped alarm stays in the clock for a while, and must hold no call meanwhile.
func (w *accepted) over() {
	w.again.Stop()
	w.limit.Stop()
	w.l.waiting = nil
	w.tx.Release(w.res)
	w.l, w.res, w.tx, w.onAck, w.bye, w.next, w.lost = nil, nil, nil, nil, nil, nil, nil
}

// acked ends the repetition of a 2xx.
func (l *leg) acked(req *msg.Request) {
	w := l.waiting
	if w == nil || req.CSeq().SeqNo != w.seq {
		return
	}
	bye, onAck, next := w.bye, w.onAck, w.next
	w.over()
	if bye != nil {
		l.farewell(bye)
		return
	}
	if onAck != nil {
		sdp, _ := bodySDP(req)
		onAck(sdp)
	}
	if l.side == media.A {
		l.c.restated()
	}
	if next != nil {
		next()
	}
	if l.side == media.A {
		l.c.shed()
		l.c.establish()
	} else {
		l.c.save()
	}
}
