package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// An incident by the command line alone, from its opening to its end.
func TestAnIncidentByCommands(t *testing.T) {
	dir, to, stop := startNode(t)
	defer stop()
	id := ""
	do := func(want int, words []string, args ...string) string {
		t.Helper()
		code, out, errs := run(t, append(args, to...)...)
		if code != want {
			t.Fatalf("%v: exit %d\n%s%s", args, code, out, errs)
		}
		for _, w := range words {
			if !strings.Contains(out+errs, w) {
				t.Errorf("%v: no word of %q in\n%s%s", args, w, out, errs)
			}
		}
		return out
	}
	do(0, []string{"no incident is open"}, "incident", "list")
	do(1, []string{"is no moment", "hint: write"}, "incident", "open", "--title=x", "--since=yesterday")
	out := do(0, []string{"lasts, not classified", "Callers hear nothing", "clock classify: "}, "incident", "open", "--title=Callers hear nothing", "--since=2020-01-01T08:00:00Z")
	id, _, _ = strings.Cut(out, " ")
	do(0, []string{id, "by_hand", "next limit: classify of " + id}, "incident", "list")
	do(0, []string{"incident " + id, "next limit classify of " + id}, "status")
	do(1, []string{"not classified", "hint: cordon incident classify"}, "incident", "close", id, "--reason=x")
	do(2, nil, "incident", "classify", id, "--reason=x")
	do(1, []string{"is no criterion", "geographical_spread"}, "incident", "classify", id, "--major", "--reason=x", "--criterion=bad")
	do(0, []string{"MAJOR", "clock initial: "}, "incident", "classify", id, "--major", "--reason=critical services", "--criterion=geographical_spread")
	do(1, []string{"hint: --note"}, "incident", "update", id)
	do(0, []string{"the carrier works on it"}, "incident", "update", id, "--note=the carrier works on it")
	do(0, []string{"clock gdpr_33: "}, "incident", "update", id, "--breach-known")
	do(1, []string{"a breach that is not notified needs a reason", "hint: say why"}, "incident", "breach", id, "--risk=unlikely")
	do(0, []string{"risk high: bank data", "clock gdpr_33: "}, "incident", "breach", id, "--facts=calls were heard", "--subjects=40", "--category=customers", "--risk=high", "--because=bank data")
	file := filepath.Join(dir, "initial.html")
	do(0, []string{"a draft, SHA-256 "}, "incident", "report", id, "--format=html", "--out="+file)
	if page, err := os.ReadFile(file); err != nil || !strings.Contains(string(page), "<!doctype html>") {
		t.Errorf("%v", err)
	}
	do(1, []string{"exist"}, "incident", "report", id, "--format=html", "--out="+file)
	do(0, []string{"%PDF-1.7", "startxref"}, "incident", "report", id, "--format=pdf")
	do(0, []string{`"incidentSubmission": "initial_notification"`}, "incident", "report", id, "--format=ir")
	do(0, []string{"submitted initial", "reference 4711", "clock intermediate: "}, "incident", "submitted", id, "--clock=initial", "--reference=4711", "--document="+file)
	do(0, []string{"Downtime of critical services", "indication: ", "gdpr_33", "running"}, "incident", "show", id)
	do(0, []string{"over, MAJOR"}, "incident", "update", id, "--recovered")
	do(0, []string{"closed, MAJOR"}, "incident", "close", id, "--reason=the carrier is back")
	do(0, []string{"no incident is open", "next limit: "}, "incident", "list")
	do(0, []string{id}, "incident", "list", "--all")
	do(1, []string{"unknown incident"}, "incident", "show", "INC-0")
}
