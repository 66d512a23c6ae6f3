package main

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/cordonsip/cordon/admin"
)

// What a suspension would do, by a configuration alone.
func TestWhatIfOfAFile(t *testing.T) {
	const file = "../../configs/examples/two-groups.yaml"
	ask := []string{"law", "what-if", "2000/518/EC", "-c", file, "--at", "2026-11-21"}
	code, out, errs := run(t, ask...)
	for _, want := range []string{"party      zrh", "loses zrh", "law.in_force", "not known"} {
		if code != 0 || !strings.Contains(out, want) {
			t.Errorf("exit %d, no %q in\n%s%s", code, want, out, errs)
		}
	}
	code, out, errs = run(t, append(ask, "--json", "--since", "2026-12-01")...)
	var v admin.WhatIf
	if err := json.Unmarshal([]byte(out), &v); code != 0 || err != nil || len(v.Parties) != 1 || v.From.Month() != 12 || v.Node {
		t.Errorf("exit %d, %v: %+v\n%s", code, err, v, errs)
	}
	if code, out, _ := run(t, "law", "what-if", "(EU) 2019/419", "-c", file); code != 0 || !strings.Contains(out, "nothing here rests on it") {
		t.Errorf("exit %d\n%s", code, out)
	}
	for _, bad := range [][]string{{"law", "what-if", "2000/518", "-c", file}, {"law", "what-if", "2000/518/EC", "-c", file, "--since", "soon"}} {
		if code, _, errs := run(t, bad...); code != 1 || !strings.Contains(errs, "hint:") {
			t.Errorf("%v: exit %d\n%s", bad, code, errs)
		}
	}
}
