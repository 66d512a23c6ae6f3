package cordon

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/cordonsip/cordon/audit"
	"github.com/cordonsip/cordon/configs"
)

// A table is read when its size or its time changed and not at each look; one that is too large is refused once, and the old one stays.
func TestATableIsReadWhenItChangedAndNeverBeyondItsBound(t *testing.T) {
	inHouse(t, 500*24*time.Hour, false, func(h *house) {
		file := filepath.Join(h.dir, "did.csv")
		put := func(text string, days int) {
			t.Helper()
			if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
			if err := os.Chtimes(file, time.Time{}, time.Date(2026, 10, days, 0, 0, 0, 0, time.UTC)); err != nil {
				t.Fatal(err)
			}
		}
		cfg := *h.node.cfg.Load()
		cfg.Tables = []configs.Table{{Route: "in", File: file}}
		h.node.cfg.Store(&cfg)
		w := &tableWatch{node: h.node}
		holds := func(number string) bool {
			w.look(context.Background())
			_, ok := h.node.router.Rules().Routes[0].Table.Find(number, time.Now())
			return ok
		}
		put("prefix,party\n+4969,fra\n", 1)
		if !holds("+49691") {
			t.Fatal("the table was not taken")
		}
		put("prefix,party\n+4930,fra\n", 1)
		if holds("+49301") {
			t.Error("a file that did not change was read")
		}
		put("prefix,party\n+4930,fra\n", 2)
		if !holds("+49301") {
			t.Error("a file that changed was not read")
		}
		if err := os.Truncate(file, 64<<20+1); err != nil {
			t.Fatal(err)
		}
		for range 3 {
			if !holds("+49301") {
				t.Error("the old table is gone")
			}
		}
		if got := h.events(audit.KindReloadRefused); len(got) != 1 || !strings.Contains(got[0], "larger than 64 MiB") {
			t.Errorf("events %v", got)
		}
	})
}
