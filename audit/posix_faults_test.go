package audit

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/transparency-dev/tessera/api/layout"
)

// leafOf is an entry as it stands in the tree.
func leafOf(t *testing.T, l Log, e Event) []byte {
	t.Helper()
	p, err := l.(*spine).wrap(e)
	if err != nil {
		t.Fatal(err)
	}
	return p.leaf
}

// doubtful gives a log of one entry of which the state with another one behind it came into force, although its write was reported to have failed:
// the name was changed, and its folder could not be synced.
func doubtful(t *testing.T) (Config, Log, *posix) {
	t.Helper()
	c := testConfig()
	c.Dir = logDir(t)
	l := openTest(t, "disk", c)
	mustAppend(t, l, NodeStarted{})
	d := l.(*spine).drv.(*posix)
	refused := leafOf(t, l, CallEnded{CallRef: "refused"})
	next, _ := grownBy(t, d.tree, [][]byte{refused})
	state := filepath.Join(c.Dir, treeStatePath)
	if err := errors.Join(os.Remove(state), os.MkdirAll(filepath.Join(state, "x"), 0o700)); err != nil {
		t.Fatal(err)
	}
	if _, err := d.append(refused); err == nil {
		t.Fatal("the state could be written")
	}
	if err := errors.Join(os.RemoveAll(state), os.WriteFile(state, next.state().raw, 0o600)); err != nil {
		t.Fatal(err)
	}
	return c, l, d
}

// crashCopy is the folder as a crash leaves it now.
func crashCopy(t *testing.T, dir string) string {
	t.Helper()
	for tries := 0; ; tries++ {
		to := filepath.Join(t.TempDir(), "log")
		switch err := os.CopyFS(to, os.DirFS(dir)); {
		case err == nil:
			return to
		case tries == 100 || !errors.Is(err, os.ErrNotExist): // a file that was listed before it got its name is not there any more
			t.Fatal(err)
		}
	}
}

// TestDoubtTree holds that the files of a state that may be in force are not replaced under it.
func TestDoubtTree(t *testing.T) {
	t.Parallel()
	c, l, d := doubtful(t)
	tiles := filepath.Join(c.Dir, filepath.Dir(layout.TilePath(0, 0, 1)))
	if err := errors.Join(os.Rename(tiles, tiles+"-away"), os.WriteFile(tiles, nil, 0o600)); err != nil {
		t.Fatal(err)
	}
	if _, err := d.append(leafOf(t, l, CallEnded{CallRef: "another"})); err == nil {
		t.Fatal("a tile could be written")
	}
	if err := errors.Join(os.Remove(tiles), os.Rename(tiles+"-away", tiles)); err != nil {
		t.Fatal(err)
	}
	crashed := crashCopy(t, c.Dir)
	if v := verify(t, crashed, l.VerifierKey()); v.Bad != nil {
		t.Errorf("after a crash between two files: %+v", v.Bad)
	}
	c.Dir = crashed
	again, _, err := Open(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	if err := again.Close(t.Context()); err != nil {
		t.Error(err)
	}
}

// TestDoubtJournal holds that the journal gives nobody an index that the state which may be in force has given to another.
func TestDoubtJournal(t *testing.T) {
	t.Parallel()
	c, l, _ := doubtful(t)
	if got := asyncAll(t, l, CallEnded{CallRef: "promised"}); got[0] != 1 {
		t.Fatalf("indexes %v", got)
	}
	crashed := crashCopy(t, c.Dir)
	c.Dir = crashed
	again, _, err := Open(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	if e, err := again.Entries(t.Context(), 1, 1); err != nil || len(e) != 1 || !strings.Contains(string(e[0].Body), `"promised"`) {
		t.Errorf("what was promised as entry 1 is lost: %v, %v", e, err)
	}
	if err := again.Close(t.Context()); err != nil {
		t.Error(err)
	}
}

// TestDamagedBundle holds that a bundle that is not what its tile says is not written on.
func TestDamagedBundle(t *testing.T) {
	t.Parallel()
	c := testConfig()
	c.Dir = logDir(t)
	writeLog(t, c.Dir, 3)
	edit(t, filepath.Join(c.Dir, layout.EntriesPath(0, 3)), replace(`"attempts":1`, `"attempts":7`))
	if l, _, err := Open(t.Context(), c); err == nil || !strings.Contains(err.Error(), "tile") {
		t.Errorf("opened: %v", err)
		_ = l.Close(t.Context())
	}
}

// TestForked holds that a log is not continued whose signed checkpoint stands for other entries than the folder has.
func TestForked(t *testing.T) {
	t.Parallel()
	for name, more := range map[string]int{"of the same size": 0, "of a smaller size": 2} {
		c := testConfig()
		c.Dir = logDir(t)
		writeLog(t, c.Dir, 3)
		signed := contents(t, filepath.Join(c.Dir, layout.CheckpointPath))
		other := logDir(t)
		writeLog(t, other, 3+more)
		if err := os.WriteFile(filepath.Join(other, layout.CheckpointPath), signed, 0o600); err != nil {
			t.Fatal(err)
		}
		c.Dir = other
		if l, _, err := Open(t.Context(), c); err == nil || !strings.Contains(err.Error(), "other entries") {
			t.Errorf("%s: opened: %v", name, err)
			_ = l.Close(t.Context())
		}
	}
}

// hanging is a disk that takes its time for the first write.
type hanging struct {
	slotFile
	first  sync.Once
	begun  chan struct{}
	answer chan struct{}
}

// hang puts such a disk under the journal of d.
func hang(d *posix) *hanging {
	h := &hanging{begun: make(chan struct{}), answer: make(chan struct{})}
	d.turn.Lock()
	defer d.turn.Unlock()
	h.slotFile, d.journal.file = d.journal.file, h
	return h
}

func (h *hanging) WriteAt(b []byte, at int64) (int, error) {
	h.first.Do(func() { close(h.begun); <-h.answer })
	return h.slotFile.WriteAt(b, at)
}

// TestCloseHeld holds that nobody else may open a folder in which a write still hangs, however long ago Close gave up on it, and that such a write
// does not come to what is not there any more.
func TestCloseHeld(t *testing.T) {
	t.Parallel()
	c := testConfig()
	c.Dir = logDir(t)
	l, _, err := Open(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	mustAppend(t, l, NodeStarted{})
	asyncAll(t, l, endedCalls(1)...)
	d := l.(*spine).drv.(*posix)
	h := hang(d)
	told := make(chan error, 1)
	l.AppendAsync(CallEnded{CallRef: "late"}, func(_ uint64, err error) { told <- err })
	<-h.begun
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if err := l.Close(ctx); err == nil {
		t.Error("closed, with a write under way")
	}
	if other, _, err := Open(t.Context(), c); !errors.Is(err, ErrInUse) {
		t.Errorf("opened while a write hangs: %v", err)
		_ = other.Close(t.Context())
	}
	close(h.answer)
	late := <-told
	other, err := openWhenFree(c)
	if err != nil {
		t.Fatal(err)
	}
	all, err := other.(*spine).drv.leaves(t.Context(), 0, other.Size())
	if err != nil || (late == nil) != bytes.Contains(bytes.Join(all, nil), []byte(`"late"`)) {
		t.Errorf("told %v; there are %d entries, %v", late, len(all), err)
	}
	if err := other.Close(t.Context()); err != nil {
		t.Error(err)
	}
}

// openWhenFree opens a folder as soon as nobody holds it.
func openWhenFree(c Config) (Log, error) {
	for {
		l, _, err := Open(context.Background(), c)
		if !errors.Is(err, ErrInUse) {
			return l, err
		}
		time.Sleep(time.Millisecond)
	}
}

// TestJournalHole holds that a damage in the middle of the journal is not silent: what is whole behind it is kept, a gap tells what is missing, and
// verify names it.
func TestJournalHole(t *testing.T) {
	t.Parallel()
	c := testConfig()
	c.Dir = logDir(t)
	l := openTest(t, "disk", c)
	mustAppend(t, l, NodeStarted{})
	d := l.(*spine).drv.(*posix)
	for _, ref := range []string{"first", "second", "third", "fourth"} {
		if r := d.appendAll([][]byte{leafOf(t, l, CallEnded{CallRef: ref})}); r[0].err != nil {
			t.Fatal(r[0].err)
		}
	}
	crashed := crashCopy(t, c.Dir)
	edit(t, filepath.Join(crashed, journalName), replace(`"second"`, `"zecond"`))
	if v := verify(t, crashed, l.VerifierKey()); v.Bad == nil || v.Bad.Seq != 2 || !strings.Contains(v.Bad.What, journalName) {
		t.Errorf("verified: %+v, %+v", v, v.Bad)
	}
	c.Dir = crashed
	again, _, err := Open(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	mustAppend(t, again, NodeStarted{Crash: true})
	got, err := again.Entries(t.Context(), 0, 100)
	if err != nil {
		t.Fatal(err)
	}
	text := ""
	for _, e := range got {
		text += string(e.Kind) + string(e.Body) + "\n"
	}
	for _, want := range []string{`"first"`, `"third"`, `"fourth"`, `"cause":"crash","lost":1`} {
		if strings.Count(text, want) != 1 {
			t.Errorf("%s is not there once:\n%s", want, text)
		}
	}
	asyncAll(t, again, endedCalls(1)...)
	twice := crashCopy(t, crashed)
	if err := again.Close(t.Context()); err != nil {
		t.Error(err)
	}
	for _, dir := range []string{crashed, twice} {
		if v := verify(t, dir, l.VerifierKey()); v.Bad != nil || v.Gaps != 1 || v.Entries != uint64(len(got))+1 {
			t.Errorf("after the repair: %+v, %+v", v, v.Bad)
		}
	}
}

// TestJournalShort holds that a journal that was cut short is made anew.
func TestJournalShort(t *testing.T) {
	t.Parallel()
	c := testConfig()
	c.Dir = logDir(t)
	writeLog(t, c.Dir, 3)
	if err := os.WriteFile(filepath.Join(c.Dir, journalName), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	l := openTest(t, "disk", c)
	for range 3 {
		asyncAll(t, l, endedCalls(1)...)
	}
	if st, err := os.Stat(filepath.Join(c.Dir, journalName)); err != nil || st.Size() != journalLeast {
		t.Errorf("a journal of %d bytes, %v", st.Size(), err)
	}
}

// TestJournalWiden holds that nothing is promised in a file that a larger one may have taken the place of.
func TestJournalWiden(t *testing.T) {
	t.Parallel()
	dir := logDir(t)
	j := &journal{path: filepath.Join(dir, journalName)}
	if err := j.make(journalLeast); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(os.Remove(j.path), os.MkdirAll(filepath.Join(j.path, "x"), 0o700)); err != nil {
		t.Fatal(err)
	}
	j.widen() // fails
	if err := j.keep(0, [][]byte{[]byte("x")}); err == nil {
		t.Error("promised, in a file that has no name")
	}
	if err := os.RemoveAll(j.path); err != nil {
		t.Fatal(err)
	}
	if err := j.keep(0, [][]byte{[]byte("x")}); err != nil {
		t.Errorf("not made anew: %v", err)
	}
	if err := j.close(); err != nil {
		t.Error(err)
	}
}

// TestJournalHangs holds that a journal that hangs is a log that is down, that nobody overtakes what hangs in it, and that the gap counts what is missing
// and not what turned up.
func TestJournalHangs(t *testing.T) {
	t.Parallel()
	c := testConfig()
	c.Dir, c.AppendTimeout = logDir(t), 5*time.Second // of which a busy disk needs one or two
	l := openTest(t, "disk", c)
	asyncAll(t, l, endedCalls(1)...)
	d := l.(*spine).drv.(*posix)
	h := hang(d)
	told := make(chan error, 2)
	tell := func(_ uint64, err error) { told <- err }
	l.AppendAsync(CallEnded{CallRef: "late"}, tell)
	<-h.begun
	if err := <-told; !errors.Is(err, ErrLogDown) || l.Health().OK {
		t.Errorf("told %v, health %+v", err, l.Health())
	}
	l.AppendAsync(CallEnded{CallRef: "never"}, tell)
	if err := <-told; !errors.Is(err, errStuck) {
		t.Errorf("one that came later was told %v", err)
	}
	close(h.answer)
	for l.(*spine).abandons.Load() > 0 {
		time.Sleep(time.Millisecond)
	}
	after := mustHeal(t, l, NodeStarted{})
	all, err := l.Entries(t.Context(), 0, after)
	if err != nil {
		t.Fatal(err)
	}
	kinds, lost := map[string]int{}, ""
	for _, e := range all {
		kinds[string(e.Kind)]++
		if e.Gap {
			lost = string(e.Body)
		}
	}
	if kinds["call.ended"] != 2 || kinds["log.gap"] != 1 || !strings.Contains(lost, `"lost":1,`) {
		t.Errorf("entries %v, gap %s", kinds, lost)
	}
	if err := l.Close(t.Context()); err != nil {
		t.Error(err)
	}
	if v := verify(t, c.Dir, l.VerifierKey()); v.Bad != nil || v.Unsigned != 0 {
		t.Errorf("%+v, %+v", v, v.Bad)
	}
}

// mustHeal appends until a log that is down takes it, and gives how many entries there are then.
func mustHeal(t *testing.T, l Log, e Event) int {
	t.Helper()
	for range 100 {
		if seq, err := l.Append(t.Context(), e); err == nil {
			return int(seq) + 1
		} else if !errors.Is(err, ErrLogDown) {
			t.Fatal(err)
		}
	}
	t.Fatal("the log stays down")
	return 0
}

// TestStateUnwritten holds that the journal still takes entries where the state of the tree could not be written at all, as on a full disk.
func TestStateUnwritten(t *testing.T) {
	t.Parallel()
	c := testConfig()
	c.Dir = logDir(t)
	l := openTest(t, "disk", c)
	mustAppend(t, l, NodeStarted{})
	asyncAll(t, l, endedCalls(1)...)
	d := l.(*spine).drv.(*posix)
	state := filepath.Join(c.Dir, filepath.Dir(treeStatePath))
	if err := errors.Join(os.Rename(state, state+"-away"), os.WriteFile(state, nil, 0o600)); err != nil {
		t.Fatal(err)
	}
	if _, err := d.append(leafOf(t, l, HealthChanged{})); err == nil {
		t.Fatal("the state could be written")
	}
	if got := asyncAll(t, l, endedCalls(1)...); got[0] != 2 {
		t.Errorf("indexes %v", got)
	}
	if err := errors.Join(os.Remove(state), os.Rename(state+"-away", state)); err != nil {
		t.Fatal(err)
	}
	if seq := mustAppend(t, l, HealthChanged{}); seq != 3 || inTree(t, c.Dir) != 4 {
		t.Errorf("entry %d, %d are in the tree", seq, inTree(t, c.Dir))
	}
}

// TestBundleKept holds that what a failed write put together over the edge of a bundle takes nothing from the bundle that is in the tree.
func TestBundleKept(t *testing.T) {
	t.Parallel()
	l, d := onDisk(t)
	asyncAll(t, l, endedCalls(240)...)
	for range 3 { // each of them puts the bundle together in what the one before has left
		mustAppend(t, l, HealthChanged{})
	}
	next := filepath.Join(d.dir, layout.EntriesPath(1, 1))
	if err := os.WriteFile(filepath.Dir(next), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	asyncAll(t, l, endedCalls(100)...)
	if _, err := d.append(leafOf(t, l, HealthChanged{})); err == nil {
		t.Fatal("the bundle behind the edge could be written")
	}
	if err := os.Remove(filepath.Dir(next)); err != nil {
		t.Fatal(err)
	}
	mustAppend(t, l, HealthChanged{})
	if err := l.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	if v := verify(t, d.dir, l.VerifierKey()); v.Bad != nil || v.Size != 344 || v.Unsigned != 0 {
		t.Errorf("%d entries, %d unsigned, %+v", v.Size, v.Unsigned, v.Bad)
	}
}
