package sip

import (
	"time"

	"github.com/cordonsip/cordon/media"
	"github.com/cordonsip/cordon/sip/header"
	msg "github.com/emiago/sipgo/sip"
)

// How a call ends: refused before it was answered, hung up from either side or from here, closed.

// exhausted gives the final refusal: on_hold's when the law kept something out, else what the last peer said.
func (c *call) exhausted() {
	switch {
	case c.held && c.gated:
		c.deny("held", reason{"SIP", 403, "route held for approval"})
	case c.held:
		c.deny("refused", reason{"SIP", 403, "refused by policy"})
	case c.refusal != nil && c.best == 0:
		c.refuseMedia(c.refusal)
	case c.best > 0:
		c.refuse(upstream(c.best), "failed", c.bestWhy...)
	case c.plan.Closed:
		c.refuse(503, "failed", reason{"SIP", 503, "no new calls are taken from this party"})
	case len(c.plan.Hops) == 0 && c.plan.Route == "":
		c.refuse(404, "failed")
	case c.onlyThrottled():
		c.refuse(503, "failed", reason{"SIP", 503, "no target takes more calls now"}) // RFC 7339 section 5.10
	default:
		c.refuse(480, "failed", reason{"SIP", 480, "no target can take the call"})
	}
}

// upstream maps a downstream final response to what the caller is told. RFC 3261 section 16.7: a 503 says something of that peer and not of us; a redirection
// and a challenge are ours to handle and would show the other side's addresses.
func upstream(status int) int {
	switch {
	case status == 503, status == 401, status == 407, status == 420, status == 421, status == 422, status == 494, status >= 300 && status < 400:
		return 480
	case status < 300 || status > 699:
		return 500
	}
	return status
}

// refuse sends the final refusal and ends the call.
func (c *call) refuse(status int, result string, rs ...reason) {
	c.refuseWith(status, result, byEdge, rs, nil)
}

func (c *call) refuseMedia(r *media.Refusal) {
	if r.Status == 403 {
		c.denied = true
		c.refuse(c.holdStatus(), "refused", reason{"SIP", 403, "media place refused by policy"})
		return
	}
	w := msg.NewHeader("Warning", header.Warning(r.Warning, r.Text))
	c.refuseWith(r.Status, "failed", byEdge, nil, []msg.Header{w})
}

func (c *call) refuseWith(status int, result, by string, rs []reason, more []msg.Header) {
	if c.ended {
		return
	}
	if c.via != nil {
		c.via.failed(status, result, rs)
		return
	}
	if c.page != nil {
		c.page.end(status, result, rs)
		return
	}
	c.desert(rs)
	cause := causeOf(rs)
	var room [4]header.Reason
	c.q850 = header.Cause(asHeaders(room[:0], rs), status)
	if c.a != nil && c.a.in != nil {
		hs := append(c.a.why(rs, status), more...)
		if ref := c.ref.Load(); ref != nil && (result == "held" || result == "refused") {
			hs = append(hs, msg.NewHeader(receiptHeader, *ref))
		}
		if status == 503 {
			hs = append(hs, msg.NewHeader("Retry-After", "10"))
		}
		c.sh.answer(c.a.in, status, hs...)
		c.a.in = nil
	}
	c.close(by, status, cause, result)
}

// hangup ends the call from our side or for a peer, in whatever state it is: CANCEL or BYE to whoever holds a leg of it.
func (c *call) hangup(by string, rs ...reason) {
	if c.ended {
		return
	}
	if c.via != nil && c.via.seating { // it ends as a part of the call that it is just coming into
		c.via.gone = append(c.via.gone, rs...)
		return
	}
	for _, t := range [...]*attempt{c.cur, c.beside} {
		if t == nil || c.b != nil {
			continue
		}
		t.abandon(rs)
		word := "cancelled"
		if by == byEdge && len(rs) > 0 && rs[0].cause == 408 {
			word = "no_progress" // the set-up timer: nobody hung up
		}
		t.outcome(t.alive, false, 0, word, t.alive)
	}
	if !c.confirmed && c.synth == nil || !c.answered {
		if c.b != nil {
			c.b.bye(rs)
		}
		status := 480
		switch {
		case by == byA:
			status = 487
		case len(rs) > 0 && (rs[0].cause == 408 || rs[0].cause == 503 || rs[0].cause == 403):
			status = rs[0].cause
		case len(rs) > 0 && rs[0].protocol == header.Q850 && header.StatusOf(rs[0].cause) > 0:
			status = upstream(header.StatusOf(rs[0].cause)) // RFC 3398 section 7.2.4.1
		}
		result := "failed"
		if by == byA {
			result = "cancelled"
		}
		c.refuseWith(status, result, by, rs, nil)
		return
	}
	cause := causeOf(rs)
	var room [4]header.Reason
	c.q850 = endCause(asHeaders(room[:0], rs), 0)
	if c.a != nil {
		c.a.bye(rs)
	}
	if c.b != nil {
		c.b.bye(rs)
	}
	result := resultAnswered
	if n := c.notice(); n != nil {
		result = n.result
	}
	c.close(by, 200, cause, result)
}

// causeOf is the first reason in words, for records.
func causeOf(rs []reason) string {
	switch {
	case len(rs) == 0:
		return ""
	case rs[0].text != "":
		return rs[0].text
	}
	return rs[0].protocol + " " + itoa(rs[0].cause)
}

// cancelled is A's CANCEL. The transaction has answered it; the INVITE gets its 487 here.
func (l *leg) cancelled(cancel *msg.Request) {
	if l.c.ended || l.c.confirmed {
		return // too late: the 2xx is on its way and BYE will follow. RFC 3261 section 9.1
	}
	l.heard(cancel)
	rs := l.reasons(cancel)
	if len(rs) == 0 {
		rs = []reason{{"SIP", 487, "caller hung up"}}
	}
	l.c.hangup(byA, rs...)
}

// close ends the call on the loop: no timer, no leg and no count of it stays. The rest is written by a goroutine of its own.
func (c *call) close(by string, status int, cause, result string) {
	if c.ended {
		return
	}
	c.ended = true
	if c.moving != nil {
		c.moving.abort()
	}
	c.end, c.endedBy, c.final, c.cause = time.Now(), by, status, cause
	stopTimer(&c.setup)
	n := c.notice()
	n.end()
	c.ask.said, c.ask.sdp, c.early = &nothing, nil, nil // what is left of a call for 32 s should be small
	if c.a != nil {
		c.a.invite = nil
		if !c.answered {
			c.a.taken = nil
		}
	}
	for _, l := range []*leg{c.a, c.b} {
		if l == nil {
			continue
		}
		if l.in != nil { // RFC 3261 section 15.1.2: what is still open is answered with 487
			c.sh.answer(l.in, 487)
			l.in = nil
		}
		if l.turn != nil {
			c.sh.answer(l.turn, 487)
			l.turn = nil
		}
		l.unsubscribe()
		l.entomb()
	}
	e := c.sh.e
	delete(c.sh.calls, c)
	e.active.Add(-1)
	e.metrics.active.Dec()
	if c.seated {
		e.left(c.plan.Drill)
	}
	for _, p := range c.taken {
		e.partyLoad(p).Add(-1)
	}
	if c.ask.session != "" {
		e.ids.Delete(c.loopKey())
	}
	setup := time.Duration(0)
	if !c.answer.IsZero() {
		setup = c.answer.Sub(c.start)
	}
	e.metrics.ended(c, result, setup)
	c.traceEnd(result)
	c.setState("ending")
	if c.synth != nil {
		c.synth.ended(status)
	}
	if c.prepared {
		c.finish()
	}
	if n != nil {
		delete(c.sh.notices, c)
	}
}
