package osnet

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"slices"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// TestMonotonic holds it against the kernel's, which other processes go by.
func TestMonotonic(t *testing.T) {
	for try := range 1000 {
		var before, after unix.Timespec
		err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &before)
		now := Monotonic()
		if err = errors.Join(err, unix.ClockGettime(unix.CLOCK_MONOTONIC, &after)); err != nil {
			t.Fatal(err)
		}
		const off = int64(50 * time.Microsecond) // more than can be measured, less than would matter
		if now < before.Nano()-off || now > after.Nano()+off {
			t.Fatalf("try %d: %d is not from %d to %d", try, now, before.Nano(), after.Nano())
		}
	}
}

// TestSleepUntil: never early, whatever signals come.
func TestSleepUntil(t *testing.T) {
	for _, d := range []time.Duration{-time.Hour, 0, 100 * time.Microsecond, 2 * time.Millisecond} {
		until := Monotonic() + int64(d)
		if SleepUntil(until); Monotonic() < until-int64(time.Microsecond) {
			t.Errorf("%v: %v early", d, time.Duration(until-Monotonic()))
		}
	}
	SleepUntil(-5) // a moment that was before the clock began
	interrupted(t, func() {
		until := Monotonic() + int64(20*time.Millisecond)
		if SleepUntil(until); Monotonic() < until-int64(time.Microsecond) {
			t.Errorf("%v early", time.Duration(until-Monotonic()))
		}
	})
}

// inThread runs f in a thread that ends with it: what it changes concerns nobody else.
func inThread(f func()) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread()
		f()
	}()
	<-done
}

// TestThread: what is asked for a thread is so for it, and for no other.
func TestThread(t *testing.T) {
	state := func() (slack, cpus, nice int) {
		slack, err := unix.PrctlRetInt(unix.PR_GET_TIMERSLACK, 0, 0, 0, 0)
		var set unix.CPUSet
		nice, err2 := unix.Getpriority(unix.PRIO_PROCESS, unix.Gettid())
		if err = errors.Join(err, err2, unix.SchedGetaffinity(0, &set)); err != nil {
			t.Error(err)
		}
		return slack, set.Count(), 20 - nice // as the system call gives it
	}
	var slack, cpus, nice int
	inThread(func() { slack, cpus, nice = state() })
	inThread(func() {
		if err := Sharpen(); err != nil {
			t.Error(err)
		}
		var set unix.CPUSet
		_ = unix.SchedGetaffinity(0, &set)
		cpu := 0
		for !set.IsSet(cpu) {
			cpu++
		}
		if err := Pin(cpu); err != nil {
			t.Error(err)
		}
		want := niceness
		if err := Raise(); err != nil { // an ordinary user may not
			if want = nice; !errors.Is(err, os.ErrPermission) {
				t.Error(err)
			}
		}
		if s, c, n := state(); s != 1 || c != 1 || n != want {
			t.Errorf("slack %d ns, %d processors, niceness %d, want %d", s, c, n, want)
		}
		if err := Pin(1023); !errors.Is(err, unix.EINVAL) {
			t.Errorf("pinned to a processor that is not there: %v", err)
		}
	})
	inThread(func() {
		if s, c, n := state(); s != slack || c != cpus || n != nice {
			t.Errorf("another thread: slack %d ns, %d processors, niceness %d; want %d, %d, %d", s, c, n, slack, cpus, nice)
		}
	})
}

func BenchmarkMonotonic(b *testing.B) {
	b.Run("Monotonic", func(b *testing.B) {
		for b.Loop() {
			Monotonic()
		}
	})
	b.Run("Now", func(b *testing.B) {
		for b.Loop() {
			time.Now()
		}
	})
}

// BenchmarkSleepUntil says how late a tick of 1 ms is, with the slack of an ordinary thread and without.
func BenchmarkSleepUntil(b *testing.B) {
	for _, sharp := range []bool{false, true} {
		b.Run(fmt.Sprintf("sharp=%v", sharp), func(b *testing.B) {
			inThread(func() {
				if sharp {
					if err := Sharpen(); err != nil {
						b.Error(err)
					}
				}
				var late []float64
				until := Monotonic()
				for b.Loop() {
					until = max(until, Monotonic()) + int64(time.Millisecond)
					SleepUntil(until)
					late = append(late, float64(Monotonic()-until)/1e3)
				}
				slices.Sort(late)
				b.ReportMetric(late[len(late)/2], "p50-us-late")
				b.ReportMetric(late[len(late)*99/100], "p99-us-late")
			})
		})
	}
}
