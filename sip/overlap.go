package sip

import (
	"time"

	"github.com/cordonsip/cordon/media"
	"github.com/cordonsip/cordon/sip/header"
	msg "github.com/emiago/sipgo/sip"
)

// Attempts that overlap: where a route says so, the next hop is tried beside one that gave no sign in time, and that one may still win. There are two at once at
// most; the first 2xx has the call, the other attempt gets CANCEL, or ACK and BYE when its 2xx comes late. The caller has one dialog with one tag of ours
// throughout. Each attempt is planned, judged, counted and recorded like one that stands alone, and has a B side of its own in media.

// overlaps says whether the attempts of this call may. Without an offer of the caller each attempt would make one of its own, and the caller can answer one alone.
func (c *call) overlaps() bool {
	return c.plan.Overlap && c.a != nil && c.ask.sdp != nil && c.page == nil
}

// live says that this attempt can still win.
func (t *attempt) live() bool { return t != nil && !t.dead && !t.done }

// front makes the attempt that something is heard of, or whose time is over, the current one.
func (c *call) front(t *attempt) {
	if c.beside == t && t.live() {
		c.cur, c.beside = t, c.cur
	}
}

// rival is the attempt beside t that can still win; nil without one.
func (c *call) rival(t *attempt) *attempt {
	for _, o := range [...]*attempt{c.cur, c.beside} {
		if o != t && o.live() {
			return o
		}
	}
	return nil
}

// stays keeps an attempt whose first-response timer is over as one that may still win, and has the next hop tried beside it. False: it is given up as ever.
func (t *attempt) stays() bool {
	c := t.c
	if !c.overlaps() {
		return false
	}
	c.front(t)
	o, more := c.rival(t), int(c.hop) < len(c.plan.Hops) && !c.spoke
	if o == nil && !more {
		return false
	}
	t.overdue = true
	t.outcome(false, false, 0, "silent", true) // health hears at once what a call met, whatever becomes of it
	if o != nil && o.overdue && more {
		o.expire("silent", reason{"SIP", 408, "no response"}) // two at once, and no more
	}
	t.wait(max(0, c.within(t.leg.party.Within.Progress, 12*time.Second)-time.Since(t.sent)), (*attempt).stalled)
	c.next()
	return true
}

// waits says that no further hop is tried now: the call is over or answered, or one of its attempts is at work and not overdue. Otherwise the attempt that is left
// stands aside for the next one.
func (c *call) waits() bool {
	if c.ended || c.b != nil {
		return c.overlaps()
	}
	left := c.rival(nil)
	switch {
	case left == nil:
		c.beside = nil
		return false
	case c.rival(left) != nil:
		return true
	case c.overlaps() && left.overdue && !c.spoke:
		c.beside = left
		return false
	}
	c.cur, c.beside = left, nil
	return true
}

// resumes goes back to the attempt that stood aside, when no further hop takes the call. False: there is none, and nothing is left to wait for.
func (c *call) resumes() bool {
	t := c.beside
	if c.beside = nil; t.live() {
		c.cur = t
		return true
	}
	if c.spoke {
		c.refuseWith(upstream(c.best), "failed", byB, c.bestWhy, nil)
		return true
	}
	return false
}

// heeds takes a user's answer that ends the walk. While another attempt gave a sign of life, that one may still win: the answer is kept for the end. RFC 3261 section
// 16.7: a 6xx is for all of them.
func (c *call) heeds(status int, rs []reason) bool {
	o := c.rival(nil)
	if o == nil || !o.alive || status >= 600 {
		return false
	}
	c.remember(status, rs)
	c.spoke, c.cur, c.beside = true, o, nil
	return true
}

// overtake ends the attempts that the answered one, which is current, was faster than. RFC 3261 section 16.7: CANCEL, which waits for a provisional response.
func (c *call) overtake(res *msg.Response) {
	if o := c.beside; o.live() {
		c.ids.b, _ = header.Session(value(res, "session-id")) // what was known may have been the other's
		o.withdraw("overtaken")
	}
	c.beside, c.inForce = nil, nil
}

// withdraw ends every attempt of the call: somebody else has it.
func (c *call) withdraw(word string) {
	for o := c.rival(nil); o != nil; o = c.rival(nil) {
		o.withdraw(word)
	}
	c.cur, c.beside = nil, nil
}

func (t *attempt) withdraw(word string) {
	t.c.tried[t.record].TookMS = ms(time.Since(t.sent))
	t.result(word)
	t.outcome(t.alive, false, 0, word, t.alive)
	t.abandon([]reason{{"SIP", 200, "call completed elsewhere"}}) // RFC 3326 section 3.1
}

// desert gives up what can still win of a call that ends without an answer.
func (c *call) desert(rs []reason) {
	if !c.overlaps() || c.b != nil {
		return
	}
	for o := c.rival(nil); o != nil; o = c.rival(nil) {
		o.abandon(rs)
	}
}

// facing is the attempt that the caller's requests go to before the answer: whose media is in force, else the one that was heard of last.
func (c *call) facing() *attempt {
	if c.inForce != nil {
		return c.inForce
	}
	return c.cur
}

// branchOff asks media for the offer toward a hop that may have another one beside it.
func (t *attempt) branchOff(s *media.Session, sdp []byte, leg media.Leg) {
	c := t.c
	t.narrow, c.spoken = c.spoken, false
	c.sh.e.off(func() {
		b, out, err := s.Branch(sdp, leg)
		c.sh.loop.Post(func() {
			if t.branch = b; t.forgotten {
				t.vacate()
			}
			t.offered(out, err)
		})
	})
}

// unheard says that early media of this attempt is not for the caller: another one's is in force.
func (t *attempt) unheard() bool { return t.branch != nil && t.c.inForce != nil && t.c.inForce != t }

// sit puts the media of this attempt in force.
func (t *attempt) sit() {
	if t.branch != nil && t.c.inForce != t {
		t.branch.Take()
		t.c.inForce, t.c.early = t, nil
	}
}

// vacate gives the media of an attempt back that has lost.
func (t *attempt) vacate() {
	if t.branch == nil {
		return
	}
	if t.c.inForce == t {
		t.c.inForce, t.c.early = nil, nil
	}
	t.c.sh.e.off(t.branch.Drop)
}
