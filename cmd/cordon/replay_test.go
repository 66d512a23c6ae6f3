package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func replayWith(t *testing.T, calls string, args ...string) (out, errs string, code int) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "calls.csv")
	if err := os.WriteFile(file, []byte(calls), 0o600); err != nil {
		t.Fatal(err)
	}
	var o, e bytes.Buffer
	code = realMain(t.Context(), append([]string{"plan", "--replay=" + file, "--config=../../configs/examples/two-groups.yaml"}, args...), streams{&o, &e, strings.NewReader("")})
	return o.String(), e.String(), code
}

const yesterday = `calldate;trunk;src;dst;billsec
2026-11-20 08:00:00;OLD;+4930111222;+4969900100;61
2026-11-20 08:00:01;OLD;+4930111223;+4969900101;7
broken
2026-11-20 08:00:02;nobody;+4930111224;+4969900102;7
`

func TestReplayShowsWhereCallsWouldHaveGone(t *testing.T) {
	where := filepath.Join(t.TempDir(), "where.csv")
	out, errs, code := replayWith(t, yesterday, "--map=OLD=carrier", "--out="+where)
	if code != 0 || !strings.Contains(errs, "skipped line 4: 1 fields, the header has 5") {
		t.Fatalf("%d\n%s\n%s", code, out, errs)
	}
	for _, want := range []string{"3 calls, 1 lines skipped", "CALLS", "no_route"} {
		if !strings.Contains(out, want) {
			t.Errorf("no %q in\n%s", want, out)
		}
	}
	data, err := os.ReadFile(where)
	if err != nil {
		t.Fatal(err)
	}
	text := string(data)
	if strings.Count(text, "\n") != 4 || !strings.Contains(text, "2,2026-11-20T08:00:00Z,carrier,+493xxxxxxx,+496xxxxxxx,") || strings.Contains(text, "111222") {
		t.Error(text)
	}
	if !strings.Contains(text, ",permit,") {
		t.Errorf("no call found a way:\n%s", text)
	}
	if _, _, code := replayWith(t, yesterday, "--numbers", "--out="+where); code != 0 {
		t.Error(code)
	}
	if data, _ = os.ReadFile(where); !strings.Contains(string(data), "+4930111222") {
		t.Errorf("%s", data)
	}
}

func TestReplayGivesUpWhereTheFileIsAnother(t *testing.T) {
	for name, c := range map[string]struct {
		calls string
		args  []string
		want  string
	}{
		"too many bad lines": {yesterday, []string{"--errors=0"}, "more than 0 bad lines"},
		"no origin":          {"called\n1\n", nil, "does not say where calls came from"},
		"no called number":   {"from\n1\n", nil, "no column of called numbers"},
	} {
		if _, errs, code := replayWith(t, c.calls, c.args...); code != 1 || !strings.Contains(errs, c.want) || !strings.Contains(errs, "hint:") {
			t.Errorf("%s: %d %s", name, code, errs)
		}
	}
	if out, _, code := replayWith(t, "called\n+4969900100\n", "--trunk=carrier"); code != 0 || !strings.Contains(out, "1 calls") {
		t.Errorf("%d %s", code, out)
	}
}

func TestSharesAndMomentsAreRead(t *testing.T) {
	for in, want := range map[string]float64{"10%": 0.1, "10 %": 0.1, "0.25": 0.25, "": 0, "100%": 1} {
		if got, err := shareOf(in); err != nil || got != want {
			t.Errorf("%q: %v, %v", in, got, err)
		}
	}
	for _, in := range []string{"x", "101%", "-1%", "2", "NaN"} {
		if _, err := shareOf(in); err == nil {
			t.Errorf("%q was taken", in)
		}
	}
	if u, err := later("2h"); err != nil || time.Until(u) < 119*time.Minute || time.Until(u) > 2*time.Hour {
		t.Error(u, err)
	}
	if u, err := later(""); err != nil || !u.IsZero() {
		t.Error(u, err)
	}
	for _, in := range []string{"-2h", "tomorrow"} {
		if _, err := later(in); err == nil {
			t.Errorf("%q was taken", in)
		}
	}
}
