//go:build linux

package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/cordonsip/cordon/media/link"
	"github.com/cordonsip/cordon/media/plane"
	"github.com/cordonsip/cordon/sovereign"
)

// apart is the media process of a relay that has one: this very program, started a third time.
type apart struct {
	client *link.Client
}

const (
	mostLegs = 2 * 4000        // of a run
	orphaned = 5 * time.Second // how long a media process lives whose relay was killed
)

// thriftyGC is what cmd/cordon sets for a media process.
const thriftyGC = 50

func (a *apart) connect(ctx context.Context, fence *sovereign.Fence, e plane.Events) (plane.Commands, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	dir, err := os.Getwd() // which belongs to this process alone
	if err != nil {
		return nil, err
	}
	a.client, err = link.New(link.Config{
		Socket: filepath.Join(dir, "media.sock"), Command: []string{self, "media"}, Build: "bench", Fence: fence, Legs: mostLegs, Events: e,
		Alone: orphaned, Logger: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		return nil, err
	}
	if _, err := a.client.Connect(ctx); err != nil {
		return nil, err
	}
	return a.client, nil
}

// tuned sets what `cordon media` sets when its plane begins.
func tuned(workers int) {
	runtime.GOMAXPROCS(workers + 1)
	debug.SetGCPercent(thriftyGC)
}

// carry is the subcommand of a media process, with the arguments that media/link gives. It is set as `cordon media` is.
func carry(args []string) error {
	link.Prepare()
	if n, err := unix.Getpriority(unix.PRIO_PROCESS, 0); err == nil {
		preferred(20 - n) // it is in a session of its own; the system call counts from 20 downwards
	}
	f := flag.NewFlagSet("media", flag.ContinueOnError)
	socket := f.String("socket", "", "where to listen")
	ready := f.Int("ready", 0, "descriptor that gets a byte then")
	alone := f.Duration("alone", orphaned, "how long it lives without a relay")
	if err := f.Parse(args); err != nil {
		return err
	}
	var signal io.WriteCloser
	if *ready > 2 {
		signal = os.NewFile(uintptr(*ready), "ready")
	}
	s, err := link.NewServer(link.ServerConfig{
		Socket: *socket, Build: "bench", Alone: *alone, Ready: signal, Began: tuned, Logger: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		return fmt.Errorf("media: %w", err)
	}
	ctx, stop := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() { link.Tidy(ctx) })
	err = s.Run(ctx)
	stop()
	wg.Wait()
	return err
}
