package osnet

import "golang.org/x/sys/unix"

// readClock reads the kernel's state of the clock without changing it: adjtimex(2) with no modes. A sandbox may forbid even that.
func readClock() ClockReading {
	var t unix.Timex
	state, err := unix.Adjtimex(&t)
	if err != nil {
		return ClockReading{Source: SourceUnknown}
	}
	return clockReading(state, &t)
}

// clockReading reads the answer as RFC 5905 and adjtimex(2) mean it. Zero stands for "nobody said" in every one of the three numbers:
// a daemon that has no estimate writes zero, and a phase is never measured to be exactly that.
func clockReading(state int, t *unix.Timex) ClockReading {
	if t.Status&(unix.STA_UNSYNC|unix.STA_CLOCKERR) != 0 || state == unix.TIME_ERROR {
		return ClockReading{Source: SourceUnsynced, Known: true}
	}
	r := ClockReading{Source: SourceSynced, Known: true, Synced: true}
	// Without the kernel's own loop the field is left over from whoever ran it last.
	if t.Status&unix.STA_PLL != 0 {
		perMS := 1e3
		if t.Status&unix.STA_NANO != 0 {
			perMS = 1e6
		}
		r.OffsetMS = milliseconds(float64(t.Offset), perMS)
	}
	r.EstErrorMS = milliseconds(float64(t.Esterror), 1e3)
	r.MaxErrorMS = milliseconds(float64(t.Maxerror), 1e3)
	return r
}

func milliseconds(n, perMS float64) *float64 {
	if n == 0 {
		return nil
	}
	ms := n / perMS
	return &ms
}
