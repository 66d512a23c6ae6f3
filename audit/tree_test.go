package audit

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/transparency-dev/tessera/api/layout"
)

// TestTree grows a tree over two full levels in batches of any size: every root is that of the same leaves put together one by one, and what is
// loaded from the files is the tree that wrote them.
func TestTree(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	rnd := rand.New(rand.NewPCG(3, 4))
	files := map[string][]byte{}
	grown, want := &tree{}, ranges.NewEmptyRange(0)
	if !bytes.Equal(grown.root(), hasher.EmptyRoot()) {
		t.Error("root of the empty tree")
	}
	for _, goal := range []uint64{1, 2, 255, 256, 257, 300, 511, 512, 700, 65535, 65536, 65537, 66000} {
		for grown.size < goal {
			var leaves [][]byte
			for range min(goal-grown.size, 1+rnd.Uint64N(900)) {
				leaf := fmt.Appendf(nil, "%d", rnd.Uint64())
				leaves = append(leaves, leaf)
				if err := want.Append(hasher.HashLeaf(leaf), nil); err != nil {
					t.Fatal(err)
				}
			}
			next, pages := grownBy(t, grown, leaves)
			for _, p := range pages {
				files[p.path] = p.raw
			}
			grown = next
		}
		root, err := want.GetRootHash(nil)
		if err != nil || !bytes.Equal(grown.root(), root) {
			t.Fatalf("%d entries: root %s, want %s, %v", goal, b64(grown.root()), b64(root), err)
		}
		var pages []page
		for path, raw := range files {
			if strings.Contains(path, ".p/") { // the right edge is all that is read again
				pages = append(pages, page{path, raw})
				delete(files, path)
			}
		}
		if err := writePages(dir, append(pages, grown.state())); err != nil {
			t.Fatal(err)
		}
		ts, err := stateOf(dir)
		if err != nil || ts.Size != goal {
			t.Fatalf("state %+v, %v", ts, err)
		}
		back, err := loadTree(dir, ts)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(back.root(), grown.root()) || !bytes.Equal(back.bundle, grown.bundle) {
			t.Errorf("%d entries: another tree was loaded", goal)
		}
	}
	for level, n := range []uint64{66000 / 256, 66000 / 65536} {
		for index := range n {
			if raw := files[layout.TilePath(uint64(level), index, 0)]; len(raw) != 256*hashSize {
				t.Errorf("level %d, tile %d: %d bytes", level, index, len(raw))
			}
		}
	}
}

// grownBy gives the tree with leaves behind its entries and the files that make it, put together in a buffer that is too short now and then.
func grownBy(t *testing.T, was *tree, leaves [][]byte) (next *tree, pages []page) {
	t.Helper()
	next, err := was.grow(leaves, make([]byte, was.size%3000), func(p page) error {
		pages = append(pages, page{p.path, bytes.Clone(p.raw)})
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return next, pages
}

// TestTreeTakesLittle holds that no entry takes memory on its way into the tree: what a batch takes is for its files.
func TestTreeTakesLittle(t *testing.T) {
	leaves := make([][]byte, 2*layout.EntryBundleWidth)
	for i := range leaves {
		leaves[i] = []byte("an entry")
	}
	was, _ := grownBy(t, &tree{}, leaves[:300])
	var next *tree
	took := testing.AllocsPerRun(10, func() {
		var err error
		if next, err = was.grow(leaves, nil, func(page) error { return nil }); err != nil {
			t.Fatal(err)
		}
	})
	if most := float64(layout.EntryBundleWidth / 4); next.size != 300+2*layout.EntryBundleWidth || took > most {
		t.Errorf("%d entries took %.0f pieces of memory, want %.0f at most", len(leaves), took, most)
	}
}

// TestTreeUnwritten holds that a tree does not grow where any of its files cannot be written, and is what it was.
func TestTreeUnwritten(t *testing.T) {
	t.Parallel()
	was, _ := grownBy(t, &tree{}, [][]byte{[]byte("one"), []byte("two")})
	leaves := make([][]byte, 2*layout.EntryBundleWidth)
	for i := range leaves {
		leaves[i] = fmt.Append(nil, i)
	}
	want, pages := grownBy(t, was, leaves)
	bundle, root := bytes.Clone(was.bundle), was.root()
	room := make([]byte, 1<<16)
	for failing := range pages {
		n := 0
		_, err := was.grow(leaves, room, func(page) error {
			if n++; n > failing {
				return errPower
			}
			return nil
		})
		if !errors.Is(err, errPower) || n != failing+1 || !bytes.Equal(was.bundle, bundle) || !bytes.Equal(was.root(), root) {
			t.Errorf("file %d of %d: %v, %d were written", failing, len(pages), err, n)
		}
	}
	if next, again := grownBy(t, was, leaves); !bytes.Equal(next.root(), want.root()) || !slices.EqualFunc(again, pages, func(a, b page) bool { return a.path == b.path && bytes.Equal(a.raw, b.raw) }) {
		t.Error("another tree after the failures")
	}
}

// TestTreeDamaged holds that a right edge that is not the one of the state is refused.
func TestTreeDamaged(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if _, err := stateOf(dir); err != nil {
		t.Fatal(err)
	}
	var leaves [][]byte
	for i := range 300 {
		leaves = append(leaves, fmt.Append(nil, i))
	}
	grown, pages := grownBy(t, &tree{}, leaves)
	if err := writePages(dir, append(pages, grown.state())); err != nil {
		t.Fatal(err)
	}
	ts, err := stateOf(dir)
	if err != nil {
		t.Fatal(err)
	}
	bundle, tile, state := layout.EntriesPath(1, 44), layout.TilePath(0, 1, 44), treeStatePath
	for _, c := range []struct {
		path   string
		change func([]byte) []byte
		want   string
	}{
		{bundle, func(raw []byte) []byte { return raw[:len(raw)-1] }, "expected 44 entries"},
		{tile, flip(40), "another hash"},
		{tile, func(raw []byte) []byte { return raw[:32] }, "expected 44 hashes"},
		{layout.TilePath(1, 0, 1), flip(1), "expected root"},
	} {
		sound := contents(t, filepath.Join(dir, c.path))
		edit(t, filepath.Join(dir, c.path), c.change)
		if _, err := loadTree(dir, ts); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %s", c.path, err, c.want)
		}
		edit(t, filepath.Join(dir, c.path), func([]byte) []byte { return sound })
	}
	if _, err := loadTree(dir, ts); err != nil {
		t.Errorf("sound again: %v", err)
	}
	edit(t, filepath.Join(dir, state), func([]byte) []byte { return []byte("{") })
	if _, err := stateOf(dir); err == nil {
		t.Error("a state that is none was read")
	}
	edit(t, filepath.Join(dir, versionPath), func([]byte) []byte { return []byte("2") })
	if _, err := stateOf(dir); err == nil || !strings.Contains(err.Error(), "expected 1") {
		t.Errorf("a folder of another version: %v", err)
	}
}

// TestTreeCutOff cuts writes of the tree off behind every file: what was in force before is found, held by verify and by those who write on, whatever the
// files of the lost write are.
func TestTreeCutOff(t *testing.T) {
	t.Parallel()
	c := testConfig()
	s, err := newSigner(c.Origin, c.Signer)
	if err != nil {
		t.Fatal(err)
	}
	l, err := Memory(c)
	if err != nil {
		t.Fatal(err)
	}
	entries := func(name string, n int) (leaves [][]byte) {
		for i := range n {
			leaves = append(leaves, leafOf(t, l, CallEnded{CallRef: fmt.Sprint(name, i)}))
		}
		return leaves
	}
	for _, n := range []int{0, 100, 255, 256, 300} {
		first := entries("first", n)
		for _, lost := range []int{1, 600} {
			cut, pages := grownBy(t, &tree{}, first)
			_, never := grownBy(t, cut, entries("lost", lost))
			for k := range len(never) + 1 {
				dir := t.TempDir()
				put(t, dir, page{versionPath, []byte(treeVersion)}, cut.state())
				put(t, dir, pages...)
				put(t, dir, never[:k]...)
				ts, err := stateOf(dir)
				if err != nil {
					t.Fatal(err)
				}
				grown, err := loadTree(dir, ts)
				if err != nil {
					t.Fatalf("%d entries, %d lost, %d of %d files: %v", n, lost, k, len(never), err)
				}
				d := &posix{dir: dir, signing: &signing{signer: s}, tree: grown}
				if err := d.publish(); err != nil {
					t.Fatal(err)
				}
				if v := verify(t, dir, s.vkey); v.Bad != nil || v.Size != uint64(n) || v.Unsigned != 0 {
					t.Fatalf("%d entries, %d lost, %d of %d files: %+v", n, lost, k, len(never), v.Bad)
				}
				next, pages := grownBy(t, grown, entries("next", 300))
				put(t, dir, append(pages, next.state())...)
				if v := verify(t, dir, s.vkey); v.Bad != nil || v.Size != uint64(n) || v.Unsigned != 300 {
					t.Fatalf("%d entries, %d lost, %d of %d files, then 300 more: %+v", n, lost, k, len(never), v.Bad)
				}
			}
		}
	}
}

// put writes files that need not be durable.
func put(t *testing.T, dir string, pages ...page) {
	t.Helper()
	for _, p := range pages {
		path := filepath.Join(dir, p.path)
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o700), os.WriteFile(path, p.raw, 0o600)); err != nil {
			t.Fatal(err)
		}
	}
}
