package main

import (
	"context"
	"io"
	"log/slog"
	"os"
	"runtime"
	"runtime/debug"
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
const mediaMemory = 256 << 20

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
	server, err := link.NewServer(link.ServerConfig{
		Socket: m.Socket, Build: software(), Alone: m.Alone, Ready: ready, Began: tuneMedia(os.Getenv),
		Logger: slog.New(slog.NewJSONHandler(s.err, &slog.HandlerOptions{Level: level})),
	})
	if err == nil {
		err = server.Run(ctx)
	}
	return withHint(err, "`cordon run` starts this by itself; by hand it needs a path of its own in a folder that only this user may enter")
}

// tuneMedia gives each worker a processor, and one to everything else: commands, events and the collector. What the operator set in the environment wins.
func tuneMedia(env func(string) string) func(workers int) {
	return func(workers int) {
		if env("GOMAXPROCS") == "" {
			runtime.GOMAXPROCS(workers + 1)
		}
		if env("GOMEMLIMIT") == "" {
			debug.SetMemoryLimit(mediaMemory)
		}
	}
}
