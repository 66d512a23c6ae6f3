package audit

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

func TestReopen(t *testing.T) {
	t.Parallel()
	c := testConfig()
	c.Dir = logDir(t)
	run := func(events ...Event) (crashed bool) {
		l, crashed, err := Open(t.Context(), c)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range events {
			mustAppend(t, l, e)
		}
		if err := l.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
		return crashed
	}
	if run(NodeStarted{}, NodeStopped{}) {
		t.Error("a new log calls itself crashed")
	}
	if run(NodeStarted{}) {
		t.Error("crashed after an orderly end")
	}
	if !run(NodeStarted{Crash: true}, NodeStopped{}) {
		t.Error("no crash after a run without an end")
	}
	l := openTest(t, "disk", c)
	if l.Size() != 5 {
		t.Errorf("size %d", l.Size())
	}
	if seq := mustAppend(t, l, NodeStarted{}); seq != 5 {
		t.Errorf("seq %d", seq)
	}
}

// TestOpenRefuses lists what must not be opened, and says that a refusal lets go of the folder.
func TestOpenRefuses(t *testing.T) {
	t.Parallel()
	c := testConfig()
	c.Dir = logDir(t)
	open := func(c Config) error {
		l, _, err := Open(t.Context(), c)
		if err == nil {
			_ = l.Close(t.Context())
		}
		return err
	}
	writeLog(t, c.Dir, 3)
	ec, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]func(*Config){
		"expected a name without spaces": func(c *Config) { c.Origin = "two words" },
		"expected a name without":        func(c *Config) { c.Origin = "" },
		"no signer":                      func(c *Config) { c.Signer = nil },
		"not with a *ecdsa.PublicKey":    func(c *Config) { c.Signer = ec },
		"no folder":                      func(c *Config) { c.Dir = "" },
		"is not one of origin":           func(c *Config) { c.Origin = "cordon/bank-1/edge-2" },
		"and this key":                   func(c *Config) { c.Signer = ed25519.NewKeyFromSeed(bytes.Repeat([]byte{7}, 32)) },
	} {
		bad := c
		change(&bad)
		if err := open(bad); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: %v", name, err)
		}
	}
	l, _, err := Open(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	if err := open(c); !errors.Is(err, ErrInUse) || !strings.Contains(err.Error(), "the log in "+c.Dir) {
		t.Errorf("open twice: %v", err)
	}
	if err := l.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	edit(t, filepath.Join(c.Dir, ".state/treeState"), replace(`"size":3`, `"size":2`))
	if err := open(c); err == nil || !strings.Contains(err.Error(), "the tree holds 2 entries, the signed checkpoint stands for 3") {
		t.Errorf("tree put back: %v", err)
	}
	edit(t, filepath.Join(c.Dir, ".state/treeState"), replace(`"size":2`, `"size":3`))
	if err := open(c); err != nil {
		t.Errorf("sound again: %v", err)
	}
}

// TestPrune holds that a quiet log does not keep one copy of its newest bundle for each append, and that proofs in older trees do not
// need those copies.
func TestPrune(t *testing.T) {
	t.Parallel()
	c := testConfig()
	c.Dir = logDir(t)
	l := openTest(t, "disk", c)
	for range 8 {
		mustAppend(t, l, HealthChanged{})
	}
	if _, err := l.Commit(t.Context(), HealthChanged{}); err != nil {
		t.Fatal(err)
	}
	d := l.(*spine).drv.(*posix)
	d.prune()
	for _, dir := range []string{"tile/entries/000.p", "tile/0/000.p"} {
		files, err := os.ReadDir(filepath.Join(c.Dir, dir))
		if err != nil || len(files) != 1 || files[0].Name() != "9" {
			t.Errorf("%s: %v, %v", dir, files, err)
		}
	}
	for size := uint64(1); size <= 9; size++ {
		rootByProof(t, l, size-1, size)
	}
	if v := verify(t, c.Dir, l.VerifierKey()); v.Bad != nil || v.Size != 9 {
		t.Errorf("%+v, %+v", v, v.Bad)
	}
}

// TestPruneInPassing holds that whoever appends removes, now and then, what the newest checkpoint has outgrown.
func TestPruneInPassing(t *testing.T) {
	t.Parallel()
	l, d := onDisk(t)
	leaf := leafOf(t, l, CallEnded{})
	for size := uint64(8); size <= 128; size += pruneEvery + 8 {
		for range 8 {
			if _, err := d.append(leaf); err != nil {
				t.Fatal(err)
			}
		}
		if err := d.covered(t.Context(), size); err != nil {
			t.Fatal(err)
		}
		d.appendAll(slices.Repeat([][]byte{leaf}, pruneEvery))
		if files, err := os.ReadDir(filepath.Join(d.dir, "tile/entries/000.p")); err != nil || len(files) != 1 || files[0].Name() != fmt.Sprint(size) {
			t.Errorf("%d entries in the tree: %v, %v", size, files, err)
		}
	}
}

// TestReadWhileWritten holds that readers do not stumble over files which grow, and are removed, under their eyes.
func TestReadWhileWritten(t *testing.T) {
	t.Parallel()
	l := openTest(t, "disk", testConfig())
	d := l.(*spine).drv.(*posix)
	stop := make(chan struct{})
	var readers, writers sync.WaitGroup
	for range 252 {
		writers.Go(func() { mustAppend(t, l, NodeStarted{}) })
	}
	writers.Wait()
	for range 2 {
		readers.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				d.prune()
				n := l.Size()
				if e, err := d.leaves(t.Context(), n-1, 1); err != nil || len(e) != 1 { // Entries would give it from memory
					t.Errorf("entry %d: %v", n-1, err)
				}
				if _, err := l.Inclusion(t.Context(), n/2, n); err != nil {
					t.Error(err)
				}
				if _, err := l.Consistency(t.Context(), n/2, n); err != nil {
					t.Error(err)
				}
			}
		})
	}
	for range 8 { // over the edge of the first bundle
		mustAppend(t, l, HealthChanged{})
	}
	close(stop)
	readers.Wait()
}

// TestNewest holds that a file which was removed between the look at the size and the read costs only another look.
func TestNewest(t *testing.T) {
	t.Parallel()
	l := openTest(t, "disk", testConfig())
	for range 3 {
		mustAppend(t, l, HealthChanged{})
	}
	if _, err := l.Commit(t.Context(), HealthChanged{}); err != nil {
		t.Fatal(err)
	}
	d := l.(*spine).drv.(*posix)
	d.prune()
	width := uint8(2) // of a bundle that is gone
	raw, err := d.newest(0, 0, func(w uint8) ([]byte, error) {
		w, width = width, w
		return d.reader.readBundle(0, w)
	})
	if e, perr := parseBundle(raw); err != nil || perr != nil || len(e) != 4 {
		t.Errorf("%d entries, %v, %v", len(e), err, perr)
	}
	if _, err := d.newest(7, 0, func(w uint8) ([]byte, error) { return d.reader.readBundle(7, w) }); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a bundle that never was: %v", err)
	}
}

// TestSweep lists what a write that was cut off leaves behind, and what is none of it.
func TestSweep(t *testing.T) {
	t.Parallel()
	dir := logDir(t)
	gone := []string{
		"tile/entries/000.p/51234", "tile/entries/0001234567", "tile/0/000.p/51234", "tile/0/0011234567", "tile/1/0001234", "tile/entries/001.p/12345",
		".state/treeState99", "checkpoint77",
	}
	kept := []string{
		"tile/entries/000", "tile/entries/000.p/5", "tile/entries/001.p/255", "tile/0/000", "tile/entries/x001/000", "tile/entries/000.p/note", ".state/treeState",
		".state/treeState.lock", "checkpoint", "checkpoint78", "reserve", "lock", "intents",
	}
	for _, name := range append(slices.Clone(gone), kept...) {
		path := filepath.Join(dir, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o700), os.WriteFile(path, nil, 0o600)); err != nil {
			t.Fatal(err)
		}
	}
	old := time.Now().Add(-time.Minute)
	if err := os.Chtimes(filepath.Join(dir, "checkpoint77"), old, old); err != nil {
		t.Fatal(err)
	}
	sweep(dir, 200)
	for _, name := range gone {
		if _, err := os.Stat(filepath.Join(dir, name)); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s is still there", name)
		}
	}
	for _, name := range kept {
		if _, err := os.Stat(filepath.Join(dir, name)); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestCloseHung holds that Close does not wait for a disk longer than it is told to.
func TestCloseHung(t *testing.T) {
	t.Parallel()
	var f faults
	c := testConfig()
	c.Dir, c.wrap, c.AppendTimeout = logDir(t), f.wrap, 20*time.Millisecond
	l, _, err := Open(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { // a driver that was not waited for may still write a checkpoint
		for os.RemoveAll(c.Dir) != nil {
			time.Sleep(time.Millisecond)
		}
	})
	release := f.hangs()
	if _, err := l.Append(t.Context(), NodeStarted{}); err == nil {
		t.Fatal("append")
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if err := l.Close(ctx); err == nil {
		t.Error("closed, with an append under way")
	}
	f.breaks(os.ErrClosed)
	close(release)
	l.(*spine).life.running.Wait()
}
