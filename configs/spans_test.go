package configs

import (
	"slices"
	"strings"
	"testing"
	"time"
)

func TestSpans(t *testing.T) {
	base := readExample(t)
	text := func(more string) []byte { return append(base.with("", ""), "\n"+more+"\n"...) }
	for more, want := range map[string]string{
		"spans: {}": "spans.endpoint: is no address",
		"spans: {endpoint: \"ftp://10.1.0.9/v1/traces\"}":                                                                             "spans.endpoint: is no address",
		"spans: {endpoint: \"https://10.1.0.9/v1/traces#x\"}":                                                                         "spans.endpoint: is no address",
		"spans: {endpoint: \"http://10.1.0.9/v1/traces\"}":                                                                            "spans.endpoint: is not protected",
		"spans: {endpoint: \"https://10.1.0.9:4318/\"}":                                                                               "spans.endpoint: has no path",
		"spans: {endpoint: \"https://10.1.0.9/v1/traces\", timeout: 1h}":                                                              "spans.timeout",
		"spans: {endpoint: \"https://10.1.0.9/v1/traces\", timeout: 1ms}":                                                             "spans.timeout",
		"spans: {endpoint: \"https://10.1.0.9/v1/traces\", roots_file: no}":                                                           "spans.roots_file",
		"spans: {endpoint: \"https://10.1.0.9/v1/traces\", user: x}":                                                                  "spans.user",
		"spans: {endpoint: \"https://10.1.0.9/v1/traces\", headers: [{name: \"a b\", value: {env: S}}]}":                              "spans.headers[0].name: is no name",
		"spans: {endpoint: \"https://10.1.0.9/v1/traces\", headers: [{name: content-type, value: {env: S}}]}":                         "spans.headers[0].name: Content-Type cannot",
		"spans: {endpoint: \"https://10.1.0.9/v1/traces\", headers: [{name: X-A}]}":                                                   "spans.headers[0].value: is missing",
		"spans: {endpoint: \"https://10.1.0.9/v1/traces\", headers: [{name: X-A, value: {env: S}}, {name: x-a, value: {env: S}}]}":    "spans.headers[1].name: X-A is there twice",
		"spans: {endpoint: \"https://key:hush@10.1.0.9/v1/traces\", headers: [{name: Authorization, value: \"Bearer of a secret\"}]}": "spans.headers[0].value",
	} {
		_, probs := Examine(base.name, text(more))
		if !slices.ContainsFunc(probs, func(p Problem) bool { return strings.Contains(p.Error(), want) }) {
			t.Errorf("%s: no word of %s in %v", more, want, probs)
		}
		if strings.Contains(probs.Error(), "hush") || strings.Contains(probs.Error(), "Bearer of") {
			t.Errorf("a problem repeats a secret: %v", probs)
		}
	}
	t.Setenv("SPANS", "Bearer s")
	cfg, err := Parse(base.name, text("spans: {endpoint: \"https://10.1.0.9/v1/traces\", timeout: 3s, headers: [{name: authorization, value: {env: SPANS}}]}"))
	if err != nil {
		t.Fatal(err)
	}
	s := cfg.Spans
	if s.URL != "https://10.1.0.9/v1/traces" || s.Timeout != 3*time.Second || s.Roots != nil || len(s.Headers) != 1 || s.Headers[0].Name != "Authorization" {
		t.Fatalf("%+v", s)
	}
	if v, err := s.Headers[0].Value(); v != "Bearer s" || err != nil {
		t.Errorf("%q %v", v, err)
	}
	cfg, err = Parse(base.name, text("spans: {endpoint: \"http://127.0.0.1:4318/v1/traces\"}"))
	if err != nil || cfg.Spans.Timeout != 10*time.Second {
		t.Errorf("%v %+v", err, cfg)
	}
}
