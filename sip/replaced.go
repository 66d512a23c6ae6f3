package sip

import (
	"time"

	"github.com/cordonsip/cordon/audit"
	"github.com/cordonsip/cordon/media"
	"github.com/cordonsip/cordon/sip/dialog"
	"github.com/cordonsip/cordon/sip/header"
	"github.com/cordonsip/cordon/sip/transaction"
	"github.com/cordonsip/cordon/sip/transport"
	msg "github.com/emiago/sipgo/sip"
)

// An INVITE with Replaces puts its sender in the place of one leg of a call that is up. RFC 3891 section 3.

// joining is what a transfer has beyond others when the new far end called us.
type joining struct {
	tx   *transaction.Server
	req  *msg.Request
	l    *leg // of the new far end; in the call once its media is
	late bool // its media is being put in: a CANCEL comes too late

	branch *media.Branch // its media, in place of who rings; nil when a call that is up is taken over
}

// replaceable finds the leg that an INVITE is to replace, or says with which status it cannot. RFC 3891 section 3. Who may not replace it learns nothing of its state.
func (s *shard) replaceable(r replaces, party *Party) (*leg, int) {
	r, asked := s.e.aliases.real(r, party.Name)
	if s.e.loopOf(r) != s {
		return nil, 503 // there was no room to bring it to its loop
	}
	at := s.end(legKey{r.callID, r.to})
	if g := at.grave; g != nil && g.tag == r.from {
		if !asked && !g.party.replacedBy(party) {
			return nil, 403
		}
		return nil, 603
	}
	l := at.leg
	if l == nil || l.dlg == nil && l.early.of(r.from) == nil || l.dlg != nil && l.dlg.Remote.Tag != r.from {
		return nil, 481
	}
	switch c := l.c; {
	case !asked && !l.party.replacedBy(party):
		return nil, 403
	case l.ended, c.ended, l.zombie():
		return nil, 603
	case c.synth != nil, c.emergency(), party.Transfer == transferRefuse, l.party.Transfer == transferRefuse:
		return nil, 603
	case !c.confirmed && l.side == media.A: // RFC 3891 section 3: an early dialog that was not initiated here
		return nil, 481
	case c.via != nil: // who rings is the target of a transfer: its caller is in another call
		return nil, 603
	case !c.confirmed && (c.b != nil || c.moving != nil):
		return nil, 491
	case !c.confirmed:
		return l, 0
	case r.early:
		return nil, 486
	case c.moving != nil:
		return nil, 491
	}
	return l, 0
}

// replacedBy says whether a party may take the place of this one in a call: itself, and others inside the trust domain. RFC 3891 section 3.
func (p *Party) replacedBy(by *Party) bool { return p.Name == by.Name || p.Trusted && by.Trusted }

// replaced is an INVITE with Replaces that is sane.
func (s *shard) replaced(tx *transaction.Server, req *msg.Request, in transport.Incoming, party *Party) {
	r, status := replacesOf(req)
	if status != 0 {
		s.answer(tx, status)
		return
	}
	if _, ok := s.proven(tx, req, in, party); !ok {
		return
	}
	old, status := s.replaceable(r, party)
	if status != 0 {
		var hs []msg.Header
		if status == 503 {
			hs = append(hs, msg.NewHeader("Retry-After", "5"))
		}
		s.answer(tx, status, hs...)
		return
	}
	if old.party.Name != party.Name && !s.room(tx, party, in) {
		return
	}
	ruling := s.e.screen.judge(party, in.Flow.Remote(), old.c.plan.Purpose)
	if !ruling.Permitted() || !party.sendsFrom(in.Flow.Remote().Addr(), in.Flow.Peer()) {
		s.e.screen.refused(party.Name, in.Flow.Remote(), ruling.Ground, "a call would be taken over from where its party does not call from: "+ruling.Why)
		s.answer(tx, 403, reason{"SIP", 403, "source refused by policy"}.header())
		return
	}
	d, err := dialog.UAS(req, tx.Tag())
	if err != nil {
		s.answer(tx, 400)
		return
	}
	_ = tx.Respond(tx.Draft(100, ""))
	l := &leg{
		c: old.c, side: old.side, party: party, flow: in.Flow, ruling: ruling, name: party.Name, callID: d.CallID, tag: tx.Tag(), dlg: d, invite: req,
		auth: newDigester(party), update: lists(req, "allow", "UPDATE"),
	}
	l.replaces, l.known = lists(req, "supported", "replaces"), header.User(req.From().Address.User)
	if has(req, "recv-info") {
		l.takes = tokens(req, "recv-info")
	}
	if t := newJoin(old, l, tx, req); old.c.confirmed {
		t.join()
	} else {
		t.pickUp()
	}
}

func newJoin(old, l *leg, tx *transaction.Server, req *msg.Request) *transfer {
	c := old.c
	t := &transfer{c: c, by: old, stay: old.other(), joins: &joining{tx: tx, req: req, l: l}}
	r := l.ruling
	t.rec = audit.Transfer{
		T: time.Now(), By: sideName(old.side), Party: old.party.Name, How: "invite_replaces", From: l.party.Name,
		PolicyDigest: c.plan.Digest, Generation: c.plan.Generation,
		Attempts: []audit.Attempt{{
			Party: l.party.Name, Target: l.name, Region: r.Region.String(), Country: string(r.Country), Verdict: r.Verdict.String(), Ground: string(r.Ground), At: time.Now(),
		}},
	}
	c.moving = t
	l.stay()
	tx.OnCancel(func(*msg.Request) {
		if !t.joins.late && l.sent == nil {
			t.turnedAway(487, "cancelled")
		}
	})
	return t
}

// join asks media for the new far end: what it offers is judged, or it is made an offer.
func (t *transfer) join() {
	c, j := t.c, t.joins
	e, s, side, m := c.sh.e, c.media.Load(), t.by.side, j.l.media()
	offer, _ := bodySDP(j.req)
	e.off(func() {
		if t.unrecorded() {
			return
		}
		var swap *media.Replacement
		var ours []byte
		var err error
		if offer != nil {
			swap, err = s.Receive(side, m, offer)
		} else {
			swap, ours, err = s.Replace(side, m)
		}
		c.sh.loop.Post(func() { t.joined(swap, ours, err) })
	})
}

// unrecorded turns the new far end away when the log cannot be written. It may block, and so is not for the loop.
func (t *transfer) unrecorded() bool {
	c := t.c
	if e := c.sh.e; e.c.Log.Health().OK || e.c.OnLogFailure == continueWithGap {
		return false
	}
	c.sh.loop.Post(func() {
		t.turnedAway(c.holdStatus(), "refused", reason{"SIP", c.holdStatus(), "calls cannot be recorded now"}.header())
	})
	return true
}

// joined goes on where join came back.
func (t *transfer) joined(swap *media.Replacement, ours []byte, err error) {
	c, j := t.c, t.joins
	if swap != nil && t.over {
		c.sh.e.off(swap.Drop)
		return
	}
	t.swap = swap
	switch {
	case t.over:
	case err != nil:
		t.unheard(err)
	case ours == nil:
		c.sh.ends[j.l.tag] = end{leg: j.l}
		t.commit()
	default: // the answer comes in the ACK; until then nothing is replaced
		c.sh.ends[j.l.tag] = end{leg: j.l}
		j.l.agreeTo(j.tx, j.req, ours, func(answer []byte) { t.answered(answer) })
		j.l.waiting.lost = func() { t.lost(reason{"SIP", 408, "no ACK"}) }
	}
}

// unheard refuses an INVITE with Replaces whose media cannot be had.
func (t *transfer) unheard(err error) {
	r := asRefusal(err)
	if r.Status == 403 {
		t.turnedAway(t.c.holdStatus(), "refused", reason{"SIP", 403, "media place refused by policy"}.header())
		return
	}
	t.turnedAway(r.Status, "failed", msg.NewHeader("Warning", header.Warning(r.Warning, r.Text)))
}

// turnedAway gives the new far end its final refusal; the call stays as it was.
func (t *transfer) turnedAway(status int, result string, hs ...msg.Header) {
	if t.over {
		return
	}
	if ref := t.c.ref.Load(); ref != nil && result == "refused" {
		hs = append(hs, msg.NewHeader(receiptHeader, *ref))
	}
	t.c.sh.answer(t.joins.tx, status, hs...)
	t.release(status, result)
}

// release ends a replacement that did not come about. Whoever waited alone for it is left alone.
func (t *transfer) release(status int, result string) {
	if swap := t.swap; swap != nil {
		t.c.sh.e.off(swap.Drop)
	}
	if b := t.joins.branch; b != nil {
		t.c.sh.e.off(b.Drop)
	}
	t.rec.Attempts[0].Result = itoa(status)
	t.joins.l.entomb()
	if t.c.ended {
		result = "cancelled"
	}
	t.end(status, result)
	if t.by.ended && !t.c.ended {
		t.c.hangup(sideName(t.by.side), reason{"SIP", status, "the call was not taken over"})
	}
}

// lost ends a replacement whose far end has its 200 already: it gets BYE.
func (t *transfer) lost(r reason) {
	if t.over {
		return
	}
	t.joins.l.bye([]reason{r})
	t.release(r.cause, "failed")
}

// answered is the ACK to a 200 that carried our offer.
func (t *transfer) answered(answer []byte) {
	switch {
	case t.over:
		return
	case answer == nil || t.joins.l.ended:
		t.lost(reason{"SIP", 488, "no usable answer"})
		return
	}
	if err := t.swap.Hear(answer); err != nil {
		t.lost(reason{"SIP", asRefusal(err).Status, "media refused"})
		return
	}
	t.joins.l.taken = answer
	t.commit()
}

// commit puts the new far end's media in the place of the old one's, as soon as no other session description is on its way.
func (t *transfer) commit() {
	if t.over {
		return
	}
	if t.open() && t.busy < 100 {
		t.busy++
		t.c.sh.loop.After(100*time.Millisecond, t.commit)
		return
	}
	swap, loop := t.swap, t.c.sh.loop
	t.joins.late, t.seating = true, true
	t.c.sh.e.off(func() {
		p, err := swap.Commit()
		loop.Post(func() { t.taken(p, err) })
	})
}

// taken lets the new leg into the call: its INVITE gets 200, who was replaced gets BYE, and who stays is asked only when something changed for it.
func (t *transfer) taken(p media.Patch, err error) {
	c, j := t.c, t.joins
	if t.over || c.ended {
		return
	}
	if err != nil {
		if j.l.sent != nil {
			t.lost(reason{"SIP", asRefusal(err).Status, "media failure"})
		} else {
			t.unheard(err)
		}
		return
	}
	l, session := j.l, sessionIn(j.req)
	c.occupy(l.party.Name)
	c.seat(l, t.by, nil, session)
	if p.Answer != nil {
		l.taken, _ = bodySDP(j.req)
		l.agreeTo(j.tx, j.req, p.Answer, nil)
	}
	t.rec.Attempts[0].Result = "200"
	t.end(200, "answered")
	t.by.part([]reason{{"SIP", 200, "replaced"}})
	if p.Offer != nil {
		c.retell(t.stay, t.swap, p.Offer)
	}
	c.save()
}

// sessionIn is the Session-ID of who sent a request, or a new one. RFC 7989 section 6.
func sessionIn(req *msg.Request) string {
	if id, _ := header.Session(value(req, "session-id")); id != "" {
		return id
	}
	return new(dice).uuid()
}
