package state

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"
)

// A lease ends by the clock; a virtual one shows the very instant.
func TestLeaseEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		kv := Memory()
		defer kv.Close()
		take := func(holder string, want bool) {
			t.Helper()
			got, err := kv.Lease(t.Context(), "l", holder, time.Minute)
			if err != nil || got != want {
				t.Fatalf("Lease(%s) = %v, %v; want %v", holder, got, err, want)
			}
		}
		take("a", true)
		time.Sleep(time.Minute - time.Nanosecond)
		take("b", false)
		time.Sleep(time.Nanosecond)
		take("b", true)
		time.Sleep(30 * time.Second)
		take("b", true) // renewed: counts from now
		time.Sleep(45 * time.Second)
		take("a", false)
	})
}

func TestMemoryInVirtualTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		kv := Memory()
		changes, err := kv.Watch(t.Context(), "k.")
		if err != nil {
			t.Fatal(err)
		}
		if mark := <-changes; mark.Key != "" {
			t.Fatalf("the mark came as %+v", mark)
		}
		go func() {
			time.Sleep(time.Hour)
			if _, err := kv.Swap(t.Context(), "k.a", 0, []byte("late")); err != nil {
				t.Error(err)
			}
		}()
		start := time.Now()
		if item := <-changes; string(item.Data) != "late" || time.Since(start) != time.Hour {
			t.Errorf("after %v came %+v", time.Since(start), item)
		}
		kv.Close()
		if _, ok := <-changes; ok {
			t.Error("the watch outlived the store")
		}
	})
}

// A reader that stands still costs one item per key, the newest.
func TestWaitingChangesAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		kv := Memory()
		defer kv.Close()
		changes, err := kv.Watch(t.Context(), "")
		if err != nil {
			t.Fatal(err)
		}
		<-changes
		revs := [3]uint64{}
		for range 1000 {
			for k := range revs {
				revs[k], err = kv.Swap(t.Context(), fmt.Sprintf("k%d", k), revs[k], nil)
				if err != nil {
					t.Fatal(err)
				}
			}
		}
		synctest.Wait()
		seen := 0
		for newest := false; !newest; seen++ {
			newest = (<-changes).Rev == revs[2]
		}
		if seen > 6 {
			t.Errorf("%d items waited for 3 keys", seen)
		}
	})
}
