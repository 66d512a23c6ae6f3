package sip

import (
	"github.com/cordonsip/cordon/media"
	"github.com/cordonsip/cordon/sip/header"
	msg "github.com/emiago/sipgo/sip"
)

// An INVITE with Replaces that names the early dialog of somebody who rings because we called puts its sender in that one's place: it has the call at once, and who
// rings gets CANCEL. RFC 3891 section 3.

// pickUp asks media for the new far end: what the caller offers, from sockets and under keys of its own, while who rings may still answer.
func (t *transfer) pickUp() {
	c, j := t.c, t.joins
	e, s, m, sdp := c.sh.e, c.media.Load(), j.l.media(), c.ask.sdp
	if sdp == nil { // the caller waits for an offer, and has perhaps had one of who rings
		t.turnedAway(488, "failed", msg.NewHeader("Warning", header.Warning(399, "the caller made no offer")))
		return
	}
	e.off(func() {
		if t.unrecorded() {
			return
		}
		b, ours, err := s.Branch(sdp, m)
		c.sh.loop.Post(func() { t.pickedUp(b, ours, err) })
	})
}

// pickedUp goes on where pickUp came back. Two offers, the caller's and the new far end's, answer each other; without the second one the answer comes in the ACK,
// and until then nothing is replaced.
func (t *transfer) pickedUp(b *media.Branch, ours []byte, err error) {
	c, j := t.c, t.joins
	offer, _ := bodySDP(j.req)
	if j.branch = b; t.over && b != nil {
		c.sh.e.off(b.Drop)
	}
	switch {
	case t.over:
	case err != nil:
		t.unheard(err)
	case c.b != nil: // who rang was faster
		t.turnedAway(486, "failed")
	case offer == nil:
		c.sh.ends[j.l.tag] = end{leg: j.l}
		j.l.agreeTo(j.tx, j.req, ours, t.pickedUpBy)
		j.l.waiting.lost = func() { t.lost(reason{"SIP", 408, "no ACK"}) }
	default:
		toB, toA, alone, err := b.Meet(offer)
		t.spare(alone)
		if err != nil {
			t.unheard(err)
			return
		}
		j.l.taken = offer
		j.l.agreeTo(j.tx, j.req, toB, nil) // first the 200, then the CANCEL
		t.comeIn(toA)
	}
}

// pickedUpBy is the ACK to a 200 that carried our offer.
func (t *transfer) pickedUpBy(answer []byte) {
	l := t.joins.l
	switch {
	case t.over:
		return
	case answer == nil || l.ended:
		t.lost(reason{"SIP", 488, "no usable answer"})
		return
	case t.c.b != nil:
		t.lost(reason{"SIP", 486, "answered elsewhere"})
		return
	}
	toA, alone, err := t.joins.branch.Hear(answer)
	t.spare(alone)
	if err != nil {
		t.lost(reason{"SIP", asRefusal(err).Status, "media refused"})
		return
	}
	l.taken = answer
	t.comeIn(toA)
}

// spare gives back the media of who rang.
func (t *transfer) spare(b *media.Branch) {
	if b != nil {
		t.c.sh.e.off(b.Drop)
	}
}

// comeIn lets the new far end into the call: the caller gets its 200, and who rings CANCEL.
func (t *transfer) comeIn(toA []byte) {
	c, l := t.c, t.joins.l
	c.sh.ends[l.tag] = end{leg: l}
	for _, o := range [...]*attempt{c.cur, c.beside} {
		if o != nil && o.leg == t.by {
			c.reason, c.grant = o.hop.Reason, o.hop.Grant
		}
	}
	c.withdraw("picked_up")
	c.b, c.ids.b, c.spoken = l, sessionIn(t.joins.req), true
	c.occupy(l.party.Name)
	t.rec.Attempts[0].Result = "200"
	t.end(200, "answered")
	if a := c.a; (a.first != nil || a.settled != "") && c.media.Load().Stale() {
		c.restate = toA
		c.restated()
	}
	c.connected(nil, toA, nil)
}
