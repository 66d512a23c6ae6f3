package dtls

import (
	"crypto/sha256"
	"crypto/x509"
	"os"
	"slices"
	"strings"
	"testing"
	"time"
)

// The fingerprint of RFC 8122's example has SHA-1, which is not taken; the others are of the certificate "cert".
var (
	some384 = Fingerprint("sha-384 x").of([]byte("cert"))
	some512 = Fingerprint("sha-512 x").of([]byte("cert"))
	some256 = Fingerprint("sha-256 x").of([]byte("cert"))
	other   = Fingerprint("sha-256 x").of([]byte("other"))
	other5  = Fingerprint("sha-512 x").of([]byte("other"))
)

func TestParseFingerprint(t *testing.T) {
	for _, f := range []Fingerprint{some256, some384, some512} {
		for _, v := range []string{string(f), strings.ToLower(string(f)), strings.ToUpper(string(f))} {
			if got, ok := ParseFingerprint(v); !ok || got != f {
				t.Errorf("%q is read as %q", v, got)
			}
		}
	}
	text := strings.TrimPrefix(string(some256), "sha-256 ")
	for _, v := range []string{
		"", "sha-256", "sha-256 ", "sha-256 AB", text, "sha-256  " + text, "sha-256 " + text + ":00", "sha-256 " + text[:len(text)-3], "sha-384 " + text,
		"sha-256 " + strings.ReplaceAll(text, ":", "-"), "sha-256 G" + text[1:], "sha-256 " + text[:len(text)-1] + "\x00",
		"SHA-1 4A:AD:B9:B1:3F:82:18:3B:54:02:12:DF:3E:5D:49:6B:19:E5:7C:AB", "md5 4A:AD:B9:B1:3F:82:18:3B:54:02:12:DF:3E:5D:49:6B", "sha-224 " + text,
	} {
		if got, ok := ParseFingerprint(v); ok {
			t.Errorf("%q is read as %q", v, got)
		}
	}
}

// RFC 8122 section 5.1: of the strongest function that both know, any.
func TestMatches(t *testing.T) {
	for _, c := range []struct {
		name string
		set  []Fingerprint
		want bool
	}{
		{"none", nil, false},
		{"the one", []Fingerprint{some256}, true},
		{"another one", []Fingerprint{other}, false},
		{"one of two by the same function", []Fingerprint{other, some256}, true},
		{"by each function", []Fingerprint{some256, some384, some512}, true},
		{"right by a weaker function, wrong by a stronger", []Fingerprint{some256, other5}, false},
		{"wrong by a weaker function, right by a stronger", []Fingerprint{other, some512}, true},
		{"nothing that can be read", []Fingerprint{"", "sha-1 AA"}, false},
	} {
		if got := matches(c.set, []byte("cert")); got != c.want {
			t.Errorf("%s: %v", c.name, got)
		}
	}
}

func TestCertificates(t *testing.T) {
	one, two := certificate(t), certificate(t)
	if one.Fingerprint() == two.Fingerprint() {
		t.Error("two legs have the same certificate")
	}
	der := one.pair.Certificate[0]
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(der)
	if one.Fingerprint() != newFingerprint("sha-256", sum[:]) || !matches([]Fingerprint{one.Fingerprint()}, der) {
		t.Errorf("fingerprint %s", one.Fingerprint())
	}
	now := time.Now()
	if cert.CheckSignature(cert.SignatureAlgorithm, cert.RawTBSCertificate, cert.Signature) != nil || now.Before(cert.NotBefore.Add(24*time.Hour)) ||
		now.After(cert.NotAfter.Add(-24*time.Hour)) || cert.Subject.String() != "CN=srtp" || len(cert.DNSNames) > 0 {
		t.Errorf("certificate %+v", cert)
	}
}

func TestRoles(t *testing.T) {
	for _, c := range []struct {
		offered Setup
		was     Role
		lite    bool
		says    Setup
		role    Role
	}{
		{ActPass, 0, false, Active, Client},
		{ActPass, 0, true, Passive, Server},
		{ActPass, Client, true, Active, Client},
		{ActPass, Server, false, Passive, Server},
		{Active, 0, false, Passive, Server},
		{Active, 0, true, Passive, Server},
		{Active, Client, true, Passive, Server},
		{Passive, 0, false, Active, Client},
		{Passive, 0, true, Active, Client},
		{Passive, Server, false, Active, Client},
		{"", 0, false, Passive, Server},
		{HoldConn, 0, false, "", 0},
		{HoldConn, Client, false, "", 0},
		{"else", 0, true, "", 0},
	} {
		says, role, err := Answer(c.offered, c.was, c.lite)
		if says != c.says || role != c.role || (err == nil) != (c.role != 0) {
			t.Errorf("offer %q, was %d, lite %v: %q, %d, %v", c.offered, c.was, c.lite, says, role, err)
		}
		if err != nil {
			continue
		}
		// The offerer comes to the other role by our answer.
		if far, err := Settle(says); err != nil || far == role {
			t.Errorf("offer %q: both are %d, %v", c.offered, role, err)
		}
	}
	if Offer() != ActPass {
		t.Errorf("we offer %q", Offer())
	}
	for _, s := range []Setup{ActPass, HoldConn, "else"} {
		if _, err := Settle(s); err == nil {
			t.Errorf("an answer %q is taken", s)
		}
	}
	if r, err := Settle(""); r != Client || err != nil {
		t.Errorf("an answer that says nothing: %d, %v", r, err)
	}
}

func params(t testing.TB, text string) (p Params) {
	t.Helper()
	for l := range strings.Lines(text) {
		name, value, _ := strings.Cut(strings.TrimPrefix(strings.TrimSpace(l), "a="), ":")
		if !p.Take(name, value) {
			t.Errorf("%q is not of DTLS", l)
		}
	}
	return p
}

func TestParams(t *testing.T) {
	p := params(t, "a=setup:actpass\na=fingerprint:"+string(some256)+"\na=fingerprint:sha-1 4A:AD\na=fingerprint:"+string(some512)+"\na=tls-id:abc3de65cddef001be82")
	if p.Setup != ActPass || !slices.Equal(p.Fingerprints, []Fingerprint{some256, some512}) || !p.Weak || p.TLSID != "abc3de65cddef001be82" || p.Usable() != nil {
		t.Errorf("read as %+v", p)
	}
	for _, v := range []string{"", "passive ", "both"} {
		if p.Take("setup", v); p.Setup != ActPass {
			t.Errorf("setup:%s is taken", v)
		}
	}
	for _, v := range []string{"", "short", strings.Repeat("a", 256), "abc3de65cddef001be8 "} {
		if p.Take("tls-id", v); p.TLSID != "abc3de65cddef001be82" {
			t.Errorf("tls-id:%s is taken", v)
		}
	}
	if p.Take("rtpmap", "0 PCMU/8000") {
		t.Error("taken for DTLS")
	}
	// A section that has fingerprints of its own has no other.
	session := params(t, "a=setup:active\na=fingerprint:"+string(some256))
	section, same := session.Section(), session.Section()
	section.Take("fingerprint", string(other))
	section.Take("fingerprint", string(other5))
	if !slices.Equal(section.Fingerprints, []Fingerprint{other, other5}) || !slices.Equal(same.Fingerprints, session.Fingerprints) || section.Setup != Active {
		t.Errorf("section %+v", section)
	}
	for range 1000 {
		section.Take("fingerprint", string(other))
	}
	if len(section.Fingerprints) != maxFingerprints {
		t.Errorf("%d fingerprints", len(section.Fingerprints))
	}
	weak, none := params(t, "a=fingerprint:sha-1 4A:AD"), Params{}
	if weak.Usable() == nil || none.Usable() == nil || weak.Usable().Error() == none.Usable().Error() {
		t.Errorf("%v, %v", weak.Usable(), none.Usable())
	}
}

func TestRenews(t *testing.T) {
	base := Params{Fingerprints: []Fingerprint{some256, some512}, TLSID: "abc3de65cddef001be82"}
	for _, c := range []struct {
		name string
		next Params
		is   Role
		want bool
	}{
		{"the same", base, Server, false},
		{"another order", Params{Fingerprints: []Fingerprint{some512, some256}, TLSID: base.TLSID}, Server, false},
		{"another certificate", Params{Fingerprints: []Fingerprint{other}, TLSID: base.TLSID}, Server, true},
		{"one more", Params{Fingerprints: []Fingerprint{some256, some512, other}, TLSID: base.TLSID}, Server, true},
		{"one less", Params{Fingerprints: []Fingerprint{some256}, TLSID: base.TLSID}, Server, true},
		{"another tls-id", Params{Fingerprints: base.Fingerprints, TLSID: "xyz3de65cddef001be82"}, Server, true},
		{"the other direction", base, Client, true},
	} {
		if got := Renews(&base, &c.next, Server, c.is); got != c.want {
			t.Errorf("%s: %v", c.name, got)
		}
	}
}

func TestWhatIsWritten(t *testing.T) {
	c := certificate(t)
	text := string(AppendSDP(nil, Passive, c.Fingerprint()))
	if !strings.HasSuffix(text, "\r\n") {
		t.Errorf("wrote %q", text)
	}
	if p := params(t, text); p.Setup != Passive || !slices.Equal(p.Fingerprints, []Fingerprint{c.Fingerprint()}) {
		t.Errorf("wrote %q, read back as %+v", text, p)
	}
}

// What baresip 1.0.0 offers, as it came from the wire: setup and fingerprint stand before the media section, and the name of the hash function in capitals.
func TestOffersOfBaresip(t *testing.T) {
	for _, name := range []string{"dtls", "dtls_mux", "dtls_ice", "dtls_ice_mux"} {
		b, err := os.ReadFile("../testdata/webrtc/baresip_" + name + ".sdp")
		if err != nil {
			t.Fatal(err)
		}
		var p Params
		for l := range strings.SplitSeq(string(b), "\r\n") {
			if strings.HasPrefix(l, "m=") {
				p = p.Section()
			}
			if attribute, ok := strings.CutPrefix(l, "a="); ok {
				key, value, _ := strings.Cut(attribute, ":")
				p.Take(key, value)
			}
		}
		if p.Usable() != nil || p.Setup != ActPass || len(p.Fingerprints) != 1 || !strings.HasPrefix(string(p.Fingerprints[0]), "sha-256 ") || p.Weak {
			t.Errorf("%s is read as %+v", name, p)
		}
	}
}
