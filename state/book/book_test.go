package book

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cordonsip/cordon/state"
)

// open opens a book in a fresh folder, or again.
func open(t testing.TB, path string) *Book {
	t.Helper()
	b, err := Open(Config{Path: path})
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// running runs b until the test stops it.
func running(t testing.TB, b *Book) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	wg.Go(func() { _ = b.Run(ctx) })
	return func() { cancel(); wg.Wait() }
}

func said(list []Record) string {
	var out []string
	for _, r := range list {
		out = append(out, r.Key+"="+string(r.Value))
	}
	return strings.Join(out, " ")
}

func TestWhatWasPutIsThereAgain(t *testing.T) {
	path := filepath.Join(t.TempDir(), "calls")
	b := open(t, path)
	b.Put("a", []byte("1"))
	b.Put("b", []byte("2"))
	b.Put("a", []byte("3"))
	b.Put("c", nil)
	b.Put("d", []byte("4"))
	b.Delete("d")
	b.Delete("never was")
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	b.Put("late", []byte("x")) // after the end: nobody writes it, and nothing breaks
	st, err := os.Stat(path)
	if err != nil || st.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v, want 0600", st.Mode(), err)
	}
	again := open(t, path)
	if got, want := said(again.Left()), "b=2 a=3 c="; got != want {
		t.Errorf("left %q, want %q", got, want)
	}
	if again.Damage() != 0 || again.Aside() != "" || again.Written().IsZero() {
		t.Errorf("damage %d, aside %q, written %v", again.Damage(), again.Aside(), again.Written())
	}
	if again.Left() != nil {
		t.Error("what was left is given once")
	}
}

// A process that is killed runs nothing any more: what was put a moment before is in the file without a Close.
func TestWhatWasPutNeedsNoOrderlyEnd(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "calls")
	b := open(t, path)
	stop := running(t, b)
	defer stop()
	for i := range 100 {
		b.Put(fmt.Sprint("call", i), bytes.Repeat([]byte{byte(i)}, 1000))
	}
	copied := filepath.Join(dir, "copy")
	var left []Record
	for deadline := time.Now().Add(10 * time.Second); len(left) < 100 && time.Now().Before(deadline); time.Sleep(time.Millisecond) {
		raw, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(copied, raw, 0o600); err != nil {
			t.Fatal(err)
		}
		left = open(t, copied).Left()
	}
	if len(left) != 100 || !bytes.Equal(left[99].Value, bytes.Repeat([]byte{99}, 1000)) {
		t.Errorf("%d records, want 100", len(left))
	}
}

func TestATornTailIsLeftOut(t *testing.T) {
	raw := head()
	for i := range 5 {
		raw = appendPut(raw, fmt.Sprint("k", i), bytes.Repeat([]byte("v"), 50))
	}
	frame := (len(raw) - len(magic)) / 5
	for cut := range len(raw) + 1 {
		path := filepath.Join(t.TempDir(), "calls")
		if err := os.WriteFile(path, raw[:cut], 0o600); err != nil {
			t.Fatal(err)
		}
		b := open(t, path)
		want := max(cut-len(magic), 0) / frame
		if got := len(b.Left()); got != want {
			t.Fatalf("cut at %d: %d records, want %d", cut, got, want)
		}
		if torn := b.Damage() > 0; torn != (cut > 0 && cut != len(magic)+want*frame) {
			t.Fatalf("cut at %d: damage %d", cut, b.Damage())
		}
		b.Put("new", []byte("n")) // and what comes after it reads
		if err := b.Close(); err != nil {
			t.Fatal(err)
		}
		if got := len(open(t, path).Left()); got != want+1 {
			t.Fatalf("cut at %d: %d records after one more, want %d", cut, got, want+1)
		}
	}
}

func TestADamagedByteEndsTheBook(t *testing.T) {
	raw := appendPut(appendPut(appendPut(head(), "a", []byte("1")), "b", []byte("2")), "c", []byte("3"))
	size := (len(raw) - len(magic)) / 3
	for at := len(magic) + size; at < len(magic)+2*size; at++ {
		bad := bytes.Clone(raw)
		bad[at] ^= 0x40
		list, whole, err := read(bad)
		if err != nil || said(list) != "a=1" || whole != int64(len(magic)+size) {
			t.Fatalf("byte %d changed: %q, %d bytes, %v", at, said(list), whole, err)
		}
	}
	// Zeros behind the end, as a file system leaves them when the machine went down.
	if list, _, err := read(append(raw, make([]byte, 4096)...)); err != nil || said(list) != "a=1 b=2 c=3" {
		t.Errorf("zeros behind the end: %q, %v", said(list), err)
	}
}

func TestWhatIsNoBookIsMovedAside(t *testing.T) {
	path := filepath.Join(t.TempDir(), "calls")
	if err := os.WriteFile(path, []byte("cordon book, version 9\nand more"), 0o600); err != nil {
		t.Fatal(err)
	}
	b := open(t, path)
	if len(b.Left()) != 0 || b.Aside() == "" {
		t.Fatalf("aside %q", b.Aside())
	}
	if raw, err := os.ReadFile(b.Aside()); err != nil || !strings.Contains(string(raw), "version 9") {
		t.Errorf("what was moved aside reads %q, %v", raw, err)
	}
}

func TestTheFileStaysInBounds(t *testing.T) {
	path := filepath.Join(t.TempDir(), "calls")
	b := open(t, path)
	for i := range 20_000 { // 20 calls that change all the time
		b.Put(fmt.Sprint("call", i%20), bytes.Repeat([]byte{byte(i)}, 1000))
		if i%100 == 0 {
			b.write()
		}
	}
	b.write()
	st, err := os.Stat(path)
	if err != nil || st.Size() > 2*20*1030+slack+100*1030 {
		t.Fatalf("%d bytes, %v", st.Size(), err)
	}
	for i := range 20 {
		b.Delete(fmt.Sprint("call", i))
	}
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	if left := open(t, path).Left(); len(left) != 0 {
		t.Errorf("%d records are left", len(left))
	}
}

// What was to be forgotten is out of the file after a while, however little it is.
func TestNothingStaysForLongThatWasDeleted(t *testing.T) {
	path := filepath.Join(t.TempDir(), "calls")
	synctest.Test(t, func(t *testing.T) {
		b := open(t, path)
		stop := running(t, b)
		b.Put("a", []byte("sip:+4917012345678@carrier.example"))
		time.Sleep(time.Minute)
		b.Delete("a")
		time.Sleep(time.Second)
		if raw, _ := os.ReadFile(path); !bytes.Contains(raw, []byte("+49170")) {
			t.Error("this test shows nothing: it is gone at once")
		}
		time.Sleep(oldest + oldest/4 + time.Second)
		synctest.Wait()
		raw, err := os.ReadFile(path)
		if err != nil || bytes.Contains(raw, []byte("+49170")) {
			t.Errorf("the number is still in the file, %v", err)
		}
		stop()
		if err := b.Close(); err != nil {
			t.Error(err)
		}
	})
}

// full fails every write while it is full, after part of it was done.
type full struct {
	file
	full bool
}

func (f *full) WriteAt(p []byte, off int64) (int, error) {
	if f.full {
		n, _ := f.file.WriteAt(p[:len(p)/2], off)
		return n, errors.New("no space left on device")
	}
	return f.file.WriteAt(p, off)
}

func TestAFullDiskLosesNothingThatWaits(t *testing.T) {
	path := filepath.Join(t.TempDir(), "calls")
	b := open(t, path)
	disk := &full{file: b.file}
	b.file = disk
	b.Put("a", []byte("1"))
	b.write()
	disk.full = true
	b.Put("b", bytes.Repeat([]byte("2"), 500))
	if b.write() {
		t.Error("a failed write counts as one")
	}
	b.Delete("a")
	if b.write() {
		t.Error("a failed write counts as one")
	}
	raw, err := os.ReadFile(path)
	if list, _, _ := read(raw); err != nil || said(list) != "a=1" {
		t.Errorf("meanwhile the file says %q, %v", said(list), err)
	}
	disk.full = false
	b.Put("c", []byte("3"))
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	if got := said(open(t, path).Left()); got != "b="+strings.Repeat("2", 500)+" c=3" {
		t.Errorf("left %q", got)
	}
}

// A disk that hangs must not gather calls without bound: a call whose new state cannot be kept is forgotten, because its old one would be wrong.
func TestADiskThatHangsHoldsNoOldState(t *testing.T) {
	path := filepath.Join(t.TempDir(), "calls")
	b := open(t, path)
	b.Put("a", []byte("old"))
	b.write()
	value := bytes.Repeat([]byte{1}, MaxValue)
	for range 2 * maxPending / MaxValue {
		b.Put("big", value)
	}
	b.Put("a", []byte("new"))
	b.Put("huge", make([]byte, MaxValue+1))
	if n := len(b.pending); n > maxPending+2*MaxValue {
		t.Errorf("%d bytes wait", n)
	}
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	if left := open(t, path).Left(); len(left) != 0 {
		t.Errorf("left %d records, want none: their newest state was not kept", len(left))
	}
}

func FuzzRead(f *testing.F) {
	f.Add(head())
	f.Add(appendDelete(appendPut(appendPut(head(), "a", []byte("1")), "b", []byte("2")), "a"))
	f.Add(append(appendPut(head(), "a", []byte("1")), 9, 0, 0, 0, 1, 2, 3))
	f.Fuzz(func(t *testing.T, raw []byte) {
		list, whole, err := read(raw)
		if err != nil {
			return
		}
		if whole < 0 || whole > int64(len(raw)) {
			t.Fatalf("%d of %d bytes", whole, len(raw))
		}
		again := head()
		for _, r := range list {
			again = appendPut(again, r.Key, r.Value)
		}
		if back, n, err := read(again); err != nil || n != int64(len(again)) || said(back) != said(list) {
			t.Fatalf("written anew it reads %q, want %q, %v", said(back), said(list), err)
		}
	})
}

// What one change of a call costs: here, with the write that it shares with those of 64, and as a key of the store with compare-and-swap.
func BenchmarkPut(b *testing.B) {
	book := open(b, filepath.Join(b.TempDir(), "calls"))
	value := bytes.Repeat([]byte("x"), 1200)
	b.ReportAllocs()
	for i := range b.N {
		book.Put(names[i%len(names)], value)
		if i%64 == 0 {
			book.write()
		}
	}
}

func BenchmarkPutAlone(b *testing.B) {
	book := open(b, filepath.Join(b.TempDir(), "calls"))
	value := bytes.Repeat([]byte("x"), 1200)
	b.ReportAllocs()
	for i := range b.N {
		book.Put(names[i%len(names)], value)
		book.write()
	}
}

func BenchmarkSwap(b *testing.B) {
	kv, err := state.Open(b.Context(), state.Config{Dir: b.TempDir(), Node: "bench"})
	if err != nil {
		b.Fatal(err)
	}
	defer kv.Close()
	value, revs := bytes.Repeat([]byte("x"), 1200), map[string]uint64{}
	b.ReportAllocs()
	b.ResetTimer()
	for i := range b.N {
		k := names[i%len(names)]
		if revs[k], err = kv.Swap(b.Context(), k, revs[k], value); err != nil {
			b.Fatal(err)
		}
	}
}

var names = func() (out []string) {
	for i := range 1000 {
		out = append(out, fmt.Sprint("s0123456789abcdefgh", i))
	}
	return out
}()
