package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/cordonsip/cordon/admin"
	"github.com/cordonsip/cordon/sovereign/evidence"
)

func TestEvidenceShowsPlacesAndWhatSpeaksAgainstThem(t *testing.T) {
	flags := answers(t, map[string]any{"places": []admin.Place{
		{Party: "fra", Addr: "192.0.2.1", Region: "aws:eu-central-1", Countries: []string{"DE"}, Standing: "contradicted", Held: true, Words: "declared in DE, but far", Evidence: []evidence.Item{
			{Kind: evidence.RTTBound, Value: "0.3 ms", Result: evidence.Contradicts},
		}},
		{Party: "zrh", Addr: "192.0.2.2", Countries: []string{"CH"}, Standing: "declared", Words: "declared in CH"},
	}})
	code, out, errs := run(t, append([]string{"evidence", "list"}, flags...)...)
	if code != 0 || !strings.Contains(out, "fra  192.0.2.1  aws:eu-central-1 DE  contradicted, held\n  declared in DE, but far\n    rtt_bound  rank 2  contradicts  0.3 ms\n") || !strings.Contains(out, "zrh  192.0.2.2  CH  declared\n") {
		t.Errorf("%d %q %q", code, out, errs)
	}
	if _, out, _ = run(t, append([]string{"evidence", "list", "--against"}, flags...)...); strings.Contains(out, "zrh") || !strings.Contains(out, "fra") {
		t.Errorf("%q", out)
	}
}

func TestEvidenceExportsWhatAnotherNodeReads(t *testing.T) {
	s := evidence.Sight{Node: "edge-1", At: evidence.Spot{Lat: 50, Lon: 8}}
	s.Add(time.Millisecond, time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC))
	var seen evidence.Seen
	if err := json.Unmarshal([]byte(`{"addr":"192.0.2.1"}`), &seen); err != nil {
		t.Fatal(err)
	}
	seen.Sight = s
	file := filepath.Join(t.TempDir(), "a.sights")
	flags := answers(t, map[string]any{"form": evidence.StatementForm, "node": "edge-1", "sights": []evidence.Seen{seen}})
	code, out, errs := run(t, append([]string{"evidence", "export", "--out", file}, flags...)...)
	data, err := os.ReadFile(file)
	if code != 0 || err != nil || !strings.Contains(out, "1 addresses as node edge-1 sees them") {
		t.Fatalf("%d %q %q %v", code, out, errs, err)
	}
	if st, err := evidence.ParseStatement(data); err != nil || len(st.Sights) != 1 {
		t.Errorf("%s: %v", data, err)
	}
	flags = answers(t, map[string]any{"form": evidence.StatementForm, "node": "edge-1", "sights": []evidence.Seen{}})
	if code, _, errs = run(t, append([]string{"evidence", "export"}, flags...)...); code != 1 || !strings.Contains(errs, "node.position") {
		t.Errorf("a node that measured nothing: %d %q", code, errs)
	}
}
