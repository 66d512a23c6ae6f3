package link

import (
	"context"
	"runtime"
	"runtime/debug"
	"testing"
	"testing/synctest"
	"time"
)

// TestTidy: what was left is collected when it is much, and the collector is left alone when it is little.
func TestTidy(t *testing.T) {
	defer debug.SetGCPercent(debug.SetGCPercent(-1)) // nobody else collects
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		over := make(chan struct{})
		go func() { defer close(over); Tidy(ctx) }()
		collected := func() uint32 {
			var m runtime.MemStats
			runtime.ReadMemStats(&m)
			return m.NumGC
		}
		within := func(d time.Duration) uint32 {
			before := collected()
			time.Sleep(d)
			synctest.Wait()
			return collected() - before
		}
		within(tidyEvery + time.Second) // of what the start left
		if n := within(3 * tidyEvery); n != 0 {
			t.Errorf("%d collections of nothing", n)
		}
		for _, live := heap(); live > 0; live -= min(live, tidyPart*1024) {
			litter = make([]byte, 1024)
		}
		if n := within(3 * tidyEvery); n != 1 {
			t.Errorf("%d collections of much, want 1", n)
		}
		cancel()
		<-over
	})
}

// litter keeps the compiler from seeing that nobody reads it.
var litter []byte
