package cordon

import (
	"context"
	"encoding/json"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cordonsip/cordon/admin"
	"github.com/cordonsip/cordon/audit"
	"github.com/cordonsip/cordon/drill/register"
	"github.com/cordonsip/cordon/internal/osnet"
)

// A drill in a sandbox on a disk: when it has ended nobody can sign its log any more; its report is the same after the clean-up, of which the log and its keys alone are left; and
// when the logs of earlier ones have the room that there is, no other begins.
func TestTheReportOfASandboxOutlivesItsCleanUp(t *testing.T) {
	ctx := context.WithoutCancel(t.Context())
	n, err := New(ctx, Options{Config: drilledHere(t), Net: osnet.Net{}})
	if err != nil {
		t.Fatal(err)
	}
	if err := n.Start(ctx); err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := n.Stop(ctx, 0); err != nil {
			t.Error(err)
		}
	}()
	k := n.drills
	d, err := k.Request(ctx, admin.DrillOrder{Scenario: "brief", Mode: "sandbox", Reason: "a test"}, "anna")
	if err != nil {
		t.Fatal(err)
	}
	look := time.NewTicker(50 * time.Millisecond) // it is played on real sockets, in real time
	defer look.Stop()
	for limit := time.After(time.Minute); d.State != register.Ended; d, _ = k.Drill(d.ID()) {
		select {
		case <-limit:
			t.Fatalf("%+v", d)
		case <-look.C:
		}
	}
	dir := filepath.Join(n.sandboxesDir(), d.ID())
	if got := files(t, dir); d.Ended.Outcome != "passed" || !slices.Equal(got, []string{"node.log", "sandbox.yaml", "state/log.vkey"}) {
		t.Errorf("%s (%s) leaves %v", d.Ended.Outcome, d.Ended.Cause, got)
	}
	before := reported(t, k, d.ID())
	if res, _ := before["residency_result"].(map[string]any); res == nil || res["receipts_total"] == 0.0 {
		t.Errorf("where calls went: %v", before["residency_result"])
	}
	if d, err = k.Clean(ctx, d.ID(), admin.DrillSaid{Reason: "looked at it"}, "anna"); err != nil || len(d.Cleaned.Checks) != 3 || !strings.Contains(d.Cleaned.Checks[2].Why, "stay as evidence") {
		t.Fatalf("%+v, %v", d.Cleaned, err)
	}
	if got := files(t, dir); !slices.Equal(got, []string{"state/log.vkey"}) {
		t.Errorf("the clean-up leaves %v", got)
	}
	if after := reported(t, k, d.ID()); !reflect.DeepEqual(before, after) {
		a, _ := json.Marshal(before)
		b, _ := json.Marshal(after)
		t.Errorf("before: %s\nafter: %s", a, b)
	}
	if e := crashedIn(t, n, "01CRASH", os.DirFS(dir)); !strings.HasSuffix(e.Log, "01CRASH/state") || e.First != 0 || e.Last < d.Ended.Last || !e.Crash || e.Checkpoint != d.Ended.Checkpoint || e.Checkpoint == "" {
		t.Errorf("a sandbox that ended with its node: %+v", e)
	}
	if r := reported(t, k, "01CRASH"); r["residency_result"] == nil {
		t.Error("its report does not read its log")
	}
	fill(t, n.sandboxesDir(), "01OLD/state/log/tile/0/000")
	if err := os.Truncate(filepath.Join(n.sandboxesDir(), "01OLD/state/log/tile/0/000"), 4<<20); err != nil {
		t.Fatal(err)
	}
	if _, err := k.Request(ctx, admin.DrillOrder{Scenario: "brief", Mode: "sandbox", Reason: "another"}, "anna"); err == nil || !strings.Contains(err.Error(), "sandbox_room") {
		t.Errorf("without room: %v", err)
	}
}

// crashedIn is the end of a drill of which the node found that it had been played in a sandbox with these files when the last run ended.
func crashedIn(t *testing.T, n *Node, id string, files fs.FS) *audit.DrillEnded {
	t.Helper()
	if err := os.CopyFS(filepath.Join(n.sandboxesDir(), id), files); err != nil {
		t.Fatal(err)
	}
	plan := audit.DrillPlan{Drill: id, Scenario: "brief", Mode: "sandbox", Route: "line"}
	n.drills.mu.Lock() // who keeps this node's drills would begin it
	for _, ev := range []audit.Event{audit.DrillRequested{DrillPlan: plan, Tester: "p-a"}, audit.DrillStarted{DrillPlan: plan}} {
		if _, err := n.log.Commit(t.Context(), ev); err != nil {
			t.Error(err)
		}
	}
	n.drills.mu.Unlock()
	newDrills(n).recover(t.Context())
	d, _ := n.drills.Drill(id)
	if d.Ended == nil {
		t.Fatalf("%+v", d)
	}
	return d.Ended
}
