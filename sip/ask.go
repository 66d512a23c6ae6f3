package sip

import (
	"bytes"
	"strings"
	"time"

	"github.com/cordonsip/cordon/routing"
	"github.com/cordonsip/cordon/sip/header"
	"github.com/cordonsip/cordon/sovereign"
	msg "github.com/emiago/sipgo/sip"
)

// ask is what a caller asked for, taken out of its INVITE once. Messages to the other side are built from it and never from the INVITE itself.
type ask struct {
	called  string // user part, or the number of a tel URI
	domain  string
	service string // "urn:service:sos..."
	user    string // of From
	display string
	dialled string // user of To, as it came
	session string // Session-ID of the caller
	refresh string // refresher that the caller asked for
	callID  string
	sdp     []byte
	said    *carried // what may cross, filtered again per hop
	hops    uint32   // Max-Forwards that is left
	breadth uint32   // Max-Breadth, 0 without one
	expires uint32   // Session-Expires
	least   uint32   // Min-SE of the caller
	sips    bool
	hidden  bool // the caller asked for anonymity by its From
	keys    bool
	require bool // 100rel is required by the caller
	rel     bool // 100rel is supported by the caller
	timer   bool
	update  bool
	purpose sovereign.Purpose
	drill   string // in whose view it was planned; "": in none
}

func (s *shard) asked(req *msg.Request, p *Party) *ask {
	from, said, seen := req.From(), hear(req, p, s.e.profiles.Load()), mentionsOf(req)
	a := &ask{
		called: calledUser(req), domain: strings.Trim(req.Recipient.Host, "[]"), sips: req.Recipient.Scheme == "sips",
		user: header.User(from.Address.User), display: header.Display(from.DisplayName),
		hidden: strings.EqualFold(from.Address.Host, anonymousHost),
		update: seen.any(mentionsAllow) && lists(req, "allow", "UPDATE"),
		callID: req.CallID().Value(), hops: 70, said: said, session: sessionOf(req, seen),
	}
	if seen.any(mentionsRequire | mentionsSupported) {
		a.require, a.rel = lists(req, "require", "100rel"), lists(req, "supported", "100rel")
		a.timer = lists(req, "supported", "timer") || lists(req, "require", "timer")
	}
	if r := p.Register; r != nil && r.ContactUser != "" && a.called == r.ContactUser && req.To().Address.User != "" {
		a.called = req.To().Address.User // a registered trunk is called by its Contact; the number stands in To
	}
	if from.Address.Scheme == "tel" {
		a.user = telNumber(from.Address.Raw())
	}
	if req.Recipient.Scheme == "urn" {
		a.service = "urn:" + strings.ToLower(req.Recipient.Raw())
		a.called = ""
	}
	if mf := req.MaxForwards(); mf != nil {
		a.hops = min(mf.Val(), 70)
	}
	a.sdp, _ = bodySDP(req)
	a.keys = bytes.Contains(a.sdp, []byte("a=crypto:"))
	if seen.any(mentionsInterval) {
		a.expires, _ = number(req, "session-expires")
		a.refresh = refresherOf(req)
	}
	if seen.any(mentionsBreadth) {
		a.breadth, _ = number(req, "max-breadth")
	}
	if seen.any(mentionsLeast) {
		a.least, _ = number(req, "min-se")
	}
	if to := req.To(); to != nil {
		a.dialled = to.Address.User
		if to.Address.Scheme == "tel" {
			a.dialled = telNumber(to.Address.Raw())
		}
	}
	a.detach()
	return a
}

// detach gives what is kept for the time of the call memory of its own.
func (a *ask) detach() {
	texts := [...]*string{&a.called, &a.domain, &a.service, &a.user, &a.display, &a.dialled, &a.session, &a.refresh}
	var room [256]byte
	all := room[:0]
	for _, s := range texts {
		all = append(all, *s...)
	}
	text := string(all)
	for _, s := range texts {
		*s, text = text[:len(*s)], text[len(*s):]
	}
}

// request is the question for the planner. The asserted identity wins over From, which anybody may write.
func (a *ask) request(from string, at time.Time) routing.Request {
	caller := a.user
	if len(a.said.ids) > 0 {
		caller = a.said.ids[0].User
	}
	return routing.Request{
		From: from, Called: a.called, Caller: caller, Domain: a.domain, Service: a.service, Purpose: a.purpose, At: at, Keys: a.keys, Drill: a.drill,
	}
}

func calledUser(req *msg.Request) string {
	if req.Recipient.Scheme == "tel" {
		return telNumber(req.Recipient.Raw())
	}
	return header.User(req.Recipient.User)
}

// telNumber is the number of a tel URI without its parameters and visual separators. RFC 3966 section 3.
func telNumber(raw string) string {
	n, _, _ := strings.Cut(raw, ";")
	return header.Digits(n)
}

const anonymousHost = "anonymous.invalid"

// caller is the From toward a party. Privacy hides it from parties outside the trust domain (RFC 3323 section 4.1.1.3), but not from who answers a call for help:
// Directive 2002/58/EC Art. 10(b).
func (a *ask) caller(to *Party, host string) (display string, u msg.Uri) {
	private := !to.Trusted && a.said.privacy.Hides() && a.purpose != sovereign.EmergencyCall
	if a.hidden || private {
		return "Anonymous", msg.Uri{Scheme: "sip", User: "anonymous", Host: anonymousHost}
	}
	return a.display, msg.Uri{Scheme: "sip", User: a.user, Host: host}
}
