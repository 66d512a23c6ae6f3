package main

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"regexp"
	"runtime"
	"syscall"
	"time"

	cordon "github.com/cordonsip/cordon"
	"github.com/cordonsip/cordon/configs"
	"github.com/cordonsip/cordon/internal/osnet"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
)

type runCmd struct {
	Config string        `short:"c" required:"" help:"Configuration file." type:"existingfile"`
	Drain  time.Duration `default:"2m" help:"How long live calls may go on after SIGTERM."`
	Level  string        `default:"info" enum:"debug,info,warn,error" help:"Log level (${enum})."`
}

// liveHeap is what the collector of garbage found in use, go_gc_heap_live_bytes: the memory that a leak makes grow, where the resident one grows with its patience.
var liveHeap = collectors.GoRuntimeMetricsRule{Matcher: regexp.MustCompile(`^/gc/heap/live:bytes$`)}

// Run is the edge.
func (r *runCmd) Run(ctx context.Context, s streams) error {
	ballast := tune("/", os.Getenv)
	defer runtime.KeepAlive(ballast)
	cfg, err := configs.Load(r.Config)
	if err != nil {
		return withHint(err, "cordon check "+r.Config+" explains the file")
	}
	var level slog.Level
	if err := level.UnmarshalText([]byte(r.Level)); err != nil {
		return err
	}
	logger := slog.New(slog.NewJSONHandler(s.err, &slog.HandlerOptions{Level: level}))
	for _, w := range cfg.Warnings {
		logger.Warn("configuration", "warning", w.Error())
	}
	metrics := prometheus.NewRegistry()
	metrics.MustRegister(collectors.NewGoCollector(collectors.WithGoCollectorRuntimeMetrics(liveHeap)), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	program, why := mediaProgram(memory("/"))
	if program == nil && !cfg.Media.InProcess && !cfg.Media.Apart {
		logger.Info("media: this process carries the packets itself", "why", why)
	}
	node, err := cordon.New(ctx, cordon.Options{
		Config: cfg, Net: osnet.Net{}, Software: software(), Media: program, Console: s.out, Logger: logger, Metrics: metrics,
	})
	if err != nil {
		return withHint(err, "an address in use, a folder without rights and a log in use by another process are the usual causes")
	}
	hup := make(chan os.Signal, 1)
	signal.Notify(hup, syscall.SIGHUP)
	defer signal.Stop(hup)
	go func() {
		for {
			select {
			case <-ctx.Done():
				return
			case <-hup:
				if err := node.ReloadFile(ctx, ""); err == nil {
					logger.Info("the new configuration is in force", "policy", node.Fence().Snapshot().PolicyDigest())
				}
			}
		}
	}()
	if err := node.Run(ctx, r.Drain); err != nil {
		return fmt.Errorf("run: %w", err)
	}
	return nil
}
