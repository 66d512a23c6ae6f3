package audit

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestFullDisk fills a file system of its own. Where mounting one is not allowed, TestReserveSteps alone speaks for the reserve.
func TestFullDisk(t *testing.T) {
	mount := smallDisk(t, "8m")
	if mount == "" {
		return
	}
	std := slog.Default()
	slog.SetDefault(slog.New(slog.DiscardHandler)) // the driver's library warns there of every file that it could not remove
	t.Cleanup(func() { slog.SetDefault(std) })
	c := testConfig()
	c.Dir, c.Reserve = filepath.Join(mount, "log"), 2<<20
	l, _, err := Open(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close(context.Background()) })
	mustAppend(t, l, NodeStarted{})
	ballast := fillDisk(t, mount)
	n := 1
	for ; l.Health().ReserveUsed < 1<<20; n++ { // half of the reserve goes, and nobody notices
		mustAppend(t, l, ReloadRefused{Errors: []string{strings.Repeat("x", 8<<10)}})
	}
	if _, err := l.Commit(t.Context(), HealthChanged{}); err != nil {
		t.Fatal(err)
	}
	n++
	ballasts := []string{ballast, checkpointOnFullDisk(t, l, mount)}
	n++
	for ; err == nil && n < 2000; n++ {
		_, err = l.Append(t.Context(), ReloadRefused{Errors: []string{strings.Repeat("x", 8<<10)}})
	}
	if h := l.Health(); !errors.Is(err, ErrLogDown) || h.OK || h.ReserveUsed != h.ReserveBytes {
		t.Fatalf("after %d entries: %v, %+v", n, err, h)
	}
	for _, name := range ballasts {
		if err := os.Remove(name); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := l.Commit(t.Context(), NodeStopped{}); err != nil {
		t.Fatal(err)
	}
	if err := l.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	v := verify(t, c.Dir, l.VerifierKey())
	if v.Bad != nil || v.Gaps != 1 || v.Entries != l.Size() {
		t.Errorf("%+v, %+v", v, v.Bad)
	}
	t.Logf("%d entries, the reserve from full to spent, %d leftovers", v.Entries, v.Leftovers)
}

// checkpointOnFullDisk takes what the log has just been given, so that nothing is left for the checkpoint, and waits for it all the same.
func checkpointOnFullDisk(t *testing.T, l Log, mount string) string {
	t.Helper()
	mustAppend(t, l, HealthChanged{})
	name := fillDisk(t, mount)
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	if err := l.(*spine).drv.covered(ctx, l.Size()); err != nil {
		t.Error(err)
	}
	return name
}

// fillDisk takes every free byte.
func fillDisk(t *testing.T, dir string) string {
	t.Helper()
	f, err := os.CreateTemp(dir, "ballast")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	for size := 1 << 20; size >= 4096; {
		if _, err := f.Write(make([]byte, size)); errors.Is(err, syscall.ENOSPC) {
			size /= 2
		} else if err != nil {
			t.Fatal(err)
		}
	}
	return f.Name()
}

// smallDisk gives a file system of our own, or nothing where mounting one is not allowed.
func smallDisk(t *testing.T, size string) string {
	t.Helper()
	mount := t.TempDir()
	if err := syscall.Mount("tmpfs", mount, "tmpfs", 0, "size="+size); err != nil {
		t.Logf("no tmpfs of our own: %v", err)
		return ""
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(mount, 0); err != nil {
			t.Error(err)
		}
	})
	return mount
}

// TestReadOnlyDisk holds that a log on a disk which cannot be written is refused with the reason, and that what stands on it is whole and is read.
func TestReadOnlyDisk(t *testing.T) {
	mount := smallDisk(t, "8m")
	if mount == "" {
		return
	}
	c := testConfig()
	c.Dir, c.Reserve = filepath.Join(mount, "log"), 1<<20
	l, _, err := Open(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	mustAppend(t, l, NodeStarted{})
	if _, err := l.Commit(t.Context(), NodeStopped{}); err != nil {
		t.Fatal(err)
	}
	if err := l.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mount("", mount, "", syscall.MS_REMOUNT|syscall.MS_RDONLY, ""); err != nil {
		t.Fatal(err)
	}
	for _, dir := range []string{c.Dir, filepath.Join(mount, "another")} {
		c.Dir = dir
		if again, _, err := Open(t.Context(), c); !errors.Is(err, syscall.EROFS) || !strings.Contains(err.Error(), mount) {
			t.Errorf("%s: %v", dir, err)
			if err == nil {
				_ = again.Close(context.Background())
			}
		}
	}
	if v := verify(t, filepath.Join(mount, "log"), l.VerifierKey()); v.Bad != nil || v.Entries != 2 {
		t.Errorf("%+v, %+v", v, v.Bad)
	}
}

// TestIntentsFullDisk holds that calls are admitted on a full disk for as long as the intents have space of their own, through rewrites
// and restarts, and again when there is room.
func TestIntentsFullDisk(t *testing.T) {
	t.Parallel()
	mount := smallDisk(t, "16m")
	if mount == "" {
		return
	}
	path := filepath.Join(mount, "intents")
	in, err := OpenIntents(path)
	if err != nil {
		t.Fatal(err)
	}
	ballast := fillDisk(t, mount)
	for round := range 2 {
		for i := range 100 {
			refs := refsOf(fmt.Sprintf("%d-%04d", round, i), 100)
			if n, err := beginAll(in, refs); err != nil {
				t.Fatalf("round %d, call %d: %v", round, 100*i+n, err)
			}
			for _, ref := range refs {
				in.End(ref)
			}
		}
		if n := in.(*fileIntents).slots.number; n < 2 {
			t.Errorf("written anew %d times", n)
		}
		if err := in.Close(); err != nil {
			t.Fatal(err)
		}
		if in, err = OpenIntents(path); err != nil {
			t.Fatal(err)
		}
	}
	up := 0
	for i := 0; err == nil && up < 1<<15; i++ {
		var n int
		n, err = beginAll(in, refsOf(fmt.Sprintf("20261120-%04d", i), 64))
		up += n
	}
	if !errors.Is(err, ErrLogDown) || !errors.Is(err, syscall.ENOSPC) || up < leastSlot/100 || len(in.Open()) != up {
		t.Fatalf("with %d calls up: %v", up, err)
	}
	if err := os.Remove(ballast); err != nil {
		t.Fatal(err)
	}
	if err := in.Begin(t.Context(), "there is room", intentTime); err != nil {
		t.Fatal(err)
	}
	if err := in.Close(); err != nil {
		t.Fatal(err)
	}
	if got := reopen(t, path); len(got) != up+1 {
		t.Errorf("%d calls up, %d on record", up+1, len(got))
	}
}

// TestPseudonymsFullDisk holds that what could not be kept shows while it is so, and that people are kept as soon as there is room.
func TestPseudonymsFullDisk(t *testing.T) {
	t.Parallel()
	mount := smallDisk(t, "1m")
	if mount == "" {
		return
	}
	dir := filepath.Join(mount, "pseudonyms")
	n := openNames(t, dir)
	kept, _ := n.Call("kept@host")
	for range os.Getpagesize()/saltRecord - 2 { // the rest of the page that the header begins: what comes later needs another one, in whatever groups it is written
		n.Call("kept, too@host")
	}
	if !n.Match(kept, "", "kept@host") { // and all are in the file with that
		t.Error("what was kept just now is not found")
	}
	ballast := fillDisk(t, mount)
	for range 255 {
		n.Call("lost@host")
	}
	alice := n.Person("alice@bank.example")
	if !n.Match(kept, "", "kept@host") {
		t.Error("what is kept is not found on a full disk")
	}
	h := n.Health()
	if h.OK || h.Lost != 255 || h.Unsaved != 1 || !strings.Contains(h.Why, "a salt: ") || !strings.Contains(h.Why, "a person: ") {
		t.Errorf("on a full disk: %+v", h)
	}
	if n.Person("alice@bank.example") != alice {
		t.Error("a person has another name")
	}
	if err := n.Destroy(kept); err != nil { // takes no space
		t.Error(err)
	}
	if err := os.Remove(ballast); err != nil {
		t.Fatal(err)
	}
	if again, _ := n.Call("kept again@host"); !n.Match(again, "", "kept again@host") {
		t.Error("nothing is kept although there is room again")
	}
	if after := n.Health(); after.OK || after.Lost != h.Lost || after.Unsaved != 1 || strings.Contains(after.Why, "a salt: ") {
		t.Errorf("after a call with room: %+v", after)
	}
	n.Person("bob@bank.example")
	if after := n.Health(); after != (PseudonymsHealth{OK: true, Lost: h.Lost}) {
		t.Errorf("after a person with room: %+v", after)
	}
	if err := n.Close(); !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("close does not tell of the salts that were lost: %v", err)
	}
	n = openNames(t, dir)
	if n.Person("alice@bank.example") != alice {
		t.Error("a person was not kept")
	}
	if err := n.Close(); err != nil {
		t.Error(err)
	}
}
