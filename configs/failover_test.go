package configs

import (
	"strings"
	"testing"
	"time"
)

func TestGuardsOfAPartyStartFromTheGeneralOnes(t *testing.T) {
	text := strings.Replace(base, "edge_groups:\n  - {name: fra,", `health:
  interval: 4s
  breaker: {half_open: 9s}
  flap: {max: 3, within: 5m}
  calls: {min_ner: 0.9, min_mos: 3.5, below: down, window: 2m}
edge_groups:
  - {name: fra, health: {breaker: {off: true}, flap: {off: true}, calls: {min_calls: 50, min_ner: 0.8}},`, 1)
	if text == base {
		t.Fatal("the base is another one now")
	}
	c, err := Parse("cordon.yaml", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	general := c.Health
	if general.HalfOpen != 9*time.Second || general.FlapMax != 3 || general.FlapWithin != 5*time.Minute || general.Quality.MinNER != 0.9 || !general.Quality.Down {
		t.Errorf("%+v", general)
	}
	for _, w := range c.Watched {
		s := w.Settings
		if w.Party != "fra" {
			if s != general {
				t.Errorf("%s: %+v", w.Party, s)
			}
			continue
		}
		if s.HalfOpen != -1 || s.FlapMax != -1 || s.Quality.MinNER != 0.8 || s.Quality.MinMOS != 3.5 || s.Quality.MinCalls != 50 || !s.Quality.Down || s.Quality.Window != 2*time.Minute {
			t.Errorf("fra: %+v", s)
		}
	}
}

func TestGuardsHaveDefaults(t *testing.T) {
	c, err := Parse("cordon.yaml", []byte(base))
	if err != nil {
		t.Fatal(err)
	}
	if s := c.Health; s.HalfOpen != 2*s.Interval || s.FlapMax != 6 || s.Quality.Window != 5*time.Minute || s.Quality.MinASR+s.Quality.MinNER+s.Quality.MinMOS != 0 {
		t.Errorf("%+v", s)
	}
}

func TestMistakesInGuardsAndWindows(t *testing.T) {
	for _, c := range []struct{ health, failback, path, what string }{
		{"calls: {min_asr: 1.5}", "", "health.calls.min_asr", "out of range"},
		{"calls: {min_ner: .nan}", "", "health.calls.min_ner", "out of range"},
		{"calls: {min_mos: 9}", "", "health.calls.min_mos", "out of range"},
		{"calls: {below: gone}", "", "health.calls.below", `"gone" is unknown`},
		{"calls: {window: 10ms}", "", "health.calls.window", "out of range"},
		{"calls: {min_calls: -1}", "", "health.calls.min_calls", "out of range"},
		{"flap: {max: 1000}", "", "health.flap.max", "out of range"},
		{"", "{window: {from: '25:00', to: '03:00'}}", "routes[0].failback.window.from", `"25:00" is no time`},
		{"", "{window: {from: '02:00', to: '02:00'}}", "routes[0].failback.window.to", "is empty"},
		{"", "{window: {from: '02:00', to: '03:00', zone: Europe/Atlantis}}", "routes[0].failback.window.zone", `"Europe/Atlantis" is no time zone`},
		{"", "{window: {from: '02:00', to: '03:00', days: [someday]}}", "routes[0].failback.window.days[0]", `"someday" is no day`},
		{"", "{manual: true, window: {from: '02:00', to: '03:00'}}", "routes[0].failback.window", "by hand alone"},
	} {
		text := base
		if c.health != "" {
			text += "health: {" + c.health + "}\n"
		}
		if c.failback != "" {
			text = strings.Replace(text, "direction: inbound,", "direction: inbound, failback: "+c.failback+",", 1)
		}
		_, probs := Examine("cordon.yaml", []byte(text))
		found := false
		for _, p := range probs {
			found = found || p.Path == c.path && strings.Contains(p.What, c.what) && p.Hint != ""
		}
		if !found {
			t.Errorf("%s %s: %v", c.health, c.failback, probs)
		}
	}
}

func TestAWindowOfFailbackIsRead(t *testing.T) {
	text := strings.Replace(base, "direction: inbound,", "direction: inbound, failback: {after: 5m, window: {days: [Sat, sun], from: '22:30', to: '04:00'}},", 1)
	c, err := Parse("cordon.yaml", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	s := c.Rules.Routes[0].Switch
	if s.FailbackAfter != 5*time.Minute || s.Manual || s.Window.String() != "22:30-04:00 UTC on Sat, Sun" {
		t.Errorf("%+v", s)
	}
}

func TestSyntheticCallsOfAParty(t *testing.T) {
	for _, c := range []struct{ health, path, what string }{
		{"probe: media, call: {from: carrier, to: '+4969900999', every: 30s}", "", ""},
		{"probe: call, call: {from: carrier, to: '+4969900999'}", "", ""},
		{"probe: ping", "edge_groups[0].health.probe", `"ping" is unknown`},
		{"call: {from: carrier, to: '1'}", "edge_groups[0].health.call", "nothing is called"},
		{"probe: call, call: {from: nobody, to: '1'}", "edge_groups[0].health.call.from", `unknown party "nobody"`},
		{"probe: call, call: {from: carrier, to: '112'}", "edge_groups[0].health.call.to", "emergency number"},
		{"probe: call, call: {from: carrier}", "edge_groups[0].health.call.to", "is missing"},
		{"probe: call, call: {from: carrier, to: '1', every: 1s}", "edge_groups[0].health.call", "out of range"},
	} {
		cfg, probs := Examine("cordon.yaml", []byte(strings.Replace(base, "edge_groups:\n  - {name: fra,", "edge_groups:\n  - {name: fra, health: {"+c.health+"},", 1)))
		if c.path == "" {
			i := len(cfg.Watched) - 1
			if got := cfg.Watched[i].Call; len(probs) > 0 || got.From != "carrier" || got.To != "+4969900999" || got.Hold != 3*time.Second || got.Echo != strings.Contains(c.health, "media") {
				t.Errorf("%s: %+v, %v", c.health, got, probs)
			}
			continue
		}
		if len(probs) != 1 || probs[0].Path != c.path || !strings.Contains(probs[0].What, c.what) {
			t.Errorf("%s: %v", c.health, probs)
		}
	}
	if _, probs := Examine("cordon.yaml", []byte(base+"health: {probe: call, call: {from: carrier, to: '1'}}\n")); len(probs) != 1 || !strings.Contains(probs[0].What, "belong to one party") {
		t.Error(probs)
	}
}
