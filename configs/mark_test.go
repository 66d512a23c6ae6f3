package configs

import (
	"strings"
	"testing"
)

func TestCodePointOfMedia(t *testing.T) {
	for s, want := range map[string]int{"": 46, "media: {dscp: 0}": 0, "media: {dscp: 34}": 34, "media: {dscp: '63'}": 63, "media: {dscp: off}": -1} {
		c, err := Parse("x.yaml", []byte(base+"\n"+s+"\n"))
		if err != nil || c.Media.DSCP != want {
			t.Errorf("%s: %+v, %v", s, c, err)
		}
	}
	for _, s := range []string{"64", "-1", "EF", "0x2e", "46.0"} {
		if _, err := Parse("x.yaml", []byte(base+"\nmedia: {dscp: "+s+"}\n")); err == nil || !strings.Contains(err.Error(), "media.dscp") || !strings.Contains(err.Error(), "is no code point") {
			t.Errorf("%s: %v", s, err)
		}
	}
}
