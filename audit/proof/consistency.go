package proof

import (
	"errors"
	"fmt"

	"github.com/transparency-dev/merkle/proof"
	"github.com/transparency-dev/merkle/rfc6962"
)

// ConsistencyHeader is the first line of a file that proves that one tree begins with another.
const ConsistencyHeader = "cordon/consistency-proof@v1"

// Consistency is two checkpoints and what proves that nothing under the first was removed or changed before the second.
type Consistency struct {
	From, To []byte // signed
	Hashes   []Hash // RFC 9162 section 2.1.4
}

// Marshal gives the file.
func (c Consistency) Marshal() []byte {
	b := fmt.Appendf(nil, "%s\nfrom %d\nto %d\n", ConsistencyHeader, len(c.From), len(c.To))
	return append(append(appendHashes(b, c.Hashes), c.From...), c.To...)
}

// ParseConsistency reads such a file. Each has one form.
func ParseConsistency(raw []byte) (c Consistency, err error) {
	l, err := begin(raw, ConsistencyHeader)
	if err != nil {
		return Consistency{}, err
	}
	from, err := l.number("from")
	if err != nil {
		return Consistency{}, err
	}
	to, err := l.number("to")
	if err != nil {
		return Consistency{}, err
	}
	if c.Hashes, err = l.hashes(); err != nil {
		return Consistency{}, err
	}
	if have := uint64(len(l.rest)); from > have || to != have-from {
		return Consistency{}, fmt.Errorf("expected checkpoints of %d and %d bytes behind line %d, found %d bytes", from, to, l.n, have)
	}
	c.From, c.To = l.rest[:from], l.rest[from:]
	return c, nil
}

// Verify says whether the second tree begins with the first. It stands for the first, so that one may be of a key that was compromised later.
func (c Consistency) Verify(k *Keys) (from, to Checkpoint, err error) {
	if from, err = k.Past().Open(c.From); err != nil {
		return from, to, fmt.Errorf("first checkpoint: %w", err)
	}
	if to, err = k.Open(c.To); err != nil {
		return from, to, fmt.Errorf("second checkpoint: %w", err)
	}
	return from, to, Follows(from, to, c.Hashes)
}

// ErrFork says that two checkpoints of one size stand for different entries: whoever holds the key has signed two histories.
var ErrFork = errors.New("a fork: the key has signed two histories")

// Follows says whether the tree of b begins with that of a, by a proof of RFC 9162 section 2.1.4.
func Follows(a, b Checkpoint, hashes []Hash) error {
	switch {
	case a.Size > b.Size:
		return fmt.Errorf("the first checkpoint stands for %d entries and the second for %d: given the wrong way round, or the log was rolled back", a.Size, b.Size)
	case a.Size == b.Size && a.Root != b.Root:
		return fmt.Errorf("two checkpoints of %d entries with different roots, %s and %s: %w", a.Size, a.Root, b.Root, ErrFork)
	case a.Size == 0 && a.Root != Hash(rfc6962.DefaultHasher.EmptyRoot()):
		return errors.New("a checkpoint of no entries has another root than the empty tree")
	case (a.Size == 0 || a.Size == b.Size) && len(hashes) > 0:
		return fmt.Errorf("%d and %d entries: expected no hashes, found %d", a.Size, b.Size, len(hashes))
	case a.Size == 0 || a.Size == b.Size:
		return nil
	}
	if err := proof.VerifyConsistency(rfc6962.DefaultHasher, a.Size, b.Size, plain(hashes), a.Root[:], b.Root[:]); err != nil {
		return fmt.Errorf("the tree of %d entries does not begin with that of %d: entries were removed, reordered or changed in between, or a hash of the proof was", b.Size, a.Size)
	}
	return nil
}
