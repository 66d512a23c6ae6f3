package main

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/cordonsip/cordon/audit"
	"github.com/cordonsip/cordon/drill/report"
)

// drilled is a log with one drill in it, of this outcome, whose play stands in the log of this name and checkpoint.
func drilled(t *testing.T, outcome, log, sealed string) (state string) {
	t.Helper()
	began := time.Now()
	plan := audit.DrillPlan{Drill: "D1", Scenario: "region-loss", Version: 1, Digest: strings.Repeat("ab", 32), Title: "A region is gone", Mode: "production_window", Cast: map[string]string{"secondary": "second"}}
	state, _ = logged(
		t, audit.NodeStarted{Name: "Example Bank AG"}, audit.DrillRequested{DrillPlan: plan, Tester: "p-bob"}, audit.DrillStarted{DrillPlan: plan, Tester: "p-bob"},
		audit.Receipt{CallRef: "1", Purpose: "drill", Overall: "compliant", TInvite: began}, audit.Receipt{CallRef: "2", Purpose: "production", Overall: "compliant", TInvite: began},
		audit.DrillEnded{Drill: "D1", Outcome: outcome, Start: began, End: began.Add(time.Minute), Restored: began.Add(time.Minute), Log: log, Checkpoint: sealed, First: 1, Last: 3, Measured: json.RawMessage(`{"rto_measured_s":2.5,"calls_placed":1}`)},
		audit.NodeStopped{},
	)
	return state
}

// TestReportOfADrill makes a report and then checks it as its page says: its checkpoint, and a proof of each receipt.
func TestReportOfADrill(t *testing.T) {
	state, box := drilled(t, "passed", "", ""), t.TempDir()
	at := func(name string) string { return filepath.Join(box, name) }
	says := func(code int, what string, args ...string) {
		t.Helper()
		if got, out, errs := run(t, args...); got != code || !strings.Contains(out+errs, what) {
			t.Errorf("%v: exit %d, want %d and %q\n%s%s", args, got, code, what, out, errs)
		}
	}
	says(0, "Passed.", "report", "drill", state, "--drill=D1")
	says(0, "", "report", "drill", state, "--drill=D1", "--format=json", "--out="+at("report.json"))
	var r report.Report
	if err := json.Unmarshal(get(t, at("report.json")), &r); err != nil {
		t.Fatal(err)
	}
	list := strings.Join(r.Receipts, "\n") + "\n"
	put(t, at("drill.checkpoint"), []byte(r.Log.Checkpoint))
	put(t, at("sample.txt"), []byte(list))
	sum := sha256.Sum256([]byte(list))
	if last := r.Artefacts[len(r.Artefacts)-1]; len(r.Receipts) != 2 || string(last.SHA256) != hex.EncodeToString(sum[:]) {
		t.Errorf("receipts %v, digest %s", r.Receipts, last.SHA256)
	}
	key := "--key=" + filepath.Join(state, "log.vkey")
	says(0, "holds", "verify", state, key, "--from="+at("drill.checkpoint"))
	says(0, "2", "export", "proofs", state, key, "--list="+at("sample.txt"), "--out="+at("receipts.proofs"))
	says(0, "2", "verify", "--proofs", at("receipts.proofs"), key)
	says(1, "its newest is D1", "report", "drill", state, "--drill=D2")
	says(2, "has no log of its own", "report", "drill", state, "--drill=D1", "--play="+state)
	says(notHeld, "not_restored", "report", "drill", drilled(t, "not_restored", "", ""), "--drill=D1", "--format=html", "--out="+at("drill.html"))
	if page := string(get(t, at("drill.html"))); !strings.Contains(page, "NOT RESTORED.") {
		t.Error("the page does not say that not everything was restored")
	}
	own, _ := callLog(t, 2, "cordon/sandbox", 5)
	other, _ := callLog(t, 3, "cordon/sandbox", 5)
	sandbox := drilled(t, "passed", "sandbox", string(get(t, filepath.Join(own, "log", "checkpoint"))))
	says(0, "No receipts of the play were read.", "report", "drill", sandbox, "--drill=D1")
	says(notHeld, "not the one that drill D1 was played in", "report", "drill", sandbox, "--drill=D1", "--play="+other)
	says(0, "3 ids, one on a line", "report", "drill", sandbox, "--drill=D1", "--play="+own)
}
