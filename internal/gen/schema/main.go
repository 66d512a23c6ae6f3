// Command schema writes the JSON schema of the configuration from the Go types and their comments.
package main

import (
	"bytes"
	"encoding/json"
	"flag"
	"log"
	"os"
	"reflect"
	"strings"

	"github.com/cordonsip/cordon/configs"
	"github.com/invopop/jsonschema"
)

func main() {
	out := flag.String("out", "schema.json", "file to write")
	src := flag.String("src", ".", "folder of package configs, for the comments")
	flag.Parse()
	text, err := generate(*src)
	if err != nil {
		log.Fatal(err)
	}
	if err := os.WriteFile(*out, text, 0o644); err != nil {
		log.Fatal(err)
	}
}

// generate gives the schema as indented JSON.
func generate(src string) ([]byte, error) {
	r := &jsonschema.Reflector{FieldNameTag: "yaml", Mapper: mapType, RequiredFromJSONSchemaTags: true}
	if err := r.AddGoComments("github.com/cordonsip/cordon/configs", src); err != nil {
		return nil, err
	}
	// Comments are found by path below src; the reflector looks them up by package.
	for k, v := range r.CommentMap {
		if i := strings.LastIndex(k, "/"); i >= 0 {
			if dot := strings.Index(k[i:], "."); dot >= 0 {
				r.CommentMap["github.com/cordonsip/cordon/configs"+k[i+dot:]] = v
			}
		}
	}
	s := r.Reflect(&configs.File{})
	s.Title = "cordon configuration"
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	err := enc.Encode(s)
	return b.Bytes(), err
}

func mapType(t reflect.Type) *jsonschema.Schema {
	if t == reflect.TypeFor[configs.Duration]() {
		return &jsonschema.Schema{Type: "string", Pattern: `^([0-9]+(\.[0-9]+)?(ns|us|ms|s|m|h))+$`, Description: "a duration with its unit, e.g. 4s"}
	}
	return nil
}
