package configs

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/cordonsip/cordon/configs/drills"
)

const drilled = base + `  - {id: carla, roles: [operator], token: {env: T3}}
notify: [{name: duty, type: console}]
drills:
  windows: [{name: night, days: [mon, fri], from: "22:00", to: "04:00", zone: UTC}]
  blocked: [{from: 2026-12-24, to: 2026-12-26, reason: holidays}, {from: 2027-01-01, reason: new year}]
  starters: [carla]
  approvers: [anna]
  authors: [ben]
  throttle: 2.5
  canary: {max_share: 1%, max_calls: 3}
  low_volume: {at_most: 40%, calls: 120}
  secondary_for: 10m
  approve_in: 2h
  alert: {channels: [duty], lead: 30m}
  calendar: [{scenario: region-loss}, {scenario: carrier-loss, mode: sandbox, every_months: 3, warn_days: [5]}]
`

func TestDrillsAreConfigured(t *testing.T) {
	c, err := Parse("x.yaml", []byte(drilled))
	if err != nil {
		t.Fatal(err)
	}
	d := c.Drills
	if len(d.Windows) != 1 || len(d.Windows[0].Days) != 2 || d.Windows[0].From != 22*60 || len(d.Blocked) != 2 || !d.Blocked[1].To.Equal(d.Blocked[1].From) || len(c.Warnings) != 0 {
		t.Errorf("%+v, %v", d.Rules, c.Warnings)
	}
	if d.Throttle != 2.5 || d.MaxShare != 100 || d.MaxCalls != 3 || d.LowVolume != 4_000 || d.Baseline != 120 || d.Secondary != 10*time.Minute || d.ApproveIn != 2*time.Hour || d.Lead != 30*time.Minute {
		t.Errorf("%+v", d)
	}
	if len(d.Calendar) != 2 || d.Calendar[0].Mode != "production_window" || d.Calendar[1].Months != 3 {
		t.Errorf("%+v", d.Calendar)
	}
	c, err = Parse("x.yaml", []byte(base))
	if err != nil || c.Drills.Throttle != 10 || c.Drills.MaxShare != 500 || c.Drills.MaxCalls != 20 || c.Drills.LowVolume != 5_000 || c.Drills.ApproveIn != 24*time.Hour || len(c.Drills.Windows) != 0 {
		t.Errorf("%+v, %v", c.Drills, err)
	}
	if s, text, ok := c.Drills.Scenario("region-loss"); !ok || s.Name != "region-loss" || len(text) == 0 || len(c.Drills.Names()) != len(drills.Names()) {
		t.Error("those that ship are not known")
	}
}

func TestMistakesOfDrills(t *testing.T) {
	section := func(s string) string { return base + "notify: [{name: duty, type: console}]\ndrills:\n  " + s + "\n" }
	live := "starters: [anna], approvers: [ben], windows: "
	for name, c := range map[string]struct{ text, path, says, hint string }{
		"a throttle of zero":            {section("throttle: 0"), "drills.throttle", "a throttle of 0 lets no call of a drill through", "such as 2"},
		"a throttle below it":           {section("throttle: -1"), "drills.throttle", "lets no call", ""},
		"a flood":                       {section("throttle: 5000"), "drills.throttle", "out of range", "no flood"},
		"room for nothing":              {section("sandbox_room: 1KiB"), "drills.sandbox_room", `"1KiB" is no such size`, "e.g. 1GiB"},
		"room that is no size":          {section("sandbox_room: much"), "drills.sandbox_room", `"much" is no such size`, ""},
		"a window that never opens":     {section(`{` + live + `[{name: n, from: "10:00", to: "10:00"}]}`), "drills.windows[0].to", "the window never opens: it ends when it begins", "for the whole day"},
		"all its days are blocked":      {section(`{` + live + `[{name: n, from: "10:00", to: "11:00"}], blocked: [{from: 2020-01-01, to: 2040-01-01, reason: x}]}`), "drills.windows[0]", "never opens: drills.blocked covers", ""},
		"a day that is none":            {section(`{` + live + `[{name: n, days: [monday], from: "10:00", to: "11:00"}]}`), "drills.windows[0].days[0]", `"monday" is no day`, "mon"},
		"a zone that is none":           {section(`{` + live + `[{name: n, from: "10:00", to: "11:00", zone: Mars/One}]}`), "drills.windows[0].zone", "no time zone here", "Europe/Berlin"},
		"a window without a name":       {section(`{` + live + `[{from: "10:00", to: "11:00"}]}`), "drills.windows[0].name", "is missing", "night"},
		"two of one name":               {section(`{` + live + `[{name: n, from: "10:00", to: "11:00"}, {name: n, from: "12:00", to: "13:00"}]}`), "drills.windows[1].name", "taken by another", ""},
		"a mode without approval":       {section(`{starters: [anna], windows: [{name: n, from: "10:00", to: "11:00"}]}`), "drills.approvers", "no mode that meets callers goes without approval", "two people"},
		"nobody starts":                 {section(`{approvers: [anna], windows: [{name: n, from: "10:00", to: "11:00"}]}`), "drills.starters", "is missing", "name who may start"},
		"one person alone":              {section(`{starters: [anna], approvers: [anna], windows: [{name: n, from: "10:00", to: "11:00"}]}`), "drills.starters[0]", "nobody but this person may approve", "another approver"},
		"people without a window":       {section("starters: [anna]"), "drills.windows", "nobody could ever start", "add a window"},
		"a stranger":                    {section(`{starters: [zoe], approvers: [ben], windows: [{name: n, from: "10:00", to: "11:00"}]}`), "drills.starters[0]", "is nobody's id", "people"},
		"a block that ends before":      {section("blocked: [{from: 2026-12-26, to: 2026-12-24, reason: x}]"), "drills.blocked[0].to", "before from", ""},
		"a block without a reason":      {section("blocked: [{from: 2026-12-26}]"), "drills.blocked[0].reason", "is missing", ""},
		"a block without a day":         {section("blocked: [{from: '', reason: x}]"), "drills.blocked[0].from", "is missing", "YYYY-MM-DD"},
		"a share of nothing":            {section("canary: {max_share: 0%}"), "drills.canary.max_share", "no such share", "above 0%"},
		"a bare number":                 {section("low_volume: {at_most: '0.5'}"), "drills.low_volume.at_most", "no such share", ""},
		"calls below zero":              {section("{canary: {max_calls: -1}, low_volume: {calls: 1}}"), "drills.canary.max_calls", "out of range", "1 to 1000"},
		"a baseline below zero":         {section("low_volume: {calls: -1}"), "drills.low_volume.calls", "out of range", "learnt"},
		"an hour too many":              {section("approve_in: 169h"), "drills.approve_in", "out of range", "168h"},
		"a lead of nothing":             {section("alert: {lead: 1s}"), "drills.alert.lead", "out of range", "1m"},
		"a channel that is none":        {section("alert: {channels: [dusty]}"), "drills.alert.channels[0]", `"dusty" is no channel`, ""},
		"too long over there":           {section("secondary_for: 25h"), "drills.secondary_for", "out of range", "24h"},
		"an unknown scenario":           {section("calendar: [{scenario: region-los, mode: sandbox}]"), "drills.calendar[0].scenario", "there is no scenario", `did you mean "region-loss"`},
		"a mode that nobody plays":      {section("calendar: [{scenario: region-loss, mode: simulation}]"), "drills.calendar[0].mode", "no mode that a node plays", ""},
		"a mode that it has not":        {section("calendar: [{scenario: peak-load, mode: canary}]"), "drills.calendar[0].mode", "peak-load may not run as canary", ""},
		"live without a window":         {section("calendar: [{scenario: region-loss}]"), "drills.calendar[0].mode", "there is no window", "sandbox"},
		"every two years":               {section("calendar: [{scenario: region-loss, mode: sandbox, every_months: 24}]"), "drills.calendar[0].every_months", "out of range", "each year"},
		"a warning after it":            {section("calendar: [{scenario: region-loss, mode: sandbox, warn_days: [0]}]"), "drills.calendar[0].warn_days[0]", "out of range", ""},
		"a folder that is not there":    {section("scenarios: nowhere"), "drills.scenarios", "cannot be read", "folder"},
		"a key that does not exist":     {section("window: []"), "drills.window", "unknown key", ""},
		"an author who cannot test":     {section(`{authors: [anna], starters: [anna], approvers: [ben], windows: [{name: n, from: "10:00", to: "11:00"}]}`), "", "", ""},
		"a person's name is never said": {section("authors: [secretname]"), "drills.authors[0]", "is nobody's id", ""},
	} {
		got, err := Parse("x.yaml", []byte(c.text))
		if c.path == "" {
			if err != nil || len(got.Warnings) != 1 || !strings.Contains(got.Warnings[0].What, "may not test by it") {
				t.Errorf("%s: %v", name, err)
			}
			continue
		}
		probs, _ := err.(Problems)
		if len(probs) != 1 || probs[0].Path != c.path || !strings.Contains(probs[0].What, c.says) || !strings.Contains(probs[0].Hint, c.hint) || strings.Contains(probs[0].What, "secretname") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestScenariosOfOnesOwn(t *testing.T) {
	shipped, _ := drills.Text("region-loss")
	own := strings.Replace(string(shipped), "drill: region-loss", "drill: our-loss", 1)
	for name, c := range map[string]struct {
		files map[string]string
		wrong string
	}{
		"one":                      {map[string]string{"a.yaml": own, "README.md": "x"}, ""},
		"one with a mistake":       {map[string]string{"a.yaml": strings.Replace(own, "version: 1", "version: 0", 1)}, "begin with 1"},
		"one that ships":           {map[string]string{"a.yaml": string(shipped)}, "a.yaml is called region-loss, which another one is"},
		"two of one name":          {map[string]string{"a.yaml": own, "b.yaml": own}, "b.yaml is called our-loss"},
		"one that is far too long": {map[string]string{"a.yaml": strings.Repeat("#", 1<<20)}, "longer than 64 KiB"},
	} {
		dir := t.TempDir()
		if err := os.Mkdir(filepath.Join(dir, "own"), 0o700); err != nil {
			t.Fatal(err)
		}
		for file, text := range c.files {
			if err := os.WriteFile(filepath.Join(dir, "own", file), []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		got, err := Parse(filepath.Join(dir, "x.yaml"), []byte(base+"drills: {scenarios: own}\n"))
		if c.wrong != "" {
			if err == nil || !strings.Contains(err.Error(), c.wrong) {
				t.Errorf("%s: %v", name, err)
			}
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		if s, text, ok := got.Drills.Scenario("our-loss"); !ok || string(text) != own || s.Digest == "" || len(got.Drills.Names()) != len(drills.Names())+1 {
			t.Errorf("%s: %+v", name, got.Drills.Own)
		}
	}
}
