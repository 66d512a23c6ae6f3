package digest

import (
	"errors"
	"strings"
	"testing"
)

func client() *Client { return &Client{User: "u", Password: func() string { return "p" }} }

func must(t *testing.T, list []Header, err error) []Header {
	t.Helper()
	if err != nil || len(list) == 0 {
		t.Fatalf("no answer: %v", err)
	}
	return list
}

var invite = Request{Method: "INVITE", URI: "sip:x"}

// Conforms: RFC 7616 section 3.3; RFC 7616 section 3.7
func TestChallengesAreRead(t *testing.T) {
	got := ParseChallenges(`Digest realm="a, b", nonce="n\"1", qop="auth-int,auth", algorithm=SHA-256, stale=TRUE, Basic realm="x", Digest realm="c",nonce="2"`, true)
	if len(got) != 2 || got[0].Realm != "a, b" || got[0].Nonce != `n"1` || !got[0].Stale || !got[0].Auth || !got[0].Int || !got[0].Proxy || got[1].Algorithm != MD5 || got[1].Auth {
		t.Fatalf("%+v", got)
	}
	for _, v := range []string{
		`Digest realm="r", nonce="5", algorithm=WHAT`, `Digest realm="r"`, `Digest realm="r", nonce="5", qop="auth-conf"`, `Basic realm="r", nonce="5"`, "", "Digest", `Digest realm="r", nonce="5", algorithm=MD5-sess`,
	} {
		if got := ParseChallenges(v, false); len(got) != 0 {
			t.Errorf("%s: taken: %+v", v, got)
		}
	}
	if got := ParseChallenges(`Digest realm="r", nonce="1", algorithm="sha-512-256-SESS", qop=auth`, false); len(got) != 1 || got[0].Algorithm != SHA512 || !got[0].Session {
		t.Errorf("%+v", got)
	}
}

// Conforms: RFC 8760 section 2.4
func TestTheStrongestPermittedChallengeIsAnswered(t *testing.T) {
	list := ParseChallenges(`Digest realm="r", nonce="1", algorithm=MD5, qop="auth", Digest realm="r", nonce="2", algorithm=SHA-256, qop="auth", Digest realm="r", nonce="3", algorithm=SHA-512-256, qop="auth"`, false)
	for name, row := range map[string]struct {
		permit []Algorithm
		nonce  string
	}{"all": {nil, "3"}, "SHA-256 and MD5": {[]Algorithm{SHA256, MD5}, "2"}, "MD5 alone": {[]Algorithm{MD5}, "1"}} {
		c := client()
		c.Permit = row.permit
		if hs, err := c.Answer(&Round{}, list, invite); len(hs) != 1 || !strings.Contains(hs[0].Value, `nonce="`+row.nonce+`"`) {
			t.Errorf("%s: %v %v", name, hs, err)
		}
	}
	c := client()
	c.Permit = []Algorithm{SHA512}
	if _, err := c.Answer(&Round{}, list[:2], invite); !errors.Is(err, ErrNone) {
		t.Errorf("an algorithm that the party forbids was used: %v", err)
	}
}

// Conforms: RFC 3261 section 22.3; RFC 8760 section 2.5
func TestEveryRealmIsAnswered(t *testing.T) {
	list := append(ParseChallenges(`Digest realm="a", nonce="1", qop="auth"`, false), ParseChallenges(`Digest realm="b", nonce="2", qop="auth", Digest realm="c", nonce="3", qop="auth"`, true)...)
	c, r := client(), &Round{}
	hs := must2(t, c, r, list)
	if len(hs) != 3 || hs[0].Name() != "Authorization" || hs[1].Name() != "Proxy-Authorization" || hs[2].Name() != "Proxy-Authorization" {
		t.Fatalf("%+v", hs)
	}
	// A second proxy asks for itself: what the first servers took goes with the repetition.
	hs = must2(t, c, r, ParseChallenges(`Digest realm="d", nonce="4", qop="auth"`, true))
	if len(hs) != 4 || !strings.Contains(hs[0].Value, `realm="d"`) || !strings.Contains(hs[1].Value, "nc=00000002") {
		t.Fatalf("%+v", hs)
	}
	c = client()
	c.Realm = "b"
	if hs := must2(t, c, &Round{}, list); len(hs) != 1 || !strings.Contains(hs[0].Value, `realm="b"`) {
		t.Fatalf("%+v", hs)
	}
	c.Realm = "z"
	if _, err := c.Answer(&Round{}, list, invite); !errors.Is(err, ErrNone) {
		t.Errorf("answered for another realm: %v", err)
	}
	if _, err := (*Client)(nil).Answer(&Round{}, list, invite); !errors.Is(err, ErrNone) {
		t.Error(err)
	}
}

func must2(t *testing.T, c *Client, r *Round, list []Challenge) []Header {
	t.Helper()
	hs, err := c.Answer(r, list, invite)
	return must(t, hs, err)
}

// Conforms: RFC 3261 section 22.2; RFC 7616 section 3.3
func TestRefusedCredentialsAreNotSentAgainAndAStaleNonceIsNoRefusal(t *testing.T) {
	c, r := client(), &Round{}
	must2(t, c, r, ParseChallenges(`Digest realm="a", nonce="1", qop="auth"`, false))
	for _, again := range []string{`Digest realm="a", nonce="1", qop="auth"`, `Digest realm="a", nonce="other", qop="auth"`, `Digest realm="a", nonce="1", qop="auth", stale=true`} {
		if _, err := c.Answer(r, ParseChallenges(again, false), invite); !errors.Is(err, ErrRefused) {
			t.Errorf("%s: %v", again, err)
		}
	}
	r = &Round{}
	must2(t, c, r, ParseChallenges(`Digest realm="a", nonce="1", qop="auth"`, false))
	for _, n := range []string{"2", "3", "4"} {
		if hs := must2(t, c, r, ParseChallenges(`Digest realm="a", nonce="`+n+`", qop="auth", stale=true`, false)); !strings.Contains(hs[0].Value, "nc=00000001") {
			t.Error("a new nonce counts anew:", hs[0].Value)
		}
	}
	if _, err := c.Answer(r, ParseChallenges(`Digest realm="a", nonce="5", qop="auth", stale=true`, false), invite); !errors.Is(err, ErrRefused) {
		t.Error("stale for ever:", err)
	}
	if _, err := c.Answer(&Round{}, ParseChallenges(`Digest realm="a", nonce="6", qop="auth"`, false), invite); err != nil {
		t.Error("another request begins anew:", err)
	}
}

// Conforms: RFC 7616 section 3.4; RFC 7616 section 3.5; RFC 7616 section 3.6
func TestTheNonceIsCountedAndReplaced(t *testing.T) {
	c := client()
	if c.Known(invite) != nil {
		t.Error("credentials before anybody asked")
	}
	must2(t, c, &Round{}, ParseChallenges(`Digest realm="a", nonce="1", qop="auth", opaque="o\"p"`, false))
	for _, nc := range []string{"nc=00000002", "nc=00000003"} {
		if hs := c.Known(invite); len(hs) != 1 || !strings.Contains(hs[0].Value, nc) || !strings.Contains(hs[0].Value, `opaque="o\"p"`) {
			t.Fatalf("%+v", hs)
		}
	}
	c.Next(`qop=auth, rspauth="00", nextnonce="n2"`, true) // another kind of server
	c.Next(`qop=auth, rspauth="00", nextnonce="n2"`, false)
	if hs := c.Known(invite); !strings.Contains(hs[0].Value, `nonce="n2"`) || !strings.Contains(hs[0].Value, "nc=00000001") {
		t.Fatalf("%+v", hs)
	}
	c.Forget()
	if c.Known(invite) != nil {
		t.Error("not forgotten")
	}
}

// Conforms: RFC 7616 section 3.4.2
func TestASessionKeepsItsClientNonce(t *testing.T) {
	c := client()
	first := must2(t, c, &Round{}, ParseChallenges(`Digest realm="a", nonce="1", qop="auth", algorithm=SHA-256-sess`, false))[0].Value
	second := c.Known(invite)[0].Value
	cut := func(s string) string { _, v, _ := strings.Cut(s, "cnonce="); v, _, _ = strings.Cut(v, ","); return v }
	if cut(first) != cut(second) || cut(first) == "" {
		t.Errorf("%s\n%s", first, second)
	}
}

func TestOneClientRemembersFewServers(t *testing.T) {
	c := client()
	for range 3 * maxSpaces {
		must2(t, c, &Round{}, []Challenge{{Realm: random(4), Nonce: "n", Algorithm: SHA256, Auth: true}})
	}
	if len(c.spaces) > maxSpaces {
		t.Error(len(c.spaces))
	}
}

func TestNamesInTheConfiguration(t *testing.T) {
	if a, ok := ParseAlgorithm("sha-256"); !ok || a != SHA256 {
		t.Error(a)
	}
	if _, ok := ParseAlgorithm("SHA-1"); ok {
		t.Error("SHA-1")
	}
	list := Algorithms()
	for i := range list[1:] {
		if list[i].Strength() <= list[i+1].Strength() {
			t.Error("not by strength:", list)
		}
	}
}

func FuzzChallenges(f *testing.F) {
	for _, s := range []string{`Digest realm="a, b", nonce="n"`, `Digest realm="\`, `Basic x, Digest nonce=1,,=`, "Digest", `,"`, `Digest nonce="1", algorithm=MD5-sess, qop="auth,auth-int", userhash=true`} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		list := ParseChallenges(s, false)
		if len(list) > maxChallenges {
			t.Fatal(len(list))
		}
		for _, c := range list {
			if h := c.answer("u", "p", invite, "c", 1); strings.ContainsAny(h, "\r\n\x00") {
				t.Errorf("a line break is in %q", h)
			} else if a, err := ParseAuthorization(h); err != nil || a.Response == "" || a.Realm != strings.NewReplacer("\r", "", "\n", "", "\x00", "").Replace(c.Realm) {
				t.Errorf("what was written cannot be read: %q: %+v %v", h, a, err)
			}
			if again := ParseChallenges(c.Value(), false); len(again) != 1 && !strings.ContainsAny(c.Nonce, "\r\n\x00") {
				t.Errorf("%q becomes %q, which reads as %+v", s, c.Value(), again)
			}
		}
	})
}
