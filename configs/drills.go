package configs

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/cordonsip/cordon/configs/drills"
	"github.com/cordonsip/cordon/drill/guard"
	"github.com/cordonsip/cordon/drill/register"
	"github.com/cordonsip/cordon/drill/scenario"
	"github.com/cordonsip/cordon/internal/strict"
	"go.yaml.in/yaml/v3"
)

// Drills is when drills may run, who starts them, and which come round. Without the section a node plays them in a sandbox alone.
type Drills struct {
	// Folder of your own scenarios, *.yaml, beside those that ship.
	Scenarios string `yaml:"scenarios,omitempty"`
	// When drills that meet callers may run. Without one there are none.
	Windows []DrillWindow `yaml:"windows,omitempty"`
	// Days on which no window opens.
	Blocked []DrillBlock `yaml:"blocked,omitempty"`
	// People who may start drills that meet callers: ids of people.
	Starters []string `yaml:"starters,omitempty"`
	// People whose word such a drill needs beside that of who starts it: ids of people.
	Approvers []string `yaml:"approvers,omitempty"`
	// How long a request waits for that word; default 24h, at most 168h.
	ApproveIn Duration `yaml:"approve_in,omitempty"`
	// People who write this configuration: none of them tests by it (DORA Art. 24(4)). Who put it in force is known from the log.
	Authors []string `yaml:"authors,omitempty"`
	// Whose clean-up and sign-off of a canary or a full drill must bear a signature: enrolled (default): of those who have a key that counts; required: of everybody.
	Signed string `yaml:"signed,omitempty"`
	// Calls of a drill each second, at most; default 10.
	Throttle *float64 `yaml:"throttle,omitempty"`
	// How much of production a canary may take.
	Canary DrillCanary `yaml:"canary,omitempty"`
	// How little must be going on.
	LowVolume DrillVolume `yaml:"low_volume,omitempty"`
	// How much of the disk the logs of earlier sandboxes may have before one more is made; default 1GiB. They are evidence, and nothing removes them but people.
	SandboxRoom string `yaml:"sandbox_room,omitempty"`
	// How long the redundant way must carry calls in a full drill at least: RTS (EU) 2024/1774 Art. 25(2).
	SecondaryFor Duration `yaml:"secondary_for,omitempty"`
	// Who is told before, during and after.
	Alert DrillAlert `yaml:"alert,omitempty"`
	// Drills that come round: at least one each year, DORA Art. 11(6)(a).
	Calendar []DrillDuty `yaml:"calendar,omitempty"`
}

// DrillWindow is a time of the day in which drills that meet callers may run.
type DrillWindow struct {
	// Its name, for people.
	Name string `yaml:"name"`
	// mon, tue, wed, thu, fri, sat, sun; default: every day. A window over midnight belongs to the day on which it begins.
	Days []string `yaml:"days,omitempty"`
	// Beginning, HH:MM.
	From string `yaml:"from"`
	// End, HH:MM; before from: on the next day.
	To string `yaml:"to"`
	// Time zone, e.g. Europe/Berlin; default UTC.
	Zone string `yaml:"zone,omitempty"`
}

// DrillBlock is days on which no window opens.
type DrillBlock struct {
	// First day, YYYY-MM-DD.
	From string `yaml:"from"`
	// Last day, which belongs to it; default: the first.
	To string `yaml:"to,omitempty"`
	// Why.
	Reason string `yaml:"reason"`
}

// DrillCanary bounds canaries.
type DrillCanary struct {
	// Share of the calls of a route; default 5%.
	MaxShare string `yaml:"max_share,omitempty"`
	// Calls at once; default 20.
	MaxCalls int `yaml:"max_calls,omitempty"`
}

// DrillVolume says what little traffic is.
type DrillVolume struct {
	// Share of calls that are up at a busy time; default 50%.
	AtMost string `yaml:"at_most,omitempty"`
	// How many are up at a busy time; default: what the node has learnt in the last four weeks.
	Calls int `yaml:"calls,omitempty"`
}

// DrillAlert says who is told.
type DrillAlert struct {
	// Channels of notify that get every notice of drills, whatever their kinds.
	Channels []string `yaml:"channels,omitempty"`
	// How long before the start of one that meets callers; default 15m, at most 168h.
	Lead Duration `yaml:"lead,omitempty"`
}

// DrillDuty is a drill that comes round.
type DrillDuty struct {
	// Name of a scenario.
	Scenario string `yaml:"scenario"`
	// sandbox, canary or full; default full.
	Mode string `yaml:"mode,omitempty"`
	// Months between two, 1 to 12; default 12.
	Months int `yaml:"every_months,omitempty"`
	// Days before it is due on which people are reminded; default 60, 30 and 7.
	WarnDays []int `yaml:"warn_days,omitempty"`
}

// DrillsPart is what the section comes to.
type DrillsPart struct {
	guard.Rules
	Own       map[string]OwnScenario // by name
	ApproveIn time.Duration
	Signed    bool // no session alone signs a drill of production off
	Channels  []string
	Lead      time.Duration
	Calendar  []register.Duty
}

// OwnScenario is one that does not ship.
type OwnScenario struct {
	*scenario.Scenario
	Text []byte
}

// The defaults of times in the section.
const (
	drillApproveIn = 24 * time.Hour
	drillLead      = 15 * time.Minute
	longestAhead   = 7 * 24 * time.Hour
)

// Scenario gives a scenario of one's own or one that ships, with its text; ok is false when there is none of that name.
func (p *DrillsPart) Scenario(name string) (s *scenario.Scenario, text []byte, ok bool) {
	if own, is := p.Own[name]; is {
		return own.Scenario, own.Text, true
	}
	if text, ok = drills.Text(name); !ok {
		return nil, nil, false
	}
	s, probs := scenario.Read(name, text)
	return s, text, len(probs) == 0
}

// Names are those of all scenarios, sorted.
func (p *DrillsPart) Names() []string {
	out := drills.Names()
	for name := range p.Own {
		out = append(out, name)
	}
	slices.Sort(out)
	return out
}

func (b *builder) drills(c *Config) {
	d := &b.doc.file.Drills
	p := &c.Drills
	p.ApproveIn, p.Lead, p.Channels = d.ApproveIn.Or(drillApproveIn), d.Alert.Lead.Or(drillLead), d.Alert.Channels
	p.Throttle, p.MaxCalls, p.Baseline, p.Secondary = guard.DefaultThrottle, guard.DefaultMaxCalls, d.LowVolume.Calls, time.Duration(d.SecondaryFor)
	p.Starters, p.Approvers, p.Authors = d.Starters, d.Approvers, d.Authors
	if p.Signed = d.Signed == "required"; !p.Signed && d.Signed != "" && d.Signed != "enrolled" {
		b.fail("drills.signed", "enrolled or required", "%.40q is neither", d.Signed)
	}
	b.drillScenarios(d, p)
	b.drillWindows(d, p)
	b.drillPeople(d)
	b.drillBounds(d, p)
	for i, name := range d.Alert.Channels {
		if !slices.ContainsFunc(c.Channels, func(ch ChannelPart) bool { return ch.Name == name }) {
			b.fail(fmt.Sprintf("drills.alert.channels[%d]", i), "name a channel of notify", "%.80q is no channel", name)
		}
	}
	for i, duty := range d.Calendar {
		b.drillDuty(p, fmt.Sprintf("drills.calendar[%d]", i), duty)
	}
}

// drillScenarios reads the folder of one's own scenarios.
func (b *builder) drillScenarios(d *Drills, p *DrillsPart) {
	if d.Scenarios == "" {
		return
	}
	p.Own = map[string]OwnScenario{}
	dir := b.path(d.Scenarios)
	files, err := os.ReadDir(dir)
	if err != nil {
		b.fail("drills.scenarios", "name a folder of scenarios, one *.yaml each", "cannot be read: %v", errors.Unwrap(err))
		return
	}
	for _, f := range files {
		if f.IsDir() || filepath.Ext(f.Name()) != ".yaml" {
			continue
		}
		text, err := readScenario(filepath.Join(dir, f.Name()))
		if err != nil {
			b.fail("drills.scenarios", "one page of text", "%s cannot be read: %v", f.Name(), err)
			continue
		}
		s, probs := scenario.Read(filepath.Join(dir, f.Name()), text)
		b.probs = append(b.probs, probs...)
		if s == nil || len(probs) > 0 {
			continue
		}
		_, ships := drills.Text(s.Name)
		if _, twice := p.Own[s.Name]; twice || ships {
			b.fail("drills.scenarios", "give it a name of its own: reports name it", "%s is called %s, which another one is", f.Name(), s.Name)
			continue
		}
		p.Own[s.Name] = OwnScenario{s, text}
	}
}

// readScenario reads no more of a file than a scenario may have.
func readScenario(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, errors.Unwrap(err)
	}
	defer f.Close()
	var text bytes.Buffer
	_, err = io.Copy(&text, io.LimitReader(f, scenario.MaxSize+1))
	return text.Bytes(), err
}

func (b *builder) drillWindows(d *Drills, p *DrillsPart) {
	for i, x := range d.Blocked {
		at := fmt.Sprintf("drills.blocked[%d]", i)
		if x.From == "" {
			b.fail(at+".from", "write a day as YYYY-MM-DD", "is missing")
			continue
		}
		block := guard.Block{From: b.date(at+".from", x.From, false), Why: x.Reason}
		if block.To = block.From; x.To != "" {
			block.To = b.date(at+".to", x.To, false)
		}
		if block.To.Before(block.From) {
			b.fail(at+".to", "the same day, or a later one", "is before from")
		}
		if x.Reason == "" {
			b.fail(at+".reason", "say why in a word: whoever plans a drill is told", "is missing")
		}
		p.Blocked = append(p.Blocked, block)
	}
	for i, w := range d.Windows {
		b.drillWindow(p, fmt.Sprintf("drills.windows[%d]", i), w)
	}
}

func (b *builder) drillWindow(p *DrillsPart, at string, w DrillWindow) {
	before := len(b.probs)
	out := guard.Window{Name: w.Name, From: b.minute(at+".from", w.From), To: b.minute(at+".to", w.To), Zone: time.UTC}
	if w.Name == "" || slices.ContainsFunc(p.Windows, func(x guard.Window) bool { return x.Name == w.Name }) {
		b.fail(at+".name", "give each window a name of its own, such as night: reports name it", "is missing, or taken by another window")
	}
	for i, day := range w.Days {
		n := slices.Index(weekdays, strings.ToLower(day))
		if n < 0 {
			b.fail(fmt.Sprintf("%s.days[%d]", at, i), "one of mon, tue, wed, thu, fri, sat, sun", "%.20q is no day", day)
			continue
		}
		out.Days = append(out.Days, time.Weekday(n))
	}
	if w.Zone != "" {
		zone, err := time.LoadLocation(w.Zone)
		if err != nil || w.Zone == "Local" {
			b.fail(at+".zone", "an IANA name such as Europe/Berlin; the system must have its time zones installed (package tzdata). Without zone the window is in UTC", "%.80q is no time zone here", w.Zone)
		} else {
			out.Zone = zone
		}
	}
	p.Windows = append(p.Windows, out)
	if len(b.probs) > before {
		return
	}
	alone := guard.Rules{Windows: []guard.Window{out}, Blocked: p.Blocked}
	switch _, opens := alone.Next(time.Now(), 0); {
	case out.From == out.To:
		b.fail(at+".to", "another time than from; for the whole day write from: 00:00 and to: 23:59", "the window never opens: it ends when it begins")
	case !opens:
		b.fail(at, "block fewer days, or choose other ones", "the window never opens: drills.blocked covers each of its days of the next 400")
	}
}

// drillPeople checks that a drill that meets callers has two people. Who they are is not said: problems go to logs.
func (b *builder) drillPeople(d *Drills) {
	known := func(id string) bool {
		return slices.ContainsFunc(b.doc.file.People, func(p Person) bool { return p.ID == id })
	}
	for key, list := range map[string][]string{"starters": d.Starters, "approvers": d.Approvers, "authors": d.Authors} {
		for i, id := range list {
			at := fmt.Sprintf("drills.%s[%d]", key, i)
			if !known(id) {
				b.fail(at, "the id of somebody under people", "is nobody's id")
			} else if key == "starters" && slices.Contains(d.Authors, id) {
				b.warn(at, "name somebody who did not write it, or nobody will be able to start: DORA Art. 24(4)", "this person is an author of the configuration, and may not test by it")
			}
		}
	}
	if len(d.Windows) == 0 {
		if len(d.Starters)+len(d.Approvers) > 0 {
			b.fail("drills.windows", "add a window, or leave starters and approvers out: a sandbox needs neither", "is missing: nobody could ever start a drill that meets callers")
		}
		return
	}
	if len(d.Starters) == 0 {
		b.fail("drills.starters", "name who may start a drill that meets callers", "is missing")
	}
	if len(d.Approvers) == 0 {
		b.fail("drills.approvers", "name who approves: a drill that meets callers needs two people", "is missing: no mode that meets callers goes without approval")
	}
	for i, id := range d.Starters {
		if len(d.Approvers) > 0 && !slices.ContainsFunc(d.Approvers, func(a string) bool { return a != id }) {
			b.fail(fmt.Sprintf("drills.starters[%d]", i), "name another approver: nobody approves their own drill", "nobody but this person may approve what this person starts")
		}
	}
}

func (b *builder) drillBounds(d *Drills, p *DrillsPart) {
	if d.Throttle != nil {
		if p.Throttle = *d.Throttle; p.Throttle <= 0 {
			b.fail("drills.throttle", "calls each second, such as 2; leave it out for 10", "a throttle of %v lets no call of a drill through", p.Throttle)
		} else if p.Throttle > 1000 {
			b.fail("drills.throttle", "at most 1000: a drill is no flood", "%v is out of range", p.Throttle)
		}
	}
	p.MaxShare = b.drillShare("drills.canary.max_share", d.Canary.MaxShare, guard.DefaultMaxShare)
	if d.SandboxRoom != "" {
		var err error
		if p.Room, err = parseBytes(d.SandboxRoom); err != nil || p.Room < 1<<20 {
			b.fail("drills.sandbox_room", "at least 1MiB, e.g. 1GiB", "%.20q is no such size", d.SandboxRoom)
		}
	}
	p.LowVolume = b.drillShare("drills.low_volume.at_most", d.LowVolume.AtMost, guard.DefaultLowVolume)
	if n := d.Canary.MaxCalls; n < 0 || n > 1000 {
		b.fail("drills.canary.max_calls", "1 to 1000", "%d is out of range", n)
	} else if n > 0 {
		p.MaxCalls = n
	}
	if d.LowVolume.Calls < 0 {
		b.fail("drills.low_volume.calls", "calls that are up at a busy time; leave it out to have it learnt", "%d is out of range", d.LowVolume.Calls)
	}
	for path, t := range map[string]time.Duration{"drills.approve_in": p.ApproveIn, "drills.alert.lead": p.Lead} {
		if t < time.Minute || t > longestAhead {
			b.fail(path, "between 1m and 168h", "%s is out of range", t)
		}
	}
	if p.Secondary < 0 || p.Secondary > scenario.MaxLength {
		b.fail("drills.secondary_for", "up to 24h", "%s is out of range", p.Secondary)
	}
}

// drillShare reads a share above zero.
func (b *builder) drillShare(path, s string, usual strict.Percent) strict.Percent {
	if s == "" {
		return usual
	}
	var p strict.Percent
	if err := p.UnmarshalYAML(&yaml.Node{Value: s}); err != nil || p == 0 {
		b.fail(path, "a share above 0%, such as 5%", "%.20q is no such share", s)
	}
	return p
}

func (b *builder) drillDuty(p *DrillsPart, at string, d DrillDuty) {
	s, _, ok := p.Scenario(d.Scenario)
	if !ok {
		names := p.Names()
		hint := "known: " + strict.Words(names)
		if near := strict.Nearest(d.Scenario, names); near != "" {
			hint = fmt.Sprintf("did you mean %q?", near)
		}
		b.fail(at+".scenario", hint, "there is no scenario %.80q", d.Scenario)
		return
	}
	mode := scenario.Mode(d.Mode)
	if mode == "" {
		mode = scenario.Full
	}
	if mode == scenario.Simulation || !slices.Contains(scenario.Modes(), mode) {
		b.fail(at+".mode", "sandbox, canary or full", "%.20q is no mode that a node plays", d.Mode)
	} else if !slices.Contains(s.Modes, mode) {
		b.fail(at+".mode", "one that the scenario names under modes", "%s may not run as %s", s.Name, mode)
	} else if mode.Live() && len(p.Windows) == 0 {
		b.fail(at+".mode", "add drills.windows, or mode: sandbox", "no drill that meets callers may run: there is no window")
	}
	if d.Months < 0 || d.Months > register.Months {
		b.fail(at+".every_months", "1 to 12: DORA Art. 11(6)(a) wants a test each year", "%d is out of range", d.Months)
	}
	for i, days := range d.WarnDays {
		if days < 1 || days > 300 {
			b.fail(fmt.Sprintf("%s.warn_days[%d]", at, i), "between 1 and 300", "%d is out of range", days)
		}
	}
	p.Calendar = append(p.Calendar, register.Duty{Scenario: d.Scenario, Mode: mode.Evidence(), Months: d.Months, Warn: d.WarnDays})
}
