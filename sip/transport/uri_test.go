package transport

import (
	"strings"
	"testing"

	"github.com/emiago/sipgo/sip"
)

// Conforms: RFC 3261 section 19.1
func TestParseURI(t *testing.T) {
	for _, tt := range []struct {
		uri string
		ok  bool
	}{
		{"sip:example.com", true},
		{"sip:bob@example.com:5061;transport=tls;lr?Subject=x&Priority=y", true},
		{"sips:bob:secret@192.0.2.1", true},
		{"SIP:bob@example.com", true},
		{"sip:[2001:db8::1]:5060", true},
		{"sip:bob@[::1];lr", true},
		{"sip:+49301234;phone-context=x@example.com", true},
		{"sip:*31#123@example.com", true},
		{"sip:a_b.example.com", true},
		{"tel:+49301234;phone-context=example.com", true},
		{"urn:service:sos", true},
		{"sip:", false},
		{"sip", false},
		{":x", false},
		{"tel:", false},
		{"1sip:x", false},
		{"sip:@example.com", false},
		{"sip::secret@example.com", false},
		{"sip:a@b@example.com", false},
		{"sip:bob@", false},
		{"sip:bob@exa mple.com", false},
		{"sip:bob@example.com:0", false},
		{"sip:bob@example.com:65536", false},
		{"sip:bob@example.com:5060x", false},
		{"sip:bob@example.com:", false},
		{"sip:bob@example..com", false},
		{"sip:bob@-x.com", false},
		{"sip:bob@[2001:db8:::1]", false},
		{"sip:bob@[192.0.2.1]", false},
		{"sip:bob@[fe80::1%25eth0]", false},
		{"sip:bob@[::1", false},
		{"sip:bob@[::1]x", false},
		{"sip:2001:db8::10", false},
		{"sip:bob@example.com;", false},
		{"sip:bob@example.com;;lr", false},
		{"sip:bob@example.com;=x", false},
		{"sip:bob@example.com;a=b@c", false},
		{"sip:bob@example.com?", false},
		{"sip:bob%4@example.com", false},
		{"sip:bob%zz@example.com", false},
		{"sip:bob<@example.com", false},
		{"sip:b\u00f6b@example.com", false},
		{"sip:" + strings.Repeat("a", 256), false},
	} {
		var u sip.Uri
		if got := parseURI(tt.uri, &u); got != tt.ok {
			t.Errorf("%q: %v, want %v", tt.uri, got, tt.ok)
		}
	}
}

// A URI is written as it was read.
func TestURIComesBack(t *testing.T) {
	for _, s := range []string{
		"sip:bob@example.com;lr?Subject=x&Priority=y", "sips:a:b:c@[2001:db8::1]:5061;transport=tls;x", "sip://bob@example.com", "sip:h?a=b", "tel:+49;x=y",
		"soap.beep://192.0.2.103:3002",
	} {
		var u sip.Uri
		if !parseURI(s, &u) || u.String() != s {
			t.Errorf("%q came back as %q: %+v", s, u.String(), u)
		}
	}
	var u sip.Uri
	if !parseURI("sip:h;a=1;b;a=2", &u) || u.String() != "sip:h;a=2;b" {
		t.Errorf("of a repeated parameter %q is left", u.String())
	}
}

// Whatever is accepted names one host, and says the same when it is written and read again.
func FuzzURI(f *testing.F) {
	for _, s := range []string{"sip:a:b@c:5060;d=e;f?g=h", "sips:[::1]:1", "tel:+1", "sip:a;b?c@d", "x.y:z"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		var u, v sip.Uri
		if !parseURI(s, &u) {
			return
		}
		if (u.Scheme == "sip" || u.Scheme == "sips") && u.Host == "" {
			t.Errorf("%q has no host", s)
		}
		if w := u.String(); !parseURI(w, &v) || v.Host != u.Host || v.Port != u.Port || v.User != u.User || v.Scheme != u.Scheme {
			t.Errorf("%q became %q: %+v and %+v", s, w, u, v)
		}
	})
}

// Conforms: RFC 3261 section 20.42
func TestReadVia(t *testing.T) {
	for _, tt := range []struct{ in, out string }{
		{"SIP/2.0/UDP host;branch=z9hG4bKx", "SIP/2.0/UDP host;branch=z9hG4bKx"},
		{"SIP / 2.0 / UDP  host : 5060 ; branch = x ; rport", "SIP/2.0/UDP host:5060;branch=x;rport"},
		{"sip/2.0/tcp [2001:db8::1]:5061", "SIP/2.0/tcp [2001:db8::1]:5061"},
		{"SIP/2.0/UDP [::ffff:192.0.2.1];Branch=x", "SIP/2.0/UDP [::ffff:192.0.2.1];branch=x"},
		{`SIP/2.0/UDP h;a="b;c";branch=x`, `SIP/2.0/UDP h;a="b;c";branch=x`},
		{`SIP/2.0/UDP h;a="b c";branch=x`, `SIP/2.0/UDP h;a="b c";branch=x`},
		{"SIP/2.0/UDP", ""},
		{"SIP/2.0/UDP ", ""},
		{"SIP/2.0/UDP ;branch=x", ""},
		{"SIP/2.0/UDP h:x;branch=x", ""},
		{"SIP/2.0/UDP h;branch=x;branch=y", ""},
		{"SIP/2.0/UDP h;received=a;received=b", ""},
		{"SIP/2.0/UDP h;;branch=x", ""},
		{"SIP/2.0/UDP h;branch=", ""},
		{`SIP/2.0/UDP h;branch="x`, ""},
		{"SIP/3.0/UDP h;branch=x", ""},
		{"HTTP/2.0/UDP h;branch=x", ""},
		{"SIP/2.0/U[P h;branch=x", ""},
	} {
		h, ok := newSlab().read(kindVia, "Via", tt.in)
		got := ""
		if ok {
			got = h.Value()
		}
		if got != tt.out {
			t.Errorf("%q: %q, want %q", tt.in, got, tt.out)
		}
	}
}

// Conforms: RFC 3261 section 20.10
func TestReadAddress(t *testing.T) {
	for _, tt := range []struct{ in, out string }{
		{"sip:a@b", "<sip:a@b>"},
		{"sip:a@b;tag=1", "<sip:a@b>;tag=1"},
		{"sip:a@b ; Tag = 1", "<sip:a@b>;tag=1"},
		{"<sip:a@b;lr>;tag=1;x", "<sip:a@b;lr>;tag=1;x"},
		{`"A, \"B\"" <sip:a@b>`, `"A, \"B\"" <sip:a@b>`},
		{`"A"<sip:a@b>`, `"A" <sip:a@b>`},
		{"A B <sip:a@b>", `"A B" <sip:a@b>`},
		{"M\u00fcller <sip:a@b>", "\"M\u00fcller\" <sip:a@b>"},
		{"<tel:+4930>", "<tel:+4930>"},
		{`<sip:a@b>;x="<";tag=1`, `<sip:a@b>;x="<";tag=1`},
		{"", ""},
		{"<>", ""},
		{"<sip:a@b", ""},
		{"sip:a@b>", ""},
		{"< sip:a@b>", ""},
		{"sip:a@b,sip:c@d", ""},
		{"sip:a@b?x=y", ""},
		{"A, B <sip:a@b>", ""},
		{`"A <sip:a@b>`, ""},
		{`"A" sip:a@b`, ""},
		{"<sip:a@b>x", ""},
		{"<sip:a@b>;", ""},
		{"<sip:a@b>;tag=", ""},
		{`<sip:a@b>;tag="1"`, ""},
		{"<sip:a@b>;tag", ""},
		{"<sip:a@b>;tag=1;TAG=2", ""},
		{"*", ""},
	} {
		h, ok := newSlab().read(kindFrom, "From", tt.in)
		got := ""
		if ok {
			got = h.Value()
		}
		if got != tt.out {
			t.Errorf("%q: %q, want %q", tt.in, got, tt.out)
		}
	}
}

func TestReadNumbers(t *testing.T) {
	for in, want := range map[string]string{
		"1 INVITE": "1 INVITE", "0009   INVITE": "9 INVITE", "2147483647 X": "2147483647 X", "2147483648 X": "", "-1 X": "", "1": "", "1 ": "", "x INVITE": "",
		"1 IN VITE": "", "99999999999999999999 X": "", " INVITE": "",
	} {
		h, ok := newSlab().read(kindCSeq, "CSeq", in)
		got := ""
		if ok {
			got = h.Value()
		}
		if got != want {
			t.Errorf("CSeq %q: %q, want %q", in, got, want)
		}
	}
	for in, want := range map[string]string{"0": "0", "0068": "68", "255": "255", "256": "", "": "", "7x": "", "-1": "", "+7": ""} {
		h, ok := newSlab().read(kindMaxForwards, "Max-Forwards", in)
		got := ""
		if ok {
			got = h.Value()
		}
		if got != want {
			t.Errorf("Max-Forwards %q: %q, want %q", in, got, want)
		}
	}
}

// newSlab is a slab as a small request without a Contact has it.
func newSlab() *slab {
	s := &slab{}
	carve[sip.Request](s, false)
	return s
}

// Eight bytes that are looked at together say no more than each of them alone.
func FuzzClean(f *testing.F) {
	f.Add("a line without anything odd", byte('"'), uint(3))
	f.Add("\x1f!\x7e\x80\"\xff\t  abcdefgh\x7f", byte(0), uint(9))
	f.Fuzz(func(t *testing.T, s string, c byte, at uint) {
		if at < uint(len(s)) {
			s = s[:at] + string([]byte{c}) + s[at+1:]
		}
		n := plainWords(s)
		for i := range n {
			if oddByte[s[i]] {
				t.Fatalf("%q: byte %d is odd and was passed over", s, i)
			}
		}
		if n+8 <= len(s) && !strings.ContainsAny(s[n:n+8], "\"\x7f") && !strings.ContainsFunc(s[n:n+8], func(r rune) bool { return r < ' ' }) {
			t.Fatalf("%q: stopped at %d before nothing", s, n)
		}
	})
}
