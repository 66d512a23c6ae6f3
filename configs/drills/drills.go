// Package drills holds the scenarios that ship. They are text for people to copy, and the ones that the tests, the demo and `cordon drill` run. It imports none of our
// rooms.
package drills

import (
	"embed"
	"path"
	"strings"
)

//go:embed *.yaml
var files embed.FS

// Names are the scenarios that ship, sorted.
func Names() (out []string) {
	list, err := files.ReadDir(".")
	if err != nil {
		return nil // the folder is a part of the program
	}
	for _, f := range list {
		out = append(out, strings.TrimSuffix(f.Name(), path.Ext(f.Name())))
	}
	return out
}

// Text is one of them; ok is false when there is none of that name.
func Text(name string) (text []byte, ok bool) {
	text, err := files.ReadFile(name + ".yaml")
	return text, err == nil
}
