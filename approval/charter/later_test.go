package charter

import (
	"encoding/json"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cordonsip/cordon/audit/retain"
	"github.com/cordonsip/cordon/sovereign"
)

// What later editions brought, in both directions.
func TestWhatWidensOfProofsAndRunningCalls(t *testing.T) {
	type change = func(c *Charter)
	rule := func(name, how string, d time.Duration) change {
		return func(c *Charter) { c.Running[name] = Running{how, d} }
	}
	class := func(i int, f func(*Class)) change { return func(c *Charter) { f(&c.Retention[i]) } }
	source := func(i int, says string) change { return func(c *Charter) { c.Evidence.Sources[i].Says = says } }
	for name, x := range map[string]struct {
		do       change
		to, back string // begins the first widening there, and on the way back
	}{
		"node elsewhere":               {func(c *Charter) { c.Position = &Spot{Lat: 40, Lon: 8.7} }, "node.position", "node.position"},
		"node less exact":              {func(c *Charter) { c.Position = &Spot{Lat: 50.1, Lon: 8.7, KM: 9} }, "node.position", "node.position"},
		"node nowhere":                 {func(c *Charter) { c.Position = nil }, "node.position", ""},
		"region has a position":        {func(c *Charter) { c.Regions[0].Position = &Spot{Lat: 1} }, "regions bank:fra-1: is declared otherwise: DE by annex 1 at 1, 0 within 0 km", "regions"},
		"a feed less":                  {func(c *Charter) { c.Evidence.Sources = c.Evidence.Sources[1:] }, "evidence.feed: is gone, or another one: kind: geofeed file: /f", ""},
		"another feed":                 {source(0, "kind: geofeed\nfile: /g\n"), "evidence.feed", "evidence.feed"},
		"another file of a registry":   {source(1, "/q\n"), "evidence.rir", "evidence.rir"},
		"other sights":                 {source(2, "/q\n"), "evidence.sight", "evidence.sight"},
		"weak evidence holds":          {func(c *Charter) { c.Evidence.Weak = "hold" }, "", "evidence.on_contradiction.rank_3_4: was hold and is alert"},
		"weak evidence does who knows": {func(c *Charter) { c.Evidence.Weak = "?" }, "evidence.on_contradiction.rank_3_4", "evidence.on_contradiction.rank_3_4"},
		"a field of a later version":   {func(c *Charter) { c.Evidence.Rest = "x: 1\n" }, "evidence: says otherwise: x: 1", "evidence: says otherwise: nothing more"},
		"calls end at once":            {rule(CommonRule, "end", 0), "", "law.running_calls: was end and is end within 1m0s"},
		"calls end later":              {rule(CommonRule, "end", time.Hour), "law.running_calls", ""},
		"calls are put through":        {rule(CommonRule, "reroute", 0), "law.running_calls: was end within 1m0s and is reroute", "law.running_calls"},
		"calls finish":                 {rule(CommonRule, "finish", time.Minute), "law.running_calls", ""},
		"calls do who knows":           {rule(CommonRule, "?", 0), "law.running_calls", "law.running_calls"},
		"a party finishes":             {rule("party iad", "finish", time.Hour), "law.running_calls of party iad: was reroute and is finish within 1h0m0s", ""},
		"a party as the others":        {func(c *Charter) { delete(c.Running, "party iad") }, "law.running_calls of party iad", "law.running_calls of party iad"},
		"another party ends":           {rule("party x", "end", 0), "", "law.running_calls of party x"},
		"a route as its party":         {func(c *Charter) { delete(c.Running, "route de") }, "law.running_calls of route de", ""},
		"another route is put through": {rule("route fr", "reroute", 0), "law.running_calls of route fr", "law.running_calls of route fr"},
		"kept for less":                {class(0, func(k *Class) { k.Years = 4 }), "retention mifid: does not keep calls of carrier as it did", ""},
		"kept in days":                 {class(0, func(k *Class) { k.Years, k.Days = 0, 1830 }), "", "retention mifid"}, // 5 years may be 1826 days
		"kept in days, too few":        {class(1, func(k *Class) { k.Years, k.Days = 0, 365 }), "retention rest", ""},
		"not binding":                  {class(0, func(k *Class) { k.Binding = false }), "retention mifid", ""},
		"another trunk":                {class(0, func(k *Class) { k.Trunks = []string{"other"} }), "retention mifid", "retention mifid"},
		"all trunks":                   {class(0, func(k *Class) { k.Trunks = nil }), "", "retention mifid: does not keep calls of all other trunks"},
		"a class less":                 {func(c *Charter) { c.Retention = c.Retention[1:] }, "retention mifid", ""},
		"another reason and name":      {class(1, func(k *Class) { k.Class, k.Reason = "x", "y" }), "", ""},
	} {
		one, two := base(t), base(t)
		x.do(&two)
		for _, w := range []struct {
			from, to Charter
			want     string
		}{{one, two, x.to}, {two, one, x.back}} {
			got := Widens(w.from, w.to)
			if w.want == "" && len(got) > 0 || w.want != "" && (len(got) == 0 || !strings.HasPrefix(got[0].String(), w.want)) {
				t.Errorf("%s: %v, want %q", name, got, w.want)
			}
		}
	}
}

// A charter of the first edition gets what it does not know from the first configuration that is seen, and nothing of a later one.
func TestPartsAreAdoptedOnce(t *testing.T) {
	first, next := base(t), base(t)
	first.Edition, first.Position, first.Evidence, first.Running, first.Retention = 0, nil, Evidence{}, nil, nil
	next.Regions[0].Position = &Spot{Lat: 1}
	if got := Widens(first, next); len(got) > 0 {
		t.Errorf("what the first edition is silent on is wider: %v", got)
	}
	text, _ := first.Canonical()
	for _, word := range []string{"\"edition\"", "\"evidence\":{", "position\"", "running_calls", "retention\""} {
		if strings.Contains(string(text), word) {
			t.Errorf("%s stands in a charter of the first edition", word)
		}
	}
	next.Policy.Preset = sovereign.EEAPlusAdequacy
	next.People[0].DeputyFor, next.People[1].DeputyFor, next.People[1].Mark = []string{"business_owner"}, []string{"ciso"}, "another"
	full, parts := first.Adopt(next)
	if len(parts) != 5 || full.Policy.Preset == next.Policy.Preset || full.Regions[0].Position == nil || full.Position == nil || len(full.Running) != 3 || len(full.Retention) != 2 {
		t.Fatalf("%v: %+v", parts, full)
	}
	if got := full.People; len(got[0].DeputyFor) != 1 || len(got[1].DeputyFor) != 0 {
		t.Errorf("deputies: %+v", got)
	}
	later := base(t)
	later.Evidence, later.Position, later.Running, later.Retention = Evidence{Weak: "alert"}, nil, map[string]Running{CommonRule: {"finish", time.Hour}}, nil
	if again, parts := full.Adopt(later); len(parts) > 0 || again.Position == nil {
		t.Errorf("adopted again: %v", parts)
	}
	if got := Widens(full, later); len(got) < 6 {
		t.Errorf("%v", got)
	}
	empty := full // a configuration that says nothing is no earlier version
	empty.Position, empty.Evidence, empty.Running, empty.Retention = nil, Evidence{Weak: "alert"}, map[string]Running{CommonRule: {"end", 0}}, nil
	text, _ = empty.Canonical()
	read, err := Parse(text)
	if _, parts := read.Adopt(next); err != nil || len(parts) > 0 {
		t.Errorf("a charter with empty parts adopts %v, %v", parts, err)
	}
}

func (d draw) rule() Running {
	return one(d, Running{"end", 0}, Running{"end", 0}, Running{"end", time.Minute}, Running{"end", time.Hour}, Running{"reroute", 0}, Running{"finish", time.Minute}, Running{"finish", 4 * time.Hour})
}

func (d draw) running() map[string]Running {
	out := map[string]Running{CommonRule: d.rule()}
	for _, name := range []string{"party a", "party b", "route r", "route s"} {
		if d.IntN(3) == 0 {
			out[name] = d.rule()
		}
	}
	return out
}

// applies is the rule for a call of a route toward a party.
func applies(rules map[string]Running, route, party string) Running {
	for _, name := range []string{"route " + route, "party " + party} {
		if r, ok := rules[name]; ok {
			return r
		}
	}
	return rules[CommonRule]
}

func (d draw) classes() (out []Class) {
	for i := range 1 + d.IntN(3) {
		out = append(out, Class{
			Class: string(rune('k' + i)), Trunks: one(d, nil, nil, []string{"a"}, []string{"b"}, []string{"a", "b"}), Years: d.IntN(3), Days: one(d, 1, 1, 364, 365, 366, 730, 731), Binding: d.IntN(3) == 0,
		})
	}
	return out
}

func kept(list []Class) (r retain.Rules) {
	for _, c := range list {
		r.Classes = append(r.Classes, retain.Class{Name: c.Class, Trunks: c.Trunks, Keep: retain.Keep{Years: c.Years, Days: c.Days}, Binding: c.Binding})
	}
	return r
}

// What does not widen lets no call go on that did not, contradicts no less, and destroys nothing sooner; and what counts while something waits is as strict as both.
func TestNothingIsLooserThanAccepted(t *testing.T) {
	same, gone := 0, 0
	for seed := range uint64(4000) {
		d := draw{rand.New(rand.NewPCG(seed, 7))}
		old := Charter{Edition: Edition, Running: d.running(), Retention: d.classes(), Evidence: Evidence{Sources: d.sources(), Weak: one(d, "alert", "hold")}}
		next := Charter{Edition: Edition, Running: d.running(), Retention: d.classes(), Evidence: Evidence{Sources: d.sources(), Weak: one(d, "alert", "hold")}}
		paths := ""
		for _, w := range Widens(old, next) {
			paths += w.Path + " "
		}
		eff := Charter{Running: StricterRunning(old, next), Retention: StricterRetention(old, next), Evidence: StricterEvidence(old, next)}
		for _, route := range []string{"r", "s", "x"} {
			for _, party := range []string{"a", "b", "c"} {
				was, is, now := applies(old.Running, route, party), applies(next.Running, route, party), applies(eff.Running, route, party)
				if !now.within(was) || !now.within(is) {
					t.Fatalf("seed %d: %s to %s: %v is not within %v and %v", seed, route, party, now, was, is)
				}
				if !strings.Contains(paths, "law.") && !is.within(was) {
					t.Fatalf("seed %d: %s to %s: was %v and is %v, and nothing widens", seed, route, party, was, is)
				}
			}
		}
		for _, trunk := range []string{"a", "b", "c", ""} {
			call := retain.Call{Day: day.AddDate(0, 0, d.IntN(1500)), Trunk: trunk}
			for binding, due := range map[bool]func([]Class) time.Time{
				false: func(l []Class) time.Time { at, _ := kept(l).Due(call); return at },
				true:  func(l []Class) time.Time { return forgettable(kept(l), call) },
			} {
				was, is, now := due(old.Retention), due(next.Retention), due(eff.Retention)
				if now.Before(was) || now.Before(is) {
					t.Fatalf("seed %d: %s, binding %t: until %s, %s and %s\n%v\n%v\n%v", seed, trunk, binding, was, is, now, old.Retention, next.Retention, eff.Retention)
				}
				if is.Before(was) {
					gone++
				}
				if !strings.Contains(paths, "retention") {
					if same++; is.Before(was) {
						t.Fatalf("seed %d: %s, binding %t: was until %s and is until %s, and nothing widens\n%v\n%v", seed, trunk, binding, was, is, old.Retention, next.Retention)
					}
				}
			}
		}
		for _, s := range old.Evidence.Sources {
			if !slices.Contains(eff.Evidence.Sources, s) || !slices.Contains(next.Evidence.Sources, s) && !strings.Contains(paths, "evidence.") {
				t.Fatalf("seed %d: %v is gone", seed, s)
			}
		}
		if hold := "hold"; (old.Evidence.Weak == hold || next.Evidence.Weak == hold) != (eff.Evidence.Weak == hold) {
			t.Fatalf("seed %d: weak evidence: %s and %s give %s", seed, old.Evidence.Weak, next.Evidence.Weak, eff.Evidence.Weak)
		}
	}
	if same < 1000 || gone < 1000 {
		t.Errorf("the worlds are too tame: %d answers where nothing widens, %d that got looser elsewhere", same, gone)
	}
}

func (d draw) sources() (out []Source) {
	for _, s := range []Source{{"feed", "f"}, {"feed", "g"}, {"rir", "r"}, {"sight", "s"}} {
		if d.IntN(2) == 0 {
			out = append(out, s)
		}
	}
	return out
}

// forgettable is the first day on which a call may be forgotten at somebody's request.
func forgettable(r retain.Rules, c retain.Call) (at time.Time) {
	lo, hi := 0, 4000
	for lo < hi {
		if mid := (lo + hi) / 2; r.Forget(c, c.Day.AddDate(0, 0, mid)) != nil {
			lo = mid + 1
		} else {
			hi = mid
		}
	}
	return c.Day.AddDate(0, 0, lo)
}

// Positions: what was accepted stays, and what nobody had said may be said.
func TestStricterPosition(t *testing.T) {
	here, there := &Spot{Lat: 1}, &Spot{Lat: 2}
	for _, x := range [][3]*Spot{{here, there, here}, {here, nil, here}, {nil, there, there}, {nil, nil, nil}} {
		if got := StricterPosition(Charter{Edition: 2, Position: x[0]}, Charter{Edition: 2, Position: x[1]}); got != x[2] {
			t.Errorf("%v and %v give %v", x[0], x[1], got)
		}
	}
	if b, err := json.Marshal(Charter{Edition: 2, Position: here}); err != nil || !strings.Contains(string(b), `"node_position":{"lat":1,"lon":0,"within_km":0}`) {
		t.Errorf("%s, %v", b, err)
	}
}
