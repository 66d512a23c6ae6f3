package state

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

const (
	bucket    = "cordon"
	opTimeout = 5 * time.Second // of one call whose context has no earlier end
	upTimeout = 20 * time.Second
	maxStore  = 256 << 20 // bytes on disk
	maxMemory = 16 << 20
)

// Config of the embedded engine.
type Config struct {
	Dir  string // folder of the store; made with mode 0700
	Node string // server name
}

// Open starts the embedded engine, alone and without a listening port, every write synced before it is acknowledged.
// One process at a time may have a folder open.
func Open(ctx context.Context, c Config) (KV, error) {
	if c.Dir == "" || c.Node == "" {
		return nil, errors.New("state: the engine needs a folder and a node name")
	}
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("state: %w", err)
	}
	unlock, err := prepareDir(c.Dir)
	if err != nil {
		return nil, err
	}
	srv, err := startServer(ctx, c)
	if err != nil {
		unlock()
		return nil, err
	}
	e := &engine{srv: srv, unlock: unlock, done: make(chan struct{})}
	if err := e.connect(ctx); err != nil {
		e.shutdown()
		return nil, err
	}
	return e, nil
}

// prepareDir makes the folder for its owner alone and takes its lock.
func prepareDir(dir string) (unlock func(), err error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("state: making the folder: %w", err)
	}
	// MkdirAll leaves the mode of a folder that was there already.
	if err := os.Chmod(dir, 0o700); err != nil {
		return nil, fmt.Errorf("state: closing the folder to others: %w", err)
	}
	f, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("state: opening the folder's lock: %w", err)
	}
	if err := lockFile(f); err != nil {
		f.Close()
		return nil, fmt.Errorf("state: %s is in use by another process: %w", dir, err)
	}
	return func() { f.Close() }, nil // closing gives the lock back
}

func startServer(ctx context.Context, c Config) (*server.Server, error) {
	opts := &server.Options{
		ServerName: c.Node,
		DontListen: true,
		JetStream:  true,
		StoreDir:   c.Dir,
		// JetStream acknowledges before fsync unless told otherwise; an approval that was acknowledged must survive a power cut.
		SyncAlways:             true,
		JetStreamMaxStore:      maxStore,
		JetStreamMaxMemory:     maxMemory,
		MaxPayload:             MaxValue + 64<<10, // the headers count too
		NoSigs:                 true,
		NoLog:                  true,
		DisableJetStreamBanner: true,
	}
	srv, err := server.NewServer(opts)
	if err != nil {
		return nil, fmt.Errorf("state: making the engine: %w", err)
	}
	srv.Start()
	end := time.Now().Add(upTimeout)
	for !srv.ReadyForConnections(50 * time.Millisecond) {
		if ctx.Err() != nil || time.Now().After(end) || !srv.Running() {
			srv.Shutdown()
			srv.WaitForShutdown()
			return nil, errors.Join(fmt.Errorf("state: the engine on %s did not come up", c.Dir), ctx.Err())
		}
	}
	return srv, nil
}

// engine is a KV on one JetStream bucket.
type engine struct {
	srv    *server.Server
	unlock func()
	nc     *nats.Conn
	kv     jetstream.KeyValue

	mu     sync.Mutex // guards closed against a Watch that is about to start
	closed bool
	done   chan struct{}
	wg     sync.WaitGroup
}

func (e *engine) connect(ctx context.Context) error {
	nc, err := nats.Connect("", nats.InProcessServer(e.srv), nats.MaxReconnects(-1), nats.Name("state"),
		// The default handler prints to standard error; every call of ours returns its own error instead.
		nats.ErrorHandler(func(*nats.Conn, *nats.Subscription, error) {}))
	if err != nil {
		return fmt.Errorf("state: connecting to the engine: %w", err)
	}
	e.nc = nc
	js, err := jetstream.New(nc)
	if err != nil {
		return fmt.Errorf("state: connecting to the engine: %w", err)
	}
	ctx, cancel := context.WithTimeout(ctx, upTimeout)
	defer cancel()
	e.kv, err = js.CreateOrUpdateKeyValue(ctx, jetstream.KeyValueConfig{
		Bucket:       bucket,
		Description:  "approvals, grants, quotas, cursors: a cache of the audit log",
		History:      1,
		MaxValueSize: -1, // a limit here would count the headers too; checkValue holds ours
		Storage:      jetstream.FileStorage,
		Replicas:     1,
	})
	if err != nil {
		return fmt.Errorf("state: opening the bucket: %w", err)
	}
	return nil
}

// within bounds a call: a request that the engine dropped must not wait for ever.
func (e *engine) within(ctx context.Context) (context.Context, context.CancelFunc, error) {
	select {
	case <-e.done:
		return nil, nil, ErrClosed
	default:
	}
	if err := ctx.Err(); err != nil {
		return nil, nil, fmt.Errorf("state: %w", err)
	}
	ctx, cancel := context.WithTimeout(ctx, opTimeout)
	return ctx, cancel, nil
}

func (e *engine) Get(ctx context.Context, key string) (Item, error) {
	if err := checkKey(key); err != nil {
		return Item{}, err
	}
	ctx, cancel, err := e.within(ctx)
	if err != nil {
		return Item{}, err
	}
	defer cancel()
	entry, err := e.kv.Get(ctx, key)
	if errors.Is(err, jetstream.ErrKeyNotFound) {
		return Item{Key: key}, ErrNotFound
	}
	if err != nil {
		return Item{}, e.failed("reading", key, err)
	}
	return itemOf(entry), nil
}

func (e *engine) Swap(ctx context.Context, key string, rev uint64, data []byte) (uint64, error) {
	if err := checkKey(key); err != nil {
		return 0, err
	}
	if err := checkValue(data); err != nil {
		return 0, err
	}
	ctx, cancel, err := e.within(ctx)
	if err != nil {
		return 0, err
	}
	defer cancel()
	var now uint64
	if rev == 0 {
		now, err = e.kv.Create(ctx, key, data)
	} else if _, err = e.kv.Get(ctx, key); errors.Is(err, jetstream.ErrKeyNotFound) {
		return 0, ErrConflict // rev may be that of a deletion, which the engine would take for a key
	} else if err == nil {
		now, err = e.kv.Update(ctx, key, data, rev)
	}
	if err != nil {
		return 0, e.failed("writing", key, err)
	}
	return now, nil
}

func (e *engine) Delete(ctx context.Context, key string, rev uint64) error {
	if err := checkKey(key); err != nil {
		return err
	}
	ctx, cancel, err := e.within(ctx)
	if err != nil {
		return err
	}
	defer cancel()
	// A deletion leaves a marker with a revision of its own, and a marker could be deleted again: it must not look like a key.
	entry, err := e.kv.Get(ctx, key)
	if errors.Is(err, jetstream.ErrKeyNotFound) || err == nil && entry.Revision() != rev {
		return ErrConflict
	}
	if err != nil {
		return e.failed("deleting", key, err)
	}
	if err := e.kv.Delete(ctx, key, jetstream.LastRevision(rev)); err != nil {
		return e.failed("deleting", key, err)
	}
	return nil
}

func (e *engine) List(ctx context.Context, prefix string) ([]Item, error) {
	if err := checkPrefix(prefix); err != nil {
		return nil, err
	}
	ctx, cancel, err := e.within(ctx)
	if err != nil {
		return nil, err
	}
	defer cancel()
	changes, err := e.Watch(ctx, prefix)
	if err != nil {
		return nil, err
	}
	items := []Item{}
	for {
		select {
		case item, ok := <-changes:
			if !ok {
				return nil, fmt.Errorf("state: listing %q: %w", prefix, errors.Join(ctx.Err(), e.ended()))
			}
			if item.Key == "" {
				slices.SortFunc(items, func(a, b Item) int { return strings.Compare(a.Key, b.Key) })
				return items, nil
			}
			if item.Data != nil {
				items = append(items, item)
			}
		case <-ctx.Done():
			return nil, fmt.Errorf("state: listing %q: %w", prefix, ctx.Err())
		}
	}
}

func (e *engine) Watch(ctx context.Context, prefix string) (<-chan Item, error) {
	if err := checkPrefix(prefix); err != nil {
		return nil, err
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.closed {
		return nil, ErrClosed
	}
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("state: %w", err)
	}
	// The engine selects whole words: ask for the words that are complete and filter the rest here.
	pattern := prefix[:strings.LastIndexByte(prefix, '.')+1] + ">"
	w, err := e.kv.Watch(ctx, pattern)
	if err != nil {
		return nil, e.failed("watching", prefix, err)
	}
	out := make(chan Item)
	e.wg.Go(func() { e.pump(ctx, w, prefix, out) })
	return out, nil
}

// pump hands the engine's entries to one reader and ends with ctx or the store.
func (e *engine) pump(ctx context.Context, w jetstream.KeyWatcher, prefix string, out chan<- Item) {
	defer close(out)
	defer stopWatcher(w)
	marked := false
	for {
		var item Item
		select {
		case entry, ok := <-w.Updates():
			switch {
			case !ok:
				return
			case entry == nil:
				marked = true
			default:
				item = itemOf(entry)
				if !strings.HasPrefix(item.Key, prefix) || item.Data == nil && !marked {
					continue // what was deleted before the watch began is no change
				}
			}
		case <-ctx.Done():
			return
		case <-e.done:
			return
		}
		select {
		case out <- item:
		case <-ctx.Done():
			return
		case <-e.done:
			return
		}
	}
}

// stopWatcher ends the subscription and takes what is still on its way: the client blocks on a full channel under its own lock.
func stopWatcher(w jetstream.KeyWatcher) {
	_ = w.Stop() // it fails only when the subscription has ended already
	late := time.NewTimer(opTimeout)
	defer late.Stop()
	for {
		select {
		case _, ok := <-w.Updates():
			if !ok {
				return
			}
		case <-late.C:
			return
		}
	}
}

func (e *engine) Lease(ctx context.Context, key, holder string, ttl time.Duration) (bool, error) {
	return takeLease(ctx, e, key, holder, ttl)
}

// Close ends every watch, stops the engine and waits until both ended.
func (e *engine) Close() error {
	e.mu.Lock()
	if e.closed {
		e.mu.Unlock()
		return nil
	}
	e.closed = true
	close(e.done)
	e.mu.Unlock()
	e.wg.Wait()
	e.shutdown()
	return nil
}

func (e *engine) shutdown() {
	if e.nc != nil {
		e.nc.Close()
	}
	e.srv.Shutdown()
	e.srv.WaitForShutdown()
	e.unlock()
}

func (e *engine) ended() error {
	select {
	case <-e.done:
		return ErrClosed
	default:
		return nil
	}
}

// failed turns the engine's errors into ours.
func (e *engine) failed(doing, key string, err error) error {
	if errors.Is(err, jetstream.ErrKeyExists) || errors.Is(err, jetstream.ErrKeyRevisionMismatch) {
		return ErrConflict
	}
	if closed := e.ended(); closed != nil {
		return closed
	}
	return fmt.Errorf("state: %s %q: %w", doing, key, err)
}

func itemOf(entry jetstream.KeyValueEntry) Item {
	item := Item{Key: entry.Key(), Rev: entry.Revision()}
	if entry.Operation() == jetstream.KeyValuePut {
		item.Data = append([]byte{}, entry.Value()...)
	}
	return item
}
