package main

import (
	"cmp"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// test is one test function: its package's folder inside the module, and its name.
type test struct{ dir, name string }

func (t test) String() string { return t.dir + " " + t.name }

// claim is one section of one RFC that a test shows.
type claim struct {
	rfc     int
	section string // "13.2.2.4", "" for the whole
	test    test
	words   string // what of it, where the test says so
}

var (
	mark = "Conforms:"
	one  = regexp.MustCompile(`^RFC (\d{3,5})(?: sections? ([0-9A-Z][0-9A-Za-z.]*))?$`)
)

// read collects the claims of every test file under root, sorted by RFC, section and test.
func read(root string) ([]claim, error) {
	var out []claim
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && path != root && (strings.HasPrefix(d.Name(), ".") || d.Name() == "testdata"):
			return filepath.SkipDir
		case d.IsDir() || !strings.HasSuffix(path, "_test.go"):
			return nil
		}
		dir, err := filepath.Rel(root, filepath.Dir(path))
		if err != nil {
			return err
		}
		claims, err := readFile(path, filepath.ToSlash(dir))
		out = append(out, claims...)
		return err
	})
	slices.SortFunc(out, func(a, b claim) int {
		return cmp.Or(cmp.Compare(a.rfc, b.rfc), bySection(a.section, b.section), cmp.Compare(a.test.String(), b.test.String()), cmp.Compare(a.words, b.words))
	})
	return slices.Compact(out), err
}

func readFile(path, dir string) ([]claim, error) {
	file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.ParseComments|parser.SkipObjectResolution)
	if err != nil {
		return nil, err
	}
	var out []claim
	for _, d := range file.Decls {
		f, ok := d.(*ast.FuncDecl)
		if !ok || f.Doc == nil || f.Recv != nil {
			continue
		}
		for line := range strings.SplitSeq(f.Doc.Text(), "\n") {
			rest, ok := strings.CutPrefix(line, mark)
			if !ok {
				continue
			}
			if !strings.HasPrefix(f.Name.Name, "Test") && !strings.HasPrefix(f.Name.Name, "Fuzz") {
				return nil, fmt.Errorf("%s: %s conforms to something and is no test", path, f.Name.Name)
			}
			claims, err := parse(rest, test{dir, f.Name.Name})
			if err != nil {
				return nil, fmt.Errorf("%s: %s: %w", path, f.Name.Name, err)
			}
			out = append(out, claims...)
		}
	}
	return out, nil
}

// parse reads "RFC 3262 section 3; RFC 3264 section 5", and words behind a last semicolon.
func parse(s string, t test) ([]claim, error) {
	var out []claim
	for part := range strings.SplitSeq(s, ";") {
		part = strings.Trim(part, " .")
		m := one.FindStringSubmatch(part)
		if m == nil && len(out) > 0 && !strings.HasPrefix(part, "RFC") {
			for i := range out {
				out[i].words = strings.TrimPrefix(out[i].words+"; "+part, "; ")
			}
			continue
		}
		if m == nil {
			return nil, fmt.Errorf("%q: want \"RFC 3262 section 3\", several apart by semicolons", part)
		}
		n, err := strconv.Atoi(m[1])
		if err != nil {
			return nil, err
		}
		out = append(out, claim{rfc: n, section: m[2], test: t})
	}
	return out, nil
}

// bySection orders 4.2 before 4.10.
func bySection(a, b string) int {
	x, y := strings.Split(a, "."), strings.Split(b, ".")
	for i := range min(len(x), len(y)) {
		m, err1 := strconv.Atoi(x[i])
		n, err2 := strconv.Atoi(y[i])
		c := cmp.Compare(m, n)
		if err1 != nil || err2 != nil {
			c = cmp.Compare(x[i], y[i])
		}
		if c != 0 {
			return c
		}
	}
	return cmp.Compare(len(x), len(y))
}
