package carrier

import (
	"crypto/md5" // RFC 7616 still has it, and so have carriers
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strconv"
	"strings"
)

// Auth makes the called side ask for digest credentials (RFC 7616, RFC 8760) with a 401.
type Auth struct {
	Realm, User, Password string
	MD5                   bool // instead of SHA-256
}

func (a *Auth) algorithm() string {
	if a.MD5 {
		return "MD5"
	}
	return "SHA-256"
}

func (a *Auth) hash(parts ...string) string {
	s := []byte(strings.Join(parts, ":"))
	if a.MD5 {
		h := md5.Sum(s)
		return hex.EncodeToString(h[:])
	}
	h := sha256.Sum256(s)
	return hex.EncodeToString(h[:])
}

// response is the request-digest with qop=auth (RFC 7616 section 3.4.1).
func (a *Auth) response(method, uri, nonce, nc, cnonce string) string {
	return a.hash(a.hash(a.User, a.Realm, a.Password), nonce, nc, cnonce, "auth", a.hash(method, uri))
}

// authorized answers a request that has no good credentials with 401 and says whether it may go on.
func (p *Peer) authorized(t *serverTx, a *Auth) bool {
	stale := false
	for _, v := range t.req.all("Authorization") {
		q := digestParams(v)
		if q["realm"] != a.Realm {
			continue
		}
		last, known := p.nonces[q["nonce"]]
		nc, err := strconv.ParseUint(q["nc"], 16, 32)
		switch {
		case !known:
			stale = true
			continue
		case err != nil || len(q["nc"]) != 8 || uint32(nc) <= last || uint32(nc) != last+1 && t.req.method == "INVITE":
			p.fault("%s: nc %q after %d", t.req.method, q["nc"], last)
			continue
		case q["uri"] != t.req.uri || q["qop"] != "auth" || q["cnonce"] == "" || !strings.EqualFold(q["algorithm"], a.algorithm()):
			p.fault(t.req.method+": credentials %q do not fit the request or the challenge", v)
			continue
		}
		p.nonces[q["nonce"]] = uint32(nc)
		if q["username"] == a.User && q["response"] == a.response(t.req.method, q["uri"], q["nonce"], q["nc"], q["cnonce"]) {
			return true
		}
		p.stats.BadCredentials++
	}
	p.stats.Challenged++
	nonce := p.token()
	p.nonces[nonce] = 0
	p.respond(t, 401, func(r *message) {
		r.add("WWW-Authenticate", fmt.Sprintf(`Digest realm="%s", nonce="%s", algorithm=%s, qop="auth", stale=%v`, a.Realm, nonce, a.algorithm(), stale))
	})
	return false
}

// digestParams reads the parameters of one Authorization value.
func digestParams(v string) map[string]string {
	out := map[string]string{}
	scheme, rest, _ := strings.Cut(v, " ")
	if !strings.EqualFold(scheme, "Digest") {
		return out
	}
	for _, x := range splitList(rest) {
		k, val, _ := strings.Cut(x, "=")
		out[strings.ToLower(strings.TrimSpace(k))] = strings.Trim(strings.TrimSpace(val), `"`)
	}
	return out
}
