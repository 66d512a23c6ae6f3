package sip

import (
	"mime"
	"slices"
	"strings"
	"time"

	"github.com/cordonsip/cordon/audit"
	"github.com/cordonsip/cordon/healthcheck"
	"github.com/cordonsip/cordon/media"
	"github.com/cordonsip/cordon/routing"
	"github.com/cordonsip/cordon/sip/digest"
	"github.com/cordonsip/cordon/sip/transaction"
	"github.com/cordonsip/cordon/sip/transport"
	"github.com/cordonsip/cordon/sovereign"
	msg "github.com/emiago/sipgo/sip"
)

// Bounds of a message. RFC 3428 section 8: no larger than 1300 bytes where the way has no congestion control.
const (
	maxPagedUDP = 1300
	maxPaged    = 16 << 10
	pageWithin  = 4 * time.Second  // one hop
	pageWhole   = 24 * time.Second // all hops: the sender gives up at 32 s
)

// page is one message in pager mode (RFC 3428) on its way over the hops of its plan, which is made and judged like that of a call. Of it the log gets references,
// its size and where it went.
type page struct {
	walk  *call // the walk over the hops; it has no legs
	tx    *transaction.Server
	from  *leg // who sent it, as far as headers are concerned
	kind  string
	body  []byte
	hop   *routing.Hop
	to    *leg
	auth  *digester
	auths int
	round digest.Round
	req   *msg.Request
	sent  time.Time
	took  *audit.ReceiptHop // the hop that took it
	wide  bool              // it is too large for UDP, by which this hop gets everything else
	over  bool
}

// typeOf is the content type of a message without its parameters.
func typeOf(m msg.Message) string {
	kind, _, err := mime.ParseMediaType(value(m, "content-type"))
	if err != nil {
		return ""
	}
	return kind
}

// takes says whether messages of a content type may go to this party.
func (p *Party) takes(kind string) bool { return slices.Contains(p.messageTypes(), kind) }

func (p *Party) messageTypes() []string {
	if len(p.Messages) == 0 {
		return []string{"text/plain"}
	}
	return p.Messages
}

// unfit says what is wrong with a message before anybody is asked where it should go.
func (s *shard) unfit(tx *transaction.Server, req *msg.Request, in transport.Incoming, party *Party) *refusal {
	switch u := req.Recipient; {
	case u.Scheme != "sip" && u.Scheme != "sips" && u.Scheme != "tel":
		return &refusal{status: 416}
	case req.From().Params.GetOr("tag", "") == "":
		return &refusal{status: 400}
	case spent(req):
		return &refusal{status: 483}
	case tx.Merged(), s.ours[req.CallID().Value()]:
		return &refusal{status: 482}
	case len(tokens(req, "require")) > 0:
		return &refusal{420, []msg.Header{msg.NewHeader("Unsupported", strings.Join(tokens(req, "require"), ", "))}}
	case len(req.Body()) > maxPaged, in.Flow.Proto() == transport.UDP && len(req.Body()) > maxPagedUDP:
		return &refusal{status: 513}
	case !plainBody(req), typeOf(req) == "":
		return &refusal{415, []msg.Header{msg.NewHeader("Accept", strings.Join(party.messageTypes(), ", "))}}
	}
	if s.e.draining.Load() || !s.e.screen.take(in.Flow.Remote().Addr()) {
		return &refusal{503, []msg.Header{msg.NewHeader("Retry-After", "5")}}
	}
	return nil
}

// message takes one message in pager mode, whose sender has shown its credentials.
func (s *shard) message(tx *transaction.Server, req *msg.Request, in transport.Incoming, party *Party) {
	if in.OnlyEmergency {
		return // its source is held: nothing but calls for help is taken from there
	}
	if r := s.unfit(tx, req, in, party); r != nil {
		s.answer(tx, r.status, r.headers...)
		return
	}
	ruling := s.e.screen.judge(party, in.Flow.Remote(), sovereign.Production)
	if !ruling.Permitted() || !party.sendsFrom(in.Flow.Remote().Addr(), in.Flow.Peer()) {
		s.e.screen.refused(party.Name, in.Flow.Remote(), ruling.Ground, "a message from where its party does not send from: "+ruling.Why)
		s.answer(tx, 403, reason{"SIP", 403, "source refused by policy"}.header())
		return
	}
	a := s.asked(req, party)
	ask := a.request(party.Name, time.Now())
	ask.Message = true
	plan := s.e.c.Planner.Plan(ask)
	if plan.Route == "" && plan.Purpose != sovereign.EmergencyCall { // nobody opened a way for messages
		s.answer(tx, 405, msg.NewHeader("Allow", allowed))
		return
	}
	if plan.Purpose == sovereign.EmergencyCall {
		s.answer(tx, 603, reason{"SIP", 603, "emergency numbers take calls"}.header())
		return
	}
	p := &page{walk: newCall(s, party, a, plan), tx: tx, kind: typeOf(req), body: slices.Clone(req.Body())}
	p.walk.page = p
	p.from = &leg{c: p.walk, side: media.A, party: party, flow: in.Flow, ruling: ruling, callID: req.CallID().Value(), tag: req.From().Params.GetOr("tag", "")}
	p.prepare(ask.Caller)
}

// prepare makes the references of a message and notes that it is under way: what cannot be recorded is not relayed.
func (p *page) prepare(caller string) {
	c, e := p.walk, p.walk.sh.e
	callID, called, at := c.ask.callID, c.ask.called, c.start
	e.off(func() {
		ref, refs := e.c.Names.Call(callID, caller, called)
		e.intend(c.sh, ref, at, recordWithin, func(err error) {
			c.ref.Store(&ref)
			c.refs, c.logDown = refs, err != nil || !e.c.Log.Health().OK
			if c.logDown && e.c.OnLogFailure != continueWithGap {
				c.refuse(c.holdStatus(), "refused", reason{"SIP", c.holdStatus(), "messages cannot be recorded now"})
				return
			}
			c.next()
		})
	})
}

// send gives the message to one hop, over the way that the policy let through.
func (p *page) send(h *routing.Hop, party *Party, f transport.Flow, r *sovereign.Ruling) {
	c := p.walk
	p.hop, p.wide, p.auths, p.auth, p.round = h, false, 0, newDigester(party), digest.Round{}
	p.to = &leg{c: c, side: media.B, party: party, flow: f, ruling: r, name: h.Target.Name, target: h.Target.ID(), callID: c.sh.newCallID(), tag: c.sh.dice.token("", 12)}
	c.tried = append(c.tried, audit.Attempt{
		Party: h.Party, Target: h.Target.ID(), Region: r.Region.String(), Country: string(r.Country), Verdict: r.Verdict.String(), Ground: string(r.Ground),
	})
	c.grant = h.Grant
	p.req = p.build(1)
	large := f.Proto() == transport.UDP && len(p.req.String()) > maxPagedUDP
	if large { // RFC 3428 section 8 knows no way back to UDP
		if wide, ok := c.sh.e.wide(f); ok {
			p.to.flow, p.wide, large = wide, true, false
			p.req = p.build(1)
		}
	}
	switch {
	case !party.takes(p.kind):
		p.give("type_not_taken", 415)
	case large:
		p.give("too_large", 513)
	case time.Since(c.start) > pageWhole:
		p.give("too_late", 408)
	default:
		p.write(p.req)
	}
}

func (p *page) write(req *msg.Request) {
	c := p.walk
	p.sent = time.Now()
	c.tried[len(c.tried)-1].At = p.sent
	within := pageWithin
	if p.hop.Within > 0 {
		within = p.hop.Within
	}
	c.sh.tx.Request(p.to.flow, req, p, transaction.WithTimeout(within))
}

// build writes the message anew for a hop: nothing crosses but its body and what the party may hear of its sender.
func (p *page) build(seq uint32) *msg.Request {
	c, l := p.walk, p.to
	at := &attempt{c: c, hop: p.hop, leg: l}
	host := at.host()
	target := at.target(host)
	req := msg.NewRequest(msg.MESSAGE, target)
	hops := msg.MaxForwardsHeader(max(c.ask.hops, 1) - 1)
	req.AppendHeader(&hops)
	display, from := c.ask.caller(l.party, host)
	req.AppendHeader(&msg.FromHeader{DisplayName: display, Address: from, Params: msg.HeaderParams{{K: "tag", V: l.tag}}})
	to := target
	to.UriParams, to.Port = nil, 0
	req.AppendHeader(&msg.ToHeader{Address: to})
	id := msg.CallIDHeader(l.callID)
	req.AppendHeader(&id)
	req.AppendHeader(&msg.CSeqHeader{SeqNo: seq, MethodName: msg.MESSAGE})
	c.ask.said.carry(req, p.from, l, host)
	c.sh.brand(req)
	req.AppendHeader(msg.NewHeader("Content-Type", p.kind))
	req.SetBody(p.body)
	return req
}

// give passes over a hop that was not contacted.
func (p *page) give(word string, status int) {
	c := p.walk
	c.tried[len(c.tried)-1].Result = word
	c.refund(p.hop)
	c.remember(status, nil)
	c.sh.loop.Post(p.onward)
}

func (p *page) onward() {
	if !p.over {
		p.walk.next()
	}
}

// Response implements transaction.ClientUser.
func (p *page) Response(_ *transaction.Client, res *msg.Response) {
	if p.over || res.IsProvisional() {
		return
	}
	c, status := p.walk, res.StatusCode
	last := &c.tried[len(c.tried)-1]
	last.TookMS, last.Result = ms(time.Since(p.sent)), itoa(status)
	rs := reasons(res)
	if (status == 401 || status == 407) && p.again(res) {
		return
	}
	p.outcome(status < 500 || status >= 600 || status == 503, status == 503, retryAfter(res), itoa(status))
	switch {
	case res.IsSuccess():
		p.took = &audit.ReceiptHop{}
		signallingHop(p.took, nil, "b", p.to)
		p.end(status, "relayed", nil)
	case fateOf(status, rs) == tryNext:
		c.remember(status, rs)
		p.onward()
	default:
		p.end(upstream(status), "failed", rs)
	}
}

// again answers a challenge. RFC 3261 section 22.2.
func (p *page) again(res *msg.Response) bool {
	if p.auths >= 2 {
		return false
	}
	hs, err := p.auth.answer(&p.round, res, "MESSAGE", p.req.Recipient.String(), p.body)
	if err != nil {
		return false
	}
	p.auths++
	p.req = p.build(uint32(1 + p.auths))
	for _, h := range hs {
		p.req.AppendHeader(h)
	}
	p.write(p.req)
	return true
}

// Failed implements transaction.ClientUser.
func (p *page) Failed(_ *transaction.Client, err error) {
	if p.over {
		return
	}
	c := p.walk
	last := &c.tried[len(c.tried)-1]
	word := unsent(p.to.flow, err)
	last.TookMS, last.Result = ms(time.Since(p.sent)), word
	switch {
	case word == "fenced":
		c.held = true
	case word == "silent":
		p.outcome(false, false, 0, word+": "+err.Error())
		c.remember(408, nil)
	case p.wide: // no connection, which says nothing of the hop
		last.TookMS, last.Result = 0, "too_large"
		c.remember(513, nil)
	default:
		p.outcome(false, false, 0, word+": "+err.Error())
		c.remember(503, nil) // RFC 3261 section 8.1.3.1
	}
	p.onward()
}

// outcome tells health what a real message met.
func (p *page) outcome(alive, busy bool, after time.Duration, cause string) {
	if f := p.walk.sh.e.c.Outcome; f != nil {
		now := time.Now()
		f(healthcheck.Outcome{Target: p.hop.Target.ID(), Alive: alive, Busy: busy, RetryAfter: after, Cause: cause, Took: now.Sub(p.sent), At: now, Final: 487, Own: p.walk.alone(p.to)}) // which counts in no ratio: a message is no call
	}
}

// end answers the sender and writes down what became of the message.
func (p *page) end(status int, result string, rs []reason) {
	if p.over {
		return
	}
	p.over = true
	c, e := p.walk, p.walk.sh.e
	c.ended = true
	hs := reasonHeaders(rs)
	ref := c.ref.Load()
	if result == "held" || result == "refused" {
		hs = append(hs, msg.NewHeader(receiptHeader, *ref))
	}
	c.sh.answer(p.tx, status, hs...)
	e.metrics.messages.WithLabelValues(result).Inc()
	rec := p.record(status)
	e.record(rec.MessageRef, "", func() {}, rec)
}

// record is the receipt of a message.
func (p *page) record(status int) audit.MessageRelayed {
	c := p.walk
	r := audit.MessageRelayed{
		MessageRef: *c.ref.Load(), Direction: string(c.plan.Direction), From: c.party.Name, Route: c.plan.Route, Bytes: len(p.body),
		Attempts: c.attempts([]audit.Attempt{}), Hop: p.took, SIPFinal: status, Overall: "compliant", PolicyDigest: c.plan.Digest, Generation: c.plan.Generation,
	}
	if len(c.refs) > 1 {
		r.PartyA, r.PartyB = c.refs[0], c.refs[1]
	}
	if p.to != nil && p.to.party.takes(p.kind) {
		r.ContentType = p.kind // others are a stranger's words
	}
	switch {
	case p.took != nil:
		r.To, r.GateDecision = p.hop.Party, c.grant
		if p.to.ruling.Ground == sovereign.GroundGrant {
			r.Overall = "compliant_by_gate"
		}
	case c.denied:
		r.Overall = "refused_by_policy"
	}
	return r
}

// paged is a message inside a dialog: it goes to the other side and its answer back, in the order of arrival. RFC 3428 section 4.
func (l *leg) paged(tx *transaction.Server, req *msg.Request) {
	o, sh := l.other(), l.c.sh
	kind := typeOf(req)
	switch {
	case o == nil || o.dlg == nil || o.ended || !l.c.confirmed:
		sh.answer(tx, 500, msg.NewHeader("Retry-After", "1")) // not 481: the call is there
		return
	case len(o.party.Messages) == 0:
		sh.answer(tx, 405, msg.NewHeader("Allow", allowed))
		return
	case spent(req):
		sh.answer(tx, 483)
		return
	case len(req.Body()) > maxPaged, o.flow.Proto() == transport.UDP && len(req.Body()) > maxPagedUDP:
		sh.answer(tx, 513)
		return
	case !o.party.takes(kind), !plainBody(req):
		sh.answer(tx, 415, msg.NewHeader("Accept", strings.Join(o.party.messageTypes(), ", ")))
		return
	}
	out := o.build(msg.MESSAGE)
	onward(out, req)
	said := hear(req, l.party, sh.e.profiles.Load())
	said.carry(out, l, o, o.host())
	out.AppendHeader(msg.NewHeader("Content-Type", kind))
	out.SetBody(slices.Clone(req.Body()))
	o.send(out, func(res *msg.Response, err error) {
		status := 408
		if err == nil {
			status = res.StatusCode
		}
		sh.answer(tx, inDialogStatus(status))
		l.c.note(l, o, kind, len(req.Body()), status)
		if status == 481 || status == 408 {
			l.c.gone(o, status)
		}
	})
}

// note writes a message inside the call into the log, with where it went.
func (c *call) note(from, to *leg, kind string, size, status int) {
	ref, e := c.ref.Load(), c.sh.e
	if ref == nil {
		return
	}
	var hop audit.ReceiptHop
	signallingHop(&hop, nil, sideName(to.side), to)
	r := audit.MessageRelayed{
		MessageRef: *ref, Direction: string(c.plan.Direction), From: from.party.Name, To: to.party.Name, Route: c.plan.Route, Bytes: size, ContentType: kind,
		Attempts: []audit.Attempt{}, Hop: &hop, GateDecision: c.grant, SIPFinal: status, Overall: "compliant", PolicyDigest: c.plan.Digest, Generation: c.plan.Generation,
	}
	if to.ruling.Ground == sovereign.GroundGrant {
		r.Overall = "compliant_by_gate"
	}
	if len(c.refs) > 1 {
		r.PartyA, r.PartyB = c.refs[0], c.refs[1]
	}
	e.metrics.messages.WithLabelValues(itoa(status)).Inc()
	e.tasks.Add(1)
	e.write(r, func(written bool) {
		defer e.tasks.Add(-1)
		if !written {
			e.log.Error("the record of a message in a call could not be written", "call", r.MessageRef)
		}
	})
}

// inDialogStatus is the answer to a request inside a dialog that the other side answered: a success as it is, a refusal so that it ends no dialog.
func inDialogStatus(status int) int {
	if status < 300 || status == 408 || status == 481 || status == 415 || status == 513 {
		return status
	}
	return referStatus(status)
}
