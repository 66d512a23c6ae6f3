package proof

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"strings"

	"github.com/transparency-dev/merkle/proof"
	"github.com/transparency-dev/merkle/rfc6962"
)

const (
	// EntryHeader is the first line of a file that proves one entry: a C2SP tlog-proof, with the entry as its extra data.
	EntryHeader = "c2sp.org/tlog-proof@v1"

	// MaxFile is the size of the longest file that is read, in bytes.
	MaxFile = 1 << 20

	maxHashes = 64 // a tree of 2^63 entries has a path of 63
)

// Entry is one entry and what proves it.
type Entry struct {
	Leaf       []byte // the very bytes of the entry
	Index      uint64
	Hashes     []Hash // from the leaf's neighbour to the root's child
	Checkpoint []byte // signed
}

// Marshal gives the file.
func (e Entry) Marshal() []byte {
	return append(e.appendBody([]byte(EntryHeader+"\n")), e.Checkpoint...)
}

// appendBody writes the lines between the header and the checkpoint.
func (e Entry) appendBody(b []byte) []byte {
	b = base64.StdEncoding.AppendEncode(append(b, "extra "...), e.Leaf)
	return appendHashes(fmt.Appendf(b, "\nindex %d\n", e.Index), e.Hashes)
}

// appendHashes writes the hashes, a line each, and the empty line behind them.
func appendHashes(b []byte, hashes []Hash) []byte {
	for _, h := range hashes {
		b = append(base64.StdEncoding.AppendEncode(b, h[:]), '\n')
	}
	return append(b, '\n')
}

// lines reads a file line by line.
type lines struct {
	rest []byte
	n    int // of the line that was read last, from 1
}

func (l *lines) next() (string, error) {
	l.n++
	line, rest, ok := bytes.Cut(l.rest, []byte("\n"))
	if !ok {
		return "", fmt.Errorf("line %d: the file ends in it", l.n)
	}
	l.rest = rest
	return string(line), nil
}

// field reads a line that begins with a word and a space, and gives what stands behind them.
func (l *lines) field(word string) (string, error) {
	line, err := l.next()
	if err != nil {
		return "", err
	}
	value, ok := strings.CutPrefix(line, word+" ")
	if !ok {
		return "", fmt.Errorf("line %d: expected %q and a value, found %q", l.n, word, clip(line))
	}
	return value, nil
}

// number reads a field that is one.
func (l *lines) number(word string) (uint64, error) {
	s, err := l.field(word)
	if err != nil {
		return 0, err
	}
	n, err := parseNumber(s)
	if err != nil {
		return 0, fmt.Errorf("line %d: %s: %w", l.n, word, err)
	}
	return n, nil
}

// hashes reads what appendHashes writes.
func (l *lines) hashes() (out []Hash, _ error) {
	for {
		line, err := l.next()
		if err != nil {
			return nil, err
		}
		if line == "" {
			return out, nil
		}
		h, err := parseHash(line)
		if err != nil {
			return nil, fmt.Errorf("line %d: %w", l.n, err)
		}
		if out = append(out, h); len(out) > maxHashes {
			return nil, fmt.Errorf("line %d: more hashes than any tree needs", l.n)
		}
	}
}

// begin checks the size and the first line of a file.
func begin(raw []byte, header string) (*lines, error) {
	if len(raw) > MaxFile {
		return nil, fmt.Errorf("a file of %d bytes: the most is %d", len(raw), MaxFile)
	}
	l := &lines{rest: raw}
	line, err := l.next()
	if err == nil && line != header {
		err = fmt.Errorf("line 1: expected %q, found %q", header, clip(line))
	}
	return l, err
}

// ParseEntry reads a file that proves an entry. Each has one form, so that a changed byte is always seen.
func ParseEntry(raw []byte) (e Entry, err error) {
	l, err := begin(raw, EntryHeader)
	if err != nil {
		return Entry{}, err
	}
	if e, err = l.entry(); err != nil {
		return Entry{}, err
	}
	e.Checkpoint = l.rest
	return e, nil
}

// entry reads what appendBody writes.
func (l *lines) entry() (e Entry, err error) {
	leaf, err := l.field("extra")
	if err != nil {
		return Entry{}, err
	}
	if e.Leaf, err = base64.StdEncoding.Strict().DecodeString(leaf); err != nil || base64.StdEncoding.EncodedLen(len(e.Leaf)) != len(leaf) {
		return Entry{}, fmt.Errorf("line %d: expected the entry in base64", l.n)
	}
	if e.Index, err = l.number("index"); err != nil {
		return Entry{}, err
	}
	if e.Hashes, err = l.hashes(); err != nil {
		return Entry{}, err
	}
	return e, nil
}

// Verify says whether the entry is in the tree that the checkpoint stands for. What the entry says is not looked at.
func (e Entry) Verify(by Opener) (Checkpoint, error) {
	cp, err := by.Open(e.Checkpoint)
	if err != nil {
		return Checkpoint{}, fmt.Errorf("checkpoint: %w", err)
	}
	if e.Index >= cp.Size {
		return Checkpoint{}, fmt.Errorf("entry %d: the checkpoint stands for %d entries", e.Index, cp.Size)
	}
	root, err := e.Root(cp.Size)
	if err != nil {
		return Checkpoint{}, err
	}
	if root != cp.Root {
		return Checkpoint{}, fmt.Errorf("entry %d is not in the tree of %d: the entry, its index or a hash of its path was changed (expected the root %s, found %s)", e.Index, cp.Size, cp.Root, root)
	}
	return cp, nil
}

// Root is that of a tree of so many entries, as the entry and its path yield it, RFC 9162 section 2.1.3.2.
func (e Entry) Root(size uint64) (Hash, error) {
	root, err := proof.RootFromInclusionProof(rfc6962.DefaultHasher, e.Index, size, rfc6962.DefaultHasher.HashLeaf(e.Leaf), plain(e.Hashes))
	if err != nil {
		return Hash{}, fmt.Errorf("entry %d in the tree of %d: another number of hashes than its path has: %d", e.Index, size, len(e.Hashes))
	}
	return Hash(root), nil
}

func plain(hashes []Hash) [][]byte {
	out := make([][]byte, len(hashes))
	for i := range hashes {
		out[i] = hashes[i][:]
	}
	return out
}

// Hashes gives hashes of 32 bytes as they stand in a proof.
func Hashes(raw [][]byte) ([]Hash, error) {
	out := make([]Hash, len(raw))
	for i := range raw {
		if len(raw[i]) != len(out[i]) {
			return nil, fmt.Errorf("proof: a hash of %d bytes", len(raw[i]))
		}
		out[i] = Hash(raw[i])
	}
	return out, nil
}
