package configs

import (
	"strings"
	"testing"
	"time"

	"github.com/cordonsip/cordon/media"
)

func TestLiveness(t *testing.T) {
	usual := media.Limits{Silent: 5 * time.Second, Unheard: 3, Dead: 30 * time.Second}
	for name, c := range map[string]struct {
		media, party string
		want         media.Limits
		ends         bool
		err          string
	}{
		"nothing said":      {"", "", usual, false, ""},
		"end for all":       {"liveness: {on_dead: end}", "", usual, true, ""},
		"report for one":    {"liveness: {on_dead: end}", "on_dead: report", usual, false, ""},
		"end for one":       {"", "on_dead: end", usual, true, ""},
		"limits":            {"liveness: {silent: 8s, unheard: 2, dead: 1m}", "", media.Limits{Silent: 8 * time.Second, Unheard: 2, Dead: time.Minute}, false, ""},
		"too short":         {"liveness: {silent: 1s}", "", usual, false, "media.liveness.silent"},
		"too few reports":   {"liveness: {unheard: 1}", "", usual, false, "media.liveness.unheard"},
		"too many reports":  {"liveness: {unheard: 21}", "", usual, false, "media.liveness.unheard"},
		"dead before":       {"liveness: {silent: 30s}", "", usual, false, "media.liveness.dead"},
		"a word":            {"liveness: {on_dead: bye}", "", usual, false, "media.liveness.on_dead"},
		"a word of a party": {"", "on_dead: bye", usual, false, "media.on_dead"},
		"another field":     {"liveness: {mute: 1s}", "", usual, false, "mute"},
	} {
		text := strings.Replace(base, "trunks:", "media: {"+c.media+"}\ntrunks:", 1)
		text = strings.Replace(text, "region: aws:eu-central-1, members: [{host: 127.1.0.10, transport: udp}], media: {security: plain", "region: aws:eu-central-1, members: [{host: 127.1.0.10, transport: udp}], media: {security: plain, "+c.party, 1)
		got, err := Parse("base.yaml", []byte(text))
		if c.err != "" {
			if err == nil || !strings.Contains(err.Error(), c.err) {
				t.Errorf("%s: %v, want something about %s", name, err, c.err)
			}
			continue
		}
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if got.Media.Limits != c.want || got.Profiles[0].EndDead != c.ends || got.Profiles[1].EndDead != strings.Contains(c.media, "end") {
			t.Errorf("%s: %+v, ends %v and %v", name, got.Media.Limits, got.Profiles[0].EndDead, got.Profiles[1].EndDead)
		}
	}
}
