package sovereign

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"errors"
	"io"
	"strings"
	"testing"
	"time"
)

var (
	keyA = ed25519.NewKeyFromSeed(bytes.Repeat([]byte{1}, ed25519.SeedSize))
	keyB = ed25519.NewKeyFromSeed(bytes.Repeat([]byte{2}, ed25519.SeedSize))
	ring = map[string]ed25519.PublicKey{"a": keyA.Public().(ed25519.PublicKey), "b": keyB.Public().(ed25519.PublicKey), "short": {1, 2, 3}}
	dpfs = Suspension{Instrument: "(EU) 2023/1795", Since: now, Reason: "C-703/25 P", KeyID: "a"}
)

func signed(t testing.TB, s Suspension, key crypto.Signer) string {
	t.Helper()
	line, err := SignSuspension(s, key)
	if err != nil {
		t.Fatal(err)
	}
	return string(line)
}

func TestSuspensionRoundTrip(t *testing.T) {
	swiss := Suspension{Instrument: "2000/518/EC", Since: now.In(time.FixedZone("CET", 3600)), Reason: "Zürich \"left\"", KeyID: "b"}
	file := "# struck today\n\n" + signed(t, dpfs, keyA) + "  \r\n" + signed(t, swiss, keyB)
	got, err := ParseSuspensions([]byte(file), ring)
	if err != nil || len(got) != 2 {
		t.Fatalf("%+v, %v", got, err)
	}
	if got[0].Instrument != dpfs.Instrument || !got[0].Since.Equal(now) || got[0].Reason != dpfs.Reason || got[0].KeyID != "a" || len(got[0].Sig) != ed25519.SignatureSize {
		t.Errorf("%+v", got[0])
	}
	if got[1].Reason != swiss.Reason || !got[1].Since.Equal(swiss.Since) {
		t.Errorf("%+v", got[1])
	}
	// Ed25519 over the canonical form is a fixed text: the same line for everybody, for ever.
	want := `{"instrument":"(EU) 2023/1795","key_id":"a","reason":"C-703/25 P","sig":"` +
		`ysMNy0JE6AAFv/IUfDG8168qVw05AQRlG7g6qWYY02IPsttNo2dtOuZTiYMd7HQ+eGtO8GIAdvahyKxSw7oVDg==","since":"2026-11-21T12:00:00Z"}` + "\n"
	if line := signed(t, dpfs, keyA); line != want {
		t.Errorf("%swant %s", line, want)
	}
	if got, err := ParseSuspensions(nil, nil); got != nil || err != nil {
		t.Errorf("an empty file: %v, %v", got, err)
	}
}

// Space and order of members do not matter to the signature, a byte of the content does.
func TestSuspensionSignature(t *testing.T) {
	line := strings.TrimSpace(signed(t, dpfs, keyA))
	sig := line[strings.Index(line, `"sig":`) : strings.Index(line, `","since"`)+1]
	again := `{ "since" : "2026-11-21T12:00:00Z", "reason":"C-703/25 P", "key_id":"\u0061", "instrument":"(EU) 2023/1795", ` + sig + `}`
	if got, err := ParseSuspensions([]byte(again), ring); err != nil || len(got) != 1 {
		t.Errorf("%v, %v", got, err)
	}
	for name, forged := range map[string]string{
		"reason":     strings.Replace(line, "C-703", "C-704", 1),
		"instrument": strings.Replace(line, "(EU) 2023/1795", "2000/518/EC", 1),
		"since":      strings.Replace(line, "12:00:00Z", "12:00:01Z", 1),
		"zone":       strings.Replace(line, "12:00:00Z", "13:00:00+01:00", 1), // the same moment, but not what was signed
		"key":        strings.Replace(line, `"key_id":"a"`, `"key_id":"b"`, 1),
		"signature":  strings.Replace(line, `"sig":"`, `"sig":"AAAA`, 1),
		"none":       strings.Replace(line, sig+",", "", 1),
		"empty":      strings.Replace(line, sig, `"sig":""`, 1),
	} {
		if got, err := ParseSuspensions([]byte(forged), ring); err == nil || len(got) != 0 {
			t.Errorf("%s: %v, %v", name, got, err)
		}
	}
}

func TestBadSuspensionsDoNotHideGoodOnes(t *testing.T) {
	good := signed(t, dpfs, keyA)
	stranger := dpfs
	stranger.KeyID = "c"
	short := dpfs
	short.KeyID = "short"
	file := strings.Join([]string{
		strings.TrimSpace(good),
		"nonsense",
		strings.TrimSpace(signed(t, stranger, keyA)),
		strings.Replace(strings.TrimSpace(good), "2023/1795", "2023/1759", 1),
		strings.TrimSpace(good) + strings.TrimSpace(good),
		strings.Replace(strings.TrimSpace(good), `"key_id"`, `"note":1,"key_id"`, 1),
		strings.Replace(strings.TrimSpace(good), `{"instrument"`, `{"instrument":"2000/518/EC","instrument"`, 1),
		strings.Replace(strings.TrimSpace(good), "C-703/25 P", " ", 1),
		strings.Replace(strings.TrimSpace(good), `,"since":"2026-11-21T12:00:00Z"`, "", 1),
		strings.TrimSpace(signed(t, short, keyA)),
		strings.Replace(strings.TrimSpace(good), "C-703", "C-704", 1),
		strings.Replace(strings.TrimSpace(good), "(EU) 2023/1795", "Treaty of Westphalia", 1),
		"",
		strings.TrimSpace(good),
	}, "\n")
	got, err := ParseSuspensions([]byte(file), ring)
	if len(got) != 2 || err == nil {
		t.Fatalf("%d good lines, %v", len(got), err)
	}
	for _, want := range []string{
		"line 2: ", "cordon law suspend",
		`line 3: key_id "c" is not in the configuration (known: a, b, short)`,
		`line 4: instrument "(EU) 2023/1759" is unknown: did you mean (EU) 2023/1795 or`,
		"line 5: more than one object",
		`line 6: json: unknown field "note"`,
		"line 7: jcs: object names a member twice",
		"line 8: reason is missing",
		"line 9: since is missing",
		`line 10: public key "short" has 3 bytes`,
		`line 11: the signature does not fit the line and key "a": sign it again`,
		"line 12: instrument \"Treaty of Westphalia\" is unknown: `cordon law` lists them",
	} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("no %q in\n%v", want, err)
		}
	}
	if n := strings.Count(err.Error(), "sovereign: suspension in line"); n != 11 {
		t.Errorf("%d errors", n)
	}
}

// signer is a key that lives elsewhere.
type signer struct {
	pub  crypto.PublicKey
	sign func([]byte) ([]byte, error)
}

func (s signer) Public() crypto.PublicKey { return s.pub }
func (s signer) Sign(_ io.Reader, msg []byte, _ crypto.SignerOpts) ([]byte, error) {
	return s.sign(msg)
}

func TestSignSuspensionRefuses(t *testing.T) {
	ec, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	gone := errors.New("the token is gone")
	change := func(f func(*Suspension)) Suspension { s := dpfs; f(&s); return s }
	for want, c := range map[string]struct {
		s   Suspension
		key crypto.Signer
	}{
		"did you mean (EU) 2023/1795": {change(func(s *Suspension) { s.Instrument = "EU 2023/1795" }), keyA},
		"since is missing":            {change(func(s *Suspension) { s.Since = time.Time{} }), keyA},
		"reason is missing":           {change(func(s *Suspension) { s.Reason = "" }), keyA},
		"key_id is missing":           {change(func(s *Suspension) { s.KeyID = "" }), keyA},
		"no Ed25519 key":              {dpfs, ec},
		"year outside of range":       {change(func(s *Suspension) { s.Since = time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC) }), keyA},
		"sign: the token is gone":     {dpfs, signer{keyA.Public(), func([]byte) ([]byte, error) { return nil, gone }}},
		"does not verify":             {dpfs, signer{keyA.Public(), func(m []byte) ([]byte, error) { return ed25519.Sign(keyB, m), nil }}},
	} {
		if line, err := SignSuspension(c.s, c.key); err == nil || !strings.Contains(err.Error(), want) || line != nil {
			t.Errorf("%s, %v; want %q", line, err, want)
		}
	}
	remote := signer{keyA.Public(), func(m []byte) ([]byte, error) { return ed25519.Sign(keyA, m), nil }}
	if got, err := ParseSuspensions([]byte(signed(t, dpfs, remote)), ring); err != nil || len(got) != 1 {
		t.Errorf("%v, %v", got, err)
	}
}

func FuzzParseSuspensions(f *testing.F) {
	line, err := SignSuspension(dpfs, keyA)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(line)
	f.Add([]byte("# nothing\n\n"))
	f.Add([]byte(`{"instrument":"2000/518/EC","since":"2026-11-21T12:00:00Z","reason":"x","key_id":"a","sig":"AAAA"}`))
	f.Add([]byte(`{"instrument":"\ud800"}`))
	f.Add(append(append([]byte("x\n"), line...), line...))
	f.Fuzz(func(t *testing.T, data []byte) {
		got, err := ParseSuspensions(data, ring)
		for _, s := range got {
			// Only what key a really signed may ever come out.
			if s.Instrument != dpfs.Instrument || !s.Since.Equal(dpfs.Since) || s.Reason != dpfs.Reason || s.KeyID != "a" {
				t.Fatalf("forged: %+v", s)
			}
		}
		if err == nil && len(got) == 0 && len(bytes.TrimSpace(data)) > 0 && !bytes.Contains(data, []byte("#")) {
			t.Fatalf("%q was passed over in silence", data)
		}
	})
}
