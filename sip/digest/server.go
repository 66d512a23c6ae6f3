package digest

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// Realm is what one party is asked for.
type Realm struct {
	Name       string
	Algorithms []Algorithm // nil: SHA-512-256 and SHA-256
	Users      map[string]func() string
}

func (r *Realm) algorithms() []Algorithm {
	if len(r.Algorithms) > 0 {
		return r.Algorithms
	}
	return []Algorithm{SHA512, SHA256}
}

// Authorization is one answer to a challenge, as it was read.
type Authorization struct {
	User                         string // the name, or its hash when Hashed
	Hashed                       bool
	Realm, Nonce, CNonce, Opaque string
	URI, Response, QOP, Count    string
	Uses                         uint32
	Algorithm                    Algorithm
	Session                      bool
}

var errAuthorization = errors.New("digest: no usable digest credentials")

// ParseAuthorization reads the value of an Authorization or Proxy-Authorization header. A parameter that stands twice makes it unusable: two readers would
// take two meanings.
func ParseAuthorization(value string) (Authorization, error) {
	schemes, lists := params(value)
	if len(lists) != 1 || !strings.EqualFold(schemes[0], "Digest") {
		return Authorization{}, errAuthorization
	}
	a, seen, ok := Authorization{Algorithm: MD5}, map[string]bool{}, true
	for _, p := range lists[0] {
		if seen[p.key] {
			return Authorization{}, errAuthorization
		}
		seen[p.key] = true
		ok = a.set(p) && ok
	}
	if !ok || seen["username"] == seen["username*"] || a.Nonce == "" || a.URI == "" || a.Response == "" {
		return Authorization{}, errAuthorization
	}
	return a, nil
}

func (a *Authorization) set(p param) (ok bool) {
	switch p.key {
	case "username":
		a.User = p.value
	case "username*": // RFC 7616 section 3.4: UTF-8'' and percent signs
		rest, is := strings.CutPrefix(strings.ToUpper(p.value), "UTF-8'")
		_, _, is2 := strings.Cut(rest, "'")
		if !is || !is2 {
			return false
		}
		name, err := url.PathUnescape(p.value[strings.LastIndexByte(p.value, '\'')+1:])
		a.User = name
		return err == nil && name != ""
	case "userhash":
		a.Hashed = strings.EqualFold(p.value, "true")
	case "realm":
		a.Realm = p.value
	case "nonce":
		a.Nonce = p.value
	case "cnonce":
		a.CNonce = p.value
	case "opaque":
		a.Opaque = p.value
	case "uri":
		a.URI = p.value
	case "response":
		a.Response = strings.ToLower(p.value)
	case "qop":
		a.QOP = strings.ToLower(p.value)
		return a.QOP == "auth" || a.QOP == "auth-int"
	case "nc":
		n, err := strconv.ParseUint(p.value, 16, 32)
		a.Uses, a.Count = uint32(n), p.value
		return err == nil && len(p.value) == 8 && n > 0 // section 3.4: 8 hex digits, from 1
	case "algorithm":
		a.Algorithm, a.Session, ok = parseAlgorithm(p.value)
		return ok
	}
	return true
}

// Result is what a check of credentials found.
type Result uint8

// The results. Only Good lets a request through.
const (
	Absent Result = iota // none for this realm: ask
	Good
	Stale // right, but the nonce is too old, or its count was used: ask again with stale=true
	Wrong
)

// Guard makes nonces and checks what comes back. A nonce is verified without memory; what its counts were used for is kept in bounded memory. It is safe for
// concurrent use and holds its lock for no more than a look into a map.
type Guard struct {
	key    [32]byte
	decoy  string // hashed for users that do not exist, so that they cost as much as others
	life   time.Duration
	opaque string

	mu    sync.Mutex
	used  map[string]*window // by nonce
	floor time.Time          // nonces from before are stale: their counts were forgotten
}

// window is the memory of one nonce: the highest count, and which of the 64 below it came.
type window struct {
	made time.Time
	high uint32
	bits uint64
}

// maxNonces bounds the memory of counts. Only credentials that were right take room in it.
const maxNonces = 8192

// NewGuard makes a guard whose nonces live that long; 0 is five minutes.
func NewGuard(life time.Duration) *Guard {
	if life <= 0 {
		life = 5 * time.Minute
	}
	g := &Guard{life: life, decoy: random(16), opaque: random(8), used: map[string]*window{}}
	_, _ = rand.Read(g.key[:]) // never fails
	return g
}

// Nonces are 8 bytes of time, 8 of chance and 16 of HMAC over both, the source and the realm, in base64url.
const nonceBytes = 8 + 8 + 16

func (g *Guard) seal(head []byte, source netip.Addr, realm string) []byte {
	m := hmac.New(sha256.New, g.key[:])
	m.Write(head)
	m.Write([]byte(source.String() + "\n" + realm))
	return m.Sum(nil)[:16]
}

func (g *Guard) nonce(now time.Time, source netip.Addr, realm string) string {
	b := make([]byte, 16, nonceBytes)
	binary.BigEndian.PutUint64(b, uint64(now.UnixNano()))
	_, _ = rand.Read(b[8:])
	return base64.RawURLEncoding.EncodeToString(append(b, g.seal(b, source, realm)...))
}

// made gives the time of a nonce; ok is false when it is not one of ours for this source and realm.
func (g *Guard) made(nonce string, source netip.Addr, realm string) (at time.Time, ok bool) {
	b, err := base64.RawURLEncoding.DecodeString(nonce)
	if err != nil || len(b) != nonceBytes || !hmac.Equal(b[16:], g.seal(b[:16], source, realm)) {
		return time.Time{}, false
	}
	return time.Unix(0, int64(binary.BigEndian.Uint64(b))), true
}

// Challenges gives the values of the WWW-Authenticate or Proxy-Authenticate headers, one for each algorithm, the preferred first. RFC 8760 section 2.3. Of the
// qualities auth alone is offered: clients that take auth-int when they may are undone by whatever touches a body on the way. Who sends it all the same is heard.
func (g *Guard) Challenges(now time.Time, r *Realm, source netip.Addr, stale bool) []string {
	var out []string
	for _, a := range r.algorithms() {
		c := Challenge{Realm: r.Name, Nonce: g.nonce(now, source, r.Name), Opaque: g.opaque, Algorithm: a, Auth: true, Stale: stale, UserHash: true}
		out = append(out, c.Value())
	}
	return out
}

// Check looks for credentials of this realm among the values of Authorization headers. user is the configured name they are for; for Wrong it is the name that
// was given, in whatever form. match compares the digest's URI with the request's.
func (g *Guard) Check(now time.Time, r *Realm, source netip.Addr, values []string, req Request, match func(uri string) bool) (user string, res Result) {
	for _, v := range values[:min(len(values), maxChallenges)] {
		a, err := ParseAuthorization(v)
		if err != nil || a.Realm != r.Name {
			continue
		}
		return g.check(now, r, source, &a, req, match)
	}
	return "", Absent
}

func (g *Guard) check(now time.Time, r *Realm, source netip.Addr, a *Authorization, req Request, match func(string) bool) (string, Result) {
	user, password, known := r.find(a)
	if !known {
		password = g.decoy
	}
	p := proof{
		algorithm: a.Algorithm, session: a.Session, user: user, realm: r.Name, nonce: a.Nonce, cnonce: a.CNonce, count: a.Count, qop: a.QOP,
		req: Request{req.Method, a.URI, req.Body},
	}
	right := subtle.ConstantTimeCompare([]byte(p.response(password)), []byte(a.Response)) == 1
	offered := slices.Contains(r.algorithms(), a.Algorithm) && a.QOP != "" && a.CNonce != "" && a.Count != ""
	switch {
	case !known || !right || !offered || password == "" || !match(a.URI):
		return a.User, Wrong
	}
	at, ours := g.made(a.Nonce, source, r.Name)
	if !ours || now.Sub(at) > g.life || at.After(now.Add(time.Second)) || !g.fresh(now, at, a) {
		return user, Stale
	}
	return user, Good
}

// find gives the configured user that a is for. RFC 7616 section 3.4.4.
func (r *Realm) find(a *Authorization) (user, password string, ok bool) {
	if !a.Hashed {
		if p := r.Users[a.User]; p != nil {
			return a.User, p(), true
		}
		return a.User, "", false
	}
	for name, p := range r.Users {
		if strings.EqualFold(a.Algorithm.sum(name, r.Name), a.User) {
			return name, p(), true
		}
	}
	return a.User, "", false
}

// fresh spends one count of a nonce. A count that came before, or is too far below the highest, is a replay.
func (g *Guard) fresh(now, made time.Time, a *Authorization) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if made.Before(g.floor) {
		return false
	}
	w := g.used[a.Nonce]
	if w == nil {
		if len(g.used) >= maxNonces {
			g.sweep(now)
		}
		if made.Before(g.floor) {
			return false
		}
		w = &window{made: made}
		g.used[a.Nonce] = w
	}
	switch n := a.Uses; {
	case n > w.high:
		if d := n - w.high; d < 64 {
			w.bits = w.bits<<d | 1
		} else {
			w.bits = 1
		}
		w.high = n
	case w.high-n >= 64 || w.bits>>(w.high-n)&1 == 1:
		return false
	default:
		w.bits |= 1 << (w.high - n)
	}
	return true
}

// sweep drops nonces that are over. If all are alive, all are forgotten and become stale: each user is asked once more.
func (g *Guard) sweep(now time.Time) {
	for k, w := range g.used {
		if now.Sub(w.made) > g.life {
			delete(g.used, k)
		}
	}
	if len(g.used) >= maxNonces {
		clear(g.used)
		g.floor = now
	}
}
