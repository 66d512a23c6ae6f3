package audit

import (
	"crypto/rand"
	"errors"
	"io/fs"
	"os"
	"sync"
	"time"
)

const (
	reserveSteps = 16
	refillEvery  = 30 * time.Second
)

// reserve is disk space held back for the log: one file, preallocated, cut shorter step by step when the disk is full, and grown again
// when there is room.
type reserve struct {
	path string
	now  func() time.Time

	mu    sync.Mutex
	total int64
	have  int64
	tried time.Time // the last attempt to grow
}

// openReserve makes the file as long as it can. On a full disk it is shorter than asked, which shows as used: the log must open.
func openReserve(path string, total int64, now func() time.Time) (*reserve, error) {
	r := &reserve{path: path, now: now, total: total}
	st, err := os.Stat(path)
	switch {
	case err == nil:
		r.have = st.Size()
	case !errors.Is(err, fs.ErrNotExist):
		return nil, err
	}
	if r.have > total {
		if err := os.Truncate(path, total); err != nil {
			return nil, err
		}
		r.have = total
	}
	for r.have < r.total {
		if err := r.grow(); isFull(err) {
			break
		} else if err != nil {
			return nil, err
		}
	}
	return r, nil
}

func (r *reserve) step() int64 { return (r.total + reserveSteps - 1) / reserveSteps }

// grow adds one step, or nothing.
func (r *reserve) grow() error {
	f, err := os.OpenFile(r.path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return err
	}
	n := min(r.step(), r.total-r.have)
	err = allocate(f, r.have, n)
	if err == nil {
		err = f.Sync()
	}
	if err != nil {
		return errors.Join(err, f.Truncate(r.have), f.Close())
	}
	r.have += n
	return f.Close()
}

// release gives up one step, unless somebody has since used was read. It says whether another try is worth it.
func (r *reserve) release(used int64) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.total-r.have > used {
		return true
	}
	if r.have == 0 {
		return false
	}
	next := max(0, r.have-r.step())
	if os.Truncate(r.path, next) != nil {
		return false
	}
	r.have, r.tried = next, r.now()
	return true
}

// refill takes back one step when the disk has room for the whole reserve and as much again, at most every 30 seconds.
func (r *reserve) refill() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.have == r.total {
		return
	}
	now := r.now()
	if now.Sub(r.tried) < refillEvery {
		return
	}
	r.tried = now
	if free(r.path) < 2*r.total-r.have {
		return
	}
	_ = r.grow() // a failure leaves it as it is, and shows in state
}

func (r *reserve) state() (total, used int64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.total, r.total - r.have
}

// fill writes n bytes that do not compress, so that every file system spends blocks on them.
func fill(f *os.File, offset, n int64) error {
	block := make([]byte, 64<<10)
	_, _ = rand.Read(block) // never fails: crypto/rand ends the program instead
	for n > 0 {
		w, err := f.WriteAt(block[:min(n, int64(len(block)))], offset)
		if err != nil {
			return err
		}
		offset, n = offset+int64(w), n-int64(w)
	}
	return nil
}
