package audit

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

var intentTime = time.Date(2026, 11, 20, 8, 0, 0, 0, time.UTC)

func refsOf(name string, n int) []string {
	out := make([]string, n)
	for i := range out {
		out[i] = fmt.Sprintf("%s-%023x", name, i)
	}
	return out
}

// beginAll begins many calls in one group, waits for them, and gives how many are on record and what was wrong with another.
func beginAll(in Intents, refs []string) (n int, err error) {
	got := make(chan error, len(refs))
	for _, ref := range refs {
		in.BeginAsync(ref, intentTime, func(err error) { got <- err })
	}
	for range refs {
		if e := <-got; e == nil {
			n++
		} else {
			err = e
		}
	}
	return n, err
}

func TestIntentsContract(t *testing.T) {
	for name, open := range map[string]func() (Intents, error){
		"memory": func() (Intents, error) { return MemoryIntents(), nil },
		"file":   func() (Intents, error) { return OpenIntents(filepath.Join(t.TempDir(), "intents")) },
	} {
		t.Run(name, func(t *testing.T) {
			in, err := open()
			if err != nil {
				t.Fatal(err)
			}
			if got := in.Open(); len(got) != 0 {
				t.Errorf("new: %q", got)
			}
			for _, ref := range []string{"b", "a", "c d\n", "a"} {
				if err := in.Begin(t.Context(), ref, intentTime); err != nil {
					t.Fatal(err)
				}
			}
			in.End("a")
			in.End("a")
			in.End("never begun")
			if got := in.Open(); !slices.Equal(got, []string{"b", "c d\n"}) {
				t.Errorf("open: %q", got)
			}
			if err := in.Close(); err != nil {
				t.Error(err)
			}
		})
	}
}

// reopen gives what a run that starts now finds in the file.
func reopen(t *testing.T, path string) []string {
	t.Helper()
	in, err := OpenIntents(path)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := in.Close(); err != nil {
			t.Error(err)
		}
	}()
	return in.Open()
}

// TestIntentsCrash reads the file as it lies on the disk while the run that wrote it still thinks it is alive.
func TestIntentsCrash(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "intents")
	in, err := OpenIntents(path)
	if err != nil {
		t.Fatal(err)
	}
	for i := range 5 {
		if err := in.Begin(t.Context(), fmt.Sprint("call ", i), intentTime); err != nil {
			t.Fatal(err)
		}
	}
	in.End("call 1")
	if err := in.Begin(t.Context(), "call 5", intentTime); err != nil { // takes the end along
		t.Fatal(err)
	}
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"call 0", "call 2", "call 3", "call 4", "call 5"}
	f := in.(*fileIntents)
	f.flushing.Wait()
	copied := filepath.Join(t.TempDir(), "intents")
	for cut := range 12 { // the last line is torn at every place, and before it nothing is lost
		torn := slices.Clone(raw)
		copy(torn[f.slots.now*f.slots.size+f.slots.end:], "B 17638200000"[:cut])
		if err := os.WriteFile(copied, torn, 0o600); err != nil {
			t.Fatal(err)
		}
		if got := replayed(t, copied); !slices.Equal(got, want) {
			t.Errorf("torn after %d bytes: %q", cut, got)
		}
	}
	if err := in.Close(); err != nil {
		t.Fatal(err)
	}
	if got := reopen(t, path); !slices.Equal(got, want) {
		t.Errorf("after an orderly close: %q", got)
	}
	if got := reopen(t, path); !slices.Equal(got, want) {
		t.Errorf("after another one: %q", got)
	}
}

// TestIntentsDamage holds that a damaged line is shown and hides no other.
func TestIntentsDamage(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "intents")
	b := appendIntent(nil, "one", intentTime)
	two := len(b)
	b = appendIntent(b, "two", intentTime)
	b = appendIntent(b, "three", intentTime)
	b[two+5] ^= 1
	for _, line := range []string{"nonsense\n", "\n", string(appendLine(nil, "X \"three\"")), string(appendLine(nil, "E three")), string(appendLine(nil, "B x \"y\"")), string(appendLine(nil, "B 1"))} {
		b = append(b, line...)
	}
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
	want := []string{"one", "unreadable intent 2", "three"}
	for n := 4; n <= 9; n++ {
		want = append(want, fmt.Sprint("unreadable intent ", n))
	}
	if got := reopen(t, path); !slices.Equal(got, want) {
		t.Errorf("%q", got)
	}
	if got := reopen(t, path); !slices.Equal(got, want) {
		t.Errorf("the second time: %q", got)
	}
}

// TestIntentsGroups holds that many callers share few fsyncs and that each is on the disk when it returns.
func TestIntentsGroups(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "intents")
	in, err := OpenIntents(path)
	if err != nil {
		t.Fatal(err)
	}
	const callers, each = 32, 20
	var wg sync.WaitGroup
	for c := range callers {
		wg.Go(func() {
			for i := range each {
				ref := fmt.Sprintf("20261120-%d-%d", c, i)
				if err := in.Begin(t.Context(), ref, intentTime); err != nil {
					t.Error(err)
					return
				}
				if i%10 == 0 {
					raw, err := os.ReadFile(path)
					if err != nil || !strings.Contains(string(raw), `"`+ref+`"`) {
						t.Errorf("%s is not in the file, %v", ref, err)
					}
				}
				if i != 0 {
					in.End(ref)
				}
			}
		})
	}
	wg.Wait()
	if n := len(in.Open()); n != callers {
		t.Errorf("%d open", n)
	}
	if err := in.Close(); err != nil {
		t.Fatal(err)
	}
	if err := in.Begin(t.Context(), "late", intentTime); !errors.Is(err, ErrLogDown) {
		t.Errorf("begin after close: %v", err)
	}
	in.End("late")
	if err := in.Close(); err != nil {
		t.Error(err)
	}
	if got := reopen(t, path); len(got) != callers {
		t.Errorf("%d open after a restart", len(got))
	}
}

// TestIntentsCompact holds that the file does not grow with the calls that have ended.
func TestIntentsCompact(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "intents")
	in, err := OpenIntents(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := in.Begin(t.Context(), "long call", intentTime); err != nil {
		t.Fatal(err)
	}
	f := in.(*fileIntents)
	for range 3 {
		f.mu.Lock()
		for range 10_000 { // as many calls come and go between two groups
			f.pending = appendEnd(appendIntent(f.pending, "a call of a common length", intentTime), "a call of a common length")
		}
		f.mu.Unlock()
		if err := in.Begin(t.Context(), "short call", intentTime); err != nil {
			t.Fatal(err)
		}
		in.End("short call")
	}
	if f.flushing.Wait(); f.slots.number != 2 {
		t.Errorf("written anew %d times", f.slots.number)
	}
	if err := in.Close(); err != nil {
		t.Fatal(err)
	}
	if st, err := os.Stat(path); err != nil || st.Size() != 2*leastSlot {
		t.Errorf("%d bytes, %v", st.Size(), err)
	}
	if got := reopen(t, path); !slices.Equal(got, []string{"long call"}) {
		t.Errorf("%q", got)
	}
}

// TestIntentsBroken holds that a file which cannot be written says so, and that it is written anew once it can.
func TestIntentsBroken(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "sub")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "intents")
	in, err := OpenIntents(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := in.Begin(t.Context(), "kept", intentTime); err != nil {
		t.Fatal(err)
	}
	f := in.(*fileIntents)
	f.flushing.Wait()
	_ = f.slots.file.Close()
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	if err := in.Begin(t.Context(), "lost", intentTime); !errors.Is(err, ErrLogDown) {
		t.Errorf("begin: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := in.Begin(ctx, "gone", intentTime); !errors.Is(err, ErrLogDown) {
		t.Errorf("begin with an ended context: %v", err)
	}
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := in.Begin(t.Context(), "again", intentTime); err != nil {
		t.Fatal(err)
	}
	if err := in.Close(); err != nil {
		t.Fatal(err)
	}
	if got := reopen(t, path); !slices.Equal(got, []string{"kept", "again"}) {
		t.Errorf("%q", got)
	}
	if _, err := OpenIntents(filepath.Join(dir, "nowhere", "intents")); err == nil {
		t.Error("opened in a folder that is not there")
	}
}

// sectors is a disk: a write that the power or a fault cuts off reaches it sector by sector, in any order or not at all, and what of it did not
// may follow with the next one.
type sectors struct {
	rnd   *rand.Rand
	disk  []byte
	cache []byte
	left  int // writes until the power goes
	fail  int // one write in so many fails
}

const sector = 512

var errPower = errors.New("the power is gone")

// spill lets some sectors reach the disk.
func (d *sectors) spill() {
	for at := 0; at < len(d.disk); at += sector {
		if d.rnd.IntN(2) == 0 {
			copy(d.disk[at:at+sector], d.cache[at:])
		}
	}
}

func (d *sectors) WriteAt(b []byte, at int64) (int, error) {
	var err error
	if d.left--; d.left <= 0 {
		err = errPower
	} else if d.rnd.IntN(d.fail) == 0 {
		err = syscall.EIO
	}
	if err != nil {
		b = b[:d.rnd.IntN(len(b)+1)]
		copy(d.cache[at:], b)
		d.spill()
		return len(b), err
	}
	d.spill()
	copy(d.cache[at:], b)
	copy(d.disk[at:], b)
	return len(b), nil
}

func (d *sectors) Stat() (fs.FileInfo, error) { return nil, errPower }
func (d *sectors) Close() error               { return nil }

// TestIntentsPower cuts the power at every step of a run in which writes fail now and then: whoever was told that a call is on record
// finds it, and whoever had it ended durably does not.
func TestIntentsPower(t *testing.T) {
	t.Parallel()
	for seed := range uint64(4000) {
		rnd := rand.New(rand.NewPCG(seed, 1))
		s := &slots{size: 8 << 10, number: 1, end: slotHead}
		d := &sectors{rnd: rnd, disk: make([]byte, 2*s.size), left: 1 + rnd.IntN(60), fail: 2 + rnd.IntN(20)}
		copy(d.disk, s.head(1))
		s.stand(d.disk[:s.end])
		d.cache = slices.Clone(d.disk)
		s.file = d
		promised := powerRun(s, rnd)
		got := newLive()
		back, lines, _ := parseSlots(d.disk) // a head that was cut off may be shown: too much is told, not too little
		if back == nil {
			t.Fatalf("seed %d: no half is in force", seed)
		}
		readIntents(lines, &got)
		for ref, up := range promised {
			if _, ok := got.at[ref]; ok != up {
				t.Fatalf("seed %d: %s is on record: %v, was promised: %v", seed, ref, ok, up)
			}
		}
	}
}

// powerRun begins and ends calls until the power goes, as fileIntents does it, and gives what is known for sure of each.
func powerRun(s *slots, rnd *rand.Rand) map[string]bool {
	promised, open := map[string]bool{}, newLive()
	torn := false
	for i := 0; ; i++ {
		ref := fmt.Sprintf("20261120-%032x", i)
		open.begin(ref, intentTime)
		lines := appendIntent(nil, ref, intentTime)
		ended := ""
		if all := open.refs(); len(all) > 20 || rnd.IntN(3) == 0 {
			ended = all[rnd.IntN(len(all))]
			delete(open.at, ended)
			lines = appendEnd(lines, ended)
			delete(promised, ended) // until it is synced, either may be on the disk
		}
		err := errNoRoom
		if !torn && s.fits(len(lines)) && rnd.IntN(8) != 0 {
			err = s.add(lines)
		}
		if err != nil && !errors.Is(err, errPower) {
			var b []byte
			for _, r := range open.refs() {
				b = appendIntent(b, r, intentTime)
			}
			err = s.turn(b)
		}
		switch {
		case errors.Is(err, errPower):
			return promised
		case err != nil: // the caller is told
			delete(open.at, ref)
		default:
			if ended != "" {
				promised[ended] = false
			}
			if ended != ref {
				promised[ref] = true
			}
		}
		torn = err != nil
	}
}

func contents(t *testing.T, path string) []byte {
	t.Helper()
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

// replayed reads a file without writing to it.
func replayed(t *testing.T, path string) []string {
	t.Helper()
	s, lines, shown, err := openSlots(path)
	if err != nil || s == nil || shown {
		t.Fatalf("%+v, %v, %v", s, shown, err)
	}
	l := newLive()
	readIntents(lines, &l)
	if err := s.file.Close(); err != nil {
		t.Error(err)
	}
	return l.refs()
}

// TestIntentsHeads holds that a damaged head is shown, and that without any the lines are read all the same.
func TestIntentsHeads(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "intents")
	in, err := OpenIntents(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(in.Begin(t.Context(), "one", intentTime), in.Close()); err != nil {
		t.Fatal(err)
	}
	sound := contents(t, path)
	damage := func(at ...int) []string {
		raw := slices.Clone(sound)
		for _, i := range at {
			raw[i] ^= 1
		}
		if err := os.WriteFile(path, raw, 0o600); err != nil {
			t.Fatal(err)
		}
		return reopen(t, path)
	}
	for _, at := range []int{40, leastSlot + 40} {
		if got := damage(at); !slices.Contains(got, "one") && len(got) != 1 || !slices.Contains(got, "unreadable intent 0") {
			t.Errorf("head at %d: %q", at, got)
		}
	}
	if got := damage(40, leastSlot+40); !slices.Contains(got, "one") || len(got) != 3 {
		t.Errorf("both heads: %q", got)
	}
	if err := os.WriteFile(path, sound[:leastSlot], 0o600); err != nil {
		t.Fatal(err)
	}
	if got := reopen(t, path); len(got) == 0 {
		t.Error("half of the file is gone, and nobody is told")
	}
}

// TestIntentsReplaced holds that nothing is written to a file that the next run will not find.
func TestIntentsReplaced(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "intents")
	in, err := OpenIntents(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := in.Begin(t.Context(), "kept", intentTime); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if err := in.Close(); err != nil {
		t.Fatal(err)
	}
	if got := reopen(t, path); !slices.Equal(got, []string{"kept"}) {
		t.Errorf("%q", got)
	}
}

// TestIntentsGrow holds that the file is made larger for many calls at once.
func TestIntentsGrow(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "intents")
	in, err := OpenIntents(path)
	if err != nil {
		t.Fatal(err)
	}
	f := in.(*fileIntents)
	f.mu.Lock()
	for i := range 20_000 {
		f.live.begin(fmt.Sprintf("20261120-%032x", i), intentTime)
	}
	f.mu.Unlock()
	f.flushing.Wait()
	if err := f.rewrite(); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(in.Begin(t.Context(), "last", intentTime), in.Close()); err != nil {
		t.Fatal(err)
	}
	if st, err := os.Stat(path); err != nil || st.Size() != 2*slotSize(20_000*75) || st.Size() < 4*leastSlot {
		t.Errorf("%d bytes, %v", st.Size(), err)
	}
	if got := reopen(t, path); len(got) != 20_001 {
		t.Errorf("%d open", len(got))
	}
}
