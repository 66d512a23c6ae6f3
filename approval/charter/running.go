package charter

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// Running is what becomes of calls that are up toward a place which is struck, and for how long what they send may still go there.
type Running struct {
	How string        `json:"how"` // end, reroute, finish: from the strictest on
	For time.Duration `json:"for_ns"`
}

// CommonRule is the name of the rule for whom no other one names. The others are called "party NAME" and "route NAME".
const CommonRule = "law"

func (r Running) rank() int { return slices.Index([]string{"end", "reroute", "finish"}, r.How) }

// within says that r lets nothing happen that bound does not. What is not understood is within nothing but itself.
func (r Running) within(bound Running) bool {
	if r == bound {
		return true
	}
	return r.rank() >= 0 && bound.rank() >= 0 && r.rank() <= bound.rank() && r.For <= bound.For
}

// Stricter is what both let happen.
func (r Running) Stricter(o Running) Running {
	if r.rank() < 0 || o.rank() < 0 {
		return Running{How: "end"}
	}
	out := Running{How: r.How, For: min(r.For, o.For)}
	if o.rank() < r.rank() {
		out.How = o.How
	}
	if out.How == "reroute" {
		out.For = 0
	}
	return out
}

func (r Running) String() string {
	if r.For == 0 {
		return r.How
	}
	return fmt.Sprintf("%s within %s", r.How, r.For)
}

// running compares the rules for calls that are up.
func (d *difference) running() {
	if !d.old.knows(2) {
		return
	}
	was, is := d.old.Running, d.next.Running
	for _, name := range both(was, is) {
		for _, w := range could(was, name) {
			for _, i := range could(is, name) {
				if !i.within(w) {
					d.add(runningPath(name), "was %s and is %s", w, i)
				}
			}
		}
	}
	d.found = slices.Compact(d.found) // several rules may give one sentence
}

func runningPath(name string) string {
	if name == CommonRule {
		return "law.running_calls"
	}
	return "law.running_calls of " + name
}

func both(a, b map[string]Running) []string {
	names := slices.Collect(maps.Keys(a))
	for name := range b {
		if _, there := a[name]; !there {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// could are the rules that count for a name: its own, or where it has none whichever it falls back to. A route falls back to the rule of the party that a call went to,
// which nobody knows beforehand.
func could(rules map[string]Running, name string) (out []Running) {
	if r, there := rules[name]; there {
		return []Running{r}
	}
	for _, n := range slices.Sorted(maps.Keys(rules)) {
		if n == CommonRule || strings.HasPrefix(name, "route ") && strings.HasPrefix(n, "party ") {
			out = append(out, rules[n])
		}
	}
	return out
}

// StricterRunning has for each name that either charter has a rule for what both let happen.
func StricterRunning(old, next Charter) map[string]Running {
	if !old.knows(2) {
		return next.Running
	}
	out := map[string]Running{}
	for _, name := range both(old.Running, next.Running) {
		list := append(could(old.Running, name), could(next.Running, name)...)
		if len(list) == 0 {
			list = []Running{{How: "end"}}
		}
		r := list[0]
		for _, o := range list[1:] {
			r = r.Stricter(o)
		}
		out[name] = r
	}
	return out
}
