package rpki

import (
	"bytes"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// The vectors are openssl's, and openssl verified them: testdata/make.sh.
func file(t testing.TB, name string) []byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// trust reads the files: the path is in PEM and DER, as operators have both.
func trust(t testing.TB, lists ...string) *Trust {
	t.Helper()
	tr := &Trust{}
	for _, err := range []error{tr.Anchors(file(t, "anchor.cer")), tr.Certificates(file(t, "between.pem")), tr.Certificates(file(t, "holder.cer"))} {
		if err != nil {
			t.Fatal(err)
		}
	}
	for _, l := range lists {
		if err := tr.Revocations(file(t, l)); err != nil {
			t.Fatal(err)
		}
	}
	return tr
}

var allLists = []string{"anchor.crl", "registry.crl", "holder.crl"}

func verify(tr *Trust, feed []byte) (*Signature, error) {
	f, err := Split(feed)
	if err != nil {
		return nil, err
	}
	return tr.Verify(f)
}

func TestAGoodSignature(t *testing.T) {
	for what, tr := range map[string]*Trust{"without lists": trust(t), "with lists": trust(t, allLists...)} {
		for form, feed := range map[string][]byte{"crlf": file(t, "good.csv"), "lf": bytes.ReplaceAll(file(t, "good.csv"), []byte("\r\n"), []byte("\n"))} {
			s, err := verify(tr, feed)
			if err != nil {
				t.Fatalf("%s, %s: %v", what, form, err)
			}
			if s.Checked != (what == "with lists") || s.Anchor != "anchor" || len(s.Signer) != 40 || s.At.Year() < 2026 {
				t.Errorf("%s: %+v", what, s)
			}
			if !s.From.Equal(time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)) && !s.Checked || s.Until.Year() < 2090 {
				t.Errorf("%s: valid from %s until %s", what, s.From, s.Until)
			}
			for prefix, want := range map[string]bool{
				"192.0.2.0/24": true, "192.0.2.128/25": true, "192.0.2.9/32": true, "192.0.2.0/23": false, "0.0.0.0/0": false, "198.51.100.0/25": true, "198.51.100.0/24": false,
				"198.51.100.128/25": false, "203.0.113.0/24": false, "191.0.0.0/8": false, "2001:db8:7::/48": true, "2001:db8:7:ffff::/64": true, "2001:db8:8::/48": false, "::/0": false,
			} {
				if got := s.Covers(netip.MustParsePrefix(prefix)); got != want {
					t.Errorf("%s: covers %s: %v", what, prefix, got)
				}
			}
		}
	}
}

// Each step of RFC 9632 section 5 and of the profile, broken once.
func TestBadSignatures(t *testing.T) {
	for name, want := range map[string]string{
		"struck": "was revoked at", "heir": "does not name its addresses itself", "bare": "does not name its addresses itself", "numbered": "holds AS numbers",
		"unknown": "nobody that is trusted issued", "forger": "nobody that is trusted issued", "overreach": "claims 10.0.0.0-10.255.255.255, which its issuer does not hold",
		"data": "over content of type 1.2.840.113549.1.7.1", "attached": "brings its own content", "named": "does not read", "sha512": "other digests than SHA-256",
		"issuer": "is no SignedData", "capable": "1.2.840.113549.1.9.15: it must not be there", "mute": "is no SignedData in DER",
	} {
		if _, err := verify(trust(t, allLists...), file(t, name+".csv")); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if s, err := verify(trust(t), file(t, "wide.csv")); err != nil || s.Covers(netip.MustParsePrefix("192.0.2.0/23")) {
		t.Errorf("a feed that is wider than its signer is the caller's to refuse: %+v, %v", s, err)
	}
	if s, err := verify(trust(t), file(t, "past.csv")); err != nil || !s.Until.Equal(time.Date(2026, 6, 1, 0, 0, 0, 0, time.UTC)) {
		t.Errorf("the end of a signature: %+v, %v", s, err)
	}
}

// A path needs all of its certificates, and where there are lists one of each issuer.
func TestWhatIsMissing(t *testing.T) {
	noAnchor, noPath, between := &Trust{}, &Trust{}, &Trust{}
	for _, err := range []error{noAnchor.Certificates(file(t, "between.pem")), noAnchor.Certificates(file(t, "holder.cer")), noAnchor.Certificates(file(t, "anchor.cer")), noPath.Anchors(file(t, "anchor.cer")), between.Anchors(file(t, "anchor.cer")), between.Certificates(file(t, "holder.cer"))} {
		if err != nil {
			t.Fatal(err)
		}
	}
	for what, c := range map[string]struct {
		tr   *Trust
		want string
	}{
		"nothing":             {&Trust{}, "nobody that is trusted issued certificate \"signer\""},
		"no anchor":           {noAnchor, "nobody that is trusted issued certificate \"anchor\""},
		"no path":             {noPath, "nobody that is trusted issued certificate \"signer\""},
		"a gap":               {between, "nobody that is trusted issued certificate \"holder\""},
		"a list of one alone": {trust(t, "holder.crl"), "none of them is by certificate \"anchor\""},
		"a list is not there": {trust(t, "anchor.crl", "registry.crl"), "none of them is by certificate \"holder\""},
	} {
		if _, err := verify(c.tr, file(t, "good.csv")); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v", what, err)
		}
	}
}

func TestFilesOfTrust(t *testing.T) {
	tr := &Trust{}
	for what, c := range map[string]struct {
		err  error
		want string
	}{
		"a signed certificate as anchor": {tr.Anchors(file(t, "holder.cer")), "is no trust anchor"},
		"a list as certificate":          {tr.Certificates(file(t, "holder.crl")), "does not read"},
		"a certificate as list":          {tr.Revocations(file(t, "holder.cer")), "does not read"},
		"PEM of something else":          {tr.Revocations(file(t, "between.pem")), "a block \"CERTIFICATE\""},
		"PEM of nothing":                 {tr.Certificates([]byte("-----BEGIN CERTIFICATE-----\nx")), "has no block"},
		"nothing":                        {tr.Anchors(nil), "does not read"},
	} {
		if c.err == nil || !strings.Contains(c.err.Error(), c.want) {
			t.Errorf("%s: %v", what, c.err)
		}
	}
	if len(tr.anchors)+len(tr.between)+len(tr.lists) > 0 {
		t.Errorf("something of it is trusted: %+v", tr)
	}
}

// The text under the signature, and the comments around it.
func TestSplit(t *testing.T) {
	good := string(file(t, "good.csv"))
	at := strings.Index(good, "# RPKI")
	if f, err := Split([]byte(good)); err != nil || string(f.Text) != good[:at] {
		t.Fatalf("%v", err)
	}
	if f, err := Split([]byte(good[:at])); f != nil || err != nil {
		t.Errorf("an unsigned feed: %v, %v", f, err)
	}
	for what, c := range map[string]struct{ feed, want string }{
		"another country":     {strings.Replace(good, "/24,DE", "/24,US", 1), "the text is not the one that was signed"},
		"one line more":       {"203.0.113.0/24,DE\r\n" + good, "the text is not the one that was signed"},
		"a line behind":       {good + "203.0.113.0/24,DE\r\n", "something follows the signature"},
		"a second signature":  {good + good[at:], "something follows the signature"},
		"a line in it":        {strings.Replace(good, "# MII", "203.0.113.0/24,DE\r\n# MII", 1), "it is no line of a signature"},
		"a long line in it":   {strings.Replace(good, "# MII", "# "+strings.Repeat("A", 73)+"\r\n# MII", 1), "it is no line of a signature"},
		"no base64":           {strings.Replace(good, "# MII", "# M*I", 1), "no base64"},
		"another base64":      {strings.Replace(good, "# MII", "# MIJ", 1), "no SignedData"},
		"cut off":             {good[:len(good)-40], "has no line \"# End Signature:\""},
		"another end":         {strings.Replace(good, "# End Signature: 192.0.2.0/24", "# End Signature: 192.0.3.0/24", 1), "ends for another range"},
		"no range":            {strings.Replace(good, "# RPKI Signature: 192.0.2.0/24", "# RPKI Signature: here", 1), "is no range of addresses"},
		"a range backwards":   {strings.Replace(good, "# RPKI Signature: 192.0.2.0/24", "# RPKI Signature: 192.0.2.9 - 192.0.2.1", 1), "is no range of addresses"},
		"a return in a line":  {strings.Replace(good, "Frankfurt", "Frank\rfurt", 1), "a carriage return stands within it"},
		"blank lines":         {good[:at] + "\r\n" + good[at:], "ends in blank lines"},
		"behind a record":     {good[:at-2] + good[at:], "does not begin at the start of a line"},
		"not in UTF-8":        {strings.Replace(good, "Frankfurt", "Frankf\xfcrt", 1), "not in UTF-8"},
		"no signature in it":  {good[:at] + "# RPKI Signature: ::/0\r\n# End Signature: ::/0\r\n", "no SignedData"},
		"a range of a family": {strings.ReplaceAll(good, "Signature: 192.0.2.0/24", "Signature: 192.0.2.0 - ::1"), "is no range of addresses"},
	} {
		if _, err := verify(trust(t), []byte(c.feed)); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v", what, err)
		}
	}
}

// Whatever one changes in a signed file: it verifies with the text that was signed, or it does not verify.
func FuzzVerify(f *testing.F) {
	tr := trust(f, allLists...)
	good, err := Split(file(f, "good.csv"))
	if err != nil {
		f.Fatal(err)
	}
	for _, name := range []string{"good", "wide", "heir", "numbered", "attached", "overreach"} {
		f.Add(file(f, name+".csv"))
	}
	wide, err := Split(file(f, "wide.csv"))
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		feed, err := Split(b)
		if feed == nil || err != nil {
			return
		}
		if s, err := tr.Verify(feed); err == nil && !bytes.Equal(feed.Text, good.Text) && !bytes.Equal(feed.Text, wide.Text) {
			t.Fatalf("%q verified as signed by %s", feed.Text, s.Signer)
		}
	})
}

// The files of trust, and what is in the base64 of a feed.
func FuzzDER(f *testing.F) {
	for _, name := range []string{"anchor.cer", "holder.cer", "between.pem", "holder.crl"} {
		f.Add(file(f, name))
	}
	good, err := Split(file(f, "good.csv"))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(good.cms)
	anchored := trust(f)
	f.Fuzz(func(t *testing.T, b []byte) {
		var tr Trust
		_, _, _ = tr.Anchors(b), tr.Certificates(b), tr.Revocations(b)
		for _, c := range append(tr.anchors, tr.between...) {
			for i, s := range c.addresses.spans {
				if s.hi.Less(s.lo) || !c.addresses.covers(s) || i > 0 && c.addresses.spans[i-1].lo.BitLen() == s.lo.BitLen() && !c.addresses.spans[i-1].hi.Less(s.lo) {
					t.Fatalf("%v", c.addresses.spans)
				}
			}
		}
		_, _ = tr.Verify(&Feed{Text: good.Text, cms: b})
		_, _ = anchored.Verify(&Feed{Text: good.Text, cms: b})
	})
}
