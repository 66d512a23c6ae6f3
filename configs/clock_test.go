package configs

import (
	"slices"
	"strings"
	"testing"
	"time"
)

func TestClock(t *testing.T) {
	base := readExample(t)
	text := func(more string) []byte { return append(base.with("", ""), "\n"+more+"\n"...) }
	for more, want := range map[string]string{
		"log: {clock_step: 9ms}":                                "log.clock_step: 9ms is out of range",
		"log: {clock_step: 2m}":                                 "log.clock_step: 2m0s is out of range",
		"log: {clock_source: " + strings.Repeat("x", 121) + "}": "log.clock_source: 121 characters are too many",
	} {
		_, probs := Examine(base.name, text(more))
		if !slices.ContainsFunc(probs, func(p Problem) bool { return strings.Contains(p.Error(), want) }) {
			t.Errorf("%s: no word of %s in %v", more, want, probs)
		}
	}
	for more, want := range map[string]ClockPart{
		"": {"", 500 * time.Millisecond},
		"log: {clock_source: PTB via ntp1.bank.example, clock_step: 50ms}": {"PTB via ntp1.bank.example", 50 * time.Millisecond},
	} {
		cfg, err := Parse(base.name, text(more))
		if err != nil || cfg.Clock != want {
			t.Errorf("%s: %v %+v", more, err, cfg)
		}
	}
}
