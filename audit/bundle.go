package audit

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	flog "github.com/transparency-dev/formats/log"
	tproof "github.com/transparency-dev/formats/proof"
	"github.com/transparency-dev/merkle/proof"
	"golang.org/x/mod/sumdb/note"
)

// A proofBundle is one entry with what proves it: the very bytes of the leaf and a C2SP tlog-proof, which holds the index, the
// inclusion proof and the signed checkpoint. Any tool that reads tlog-proof can check it; the leaf is the string, unescaped.
type proofBundle struct {
	Format string `json:"format"`
	Entry  string `json:"entry"`
	Proof  string `json:"tlog_proof"`
}

const bundleFormat = "cordon/entry-proof/v1"

// Export gives entry seq with its inclusion proof under the newest checkpoint, as JSON that a third party can check without the log.
// An entry that no checkpoint covers yet has no proof; Commit waits for one.
func Export(ctx context.Context, l Log, seq uint64) ([]byte, error) {
	s, ok := l.(interface {
		leaf(ctx context.Context, seq uint64) ([]byte, error)
	})
	if !ok {
		return nil, fmt.Errorf("audit: export: a %T gives no leaves", l)
	}
	cpRaw, err := l.Checkpoint(ctx)
	if err != nil {
		return nil, err
	}
	var cp flog.Checkpoint
	if _, err := cp.Unmarshal(cpRaw); err != nil {
		return nil, fmt.Errorf("audit: export: checkpoint: %w", err)
	}
	if seq >= cp.Size {
		return nil, fmt.Errorf("audit: export: entry %d: the newest checkpoint covers %d entries", seq, cp.Size)
	}
	leaf, err := s.leaf(ctx, seq)
	if err != nil {
		return nil, fmt.Errorf("audit: export: entry %d: %w", seq, err)
	}
	hashes, err := l.Inclusion(ctx, seq, cp.Size)
	if err != nil {
		return nil, err
	}
	p := tproof.TLogProof{Index: seq, Checkpoint: cpRaw}
	for _, h := range hashes {
		if len(h) != hashSize {
			return nil, fmt.Errorf("audit: export: a hash of %d bytes", len(h))
		}
		p.Hashes = append(p.Hashes, [hashSize]byte(h))
	}
	return json.MarshalIndent(proofBundle{bundleFormat, string(leaf), string(p.Marshal())}, "", "  ")
}

// VerifyBundle checks what Export made against key (note verifier form) and gives the entry, Seq included.
func VerifyBundle(bundle []byte, key string) (Entry, error) {
	e, err := verifyBundle(bundle, key)
	if err != nil {
		return Entry{}, fmt.Errorf("audit: proof of an entry: %w", err)
	}
	return e, nil
}

func verifyBundle(raw []byte, key string) (Entry, error) {
	v, err := note.NewVerifier(key)
	if err != nil {
		return Entry{}, fmt.Errorf("verifier key: %w", err)
	}
	var b proofBundle
	if err := json.Unmarshal(raw, &b); err != nil {
		return Entry{}, fmt.Errorf("expected JSON: %w", err)
	}
	if b.Format != bundleFormat {
		return Entry{}, fmt.Errorf("format: expected %q, found %q", bundleFormat, b.Format)
	}
	var p tproof.TLogProof
	if err := p.Unmarshal([]byte(b.Proof)); err != nil {
		return Entry{}, err
	}
	cp, rest, _, err := flog.ParseCheckpoint(p.Checkpoint, v.Name(), v)
	if err != nil {
		return Entry{}, fmt.Errorf("checkpoint of origin %q: %w", v.Name(), err)
	}
	if len(rest) > 0 {
		return Entry{}, errors.New("checkpoint: expected nothing behind the root")
	}
	hashes := make([][]byte, len(p.Hashes))
	for i := range p.Hashes {
		hashes[i] = p.Hashes[i][:]
	}
	leaf := []byte(b.Entry)
	if err := proof.VerifyInclusion(hasher, p.Index, cp.Size, hasher.HashLeaf(leaf), hashes, cp.Hash); err != nil {
		return Entry{}, fmt.Errorf("entry %d in the tree of %d: %w", p.Index, cp.Size, err)
	}
	e, err := parseEntry(leaf)
	if err != nil {
		return Entry{}, fmt.Errorf("entry %d: %w", p.Index, err)
	}
	e.Seq = p.Index
	return e, nil
}
