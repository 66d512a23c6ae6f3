package digest

import (
	"strings"
	"testing"
)

// Conforms: RFC 7616 section 3.9.1; RFC 7616 section 3.4.1; RFC 8760 section 2.2
func TestTheVectorsOfRFC7616(t *testing.T) {
	c := Challenge{Realm: "http-auth@example.org", Nonce: "7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v", Auth: true, Opaque: "FQhe/qaU925kfnzjCev0ciny7QMkPqMAFRtzCUYo5tdS"}
	req := Request{Method: "GET", URI: "/dir/index.html"}
	for alg, want := range map[Algorithm]string{
		MD5:    "8ca523f5e9506fed4657c9700eebdbec",
		SHA256: "753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1",
	} {
		c.Algorithm = alg
		h := c.answer("Mufasa", "Circle of Life", req, "f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ", 1)
		for _, p := range []string{
			`username="Mufasa"`, `realm="http-auth@example.org"`, `uri="/dir/index.html"`, "algorithm=" + string(alg), "nc=00000001", "qop=auth",
			`response="` + want + `"`, `opaque="FQhe/qaU925kfnzjCev0ciny7QMkPqMAFRtzCUYo5tdS"`,
		} {
			if !strings.Contains(h, p) {
				t.Errorf("%s: %s is not in %s", alg, p, h)
			}
		}
	}
}

// The example of section 3.9.2 was computed with another truncation of SHA-512; erratum 4897 has the values of SHA-512/256.
//
// Conforms: RFC 7616 section 3.9.2; RFC 7616 section 3.4.4
func TestTheVectorOfAHashedUserName(t *testing.T) {
	const value = `Digest realm="api@example.org", qop="auth", algorithm=SHA-512-256, nonce="5TsQWLVdgBdmrQ0XsxbDODV+57QdFR34I9HAbC/RVvkK", ` +
		`opaque="HRPCssKJSGjCrkzDg8OhwpzCiGPChXYjwrI2QmXDnsOS", charset=UTF-8, userhash=true`
	list := ParseChallenges(value, false)
	if len(list) != 1 || !list[0].UserHash || list[0].Algorithm != SHA512 {
		t.Fatalf("%+v", list)
	}
	h := list[0].answer("J\u00e4s\u00f8n Doe", "Secret, or not?", Request{Method: "GET", URI: "/doe.json"}, "NTg6RKcb9boFIAS3KrFK9BGeh+iDa/sm6jUMp2wds69v", 1)
	for _, p := range []string{
		`username="793263caabb707a56211940d90411ea4a575adeccb7e360aeb624ed06ece9b0b"`, "userhash=true",
		`response="3798d4131c277846293534c3edc11bd8a5e4cdcbff78b05db9d95eeb1cec68a5"`,
	} {
		if !strings.Contains(h, p) {
			t.Errorf("%s is not in %s", p, h)
		}
	}
}

// Conforms: RFC 2617 section 3.5; RFC 3261 section 22.4
func TestTheFormsBeforeRFC7616(t *testing.T) {
	c := Challenge{Realm: "testrealm@host.com", Nonce: "dcd98b7102dd2f0e8b11d0f600bfb0c093", Algorithm: MD5, Auth: true}
	req := Request{Method: "GET", URI: "/dir/index.html"}
	if h := c.answer("Mufasa", "Circle Of Life", req, "0a4f113b", 1); !strings.Contains(h, `response="6629fae49393a05397450978507c4ef1"`) {
		t.Error(h)
	}
	c.Auth = false // RFC 2069: no quality, no count
	if h := c.answer("Mufasa", "Circle Of Life", req, "", 1); !strings.Contains(h, `response="670fd8c2df070c60b045671b8b24ff02"`) || strings.Contains(h, "nc=") {
		t.Error(h)
	}
}

// Conforms: RFC 7616 section 3.4.3; RFC 7616 section 3.4.2
func TestTheBodyAndTheSessionAreInTheirVariants(t *testing.T) {
	one := Challenge{Realm: "r", Nonce: "n", Algorithm: SHA256, Int: true}
	a := one.answer("u", "p", Request{"INVITE", "sip:x", []byte("v=0")}, "c", 1)
	b := one.answer("u", "p", Request{"INVITE", "sip:x", []byte("v=1")}, "c", 1)
	if a == b || !strings.Contains(a, "qop=auth-int") {
		t.Errorf("the body is not covered: %s", a)
	}
	h := SHA256.sum
	want := h(h("u", "r", "p"), "n", "00000001", "c", "auth-int", h("INVITE", "sip:x", h("v=0")))
	if !strings.Contains(a, want) {
		t.Errorf("%s is not in %s", want, a)
	}
	sess := Challenge{Realm: "r", Nonce: "n", Algorithm: SHA256, Session: true, Auth: true}
	want = h(h(h("u", "r", "p"), "n", "c"), "n", "00000001", "c", "auth", h("INVITE", "sip:x"))
	if v := sess.answer("u", "p", Request{Method: "INVITE", URI: "sip:x"}, "c", 1); !strings.Contains(v, want) || !strings.Contains(v, "algorithm=SHA-256-sess") {
		t.Errorf("%s is not in %s", want, v)
	}
}
