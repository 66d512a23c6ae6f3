package configs

import (
	"fmt"

	"go.yaml.in/yaml/v3"
)

// YAML writes the configuration as a file that Parse reads back to the same one: what is derived from a configuration passes every rule of the loader again. Secrets are
// references, and stay so. Comments and the order of keys of the file it was read from are not kept.
func (f File) YAML() ([]byte, error) {
	text, err := yaml.Marshal(f)
	if err != nil {
		return nil, fmt.Errorf("configs: write: %w", err)
	}
	return text, nil
}
