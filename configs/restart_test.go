package configs

import (
	"strings"
	"testing"
)

func TestRestart(t *testing.T) {
	base := readExample(t)
	text := func(more string) []byte { return append(base.with("", ""), "\n"+more+"\n"...) }
	for more, want := range map[string]RestartPart{"": {}, "restart: {}": {}, "restart: {calls: keep}": {Must: true}, "restart: {calls: end}": {End: true}} {
		c, err := Parse(base.name, text(more))
		if err != nil || c.Restart != want {
			t.Errorf("%q: %+v, %v", more, c, err)
		}
	}
	if _, err := Parse(base.name, text("restart: {calls: forever}")); err == nil || !strings.Contains(err.Error(), "restart.calls") {
		t.Errorf("a word that is none: %v", err)
	}
}
