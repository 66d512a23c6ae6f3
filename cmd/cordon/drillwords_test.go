package main

import (
	"crypto/ed25519"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/cordonsip/cordon/admin"
	"github.com/cordonsip/cordon/approval/keyring"
	"github.com/cordonsip/cordon/approval/sign"
	"github.com/cordonsip/cordon/audit"
	"github.com/cordonsip/cordon/drill/register"
	"github.com/cordonsip/cordon/internal/jcs"
)

// endedDoor answers as a node that has a drill which ended; said is what it was handed.
type endedDoor struct {
	change func(*admin.DrillView) // of what it shows
	said   admin.DrillSaid
	path   string
}

func (d *endedDoor) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	v := (&drillDoor{outcome: "failed", looks: 1}).view()
	v.Ended.Drill, v.Ended.Digest = "d1", strings.Repeat("5a", 32)
	body, _ := json.Marshal(v.Ended)
	v.Sum, _ = jcs.Sum(body)
	d.change(&v)
	if r.Method == "POST" {
		d.path = r.URL.Path
		_ = json.NewDecoder(r.Body).Decode(&d.said) // nothing where nothing is said
		v.SignedOff = []register.SignedOff{{DrillSignedOff: audit.DrillSignedOff{Verdict: "reject", By: "p-2", Role: "ciso", Reason: "too slow", Signature: d.said.Signature}}}
		v.Reported = []register.Reported{{DrillReported: audit.DrillReported{Date: "2026-12-01", Minutes: "MB 4", By: "p-2"}}}
		v.Acked = []register.Acked{{DrillAcked: audit.DrillAcked{When: "after", By: "p-1"}}}
		v.Cleaned = &audit.DrillCleaned{By: "p-1", Reason: "looked", Removed: []string{"the sandbox"}, Checks: []audit.DrillGuard{{Name: "no_calls", Holds: true}}}
	}
	_ = json.NewEncoder(w).Encode(v) // who has gone reads nothing
	_, _ = io.Copy(io.Discard, r.Body)
}

// What is signed is what was shown, with the key that was named, and is handed in as it was signed.
func TestLastWordsByCommands(t *testing.T) {
	t.Setenv("CORDON_TOKEN", "x")
	dir := t.TempDir()
	key := dir + "/ben.key"
	if code, out, errs := run(t, "gate", "key", "--out="+key, "--id=ben", "--expires=2099-12-31"); code != 0 {
		t.Fatal(out, errs)
	}
	private, err := ownKey(key)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		args   string
		change func(*admin.DrillView)
		code   int
		path   string
		says   string
		want   sign.DrillStatement // of what was signed; zero: nothing
	}{
		{"cleanup d1 --reason=looked --role=operator --key=KEY", nil, 0, "/cleanup", "removed    the sandbox", sign.DrillStatement{Word: "cleaned", Role: "operator", Reason: "looked"}},
		{"cleanup d1 --reason=looked", nil, 0, "/cleanup", "[session alone]: looked", sign.DrillStatement{}},
		{"signoff d1 --reject --reason=slow --role=ciso --key=KEY", nil, 0, "/signoff", "as ciso [signed]: REJECT, too slow", sign.DrillStatement{Word: "signed_off", Verdict: "reject", Role: "ciso", Reason: "slow"}},
		{"signoff d1 --accept-with-deficiencies --reason=slow --role=ciso --key=KEY", nil, 0, "/signoff", "signs      signed off of", sign.DrillStatement{Word: "signed_off", Verdict: "accept_with_deficiencies", Role: "ciso", Reason: "slow"}},
		{"signoff d1 --accept --reason=fine --role=ciso --key=KEY", nil, 0, "/signoff", ": FAILED, ended", sign.DrillStatement{Word: "signed_off", Verdict: "accept", Role: "ciso", Reason: "fine"}},
		{"reported d1 --date=2026-12-01 --minutes=MB4 --role=ciso --key=KEY", nil, 0, "/reported", "on 2026-12-01, minutes MB 4", sign.DrillStatement{Word: "reported", Date: "2026-12-01", Minutes: "MB4", Role: "ciso"}},
		{"ack d1", nil, 0, "/ack", "(olga), after it", sign.DrillStatement{}},
		{"signoff d1 --accept --reason=fine", nil, 2, "", "--role is missing", sign.DrillStatement{}},
		{"cleanup d1 --reason=looked --key=KEY", nil, 2, "", "--role is missing", sign.DrillStatement{}},
		{"signoff d1 --reason=fine --role=ciso", nil, 2, "", "--accept", sign.DrillStatement{}},
		{"signoff d1 --accept --reject --reason=fine --role=ciso", nil, 2, "", "--accept", sign.DrillStatement{}},
		{"reported d1 --date=soon --minutes=MB4 --role=ciso --key=KEY", nil, 1, "", "date: expected a day", sign.DrillStatement{}},
		{"cleanup d1 --reason=looked --role=operator --key=KEY", func(v *admin.DrillView) { v.Ended.Outcome = "passed" }, 1, "", "is not what its log has", sign.DrillStatement{}},
		{"cleanup d1 --reason=looked --role=operator --key=KEY", func(v *admin.DrillView) { v.Ended, v.State = nil, register.Running }, 1, "", "d1 is running", sign.DrillStatement{}},
		{"cleanup d1 --reason=looked --role=operator --key=KEY.none", nil, 1, "", "no such file", sign.DrillStatement{}},
	} {
		t.Run(c.args, func(t *testing.T) {
			d := &endedDoor{change: func(*admin.DrillView) {}}
			if c.change != nil {
				d.change = c.change
			}
			door := httptest.NewServer(d)
			defer door.Close()
			code, out, errs := run(t, append([]string{"drill"}, strings.Fields(strings.ReplaceAll(c.args, "KEY", key)+" --api="+door.URL)...)...)
			if code != c.code || !strings.Contains(out+errs, c.says) || d.path != strings.TrimSuffix(drillPath("d1")+c.path, "/d1") && c.path != "" || c.path == "" && d.path != "" {
				t.Fatalf("exit %d at %q, want %d\n%s%s", code, d.path, c.code, out, errs)
			}
			if c.want.Word == "" {
				if d.said.Signature != nil {
					t.Errorf("signed unasked: %s", d.said.Signature)
				}
				return
			}
			s, err := sign.ParseDrill(d.said.Signature)
			if err != nil {
				t.Fatal(err)
			}
			if err := s.Verify(private.Public().(ed25519.PublicKey)); err != nil {
				t.Error(err)
			}
			w := keyring.DrillWord{Drill: "d1", Word: c.want.Word, Verdict: d.said.Verdict, Date: d.said.Date, Minutes: d.said.Minutes, Role: d.said.Role, Reason: d.said.Reason}
			if err := w.Over(keyring.DrillEnd{Plan: strings.Repeat("5a", 32), Outcome: "failed", Sum: s.Statement.End}, s.Statement); err != nil {
				t.Errorf("said %+v, signed %+v: %v", d.said, s.Statement, err)
			}
			if st := s.Statement; st.Verdict != c.want.Verdict || st.Role != c.want.Role || st.Reason != c.want.Reason || st.Date != c.want.Date || st.Minutes != c.want.Minutes {
				t.Errorf("signed %+v", st)
			}
		})
	}
}
