package scenario

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cordonsip/cordon/configs/drills"
)

// plain is a scenario without a mistake, for tables to break.
const plain = `drill: plain
version: 1
title: The first choice is gone
class: primary_region_loss
authors: [anna]
modes: [simulation, sandbox, full]
calls:
  - {called: "+4969900100", each: 2s, hold: 10s}
take:
  - {what: {group: primary}, how: blackhole, at: 30s, for: 1m}
expect:
  - {answered: {by: [primary], within: 3s}, until: 30s}
  - {refused: {party: forbidden}}
end: {after: 5m}
`

func world() World {
	return World{
		Parties: []Party{
			{Name: "carrier", Trunk: true, Region: "own:berlin", Members: []string{"a", "b"}, Standing: Permitted},
			{Name: "fra", Region: "aws:eu-central-1", Members: []string{"1", "2"}, Standing: Permitted},
			{Name: "fra2", Region: "aws:eu-central-1", Members: []string{"1"}, Standing: Permitted},
			{Name: "zrh", Region: "aws:eu-central-2", Members: []string{"1"}, Standing: Permitted, Instrument: "CH 2000/518/EC"},
			{Name: "iad", Region: "aws:us-east-1", Members: []string{"1"}, Standing: HeldBack},
		},
		Routes:      []Route{{Name: "line", From: []string{"carrier"}, To: []string{"fra", "fra2", "zrh", "iad"}}},
		People:      map[string][]string{"anna": {"incident_commander"}, "ben": {"business_owner"}, "cleo": {"business_owner"}},
		Channels:    []string{"siem"},
		Instruments: []string{"CH 2000/518/EC"},
	}
}

func TestTheScenariosThatShip(t *testing.T) {
	want := []string{"adequacy-struck", "approvers-unreachable", "carrier-loss", "log-unwritable", "peak-load", "region-loss", "slow-brownout", "split-cluster", "srv-moved-abroad"}
	if got := drills.Names(); !slices.Equal(got, want) {
		t.Fatalf("%v ship, want %v", got, want)
	}
	for _, name := range want {
		text, ok := drills.Text(name)
		if !ok {
			t.Fatal(name)
		}
		s, probs := Read(name+".yaml", text)
		if len(probs) > 0 {
			t.Errorf("%s:\n%v", name, probs)
			continue
		}
		if s.Name != name || s.About == "" || len(s.Digest) != 64 {
			t.Errorf("%s: %+v", name, s)
		}
		_, probs = s.Bind(world(), "")
		if name == "split-cluster" {
			if len(probs) != 1 || !strings.Contains(probs.Error(), "needs a cluster, and this node has none") {
				t.Errorf("%s: %v", name, probs)
			}
			w := world()
			w.Capabilities = []string{"cluster"}
			_, probs = s.Bind(w, "")
		}
		if len(probs) > 0 {
			t.Errorf("%s:\n%v", name, probs)
		}
	}
	if _, ok := drills.Text("../charter"); ok {
		t.Error("a file outside the folder")
	}
}

func TestEachMistakeIsNamed(t *testing.T) {
	for name, c := range map[string]struct{ from, to, want string }{
		"no name":                    {"drill: plain", "drill: Plain Loss", `"Plain Loss" is no name`},
		"no version":                 {"version: 1", "version: 0", "version: is missing"},
		"unknown key":                {"title:", "titel:", `did you mean "title"?`},
		"unknown class":              {"primary_region_loss", "primary_regon_loss", `did you mean "primary_region_loss"?`},
		"no author":                  {"authors: [anna]", "authors: []", "authors: is missing"},
		"unknown mode":               {"sandbox, full", "sandbox, live", `"live" is no mode`},
		"no mode":                    {"modes: [simulation, sandbox, full]", "modes: []", "modes: is missing"},
		"no end":                     {"end: {after: 5m}", "end: {}", "a drill without an end is an outage"},
		"a window that never opens":  {"at: 30s, for: 1m", "at: 6m", "begins after the end"},
		"beyond the end":             {"at: 30s, for: 1m", "at: 30s, for: 5m", "lasts beyond the end"},
		"until before from":          {"until: 30s", "from: 40s, until: 30s", "is not after from"},
		"a throttle of zero":         {"each: 2s", "each: 0s", "a throttle of zero"},
		"a flood":                    {"each: 2s", "each: 1ms", "a drill is no flood"},
		"no number":                  {"+4969900100", "0699900100", "is no E.164 number"},
		"two objects":                {"{group: primary}", "{group: primary, region: primary}", "names not exactly one thing"},
		"no object":                  {"{group: primary}", "{}", "names not exactly one thing"},
		"a way that is none":         {"how: blackhole", "how: moved, to: iad", `a group cannot be taken away by "moved"`},
		"slow without a measure":     {"how: blackhole", "how: slow", "by: is missing for slow"},
		"a measure without a way":    {"how: blackhole", "how: blackhole, share: 5%", "means nothing for blackhole"},
		"people of production":       {"{group: primary}, how: blackhole", "{approver: ben}, how: away", "for simulation, sandbox alone"},
		"a log of production":        {"{group: primary}, how: blackhole", "{log: decisions}, how: fail", "for simulation, sandbox alone"},
		"nothing expected":           {"expect:\n  - {answered: {by: [primary], within: 3s}, until: 30s}\n  - {refused: {party: forbidden}}", "expect: []", "a drill that cannot fail proves nothing"},
		"no refusal":                 {"  - {refused: {party: forbidden}}\n", "", "no forbidden party is shown refused"},
		"two judgements":             {"{refused: {party: forbidden}}", "{refused: {party: forbidden}, kept: {at_least: 1%}}", "judges not exactly one thing"},
		"a judgement without a time": {"{by: [primary], within: 3s}", "{by: [primary]}", "has no time, and could not fail"},
		"a judgement of nobody":      {"{by: [primary], within: 3s}", "{by: [], within: 3s}", "names no party"},
		"calls that nobody places":   {"calls:\n  - {called: \"+4969900100\", each: 2s, hold: 10s}\n", "", "the scenario places none"},
		"a score beyond reach":       {"{refused: {party: forbidden}}", "{mos: {at_least: 4.9}}", "is no mean opinion score"},
	} {
		t.Run(name, func(t *testing.T) {
			text := strings.Replace(plain, c.from, c.to, 1)
			if text == plain {
				t.Fatal("the text has not changed")
			}
			_, probs := Read("a.yaml", []byte(text))
			if !strings.Contains(probs.Error(), c.want) {
				t.Errorf("%v\ndoes not say %q", probs, c.want)
			}
			for _, p := range probs {
				if p.File != "a.yaml" || p.Line == 0 || p.Hint == "" {
					t.Errorf("%+v", p)
				}
			}
		})
	}
	if s, probs := Read("a.yaml", []byte(plain)); len(probs) > 0 || s.Stop.Failures != DefaultFailures || time.Duration(s.End.Restore) != DefaultRestore {
		t.Fatalf("%v %+v", probs, s)
	}
	if _, probs := Read("a.yaml", make([]byte, MaxSize+1)); len(probs) != 1 {
		t.Error(probs)
	}
}

func TestBindPutsTheNamesOfANodeIn(t *testing.T) {
	take := func(what, more string) string {
		return strings.Replace(plain, "{what: {group: primary}, how: blackhole, at: 30s, for: 1m}", "{what: {"+what+"}, "+more+"}", 1)
	}
	for what, c := range map[string]struct {
		more, names, problem string
	}{
		"group: primary":              {"how: refuse", "[fra]", ""},
		"group: zrh":                  {"how: refuse", "[zrh]", ""},
		"group: carrier":              {"how: refuse", "", "carrier is none"},
		"group: frra":                 {"how: refuse", "", `did you mean "fra"?`},
		"trunk: carrier":              {"how: refuse", "[carrier]", ""},
		"region: primary":             {"how: refuse", "[fra fra2]", ""},
		"region: secondary":           {"how: refuse", "[zrh]", ""},
		"region: aws:eu-central-2":    {"how: refuse", "[zrh]", ""},
		"region: aws:eu-central-3":    {"how: refuse", "", `did you mean "aws:eu-central-1"?`},
		"target: primary/2":           {"how: refuse", "[fra/2]", ""},
		"target: primary/3":           {"how: refuse", "", "known here"},
		"target: primary":             {"how: refuse", "", "known here: fra/1, fra/2"},
		"dns: all":                    {"how: fail", "[all]", ""},
		"dns: primary":                {"how: moved, to: forbidden", "[fra]", ""},
		"approver: business_owner":    {"how: away", "[ben cleo]", ""},
		"approver: ben":               {"how: away", "[ben]", ""},
		"approver: dora":              {"how: away", "", "is no person or role of this node"},
		"channel: siem":               {"how: fail", "[siem]", ""},
		"channel: slack":              {"how: fail", "", "is no channel of this node"},
		"instrument: secondary":       {"how: struck", "[CH 2000/518/EC]", ""},
		"instrument: CH 2000/518/EC":  {"how: struck", "[CH 2000/518/EC]", ""},
		"instrument: primary":         {"how: struck", "", "no instrument is needed"},
		"instrument: US 2023/1795/EU": {"how: struck", "", "is no instrument or party of this node"},
		"recorder: any":               {"how: refuse", "", "needs a recorder, and this node has none"},
	} {
		t.Run(what, func(t *testing.T) {
			key, value, _ := strings.Cut(what, ": ")
			text := take(key+`: "`+value+`"`, c.more)
			if key == "approver" {
				text = strings.Replace(text, ", full]", "]", 1)
			}
			s, probs := Read("a", []byte(text))
			if len(probs) > 0 {
				t.Fatal(probs)
			}
			p, probs := s.Bind(world(), "line")
			if c.problem != "" {
				if p != nil || !strings.Contains(probs.Error(), c.problem) {
					t.Errorf("%v, want %q", probs, c.problem)
				}
				return
			}
			if len(probs) > 0 {
				t.Fatal(probs)
			}
			if got := fmt.Sprint(p.Taken[0].Names); got != c.names {
				t.Errorf("%s, want %s", got, c.names)
			}
		})
	}
}

func TestBindGivesEachItsPart(t *testing.T) {
	s, _ := Read("a", []byte(plain))
	p, probs := s.Bind(world(), "")
	if len(probs) > 0 || fmt.Sprint(p.Cast) != "map[carrier:carrier forbidden:iad primary:fra secondary:zrh]" || p.Placed[0].From != "carrier" {
		t.Fatalf("%v %+v", probs, p)
	}
	for name, c := range map[string]struct {
		change func(*World)
		route  string
		want   string
	}{
		"no such route":    {func(*World) {}, "lin", `did you mean "line"?`},
		"which route":      {func(w *World) { w.Routes = append(w.Routes, Route{Name: "other"}) }, "", "does not say which"},
		"nothing lawful":   {func(w *World) { w.Routes[0].To = []string{"iad"} }, "", "has no primary"},
		"nobody calls":     {func(w *World) { w.Routes[0].From = nil }, "", "has no carrier"},
		"a zero standing":  {func(w *World) { w.Parties[1].Standing, w.Parties[2].Standing, w.Parties[3].Standing = 0, 0, 0 }, "", "has no primary"},
		"elsewhere's word": {func(w *World) { w.Routes[0].To = w.Routes[0].To[:3] }, "", ""}, // iad is no choice of the route, and must not be reached either
	} {
		t.Run(name, func(t *testing.T) {
			w := world()
			c.change(&w)
			p, probs := s.Bind(w, c.route)
			if c.want == "" && (len(probs) > 0 || p.Cast[Forbidden] != "iad") || !strings.Contains(probs.Error(), c.want) {
				t.Errorf("%v, want %q", probs, c.want)
			}
		})
	}
}

func TestWhereNothingIsForbiddenNowhereIs(t *testing.T) {
	w := world()
	w.Parties, w.Routes[0].To = w.Parties[:4], w.Routes[0].To[:3]
	s, _ := Read("a", []byte(plain))
	if p, probs := s.Bind(w, ""); len(probs) > 0 || p.Cast[Forbidden] != Nowhere {
		t.Errorf("%v %+v", probs, p)
	}
	s, _ = Read("a", []byte(strings.Replace(plain, "{refused:", "{held: {party: forbidden}}\n  - {refused:", 1)))
	if _, probs := s.Bind(w, ""); !strings.Contains(probs.Error(), "nowhere never waits at the gate") {
		t.Error(probs)
	}
	waits := strings.NewReplacer("{refused:", "{held: {party: secondary}}\n  - {refused:").Replace(plain)
	s, _ = Read("a", []byte(waits))
	if _, probs := s.Bind(w, ""); !strings.Contains(probs.Error(), "zrh never waits at the gate") {
		t.Error(probs)
	}
	s, _ = Read("a", []byte(strings.Replace(waits, "{group: primary}, how: blackhole", "{instrument: secondary}, how: struck", 1)))
	if _, probs := s.Bind(w, ""); len(probs) > 0 {
		t.Errorf("what the scenario strikes waits at the gate: %v", probs)
	}
	s, _ = Read("a", []byte(strings.Replace(plain, "group: primary", "group: forbidden", 1)))
	if _, probs := s.Bind(w, ""); !strings.Contains(probs.Error(), "nowhere") {
		t.Errorf("what is nowhere was taken away: %v", probs)
	}
}

func TestWhoShowsNoCertificateHasNoWrongOne(t *testing.T) {
	for what, want := range map[string]string{"group: primary": "fra shows no certificate", "region: primary": "", "group: zrh": ""} {
		w := world()
		for i := range w.Parties {
			w.Parties[i].Bare = w.Parties[i].Name == "fra"
		}
		s, probs := Read("a", []byte(strings.Replace(plain, "{group: primary}, how: blackhole", "{"+what+"}, how: wrong_certificate", 1)))
		if len(probs) > 0 {
			t.Fatal(probs)
		}
		if _, probs = s.Bind(w, ""); want == "" && len(probs) > 0 || !strings.Contains(probs.Error(), want) {
			t.Errorf("%s: %v", what, probs)
		}
	}
}

func TestGoneAndNextAgree(t *testing.T) {
	text := strings.Replace(plain, "take:\n", "take:\n  - {what: {trunk: carrier}, how: flapping, every: 7s, at: 10s, for: 40s}\n  - {what: {channel: siem}, how: fail, at: 4m}\n", 1)
	s, probs := Read("a", []byte(text))
	if len(probs) > 0 {
		t.Fatal(probs)
	}
	p, probs := s.Bind(world(), "")
	if len(probs) > 0 {
		t.Fatal(probs)
	}
	what := func(at time.Duration) string {
		var kinds []string
		for _, g := range p.Gone(at) {
			kinds = append(kinds, string(g.Kind))
		}
		return strings.Join(kinds, " ")
	}
	for at, want := range map[time.Duration]string{
		0: "", 10 * time.Second: "trunk", 17 * time.Second: "", 24 * time.Second: "trunk", 30 * time.Second: "trunk group", 31 * time.Second: "group",
		45 * time.Second: "group", 50 * time.Second: "group", 90*time.Second - 1: "group", 90 * time.Second: "", 4 * time.Minute: "channel", 5*time.Minute - 1: "channel", 5 * time.Minute: "",
	} {
		if got := what(at); got != want {
			t.Errorf("at %s %q is gone, want %q", at, got, want)
		}
	}
	// Between two changes nothing changes, and at each something may: stepping by Next alone misses nothing.
	var at time.Duration
	steps := 0
	for next, ok := p.Next(at); ok; next, ok = p.Next(at) {
		for probe := at; probe < next; probe += 500 * time.Millisecond {
			if what(probe) != what(at) {
				t.Fatalf("it changed at %s, between %s and %s", probe, at, next)
			}
		}
		if next <= at {
			t.Fatalf("%s is not after %s", next, at)
		}
		at, steps = next, steps+1
	}
	if steps < 8 || at != 5*time.Minute || what(at) != "" {
		t.Errorf("%d steps to %s", steps, at)
	}
}

func TestEveryWayHasItsHint(t *testing.T) {
	for _, k := range []Kind{Target, Group, Trunk, Region, DNS, Approver, Channel, Instrument, Log, Node, Recorder} {
		if len(hows(k)) == 0 {
			t.Errorf("a %s cannot be taken away at all", k)
		}
	}
	for m, want := range map[Mode]string{Simulation: "simulation", Sandbox: "sandbox", Canary: "canary_percent", Full: "production_window"} {
		if m.Evidence() != want || m.Live() != (m == Canary || m == Full) {
			t.Error(m)
		}
	}
}

func FuzzRead(f *testing.F) {
	f.Add([]byte(plain))
	for _, name := range drills.Names() {
		text, _ := drills.Text(name)
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		s, probs := Read("a", data)
		if s == nil || len(probs) > 0 {
			if len(probs) == 0 {
				t.Fatal("nothing was read, and nobody is told why")
			}
			return
		}
		p, probs := s.Bind(world(), "")
		if (p == nil) == (len(probs) == 0) {
			t.Fatal("neither a play nor a problem")
		}
		if p == nil {
			return
		}
		at := time.Duration(-1)
		for range 50 {
			next, ok := p.Next(at)
			if ok && next <= at {
				t.Fatalf("%s is not after %s", next, at)
			}
			if !ok {
				return
			}
			p.Gone(next)
			at = next
		}
	})
}

// What has no second view is not taken away in a canary, and nobody is asked for one.
func TestWhatACanaryMayNot(t *testing.T) {
	const taking, first = "{what: {group: primary}, how: blackhole, at: 30s, for: 1m}", "expect:\n"
	for name, c := range map[string]struct{ old, to, want string }{
		"a group":       {taking, taking, ""},
		"names":         {taking, "{what: {dns: primary}, how: fail}", "dns is not taken away"},
		"a channel":     {taking, "{what: {channel: siem}, how: fail}", "channel is not taken away"},
		"an instrument": {taking, "{what: {instrument: secondary}, how: struck}", "instrument is not taken away"},
		"a person":      {taking, "{what: {approver: ben}, how: away}", "approver is not taken away"},
		"the log":       {taking, "{what: {log: decisions}, how: fail}", "log is not taken away"},
		"its approval":  {first, first + "  - {approved: {people: 1, within: 1m}}\n", "asks nobody at the gate"},
		"its failover":  {first, first + "  - {told: {channel: siem, kind: failover.applied, within: 1m}}\n", "nobody is told of what happens in its view alone"},
		"its start":     {first, first + "  - {told: {channel: siem, kind: drill.started, within: 1m}}\n", ""},
		"its primary":   {first, first + "  - {nothing_to: {party: primary}}\n", "calls of production go on to primary"},
		"what is held":  {first, first + "  - {nothing_to: {party: forbidden}}\n", ""},
	} {
		text := strings.Replace(strings.Replace(plain, c.old, c.to, 1), "modes: [simulation, sandbox, full]", "modes: [simulation, sandbox]", 1)
		s, probs := Read("a", []byte(text))
		if len(probs) > 0 {
			t.Fatalf("%s: %v", name, probs)
		}
		if err := s.Allows(Canary); c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
		if s.Allows(Sandbox) != nil {
			t.Errorf("%s: a sandbox may do anything", name)
		}
		if _, probs := Read("a", []byte(strings.Replace(text, "[simulation, sandbox]", "[canary]", 1))); (len(probs) > 0) != (c.want != "") {
			t.Errorf("%s, in a scenario that may run as canary: %v", name, probs)
		}
	}
}

// Who carries calls for help is not moved where they are real; in a sandbox there are none.
func TestWhoCarriesCallsForHelpIsNotMoved(t *testing.T) {
	for what, want := range map[string]bool{"{dns: carrier}, how: moved, to: forbidden": true, "{dns: all}, how: moved, to: forbidden": true, "{dns: primary}, how: moved, to: forbidden": false, "{dns: carrier}, how: fail": false} {
		s, probs := Read("a", []byte(strings.Replace(plain, "{what: {group: primary}, how: blackhole, at: 30s, for: 1m}", "{what: "+what+"}", 1)))
		if len(probs) > 0 {
			t.Fatal(probs)
		}
		w := world()
		for i := range w.Parties {
			w.Parties[i].Help = w.Parties[i].Trunk
		}
		p, probs := s.Bind(w, "")
		if len(probs) > 0 {
			t.Fatal(probs)
		}
		if err := p.Allows(Full); (err != nil) != want || err != nil && !strings.Contains(err.Error(), "calls for help") {
			t.Errorf("%s: %v", what, err)
		}
		if err := p.Allows(Sandbox); err != nil {
			t.Errorf("%s: %v", what, err)
		}
	}
}

// In a canary calls of production go on to whoever is permitted, also one that the scenario names and the node knows.
func TestNothingGoesWhereProductionDoes(t *testing.T) {
	for party, want := range map[string]string{"zrh": "zrh is permitted: in a canary calls of production go on to it", "iad": ""} {
		for modes, canary := range map[string]bool{"[sandbox, full]": false, "[canary]": true} {
			s, probs := Read("a", []byte(strings.NewReplacer("[simulation, sandbox, full]", modes, "expect:\n", "expect:\n  - {nothing_to: {party: "+party+"}}\n").Replace(plain)))
			if len(probs) > 0 {
				t.Fatal(probs)
			}
			_, probs = s.Bind(world(), "")
			if got := probs.Error(); canary && want != "" && !strings.Contains(got, want) || (!canary || want == "") && len(probs) > 0 {
				t.Errorf("%s in %s: %v", party, modes, probs)
			}
		}
	}
}
