package main

import (
	"bufio"
	"fmt"
	"os"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"syscall"
	"testing"
	"unsafe"
)

// faults counts the pages that this process had to be given so far.
func faults(t *testing.T) int64 {
	t.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		t.Fatal(err)
	}
	return u.Minflt
}

func TestAWarmHeapIsThereBeforeItIsUsed(t *testing.T) {
	defer debug.SetGCPercent(debug.SetGCPercent(patientGC))
	const size, used = 64 << 20, 16 << 20
	ballast := warm(size)
	before := faults(t)
	var kept [][]byte
	for range used / (64 << 10) {
		b := make([]byte, 64<<10)
		for i := 0; i < len(b); i += smallPage {
			b[i] = 1
		}
		kept = append(kept, b)
	}
	if got, cold := faults(t)-before, int64(used/smallPage); got > cold/2 {
		t.Errorf("%d pages were missing of %d that were used", got, cold)
	}
	runtime.KeepAlive(kept)
	runtime.KeepAlive(ballast)
}

func TestHugePagesAreAskedFor(t *testing.T) {
	if b, err := os.ReadFile("/sys/kernel/mm/transparent_hugepage/enabled"); err != nil || strings.Contains(string(b), "[never]") {
		t.Log("this system has none")
		return
	}
	b := make([]byte, 8<<20)
	huge(b)
	if flags := flagsAt(t, uintptr(unsafe.Pointer(&b[4<<20]))); !slices.Contains(flags, "hg") {
		t.Errorf("the system knows of %v", flags)
	}
	runtime.KeepAlive(b)
}

// flagsAt gives what the system notes of the mapping that holds an address.
func flagsAt(t *testing.T, at uintptr) []string {
	t.Helper()
	f, err := os.Open("/proc/self/smaps")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	in := false
	for lines := bufio.NewScanner(f); lines.Scan(); {
		var from, to uintptr
		if n, _ := fmt.Sscanf(lines.Text(), "%x-%x ", &from, &to); n == 2 {
			in = from <= at && at < to
		}
		if flags, ok := strings.CutPrefix(lines.Text(), "VmFlags:"); in && ok {
			return strings.Fields(flags)
		}
	}
	t.Fatalf("no mapping holds %x", at)
	return nil
}
