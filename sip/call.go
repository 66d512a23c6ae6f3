package sip

import (
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cordonsip/cordon/audit"
	"github.com/cordonsip/cordon/media"
	"github.com/cordonsip/cordon/routing"
	"github.com/cordonsip/cordon/sip/header"
	"github.com/cordonsip/cordon/sip/overload"
	"github.com/cordonsip/cordon/sip/transaction"
	"github.com/cordonsip/cordon/sip/transport"
	"github.com/cordonsip/cordon/sovereign"
	msg "github.com/emiago/sipgo/sip"
)

// Who ended a call, in the words of receipts.
const (
	byA    = "a"
	byB    = "b"
	byEdge = "edge"
)

const continueWithGap = "continue_with_gap"

// call is one call: an actor on its shard's loop. What may block runs elsewhere and posts back; whoever comes back asks c.ended first.
type call struct {
	sh    *shard
	ask   *ask
	party *Party
	plan  routing.Plan
	a, b  *leg // a is nil for a synthetic call, b until somebody answered
	synth *synthetic
	page  *page                 // this is the walk of a message
	via   *transfer             // this is the walk of a transfer, and has no caller of its own
	id    string                // of the media session
	ids   struct{ a, b string } // Session-IDs of the two ends, RFC 7989
	said  sessionSaid
	ref   atomic.Pointer[string]        // audit reference; nil until prepared
	media atomic.Pointer[media.Session] // nil until prepared
	view  glimpse
	refs  []audit.PartyRef
	moves []audit.Move // of signalling; media tells of its own

	moving    *transfer // under way; nil without one
	refers    overload.Bucket
	transfers []audit.Transfer
	former    []formerLeg // legs that were replaced
	struck    *struck     // what the law closed while the call was up; nil: nothing

	reason  routing.RouteReason // of the hop that was contacted last, and its grant
	grant   string
	cur     *attempt
	beside  *attempt // another one that may still win; nil unless attempts overlap
	inForce *attempt // of attempts that overlap: the one whose media is in force
	tried   []audit.Attempt
	best    int      // the downstream answer to relay when every hop failed
	bestWhy []reason // and its reasons
	refusal *media.Refusal
	early   []byte         // answer that A has by a provisional response
	turn    *renegotiation // an offer on its way before the call is answered
	restate []byte         // offer that A must still be sent: a later answer changed what it was told

	start, answer, end time.Time
	setup              transaction.Timer
	spoke              bool // of attempts that overlap: a user has spoken on one of them, and no further hop is tried
	held               bool // a hop was held or denied on the way: the final refusal is on_hold's
	gated              bool // one of them could have gone through the gate
	denied             bool // and that is why the call is not carried
	logDown            bool
	spoken             bool // media has a description of the hop at hand
	bare               bool // A's INVITE carried no offer
	prepared           bool
	answered, ended    bool
	confirmed          bool  // A was sent its 200
	seated             bool  // a drill counts it among its own
	kept               bool  // it is written down for a later process
	hop                int32 // the next one of the plan
	endedBy, cause     string
	final              int
	taken              []string       // parties whose load this call counts in
	q850               int            // cause of the end, given or mapped; 0: none
	raised             map[int]string // where a Q.850 cause was raised, as a peer told it
	parting            []string       // User-to-User of the BYE that ended the call
}

func newCall(sh *shard, party *Party, a *ask, plan routing.Plan) *call {
	c := &call{sh: sh, party: party, ask: a, plan: plan, id: sh.dice.token("s", 20), start: time.Now()}
	a.purpose, a.drill = plan.Purpose, plan.Drill
	c.ids.a = a.session
	if c.ids.a == "" {
		c.ids.a = sh.dice.uuid()
	}
	c.held, c.bare = plan.Held, a.sdp == nil
	for _, r := range plan.Refused {
		c.gated = c.gated || r.Ruling.Verdict == sovereign.Hold
	}
	return c
}

func (c *call) emergency() bool { return c.plan.Purpose == sovereign.EmergencyCall }

// begin counts the call in and prepares it off the loop: its references, its intent on disk, its media session. Nothing is dialled before.
func (c *call) begin() {
	e := c.sh.e
	c.sh.calls[c] = struct{}{}
	e.active.Add(1)
	e.metrics.active.Inc()
	e.live.add(c)
	c.occupy(c.party.Name)
	if c.ask.session != "" {
		e.ids.Store(c.loopKey(), nil)
	}
	c.setState("trying")
	c.traceRefused()
	c.setup = c.sh.loop.After(c.within(c.party.Within.Setup, 30*time.Second), func() {
		c.hangup(byEdge, reason{"SIP", 408, "set-up took too long"})
	})
	p := c.sh.preparation()
	p.of.c, p.of.at, p.of.wait, p.of.callID, p.of.called = c, c.start, recordWithin, c.ask.callID, c.ask.called
	p.of.caller = c.ask.request("", c.start).Caller
	if c.a != nil {
		p.of.leg = c.a.media()
	}
	if c.synth == nil {
		p.of.relay, p.of.id = e.c.Relay, c.id
	}
	if c.emergency() {
		p.of.wait = 100 * time.Millisecond // its intent is written if it can be; the caller does not wait for a disk
	}
	e.off(p.run)
}

// ready goes on where begin came back.
func (c *call) ready(p *prepared) {
	c.prepared = true
	ref := p.ref // alone, without what came with it
	c.ref.Store(&ref)
	c.traceName(p.ref)
	c.refs = p.refs
	if p.session != nil {
		c.media.Store(p.session)
	}
	c.logDown = p.log != nil
	c.setState("trying")
	switch {
	case c.ended: // the caller gave up meanwhile
		c.finish()
	case c.logDown && !c.emergency() && c.sh.e.c.OnLogFailure != continueWithGap:
		// What cannot be recorded is not put through. It is a refusal and no 5xx, lest the peer carries the call around us unrecorded.
		c.refuse(c.holdStatus(), "refused", reason{"SIP", c.holdStatus(), "calls cannot be recorded now"})
	case p.media != nil && len(c.plan.Hops) > 0:
		c.sh.e.log.Warn("no media session", "session", c.session(), "error", p.media)
		c.refuse(503, "failed", reason{"SIP", 503, "no media resources"})
	default:
		c.next()
	}
}

func (c *call) within(d, def time.Duration) time.Duration {
	if d > 0 {
		return d
	}
	return def
}

func (c *call) occupy(party string) {
	c.sh.e.partyLoad(party).Add(1)
	if c.taken == nil {
		c.taken = make([]string, 0, 2) // nearly every call has two
	}
	c.taken = append(c.taken, party)
}

func (c *call) loopKey() string { return c.ask.session + "\n" + c.ask.called }

// next tries the hops in the order of the plan until one takes the INVITE; with none left the call is refused.
func (c *call) next() {
	if c.waits() {
		return
	}
	c.cur = nil
	if c.a != nil && c.a.rel.asks() { // what it answers is what the next hop is offered
		c.a.rel.drained(c.next)
		return
	}
	for int(c.hop) < len(c.plan.Hops) && !c.spoke {
		h := &c.plan.Hops[c.hop]
		c.hop++
		if c.try(h, "") {
			return
		}
	}
	if !c.resumes() {
		c.exhausted()
	}
}

// try starts one attempt. False means that the hop was left out, and the list of attempts says why.
func (c *call) try(h *routing.Hop, again string) bool {
	e := c.sh.e
	party := e.profiles.Load().byName[h.Party]
	proto := transport.Proto(h.Target.Transport)
	if party == nil {
		c.skip(h, h.Ruling, sovereign.GroundUnknownParty, "no_profile")
		return false
	}
	if c.ask.sips && proto != transport.TLS && !c.emergency() {
		// RFC 5630 section 4: sips means TLS on every hop. Help is not refused for want of it.
		c.skip(h, h.Ruling, h.Ruling.Ground, "not_secure")
		return false
	}
	if party.MaxCalls > 0 && !c.emergency() && c.page == nil && e.partyLoad(party.Name).Load() >= int64(party.MaxCalls) {
		c.skip(h, h.Ruling, h.Ruling.Ground, "full")
		return false
	}
	if why := e.throttled(party, h.Target.Addr, c.emergency() || again != ""); why != "" {
		c.skip(h, h.Ruling, h.Ruling.Ground, why)
		return false
	}
	if h.Grant != "" && c.logDown && !c.emergency() {
		c.held = true
		c.skip(h, h.Ruling, h.Ruling.Ground, "log_down")
		return false
	}
	if h.Grant != "" && again == "" && (ending(&h.Ruling, time.Now()) || e.c.Spend == nil || !e.c.Spend(h.Grant)) {
		c.held, c.gated = true, true
		c.skip(h, sovereign.Ruling{Verdict: sovereign.Hold, Ground: sovereign.GroundNoAdequacy, Region: h.Ruling.Region, Country: h.Ruling.Country}, "", "grant_over")
		return false
	}
	way, ruling, err := c.sh.wayTo(h, party, c.plan.Purpose)
	if way.pass == nil {
		c.refund(h)
		c.held = true
		c.gated = c.gated || ruling.Verdict == sovereign.Hold
		c.skip(h, ruling, ruling.Ground, "refused_by_policy")
		return false
	}
	if err != nil {
		c.refund(h)
		c.skip(h, ruling, ruling.Ground, "no_flow")
		c.sh.e.log.Warn("no flow to a hop", "session", c.session(), "target", h.Target.ID(), "error", err)
		return false
	}
	if h.Trial && again == "" && (e.c.Try == nil || !e.c.Try(h.Target.ID(), c.plan.Drill)) {
		c.refund(h)
		c.skip(h, ruling, ruling.Ground, "half_open")
		return false
	}
	if c.page != nil {
		c.page.send(h, party, way.flow, way.pass.Ruled())
		return true
	}
	newAttempt(c, h, party, way.flow, way.pass.Ruled(), again).offer()
	return true
}

// know remembers that we contact an address, so that its answers are listened to.
func (e *Edge) know(p transport.Proto, a netAddrPort, party string) {
	if _, ok := e.dialed.Load(dialKey{p, a}); ok {
		return
	}
	if e.dialedN.Add(1) > maxDialed {
		e.dialed.Clear()
		e.dialedN.Store(1)
	}
	e.dialed.Store(dialKey{p, a}, party)
}

const maxDialed = 4096

func (c *call) refund(h *routing.Hop) {
	if h.Grant != "" && c.sh.e.c.Refund != nil {
		c.sh.e.c.Refund(h.Grant)
	}
}

// skip notes a hop that was never contacted.
func (c *call) skip(h *routing.Hop, r sovereign.Ruling, g sovereign.Ground, result string) {
	if g == "" {
		g = r.Ground
	}
	c.tried = append(c.tried, audit.Attempt{
		Party: h.Party, Target: h.Target.ID(), Region: r.Region.String(), Country: string(r.Country), Verdict: r.Verdict.String(), Ground: string(g), Result: result,
	})
	c.traceSkip(c.tried[len(c.tried)-1])
}

func (c *call) holdStatus() int {
	if c.plan.OnHold.Status == 603 {
		return 603
	}
	return 403
}

// connected is the answer of B: A gets its 200. In a delayed offer the answer comes in A's ACK, which onAck then takes. from is nil when B called us.
func (c *call) connected(from *msg.Response, sdp []byte, onAck func([]byte)) {
	if c.via != nil {
		c.via.connected()
		return
	}
	c.answered = true
	c.answer = time.Now()
	stopTimer(&c.setup)
	c.setState("up")
	c.followed()
	if c.synth != nil {
		c.synth.answered()
		return
	}
	l := c.a
	tx := l.in
	room := [8]msg.Header{l.contact(), allows, supports, c.sessionHeader(l)}
	hs := append(room[:4], l.timing.agree(l, c.ask)...)
	if s := c.sh.e.server; s != nil {
		hs = append(hs, s)
	}
	res := tx.Draft(200, "", hs...)
	takes, parts := c.b.takes, []header.Part(nil)
	if from != nil {
		said := hear(from, c.b.party, c.sh.e.profiles.Load())
		said.carry(res, c.b, l, l.host())
		takes, parts = tokens(from, "recv-info"), said.beside(c.b, l.party)
	}
	packages(res, takes)
	if l.rel.idle() && l.out == nil { // nearly always; what waits needs memory
		c.confirm(tx, res, sdp, parts, onAck)
		return
	}
	c.confirmLater(tx, res, sdp, parts, onAck)
}

// confirmLater sends A its 200 once nothing else of ours is open on its leg.
func (c *call) confirmLater(tx *transaction.Server, res *msg.Response, sdp []byte, parts []header.Part, onAck func([]byte)) {
	c.a.rel.drained(func() { c.a.quiet(func() { c.confirm(tx, res, sdp, parts, onAck) }) })
}

// confirm sends A its 200, with the answer unless that was given reliably and is not what holds any more.
func (c *call) confirm(tx *transaction.Server, res *msg.Response, sdp []byte, parts []header.Part, onAck func([]byte)) {
	l := c.a
	if c.ended {
		return
	}
	if l.settled != "" { // RFC 6337 section 3.1.1: the first offer and answer are complete; this may only repeat the answer
		sdp = l.first
	}
	setBodies(res, sdp, parts)
	if sdp != nil {
		l.sent = sdp
	}
	c.confirmed = true
	l.accept(tx, res, onAck)
	l.timing.start(l)
	c.b.timing.start(c.b)
}

// glimpse is what people see of the call between two changes of its state. Most are never looked at, so it holds what costs nothing, and lies in the call: the
// lock is held for a copy, so the loop waits for nobody.
type glimpse struct {
	sync.Mutex
	sight
}

// sight is the state of a call and its way.
type sight struct {
	state, trunk, group string
	ids                 struct{ a, b string } // Session-IDs of the two ends
	path                [2]*sovereign.Ruling  // of the legs there are; nil: none
}

func (g *glimpse) get() sight {
	g.Lock()
	defer g.Unlock()
	return g.sight
}

func (g *glimpse) set(s sight) {
	g.Lock()
	g.sight = s
	g.Unlock()
}

// setState publishes what people see of the call.
func (c *call) setState(state string) {
	v := sight{state: state, ids: c.ids}
	v.trunk, v.group = c.sides()
	if c.a != nil {
		v.path[media.A] = c.a.ruling
	}
	if c.b != nil {
		v.path[media.B] = c.b.ruling
	} else if c.cur != nil {
		v.path[media.B] = c.cur.leg.ruling
	}
	c.view.set(v)
}

// look gives the view of the call as it is now. It may be called from anywhere.
func (c *call) look() (CallView, bool) {
	v := c.view.get()
	if v.state == "" {
		return CallView{}, false
	}
	w := CallView{State: v.state, Trunk: v.trunk, Group: v.group, Since: c.start, Purpose: c.plan.Purpose.String(), Drill: c.plan.Drill, Route: c.plan.Route}
	if ref := c.ref.Load(); ref != nil {
		w.Ref = *ref
	}
	for _, r := range v.path {
		if r != nil {
			w.Path = append(w.Path, r.Region.String())
		}
	}
	if s := c.media.Load(); s != nil {
		w.Report = s.Report()
	}
	return w, true
}

// sides names the trunk and the edge group of the call, whichever end each is.
func (c *call) sides() (trunk, group string) {
	trunk, group = c.plan.Trunk, c.plan.Group
	far := (*Party)(nil)
	switch {
	case c.b != nil:
		far = c.b.party
	case c.cur != nil:
		far = c.cur.leg.party
	}
	for _, p := range [...]*Party{far, c.party} { // the caller's party last: between two of a kind it names the call
		switch {
		case p == nil:
		case p.Kind == sovereign.KindTrunk:
			trunk = p.Name
		case p.Kind == sovereign.KindGroup:
			group = p.Name
		}
	}
	return trunk, group
}

func stopTimer(t *transaction.Timer) {
	if *t != nil {
		(*t).Stop()
		*t = nil
	}
}

// asRefusal reads a media error in SIP's terms.
func asRefusal(err error) *media.Refusal {
	var r *media.Refusal
	if errors.As(err, &r) {
		return r
	}
	return &media.Refusal{Status: 500, Warning: 399, Text: "media failure"}
}

// offerTo asks media for what the side of `to` is offered for an offer of side from, off the loop where sockets must be opened, and goes on with it later, on the loop.
func (c *call) offerTo(from media.Side, sdp []byte, to media.Leg, then func([]byte, error)) {
	s := c.media.Load()
	if out, done, err := s.TryOffer(from, sdp, to); done {
		c.sh.loop.Post(func() { then(out, err) })
		return
	}
	c.sh.e.off(func() {
		out, err := s.Offer(from, sdp, to)
		c.sh.loop.Post(func() { then(out, err) })
	})
}

// accept gives B's answer to media and gets the one for A. A synthetic caller takes it itself.
func (c *call) accept(sdp []byte) ([]byte, error) {
	if c.synth != nil {
		return sdp, c.synth.ep.Load().Accept(sdp)
	}
	if c.via != nil {
		return c.via.hear(sdp)
	}
	return c.media.Load().Answer(media.B, sdp)
}
