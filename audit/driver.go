package audit

import (
	"context"
	"time"
)

// appendFunc stores one leaf durably and gives its index. It may block for as long as the disk does.
type appendFunc func(leaf []byte) (uint64, error)

// driver keeps the leaves and the tree above them. Everything that entries mean stands in the spine, so that the log on disk and the
// one in memory differ in nothing else.
type driver interface {
	append(leaf []byte) (uint64, error)
	// appendAll stores leaves in their order, each of which may fail by itself, and returns when the last one is durable.
	appendAll(leaves [][]byte) []result
	// blocks says whether append can hang.
	blocks() bool
	// durable is the number of leaves that the driver holds.
	durable(ctx context.Context) (uint64, error)
	// leaves gives n leaves from index from on; the caller asks only for what is there.
	leaves(ctx context.Context, from, n uint64) ([][]byte, error)
	checkpoint(ctx context.Context) ([]byte, error)
	// covered waits until a signed checkpoint stands for the first n leaves.
	covered(ctx context.Context, n uint64) error
	// rotate stores one leaf and has everything from it on signed otherwise. write is given its index; while it runs, nothing else is stored.
	rotate(write func(seq uint64) (leaf []byte, next *signing, err error)) (uint64, error)
	// uncovered says since when there are leaves under no checkpoint, zero for none, and what failed since the last one. It touches no disk.
	uncovered() (since time.Time, why error)
	inclusion(ctx context.Context, seq, size uint64) ([][]byte, error)
	consistency(ctx context.Context, a, b uint64) ([][]byte, error)
	// room makes room on a full disk and says whether it is worth another try. used is reserveUsed as the failed try began: when
	// somebody else has made room since, nothing more is given up.
	room(used int64) bool
	reserve() (total, used int64)
	close(ctx context.Context) error
}
