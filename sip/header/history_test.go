package header

import (
	"strings"
	"testing"
)

// The words and causes of the table, both ways.
//
// Conforms: RFC 7544 section 5; RFC 7544 section 6
func TestDiversionReasons(t *testing.T) {
	for word, cause := range map[string]string{
		"unconditional": "302", "user-busy": "486", "no-answer": "408", "deflection": "480", "unavailable": "503", "unknown": "404", "time-of-day": "404",
		"do-not-disturb": "404", "follow-me": "404", "out-of-service": "404", "away": "404",
	} {
		h := ToHistory(FromDiversion([]string{"<sip:bob@b>;reason=" + word}), "carol", "host")
		if len(h) != 2 || !strings.HasPrefix(h[1], "<sip:carol@host;cause="+cause+">;index=1.1") {
			t.Errorf("%s: %q", word, h)
		}
	}
	for cause, want := range map[string]string{
		"302": "unconditional", "404": "unknown", "408": "no-answer", "480": "deflection", "487": "deflection", "486": "user-busy", "503": "unavailable", "500": "", "380": "",
	} {
		d := ToDiversion(FromHistory([]string{"<sip:bob@b>;index=1", "<sip:carol@c;cause=" + cause + ">;index=1.1;mp=1"}), "host")
		if want != "" {
			want = "<sip:bob@host>;reason=" + want
		}
		if got := strings.Join(d, "|"); got != want {
			t.Errorf("%s: %q, want %q", cause, got, want)
		}
	}
}

// Several diversions change their order, counters become depth, marks of privacy stay.
//
// Conforms: RFC 7544 section 5; RFC 7544 section 6; RFC 5806 section 4; RFC 7044 section 5
func TestMappingOfDiversions(t *testing.T) {
	in := []string{`"Carol" <sip:carol@10.1.2.3>;reason=no-answer;counter=2;privacy=full, <sip:bob@b.example>;reason=user-busy;x=10.1.2.3`}
	rs := FromDiversion(in)
	if got, want := strings.Join(ToDiversion(rs, "host"), "|"), "<sip:carol@host>;reason=no-answer;counter=2;privacy=full|<sip:bob@host>;reason=user-busy"; got != want {
		t.Errorf("rewritten %q, want %q", got, want)
	}
	h := ToHistory(rs, "+4930", "host")
	want := "<sip:bob@host>;index=1|<sip:unknown@unknown.invalid;cause=486>;index=1.1;mp=1|<sip:carol@host;cause=404?Privacy=history>;index=1.1.1;mp=1.1|<sip:+4930@host;cause=408>;index=1.1.1.1;mp=1.1.1"
	if got := strings.Join(h, "|"); got != want {
		t.Errorf("mapped\n%q, want\n%q", got, want)
	}
	if got := strings.Join(ToDiversion(FromHistory(h), "host"), "|"); got != "<sip:carol@host>;reason=no-answer;privacy=full|<sip:unknown@host>;reason=unknown|<sip:bob@host>;reason=user-busy" {
		t.Errorf("and back: %q", got)
	}
	if got := ToHistory(nil, "x", "host"); got != nil {
		t.Errorf("nothing became %q", got)
	}
}

// Conforms: RFC 7044 section 5; RFC 4458 section 2
func TestHistory(t *testing.T) {
	for name, c := range map[string]struct{ in, rehosted, diversion string }{
		"of the RFC": {
			`<sip:bob@example.com>;index=1,<sip:bob@192.0.2.4>;index=1.1;rc=1,<sip:office@example.com;cause=408>;index=1.2;mp=1`,
			`<sip:bob@host>;index=1|<sip:bob@host>;index=1.1;rc=1|<sip:office@host;cause=408>;index=1.2;mp=1`, `<sip:bob@host>;reason=no-answer`,
		},
		"with escaped headers": {
			`<sip:UserA@ims.example.com?Reason=SIP%3Bcause%3D302&Privacy=history>;index=1, <sip:UserB@example.com>;index=2`,
			`<sip:UserA@host?Reason=SIP%3Bcause%3D302&Privacy=history>;index=1|<sip:UserB@host>;index=2`, `<sip:UserA@host>;reason=unconditional;privacy=full`,
		},
		"a reason that names a host": {
			`<sip:a@b?Reason=SIP%3Bcause%3D486%3Btext%3D%22at%2010.1.2.3%22>;index=1`, `<sip:a@host?Reason=SIP%3Bcause%3D486>;index=1`, ``,
		},
		"tel":             {`<tel:+49-30>;index=1, <sip:c@x;cause=302>;index=1.1;mp=1`, `<tel:+4930>;index=1|<sip:c@host;cause=302>;index=1.1;mp=1`, `<tel:+4930>;reason=unconditional`},
		"without index":   {`<sip:a@b>`, ``, ``},
		"a wrong index":   {`<sip:a@b>;index=10.1.2.3x`, ``, ``},
		"unknown params":  {`<sip:a@b;x=10.1.2.3>;index=1;foo=10.1.2.3`, `<sip:a@host>;index=1`, ``},
		"names nobody":    {`<sip:10.1.2.3>;index=1`, ``, ``},
		"an absurd chain": {strings.Repeat(`<sip:a@b;cause=302>;index=1,`, 99), strings.TrimSuffix(strings.Repeat(`<sip:a@host;cause=302>;index=1|`, 20), "|"), strings.TrimSuffix(strings.Repeat("<sip:a@host>;reason=unconditional|", 10), "|")},
	} {
		if got := strings.Join(Rehost([]string{c.in}, "host"), "|"); got != c.rehosted {
			t.Errorf("%s: rehosted\n%s, want\n%s", name, got, c.rehosted)
		}
		if got := strings.Join(ToDiversion(FromHistory([]string{c.in}), "host"), "|"); got != c.diversion {
			t.Errorf("%s: as Diversion\n%s, want\n%s", name, got, c.diversion)
		}
	}
}
