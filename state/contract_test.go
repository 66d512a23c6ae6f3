package state

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// contract is what every engine must do; each case gets a fresh store.
var contract = []struct {
	name string
	test func(t *testing.T, kv KV)
}{
	{"get, swap, delete", testSwap},
	{"revisions only grow", testRevisions},
	{"keys and values are checked", testKeys},
	{"the caller's bytes stay the caller's", testAliasing},
	{"list", testList},
	{"watch", testWatch},
	{"watch ends", testWatchEnds},
	{"a slow reader does not hold others", testSlowWatch},
	{"lease", testLease},
	{"close", testClose},
	{"contexts", testContexts},
	{"of many swaps one wins", testOneWins},
	{"a counter loses nothing", testCounter},
	{"of many leases one wins", testOneLease},
}

func TestMemory(t *testing.T) {
	for _, c := range contract {
		t.Run(c.name, func(t *testing.T) {
			kv := Memory()
			defer kv.Close()
			c.test(t, kv)
		})
	}
}

func TestEngine(t *testing.T) {
	for _, c := range contract {
		t.Run(c.name, func(t *testing.T) {
			kv := open(t, filepath.Join(t.TempDir(), "state"))
			defer kv.Close()
			c.test(t, kv)
		})
	}
}

func open(t *testing.T, dir string) KV {
	t.Helper()
	kv, err := Open(t.Context(), Config{Dir: dir, Node: "edge-1"})
	if err != nil {
		t.Fatal(err)
	}
	return kv
}

func mustSwap(t *testing.T, kv KV, key string, rev uint64, data string) uint64 {
	t.Helper()
	now, err := kv.Swap(t.Context(), key, rev, []byte(data))
	if err != nil {
		t.Fatalf("Swap(%s, %d): %v", key, rev, err)
	}
	return now
}

func wantErr(t *testing.T, what string, err, want error) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Errorf("%s: got error %v, want %v", what, err, want)
	}
}

func testSwap(t *testing.T, kv KV) {
	ctx := t.Context()
	item, err := kv.Get(ctx, "a.b")
	wantErr(t, "Get of nothing", err, ErrNotFound)
	if item.Rev != 0 || item.Data != nil {
		t.Errorf("Get of nothing gave %+v", item)
	}
	_, err = kv.Swap(ctx, "a.b", 7, []byte("x"))
	wantErr(t, "Swap of nothing at 7", err, ErrConflict)
	wantErr(t, "Delete of nothing", kv.Delete(ctx, "a.b", 1), ErrConflict)
	wantErr(t, "Delete of nothing at 0", kv.Delete(ctx, "a.b", 0), ErrConflict)

	r1 := mustSwap(t, kv, "a.b", 0, "one")
	_, err = kv.Swap(ctx, "a.b", 0, []byte("again"))
	wantErr(t, "second creation", err, ErrConflict)
	r2 := mustSwap(t, kv, "a.b", r1, "two")
	_, err = kv.Swap(ctx, "a.b", r1, []byte("old"))
	wantErr(t, "Swap at an old revision", err, ErrConflict)
	wantErr(t, "Delete at an old revision", kv.Delete(ctx, "a.b", r1), ErrConflict)

	item, err = kv.Get(ctx, "a.b")
	if err != nil || item.Key != "a.b" || string(item.Data) != "two" || item.Rev != r2 {
		t.Fatalf("Get gave %+v, %v", item, err)
	}
	if err := kv.Delete(ctx, "a.b", r2); err != nil {
		t.Fatal(err)
	}
	_, err = kv.Get(ctx, "a.b")
	wantErr(t, "Get of the deleted", err, ErrNotFound)
	wantErr(t, "second deletion", kv.Delete(ctx, "a.b", r2), ErrConflict)
	_, err = kv.Swap(ctx, "a.b", r2, []byte("x"))
	wantErr(t, "Swap at the deleted revision", err, ErrConflict)
	mustSwap(t, kv, "a.b", 0, "reborn")
}

func testRevisions(t *testing.T, kv KV) {
	var last uint64
	for i := range 5 {
		a := mustSwap(t, kv, fmt.Sprintf("k%d", i), 0, "")
		b := mustSwap(t, kv, fmt.Sprintf("k%d", i), a, "")
		if a <= last || b <= a {
			t.Fatalf("revisions %d, %d after %d", a, b, last)
		}
		last = b
	}
	item, err := kv.Get(t.Context(), "k0")
	if err != nil || item.Data == nil || len(item.Data) != 0 {
		t.Errorf("an empty value came back as %v, %v", item.Data, err)
	}
}

func testKeys(t *testing.T, kv KV) {
	ctx := t.Context()
	for _, key := range []string{"", ".", "a.", ".a", "a..b", "a b", "a.*", ">", "a/b", "ä", strings.Repeat("a", 256)} {
		if _, err := kv.Get(ctx, key); err == nil || errors.Is(err, ErrNotFound) {
			t.Errorf("Get(%q) gave %v", key, err)
		}
		if _, err := kv.Swap(ctx, key, 0, nil); err == nil {
			t.Errorf("Swap(%q) was taken", key)
		}
		if err := kv.Delete(ctx, key, 1); err == nil || errors.Is(err, ErrConflict) {
			t.Errorf("Delete(%q) gave %v", key, err)
		}
		if _, err := kv.Lease(ctx, key, "n", time.Second); err == nil {
			t.Errorf("Lease(%q) was taken", key)
		}
	}
	for _, prefix := range []string{".", "a..", "*", "a.>"} {
		if _, err := kv.List(ctx, prefix); err == nil {
			t.Errorf("List(%q) was taken", prefix)
		}
		if _, err := kv.Watch(ctx, prefix); err == nil {
			t.Errorf("Watch(%q) was taken", prefix)
		}
	}
	mustSwap(t, kv, "A-b_9.01JABC.x", 0, strings.Repeat("v", MaxValue))
	item, err := kv.Get(ctx, "A-b_9.01JABC.x")
	if err != nil || len(item.Data) != MaxValue {
		t.Errorf("the largest value came back with %d bytes, %v", len(item.Data), err)
	}
	if _, err := kv.Swap(ctx, "big", 0, make([]byte, MaxValue+1)); err == nil {
		t.Error("a value over the limit was taken")
	}
}

func testAliasing(t *testing.T, kv KV) {
	data := []byte("mine")
	if _, err := kv.Swap(t.Context(), "k", 0, data); err != nil {
		t.Fatal(err)
	}
	data[0] = 'X'
	for range 2 {
		item, err := kv.Get(t.Context(), "k")
		if err != nil || string(item.Data) != "mine" {
			t.Fatalf("Get gave %q, %v", item.Data, err)
		}
		item.Data[0] = 'Y'
	}
	items, err := kv.List(t.Context(), "")
	if err != nil || len(items) != 1 || string(items[0].Data) != "mine" {
		t.Fatalf("List gave %v, %v", items, err)
	}
}

func testList(t *testing.T, kv KV) {
	ctx := t.Context()
	if items, err := kv.List(ctx, ""); err != nil || len(items) != 0 {
		t.Fatalf("an empty store lists %v, %v", items, err)
	}
	for _, key := range []string{"ticket.b", "ticket.a", "ticket.a.x", "tickets.c", "quota.a", "ticket", "ticket.gone"} {
		mustSwap(t, kv, key, 0, key)
	}
	gone, _ := kv.Get(ctx, "ticket.gone")
	if err := kv.Delete(ctx, "ticket.gone", gone.Rev); err != nil {
		t.Fatal(err)
	}
	for prefix, want := range map[string]string{
		"ticket.":   "ticket.a ticket.a.x ticket.b",
		"ticket.a":  "ticket.a ticket.a.x",
		"ticket":    "ticket ticket.a ticket.a.x ticket.b tickets.c",
		"":          "quota.a ticket ticket.a ticket.a.x ticket.b tickets.c",
		"nothing.":  "",
		"ticket.a.": "ticket.a.x",
	} {
		items, err := kv.List(ctx, prefix)
		if err != nil {
			t.Fatal(err)
		}
		var keys []string
		for _, item := range items {
			keys = append(keys, item.Key)
			if string(item.Data) != item.Key || item.Rev == 0 {
				t.Errorf("List(%q) has %+v", prefix, item)
			}
		}
		if got := strings.Join(keys, " "); got != want {
			t.Errorf("List(%q) = %q, want %q", prefix, got, want)
		}
	}
}

// next takes one item or fails.
func next(t *testing.T, changes <-chan Item) Item {
	t.Helper()
	select {
	case item, ok := <-changes:
		if !ok {
			t.Fatal("the watch ended")
		}
		return item
	case <-time.After(5 * time.Second):
		t.Fatal("no change came")
	}
	return Item{}
}

func testWatch(t *testing.T, kv KV) {
	ctx := t.Context()
	a := mustSwap(t, kv, "t.a", 0, "1")
	mustSwap(t, kv, "other", 0, "x")
	mustSwap(t, kv, "t.b", 0, "2")
	gone := mustSwap(t, kv, "t.gone", 0, "3")
	if err := kv.Delete(ctx, "t.gone", gone); err != nil {
		t.Fatal(err)
	}
	changes, err := kv.Watch(ctx, "t.")
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]string{}
	for item := next(t, changes); item.Key != ""; item = next(t, changes) {
		got[item.Key] = string(item.Data)
	}
	if fmt.Sprint(got) != "map[t.a:1 t.b:2]" {
		t.Fatalf("present items: %v", got)
	}
	mustSwap(t, kv, "other2", 0, "x")
	r := mustSwap(t, kv, "t.a", a, "new")
	if item := next(t, changes); item.Key != "t.a" || string(item.Data) != "new" || item.Rev != r {
		t.Fatalf("a change came as %+v", item)
	}
	if err := kv.Delete(ctx, "t.a", r); err != nil {
		t.Fatal(err)
	}
	if item := next(t, changes); item.Key != "t.a" || item.Data != nil || item.Rev <= r {
		t.Fatalf("a deletion came as %+v", item)
	}
	r = mustSwap(t, kv, "t.a", 0, "")
	if item := next(t, changes); item.Key != "t.a" || item.Data == nil || item.Rev != r {
		t.Fatalf("an empty value came as %+v", item)
	}
	word, err := kv.Watch(ctx, "t.b")
	if err != nil {
		t.Fatal(err)
	}
	if item := next(t, word); item.Key != "t.b" {
		t.Fatalf("a prefix inside a word gave %+v", item)
	}
	if item := next(t, word); item.Key != "" || item.Data != nil {
		t.Fatalf("the mark came as %+v", item)
	}
}

// drained waits until the channel is closed.
func drained(t *testing.T, changes <-chan Item) {
	t.Helper()
	late := time.After(5 * time.Second)
	for {
		select {
		case _, ok := <-changes:
			if !ok {
				return
			}
		case <-late:
			t.Fatal("the watch did not end")
		}
	}
}

func testWatchEnds(t *testing.T, kv KV) {
	for i := range 300 { // more than any buffer on the way
		mustSwap(t, kv, fmt.Sprintf("k.%d", i), 0, "x")
	}
	ctx, cancel := context.WithCancel(t.Context())
	unread, err := kv.Watch(ctx, "")
	if err != nil {
		t.Fatal(err)
	}
	cancel()
	drained(t, unread)
	open, err := kv.Watch(t.Context(), "")
	if err != nil {
		t.Fatal(err)
	}
	if err := kv.Close(); err != nil {
		t.Fatal(err)
	}
	drained(t, open)
}

func testSlowWatch(t *testing.T, kv KV) {
	slow, err := kv.Watch(t.Context(), "")
	if err != nil {
		t.Fatal(err)
	}
	quick, err := kv.Watch(t.Context(), "")
	if err != nil {
		t.Fatal(err)
	}
	if item := next(t, quick); item.Key != "" {
		t.Fatalf("the mark came as %+v", item)
	}
	var rev uint64
	for range 50 {
		rev = mustSwap(t, kv, "k", rev, "x")
	}
	for next(t, quick).Rev != rev {
	}
	for next(t, slow).Rev != rev {
	}
}

func testLease(t *testing.T, kv KV) {
	ctx := t.Context()
	take := func(holder string, ttl time.Duration, want bool) {
		t.Helper()
		got, err := kv.Lease(ctx, "lease.x", holder, ttl)
		if err != nil || got != want {
			t.Fatalf("Lease(%s, %v) = %v, %v; want %v", holder, ttl, got, err, want)
		}
	}
	take("a", 0, true) // giving back what nobody has
	take("a", time.Hour, true)
	take("b", time.Hour, false)
	take("b", 0, false)
	take("a", time.Hour, true) // renewed
	take("a", 0, true)         // given back
	take("b", time.Hour, true)
	take("a", time.Hour, false)
	if _, err := kv.Lease(ctx, "lease.x", "", time.Hour); err == nil {
		t.Error("a lease for nobody was taken")
	}
	if _, err := kv.Lease(ctx, "lease.y", "a", -time.Second); err == nil {
		t.Error("a lease that ended before it began was taken")
	}
	mustSwap(t, kv, "nolease", 0, "text")
	if _, err := kv.Lease(ctx, "nolease", "a", time.Hour); err == nil {
		t.Error("a value that is no lease was overwritten")
	}
}

func testClose(t *testing.T, kv KV) {
	ctx := t.Context()
	rev := mustSwap(t, kv, "k", 0, "x")
	for range 2 {
		if err := kv.Close(); err != nil {
			t.Fatal(err)
		}
	}
	_, err := kv.Get(ctx, "k")
	wantErr(t, "Get", err, ErrClosed)
	_, err = kv.Swap(ctx, "k", rev, nil)
	wantErr(t, "Swap", err, ErrClosed)
	wantErr(t, "Delete", kv.Delete(ctx, "k", rev), ErrClosed)
	_, err = kv.List(ctx, "")
	wantErr(t, "List", err, ErrClosed)
	_, err = kv.Watch(ctx, "")
	wantErr(t, "Watch", err, ErrClosed)
	_, err = kv.Lease(ctx, "l", "n", time.Second)
	wantErr(t, "Lease", err, ErrClosed)
}

func testContexts(t *testing.T, kv KV) {
	rev := mustSwap(t, kv, "k", 0, "x")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := kv.Get(ctx, "k")
	wantErr(t, "Get", err, context.Canceled)
	_, err = kv.Swap(ctx, "k", rev, []byte("y"))
	wantErr(t, "Swap", err, context.Canceled)
	wantErr(t, "Delete", kv.Delete(ctx, "k", rev), context.Canceled)
	_, err = kv.List(ctx, "")
	wantErr(t, "List", err, context.Canceled)
	_, err = kv.Watch(ctx, "")
	wantErr(t, "Watch", err, context.Canceled)
	_, err = kv.Lease(ctx, "l", "n", time.Second)
	wantErr(t, "Lease", err, context.Canceled)
	item, err := kv.Get(t.Context(), "k")
	if err != nil || string(item.Data) != "x" || item.Rev != rev {
		t.Errorf("an ended context changed something: %+v, %v", item, err)
	}
}

func testOneWins(t *testing.T, kv KV) {
	for round := range 5 {
		key := fmt.Sprintf("race.%d", round)
		start := mustSwap(t, kv, key, 0, "start")
		var wins atomic.Int32
		var winner atomic.Value
		var wg sync.WaitGroup
		for i := range 8 {
			wg.Go(func() {
				mine := fmt.Sprintf("writer %d", i)
				switch _, err := kv.Swap(t.Context(), key, start, []byte(mine)); {
				case err == nil:
					wins.Add(1)
					winner.Store(mine)
				case !errors.Is(err, ErrConflict):
					t.Error(err)
				}
			})
		}
		wg.Wait()
		item, err := kv.Get(t.Context(), key)
		if err != nil || wins.Load() != 1 || string(item.Data) != winner.Load() {
			t.Fatalf("%d writers won; the store has %q, the winner wrote %v (%v)", wins.Load(), item.Data, winner.Load(), err)
		}
	}
}

func testCounter(t *testing.T, kv KV) {
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for n := 0; n < 10; {
				item, err := kv.Get(t.Context(), "count")
				if err != nil && !errors.Is(err, ErrNotFound) {
					t.Error(err)
					return
				}
				_, err = kv.Swap(t.Context(), "count", item.Rev, append(item.Data, '+'))
				switch {
				case err == nil:
					n++
				case !errors.Is(err, ErrConflict):
					t.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
	item, err := kv.Get(t.Context(), "count")
	if err != nil || !bytes.Equal(item.Data, bytes.Repeat([]byte("+"), 40)) {
		t.Errorf("the count is %d, %v", len(item.Data), err)
	}
}

func testOneLease(t *testing.T, kv KV) {
	var have atomic.Int32
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			ok, err := kv.Lease(t.Context(), "lease", fmt.Sprintf("node %d", i), time.Hour)
			if err != nil {
				t.Error(err)
			}
			if ok {
				have.Add(1)
			}
		})
	}
	wg.Wait()
	if have.Load() != 1 {
		t.Errorf("%d nodes have the lease", have.Load())
	}
}
