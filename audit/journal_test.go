package audit

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

// TestJournalPower cuts the power at every step of runs in which writes fail now and then: what was promised is found, in its order and nothing else
// in its place, whatever stood in the file before; behind it stands the last group, whole, or nothing.
func TestJournalPower(t *testing.T) {
	t.Parallel()
	for seed := range uint64(800) {
		rnd := rand.New(rand.NewPCG(seed, 2))
		size := 8 * slotBlock
		d := &sectors{rnd: rnd, disk: make([]byte, size), cache: make([]byte, size), left: 1 + rnd.IntN(60), fail: 2 + rnd.IntN(20)}
		j := &journal{file: d, size: int64(size)}
		promised, last, settled := journalRun(t, j, d, rnd)
		got, end := parseJournal(d.disk, settled)
		if end > int64(size) || len(got) < len(promised) {
			t.Fatalf("seed %d: %d entries to %d, promised were %d behind %d", seed, len(got), end, len(promised), settled)
		}
		for i, leaf := range promised {
			if !bytes.Equal(got[i], leaf) {
				t.Fatalf("seed %d: entry %d is %.20q, promised was %.20q", seed, settled+uint64(i), got[i], leaf)
			}
		}
		if more := got[len(promised):]; len(more) > 0 && !slices.EqualFunc(more, last, bytes.Equal) {
			t.Fatalf("seed %d: behind what was promised stand %d entries that nobody wrote so", seed, len(more))
		}
	}
}

// TestJournalParse lists what counts in a journal beside a tree of some size.
func TestJournalParse(t *testing.T) {
	t.Parallel()
	file := func(groups ...[2]uint64) []byte { // first index and number of entries
		raw := make([]byte, 8*slotBlock)
		d := &sectors{rnd: rand.New(rand.NewPCG(1, 1)), disk: raw, cache: make([]byte, len(raw)), left: math.MaxInt, fail: math.MaxInt}
		j := &journal{file: d, size: int64(len(raw))}
		for _, g := range groups {
			var leaves [][]byte
			for i := range g[1] {
				leaves = append(leaves, fmt.Append(nil, g[0]+i))
			}
			if err := j.keep(g[0], leaves); err != nil {
				t.Fatal(err)
			}
		}
		return raw
	}
	damaged := file([2]uint64{5, 2}, [2]uint64{7, 2}, [2]uint64{9, 1})
	damaged[slotBlock+journalHead+2] ^= 1
	for name, c := range map[string]struct {
		raw  []byte
		size uint64
		want string
	}{
		"all":                         {file([2]uint64{5, 2}, [2]uint64{7, 1}), 5, "5 6 7"},
		"the tree has the first":      {file([2]uint64{5, 2}, [2]uint64{7, 1}), 7, "7"},
		"the tree has everything":     {file([2]uint64{5, 2}, [2]uint64{7, 1}), 9, ""},
		"begun anew, old ones behind": {file([2]uint64{9, 2}, [2]uint64{7, 2}), 9, "9 10"},
		"a hole":                      {file([2]uint64{5, 1}, [2]uint64{7, 1}), 5, "5"},
		"the tree has other entries":  {file([2]uint64{5, 2}, [2]uint64{6, 1}), 6, ""},
		"damaged in the middle":       {damaged, 5, "5 6"},
		"empty":                       {file(), 0, ""},
	} {
		leaves, _ := parseJournal(c.raw, c.size)
		if got := string(bytes.Join(leaves, []byte(" "))); got != c.want {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
}

// journalRun keeps groups until the power goes, as posix does it, and gives what is promised and not in the tree, the group that was cut off, and the
// size of the tree.
func journalRun(t *testing.T, j *journal, d *sectors, rnd *rand.Rand) (promised, last [][]byte, settled uint64) {
	for i := 0; ; i++ {
		var leaves [][]byte
		for range 1 + rnd.IntN(5) {
			leaves = append(leaves, fmt.Appendf(nil, "%d %d %s", i, rnd.Uint64(), strings.Repeat("x", rnd.IntN(3000))))
		}
		switch err := j.keep(settled+uint64(len(promised)), leaves); {
		case err == nil:
			promised = append(promised, leaves...)
		case errors.Is(err, errPower):
			return promised, leaves, settled
		case errors.Is(err, errNoRoom), errors.Is(err, syscall.EIO):
			settled += uint64(len(promised) + len(leaves)) // the tree takes all of them
			promised = nil
			j.clear()
			if j.file == nil {
				clear(d.disk) // another file takes the place of the one that failed
				clear(d.cache)
				j.file = d
			}
		default:
			t.Fatal(err)
		}
		if rnd.IntN(6) == 0 { // by the way of another entry
			settled += uint64(len(promised) + 1)
			promised = nil
			j.clear()
		}
	}
}

// asyncAll appends events that nobody waits for and then waits for all of them.
func asyncAll(t *testing.T, l Log, events ...Event) (seqs []uint64) {
	t.Helper()
	seqs = make([]uint64, len(events))
	var all sync.WaitGroup
	for i, e := range events {
		all.Add(1)
		l.AppendAsync(e, func(seq uint64, err error) {
			if err != nil {
				t.Error(err)
			}
			seqs[i] = seq
			all.Done()
		})
	}
	all.Wait()
	return seqs
}

// inTree is the size of the tree in the files of a folder.
func inTree(t *testing.T, dir string) uint64 {
	t.Helper()
	var ts treeState
	if err := json.Unmarshal(contents(t, filepath.Join(dir, treeStatePath)), &ts); err != nil {
		t.Fatal(err)
	}
	return ts.Size
}

func endedCalls(n int) (out []Event) {
	for i := range n {
		out = append(out, CallEnded{CallRef: fmt.Sprint("call-", i)})
	}
	return out
}

// TestJournalWaits holds that what nobody waits for is durable at once, goes into the tree after settleEvery, is read meanwhile, and survives a crash.
func TestJournalWaits(t *testing.T) {
	dir := logDir(t)
	synctest.Test(t, func(t *testing.T) {
		c := testConfig()
		c.Dir = dir
		l, _, err := Open(t.Context(), c)
		if err != nil {
			t.Fatal(err)
		}
		mustAppend(t, l, NodeStarted{})
		begin := time.Now()
		asyncAll(t, l, endedCalls(5)...)
		asyncAll(t, l, endedCalls(7)...)
		if d := time.Since(begin); d > 2*paceEvery {
			t.Errorf("durable after %v", d)
		}
		if n, size := inTree(t, dir), l.Size(); n != 1 || size != 13 {
			t.Errorf("%d entries are in the tree, %d durable", n, size)
		}
		crashed := filepath.Join(t.TempDir(), "log")
		if err := os.CopyFS(crashed, os.DirFS(dir)); err != nil {
			t.Fatal(err)
		}
		drv := l.(*spine).drv
		before, err := drv.leaves(t.Context(), 0, 13)
		if err != nil || len(before) != 13 {
			t.Fatalf("%d entries, %v", len(before), err)
		}
		if v := verify(t, crashed, l.VerifierKey()); v.Bad != nil || v.Size+v.Unsigned != 13 {
			t.Errorf("after a crash: %+v, %+v", v, v.Bad)
		}
		sameAfterCrash(t, c, crashed, before)
		time.Sleep(settleEvery)
		synctest.Wait()
		if n := inTree(t, dir); n != 13 {
			t.Errorf("after %v %d entries are in the tree", time.Since(begin), n)
		}
		if after, err := drv.leaves(t.Context(), 0, 13); err != nil || !slices.EqualFunc(before, after, bytes.Equal) {
			t.Errorf("the tree holds something else: %v", err)
		}
		time.Sleep(time.Second)
		if cp := parseCheckpoint(t, l); cp.Size != 13 {
			t.Errorf("signed are %d", cp.Size)
		}
		if err := l.Close(t.Context()); err != nil {
			t.Error(err)
		}
		if v := verify(t, dir, l.VerifierKey()); v.Bad != nil || v.Size != 13 || v.Unsigned != 0 {
			t.Errorf("after Close: %+v, %+v", v, v.Bad)
		}
	})
}

// sameAfterCrash opens a folder as a crash left it, twice, and looks for leaves.
func sameAfterCrash(t *testing.T, c Config, dir string, leaves [][]byte) {
	t.Helper()
	c.Dir = dir
	for range 2 {
		l, crash, err := Open(t.Context(), c)
		if err != nil || !crash {
			t.Fatal(crash, err)
		}
		got, err := l.(*spine).drv.leaves(t.Context(), 0, uint64(len(leaves)))
		if err != nil || !slices.EqualFunc(got, leaves, bytes.Equal) {
			t.Errorf("after the crash %d entries of %d are there, or others: %v", len(got), len(leaves), err)
		}
		if seq := mustAppend(t, l, NodeStarted{Crash: true}); seq < uint64(len(leaves)) {
			t.Errorf("another entry took the place of %d", seq)
		}
		if err := l.Close(t.Context()); err != nil {
			t.Error(err)
		}
		if v := verify(t, dir, l.VerifierKey()); v.Bad != nil || v.Unsigned != 0 {
			t.Errorf("after the repair: %+v, %+v", v, v.Bad)
		}
	}
}

// TestJournalOrder holds that an entry that somebody waits for takes those of the journal along, in front of itself, and that a proof over what is in the
// journal settles it.
func TestJournalOrder(t *testing.T) {
	t.Parallel()
	c := testConfig()
	c.Dir = logDir(t)
	l := openTest(t, "disk", c)
	mustAppend(t, l, NodeStarted{})
	if got := asyncAll(t, l, endedCalls(3)...); !slices.Equal(got, []uint64{1, 2, 3}) {
		t.Errorf("indexes %v", got)
	}
	if seq, err := l.Commit(t.Context(), HealthChanged{}); err != nil || seq != 4 || inTree(t, c.Dir) != 5 {
		t.Errorf("committed as %d, %d are in the tree, %v", seq, inTree(t, c.Dir), err)
	}
	asyncAll(t, l, endedCalls(3)...)
	if n := inTree(t, c.Dir); n != 5 {
		t.Errorf("%d are in the tree", n)
	}
	rootByProof(t, l, 6, 8)
	if n := inTree(t, c.Dir); n != 8 {
		t.Errorf("after a proof %d are in the tree", n)
	}
}

// TestJournalFull holds that a journal without room gives what it has to the tree, grows for those who need it too often, and loses nothing.
func TestJournalFull(t *testing.T) {
	t.Parallel()
	_, d := onDisk(t)
	leaf := func(i int) []byte { return bytes.Repeat([]byte{byte(i)}, 60_000) }
	n := 0
	for ; n < 60; n += 3 {
		for i, r := range d.appendAll([][]byte{leaf(n), leaf(n + 1), leaf(n + 2)}) {
			if r.err != nil || r.seq != uint64(n+i) {
				t.Fatalf("entry %d: %+v", n+i, r)
			}
		}
	}
	if d.journal.size <= journalLeast || d.settled() == 0 || d.settled() == uint64(n) {
		t.Errorf("a journal of %d bytes, %d of %d entries are in the tree", d.journal.size, d.settled(), n)
	}
	got, err := d.leaves(t.Context(), 0, uint64(n))
	if err != nil {
		t.Fatal(err)
	}
	for i := range got {
		if !bytes.Equal(got[i], leaf(i)) {
			t.Errorf("entry %d is another one", i)
		}
	}
	if _, err := d.leaves(t.Context(), uint64(n), 1); err == nil {
		t.Error("an entry that is not there was given")
	}
}

// broken fails every write.
type broken struct{ slotFile }

func (broken) WriteAt([]byte, int64) (int, error) { return 0, syscall.EIO }

// TestJournalBroken holds that a journal that cannot be written costs nothing but speed, and is made anew.
func TestJournalBroken(t *testing.T) {
	t.Parallel()
	l, d := onDisk(t)
	asyncAll(t, l, endedCalls(2)...)
	d.turn.Lock()
	d.journal.file = broken{d.journal.file}
	d.turn.Unlock()
	if got := asyncAll(t, l, endedCalls(2)...); !slices.Equal(got, []uint64{2, 3}) || inTree(t, d.dir) != 4 {
		t.Errorf("indexes %v, %d are in the tree", got, inTree(t, d.dir))
	}
	if got := asyncAll(t, l, endedCalls(2)...); !slices.Equal(got, []uint64{4, 5}) || inTree(t, d.dir) != 4 {
		t.Errorf("indexes %v, %d are in the tree", got, inTree(t, d.dir))
	}
	raw := contents(t, filepath.Join(d.dir, journalName))
	if leaves, _ := parseJournal(raw, 4); len(leaves) != 2 {
		t.Errorf("%d entries are in the new journal", len(leaves))
	}
}

// TestJournalGroup holds that a group is whole blocks, in memory that begins with one, of zeros behind what it says, whatever stood there before.
func TestJournalGroup(t *testing.T) {
	t.Parallel()
	var j journal
	for _, n := range []int{3 * slotBlock, 100, slotBlock - journalHead - 2, 1} {
		leaf := bytes.Repeat([]byte{'x'}, n)
		b := j.group(7, [][]byte{leaf})
		used := journalHead + 2 + n
		if int64(len(b)) != blocks(int64(used)) || !atBlock(b) || bytes.ContainsFunc(b[used:], func(r rune) bool { return r != 0 }) {
			t.Errorf("an entry of %d bytes: a group of %d, at a block: %v", n, len(b), atBlock(b))
		}
		if first, entries, _ := readGroup(b, 0); first != 7 || len(entries) != 1 || !bytes.Equal(entries[0], leaf) {
			t.Errorf("an entry of %d bytes: %d entries from %d on", n, len(entries), first)
		}
	}
}
