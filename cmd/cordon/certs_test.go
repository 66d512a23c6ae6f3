package main

import (
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/cordonsip/cordon/admin"
	"github.com/cordonsip/cordon/certs"
)

// columns splits a table as it is printed.
func columns(line string) []string { return regexp.MustCompile(` {2,}`).Split(line, -1) }

func TestCertsPrintsTheRegister(t *testing.T) {
	day := 24 * time.Hour
	soon, later := time.Now().Add(3*day+time.Hour).UTC(), time.Now().Add(400*day+time.Hour).UTC()
	flags := answers(t, map[string]any{"certificates": []certs.Certificate{
		{Fingerprint: "0123456789abcdef0123", Role: certs.Own, Leaf: true, Uses: []string{"api", "listeners[0]"}, Subject: "CN=edge", Issuer: "CN=CA 1", Names: []string{"edge.example", "sbc.example"}, NotAfter: soon},
		{Fingerprint: "11", Role: certs.Peer, Uses: []string{"carrier 192.0.2.7"}, Subject: "CN=CA 2", NotAfter: later},
		{Fingerprint: "22", Role: certs.Root, Uses: []string{"carrier"}, Subject: "CN=root", Issuer: "CN=root", NotAfter: later},
	}})
	code, out, errs := run(t, append([]string{"certs"}, flags...)...)
	lines := strings.Split(strings.TrimSpace(out), "\n")
	if code != 0 || len(lines) != 4 {
		t.Fatalf("exit %d\n%s%s", code, out, errs)
	}
	for i, want := range []string{
		"DAYS|ENDS|ROLE|USED BY|NAMES|ISSUER|SHA-256",
		"3|" + soon.Format(time.DateOnly) + "|own|api, listeners[0]|edge.example sbc.example|CN=CA 1|0123456789abcdef",
		"400|" + later.Format(time.DateOnly) + "|peer chain|carrier 192.0.2.7|CN=CA 2|-|11",
		"400|" + later.Format(time.DateOnly) + "|root|carrier|CN=root|CN=root|22",
	} {
		if got := strings.Join(columns(lines[i]), "|"); got != want {
			t.Errorf("line %d: %s\nwant    %s", i, got, want)
		}
	}
	if _, out, _ = run(t, append([]string{"certs", "--within", "30"}, flags...)...); strings.Count(out, "\n") != 2 || !strings.Contains(out, "edge.example") {
		t.Errorf("within 30 days:\n%s", out)
	}
}

func TestStatusShowsRegistrations(t *testing.T) {
	since, until := time.Now().Add(-time.Minute), time.Now().Add(time.Hour)
	flags := answers(t, admin.Overview{Registrations: []admin.Registration{
		{Party: "carrier", Target: "carrier/m1/udp/192.0.2.1:5060", State: "registered", Since: since, Until: &until},
		{Party: "carrier", Target: "carrier/m2/udp/192.0.2.2:5060", State: "failed", Since: since, Why: "no answer\nto REGISTER"},
	}})
	code, out, errs := run(t, append([]string{"status"}, flags...)...)
	_, table, found := strings.Cut(out, "\nREGISTRATION")
	lines := strings.Split(table, "\n")
	if code != 0 || !found || len(lines) < 3 {
		t.Fatalf("exit %d\n%s%s", code, out, errs)
	}
	for i, want := range []string{
		"|STATE|SINCE|UNTIL|WHY",
		"carrier/m1/udp/192.0.2.1:5060|registered|" + clock(since) + "|" + clock(until) + "|",
		"carrier/m2/udp/192.0.2.2:5060|failed|" + clock(since) + "|-|no answer to REGISTER",
	} {
		if got := strings.Join(columns(lines[i]), "|"); got != want {
			t.Errorf("line %d: %s\nwant    %s", i, got, want)
		}
	}
	if _, out, _ = run(t, append([]string{"status"}, answers(t, admin.Overview{})...)...); strings.Contains(out, "REGISTRATION") {
		t.Errorf("a node that registers nowhere prints:\n%s", out)
	}
}
