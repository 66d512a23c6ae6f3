// Package digest is Digest authentication for SIP in both roles: RFC 7616 as RFC 8760 and RFC 3261 section 22 apply it.
//
// It reads and writes header values and knows no message, socket or clock: the caller gives it text and the time. A password exists here only inside the
// function that hashes it, and no type of this package prints one. It imports sip/header, for quoted strings, and no foreign module.
package digest

import (
	"crypto/md5" //nolint // RFC 8760 section 2.1: carriers still ask for it; it is taken last, and only where the party permits it
	"crypto/rand"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/hex"
	"hash"
	"strconv"
	"strings"

	"github.com/cordonsip/cordon/sip/header"
)

// Algorithm is a hash of RFC 8760 section 2.1.
type Algorithm string

// The algorithms.
const (
	SHA512 Algorithm = "SHA-512-256"
	SHA256 Algorithm = "SHA-256"
	MD5    Algorithm = "MD5"
)

// Algorithms gives all of them, the strongest first.
func Algorithms() []Algorithm { return []Algorithm{SHA512, SHA256, MD5} }

// Strength orders algorithms: more is better, 0 is none that is known here.
func (a Algorithm) Strength() int {
	switch a {
	case SHA512:
		return 3
	case SHA256:
		return 2
	case MD5:
		return 1
	}
	return 0
}

func (a Algorithm) new() hash.Hash {
	switch a {
	case SHA512:
		return sha512.New512_256()
	case SHA256:
		return sha256.New()
	}
	return md5.New()
}

// sum is H(a:b:c) in lower-case hex. RFC 8760 section 2.2.
func (a Algorithm) sum(parts ...string) string {
	h := a.new()
	for i, p := range parts {
		if i > 0 {
			h.Write([]byte{':'})
		}
		h.Write([]byte(p))
	}
	return hex.EncodeToString(h.Sum(nil))
}

// parseAlgorithm reads the algorithm parameter: without one it is MD5 (RFC 7616 section 3.3), and "-sess" binds the key to one session.
func parseAlgorithm(s string) (a Algorithm, session, ok bool) {
	if s == "" {
		return MD5, false, true
	}
	up := strings.ToUpper(s)
	up, session = strings.CutSuffix(up, "-SESS")
	a = Algorithm(up)
	return a, session, a.Strength() > 0
}

func (a Algorithm) word(session bool) string {
	if session {
		return string(a) + "-sess"
	}
	return string(a)
}

// Request is what a digest covers.
type Request struct {
	Method, URI string
	Body        []byte // for qop=auth-int
}

// proof is one computation of RFC 7616 section 3.4.1.
type proof struct {
	algorithm            Algorithm
	session              bool
	user, realm          string
	nonce, cnonce, count string
	qop                  string // auth, auth-int, or "" for the form of RFC 2069
	req                  Request
}

func (p *proof) response(password string) string {
	h := p.algorithm.sum
	a1 := h(p.user, p.realm, password)
	if p.session { // section 3.4.2
		a1 = h(a1, p.nonce, p.cnonce)
	}
	a2 := h(p.req.Method, p.req.URI)
	if p.qop == "auth-int" { // section 3.4.3
		a2 = h(p.req.Method, p.req.URI, h(string(p.req.Body)))
	}
	if p.qop == "" {
		return h(a1, p.nonce, a2)
	}
	return h(a1, p.nonce, p.count, p.cnonce, p.qop, a2)
}

// param is one auth-param.
type param struct{ key, value string }

// params reads "Scheme key=value, key="value"": a list whose members share their commas with the parameters of each. The scheme of what follows stands in
// key with an empty value.
func params(s string) (scheme []string, list [][]param) {
	for _, part := range split(s) {
		part = strings.TrimSpace(part)
		key, val, ok := strings.Cut(part, "=")
		if !ok && strings.Trim(part, tokenChars) != "" {
			continue
		}
		if name, rest, begins := strings.Cut(strings.TrimSpace(key), " "); begins || !ok {
			if name == "" {
				continue
			}
			scheme, list = append(scheme, name), append(list, nil)
			key = strings.TrimSpace(rest)
		}
		if len(list) == 0 || !ok || key == "" || len(list[len(list)-1]) >= maxParams {
			continue
		}
		last := len(list) - 1
		list[last] = append(list[last], param{strings.ToLower(strings.TrimSpace(key)), header.Unquote(strings.TrimSpace(val))})
	}
	return scheme, list
}

// Bounds of what strangers write.
const (
	maxParams     = 32
	maxChallenges = 16
)

const tokenChars = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-.!%*_+`'~"

// split cuts at the commas outside quoted strings.
func split(s string) []string {
	var out []string
	quoted, start := false, 0
	for i := 0; i < len(s); i++ {
		switch {
		case quoted && s[i] == '\\':
			i++
		case s[i] == '"':
			quoted = !quoted
		case s[i] == ',' && !quoted:
			out, start = append(out, s[start:i]), i+1
		}
	}
	return append(out, s[start:])
}

// writer builds one header value.
type writer struct{ strings.Builder }

func begin() *writer {
	w := &writer{}
	w.WriteString("Digest ")
	return w
}

func (w *writer) put(key, value string) {
	if w.Len() > len("Digest ") {
		w.WriteString(", ")
	}
	w.WriteString(key + "=" + value)
}

func (w *writer) quoted(key, value string) { w.put(key, header.Quote(value)) }

func count(n uint32) string {
	s := strconv.FormatUint(uint64(n), 16)
	return "00000000"[len(s):] + s
}

// random is n random bytes in hex.
func random(n int) string {
	b := make([]byte, n)
	_, _ = rand.Read(b) // never fails
	return hex.EncodeToString(b)
}
