package sign

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
	"time"
)

func drillStatement() DrillStatement {
	return DrillStatement{
		Drill: "01KAQW3Y6T8ZJ4M2B7C9D0E1F2", Plan: strings.Repeat("5a", 32), Outcome: "passed", End: strings.Repeat("6b", 32), Word: DrillSignedOff, Verdict: DrillAccept,
		Role: "ciso", Reason: "read, <all> of it", At: at, Nonce: strings.Repeat("0f", 16),
	}
}

func signedDrill(t *testing.T) SignedDrill {
	t.Helper()
	s, err := SignDrill(key(1), drillStatement())
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// The bytes that are signed of a drill are part of the form, and every member stands in them.
func TestWhatIsSignedOfADrill(t *testing.T) {
	s := signedDrill(t)
	want := `{"date":"","drill":"01KAQW3Y6T8ZJ4M2B7C9D0E1F2","ended_sha256":"` + strings.Repeat("6b", 32) + `","key_id":"` + KeyID(public(key(1))) + `","minutes_ref":"","nonce":"` + strings.Repeat("0f", 16) +
		`","outcome":"passed","reason":"read, <all> of it","role":"ciso","scenario_sha256":"` + strings.Repeat("5a", 32) + `","signed_at":"2026-11-21T14:00:00Z","verdict":"accept","word":"signed_off"}`
	if text, err := s.Statement.text(); err != nil || string(text) != want {
		t.Errorf("signed is\n%s\nwant\n%s, %v", text, want, err)
	}
	if err := verify(public(key(1)), "cordon drill v1\n", []byte(want), s.Signature); err != nil {
		t.Error(err)
	}
	for name, change := range map[string]func(*SignedDrill){
		"drill": func(s *SignedDrill) { s.Statement.Drill += "X" }, "plan": func(s *SignedDrill) { s.Statement.Plan = strings.Repeat("5b", 32) },
		"outcome": func(s *SignedDrill) { s.Statement.Outcome = "failed" }, "end": func(s *SignedDrill) { s.Statement.End = strings.Repeat("6c", 32) },
		"word":    func(s *SignedDrill) { s.Statement.Word, s.Statement.Verdict = DrillCleaned, "" },
		"verdict": func(s *SignedDrill) { s.Statement.Verdict = DrillReject }, "key": func(s *SignedDrill) { s.Statement.Key = KeyID(public(key(2))) },
		"role": func(s *SignedDrill) { s.Statement.Role = "operator" }, "reason": func(s *SignedDrill) { s.Statement.Reason += "!" },
		"time": func(s *SignedDrill) { s.Statement.At = at.Add(time.Second) }, "nonce": func(s *SignedDrill) { s.Statement.Nonce = strings.Repeat("0e", 16) },
		"signature": func(s *SignedDrill) { s.Signature = "A" + s.Signature[1:] }, "form": func(s *SignedDrill) { s.Form = DecisionForm },
	} {
		s := signedDrill(t)
		if err := s.Verify(public(key(1))); err != nil {
			t.Fatal(err)
		}
		if change(&s); s.Verify(public(key(1))) == nil {
			t.Errorf("%s: a change is not seen", name)
		}
	}
	if signedDrill(t).Verify(public(key(2))) == nil {
		t.Error("another key verifies it")
	}
}

func TestStatementsOfDrillsThatAreNone(t *testing.T) {
	reported := func(s *DrillStatement) {
		s.Word, s.Verdict, s.Date, s.Minutes = DrillReported, "", "2026-12-01", "MB 4"
	}
	for want, change := range map[string]func(*DrillStatement){
		"word: \"fine\" is none": func(s *DrillStatement) { s.Word = "fine" }, "verdict: signed_off": func(s *DrillStatement) { s.Verdict = "" },
		"verdict: ": func(s *DrillStatement) { s.Word = DrillCleaned }, "no other word has any": func(s *DrillStatement) { s.Verdict = "acceptable" },
		"reason: it needs one": func(s *DrillStatement) { s.Reason = "\t" }, "reason: longer": func(s *DrillStatement) { s.Reason = strings.Repeat("x", 4001) },
		"of reported alone": func(s *DrillStatement) { s.Minutes = "MB 4" }, "date: expected a day": func(s *DrillStatement) { reported(s); s.Date = "2026-13-01" },
		"minutes_ref: missing": func(s *DrillStatement) { reported(s); s.Minutes = " " }, "role: missing": func(s *DrillStatement) { s.Role = "" },
		"scenario_sha256 and ended_sha256": func(s *DrillStatement) { s.End = "6b" }, "outcome: missing": func(s *DrillStatement) { s.Outcome = "" },
		"nonce: expected": func(s *DrillStatement) { s.Nonce = "0f" }, "drill: missing": func(s *DrillStatement) { s.Drill = "" },
		"signed_at: expected a moment": func(s *DrillStatement) { s.At = time.Time{} },
	} {
		s := drillStatement()
		change(&s)
		if _, err := SignDrill(key(1), s); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("want %q, got %v", want, err)
		}
	}
	s := drillStatement()
	reported(&s)
	s.Reason = ""
	if _, err := SignDrill(key(1), s); err != nil {
		t.Errorf("a report to the management body may have no reason: %v", err)
	}
}

// What is read is written the same again, the signature fits nothing but what was signed, and nothing that a stranger writes ends the program.
func FuzzParseDrill(f *testing.F) {
	s, err := SignDrill(key(1), drillStatement())
	if err != nil {
		f.Fatal(err)
	}
	raw, err := json.Marshal(s)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(raw)
	f.Add(bytes.Replace(raw, []byte(`"verdict":"accept"`), []byte(`"verdict":"reject"`), 1))
	f.Add(bytes.Replace(raw, []byte(`"drill":`), []byte(`"drill":"x","drill":`), 1))
	f.Add([]byte(`{"cordon":"drill statement v1","statement":null}`))
	f.Fuzz(func(t *testing.T, raw []byte) {
		got, err := ParseDrill(raw)
		if err != nil {
			return
		}
		again, err := json.Marshal(got)
		if err != nil {
			t.Fatal(err)
		}
		if back, err := ParseDrill(again); err != nil || back != got {
			t.Fatalf("%s reads back as %+v, %v", again, back, err)
		}
		if got.Verify(public(key(1))) == nil && got.Statement != s.Statement {
			t.Fatalf("the signature fits %+v", got.Statement)
		}
	})
}
