package audit

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"

	"github.com/transparency-dev/merkle/rfc6962"
	"github.com/transparency-dev/tessera/api/layout"
)

const (
	treeStatePath = ".state/treeState"
	versionPath   = ".state/version"
	treeVersion   = "1" // of the folder, as tessera counts it

	tileSize = layout.TileWidth * hashSize
)

// treeState is what the folder says of its own tree: everything up to that size is in files, and beyond it nothing counts.
type treeState struct {
	Size uint64 `json:"size"`
	Root []byte `json:"root"`
}

// tree is the right edge of the tree as the files have it. A tree never changes: grow gives the next one. Only the bundle of one that another has taken the
// place of is given away, to put the next bundles together in.
type tree struct {
	size   uint64
	bundle []byte   // the entries of the bundle that is not full
	edge   [][]byte // by level: the hashes of the tile that is not full, one behind the other
}

// page is one file of the folder.
type page struct {
	path string
	raw  []byte
}

// stateOf reads what the folder says of its tree. A new folder says that it is empty.
func stateOf(dir string) (ts treeState, err error) {
	if err := versionOf(dir); err != nil {
		return ts, err
	}
	raw, err := os.ReadFile(filepath.Join(dir, treeStatePath))
	if errors.Is(err, fs.ErrNotExist) {
		return treeState{Root: hasher.EmptyRoot()}, writePages(dir, []page{(&tree{}).state()})
	}
	if err != nil {
		return ts, err
	}
	if err := json.Unmarshal(raw, &ts); err != nil {
		return ts, fmt.Errorf("%s: expected the size and root of the tree: %w", treeStatePath, err)
	}
	return ts, nil
}

// loadTree reads the right edge of the tree in dir.
func loadTree(dir string, ts treeState) (_ *tree, err error) {
	t := &tree{size: ts.Size}
	if n := uint8(ts.Size % layout.EntryBundleWidth); n > 0 {
		if t.bundle, err = os.ReadFile(filepath.Join(dir, layout.EntriesPath(ts.Size/layout.EntryBundleWidth, n))); err != nil {
			return nil, err
		}
		if entries, err := parseBundle(t.bundle); err != nil || len(entries) != int(n) {
			return nil, fmt.Errorf("the bundle that is not full: expected %d entries, found %d, %w", n, len(entries), err)
		}
	}
	for level := uint64(0); ts.Size>>(8*level) > 0; level++ {
		var hashes []byte
		if n := uint8(ts.Size >> (8 * level)); n > 0 {
			path := layout.TilePath(level, ts.Size>>(8*(level+1)), n)
			if hashes, err = os.ReadFile(filepath.Join(dir, path)); err != nil {
				return nil, err
			}
			if len(hashes) != int(n)*hashSize {
				return nil, fmt.Errorf("%s: expected %d hashes in %d bytes, found %d bytes", path, n, int(n)*hashSize, len(hashes))
			}
		}
		t.edge = append(t.edge, hashes)
	}
	entries, err := parseBundle(t.bundle)
	if err != nil {
		return nil, err
	}
	for i, leaf := range entries {
		if !bytes.Equal(hasher.HashLeaf(leaf), t.edge[0][i*hashSize:(i+1)*hashSize]) {
			return nil, fmt.Errorf("the bundle that is not full: entry %d has another hash than its tile says", i)
		}
	}
	if root := t.root(); !bytes.Equal(root, ts.Root) {
		return nil, fmt.Errorf("%s: expected root %s for %d entries, found files that yield %s", treeStatePath, b64(ts.Root), ts.Size, b64(root))
	}
	return t, nil
}

// versionOf refuses a folder of another version, and marks a new one.
func versionOf(dir string) error {
	raw, err := os.ReadFile(filepath.Join(dir, versionPath))
	if errors.Is(err, fs.ErrNotExist) {
		return writePages(dir, []page{{versionPath, []byte(treeVersion)}})
	}
	if err == nil && string(raw) != treeVersion {
		err = fmt.Errorf("%s: expected %s, found %q", versionPath, treeVersion, raw)
	}
	return err
}

// grow gives the tree with leaves behind its entries, and gives put the files that make it one by one, all of which must be durable before its state is
// written. put keeps nothing of them. Bundles are put together in spare, where that is long enough, which stays a part of the next tree.
func (t *tree) grow(leaves [][]byte, spare []byte, put func(page) error) (*tree, error) {
	next, h := &tree{size: t.size, edge: make([][]byte, len(t.edge))}, newSums()
	for l, hashes := range t.edge {
		next.edge[l] = append(make([]byte, 0, tileSize), hashes...)
	}
	next.begin(spare, t.bundle, leaves)
	for i, leaf := range leaves {
		hash := next.add(h, leaf)
		if next.size%layout.EntryBundleWidth == 0 {
			if err := put(page{layout.EntriesPath(next.size/layout.EntryBundleWidth-1, 0), next.bundle}); err != nil {
				return nil, err
			}
			next.begin(next.bundle, nil, leaves[i+1:])
		}
		if err := next.push(h, put, 0, hash); err != nil {
			return nil, err
		}
	}
	if n := uint8(next.size % layout.EntryBundleWidth); n > 0 {
		if err := put(page{layout.EntriesPath(next.size/layout.EntryBundleWidth, n), next.bundle}); err != nil {
			return nil, err
		}
	}
	return next, next.putEdge(t.size, put)
}

// putEdge gives put the tiles that are not full and have changed since the tree had another size.
func (t *tree) putEdge(since uint64, put func(page) error) error {
	for l, hashes := range t.edge {
		level := uint64(l)
		if n := uint8(t.size >> (8 * level)); n > 0 && t.size>>(8*level) != since>>(8*level) {
			if err := put(page{layout.TilePath(level, t.size>>(8*(level+1)), n), hashes}); err != nil {
				return err
			}
		}
	}
	return nil
}

// begin makes room for a bundle of what is there and of the leaves that will go into it, in spare where that is long enough.
func (t *tree) begin(spare, have []byte, leaves [][]byte) {
	n := len(have)
	for i := range min(len(leaves), int(layout.EntryBundleWidth-t.size%layout.EntryBundleWidth)) {
		n += 2 + len(leaves[i])
	}
	if cap(spare) < n {
		spare = make([]byte, 0, n+n/8) // the next one is as long as this one, or a little longer
	}
	t.bundle = append(spare[:0], have...)
}

// add puts a leaf behind the others of its bundle and gives its hash, RFC 9162 section 2.1.1. The byte that the hash wants in front of a leaf takes, for that
// time, the place of its length.
func (t *tree) add(h *sums, leaf []byte) [hashSize]byte {
	t.bundle = appendLeaf(t.bundle, leaf)
	t.size++
	b := t.bundle[len(t.bundle)-len(leaf)-1:]
	length := b[0]
	b[0] = rfc6962.RFC6962LeafHashPrefix
	hash := h.over(b)
	b[0] = length
	return hash
}

// push adds one hash to a level. A tile that is full is a file, and one hash of the level above.
func (t *tree) push(h *sums, put func(page) error, level int, hash [hashSize]byte) error {
	if level == len(t.edge) {
		t.edge = append(t.edge, make([]byte, 0, tileSize))
	}
	t.edge[level] = append(t.edge[level], hash[:]...)
	full := t.edge[level]
	if len(full) < tileSize {
		return nil
	}
	if err := put(page{layout.TilePath(uint64(level), t.size>>(8*(level+1))-1, 0), full}); err != nil {
		return err
	}
	root := h.root(full)
	t.edge[level] = full[:0]
	return t.push(h, put, level+1, root)
}

// root of the whole tree, RFC 9162 section 2.1.1: what a level has over is the last, smaller one among the hashes of the level above.
func (t *tree) root() []byte {
	if t.size == 0 {
		return hasher.EmptyRoot()
	}
	var over []byte
	h := newSums()
	for _, hashes := range t.edge {
		if all := append(slices.Clip(hashes), over...); len(all) > 0 {
			root := h.root(all)
			over = root[:]
		}
	}
	return over
}

// sums makes hashes in memory of its own. sha256.Sum256 would do, but a compiler that was given a profile lets it take some for each.
type sums struct {
	sha  hash.Hash
	node [1 + 2*hashSize]byte
	sum  [hashSize]byte
}

func newSums() *sums { return &sums{sha: sha256.New()} }

// over is the hash over b.
func (h *sums) over(b []byte) [hashSize]byte {
	h.sha.Reset()
	_, _ = h.sha.Write(b) // never fails
	h.sha.Sum(h.sum[:0])
	return h.sum
}

// root is the hash over the roots of subtrees of one size, one behind the other, of which only the last may be smaller.
func (h *sums) root(hashes []byte) [hashSize]byte {
	n := len(hashes) / hashSize
	if n == 1 {
		return [hashSize]byte(hashes)
	}
	left := 1
	for 2*left < n {
		left *= 2
	}
	l, r := h.root(hashes[:left*hashSize]), h.root(hashes[left*hashSize:])
	h.node[0] = rfc6962.RFC6962NodeHashPrefix
	copy(h.node[1:], l[:])
	copy(h.node[1+hashSize:], r[:])
	return h.over(h.node[:])
}

// state is the file that puts the tree in force.
func (t *tree) state() page {
	raw, _ := json.Marshal(treeState{t.size, t.root()}) // a number and bytes: cannot fail
	return page{treeStatePath, raw}
}

// writePages puts files in the place of those there are and returns when they, and their names, are on the disk.
func writePages(dir string, pages []page) error {
	w := pageWriter{dir: dir}
	for _, p := range pages {
		if err := w.put(p); err != nil {
			return err
		}
	}
	return w.sync()
}

// pageWriter puts files in the place of those there are. Their names are on the disk after sync.
type pageWriter struct {
	dir     string
	folders []string // that sync has to do with
}

// put returns when what is in the file is on the disk.
func (w *pageWriter) put(p page) error {
	path := filepath.Join(w.dir, p.path)
	folder := filepath.Dir(path)
	if !slices.Contains(w.folders, folder) {
		if err := ensureDir(folder); err != nil {
			return err
		}
		w.folders = append(w.folders, folder)
	}
	return writePage(path, p.raw)
}

func (w *pageWriter) sync() error {
	for _, folder := range w.folders {
		if err := syncDir(folder); err != nil {
			return err
		}
	}
	return nil
}

// writePage replaces one file; its name is durable once its folder is synced.
func writePage(path string, raw []byte) error {
	temp, err := writeTemp(path, raw)
	if err != nil {
		return err
	}
	return intoPlace(temp, path)
}

// writeTemp writes what shall stand at path to a file beside it.
func writeTemp(path string, raw []byte) (temp string, err error) {
	temp = path + strconv.Itoa(1_000_000+rand.IntN(1_000_000_000)) // sweep knows them by these digits
	f, err := os.OpenFile(temp, os.O_WRONLY|os.O_CREATE|os.O_EXCL|dataSync, 0o644)
	if err != nil {
		return "", err
	}
	_, err = f.Write(raw)
	if err = errors.Join(err, f.Close()); err != nil {
		_ = os.Remove(temp) // what stays is swept
	}
	return temp, err
}

// intoPlace puts temp in the place of path.
func intoPlace(temp, path string) error {
	err := os.Rename(temp, path)
	if err != nil {
		_ = os.Remove(temp) // what stays is swept
	}
	return err
}

// ensureDir makes a folder of the log, and each above it, durably.
func ensureDir(dir string) error {
	if _, err := os.Stat(dir); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := ensureDir(filepath.Dir(dir)); err != nil {
		return err
	}
	if err := os.Mkdir(dir, 0o755); err != nil {
		return err
	}
	return syncDir(filepath.Dir(dir))
}
