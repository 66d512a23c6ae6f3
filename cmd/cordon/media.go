package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"runtime"
	"runtime/debug"
	"sync"
	"syscall"
	"time"

	"github.com/cordonsip/cordon/media/link"
)

type mediaCmd struct {
	Socket string        `required:"" help:"Unix socket to listen on; the folder must be this user's alone." type:"path"`
	Ready  int           `default:"0" help:"Number of an open descriptor that gets one byte when the socket listens; 0: none."`
	Alone  time.Duration `default:"1h" help:"How long calls without packets live on when no control process is connected."`
	Level  string        `default:"info" enum:"debug,info,warn,error" help:"Log level (${enum})."`
}

// What a media process may grow to before its collector works harder, in bytes: its slots are no part of it. A leg has a few kilobytes beside its slot.
const (
	mediaMemory = 256 << 20
	mediaPart   = 8 // one part in so many of all memory at most
)

// thriftyGC is GOGC of a media process: packets allocate nothing, so its collector has little to do beside commands, and what lies about between two collections is held down.
const thriftyGC = 50

// Run carries the media of a control process.
func (m *mediaCmd) Run(ctx context.Context, s streams) error {
	link.Prepare()
	var level slog.Level
	if err := level.UnmarshalText([]byte(m.Level)); err != nil {
		return err
	}
	var ready io.WriteCloser
	if m.Ready > 2 {
		ready = os.NewFile(uintptr(m.Ready), "ready")
	}
	logger := slog.New(slog.NewJSONHandler(s.err, &slog.HandlerOptions{Level: level}))
	server, err := link.NewServer(link.ServerConfig{
		Socket: m.Socket, Build: software(), Alone: m.Alone, Ready: ready, Began: tuneMedia(os.Getenv, memory("/")), Logger: logger,
	})
	if err == nil {
		ctx, stop := untilAsked(ctx, server.Finish, logger)
		var wg sync.WaitGroup
		if os.Getenv("GOGC") == "" {
			wg.Go(func() { link.Tidy(ctx) })
		}
		err = server.Run(ctx)
		stop()
		wg.Wait()
	}
	return withHint(err, "`cordon run` starts this by itself; by hand it needs a path of its own in a folder that only this user may enter")
}

// untilAsked ends at SIGINT. At SIGTERM, which a supervisor sends to all processes of a unit, it has finish called: as long as a control process is connected, that one drains
// its calls and says when they have ended. From the first signal on, SIGINT and SIGTERM do what they always do when they come again.
func untilAsked(parent context.Context, finish func(), logger *slog.Logger) (context.Context, func()) {
	ctx, cancel := context.WithCancel(parent)
	signals, done := make(chan os.Signal, 1), make(chan struct{})
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	go func() {
		defer close(done)
		select {
		case sig := <-signals:
			signal.Stop(signals)
			if sig == os.Interrupt {
				cancel()
				return
			}
			logger.Info("media: asked to end: as soon as no control process is connected")
			finish()
		case <-ctx.Done():
			signal.Stop(signals)
		}
	}()
	return ctx, func() {
		cancel()
		<-done
	}
}

// tuneMedia gives each worker a processor, and one to everything else: commands, events and the collector, whose heap may have an eighth of the memory that there is. What
// the operator set in the environment wins.
func tuneMedia(env func(string) string, total int64) func(workers int) {
	return func(workers int) {
		if env("GOMAXPROCS") == "" {
			runtime.GOMAXPROCS(workers + 1)
		}
		if env("GOMEMLIMIT") == "" {
			limit := int64(mediaMemory)
			if total > 0 {
				limit = min(limit, total/mediaPart)
			}
			debug.SetMemoryLimit(limit)
		}
		if env("GOGC") == "" {
			debug.SetGCPercent(thriftyGC)
		}
	}
}

// roomy is how much memory there must be for two processes, unless the configuration says that there are to be two.
const roomy = 512 << 20

// mediaProgram is the program that carries packets in a process of its own, where the configuration leaves that open; nil with the reason why there is to be none.
func mediaProgram(total int64) (program []string, why string) {
	switch {
	case !link.Supported:
		return nil, "this system has no media processes"
	case total > 0 && total < roomy:
		return nil, fmt.Sprintf("there are %d MiB of memory, and two processes want %d", total>>20, roomy>>20)
	}
	return link.Program(), ""
}
