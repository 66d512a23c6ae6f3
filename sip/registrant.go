package sip

import (
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/cordonsip/cordon/healthcheck"
	"github.com/cordonsip/cordon/sip/digest"
	"github.com/cordonsip/cordon/sip/header"
	"github.com/cordonsip/cordon/sip/registration"
	"github.com/cordonsip/cordon/sip/transaction"
	"github.com/cordonsip/cordon/sip/transport"
	"github.com/cordonsip/cordon/sovereign"
	msg "github.com/emiago/sipgo/sip"
)

// Register is the registration that we keep with a party.
type Register struct {
	AOR         string // sip:user@domain; its domain is the registrar that is asked
	ContactUser string // user part of our Contact; calls to it are taken as calls to the number in To
	Expires     time.Duration
	GIN         bool // RFC 6140: one registration for all numbers of the trunk
	OneTarget   bool // register with the first target that takes us on, and not with each
}

// RegistrationView is one registration, for people.
type RegistrationView struct {
	Party, Target string
	State         string // waiting | registered | failed | refused
	Since         time.Time
	Until         time.Time // the binding ends then unless it is refreshed; zero: there is none
	Why           string
}

// registrants keeps our registrations with the targets of each party. It lives on one loop; what others read are snapshots.
type registrants struct {
	s       *shard
	list    map[string]*registrant // by target
	stopped bool
	view    atomic.Pointer[[]RegistrationView]
	routes  atomic.Pointer[map[string][]msg.Uri] // service routes by target
}

// registrant is one registration.
type registrant struct {
	all     *registrants
	party   *Party
	target  healthcheck.Target
	aor     msg.Uri
	state   registration.Registrant
	client  *digest.Client
	flow    transport.Flow
	callID  string // RFC 3261 section 10.2: one for all REGISTERs of a boot
	tag     string
	seq     uint32
	round   digest.Round
	asked   time.Duration
	service []msg.Uri
	idle    bool // another target of the party is registered with instead
	open    bool // a REGISTER waits for its final response: RFC 3261 section 10.2, no other one is sent before
	leaving bool // the binding is taken back as soon as it came
}

func newRegistrants(s *shard) *registrants {
	return &registrants{s: s, list: map[string]*registrant{}}
}

// lookEvery is how often the targets are compared with the registrations.
const lookEvery = time.Second

func (rs *registrants) tick() {
	if rs.stopped {
		return
	}
	rs.look(time.Now())
	rs.s.loop.After(lookEvery, rs.tick)
}

// look begins and ends registrations as targets come and go, and sends what is due.
func (rs *registrants) look(now time.Time) {
	if rs.s.e.c.Table == nil {
		return
	}
	table, all, want := rs.s.e.c.Table(), rs.s.e.profiles.Load(), map[string]bool{}
	for name, p := range all.byName {
		if p.Register == nil {
			continue
		}
		for _, st := range table.ByParty[name] {
			if t := st.Target; t.Addr.IsValid() && t.Member != healthcheck.Registered {
				want[t.ID()] = true
				rs.take(t, p)
			}
		}
	}
	for id, r := range rs.list {
		if !want[id] {
			r.leave(now)
			delete(rs.list, id)
		}
	}
	for _, id := range slices.Sorted(maps.Keys(rs.list)) {
		r := rs.list[id]
		r.idle = r.party.Register.OneTarget && rs.elected(r.party.Name, table, now) != id
		if !r.idle && r.state.Due(now) {
			r.round = digest.Round{}
			r.send(now)
		}
	}
	rs.publish(now)
}

// take makes sure that a registration for the target is kept, with what the profile says now.
func (rs *registrants) take(t healthcheck.Target, p *Party) {
	r := rs.list[t.ID()]
	if r != nil && *r.party.Register == *p.Register && r.sameUser(p) {
		r.party, r.target = p, t
		return
	}
	if r != nil {
		r.leave(time.Now())
	}
	r = &registrant{
		all: rs, party: p, target: t, client: p.credentials(), callID: rs.s.newCallID(), tag: token(12),
		state: registration.Registrant{Expires: p.Register.Expires, Chance: rand.Float64},
	}
	if r.state.Expires <= 0 {
		r.state.Expires = time.Hour
	}
	if r.client == nil {
		r.client = &digest.Client{}
	}
	_ = msg.ParseUri(p.Register.AOR, &r.aor) // newProfiles refused what is none
	rs.list[t.ID()] = r
}

func (r *registrant) sameUser(p *Party) bool {
	a, b := r.party.Auth, p.Auth
	return (a == nil) == (b == nil) && (a == nil || a.User == b.User && a.Realm == b.Realm)
}

// elected is the target that a party with OneTarget is registered with: the first in the table's order that does not fail, or else the one that is due next.
func (rs *registrants) elected(party string, table *healthcheck.Table, now time.Time) string {
	first := ""
	for _, st := range table.ByParty[party] {
		r := rs.list[st.Target.ID()]
		if r == nil || !rs.judge(r, now).Permitted() {
			continue
		}
		if r.state.Bound(now) || r.state.State() == registration.Waiting {
			return st.Target.ID()
		}
		if first == "" || r.state.Due(now) && !rs.list[first].state.Due(now) {
			first = st.Target.ID()
		}
	}
	return first
}

func (rs *registrants) judge(r *registrant, now time.Time) sovereign.Ruling {
	return rs.s.e.c.Fence.Judge(r.ask(now))
}

func (r *registrant) ask(now time.Time) sovereign.Ask {
	return sovereign.Ask{Party: r.party.Name, Plane: sovereign.Signalling, Addr: r.target.Addr, Keys: r.party.Keys, At: now}
}

// way is the flow to the target, or why there is none. A target that is held or denied is never contacted, and asking about it refuses nothing in the log.
func (r *registrant) way(now time.Time) error {
	if ru := r.all.judge(r, now); !ru.Permitted() {
		return fmt.Errorf("not registered: %s (%s): %s", ru.Verdict, ru.Ground, ru.Why)
	}
	pass, ru := r.all.s.e.c.Fence.Pass(r.ask(now))
	if pass == nil {
		return fmt.Errorf("not registered: %s (%s): %s", ru.Verdict, ru.Ground, ru.Why)
	}
	f, err := r.all.s.e.flowTo(r.target, r.party, pass)
	r.flow = f
	return err
}

// send sends the next REGISTER, with what the registrar is known to ask for.
func (r *registrant) send(now time.Time, more ...msg.Header) {
	if err := r.way(now); err != nil {
		r.state.Stopped(now, err.Error())
		return
	}
	r.state.Sent(now)
	r.asked = r.state.Expires
	req := r.build(r.asked)
	if len(more) == 0 {
		more = credentialHeaders(r.client.Known(digest.Request{Method: string(msg.REGISTER), URI: req.Recipient.String()}))
	}
	for _, h := range more {
		req.AppendHeader(h)
	}
	r.open = true
	r.all.s.tx.Request(r.flow, req, r)
}

// build is one REGISTER. RFC 3261 section 10.2, RFC 6140 section 5.1.
func (r *registrant) build(expires time.Duration) *msg.Request {
	r.seq++
	spec := r.party.Register
	req := msg.NewRequest(msg.REGISTER, msg.Uri{Scheme: "sip", Host: r.aor.Host, Port: r.aor.Port})
	hops := msg.MaxForwardsHeader(70)
	req.AppendHeader(&hops)
	req.AppendHeader(&msg.FromHeader{Address: r.aor, Params: msg.HeaderParams{{K: "tag", V: r.tag}}})
	req.AppendHeader(&msg.ToHeader{Address: r.aor})
	id := msg.CallIDHeader(r.callID)
	req.AppendHeader(&id)
	req.AppendHeader(&msg.CSeqHeader{SeqNo: r.seq, MethodName: msg.REGISTER})
	req.AppendHeader(r.contact())
	req.AppendHeader(msg.NewHeader("Expires", itoa(int(expires/time.Second))))
	if spec.GIN {
		req.AppendHeader(msg.NewHeader("Require", "gin"))
		req.AppendHeader(msg.NewHeader("Proxy-Require", "gin"))
		req.AppendHeader(msg.NewHeader("Supported", "path"))
	}
	r.all.s.brand(req)
	fill(req, nil)
	return req
}

func (r *registrant) contact() *msg.ContactHeader {
	c := &newReachable(r.flow, r.party.Contact).contact
	if r.party.Register.GIN {
		c.Address.UriParams = append(c.Address.UriParams, msg.HeaderKV{K: "bnc"})
	} else {
		c.Address.User = r.party.Register.ContactUser
	}
	return c
}

// Response implements transaction.ClientUser.
func (r *registrant) Response(_ *transaction.Client, res *msg.Response) {
	if res.IsProvisional() {
		return
	}
	r.open = false
	if r.leaving {
		r.left(res.IsSuccess())
		return
	}
	now := time.Now()
	if !r.mine(res) {
		return
	}
	result := itoa(res.StatusCode)
	switch least, _ := number(res, "min-expires"); {
	case res.IsSuccess():
		r.accepted(now, res)
	case res.StatusCode == 401 || res.StatusCode == 407:
		d := digest.Request{Method: string(msg.REGISTER), URI: registrarURI(r.aor)}
		hs, err := r.client.Answer(&r.round, challenges(res), d)
		if err == nil {
			r.send(now, credentialHeaders(hs)...)
			return
		}
		r.client.Forget()
		r.state.Answered(now, res.StatusCode, 0, 0)
	default:
		if r.state.Answered(now, res.StatusCode, retryAfter(res), time.Duration(least)*time.Second) {
			r.round = digest.Round{}
			r.send(now)
			return
		}
	}
	r.ended(now, result)
}

// registrarURI is the Request-URI of a REGISTER for an address of record.
func registrarURI(aor msg.Uri) string {
	u := msg.Uri{Scheme: "sip", Host: aor.Host, Port: aor.Port}
	return u.String()
}

// mine says whether a response is to the newest REGISTER of a registration that is still kept.
func (r *registrant) mine(res *msg.Response) bool {
	return r.all.list[r.target.ID()] == r && res.CSeq() != nil && res.CSeq().SeqNo == r.seq && !r.all.stopped
}

// accepted takes a 2xx: how long the binding lives, the next nonce, and the route that requests shall take.
func (r *registrant) accepted(now time.Time, res *msg.Response) {
	for _, v := range values(res, "authentication-info") {
		r.client.Next(v, false)
	}
	for _, v := range values(res, "proxy-authentication-info") {
		r.client.Next(v, true)
	}
	r.service = r.serviceRoute(res, now)
	r.state.Accepted(now, r.granted(res))
}

// granted is the time in our own Contact of the answer, in its Expires, or else what we asked for. RFC 3261 section 10.2.4.
func (r *registrant) granted(res *msg.Response) time.Duration {
	own := r.contact().Address
	for _, h := range res.GetHeaders("contact") {
		c, ok := h.(*msg.ContactHeader)
		if !ok || c.Address.User != own.User || !strings.EqualFold(c.Address.Host, own.Host) || c.Address.Port != own.Port {
			continue
		}
		if got := contactOf(c); got.Expires >= 0 {
			return min(got.Expires, 24*time.Hour)
		}
	}
	if n, ok := number(res, "expires"); ok {
		return min(time.Duration(n)*time.Second, 24*time.Hour)
	}
	return r.asked
}

// serviceRoute takes the route of RFC 3608 if every hop of it is the registrar itself or lies in a place that is permitted; else none of it. A name that is not
// the registrar's cannot be judged, because nobody resolved it.
func (r *registrant) serviceRoute(res *msg.Response, now time.Time) []msg.Uri {
	var out []msg.Uri
	for _, v := range values(res, "service-route") {
		for _, item := range header.Split(v, ',') {
			_, item, _ = strings.Cut(item, "<")
			item, _, ok := strings.Cut(item, ">")
			var u msg.Uri
			if !ok || len(out) >= 8 || msg.ParseUri(item, &u) != nil || !r.permits(u, now) {
				r.all.s.e.log.Warn("a service route was not taken: not every hop of it lies in a permitted place", "target", r.target.ID())
				return nil
			}
			out = append(out, u)
		}
	}
	return out
}

func (r *registrant) permits(u msg.Uri, now time.Time) bool {
	if _, loose := u.UriParams.Get("lr"); !loose || u.Scheme != "sip" && u.Scheme != "sips" {
		return false
	}
	host := strings.Trim(u.Host, "[]")
	addr, err := netip.ParseAddr(host)
	if err != nil {
		return strings.EqualFold(host, r.target.Name) || strings.EqualFold(host, r.aor.Host)
	}
	ask := r.ask(now)
	ask.Addr = netip.AddrPortFrom(addr.Unmap(), uint16(max(u.Port, 1)))
	return r.all.s.e.c.Fence.Judge(ask).Permitted()
}

// Failed implements transaction.ClientUser.
func (r *registrant) Failed(_ *transaction.Client, err error) {
	r.open = false
	if r.leaving {
		r.left(false)
		return
	}
	if r.all.list[r.target.ID()] != r || r.all.stopped {
		return
	}
	now, word, why := time.Now(), "lost", "registration failed: "+err.Error()
	switch {
	case errors.Is(err, sovereign.ErrFenced):
		r.state.Stopped(now, "not registered: the policy closed the way")
		r.ended(now, "fenced")
		return
	case errors.Is(err, transaction.ErrTimeout):
		word, why = "silent", "registration failed: no answer"
	}
	r.state.Lost(now, why)
	r.ended(now, word)
}

func (r *registrant) ended(now time.Time, result string) {
	r.all.s.e.metrics.registers.WithLabelValues(r.party.Name, result).Inc()
	r.all.publish(now)
}

// publish tells health which targets take us on, and people how it stands.
func (rs *registrants) publish(now time.Time) {
	if len(rs.list) == 0 && rs.view.Load() == nil {
		return
	}
	bound := map[string]bool{}
	for _, r := range rs.list {
		bound[r.party.Name] = bound[r.party.Name] || r.state.Bound(now)
	}
	view, routes := []RegistrationView{}, map[string][]msg.Uri{}
	for _, id := range slices.Sorted(maps.Keys(rs.list)) {
		r := rs.list[id]
		v := RegistrationView{Party: r.party.Name, Target: id, State: r.state.State().String(), Since: r.state.Since(), Until: r.state.Until(), Why: r.state.Why()}
		ok := r.state.Bound(now)
		if r.idle {
			ok, v.Why = bound[r.party.Name], "another target of the trunk is registered with"
		}
		why := v.Why
		if !ok && !v.Since.IsZero() {
			why += " since " + v.Since.UTC().Format("15:04:05Z")
		}
		if f := rs.s.e.c.Enrolled; f != nil {
			f(id, ok, why)
		}
		gauge := 0.0
		if r.state.Bound(now) {
			gauge = 1
			routes[id] = r.service
		}
		rs.s.e.metrics.registered.WithLabelValues(r.party.Name, id).Set(gauge)
		view = append(view, v)
	}
	rs.view.Store(&view)
	rs.routes.Store(&routes)
}

// leave ends a registration: its binding is taken back with a last REGISTER that nobody waits for but the end of the edge.
func (r *registrant) leave(now time.Time) {
	s := r.all.s
	s.e.metrics.registered.DeleteLabelValues(r.party.Name, r.target.ID())
	if r.open {
		r.leaving = true
		s.pending++
		return
	}
	if r.state.Bound(now) {
		r.depart(now)
	}
}

// left is the end of the REGISTER that leave waited for.
func (r *registrant) left(bound bool) {
	r.leaving = false
	r.all.s.pending--
	if now := time.Now(); bound || r.state.Bound(now) {
		r.depart(now)
	}
}

func (r *registrant) depart(now time.Time) {
	if r.way(now) != nil {
		return
	}
	req := r.build(0)
	for _, h := range credentialHeaders(r.client.Known(digest.Request{Method: string(msg.REGISTER), URI: req.Recipient.String()})) {
		req.AppendHeader(h)
	}
	r.all.s.last(r.flow, req, nil, &digester{client: r.client}, toward{})
}

// stop takes every binding back. RFC 3261 section 10.2.2.
func (rs *registrants) stop() {
	rs.stopped = true
	for _, r := range rs.list {
		r.leave(time.Now())
	}
	clear(rs.list)
}

// lost registers anew soon over a connection that broke: the registrar may reach us by it alone.
func (rs *registrants) lost(f transport.Flow) {
	for _, r := range rs.list {
		if f.Proto().Reliable() && r.flow.Key() == f.Key() && r.state.State() == registration.Registered {
			r.state.Hasten(time.Now(), 2*time.Second)
		}
	}
}

// mended tries what was refused again: somebody changed the configuration.
func (rs *registrants) mended() {
	for _, r := range rs.list {
		if r.state.State() == registration.Refused {
			r.state.Hasten(time.Now(), 5*time.Second)
		}
	}
}

// Registrations lists what we keep with others, by target.
func (e *Edge) Registrations() []RegistrationView {
	if v := e.registrants.view.Load(); v != nil {
		return slices.Clone(*v)
	}
	return nil
}

// serviceRoute is the route of new requests to a target.
func (e *Edge) serviceRoute(id string) []msg.Uri {
	if m := e.registrants.routes.Load(); m != nil {
		return (*m)[id]
	}
	return nil
}
