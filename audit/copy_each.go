package audit

import (
	"context"
	"fmt"

	"github.com/transparency-dev/tessera/api/layout"
	"github.com/transparency-dev/tessera/client"

	"github.com/cordonsip/cordon/audit/proof"
)

// ProveEach gives, in order, the proof of every entry under the newest checkpoint that is wanted, Seq included. What it holds in memory does not grow with the log. An entry that does not
// read, and one whose proof does not hold, ends it with ErrNotHeld; so does every error of each, as it is.
func (c *Copy) ProveEach(ctx context.Context, wanted func(Entry) bool, each func(proof.Entry) error) error {
	by := proof.NewOnce(c.keys)
	for index := uint64(0); index*layout.EntryBundleWidth < c.cp.Size; index++ {
		if err := ctx.Err(); err != nil {
			return fmt.Errorf("audit: proofs: %w", err)
		}
		first := index * layout.EntryBundleWidth
		entries, _, err := c.w.readBundle(index, uint(min(layout.EntryBundleWidth, c.cp.Size-first)))
		if err != nil {
			return notHeld(err)
		}
		var b *bundlePaths
		for i, leaf := range entries {
			e, err := parseEntry(leaf)
			if err != nil {
				return notHeld(bad(first+uint64(i), "%v", err))
			}
			if e.Seq = first + uint64(i); !wanted(e) {
				continue
			}
			if b == nil {
				if b, err = c.pathsOf(ctx, index, entries); err != nil {
					return err
				}
			}
			p, err := c.proved(ctx, b, leaf, e.Seq, by)
			if err != nil {
				return err
			}
			if err := each(p); err != nil {
				return err
			}
		}
	}
	return nil
}

// proved makes the proof of one entry, and checks it.
func (c *Copy) proved(ctx context.Context, b pathMaker, leaf []byte, seq uint64, by proof.Opener) (proof.Entry, error) {
	hashes, err := b.InclusionProof(ctx, seq)
	if err != nil {
		return proof.Entry{}, c.unproved(err)
	}
	p := proof.Entry{Leaf: leaf, Index: seq, Checkpoint: c.raw}
	if p.Hashes, err = proof.Hashes(hashes); err != nil {
		return proof.Entry{}, notHeld(err)
	}
	if _, _, err := Proved(p, by); err != nil {
		return proof.Entry{}, fmt.Errorf("%w: the folder yields no proof, cordon verify of the whole folder names what is wrong: %w", ErrNotHeld, err)
	}
	return p, nil
}

// pathMaker makes the paths of proofs of inclusion.
type pathMaker interface {
	InclusionProof(ctx context.Context, index uint64) ([][]byte, error)
}

// bundlePaths makes those of one bundle. Under the node above a full one its entries' paths are computed at once; from there to the root they are the same.
type bundlePaths struct {
	builder *client.ProofBuilder
	nodes   [][][]byte // by level, from the hashes of the leaves; none of a bundle that is not full
	above   [][]byte
}

func (c *Copy) pathsOf(ctx context.Context, index uint64, entries [][]byte) (*bundlePaths, error) {
	builder, err := c.builder(ctx, c.cp.Size)
	if err != nil {
		return nil, err
	}
	b := &bundlePaths{builder: builder}
	if len(entries) < layout.EntryBundleWidth {
		return b, nil
	}
	whole, err := builder.InclusionProof(ctx, index*layout.EntryBundleWidth)
	if err != nil {
		return nil, c.unproved(err)
	}
	row := make([][]byte, len(entries))
	for i := range entries {
		row[i] = hasher.HashLeaf(entries[i])
	}
	for ; len(row) > 1; row = b.up(row) {
		b.nodes = append(b.nodes, row)
	}
	b.above = whole[len(b.nodes):]
	return b, nil
}

// up gives the hashes above a row.
func (b *bundlePaths) up(row [][]byte) [][]byte {
	out := make([][]byte, len(row)/2)
	for i := range out {
		out[i] = hasher.HashChildren(row[2*i], row[2*i+1])
	}
	return out
}

// InclusionProof gives the path of an entry of the bundle.
func (b *bundlePaths) InclusionProof(ctx context.Context, seq uint64) ([][]byte, error) {
	if b.nodes == nil {
		return b.builder.InclusionProof(ctx, seq)
	}
	at := seq % layout.EntryBundleWidth
	path := make([][]byte, 0, len(b.nodes)+len(b.above))
	for _, row := range b.nodes {
		path = append(path, row[at^1])
		at >>= 1
	}
	return append(path, b.above...), nil
}
