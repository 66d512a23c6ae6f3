package configs

import (
	"strings"
	"testing"
	"time"

	"github.com/cordonsip/cordon/sip/digest"
)

// with gives the base with more keys at the carrier or at the group.
func with(carrier, group string) string {
	s := strings.Replace(base, "{name: carrier,", "{name: carrier, "+carrier, 1)
	return strings.Replace(s, "{name: fra,", "{name: fra, "+group, 1)
}

const oneUser = "challenge: {realm: edge.example, users: [{user: edge-1, password: {env: EDGE}}]}, "

func TestRegistrationsAreBuilt(t *testing.T) {
	t.Setenv("EDGE", "secret-1")
	c, err := Parse("r.yaml", []byte(with(
		"auth: {user: u, password: {env: EDGE}}, digest: {algorithms: [sha-256, MD5]}, register: {aor: 'sip:trunk@carrier.example', contact_user: '4969', expires: 30m, each_target: false}, ",
		oneUser+"registers: true, ")))
	if c == nil {
		t.Fatal(err)
	}
	carrier, fra := c.Profiles[0], c.Profiles[1]
	if r := carrier.Register; r == nil || r.AOR != "sip:trunk@carrier.example" || r.ContactUser != "4969" || r.Expires != 30*time.Minute || r.GIN || !r.OneTarget || !c.Watched[0].Enrol {
		t.Errorf("%+v %v", r, c.Watched[0].Enrol)
	}
	if a := carrier.Auth.Algorithms; len(a) != 2 || a[0] != digest.SHA256 || a[1] != digest.MD5 {
		t.Error(a)
	}
	if ch := fra.Challenge; !fra.Registers || ch == nil || ch.Name != "edge.example" || ch.Proxy || ch.Users["edge-1"]() != "secret-1" || len(ch.Algorithms) != 0 || c.Watched[1].Enrol {
		t.Errorf("%+v", ch)
	}
	c, err = Parse("r.yaml", []byte(with("register: {aor: 'sip:trunk@carrier.example', gin: true}, ", "")))
	if c == nil {
		t.Fatal(err)
	}
	if r := c.Profiles[0].Register; r.Expires != time.Hour || !r.GIN || r.OneTarget {
		t.Errorf("%+v", r)
	}
}

func TestAPartyThatRegistersNeedsNoMembers(t *testing.T) {
	c, err := Parse("r.yaml", []byte(strings.Replace(with("", oneUser+"registers: true, sources: [127.1.0.0/24], "), "members: [{host: 127.1.0.11, transport: udp}], ", "", 1)))
	if c == nil {
		t.Fatal(err)
	}
	if len(c.Watched[1].Members) != 0 || len(c.Profiles[1].Sources) != 1 {
		t.Errorf("%+v", c.Watched[1])
	}
}

func TestMistakesOfRegistrationsAreNamed(t *testing.T) {
	for name, row := range map[string]struct{ carrier, group, path, what string }{
		"no aor":            {carrier: "register: {}, ", path: "trunks[0].register.aor", what: "no address of record"},
		"aor without user":  {carrier: "register: {aor: 'sip:carrier.example'}, ", path: "trunks[0].register.aor", what: "no address of record"},
		"short":             {carrier: "register: {aor: 'sip:a@b', expires: 5s}, ", path: "trunks[0].register.expires", what: "out of range"},
		"gin and user":      {carrier: "register: {aor: 'sip:a@b', gin: true, contact_user: x}, ", path: "trunks[0].register.contact_user", what: "beside gin"},
		"digest alone":      {carrier: "digest: {algorithms: [MD5]}, ", path: "trunks[0].digest", what: "no credentials"},
		"bad algorithm":     {carrier: "auth: {user: u, password: {env: X}}, digest: {algorithms: [SHA-1]}, ", path: "trunks[0].digest.algorithms[0]", what: "no algorithm"},
		"algorithm twice":   {carrier: "auth: {user: u, password: {env: X}}, digest: {algorithms: [MD5, md5]}, ", path: "trunks[0].digest.algorithms[1]", what: "stands twice"},
		"no realm":          {group: "challenge: {users: [{user: a, password: {env: X}}]}, ", path: "edge_groups[0].challenge.realm", what: "is missing"},
		"no users":          {group: "challenge: {realm: r}, ", path: "edge_groups[0].challenge.users", what: "there is none"},
		"no name":           {group: "challenge: {realm: r, users: [{password: {env: X}}]}, ", path: "edge_groups[0].challenge.users[0].user", what: "is missing"},
		"a name twice":      {group: "challenge: {realm: r, users: [{user: a, password: {env: X}}, {user: a, password: {env: X}}]}, ", path: "edge_groups[0].challenge.users[1].user", what: "stands twice"},
		"no password":       {group: "challenge: {realm: r, users: [{user: a}]}, ", path: "edge_groups[0].challenge.users[0].password", what: "is missing"},
		"unguarded":         {group: "registers: true, ", path: "edge_groups[0].registers", what: "whoever sends"},
		"MD5 for our users": {group: strings.Replace(oneUser, "realm:", "algorithms: [MD5], realm:", 1), path: "edge_groups[0].challenge.algorithms", what: "MD5"},
	} {
		c, probs := Examine("r.yaml", []byte(with(row.carrier, row.group)))
		probs = append(probs, c.Warnings...)
		found := false
		for _, p := range probs {
			found = found || p.Path == row.path && strings.Contains(p.What, row.what) && p.Hint != ""
		}
		if !found {
			t.Errorf("%s: nothing of %s at %s in:\n%v", name, row.what, row.path, probs)
		}
	}
}
