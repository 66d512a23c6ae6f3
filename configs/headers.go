package configs

import (
	"fmt"
	"slices"
	"strings"

	"github.com/cordonsip/cordon/sip"
	"github.com/cordonsip/cordon/sip/header"
)

// HeaderRule changes the headers that are sent to a party, after the list of those that may cross. Exactly one of add, rename and drop.
type HeaderRule struct {
	// Header that is added to every message that begins, answers or changes a call.
	Add string `yaml:"add,omitempty"`
	// Its fixed value, at most 256 bytes.
	Value string `yaml:"value,omitempty"`
	// Header of the other side that crosses under another name.
	Rename string `yaml:"rename,omitempty"`
	// That name.
	To string `yaml:"to,omitempty"`
	// Header that does not cross.
	Drop string `yaml:"drop,omitempty"`
}

const (
	isdnUserData = 128  // octets, RFC 7434 section 6
	mostUserData = 1024 // octets
)

// crossing builds what may go on to a party beside the call itself.
func (b *builder) crossing(p *Party, at string) sip.Crossing {
	x := sip.Crossing{Diversion: p.Diversion, Identity: p.Identity, Preferred: p.PreferredIdentity, Q850: p.Q850Cause}
	if !slices.Contains([]string{"", "none", "diversion", "history-info", "both"}, p.Diversion) {
		b.fail(at+".diversion", "one of diversion, history-info, both, none", "%q is unknown", p.Diversion)
	}
	if p.Diversion != "" && p.Diversion != "none" && !p.Trusted {
		b.fail(at+".diversion", "add trusted: true if it is inside your trust domain (RFC 3325), or leave diversion out", "who sent a call on is told to trusted parties alone")
	}
	if !slices.Contains([]string{"", "drop", "pass"}, p.Identity) {
		b.fail(at+".identity", "drop (default) or pass", "%q is unknown", p.Identity)
	}
	if p.PreferredIdentity && p.Trusted {
		b.fail(at+".preferred_identity", "leave it out: a trusted party asserts its identities", "has no meaning for a trusted party")
	}
	x.UserData = b.userData(p, at)
	for i, kind := range p.Bodies {
		path := fmt.Sprintf("%s.bodies[%d]", at, i)
		main, sub, ok := strings.Cut(kind, "/")
		switch {
		case !ok || !header.IsToken(main) || !header.IsToken(sub):
			b.fail(path, "write it like application/isup, without parameters", "%q is no media type", kind)
		case strings.EqualFold(kind, header.TypeSDP) || strings.EqualFold(main, "multipart"):
			b.fail(path, "leave it out: session descriptions always cross, written anew", "%q is the edge's own to write", kind)
		}
		x.Bodies = append(x.Bodies, strings.ToLower(kind))
	}
	for i, r := range p.HeaderRules {
		rule := header.Rule(r)
		if err := rule.Check(); err != nil {
			b.fail(fmt.Sprintf("%s.header_rules[%d]", at, i), "one of {add: X-Foo, value: bar}, {rename: X-A, to: X-B}, {drop: X-C}; what routes, identifies or describes a call has keys of its own", "%v", err)
			continue
		}
		x.Rules = append(x.Rules, rule)
	}
	return x
}

func (b *builder) userData(p *Party, at string) int {
	switch p.UserToUser {
	case "", "strip":
		if p.UserToUserMax != 0 {
			b.fail(at+".user_to_user_max", "add user_to_user: pass", "bounds nothing")
		}
		return 0
	case "pass":
	default:
		b.fail(at+".user_to_user", "strip (default) or pass", "%q is unknown", p.UserToUser)
	}
	if p.UserToUserMax < 0 || p.UserToUserMax > mostUserData {
		b.fail(at+".user_to_user_max", fmt.Sprintf("a number of octets up to %d; default %d", mostUserData, isdnUserData), "%d is out of range", p.UserToUserMax)
	}
	if p.UserToUserMax == 0 {
		return isdnUserData
	}
	return p.UserToUserMax
}
