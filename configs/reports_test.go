package configs

import (
	"strings"
	"testing"
	"time"
)

func TestReportsOfOurOwn(t *testing.T) {
	for s, want := range map[string]time.Duration{"": 10 * time.Second, "media: {rtcp: fill}": 10 * time.Second, "media: {rtcp: pass}": 0} {
		if c, err := Parse("x.yaml", []byte(base+"\n"+s+"\n")); err != nil || c.Media.Reports != want {
			t.Errorf("%s: %+v, %v", s, c, err)
		}
	}
	for _, s := range []string{"off", "Fill", "true", "10s"} {
		if _, err := Parse("x.yaml", []byte(base+"\nmedia: {rtcp: "+s+"}\n")); err == nil || !strings.Contains(err.Error(), "media.rtcp") || !strings.Contains(err.Error(), "fill or pass") {
			t.Errorf("%s: %v", s, err)
		}
	}
}
