package digest

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// Header is one header that goes with a request.
type Header struct {
	Proxy bool
	Value string
}

// Name is Authorization or Proxy-Authorization.
func (h Header) Name() string {
	if h.Proxy {
		return "Proxy-Authorization"
	}
	return "Authorization"
}

// Errors of Client.Answer.
var (
	ErrNone    = errors.New("digest: challenged, and no credentials fit")
	ErrRefused = errors.New("digest: the credentials were refused")
)

// Client answers challenges with one set of credentials. It is for one goroutine. The zero Client answers nothing.
type Client struct {
	User     string
	Realm    string // the only realm that is answered; "" answers any
	Password func() string
	Permit   []Algorithm // nil permits all

	spaces []*space // protection spaces that were answered, at most maxSpaces
}

// maxSpaces bounds what one peer makes a client remember: proxies and realms on one way.
const maxSpaces = 8

// space is one protection space: a realm of one kind, with the challenge in force and the count of its nonce.
type space struct {
	Challenge
	uses   uint32
	cnonce string // of a session variant: its key rests on the first one
}

// Round is the memory of one request and its repetitions. The zero Round is ready.
type Round struct {
	answered []Challenge
	stale    int
}

// maxStale bounds how often one request is repeated because its nonce was too old.
const maxStale = 3

// Answer gives the headers that repeat a request after a 401 or 407 with these challenges. Each realm is answered once, by its strongest challenge that is
// permitted; RFC 8760 section 2.4 would take the topmost and lets local policy choose otherwise. ErrRefused, wrapped, says that credentials which were sent
// before were not taken: RFC 3261 section 22.2 forbids to send them again. A stale nonce is no refusal.
func (c *Client) Answer(r *Round, challenges []Challenge, req Request) ([]Header, error) {
	if c == nil || c.Password == nil {
		return nil, ErrNone
	}
	var out []Header
	for _, best := range c.choose(challenges) {
		if slices.ContainsFunc(r.answered, func(a Challenge) bool { return a.Realm == best.Realm && a.Proxy == best.Proxy }) {
			if r.stale++; !best.Stale || r.stale > maxStale {
				return nil, fmt.Errorf("%w for realm %q", ErrRefused, best.Realm)
			}
		}
		if best.Stale && slices.ContainsFunc(r.answered, func(a Challenge) bool { return a.Nonce == best.Nonce && a.Proxy == best.Proxy }) {
			return nil, fmt.Errorf("%w for realm %q: its stale nonce came again", ErrRefused, best.Realm)
		}
		r.answered = append(r.answered, best)
		out = append(out, c.take(best).header(c, req))
	}
	if len(out) == 0 {
		return nil, ErrNone
	}
	// RFC 3261 section 22.3: what one server took is repeated for it when another one on the way asks, too.
	for _, s := range c.spaces {
		asked := slices.ContainsFunc(r.answered, func(a Challenge) bool { return a.Nonce == s.Nonce && a.Proxy == s.Proxy })
		now := slices.ContainsFunc(challenges, func(b Challenge) bool { return b.Realm == s.Realm && b.Proxy == s.Proxy })
		if asked && !now {
			out = append(out, s.header(c, req))
		}
	}
	return out, nil
}

// choose gives the best challenge of each protection space that the credentials fit, in the order of the message.
func (c *Client) choose(list []Challenge) []Challenge {
	var out []Challenge
	for _, n := range list {
		if c.Realm != "" && n.Realm != c.Realm || c.Permit != nil && !slices.Contains(c.Permit, n.Algorithm) {
			continue
		}
		i := slices.IndexFunc(out, func(o Challenge) bool { return o.Realm == n.Realm && o.Proxy == n.Proxy })
		switch {
		case i < 0 && len(out) < maxSpaces:
			out = append(out, n)
		case i >= 0 && n.Algorithm.Strength() > out[i].Algorithm.Strength():
			out[i] = n
		}
	}
	return out
}

// take makes a challenge the one in force of its space. The count goes on while the nonce stays. RFC 7616 section 3.4: it counts uses of the nonce.
func (c *Client) take(n Challenge) *space {
	for _, s := range c.spaces {
		if s.Realm != n.Realm || s.Proxy != n.Proxy {
			continue
		}
		if s.Nonce != n.Nonce {
			s.uses, s.cnonce = 0, ""
		}
		s.Challenge = n
		return s
	}
	if len(c.spaces) >= maxSpaces {
		c.spaces = c.spaces[1:]
	}
	s := &space{Challenge: n}
	c.spaces = append(c.spaces, s)
	return s
}

// Known gives the headers for a further request to servers whose challenge is known, so that it need not be asked again. RFC 7616 section 3.6.
func (c *Client) Known(req Request) []Header {
	if c == nil || c.Password == nil {
		return nil
	}
	var out []Header
	for _, s := range c.spaces {
		if s.uses < 1<<31 {
			out = append(out, s.header(c, req))
		}
	}
	return out
}

// Next takes an Authentication-Info or Proxy-Authentication-Info value: the server may name the nonce of the next request. RFC 7616 section 3.5.
func (c *Client) Next(value string, proxy bool) {
	_, lists := params("Digest " + value)
	for _, list := range lists {
		for _, p := range list {
			if p.key != "nextnonce" || p.value == "" {
				continue
			}
			for _, s := range c.spaces {
				if s.Proxy == proxy && s.Nonce != p.value {
					s.Nonce, s.uses, s.cnonce = p.value, 0, ""
					return // the header names no realm: it is that of the server that was answered last, and there is one per kind on a way
				}
			}
		}
	}
}

// Forget drops what is known of servers: the next request goes without credentials.
func (c *Client) Forget() { c.spaces = nil }

// header computes one answer, RFC 7616 section 3.4, and counts it.
func (s *space) header(c *Client, req Request) Header {
	s.uses++
	cnonce := random(16)
	if s.Session {
		if s.cnonce == "" {
			s.cnonce = cnonce
		}
		cnonce = s.cnonce
	}
	return Header{Proxy: s.Proxy, Value: s.answer(c.User, c.Password(), req, cnonce, s.uses)}
}

func (n Challenge) answer(user, password string, req Request, cnonce string, uses uint32) string {
	p := proof{algorithm: n.Algorithm, session: n.Session, user: user, realm: n.Realm, nonce: n.Nonce, cnonce: cnonce, count: count(uses), req: req}
	switch {
	case n.Auth: // preferred: what changes a body on the way would break the other
		p.qop = "auth"
	case n.Int:
		p.qop = "auth-int"
	}
	w := begin()
	if n.UserHash {
		w.quoted("username", n.Algorithm.sum(user, n.Realm)) // section 3.4.4
	} else {
		w.quoted("username", user)
	}
	w.quoted("realm", n.Realm)
	w.quoted("nonce", n.Nonce)
	w.quoted("uri", req.URI)
	w.quoted("response", p.response(password))
	if p.qop != "" {
		w.put("qop", p.qop)
		w.put("nc", p.count)
		w.quoted("cnonce", cnonce)
	}
	w.put("algorithm", n.Algorithm.word(n.Session))
	if n.Opaque != "" {
		w.quoted("opaque", n.Opaque)
	}
	if n.UserHash {
		w.put("userhash", "true")
	}
	return w.String()
}

// ParseAlgorithm reads the name of an algorithm as a configuration writes it.
func ParseAlgorithm(s string) (Algorithm, bool) {
	a := Algorithm(strings.ToUpper(strings.TrimSpace(s)))
	return a, a.Strength() > 0
}
