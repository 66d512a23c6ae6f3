package audit

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"reflect"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// asked is what became of entries that nobody waited for, in the order in which it was told.
type asked struct {
	mu   sync.Mutex
	seqs []uint64
	errs []error
	all  sync.WaitGroup
}

func (a *asked) append(l Log, events ...Event) {
	for _, e := range events {
		a.all.Add(1)
		l.AppendAsync(e, func(seq uint64, err error) {
			a.mu.Lock()
			defer a.mu.Unlock()
			a.seqs, a.errs = append(a.seqs, seq), append(a.errs, err)
			a.all.Done()
		})
	}
}

func (a *asked) told() int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return len(a.errs)
}

// TestAsync holds that entries that nobody waits for are all told of, are in the log when they are, and stand in the order in which they came.
func TestAsync(t *testing.T) {
	t.Parallel()
	for _, kind := range []string{"memory", "disk"} {
		l := openTest(t, kind, testConfig())
		var a asked
		const calls = 400
		for i := range calls {
			ref := fmt.Sprintf("20261120-%032x", i)
			a.append(l, exampleEnded(ref), exampleReceipt(time.Now(), ref, Move{}))
		}
		a.append(l, HealthChanged{Target: "t"}) // in a hurry
		a.all.Wait()
		if i := slices.IndexFunc(a.errs, func(err error) bool { return err != nil }); i >= 0 {
			t.Fatal(a.errs[i])
		}
		seqs := slices.Sorted(slices.Values(a.seqs))
		if n := uint64(len(seqs)); n != 2*calls+1 || seqs[0] != 0 || seqs[n-1] != n-1 || l.Size() != n {
			t.Errorf("%s: %d told of, the last as %d, in a log of %d", kind, len(seqs), seqs[len(seqs)-1], l.Size())
		}
		entries, err := l.Entries(t.Context(), 0, 2000)
		if err != nil {
			t.Fatal(err)
		}
		next := 0
		for _, e := range entries {
			if e.Kind != KindReceipt {
				continue
			}
			ev, err := Decode(e)
			if r, ok := ev.(Receipt); err != nil || !ok || r.CallRef != fmt.Sprintf("20261120-%032x", next) {
				t.Fatalf("%s: receipt %d is %+v, %v", kind, next, ev, err)
			}
			next++
		}
		if next != calls {
			t.Errorf("%s: %d receipts", kind, next)
		}
	}
}

// TestAsyncFails holds that each entry of a group that could not be written is told so and counted once, and that the next one stands behind the gap.
func TestAsyncFails(t *testing.T) {
	t.Parallel()
	for _, kind := range []string{"memory", "disk"} {
		var f faults
		cfg := testConfig()
		cfg.wrap = f.wrap
		l := openTest(t, kind, cfg)
		f.breaks(errors.New("gone"))
		var a asked
		a.append(l, CallEnded{CallRef: "a"}, CallEnded{CallRef: "b"}, HealthChanged{})
		a.all.Wait()
		for _, err := range a.errs {
			if !errors.Is(err, ErrLogDown) {
				t.Errorf("%s: %v", kind, err)
			}
		}
		if l.Health().OK {
			t.Errorf("%s: well", kind)
		}
		f.mends()
		var b asked
		b.append(l, CallEnded{CallRef: "c"})
		b.all.Wait()
		if got := kindsOf(t, l); b.errs[0] != nil || !slices.Equal(got, []string{"gap log_unwritable 3 [a b]", "call.ended"}) {
			t.Errorf("%s: %q, %v", kind, got, b.errs)
		}
	}
}

// TestAsyncHang holds that a group whose disk does not answer is told so in time, that those behind it do not wait, and that what turns up after
// all is not called lost.
func TestAsyncHang(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var f faults
		cfg := testConfig()
		cfg.wrap, cfg.AppendTimeout = f.wrap, 0 // the default
		l, err := Memory(cfg)
		if err != nil {
			t.Fatal(err)
		}
		release := f.hangs()
		start := time.Now()
		var hung, behind, late asked
		hung.append(l, CallEnded{CallRef: "hung"})
		time.Sleep(time.Second)
		behind.append(l, CallEnded{CallRef: "behind"}, CallEnded{CallRef: "behind too"})
		hung.all.Wait()
		if !errors.Is(hung.errs[0], ErrLogDown) || !errors.Is(hung.errs[0], errHangs) {
			t.Errorf("hung: %v", hung.errs)
		}
		behind.all.Wait()
		if !errors.Is(behind.errs[0], errStuck) || time.Since(start) != 2*time.Second {
			t.Errorf("behind: %v after %v", behind.errs, time.Since(start))
		}
		late.append(l, CallEnded{CallRef: "late"})
		if late.told() != 1 || !errors.Is(late.errs[0], errStuck) {
			t.Errorf("late: %v", late.errs)
		}
		f.hang.Store(nil)
		close(release)
		synctest.Wait()
		mustAppend(t, l, NodeStopped{})
		want := []string{"call.ended", "gap log_unwritable 3 [behind behind too hung late]", "node.stopped"}
		if got := kindsOf(t, l); !slices.Equal(got, want) {
			t.Errorf("log %q, want %q", got, want)
		}
	})
}

// TestAsyncClose holds that a log that closes carries those who wait, and takes nobody else.
func TestAsyncClose(t *testing.T) {
	t.Parallel()
	c := testConfig()
	c.Dir = logDir(t)
	l, _, err := Open(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	var a, b asked
	for i := range 20 {
		a.append(l, CallEnded{CallRef: fmt.Sprint(i)})
	}
	if err := l.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	if a.told() != 20 || slices.ContainsFunc(a.errs, func(err error) bool { return err != nil }) {
		t.Errorf("%d told, %v", a.told(), a.errs)
	}
	b.append(l, CallEnded{}, HealthChanged{})
	if b.told() != 2 || !errors.Is(b.errs[0], ErrLogDown) || !errors.Is(b.errs[1], errClosed) {
		t.Errorf("after the end: %v", b.errs)
	}
	if v := verify(t, c.Dir, l.VerifierKey()); v.Bad != nil || v.Size != 20 {
		t.Errorf("%+v, %+v", v, v.Bad)
	}
}

// TestRecent holds that the newest entries are what the tree holds, that older ones come from there, and that Pick leaves out what nobody wants.
func TestRecent(t *testing.T) {
	t.Parallel()
	cfg := testConfig()
	cfg.Clock = func() Clock {
		return Clock{Source: "chrony", Stratum: 2, OffsetMS: new(float64), LastSync: time.Date(2026, 11, 20, 8, 0, 0, 0, time.UTC)}
	}
	l := openTest(t, "memory", cfg)
	long := make([]string, 0, 2000)
	for i := range 2000 {
		long = append(long, fmt.Sprintf("transition %d", i))
	}
	for i := range recentKept {
		mustAppend(t, l, CallEnded{CallRef: fmt.Sprint(i), Cause: "<&>"})
		mustAppend(t, l, Failover{What: KindFailoverHeld, Route: "r"})
	}
	mustAppend(t, l, Failover{What: KindFailoverHeld, Health: long})
	s := l.(*spine)
	size := l.Size()
	for _, c := range []struct {
		from, n uint64
		kept    bool
	}{{size - 2, 1, true}, {size - 100, 99, true}, {size - 100, 100, false}, {size - recentKept - 1, 2, false}, {0, 10, false}} {
		if got := s.recent.list(c.from, c.n, nil); (got != nil) != c.kept {
			t.Errorf("%d from %d: %d kept", c.n, c.from, len(got))
		}
		got, err := l.Entries(t.Context(), c.from, int(c.n))
		if err != nil || uint64(len(got)) != c.n {
			t.Fatalf("%d from %d: %d, %v", c.n, c.from, len(got), err)
		}
		leaves, err := s.drv.leaves(t.Context(), c.from, c.n)
		if err != nil {
			t.Fatal(err)
		}
		var held []Entry
		for i, leaf := range leaves {
			want, err := parseEntry(leaf)
			want.Seq = c.from + uint64(i)
			if err != nil || !reflect.DeepEqual(got[i], want) {
				t.Fatalf("entry %d: %+v\nin the tree %+v, %v", want.Seq, got[i], want, err)
			}
			if want.Kind == KindFailoverHeld {
				held = append(held, want)
			}
		}
		picked, next, err := Pick(t.Context(), l, c.from, int(c.n), func(k Kind) bool { return k == KindFailoverHeld })
		if err != nil || next != c.from+c.n || len(picked) != len(held) || len(held) > 0 && !reflect.DeepEqual(picked, held) {
			t.Errorf("%d from %d: picked %d of %d, next %d, %v", c.n, c.from, len(picked), len(held), next, err)
		}
	}
	for _, from := range []uint64{size, size + 5} {
		if picked, next, err := Pick(t.Context(), l, from, 10, Kind.Known); len(picked) > 0 || next != from || err != nil {
			t.Errorf("behind the end: %d, next %d, %v", len(picked), next, err)
		}
	}
}

// TestIntentsAsync holds that every one of a group is told once, what is on the disk when it is, and that who is not on record is not open.
func TestIntentsAsync(t *testing.T) {
	t.Parallel()
	path := filepath.Join(logDir(t), "intents")
	in, err := OpenIntents(path)
	if err != nil {
		t.Fatal(err)
	}
	refs := refsOf("call", 300)
	if n, err := beginAll(in, refs); n != len(refs) || err != nil {
		t.Fatalf("%d on record, %v", n, err)
	}
	if got := replayed(t, path); !slices.Equal(got, refs) {
		t.Errorf("on the disk: %d", len(got))
	}
	f := in.(*fileIntents)
	f.flushing.Wait()
	good := f.path
	_ = f.slots.file.Close()
	f.path = filepath.Join(path, "nowhere", "intents")
	if n, err := beginAll(in, refsOf("lost", 50)); n != 0 || !errors.Is(err, ErrLogDown) {
		t.Errorf("%d on record without a file, %v", n, err)
	}
	if got := in.Open(); !slices.Equal(got, refs) {
		t.Errorf("%d open", len(got))
	}
	f.flushing.Wait()
	f.path = good
	if err := in.Close(); err != nil {
		t.Fatal(err)
	}
	if err := in.Begin(context.Background(), "late", intentTime); !errors.Is(err, ErrLogDown) {
		t.Errorf("begin after the end: %v", err)
	}
}
