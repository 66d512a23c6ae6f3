package cordon_test

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"maps"
	"math/big"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	cordon "github.com/cordonsip/cordon"
	"github.com/cordonsip/cordon/approval"
	"github.com/cordonsip/cordon/approval/keyring"
	"github.com/cordonsip/cordon/audit"
	"github.com/cordonsip/cordon/configs"
	"github.com/cordonsip/cordon/configs/drills"
	"github.com/cordonsip/cordon/internal/osnet"
	"github.com/cordonsip/cordon/notify"
	"github.com/prometheus/client_golang/prometheus"
)

func page(t *testing.T, file string) string {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// sections are the parts of a page by the words of their headings of one level.
func sections(text, mark string) map[string]string {
	out, name := map[string]string{}, ""
	for line := range strings.Lines(text) {
		if rest, ok := strings.CutPrefix(line, mark+" "); ok {
			name = strings.Trim(strings.TrimSpace(rest), "`")
		} else if strings.HasPrefix(line, "#") && len(line)-len(strings.TrimLeft(line, "#")) < len(mark) {
			name = ""
		}
		out[name] += line
	}
	return out
}

// described are the metrics of a booted node: name to labels, in order.
func described(t *testing.T) map[string][]string {
	t.Helper()
	cfg, err := configs.Load("configs/examples/two-groups.yaml")
	if err != nil {
		t.Fatal(err)
	}
	metrics := prometheus.NewRegistry()
	n, err := cordon.New(t.Context(), cordon.Options{Config: cfg, Net: osnet.Net{}, Memory: true, Software: "test", Metrics: metrics})
	if err != nil {
		t.Fatal(err)
	}
	if err := n.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	defer n.Stop(context.Background(), 0)
	if _, err := metrics.Gather(); err != nil {
		t.Error(err)
	}
	ch := make(chan *prometheus.Desc)
	go func() {
		metrics.Describe(ch)
		close(ch)
	}()
	desc := regexp.MustCompile(`fqName: "([^"]+)".*constLabels: \{([^}]*)\}, variableLabels: \{([^}]*)\}`)
	out := map[string][]string{}
	for d := range ch {
		m := desc.FindStringSubmatch(d.String())
		if m == nil {
			t.Fatalf("a description that does not read: %s", d)
		}
		var labels []string
		for _, l := range strings.Split(m[2]+","+m[3], ",") {
			if name, _, _ := strings.Cut(l, "="); name != "" {
				labels = append(labels, name)
			}
		}
		out[m[1]] = labels
	}
	return out
}

func TestThePageOfMetricsHasEveryMetricAndNoOther(t *testing.T) {
	text, metrics := page(t, "docs/reference/metrics.md"), described(t)
	rows := map[string]string{}
	for line := range strings.Lines(text) {
		if cells := strings.Split(line, " | "); len(cells) >= 4 && strings.HasPrefix(line, "| `cordon_") {
			rows[strings.Trim(cells[0], "|` ")] = cells[2]
		}
	}
	for name, labels := range metrics {
		want := "-"
		if len(labels) > 0 {
			want = "`" + strings.Join(labels, "`, `") + "`"
		}
		if got, ok := rows[name]; !ok {
			t.Errorf("docs/reference/metrics.md has no row for %s (labels %s)", name, want)
		} else if got != want {
			t.Errorf("%s: the page says labels %s, the node has %s", name, got, want)
		}
	}
	for _, name := range regexp.MustCompile(`cordon_[a-z_]+[a-z]`).FindAllString(text, -1) {
		if _, ok := metrics[name]; !ok {
			t.Errorf("docs/reference/metrics.md names %s, which no node has", name)
		}
	}
	for name, file := range namedInSource(t) {
		known := slices.ContainsFunc(slices.Collect(keys(metrics)), func(m string) bool {
			return m == name || strings.HasSuffix(name, "_") && strings.HasPrefix(m, name)
		})
		if !known {
			t.Errorf("%s names the metric %s, which a booted node does not register", file, name)
		}
	}
}

func keys[K comparable, V any](m map[K]V) func(func(K) bool) {
	return func(yield func(K) bool) {
		for k := range m {
			if !yield(k) {
				return
			}
		}
	}
}

// namedInSource finds metric names, or the beginnings of some, in Go source.
func namedInSource(t *testing.T) map[string]string {
	t.Helper()
	name := regexp.MustCompile(`"(cordon_[a-z_]+)"`)
	out := map[string]string{}
	err := filepath.WalkDir(".", func(p string, d fs.DirEntry, err error) error {
		if err == nil && p == "bench" { // its results have columns for cordon, which are no metrics of a node
			return fs.SkipDir
		}
		if err != nil || d.IsDir() || !strings.HasSuffix(p, ".go") || strings.HasSuffix(p, "_test.go") {
			return err
		}
		text, err := os.ReadFile(p)
		for _, m := range name.FindAllStringSubmatch(string(text), -1) {
			out[m[1]] = p
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(out) < 20 {
		t.Errorf("only %d metric names were found in the source", len(out))
	}
	return out
}

// kindsInSource reads the Kind constants, so that a new one cannot be forgotten here.
func kindsInSource(t *testing.T) []audit.Kind {
	t.Helper()
	var out []audit.Kind
	inspect := func(n ast.Node) bool {
		v, ok := n.(*ast.ValueSpec)
		if !ok || len(v.Names) != 1 || !strings.HasPrefix(v.Names[0].Name, "Kind") || len(v.Values) != 1 {
			return true
		}
		if lit, ok := v.Values[0].(*ast.BasicLit); ok {
			word, err := strconv.Unquote(lit.Value)
			if err != nil {
				t.Fatal(err)
			}
			out = append(out, audit.Kind(word))
		}
		return true
	}
	files, err := filepath.Glob("audit/*.go")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range files {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(file, inspect)
	}
	if len(out) < 38 {
		t.Fatalf("only %d kinds were found in audit", len(out))
	}
	return out
}

// jsonFields are the names that a struct and the structs inside it write. What another room owns ends the descent.
func jsonFields(typ reflect.Type, seen map[reflect.Type]bool) []string {
	for typ.Kind() == reflect.Pointer || typ.Kind() == reflect.Slice || typ.Kind() == reflect.Map {
		typ = typ.Elem()
	}
	if typ.Kind() != reflect.Struct || seen[typ] || !strings.HasPrefix(typ.PkgPath(), module) {
		return nil
	}
	seen[typ] = true
	var out []string
	for i := range typ.NumField() {
		f := typ.Field(i)
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		if name == "-" {
			continue
		}
		if name != "" {
			out = append(out, name)
		}
		if f.Type != reflect.TypeFor[*approval.Record]() { // the ticket as a whole: the API's matter
			out = append(out, jsonFields(f.Type, seen)...)
		}
	}
	return out
}

// bodiesElsewhere are the bodies that stand in the rooms that write them.
func bodiesElsewhere() map[audit.Kind]reflect.Type {
	return map[audit.Kind]reflect.Type{
		audit.KindGateChanged: reflect.TypeFor[approval.GateChanged](),
		audit.KindKeyEnrolled: reflect.TypeFor[keyring.KeysEnrolled](),
		audit.KindKeyRevoked:  reflect.TypeFor[keyring.KeyRevoked](),
	}
}

func TestThePageOfTheLogHasEveryKindWithItsFields(t *testing.T) {
	parts := sections(page(t, "docs/reference/log.md")+page(t, "docs/reference/evidence.md"), "###")
	maps.Copy(parts, sections(page(t, "docs/reference/log-incidents.md"), "###")) // a story of their own, with a page of its own
	maps.Copy(parts, sections(page(t, "docs/reference/log-calls.md"), "###"))
	maps.Copy(parts, sections(page(t, "docs/reference/log-keeping.md"), "###"))
	maps.Copy(parts, sections(page(t, "docs/reference/law.md"), "###")) // what the law has a page of its own for
	maps.Copy(parts, sections(page(t, "docs/reference/log-policy.md"), "###"))
	maps.Copy(parts, sections(page(t, "docs/reference/log-drills.md"), "###"))
	maps.Copy(parts, sections(page(t, "docs/reference/copy.md"), "###"))
	for _, kind := range kindsInSource(t) {
		text, ok := parts[string(kind)]
		if !ok {
			t.Errorf("docs/reference/log.md has no section %q", "### `"+string(kind)+"`")
			continue
		}
		ev, err := audit.Decode(audit.Entry{Kind: kind, Body: json.RawMessage(`{}`)})
		if err != nil {
			t.Fatal(err)
		}
		typ := reflect.TypeOf(ev)
		if other, ok := bodiesElsewhere()[kind]; ok {
			typ = other
		}
		if strings.HasPrefix(string(kind), "failover.") && kind != audit.KindFailoverApplied {
			continue // the fields stand at the first of them
		}
		for _, f := range jsonFields(typ, map[reflect.Type]bool{}) {
			if !strings.Contains(text, "`"+f+"`") {
				t.Errorf("docs/reference/log.md: %s: the field %s is not explained", kind, f)
			}
		}
	}
	for name := range parts {
		if strings.Contains(name, ".") && !audit.Kind(name).Known() {
			t.Errorf("docs/reference/log.md explains %s, which is no kind", name)
		}
	}
}

func TestThePageOfTheLogHasTheEnvelopeAndTheDefaultNotices(t *testing.T) {
	text := page(t, "docs/reference/log.md")
	for _, f := range jsonFields(reflect.TypeFor[audit.Entry](), map[reflect.Type]bool{}) {
		if !strings.Contains(text, "`"+f+"`") {
			t.Errorf("docs/reference/log.md: the field %s of the envelope is not explained", f)
		}
	}
	told := sections(text, "##")["Who is told by default"]
	for _, k := range notify.DefaultKinds() {
		if !strings.Contains(told, "`"+k+"`") {
			t.Errorf("docs/reference/log.md does not say that %s is told by default", k)
		}
	}
}

// between gives what stands between two marks of a generated part of a page.
func between(t *testing.T, text, name string) string {
	t.Helper()
	_, rest, ok := strings.Cut(text, "<!-- "+name+" -->\n")
	part, _, end := strings.Cut(rest, "<!-- end -->")
	if !ok || !end {
		t.Fatalf("the part %q is missing", name)
	}
	return part
}

func TestThePageOfTheGateHasItsStatesAndTransitions(t *testing.T) {
	text := page(t, "docs/reference/gate.md")
	var table strings.Builder
	table.WriteString("| from | to | because of | when |\n|---|---|---|---|\n")
	for _, x := range approval.Transitions() {
		fmt.Fprintf(&table, "| %s | %s | `%s` | %s |\n", x.From, x.To, x.What, x.When)
	}
	if got := between(t, text, "approval.Transitions()"); got != table.String() {
		t.Errorf("docs/reference/gate.md: the transitions are old; they are:\n%s", table.String())
	}
	for _, s := range approval.States() {
		if !strings.Contains(text, "| **"+string(s)+"** |") {
			t.Errorf("docs/reference/gate.md does not say what %s means", s)
		}
	}
}

// rulesInSource reads the Rule constants of the gate.
func rulesInSource(t *testing.T) []string {
	t.Helper()
	var out []string
	for _, m := range regexp.MustCompile(`(?m)^\tRule\w+\s+= "(\w+)"`).FindAllStringSubmatch(page(t, "approval/approval.go"), -1) {
		out = append(out, m[1])
	}
	if len(out) < 20 {
		t.Fatalf("only %d rules were found in approval/approval.go", len(out))
	}
	return out
}

func TestTheNightGuideExplainsEveryRefusalOfTheGate(t *testing.T) {
	text := page(t, "docs/guides/night-call.md")
	for _, rule := range rulesInSource(t) {
		if !strings.Contains(text, "| `"+rule+"` |") {
			t.Errorf("docs/guides/night-call.md does not say what %s means", rule)
		}
	}
}

var (
	link   = regexp.MustCompile(`\]\(([^)#]+)(#[^)]*)?\)`)
	goName = regexp.MustCompile("`((?:[a-z]+/)*[a-z_0-9]+\\.go)`")
	symbol = regexp.MustCompile("`([A-Za-z]+)\\.([A-Za-z]+)\\(?\\)?`")
)

// Links lead somewhere, files that are named exist, and what the life of a call names X.Y is a method of a type X, or declared by a package X.
func TestPagesNameWhatIsThere(t *testing.T) {
	names := namesInSource(t)
	pages, err := filepath.Glob("docs/*/*.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range append(pages, "docs/why.md") {
		text := page(t, file)
		for _, m := range link.FindAllStringSubmatch(text, -1) {
			if strings.Contains(m[1], "://") {
				continue
			}
			if _, err := os.Stat(filepath.Join(filepath.Dir(file), m[1])); err != nil {
				t.Errorf("%s links to %s, which is not there", file, m[1])
			}
		}
		for _, m := range goName.FindAllStringSubmatch(text, -1) {
			if _, err := os.Stat(m[1]); err != nil {
				t.Errorf("%s names %s, which is not there", file, m[1])
			}
		}
		if file != "docs/life/of-a-call.md" {
			continue
		}
		for _, m := range symbol.FindAllStringSubmatch(text, -1) {
			if name := m[1] + "." + m[2]; !names[name] && !audit.Kind(name).Known() && m[2] != "go" {
				t.Errorf("%s names %s, which is not in the source", file, name)
			}
		}
	}
}

// namesInSource are the methods of all types, as Type.Name, and what packages declare, as pkg.Name.
func namesInSource(t *testing.T) map[string]bool {
	t.Helper()
	out := map[string]bool{}
	err := filepath.WalkDir(".", func(p string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(p, ".go") || strings.HasSuffix(p, "_test.go") {
			return err
		}
		file, err := parser.ParseFile(token.NewFileSet(), p, nil, parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		for _, d := range file.Decls {
			switch d := d.(type) {
			case *ast.FuncDecl:
				out[owner(d, file.Name.Name)+"."+d.Name.Name] = true
			case *ast.GenDecl:
				for _, s := range d.Specs {
					ts, ok := s.(*ast.TypeSpec)
					if !ok {
						continue
					}
					out[file.Name.Name+"."+ts.Name.Name] = true
					if of, ok := ts.Type.(*ast.InterfaceType); ok {
						for _, m := range of.Methods.List {
							for _, id := range m.Names {
								out[ts.Name.Name+"."+id.Name] = true
							}
						}
					}
				}
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// owner is the type of a method's receiver, or pkg for a function.
func owner(d *ast.FuncDecl, pkg string) string {
	if d.Recv == nil || len(d.Recv.List) == 0 {
		return pkg
	}
	typ := d.Recv.List[0].Type
	if star, ok := typ.(*ast.StarExpr); ok {
		typ = star.X
	}
	if id, ok := typ.(*ast.Ident); ok {
		return id.Name
	}
	return pkg
}

func TestPagesAreShort(t *testing.T) {
	pages, err := filepath.Glob("docs/*/*.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range append(pages, "docs/why.md") {
		if n := strings.Count(page(t, file), "\n"); n > 250 && !slices.Contains([]string{"configuration.md", "cli.md", "sip-conformance.md"}, filepath.Base(file)) { // these are looked up, not read
			t.Errorf("%s has %d lines: nobody reads that", file, n)
		}
	}
}

// guideConfig is the configuration of a guide: its indented blocks that begin like YAML.
func guideConfig(t *testing.T, name string) string {
	t.Helper()
	var out strings.Builder
	yaml := false
	for line := range strings.Lines(page(t, "docs/guides/"+name)) {
		text, indented := strings.CutPrefix(line, "    ")
		if !indented {
			yaml = false
			continue
		}
		if begins := regexp.MustCompile(`^[a-z_]+:`).MatchString(text); begins {
			yaml = true
		}
		if yaml {
			out.WriteString(text)
		}
	}
	return out.String()
}

// testPair writes the certificate, the key and the roots that the guide names into dir.
func testPair(t *testing.T, dir string) {
	t.Helper()
	pub, priv, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour), DNSNames: []string{"edge.bank.example"}}
	der, err := x509.CreateCertificate(rand.Reader, template, template, pub, priv)
	if err != nil {
		t.Fatal(err)
	}
	key, err := x509.MarshalPKCS8PrivateKey(priv)
	if err != nil {
		t.Fatal(err)
	}
	cert := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	for file, data := range map[string][]byte{"edge.crt": cert, "carriers.pem": cert, "edge.key": pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: key})} {
		if err := os.WriteFile(filepath.Join(dir, file), data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

func TestTheConfigurationOfTheGuideIsTaken(t *testing.T) {
	dir := t.TempDir()
	testPair(t, dir)
	if err := os.Mkdir(filepath.Join(dir, "scenarios"), 0o700); err != nil {
		t.Fatal(err)
	}
	text, _ := drills.Text("region-loss")
	text = bytes.Replace(text, []byte("drill: region-loss"), []byte("drill: line-one"), 1)
	if err := os.WriteFile(filepath.Join(dir, "scenarios", "line-one.yaml"), text, 0o600); err != nil {
		t.Fatal(err)
	}
	c, err := configs.Parse(filepath.Join(dir, "cordon.yaml"), []byte(guideConfig(t, "first-trunk.md")+guideConfig(t, "drill.md")))
	if err != nil {
		t.Fatalf("docs/guides/first-trunk.md, with the section of drill.md:\n%v", err)
	}
	for _, w := range c.Warnings {
		t.Errorf("docs/guides/first-trunk.md: %v", w)
	}
	said, err := c.Explain(time.Date(2026, 11, 21, 0, 0, 0, 0, time.UTC))
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"1. fra: by itself", "2. zrh: by itself", "1. carrier: by itself"} {
		if !strings.Contains(said, want) {
			t.Errorf("the guide promises %q:\n%s", want, said)
		}
	}
}
