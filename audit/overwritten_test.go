package audit

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

// pastFaults is a way past the page cache that writes part of what it is given and then answers err, not before gate is open where there is one.
type pastFaults struct {
	writerAtCloser
	part   int
	err    error
	gate   chan struct{}
	writes int
	closed bool
}

func (p *pastFaults) WriteAt(b []byte, at int64) (int, error) {
	p.writes++
	if p.gate != nil {
		<-p.gate
	}
	if p.err == nil {
		return p.writerAtCloser.WriteAt(b, at)
	}
	n, _ := p.writerAtCloser.WriteAt(b[:p.part], at)
	return n, p.err
}

func (p *pastFaults) Close() error {
	p.closed = true
	return p.writerAtCloser.Close()
}

// openPastFaults gives a file of zeros of which the way past the page cache is p over an ordinary file.
func openPastFaults(t *testing.T, path string, p *pastFaults) *overwritten {
	t.Helper()
	f, err := openOverwritten(path)
	if err != nil {
		t.Fatal(err)
	}
	if f.past != nil {
		_ = f.past.Close()
	}
	plain, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	p.writerAtCloser = plain
	f.past = p
	return f
}

// TestOverwritten holds which writes go past the page cache, that one the file system refuses goes the other way as a whole, and that a device's error is
// told and not covered up by another try.
func TestOverwritten(t *testing.T) {
	t.Parallel()
	blocks := bytes.Repeat([]byte("0123456789abcdef"), 2*slotBlock/16)
	whole := append(roomFor(nil, 2*slotBlock), blocks...)
	odd := append(roomFor(nil, 3*slotBlock), make([]byte, 8)...)
	odd = append(odd, blocks...)[8:]
	for name, c := range map[string]struct {
		b        []byte
		at       int64
		part     int
		err      error
		past     int // writes that went past
		want     error
		stays    bool // the way past is still used
		complete bool
	}{
		"whole blocks":              {b: whole, at: slotBlock, past: 1, stays: true, complete: true},
		"from within a block":       {b: whole, at: 100, stays: true, complete: true},
		"less than a block":         {b: whole[:100], at: slotBlock, stays: true, complete: true},
		"memory that begins in one": {b: odd, at: slotBlock, stays: true, complete: true},
		"refused":                   {b: whole, at: 0, err: syscall.EINVAL, past: 1, complete: true},
		"refused behind a part":     {b: whole, at: 0, part: 512, err: &os.PathError{Err: syscall.EINVAL}, past: 1, complete: true},
		"a broken device":           {b: whole, at: 0, part: 512, err: syscall.EIO, past: 1, want: syscall.EIO, stays: true},
		"a short write":             {b: whole, at: 0, part: slotBlock, err: syscall.ENOSPC, past: 1, want: syscall.ENOSPC, stays: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			path := filepath.Join(t.TempDir(), "file")
			if err := os.WriteFile(path, make([]byte, 8*slotBlock), 0o600); err != nil {
				t.Fatal(err)
			}
			p := &pastFaults{part: c.part, err: c.err}
			f := openPastFaults(t, path, p)
			n, err := f.WriteAt(c.b, c.at)
			if !errors.Is(err, c.want) || p.writes != c.past || (f.past != nil) != c.stays || p.closed == c.stays {
				t.Errorf("%d bytes, %v, %d went past, closed %v", n, err, p.writes, p.closed)
			}
			got := contents(t, path)[c.at:][:len(c.b)]
			if complete := bytes.Equal(got, c.b) && n == len(c.b); complete != c.complete {
				t.Errorf("%d of %d bytes are in the file: %v", n, len(c.b), complete)
			}
			if err := f.Close(); err != nil || !p.closed {
				t.Errorf("close: %v, %v", err, p.closed)
			}
		})
	}
}

// TestRoomFor holds that room is what was asked for, begins with a block of memory, and keeps what is there.
func TestRoomFor(t *testing.T) {
	t.Parallel()
	b := []byte("kept")
	for _, n := range []int{1, 100, slotBlock, slotBlock + 1, 10 * slotBlock, 3} {
		was := slices.Clone(b)
		b = roomFor(b, n)
		if !bytes.Equal(b, was) || cap(b)-len(b) < n || !atBlock(b) {
			t.Fatalf("room for %d: %d of %d, at a block: %v", n, len(b), cap(b), atBlock(b))
		}
		b = append(b, bytes.Repeat([]byte{'x'}, n)...)
	}
	if again := roomFor(b[:0], len(b)); &again[:1][0] != &b[0] {
		t.Error("room that was there was not used")
	}
}

// TestIntentsPast holds that nobody is told before a write past the page cache is through, that its failure is told to nobody as a success, and that a
// refusal costs no call.
func TestIntentsPast(t *testing.T) {
	for name, refuse := range map[string]error{"refused": syscall.EINVAL, "broken": syscall.EIO} {
		path := filepath.Join(t.TempDir(), "intents")
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				in, err := OpenIntents(path)
				if err != nil {
					t.Fatal(err)
				}
				f := in.(*fileIntents)
				p := &pastFaults{gate: make(chan struct{})}
				_ = f.slots.file.Close()
				f.slots.file = openPastFaults(t, path, p)
				told := false
				in.BeginAsync("held", intentTime, func(err error) { told = err == nil })
				time.Sleep(time.Second)
				if told || p.writes != 1 {
					t.Fatalf("told %v behind %d writes that hang", told, p.writes)
				}
				close(p.gate)
				synctest.Wait()
				if !told || !slices.Equal(replayed(t, path), []string{"held"}) {
					t.Errorf("told %v, in the file %q", told, replayed(t, path))
				}
				p.part, p.err = 700, refuse
				if err := in.Begin(t.Context(), "next", intentTime); err != nil {
					t.Errorf("with another way to write: %v", err)
				}
				if got := replayed(t, path); !slices.Equal(got, []string{"held", "next"}) {
					t.Errorf("in the file %q", got)
				}
				if err := in.Close(); err != nil {
					t.Error(err)
				}
			})
		})
	}
}
