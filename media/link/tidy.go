package link

import (
	"context"
	"runtime/debug"
	"runtime/metrics"
	"time"
)

const (
	tidyEvery = 5 * time.Second
	tidyPart  = 16 // the collector runs when that part of what lives was allocated since it ran last
)

// Tidy collects and gives back what commands have left, until ctx ends. Packets allocate nothing, so between two bursts of commands the collector of a media process has no
// reason to run: what calls needed for a moment when they were set up would stay for as long as they are up, a fifth of the memory of a call.
func Tidy(ctx context.Context) {
	tick := time.NewTicker(tidyEvery)
	defer tick.Stop()
	for last := uint64(0); ; {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		if allocated, live := heap(); (allocated-last)*tidyPart > live {
			debug.FreeOSMemory()
			last, _ = heap()
		}
	}
}

// heap gives the bytes that were ever allocated, and those that the collector found in use.
func heap() (allocated, live uint64) {
	read := []metrics.Sample{{Name: "/gc/heap/allocs:bytes"}, {Name: "/gc/heap/live:bytes"}}
	metrics.Read(read)
	return read[0].Value.Uint64(), read[1].Value.Uint64()
}
