// Command configdoc writes the reference of the configuration file from the Go types of package configs and their comments.
package main

import (
	"bytes"
	"flag"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"log"
	"os"
	"path/filepath"
	"reflect"
	"strconv"
	"strings"
)

func main() {
	out := flag.String("out", "configuration.md", "file to write")
	src := flag.String("src", ".", "folder of package configs")
	flag.Parse()
	text, err := generate(*src)
	if err != nil {
		log.Fatal(err)
	}
	if err := os.WriteFile(*out, text, 0o644); err != nil {
		log.Fatal(err)
	}
}

// key is one YAML key of a struct.
type key struct {
	name   string
	typ    string // Go type without star and brackets
	list   bool
	needed bool
	text   string
}

// object is one struct of the file.
type object struct {
	text string
	keys []key
}

// reader is the file's types on their way into a page.
type reader struct {
	objects map[string]object
	more    map[string]string // what the comment of a Type.key leaves to the code
	used    map[string]bool
	out     bytes.Buffer
}

// once are the structs that several places hold. They get a section of their own.
var once = map[string]string{"Party": "trunks-and-edge-groups", "Health": "health", "Secret": "secrets"}

// generate gives the page.
func generate(src string) ([]byte, error) {
	objects, err := read(src)
	if err != nil {
		return nil, err
	}
	more, err := fromCode()
	if err != nil {
		return nil, err
	}
	r := &reader{objects: objects, more: more, used: map[string]bool{}}
	r.out.WriteString(head)
	for _, k := range objects["File"].keys {
		r.section(k)
	}
	fmt.Fprintf(&r.out, "\n## Secrets\n\nThe file never holds a secret. Where one is needed it names one of these:\n\n| key | type | meaning |\n|---|---|---|\n")
	r.rows("Secret", "")
	for name := range more {
		if !r.used[name] {
			return nil, fmt.Errorf("there is a note for %s and no such key", name)
		}
	}
	return r.out.Bytes(), nil
}

// read gives the structs of a Go file.
func read(src string) (map[string]object, error) {
	files, err := filepath.Glob(filepath.Join(src, "*.go"))
	if err != nil {
		return nil, err
	}
	objects := map[string]object{}
	for _, file := range files {
		if strings.HasSuffix(file, "_test.go") {
			continue
		}
		parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.ParseComments)
		if err != nil {
			return nil, err
		}
		for _, d := range parsed.Decls {
			structs(d, objects)
		}
	}
	if len(objects["File"].keys) == 0 {
		return nil, fmt.Errorf("%s has no struct File", src)
	}
	return objects, nil
}

// structs takes the structs of a declaration.
func structs(d ast.Decl, into map[string]object) {
	g, ok := d.(*ast.GenDecl)
	if !ok || g.Tok != token.TYPE {
		return
	}
	for _, spec := range g.Specs {
		t := spec.(*ast.TypeSpec)
		if s, ok := t.Type.(*ast.StructType); ok {
			o := object{text: line(g.Doc)}
			for _, f := range s.Fields.List {
				o.keys = append(o.keys, keyOf(f, o.keys))
			}
			into[t.Name.Name] = o
		}
	}
}

// keyOf reads one field. One without a comment shares the comment of the field before it.
func keyOf(f *ast.Field, before []key) key {
	k := key{text: line(f.Doc)}
	if k.text == "" && len(before) > 0 {
		k.text = before[len(before)-1].text
	}
	if f.Tag != nil {
		tag, _ := strconv.Unquote(f.Tag.Value)
		name, options, _ := strings.Cut(reflect.StructTag(tag).Get("yaml"), ",")
		k.name, k.needed = name, options == ""
	}
	t := f.Type
	for {
		switch x := t.(type) {
		case *ast.StarExpr:
			t = x.X
			continue
		case *ast.ArrayType:
			k.list, t = true, x.Elt
			continue
		case *ast.MapType:
			k.typ = "map"
		case *ast.Ident:
			k.typ = x.Name
		}
		return k
	}
}

// line is a comment as one line.
func line(c *ast.CommentGroup) string {
	return strings.Join(strings.Fields(c.Text()), " ")
}

// section writes one top-level key. Trunks and edge groups look alike and share one.
func (r *reader) section(k key) {
	path := k.name
	switch {
	case k.typ == "Party" && r.used["Party"]:
		return
	case k.typ == "Party":
		r.used["Party"] = true
		path = "trunks[], edge_groups[]"
		fmt.Fprintf(&r.out, "\n## Trunks and edge groups\n\n`trunks`: carrier side. `edge_groups`: contact-centre side. Both take the same keys; names are unique over both.\n")
	default:
		if k.list {
			path += "[]"
		}
		fmt.Fprintf(&r.out, "\n## `%s`\n\n%s\n", path, k.text)
	}
	fmt.Fprintf(&r.out, "\n| key | type | meaning |\n|---|---|---|\n")
	r.rows(k.typ, "")
}

// rows writes the keys of a struct, and those of structs inside it.
func (r *reader) rows(typ, prefix string) {
	for _, k := range r.objects[typ].keys {
		name := typ + "." + k.name
		r.used[name] = true
		path, text := prefix+k.name, k.text
		if more, ok := r.more[name]; ok {
			text = more
		}
		_, nested := r.objects[k.typ]
		link, shared := once[k.typ]
		if k.list && nested {
			path += "[]"
		}
		word := "`" + path + "`"
		if k.needed {
			word = "**" + word + "**"
		}
		if shared {
			text += " See [" + k.typ + "](#" + link + ")."
		}
		fmt.Fprintf(&r.out, "| %s | %s | %s |\n", word, k.word(nested), strings.ReplaceAll(text, "|", `\|`))
		if nested && !shared {
			r.rows(k.typ, path+".")
		}
	}
}

// word is the type of a key for people.
func (k key) word(nested bool) string {
	w := k.typ
	switch {
	case nested:
		w = "mapping"
	case strings.HasPrefix(w, "int"), strings.HasPrefix(w, "uint"):
		w = "number"
	case w == "float64":
		w = "number"
	case w == "bool":
		w = "true or false"
	case w == "Duration":
		w = "duration"
	case w == "any":
		w = "any"
	case w == "map":
		w = "text by text"
	case w == "string":
		w = "text"
	}
	if k.list {
		return "list of " + w
	}
	return w
}
