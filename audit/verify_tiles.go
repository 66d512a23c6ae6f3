package audit

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"

	"github.com/transparency-dev/tessera/api"
	"github.com/transparency-dev/tessera/api/layout"
)

const hashSize = 32

// bundle takes one entry bundle and reads the level-0 tile over it.
func (w *walk) bundle(o opened) error {
	if err := w.ctx.Err(); err != nil {
		return err
	}
	index, path, entries, hashes := o.index, o.path, o.entries, o.hashes
	if o.err != nil {
		return w.cut(o.err, index, o.n, entries)
	}
	first := index * layout.EntryBundleWidth
	for i := range entries {
		if err := w.byEntry.Append(hashes[i], nil); err != nil {
			return err
		}
		w.entry(first+uint64(i), o.read[i])
	}
	tile, tilePath, err := w.readTile(0, index, len(hashes))
	if err != nil {
		return err
	}
	if tile == nil {
		tile = hashes // missing or cut, which is noted: nothing to compare with
	}
	for i := range hashes {
		if err := w.byTile.Append(tile[i], nil); err != nil {
			return err
		}
		if bytes.Equal(tile[i], hashes[i]) {
			continue
		}
		seq := first + uint64(i)
		if w.differs == nil {
			w.differs = bad(seq, "%s: expected an entry with the hash %s that %s holds for it, found one with %s", path, short(tile[i]), tilePath, short(hashes[i]))
		}
		if w.badTile == nil {
			w.badTile = bad(seq, "%s: hash %d: expected %s, found %s", tilePath, i, short(hashes[i]), short(tile[i]))
		}
	}
	w.leftovers(layout.EntriesPath(index, 0)+".p", func(raw []byte, p int) bool { return sameEntries(raw, entries, p) })
	w.leftovers(layout.TilePath(0, index, 0)+".p", func(raw []byte, p int) bool { return sameHashes(raw, hashes, p) })
	if len(hashes) == layout.TileWidth {
		return w.up(0, hashes)
	}
	return nil
}

// cut names the first bad entry of a bundle that does not read to its end: a changed length makes others of the entries behind it.
func (w *walk) cut(err error, index uint64, n uint, entries [][]byte) error {
	var b *BadEntry
	if !errors.As(err, &b) || len(entries) == 0 {
		return err
	}
	tile, _, e := w.readTile(0, index, int(n))
	if e != nil {
		return e
	}
	for i := range min(len(entries), len(tile)) {
		if !bytes.Equal(tile[i], hasher.HashLeaf(entries[i])) {
			b.Seq = index*layout.EntryBundleWidth + uint64(i)
			break
		}
	}
	return b
}

// readBundle gives the first n entries of a bundle and the path of the file they stand in; with a *BadEntry, the entries that read.
func (w *walk) readBundle(index uint64, n uint) ([][]byte, string, error) {
	first := index * layout.EntryBundleWidth
	raw, path, width, err := w.file(func(p uint8) string { return layout.EntriesPath(index, p) }, int(n))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, path, bad(first, "%s: expected a bundle of %d entries, found no file", path, n)
	}
	if err != nil {
		return nil, path, err
	}
	entries, err := parseBundle(raw)
	if err != nil {
		return entries, path, bad(first+uint64(len(entries)), "%s: expected %d entries, found %d and then bytes that are none: %v", path, width, len(entries), err)
	}
	if len(entries) != width {
		return entries, path, bad(first+uint64(min(len(entries), width)), "%s: expected %d entries, found %d", path, width, len(entries))
	}
	return entries[:n], path, nil
}

// parseBundle reads a bundle as far as it reads. C2SP tlog-tiles: each entry behind its length in two bytes, big-endian.
func parseBundle(raw []byte) ([][]byte, error) {
	var out [][]byte
	for len(raw) > 0 {
		if len(raw) < 2 {
			return out, errors.New("a single byte at the end")
		}
		n := int(raw[0])<<8 | int(raw[1])
		if raw = raw[2:]; n > len(raw) {
			return out, fmt.Errorf("an entry of %d bytes of which %d are there", n, len(raw))
		}
		out, raw = append(out, raw[:n:n]), raw[n:]
	}
	return out, nil
}

// readTile gives the first n hashes of a tile, or nil when the file does not hold them, which it notes.
func (w *walk) readTile(level, index uint64, n int) ([][]byte, string, error) {
	first := index << (8 * (level + 1))
	raw, path, width, err := w.file(func(p uint8) string { return layout.TilePath(level, index, p) }, n)
	note := func(b *BadEntry) ([][]byte, string, error) {
		if w.badTile == nil {
			w.badTile = b
		}
		return nil, path, nil
	}
	if errors.Is(err, fs.ErrNotExist) {
		return note(bad(first, "%s: expected a tile of %d hashes, found no file", path, n))
	}
	if err != nil {
		return nil, path, err
	}
	var tile api.HashTile
	if err := tile.UnmarshalText(raw); err != nil || len(tile.Nodes) != width {
		return note(bad(first, "%s: expected %d hashes in %d bytes, found %d bytes", path, width, width*hashSize, len(raw)))
	}
	return tile.Nodes[:n], path, nil
}

// file reads the file of n entries or hashes: that of just this width, or a longer one that took its place. The path is the one that
// was read, or that should have been there.
func (w *walk) file(path func(uint8) string, n int) (raw []byte, name string, width int, err error) {
	p := uint8(n % layout.TileWidth)
	name = path(p)
	raw, err = os.ReadFile(filepath.Join(w.dir, name))
	if p == 0 || !errors.Is(err, fs.ErrNotExist) {
		return raw, name, n, err
	}
	if raw, err := os.ReadFile(filepath.Join(w.dir, path(0))); !errors.Is(err, fs.ErrNotExist) {
		return raw, path(0), layout.TileWidth, err
	}
	longest := 0
	for _, have := range w.partials(path(0) + ".p") {
		longest = max(longest, have)
	}
	if longest > n {
		name = path(uint8(longest))
		raw, err = os.ReadFile(filepath.Join(w.dir, name))
		return raw, name, longest, err
	}
	return nil, name, n, fs.ErrNotExist
}

// partials are the widths of the partial files in a folder.
func (w *walk) partials(dir string) []int {
	files, err := os.ReadDir(filepath.Join(w.dir, dir))
	if err != nil {
		return nil
	}
	var out []int
	for _, f := range files {
		if p, err := strconv.ParseUint(f.Name(), 10, 8); err == nil && p > 0 && f.Name() == strconv.Itoa(int(p)) {
			out = append(out, int(p))
		}
	}
	return out
}

// leftovers counts the partial files in dir that hold something else than the tree. A batch that a crash or a full disk cut off
// leaves such files; the next batch does not always overwrite them, and nothing reads them.
func (w *walk) leftovers(dir string, same func(raw []byte, p int) bool) {
	for _, p := range w.partials(dir) {
		if raw, err := os.ReadFile(filepath.Join(w.dir, dir, strconv.Itoa(p))); err == nil && !same(raw, p) {
			w.out.Leftovers++
		}
	}
}

func sameEntries(raw []byte, entries [][]byte, p int) bool {
	got, err := parseBundle(raw)
	if err != nil || len(got) != p {
		return false
	}
	for i := range min(p, len(entries)) {
		if !bytes.Equal(got[i], entries[i]) {
			return false
		}
	}
	return true
}

func sameHashes(raw []byte, hashes [][]byte, p int) bool {
	n := min(p, len(hashes)) * hashSize
	return len(raw) == p*hashSize && bytes.Equal(raw[:n], bytes.Join(hashes, nil)[:n])
}

// up takes a full tile of level l as one hash of the level above.
func (w *walk) up(l int, tile [][]byte) error {
	r := ranges.NewEmptyRange(0)
	for _, h := range tile {
		if err := r.Append(h, nil); err != nil {
			return err
		}
	}
	h, err := r.GetRootHash(nil)
	if err != nil {
		return err
	}
	if l == len(w.levels) {
		w.levels = append(w.levels, tileLevel{})
	}
	w.levels[l].hashes = append(w.levels[l].hashes, h)
	if len(w.levels[l].hashes) < layout.TileWidth {
		return nil
	}
	if err := w.upperTile(l); err != nil {
		return err
	}
	full := w.levels[l].hashes
	w.levels[l].index++
	w.levels[l].hashes = nil
	return w.up(l+1, full)
}

// upperTile compares the tile of level l+1 that has been recomputed with its file.
func (w *walk) upperTile(l int) error {
	level, index, hashes := uint64(l+1), w.levels[l].index, w.levels[l].hashes
	tile, path, err := w.readTile(level, index, len(hashes))
	if err != nil {
		return err
	}
	for i := range tile {
		if w.badTile == nil && !bytes.Equal(tile[i], hashes[i]) {
			first := (index<<8 + uint64(i)) << (8 * level)
			w.badTile = bad(first, "%s: hash %d: expected %s, found %s", path, i, short(hashes[i]), short(tile[i]))
		}
	}
	w.leftovers(layout.TilePath(level, index, 0)+".p", func(raw []byte, p int) bool { return sameHashes(raw, hashes, p) })
	return nil
}

func b64(h []byte) string { return base64.StdEncoding.EncodeToString(h) }

// short is enough of a hash to find it by.
func short(h []byte) string { return hex.EncodeToString(h[:8]) }
