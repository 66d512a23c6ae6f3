package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"runtime/debug"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/cordonsip/cordon/admin"
	"github.com/cordonsip/cordon/approval"
	"github.com/cordonsip/cordon/audit"
	"github.com/cordonsip/cordon/internal/demo"
	"github.com/cordonsip/cordon/routing"
)

// drainsForever makes this test binary a process that waits for its first signal and then never ends by itself.
const drainsForever = "CORDON_TEST_DRAINS_FOREVER"

func TestMain(m *testing.M) {
	if os.Getenv(tellsSlack) != "" {
		tellSlack()
		return
	}
	if os.Getenv(drainsForever) == "" {
		os.Exit(m.Run())
	}
	ctx, stop := untilSignal(context.Background())
	defer stop()
	os.Stdout.WriteString("up\n")
	<-ctx.Done()
	os.Stdout.WriteString("draining\n")
	<-time.After(time.Minute)
}

func TestTheSecondSignalEndsAtOnce(t *testing.T) {
	for _, sig := range []syscall.Signal{syscall.SIGTERM, syscall.SIGINT} {
		c := exec.CommandContext(t.Context(), os.Args[0])
		c.Env = append(os.Environ(), drainsForever+"=1")
		out, err := c.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := c.Start(); err != nil {
			t.Fatal(err)
		}
		lines := bufio.NewScanner(out)
		for _, want := range []string{"up", "draining"} {
			if !lines.Scan() || lines.Text() != want {
				t.Fatalf("%s: %q instead of %q", sig, lines.Text(), want)
			}
			if err := c.Process.Signal(sig); err != nil {
				t.Fatal(err)
			}
		}
		var exit *exec.ExitError
		if err := c.Wait(); !errors.As(err, &exit) || exit.Sys().(syscall.WaitStatus).Signal() != sig {
			t.Errorf("%s: %v", sig, err)
		}
	}
}

// answers is an interface that gives v to everybody, and the flags that reach it.
func answers(t *testing.T, v any) []string {
	t.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if err := json.NewEncoder(w).Encode(v); err != nil {
			t.Error(err)
		}
	}))
	t.Cleanup(s.Close)
	t.Setenv("CORDON_TOKEN", "t")
	return []string{"--api", s.URL}
}

func TestStatusSaysWhatWasDone(t *testing.T) {
	long := "down because " + strings.Repeat("ä", 300) + " end"
	flags := answers(t, admin.Overview{
		Document: admin.StatusDocument{Status: "HELD", Why: long}, Policy: admin.PolicyView{Allow: []string{}},
		Routes:  []routing.ActiveRoute{{Route: "in", Active: "zrh", Reason: routing.ReasonAutoFailover, Why: long, Held: "T1"}},
		Recent:  []admin.FailoverView{{Seq: 7, What: audit.KindFailoverApplied, Failover: audit.Failover{Route: "in", From: "fra", To: "zrh", Why: "two\nlines", Ticket: "T9"}}},
		Targets: []admin.TargetView{{ID: "fra/m1", Why: long}},
	})
	code, out, errs := run(t, append([]string{"status"}, flags...)...)
	if code != 0 {
		t.Fatalf("exit %d\n%s", code, errs)
	}
	for _, want := range []string{"allowed home alone,", "auto_failover", "[held at the gate: T1]", "failover.applied", "two lines [ticket T9] (log entry 7)"} {
		if !strings.Contains(out, want) {
			t.Errorf("%q is missing:\n%s", want, out)
		}
	}
	if strings.Contains(out, " end") || strings.Count(out, "…") != 3 || !strings.Contains(out, "HELD: "+long[:len("down because ")]+strings.Repeat("ä", 146)+"…\n") {
		t.Errorf("a long reason is not cut to %d runes:\n%s", reasonRunes, out)
	}
	if _, out, _ = run(t, append([]string{"status", "--long"}, flags...)...); strings.Count(out, " end") != 3 || strings.Contains(out, "…") {
		t.Errorf("--long cuts:\n%s", out)
	}
}

func TestTicketsAreShownWithNames(t *testing.T) {
	flags := answers(t, admin.TicketView{
		Ticket: approval.Ticket{ID: "T1", RequestedBy: "rule:in", Decisions: []approval.Decision{{Person: "p-1", Role: "ciso"}, {Person: "p-2", Role: "x"}}, Opinions: []approval.Opinion{{Person: "p-3"}}},
		People: map[string]string{"p-1": "anna", "p-3": "clara"},
	})
	code, out, errs := run(t, append([]string{"gate", "show", "T1"}, flags...)...)
	for _, want := range []string{"by rule:in:", "by p-1 (anna) as ciso", "by p-2 as x", "by p-3 (clara):"} {
		if code != 0 || !strings.Contains(out, want) {
			t.Errorf("%q is missing: exit %d\n%s%s", want, code, out, errs)
		}
	}
}

func TestATokenGoesInClearToLoopbackAlone(t *testing.T) {
	t.Setenv("CORDON_TOKEN", "t")
	for _, url := range []string{"http://192.0.2.1:8480", "http://edge.bank.example", "http://[2001:db8::1]:8480", "http://127.0.0.1.bank.example", "edge:8480", "ftp://127.0.0.1"} {
		if code, _, errs := run(t, "status", "--api", url); code != 1 || !strings.Contains(errs, "plain HTTP") {
			t.Errorf("%s: exit %d: %s", url, code, errs)
		}
	}
	for _, url := range []string{"https://edge.bank.example", "http://127.0.0.1:1", "http://127.9.9.9", "http://[::1]:8480", "http://localhost:8480", "http://[::ffff:127.0.0.1]"} {
		if err := (api{API: url}).sealed(); err != nil {
			t.Errorf("%s: %v", url, err)
		}
	}
	for addr, want := range map[string]bool{"127.0.0.1:80": true, "[::1]:80": true, "192.0.2.1:80": false, "[2001:db8::1]:80": false, "x": false} {
		if err := loopbackAlone("tcp", addr, nil); (err == nil) != want {
			t.Errorf("%s: %v", addr, err)
		}
	}
}

func TestTheStorySuspendsWithTheCommandsCode(t *testing.T) {
	dir := t.TempDir()
	strike := demo.Strike{Instrument: "2000/518/EC", Reason: "rehearsal", File: filepath.Join(dir, "s.jsonl"), Key: filepath.Join(dir, "law.key"), KeyID: "law-1"}
	if err := suspender(streams{})(strike); err == nil {
		t.Error("without a key")
	}
	if code, _, errs := run(t, "law", "key", strike.Key); code != 0 {
		t.Fatal(errs)
	}
	if err := os.WriteFile(strike.File, []byte("# by hand"), 0o600); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := suspender(streams{})(strike); err != nil {
			t.Fatal(err)
		}
	}
	text, err := os.ReadFile(strike.File)
	if err != nil || strings.Count(string(text), "2000/518/EC") != 2 || strings.Count(string(text), "\n") != 3 || !strings.HasPrefix(string(text), "# by hand\n{") {
		t.Errorf("%s %v", text, err)
	}
}

func TestTheVersionNamesTheCommit(t *testing.T) {
	vcs := []debug.BuildSetting{{Key: "vcs.revision", Value: "0123456789abcdef"}}
	for _, c := range []struct{ module, commit, want string }{
		{"", "", "devel+0123456789ab"},
		{"(devel)", "abc", "devel+abc"},
		{"v1.2.3", "", "v1.2.3"},
		{"v1.2.3", "abc", "v1.2.3+abc"},
		{"v1.2.3+dirty", "abc-dirty", "v1.2.3+abc-dirty"},
	} {
		if got := versionOf(&debug.BuildInfo{Main: debug.Module{Version: c.module}, Settings: vcs}, c.commit); got != c.want {
			t.Errorf("%q, %q: %s", c.module, c.commit, got)
		}
	}
	if got := versionOf(&debug.BuildInfo{}, ""); got != "devel" {
		t.Error(got)
	}
}
