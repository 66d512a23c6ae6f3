package configs

import (
	"slices"
	"strings"
	"testing"
	"time"
)

func TestTrace(t *testing.T) {
	base := readExample(t)
	text := func(more string) []byte { return append(base.with("", ""), "\n"+more+"\n"...) }
	for more, want := range map[string]string{
		"trace: {calls: -1}":                                    "trace.calls",
		"trace: {messages: 7}":                                  "trace.messages",
		"trace: {keep: 25h}":                                    "trace.keep",
		"trace: {bytes: 1KiB}":                                  "trace.bytes",
		"trace: {size: 1}":                                      "trace.size",
		"hep: {address: homer.example:9060}":                    "hep.address",
		"hep: {address: \"10.1.0.9:0\"}":                        "hep.address",
		"hep: {}":                                               "hep.address",
		"hep: {address: \"10.1.0.9:9060\", transport: tls}":     "hep.transport",
		"trace: {off: true}\nhep: {address: \"10.1.0.9:9060\"}": "hep",
	} {
		_, probs := Examine(base.name, text(more))
		if !slices.ContainsFunc(probs, func(p Problem) bool { return strings.Contains(p.Error(), want) }) {
			t.Errorf("%s: no word of %s in %v", more, want, probs)
		}
	}
	cfg, err := Parse(base.name, text("trace: {calls: 9, messages: 10, bytes: 1MiB, keep: 2m, unmasked: true}\nhep: {address: \"10.99.0.9:9060\", capture_id: 2001, transport: tcp, password: {env: HEP}}"))
	if err != nil {
		t.Fatal(err)
	}
	if cfg.Trace != (TracePart{Open: true, Calls: 9, Messages: 10, Bytes: 1 << 20, Keep: 2 * time.Minute}) || cfg.HEP.Agent != 2001 || !cfg.HEP.TCP || cfg.HEP.Address.String() != "10.99.0.9:9060" {
		t.Errorf("%+v %+v", cfg.Trace, cfg.HEP)
	}
	t.Setenv("HEP", "pw")
	if p, err := cfg.HEP.Password(); p != "pw" || err != nil {
		t.Errorf("%q %v", p, err)
	}
	for _, path := range []string{"trace.unmasked", "hep.address"} {
		if !slices.ContainsFunc(cfg.Warnings, func(p Problem) bool { return p.Path == path }) {
			t.Errorf("no warning of %s: %v", path, cfg.Warnings)
		}
	}
}
