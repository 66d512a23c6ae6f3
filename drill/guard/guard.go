package guard

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/cordonsip/cordon/drill/scenario"
	"github.com/cordonsip/cordon/internal/strict"
)

// Rules are what a configuration says of drills. The zero value allows none that meets callers.
type Rules struct {
	Windows   []Window
	Blocked   []Block
	Throttle  float64        // calls of a drill each second, at most; 0: DefaultThrottle
	MaxShare  strict.Percent // of the calls of a route, that a canary may take
	MaxCalls  int            // of them at once
	LowVolume strict.Percent // of the baseline: with more calls up none begins
	Baseline  int            // calls up at once when there is much to do; 0: as was learnt
	Room      int64          // bytes that the folders of sandboxes may have before one more is made; 0: DefaultRoom
	Secondary time.Duration  // how long a full drill runs on the redundant way at least: RTS (EU) 2024/1774 Art. 25(2); 0: nobody said
	Starters  []string       // people; empty: nobody starts one that meets callers
	Approvers []string
	Authors   []string // of the configuration: DORA Art. 24(4)
}

// The defaults of what a configuration leaves out.
const (
	DefaultThrottle                 = 10
	DefaultMaxShare  strict.Percent = 500
	DefaultMaxCalls                 = 20
	DefaultRoom                     = 1 << 30
	DefaultLowVolume strict.Percent = 5_000
)

// Facts are what is so at a moment.
type Facts struct {
	Now         time.Time
	Mode        scenario.Mode
	Modes       []scenario.Mode // in which the scenario may run
	Length      time.Duration   // until it is over at the latest, with what restoring may take
	Rate        float64         // calls that it places each second
	Share       strict.Percent  // of a canary
	Cap         int
	Carries     time.Duration // how long the scenario wants the secondary to carry calls
	Tester      string
	Authors     []string // of the scenario
	Configurers []string // who put the configuration in force, by the log
	Approvals   int      // of other people than the tester
	Wanted      int
	Forbidden   string   // why the lever forbids drills; "": it does not
	Running     string   // another drill
	Incidents   []string // open ones
	Unwell      []string // parties that are not as they should be
	Grants      []string // live ones
	Calls       int      // of production, up now
	Learnt      Learnt   // where Rules.Baseline is 0
	Kept        int64    // bytes that the folders of earlier sandboxes have
	Log         string   // why the log cannot take an entry now; "": it can
}

// Guard is one condition, and how it is met.
type Guard struct {
	Name  string
	Holds bool
	Why   string
}

// Judge gives every guard that a drill of this mode has, in the order in which people ask.
func (r *Rules) Judge(f *Facts) (out []Guard) {
	j := &judge{r: r, f: f}
	j.everywhere()
	if f.Mode.Live() {
		j.people()
		j.time()
		j.quiet()
		j.reach()
	}
	return j.out
}

// Failing are those that do not hold.
func Failing(list []Guard) (out []Guard) {
	for _, g := range list {
		if !g.Holds {
			out = append(out, g)
		}
	}
	return out
}

type judge struct {
	r   *Rules
	f   *Facts
	out []Guard
}

// say adds a guard: yes when it holds, no when it does not.
func (j *judge) say(name string, holds bool, yes, no string) {
	why := yes
	if !holds {
		why = no
	}
	j.out = append(j.out, Guard{name, holds, why})
}

// everywhere are those of every mode.
func (j *judge) everywhere() {
	r, f := j.r, j.f
	j.say("lever", f.Forbidden == "", "drills are allowed", "all drills are forbidden: "+f.Forbidden)
	j.say("mode", slices.Contains(f.Modes, f.Mode), "the scenario may run as "+string(f.Mode), fmt.Sprintf("the scenario may not run as %s, but as %s", f.Mode, strict.Words(words(f.Modes))))
	j.say("other_drill", f.Running == "", "no other drill runs", f.Running+" runs: one at a time")
	throttle := cmp.Or(r.Throttle, DefaultThrottle)
	j.say("throttle", f.Rate <= throttle, fmt.Sprintf("it places %.3g calls each second, at most %.3g may be", f.Rate, throttle), fmt.Sprintf("it places %.3g calls each second, and no more than %.3g may be", f.Rate, throttle))
	j.say("log", f.Log == "", "the log takes entries", "the log takes no entry: "+f.Log)
	if f.Mode == scenario.Sandbox {
		const mib = 1 << 20
		room := cmp.Or(r.Room, DefaultRoom)
		j.say("sandbox_room", f.Kept < room, fmt.Sprintf("earlier sandboxes have %d MiB, and %d MiB may be", f.Kept/mib, room/mib),
			fmt.Sprintf("earlier sandboxes have %d MiB, and %d MiB may be (drills.sandbox_room): move folders of drills that are cleaned up to where evidence is kept", f.Kept/mib, room/mib))
	}
}

// people: who asks is allowed to, wrote neither the scenario nor the configuration, and is not alone.
func (j *judge) people() {
	r, f := j.r, j.f
	j.say("tester", slices.Contains(r.Starters, f.Tester), "the tester may start drills that meet callers", "the tester is none of drills.starters")
	author, configured := slices.Contains(f.Authors, f.Tester), slices.Contains(r.Authors, f.Tester) || slices.Contains(f.Configurers, f.Tester)
	j.say("independent_of_scenario", !author, "the tester wrote no part of the scenario", "the tester is an author of the scenario: DORA Art. 24(4) wants another one")
	j.say("independent_of_configuration", !configured, "the tester did not make the configuration", "the tester made the configuration that is in force: DORA Art. 24(4) wants another one")
	j.say("second_person", f.Wanted > 0 && f.Approvals >= f.Wanted, fmt.Sprintf("%d of %d other people agreed", f.Approvals, f.Wanted), fmt.Sprintf("%d of %d other people agreed: it waits for them", f.Approvals, max(f.Wanted, 1)))
}

// time: a window is open for as long as it takes, on a day that is not blocked.
func (j *judge) time() {
	r, f := j.r, j.f
	if len(r.Windows) == 0 {
		j.say("window", false, "", "the configuration names no window: add drills.windows")
		return
	}
	if b, is := r.blocked(f.Now); is {
		j.say("blocked_date", false, "", "today is blocked: "+b.Why)
	} else {
		j.say("blocked_date", true, "today is not blocked", "")
	}
	o, open := r.Opening(f.Now)
	switch left := o.To.Sub(f.Now); {
	case !open:
		no := "no window is open, and none opens in the next 400 days for as long as it takes"
		if next, some := r.Next(f.Now, f.Length); some {
			no = fmt.Sprintf("no window is open; %s opens at %s", next.Name, next.From.Format(stamp))
		}
		j.say("window", false, "", no)
	case left < f.Length:
		no := fmt.Sprintf("%s closes at %s, and the drill may take %s", o.Name, o.To.Format(stamp), f.Length)
		if next, some := r.Next(o.To, f.Length); some {
			no += fmt.Sprintf("; %s opens at %s", next.Name, next.From.Format(stamp))
		}
		j.say("window", false, "", no)
	default:
		j.say("window", true, fmt.Sprintf("%s is open until %s", o.Name, o.To.Format(stamp)), "")
	}
}

// stamp is how moments are written for people: with the offset of their zone.
const stamp = "2006-01-02 15:04 -07:00"

// quiet: there is little to do, and nothing else is going on. Precedence: what is real goes first.
func (j *judge) quiet() {
	f := j.f
	holds, why := j.r.Volume(f.Calls, f.Learnt)
	j.say("low_volume", holds, why, why)
	j.none("incidents", f.Incidents, "no incident is open", "open: ")
	j.none("health", f.Unwell, "everything that may be used is up", "not up: ")
	j.none("grants", f.Grants, "nothing is open at the gate", "open at the gate: ")
}

func (j *judge) none(name string, list []string, yes, no string) {
	j.say(name, len(list) == 0, yes, no+strings.Join(list, ", "))
}

// reach: how much of production it touches, and for how long.
func (j *judge) reach() {
	r, f := j.r, j.f
	if f.Mode == scenario.Canary {
		j.say("canary", f.Share <= r.MaxShare && f.Cap <= r.MaxCalls && f.Cap > 0,
			fmt.Sprintf("it takes %s of the calls and %d at once, within %s and %d", f.Share, f.Cap, r.MaxShare, r.MaxCalls),
			fmt.Sprintf("it would take %s of the calls and %d at once; %s and 1 to %d may be", f.Share, f.Cap, r.MaxShare, r.MaxCalls))
		return
	}
	yes := fmt.Sprintf("the redundant way is to carry calls for %s", f.Carries)
	if r.Secondary == 0 {
		yes = "the configuration names no time that the redundant way must carry calls for"
	}
	j.say("secondary", f.Carries >= r.Secondary, yes, fmt.Sprintf("the redundant way is to carry calls for %s, and drills.secondary_for wants %s: RTS (EU) 2024/1774 Art. 25(2)", f.Carries, r.Secondary))
}

func words[T ~string](list []T) (out []string) {
	for _, w := range list {
		out = append(out, string(w))
	}
	return out
}
