package configs

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/cordonsip/cordon/healthcheck"
	"github.com/cordonsip/cordon/sip"
	"github.com/cordonsip/cordon/sip/digest"
)

// Digest says how challenges of a party are answered.
type Digest struct {
	// Algorithms that may be used: SHA-512-256, SHA-256, MD5; default: all. The strongest that the party offers is taken.
	Algorithms []string `yaml:"algorithms,omitempty"`
}

// Challenge is what a party must prove before its registrations and calls are taken. Emergency calls are never challenged.
type Challenge struct {
	// Realm that is shown to it.
	Realm string `yaml:"realm"`
	// Algorithms that are offered, the preferred first; default: SHA-512-256, SHA-256. MD5 must be named.
	Algorithms []string `yaml:"algorithms,omitempty"`
	// Calls are challenged with 407 in place of 401. Registrations always get 401.
	Proxy bool `yaml:"proxy,omitempty"`
	// Who may come.
	Users []ChallengeUser `yaml:"users"`
}

// ChallengeUser is one user of a challenged party.
type ChallengeUser struct {
	// Name; it may register the address of record of the same name alone.
	User string `yaml:"user"`
	// The password, by reference.
	Password Secret `yaml:"password"`
}

// Register is the registration that this node keeps with a party. A target without it takes no call.
type Register struct {
	// Address of record, sip:user@domain; its domain is the registrar.
	AOR string `yaml:"aor"`
	// User part of our Contact. A call that comes in for it is taken as a call to the number in its To.
	ContactUser string `yaml:"contact_user,omitempty"`
	// Lifetime that is asked for; default 1h.
	Expires Duration `yaml:"expires,omitempty"`
	// One registration for all numbers of the trunk, RFC 6140.
	GIN bool `yaml:"gin,omitempty"`
	// Whether each target is registered with (default), or only the first that takes us on.
	EachTarget *bool `yaml:"each_target,omitempty"`
}

// registration builds what a party proves to us, and we to it.
func (b *builder) registration(prof *sip.Party, w *healthcheck.Watched, p *Party, at string) {
	if p.Digest != nil {
		list := b.algorithms(at+".digest.algorithms", p.Digest.Algorithms)
		if p.Auth == nil {
			b.fail(at+".digest", "add auth, or leave digest out", "there are no credentials that it could apply to")
		} else {
			prof.Auth.Algorithms = list
		}
	}
	prof.Challenge = b.challenge(p.Challenge, at+".challenge")
	if prof.Registers = p.Registers; p.Registers && p.Challenge == nil && len(p.Peers) == 0 {
		b.warn(at+".registers", "add challenge, or peers for its client certificate", "whoever sends from its sources may register as %s", p.Name)
	}
	if p.Register == nil {
		return
	}
	r, path := p.Register, at+".register"
	if name, ok := strings.CutPrefix(r.AOR, "sip:"); !ok || strings.Count(name, "@") != 1 || strings.HasPrefix(name, "@") || strings.HasSuffix(name, "@") || strings.ContainsAny(name, " ;<>?") {
		b.fail(path+".aor", "write it as sip:user@domain", "%q is no address of record", r.AOR)
	}
	expires := time.Duration(r.Expires.Or(time.Hour))
	if expires < time.Minute || expires > 24*time.Hour {
		b.fail(path+".expires", "between 1m and 24h", "%s is out of range", expires)
	}
	if r.GIN && r.ContactUser != "" {
		b.fail(path+".contact_user", "leave it out: the Contact of a bulk registration has no user part (RFC 6140 section 5.1)", "stands beside gin")
	}
	if len(p.Members) == 0 {
		b.fail(path, "add the registrar's members", "there is nobody to register with")
	}
	prof.Register = &sip.Register{
		AOR: r.AOR, ContactUser: r.ContactUser, Expires: expires, GIN: r.GIN, OneTarget: r.EachTarget != nil && !*r.EachTarget,
	}
	w.Enrol = true
}

func (b *builder) algorithms(path string, list []string) []digest.Algorithm {
	var out []digest.Algorithm
	for i, s := range list {
		a, ok := digest.ParseAlgorithm(s)
		switch {
		case !ok:
			b.fail(fmt.Sprintf("%s[%d]", path, i), "one of SHA-512-256, SHA-256, MD5", "%q is no algorithm", s)
		case slices.Contains(out, a):
			b.fail(fmt.Sprintf("%s[%d]", path, i), "name each once", "%s stands twice", a)
		default:
			out = append(out, a)
		}
	}
	return out
}

func (b *builder) challenge(c *Challenge, at string) *sip.Challenge {
	if c == nil {
		return nil
	}
	out := &sip.Challenge{Proxy: c.Proxy, Realm: digest.Realm{Name: c.Realm, Algorithms: b.algorithms(at+".algorithms", c.Algorithms), Users: map[string]func() string{}}}
	if c.Realm == "" {
		b.fail(at+".realm", "name what the users authenticate to, e.g. the domain of this node", "is missing")
	}
	if slices.Contains(out.Algorithms, digest.MD5) {
		b.warn(at+".algorithms", "leave it out as soon as every user can do without", "MD5 can be broken by whoever reads the signalling")
	}
	if len(c.Users) == 0 {
		b.fail(at+".users", "add at least one, e.g. {user: edge-1, password: {env: EDGE_1}}", "there is none")
	}
	for i, u := range c.Users {
		up := fmt.Sprintf("%s.users[%d]", at, i)
		secret := u.Password
		secret.File = b.path(secret.File)
		switch {
		case u.User == "":
			b.fail(up+".user", "give the name that it registers as", "is missing")
		case out.Users[u.User] != nil:
			b.fail(up+".user", "names are unique", "%q stands twice", u.User)
		case secret.IsZero():
			b.fail(up+".password", "add {env: NAME} or {file: PATH}", "is missing")
		}
		out.Users[u.User] = func() string { v, _ := secret.Value(); return v }
	}
	return out
}
