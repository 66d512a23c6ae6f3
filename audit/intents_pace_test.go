package audit

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// counted counts the writes to a file of intents, and holds them up while gate is there and open.
type counted struct {
	slotFile
	writes atomic.Int64
	gate   chan struct{}
}

func (c *counted) WriteAt(b []byte, at int64) (int, error) {
	c.writes.Add(1)
	if c.gate != nil {
		<-c.gate
	}
	return c.slotFile.WriteAt(b, at)
}

// countedIntents opens a file whose writes are counted from here on.
func countedIntents(t *testing.T) (*fileIntents, *counted, string) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "intents")
	in, err := OpenIntents(path)
	if err != nil {
		t.Fatal(err)
	}
	f := in.(*fileIntents)
	c := &counted{slotFile: f.slots.file}
	f.slots.file = c
	return f, c, path
}

// paced begins a call every gap and gives how long the slowest waited, and in how many writes they went.
func paced(t *testing.T, f *fileIntents, c *counted, calls int, gap time.Duration) (slowest time.Duration, writes int64) {
	t.Helper()
	before, told := c.writes.Load(), make(chan time.Duration, calls)
	for _, ref := range refsOf("call", calls) {
		begin := time.Now()
		f.BeginAsync(ref, begin, func(err error) {
			if err != nil {
				t.Error(err)
			}
			told <- time.Since(begin)
		})
		time.Sleep(gap)
	}
	for range calls {
		slowest = max(slowest, <-told)
	}
	return slowest, c.writes.Load() - before
}

// TestIntentsPace holds that a call in calm waits for nobody, that where few come they wait no longer than groupQuiet and where many come they share
// their writes and wait no longer than groupBusy, and that it is all as it was when they are gone.
func TestIntentsPace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, c, path := countedIntents(t)
		atOnce := func(ref string) {
			t.Helper()
			begin := time.Now()
			if err := f.Begin(t.Context(), ref, begin); err != nil {
				t.Fatal(err)
			}
			if d := time.Since(begin); d != 0 {
				t.Errorf("the %s one waited %v in calm", ref, d)
			}
			if !strings.Contains(string(contents(t, path)), `"`+ref+`"`) {
				t.Errorf("the %s one is not in the file", ref)
			}
		}
		atOnce("first")
		time.Sleep(groupQuiet)
		atOnce("second")
		time.Sleep(groupQuiet)
		for range 2 { // the second time after a busy one
			if d, n := paced(t, f, c, 50, 4*time.Millisecond); d > groupQuiet || n < 19 {
				t.Errorf("of few one waited %v, and they went in %d writes", d, n)
			}
			if d, n := paced(t, f, c, 100, time.Millisecond); d <= groupQuiet || d > groupBusy || n < 5 || n > 7 {
				t.Errorf("of many one waited %v, and they went in %d writes", d, n)
			}
			time.Sleep(groupBusy)
			atOnce("calm")
			time.Sleep(groupQuiet)
		}
		if err := f.Close(); err != nil {
			t.Error(err)
		}
	})
}

// TestIntentsQuietAgain holds that a busy time slows down the one group behind it and no more.
func TestIntentsQuietAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, _, _ := countedIntents(t)
		start := time.Now()
		var mu sync.Mutex
		var at []time.Duration
		begin := func(refs ...string) {
			for _, ref := range refs {
				f.BeginAsync(ref, start, func(error) {
					mu.Lock()
					defer mu.Unlock()
					at = append(at, time.Since(start))
				})
			}
		}
		begin("alone")
		synctest.Wait()
		begin("a", "b", "c", "d")
		time.Sleep(groupQuiet)
		synctest.Wait()
		begin("behind many")
		time.Sleep(groupBusy)
		synctest.Wait()
		begin("behind few")
		if err := f.Close(); err != nil {
			t.Error(err)
		}
		many, few := groupQuiet, groupQuiet+groupBusy
		if want := []time.Duration{0, many, many, many, many, few, few + groupQuiet}; !slices.Equal(at, want) {
			t.Errorf("told after %v, want %v", at, want)
		}
	})
}

// TestIntentsEndsWait holds that ends alone write nothing, go with the next group, and with Close.
func TestIntentsEndsWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, c, path := countedIntents(t)
		refs := refsOf("call", 40)
		if n, err := beginAll(f, refs); n != len(refs) {
			t.Fatal(n, err)
		}
		before := c.writes.Load()
		for _, ref := range refs[:30] {
			f.End(ref)
			time.Sleep(groupBusy)
		}
		if n := c.writes.Load() - before; n != 0 {
			t.Errorf("%d writes for ends alone", n)
		}
		if err := f.Begin(t.Context(), "next", intentTime); err != nil {
			t.Fatal(err)
		}
		if n := c.writes.Load() - before; n != 1 {
			t.Errorf("%d writes for the next group", n)
		}
		if got, want := replayed(t, path), append(slices.Clone(refs[30:]), "next"); !slices.Equal(got, want) {
			t.Errorf("in the file %q, want %q", got, want)
		}
		f.End("next")
		if err := f.Close(); err != nil {
			t.Error(err)
		}
		if got := replayed(t, path); !slices.Equal(got, refs[30:]) {
			t.Errorf("after Close %q", got)
		}
	})
}

// TestIntentsDurableFirst holds that nobody is told before the write is through, and that Close waits for those who came before it.
func TestIntentsDurableFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, c, path := countedIntents(t)
		c.gate = make(chan struct{})
		var told atomic.Int64
		note := func(err error) {
			if err != nil {
				t.Error(err)
			}
			told.Add(1)
		}
		f.BeginAsync("one", intentTime, note)
		time.Sleep(time.Second)
		if told.Load() != 0 {
			t.Error("told while the disk had not answered")
		}
		f.BeginAsync("two", intentTime, note) // waits behind the first
		closed := make(chan error, 1)
		go func() { closed <- f.Close() }()
		time.Sleep(time.Second)
		close(c.gate)
		if err := <-closed; err != nil {
			t.Error(err)
		}
		if told.Load() != 2 {
			t.Errorf("%d were told before Close returned", told.Load())
		}
		if got := replayed(t, path); !slices.Equal(got, []string{"one", "two"}) {
			t.Errorf("in the file %q", got)
		}
	})
}

// TestSlotsBlocks holds that lines reach the disk in whole blocks, whatever their length, and overwrite nothing that stands before them.
func TestSlotsBlocks(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "intents")
	s, err := makeSlots(path, nil)
	if err != nil {
		t.Fatal(err)
	}
	d := &aligned{slotFile: s.file}
	s.file = d
	var want []string
	write := func(n int, put func(lines []byte) error) {
		t.Helper()
		lines := []byte{}
		for i := range n {
			ref := fmt.Sprintf("%0*d", 10+(n+i)%50, len(want))
			lines, want = appendIntent(lines, ref, intentTime), append(want, ref)
		}
		if err := put(lines); err != nil {
			t.Fatal(err)
		}
		if d.odd > 0 {
			t.Fatalf("%d writes of less than a block", d.odd)
		}
		l := newLive()
		_, found, _ := parseSlots(contents(t, path))
		if readIntents(found, &l); !slices.Equal(l.refs(), want) {
			t.Fatalf("after %d lines: %d of %d are there", n, len(l.refs()), len(want))
		}
	}
	for _, n := range []int{1, 2, 60, 1, 130, 7, 500, 3} {
		write(n, s.add)
	}
	want = nil
	d.heads = 1
	write(77, s.turn)
	d.heads = 0
	write(3, s.add)
	if err := s.file.Close(); err != nil {
		t.Error(err)
	}
	if st, err := os.Stat(path); err != nil || st.Size() != 2*leastSlot {
		t.Errorf("the file has changed its size: %v, %v", st, err)
	}
}

// aligned counts writes that do not consist of whole blocks, heads aside.
type aligned struct {
	slotFile
	odd, heads int
}

func (d *aligned) WriteAt(b []byte, at int64) (int, error) {
	switch {
	case at%slotBlock == 0 && len(b)%slotBlock == 0:
	case d.heads > 0 && len(b) <= slotHead:
		d.heads--
	default:
		d.odd++
	}
	return d.slotFile.WriteAt(b, at)
}

// TestIntentsHung holds that a disk that hangs does not gather calls without bound: those that are too many are told at once and are not open.
func TestIntentsHung(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, c, path := countedIntents(t)
		c.gate = make(chan struct{})
		refused, taken := 0, 0
		f.BeginAsync("first", intentTime, func(error) {})
		synctest.Wait() // its write hangs
		for _, ref := range refsOf("call", groupMost+5) {
			f.BeginAsync(ref, intentTime, func(err error) {
				if err == nil {
					taken++
				} else if refused++; !errors.Is(err, ErrLogDown) {
					t.Error(err)
				}
			})
		}
		if refused != 5 || len(f.Open()) != groupMost+1 {
			t.Errorf("%d were refused, %d are open", refused, len(f.Open()))
		}
		close(c.gate)
		if err := f.Close(); err != nil {
			t.Error(err)
		}
		if got := replayed(t, path); taken != groupMost || len(got) != groupMost+1 {
			t.Errorf("%d were told, %d are in the file", taken, len(got))
		}
	})
}

// TestLeftovers holds that a new file which a crash cut off before it got its name does not stay.
func TestLeftovers(t *testing.T) {
	t.Parallel()
	c := testConfig()
	c.Dir = logDir(t)
	path := filepath.Join(c.Dir, "intents")
	var gone []string
	for _, name := range []string{".intents-123", ".journal-77"} {
		gone = append(gone, filepath.Join(c.Dir, name))
	}
	kept := filepath.Join(c.Dir, ".others-1")
	for _, name := range append(gone, kept) {
		if err := os.WriteFile(name, []byte("x"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	openTest(t, "disk", c)
	in, err := OpenIntents(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := in.Close(); err != nil {
		t.Error(err)
	}
	for _, name := range gone {
		if _, err := os.Stat(name); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s is still there: %v", name, err)
		}
	}
	if _, err := os.Stat(kept); err != nil {
		t.Error(err)
	}
}
