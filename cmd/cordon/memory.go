package main

import (
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"
)

// A call leaves little behind that lives, so collecting garbage less often costs some memory and saves a good part of a call's CPU. The limit makes the
// collector work harder before memory runs out.
const (
	patientGC = 400 // GOGC
	memoryPer = 4   // the limit leaves one part in so many to sockets, page tables and everything that is not the heap
	warmPer   = 32  // one part in so many is made ready before the first call,
	warmMost  = 256 << 20
	smallPage = 4 << 10
)

// tune sets the collector for an edge and makes its heap ready, unless the operator has set it: GOGC and GOMEMLIMIT win. Where nobody knows how much memory
// there is nothing changes. The caller keeps ballast until the edge ends.
func tune(root string, env func(string) string) (ballast []byte) {
	total := memory(root)
	if total <= 0 {
		return nil
	}
	if env("GOMEMLIMIT") == "" {
		debug.SetMemoryLimit(total - total/memoryPer)
	} else {
		total = min(total, debug.SetMemoryLimit(-1)) // what is made ready counts against it
	}
	if env("GOGC") != "" {
		return nil
	}
	debug.SetGCPercent(patientGC)
	return warm(min(total/warmPer, warmMost))
}

// warm has the system back so many bytes of the heap now, with huge pages where it has them. Without it, an edge that starts under load takes a page fault for every 4 KB that its
// calls allocate, and looks up the tables of small pages again and again: both together were a fifth of what a call costs.
//
// The ballast is memory that is never touched, so the system never gives it. It counts as in use, and the collector, which lets the heap grow to five times what is in use, works
// when the warm part is full, neither sooner nor later. An edge that had nothing to do for minutes gives most of the warm part back.
func warm(bytes int64) (ballast []byte) {
	ballast = make([]byte, bytes*100/patientGC)
	runtime.GC()
	heap := make([]byte, bytes)
	huge(heap)
	for i := 0; i < len(heap); i += smallPage {
		heap[i] = 1
	}
	runtime.GC()
	return ballast
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
