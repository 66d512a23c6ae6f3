package main

import (
	"math"
	"os"
	"path/filepath"
	"runtime/debug"
	"testing"
)

func machine(t *testing.T, files map[string]string) string {
	t.Helper()
	root := t.TempDir()
	for name, text := range files {
		file := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return root
}

func TestMemoryIsTheLeastThatAnybodySays(t *testing.T) {
	info := "MemTotal:        2048 kB\nMemFree:          1 kB\n"
	for name, c := range map[string]struct {
		files map[string]string
		want  int64
	}{
		"nobody":           {nil, 0},
		"machine":          {map[string]string{"proc/meminfo": info}, 2 << 20},
		"no limit":         {map[string]string{"proc/meminfo": info, "sys/fs/cgroup/memory.max": "max\n"}, 2 << 20},
		"group":            {map[string]string{"proc/meminfo": info, "sys/fs/cgroup/memory.max": "1048576\n"}, 1 << 20},
		"a larger group":   {map[string]string{"proc/meminfo": info, "sys/fs/cgroup/memory.max": "9999999999\n"}, 2 << 20},
		"group, version 1": {map[string]string{"proc/meminfo": info, "sys/fs/cgroup/memory/memory.limit_in_bytes": "4096\n"}, 4096},
	} {
		if got := memory(machine(t, c.files)); got != c.want {
			t.Errorf("%s: %d, want %d", name, got, c.want)
		}
	}
}

func TestTheOperatorsCollectorWins(t *testing.T) {
	gc, limit := debug.SetGCPercent(100), debug.SetMemoryLimit(-1)
	defer func() { debug.SetGCPercent(gc); debug.SetMemoryLimit(limit) }()
	root := machine(t, map[string]string{"proc/meminfo": "MemTotal: 4194304 kB\n"})
	now := func() (int, int64) {
		g := debug.SetGCPercent(100)
		return g, debug.SetMemoryLimit(math.MaxInt64)
	}
	now()
	if b := tune(root, func(string) string { return "set" }); b != nil {
		t.Errorf("the operator chose the collector, and %d bytes of ballast were laid in", len(b))
	}
	if g, l := now(); g != 100 || l != math.MaxInt64 {
		t.Errorf("the operator's choice became GOGC %d, limit %d", g, l)
	}
	tune(machine(t, nil), func(string) string { return "" })
	if g, l := now(); g != 100 || l != math.MaxInt64 {
		t.Errorf("nobody knows the memory, and it is GOGC %d, limit %d", g, l)
	}
	debug.SetMemoryLimit(256 << 20) // as GOMEMLIMIT says: the ballast counts against it
	if b := tune(root, func(name string) string { return map[string]string{"GOMEMLIMIT": "256MiB"}[name] }); len(b) != 256<<20/warmPer*100/patientGC {
		t.Errorf("%d bytes of ballast under the operator's limit", len(b))
	}
	now()
	if b := tune(root, func(string) string { return "" }); len(b) != 4<<30/warmPer*100/patientGC {
		t.Errorf("%d bytes of ballast", len(b))
	}
	if g, l := now(); g != patientGC || l != 3<<30 {
		t.Errorf("GOGC %d, limit %d; want %d and %d", g, l, patientGC, 3<<30)
	}
}
