package audit

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"slices"

	"github.com/transparency-dev/tessera/api/layout"
	"github.com/transparency-dev/tessera/client"

	"github.com/cordonsip/cordon/audit/proof"
)

// Copy is the folder of a log, or a copy of its published files, from which proofs are made offline. It writes nothing, and what it gives is checked
// before it is given.
type Copy struct {
	w    walk
	keys *proof.Keys
	raw  []byte // the newest checkpoint
	cp   proof.Checkpoint
	read error // what failed when a tile was read: the library that asks for it keeps its words alone
}

// ErrNotHeld says that something does not hold, where every other error says that it could not be checked.
var ErrNotHeld = errors.New("does not hold")

// ErrNoEntry says that no entry under the checkpoint has that id.
var ErrNoEntry = errors.New("no such entry")

// OpenCopy reads the newest checkpoint in dir, or where that lacks the witnesses that k asks for, the one beside it (CosignedFile), and checks it.
func OpenCopy(dir string, k *proof.Keys) (*Copy, error) {
	quiet()
	raw, cp, unread, err := openNewest(dir, k)
	if unread != nil {
		return nil, fmt.Errorf("audit: checkpoint: %w", unread)
	}
	if err != nil {
		return nil, fmt.Errorf("audit: %w: %s: %w", ErrNotHeld, layout.CheckpointPath, err)
	}
	return &Copy{w: walk{dir: dir}, keys: k, raw: raw, cp: cp}, nil
}

// Checkpoint is the newest one, as it stands in the folder.
func (c *Copy) Checkpoint() []byte { return c.raw }

// Find gives the index of the newest entry with that record_id, or of the newest receipt of that call or message.
func (c *Copy) Find(ctx context.Context, id string) (uint64, error) {
	needle, err := json.Marshal(id)
	if err != nil || id == "" {
		return 0, fmt.Errorf("audit: %q: %w", id, ErrNoEntry)
	}
	for end := c.cp.Size; end > 0; {
		if err := ctx.Err(); err != nil {
			return 0, fmt.Errorf("audit: looking for %q: %w", id, err)
		}
		index := (end - 1) / layout.EntryBundleWidth
		entries, _, err := c.w.readBundle(index, uint(end-index*layout.EntryBundleWidth))
		if err != nil {
			return 0, notHeld(err)
		}
		for i := len(entries) - 1; i >= 0; i-- {
			if bytes.Contains(entries[i], needle) && isNamed(entries[i], id) { // few are read twice
				return index*layout.EntryBundleWidth + uint64(i), nil
			}
		}
		end = index * layout.EntryBundleWidth
	}
	return 0, fmt.Errorf("audit: %q among the %d entries under the checkpoint: %w", id, c.cp.Size, ErrNoEntry)
}

// isNamed is IDs of a leaf, asked for one.
func isNamed(leaf []byte, id string) bool {
	e, err := parseEntry(leaf)
	return err == nil && slices.Contains(e.IDs(), id)
}

// IDs are the words that an entry is asked for by: its record_id and, of a receipt, the reference of its call or message.
func (e Entry) IDs() []string {
	ids := []string{e.ID}
	if e.Kind != KindReceipt && e.Kind != KindMessageRelayed {
		return ids
	}
	var body struct {
		Call    string `json:"call_ref"`
		Message string `json:"message_ref"`
	}
	if err := json.Unmarshal(e.Body, &body); err != nil {
		return ids
	}
	for _, ref := range []string{body.Call, body.Message} {
		if ref != "" {
			ids = append(ids, ref)
		}
	}
	return ids
}

// Prove gives the file that proves entry seq under the newest checkpoint.
func (c *Copy) Prove(ctx context.Context, seq uint64) ([]byte, error) {
	if seq >= c.cp.Size {
		return nil, fmt.Errorf("audit: entry %d of %d: %w", seq, c.cp.Size, ErrNoEntry)
	}
	index, at := seq/layout.EntryBundleWidth, seq%layout.EntryBundleWidth
	entries, _, err := c.w.readBundle(index, uint(min(layout.EntryBundleWidth, c.cp.Size-index*layout.EntryBundleWidth)))
	if err != nil {
		return nil, notHeld(err)
	}
	b, err := c.builder(ctx, c.cp.Size)
	if err != nil {
		return nil, err
	}
	p, err := c.proved(ctx, b, entries[at], seq, c.keys)
	if err != nil {
		return nil, err
	}
	return p.Marshal(), nil
}

// Consistent gives the file that proves that nothing was removed or changed between two checkpoints, of which the folder must hold the entries. A nil
// second one is the newest of the folder.
func (c *Copy) Consistent(ctx context.Context, from, to []byte) ([]byte, error) {
	if to == nil {
		to = c.raw
	}
	a, err := c.keys.Past().Open(from)
	if err != nil {
		return nil, fmt.Errorf("audit: %w: first checkpoint: %w", ErrNotHeld, err)
	}
	b, err := c.keys.Open(to)
	if err != nil {
		return nil, fmt.Errorf("audit: %w: second checkpoint: %w", ErrNotHeld, err)
	}
	if b.Size > c.cp.Size {
		return nil, fmt.Errorf("audit: %w: the second checkpoint stands for %d entries, the newest in the folder for %d: the folder was rolled back, or is an older copy", ErrNotHeld, b.Size, c.cp.Size)
	}
	p := proof.Consistency{From: from, To: to}
	if a.Size > 0 && a.Size < b.Size {
		pb, err := c.builder(ctx, b.Size)
		if err != nil {
			return nil, err
		}
		hashes, err := pb.ConsistencyProof(ctx, a.Size, b.Size)
		if err != nil {
			return nil, c.unproved(err)
		}
		if p.Hashes, err = proof.Hashes(hashes); err != nil {
			return nil, notHeld(err)
		}
	}
	if _, _, err := p.Verify(c.keys); err != nil {
		return nil, fmt.Errorf("audit: %w: %w", ErrNotHeld, err)
	}
	return p.Marshal(), nil
}

// Extends checks that the log in dir begins with what an earlier checkpoint of it stands for. ErrNotHeld, wrapped, where it does not, or where that is one of another log.
func Extends(ctx context.Context, dir string, k *proof.Keys, earlier []byte) error {
	c, err := OpenCopy(dir, k)
	if err == nil {
		_, err = c.Consistent(ctx, earlier, nil)
	}
	return err
}

// builder makes proofs in the tree of size, which is not larger than that of the checkpoint, from tiles that may be wider by now.
func (c *Copy) builder(ctx context.Context, size uint64) (*client.ProofBuilder, error) {
	return client.NewProofBuilder(ctx, size, func(_ context.Context, level, index uint64, _ uint8) ([]byte, error) {
		var raw []byte
		raw, c.read = c.tile(level, index, min(layout.TileWidth, c.cp.Size>>(8*level)-index*layout.TileWidth))
		return raw, c.read
	})
}

// tile reads the first n hashes of a tile.
func (c *Copy) tile(level, index, n uint64) ([]byte, error) {
	first := index << (8 * (level + 1))
	raw, path, width, err := c.w.file(func(p uint8) string { return layout.TilePath(level, index, p) }, int(n))
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, bad(first, "%s: expected a tile of %d hashes, found no file", path, n)
	case err != nil:
		return nil, err
	case len(raw) != width*hashSize:
		return nil, bad(first, "%s: expected %d hashes in %d bytes, found %d bytes", path, width, width*hashSize, len(raw))
	}
	return raw[:n*hashSize], nil
}

// unproved is notHeld for what kept a proof from being made.
func (c *Copy) unproved(err error) error {
	if c.read != nil {
		err = c.read
	}
	return notHeld(err)
}

// notHeld sorts what a read gave: a file that is not there or does not read as it should does not hold.
func notHeld(err error) error {
	var b *BadEntry
	if errors.As(err, &b) {
		return fmt.Errorf("audit: %w: %w", ErrNotHeld, err)
	}
	return fmt.Errorf("audit: %w", err)
}
