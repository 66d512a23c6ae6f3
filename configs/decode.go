package configs

import (
	"fmt"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/cordonsip/cordon/internal/strict"
)

// document is a parsed file with the line of each path, so that a semantic error can point at what it means.
type document struct {
	*strict.Document
	file File
}

// secretInFile is what Secret says of a value that stands in the file.
const secretInFile = "a secret does not stand in the file: write {env: NAME} or {file: PATH}"

// decode reads data strictly. What could be read is given beside the problems, so that one run shows every mistake; the document is nil only when nothing could be.
func decode(name string, data []byte) (*document, Problems) {
	d := &document{}
	var probs Problems
	d.Document, probs = strict.Decode(name, data, &d.file, strict.Form{
		Empty: "start from one of the commented examples in configs/examples",
		Quiet: quietLines, Private: aboutPeople, Spoken: []string{secretInFile}, Absent: absent(),
	})
	if d.Document == nil {
		return nil, probs
	}
	return d, probs
}

// absent are the sections of rooms that this version has not: whoever writes one wants what it would promise, and must hear that it is not kept.
func absent() map[string]string {
	return map[string]string{
		"cluster": "a cluster of nodes", "recording": "a recorder", "sign_in": "a sign-in for browsers", "oidc": "a sign-in for browsers", "saml": "a sign-in for browsers",
		"keys": "a key service",
	}
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
