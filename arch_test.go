package cordon_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/cordonsip/cordon"

// ours says which of our rooms a room may import. docs/house.md is its twin: change both together, with the reason.
var ours = map[string][]string{
	"sovereign":          {"internal/jcs", "internal/octets"},
	"sovereign/evidence": {},

	"sovereign/evidence/mmdb": {"sovereign/evidence"},
	"sovereign/evidence/rpki": {},

	"audit":               {"audit/proof", "audit/retain"},
	"audit/retain":        {},
	"audit/proof":         {},
	"audit/witness":       {"audit/proof"},
	"audit/witness/door":  {"audit/proof", "audit/witness"},
	"audit/report":        {"audit", "internal/page"},
	"audit/rejudge":       {"audit", "audit/report", "sovereign", "internal/page"},
	"audit/worm":          {"audit", "audit/proof", "audit/worm/s3"},
	"audit/worm/s3":       {},
	"incident":            {"audit", "audit/report", "notify", "state"},
	"incident/form":       {"incident", "internal/page"},
	"review":              {"approval/charter", "approval/sign", "audit", "internal/jcs"},
	"certs":               {},
	"drill/scenario":      {"internal/strict"},
	"drill":               {"drill/measure", "drill/scenario"},
	"drill/board":         {"drill/scenario", "internal/impair"},
	"drill/measure":       {"drill/scenario"},
	"drill/observe":       {"approval", "audit", "drill/measure", "drill/scenario"},
	"drill/register":      {"audit", "internal/jcs"},
	"drill/stage":         {"configs", "internal/carrier", "internal/nameserver", "sovereign"},
	"drill/report":        {"approval/keyring", "approval/sign", "audit", "audit/report", "drill/measure", "drill/scenario", "internal/page"},
	"configs/drills":      {},
	"state":               {},
	"state/book":          {},
	"healthcheck/resolve": {"sovereign", "internal/impair"},
	"inventory":           {"sovereign", "sovereign/evidence"},
	"healthcheck":         {"healthcheck/resolve", "sovereign"},
	"media":               {"media/clip", "media/dtls", "media/ice", "media/plane", "media/quality", "media/srtp", "sovereign", "internal/impair"},
	"media/plane":         {"media/ice", "media/quality", "media/srtp", "sovereign", "internal/osnet", "internal/tlv"},
	"media/quality":       {},
	"media/clip":          {},
	"media/srtp":          {},
	"media/link":          {"media/plane", "media/srtp", "sovereign", "internal/osnet"},
	"media/ice":           {},
	"media/dtls":          {"media/srtp"},
	"approval":            {"approval/sign", "audit", "internal/jcs"},
	"approval/gate":       {"approval", "approval/charter", "approval/keyring", "approval/sign", "audit", "state"},
	"approval/keyring":    {"approval", "approval/sign", "audit", "internal/jcs"},
	"approval/sign":       {"internal/jcs"},
	"approval/charter":    {"approval", "sovereign", "internal/jcs"},
	"routing":             {"approval", "audit", "healthcheck", "routing/desk", "routing/numbers", "sovereign"},
	"routing/numbers":     {},
	"routing/desk":        {"audit"},
	"sip":                 {"audit", "healthcheck", "media", "routing", "sovereign", "sip/transport", "sip/transaction", "sip/dialog", "sip/digest", "sip/header", "sip/overload", "sip/registration", "sip/trace", "internal/impair", "internal/tlv"},
	"sip/overload":        {},
	"sip/transport":       {"sovereign"},
	"sip/transaction":     {"sip/transport", "sip/header", "sovereign", "internal/impair"},
	"sip/header":          {},
	"sip/dialog":          {"sip/transport", "sip/transaction", "internal/tlv"},
	"sip/digest":          {"sip/header"},
	"sip/registration":    {},
	"sip/trace":           {},
	"notify":              {"audit", "sovereign", "state", "internal/impair"},
	"notify/spans":        {"audit", "notify", "sovereign", "state"},
	"notify/cosign":       {"audit", "audit/proof", "notify", "sovereign"},
	"admin":               {"approval", "approval/charter", "approval/keyring", "audit", "audit/report", "audit/retain", "drill/register", "healthcheck", "incident", "incident/form", "inventory", "review", "routing", "routing/desk", "sovereign", "sovereign/evidence", "certs", "sip/trace"},
	"drill/guard":         {"drill/scenario", "internal/strict"},
	"configs":             {"configs/drills", "drill/guard", "drill/register", "drill/scenario", "approval", "approval/charter", "approval/sign", "audit/proof", "audit/retain", "audit/report", "audit/worm", "healthcheck", "incident", "incident/form", "inventory", "media", "media/clip", "notify", "review", "routing", "sip", "sip/transport", "sip/header", "sip/digest", "sovereign", "sovereign/evidence", "sovereign/evidence/mmdb", "sovereign/evidence/rpki", "internal/jcs", "internal/strict", "routing/numbers"},
	"internal/background": {},
	"internal/bucket":     {},
	"internal/impair":     {},
	"internal/jcs":        {},
	"internal/octets":     {},
	"internal/strict":     {},
	"internal/tlv":        {},
	"internal/cdr":        {},
	"internal/ng":         {},
	"internal/osnet":      {"sovereign"},
	"internal/page":       {"internal/page/pdf"},
	"internal/page/pdf":   {},
	"internal/vnet":       {"sovereign"},
	"internal/carrier":    {"sovereign"},
	"internal/nameserver": {"sovereign"},
	"internal/browser":    {"media/dtls", "media/ice", "media/srtp", "sovereign"},
}

// free rooms may see everything of ours: the hall, the command, and the workshop's programs.
var free = []string{"", "cmd/", "internal/gen/", "internal/demo", "bench"}

// owners says which rooms may import a foreign module directly.
var owners = map[string][]string{
	"github.com/emiago/sipgo":              {"sip", "sip/transport", "sip/transaction", "sip/dialog", "internal/carrier", "bench/"},
	"github.com/pion/":                     {"media", "media/plane", "internal/carrier", "bench/"},
	"github.com/pion/dtls":                 {"media/dtls"},
	"github.com/pion/logging":              {"media/dtls"},
	"github.com/miekg/dns":                 {"healthcheck/resolve", "internal/nameserver"},
	"github.com/nats-io/":                  {"state"},
	"github.com/transparency-dev/":         {"audit", "audit/proof"},
	"golang.org/x/mod":                     {"audit", "audit/proof"},
	"go.yaml.in/yaml":                      {"configs", "internal/gen/", "internal/strict"},
	"github.com/oschwald/maxminddb-golang": {"sovereign/evidence/mmdb"},
	"github.com/invopop/jsonschema":        {"internal/gen/"},
	"github.com/alecthomas/kong":           {"cmd/cordon"},
	"golang.org/x/net":                     {"sip/transport"},
	"golang.org/x/sys":                     {"internal/osnet", "bench/"},
	"golang.org/x/image":                   {"internal/page/pdf"},

	"github.com/prometheus/client_golang/prometheus/promhttp": {"admin"},
	"github.com/prometheus/client_golang/prometheus":          {"*"},
	"k8s.io/klog": {"audit"},
}

// pure rooms may not touch files, processes, the web or chance.
var pure = map[string][]string{
	"sovereign/evidence/mmdb": {"os", "os/exec", "net", "net/http", "math/rand", "math/rand/v2", "crypto/rand"},
	"sovereign/evidence/rpki": {"os", "os/exec", "net", "net/http", "math/rand", "math/rand/v2", "crypto/rand"},

	"sovereign":          {"os", "os/exec", "net/http", "math/rand", "math/rand/v2", "crypto/rand"},
	"sovereign/evidence": {"os", "os/exec", "net", "net/http", "math/rand", "math/rand/v2", "crypto/rand"},
	"internal/jcs":       {"os", "net"},
	"approval":           {"os", "os/exec", "net", "net/http", "math/rand", "math/rand/v2", "crypto/rand"},
	"approval/keyring":   {"os", "os/exec", "net", "net/http", "math/rand", "math/rand/v2", "crypto/rand"},
	"approval/sign":      {"os", "net", "net/http", "math/rand", "math/rand/v2", "crypto/rand"},
	"internal/octets":    {"os", "net"},
	"internal/strict":    {"os", "net"},
	"drill/scenario":     {"os", "net", "math/rand", "math/rand/v2", "crypto/rand"},
	"drill/board":        {"os", "net", "math/rand", "math/rand/v2", "crypto/rand"},
	"drill/measure":      {"os", "net", "math/rand", "math/rand/v2", "crypto/rand"},
	"internal/impair":    {"os", "net", "math/rand", "math/rand/v2", "crypto/rand"},
	"drill/observe":      {"os", "net", "net/http", "math/rand", "math/rand/v2", "crypto/rand"},
	"drill/guard":        {"os", "net", "net/http", "math/rand", "math/rand/v2", "crypto/rand"},
	"drill/register":     {"os", "net", "net/http", "math/rand", "math/rand/v2", "crypto/rand"},
	"drill/report":       {"os", "net", "math/rand", "math/rand/v2", "crypto/rand"},
	"incident/form":      {"os", "net", "net/http", "crypto/rand"},
	"internal/tlv":       {"os", "net"},
	"internal/page":      {"os", "net", "net/http", "math/rand", "math/rand/v2", "crypto/rand"},
	"internal/page/pdf":  {"os", "net", "net/http", "math/rand", "math/rand/v2", "crypto/rand"},
	"media/quality":      {"os", "net", "math/rand", "math/rand/v2", "crypto/rand"},
	"review":             {"os", "net", "net/http", "math/rand", "math/rand/v2", "crypto/rand"},
	"media/clip":         {"os", "net", "math/rand", "math/rand/v2", "crypto/rand"},
}

type pkg struct {
	ImportPath, Dir string
	Imports         []string
	GoFiles         []string
	Standard        bool
}

func packages(t *testing.T) []pkg {
	t.Helper()
	out, err := exec.Command("go", "list", "-pgo=off", "-json=ImportPath,Dir,Imports,GoFiles,Standard", "./...").Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	var list []pkg
	for dec := json.NewDecoder(bytes.NewReader(out)); ; {
		var p pkg
		if err := dec.Decode(&p); errors.Is(err, io.EOF) {
			return list
		} else if err != nil {
			t.Fatal(err)
		}
		list = append(list, p)
	}
}

func room(importPath string) string {
	return strings.TrimPrefix(strings.TrimPrefix(importPath, module), "/")
}

func isFree(r string) bool {
	return r == "" || slices.ContainsFunc(free[1:], func(f string) bool { return strings.HasPrefix(r, f) })
}

func TestRoomsImportOnlyWhatTheTableAllows(t *testing.T) {
	for _, p := range packages(t) {
		r := room(p.ImportPath)
		allowed, listed := ours[r]
		if !listed && !isFree(r) {
			t.Errorf("%s has no row in the import table: add one here and in docs/house.md, with the reason", r)
			continue
		}
		for _, imp := range p.Imports {
			switch {
			case imp == module || strings.HasPrefix(imp, module+"/"):
				if !isFree(r) && !slices.Contains(allowed, room(imp)) {
					t.Errorf("%s imports %s, which its row does not allow", r, room(imp))
				}
			case strings.Contains(strings.Split(imp, "/")[0], "."):
				foreign(t, r, imp)
			default:
				if slices.Contains(pure[r], imp) {
					t.Errorf("%s is pure and imports %s", r, imp)
				}
			}
		}
	}
}

// foreign checks the owner of a module: the longest matching row counts.
func foreign(t *testing.T, r, imp string) {
	t.Helper()
	best := ""
	for prefix := range owners {
		if strings.HasPrefix(imp, prefix) && len(prefix) > len(best) {
			best = prefix
		}
	}
	if best == "" {
		t.Errorf("%s imports %s, which no row of the owners allows", r, imp)
		return
	}
	for _, o := range owners[best] {
		if o == "*" || o == r || (strings.HasSuffix(o, "/") && strings.HasPrefix(r, o)) {
			return
		}
	}
	t.Errorf("%s imports %s; only %v may", r, imp, owners[best])
}

func TestEveryRowIsARoom(t *testing.T) {
	for r := range ours {
		if _, err := os.Stat(r); err != nil {
			t.Errorf("the import table has a row for %s, which does not exist", r)
		}
	}
}

func TestEveryPackageSaysWhatItIs(t *testing.T) {
	for _, p := range packages(t) {
		fset, docs := token.NewFileSet(), 0
		for _, f := range p.GoFiles {
			file, err := parser.ParseFile(fset, filepath.Join(p.Dir, f), nil, parser.ParseComments|parser.PackageClauseOnly)
			if err != nil {
				t.Fatal(err)
			}
			if file.Doc != nil && strings.TrimSpace(file.Doc.Text()) != "" {
				docs++
				name := file.Name.Name
				if want := "Package " + name; name != "main" && !strings.HasPrefix(file.Doc.Text(), want) {
					t.Errorf("%s/%s: the package comment begins with %q, not %q", room(p.ImportPath), f, firstWords(file.Doc.Text()), want)
				}
			}
		}
		if docs != 1 {
			t.Errorf("%s has %d package comments; it needs exactly one", p.ImportPath, docs)
		}
	}
}

func firstWords(s string) string {
	w := strings.Fields(s)
	return strings.Join(w[:min(3, len(w))], " ")
}

func TestNoInitAndNoLongFunctions(t *testing.T) {
	for _, p := range packages(t) {
		fset := token.NewFileSet()
		for _, f := range p.GoFiles {
			file, err := parser.ParseFile(fset, filepath.Join(p.Dir, f), nil, parser.SkipObjectResolution)
			if err != nil {
				t.Fatal(err)
			}
			for _, d := range file.Decls {
				fn, ok := d.(*ast.FuncDecl)
				if !ok {
					continue
				}
				if fn.Name.Name == "init" && fn.Recv == nil {
					t.Errorf("%s: init() is not taken: build things where they are used", fset.Position(fn.Pos()))
				}
				if n := fset.Position(fn.End()).Line - fset.Position(fn.Pos()).Line; n > 70 {
					t.Errorf("%s: %s has %d lines; 70 are allowed", fset.Position(fn.Pos()), fn.Name.Name, n)
				}
			}
		}
	}
}

func TestNothingIsLeftUnfinished(t *testing.T) {
	err := filepath.WalkDir(".", func(path string, d os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			if name := d.Name(); name == ".git" || name == "bin" {
				return filepath.SkipDir
			}
			return nil
		}
		if ext := filepath.Ext(path); ext != ".go" && ext != ".md" && ext != ".yaml" && ext != ".sh" {
			return nil
		}
		data, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		for _, w := range []string{"FIX" + "ME", "TO" + "DO:", "not " + "implemented", "t.Sk" + "ip("} {
			if bytes.Contains(data, []byte(w)) {
				t.Errorf("%s contains %q", path, w)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}
