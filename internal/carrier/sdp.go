package carrier

import (
	"crypto/rand"
	"encoding/base64"
	"fmt"
	"net/netip"
	"strconv"
	"strings"

	"github.com/pion/srtp/v2"
)

// The SDES suites this peer speaks, by their names in RFC 4568, RFC 6188 and RFC 7714.
const (
	AES128SHA80 = "AES_CM_128_HMAC_SHA1_80"
	AES128SHA32 = "AES_CM_128_HMAC_SHA1_32"
	AES256SHA80 = "AES_256_CM_HMAC_SHA1_80"
	AES128GCM   = "AEAD_AES_128_GCM"
	AES256GCM   = "AEAD_AES_256_GCM"
)

var profiles = map[string]srtp.ProtectionProfile{
	AES128SHA80: srtp.ProtectionProfileAes128CmHmacSha1_80,
	AES128SHA32: srtp.ProtectionProfileAes128CmHmacSha1_32,
	AES256SHA80: srtp.ProtectionProfileAes256CmHmacSha1_80,
	AES128GCM:   srtp.ProtectionProfileAeadAes128Gcm,
	AES256GCM:   srtp.ProtectionProfileAeadAes256Gcm,
}

const (
	pcma     = 8
	telEvent = 101

	sendrecv = "sendrecv"
	sendonly = "sendonly"
	recvonly = "recvonly"
	inactive = "inactive"
)

// session is what one SDP says about its one stream: audio, or the fax in its place.
type session struct {
	origin  string // o= but its version
	version uint64
	addr    netip.AddrPort
	kind    string // audio or image
	proto   string
	formats []string
	crypto  []crypto
	dir     string
	mux     bool
	media   int // number of m= lines
	text    string
}

// crypto is one a=crypto line of RFC 4568.
type crypto struct {
	tag   int
	suite string
	key   []byte // master key and salt
}

func (c crypto) String() string {
	return fmt.Sprintf("a=crypto:%d %s inline:%s", c.tag, c.suite, base64.StdEncoding.EncodeToString(c.key))
}

// context makes the SRTP state of one direction.
func (c crypto) context() (*srtp.Context, error) {
	p := profiles[c.suite]
	k, err := p.KeyLen()
	if err != nil || len(c.key) <= k {
		return nil, fmt.Errorf("carrier: key of %d bytes for %s", len(c.key), c.suite)
	}
	ctx, err := srtp.CreateContext(c.key[:k], c.key[k:], p, srtp.SRTPReplayProtection(256))
	if err != nil {
		return nil, fmt.Errorf("carrier: SRTP context: %w", err)
	}
	return ctx, nil
}

func newKey(tag int, suite string) crypto {
	p := profiles[suite]
	k, _ := p.KeyLen()
	s, _ := p.SaltLen()
	b := make([]byte, k+s)
	_, _ = rand.Read(b)
	return crypto{tag, suite, b}
}

func parseCrypto(v string) (crypto, error) {
	f := strings.Fields(v)
	if len(f) < 3 {
		return crypto{}, fmt.Errorf("carrier: crypto line %q", v)
	}
	tag, err := strconv.Atoi(f[0])
	inline, found := strings.CutPrefix(f[2], "inline:")
	inline, _, _ = strings.Cut(inline, "|") // lifetime and MKI
	key, err2 := base64.StdEncoding.DecodeString(inline)
	if err != nil || err2 != nil || !found || tag < 1 {
		return crypto{}, fmt.Errorf("carrier: crypto line %q", v)
	}
	p, known := profiles[f[1]]
	if k, err := p.KeyLen(); known && err == nil {
		if s, _ := p.SaltLen(); len(key) != k+s {
			return crypto{}, fmt.Errorf("carrier: %s key of %d bytes, want %d", f[1], len(key), k+s)
		}
	}
	return crypto{tag, f[1], key}, nil
}

// parseSDP reads a session description (RFC 8866) with one audio stream that matters and complains about everything else that is wrong.
func parseSDP(b []byte) (*session, error) {
	s := &session{dir: sendrecv, text: string(b)}
	if !strings.HasSuffix(s.text, "\r\n") {
		return nil, fmt.Errorf("carrier: SDP does not end with CRLF")
	}
	var conn netip.Addr
	var port uint64
	need := map[byte]bool{'v': true, 'o': true, 's': true, 't': true, 'm': true}
	for _, l := range strings.Split(strings.TrimSuffix(s.text, "\r\n"), "\r\n") {
		if len(l) < 2 || l[1] != '=' {
			return nil, fmt.Errorf("carrier: SDP line %q", l)
		}
		delete(need, l[0])
		v, f, err := l[2:], strings.Fields(l[2:]), error(nil)
		switch l[0] {
		case 'o':
			if len(f) != 6 {
				return nil, fmt.Errorf("carrier: SDP line %q", l)
			}
			s.origin = strings.Join([]string{f[0], f[1], f[3], f[4], f[5]}, " ")
			s.version, err = strconv.ParseUint(f[2], 10, 64)
		case 'c':
			if len(f) != 3 {
				return nil, fmt.Errorf("carrier: SDP line %q", l)
			}
			conn, err = netip.ParseAddr(f[2])
		case 'm':
			s.media++
			if len(f) < 4 {
				return nil, fmt.Errorf("carrier: SDP line %q", l)
			}
			if s.media == 1 {
				port, err = strconv.ParseUint(f[1], 10, 16)
				s.kind, s.proto, s.formats = f[0], f[2], f[3:]
			}
		case 'a':
			err = s.attribute(v)
		}
		if err != nil {
			return nil, fmt.Errorf("carrier: SDP line %q: %w", l, err)
		}
	}
	if len(need) > 0 || !conn.IsValid() {
		return nil, fmt.Errorf("carrier: SDP lacks lines (v=, o=, s=, t=, m= or c=): %q", s.text)
	}
	s.addr = netip.AddrPortFrom(conn.Unmap(), uint16(port))
	return s, nil
}

func (s *session) attribute(v string) error {
	name, value, _ := strings.Cut(v, ":")
	switch name {
	case sendrecv, sendonly, recvonly, inactive:
		s.dir = name
	case "rtcp-mux":
		s.mux = true
	case "crypto":
		c, err := parseCrypto(value)
		if err != nil {
			return err
		}
		s.crypto = append(s.crypto, c)
	}
	return nil
}

func (s *session) secure() bool { return strings.HasPrefix(s.proto, "RTP/SAVP") }

// answerDir is the direction that answers an offered one (RFC 3264 section 6.1).
func answerDir(offered, wish string) string {
	switch {
	case offered == inactive || wish == inactive:
		return inactive
	case offered == sendonly:
		return recvonly
	case offered == recvonly:
		return sendonly
	}
	return wish
}

// local is our side of the offer/answer exchange of one call.
type local struct {
	id      uint64
	origin  netip.Addr // of o=, which never changes (RFC 3264 section 8)
	version uint64
	last    string
	body    []byte
	keys    map[string]crypto // one key per suite for the whole call
}

// describe writes our SDP; the version goes up by one when anything else changed (RFC 3264 section 8).
func (d *local) describe(addr netip.AddrPort, keys []crypto, events, mux bool, dir string) []byte {
	proto, formats := "RTP/AVP", strconv.Itoa(pcma)
	var a strings.Builder
	for _, k := range keys {
		proto = "RTP/SAVP"
		a.WriteString(k.String() + "\r\n")
	}
	a.WriteString("a=rtpmap:8 PCMA/8000\r\n")
	if events {
		formats += " 101"
		a.WriteString("a=rtpmap:101 telephone-event/8000\r\na=fmtp:101 0-16\r\n")
	}
	if mux {
		a.WriteString("a=rtcp-mux\r\n")
	}
	return d.write(addr, fmt.Sprintf("m=audio %d %s %s\r\n%sa=ptime:20\r\na=%s\r\n", addr.Port(), proto, formats, a.String(), dir))
}

// write writes our SDP with a media section.
func (d *local) write(addr netip.AddrPort, section string) []byte {
	family := "IP4"
	if addr.Addr().Is6() {
		family = "IP6"
	}
	rest := fmt.Sprintf("s=-\r\nc=IN %s %s\r\nt=0 0\r\n%s", family, addr.Addr(), section)
	if d.last == "" {
		d.origin = addr.Addr()
	} else if rest != d.last {
		d.version++
	}
	d.last = rest
	d.body = fmt.Appendf(nil, "v=0\r\no=- %d %d IN %s %s\r\n%s", d.id, d.version, family, d.origin, rest)
	return d.body
}

func (d *local) key(tag int, suite string) crypto {
	k, ok := d.keys[suite]
	if !ok {
		k = newKey(tag, suite)
		d.keys[suite] = k
	}
	k.tag = tag
	return k
}
