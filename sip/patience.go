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
	now := time.Now()
	if !t.until.IsZero() {
		d = min(d, max(0, t.until.Sub(now)))
	}
	t.ends = now.Add(d)
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

// stalled is the progress timer.
func (t *attempt) stalled() {
	if t.overdue {
		t.give("silent", reason{"SIP", 408, "no response"})
		return
	}
	t.give("no_progress", reason{"SIP", 408, "no progress"})
}
