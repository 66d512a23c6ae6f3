package sip

import (
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/cordonsip/cordon/internal/impair"
	"github.com/cordonsip/cordon/media"
	"github.com/cordonsip/cordon/sip/dialog"
	"github.com/cordonsip/cordon/sip/digest"
	"github.com/cordonsip/cordon/sip/header"
	"github.com/cordonsip/cordon/sip/transaction"
	"github.com/cordonsip/cordon/sip/transport"
	"github.com/cordonsip/cordon/sovereign"
	msg "github.com/emiago/sipgo/sip"
)

// leg is one side of a call: one party, one pinned flow, one dialog (or, while a request forks, several early ones).
type leg struct {
	c      *call
	party  *Party
	flow   transport.Flow
	ruling *sovereign.Ruling // shared
	name   string            // the far end's name, for receipts
	target string            // of an attempt: what health calls the far end
	drill  string            // the canary drill that planned the way to it, and whose takings it meets; "": none. Who calls was there before any drill
	callID string
	tag    string // ours
	dlg    *dialog.Dialog
	early  forks          // of a callee that did not answer yet
	fork   *dialog.Dialog // of a callee that did not answer yet: the early dialog whose media is in force
	said   []saying       // its descriptions, the last of each fork
	auth   *digester
	invite *msg.Request       // the first INVITE, as it came or went; nil once the call is up, see shed
	draft  *transaction.Draft // that it lies in; nil of the peer's
	ways   string             // hosts and branches of its Via, once the call is up

	in      *transaction.Server // INVITE of the peer that waits for its final response
	out     *exchange           // INVITE or UPDATE of ours that waits for its final response
	turn    *transaction.Server // UPDATE or PRACK with an offer that came before the answer of the call, and waits for its own
	idle    []func()            // wait until out is over, or until what is owed is sent
	waiting *accepted           // 2xx of ours that waits for its ACK
	settled string              // the peer's tag with which the first offer and answer are complete by reliable messages
	first   []byte              // our answer in a reliable provisional response: the 2xx says the same
	rel     *reliable           // provisional responses of ours
	racks   map[string]uint32   // last RSeq taken, by the peer's tag
	sent    []byte              // last session description sent to the peer, and taken from it
	taken   []byte
	acks    []acknowledged // the last ACKs of ours, to answer a 2xx that comes again
	owes    []byte         // the offer in a 2xx of the peer whose ACK waits for an answer
	owed    uint32         // CSeq of that 2xx
	side    media.Side
	bare    bool // the first INVITE was ours and carried no offer; told once the call is up
	update  bool // the peer allows UPDATE
	informs bool // and INFO
	ended   bool
	dead    bool   // its media is
	drilled string // what a drill did to it when its media fell silent, or was told to be; "": nothing
	struck  bool   // its place was closed while the call was up, and the call noted it
	guest   bool   // its Call-ID belongs to another loop
	accepts bool   // it came out of the last run, and its connection was the far end's
	torn    *torn  // what was under way when the last run ended; nil: nothing
	timing  sessionTimer
	rtt     time.Duration // from the INVITE to the first response: bounds how far the far end can be
	seen    *transport.PeerIdentity
	takes   []string // INFO packages that its peer takes, as it said last
	release func()   // nil, or what ends the exemption of an emergency call's connection

	moving
}

// forks are early dialogs of one INVITE.
type forks []*dialog.Dialog

// of gives the one with that tag of the peer; nil without one.
func (f forks) of(tag string) *dialog.Dialog {
	for _, d := range f {
		if d.Remote.Tag == tag {
			return d
		}
	}
	return nil
}

// acknowledged is an ACK of ours: the CSeq of its INVITE, and its body.
type acknowledged struct {
	seq uint32
	sdp []byte
}

// maxAcks bounds the ACKs that are remembered: a 2xx comes again for 64*T1 at most, and a new INVITE only after the one before was acknowledged. So it is the
// last one that may be asked for again, or the one before whose 2xx was late.
const maxAcks = 2

// newLegA is the leg of a caller. nil when no dialog can be made of its INVITE.
func newLegA(c *call, tx *transaction.Server, req *msg.Request, in transport.Incoming, p *Party, r *sovereign.Ruling) *leg {
	d, err := dialog.UAS(req, tx.Tag())
	if err != nil {
		return nil
	}
	d.Detach()
	c.ask.callID = d.CallID
	l := &leg{
		c: c, side: media.A, party: p, flow: in.Flow, ruling: r, name: p.Name, callID: d.CallID, tag: tx.Tag(), dlg: d, in: tx, invite: req,
		auth: newDigester(p), taken: c.ask.sdp, update: c.ask.update,
	}
	tx.OnCancel(l.cancelled)
	if c.sh.e.c.Impaired != nil {
		tx.Meets(l)
	}
	l.stay()
	if has(req, "allow") {
		l.knows(req)
	}
	if has(req, "recv-info") {
		l.takes = tokens(req, "recv-info")
	}
	c.sh.ends[l.tag] = end{leg: l}
	l.traceLeg()
	return l
}

// media is how media must look on this leg.
func (l *leg) media() media.Leg {
	m := l.party.Leg
	m.Party, m.Purpose, m.Secure = l.party.Name, l.c.plan.Purpose, l.flow.Proto() == transport.TLS
	m.Informs, m.Member, m.Drilled = l.informs, l.member(), l.drill != ""
	return m
}

// member is the one of the party that was called; "" for who calls.
func (l *leg) member() string {
	if before := len(l.party.Name) + 1; before < len(l.target) {
		m, _, _ := strings.Cut(l.target[before:], "/")
		return m
	}
	return ""
}

// measure notes what the first response tells of the far end: its identity, and how long the way there is at most.
func (l *leg) measure(took time.Duration) {
	if l.rtt == 0 {
		l.rtt, l.seen = took, l.flow.Peer()
	}
}

// shortest is the shortest round trip known. A probe's bounds the distance better than an INVITE's, which its callee takes time for.
func (l *leg) shortest() time.Duration {
	f := l.c.sh.e.c.RTTMin
	if f == nil || l.target == "" {
		return l.rtt
	}
	d := f(l.target)
	if d <= 0 || l.rtt > 0 && l.rtt < d {
		return l.rtt
	}
	return d
}

// identity is what the far end proved of itself; nil without TLS.
func (l *leg) identity() *transport.PeerIdentity {
	if id := l.flow.Peer(); id != nil {
		l.seen = id
	}
	return l.seen
}

// proven is the name in the far end's certificate that made it this party, or the best of those that it carries; "" without one.
func (l *leg) proven() string {
	id := l.identity()
	if id == nil || !id.Verified || len(id.Names) == 0 {
		return ""
	}
	want := l.party.Peers
	if l.target != "" {
		want = []string{l.name}
		if p := l.party.TLS; p != nil {
			want = append(append(slices.Clone(p.Peers), p.ServerName), want...)
		}
	}
	for _, w := range want {
		for _, n := range id.Names {
			if n = bareName(n); w != "" && strings.EqualFold(n, w) {
				return n
			}
		}
	}
	return bareName(id.Names[0])
}

// other is the leg on the other side: of a callee that did not answer yet, that of the attempt in progress.
func (l *leg) other() *leg {
	t := l.c.facing()
	switch {
	case l.side == media.B:
		return l.c.a
	case l.c.b == nil && t != nil && !t.dead && !t.done:
		return t.leg
	}
	return l.c.b
}

// current is the dialog that our requests go into. nil while there is none.
func (l *leg) current() *dialog.Dialog {
	if l.dlg != nil {
		return l.dlg
	}
	return l.fork
}

// dialogOf is the dialog that requests of the peer with that tag are in.
func (l *leg) dialogOf(tag string) *dialog.Dialog {
	if l.dlg != nil {
		return l.dlg
	}
	return l.early.of(tag)
}

// isFrom says whether a request came from where this leg's peer is: the same address, or the same party at another one of its addresses.
func (l *leg) isFrom(in transport.Incoming) bool {
	if !in.Flow.Valid() {
		return false
	}
	return in.Flow.Remote().Addr() == l.flow.Remote().Addr() || in.Party == l.party.Name
}

func (l *leg) peerTag(tag string) bool {
	if l.dlg != nil {
		return l.dlg.Remote.Tag == tag
	}
	return l.early.of(tag) != nil
}

// contact is how the peer reaches this leg. Legs share it.
func (l *leg) contact() *msg.ContactHeader { return &l.c.sh.reached(l.flow, l.party.Contact).contact }

// reachable is how we are reached by some flows: our address of them, and the Contact with it or with the name that their party knows us by.
type reachable struct {
	local   netip.AddrPort
	proto   transport.Proto
	name    string
	host    string
	contact msg.ContactHeader
}

func newReachable(f transport.Flow, name string) *reachable {
	r := &reachable{local: f.Local(), proto: f.Proto(), name: name}
	r.host = hostText(r.local.Addr().Unmap().String())
	u := &r.contact.Address
	if u.Scheme, u.Host, u.Port = "sip", r.host, int(r.local.Port()); name != "" {
		u.Host = name
	}
	if r.proto != transport.UDP {
		u.UriParams = msg.HeaderParams{{K: "transport", V: string(r.proto)}}
	}
	return r
}

// maxReachable bounds what a loop remembers of that: there are as many as listeners and names.
const maxReachable = 64

// reached remembers how we are reached by flows like f.
func (s *shard) reached(f transport.Flow, name string) *reachable {
	local, proto := f.Local(), f.Proto()
	for _, r := range s.reaches {
		if r.local == local && r.proto == proto && r.name == name {
			return r
		}
	}
	if len(s.reaches) == maxReachable {
		s.reaches = nil
	}
	r := newReachable(f, name)
	s.reaches = append(s.reaches, r)
	return r
}

// host is what stands in place of a host of the other side toward this leg.
func (l *leg) host() string {
	if l.party.Domain != "" {
		return l.party.Domain
	}
	return l.address()
}

// address is our own address on this leg's flow.
func (l *leg) address() string {
	return l.c.sh.reached(l.flow, l.party.Contact).host
}

// request builds an in-dialog request toward the peer.
func (l *leg) build(method msg.RequestMethod, headers ...msg.Header) *msg.Request {
	req := l.current().Request(method)
	l.dress(req, method, headers)
	return req
}

// dress puts on what every request of ours carries.
func (l *leg) dress(req *msg.Request, method msg.RequestMethod, headers []msg.Header) {
	if method == msg.INVITE || method == msg.UPDATE {
		req.AppendHeader(l.contact())
		req.AppendHeader(allows)
		req.AppendHeader(supports)
	}
	req.AppendHeader(l.c.sessionHeader(l))
	l.c.sh.brand(req)
	for _, h := range headers {
		req.AppendHeader(h)
	}
}

// ack acknowledges a 2xx to the INVITE with CSeq seq, in dialog d.
func (l *leg) ack(d *dialog.Dialog, seq uint32, sdp []byte) {
	l.c.sh.acknowledge(l.flow, d.Ack(l.c.sh.tx, seq), l.c.sessionHeader(l), l.auth, sdp, l.Meets())
}

// acknowledge completes and sends an ACK of a 2xx, as far as what it meets lets it go.
func (s *shard) acknowledge(f transport.Flow, req *transaction.Draft, session msg.Header, auth *digester, sdp []byte, met impair.Effect) {
	req.AppendHeader(session)
	if auth != nil {
		for _, h := range auth.invite {
			req.AppendHeader(h) // RFC 3261 section 22.1: the ACK repeats the credentials of its INVITE, as they were
		}
	}
	setSDP(&req.Request, sdp)
	if transaction.Leaves(met, f.Proto()) {
		_ = s.tx.Send(f, &req.Request) // a lost ACK is asked for again by the next 2xx
	}
	s.tx.Release(req)
}

// decline is the answer that takes nothing of an offer in a 2xx; nil without an offer. RFC 3261 section 13.2.2.4: the ACK of an offer carries a valid answer even
// when a BYE follows at once.
func decline(f transport.Flow, offer []byte) []byte {
	if len(offer) == 0 {
		return nil
	}
	answer, err := media.Decline(offer, f.Local().Addr().Unmap())
	if err != nil {
		return nil // an offer that cannot be read has no answer
	}
	return answer
}

// settle acknowledges a 2xx, and remembers with what.
func (l *leg) settle(seq uint32, sdp []byte) {
	if sdp == nil {
		sdp = decline(l.flow, l.owes)
	}
	l.owed, l.owes = 0, nil
	if len(l.acks) >= maxAcks {
		l.acks = slices.Delete(l.acks, 0, 1)
	}
	l.acks = append(l.acks, acknowledged{seq, sdp})
	l.ack(l.dlg, seq, sdp)
}

// again answers a 2xx that came another time: the winner's is acknowledged again, any other fork's is acknowledged and ended. RFC 3261 section 13.2.2.4.
func (l *leg) again(res *msg.Response) {
	tag, seq := res.To().Params.GetOr("tag", ""), res.CSeq().SeqNo
	if l.dlg != nil && l.dlg.Remote.Tag == tag {
		for _, a := range slices.Backward(l.acks) {
			if a.seq == seq {
				l.ack(l.dlg, seq, a.sdp)
				return
			}
		}
		l.mends(res, seq)
		return
	}
	if l.target != "" && (l.invite != nil || l.dlg != nil) {
		l.drop(res)
	}
}

// forked is the dialog of a 2xx that is not the call's: made of our INVITE, or where that is gone, of the dialog that another fork opened. bare says that the INVITE
// carried no offer. nil when it makes no dialog.
func (l *leg) forked(res *msg.Response) (d *dialog.Dialog, bare bool) {
	if l.invite == nil {
		d, _ = l.dlg.Fork(res)
		return d, l.bare
	}
	d, err := dialog.UAC(l.invite, res)
	if err != nil && d != nil {
		d.Retarget(l.invite.Recipient) // no Contact: the address that was called is the best guess
	}
	return d, len(l.invite.Body()) == 0
}

// drop accepts and ends at once what an abandoned attempt or another fork answered: ACK, then BYE.
func (l *leg) drop(res *msg.Response) {
	d, bare := l.forked(res)
	if d == nil {
		return
	}
	seq := res.CSeq().SeqNo
	d.LocalSeq = seq
	var answer []byte
	if offer, ok := bodySDP(res); ok && bare {
		answer = decline(l.flow, offer)
	}
	l.ack(d, seq, answer)
	bye := d.Bye(l.c.sh.tx)
	l.dress(&bye.Request, msg.BYE, []msg.Header{reason{"SIP", 487, "answered elsewhere or too late"}.header()})
	fill(&bye.Request, nil)
	l.c.sh.last(l.flow, &bye.Request, bye, l.auth, l.toward())
}

// exchange is one request of ours on a leg, with the digest authentication that it may need.
type exchange struct {
	l      *leg
	d      *dialog.Dialog
	req    *msg.Request
	client *transaction.Client
	then   func(res *msg.Response, err error)
	auth   digest.Round
	done   bool
}

// send starts an in-dialog request. then is called once, with the final response or the reason why there is none.
func (l *leg) send(req *msg.Request, then func(res *msg.Response, err error)) *exchange {
	return l.sendIn(l.current(), req, then)
}

// sendIn is send for a request that was built in dialog d.
func (l *leg) sendIn(d *dialog.Dialog, req *msg.Request, then func(res *msg.Response, err error)) *exchange {
	x := &exchange{l: l, d: d, req: req, then: then}
	if req.Body() == nil {
		fill(req, nil)
	}
	x.client = l.c.sh.tx.Request(l.flow, req, x)
	return x
}

// Response implements transaction.ClientUser.
func (x *exchange) Response(_ *transaction.Client, res *msg.Response) {
	x.l.heard(res)
	if res.IsProvisional() {
		return
	}
	if x.done {
		if res.IsSuccess() && x.req.Method == msg.INVITE {
			x.l.again(res)
		}
		return
	}
	if (res.StatusCode == 401 || res.StatusCode == 407) && !x.l.ended {
		if hs, err := x.l.auth.answer(&x.auth, res, string(x.req.Method), x.req.Recipient.String(), x.req.Body()); err == nil {
			again := x.d.Request(x.req.Method)
			recopy(again, x.req)
			for _, h := range hs {
				again.AppendHeader(h)
			}
			x.req = again
			x.client = x.l.c.sh.tx.Request(x.l.flow, again, x)
			return
		}
	}
	x.finish(res, nil)
}

// Failed implements transaction.ClientUser.
func (x *exchange) Failed(_ *transaction.Client, err error) {
	if !x.done {
		x.finish(nil, err)
	}
}

func (x *exchange) finish(res *msg.Response, err error) {
	x.done = true
	if x.l.out == x {
		x.l.out = nil
	}
	x.then(res, err)
	x.l.rested()
}

// rested goes on with what waited until this leg has no request of ours open.
func (l *leg) rested() {
	if l.out != nil || len(l.idle) == 0 {
		return
	}
	fs := l.idle
	l.idle = nil
	for _, f := range fs {
		f()
	}
}

// quiet calls f once no request of ours is open on this leg; at once when none is.
func (l *leg) quiet(f func()) {
	if l.out == nil {
		f()
		return
	}
	l.idle = append(l.idle, f)
}

// recopy carries what is not the dialog's own from a request to its repetition.
func recopy(to, from *msg.Request) {
	for _, h := range from.Headers() {
		switch strings.ToLower(h.Name()) {
		case "via", "route", "max-forwards", "from", "to", "call-id", "cseq", "content-length", "authorization", "proxy-authorization":
		default:
			to.AppendHeader(h)
		}
	}
	to.SetBody(from.Body())
}

// farewell is a request that ends something and that nobody waits for; only the edge's end does.
type farewell struct {
	toward
	s     *shard
	flow  transport.Flow
	draft *transaction.Draft // of the first request, whose headers another with credentials shares; nil: it was none
	req   *msg.Request
	auth  *digester
	round digest.Round
}

// last sends such a request, which is nobody else's from now on. draft is the one that it lies in, if any.
func (s *shard) last(f transport.Flow, req *msg.Request, draft *transaction.Draft, auth *digester, to toward) {
	w := &farewell{toward: to, s: s, flow: f, draft: draft, req: req, auth: auth}
	if w.owe() {
		return // once its way is back it leaves
	}
	s.pending++
	s.tx.Request(f, req, w)
}

// Response implements transaction.ClientUser.
func (w *farewell) Response(_ *transaction.Client, res *msg.Response) {
	if res.IsProvisional() {
		return
	}
	if res.StatusCode == 401 || res.StatusCode == 407 {
		if hs, err := w.auth.answer(&w.round, res, string(w.req.Method), w.req.Recipient.String(), nil); err == nil {
			w.s.pending--
			w.again(hs)
			return
		}
	}
	w.over(res.StatusCode != 503) // a drill says that one, too
}

// again sends the request another time, with these headers.
func (w *farewell) again(hs []msg.Header) {
	again := msg.NewRequest(w.req.Method, w.req.Recipient)
	for _, k := range w.req.Headers() {
		switch strings.ToLower(k.Name()) {
		case "via", "cseq", "content-length", "authorization", "proxy-authorization":
		default:
			again.AppendHeader(k)
		}
	}
	again.AppendHeader(&msg.CSeqHeader{SeqNo: w.req.CSeq().SeqNo + 1, MethodName: w.req.Method})
	for _, h := range hs {
		again.AppendHeader(h)
	}
	fill(again, nil)
	w.req = again
	w.s.pending++
	w.s.tx.Request(w.flow, again, w)
}

// Failed implements transaction.ClientUser.
func (w *farewell) Failed(*transaction.Client, error) { w.over(false) }

// over ends the wait for an answer. heard says that the far end gave one.
func (w *farewell) over(heard bool) {
	w.s.pending--
	if !heard && w.owe() {
		return
	}
	w.s.tx.Release(w.draft)
	w.draft, w.req = nil, nil
}

// bye ends the dialog of this leg. RFC 3261 section 15: a callee's BYE waits for the ACK of its 2xx, or for the end of that wait.
func (l *leg) bye(rs []reason) {
	if l.dlg == nil || l.ended {
		return
	}
	l.ended = true
	l.timing.stop()
	if l.waiting != nil {
		l.waiting.bye = rs
		return
	}
	l.farewell(rs)
}

func (l *leg) farewell(rs []reason) {
	if l.owed != 0 { // RFC 3261 section 15: first the ACK, then the BYE
		l.settle(l.owed, nil)
	}
	req := l.current().Bye(l.c.sh.tx)
	l.dress(&req.Request, msg.BYE, l.why(rs, 0))
	if n := l.party.Cross.UserData; n > 0 {
		for _, v := range header.UserToUser(l.c.parting, n) {
			req.AppendHeader(msg.NewHeader("User-to-User", v))
		}
	}
	fill(&req.Request, nil)
	l.c.sh.last(l.flow, &req.Request, req, l.auth, l.toward())
}

// entomb keeps the leg known as an ended one for as long as its peer may still send to it, then forgets it.
func (l *leg) entomb() {
	l.ended = true
	l.timing.stop()
	l.rel.stop()
	delete(l.c.sh.digits, l)
	if l.bury() {
		return
	}
	sh, key := l.c.sh, legKey{l.callID, l.tag}
	sh.loop.After(64*sh.e.c.Timers.T1, func() {
		delete(sh.ends, key.tag)
		if l.guest {
			sh.e.guests.forget(l.callID, l.dlg.Remote.Tag)
		}
		l.let()
		if l.c.emergency() {
			sh.spare(l.callID)
		}
	})
}
