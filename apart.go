package cordon

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"time"

	"github.com/cordonsip/cordon/audit"
	"github.com/cordonsip/cordon/configs"
	"github.com/cordonsip/cordon/internal/osnet"
	"github.com/cordonsip/cordon/media/link"
	"github.com/cordonsip/cordon/media/plane"
	"github.com/prometheus/client_golang/prometheus"
)

// legsPerCall is how many legs a call may have at one time: both sides, one that is asked beside them, and one that takes a place over.
const legsPerCall = 4

// perWorker is how many processors there are for each thread that carries packets, unless the configuration says otherwise: signalling needs more of them than packets do.
const perWorker = 4

// workers is how many threads carry packets.
func workers(c *configs.Config) int {
	if c.Media.Workers > 0 {
		return c.Media.Workers
	}
	return max(1, runtime.GOMAXPROCS(0)/perWorker)
}

// mediaSocket is where the media process listens, in a folder of this user alone.
func mediaSocket(c *configs.Config) string { return filepath.Join(c.StateDir, "run", "media.sock") }

// apart has packets carried by a process of their own, when the configuration says so, or leaves it open and there is a program for it; nil: by this one.
func (n *Node) apart(ctx context.Context, c *configs.Config) func(plane.Events) (plane.Commands, error) {
	_, system := n.opts.Net.(osnet.Net)
	fits := system && !n.opts.Memory
	if c.Media.InProcess || !c.Media.Apart && (!fits || n.opts.Media == nil) {
		return nil
	}
	return func(e plane.Events) (plane.Commands, error) {
		if !fits {
			return nil, errors.New("media.inprocess: a process of its own needs the network of the system, and a state folder")
		}
		err := n.connect(ctx, c, e)
		switch {
		case err == nil:
			return n.media, nil
		case !c.Media.Apart && errors.Is(err, link.ErrUnable):
			n.logger.Warn("media: this process carries the packets itself, since no other can: media.inprocess: true says that this is meant", "why", err)
			return nil, nil
		}
		return nil, fmt.Errorf("media: %w", err)
	}
}

// connect finds or starts the media process.
func (n *Node) connect(ctx context.Context, c *configs.Config, e plane.Events) error {
	if err := os.MkdirAll(filepath.Dir(mediaSocket(c)), 0o700); err != nil {
		return err
	}
	client, err := link.New(link.Config{
		Socket: mediaSocket(c), Command: n.opts.Media, Build: n.opts.Software, Fence: n.fence, Legs: legsPerCall * c.Limits.MaxCalls, Events: e, Died: n.mediaDied,
		Workers: workers(c), Tick: c.Media.Tick,
		Logger: n.logger.With("room", "media"),
	})
	if err != nil {
		return err
	}
	had, err := client.Connect(ctx)
	if err != nil {
		return err
	}
	n.media = client
	if has := client.Workers(); has != workers(c) {
		n.logger.Info("media: calls are up, and their workers stay", "workers", has, "configured", workers(c))
	}
	if had.Upgraded {
		n.upgraded = &audit.MediaRestarted{At: had.At.UTC(), GapMS: milliseconds(had.Gap), Legs: len(had.Legs), From: had.Build}
	}
	return nil
}

func milliseconds(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

// mediaDied tells the log that another media process took over.
func (n *Node) mediaDied(d link.Death) {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	ev := audit.MediaRestarted{At: d.At.UTC(), GapMS: milliseconds(d.Gap), Legs: d.Legs}
	if _, err := n.log.Append(ctx, ev); err != nil {
		n.logger.Error("a new media process could not be logged", "error", err)
	}
}

// meterMedia publishes how it stands with the media process: zeros where this process is it.
func (n *Node) meterMedia() error {
	status := func() (s link.Status) {
		if n.media != nil {
			s = n.media.Status()
		}
		return s
	}
	gauge := func(name, help string, value func(link.Status) float64) prometheus.Collector {
		return prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help}, func() float64 { return value(status()) })
	}
	counter := func(name, help string, value func(link.Status) uint64) prometheus.Collector {
		return prometheus.NewCounterFunc(prometheus.CounterOpts{Name: name, Help: help}, func() float64 { return float64(value(status())) })
	}
	for _, c := range []prometheus.Collector{
		gauge("cordon_media_process_up", "1 while a media process is connected.", func(s link.Status) float64 {
			if s.Connected {
				return 1
			}
			return 0
		}),
		gauge("cordon_media_process_policies_behind", "Policies that the media process has not put in force yet.", func(s link.Status) float64 { return float64(s.Behind) }),
		gauge("cordon_media_process_waiting_bytes", "Commands that have not left for the media process yet.", func(s link.Status) float64 { return float64(s.Waiting) }),
		counter("cordon_media_process_deaths_total", "Media processes that ended and were replaced.", func(s link.Status) uint64 { return s.Deaths }),
		counter("cordon_media_process_lost_events_total", "Events of the media process that found no room.", func(s link.Status) uint64 { return s.Lost }),
	} {
		if err := n.opts.Metrics.Register(c); err != nil {
			return fmt.Errorf("media: metrics: %w", err)
		}
	}
	return nil
}
