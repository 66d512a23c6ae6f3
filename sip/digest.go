package sip

import (
	"crypto/md5" //nolint // RFC 7616: carriers still ask for it; the strongest offered algorithm is taken
	"crypto/rand"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"strings"

	msg "github.com/emiago/sipgo/sip"
)

// challenge is one Digest challenge, RFC 7616 section 3.3.
type challenge struct {
	realm, nonce, opaque, algorithm string
	auth                            bool // qop auth is offered
	stale                           bool
	proxy                           bool
}

// algorithms in the order of preference, RFC 8760 section 2.
var algorithms = []struct {
	name string
	new  func() hash.Hash
}{
	{"SHA-512-256", sha512.New512_256},
	{"SHA-256", sha256.New},
	{"MD5", md5.New},
}

func strength(name string) int {
	for i, a := range algorithms {
		if strings.EqualFold(a.name, name) {
			return len(algorithms) - i
		}
	}
	return 0
}

// challenges reads every Digest challenge of a 401 or 407; what is malformed or of another scheme is left out.
func challenges(res msg.Message) []challenge {
	var out []challenge
	for _, kind := range []string{"www-authenticate", "proxy-authenticate"} {
		for _, v := range values(res, kind) {
			out = append(out, parseChallenges(v, kind == "proxy-authenticate")...)
		}
	}
	return out
}

// parseChallenges splits one header value, which may hold several challenges separated by the same commas as their parameters.
func parseChallenges(v string, proxy bool) []challenge {
	var out []challenge
	var cur *challenge
	var qops bool
	flush := func() {
		if cur != nil && cur.nonce != "" && strength(cur.algorithm) > 0 && (cur.auth || !qops) {
			out = append(out, *cur)
		}
		cur = nil
	}
	for _, part := range splitQuoted(v, ',') {
		part = strings.TrimSpace(part)
		key, val, ok := strings.Cut(part, "=")
		if scheme, first, isNew := strings.Cut(strings.TrimSpace(key), " "); isNew {
			flush()
			qops = false
			if strings.EqualFold(scheme, "Digest") {
				cur = &challenge{algorithm: "MD5", proxy: proxy}
			}
			key = strings.TrimSpace(first)
		}
		if cur == nil || !ok {
			continue
		}
		val = unquote(strings.TrimSpace(val))
		switch strings.ToLower(strings.TrimSpace(key)) {
		case "realm":
			cur.realm = val
		case "nonce":
			cur.nonce = val
		case "opaque":
			cur.opaque = val
		case "algorithm":
			cur.algorithm = val
		case "stale":
			cur.stale = strings.EqualFold(val, "true")
		case "qop":
			qops = true
			for q := range strings.SplitSeq(val, ",") {
				cur.auth = cur.auth || strings.EqualFold(strings.TrimSpace(q), "auth")
			}
		}
	}
	flush()
	return out
}

func unquote(s string) string {
	if len(s) < 2 || s[0] != '"' || s[len(s)-1] != '"' {
		return s
	}
	s = s[1 : len(s)-1]
	if !strings.Contains(s, `\`) {
		return s
	}
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] == '\\' && i+1 < len(s) {
			i++
		}
		b.WriteByte(s[i])
	}
	return b.String()
}

// digester answers the challenges of one leg and counts the uses of a nonce.
type digester struct {
	cred *Credentials
	last challenge
	uses uint32
}

var errNoCredentials = errors.New("sip: challenged, and no credentials fit")

// answer gives the header for the strongest challenge that the credentials fit. A repeated challenge that is not stale means that the password is wrong.
func (d *digester) answer(res msg.Message, method, uri string) (msg.Header, error) {
	if d == nil || d.cred == nil || d.cred.Password == nil {
		return nil, errNoCredentials
	}
	var best *challenge
	for _, c := range challenges(res) {
		if d.cred.Realm != "" && c.realm != d.cred.Realm {
			continue
		}
		if best == nil || strength(c.algorithm) > strength(best.algorithm) {
			best = &c
		}
	}
	if best == nil {
		return nil, errNoCredentials
	}
	if d.uses > 0 && !best.stale && best.realm == d.last.realm && best.nonce == d.last.nonce {
		return nil, fmt.Errorf("sip: the credentials for realm %q were refused", best.realm)
	}
	if best.nonce != d.last.nonce {
		d.uses = 0
	}
	d.last = *best
	d.uses++
	return best.header(d.cred.User, d.cred.Password(), method, uri, token(16), d.uses), nil
}

// header computes the answer, RFC 7616 section 3.4.
func (c challenge) header(user, password, method, uri, cnonce string, nc uint32) msg.Header {
	var alg func() hash.Hash
	for _, a := range algorithms {
		if strings.EqualFold(a.name, c.algorithm) {
			alg = a.new
		}
	}
	h := func(parts ...string) string {
		d := alg()
		d.Write([]byte(strings.Join(parts, ":")))
		return hex.EncodeToString(d.Sum(nil))
	}
	ha1, ha2 := h(user, c.realm, password), h(method, uri)
	count := fmt.Sprintf("%08x", nc)
	var b strings.Builder
	fmt.Fprintf(&b, `Digest username="%s", realm="%s", nonce="%s", uri="%s"`, quote(user), quote(c.realm), quote(c.nonce), uri)
	if c.auth {
		fmt.Fprintf(&b, `, response="%s", qop=auth, nc=%s, cnonce="%s"`, h(ha1, c.nonce, count, cnonce, "auth", ha2), count, cnonce)
	} else {
		fmt.Fprintf(&b, `, response="%s"`, h(ha1, c.nonce, ha2))
	}
	fmt.Fprintf(&b, `, algorithm=%s`, c.algorithm)
	if c.opaque != "" {
		fmt.Fprintf(&b, `, opaque="%s"`, quote(c.opaque))
	}
	name := "Authorization"
	if c.proxy {
		name = "Proxy-Authorization"
	}
	return msg.NewHeader(name, b.String())
}

func quote(s string) string { return strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(s) }

const alphabet = "0123456789abcdefghijklmnopqrstuvwxyz"

// token is n random characters, about 5.2 bits each.
func token(n int) string {
	b := make([]byte, n)
	_, _ = rand.Read(b) // never fails
	for i := range b {
		b[i] = alphabet[int(b[i])%len(alphabet)]
	}
	return string(b)
}
