package transaction

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cordonsip/cordon/sip/transport"
)

func inLoop(t *testing.T, f func(*Actor)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		a := NewLoop()
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- a.Run(ctx) }()
		f(a)
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run: %v", err)
		}
	})
}

func TestLoopOrder(t *testing.T) {
	inLoop(t, func(a *Actor) {
		var got []int
		a.Post(func() {
			a.Post(func() { got = append(got, 1000) }) // what a function posts comes behind what was posted before
			for i := range 500 {
				got = append(got, i)
			}
		})
		for i := 500; i < 1000; i++ {
			a.Post(func() { got = append(got, i) })
		}
		synctest.Wait()
		if len(got) != 1001 || !slices.IsSorted(got[:500]) {
			t.Errorf("%d functions ran", len(got))
		}
	})
}

// From many goroutines nothing is lost, and each one's order is kept.
func TestLoopFromManyGoroutines(t *testing.T) {
	inLoop(t, func(a *Actor) {
		got := map[int][]int{}
		var wg sync.WaitGroup
		for g := range 20 {
			wg.Go(func() {
				for i := range 200 {
					a.Post(func() { got[g] = append(got[g], i) })
				}
			})
		}
		wg.Wait()
		synctest.Wait()
		for g := range 20 {
			if len(got[g]) != 200 || !slices.IsSorted(got[g]) {
				t.Errorf("goroutine %d: %d functions in order %v", g, len(got[g]), slices.IsSorted(got[g]))
			}
		}
	})
}

func TestLoopTimers(t *testing.T) {
	inLoop(t, func(a *Actor) {
		begin := time.Now()
		var got []string
		note := func(s string) func() {
			return func() { got = append(got, fmt.Sprint(s, " ", time.Since(begin))) }
		}
		a.Post(func() {
			a.After(2*time.Second, note("b"))
			a.After(time.Second, note("a"))
			a.After(3*time.Second, note("never")).Stop()
			x := a.After(time.Second, note("x"))
			a.After(4*time.Second, x.Stop) // after it fired: nothing
		})
		time.Sleep(5 * time.Second)
		synctest.Wait()
		if want := "[a 1s x 1s b 2s]"; fmt.Sprint(got) != want && fmt.Sprint(got) != "[x 1s a 1s b 2s]" {
			t.Errorf("%v, want %s", got, want)
		}
	})
}

// A timer that fired and waits in the queue can still be stopped.
func TestStopWhileQueued(t *testing.T) {
	inLoop(t, func(a *Actor) {
		ran := false
		var x Timer
		a.Post(func() {
			x = a.After(time.Second, func() { ran = true })
			time.Sleep(2 * time.Second) // the loop is busy while the timer fires
			x.Stop()
		})
		time.Sleep(5 * time.Second)
		synctest.Wait()
		if ran {
			t.Error("a stopped timer ran")
		}
	})
}

func TestLoopEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := NewLoop()
		ctx, cancel := context.WithCancel(t.Context())
		n := 0
		a.Post(func() { n++; cancel() })
		a.Post(func() { n++ })
		if err := a.Run(ctx); err != nil || n != 1 {
			t.Errorf("%d functions ran, %v", n, err)
		}
		a.Post(func() { n++ })
		if len(a.queue) != 0 {
			t.Error("a loop that ended keeps what is posted")
		}
	})
}

// Messages and functions share one queue: what came first is handled first.
func TestDeliverKeepsOrder(t *testing.T) {
	inLoop(t, func(a *Actor) {
		var got []int
		take := func(in transport.Incoming) {
			n, _ := strconv.Atoi(in.Party)
			got = append(got, n)
		}
		for i := range 1000 {
			if i%3 == 0 {
				a.Post(func() { got = append(got, i) })
				continue
			}
			a.Deliver(take, transport.Incoming{Party: strconv.Itoa(i)})
		}
		synctest.Wait()
		if len(got) != 1000 || !slices.IsSorted(got) {
			t.Errorf("%d came, in order %v", len(got), slices.IsSorted(got))
		}
	})
}

// A message that is handed over needs no memory, and a burst does not keep its own.
func TestDeliverAllocates(t *testing.T) {
	a := NewLoop()
	take := func(transport.Incoming) {}
	var used []task
	if n := testing.AllocsPerRun(100, func() {
		for range 10 {
			a.Deliver(take, transport.Incoming{})
		}
		used = a.take(used)
		used = a.take(used)
		a.idle = false // as Run does when it wakes
	}); n > 0 {
		t.Errorf("%v allocations", n)
	}
	for range 2 * keep {
		a.Deliver(take, transport.Incoming{})
	}
	for range 3 {
		used = a.take(used)
	}
	if cap(used) > keep || cap(a.queue) > keep {
		t.Errorf("after a burst the queues have room for %d and %d", cap(used), cap(a.queue))
	}
}
