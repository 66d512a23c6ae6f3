package routing

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cordonsip/cordon/healthcheck"
	"github.com/cordonsip/cordon/sovereign"
)

// shut makes target i of a party down with a circuit.
func (w *world) shut(party string, i int, c healthcheck.Circuit, answers bool) {
	w.status(party, i, down, -1)
	st := &w.table.ByParty[party][i]
	st.Circuit, st.Answers = c, answers
}

func TestHalfOpenTargetsGetOneCall(t *testing.T) {
	for name, c := range map[string]struct {
		prepare func(*world)
		way     string
		trials  string // parties whose hop must be taken before it is dialled
		out     string
	}{
		"in its turn inside a party": {
			func(w *world) { w.shut("fra", 0, healthcheck.HalfOpen, true) },
			"fra m1 primary, fra m2 primary, zrh m1 auto_failover, sto m1 auto_failover", "fra", "iad conditions_not_attested",
		},
		"its call is under way": {
			func(w *world) { w.shut("fra", 0, healthcheck.Trying, true) },
			"fra m2 primary, zrh m1 auto_failover, sto m1 auto_failover", "", "iad conditions_not_attested, fra/m1/tls/203.0.113.2:5061 target_down",
		},
		"a better party that fell leads by one call": {
			func(w *world) {
				w.shut("fra", 0, healthcheck.HalfOpen, true)
				w.shut("fra", 1, healthcheck.Open, false)
			},
			"zrh m1 auto_failover, sto m1 auto_failover, fra m1 primary", "fra", "fra/m2/tls/203.0.113.3:5061 target_down, iad conditions_not_attested",
		},
		"nothing but half-open targets: no call waits for another": {
			func(w *world) {
				for _, p := range []string{"zrh", "sto"} {
					w.shut(p, 0, healthcheck.Open, false)
				}
				w.shut("fra", 0, healthcheck.HalfOpen, true)
				w.shut("fra", 1, healthcheck.Open, false)
			},
			"fra m1 primary", "", "fra/m2/tls/203.0.113.3:5061 target_down, zrh/m1/tls/203.0.113.18:5061 target_down, sto/m1/tls/203.0.113.34:5061 target_down, iad conditions_not_attested",
		},
		"what answers is the last resort, in order": {
			func(w *world) {
				w.shut("sto", 0, healthcheck.Open, true)
				w.shut("zrh", 0, healthcheck.Open, true)
				w.shut("fra", 0, healthcheck.Open, false)
				w.shut("fra", 1, healthcheck.Trying, true)
			},
			"fra m2 primary, zrh m1 auto_failover, sto m1 auto_failover", "", "fra/m1/tls/203.0.113.2:5061 target_down, iad conditions_not_attested",
		},
		"what the law holds is no last resort": {
			func(w *world) {
				for _, p := range []string{"zrh", "sto"} {
					w.shut(p, 0, healthcheck.Open, false)
				}
				w.shut("fra", 0, healthcheck.Open, false)
				w.shut("fra", 1, healthcheck.Open, false)
				w.shut("iad", 0, healthcheck.HalfOpen, true)
			},
			"", "", "fra/m1/tls/203.0.113.2:5061 target_down, fra/m2/tls/203.0.113.3:5061 target_down, zrh/m1/tls/203.0.113.18:5061 target_down, sto/m1/tls/203.0.113.34:5061 target_down, iad conditions_not_attested",
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			c.prepare(w)
			p := w.router().Plan(call("carrier-de"))
			var trials []string
			for _, h := range p.Hops {
				if h.Trial {
					trials = append(trials, h.Party)
				}
				if !h.Ruling.Permitted() {
					t.Errorf("%s is no permitted hop", h.Party)
				}
			}
			if way(p) != c.way || strings.Join(trials, " ") != c.trials || out(p) != c.out {
				t.Errorf("way %q\ntrials %q\nout %q", way(p), trials, out(p))
			}
		})
	}
}

func TestABetterPartyThatFellLeadsByOneCallUnlessPeopleDecide(t *testing.T) {
	closed := &Window{From: 2 * 60, To: 3 * 60}
	for name, c := range map[string]struct {
		rule SwitchRule
		purp sovereign.Purpose
		want string
	}{
		"by itself":       {SwitchRule{}, sovereign.Production, "fra zrh sto"},
		"by hand":         {SwitchRule{Manual: true}, sovereign.Production, "zrh sto fra"},
		"not at the time": {SwitchRule{Window: closed}, sovereign.Production, "zrh sto fra"},
		"a drill":         {SwitchRule{}, sovereign.Drill, "zrh sto fra"},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.rules.Routes[0].Switch = c.rule
			w.shut("fra", 0, healthcheck.HalfOpen, true)
			w.shut("fra", 1, healthcheck.Open, false)
			r := w.router()
			r.active.Store(&actives{routes: map[string]Active{"main": {Route: "main", Party: "zrh"}}})
			q := call("carrier-de")
			q.Purpose = c.purp
			var got []string
			p := r.Plan(q)
			for _, h := range p.Hops {
				got = append(got, h.Party)
			}
			if strings.Join(got, " ") != c.want {
				t.Errorf("%v", got)
			}
			if i := slices.Index(got, "fra"); !p.Hops[i].Trial || p.Hops[i].Note != noteTrial || !strings.Contains(p.Why, noteTrial) {
				t.Errorf("%+v, %s", p.Hops[i], p.Why)
			}
		})
	}
}

func TestFullTargetsAreLeftOut(t *testing.T) {
	w := newWorld(t)
	w.capacity = func(target string) bool { return !strings.HasPrefix(target, "fra/") }
	p := w.router().Plan(call("carrier-de"))
	if way(p) != "zrh m1 auto_failover, sto m1 auto_failover" {
		t.Error(way(p))
	}
	full := 0
	for _, r := range p.Refused {
		if r.Ground == GroundCapacity {
			full++
		}
	}
	if full != 2 || !strings.Contains(p.Why, "target_at_capacity") {
		t.Errorf("%d full targets: %s", full, p.Why)
	}
}

func TestFailbackWaitsForItsWindow(t *testing.T) {
	window := &Window{From: 14 * 60, To: 15 * 60} // the bubble begins at noon
	running(t, func(w *world) { w.rules.Routes[0].Switch.Window = window }, func(t *testing.T, w *world, r *Router) {
		w.turn(r, "fra", down)
		w.turn(r, "fra", up)
		wait(119 * time.Minute)
		active(t, r, "zrh", ReasonAutoFailover)
		wait(2 * time.Minute)
		active(t, r, "fra", ReasonPrimary)
		w.want(t, "applied fra>zrh", "failback zrh>fra")
	})
}
