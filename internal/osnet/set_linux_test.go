package osnet

import (
	"errors"
	"math"
	"runtime"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func newSet(t testing.TB) *Set {
	t.Helper()
	s, err := NewSet()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s
}

// waiting gives sockets in each of which a datagram waits.
func waiting(t testing.TB, n int) []*Socket {
	t.Helper()
	from, all := socket(t, loopbacks[0], SocketOptions{}), make([]*Socket, n)
	for i := range all {
		all[i] = socket(t, loopbacks[0], SocketOptions{})
		if _, err := from.WriteToUDPAddrPort([]byte("x"), all[i].Bound()); err != nil {
			t.Fatal(err)
		}
	}
	for _, s := range all {
		_, _ = unix.Poll([]unix.PollFd{{Fd: int32(s.FD()), Events: unix.POLLIN}}, 10_000)
	}
	return all
}

// TestSetTags: all 64 bits come back.
func TestSetTags(t *testing.T) {
	s, tags := newSet(t), make([]uint64, 16)
	if n := s.Ready(tags); n != 0 {
		t.Fatalf("%d ready of none", n)
	}
	want := map[uint64]bool{0: true, 1: true, 1 << 31: true, 1 << 32: true, 1 << 63: true, 0xdeadbeef00000001: true, math.MaxUint64: true, math.MaxUint32: true}
	socks := waiting(t, len(want))
	left := socks
	for tag := range want {
		if err := s.Add(left[0].FD(), tag); err != nil {
			t.Fatal(err)
		}
		left = left[1:]
	}
	for range 3 { // as long as it waits there
		n, got := s.Ready(tags), map[uint64]bool{}
		for _, tag := range tags[:n] {
			got[tag] = true
		}
		if n != len(want) || len(got) != n {
			t.Fatalf("%x of %v", tags[:n], want)
		}
		for tag := range want {
			if !got[tag] {
				t.Errorf("%x is not reported", tag)
			}
		}
	}
	if err := s.Add(socks[0].FD(), 9); !errors.Is(err, syscall.EEXIST) {
		t.Errorf("added twice: %v", err)
	}
	other := socket(t, loopbacks[0], SocketOptions{})
	if err := s.Remove(other.FD()); !errors.Is(err, syscall.ENOENT) {
		t.Errorf("removed what is not in it: %v", err)
	}
	if err := s.Add(-1, 1); !errors.Is(err, syscall.EBADF) {
		t.Errorf("added none: %v", err)
	}
	for _, c := range socks {
		if err := s.Remove(c.FD()); err != nil {
			t.Fatal(err)
		}
	}
	if n := s.Ready(tags); n != 0 {
		t.Errorf("%x are reported of none", tags[:n])
	}
}

// TestSetTakesTurns: with more sockets ready than there is room for, each has its turn, whether or not a Wake stands in the way.
func TestSetTakesTurns(t *testing.T) {
	const all = 600
	s := newSet(t)
	for i, c := range waiting(t, all) {
		if err := s.Add(c.FD(), uint64(i)); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct{ tags, given int }{{1, 1}, {100, 100}, {maxReady, maxReady}, {1000, maxReady}} {
		for _, woken := range []bool{false, true} {
			if woken {
				s.Wake()
			}
			tags, seen := make([]uint64, c.tags), map[uint64]bool{}
			for range (all + c.given - 1) / c.given {
				n := s.Ready(tags)
				if n != c.given {
					t.Fatalf("%d given for room for %d", n, c.tags)
				}
				for _, tag := range tags[:n] {
					seen[tag] = true
				}
			}
			if len(seen) != all {
				t.Errorf("room for %d, woken %v: %d of %d had a turn", c.tags, woken, len(seen), all)
			}
			if woken && s.Wait(tags, -1) > c.given {
				t.Error("more than there is room for")
			}
		}
	}
}

// TestSetKeepsWhatAnotherHolds is why Remove comes first: the kernel takes a socket out of a set when nobody has it any more.
func TestSetKeepsWhatAnotherHolds(t *testing.T) {
	tags := make([]uint64, 4)
	for _, removed := range []bool{true, false} {
		s, c := newSet(t), waiting(t, 1)[0]
		other, err := AdoptSocket(copied(t, c.FD()))
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Add(c.FD(), 5); err != nil {
			t.Fatal(err)
		}
		if removed {
			if err := s.Remove(c.FD()); err != nil {
				t.Fatal(err)
			}
		}
		c.Close()
		if n := s.Ready(tags); (n == 0) != removed {
			t.Errorf("removed %v: %d ready", removed, n)
		}
		other.Close()
		if n := s.Ready(tags); n != 0 {
			t.Errorf("removed %v: %d ready of a socket that nobody has", removed, n)
		}
	}
}

// TestWake: one Wake ends one Wait, whether it was before or meanwhile; Ready does not use it up.
func TestWake(t *testing.T) {
	s, tags := newSet(t), make([]uint64, 4)
	s.Wake()
	s.Wake()
	if n := s.Ready(tags); n != 0 {
		t.Fatalf("a Wake is reported as %x", tags[:n])
	}
	if n := s.Wait(tags, -1); n != 0 {
		t.Fatalf("a Wake is reported as %x", tags[:n])
	}
	if woken, errno := s.wait(0); s.woken.Load() || woken || errno != 0 {
		t.Error("a Wait leaves the Wake behind")
	}
	// None is lost, however the two meet.
	const all = 4000
	var asked, done atomic.Int64
	answered := make(chan struct{}, 1)
	var wg sync.WaitGroup
	defer wg.Wait()
	wg.Go(func() {
		tags := make([]uint64, 4)
		for done.Load() < all {
			if n := s.Wait(tags, -1); n != 0 {
				t.Errorf("%d ready of none", n)
			}
			if now := asked.Load(); now != done.Load() {
				done.Store(now)
				answered <- struct{}{}
			}
		}
	})
	for range all {
		asked.Add(1)
		s.Wake()
		if asked.Load()%2 == 0 {
			s.Wake()
		}
		select {
		case <-answered:
		case <-time.After(20 * time.Second):
			t.Error("a Wake was lost")
			asked.Store(all)
			s.woken.Store(false)
			s.Wake()
			return
		}
	}
}

// TestWaitEndsInTime: not before its time, whatever signals come, and at once for a socket.
func TestWaitEndsInTime(t *testing.T) {
	s, tags := newSet(t), make([]uint64, 4)
	wait := func(d time.Duration) {
		before := Monotonic()
		if n := s.Wait(tags, d); n != 0 || time.Duration(Monotonic()-before) < d {
			t.Errorf("%d ready after %v of %v", n, time.Duration(Monotonic()-before), d)
		}
	}
	for _, d := range []time.Duration{0, 1, 300 * time.Microsecond, 1500 * time.Microsecond} {
		wait(d)
	}
	interrupted(t, func() { wait(20 * time.Millisecond) })
	if err := s.Add(waiting(t, 1)[0].FD(), 3); err != nil {
		t.Fatal(err)
	}
	if n := s.Wait(tags, -1); n != 1 || tags[0] != 3 {
		t.Errorf("%x", tags[:n])
	}
	s.Wake()
	if n := s.Wait(tags, -1); n != 1 || tags[0] != 3 || s.woken.Load() {
		t.Errorf("next to a Wake %x", tags[:n])
	}
}

// interrupted runs f in a thread that gets signals all the time.
func interrupted(t *testing.T, f func()) {
	t.Helper()
	thread, done := make(chan int), make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		thread <- unix.Gettid()
		f()
	}()
	id := <-thread
	for sent := 0; ; sent++ {
		select {
		case <-done:
			if sent == 0 {
				t.Error("there was no signal")
			}
			return
		default:
			_ = unix.Tgkill(unix.Getpid(), id, unix.SIGURG) // which Go uses itself, and so expects at any time
			time.Sleep(100 * time.Microsecond)
		}
	}
}

// TestSetCloses: a Wake that comes too late writes to nobody, and nothing stays open.
func TestSetCloses(t *testing.T) {
	keepsNone(t, func() {
		for range 100 {
			s, err := NewSet()
			if err != nil {
				t.Fatal(err)
			}
			var wg sync.WaitGroup
			for range 3 {
				wg.Go(s.Wake)
			}
			s.Close()
			s.Close()
			wg.Wait()
			s.Wake()
			if n := s.Ready(make([]uint64, 1)) + s.Wait(make([]uint64, 1), -1); n != 0 {
				t.Errorf("%d ready in a closed set", n)
			}
			if err := s.Add(0, 1); !errors.Is(err, syscall.EBADF) {
				t.Errorf("added to a closed set: %v", err)
			}
		}
		s, err := NewSet()
		if err != nil {
			t.Fatal(err)
		}
		s.Close()
		for range 2 { // which take the numbers that became free
			fd, err := unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK)
			if err != nil {
				t.Fatal(err)
			}
			defer unix.Close(fd)
			s.woken.Store(false)
			s.Wake()
			if _, err := unix.Read(fd, make([]byte, 8)); !errors.Is(err, unix.EAGAIN) {
				t.Errorf("a Wake after Close went to another file: %v", err)
			}
		}
	})
}

// BenchmarkWake is there and back: two sets wake each other.
func BenchmarkWake(b *testing.B) {
	one, two := newSet(b), newSet(b)
	var end atomic.Bool
	var wg sync.WaitGroup
	wg.Go(func() {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		tags := make([]uint64, 1)
		for two.Wait(tags, -1); !end.Load(); two.Wait(tags, -1) {
			one.Wake()
		}
	})
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	tags := make([]uint64, 1)
	for b.Loop() {
		two.Wake()
		one.Wait(tags, -1)
	}
	end.Store(true)
	two.Wake()
	wg.Wait()
}
