package media

import (
	"crypto/rand"
	"encoding/base64"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// defaultSuites is the order in which suites are offered and chosen: the AEAD ones first, they cost a half to a third of the others.
func defaultSuites() []Suite {
	return []Suite{AEAD_AES_256_GCM, AEAD_AES_128_GCM, AES_256_CM_SHA1_80, AES_CM_128_HMAC_SHA1_80, AES_CM_128_HMAC_SHA1_32}
}

// crypto is one crypto attribute, RFC 4568 section 9.1. Its zero suite says that the attribute was read but can't be used.
type crypto struct {
	tag   string
	suite Suite
	key   []byte // master key and master salt, one after the other
	mki   []byte // RFC 4568 section 6.1: the peer appends it to every packet; we never send one
}

// lengths of master key and master salt: RFC 4568 section 6.2, RFC 6188 section 2, RFC 7714 section 12.
func (s Suite) lengths() (key, salt int) {
	switch s {
	case AEAD_AES_256_GCM:
		return 32, 12
	case AEAD_AES_128_GCM:
		return 16, 12
	case AES_256_CM_SHA1_80:
		return 32, 14
	case AES_CM_128_HMAC_SHA1_80, AES_CM_128_HMAC_SHA1_32:
		return 16, 14
	}
	return 0, 0
}

// newCrypto makes a fresh key for s.
func newCrypto(tag string, s Suite) crypto {
	k, salt := s.lengths()
	b := make([]byte, k+salt)
	rand.Read(b) // never fails, by its contract
	return crypto{tag: tag, suite: s, key: b}
}

// String is the value of the attribute. The base64 is padded as RFC 4648 section 3.2 wants it; without a lifetime the maximum holds.
func (c crypto) String() string {
	return c.tag + " " + string(c.suite) + " inline:" + base64.StdEncoding.EncodeToString(c.key)
}

// same says whether two attributes mean the same keying.
func (c crypto) same(o crypto) bool {
	return c.suite == o.suite && string(c.key) == string(o.key) && string(c.mki) == string(o.mki)
}

// parseCrypto reads the value of a crypto attribute. What can't be honoured (an unknown suite, several keys, a session parameter that
// weakens the stream) comes back without a suite: such a line is never chosen, RFC 4568 section 7.1.2.
func parseCrypto(v string) crypto {
	f := strings.Fields(v)
	if len(f) < 3 || len(f[0]) > 9 || strings.Trim(f[0], "0123456789") != "" {
		return crypto{}
	}
	bad := crypto{tag: f[0]}
	// Of the session parameters only WSH (a hint for the replay window) leaves the stream as strong as it is without.
	if slices.ContainsFunc(f[3:], func(p string) bool { return !strings.HasPrefix(p, "WSH=") }) {
		return bad
	}
	suite := Suite(f[1])
	key, salt := suite.lengths()
	params, ok := strings.CutPrefix(f[2], "inline:")
	if !ok || key == 0 || strings.Contains(params, ";") {
		return bad
	}
	parts := strings.Split(params, "|")
	// Some peers write the key without its padding.
	raw, err := base64.RawStdEncoding.DecodeString(strings.TrimRight(parts[0], "="))
	if err != nil || len(raw) != key+salt {
		return bad
	}
	c := crypto{tag: f[0], suite: suite, key: raw}
	if !c.params(parts[1:]) {
		return bad
	}
	return c
}

// params reads "[|lifetime][|mki:length]".
func (c *crypto) params(p []string) bool {
	if len(p) > 0 && !strings.Contains(p[0], ":") {
		if !lifetime(p[0]) {
			return false
		}
		p = p[1:]
	}
	if len(p) == 0 {
		return true
	}
	value, length, ok := strings.Cut(p[0], ":")
	n, err := strconv.ParseUint(length, 10, 8)
	v, err2 := strconv.ParseUint(value, 10, 64)
	if !ok || len(p) > 1 || err != nil || err2 != nil || n == 0 || n > 8 || n < 8 && v>>(8*n) != 0 {
		return false
	}
	for i := range n {
		c.mki = append(c.mki, byte(v>>(8*(n-1-i))))
	}
	return true
}

// lifetime checks "2^20" or a decimal number; RFC 3711 section 9.2 sets the maximum. A key is used by who made it, so the peer watches
// over its own.
func lifetime(s string) bool {
	if exp, ok := strings.CutPrefix(s, "2^"); ok {
		n, err := strconv.ParseUint(exp, 10, 8)
		return err == nil && n <= 48
	}
	n, err := strconv.ParseUint(s, 10, 64)
	return err == nil && n > 0 && n <= 1<<48
}

// profile is what the side is offered first.
func (l *Leg) profile() string {
	switch plain := l.Security == Plain || l.Security == SRTPBestEffort; {
	case plain && l.Feedback:
		return protoAVPF
	case plain:
		return protoAVP
	case l.Security == DTLS && l.Feedback:
		return protoTLSF
	case l.Security == DTLS:
		return protoTLS
	case l.Feedback:
		return protoSAVPF
	}
	return protoSAVP
}

// keys says whether the hop may see keys.
func (l *Leg) keys() bool { return l.Secure || l.InsecureLab }

// suites that the leg allows, in order.
func (l *Leg) suites() []Suite {
	if len(l.Suites) == 0 {
		return defaultSuites()
	}
	return l.Suites
}

// choose takes the offered line whose suite the leg likes best.
func (l *Leg) choose(offered []crypto) (crypto, bool) {
	for _, s := range l.suites() {
		for _, c := range offered {
			if c.suite == s {
				return c, true
			}
		}
	}
	return crypto{}, false
}

// check refuses a leg that could never work.
func (l *Leg) check() error {
	for _, s := range l.Suites {
		if k, _ := s.lengths(); k == 0 {
			return fmt.Errorf("media: leg of %s: unknown suite %q", l.Party, s)
		}
	}
	if l.T38 && (l.Security == SRTPRequired || l.Security == DTLS || l.ICE) {
		return fmt.Errorf("media: leg of %s: T.38 goes in the clear and without ICE, which the leg demands", l.Party)
	}
	if l.Security == DTLS && len(l.Suites) > 0 && !slices.ContainsFunc(l.Suites, func(s Suite) bool { return s != AES_256_CM_SHA1_80 }) {
		return fmt.Errorf("media: leg of %s: none of its suites can be had by DTLS-SRTP", l.Party)
	}
	if l.Security > DTLS {
		return fmt.Errorf("media: leg of %s: unknown security %d", l.Party, l.Security)
	}
	return nil
}
