package configs

import (
	"strconv"
	"time"
)

// Bounds of what carries packets.
const (
	mostWorkers = 64
	leastTick   = 250 * time.Microsecond // below that a wake-up costs more than what waits for it
	mostTick    = 5 * time.Millisecond   // a packet waits for as long: a quarter of the time that one of 20 ms speaks for
)

// carriers reads how many threads carry packets, 0 for as many as suit the machine, and how long packets wait for each other; 0 for the usual time, less than 0 never.
func (b *builder) carriers() (workers int, tick time.Duration) {
	m := &b.doc.file.Media
	if m.Workers != "" && m.Workers != "auto" {
		n, err := strconv.ParseUint(m.Workers, 10, 16)
		if err != nil || n < 1 || n > mostWorkers {
			b.fail("media.workers", "auto, or 1 to "+strconv.Itoa(mostWorkers), "%q is no number of workers", m.Workers)
		}
		workers = int(n)
	}
	switch m.Tick {
	case "":
		return workers, 0
	case "off":
		return workers, -1
	}
	tick, err := time.ParseDuration(m.Tick)
	if err != nil || tick < leastTick || tick > mostTick {
		b.fail("media.tick", "250us to 5ms, e.g. 1ms, or off", "%q is no such time", m.Tick)
	}
	return workers, tick
}
