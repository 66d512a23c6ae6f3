package desk

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cordonsip/cordon/audit"
)

// Store keeps one value over restarts.
type Store interface {
	Load(ctx context.Context) ([]byte, error) // nil: nothing is stored
	Save(ctx context.Context, data []byte) error
}

// Config of a Desk. Store may be nil: then every start reads the whole log.
type Config struct {
	Log    audit.Log
	Store  Store
	Logger *slog.Logger
}

// Desk takes decisions, one after the other.
type Desk struct {
	c    Config
	mu   sync.Mutex // one change at a time: entry, book, store
	book atomic.Pointer[Book]
}

// New makes a desk on which nothing is decided; Restore brings back what was.
func New(c Config) (*Desk, error) {
	if c.Log == nil {
		return nil, errors.New("desk: a log is required")
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	d := &Desk{c: c}
	d.book.Store(&Book{})
	return d, nil
}

// Book is the newest view; never nil.
func (d *Desk) Book() *Book { return d.book.Load() }

// batch of entries that are read at once.
const batch = 512

// Restore brings back what the log says. The store is believed as far as the log goes with it: its newest entry must be one of ours.
func (d *Desk) Restore(ctx context.Context) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	book := d.stored(ctx)
	for size := d.c.Log.Size(); book.Next < size; {
		list, err := d.c.Log.Entries(ctx, book.Next, batch)
		if err != nil {
			return fmt.Errorf("desk: reading the log: %w", err)
		}
		if len(list) == 0 {
			break
		}
		for _, e := range list {
			ev, err := decode(e)
			if err != nil {
				return fmt.Errorf("desk: entry %d: %w", e.Seq, err)
			}
			if ev != nil {
				book = book.with(e.Seq, e.Time, ev)
			}
		}
		next := *book
		next.Next = list[len(list)-1].Seq + 1
		book = &next
	}
	d.book.Store(book)
	d.save(ctx, book)
	return nil
}

// decode gives the events of ours, and nil for others.
func decode(e audit.Entry) (audit.Event, error) {
	switch e.Kind {
	case audit.KindServiceChanged, audit.KindRouteSwitched, audit.KindRouteMigrated, audit.KindSevered:
		return audit.Decode(e)
	}
	return nil, nil
}

// stored gives the stored book, or an empty one if it does not fit the log.
func (d *Desk) stored(ctx context.Context) *Book {
	empty := &Book{}
	if d.c.Store == nil {
		return empty
	}
	data, err := d.c.Store.Load(ctx)
	if err != nil || data == nil {
		if err != nil {
			d.c.Logger.Warn("the stored decisions cannot be read; the log is read from its beginning", "error", err)
		}
		return empty
	}
	b := &Book{}
	if err := json.Unmarshal(data, b); err != nil || !d.fits(ctx, b) {
		d.c.Logger.Warn("the stored decisions do not fit the log, which wins", "error", err)
		return empty
	}
	return b
}

// fits says whether each decision of a stored book stands in the log as it stands there.
func (d *Desk) fits(ctx context.Context, b *Book) bool {
	if b.Next > d.c.Log.Size() {
		return false
	}
	again := &Book{}
	for _, seq := range b.entries() {
		list, err := d.c.Log.Entries(ctx, seq, 1)
		if err != nil || len(list) != 1 || seq >= b.Next {
			return false
		}
		ev, err := decode(list[0])
		if err != nil || ev == nil {
			return false
		}
		again = again.with(seq, list[0].Time, ev)
	}
	again.Next = b.Next
	x, errX := json.Marshal(b.normal())
	y, errY := json.Marshal(again.normal())
	return errX == nil && errY == nil && string(x) == string(y)
}

// entries are the log's numbers of all that is in force.
func (b *Book) entries() []uint64 {
	var out []uint64
	for _, s := range b.Services {
		out = append(out, s.Entry)
	}
	for _, p := range b.Pins {
		out = append(out, p.Entry)
	}
	for _, m := range b.Migrations {
		out = append(out, m.Entry)
	}
	for _, c := range b.Severed {
		out = append(out, c.Entry)
	}
	slices.Sort(out)
	return out
}

// normal has no nil map, so that equal books look equal.
func (b *Book) normal() *Book {
	n := &Book{Services: map[string]Service{}, Pins: map[string]Pin{}, Migrations: map[string]Migration{}, Severed: map[string]Cut{}, Next: b.Next}
	maps.Copy(n.Services, b.Services)
	maps.Copy(n.Pins, b.Pins)
	maps.Copy(n.Migrations, b.Migrations)
	maps.Copy(n.Severed, b.Severed)
	return n
}

// Decide writes an entry of ours, waits until a signed checkpoint covers it, and only then puts it in force.
func (d *Desk) Decide(ctx context.Context, ev audit.Event) (uint64, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.decide(ctx, ev)
}

func (d *Desk) decide(ctx context.Context, ev audit.Event) (uint64, error) {
	seq, err := d.c.Log.Commit(ctx, ev)
	if err != nil {
		return 0, err
	}
	at := time.Now()
	if list, err := d.c.Log.Entries(ctx, seq, 1); err == nil && len(list) == 1 {
		at = list[0].Time // as a restart will read it
	}
	book := d.book.Load().with(seq, at, ev)
	d.book.Store(book)
	d.save(ctx, book)
	return seq, nil
}

// save is a shortcut for the next start: without it the log is read instead.
func (d *Desk) save(ctx context.Context, b *Book) {
	if d.c.Store == nil {
		return
	}
	data, err := json.Marshal(b.normal())
	if err == nil {
		err = d.c.Store.Save(ctx, data)
	}
	if err != nil {
		d.c.Logger.Warn("the decisions could not be stored; the log has them", "error", err)
	}
}

// markEvery is how many entries of others may follow the stored book before it is stored again, so that a start reads little.
const markEvery = 1 << 16

// mark stores how far the log was read. The desk is the only writer of its kinds, so nothing of ours stands before the end of the log while the lock is held.
func (d *Desk) mark(ctx context.Context) {
	if d.c.Store == nil || d.c.Log.Size()-d.book.Load().Next < markEvery {
		return
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	next := *d.book.Load()
	next.Next = d.c.Log.Size()
	d.book.Store(&next)
	d.save(ctx, &next)
}

// Expire writes down what ended by its clock. It took effect by itself.
func (d *Desk) Expire(ctx context.Context, now time.Time) error {
	d.mark(ctx)
	over := false
	for _, s := range d.book.Load().Services {
		over = over || !s.Until.IsZero() && !now.Before(s.Until)
	}
	if !over {
		return nil
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, s := range d.book.Load().Services {
		if s.Until.IsZero() || now.Before(s.Until) {
			continue
		}
		ev := audit.ServiceChanged{What: s.Kind, Name: s.Name, From: string(s.State), To: string(InService), Reason: "its time is over", By: "clock"}
		if _, err := d.decide(ctx, ev); err != nil {
			return err
		}
	}
	return nil
}

func percent(share float64) string { return strconv.FormatFloat(100*share, 'f', -1, 64) + " %" }
