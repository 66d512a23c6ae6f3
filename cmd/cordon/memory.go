package main

import (
	"os"
	"path/filepath"
	"runtime/debug"
	"strconv"
	"strings"
)

// A call leaves little behind that lives, so collecting garbage less often costs some memory and saves a good part of a call's CPU. The limit makes the
// collector work harder before memory runs out.
const (
	patientGC = 400 // GOGC
	memoryPer = 4   // the limit leaves one part in so many to sockets, page tables and everything that is not the heap
)

// tune sets the collector for an edge, unless the operator has set it: GOGC and GOMEMLIMIT win. Where nobody knows how much memory there is nothing changes.
func tune(root string, env func(string) string) {
	total := memory(root)
	if total <= 0 {
		return
	}
	if env("GOMEMLIMIT") == "" {
		debug.SetMemoryLimit(total - total/memoryPer)
	}
	if env("GOGC") == "" {
		debug.SetGCPercent(patientGC)
	}
}

// memory is what this process may use, in bytes: what the machine has, or less where a control group (version 2 or 1) says so; 0 when nobody says.
func memory(root string) int64 {
	least := int64(0)
	note := func(n int64) {
		if n > 0 && (least == 0 || n < least) {
			least = n
		}
	}
	for line := range strings.Lines(read(root, "proc/meminfo")) {
		if f := strings.Fields(line); len(f) == 3 && f[0] == "MemTotal:" {
			note(number(f[1]) << 10)
		}
	}
	note(number(strings.TrimSpace(read(root, "sys/fs/cgroup/memory.max"))))
	note(number(strings.TrimSpace(read(root, "sys/fs/cgroup/memory/memory.limit_in_bytes"))))
	return least
}

func read(root, file string) string {
	b, _ := os.ReadFile(filepath.Join(root, file)) // what is not there says nothing
	return string(b)
}

// number is 0 for what is none: "max" is no limit.
func number(s string) int64 {
	n, _ := strconv.ParseInt(s, 10, 64)
	return n
}
