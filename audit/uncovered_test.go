package audit

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/transparency-dev/tessera/api/layout"
)

// blocked puts a file where a folder stands, or a folder where a file does, and gives what takes it back.
func blocked(t *testing.T, path string) (mend func()) {
	t.Helper()
	st, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if err = os.Rename(path, path+"-away"); err == nil && st.IsDir() {
		err = os.WriteFile(path, nil, 0o600)
	} else if err == nil {
		err = os.MkdirAll(filepath.Join(path, "x"), 0o700)
	}
	if err != nil {
		t.Fatal(err)
	}
	return func() {
		if err := errors.Join(os.RemoveAll(path), os.Rename(path+"-away", path)); err != nil {
			t.Fatal(err)
		}
	}
}

// TestUncovered holds that a log whose journal can be written and whose tree, or checkpoint, cannot says how far its checkpoints are behind, counts as
// down when that takes too long, and as well again with the next checkpoint.
func TestUncovered(t *testing.T) {
	for name, path := range map[string]string{"tree": filepath.Dir(treeStatePath), "checkpoint": layout.CheckpointPath} {
		dir := logDir(t)
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := testConfig()
				c.Dir = dir
				l, _, err := Open(t.Context(), c)
				if err != nil {
					t.Fatal(err)
				}
				asyncAll(t, l, endedCalls(2)...)
				time.Sleep(time.Second)
				if h := l.Health(); !h.OK || h.Uncovered < time.Second || h.Uncovered > time.Second+paceEvery {
					t.Errorf("in the journal: %+v", h)
				}
				time.Sleep(2 * settleEvery)
				if h := l.Health(); !h.OK || h.Uncovered != 0 {
					t.Errorf("under a checkpoint: %+v", h)
				}
				mend := blocked(t, filepath.Join(dir, path))
				behindFor(t, l)
				synctest.Wait() // what is tried at this moment is over, so that nothing new is put where the old one returns to
				before := l.Health()
				mend()
				time.Sleep(time.Second)
				now := time.Now()
				if h := l.Health(); !h.OK || h.Uncovered > settleEvery || h.Why != "" || !h.Since.Equal(now) {
					t.Errorf("mended: %+v at %s, before it %+v", h, now, before)
				}
				if err := l.Close(t.Context()); err != nil {
					t.Error(err)
				}
				if v := verify(t, dir, l.VerifierKey()); v.Bad != nil || v.Unsigned != 0 {
					t.Errorf("%+v, %+v", v, v.Bad)
				}
			})
		})
	}
}

// behindFor records a call each second while checkpoints stand still, until the log counts as down.
func behindFor(t *testing.T, l Log) {
	t.Helper()
	begin := time.Now()
	for age := time.Duration(0); age < uncoveredMost+5*time.Second; age = time.Since(begin) {
		asyncAll(t, l, endedCalls(1)...)
		h := l.Health()
		if late := age >= uncoveredMost; h.OK == late {
			t.Fatalf("after %v: %+v", age, h)
		}
		if d := age - h.Uncovered; d < 0 || d > paceEvery {
			t.Errorf("after %v the oldest is %v old", age, h.Uncovered)
		}
		if !h.OK && (!strings.HasPrefix(h.Why, "no checkpoint covers") || !strings.Contains(h.Why, ": ")) {
			t.Errorf("why: %s", h.Why)
		}
		time.Sleep(time.Second)
	}
}

// TestUncoveredSince holds what the age is counted from, on the way of entries through journal, tree and checkpoint.
func TestUncoveredSince(t *testing.T) {
	t.Parallel()
	var u uncovered
	at := func(s int) time.Time { return time.Unix(int64(s), 0) }
	u.kept(at(3))
	u.kept(at(4))
	if got := u.since(); got != at(3) {
		t.Errorf("two in the journal: since %s", got)
	}
	u.settled(false, at(5))
	u.kept(at(6))
	u.signs()
	u.settled(true, at(7)) // while the checkpoint is being written
	if got := u.since(); got != at(3) {
		t.Errorf("being signed: since %s", got)
	}
	u.signs() // the last one failed
	if got := u.since(); got != at(3) {
		t.Errorf("signed again: since %s", got)
	}
	u.kept(at(8))
	u.signed()
	if got := u.since(); got != at(8) {
		t.Errorf("signed: since %s", got)
	}
	u.settled(true, at(9))
	u.signs()
	u.signed()
	if got := u.since(); !got.IsZero() {
		t.Errorf("all signed: since %s", got)
	}
	u.settled(true, at(10))
	if got := u.since(); got != at(10) {
		t.Errorf("straight into the tree: since %s", got)
	}
}
