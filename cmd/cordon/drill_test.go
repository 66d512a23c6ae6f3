package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/cordonsip/cordon/configs/drills"
)

func TestDrillCheckSaysWhatAScenarioMeansOnANode(t *testing.T) {
	const node = "../../configs/examples/two-groups.yaml"
	wrong := filepath.Join(t.TempDir(), "wrong.yaml")
	if err := os.WriteFile(wrong, []byte("drill: wrong\ntake: [{waht: {group: fra}}]\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		args []string
		code int
		want []string
	}{
		"what ships":        {[]string{"list"}, 0, []string{"region-loss", "split-cluster          simulation, sandbox, full          cluster", "peak-load"}},
		"its text":          {[]string{"list", "--show=region-loss"}, 0, []string{"drill: region-loss\n", "how: blackhole"}},
		"text of nothing":   {[]string{"list", "--show=regionloss"}, 1, []string{`no scenario of the name "regionloss" ships`}},
		"alone":             {[]string{"check", "region-loss", "carrier-loss"}, 0, []string{"region-loss version 1", "carrier-loss version 1", "SHA-256 "}},
		"on a node":         {[]string{"check", "-c", node, "--route=inbound", "region-loss"}, 0, []string{"primary    fra", "secondary  zrh", "forbidden  nowhere", "1m0s  region fra: blackhole", "4m0s  nothing is gone", "8m0s  the end"}},
		"which route":       {[]string{"check", "-c", node, "region-loss"}, 1, []string{"the node has 2 routes", "name one: inbound, outbound"}},
		"a part of nobody":  {[]string{"check", "-c", node, "--route=outbound", "region-loss"}, 1, []string{"route outbound has no secondary"}},
		"a missing room":    {[]string{"check", "-c", node, "--route=inbound", "split-cluster"}, 1, []string{"needs a cluster, and this node has none"}},
		"nobody to hold":    {[]string{"check", "-c", node, "--route=inbound", "approvers-unreachable"}, 1, []string{"nowhere never waits at the gate"}},
		"mistakes, by line": {[]string{"check", wrong}, 1, []string{wrong + ":2: take[0].waht: unknown key", `did you mean "what"?`}},
		"no file":           {[]string{"check", "./nowhere.yaml"}, 1, []string{"no such file"}},
		"a name of none":    {[]string{"check", "nowhere"}, 1, []string{"cordon drill list shows them"}},
		"no node":           {[]string{"check", "--route=inbound", "region-loss"}, 1, []string{"name its configuration with --config"}},
		"one of two":        {[]string{"check", wrong, "region-loss"}, 1, []string{"unknown key", "region-loss version 1"}},
	} {
		t.Run(name, func(t *testing.T) {
			code, out, errs := run(t, append([]string{"drill"}, c.args...)...)
			if code != c.code {
				t.Errorf("exit code %d, want %d", code, c.code)
			}
			for _, want := range c.want {
				if !strings.Contains(out+errs, want) {
					t.Errorf("%q is not in:\n%s%s", want, out, errs)
				}
			}
		})
	}
}

func TestDemoRefusesADrillBeforeAnythingStarts(t *testing.T) {
	live := filepath.Join(t.TempDir(), "live.yaml")
	text, _ := drills.Text("region-loss")
	if err := os.WriteFile(live, []byte(strings.Replace(string(text), "simulation, sandbox, canary, ", "", 1)), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		code int
		want string
		args []string
	}{
		{1, `no scenario of the name "region-los" ships`, []string{"--drill=region-los"}},
		{1, "no such file", []string{"--drill=./nowhere.yaml"}},
		{1, "may not run as sandbox", []string{"--drill=" + live}},
		{2, "can't be used together", []string{"--drill=region-loss", "--serve"}},
	} {
		if code, out, errs := run(t, append([]string{"demo"}, c.args...)...); code != c.code || !strings.Contains(errs, c.want) || out != "" && code == 1 {
			t.Errorf("%v: exit %d, want %d and %q\n%s%s", c.args, code, c.code, c.want, out, errs)
		}
	}
}
