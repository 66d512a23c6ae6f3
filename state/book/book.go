// Package book is a file of records that outlive the process and not the machine: what calls that are up need to go on when the process that
// carried them is gone. What is put into it is in the kernel's hands some milliseconds later, whatever becomes of us; nothing waits for a disk.
//
// It is append-only, with a sum for each record; the newest record of a key counts, and what does not count any more goes when the file is written anew. The
// caller sees to it that one process at a time has a book open. It imports the standard library alone.
package book

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"
)

// Record is one key with what was put last under it.
type Record struct {
	Key   string
	Value []byte
}

// The bounds of a book.
const (
	MaxValue   = 256 << 10 // bytes of one value
	MaxKey     = 255       // bytes of one key
	maxPending = 16 << 20  // bytes that wait for a disk that hangs: beyond it a key is deleted rather than kept as it was
	slack      = 256 << 10 // bytes that no longer count and are left in the file, beside as many as count
)

// How the book is written: what came within rest is one write, what does not count any more stays in the file for oldest at most, and a write that failed
// is tried again after mend.
const (
	rest   = 2 * time.Millisecond
	oldest = 10 * time.Minute
	mend   = time.Second
)

// Config of a Book.
type Config struct {
	Path   string // made with mode 0600
	Logger *slog.Logger
}

// Book is open for one process. Put and Delete may be called from anywhere.
type Book struct {
	path string
	log  *slog.Logger

	left    []Record  // of the last run
	damage  int64     // bytes at the end that did not read
	aside   string    // where a file of another kind was moved
	written time.Time // when the file was last written before it was opened

	mu      sync.Mutex
	pending []byte // frames that are not in the file yet
	waiting []entry
	fresh   []byte // the last pending, to be used again
	closed  bool
	missed  bool // something was left out because the disk hangs; told once

	wake chan struct{}

	// Of who writes: Run, or Close after it.
	file   file
	end    int64            // of what is in the file
	at     map[string]place // of the frames that count
	counts int64            // bytes of those
	since  time.Time        // when the first byte that no longer counts came to be; zero: none did
	failed bool
}

// file is what is written.
type file interface {
	WriteAt(p []byte, off int64) (int, error)
	ReadAt(p []byte, off int64) (int, error)
	Truncate(size int64) error
	Close() error
}

// place is where a frame stands.
type place struct {
	from int64
	size int32
}

// entry is a frame in pending.
type entry struct {
	key  string
	size int32
	gone bool // it deletes
}

// Open reads the book that the last run left, or makes a new one. A tail that is torn is left out; a file that is no book of this version is moved aside, and
// the book begins anew: see Damage and Aside.
func Open(c Config) (*Book, error) {
	b := &Book{path: c.Path, log: c.Logger, at: map[string]place{}, wake: make(chan struct{}, 1)}
	if b.log == nil {
		b.log = slog.New(slog.DiscardHandler)
	}
	raw, err := os.ReadFile(c.Path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("book: %w", err)
	}
	if st, e := os.Stat(c.Path); e == nil {
		b.written = st.ModTime()
	}
	if len(raw) > 0 {
		var whole int64
		if b.left, whole, err = read(raw); err != nil {
			b.aside = c.Path + ".unread"
			if err := os.Rename(c.Path, b.aside); err != nil {
				return nil, fmt.Errorf("book: moving aside what is no book: %w", err)
			}
		} else {
			b.damage = int64(len(raw)) - whole
		}
	}
	if err := b.begin(b.left); err != nil {
		return nil, fmt.Errorf("book: %w", err)
	}
	return b, nil
}

// begin writes the file anew with these records and takes the place of the one there is.
func (b *Book) begin(list []Record) error {
	raw, at := head(), map[string]place{}
	for _, r := range list {
		from := int64(len(raw))
		raw = appendPut(raw, r.Key, r.Value)
		at[r.Key] = place{from, int32(int64(len(raw)) - from)}
	}
	return b.replace(raw, at)
}

// replace puts a file that holds raw in the place of the one there is.
func (b *Book) replace(raw []byte, at map[string]place) error {
	next := b.path + ".next"
	f, err := os.OpenFile(next, os.O_CREATE|os.O_TRUNC|os.O_RDWR, 0o600)
	if err != nil {
		return err
	}
	_, err = f.WriteAt(raw, 0)
	if err == nil {
		err = f.Chmod(0o600) // also of one that a crash left with another mode
	}
	if err == nil {
		err = os.Rename(next, b.path)
	}
	if err != nil {
		return errors.Join(err, f.Close(), os.Remove(next))
	}
	if b.file != nil {
		_ = b.file.Close() // nothing in the old one counts any more
	}
	b.file, b.end, b.at, b.since = f, int64(len(raw)), at, time.Time{}
	b.counts = 0
	for _, p := range at {
		b.counts += int64(p.size)
	}
	return nil
}

// Left gives what the last run left, in the order in which it was put last, once.
func (b *Book) Left() []Record {
	list := b.left
	b.left = nil
	return list
}

// Damage is how many bytes at the end of the last run's book did not read: 0 unless the process died within a write, or the machine went down.
func (b *Book) Damage() int64 { return b.damage }

// Aside is where a file was moved that is no book of this version; "" when there was none.
func (b *Book) Aside() string { return b.aside }

// Written is when the last run wrote last; zero without one.
func (b *Book) Written() time.Time { return b.written }

// Put keeps value under key, in the place of what was there. It does not block and does not hold value. What is too large, and what comes while the disk has
// hung for long, is deleted instead: better none than an old one.
func (b *Book) Put(key string, value []byte) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed || key == "" || len(key) > MaxKey {
		return
	}
	if len(value) > MaxValue || len(b.pending) > maxPending {
		if !b.missed {
			b.missed = true
			b.log.Error("the book of calls does not take a record: a call will not outlive the process", "bytes", len(value), "waiting", len(b.pending))
		}
		b.drop(key)
		return
	}
	from := len(b.pending)
	b.pending = appendPut(b.pending, key, value)
	b.waiting = append(b.waiting, entry{key: key, size: int32(len(b.pending) - from)})
	b.rouse()
}

// Delete forgets a key. It does not block.
func (b *Book) Delete(key string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed || key == "" || len(key) > MaxKey {
		return
	}
	b.drop(key)
}

// drop queues a deletion; b.mu is held.
func (b *Book) drop(key string) {
	from := len(b.pending)
	b.pending = appendDelete(b.pending, key)
	b.waiting = append(b.waiting, entry{key: key, size: int32(len(b.pending) - from), gone: true})
	b.rouse()
}

func (b *Book) rouse() {
	select {
	case b.wake <- struct{}{}:
	default:
	}
}

// Run writes what is put until ctx ends.
func (b *Book) Run(ctx context.Context) error {
	tick := time.NewTicker(oldest / 4)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-b.wake:
		case <-tick.C:
		}
		pause := rest
		if !b.write() {
			pause = mend
			b.rouse()
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(pause):
		}
	}
}

// Close writes what waits and closes the file; Run has ended.
func (b *Book) Close() error {
	b.mu.Lock()
	was := b.closed
	b.closed = true
	b.mu.Unlock()
	if was {
		return nil
	}
	if !b.write() {
		return errors.Join(errors.New("book: the last records were not written"), b.file.Close())
	}
	return b.file.Close()
}

// write hands over what waits, and writes the file anew when too much of it no longer counts. False: it is to be tried again.
func (b *Book) write() bool {
	b.mu.Lock()
	raw, list := b.pending, b.waiting
	b.pending, b.waiting, b.fresh = b.fresh[:0], nil, nil
	b.mu.Unlock()
	if len(raw) > 0 {
		if _, err := b.file.WriteAt(raw, b.end); err != nil {
			b.putBack(raw, list, err)
			return false
		}
		b.take(raw, list)
	}
	b.mu.Lock()
	if cap(raw) <= 1<<20 {
		b.fresh = raw
	}
	b.missed = b.missed && len(b.pending) > maxPending
	b.mu.Unlock()
	if b.failed {
		b.failed = false
		b.log.Info("the book of calls can be written again")
	}
	b.tidy()
	return true
}

// putBack keeps frames that could not be written for the next try; what the failed write left behind the end is written over by it.
func (b *Book) putBack(raw []byte, list []entry, err error) {
	if !b.failed {
		b.failed = true
		b.log.Error("the book of calls cannot be written: calls will not outlive the process as they are now", "error", err)
	}
	if e := b.file.Truncate(b.end); e != nil {
		b.log.Debug("the torn end of the book could not be cut off", "error", e)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.pending, b.waiting = append(raw, b.pending...), append(list, b.waiting...)
}

// take notes where frames stand that were just written.
func (b *Book) take(raw []byte, list []entry) {
	for _, e := range list {
		if old, ok := b.at[e.key]; ok {
			b.counts -= int64(old.size)
			delete(b.at, e.key)
		}
		if !e.gone {
			b.at[e.key] = place{b.end, e.size}
			b.counts += int64(e.size)
		}
		b.end += int64(e.size)
	}
	if dead := b.dead(); dead > 0 && b.since.IsZero() {
		b.since = time.Now()
	}
}

// dead is how many bytes of the file no longer count.
func (b *Book) dead() int64 { return b.end - int64(len(magic)) - b.counts }

// tidy writes the file anew when more than half of it no longer counts, or when it has held for long what was to be forgotten: the numbers of people who spoke.
func (b *Book) tidy() {
	dead := b.dead()
	if dead <= b.counts+slack && (dead == 0 || time.Since(b.since) < oldest) {
		return
	}
	raw, at := head(), make(map[string]place, len(b.at))
	for _, k := range b.order() {
		p, from := b.at[k], int64(len(raw))
		raw = slices.Grow(raw, int(p.size))[:from+int64(p.size)]
		if _, err := b.file.ReadAt(raw[from:], p.from); err != nil {
			b.log.Error("the book of calls could not be read back: it stays as it is", "error", err)
			b.since = time.Now()
			return
		}
		at[k] = place{from, p.size}
	}
	if err := b.replace(raw, at); err != nil {
		b.log.Error("the book of calls could not be written anew: it stays as it is", "error", err, "file", filepath.Base(b.path))
		b.since = time.Now()
	}
}

// order gives the keys that count, in the order in which they were put last.
func (b *Book) order() []string {
	keys := make([]string, 0, len(b.at))
	for k := range b.at {
		keys = append(keys, k)
	}
	slices.SortFunc(keys, func(x, y string) int { return int(b.at[x].from - b.at[y].from) })
	return keys
}
