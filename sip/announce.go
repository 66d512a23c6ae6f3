package sip

import (
	"time"

	"github.com/cordonsip/cordon/audit"
	"github.com/cordonsip/cordon/media"
	"github.com/cordonsip/cordon/routing"
	"github.com/cordonsip/cordon/sip/header"
	"github.com/cordonsip/cordon/sip/transaction"
	msg "github.com/emiago/sipgo/sip"
)

// A caller whose call the law keeps out may hear why: an announcement that this edge plays itself, on the caller's own leg. Nothing leaves for any other place. Then comes
// the refusal that there would have been at once, or where the call was answered for it, BYE.

// Announcement is what callers of a route are played.
type Announcement struct {
	*media.Announcement
	Answer bool   // the call is answered for it; else it is early media
	Sound  string // "tone" | "file": for the records
}

// announcing is a caller that is played to.
type announcing struct {
	c      *call
	what   Announcement
	result string // of the call
	why    reason
	began  time.Time // zero: nothing was played yet
	codec  string
	lasted time.Duration // as media told it at the end
	whole  bool
	limit  transaction.Timer
}

// slip is how long after its time the end of an announcement may be told. Without a word it is over then.
const slip = 5 * time.Second

// tail is how long the last of it may wait in the buffer of a far end, which throws it away when the call ends.
const tail = 200 * time.Millisecond

// Announce puts announcements in force, by the names of their routes.
func (e *Edge) Announce(all map[string]Announcement) { e.announcements.Store(&all) }

// announcement is that of a plan's route; false without one.
func (e *Edge) announcement(p *routing.Plan) (Announcement, bool) {
	all := e.announcements.Load()
	if all == nil || !p.Announce {
		return Announcement{}, false
	}
	a, ok := (*all)[p.Route]
	return a, ok
}

// notice is what the caller is played in the place of a call; nil: nothing, as nearly always. It does not lie in the call, whose memory every call pays for.
func (c *call) notice() *announcing { return c.sh.notices[c] }

// deny refuses a call that the law kept out, behind the announcement of its route if it has one.
func (c *call) deny(result string, why reason) {
	c.denied = true
	if !c.announce(result, why) {
		c.refuse(c.holdStatus(), result, why)
	}
}

// announce begins with the announcement; false: this caller hears none. Nobody who calls for help is played to in the place of a refusal.
func (c *call) announce(result string, why reason) bool {
	what, ok := c.sh.e.announcement(&c.plan)
	s := c.media.Load()
	switch {
	case !ok, s == nil, c.a == nil, c.ended, c.answered, c.via != nil, c.synth != nil, c.page != nil, c.emergency():
		return false
	case c.a.in == nil, c.bare && !what.Answer: // without an offer there is nothing that early media could be an answer to
		return false
	}
	n := &announcing{c: c, what: what, result: result, why: why}
	if c.sh.notices == nil {
		c.sh.notices = map[*call]*announcing{}
	}
	c.sh.notices[c] = n
	stopTimer(&c.setup)
	c.setState("announcing")
	offer, bare := c.ask.sdp, c.bare
	c.sh.e.off(func() {
		var sdp []byte
		var err error
		if bare {
			sdp, err = s.AnnounceOffer(what.Announcement)
		} else {
			sdp, err = s.Announce(offer, what.Announcement)
		}
		c.sh.loop.Post(func() { n.ready(sdp, err) })
	})
	return true
}

// ready goes on with our description for the caller.
func (n *announcing) ready(sdp []byte, err error) {
	c := n.c
	switch {
	case c.ended:
	case err != nil: // no codec, or no place that may be sent to: then the refusal at once
		c.sh.e.log.Debug("a caller could not be played to", "session", c.session(), "error", err)
		delete(c.sh.notices, c)
		c.sh.e.metrics.announced.WithLabelValues("unplayable").Inc()
		c.refuse(c.holdStatus(), n.result, n.why)
	case n.what.Answer:
		c.a.rel.drained(func() { c.a.quiet(func() { n.answer(sdp) }) })
	default:
		n.early(sdp)
		n.play()
	}
}

// early tells the caller of early media. RFC 3960 section 4; reliably where it requires that, RFC 3262 section 3.
func (n *announcing) early(sdp []byte) {
	c, l := n.c, n.c.a
	reliable := c.ask.require || l.party.Rel100 == "pass" && c.ask.rel
	hs := []msg.Header{l.contact(), allows, c.sessionHeader(l)}
	if l.party.Trusted && c.ask.said.early != "" { // RFC 5009 section 8: who asks for it lets early media through that is authorised
		hs = append(hs, msg.NewHeader("P-Early-Media", "sendonly"))
	}
	if l.first != nil || l.settled != "" {
		sdp = nil // RFC 6337 section 3.1.1: the answer was given, and no response changes it
	} else {
		l.sent = sdp
	}
	if !reliable {
		res := l.in.Draft(183, "", hs...)
		c.sh.brand(res)
		setSDP(res, sdp)
		_ = l.in.Respond(res)
		return
	}
	if sdp != nil {
		l.first = sdp
	}
	res := l.in.Response(183, "", hs...)
	c.sh.brand(res)
	setSDP(res, sdp)
	l.provide(l.in, assured{res: res, answers: sdp != nil})
}

// answer answers the call; what it is answered for begins with the ACK, so that nothing of it is missed.
func (n *announcing) answer(sdp []byte) {
	c, l := n.c, n.c.a
	if c.ended || l.in == nil {
		return
	}
	c.answered, c.confirmed, c.answer = true, true, time.Now()
	tx := l.in
	hs := append([]msg.Header{l.contact(), allows, supports, c.sessionHeader(l)}, l.timing.agree(l, c.ask)...)
	if ref := c.ref.Load(); ref != nil {
		hs = append(hs, msg.NewHeader(receiptHeader, *ref))
	}
	if s := c.sh.e.server; s != nil {
		hs = append(hs, s)
	}
	res := tx.Draft(200, "", hs...)
	if l.settled != "" {
		sdp = l.first
	}
	setSDP(res, sdp)
	l.sent = sdp
	l.accept(tx, res, n.acknowledged)
	l.timing.start(l)
}

// acknowledged is the caller's ACK, with its answer where the offer was ours.
func (n *announcing) acknowledged(answer []byte) {
	c := n.c
	if c.ended {
		return
	}
	if c.bare {
		if answer == nil || c.media.Load().AnnounceTo(answer, n.what.Announcement) != nil {
			c.hangup(byEdge, reason{"SIP", 488, "no usable answer"})
			return
		}
		c.a.taken = answer
	}
	n.play()
}

// play begins.
func (n *announcing) play() {
	c := n.c
	codec, ok := c.media.Load().Play(n.what.Announcement)
	if !ok {
		n.over(0, false)
		return
	}
	n.began, n.codec = time.Now(), codec
	n.limit = c.sh.loop.After(n.what.Lasts()+slip, func() { n.over(time.Since(n.began), false) })
}

// MediaPlayed hears that an announcement is over. It is media.Config.Played; it does not block.
func (e *Edge) MediaPlayed(session string, p media.Played) {
	if c := e.live.of(session); c != nil {
		c.sh.loop.Post(func() {
			if n := c.notice(); n != nil {
				n.over(p.For, p.Whole)
			}
		})
	}
}

// over hears that nothing more is played, on the loop.
func (n *announcing) over(lasted time.Duration, whole bool) {
	stopTimer(&n.limit)
	if n.c.ended {
		return
	}
	if n.lasted, n.whole = lasted, whole; whole {
		n.limit = n.c.sh.loop.After(tail, n.finish)
		return
	}
	n.finish()
}

// finish goes on behind the announcement.
func (n *announcing) finish() {
	c := n.c
	if c.ended {
		return
	}
	if !c.answered {
		c.refuse(c.holdStatus(), n.result, n.why)
		return
	}
	c.q850 = header.CauseOf(c.holdStatus())
	c.a.bye([]reason{{header.Q850, c.q850, n.why.text}, n.why})
	c.close(byEdge, 200, n.why.text, n.result)
}

// end is what becomes of it when the call ends.
func (n *announcing) end() {
	if n == nil {
		return
	}
	stopTimer(&n.limit)
	if n.lasted == 0 && !n.began.IsZero() { // the caller hung up
		n.lasted = min(time.Since(n.began), n.what.Lasts())
	}
	outcome := "cut"
	switch {
	case n.whole:
		outcome = "whole"
	case n.began.IsZero():
		outcome = "unheard"
	}
	n.c.sh.e.metrics.announced.WithLabelValues(outcome).Inc()
}

// record is what the records say of it; nil when nothing was played.
func (n *announcing) record() *audit.Announced {
	if n == nil || n.began.IsZero() {
		return nil
	}
	return &audit.Announced{Sound: n.what.Sound, Codec: n.codec, Answered: n.c.answered, ForMS: ms(n.lasted), Whole: n.whole}
}

// listens takes a request of a caller that is played to, which there is no other side for. False: it is dealt with as in any call.
func (l *leg) listens(tx *transaction.Server, req *msg.Request, tag string) bool {
	n := l.c.notice()
	if n == nil {
		return false
	}
	switch req.Method {
	case msg.INVITE, msg.UPDATE:
		n.renewed(l, tx, req, tag)
	case msg.INFO: // digits, which nobody waits for
		l.c.sh.answer(tx, 200)
	default:
		return false
	}
	return true
}

// renewed is a further offer, or a refresh of the session. RFC 3261 section 14.2, RFC 3311 section 5.2, RFC 4028 section 9.
func (n *announcing) renewed(l *leg, tx *transaction.Server, req *msg.Request, tag string) {
	c := l.c
	sdp, ok := bodySDP(req)
	switch {
	case !ok:
		c.sh.answer(tx, 415, msg.NewHeader("Accept", typeSDP))
		return
	case req.Method == msg.INVITE && !c.answered:
		l.later(tx)
		return
	case sdp == nil && req.Method == msg.INVITE: // it wants an offer: what we have is what it has
		c.sh.answer(tx, 488)
		return
	case l.short(tx, req):
		return
	case sdp != nil && !c.answered && l.settled != tag:
		l.premature(tx, req)
		return
	case sdp != nil && c.answered && l.clash(tx):
		return
	}
	if d := l.dialogOf(tag); d != nil {
		_ = d.Refresh(req)
	}
	if sdp == nil {
		l.confirmUpdate(tx, req, false)
		return
	}
	answer, err := c.media.Load().Reannounce(sdp, n.what.Announcement)
	if err != nil {
		r := asRefusal(err)
		c.sh.answer(tx, 488, reason{"SIP", r.Status, header.Harmless(r.Text)}.header())
		return
	}
	if l.taken = sdp; req.Method == msg.UPDATE {
		l.sent = answer
		l.confirmUpdate(tx, req, true)
		return
	}
	l.in = tx
	l.agreeTo(tx, req, answer, nil)
}
