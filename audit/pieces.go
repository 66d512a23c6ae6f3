package audit

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"os"
	"path/filepath"

	"github.com/transparency-dev/tessera/api/layout"

	"github.com/cordonsip/cordon/audit/proof"
)

// Piece names one file of a log as a tree of some size has it: a bundle of entries or a tile. No tree of that log has another content under that name.
type Piece struct {
	level int // -1: a bundle of entries
	index uint64
	width int
}

// Name of the file in the folder, as C2SP tlog-tiles has it: tile/entries/x001/234, tile/0/000.p/17.
func (p Piece) Name() string {
	w := uint8(p.width % layout.TileWidth)
	if p.level < 0 {
		return layout.EntriesPath(p.index, w)
	}
	return layout.TilePath(uint64(p.level), p.index, w)
}

// Full says that a larger tree has it, too. What is not full stands at the right edge of one tree.
func (p Piece) Full() bool { return p.width == layout.TileWidth }

// Pieces gives those of a tree of size that one of from entries has not: each bundle with its tile, then the tiles above them, level by level.
func Pieces(from, size uint64) iter.Seq[Piece] {
	return func(yield func(Piece) bool) {
		if from >= size {
			return
		}
		for level := uint(0); size>>(8*level) > 0; level++ {
			nodes, had := size>>(8*level), from>>(8*level)
			if nodes == had {
				continue
			}
			for index := had / layout.TileWidth; index*layout.TileWidth < nodes; index++ {
				p := Piece{int(level), index, int(min(layout.TileWidth, nodes-index*layout.TileWidth))}
				if level == 0 && !yield(Piece{-1, p.index, p.width}) || !yield(p) {
					return
				}
			}
		}
	}
}

// Piece reads one of those of the tree under the newest checkpoint, and checks it against the tile beside it or above it. A tree whose pieces hold, and whose
// edge does (Edge), is the one that was signed.
func (c *Copy) Piece(p Piece) ([]byte, error) {
	if p.level >= 0 {
		raw, err := c.tile(uint64(p.level), p.index, uint64(p.width))
		if err == nil && p.Full() {
			err = c.under(p, raw)
		}
		if err != nil {
			return nil, notHeld(err)
		}
		return raw, nil
	}
	entries, path, err := c.w.readBundle(p.index, uint(p.width))
	if err != nil {
		return nil, notHeld(err)
	}
	tile, err := c.tile(0, p.index, uint64(p.width))
	if err == nil && p.Full() { // first: an entry is told from its tile only where that holds
		err = c.under(Piece{0, p.index, p.width}, tile)
	}
	if err != nil {
		return nil, notHeld(err)
	}
	var raw []byte
	for i, leaf := range entries {
		if got := hasher.HashLeaf(leaf); !bytes.Equal(got, tile[i*hashSize:(i+1)*hashSize]) {
			return nil, notHeld(bad(p.index*layout.EntryBundleWidth+uint64(i), "%s: expected an entry with the hash %s that its tile holds for it, found one with %s",
				path, short(tile[i*hashSize:(i+1)*hashSize]), short(got)))
		}
		raw = appendLeaf(raw, leaf)
	}
	return raw, nil
}

// under checks a full tile against its hash in the one above.
func (c *Copy) under(p Piece, raw []byte) error {
	level, above := uint64(p.level)+1, p.index/layout.TileWidth
	tile, err := c.tile(level, above, min(layout.TileWidth, c.cp.Size>>(8*level)-above*layout.TileWidth))
	if err != nil {
		return err
	}
	at := p.index % layout.TileWidth * hashSize
	if root := newSums().root(raw); !bytes.Equal(root[:], tile[at:at+hashSize]) {
		return bad(p.index<<(8*level), "%s: expected hashes that yield %s as the tile above has it, found some that yield %s", p.Name(), short(tile[at:at+hashSize]), short(root[:]))
	}
	return nil
}

// Edge checks that the tiles at the right edge yield the root that was signed.
func (c *Copy) Edge() error {
	t := &tree{size: c.cp.Size}
	for level := uint64(0); t.size>>(8*level) > 0; level++ {
		nodes := t.size >> (8 * level)
		var hashes []byte
		if n := nodes % layout.TileWidth; n > 0 {
			var err error
			if hashes, err = c.tile(level, nodes/layout.TileWidth, n); err != nil {
				return notHeld(err)
			}
		}
		t.edge = append(t.edge, hashes)
	}
	if root := t.root(); !bytes.Equal(root, c.cp.Root[:]) {
		return notHeld(bad(0, "%s: expected root %s for %d entries, found tiles at the edge that yield %s", layout.CheckpointPath, c.cp.Root, c.cp.Size, b64(root)))
	}
	return nil
}

// Signed is the newest checkpoint as it was checked.
func (c *Copy) Signed() proof.Checkpoint { return c.cp }

// Rebuild makes the folder of a log from its pieces, which read gives, and the checkpoint over them, last. dir must not exist. Nothing is checked beyond the checkpoint:
// that is what Verify is for.
func Rebuild(ctx context.Context, dir string, checkpoint []byte, k *proof.Keys, read func(Piece) ([]byte, error)) error {
	cp, err := k.Open(checkpoint)
	if err != nil {
		return fmt.Errorf("audit: rebuild: checkpoint: %w", err)
	}
	if err := ensureDir(filepath.Dir(dir)); err != nil {
		return fmt.Errorf("audit: rebuild: %w", err)
	}
	if err := os.Mkdir(dir, 0o700); err != nil {
		return fmt.Errorf("audit: rebuild: %w", err)
	}
	w := pageWriter{dir: dir}
	for p := range Pieces(0, cp.Size) {
		if err := ctx.Err(); err != nil {
			return fmt.Errorf("audit: rebuild: %w", err)
		}
		raw, err := read(p)
		if err == nil {
			err = w.put(page{p.Name(), raw})
		}
		if err != nil {
			return fmt.Errorf("audit: rebuild: %s: %w", p.Name(), err)
		}
	}
	state, err := json.Marshal(treeState{cp.Size, cp.Root[:]})
	for _, last := range []page{{versionPath, []byte(treeVersion)}, {treeStatePath, state}, {layout.CheckpointPath, checkpoint}} {
		err = errors.Join(err, w.put(last))
	}
	if err = errors.Join(err, w.sync()); err != nil {
		return fmt.Errorf("audit: rebuild: %w", err)
	}
	return nil
}
