package guard

import (
	"fmt"
	"strings"
	"testing"
	"time"
	_ "time/tzdata"

	"github.com/cordonsip/cordon/drill/scenario"
)

func berlin(t *testing.T) *time.Location {
	zone, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		t.Fatal(err)
	}
	return zone
}

func date(s string) time.Time {
	t, err := time.Parse(time.DateOnly, s)
	if err != nil {
		panic(err)
	}
	return t
}

func TestWindows(t *testing.T) {
	zone := berlin(t)
	night := Window{Name: "night", Days: []time.Weekday{time.Monday, time.Friday}, From: 22 * 60, To: 4 * 60, Zone: zone}
	noon := Window{Name: "noon", From: 12 * 60, To: 13 * 60}
	blocked := []Block{{date("2026-12-24"), date("2026-12-26"), "holidays"}}
	for _, c := range []struct {
		at      string // in Berlin
		windows []Window
		open    string // name and end; "": none
	}{
		{"2026-11-23 21:59", []Window{night}, ""}, // a Monday
		{"2026-11-23 22:00", []Window{night}, "night 2026-11-24 04:00"},
		{"2026-11-24 03:59", []Window{night}, "night 2026-11-24 04:00"},
		{"2026-11-24 04:00", []Window{night}, ""},
		{"2026-11-24 22:30", []Window{night}, ""},                       // a Tuesday
		{"2026-11-28 01:00", []Window{night}, "night 2026-11-28 04:00"}, // begun on Friday
		{"2026-11-25 13:30", []Window{night, noon}, "noon 2026-11-25 14:00"},
		{"2027-03-26 23:00", []Window{night}, "night 2027-03-27 04:00"},
		{"2026-12-25 23:00", []Window{night}, ""}, // a Friday, blocked
		{"2026-12-26 13:30", []Window{noon}, ""},  // the last blocked day
		{"2026-12-27 13:30", []Window{noon}, "noon 2026-12-27 14:00"},
	} {
		at, err := time.ParseInLocation("2006-01-02 15:04", c.at, zone)
		if err != nil {
			t.Fatal(err)
		}
		r := Rules{Windows: c.windows, Blocked: blocked}
		got := ""
		if o, ok := r.Opening(at); ok {
			got = o.Name + " " + o.To.In(zone).Format("2006-01-02 15:04")
		}
		if got != c.open {
			t.Errorf("%s: %q, want %q", c.at, got, c.open)
		}
	}
	r := Rules{Windows: []Window{{Name: "eve", From: 22 * 60, To: 4 * 60}}, Blocked: blocked}
	for at, want := range map[time.Time]string{ // what a block cuts off, and what it leaves
		date("2026-12-23").Add(23 * time.Hour): "12-23 22:00 to 12-24 00:00",
		date("2026-12-27").Add(time.Hour):      "12-27 00:00 to 12-27 04:00",
	} {
		o, ok := r.Opening(at)
		if got := o.From.Format("01-02 15:04") + " to " + o.To.Format("01-02 15:04"); !ok || got != want {
			t.Errorf("%s: %s, %v, want %s", at, got, ok, want)
		}
	}
}

func TestWhenAWindowOpensNext(t *testing.T) {
	now := date("2026-11-23").Add(9 * time.Hour)
	for name, c := range map[string]struct {
		r      Rules
		length time.Duration
		from   string
	}{
		"today":                  {Rules{Windows: []Window{{From: 600, To: 660}}}, time.Hour, "2026-11-23 10:00"},
		"open, and long enough":  {Rules{Windows: []Window{{From: 480, To: 660}}}, 2 * time.Hour, "2026-11-23 08:00"},
		"open, and too short":    {Rules{Windows: []Window{{From: 480, To: 660}}}, 150 * time.Minute, "2026-11-24 08:00"},
		"never that long":        {Rules{Windows: []Window{{From: 480, To: 660}}}, 4 * time.Hour, ""},
		"the first of two":       {Rules{Windows: []Window{{From: 900, To: 960}, {From: 600, To: 660}}}, time.Minute, "2026-11-23 10:00"},
		"after what is blocked":  {Rules{Windows: []Window{{From: 600, To: 660}}, Blocked: []Block{{date("2026-11-20"), date("2026-11-30"), "x"}}}, 0, "2026-12-01 10:00"},
		"never: all is blocked":  {Rules{Windows: []Window{{From: 600, To: 660}}, Blocked: []Block{{date("2026-01-01"), date("2030-01-01"), "x"}}}, 0, ""},
		"never: it is no window": {Rules{Windows: []Window{{From: 600, To: 600}}}, 0, ""},
		"never: there is none":   {Rules{}, 0, ""},
	} {
		got := ""
		if o, ok := c.r.Next(now, c.length); ok {
			got = o.From.Format("2006-01-02 15:04")
		}
		if got != c.from {
			t.Errorf("%s: %q, want %q", name, got, c.from)
		}
	}
}

// may is a drill that nothing keeps from beginning.
func may(mode scenario.Mode) (Rules, Facts) {
	rules := Rules{
		Windows: []Window{{Name: "day", From: 480, To: 1080}}, Blocked: []Block{{date("2026-12-24"), date("2026-12-26"), "the end of the year"}},
		Throttle: 2, MaxShare: 500, MaxCalls: 20, LowVolume: 5_000, Baseline: 100, Room: 64 << 20, Secondary: time.Minute,
		Starters: []string{"anna", "fred"}, Approvers: []string{"ben"}, Authors: []string{"dora"},
	}
	return rules, Facts{
		Now: date("2026-11-23").Add(9 * time.Hour), Mode: mode, Modes: []scenario.Mode{scenario.Sandbox, scenario.Canary, scenario.Full}, Length: time.Hour, Rate: 0.5,
		Share: 100, Cap: 5, Carries: 2 * time.Minute, Tester: "anna", Authors: []string{"carla"}, Configurers: []string{"emil", "fred"}, Approvals: 1, Wanted: 1, Calls: 50,
	}
}

func TestEachGuardKeepsADrillFromBeginning(t *testing.T) {
	for name, c := range map[string]struct {
		spoil func(r *Rules, f *Facts)
		modes string // in which it matters: s, c, f
		want  string // name: why
	}{
		"nothing":                     {func(*Rules, *Facts) {}, "", ""},
		"the lever":                   {func(_ *Rules, f *Facts) { f.Forbidden = "an audit" }, "scf", "lever: all drills are forbidden: an audit"},
		"a mode of its own":           {func(_ *Rules, f *Facts) { f.Modes = []scenario.Mode{scenario.Simulation} }, "scf", "mode: the scenario may not run as"},
		"another drill":               {func(_ *Rules, f *Facts) { f.Running = "01X" }, "scf", "other_drill: 01X runs: one at a time"},
		"too many calls":              {func(_ *Rules, f *Facts) { f.Rate = 2.5 }, "scf", "throttle: it places 2.5 calls each second, and no more than 2 may be"},
		"a log that is full":          {func(_ *Rules, f *Facts) { f.Log = "no space" }, "scf", "log: the log takes no entry: no space"},
		"no room for a sandbox":       {func(_ *Rules, f *Facts) { f.Kept = 64 << 20 }, "s", "sandbox_room: earlier sandboxes have 64 MiB, and 64 MiB may be (drills.sandbox_room)"},
		"somebody else":               {func(_ *Rules, f *Facts) { f.Tester = "zoe" }, "cf", "tester: the tester is none of drills.starters"},
		"who wrote the scenario":      {func(_ *Rules, f *Facts) { f.Authors = []string{"anna"} }, "cf", "independent_of_scenario: the tester is an author of the scenario"},
		"who wrote the configuration": {func(r *Rules, _ *Facts) { r.Authors = []string{"anna"} }, "cf", "independent_of_configuration: the tester made the configuration"},
		"who put it in force":         {func(_ *Rules, f *Facts) { f.Tester = "fred" }, "cf", "independent_of_configuration: the tester made the configuration"},
		"nobody agreed":               {func(_ *Rules, f *Facts) { f.Approvals = 0 }, "cf", "second_person: 0 of 1 other people agreed: it waits for them"},
		"nobody is asked":             {func(_ *Rules, f *Facts) { f.Wanted = 0 }, "cf", "second_person: 1 of 1 other people agreed: it waits for them"},
		"no window":                   {func(r *Rules, _ *Facts) { r.Windows = nil }, "cf", "window: the configuration names no window"},
		"it is early":                 {func(_ *Rules, f *Facts) { f.Now = date("2026-11-23").Add(7 * time.Hour) }, "cf", "window: no window is open; day opens at 2026-11-23 08:00 +00:00"},
		"it is late":                  {func(_ *Rules, f *Facts) { f.Now = date("2026-11-23").Add(17*time.Hour + time.Minute) }, "cf", "window: day closes at 2026-11-23 18:00 +00:00, and the drill may take 1h0m0s; day opens at 2026-11-24 08:00"},
		"it is too long":              {func(_ *Rules, f *Facts) { f.Length = 11 * time.Hour }, "cf", "window: day closes at"},
		"it would never fit":          {func(_ *Rules, f *Facts) { f.Now, f.Length = date("2026-11-23"), 11*time.Hour }, "cf", "window: no window is open, and none opens in the next 400 days"},
		"many calls":                  {func(_ *Rules, f *Facts) { f.Calls = 51 }, "cf", "low_volume: 51 calls are up; at most 50% of 100 (as configured) may be: 50"},
		"nothing was learnt":          {func(r *Rules, f *Facts) { r.Baseline = 0 }, "cf", "low_volume: 0 h of traffic are known, and 24 are needed"},
		"an incident":                 {func(_ *Rules, f *Facts) { f.Incidents = []string{"INC-1"} }, "cf", "incidents: open: INC-1"},
		"a party is down":             {func(_ *Rules, f *Facts) { f.Unwell = []string{"fra is down", "zrh is degraded"} }, "cf", "health: not up: fra is down, zrh is degraded"},
		"a grant is live":             {func(_ *Rules, f *Facts) { f.Grants = []string{"T1"} }, "cf", "grants: open at the gate: T1"},
		"too large a share":           {func(_ *Rules, f *Facts) { f.Share = 501 }, "c", "canary: it would take 5.01% of the calls and 5 at once; 5% and 1 to 20 may be"},
		"too many at once":            {func(_ *Rules, f *Facts) { f.Cap = 21 }, "c", "canary: it would take"},
		"without a cap":               {func(_ *Rules, f *Facts) { f.Cap = 0 }, "c", "canary: it would take"},
		"too short over there":        {func(_ *Rules, f *Facts) { f.Carries = time.Second }, "f", "secondary: the redundant way is to carry calls for 1s, and drills.secondary_for wants 1m0s"},
	} {
		for _, mode := range []scenario.Mode{scenario.Sandbox, scenario.Canary, scenario.Full} {
			r, f := may(mode)
			c.spoil(&r, &f)
			bad := Failing(r.Judge(&f))
			matters := strings.Contains(c.modes, string(mode)[:1])
			if len(bad) != 1 && matters || len(bad) != 0 && !matters {
				t.Errorf("%s, %s: %+v", name, mode, bad)
			} else if matters && !strings.HasPrefix(bad[0].Name+": "+bad[0].Why, c.want) {
				t.Errorf("%s, %s: %s: %s\nwant %s", name, mode, bad[0].Name, bad[0].Why, c.want)
			}
		}
	}
	r, f := may(scenario.Full)
	f.Now = date("2026-12-24").Add(9 * time.Hour)
	if bad := Failing(r.Judge(&f)); len(bad) != 2 || bad[0].Name != "blocked_date" || bad[0].Why != "today is blocked: the end of the year" || !strings.Contains(bad[1].Why, "2026-12-27 08:00") {
		t.Errorf("%+v", bad)
	}
	f = Facts{Mode: scenario.Full, Modes: []scenario.Mode{scenario.Full}, Tester: "anna", Approvals: 1, Wanted: 1}
	if bad := Failing(new(Rules).Judge(&f)); len(bad) < 3 {
		t.Errorf("without a configuration %+v keep a live drill from beginning", bad)
	}
	f = Facts{Mode: scenario.Sandbox, Modes: []scenario.Mode{scenario.Sandbox}, Tester: "anna", Rate: 1}
	if bad := Failing(new(Rules).Judge(&f)); len(bad) != 0 {
		t.Errorf("a sandbox without a configuration: %+v", bad)
	}
}

func TestWhatIsLearntOfTheTraffic(t *testing.T) {
	var l Learnt
	start := date("2026-11-01")
	r := Rules{LowVolume: 5_000}
	for h := range keptHours + 40 {
		calls := 10
		switch h {
		case 30:
			calls = 80 // the busiest, as long as it is remembered
		case keptHours:
			calls = 40
		}
		for m := range 60 {
			l.Look(start.Add(time.Duration(h)*time.Hour+time.Duration(m)*time.Minute), calls)
		}
		switch h {
		case 22:
			if holds, why := r.Volume(1, l); holds || !strings.Contains(why, "23 h of traffic") {
				t.Errorf("%v, %s", holds, why)
			}
		case 40:
			for n, want := range map[int]bool{40: true, 41: false} {
				if holds, why := r.Volume(n, l); holds != want || why != fmt.Sprintf("%d calls are up; at most 50%% of 80 (the busiest of 41 hours) may be: 40", n) {
					t.Errorf("%v, %s", holds, why)
				}
			}
		}
	}
	l.Look(start, 1) // the clock was set back
	if busiest, hours := l.Busiest(); busiest != 40 || hours != keptHours {
		t.Errorf("%.0f calls in %d hours", busiest, hours)
	}
}
