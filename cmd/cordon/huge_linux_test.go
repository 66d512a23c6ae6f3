package main

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
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

// resident is the memory that the system has given to this process, in bytes.
func resident(t *testing.T) int64 {
	t.Helper()
	var all, here int64
	if _, err := fmt.Sscan(read("/", "proc/self/statm"), &all, &here); err != nil {
		t.Fatal(err)
	}
	return here * int64(os.Getpagesize())
}

// alone marks the process in which the heap is measured: one that has none yet, and whose collector no other test drives.
const alone = "CORDON_TEST_WARM_HEAP"

func TestAWarmHeapIsThereBeforeItIsUsed(t *testing.T) {
	if os.Getenv(alone) == "" {
		c := exec.CommandContext(t.Context(), "/proc/self/exe", "-test.run", "^"+t.Name()+"$")
		c.Env = append(os.Environ(), alone+"=1")
		if out, err := c.CombinedOutput(); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		return
	}
	debug.SetGCPercent(patientGC)
	const size, used = 64 << 20, 16 << 20
	cold := resident(t)
	ballast := warm(size)
	if got := resident(t) - cold; got < size/10*9 || got > size/10*11 {
		t.Errorf("%d bytes more are there, of %d", got, size)
	}
	before := faults(t)
	var kept [][]byte
	for range used / (64 << 10) {
		b := make([]byte, 64<<10)
		for i := 0; i < len(b); i += smallPage {
			b[i] = 1
		}
		kept = append(kept, b)
	}
	if got, small := faults(t)-before, int64(used/smallPage); got > small/2 {
		t.Errorf("%d pages were missing of %d that were used", got, small)
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
