package main

import (
	"encoding/json"
	"os"
	"strings"
	"testing"

	"github.com/cordonsip/cordon/configs"
)

func TestTheCheckedInPageIsTheGeneratedOne(t *testing.T) {
	got, err := generate("../../../configs")
	if err != nil {
		t.Fatal(err)
	}
	want, err := os.ReadFile("../../../docs/reference/configuration.md")
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != string(want) {
		t.Error("docs/reference/configuration.md is old: make generate")
	}
}

// The schema is made from the same types by other means: every key of it must stand in the page, with a meaning.
func TestEveryKeyOfTheSchemaIsExplained(t *testing.T) {
	var schema struct {
		Defs map[string]struct {
			Properties map[string]any `json:"properties"`
		} `json:"$defs"`
	}
	if err := json.Unmarshal(configs.Schema(), &schema); err != nil {
		t.Fatal(err)
	}
	objects, err := read("../../../configs")
	if err != nil {
		t.Fatal(err)
	}
	page, err := generate("../../../configs")
	if err != nil {
		t.Fatal(err)
	}
	keys := 0
	for name, def := range schema.Defs {
		meanings := map[string]string{}
		for _, k := range objects[name].keys {
			meanings[k.name] = k.text
		}
		for k := range def.Properties {
			keys++
			if meanings[k] == "" {
				t.Errorf("%s.%s has no meaning", name, k)
			}
			if name != "File" && !strings.Contains(string(page), k+"`") && !strings.Contains(string(page), k+"[]`") {
				t.Errorf("%s.%s does not stand in the page", name, k)
			}
		}
	}
	if keys < 100 {
		t.Errorf("only %d keys were found in the schema", keys)
	}
}

func TestANoteWithoutItsKeyIsAnError(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(dir+"/file.go", []byte("package configs\n\ntype File struct {\n\tA string `yaml:\"a\"`\n}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := generate(dir); err == nil || !strings.Contains(err.Error(), "no such key") {
		t.Errorf("got %v", err)
	}
}

func TestRoundDurationsAreShort(t *testing.T) {
	for long, want := range map[string]string{"30m0s": "30m", "4h0m0s": "4h", "72h0m0s": "72h", "1h30m0s": "1h30m", "90ms": "90ms", "2s": "2s"} {
		if got := short(long); got != want {
			t.Errorf("%s: got %s, want %s", long, got, want)
		}
	}
}
