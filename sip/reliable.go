package sip

import (
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/cordonsip/cordon/sip/dialog"
	"github.com/cordonsip/cordon/sip/transaction"
	msg "github.com/emiago/sipgo/sip"
)

// reliable sends provisional responses reliably, one after another. Most legs have none, and nil has nothing to send. RFC 3262 section 3.
type reliable struct {
	seq   uint32
	queue []assured // the first one is on its way
	tx    *transaction.Server
	every time.Duration
	again transaction.Timer
	limit transaction.Timer
	then  []func() // waits until the queue is empty
}

// assured is one response that waits for its PRACK.
type assured struct {
	res *msg.Response
	// decide takes the answer to the offer that the response carries and gives the status of the PRACK; nil when it carries none.
	decide  func(answer []byte) int
	answers bool // it carries our answer: with its PRACK the first offer and answer are complete
	pracked bool // the offer in its PRACK still waits for an answer
}

// provide sends a provisional response of this leg reliably.
func (l *leg) provide(tx *transaction.Server, w assured) {
	if l.rel == nil {
		l.rel = &reliable{}
	}
	r := l.rel
	r.seq++
	w.res.AppendHeader(msg.NewHeader("Require", "100rel"))
	w.res.AppendHeader(msg.NewHeader("RSeq", strconv.Itoa(int(r.seq))))
	r.tx = tx
	r.queue = append(r.queue, w)
	if len(r.queue) == 1 {
		r.head(l)
	}
}

// head sends the first of the queue, and again with doubling pauses until its PRACK comes or 64*T1 are over: then the call fails.
func (r *reliable) head(l *leg) {
	sh := l.c.sh
	res := r.queue[0].res
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
	if r == nil {
		return
	}
	stopTimer(&r.again)
	stopTimer(&r.limit)
	r.queue, r.then = nil, nil
}

// asks says that an offer of ours is among the responses that wait.
func (r *reliable) asks() bool {
	return r != nil && slices.ContainsFunc(r.queue, func(w assured) bool { return w.decide != nil })
}

// idle says that no provisional response is open.
func (r *reliable) idle() bool { return r == nil || len(r.queue) == 0 }

// drained calls f once no provisional response is open any more; at once when none is.
func (r *reliable) drained(f func()) {
	if r.idle() {
		f()
		return
	}
	r.then = append(r.then, f)
}

// advance goes on with the next response of the queue, or with what waited for its end.
func (r *reliable) advance(l *leg) {
	if r.idle() {
		return // the call ended
	}
	if r.queue = r.queue[1:]; len(r.queue) > 0 {
		r.head(l)
		return
	}
	then := r.then
	r.then = nil
	for _, f := range then {
		f()
	}
}

// matches says whether a PRACK is for the response on its way. RFC 3262 section 3.
func (r *reliable) matches(req *msg.Request) bool {
	f := strings.Fields(value(req, "rack"))
	return len(f) == 3 && !r.idle() && !r.queue[0].pracked && f[0] == value(r.queue[0].res, "rseq") &&
		f[1] == strconv.Itoa(int(r.tx.Req().CSeq().SeqNo)) && strings.EqualFold(f[2], "INVITE")
}

// pracked takes the peer's PRACK; 481 when nothing waits for it. It may carry the answer to the offer of the response, or an offer of its own once the first
// offer and answer are complete: the answer to that goes into the 2xx. RFC 3262 section 5.
func (l *leg) pracked(tx *transaction.Server, req *msg.Request, tag string) {
	r := l.rel
	if !r.matches(req) {
		l.c.sh.answer(tx, 481)
		return
	}
	stopTimer(&r.again)
	stopTimer(&r.limit)
	head := &r.queue[0]
	sdp, ok := bodySDP(req)
	if head.answers {
		l.settled = tag
	}
	switch {
	case !ok:
		l.c.sh.answer(tx, 415, msg.NewHeader("Accept", typeSDP))
	case head.decide != nil:
		status := head.decide(sdp)
		if status == 200 {
			l.settled = tag
		}
		l.c.sh.answer(tx, status)
	case sdp != nil:
		head.pracked = true
		if l.offer(tx, req, sdp, tag); l.turn == tx {
			return // its end goes on
		}
	default:
		l.c.sh.answer(tx, 200)
	}
	r.advance(l)
	l.c.restated()
}

// inOrder says whether a reliable provisional response of B is the next one of its dialog. One that was seen before, or that comes before its time, is dropped:
// RFC 3262 section 4.
func (t *attempt) inOrder(d *dialog.Dialog, res *msg.Response) bool {
	seq, ok := number(res, "rseq")
	last := t.leg.racks[d.Remote.Tag]
	if !ok || seq == 0 || (last != 0 && seq != last+1) || len(t.leg.racks) > 16 {
		return false
	}
	if t.leg.racks == nil {
		t.leg.racks = map[string]uint32{}
	}
	t.leg.racks[d.Remote.Tag] = seq
	return true
}

// prack acknowledges a reliable provisional response of B, with the answer to its offer if it made one. final says that the first offer and answer are complete
// with it.
func (t *attempt) prack(d *dialog.Dialog, res *msg.Response, answer []byte, final bool) {
	l := t.leg
	req := d.Request(msg.PRACK)
	seq, _ := number(res, "rseq")
	l.dress(req, msg.PRACK, []msg.Header{msg.NewHeader("RAck", strconv.Itoa(int(seq))+" "+strconv.Itoa(int(res.CSeq().SeqNo))+" INVITE")})
	setSDP(req, answer)
	l.sendIn(d, req, func(res *msg.Response, err error) {
		if final && err == nil && res.IsSuccess() && l.early.of(d.Remote.Tag) == d {
			l.assure(d.Remote.Tag)
		}
	})
}
