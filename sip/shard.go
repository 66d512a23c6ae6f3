package sip

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/cordonsip/cordon/routing"
	"github.com/cordonsip/cordon/sip/transaction"
	"github.com/cordonsip/cordon/sip/transport"
	"github.com/cordonsip/cordon/sovereign"
	msg "github.com/emiago/sipgo/sip"
)

// shard is one loop with the calls, dialogs and transactions that belong to it. Everything here happens on the loop.
type shard struct {
	e    *Edge
	id   int
	loop interface {
		transaction.Loop
		Run(context.Context) error
	}
	tx      *transaction.Layer
	taker   func(transport.Incoming) // take, made once
	ends    map[string]end           // of dialogs, by our tag, which no two have
	calls   map[*call]struct{}
	notices map[*call]*announcing // callers that are played to; nil before the first
	parted  map[*leg]struct{}     // legs that left their call by a transfer and are not hung up yet
	ours    map[string]bool       // Call-IDs of attempts in progress: seeing one in a new INVITE is a loop
	sos     map[string]int        // Call-IDs of emergency calls, with how many things need each: what a held source may speak of
	lobby   *lobby                // where new calls wait
	ways    map[wayKey]way        // to the targets of calls
	preps   []*preparation        // that wait for a call
	usher   func()                // nextCall, made once
	digits  map[*leg]*informing   // digits that go to legs by INFO
	reaches []*reachable
	dice    dice
	asks    struct { // the Session-Expires that was written last
		seconds uint32
		header  msg.Header
	}
	pending int                  // requests that end calls and are not answered yet
	page    []byte               // on which a call is written down
	rulings rulings              // in words
	late    map[string]time.Time // of drills: when the last request of a Call-ID arrives that is late; nil before the first
	owed    []*farewell          // that a drill took away
}

func newShard(e *Edge, id int) *shard {
	s := &shard{
		e: e, id: id, loop: transaction.NewLoop(),
		ends: make(map[string]end), calls: make(map[*call]struct{}), parted: make(map[*leg]struct{}),
		ours: make(map[string]bool), sos: make(map[string]int),
		lobby: newLobby(), ways: make(map[wayKey]way),
	}
	s.tx = transaction.New(s.loop, e.tl.Send, s, e.c.Timers)
	s.tx.ViaParams(e.viaParams)
	s.tx.Large(e.wide)
	s.taker, s.usher = s.take, s.nextCall
	return s
}

// legKey names a leg in what its peer sends: the Call-ID, and our tag.
type legKey struct{ callID, tag string }

// end is our end of a dialog: a leg, or what is left of it, and never both.
type end struct {
	leg   *leg
	grave *grave
}

// end gives the one of that name; the zero end without one.
func (s *shard) end(k legKey) end {
	switch e := s.ends[k.tag]; {
	case e.leg != nil && e.leg.callID == k.callID, e.grave != nil && e.grave.key.callID == k.callID:
		return e
	}
	return end{}
}

// leg gives the leg of that name; nil without one.
func (s *shard) leg(k legKey) *leg { return s.end(k).leg }

// Request implements transaction.User.
func (s *shard) Request(tx *transaction.Server, req *msg.Request, in transport.Incoming) {
	to := req.To()
	if to == nil || req.From() == nil || req.CSeq() == nil {
		s.answer(tx, 400)
		return
	}
	if tag := to.Params.GetOr("tag", ""); tag != "" {
		s.inDialog(tx, req, in, tag)
		return
	}
	if tx == nil || !in.Flow.Valid() {
		return // an ACK outside a dialog means nothing, and who may not be answered is not listened to
	}
	party := s.e.profiles.Load().byName[in.Party]
	if party == nil {
		s.answer(tx, 403)
		return
	}
	if req.Method != msg.INVITE && has(req, "replaces") { // RFC 3891 section 3
		s.answer(tx, 400)
		return
	}
	user := ""
	if challenged(req.Method) {
		var ok bool
		if user, ok = s.proven(tx, req, in, party); !ok {
			return
		}
	}
	if r := misfit(req); r != nil {
		s.answer(tx, r.status, r.headers...)
		return
	}
	switch req.Method {
	case msg.INVITE:
		s.invite(tx, req, in, party)
	case msg.REGISTER:
		s.register(tx, req, in, party, user)
	case msg.OPTIONS:
		s.options(tx)
	case msg.MESSAGE:
		s.message(tx, req, in, party)
	case msg.REFER: // RFC 3515 section 2.4.2: outside a dialog there is nobody to be transferred
		s.answer(tx, 603, reason{"SIP", 603, "calls are transferred inside their dialog"}.header())
	case msg.SUBSCRIBE: // RFC 6665 section 4.2.1.1
		s.answer(tx, 489, msg.NewHeader("Allow-Events", eventRefer))
	case msg.BYE, msg.PRACK, msg.UPDATE, msg.INFO, msg.NOTIFY:
		s.answer(tx, 481)
	default:
		s.answer(tx, 405, allows)
	}
}

// Stray implements transaction.User: a 2xx that came again after its transaction ended is acknowledged again. RFC 3261 section 13.2.2.4.
func (s *shard) Stray(res *msg.Response, _ transport.Incoming) {
	cseq, from, id := res.CSeq(), res.From(), res.CallID()
	if cseq != nil && from != nil && id != nil && cseq.MethodName == msg.INVITE && res.IsSuccess() {
		switch at := s.end(legKey{id.Value(), from.Params.GetOr("tag", "")}); {
		case at.leg != nil:
			at.leg.again(res)
			return
		case at.grave != nil:
			at.grave.again(res)
			return
		}
	}
	s.e.metrics.strays.Inc()
}

// answer sends a response of our own.
func (s *shard) answer(tx *transaction.Server, status int, headers ...msg.Header) {
	if tx == nil {
		return
	}
	var room [12]msg.Header
	list := append(room[:0], headers...)
	if id := tx.Req().CallID(); status > 100 && id != nil {
		switch at := s.end(legKey{id.Value(), tx.Tag()}); {
		case at.leg != nil:
			list = append(list, at.leg.c.sessionHeader(at.leg))
		case at.grave != nil:
			list = append(list, at.grave.session)
		}
	}
	if h := s.e.server; h != nil {
		list = append(list, h)
	}
	_ = tx.Respond(tx.Draft(status, "", list...)) // what cannot be sent is retransmitted by the peer or timed out
}

func (s *shard) brand(m interface{ AppendHeader(msg.Header) }) {
	h := s.e.server
	if _, ok := m.(*msg.Request); ok {
		h = s.e.agent
	}
	if h != nil {
		m.AppendHeader(h)
	}
}

// options tells the truth about us. RFC 3261 section 11.2.
func (s *shard) options(tx *transaction.Server) {
	status, more := 200, []msg.Header(nil)
	if s.e.draining.Load() {
		status, more = 503, []msg.Header{msg.NewHeader("Retry-After", "30")}
	}
	s.answer(tx, status, append(more, allows, msg.NewHeader("Accept", typeSDP), supports)...)
}

// inDialog hands a request to its leg. Unknown dialogs, and known ones from somewhere else, get 481.
func (s *shard) inDialog(tx *transaction.Server, req *msg.Request, in transport.Incoming, tag string) {
	at := s.end(legKey{req.CallID().Value(), tag})
	if at.grave != nil {
		at.grave.request(tx, req, in)
		return
	}
	l := at.leg
	from := req.From().Params.GetOr("tag", "")
	if l == nil || !l.isFrom(in) || !l.peerTag(from) {
		s.answer(tx, 481)
		return
	}
	if tx != nil && (l.c.emergency() || l.leaving(time.Now())) {
		tx.Use(l.flow) // its answer, too, outlives a change of the law
	}
	if tx != nil && s.e.c.Impaired != nil {
		tx.Meets(l)
	}
	l.request(tx, req, in, from)
}

// refusal is a final answer of the screen to a new INVITE.
type refusal struct {
	status  int
	headers []msg.Header
}

// misfit checks what must hold of any request that begins something: an address that means something here, and no extension that is not known. RFC 3261 sections
// 8.2.2.1 and 8.2.2.3.
func misfit(req *msg.Request) *refusal {
	switch req.Method {
	case msg.INVITE, msg.OPTIONS:
	default:
		return nil // what is refused anyway, or has an order of its own
	}
	u := req.Recipient
	if u.Scheme != "sip" && u.Scheme != "sips" && u.Scheme != "tel" && (u.Scheme != "urn" || !strings.HasPrefix(strings.ToLower(u.Raw()), "service:")) {
		return &refusal{status: 416}
	}
	return unsupported(req)
}

// unsupported refuses a request that requires what is not understood. RFC 3261 section 8.2.2.3.
func unsupported(req *msg.Request) *refusal {
	var unknown []string
	for _, o := range tokens(req, "require") {
		if !understood(req.Method, o) {
			unknown = append(unknown, o)
		}
	}
	if len(unknown) == 0 {
		return nil
	}
	return &refusal{420, []msg.Header{msg.NewHeader("Unsupported", strings.Join(unknown, ", "))}}
}

// sane checks what must hold of any new INVITE, emergency or not.
func (s *shard) sane(tx *transaction.Server, req *msg.Request, seen mentions) *refusal {
	if mf := req.MaxForwards(); mf != nil && mf.Val() == 0 {
		return &refusal{status: 483}
	}
	if seen.any(mentionsBreadth) {
		if n, ok := number(req, "max-breadth"); ok && n == 0 { // RFC 5393 section 5.3.3
			return &refusal{status: 440}
		}
	}
	if tx.Merged() {
		return &refusal{status: 482}
	}
	// RFC 7332: a back-to-back agent changes Via, so it knows a loop by its own Call-ID coming back, or by the same session asking for the same user.
	if s.ours[req.CallID().Value()] {
		return &refusal{status: 482}
	}
	if id := sessionOf(req, seen); id != "" {
		if _, again := s.e.ids.Load(id + "\n" + calledUser(req)); again {
			return &refusal{status: 482}
		}
	}
	if _, ok := bodySDP(req); !ok || seen.any(mentionsEncoding) && !plainBody(req) {
		return &refusal{415, []msg.Header{msg.NewHeader("Accept", typeSDP)}}
	}
	if seen.any(mentionsAccept) && !takesSDP(req) { // no answer of ours would be one for it
		return &refusal{status: 406}
	}
	if c := req.Contact(); c == nil || c.Address.Wildcard || c.Address.Host == "" {
		return &refusal{status: 400}
	}
	if seen.any(mentionsInterval) && hasty(req) {
		return &refusal{422, []msg.Header{msg.NewHeader("Min-SE", minSEText)}}
	}
	return nil
}

// takesSDP says whether the sender takes session descriptions: it does unless it lists what it takes and leaves them out. RFC 3261 section 20.1.
func takesSDP(req *msg.Request) bool {
	list := tokens(req, "accept")
	return len(list) == 0 || slices.ContainsFunc(list, func(t string) bool {
		t, _, _ = strings.Cut(t, ";")
		t = strings.TrimSpace(t)
		return strings.EqualFold(t, typeSDP) || t == "*/*" || strings.EqualFold(t, "application/*")
	})
}

func plainBody(req *msg.Request) bool {
	e := value(req, "content-encoding")
	return e == "" || strings.EqualFold(strings.TrimSpace(e), "identity")
}

// maxLag is how long a new call may have waited for its loop. Beyond it the edge is overloaded and takes no new ones. RFC 3261 section 21.5.4.
const maxLag = 500 * time.Millisecond

// full says why there is no room for one more call of this party, as cordon_sip_turned_away_total does, and when to ask again, in seconds; "" where there is room.
// Emergency calls never ask.
func (s *shard) full(party *Party, in transport.Incoming) (why, wait string) {
	switch {
	case s.e.draining.Load():
		return "draining", "30"
	case time.Since(in.At) > maxLag: // our own queue is behind: what is up comes first
		return "lag", "5"
	case s.e.c.MaxCalls > 0 && s.e.active.Load() >= int64(s.e.c.MaxCalls):
		return "calls", "5"
	case party.MaxCalls > 0 && s.e.partyLoad(party.Name).Load() >= int64(party.MaxCalls):
		return "party_calls", "5"
	}
	return "", ""
}

// room answers a new call for which there is none with 503, and counts it. False: it was.
func (s *shard) room(tx *transaction.Server, party *Party, in transport.Incoming) bool {
	why, wait := s.full(party, in)
	if why == "" {
		return true
	}
	s.e.noRoom(why)
	s.answer(tx, 503, msg.NewHeader("Retry-After", wait))
	return false
}

// invite is a new call: sanity, 100 at once, the plan, room for it, and then the call is an actor of its own.
func (s *shard) invite(tx *transaction.Server, req *msg.Request, in transport.Incoming, party *Party) {
	seen := mentionsOf(req)
	if r := s.sane(tx, req, seen); r != nil {
		s.answer(tx, r.status, r.headers...)
		return
	}
	a := s.asked(req, party)
	want := a.request(party.Name, time.Now())
	want.CallID = a.callID
	plan := s.e.c.Planner.Plan(want)
	if !s.begun(tx, req, in, party, a, plan, seen) {
		s.e.left(plan.Drill)
	}
}

// begun makes a call of a planned INVITE. False: it was answered or dropped, and there is none.
func (s *shard) begun(tx *transaction.Server, req *msg.Request, in transport.Incoming, party *Party, a *ask, plan routing.Plan, seen mentions) bool {
	emergency := plan.Purpose == sovereign.EmergencyCall
	if !emergency {
		if seen.any(mentionsReplaces) {
			s.replaced(tx, req, in, party)
			return false
		}
		if a.said.privacy.Impossible() { // RFC 3323 section 5
			s.answer(tx, 500)
			return false
		}
		if _, ok := s.proven(tx, req, in, party); !ok {
			return false
		}
		if !s.room(tx, party, in) {
			return false
		}
	}
	if in.OnlyEmergency && !emergency {
		return false // the policy changed since it was taken for one
	}
	ruling := s.e.screen.judge(party, in.Flow.Remote(), plan.Purpose)
	if !ruling.Permitted() || !party.sendsFrom(in.Flow.Remote().Addr(), in.Flow.Peer()) {
		s.e.screen.refused(party.Name, in.Flow.Remote(), ruling.Ground, "a new call from where its party does not call from: "+ruling.Why)
		s.answer(tx, 403, reason{"SIP", 403, "source refused by policy"}.header())
		return false
	}
	release := func() {}
	if emergency {
		in.Flow, release = s.e.excuse(in.Flow, party)
		tx.Use(in.Flow)
	}
	_ = tx.Respond(tx.Draft(100, ""))
	c := newCall(s, party, a, plan)
	c.a = newLegA(c, tx, req, in, party, ruling)
	if c.a == nil {
		release()
		s.answer(tx, 400)
		return false
	}
	c.a.release = release
	if emergency {
		s.needs(c.a.callID)
	}
	c.seated = plan.Drill != ""
	c.begin()
	return true
}

// left says that a call which a drill counts is gone, or never was.
func (e *Edge) left(drill string) {
	if drill != "" && e.c.Left != nil {
		e.c.Left(drill)
	}
}

// endAll ends every call: the edge stops.
func (s *shard) endAll() {
	s.settleOwed()
	for c := range s.calls {
		c.hangup(byEdge, reason{"SIP", 503, "the edge stops"})
	}
	for l := range s.parted {
		l.part([]reason{{"SIP", 503, "the edge stops"}})
	}
}
