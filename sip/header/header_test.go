package header

import (
	"slices"
	"strings"
	"testing"
)

func TestSplit(t *testing.T) {
	for in, want := range map[string][]string{
		`a,b`:                     {"a", "b"},
		`"a,b",c`:                 {`"a,b"`, "c"},
		`<sip:a,b@c>,d`:           {"<sip:a,b@c>", "d"},
		`"a\",b",c`:               {`"a\",b"`, "c"},
		``:                        {""},
		`"<",a`:                   {`"<"`, "a"},
		`"never closed, and more`: {`"never closed, and more`},
	} {
		if got := Split(in, ','); !slices.Equal(got, want) {
			t.Errorf("%q: %q, want %q", in, got, want)
		}
	}
}

// Conforms: RFC 3326 section 2; RFC 8606 section 4
func TestReasons(t *testing.T) {
	for in, want := range map[string]string{
		`SIP;cause=600;text="Busy Everywhere"`:                 `SIP;cause=600;text="Busy Everywhere"`,
		`Q.850;cause=16;text="Terminated"`:                     `Q.850;cause=16;text="Terminated"`,
		`q.850 ; cause=17 ; text="User busy"; location=LN`:     `Q.850;cause=17;text="User busy";location=LN`,
		`Q.850;cause=16;location=10.0.0.1`:                     `Q.850;cause=16`,
		`Q.850;cause=16;location=carrier`:                      `Q.850;cause=16`,
		`SIP;cause=486;text="at 10.0.0.1"`:                     `SIP;cause=486`,
		`SIP;cause=486;text="see sip:a@b"`:                     `SIP;cause=486`,
		`SIP;cause=486;location=LN`:                            `SIP;cause=486`,
		`Q.850;cause=128`:                                      ``,
		`SIP;cause=0, SIP;cause=1000, SIP;cause=x, SIP`:        ``,
		`Preemption;cause=1;text="x"`:                          ``,
		`SIP;cause=302;text="a, b", Q.850;cause=31`:            `SIP;cause=302|Q.850;cause=31`,
		strings.Repeat("SIP;cause=480,", 9):                    strings.TrimSuffix(strings.Repeat("SIP;cause=480|", 4), "|"),
		`SIP;cause=480;text="` + strings.Repeat("x", 65) + `"`: `SIP;cause=480`,
	} {
		var got []string
		for _, r := range Reasons([]string{in}) {
			got = append(got, r.String())
		}
		if strings.Join(got, "|") != want {
			t.Errorf("%q: %q, want %q", in, got, want)
		}
	}
}

// Both tables, with the defaults of their classes.
//
// Conforms: RFC 3398 section 7.2.4.1; RFC 3398 section 8.2.6.1
func TestStatusAndCause(t *testing.T) {
	for status, want := range map[int]int{
		180: 0, 200: 0, 302: 0, 400: 41, 401: 21, 403: 21, 404: 1, 405: 63, 406: 79, 407: 21, 408: 102, 410: 22, 413: 127, 415: 79, 420: 127, 480: 18, 481: 41,
		482: 25, 483: 25, 484: 28, 485: 1, 486: 17, 487: 0, 488: 31, 499: 31, 500: 41, 501: 79, 502: 38, 503: 41, 504: 102, 513: 127, 555: 31, 600: 17, 603: 21,
		604: 1, 606: 31, 608: 31,
	} {
		if got := CauseOf(status); got != want {
			t.Errorf("CauseOf(%d) = %d, want %d", status, got, want)
		}
	}
	for cause, want := range map[int]int{
		1: 404, 2: 404, 3: 404, 16: 0, 17: 486, 18: 408, 19: 480, 20: 480, 21: 403, 22: 410, 26: 404, 27: 502, 28: 484, 29: 501, 30: 480, 31: 480, 34: 503, 38: 503,
		41: 503, 42: 503, 44: 503, 47: 503, 50: 503, 55: 403, 57: 403, 58: 503, 65: 488, 66: 501, 70: 488, 79: 501, 81: 500, 87: 403, 88: 503, 102: 504, 111: 500, 127: 500,
	} {
		if got := StatusOf(cause); got != want {
			t.Errorf("StatusOf(%d) = %d, want %d", cause, got, want)
		}
	}
	for name, c := range map[string]struct {
		rs     []Reason
		status int
		want   int
	}{
		"given":            {[]Reason{{SIP, 486, "", ""}, {Q850, 31, "", ""}}, 486, 31},
		"mapped":           {[]Reason{{SIP, 408, "", ""}}, 480, 102},
		"of the status":    {nil, 486, 17},
		"picked up":        {[]Reason{{SIP, 200, "", ""}}, 0, 16},
		"cancelled":        {[]Reason{{SIP, 487, "", ""}}, 487, 0},
		"nothing known":    {nil, 0, 0},
		"without a cause":  {[]Reason{{SIP, 487, "", ""}}, 603, 21},
		"another protocol": {[]Reason{{"X", 16, "", ""}}, 0, 0},
	} {
		if got := Cause(c.rs, c.status); got != c.want {
			t.Errorf("%s: %d, want %d", name, got, c.want)
		}
	}
	if got := Warning(600, "at 10.0.0.1"); got != `399 edge ""` {
		t.Errorf("Warning %s", got)
	}
}

// The identifiers of RFC 7989 section 10.1, the older form, and what is none.
//
// Conforms: RFC 7989 section 5; RFC 7989 section 11
func TestSession(t *testing.T) {
	const a, b = "ab30317f1a784dc48ff824d0d3715d86", "47755a9de7794ba387653f2099600ef2"
	for in, want := range map[string][2]string{
		a + ";remote=" + Nil:            {a, ""},
		b + ";remote=" + a:              {b, a},
		strings.ToUpper(b) + ";remote=": {b, ""},
		a:                               {a, ""},
		Nil + ";remote=" + a:            {"", a},
		a + " ; remote = " + b + ";x=y": {a, b},
		"":                              {},
		"ab30317f-1a78-4dc4-8ff8":       {},
		a[1:] + "g":                     {},
	} {
		if l, r := Session(in); l != want[0] || r != want[1] {
			t.Errorf("%q: %q %q, want %q", in, l, r, want)
		}
	}
	if got := SessionValue(a, ""); got != a+";remote="+Nil {
		t.Errorf("written %q", got)
	}
	if got := SessionValue("", a); got != Nil+";remote="+a {
		t.Errorf("written %q", got)
	}
}

// Conforms: RFC 3325 section 9.1; RFC 3325 section 9.2
func TestIdentities(t *testing.T) {
	for in, want := range map[string]string{
		`"Cullen Jennings" <sip:fluffy@cisco.com>`:                       `"Cullen Jennings" <sip:fluffy@host>`,
		`tel:+14085264000`:                                               `<tel:+14085264000>`,
		`<tel:+1-408-526-4000>, <sip:fluffy@cisco.com>`:                  `<tel:+14085264000>|<sip:fluffy@host>`,
		`<sip:a@x>, <sip:b@x>, <tel:+49>, <tel:+50>`:                     `<sip:a@host>|<tel:+49>`,
		`"at 10.1.2.3" <sip:a@x>`:                                        `<sip:a@host>`,
		`"[2001:db8::1]:5060" <sip:a@x>`:                                 `<sip:a@host>`,
		`"a@b" <sip:a@x>`:                                                `<sip:a@host>`,
		`"say \"hi\", <you>" <sip:a@x>`:                                  `"say \"hi\", <you>" <sip:a@host>`,
		`<sip:+4930;phone-context=carrier.example@x>`:                    `<sip:+4930@host>`,
		`<sip:030;phone-context=+49;npdi;rn=+4930;cpc=ordinary@x>`:       `<sip:030;phone-context=+49;npdi;rn=+4930;cpc=ordinary@host>`,
		`<sip:+4930;tgrp=trunk1;trunk-context=carrier.example@x;user=p>`: `<sip:+4930@host>`,
		`<sip:user:password@x>`:                                          `<sip:user@host>`,
		`<http://a@b>, sip:x, junk, <sip:unclosed@x`:                     ``,
	} {
		var got []string
		for _, id := range Identities([]string{in}) {
			got = append(got, id.Value("host"))
		}
		if strings.Join(got, "|") != want {
			t.Errorf("%s: %q, want %q", in, got, want)
		}
	}
}

// Conforms: RFC 3323 section 4.2; RFC 3325 section 9.3; RFC 7044 section 10.1
func TestPrivacies(t *testing.T) {
	for in, want := range map[string]struct {
		out               string
		hides, impossible bool
	}{
		"id":                    {"id", true, false},
		"ID; critical":          {"id;critical", true, false},
		"user;header;session":   {"user;header;session", true, false},
		"session":               {"session", false, false},
		"history":               {"history", false, false},
		"none":                  {"none", false, false},
		"none;id":               {"none", false, false},
		"id;future":             {"id", true, false},
		"future;critical":       {"", false, true},
		"header, user;critical": {"user;header;critical", true, false},
		"":                      {"", false, false},
	} {
		p := Privacies([]string{in})
		if p.String() != want.out || p.Hides() != want.hides || p.Impossible() != want.impossible {
			t.Errorf("%q: %q %v %v, want %+v", in, p.String(), p.Hides(), p.Impossible(), want)
		}
	}
}

// Conforms: RFC 7433 section 4.1; RFC 7433 section 5
func TestUserToUser(t *testing.T) {
	for in, want := range map[string]string{
		`56a390f3d2b7310023a2;encoding=hex;purpose=foo;content=bar`: `56a390f3d2b7310023a2;purpose=foo;content=bar;encoding=hex`,
		`56a390f3d2b7310023a2`:                             `56a390f3d2b7310023a2`,
		`56a390f3d2b7310023a`:                              ``,
		`56zz`:                                             ``,
		`"a quoted, text";encoding=ascii`:                  `"a quoted, text";encoding=ascii`,
		`aa;purpose=10.1.2.3;x=carrier.example`:            `aa`,
		`aa, bb;purpose=isdn-uui`:                          `aa|bb;purpose=isdn-uui`,
		strings.Repeat("aa", 16):                           strings.Repeat("aa", 16),
		strings.Repeat("aa", 17):                           ``,
		`"` + strings.Repeat("x", 17) + `";encoding=ascii`: ``,
		``:                ``,
		`a b;purpose=foo`: ``,
	} {
		if got := strings.Join(UserToUser([]string{in}, 16), "|"); got != want {
			t.Errorf("%s: %q, want %q", in, got, want)
		}
	}
}

// Conforms: RFC 5009 section 8
func TestEarlyMedia(t *testing.T) {
	for in, want := range map[string]string{"Supported": "supported", "sendrecv, gated": "sendrecv, gated", "10.1.2.3": "", "": "", "inactive,x": "inactive"} {
		if got := EarlyMedia(in); got != want {
			t.Errorf("%q: %q, want %q", in, got, want)
		}
	}
}

func TestWord(t *testing.T) {
	for in, want := range map[string]string{
		"foo": "foo", "foo;a;b=c": "foo;a;b=c", "signal;handling=optional": "signal;handling=optional", "foo;a=\"b c\"": "foo", "foo;a=10.0.0.1": "foo", "10.0.0.1": "", "": "",
		"a b": "",
	} {
		if got := Word(in); got != want {
			t.Errorf("%q: %q, want %q", in, got, want)
		}
	}
}

func TestUser(t *testing.T) {
	for in, want := range map[string]string{
		"+4930": "+4930", "alice": "alice", "+49;phone-context=x.example": "+49", "5;phone-context=+49": "5;phone-context=+49", "5;tgrp=a;ext=12": "5;ext=12", "": "",
	} {
		if got := User(in); got != want {
			t.Errorf("%q: %q, want %q", in, got, want)
		}
	}
}
