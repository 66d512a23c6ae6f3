package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"slices"

	"github.com/cordonsip/cordon/configs/drills"
	"github.com/cordonsip/cordon/drill/scenario"
	"github.com/cordonsip/cordon/internal/demo"
)

type demoCmd struct {
	Serve bool   `help:"Leave it running after the story, to play with." xor:"after"`
	Drill string `help:"Play this drill in a sandbox in place of the story: a scenario that ships, or a file." placeholder:"NAME" xor:"after"`
	Dir   string `help:"Keep the node's files in this folder." type:"path"`
	Debug bool   `help:"Print what the node logs."`
}

// Run plays the story.
func (c *demoCmd) Run(ctx context.Context, s streams) error {
	logger := slog.New(slog.DiscardHandler)
	if c.Debug {
		logger = slog.New(slog.NewTextHandler(s.err, &slog.HandlerOptions{Level: slog.LevelDebug}))
	}
	d, err := played(c.Drill)
	if err != nil {
		return err
	}
	return demo.Run(ctx, demo.Options{
		Drill: d, Out: s.out, Color: isTerminal(s.out), Dir: c.Dir, Serve: c.Serve, Software: software(), Logger: logger, Suspend: suspender(s),
	})
}

// played is the drill of that name or in that file; "": none.
func played(name string) (*demo.Drill, error) {
	if name == "" {
		return nil, nil
	}
	sc, err := readScenario(name)
	if err != nil {
		return nil, err
	}
	if !slices.Contains(sc.Modes, scenario.Sandbox) {
		return nil, withHint(fmt.Errorf("%s may not run as %s", sc.Name, scenario.Sandbox), "name the mode under modes; cordon drill list shows those of the scenarios that ship")
	}
	d := &demo.Drill{Scenario: sc}
	if _, ships := drills.Text(name); !ships {
		if d.Text, err = os.ReadFile(name); err != nil {
			return nil, err
		}
	}
	return d, nil
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
