package configs

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/cordonsip/cordon/healthcheck"
	"github.com/cordonsip/cordon/routing"
)

// Breaker of a target that fell.
type Breaker struct {
	// Answers in a row bring it back at once, without one call that tries it first.
	Off bool `yaml:"off,omitempty"`
	// How long a target with good probes waits for that call, until its probes alone bring it back; default: twice the interval.
	HalfOpen Duration `yaml:"half_open,omitempty"`
}

// Flap is the cap on falls.
type Flap struct {
	// No cap.
	Off bool `yaml:"off,omitempty"`
	// Falls inside the window that are too many; default 6.
	Max int `yaml:"max,omitempty"`
	// Window; default 10m.
	Within Duration `yaml:"within,omitempty"`
	// How long it must have answered before it is used again; default 10m. A person may say so earlier (cordon service set).
	Quiet Duration `yaml:"quiet,omitempty"`
}

// CallQuality says what the calls of a target must be like. Without a threshold nothing is judged, and the figures are shown all the same.
type CallQuality struct {
	// Nothing is judged, whatever the general section says.
	Off bool `yaml:"off,omitempty"`
	// How far back calls count; default 5m.
	Window Duration `yaml:"window,omitempty"`
	// Calls in the window before they are judged; default 20.
	MinCalls int `yaml:"min_calls,omitempty"`
	// Least share of answered calls (ASR), 0 to 1. People who are busy count against it.
	MinASR float64 `yaml:"min_asr,omitempty"`
	// Least share of calls that the network carried (NER), 0 to 1. What people do, such as 486, 404 and 603, does not count against it.
	MinNER float64 `yaml:"min_ner,omitempty"`
	// Longest mean time from INVITE to ringing.
	MaxPDD Duration `yaml:"max_pdd,omitempty"`
	// Least mean opinion score of what it sends, 1 to 4.5.
	MinMOS float64 `yaml:"min_mos,omitempty"`
	// What happens below a threshold: degraded (default) or down.
	Below string `yaml:"below,omitempty"`
}

// ProbeCall is a synthetic call to a test number, through the same plan and fence as every call. It never goes to a held or denied place.
type ProbeCall struct {
	// Trunk or edge group in whose name it is placed; a route must lead from it to the party.
	From string `yaml:"from,omitempty"`
	// Number that answers test calls; no emergency number.
	To string `yaml:"to,omitempty"`
	// One call each; default 1m, at least 10s. The targets of the party take turns.
	Every Duration `yaml:"every,omitempty"`
	// How long it stays up; default 3s, at most 1m.
	Hold Duration `yaml:"hold,omitempty"`
}

// FailbackWindow is the only time of the day at which a route goes back.
type FailbackWindow struct {
	// Days: mon, tue, wed, thu, fri, sat, sun; default: all. A window over midnight belongs to the day on which it begins.
	Days []string `yaml:"days,omitempty"`
	// First minute, HH:MM.
	From string `yaml:"from"`
	// Minute after the last, HH:MM; before from: on the next day.
	To string `yaml:"to"`
	// IANA time zone, such as Europe/Berlin; default UTC.
	Zone string `yaml:"zone,omitempty"`
}

const defaultFlapMax = 6

// guards fills in what keeps a target from coming back too soon, and what its calls must be like.
func (b *builder) guards(path string, h Health, def healthcheck.Settings, s *healthcheck.Settings) {
	s.HalfOpen = h.Breaker.HalfOpen.Or(def.HalfOpen)
	if s.HalfOpen == 0 {
		s.HalfOpen = 2 * s.Interval
	}
	if h.Breaker.Off {
		s.HalfOpen = -1
	}
	s.FlapMax, s.FlapWithin, s.FlapQuiet = h.Flap.Max, h.Flap.Within.Or(def.FlapWithin), h.Flap.Quiet.Or(def.FlapQuiet)
	if s.FlapMax == 0 {
		s.FlapMax = def.FlapMax
	}
	if h.Flap.Max < 0 || h.Flap.Max > 128 {
		b.fail(path+".flap.max", "between 1 and 128; off: true for no cap", "%d is out of range", h.Flap.Max)
	}
	if h.Flap.Off {
		s.FlapMax = -1
	}
	s.Quality = b.quality(path+".calls", h.Calls, def.Quality)
}

func (b *builder) quality(path string, q CallQuality, def healthcheck.Quality) healthcheck.Quality {
	out := healthcheck.Quality{
		Window: q.Window.Or(def.Window), MinCalls: q.MinCalls, MinASR: q.MinASR, MinNER: q.MinNER, MaxPDD: q.MaxPDD.Or(def.MaxPDD), MinMOS: q.MinMOS, Down: def.Down,
	}
	if out.Window == 0 {
		out.Window = 5 * time.Minute
	}
	if out.MinCalls == 0 {
		out.MinCalls = def.MinCalls
	}
	if out.MinASR == 0 {
		out.MinASR = def.MinASR
	}
	if out.MinNER == 0 {
		out.MinNER = def.MinNER
	}
	if out.MinMOS == 0 {
		out.MinMOS = def.MinMOS
	}
	switch q.Below {
	case "":
	case "degraded", "down":
		out.Down = q.Below == "down"
	default:
		b.fail(path+".below", "degraded or down", "%q is unknown", q.Below)
	}
	for at, v := range map[string]float64{".min_asr": q.MinASR, ".min_ner": q.MinNER} {
		if !(v >= 0 && v <= 1) { // written so that .nan is refused
			b.fail(path+at, "a share between 0 and 1, e.g. 0.9", "%v is out of range", v)
		}
	}
	if !(q.MinMOS == 0 || q.MinMOS >= 1 && q.MinMOS <= 4.5) {
		b.fail(path+".min_mos", "between 1 and 4.5, e.g. 3.6", "%v is out of range", q.MinMOS)
	}
	if q.MinCalls < 0 {
		b.fail(path+".min_calls", "count from 0", "%d is out of range", q.MinCalls)
	}
	if out.Window < time.Second || out.Window > 24*time.Hour {
		b.fail(path+".window", "between 1s and 24h", "%s is out of range", out.Window)
	}
	if q.Off {
		return healthcheck.Quality{Window: out.Window}
	}
	return out
}

var weekdays = []string{"sun", "mon", "tue", "wed", "thu", "fri", "sat"}

// failback reads when a route may go back.
func (b *builder) failback(path string, f Failback) routing.SwitchRule {
	out := routing.SwitchRule{FailbackAfter: f.After.Or(10 * time.Minute), Manual: f.Manual}
	if f.Window == nil {
		return out
	}
	at := path + ".window"
	if f.Manual {
		b.fail(at, "keep manual: true, or the window", "a route that goes back by hand alone has no window")
	}
	w := &routing.Window{Zone: time.UTC}
	for i, d := range f.Window.Days {
		day := slices.Index(weekdays, strings.ToLower(d))
		if day < 0 {
			b.fail(fmt.Sprintf("%s.days[%d]", at, i), "one of mon, tue, wed, thu, fri, sat, sun", "%q is no day", d)
			continue
		}
		w.Days = append(w.Days, time.Weekday(day))
	}
	w.From, w.To = b.minute(at+".from", f.Window.From), b.minute(at+".to", f.Window.To)
	if w.From == w.To && f.Window.From != "" {
		b.fail(at+".to", "leave the window out if any time will do", "the window from %s to %s is empty", f.Window.From, f.Window.To)
	}
	if f.Window.Zone != "" {
		zone, err := time.LoadLocation(f.Window.Zone)
		if err != nil || f.Window.Zone == "Local" {
			b.fail(at+".zone", "an IANA name such as Europe/Berlin; the system must have its time zones installed (package tzdata). Without zone the window is in UTC", "%q is no time zone here", f.Window.Zone)
			return out
		}
		w.Zone = zone
	}
	out.Window = w
	return out
}

// minute of the day.
func (b *builder) minute(path, s string) int {
	t, err := time.Parse("15:04", s)
	if err != nil {
		b.fail(path, "write it as HH:MM, e.g. 02:30", "%q is no time of the day", s)
		return 0
	}
	return t.Hour()*60 + t.Minute()
}

// probeCall reads the synthetic calls of a party.
func (b *builder) probeCall(path string, h Health) healthcheck.Call {
	if h.Probe == "" || h.Probe == "options" {
		if h.Call != (ProbeCall{}) {
			b.fail(path+".call", "add probe: call or probe: media", "nothing is called while the probe is options")
		}
		return healthcheck.Call{}
	}
	if h.Probe != "call" && h.Probe != "media" {
		b.fail(path+".probe", "options, call or media", "%q is unknown", h.Probe)
		return healthcheck.Call{}
	}
	out := healthcheck.Call{From: h.Call.From, To: h.Call.To, Every: h.Call.Every.Or(time.Minute), Hold: h.Call.Hold.Or(3 * time.Second), Echo: h.Probe == "media"}
	if _, ok := b.names[out.From]; !ok {
		b.fail(path+".call.from", "name the trunk or edge group whose route leads here", "unknown party %q", out.From)
	}
	if out.To == "" {
		b.fail(path+".call.to", "a number that answers test calls, e.g. +4969900999", "is missing")
	}
	emergency := func(e Emergency) bool { return slices.Contains(e.Numbers, out.To) }
	if out.To == "112" || slices.ContainsFunc(b.doc.file.Emergency, emergency) {
		b.fail(path+".call.to", "a number that answers test calls", "%q is an emergency number", out.To)
	}
	if out.Every < 10*time.Second || out.Every > 24*time.Hour || out.Hold > time.Minute {
		b.fail(path+".call", "every between 10s and 24h, hold at most 1m", "out of range")
		out.Every, out.Hold = time.Minute, 0
	}
	return out
}
