package sip

import (
	"strings"
	"testing"

	msg "github.com/emiago/sipgo/sip"
)

// RFC 7616 section 3.9.1: MD5 and SHA-256.
func TestDigestVectors(t *testing.T) {
	for alg, want := range map[string]string{
		"MD5":     "8ca523f5e9506fed4657c9700eebdbec",
		"SHA-256": "753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1",
	} {
		c := challenge{realm: "http-auth@example.org", nonce: "7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v", algorithm: alg, auth: true, opaque: "FQhe/qaU925kfnzjCev0ciny7QMkPqMAFRtzCUYo5tdS"}
		h := c.header("Mufasa", "Circle of Life", "GET", "/dir/index.html", "f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ", 1).Value()
		if !strings.Contains(h, `response="`+want+`"`) {
			t.Errorf("%s: %s", alg, h)
		}
	}
	// RFC 2617 section 3.5, and RFC 2069's form without qop.
	c := challenge{realm: "testrealm@host.com", nonce: "dcd98b7102dd2f0e8b11d0f600bfb0c093", algorithm: "MD5", auth: true}
	if h := c.header("Mufasa", "Circle Of Life", "GET", "/dir/index.html", "0a4f113b", 1).Value(); !strings.Contains(h, `response="6629fae49393a05397450978507c4ef1"`) {
		t.Error(h)
	}
	c.auth = false
	if h := c.header("Mufasa", "Circle Of Life", "GET", "/dir/index.html", "", 1).Value(); !strings.Contains(h, `response="670fd8c2df070c60b045671b8b24ff02"`) || strings.Contains(h, "nc=") {
		t.Error(h)
	}
	// The answer of RFC 7616 section 3.9.2 is for a user name in UTF-8 with SHA-512-256; its errata put the right hash on that algorithm, which is checked here by its
	// length alone.
	c.algorithm, c.auth = "SHA-512-256", true
	if h := c.header("u", "p", "INVITE", "sip:x", "c", 1).Value(); !strings.Contains(h, "algorithm=SHA-512-256") || len(strings.Split(h, `response="`)[1]) < 64 {
		t.Error(h)
	}
}

func TestChallenges(t *testing.T) {
	res := msg.NewResponse(401, "")
	res.AppendHeader(msg.NewHeader("WWW-Authenticate", `Digest realm="a, b", nonce="n\"1", qop="auth-int,auth", algorithm=SHA-256, stale=TRUE, Basic realm="x", Digest realm="c",nonce="2"`))
	res.AppendHeader(msg.NewHeader("Proxy-Authenticate", `Digest realm="r", nonce="3", algorithm=SHA-512-256, qop="auth-int"`))
	res.AppendHeader(msg.NewHeader("Proxy-Authenticate", `Digest realm="r", nonce="4", algorithm=SHA-512-256, qop="auth", opaque="o"`))
	res.AppendHeader(msg.NewHeader("Proxy-Authenticate", `Digest realm="r", nonce="5", algorithm=WHAT`))
	got := challenges(res)
	if len(got) != 3 || got[0].realm != "a, b" || got[0].nonce != `n"1` || !got[0].stale || !got[0].auth || got[1].algorithm != "MD5" || got[1].auth || got[2].opaque != "o" || !got[2].proxy {
		t.Fatalf("%+v", got)
	}
	d := &digester{cred: &Credentials{User: "u", Password: func() string { return "p" }}}
	h, err := d.answer(res, "INVITE", "sip:x")
	if err != nil || h.Name() != "Proxy-Authorization" || !strings.Contains(h.Value(), "SHA-512-256") {
		t.Fatalf("the strongest was not taken: %v %v", h, err)
	}
	if _, err := d.answer(res, "INVITE", "sip:x"); err == nil {
		t.Error("the same challenge again means a wrong password")
	}
	d = &digester{cred: &Credentials{User: "u", Realm: "other", Password: func() string { return "p" }}}
	if _, err := d.answer(res, "INVITE", "sip:x"); err == nil {
		t.Error("answered for another realm")
	}
}

func FuzzChallenges(f *testing.F) {
	for _, s := range []string{`Digest realm="a, b", nonce="n"`, `Digest realm="\`, `Basic x, Digest nonce=1,,=`, "Digest", `,"`} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		for _, c := range parseChallenges(s, false) {
			if h := c.header("u", "p", "INVITE", "sip:x", "c", 1).Value(); strings.ContainsAny(h, "\r\n") && !strings.ContainsAny(s, "\r\n") {
				t.Errorf("a line break was made up: %q", h)
			}
		}
	})
}
