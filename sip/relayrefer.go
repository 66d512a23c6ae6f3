package sip

import (
	"net/url"
	"strconv"
	"strings"

	"github.com/cordonsip/cordon/sip/transaction"
	msg "github.com/emiago/sipgo/sip"
)

// A party may have its REFERs sent on: the other side transfers itself, by a new call that comes here and is planned and judged like every call. What is sent
// on names no host, no Call-ID and no tag of the party.

// relayed is the subscription of a REFER that was sent on: NOTIFYs of one leg's peer go to the other one's.
type relayed struct {
	at    *leg // whose peer tells
	seq   uint32
	sub   *subscription // of who asked; nil until the REFER was answered
	last  int           // status that was told before
	done  bool          // and it was the last one
	timer transaction.Timer
}

// maxPassed bounds the REFERs of one call whose outcome is not told yet.
const maxPassed = 4

// passRefer sends a REFER on to the other side.
func (l *leg) passRefer(tx *transaction.Server, req *msg.Request, to referTo) {
	t := newTransfer(l, l.other(), req)
	t.rec.How = "refer_relayed"
	if len(t.stay.passed) >= maxPassed {
		t.refuse(tx, 603, "failed", reason{"SIP", 491, "other transfers of this call are under way"})
		return
	}
	if to.replaces == nil {
		t.pass(tx, req, to)
		return
	}
	t.rec.How = "refer_replaces"
	sh := l.c.sh
	sh.farOf(*to.replaces, l.party.Name, func(f *far) {
		switch {
		case t.over: // RFC 3261 section 15.1.2: what is open when the dialog ends
			sh.answer(tx, 487)
		case f == nil || f.c == l.c || f.bound:
			t.refuse(tx, 603, "failed", reason{"SIP", 481, "the call to be replaced is not known here"})
		default:
			if to.replaces = sh.e.aliases.make(sh, *to.replaces, t.stay.party.Name); to.replaces == nil {
				sh.answer(tx, 500, msg.NewHeader("Retry-After", "5"))
				t.end(500, "failed")
				return
			}
			t.pass(tx, req, to)
		}
	})
}

// pass builds the REFER for the other side. Its INVITE comes back to us, so the host of Refer-To is ours, and so is the name of a dialog that it is to replace.
func (t *transfer) pass(tx *transaction.Server, req *msg.Request, to referTo) {
	o, c := t.stay, t.c
	u := msg.Uri{Scheme: "sip", User: to.user, Host: o.host()}
	target := u.String()
	if r := to.replaces; r != nil {
		target += "?Replaces=" + url.QueryEscape(r.header().Value())
	}
	out := o.build(msg.REFER, o.contact(), msg.NewHeader("Refer-To", "<"+target+">"))
	if t.referrer != "" && t.by.party.Trusted && o.party.Trusted {
		by := msg.Uri{Scheme: "sip", User: t.referrer, Host: o.host()}
		out.AppendHeader(msg.NewHeader("Referred-By", "<"+by.String()+">"))
	}
	wants := wantsSubscription(req)
	if !wants {
		out.AppendHeader(msg.NewHeader("Refer-Sub", "false"))
	}
	fill(out, nil)
	r := &relayed{at: o, seq: out.CSeq().SeqNo}
	if wants { // a NOTIFY may come before the answer does: RFC 6665 section 4.1.2.4
		o.passed = append(o.passed, r)
	}
	seq := req.CSeq().SeqNo
	t.asked = tx
	o.send(out, func(res *msg.Response, err error) {
		if t.over { // with its call: who asked has its answer, and nobody is left to be told more
			r.forget()
			return
		}
		status := 408
		if err == nil {
			status = res.StatusCode
		}
		if status >= 200 && status < 300 {
			t.passedOn(tx, r, seq, wants, res)
			return
		}
		r.forget()
		t.refuse(tx, referStatus(status), "failed", reason{"SIP", status, ""})
		if status == 481 || status == 408 {
			c.gone(o, status)
		}
	})
}

// passedOn answers the party whose REFER the other side has taken.
func (t *transfer) passedOn(tx *transaction.Server, r *relayed, seq uint32, wants bool, res *msg.Response) {
	quiet := !wants || strings.EqualFold(strings.TrimSpace(value(res, "refer-sub")), "false")
	t.end(res.StatusCode, "relayed")
	if quiet {
		r.forget()
		t.c.sh.answer(tx, 200, t.by.contact(), msg.NewHeader("Refer-Sub", "false"))
		return
	}
	t.c.sh.answer(tx, 202, t.by.contact())
	r.sub = t.by.subscribe(seq)
	if r.done { // its NOTIFYs overtook the answer
		r.forget()
		r.sub.finish(func() {}, r.last)
		return
	}
	r.sub.tell(max(r.last, 100))
	r.timer = t.c.sh.loop.After(referLasts, r.forget)
}

// referStatus is what the sender of a REFER is told of the other side's refusal: statuses that would end its dialog become 603. RFC 5057 section 5.1.
func referStatus(status int) int {
	switch status {
	case 400, 403, 405, 420, 429, 488, 491, 500, 501, 503, 603, 606:
		return status
	}
	return 603
}

func (r *relayed) forget() {
	stopTimer(&r.timer)
	for i, x := range r.at.passed {
		if x == r {
			r.at.passed = append(r.at.passed[:i], r.at.passed[i+1:]...)
			return
		}
	}
}

// unsubscribe ends every subscription in the dialog of a leg whose call is over, without a word: the BYE has said it. Their timers would hold the call for longer than
// anybody may still speak of it.
func (l *leg) unsubscribe() {
	l.sub.close()
	for len(l.passed) > 0 {
		l.passed[0].forget()
	}
}

// notified is a NOTIFY of the peer: it speaks of a REFER that was sent on to it, and who asked for that hears the status line of it and nothing else.
// RFC 6665 section 4.1.3: 481 to a NOTIFY of a subscription that there is none of.
func (l *leg) notified(tx *transaction.Server, req *msg.Request) {
	event, id := eventOf(req)
	if event != eventRefer {
		l.c.sh.answer(tx, 489, msg.NewHeader("Allow-Events", eventRefer))
		return
	}
	var r *relayed
	for _, x := range l.passed {
		if id == 0 || x.seq == id {
			r = x
			break
		}
	}
	if r == nil {
		l.c.sh.answer(tx, 481)
		return
	}
	l.c.sh.answer(tx, 200)
	status := fragmentStatus(req.Body())
	state, _, _ := strings.Cut(value(req, "subscription-state"), ";")
	ended := strings.EqualFold(strings.TrimSpace(state), "terminated")
	if ended && status == 0 {
		status = 500
	}
	if r.sub == nil {
		r.last, r.done = max(status, r.last), r.done || ended
		return
	}
	if ended {
		r.forget()
		r.sub.finish(func() {}, status)
		return
	}
	if status > 0 {
		r.sub.tell(status)
	}
}

// fragmentStatus is the status of a message/sipfrag body that begins with a status line; 0 for any other. RFC 3420 section 2.
func fragmentStatus(body []byte) int {
	line, _, _ := strings.Cut(string(body), "\n")
	rest, ok := strings.CutPrefix(strings.TrimSpace(line), "SIP/2.0 ")
	if !ok || len(rest) < 3 {
		return 0
	}
	n, err := strconv.Atoi(rest[:3])
	if err != nil || n < 100 || n > 699 {
		return 0
	}
	return n
}
