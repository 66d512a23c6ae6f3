package cordon_test

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/cordonsip/cordon/audit"
	"github.com/cordonsip/cordon/routing"
)

// A number table that changes is logged and then in force, without a reload; a wrong one leaves the old one in force and is told.
func TestANumberTableIsTakenWhileTheNodeRuns(t *testing.T) {
	dir := t.TempDir()
	put := func(text string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, "did.csv"), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	put("prefix,party\n+4969,fra\n")
	text := strings.Replace(nodeConfig, "direction: inbound,", "direction: inbound, table: did.csv,", 1)
	if text == nodeConfig {
		t.Fatal("the configuration has no inbound route")
	}
	n := boot(t, writeConfig(t, dir, text))
	defer n.Stop(context.Background(), 0)
	rows := func() int { return n.Router().Rules().Routes[0].Table.Size() }
	logged := func(k audit.Kind) (count int) {
		t.Helper()
		list, err := n.Log().Entries(t.Context(), 0, 1000)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range list {
			if e.Kind == k {
				count++
			}
		}
		return count
	}
	wait := func(what string, ok func() bool) {
		t.Helper()
		tick, limit := time.NewTicker(20*time.Millisecond), time.NewTimer(20*time.Second)
		defer tick.Stop()
		defer limit.Stop()
		for !ok() {
			select {
			case <-tick.C:
			case <-limit.C:
				t.Fatalf("%s: not within 20s", what)
			}
		}
	}
	if rows() != 1 {
		t.Fatalf("%d rows at the start", rows())
	}
	put("prefix,party\n+4969,fra\n+4930,fra\n")
	wait("the new table", func() bool { return rows() == 2 })
	if logged(audit.KindTableChanged) != 1 {
		t.Errorf("%d changes in the log", logged(audit.KindTableChanged))
	}
	put("prefix,party\n+4969,nobody\n")
	wait("the refusal", func() bool { return logged(audit.KindReloadRefused) == 1 })
	if rows() != 2 {
		t.Errorf("%d rows after a wrong table", rows())
	}
	if p := n.Router().Explain(routing.Request{From: "carrier", Called: "+493012"}); p.Route == "" {
		t.Error(p.Why)
	}
}
