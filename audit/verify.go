package audit

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/transparency-dev/merkle/compact"
	"github.com/transparency-dev/merkle/rfc6962"
	"github.com/transparency-dev/tessera/api/layout"

	"github.com/cordonsip/cordon/audit/proof"
)

// Verification is what Verify found.
type Verification struct {
	Origin     string
	Size       uint64 // of the tree that the checkpoint stands for
	Entries    uint64 // that were read and held, those beyond the checkpoint included
	Receipts   uint64
	Gaps       uint64
	From, To   time.Time // of the earliest and the latest entry
	Checkpoint string    // as it is in the folder, signature and all

	Witnesses  []proof.Cosignature // of the checkpoint, those whose keys were given
	Root       string              // of the tree, base64, as in the checkpoint
	Kinds      map[Kind]uint64     // entries of each kind
	Unknown    uint64              // entries of kinds that this version has no word for
	Unsigned   uint64              // entries beyond the checkpoint: durable, and not yet signed or the checkpoint is an older one
	ClockSteps uint64              // entries more than a second older than the one before
	Rotations  []proof.Handover    // from one key of the log to the next
	Silences   []Silence           // times of which there is no entry, at most a thousand
	Leftovers  uint64              // outgrown partial files of a batch that never ended; no proof is ever built from one

	Bad *BadEntry // nil when everything holds
}

// BadEntry is the first thing that does not hold.
type BadEntry struct {
	Seq  uint64 // of the entry, or of the first entry under the file that What names; 0 for the checkpoint
	What string // in words: what was expected and what was found
}

func (b *BadEntry) Error() string { return fmt.Sprintf("entry %d: %s", b.Seq, b.What) }

func bad(seq uint64, format string, a ...any) *BadEntry {
	return &BadEntry{Seq: seq, What: fmt.Sprintf(format, a...)}
}

// Verify checks a whole log offline: every tile, every entry, the newest checkpoint's signature against key (note verifier form), and that each
// entry is well-formed. An error means that it could not be checked; a Bad entry means that it was and failed.
//
// An older checkpoint of the same log holds, because the tree it signs is a prefix of this one: Size and Unsigned say how much it
// leaves out. Only someone who knows a newer checkpoint can tell that it was put back.
func Verify(ctx context.Context, dir, key string) (Verification, error) {
	k, err := proof.NewKeys(key, nil, 0)
	if err != nil {
		return Verification{}, fmt.Errorf("audit: verifier key: %w", err)
	}
	return VerifyWith(ctx, dir, k)
}

// VerifyWith is Verify that also asks for the cosignatures of witnesses: under the newest checkpoint, or where that has too few, under the one beside the folder
// that has them (CosignedFile).
func VerifyWith(ctx context.Context, dir string, k *proof.Keys) (Verification, error) {
	return VerifyEach(ctx, dir, k, nil)
}

// VerifyEach is VerifyWith that shows every well-formed entry, in order, to each (nil: to nobody). What it is shown counts only if the whole holds in the end.
func VerifyEach(ctx context.Context, dir string, k *proof.Keys, each func(Entry)) (Verification, error) {
	if st, err := os.Stat(dir); err != nil {
		return Verification{}, fmt.Errorf("audit: folder of the log: %w", err)
	} else if !st.IsDir() {
		return Verification{}, fmt.Errorf("audit: %s: expected the folder of a log", dir)
	}
	w := &walk{ctx: ctx, dir: dir, each: each, out: Verification{Origin: k.Origin(), Kinds: map[Kind]uint64{}}}
	w.byEntry, w.byTile = ranges.NewEmptyRange(0), ranges.NewEmptyRange(0)
	err := w.run(k)
	var b *BadEntry
	if errors.As(err, &b) {
		w.out.Bad, err = b, nil
	}
	if err != nil {
		return w.out, fmt.Errorf("audit: verify: %w", err)
	}
	return w.out, nil
}

var (
	hasher = rfc6962.DefaultHasher
	ranges = compact.RangeFactory{Hash: hasher.HashChildren}
)

// walk goes once through the log, from the first bundle to the last.
type walk struct {
	ctx  context.Context
	dir  string
	each func(Entry)
	out  Verification
	cp   proof.Checkpoint

	byEntry *compact.Range // over the entries as they are
	byTile  *compact.Range // over the hashes that the level-0 tiles give for them
	levels  []tileLevel    // above level 0: the hashes of the tile that is being filled

	differs   *BadEntry // the first entry that its tile does not know
	badTile   *BadEntry // the first tile that the entries do not yield
	malformed *BadEntry // the first entry that is none
	last      time.Time // of the entry before
	pulse     pulse
}

// tileLevel is one level of tiles as it is recomputed.
type tileLevel struct {
	index  uint64
	hashes [][]byte
}

// run returns a *BadEntry for what does not hold, and any other error for what could not be read.
func (w *walk) run(k *proof.Keys) error {
	if err := w.readCheckpoint(k); err != nil {
		return err
	}
	if err := w.bundles(); err != nil {
		return w.first(err)
	}
	for l := range w.levels {
		if len(w.levels[l].hashes) > 0 {
			if err := w.upperTile(l); err != nil {
				return err
			}
		}
	}
	if err := w.judge(); err != nil {
		return err
	}
	if err := w.judgeKeys(k); err != nil {
		return err
	}
	journal, err := journalOf(w.dir) // in front of the state: what the tree has taken in since is told by that
	if err != nil {
		return err
	}
	return w.beyond(journal)
}

// bundles takes the bundles in their order.
func (w *walk) bundles() error {
	stop := make(chan struct{})
	defer close(stop)
	for next := range w.ahead(w.cp.Size, stop) {
		if err := w.bundle(<-next); err != nil {
			return err
		}
	}
	return nil
}

// first prefers the entry in front of what stopped the walk, if one is known to differ from its tile.
func (w *walk) first(err error) error {
	var b *BadEntry
	if errors.As(err, &b) && w.differs != nil && w.differs.Seq <= b.Seq {
		return w.differs
	}
	return err
}

func (w *walk) readCheckpoint(k *proof.Keys) error {
	raw, cp, unread, err := openNewest(w.dir, k)
	if errors.Is(unread, fs.ErrNotExist) {
		return bad(0, "%s: expected a signed checkpoint, found no file", layout.CheckpointPath)
	}
	if unread != nil {
		return unread
	}
	w.out.Checkpoint = string(raw)
	if err != nil {
		return bad(0, "%s: expected one of origin %q signed with the given key: %v", layout.CheckpointPath, k.Origin(), err)
	}
	w.cp, w.out.Size, w.out.Root, w.out.Witnesses = cp, cp.Size, cp.Root.String(), cp.Witnesses
	return nil
}

// judge weighs what the walk found. When the entries yield the signed root, every entry is what was signed, and whatever differs is a
// tile. When the tiles yield it instead, the entry that differs from its tile is the one that was changed.
func (w *walk) judge() error {
	byEntry, err := rootOf(w.byEntry)
	if err != nil {
		return err
	}
	if string(byEntry) == string(w.cp.Root[:]) {
		if w.badTile != nil {
			return w.badTile
		}
		if w.malformed != nil {
			return w.malformed
		}
		return nil
	}
	byTile, err := rootOf(w.byTile)
	if err != nil {
		return err
	}
	if w.differs != nil {
		if string(byTile) != string(w.cp.Root[:]) {
			w.differs.What += "; neither yields the root that was signed"
		}
		return w.differs
	}
	return bad(0, "%s: expected root %s for %d entries, found entries and tiles that yield %s", layout.CheckpointPath,
		w.cp.Root, w.cp.Size, b64(byEntry))
}

// rootOf is the root over a range from 0 on.
func rootOf(r *compact.Range) ([]byte, error) {
	if r.End() == 0 {
		return hasher.EmptyRoot(), nil
	}
	return r.GetRootHash(nil)
}

// beyond reads the entries that are durable but not under the checkpoint, as far as the folder says that there are any. A copy of the
// published files alone has no tree state and nothing beyond.
func (w *walk) beyond(journal []byte) error {
	const path = treeStatePath
	raw, err := os.ReadFile(filepath.Join(w.dir, path))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	var ts treeState
	if err := json.Unmarshal(raw, &ts); err != nil {
		return bad(w.cp.Size, "%s: expected the size and root of the tree: %v", path, err)
	}
	if ts.Size < w.cp.Size {
		return bad(ts.Size, "%s: expected at least the %d entries of the checkpoint, found %d", path, w.cp.Size, ts.Size)
	}
	for ri := range layout.Range(w.cp.Size, ts.Size-w.cp.Size, ts.Size) {
		entries, _, err := w.readBundle(ri.Index, ri.First+ri.N)
		if err != nil {
			return err
		}
		for i, leaf := range entries[ri.First:] {
			seq := ri.Index*layout.EntryBundleWidth + uint64(ri.First) + uint64(i)
			if err := w.byEntry.Append(hasher.HashLeaf(leaf), nil); err != nil {
				return err
			}
			w.entry(seq, read(leaf))
			w.out.Unsigned++
		}
	}
	root, err := rootOf(w.byEntry)
	if err != nil {
		return err
	}
	if string(root) != string(ts.Root) {
		return bad(w.cp.Size, "%s: expected root %s for %d entries, found entries beyond the checkpoint that yield %s", path,
			b64(ts.Root), ts.Size, b64(root))
	}
	leaves, _ := parseJournal(journal, ts.Size)
	for i, leaf := range leaves {
		w.entry(ts.Size+uint64(i), read(leaf))
		w.out.Unsigned++
	}
	if w.malformed != nil {
		return w.malformed
	}
	if _, missing := behindHole(journal, ts.Size+uint64(len(leaves))); missing.lost > 0 {
		return bad(missing.at, "%s: expected entry %d, found damaged bytes, and whole entries behind them: %d are missing", journalName, missing.at, missing.lost)
	}
	return nil
}

// journalOf reads the entries that are durable and not in the tree, as they were at one moment: a node that runs may be writing them.
func journalOf(dir string) (raw []byte, err error) {
	for last := raw; ; last = raw {
		raw, err = os.ReadFile(filepath.Join(dir, journalName))
		if errors.Is(err, fs.ErrNotExist) {
			return nil, nil
		}
		if err != nil || last != nil && bytes.Equal(last, raw) {
			return raw, err
		}
	}
}

// entry takes one leaf into account.
func (w *walk) entry(seq uint64, r readEntry) {
	w.out.Entries++
	if r.err != nil {
		if w.malformed == nil {
			w.malformed = bad(seq, "%v", r.err)
		}
		return
	}
	e := r.entry
	// Entries that were appended at once stand in the order of the tree, not to the microsecond in that of their times.
	if w.out.From.IsZero() || e.Time.Before(w.out.From) {
		w.out.From = e.Time
	}
	if e.Time.After(w.out.To) {
		w.out.To = e.Time
	}
	if e.Time.Before(w.last.Add(-time.Second)) {
		w.out.ClockSteps++
	}
	w.last = e.Time
	if s, ok := w.pulse.hear(seq, &e); ok && len(w.out.Silences) < maxSilences {
		w.out.Silences = append(w.out.Silences, s)
	}
	w.out.Kinds[e.Kind]++
	switch {
	case e.Kind == KindReceipt:
		w.out.Receipts++
	case e.Kind == KindGap:
		w.out.Gaps++
	case e.Kind == KindKeyRotated:
		w.rotated(seq, r.event.(KeyRotated))
	case !e.Kind.Known():
		w.out.Unknown++
	}
	if w.each != nil {
		e.Seq = seq
		w.each(e)
	}
}
