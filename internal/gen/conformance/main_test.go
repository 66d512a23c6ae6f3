package main

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func TestClaimsAreReadFromComments(t *testing.T) {
	root := t.TempDir()
	for name, text := range map[string]string{
		"a/x_test.go": "package a\n\n// It holds.\n// Conforms: RFC 3261 section 13.2; RFC 6026\nfunc TestOne(t *T) {}\n\n// Conforms: RFC 3261 section 4.10; RFC 3261 section 4.2\nfunc TestTwo(t *T) {}\n",
		"a/x.go":      "package a\n\n// Conforms: RFC 1\nfunc not() {}\n",
	} {
		path := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := read(root)
	one, two := test{"a", "TestOne"}, test{"a", "TestTwo"}
	if want := []claim{{3261, "4.2", two, ""}, {3261, "4.10", two, ""}, {3261, "13.2", one, ""}, {6026, "", one, ""}}; err != nil || !slices.Equal(got, want) {
		t.Errorf("%v, %v", got, err)
	}
	for text, wrong := range map[string]string{
		"// Conforms: RFC3261\nfunc TestOne(t *T) {}":         "want",
		"// Conforms: RFC 3261 part 3\nfunc TestOne(t *T) {}": "want",
		"// Conforms: RFC 3261\nfunc helps() {}":              "no test",
	} {
		if err := os.WriteFile(filepath.Join(root, "a/x_test.go"), []byte("package a\n\n"+text+"\n"), 0o644); err != nil {
			t.Fatal(err)
		}
		if _, err := read(root); err == nil || !strings.Contains(err.Error(), wrong) {
			t.Errorf("%s: %v", text, err)
		}
	}
}

func TestARowWithoutTestAndReasonIsRefused(t *testing.T) {
	if _, err := write(nil, nil); err == nil || !strings.Contains(err.Error(), "no reason") {
		t.Errorf("%v", err)
	}
}

// The results that a page shows are read back as they were written.
func TestAPageRemembersItsResults(t *testing.T) {
	claims := []claim{{3261, "13.2", test{"sip", "TestOne"}, "it holds"}, {3262, "", test{"internal/interop", "TestTwo"}, ""}}
	for _, r := range checklist {
		for _, rfc := range r.rfcs {
			claims = append(claims, claim{rfc, "1", test{"sip", "TestOne"}, ""})
		}
	}
	results := map[test]string{{"sip", "TestOne"}: passed, {"internal/interop", "TestTwo"}: skipped}
	page, err := write(claims, results)
	if err != nil {
		t.Fatal(err)
	}
	got := remembered(string(page))
	if len(got) != 2 || got[test{"sip", "TestOne"}] != passed || got[test{"internal/interop", "TestTwo"}] != skipped {
		t.Errorf("%v", got)
	}
}

// The page that stands in the repository names every test that says something of an RFC, and none that failed.
func TestThePageIsWhatTheTestsSay(t *testing.T) {
	claims, err := read("../../..")
	if err != nil {
		t.Fatal(err)
	}
	page, err := os.ReadFile("../../../docs/reference/sip-conformance.md")
	if err != nil {
		t.Fatal(err)
	}
	results := remembered(string(page))
	fresh, err := write(claims, results)
	if err != nil {
		t.Fatal(err)
	}
	if string(fresh) != string(page) {
		t.Error("docs/reference/sip-conformance.md is old: make conformance")
	}
	for _, c := range claims {
		if r := results[c.test]; r != passed && (c.test.dir != interopDir || r == failed || r == "") {
			t.Errorf("%s: %q", c.test, r)
		}
	}
}
