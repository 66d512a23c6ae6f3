package sip

import (
	"time"

	"github.com/cordonsip/cordon/sip/transaction"
)

// patience is how long an attempt waits for what must come next: any response, an 18x, the final answer. It waits for one thing at a time, so it needs one alarm;
// that lies beside the attempt, because a stopped alarm stays in the clock for a while and must hold no call meanwhile. It belongs to the loop.
type patience struct {
	alarm transaction.Alarm
	t     *attempt // nil: it waits for nothing
	ended func(*attempt)
}

// Due implements transaction.Due.
func (p *patience) Due(*transaction.Alarm) {
	t := p.t
	p.t = nil
	p.ended(t)
}

// wait is set anew by each thing that an attempt waits for; ended is a method expression, which needs no memory.
func (t *attempt) wait(d time.Duration, ended func(*attempt)) {
	if !t.ringing.until.IsZero() { // it rang: what is asked once more wins no time by it
		d = min(d, max(0, time.Until(t.ringing.until)))
	}
	if t.patience == nil {
		t.patience = &patience{}
	}
	t.patience.t, t.patience.ended = t, ended
	t.c.sh.loop.Arm(&t.patience.alarm, d, t.patience)
}

// stop ends the waiting.
func (t *attempt) stop() {
	if p := t.patience; p != nil {
		p.alarm.Stop()
		p.t = nil
	}
}

// maxQueued is how long a callee that says 182 may hold a call at most. It is longer than Timer C (RFC 3261 section 16.6 step 11: over three minutes), which each 182
// that we relay begins anew at the proxies before us (section 16.7 step 2), and about as long as telephone networks leave a call without an answer.
const maxQueued = 5 * time.Minute

// ringing is until when an attempt waits for somebody to pick up.
type ringing struct {
	until  time.Time // zero: no 18x came
	last   time.Time // never beyond
	queued bool      // the last 18x was 182
}

// ring runs the ring timer from the first 18x on. Another 180 or 183 wins no time, or a callee could hold a call for ever by repeating them. A call that is queued
// (182, RFC 3261 section 21.1.4) has its time from each word of the queue, and once more when it leaves it and rings; but no more than maxQueued in all, unless the
// ring timer itself is longer.
func (t *attempt) ring(status int) {
	r, now, d := &t.ringing, time.Now(), t.c.within(t.leg.party.Within.Ring, 60*time.Second)
	switch {
	case r.last.IsZero():
		r.until, r.last = now.Add(d), now.Add(max(d, maxQueued))
	case status == 182, r.queued:
		if r.until = now.Add(d); r.until.After(r.last) {
			r.until = r.last
		}
	}
	r.queued = status == 182
	t.wait(r.until.Sub(now), (*attempt).rang)
}

// stalled is the progress timer.
func (t *attempt) stalled() {
	if t.overdue {
		t.give("silent", reason{"SIP", 408, "no response"})
		return
	}
	t.give("no_progress", reason{"SIP", 408, "no progress"})
}
