// Package background is for tests: it runs beside a test what has a Run method, and ends it. It imports the standard library alone.
package background

import (
	"context"
	"sync"
	"testing"
)

// Run runs run until stop, which waits for its end, or until the test ends. An error of it fails the test.
func Run(t testing.TB, run func(context.Context) error) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	done := make(chan error, 1)
	go func() { done <- run(ctx) }()
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run: %v", err)
		}
	})
	t.Cleanup(stop)
	return stop
}
