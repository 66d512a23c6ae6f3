package dtls

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// Setup is the value of a setup attribute, RFC 4145 section 4.
type Setup string

// The values. HoldConn must not be used for DTLS-SRTP, RFC 5763 section 5.
const (
	ActPass  Setup = "actpass"
	Active   Setup = "active"
	Passive  Setup = "passive"
	HoldConn Setup = "holdconn"
)

// Role is who begins with a handshake. The zero Role is not settled.
type Role uint8

// The roles.
const (
	Client Role = iota + 1 // the active side, which sends the ClientHello
	Server                 // the passive side
)

// setup is what a description says whose owner has the role.
func (r Role) setup() Setup {
	if r == Client {
		return Active
	}
	return Passive
}

// maxFingerprints is how many fingerprints of a peer are kept; further ones are overread.
const maxFingerprints = 8

// Params is what a description says of DTLS: of the session, or of one media section, which begins as a copy of its session's. The zero Params says nothing.
type Params struct {
	Setup        Setup
	Fingerprints []Fingerprint // the strong ones
	Weak         bool          // there were others, by hash functions that are not taken
	TLSID        string        // RFC 8842 section 4
	inherited    int           // of Fingerprints, those of the session
}

// Section is what a media section of the session begins with: a fingerprint of its own takes the place of the session's, RFC 8122 section 5.
func (p Params) Section() Params {
	p.inherited = len(p.Fingerprints)
	return p
}

// Take reads one attribute, "name:value". It says whether the attribute belongs to DTLS-SRTP; one that is malformed is, and changes nothing.
func (p *Params) Take(name, value string) bool {
	switch name {
	case "setup":
		switch s := Setup(strings.ToLower(value)); s {
		case ActPass, Active, Passive, HoldConn:
			p.Setup = s
		}
	case "fingerprint":
		if p.inherited > 0 {
			p.Fingerprints, p.Weak, p.inherited = nil, false, 0
		}
		f, ok := ParseFingerprint(value)
		p.Weak = p.Weak || !ok
		if ok && len(p.Fingerprints) < maxFingerprints {
			p.Fingerprints = append(p.Fingerprints[:len(p.Fingerprints):len(p.Fingerprints)], f)
		}
	case "tls-id":
		if len(value) >= 20 && len(value) <= 255 && idChars(value) {
			p.TLSID = value
		}
	default:
		return false
	}
	return true
}

// idChars says whether s has only characters that RFC 8842 section 4 allows in a tls-id.
func idChars(s string) bool {
	for i := range len(s) {
		switch c := s[i]; {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9', c == '+', c == '/', c == '-', c == '_':
		default:
			return false
		}
	}
	return true
}

// Usable says why a handshake with a peer that says this can't be tried.
func (p *Params) Usable() error {
	switch {
	case len(p.Fingerprints) == 0 && p.Weak:
		return errors.New("dtls: no fingerprint by a strong hash function")
	case len(p.Fingerprints) == 0:
		return errors.New("dtls: no fingerprint")
	}
	return nil
}

// Answer settles the roles as the answerer: what our answer says, and what we are. was is our role in the association that there is, 0 for none: a peer that leaves
// the choice to us keeps it (RFC 8842 section 5.3). Otherwise an answerer had better begin itself (RFC 5763 section 5), which saves a round trip; as the lite side of
// ICE it cannot, because it does not know where to before the peer has nominated an address.
func Answer(offered Setup, was Role, lite bool) (Setup, Role, error) {
	role := Client
	switch {
	case offered == Active || offered == "": // RFC 4145 section 4: an offer that says nothing is active
		role = Server
	case offered == Passive:
	case offered == ActPass && was != 0:
		role = was
	case offered == ActPass:
		if lite {
			role = Server
		}
	default:
		return "", 0, fmt.Errorf("dtls: an offer can't say setup:%s", offered)
	}
	return role.setup(), role, nil
}

// Offer is what our offers say: the peer settles the roles, RFC 5763 section 5, RFC 8842 section 5.2.
func Offer() Setup { return ActPass }

// Settle is our role after the answer to an offer of ours.
func Settle(answered Setup) (Role, error) {
	switch answered {
	case Active:
		return Server, nil
	case Passive, "": // RFC 4145 section 4: an answer that says nothing is passive
		return Client, nil
	}
	return 0, fmt.Errorf("dtls: an answer can't say setup:%s", answered)
}

// Renews says whether a peer's next description asks for a new association, RFC 8842 section 3.1: another certificate, another direction, or another tls-id. Else the
// keys that there are stay, after a restart of ICE and at another address as well. The new association begins with a certificate of our own that is new, too, and
// media goes on under the old keys until it is done.
func Renews(before, next *Params, was, is Role) bool {
	return was != is || before.TLSID != next.TLSID || !sameSet(before.Fingerprints, next.Fingerprints)
}

func sameSet(a, b []Fingerprint) bool {
	in := func(set []Fingerprint) func(Fingerprint) bool {
		return func(f Fingerprint) bool { return !slices.Contains(set, f) }
	}
	return !slices.ContainsFunc(a, in(b)) && !slices.ContainsFunc(b, in(a))
}

// AppendSDP writes what a media section of ours says.
func AppendSDP(b []byte, setup Setup, f Fingerprint) []byte {
	b = append(append(append(b, "a=setup:"...), setup...), "\r\n"...)
	return append(append(append(b, "a=fingerprint:"...), f...), "\r\n"...)
}
