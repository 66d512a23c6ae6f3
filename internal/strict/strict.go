// Package strict reads YAML files that must not be misread: an unknown or repeated key, an anchor and an alias are problems, and one run shows them all, each with
// its line, its path and what to do about it.
//
// It knows YAML and no file of ours: configs and drill/scenario bring their types. It imports none of our rooms.
package strict

import (
	"errors"
	"fmt"
	"reflect"
	"regexp"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// Form is what a reader knows of a kind of file beside its Go type. The zero Form hides nothing.
type Form struct {
	Empty   string                             // what to do about a file without anything in it
	Quiet   func(root *yaml.Node) map[int]bool // lines on which a value may be personal data or a secret; nil: there are none
	Private func(path string) bool             // paths whose keys are not repeated in a problem; nil: none
	Spoken  []string                           // what our own types say of a value without naming it: shown on quiet lines, too
	Absent  map[string]string                  // keys of what this version lacks, by their paths, with its name: the problem says so
}

// Document is a file that was read, with the line of each path, so that a later judgement can point at what it means.
type Document struct {
	Name  string
	lines map[string]int
}

// Unwritten is a document of which no line is known: what it holds did not come from a file.
func Unwritten(name string) *Document { return &Document{Name: name, lines: map[string]int{}} }

type reader struct {
	Form
	doc   *Document
	quiet map[int]bool
	probs Problems
}

var errLine = regexp.MustCompile(`^(?:yaml: )?line (\d+): (.*)$`)

// Decode reads data into a pointer to a struct with yaml tags. What could be read is given beside the problems, which are in the order of the lines; the Document is
// nil only when nothing could be read. name is used in messages.
func Decode(name string, data []byte, into any, form Form) (*Document, Problems) {
	r := &reader{Form: form, doc: Unwritten(name)}
	var root yaml.Node
	if err := yaml.Unmarshal(data, &root); err != nil {
		return nil, Problems{r.problem(err, "the file is not YAML at this line; mind the indentation and quote special characters")}
	}
	if len(root.Content) == 0 {
		return nil, Problems{{File: name, What: "the file is empty", Hint: form.Empty}}
	}
	if form.Quiet != nil {
		r.quiet = form.Quiet(root.Content[0])
	}
	r.walk(root.Content[0], reflect.TypeOf(into).Elem(), "", 0)
	if err := root.Decode(into); err != nil {
		var te *yaml.TypeError
		if !errors.As(err, &te) {
			return nil, append(r.probs, r.problem(err, "")).Sorted()
		}
		for _, e := range te.Errors {
			r.probs = append(r.probs, r.problem(errors.New(e), ""))
		}
	}
	return r.doc, r.probs.Sorted()
}

// Line gives the line of a path, or of the nearest thing above it that is written; 0 when nothing is.
func (d *Document) Line(path string) int {
	for path != "" {
		if l, ok := d.lines[path]; ok {
			return l
		}
		cut := strings.LastIndexAny(path, ".[")
		if cut < 0 {
			break
		}
		path = path[:cut]
	}
	return d.lines[""]
}

// Problem is one with what stands at a path.
func (d *Document) Problem(path, hint, format string, args ...any) Problem {
	return Problem{File: d.Name, Line: d.Line(path), Path: path, What: fmt.Sprintf(format, args...), Hint: hint}
}

func (r *reader) problem(err error, hint string) Problem {
	p := Problem{File: r.doc.Name, What: strings.TrimPrefix(err.Error(), "yaml: "), Hint: hint}
	if m := errLine.FindStringSubmatch(err.Error()); m != nil {
		p.Line, _ = strconv.Atoi(m[1])
		p.What = m[2]
	}
	if p.Line == 0 || strings.HasPrefix(p.What, "unknown anchor") {
		p.What = placeless(p.What)
	}
	if r.quiet[p.Line] || forMapping(p.What) {
		p.What = r.quietly(p.What)
		return p
	}
	if strings.Contains(p.What, "cannot unmarshal") {
		p.What = strings.NewReplacer("cannot unmarshal !!str", "cannot use", "cannot unmarshal !!seq into", "a list stands where this belongs:",
			"cannot unmarshal !!map into", "a mapping stands where this belongs:", "cannot unmarshal !!int", "cannot use", "cannot unmarshal !!bool", "cannot use", " into ", " as ").Replace(p.What)
	}
	return p
}

// quietly says what is wrong without the value: a slip of the finger puts a person's id where a list belongs, and problems end up in a log.
func (r *reader) quietly(what string) string {
	for _, said := range r.Spoken {
		if what == said {
			return what
		}
	}
	if i := strings.LastIndex(what, " into "); i >= 0 && strings.HasPrefix(what, "cannot unmarshal") {
		return "what stands here cannot be used as " + what[i+len(" into "):]
	}
	return "what stands here cannot be used, or stands twice"
}

// forMapping says that the parser found a word where a mapping, or a list of them, belongs: types of ours have a dot in their name. The word may be the password
// that belongs into the mapping.
func forMapping(what string) bool {
	i := strings.LastIndex(what, " into ")
	return i >= 0 && strings.HasPrefix(what, "cannot unmarshal !!") && strings.Contains(strings.TrimPrefix(what[i+len(" into "):], "[]"), ".")
}

// placeless takes the value out of what the parser says without a line: it may stand on a quiet one.
func placeless(what string) string {
	for prefix, without := range map[string]string{
		"unknown anchor":  "an alias stands for an anchor that is not there",
		"anchor ":         "an anchor contains itself",
		"cannot decode":   "a value is not what its tag (!!) says",
		"invalid map key": "a key is no word",
	} {
		if strings.HasPrefix(what, prefix) {
			return without
		}
	}
	return what
}

const maxDepth = 32

// walk compares the tree with the Go type and remembers where each path stands.
func (r *reader) walk(n *yaml.Node, t reflect.Type, path string, depth int) {
	r.doc.lines[path] = n.Line
	if depth > maxDepth {
		r.say(n.Line, path, "nested too deeply", "no part of a configuration nests that deep")
		return
	}
	if n.Kind == yaml.AliasNode || n.Anchor != "" {
		r.say(n.Line, path, "anchors and aliases are not taken", "write the value out: what an auditor reads must stand where it applies")
		return
	}
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	switch {
	case n.Kind == yaml.SequenceNode && t.Kind() == reflect.Slice:
		for i, c := range n.Content {
			r.walk(c, t.Elem(), fmt.Sprintf("%s[%d]", path, i), depth+1)
		}
	case n.Kind == yaml.MappingNode && t.Kind() == reflect.Struct:
		r.walkStruct(n, t, path, depth)
	case n.Kind == yaml.MappingNode && t.Kind() == reflect.Map:
		for i := 0; i+1 < len(n.Content); i += 2 {
			r.walk(n.Content[i+1], t.Elem(), join(path, n.Content[i].Value), depth+1)
		}
	}
}

func (r *reader) walkStruct(n *yaml.Node, t reflect.Type, path string, depth int) {
	known := map[string]reflect.Type{}
	var names []string
	for i := range t.NumField() {
		tag, _, _ := strings.Cut(t.Field(i).Tag.Get("yaml"), ",")
		if tag == "" || tag == "-" {
			continue
		}
		known[tag] = t.Field(i).Type
		names = append(names, tag)
	}
	seen := map[string]bool{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, val := n.Content[i], n.Content[i+1]
		at, shown := join(path, key.Value), join(path, key.Value)
		if r.Private != nil && r.Private(path) {
			shown = path
		}
		ft, ok := known[key.Value]
		switch {
		case seen[key.Value]:
			r.say(key.Line, shown, "the key stands twice", "keep one of them")
		case !ok && r.Absent[at] != "":
			r.say(key.Line, shown, "needs "+r.Absent[at]+", and this version has none", "remove it, or run a version that has it: what is written here would not be kept")
		case !ok:
			hint := "known keys here: " + Words(names)
			if m := Nearest(key.Value, names); m != "" {
				hint = fmt.Sprintf("did you mean %q?", m)
			}
			r.say(key.Line, shown, "unknown key", hint)
		default:
			r.walk(val, ft, at, depth+1)
		}
		seen[key.Value] = true
	}
}

func (r *reader) say(line int, path, what, hint string) {
	r.probs = append(r.probs, Problem{r.doc.Name, line, path, what, hint})
}

func join(path, key string) string {
	if path == "" {
		return key
	}
	return path + "." + key
}
