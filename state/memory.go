package state

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"
)

// Memory gives a store that lives in this process alone.
func Memory() KV {
	return &memory{items: map[string]Item{}, watchers: map[*watcher]struct{}{}, done: make(chan struct{})}
}

type memory struct {
	mu       sync.Mutex // guards all below; never held while somebody waits
	items    map[string]Item
	rev      uint64
	watchers map[*watcher]struct{}
	closed   bool

	done chan struct{} // closed by Close
	wg   sync.WaitGroup
}

func (m *memory) Get(ctx context.Context, key string) (Item, error) {
	if err := checkKey(key); err != nil {
		return Item{}, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.usable(ctx); err != nil {
		return Item{}, err
	}
	item, ok := m.items[key]
	if !ok {
		return Item{Key: key}, ErrNotFound
	}
	item.Data = slices.Clone(item.Data)
	return item, nil
}

func (m *memory) Swap(ctx context.Context, key string, rev uint64, data []byte) (uint64, error) {
	if err := checkKey(key); err != nil {
		return 0, err
	}
	if err := checkValue(data); err != nil {
		return 0, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.usable(ctx); err != nil {
		return 0, err
	}
	if m.items[key].Rev != rev {
		return 0, ErrConflict
	}
	m.rev++
	item := Item{Key: key, Data: append([]byte{}, data...), Rev: m.rev}
	m.items[key] = item
	m.tell(item)
	return m.rev, nil
}

func (m *memory) Delete(ctx context.Context, key string, rev uint64) error {
	if err := checkKey(key); err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.usable(ctx); err != nil {
		return err
	}
	if rev == 0 || m.items[key].Rev != rev {
		return ErrConflict
	}
	m.rev++
	delete(m.items, key)
	m.tell(Item{Key: key, Rev: m.rev})
	return nil
}

func (m *memory) List(ctx context.Context, prefix string) ([]Item, error) {
	if err := checkPrefix(prefix); err != nil {
		return nil, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.usable(ctx); err != nil {
		return nil, err
	}
	return m.below(prefix), nil
}

func (m *memory) Watch(ctx context.Context, prefix string) (<-chan Item, error) {
	if err := checkPrefix(prefix); err != nil {
		return nil, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.usable(ctx); err != nil {
		return nil, err
	}
	w := &watcher{prefix: prefix, pending: map[string]Item{}, more: make(chan struct{}, 1)}
	for _, item := range m.below(prefix) {
		w.add(item)
	}
	w.add(Item{}) // the mark
	m.watchers[w] = struct{}{}
	out := make(chan Item)
	m.wg.Go(func() { m.pump(ctx, w, out) })
	return out, nil
}

func (m *memory) Lease(ctx context.Context, key, holder string, ttl time.Duration) (bool, error) {
	return takeLease(ctx, m, key, holder, ttl)
}

// Close ends every watch and waits until it ended.
func (m *memory) Close() error {
	m.mu.Lock()
	if !m.closed {
		m.closed = true
		close(m.done)
	}
	m.mu.Unlock()
	m.wg.Wait()
	return nil
}

// usable is asked under the lock.
func (m *memory) usable(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("state: %w", err)
	}
	if m.closed {
		return ErrClosed
	}
	return nil
}

// below is asked under the lock.
func (m *memory) below(prefix string) []Item {
	items := []Item{}
	for key, item := range m.items {
		if strings.HasPrefix(key, prefix) {
			item.Data = slices.Clone(item.Data)
			items = append(items, item)
		}
	}
	slices.SortFunc(items, func(a, b Item) int { return strings.Compare(a.Key, b.Key) })
	return items
}

// tell is called under the lock, so that watchers see changes in the order of their revisions.
func (m *memory) tell(item Item) {
	for w := range m.watchers {
		if strings.HasPrefix(item.Key, w.prefix) {
			item.Data = slices.Clone(item.Data)
			w.add(item)
		}
	}
}

// pump hands one watcher's items to its reader and ends with ctx or the store.
func (m *memory) pump(ctx context.Context, w *watcher, out chan<- Item) {
	defer func() {
		m.mu.Lock()
		delete(m.watchers, w)
		m.mu.Unlock()
		close(out)
	}()
	for {
		m.mu.Lock()
		item, ok := w.next()
		m.mu.Unlock()
		if !ok {
			select {
			case <-w.more:
				continue
			case <-ctx.Done():
				return
			case <-m.done:
				return
			}
		}
		select {
		case out <- item:
		case <-ctx.Done():
			return
		case <-m.done:
			return
		}
	}
}

// watcher queues what its reader has not taken yet. Of several waiting changes of one key only the newest stays, so a slow reader costs
// at most one item per key.
type watcher struct {
	prefix  string
	order   []string
	pending map[string]Item
	more    chan struct{}
}

func (w *watcher) add(item Item) {
	if _, waiting := w.pending[item.Key]; !waiting {
		w.order = append(w.order, item.Key)
	}
	w.pending[item.Key] = item
	select {
	case w.more <- struct{}{}:
	default:
	}
}

func (w *watcher) next() (Item, bool) {
	if len(w.order) == 0 {
		return Item{}, false
	}
	key := w.order[0]
	w.order = w.order[1:]
	item := w.pending[key]
	delete(w.pending, key)
	return item, true
}
