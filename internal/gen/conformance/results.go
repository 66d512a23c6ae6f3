package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// The results of a test.
const (
	passed  = "pass"
	failed  = "FAIL"
	skipped = "skipped"
	missing = "did not run"
)

const interopDir = "internal/interop"

// results runs the tests of the claims, package by package, and tells how each ended. Tests with real peers are run only when asked; else what the page said of
// them stays.
func results(root string, claims []claim, interop bool, before map[test]string) (map[test]string, error) {
	byDir := map[string][]string{}
	for _, c := range claims {
		if !slices.Contains(byDir[c.test.dir], c.test.name) {
			byDir[c.test.dir] = append(byDir[c.test.dir], c.test.name)
		}
	}
	out := map[test]string{}
	for dir, names := range byDir {
		if dir == interopDir && !interop {
			for _, n := range names {
				out[test{dir, n}] = before[test{dir, n}]
				if out[test{dir, n}] == "" {
					out[test{dir, n}] = "by make interop"
				}
			}
			continue
		}
		got, err := runTests(root, dir, names)
		if err != nil {
			return nil, err
		}
		for _, n := range names {
			if out[test{dir, n}] = got[n]; got[n] == "" {
				out[test{dir, n}] = missing
			}
		}
	}
	return out, nil
}

func runTests(root, dir string, names []string) (map[string]string, error) {
	args := []string{"test", "-json", "-count=1", "-timeout", "20m", "-run", "^(" + strings.Join(names, "|") + ")$"}
	if dir == interopDir {
		args = append(args, "-tags", "interop")
	}
	cmd := exec.Command("go", append(args, "./"+dir)...)
	cmd.Dir = root
	cmd.Env = os.Environ()
	if bin, err := filepath.Abs(filepath.Join(root, "bin", "cordon")); err == nil && dir == interopDir {
		cmd.Env = append(cmd.Env, "CORDON_BIN="+bin)
	}
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	b, runErr := cmd.Output()
	got := map[string]string{}
	for dec := json.NewDecoder(bytes.NewReader(b)); dec.More(); {
		var e struct{ Action, Test string }
		if err := dec.Decode(&e); err != nil {
			return nil, fmt.Errorf("conformance: go test %s: %w\n%s", dir, err, stderr.String())
		}
		switch e.Action {
		case "pass":
			got[e.Test] = passed
		case "fail":
			got[e.Test] = failed
		case "skip":
			got[e.Test] = skipped
		}
	}
	if len(got) == 0 && runErr != nil {
		return nil, fmt.Errorf("conformance: go test %s: %w\n%s", dir, runErr, stderr.String())
	}
	return got, nil
}

var row = regexp.MustCompile("^\\| [^|]* \\| `([A-Za-z0-9_]+)` \\| ([a-z./]+) \\| ([^|]+) \\| [^|]*\\|$")

// remembered reads the results off a page that was written before.
func remembered(page string) map[test]string {
	out := map[test]string{}
	for line := range strings.SplitSeq(page, "\n") {
		if m := row.FindStringSubmatch(line); m != nil {
			out[test{m[2], m[1]}] = strings.TrimSpace(m[3])
		}
	}
	return out
}
