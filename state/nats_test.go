package state

import (
	"context"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"
)

func TestSurvivesReopen(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "deep", "state")
	kv := open(t, dir)
	rev := mustSwap(t, kv, "ticket.a", 0, "one")
	rev = mustSwap(t, kv, "ticket.a", rev, "two")
	gone := mustSwap(t, kv, "ticket.b", 0, "gone")
	if err := kv.Delete(t.Context(), "ticket.b", gone); err != nil {
		t.Fatal(err)
	}
	if ok, err := kv.Lease(t.Context(), "lease", "a", time.Hour); !ok || err != nil {
		t.Fatal(ok, err)
	}
	if err := kv.Close(); err != nil {
		t.Fatal(err)
	}
	kv = open(t, dir)
	defer kv.Close()
	items, err := kv.List(t.Context(), "ticket.")
	if err != nil || len(items) != 1 || string(items[0].Data) != "two" || items[0].Rev != rev {
		t.Fatalf("after the reopening: %v, %v", items, err)
	}
	if ok, err := kv.Lease(t.Context(), "lease", "b", time.Hour); ok || err != nil {
		t.Errorf("the lease did not survive: %v, %v", ok, err)
	}
	if now := mustSwap(t, kv, "ticket.b", 0, "again"); now <= rev {
		t.Errorf("revision %d after %d", now, rev)
	}
}

func TestFolderIsPrivate(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "state")
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	kv := open(t, dir)
	defer kv.Close()
	info, err := os.Stat(dir)
	if err != nil || info.Mode() != fs.ModeDir|0o700 {
		t.Errorf("the folder has mode %v, %v", info.Mode(), err)
	}
	if _, err := Open(t.Context(), Config{Dir: dir, Node: "edge-2"}); err == nil {
		t.Error("a second engine opened the same folder")
	}
}

func TestOpenRefuses(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	for name, c := range map[string]struct {
		ctx context.Context
		Config
	}{
		"no folder":      {t.Context(), Config{Node: "a"}},
		"no name":        {t.Context(), Config{Dir: t.TempDir()}},
		"a file":         {t.Context(), Config{Dir: file, Node: "a"}},
		"a name of two":  {t.Context(), Config{Dir: t.TempDir(), Node: "a b"}},
		"ended contexts": {ended, Config{Dir: t.TempDir(), Node: "a"}},
	} {
		if kv, err := Open(c.ctx, c.Config); err == nil {
			kv.Close()
			t.Errorf("%s: opened", name)
		}
	}
}

// Nothing listens, nothing is printed, and nothing stays behind.
func TestEngineIsQuiet(t *testing.T) {
	open(t, filepath.Join(t.TempDir(), "warm")).Close() // what lives once per process
	before := runtime.NumGoroutine()
	out, err := os.Create(filepath.Join(t.TempDir(), "out"))
	if err != nil {
		t.Fatal(err)
	}
	stdout, stderr := os.Stdout, os.Stderr
	os.Stdout, os.Stderr = out, out
	defer func() { os.Stdout, os.Stderr = stdout, stderr }()
	kv := open(t, filepath.Join(t.TempDir(), "state"))
	if e := kv.(*engine); e.srv.Addr() != nil || e.srv.ClusterAddr() != nil || e.srv.MonitorAddr() != nil {
		t.Error("the engine listens")
	}
	for i := range 20 {
		mustSwap(t, kv, fmt.Sprintf("k%d", i), 0, "x")
	}
	if _, err := kv.Watch(t.Context(), ""); err != nil {
		t.Fatal(err)
	}
	kv.Close()
	os.Stdout, os.Stderr = stdout, stderr
	text, err := os.ReadFile(out.Name())
	if err != nil || len(text) > 0 {
		t.Errorf("printed: %q, %v", text, err)
	}
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for range 200 { // the engine's last goroutines end a moment after WaitForShutdown
		if runtime.NumGoroutine() <= before {
			return
		}
		<-tick.C
	}
	stacks := make([]byte, 1<<16)
	stacks = stacks[:runtime.Stack(stacks, true)]
	t.Errorf("%d goroutines before, %d after:\n%s", before, runtime.NumGoroutine(), strings.TrimSpace(string(stacks)))
}

// Every acknowledged write is on the disk: a copy of the files taken right after it, as a crash would leave them, has it.
func TestAcknowledgedMeansOnDisk(t *testing.T) {
	dir, crash := filepath.Join(t.TempDir(), "state"), filepath.Join(t.TempDir(), "crash")
	kv := open(t, dir)
	defer kv.Close()
	if !kv.(*engine).srv.JetStreamConfig().SyncAlways {
		t.Error("writes are acknowledged before they are synced")
	}
	for i := range 10 {
		mustSwap(t, kv, fmt.Sprintf("k%d", i), 0, "x")
	}
	if err := os.CopyFS(crash, os.DirFS(dir)); err != nil {
		t.Fatal(err)
	}
	after := open(t, crash)
	defer after.Close()
	items, err := after.List(t.Context(), "")
	if err != nil || len(items) != 10 {
		t.Errorf("%d of 10 writes survived, %v", len(items), err)
	}
}
