package configs

import (
	_ "embed"
	"slices"
)

//go:generate go run ../internal/gen/schema -src . -out schema.json

//go:embed schema.json
var schema []byte

// Schema is the JSON schema of the configuration (draft 2020-12), for editors.
func Schema() []byte { return slices.Clone(schema) }
