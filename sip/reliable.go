package sip

import (
	"strconv"
	"strings"
	"time"

	"github.com/cordonsip/cordon/sip/dialog"
	"github.com/cordonsip/cordon/sip/transaction"
	msg "github.com/emiago/sipgo/sip"
)

// reliable sends provisional responses reliably, one after another. RFC 3262 section 3.
type reliable struct {
	seq   uint32
	queue []*msg.Response // the first one is on its way
	tx    *transaction.Server
	every time.Duration
	again transaction.Timer
	limit transaction.Timer
	then  []func() // waits until the queue is empty
}

func (r *reliable) send(l *leg, tx *transaction.Server, res *msg.Response) {
	r.seq++
	res.AppendHeader(msg.NewHeader("Require", "100rel"))
	res.AppendHeader(msg.NewHeader("RSeq", strconv.Itoa(int(r.seq))))
	r.tx = tx
	r.queue = append(r.queue, res)
	if len(r.queue) == 1 {
		r.head(l)
	}
}

// head sends the first of the queue, and again with doubling pauses until its PRACK comes or 64*T1 are over: then the call fails.
func (r *reliable) head(l *leg) {
	sh := l.c.sh
	res := r.queue[0]
	r.every = sh.e.c.Timers.T1
	_ = r.tx.Respond(res)
	var repeat func()
	repeat = func() {
		_ = r.tx.Respond(res)
		r.every *= 2
		r.again = sh.loop.After(r.every, repeat)
	}
	r.again = sh.loop.After(r.every, repeat)
	r.limit = sh.loop.After(64*sh.e.c.Timers.T1, func() {
		r.stop()
		l.c.hangup(byEdge, reason{"SIP", 408, "no PRACK"})
	})
}

func (r *reliable) stop() {
	stopTimer(&r.again)
	stopTimer(&r.limit)
	r.queue, r.then = nil, nil
}

// drained calls f once no provisional response is open any more; at once when none is.
func (r *reliable) drained(f func()) {
	if len(r.queue) == 0 {
		f()
		return
	}
	r.then = append(r.then, f)
}

// pracked matches a PRACK to the response on its way. RFC 3262 section 3: 481 when there is none.
func (l *leg) pracked(tx *transaction.Server, req *msg.Request) {
	f := strings.Fields(value(req, "rack"))
	r := &l.rel
	if len(f) != 3 || len(r.queue) == 0 || f[0] != value(r.queue[0], "rseq") || f[1] != strconv.Itoa(int(r.tx.Req().CSeq().SeqNo)) || !strings.EqualFold(f[2], "INVITE") {
		l.c.sh.answer(tx, 481)
		return
	}
	if len(req.Body()) > 0 {
		l.c.sh.answer(tx, 488) // a further offer inside PRACK is not taken; the call stays as it is
	} else {
		l.c.sh.answer(tx, 200)
	}
	stopTimer(&r.again)
	stopTimer(&r.limit)
	r.queue = r.queue[1:]
	if len(r.queue) > 0 {
		r.head(l)
		return
	}
	then := r.then
	r.then = nil
	for _, f := range then {
		f()
	}
}

// prack acknowledges a reliable provisional response of B. False means that it was seen before or that one is missing: it is dropped, RFC 3262 section 4.
func (t *attempt) prack(d *dialog.Dialog, res *msg.Response) bool {
	seq, ok := number(res, "rseq")
	last := t.leg.racks[d.Remote.Tag]
	if !ok || seq == 0 || (last != 0 && seq != last+1) || len(t.leg.racks) > 16 {
		return false
	}
	t.leg.racks[d.Remote.Tag] = seq
	req := d.Request(msg.PRACK)
	t.leg.dress(req, msg.PRACK, []msg.Header{msg.NewHeader("RAck", strconv.Itoa(int(seq))+" "+strconv.Itoa(int(res.CSeq().SeqNo))+" INVITE")})
	req.SetBody(nil)
	t.c.sh.last(t.leg.flow, req, t.leg.auth)
	return true
}
