package configs

import (
	"slices"
	"strings"
	"testing"
)

func TestRetention(t *testing.T) {
	base := readExample(t)
	text := func(more string) []byte { return append(base.with("", ""), "\n"+more+"\n"...) }
	for more, want := range map[string]string{
		"retention: [{class: a, keep: five, reason: r}]":                                "retention[0].keep: \"five\" does not read",
		"retention: [{keep: 5y, reason: r}]":                                            "retention[0].class: \"\" is empty",
		"retention: [{class: a, keep: 5y, reason: r}, {class: a, keep: 5y, reason: r}]": "retention[1].class: \"a\" is empty, too long or there twice",
		"retention: [{class: a, keep: 5y}]":                                             "retention[0].reason: a class needs a reason",
		"retention: [{class: a, keep: 5y, reason: r, trunks: [nobody]}]":                "retention[0].trunks[0]: there is no trunk \"nobody\"",
		"retention: [" + strings.Repeat("{class: a, keep: 5y, reason: r},", 33) + "]":   "retention: 33 are too many",
		"retention: [{class: a, keep: 5y, reason: " + strings.Repeat("x", 501) + "}]":   "retention[0].reason",
	} {
		_, probs := Examine(base.name, text(more))
		if !slices.ContainsFunc(probs, func(p Problem) bool { return strings.Contains(p.Error(), want) }) {
			t.Errorf("%s: no word of %s in %v", more, want, probs)
		}
	}
	cfg, err := Parse(base.name, text(""))
	if err != nil || len(cfg.Retention) != 1 || cfg.Retention[0].Name != "call_references" || cfg.Retention[0].Keep.String() != "5y" || cfg.Retention[0].Binding || cfg.Retention[0].Reason == "" {
		t.Errorf("%v %+v", err, cfg)
	}
	cfg, err = Parse(base.name, text("retention: [{class: all, keep: 400d, reason: r}]"))
	if err != nil || len(cfg.Retention) != 1 || cfg.Retention[0].Keep.Days != 400 {
		t.Errorf("%v %+v", err, cfg)
	}
	trunk := cfg.File.Trunks[0].Name
	cfg, err = Parse(base.name, text("retention: [{class: mifid, trunks: ["+trunk+"], keep: 7y, reason: MiFID II Art. 16(7), binding: true}]"))
	if err != nil || len(cfg.Retention) != 2 || !cfg.Retention[0].Binding || cfg.Retention[1].Name != "call_references" {
		t.Errorf("%v %+v", err, cfg)
	}
}
