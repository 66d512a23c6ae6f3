package observe

import (
	"time"

	"github.com/cordonsip/cordon/audit"
)

// call is one of production.
type call struct {
	end    time.Time
	failed bool
	mos    float64 // 0: unknown
}

// tally counts calls.
type tally struct{ calls, failed int }

func (t tally) share() float64 {
	if t.calls == 0 {
		return 0
	}
	return float64(t.failed) / float64(t.calls)
}

// receipt takes one call: of the drill, what it was refused; of production, how it fared.
func (o *Observer) receipt(e audit.Entry, r *audit.Receipt) {
	o.traces[r.CallRef] = true
	if r.Drill != o.start.View && r.Drill != "" {
		return
	}
	if r.Purpose == "drill" {
		if o.earlier(e) {
			return
		}
		for i, a := range r.Attempts {
			if a.Verdict != "permit" && a.At.IsZero() && !named(r.Attempts[:i], a.Party) {
				at := r.TInvite // when the call asked, however long it was up
				if at.Before(o.start.At) {
					at = e.Time
				}
				o.refused(at, e, a.Party)
			}
		}
		return
	}
	if r.Purpose != "production" || r.Drill != "" { // a call of a canary's share is no sign of how production fares
		return
	}
	c := call{end: e.Time, failed: failed(r.Outcome.SIPFinal)}
	for _, q := range r.Outcome.Quality {
		if q.MOS > 0 && (c.mos == 0 || q.MOS < c.mos) {
			c.mos = q.MOS
		}
	}
	if o.earlier(e) {
		o.before.calls++
		if c.failed {
			o.before.failed++
		}
		return
	}
	o.calls = append(o.calls, c)
}

func named(list []audit.Attempt, party string) bool {
	for _, a := range list {
		if a.Party == party && a.Verdict != "permit" {
			return true
		}
	}
	return false
}

// failed says whether the network failed a call, by its final response: ITU-T E.425 leaves out what users do. A refusal by the policy is no failure.
func failed(status int) bool {
	switch status {
	case 408, 500, 502, 503, 504, 580:
		return true
	}
	return status == 0
}

// Pulse is how the calls of production fared that ended in the last Window: the share that failed beyond what failed before the start, and the mean of how they
// sounded, 0 without any.
func (o *Observer) Pulse(now time.Time) (failures, mos float64) {
	o.mu.Lock()
	defer o.mu.Unlock()
	from := now.Add(-Window)
	i := 0
	for i < len(o.calls) && o.calls[i].end.Before(from) {
		i++
	}
	o.calls = o.calls[i:]
	var t tally
	sum, rated := 0.0, 0
	for _, c := range o.calls {
		t.calls++
		if c.failed {
			t.failed++
		}
		if c.mos > 0 {
			sum, rated = sum+c.mos, rated+1
		}
	}
	if t.calls >= minCalls {
		failures = max(0, t.share()-o.before.share())
	}
	if rated > 0 {
		mos = sum / float64(rated)
	}
	return failures, mos
}
