package audit

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

// faults stands between a log and its driver's append.
type faults struct {
	fail atomic.Pointer[error]
	hang atomic.Pointer[chan struct{}] // appends wait until it is closed
}

func (f *faults) wrap(put appendFunc) appendFunc {
	return func(leaf []byte) (uint64, error) {
		if ch := f.hang.Load(); ch != nil {
			<-*ch
		}
		if err := f.fail.Load(); err != nil {
			return 0, *err
		}
		return put(leaf)
	}
}

func (f *faults) breaks(err error) { f.fail.Store(&err) }
func (f *faults) mends()           { f.fail.Store(nil) }
func (f *faults) hangs() chan struct{} {
	ch := make(chan struct{})
	f.hang.Store(&ch)
	return ch
}

// kindsOf lists the log as words, a gap with what it says.
func kindsOf(t *testing.T, l Log) []string {
	t.Helper()
	entries, err := l.Entries(t.Context(), 0, 1000)
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, e := range entries {
		ev, err := Decode(e)
		if err != nil {
			t.Fatal(err)
		}
		word := string(e.Kind)
		if g, ok := ev.(Gap); ok {
			word = fmt.Sprintf("gap %s %d %v", g.Cause, g.Lost, g.Calls)
			if !e.Gap || g.To.Before(g.From) {
				t.Errorf("gap entry %+v, body %+v", e, g)
			}
		} else if e.Gap {
			t.Errorf("gap marker on %s", e.Kind)
		}
		out = append(out, word)
	}
	return out
}

func TestOutage(t *testing.T) {
	t.Parallel()
	disk := errors.New("input/output error")
	tests := []struct {
		name string
		err  error
		want []string
	}{
		{"unwritable", disk, []string{"node.started", "gap log_unwritable 3 [20261120-aa 20261120-bb]", "node.stopped"}},
		{"full", fmt.Errorf("failed to create temp file: %s", syscall.ENOSPC.Error()), []string{"node.started", "gap reserve_spent 3 [20261120-aa 20261120-bb]", "node.stopped"}},
		{"read-only", &fs.PathError{Op: "open", Path: "log/tile/entries/000.p/3", Err: syscall.EROFS}, []string{"node.started", "gap log_unwritable 3 [20261120-aa 20261120-bb]", "node.stopped"}},
		{"quota", fmt.Errorf("write: %w", syscall.EDQUOT), []string{"node.started", "gap reserve_spent 3 [20261120-aa 20261120-bb]", "node.stopped"}},
	}
	for _, c := range tests {
		for _, kind := range []string{"memory", "disk"} {
			t.Run(c.name+"/"+kind, func(t *testing.T) {
				t.Parallel()
				var f faults
				cfg := testConfig()
				cfg.wrap = f.wrap
				l := openTest(t, kind, cfg)
				mustAppend(t, l, NodeStarted{})
				f.breaks(c.err)
				for _, e := range []Event{HealthChanged{}, &Receipt{CallRef: "20261120-bb"}, CallEnded{CallRef: "20261120-aa"}} {
					if _, err := l.Append(t.Context(), e); !errors.Is(err, ErrLogDown) || !strings.Contains(err.Error(), c.err.Error()) {
						t.Errorf("append: %v", err)
					}
					if h := l.Health(); h.OK || !strings.Contains(h.Why, c.err.Error()) || h.Since.IsZero() {
						t.Errorf("health: %+v", h)
					}
				}
				f.mends()
				mustAppend(t, l, NodeStopped{})
				if got := kindsOf(t, l); !slices.Equal(got, c.want) {
					t.Errorf("log %q, want %q", got, c.want)
				}
				if h := l.Health(); !h.OK || h.Why != "" {
					t.Errorf("health: %+v", h)
				}
			})
		}
	}
}

// TestOutageHang holds that a disk which does not answer is a log that is down, that nobody waits behind it, and that an entry which
// turns up after all is not called lost.
func TestOutageHang(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var f faults
		cfg := testConfig()
		cfg.wrap, cfg.AppendTimeout = f.wrap, 0 // the default
		l, err := Memory(cfg)
		if err != nil {
			t.Fatal(err)
		}
		mustAppend(t, l, NodeStarted{})
		release := f.hangs()
		start := time.Now()
		if _, err := l.Append(t.Context(), CallEnded{CallRef: "late"}); !errors.Is(err, ErrLogDown) || !errors.Is(err, errHangs) {
			t.Errorf("append: %v", err)
		}
		if d := time.Since(start); d != 2*time.Second {
			t.Errorf("gave up after %v", d)
		}
		if _, err := l.Append(t.Context(), CallEnded{CallRef: "behind"}); !errors.Is(err, ErrLogDown) {
			t.Errorf("append: %v", err)
		}
		if d := time.Since(start); d != 2*time.Second {
			t.Errorf("the second one waited too: %v", d)
		}
		f.hang.Store(nil)
		close(release)
		synctest.Wait()
		mustAppend(t, l, NodeStopped{})
		want := []string{"node.started", "call.ended", "gap log_unwritable 1 [behind late]", "node.stopped"}
		if got := kindsOf(t, l); !slices.Equal(got, want) {
			t.Errorf("log %q, want %q", got, want)
		}
		if !l.Health().OK {
			t.Errorf("health: %+v", l.Health())
		}
	})
}

// TestOutageHangThenFails holds that an entry which hung and then failed is lost once.
func TestOutageHangThenFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var f faults
		cfg := testConfig()
		cfg.wrap, cfg.AppendTimeout = f.wrap, 100*time.Millisecond
		l, err := Memory(cfg)
		if err != nil {
			t.Fatal(err)
		}
		release := f.hangs()
		if _, err := l.Append(t.Context(), NodeStarted{}); !errors.Is(err, errHangs) {
			t.Errorf("append: %v", err)
		}
		f.breaks(errors.New("gone"))
		close(release)
		synctest.Wait()
		f.hang.Store(nil)
		f.mends()
		mustAppend(t, l, NodeStopped{})
		if got := kindsOf(t, l); !slices.Equal(got, []string{"gap log_unwritable 1 []", "node.stopped"}) {
			t.Errorf("log %q", got)
		}
	})
}

// TestCallerLeaves holds that a caller who does not wait is not told of success, and that the log is not down for it.
func TestCallerLeaves(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var f faults
		cfg := testConfig()
		cfg.wrap = f.wrap
		l, err := Memory(cfg)
		if err != nil {
			t.Fatal(err)
		}
		release := f.hangs()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := l.Append(ctx, NodeStarted{}); !errors.Is(err, ErrLogDown) || !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("append: %v", err)
		}
		if !l.Health().OK || l.Size() != 0 {
			t.Errorf("health %+v, size %d", l.Health(), l.Size())
		}
		f.hang.Store(nil)
		close(release)
		synctest.Wait()
		if l.Size() != 1 || !l.Health().OK {
			t.Errorf("health %+v, size %d", l.Health(), l.Size())
		}
	})
}

// TestHealthHeals holds that a node which sends nothing while the log is down, and only asks, gets its log back.
func TestHealthHeals(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var f faults
		cfg := testConfig()
		cfg.wrap = f.wrap
		l, err := Memory(cfg)
		if err != nil {
			t.Fatal(err)
		}
		f.breaks(errors.New("gone"))
		if _, err := l.Append(t.Context(), NodeStarted{}); err == nil {
			t.Error("append")
		}
		time.Sleep(500 * time.Millisecond)
		f.mends()
		l.Health()
		synctest.Wait()
		if l.Size() != 0 {
			t.Error("tried again within the second")
		}
		time.Sleep(600 * time.Millisecond)
		if l.Health().OK {
			t.Error("well before it was tried")
		}
		synctest.Wait()
		if h := l.Health(); !h.OK || l.Size() != 1 {
			t.Errorf("health %+v, size %d", h, l.Size())
		}
		if got := kindsOf(t, l); !slices.Equal(got, []string{"gap log_unwritable 1 []"}) {
			t.Errorf("log %q", got)
		}
	})
}

// TestGapFirst holds that of many appends which meet a log that works again, every one stands behind the gap.
func TestGapFirst(t *testing.T) {
	t.Parallel()
	for _, kind := range []string{"memory", "disk"} {
		var f faults
		cfg := testConfig()
		cfg.wrap = f.wrap
		l := openTest(t, kind, cfg)
		f.breaks(errors.New("gone"))
		var wg sync.WaitGroup
		for range 20 {
			wg.Go(func() { _, _ = l.Append(t.Context(), HealthChanged{}) })
		}
		wg.Wait()
		f.mends()
		for range 20 {
			wg.Go(func() { mustAppend(t, l, HealthChanged{}) })
		}
		wg.Wait()
		got := kindsOf(t, l)
		if len(got) != 21 || got[0] != "gap log_unwritable 20 []" {
			t.Errorf("%s: %q", kind, got)
		}
	}
}

// TestGapNamesFew holds that a long outage does not make an entry that no bundle can hold.
func TestGapNamesFew(t *testing.T) {
	t.Parallel()
	var f faults
	cfg := testConfig()
	cfg.wrap = f.wrap
	l := openTest(t, "memory", cfg)
	f.breaks(errors.New("gone"))
	const lost = maxGapCalls + 50
	for i := range lost {
		_, _ = l.Append(t.Context(), CallEnded{CallRef: fmt.Sprintf("20261120-%032x", i)})
	}
	f.mends()
	mustAppend(t, l, NodeStopped{})
	e, err := l.Entries(t.Context(), 0, 1)
	if err != nil {
		t.Fatal(err)
	}
	ev, err := Decode(e[0])
	if g, ok := ev.(Gap); err != nil || !ok || g.Lost != lost || len(g.Calls) != maxGapCalls {
		t.Errorf("%+v, %v", ev, err)
	}
}

// unsigned is a driver whose checkpoints do not come.
type unsigned struct {
	*memory
	stuck atomic.Bool
}

func (u *unsigned) covered(ctx context.Context, n uint64) error {
	if u.stuck.Load() {
		<-ctx.Done()
		return ctx.Err()
	}
	return u.memory.covered(ctx, n)
}

// TestCommitUnsigned holds that Commit does not return before the signature, nor wait for it for ever, and that asking for the health
// finds out when checkpoints come again.
func TestCommitUnsigned(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg := testConfig()
		cfg.AppendTimeout = 0
		cfg = cfg.withDefaults()
		s, err := newSigning(cfg)
		if err != nil {
			t.Fatal(err)
		}
		d := &unsigned{memory: newMemory(cfg.Origin, s)}
		l, err := newSpine(t.Context(), cfg, d, s)
		if err != nil {
			t.Fatal(err)
		}
		d.stuck.Store(true)
		start := time.Now()
		if _, err := l.Commit(t.Context(), NodeStarted{}); !errors.Is(err, ErrLogDown) || !errors.Is(err, errUnsigned) {
			t.Errorf("commit: %v", err)
		}
		if d := time.Since(start); d != 3*time.Second {
			t.Errorf("gave up after %v", d)
		}
		if h := l.Health(); h.OK || h.Why != errUnsigned.Error() {
			t.Errorf("health: %+v", h)
		}
		time.Sleep(5 * time.Second)
		d.stuck.Store(false)
		l.Health()
		synctest.Wait()
		if !l.Health().OK || l.Size() != 1 {
			t.Errorf("health %+v, size %d", l.Health(), l.Size())
		}
	})
}
