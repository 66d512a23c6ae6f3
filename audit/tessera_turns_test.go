package audit

import (
	"context"
	"testing"
	"time"

	"github.com/transparency-dev/tessera"
	tposix "github.com/transparency-dev/tessera/storage/posix"
)

// TestTesseraTurns lets tessera's own POSIX appender and ours write one folder in turn, over the edges of bundles and of tiles at two levels, each of them at
// each edge. tessera's own checker holds every folder, its reader gives the proof that each checkpoint continues the one before, and we read every entry.
func TestTesseraTurns(t *testing.T) {
	t.Parallel()
	quiet()
	for name, others := range map[string]int{"ours first": 1, "theirs first": 0} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := &shared{t: t, c: testConfig(), moved: map[uint64][]byte{}}
			f.c.Dir = logDir(t)
			for i, size := range []uint64{3, 255, 256, 257, 512, 65534, 65535, 65536, 65537, 65800} {
				if i%2 == others {
					f.theirs(size)
				} else {
					f.ours(size)
				}
				f.hold(size)
			}
			f.read()
		})
	}
}

// theirs appends with tessera alone.
func (f *shared) theirs(size uint64) {
	f.t.Helper()
	ctx, cancel := context.WithTimeout(f.t.Context(), time.Minute)
	defer cancel()
	s, err := newSigner(f.c.Origin, f.c.Signer)
	if err != nil {
		f.t.Fatal(err)
	}
	drv, err := tposix.New(ctx, tposix.Config{Path: f.c.Dir})
	if err != nil {
		f.t.Fatal(err)
	}
	opts := tessera.NewAppendOptions().WithCheckpointSigner(s).WithCheckpointInterval(100*time.Millisecond).WithBatching(4096, time.Millisecond)
	app, shutdown, reader, err := tessera.NewAppender(ctx, drv, opts)
	if err != nil {
		f.t.Fatal(err)
	}
	leaves := f.more(size)
	var last tessera.IndexFuture // of the highest index
	var futures []tessera.IndexFuture
	for i, leaf := range leaves {
		futures = append(futures, app.Add(ctx, tessera.NewEntry(leaf)))
		if i%2000 == 1999 || i == len(leaves)-1 {
			last = f.placed(leaves[i+1-len(futures):], futures)
			futures = nil
		}
	}
	at, _, err := tessera.NewPublicationAwaiter(ctx, reader.ReadCheckpoint, 5*time.Millisecond).Await(ctx, last)
	if err != nil || at.Index != size-1 {
		f.t.Fatalf("tessera gave index %d, want %d: %v", at.Index, size-1, err)
	}
	if err := shutdown(ctx); err != nil {
		f.t.Fatal(err)
	}
}

// placed notes where leaves went and gives the future of the highest index: of two of tessera's batches on a busy machine the later one may come first.
func (f *shared) placed(leaves [][]byte, futures []tessera.IndexFuture) (last tessera.IndexFuture) {
	f.t.Helper()
	highest := uint64(0)
	for i, future := range futures {
		at, err := future()
		if err != nil {
			f.t.Fatal(err)
		}
		if f.moved[at.Index] = leaves[i]; at.Index >= highest {
			highest, last = at.Index, future
		}
	}
	return last
}
