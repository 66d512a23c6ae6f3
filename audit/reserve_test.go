package audit

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"testing"
	"time"
)

// narrow is a disk that is full until the reserve has given up enough.
type narrow struct{ need int64 }

func (n *narrow) wrap(r func() *reserve) func(appendFunc) appendFunc {
	return func(put appendFunc) appendFunc {
		return func(leaf []byte) (uint64, error) {
			if _, used := r().state(); used < n.need {
				return 0, fmt.Errorf("failed to create temp file: %w", syscall.ENOSPC)
			}
			return put(leaf)
		}
	}
}

// TestReserveSteps holds that a full disk costs reserve step by step while appends go on, and that they fail when it is spent.
func TestReserveSteps(t *testing.T) {
	t.Parallel()
	var n narrow
	var r *reserve
	c := testConfig()
	c.Dir, c.Reserve = t.TempDir(), 16<<12
	c.wrap = n.wrap(func() *reserve { return r })
	l := openTest(t, "disk", c)
	r = l.(*spine).drv.(*posix).spare
	mustAppend(t, l, NodeStarted{})
	for _, need := range []int64{1, 4096, 3 * 4096, 16 * 4096} {
		n.need = need
		mustAppend(t, l, HealthChanged{})
		want := (need + 4095) / 4096 * 4096
		if h := l.Health(); !h.OK || h.ReserveBytes != 16<<12 || h.ReserveUsed != want {
			t.Errorf("need %d: %+v", need, h)
		}
		if st, err := os.Stat(filepath.Join(c.Dir, "reserve")); err != nil || st.Size() != 16<<12-want {
			t.Errorf("reserve of %d bytes, %v", st.Size(), err)
		}
	}
	n.need = 17 * 4096
	if _, err := l.Append(t.Context(), HealthChanged{}); !errors.Is(err, ErrLogDown) || !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("append with the reserve spent: %v", err)
	}
	if l.Health().OK {
		t.Error("well with the reserve spent")
	}
	n.need = 0
	mustAppend(t, l, NodeStopped{})
	got := kindsOf(t, l)
	if !slices.Equal(got[5:], []string{"gap reserve_spent 1 []", "node.stopped"}) {
		t.Errorf("log %q", got)
	}
}

func TestReserveRefills(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 11, 20, 8, 0, 0, 0, time.UTC)
	path := filepath.Join(t.TempDir(), "reserve")
	r, err := openReserve(path, 16<<12, func() time.Time { return now })
	if err != nil {
		t.Fatal(err)
	}
	for i := range int64(3) {
		if !r.release(i * 4096) {
			t.Fatal("nothing released")
		}
	}
	if !r.release(0) { // somebody else has made room
		t.Error("no other try after others made room")
	}
	r.refill()
	if _, used := r.state(); used != 3*4096 {
		t.Errorf("used %d at once after a release", used)
	}
	for want := int64(2); want >= 0; want-- {
		now = now.Add(refillEvery)
		r.refill()
		if _, used := r.state(); used != want*4096 {
			t.Errorf("used %d, want %d", used, want*4096)
		}
	}
	if st, err := os.Stat(path); err != nil || st.Size() != 16<<12 {
		t.Errorf("%d bytes, %v", st.Size(), err)
	}
	for i := range int64(16) {
		r.release(i * 4096)
	}
	if r.release(16 * 4096) {
		t.Error("released what is not there")
	}
	if r, err = openReserve(path, 8<<12, time.Now); err != nil {
		t.Fatal(err)
	}
	if total, used := r.state(); total != 8<<12 || used != 0 {
		t.Errorf("opened again: %d, %d", total, used)
	}
	if _, err = openReserve(path, 4<<12, time.Now); err != nil {
		t.Fatal(err)
	}
	if st, err := os.Stat(path); err != nil || st.Size() != 4<<12 {
		t.Errorf("made smaller: %d bytes, %v", st.Size(), err)
	}
}

// TestFill covers file systems that cannot preallocate.
func TestFill(t *testing.T) {
	t.Parallel()
	f, err := os.Create(filepath.Join(t.TempDir(), "reserve"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	if err := fill(f, 0, 100<<10); err != nil {
		t.Fatal(err)
	}
	if st, err := f.Stat(); err != nil || st.Size() != 100<<10 {
		t.Errorf("%d bytes, %v", st.Size(), err)
	}
}
