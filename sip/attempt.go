package sip

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"net/netip"
	"strconv"
	"time"

	"github.com/cordonsip/cordon/audit"
	"github.com/cordonsip/cordon/healthcheck"
	"github.com/cordonsip/cordon/media"
	"github.com/cordonsip/cordon/routing"
	"github.com/cordonsip/cordon/sip/dialog"
	"github.com/cordonsip/cordon/sip/digest"
	"github.com/cordonsip/cordon/sip/transaction"
	"github.com/cordonsip/cordon/sip/transport"
	"github.com/cordonsip/cordon/sovereign"
	msg "github.com/emiago/sipgo/sip"
)

type netAddrPort = netip.AddrPort

// attempt is one INVITE to one hop. An attempt that was given up stays as a zombie until its transaction ends: whatever comes late is cancelled, or accepted
// and ended at once, and never reaches the call again.
type attempt struct {
	c      *call
	hop    routing.Hop
	leg    *leg
	client *transaction.Client
	record int // index in c.tried
	seq    uint32
	sent   time.Time
	se     uint32 // Session-Expires that is asked for; raised by a 422
	plain  bool   // the retry without SRTP of a leg whose SRTP is optional

	first, progress, ring transaction.Timer
	alive                 bool // something came back
	dead                  bool // given up: a zombie
	done                  bool // answered with 2xx, or told as failed
	auth                  digest.Round
	told, forgotten       bool
}

func newAttempt(c *call, h routing.Hop, p *Party, f transport.Flow, r sovereign.Ruling, plain bool) *attempt {
	t := &attempt{c: c, hop: h, seq: 1, plain: plain, se: seconds(p.Refresh)}
	t.leg = &leg{
		c: c, side: media.B, party: p, flow: f, ruling: r, name: h.Target.Name, target: h.Target.ID(), callID: newCallID(c.sh.id), tag: token(12),
		auth: newDigester(p), early: map[string]*dialog.Dialog{}, racks: map[string]uint32{}, ackSDP: map[uint32][]byte{},
	}
	c.cur = t
	c.sh.e.partyLoad(p.Name).Add(1)
	c.sh.legs[legKey(t.leg.callID, t.leg.tag)] = t.leg
	c.sh.ours[t.leg.callID] = true
	if c.emergency() {
		c.sh.needs(t.leg.callID)
	}
	c.tried = append(c.tried, audit.Attempt{
		Party: h.Party, Target: h.Target.ID(), Region: r.Region.String(), Country: string(r.Country), Verdict: r.Verdict.String(), Ground: string(r.Ground),
	})
	t.record = len(c.tried) - 1
	return t
}

// offer asks media for the offer toward this hop: fresh sockets and fresh keys for each attempt. Sockets are opened off the loop.
func (t *attempt) offer() {
	c := t.c
	if c.ask.sdp == nil {
		t.send(nil)
		return
	}
	s, sdp, leg := c.media.Load(), c.ask.sdp, t.leg.media()
	if t.plain {
		leg.Security = media.Plain
	}
	if y, open := c.synth, c.sh.e.c.Endpoint; y != nil {
		c.sh.e.off(func() {
			out, err := y.offer(open, leg)
			c.sh.loop.Post(func() { t.offered(out, err) })
		})
		return
	}
	again := c.early != nil
	c.early = nil
	c.sh.e.off(func() {
		if again {
			s.Abandon() // an early answer of the hop before is void
		}
		out, err := s.Offer(media.A, sdp, leg)
		c.sh.loop.Post(func() { t.offered(out, err) })
	})
}

func (t *attempt) offered(sdp []byte, err error) {
	if t.dead || t.c.ended {
		if !t.plain {
			t.c.refund(t.hop)
		}
		t.forget()
		return
	}
	if err != nil {
		r := asRefusal(err)
		t.c.refusal = r
		if r.Status == 403 {
			t.c.held = true
		}
		if !t.plain {
			t.c.refund(t.hop)
		}
		t.result("media_" + itoa(r.Status))
		t.leave()
		return
	}
	t.send(sdp)
}

// leave gives the hop up without having contacted it, or after its final answer, and goes on with the next.
func (t *attempt) leave() {
	t.done = true
	t.stop()
	t.forget()
	t.c.next()
}

// forget removes the attempt from the shard's books once nothing can come any more.
func (t *attempt) forget() {
	if t.forgotten {
		return
	}
	t.forgotten = true
	sh := t.c.sh
	sh.e.partyLoad(t.leg.party.Name).Add(-1)
	delete(sh.ours, t.leg.callID)
	key := legKey(t.leg.callID, t.leg.tag)
	sh.loop.After(64*sh.e.c.Timers.T1, func() {
		if t.c.b != t.leg {
			delete(sh.legs, key)
			if t.c.emergency() {
				sh.spare(t.leg.callID)
			}
		}
	})
}

func (t *attempt) send(sdp []byte, more ...msg.Header) {
	c := t.c
	req := t.request(sdp, more)
	t.leg.invite, t.leg.sent = req, sdp
	t.sent = time.Now()
	c.reason, c.grant = t.hop.Reason, t.hop.Grant
	if c.tried[t.record].At.IsZero() {
		c.tried[t.record].At = t.sent
	}
	c.setState("trying")
	t.client = c.sh.tx.Request(t.leg.flow, req, t)
	t.first = c.sh.loop.After(t.within(), t.silent)
}

// within is the first-response timer: the hop's, the party's, or the default of the transport.
func (t *attempt) within() time.Duration {
	switch c := t.c; {
	case c.emergency() && c.hop >= len(c.plan.Hops):
		return c.within(c.party.Within.Setup, 30*time.Second) // nobody else is left to ask for help, so nothing is gained by giving up
	case t.hop.Within > 0:
		return t.hop.Within
	case t.leg.party.Within.First > 0:
		return t.leg.party.Within.First
	case t.leg.flow.Proto() == transport.UDP:
		return 2 * time.Second
	}
	return 1500 * time.Millisecond
}

// host is what the other side is called in what we send to it.
func (t *attempt) host() string {
	switch {
	case t.leg.party.Domain != "":
		return t.leg.party.Domain
	case t.hop.Target.Name != "":
		return hostText(t.hop.Target.Name)
	}
	return hostText(t.hop.Target.Addr.Addr().Unmap().String())
}

func (t *attempt) target(host string) msg.Uri {
	a := t.c.ask
	if a.service != "" && t.hop.URI == "" {
		var u msg.Uri
		if msg.ParseUri(a.service, &u) == nil {
			return u
		}
	}
	u := msg.Uri{Scheme: "sip", User: t.hop.URI, Host: host}
	if u.User == "" {
		u.User = a.called
	}
	switch p := t.leg.flow.Proto(); {
	case a.sips && p == transport.TLS: // an emergency call goes over whatever its trunk has
		u.Scheme = "sips"
	case p != transport.UDP:
		u.UriParams = msg.HeaderParams{{K: "transport", V: string(p)}}
	}
	if _, err := netip.ParseAddr(host); err == nil {
		u.Port = int(t.hop.Target.Addr.Port())
	}
	return u
}

// request builds the INVITE from what the caller asked for. Nothing is copied from the caller's message but what is named here.
func (t *attempt) request(sdp []byte, more []msg.Header) *msg.Request {
	c, a, l := t.c, t.c.ask, t.leg
	host := t.host()
	target := t.target(host)
	req := msg.NewRequest(msg.INVITE, target)
	hops := msg.MaxForwardsHeader(max(a.hops, 1) - 1)
	req.AppendHeader(&hops)
	display, from := a.caller(l.party, host)
	req.AppendHeader(&msg.FromHeader{DisplayName: display, Address: from, Params: msg.HeaderParams{{K: "tag", V: l.tag}}})
	to := target
	to.UriParams, to.Port = nil, 0
	req.AppendHeader(&msg.ToHeader{Address: to})
	id := msg.CallIDHeader(l.callID)
	req.AppendHeader(&id)
	req.AppendHeader(&msg.CSeqHeader{SeqNo: t.seq, MethodName: msg.INVITE})
	req.AppendHeader(l.contact())
	req.AppendHeader(msg.NewHeader("Allow", allowed))
	if a.sdp == nil {
		req.AppendHeader(msg.NewHeader("Supported", "timer")) // a reliable 1xx would carry the offer and want its answer before A was asked
	} else {
		req.AppendHeader(msg.NewHeader("Supported", supported))
		if a.require && l.party.Rel100 == "pass" {
			req.AppendHeader(msg.NewHeader("Require", "100rel"))
		}
	}
	if t.se > 0 {
		req.AppendHeader(msg.NewHeader("Session-Expires", strconv.Itoa(int(t.se))))
		req.AppendHeader(msg.NewHeader("Min-SE", minSEText))
	}
	req.AppendHeader(c.sessionHeader(media.B))
	identify(req, a.asserted, a.privacy, l.party, host)
	cross(req, a.cross, c.party, l.party, host)
	c.sh.brand(req)
	for _, h := range more {
		req.AppendHeader(h)
	}
	setSDP(req, sdp)
	return req
}

// Response implements transaction.ClientUser.
func (t *attempt) Response(_ *transaction.Client, res *msg.Response) {
	t.leg.measure(time.Since(t.sent))
	switch {
	case t.c.b == t.leg && t.done:
		if res.IsSuccess() {
			t.leg.again(res)
		}
	case t.dead || t.done:
		t.late(res)
	case res.IsProvisional():
		t.provisional(res)
	case res.IsSuccess():
		t.answered(res)
	default:
		t.failed(res)
	}
}

// late is what comes after the attempt was given up.
func (t *attempt) late(res *msg.Response) {
	switch {
	case res.IsProvisional():
		t.client.Cancel()
	case res.IsSuccess():
		t.leg.drop(res)
	}
}

// Failed implements transaction.ClientUser: no final response will come.
func (t *attempt) Failed(_ *transaction.Client, err error) {
	if t.dead || t.done {
		return
	}
	took := time.Since(t.sent)
	word := "lost"
	switch {
	case errors.Is(err, sovereign.ErrFenced):
		t.c.held = true
		word = "fenced"
	case errors.Is(err, transaction.ErrTimeout):
		word = "silent"
	case t.leg.flow.Proto() == transport.UDP:
		word = "icmp"
	}
	t.c.tried[t.record].TookMS = ms(took)
	t.result(word)
	if word != "fenced" {
		t.outcome(false, false, 0, word+": "+err.Error(), true)
		t.c.remember(503, nil)
	}
	t.leave()
}

// silent is the first-response timer.
func (t *attempt) silent() {
	t.give("silent", reason{"SIP", 408, "no response"})
}

// give abandons a hop that did not answer in time and goes on.
func (t *attempt) give(word string, r reason) {
	t.c.tried[t.record].TookMS = ms(time.Since(t.sent))
	t.result(word)
	t.outcome(t.alive, false, 0, word, true)
	t.c.remember(408, nil)
	t.abandon([]reason{r})
	t.c.next()
}

// abandon turns the attempt into a zombie. Its CANCEL leaves as soon as a provisional response allows it.
func (t *attempt) abandon(rs []reason) {
	if t.dead || t.done {
		return
	}
	t.dead = true
	t.stop()
	if t.client != nil {
		t.client.Quiet() // before the CANCEL, which may end the silence
		t.client.Cancel(reasonHeaders(rs)...)
	}
	t.forget()
}

func (t *attempt) stop() {
	stopTimer(&t.first)
	stopTimer(&t.progress)
	stopTimer(&t.ring)
}

// result writes the last word on this attempt into the receipt.
func (t *attempt) result(word string) {
	t.c.tried[t.record].Result = word
	t.c.sh.e.metrics.attempts.WithLabelValues(t.hop.Party, word).Inc()
}

// outcome tells health what a real call met, once.
func (t *attempt) outcome(alive, busy bool, after time.Duration, cause string, tell bool) {
	if t.told || !tell || t.c.sh.e.c.Outcome == nil || t.sent.IsZero() {
		return
	}
	t.told = true
	now := time.Now()
	t.c.sh.e.c.Outcome(healthcheck.Outcome{
		Target: t.hop.Target.ID(), Alive: alive, Busy: busy, RetryAfter: after, Cause: cause, Took: now.Sub(t.sent), At: now,
	})
}

// provisional moves the timers on and relays what the caller should see.
func (t *attempt) provisional(res *msg.Response) {
	c := t.c
	stopTimer(&t.first)
	if !t.alive {
		t.alive = true
		t.progress = c.sh.loop.After(c.within(t.leg.party.Within.Progress, 12*time.Second), func() {
			t.give("no_progress", reason{"SIP", 408, "no progress"})
		})
	}
	if res.StatusCode < 180 {
		return
	}
	stopTimer(&t.progress)
	stopTimer(&c.setup)
	stopTimer(&t.ring)
	t.ring = c.sh.loop.After(c.within(t.leg.party.Within.Ring, 60*time.Second), t.rang)
	d, err := t.dialogOf(res)
	reliable := lists(res, "require", "100rel") && err == nil
	if reliable && !t.prack(d, res) {
		return
	}
	if err == nil {
		t.leg.update = lists(res, "allow", "UPDATE")
	}
	if id := sessionID(res); id != "" {
		c.ids.b = id
	}
	var out []byte
	if sdp, ok := bodySDP(res); ok && sdp != nil && c.ask.sdp != nil {
		if out, err = c.accept(sdp); err != nil {
			if r := asRefusal(err); r.Status == 403 {
				c.held = true
				t.give("media_403", reason{"SIP", 403, "media place refused by policy"})
				return
			}
			out = nil // not a good early answer: the final one decides
		} else {
			t.leg.taken, c.early = sdp, out
		}
	}
	c.setState("ringing")
	c.progress(res, out, reliable)
}

// rang is the ring timer: nobody picked up.
func (t *attempt) rang() {
	t.c.tried[t.record].TookMS = ms(time.Since(t.sent))
	t.result("no_answer")
	t.outcome(true, false, 0, "no answer", true)
	t.abandon([]reason{{"SIP", 408, "no answer"}})
	t.c.refuse(480, "failed", reason{"Q.850", 19, "no answer"})
}

// dialogOf gives the dialog that a response belongs to, by its To-tag: forks have several.
func (t *attempt) dialogOf(res *msg.Response) (*dialog.Dialog, error) {
	to := res.To()
	if to == nil {
		return nil, dialog.ErrNoTag
	}
	if d := t.leg.early[to.Params.GetOr("tag", "")]; d != nil {
		return d, d.Refresh(res)
	}
	d, err := dialog.UAC(t.leg.invite, res)
	if err != nil {
		return nil, err
	}
	if len(t.leg.early) < 16 {
		t.leg.early[d.Remote.Tag] = d
	}
	return d, nil
}

// answered takes the first 2xx. A later one of another fork is ended by leg.again.
func (t *attempt) answered(res *msg.Response) {
	c, l := t.c, t.leg
	t.stop()
	c.tried[t.record].TookMS = ms(time.Since(t.sent))
	d, err := t.dialogOf(res)
	if err == nil {
		err = d.Confirm(res)
	}
	sdp, _ := bodySDP(res)
	if l.closed(time.Now()) { // the law changed while it rang: no ACK can leave, and nothing may be put through
		c.held = true
		t.unusable(res, "fenced", 0)
		return
	}
	if err != nil || (sdp == nil && (c.ask.sdp == nil || c.early == nil)) {
		t.unusable(res, "no_session", 502)
		return
	}
	l.dlg, l.early = d, nil
	l.update = lists(res, "allow", "UPDATE")
	if id := sessionID(res); id != "" {
		c.ids.b = id
	}
	seq := res.CSeq().SeqNo
	if c.ask.sdp == nil {
		t.win(res)
		c.delayed(res, sdp, seq)
		return
	}
	out := c.early
	if sdp != nil {
		if out, err = c.accept(sdp); err != nil {
			l.dlg = nil
			r := asRefusal(err)
			c.refusal = r
			c.held = c.held || r.Status == 403
			t.unusable(res, "media_"+itoa(r.Status), 0)
			return
		}
		l.taken = sdp
	}
	t.win(res)
	l.settle(seq, nil)
	c.connected(res, out, nil)
}

// win makes this attempt's leg the call's.
func (t *attempt) win(res *msg.Response) {
	t.done = true
	t.c.b = t.leg
	t.result(itoa(res.StatusCode))
	t.outcome(true, false, 0, "answered", true)
	t.c.taken = append(t.c.taken, t.leg.party.Name)
	delete(t.c.sh.ours, t.leg.callID)
	t.leg.timing.agreed(t.leg, res)
}

// unusable ends an answer that no session can be made of and goes on with the next hop.
func (t *attempt) unusable(res *msg.Response, word string, status int) {
	t.leg.drop(res)
	t.result(word)
	t.outcome(true, false, 0, word, true)
	if status > 0 {
		t.c.remember(status, nil)
	}
	t.leave()
}

// fate is what a final response means for the walk over the hops.
type fate uint8

const (
	stopHere fate = iota // the user or the peer has spoken
	tryNext              // this hop cannot, another may
)

// fateOf is the table of failover: RFC 3261 section 16.7, RFC 3263 section 4.3, and the Q.850 causes that mean congestion or an outage of the network.
func fateOf(status int, rs []reason) fate {
	switch status {
	case 401, 407, 408, 430, 500, 502, 503, 504, 580:
		return tryNext
	}
	if status >= 600 || status < 400 {
		return stopHere
	}
	for _, r := range rs {
		if r.protocol == "Q.850" {
			switch r.cause {
			case 34, 38, 41, 42, 44, 47:
				return tryNext
			}
		}
	}
	return stopHere
}

// failed takes a final response that is no 2xx.
func (t *attempt) failed(res *msg.Response) {
	c, status, rs := t.c, res.StatusCode, reasons(res)
	stopTimer(&t.first)
	if t.retry(res) {
		return
	}
	t.stop()
	took := time.Since(t.sent)
	c.tried[t.record].TookMS = ms(took)
	t.result(itoa(status))
	alive := status != 408 && (status < 500 || status >= 600 || status == 503)
	t.outcome(alive, status == 503, retryAfter(res), itoa(status), true)
	if status == 488 && !t.plain && t.leg.party.Leg.Security == media.SRTPOptional && c.ask.sdp != nil {
		t.done = true
		t.forget()
		if c.try(t.hop, true) {
			return
		}
	}
	if fateOf(status, rs) == tryNext {
		c.remember(status, rs)
		t.leave()
		return
	}
	t.done = true
	t.forget()
	c.cur = nil
	if len(rs) == 0 && status >= 300 && status < 400 {
		rs = []reason{{"SIP", status, "redirection not followed"}}
	}
	c.refuseWith(upstream(status), "failed", byB, rs, nil)
}

// remember keeps the downstream answer that tells the caller most: a real one over a timeout.
func (c *call) remember(status int, rs []reason) {
	if c.best == 0 || c.best == 408 || status != 408 {
		c.best, c.bestWhy = status, rs
	}
}

// retry answers what is no failure: a challenge, and a session interval that is too small. The Call-ID and the tag stay, the CSeq moves on.
func (t *attempt) retry(res *msg.Response) bool {
	var more []msg.Header
	switch res.StatusCode {
	case 401, 407:
		hs, err := t.leg.auth.answer(&t.auth, res, "INVITE", t.leg.invite.Recipient.String(), t.leg.sent)
		if err != nil {
			return false
		}
		more = append(more, hs...)
	case 422:
		n, ok := number(res, "min-se")
		if !ok || n <= t.se || n > 24*3600 {
			return false
		}
		t.se = n
	default:
		return false
	}
	t.seq++
	t.stop()
	t.alive = false
	clear(t.leg.early)
	clear(t.leg.racks)
	t.send(t.leg.sent, more...)
	return true
}

func itoa(n int) string { return strconv.Itoa(n) }

func ms(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

func hexToken() string {
	var b [16]byte
	_, _ = rand.Read(b[:])
	return hex.EncodeToString(b[:])
}
