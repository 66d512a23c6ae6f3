package main

import (
	"context"
	"io"
	"log/slog"
	"os"

	"github.com/cordonsip/cordon/internal/demo"
)

type demoCmd struct {
	Serve bool   `help:"Leave it running after the story, to play with."`
	Dir   string `help:"Keep the node's files in this folder." type:"path"`
	Debug bool   `help:"Print what the node logs."`
}

// Run plays the story.
func (d *demoCmd) Run(ctx context.Context, s streams) error {
	logger := slog.New(slog.DiscardHandler)
	if d.Debug {
		logger = slog.New(slog.NewTextHandler(s.err, &slog.HandlerOptions{Level: slog.LevelDebug}))
	}
	return demo.Run(ctx, demo.Options{
		Out: s.out, Color: isTerminal(s.out), Dir: d.Dir, Serve: d.Serve, Software: software(), Logger: logger, Suspend: suspender(s),
	})
}

// suspender lets the story strike an instrument with the very code of cordon law suspend.
func suspender(s streams) func(demo.Strike) error {
	return func(k demo.Strike) error {
		s.out = io.Discard // the story tells it in its own words
		return (&lawSuspend{Instrument: k.Instrument, Reason: k.Reason, File: k.File, Key: k.Key, KeyID: k.KeyID}).Run(s)
	}
}

// isTerminal says whether colours make sense.
func isTerminal(w any) bool {
	f, ok := w.(*os.File)
	if !ok || os.Getenv("NO_COLOR") != "" {
		return false
	}
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}
