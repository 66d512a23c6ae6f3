package configs

import (
	"errors"
	"fmt"
	"reflect"
	"regexp"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"
)

// document is a parsed file with the line of each path, so that a semantic error can point at what it means.
type document struct {
	name  string
	lines map[string]int
	file  File
	quiet map[int]bool // lines on which a value may be personal data
}

var errLine = regexp.MustCompile(`^(?:yaml: )?line (\d+): (.*)$`)

// decode reads data strictly: unknown and repeated keys are errors, and what could be read is given beside them, so that one run shows every mistake.
// The document is nil only when nothing could be read.
func decode(name string, data []byte) (*document, Problems) {
	d := &document{name: name, lines: map[string]int{}}
	var root yaml.Node
	if err := yaml.Unmarshal(data, &root); err != nil {
		return nil, Problems{d.fromYAML(err, "the file is not YAML at this line; mind the indentation and quote special characters")}
	}
	if len(root.Content) == 0 {
		return nil, Problems{{File: name, What: "the file is empty", Hint: "start from one of the commented examples in configs/examples"}}
	}
	var probs Problems
	d.quiet = quietLines(root.Content[0])
	d.walk(root.Content[0], reflect.TypeFor[File](), "", 0, &probs)
	if err := root.Decode(&d.file); err != nil {
		var te *yaml.TypeError
		if !errors.As(err, &te) {
			return nil, append(probs, d.fromYAML(err, "")).sorted()
		}
		for _, e := range te.Errors {
			probs = append(probs, d.fromYAML(errors.New(e), ""))
		}
	}
	return d, probs.sorted()
}

func (d *document) fromYAML(err error, hint string) Problem {
	p := Problem{File: d.name, What: strings.TrimPrefix(err.Error(), "yaml: "), Hint: hint}
	if m := errLine.FindStringSubmatch(err.Error()); m != nil {
		p.Line, _ = strconv.Atoi(m[1])
		p.What = m[2]
	}
	if p.Line == 0 || strings.HasPrefix(p.What, "unknown anchor") {
		p.What = placeless(p.What)
	}
	if d.quiet[p.Line] || forMapping(p.What) {
		p.What = quietly(p.What)
		return p
	}
	if strings.Contains(p.What, "cannot unmarshal") {
		p.What = strings.NewReplacer("cannot unmarshal !!str", "cannot use", "cannot unmarshal !!seq into", "a list stands where this belongs:",
			"cannot unmarshal !!map into", "a mapping stands where this belongs:", "cannot unmarshal !!int", "cannot use", "cannot unmarshal !!bool", "cannot use", " into ", " as ").Replace(p.What)
	}
	return p
}

// secretInFile is what Secret says of a value that stands in the file.
const secretInFile = "a secret does not stand in the file: write {env: NAME} or {file: PATH}"

// quietly says what is wrong without the value: a slip of the finger puts a person's id where a list belongs, and problems end up in the log.
func quietly(what string) string {
	if what == secretInFile {
		return what
	}
	if i := strings.LastIndex(what, " into "); i >= 0 && strings.HasPrefix(what, "cannot unmarshal") {
		return "what stands here cannot be used as " + what[i+len(" into "):]
	}
	return "what stands here cannot be used, or stands twice"
}

// forMapping says that the parser found a word where a mapping, or a list of them, belongs. It may be the password that belongs into the mapping.
func forMapping(what string) bool {
	i := strings.LastIndex(what, " into ")
	return i >= 0 && strings.HasPrefix(what, "cannot unmarshal !!") && strings.HasPrefix(strings.TrimPrefix(what[i+len(" into "):], "[]"), "configs.")
}

// placeless takes the value out of what the parser says without a line: it may stand in the section about people.
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

// quietLines are the lines of the section about people and of those that mail goes to, and of whatever they refer to.
func quietLines(root *yaml.Node) map[int]bool {
	lines, seen := map[int]bool{}, map[*yaml.Node]bool{}
	var mark func(n *yaml.Node)
	mark = func(n *yaml.Node) {
		if n == nil || seen[n] {
			return
		}
		seen[n] = true
		lines[n.Line] = true
		mark(n.Alias)
		for _, c := range n.Content {
			mark(c)
		}
	}
	for i := 0; root.Kind == yaml.MappingNode && i+1 < len(root.Content); i += 2 {
		if key := root.Content[i].Value; key == "people" || key == "<<" { // a merge may bring the section in
			mark(root.Content[i+1])
		} else if key == "notify" {
			for _, channel := range root.Content[i+1].Content {
				mark(under(channel, "mail"))
			}
		}
	}
	return lines
}

// under gives the value of a key of a mapping, or of one that an alias stands for; nil: there is none.
func under(n *yaml.Node, key string) *yaml.Node {
	if n.Alias != nil {
		n = n.Alias
	}
	for i := 0; n.Kind == yaml.MappingNode && i+1 < len(n.Content); i += 2 {
		if n.Content[i].Value == key {
			return n.Content[i+1]
		}
	}
	return nil
}

// aboutPeople says whether a path lies in the section about people.
func aboutPeople(path string) bool { return strings.HasPrefix(path, "people[") || path == "people" }

const maxDepth = 32

// walk compares the tree with the Go type and remembers where each path stands.
func (d *document) walk(n *yaml.Node, t reflect.Type, path string, depth int, probs *Problems) {
	d.lines[path] = n.Line
	if depth > maxDepth {
		*probs = append(*probs, Problem{d.name, n.Line, path, "nested too deeply", "no part of a configuration nests that deep"})
		return
	}
	if n.Kind == yaml.AliasNode || n.Anchor != "" {
		*probs = append(*probs, Problem{d.name, n.Line, path, "anchors and aliases are not taken", "write the value out: what an auditor reads must stand where it applies"})
		return
	}
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	switch {
	case n.Kind == yaml.SequenceNode && t.Kind() == reflect.Slice:
		for i, c := range n.Content {
			d.walk(c, t.Elem(), fmt.Sprintf("%s[%d]", path, i), depth+1, probs)
		}
	case n.Kind == yaml.MappingNode && t.Kind() == reflect.Struct:
		d.walkStruct(n, t, path, depth, probs)
	case n.Kind == yaml.MappingNode && t.Kind() == reflect.Map:
		for i := 0; i+1 < len(n.Content); i += 2 {
			d.walk(n.Content[i+1], t.Elem(), join(path, n.Content[i].Value), depth+1, probs)
		}
	}
}

func (d *document) walkStruct(n *yaml.Node, t reflect.Type, path string, depth int, probs *Problems) {
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
		at := join(path, key.Value)
		ft, ok := known[key.Value]
		switch {
		case seen[key.Value]:
			if aboutPeople(path) {
				at = path
			}
			*probs = append(*probs, Problem{d.name, key.Line, at, "the key stands twice", "keep one of them"})
		case !ok:
			if aboutPeople(path) {
				at = path
			}
			hint := "known keys here: " + orWords(names)
			if m := nearest(key.Value, names); m != "" {
				hint = fmt.Sprintf("did you mean %q?", m)
			}
			*probs = append(*probs, Problem{d.name, key.Line, at, "unknown key", hint})
		default:
			d.walk(val, ft, at, depth+1, probs)
		}
		seen[key.Value] = true
	}
}

func join(path, key string) string {
	if path == "" {
		return key
	}
	return path + "." + key
}

// line finds the line of a path, or of the nearest thing above it that is written.
func (d *document) line(path string) int {
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

// UnmarshalYAML reads "4s". A bare number is refused, because nobody knows its unit.
func (d *Duration) UnmarshalYAML(n *yaml.Node) error {
	v, err := time.ParseDuration(n.Value)
	if err != nil || v < 0 {
		return &yaml.TypeError{Errors: []string{fmt.Sprintf("line %d: %q is no duration: write it with its unit, like 500ms, 4s, 10m, 72h", n.Line, n.Value)}}
	}
	*d = Duration(v)
	return nil
}

// MarshalYAML writes it back the same way.
func (d Duration) MarshalYAML() (any, error) { return time.Duration(d).String(), nil }

// Or gives d, or def when it was not set.
func (d Duration) Or(def time.Duration) time.Duration {
	if d == 0 {
		return def
	}
	return time.Duration(d)
}

// UnmarshalYAML takes only references, so that no secret ends up in a file that is copied, diffed and mailed.
func (s *Secret) UnmarshalYAML(n *yaml.Node) error {
	if n.Kind == yaml.ScalarNode {
		return &yaml.TypeError{Errors: []string{fmt.Sprintf("line %d: %s", n.Line, secretInFile)}}
	}
	type plain Secret
	return n.Decode((*plain)(s))
}

func (s Secret) String() string {
	switch {
	case s.Env != "":
		return "env:" + s.Env + " (***)"
	case s.File != "":
		return "file:" + s.File + " (***)"
	}
	return ""
}

// IsZero says that no secret is named.
func (s Secret) IsZero() bool { return s.Env == "" && s.File == "" }
