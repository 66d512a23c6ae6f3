package cordon

import (
	"context"
	"encoding/json"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/cordonsip/cordon/configs"
	"github.com/cordonsip/cordon/drill/register"
)

// files are those below a folder, without the log's own.
func files(t *testing.T, dir string) (out []string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if rel, _ := filepath.Rel(dir, path); err == nil && !d.IsDir() && !strings.HasPrefix(rel, "state/log/") {
			out = append(out, rel)
		}
		return err
	})
	if err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	return out
}

// fill writes files below a folder.
func fill(t *testing.T, dir string, names ...string) {
	t.Helper()
	for _, name := range names {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(name), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// full is what a sandbox leaves behind that nobody swept.
var full = []string{
	"secret-0", "node.key", "node.crt", "roots.pem", "route-0.csv", "sandbox.yaml", "node.log", "state/keys/log.key", "state/keys/mac.key", "state/pseudonyms/people/p-1.json", "state/state/jetstream/x",
	"state/log.vkey", "state/log.keys", "state/log.vkey.old", "state/log/reserve", "state/log/checkpoint", "state/log/tile/0/000", "state/logs/x",
}

func TestASweepLeavesWhatIsNamedAndNothingElse(t *testing.T) {
	for name, c := range map[string]struct {
		has, stays, want []string
	}{
		"after the play":     {full, sandboxPlayed, []string{"node.log", "sandbox.yaml", "state/log.keys", "state/log.vkey"}},
		"after the clean-up": {full, sandboxEvidence, []string{"state/log.keys", "state/log.vkey"}},
		"without a log":      {[]string{"secret-0", "sandbox.yaml", "state/keys/log.key"}, sandboxEvidence, nil},
	} {
		t.Run(name, func(t *testing.T) {
			away, dir := t.TempDir(), filepath.Join(t.TempDir(), "d")
			fill(t, away, "another's")
			fill(t, dir, c.has...)
			for _, link := range []string{"link", "state/link"} {
				if err := os.Symlink(away, filepath.Join(dir, link)); err != nil {
					t.Fatal(err)
				}
			}
			for range 2 {
				kept, err := sweepSandbox(dir, c.stays)
				if got := files(t, dir); err != nil || !slices.Equal(got, c.want) {
					t.Fatalf("%v stay, want %v: %v", got, c.want, err)
				}
				if _, err := os.Stat(dir); (err == nil) != (kept.Files > 0) {
					t.Errorf("%+v is kept, and the folder: %v", kept, err)
				}
				if log := filepath.Join(dir, "state", "log"); len(c.want) > 0 {
					_, reserve := os.Stat(filepath.Join(log, "reserve"))
					if raw, err := os.ReadFile(filepath.Join(log, "tile", "0", "000")); err != nil || string(raw) != "state/log/tile/0/000" || !os.IsNotExist(reserve) {
						t.Errorf("the log: %q, %v; its reserve: %v", raw, err, reserve)
					}
				}
			}
			if got := files(t, away); len(got) != 1 {
				t.Errorf("outside only %v stays", got)
			}
		})
	}
}

// What a run could not sweep the next one does, as far as each drill came; nothing of it counts as room that is free.
func TestTheStartSweepsOldSandboxes(t *testing.T) {
	n := &Node{}
	n.opts.Config = drilledHere(t)
	k := &drillKeeper{node: n, kept: drillsKept{Book: register.NewBook()}}
	for id, state := range map[string]register.State{"01ENDED": register.Ended, "01CLEAN": register.Cleaned, "01CRASH": register.Running} {
		d := &register.Drill{State: state}
		d.Request.Drill = id
		k.kept.Book.Drills = append(k.kept.Book.Drills, d)
	}
	played := []string{"node.log", "sandbox.yaml", "state/log.keys", "state/log.vkey"}
	want := map[string][]string{"01ENDED": played, "01CLEAN": played[2:], "01CRASH": played, "01NOBODY": played}
	for id := range want {
		fill(t, filepath.Join(n.sandboxesDir(), id), full...)
	}
	before := n.sandboxesTake()
	k.sweepOld()
	for id, want := range want {
		if got := files(t, filepath.Join(n.sandboxesDir(), id)); !slices.Equal(got, want) {
			t.Errorf("%s: %v, want %v", id, got, want)
		}
	}
	if after := n.sandboxesTake(); before != 4*int64(len(full))*4096 || after != (3*6+4)*4096 {
		t.Errorf("%d bytes before, %d after", before, after)
	}
}

// reported is the report of a drill, but for when it was made and what a clean-up adds: its entries, who was told of it, and what is missing without it.
func reported(t *testing.T, k *drillKeeper, id string) map[string]any {
	t.Helper()
	raw, err := k.Report(context.WithoutCancel(t.Context()), id, "json", false)
	if err != nil {
		t.Fatal(err)
	}
	var out map[string]any
	if err := json.Unmarshal(raw, &out); err != nil {
		t.Fatal(err)
	}
	for _, of := range []string{"cleanup", "time_utc", "entries", "steps", "sign_off", "log", "missing", "articles"} {
		delete(out, of)
	}
	if g, ok := out["governance_exercised"].(map[string]any); ok {
		delete(g, "notifications_delivered")
	}
	return out
}

// drilledHere is drilledConfig on the loopback interface, with a short scenario of its own.
func drilledHere(t *testing.T) *configs.Config {
	t.Helper()
	dir := t.TempDir()
	fill(t, dir, "own/brief.yaml")
	const brief = `drill: brief
version: 1
title: One call
class: carrier_trunk_loss
authors: [anna]
modes: [sandbox]
calls:
  - {called: "+4969900100", each: 1s, hold: 1s}
take:
  - {what: {group: secondary}, how: blackhole, at: 1s, for: 1s}
expect:
  - {refused: {party: forbidden}}
end: {after: 3s}
`
	if err := os.WriteFile(filepath.Join(dir, "own", "brief.yaml"), []byte(brief), 0o600); err != nil {
		t.Fatal(err)
	}
	text := strings.NewReplacer("{prefix: 10.", "{prefix: 127.1", `"10.5.0.10:5060"`, `"127.15.0.10:0"`, "[10.", "[127.1", "host: 10.", "host: 127.1", `type: webhook, url: "https://hooks.bank.example/x", secret: {env: HOOK}`, "type: console").Replace(drilledConfig)
	c, err := configs.Parse(filepath.Join(dir, "cordon.yaml"), []byte(text+"drills: {scenarios: own, sandbox_room: 4MiB}\n"))
	if err != nil {
		t.Fatal(err)
	}
	return c
}
