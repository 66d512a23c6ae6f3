package header

import (
	"fmt"
	"strings"
	"testing"
)

func TestRules(t *testing.T) {
	in := []Field{{"X-A", "1"}, {"X-B", "2"}, {"X-A", "3"}, {"x-c", "4"}}
	for name, c := range map[string]struct {
		rules   []Rule
		allowed []string
		want    string
	}{
		"nothing is allowed":      {nil, nil, "[]"},
		"the list alone":          {nil, []string{"x-a"}, "[{X-A 1} {X-A 3}]"},
		"add":                     {[]Rule{{Add: "X-Foo", Value: "bar"}}, nil, "[{X-Foo bar}]"},
		"drop what would cross":   {[]Rule{{Drop: "x-a"}}, []string{"X-A", "X-B"}, "[{X-B 2}]"},
		"rename lets it cross":    {[]Rule{{Rename: "X-C", To: "X-D"}}, nil, "[{X-D 4}]"},
		"rename what would cross": {[]Rule{{Rename: "X-A", To: "X-D"}}, []string{"X-A", "X-C"}, "[{x-c 4} {X-D 1} {X-D 3}]"},
		"in their order":          {[]Rule{{Add: "X-D", Value: "z"}, {Drop: "X-D"}, {Add: "X-D", Value: "y"}}, nil, "[{X-D y}]"},
	} {
		if got := fmt.Sprint(Apply(c.rules, c.allowed, in)); got != c.want {
			t.Errorf("%s: %s, want %s", name, got, c.want)
		}
	}
}

func TestRulesAreChecked(t *testing.T) {
	for _, r := range []Rule{{Add: "X-Foo", Value: "bar"}, {Rename: "X-A", To: "X-B"}, {Drop: "X-C"}} {
		if err := r.Check(); err != nil {
			t.Errorf("%+v: %v", r, err)
		}
	}
	for want, list := range map[string][]Rule{
		"exactly one":   {{}, {Add: "X-A", Value: "b", Drop: "X-B"}, {Value: "x"}},
		"add and value": {{Add: "X-A"}, {Drop: "X-A", Value: "x"}},
		"rename and to": {{Rename: "X-A"}, {Drop: "X-A", To: "X-B"}},
		"longer than":   {{Add: "X-A", Value: strings.Repeat("x", 257)}},
		"control":       {{Add: "X-A", Value: "a\r\nVia: x"}, {Add: "X-A", Value: "a\x00"}},
		"no header":     {{Drop: "X A"}, {Add: "X:A", Value: "b"}},
		"edge's own": {
			{Add: "Via", Value: "x"},
			{Rename: "X-A", To: "contact"},
			{Rename: "From", To: "X-From"},
			{Drop: "Session-ID"},
			{Add: "P-Asserted-Identity", Value: "x"},
			{Add: "Diversion", Value: "x"},
			{Rename: "User-to-User", To: "X-U"},
			{Drop: "Remote-Party-ID"},
			{Add: "t", Value: "x"},
		},
	} {
		for _, r := range list {
			if err := r.Check(); err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("%+v: %v, want %q", r, err, want)
			}
		}
	}
}

func TestVeil(t *testing.T) {
	v := &Veil{}
	v.Hide("10.1.0.1", "[2001:db8::1]", "carrier.example", "SecretTag", "abc", "")
	for s, want := range map[string]bool{
		"x 10.1.0.1 y": true, "sip:a@CARRIER.EXAMPLE": true, "[2001:db8::1]:5060": true, "secrettag": true, "abc": false, "": false, "10.2.0.1": false,
	} {
		if v.Shows(s) != want {
			t.Errorf("%q: %v", s, !want)
		}
	}
	got := fmt.Sprint(v.Clean([]Field{
		{"X-A", "fine"}, {"X-B", "at 10.1.0.1"}, {"Alert-Info", "<urn:alert:service:normal>, <http://10.9.9.9/ring.wav>"}, {"Call-Info", "<http://carrier.example/x>"}, {"X-V", "1.2.3.4"},
	}))
	if want := "[{X-A fine} {Alert-Info <urn:alert:service:normal>} {X-V 1.2.3.4}]"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
	if (*Veil)(nil).Shows("x") {
		t.Error("no veil hides something")
	}
}

// Conforms: RFC 5621 section 8.2; RFC 3204 section 3.1; RFC 2046 section 5.1
func TestBodies(t *testing.T) {
	const isup = "\x01\x10\x49\x00\r\n--b"
	body := "preamble\r\n--b\r\nContent-Type: application/sdp\r\n\r\nv=0\r\n\r\n--b\r\nContent-Type: application/ISUP;version=itu-t92+;base=itu-t92+;x=10.0.0.1\r\n" +
		"Content-Disposition: signal;handling=optional;x=10.0.0.1\r\nContent-ID: <x@10.0.0.1>\r\nContent-Transfer-Encoding: binary\r\n\r\n" + isup[:4] + "\r\n" +
		"--b\r\nContent-Type: text/plain\r\n\r\nat 10.0.0.1\r\n--b--\r\n"
	const kind = `multipart/mixed; boundary="b"`
	sdp, ok := SDP(kind, []byte(body))
	if !ok || string(sdp) != "v=0\r\n" {
		t.Errorf("SDP %q %v", sdp, ok)
	}
	if got := Beside(kind, []byte(body), nil); got != nil {
		t.Errorf("without a list: %v", got)
	}
	parts := Beside(kind, []byte(body), []string{"application/isup", "application/sdp"})
	if len(parts) != 1 || parts[0].ID != "x@10.0.0.1" || string(parts[0].Body) != isup[:4] {
		t.Fatalf("%q", parts)
	}
	parts[0].ID = ""
	joined, out := Join(append([]Part{{Type: TypeSDP, Body: []byte("v=1 --part0")}}, parts...))
	want := "--part1\r\nContent-Type: application/sdp\r\n\r\nv=1 --part0\r\n--part1\r\nContent-Type: application/isup;version=itu-t92+;base=itu-t92+\r\nContent-Disposition: signal;handling=optional\r\n" +
		"Content-Transfer-Encoding: binary\r\n\r\n" + isup[:4] + "\r\n--part1--\r\n"
	if string(out) != want || joined != "multipart/mixed;boundary=part1" {
		t.Errorf("%s\n%q, want\n%q", joined, out, want)
	}
	back, ok := Parts(joined, out)
	if !ok || len(back) != 2 || string(back[1].Body) != isup[:4] {
		t.Errorf("read again: %q %v", back, ok)
	}
	for _, c := range [][2]string{{"", "x"}, {"text/plain", "x"}, {"multipart/mixed", "x"}, {kind, "--b\r\nContent-Type: text/plain\r\n\r\nx\r\n--b--"}} {
		if sdp, ok := SDP(c[0], []byte(c[1])); ok {
			t.Errorf("%q: %q", c, sdp)
		}
	}
	if _, ok := SDP("", nil); !ok {
		t.Error("no body is no wrong body")
	}
}

// Conforms: RFC 6442 section 4.1
func TestLocations(t *testing.T) {
	in := []string{`<cid:target123@atlanta.example.com>;inserted-by=10.0.0.1, <https://lis.example.com/1>;x=y`, `<cid:unknown@x>, <data:x>, https://no.brackets, <sips:a@lis.example>`}
	got := strings.Join(Locations(in, map[string]string{"target123@atlanta.example.com": "place0@edge"}), "|")
	if want := "<cid:place0@edge>|<https://lis.example.com/1>|<sips:a@lis.example>"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
}

// FuzzValues reads anything as a value of every header: nothing panics, and nothing that is written again breaks its line or holds an IP address that the host is not.
func FuzzValues(f *testing.F) {
	for _, s := range []string{
		`SIP;cause=600;text="Busy"`, `Q.850;cause=16;location=LN`, `ab30317f1a784dc48ff824d0d3715d86;remote=`, `"A" <sip:a;npdi@b>;x=y, <tel:+1>`, `id;critical`,
		`<sip:a@b;cause=302?Privacy=history&Reason=SIP%3Bcause%3D302>;index=1.1;mp=1`, `56a3;encoding=hex`, `a.b.c;info=<https://x>;ppt=shaken`, `<cid:a@b>`, `"\`, `<`,
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if strings.ContainsAny(s, "\r\n\x00") {
			return // no header value holds them
		}
		in := []string{s}
		var out []string
		for _, r := range Reasons(in) {
			out = append(out, r.String())
		}
		l, r := Session(s)
		out = append(out, SessionValue(l, r), Privacies(in).String(), EarlyMedia(s), Word(s), Warning(0, s))
		out = append(out, ToHistory(FromDiversion(in), "x", "host")...)
		out = append(out, ToDiversion(FromHistory(in), "host")...)
		out = append(out, Rehost(in, "host")...)
		for _, v := range out {
			if strings.ContainsAny(v, "\r\n") || strings.Contains(s, "10.1.2.3") && strings.Contains(v, "@10.1.2.3") {
				t.Errorf("%q became %q", s, v)
			}
		}
		for _, id := range Identities(in) {
			if strings.ContainsAny(id.Value("host"), "\r\n") {
				t.Errorf("%q became %q", s, id.Value("host"))
			}
		}
		UserToUser(in, 128)
		if p, ok := ReadPassport(s); ok {
			p.Broken("+12155551212", "+12155551213", [2]string{}, s)
		}
		Locations(in, map[string]string{s: "x"})
		(&Veil{}).Clean([]Field{{"Call-Info", s}})
		if parts, ok := Parts(s, []byte(s)); ok {
			Join(parts)
		}
	})
}
