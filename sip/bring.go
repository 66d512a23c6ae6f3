package sip

import (
	"sync/atomic"
	"time"

	"github.com/cordonsip/cordon/audit"
	"github.com/cordonsip/cordon/media"
	"github.com/cordonsip/cordon/routing"
	"github.com/cordonsip/cordon/sip/transaction"
	"github.com/cordonsip/cordon/sovereign"
	msg "github.com/emiago/sipgo/sip"
)

// An attended transfer whose new far end cannot be sent an INVITE with Replaces, because it called us or does not know the word, is joined here: its leg comes out of
// the call that it has with the transferor into the one that stays. It is asked for that by a re-INVITE in its own dialog, as a controller would (RFC 3725 section
// 4); nobody new is called, and both the way to it and where its media stands are judged again.
//
// Two calls on two loops take part. Each step runs on the loop of the call that it changes, and posts the next one.

// brought is the leg that goes over.
type brought struct {
	l        *leg
	into     *transfer // on the loop of the call that it comes into
	home, to *shard    // loops of the call that it leaves, and of that one
	offer    []byte    // for it
	seq      uint32    // CSeq of its 2xx, whose ACK waits for its media; on the loop of its leg
	tries    int
	off      atomic.Bool // that transfer is over
}

// bring judges the far end and accepts the REFER, or says why not.
func (t *transfer) bring(tx *transaction.Server, req *msg.Request, f *far) {
	plan := t.planTo(f)
	h := plan.Hops[0]
	if !h.Ruling.Permitted() {
		plan.Hops, plan.Held = nil, true
		plan.Refused = []routing.Refused{{Party: f.party, Target: f.target, Ruling: h.Ruling, Ground: h.Ruling.Ground}}
		t.leftOut(plan)
		t.nowhere(tx, plan)
		return
	}
	t.rec.Route, t.rec.PolicyDigest, t.rec.Generation, t.rec.From = plan.Route, plan.Digest, plan.Generation, t.stay.party.Name
	t.rec.Attempts = append(t.rec.Attempts, audit.Attempt{
		Party: f.party, Target: f.name, Region: h.Ruling.Region.String(), Country: string(h.Ruling.Country), Verdict: h.Ruling.Verdict.String(),
		Ground: string(h.Ruling.Ground), At: time.Now(),
	})
	t.answer(tx, req)
	t.brings = &brought{l: f.l, into: t, home: f.home, to: t.c.sh}
	t.recordable(func() { t.adopt(f) })
}

// adopt asks media for the offer.
func (t *transfer) adopt(f *far) {
	s, side, b := t.c.media.Load(), t.by.side, t.brings
	t.c.sh.e.off(func() {
		var swap *media.Replacement
		var out []byte
		var err error = &media.Refusal{Status: 488, Warning: 399, Text: "nothing is agreed with the far end of that call"}
		if o, ok := f.session.Origin(f.side); ok {
			swap, out, err = s.Adopt(side, f.media, o)
		}
		b.to.loop.Post(func() {
			switch {
			case t.over && swap != nil:
				t.c.sh.e.off(swap.Drop)
			case t.over:
			case err != nil:
				r := asRefusal(err)
				t.failed(r.Status, refusedOr(r), []reason{{"SIP", r.Status, "media"}})
			default:
				t.swap, b.offer = swap, out
				b.home.loop.Post(b.ask)
			}
		})
	})
}

// refusedOr is the word for a refusal of media in records.
func refusedOr(r *media.Refusal) string {
	if r.Status == 403 {
		return "refused"
	}
	return "failed"
}

// ask sends the far end a re-INVITE with the offer of the call that it is to come into, as soon as nothing else is on its way in the one that it has.
func (b *brought) ask() {
	l := b.l
	y := l.c
	own := y.moving != nil && y.moving.lends == b
	switch {
	case b.off.Load():
		b.back(487)
		return
	case l.sub != nil || len(l.passed) > 0 || y.moving != nil && !own:
		b.back(491)
		return
	case y.ended || l.ended || l.parted || y.emergency() || y.synth != nil:
		b.back(481)
		return
	case l.in != nil || l.out != nil || l.waiting != nil || l.owed != 0:
		if b.tries++; b.tries > 100 {
			b.back(491)
			return
		}
		y.sh.loop.After(100*time.Millisecond, b.ask)
		return
	}
	if !own {
		y.moving = &transfer{c: y, by: l.other(), stay: l, lends: b}
	}
	req := l.build(msg.INVITE)
	setSDP(req, b.offer)
	l.out = l.send(req, b.asked)
}

// asked takes the answer of the far end.
func (b *brought) asked(res *msg.Response, err error) {
	l := b.l
	y := l.c
	success := err == nil && res.IsSuccess()
	if success {
		l.owed, b.seq = res.CSeq().SeqNo, res.CSeq().SeqNo
	}
	switch {
	case y.ended || l.ended:
		b.back(487)
	case success:
		_ = l.dlg.Refresh(res)
		answer, _ := bodySDP(res)
		l.sent, l.taken = b.offer, answer
		b.to.loop.Post(func() { b.into.agreed(answer) })
	case err == nil && res.StatusCode == 491 && b.tries < 100: // RFC 3261 section 14.1
		b.tries += 20
		y.sh.loop.After(l.glare(), b.ask)
	case err != nil, res.StatusCode == 408, res.StatusCode == 481:
		b.back(480)
		y.gone(l, 408)
	default:
		b.back(res.StatusCode)
	}
}

// ack acknowledges the 2xx of the far end, which may speak from then on: its media is in force, or never will be. A BYE has done it before.
func (b *brought) ack() {
	if b.seq != 0 && b.l.owed == b.seq {
		b.l.settle(b.seq, nil)
	}
}

// back leaves the far end in the call that it has, and ends the transfer.
func (b *brought) back(status int) {
	b.ack()
	y := b.l.c
	if m := y.moving; m != nil && m.lends == b {
		y.moving = nil
		if m.by.ended && !y.ended { // the transferor did not wait: nobody is left to talk to
			y.hangup(sideName(m.by.side), reason{"SIP", status, "the call was not joined"})
		}
	}
	b.to.loop.Post(func() {
		if t := b.into; !t.over {
			t.failed(status, "failed", []reason{{"SIP", status, "the far end of that call did not come over"}})
		}
	})
}

// strand ends the call of a far end that has gone over in its media and cannot come.
func (b *brought) strand(r reason) {
	b.home.loop.Post(func() {
		if y := b.l.c; !y.ended {
			y.hangup(byEdge, r)
		}
	})
}

// agreed goes on when the far end has answered: what it says of its media is judged before anything is sent there.
func (t *transfer) agreed(answer []byte) {
	b := t.brings
	if t.over {
		b.strand(reason{"SIP", 487, "the call that it was for is over"})
		return
	}
	if err := t.swap.Hear(answer); err != nil {
		r := asRefusal(err)
		rs := []reason{{"SIP", r.Status, "media refused"}}
		b.strand(rs[0])
		t.failed(r.Status, refusedOr(r), rs)
		return
	}
	t.fetch()
}

// fetch has the leg handed over once no other session description is on its way here.
func (t *transfer) fetch() {
	b := t.brings
	switch {
	case t.over:
		b.strand(reason{"SIP", 487, "the call that it was for is over"})
	case t.open() && t.busy < 100:
		t.busy++
		t.c.sh.loop.After(100*time.Millisecond, t.fetch)
	default:
		t.seating = true
		b.home.loop.Post(b.handOver)
	}
}

// handOver takes the leg out of the call that it has, which ends. From here on the leg belongs to the other loop, and so do its messages.
func (b *brought) handOver() {
	l := b.l
	y := l.c
	callID, session := l.callID, y.sessionOf(l.side)
	var host *guest
	if !y.ended && !l.ended {
		host = y.sh.e.guests.hold(y.sh, b.to, callID, l.dlg.Remote.Tag)
	}
	if host == nil {
		b.to.loop.Post(func() { b.into.seating = false })
		b.back(487)
		return
	}
	l.timing.stop()
	var hop audit.ReceiptHop
	signallingHop(&hop, nil, sideName(l.side), l)
	hop.Until = time.Now()
	y.former = append(y.former, formerLeg{hop, l.ruling})
	delete(y.sh.ends, l.tag)
	for i, p := range y.taken {
		if p == l.party.Name {
			y.taken = append(y.taken[:i], y.taken[i+1:]...)
			break
		}
	}
	if l == y.a {
		y.a = nil
	} else {
		y.b = nil
	}
	l.guest = host.stays.Load()
	b.to.loop.Post(func() { b.into.arrived(session) })
	host.home.Store(b.to)
	y.moving = nil
	y.hangup(byEdge, reason{"SIP", 200, "transferred"})
}

// arrived seats the leg in its new call; its media follows, and then our ACK.
func (t *transfer) arrived(session string) {
	b, c := t.brings, t.c
	l := b.l
	c.sh.ends[l.tag] = end{leg: l}
	if t.over || c.ended {
		l.c = c
		c.sh.e.partyLoad(l.party.Name).Add(-1)
		l.bye([]reason{{"SIP", 487, "the call that it was for is over"}})
		l.entomb()
		return
	}
	sub, by, swap := t.sub, t.by, t.swap
	c.seat(l, by, []string{l.party.Name}, session)
	l.known = l.dlg.Remote.URI.User()
	l.timing.start(l)
	t.rec.Attempts[0].Result = "200"
	t.end(200, "answered")
	sub.finish(func() { by.part([]reason{{"SIP", 200, "transferred"}}) }, 200)
	c.sh.e.off(func() {
		p, err := swap.Commit()
		c.sh.loop.Post(func() {
			b.ack()
			switch {
			case c.ended:
			case err != nil:
				c.hangup(byEdge, reason{"SIP", asRefusal(err).Status, "media failure"})
			case p.Offer != nil:
				c.retell(t.stay, swap, p.Offer)
			}
			l.rested() // who stays may have asked for a change meanwhile
			c.save()
		})
	})
}

// lent ends a joining whose leg's own call ended before it was handed over.
func (t *transfer) lent() {
	b := t.lends
	t.over = true
	b.ack()
	b.to.loop.Post(func() {
		if x := b.into; !x.over {
			x.failed(487, "failed", []reason{{"SIP", 487, "that call is over"}})
		}
	})
}

// joining says that a leg of this call is on its way into another one, or that media puts one in force in this: its sessions must not change meanwhile.
func (t *transfer) joining() bool { return t.lends != nil || t.seating }

// pairJudged is the ruling on the far end of another call, as if it were called now.
func (t *transfer) pairJudged(f *far) sovereign.Ruling {
	return t.c.sh.e.c.Fence.Snapshot().Judge(sovereign.Ask{Party: f.party, Plane: sovereign.Signalling, Purpose: t.c.plan.Purpose, Addr: f.addr, At: time.Now()})
}
