package audit

import (
	"context"
	"slices"
	"sync"
	"time"
)

// Intents is the group-commit write-ahead file of calls that were admitted but have no receipt yet.
type Intents interface {
	// Begin is durable when it returns nil. It may block for some milliseconds.
	Begin(ctx context.Context, callRef string, at time.Time) error
	// BeginAsync is Begin without somebody who waits: done is called once, before BeginAsync returns or from a goroutine of the file, which it
	// must not hold up. Whoever gives up before calls End.
	BeginAsync(callRef string, at time.Time, done func(error))
	End(callRef string)
	// Open gives the calls that began and did not end, of this and the last run.
	Open() []string
	Close() error
}

// live is the set of calls that are open, in the order in which they began.
type live struct {
	next int
	at   map[string]intent
}

type intent struct {
	order int
	begun time.Time
}

func newLive() live { return live{at: map[string]intent{}} }

func (l *live) begin(ref string, at time.Time) {
	if _, ok := l.at[ref]; !ok {
		l.at[ref] = intent{l.next, at}
		l.next++
	}
}

func (l *live) refs() []string {
	type open struct {
		order int
		ref   string
	}
	all := make([]open, 0, len(l.at))
	for ref, in := range l.at {
		all = append(all, open{in.order, ref})
	}
	slices.SortFunc(all, func(a, b open) int { return a.order - b.order })
	out := make([]string, len(all))
	for i, o := range all {
		out[i] = o.ref
	}
	return out
}

// MemoryIntents has no disk.
func MemoryIntents() Intents { return &memoryIntents{live: newLive()} }

type memoryIntents struct {
	mu   sync.Mutex
	live live
}

func (m *memoryIntents) Begin(_ context.Context, callRef string, at time.Time) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.live.begin(callRef, at)
	return nil
}

func (m *memoryIntents) BeginAsync(callRef string, at time.Time, done func(error)) {
	done(m.Begin(context.Background(), callRef, at))
}

func (m *memoryIntents) End(callRef string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.live.at, callRef)
}

func (m *memoryIntents) Open() []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.live.refs()
}

func (m *memoryIntents) Close() error { return nil }
