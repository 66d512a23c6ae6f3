package configs

import (
	"slices"
	"strings"
	"testing"
	"time"
)

// Two public keys of witnesses, one of them as it is written for a plain signature.
const (
	vkeyOne = "witness.example/w1+7e136b5c+BAABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4f"
	vkeyTwo = "witness.example/w2+16a057c9+AQECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8g"
)

func TestWitnesses(t *testing.T) {
	base := readExample(t)
	text := func(more string) []byte { return append(base.with("", ""), "\n"+more+"\n"...) }
	one, two := "{key: \""+vkeyOne+"\", url: \"https://10.1.0.9/w1\"}", "{key: \""+vkeyTwo+"\", url: \"https://witness.bank-2.example\"}"
	for more, want := range map[string]string{
		"log: {quorum: 1}":                                                                          "log.quorum: there is no witness",
		"log: {witness_every: 1m}":                                                                  "log.quorum: there is no witness",
		"log: {witnesses: [" + one + "], quorum: 2}":                                                "log.quorum: 2 is out of range",
		"log: {witnesses: [" + one + "], quorum: -1}":                                               "log.quorum: -1 is out of range",
		"log: {witnesses: [" + one + "], witness_every: 1s}":                                        "log.witness_every: 1s is out of range",
		"log: {witnesses: [" + one + "], witness_every: 2h}":                                        "log.witness_every: 2h0m0s is out of range",
		"log: {witnesses: [" + one + "," + one + "]}":                                               "log.witnesses[1].key: witness.example/w1 is there twice",
		"log: {witnesses: [{url: \"https://10.1.0.9\"}]}":                                           "log.witnesses[0].key: proof: key of a witness",
		"log: {witnesses: [{key: \"" + vkeyOne + "x\", url: \"https://10.1.0.9\"}]}":                "log.witnesses[0].key: proof: key of a witness",
		"log: {witnesses: [{key: \"" + vkeyOne + "\"}]}":                                            "log.witnesses[0].url: is no address",
		"log: {witnesses: [{key: \"" + vkeyOne + "\", url: \"http://10.1.0.9\"}]}":                  "log.witnesses[0].url: is not protected",
		"log: {witnesses: [{key: \"" + vkeyOne + "\", url: \"https://10.1.0.9#x\"}]}":               "log.witnesses[0].url: is no address",
		"log: {witnesses: [{key: \"" + vkeyOne + "\", url: \"https://10.1.0.9\", roots_file: no}]}": "log.witnesses[0].roots_file",
		"log: {witnesses: [{key: \"" + vkeyOne + "\", url: \"https://10.1.0.9\", name: x}]}":        "log.witnesses[0].name",
		"log: {witnesses: [" + strings.Repeat(one+",", 16) + one + "]}":                             "log.witnesses: 17 are too many",
	} {
		_, probs := Examine(base.name, text(more))
		if !slices.ContainsFunc(probs, func(p Problem) bool { return strings.Contains(p.Error(), want) }) {
			t.Errorf("%s: no word of %s in %v", more, want, probs)
		}
	}
	cfg, err := Parse(base.name, text("log: {witnesses: ["+one+","+two+"]}"))
	if err != nil {
		t.Fatal(err)
	}
	if got := cfg.Warnings.Error(); strings.Contains(got, "another history") {
		t.Errorf("warnings: %s", got)
	}
	w := cfg.Witnesses
	if w.Quorum != 2 || w.Every != time.Minute || len(w.List) != 2 || w.List[0].Name != "witness.example/w1" || w.List[0].URL != "https://10.1.0.9/w1/add-checkpoint" ||
		w.List[1].URL != "https://witness.bank-2.example/add-checkpoint" || w.List[1].Key != vkeyTwo {
		t.Errorf("%+v", w)
	}
	cfg, err = Parse(base.name, text("log: {witnesses: ["+one+","+two+"], quorum: 1, witness_every: 10s}"))
	if err != nil || cfg.Witnesses.Quorum != 1 || cfg.Witnesses.Every != 10*time.Second {
		t.Errorf("%v %+v", err, cfg)
	}
	if got := cfg.Warnings.Error(); !strings.Contains(got, "two groups of 1 of these 2 witnesses could each vouch for another history") {
		t.Errorf("warnings: %s", got)
	}
	if cfg, err = Parse(base.name, text("")); err != nil || len(cfg.Witnesses.List) != 0 {
		t.Errorf("%v %+v", err, cfg)
	}
}
