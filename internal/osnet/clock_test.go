package osnet

import (
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// TestClock asks the real kernel: whatever it says is one of three things.
func TestClock(t *testing.T) {
	r := Clock()
	want := map[string]ClockReading{
		SourceSynced:   {Known: true, Synced: true},
		SourceUnsynced: {Known: true},
		SourceUnknown:  {},
	}
	w, ok := want[r.Source]
	if !ok || r.Known != w.Known || r.Synced != w.Synced || !r.Synced && (r.OffsetMS != nil || r.EstErrorMS != nil || r.MaxErrorMS != nil) {
		t.Errorf("%+v", r)
	}
	if c := NewClock(0); c.every != time.Second || c.Reading().Source == "" {
		t.Errorf("a cache of %v gives %+v", c.every, c.Reading())
	}
}

// TestClockCache holds that however many ask, and however often, the kernel is asked once in a while, and nobody waits for it.
func TestClockCache(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		asked := 0
		slow := make(chan struct{})
		c := newClock(time.Second, func() ClockReading {
			asked++
			if asked == 3 {
				<-slow
			}
			return ClockReading{Source: string(rune('a' + asked - 1))}
		})
		all := func(want string) {
			t.Helper()
			var wg sync.WaitGroup
			for range 20 {
				wg.Go(func() {
					if got := c.Reading().Source; got != want {
						t.Errorf("read %q, want %q", got, want)
					}
				})
			}
			wg.Wait()
		}
		all("a")
		time.Sleep(time.Second - time.Nanosecond)
		all("a")
		time.Sleep(time.Nanosecond)
		c.Reading()
		all("b")
		time.Sleep(time.Hour)
		done := make(chan string)
		go func() { done <- c.Reading().Source }()
		synctest.Wait()
		all("b") // while one is at it
		close(slow)
		if got := <-done; got != "c" || asked != 3 {
			t.Errorf("read %q after %d questions", got, asked)
		}
		all("c")
	})
}
