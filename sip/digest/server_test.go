package digest

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"
)

var (
	source = netip.MustParseAddr("192.0.2.1")
	noon   = time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)
)

func realm(algs ...Algorithm) *Realm {
	return &Realm{Name: "edge.example", Algorithms: algs, Users: map[string]func() string{"u": func() string { return "p" }, "empty": func() string { return "" }}}
}

func same(uri string) func(string) bool { return func(got string) bool { return got == uri } }

// answers plays a client that is asked by g.
func answers(t *testing.T, g *Guard, r *Realm, c *Client, now time.Time, req Request) string {
	t.Helper()
	var list []Challenge
	for _, v := range g.Challenges(now, r, source, false) {
		list = append(list, ParseChallenges(v, false)...)
	}
	hs, err := c.Answer(&Round{}, list, req)
	return must(t, hs, err)[0].Value
}

// Conforms: RFC 8760 section 2.3; RFC 7616 section 3.3
func TestTheGuardAsksForTheStrongestFirstAndNeverForMD5Unasked(t *testing.T) {
	g := NewGuard(0)
	got := g.Challenges(noon, realm(), source, true)
	if len(got) != 2 || !strings.Contains(got[0], "SHA-512-256") || !strings.Contains(got[1], "algorithm=SHA-256") || !strings.Contains(got[0], "stale=true") || !strings.Contains(got[0], `qop="auth"`) {
		t.Errorf("%q", got)
	}
	if got := g.Challenges(noon, realm(SHA256, MD5), source, false); len(got) != 2 || !strings.Contains(got[1], "MD5") || strings.Contains(got[1], "stale") {
		t.Errorf("%q", got)
	}
	// Credentials of an algorithm that was not offered are refused, even if they are right.
	c := client()
	v := answers(t, g, realm(MD5), c, noon, invite)
	if _, res := g.Check(noon, realm(), source, []string{v}, invite, same("sip:x")); res != Wrong {
		t.Error("MD5 was taken:", res)
	}
}

// Conforms: RFC 3261 section 22.4; RFC 8760 section 2.3; RFC 7616 section 3.4.6
func TestTheGuardChecksCredentials(t *testing.T) {
	g := NewGuard(time.Minute)
	body := Request{Method: "INVITE", URI: "sip:x", Body: []byte("v=0")}
	for name, row := range map[string]struct {
		change func(v string) string
		client *Client
		at     time.Duration
		from   netip.Addr
		uri    string
		req    Request
		want   Result
	}{
		"right":                    {want: Good},
		"nothing":                  {change: func(string) string { return `Basic realm="edge.example"` }, want: Absent},
		"another realm":            {change: func(v string) string { return strings.ReplaceAll(v, "edge.example", "elsewhere") }, want: Absent},
		"wrong password":           {client: &Client{User: "u", Password: func() string { return "no" }}, want: Wrong},
		"unknown user":             {client: &Client{User: "nobody", Password: func() string { return "p" }}, want: Wrong},
		"no password is set":       {client: &Client{User: "empty", Password: func() string { return "" }}, want: Wrong},
		"another method":           {req: Request{Method: "REGISTER", URI: "sip:x"}, want: Wrong},
		"another URI":              {uri: "sip:y", want: Wrong},
		"too old":                  {at: 2 * time.Minute, want: Stale},
		"from the future":          {at: -time.Hour, want: Stale},
		"another source":           {from: netip.MustParseAddr("192.0.2.9"), want: Stale},
		"another nonce":            {change: func(v string) string { return strings.Replace(v, `nonce="`, `nonce="A`, 1) }, want: Wrong},
		"the count goes missing":   {change: func(v string) string { return strings.Replace(v, ", nc=00000001", "", 1) }, want: Wrong},
		"the quality is left out":  {change: func(v string) string { return strings.Replace(v, ", qop=auth", "", 1) }, want: Wrong},
		"a parameter stands twice": {change: func(v string) string { return v + `, username="u"` }, want: Absent},
	} {
		c, req, uri, from := client(), invite, "sip:x", source
		if row.client != nil {
			c = row.client
		}
		if row.req.Method != "" {
			req = row.req
		}
		if row.uri != "" {
			uri = row.uri
		}
		if row.from.IsValid() {
			from = row.from
		}
		v := answers(t, g, realm(), c, noon, invite)
		if row.change != nil {
			v = row.change(v)
		}
		user, res := g.Check(noon.Add(row.at), realm(), from, []string{v}, req, same(uri))
		if res != row.want || res == Good && user != "u" {
			t.Errorf("%s: %d for %q, want %d", name, res, user, row.want)
		}
	}
	// auth-int covers the body.
	list := ParseChallenges(g.Challenges(noon, realm(), source, false)[0], false)
	list[0].Auth, list[0].Int = false, true
	v := list[0].answer("u", "p", body, "c", 1)
	if _, res := g.Check(noon, realm(), source, []string{v}, invite, same("sip:x")); res != Wrong {
		t.Error("the body is not covered:", res)
	}
	if _, res := g.Check(noon, realm(), source, []string{v}, body, same("sip:x")); res != Good {
		t.Error(res)
	}
}

// Conforms: RFC 7616 section 3.4.4
func TestAHashedUserNameIsFound(t *testing.T) {
	g, c := NewGuard(0), client()
	v := answers(t, g, realm(), c, noon, invite)
	if strings.Contains(v, `username="u"`) {
		t.Error("the guard offers to hash names:", v)
	}
	if user, res := g.Check(noon, realm(), source, []string{v}, invite, same("sip:x")); user != "u" || res != Good {
		t.Error(user, res)
	}
	a, err := ParseAuthorization(`Digest username*=UTF-8''J%C3%A4s%C3%B8n, realm="r", nonce="n", uri="sip:x", response="0"`)
	if err != nil || a.User != "Jäsøn" {
		t.Error(a.User, err)
	}
}

// Conforms: RFC 7616 section 3.4; RFC 7616 section 5.5
func TestACountIsTakenOnce(t *testing.T) {
	g := NewGuard(time.Minute)
	list := ParseChallenges(g.Challenges(noon, realm(), source, false)[0], false)
	take := func(nc uint32) Result {
		_, res := g.Check(noon, realm(), source, []string{list[0].answer("u", "p", invite, "c", nc)}, invite, same("sip:x"))
		return res
	}
	for _, row := range []struct {
		nc   uint32
		want Result
	}{{1, Good}, {1, Stale}, {3, Good}, {2, Good}, {2, Stale}, {3, Stale}, {100, Good}, {99, Good}, {36, Stale}, {37, Good}, {101, Good}, {1 << 31, Good}} {
		if got := take(row.nc); got != row.want {
			t.Errorf("count %d: %d, want %d", row.nc, got, row.want)
		}
	}
}

func TestTheMemoryOfCountsIsBounded(t *testing.T) {
	g := NewGuard(time.Minute)
	use := func(now, made time.Time) Result {
		list := ParseChallenges(g.Challenges(made, realm(), source, false)[1], false)
		_, res := g.Check(now, realm(), source, []string{list[0].answer("u", "p", invite, "c", 1)}, invite, same("sip:x"))
		return res
	}
	for i := range maxNonces {
		if res := use(noon, noon); res != Good {
			t.Fatal(i, res)
		}
	}
	if res := use(noon.Add(time.Second), noon); res != Stale {
		t.Error("a nonce whose counts may have been forgotten was taken:", res)
	}
	if res := use(noon.Add(time.Second), noon.Add(time.Second)); res != Good || len(g.used) > maxNonces {
		t.Error(res, len(g.used))
	}
}

func TestGuessingBecomesSlowAndThenPointless(t *testing.T) {
	var b Brake
	var waits []string
	for range 9 {
		wait, silent := b.Wrong(noon, source, "u")
		waits = append(waits, fmt.Sprint(wait, silent))
	}
	want := "0s false|0s false|0s false|1s false|2s false|4s false|8s false|0s true|0s true"
	if got := strings.Join(waits, "|"); got != want {
		t.Errorf("%s\nwant %s", got, want)
	}
	if !b.Silent(noon, source, "u") || b.Silent(noon, source, "v") || b.Silent(noon, netip.MustParseAddr("192.0.2.7"), "u") {
		t.Error("silence for the wrong ones")
	}
	if b.Silent(noon.Add(forgetAfter+time.Second), source, "u") {
		t.Error("silent for ever")
	}
	b.Good(source, "u")
	if b.Silent(noon, source, "u") {
		t.Error("the right password did not help")
	}
	for i := range sourceLimit {
		b.Wrong(noon, source, fmt.Sprint("user", i))
	}
	if !b.Silent(noon, source, "") || !b.Silent(noon, source, "anyone") {
		t.Error("who tries many users goes on")
	}
	for i := range 2 * maxTries {
		b.Wrong(noon, source, fmt.Sprint("flood", i))
	}
	if len(b.tries) > maxTries || !b.Silent(noon, source, "x") {
		t.Error("a flood of names:", len(b.tries))
	}
}

func FuzzAuthorization(f *testing.F) {
	f.Add(`Digest username="u", realm="r", nonce="n", uri="sip:x", response="00", qop=auth, nc=00000001, cnonce="c", algorithm=SHA-256`)
	f.Add(`Digest username*=UTF-8''%41, realm="r", nonce="n", uri="sip:x", response="0", userhash=false`)
	f.Add(`Digest username*=UTF-8'', nc=1, ,=`)
	g := NewGuard(0)
	f.Fuzz(func(t *testing.T, s string) {
		a, err := ParseAuthorization(s)
		if err == nil && (a.Nonce == "" || a.URI == "" || a.Response == "" || a.Algorithm.Strength() == 0) {
			t.Errorf("%q gives %+v", s, a)
		}
		if _, res := g.Check(noon, realm(), source, []string{s}, invite, same("sip:x")); res == Good || res == Stale {
			t.Errorf("%q was let through", s)
		}
	})
}
