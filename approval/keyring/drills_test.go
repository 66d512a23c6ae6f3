package keyring

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/cordonsip/cordon/approval/sign"
	"github.com/cordonsip/cordon/audit"
)

var drillPlan = strings.Repeat("5a", 32)

// endOf is the end of the drill D as a log has it.
func endOf(t *testing.T) (audit.DrillEnded, DrillEnd) {
	t.Helper()
	ev := audit.DrillEnded{Drill: "D", Digest: drillPlan, Outcome: "failed", Cause: "<x>", Start: noon, End: noon, Datagrams: map[string]uint64{"b": 1, "a": 2}}
	_, end, err := EndOf(log(t, ev)[0])
	if err != nil || len(end.Sum) != 64 {
		t.Fatal(end, err)
	}
	return ev, end
}

// said is a sign-off of the drill D that a person signed an hour after its end, which change may have said otherwise.
func said(t *testing.T, person string, change func(*sign.DrillStatement)) audit.DrillSignedOff {
	t.Helper()
	_, end := endOf(t)
	st := sign.DrillStatement{
		Drill: "D", Plan: drillPlan, Outcome: "failed", End: end.Sum, Word: sign.DrillSignedOff, Verdict: sign.DrillReject, Role: "ciso", Reason: "too slow", At: noon.Add(2 * time.Hour),
		Nonce: strings.Repeat("0f", 16),
	}
	if change != nil {
		change(&st)
	}
	s, err := sign.SignDrill(private(person), st)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := json.Marshal(s)
	if err != nil {
		t.Fatal(err)
	}
	return audit.DrillSignedOff{Drill: "D", Verdict: sign.DrillReject, By: "p-" + person, Reason: "too slow", Role: "ciso", Auth: "bearer+signature", Signature: raw}
}

// TestLastWordsOfDrillsHold reads logs in which keys were enrolled, a drill ended, and somebody signed. The last entry is the one that is judged.
func TestLastWordsOfDrillsHold(t *testing.T) {
	keys := KeysEnrolled{How: HowBootstrap, Keys: []EnrolledKey{keyOf("anna"), keyOf("ben")}}
	ended, _ := endOf(t)
	other := ended
	other.Outcome = "passed"
	good := said(t, "anna", nil)
	by := func(change func(*audit.DrillSignedOff)) audit.Event {
		ev := good
		change(&ev)
		return ev
	}
	for name, c := range map[string]struct {
		events []audit.Event
		want   string // "": it holds
	}{
		"signed":                       {[]audit.Event{keys, ended, good}, ""},
		"by session":                   {[]audit.Event{keys, ended, audit.DrillCleaned{Drill: "D", By: "p-anna", Reason: "looked"}}, ""},
		"no key":                       {[]audit.Event{ended, ended, good}, "was not enrolled before"},
		"somebody else's key":          {[]audit.Event{keys, ended, by(func(e *audit.DrillSignedOff) { e.By = "p-ben" })}, "the key of p-anna"},
		"a revoked key":                {[]audit.Event{keys, ended, KeyRevoked{ID: keyOf("anna").ID, Person: "p-anna", By: "p-ben"}, good}, "revoked before (entry 2)"},
		"revoked afterwards":           {[]audit.Event{keys, ended, good, KeyRevoked{ID: keyOf("anna").ID, Person: "p-anna", By: "p-ben"}}, ""},
		"another end":                  {[]audit.Event{keys, other, good}, "another plan, outcome or end"},
		"no end":                       {[]audit.Event{keys, keys, good}, "has no end of it"},
		"another drill's":              {[]audit.Event{keys, ended, said(t, "anna", func(s *sign.DrillStatement) { s.Drill = "E" })}, "about another drill"},
		"another verdict in the entry": {[]audit.Event{keys, ended, by(func(e *audit.DrillSignedOff) { e.Verdict = sign.DrillAccept })}, "another word, verdict"},
		"another reason in the entry":  {[]audit.Event{keys, ended, by(func(e *audit.DrillSignedOff) { e.Reason = "fine" })}, "another word, verdict, date, role or reason"},
		"another role in the entry":    {[]audit.Event{keys, ended, by(func(e *audit.DrillSignedOff) { e.Role = "operator" })}, "another word, verdict, date, role or reason"},
		"another word":                 {[]audit.Event{keys, ended, audit.DrillCleaned{Drill: "D", By: "p-anna", Reason: "too slow", Role: "ciso", Signature: good.Signature}}, "another word"},
		"twice":                        {[]audit.Event{keys, ended, good, good}, "stands in the log before"},
		"before the end":               {[]audit.Event{keys, ended, said(t, "anna", func(s *sign.DrillStatement) { s.At = noon })}, "before the end of the drill"},
		"after the entry":              {[]audit.Event{keys, ended, said(t, "anna", func(s *sign.DrillStatement) { s.At = noon.AddDate(0, 0, 1) })}, "or after the entry"},
		"cut":                          {[]audit.Event{keys, ended, by(func(e *audit.DrillSignedOff) { e.Signature = json.RawMessage(`{"cordon":"x"}`) })}, "is no \"drill statement v1\""},
		"changed": {[]audit.Event{keys, ended, by(func(e *audit.DrillSignedOff) {
			e.Signature = json.RawMessage(strings.Replace(string(e.Signature), "too slow", "too fast", 1))
		})}, "the signature does not fit"},
	} {
		t.Run(name, func(t *testing.T) {
			checker := NewChecker()
			entries := log(t, c.events...)
			for i, e := range entries {
				before := len(checker.Bad)
				checker.Take(e)
				if i < len(entries)-1 {
					checker.Bad = checker.Bad[:before]
				}
			}
			var got []string
			for _, b := range checker.Bad {
				got = append(got, b.What)
			}
			if len(got) > 1 || strings.Join(got, "") == "" != (c.want == "") || !strings.Contains(strings.Join(got, ""), c.want) {
				t.Errorf("it says %q, want %q", got, c.want)
			}
			if d := checker.Drills(); d.Signed+d.BySession == 0 {
				t.Error("nothing was counted")
			}
		})
	}
}

// Who has the keys of today judges an entry of then by what counted then.
func TestAKeyCountsFromItsEntryOn(t *testing.T) {
	ended, end := endOf(t)
	entries := log(t, ended, said(t, "anna", nil), said(t, "anna", nil))
	ring := Ring{}
	ring.Enrol(1, entries[1].Time, KeysEnrolled{How: HowBootstrap, Keys: []EnrolledKey{keyOf("anna")}})
	ring.Revoke(3, entries[2].Time.Add(time.Minute), KeyRevoked{ID: keyOf("anna").ID})
	w, _, err := DrillWordOf(entries[2])
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		seq   uint64
		later time.Duration
		want  string
	}{{0, 0, "not enrolled before"}, {2, 0, ""}, {4, time.Hour, "revoked before (entry 3)"}} {
		e := entries[2]
		e.Seq, e.Time = c.seq, e.Time.Add(c.later)
		if _, err := ring.DrillWord(e, w, end); (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("as entry %d: %v, want %q", c.seq, err, c.want)
		}
	}
}
