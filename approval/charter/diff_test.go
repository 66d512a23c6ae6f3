package charter

import (
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cordonsip/cordon/approval"
	"github.com/cordonsip/cordon/sovereign"
)

func TestCompare(t *testing.T) {
	old, next := base(t), base(t)
	next.Policy.Preset = sovereign.EEAPlusAdequacy
	next.Places = next.Places[:3]
	next.People = slices.Delete(slices.Clone(next.People), 0, 2)
	next.Gate = rules(t, func(r *approval.Rules) { r.ApproveIn = 20 * time.Minute })
	next.Running["party iad"] = Running{"finish", time.Hour}
	next.Destinations = append(slices.Clone(next.Destinations), Destination{Use: "hep", Name: "collector", Mark: "x"})
	var lines []string
	for _, d := range Compare(old, next) {
		side := "narrower"
		if d.Wider {
			side = "wider"
		}
		lines = append(lines, d.Path+" | "+side+" | "+d.Was+" | "+d.Is+" | "+strings.Join(d.Why, "; "))
	}
	for _, want := range []string{
		"policy.preset | wider | eea_plus_adequacy_no_conditional | eea_plus_adequacy | was eea_plus_adequacy_no_conditional and is eea_plus_adequacy",
		"places 10.2.0.0/16 | narrower | DE, IE, by annex 4 |  | is gone, and lets nothing happen that could not before",
		`people p-a | narrower | {"mark":"1","person":"p-a","roles":["ciso"],"scopes":["org.read"]} |  | is gone, and lets nothing happen that could not before`,
		"people | wider |  |  | nobody is left who could sign: the quorum of the gate, or the opinion that it needs, cannot be reached",
		"gate.approve_in_ns | narrower | 30m0s | 20m0s | lets nothing happen that could not before",
		"law.running_calls of party iad | wider | reroute | finish within 1h0m0s | was reroute and is finish within 1h0m0s",
		"hep collector | wider |  | x. | is a new destination",
	} {
		if !slices.Contains(lines, want) {
			t.Errorf("no line %q in\n%s", want, strings.Join(lines, "\n"))
		}
	}
	if len(lines) != 8 { // and people p-b
		t.Errorf("%d lines:\n%s", len(lines), strings.Join(lines, "\n"))
	}
	if got := Compare(old, base(t)); len(got) > 0 {
		t.Errorf("%v", got)
	}
	first := base(t)
	first.Edition, first.Position, first.Evidence, first.Running, first.Retention = 0, nil, Evidence{}, nil, nil
	for _, d := range Compare(first, base(t)) {
		if d.Wider || !strings.Contains(d.Why[0], "adopted once") {
			t.Errorf("a charter of the first edition: %+v", d)
		}
	}
}

// Whatever differs is told, and whatever is wider is told as wider, under the path that the list of widenings has.
func TestCompareLeavesNothingOut(t *testing.T) {
	for seed := range uint64(400) {
		d := draw{rand.New(rand.NewPCG(seed, 9))}
		old := d.charter(t)
		old.Edition, old.Running, old.Retention, old.Evidence = Edition, d.running(), d.classes(), Evidence{Sources: d.sources(), Weak: "alert"}
		next := d.changed(old)
		next.Running, next.Retention = one(d, old.Running, d.running()), one(d, old.Retention, d.classes())
		wider := map[string]int{}
		list := Compare(old, next)
		for _, x := range list {
			if x.Wider {
				wider[x.Path] += len(x.Why)
			}
		}
		for _, w := range Widens(old, next) {
			wider[w.Path]--
		}
		for path, n := range wider {
			if n != 0 {
				t.Errorf("seed %d: %s: %d more reasons than widenings", seed, path, n)
			}
		}
		one, _ := old.Canonical()
		two, _ := next.Canonical()
		if (string(one) == string(two)) != (len(list) == 0) {
			t.Errorf("seed %d: %d differences between\n%s\n%s", seed, len(list), one, two)
		}
	}
}

func TestBlind(t *testing.T) {
	old, next := base(t), base(t)
	next.People = []Person{{Person: "anna", Roles: []string{"ciso"}, Mark: "token: {env: T1}"}}
	next.Destinations = append(slices.Clone(next.Destinations), Destination{Use: "hep", Name: "collector"})
	next.Destinations[0].Mark = "url: https://x"
	next.OnLogFailure = "continue_with_gap"
	var paths []string
	for _, d := range Compare(old, old.Blind(next)) {
		paths = append(paths, d.Path)
	}
	if !slices.Equal(paths, []string{"hep collector", "log.on_log_failure"}) {
		t.Errorf("%v", paths)
	}
}
