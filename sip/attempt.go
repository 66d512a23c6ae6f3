package sip

import (
	"errors"
	"net/netip"
	"strconv"
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

type netAddrPort = netip.AddrPort

// attempt is one INVITE to one hop. An attempt that was given up stays as a zombie until its transaction ends: whatever comes late is cancelled, or accepted
// and ended at once, and never reaches the call again.
type attempt struct {
	c      *call
	hop    *routing.Hop // of the plan
	leg    *leg
	client *transaction.Client
	record int // index in c.tried
	seq    uint32
	sent   time.Time
	se     uint32 // Session-Expires that is asked for; raised by a 422
	least  uint32 // Min-SE of that 422
	rel    bool   // it may answer with reliable provisional responses
	insist bool   // it must: 100rel is required of it
	asking bool   // it made an offer in a reliable provisional response, and A was not heard on it yet
	narrow bool   // it is offered only what an early answer of a hop before left
	again  string // of a second offer after a refusal: the word of its Fallback

	branch  *media.Branch // its media while attempts overlap; nil else
	overdue bool          // its first-response timer is over and nothing came: another hop may be tried beside it

	patience        *patience
	ringing         ringing
	retries         [kindsOfRetry]uint8 // of its INVITE
	alive           bool                // something came back
	dead            bool                // given up: a zombie
	done            bool                // answered with 2xx, or told as failed
	auth            digest.Round
	told, forgotten bool
	pdd             time.Duration // INVITE to the first 18x
}

func newAttempt(c *call, h *routing.Hop, p *Party, f transport.Flow, r *sovereign.Ruling, again string) *attempt {
	t := &attempt{c: c, hop: h, seq: 1, again: again, se: seconds(p.Refresh)}
	t.leg = &leg{
		c: c, side: media.B, party: p, flow: f, ruling: r, name: h.Target.Name, target: h.Target.ID(), drill: h.Drill, callID: c.sh.newCallID(), tag: c.sh.dice.token("", 12),
		auth: newDigester(p),
	}
	// Without an offer a reliable 1xx carries one, and its PRACK the answer: the caller must be able to give it then. RFC 3262 section 5.
	t.rel = c.ask.sdp != nil || c.ask.rel || c.ask.require
	t.insist = c.ask.require && p.Rel100 == "pass"
	c.cur = t
	c.ids.b = "" // RFC 7989 section 6: nothing is known of this end yet
	c.sh.e.partyLoad(p.Name).Add(1)
	c.sh.ends[t.leg.tag] = end{leg: t.leg}
	c.sh.ours[t.leg.callID] = true
	if c.emergency() {
		c.sh.needs(t.leg.callID)
	}
	c.tried = append(c.tried, audit.Attempt{
		Party: h.Party, Target: t.leg.target, Region: r.Region.String(), Country: string(r.Country), Verdict: r.Verdict.String(), Ground: string(r.Ground),
		Fallback: again,
	})
	t.record = len(c.tried) - 1
	t.traceAttempt(&c.tried[t.record])
	return t
}

// offer asks media for the offer toward this hop: fresh sockets and fresh keys for each attempt. Where sockets must be opened, that is done off the loop.
func (t *attempt) offer() {
	c := t.c
	if c.ask.sdp == nil {
		t.send(nil)
		return
	}
	s, sdp, leg := c.media.Load(), c.ask.sdp, t.weaken(t.leg.media())
	if c.via != nil {
		c.via.offer(t, leg)
		return
	}
	if c.synth != nil {
		t.offerSynthetic(leg)
		return
	}
	if c.overlaps() {
		t.branchOff(s, sdp, leg)
		return
	}
	again := c.spoken
	t.narrow = again
	c.early, c.spoken = nil, false
	if !again {
		if out, done, err := s.TryOffer(media.A, sdp, leg); done {
			t.offered(out, err)
			return
		}
	}
	t.offerLater(s, sdp, leg, again)
}

// offerSynthetic asks the endpoint of a synthetic call for it.
func (t *attempt) offerSynthetic(leg media.Leg) {
	c, y, open := t.c, t.c.synth, t.c.sh.e.c.Endpoint
	c.sh.e.off(func() {
		out, err := y.offer(open, leg)
		c.sh.loop.Post(func() { t.offered(out, err) })
	})
}

// offerLater asks media for the offer away from the loop.
func (t *attempt) offerLater(s *media.Session, sdp []byte, leg media.Leg, again bool) {
	c := t.c
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
		if t.again == "" {
			t.c.refund(t.hop)
		}
		t.forget()
		return
	}
	t.c.front(t)
	if err != nil {
		r := asRefusal(err)
		t.c.refusal = r
		if r.Status == 403 {
			t.c.held = true
		}
		t.result(refusalWord(r))
		if r.NoCodec && t.widen(r.Status) {
			return
		}
		if t.again == "" {
			t.c.refund(t.hop)
		}
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
	t.vacate()
	sh := t.c.sh
	sh.e.partyLoad(t.leg.party.Name).Add(-1)
	delete(sh.ours, t.leg.callID)
	delete(sh.digits, t.leg)
	if r := t.c.turn; r != nil && (r.to == t.leg || r.from == t.leg) {
		r.fail(480)
	}
	key := legKey{t.leg.callID, t.leg.tag}
	if t.sent.IsZero() { // nobody was told of it, so nothing can come
		delete(sh.ends, key.tag)
		if t.c.emergency() {
			sh.spare(t.leg.callID)
		}
		return
	}
	sh.loop.After(64*sh.e.c.Timers.T1, func() {
		if t.c.b != t.leg {
			delete(sh.ends, key.tag)
			if t.c.emergency() {
				sh.spare(t.leg.callID)
			}
		}
	})
}

func (t *attempt) send(sdp []byte, more ...msg.Header) {
	c := t.c
	draft := t.request(sdp, more)
	req := &draft.Request
	t.leg.draft, t.leg.invite, t.leg.sent = draft, req, sdp
	t.sent = time.Now()
	c.reason, c.grant = t.hop.Reason, t.hop.Grant
	if c.tried[t.record].At.IsZero() {
		c.tried[t.record].At = t.sent
	}
	c.setState("trying")
	t.noteDrill()
	t.client = c.sh.tx.Request(t.leg.flow, req, t)
	t.wait(t.within(), (*attempt).silent)
}

// within is the first-response timer: the hop's, the party's, or the default of the transport.
func (t *attempt) within() time.Duration {
	switch c := t.c; {
	case c.emergency() && int(c.hop) >= len(c.plan.Hops):
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
	if b, ok := t.c.sh.e.registrar.of(t.hop.Target, u.User, a.called); ok {
		u = placedAt(u, b, u.User, a.called)
	} else if isAddress(host) {
		u.Port = int(t.hop.Target.Addr.Port())
	}
	return u
}

// isAddress says whether a host is an address and no name. That a name is none is told by its letters: an error would cost memory for nothing.
func isAddress(host string) bool {
	if strings.IndexByte(host, ':') < 0 && strings.Trim(host, "0123456789.") != "" {
		return false
	}
	_, err := netip.ParseAddr(host)
	return err == nil
}

// request builds the INVITE from what the caller asked for. Nothing is copied from the caller's message but what is named here.
func (t *attempt) request(sdp []byte, more []msg.Header) *transaction.Draft {
	c, a, l := t.c, t.c.ask.as(t.hop.Caller), t.leg
	host := t.host()
	target := t.target(host)
	from, to := transaction.End{Tag: l.tag}, transaction.End{URI: target}
	from.Display, from.URI = a.caller(l.party, host)
	to.URI.UriParams, to.URI.Port = nil, 0
	draft := c.sh.tx.Draft(msg.INVITE, target, nil, from, to, l.callID, t.seq, max(a.hops, 1)-1)
	req := &draft.Request
	req.AppendHeader(l.contact())
	req.AppendHeader(allows)
	if t.rel {
		req.AppendHeader(supports)
	} else {
		req.AppendHeader(supportsLess)
	}
	if t.insist {
		req.AppendHeader(msg.NewHeader("Require", "100rel"))
	}
	if l.party.Early == earlyAuthorised {
		req.AppendHeader(msg.NewHeader("P-Early-Media", "supported"))
	}
	if t.se > 0 {
		req.AppendHeader(c.sh.expires(t.se))
		req.AppendHeader(atLeast(t.least))
	}
	req.AppendHeader(c.sessionHeader(l))
	for _, u := range c.sh.e.serviceRoute(l.target) {
		req.AppendHeader(&msg.RouteHeader{Address: u}) // RFC 3608 section 6.1
	}
	parts := t.open(req, host)
	if c.via != nil {
		c.via.dress(req, l, host)
	} else if c.a != nil {
		packages(req, c.a.takes)
	}
	c.sh.brand(req)
	for _, h := range more {
		req.AppendHeader(h)
	}
	setBodies(req, sdp, parts)
	return draft
}

// Response implements transaction.ClientUser.
func (t *attempt) Response(_ *transaction.Client, res *msg.Response) {
	t.c.front(t)
	t.leg.measure(time.Since(t.sent))
	seen := t.leg.heard(res)
	switch {
	case t.c.b == t.leg && t.done:
		if res.IsSuccess() {
			t.leg.again(res)
		}
	case t.dead || t.done:
		t.late(res)
	case res.IsProvisional():
		t.provisional(res, seen)
	case res.IsSuccess():
		t.answered(res, seen)
	default:
		t.failed(res)
	}
}

// Failed implements transaction.ClientUser: no final response will come.
func (t *attempt) Failed(_ *transaction.Client, err error) {
	if t.dead || t.done {
		return
	}
	t.c.front(t)
	took, word := time.Since(t.sent), unsent(t.leg.flow, err)
	t.c.tried[t.record].TookMS = ms(took)
	t.result(word)
	if word == "fenced" {
		t.c.held = true
	} else {
		t.outcome(false, false, 0, word+": "+err.Error(), true)
		t.c.remember(503, nil)
	}
	t.leave()
}

// unsent is the word for a request that gets no final response on f.
func unsent(f transport.Flow, err error) string {
	switch {
	case errors.Is(err, sovereign.ErrFenced):
		return "fenced"
	case errors.Is(err, transaction.ErrTimeout):
		return "silent"
	case f.Proto() == transport.UDP:
		return "icmp"
	case errors.Is(err, transport.ErrRefused):
		return "refused"
	}
	return "lost"
}

// result writes the last word on this attempt into the receipt.
func (t *attempt) result(word string) {
	t.noteDrill()
	t.c.tried[t.record].Result = word
	t.traceResult(word)
	if t.leg.drill != "" { // what it met may have been made for it: no alarm rests on that
		t.c.sh.e.metrics.attempted(t.leg.party, "drill")
		return
	}
	t.c.sh.e.metrics.attempted(t.leg.party, word)
	t.c.sh.e.metrics.failed(t.hop.Party, word, t.c.reference())
}

// outcome tells health what a real call met, once.
func (t *attempt) outcome(alive, busy bool, after time.Duration, cause string, tell bool) {
	if t.told || !tell || t.c.sh.e.c.Outcome == nil || t.sent.IsZero() {
		return
	}
	t.told = true
	now := time.Now()
	t.c.sh.e.c.Outcome(healthcheck.Outcome{
		Target: t.leg.target, Drill: t.c.plan.Drill, Alive: alive, Busy: busy, RetryAfter: after, Cause: cause, Took: now.Sub(t.sent), At: now,
		Final: finalOf(cause), PDD: t.untilRing(now), Own: t.c.alone(t.leg),
	})
}

func itoa(n int) string {
	if n == 200 { // of nearly every call, several times
		return wordAnswered
	}
	return strconv.Itoa(n)
}

func ms(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }
