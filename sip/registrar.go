package sip

import (
	"context"
	"errors"
	"fmt"
	"math"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/cordonsip/cordon/healthcheck"
	"github.com/cordonsip/cordon/sip/registration"
	"github.com/cordonsip/cordon/sip/transaction"
	"github.com/cordonsip/cordon/sip/transport"
	"github.com/cordonsip/cordon/sovereign"
	msg "github.com/emiago/sipgo/sip"
)

// binding is a contact with the way on which it was registered: calls and probes go back on that way and never to an address that a Contact names.
type binding = registration.Binding[transport.Flow]

// registrar keeps what parties register with us. Bindings are rare events of any loop, so one short lock guards them.
type registrar struct {
	e       *Edge
	mu      sync.Mutex
	records registration.Records[transport.Flow]
	wake    chan struct{}
}

// run drops bindings as they expire, until ctx ends.
func (g *registrar) run(ctx context.Context) {
	for {
		g.mu.Lock()
		now := time.Now()
		for _, party := range g.records.Drop(func(b binding) bool { return !b.Until.After(now) }) {
			g.tell(party, now)
		}
		next := g.records.Next()
		g.mu.Unlock()
		var due <-chan time.Time
		if !next.IsZero() {
			due = time.After(time.Until(next))
		}
		select {
		case <-ctx.Done():
			return
		case <-g.wake:
		case <-due:
		}
	}
}

// tell makes the bindings of a party its targets. The caller holds mu.
func (g *registrar) tell(party string, now time.Time) {
	list := g.records.Of(now, party)
	g.e.metrics.bindings.WithLabelValues(party).Set(float64(len(list)))
	if g.e.c.Bind == nil {
		return
	}
	var out []healthcheck.Bound
	for _, b := range list {
		out = append(out, healthcheck.Bound{
			Name: b.Contact.Host, Transport: healthcheck.Transport(b.Way.Proto()), Addr: b.Way.Remote(), Priority: uint16(1000 * (1 - b.Contact.Q)),
		})
	}
	g.e.c.Bind(party, out)
}

// apply takes one REGISTER.
func (g *registrar) apply(u registration.Update[transport.Flow]) ([]binding, *registration.Refusal) {
	now := time.Now()
	g.mu.Lock()
	defer g.mu.Unlock()
	list, refusal := g.records.Apply(now, u)
	if refusal == nil && (u.All || len(u.Contacts) > 0) {
		g.tell(u.Party, now)
		select {
		case g.wake <- struct{}{}:
		default:
		}
	}
	return list, refusal
}

// drop ends the bindings that gone names.
func (g *registrar) drop(gone func(binding) bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, party := range g.records.Drop(gone) {
		g.tell(party, time.Now())
	}
}

// lost ends the bindings of a connection that broke: nothing can reach them any more. RFC 5626 section 6 keeps a binding with its flow.
func (g *registrar) lost(f transport.Flow) {
	if k := f.Key(); k.Conn != 0 {
		g.drop(func(b binding) bool { return b.Way.Key() == k })
	}
}

// reload ends the bindings of parties that may not register any more.
func (g *registrar) reload(n *profiles) {
	g.drop(func(b binding) bool { p := n.byName[b.Party]; return p == nil || !p.Registers })
}

// of gives the binding behind a target: where several share its address, the one that one of the called users belongs to, else the one with the highest q.
func (g *registrar) of(t healthcheck.Target, called ...string) (found binding, ok bool) {
	if t.Member != healthcheck.Registered {
		return binding{}, false
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, b := range g.records.Of(time.Now(), t.Party) {
		if b.Way.Remote() != t.Addr || string(b.Way.Proto()) != string(t.Transport) {
			continue
		}
		if slices.Contains(called, userOf(b)) || b.Contact.User != "" && slices.Contains(called, b.Contact.User) {
			return b, true
		}
		if !ok {
			found, ok = b, true
		}
	}
	return found, ok
}

// userOf is the user of the address of record that a binding belongs to.
func userOf(b binding) string {
	user, _, _ := strings.Cut(b.AOR, "@")
	return user
}

// placedAt puts what a binding says of its place into a Request-URI. A call to the address of record itself goes to its Contact whole, user and parameters (RFC 3261
// section 16.5). Any other number came to a party that registered once for many: it stays, and takes the place and the parameters of the Contact, as RFC 6140
// section 5.2 has it for trunks. What would lead a message elsewhere is ours to say: it goes by the way on which the registration came.
func placedAt(u msg.Uri, b binding, called ...string) msg.Uri {
	u.Host, u.Port = hostText(b.Contact.Host), int(b.Contact.Port)
	if b.Contact.User != "" && slices.Contains(called, userOf(b)) {
		u.User = b.Contact.User
	}
	var c msg.Uri
	if msg.ParseUri(b.Contact.URI, &c) != nil {
		return u
	}
	for _, p := range c.UriParams {
		switch strings.ToLower(p.K) {
		case "transport", "method", "maddr", "ttl", "lr":
		default:
			u.UriParams = append(u.UriParams, p)
		}
	}
	return u
}

var errUnbound = errors.New("sip: its registration ended")

// flowTo is the way to a target: dialled, or the one on which it registered.
func (e *Edge) flowTo(t healthcheck.Target, p *Party, pass *sovereign.Pass) (transport.Flow, error) {
	if t.Member == healthcheck.Registered {
		b, ok := e.registrar.of(t)
		f := b.Way.With(pass)
		if !ok || !f.Valid() {
			return transport.Flow{}, errUnbound
		}
		return f, nil
	}
	proto := transport.Proto(t.Transport)
	e.know(proto, t.Addr, t.Party)
	d := transport.Dest{Proto: proto, Addr: t.Addr, Party: t.Party, Pass: pass}
	if proto == transport.TLS {
		d.Profile = p.profile(t.Name)
	}
	return e.tl.Flow(d)
}

// register answers one REGISTER. RFC 3261 section 10.3.
func (s *shard) register(tx *transaction.Server, req *msg.Request, in transport.Incoming, party *Party, user string) {
	res, hs := s.registered(req, in, party, user)
	s.e.metrics.registrations.WithLabelValues(party.Name, itoa(res)).Inc()
	s.answer(tx, res, hs...)
}

func (s *shard) registered(req *msg.Request, in transport.Incoming, party *Party, user string) (status int, hs []msg.Header) {
	to := req.To().Address
	switch {
	case !party.Registers:
		return 405, []msg.Header{msg.NewHeader("Allow", allowed)}
	case s.e.draining.Load():
		return 503, []msg.Header{msg.NewHeader("Retry-After", "30")}
	case len(tokens(req, "require")) > 0: // section 10.3 step 2. Paths (RFC 3327) and flows by name (RFC 5626) are not kept: the way back is the one that it came on
		return 420, []msg.Header{msg.NewHeader("Unsupported", strings.Join(tokens(req, "require"), ", "))}
	case to.Scheme != "sip" && to.Scheme != "sips" || to.User == "": // step 5
		return 404, nil
	case user != "" && to.User != user && to.User+"@"+to.Host != user: // step 4: who registers whom
		return 403, nil
	}
	if r := s.e.screen.judge(party, in.Flow.Remote(), sovereign.Production); !r.Permitted() {
		s.e.screen.refused(party.Name, in.Flow.Remote(), r.Ground, "a registration from where its party may not be: "+r.Why)
		return 403, nil
	}
	u, status := s.update(req, in, party)
	if status != 0 {
		return status, nil
	}
	list, refusal := s.e.registrar.apply(u)
	if refusal != nil {
		if refusal.Min > 0 {
			hs = append(hs, msg.NewHeader("Min-Expires", itoa(int(refusal.Min/time.Second))))
		}
		return refusal.Status, hs
	}
	now := time.Now()
	for _, b := range list {
		left := int(math.Ceil(b.Until.Sub(now).Seconds()))
		hs = append(hs, msg.NewHeader("Contact", fmt.Sprintf("<%s>;expires=%d", b.Contact.URI, left)))
	}
	return 200, append(hs, msg.NewHeader("Date", now.UTC().Format("Mon, 02 Jan 2006 15:04:05 GMT"))) // section 10.3 step 8
}

// update reads a REGISTER. A Contact whose literal address lies where the party may not be refuses it whole: 403.
func (s *shard) update(req *msg.Request, in transport.Incoming, party *Party) (u registration.Update[transport.Flow], status int) {
	to := req.To().Address
	u = registration.Update[transport.Flow]{
		Party: party.Name, AOR: to.User + "@" + strings.ToLower(to.Host), CallID: req.CallID().Value(), Seq: req.CSeq().SeqNo, Expires: -1, Way: in.Flow,
	}
	if n, ok := number(req, "expires"); ok {
		u.Expires = time.Duration(n) * time.Second
	}
	for _, h := range req.GetHeaders("contact") {
		c, ok := h.(*msg.ContactHeader)
		switch {
		case !ok:
			return u, 400
		case c.Address.Wildcard:
			u.All = true
			continue
		case c.Address.Scheme != "sip" && c.Address.Scheme != "sips":
			return u, 400
		case !s.placed(c.Address, in, party):
			return u, 403
		}
		u.Contacts = append(u.Contacts, contactOf(c))
	}
	return u, 0
}

func contactOf(c *msg.ContactHeader) registration.Contact {
	a := c.Address
	out := registration.Contact{URI: a.String(), User: a.User, Host: strings.Trim(a.Host, "[]"), Port: uint16(a.Port), Q: 1, Expires: -1}
	out.Key = strings.ToLower(fmt.Sprintf("%s:%s:%d;%s", a.Scheme, a.Host, a.Port, a.UriParams.GetOr("transport", ""))) + "\n" + a.User
	if n, err := strconv.ParseUint(c.Params.GetOr("expires", ""), 10, 32); err == nil {
		out.Expires = time.Duration(n) * time.Second
	}
	if q, err := strconv.ParseFloat(c.Params.GetOr("q", ""), 64); err == nil && q >= 0 && q <= 1 {
		out.Q = q
	}
	return out
}

// placed judges the literal address of a Contact. Nothing is ever sent there, yet who says that it lives in a denied place is believed. A private address that
// nobody declared says nothing of any place: its owner sits behind a NAT, and the source was judged.
func (s *shard) placed(u msg.Uri, in transport.Incoming, party *Party) bool {
	addr, err := netip.ParseAddr(strings.Trim(u.Host, "[]"))
	if err != nil || addr.Unmap() == in.Flow.Remote().Addr() {
		return true
	}
	at := netip.AddrPortFrom(addr.Unmap(), uint16(max(u.Port, 1)))
	r := s.e.screen.judge(party, at, sovereign.Production)
	if r.Permitted() || addr.Unmap().IsPrivate() && r.Ground == sovereign.GroundUndeclaredAddress {
		return true
	}
	s.e.screen.refused(party.Name, at, r.Ground, "a Contact where its party may not be: "+r.Why)
	return false
}
