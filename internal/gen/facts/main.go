// Command facts turns the YAML fact tables that people edit into the JSON that ships inside the binary. It keeps every value as it was written: dates
// and codes stay strings, and a code that YAML 1.1 would read as a truth value (bare NO) is an error instead of a lost Norway.
//
// It may import the standard library and the YAML engine.
package main

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"go.yaml.in/yaml/v3"
)

func main() {
	dir := flag.String("dir", "facts", "folder with the *.yaml tables; *.json is written beside them")
	flag.Parse()
	if err := run(*dir); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// run converts every table of dir.
func run(dir string) error {
	tables, err := filepath.Glob(filepath.Join(dir, "*.yaml"))
	if err != nil {
		return fmt.Errorf("facts: list %s: %w", dir, err)
	}
	if len(tables) == 0 {
		return fmt.Errorf("facts: no *.yaml in %s", dir)
	}
	for _, from := range tables {
		src, err := os.ReadFile(from)
		if err != nil {
			return fmt.Errorf("facts: %w", err)
		}
		out, err := convert(src)
		if err != nil {
			return fmt.Errorf("facts: %s: %w", from, err)
		}
		to := strings.TrimSuffix(from, ".yaml") + ".json"
		if err := os.WriteFile(to, out, 0o644); err != nil {
			return fmt.Errorf("facts: %w", err)
		}
	}
	return nil
}

// convert gives the JSON of one table: members sorted, one per line, so that a change of a fact is a readable difference.
func convert(src []byte) ([]byte, error) {
	var doc yaml.Node
	if err := yaml.Unmarshal(src, &doc); err != nil {
		return nil, err
	}
	if doc.Kind != yaml.DocumentNode || len(doc.Content) != 1 {
		return nil, fmt.Errorf("want one document")
	}
	v, err := value(doc.Content[0])
	if err != nil {
		return nil, err
	}
	dateEntries(v)
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	e.SetIndent("", " ")
	if err := e.Encode(v); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}

// dateEntries gives every entry of the table's lists the table's as_of, unless it has one of its own: an entry is quoted alone in reports.
func dateEntries(v any) {
	table, ok := v.(map[string]any)
	if !ok {
		return
	}
	for _, list := range []string{"instruments", "jurisdictions", "regions"} {
		entries, _ := table[list].([]any)
		for _, e := range entries {
			entry, ok := e.(map[string]any)
			if ok && entry["as_of"] == nil && table["as_of"] != nil {
				entry["as_of"] = table["as_of"]
			}
		}
	}
}

func value(n *yaml.Node) (any, error) {
	switch n.Kind {
	case yaml.MappingNode:
		m := make(map[string]any, len(n.Content)/2)
		for i := 0; i < len(n.Content); i += 2 {
			k, v := n.Content[i], n.Content[i+1]
			if k.Tag != "!!str" {
				return nil, fmt.Errorf("line %d: key %q is read as %s: put it in quotes", k.Line, k.Value, k.Tag)
			}
			if _, twice := m[k.Value]; twice {
				return nil, fmt.Errorf("line %d: key %q stands twice", k.Line, k.Value)
			}
			x, err := value(v)
			if err != nil {
				return nil, err
			}
			if err := textual(k, v); err != nil {
				return nil, err
			}
			m[k.Value] = x
		}
		return m, nil
	case yaml.SequenceNode:
		l := make([]any, 0, len(n.Content))
		for _, c := range n.Content {
			x, err := value(c)
			if err != nil {
				return nil, err
			}
			l = append(l, x)
		}
		return l, nil
	case yaml.ScalarNode:
		return scalar(n)
	default:
		return nil, fmt.Errorf("line %d: anchors and aliases have no place in a fact table", n.Line)
	}
}

// textual guards the members that hold codes: YAML 1.1 readers take bare NO for false, and this table must mean the same to all of them.
func textual(k, v *yaml.Node) error {
	switch k.Value {
	case "code", "country", "parent", "operator_hq", "jurisdiction":
	default:
		return nil
	}
	if v.Kind != yaml.ScalarNode || v.Tag == "!!null" {
		return nil
	}
	plain := v.Style&(yaml.SingleQuotedStyle|yaml.DoubleQuotedStyle) == 0
	switch strings.ToLower(v.Value) {
	case "no", "n", "off", "false", "yes", "y", "on", "true":
		if plain {
			return fmt.Errorf("line %d: %s: %s is a truth value to YAML 1.1: put it in quotes", v.Line, k.Value, v.Value)
		}
	}
	return nil
}

func scalar(n *yaml.Node) (any, error) {
	switch n.Tag {
	case "!!str", "!!timestamp":
		return n.Value, nil
	case "!!null":
		return nil, nil
	case "!!bool":
		var b bool
		err := n.Decode(&b)
		return b, err
	case "!!int":
		var i int64
		err := n.Decode(&i)
		return i, err
	default:
		return nil, fmt.Errorf("line %d: %s values have no place in a fact table", n.Line, n.Tag)
	}
}
