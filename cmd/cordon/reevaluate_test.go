package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/cordonsip/cordon/audit/rejudge"
)

// Past receipts from a log on disk: what they lack is counted, what is suspended since before them is named, and what nobody signed counts for nothing.
func TestReceiptsAreJudgedAnew(t *testing.T) {
	state, config := reported(t, false)
	ask := []string{"law", "reevaluate", state, "-c", config, "--format", "json"}
	see := func(args ...string) (r rejudge.Report) {
		t.Helper()
		_, out, errs := run(t, append(ask, args...)...)
		if err := json.Unmarshal([]byte(out), &r); err != nil {
			t.Fatalf("%v\n%s%s", err, out, errs)
		}
		return r
	}
	if r := see(); r.Receipts != 2 || r.Judged+r.NotJudged[rejudge.NoTime]+r.NotJudged[rejudge.NoPolicy] != 2 || r.Cover.Size == 0 || r.Cover.Checkpoint == "" || len(r.Changed) != 0 {
		t.Errorf("%+v", r)
	}
	forged := filepath.Join(t.TempDir(), "suspended.jsonl")
	if err := os.WriteFile(forged, []byte(`{"instrument":"2000/518/EC","since":"2020-01-01T00:00:00Z","reason":"x","key_id":"law-1","sig":""}`), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, bad := range [][]string{
		append(ask, "--suspension", forged), {"law", "reevaluate", state, "--suspension", forged}, append(ask, "--known-at", "soon"), append(ask, "--facts", config),
	} {
		if code, _, errs := run(t, bad...); code == 0 || !strings.Contains(errs, "hint:") {
			t.Errorf("%v: exit %d\n%s", bad, code, errs)
		}
	}
}
