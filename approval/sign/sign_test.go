package sign

import (
	"bytes"
	"crypto/ed25519"
	"encoding/hex"
	"strings"
	"testing"
	"time"
)

func key(seed byte) ed25519.PrivateKey {
	return ed25519.NewKeyFromSeed(bytes.Repeat([]byte{seed}, ed25519.SeedSize))
}

func public(k ed25519.PrivateKey) ed25519.PublicKey { return k.Public().(ed25519.PublicKey) }

var at = time.Date(2026, 11, 21, 14, 0, 0, 0, time.UTC)

func statement() Statement {
	return Statement{
		Ticket: "01M7ZSEJ4ACV91CT8BG84W5FYY", PlanHash: strings.Repeat("5a", 32), PolicyDigest: "p1", FactsDigest: "f1", Role: "ciso", Word: Approve,
		Reason: "Frankfurt is down, <bridge> 4711 agreed", At: at, Nonce: strings.Repeat("0f", 16),
	}
}

func signed(t *testing.T, s Statement) Signed {
	t.Helper()
	out, err := Sign(key(1), s)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// The bytes that are signed are part of the form: a checker of somebody else's makes them anew.
func TestWhatIsSigned(t *testing.T) {
	s := signed(t, statement())
	text, err := s.Statement.text()
	if err != nil {
		t.Fatal(err)
	}
	want := `{"facts_digest":"f1","key_id":"` + KeyID(public(key(1))) + `","nonce":"` + strings.Repeat("0f", 16) + `","plan_hash":"` + strings.Repeat("5a", 32) +
		`","policy_digest":"p1","reason":"Frankfurt is down, <bridge> 4711 agreed","role":"ciso","signed_at":"2026-11-21T14:00:00Z","ticket":"01M7ZSEJ4ACV91CT8BG84W5FYY","word":"approve"}`
	if string(text) != want {
		t.Errorf("signed is\n%s\nwant\n%s", text, want)
	}
	if err := verify(public(key(1)), "cordon gate decision v1\n", []byte(want), s.Signature); err != nil {
		t.Error(err)
	}
}

func TestEveryChangeOfAStatementIsSeen(t *testing.T) {
	for name, change := range map[string]func(*Signed){
		"ticket": func(s *Signed) { s.Statement.Ticket = "01M7ZSEJ4ACV91CT8BG84W5FYZ" }, "plan": func(s *Signed) { s.Statement.PlanHash = strings.Repeat("5b", 32) },
		"policy": func(s *Signed) { s.Statement.PolicyDigest = "p2" }, "facts": func(s *Signed) { s.Statement.FactsDigest = "f2" },
		"key": func(s *Signed) { s.Statement.Key = KeyID(public(key(2))) }, "role": func(s *Signed) { s.Statement.Role = "business_owner" },
		"word": func(s *Signed) { s.Statement.Word = Deny }, "reason": func(s *Signed) { s.Statement.Reason += "!" },
		"time": func(s *Signed) { s.Statement.At = at.Add(time.Second) }, "nonce": func(s *Signed) { s.Statement.Nonce = strings.Repeat("0e", 16) },
		"signature": func(s *Signed) { s.Signature = "A" + s.Signature[1:] }, "its form": func(s *Signed) { s.Signature = strings.TrimRight(s.Signature, "=") },
	} {
		s := signed(t, statement())
		if err := s.Verify(public(key(1))); err != nil {
			t.Fatal(err)
		}
		change(&s)
		if err := s.Verify(public(key(1))); err == nil {
			t.Errorf("%s: a change is not seen", name)
		}
	}
	s := signed(t, statement())
	if err := s.Verify(public(key(2))); err == nil {
		t.Error("another key verifies it")
	}
	if err := verify(public(key(1)), VouchPrefix, []byte("x"), signature(key(1), DecisionPrefix, []byte("x"))); err == nil {
		t.Error("what was signed for one purpose counts for another")
	}
}

func TestStatementsThatAreNone(t *testing.T) {
	for want, change := range map[string]func(*Statement){
		"word: \"maybe\" is none": func(s *Statement) { s.Word = "maybe" }, "ticket: missing": func(s *Statement) { s.Ticket = "" }, "role: missing": func(s *Statement) { s.Role = "" },
		"reason: a decision needs one": func(s *Statement) { s.Reason = " \n" }, "reason: longer than 4000": func(s *Statement) { s.Reason = strings.Repeat("x", 4001) },
		"plan_hash: expected 64": func(s *Statement) { s.PlanHash = strings.Repeat("5A", 32) }, "nonce: expected 32": func(s *Statement) { s.Nonce = "" },
		"signed_at: expected a moment": func(s *Statement) { s.At = time.Time{} }, "policy_digest: longer": func(s *Statement) { s.PolicyDigest = strings.Repeat("x", 201) },
	} {
		s := statement()
		change(&s)
		if _, err := Sign(key(1), s); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("want %q, got %v", want, err)
		}
	}
	free := statement()
	free.Word, free.Reason = NoObjection, ""
	if _, err := Sign(key(1), free); err != nil {
		t.Errorf("an opinion may have no reason: %v", err)
	}
}

func TestFilesOfStatements(t *testing.T) {
	s := signed(t, statement())
	raw, err := s.File()
	if err != nil {
		t.Fatal(err)
	}
	if got, err := ParseDecision(raw); err != nil || got != s {
		t.Fatalf("%+v, %v", got, err)
	}
	if form, err := Form(raw); err != nil || form != DecisionForm {
		t.Errorf("%q, %v", form, err)
	}
	swap := func(from, to string) []byte { return bytes.Replace(raw, []byte(from), []byte(to), 1) }
	for want, file := range map[string][]byte{
		"cut, or is no JSON":                          raw[:len(raw)-20],
		"cut, or is no JSON ":                         nil,
		"too large":                                   append(bytes.Clone(raw), bytes.Repeat([]byte(" "), MaxFile)...),
		"in one way alone":                            swap(`"role": "ciso"`, `"role": "ciso", "role": "ciso"`),
		"unknown field":                               swap(`"role": "ciso"`, `"role": "ciso", "rule": "ciso"`),
		"a member is missing, or":                     swap(`"role": "ciso",`, ``),
		"a member is missing, or does not stand in":   swap(`"role"`, `"Role"`),
		"does not stand in its one form":              swap(`14:00:00Z`, `14:00:00+00:00`),
		"is no \"gate decision v1\"":                  swap(DecisionForm, EnrolmentForm),
		"word: \"yes\" is none":                       swap(`"approve"`, `"yes"`),
		"its member \"cordon\" says \"gate ticket v1": swap(DecisionForm, "gate ticket v1"),
	} {
		if _, err := ParseDecision(file); err == nil || !strings.Contains(err.Error(), strings.TrimSpace(want)) {
			t.Errorf("want %q, got %v", want, err)
		}
	}
	for _, file := range [][]byte{nil, raw[:40], swap(DecisionForm, "x"), bytes.Repeat([]byte("x"), MaxFile+1)} {
		if form, err := Form(file); err == nil {
			t.Errorf("%.40q is taken for %q", file, form)
		}
	}
}

// Under a key of small order a signature that nobody made fits every text: such keys must not be enrolled.
func TestKeysWithWhichAnybodyCanSign(t *testing.T) {
	identity, _ := hex.DecodeString("0100000000000000000000000000000000000000000000000000000000000000")
	forged := append(bytes.Clone(identity), make([]byte, 32)...)
	if !ed25519.Verify(identity, []byte("whatever"), forged) {
		t.Fatal("the forged signature does not fit: the test shows nothing")
	}
	for _, y := range append(smallOrder(), "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f", "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f") {
		for _, sign := range []byte{0, 0x80} {
			b, _ := hex.DecodeString(y)
			b[31] |= sign
			if _, err := ParsePublic(PublicText(b)); err == nil || !strings.Contains(err.Error(), "anybody can sign") {
				t.Errorf("%x: %v", b, err)
			}
		}
	}
	text := PublicText(public(key(1)))
	if got, err := ParsePublic(text); err != nil || !got.Equal(public(key(1))) {
		t.Errorf("%x, %v", got, err)
	}
	for _, bad := range []string{"", text[:40], text + "=", text + "\n", " " + text, strings.Repeat("A", 44)} {
		if _, err := ParsePublic(bad); err == nil {
			t.Errorf("%q is taken for a key", bad)
		}
	}
	if id := KeyID(public(key(1))); checkKeyID(id) != nil || strings.ReplaceAll(Fingerprint(id), " ", "") != strings.TrimPrefix(id, "k-") || strings.Count(Fingerprint(id), " ") != 7 {
		t.Errorf("%s, %s", id, Fingerprint(id))
	}
}

func enrolment(t *testing.T) EnrolmentFile {
	t.Helper()
	f, err := NewEnrolment("anna", public(key(3)), at.AddDate(1, 0, 0), at, strings.Repeat("ab", 16), strings.Repeat("cd", 16))
	for i, role := range []string{"ciso", "business_owner"} {
		if err == nil {
			f, err = f.Vouch(key(byte(i+1)), role, at)
		}
	}
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func TestEnrolments(t *testing.T) {
	f := enrolment(t)
	raw, err := f.File()
	if err != nil {
		t.Fatal(err)
	}
	got, err := ParseEnrolment(raw)
	if err != nil || len(got.Vouches) != 2 {
		t.Fatalf("%+v, %v", got, err)
	}
	for i, v := range got.Vouches {
		if err := v.Verify(got.Enrolment, public(key(byte(i+1)))); err != nil {
			t.Error(err)
		}
		if err := v.Verify(got.Enrolment, public(key(3))); err == nil {
			t.Error("the enrolled key vouches for itself")
		}
		other, later, role := got.Enrolment, v, v
		other.Expires = other.Expires.AddDate(9, 0, 0)
		later.At = later.At.Add(time.Hour)
		role.Role = "crisis_manager"
		if v.Verify(other, public(key(byte(i+1)))) == nil || later.Verify(got.Enrolment, public(key(byte(i+1)))) == nil || role.Verify(got.Enrolment, public(key(byte(i+1)))) == nil {
			t.Error("a change is not seen")
		}
	}
	for want, change := range map[string][2]string{
		"another person than the one that is named": {`"anna"`, `"ben"`}, "salt: expected": {strings.Repeat("ab", 16), "ab"},
		"key_id: is that of another key": {f.Enrolment.Key, KeyID(public(key(9)))}, "an Ed25519 public key": {f.Enrolment.Public, "AAAA"},
		"nonce: expected": {strings.Repeat("cd", 16), "cd"}, "role: missing": {`"role": "ciso"`, `"role": ""`}, "unknown field": {`"salt"`, `"sugar"`},
	} {
		if _, err := ParseEnrolment(bytes.Replace(raw, []byte(change[0]), []byte(change[1]), 1)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("want %q, got %v", want, err)
		}
	}
	for range maxVouches {
		f, err = f.Vouch(key(1), "ciso", at)
	}
	if err == nil || !strings.Contains(err.Error(), "at most") {
		t.Errorf("any number may vouch: %v", err)
	}
}

// What is read is written the same again, and nothing that a stranger writes ends the program.
func FuzzFiles(f *testing.F) {
	s, err := Sign(key(1), statement())
	if err != nil {
		f.Fatal(err)
	}
	raw, _ := s.File()
	f.Add(raw)
	e, _ := NewEnrolment("anna", public(key(3)), at, at, strings.Repeat("ab", 16), strings.Repeat("cd", 16))
	e, _ = e.Vouch(key(1), "ciso", at)
	raw, _ = e.File()
	f.Add(raw)
	f.Add([]byte(`{"cordon":"gate decision v1","statement":null}`))
	f.Fuzz(func(t *testing.T, raw []byte) {
		_, _ = Form(raw)
		if s, err := ParseDecision(raw); err == nil {
			again, err := s.File()
			if err != nil {
				t.Fatal(err)
			}
			if back, err := ParseDecision(again); err != nil || back != s {
				t.Fatalf("%q reads back as %+v, %v", again, back, err)
			}
			if s.Verify(public(key(1))) == nil && s.Statement != statementOf(s) {
				t.Fatalf("the signature fits %+v", s.Statement)
			}
		}
		if e, err := ParseEnrolment(raw); err == nil {
			again, err := e.File()
			if err != nil {
				t.Fatal(err)
			}
			if _, err := ParseEnrolment(again); err != nil {
				t.Fatalf("%q does not read back: %v", again, err)
			}
		}
	})
}

// statementOf is the one statement that the fuzzed key signed.
func statementOf(Signed) Statement {
	s := statement()
	s.Key = KeyID(public(key(1)))
	return s
}
