package sovereign

import (
	"math"
	"reflect"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
	"unsafe"
)

func TestClearanceIsPointerFree(t *testing.T) {
	typ := reflect.TypeFor[Clearance]()
	if typ.Size() != 16 || typ.Size() != unsafe.Sizeof(Clearance{}) {
		t.Errorf("%d bytes", typ.Size())
	}
	for i := range typ.NumField() {
		if k := typ.Field(i).Type.Kind(); k != reflect.Uint64 && k != reflect.Int64 {
			t.Errorf("%s is a %v", typ.Field(i).Name, k)
		}
	}
}

func TestClearanceGood(t *testing.T) {
	for name, c := range map[string]struct {
		c     Clearance
		epoch uint64
		now   int64
		want  bool
	}{
		"open":                       {Clearance{3, math.MaxInt64}, 3, 5, true},
		"before its end":             {Clearance{3, 6}, 3, 5, true},
		"at its end":                 {Clearance{3, 5}, 3, 5, false},
		"after its end":              {Clearance{3, 4}, 3, 5, false},
		"older":                      {Clearance{3, math.MaxInt64}, 4, 5, false},
		"newer":                      {Clearance{4, math.MaxInt64}, 3, 5, false},
		"zero":                       {Clearance{}, 0, 5, false},
		"zero before 1970":           {Clearance{}, 0, -5, false},
		"zero under an epoch":        {Clearance{}, 3, -5, false},
		"half written, the end":      {Clearance{0, math.MaxInt64}, 0, 5, false},
		"half written, the epoch":    {Clearance{3, 0}, 3, 5, false},
		"a fence that was never one": {Clearance{0, 9}, 0, 5, false},
	} {
		if got := c.c.Good(c.epoch, c.now); got != c.want {
			t.Errorf("%s: %t", name, got)
		}
	}
}

func TestNanos(t *testing.T) {
	for _, c := range []struct {
		in   time.Time
		want int64
	}{
		{time.Time{}, math.MaxInt64},
		{now, now.UnixNano()},
		{time.Unix(0, 0), 0},
		{date("1969-01-01"), date("1969-01-01").UnixNano()},
		{date("9999-12-31"), math.MaxInt64},
		{date("0001-01-02"), math.MinInt64},
		{date("2262-04-11"), date("2262-04-11").UnixNano()},
		{date("2262-04-13"), math.MaxInt64},
	} {
		if got := nanos(c.in); got != c.want {
			t.Errorf("%v: %d, want %d", c.in, got, c.want)
		}
	}
}

// A Clearance and Live say the same, before and after a change of the snapshot and around the end of a grant.
func TestClearanceFollowsThePass(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		time.Sleep(time.Until(now)) // a bubble begins in the year 2000, before the law of these tests
		for _, p := range []*Pass{nil, {}} {
			if c, ok := p.Clear(time.Now()); ok || c != (Clearance{}) {
				t.Errorf("%v, %t", c, ok)
			}
		}
		s := worldNow(t)
		f := NewFence(s.WithGrants(grantFor("iad", time.Hour, virginia)), nil)
		p, _ := f.Pass(Ask{Party: "iad", Plane: Media, Addr: addr("198.51.100.1:4000")})
		c, ok := p.Clear(time.Time{})
		good := func() bool { return c.Good(f.Epoch(), time.Now().UnixNano()) }
		if !ok || !good() || c.until != time.Now().Add(time.Hour).UnixNano() {
			t.Fatalf("%+v, %t", c, ok)
		}
		time.Sleep(time.Hour - 1)
		if !good() || !p.Live(time.Now()) {
			t.Error("not good although the grant is live")
		}
		time.Sleep(time.Nanosecond)
		if again, ok := p.Clear(time.Now()); good() || ok || again != (Clearance{}) {
			t.Errorf("good after the end of the grant: %+v, %t", again, ok)
		}
		// A longer grant opens it again; the old clearance stays what it was.
		f.Swap(s.WithGrants(grantFor("iad", time.Hour, virginia)))
		old := c
		if c, ok = p.Clear(time.Now()); !ok || !good() || old.Good(f.Epoch(), time.Now().UnixNano()) {
			t.Errorf("%+v, %t", c, ok)
		}
		// The grant is revoked: the clearance has an hour to go and is dead.
		f.Swap(s.WithGrants(nil))
		if _, ok := p.Clear(time.Now()); good() || ok {
			t.Error("good after the grant was revoked")
		}
		// A swap that changes nothing for the pass costs one question.
		f.Swap(s.WithGrants(grantFor("iad", time.Hour, virginia)))
		c, _ = p.Clear(time.Now())
		f.Swap(f.Snapshot())
		if good() {
			t.Error("good across a swap")
		}
		if c, ok = p.Clear(time.Now()); !ok || !good() {
			t.Error("the pass is live and gives no clearance")
		}
		f.Swap(nil)
		if _, ok := p.Clear(time.Now()); good() || ok {
			t.Error("good without a snapshot")
		}
	})
}

func TestEpochGrows(t *testing.T) {
	s := worldNow(t)
	f := NewFence(nil, nil)
	last := f.Epoch()
	if last == 0 {
		t.Error("epoch 0")
	}
	called := 0
	defer f.OnSwap(func(*Snapshot) {
		if called++; f.Epoch() <= last {
			t.Error("told of the swap before the epoch changed")
		}
	})()
	for _, next := range []*Snapshot{s, s, nil, s} {
		f.Swap(next)
		if f.Epoch() != last+1 {
			t.Errorf("epoch %d after %d", f.Epoch(), last)
		}
		last++
	}
	if called != 4 {
		t.Errorf("told %d times", called)
	}
}

// An epoch is seen only by those who see its snapshot, too, or a later one.
func TestEpochFollowsItsSnapshot(t *testing.T) {
	f := NewFence(&Snapshot{}, nil)
	first := f.Epoch()
	const swaps = 200_000
	var looking sync.WaitGroup
	looking.Go(func() {
		for epoch := first; epoch < first+swaps; runtime.Gosched() {
			for range 100 {
				epoch = f.Epoch()
				if g := f.Snapshot().Generation(); g < epoch-first {
					t.Errorf("snapshot %d in epoch %d", g, epoch-first)
					return
				}
			}
		}
	})
	for g := range uint64(swaps) {
		f.Swap(&Snapshot{cfg: SnapshotConfig{Generation: g + 1}})
	}
	looking.Wait()
}

// What one fence gave is not good at another one, such as that of the process that took over the memory.
func TestClearanceOfAnEarlierFence(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		time.Sleep(time.Until(now))
		s := worldNow(t)
		first := NewFence(s, nil)
		for range 100 {
			first.Swap(s)
		}
		p, _ := first.Pass(Ask{Addr: addr("192.0.2.1:4000")})
		c, ok := p.Clear(time.Now())
		if !ok {
			t.Fatal("no clearance")
		}
		time.Sleep(time.Millisecond)
		next := NewFence(s, nil)
		for range 1000 {
			if c.Good(next.Epoch(), time.Now().UnixNano()) {
				t.Fatal("good at another fence")
			}
			next.Swap(s)
		}
	})
}

// Whoever loads the epoch after Swap returned finds no clearance good that rests on the snapshot before, however Clear and Swap met.
func TestNoClearanceOutlivesASwap(t *testing.T) {
	s := worldNow(t)
	open, shut := s.WithGrants(grantFor("iad", time.Hour, virginia)), s.WithGrants(nil)
	f := NewFence(open, nil)
	p, _ := f.Pass(Ask{Party: "iad", Plane: Media, Addr: addr("198.51.100.1:4000")})
	f.Swap(shut)
	at := time.Now()
	var swaps atomic.Int64 // grows before an open snapshot and after a shut one, so it is even only while the pass is shut
	var given atomic.Int64 // clearances
	var clearing sync.WaitGroup
	clearing.Go(func() {
		for given.Load() < 5000 && !t.Failed() {
			c, ok := p.Clear(at)
			if !ok {
				runtime.Gosched()
				continue
			}
			for given.Add(1); swaps.Load()%2 == 1 && c.Good(f.Epoch(), at.UnixNano()); {
				runtime.Gosched()
			}
			if swaps.Load()%2 == 0 && c.Good(f.Epoch(), at.UnixNano()) {
				t.Error("good after Swap returned")
			}
		}
	})
	for given.Load() < 5000 && !t.Failed() {
		swaps.Add(1)
		f.Swap(open)
		if swaps.Load()%4 == 1 {
			runtime.Gosched()
		}
		f.Swap(shut)
		swaps.Add(1)
		runtime.Gosched()
	}
	clearing.Wait()
}

func BenchmarkClearanceGood(b *testing.B) {
	f := NewFence(world(b, nil), nil)
	p, _ := f.Pass(Ask{Addr: addr("192.0.2.1:1")})
	at := time.Now()
	c, _ := p.Clear(at)
	ns := at.UnixNano()
	b.ReportAllocs()
	for b.Loop() {
		if !c.Good(f.Epoch(), ns) {
			b.Fatal("not good")
		}
	}
}

func BenchmarkPassClear(b *testing.B) {
	f := NewFence(world(b, nil), nil)
	p, _ := f.Pass(Ask{Addr: addr("192.0.2.1:1")})
	at := time.Now()
	b.ReportAllocs()
	for b.Loop() {
		if _, ok := p.Clear(at); !ok {
			b.Fatal("dead")
		}
	}
}
