package audit

import (
	"bytes"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"github.com/transparency-dev/merkle/proof"
	"github.com/transparency-dev/tessera/api"
	"github.com/transparency-dev/tessera/client"
	"github.com/transparency-dev/tessera/fsck"
	"golang.org/x/mod/sumdb/note"
)

// TestTessera writes over the edges of bundles and of tiles at two levels. tessera's own checker holds every folder, its reader gives the proof that
// each checkpoint continues the one before, and we read every entry again.
func TestTessera(t *testing.T) {
	t.Parallel()
	quiet()
	f := &shared{t: t, c: testConfig()}
	f.c.Dir = logDir(t)
	for _, size := range []uint64{255, 256, 257, 512, 65535, 65536, 65537, 65800} {
		f.ours(size)
		f.hold(size)
	}
	f.read()
}

// TestTesseraFolder takes a folder of 257 entries that tessera's POSIX appender wrote: ours with the same entries is the same file by file, checkpoint and
// state included, and we continue the other one.
func TestTesseraFolder(t *testing.T) {
	t.Parallel()
	quiet()
	theirs := os.DirFS("testdata/tessera")
	f := &shared{t: t, c: testConfig()}
	f.c.Dir = logDir(t)
	f.ours(255)
	f.hold(255)
	f.ours(257)
	n := 0
	err := fs.WalkDir(theirs, ".", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		n++
		want, err := fs.ReadFile(theirs, path)
		if got := contents(t, filepath.Join(f.c.Dir, path)); !bytes.Equal(got, want) {
			t.Errorf("%s: %q, tessera has %q", path, got, want)
		}
		return err
	})
	if err != nil || n != 8 {
		t.Fatalf("%d files, %v", n, err)
	}
	g := &shared{t: t, c: testConfig()}
	g.c.Dir = logDir(t)
	if err := os.CopyFS(g.c.Dir, theirs); err != nil {
		t.Fatal(err)
	}
	g.hold(257)
	for _, size := range []uint64{258, 512, 600} {
		g.ours(size)
		g.hold(size)
	}
	g.read()
}

// shared is a folder that two programs can write.
type shared struct {
	t    *testing.T
	c    Config
	size uint64 // of the last checkpoint
	root []byte

	moved map[uint64][]byte // entries by the index that somebody else gave them
}

func sharedLeaf(i uint64) []byte { return fmt.Appendf(nil, "entry %d %x", i, i*i) }

// more are the entries from the end on up to size.
func (f *shared) more(size uint64) (leaves [][]byte) {
	for i := f.size; i < size; i++ {
		leaves = append(leaves, sharedLeaf(i))
	}
	return leaves
}

// ours appends as cordon does: one for whom somebody waits, the rest by the journal where that has room.
func (f *shared) ours(size uint64) {
	f.t.Helper()
	d := f.open()
	leaves := f.more(size)
	for i, r := range d.appendAll(leaves[:len(leaves)/2]) {
		if r.err != nil || r.seq != f.size+uint64(i) {
			f.t.Fatalf("entry %d: %+v", f.size+uint64(i), r)
		}
	}
	for _, leaf := range leaves[len(leaves)/2:][:min(2, len(leaves)-len(leaves)/2)] {
		if _, err := d.append(leaf); err != nil {
			f.t.Fatal(err)
		}
	}
	if rest := leaves[min(len(leaves), len(leaves)/2+2):]; len(rest) > 0 {
		d.appendAll(rest)
	}
	if err := d.close(f.t.Context()); err != nil {
		f.t.Fatal(err)
	}
}

func (f *shared) open() *posix {
	f.t.Helper()
	s, err := newSigning(f.c)
	if err != nil {
		f.t.Fatal(err)
	}
	d, err := openPosix(f.c.withDefaults(), s)
	if err != nil {
		f.t.Fatal(err)
	}
	if n, err := d.durable(f.t.Context()); err != nil || n != f.size {
		f.t.Fatalf("opened with %d entries, want %d, %v", n, f.size, err)
	}
	return d
}

// hold lets tessera judge the folder.
func (f *shared) hold(size uint64) {
	f.t.Helper()
	ctx, files := f.t.Context(), client.FileFetcher{Root: f.c.Dir}
	v, err := note.NewVerifier(verifierKeyOf(f.t, f.c))
	if err != nil {
		f.t.Fatal(err)
	}
	if err := fsck.New(f.c.Origin, v, files, bundleHashes, fsck.Opts{N: 2}).Check(ctx); err != nil {
		f.t.Fatalf("%d entries: tessera's check: %v", size, err)
	}
	cp, _, _, err := client.FetchCheckpoint(ctx, files.ReadCheckpoint, v, f.c.Origin)
	if err != nil || cp.Size != size {
		f.t.Fatalf("a checkpoint of %d entries, want %d: %v", cp.Size, size, err)
	}
	if f.size > 0 {
		b, err := client.NewProofBuilder(ctx, size, files.ReadTile)
		if err != nil {
			f.t.Fatal(err)
		}
		p, err := b.ConsistencyProof(ctx, f.size, size)
		if err == nil {
			err = proof.VerifyConsistency(hasher, f.size, size, p, f.root, cp.Hash)
		}
		if err != nil {
			f.t.Fatalf("from %d to %d: %v", f.size, size, err)
		}
	}
	f.size, f.root = size, cp.Hash
}

// read looks at every entry with our own reader.
func (f *shared) read() {
	f.t.Helper()
	d := f.open()
	got, err := d.leaves(f.t.Context(), 0, f.size)
	if err != nil {
		f.t.Fatal(err)
	}
	for i := range got {
		want, moved := f.moved[uint64(i)]
		if !moved {
			want = sharedLeaf(uint64(i))
		}
		if !bytes.Equal(got[i], want) {
			f.t.Fatalf("entry %d reads %q", i, got[i])
		}
	}
	if err := d.close(f.t.Context()); err != nil {
		f.t.Error(err)
	}
}

// bundleHashes reads a bundle as tessera does.
func bundleHashes(raw []byte) (out [][]byte, err error) {
	var b api.EntryBundle
	if err := b.UnmarshalText(raw); err != nil {
		return nil, err
	}
	for _, leaf := range b.Entries {
		out = append(out, hasher.HashLeaf(leaf))
	}
	return out, nil
}
