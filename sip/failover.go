package sip

import (
	"slices"
	"time"

	msg "github.com/emiago/sipgo/sip"
)

// silent is the first-response timer.
func (t *attempt) silent() {
	if !t.stays() {
		t.give("silent", reason{"SIP", 408, "no response"})
	}
}

// give abandons a hop that did not answer in time and goes on.
func (t *attempt) give(word string, r reason) {
	t.c.front(t)
	t.expire(word, r)
	t.c.next()
}

// expire abandons a hop that did not answer in time.
func (t *attempt) expire(word string, r reason) {
	t.c.tried[t.record].TookMS = ms(time.Since(t.sent))
	t.result(word)
	t.outcome(t.alive, false, 0, word, true)
	t.c.remember(408, nil)
	t.abandon([]reason{r})
}

// abandon turns the attempt into a zombie. Its CANCEL leaves as soon as a provisional response allows it.
func (t *attempt) abandon(rs []reason) {
	if t.dead || t.done {
		return
	}
	t.dead = true
	t.stop()
	if t.client != nil {
		t.client.Quiet() // before the CANCEL, which may end the silence
		t.client.Cancel(t.leg.why(rs, 0)...)
	}
	t.forget()
}

// late is what comes after the attempt was given up.
func (t *attempt) late(res *msg.Response) {
	switch {
	case res.IsProvisional():
		t.client.Cancel()
	case res.IsSuccess():
		t.leg.drop(res)
	}
}

// fate is what a final response means for the walk over the hops.
type fate uint8

const (
	stopHere fate = iota // the user or the peer has spoken
	tryNext              // this hop cannot, another may
)

// fateOf is the table of failover: RFC 3261 section 16.7, RFC 3263 section 4.3, and the Q.850 causes that mean congestion or an outage of the network.
func fateOf(status int, rs []reason) fate {
	switch status {
	case 401, 407, 408, 430, 500, 502, 503, 504, 580:
		return tryNext
	}
	if status >= 600 || status < 400 {
		return stopHere
	}
	for _, r := range rs {
		if r.protocol == "Q.850" {
			switch r.cause {
			case 34, 38, 41, 42, 44, 47:
				return tryNext
			}
		}
	}
	return stopHere
}

// failed takes a final response that is no 2xx.
func (t *attempt) failed(res *msg.Response) {
	c, status, rs := t.c, res.StatusCode, t.leg.reasons(res)
	t.stop()
	if t.retry(res) {
		return
	}
	t.stop()
	took := time.Since(t.sent)
	c.tried[t.record].TookMS = ms(took)
	t.result(itoa(status))
	alive := status != 408 && (status < 500 || status >= 600 || status == 503)
	t.outcome(alive, status == 503, retryAfter(res), itoa(status), true)
	if again := t.fallback(status); again != "" {
		t.done = true
		t.forget()
		if c.try(t.hop, again) {
			return
		}
	}
	if t.widen(status) {
		return
	}
	if fateOf(status, rs) == tryNext {
		c.remember(status, rs)
		t.leave()
		return
	}
	t.done = true
	t.forget()
	if c.heeds(status, rs) {
		return
	}
	c.cur = nil
	if len(rs) == 0 && status >= 300 && status < 400 {
		rs = []reason{{"SIP", status, "redirection not followed"}}
	}
	c.refuseWith(upstream(status), "failed", byB, rs, nil)
}

// widen tries a hop again that found nothing in what was left of the caller's offer after the early answer of a hop before it: with the whole offer. The caller
// is told of the other codec by an offer of its own, before its 200 where it takes UPDATE, else behind it.
func (t *attempt) widen(status int) bool {
	c := t.c
	if status != 488 && status != 606 || !t.narrow || c.ask.sdp == nil || c.media.Load() == nil {
		return false
	}
	t.done = true
	t.forget()
	c.media.Load().Widen()
	if t.again == "" {
		c.refund(t.hop) // the same hop for the same call: it is spent once
	}
	return c.try(t.hop, t.again)
}

// remember keeps the downstream answer that tells the caller most: a real one over a timeout.
func (c *call) remember(status int, rs []reason) {
	if c.spoke {
		return
	}
	if c.best == 0 || c.best == 408 || status != 408 {
		c.best, c.bestWhy = status, rs
	}
}

// What one attempt repeats its INVITE for, and how often at most: a peer that never says the same twice is not asked without end. Challenges may be as many as
// proxies stand on the way, and stale nonces.
const (
	byChallenge = iota
	byInterval
	byExtension
	kindsOfRetry
)

var maxRetries = [kindsOfRetry]uint8{byChallenge: 6, byInterval: 2, byExtension: 2}

// retry answers what is no failure: a challenge, and a session interval that is too small. The Call-ID and the tag stay, the CSeq moves on.
func (t *attempt) retry(res *msg.Response) bool {
	var more []msg.Header
	kind := byChallenge
	switch res.StatusCode {
	case 401, 407:
		hs, err := t.leg.auth.answer(&t.auth, res, "INVITE", t.leg.invite.Recipient.String(), t.leg.invite.Body())
		if err != nil {
			return false
		}
		more = append(more, hs...)
	case 422:
		n, ok := number(res, "min-se")
		if !ok || n <= t.se || n > 24*3600 {
			return false
		}
		kind, t.se, t.least = byInterval, n, n
	case 421: // RFC 3261 section 21.4.16
		if t.insist || !t.rel || !slices.Equal(tokens(res, "require"), []string{"100rel"}) {
			return false
		}
		kind, t.insist = byExtension, true
	case 420:
		if !t.insist || !lists(res, "unsupported", "100rel") {
			return false
		}
		kind, t.insist = byExtension, false
	default:
		return false
	}
	if t.retries[kind]++; t.retries[kind] > maxRetries[kind] {
		return false
	}
	t.seq++
	t.stop()
	t.alive = false
	t.leg.early, t.leg.racks, t.leg.fork, t.leg.said, t.leg.settled = nil, nil, nil, nil, ""
	t.send(t.leg.sent, more...)
	return true
}
