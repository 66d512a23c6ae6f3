package configs

import (
	"strings"
	"testing"
	"time"

	"github.com/cordonsip/cordon/media"
)

func TestDTMF(t *testing.T) {
	ms := time.Millisecond
	usual := media.DigitLimits{Least: 40 * ms, Most: 6 * time.Second, Pause: 40 * ms}
	for name, c := range map[string]struct {
		media, party string
		limits       media.DigitLimits
		digits       media.Digits
		err          string
	}{
		"nothing said":     {"", "", usual, media.DigitsAuto, ""},
		"auto":             {"", "dtmf: auto", usual, media.DigitsAuto, ""},
		"telephone events": {"", "dtmf: rfc4733", usual, media.DigitsEvents, ""},
		"INFO":             {"", "dtmf: info", usual, media.DigitsInfo, ""},
		"limits":           {"dtmf: {min: 70ms, max: 500ms, pause: 60ms}", "dtmf: info", media.DigitLimits{Least: 70 * ms, Most: 500 * ms, Pause: 60 * ms}, media.DigitsInfo, ""},
		"a word":           {"", "dtmf: inband", usual, 0, ".dtmf"},
		"too short":        {"dtmf: {min: 10ms}", "", usual, 0, "media.dtmf.min"},
		"too long":         {"dtmf: {min: 2s}", "", usual, 0, "media.dtmf.min"},
		"no pause":         {"dtmf: {pause: 1ms}", "", usual, 0, "media.dtmf.pause"},
		"max below min":    {"dtmf: {min: 100ms, max: 90ms}", "", usual, 0, "media.dtmf.max"},
		"max too long":     {"dtmf: {max: 2m}", "", usual, 0, "media.dtmf.max"},
		"another field":    {"dtmf: {mode: info}", "", usual, 0, "mode"},
	} {
		text := strings.Replace(base, "trunks:", "media: {"+c.media+"}\ntrunks:", 1)
		if c.party != "" {
			text = strings.Replace(text, "{name: carrier, ", "{name: carrier, "+c.party+", ", 1)
		}
		got, err := Parse("base.yaml", []byte(text))
		switch {
		case c.err != "":
			if err == nil || !strings.Contains(err.Error(), c.err) {
				t.Errorf("%s: %v, want something about %s", name, err, c.err)
			}
		case err != nil:
			t.Errorf("%s: %v", name, err)
		case got.Media.Digits != c.limits || got.Profiles[0].Leg.Digits != c.digits || got.Profiles[1].Leg.Digits != media.DigitsAuto:
			t.Errorf("%s: %+v, %v and %v", name, got.Media.Digits, got.Profiles[0].Leg.Digits, got.Profiles[1].Leg.Digits)
		}
	}
}
