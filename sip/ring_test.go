package sip

import (
	"testing"
	"time"

	msg "github.com/emiago/sipgo/sip"
)

// How long a callee may hold a call by its provisional responses: 60 s from the first 18x, whatever it repeats; while the call is queued its time begins anew with
// each response and once more when it leaves the queue, for five minutes in all, or as long as the ring timer itself.
func TestACalleeHoldsNoCallForEver(t *testing.T) {
	type word struct {
		status int
		times  int // said each 10 s
	}
	for name, c := range map[string]struct {
		ring time.Duration
		says []word
		want time.Duration // from the first 18x to our CANCEL
	}{
		"rings once":                       {0, []word{{180, 1}}, 60 * time.Second},
		"repeats 180":                      {0, []word{{180, 30}}, 60 * time.Second},
		"repeats 183":                      {0, []word{{183, 30}}, 60 * time.Second},
		"183 and 180 in turns":             {0, []word{{183, 2}, {180, 2}, {183, 2}, {180, 20}}, 60 * time.Second},
		"100 behind it":                    {0, []word{{180, 1}, {100, 30}}, 60 * time.Second},
		"queued once":                      {0, []word{{182, 1}}, 60 * time.Second},
		"queued for a while":               {0, []word{{182, 6}}, 110 * time.Second},
		"queued, then rings":               {0, []word{{182, 5}, {180, 10}}, 110 * time.Second}, // from the first 180, at 50 s
		"rings, then queued, then rings":   {0, []word{{180, 2}, {182, 4}, {180, 20}}, 120 * time.Second},
		"queued without end":               {0, []word{{182, 60}}, 300 * time.Second},
		"queued and rings in turns":        {0, []word{{182, 4}, {180, 4}, {182, 4}, {180, 4}, {182, 4}, {182, 4}, {180, 4}, {182, 8}, {180, 20}}, 300 * time.Second},
		"a short ring timer, queued":       {20 * time.Second, []word{{182, 60}}, 300 * time.Second},
		"a short ring timer, repeats":      {20 * time.Second, []word{{180, 40}}, 20 * time.Second},
		"a long ring timer, repeats":       {6 * time.Minute, []word{{180, 60}}, 360 * time.Second},
		"a long ring timer, queued at end": {6 * time.Minute, []word{{180, 10}, {182, 60}}, 360 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			run(t, func(cfg *Config) { cfg.Parties[1].Within.Ring = c.ring }, func(w *world) {
				w.hops = w.hops[:1]
				w.carrier.invite("held", w.carrier.sdp)
				in := w.fra.request(msg.INVITE)
				begin, cancel := time.Now(), (*msg.Request)(nil)
				for _, s := range c.says {
					for range s.times {
						if cancel != nil {
							break
						}
						w.fra.reply(in, s.status, "")
						next := time.Now().Add(10 * time.Second)
						cancel = cancelWithin(w.fra, next)
					}
				}
				if cancel == nil {
					cancel = cancelWithin(w.fra, begin.Add(10*time.Minute))
				}
				if cancel == nil {
					t.Fatal("it rings for ever")
				}
				if took := time.Since(begin).Round(100 * time.Millisecond); took != c.want {
					t.Errorf("held for %v, want %v", took, c.want)
				}
				w.fra.reply(cancel, 200, "")
				w.fra.reply(in, 487, "")
				w.fra.request(msg.ACK)
				for {
					res, ok := w.carrier.read(time.Second).(*msg.Response)
					if !ok {
						t.Fatal("the caller was not told that nobody answered")
					}
					if res.StatusCode == 480 {
						break
					}
				}
				if r := w.receipt(); r.Attempts[0].Result != "no_answer" {
					t.Errorf("the attempt: %+v", r.Attempts[0])
				}
			})
		})
	}
}

// cancelWithin waits for a CANCEL until a moment; nil when none came. What is left of that time passes, too.
func cancelWithin(p *peer, until time.Time) *msg.Request {
	for left := time.Until(until); left > 0; left = time.Until(until) {
		if req, ok := p.read(left).(*msg.Request); ok && req.Method == msg.CANCEL {
			return req
		}
	}
	return nil
}
