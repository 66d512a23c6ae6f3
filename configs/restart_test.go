package configs

import (
	"strings"
	"testing"
)

func TestRestart(t *testing.T) {
	base := readExample(t)
	text := func(more string) []byte { return append(base.with("", ""), "\n"+more+"\n"...) }
	for more, want := range map[string]RestartPart{
		"": {End: true}, "restart: {}": {End: true}, "restart: {calls: keep}": {Must: true}, "restart: {calls: end}": {End: true}, "media: {inprocess: true}": {End: true},
		"media: {inprocess: false}": {}, "media: {inprocess: false}\nrestart: {calls: end}": {End: true},
	} {
		c, err := Parse(base.name, text(more))
		if err != nil || c.Restart != want {
			t.Errorf("%q: %+v, %v", more, c, err)
		}
	}
	if _, err := Parse(base.name, text("restart: {calls: forever}")); err == nil || !strings.Contains(err.Error(), "restart.calls") {
		t.Errorf("a word that is none: %v", err)
	}
}

// TestWhoCarriesPackets: a file that does not say it leaves it open, and the explanation says what follows.
func TestWhoCarriesPackets(t *testing.T) {
	base := readExample(t)
	for more, want := range map[string]struct {
		in, apart bool
		says      string
	}{
		"":                          {false, false, "where the system can have one (run/media.sock in the state folder); SIGTERM ends calls after the drain"},
		"restart: {calls: keep}":    {false, false, "where the system can have one (run/media.sock in the state folder); SIGTERM leaves calls up"},
		"media: {inprocess: true}":  {true, false, "carried by this process; calls end with it"},
		"media: {inprocess: false}": {false, true, "carried by a process of its own (run/media.sock in the state folder); SIGTERM leaves calls up"},
	} {
		c, err := Parse(base.name, append(base.with("", ""), "\n"+more+"\n"...))
		if err != nil || c.Media.InProcess != want.in || c.Media.Apart != want.apart || !strings.Contains(c.carrying(), want.says) {
			t.Errorf("%q: %v, %v %v, %s", more, err, c.Media.InProcess, c.Media.Apart, c.carrying())
		}
	}
}
