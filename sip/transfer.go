package sip

import (
	"context"
	"strings"
	"time"

	"github.com/cordonsip/cordon/audit"
	"github.com/cordonsip/cordon/healthcheck"
	"github.com/cordonsip/cordon/media"
	"github.com/cordonsip/cordon/routing"
	"github.com/cordonsip/cordon/sip/header"
	"github.com/cordonsip/cordon/sip/transaction"
	"github.com/cordonsip/cordon/sovereign"
	msg "github.com/emiago/sipgo/sip"
)

// transfer puts another far end in the place of one leg of a call, because the peer of that leg asked for it by REFER. The new leg is found by a walk over
// the hops of a plan of its own: a call without a caller, whose answer comes here.
type transfer struct {
	c        *call
	by, stay *leg     // who asked, and who stays
	walk     *call    // nil until it is planned
	joins    *joining // the new far end called us; nil when we call it
	brings   *brought // it comes out of another call; nil else
	lends    *brought // this call gives it to another one; nil else
	swap     *media.Replacement
	asked    *transaction.Server // a REFER that waits for the other side's word
	sub      *subscription       // nil: nobody wants to hear of it
	referrer string              // user that Referred-By names
	replaces string              // value of Replaces for the new INVITE
	rec      audit.Transfer
	busy     int      // how often the exchange of a session description was in the way
	seating  bool     // media puts the new far end in force right now
	gone     []reason // why the walk ended meanwhile
	over     bool
	escapes  bool // nobody asked: the place of the leg was closed
}

// moving is what a leg knows of transfers.
type moving struct {
	session  [2]string     // Session-IDs of both ends when it left, RFC 7989
	known    string        // the user that it was called by, when it came by a transfer
	sub      *subscription // of a REFER of the peer; nil without one
	passed   []*relayed    // REFERs that were sent on to the peer
	refers   int32         // REFERs that made a subscription
	parted   bool          // it left the call by a transfer, and its peer is being told
	replaces bool          // the peer knows Replaces
}

func newTransfer(l, stay *leg, req *msg.Request) *transfer {
	t := &transfer{c: l.c, by: l, stay: stay, referrer: referrerOf(req)}
	t.rec = audit.Transfer{T: time.Now(), By: sideName(l.side), Party: l.party.Name, How: "refer", Attempts: []audit.Attempt{}}
	l.c.moving = t
	return t
}

func sideName(s media.Side) string {
	if s == media.A {
		return byA
	}
	return byB
}

// begin finds the way. Whoever is named by Replaces is reached where its dialog is; everybody else by a plan.
func (t *transfer) begin(tx *transaction.Server, req *msg.Request, to referTo) {
	sh := t.c.sh
	if to.replaces == nil {
		t.accept(tx, req, t.ask(to.user, to.domain, to.sips), nil)
		return
	}
	t.rec.How = "refer_replaces"
	sh.farOf(*to.replaces, t.by.party.Name, func(f *far) {
		switch {
		case t.over: // RFC 3261 section 15.1.2: what is open when the dialog ends
			sh.answer(tx, 487)
		case f == nil:
			t.refuse(tx, 603, "failed", reason{"SIP", 481, "the call to be replaced is not known here"})
		case f.c == t.c:
			t.refuse(tx, 603, "failed", reason{"SIP", 481, "the call to be replaced is this one"})
		case f.bound:
			t.refuse(tx, 603, "failed", reason{"SIP", 603, "the call to be replaced is not transferred"})
		case !f.knows || !f.ours:
			t.bring(tx, req, f)
		default:
			t.accept(tx, req, t.ask(f.called, "", to.sips), f)
		}
	})
}

// ask is what the new call is asked for: it is placed for who stays, to whom the transferor wants it connected.
func (t *transfer) ask(called, domain string, sips bool) *ask {
	c := t.c
	a := &ask{user: c.ask.called, said: &nothing}
	switch {
	case t.stay.known != "":
		a.user = t.stay.known // it came by a transfer itself
	case t.stay.side == media.A:
		n := *c.ask
		a = &n
	}
	a.called, a.domain, a.sips, a.service, a.hops = called, domain, sips, "", 70
	a.sdp, a.keys, a.session, a.require = []byte{}, t.stay.party.Keys, "", false
	a.callID, a.purpose, a.drill = c.ask.callID, c.plan.Purpose, c.plan.Drill
	return a
}

// plan judges the new call like any other. A caller of a trunk may be put through to a group; only a group may have somebody put through to a trunk, because
// that is a call that it could make itself. Where both fit, the longer number prefix decides, and a route without one is the way out.
func (t *transfer) plan(a *ask) (routing.Plan, *Party) {
	trunk, group := t.by.party, t.stay.party
	if trunk.Kind != sovereign.KindTrunk {
		trunk, group = group, trunk
	}
	ask := func(p *Party) routing.Plan { return t.c.sh.e.c.Planner.Plan(a.request(p.Name, time.Now())) }
	var in, out routing.Plan
	if trunk.Kind == sovereign.KindTrunk {
		in = ask(trunk)
	}
	if t.by.party.Kind == sovereign.KindGroup {
		out = ask(t.by.party)
	}
	if in.Route != "" && (out.Route == "" || in.Matched > 0 && in.Matched >= out.Matched) {
		return in, trunk
	}
	if out.Route == "" && t.by.party.Kind != sovereign.KindGroup {
		return in, group
	}
	return out, t.by.party
}

// accept judges the way and answers the REFER: 202, or a refusal that says why nobody can be called.
func (t *transfer) accept(tx *transaction.Server, req *msg.Request, a *ask, f *far) {
	plan, from := routing.Plan{}, t.stay.party
	if f != nil {
		plan = t.planTo(f)
		t.replaces = f.names.header().Value()
	} else {
		plan, from = t.plan(a)
	}
	t.rec.Route, t.rec.PolicyDigest, t.rec.Generation = plan.Route, plan.Digest, plan.Generation
	switch {
	case plan.Purpose == sovereign.EmergencyCall:
		// A call for help is made by who needs it, over the trunk of its own country; nobody is sent there by another.
		t.refuse(tx, 603, "failed", reason{"SIP", 603, "emergency numbers are dialled and not referred to"})
		return
	case len(plan.Hops) == 0:
		t.leftOut(plan)
		t.nowhere(tx, plan)
		return
	}
	t.rec.From = from.Name
	t.answer(tx, req)
	t.begun(a, plan)
}

// begun walks the hops of a plan for who stays.
func (t *transfer) begun(a *ask, plan routing.Plan) {
	c := t.c
	t.walk = newCall(c.sh, t.stay.party, a, plan)
	t.walk.via, t.walk.ids.a, t.walk.logDown = t, c.sessionOf(t.stay.side), c.logDown
	t.recordable(func() {
		c.sh.calls[t.walk] = struct{}{}
		t.walk.setup = c.sh.loop.After(c.within(t.by.party.Within.Setup, 30*time.Second), func() {
			if t.walk != nil {
				t.walk.hangup(byEdge, reason{"SIP", 408, "set-up took too long"})
			}
		})
		t.walk.next()
	})
}

// planTo is the plan for a far end that is in a call already: its own address, judged again when it is called.
func (t *transfer) planTo(f *far) routing.Plan {
	p := t.c.plan
	p.Hops, p.Refused, p.Held, p.Route = nil, nil, false, f.route
	target := healthcheck.Target{Party: f.party, Name: f.name, Transport: healthcheck.Transport(f.proto), Addr: f.addr}
	target.Member = memberOf(f.target)
	p.Hops = []routing.Hop{{Party: f.party, Target: target, Ruling: t.pairJudged(f), Grant: f.grant, Drill: p.Drill, Reason: routing.ReasonPrimary, URI: f.called}}
	return p
}

// recordable goes on when the log can be written: what cannot be recorded is not put through.
func (t *transfer) recordable(then func()) {
	e := t.c.sh.e
	e.off(func() {
		down := !e.c.Log.Health().OK
		t.c.sh.loop.Post(func() {
			switch {
			case t.over:
			case down && e.c.OnLogFailure != continueWithGap:
				t.failed(t.c.holdStatus(), "refused", []reason{{"SIP", t.c.holdStatus(), "calls cannot be recorded now"}})
			default:
				if t.walk != nil {
					t.walk.logDown = down
				}
				then()
			}
		})
	})
}

// answer accepts the REFER. RFC 3515 section 2.4.2: 202 and a NOTIFY at once; RFC 4488 section 4: 200 without a subscription.
func (t *transfer) answer(tx *transaction.Server, req *msg.Request) {
	sh := t.c.sh
	if !wantsSubscription(req) {
		sh.answer(tx, 200, t.by.contact(), msg.NewHeader("Refer-Sub", "false"))
		return
	}
	sh.answer(tx, 202, t.by.contact())
	t.sub = t.by.subscribe(req.CSeq().SeqNo)
	t.sub.tell(100)
}

// nowhere refuses a REFER whose target no hop leads to. 404 and 480 would end the dialog that they are sent in (RFC 5057 section 5.1), so they are reasons of a
// 603.
func (t *transfer) nowhere(tx *transaction.Server, plan routing.Plan) {
	gated := false
	for _, r := range plan.Refused {
		gated = gated || r.Ruling.Verdict == sovereign.Hold
	}
	status := 403
	if plan.OnHold.Status == 603 {
		status = 603
	}
	switch {
	case plan.Held && gated:
		t.refuse(tx, status, "held", reason{"SIP", 403, "route held for approval"})
	case plan.Held:
		t.refuse(tx, status, "refused", reason{"SIP", 403, "refused by policy"})
	case plan.Route == "":
		t.refuse(tx, 603, "failed", reason{"SIP", 404, "no route to that number"})
	default:
		t.refuse(tx, 603, "failed", reason{"SIP", 480, "no target can take the call"})
	}
}

// refuse answers a REFER that is not taken.
func (t *transfer) refuse(tx *transaction.Server, status int, result string, r reason) {
	hs := []msg.Header{r.header()}
	if ref := t.c.ref.Load(); ref != nil && (result == "held" || result == "refused") {
		hs = append(hs, msg.NewHeader(receiptHeader, *ref))
	}
	t.c.sh.answer(tx, status, hs...)
	t.end(status, result)
}

// leftOut notes what the plan refused.
func (t *transfer) leftOut(plan routing.Plan) {
	for _, x := range plan.Refused {
		t.rec.Attempts = append(t.rec.Attempts, refusedAttempt(x))
	}
}

// end writes the transfer down, in the call and in the log.
func (t *transfer) end(status int, result string) {
	if t.over {
		return
	}
	t.over = true
	if t.brings != nil {
		t.brings.off.Store(true)
	}
	c := t.c
	t.rec.SIPFinal, t.rec.Result, t.rec.TookMS = status, result, ms(time.Since(t.rec.T))
	if w := t.walk; w != nil {
		t.rec.Attempts = append(t.rec.Attempts, w.attempts([]audit.Attempt{})...)
		t.rec.GateDecision = w.grant
		w.ended = true
		stopTimer(&w.setup)
		for _, p := range w.taken { // empty when its leg came into the call
			c.sh.e.partyLoad(p).Add(-1)
		}
		w.taken = nil
		delete(c.sh.calls, w)
	}
	if c.moving == t {
		c.moving = nil
	}
	if len(c.transfers) < maxTransfers {
		c.transfers = append(c.transfers, t.rec)
	}
	c.sh.e.metrics.transfers.WithLabelValues(result).Inc()
	ref := c.ref.Load()
	if ref == nil {
		return
	}
	e, ev, session := c.sh.e, audit.CallTransferred{CallRef: *ref, Transfer: t.rec}, c.session()
	e.off(func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(e.base), finality)
		defer cancel()
		if _, err := e.c.Log.Append(ctx, ev); err != nil {
			e.log.Warn("a transfer could not be logged; the receipt will tell of it", "call", ev.CallRef, "session", session, "error", err)
		}
	})
}

// maxTransfers bounds what one call can write into its receipt.
const maxTransfers = 32

// offer asks media for the offer toward a hop: what the side that stays has agreed to, from fresh sockets under fresh keys.
func (t *transfer) offer(at *attempt, leg media.Leg) {
	s, side, old, loop := t.c.media.Load(), t.by.side, t.swap, t.c.sh.loop
	t.swap, t.walk.early = nil, nil
	t.c.sh.e.off(func() {
		if old != nil {
			old.Drop()
		}
		r, out, err := s.Replace(side, leg)
		loop.Post(func() {
			if r != nil && (t.over || at.dead) {
				t.c.sh.e.off(r.Drop)
			} else {
				t.swap = r
			}
			at.offered(out, err)
		})
	})
}

// hear takes the answer of a hop, early or final: its address is judged, and nothing is sent there yet. Early media would silence the call that goes on.
func (t *transfer) hear(sdp []byte) ([]byte, error) {
	if t.swap == nil {
		return nil, &media.Refusal{Status: 500, Warning: 399, Text: "media failure"}
	}
	return sdp, t.swap.Hear(sdp)
}

// connected is the answer of the target: as soon as no other session description is on its way, its media takes the place of the transferor's.
func (t *transfer) connected() {
	w := t.walk
	stopTimer(&w.setup)
	if t.open() && t.busy < 100 {
		t.busy++
		t.c.sh.loop.After(100*time.Millisecond, func() {
			if !t.over {
				t.connected()
			}
		})
		return
	}
	swap, loop := t.swap, t.c.sh.loop
	t.seating = true
	t.c.sh.e.off(func() {
		p, err := swap.Commit()
		loop.Post(func() { t.patched(p, err) })
	})
}

// open says whether a session description is on its way on either side of the call.
func (t *transfer) open() bool {
	for _, l := range []*leg{t.by, t.stay} {
		if !l.ended && (l.in != nil || l.out != nil || l.waiting != nil) {
			return true
		}
	}
	return false
}

// patched takes the new leg into the call: the transferor hears of it and is let go, who stays is asked only when something changed for it.
func (t *transfer) patched(p media.Patch, err error) {
	l := t.walk.b
	t.seating = false
	if t.over || t.c.ended || err != nil {
		l.bye([]reason{{"SIP", 487, "the call that it was for is over"}})
		l.entomb()
		if !t.over {
			t.failed(500, "failed", []reason{{"SIP", 500, "media failure"}})
		}
		return
	}
	sub := t.sub
	t.c.seat(l, t.by, t.walk.taken, t.walk.ids.b)
	t.walk.taken = nil
	l.known = t.walk.ask.called
	t.end(200, "answered")
	l.timing.start(l)
	by := t.by
	sub.finish(func() { by.part([]reason{{"SIP", 200, "transferred"}}) }, 200)
	switch {
	case t.gone != nil: // it answered and hung up before its media was in force
		t.c.hangup(sideName(l.side), t.gone...)
	case p.Offer != nil:
		t.c.retell(t.stay, t.swap, p.Offer)
	}
	t.c.save()
}

// seat puts a leg in the place of another one, which leaves the call but not yet its peer. taken are the parties that the leg counts in, session is the
// Session-ID of its peer.
func (c *call) seat(l, old *leg, taken []string, session string) {
	var r audit.ReceiptHop
	signallingHop(&r, nil, sideName(old.side), old)
	r.Until = time.Now()
	c.former = append(c.former, formerLeg{r, old.ruling})
	if len(c.moves) < maxMoves {
		c.moves = append(c.moves, audit.Move{
			T: r.Until, Plane: "signalling", From: old.flow.Remote().String(), To: l.flow.Remote().String(), Cause: "refer", Allowed: true, Ground: string(l.ruling.Ground),
		})
	}
	for i, p := range c.taken {
		if p == old.party.Name {
			c.taken = append(c.taken[:i], c.taken[i+1:]...)
			c.sh.e.partyLoad(p).Add(-1)
			break
		}
	}
	c.taken = append(c.taken, taken...)
	old.parted, old.session = true, [2]string{c.ids.a, c.ids.b}
	c.sh.parted[old] = struct{}{}
	old.timing.stop()
	l.c, l.side = c, old.side
	if l.side == media.A {
		c.a, c.ids.a = l, session
	} else {
		c.b, c.ids.b = l, session
	}
	c.setState("up")
}

// part ends a leg that left the call, once.
func (l *leg) part(rs []reason) {
	sh := l.c.sh
	if _, waits := sh.parted[l]; !waits {
		return
	}
	delete(sh.parted, l)
	if !l.ended {
		l.bye(rs)
	}
	l.entomb()
}

// failed ends a transfer that reached nobody: the transferor hears why, and its leg stays.
func (t *transfer) failed(status int, result string, rs []reason) {
	hs := reasonHeaders(rs)
	if ref := t.c.ref.Load(); ref != nil && (result == "held" || result == "refused") {
		hs = append(hs, msg.NewHeader(receiptHeader, *ref))
	}
	if t.c.ended {
		result = "cancelled"
	}
	if w := t.walk; w != nil && w.b != nil { // it had answered
		w.b.bye(rs)
		w.b.entomb()
	}
	t.end(status, result)
	if swap := t.swap; swap != nil {
		t.c.sh.e.off(swap.Drop)
	}
	t.sub.finish(func() {}, status, hs...)
	switch {
	case !t.by.ended || t.c.ended:
	case t.escapes:
		t.c.endStruck()
		t.c.hangup(byEdge, rs...)
	default: // the transferor did not wait: nobody is left to talk to
		t.c.hangup(sideName(t.by.side), rs...)
	}
}

// abort ends a transfer whose call ended.
func (t *transfer) abort() {
	why := reason{"SIP", 487, "the call that it was for is over"}
	switch {
	case t.lends != nil:
		t.lent()
		return
	case t.brings != nil:
		t.failed(487, "cancelled", []reason{why})
		return
	case t.joins != nil && t.joins.l.sent != nil:
		t.lost(why)
		return
	case t.joins != nil:
		t.turnedAway(487, "cancelled")
		return
	case t.walk == nil:
		if t.asked != nil { // RFC 3261 section 15.1.2: what is open when the dialog ends
			t.c.sh.answer(t.asked, 487)
		}
		t.end(487, "cancelled")
		return
	}
	t.walk.hangup(byEdge, why)
}

// sessionOf is the Session-ID of the end on one side.
func (c *call) sessionOf(side media.Side) string {
	if side == media.A {
		return c.ids.a
	}
	return c.ids.b
}

// retell asks who stays for a change that the new far end needs: the end of a hold, or fewer formats. Its refusal leaves the session as it is.
func (c *call) retell(l *leg, swap *media.Replacement, sdp []byte) {
	if c.ended || l.ended {
		return
	}
	again := func(d time.Duration) { c.sh.loop.After(d, func() { c.retell(l, swap, sdp) }) }
	if l.in != nil || l.out != nil || l.waiting != nil {
		again(200 * time.Millisecond)
		return
	}
	req := l.build(msg.INVITE)
	setSDP(req, sdp)
	l.out = l.send(req, func(res *msg.Response, err error) {
		if err == nil && res.IsSuccess() {
			l.settle(res.CSeq().SeqNo, nil)
		}
		switch {
		case c.ended || l.ended:
		case err != nil, res.StatusCode == 408, res.StatusCode == 481:
			c.gone(l, 408)
		case res.StatusCode == 491: // RFC 3261 section 14.1
			again(l.glare())
		case !res.IsSuccess():
			c.media.Load().Rollback()
		default:
			_ = l.dlg.Refresh(res)
			answer, _ := bodySDP(res)
			l.sent, l.taken = sdp, answer
			if err := swap.Settle(answer); err != nil {
				m := asRefusal(err)
				c.hangup(byEdge, reason{"SIP", m.Status, header.Harmless(m.Text)})
			}
			c.save()
		}
	})
}

// referrerOf is the user that Referred-By names, RFC 3892; its host stays where it is.
func referrerOf(req *msg.Request) string {
	v := value(req, "referred-by")
	if v == "" {
		v = value(req, "b")
	}
	var u msg.Uri
	if v == "" {
		return ""
	}
	if _, err := msg.ParseAddressValue(strings.TrimSpace(v), &u, nil); err != nil || !userChars(u.User) || len(u.User) > 256 {
		return ""
	}
	return u.User
}

// dress puts on the INVITE to a hop what its caller said of itself, and what only a transfer has: who asked for it, inside the trust domain alone, and the dialog that it is to replace.
func (t *transfer) dress(req *msg.Request, l *leg, host string) {
	to := l.party
	said := t.walk.ask.said
	said.carry(req, t.stay, l, host)
	if t.referrer != "" && t.by.party.Trusted && to.Trusted {
		u := msg.Uri{Scheme: "sip", User: t.referrer, Host: host}
		req.AppendHeader(msg.NewHeader("Referred-By", "<"+u.String()+">"))
	}
	if t.replaces != "" {
		req.AppendHeader(msg.NewHeader("Replaces", t.replaces))
		req.AppendHeader(msg.NewHeader("Require", "replaces"))
	}
}

// progress tells the transferor that the target rings.
func (t *transfer) progress(status int) { t.sub.tell(status) }

// memberOf is the member in what health calls a target.
func memberOf(target string) string {
	f := strings.Split(target, "/")
	if len(f) < 2 {
		return ""
	}
	return f[1]
}

// leaves says whether this leg's BYE ends only the leg: its peer asked for a transfer and does not wait for the outcome, or is being replaced. RFC 5589
// section 6.1.
func (l *leg) leaves() bool {
	t := l.c.moving
	if t == nil || t.by != l || t.walk == nil && t.joins == nil && t.brings == nil && t.lends == nil {
		return false
	}
	t.sub.close()
	l.timing.stop()
	return true
}

// last is what the peer of a leg that left the call may still say; false: nothing that is known here.
func (l *leg) last(tx *transaction.Server, req *msg.Request) bool {
	switch req.Method {
	case msg.BYE:
		l.ended = true
		l.c.sh.answer(tx, 200)
	case msg.SUBSCRIBE:
		l.subscribed(tx, req)
	default:
		return false
	}
	return true
}

// meanwhile answers what cannot be done while the transferor is gone and its successor not yet there.
func (l *leg) meanwhile(tx *transaction.Server, req *msg.Request) bool {
	t := l.c.moving
	joined := t != nil && t.joining() && (req.Method == msg.INVITE || req.Method == msg.UPDATE)
	if t == nil || !joined && (t.stay != l || !t.by.ended) || req.Method == msg.BYE || req.Method == msg.OPTIONS {
		return false
	}
	if req.Method == msg.UPDATE && len(req.Body()) == 0 {
		return false
	}
	if req.Method == msg.INVITE {
		l.c.sh.answer(tx, 491)
	} else {
		l.c.sh.answer(tx, 500, msg.NewHeader("Retry-After", "1"))
	}
	return true
}
