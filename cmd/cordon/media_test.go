package main

import (
	"context"
	"io"
	"log/slog"
	"runtime"
	"runtime/debug"
	"syscall"
	"testing"

	"github.com/cordonsip/cordon/media/link"
)

// TestAProgramForMedia: who has little memory has one process, and is told why.
func TestAProgramForMedia(t *testing.T) {
	for total, want := range map[int64]bool{0: link.Supported, 511 << 20: false, 512 << 20: link.Supported} {
		program, why := mediaProgram(total)
		if (program != nil) != want || (why == "") != want {
			t.Errorf("%d bytes: %v, %q", total, program, why)
		}
	}
}

// TestTuneMedia: a processor for each worker and one for the rest, and a part of the memory; the operator's word wins.
func TestTuneMedia(t *testing.T) {
	procs, limit, gc := runtime.GOMAXPROCS(0), debug.SetMemoryLimit(-1), debug.SetGCPercent(100)
	defer func() {
		runtime.GOMAXPROCS(procs)
		debug.SetMemoryLimit(limit)
		debug.SetGCPercent(gc)
	}()
	percent := func() int {
		n := debug.SetGCPercent(100)
		debug.SetGCPercent(n)
		return n
	}
	none := func(string) string { return "" }
	for total, want := range map[int64]int64{0: mediaMemory, 1 << 30: 128 << 20, 64 << 30: mediaMemory} {
		tuneMedia(none, total)(3)
		if got := debug.SetMemoryLimit(-1); got != want || runtime.GOMAXPROCS(0) != 4 {
			t.Errorf("%d bytes: a limit of %d and %d processors", total, got, runtime.GOMAXPROCS(0))
		}
	}
	if n := percent(); n != thriftyGC {
		t.Errorf("garbage is collected at %d %%", n)
	}
	debug.SetGCPercent(77)
	tuneMedia(func(string) string { return "set" }, 1<<30)(7)
	if n := percent(); n != 77 {
		t.Errorf("what the operator set was changed: garbage is collected at %d %%", n)
	}
	if got := debug.SetMemoryLimit(-1); got != mediaMemory && got != 128<<20 || runtime.GOMAXPROCS(0) != 4 {
		t.Errorf("what the operator set was changed: %d and %d processors", got, runtime.GOMAXPROCS(0))
	}
}

// TestAskedToEnd: SIGINT ends a media process, SIGTERM leaves it to its control process.
func TestAskedToEnd(t *testing.T) {
	for _, sig := range []syscall.Signal{syscall.SIGINT, syscall.SIGTERM} {
		finished := make(chan bool, 1)
		ctx, stop := untilAsked(context.Background(), func() { finished <- true }, slog.New(slog.NewTextHandler(io.Discard, nil)))
		if err := syscall.Kill(syscall.Getpid(), sig); err != nil {
			t.Fatal(err)
		}
		if sig == syscall.SIGINT {
			<-ctx.Done()
		} else if <-finished; ctx.Err() != nil {
			t.Error("SIGTERM ended it")
		}
		stop()
		if len(finished) > 0 {
			t.Errorf("%s: both", sig)
		}
	}
}
