package audit

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	flog "github.com/transparency-dev/formats/log"
	merkle "github.com/transparency-dev/merkle/proof"
	"github.com/transparency-dev/tessera/api/layout"
	"github.com/transparency-dev/tessera/client"
	"golang.org/x/mod/sumdb/note"
	"k8s.io/klog/v2"

	"github.com/cordonsip/cordon/audit/proof"
)

const (
	settleEvery    = 2 * time.Second // how long entries that are durable wait in the journal for others, before they go into the tree together
	shelfMost      = 1 << 20         // bytes that are kept to put bundles together in; a bundle of calls' records takes some 400,000
	pollCheckpoint = 5 * time.Millisecond
	pruneEvery     = 32 // appends
	pruneBack      = 16 // full bundles of the last run that may not be pruned yet
	sweepAge       = 5 * time.Second
	sweepBundles   = 64          // from the edge of the tree on: a journal full of short entries makes as many at once
	signWithin     = time.Minute // that the last checkpoint may take
)

// posix is the driver on disk, a log in the tlog-tiles layout as tessera's POSIX storage keeps it. There are two ways to be durable. An entry that
// somebody waits for goes into the tree at once: bundles and tiles are written with O_DSYNC to files of their own, renamed into place and their
// folders synced; then the state of the tree in the same way, which puts them in force. Entries of calls that have ended go into the journal, one
// write for all of a group, and from there into the tree with the next entry that somebody waits for, or after settleEvery.
type posix struct {
	dir      string
	hold     *os.File // flock: one log, one process
	reader   tileFiles
	spare    *reserve
	interval time.Duration

	appended atomic.Uint64
	pruning  sync.Mutex
	pruned   uint64 // bundles of which nothing partial is left

	missing hole // in the journal, as it was found

	publishing sync.Mutex // whoever writes a checkpoint

	turn     sync.Mutex // whoever writes entries
	journal  *journal   // of the one whose turn it is
	shelf    []byte     // of the same one: bundles are put together in it, and nothing else has it
	prunedAt uint64     // of the same one: the size of the checkpoint behind which after pruned last
	doubt    bool       // of the same one: a state that nobody was promised may be in force
	closed   bool       // of the same one

	mu          sync.Mutex // held for no longer than a look
	waiting     []*order   // whose turn has not come
	tree        *tree      // as the files have it; changed by the one whose turn it is
	tail        [][]byte   // entries behind it, in the journal only; changed likewise
	signed      uint64     // size of the published checkpoint
	signing     *signing
	bare        uncovered
	settleBy    time.Time // when the tail must be in the tree, zero: there is none
	publishBy   time.Time // when a checkpoint must be published, zero: the newest is
	publishedAt time.Time

	keeper struct {
		wake chan struct{}
		stop context.CancelFunc
		done chan struct{} // closed when it has ended
	}
}

// order is one append, and what became of it.
type order struct {
	leaf []byte
	over bool
	out  result
}

// quiet stops the library that builds proofs from writing to standard error through its process-wide logger: what it says there reaches us as errors.
var quiet = sync.OnceFunc(func() { klog.SetSlogLogger(slog.New(slog.DiscardHandler)) })

func openPosix(c Config, s *signing) (*posix, error) {
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
	p := &posix{dir: c.Dir, hold: hold, signing: s, reader: tileFiles(c.Dir), interval: c.Checkpoint}
	if err := p.open(c); err != nil {
		if p.journal != nil {
			_ = p.journal.close()
		}
		return nil, errors.Join(err, p.letGo())
	}
	return p, nil
}

// open reads what is there and sets the keeper going.
func (p *posix) open(c Config) error {
	var err error
	if p.spare, err = openReserve(filepath.Join(p.dir, "reserve"), c.Reserve, c.Now); err != nil {
		return fmt.Errorf("audit: reserve: %w", err)
	}
	state, err := stateOf(p.dir)
	if err != nil {
		return fmt.Errorf("audit: tree: %w", err)
	}
	signed, err := p.agree(state.Size)
	if err != nil {
		return err
	}
	if p.tree, err = loadTree(p.dir, state); err != nil {
		return fmt.Errorf("audit: tree: %w", err)
	}
	if err := p.continues(signed, state); err != nil {
		return fmt.Errorf("audit: the signed checkpoint stands for other entries than the tree begins with: %w", err)
	}
	if p.journal, p.tail, p.missing, err = openJournal(filepath.Join(p.dir, journalName), p.tree.size); err != nil {
		return fmt.Errorf("audit: journal: %w", err)
	}
	sweep(p.dir, p.tree.size)
	if signed == nil {
		if err := p.publish(); err != nil {
			return err
		}
	}
	if len(p.tail) > 0 {
		p.appended.Add(uint64(len(p.tail)))
		p.settleBy = time.Now()
		p.bare.kept(p.settleBy)
	}
	run, stop := context.WithCancel(context.Background())
	p.keeper.wake, p.keeper.done, p.keeper.stop = make(chan struct{}, 1), make(chan struct{}), stop
	go p.keep(run)
	return nil
}

// agree refuses a log of another origin or key, and one whose tree is shorter than what was signed: appending to it would fork it. It gives what is
// signed, nil for nothing.
func (p *posix) agree(size uint64) (*proof.Checkpoint, error) {
	raw, err := p.reader.readCheckpoint()
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("audit: checkpoint: %w", err)
	}
	cp, err := p.signing.keys.Past().Open(raw)
	if err != nil {
		return nil, fmt.Errorf("audit: the checkpoint in the folder is not one of origin %q and this key: %w", p.signing.keys.Origin(), err)
	}
	if size < cp.Size {
		return nil, fmt.Errorf("audit: the tree holds %d entries, the signed checkpoint stands for %d", size, cp.Size)
	}
	p.pruned = cp.Size / layout.EntryBundleWidth
	p.pruned -= min(p.pruned, pruneBack)
	if p.signed = cp.Size; cp.Size < size {
		p.publishBy = time.Now()
		p.bare.settled(true, p.publishBy)
	}
	return &cp, nil
}

// continues proves from the tiles that the tree begins with what was signed: one that does not would be a fork.
func (p *posix) continues(cp *proof.Checkpoint, state treeState) error {
	if cp == nil || cp.Size == 0 {
		return nil // every tree does
	}
	hashes, err := p.consistency(context.Background(), cp.Size, state.Size)
	if err != nil {
		return err
	}
	return merkle.VerifyConsistency(hasher, cp.Size, state.Size, hashes, cp.Root[:], state.Root)
}

func (p *posix) blocks() bool { return true }

// append puts one leaf into the tree. Who comes while another one writes goes with all who do.
func (p *posix) append(leaf []byte) (uint64, error) {
	o := &order{leaf: leaf}
	p.mu.Lock()
	p.waiting = append(p.waiting, o)
	p.mu.Unlock()
	p.turn.Lock()
	defer p.turn.Unlock()
	if o.over {
		return o.out.seq, o.out.err
	}
	p.mu.Lock()
	all := p.waiting
	p.waiting = nil
	p.mu.Unlock()
	leaves := make([][]byte, len(all))
	for i, o := range all {
		leaves[i] = o.leaf
	}
	first, err := p.settle(leaves)
	for i, r := range results(first, len(all), err) {
		all[i].out, all[i].over = r, true
	}
	return o.out.seq, o.out.err
}

// appendAll keeps leaves that are in no hurry in the journal, or puts them into the tree where that has no room for them.
func (p *posix) appendAll(leaves [][]byte) []result {
	p.turn.Lock()
	defer p.turn.Unlock()
	if err := p.sure(); err != nil {
		return results(0, len(leaves), err)
	}
	p.mu.Lock()
	first := p.tree.size + uint64(len(p.tail))
	early := !p.settleBy.IsZero()
	p.mu.Unlock()
	if full := p.journal.keep(first, leaves); full != nil {
		_, err := p.settle(leaves)
		if err == nil && early && errors.Is(full, errNoRoom) {
			p.journal.widen()
		}
		return results(first, len(leaves), err)
	}
	p.mu.Lock()
	p.tail = append(p.tail, leaves...)
	p.bare.kept(time.Now())
	if p.settleBy.IsZero() {
		p.settleBy = time.Now().Add(settleEvery)
		p.rouse()
	}
	p.mu.Unlock()
	p.after(len(leaves))
	return results(first, len(leaves), nil)
}

// results are those of n leaves that went the same way.
func results(first uint64, n int, err error) []result {
	out := make([]result, n)
	for i := range out {
		if out[i].err = err; err == nil {
			out[i].seq = first + uint64(i)
		}
	}
	return out
}

// settle puts the tail and leaves behind it into the tree, and gives the index of the first of these. Where that fails the tail stays in the
// journal. It is the caller's turn.
func (p *posix) settle(leaves [][]byte) (first uint64, err error) {
	if err := p.sure(); err != nil {
		return 0, err
	}
	p.mu.Lock()
	was, tail := p.tree, p.tail
	p.mu.Unlock()
	files := pageWriter{dir: p.dir}
	next, err := was.grow(append(slices.Clip(tail), leaves...), p.shelf, files.put)
	if err == nil {
		err = files.sync()
	}
	if err != nil {
		return 0, err
	}
	if err := p.enforce(next); err != nil {
		return 0, err
	}
	p.mu.Lock()
	p.tree, p.tail, p.settleBy = next, make([][]byte, 0, len(tail)), time.Time{}
	p.bare.settled(len(leaves) > 0, time.Now())
	if p.publishBy.IsZero() && next.size > p.signed {
		p.publishBy = p.publishedAt.Add(p.interval)
		p.rouse()
	}
	p.mu.Unlock()
	if p.shelf = was.bundle; cap(p.shelf) > shelfMost {
		p.shelf = nil
	}
	p.journal.clear()
	p.after(len(leaves))
	return was.size + uint64(len(tail)), nil
}

// rotate puts one leaf into the tree, has that tree signed as every one before it, and every later one otherwise. It keeps its turn meanwhile: no tree
// that the old key signed alone is larger than that.
func (p *posix) rotate(write func(seq uint64) ([]byte, *signing, error)) (uint64, error) {
	p.turn.Lock()
	defer p.turn.Unlock()
	if err := p.sure(); err != nil {
		return 0, err
	}
	p.mu.Lock()
	seq := p.tree.size + uint64(len(p.tail))
	p.mu.Unlock()
	leaf, next, err := write(seq)
	if err != nil {
		return 0, err
	}
	if _, err := p.settle([][]byte{leaf}); err != nil {
		return 0, err
	}
	unsigned := p.publish() // where that fails, the new key's checkpoint is the first over the entry
	p.mu.Lock()
	p.signing, p.publishBy = next, time.Now()
	p.mu.Unlock()
	if err := p.publish(); err != nil { // whoever holds the new key finds it in force
		p.mu.Lock()
		p.bare.why = errors.Join(unsigned, err)
		p.mu.Unlock()
		p.rouse()
	}
	return seq, nil
}

// sure says whether entries may be written. Where the write of a state failed, that state may be in force nevertheless: then its files must not be
// replaced, and none of its indexes be given away, before the state that counts is back. It is the caller's turn.
func (p *posix) sure() error {
	if p.closed {
		return fs.ErrClosed
	}
	if !p.doubt {
		return nil
	}
	p.mu.Lock()
	was := p.tree
	p.mu.Unlock()
	return p.enforce(was)
}

// enforce writes the state of t. From the change of its name on until that is durable nobody knows which state is in force. It is the caller's turn.
func (p *posix) enforce(t *tree) error {
	state := t.state()
	path := filepath.Join(p.dir, state.path)
	temp, err := writeTemp(path, state.raw)
	if err != nil {
		return err
	}
	p.doubt = true
	if err := errors.Join(intoPlace(temp, path), syncDir(filepath.Dir(path))); err != nil {
		return err
	}
	p.doubt = false
	return nil
}

// rouse tells the keeper that there is another time to keep.
func (p *posix) rouse() {
	select {
	case p.keeper.wake <- struct{}{}:
	default:
	}
}

// keep settles and publishes when it is time. What fails is tried again after an interval.
func (p *posix) keep(ctx context.Context) {
	defer close(p.keeper.done)
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-p.keeper.wake:
		case <-timer.C:
		}
		p.due()
		p.mu.Lock()
		next := p.settleBy
		if next.IsZero() || !p.publishBy.IsZero() && p.publishBy.Before(next) {
			next = p.publishBy
		}
		p.mu.Unlock()
		timer.Stop()
		if !next.IsZero() {
			timer.Reset(time.Until(next))
		}
	}
}

// due does what is due now.
func (p *posix) due() {
	p.try(&p.settleBy, func() error {
		p.turn.Lock()
		defer p.turn.Unlock()
		_, err := p.settle(nil)
		return err
	})
	p.try(&p.publishBy, p.publish)
}

// try does what must be done by a time, when that has come, and puts it off when it fails. A full disk costs reserve as it does in an append.
func (p *posix) try(by *time.Time, do func() error) {
	p.mu.Lock()
	come := !by.IsZero() && !by.After(time.Now())
	p.mu.Unlock()
	if !come {
		return
	}
	_, used := p.spare.state()
	err := do()
	if err == nil {
		return
	}
	if isFull(err) {
		p.room(used)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.bare.why = err
	if !by.IsZero() {
		*by = time.Now().Add(p.interval)
	}
}

// publish signs the tree as the files have it.
func (p *posix) publish() error {
	p.publishing.Lock()
	defer p.publishing.Unlock()
	p.mu.Lock()
	t, by := p.tree, p.signing
	p.bare.signs()
	p.mu.Unlock()
	text := flog.Checkpoint{Origin: by.signer.name, Size: t.size, Hash: t.root()}.Marshal()
	cp, err := note.Sign(&note.Note{Text: string(text)}, by.at(time.Now())...)
	if err != nil {
		return fmt.Errorf("audit: sign a checkpoint: %w", err)
	}
	if err := writePages(p.dir, []page{{layout.CheckpointPath, cp}}); err != nil {
		return fmt.Errorf("audit: checkpoint: %w", err)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.signed, p.publishedAt, p.publishBy = t.size, time.Now(), time.Time{}
	p.bare.signed()
	if p.tree.size > t.size {
		p.publishBy = p.publishedAt.Add(p.interval)
	}
	return nil
}

// reach settles the tail where a tree of size takes it.
func (p *posix) reach(size uint64) error {
	p.turn.Lock()
	defer p.turn.Unlock()
	p.mu.Lock()
	have := p.tree.size
	p.mu.Unlock()
	if have >= size {
		return nil
	}
	_, err := p.settle(nil)
	return err
}

// after does what is due now and then, when n more entries are stored.
func (p *posix) after(n int) {
	if n == 0 {
		return
	}
	all, signed := p.appended.Add(uint64(n)), p.signedSize()
	if all/pruneEvery != (all-uint64(n))/pruneEvery && signed != p.prunedAt { // what a journal takes makes no files
		p.prunedAt = signed
		p.prune()
	}
	p.spare.refill()
}

// settled is the size of the tree in the files.
func (p *posix) settled() uint64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.tree.size
}

func (p *posix) durable(context.Context) (uint64, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.tree.size + uint64(len(p.tail)), nil
}

// checkpoint gives the newest one. Whoever asks does not find it again as it is while entries wait for their tree.
func (p *posix) checkpoint(context.Context) ([]byte, error) {
	p.hasten(math.MaxUint64)
	return p.reader.readCheckpoint()
}

// hasten settles the tail at once, where a tree of n entries takes it.
func (p *posix) hasten(n uint64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.tree.size < n && !p.settleBy.IsZero() {
		p.settleBy = time.Now()
		p.rouse()
	}
}

func (p *posix) leaves(ctx context.Context, from, n uint64) ([][]byte, error) {
	p.mu.Lock()
	size, tail := p.tree.size, p.tail
	p.mu.Unlock()
	if from+n > size+uint64(len(tail)) {
		return nil, fmt.Errorf("leaves %d to %d of %d", from, from+n, size+uint64(len(tail)))
	}
	out := make([][]byte, 0, n)
	if from < size {
		var err error
		if out, err = p.stored(out, from, min(n, size-from)); err != nil {
			return nil, err
		}
	}
	if from+n > size {
		out = append(out, tail[max(from, size)-size:from+n-size]...)
	}
	return out, nil
}

// stored reads leaves from the files.
func (p *posix) stored(out [][]byte, from, n uint64) ([][]byte, error) {
	for ri := range layout.Range(from, n, from+n) {
		raw, err := p.newest(ri.Index, 0, func(w uint8) ([]byte, error) { return p.reader.readBundle(ri.Index, w) })
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
func (p *posix) newest(index, level uint64, read func(width uint8) ([]byte, error)) (raw []byte, err error) {
	for range 10 {
		raw, err = read(layout.PartialTileSize(level, index, p.settled()))
		if !errors.Is(err, fs.ErrNotExist) {
			break
		}
	}
	return raw, err
}

// proofs builds proofs in the tree of size from the tiles of the tree as it is now, whose beginnings are the same.
func (p *posix) proofs(ctx context.Context, size uint64) (*client.ProofBuilder, error) {
	if err := p.reach(size); err != nil {
		return nil, err
	}
	return client.NewProofBuilder(ctx, size, func(_ context.Context, level, index uint64, _ uint8) ([]byte, error) {
		return p.newest(index, level, func(w uint8) ([]byte, error) { return p.reader.readTile(level, index, w) })
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

// covered asks for a checkpoint over n entries and waits for it.
func (p *posix) covered(ctx context.Context, n uint64) error {
	p.hasten(n)
	tick := time.NewTicker(pollCheckpoint)
	defer tick.Stop()
	for {
		if p.signedSize() >= n {
			return nil
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-tick.C:
		}
	}
}

func (p *posix) signedSize() uint64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.signed
}

func (p *posix) reserve() (int64, int64) { return p.spare.state() }

// room removes what no tree needs any more, and gives up a step of the reserve when there was nothing.
func (p *posix) room(used int64) bool {
	p.turn.Lock()
	defer p.turn.Unlock()
	sweep(p.dir, p.settled()) // no reason for another try: it takes away what this one left
	return p.prune() > 0 || p.spare.release(used)
}

// sweep removes the temporary files of writes that were cut off by a crash or could not be taken back. On a full disk each of them would eat what
// the reserve has just given up. It looks where the next entries go: along the right edge
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
		last := ""
		for n := index; n < index+sweepBundles; n++ {
			full := path(n, 0)
			if folder := filepath.Dir(full); folder != last {
				clean(folder, func(name string) bool { return len(name) > 3 && digits(name) })
				last = folder
			}
			clean(full+".p", func(name string) bool { return len(name) > 3 && digits(name) })
		}
	}
	edge(layout.EntriesPath, size/layout.EntryBundleWidth)
	for level := uint64(0); level == 0 || (size+sweepBundles*layout.TileWidth)>>(8*level) > 0; level++ {
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

// prune removes the partial files that the published checkpoint has outgrown, and says how many there were in the newest bundle: every append of a
// quiet hour leaves a copy of the whole bundle behind.
func (p *posix) prune() int {
	if !p.pruning.TryLock() {
		return 0
	}
	defer p.pruning.Unlock()
	size := p.signedSize()
	index, width := size/layout.TileWidth, size%layout.TileWidth
	for ; p.pruned < index; p.pruned++ {
		pruneFull(p.dir, p.pruned)
	}
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

// pruneFull removes what is left of the time when a bundle was not full, and the tiles above it that it has made so.
func pruneFull(dir string, index uint64) {
	partial := func(path string) { _ = os.RemoveAll(filepath.Join(dir, path+".p")) } // what stays is in nobody's way
	partial(layout.EntriesPath(index, 0))
	partial(layout.TilePath(0, index, 0))
	for level := uint64(1); (index+1)%layout.TileWidth == 0; level++ {
		index /= layout.TileWidth
		partial(layout.TilePath(level, index, 0))
	}
}

// shutdown waits until a signed checkpoint covers what was appended in this run, then for the keeper.
func (p *posix) shutdown(ctx context.Context) error {
	defer func() { <-p.keeper.done }()
	defer p.keeper.stop()
	if p.appended.Load() == 0 {
		return nil
	}
	size, err := p.durable(ctx)
	if err != nil {
		return err
	}
	wait, cancel := context.WithTimeoutCause(ctx, signWithin, errUnsigned)
	defer cancel()
	return p.covered(wait, size)
}

// close waits for the checkpoint that covers everything, then stops the keeper. A disk that hangs holds whoever writes, so that runs beside us and ctx
// decides. The folder is held for as long as anything may still be written into it.
func (p *posix) close(ctx context.Context) error {
	done := make(chan error, 1)
	go func() {
		err := p.shutdown(ctx)
		p.turn.Lock()
		defer p.turn.Unlock()
		p.closed = true
		done <- errors.Join(err, p.journal.close(), p.letGo())
	}()
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		p.keeper.stop()
		return context.Cause(ctx)
	}
}

func (p *posix) letGo() error { return p.hold.Close() }

// tileFiles is the folder of a log, as those who read it see it.
type tileFiles string

func (d tileFiles) read(path string) ([]byte, error) {
	return os.ReadFile(filepath.Join(string(d), path))
}

func (d tileFiles) readCheckpoint() ([]byte, error) { return d.read(layout.CheckpointPath) }

// widest reads the file of width n, or the full one that took its place.
func (d tileFiles) widest(path func(n uint8) string, n uint8) ([]byte, error) {
	raw, err := d.read(path(n))
	if n > 0 && errors.Is(err, fs.ErrNotExist) {
		return d.read(path(0))
	}
	return raw, err
}

func (d tileFiles) readBundle(index uint64, n uint8) ([]byte, error) {
	return d.widest(func(n uint8) string { return layout.EntriesPath(index, n) }, n)
}

func (d tileFiles) readTile(level, index uint64, n uint8) ([]byte, error) {
	return d.widest(func(n uint8) string { return layout.TilePath(level, index, n) }, n)
}
