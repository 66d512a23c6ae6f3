package audit

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	flog "github.com/transparency-dev/formats/log"
	"github.com/transparency-dev/tessera"
	"github.com/transparency-dev/tessera/api/layout"
	"github.com/transparency-dev/tessera/client"
	tposix "github.com/transparency-dev/tessera/storage/posix"
	"golang.org/x/mod/sumdb/note"
	"k8s.io/klog/v2"
)

const (
	// batchSize and batchAge of the sequencer: 5 ms is a third of what the fsyncs of one batch take on a good disk.
	batchSize = 256
	batchAge  = 5 * time.Millisecond

	pollCheckpoint = 5 * time.Millisecond
	pruneEvery     = 32 // appends
	sweepAge       = 5 * time.Second
	signWithin     = time.Minute // that the last checkpoint may take
)

// posix is the driver on disk, tessera's POSIX storage in the tlog-tiles layout. What makes an append durable: the driver writes the
// entry bundle, the tiles and the tree state each with O_SYNC to a file of its own, renames it into place and fsyncs the folder, and
// only then resolves the future. Bundle, level-0 tile and tree state make three such pairs per batch.
type posix struct {
	dir      string
	hold     *os.File // flock: one log, one process
	cancel   context.CancelFunc
	add      tessera.AddFn
	reader   tessera.LogReader
	verifier note.Verifier
	spare    *reserve
	interval time.Duration

	appended atomic.Uint64
	pruning  sync.Mutex
	gate     sync.RWMutex // held for reading by every append under way, for writing by who must know that there is none

	signed struct {
		sync.Mutex
		size uint64
		read time.Time
	}
}

// quiet stops the driver's library from writing to standard error through its process-wide logger: what it says there reaches us as
// errors of appends, as a checkpoint that does not come, and by Verify.
var quiet = sync.OnceFunc(func() { klog.SetSlogLogger(slog.New(slog.DiscardHandler)) })

func openPosix(ctx context.Context, c Config, s *noteSigner) (*posix, error) {
	if c.Dir == "" {
		return nil, errors.New("audit: no folder for the log")
	}
	quiet()
	if err := makeDir(c.Dir); err != nil {
		return nil, fmt.Errorf("audit: folder of the log: %w", err)
	}
	hold, err := holdDir(c.Dir, "log")
	if err != nil {
		return nil, err
	}
	p := &posix{dir: c.Dir, hold: hold, interval: c.Checkpoint, cancel: func() {}}
	if err := p.start(ctx, c, s); err != nil {
		p.cancel()
		return nil, errors.Join(err, p.letGo())
	}
	return p, nil
}

// start builds the appender under a context of its own, because ctx ends when Open returns.
func (p *posix) start(ctx context.Context, c Config, s *noteSigner) error {
	verifier, err := note.NewVerifier(s.vkey)
	if err != nil {
		return fmt.Errorf("audit: verifier: %w", err)
	}
	p.verifier = verifier
	if p.spare, err = openReserve(filepath.Join(p.dir, "reserve"), c.Reserve, c.Now); err != nil {
		return fmt.Errorf("audit: reserve: %w", err)
	}
	drv, err := tposix.New(ctx, tposix.Config{Path: p.dir})
	if err != nil {
		return fmt.Errorf("audit: log driver: %w", err)
	}
	opts := tessera.NewAppendOptions().
		WithCheckpointSigner(s).
		WithCheckpointInterval(c.Checkpoint).
		WithCheckpointRepublishInterval(0). // a checkpoint carries no time: another one of the same size says nothing new
		WithBatching(batchSize, batchAge)
	run, cancel := context.WithCancel(context.WithoutCancel(ctx))
	p.cancel = cancel
	// The driver's own appender, without what tessera.NewAppender puts around each entry: spans, counters and futures that nobody reads cost more
	// than the entry, and shutdown is ours.
	lc, ok := drv.(interface {
		Appender(context.Context, *tessera.AppendOptions) (*tessera.Appender, tessera.LogReader, error)
	})
	if !ok {
		return fmt.Errorf("audit: log driver: a %T does not append", drv)
	}
	app, reader, err := lc.Appender(run, opts)
	if err != nil {
		return fmt.Errorf("audit: log driver: %w", err)
	}
	p.add, p.reader = app.Add, reader
	size, err := reader.IntegratedSize(ctx)
	if err != nil {
		return fmt.Errorf("audit: size of the tree: %w", err)
	}
	sweep(p.dir, size)
	return p.agree(ctx, s.name)
}

// agree refuses a log of another origin or key, and one whose tree is shorter than what was signed: appending to it would fork it.
func (p *posix) agree(ctx context.Context, origin string) error {
	raw, err := p.reader.ReadCheckpoint(ctx)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("audit: checkpoint: %w", err)
	}
	cp, _, _, err := flog.ParseCheckpoint(raw, origin, p.verifier)
	if err != nil {
		return fmt.Errorf("audit: the checkpoint in the folder is not one of origin %q and this key: %w", origin, err)
	}
	size, err := p.reader.IntegratedSize(ctx)
	if err != nil {
		return fmt.Errorf("audit: size of the tree: %w", err)
	}
	if size < cp.Size {
		return fmt.Errorf("audit: the tree holds %d entries, the signed checkpoint stands for %d", size, cp.Size)
	}
	return nil
}

func (p *posix) blocks() bool { return true }

func (p *posix) append(leaf []byte) (uint64, error) {
	r := p.appendAll([][]byte{leaf})[0]
	return r.seq, r.err
}

func (p *posix) appendAll(leaves [][]byte) []result {
	p.gate.RLock()
	futures := make([]tessera.IndexFuture, len(leaves))
	for i, leaf := range leaves {
		futures[i] = p.add(context.Background(), tessera.NewEntry(leaf))
	}
	out, stored := make([]result, len(leaves)), uint64(0)
	for i, future := range futures {
		idx, err := future()
		if out[i] = (result{idx.Index, err}); err == nil {
			stored++
		}
	}
	p.gate.RUnlock()
	if stored > 0 {
		p.after(stored)
	}
	return out
}

// after does what is due now and then, when n more entries are stored.
func (p *posix) after(n uint64) {
	if all := p.appended.Add(n); all/pruneEvery != (all-n)/pruneEvery {
		p.prune(context.Background())
	}
	p.spare.refill()
}

func (p *posix) durable(ctx context.Context) (uint64, error) { return p.reader.IntegratedSize(ctx) }

func (p *posix) checkpoint(ctx context.Context) ([]byte, error) { return p.reader.ReadCheckpoint(ctx) }

func (p *posix) leaves(ctx context.Context, from, n uint64) ([][]byte, error) {
	out := make([][]byte, 0, n)
	for ri := range layout.Range(from, n, from+n) {
		raw, err := p.newest(ctx, ri.Index, 0, func(w uint8) ([]byte, error) { return p.reader.ReadEntryBundle(ctx, ri.Index, w) })
		if err != nil {
			return nil, err
		}
		entries, err := parseBundle(raw)
		if err != nil {
			return nil, fmt.Errorf("bundle %d: %w", ri.Index, err)
		}
		if uint(len(entries)) < ri.First+ri.N {
			return nil, fmt.Errorf("bundle %d: expected %d entries, found %d", ri.Index, ri.First+ri.N, len(entries))
		}
		out = append(out, entries[ri.First:ri.First+ri.N]...)
	}
	return out, nil
}

// newest reads a bundle or tile as wide as it is now. Between the look at the size and the read it may have been replaced by a wider
// one, and the narrow one removed.
func (p *posix) newest(ctx context.Context, index, level uint64, read func(width uint8) ([]byte, error)) (raw []byte, err error) {
	for range 10 {
		var size uint64
		if size, err = p.reader.IntegratedSize(ctx); err != nil {
			return nil, err
		}
		raw, err = read(layout.PartialTileSize(level, index, size))
		if !errors.Is(err, fs.ErrNotExist) {
			break
		}
	}
	return raw, err
}

// proofs builds proofs in the tree of size from the tiles of the tree as it is now, whose beginnings are the same.
func (p *posix) proofs(ctx context.Context, size uint64) (*client.ProofBuilder, error) {
	return client.NewProofBuilder(ctx, size, func(ctx context.Context, level, index uint64, _ uint8) ([]byte, error) {
		return p.newest(ctx, index, level, func(w uint8) ([]byte, error) { return p.reader.ReadTile(ctx, level, index, w) })
	})
}

func (p *posix) inclusion(ctx context.Context, seq, size uint64) ([][]byte, error) {
	b, err := p.proofs(ctx, size)
	if err != nil {
		return nil, err
	}
	return b.InclusionProof(ctx, seq)
}

func (p *posix) consistency(ctx context.Context, a, b uint64) ([][]byte, error) {
	pb, err := p.proofs(ctx, b)
	if err != nil {
		return nil, err
	}
	return pb.ConsistencyProof(ctx, a, b)
}

// covered polls the published checkpoint. A disk too full to publish it costs reserve as an append does.
func (p *posix) covered(ctx context.Context, n uint64) error {
	tick := time.NewTicker(pollCheckpoint)
	defer tick.Stop()
	hurry := time.NewTicker(4 * p.interval)
	defer hurry.Stop()
	for {
		size, err := p.signedSize(ctx)
		if err == nil && size >= n {
			return nil
		}
		select {
		case <-ctx.Done():
			return errors.Join(context.Cause(ctx), err)
		case <-hurry.C:
			if _, used := p.spare.state(); p.spare.diskFull() {
				p.room(used)
			}
		case <-tick.C:
		}
	}
}

// signedSize reads the checkpoint for all who wait at once.
func (p *posix) signedSize(ctx context.Context) (uint64, error) {
	p.signed.Lock()
	defer p.signed.Unlock()
	if time.Since(p.signed.read) < pollCheckpoint/2 {
		return p.signed.size, nil
	}
	raw, err := p.reader.ReadCheckpoint(ctx)
	if err != nil {
		return 0, err
	}
	var cp flog.Checkpoint
	if _, err := cp.Unmarshal(raw); err != nil {
		return 0, err
	}
	p.signed.size, p.signed.read = cp.Size, time.Now()
	return cp.Size, nil
}

func (p *posix) reserve() (int64, int64) { return p.spare.state() }

// room removes what no tree needs any more, and gives up a step of the reserve when there was nothing.
func (p *posix) room(used int64) bool {
	p.gate.Lock()
	defer p.gate.Unlock()
	size, err := p.reader.IntegratedSize(context.Background())
	if err != nil {
		return false
	}
	sweep(p.dir, size) // no reason for another try: it takes away what this one left
	return p.prune(context.Background()) > 0 || p.spare.release(used)
}

// sweep removes the temporary files of writes that failed or were cut off by a crash. The driver leaves them where they are, and on a
// full disk each failed attempt would eat what the reserve has just given up. It looks where the next entries go: along the right edge
// of the tree of size. No append may be under way.
func sweep(dir string, size uint64) {
	digits := func(s string) bool { return s != "" && strings.Trim(s, "0123456789") == "" }
	clean := func(sub string, temporary func(name string) bool) {
		files, err := os.ReadDir(filepath.Join(dir, sub))
		if err != nil {
			return // a level that does not exist yet
		}
		for _, f := range files {
			if f.Type().IsRegular() && temporary(f.Name()) {
				_ = os.Remove(filepath.Join(dir, sub, f.Name())) // what stays is swept next time
			}
		}
	}
	edge := func(path func(n uint64, p uint8) string, index uint64) {
		for _, n := range []uint64{index, index + 1} {
			full := path(n, 0)
			clean(filepath.Dir(full), func(name string) bool { return len(name) > 3 && digits(name) })
			clean(full+".p", func(name string) bool { return len(name) > 3 && digits(name) })
		}
	}
	edge(layout.EntriesPath, size/layout.EntryBundleWidth)
	for level := uint64(0); level == 0 || (size+batchSize)>>(8*level) > 0; level++ {
		edge(func(n uint64, p uint8) string { return layout.TilePath(level, n, p) }, size>>(8*(level+1)))
	}
	clean(".state", func(name string) bool {
		rest, ok := strings.CutPrefix(name, "treeState")
		return ok && digits(rest)
	})
	clean(".", func(name string) bool { // checkpoints are written beside the appends: the newest may be on its way
		rest, ok := strings.CutPrefix(name, layout.CheckpointPath)
		if !ok || !digits(rest) {
			return false
		}
		st, err := os.Stat(filepath.Join(dir, name))
		return err == nil && time.Since(st.ModTime()) > sweepAge
	})
}

// prune removes the partial files of the newest bundle that the published checkpoint has outgrown, and says how many. The driver does
// so only once a bundle is full: until then every append of a quiet hour leaves a copy of the whole bundle behind.
func (p *posix) prune(ctx context.Context) int {
	if !p.pruning.TryLock() {
		return 0
	}
	defer p.pruning.Unlock()
	size, err := p.signedSize(ctx)
	if err != nil {
		return 0
	}
	index, width := size/layout.TileWidth, size%layout.TileWidth
	removed := 0
	for _, full := range []string{layout.EntriesPath(index, 0), layout.TilePath(0, index, 0)} {
		dir := filepath.Join(p.dir, full+".p")
		files, err := os.ReadDir(dir)
		if err != nil {
			continue // nothing partial there
		}
		for _, f := range files {
			w, err := strconv.ParseUint(f.Name(), 10, 8)
			if err == nil && w < width && os.Remove(filepath.Join(dir, f.Name())) == nil {
				removed++
			}
		}
	}
	return removed
}

// shutdown waits until a signed checkpoint covers what was appended in this run.
func (p *posix) shutdown(ctx context.Context) error {
	if p.appended.Load() == 0 {
		return nil
	}
	size, err := p.reader.IntegratedSize(ctx)
	if err != nil {
		return err
	}
	wait, cancel := context.WithTimeoutCause(ctx, signWithin, errUnsigned)
	defer cancel()
	return p.covered(wait, size)
}

// close waits for the checkpoint that covers everything, then stops the driver. A disk that hangs holds the driver's own shutdown,
// so that runs beside us and ctx decides.
func (p *posix) close(ctx context.Context) error {
	done := make(chan error, 1)
	go func() { done <- p.shutdown(ctx) }()
	var err error
	select {
	case err = <-done:
	case <-ctx.Done():
		err = context.Cause(ctx)
	}
	p.cancel()
	return errors.Join(err, p.letGo())
}

func (p *posix) letGo() error { return p.hold.Close() }
