package configs

import (
	"strings"
	"testing"
	"time"
)

func TestCarriers(t *testing.T) {
	type part struct {
		workers int
		tick    time.Duration
	}
	for s, want := range map[string]part{
		"": {}, "media: {workers: auto}": {}, "media: {workers: 1}": {workers: 1}, "media: {workers: 64, tick: 5ms}": {64, 5 * time.Millisecond},
		"media: {tick: 250us}": {tick: 250 * time.Microsecond}, "media: {tick: 'off'}": {tick: -1}, "media: {tick: off}": {tick: -1},
	} {
		if c, err := Parse("x.yaml", []byte(base+"\n"+s+"\n")); err != nil || (part{c.Media.Workers, c.Media.Tick}) != want {
			t.Errorf("%s: %v", s, err)
		}
	}
	for s, hint := range map[string]string{
		"workers: 0": "auto, or 1 to 64", "workers: 65": "auto, or 1 to 64", "workers: -1": "auto, or 1 to 64", "workers: many": "auto, or 1 to 64",
		"tick: 0": "250us to 5ms", "tick: 1": "250us to 5ms", "tick: 249us": "250us to 5ms", "tick: 6ms": "250us to 5ms", "tick: -1ms": "250us to 5ms", "tick: never": "250us to 5ms",
	} {
		key, _, _ := strings.Cut(s, ":")
		if _, err := Parse("x.yaml", []byte(base+"\nmedia: {"+s+"}\n")); err == nil || !strings.Contains(err.Error(), "media."+key) || !strings.Contains(err.Error(), hint) {
			t.Errorf("%s: %v", s, err)
		}
	}
}
