package sip

import (
	"time"

	"github.com/cordonsip/cordon/audit"
	"github.com/cordonsip/cordon/sovereign"
	msg "github.com/emiago/sipgo/sip"
)

// What becomes of running calls when the law, or a person, closes the place of one of their legs. The fence has the rule: it gives the passes of a running session
// a leave, for a last word or for the rest of the call, and none to anything new. Here the call uses it: it ends while its BYE may still be sent, goes on with
// another far end, or finishes.

// sweepEvery is how soon a call ends whose way was closed without a new policy: a ruling that ran out. A grant or a leave that ends by its clock ends its calls
// lastWords before, so that their BYE and its answer cross while they may; a stream is closed half a second before the end.
const (
	sweepEvery = 500 * time.Millisecond
	lastWords  = 1500 * time.Millisecond
)

// lookAgain has every loop look at its calls: another snapshot is in force.
func (e *Edge) lookAgain(*sovereign.Snapshot) {
	for _, s := range e.shards {
		s.loop.Post(s.look)
	}
}

// sweep looks once per beat.
func (s *shard) sweep() {
	s.look()
	if len(s.owed) > 0 {
		s.settleOwed()
	}
	s.loop.After(sweepEvery, s.sweep)
}

// look ends the calls whose passes died, or are about to, without a lock.
func (s *shard) look() {
	now := time.Now()
	says := fenceAt(now)
	for c := range s.calls {
		c.noteStruck(now, says)
		if c.reroutes(now, says) {
			continue
		}
		if c.fenced(now, says) {
			c.endStruck()
			c.denied = true
			c.hangup(byEdge, reason{"SIP", 403, "the policy ended this call"})
			continue
		}
		for _, t := range [...]*attempt{c.cur, c.beside} {
			if t.fenced(says) {
				c.held = true
				t.give("fenced", reason{"SIP", 403, "the policy closed this way"})
			}
		}
	}
}

// says is what a policy rules of the way of a leg: that of the fence, or one that nobody put in force. Nil: the leg needs no pass.
type says func(*leg) *sovereign.Ruling

// fenceAt asks the fence.
func fenceAt(now time.Time) says {
	return func(l *leg) *sovereign.Ruling {
		p := l.flow.Pass()
		if p == nil {
			return nil
		}
		p.Live(now) // judges again where that is due
		r := p.Ruled()
		if r.Ground != sovereign.GroundRunning || l.c.plan.Route == "" {
			return r
		}
		a := p.Ask() // the fence keeps the longest leave of all routes: the call ends by its own
		a.At, a.Route = now, l.c.plan.Route
		return l.c.sh.e.c.Fence.Snapshot().Ruled(a)
	}
}

// closes says that nothing may be sent any more, leaves that what was running has leave to end in order.
func closes(r *sovereign.Ruling) bool { return r != nil && !r.Permitted() }

func leaves(r *sovereign.Ruling) bool {
	return r != nil && r.Permitted() && r.Ground == sovereign.GroundRunning
}

// fenced says whether a pass that this call's legs rest on has died, or is about to. A call that nobody answered yet is no running one: it has no leave.
func (c *call) fenced(now time.Time, of says) bool {
	for _, l := range [...]*leg{c.a, c.b} {
		if l == nil || l.ended {
			continue
		}
		if r := of(l); closes(r) || ending(r, now) || !c.answered && leaves(r) {
			return true
		}
	}
	return false
}

// fenced says whether an INVITE that nobody answered yet is under way where nothing may go any more.
func (t *attempt) fenced(of says) bool {
	if t == nil || t.c.b != nil || t.done || t.dead || t.sent.IsZero() {
		return false
	}
	r := of(t.leg)
	return closes(r) || leaves(r)
}

// ending says that a ruling rests on a grant or a leave whose end is so near that the BYE must go now: after it nothing may.
func ending(r *sovereign.Ruling, now time.Time) bool {
	return r != nil && (r.Ground == sovereign.GroundGrant || r.Ground == sovereign.GroundRunning) && !r.Until.IsZero() && r.Until.Sub(now) < lastWords
}

// closed says that nothing may be sent on this leg any more.
func (l *leg) closed(now time.Time) bool { return closes(fenceAt(now)(l)) }

// leaving says that this leg's place is closed and that the leg has leave to end in order.
func (l *leg) leaving(now time.Time) bool { return leaves(fenceAt(now)(l)) }

// finishing says whether a request of a held source is of the dialog of a leg that has leave: nothing else is taken from there.
func (s *shard) finishing(req *msg.Request, id string) bool {
	if req.To() == nil {
		return false
	}
	l := s.leg(legKey{id, req.To().Params.GetOr("tag", "")})
	return l != nil && l.leaving(time.Now())
}

// struck is what a call notes of the legs whose place was closed while it was up.
type struck struct{ list []audit.Struck }

// record is that, for the receipt.
func (s *struck) record() []audit.Struck {
	if s == nil {
		return nil
	}
	return s.list
}

// maxStruck bounds what a call notes of it: each leg may be struck, and its successor.
const maxStruck = 16

// noteStruck notes for the receipt which legs of the call lost their place while it was up.
func (c *call) noteStruck(now time.Time, of says) {
	for _, l := range [...]*leg{c.a, c.b} {
		if l == nil || l.ended || l.struck || !c.answered || len(c.struck.record()) >= maxStruck {
			continue
		}
		r := of(l)
		if r == nil || r.Permitted() && r.Ground != sovereign.GroundRunning {
			continue
		}
		x := audit.Struck{T: now, Leg: sideName(l.side), Party: l.party.Name, Cause: string(r.Ground), How: "ended"}
		if r.Permitted() {
			x.Cause, x.Until, x.How = r.Instrument, r.Until, "finished"
		}
		l.struck = true
		if c.struck == nil {
			c.struck = &struck{}
		}
		c.struck.list = append(c.struck.list, x)
	}
}

// endStruck notes that the law ended the call, and not its ends.
func (c *call) endStruck() {
	list := c.struck.record()
	for i := range list {
		if list[i].How == "finished" || c.moving != nil && c.moving.escapes || c.b != nil && c.b.ended {
			list[i].How = "ended"
		}
	}
}

// reroutes says whether the call goes on without its callee's leg, whose place was closed: it is being put through to another far end, or that begins now. The
// caller keeps its leg; where there is no other way the call ends.
func (c *call) reroutes(now time.Time, of says) bool {
	if c.moving != nil && c.moving.escapes {
		r := of(c.a)
		return !closes(r) && !ending(r, now)
	}
	l := c.b
	if !c.escapes(of) {
		return false
	}
	list := c.struck.record()
	for i := range list {
		if list[i].Leg == byB && list[i].How == "finished" {
			list[i].How = "rerouted"
		}
	}
	c.escape(l)
	return true
}

// escapes says that the callee's leg has to go, that its rule is to look for another far end, and that the caller's leg may stay.
func (c *call) escapes(of says) bool {
	l := c.b
	if l == nil || l.ended || c.a == nil || !c.confirmed || c.synth != nil || c.moving != nil || !l.party.reroutes(c.plan.Route) || !leaves(of(l)) {
		return false
	}
	near := of(c.a)
	return !closes(near) && !leaves(near)
}

// escape ends a leg and looks for another far end in its place, by a plan of its own: RFC 3261 section 14 moves the caller's media where it must change.
func (c *call) escape(l *leg) {
	t := &transfer{c: c, by: l, stay: c.a, escapes: true}
	t.rec = audit.Transfer{T: time.Now(), By: byEdge, Party: l.party.Name, How: "reroute", Attempts: []audit.Attempt{}}
	c.moving = t
	l.bye([]reason{{"SIP", 403, "the policy ended this leg"}})
	a := t.ask(c.ask.called, c.ask.domain, c.ask.sips)
	plan := c.sh.e.c.Planner.Plan(a.request(c.party.Name, time.Now()))
	t.rec.Route, t.rec.PolicyDigest, t.rec.Generation, t.rec.From = plan.Route, plan.Digest, plan.Generation, c.party.Name
	if len(plan.Hops) == 0 || plan.Purpose == sovereign.EmergencyCall {
		t.leftOut(plan)
		t.failed(403, "refused", []reason{{"SIP", 403, "the policy ended this call"}})
		return
	}
	t.begun(a, plan)
}

// displaced ends a call whose media go where evidence says that they must not, as one ends whose signalling does: nothing is heard there any more. side is byA or
// byB. A call for help is never held, so none comes here.
func (c *call) displaced(side string) {
	l := c.a
	if side == byB {
		l = c.b
	}
	if l == nil || l.ended || c.ended {
		return
	}
	if c.answered && !l.struck && len(c.struck.record()) < maxStruck {
		l.struck = true
		if c.struck == nil {
			c.struck = &struck{}
		}
		c.struck.list = append(c.struck.list, audit.Struck{T: time.Now(), Leg: side, Party: l.party.Name, Cause: string(sovereign.GroundContradicted), How: "ended"})
	}
	c.hangup(byEdge, reason{"SIP", 403, "the policy ended this call"})
}
