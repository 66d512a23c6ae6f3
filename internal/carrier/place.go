package carrier

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"time"
)

// CallOptions say what to call and how.
type CallOptions struct {
	From, To   string         // user parts or tel numbers, or whole SIP URIs
	Dest       netip.AddrPort // where the INVITE goes
	ServerName string         // of Dest, with TLS; default Config.ServerName
	SRTP       bool           // offer RTP/SAVP; Config.SRTP implies it
	Talk       time.Duration  // hang up that long after the answer; 0 means never
	Headers    [][2]string    // added to the INVITE
	NoMedia    bool           // send no audio
	Delayed    bool           // INVITE without an offer
}

// Call dials when it must, sends the INVITE and returns; the Call then lives by itself. The error tells that the other side could not be reached:
// a refused connection, a failed handshake.
func (p *Peer) Call(ctx context.Context, o CallOptions) (*Call, error) {
	to, err := p.connect(ctx, o.Dest, cmp.Or(o.ServerName, p.cfg.ServerName))
	if err != nil {
		return nil, err
	}
	sock, err := openRTP(p.cfg.Net, p.cfg.MediaAddr)
	if err != nil {
		return nil, err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed || !p.running || p.behaviour.Load().Dead {
		sock.close()
		return nil, errors.New("carrier: the peer does not run")
	}
	o.SRTP = o.SRTP || p.cfg.SRTP
	c := p.newCall(true)
	c.opts, c.to, c.seq = o, to, p.number()%1000+1
	c.id = p.token() + p.token()
	c.localURI = "<" + sipURI(o.From, cmp.Or(p.cfg.Domain, p.addr.String())) + ">"
	c.target = sipURI(o.To, o.Dest.String())
	c.remoteURI = "<" + c.target + ">"
	c.media = p.newMedia(c, sock, !o.NoMedia)
	p.calls[c.key()] = c
	m := c.build("INVITE", c.seq)
	for _, h := range o.Headers {
		m.add(h[0], h[1])
	}
	m.add("Allow", "INVITE, ACK, CANCEL, BYE, OPTIONS, INFO, UPDATE")
	if !o.Delayed {
		m.setBody("application/sdp", c.describeOffer())
	}
	c.event(true, "INVITE", 0)
	c.invite = p.start(m, to, c.onResponse)
	return c, nil
}

func sipURI(v, host string) string {
	if strings.Contains(v, ":") {
		return v
	}
	return "sip:" + v + "@" + host
}

// onResponse takes a response to our first INVITE; nil is silence.
func (c *Call) onResponse(m *message) {
	if m == nil {
		c.settle(408)
		if s := c.invite.to.s; s != nil && s.gone {
			c.end("transport")
		} else {
			c.end("timeout")
		}
		return
	}
	p := c.p
	c.event(false, "INVITE", m.status)
	tag := param(m.get("To"), "tag")
	if m.status > 100 && m.status < 300 && c.remoteTag != "" && tag != c.remoteTag {
		p.fault("%d to INVITE: To tag changed from %s to %s", m.status, c.remoteTag, tag)
	}
	switch {
	case m.status < 200:
		c.onProvisional(m)
	case m.status < 300:
		c.on2xx(m)
	default:
		c.final = m
		c.settle(m.status)
		if c.cancelled {
			c.end("cancelled")
		} else {
			c.end("refused")
		}
	}
}

func (c *Call) onProvisional(m *message) {
	if m.status > 100 {
		c.remoteTag = param(m.get("To"), "tag")
		if len(m.body) > 0 && !c.opts.Delayed {
			c.applyAnswer(m.body)
		}
	}
	if c.cancelled {
		c.sendCancel()
	}
}

func (c *Call) on2xx(m *message) {
	n, _, _ := m.cseq()
	if c.status != 0 { // a retransmission
		if c.ack != nil && n == c.seqOfInvite() {
			c.p.send(c.next(), c.ack)
		}
		return
	}
	c.learn(m, "To", true)
	c.final, c.confirmed = m, true
	c.settle(m.status)
	close(c.answered)
	var body []byte
	switch {
	case c.opts.Delayed:
		var err error
		if body, err = c.answer(m.body); err != nil {
			c.p.fault("offer in 200: %v", err)
		}
	case len(m.body) > 0:
		c.applyAnswer(m.body)
	default: // an answer in an unreliable 18x does not count, RFC 3261 section 13.2.1
		c.p.fault("200 to INVITE without an answer to our offer")
	}
	ack := c.build("ACK", n)
	ack.setBody("application/sdp", body)
	c.ack = ack.bytes()
	c.event(true, "ACK", 0)
	c.p.send(c.next(), c.ack)
	switch {
	case c.cancelled:
		c.bye("cancelled")
	case c.opts.Talk > 0:
		c.p.after(c.opts.Talk, func() { c.bye("bye sent") })
	}
}

func (c *Call) seqOfInvite() uint32 {
	n, _, _ := c.invite.req.cseq()
	return n
}

// Cancel gives the call up before the answer and waits for its end; if the answer was faster, BYE follows at once.
func (c *Call) Cancel(ctx context.Context) error {
	c.p.mu.Lock()
	if !c.uac || c.confirmed {
		c.p.mu.Unlock()
		return errors.New("carrier: nothing to cancel")
	}
	c.cancelled = true
	if c.invite.proceed { // RFC 3261 section 9.1: not before a provisional response
		c.sendCancel()
	}
	c.p.mu.Unlock()
	return c.wait(ctx, c.done)
}

func (c *Call) sendCancel() {
	if c.cancelSent || c.status != 0 {
		return
	}
	c.cancelSent = true
	inv := c.invite.req
	n, _, _ := inv.cseq()
	m := &message{method: "CANCEL", uri: inv.uri}
	m.add("Via", inv.get("Via"))
	m.copyFrom(inv, "Max-Forwards", "Route", "From", "To", "Call-ID")
	m.add("CSeq", fmt.Sprintf("%d CANCEL", n))
	c.event(true, "CANCEL", 0)
	c.p.start(m, c.invite.to, func(r *message) {
		if r != nil {
			c.event(false, "CANCEL", r.status)
		}
	})
	c.p.after(c.p.lifetime(), func() {
		if c.status == 0 {
			c.p.fault("no final response to a cancelled INVITE, call %s", c.id)
			c.end("timeout")
		}
	})
}

// onInvite takes an INVITE that begins a call.
func (p *Peer) onInvite(t *serverTx) {
	m, bh := t.req, *p.behaviour.Load()
	if bh.Auth != nil && !p.authorized(t, bh.Auth) {
		return
	}
	p.stats.Invites++
	if r := m.get("Require"); r != "" {
		p.respond(t, 420, func(x *message) { x.add("Unsupported", r) })
		return
	}
	c := p.newCall(false)
	c.incoming, c.to, c.id, c.final = t, t.from, m.get("Call-ID"), m
	t.toTag = c.localTag
	c.localURI, c.remoteURI = cut(m.get("To")), cut(m.get("From"))
	c.remoteSeq, _, _ = m.cseq()
	c.seq = p.number()%1000 + 1
	c.learn(m, "From", true)
	p.calls[c.key()] = c
	c.event(false, "INVITE", 0)
	if !bh.NoTrying {
		c.reply(t, 100, nil)
	}
	p.after(bh.AnswerAfter, func() { c.ring(bh) })
}

// over says whether the INVITE of a received call needs no answer of ours any more.
func (c *Call) over() bool { return c.why != "" || c.status != 0 }

// ring is the second step of a received call.
func (c *Call) ring(bh Behaviour) {
	if c.over() {
		return
	}
	if bh.Refuse != 0 {
		c.p.after(bh.RingFor, func() { c.refuse(bh.Refuse) })
		return
	}
	sock, err := openRTP(c.p.cfg.Net, c.p.cfg.MediaAddr)
	if err != nil {
		c.p.fault("our own media socket: %v", err)
		c.refuse(500)
		return
	}
	c.media = c.p.newMedia(c, sock, bh.OwnTone)
	c.media.mute = bh.Mute
	var body []byte
	if len(c.incoming.req.body) > 0 {
		if body, err = c.answer(c.incoming.req.body); err != nil {
			c.p.fault("INVITE: %v", err)
			c.refuse(488)
			return
		}
	} else {
		c.delayed = true
		body = c.describeOffer()
	}
	switch {
	case bh.EarlyMedia && !c.delayed:
		c.reply(c.incoming, 183, body)
	case !bh.NoRinging:
		c.reply(c.incoming, 180, nil)
	}
	if !bh.NoAnswer {
		c.p.after(bh.RingFor, func() { c.pickUp(bh, body) })
	}
}

func (c *Call) refuse(status int) {
	if c.over() {
		return
	}
	c.p.stats.Refused++
	c.settle(status)
	c.reply(c.incoming, status, nil)
	c.end("refused")
}

func (c *Call) pickUp(bh Behaviour, body []byte) {
	if c.over() {
		return
	}
	c.p.stats.Answered++
	c.settle(200)
	c.confirmed = true
	c.accept(c.incoming, body)
	close(c.answered)
	if bh.HangUpAfter > 0 {
		c.p.after(bh.HangUpAfter, func() { c.bye("bye sent") })
	}
}

// onCancel takes the CANCEL of an INVITE.
func (p *Peer) onCancel(inv *serverTx) {
	c := p.calls[inv.req.get("Call-ID")+" "+inv.toTag]
	if c == nil || c.over() {
		return
	}
	c.event(false, "CANCEL", 0)
	if p.behaviour.Load().AnswerAfterCancel && c.media != nil && c.sdp.last != "" {
		c.pickUp(Behaviour{}, c.sdp.body)
		return
	}
	c.cancelled = true
	c.settle(487)
	c.reply(inv, 487, nil)
	c.end("cancelled")
}

// Options sends an OPTIONS outside of any call and gives its final status, 408 for silence.
func (p *Peer) Options(ctx context.Context, dest netip.AddrPort) (int, error) {
	to, err := p.connect(ctx, dest, p.cfg.ServerName)
	if err != nil {
		return 0, err
	}
	p.mu.Lock()
	c := p.newCall(true)
	c.id = p.token()
	c.localURI = "<" + sipURI(p.cfg.Name, cmp.Or(p.cfg.Domain, p.addr.String())) + ">"
	c.target = "sip:" + dest.String()
	c.remoteURI = "<" + c.target + ">"
	ch := make(chan int, 1)
	p.start(c.build("OPTIONS", 1), to, func(r *message) { final(ch, r) })
	p.mu.Unlock()
	return await(ctx, ch)
}
