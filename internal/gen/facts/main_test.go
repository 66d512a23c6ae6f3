package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const tables = "../../../sovereign/facts"

// The JSON in the binary must be what the YAML says today.
func TestFactsAreUpToDate(t *testing.T) {
	names, err := filepath.Glob(filepath.Join(tables, "*.yaml"))
	if err != nil || len(names) != 2 {
		t.Fatalf("tables %q, %v", names, err)
	}
	for _, name := range names {
		src, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		want, err := convert(src)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		got, err := os.ReadFile(strings.TrimSuffix(name, ".yaml") + ".json")
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(got, want) {
			t.Errorf("%s is newer than its JSON: run `go generate ./sovereign`", name)
		}
	}
}

func TestConvert(t *testing.T) {
	src := `
as_of: 2026-11-21
list:
- {code: 'NO', n: 7, ok: true, none: null, when: 2020-07-16, text: "no"}
regions:
- code: a
- {code: b, as_of: 2026-01-01}
`
	want := `{
 "as_of": "2026-11-21",
 "list": [
  {
   "code": "NO",
   "n": 7,
   "none": null,
   "ok": true,
   "text": "no",
   "when": "2020-07-16"
  }
 ],
 "regions": [
  {
   "as_of": "2026-11-21",
   "code": "a"
  },
  {
   "as_of": "2026-01-01",
   "code": "b"
  }
 ]
}
`
	got, err := convert([]byte(src))
	if err != nil || string(got) != want {
		t.Errorf("%s, %v; want %s", got, err, want)
	}
}

func TestConvertRefuses(t *testing.T) {
	for src, want := range map[string]string{
		"code: NO":         "line 1: code: NO is a truth value to YAML 1.1: put it in quotes",
		"a:\n  country: n": "line 2: country: n is a truth value",
		"parent: off":      "put it in quotes",
		"a: 1.5":           "!!float values have no place",
		"a: &x 1\nb: *x":   "anchors and aliases",
		"true: 1":          "read as !!bool",
		"a: 1\na: 2":       "",
		"":                 "want one document",
		"a: [":             "",
	} {
		got, err := convert([]byte(src))
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %s, %v; want %q", src, got, err, want)
		}
	}
}

func TestRun(t *testing.T) {
	dir := t.TempDir()
	if err := run(dir); err == nil {
		t.Error("an empty folder is no error")
	}
	if err := os.WriteFile(filepath.Join(dir, "x.yaml"), []byte("a: b"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := run(dir); err != nil {
		t.Fatal(err)
	}
	if got, err := os.ReadFile(filepath.Join(dir, "x.json")); err != nil || string(got) != "{\n \"a\": \"b\"\n}\n" {
		t.Errorf("%q, %v", got, err)
	}
	if err := os.WriteFile(filepath.Join(dir, "y.yaml"), []byte("code: NO"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := run(dir); err == nil || !strings.Contains(err.Error(), "y.yaml") {
		t.Errorf("%v does not name the table", err)
	}
}
