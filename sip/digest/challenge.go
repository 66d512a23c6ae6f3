package digest

import "strings"

// Challenge is one Digest challenge, RFC 7616 section 3.3.
type Challenge struct {
	Proxy                bool // of Proxy-Authenticate
	Realm, Nonce, Opaque string
	Algorithm            Algorithm
	Session              bool // the -sess variant
	Auth, Int            bool // the qop values that are offered; neither: the form of RFC 2069
	Stale                bool
	UserHash             bool // section 3.4.4: the user name may come hashed
}

// ParseChallenges reads one header value, which may hold several challenges. What is of another scheme, malformed, or of an algorithm or a quality that nobody
// here knows is left out, as RFC 7616 section 3.7 wants.
func ParseChallenges(value string, proxy bool) []Challenge {
	schemes, lists := params(value)
	var out []Challenge
	for i, list := range lists {
		if !strings.EqualFold(schemes[i], "Digest") {
			continue
		}
		if c, ok := challengeOf(list); ok && len(out) < maxChallenges {
			c.Proxy = proxy
			out = append(out, c)
		}
	}
	return out
}

func challengeOf(list []param) (Challenge, bool) {
	c, qops, ok := Challenge{Algorithm: MD5}, false, true
	for _, p := range list {
		switch p.key {
		case "realm":
			c.Realm = p.value
		case "nonce":
			c.Nonce = p.value
		case "opaque":
			c.Opaque = p.value
		case "algorithm":
			c.Algorithm, c.Session, ok = parseAlgorithm(p.value)
		case "stale":
			c.Stale = strings.EqualFold(p.value, "true")
		case "userhash":
			c.UserHash = strings.EqualFold(p.value, "true")
		case "qop":
			qops = true
			for q := range strings.SplitSeq(p.value, ",") {
				q = strings.TrimSpace(q)
				c.Auth = c.Auth || strings.EqualFold(q, "auth")
				c.Int = c.Int || strings.EqualFold(q, "auth-int")
			}
		}
	}
	known := !qops || c.Auth || c.Int
	return c, ok && known && c.Nonce != "" && (!c.Session || qops) // without a cnonce there is no session key
}

// Value writes the challenge.
func (c Challenge) Value() string {
	w := begin()
	w.quoted("realm", c.Realm)
	w.quoted("nonce", c.Nonce)
	if c.Opaque != "" {
		w.quoted("opaque", c.Opaque)
	}
	w.put("algorithm", c.Algorithm.word(c.Session))
	switch {
	case c.Auth && c.Int:
		w.quoted("qop", "auth,auth-int")
	case c.Auth:
		w.quoted("qop", "auth")
	case c.Int:
		w.quoted("qop", "auth-int")
	}
	if c.Stale {
		w.put("stale", "true")
	}
	if c.UserHash {
		w.put("userhash", "true")
	}
	return w.String()
}
