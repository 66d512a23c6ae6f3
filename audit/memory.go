package audit

import (
	"context"
	"fmt"
	"sync"
	"time"

	flog "github.com/transparency-dev/formats/log"
	"github.com/transparency-dev/merkle/compact"
	"github.com/transparency-dev/merkle/proof"
	"github.com/transparency-dev/merkle/rfc6962"
	"golang.org/x/mod/sumdb/note"
)

// memory is the driver without a disk: every complete node of the RFC 9162 tree, level by level.
type memory struct {
	origin  string
	signing *signing // under mu

	mu     sync.Mutex
	data   [][]byte
	levels [][][]byte // levels[l][i] is the hash over leaves i<<l to (i+1)<<l
	signed uint64     // size of cp
	cp     []byte
}

func newMemory(origin string, s *signing) *memory {
	return &memory{origin: origin, signing: s}
}

func (m *memory) blocks() bool                  { return false }
func (m *memory) uncovered() (time.Time, error) { return time.Time{}, nil } // it signs for whoever asks
func (m *memory) room(int64) bool               { return false }
func (m *memory) reserve() (int64, int64)       { return 0, 0 }
func (m *memory) close(context.Context) error   { return nil }

func (m *memory) append(leaf []byte) (uint64, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.add(leaf), nil
}

func (m *memory) rotate(write func(seq uint64) ([]byte, *signing, error)) (uint64, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	leaf, next, err := write(uint64(len(m.data)))
	if err != nil {
		return 0, err
	}
	m.signing, m.cp = next, nil
	return m.add(leaf), nil
}

// add is called with m.mu held.
func (m *memory) add(leaf []byte) uint64 {
	seq := uint64(len(m.data))
	m.data = append(m.data, leaf)
	h := rfc6962.DefaultHasher.HashLeaf(leaf)
	for l := 0; ; l++ {
		if l == len(m.levels) {
			m.levels = append(m.levels, nil)
		}
		m.levels[l] = append(m.levels[l], h)
		n := len(m.levels[l])
		if n%2 == 1 {
			return seq
		}
		h = rfc6962.DefaultHasher.HashChildren(m.levels[l][n-2], m.levels[l][n-1])
	}
}

func (m *memory) appendAll(leaves [][]byte) []result {
	out := make([]result, len(leaves))
	for i, leaf := range leaves {
		out[i].seq, out[i].err = m.append(leaf)
	}
	return out
}

func (m *memory) durable(context.Context) (uint64, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return uint64(len(m.data)), nil
}

func (m *memory) leaves(_ context.Context, from, n uint64) ([][]byte, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if from+n > uint64(len(m.data)) {
		return nil, fmt.Errorf("leaves %d to %d of %d", from, from+n, len(m.data))
	}
	return m.data[from : from+n : from+n], nil
}

// checkpoint signs the tree as it is now, once per size.
func (m *memory) checkpoint(context.Context) ([]byte, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	n := uint64(len(m.data))
	if m.cp != nil && m.signed == n {
		return m.cp, nil
	}
	root := rfc6962.DefaultHasher.EmptyRoot()
	if n > 0 {
		r, err := (&compact.RangeFactory{Hash: rfc6962.DefaultHasher.HashChildren}).NewRange(0, n, m.hashes(compact.RangeNodes(0, n, nil)))
		if err != nil {
			return nil, err
		}
		if root, err = r.GetRootHash(nil); err != nil {
			return nil, err
		}
	}
	text := flog.Checkpoint{Origin: m.origin, Size: n, Hash: root}.Marshal()
	cp, err := note.Sign(&note.Note{Text: string(text)}, m.signing.at(time.Now())...)
	if err != nil {
		return nil, fmt.Errorf("sign: %w", err)
	}
	m.cp, m.signed = cp, n
	return cp, nil
}

func (m *memory) covered(ctx context.Context, _ uint64) error {
	_, err := m.checkpoint(ctx)
	return err
}

// hashes is called with m.mu held and for complete nodes only.
func (m *memory) hashes(ids []compact.NodeID) [][]byte {
	out := make([][]byte, len(ids))
	for i, id := range ids {
		out[i] = m.levels[id.Level][id.Index]
	}
	return out
}

func (m *memory) inclusion(_ context.Context, seq, size uint64) ([][]byte, error) {
	nodes, err := proof.Inclusion(seq, size)
	if err != nil {
		return nil, err
	}
	return m.rehash(nodes)
}

func (m *memory) consistency(_ context.Context, a, b uint64) ([][]byte, error) {
	nodes, err := proof.Consistency(a, b)
	if err != nil {
		return nil, err
	}
	return m.rehash(nodes)
}

func (m *memory) rehash(nodes proof.Nodes) ([][]byte, error) {
	m.mu.Lock()
	hs := m.hashes(nodes.IDs)
	m.mu.Unlock()
	return nodes.Rehash(hs, rfc6962.DefaultHasher.HashChildren)
}
