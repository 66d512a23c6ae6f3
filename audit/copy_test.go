package audit

import (
	"bytes"
	"crypto/ed25519"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/cordonsip/cordon/audit/proof"
)

func keysOf(t testing.TB, key string) *proof.Keys {
	t.Helper()
	k, err := proof.NewKeys(key, nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// TestExport holds that a file made of a log in use proves the entry, and that a changed one does not.
func TestExport(t *testing.T) {
	t.Parallel()
	for _, kind := range []string{"memory", "disk"} {
		l := openTest(t, kind, testConfig())
		mustAppend(t, l, NodeStarted{})
		want, err := l.Commit(t.Context(), Receipt{CallRef: "20261120-00", Overall: "compliant", Trunk: "<a&b>"})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := l.Commit(t.Context(), NodeStopped{}); err != nil {
			t.Fatal(err)
		}
		raw, err := Export(t.Context(), l, want)
		if err != nil {
			t.Fatal(err)
		}
		k := keysOf(t, l.VerifierKey())
		e, cp, err := ReadProof(raw, k)
		if err != nil || e.Seq != want || e.Kind != KindReceipt || cp.Size != 3 {
			t.Fatalf("%+v, %+v, %v", e, cp, err)
		}
		if ev, err := Decode(e); err != nil || ev.(Receipt).Trunk != "<a&b>" {
			t.Errorf("%+v, %v", ev, err)
		}
		if _, err := Export(t.Context(), l, 9); err == nil {
			t.Error("an entry that is not there was exported")
		}
		if _, _, err := ReadProof(bytes.Replace(raw, []byte("index 1"), []byte("index 0"), 1), k); err == nil {
			t.Error("a changed index, and the proof holds")
		}
		if _, _, err := ReadProof([]byte("no proof"), k); err == nil {
			t.Error("no proof, and it holds")
		}
	}
	l := openTest(t, "memory", testConfig())
	m := l.(*spine).drv.(*memory)
	if _, err := m.append([]byte("no entry")); err != nil {
		t.Fatal(err)
	}
	l.(*spine).grow(1)
	raw, err := Export(t.Context(), l, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := ReadProof(raw, keysOf(t, l.VerifierKey())); err == nil || !strings.Contains(err.Error(), "expected a JSON entry") {
		t.Errorf("a leaf that is no entry: %v", err)
	}
}

// receipts is a folder of 300 receipts, and then 100 more: with the checkpoint in between, the newest one, and the key.
func receipts(t *testing.T) (dir string, first, last []byte, key string) {
	t.Helper()
	dir = logDir(t)
	first, last, key = writeReceipts(t, dir, "20261120", testConfig())
	return dir, first, last, key
}

func writeReceipts(t *testing.T, dir, day string, c Config) (first, last []byte, key string) {
	t.Helper()
	l := openTest(t, "memory", c)
	write := func(from, n int) []byte {
		for i := range n {
			mustAppend(t, l, Receipt{CallRef: fmt.Sprintf("%s-%d", day, from+i)})
		}
		cp, err := l.Checkpoint(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return cp
	}
	first = write(0, 300)
	last = write(300, 100)
	writeTiles(t, dir, l.(*spine).drv.(*memory))
	return first, last, l.VerifierKey()
}

func open(t *testing.T, dir, key string) *Copy {
	t.Helper()
	c, err := OpenCopy(dir, keysOf(t, key))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// TestCopyProves holds that receipts are found in a folder by their call and by their record, and proved from its tiles.
func TestCopyProves(t *testing.T) {
	t.Parallel()
	dir, _, _, key := receipts(t)
	c := open(t, dir, key)
	for _, seq := range []uint64{0, 255, 256, 399} {
		at, err := c.Find(t.Context(), fmt.Sprintf("20261120-%d", seq))
		if err != nil || at != seq {
			t.Fatalf("call %d: %d, %v", seq, at, err)
		}
		raw, err := c.Prove(t.Context(), seq)
		if err != nil {
			t.Fatal(err)
		}
		e, _, err := ReadProof(raw, keysOf(t, key))
		if err != nil || e.Seq != seq {
			t.Fatalf("%+v, %v", e, err)
		}
		if at, err := c.Find(t.Context(), e.ID); err != nil || at != seq {
			t.Errorf("record %s: %d, %v", e.ID, at, err)
		}
	}
	for _, id := range []string{"20261120-400", "", "cordon test", "20261120-3\""} {
		if at, err := c.Find(t.Context(), id); !errors.Is(err, ErrNoEntry) {
			t.Errorf("%q is entry %d, %v", id, at, err)
		}
	}
	if _, err := c.Prove(t.Context(), 400); !errors.Is(err, ErrNoEntry) {
		t.Errorf("entry 400 of 400: %v", err)
	}
}

// keptCase is something that is done to a folder of which somebody kept a checkpoint, and what is said of it.
type keptCase struct {
	name     string
	from, to []byte
	do       func(dir string)
	want     string
}

// keptCases are for a folder of receipts with these checkpoints. elsewhere is one of another history under the same key, foreign of another key.
func keptCases(t *testing.T, first, last []byte, elsewhere, foreign string) []keptCase {
	t.Helper()
	become := func(other string) func(string) {
		return func(dir string) {
			remove(t, dir, "")
			if err := os.CopyFS(dir, os.DirFS(other)); err != nil {
				t.Error(err)
			}
		}
	}
	return []keptCase{
		{"rolled back: an older checkpoint and what stands under it", last, last, func(dir string) {
			edit(t, filepath.Join(dir, "checkpoint"), func([]byte) []byte { return first })
		}, "the folder was rolled back, or is an older copy"},
		{"rolled back, and compared with the checkpoint in the folder", last, first, nil, "given the wrong way round, or the log was rolled back"},
		{"forked: other entries of the same number, signed with the log's own key", last, nil, become(elsewhere), "a fork: the key has signed two histories"},
		{"rewritten: other entries, and more behind them, signed with the log's own key", first, nil, become(elsewhere), "entries were removed, reordered or changed in between"},
		{"another log in its place, signed with a foreign key", first, nil, become(foreign), "signed by another key"},
		{"byte of a tile", first, last, func(dir string) {
			edit(t, filepath.Join(dir, "tile/0/001.p/144"), flip(50*32))
		}, "does not begin with that of 300"},
		{"tile gone", first, last, func(dir string) { remove(t, dir, "tile/0/001.p") }, "tile/0/001.p/144: expected a tile of 144 hashes, found no file"},
		{"tile cut short", first, last, func(dir string) {
			edit(t, filepath.Join(dir, "tile/0/001.p/144"), func(raw []byte) []byte { return raw[:100] })
		}, "expected 144 hashes in 4608 bytes, found 100 bytes"},
		{"the checkpoint that was kept is none", []byte("x"), last, nil, "first checkpoint: no signed note"},
	}
}

// TestCopyConsistent holds that a folder proves that nothing was removed since a checkpoint that somebody kept, and names what was done to it.
func TestCopyConsistent(t *testing.T) {
	t.Parallel()
	dir, first, last, key := receipts(t)
	for _, end := range [][]byte{nil, last} {
		raw, err := open(t, dir, key).Consistent(t.Context(), first, end)
		if err != nil {
			t.Fatal(err)
		}
		p, err := proof.ParseConsistency(raw)
		if err != nil {
			t.Fatal(err)
		}
		from, to, err := p.Verify(keysOf(t, key))
		if err != nil || from.Size != 300 || to.Size != 400 {
			t.Errorf("from %d to %d, %v", from.Size, to.Size, err)
		}
	}
	if _, err := open(t, dir, key).Consistent(t.Context(), last, last); err != nil {
		t.Errorf("a checkpoint and itself: %v", err)
	}
	if err := Extends(t.Context(), dir, keysOf(t, key), first); err != nil {
		t.Errorf("a log and what it began with: %v", err)
	}
	elsewhere, foreign, c := logDir(t), logDir(t), testConfig()
	writeReceipts(t, elsewhere, "20261121", c)
	c.Signer = ed25519.NewKeyFromSeed(bytes.Repeat([]byte{7}, 32))
	writeReceipts(t, foreign, "20261121", c)
	if err := Extends(t.Context(), elsewhere, keysOf(t, key), last); !errors.Is(err, ErrNotHeld) {
		t.Errorf("a log and what another one began with: %v", err)
	}
	cases := keptCases(t, first, last, elsewhere, foreign)
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			mine := logDir(t)
			if err := os.CopyFS(mine, os.DirFS(dir)); err != nil {
				t.Fatal(err)
			}
			if c.do != nil {
				c.do(mine)
			}
			l, err := OpenCopy(mine, keysOf(t, key))
			if err == nil {
				_, err = l.Consistent(t.Context(), c.from, c.to)
			}
			if !errors.Is(err, ErrNotHeld) || !strings.Contains(err.Error(), c.want) {
				t.Errorf("found %v\nwant %s", err, c.want)
			}
		})
	}
	var rows [][2]string
	for _, c := range cases {
		rows = append(rows, [2]string{c.name, c.want})
	}
	onThePage(t, "a kept checkpoint", rows)
}

// TestCopyRefuses holds what of a folder yields no proof of an entry.
func TestCopyRefuses(t *testing.T) {
	t.Parallel()
	dir, _, _, key := receipts(t)
	edit(t, filepath.Join(dir, "tile/0/000"), flip(3*32))
	if _, err := open(t, dir, key).Prove(t.Context(), 2); !errors.Is(err, ErrNotHeld) || !strings.Contains(err.Error(), "the folder yields no proof") {
		t.Errorf("a changed tile: %v", err)
	}
	remove(t, dir, "tile/entries/000")
	if _, err := open(t, dir, key).Prove(t.Context(), 2); !errors.Is(err, ErrNotHeld) || !strings.Contains(err.Error(), "tile/entries/000: expected a bundle of 256 entries, found no file") {
		t.Errorf("a bundle gone: %v", err)
	}
	if _, err := open(t, dir, key).Find(t.Context(), "20261120-7"); !errors.Is(err, ErrNotHeld) {
		t.Errorf("looking through a bundle that is gone: %v", err)
	}
	other, err := newSigner("cordon/bank-1/edge-1", ed25519.NewKeyFromSeed(bytes.Repeat([]byte{7}, 32)))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := OpenCopy(dir, keysOf(t, other.vkey)); !errors.Is(err, ErrNotHeld) || !strings.Contains(err.Error(), "signed by another key") {
		t.Errorf("another key: %v", err)
	}
	if _, err := OpenCopy(t.TempDir(), keysOf(t, key)); err == nil || errors.Is(err, ErrNotHeld) {
		t.Errorf("an empty folder: %v", err)
	}
}
