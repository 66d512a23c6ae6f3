package audit

import (
	"context"
	"fmt"

	flog "github.com/transparency-dev/formats/log"

	"github.com/cordonsip/cordon/audit/proof"
)

// Export gives a file that proves entry seq under the newest checkpoint, which a third party can check without the log.
// An entry that no checkpoint covers yet has no proof; Commit waits for one.
func Export(ctx context.Context, l Log, seq uint64) ([]byte, error) {
	s, ok := l.(interface {
		leaf(ctx context.Context, seq uint64) ([]byte, error)
	})
	if !ok {
		return nil, fmt.Errorf("audit: export: a %T gives no leaves", l)
	}
	signed, err := l.Checkpoint(ctx)
	if err != nil {
		return nil, err
	}
	var cp flog.Checkpoint
	if _, err := cp.Unmarshal(signed); err != nil {
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
	e := proof.Entry{Leaf: leaf, Index: seq, Checkpoint: signed}
	if e.Hashes, err = proof.Hashes(hashes); err != nil {
		return nil, fmt.Errorf("audit: export: %w", err)
	}
	return e.Marshal(), nil
}

// ReadProof checks a file that proves an entry and gives the entry, Seq included, and the checkpoint that it stands under. An error says that it does
// not hold, in words.
func ReadProof(raw []byte, by proof.Opener) (Entry, proof.Checkpoint, error) {
	p, err := proof.ParseEntry(raw)
	if err != nil {
		return Entry{}, proof.Checkpoint{}, fmt.Errorf("audit: proof of an entry: %w", err)
	}
	return Proved(p, by)
}

// Proved is ReadProof of what was parsed.
func Proved(p proof.Entry, by proof.Opener) (Entry, proof.Checkpoint, error) {
	cp, err := p.Verify(by)
	if err != nil {
		return Entry{}, proof.Checkpoint{}, fmt.Errorf("audit: proof of an entry: %w", err)
	}
	e, err := parseEntry(p.Leaf)
	if err != nil {
		return Entry{}, proof.Checkpoint{}, fmt.Errorf("audit: proof of an entry: entry %d: %w", p.Index, err)
	}
	e.Seq = p.Index
	return e, cp, nil
}
