package sip

import (
	"slices"

	"github.com/cordonsip/cordon/sip/dialog"
	"github.com/cordonsip/cordon/sip/transaction"
	"github.com/cordonsip/cordon/sip/transport"
	msg "github.com/emiago/sipgo/sip"
)

// grave is what stays of a leg whose call is over, for as long as its peer may still send to it: enough to answer a BYE that crossed ours, to tell that dialog from
// one that never was, and to acknowledge a 2xx that comes again. The leg, its call and the messages that they hang on need not wait for that.
type grave struct {
	s       *shard
	alarm   transaction.Alarm
	key     legKey
	tag     string // of the peer
	party   *Party
	flow    transport.Flow
	session msg.Header     // Session-ID
	d       *dialog.Dialog // nil when we sent no INVITE on this leg
	acks    []acknowledged
	auth    *digester
	bare    bool // our first INVITE carried no offer
	toward
}

// bury leaves a grave in place of a leg. False: something may still happen on the leg itself, so it stays as it is.
func (l *leg) bury() bool {
	c := l.c
	switch {
	case l.dlg == nil, l.waiting != nil, l.out != nil, l.in != nil, l.owed != 0, l.guest:
		return false
	case l.parted, l.sub != nil, len(l.passed) > 0, len(c.former) > 0, c.moving != nil, c.via != nil, c.synth != nil, c.emergency():
		return false
	case l != c.a && l != c.b:
		return false
	}
	l.dlg.Detach()
	g := &grave{s: c.sh, key: legKey{l.dlg.CallID, l.tag}, tag: l.dlg.Remote.Tag, party: l.party, flow: l.flow}
	g.session, g.toward = c.sessionHeader(l), l.toward()
	if len(l.acks) > 0 {
		g.d, g.acks, g.auth, g.bare = l.dlg, l.acks, l.auth, l.bare || l.target != "" && l.invite != nil && len(l.invite.Body()) == 0
	}
	if t := c.cur; t != nil && t.leg == l && t.client != nil {
		t.client.Tell(g)
	} else if l.branch() != "" {
		c.sh.tx.Tell(l.branch(), g)
	}
	g.s.ends[g.key.tag] = end{grave: g}
	g.s.loop.Arm(&g.alarm, 64*g.s.e.c.Timers.T1, g)
	return true
}

// Due implements transaction.Due: nothing comes any more.
func (g *grave) Due(*transaction.Alarm) { delete(g.s.ends, g.key.tag) }

// request answers what the peer of an ended call still says.
func (g *grave) request(tx *transaction.Server, req *msg.Request, in transport.Incoming) {
	if tx == nil {
		return
	}
	known := in.Flow.Valid() && (in.Flow.Remote().Addr() == g.flow.Remote().Addr() || in.Party == g.party.Name) &&
		req.From().Params.GetOr("tag", "") == g.tag
	if known && req.Method == msg.BYE { // both hung up at once: theirs is right, too
		g.s.answer(tx, 200)
		return
	}
	g.s.answer(tx, 481)
}

// Response implements transaction.ClientUser for the INVITE of the leg: its 2xx may come again, or be another fork's.
func (g *grave) Response(_ *transaction.Client, res *msg.Response) { g.again(res) }

// Failed implements transaction.ClientUser. The INVITE was answered.
func (g *grave) Failed(*transaction.Client, error) {}

// again answers a 2xx as the leg would. RFC 3261 section 13.2.2.4.
func (g *grave) again(res *msg.Response) {
	if g.d == nil || !res.IsSuccess() || res.To() == nil || res.CSeq() == nil {
		return
	}
	seq := res.CSeq().SeqNo
	if res.To().Params.GetOr("tag", "") == g.d.Remote.Tag {
		for _, a := range slices.Backward(g.acks) {
			if a.seq == seq {
				g.s.acknowledge(g.flow, g.d.Ack(g.s.tx, seq), g.session, g.auth, a.sdp, g.Meets())
				break
			}
		}
		return
	}
	d, err := g.d.Fork(res)
	if err != nil {
		return
	}
	var answer []byte
	if offer, ok := bodySDP(res); ok && g.bare {
		answer = decline(g.flow, offer)
	}
	g.s.acknowledge(g.flow, d.Ack(g.s.tx, seq), g.session, g.auth, answer, g.Meets())
	bye := d.Bye(g.s.tx)
	bye.AppendHeader(g.session)
	g.s.brand(&bye.Request)
	bye.AppendHeader(reason{"SIP", 487, "answered elsewhere or too late"}.header())
	fill(&bye.Request, nil)
	g.s.last(g.flow, &bye.Request, bye, g.auth, g.toward)
}
